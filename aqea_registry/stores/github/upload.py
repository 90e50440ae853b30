"""A release on its way to GitHub: into a draft that only its makers see, checked there, then published in one request.

GitHub has no conditional write: an asset that looks half uploaded, and is deleted to be sent again, may be whole and
published by then. So each push leaves the drafts of others alone. A draft is marked with its owner, a word in a file of this
user's cache: who holds that file's lock goes on with the draft, also after a push that was killed. From elsewhere the release
is sent again, in a draft of its own; of all drafts the first is published, and then the others are deleted.
"""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from aqea_registry.base.files import BLOCK, Advance, Limit, ignore, lock, read_small
from aqea_registry.base.findings import CannotCheck, NotAllowed, Refused
from aqea_registry.base.sha256_list import render
from aqea_registry.remote.retry import UploadBody
from aqea_registry.stores.github import assets as layout
from aqea_registry.stores.github.api import ABSENT, INVALID, Asset, Found, GitHubClient, GitHubRefusal
from aqea_registry.stores.github.assets import Part, Parts, SplitFile
from aqea_registry.stores.port import Content, unchanged
from aqea_registry.stores.release import MANIFEST_TYPE, RECORD, Descriptor, Release, digest_of

ATTEMPTS = 6  # to send one asset


class AssetUpload(NamedTuple):
    """What one asset is to hold. `source` is a path of the release, or the bytes."""

    name: str
    label: str
    media_type: str
    digest: str
    size: int  # bytes
    source: str | bytes
    offset: int | None = None  # where a part of a file begins


class Sending:
    """One push. `part` is the size of the largest asset, in bytes; `owner` comes from `draft_lock`."""

    def __init__(
        self, client: GitHubClient, tag: str, release: Release, content: Content, notes: str, part: int, owner: str
    ) -> None:
        self._client, self._tag, self._release, self._content = client, tag, release, content
        self._notes, self._part, self._owner = notes, part, owner

    def publish(self, advance: Advance) -> Found:
        """Fill a draft and publish it. Raises GitHubRefusal if somebody else changed the releases meanwhile; Refused."""
        digest = self._release.digest()
        draft = own_draft(self._client, self._tag, digest, self._owner)
        draft = draft or self._client.create(self._tag, layout.describe(self._notes, digest, self._owner))
        self.fill(draft, advance)
        try:
            return self._client.publish(draft, layout.describe(self._notes, digest))
        except GitHubRefusal as error:
            if error.status == INVALID and "already_exists" not in error.codes:
                raise NotAllowed(
                    f"{self._client.spec}: GitHub does not publish {self._tag}: {error.said}", "publish it under a new tag"
                ) from error
            raise

    def fill(self, found: Found, advance: Advance) -> None:
        """Send what a release of ours has not, and see that GitHub reports every digest. Raises GitHubRefusal, Refused."""
        uploads, present = self._uploads, self._client.assets(found.id)
        names = {upload.name for upload in uploads}
        if found.draft:
            for asset in present.values():
                if asset.name not in names and not asset.name.startswith(layout.ATTACHMENT):
                    self._client.delete_asset(asset)
        for upload in uploads:
            there = present.get(upload.name)
            if there is not None and self._good(there, upload):
                continue
            if there is not None:
                self._client.delete_asset(there)
            source = upload.source if isinstance(upload.source, bytes) else self._content(upload.source)
            send(self._client, found, upload, source, advance)
        present = self._client.assets(found.id)
        if not all(upload.name in present and self._good(present[upload.name], upload) for upload in uploads):
            raise GitHubRefusal(self._client.spec, ABSENT, "somebody else changed the release while it was published")

    def discard(self) -> None:
        """Delete all drafts of this release. Only once the tag is published: until then somebody may publish one of them."""
        for draft in chain.from_iterable(drafts(self._client, self._tag, self._release.digest()).values()):
            self._client.delete(draft)

    def _good(self, asset: Asset, upload: AssetUpload) -> bool:
        return asset.whole and layout.digest_of_asset(self._client, asset) == upload.digest

    @cached_property
    def _uploads(self) -> list[AssetUpload]:
        """All assets of the release, the record last; split files are hashed once."""
        uploads = [*self._make(), _text_upload(RECORD, self._release.render(), MANIFEST_TYPE)]
        sums = render({upload.name: upload.digest.removeprefix("sha256:") for upload in uploads})
        return [*uploads[:-1], _text_upload(layout.SUMS, sums, "text/plain"), uploads[-1]]

    def _make(self) -> Iterator[AssetUpload]:
        split: dict[str, SplitFile] = {}
        for path, layer in sorted(self._release.files().items()):
            names = layout.part_names(path, layer, self._part)
            if names is None:
                yield AssetUpload(layout.asset_name(path), path, layer.media_type, layer.digest, layer.size, path)
                continue
            split[path] = self._split(path, layer, names)
            for number, part in enumerate(split[path].parts):
                label = f"{path} (part {number + 1} of {len(names)})"
                yield AssetUpload(part.name, label, layer.media_type, part.digest, part.size, path, number * self._part)
        if split:
            yield _text_upload(layout.PARTS, Parts(files=split).render(), "application/json")

    def _split(self, path: str, layer: Descriptor, names: tuple[str, ...]) -> SplitFile:
        """Hash a file in parts, and as a whole. Raises Refused if it is not what the release names."""
        parts = []
        with unchanged(path, layer.digest), closing(UploadBody(self._content(path), layer.digest, layer.size, ignore)) as body:
            for name in names:
                sha256, start = hashlib.sha256(), body.tell()
                end = min(start + self._part, layer.size)
                while body.tell() < end:
                    sha256.update(body.read(min(BLOCK, end - body.tell())))
                parts.append(Part(name=name, digest=f"sha256:{sha256.hexdigest()}", size=end - start))
        return SplitFile(digest=layer.digest, parts=tuple(parts))


def drafts(client: GitHubClient, tag: str, digest: str) -> dict[str, list[Found]]:
    """The drafts of a release by their owners."""
    found: dict[str, list[Found]] = {}
    for release in client.releases():
        mark = layout.marked(release.text) if release.draft and release.tag == tag else None
        if mark is not None and mark[0] == digest:
            found.setdefault(mark[1], []).append(release)
    return found


def own_draft(client: GitHubClient, tag: str, digest: str, owner: str) -> Found | None:
    """The draft of one owner. Lost answers may have left several: the fullest."""
    return max(drafts(client, tag, digest).get(owner, ()), key=lambda draft: len(draft.names), default=None)


@contextmanager
def draft_lock(*names: str, wait: bool) -> Iterator[str]:
    """The owner that drafts of what is so named are marked with, while no other process of this user has it.

    If another has it, `wait`, or get an owner that was never used: its drafts are not found again.
    """
    owner = secrets.token_hex(16)
    with ExitStack() as stack:
        try:
            path = _owner_file(names)
            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(path.open("a+"))
            lock(file.fileno(), wait=wait)
            file.seek(0)
            if known := file.read():
                owner = known
            else:
                file.write(owner)
                file.flush()
        except (OSError, RuntimeError):
            owner = secrets.token_hex(16)  # another has it, or the cache cannot be written
        yield owner


def draft_owner(*names: str) -> str | None:
    """The owner of `draft_lock`, if there was one."""
    try:
        return read_small(_owner_file(names), Limit.SETTINGS).decode() or None
    except (OSError, RuntimeError, ValueError):
        return None


def _owner_file(names: tuple[str, ...]) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "aqea-registry" / "github" / hashlib.sha256("\n".join(names).encode()).hexdigest()


def send(client: GitHubClient, found: Found, upload: AssetUpload, source: Path | bytes, advance: Advance) -> None:
    """Send one asset, which may be there since a lost answer. Raises Refused for wrong bytes here or there, GitHubRefusal."""
    with (
        unchanged(upload.label, upload.digest),
        closing(UploadBody(source, upload.digest, upload.size, advance, upload.offset)) as body,
    ):
        for _ in range(ATTEMPTS):
            try:
                asset: Asset | None = client.upload(found, upload.name, upload.label, upload.media_type, body)
            except GitHubRefusal as error:
                if "already_exists" not in error.codes:
                    raise
                asset = client.assets(found.id).get(upload.name)
            if asset is not None and asset.name != upload.name:
                raise _other_asset(client, upload, "GitHub gave the asset another name", upload.name, asset.name)
            if asset is not None and asset.whole:
                actual = layout.digest_of_asset(client, asset)
                if actual != upload.digest:
                    raise _other_asset(client, upload, "GitHub holds other bytes than were sent", upload.digest, actual)
                return
            if asset is not None:
                client.delete_asset(asset)
    raise CannotCheck(f"{client.spec}: {upload.name} is being sent by somebody else", "try again later")


def _other_asset(client: GitHubClient, upload: AssetUpload, message: str, expected: str, actual: str) -> Refused:
    hint = "nothing was published; try again, or give the file another name in params.yaml"
    return Refused.of("mismatch", f"{client.spec}: {upload.name}", message, expected, actual, hint=hint)


def _text_upload(name: str, content: bytes, media_type: str) -> AssetUpload:
    return AssetUpload(name, name, media_type, digest_of(content), len(content), content)
