"""Commands around releases: build, publish, restore, mark."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aqea_registry.base.progress import plural, size_text
from aqea_registry.cli.output import echo, folded, paint
from aqea_registry.cli.shell import Outcome, Shell, command, complete

if TYPE_CHECKING:
    from aqea_registry.releases.publish import Listed, StoreResult
    from aqea_registry.releases.pull import Pulled, Restored
    from aqea_registry.stores.port import Releases

TO = click.option("--to", "stores", multiple=True, metavar="STORE", help="Where, instead of publish.stores (repeatable).")
SOURCE = click.option("--source", "sources", multiple=True, metavar="NAME=PATH", help="Sentences of a dataset (repeatable).")


@command("package --to hf_package")
@click.option("--to", "folder", default="hf_package", metavar="DIR", help="The folder (default: hf_package).")
def package(shell: Shell, folder: str) -> Outcome:
    """Verify the run and build the folder that a release holds, without publishing it.

    Card, data, Parquet, croissant.json and MANIFEST.sha256, as the Hub shows them; `sha256sum -c MANIFEST.sha256` accepts it.
    """
    from aqea_registry.releases.package import assemble, write_package

    done = write_package(assemble(shell.project(), shell.report, _lists), shell.directory / folder, shell.report)
    state = f"{len(done.written)} written" if done.written else "nothing to do"
    return Outcome((), done, lambda: [f"{done.folder}: {plural(done.files, 'file')}, {size_text(done.bytes)}: {state}"])


@command("publish --tag v1 --dry-run", "publish --tag v1 --to oci:releases --to hf://datasets/ORG/NAME")
@click.option("--tag", required=True, metavar="TAG", help="The name of the release, which is never moved to another one.")
@TO
@click.option("--dry-run", is_flag=True, help="Write nothing; print the plan and the digest.")
def publish(shell: Shell, tag: str, stores: tuple[str, ...], dry_run: bool) -> Outcome:
    """Verify the run and put it into the stores under a tag, as one immutable release.

    STORE is oci:DIR, oci://HOST/NAME, hf://datasets/ORG/NAME or github://OWNER/REPO. A store that fails does not undo the
    others; the same command finishes the rest.
    """
    from aqea_registry.releases.publish import publish as operation

    shell.look_for_clients(stores)
    project = shell.project()
    specs = shell.stores(stores) or project.params.publish.stores
    done, error = operation(project, tag, specs, shell.report, _lists, dry_run=dry_run)
    lines = [f"{tag} is {done.digest}: {plural(done.files, 'file')}, {size_text(done.bytes)}"]
    lines += [f"{put.reference}: {_words(put)}" for put in done.puts]
    return Outcome((), done, lambda: lines, error)


def _lists(*words: Any) -> Path:
    """The lists of a vector set that stays out: only such a release needs what generates."""
    from aqea_registry.generation.vector_sets import kept_lists

    return kept_lists(*words)


def _words(result: StoreResult) -> str:
    sent = f"{plural(result.new, 'blob')}, {size_text(result.bytes)}; {result.reused} already present"
    again = "its receipt was lost and was written again"
    words = {
        "planned": f"would be sent: {sent}",
        "published": f"published and read back: {sent}",
        "repaired": f"had lost blobs, repaired and read back: {sent}",
        "unchanged": f"holds it already, {again if result.receipt_written else 'nothing was written'}",
        "failed": f"FAILED: {result.reason}",
    }
    return words[result.state]


@command("pull v1", "pull hf://datasets/ORG/NAME@v1 --to forum", "pull v1 --project forum --source forum=rows.jsonl")
@click.argument("reference", metavar="STORE-REF|DIR", shell_complete=complete("tags", "paths"))
@click.option("--to", "folder", metavar="DIR", help="The folder (default: NAME-TAG).")
@click.option("--project", "project", metavar="DIR", help="Make there the project that the release was made from.")
@SOURCE
@click.option("--force", is_flag=True, help="Replace files in the folder that hold other bytes.")
def pull(
    shell: Shell, reference: str, folder: str | None, project: str | None, sources: tuple[str, ...], force: bool
) -> Outcome:
    """Restore a release from a store, or from a folder it was downloaded to; each file is checked before it gets its name.

    With --project, as a project in which dvc repro, verify and confirm work. A release holds no sentences: those of a dataset
    in a folder are taken from --source, or put where the answer says. A tag alone is one of the project's first store. A pull
    that was interrupted continues where it stopped.
    """
    from msgspec.structs import replace

    from aqea_registry.base.findings import BadConfiguration
    from aqea_registry.base.references import split_reference
    from aqea_registry.releases.pull import Restored, default_folder, restore
    from aqea_registry.releases.pull import pull as operation
    from aqea_registry.stores.open_store import DownloadedRelease, find, open_tagged

    if sources and not project:
        raise BadConfiguration("--source goes with --project", "aqea-registry pull STORE-REF --project DIR --source NAME=PATH")
    reference = shell.meant(reference)
    if (shell.directory / reference).is_dir():
        if not (project or folder):
            raise BadConfiguration(f"{reference} is a folder with a release", "name another one: --to DIR, or --project DIR")
        store: Releases = DownloadedRelease(shell.directory / reference, reference)
        tag, tagged = "", find(store, "")
    else:
        tag = split_reference(reference).tag
        store, tagged = open_tagged(reference, shell.directory)
    target = shell.directory / (project or folder or default_folder(store.spec, tag))
    done: Pulled
    if project:
        from aqea_registry.cli.beginning import set_up

        done = restore(store, tagged, target, given(shell, sources), shell.report, force=force)
        done = replace(done, notes=set_up(target))
    else:
        done = operation(store, tagged, target, shell.report, force=force)
    lines = [f"note: this release is {done.status}"] if done.status else []
    state = f"{done.fetched} fetched ({size_text(done.bytes)}), {done.files - done.fetched} there already"
    named = "the release" if tag == done.digest else tag or reference
    lines += [f"{named} is {done.digest}", f"{done.folder}: {plural(done.files, 'file')}, {state}"]
    return Outcome((), done, lambda: [*lines, *(_project_lines(done, target) if isinstance(done, Restored) else ())])


def _project_lines(done: Restored, target: Path) -> Iterator[str]:
    from aqea_registry.project.project import open_project

    for file in done.wanted:
        yield f"to make {file.name} again, put there (or give with --source): {file.path}, sha256 {file.sha256}"
    yield from (f"note: {note}" for note in done.notes)
    again = "aqea-registry generate --fresh" if open_project(target).run.one_stage else "dvc repro --force"
    yield f"next, in {target}: aqea-registry verify; to make all of it again: {again}"


def given(shell: Shell, sources: tuple[str, ...]) -> dict[str, Path]:
    """What --source gives: files or folders by the name of a dataset."""
    from aqea_registry.base.findings import BadConfiguration

    for text in sources:
        if not all(text.partition("=")):
            raise BadConfiguration(f"--source {text!r} is not NAME=PATH", "as in: --source small=data/small")
    return {text.partition("=")[0]: shell.directory / text.partition("=")[2] for text in sources}


@command("releases", "releases hf://datasets/ORG/NAME", "releases v1")
@click.argument("name", required=False, metavar="[STORE|STORE-REF]", shell_complete=complete("tags"))
def releases(shell: Shell, name: str | None) -> Outcome:
    """List the releases of the project's stores, or of one store, the newest tags first; or show one release.

    Of one: its digest, files and sizes, marks, statements beside it, and receipts in this project. No file is fetched.
    """
    from msgspec import to_builtins

    from aqea_registry.base.findings import BadConfiguration, CannotCheck
    from aqea_registry.base.references import is_folder, is_reference, split_reference
    from aqea_registry.releases.publish import list_releases, show_release
    from aqea_registry.stores.open_store import layout_folder, open_tagged

    if name is None:
        project = shell.project()
        root, specs = project.root, project.params.publish.stores
    else:
        name = shell.meant(name, path=False)
        try:
            split_reference(name)
        except BadConfiguration:
            if not is_reference(name):
                raise
        else:
            one, wrong = show_release(shell.directory, *open_tagged(name, shell.directory))
            return Outcome(tuple(wrong), one, lambda: chain.from_iterable(map(folded, _release_lines(one))))
        root, specs = shell.directory, (name,)
        if is_folder(name) and not layout_folder(root, name).is_dir():
            raise CannotCheck(f"{name}: there is no such folder", "name the folder of a store, or a release in it: oci:DIR:TAG")
    shell.look_for_clients(specs)
    found, findings, error = list_releases(root, specs)
    lines = [f"{_line(release)}{f'; {release.marks[-1]}' if release.marks else ''}" for release in found]
    if not lines and error is None:
        lines = [f"no release in {', '.join(specs) or 'any store: params.yaml names none under publish.stores'}"]
    listed = [to_builtins(release) | {"files": len(release.files)} for release in found]
    return Outcome(findings, {"releases": listed}, lambda: chain.from_iterable(map(folded, lines)), error)


def _line(release: Listed) -> str:
    return f"{release.reference}: {plural(len(release.files), 'file')}, {size_text(release.bytes)}"


def _release_lines(release: Listed) -> Iterator[str]:
    yield _line(release)
    yield from (f"  {file.digest}  {file.size:>12}  {file.path}" for file in release.files)
    yield from (f"marked: {mark}" for mark in release.marks)
    yield from (f"statement: {said.says}{f', on {said.where}' if said.where else ''}" for said in release.statements)
    yield from (f"receipt: {path}" for path in release.receipts)


@command('mark --tag v1 --superseded-by v2 --reason "one row was wrong"')
@click.option("--tag", required=True, metavar="TAG", shell_complete=complete("tags"), help="The release.")
@TO
@click.option("--superseded-by", "by", metavar="TAG", help="A later release that takes its place.")
@click.option("--withdrawn", is_flag=True, help="The release should not be used.")
@click.option("--reason", required=True, help="Why; readers see it.")
def mark(shell: Shell, tag: str, stores: tuple[str, ...], by: str | None, withdrawn: bool, reason: str) -> Outcome:
    """Mark a published release as superseded or withdrawn. Nothing is deleted, and the tag stays where it is."""
    from aqea_registry.base.findings import BadConfiguration
    from aqea_registry.releases.publish import mark as operation

    if withdrawn == (by is not None):
        raise BadConfiguration("a mark is one of --withdrawn and --superseded-by TAG", "give one of them")
    specs = shell.stores(stores) or shell.project().params.publish.stores
    done, error = operation(shell.root(), tag, specs, by=by, reason=reason)
    again = " (it was marked so already)"
    lines = [f"{marked.reference} is {marked.status}{'' if marked.written else again}" for marked in done]
    return Outcome((), {"marked": done}, lambda: lines, error)


@command(
    "confirm v1", "confirm hf://datasets/ORG/NAME@v1 --device cuda --add", "confirm v1 --from-nothing again", needs="generation"
)
@click.argument("reference", metavar="STORE-REF", shell_complete=complete("tags"))
@click.option("--from-nothing", "nothing", metavar="DIR", help="Make the project there first; no checkout is needed.")
@SOURCE
@click.option("--fresh", is_flag=True, help="Accepted for old scripts: pair sets are always made again.")
@click.option("--device", metavar="DEVICE", default="cpu", help="Where to make them again, such as cuda (default: cpu).")
@click.option("--add", is_flag=True, help="Put the statement beside the release, too.")
def confirm(
    shell: Shell, reference: str, nothing: str | None, sources: tuple[str, ...], fresh: bool, device: str, add: bool
) -> Outcome:
    """Make a release's pair sets again on this machine and state what came out: the same digests, or how far off they are.

    The checkout must have the release's pins; with --from-nothing it is made of the release. Every sentence is encoded; vectors
    and files that are here are not used, and not changed, but those of a confirmation that was cut off: it goes on. The
    statement is written to manifests/confirmations.
    """
    from aqea_registry.cli.beginning import set_up
    from aqea_registry.embedding.encoder import Settings
    from aqea_registry.releases.confirm import confirm as operation
    from aqea_registry.releases.pull import from_nothing
    from aqea_registry.stores.open_store import open_tagged

    project, notes = None if nothing else shell.project(), tuple[str, ...]()
    start = project.root if project else shell.directory
    store, tagged = open_tagged(shell.meant(reference, path=False, start=start), start)
    if project is None:
        target = shell.directory / (nothing or "")
        project = from_nothing(store, tagged, target, given(shell, sources), shell.report)
        notes = set_up(target)
    done = operation(project, store, tagged, shell.report, Settings(device=device), add=add)

    def show() -> Iterator[str]:
        yield from (f"note: {note}" for note in notes)
        for key, verdict in done.verdicts.items():
            echo(f"{key}: {paint(verdict)}")
        yield from (f"not confirmed: {remark}" for remark in done.given)
        yield f"{plural(done.encoded, 'sentence')} encoded on {'; on '.join(done.machines)}"
        yield f"{Path(nothing or '') / done.path}{f', and beside {reference}' if done.added else ''}"

    return Outcome((), done, show, status=int("DIVERGED" in done.verdicts.values()))
