"""The six scores: held against scipy, to the last bit against mpmath, and against the laws that they must keep."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from aqea_registry.project.artefact import metrics_text
from aqea_registry.vectors.pair_set import Header, Micro
from aqea_registry.vectors.scores import Metrics, Undefined, cosines, metrics, products
from tests import factories

NAMES = ("cos_sim", "euclidean", "manhattan")


def scored(first: Micro, second: Micro, scores: list[float]) -> Metrics:
    return metrics(products([(first, second)]), scores)


def similarities(first: Micro, second: Micro) -> dict[str, npt.NDArray[np.float64]]:
    """As float64 gives them; cosines rounded to what float64 is sure of, so that equal ones are equal."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    cosine = (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return {
        "cos_sim": np.round(cosine, 13),
        "euclidean": -np.sqrt(((a - b) ** 2).sum(axis=1)),
        "manhattan": -np.abs(a - b).sum(axis=1),
    }


@pytest.mark.parametrize("dimension", [1, 2, 3, 7, 16, 33, 64])
@pytest.mark.parametrize("seed", range(4))
def test_all_six_agree_with_scipy(dimension: int, seed: int) -> None:
    first, second, scores = factories.pairs(seed, 80, dimension)
    found = scored(first, second, scores)
    for name, values in similarities(first, second).items():
        assert getattr(found, f"{name}_pearson") == pytest.approx(pearsonr(values, scores).statistic, abs=1e-12)
        assert getattr(found, f"{name}_spearman") == pytest.approx(spearmanr(values, scores).statistic, abs=1e-12)


def exact_ranks(values: list[Any]) -> list[Any]:
    """Average ranks by counting, with nothing but comparisons."""
    below = [sum(other < value for other in values) for value in values]
    return [mpmath.mpf(count) + mpmath.mpf(values.count(value) + 1) / 2 for count, value in zip(below, values, strict=True)]


def true_metrics(first: Micro, second: Micro, scores: list[float]) -> dict[str, float]:
    """All six from real numbers of 100 digits. Squares of cosines and distances are rational: their order is exact."""
    rows = [(list(map(int, a)), list(map(int, b))) for a, b in zip(first, second, strict=True)]
    dot = [sum(x * y for x, y in zip(a, b, strict=True)) for a, b in rows]
    square = [sum(x * x for x in a) * sum(y * y for y in b) for a, b in rows]
    distance = [sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) for a, b in rows]
    manhattan = [sum(abs(x - y) for x, y in zip(a, b, strict=True)) for a, b in rows]
    human = [mpmath.mpf(score) for score in scores]
    order: dict[str, list[Any]] = {
        "cos_sim": [Fraction(value * abs(value), size) for value, size in zip(dot, square, strict=True)],
        "euclidean": [-value for value in distance],
        "manhattan": [-value for value in manhattan],
    }
    value = {
        "cos_sim": [mpmath.mpf(value) / mpmath.sqrt(size) for value, size in zip(dot, square, strict=True)],
        "euclidean": [-mpmath.sqrt(value) for value in distance],
        "manhattan": [-mpmath.mpf(value) for value in manhattan],
    }
    human_ranks = exact_ranks(human)
    return {
        **{f"{name}_pearson": factories.nearest(factories.correlation(value[name], human), 300) for name in NAMES},
        **{
            f"{name}_spearman": factories.nearest(factories.correlation(exact_ranks(order[name]), human_ranks), 300)
            for name in NAMES
        },
    }


@pytest.mark.parametrize(
    ("seed", "count", "dimension"), [(0, 40, 8), (1, 30, 3), (2, 25, 1), (3, 60, 2), (4, 40, 32), (5, 6, 5)]
)
def test_all_six_are_the_nearest_floats(seed: int, count: int, dimension: int) -> None:
    first, second, scores = factories.pairs(seed, count, dimension)
    with mpmath.workdps(100):
        wanted = true_metrics(first, second, scores)
    found = scored(first, second, scores)
    assert {name: getattr(found, name) for name in wanted} == wanted


@pytest.mark.parametrize("seed", range(4))
def test_cosines_are_the_nearest_floats(seed: int) -> None:
    first, second, _ = factories.pairs(seed, 70, 5 * seed + 1)
    found = cosines(products([(first, second)]))
    with mpmath.workdps(100):
        for a, b, cosine in zip(first.tolist(), second.tolist(), found, strict=True):
            lengths = sum(x * x for x in a) * sum(y * y for y in b)
            assert cosine == factories.nearest(sum(x * y for x, y in zip(a, b, strict=True)) / mpmath.sqrt(lengths), 300)


def test_identical_and_negated_rows_have_cosines_of_exactly_one() -> None:
    rows = factories.unit_rows(np.random.default_rng(0), 200, 48)
    assert cosines(products([(rows, rows)])) == [1.0] * 200
    assert cosines(products([(rows, -rows)])) == [-1.0] * 200


@given(st.integers(0, 50), st.lists(st.integers(1, 9), max_size=8))
def test_blocks_do_not_matter(seed: int, lengths: list[int]) -> None:
    first, second, _ = factories.pairs(seed, 30, 4)
    cuts = np.cumsum(lengths)[np.cumsum(lengths) < 30]
    blocks = zip(np.split(first, cuts), np.split(second, cuts), strict=True)
    assert products(blocks) == products([(first, second)])


@given(st.integers(0, 50), st.permutations(range(20)))
def test_the_order_of_rows_does_not_matter(seed: int, order: list[int]) -> None:
    first, second, scores = factories.pairs(seed, 20, 3)
    assert scored(first[order], second[order], [scores[row] for row in order]) == scored(first, second, scores)


@given(st.integers(0, 50))
def test_sides_and_the_order_of_components_do_not_matter(seed: int) -> None:
    first, second, scores = factories.pairs(seed, 20, 6)
    whole = scored(first, second, scores)
    assert scored(second, first, scores) == whole
    assert scored(first[:, ::-1], second[:, ::-1], scores) == whole


@given(st.lists(st.lists(st.integers(-(2**28), 2**28), min_size=6, max_size=6), min_size=1, max_size=5))
def test_products_are_exact(rows: list[list[int]]) -> None:
    matrix = np.array(rows, np.int32)
    first, second = matrix[:, :3], matrix[:, 3:]
    found = products([(first, second)])
    assert found.dot == [sum(a * b for a, b in zip(row[:3], row[3:], strict=True)) for row in rows]
    assert found.norm1 == [sum(a * a for a in row[:3]) for row in rows]
    assert found.norm2 == [sum(b * b for b in row[3:]) for row in rows]
    assert found.distance == [sum((a - b) ** 2 for a, b in zip(row[:3], row[3:], strict=True)) for row in rows]
    assert found.manhattan == [sum(abs(a - b) for a, b in zip(row[:3], row[3:], strict=True)) for row in rows]


@pytest.mark.parametrize("value", [2**31 - 1, -(2**31)])
def test_values_whose_products_leave_int64_are_refused(value: int) -> None:
    row = np.array([[value, 1, 1]], np.int32)
    with pytest.raises(ValueError, match="too large"):
        products([(row, row)])


def test_the_limit_counts_the_dimension() -> None:
    one, wide = np.full((1, 1), 10**9, np.int32), np.full((1, 4), 10**9, np.int32)
    assert products([(one, -one)]).distance == [4 * 10**18]
    with pytest.raises(ValueError, match="too large"):
        products([(wide, -wide)])


def test_a_zero_vector_has_no_scores() -> None:
    first, second, scores = factories.pairs(0, 10, 4)
    second[6] = 0
    rows = products([(first, second)])
    for compute in (lambda: cosines(rows), lambda: metrics(rows, scores)):
        with pytest.raises(Undefined, match="zero vector"):
            compute()


def test_constants_have_no_scores() -> None:
    first, second, scores = factories.pairs(0, 10, 4)
    for rows in (products([(first, second)]), products([(first, first)])):
        with pytest.raises(Undefined):
            metrics(rows, [3.0] * 10)
    with pytest.raises(Undefined):
        scored(first, first, scores)


def test_pairs_that_do_not_correlate_score_zero() -> None:
    """Each pair stands once with each score, so all six are exactly zero."""
    first, second = np.array([[3, 0], [1, 2]] * 2, np.int32), np.array([[2, 1], [1, 5]] * 2, np.int32)
    found = scored(first, second, [0.0, 0.0, 1.0, 1.0])
    assert {repr(getattr(found, name)) for name in Metrics.__struct_fields__} == {"0.0"}


def test_the_metrics_file_holds_every_digit() -> None:
    found = scored(*factories.pairs(0, 30, 4))
    header = Header(dataset="d", model="m", dimension=4, n_pairs=30, baseline_spearman=0.5)
    text = metrics_text(found, header, "canonical").decode()
    assert text.endswith("}\n")
    for name in Metrics.__struct_fields__:
        assert f'"{name}": {getattr(found, name)!r}' in text
