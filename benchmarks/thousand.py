"""A run of a thousand artefacts (100 datasets under 10 small models) with nothing to do, against one of a hundred."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from benchmarks.timing import PROGRAM, Figure, Goal, temporary, usage
from tests.many import commit, tiny_model, write_project
from tests.standins import Files

DVC = Path(sys.executable).with_name("dvc")
COMMANDS: Mapping[str, tuple[str | Path, ...]] = {
    "`dvc repro`, nothing changed": (DVC, "repro"),
    "`dvc status`": (DVC, "status"),
    "`verify`": (PROGRAM, "verify"),
    "`trace` of one number": (PROGRAM, "trace", "d000-m0#cos_sim_spearman"),
    "`report`": (PROGRAM, "report"),
    "`publish --dry-run`": (PROGRAM, "publish", "--tag", "v1", "--dry-run"),
}
LONGEST, LINEAR = Goal("ours", "at most", 60), Goal("ratio", "at most", 10)


def measure(*, quick: bool) -> list[Figure]:
    """The commands in the two projects, in turn."""
    os.environ |= {"DVC_NO_ANALYTICS": "1", "OMP_NUM_THREADS": "1"}  # threads of small matrices wait for each other
    sizes, rounds = ((2, 4), 1) if quick else ((10, 100), 3)
    with temporary() as folder:
        model = tiny_model()
        few, many = (_Made(folder / str(size), model, size, 2 if quick else 10) for size in sizes)
        figures = [few.together("a hundred artefacts"), many.together("a thousand artefacts")]
        for name, words in COMMANDS.items():
            taken = [(many.seconds(*words), few.seconds(*words)) for _ in range(rounds)]
            ours, peer = map(list, zip(*taken, strict=True))
            figures.append(Figure(f"{name}, a thousand artefacts", ours, "a hundred", peer, goal=LONGEST))
    growth = max((median(figure.ratios()), figure) for figure in figures[2:])[1]
    return [*figures, growth._replace(what=f"the largest of these ratios, {growth.what}", goal=LINEAR)]


class _Made:
    """A project of a small model's artefacts, and what making them took."""

    def __init__(self, folder: Path, model: Files, datasets: int, models: int) -> None:
        write_project(folder, model, datasets, models)
        self._folder, self._count = folder, datasets * models
        self._alone = [self.seconds(PROGRAM, "generate", "d000", model) for model in ("m0", "m1")][1]  # the first one compiles
        self._all = self.seconds(DVC, "repro")
        commit(folder)

    def seconds(self, *words: str | Path) -> float:
        """Processor time of a program there."""
        program, *others = words
        there = ("--cd", self._folder, *others) if program == DVC else (*others, "-C", self._folder)
        return usage(program, *there, cwd=self._folder.parent).cpu

    def together(self, what: str) -> Figure:
        """What one of all artefacts takes that one process makes, and what one alone takes."""
        return Figure(f"making one of {what}", [self._all / self._count], "a process for it alone", [self._alone])
