"""A vector set and the result of its task: made by `dvc repro`, made again, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aqea_registry.base.files import atomic_write, locked
from aqea_registry.base.findings import Refused
from aqea_registry.base.progress import Silent
from aqea_registry.generation.vector_sets import kept_lists, result_of
from aqea_registry.project.project import open_project
from aqea_registry.sources.open_task import _scratch
from aqea_registry.vectors.vector_set import VectorSet, key_of, write_vector_set
from tests.standins import sentence, stand_ins
from tests.task_project import KEY, RESULT, VECTORS, retrieval, task_made, task_project
from tests.tools import aqea, dvc, edit_params

__all__ = ["stand_ins", "task_made", "task_project"]
GENERATE = ("generate", "plants", "tiny")


def test_repro_makes_a_vector_set_and_a_result_and_has_nothing_left_to_do(task_made: Path) -> None:
    result, vectors = json.loads((task_made / RESULT).read_bytes()), VectorSet(task_made / VECTORS)
    assert (result["task"], result["type"], result["main_score"]) == ("plants", "Retrieval", "ndcg_at_10")
    assert result["vectors"] == {"texts": vectors.texts, "dimension": 384, "content": f"sha256:{vectors.content}"}
    assert 0 < result["scores"]["test"]["default"]["ndcg_at_10"] < 1
    documents = {key_of(f"a letter: Note {at % 3} {sentence(3 * at)}") for at in (0, 1, 2, 4)}
    queries = {key_of(f"query: {sentence(15 * at + 1)}") for at in range(4)}
    keys = {key.tobytes() for block, _ in vectors.blocks() for key in block.view("V32")}
    assert documents | queries <= keys and vectors.texts == 16, "a prefix for each role; a text once"
    assert "up to date" in dvc("status", cwd=task_made).out
    listed = (task_made / "manifests/MANIFEST.sha256").read_text()
    assert VECTORS in listed and RESULT in listed


def test_it_is_made_again_byte_for_byte_in_other_batches_and_encodes_nothing_twice(task_project: Path) -> None:
    before = {path: (task_project / path).read_bytes() for path in (VECTORS, RESULT)}
    kept = aqea(*GENERATE, "--json", cwd=task_project).json()
    assert (kept["encoded"], kept["reused"]) == (0, 16)
    again = aqea(*GENERATE, "--fresh", "--batch", "1", "--threads", "1", "--json", cwd=task_project).json()
    assert (again["encoded"], again["reused"]) == (16, 0)
    assert {path: (task_project / path).read_bytes() for path in before} == before
    assert "plants, test, default: ndcg_at_10" in aqea(*GENERATE, cwd=task_project).out


def test_a_result_is_made_again_without_the_model(task_project: Path) -> None:
    (task_project / "models").rename(task_project / "away")
    project = open_project(task_project)
    text = result_of(project.catalogue["plants"], project.vector_sets[KEY], task_project / VECTORS, Silent())
    assert text == (task_project / RESULT).read_bytes()


@pytest.mark.parametrize("work", ["result", "lists"])
def test_a_vector_set_without_one_of_the_texts_is_refused(task_project: Path, work: str) -> None:
    whole, project = VectorSet(task_project / VECTORS), open_project(task_project)
    with atomic_write(task_project / VECTORS) as file:
        write_vector_set(file, whole.dimension, ((keys[1:], vectors[1:]) for keys, vectors in whole.blocks()))
    dataset, made = project.catalogue["plants"], project.vector_sets[KEY]
    with pytest.raises(Refused, match=f"{VECTORS}.* the vector of a text of the task is missing"):
        if work == "result":
            result_of(dataset, made, task_project / VECTORS, Silent())
        else:
            kept_lists(dataset, made, "0" * 64, Silent())


def test_a_killed_encode_goes_on_where_it_stopped(task_project: Path) -> None:
    (task_project / "data/plants/corpus.jsonl").write_bytes(retrieval(documents=13)["corpus.jsonl"])
    assert aqea("pin", "plants", cwd=task_project).status == 0
    assert aqea(*GENERATE, "--json", cwd=task_project).json()["encoded"] == 1, "the others are kept"


def test_what_a_killed_run_left_is_removed_and_what_another_uses_is_not(tmp_path: Path) -> None:
    left, used = tmp_path / ".aqea/mteb-left", tmp_path / ".aqea/mteb-used"
    for folder in (left, used):
        (folder / "data").mkdir(parents=True)
    with locked(used), _scratch(tmp_path / ".aqea") as own:
        assert {*(tmp_path / ".aqea").glob("mteb-*")} == {used, Path(own)}


@pytest.mark.parametrize(("precision", "message"), [("float32", "canonical")])
def test_vectors_that_are_not_canonical_are_refused(task_project: Path, precision: str, message: str) -> None:
    edit_params(task_project, lambda params: params.update(precision=precision))
    result = aqea(*GENERATE, cwd=task_project)
    assert result.status == 2 and message in result.err
