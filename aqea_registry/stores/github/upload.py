"""A release on its way to GitHub: into a draft that only its makers see, checked there, then published in one request.

GitHub changes nothing under a guard: an asset that looks half uploaded, and is deleted to be sent again, may be whole and
published by then. So nobody touches another's draft. A draft is marked with a word that stands in a file in this user's
cache, and who holds the lock of that file goes on with it: a push that was killed is finished by the next one from there.
From elsewhere the release is sent again, in a draft of its own; of all drafts of a release the first is published, and then
the others are deleted. Whoever is told that something is gone or there already (`Answered`) looks again from the start.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from aqea_registry.base.files import BLOCK, Advance, ignore, open_regular
from aqea_registry.base.findings import CannotCheck, Finding, NotAllowed, Refused
from aqea_registry.stores.github.api import ABSENT, INVALID, Answered, Asset, Client, Found, Slice
from aqea_registry.stores.github.assets import (
    ATTACHMENT,
    PARTS,
    Part,
    Parts,
    Whole,
    asset_name,
    describe,
    digest_of_asset,
    marked,
    part_names,
)
from aqea_registry.stores.port import Content, changed_file, unreadable_file
from aqea_registry.stores.release import MANIFEST_TYPE, RECORD, Descriptor, Release, digest_of

ATTEMPTS = 6  # to send one asset


class Piece(NamedTuple):
    """What one asset is to hold. `source` is a path of the release, or the bytes."""

    name: str
    label: str
    media_type: str
    digest: str
    size: int  # bytes
    source: str | bytes
    offset: int = 0


class Sending:
    """One push. `part` is the size of the largest asset, in bytes; `owner` the word of whoever holds the release's lock."""

    def __init__(self, client: Client, tag: str, release: Release, content: Content, notes: str, part: int, owner: str) -> None:
        self._client, self._tag, self._release, self._content = client, tag, release, content
        self._notes, self._part, self._owner = notes, part, owner
        self._made: list[Piece] = []

    def publish(self, advance: Advance) -> Found:
        """Fill a draft and publish it. Raises Answered if somebody else changed the releases meanwhile; Refused."""
        draft = self._draft()
        self.fill(draft, advance)
        try:
            return self._client.publish(draft, describe(self._notes, self._release.digest()))
        except Answered as error:
            if error.status == INVALID and "already_exists" not in error.codes:
                raise NotAllowed(
                    f"{self._client.spec}: GitHub does not publish {self._tag}: {error.said}", "publish it under a new tag"
                ) from error
            raise

    def fill(self, found: Found, advance: Advance) -> None:
        """Send what a release of ours has not, and see that GitHub reports every digest. Raises Answered, Refused."""
        pieces, held = self._pieces(), self._client.assets(found.id)
        names = {piece.name for piece in pieces}
        if found.draft:
            for asset in held.values():
                if asset.name not in names and not asset.name.startswith(ATTACHMENT):
                    self._client.delete_asset(asset)
        for piece in pieces:
            there = held.get(piece.name)
            if there is not None and self._good(there, piece):
                continue
            if there is not None:
                self._client.delete_asset(there)
            source = piece.source if isinstance(piece.source, bytes) else self._content(piece.source)
            send(self._client, found, piece, source, advance)
        held = self._client.assets(found.id)
        if not all(piece.name in held and self._good(held[piece.name], piece) for piece in pieces):
            raise Answered(self._client.spec, ABSENT, "somebody else changed the release while it was published")

    def discard(self) -> None:
        """Delete all drafts of this release. Only once the tag is published: until then somebody may publish one of them."""
        for draft in chain.from_iterable(drafts(self._client, self._tag, self._release.digest()).values()):
            self._client.delete(draft)

    def _draft(self) -> Found:
        digest = self._release.digest()
        ours = own_draft(self._client, self._tag, digest, self._owner)
        return ours or self._client.create(self._tag, describe(self._notes, digest, self._owner))

    def _good(self, asset: Asset, piece: Piece) -> bool:
        return asset.whole and digest_of_asset(self._client, asset) == piece.digest

    def _pieces(self) -> list[Piece]:
        if not self._made:
            self._made = list(self._make())
        return self._made

    def _make(self) -> Iterator[Piece]:
        wholes: dict[str, Whole] = {}
        for path, layer in sorted(self._release.files().items()):
            names = part_names(path, layer, self._part)
            if names is None:
                yield Piece(asset_name(path), path, layer.media_type, layer.digest, layer.size, path)
                continue
            wholes[path] = self._split(path, layer, names)
            for number, part in enumerate(wholes[path].parts):
                label = f"{path} (part {number + 1} of {len(names)})"
                yield Piece(part.name, label, layer.media_type, part.digest, part.size, path, number * self._part)
        if wholes:
            yield _text_piece(PARTS, Parts(files=wholes).render(), "application/json")
        yield _text_piece(RECORD, self._release.render(), MANIFEST_TYPE)

    def _split(self, path: str, layer: Descriptor, names: tuple[str, ...]) -> Whole:
        """Hash a file in parts, and as a whole. Raises Refused if it is not what the release names."""
        whole, parts, rest = hashlib.sha256(), [], layer.size
        with closing(_opened(self._content(path), path)) as file:
            for name in names:
                piece = hashlib.sha256()
                size = min(self._part, rest)
                body = Slice(file, path, layer.size - rest, size, ignore)
                while block := body.read(BLOCK):
                    piece.update(block)
                    whole.update(block)
                parts.append(Part(name=name, digest=f"sha256:{piece.hexdigest()}", size=size))
                rest -= size
        _check_source(path, layer.digest, f"sha256:{whole.hexdigest()}")
        return Whole(digest=layer.digest, parts=tuple(parts))


def drafts(client: Client, tag: str, digest: str) -> dict[str, list[Found]]:
    """The drafts of a release by their owners' words."""
    found: dict[str, list[Found]] = {}
    for each in client.releases():
        mark = marked(each.text) if each.draft and each.tag == tag else None
        if mark is not None and mark[0] == digest:
            found.setdefault(mark[1], []).append(each)
    return found


def own_draft(client: Client, tag: str, digest: str, owner: str) -> Found | None:
    """The draft of one owner. Lost answers may have left several: the fullest."""
    return max(drafts(client, tag, digest).get(owner, ()), key=lambda draft: len(draft.names), default=None)


@contextmanager
def alone(*names: str, wait: bool) -> Iterator[str]:
    """The word that drafts of what is so named are marked with, while nobody else of this user has it.

    If somebody has it, `wait`, or get one that was never used: nothing is found again then.
    """
    word = secrets.token_hex(16)
    with ExitStack() as stack:
        try:
            path = _word_file(names)
            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(path.open("a+"))
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.seek(0)
            if held := file.read():
                word = held
            else:
                file.write(word)
                file.flush()
        except (OSError, RuntimeError):
            word = secrets.token_hex(16)  # somebody has it, or there is no place to write
        yield word


def known_word(*names: str) -> str | None:
    """The word of `alone`, if there was one."""
    try:
        return _word_file(names).read_text() or None
    except (OSError, RuntimeError):
        return None


def _word_file(names: tuple[str, ...]) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "aqea-registry" / "github" / hashlib.sha256("\n".join(names).encode()).hexdigest()


def send(client: Client, found: Found, piece: Piece, source: Path | bytes, advance: Advance) -> None:
    """Send one asset, which may be there since an answer was lost. Raises Refused for wrong bytes here or there; Answered."""
    with closing(_opened(source, piece.label)) as file:
        body = Slice(file, piece.label, piece.offset, piece.size, advance)
        for _ in range(ATTEMPTS):
            try:
                asset: Asset | None = client.upload(found, piece.name, piece.label, piece.media_type, body)
            except Answered as error:
                if "already_exists" not in error.codes:
                    raise
                asset = client.assets(found.id).get(piece.name)
            else:
                _check_source(piece.label, piece.digest, body.digest())
                _check_name(client, piece, asset)
            if asset is not None and asset.whole:
                _check_kept(client, piece, digest_of_asset(client, asset))
                return
            if asset is not None:
                client.delete_asset(asset)
    raise CannotCheck(f"{client.spec}: {piece.name} is being sent by somebody else", "try again later")


def _opened(source: Path | bytes, what: str) -> io.BytesIO | io.FileIO:
    try:
        return io.BytesIO(source) if isinstance(source, bytes) else open_regular(source)
    except OSError as error:
        raise unreadable_file(what, error) from error


def _text_piece(name: str, content: bytes, media_type: str) -> Piece:
    return Piece(name, name, media_type, digest_of(content), len(content), content)


def _check_source(path: str, expected: str, actual: str) -> None:
    if actual != expected:
        raise changed_file(path, expected, actual)


def _check_name(client: Client, piece: Piece, asset: Asset | None) -> None:
    if asset is not None and asset.name != piece.name:
        message = "GitHub gave the asset another name"
        subject = f"{client.spec}: {piece.name}"
        finding = Finding(code="mismatch", subject=subject, expected=piece.name, actual=asset.name, message=message)
        raise Refused(f"{subject}: {message}: {asset.name}", [finding], "give the file another name in params.yaml")


def _check_kept(client: Client, piece: Piece, actual: str) -> None:
    if actual != piece.digest:
        message = "GitHub holds other bytes than were sent"
        subject = f"{client.spec}: {piece.name}"
        finding = Finding(code="mismatch", subject=subject, expected=piece.digest, actual=actual, message=message)
        raise Refused(f"{subject}: {message}; nothing was published", [finding], "try again; what is wrong is replaced")
