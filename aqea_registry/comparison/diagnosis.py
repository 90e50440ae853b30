"""What kind of difference lies between two pair sets, and what supports the answer. Pure.

From the numbers of two files some causes follow: order, exchanged columns, scale, labels, storage. Others leave a trace that
several causes share: a prefix and another pooling both move every vector. Then the diagnosis names the class and the causes
that fit, the likeliest first, and no single one; only encoding the sentences again can distinguish them (`causes`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.comparison.measures import Compared, correlation
from aqea_registry.vectors.pair_set import Values

Positions = npt.NDArray[np.int64]
Marks = npt.NDArray[np.float32]
Kind = Literal[
    "order",  # the same rows, in another order
    "columns",  # embeddings1 and embeddings2 exchanged
    "scale",  # every vector times one factor
    "normalisation",  # the same directions, lengths not 1
    "axes",  # the same geometry: coordinates in another order, with other signs, or rotated
    "dimension",  # another number of coordinates
    "count",  # another number of rows
    "labels",  # other human scores
    "revision",  # some rows differ in vectors and labels
    "rows",  # some rows differ, the others do not
    "precision",  # noise in every row
    "storage",  # the same numbers, rounded to fewer digits
    "prefix",
    "pooling",
    "casing",
    "truncation",
    "encoding",  # related vectors: the same sentences, encoded in another way
    "model",  # unrelated vectors, related similarities
    "everything",  # nothing in common was found
]
Basis = Literal["shown", "suggested", "reproduced"]

SAME_DIRECTION = 1e-6  # 1 - cosine, at most
NOISE = 1e-3  # 1 - cosine of what may still be arithmetic
NAMED = 5  # row numbers that are listed of many
SHUFFLES = 50
# Projections are of the size of 1; half precision moves them by some 1e-3. With four of them or more, two unrelated rows agree
# so well by a chance of 1e-10 at most.
NEAR = 5e-3
LOOKS = 4096  # candidates for a row, at most: many equal rows must not take the square of their number
TRIED = 200
LEAST = 0.9  # of the rows, as many must be found


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of difference and what supports it.

    `shown` follows from the numbers of both files; `suggested` fits them, as do the other `candidates`; `reproduced` was
    found by encoding sentences that way, which gave the other file's vectors.
    """

    kind: Kind
    basis: Basis
    message: str
    evidence: tuple[str, ...] = ()
    candidates: tuple[Kind, ...] = ()


def diagnose(compared: Compared) -> tuple[Diagnosis, ...]:
    """Every kind of difference that was found, the one that explains most first; empty if nothing differs."""
    diagnoses = [_dimension(compared)] if compared.before.dimension != compared.after.dimension else []
    if compared.before.n_pairs != compared.after.n_pairs:
        return (*diagnoses, _count(compared))
    if not diagnoses and compared.changed().any():
        diagnoses = [next(diagnosis for step in STEPS if (diagnosis := step(compared)))]
    shown = (kind for diagnosis in diagnoses if diagnosis.basis == "shown" for kind in diagnosis.candidates)
    kinds = {*shown, *(diagnosis.kind for diagnosis in diagnoses)}
    if compared.labels().any() and kinds.isdisjoint({"order", "revision", "everything"}):
        diagnoses.append(_labels(compared))
    return tuple(diagnoses)


def _diagnosis(basis: Basis, kind: Kind, message: str, evidence: Sequence[str], *candidates: Kind) -> Diagnosis:
    return Diagnosis(kind=kind, basis=basis, message=message, evidence=tuple(evidence), candidates=candidates)


_shown, _suggested = partial(_diagnosis, "shown"), partial(_diagnosis, "suggested")


def _lengths(compared: Compared) -> Diagnosis | None:
    """The same directions with other lengths, in every row: scaled by one factor, or not normalised."""
    alike, ratios = np.abs(compared.cosines), compared.ratios
    if not (alike >= 1 - SAME_DIRECTION).all() or np.median(np.abs(ratios - 1)) < 2 * np.median(np.sqrt(2 * (1 - alike))):
        return None  # it is not, or hardly, the lengths that differ
    sides = ("first", compared.before.lengths), ("second", compared.after.lengths)
    lengths = "; ".join(f"lengths in the {name}: {side.min():.6g} to {side.max():.6g}" for name, side in sides)
    signed = ratios * np.sign(compared.cosines)
    middles = np.median(signed, axis=0)
    if (np.abs(signed - middles) <= 1e-3 * np.abs(middles)).all():
        equal = np.isclose(middles[0], middles[1], rtol=1e-3)
        factors = f"{middles[0]:.6g}" if equal else f"{middles[0]:.6g} in embeddings1, {middles[1]:.6g} in embeddings2"
        spread = f"the factor is the same in all rows, within {float(np.ptp(signed / middles)):.1e}"
        return _shown("scale", f"every vector is multiplied by {factors}", (spread, lengths))
    return _shown("normalisation", "the directions are the same, the lengths are not: one side is not normalised", (lengths,))


def _columns(compared: Compared) -> Diagnosis | None:
    """embeddings1 and embeddings2 exchanged, in all rows or in some; in order, or in another one."""
    changed = np.flatnonzero(compared.changed().any(axis=1))
    swapped = (compared.crossed[changed] >= 1 - SAME_DIRECTION).all(axis=1)
    if swapped.mean() >= 0.9:
        rest = "" if swapped.all() else f"; {len(changed) - int(swapped.sum())} more rows differ otherwise"
        message = f"embeddings1 and embeddings2 are exchanged in {int(swapped.sum())} of {compared.common} rows{rest}"
        evidence = ["each vector of one matrix is, in its own row, the other matrix's"]
        if same := compared.common - len(changed):
            evidence.append(f"{same} rows are as they were, or have two equal vectors")
        return _shown("columns", message, evidence)
    before, after = compared.before.marks, compared.after.marks
    matched = match(before[:, (1, 0)], after, changed)
    if matched is None or match(before, after, changed):
        return None
    message = f"embeddings1 and embeddings2 are exchanged, and the rows are in another order ({len(matched.rows)} found)"
    return _shown("columns", message, _order_evidence(compared, matched), "order")


def _order(compared: Compared) -> Diagnosis | None:
    """The same rows elsewhere: pairs that stayed together, or one matrix alone."""
    moved = np.flatnonzero(compared.changed().any(axis=1) | compared.labels())
    for matrices, name in (((0, 1), "pairs"), ((0,), "embeddings1"), ((1,), "embeddings2")):
        others = [matrix for matrix in (0, 1) if matrix not in matrices]
        if others and compared.changed()[:, others].any():
            continue
        matched = match(compared.before.marks[:, matrices], compared.after.marks[:, matrices], moved)
        elsewhere = int((matched.rows != matched.origin).sum()) if matched else 0
        if matched is None or elsewhere < 0.5 * len(matched.rows):  # noise leaves each row nearest to itself
            continue
        message = f"the same {name} stand in another order: {elsewhere} of {compared.common} are elsewhere"
        return _shown("order", message, _order_evidence(compared, matched, len(moved)))
    return None


def _order_evidence(compared: Compared, matched: Matched, moved: int = 0) -> list[str]:
    left = moved - len(matched.rows)
    return [
        order_text(matched, compared.common),
        f"row {matched.rows[0]} of the second is row {matched.origin[0]} of the first",
        *([f"{left} more rows differ and were found nowhere"] if left > 0 else []),
        _moved_labels(compared, matched),
    ]


def _moved_labels(compared: Compared, matched: Matched) -> str:
    if compared.before.human is None or compared.after.human is None:
        return "whether the labels moved along is not known: a file has none"
    if (compared.before.human[matched.origin] == compared.after.human[matched.rows]).all():
        return "the labels moved along"
    stayed = (compared.before.human[matched.rows] == compared.after.human[matched.rows]).all()
    return f"the labels {'stayed where they were' if stayed else 'did not move along'}: pairs and scores no longer fit"


def _axes(compared: Compared) -> Diagnosis | None:
    """The same geometry in other coordinates: all similarities stay, within both matrices and between them."""
    distance = float(np.sqrt(2 * max(0.0, float(np.median(1 - compared.cosines)))))
    before, after = compared.vectors
    gap = float(np.abs(before @ before.T - after @ after.T).max())
    everywhere = float(np.abs(compared.before.cosines - compared.after.cosines).max())
    if max(gap, everywhere) > distance / 100:  # noise that moves a vector as far changes a similarity a third as much
        return None
    norms = np.outer(np.linalg.norm(before, axis=0), np.linalg.norm(after, axis=0))
    alike = np.divide(before.T @ after, norms, out=np.zeros_like(norms), where=norms > 0)
    best, columns = np.abs(alike).argmax(axis=0), np.arange(alike.shape[1])
    if (np.abs(alike).max(axis=0) >= 1 - SAME_DIRECTION).all() and len({*best.tolist()}) == len(best):
        moved, flipped = int((best != columns).sum()), int((alike[best, columns] < 0).sum())
        message = f"the same coordinates: {moved} stand elsewhere, {flipped} have the other sign"
    else:
        message = "the vectors are turned: every similarity is the same, the coordinates are not"
    return _shown("axes", message, (f"similarities within a sample of {len(before)} vectors differ by at most {gap:.1e}",))


def _rounded(compared: Compared) -> Diagnosis | None:
    """One side holds the other's numbers in fewer digits."""
    before, after = compared.sample
    gaps = np.abs(before - after)
    steps: dict[str, Callable[[Values], Values | float]] = {
        **{f"{digits} decimals": lambda _, digits=digits: 0.5 * 10.0**-digits for digits in (5, 4, 3, 2, 1)},  # type: ignore[misc]
        "float16": lambda values: np.maximum(2.0**-11 * np.abs(values), 2.0**-25),
        "bfloat16": lambda values: 2.0**-8 * np.abs(values),
    }
    sides = ("second", compared.after, compared.before, after), ("first", compared.before, compared.after, before)
    for name, side, other, values in sides:
        for form, step in steps.items():
            if form in side.forms - other.forms and (gaps <= step(values) + 2e-6).all():
                largest = float(compared.differences.max())
                evidence = f"in the sample no value differs by more than such a rounding, anywhere by {largest:.1e} at most"
                return _shown("storage", f"the values of the {name} are kept as {form}; the other's are not", (evidence,))
    return None


def _some(compared: Compared) -> Diagnosis | None:
    """Two groups of rows: those that differ, and those that do not."""
    changed = compared.changed()
    if changed.mean() > 0.9:
        return None
    scaled = compared.differences / np.maximum(compared.before.lengths[: compared.common], 1e-300)
    if scaled[changed].min() < 5 * max(scaled[~changed].max(), compared.bound / 5) and changed.mean() > 0.02:
        return None  # no gap: noise, of which some rows have more
    rows = np.flatnonzero(changed.any(axis=1))
    cosine = compared.cosines[changed]
    evidence = [
        f"rows {rows_text(rows)}",
        f"the other {compared.common - len(rows)} rows differ by at most {scaled[~changed].max():.1e}",
        f"cosine of the differing vectors: {cosine.min():.6f} to {cosine.max():.6f}",
    ]
    relabelled = compared.labels()
    both = int((relabelled & changed.any(axis=1)).sum())
    if both and both >= 0.5 * relabelled.sum():
        message = f"{len(rows)} of {compared.common} rows hold other vectors, {both} of them other labels as well"
        evidence.append("another revision of the dataset replaces sentences and labels together")
        return _suggested("revision", message, evidence, "rows")
    evidence.append("long sentences cut off, or sentences with capitals, would look like this: it needs the sentences")
    message = f"{len(rows)} of {compared.common} rows differ, the others are equal"
    return _suggested("rows", message, evidence, "truncation", "casing", "revision")


def _noise(compared: Compared) -> Diagnosis | None:
    """A little of a difference in every row."""
    away = 1 - compared.cosines
    if np.quantile(away, 0.99) > NOISE or away.max() > 20 * NOISE:
        return None
    relative = float(np.sqrt(2 * np.median(away)))
    likely = "float16" if relative < 3e-3 else "bfloat16 or 8 bits"
    message = f"noise in every row, {relative:.1e} of a vector's length in the middle: weights or arithmetic of less precision"
    evidence = (
        f"float32 leaves less than 1e-6, TF32 and float16 about 1e-3, bfloat16 about 1e-2; this is nearest to {likely}",
        f"the largest difference is {compared.differences.max():.1e}, the bound {compared.bound:.0e}",
    )
    return _suggested("precision", message, evidence)


def _encoded(compared: Compared) -> Diagnosis:
    """Related vectors: encoded in another way. Unrelated ones, with related similarities: another model."""
    cosine = compared.cosines
    middle, known, (related, described) = float(np.median(cosine)), recognised(compared), relation(compared)
    evidence: tuple[str, ...] = (
        f"cosine of each vector with its counterpart: {cosine.min():.3f} to {cosine.max():.3f}, {middle:.3f} in the middle",
        f"its counterpart is the nearest of all vectors in the sample for {known:.0%}",
        described,
    )
    if known >= 0.5 and len(compared.sample[0]) > 2:
        first: tuple[Kind, ...] = ("prefix", "casing", "pooling") if middle >= 0.8 else ("pooling", "prefix", "casing")
        message = "every vector is moved and still known again: the same sentences, encoded in another way"
        before, after = map(unit, compared.vectors)
        moves, mean = after - before, (after - before).mean(axis=0)
        share = float(mean @ mean / max(1e-300, (moves * moves).sum(axis=1).mean()))
        evidence = (*evidence, f"one common direction makes up {share:.0%} of the difference")
        return _suggested("encoding", message, evidence, *first, "truncation", "model")
    if related:
        message = "the vectors are unrelated, their similarities are not: the same sentences under another model"
        return _suggested("model", message, evidence, "encoding")
    message = "nothing in common was found: other sentences, or another model and another order"
    return _suggested("everything", message, evidence, "model", "order")


# In this order: what follows from the numbers before what only fits them.
STEPS: tuple[Callable[[Compared], Diagnosis | None], ...]
STEPS = _lengths, _columns, _order, _axes, _rounded, _some, _noise, _encoded


def _dimension(compared: Compared) -> Diagnosis:
    """Other widths: the first is the other cut off (Matryoshka), or they have nothing to do with each other."""
    narrow, wide = sorted((compared.before, compared.after), key=lambda side: side.dimension)
    message = f"{compared.before.dimension} coordinates in the first, {compared.after.dimension} in the second"
    cosine = compared.cosines
    if (cosine >= 1 - SAME_DIRECTION).all():
        again = "normalised again" if (np.abs(narrow.lengths - 1) < 1e-3).all() else "not normalised again"
        cut = f"they are the first {narrow.dimension} of the {wide.dimension}, {again}: a Matryoshka cut"
        return _shown("dimension", message, (cut,))
    leading = f"the leading {narrow.dimension} coordinates have cosines from {cosine.min():.3f} to {cosine.max():.3f}"
    return _shown("dimension", message, (f"no cut: {leading}", relation(compared)[1]), "model")


def _count(compared: Compared) -> Diagnosis:
    """Other numbers of rows: which of the shorter one's rows the longer one has."""
    before, after = compared.before, compared.after
    message = f"{before.n_pairs} rows in the first, {after.n_pairs} in the second"
    if before.dimension != after.dimension:
        return _shown("count", message, ())
    short, long = sorted((before, after), key=lambda side: side.n_pairs)
    if not compared.changed().any():
        return _shown("count", message, (f"the first {short.n_pairs} rows have equal vectors: the end is missing",))
    matched = match(long.marks, short.marks, np.arange(short.n_pairs), least=0.0)
    known = len(matched.rows) if matched else 0
    evidence = [f"{known} of the shorter one's {short.n_pairs} rows stand in the longer one"]
    if matched and known == short.n_pairs and (np.diff(matched.origin) > 0).all():
        left = np.setdiff1d(np.arange(long.n_pairs), matched.origin)
        evidence.append(f"in the same order; missing are rows {rows_text(left)} of the longer one")
    return _shown("count", message, evidence, *(("revision",) if known < short.n_pairs else ()))


def _labels(compared: Compared) -> Diagnosis:
    """Other human scores beside the same vectors."""
    assert compared.before.human is not None and compared.after.human is not None
    before, after = compared.before.human, compared.after.human
    rows = np.flatnonzero(compared.labels())
    evidence = [f"rows {rows_text(rows)}: {before[rows[0]]:g} became {after[rows[0]]:g} in the first of them"]
    related = correlation(before, after)
    if (np.sort(before) == np.sort(after)).all():
        evidence.append("the same scores in another order")
    elif related is not None and abs(related) > 1 - 1e-9 and len(rows) > 2:
        slope = related * float(after.std() / before.std())
        evidence.append(f"on another scale: times {slope:.6g}, plus {float(after.mean() - slope * before.mean()):.6g}")
    return _shown("labels", f"{len(rows)} of {len(before)} human scores differ", evidence)


def rows_text(rows: npt.NDArray[np.integer]) -> str:
    """Some row numbers for people, counted from 0."""
    named = ", ".join(map(str, rows[:NAMED].tolist()))
    return f"{named} and {len(rows) - NAMED} more" if len(rows) > NAMED else named


def unit(vectors: Values) -> Values:
    """Vectors of length 1; zero stays zero."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300))


def recognised(compared: Compared) -> float:
    """The share of the sample's vectors whose nearest one in the other set is their counterpart, or as near as that."""
    before, after = map(unit, compared.vectors)
    alike = before @ after.T
    return float((np.diag(alike) >= alike.max(axis=1) - 1e-9).mean())


def relation(compared: Compared) -> tuple[bool, str]:
    """Whether similarities within one set go with those within the other, in any coordinates (Mantel's test); in words."""
    before, after = (rows @ rows.T for rows in map(unit, compared.vectors))
    upper, chance = np.triu_indices(len(before), 1), np.random.default_rng(0)
    orders = [np.arange(len(after)), *(chance.permutation(len(after)) for _ in range(SHUFFLES))]
    value, *shuffled = [correlation(before[upper], after[np.ix_(order, order)][upper]) or 0.0 for order in orders]
    holds = value > 0.1 and value > max(shuffled) + 3 * float(np.std(shuffled))
    return holds, f"similarities within the sample correlate with {value:.3f}, by chance with {max(shuffled):.3f} at most"


class Matched(NamedTuple):
    """Rows of the second set that were found in the first: `rows` of the second are `origin` of the first, each once."""

    rows: Positions
    origin: Positions


def match(first: Marks, second: Marks, moved: Positions, *, least: float = LEAST) -> Matched | None:
    """Find the moved rows of the second set among the first's; None if less than a share of `least` is found.

    Marks are n x vectors x projections. Each row of the first is used once. For sets of equal length only moved rows of the
    first are used.
    """
    if not len(moved):
        return None
    here, there = (marks.reshape(len(marks), -1) for marks in (first, second))
    free = moved if len(first) == len(second) else np.arange(len(first))
    order = free[np.argsort(here[free, 0], kind="stable")]
    sorted_marks, taken = here[order], np.zeros(len(order), bool)
    starts, ends = (np.searchsorted(sorted_marks[:, 0], there[moved, 0] + gap).tolist() for gap in (-NEAR, NEAR))
    matched: list[tuple[int, int]] = []
    for tried, (row, start, end) in enumerate(zip(moved.tolist(), starts, ends, strict=True)):
        if tried == TRIED and len(matched) < least * tried * 0.8:
            return None
        window = slice(start, min(end, start + LOOKS))
        gaps = np.abs(sorted_marks[window] - there[row]).max(axis=1, initial=0)
        gaps[taken[window]] = np.inf
        if len(gaps) and gaps.min() <= NEAR:
            nearest = start + int(gaps.argmin())
            taken[nearest] = True
            matched.append((row, int(order[nearest])))
    return Matched(*np.array(matched).T) if matched and len(matched) >= least * len(moved) else None


def order_text(matched: Matched, count: int) -> str:
    """The permutation in words: reversed, shifted, some exchanged, or without a pattern."""
    rows, origin = matched
    moved = int((rows != origin).sum())
    if len(rows) >= count - 1 and (rows + origin == count - 1).all():
        return "the order is reversed"
    shift = (rows - origin) % count
    if len(rows) == count and (shift == shift[0]).all():
        return f"every row is shifted by {min(int(shift[0]), count - int(shift[0]))}"
    back = dict(zip(rows.tolist(), origin.tolist(), strict=True))
    if all(back.get(source) == row for row, source in back.items()):
        return f"rows exchanged in pairs: {moved} moved"
    return f"{moved} rows moved, without a simple pattern"
