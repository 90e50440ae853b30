"""Check releases where they lie: the manifest against its digest, every file by the digest that the store itself reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import PurePath

from aqea_registry.attestations.made import judge_statements
from aqea_registry.base.files import LARGEST_TEXT, read_stream
from aqea_registry.base.findings import CannotCheck, Finding, Refused
from aqea_registry.base.progress import Reporter
from aqea_registry.base.recognise import why_other
from aqea_registry.base.references import join_reference
from aqea_registry.project.project import Project
from aqea_registry.stores.attachments import current
from aqea_registry.stores.oci_layout import Layout
from aqea_registry.stores.open_store import find, open_store
from aqea_registry.stores.port import Store, Tagged
from aqea_registry.stores.receipts import Receipt, StoreReceipt, all_receipts
from aqea_registry.stores.release import Descriptor, StoredFile, compare_with_store
from aqea_registry.verification.verify_list import Verified


class CheckedRelease(Verified, frozen=True, kw_only=True):
    """A release in a store, or all that the receipts of a project name. `held` is what each store has, by STORE-REF."""

    held: dict[str, tuple[StoredFile, ...]]


def verify_release(
    store: Store, tag: str, report: Reporter, *, digest: str | None = None, deep: bool = False
) -> CheckedRelease:
    """Check a release in a store, `deep` by hashing what it holds. Raises CannotCheck, and Refused for another `digest`."""
    return _verify_tagged(store, find(store, tag, digest), report, deep)


def verify_receipts(project: Project, report: Reporter, *, deep: bool = False) -> tuple[CheckedRelease, CannotCheck | None]:
    """Check every store against every receipt of the project. The error is that of a store that could not be asked, if any."""
    checked, findings, silent = list[CheckedRelease](), list[Finding](), list[CannotCheck]()
    for subject, receipt in all_receipts(project.root, project.params.publish.stores):
        for spec, entry in receipt.stores.items():
            try:
                store = open_store(spec, project.root)
                tagged = store.find(receipt.tag)
                findings += _receipt_findings(subject, receipt, entry, store, tagged)
                if tagged is not None and tagged.digest == receipt.digest:
                    checked.append(_verify_tagged(store, tagged, report, deep))
            except Refused as error:
                findings += error.findings
            except CannotCheck as error:
                silent.append(CannotCheck(f"{subject}: {error.message}", error.hint, error.findings))
    notes = [note for release in checked for note in release.notes]
    done = CheckedRelease(
        target=str(project.root),
        files=sum(release.files for release in checked),
        bytes=sum(release.bytes for release in checked),
        findings=(*findings, *(finding for release in checked for finding in release.findings)),
        notes=tuple(notes) if notes or silent or findings else ("there are no receipts: nothing was published from here",),
        held={reference: held for release in checked for reference, held in release.held.items()},
    )
    return done, silent[0] if silent else None


def _verify_tagged(store: Store, tagged: Tagged, report: Reporter, deep: bool) -> CheckedRelease:
    reference = join_reference(store.spec, tagged.tag)
    held, findings = list[StoredFile](), list[Finding]()
    try:
        release = store.release(tagged)
        findings, counted = store.look(tagged) if isinstance(store, Layout) else ([], [])
        with report.task(f"verify {reference}", release.size(), "bytes") as advance:
            held += store.stored(tagged, release, deep, advance)
        attachments = store.attachments(tagged)
    except (Refused, CannotCheck) as error:
        if not (findings or error.findings):
            raise
        findings += error.findings
        return CheckedRelease(target=reference, files=len(held), findings=tuple(findings), held={})
    mark = current(attachments, tagged.digest)
    wrong, said = judge_statements(attachments, release, reference)
    return CheckedRelease(
        target=reference,
        files=len(release.layers),
        bytes=release.size(),
        findings=(*compare_with_store(reference, release, held, partial(_why, store, tagged)), *findings, *wrong),
        notes=(f"{tagged.tag} is {tagged.digest}", *([f"{reference} is {mark.text()}"] if mark else []), *said, *counted),
        held={reference: tuple(held)},
    )


def _why(store: Store, tagged: Tagged, file: StoredFile, layer: Descriptor) -> str:
    """What proves why a store on this machine has other bytes, as the end of a sentence; nothing is fetched for it."""
    if file.how != "hashed" or file.digest is None:
        return ""
    with store.open(tagged, file.path, layer, 0) as incoming:
        content = read_stream(incoming, LARGEST_TEXT)
    found = (file.digest.removeprefix("sha256:"), file.size or 0)
    why = why_other(content if len(content) <= LARGEST_TEXT else b"", found, layer.digest.removeprefix("sha256:"))
    return f": {why}" if why else ""


def _receipt_findings(
    subject: str, receipt: Receipt, entry: StoreReceipt, store: Store, tagged: Tagged | None
) -> Iterator[Finding]:
    """Where a receipt says otherwise than the store that gave it: the tag; if that is right, files, sizes, names and ids."""
    reference = join_reference(store.spec, receipt.tag)
    if tagged is None:
        message = "the receipt names a release here, and the store has no such tag: it was deleted"
        yield Finding("release-gone", reference, message, receipt.digest)
        return
    if tagged.digest != receipt.digest:
        message = "the tag names another release than the receipt says, and a tag never moves"
        yield Finding("tag-moved", reference, message, receipt.digest, tagged.digest)
        return
    if tagged.at != entry.at:
        message = "the tag was taken away and set again: the content is the same, its id in the store is not"
        yield Finding("tag-moved", reference, message, entry.at, tagged.at)
        return
    release, spec, name = store.release(tagged), store.spec, PurePath(subject).stem
    paths = Counter(file.path for file in receipt.files)
    for path in (path for path, count in paths.items() if count > 1):
        yield Finding("duplicate", f"{subject}: {path}", "the receipt has the file twice")
    said: dict[str, object] = {file.path: f"{file.digest} ({file.size} bytes)" for file in receipt.files}
    held: dict[str, object] = {path: f"{layer.digest} ({layer.size} bytes)" for path, layer in release.files().items()}
    said |= {"tag": receipt.tag, f"{spec}: reference": entry.reference.partition("@sha256:")[0], **_ids(spec, entry.ids)}
    held |= {"tag": name, f"{spec}: reference": join_reference(spec, name), **_ids(spec, store.ids(tagged, release))}
    for what in sorted({*said, *held}):
        if said.get(what) != held.get(what):
            message = "the receipt says otherwise than the store; restore it from git, or remove it and publish again"
            yield Finding("mismatch", f"{subject}: {what}", message, str(held.get(what)), str(said.get(what)))


def _ids(spec: str, ids: Mapping[str, object]) -> dict[str, object]:
    """The ids of a store, of an address only which repository: HF_ENDPOINT may name a mirror."""
    short = {"repository": "/".join(str(ids["repository"]).split("/")[-2:])} if "repository" in ids else {}
    return {f"{spec}: {key}": value for key, value in {**ids, **short}.items()}
