"""Receipts: what stores answered when a release was put there, read back and checked. One file a tag.

A receipt is what `verify --remote` holds the stores to. It tells nothing of when: the same publication writes the same bytes.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from aqea_registry.core.catalogue import convert
from aqea_registry.core.findings import BadConfiguration
from aqea_registry.core.release import Digest, Release

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
    try:
        value = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadConfiguration(f"{name}: not JSON: {error}", "restore it from git") from error
    found = convert(value, Receipt, name)
    if found.schema != SCHEMA:
        raise BadConfiguration(f"{name}: schema {found.schema!r} is not {SCHEMA!r}", "use the version that wrote it")
    return found
