"""Attachments of a release: small documents in manifests of their own, whose `subject` is the release (OCI 1.1). Pure.

A store that can be asked for the referrers of a digest lists them itself. Elsewhere an index under the tag
`sha256-<hex>` lists them; every program that attaches something, such as cosign, adds to it and keeps what is there.

A release that is superseded or withdrawn later is not deleted: the reason is a document beside it, one more for each change,
`status-1.json`, `status-2.json`; the last one counts.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from aqea_registry.base.files import UnsafePath, safe_path
from aqea_registry.base.findings import BadConfiguration, Refused
from aqea_registry.base.strict import decode_json, decoded, parse_json
from aqea_registry.stores.release import CONFIG, LARGEST_MANIFEST, TITLE, Descriptor, ImageManifest, digest_of

ATTACHMENT_TYPE = "application/vnd.aqea-registry.attachment.v1"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
DOCUMENT_TYPE = "application/json"
FALLBACK_TAG = re.compile(r"sha256-[0-9a-f]{64}")  # not a release's


class Attachment(ImageManifest, frozen=True, kw_only=True, rename="camel"):
    """The manifest of an attachment: one layer, the document, titled with its name."""

    subject: Descriptor
    artifact_type: str = ATTACHMENT_TYPE

    @property
    def name(self) -> str:
        """The document's name."""
        return self.layers[0].annotations[TITLE]

    @property
    def document(self) -> Descriptor:
        """Which bytes the document has."""
        return self.layers[0]


def attachment(subject: Descriptor, name: str, content: bytes) -> Attachment:
    """The manifest that attaches a document to a release. Raises BadConfiguration as `check_document`."""
    check_document(name, content)
    layer = Descriptor(media_type=DOCUMENT_TYPE, digest=digest_of(content), size=len(content), annotations={TITLE: name})
    return Attachment(subject=subject, layers=(layer,), config=CONFIG)


def check_document(name: str, content: bytes) -> None:
    """Raise BadConfiguration for a name that could not be a file's, or too large a document."""
    if wrong := _wrong_name(name):
        raise BadConfiguration(wrong)
    if len(content) > LARGEST_MANIFEST:
        raise BadConfiguration(f"{name} has {len(content)} bytes; the limit for an attachment is {LARGEST_MANIFEST}")


def parse_attachment(content: bytes, subject: str, where: str) -> Attachment:
    """Read an attachment's manifest; `subject` is the digest of the release. Raises Refused, about `where`."""
    try:
        parsed = decode_json(content, Attachment)
    except ValueError as error:
        raise Refused.of("malformed", where, f"not the manifest of an attachment: {error}") from error
    if parsed.artifact_type != ATTACHMENT_TYPE or len(parsed.layers) != 1:
        wrong: str | None = "not the manifest of one attached document"
    elif parsed.subject.digest != subject:
        wrong = f"it is attached to {parsed.subject.digest}"
    else:
        wrong = _wrong_name(parsed.document.annotations.get(TITLE, ""))
    if wrong:
        raise Refused.of("malformed", where, wrong)
    return parsed


def fallback_tag(digest: str) -> str:
    """The tag of the index that lists the referrers of a digest, where the store cannot be asked for them."""
    return digest.replace(":", "-")


def attached(index: bytes, where: str) -> list[Descriptor]:
    """The manifests of our attachments that an index lists; others are left alone. Raises Refused, about `where`."""
    own = [entry for entry in _entries(index, where)["manifests"] if entry.get("artifactType") == ATTACHMENT_TYPE]
    try:
        return msgspec.convert(own, list[Descriptor])
    except msgspec.MsgspecError as error:
        raise Refused.of("malformed", where, f"not an OCI index: {error}") from error


def with_entry(index: bytes | None, entry: Mapping[str, Any], where: str) -> bytes:
    """The index with one more entry, and everything that it had; None is one that is not there yet. Raises Refused."""
    new: dict[str, Any] = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}
    value = new if index is None else _entries(index, where)
    listed = [other for other in value["manifests"] if other.get("digest") != entry["digest"]]
    return json.dumps(value | {"manifests": [*listed, dict(entry)]}, separators=(",", ":"), ensure_ascii=False).encode()


def _entries(index: bytes, where: str) -> dict[str, Any]:
    try:
        value = parse_json(index)
    except ValueError as error:
        raise Refused.of("malformed", where, f"not an OCI index: {error}") from error
    listed = value.get("manifests") if isinstance(value, dict) else None
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise Refused.of("malformed", where, "not an OCI index: it has no list of manifests")
    return dict(value)


def _wrong_name(name: str) -> str | None:
    try:
        return f"the attachment's name {name!r} has a folder" if "/" in safe_path(name) else None
    except UnsafePath as error:
        return f"the attachment's name {name!r}: {error}"


SCHEMA = "aqea-registry/status/1"
NAME = re.compile(r"status-([1-9][0-9]{0,5})\.json")


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """One mark. `by` is the tag that supersedes."""

    schema: str = SCHEMA
    digest: str
    state: Literal["superseded", "withdrawn"]
    reason: str
    by: str | None = None

    def render(self) -> bytes:
        """The document's bytes."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def text(self) -> str:
        """For people."""
        return f"superseded by {self.by}: {self.reason}" if self.state == "superseded" else f"withdrawn: {self.reason}"


def current(attachments: Mapping[str, bytes], digest: str) -> Status | None:
    """The last mark of this release."""
    return next(reversed(marks(attachments, digest)), None)


def marks(attachments: Mapping[str, bytes], digest: str) -> list[Status]:
    """The marks of this release, the last one last. A document that cannot be read is not a mark."""
    statuses = (decoded(attachments[name], Status) for _, name in sorted(_numbered(attachments)))
    return [status for status in statuses if status is not None and (status.schema, status.digest) == (SCHEMA, digest)]


def no_marks(attachments: Mapping[str, bytes], digest: str) -> dict[str, str]:
    """The documents that are called marks and cannot be read as ones of this release, each with what that means."""
    names = [name for _, name in _numbered(attachments) if not marks({name: attachments[name]}, digest)]
    return dict.fromkeys(sorted(names), "not a mark of this release: whether it was withdrawn or superseded is not known")


def next_name(attachments: Mapping[str, bytes]) -> str:
    """The name of one more mark."""
    return f"status-{max((number for number, _ in _numbered(attachments)), default=0) + 1}.json"


def _numbered(attachments: Mapping[str, bytes]) -> list[tuple[int, str]]:
    return [(int(match[1]), name) for name in attachments if (match := NAME.fullmatch(name))]
