"""Alternating measurements, the figures made of them, and the table that shows them."""

from __future__ import annotations

import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = Path(sys.executable).with_name("aqea-registry")
CORES = len(os.sched_getaffinity(0))
BEFORE = os.environ.get("BEFORE", "")  # a checkout of an earlier state, to be measured in the same run
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Goal(NamedTuple):
    """What is to be reached, by the ratio or by our own value; `reached before` is no goal, but not to be lost."""

    of: Literal["ratio", "ours"]
    relation: Literal["at least", "at most", "reached before"]
    value: float


class Figure(NamedTuple):
    """One row of the table: our values and a peer's, round by round. The ratio is always ours to the peer's."""

    what: str
    ours: Sequence[float]
    against: str = ""
    peer: Sequence[float] = ()
    unit: str = "s"
    goal: Goal | None = None
    limit: str = ""

    def ratios(self) -> list[float]:
        """The ratio of each round: a slow moment of the machine meets both sides of a round."""
        return [ours / peer for ours, peer in zip(self.ours, self.peer, strict=True)] if self.peer else []

    def verdict(self) -> str:
        """The goal, and whether the median reaches it."""
        if self.goal is None:
            return ""
        value = median(self.ratios() if self.goal.of == "ratio" else self.ours)
        met = value <= self.goal.value if self.goal.relation == "at most" else value >= self.goal.value
        good = "kept" if self.goal.relation == "reached before" else "met"
        unit = f" {self.unit}" if self.goal.of == "ours" and self.unit else ""
        return f"{self.goal.relation} {self.goal.value:g}{unit}: {good if met else 'MISSED'}"

    def plain(self) -> dict[str, object]:
        """The figure as plain values, for the results file."""
        goal = {**self.goal._asdict(), "verdict": self.verdict().rpartition(": ")[2].lower()} if self.goal else None
        values = {"ours": summary(self.ours), "peer": summary(self.peer), "ratio": summary(self.ratios()), "goal": goal}
        told = {"what": self.what, "against": self.against, "unit": self.unit, "limit": self.limit, **values}
        return {key: value for key, value in told.items() if value}

    def cells(self) -> list[str]:
        """The cells of the figure's row."""
        ratios = self.ratios()
        return [
            self.what,
            spread(self.ours, self.unit),
            f"{self.against}: {spread(self.peer, self.unit)}" if self.peer else self.against,
            spread(ratios) if ratios else "",
            self.verdict(),
            self.limit,
        ]


HEADER = ("figure", "ours", "against", "ratio", "goal", "limit")


def spread(values: Sequence[float], unit: str = "") -> str:
    """The median, and the smallest and largest value where there are several; nothing if there is none."""
    if not values:
        return ""
    digits = 3 if median(values) < 10 else 1 if median(values) < 100 else 0
    text = f"{median(values):.{digits}f}" + (f" {unit}" if unit else "")
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def summary(values: Sequence[float]) -> dict[str, float]:
    """What `spread` shows, as numbers."""
    if not values:
        return {}
    found = {"median": median(values), "smallest": min(values), "largest": max(values)}
    return {name: float(f"{value:.4g}") for name, value in found.items() if len(values) > 1 or name == "median"}


def results(figures: Sequence[Figure]) -> dict[str, dict[str, object]]:
    """The figures by what they measure and against what, in letters, digits and hyphens."""
    return {re.sub("[^a-z0-9]+", "-", f"{one.what} {one.against}".lower()).strip("-"): one.plain() for one in figures}


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table whose columns also line up in a terminal."""
    rows = [list(HEADER), *(figure.cells() for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def alternate(rounds: int, works: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Measure all works in turn, A B A B ..., after one turn that does not count. A work returns its own measure."""
    measured: dict[str, list[T]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            value = work()
            if turn:
                measured[name].append(value)
    return measured


def seconds(work: Callable[[], object]) -> Callable[[], float]:
    """A work that returns how long it took."""

    def timed() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return timed


def rates(size: float, times: Sequence[float]) -> list[float]:
    """Times as rates: `size` of something a second."""
    return [size / time for time in times]


class Usage(NamedTuple):
    """What a program took as a whole: seconds by the clock, seconds of processors, and its largest resident size in GB."""

    wall: float
    cpu: float
    peak: float


def usage(*words: str | Path, cwd: Path, status: int = 0, checkout: str | Path = "") -> Usage:
    """Run a program, which must end with this status; of ours, the build in another checkout where one is named.

    Python keeps its bytecode outside the checkout.
    """
    environment = {**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", "PYTHONPYCACHEPREFIX": str(cwd / "pycache")}
    # Some shells forbid bytecode; an installed program has it, so a start without it would measure the compiler.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if checkout:
        environment["PYTHONPATH"] = str(checkout)
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        child = subprocess.Popen(list(map(str, words)), cwd=cwd, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, ended, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(ended)
        if child.returncode != status:
            output.seek(0)
            raise RuntimeError(f"{words[0]} ended with {child.returncode}: {output.read(2000).decode(errors='replace')}")
    return Usage(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * MAXRSS_UNIT / 1e9)


def command(*words: str | Path, cwd: Path) -> Callable[[], float]:
    """A program as a whole, in seconds; it must succeed."""
    return lambda: usage(*words, cwd=cwd).wall


def in_child(function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Call a function in a fresh process: nothing that was imported or allocated before is in the way."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments, **options).result()


def peak_memory() -> float:
    """The largest resident size of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT / 1e9


@contextmanager
def temporary() -> Iterator[Path]:
    """A folder that is gone afterwards, named by its real path."""
    with tempfile.TemporaryDirectory(prefix="aqea-benchmark-") as name:
        yield Path(name).resolve()


def machine() -> str:
    """The machine in one line."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    model = names[0] if names else platform.processor() or platform.machine()
    return (
        f"{model}, {CORES} cores, {memory:.0f} GB, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


class Load:
    """What other programs took of the processors since this was made: noise that the reader should know of."""

    def __init__(self) -> None:
        self._start = self._now()

    def text(self) -> str:
        """The load of others in one line, or nothing where the system does not tell."""
        wall, busy, own = (now - start for now, start in zip(self._now(), self._start, strict=True))
        if not busy:
            return ""
        return f"Other programs took {max(0.0, busy - own) / wall:.2f} of {CORES} cores meanwhile."

    @staticmethod
    def _now() -> tuple[float, float, float]:
        busy = 0.0
        if (stat := Path("/proc/stat")).exists():
            fields = list(map(int, stat.read_text().split("\n")[0].split()[1:9]))
            busy = (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return time.monotonic(), busy, sum(one.ru_utime + one.ru_stime for one in used)
