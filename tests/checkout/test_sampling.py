"""The part of many cases that a run takes."""

from __future__ import annotations

import pytest

from tests import sampling

CASES = [f"{letter}{number}" for letter in "abc" for number in range(10)] + ["lonely"]


@pytest.fixture(autouse=True)
def part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sampling.EVERYTHING, raising=False)
    monkeypatch.setenv(sampling.SEED, "1")


def taken(name: str = "x", share: float = 0.2) -> list[str]:
    return sampling.sample(CASES, share=share, name=name, stratum=lambda case: case[0])


def test_each_stratum_keeps_its_share_and_one_case_at_least() -> None:
    assert sorted(case[0] for case in taken()) == [*"aabbccl"]
    assert sorted(case[0] for case in taken(share=0.01)) == [*"abcl"]
    assert taken() == sorted(taken(), key=CASES.index)


def test_the_seed_and_the_name_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    first = taken()
    assert first == taken() != taken("another")
    monkeypatch.setenv(sampling.SEED, "2")
    assert taken() != first


def test_all_takes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sampling.times(100, 3) == 3
    monkeypatch.setenv(sampling.EVERYTHING, "1")
    assert (taken(), sampling.times(100, 3)) == (CASES, 100)
