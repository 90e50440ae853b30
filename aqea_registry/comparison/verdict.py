"""The verdict on two pair sets: IDENTICAL, SAME CONTENT, EQUIVALENT or DIVERGED, with the figures that it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.comparison.diagnosis import diagnose
from aqea_registry.comparison.evidence import (
    EXACT_ROWS,
    Compared,
    Diagnosis,
    is_canonical,
    rank_changes,
    scores_of,
    tied,
    with_ties_of,
)
from aqea_registry.comparison.measures import FORMS, OneSide
from aqea_registry.vectors.scores import Metrics

Values = npt.NDArray[np.float64]
Verdict = Literal["IDENTICAL", "SAME CONTENT", "EQUIVALENT", "DIVERGED"]
VERDICTS: tuple[Verdict, ...] = ("IDENTICAL", "SAME CONTENT", "EQUIVALENT", "DIVERGED")


# Float32 arithmetic moves a component of a unit vector by some 1e-7, the grid by 5e-7; half precision by some 1e-4.
BOUND = 1e-5
DIGITS = 2  # decimals of a percentage, as tables print it, where no ledger says how a number is printed
QUANTILES = (0.01, 0.05, 0.5)


class PairSetFile(msgspec.Struct, frozen=True, kw_only=True):
    """One side: what the file is and what it says of itself. `numbers` is the format that holds all of its values.

    `content` is the content digest, known where the numbers were found equal to another container's.
    """

    name: str
    sha256: str
    size: int
    container: str | None = None
    dataset: str | None = None
    model: str | None = None
    n_pairs: int | None = None
    dimension: int | None = None
    numbers: str | None = None
    has_scores: bool | None = None
    content: str | None = None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """How far the vectors are apart. `largest` is the largest absolute difference of two components, in the value's unit.

    Cosines are of each vector with its counterpart; `quantiles` by their share, lowest first.
    """

    largest: float
    rows: int
    rows_beyond: int
    least_cosine: float
    quantiles: dict[str, float]
    rank_changes: int | None


class Row(msgspec.Struct, frozen=True, kw_only=True):
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


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """A number that somebody prints: what both sides give for it, as it would be printed. `claim` is LEDGER:ID."""

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
    basis: str = ""  # which printed numbers the verdict was held against
    figures: Figures | None = None
    metrics: tuple[MetricChange, ...] = ()
    numbers: tuple[Number, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    first: Row | None = None
    worst: Row | None = None
    notes: tuple[str, ...] = ()


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """The six correlations of both sides; None where they do not exist.

    `plain` are those of each file as it is. Beside them, of a set off the grid, those with the ties of the canonical one.
    """

    before: Metrics | None
    after: Metrics | None
    plain: tuple[Metrics | None, Metrics | None]


def scored(compared: Compared) -> Scored:
    """Both sides' correlations with their own human scores, or the other's where a file has none."""
    before, after = compared.before, compared.after
    pairs = (
        (compared.measured.before, before if before is not None else after),
        (compared.measured.after, after if after is not None else before),
    )
    plain = [scores_of(side, human) if human is not None and len(human) == side.n_pairs else None for side, human in pairs]
    kept = list(plain)
    canonical = [is_canonical(side) for side, _ in pairs]
    if canonical[0] != canonical[1] and compared.within():
        rough = int(canonical[0])
        side, human = pairs[rough]
        kept[rough] = with_ties_of(pairs[1 - rough][0], side, human) if human is not None and plain[rough] is not None else None
    return Scored(before=kept[0], after=kept[1], plain=(plain[0], plain[1]))


def judge(
    compared: Compared, before: PairSetFile, after: PairSetFile, scores: Scored, claimed: Sequence[Number]
) -> PairSetComparison:
    """The verdict on two files that are not the same bytes. `claimed` are the ledger's numbers; without any, the six scores
    are held to be printed with DIGITS decimals of a percentage.
    """
    measured = compared.measured
    metrics = _changes(scores)
    numbers = tuple(claimed) or tuple(_printed(scores))
    basis = f"{len(claimed)} numbers of the ledgers" if claimed else f"no ledger: six scores, in percent with {DIGITS} decimals"
    labels_equal = len(compared.labels()) == measured.before.n_pairs and not compared.labels().any()
    shapes_equal = (measured.before.n_pairs, measured.before.dimension) == (measured.after.n_pairs, measured.after.dimension)
    both_canonical = is_canonical(measured.before) and is_canonical(measured.after)
    same = measured.between.equal or (both_canonical and measured.between.equal_on_grid)
    diagnoses: tuple[Diagnosis, ...] = ()
    verdict: Verdict
    if shapes_equal and labels_equal and same:
        verdict = "SAME CONTENT"
    elif labels_equal and compared.within() and all(one.same for one in numbers):
        verdict = "EQUIVALENT"
    else:
        verdict, diagnoses = "DIVERGED", diagnose(compared) or (_numbers_changed(numbers),)
    first, worst = _rows(compared) if verdict == "DIVERGED" else (None, None)
    return PairSetComparison(
        verdict=verdict,
        before=_described(before, measured.before, compared.before),
        after=_described(after, measured.after, compared.after),
        bound=compared.bound,
        basis=basis,
        figures=_figures(compared),
        metrics=metrics,
        numbers=numbers,
        diagnoses=diagnoses,
        first=first,
        worst=worst,
        notes=(*_notes(compared, before, after), *_score_notes(compared, scores)),
    )


def worst_of(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on several files: the furthest from identity."""
    return max(verdicts, key=VERDICTS.index, default="IDENTICAL")


def _figures(compared: Compared) -> Figures:
    between = compared.measured.between
    values = np.sort(between.cosines, axis=None)
    quantiles = {f"{share:g}": float(values[int(share * (len(values) - 1))]) for share in QUANTILES}
    same_rows = compared.measured.before.n_pairs == compared.measured.after.n_pairs
    return Figures(
        largest=float(between.differences.max()),
        rows=compared.common,
        rows_beyond=int(compared.changed().any(axis=1).sum()),
        least_cosine=float(values[0]),
        quantiles=quantiles,
        rank_changes=rank_changes(compared.measured.before, compared.measured.after) if same_rows else None,
    )


def _rows(compared: Compared) -> tuple[Row | None, Row | None]:
    """The first row that differs, and the one with the largest difference."""
    changed = np.argwhere(compared.changed())
    if not len(changed):
        return None, None
    matrix, row, _ = compared.measured.between.worst
    return _row(compared, *changed[0].tolist()), _row(compared, row, matrix)


def _row(compared: Compared, row: int, matrix: int) -> Row:
    between = compared.measured.between
    return Row(
        matrix=f"embeddings{matrix + 1}",
        row=row,
        difference=float(between.differences[row, matrix]),
        cosine=float(between.cosines[row, matrix]),
    )


def _changes(scores: Scored) -> tuple[MetricChange, ...]:
    first, second = scores.plain
    if first is None or second is None or scores.before is None or scores.after is None:
        return ()
    told = scores.plain != (scores.before, scores.after)
    changes = []
    for name in Metrics.__struct_fields__:
        before, after = getattr(first, name), getattr(second, name)
        kept = 100 * (getattr(scores.after, name) - getattr(scores.before, name)) if told else None
        changes.append(MetricChange(metric=name, before=before, after=after, points=100 * (after - before), kept=kept))
    return tuple(changes)


def _printed(scores: Scored) -> list[Number]:
    if scores.before is None or scores.after is None:
        return []
    numbers = []
    for name in Metrics.__struct_fields__:
        before, after = (f"{100 * getattr(one, name):.{DIGITS}f}" for one in (scores.before, scores.after))
        numbers.append(Number(metric=name, before=before, after=after, same=before == after))
    return numbers


def _numbers_changed(numbers: Sequence[Number]) -> Diagnosis:
    """The vectors are within the bound, and a printed number is not: it stands near the edge of a digit, or says very much."""
    changed = [one for one in numbers if not one.same]
    first = changed[0]
    message = f"differences within the bound change {len(changed)} of {len(numbers)} printed numbers"
    evidence = (f"{first.claim or first.metric}: {first.before} became {first.after}",)
    return Diagnosis(kind="precision", basis="shown", message=message, evidence=evidence)


def _described(file: PairSetFile, side: OneSide, human: Values | None) -> PairSetFile:
    return msgspec.structs.replace(
        file,
        n_pairs=side.n_pairs,
        dimension=side.dimension,
        numbers=next((form for form in FORMS if form in side.forms), "float64"),
        has_scores=human is not None,
    )


def _score_notes(compared: Compared, scores: Scored) -> list[str]:
    """That there are none, or that the order within ties is noise, where that alone would change what is printed."""
    kept = (scores.before, scores.after)
    if None in kept:
        return ["no correlation exists on one side: printed numbers were not held against each other"]
    if scores.plain == kept or None in scores.plain or None in kept:
        return []
    sides = (compared.measured.before, compared.measured.after)
    rough = int(scores.plain[1] != kept[1])
    count = tied(sides[1 - rough])
    told = f"{count} pairs tie in the {('first', 'second')[1 - rough]} file, and noise tells them apart in the other"
    return [f"{told}: numbers are held to be printed with these ties kept; `points` are without that, `kept` with it"]


def _notes(compared: Compared, before: PairSetFile, after: PairSetFile) -> list[str]:
    notes = []
    for field in ("dataset", "model"):
        one, other = getattr(before, field), getattr(after, field)
        if one is not None and other is not None and one != other:
            notes.append(f"the files name different {field}s: {one!r} and {other!r}")
    for name, human in (("first", compared.before), ("second", compared.after)):
        if human is None:
            notes.append(f"the {name} file has no human scores; the other's stand in for them")
    if max(compared.measured.before.n_pairs, compared.measured.after.n_pairs) > EXACT_ROWS:
        notes.append(f"with more than {EXACT_ROWS} rows scores are computed in float64, not exactly")
    return notes
