"""What all commands share: options, the one error boundary and exit status, and what a person sees on stdout and stderr."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

import click
from click.shell_completion import CompletionItem

from aqea_registry import __version__
from aqea_registry.base.files import Advance, ignore
from aqea_registry.base.progress import hide_secrets, keep_secret, printable
from aqea_registry.cli.tables import table_lines

if TYPE_CHECKING:
    from aqea_registry.base.findings import Finding, RegistryError
    from aqea_registry.project.project import Project
    from aqea_registry.tracing.graph import Branch

Function = TypeVar("Function", bound=Callable[..., Any])

STATUS = {"Refused": 1, "BadConfiguration": 2, "CannotCheck": 3, "NotAllowed": 4, "TagConflict": 5, "Interrupted": 130}
SECRETS = (
    *("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_ID_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "AWS_SECRET_ACCESS_KEY"),
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
)
FEW = 20  # of the findings of one code, on a terminal


class Shell(NamedTuple):
    """What every command is given: where to work and where progress goes."""

    directory: Path
    report: TerminalReporter
    json: bool

    def root(self) -> Path:
        """The project that this folder lies in, or the folder itself."""
        from aqea_registry.api import project_root

        return project_root(self.directory)

    def project(self, *, whole: bool = False) -> Project:
        """The project that this folder lies in; `whole`, warn of files that it lacks. Raises BadConfiguration."""
        from aqea_registry.project.project import open_project

        if whole:
            self.look_for_files()
        return open_project(self.root())

    def look_for_files(self) -> None:
        """Warn if a project lacks what DVC and git read."""
        root = self.root()
        missing = [name for name in ("dvc.yaml", ".gitignore") if not (root / name).exists()]
        if missing and (root / "params.yaml").exists():
            self.report.warn(f"{root} has no {' and no '.join(missing)}; run: aqea-registry init")

    def stores(self, specs: Iterable[str]) -> list[str]:
        """Stores given on the command line, as from the project's folder."""
        from aqea_registry.api import spec_at

        return [spec_at(spec, self.directory, self.root()) for spec in specs]

    def in_project(self, name: str, start: Path) -> str:
        """A path given on the command line (a mark # may follow), as from another folder; what is not there stays as it is."""
        path, mark, rest = name.partition("#")
        there = start.absolute() != self.directory.absolute() and (self.directory / path).exists()
        return f"{os.path.relpath(self.directory / path, start)}{mark}{rest}" if there else name

    def meant(self, name: str, *, path: bool = True, start: Path | None = None) -> str:
        """What a name is, as `api.meaning` has it; where a bare tag was read, a note says so."""
        from aqea_registry.api import meaning

        found = meaning(name, self.directory, path=path, start=start)
        if found.note:
            self.report.note(f"note: {found.note}")
        return found.name

    def look_for_clients(self, stores: Iterable[str]) -> None:
        """Raise CannotCheck if a package that one of these stores needs is missing: before the project is looked at."""
        from aqea_registry.stores.open_store import open_store

        for spec in stores:
            open_store(spec, self.directory)

    def paths(self, names: Iterable[str]) -> list[Path]:
        """Paths as given on the command line."""
        return [self.directory / name for name in names]


class Outcome(NamedTuple):
    """What a command found: findings, plain values or structs for --json, how to show it, and what stopped a part of it."""

    findings: Sequence[Finding]
    data: Any
    show: Callable[[], None]
    error: RegistryError | None = None
    status: int = 0  # of a command whose answer is "no" without a finding


def epilog(*examples: str) -> str:
    """The end of a help: command lines that can be typed as they are, given without the program's name."""
    return "\n".join(("\b", "Examples:", *(f"  aqea-registry {example}" for example in examples)))


def examples(*lines: str) -> Callable[[Function], Function]:
    """A decorator below `command`: what its help shows as examples, without the program's name."""

    def note(function: Function) -> Function:
        vars(function)["epilog"] = epilog(*lines)
        return function

    return note


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=epilog("init", "verify", "verify oci:releases:v1 --full", "compare v1 v2"),
)
@click.version_option(__version__, prog_name="aqea-registry")
def main() -> None:
    """Artefacts of embedding research: every number traces to bytes that cannot change.

    Exit status: 0 fine, 1 findings, 2 usage, 3 could not check, 4 not allowed, 5 the tag exists with other content,
    130 interrupted.
    """


def complete(*kinds: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """What a shell completes an argument with: the project's names of these kinds, and paths where one can be meant."""

    def found(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
        from aqea_registry.api import known_names

        names: list[str] = []
        with suppress(Exception):  # whoever runs the command reads what is wrong
            names = known_names(Path(context.params.get("directory") or "."), kinds)
        items = [CompletionItem(name) for name in names if name.startswith(start)]
        return [*items, *([CompletionItem(start, type="file")] if "paths" in kinds else [])]

    return found


def command_of(group: click.Group) -> Callable[[Callable[..., Outcome]], click.Command]:
    """A decorator: a command of the group, named after its function, with the options that all have."""
    return lambda function: _command(function, group)


command = command_of(main)


def _command(function: Callable[..., Outcome], group: click.Group) -> click.Command:
    name = function.__name__.rstrip("_").replace("_", "-")
    full = name if group is main else f"{group.name}-{name}"

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, nothing else.")
    @click.option("-q", "--quiet", is_flag=True, help="Print nothing but findings and errors.")
    @click.option(
        "-C",
        "directory",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        default=".",
        metavar="DIR",
        help="Work in this folder instead of the current one.",
    )
    @click.option(
        "--sarif", type=click.Path(path_type=Path), metavar="FILE", help="Write the findings into a SARIF file as well."
    )
    @functools.wraps(function)
    def run(as_json: bool, quiet: bool, directory: Path, sarif: Path | None, **options: Any) -> None:
        shell = Shell(directory, TerminalReporter(quiet=quiet), as_json)
        _finish(full, lambda: function(shell, **options), directory, sarif, as_json=as_json, quiet=quiet)

    return group.command(name, epilog=vars(function).get("epilog"))(run)


def _finish(
    name: str, work: Callable[[], Outcome], directory: Path, sarif: Path | None, *, as_json: bool, quiet: bool
) -> NoReturn:
    """Do the work, show what came of it, and exit: the one error boundary."""
    from aqea_registry.base.findings import CannotCheck, Interrupted, RegistryError

    error: RegistryError | None = None
    outcome: Outcome | None = None
    keep_secret(*map(os.environ.get, SECRETS))
    try:
        outcome = work()
    except RegistryError as raised:
        error = raised
    except ImportError as raised:  # of whatever a library imports late
        from aqea_registry.base.extras import unusable

        error = unusable("this command", raised)
    except OSError as raised:
        path = f"{raised.filename}: " if raised.filename else ""
        error = CannotCheck(
            f"{path}{raised.strerror or raised}", "what was there before is unchanged; fix this and run the command again"
        )
    except KeyboardInterrupt:
        error = Interrupted(
            "interrupted", "run the same command again; vectors and files that are kept are not made or fetched twice"
        )
    error = error or (outcome.error if outcome else None)
    findings = (*(outcome.findings if outcome else ()), *(error.findings if error else ()))
    kinds = [STATUS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in STATUS]
    status = kinds[0] if kinds else 1 if findings else outcome.status if outcome else 0
    if as_json:
        import msgspec

        data = msgspec.to_builtins(outcome.data) if outcome else {}
        print_json(name, status == 0, findings, error, {key: data[key] for key in data if key != "findings"})
    else:
        if findings:
            print_findings(findings)
        if outcome is not None and not quiet:
            outcome.show()
    if error is not None:
        click.echo(printable(f"error: {error.message}"), err=True)
    if error is not None and error.hint:
        click.echo(printable(f"  next: {error.hint}"), err=True)
    if sarif is not None or os.environ.get("GITHUB_ACTIONS") == "true":
        from aqea_registry.cli.annotations import Ended, report

        status = report(Ended(name, status, findings, error), directory, sarif and directory / sarif)
    raise SystemExit(status)


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


def print_json(command: str, ok: bool, findings: Sequence[Finding], error: RegistryError | None, data: dict[str, Any]) -> None:
    """The one JSON object of a command, on stdout; a million findings go out one by one."""
    value: dict[str, Any] = {"schema": f"aqea-registry/{command}/1", "ok": ok, "findings": []}
    if error is not None:
        value["error"] = {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
    before, after = json.dumps({**value, **data}, indent=2).split("[]", 1)  # ASCII: the same bytes under every locale
    _write(chain((before, "["), _json_items(findings), ("\n  " * bool(findings), "]", after, "\n")))


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
    click.echo(f"what it means: aqea-registry docs {findings[0].code}")


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout: on a terminal as wide as that, in a pipe a line for each row with tabs between its cells."""
    from shutil import get_terminal_size

    cells = [[printable(str(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty():
        echo("\n".join(table_lines(header, cells, get_terminal_size().columns)))
    else:
        echo("\n".join("\t".join(row) for row in (header, *cells)))


def echo(text: str) -> None:
    """Lines on stdout, with their colours on a terminal alone, unless NO_COLOR says that there should be none."""
    click.echo(text, color=False if os.environ.get("NO_COLOR") or not sys.stdout.isatty() else None)


def print_tree(title: str, branch: Branch, *, upwards: bool = False) -> None:
    """A tree of the graph on stdout, a line for each node; `upwards`, a verb says what it does with the one above it."""
    click.echo(f"{title}:")
    for line in _branch_lines(branch, "", "", upwards):
        echo(line)


def _branch_lines(branch: Branch, first: str, rest: str, upwards: bool) -> Iterator[str]:
    node, name = branch.node, f"{branch.node.kind} {branch.node.label}"
    if branch.label:
        name = f"{name} {branch.label} it" if upwards else f"{branch.label} {name}"
    facts = [] if branch.repeated else [f"{fact} {value}" for fact, value in node.facts.items()]
    line = first + printable("; ".join([f"{name} (see above)" if branch.repeated else name, *facts]))
    yield line + ("; " + click.style(printable(f"BROKEN: {node.broken}"), fg="red", bold=True) if node.broken else "")
    last = len(branch.branches) + bool(branch.omitted)
    for number, below in enumerate(branch.branches, 1):
        corner, bar = ("`-- ", "    ") if number == last else ("|-- ", "|   ")
        yield from _branch_lines(below, rest + corner, rest + bar, upwards)
    if branch.omitted:
        from aqea_registry.tracing.graph import counted

        yield f"{rest}`-- and {counted(branch.omitted)} more; --all shows them"
