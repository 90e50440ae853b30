"""A release as GitHub holds it: which assets a file is, their bytes as one stream, and what is known without them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, cast

import msgspec

from aqea_registry.core.files import BLOCK, Advance, hash_stream
from aqea_registry.core.findings import Finding, Refused
from aqea_registry.core.release import LARGEST_MANIFEST, Descriptor, Release
from aqea_registry.stores.base import Held
from aqea_registry.stores.github_client import Asset, Client
from aqea_registry.stores.github_parts import PARTS, Parts, Whole, asset_name
from aqea_registry.stores.streams import Incoming

Assets = Mapping[str, Asset]


def read_parts(client: Client, assets: Assets) -> Parts:
    """What `parts.json` says; nothing if it is not there. Raises Refused, CannotCheck."""
    asset = assets.get(PARTS)
    if asset is None or not asset.whole:
        return Parts()
    try:
        return msgspec.json.decode(client.read(asset, LARGEST_MANIFEST), type=Parts)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        finding = Finding(code="malformed", subject=f"{client.spec}: {PARTS}", message=str(error))
        raise Refused(f"{client.spec}: {PARTS} is no list of parts: {error}", [finding]) from error


def digest_of_asset(client: Client, asset: Asset) -> str:
    """As GitHub reports it, or of the bytes if it reports none. `sha256:...`."""
    return asset.digest or _hash(client, [(asset, asset.size)], lambda _: None)[0]


def look(client: Client, assets: Assets, release: Release, deep: bool, advance: Advance) -> Iterator[Held]:
    """Each file of a release as these assets have it. Raises Refused, CannotCheck."""
    parts = read_parts(client, assets)
    for path, layer in sorted(release.files().items()):
        single = assets.get(asset_name(path))
        if path in parts.files and single is None:
            yield _look_at_parts(client, assets, path, parts.files[path], deep, advance)
        elif single is None or not single.whole:
            yield Held(path=path, how="not there")
        elif deep or single.digest is None:
            digest, size = _hash(client, [(single, layer.size)], advance)
            yield Held(path=path, how="hashed" if deep else "fetched", digest=digest, size=size)
        else:
            yield Held(path=path, how="asset digest", digest=single.digest, size=single.size)


def _look_at_parts(client: Client, assets: Assets, path: str, whole: Whole, deep: bool, advance: Advance) -> Held:
    """A file in parts. Without its bytes its digest is what `parts.json` says, if every part is what that says, too."""
    found = [(assets.get(part.name), part) for part in whole.parts]
    there = [(asset, part) for asset, part in found if asset is not None and asset.whole]
    if len(there) < len(found):
        return Held(path=path, how="not there")
    if deep or any(asset.digest is None for asset, _ in there):
        digest, size = _hash(client, [(asset, part.size) for asset, part in there], advance)
        return Held(path=path, how="hashed" if deep else "fetched", digest=digest, size=size)
    wrong = next((asset.digest for asset, part in there if asset.digest != part.digest), None)
    return Held(path=path, how="part digests", digest=wrong or whole.digest, size=sum(asset.size for asset, _ in there))


def open_file(client: Client, assets: Assets, path: str, layer: Descriptor, offset: int) -> BinaryIO:
    """A file's bytes from `offset` on. Raises Refused if it is not there; opening and reading raise CannotCheck, NotAllowed."""
    single = assets.get(asset_name(path))
    pieces = [(single, layer.size)] if single is not None else []
    if single is None and (whole := read_parts(client, assets).files.get(path)) is not None:
        pieces = [(asset, part.size) for part in whole.parts if (asset := assets.get(part.name)) is not None]
        pieces = pieces if len(pieces) == len(whole.parts) else []
        if not whole.parts:
            return io.BytesIO()
    if not pieces or not all(asset.whole for asset, _ in pieces):
        message = "the release has no such asset any more, or only a part of it"
        raise Refused.of("missing", f"{client.spec}: {path}", message, layer.digest)
    return cast(BinaryIO, io.BufferedReader(_Joined(client, pieces, offset), BLOCK))


def _hash(client: Client, pieces: list[tuple[Asset, int]], advance: Advance) -> tuple[str, int]:
    """Digest and size of the bytes, of which those beyond the expected ones are not all read."""
    with _Joined(client, pieces, 0) as incoming:
        found = hash_stream(incoming, sum(size for _, size in pieces), advance)
    return f"sha256:{found.sha256}", found.size


class _Joined(io.RawIOBase):
    """The bytes of assets of known sizes, one after the other, from `offset` on. Each is opened when its turn comes."""

    def __init__(self, client: Client, pieces: list[tuple[Asset, int]], offset: int) -> None:
        self._client = client
        self._waiting = list(pieces)
        while len(self._waiting) > 1 and offset >= self._waiting[0][1]:
            offset -= self._waiting.pop(0)[1]
        self._offset = offset
        self._open: Incoming | None = None

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes. Raises CannotCheck, NotAllowed."""
        while self._open is not None or self._waiting:
            if self._open is None:
                asset, size = self._waiting.pop(0)
                self._open, self._offset = self._incoming(asset, size, self._offset), 0
            if count := self._open.readinto(buffer):
                return count
            self._open.close()
            self._open = None
        return 0

    def close(self) -> None:
        """Close the connection, if not all was read."""
        if self._open is not None:
            self._open.close()
        super().close()

    def _incoming(self, asset: Asset, size: int, offset: int) -> Incoming:
        client = self._client
        return Incoming(size, offset, lambda at: client.stream(asset, at), lambda call: client.patiently(asset.name, call))
