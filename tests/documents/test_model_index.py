"""Result files of MTEB become results with revision, split and subset as printed; other JSON is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.documents.model_index import IndexEntry, read_model_index, read_result_file, split_front_matter

SECOND: dict[str, Any] = {
    "dataset_revision": "0123abc",
    "task_name": "Pairs",
    "mteb_version": "2.1.0",
    "evaluation_time": 12.5,
    "scores": {
        "test": [
            {"hf_subset": "default", "languages": ["deu-Latn"], "cosine_spearman": 0.7125, "main_score": 0.7125},
            {"hf_subset": "de-en", "languages": ["deu-Latn", "eng-Latn"], "cosine_spearman": 0.5, "main_score": 0.5},
        ]
    },
}
FIRST: dict[str, Any] = {
    "mteb_dataset_name": "Pairs",
    "mteb_version": "1.0.2",
    "dataset_revision": None,
    "test": {"cos_sim": {"pearson": 0.25, "spearman": 0.5}, "evaluation_time": 3.5},
    "validation": {"de": {"accuracy": 0.75, "accuracy_stderr": 0.01}, "fr": {"accuracy": 0.5}, "evaluation_time": 2},
}


def read(value: Any, indent: Any = None) -> tuple[IndexEntry, ...]:
    return read_result_file(json.dumps(value, indent=indent).encode(), "r.json", "org/m")


def shown(entries: tuple[IndexEntry, ...]) -> list[tuple[str, str | None, str | None, str | None, dict[str, str | None]]]:
    return [(e.name, e.config, e.split, e.revision, {m.type: m.value for m in e.metrics}) for e in entries]


def test_the_second_version_has_a_result_for_each_subset() -> None:
    entries = read(SECOND)
    assert shown(entries) == [
        ("Pairs", "default", "test", "0123abc", {"cosine_spearman": "0.7125", "main_score": "0.7125"}),
        ("Pairs (de-en)", "de-en", "test", "0123abc", {"cosine_spearman": "0.5", "main_score": "0.5"}),
    ]
    assert (entries[1].model, entries[1].dataset, entries[1].metrics[0].path) == (
        "org/m",
        "Pairs",
        "/scores/test/1/cosine_spearman",
    )


def test_the_first_version_has_similarities_and_languages() -> None:
    assert shown(read(FIRST)) == [
        ("Pairs (test)", "default", "test", None, {"cos_sim_pearson": "0.25", "cos_sim_spearman": "0.5"}),
        ("Pairs (validation, de)", "de", "validation", None, {"accuracy": "0.75", "accuracy_stderr": "0.01"}),
        ("Pairs (validation, fr)", "fr", "validation", None, {"accuracy": "0.5"}),
    ]


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_a_value_has_its_line_and_digits_as_printed(indent: Any) -> None:
    metric = read(SECOND, indent)[0].metrics[0]
    assert metric.value == "0.7125" and (metric.line == 1) == (indent is None)
    assert read_result_file(b'{"task_name":"x","scores":{"test":[{"map":1.0e-1}]}}', "r", "m")[0].metrics[0].value == "1.0e-1"


@pytest.mark.parametrize(
    "value", [[], {}, 1, {"scores": {"test": [{"map": 1}]}}, {"task_name": "x", "scores": {}}, {"task_name": "x"}]
)
def test_other_json_is_refused(value: Any) -> None:
    with pytest.raises(BadConfiguration, match="not a result file of MTEB") as raised:
        read(value)
    assert "mteb" in (raised.value.hint or "")


def test_a_decimal_comma_between_braces_is_not_lost() -> None:
    result = "{task: {type: STS}, dataset: {name: x, type: x}, metrics: [{type: a, value: 75,5}, {type: b, value: 75.5}]}"
    front = split_front_matter(f"---\nmodel-index:\n- name: m\n  results: [{result}]\n---\n", "card.md")
    (entry,) = read_model_index(front, "card.md") or () if front else ()
    assert [metric.value for metric in entry.metrics] == ["75,5", "75.5"]
