"""Lists of data that a paper names by URL: which of them are repositories of the Hub, and at which commit they are fixed.

Resolve the Hub repositories of a data list to commits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from aqea_registry.base.files import write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, NotAllowed
from aqea_registry.base.progress import Reporter
from aqea_registry.base.strict import convert
from aqea_registry.project.params import Commit
from aqea_registry.remote.hub_client import NotFound, Repository, offline

State = Literal["unresolved", "resolved", "gone", "gated", "not on the Hub"]


class ResolvedList(msgspec.Struct, frozen=True, kw_only=True):
    """The list as it is now, what is odd in it, and how many rows are in each state."""

    data: DataList
    findings: tuple[Finding, ...]
    states: dict[str, int]


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


def pin_list(path: Path, report: Reporter, *, check: bool = False) -> ResolvedList:
    """Ask the Hub for the commit of every repository in the list that has none yet, and write the list.

    With `check` nobody is asked and nothing is written. Raises CannotCheck if the Hub cannot be reached; what was resolved
    until then is kept.
    """
    data = parse_list(path.read_bytes(), path.name)
    failure: CannotCheck | None = None
    if not check:
        if offline():
            raise CannotCheck("HF_HUB_OFFLINE is set", "unset it")
        rows = list(data.rows)
        with report.task("resolve", len(rows), "rows") as advance:
            for number, row in enumerate(rows):
                try:
                    rows[number] = _resolve(row)
                except CannotCheck as error:
                    failure = error
                    break
                advance(1)
        data = msgspec.structs.replace(data, rows=tuple(rows))
        write_bytes(path, render_list(data))
    if failure is not None:
        raise failure
    states: dict[str, int] = {}
    for row in data.rows:
        states[row.state] = states.get(row.state, 0) + 1
    return ResolvedList(data=data, findings=tuple(list_findings(data)), states=states)


class DataList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list and the document it was read from."""

    schema: Literal["aqea-registry/data-list/1"]
    document: str
    rows: tuple[Listed, ...]


def _resolve(row: Listed) -> Listed:
    if row.repository is None or row.state == "resolved" or row.host not in {"hub-dataset", "hub-model"}:
        return row
    kind: Literal["dataset", "model"] = "dataset" if row.host == "hub-dataset" else "model"
    repository = Repository(name=row.name or row.repository, kind=kind, id=row.repository, commit=None)
    try:
        return msgspec.structs.replace(row, commit=repository.client().info(row.requested).commit, state="resolved")
    except NotFound:
        return msgspec.structs.replace(row, state="gone")
    except NotAllowed:
        return msgspec.structs.replace(row, state="gated")


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
