"""Commands about kept vectors."""

from __future__ import annotations

import click

from aqea_registry.base.progress import plural, printable, size_text
from aqea_registry.cli.shell import Outcome, Shell, command_of, epilog, examples, main, print_table


@main.group(epilog=epilog("cache size", "cache prune --write", "cache verify"))
def cache() -> None:
    """Vectors that are kept in .aqea/vectors: how many, what no run uses, whether they are as they were written."""


@command_of(cache)
@examples("cache size")
def size(shell: Shell) -> Outcome:
    """Show texts, bytes and segments of each model and method."""
    from aqea_registry.generation.kept_vectors import kept_vectors

    kept = kept_vectors(shell.root())

    def show() -> None:
        rows = [(found.folder, f"{found.texts:,}", size_text(found.bytes), found.segments) for found in kept]
        print_table(("folder", "texts", "size", "segments"), rows)

    return Outcome((), {"kept": kept, "bytes": sum(found.bytes for found in kept)}, show)


@command_of(cache)
@examples("cache prune", "cache prune --write")
@click.option("--write", is_flag=True, help="Remove it.")
def prune(shell: Shell, write: bool) -> Outcome:
    """Remove vectors that no run of the project uses, and those of earlier versions; show them without --write."""
    from aqea_registry.base.extras import require
    from aqea_registry.generation import kept_vectors as operation

    require("generation")
    unused = operation.prune(shell.project(), write=write)

    def show() -> None:
        for path, count in unused.items():
            click.echo(printable(f"{'removed' if write else 'unused'}: {path} ({size_text(count)})"))
        state = "" if write or not unused else "; --write removes it"
        click.echo(f"{size_text(sum(unused.values()))} {'removed' if write else 'that no run uses'}{state}")

    return Outcome((), {"unused": unused, "removed": write}, show)


@command_of(cache)
@examples("cache verify")
def verify(shell: Shell) -> Outcome:
    """Check all kept vectors against their digests. What is damaged is never used, whether it is found here or not."""
    from aqea_registry.generation.kept_vectors import check_kept, kept_vectors

    findings, kept = check_kept(shell.root(), shell.report), kept_vectors(shell.root())

    def show() -> None:
        if not findings:
            click.echo(f"{plural(sum(found.texts for found in kept), 'vector', form=',')}: as they were written")

    return Outcome(findings, {"kept": kept}, show)
