"""The verb releases: which releases stores have, and what one of them is, without fetching its files."""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import msgspec

from aqea_registry.attestations.made import Beside, list_statements
from aqea_registry.base.findings import CannotCheck, Finding, Refused
from aqea_registry.base.references import join_reference
from aqea_registry.comparison.trees import natural
from aqea_registry.stores import receipts
from aqea_registry.stores.attachments import marks
from aqea_registry.stores.open_store import find, open_store
from aqea_registry.stores.port import OtherContent, Store, Tagged
from aqea_registry.stores.receipts import Receipt, ReceiptFile


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A release in a store: its STORE-REF, which demands its digest; its files; marks and statements beside it, the last last.

    `receipts` are the files of the project that say it was published there.
    """

    reference: str
    digest: str
    bytes: int
    files: tuple[ReceiptFile, ...]
    marks: tuple[str, ...]
    statements: tuple[Beside, ...]
    receipts: tuple[str, ...]


def list_releases(root: Path, specs: Sequence[str]) -> tuple[list[Listed], list[Finding], CannotCheck | None]:
    """The releases of these stores, the newest tags first; tags that cannot be read; and the first store that was silent."""
    found, findings, silent = list[Listed](), list[Finding](), list[CannotCheck]()
    for spec in dict.fromkeys(specs):
        try:
            store = open_store(spec, root)
            known = cache(partial(receipts.all_receipts, root, (store.spec,)))  # read once, and only if there is a release
            for tag in sorted(store.tags(), key=natural, reverse=True):
                try:
                    found.append(_listed(store, find(store, tag), known()))
                except OtherContent:  # a tag of somebody else
                    continue
                except Refused as error:
                    findings += error.findings
        except CannotCheck as error:
            silent.append(error)
    return found, findings, silent[0] if silent else None


def show_release(root: Path, spec: str, tag: str, digest: str | None) -> Listed:
    """One release. Raises CannotCheck for none, Refused for another `digest`."""
    store = open_store(spec, root)
    return _listed(store, find(store, tag, digest), receipts.all_receipts(root, (store.spec,)))


def _listed(store: Store, tagged: Tagged, known: Sequence[tuple[str, Receipt]]) -> Listed:
    release, beside = store.release(tagged), store.attachments(tagged)
    return Listed(
        reference=join_reference(store.spec, tagged.tag, tagged.digest),
        digest=tagged.digest,
        bytes=release.size(),
        files=receipts.receipt(tagged.tag, release, {}).files,
        marks=tuple(status.text() for status in marks(beside, tagged.digest)),
        statements=tuple(list_statements(beside)),
        receipts=tuple(path for path, receipt in known if receipt.digest == tagged.digest and store.spec in receipt.stores),
    )
