"""What all commands share: common options, the one error boundary, and the one place that sets an exit status."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from aqea_registry import __version__

if TYPE_CHECKING:
    from aqea_registry.core.findings import Finding, RegistryError
    from aqea_registry.core.reporting import Reporter

STATUS = {"Refused": 1, "BadConfiguration": 2, "CannotCheck": 3, "NotAllowed": 4, "TagConflict": 5}


class Shell(NamedTuple):
    """What every command is given: where to work and where progress goes."""

    directory: Path
    report: Reporter
    json: bool


class Outcome(NamedTuple):
    """What a command found: findings, data for --json, how to show it to a person, and what stopped a part of it."""

    findings: Sequence[Finding]
    data: dict[str, Any]
    show: Callable[[], None]
    error: RegistryError | None = None
    status: int = 0  # of a command whose answer is "no" without a finding


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="aqea-registry")
def main() -> None:
    """Artefacts of embedding research: every number traces to bytes that cannot change.

    Exit status: 0 fine, 1 findings, 2 usage, 3 could not check, 4 not allowed, 5 the tag exists with other content.
    """


def command_of(group: click.Group) -> Callable[[Callable[..., Outcome]], click.Command]:
    """A decorator: a command of the group, named after its function, with the options that all have."""
    return lambda function: _command(function, group)


def command(function: Callable[..., Outcome]) -> click.Command:
    """A command of the program, named after its function, with the options that all have."""
    return _command(function, main)


def _command(function: Callable[..., Outcome], group: click.Group) -> click.Command:
    name = function.__name__.rstrip("_")
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
    @functools.wraps(function)
    def run(as_json: bool, quiet: bool, directory: Path, **options: Any) -> None:
        from aqea_registry.terminal import TerminalReporter

        shell = Shell(directory, TerminalReporter(quiet=quiet), as_json)
        _finish(full, lambda: function(shell, **options), as_json=as_json, quiet=quiet)

    return group.command(name)(run)


def _finish(name: str, work: Callable[[], Outcome], *, as_json: bool, quiet: bool) -> NoReturn:
    """Do the work, show what came of it, and exit: the one error boundary."""
    from aqea_registry.core.findings import CannotCheck, RegistryError
    from aqea_registry.terminal import print_error, print_findings, print_json

    error: RegistryError | None = None
    outcome: Outcome | None = None
    try:
        outcome = work()
    except RegistryError as raised:
        error = raised
    except OSError as raised:
        place = f"{raised.filename}: " if raised.filename else ""
        error = CannotCheck(
            f"{place}{raised.strerror or raised}",
            "what was there before is unchanged; put this right and run the command again",
        )
    error = error or (outcome.error if outcome else None)
    findings = (*(outcome.findings if outcome else ()), *(error.findings if error else ()))
    kinds = [STATUS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in STATUS]
    status = kinds[0] if kinds else 1 if findings else outcome.status if outcome else 0
    if as_json:
        print_json(name, status == 0, findings, error, outcome.data if outcome else {})
    else:
        if findings:
            print_findings(findings)
        if outcome is not None and not quiet:
            outcome.show()
    if error is not None:
        print_error(error)
    raise SystemExit(status)
