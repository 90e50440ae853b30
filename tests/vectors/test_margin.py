"""The margin: which values are too near to a boundary for what was measured, and which offset keeps clear of all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.vectors.margin import BAND, STEP, THIN, Spread, margin, margin_text, wider_offset

SPREAD = Spread(value=5e-16, sample=32)


def test_thin_values_are_named_with_matrix_and_row() -> None:
    first = np.array([1e-9, -3.9e-15, 2e-12])
    second = np.array([4.1e-15, 3e-15, -1e-10])
    found = margin(first, second, SPREAD, 0.0)
    assert [(one.matrix, one.row, one.distance) for one in found.thin] == [
        ("embeddings1", 1, 3.9e-15),
        ("embeddings2", 1, 3e-15),
    ]
    assert found.distance == 3e-15 and found.ratio == pytest.approx(6.0)
    assert found.offset is not None and f"rounding_offset: {found.offset:.9g}" in margin_text(found)


def test_a_wide_margin_has_no_advice() -> None:
    found = margin(np.array([1e-9]), np.array([-2e-9]), SPREAD, 0.0)
    assert (found.thin, found.offset) == ((), None)
    assert "margin 2000000" in margin_text(found)


def test_a_spread_of_zero_is_taken_for_half_a_last_place() -> None:
    assert margin(np.array([1e-15]), np.array([1.0]), Spread(value=0.0, sample=1), 0.0).ratio == pytest.approx(9.007, rel=1e-3)


def test_without_a_spread_nothing_is_judged() -> None:
    found = margin(np.array([0.0]), np.array([0.0]), None, 0.0)
    assert (found.ratio, found.thin, found.distance) == (None, (), 0.0)


@given(st.lists(st.floats(-2e-12, 2e-12), max_size=30), st.sampled_from([0.0, 3e-8, -2.5e-7]))
def test_the_offset_keeps_further_from_all_values_than_any_other(values: list[float], offset: float) -> None:
    nearest = np.array(values, np.float64)
    chosen = (wider_offset(nearest, offset) - offset) * 1e-6

    def reach(moved: float) -> float:
        return float(np.abs(nearest - moved).min(initial=2 * BAND * 1e-6))

    others = [step * STEP * 1e-6 for step in range(-100, 101, 7)]
    assert reach(chosen) >= max(map(reach, others)) - 1e-20
    if not values:
        assert chosen == 0
    assert reach(chosen) > THIN * 5e-16
