"""A release without its large vector set: what is in its place, what is checked of it, and how it is made again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aqea_registry.base.files import hash_file
from tests.helpers import found
from tests.mteb_data import lines
from tests.releases.test_round_trip import World, world
from tests.standins import stand_ins
from tests.task_project import KEY, RESULT, VECTORS, task_made, task_project
from tests.tools import aqea, edit_params, repro

__all__ = ["stand_ins", "task_made", "task_project", "world"]
LISTS = f"lists/{KEY}.jsonl"


def publish(project: Path, tag: str = "v1") -> dict[str, Any]:
    """Publish what fits into a kilobyte; the release's files by path."""
    edit_params(project, lambda params: params["publish"].update(largest_vector_set=1000))
    published = aqea("publish", "--tag", tag, cwd=project)
    assert published.status == 0, published
    [shown] = (aqea("releases", f"oci:releases:{tag}", "--json", cwd=project).json()["files"],)
    return {file["path"]: file["digest"] for file in shown}


def full(project: Path, *, data: bool = True) -> tuple[set[tuple[str, str]], dict[str, str], dict[str, Any]]:
    """The findings of a full check, what was not checked and why, and the vector sets."""
    given = ("--source", f"plants={project / 'data/plants'}") if data else ()
    result = aqea("verify", "oci:releases:v1", "--full", *given, "--json", cwd=project)
    answer = result.json()
    return found(result), {gap["what"]: gap["why"] for gap in answer["not_checked"]}, answer["vector_sets"]


def test_lists_take_its_place_and_the_result_is_computed_from_them(task_project: Path, tmp_path: Path) -> None:
    files = publish(task_project)
    assert LISTS in files and "data/plants_tiny_384d_vectors.parquet" not in files
    kept = next((task_project / ".aqea/lists").iterdir())
    read = [json.loads(line) for line in kept.read_bytes().splitlines()]
    assert [line["query"] for line in read] == ["q0", "q1", "q2", "q3"]
    assert all(len(line["documents"]) == 12 and line["scores"] == sorted(line["scores"], reverse=True) for line in read)
    shutil.rmtree(task_project / "models")
    findings, gaps, vector_sets = full(task_project)
    assert findings == set() and vector_sets[KEY]["texts"] == 16
    assert "left out of the release" in gaps[f"the vectors of {KEY}"] and f"the scores of {KEY}" not in gaps
    _, gaps, _ = full(task_project, data=False)
    assert "--source plants=PATH" in gaps[f"the scores of {KEY}"]

    given = [word for name in ("plants", "talk") for word in ("--source", f"{name}={task_project / 'data' / name}")]
    again = tmp_path / "again"
    assert aqea("pull", "oci:releases:v1", "--project", again, *given, cwd=task_project).status == 0
    for path in ("manifests/MANIFEST.sha256", "manifests/MANIFEST.sizes"):
        assert (again / path).read_bytes() == (task_project / path).read_bytes()
    verified = aqea("verify", "--json", cwd=again)
    assert found(verified) == set() and f"{VECTORS}: left out of the release" in str(verified.json()["notes"])
    refused = aqea("publish", "--tag", "v2", "--to", "oci:releases", cwd=again)
    assert refused.status == 1 and "dvc repro" in refused.err
    (again / "manifests/LEFT_OUT").unlink()
    assert ("missing", VECTORS) in found(aqea("verify", "--json", cwd=again))


def another_order(line: dict[str, Any]) -> None:
    line["documents"].reverse()


FALSE: dict[str, tuple[Callable[[dict[str, Any]], object], tuple[str, str]]] = {
    "other documents": (another_order, ("wrong-metric", f"metrics/{KEY}.json")),
    "another query": (lambda line: line.update(query="q9"), ("malformed", LISTS)),
    "of another split": (lambda line: line.update(split="dev"), ("malformed", LISTS)),
    "fewer scores": (lambda line: line["scores"].pop(), ("malformed", LISTS)),
    "another field": (lambda line: line.update(more=[]), ("malformed", LISTS)),
}


@pytest.mark.rare
@pytest.mark.parametrize(("change", "wanted"), FALSE.values(), ids=FALSE)
def test_lists_that_are_not_those_of_the_result_are_found(
    task_project: Path, change: Callable[[dict[str, Any]], object], wanted: tuple[str, str]
) -> None:
    kept = task_project / f".aqea/lists/{hash_file(task_project / RESULT).sha256}.jsonl"
    publish(task_project)
    read = [json.loads(line) for line in kept.read_bytes().splitlines()]
    change(read[0])
    kept.write_bytes(b"".join(json.dumps(line, sort_keys=True, separators=(",", ":")).encode() + b"\n" for line in read))
    shutil.rmtree(task_project / "releases")
    publish(task_project)
    assert wanted in full(task_project)[0]


@pytest.mark.rare
def test_it_is_made_again_and_confirmed_by_its_content_digest(task_project: Path, tmp_path: Path) -> None:
    publish(task_project)
    given = [
        word
        for name in ("data/plants", "data/talk", "models/tiny")
        for word in ("--source", f"{Path(name).name}={task_project / name}")
    ]
    confirmed = aqea(
        "confirm", "oci:releases:v1", "--from-nothing", tmp_path / "made", *given, "--add", "--json", cwd=task_project
    )
    assert confirmed.json()["verdicts"] == {KEY: "IDENTICAL", "talk-tiny": "IDENTICAL"}, confirmed
    verified = aqea("verify", "oci:releases:v1", "--json", cwd=task_project)
    assert found(verified) == set() and "made again on" in str(verified.json()["notes"])
    made = tmp_path / "made"
    repro(made)
    assert (made / VECTORS).read_bytes() == (task_project / VECTORS).read_bytes()
    assert not (made / "manifests/LEFT_OUT").exists() and found(aqea("verify", "--json", cwd=made)) == set()
    edit_params(task_project, lambda params: params["publish"].pop("largest_vector_set"))
    assert aqea("publish", "--tag", "v2", cwd=task_project).status == 0
    compared = aqea("compare", "oci:releases:v1", "oci:releases:v2", "--deep", "--json", cwd=task_project).json()
    [row] = [file for file in compared["files"] if str(file["after"]).endswith("_vectors.parquet")]
    assert (row["verdict"], row["before"]) == ("IDENTICAL", None) and "left out of" in row["message"]
    assert not [change for change in compared["changes"] if change["name"].endswith("_vectors.parquet")]


@pytest.mark.rare
def test_of_a_task_that_trains_nothing_but_the_result_is_left(task_project: Path) -> None:
    rows = [{"text": f"{word} {at}", "label": label} for label, word in enumerate(("sun", "rain")) for at in range(12)]
    for split in ("train", "test"):
        path = task_project / f"data/moods/{split}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(lines(rows))

    def change(params: dict[str, dict[str, Any]]) -> None:
        entry = {"kind": "directory", "mteb": "Classification", "repo": "data/moods", "files": ["train.jsonl", "test.jsonl"]}
        params["datasets"]["moods"] = {**entry, "sources": ["directory:data/moods"], "licence": "cc0-1.0"}
        params["run"]["vectors"] = {"moods-tiny": {"dataset": "moods", "model": "tiny", "file": "moods_tiny_384d"}}

    edit_params(task_project, change)
    assert aqea("pin", "moods", cwd=task_project).status == 0
    for name in (VECTORS, RESULT):
        (task_project / name).unlink()
    repro(task_project)
    files = publish(task_project)
    assert not [path for path in files if path.startswith("lists/") or path.endswith("_vectors.parquet")]
    assert "In its place is nothing but its result" in card(task_project)
    result = aqea(
        "verify", "oci:releases:v1", "--full", "--source", f"moods={task_project / 'data/moods'}", "--json", cwd=task_project
    )
    assert found(result) == set()
    assert "need the vectors" in {gap["what"]: gap["why"] for gap in result.json()["not_checked"]}["the scores of moods-tiny"]


def card(project: Path) -> str:
    assert aqea("package", cwd=project).status == 0
    return (project / "hf_package/README.md").read_text()


@pytest.mark.rare
def test_every_store_keeps_what_is_said_of_it(task_project: Path, world: World) -> None:
    edit_params(task_project, lambda params: params["publish"].update(largest_vector_set=1000))
    to = [word for spec in world.specs for word in ("--to", spec)]
    published = aqea("publish", "--tag", "v1", *to, cwd=task_project, env=world.env())
    assert published.status == 0, published
    for reference in world.references():
        verified = aqea("verify", reference, "--deep", "--json", cwd=task_project, env=world.env())
        assert found(verified) == set() and f"left out of {reference}, and not checked" in str(verified.json()["notes"])
