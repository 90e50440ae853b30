"""How a release becomes GitHub's flat list of assets and a description, and how the assets are read back.

A file is one asset: its path with `--` for `/`. GitHub takes no empty asset and none of 2 GiB or more, so such files are
sent in parts, none or several, and `parts.json` says which. `release.json` is the release's manifest, byte for byte, and
`SHA256SUMS` lists all of them by their names.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, BinaryIO

import msgspec

from aqea_registry.base.files import Advance, hash_stream, ignore
from aqea_registry.base.findings import BadConfiguration, Refused
from aqea_registry.base.references import asset_name
from aqea_registry.base.strict import decode_json, decoded
from aqea_registry.stores.github_client import Asset, GitHubClient
from aqea_registry.stores.release import LARGEST_MANIFEST, RECORD, Descriptor, Digest, How, Release, StoredFile

PARTS = "parts.json"
SUMS = "SHA256SUMS"  # lists the assets by their names, for who downloads them by hand
ATTACHMENT = "attachment."
PART = (2 << 30) - 1  # bytes: what GitHub takes as one asset
MOST = 1000  # assets of a release
LONGEST_NOTES = 60_000  # characters; GitHub takes 125,000 in all
LONGEST_TEXT = 124_000
NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")  # what GitHub does not change
_MARKER = re.compile(r"^<!-- aqea-registry release (sha256:[0-9a-f]{64})(?: in work by ([0-9a-f]+))? -->$", re.MULTILINE)
_EMBEDDED = re.compile(r"^<!-- aqea-registry attachment ([A-Za-z0-9._-]+)\n([A-Za-z0-9+/=\n]*)-->$", re.MULTILINE)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One asset with a piece of a file."""

    name: str
    digest: Digest
    size: Annotated[int, msgspec.Meta(ge=1)]  # bytes


class SplitFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is in parts, or in one."""

    digest: Digest
    parts: tuple[Part, ...]


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """`parts.json`: the files that are in parts, by path."""

    schema: str = "aqea-registry/parts/1"
    files: dict[str, SplitFile] = {}

    def render(self) -> bytes:
        """The asset's bytes."""
        return json.dumps(msgspec.to_builtins(self), sort_keys=True, indent=2).encode() + b"\n"


def part_names(path: str, layer: Descriptor, part: int) -> tuple[str, ...] | None:
    """The assets of a file that must be sent in parts; None for one that is sent whole. `part` is in bytes."""
    if 0 < layer.size <= part:
        return None
    return tuple(f"{asset_name(path)}.part{number:03}" for number in range(1, -(-layer.size // part) + 1))


def check_names(release: Release, part: int) -> None:
    """Raise BadConfiguration for more assets than GitHub takes, for one that it would rename, and for two of one name."""
    taken: dict[str, str] = {RECORD: "the release's record", PARTS: "the list of parts", SUMS.casefold(): "the list of assets"}
    for path, layer in sorted(release.files().items()):
        for name in part_names(path, layer, part) or (asset_name(path),):
            what, advice = f"{path} cannot be kept on GitHub", "give it another name in params.yaml"
            if not NAME.fullmatch(name) or name.startswith(ATTACHMENT):
                message = f"{what}: it takes letters, digits, '.', '_' and '-' in an asset's name, and would rename {name}"
                raise BadConfiguration(message, advice)
            if name.casefold() in taken:
                raise BadConfiguration(f"{what}: {taken[name.casefold()]} is the asset {name} too", advice)
            taken[name.casefold()] = path
    if len(taken) > MOST:
        message = f"GitHub takes {MOST} assets a release, and this one would have {len(taken)}"
        raise BadConfiguration(message, "publish it to the Hub or an OCI registry, or make several releases of it")


# The release's description


def describe(notes: str, digest: str, owner: str | None = None) -> str:
    """The text of a release: the notes for people, then which release it is for programs; of a draft, whose it is."""
    notes = notes if len(notes) <= LONGEST_NOTES else f"{notes[:LONGEST_NOTES].rstrip()}\n\n[...]"
    work = f" in work by {owner}" if owner else ""
    return f"{notes.strip()}\n\n<!-- aqea-registry release {digest}{work} -->\n".lstrip()


def marked(text: str) -> tuple[str, str] | None:
    """The digest of the release that a text was made for, and whose draft it is or ""; None if it is not one."""
    markers: list[tuple[str, str]] = _MARKER.findall(text)
    return markers[-1] if markers else None


def embed(text: str, name: str, content: bytes) -> str:
    """The text with an attachment in a comment, which the release's page does not show."""
    return f"{text.rstrip()}\n\n<!-- aqea-registry attachment {name}\n{base64.encodebytes(content).decode()}-->\n"


def embedded(text: str) -> dict[str, bytes]:
    """The attachments in a text, by name. The first of a name stays."""
    documents: dict[str, bytes] = {}
    for name, encoded in _EMBEDDED.findall(text):
        try:
            documents.setdefault(name, base64.b64decode(encoded.replace("\n", ""), validate=True))
        except binascii.Error:
            continue  # edited by hand; it is not a document any more
    return documents


def notice(content: bytes) -> str | None:
    """A status document as a line for the release's page; None if it cannot be read."""
    status = decoded(content, dict[str, Any]) or {}
    state = status.get("state")
    if not isinstance(state, str) or not state.strip():
        return None
    by = f" by {_plain(status['by'])}" if status.get("by") else ""
    reason = f": {_plain(status['reason'])}" if status.get("reason") else ""
    return f"> **{_plain(state).capitalize()}**{by}{reason}"


def with_notice(text: str, line: str) -> str:
    """The text with a line at its top, once; the newest stands first."""
    return text if line in text.splitlines() else f"{line}\n\n{text}"


def _plain(value: object) -> str:
    """A value as one line of text in which nothing is markup of a comment."""
    return " ".join(str(value).split()).replace("<", "&lt;").replace(">", "&gt;")


Pieces = list[tuple[Asset, int]]  # assets with the bytes that each should have, which together are one file


class StoredAssets:
    """The assets of one release on GitHub, by name as it listed them, and the files of a release in them."""

    def __init__(self, client: GitHubClient, listed: Mapping[str, Asset]) -> None:
        self._client, self._listed = client, listed

    def whole(self, name: str) -> Asset | None:
        """The asset of a name, if it is all there."""
        asset = self._listed.get(name)
        return asset if asset is not None and asset.whole else None

    @cached_property
    def _split(self) -> dict[str, SplitFile]:
        """What `parts.json` has; nothing if it is not there. Raises Refused, CannotCheck."""
        asset = self.whole(PARTS)
        try:
            return decode_json(self._client.read(asset, LARGEST_MANIFEST), Parts).files if asset else {}
        except ValueError as error:
            raise Refused.of("malformed", f"{self._client.spec}: {PARTS}", f"not a list of parts: {error}") from error

    def _file(self, path: str, layer: Descriptor) -> tuple[SplitFile, Pieces | None]:
        """A file as it was sent, and its assets; None in their place if one is not there, or not whole."""
        name = asset_name(path)
        whole = SplitFile(digest=layer.digest, parts=(Part(name=name, digest=layer.digest, size=layer.size),))
        file = whole if name in self._listed else self._split.get(path, whole)
        pieces = [(asset, part.size) for part in file.parts if (asset := self.whole(part.name))]
        return file, pieces if len(pieces) == len(file.parts) else None

    def stored(self, release: Release, deep: bool, advance: Advance) -> Iterator[StoredFile]:
        """Each file of a release as these assets have it. Raises Refused, CannotCheck."""
        for path, layer in sorted(release.files().items()):
            file, pieces = self._file(path, layer)
            if pieces is None:
                yield StoredFile(path=path, how="not there")
            elif deep or any(asset.digest is None for asset, _ in pieces):
                digest, size = self._hash(pieces, advance)
                yield StoredFile(path=path, how="hashed" if deep else "fetched", digest=digest, size=size)
            else:  # it is the file if every asset has the digest that it should have
                digests = zip((asset.digest for asset, _ in pieces), (part.digest for part in file.parts), strict=True)
                wrong = next((actual for actual, wanted in digests if actual != wanted), None)
                how: How = "asset digest" if asset_name(path) in self._listed else "part digests"
                yield StoredFile(path=path, how=how, digest=wrong or file.digest, size=sum(asset.size for asset, _ in pieces))

    def missing(self, release: Release) -> list[Descriptor]:
        """The files of a release that these assets do not have."""
        layers = release.files()
        return [layers[file.path] for file in self.stored(release, False, ignore) if file.digest != layers[file.path].digest]

    def open(self, path: str, layer: Descriptor, offset: int) -> BinaryIO:
        """A file's bytes from `offset` on. Raises Refused if it is not there, NotAllowed, CannotCheck."""
        _, pieces = self._file(path, layer)
        if pieces is None:
            message = "the release has no such asset any more, or only a part of it"
            raise Refused.of("missing", f"{self._client.spec}: {path}", message, layer.digest)
        return self._client.open(pieces, offset).buffered()

    def ids(self, paths: Iterable[str]) -> dict[str, object]:
        """The number of each file's asset; of a file in parts, those of all its parts."""
        ids: dict[str, object] = {}
        for path in paths:
            if (asset := self._listed.get(asset_name(path))) is not None:
                ids[path] = asset.id
            elif path in self._split:
                ids[path] = [self._listed[part.name].id for part in self._split[path].parts if part.name in self._listed]
        return ids

    def digest(self, asset: Asset) -> str:
        """As GitHub reports it, or of the bytes if it reports none. `sha256:...`."""
        return asset.digest or self._hash([(asset, asset.size)], ignore)[0]

    def has(self, name: str, digest: str) -> bool:
        """Whether an asset of this name is all there, and has this digest."""
        asset = self.whole(name)
        return asset is not None and self.digest(asset) == digest

    def _hash(self, pieces: Pieces, advance: Advance) -> tuple[str, int]:
        """Digest and size of the bytes, of which those beyond the expected ones are not all read."""
        with self._client.open(pieces, 0) as incoming:
            digest = hash_stream(incoming, sum(size for _, size in pieces), advance)
        return f"sha256:{digest.sha256}", digest.size
