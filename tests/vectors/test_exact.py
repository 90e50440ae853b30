"""Scores are the float64 nearest to the true number: held against scipy, and to the last bit against mpmath."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr

from aqea_registry.vectors.scores import (
    Undefined,
    correlation,
    correlation_of_fixed,
    fixed_sqrt,
    integers,
    nearest_float,
    ranks,
)
from tests import factories

whole = st.integers(-(10**12), 10**12)
few = st.integers(-3, 3)  # so few values that ties are the rule
finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(few | whole, max_size=40))
def test_ranks_are_twice_the_average_ranks(values: list[int]) -> None:
    assert ranks(values) == [int(2 * rank) for rank in rankdata(values)] if values else ranks(values) == []


@given(st.lists(finite, max_size=20))
def test_integers_keep_ratios_and_signs(values: list[float]) -> None:
    result = integers(values)
    assert [(value > 0) - (value < 0) for value in result] == [(value > 0) - (value < 0) for value in values]
    for value, number in zip(values, result, strict=True):
        for other_value, other in zip(values, result, strict=True):
            assert Fraction(value) * other == Fraction(other_value) * number


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_integers_refuse_what_is_not_finite(value: float) -> None:
    with pytest.raises((ValueError, OverflowError)):
        integers([1.0, value])


@pytest.mark.parametrize("seed", range(20))
def test_correlations_agree_with_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 200))
    x, y = rng.integers(-1000, 1000, count).tolist(), rng.integers(-20, 20, count).tolist()
    assert correlation(x, y) == pytest.approx(pearsonr(x, y).statistic, abs=1e-12)
    assert correlation(ranks(x), ranks(y)) == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    u, v = rng.standard_normal(count).tolist(), rng.uniform(0, 5, count).tolist()
    assert correlation(integers(u), integers(v)) == pytest.approx(pearsonr(u, v).statistic, abs=1e-12)
    assert correlation(ranks(integers(u)), ranks(integers(v))) == pytest.approx(spearmanr(u, v).statistic, abs=1e-12)


def rounded_correlation(x: list[int], y: list[int]) -> float:
    with mpmath.workdps(120):
        return factories.nearest(factories.correlation([mpmath.mpf(value) for value in x], [mpmath.mpf(value) for value in y]))


@given(st.lists(st.tuples(few, few) | st.tuples(whole, whole), min_size=2, max_size=30))
def test_a_correlation_is_the_nearest_float(rows: list[tuple[int, int]]) -> None:
    x, y = [row[0] for row in rows], [row[1] for row in rows]
    assume(len(set(x)) > 1 and len(set(y)) > 1)
    assert correlation(x, y) == rounded_correlation(x, y)


@pytest.mark.parametrize("smallest", [1e-20, 1e-40, 1e-60, 1e-150, 1e-300])
def test_a_tiny_correlation_is_the_nearest_float(smallest: float) -> None:
    x, y = [0.0, 1.0, 2.0, 3.0], [smallest, 1.0, 1.0, 0.0]  # all but the smallest value cancels
    with mpmath.workdps(800):
        wanted = factories.nearest(
            factories.correlation([mpmath.mpf(value) for value in x], [mpmath.mpf(value) for value in y]), 2400
        )
    assert -1 < wanted < 0
    assert correlation(integers(x), integers(y)) == wanted


@given(st.lists(whole, min_size=2, max_size=20), whole, whole)
def test_a_perfect_correlation_is_exactly_one(x: list[int], scale: int, offset: int) -> None:
    assume(len(set(x)) > 1 and scale)
    assert correlation(x, [scale * value + offset for value in x]) == (1.0 if scale > 0 else -1.0)


@given(st.lists(st.tuples(few, few), min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_neither_order_nor_side_changes_a_correlation(rows: list[tuple[int, int]], random: Random) -> None:
    x, y = [row[0] for row in rows], [row[1] for row in rows]
    assume(len(set(x)) > 1 and len(set(y)) > 1)
    random.shuffle(rows)
    assert correlation(x, y) == correlation(y, x) == correlation([row[0] for row in rows], [row[1] for row in rows])


def test_no_correlation_leaves_minus_one_to_one() -> None:
    near = [0, 10**30, 2 * 10**30 + 1]
    assert correlation([0, 1, 2], near) == 1.0
    assert correlation([0, -1, -2], near) == -1.0


@pytest.mark.parametrize(("x", "y"), [([], []), ([1], [2]), ([1, 1], [1, 2]), ([1, 2], [3, 3]), ([5, 5, 5], [7, 7, 7])])
def test_a_correlation_with_a_constant_is_undefined(x: list[int], y: list[int]) -> None:
    with pytest.raises(Undefined):
        correlation(x, y)
    with pytest.raises(Undefined):
        correlation_of_fixed(lambda bits: [value << bits for value in x], y, 64)


@given(st.integers(1, 2**64), st.integers(1, 2**64), st.sampled_from([-1, 1]))
def test_a_square_root_is_rounded_once(numerator: int, denominator: int, sign: int) -> None:
    bits = 256
    with mpmath.workdps(120):
        wanted = sign * factories.nearest(mpmath.sqrt(mpmath.mpf(numerator) / denominator))
    assert nearest_float(fixed_sqrt(sign, numerator, denominator, bits), bits) == wanted


@given(st.integers(2**56, 2**300), st.sampled_from([-1, 1]), st.integers(0, 300))
def test_a_truncated_number_is_no_tie(size: int, sign: int, bits: int) -> None:
    """The true number lies a hair beyond the truncated one, and that decides where the truncated one is a tie."""
    tie = (2 * (size >> size.bit_length() - 53) + 1) << 60
    for fixed in (size, tie):
        assert nearest_float(sign * fixed, bits) == float(Fraction(sign * (4 * fixed + 1), 4 << bits))


@given(st.lists(st.tuples(st.integers(0, 10**12), few), min_size=2, max_size=20), st.sampled_from([64, 100, 256]))
def test_a_correlation_of_roots_is_the_nearest_float(rows: list[tuple[int, int]], bits: int) -> None:
    """However many bits are asked for at first."""
    x, y = [row[0] for row in rows], [row[1] for row in rows]
    assume(len(set(x)) > 1 and len(set(y)) > 1)
    with mpmath.workdps(120):
        wanted = factories.nearest(
            factories.correlation([mpmath.sqrt(value) for value in x], [mpmath.mpf(value) for value in y])
        )
    assert correlation_of_fixed(lambda at: [fixed_sqrt(1, value, 1, at) for value in x], y, bits) == wanted


@pytest.mark.parametrize(
    ("squares", "y"),
    [
        ([2, 3, 2, 3], [0, 0, 1, 1]),  # every root stands as often with the one score as with the other
        ([0, 1, 4], [1, -2, 1]),  # whole roots
        ([2, 8, 18], [1, -2, 1]),  # 1, 2 and 3 times one root
    ],
)
@pytest.mark.parametrize("bits", [64, 200])
def test_roots_that_do_not_correlate_give_zero(squares: list[int], y: list[int], bits: int) -> None:
    found = correlation_of_fixed(lambda at: [fixed_sqrt(1, value, 1, at) for value in squares], y, bits)
    assert repr(found) == "0.0"


@pytest.mark.parametrize(("x", "y"), [([0, 0, 1, 1], [0, 1, 0, 1]), ([1, -2, 1], [3, 4, 5])])
def test_zero_has_no_sign(x: list[int], y: list[int]) -> None:
    """A file of metrics with -0.0 in it would be another file."""
    assert repr(correlation(x, y)) == repr(correlation(x, [-value for value in y])) == "0.0"


@pytest.mark.parametrize(("y", "wanted"), [([0, 7], 1.0), ([7, 0], -1.0)])
def test_two_roots_correlate_perfectly(y: list[int], wanted: float) -> None:
    assert correlation_of_fixed(lambda bits: [fixed_sqrt(1, value, 1, bits) for value in (2, 3)], y, 64) == wanted


@pytest.mark.parametrize("seed", range(20))
def test_the_error_of_fixed_point_is_counted_whole(seed: int) -> None:
    """Each x is off by nearly one unit, all in the direction that changes the correlation most, where that is a last digit."""
    random, count, precise = Random(seed), 40, 400
    x = [random.randrange(1, 1 << precise) for _ in range(count)]
    y = [random.randrange(51) for _ in range(count)]
    middle = sum(y) / count

    def raised(bits: int) -> list[int]:
        floors = [value >> precise - bits for value in x]
        return [floor + (score > middle) for floor, score in zip(floors, y, strict=True)]

    for bits in range(48, 64):
        assert correlation_of_fixed(raised, y, bits) == correlation(x, y)
