"""Check releases where they lie: the manifest against its digest, every file by the digest that the store itself reports.

A folder as the Hub's client or GitHub's page gives it is checked against the release's record, release.json, as well as its
list. On GitHub a file is an asset with `--` for `/`, or several parts, and `SHA256SUMS` lists the assets. On the Hub the
attachments of all releases lie beside the newest.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePath

from aqea_registry.attestations.made import judge_statements
from aqea_registry.attestations.statement import NAME as STATEMENT
from aqea_registry.base.files import LARGEST_TEXT, Limit, UnsafePath, hash_file, inside, read_small, read_stream
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, Refused
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.base.recognise import why_other
from aqea_registry.base.references import asset_name, join_reference
from aqea_registry.base.sha256_list import parse_list
from aqea_registry.base.strict import convert, load_json
from aqea_registry.project.project import Project
from aqea_registry.stores.attachments import NAME as STATUS
from aqea_registry.stores.attachments import current
from aqea_registry.stores.github_assets import PARTS, SUMS, Parts
from aqea_registry.stores.oci_layout import Layout
from aqea_registry.stores.open_store import open_store
from aqea_registry.stores.port import Store, Tagged
from aqea_registry.stores.receipts import Receipt, StoreReceipt, all_receipts
from aqea_registry.stores.release import RECORD, Descriptor, NotARelease, Release, StoredFile, compare_with_store, parse
from aqea_registry.verification.verify_list import CheckedList, Verified, digest_findings, hash_listed, read_findings


class CheckedRelease(Verified, frozen=True, kw_only=True):
    """A release in a store, or all that the receipts of a project name. `held` is what each store has, by STORE-REF."""

    held: dict[str, tuple[StoredFile, ...]]


def verify_receipts(project: Project, report: Reporter, *, deep: bool = False) -> tuple[CheckedRelease, CannotCheck | None]:
    """Check every store against every receipt of the project. The error is that of a store that could not be asked, if any."""
    checked, silent = list[CheckedRelease](), list[CannotCheck]()
    receipts, findings = all_receipts(project.root, project.params.publish.stores)
    for subject, receipt in receipts:
        for spec, entry in receipt.stores.items():
            try:
                store = open_store(spec, project.root)
                tagged = store.find(receipt.tag)
                findings += _receipt_findings(subject, receipt, entry, store, tagged)
                if tagged is not None and tagged.digest == receipt.digest:
                    checked.append(verify_tagged(store, tagged, report, deep))
            except Refused as error:
                findings += error.findings
            except BadConfiguration as error:  # no store has such a name
                findings.append(Finding("malformed", subject, error.message))
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


def verify_tagged(store: Store, tagged: Tagged, report: Reporter, deep: bool) -> CheckedRelease:
    """Check a release in a store, `deep` by hashing what it holds. Raises Refused, CannotCheck."""
    reference = join_reference(store.spec, tagged.tag)
    files, findings = list[StoredFile](), list[Finding]()
    try:
        release = store.release(tagged)
        findings, counted = store.look(tagged) if isinstance(store, Layout) else ([], [])
        with report.task(f"verify {reference}", release.size(), "bytes") as advance:
            files += store.stored(tagged, release, deep, advance)
        attachments = store.attachments(tagged)
    except (Refused, CannotCheck) as error:
        if not (findings or error.findings):
            raise
        findings += error.findings
        return CheckedRelease(target=reference, files=len(files), findings=tuple(findings), held={})
    mark = current(attachments, tagged.digest)
    wrong, stated = judge_statements(attachments, release, reference)
    notes = [f"{tagged.tag} is {tagged.digest}", *([f"{reference} is {mark.text()}"] if mark else [])]
    notes += [f"left out of {reference}, and not checked: {path}, {layer.digest}" for path, layer in release.left_out().items()]
    found = (*compare_with_store(reference, release, files, partial(_why, store, tagged)), *findings, *wrong)
    said, held = (*notes, *stated, *counted), {reference: tuple(files)}
    return CheckedRelease(
        target=reference, files=len(release.layers), bytes=release.size(), findings=found, notes=said, held=held
    )


def _why(store: Store, tagged: Tagged, file: StoredFile, layer: Descriptor) -> str:
    """What proves why a store on this machine has other bytes, as the end of a sentence; nothing is fetched for it."""
    if file.how != "hashed" or file.digest is None:
        return ""
    with store.open(tagged, file.path, layer, 0) as incoming:
        content = read_stream(incoming, LARGEST_TEXT)
    actual = (file.digest.removeprefix("sha256:"), file.size or 0)
    why = why_other(content if len(content) <= LARGEST_TEXT else b"", actual, layer.digest.removeprefix("sha256:"))
    return f": {why}" if why else ""


def _receipt_findings(
    subject: str, receipt: Receipt, entry: StoreReceipt, store: Store, tagged: Tagged | None
) -> Iterator[Finding]:
    """Where a receipt says otherwise than the store that gave it: the tag; if that is right, files, sizes, names and ids."""
    spec, name, tag = store.spec, PurePath(subject).stem, join_reference(store.spec, receipt.tag)
    if tagged is None:
        message = "the receipt names a release here, and the store has no such tag: it was deleted"
        yield Finding("release-gone", tag, message, receipt.digest)
    elif tagged.digest != receipt.digest:
        message = "the tag names another release than the receipt says, and a tag is not to move"
        yield Finding("tag-moved", tag, message, receipt.digest, tagged.digest)
    elif tagged.at != entry.at:
        message = "the tag was taken away and set again: the content is the same, its id in the store is not"
        yield Finding("tag-moved", tag, message, entry.at, tagged.at)
    if tagged is None or (tagged.digest, tagged.at) != (receipt.digest, entry.at):
        return
    release = store.release(tagged)
    for path, count in Counter(file.path for file in receipt.files).items():
        if count > 1:
            yield Finding("duplicate", f"{subject}: {path}", "the receipt has the file twice")
    receipted: dict[str, object] = {file.path: f"{file.digest} ({file.size} bytes)" for file in receipt.files}
    stored: dict[str, object] = {path: f"{layer.digest} ({layer.size} bytes)" for path, layer in release.files().items()}
    receipted |= {"tag": receipt.tag, f"{spec}: reference": entry.reference.partition("@sha256:")[0], **_ids(spec, entry.ids)}
    stored |= {"tag": name, f"{spec}: reference": join_reference(spec, name), **_ids(spec, store.ids(tagged, release))}
    for what in sorted({*receipted, *stored}):
        if receipted.get(what) != stored.get(what):
            message = "the receipt says otherwise than the store; restore it from git, or remove it and publish again"
            yield Finding("mismatch", f"{subject}: {what}", message, str(stored.get(what)), str(receipted.get(what)))


def _ids(spec: str, ids: Mapping[str, object]) -> dict[str, object]:
    """The ids of a store, of an address only which repository: HF_ENDPOINT may name a mirror."""
    short = {"repository": "/".join(str(ids["repository"]).split("/")[-2:])} if "repository" in ids else {}
    return {f"{spec}: {key}": value for key, value in {**ids, **short}.items()}


_ATTACHMENT = re.compile(rf"(attachments/[^/]+/|attachment\.)({STATUS.pattern}|{STATEMENT.pattern})")


def verify_download(folder: Path, listing: CheckedList, there: Set[str], report: Reporter) -> tuple[CheckedList, set[str]]:
    """Check what the list did not find under its path, and all that stores add. Returns also which paths those are."""
    texts, errors = _texts(folder, there)
    release, parts, sums, wrong = _parsed(texts)
    findings = [finding for finding in wrong if finding.subject not in listing.listed]  # what it lists may be another program's
    layers = release.files() if release else {}
    at = {path: flat for path in {*listing.listed, *layers}.difference(there) if (flat := asset_name(path)) in there}
    names = {*at.values(), *layers, *sums}.intersection(there).difference(listing.digests)
    hashed, unread, _ = hash_listed(folder, names, report)
    by_name = listing.digests | hashed
    by_path = {path: by_name[name] for path, name in at.items() if name in by_name}
    for path, file in parts.files.items():
        with suppress(OSError, UnsafePath):  # what is not whole is missing
            by_path[path] = hash_file(*(inside(folder, part.name) for part in file.parts))
    digests = by_name | by_path

    findings += [finding for finding in listing.findings if finding.code != "missing" or finding.subject not in by_path]
    findings += [*read_findings(folder, errors | unread), *digest_findings(folder, listing.listed, by_path)]
    reported = {finding.subject for finding in findings}
    reported |= {asset_name(subject) for subject in reported}
    findings += [finding for finding in digest_findings(folder, sums, by_name) if finding.subject not in reported]
    extra = {*texts, *(part.name for file in parts.files.values() for part in file.parts)}
    notes = [f"{plural(len(at), 'file lies', 'files lie')} under the names of GitHub's assets"] if at else []
    if release is not None:
        notes.append(f"{RECORD} names the release {release.digest()}")
        stored = list[StoredFile]()
        for path in sorted({*layers} - reported):
            digest, size = (f"sha256:{digests[path].sha256}", digests[path].size) if path in digests else (None, None)
            stored.append(StoredFile(path=path, how="hashed" if digest else "not there", digest=digest, size=size))
        findings += compare_with_store(RECORD, release, stored)
        beyond = {*listing.listed, *sums}.difference(layers, map(asset_name, layers), extra)
        findings += [Finding("unexpected", path, f"the list names it, and {RECORD} does not") for path in sorted(beyond)]
        _judge_attachments(texts, release, findings, notes)
    own = [digest for path, digest in digests.items() if path not in at]
    size, found, said = sum(digest.size for digest in own), tuple(dict.fromkeys(findings)), (*listing.notes, *notes)
    checked = CheckedList(target=listing.target, files=len(own), bytes=size, findings=found, notes=said, digests=digests)
    return checked, {*extra, *sums, *by_name, *errors}


def _texts(folder: Path, there: Set[str]) -> tuple[dict[str, bytes], dict[str, OSError | UnsafePath]]:
    """The small files that stores add to a release, and which of them cannot be read."""
    texts, errors = dict[str, bytes](), dict[str, OSError | UnsafePath]()
    attachments = filter(_ATTACHMENT.fullmatch, there) if RECORD in there else ()
    for path in sorted(there & {RECORD, PARTS, SUMS} | {*attachments}):
        try:
            texts[path] = read_small(inside(folder, path), Limit.STATEMENT)
        except (OSError, UnsafePath) as error:
            errors[path] = error
    return texts, errors


def _parsed(texts: Mapping[str, bytes]) -> tuple[Release | None, Parts, dict[str, str], list[Finding]]:
    """The record, the files in parts and the digests of assets, as far as they are there, and what is wrong with them."""
    release, parts, findings = None, Parts(), list[Finding]()
    try:
        release = parse(texts[RECORD]) if RECORD in texts else None
    except NotARelease as error:
        findings.append(Finding("malformed", RECORD, f"not a release: {error}"))
    try:
        parts = convert(load_json(texts[PARTS], PARTS), Parts, PARTS) if PARTS in texts else parts
        names = [part.name for file in parts.files.values() for part in file.parts]
        if len({*names}) < len(names):  # or a small file could make us read a large one many times
            parts = Parts()
            findings.append(Finding("malformed", PARTS, "a part is named twice"))
    except BadConfiguration as error:
        findings.append(Finding("malformed", PARTS, error.message))
    sums = parse_list(texts[SUMS], SUMS) if SUMS in texts else None
    findings += sums.findings if sums else []
    return release, parts, sums.entries if sums else {}, findings


def _judge_attachments(texts: Mapping[str, bytes], release: Release, findings: list[Finding], notes: list[str]) -> None:
    """Add what the documents beside this release say and what is wrong with them; those beside others are counted."""
    beside, others = dict[str, dict[str, bytes]](), 0
    for match in filter(None, map(_ATTACHMENT.fullmatch, texts)):
        beside.setdefault(match[1], {})[match[2]] = texts[match[0]]
    for folder, documents in beside.items():
        if not any(release.digest()[7:].encode() in content for content in documents.values()):
            others += len(documents)
            continue
        wrong, stated = judge_statements(documents, release, folder)
        mark = current(documents, release.digest())
        findings += wrong
        notes += [*([f"the release is {mark.text()}"] if mark else []), *stated]
    notes += [f"not looked at: {plural(others, 'document')} beside other releases"] if others else []
