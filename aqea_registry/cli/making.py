"""Commands that make things: pins, pair sets, exports, the manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from aqea_registry.cli.shell import Outcome, Shell, command

if TYPE_CHECKING:
    from aqea_registry.operations.pin import Checked


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
    made = operation.pin(project, names, shell.report, commits_only=commits_only)

    def show() -> None:
        for one in made.done:
            commit, source = one.pin.commit or "no commit", one.pin.resolved_from or "nobody"
            click.echo(f"{one.state:10} {one.name}: {len(one.pin.files)} files, {commit}, from {source}")
            for path in one.changed_files:
                click.echo(f"           {path} is another file now")
        for name in made.failed:
            click.echo(f"{'FAILED':10} {name}")

    data = [
        {"group": one.group, "name": one.name, "state": one.state, "commit": one.pin.commit, "changed_files": one.changed_files}
        for one in made.done
    ]
    return Outcome((), {"pins": data, "failed": made.failed}, show, made.error)


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
@click.option("--device", metavar="DEVICE", default="cpu", help="Where the model runs, such as cuda (default: cpu).")
@click.option("--fresh", is_flag=True, help="Encode every sentence again, also those encoded before.")
def generate(
    shell: Shell,
    dataset: str,
    model: str,
    batch: int | None,
    threads: int | None,
    attention: Any,
    device: str,
    fresh: bool,
) -> Outcome:
    """Make one pair set of the run: what a DVC stage calls.

    Batch, threads, attention and device change the speed; in canonical precision they change no byte.
    """
    from aqea_registry.core.margin import margin_text
    from aqea_registry.core.metrics import Metrics
    from aqea_registry.embedding.encoder import Settings
    from aqea_registry.operations import generate as operation
    from aqea_registry.operations.project import open_project

    settings = Settings(batch=batch, threads=threads, attention=attention, device=device)
    made = operation.generate(open_project(shell.directory), dataset, model, settings, shell.report, fresh=fresh)

    def show() -> None:
        click.echo(f"{made.path}: {made.n_pairs} pairs x {made.dimension}, {made.precision}")
        click.echo(f"sentences encoded now {made.encoded}, before {made.reused}")
        if made.margin is not None:
            click.echo(margin_text(made.margin))
        for field in Metrics.__struct_fields__:
            click.echo(f"{field:20} {getattr(made.metrics, field)!r}")

    import msgspec

    return Outcome((), msgspec.to_builtins(made), show)


@command
@click.argument("file", metavar="FILE")
@click.option("--format", "kind", type=click.Choice(["benchmark", "embeddings", "parquet", "aqed"]), required=True)
def export(shell: Shell, file: str, kind: str) -> Outcome:
    """Make another file from a pair file of the run: beside it, or in views/ under the pair set's name.

    benchmark: all metrics with sizes, pins and digests. embeddings: the rows as the AQEA trainer reads them, in JSON;
    aqed: the same as AQED v1, in views/. parquet: the pair set as a table of integers, in views/.
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
