"""Commands that check and change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aqea_registry.cli.shell import Outcome, Shell, command

if TYPE_CHECKING:
    from aqea_registry.core.findings import CannotCheck
    from aqea_registry.operations.check_files import Verification


@command
@click.argument("target", required=False)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder that a list's paths start at (default: the list's own).",
)
@click.option("--deep", is_flag=True, help="Of releases in stores, download and hash every file.")
@click.option("--remote", is_flag=True, help="Hold every store to the receipts of this project.")
def verify(shell: Shell, target: str | None, root: Path | None, deep: bool, remote: bool) -> Outcome:
    """Check bytes against what names them; change nothing.

    TARGET is nothing (this project: pins, sources, dvc.lock, pair sets, scores, manifest), a folder with a list of digests
    in it, any list in the formats of sha256sum, or a release in a store: oci:DIR:TAG, oci://HOST/NAME:TAG,
    hf://datasets/ORG/NAME@REV, github://OWNER/REPO@TAG. A store's own digests are believed unless --deep is given.
    """
    checked, error = _verify_remote(shell, target, deep) if remote else (_verify(shell, target, root, deep), None)

    import msgspec

    data: dict[str, Any] = {
        "target": checked.target,
        "files": checked.files,
        "bytes": checked.bytes,
        "notes": checked.notes,
        "pair_sets": {key: msgspec.to_builtins(value) for key, value in checked.pair_sets.items()},
        "held": {reference: msgspec.to_builtins(held) for reference, held in checked.held.items()},
    }
    return Outcome(checked.findings, data, lambda: _show(checked), error)


def _show(checked: Verification) -> None:
    from aqea_registry.core.release import how_checked
    from aqea_registry.terminal import printable, size_text

    for note in checked.notes:
        click.echo(printable(f"note: {note}"))
    for key, one in checked.pair_sets.items():
        spearman = one.metrics.cos_sim_spearman
        click.echo(f"{key}: {one.header.n_pairs} pairs x {one.header.dimension}, cosine Spearman {spearman!r}")
    for reference, held in checked.held.items():
        click.echo(printable(f"{reference}: {len(held)} files: {how_checked(held)}"))
    state = f"{len(checked.findings)} findings" if checked.findings else "no findings"
    click.echo(printable(f"{checked.target}: {checked.files} files, {size_text(checked.bytes)}: {state}"))


def _verify_remote(shell: Shell, target: str | None, deep: bool) -> tuple[Verification, CannotCheck | None]:
    from aqea_registry.core.findings import BadConfiguration
    from aqea_registry.operations.project import open_project
    from aqea_registry.operations.verify_release import verify_receipts

    if target is not None:
        raise BadConfiguration("--remote goes with the project, not with a target", "aqea-registry verify --remote")
    return verify_receipts(open_project(shell.directory), shell.report, deep=deep)


def _verify(shell: Shell, target: str | None, root: Path | None, deep: bool) -> Verification:
    """Find out what the target is, and check it. What a list of digests does not need is not loaded for it."""
    from aqea_registry.core.findings import BadConfiguration, CannotCheck
    from aqea_registry.core.manifest import MANIFEST
    from aqea_registry.core.references import is_reference, split_reference

    if target is not None and is_reference(target):
        from aqea_registry.operations.verify_release import verify_release
        from aqea_registry.stores import open_store

        spec, tag = split_reference(target)
        return verify_release(open_store(spec, shell.directory), tag, shell.report, deep=deep)
    place = (shell.directory / (target or ".")).absolute()
    if not place.exists():
        raise CannotCheck(f"{target} is not there", "name a folder, a list of digests, or a release such as oci:DIR:TAG")
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
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
def compare(shell: Shell, before: str, after: str) -> Outcome:
    """Compare two releases, each a STORE-REF: which files, scores and pins differ.

    IDENTICAL: the same bytes, exit status 0. DIVERGED: a table of what differs, exit status 1.
    """
    from aqea_registry.operations.compare import compare as operation
    from aqea_registry.terminal import print_table

    found = operation(before, after, shell.directory)
    rows = [(one.what, one.name, one.state, one.before or "", one.after or "") for one in found.changes]

    def show() -> None:
        if rows:
            print_table(("what", "name", "", before, after), rows)
        click.echo(found.verdict)

    data = {
        "verdict": found.verdict,
        "changes": [
            {"what": what, "name": name, "state": state, "before": old or None, "after": new or None}
            for what, name, state, old, new in rows
        ],
    }
    return Outcome((), data, show, status=int(found.verdict != "IDENTICAL"))
