"""What kind of difference lies between two pair sets, and what supports the answer. Pure.

From the numbers of two files some causes follow: order, exchanged columns, scale, labels, storage. Others leave a trace that
several causes share: a prefix and another pooling both move every vector. Then the diagnosis names the class and the causes
that fit, the likeliest first, and no single one; only encoding the sentences again can distinguish them (`causes`).
"""

from collections.abc import Callable, Sequence

import numpy as np

from aqea_registry.comparison.evidence import (
    Compared,
    Diagnosis,
    Kind,
    Matched,
    correlation,
    cosines,
    lengths,
    match,
    order_text,
    recognised,
    relation,
    rows_text,
    unit,
    vectors_of,
)
from aqea_registry.vectors.pair_set import Values

SAME_DIRECTION = 1e-6  # 1 - cosine, at most
NOISE = 1e-3  # 1 - cosine of what may still be arithmetic


def diagnose(compared: Compared) -> tuple[Diagnosis, ...]:
    """Every kind of difference that was found, the one that explains most first; empty if nothing differs."""
    before, after = compared.measured.before, compared.measured.after
    found = [_dimension(compared)] if before.dimension != after.dimension else []
    if before.n_pairs != after.n_pairs:
        return (*found, _count(compared))
    if not found and compared.changed().any():
        found = [next(diagnosis for step in STEPS if (diagnosis := step(compared)))]
    shown = (kind for diagnosis in found if diagnosis.basis == "shown" for kind in diagnosis.candidates)
    kinds = {*shown, *(diagnosis.kind for diagnosis in found)}
    if compared.labels().any() and kinds.isdisjoint({"order", "revision", "everything"}):
        found.append(_labels(compared))
    return tuple(found)


def _shown(kind: Kind, message: str, evidence: Sequence[str], *candidates: Kind) -> Diagnosis:
    return Diagnosis(kind=kind, basis="shown", message=message, evidence=tuple(evidence), candidates=candidates)


def _suggested(kind: Kind, message: str, evidence: Sequence[str], *candidates: Kind) -> Diagnosis:
    return Diagnosis(kind=kind, basis="suggested", message=message, evidence=tuple(evidence), candidates=candidates)


def _lengths(compared: Compared) -> Diagnosis | None:
    """The same directions with other lengths, in every row: scaled by one factor, or not normalised."""
    between = compared.measured.between
    ratios, turned = between.ratios, np.sqrt(2 * (1 - np.abs(between.cosines)))
    if not (np.abs(between.cosines) >= 1 - SAME_DIRECTION).all() or np.median(np.abs(ratios - 1)) < 2 * np.median(turned):
        return None  # it is not, or hardly, the lengths that differ
    signed = ratios * np.sign(between.cosines)
    middles = np.median(signed, axis=0)
    if (np.abs(signed - middles) <= 1e-3 * np.abs(middles)).all():
        equal = np.isclose(middles[0], middles[1], rtol=1e-3)
        factors = f"{middles[0]:.6g}" if equal else f"{middles[0]:.6g} in embeddings1, {middles[1]:.6g} in embeddings2"
        spread = f"the factor is the same in all rows, within {float(np.ptp(signed / middles)):.1e}"
        return _shown("scale", f"every vector is multiplied by {factors}", (spread, _lengths_text(compared)))
    message = "the directions are the same, the lengths are not: one side is not normalised"
    return _shown("normalisation", message, (_lengths_text(compared),))


def _lengths_text(compared: Compared) -> str:
    sides = ("first", lengths(compared.measured.before)), ("second", lengths(compared.measured.after))
    return "; ".join(f"lengths in the {name}: {side.min():.6g} to {side.max():.6g}" for name, side in sides)


def _columns(compared: Compared) -> Diagnosis | None:
    """embeddings1 and embeddings2 exchanged, in all rows or in some; in order, or in another one."""
    changed = np.flatnonzero(compared.changed().any(axis=1))
    swapped = (compared.measured.between.crossed[changed] >= 1 - SAME_DIRECTION).all(axis=1)
    if swapped.mean() >= 0.9:
        rest = "" if swapped.all() else f"; {len(changed) - int(swapped.sum())} more rows differ otherwise"
        message = f"embeddings1 and embeddings2 are exchanged in {int(swapped.sum())} of {compared.common} rows{rest}"
        evidence = ["each vector of one matrix is, in its own row, the other matrix's"]
        if same := compared.common - len(changed):
            evidence.append(f"{same} rows are as they were, or have two equal vectors")
        return _shown("columns", message, evidence)
    before, after = compared.measured.before, compared.measured.after
    matched = match(before.marks[:, (1, 0)], after.marks, changed)
    if matched is None or match(before.marks, after.marks, changed):
        return None
    message = f"embeddings1 and embeddings2 are exchanged, and the rows are in another order ({len(matched.rows)} found)"
    return _shown("columns", message, _order_evidence(compared, matched), "order")


def _order(compared: Compared) -> Diagnosis | None:
    """The same rows elsewhere: pairs that stayed together, or one matrix alone."""
    measured = compared.measured
    moved = np.flatnonzero(compared.changed().any(axis=1) | compared.labels())
    for matrices, name in (((0, 1), "pairs"), ((0,), "embeddings1"), ((1,), "embeddings2")):
        others = [matrix for matrix in (0, 1) if matrix not in matrices]
        if others and compared.changed()[:, others].any():
            continue
        matched = match(measured.before.marks[:, matrices], measured.after.marks[:, matrices], moved)
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
    if compared.before is None or compared.after is None:
        return "whether the labels moved along is not known: a file has none"
    if (compared.before[matched.origin] == compared.after[matched.rows]).all():
        return "the labels moved along"
    stayed = (compared.before[matched.rows] == compared.after[matched.rows]).all()
    return f"the labels {'stayed where they were' if stayed else 'did not move along'}: pairs and scores no longer fit"


def _axes(compared: Compared) -> Diagnosis | None:
    """The same geometry in other coordinates: all similarities stay, within both matrices and between them."""
    measured = compared.measured
    distance = float(np.sqrt(2 * max(0.0, float(np.median(1 - measured.between.cosines)))))
    before, after = vectors_of(measured)
    gap = float(np.abs(before @ before.T - after @ after.T).max())
    everywhere = float(np.abs(cosines(measured.before) - cosines(measured.after)).max())
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
    measured = compared.measured
    gaps = np.abs(measured.sample.before - measured.sample.after)
    steps: dict[str, Callable[[Values], Values | float]] = {
        **{f"{digits} decimals": lambda _, digits=digits: 0.5 * 10.0**-digits for digits in (5, 4, 3, 2, 1)},  # type: ignore[misc]
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
                largest = float(measured.between.differences.max())
                evidence = f"in the sample no value differs by more than such a rounding, anywhere by {largest:.1e} at most"
                return _shown("storage", f"the values of the {name} are kept as {form}; the other's are not", (evidence,))
    return None


def _some(compared: Compared) -> Diagnosis | None:
    """Two groups of rows: those that differ, and those that do not."""
    changed, between = compared.changed(), compared.measured.between
    if changed.mean() > 0.9:
        return None
    scaled = between.differences / np.maximum(lengths(compared.measured.before)[: compared.common], 1e-300)
    if scaled[changed].min() < 5 * max(scaled[~changed].max(), compared.bound / 5) and changed.mean() > 0.02:
        return None  # no gap: noise, of which some rows have more
    rows = np.flatnonzero(changed.any(axis=1))
    cosine = between.cosines[changed]
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
    between = compared.measured.between
    away = 1 - between.cosines
    if np.quantile(away, 0.99) > NOISE or away.max() > 20 * NOISE:
        return None
    relative = float(np.sqrt(2 * np.median(away)))
    likely = "float16" if relative < 3e-3 else "bfloat16 or 8 bits"
    message = f"noise in every row, {relative:.1e} of a vector's length in the middle: weights or arithmetic of less precision"
    evidence = (
        f"float32 leaves less than 1e-6, TF32 and float16 about 1e-3, bfloat16 about 1e-2; this is nearest to {likely}",
        f"the largest difference is {between.differences.max():.1e}, the bound {compared.bound:.0e}",
    )
    return _suggested("precision", message, evidence)


def _encoded(compared: Compared) -> Diagnosis:
    """Related vectors: encoded in another way. Unrelated ones, with related similarities: another model."""
    cosine = compared.measured.between.cosines
    middle, known, alike = float(np.median(cosine)), recognised(compared.measured), relation(compared.measured)
    evidence: tuple[str, ...] = (
        f"cosine of each vector with its counterpart: {cosine.min():.3f} to {cosine.max():.3f}, {middle:.3f} in the middle",
        f"its counterpart is the nearest of all vectors in the sample for {known:.0%}",
        alike.text(),
    )
    if known >= 0.5 and len(compared.measured.sample.before) > 2:
        first: tuple[Kind, ...] = ("prefix", "casing", "pooling") if middle >= 0.8 else ("pooling", "prefix", "casing")
        message = "every vector is moved and still known again: the same sentences, encoded in another way"
        before, after = map(unit, vectors_of(compared.measured))
        moves, mean = after - before, (after - before).mean(axis=0)
        share = float(mean @ mean / max(1e-300, (moves * moves).sum(axis=1).mean()))
        evidence = (*evidence, f"one common direction makes up {share:.0%} of the difference")
        return _suggested("encoding", message, evidence, *first, "truncation", "model")
    if alike.holds():
        message = "the vectors are unrelated, their similarities are not: the same sentences under another model"
        return _suggested("model", message, evidence, "encoding")
    message = "nothing in common was found: other sentences, or another model and another order"
    return _suggested("everything", message, evidence, "model", "order")


# In this order: what follows from the numbers before what only fits them.
STEPS: tuple[Callable[[Compared], Diagnosis | None], ...]
STEPS = _lengths, _columns, _order, _axes, _rounded, _some, _noise, _encoded


def _dimension(compared: Compared) -> Diagnosis:
    """Other widths: the first is the other cut off (Matryoshka), or they have nothing to do with each other."""
    measured = compared.measured
    narrow, wide = sorted((measured.before, measured.after), key=lambda side: side.dimension)
    message = f"{measured.before.dimension} coordinates in the first, {measured.after.dimension} in the second"
    cosine = measured.between.cosines
    if (cosine >= 1 - SAME_DIRECTION).all():
        again = "normalised again" if (np.abs(lengths(narrow) - 1) < 1e-3).all() else "not normalised again"
        cut = f"they are the first {narrow.dimension} of the {wide.dimension}, {again}: a Matryoshka cut"
        return _shown("dimension", message, (cut,))
    leading = f"the leading {narrow.dimension} coordinates have cosines from {cosine.min():.3f} to {cosine.max():.3f}"
    return _shown("dimension", message, (f"no cut: {leading}", relation(measured).text()), "model")


def _count(compared: Compared) -> Diagnosis:
    """Other numbers of rows: which of the shorter one's rows the longer one has."""
    before, after = compared.measured.before, compared.measured.after
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
    assert compared.before is not None and compared.after is not None
    before, after = compared.before, compared.after
    rows = np.flatnonzero(compared.labels())
    evidence = [f"rows {rows_text(rows)}: {before[rows[0]]:g} became {after[rows[0]]:g} in the first of them"]
    related = correlation(before, after)
    if (np.sort(before) == np.sort(after)).all():
        evidence.append("the same scores in another order")
    elif related is not None and abs(related) > 1 - 1e-9 and len(rows) > 2:
        slope = related * float(after.std() / before.std())
        evidence.append(f"on another scale: times {slope:.6g}, plus {float(after.mean() - slope * before.mean()):.6g}")
    return _shown("labels", f"{len(rows)} of {len(before)} human scores differ", evidence)
