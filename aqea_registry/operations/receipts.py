"""Receipts on disk: beside a store that lives in this checkout alone, and committed for every store that others can read."""

from __future__ import annotations

from pathlib import Path

from aqea_registry.core.files import write_bytes
from aqea_registry.core.receipts import RECEIPTS, Receipt, StoreReceipt, parse_receipt, receipt
from aqea_registry.core.references import is_folder
from aqea_registry.core.release import Release
from aqea_registry.operations.project import Project
from aqea_registry.stores import open_store
from aqea_registry.stores.base import Store


def place(project: Project, store: Store, tag: str) -> Path:
    """Where the receipt of a store lies."""
    return (store.own_receipts or project.root / RECEIPTS) / f"{tag}.json"


def read(path: Path) -> Receipt | None:
    """The receipt, or None if there is none. Raises BadConfiguration."""
    try:
        return parse_receipt(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None


def write(project: Project, store: Store, tag: str, release: Release, one: StoreReceipt) -> bool:
    """Put a store into the receipt of a tag; False if it said so already. Other content's receipt is replaced.

    A store that holds other content under this tag was refused before: a receipt that says otherwise is stale.
    """
    path = place(project, store, tag)
    before = read(path)
    stores = dict(before.stores) if before is not None and before.digest == release.digest() else {}
    return write_bytes(path, receipt(tag, release, {**stores, store.spec: one}).render())


def all_receipts(project: Project) -> list[tuple[Path, Receipt]]:
    """Every receipt of the project: the committed ones, and those beside the stores that params.yaml names."""
    folders = [project.root / RECEIPTS]
    for spec in (spec for spec in project.params.publish.stores if is_folder(spec)):
        own = open_store(spec, project.root).own_receipts
        folders += [own] if own is not None else []
    paths = [path for folder in dict.fromkeys(folders) for path in sorted(folder.glob("*.json"))]
    return [(path, found) for path in paths if (found := read(path)) is not None]
