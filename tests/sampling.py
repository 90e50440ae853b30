"""Which part of many cases a run takes: a seed that pytest prints chooses it; with `--all` a run takes every case.

Both stand in the environment, where the processes that a test starts find them as well.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

SEED, EVERYTHING = "AQEA_TEST_SEED", "AQEA_TEST_ALL"

Case = TypeVar("Case")


def configure(everything: bool) -> None:
    """Choose a seed, if nobody gave one. Before the workers start, which must collect the same cases."""
    if everything:
        os.environ[EVERYTHING] = "1"
    os.environ.setdefault(SEED, str(random.SystemRandom().randrange(10**6)))


def header() -> str:
    """The line that says how to take the same cases again."""
    if everything():
        return f"every case, seed {os.environ[SEED]}"
    return f"a part of the cases: {SEED}={os.environ[SEED]} takes the same part again, --all takes everything"


def everything() -> bool:
    """Whether this run takes every case."""
    return EVERYTHING in os.environ


def seed(name: str) -> str:
    """A seed for a test's own random choices: another one for each name, the same in every run with this seed."""
    return f"{os.environ.get(SEED, 0)} {name}"


def sample(
    cases: Iterable[Case], *, share: float, name: str, stratum: Callable[[Case], object] = lambda case: None
) -> list[Case]:
    """A share of the cases in their order, of each stratum at least one."""
    listed = list(cases)
    if everything():
        return listed
    chance = random.Random(seed(name))
    strata: dict[object, list[int]] = defaultdict(list)
    for position, case in enumerate(listed):
        strata[stratum(case)].append(position)
    kept = {
        position
        for positions in strata.values()
        for position in chance.sample(positions, max(1, round(share * len(positions))))
    }
    return [listed[position] for position in sorted(kept)]


class Made(Protocol):
    """A request of a server's log."""

    @property
    def method(self) -> str: ...


def requests(made: Sequence[Made], *, share: float, name: str) -> list[int]:
    """The positions of a share of the requests, of each method at least one: those that a test spoils or kills at."""
    return sample(range(len(made)), share=share, name=name, stratum=lambda position: made[position].method)


def times(all_of_them: int, part: int) -> int:
    """How often a run does what `--all` does `all_of_them` times."""
    return all_of_them if everything() else part
