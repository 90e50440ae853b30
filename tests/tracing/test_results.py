"""A trace of a task's score: to the vector set, the stage and the pins; and a broken link where a vector is another one."""

from __future__ import annotations

from pathlib import Path

from aqea_registry.vectors.vector_set import VectorSet, write_vector_set
from tests.helpers import seal
from tests.standins import stand_ins
from tests.task_project import KEY, RESULT, VECTORS, task_made, task_project
from tests.tools import aqea

__all__ = ["stand_ins", "task_made", "task_project"]
SCORE = f"{KEY}#ndcg_at_10"


def test_a_score_rests_on_result_vector_set_stage_and_pins(task_made: Path) -> None:
    traced = aqea("trace", SCORE, "--json", cwd=task_made).json()
    ids = {node["id"] for node in traced["nodes"]}
    below = {f"metric:{SCORE}", f"result:{KEY}", f"vector-set:{KEY}", f"stage:evaluate@{KEY}", "pin:plants", "pin:tiny"}
    assert below | {"upstream-file:plants/corpus.jsonl"} <= ids and traced["ok"]
    up = aqea("trace", VECTORS, "--json", cwd=task_made).json()
    assert {f"metric:{SCORE}", f"result:{KEY}"} <= {node["id"] for node in up["nodes"]}, "and upwards"
    assert aqea("trace", RESULT, cwd=task_made).status == aqea("trace", KEY, cwd=task_made).status == 0


def test_a_result_over_other_vectors_is_a_broken_link(task_project: Path) -> None:
    [(keys, vectors)] = VectorSet(task_project / VECTORS).blocks()
    with (task_project / VECTORS).open("wb") as file:
        write_vector_set(file, 384, [(keys, vectors[[1, 0, *range(2, len(vectors))]])])
    seal(task_project)
    result = aqea("trace", SCORE, "--json", cwd=task_project)
    assert (f"vector-set:{KEY}" in {finding["subject"] for finding in result.json()["findings"]}) and result.status == 1
