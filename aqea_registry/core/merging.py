"""A ledger imported again: what people wrote into it stays, what the document prints is as it is now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from aqea_registry.core.claims import Claim, Document, Ledger, Result


class Merged(NamedTuple):
    """The ledger as it is to be, and ids: new ones, those with another value, and those no longer in the document."""

    ledger: Ledger
    added: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]


def merge(
    old: Ledger,
    document: Document,
    results: dict[str, Result],
    claims: Sequence[Claim],
    still: Callable[[Claim], bool],
    *,
    prune: bool,
    model: str | None,
) -> Merged:
    """Put what a document prints now into its ledger.

    A claim is known again by its id, else by its cell or by what it measured. It keeps everything but its value and its
    place. An old claim that was not found again has gone if it has the place of an imported one and is not `still` there;
    with `prune` it is left out. `model` replaces the model of the results.
    """
    known = _known(old.claims, claims)
    fresh = [_renewed(known[claim.id], claim) if claim.id in known else claim for claim in claims]
    found = {one.id for one in known.values()}
    gone = [one.id for one in old.claims if one.id not in found and _imported(one) and not still(one)]
    kept = [one for one in old.claims if not (prune and one.id in gone)]
    merged = _in_order(kept, fresh)
    used = {one.measured.result for one in merged if one.measured is not None}
    rest = {key: one for key, one in old.results.items() if key not in results and key in used}
    before = {one.id: one.value for one in old.claims}
    return Merged(
        ledger=Ledger(
            document=document,
            results={**{key: _result(old.results.get(key), one, model) for key, one in results.items()}, **rest},
            claims=tuple(merged),
        ),
        added=tuple(one.id for one in fresh if one.id not in before),
        changed=tuple(one.id for one in fresh if one.id in before and one.value != before[one.id]),
        gone=tuple(gone),
    )


def _known(old: Iterable[Claim], new: Sequence[Claim]) -> dict[str, Claim]:
    """For ids of new claims the old ones that they were: by id, else by a place that only one of either has."""
    by_id = {one.id: one for one in old}
    known = {one.id: by_id[one.id] for one in new if one.id in by_id}
    left = _by_place(one for one in by_id.values() if one.id not in known)
    for place, fresh in _by_place(one for one in new if one.id not in known).items():
        if len(fresh) == 1 == len(left.get(place, ())):
            known[fresh[0].id] = left[place][0]
    return known


def _by_place(claims: Iterable[Claim]) -> dict[Any, list[Claim]]:
    places: dict[Any, list[Claim]] = {}
    for one in claims:
        place = (one.at.table, one.at.row, one.at.column) if one.at.table else one.measured
        if place is not None:
            places.setdefault(place, []).append(one)
    return places


def _renewed(old: Claim, new: Claim) -> Claim:
    """The old claim where and as it is printed now. A reading by hand stays as long as the print does."""
    if new.text == old.text:
        return msgspec.structs.replace(old, at=new.at)
    return msgspec.structs.replace(old, at=new.at, value=new.value, printed=None, ocr=None)


def _result(old: Result | None, new: Result, model: str | None) -> Result:
    """The dataset as printed; the model as somebody may have spelled it out, unless it is said anew."""
    if old is None:
        return new
    revision = new.model_revision or old.model_revision
    return msgspec.structs.replace(new, model=new.model if model else old.model, model_revision=revision)


def _imported(claim: Claim) -> bool:
    return (claim.at.path or "").startswith("model-index/") or None not in (claim.at.table, claim.at.column)


def _in_order(old: Sequence[Claim], fresh: Sequence[Claim]) -> list[Claim]:
    """The fresh claims in the document's order; each other old one behind the claim that it stood behind."""
    ids = {one.id for one in fresh}
    behind: dict[str | None, list[Claim]] = {}
    last: str | None = None
    for one in old:
        if one.id in ids:
            last = one.id
        else:
            behind.setdefault(last, []).append(one)
    merged = list(behind.get(None, ()))
    for one in fresh:
        merged += [one, *behind.get(one.id, ())]
    return merged
