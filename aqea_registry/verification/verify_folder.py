"""Check a folder: against the list of digests in it, or against what the Hub's client keeps of its downloads.

    models--ORG--NAME/          blobs/ETAG, snapshots/COMMIT/PATH (links to blobs), trees/COMMIT.json
    a folder of --local-dir     PATH, .cache/huggingface/download/PATH.metadata, .cache/huggingface/trees/COMMIT.json

An etag is the sha256 of a large file and the Git blob id (SHA-1) of any other. The listing of a commit in `trees`, which
huggingface_hub 2 keeps, names the same of each file. They are the Hub's words, kept on this disk: nobody has signed them.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from aqea_registry.base.files import PART, FileDigest, Limit, open_regular, read_small, wrong_content
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.base.sha256_list import MANIFEST, PAYLOAD, SIGNATURES, SIZES, TAGS
from aqea_registry.base.strict import decode_json
from aqea_registry.verification.verify_list import CheckedList, hash_listed, read_findings, verify_list

LIST_NAMES = (
    *("MANIFEST.sha256", MANIFEST, "SHA256SUMS", "SHA256SUMS.txt", "sha256sums.txt", "sha256sum.txt", "checksums.txt"),
    *("SHASUMS256.txt", "SHA256SUMS.asc", "SHASUMS256.txt.asc"),  # the last two signed in clear, where nothing else is there
    PAYLOAD,
)
PAGE = "README.md"  # people put one beside a list, as they do with signatures; they are named in notes
RECORD = "release.json"  # what stores keep beside a release's files
# What programs are known to leave beside files, folders first: counted, not looked at. docs/findings.md has the same list.
LEFT_FOLDERS = (".git", ".cache/huggingface", ".aqea-incoming")
LEFT_FILES = (".gitattributes", ".gitignore", ".DS_Store", "Thumbs.db", "desktop.ini")
LEFT_BY_PROGRAMS = (*LEFT_FOLDERS, *LEFT_FILES, ".NAME.PID-RANDOM.part")
LOCAL = ".cache/huggingface"
CACHE_FOLDERS = {"blobs", "snapshots", "trees", "refs", ".no_exist"}  # of a repository
LARGEST_TREE = 1 << 28  # bytes
_REPOSITORY = re.compile(r"(model|dataset|space|kernel)s--.+")


def verify_folder(folder: Path, report: Reporter) -> CheckedList:
    """Check a folder against its list, as a download of a release, or as one of the Hub's client.

    What nothing lists is a finding, a page a note. Raises CannotCheck for files of which the Hub's client kept no digest.
    """
    # What is not a file under the name of a list is refused when it is read.
    lists = (name for name in LIST_NAMES if (folder / name).exists() and not (folder / name).is_dir())
    name, downloaded = next(lists, None), (folder / RECORD).is_file()
    if name is None and not downloaded:
        if roots := [*_places(folder.resolve())]:
            return _verify_hub(folder, roots, report)
        way = "oci:DIR:TAG" if (folder / "oci-layout").is_file() else "LIST --root DIR"
        raise BadConfiguration(f"{folder} has no list of digests ({', '.join(LIST_NAMES)})", f"aqea-registry verify {way}")
    tags = [folder / TAGS] if name == PAYLOAD and (folder / TAGS).is_file() else []
    listing = verify_list(folder / name, folder, report, *tags) if name else CheckedList(target=RECORD)
    known = {name, SIZES} if name == MANIFEST else {name}
    there = frozenset(present(folder, ("",)))
    if downloaded or any("--" in path for path in there):
        from aqea_registry.verification.verify_release import verify_download

        listing, more = verify_download(folder, listing, there, report)
        known |= more
    known |= {*listing.digests, *(finding.subject for finding in listing.findings)}
    beside = {PAGE, *(f"{name}{ending}" for ending in SIGNATURES)} & (there - known)
    extra, notes = surplus(there, {*known, *beside})
    notes += [f"{path} is not in the list: it was not checked" for path in sorted(beside)]
    if name == PAYLOAD and (free := [finding.subject for finding in extra if not finding.subject.startswith("data/")]):
        extra = [finding for finding in extra if finding.subject not in free]
        notes.append(f"a bag need not list what is not in data/; not checked: {', '.join(free)}")
    findings, notes = [*listing.findings, *extra], [*listing.notes, *notes]
    return msgspec.structs.replace(listing, target=str(folder), findings=tuple(findings), notes=tuple(notes))


def surplus(
    there: Iterable[str], known: Collection[str | None], why: str = "the manifest does not list it"
) -> tuple[list[Finding], list[str]]:
    """Of the files that are there, those that are not known: findings, and a note that counts what programs leave."""
    findings, left = list[Finding](), Counter[str]()
    for path in sorted(set(there).difference(known)):
        framed = f"/{path}/"
        kind = next((name for name in LEFT_FOLDERS if f"/{name}/" in framed), None)
        kind = kind or next((name for name in LEFT_FILES if framed.endswith(f"/{name}/")), None)
        kind = LEFT_BY_PROGRAMS[-1] if PART.fullmatch(path.rpartition("/")[2]) else kind
        if kind is None:
            findings.append(Finding("unexpected", path, f"the file exists and {why}"))
        else:
            left[kind] += 1
    counts = ", ".join(f"{count} {kind}" for kind, count in left.items())
    return findings, [
        f"not looked at: {plural(left.total(), 'file')} that programs leave beside others: {counts}"
    ] if left else []


def present(root: Path, folders: Iterable[str]) -> Iterator[str]:
    """Every file in these folders, and what is not walked into: links to folders, and what cannot be opened."""
    for folder in folders:
        unreadable = list[OSError]()
        for at, below, names in os.walk(root / folder, onerror=unreadable.append):
            inner = Path(at).relative_to(root)
            links = [name for name in below if Path(at, name).is_symlink()]
            yield from (os.path.normpath(f"{inner}/{name}") for name in (*names, *links))
        yield from (os.path.relpath(error.filename, root) for error in unreadable if not isinstance(error, FileNotFoundError))


class Kept(NamedTuple):
    """A downloaded file: what findings call it, where its bytes lie below the root, and the etag that the client kept."""

    subject: str
    at: str
    etag: str | None


class _Entry(msgspec.Struct, frozen=True):
    blob_id: str
    lfs_sha256: str | None = None


def _verify_hub(folder: Path, roots: Iterable[tuple[Path, Iterator[Kept | Finding | str]]], report: Reporter) -> CheckedList:
    findings, notes, unchecked, files, size = list[Finding](), list[str](), list[str](), 0, 0
    for root, entries in roots:
        items = [*entries]
        kept = [item for item in items if isinstance(item, Kept)]
        digests, errors, _ = hash_listed(root, {file.at for file in kept}, report)
        findings += [item for item in items if isinstance(item, Finding)]
        findings += read_findings(folder, {file.subject: errors[file.at] for file in kept if file.at in errors})
        there = [file for file in kept if file.at in digests]
        findings += [finding for file in there for finding in _findings(root, file, digests[file.at])]
        unchecked += [file.subject for file in there if file.etag is None]
        by_sha256, by_git = (sum(len(file.etag or "") == length for file in there) for length in (64, 40))
        notes += [item for item in items if isinstance(item, str)]
        notes += [f"{plural(by_sha256, 'file')} checked by sha256, {by_git} by Git blob id (SHA-1)"]
        files, size = files + by_sha256 + by_git, size + sum(digest.size for digest in digests.values())
    lacking = f"the Hub's client kept no digest of {len(unchecked)} files{f', first {unchecked[0]}' if unchecked else ''}"
    if not findings and (unchecked or not files):
        raise CannotCheck(f"{folder}: {lacking}; {files} others are as they were", "download them again: hf download")
    notes += [f"not checked: {lacking}"] if unchecked else []
    return CheckedList(target=str(folder), files=files, bytes=size, findings=tuple(findings), notes=tuple(notes))


def _findings(root: Path, file: Kept, digest: FileDigest) -> Iterator[Finding]:
    actual = digest.sha256
    if file.etag is not None and len(file.etag) == 40:
        with open_regular(root / file.at) as content:
            start = hashlib.sha1(b"blob %d\0" % digest.size, usedforsecurity=False)
            actual = hashlib.file_digest(content, lambda: start).hexdigest()
    if file.etag not in (None, actual):
        yield Finding("mismatch", file.subject, "the bytes are not those that the Hub named", file.etag, actual)
        if cause := wrong_content(root / file.at, file.subject):
            yield cause


def _places(folder: Path) -> Iterator[tuple[Path, Iterator[Kept | Finding | str]]]:
    """Each repository of a cache, or the folder itself: the root of what was downloaded, and what is known of it."""
    if folder.parent.name == "snapshots" and _REPOSITORY.fullmatch(folder.parent.parent.name):
        yield folder.parent.parent, _cached(folder.parent.parent, folder, [folder.name])
        return
    for repository in [folder, *sorted([*folder.glob("*--*"), *folder.glob("hub/*--*")])]:
        if _REPOSITORY.fullmatch(repository.name) and (repository / "snapshots").is_dir():
            yield repository, _cached(repository, folder, sorted(path.name for path in (repository / "snapshots").iterdir()))
    if (folder / LOCAL / "download").is_dir():
        yield folder, _local(folder)


def _cached(root: Path, target: Path, commits: Iterable[str]) -> Iterator[Kept | Finding | str]:
    """Snapshots of a repository in a cache; of the whole repository also the blobs that none of them links to."""
    loose = set() if target.parent.name == "snapshots" else {f"blobs/{path}" for path in present(root / "blobs", ("",))}
    for commit in commits:
        tree, wrong = _tree(root / "trees" / f"{commit}.json")
        yield from wrong
        there = sorted(present(root / "snapshots" / commit, ("",)))
        for path in there:
            at, link = f"snapshots/{commit}/{path}", root / "snapshots" / commit / path
            blob = os.path.normpath(f"{at}/../{link.readlink()}") if link.is_symlink() else at
            subject, named = os.path.relpath(link, target), _etag(blob.removeprefix("blobs/"))
            yield Kept(subject, blob if named else at, tree.get(path) or named)
            loose.discard(blob)
            if tree and path not in tree:
                yield Finding("unexpected", subject, "the commit has no such file")
        absent = len(tree.keys() - {*there})
        more = f"; {absent} others were not downloaded" if absent else ""
        repository = root.name.replace("--", " ", 1).replace("--", "/")
        yield f"read as the Hub cache of {repository} at {commit}: {len(there)} files{more}"
    unfinished = {at for at in loose if at.endswith(".incomplete")}
    for at in sorted(loose - unfinished):
        yield Kept(os.path.relpath(root / at, target), at, _etag(at.removeprefix("blobs/")))
    if unfinished:
        yield f"not looked at: {plural(len(unfinished), 'unfinished download')}"
    others = sorted({path.name for path in root.iterdir()} - CACHE_FOLDERS) if target.parent.name != "snapshots" else []
    if others:
        yield f"not looked at: {', '.join(others[:5])} beside them; the client writes no such file or folder"


def _local(root: Path) -> Iterator[Kept | Finding | str]:
    """A folder that files were downloaded to, with a record of each."""
    trees, known = dict[str, dict[str, str]](), set[str]()
    for record in sorted((root / LOCAL / "download").rglob("*.metadata")):
        path = record.relative_to(root / LOCAL / "download").as_posix().removesuffix(".metadata")
        try:
            commit, etag, *_ = read_small(record, Limit.SETTINGS).decode().split("\n")
        except (OSError, ValueError) as error:
            yield Finding("malformed", record.relative_to(root).as_posix(), f"not the client's record: {error}")
            commit = etag = ""
        if commit not in trees and re.fullmatch("[0-9a-f]{40}", commit):
            trees[commit], wrong = _tree(root / LOCAL / "trees" / f"{commit}.json")
            yield from wrong
        yield Kept(path, path, trees.get(commit, {}).get(path) or _etag(etag))
        known.add(path)
    there = (path for path in present(root, ("",)) if not path.startswith(f"{LOCAL}/"))
    extra, notes = surplus(there, known, "the Hub's client has no record of it")
    at = ", ".join(sorted(trees)) or "an unknown commit"
    yield f"read as a folder that the Hub's client downloaded to, at {at}: {plural(len(known), 'file')}"
    yield from extra
    yield from notes


def _tree(path: Path) -> tuple[dict[str, str], list[Finding]]:
    """The etags of a commit's files, if the client kept its listing and it can be read, and what is wrong with it."""
    try:
        tree = decode_json(read_small(path, LARGEST_TREE), dict[str, int | dict[str, _Entry]])
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError) as error:
        return {}, [Finding("malformed", f"trees/{path.name}", f"not the client's listing of a commit: {error}")]
    files = tree.get("files") if tree.get("format_version") == 1 else None
    named = {path: entry.lfs_sha256 or entry.blob_id for path, entry in files.items()} if isinstance(files, dict) else {}
    return {path: etag for path, etag in named.items() if _etag(etag)}, []


def _etag(text: str) -> str | None:
    return text if re.fullmatch("[0-9a-f]{40}([0-9a-f]{24})?", text) else None
