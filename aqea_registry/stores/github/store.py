"""A store in a repository's releases on GitHub: `github://OWNER/REPO`.

A release's tag is its release's there; its files are assets, and `release.json` among them is the manifest, so the digest
that GitHub reports for that asset is the release's. A release is published in one request and only with all its assets:
a reader sees a whole release or none. Of two that are published under one tag GitHub refuses the second.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import BinaryIO

from aqea_registry.base.files import Advance, ignore
from aqea_registry.base.findings import BadConfiguration, CannotCheck, NotAllowed, Refused, TagConflict
from aqea_registry.base.references import join_reference
from aqea_registry.stores import port
from aqea_registry.stores.github import assets as layout
from aqea_registry.stores.github.api import Asset, Found, GitHubClient, GitHubRefusal
from aqea_registry.stores.github.upload import AssetUpload, Sending, draft_lock, draft_owner, own_draft, send
from aqea_registry.stores.port import Content, OtherContent, Plan, Tagged
from aqea_registry.stores.release import LARGEST_MANIFEST, RECORD, Descriptor, Release, StoredFile, digest_of

ROUNDS = 10  # how often a push looks again because somebody else was faster
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
        self._seen: dict[str, dict[str, Asset]] = {}  # the assets of releases that `find` looked at

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
        found = self._client.published(tag)
        if found is None:
            self._client.check_visible()
            return None
        return self._tagged(found)

    def release(self, tagged: Tagged) -> Release:
        """The release, its manifest checked against its digest."""
        subject = join_reference(self.spec, tagged.tag)
        record = self._assets(tagged).get(RECORD)
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
        existing = port.same_release(lambda: self.find(tag), self.spec, tag, release)
        owner = draft_owner(self._client.address, tag, release.digest())
        draft = own_draft(self._client, tag, release.digest(), owner) if owner and not existing else None
        assets = self._assets(existing) if existing else self._client.assets(draft.id) if draft else {}
        new = self._missing(assets, release)
        if RECORD not in assets or not assets[RECORD].whole:
            new.append(release.descriptor())
        return Plan(existing=existing, new=tuple(new), complete=existing is not None and not new)

    def push(self, tag: str, release: Release, content: Content, notes: str, advance: Advance) -> dict[str, object]:
        """Publish a release under a tag, or send what a published one lost, if it still takes it."""
        layout.check_names(release, self._part)
        with draft_lock(self._client.address, tag, release.digest(), wait=False) as owner:
            sending = Sending(self._client, tag, release, content, notes, self._part, owner)
            made, reason = None, "its releases change all the time"
            for _ in range(ROUNDS):
                try:
                    found = self._client.published(tag) or made
                    if found is not None:
                        try:
                            port.same_release(partial(self._tagged, found), self.spec, tag, release)
                        except TagConflict:
                            sending.discard()
                            raise
                        if not found.immutable and self._missing(self._client.assets(found.id), release):
                            sending.fill(found, advance)
                        sending.discard()
                        return self.ids(Tagged(tag=tag, digest=release.digest(), at=str(found.id)), release)
                    made = sending.publish(advance)
                except GitHubRefusal as error:
                    made, reason = None, error.said
        raise CannotCheck(f"{join_reference(self.spec, tag)}: {reason}", "try again later; what was sent is kept")

    def ids(self, tagged: Tagged, release: Release) -> dict[str, object]:
        """The numbers of the release and its assets; of a file in parts, those of all its parts."""
        assets = self._client.assets(int(tagged.at))
        parts = layout.read_parts(self._client, assets).files
        ids: dict[str, object] = {}
        for path in [*release.files(), RECORD]:
            if (asset := assets.get(layout.asset_name(path))) is not None:
                ids[path] = asset.id
            elif path in parts:
                ids[path] = [assets[part.name].id for part in parts[path].parts if part.name in assets]
        return {"release": int(tagged.at), "assets": ids}

    def stored(self, tagged: Tagged, release: Release, deep: bool, advance: Advance) -> Iterator[StoredFile]:
        """Each file as GitHub has it: by the digests of its assets, or by its bytes where there is none, or with `deep`."""
        self._seen.pop(tagged.at, None)
        yield from layout.stored_files(self._client, self._assets(tagged), release, deep, advance)

    def open(self, tagged: Tagged, path: str, layer: Descriptor, offset: int) -> BinaryIO:
        """A file's bytes from `offset` on, put together from its parts; a broken connection is resumed while they are read."""
        return layout.open_file(self._client, self._assets(tagged), path, layer, offset)

    def attach(self, tagged: Tagged, name: str, content: bytes) -> None:
        """Keep a small document as an asset, or in the text of a release that takes none. Raises Refused for another one."""
        if not layout.NAME.fullmatch(name):
            raise BadConfiguration(f"{name!r} cannot be the name of an attachment", "use letters, digits, '.', '_' and '-'")
        with draft_lock(self._client.address, tagged.tag, "attachments", wait=True):
            found = self._by_number(tagged)
            subject = f"{join_reference(self.spec, tagged.tag)}: {name}"
            if not port.is_attached(subject, content, self._attachments(found).get(name)):
                self._keep(found, name, content)
            if name.startswith("status-") and (line := layout.notice(content)) is not None:  # for readers
                self._rewrite(found, lambda text: layout.with_notice(text, line))

    def attachments(self, tagged: Tagged) -> Mapping[str, bytes]:
        """The documents that are kept beside a release, as assets or in its text, by name."""
        return self._attachments(self._by_number(tagged))

    # What is there

    def _tagged(self, found: Found) -> Tagged:
        assets = self._client.assets(found.id)
        record = assets.get(RECORD)
        if record is None or not record.whole:
            raise OtherContent(join_reference(self.spec, found.tag), f"a GitHub release without {RECORD}")
        self._seen[str(found.id)] = assets
        return Tagged(tag=found.tag, digest=layout.digest_of_asset(self._client, record), at=str(found.id))

    def _assets(self, tagged: Tagged) -> dict[str, Asset]:
        if tagged.at not in self._seen:
            try:
                self._seen[tagged.at] = self._client.assets(int(tagged.at))
            except (GitHubRefusal, ValueError) as error:
                raise self._gone(tagged) from error
        return self._seen[tagged.at]

    def _by_number(self, tagged: Tagged) -> Found:
        found = self._client.by_number(int(tagged.at)) if tagged.at.isdecimal() else None
        if found is None:
            raise self._gone(tagged)
        return found

    def _gone(self, tagged: Tagged) -> CannotCheck:
        reference = join_reference(self.spec, tagged.tag)
        return CannotCheck(f"{reference}: GitHub has no release {tagged.at} any more", "publish it again")

    def _missing(self, assets: Mapping[str, Asset], release: Release) -> list[Descriptor]:
        """The files of a release that these assets do not have."""
        layers, stored = release.files(), layout.stored_files(self._client, assets, release, False, ignore)
        return [layers[file.path] for file in stored if file.digest != layers[file.path].digest]

    # Attachments

    def _attachments(self, found: Found) -> dict[str, bytes]:
        assets = self._client.assets(found.id)
        return layout.embedded(found.text) | {
            name.removeprefix(layout.ATTACHMENT): self._client.read(asset, LARGEST_MANIFEST)
            for name, asset in sorted(assets.items())
            if name.startswith(layout.ATTACHMENT) and asset.whole
        }

    def _keep(self, found: Found, name: str, content: bytes) -> None:
        if not found.immutable and content:
            label = f"attachment {name}"
            upload = AssetUpload(layout.ATTACHMENT + name, label, "application/json", digest_of(content), len(content), content)
            try:
                send(self._client, found, upload, content, ignore)
            except GitHubRefusal as error:
                raise self._not_attached(found, f"{name}: {error.said}") from error
        elif len(content) < LARGEST_IN_TEXT:
            self._rewrite(found, lambda text: text if name in layout.embedded(text) else layout.embed(text, name, content))
        else:
            message = f"the release takes no more assets, and {name} is too large for its text ({len(content)} bytes)"
            raise self._not_attached(found, message)

    def _rewrite(self, found: Found, change: Callable[[str], str]) -> None:
        """Change a release's text. GitHub has no conditional write, so what another's writing lost is added again."""
        tagged = Tagged(tag=found.tag, digest="", at=str(found.id))
        for _ in range(ROUNDS):
            found = self._by_number(tagged)
            wanted = change(found.text)
            if wanted == found.text:
                return
            if len(wanted) > layout.LONGEST_TEXT:
                raise self._not_attached(found, "its text is full")
            try:
                self._client.rewrite(found, wanted)
            except GitHubRefusal as error:
                raise self._not_attached(found, error.said) from error
        raise CannotCheck(f"{join_reference(self.spec, found.tag)}: GitHub does not keep its text", "try again later")

    def _not_attached(self, found: Found, reason: str) -> NotAllowed:
        return NotAllowed(f"{join_reference(self.spec, found.tag)}: {reason}", "attach it in another store")
