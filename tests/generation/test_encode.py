"""The vectors of a whole run, computed by this machine or by workers of a cluster: what `generate` then finds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.standins import stand_ins
from tests.task_project import RESULT, VECTORS, task_made, task_project
from tests.tools import aqea

__all__ = ["stand_ins", "task_made", "task_project"]
PAIRS = "training/data/talk_tiny_384d_pairs.json"


def unencoded(project: Path) -> Path:
    """The project without its vectors."""
    shutil.rmtree(project / ".aqea")
    return project


def encode(project: Path, *words: str, status: int = 0, env: dict[str, str] | None = None) -> dict[str, Any]:
    result = aqea("encode", *words, "--json", cwd=project, env=env)
    assert result.status == status, result.out + result.err
    return result.json()


def test_generate_finds_every_vector_of_the_run(task_project: Path) -> None:
    before = {path: (task_project / path).read_bytes() for path in (VECTORS, RESULT, PAIRS)}
    result = aqea("encode", "--json", cwd=unencoded(task_project))
    (found,) = result.json()["models"]
    assert (found["name"], found["texts"], found["encoded"]) == ("tiny", 29, 29)
    assert "encode tiny: 29 sentences, about" in result.err
    assert [encode(task_project)["models"][0][name] for name in ("texts", "encoded")] == [29, 0]
    for dataset, texts in (("plants", 16), ("talk", 13)):
        made = aqea("generate", dataset, "tiny", "--json", cwd=task_project).json()
        assert (made["encoded"], made["reused"]) == (0, texts)
    assert {path: (task_project / path).read_bytes() for path in before} == before
