"""The verdict on two pair sets: IDENTICAL, SAME CONTENT, EQUIVALENT or DIVERGED, with the figures that it rests on. Pure."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from aqea_registry.base.progress import plural
from aqea_registry.comparison.diagnosis import Diagnosis, diagnose
from aqea_registry.comparison.measures import EXACT_ROWS, FORMS, Compared, OneSide, ranks, scores_of, tied, with_ties_of
from aqea_registry.vectors.scores import Metrics

Verdict = Literal["IDENTICAL", "SAME CONTENT", "EQUIVALENT", "DIVERGED"]
VERDICTS: tuple[Verdict, ...] = ("IDENTICAL", "SAME CONTENT", "EQUIVALENT", "DIVERGED")

# Float32 arithmetic moves a component of a unit vector by some 1e-7, the grid by 5e-7; half precision by some 1e-4.
BOUND = 1e-5
DIGITS = 2  # decimals of a percentage, as tables print it, where no ledger says how a number is printed
QUANTILES = (0.01, 0.05, 0.5)


class PairSetFile(msgspec.Struct, frozen=True, kw_only=True):
    """One side: the file and what its header says."""

    name: str
    sha256: str
    size: int
    container: str | None = None
    dataset: str | None = None
    model: str | None = None
    n_pairs: int | None = None
    dimension: int | None = None
    numbers: str | None = None  # the format that holds all of its values
    has_scores: bool | None = None
    content: str | None = None  # the content digest, where the numbers were found equal to another container's


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """How far the vectors are apart. Cosines are of each vector with its counterpart."""

    largest: float  # absolute difference of two components, in the value's unit
    rows: int
    rows_beyond: int
    least_cosine: float
    quantiles: dict[str, float]  # of cosines, by their share, lowest first
    rank_changes: int | None


class RowDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A row that differs beyond the bound, counted from 0."""

    matrix: str
    row: int
    difference: float
    cosine: float


class MetricChange(msgspec.Struct, frozen=True, kw_only=True):
    """One of the six correlations on both sides, in -1..1, and the change in points of a percentage.

    `kept` is the change where the pairs that tie in a canonical set are made to tie in the other as well: None if both sets
    are canonical, if neither is, or if vectors differ beyond the bound.
    """

    metric: str
    before: float
    after: float
    points: float
    kept: float | None = None


class ComparedNumber(msgspec.Struct, frozen=True, kw_only=True):
    """A number as both sides would have it printed. `claim` is LEDGER:ID."""

    metric: str
    before: str
    after: str
    same: bool
    claim: str | None = None


class PairSetComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two pair sets compared."""

    verdict: Verdict
    before: PairSetFile
    after: PairSetFile
    bound: float
    basis: str = ""  # which printed numbers decided the verdict
    figures: Figures | None = None
    metrics: tuple[MetricChange, ...] = ()
    numbers: tuple[ComparedNumber, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    first: RowDifference | None = None
    worst: RowDifference | None = None
    notes: tuple[str, ...] = ()


class Scored(NamedTuple):
    """The six correlations of both files as they are (`plain`), and with the ties of a canonical one kept in the other."""

    plain: tuple[Metrics, Metrics]
    kept: tuple[Metrics, Metrics]


def scored(compared: Compared) -> Scored | None:
    """Both sides' correlations with their own human scores, or the other's where a file has none; None if one is undefined."""
    first, second = compared.before, compared.after
    human = [side.human for side in (first, second) if side.human is not None]
    if not human or len(human[0]) != first.n_pairs or len(human[-1]) != second.n_pairs:
        return None
    before, after = scores_of(first, human[0]), scores_of(second, human[-1])
    if before is None or after is None:
        return None
    if first.is_canonical == second.is_canonical or not compared.within():
        return Scored((before, after), (before, after))
    if first.is_canonical:
        return Scored((before, after), (before, with_ties_of(first, second, human[-1], after)))
    return Scored((before, after), (with_ties_of(second, first, human[0], before), after))


def decide(
    compared: Compared, before: PairSetFile, after: PairSetFile, scores: Scored | None, claimed: Sequence[ComparedNumber]
) -> PairSetComparison:
    """The verdict on two files with different bytes. Without `claimed` numbers of ledgers the six scores count as printed."""
    numbers = tuple(claimed) or tuple(_printed(scores) if scores else ())
    basis = f"no ledger: six scores, in percent with {DIGITS} decimals"
    if claimed:
        basis = f"{plural(len(claimed), 'number')} of the ledgers"
    verdict = _verdict(compared, numbers)
    diagnoses: tuple[Diagnosis, ...] = ()
    first = worst = None
    if verdict == "DIVERGED":
        diagnoses = diagnose(compared)
        if not diagnoses:  # within the bound; a printed number is near the edge of a digit, or has very many
            number, *others = [number for number in numbers if not number.same]
            message = f"differences within the bound change {1 + len(others)} of {len(numbers)} printed numbers"
            evidence = (f"{number.claim or number.metric}: {number.before} became {number.after}",)
            diagnoses = (Diagnosis(kind="precision", basis="shown", message=message, evidence=evidence),)
        if (changed := compared.changed()).any():
            first, worst = _row(compared, int(changed.argmax())), _row(compared, int(compared.differences.argmax()))
    return PairSetComparison(
        verdict=verdict,
        before=_described(before, compared.before),
        after=_described(after, compared.after),
        bound=compared.bound,
        basis=basis,
        figures=_figures(compared),
        metrics=tuple(_changes(scores) if scores else ()),
        numbers=numbers,
        diagnoses=diagnoses,
        first=first,
        worst=worst,
        notes=tuple(_notes(compared, before, after, scores)),
    )


def _verdict(compared: Compared, numbers: Sequence[ComparedNumber]) -> Verdict:
    before, after = compared.before, compared.after
    labels_equal = compared.common == before.n_pairs and not compared.labels().any()
    on_grid = before.is_canonical and after.is_canonical and compared.equal_on_grid
    if compared.same_shape() and labels_equal and (on_grid or not compared.differences.any()):
        return "SAME CONTENT"
    within = labels_equal and compared.within() and all(number.same for number in numbers)
    return "EQUIVALENT" if within else "DIVERGED"


def worst_of(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on several files: the furthest from identity."""
    return max(verdicts, key=VERDICTS.index, default="IDENTICAL")


def _figures(compared: Compared) -> Figures:
    before, after, values = compared.before, compared.after, np.sort(compared.cosines, axis=None)
    moved = ranks(before.cosines) != ranks(after.cosines) if before.n_pairs == after.n_pairs else None
    return Figures(
        largest=float(compared.differences.max()),
        rows=compared.common,
        rows_beyond=int(compared.changed().any(axis=1).sum()),
        least_cosine=float(values[0]),
        quantiles={f"{share:g}": float(values[int(share * (len(values) - 1))]) for share in QUANTILES},
        rank_changes=None if moved is None else int(moved.sum()),
    )


def _row(compared: Compared, at: int) -> RowDifference:
    row, matrix = divmod(at, 2)
    difference, cosine = float(compared.differences[row, matrix]), float(compared.cosines[row, matrix])
    return RowDifference(matrix=f"embeddings{matrix + 1}", row=row, difference=difference, cosine=cosine)


def _changes(scores: Scored) -> Iterator[MetricChange]:
    for name in Metrics.__struct_fields__:
        (before, after), kept = ([getattr(side, name) for side in sides] for sides in (scores.plain, scores.kept))
        points = 100 * (kept[1] - kept[0]) if scores.plain != scores.kept else None
        yield MetricChange(metric=name, before=before, after=after, points=100 * (after - before), kept=points)


def _printed(scores: Scored) -> Iterator[ComparedNumber]:
    for name in Metrics.__struct_fields__:
        before, after = (f"{100 * getattr(side, name):.{DIGITS}f}" for side in scores.kept)
        yield ComparedNumber(metric=name, before=before, after=after, same=before == after)


def _described(file: PairSetFile, side: OneSide) -> PairSetFile:
    numbers, known = next((form for form in FORMS if form in side.forms), "float64"), side.human is not None
    return msgspec.structs.replace(file, n_pairs=side.n_pairs, dimension=side.dimension, numbers=numbers, has_scores=known)


def _notes(compared: Compared, before: PairSetFile, after: PairSetFile, scores: Scored | None) -> Iterator[str]:
    sides = (("first", compared.before), ("second", compared.after))
    for field in ("dataset", "model"):
        old, new = getattr(before, field), getattr(after, field)
        if old is not None and new is not None and old != new:
            yield f"the files name different {field}s: {old!r} and {new!r}"
    for name, side in sides:
        if side.human is None:
            yield f"the {name} file has no human scores; the other's are used for both"
    if max(side.n_pairs for _, side in sides) > EXACT_ROWS:
        yield f"with more than {EXACT_ROWS} rows scores are computed in float64, not exactly"
    if scores is None:
        yield "no correlation exists on one side: printed numbers were not compared"
    elif scores.plain != scores.kept:
        name, canonical = sides[scores.plain[0] != scores.kept[0]]
        yield (
            f"{tied(canonical)} pairs tie in the {name} file, and noise orders them in the other: printed "
            "numbers are compared with these ties kept; `points` are without that, `kept` with it"
        )
