"""Receipts: what stores answered when a release was put there, read back and checked. One file for each tag.

`verify --remote` checks the stores against them. A receipt holds no time: the same publication writes the same bytes. It is
kept beside a store that is a folder of this checkout, and committed under `manifests/releases` for every other store.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec

from aqea_registry.base.files import Limit, read_small, write_bytes
from aqea_registry.base.findings import BadConfiguration, Finding, unread
from aqea_registry.base.references import is_folder
from aqea_registry.base.strict import convert, load_json
from aqea_registry.stores.open_store import layout_folder
from aqea_registry.stores.release import Digest, Release

SCHEMA = "aqea-registry/receipt/1"
RECEIPTS = "manifests/releases"


class ReceiptFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the release."""

    path: str
    digest: Digest
    size: Annotated[int, msgspec.Meta(ge=0)]  # bytes


class StoreReceipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One store's part: the STORE-REF, what the tag names there in the store's own words, and the store's ids."""

    reference: str
    at: str
    ids: dict[str, Any] = {}


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
    receipt = convert(load_json(content, name, "restore it from git"), Receipt, name)
    if receipt.schema != SCHEMA:
        raise BadConfiguration(f"{name}: schema {receipt.schema!r} is not {SCHEMA!r}", "use the version that wrote it")
    return receipt


def folder_of(root: Path, spec: str) -> Path:
    """Where the receipts of a store are kept, in the project at `root`."""
    return layout_folder(root, spec) / "receipts" if is_folder(spec) else root / RECEIPTS


def receipt_path(root: Path, spec: str, tag: str) -> Path:
    """The file of a tag's receipt."""
    return folder_of(root, spec) / f"{tag}.json"


def read(path: Path) -> Receipt | None:
    """The receipt, or None if there is none. Raises BadConfiguration."""
    try:
        return parse_receipt(read_small(path, Limit.PROJECT), str(path))
    except FileNotFoundError:
        return None


def write(root: Path, spec: str, tag: str, release: Release, entry: StoreReceipt) -> bool:
    """Put a store into the receipt of a tag; False if nothing changed. A receipt of other content is stale, and replaced."""
    path = receipt_path(root, spec, tag)
    before = read(path)
    stores = dict(before.stores) if before is not None and before.digest == release.digest() else {}
    return write_bytes(path, receipt(tag, release, {**stores, spec: entry}).render())


def shown(root: Path, path: Path) -> str:
    """A receipt's path for people."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def all_receipts(root: Path, specs: Iterable[str]) -> tuple[list[tuple[str, Receipt]], list[Finding]]:
    """Every receipt of the project at `root` by its path, and what is wrong with those that cannot be read.

    They are the committed ones, and those beside the stores of these names.
    """
    folders = [root / RECEIPTS, *(folder_of(root, spec) for spec in specs)]
    receipts, wrong = list[tuple[str, Receipt]](), list[Finding]()
    there = (folder for folder in dict.fromkeys(folders) if folder.is_dir())  # of a locked one `glob` would say nothing
    for path in (path for folder in there for path in sorted(folder.iterdir()) if path.suffix == ".json"):
        name = shown(root, path)
        try:
            receipts += [(name, known)] if (known := read(path)) is not None else []
        except BadConfiguration as error:
            wrong.append(Finding("malformed", name, f"{error.message.removeprefix(f'{path}: ')}; {error.hint}"))
        except OSError as error:
            wrong.append(unread(name, error))
    return receipts, wrong
