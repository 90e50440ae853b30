"""Findings for those who see no terminal: a SARIF file, GitHub's annotations, and the summary of a job there."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import click

from aqea_registry import __version__
from aqea_registry.api import PARAMS, project_root
from aqea_registry.base.files import write_bytes
from aqea_registry.base.progress import hide_secrets, markdown_table, plural, printable

if TYPE_CHECKING:
    from aqea_registry.base.findings import Finding, RegistryError

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MOST = 50  # annotations that GitHub shows of a job
LAST = ("broken-link", "claim-unbound")  # what is not settled comes after what is wrong
CHECKS = ("verify", "claims-check", "claims-lint", "pin")  # a summary shows their success, too


class Place(NamedTuple):
    """A path, from the folder that all work begins in if it lies there, and where in the file, from 1."""

    file: str
    line: int | None = None
    column: int | None = None


class Ended(NamedTuple):
    """How a command ended: its exit status, its findings, and what stopped it."""

    command: str
    status: int
    findings: Sequence[Finding]
    error: RegistryError | None

    @property
    def stopped(self) -> str:
        """What stopped it and what to do next, or nothing."""
        return "; next: ".join(filter(None, (self.error.message, self.error.hint))) if self.error else ""


Located = Sequence[tuple["Finding", Place | None]]


def report(ended: Ended, directory: Path, sarif: Path | None) -> int:
    """Write a SARIF file and what GitHub reads; return the exit status, another one if something could not be written."""
    environment, root = os.environ, project_root(directory)
    on_github, top = environment.get("GITHUB_ACTIONS") == "true", Path(environment.get("GITHUB_WORKSPACE") or ".")
    roots = list(dict.fromkeys((directory, root, root.parent)))  # a document may lie beside the project's folder
    first = sorted(ended.findings, key=lambda finding: finding.code in LAST)  # GitHub shows ten of a step
    located = [(finding, locate(finding, roots, top)) for finding in first]
    try:
        if sarif is not None:
            write_bytes(sarif, hide_secrets(json.dumps(sarif_log(ended, located), indent=1)).encode())
        if on_github and (summary := environment.get("GITHUB_STEP_SUMMARY")) and (ended.status or ended.command in CHECKS):
            with open(summary, "a", encoding="utf-8") as file:
                file.write(job_summary(ended, located))
    except OSError as error:
        click.echo(printable(f"error: {error.filename}: cannot be written: {error.strerror}"), err=True)
        return ended.status or 3
    click.echo(workflow_commands(ended, located) if on_github else "", nl=False, err=True)
    return ended.status


def locate(finding: Finding, roots: Sequence[Path], top: Path) -> Place | None:
    """The place that a finding has, or that its subject names: a file, a ledger, or an entry of the catalogue."""
    head, at = finding.subject.partition(": ")[0], re.fullmatch(r"(.+?):(\d+)(?::(\d+))?", finding.subject)
    places = [Place(finding.file, finding.line)] if finding.file else []
    places += [Place(at[1], int(at[2]), int(at[3] or 0))] if at else []
    places += map(Place, (finding.subject, head, f"manifests/claims/{head}.yaml", PARAMS))
    for place, root in product(places, roots):
        if not os.path.isfile(path := root / place.file):  # noqa: PTH113  (that of Path raises for long names)
            continue
        if place.file == PARAMS:
            entry = re.compile(rf"\s+[\"']?{re.escape(head.split('.')[-1])}[\"']?\s*:")
            lines = enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
            place = place._replace(line=next((number for number, line in lines if entry.match(line)), None))
        return place._replace(file=Path(os.path.relpath(path, top)).as_posix())
    return None


def sarif_log(ended: Ended, located: Located) -> dict[str, Any]:
    """The findings as a log of SARIF 2.1.0, with a rule for each of their codes; an error is a notification."""
    codes = sorted({finding.code for finding in ended.findings})
    rules = [{"id": code, "help": {"text": f"aqea-registry docs {code}"}} for code in codes]
    said = [{"level": "error", "message": {"text": ended.stopped}}] if ended.stopped else []
    run = {
        "tool": {"driver": {"name": "aqea-registry", "semanticVersion": __version__, "rules": rules}},
        "automationDetails": {"id": f"aqea-registry/{ended.command}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": not said, "exitCode": ended.status, "toolExecutionNotifications": said}],
        "results": [_result(finding, place) for finding, place in located],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(finding: Finding, place: Place | None) -> dict[str, Any]:
    result = {"ruleId": finding.code, "level": "error", "message": {"text": finding.text}}
    if place is None:
        return result
    region = {name: value for name, value in (("startLine", place.line), ("startColumn", place.column)) if value}
    outside = place.file.startswith("../")
    artefact = {"uri": Path(place.file).resolve().as_uri()} if outside else {"uri": quote(place.file), "uriBaseId": "%SRCROOT%"}
    return {
        **result,
        "locations": [{"physicalLocation": {"artifactLocation": artefact} | ({"region": region} if region else {})}],
    }


def workflow_commands(ended: Ended, located: Located) -> str:
    """Workflow commands of GitHub, a line each: what is shown beside the lines of a commit."""
    found = [(place or Place(""), finding.code, finding.text) for finding, place in located[:MOST]]
    lines = []
    for place, title, text in (*found, *([(Place(""), ended.command, ended.stopped)] if ended.stopped else [])):
        fields = {"file": place.file, "line": place.line, "col": place.column, "title": f"aqea-registry: {title}"}
        written = ",".join(f"{name}={_escaped(str(value), ':,')}" for name, value in fields.items() if value)
        lines.append(f"::error {written}::{_escaped(text)}\n")
    return "".join(lines)


def _escaped(text: str, also: str = "") -> str:
    """The text as workflow commands take it; `also` has the characters that end a field."""
    return "".join(f"%{ord(character):02X}" if character in f"%{also}" else character for character in printable(text))


def job_summary(ended: Ended, located: Located) -> str:
    """What the page of a job shows of a command, in Markdown: the first findings."""
    count = len(ended.findings)
    state = "not done" if ended.stopped and not count else plural(count, "finding") if count else "no findings"
    rows = [
        (f"`{finding.code}`", _plain(f"{place.file}:{place.line or ''}".rstrip(":") if place else ""), _plain(finding.text))
        for finding, place in located[:MOST]
    ]
    table = markdown_table(("finding", "where", "what"), rows) if rows else ""
    parts = (f"### aqea-registry {ended.command.replace('-', ' ')}: {state}", table, _plain(ended.stopped))
    return "".join(f"{part}\n\n" for part in parts if part)


def _plain(text: str) -> str:
    """A text that Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]<>&#~!])", r"\\\1", printable(text))
