"""Every command over the project of 0.1.0 and over broken copies of it answers as 0.1.0 did, but for what is named."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from tests import sampling
from tests.golden.answers import answers, load
from tests.golden.cases import BROKEN
from tests.golden.differences import DIFFERENCES, Difference

pytestmark = pytest.mark.weights


def places(then: Any, now: Any, at: str = "") -> Iterator[str]:
    """Where two answers differ, as `/`-joined keys."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted({*then, *now}):
            if key not in then or key not in now:
                yield f"{at}/{key}"
            else:
                yield from places(then[key], now[key], f"{at}/{key}")
    elif then != now:
        yield at


def named(difference: Difference, project: str, command: str, place: str) -> bool:
    return all(
        any(fnmatchcase(value, pattern) for pattern in patterns)
        for value, patterns in ((project, difference.projects), (command[3:], difference.commands), (place, difference.places))
    )


NAMES = ["sound", *sampling.sample(list(BROKEN)[1:], share=0.1, name="golden")]


@pytest.mark.parametrize("name", NAMES)
def test_the_answers_are_those_of_0_1_0(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # the answers are those of a Hub that does not answer, which is waited for
    recorded, now = load()[name], answers(tmp_path, name)
    differing = [(command, place) for command in recorded for place in places(recorded[command], now[command])]
    unnamed = [
        f"{command}: {place}: {recorded[command]} -> {now[command]}"
        for command, place in differing
        if not any(named(difference, name, command, place) for difference in DIFFERENCES)
    ]
    assert not unnamed, "\n".join(unnamed)


def test_each_named_difference_is_of_commands_that_were_recorded() -> None:
    commands = [command[3:] for command in load()["sound"]]
    for difference in DIFFERENCES:
        assert all(any(fnmatchcase(one, pattern) for one in commands) for pattern in difference.commands), difference
