"""What all commands share: options, what names on the command line mean, the one error boundary and the exit status."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click
from click.shell_completion import CompletionItem

from aqea_registry import __version__
from aqea_registry.base.progress import keep_secret, printable
from aqea_registry.cli.output import Ended, TerminalReporter, annotate, print_findings, print_json

if TYPE_CHECKING:
    from aqea_registry.base.findings import Finding, RegistryError
    from aqea_registry.project.project import Project

STATUS = {"Refused": 1, "BadConfiguration": 2, "CannotCheck": 3, "NotAllowed": 4, "TagConflict": 5, "Interrupted": 130}
SECRETS = (
    *("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_ID_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "AWS_SECRET_ACCESS_KEY"),
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
)


EMPTY = "it is empty; is a variable of a script not set?"


class _Named(click.Path):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path of this name; of an empty one it would be the current folder."""
        return super().convert(value or self.fail(EMPTY, param, ctx), param, ctx)


PATH, FOLDER = _Named(path_type=Path), click.Path(exists=True, file_okay=False, path_type=Path)


class Shell(NamedTuple):
    """What every command is given: where to work, where progress goes, and what is wanted on stdout."""

    directory: Path
    report: TerminalReporter
    json: bool
    quiet: bool

    def root(self) -> Path:
        """The project that this folder lies in, or the folder itself."""
        from aqea_registry.project.project import find_project

        return find_project(self.directory)

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

    def in_project(self, name: str) -> str:
        """A path given on the command line (a mark # may follow), as from the project; what is not there stays as it is."""
        path, mark, rest = name.partition("#")
        start = self.root()
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

    def output(self, name: str | Path, first: str) -> Path:
        """Where a file goes that begins with this line. Raises BadConfiguration for the place of one that does not."""
        from aqea_registry.base.findings import BadConfiguration

        path = self.directory / name
        if path.is_file() and path.stat().st_size:
            with path.open("rb") as file:
                if file.readline(1000).strip() != first.encode():
                    message = f"{name} exists, and this command did not write it"
                    raise BadConfiguration(message, "name another file, or remove it")
        return path


class Outcome(NamedTuple):
    """What a command found: findings, plain values or structs for --json, and what stopped a part of it.

    `show` gives the lines for a person; it may print by itself what has colours or columns.
    """

    findings: Sequence[Finding]
    data: Any
    show: Callable[[], Iterable[str] | None]
    error: RegistryError | None = None
    status: int = 0  # of a command whose answer is "no" without a finding


def epilog(*examples: str) -> str:
    """The end of a help: command lines that can be typed as they are, given without the program's name."""
    return "\n".join(("\b", "Examples:", *(f"  aqea-registry {example}" for example in examples)))


class Program(click.Group):
    """The program. Whenever it is interrupted, it says so in a line and ends with 130."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; click itself would end with 1."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # while the command line was read or an answer written: _finish has that of the work
            click.echo("error: interrupted", err=True)
            raise SystemExit(STATUS["Interrupted"]) from None


@click.group(
    cls=Program,
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


def command(
    *examples: str, group: click.Group = main, needs: str | None = None
) -> Callable[[Callable[..., Outcome]], click.Command]:
    """A decorator: a command of the group, named after its function, with these examples and the options that all have.

    `needs` is a part of `base.extras` without which it does nothing: that is said before it looks at anything.
    """

    def add(function: Callable[..., Outcome]) -> click.Command:
        name = function.__name__.rstrip("_").replace("_", "-")
        full = name if group is main else f"{group.name}-{name}"

        @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, nothing else.")
        @click.option("-q", "--quiet", is_flag=True, help="Print nothing but findings and errors.")
        @click.option("-C", "directory", type=FOLDER, default=".", metavar="DIR", help="Work in DIR, not the current folder.")
        @click.option("--sarif", type=PATH, metavar="FILE", help="Write the findings into a SARIF file as well.")
        @functools.wraps(function)
        def run(as_json: bool, quiet: bool, directory: Path, sarif: Path | None, **options: Any) -> None:
            shell = Shell(directory, TerminalReporter(quiet=quiet), as_json, quiet)
            for option in click.get_current_context().command.params:
                given = options.get(option.name or "")
                if "" in (given if isinstance(given, tuple) else (given,)):
                    raise click.BadParameter(EMPTY, param=option)
            _finish(full, shell, sarif, *_attempt(lambda: function(shell, **options), needs))

        first = re.split(r"[:;.](?:\s|$)", function.__doc__ or "")[0]  # a line of 80 columns has no room for more
        return group.command(name, epilog=epilog(*examples), short_help=first)(run)

    return add


def _attempt(work: Callable[[], Outcome], needs: str | None) -> tuple[Outcome | None, RegistryError | None]:
    """What came of the work, and what stopped it or a part of it: the one error boundary."""
    from aqea_registry.base.findings import BadConfiguration, Interrupted, RegistryError, stopped

    keep_secret(*map(os.environ.get, SECRETS))
    try:
        if needs:
            from aqea_registry.base.extras import require

            require(needs)
        outcome = work()
    except (RegistryError, OSError) as error:
        return None, stopped(error)
    except ImportError as error:  # of whatever a library imports late
        from aqea_registry.base.extras import unusable

        return None, unusable("this command", error)
    except UnicodeEncodeError as error:  # half a surrogate pair: Python's sign for a byte of a name that is not UTF-8
        line = error.object.split("\n")[error.object.count("\n", 0, error.start)].strip()
        return None, BadConfiguration(f"{line[:200]}: a name that is not UTF-8 cannot be recorded", "rename the file")
    except KeyboardInterrupt:
        hint = "run the same command again; vectors and files that are kept are not made or fetched twice"
        return None, Interrupted("interrupted", hint)
    return outcome, outcome.error


def _finish(name: str, shell: Shell, sarif: Path | None, outcome: Outcome | None, error: RegistryError | None) -> NoReturn:
    """Show what came of a command, and exit."""
    findings = (*(outcome.findings if outcome else ()), *(error.findings if error else ()))
    kinds = [STATUS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in STATUS]
    ended = Ended(name, kinds[0] if kinds else 1 if findings else outcome.status if outcome else 0, findings, error)
    if shell.json:
        import msgspec

        print_json(ended, msgspec.to_builtins(outcome.data) if outcome else {})
    else:
        if findings:
            print_findings(findings)
        for line in () if outcome is None or shell.quiet else outcome.show() or ():
            click.echo(printable(line))
    if error is not None:
        click.echo(printable(f"error: {error.message}"), err=True)
    if error is not None and error.hint:
        click.echo(printable(f"  next: {error.hint}"), err=True)
    wanted = sarif is not None or os.environ.get("GITHUB_ACTIONS") == "true"
    raise SystemExit(annotate(ended, shell.directory, sarif and shell.directory / sarif) if wanted else ended.status)
