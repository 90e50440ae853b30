"""What comes out: progress, findings, tables and trees for a person, JSON for a script; SARIF files, and what GitHub reads."""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import click

from aqea_registry import __version__
from aqea_registry.api import PARAMS
from aqea_registry.base.files import Advance, Limit, ignore, read_small, write_bytes
from aqea_registry.base.progress import hide_secrets, markdown_table, plural, printable

if TYPE_CHECKING:
    from aqea_registry.base.findings import Finding, RegistryError
    from aqea_registry.tracing.graph import Branch

FEW = 20  # of the findings of one code, on a terminal
GAP = "  "
_COLOURS = {
    **dict.fromkeys(("holds", "IDENTICAL", "SAME CONTENT", "EQUIVALENT", "same", "confirmed", "no findings"), "green"),
    **dict.fromkeys(("contradicted", "DIVERGED", "FAILED", "moved", "gone", "finding"), "red"),
    **dict.fromkeys(("unchecked", "unbound", "claimed", "unresolved", "changed"), "yellow"),
}
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MOST = 50  # annotations that GitHub shows of a job
LAST = ("broken-link", "claim-unbound")  # what is not settled comes after what is wrong
CHECKS = ("verify", "claims-check", "claims-lint", "pin")  # a summary shows their success, too


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


class TerminalReporter:
    """Progress bars on a terminal, nothing elsewhere; notes and warnings always, unless quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bars = not quiet and sys.stderr.isatty()

    @contextmanager
    def task(self, description: str, total: int, unit: str) -> Iterator[Advance]:
        """A progress bar of `total` units while the context lives; of none, a spinner with the seconds."""
        if not self._bars:
            yield ignore
            return
        from rich import progress as bars
        from rich.console import Console

        counts = (bars.DownloadColumn(), bars.TransferSpeedColumn()) if unit == "bytes" else (bars.MofNCompleteColumn(),)
        ahead: tuple[bars.ProgressColumn, ...] = (bars.BarColumn(), *counts, bars.TimeRemainingColumn())
        columns = ahead if total or unit != "seconds" else (bars.SpinnerColumn(), bars.TimeElapsedColumn())
        named = bars.TextColumn("{task.description}")
        with bars.Progress(named, *columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(description, total=total)
            yield lambda amount: progress.advance(task, amount)

    def note(self, message: str) -> None:
        """One line on stderr."""
        if not self._quiet:
            click.echo(printable(message), err=True)

    def warn(self, message: str) -> None:
        """One line on stderr."""
        self.note(f"warning: {message}")


def print_json(ended: Ended, data: dict[str, Any]) -> None:
    """The one JSON object of a command, on stdout; a million findings go out one by one."""
    value: dict[str, Any] = {"schema": f"aqea-registry/{ended.command}/1", "ok": ended.status == 0, "findings": []}
    if (error := ended.error) is not None:
        value["error"] = {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
    # ASCII: the same bytes under every locale.
    before, after = json.dumps({**value, **data, "findings": []}, indent=2).split("[]", 1)
    _write(chain((before, "["), _json_items(ended.findings), ("\n  " * bool(ended.findings), "]", after, "\n")))


def _json_items(findings: Sequence[Finding]) -> Iterator[str]:
    """Findings as items of the list, as `indent=2` sets them; the encoder behind `indent` takes ten times as long."""
    from json.encoder import encode_basestring_ascii as quoted

    def text(value: str | None) -> str:
        return "null" if value is None else quoted(value)

    for number, finding in enumerate(findings):
        yield (
            f'{"," * bool(number)}\n    {{\n      "code": {quoted(finding.code)},\n'
            f'      "subject": {quoted(finding.subject)},\n      "message": {quoted(finding.message)},\n'
            f'      "expected": {text(finding.expected)},\n      "actual": {text(finding.actual)}\n    }}'
        )


def _write(texts: Iterable[str]) -> None:
    sys.stdout.writelines(map(hide_secrets, texts))  # whoever says it, and wherever it stands
    sys.stdout.flush()


def print_findings(findings: Sequence[Finding]) -> None:
    """Findings: a table on a terminal, of each code the first few; whole lines elsewhere, all of them."""
    if not sys.stdout.isatty():
        _write(printable(f"{finding.code}: {finding.text}") + "\n" for finding in findings)
        return
    by_code: dict[str, list[Finding]] = {}
    for finding in findings:
        by_code.setdefault(finding.code, []).append(finding)
    shown = [finding for same in by_code.values() for finding in same[:FEW]]
    rows = [(found.code, found.subject, found.message, found.expected or "", found.actual or "") for found in shown]
    print_table(("finding", "subject", "what", "expected", "actual"), rows)
    if more := [f"{len(same) - FEW} more {code}" for code, same in by_code.items() if len(same) > FEW]:
        click.echo(f"and {', '.join(more)}; to see all: --json, or a pipe (| less)")
    click.echo(f"what {'it means' if len(by_code) == 1 else 'each means'}: aqea-registry docs {'|'.join(by_code)}")


def echo(text: str) -> None:
    """Lines on stdout, with their colours on a terminal alone, unless NO_COLOR says that there should be none."""
    click.echo(text, color=False if os.environ.get("NO_COLOR") or not sys.stdout.isatty() else None)


def paint(text: str, state: str | None = None) -> str:
    """The text in the colour of a state (default: of the state that it is), if that has one."""
    colour = _COLOURS.get((text if state is None else state).strip())
    return click.style(text, fg=colour) if colour else text


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout: on a terminal as wide as that, in a pipe a line for each row with tabs between its cells."""
    from shutil import get_terminal_size

    cells = [[printable(str(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty():
        echo("\n".join(table_lines(header, cells, get_terminal_size().columns)))
    else:
        echo("\n".join("\t".join(row) for row in (header, *cells)))


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """A table in so many columns: aligned if it fits, else its widest column wrapped, else each row as a block of lines.

    A column is wrapped where a third of the terminal is left for it: narrower, there would be a word to each line.
    """
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(header, *rows, strict=True)]
    widest = widths.index(max(widths))
    room = width - sum(widths) - len(GAP) * (len(widths) - 1) + widths[widest]
    if widths[widest] > room and room < width // 3:
        names = max(map(len, header))
        for row in rows:
            yield from ("",) if row is not rows[0] else ()
            for name, cell in zip(header, row, strict=True):
                for n, text in enumerate(textwrap.wrap(cell, max(20, width - names - len(GAP)), break_on_hyphens=False)):
                    yield click.style(f"{'' if n else name:{names}}{GAP}", bold=True) + _cell(text, name)
        return
    widths[widest] = min(widths[widest], room)
    for row in (header, *rows):
        wrapped = textwrap.wrap(row[widest], room, break_on_hyphens=False) if cell_len(row[widest]) > room else [row[widest]]
        for number, text in enumerate(wrapped):
            cells = [text if column == widest else "" if number else cell for column, cell in enumerate(row)]
            padded = [cell + " " * (size - cell_len(cell)) for cell, size in zip(cells, widths, strict=True)]
            padded[-1] = padded[-1].rstrip()
            bold = [click.style(cell, bold=True) for cell in padded]
            yield GAP.join(bold if row is header else map(_cell, padded, header)).rstrip()


def folded(text: str, first: str = "", rest: str = "    ") -> list[str]:
    """A line as a terminal gets it: in as many as its width takes, no word of it broken. In a pipe it stays one."""
    from shutil import get_terminal_size

    width = get_terminal_size().columns
    if not sys.stdout.isatty() or len(rest) > width // 2:  # deeper in a tree there would be a word to each line
        return [first + text]
    return textwrap.wrap(first + text, width, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False)


def _cell(cell: str, header: str) -> str:
    """A state in its colour; a code of a finding, or a count that is not zero, in that of its column."""
    return paint(cell, header if header == "finding" or cell.strip().strip("0").isdigit() else None)


def print_tree(title: str, branch: Branch, *, upwards: bool = False) -> None:
    """A tree of the graph on stdout, a line for each node, or as many as a terminal's width takes.

    `upwards`, a verb says what a node does with the one above it.
    """
    for line in (f"{title}:", *_branch_lines(branch, "", "", upwards)):
        echo(line)


def _branch_lines(branch: Branch, first: str, rest: str, upwards: bool) -> Iterator[str]:
    node, name = branch.node, f"{branch.node.kind} {branch.node.label}"
    if branch.label:
        name = f"{name} {branch.label} it" if upwards else f"{branch.label} {name}"
    facts = [] if branch.repeated else [f"{fact} {value}" for fact, value in node.facts.items()]
    facts += [f"BROKEN: {node.broken}"] if node.broken else []
    text = printable("; ".join([f"{name} (see above)" if branch.repeated else name, *facts]))
    text = "\n".join(folded(text, first, rest + ("|   " if branch.branches or branch.omitted else "    ")))
    before, mark, after = text.rpartition("BROKEN:") if node.broken else (text, "", "")
    yield before + (click.style(mark + after, fg="red", bold=True) if mark else "")
    last = len(branch.branches) + bool(branch.omitted)
    for number, below in enumerate(branch.branches, 1):
        corner, bar = ("`-- ", "    ") if number == last else ("|-- ", "|   ")
        yield from _branch_lines(below, rest + corner, rest + bar, upwards)
    if branch.omitted:
        from aqea_registry.tracing.graph import counted

        yield f"{rest}`-- and {counted(branch.omitted)} more; --all shows them"


class Place(NamedTuple):
    """A path, from the folder that all work begins in if it lies there, and where in the file, from 1."""

    file: str
    line: int | None = None
    column: int | None = None


Located = Sequence[tuple["Finding", Place | None]]


def annotate(ended: Ended, directory: Path, sarif: Path | None) -> int:
    """Write a SARIF file and what GitHub reads; return the exit status, another one if something could not be written."""
    from aqea_registry.project.project import find_project

    environment, root = os.environ, find_project(directory)
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
            content = b""
            with suppress(OSError):
                content = read_small(path, Limit.PROJECT)
            lines = enumerate(content.decode("utf-8", "replace").splitlines(), 1)
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
    artefact = {"uri": quote(os.fsencode(place.file)), "uriBaseId": "%SRCROOT%"}
    if place.file.startswith("../"):
        artefact = {"uri": Path(place.file).resolve().as_uri()}
    physical = {"artifactLocation": artefact, **({"region": region} if region else {})}
    return {**result, "locations": [{"physicalLocation": physical}]}


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
