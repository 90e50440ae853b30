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

from aqea_registry.base.files import BLOCK, FileDigest, open_regular, read_small, wrong_content
from aqea_registry.base.findings import CannotCheck, Finding
from aqea_registry.base.progress import Reporter
from aqea_registry.verification.verify_folder import RECORD, list_in, present, surplus
from aqea_registry.verification.verify_list import CheckedList, hash_listed, read_findings

LOCAL = ".cache/huggingface"
RECORDS = f"{LOCAL}/download"
UNFINISHED = ".incomplete"
LARGEST_TREE, LARGEST_RECORD = 1 << 28, 1 << 20  # bytes
_REPOSITORY = re.compile(r"(model|dataset|space|kernel)s--(.+)")
_ETAG = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class _Entry(msgspec.Struct, frozen=True):
    blob_id: str
    lfs_sha256: str | None = None


class _Tree(msgspec.Struct, frozen=True):
    format_version: int
    files: msgspec.Raw


class Kept(NamedTuple):
    """A downloaded file: what findings call it, where its bytes lie below the root, and the etag that the client kept."""

    subject: str
    at: str
    etag: str | None


class Place(NamedTuple):
    """What the client downloaded into one place, and what is already wrong with it."""

    kept: list[Kept]
    findings: list[Finding]
    notes: list[str]


def verify_hub(folder: Path, report: Reporter) -> CheckedList | None:
    """Check a Hub cache, a repository or a snapshot in one, or a folder of `hf download --local-dir`.

    None for any other folder, and for a release, whose own list says more. Raises CannotCheck if nothing is wrong and the
    client kept no digest of some file.
    """
    if list_in(folder) or (folder / RECORD).is_file() or not (places := [*_places(folder.resolve())]):
        return None
    findings, notes, unchecked, files, size = list[Finding](), list[str](), list[str](), 0, 0
    for root, place in places:
        digests, errors, _ = hash_listed(root, {kept.at for kept in place.kept}, report)
        subjects = {kept.at: kept.subject for kept in place.kept}
        findings += [*place.findings, *read_findings(folder, {subjects[at]: error for at, error in errors.items()})]
        findings += [found for kept in place.kept if kept.at in digests for found in _findings(root, kept, digests[kept.at])]
        unchecked += [kept.subject for kept in place.kept if kept.etag is None and kept.at in digests]
        lengths = [len(kept.etag) for kept in place.kept if kept.etag is not None and kept.at in digests]
        notes += [*place.notes, f"{lengths.count(64)} files checked by sha256, {lengths.count(40)} by Git blob id (SHA-1)"]
        files, size = files + len(lengths), size + sum(digest.size for digest in digests.values())
    said = f"the Hub's client kept no digest of {len(unchecked)} files{f', first {unchecked[0]}' if unchecked else ''}"
    if not findings and (unchecked or not files):
        raise CannotCheck(f"{folder}: {said}; {files} others are as they were", "download them again: hf download")
    notes += [f"not checked: {said}"] if unchecked else []
    return CheckedList(target=str(folder), files=files, bytes=size, findings=tuple(findings), notes=tuple(notes))


def _findings(root: Path, kept: Kept, found: FileDigest) -> Iterator[Finding]:
    if kept.etag is None:
        return
    actual = found.sha256 if len(kept.etag) == 64 else _git_blob(root / kept.at)
    if actual != kept.etag:
        yield Finding("mismatch", kept.subject, "the bytes are not those that the Hub named", kept.etag, actual)
        if cause := wrong_content(root / kept.at, kept.subject):
            yield cause


def _git_blob(path: Path) -> str:
    with open_regular(path) as file:
        digest = hashlib.sha1(b"blob %d\0" % os.fstat(file.fileno()).st_size, usedforsecurity=False)
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _places(folder: Path) -> Iterator[tuple[Path, Place]]:
    """Each repository of a cache, or the folder itself, as the root of what the client downloaded there."""
    if folder.parent.name == "snapshots" and _REPOSITORY.fullmatch(folder.parent.parent.name):
        yield folder.parent.parent, _cached(folder.parent.parent, folder, [folder.name])
        return
    inner = [folder] if _REPOSITORY.fullmatch(folder.name) else sorted([*folder.glob("*--*"), *folder.glob("hub/*--*")])
    for repository in inner:
        if _REPOSITORY.fullmatch(repository.name) and (repository / "snapshots").is_dir():
            yield repository, _cached(repository, folder, sorted(path.name for path in (repository / "snapshots").iterdir()))
    if (folder / RECORDS).is_dir():
        yield folder, _local(folder)


def _cached(root: Path, target: Path, commits: Iterable[str]) -> Place:
    """Snapshots of a repository in a cache; of the whole repository also the blobs that none of them links to."""
    kept, findings, notes, loose = list[Kept](), list[Finding](), list[str](), set[str]()
    kind, name = root.name.replace("--", "s/", 1).split("s/", 1)
    for commit in commits:
        tree, folder = _tree(root / "trees" / f"{commit}.json", findings), root / "snapshots" / commit
        there = sorted(present(folder, ("",)))
        for path in there:
            at = blob = f"snapshots/{commit}/{path}"
            if (root / at).is_symlink():
                blob = os.path.normpath(f"{at}/../{(root / at).readlink()}")
            subject = os.path.relpath(root / at, target)
            etag = tree.get(path) or (_etag(blob[6:]) if blob.startswith("blobs/") else None)
            kept.append(Kept(subject, blob if etag and blob.startswith("blobs/") else at, etag))
            if tree and path not in tree:
                findings.append(Finding("unexpected", subject, "the commit has no such file"))
        absent = len(tree.keys() - {*there})
        more = f"; {absent} others were not downloaded" if absent else ""
        notes.append(f"read as the Hub cache of {kind} {name.replace('--', '/')} at {commit}: {len(there)} files{more}")
    if target.parent.name != "snapshots":
        loose = {f"blobs/{path}" for path in present(root / "blobs", ("",))} - {file.at for file in kept}
    whole = sorted(at for at in loose if not at.endswith(UNFINISHED))
    kept += [Kept(os.path.relpath(root / at, target), at, _etag(at[6:])) for at in whole]
    return Place(kept, findings, [*notes, *_unfinished(len(loose) - len(whole))])


def _local(root: Path) -> Place:
    """A folder that files were downloaded to, with a record of each."""
    kept, findings, trees = list[Kept](), list[Finding](), dict[str, dict[str, str]]()
    for record in sorted((root / RECORDS).rglob("*.metadata")):
        path = record.relative_to(root / RECORDS).as_posix().removesuffix(".metadata")
        try:
            commit, etag, *_ = read_small(record, LARGEST_RECORD).decode().split("\n")
        except (OSError, ValueError) as error:
            findings.append(Finding("malformed", record.relative_to(root).as_posix(), f"not the client's record: {error}"))
            commit = etag = ""
        if commit not in trees and re.fullmatch("[0-9a-f]{40}", commit):
            trees[commit] = _tree(root / LOCAL / "trees" / f"{commit}.json", findings)
        kept.append(Kept(path, path, trees.get(commit, {}).get(path) or _etag(etag)))
    there = [path for path in present(root, ("",)) if not path.startswith(f"{LOCAL}/")]
    extra, notes = surplus(there, {file.at for file in kept}, "the Hub's client has no record of it")
    at = ", ".join(sorted(trees)) or "an unknown commit"
    notes.insert(0, f"read as a folder that the Hub's client downloaded to, at {at}: {len(kept)} files")
    unfinished = sum(1 for _ in (root / RECORDS).rglob(f"*{UNFINISHED}"))
    return Place(kept, [*findings, *extra], [*notes, *_unfinished(unfinished)])


def _unfinished(count: int) -> list[str]:
    return [f"{count} unfinished downloads were not looked at"] if count else []


def _tree(path: Path, findings: list[Finding]) -> dict[str, str]:
    """The etags of a commit's files, if the client kept its listing and it can be read; what is wrong is added."""
    try:
        tree = msgspec.json.decode(read_small(path, LARGEST_TREE), type=_Tree)
        files = msgspec.json.decode(tree.files, type=dict[str, _Entry]) if tree.format_version == 1 else {}
        return {path: etag for path, entry in files.items() if (etag := _etag(entry.lfs_sha256 or entry.blob_id))}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        findings.append(Finding("malformed", f"trees/{path.name}", f"not the client's listing of a commit: {error}"))
        return {}


def _etag(text: str) -> str | None:
    return text if _ETAG.fullmatch(text) else None
