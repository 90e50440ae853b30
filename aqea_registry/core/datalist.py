"""Lists of data that a paper names by URL: which of them are repositories of the Hub, and at which commit they are fixed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

from aqea_registry.core.catalogue import Commit, convert
from aqea_registry.core.findings import BadConfiguration, Finding

State = Literal["unresolved", "resolved", "gone", "gated", "not on the Hub"]


class Listed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row: where it stands in the paper, the URL, and what it was resolved to. `note` tells of damage in the print."""

    table: int
    row: int
    name: str | None
    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/]+(/\S*)?\Z")] | None
    host: Literal["hub-dataset", "hub-model", "github", "other", "none"]
    repository: str | None
    requested: str | None
    commit: Commit | None
    state: State
    note: str | None = None


class DataList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list and the document it was read from."""

    schema: Literal["aqea-registry/data-list/1"]
    document: str
    rows: tuple[Listed, ...]


def parse_list(content: bytes, name: str) -> DataList:
    """Read a list. Raises BadConfiguration that names the row and the reason."""
    try:
        value: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadConfiguration(f"{name}: not JSON: {error}") from error
    for number, row in enumerate(value.get("rows") or () if isinstance(value, dict) else ()):
        convert(row, Listed, f"{name}: rows[{number}]")
    return convert(value, DataList, name)


def render_list(data: DataList) -> bytes:
    """The list's one spelling: a row a line."""
    rows = ",\n".join(f"    {json.dumps(msgspec.to_builtins(row), ensure_ascii=False)}" for row in data.rows)
    head = f'{{\n  "schema": {json.dumps(data.schema)},\n  "document": {json.dumps(data.document)},\n  "rows": [\n'
    return f"{head}{rows}\n  ]\n}}\n".encode()


def list_findings(data: DataList) -> Iterator[Finding]:
    """URLs that stand more than once, names with different URLs, and rows without a usable URL."""
    by_url: dict[str, Listed] = {}
    by_name: dict[str, Listed] = {}
    for row in data.rows:
        subject = f"table {row.table}, row {row.row}"
        if row.url is None:
            yield Finding(code="malformed", subject=subject, message=f"{row.name or 'the row'} has no URL that can be read")
            continue
        first = by_url.setdefault(row.url, row)
        if first is not row:
            message = f"the same URL as table {first.table}, row {first.row}"
            yield Finding(code="duplicate", subject=subject, actual=row.url, message=message)
        namesake = by_name.setdefault(row.name, row) if row.name else row
        if namesake.url != row.url:
            message = f"{row.name} has another URL in table {namesake.table}, row {namesake.row}"
            yield Finding(code="conflict", subject=subject, expected=namesake.url, actual=row.url, message=message)
