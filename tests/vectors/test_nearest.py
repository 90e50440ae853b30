"""The nearest documents: the same whatever the blocks, exact where floats are not, of equal ones the lowest number."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.vectors import nearest as nearest_module
from aqea_registry.vectors.nearest import Columns, Whole, nearest, order

SMALL = st.lists(st.tuples(*[st.integers(-3, 3)] * 3).filter(any), min_size=1, max_size=25)


def cosine_squared(query: tuple[int, ...], document: tuple[int, ...]) -> Fraction:
    """Its sign kept, and without what is the same for all documents."""
    dot = sum(a * b for a, b in zip(query, document, strict=True))
    return Fraction(dot * abs(dot), sum(a * a for a in document))


def blocks(documents: Whole, size: int, seed: int = 0) -> Iterator[tuple[Columns, Whole]]:
    numbers = np.random.default_rng(seed).permutation(len(documents))
    return ((part, documents[part]) for start in range(0, len(documents), size) for part in [numbers[start : start + size]])


@given(SMALL, SMALL, st.integers(1, 30), st.integers(1, 30), st.integers(0, 9))
def test_the_nearest_are_those_of_exact_fractions_whatever_the_blocks_and_their_order(
    queries: list[tuple[int, ...]], documents: list[tuple[int, ...]], k: int, size: int, seed: int
) -> None:
    found = nearest(np.array(queries, float), blocks(np.array(documents, float), size, seed), k)
    for query, (numbers, scores) in zip(queries, found, strict=True):
        expected = sorted(range(len(documents)), key=lambda number: -cosine_squared(query, documents[number]))[:k]
        assert numbers.tolist() == expected
        assert (np.diff(scores) <= 0).all()


def test_more_queries_than_a_block_of_products_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_module, "ROWS", 2)
    documents = np.random.default_rng(1).integers(-9, 9, (40, 5)).astype(float)
    whole, parted = ([numbers.tolist() for numbers, _ in nearest(documents, blocks(documents, size), 7)] for size in (40, 11))
    assert whole == parted
    assert len(whole) == 40


def test_equal_cosines_are_equal_where_floats_say_otherwise() -> None:
    dots, norms = np.array([1.0, 3.0, 0.0]), np.array([2.0, 18.0, 1.0])
    assert (dots / np.sqrt(norms)).argmax() == 1
    assert order(dots, norms).tolist() == [0, 1, 2]


def test_vectors_too_long_for_exact_products_are_refused() -> None:
    with pytest.raises(ValueError, match="too long for exact products"):
        list(nearest(np.array([[1e8]]), iter([(np.array([0]), np.array([[1.0]]))]), 1))
