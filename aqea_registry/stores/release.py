"""A release: an OCI image manifest with one layer per file. Its identity is the sha256 of the manifest's bytes.

The manifest holds no time, no tag and no machine: the same files give the same digest. The config is the empty JSON
object. Its media type is that of an image config, not `application/vnd.oci.empty.v1+json`, because skopeo before 1.10
refuses to inspect anything else; `artifactType` says what this is.
"""

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec

from aqea_registry.base.files import UnsafePath, safe_path
from aqea_registry.base.findings import Finding
from aqea_registry.base.strict import decode_json, decoded

ARTIFACT_TYPE = "application/vnd.aqea-registry.release.v1"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
EMPTY_CONFIG = b"{}"
TITLE = "org.opencontainers.image.title"
LIST = "MANIFEST.sha256"  # of a release itself: every other file of it
RECORD = "release.json"  # the manifest's bytes, in stores that keep files and not manifests
LEFT_OUT = "aqea-registry.left-out"  # annotation of a result: hex sha256, bytes and path of its vector set, which is not here
_LEFT_OUT = re.compile(r"([0-9a-f]{64}) ([0-9]{1,18}) (.+)")
LARGEST_MANIFEST = 4 << 20  # what registries accept, and a bound on what is parsed
RESERVED = frozenset({".git", "git~1", ".aqea", ".aqea-incoming"})  # names that would act on whoever pulls a file of them
LONGEST_NAME, LONGEST_PATH = 255, 1024  # bytes: what all common file systems take
LAYER_TYPES = {
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".svg": "image/svg+xml",
}
# How the digest of a stored file is known, without its bytes or with them.
How = Literal["descriptor", "lfs sha256", "asset digest", "part digests", "fetched", "hashed", "not there"]
Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """OCI's content descriptor: what kind of bytes, which, and how many."""

    media_type: str
    digest: Digest
    size: Annotated[int, msgspec.Meta(ge=0)]
    annotations: dict[str, str] = {}


class ImageManifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An image manifest. Its one spelling has sorted keys and no spaces."""

    layers: tuple[Descriptor, ...]
    config: Descriptor
    schema_version: int = 2
    media_type: str = MANIFEST_TYPE
    artifact_type: str

    def render(self) -> bytes:
        """The manifest's bytes: the same content gives the same bytes."""
        return json.dumps(msgspec.to_builtins(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def digest(self) -> str:
        """The manifest's identity, `sha256:` and 64 hex digits."""
        return digest_of(self.render())

    def descriptor(self) -> Descriptor:
        """The manifest itself, as a store keeps it."""
        content = self.render()
        return Descriptor(media_type=MANIFEST_TYPE, digest=digest_of(content), size=len(content))

    def entry(self) -> dict[str, Any]:
        """How an index lists it."""
        return {**msgspec.to_builtins(self.descriptor()), "artifactType": self.artifact_type}


class Release(ImageManifest, frozen=True, kw_only=True, rename="camel"):
    """The manifest of a release."""

    artifact_type: str = ARTIFACT_TYPE

    def files(self) -> dict[str, Descriptor]:
        """Path to descriptor of every file."""
        return {layer.annotations[TITLE]: layer for layer in self.layers}

    def left_out(self) -> dict[str, Descriptor]:
        """Path to descriptor of every vector set of the run that the release does not hold."""
        named = (_LEFT_OUT.fullmatch(layer.annotations.get(LEFT_OUT, "")) for layer in self.layers)
        return {match[3]: _layer(match[3], match[1], int(match[2])) for match in named if match}

    def subjects(self) -> dict[str, str]:
        """What a statement on it may refer to, with hex sha256: the release itself, its files and those left out of it."""
        files = {path: layer.digest.removeprefix("sha256:") for path, layer in (self.files() | self.left_out()).items()}
        return {"release": self.digest().removeprefix("sha256:"), **files}

    def blobs(self) -> list[Descriptor]:
        """All files and the config, each content once, sorted by digest."""
        return [blob for _, blob in sorted({blob.digest: blob for blob in (*self.layers, self.config)}.items())]

    def size(self) -> int:
        """The bytes of all files together."""
        return sum(layer.size for layer in self.layers)


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a release as a store has it. `digest` is `sha256:...`; None if the store has no such file."""

    path: str
    how: How
    digest: str | None = None
    size: int | None = None  # bytes


class NotARelease(ValueError):
    """The bytes are not a release's manifest; the message is the reason."""


def digest_of(content: bytes) -> str:
    """OCI's digest of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


CONFIG = Descriptor(media_type=CONFIG_TYPE, digest=digest_of(EMPTY_CONFIG), size=len(EMPTY_CONFIG))


def build(files: Iterable[tuple[str, str, int]], left_out: Mapping[str, str] = {}) -> Release:
    """A release of files given as (path, hex sha256, size in bytes), sorted by path; `left_out` has what to say at results."""
    layers = (_layer(*file, {LEFT_OUT: left_out[file[0]]} if file[0] in left_out else {}) for file in sorted(files))
    return Release(layers=tuple(layers), config=CONFIG)


def _layer(path: str, sha256: str, size: int, notes: Mapping[str, str] = {}) -> Descriptor:
    kind = LAYER_TYPES.get(path[path.rfind(".") :], "text/plain")
    return Descriptor(media_type=kind, digest=f"sha256:{sha256}", size=size, annotations={TITLE: path, **notes})


def parse(content: bytes) -> Release:
    """Read a manifest from a store. Raises NotARelease for anything that could not be restored safely."""
    if len(content) > LARGEST_MANIFEST:
        raise NotARelease(f"the manifest has {len(content)} bytes; the limit is {LARGEST_MANIFEST}")
    try:
        release = decode_json(content, Release)
    except ValueError as error:
        raise NotARelease(f"not an OCI image manifest: {error}") from error
    if release.artifact_type != ARTIFACT_TYPE:
        raise NotARelease(f"the artifact is {release.artifact_type or 'of no type'}, not {ARTIFACT_TYPE}")
    if release.media_type != MANIFEST_TYPE or release.schema_version != 2:
        raise NotARelease(f"mediaType {release.media_type} and schemaVersion {release.schema_version} are no image manifest's")
    if not release.layers:
        raise NotARelease("the release has no files")
    _check_paths([*release.layers, *release.left_out().values()])
    sizes: dict[str, int] = {}
    for layer in release.layers:
        if sizes.setdefault(layer.digest, layer.size) != layer.size:
            raise NotARelease(f"layer {layer.digest} has two sizes")
    if release.digest() != digest_of(content):
        raise NotARelease("the manifest has more than a release has, or has another spelling")
    return release


class _AnyManifest(msgspec.Struct, rename="camel"):
    """As much of any manifest as says what it is."""

    schema_version: int
    media_type: str = ""
    artifact_type: str = ""
    config: Any = None
    layers: Any = None
    fs_layers: Any = None
    manifests: Any = None


def other_content(content: bytes, file: str = "") -> str | None:
    """What the bytes are (those of a `file` in a store of files) that are something else and valid; None for all others."""
    manifest = decoded(content, _AnyManifest)
    if manifest is None:
        return f"another program's {file}" if file and is_object(content) and b'"schemaVersion"' not in content else None
    kind = manifest.artifact_type or (str(manifest.config.get("mediaType", "")) if isinstance(manifest.config, dict) else "")
    docker = "docker" in manifest.media_type + kind
    if manifest.manifests is not None:
        return "a Docker manifest list" if docker else "an OCI image index"
    if manifest.fs_layers is not None or (docker and manifest.layers is not None):
        return "a Docker image"
    if manifest.layers is None or kind.startswith(ARTIFACT_TYPE.removesuffix("1")):
        return None
    return "an OCI image" if kind in {"", CONFIG_TYPE} else f"an OCI artifact of type {kind[:100]}"


def is_manifest(content: bytes) -> bool:
    """Whether the bytes are a manifest of any kind, or were meant to be one."""
    return decoded(content, _AnyManifest) is not None


def is_object(content: bytes) -> bool:
    """Whether the bytes are a JSON object, as every list of a registry is."""
    return decoded(content, dict[str, msgspec.Raw]) is not None


def _check_paths(layers: Iterable[Descriptor]) -> None:
    """Refuse paths that lead out, that `pull`, git or file systems do not take, or that clash with another."""
    seen: dict[str, str] = {}
    for layer in layers:
        path = layer.annotations.get(TITLE, "")
        try:
            folded = _folded(safe_path(path))
        except UnsafePath as error:
            raise NotARelease(f"layer {path!r}: {error}") from error
        if folded in seen:
            raise NotARelease(f"layers {seen[folded]!r} and {path!r} would be one file on some file systems")
        seen[folded] = path
    for folded, path in seen.items():
        parts = folded.split("/")
        above = next((seen[at] for at in ("/".join(parts[:n]) for n in range(1, len(parts))) if at in seen), None)
        if above is not None:
            raise NotARelease(f"layer {above!r} is a file and a folder of {path!r}")


def _folded(path: str) -> str:
    """The path as a file system sees it that ignores case, Unicode forms and unseen characters. Raises UnsafePath."""
    seen = path if path.isascii() else "".join(letter for letter in path if unicodedata.category(letter) != "Cf")
    folded = unicodedata.normalize("NFC", seen).casefold()
    if name := next((name for name in folded.split("/") if name.rstrip(". ") in RESERVED), None):
        raise UnsafePath(f"the name {name!r} is kept for git and for this program")
    if len(path.encode()) > LONGEST_PATH or any(len(part.encode()) > LONGEST_NAME for part in path.split("/")):
        raise UnsafePath(f"a name may have {LONGEST_NAME} bytes, and a path {LONGEST_PATH}")
    return folded


def compare_with_store(
    reference: str, release: Release, stored: Iterable[StoredFile], why: Callable[[StoredFile, Descriptor], str] = lambda *_: ""
) -> list[Finding]:
    """Compare what a store has with what the release names: a finding for each file that is gone or has other bytes."""
    layers = release.files()
    findings = []
    for file in stored:
        layer = layers[file.path]
        subject = f"{reference}: {file.path}"
        if file.digest is None:
            message = "the store does not have the file"
            findings.append(Finding("missing", subject, message, layer.digest))
        elif file.digest != layer.digest or file.size not in (layer.size, None):  # some registries report no sizes
            expected, actual = f"{layer.digest} ({layer.size} bytes)", f"{file.digest} ({file.size} bytes)"
            message = f"the store's bytes are not those that the release names (known by: {file.how}){why(file, layer)}"
            findings.append(Finding("mismatch", subject, message, expected, actual))
    return findings


def how_checked(stored: Iterable[StoredFile]) -> str:
    """How many files were checked in which way, for people."""
    words = {"fetched": "fetched and hashed", "hashed": "hashed", "not there": "not there"}
    counts = Counter(file.how for file in stored)
    return ", ".join(f"{count} {words.get(how, f'by {how}')}" for how, count in counts.items())
