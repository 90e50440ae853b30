"""Importing a document again: which claims of its ledger are those that it prints now, and what becomes of the others.

A claim is what a reader would call it: a row and a column of a table, or a metric of a result. Where two claims are called the
same, none of them gives its evidence to a number that may be another's. What people wrote stays. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from msgspec.structs import replace

from aqea_registry.claims.ledger import Claim, Document, Evaluation, Ledger, free

_EVIDENCE = attrgetter("measured", "derived", "quoted")
OF_TEXT = "in-text."  # what ids of claims begin with that an import found in the text


class Merged(NamedTuple):
    """The new ledger, and ids: added, with another value, no longer in the document.

    `doubtful` are claims with evidence whose number may be one of several, `kept` those that have another number now and keep
    the evidence that was written by hand: by id the number before. `now` are the claims that the document makes by itself.
    """

    ledger: Ledger
    added: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]
    doubtful: tuple[str, ...]
    kept: dict[str, str]
    now: tuple[Claim, ...]


class Recognised(NamedTuple):
    """By ids of new claims the old ones that they were, and the old ones that may be one of several new ones."""

    before: dict[str, Claim]
    doubtful: list[Claim]


def recognise(old: Ledger, results: Mapping[str, Evaluation], claims: Sequence[Claim], *, same: bool) -> Recognised:
    """Which claims of a ledger the new ones are: by what they are called, and in the `same` document by line and text.

    Claims that are called the same are distinguished by their numbers. An id decides only where nothing speaks against it.
    """
    found = Recognised({}, [])
    sides = [(claim, _called(claim, old.results)) for claim in old.claims], [(c, _called(c, results)) for c in claims]

    def left() -> list[list[tuple[Claim, Any]]]:
        matched = {claim.id for claim in found.before.values()}, found.before.keys()
        return [[(c, name) for c, name in side if c.id not in ids] for side, ids in zip(sides, matched, strict=True)]

    def match(key: Callable[[Claim, Any], Any], *, alone: bool = False, some: bool = False) -> None:
        before, now = (_grouped(side, key) for side in left())
        for name, earlier in before.items():
            later = now.get(name, [])
            if len(earlier) != len(later):  # which of them have gone, or come, matters only to evidence
                earlier = [claim for claim in earlier if some and not _has_evidence(claim)]
            if len(later) == 1 or not alone:
                found.before.update((claim.id, other) for claim, other in zip(later, earlier, strict=False))

    match(lambda _, name: name, alone=True)
    if same:
        match(lambda claim, _: (claim.at.line, claim.text))
    match(lambda claim, name: name and (name, claim.text), some=True)
    for renamed, placed in ((0, False), (1, True), (2, True)):  # a table, or in its place a row or a column

        def others(claim: Claim, name: Any, renamed: int = renamed, placed: bool = placed) -> Any:
            return name and (claim.text, placed and claim.at.line, *name[:renamed], *name[renamed + 1 :])

        match(others, alone=True)
    before, now = left()
    names = {name for _, name in now if name} | {(name, claim.text) for claim, name in sides[1] if name}
    found.doubtful.extend(c for c, name in before if not names.isdisjoint((name, (name, c.text))) and _has_evidence(c))
    doubtful = {claim.id for claim in found.doubtful}
    by_id = {claim.id: (claim, name) for claim, name in before if claim.id not in doubtful}
    for claim, name in now:
        earlier, other = by_id.get(claim.id, (None, None))
        counted = re.search(r"-\d+(?:\.|\Z)", claim.id)  # a running number, which may be another's now
        if earlier is not None and (other in (None, name) or not counted or earlier.text == claim.text):
            found.before[claim.id] = earlier
    return found


def merge(
    old: Ledger,
    document: Document,
    results: dict[str, Evaluation],
    claims: Sequence[Claim],
    lines: Sequence[str],
    relate: Callable[[list[Claim]], list[Claim]],
    *,
    prune: bool,
    model: str | None,
    units: bool = False,
) -> Merged:
    """Put what a document prints now into its ledger; `lines` are the document's.

    `relate` gives claims, with the ids and units of the ledger, the evidence that the document shows; new ones take it. A claim
    that is recognised keeps everything but its value and location. An old claim that was not has gone if it has the location of
    an imported one and is not on its line; with `prune` it is left out. `model` replaces that of the results, `units` those
    of their values.
    """
    found = recognise(old, results, claims, same=old.document.sha256 == document.sha256 is not None)
    taken, before = dict.fromkeys((claim.id for claim in old.claims), 1), [found.before.get(claim.id) for claim in claims]
    if units:  # those of results
        both = zip(before, claims, strict=True)
        before = [replace(was, unit=claim.unit) if was and claim.at.path else was for was, claim in both]
    pairs = zip(before, claims, strict=True)
    now = [replace(c, id=was.id, unit=was.unit) if was else replace(c, id=free(c.id, taken)) for was, c in pairs]
    now = relate(now)
    fresh = [_renewed(was, claim) if was is not None else claim for was, claim in zip(before, now, strict=True)]
    used, doubtful = {claim.id for claim in found.before.values()}, {claim.id for claim in found.doubtful}
    left = (claim for claim in old.claims if claim.id not in used | doubtful and _is_imported(claim))
    gone = [c.id for c in left if c.at.line is None or c.text not in "".join(lines[c.at.line - 1 : c.at.line])]
    merged = _in_order([claim for claim in old.claims if not (prune and claim.id in gone)], fresh)
    named = {claim.measured.result for claim in merged if claim.measured is not None}
    changed = {was.id: (was, claim) for was, claim in zip(before, now, strict=True) if was and was.text != claim.text}
    other = {id_ for id_, (was, claim) in changed.items() if _EVIDENCE(was) != _EVIDENCE(claim)}  # than the import gives
    return Merged(
        ledger=Ledger(document=document, results=_results(old.results, results, named, model), claims=tuple(merged)),
        added=tuple(claim.id for claim in fresh if claim.id not in used),
        changed=tuple(changed),
        gone=tuple(gone),
        doubtful=tuple(doubtful),
        kept={id_: was.text for id_, (was, _) in changed.items() if id_ in other and was.kind != "unbound"},
        now=tuple(now),
    )


def _called(claim: Claim, results: Mapping[str, Evaluation]) -> Any:
    """What a reader would call an imported claim; None for one that was written by hand."""
    if claim.at.table is not None and claim.at.column is not None:
        number = re.search(r"@\d+\Z", claim.id)
        return claim.at.table, claim.at.row, claim.at.column, number and number[0]
    if not _is_imported(claim):
        return None
    key, _, metric = claim.id.rpartition(".")
    if claim.measured is not None and claim.measured.result != key:
        key, metric = claim.measured.result, claim.measured.metric
    plain = re.sub(r"-\d+\Z", "", key)
    result = results.get(key)
    name = plain if plain in results else key  # the number of one of several results is not its name
    return (name, result and (result.dataset, result.config, result.split, result.task), metric)


def _grouped(claims: Iterable[tuple[Claim, Any]], key: Callable[[Claim, Any], Any]) -> dict[Any, list[Claim]]:
    groups: dict[Any, list[Claim]] = {}
    for claim, name in claims:
        if (group := key(claim, name)) is not None:
            groups.setdefault(group, []).append(claim)
    return groups


def _has_evidence(claim: Claim) -> bool:
    return claim.kind != "unbound" or claim.tolerance is not None or (claim.note is not None and "@" not in claim.id)


def _renewed(old: Claim, new: Claim) -> Claim:
    """The old claim as it is printed now. A reading by hand stays as long as the print does."""
    if new.text == old.text:
        return replace(old, at=new.at)
    return replace(old, at=new.at, value=new.value, printed=new.printed, ocr=None)


def _results(
    old: Mapping[str, Evaluation], new: Mapping[str, Evaluation], named: set[str], model: str | None
) -> dict[str, Evaluation]:
    """Datasets as printed, models as somebody may have spelled them out; and other results that claims have `named`."""
    results = {}
    for key, result in new.items():
        was = old.get(key, result)
        commit = result.model_revision or was.model_revision
        results[key] = replace(result, model=result.model if model else was.model, model_revision=commit)
    return results | {key: result for key, result in old.items() if key not in new and key in named}


def is_of_text(claim: Claim) -> bool:
    """Whether an import found the claim in the text."""
    return claim.id.startswith(OF_TEXT) and claim.at.table is None and claim.at.path is None


def _is_imported(claim: Claim) -> bool:
    path = (claim.at.path or "").startswith(("model-index/", "/"))
    return path or None not in (claim.at.table, claim.at.column) or is_of_text(claim)


def _in_order(old: Sequence[Claim], fresh: Sequence[Claim]) -> list[Claim]:
    """The fresh claims in the document's order; each other old claim after the claim that it followed."""
    places, last = {claim.id: place for place, claim in enumerate(fresh)}, -1
    merged = [*enumerate(fresh)]
    for claim in old:
        last = places.get(claim.id, last)
        merged += [] if claim.id in places else [(last, claim)]
    return [claim for _, claim in sorted(merged, key=itemgetter(0))]
