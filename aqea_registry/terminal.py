"""What a person sees: progress and errors on stderr, results on stdout, tables where there is something to look at."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from aqea_registry.core.files import Advance, ignore
from aqea_registry.core.findings import Finding, RegistryError

if TYPE_CHECKING:
    from aqea_registry.core.graph import Branch


class TerminalReporter:
    """Progress bars on a terminal, nothing elsewhere; warnings always, unless quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bars = not quiet and sys.stderr.isatty()

    @contextmanager
    def task(self, description: str, total: int, unit: str) -> Iterator[Advance]:
        """A progress bar of `total` units while the context lives."""
        if not self._bars:
            yield ignore
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        count = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
        columns = (TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(description, total=total)
            yield lambda amount: progress.advance(task, amount)

    def warn(self, message: str) -> None:
        """One line on stderr."""
        if not self._quiet:
            click.echo(printable(f"warning: {message}"), err=True)


def print_json(command: str, ok: bool, findings: Sequence[Finding], error: RegistryError | None, data: dict[str, Any]) -> None:
    """The one JSON object of a command, on stdout."""
    import msgspec

    value: dict[str, Any] = {
        "schema": f"aqea-registry/{command}/1",
        "ok": ok,
        "findings": [msgspec.structs.asdict(finding) for finding in findings],
    }
    if error is not None:
        value["error"] = {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
    click.echo(json.dumps({**value, **data}, indent=2))  # ASCII: the same bytes under every locale


def print_error(error: RegistryError) -> None:
    """What went wrong and what to do next, on stderr."""
    click.echo(printable(f"error: {error.message}"), err=True)
    if error.hint:
        click.echo(printable(f"  next: {error.hint}"), err=True)


def print_findings(findings: Sequence[Finding]) -> None:
    """Every finding: a table on a terminal, whole lines elsewhere."""
    if not sys.stdout.isatty():
        for finding in findings:
            detail = "".join(
                f"; {label} {value}" for label, value in (("expected", finding.expected), ("actual", finding.actual)) if value
            )
            click.echo(printable(f"{finding.code}: {finding.subject}: {finding.message}{detail}"))
        return
    print_table(
        ("finding", "subject", "what", "expected", "actual"),
        [(one.code, one.subject, one.message, one.expected or "", one.actual or "") for one in findings],
    )


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*header, header_style="bold")
    for row in rows:
        table.add_row(*(Text(printable(str(cell)), overflow="fold") for cell in row))
    Console(force_terminal=sys.stdout.isatty()).print(table)  # nothing in the environment colours a pipe


def print_tree(title: str, branch: Branch, *, upwards: bool = False) -> None:
    """A tree of the graph on stdout: with guides and colours on a terminal, a line a node elsewhere.

    Where it leads `upwards`, a verb says what a node does with the one that it stands below.
    """
    if not sys.stdout.isatty():
        click.echo(f"{title}:")
        for line in _branch_lines(branch, "", "", upwards):
            click.echo(line)
        return
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    def grown(one: Branch, at: Tree) -> None:
        for below in one.branches:
            grown(below, at.add(label(below)))
        if one.more:
            at.add(Text(_more(one), style="dim"))

    def label(one: Branch) -> Text:
        head, facts, broken = _branch_text(one, upwards)
        text = Text(head, overflow="fold")
        text.append(f"\n{facts}" if facts else "", style="dim")
        return text.append(f"\n{broken}" if broken else "", style="bold red")

    root = Tree(label(branch))
    grown(branch, root)
    console = Console()
    console.print(Text(f"{title}:", style="bold"))
    console.print(root)


def _branch_lines(branch: Branch, first: str, rest: str, upwards: bool) -> Iterator[str]:
    yield first + "; ".join(part for part in _branch_text(branch, upwards) if part)
    last = len(branch.branches) + bool(branch.more)
    for number, below in enumerate(branch.branches, 1):
        corner, bar = ("`-- ", "    ") if number == last else ("|-- ", "|   ")
        yield from _branch_lines(below, rest + corner, rest + bar, upwards)
    if branch.more:
        yield f"{rest}`-- {_more(branch)}"


def _branch_text(branch: Branch, upwards: bool) -> tuple[str, str, str]:
    """What a line of a tree says: the verb and the node; its facts, if they were not told before; and what is broken."""
    node = branch.node
    again = " (see above)" if branch.again else ""
    facts = "" if branch.again else "; ".join(f"{name} {value}" for name, value in node.facts.items())
    broken = f"BROKEN: {node.broken}" if node.broken else ""
    name = f"{node.kind} {node.label}"
    if branch.label:
        name = f"{name} {branch.label} it" if upwards else f"{branch.label} {name}"
    return printable(f"{name}{again}"), printable(facts), printable(broken)


def _more(branch: Branch) -> str:
    from aqea_registry.core.graph import counted

    return f"and {counted(branch.more)} more; --all shows them"


def printable(text: str) -> str:
    """The text in one line that does nothing to a terminal: other people's file names hold line ends and escape codes."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode() for one in text)


def size_text(size: int) -> str:
    """Bytes for people: `12 bytes`, `3.4 kB`, `5.6 MB`."""
    if size < 1000:
        return f"{size} bytes"
    value, units = float(size), ("kB", "MB", "GB", "TB")
    for unit in units:
        value /= 1000
        if value < 999.95 or unit == units[-1]:
            break
    return f"{value:.1f} {unit}"
