"""The verbs publish, mark and releases: put a verified run into stores under a tag that this program never moves.

All stores are asked before the first byte is sent to any; then each takes the release, is read back, and gets its receipt.
A mark says that a published release is superseded or withdrawn; nothing of it is deleted, and its tag stays. Which releases
stores have, and what one of them is, is asked without fetching their files.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from aqea_registry.attestations.made import Beside, attach_statements, list_statements
from aqea_registry.base.findings import (
    BadConfiguration,
    CannotCheck,
    Finding,
    Refused,
    RegistryError,
    TagConflict,
    most_severe,
    stopped,
)
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.base.references import TAG, is_folder, join_reference
from aqea_registry.comparison.trees import Contents, natural, release_notes
from aqea_registry.project.project import Project, RunRecord
from aqea_registry.releases.package import MakeLists, Package, as_released, assemble
from aqea_registry.stores import receipts
from aqea_registry.stores.attachments import Status, current, marks, next_name
from aqea_registry.stores.github_assets import SUMS
from aqea_registry.stores.open_store import find, open_store
from aqea_registry.stores.port import OtherContent, Store, Tagged, tag_conflict
from aqea_registry.stores.receipts import Receipt, ReceiptFile, StoreReceipt
from aqea_registry.stores.release import LARGEST_MANIFEST, LIST, Release, compare_with_store


class StoreResult(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, or would happen, at one store. `new` and `bytes` are sent, `reused` blobs are there already."""

    store: str
    reference: str
    state: Literal["published", "unchanged", "repaired", "planned", "failed"]
    new: int = 0
    bytes: int = 0
    reused: int = 0
    receipt: str | None = None
    receipt_written: bool = False
    reason: str | None = None


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """One release and where it is now."""

    tag: str
    digest: str
    files: int
    bytes: int
    puts: tuple[StoreResult, ...]


class _Target(NamedTuple):
    """A store, what is to be sent there or why it could not be asked, and whether it has the tag."""

    store: Store
    planned: StoreResult | CannotCheck
    has_tag: bool = False


def publish(
    project: Project, tag: str, specs: Sequence[str], report: Reporter, make_lists: MakeLists, *, dry_run: bool = False
) -> tuple[Published, RegistryError | None]:
    """Verify, build the release, put it into each store, read it back, and write its receipt last; and the worst error.

    Raises Refused if verification has findings, TagConflict if a tag names another release, NotAllowed if a store would not
    take it; then nothing was sent anywhere. A store that fails later, or cannot be reached, does not stop the others.
    """
    if not TAG.fullmatch(tag):
        message = f"{tag!r} is not a tag: letters, digits, '.', '_', '-', at most 128, first a letter, digit or '_'"
        raise BadConfiguration(message, "such as: --tag v1")
    if not specs:
        raise BadConfiguration("no store is named: add one under publish.stores in params.yaml, or use --to oci:DIR")
    stores = [open_store(spec, project.root) for spec in dict.fromkeys(specs)]
    package = assemble(project, report, make_lists)
    if (size := package.release.descriptor().size) > LARGEST_MANIFEST:
        files = plural(len(package.release.layers), "file")
        message = f"the manifest of {files} has {size} bytes, and stores and readers take {LARGEST_MANIFEST}"
        raise BadConfiguration(message, "name fewer pair sets in the run of params.yaml, and make several releases")
    package, targets = _planned(package, tag, stores, project.root, project.params.publish.stores, report)
    release, contents = package.release, package.contents()
    for words in _marked(release.digest(), stores, project.root):
        report.warn(words)
    results, errors = list[StoreResult](), list[RegistryError]()
    for target in targets:
        try:
            if isinstance(target.planned, CannotCheck):
                raise target.planned
            put = target.planned if dry_run else _put(target, target.planned, tag, package, contents, project.run, report)
            results.append(put)
        except (RegistryError, OSError) as error:
            errors.append(stopped(error))
            spec, reference = target.store.spec, join_reference(target.store.spec, tag)
            results.append(StoreResult(store=spec, reference=reference, state="failed", reason=errors[-1].message))
    done = Published(tag=tag, digest=release.digest(), files=len(release.layers), bytes=release.size(), puts=tuple(results))
    return done, most_severe(errors)


def _planned(
    package: Package, tag: str, stores: Sequence[Store], root: Path, usual: Sequence[str], report: Reporter
) -> tuple[Package, list[_Target]]:
    """What to publish, and what each store lacks of it: what the tag names already, here or in the stores of its receipts.

    That is looked for only where the tag is known to name something else than the package. Raises what `_plan` raises.
    """
    # One that cannot be read stops its own tag alone, where `_plan` reads it.
    known = [receipt for _, receipt in receipts.all_receipts(root, usual)[0] if receipt.tag == tag]
    if all(receipt.digest == package.release.digest() for receipt in known):
        with suppress(TagConflict):
            return package, [_plan(store, tag, package.release, root) for store in stores]
    opened = {store.spec: store for store in stores}
    for spec in dict.fromkeys([*opened, *(spec for receipt in known for spec in receipt.stores)]):
        with suppress(RegistryError):  # one that is published to is asked again, and it is said what is wrong
            store = opened.get(spec) or open_store(spec, root)
            tagged = store.find(tag)
            released = as_released(package, store, tagged) if tagged is not None else None
            if released is not None:
                if released is not package:
                    report.warn(f"{tag} exists already, of this run: its card and page stay as they are in {spec}")
                package = released
                break
    return package, [_plan(store, tag, package.release, root) for store in stores]


def _marked(digest: str, stores: Sequence[Store], root: Path) -> Iterator[str]:
    """What is said of the same bytes in these stores, under the tags of receipts."""
    for store in stores:
        known = {receipt.tag for _, receipt in receipts.all_receipts(root, (store.spec,))[0] if receipt.digest == digest}
        with suppress(RegistryError):  # it is only a remark
            marks_of = {tag: current(store.attachments(at), digest) for tag in sorted(known) if (at := store.find(tag))}
            yield from (
                f"{store.spec}:{tag} has the same bytes, and is {mark.text()}" for tag, mark in marks_of.items() if mark
            )


def _plan(store: Store, tag: str, release: Release, root: Path) -> _Target:
    """Ask a store what it has. Raises TagConflict if the tag names another release there, or in a committed receipt."""
    path = receipts.receipt_path(root, store.spec, tag)
    known = None if is_folder(store.spec) else receipts.read(path)  # what is committed holds for a new store, too
    if known is not None and known.digest != release.digest():
        raise tag_conflict(store.spec, tag, known.digest, release, f"{receipts.shown(root, path)} says that it is")
    try:
        plan = store.plan(tag, release)
    except CannotCheck as error:  # others may be reached; this one can be done later
        return _Target(store, error)
    planned = StoreResult(
        store=store.spec,
        reference=join_reference(store.spec, tag, release.digest()),
        state="unchanged" if plan.complete else "planned",
        new=len(plan.new),
        bytes=sum(blob.size for blob in plan.new),
        reused=len({layer.digest for layer in release.layers} - {blob.digest for blob in plan.new}),
    )
    return _Target(store, planned, plan.existing is not None)


def _put(
    target: _Target, planned: StoreResult, tag: str, package: Package, contents: Contents, run: RunRecord, report: Reporter
) -> StoreResult:
    """Push the release into a store, read it back, attach the statements, and write the receipt."""
    store, unchanged = target.store, planned.state == "unchanged"
    release = package.release
    path = receipts.receipt_path(run.root, store.spec, tag)
    known, shown = receipts.read(path), receipts.shown(run.root, path)
    if unchanged and known is not None and known.digest == release.digest() and store.spec in known.stores:
        return msgspec.structs.replace(planned, receipt=shown)
    listed = SUMS if store.spec.startswith("github://") else LIST
    notes = "" if unchanged else release_notes(store, tag, contents, listed)
    with report.task(f"publish to {store.spec}", planned.bytes, "bytes") as advance:
        ids = store.push(tag, release, package.content, notes, advance)  # if all is there: only the ids, for a lost receipt
    tagged = _read_back(store, tag, release, report)
    try:
        attach_statements(run.root, run.made.values(), store, tagged, release.subjects())
    except RegistryError as error:  # the release is there and was read back; statements on it can be added later
        report.warn(f"{store.spec}: the statements on how it was made could not be put beside the release: {error.message}")
    entry = StoreReceipt(reference=planned.reference, at=tagged.at, ids=ids)
    written = receipts.write(run.root, store.spec, tag, release, entry)
    state = "unchanged" if unchanged else "repaired" if target.has_tag else "published"
    return msgspec.structs.replace(planned, state=state, receipt=shown, receipt_written=written)


def _read_back(store: Store, tag: str, release: Release, report: Reporter) -> Tagged:
    """Ask the store for the tag and every digest; return what the tag names there."""
    tagged = find(store, tag)
    if tagged.digest != release.digest():
        raise tag_conflict(store.spec, tag, tagged.digest, release, "somebody else published")
    with report.task(f"read back {store.spec}", release.size(), "bytes") as advance:
        stored = store.stored(tagged, store.release(tagged), False, advance)
        findings = compare_with_store(join_reference(store.spec, tag), release, stored)
    if findings:
        raise Refused(f"{store.spec} does not give back what was written: {findings[0].subject}", findings, "publish it again")
    return tagged


class Marked(msgspec.Struct, frozen=True, kw_only=True):
    """One store's release and its mark; whether it was written now."""

    reference: str
    digest: str
    status: str
    written: bool


def mark(
    root: Path, tag: str, specs: Sequence[str], *, by: str | None, reason: str
) -> tuple[list[Marked], RegistryError | None]:
    """Mark a release in each store: superseded `by` another tag, else withdrawn; and the worst error of those that failed.

    Raises CannotCheck where a store lacks that tag or cannot be reached; then nothing was written anywhere.
    """
    if not reason.strip():
        raise BadConfiguration("a mark needs a reason", "say it: --reason '...'")
    if by == tag:
        raise BadConfiguration(f"{tag} cannot be superseded by itself")
    stores = [open_store(spec, root) for spec in dict.fromkeys(specs)]
    releases = [(store, find(store, tag)) for store in stores]
    for store in stores if by is not None else []:
        find(store, by or "")
    done, errors = list[Marked](), list[RegistryError]()
    for store, tagged in releases:
        status = Status(digest=tagged.digest, state="superseded" if by else "withdrawn", reason=reason.strip(), by=by)
        try:
            attached = store.attachments(tagged)
            new = current(attached, tagged.digest) != status
            known = (name for name, content in attached.items() if content == status.render())
            if (name := next_name(attached) if new else next(known, None)) is not None:
                store.attach(tagged, name, status.render())  # again, it changes nothing, and is listed if that was lost
            reference = join_reference(store.spec, tag, tagged.digest)
            done.append(Marked(reference=reference, digest=tagged.digest, status=status.text(), written=new))
        except (RegistryError, OSError) as error:
            errors.append(stopped(error))
    return done, most_severe(errors)


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A release in a store: its STORE-REF, which demands its digest; its files; marks and statements beside it, the last last.

    `receipts` are the files of the project that say it was published there.
    """

    reference: str
    digest: str
    bytes: int
    files: tuple[ReceiptFile, ...]
    marks: tuple[str, ...]
    statements: tuple[Beside, ...]
    receipts: tuple[str, ...]


def list_releases(root: Path, specs: Sequence[str]) -> tuple[list[Listed], list[Finding], CannotCheck | None]:
    """The releases of these stores, the newest tags first; tags that cannot be read; and the first store that was silent."""
    releases, findings, silent = list[Listed](), list[Finding](), list[CannotCheck]()
    for spec in dict.fromkeys(specs):
        try:
            store = open_store(spec, root)
            known, wrong = receipts.all_receipts(root, (store.spec,))
            findings += [finding for finding in wrong if finding not in findings]  # of committed ones once for all stores
            for tag in sorted(store.tags(), key=natural, reverse=True):
                try:
                    releases.append(_listed(store, find(store, tag), known))
                except OtherContent:  # a tag of somebody else
                    continue
                except Refused as error:
                    findings += error.findings
        except CannotCheck as error:
            silent.append(error)
    return releases, findings, silent[0] if silent else None


def show_release(root: Path, store: Store, tagged: Tagged) -> tuple[Listed, list[Finding]]:
    """One release, and receipts that cannot be read."""
    known, wrong = receipts.all_receipts(root, (store.spec,))
    return _listed(store, tagged, known), wrong


def _listed(store: Store, tagged: Tagged, known: Sequence[tuple[str, Receipt]]) -> Listed:
    release, attached = store.release(tagged), store.attachments(tagged)
    return Listed(
        reference=join_reference(store.spec, tagged.tag, tagged.digest),
        digest=tagged.digest,
        bytes=release.size(),
        files=receipts.receipt(tagged.tag, release, {}).files,
        marks=tuple(status.text() for status in marks(attached, tagged.digest)),
        statements=tuple(list_statements(attached)),
        receipts=tuple(path for path, receipt in known if receipt.digest == tagged.digest and store.spec in receipt.stores),
    )
