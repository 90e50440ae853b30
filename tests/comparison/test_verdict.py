"""Verdicts and diagnoses on vectors that are made up: every kind of difference that the numbers alone can show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pytest

from aqea_registry.comparison.diagnosis import Kind, match, order_text
from aqea_registry.comparison.measures import Block, Compared, measure
from aqea_registry.comparison.verdict import BOUND, PairSetComparison, PairSetFile, decide, scored
from aqea_registry.vectors.pair_set import Values
from tests import sampling

RNG = np.random.Generator
Rows = npt.NDArray[np.int64]


class PairSet(NamedTuple):
    first: Values
    second: Values
    scores: Values | None


def unit(rows: Values) -> Values:
    return np.asarray(rows / np.linalg.norm(rows, axis=1)[:, None])


def on_grid(rows: Values) -> Values:
    return np.asarray(np.rint(rows * 1e6) / 1e6)


class World(NamedTuple):
    """Meanings of sentences, from which models make vectors: 2n rows, the second half belongs to the first."""

    meanings: Values
    scores: Values

    def under(self, rng: RNG, dimension: int) -> Values:
        """The vectors of all sentences under a model of its own, unit length, off the grid. It has a direction it prefers."""
        hidden = np.tanh(self.meanings @ rng.standard_normal((self.meanings.shape[1], 3 * dimension)) / 3)
        return unit(hidden @ rng.standard_normal((3 * dimension, dimension)) + rng.standard_normal(dimension) * 3)


def world(rng: RNG) -> World:
    n = int(rng.integers(40, 200))
    first, noise = rng.standard_normal((2, n, 12))
    kept = rng.random(n)
    second = kept[:, None] * first + (1 - kept)[:, None] * noise
    second[:: int(rng.integers(9, 30))] = first[:: int(rng.integers(9, 30))][: len(second)][0]  # sentences that come again
    equal = rng.choice(n, n // 12, replace=False)
    second[equal] = first[equal]
    return World(np.concatenate([first, second]), np.round(5 * kept + rng.normal(0, 0.5, n), 1))


def halves(vectors: Values, scores: Values | None) -> PairSet:
    first, second = np.split(vectors, 2)
    return PairSet(first, second, scores)


def compare(before: PairSet, after: PairSet) -> tuple[PairSetComparison, Compared]:
    def blocks(one: PairSet) -> Iterator[Block]:
        for start in range(0, len(one.first), 64):
            yield one.first[start : start + 64], one.second[start : start + 64]

    compared = measure(blocks(before), blocks(after), BOUND).with_scores(before.scores, after.scores)
    files = [PairSetFile(name=name, sha256=name, size=1) for name in ("a", "b")]
    return decide(compared, files[0], files[1], scored(compared), ()), compared


# How a set is changed: from the world, the vectors off the grid and a source of chance to the other set.
Change = Callable[[World, Values, RNG], PairSet]


def some(rng: RNG, n: int, share: float = 0.2) -> Rows:
    rows: Rows = np.sort(rng.choice(n, int(rng.integers(1, max(2, int(n * share)))), replace=False))
    return rows


def of_rows(change: Callable[[PairSet, RNG], PairSet]) -> Change:
    return lambda world, vectors, rng: change(halves(on_grid(vectors), world.scores.copy()), rng)


def of_vectors(change: Callable[[Values, RNG], Values]) -> Change:
    return lambda world, vectors, rng: halves(change(vectors, rng), world.scores)


def in_float32(vectors: Values, rng: RNG) -> Values:
    noise = rng.normal(0, 10 ** rng.uniform(-9, -6.7), vectors.shape)
    return (vectors + noise).astype(np.float32).astype(np.float64)


def shuffled(one: PairSet, rng: RNG) -> PairSet:
    order = np.arange(len(one.first))
    moved = rng.choice(order, int(rng.integers(2, len(order) + 1)), replace=False)
    order[np.sort(moved)] = np.roll(moved, 1)
    assert one.scores is not None
    return PairSet(one.first[order], one.second[order], one.scores[order] if rng.random() < 0.7 else one.scores)


def one_shuffled(one: PairSet, rng: RNG) -> PairSet:
    order = rng.permutation(len(one.first))
    return one._replace(first=one.first[order]) if rng.random() < 0.5 else one._replace(second=one.second[order])


def swapped(one: PairSet, rng: RNG) -> PairSet:
    rows = np.arange(len(one.first)) if rng.random() < 0.6 else some(rng, len(one.first), 0.8)
    first, second = one.first.copy(), one.second.copy()
    first[rows], second[rows] = one.second[rows], one.first[rows]
    return one._replace(first=first, second=second)


def swapped_and_shuffled(one: PairSet, rng: RNG) -> PairSet:
    order = rng.permutation(len(one.first))
    assert one.scores is not None
    return PairSet(one.second[order], one.first[order], one.scores[order])


def scaled(vectors: Values, rng: RNG) -> Values:
    factor = float(rng.choice([-1, 1])) * float(rng.choice([rng.uniform(0.05, 0.95), rng.uniform(1.05, 40)]))
    return vectors * factor


def not_normalised(vectors: Values, rng: RNG) -> Values:
    return np.asarray(vectors * np.exp(rng.normal(rng.uniform(-1, 3), rng.uniform(0.05, 0.5), len(vectors)))[:, None])


def other_axes(vectors: Values, rng: RNG) -> Values:
    dimension = vectors.shape[1]
    turn = rng.integers(3)
    if turn == 0:
        return vectors[:, rng.permutation(dimension)]
    if turn == 1:
        signs = np.ones(dimension)
        signs[rng.choice(dimension, int(rng.integers(2, dimension)), replace=False)] = -1
        return vectors * signs
    return np.asarray(vectors @ np.linalg.qr(rng.standard_normal((dimension, dimension)))[0])


def cut(vectors: Values, rng: RNG) -> Values:
    shorter = vectors[:, : int(rng.integers(vectors.shape[1] // 4, vectors.shape[1]))]
    return unit(shorter) if rng.random() < 0.7 else shorter


def relabelled(one: PairSet, rng: RNG) -> PairSet:
    assert one.scores is not None
    way = rng.integers(3)
    scores = one.scores.copy()
    if way == 0:
        scores = scores / 5
    elif way == 1:
        scores = scores[rng.permutation(len(scores))]
    else:
        scores[some(rng, len(scores))] += 0.2
    return one._replace(scores=scores)


def few_changed(one: PairSet, rng: RNG) -> PairSet:
    first, second = one.first.copy(), one.second.copy()
    for rows, matrix in ((some(rng, len(first)), first), (some(rng, len(first)), second)):
        size = 10 ** rng.uniform(-2.5, 0.3)
        matrix[rows] = on_grid(unit(matrix[rows] + size * unit(rng.standard_normal(matrix[rows].shape))))
    return one._replace(first=first, second=second)


def revised(one: PairSet, rng: RNG) -> PairSet:
    rows = some(rng, len(one.first))
    first, scores = one.first.copy(), one.scores
    assert scores is not None
    first[rows] = on_grid(unit(rng.standard_normal(first[rows].shape)))
    scores[rows] = np.round(5.1 + rng.random(len(rows)), 1)
    return one._replace(first=first, scores=scores)


def stored(vectors: Values, rng: RNG) -> Values:
    way = rng.integers(3)
    if way == 0:
        return vectors.astype(np.float16).astype(np.float64)
    if way == 1:
        bits = vectors.astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)).view(np.float32).astype(np.float64)
    return np.round(vectors, int(rng.integers(2, 5)))


def noisy(vectors: Values, rng: RNG) -> Values:
    size = 10 ** rng.uniform(-3.2, -1.8) / np.sqrt(vectors.shape[1])
    each = np.exp(rng.normal(0, 0.2, len(vectors)))[:, None]
    return unit(vectors + rng.standard_normal(vectors.shape) * size * each)


def moved(vectors: Values, rng: RNG) -> Values:
    """As a prefix or another pooling does: one way for all, and each its own way."""
    size = rng.uniform(0.15, 0.8)
    own = unit(rng.standard_normal(vectors.shape)) * rng.uniform(0.3, 1, (len(vectors), 1))
    return unit(vectors + size * (rng.uniform(0.3, 1) * unit(rng.standard_normal((1, vectors.shape[1]))) + own))


def shortened(one: PairSet, rng: RNG) -> PairSet:
    kept = np.arange(len(one.first))
    kept = kept[: int(rng.integers(10, len(kept)))] if rng.random() < 0.5 else np.delete(kept, some(rng, len(kept)))
    assert one.scores is not None
    return PairSet(one.first[kept], one.second[kept], one.scores[kept])


def other_model(world: World, vectors: Values, rng: RNG) -> PairSet:
    return halves(world.under(rng, vectors.shape[1]), world.scores)


def other_dimension(world: World, vectors: Values, rng: RNG) -> PairSet:
    return halves(world.under(rng, vectors.shape[1] + int(rng.integers(1, 64))), world.scores)


def other_sentences(given: World, vectors: Values, rng: RNG) -> PairSet:
    other = World(rng.standard_normal(given.meanings.shape), given.scores)
    return halves(other.under(rng, vectors.shape[1]), rng.permutation(given.scores))


CASES: dict[str, tuple[str, Change]] = {
    "float32": ("EQUIVALENT", of_vectors(in_float32)),
    "order": ("order", of_rows(shuffled)),
    "order, in float32": ("order", lambda world, vectors, rng: shuffled(halves(in_float32(vectors, rng), world.scores), rng)),
    "order of one matrix": ("order", of_rows(one_shuffled)),
    "columns": ("columns", of_rows(swapped)),
    "columns and order": ("columns", of_rows(swapped_and_shuffled)),
    "scale": ("scale", of_vectors(scaled)),
    "not normalised": ("normalisation", of_vectors(not_normalised)),
    "axes": ("axes", of_vectors(other_axes)),
    "cut": ("dimension", of_vectors(cut)),
    "another dimension": ("dimension", other_dimension),
    "labels": ("labels", of_rows(relabelled)),
    "a few rows": ("rows", of_rows(few_changed)),
    "another revision": ("revision", of_rows(revised)),
    "fewer rows": ("count", of_rows(shortened)),
    "fewer digits": ("storage", of_vectors(stored)),
    "half precision": ("precision", of_vectors(noisy)),
    "encoded in another way": ("encoding", of_vectors(moved)),
    "another model": ("model", other_model),
    "other sentences": ("everything", other_sentences),
}


def case(name: str, seed: int) -> tuple[PairSet, PairSet]:
    rng = np.random.default_rng([seed, list(CASES).index(name)])
    given = world(rng)
    vectors = given.under(rng, int(rng.choice([32, 64, 128, 384])))
    changed = CASES[name][1](given, vectors, rng)
    return halves(on_grid(vectors), given.scores), changed


def answer(before: PairSet, after: PairSet) -> str:
    found, _ = compare(before, after)
    return found.diagnoses[0].kind if found.diagnoses else found.verdict


def test_no_false_equivalence_and_no_false_diagnosis_in_random_cases() -> None:
    names = {number: list(CASES)[number % len(CASES)] for number in range(209)}
    wrong = Counter(
        f"{names[number]} ({number}): {given}"
        for number in sampling.sample(names, share=0.2, name="random cases", stratum=names.__getitem__)
        if (given := answer(*case(names[number], number))) != CASES[names[number]][0]
    )
    assert not wrong


def test_every_kind_has_a_case_or_needs_sentences() -> None:
    told = {kind for kind, _ in CASES.values()}
    assert set(get_args(Kind)) - told == {"prefix", "pooling", "casing", "truncation"}
    assert told - set(get_args(Kind)) == {"EQUIVALENT"}


@pytest.mark.parametrize("name", CASES)
def test_each_diagnosis_names_its_evidence_and_the_rows(name: str) -> None:
    found, compared = compare(*case(name, 3))
    assert (found.verdict == "DIVERGED") == bool(found.diagnoses)
    for one in found.diagnoses:
        assert one.message and (one.evidence or one.kind == "count")
        assert one.kind not in one.candidates or one.basis == "suggested"
    if found.verdict == "DIVERGED" and compared.changed().any():
        assert found.first is not None and found.worst is not None and found.figures is not None
        assert found.worst.difference == found.figures.largest
        assert found.first.row == int(compared.changed().any(axis=1).argmax())


def small(seed: int = 5) -> PairSet:
    rng = np.random.default_rng(seed)
    given = world(rng)
    return halves(on_grid(given.under(rng, 32)), given.scores)


def text_of(found: PairSetComparison) -> str:
    return " | ".join(line for one in found.diagnoses for line in (one.message, *one.evidence))


def test_the_permutation_is_told() -> None:
    given = small()
    n = len(given.first)
    assert given.scores is not None
    for order, told in (
        (np.arange(n)[::-1], "the order is reversed"),
        (np.roll(np.arange(n), 3), "every row is shifted by 3"),
        (np.array([1, 0, *range(2, n)]), "rows exchanged in pairs: 2 moved"),
    ):
        found, _ = compare(given, PairSet(given.first[order], given.second[order], given.scores[order]))
        assert told in text_of(found) and "the labels moved along" in text_of(found)
        found, _ = compare(given, PairSet(given.first[order], given.second[order], given.scores))
        assert found.diagnoses[0].kind == "order" and "stayed where they were" in text_of(found)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda one: one._replace(first=one.first * 3, second=one.second * 3), "multiplied by 3"),
        (lambda one: one._replace(second=one.second * 0.5), "1 in embeddings1, 0.5 in embeddings2"),
        (lambda one: one._replace(scores=one.scores / 5), "times 0.2, plus"),
        (lambda one: one._replace(scores=one.scores[::-1].copy()), "the same scores in another order"),
        (lambda one: PairSet(*(side[:-2] for side in one)), "the end is missing"),
        (lambda one: PairSet(*(np.delete(side, 4, axis=0) for side in one)), "missing are rows 4 of the longer one"),
        (
            lambda one: one._replace(first=one.first[:, :20], second=one.second[:, :20]),
            "the first 20 of the 32, not normalised again",
        ),
        (lambda one: one._replace(first=-one.first, second=-one.second), "multiplied by -1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_told_of_a_change(change: Callable[[PairSet], PairSet], told: str) -> None:
    assert told in text_of(compare(small(), change(small()))[0])


def test_a_file_without_scores_borrows_the_others_and_that_is_said() -> None:
    given = small()
    found, _ = compare(given, given._replace(scores=None))
    assert found.verdict == "SAME CONTENT"
    assert [one.points for one in found.metrics] == [0] * 6
    assert any("no human scores" in note for note in found.notes)


def test_ties_that_noise_breaks_are_kept() -> None:
    """Equal texts tie at a cosine of 1; in float32 their order is chance, and a rank correlation would follow it."""
    given = small()
    equal = np.flatnonzero((given.first == given.second).all(axis=1))
    assert len(equal) > 2
    rough = given._replace(second=given.second + np.random.default_rng(0).normal(0, 1e-8, given.second.shape))
    for before, after in ((given, rough), (rough, given)):
        found, _ = compare(before, after)
        spearman = found.metrics[1]
        assert found.verdict == "EQUIVALENT"
        assert spearman.points != 0 and spearman.kept == 0
        assert any("ties kept" in note for note in found.notes)


def test_beyond_the_bound_nothing_is_equivalent() -> None:
    given = small()
    for size, verdict in ((0.9 * BOUND, "EQUIVALENT"), (1.1 * BOUND, "DIVERGED")):
        changed = given.first.copy()
        changed[7, 3] += size
        assert compare(given, given._replace(first=changed))[0].verdict == verdict


def test_a_number_that_changes_within_the_bound_is_a_divergence() -> None:
    """One pair's cosine passes another's: less than the bound, and the second decimal of a correlation over few rows."""
    first = on_grid(unit(np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])))
    second = on_grid(unit(np.array([[1.0, 0.5], [1.0, 0.500004], [1.0, 0.7], [0.1, 1.0]])))
    turned = second[[1, 0, 2, 3]]
    scores = np.array([5.0, 1.0, 3.0, 2.0])
    found, _ = compare(PairSet(first, second, scores), PairSet(first, turned, scores))
    assert (found.verdict, found.figures and found.figures.rows_beyond) == ("DIVERGED", 0)
    assert found.diagnoses[0].kind == "precision" and "printed numbers" in found.diagnoses[0].message


def test_matching_gives_each_row_once_and_takes_no_square_of_equal_rows() -> None:
    marks = np.repeat(np.random.default_rng(0).standard_normal((20, 2, 4)), 1000, axis=0).astype(np.float32)
    order = np.random.default_rng(1).permutation(len(marks))
    found = match(marks, marks[order], np.arange(len(marks)))
    assert found is not None and sorted(found.origin) == sorted({*found.origin})
    assert (marks[found.origin] == marks[order][found.rows]).all() and "without a simple pattern" in order_text(
        found, len(marks)
    )


@pytest.mark.parametrize("factor", [1e9, 1e60])
def test_values_far_outside_are_compared_all_the_same(factor: float) -> None:
    given = small()
    large = given._replace(first=given.first * factor, second=given.second * factor)
    assert compare(large, large._replace(scores=given.scores))[0].verdict == "SAME CONTENT"
    assert compare(given, large)[0].diagnoses[0].kind == "scale"
    with pytest.raises(ValueError, match="leave float64"):
        compare(given, given._replace(first=given.first * 1e200))


def test_sets_too_small_for_a_score_are_compared_by_their_vectors() -> None:
    given = small()
    one = PairSet(given.first[:1], given.second[:1], np.array([1.0]))
    found, _ = compare(one, one._replace(first=one.first + 1e-7))
    assert (found.verdict, found.metrics, found.numbers) == ("EQUIVALENT", (), ())
    assert "no correlation exists" in found.notes[-1]
    assert compare(one, one._replace(first=-one.first))[0].verdict == "DIVERGED"
    zero = given._replace(first=given.first * 0)
    assert compare(given, zero)[0].verdict == "DIVERGED"
    assert compare(zero, zero)[0].verdict == "SAME CONTENT"
