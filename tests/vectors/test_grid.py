"""From floats to the grid: each value is the nearest millionth of the normalised one, and the margin says how surely."""

from __future__ import annotations

import mpmath
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aqea_registry.vectors.pair_set import MICRO, BadVector, OnGrid, to_grid

vectors = arrays.arrays(np.float64, (3, 5), elements=st.floats(-100, 100).filter(lambda value: value == 0 or abs(value) > 1e-6))


def margin_of(rows: OnGrid) -> float:
    """The smallest distance of all rows to a rounding boundary."""
    return float(np.abs(rows.distances).min(initial=0.5 / MICRO))


def scaled(row: list[float]) -> list[mpmath.mpf]:
    """The row in micro-units as real numbers of 40 digits."""
    length = mpmath.sqrt(mpmath.fsum([mpmath.mpf(value) ** 2 for value in row]))
    return [mpmath.mpf(value) / length * MICRO for value in row]


@given(vectors.filter(lambda rows: bool((rows != 0).any(axis=1).all())))
def test_values_are_the_nearest_millionths_and_the_margin_is_kept(rows: npt.NDArray[np.float64]) -> None:
    found = to_grid(rows)
    micro, margin = found.micro, margin_of(found)
    assert micro.dtype == np.int32 and micro.shape == rows.shape
    distance = mpmath.mpf(1)
    with mpmath.workdps(40):
        for row, found in zip(rows.tolist(), micro.tolist(), strict=True):
            for value, number in zip(scaled(row), found, strict=True):
                if margin > 1e-14:
                    assert number == int(mpmath.nint(value))
                distance = min(distance, mpmath.mpf("0.5") - abs(value - mpmath.nint(value)))
        assert abs(distance / MICRO - margin) < 1e-15


@given(vectors.filter(lambda rows: bool((rows != 0).any(axis=1).all())))
def test_rows_have_length_one(rows: npt.NDArray[np.float64]) -> None:
    lengths = np.linalg.norm(to_grid(rows).micro.astype(np.float64), axis=1)
    assert np.abs(lengths - MICRO).max() <= 0.5 * np.sqrt(5) + 1


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_known_rows(kind: type[np.floating]) -> None:
    rows = np.array([[3, 4], [-5, 0], [0, 2**-20], [1, 1], [-1, 1]], kind)
    found = to_grid(rows)
    micro, margin = found.micro, margin_of(found)
    assert micro.tolist() == [[600_000, 800_000], [-1_000_000, 0], [0, 1_000_000], [707_107, 707_107], [-707_107, 707_107]]
    root = np.sqrt(0.5) * MICRO
    assert margin == pytest.approx((0.5 - abs(707_107 - root)) / MICRO, abs=1e-15)


def test_the_rows_of_a_block_do_not_touch_each_other() -> None:
    rows = np.random.default_rng(0).standard_normal((40, 384))
    together = to_grid(rows)
    alone = [to_grid(row[None, :]) for row in rows]
    assert np.array_equal(together.micro, np.concatenate([found.micro for found in alone]))
    assert margin_of(together) == min(margin_of(found) for found in alone)


def test_a_value_between_two_millionths_has_almost_no_margin() -> None:
    assert margin_of(to_grid(np.array([[0.5e-6, 1.0]]))) < 1e-18
    assert margin_of(to_grid(np.array([[1.0, 0.0]]))) == pytest.approx(0.5e-6)


def test_no_rows_are_no_error() -> None:
    found = to_grid(np.empty((0, 4)))
    assert found.micro.shape == (0, 4)
    assert margin_of(found) == 0.5e-6


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ([0.0, 0.0], "zero"),
        ([-0.0, 0.0], "zero"),
        ([np.nan, 1.0], "NaN or infinity"),
        ([1.0, np.inf], "NaN or infinity"),
        ([-np.inf, np.inf], "NaN or infinity"),
    ],
)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_what_cannot_be_normalised_is_named_by_its_row(bad: list[float], reason: str, kind: type[np.floating]) -> None:
    rows = np.ones((6, 2), kind)
    rows[4] = rows[5] = bad
    with pytest.raises(BadVector, match=reason) as raised:
        to_grid(rows)
    assert raised.value.row == 4


def test_the_vectors_given_are_not_changed() -> None:
    rows = np.array([[3.0, 4.0]])
    to_grid(rows)
    assert rows.tolist() == [[3.0, 4.0]]


@pytest.mark.parametrize("offset", [0.25, -0.25, 1e-6])
def test_an_offset_moves_every_boundary(offset: float) -> None:
    value = 0.6 + 0.5e-6  # on a boundary of the plain grid, and offset micro-units from the nearest of the moved one
    row = np.array([[value, np.sqrt(1 - value**2)]])
    assert margin_of(to_grid(row[:, :])) < 1e-15
    found = to_grid(row, offset)
    assert found.micro[0, 0] == (600_000 if offset > 0 else 600_001)
    assert abs(found.distances[0, 0]) == pytest.approx(abs(offset) * 1e-6, rel=1e-3)


def test_distances_are_signed_and_near_values_are_named() -> None:
    values = np.array([0.6 + 0.51e-6, 0.6 + 0.49e-6, 0.6])
    found = to_grid(np.stack([values, np.sqrt(1 - values**2)], axis=1))
    assert found.distances[:2, 0] == pytest.approx([1e-8, -1e-8], rel=1e-3)
    rows, components, distances = found.near(2e-8)
    assert [(row, at) for row, at in zip(rows.tolist(), components.tolist(), strict=True) if at == 0] == [(0, 0), (1, 0)]
    assert np.array_equal(distances, found.distances[rows, components])


def test_a_value_on_a_boundary_goes_to_the_even_millionth() -> None:
    """A row of length 1 whose first value is, in float64, exactly half-way between two millionths."""
    halves = [sign * (number + 0.5) for number in range(1, 2000) for sign in (1, -1)]
    rows = np.array([[half / MICRO, np.sqrt(1 - (half / MICRO) ** 2)] for half in halves])
    exact = (np.sqrt((rows * rows).sum(axis=1)) == 1.0) & (rows[:, 0] * MICRO == halves)
    assert exact.sum() > 1000, "of both signs, and on both sides of an even number"
    found = to_grid(rows[exact])
    wanted = [round(half) for half in np.array(halves)[exact].tolist()]  # Python's round goes to even
    assert found.micro[:, 0].tolist() == wanted
    assert margin_of(found) == 0
