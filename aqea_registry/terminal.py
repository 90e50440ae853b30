"""What a person sees: progress and errors on stderr, results on stdout, tables where there is something to look at."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from aqea_registry.core.files import Advance, ignore
from aqea_registry.core.findings import Finding, RegistryError


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
    Console().print(table)


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
