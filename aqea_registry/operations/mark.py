"""Say of a published release that it is superseded or withdrawn. Nothing of it is deleted, and its tag stays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from aqea_registry.core.findings import BadConfiguration
from aqea_registry.core.status import Status, current, next_name
from aqea_registry.operations.releases import find
from aqea_registry.stores import open_store


class Marked(msgspec.Struct, frozen=True, kw_only=True):
    """One store's release and its mark; whether it was written now."""

    reference: str
    digest: str
    status: str
    written: bool


def mark(root: Path, tag: str, specs: Sequence[str], *, by: str | None, reason: str) -> list[Marked]:
    """Mark a release in each store: superseded if `by` names another tag there, else withdrawn.

    A release that has this mark already is left alone. Raises CannotCheck if a store has no such tag, before any is marked.
    """
    if not reason.strip():
        raise BadConfiguration("a mark needs a reason", "say it: --reason '...'")
    if by == tag:
        raise BadConfiguration(f"{tag} cannot be superseded by itself")
    stores = [open_store(spec, root) for spec in dict.fromkeys(specs)]
    found = [(store, find(store, tag)) for store in stores]
    for store in stores if by is not None else []:
        find(store, by or "")
    done = []
    for store, tagged in found:
        status = Status(digest=tagged.digest, state="superseded" if by else "withdrawn", reason=reason.strip(), by=by)
        held = store.attachments(tagged)
        new = current(held, tagged.digest) != status
        if new:
            store.attach(tagged, next_name(held), status.render())
        done.append(Marked(reference=store.reference(tag), digest=tagged.digest, status=status.text(), written=new))
    return done
