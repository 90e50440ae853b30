"""What `init` writes, and how columns, scales and dimensions are recognised."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.project.params import parse_params
from aqea_registry.project.scaffold import columns_of, dimension_of, pairs_of, params_text, range_of, with_lines
from aqea_registry.releases.layout import render_params

DATA = {"kind": "directory", "repo": "d", "files": ["test.jsonl"], "sources": ["directory:."]}


@pytest.mark.parametrize(
    "names",
    [
        ["sentence1", "sentence2", "score"],
        ["genre", "sentence_A", "sentence_B", "relatedness_score", "score"],
        ["Text 1", "Text 2", "Label"],
        ["score", "premise", "hypothesis"],
    ],
)
def test_columns_are_known_by_their_usual_names(names: list[str]) -> None:
    found = columns_of(names, "d: test.jsonl")
    assert list(found) == ["sentence1", "sentence2", "score"]
    assert len({*found.values()} & {*names}) == 3


def test_columns_of_other_names_are_said() -> None:
    with pytest.raises(BadConfiguration, match=r"^d: x\.jsonl: no column looks like sentence2 or score; it has 's1', 'other'$"):
        columns_of(["s1", "other"], "d: x.jsonl")


@pytest.mark.parametrize(
    ("seen", "scale"),
    [
        ((0.1, 4.8), (0, 5)),
        ((0.0, 0.98), (0, 1)),
        ((1.0, 5.0), (1, 5)),
        ((0.0, 4.0), (0, 4)),
        ((-0.4, 0.9), (-1, 1)),
        ((2.0, 77.5), (0, 100)),
        ((-3.5, 120.2), (-4, 121)),
    ],
)
def test_the_scale_is_a_usual_one_that_has_room(seen: tuple[float, float], scale: tuple[float, float]) -> None:
    assert range_of(*seen) == scale


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9))
def test_every_score_is_within_the_scale(least: float, width: float) -> None:
    low, high = range_of(least, least + width)
    assert low <= least <= least + width <= high


POOLING = {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
DENSE = {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}


@pytest.mark.parametrize(
    ("configs", "dimension"),
    [
        ({"config.json": {"hidden_size": 384}}, 384),
        ({"config.json": {"dim": 768}, "modules.json": [POOLING], "1_Pooling/config.json": {}}, 768),
        ({"modules.json": [POOLING], "1_Pooling/config.json": {"word_embedding_dimension": 384}}, 384),
        (
            {
                "modules.json": [POOLING],
                "1_Pooling/config.json": {
                    "word_embedding_dimension": 4,
                    "pooling_mode_cls_token": True,
                    "pooling_mode_max_tokens": True,
                },
            },
            8,
        ),
        ({"config.json": {"hidden_size": 9}, "modules.json": [POOLING, DENSE], "2_Dense/config.json": {"out_features": 5}}, 5),
        ({}, None),
    ],
)
def test_the_dimension_is_that_of_the_last_module(configs: dict[str, Any], dimension: int | None) -> None:
    assert dimension_of(configs) == dimension


def test_what_is_written_is_a_project_with_every_dataset_under_every_model() -> None:
    model = {"repo": "org/m", "dimension": 4}
    params = parse_params(params_text({"d": DATA, "e": DATA}, {"m": model, "n": model}, "A title: #1", "other").encode())
    assert [*params.run.pairs] == ["d-m", "d-n", "e-m", "e-n"]
    assert params.publish.title == "A title: #1"
    assert parse_params(params_text({}, {}, "t", "other").encode()).run.pairs == {}
    task = {"mteb": "Retrieval", "kind": "directory", "files": ["*.jsonl"], "sources": ["directory:d"]}
    run = parse_params(params_text({"d": DATA, "t": task}, {"m": model}, "t", "other").encode()).run
    assert ([*run.pairs], [*run.vectors]) == (["d-m"], ["t-m"])
    with pytest.raises(BadConfiguration, match="two pair sets would have one name"):
        pairs_of(["a", "a-b"], {"b-c": model, "c": model})


def test_a_release_asks_for_the_version_that_its_project_asks_for() -> None:
    params = parse_params(b'requires: ">=0.1"\nrun: {pairs: {}, exports: {}}\n')
    assert parse_params(render_params(params, ())).requires == ">=0.1"


def test_lines_are_added_once_and_others_stay() -> None:
    assert with_lines("", ["a", "b"]) == "a\nb\n"
    assert with_lines("mine\nb", ["a", "b"]) == "mine\nb\na\n"
    assert with_lines("a\n# b\n", ["a"]) == "a\n# b\n"
