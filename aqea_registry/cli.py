"""The command line: click commands, and the one place that sets an exit status.

0 fine, 1 findings, 2 usage, 3 could not check, 4 not allowed, 5 the tag exists with other content. Only click is
imported to start; each command imports what it needs.
"""

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
    from aqea_registry.operations.check_files import Verification
    from aqea_registry.operations.pin import Checked

STATUS = {"Refused": 1, "BadConfiguration": 2, "CannotCheck": 3, "NotAllowed": 4, "TagConflict": 5}


class Shell(NamedTuple):
    """What every command is given: where to work and where progress goes."""

    directory: Path
    report: Reporter
    json: bool


class Outcome(NamedTuple):
    """What a command found: findings, data for --json, and how to show it to a person."""

    findings: Sequence[Finding]
    data: dict[str, Any]
    show: Callable[[], None]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="aqea-registry")
def main() -> None:
    """Artefacts of embedding research: every number traces to bytes that cannot change.

    Exit status: 0 fine, 1 findings, 2 usage, 3 could not check, 4 not allowed, 5 the tag exists with other content.
    """


def command(function: Callable[..., Outcome]) -> click.Command:
    """A command of the group, named after its function, with the options that all have."""

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
        _finish(function.__name__, lambda: function(shell, **options), as_json=as_json, quiet=quiet)

    return main.command(function.__name__)(run)


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
    findings = error.findings if error else outcome.findings if outcome else ()
    status = (
        next(STATUS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in STATUS)
        if error
        else 1
        if findings
        else 0
    )
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


@command
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--check", is_flag=True, help="Change nothing; say what has moved, changed or gone since.")
@click.option("--commits-only", is_flag=True, help="Ask nobody; give entries without a pin one that knows their commit only.")
@click.option("--list", "listed", metavar="FILE", help="Resolve the Hub repositories of a data list instead, to commits.")
def pin(shell: Shell, names: tuple[str, ...], check: bool, commits_only: bool, listed: str | None) -> Outcome:
    """Resolve catalogue entries into manifests/pins.json: a commit, and sha256 and size of every file that is read.

    Without NAME, all entries of params.yaml. With --list and --check, only what is odd in the list is told.
    """
    if listed is not None:
        return _pin_list(shell, listed, check)
    from aqea_registry.operations import pin as operation
    from aqea_registry.operations.project import open_project

    project = open_project(shell.directory)
    if check:
        return _check_pins(operation.check_pins(project, names, shell.report))
    done = operation.pin(project, names, shell.report, commits_only=commits_only)

    def show() -> None:
        for one in done:
            commit, source = one.pin.commit or "no commit", one.pin.resolved_from or "nobody"
            click.echo(f"{one.state:10} {one.name}: {len(one.pin.files)} files, {commit}, from {source}")
            for path in one.changed_files:
                click.echo(f"           {path} is another file now")

    data = [
        {"group": one.group, "name": one.name, "state": one.state, "commit": one.pin.commit, "changed_files": one.changed_files}
        for one in done
    ]
    return Outcome((), {"pins": data}, show)


def _pin_list(shell: Shell, path: str, check: bool) -> Outcome:
    """Resolve a data list. Oddities of a paper's list are told, and are findings only if the list itself is checked."""
    from aqea_registry.operations.pin_list import pin_list

    done = pin_list(shell.directory / path, shell.report, check=check)

    def show() -> None:
        for state, count in sorted(done.states.items()):
            click.echo(f"{state}: {count}")

    return Outcome(done.findings if check else (), {"states": done.states}, show)


def _check_pins(checked: Checked) -> Outcome:
    """What `pin --check` found. If nobody could be asked about an entry and nothing is wrong, nothing was checked."""
    from aqea_registry.core.findings import CannotCheck

    if checked.unasked and not checked.findings:
        name, reason = next(iter(checked.unasked.items()))
        others = f" (and {len(checked.unasked) - 1} others)" if len(checked.unasked) > 1 else ""
        raise CannotCheck(f"{name}{others}: {reason}", "make a source reachable, see params.yaml")

    def show() -> None:
        for name, state in checked.states.items():
            click.echo(f"{state:10} {name}")

    return Outcome(checked.findings, {"states": checked.states, "unasked": checked.unasked}, show)


@command
@click.argument("dataset")
@click.argument("model")
@click.option("--batch", type=click.IntRange(1), help="Sentences at a time (default: as many as make 512 tokens).")
@click.option("--threads", type=click.IntRange(1), help="Processor threads (default: torch's own choice).")
@click.option("--attention", type=click.Choice(["sdpa", "eager"]), help="Attention (default: the model's own choice).")
@click.option("--fresh", is_flag=True, help="Encode every sentence again, also those encoded before.")
def generate(
    shell: Shell, dataset: str, model: str, batch: int | None, threads: int | None, attention: Any, fresh: bool
) -> Outcome:
    """Make one pair set of the run: what a DVC stage calls.

    Batch, threads and attention change the speed; in canonical precision they change no byte.
    """
    from aqea_registry.core.metrics import Metrics
    from aqea_registry.embedding.encoder import Settings
    from aqea_registry.operations import generate as operation
    from aqea_registry.operations.project import open_project

    settings = Settings(batch=batch, threads=threads, attention=attention)
    made = operation.generate(open_project(shell.directory), dataset, model, settings, shell.report, fresh=fresh)

    def show() -> None:
        click.echo(f"{made.path}: {made.n_pairs} pairs x {made.dimension}, {made.precision}")
        click.echo(f"sentences encoded now {made.encoded}, before {made.reused}")
        if made.margin is not None and made.precision == "canonical":
            click.echo(f"nearest rounding boundary {made.margin:.1e} away; two float64 results differ by about 1e-15")
        for field in Metrics.__struct_fields__:
            click.echo(f"{field:20} {getattr(made.metrics, field)!r}")

    import msgspec

    return Outcome((), msgspec.to_builtins(made), show)


@command
@click.argument("file", metavar="FILE")
@click.option("--format", "kind", type=click.Choice(["benchmark", "embeddings"]), required=True)
def export(shell: Shell, file: str, kind: str) -> Outcome:
    """Make another file from a pair file of the run, beside it.

    benchmark: all metrics with sizes, pins and digests. embeddings: the rows as the AQEA trainer reads them.
    """
    from aqea_registry.operations.export import export as operation
    from aqea_registry.operations.project import open_project

    path = operation(open_project(shell.directory), file, kind)
    return Outcome((), {"path": path}, lambda: click.echo(path))


@command
def manifest(shell: Shell) -> Outcome:
    """Write manifests/MANIFEST.sha256 and the sizes beside it, for the files of the run."""
    from aqea_registry.core.manifest import MANIFEST
    from aqea_registry.operations.manifest import write_manifest
    from aqea_registry.operations.project import open_project

    written = write_manifest(open_project(shell.directory), shell.report)
    data = {path: {"sha256": sha256, "size": size} for path, (sha256, size) in written.files.items()}
    text = f"{MANIFEST}: {len(written.files)} files{'' if written.changed else ', unchanged'}"
    return Outcome((), {"files": data, "changed": written.changed}, lambda: click.echo(text))


@command
@click.argument("target", required=False)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder that a list's paths start at (default: the list's own).",
)
def verify(shell: Shell, target: str | None, root: Path | None) -> Outcome:
    """Check bytes against what names them; change nothing.

    TARGET is nothing (this project: pins, sources, dvc.lock, pair sets, scores, manifest), a folder with a list of digests
    in it, any list in the formats of sha256sum, or a release oci:DIR:TAG.
    """
    from aqea_registry.terminal import size_text

    checked = _verify(shell, target, root)

    def show() -> None:
        for note in checked.notes:
            click.echo(f"note: {note}")
        for key, one in checked.pair_sets.items():
            spearman = one.metrics.cos_sim_spearman
            click.echo(f"{key}: {one.header.n_pairs} pairs x {one.header.dimension}, cosine Spearman {spearman!r}")
        state = f"{len(checked.findings)} findings" if checked.findings else "no findings"
        click.echo(f"{checked.target}: {checked.files} files, {size_text(checked.bytes)}: {state}")

    import msgspec

    data = {
        "target": checked.target,
        "files": checked.files,
        "bytes": checked.bytes,
        "notes": checked.notes,
        "pair_sets": {key: msgspec.to_builtins(value) for key, value in checked.pair_sets.items()},
    }
    return Outcome(checked.findings, data, show)


def _verify(shell: Shell, target: str | None, root: Path | None) -> Verification:
    """Find out what the target is, and check it. What a list of digests does not need is not loaded for it."""
    from aqea_registry.core.findings import BadConfiguration, CannotCheck
    from aqea_registry.core.manifest import MANIFEST

    if target is not None and target.startswith("oci:"):
        from aqea_registry.operations.publish import open_store
        from aqea_registry.operations.verify_release import verify_release

        spec, _, tag = target.rpartition(":")
        return verify_release(open_store(spec, shell.directory), tag, shell.report)
    place = (shell.directory / (target or ".")).absolute()
    if not place.exists():
        raise CannotCheck(f"{target} is not there", "name a folder, a list of digests, or oci:DIR:TAG")
    if root is not None and place.is_dir():
        raise BadConfiguration("--root goes with a list of digests", "name the list: aqea-registry verify LIST --root DIR")
    if target is None or (place / "params.yaml").is_file():
        from aqea_registry.operations.project import open_project
        from aqea_registry.operations.verify import verify_project

        return verify_project(open_project(shell.directory / (target or ".")), shell.report)
    from aqea_registry.operations.verify_list import verify_folder, verify_list

    if place.is_dir():
        return verify_folder(place, shell.report)
    own = place.parent.parent if place.as_posix().endswith(f"/{MANIFEST}") else place.parent
    start = shell.directory / root if root else own
    if not start.is_dir():
        raise BadConfiguration(f"--root: {root} is no folder")
    return verify_list(place, start, shell.report)


@command
@click.option("--tag", required=True, help="The name of the release; it can never name another one.")
@click.option("--to", "stores", multiple=True, metavar="STORE", help="Where to, instead of publish.stores (repeatable).")
@click.option("--dry-run", is_flag=True, help="Write nothing; print the plan and the digest.")
def publish(shell: Shell, tag: str, stores: tuple[str, ...], dry_run: bool) -> Outcome:
    """Verify the run and put it into the stores under a tag, as one immutable release."""
    from aqea_registry.operations.project import open_project
    from aqea_registry.operations.publish import publish as operation
    from aqea_registry.terminal import size_text

    project = open_project(shell.directory)
    done = operation(project, tag, stores or project.params.publish.stores, shell.report, dry_run=dry_run)

    def show() -> None:
        click.echo(f"{tag} is {done.digest}: {done.files} files, {size_text(done.bytes)}")
        again = "its receipt was lost and was written again"
        for put in done.puts:
            sent = f"{put.blobs} pieces, {size_text(put.bytes)}"
            words = {
                "planned": f"would be sent: {sent}",
                "published": f"published and read back: {sent}",
                "repaired": f"had lost pieces, repaired and read back: {sent}",
                "unchanged": f"holds it already, {again if put.receipt_written else 'nothing was written'}",
            }
            click.echo(f"{put.reference}: {words[put.state]}")

    import msgspec

    return Outcome((), msgspec.to_builtins(done), show)
