"""What kind of difference lies between two pair sets, and what supports the answer. Decisions only.

From the numbers of two files some causes follow: order, swapped columns, scale, labels, storage. Others leave a trace that
several causes share: a prefix and another pooling both move every vector. Then the diagnosis names the class and the causes
that fit, in the order in which they fit, and no single one; only encoding the sentences again can tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from aqea_registry.comparison.evidence import (
    Compared,
    Diagnosis,
    Matched,
    Values,
    correlation,
    cosines,
    known_again,
    lengths,
    match,
    order_words,
    relation,
    rows_text,
    unit,
    vectors_of,
)

SAME_DIRECTION = 1e-6  # 1 - cosine, at most
NOISE = 1e-3  # 1 - cosine of what may still be arithmetic


def diagnose(compared: Compared) -> tuple[Diagnosis, ...]:
    """Every kind of difference that was found, the one that explains most first; empty if nothing differs."""
    before, after = compared.measured.before, compared.measured.after
    found: list[Diagnosis] = []
    if before.dimension != after.dimension:
        found += _dimension(compared)
    if before.n_pairs != after.n_pairs:
        return (*found, _count(compared))
    if not found and compared.changed().any():
        found += next(diagnosis for step in STEPS if (diagnosis := step(compared)))
    kinds = {kind for one in found for kind in (one.kind, *(one.candidates if one.basis == "shown" else ()))}
    if compared.labels().any() and kinds.isdisjoint({"order", "revision", "everything"}):
        found.append(_labels(compared))
    return tuple(found)


def _order(compared: Compared) -> list[Diagnosis]:
    """The same rows elsewhere: pairs that stayed together, or one matrix alone."""
    measured = compared.measured
    moved = np.flatnonzero(compared.changed().any(axis=1) | compared.labels())
    for which, words in (((0, 1), "pairs"), ((0,), "embeddings1"), ((1,), "embeddings2")):
        others = [one for one in (0, 1) if one not in which]
        if others and compared.changed()[:, others].any():
            continue
        found = match(measured.before.marks[:, which], measured.after.marks[:, which], moved)
        elsewhere = int((found.rows != found.origin).sum()) if found else 0
        if found is None or elsewhere < 0.5 * len(found.rows):  # noise leaves each row nearest to itself
            continue
        return [
            Diagnosis(
                kind="order",
                basis="shown",
                message=f"the same {words} stand in another order: {elsewhere} of {compared.common} are elsewhere",
                evidence=(
                    order_words(found, compared.common),
                    _first_moved(found),
                    *_rest(found, len(moved)),
                    _label_words(compared, found),
                ),
            ),
        ]
    return []


def _first_moved(found: Matched) -> str:
    return f"row {found.rows[0]} of the second is row {found.origin[0]} of the first"


def _rest(found: Matched, moved: int) -> list[str]:
    left = moved - len(found.rows)
    return [f"{left} more rows differ and were found nowhere"] if left else []


def _label_words(compared: Compared, found: Matched) -> str:
    if compared.before is None or compared.after is None:
        return "whether the labels moved along is not known: a file has none"
    if (compared.before[found.origin] == compared.after[found.rows]).all():
        return "the labels moved along"
    stayed = (compared.before[found.rows] == compared.after[found.rows]).all()
    return f"the labels {'stayed where they were' if stayed else 'did not move along'}: pairs and scores no longer fit"


def _columns(compared: Compared) -> list[Diagnosis]:
    """embeddings1 and embeddings2 exchanged, in all rows or in some; in order, or in another one."""
    changed = np.flatnonzero(compared.changed().any(axis=1))
    swapped = (compared.measured.between.crossed[changed] >= 1 - SAME_DIRECTION).all(axis=1)
    if swapped.mean() >= 0.9:
        words = "" if swapped.all() else f"; {len(changed) - int(swapped.sum())} more rows differ otherwise"
        same = compared.common - len(changed)
        return [
            Diagnosis(
                kind="columns",
                basis="shown",
                message=f"embeddings1 and embeddings2 are exchanged in {int(swapped.sum())} of {compared.common} rows{words}",
                evidence=(
                    "each vector of one matrix is, in its own row, the other matrix's",
                    *([f"{same} rows are as they were, or have two equal vectors"] if same else []),
                ),
            )
        ]
    before, after = compared.measured.before, compared.measured.after
    found = match(before.marks[:, (1, 0)], after.marks, changed)
    if found is None or match(before.marks, after.marks, changed):
        return []
    message = f"embeddings1 and embeddings2 are exchanged, and the rows are in another order ({len(found.rows)} found)"
    evidence = (order_words(found, compared.common), _first_moved(found), _label_words(compared, found))
    return [Diagnosis(kind="columns", basis="shown", message=message, evidence=evidence, candidates=("order",))]


def _lengths(compared: Compared) -> list[Diagnosis]:
    """The same directions with other lengths, in every row: scaled by one factor, or not normalised."""
    between = compared.measured.between
    ratios, turned = between.ratios, np.sqrt(2 * (1 - np.abs(between.cosines)))
    if not (np.abs(between.cosines) >= 1 - SAME_DIRECTION).all() or np.median(np.abs(ratios - 1)) < 2 * np.median(turned):
        return []  # it is not, or hardly, the lengths that differ
    signed = ratios * np.sign(between.cosines)
    middles = np.median(signed, axis=0)
    if (np.abs(signed - middles) <= 1e-3 * np.abs(middles)).all():
        one = np.isclose(middles[0], middles[1], rtol=1e-3)
        factors = f"{middles[0]:.6g}" if one else f"{middles[0]:.6g} in embeddings1, {middles[1]:.6g} in embeddings2"
        spread = float(np.ptp(signed / middles))
        evidence = (f"the factor is the same in all rows, within {spread:.1e}", _unit_words(compared))
        return [Diagnosis(kind="scale", basis="shown", message=f"every vector is multiplied by {factors}", evidence=evidence)]
    message = "the directions are the same, the lengths are not: one side is not normalised"
    return [Diagnosis(kind="normalisation", basis="shown", message=message, evidence=(_unit_words(compared),))]


def _unit_words(compared: Compared) -> str:
    told = []
    for name, side in (("first", compared.measured.before), ("second", compared.measured.after)):
        low, high = float(lengths(side).min()), float(lengths(side).max())
        told.append(f"lengths in the {name}: {low:.6g} to {high:.6g}")
    return "; ".join(told)


def _axes(compared: Compared) -> list[Diagnosis]:
    """The same geometry in other coordinates: all similarities stay, within both matrices and between them."""
    measured = compared.measured
    moved = float(np.sqrt(2 * max(0.0, float(np.median(1 - measured.between.cosines)))))
    before, after = vectors_of(measured)
    gap = float(np.abs(before @ before.T - after @ after.T).max())
    everywhere = float(np.abs(cosines(measured.before) - cosines(measured.after)).max())
    if max(gap, everywhere) > moved / 100:  # noise that moves a vector as far changes a similarity a third as much
        return []
    norms = np.outer(np.linalg.norm(before, axis=0), np.linalg.norm(after, axis=0))
    alike = np.divide(before.T @ after, norms, out=np.zeros_like(norms), where=norms > 0)
    best = np.abs(alike).argmax(axis=0)
    if (np.abs(alike).max(axis=0) >= 1 - SAME_DIRECTION).all() and len({*best.tolist()}) == len(best):
        moved, flipped = int((best != np.arange(len(best))).sum()), int((alike[best, np.arange(len(best))] < 0).sum())
        message = f"the same coordinates: {moved} stand elsewhere, {flipped} have the other sign"
    else:
        message = "the vectors are turned: every similarity is the same, the coordinates are not"
    evidence = (f"similarities within a sample of {len(before)} vectors differ by at most {gap:.1e}",)
    return [Diagnosis(kind="axes", basis="shown", message=message, evidence=evidence)]


def _some(compared: Compared) -> list[Diagnosis]:
    """Two groups of rows: those that differ, and those that do not."""
    changed, between = compared.changed(), compared.measured.between
    if changed.mean() > 0.9:
        return []
    scaled = between.differences / np.maximum(lengths(compared.measured.before)[: compared.common], 1e-300)
    if scaled[changed].min() < 5 * max(scaled[~changed].max(), compared.bound / 5) and changed.mean() > 0.02:
        return []  # no gap: noise, of which some rows have more
    rows = np.flatnonzero(changed.any(axis=1))
    lowest = float(between.cosines[changed].min())
    evidence = [
        f"rows {rows_text(rows)}",
        f"the other {compared.common - len(rows)} rows differ by at most {scaled[~changed].max():.1e}",
        f"cosine of the differing vectors: {lowest:.6f} to {float(between.cosines[changed].max()):.6f}",
    ]
    label_rows = compared.labels()
    both = int((label_rows & changed.any(axis=1)).sum())
    if both and both >= 0.5 * label_rows.sum():
        message = f"{len(rows)} of {compared.common} rows hold other vectors, {both} of them other labels as well"
        kind, candidates = "revision", ["rows"]
        evidence.append("another revision of the dataset replaces sentences and labels together")
    else:
        message = f"{len(rows)} of {compared.common} rows differ, the others are equal"
        kind, candidates = "rows", ["truncation", "casing", "revision"]
        evidence.append("long sentences cut off, or sentences with capitals, would look like this: it needs the sentences")
    return [Diagnosis(kind=kind, basis="suggested", message=message, evidence=tuple(evidence), candidates=tuple(candidates))]


def _rounded(compared: Compared) -> list[Diagnosis]:
    """One side holds the other's numbers in fewer digits."""
    measured = compared.measured
    largest = float(measured.between.differences.max())
    gaps = np.abs(measured.sample.before - measured.sample.after)
    steps: dict[str, Callable[[Values], Values | float]] = {
        "5 decimals": lambda _: 0.5e-5,
        "4 decimals": lambda _: 0.5e-4,
        "3 decimals": lambda _: 0.5e-3,
        "2 decimals": lambda _: 0.5e-2,
        "1 decimals": lambda _: 0.5e-1,
        "float16": lambda values: np.maximum(2.0**-11 * np.abs(values), 2.0**-25),
        "bfloat16": lambda values: 2.0**-8 * np.abs(values),
    }
    sides = (
        ("second", measured.after, measured.before, measured.sample.after),
        ("first", measured.before, measured.after, measured.sample.before),
    )
    for name, side, other, values in sides:
        for form, step in steps.items():
            if form in side.forms - other.forms and (gaps <= step(values) + 2e-6).all():
                message = f"the values of the {name} are kept as {form}; the other's are not"
                evidence = (f"in the sample no value differs by more than such a rounding, anywhere by {largest:.1e} at most",)
                return [Diagnosis(kind="storage", basis="shown", message=message, evidence=evidence)]
    return []


def _noise(compared: Compared) -> list[Diagnosis]:
    between = compared.measured.between
    away = 1 - between.cosines
    if np.quantile(away, 0.99) > NOISE or away.max() > 20 * NOISE:
        return []
    relative = float(np.sqrt(2 * np.median(away)))
    likely = "float16" if relative < 3e-3 else "bfloat16 or 8 bits"
    message = f"noise in every row, {relative:.1e} of a vector's length in the middle: weights or arithmetic of less precision"
    evidence = (
        f"float32 leaves less than 1e-6, TF32 and float16 about 1e-3, bfloat16 about 1e-2; this is nearest to {likely}",
        f"the largest difference is {between.differences.max():.1e}, the bound {compared.bound:.0e}",
    )
    return [Diagnosis(kind="precision", basis="suggested", message=message, evidence=evidence)]


def _encoded(compared: Compared) -> list[Diagnosis]:
    """Related vectors: encoded in another way. Unrelated ones, with related similarities: another model."""
    cosine = compared.measured.between.cosines
    middle, known, alike = float(np.median(cosine)), known_again(compared.measured), relation(compared.measured)
    words = (
        f"cosine of each vector with its counterpart: {cosine.min():.3f} to {cosine.max():.3f}, {middle:.3f} in the middle",
        f"its counterpart is the nearest of all vectors in the sample for {known:.0%}",
        f"similarities within the sample correlate with {alike.value:.3f}, by chance with {alike.chance:.3f} at most",
    )
    if known >= 0.5 and len(compared.measured.sample.rows) > 2:
        first = ("prefix", "casing", "pooling") if middle >= 0.8 else ("pooling", "prefix", "casing")
        message = "every vector is moved and still known again: the same sentences, encoded in another way"
        evidence = (*words, f"one common direction makes up {_common_share(compared):.0%} of the difference")
        return [
            Diagnosis(
                kind="encoding",
                basis="suggested",
                message=message,
                evidence=evidence,
                candidates=(*first, "truncation", "model"),
            )
        ]
    if alike.holds():
        message = "the vectors are unrelated, their similarities are not: the same sentences under another model"
        return [Diagnosis(kind="model", basis="suggested", message=message, evidence=words, candidates=("encoding",))]
    message = "nothing in common was found: other sentences, or another model and another order"
    return [Diagnosis(kind="everything", basis="suggested", message=message, evidence=words, candidates=("model", "order"))]


STEPS: tuple[Callable[[Compared], list[Diagnosis]], ...] = (
    _lengths,
    _columns,
    _order,
    _axes,
    _rounded,
    _some,
    _noise,
    _encoded,
)


def _common_share(compared: Compared) -> float:
    before, after = (unit(one) for one in vectors_of(compared.measured))
    moves = after - before
    mean = moves.mean(axis=0)
    return float(mean @ mean / max(1e-300, (moves * moves).sum(axis=1).mean()))


def _dimension(compared: Compared) -> list[Diagnosis]:
    """Other widths: the first is the other cut off (Matryoshka), or they have nothing to do with each other."""
    measured = compared.measured
    wide, narrow = sorted((measured.before.dimension, measured.after.dimension), reverse=True)
    message = f"{measured.before.dimension} coordinates in the first, {measured.after.dimension} in the second"
    cosine = measured.between.cosines
    if (cosine >= 1 - SAME_DIRECTION).all():
        smaller = min((measured.before, measured.after), key=lambda side: side.dimension)
        again = "normalised again" if (np.abs(lengths(smaller) - 1) < 1e-3).all() else "not normalised again"
        cut = (f"they are the first {narrow} of the {wide}, {again}: a Matryoshka cut",)
        return [Diagnosis(kind="dimension", basis="shown", message=message, evidence=cut)]
    alike = relation(measured)
    evidence = (
        f"no cut: the leading {narrow} coordinates have cosines from {cosine.min():.3f} to {cosine.max():.3f}",
        f"similarities within the sample correlate with {alike.value:.3f}, by chance with {alike.chance:.3f} at most",
    )
    return [Diagnosis(kind="dimension", basis="shown", message=message, evidence=evidence, candidates=("model",))]


def _count(compared: Compared) -> Diagnosis:
    """Other numbers of rows: which of the shorter one's rows the longer one has."""
    before, after = compared.measured.before, compared.measured.after
    message = f"{before.n_pairs} rows in the first, {after.n_pairs} in the second"
    if before.dimension != after.dimension:
        return Diagnosis(kind="count", basis="shown", message=message)
    short, long = sorted((before, after), key=lambda side: side.n_pairs)
    evidence: tuple[str, ...]
    if not compared.changed().any():
        evidence = (f"the first {short.n_pairs} rows have equal vectors: the end is missing",)
        return Diagnosis(kind="count", basis="shown", message=message, evidence=evidence)
    found = match(long.marks, short.marks, np.arange(short.n_pairs), least=0.0)
    known = len(found.rows) if found else 0
    evidence = (f"{known} of the shorter one's {short.n_pairs} rows stand in the longer one",)
    kinds = ("revision",) if known < short.n_pairs else ()
    if found and known == short.n_pairs and (np.diff(found.origin) > 0).all():
        left = np.setdiff1d(np.arange(long.n_pairs), found.origin)
        evidence = (*evidence, f"in the same order; missing are rows {rows_text(left)} of the longer one")
    return Diagnosis(kind="count", basis="shown", message=message, evidence=evidence, candidates=kinds)


def _labels(compared: Compared) -> Diagnosis:
    """Other human scores beside the same vectors."""
    assert compared.before is not None and compared.after is not None
    before, after = compared.before, compared.after
    rows = np.flatnonzero(compared.labels())
    message = f"{len(rows)} of {len(before)} human scores differ"
    evidence = [f"rows {rows_text(rows)}: {before[rows[0]]:g} became {after[rows[0]]:g} in the first of them"]
    related = correlation(before, after)
    if (np.sort(before) == np.sort(after)).all():
        evidence.append("the same scores in another order")
    elif related is not None and abs(related) > 1 - 1e-9 and len(rows) > 2:
        slope = related * float(after.std() / before.std())
        evidence.append(f"on another scale: times {slope:.6g}, plus {float(after.mean() - slope * before.mean()):.6g}")
    return Diagnosis(kind="labels", basis="shown", message=message, evidence=tuple(evidence))
