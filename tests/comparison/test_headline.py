"""The line with which a comparison of releases begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aqea_registry.base.files import ignore
from aqea_registry.base.progress import Silent
from aqea_registry.comparison.compare import ChangedRows, TreeComparison, compare, headline
from aqea_registry.comparison.trees import Contents, changes
from aqea_registry.project.lock import Lock, Pin, render_lock
from aqea_registry.stores.oci_layout import Layout
from tests.stores.test_oci_layout import release_of

SPEARMAN = "cos_sim_spearman"
BEFORE = Contents(
    "sha256:1",
    {"data/forum_minilm_384d_pairs.json": "1", "project/params.yaml": "1", "README.md": "1"},
    {f"forum-minilm: {SPEARMAN}": "0.61437"},
    {"forum": "commit a", "minilm": "commit m"},
    {"minilm: max_tokens": "128", "minilm: repo": "org/minilm"},
)
ROW = ChangedRows("forum", 500, 500, 1)
# What became of the release, the rows that were counted, and the line.
CASES: dict[str, tuple[dict[str, dict[str, str]], list[ChangedRows], str]] = {
    "nothing": ({}, [], "nothing differs"),
    "a row, its score, a model and a setting": (
        {
            "metrics": {f"forum-minilm: {SPEARMAN}": "0.61421", f"forum-minilm-128: {SPEARMAN}": "0.6"},
            "pins": {**BEFORE.pins, "forum": "commit b", "minilm-128": "commit m"},
            "settings": {**BEFORE.settings, "minilm: max_tokens": "12", "minilm-128: max_tokens": "128"},
        },
        [ROW],
        "forum: 1 of 500 rows; Spearman 61.44 -> 61.42; minilm-128 added; max_tokens 128 -> 12",
    ),
    "a score that moves in its fourth decimal": (
        {"metrics": {f"forum-minilm: {SPEARMAN}": "0.6143701"}},
        [],
        "Spearman 61.43700 -> 61.43701",
    ),
    "vectors of the same rows": (
        {"settings": {"minilm: repo": "org/minilm"}},
        [ChangedRows("forum", 500, 500, 3)],
        "forum: other vectors in 3 of 500 rows; max_tokens 128 -> none",
    ),
    "rows that are gone": ({"pins": {**BEFORE.pins, "forum": "x"}}, [ChangedRows("forum", 500, 1, 0)], "forum: 500 -> 1 row"),
    "a pin whose rows were not read": ({"pins": {**BEFORE.pins, "forum": "x"}}, [], "forum: other upstream files"),
    "a pair set removed": ({"metrics": {}}, [], "forum-minilm removed"),
    "texts alone": ({"files": {**BEFORE.files, "README.md": "2"}}, [], "README.md; nothing else"),
    "claims alone": (
        {"files": {**BEFORE.files, "README.md": "2", "claims/paper.yaml": "1", "report.html": "1"}},
        [],
        "claims of paper added",
    ),
    "an old release, which has no params.yaml": ({"settings": {}}, [], "nothing differs"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_line_says_what_changed(name: str) -> None:
    changed, rows, line = CASES[name]
    after = BEFORE._replace(**changed)  # type: ignore[arg-type]
    assert headline(BEFORE, after, changes(BEFORE, after), rows) == line


def test_several_pair_sets_are_named() -> None:
    before = BEFORE._replace(metrics={f"forum-minilm: {SPEARMAN}": "0.5", f"mail-minilm: {SPEARMAN}": "0.5"})
    after = before._replace(metrics={f"forum-minilm: {SPEARMAN}": "0.5", f"mail-minilm: {SPEARMAN}": "0.6"})
    assert headline(before, after, changes(before, after), []) == "mail-minilm Spearman 50.00 -> 60.00"


def put(folder: Path, tag: str, vectors: list[list[int]], tokens: int, damage: bytes = b"") -> None:
    """A release with a pair set of three rows, its score, and params.yaml, in the layout `folder`/store."""
    pairs = {"dataset": "forum", "model": "m", "dimension": 2, "n_pairs": 3, "baseline_spearman": 0.5}
    pairs |= {"embeddings1": vectors, "embeddings2": [[1, 0]] * 3, "scores": [1, 2, 3]}
    files = {
        "data/forum_minilm_2d_pairs.json": json.dumps(pairs).encode() + damage,
        "metrics/forum-minilm.json": json.dumps({SPEARMAN: 0.5 + tokens / 1000}).encode(),
        "project/params.yaml": f"models: {{minilm: {{repo: m, max_tokens: {tokens}}}}}\n".encode(),
        "pins.json": render_lock(Lock(models={"minilm": PIN})),
    }
    Layout("oci:store", folder / "store").push(tag, release_of(files), files.__getitem__, "", ignore)


PIN = Pin(kind="model", id="org/m", requested=None, commit="0" * 40, licence=None, resolved_from="hub", files={})


def test_of_releases_on_this_machine_rows_are_counted_and_settings_compared(tmp_path: Path) -> None:
    put(tmp_path, "v1", [[1, 0], [0, 1], [1, 0]], 128)
    put(tmp_path, "v2", [[1, 0], [1, 0], [1, 0]], 12)
    put(tmp_path, "v3", [[1, 0], [1, 0], [1, 0]], 12, damage=b"]")
    found = compare("oci:store:v1", "oci:store:v2", tmp_path, Silent())
    assert isinstance(found, TreeComparison)
    assert found.summary == "forum: other vectors in 1 of 3 rows; Spearman 62.80 -> 51.20; max_tokens 128 -> 12"
    assert [(change.what, change.name) for change in found.changes if change.what == "setting"] == [
        ("setting", "minilm: max_tokens")
    ]
    damaged = compare("oci:store:v1", "oci:store:v3", tmp_path, Silent())
    assert isinstance(damaged, TreeComparison)
    assert damaged.summary == "Spearman 62.80 -> 51.20; max_tokens 128 -> 12", "what cannot be read is not counted"
