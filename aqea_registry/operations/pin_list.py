"""Resolve the Hub repositories of a data list to commits."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from aqea_registry.core.datalist import DataList, Listed, list_findings, parse_list, render_list
from aqea_registry.core.files import write_bytes
from aqea_registry.core.findings import CannotCheck, Finding, NotAllowed
from aqea_registry.core.reporting import Reporter
from aqea_registry.sources.base import Repository
from aqea_registry.sources.hub import NotOnHub, ask, offline


class ResolvedList(msgspec.Struct, frozen=True, kw_only=True):
    """The list as it is now, what is odd in it, and how many rows are in each state."""

    data: DataList
    findings: tuple[Finding, ...]
    states: dict[str, int]


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


def _resolve(row: Listed) -> Listed:
    if row.repository is None or row.state == "resolved" or row.host not in {"hub-dataset", "hub-model"}:
        return row
    kind: Literal["dataset", "model"] = "dataset" if row.host == "hub-dataset" else "model"
    repository = Repository(name=row.name or row.repository, kind=kind, id=row.repository, commit=None)
    try:
        return msgspec.structs.replace(row, commit=ask(repository, row.requested).commit, state="resolved")
    except NotOnHub:
        return msgspec.structs.replace(row, state="gone")
    except NotAllowed:
        return msgspec.structs.replace(row, state="gated")
