"""Check offline what the Hub's client downloaded, against what the client itself keeps beside it.

    models--ORG--NAME/          blobs/ETAG, snapshots/COMMIT/PATH (links to blobs), trees/COMMIT.json
    a folder of --local-dir     PATH, .cache/huggingface/download/PATH.metadata, .cache/huggingface/trees/COMMIT.json

An etag is the sha256 of a large file and the Git blob id (SHA-1) of any other. The listing of a commit in `trees`, which
huggingface_hub 2 keeps, names the same of each file. They are the Hub's words, kept on this disk: nobody has signed them.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from aqea_registry.base.files import FileDigest, open_regular, read_small, wrong_content
from aqea_registry.base.findings import CannotCheck, Finding
from aqea_registry.base.progress import Reporter
from aqea_registry.verification.verify_folder import RECORD, list_in, present, surplus
from aqea_registry.verification.verify_list import CheckedList, hash_listed, read_findings

LOCAL = ".cache/huggingface"
LARGEST_TREE, LARGEST_RECORD = 1 << 28, 1 << 20  # bytes
_REPOSITORY = re.compile(r"(model|dataset|space|kernel)s--.+")


class Kept(NamedTuple):
    """A downloaded file: what findings call it, where its bytes lie below the root, and the etag that the client kept."""

    subject: str
    at: str
    etag: str | None


class _Entry(msgspec.Struct, frozen=True):
    blob_id: str
    lfs_sha256: str | None = None


def verify_hub(folder: Path, report: Reporter) -> CheckedList | None:
    """Check a Hub cache, a repository or a snapshot in one, or a folder of `hf download --local-dir`.

    None for any other folder, and for a release, whose own list says more. Raises CannotCheck if nothing is wrong and the
    client kept no digest of some file.
    """
    if list_in(folder) or (folder / RECORD).is_file() or not (places := [*_places(folder.resolve())]):
        return None
    findings, notes, unchecked, files, size = list[Finding](), list[str](), list[str](), 0, 0
    for root, found in places:
        items = [*found]
        kept = {item: item.at for item in items if isinstance(item, Kept)}
        digests, errors, _ = hash_listed(root, kept.values(), report)
        findings += [item for item in items if isinstance(item, Finding)]
        findings += read_findings(folder, {file.subject: errors[at] for file, at in kept.items() if at in errors})
        there = [file for file in kept if file.at in digests]
        findings += [finding for file in there for finding in _findings(root, file, digests[file.at])]
        unchecked += [file.subject for file in there if file.etag is None]
        by_sha256, by_git = (sum(len(file.etag or "") == length for file in there) for length in (64, 40))
        notes += [item for item in items if isinstance(item, str)]
        notes += [f"{by_sha256} files checked by sha256, {by_git} by Git blob id (SHA-1)"]
        files, size = files + by_sha256 + by_git, size + sum(digest.size for digest in digests.values())
    said = f"the Hub's client kept no digest of {len(unchecked)} files{f', first {unchecked[0]}' if unchecked else ''}"
    if not findings and (unchecked or not files):
        raise CannotCheck(f"{folder}: {said}; {files} others are as they were", "download them again: hf download")
    notes += [f"not checked: {said}"] if unchecked else []
    return CheckedList(target=str(folder), files=files, bytes=size, findings=tuple(findings), notes=tuple(notes))


def _findings(root: Path, file: Kept, found: FileDigest) -> Iterator[Finding]:
    actual = found.sha256
    if file.etag is not None and len(file.etag) == 40:
        with open_regular(root / file.at) as content:
            start = hashlib.sha1(b"blob %d\0" % found.size, usedforsecurity=False)
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
        yield f"{len(unfinished)} unfinished downloads were not looked at"


def _local(root: Path) -> Iterator[Kept | Finding | str]:
    """A folder that files were downloaded to, with a record of each."""
    trees, known = dict[str, dict[str, str]](), set[str]()
    for record in sorted((root / LOCAL / "download").rglob("*.metadata")):
        path = record.relative_to(root / LOCAL / "download").as_posix().removesuffix(".metadata")
        try:
            commit, etag, *_ = read_small(record, LARGEST_RECORD).decode().split("\n")
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
    yield f"read as a folder that the Hub's client downloaded to, at {at}: {len(known)} files"
    yield from extra
    yield from notes


def _tree(path: Path) -> tuple[dict[str, str], list[Finding]]:
    """The etags of a commit's files, if the client kept its listing and it can be read, and what is wrong with it."""
    try:
        tree = msgspec.json.decode(read_small(path, LARGEST_TREE), type=dict[str, int | dict[str, _Entry]])
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError, RecursionError) as error:
        return {}, [Finding("malformed", f"trees/{path.name}", f"not the client's listing of a commit: {error}")]
    files = tree.get("files") if tree.get("format_version") == 1 else None
    named = {path: entry.lfs_sha256 or entry.blob_id for path, entry in files.items()} if isinstance(files, dict) else {}
    return {path: etag for path, etag in named.items() if _etag(etag)}, []


def _etag(text: str) -> str | None:
    return text if re.fullmatch("[0-9a-f]{40}([0-9a-f]{24})?", text) else None
