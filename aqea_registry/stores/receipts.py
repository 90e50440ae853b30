"""Receipts: what stores answered when a release was put there, read back and checked. One file a tag.

A receipt is what `verify --remote` holds the stores to. It tells nothing of when: the same publication writes the same bytes.

Receipts on disk: beside a store that lives in this checkout alone, and committed for every store that others can read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec

from aqea_registry.base.files import write_bytes
from aqea_registry.base.findings import BadConfiguration
from aqea_registry.base.references import is_folder
from aqea_registry.base.strict import convert, load_json
from aqea_registry.project.project import Project
from aqea_registry.stores.open_store import open_store
from aqea_registry.stores.port import Store
from aqea_registry.stores.release import Digest, Release

SCHEMA = "aqea-registry/receipt/1"


def place(project: Project, store: Store, tag: str) -> Path:
    """Where the receipt of a store lies."""
    return (store.own_receipts or project.root / RECEIPTS) / f"{tag}.json"


RECEIPTS = "manifests/releases"


def read(path: Path) -> Receipt | None:
    """The receipt, or None if there is none. Raises BadConfiguration."""
    try:
        return parse_receipt(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None


class ReceiptFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the release."""

    path: str
    digest: Digest
    size: Annotated[int, msgspec.Meta(ge=0)]  # bytes


def write(project: Project, store: Store, tag: str, release: Release, one: StoreReceipt) -> bool:
    """Put a store into the receipt of a tag; False if it said so already. Other content's receipt is replaced.

    A store that holds other content under this tag was refused before: a receipt that says otherwise is stale.
    """
    path = place(project, store, tag)
    before = read(path)
    stores = dict(before.stores) if before is not None and before.digest == release.digest() else {}
    return write_bytes(path, receipt(tag, release, {**stores, store.spec: one}).render())


class StoreReceipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One store's part: the STORE-REF, what the tag names there in the store's own words, and the store's ids."""

    reference: str
    at: str
    ids: dict[str, Any] = {}


def all_receipts(project: Project) -> list[tuple[Path, Receipt]]:
    """Every receipt of the project: the committed ones, and those beside the stores that params.yaml names."""
    folders = [project.root / RECEIPTS]
    for spec in (spec for spec in project.params.publish.stores if is_folder(spec)):
        own = open_store(spec, project.root).own_receipts
        folders += [own] if own is not None else []
    paths = [path for folder in dict.fromkeys(folders) for path in sorted(folder.glob("*.json"))]
    return [(path, found) for path in paths if (found := read(path)) is not None]


class Receipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One release under one tag, and every store that holds it."""

    schema: str = SCHEMA
    tag: str
    digest: Digest
    files: tuple[ReceiptFile, ...]
    stores: dict[str, StoreReceipt]

    def render(self) -> bytes:
        """The receipt's file: stores and files sorted."""
        ordered = msgspec.structs.replace(self, stores=dict(sorted(self.stores.items())))
        return msgspec.json.format(msgspec.json.encode(ordered), indent=2) + b"\n"


def receipt(tag: str, release: Release, stores: dict[str, StoreReceipt]) -> Receipt:
    """The receipt of a release."""
    files = (ReceiptFile(path=path, digest=layer.digest, size=layer.size) for path, layer in sorted(release.files().items()))
    return Receipt(tag=tag, digest=release.digest(), files=tuple(files), stores=stores)


def parse_receipt(content: bytes, name: str) -> Receipt:
    """Read a receipt. Raises BadConfiguration that names the file and the field."""
    found = convert(load_json(content, name, "restore it from git"), Receipt, name)
    if found.schema != SCHEMA:
        raise BadConfiguration(f"{name}: schema {found.schema!r} is not {SCHEMA!r}", "use the version that wrote it")
    return found
