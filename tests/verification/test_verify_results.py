"""A checkout with a vector set: sound as it is made, and whatever is wrong with it or its result is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from aqea_registry.generation.encoding import record_decided
from aqea_registry.project.project import open_project
from aqea_registry.vectors.margin import DecidedValue
from aqea_registry.vectors.vector_set import VectorSet, write_vector_set
from aqea_registry.verification.verify_results import TRAINED_GAP, score_gap
from tests.helpers import found, seal
from tests.standins import stand_ins
from tests.task_project import KEY, RESULT, VECTORS, task_made, task_project
from tests.tools import aqea

__all__ = ["stand_ins", "task_made", "task_project"]
MADE = f"manifests/made/{KEY}.intoto.json"


def test_what_repro_made_is_sound_and_shown(task_made: Path) -> None:
    result = aqea("verify", "--json", cwd=task_made)
    assert found(result) == set() and result.status == 0
    shown = result.json()["vector_sets"][KEY]
    assert (shown["texts"], shown["dimension"], shown["task"], shown["main_score"]) == (16, 384, "plants", "ndcg_at_10")
    assert shown["scores"] == {"test": json.loads((task_made / RESULT).read_bytes())["scores"]["test"]["default"]["ndcg_at_10"]}
    assert f"{KEY}: 16 texts x 384, plants: ndcg_at_10 0." in aqea("verify", cwd=task_made).out
    assert list(aqea("verify", "--json", cwd=task_made).json()["pair_sets"]) == ["talk-tiny"]


def shift(project: Path) -> None:
    """Exchange two vectors: a sound vector set, and another one."""
    [(keys, vectors)] = VectorSet(project / VECTORS).blocks()
    with (project / VECTORS).open("wb") as file:
        write_vector_set(file, 384, [(keys, vectors[[1, 0, *range(2, len(vectors))]])])


def other_pin(project: Path) -> None:
    result = json.loads((project / RESULT).read_bytes())
    result["model"]["digest"] = "0" * 64
    (project / RESULT).write_text(json.dumps(result))


WRONG: dict[str, tuple[Callable[[Path], object], set[tuple[str, str]]]] = {
    "exchanged vectors": (shift, {("mismatch", f"{VECTORS}: content")}),
    "a vector set that is none": (lambda project: (project / VECTORS).write_bytes(b"PAR1"), {("malformed", VECTORS)}),
    "a result of another pin": (other_pin, {("lock-stale", f"{RESULT}: model.digest")}),
    "a result that is none": (lambda project: (project / RESULT).write_text("{}"), {("malformed", RESULT)}),
}


@pytest.mark.parametrize(("change", "wanted"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_found_though_all_digests_are_right(
    task_project: Path, change: Callable[[Path], object], wanted: set[tuple[str, str]]
) -> None:
    change(task_project)
    seal(task_project)
    assert wanted <= found(aqea("verify", "--json", cwd=task_project))


def test_decided_values_are_those_of_the_vector_set(task_project: Path) -> None:
    [(keys, vectors)] = VectorSet(task_project / VECTORS).blocks()
    value = DecidedValue(keys[3:4].tobytes().hex(), 7, int(vectors[3, 7]))
    others = (replace(value, component=8), replace(value, component=384), replace(value, text="0" * 64))
    record_decided(task_project, open_project(task_project).vector_sets[KEY], "0" * 64, [value, *others])
    seal(task_project)
    wanted = {("mismatch", f"manifests/decided/{KEY}.json: {one.text}[{one.component}]") for one in others}
    assert found(aqea("verify", "--json", cwd=task_project)) == wanted


def test_decided_values_of_what_left_the_run_go_with_the_next_pin(task_project: Path) -> None:
    artefact = replace(open_project(task_project).vector_sets[KEY], key="gone")
    record_decided(task_project, artefact, "0" * 64, [DecidedValue("0" * 64, 0, 1)])
    seal(task_project)
    assert found(aqea("verify", "--json", cwd=task_project)) == set()
    assert aqea("pin", "talk", cwd=task_project).status == 0
    assert open_project(task_project).lock.decided == {} and not (task_project / artefact.decided_list).exists()


def test_a_change_of_the_task_makes_the_stage_stale(task_project: Path) -> None:
    path = task_project / "params.yaml"
    path.write_text(path.read_text().replace("document: 'a letter: '", "document: 'letter: '"))
    assert ("lock-stale", f"evaluate@{KEY}: params.yaml: models.tiny") in found(aqea("verify", "--json", cwd=task_project))


def test_a_statement_says_how_it_was_made_and_is_checked(task_project: Path) -> None:
    statement = json.loads((task_project / MADE).read_bytes())
    definition = statement["predicate"]["buildDefinition"]
    assert definition["buildType"].endswith(":vector-set:1") and definition["internalParameters"]["scored"]["mteb"]
    (task_project / f"attestations/{KEY}.intoto.json").write_text("{}")
    assert ("malformed", f"attestations/{KEY}.intoto.json") in found(aqea("verify", "--json", cwd=task_project))


def result(kind: str, scores: object, content: str = "a") -> bytes:
    return json.dumps({"type": kind, "vectors": {"content": content}, "scores": scores}).encode()


def test_scores_of_what_is_trained_may_differ_a_little_and_nothing_else_may() -> None:
    said = {"test": {"en": {"accuracy": 0.75, "scores_per_experiment": [0.5, None]}}}
    near = {"test": {"en": {"accuracy": 0.751, "scores_per_experiment": [0.5, None]}}}
    assert 0 < score_gap(result("Classification", said), result("Classification", near)) < TRAINED_GAP
    assert score_gap(result("Retrieval", said), result("Retrieval", near)) > TRAINED_GAP
    assert score_gap(result("Classification", said), result("Classification", near, "b")) > TRAINED_GAP
    for no_result in (b"{}", b"\\xff", b"[" * 99_999, b'{"type": "Classification"}'):
        assert score_gap(no_result, result("Classification", near)) > TRAINED_GAP
    others: tuple[object, ...] = ({"test": {}}, {"test": {"en": {**said["test"]["en"], "scores_per_experiment": [0.5, 0.5]}}})
    for other in others:
        assert score_gap(result("Classification", said), result("Classification", other)) > TRAINED_GAP
