"""The measure of growth: it passes what is linear and fails what is not."""

from __future__ import annotations

import pytest

from tests.growth import assert_linear


def test_linear_work_passes() -> None:
    assert_linear(lambda n: lambda: sum(range(n)), 2_000_000)


def test_work_that_grows_faster_fails() -> None:
    """With the cube, eight times: no disturbance of a busy machine makes three of it."""
    with pytest.raises(AssertionError, match="200: "):
        assert_linear(lambda n: lambda: [sum(range(n)) for _ in range(n * n)], 100)
