"""A store in a repository's releases on GitHub: `github://OWNER/REPO`.

A release's tag is its release's there; its files are assets, and `release.json` among them is the manifest, so the digest
that GitHub reports for that asset is the release's. A release is published in one request and only with all its assets:
a reader sees a whole release or none. Of two that are published under one tag GitHub refuses the second.

GitHub has no conditional write: an asset that looks half uploaded, and is deleted to be sent again, may be whole and
published by then. So each push fills a draft of its own. A draft is marked with its owner, a word in a file of this user's
cache: who holds that file's lock goes on with the draft, also after a push that was killed. From elsewhere the release is sent
again, in another draft; of all drafts the first is published, and then the others are deleted.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from aqea_registry.base.files import Advance, ignore, lock, user_cache
from aqea_registry.base.findings import BadConfiguration, CannotCheck, NotAllowed, Refused, TagConflict
from aqea_registry.base.references import asset_name, join_reference
from aqea_registry.base.sha256_list import render
from aqea_registry.remote.retry import UploadBody
from aqea_registry.stores import github_assets as layout
from aqea_registry.stores import port
from aqea_registry.stores.github_assets import Part, Parts, SplitFile, StoredAssets
from aqea_registry.stores.github_client import ABSENT, INVALID, Asset, GitHubClient, GitHubRefusal, GitHubRelease
from aqea_registry.stores.port import Content, OtherContent, Plan, Tagged
from aqea_registry.stores.release import LARGEST_MANIFEST, MANIFEST_TYPE, RECORD, Descriptor, Release, StoredFile, digest_of

ROUNDS = 10  # how often a push looks again because somebody else was faster
ATTEMPTS = 6  # to send one asset
LARGEST_IN_TEXT = 16 << 10  # bytes of an attachment in a release's text
SPEC = re.compile(r"github://([A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?/[A-Za-z0-9._-]+)")


class GitHub:
    """The releases of one repository. `part`: bytes of the largest asset. Raises BadConfiguration for any other spec."""

    def __init__(self, spec: str, *, part: int = layout.PART) -> None:
        match = SPEC.fullmatch(spec)
        if match is None:
            raise BadConfiguration(f"{spec} names no repository on GitHub", "its name is github://OWNER/REPO")
        self.spec = spec
        self._name = match[1]
        self._part = part
        self._seen: dict[str, StoredAssets] = {}  # of releases that `find` looked at

    @cached_property
    def _client(self) -> GitHubClient:
        return GitHubClient(self._name)

    def tags(self) -> list[str]:
        """The tags of all published releases with a record, sorted."""
        try:
            return sorted(release.tag for release in self._client.releases() if not release.draft and RECORD in release.names)
        except GitHubRefusal:
            self._client.check_visible()
            raise

    def find(self, tag: str) -> Tagged | None:
        """What a tag names. Raises Refused if its release has no record; NotAllowed if there is no such repository."""
        published = self._client.published(tag)
        if published is None:
            self._client.check_visible()
            return None
        return self._tagged(published)

    def release(self, tagged: Tagged) -> Release:
        """The release, its manifest checked against its digest."""
        subject = join_reference(self.spec, tagged.tag)
        record = self._assets(tagged).whole(RECORD)
        if record is None:
            raise Refused.of("missing", subject, f"the release has no asset {RECORD} any more")
        content = self._client.read(record, LARGEST_MANIFEST)
        if digest_of(content) != tagged.digest:
            raise port.other_manifest(subject, tagged.digest, content)
        return port.parsed(subject, content, RECORD)

    def plan(self, tag: str, release: Release) -> Plan:
        """What a push would send, to a new draft or to one that a push left."""
        layout.check_names(release, self._part)
        self._client.check_writable()
        existing = port.same_release(self, tag, release)
        if existing:
            assets = self._assets(existing)
        else:
            with draft_lock(self._client.address, tag, release.digest(), wait=False) as owner:
                draft = next(iter(drafts(self._client, tag, release.digest(), owner)), None)
            assets = StoredAssets(self._client, self._client.assets(draft.id) if draft else {})
        new = assets.missing(release) + ([] if assets.whole(RECORD) else [release.descriptor()])
        return Plan(existing=existing, new=tuple(new), complete=existing is not None and not new)

    def push(self, tag: str, release: Release, content: Content, notes: str, advance: Advance) -> dict[str, object]:
        """Publish a release under a tag, or send what a published one lost, if it still takes it."""
        layout.check_names(release, self._part)
        with draft_lock(self._client.address, tag, release.digest(), wait=False) as owner:
            sending = Sending(self._client, tag, release, content, self._part)
            made, reason = None, "its releases change all the time"
            for _ in range(ROUNDS):
                try:
                    current = self._client.published(tag) or made
                    if current is None:
                        made = sending.publish(owner, notes, advance)
                        continue
                    try:
                        port.same_release(self, tag, release, partial(self._tagged, current))
                    except TagConflict:
                        sending.discard()
                        raise
                    tagged = Tagged(tag=tag, digest=release.digest(), at=str(current.id))
                    if not current.immutable and self._assets(tagged).missing(release):
                        sending.fill(current, advance)
                    sending.discard()
                    return self.ids(tagged, release)
                except GitHubRefusal as error:
                    made, reason = None, error.reason
        raise CannotCheck(f"{join_reference(self.spec, tag)}: {reason}", "try again later; what was sent is kept")

    def ids(self, tagged: Tagged, release: Release) -> dict[str, object]:
        """The numbers of the release and its assets; of a file in parts, those of all its parts."""
        assets = StoredAssets(self._client, self._client.assets(int(tagged.at)))
        return {"release": int(tagged.at), "assets": assets.ids([*release.files(), RECORD])}

    def stored(self, tagged: Tagged, release: Release, deep: bool, advance: Advance) -> Iterator[StoredFile]:
        """Each file as GitHub has it: by the digests of its assets, or by its bytes where there is none, or with `deep`."""
        self._seen.pop(tagged.at, None)
        yield from self._assets(tagged).stored(release, deep, advance)

    def open(self, tagged: Tagged, path: str, layer: Descriptor, offset: int) -> BinaryIO:
        """A file's bytes from `offset` on, put together from its parts; a broken connection is resumed while they are read."""
        return self._assets(tagged).open(path, layer, offset)

    def attach(self, tagged: Tagged, name: str, content: bytes) -> None:
        """Keep a small document as an asset, or in the text of a release that takes none. Raises Refused for another one."""
        if not layout.NAME.fullmatch(name):
            raise BadConfiguration(f"{name!r} cannot be the name of an attachment", "use letters, digits, '.', '_' and '-'")
        with draft_lock(self._client.address, tagged.tag, "attachments", wait=True):
            if not port.is_attached(self, tagged, name, content):
                self._keep(tagged, name, content)
            if name.startswith("status-") and (line := layout.notice(content)) is not None:  # for readers
                self._rewrite(tagged, lambda text: layout.with_notice(text, line))

    def attachments(self, tagged: Tagged) -> Mapping[str, bytes]:
        """The documents that are kept beside a release, as assets or in its text, by name."""
        described = self._by_number(tagged)
        return layout.embedded(described.text) | {
            name.removeprefix(layout.ATTACHMENT): self._client.read(asset, LARGEST_MANIFEST)
            for name, asset in sorted(self._client.assets(described.id).items())
            if name.startswith(layout.ATTACHMENT) and asset.whole
        }

    # What is there

    def _tagged(self, published: GitHubRelease) -> Tagged:
        assets = StoredAssets(self._client, self._client.assets(published.id))
        record = assets.whole(RECORD)
        if record is None:
            raise OtherContent(join_reference(self.spec, published.tag), f"a GitHub release without {RECORD}")
        self._seen[str(published.id)] = assets
        return Tagged(tag=published.tag, digest=assets.digest(record), at=str(published.id))

    def _assets(self, tagged: Tagged) -> StoredAssets:
        if tagged.at not in self._seen:
            try:
                self._seen[tagged.at] = StoredAssets(self._client, self._client.assets(int(tagged.at)))
            except (GitHubRefusal, ValueError) as error:
                raise self._gone(tagged) from error
        return self._seen[tagged.at]

    def _by_number(self, tagged: Tagged) -> GitHubRelease:
        described = self._client.by_number(int(tagged.at)) if tagged.at.isdecimal() else None
        if described is None:
            raise self._gone(tagged)
        return described

    def _gone(self, tagged: Tagged) -> CannotCheck:
        reference = join_reference(self.spec, tagged.tag)
        return CannotCheck(f"{reference}: GitHub has no release {tagged.at} any more", "publish it again")

    # Attachments

    def _keep(self, tagged: Tagged, name: str, content: bytes) -> None:
        described = self._by_number(tagged)
        if not described.immutable and content:
            upload = AssetUpload.of(layout.ATTACHMENT + name, content, "application/json", f"attachment {name}")
            try:
                send(self._client, described, upload, content, ignore)
            except GitHubRefusal as error:
                raise self._not_attached(tagged, f"{name}: {error.reason}") from error
        elif len(content) < LARGEST_IN_TEXT:
            self._rewrite(tagged, lambda text: text if name in layout.embedded(text) else layout.embed(text, name, content))
        else:
            message = f"the release takes no more assets, and {name} is too large for its text ({len(content)} bytes)"
            raise self._not_attached(tagged, message)

    def _rewrite(self, tagged: Tagged, change: Callable[[str], str]) -> None:
        """Change a release's text. GitHub has no conditional write, so what another's writing lost is added again."""
        for _ in range(ROUNDS):
            described = self._by_number(tagged)
            wanted = change(described.text)
            if wanted == described.text:
                return
            if len(wanted) > layout.LONGEST_TEXT:
                raise self._not_attached(tagged, "its text is full")
            try:
                self._client.change(described, wanted)
            except GitHubRefusal as error:
                raise self._not_attached(tagged, error.reason) from error
        raise CannotCheck(f"{join_reference(self.spec, tagged.tag)}: GitHub does not keep its text", "try again later")

    def _not_attached(self, tagged: Tagged, reason: str) -> NotAllowed:
        return NotAllowed(f"{join_reference(self.spec, tagged.tag)}: {reason}", "attach it in another store")


class AssetUpload(NamedTuple):
    """What one asset is to hold. `source` is a path of the release, or the bytes."""

    name: str
    label: str
    media_type: str
    digest: str
    size: int  # bytes
    source: str | bytes
    offset: int | None = None  # where a part of a file begins

    @classmethod
    def of(cls, name: str, content: bytes, media_type: str, label: str = "") -> Self:
        """An asset of these bytes."""
        return cls(name, label or name, media_type, digest_of(content), len(content), content)


@dataclass(frozen=True)
class Sending:
    """A release on its way to GitHub. `part` is the size of the largest asset, in bytes."""

    client: GitHubClient
    tag: str
    release: Release
    content: Content
    part: int

    def publish(self, owner: str, notes: str, advance: Advance) -> GitHubRelease:
        """Fill a draft and publish it. Raises GitHubRefusal if somebody else changed the releases meanwhile; Refused."""
        digest = self.release.digest()
        draft = next(iter(drafts(self.client, self.tag, digest, owner)), None)
        draft = draft or self.client.create(self.tag, layout.describe(notes, digest, owner))
        self.fill(draft, advance)
        fields = {"tag_name": self.tag, "name": self.tag, "draft": False, "make_latest": "true"}
        try:
            return self.client.change(draft, layout.describe(notes, digest), **fields)
        except GitHubRefusal as error:
            if error.status == INVALID and "already_exists" not in error.codes:
                message = f"{self.client.spec}: GitHub does not publish {self.tag}: {error.reason}"
                raise NotAllowed(message, "publish it under a new tag") from error
            raise

    def fill(self, target: GitHubRelease, advance: Advance) -> None:
        """Send what a release of ours has not, and see that GitHub reports every digest. Raises GitHubRefusal, Refused."""
        present = self.client.assets(target.id)
        there, uploads = StoredAssets(self.client, present), {upload.name: upload for upload in self.uploads}
        for name in present if target.draft else ():
            if name not in uploads and not name.startswith(layout.ATTACHMENT):
                self.client.delete(present[name])
        for name, upload in uploads.items():
            if not there.has(name, upload.digest):
                if name in present:
                    self.client.delete(present[name])
                source = upload.source if isinstance(upload.source, bytes) else self.content(upload.source)
                send(self.client, target, upload, source, advance)
        there = StoredAssets(self.client, self.client.assets(target.id))
        if not all(there.has(name, upload.digest) for name, upload in uploads.items()):
            raise GitHubRefusal(self.client.spec, ABSENT, "somebody else changed the release while it was published")

    def discard(self) -> None:
        """Delete all drafts of this release. Only once the tag is published: until then somebody may publish one of them."""
        for draft in drafts(self.client, self.tag, self.release.digest()):
            self.client.delete(draft)

    @cached_property
    def uploads(self) -> list[AssetUpload]:
        """All assets, the record last; files that are split are hashed once. Raises Refused if one has other bytes."""
        split: dict[str, SplitFile] = {}
        uploads: list[AssetUpload] = []
        for path, layer in sorted(self.release.files().items()):
            names = layout.part_names(path, layer, self.part)
            if names is None:
                uploads.append(AssetUpload(asset_name(path), path, layer.media_type, layer.digest, layer.size, path))
                continue
            split[path] = self._split(path, layer, names)
            for number, part in enumerate(split[path].parts):
                label = f"{path} (part {number + 1} of {len(names)})"
                upload = AssetUpload(part.name, label, layer.media_type, part.digest, part.size, path, number * self.part)
                uploads.append(upload)
        if split:
            uploads.append(AssetUpload.of(layout.PARTS, Parts(files=split).render(), "application/json"))
        record = AssetUpload.of(RECORD, self.release.render(), MANIFEST_TYPE)
        sums = render({upload.name: upload.digest.removeprefix("sha256:") for upload in [*uploads, record]})
        return [*uploads, AssetUpload.of(layout.SUMS, sums, "text/plain"), record]

    def _split(self, path: str, layer: Descriptor, names: tuple[str, ...]) -> SplitFile:
        """Hash a file in parts, and as a whole. Raises Refused if it is not what the release names."""
        hashes, at, size = [hashlib.sha256() for _ in names], 0, self.part
        with port.unchanged(path, layer.digest):
            for block in UploadBody(self.content(path), layer.digest, layer.size):
                for number in range(at // size, (at + len(block) - 1) // size + 1):
                    hashes[number].update(block[max(0, number * size - at) : (number + 1) * size - at])
                at += len(block)
        sizes = (min(size, layer.size - start) for start in range(0, layer.size, size))
        named = zip(names, hashes, sizes, strict=True)
        parts = (Part(name=name, digest=f"sha256:{hashed.hexdigest()}", size=part) for name, hashed, part in named)
        return SplitFile(digest=layer.digest, parts=tuple(parts))


def drafts(client: GitHubClient, tag: str, digest: str, owner: str | None = None) -> list[GitHubRelease]:
    """The drafts of a release, all or those of one owner, the fullest first: lost answers may have left several."""

    def is_wanted(draft: GitHubRelease) -> bool:
        mark = layout.marked(draft.text) if draft.draft and draft.tag == tag else None
        return mark is not None and mark[0] == digest and owner in {None, mark[1]}

    return sorted(filter(is_wanted, client.releases()), key=lambda draft: len(draft.names), reverse=True)


@contextmanager
def draft_lock(*names: str, wait: bool) -> Iterator[str]:
    """The owner that drafts of what is so named are marked with, while no other process of this user has it.

    If another has it, `wait`, or get an owner that was never used: its drafts are not found again.
    """
    owner = secrets.token_hex(16)
    with ExitStack() as stack:
        with suppress(OSError, RuntimeError):  # another has it, or the cache cannot be written
            path = user_cache() / "github" / hashlib.sha256("\n".join(names).encode()).hexdigest()
            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(path.open("a+"))
            lock(file.fileno(), wait=wait)
            file.seek(0)
            known = file.read(64)
            file.write("" if known else owner)
            file.flush()
            owner = known or owner
        yield owner


def send(client: GitHubClient, target: GitHubRelease, upload: AssetUpload, source: Path | bytes, advance: Advance) -> None:
    """Send one asset, which may be there since a lost answer. Raises Refused for wrong bytes here or there, GitHubRefusal."""
    body = UploadBody(source, upload.digest, upload.size, advance, upload.offset)
    with port.unchanged(upload.label, upload.digest):
        for _ in range(ATTEMPTS):
            try:
                asset: Asset | None = client.upload(target, upload.name, upload.label, upload.media_type, body)
            except GitHubRefusal as error:
                if "already_exists" not in error.codes:
                    raise
                asset = client.assets(target.id).get(upload.name)
            if asset is None:
                continue
            if asset.name != upload.name:
                raise _other_asset(client, upload, "GitHub gave the asset another name", upload.name, asset.name)
            if asset.whole:
                actual = StoredAssets(client, {}).digest(asset)
                if actual != upload.digest:
                    raise _other_asset(client, upload, "GitHub holds other bytes than were sent", upload.digest, actual)
                return
            client.delete(asset)
    raise CannotCheck(f"{client.spec}: {upload.name} is being sent by somebody else", "try again later")


def _other_asset(client: GitHubClient, upload: AssetUpload, message: str, expected: str, actual: str) -> Refused:
    hint = "nothing was published; try again, or give the file another name in params.yaml"
    return Refused.of("mismatch", f"{client.spec}: {upload.name}", message, expected, actual, hint=hint)
