"""A store in a dataset repository of the Hugging Face Hub: `hf://datasets/ORG/NAME`, its tags being the releases.

A release is one commit with its files under their own paths and `release.json`, the exact bytes of its manifest. The
commit is guarded: the Hub takes it only if the branch is where we looked, so whoever else commits loses nothing. What is too
much for one commit goes in several into a pull request that is named by the release's digest, and main moves once, when that
is merged. The tag comes last, on a commit that was looked at again. Attachments are files on the main branch.
"""

import hashlib
import random
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from aqea_registry.base.files import BLOCK, Advance
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, Refused
from aqea_registry.base.references import join_reference
from aqea_registry.remote.hub_client import NotFound, RemoteFile, RepositoryRefs, git_blob
from aqea_registry.remote.hub_writer import HubWriter, addition, deletion, in_git
from aqea_registry.stores import port
from aqea_registry.stores.attachments import check_document
from aqea_registry.stores.port import Content, OtherContent, Plan, Tagged
from aqea_registry.stores.release import LARGEST_MANIFEST, RECORD, Descriptor, Release, StoredFile, digest_of

SPEC = re.compile(r"hf://datasets/(?P<repository>[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*)", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
ATTACHMENTS = "attachments/"
Files = Mapping[str, Path | bytes]
TRIES = 8  # how often a commit is planned again because somebody else was faster
OPERATIONS, IN_GIT = 1000, 100 << 20  # of a commit: files, and bytes of those in git; the Hub's client goes no further itself
AT_ONCE = 50  # files of an upload that is reported as a whole, of IN_GIT bytes at most or one
LARGEST_FOLDER = 10_000  # files


class HubStore:
    """One dataset repository. `operations`: of a commit at most. Raises BadConfiguration for a spec that names none."""

    def __init__(self, spec: str, *, operations: int = OPERATIONS) -> None:
        match = SPEC.fullmatch(spec)
        if match is None:
            raise BadConfiguration(f"{spec}: a repository of the Hub is hf://datasets/ORG/NAME", "correct the store's name")
        self.spec = spec
        self._operations = operations
        self._hub = HubWriter(match["repository"])

    def tags(self) -> list[str]:
        """Every tag of the repository, sorted. Whether they name releases is not asked."""
        refs = self._hub.refs()
        return sorted(refs.tags) if refs else []

    def find(self, tag: str) -> Tagged | None:
        """The release of a tag, or of a commit given by its 40 hex digits. A branch is not a tag: it moves."""
        return self._find(tag, self._hub.refs())

    def release(self, tagged: Tagged) -> Release:
        """The release, its record checked against its digest."""
        content = self._record(tagged.at)
        if content is None or digest_of(content) != tagged.digest:
            actual = None if content is None else digest_of(content)
            raise Refused.of("mismatch", f"{self.spec}@{tagged.at}", f"{RECORD} has other bytes", tagged.digest, actual)
        return port.parsed(f"{self.spec}@{tagged.at}", content)

    def plan(self, tag: str, release: Release) -> Plan:
        """What a push would send. Of small files the Hub knows no sha256: the branch's record is taken for them."""
        _check_names(release)
        refs = self._hub.refs()
        if existing := self._same(tag, release, refs):
            return Plan(existing=existing, new=(), complete=True)
        self._hub.check_write(exists=refs is not None)
        head, tree = self._look(refs)
        present = {f"sha256:{entry.sha256}" for entry in tree.values()}  # in any place; small files in the same one
        for path, layer in self._earlier(head, tree).items():
            if path in tree and tree[path].sha256 is None and tree[path].size == layer.size:
                present.add(f"{layer.digest} {path}")
        wanted = _wanted(release).items()
        new = {layer.digest: layer for path, layer in wanted if present.isdisjoint({layer.digest, f"{layer.digest} {path}"})}
        return Plan(existing=None, new=tuple(new.values()), complete=False)

    def push(self, tag: str, release: Release, content: Content, notes: str, advance: Advance) -> dict[str, object]:
        """Put a release under a tag: one commit, if the branch does not hold the release already, then the tag on it."""
        _check_names(release)
        refs = self._hub.refs()
        if refs is None:
            self._hub.check_write(exists=False)
            self._hub.create()
        tagged = self._same(tag, release, refs)
        if tagged is None:
            self._hub.tag(tag, self._commit(tag, release, content, notes, advance))
            tagged = self._same(tag, release, self._hub.refs())
        if tagged is None:
            raise port.lost_tag(self.spec, tag, release)
        return self.ids(tagged, release)

    def ids(self, tagged: Tagged, release: Release) -> dict[str, object]:
        """The commit, and where people see the repository."""
        return {"commit": tagged.at, "repository": self._hub.address}

    def stored(self, tagged: Tagged, release: Release, deep: bool, advance: Advance) -> Iterator[StoredFile]:
        """Each file as the commit holds it: a large one by the sha256 that it is stored under, a small one by its bytes."""
        try:
            tree = self._hub.tree(tagged.at)
        except NotFound as error:
            raise CannotCheck(f"{self.spec}: the commit {tagged.at} is not there", "publish the release again") from error
        for path, layer in sorted(release.files().items()):
            entry = tree.get(path)
            if entry is None:
                yield StoredFile(path=path, how="not there")
            elif entry.sha256 and not deep:
                yield StoredFile(path=path, how="lfs sha256", digest=f"sha256:{entry.sha256}", size=entry.size)
            else:
                yield self._hash(tagged, path, entry, layer, advance if deep else None)

    def open(self, tagged: Tagged, path: str, layer: Descriptor, offset: int) -> BinaryIO:
        """A file's bytes from `offset` on, resumed after a broken connection."""
        try:
            return self._hub.stream(tagged.at, path, layer.size, offset).buffered()
        except NotFound as error:
            subject = f"{join_reference(self.spec, tagged.tag)}: {path}"
            raise Refused.of("missing", subject, "the commit has no such file", layer.digest) from error

    def attach(self, tagged: Tagged, name: str, content: bytes) -> None:
        """Keep a small document beside a release, in a commit of its own. Raises Refused if another one has its name."""
        path = f"{ATTACHMENTS}{tagged.tag}/{name}"
        check_document(name, content)
        digest = digest_of(content)
        for _ in self._tries():
            head, tree = self._look(self._hub.refs(), path.rpartition("/")[0])
            entry = tree.get(path)
            if entry is not None:
                if not _is(entry, digest, len(content), content):
                    raise port.other_document(f"{join_reference(self.spec, tagged.tag)}: {name}", content, None)
                return
            self._hub.commit(head, [_addition(path, content, digest)], f"Attach {name} to {tagged.tag}", "")

    def attachments(self, tagged: Tagged) -> Mapping[str, bytes]:
        """The documents that are kept beside a release, by name, as the main branch has them now."""
        folder = f"{ATTACHMENTS}{tagged.tag}"
        head, tree = self._look(self._hub.refs(), folder)
        documents = {}
        for path, entry in sorted(tree.items()):
            if path.rpartition("/")[0] != folder:
                continue  # not an attachment
            content = self._hub.read(head or "", path, min(entry.size, LARGEST_MANIFEST))
            if not _is(entry, digest_of(content), len(content), content):
                raise Refused.of("mismatch", f"{self.spec}: {path}", "the Hub gives other bytes than it names")
            documents[path.removeprefix(f"{folder}/")] = content
        return documents

    # The commit

    def _commit(self, tag: str, release: Release, content: Content, notes: str, advance: Advance) -> str:
        """The branch's commit with the release and nothing left over. Each try looks anew and finds what a killed push left."""
        wanted = _wanted(release)
        record = release.render()
        read: Content = lambda path: record if path == RECORD else content(path)  # noqa: E731
        counted = {RECORD}  # the paths whose bytes were reported
        tries = self._tries()
        while True:
            next(tries)
            refs = self._hub.refs()
            self._same(tag, release, refs)
            head, tree = self._look(refs)
            missing = _missing(tree, wanted, read)
            if not missing and head:
                return head
            over = [path for path in self._earlier(head, tree) if path in tree and path not in wanted and not _taken(path)]
            operations = [*map(deletion, over), *self._upload(missing, wanted, counted, advance)]
            batches = [*_batches(operations, self._operations)]
            if len(batches) > 1:  # the next attempt finds it on the main branch
                sent = {path: wanted[path] for path in missing}
                self._merge(f"Release {tag}: {release.digest()}", notes, operations, sent, read)
            elif (made := self._hub.commit(head, batches[0], f"Release {tag}", notes)) is not None:
                self._check(made, wanted, read)
                advance(sum(wanted[path].size for path in missing if path not in counted))
                return made

    def _upload(self, missing: Files, wanted: Mapping[str, Descriptor], counted: set[str], advance: Advance) -> list[Any]:
        """Send what is not at the Hub yet, some files at a time: a killed push goes on there. A few go with their commit."""
        additions = [_addition(path, given, wanted[path].digest) for path, given in missing.items()]
        groups = [*_batches(additions, AT_ONCE)]
        for group in groups if len(groups) > 1 else ():
            self._hub.upload(group)
            advance(sum(wanted[made.path_in_repo].size for made in group if made.path_in_repo not in counted))
            counted.update(made.path_in_repo for made in group)
        return additions

    def _merge(self, title: str, notes: str, operations: list[Any], sent: Mapping[str, Descriptor], read: Content) -> None:
        """Make the commits that the release's pull request lacks, look at the last one, and have main moved to it."""
        number, head = self._hub.pull_request(title, notes)
        tree = self._hub.tree(head)
        lacking = _missing(tree, sent, read)
        left = [made for made in operations if made.path_in_repo in (lacking if made.path_in_repo in sent else tree)]
        for batch in _batches(left, self._operations):
            made = self._hub.commit(head, batch, f"Part of {title}", "", f"refs/pr/{number}")
            if made is None:
                return  # somebody else makes them, too
            head = made
        self._check(head, sent, read)
        self._hub.merge(number)

    def _check(self, commit: str, wanted: Mapping[str, Descriptor], read: Content) -> None:
        """Look at a commit before it gets a tag, which is never moved. Raises Refused."""
        try:
            wrong = _missing(self._hub.tree(commit), wanted, read)
        except NotFound:
            wrong = dict.fromkeys(wanted, b"")
        if wrong:
            message = "the commit does not hold the bytes that were sent; nothing was tagged"
            findings = [
                Finding("mismatch", f"{self.spec}@{commit}: {path}", message, wanted[path].digest) for path in sorted(wrong)
            ]
            raise Refused(f"{findings[0].subject}: {message}", findings, "look at the repository's .gitignore")

    def _look(self, refs: RepositoryRefs | None, folder: str | None = None) -> tuple[str | None, Mapping[str, RemoteFile]]:
        """The main branch, looked at once: its commit and the files, on which a guarded commit is planned."""
        head = refs.head if refs else None
        try:
            return head, self._hub.tree(head, folder) if head else {}
        except NotFound as error:
            raise CannotCheck(f"{self.spec}: the commit {head} of the main branch went away", "try again") from error

    def _earlier(self, head: str | None, tree: Mapping[str, RemoteFile]) -> dict[str, Descriptor]:
        """What the release that the branch holds consists of; nothing, if that is not a release."""
        content = self._record(head) if head and RECORD in tree else None
        with suppress(Refused):
            return _wanted(port.parsed(self.spec, content or b""))
        return {}

    # The tag and its record

    def _same(self, tag: str, release: Release, refs: RepositoryRefs | None) -> Tagged | None:
        return port.same_release(self, tag, release, lambda: self._find(tag, refs))

    def _find(self, tag: str, refs: RepositoryRefs | None) -> Tagged | None:
        if refs is None:
            return None
        at = refs.tags.get(tag) or (tag if COMMIT.fullmatch(tag) else None)
        if at is None:
            return None
        content, reference = self._record(at), join_reference(self.spec, tag)
        if content is None:
            if tag not in refs.tags:
                return None
            raise OtherContent(reference, f"a commit without {RECORD}")
        port.parsed(reference, content, RECORD)
        return Tagged(tag=tag, digest=digest_of(content), at=at)

    def _record(self, commit: str) -> bytes | None:
        try:
            return self._hub.read(commit, RECORD, LARGEST_MANIFEST)
        except NotFound:
            return None

    def _hash(self, tagged: Tagged, path: str, entry: RemoteFile, layer: Descriptor, advance: Advance | None) -> StoredFile:
        """Fetch a file and hash it; no more of it than is needed to see that it is another one."""
        sha256, blob, size = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % entry.size, usedforsecurity=False), 0
        with self._hub.stream(tagged.at, path, max(entry.size, layer.size) + 1, 0) as incoming:
            while block := incoming.read(BLOCK):
                sha256.update(block)
                blob.update(block)
                size += len(block)
                if advance:
                    advance(len(block))
        digest = f"sha256:{sha256.hexdigest()}"
        # Right bytes that are not those of the commit may be others the next time: they prove nothing.
        named = f"sha256:{entry.sha256}" == digest if entry.sha256 else blob.hexdigest() == entry.blob
        known = named or digest != layer.digest
        return StoredFile(path=path, how="hashed" if advance else "fetched", digest=digest if known else None, size=size)

    def _tries(self) -> Iterator[None]:
        """Others may be faster: look anew each time, after a random wait that grows, and give up in the end."""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(random.uniform(0.0, 0.05 * 2.0 ** min(attempt, 6)))  # noqa: S311
            yield
        message = f"{self.spec}: the branch kept changing (others commit to it); nothing was put there"
        raise CannotCheck(message, "try again later")


def _wanted(release: Release) -> dict[str, Descriptor]:
    """Everything that a release's commit holds: its files, and the record."""
    return {**release.files(), RECORD: release.descriptor()}


def _missing(tree: Mapping[str, RemoteFile], wanted: Mapping[str, Descriptor], read: Content) -> dict[str, Path | bytes]:
    """What a tree does not hold with these bytes."""
    missing = {}
    for path, layer in sorted(wanted.items()):
        given = read(path)
        with port.readable(path):
            if path not in tree or not _is(tree[path], layer.digest, layer.size, given):
                missing[path] = given
    return missing


def _addition(path: str, given: Path | bytes, digest: str) -> Any:
    with port.readable(path), port.unchanged(path, digest):
        return addition(path, given, digest.removeprefix("sha256:"))


def _is(entry: RemoteFile, digest: str, size: int, given: Path | bytes) -> bool:
    """Whether the Hub's entry has these bytes; a file is read only where the Hub has no sha256 of it. Raises OSError."""
    if entry.size != size or entry.sha256:
        return entry.size == size and f"sha256:{entry.sha256}" == digest
    return git_blob(given if isinstance(given, bytes) else given.read_bytes()) == entry.blob


def _batches(operations: Iterable[Any], most: int) -> Iterator[list[Any]]:
    """What goes into each commit, so that none is too large."""
    batch, size = list[Any](), 0
    for operation in operations:
        more = in_git(operation)
        if len(batch) == most or (batch and size + more > IN_GIT):
            yield batch
            batch, size = [], 0
        batch.append(operation)
        size += more
    if batch:
        yield batch


def _taken(path: str) -> bool:
    """Whether the Hub or this store keeps something else under that name."""
    return path in {".gitattributes", RECORD} or path.startswith(ATTACHMENTS)


def _check_names(release: Release) -> None:
    taken = [path for path in release.files() if _taken(path)]
    if taken:
        message = "the Hub or this store keeps something else under that name"
        raise Refused(f"{taken[0]}: {message}", [Finding("conflict", path, message) for path in taken])
    folder, count = Counter(path.rpartition("/")[0] for path in release.files()).most_common(1)[0]
    if count > LARGEST_FOLDER:
        message = f"the Hub takes {LARGEST_FOLDER} files a folder, and {folder or 'the first one'} has {count}"
        raise BadConfiguration(message, "publish it to an OCI registry, or make several releases of it")
