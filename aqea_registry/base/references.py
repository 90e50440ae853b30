"""STORE-REFs: recognise the name of a release in a store, and split it into the store and the tag. Pure."""

import re
from typing import NamedTuple

from aqea_registry.base.findings import BadConfiguration

FORMS = (
    "oci:DIR:TAG, oci://HOST/NAME:TAG, hf://datasets/ORG/NAME@REV or github://OWNER/REPO@TAG; "
    "a digest may follow, or stand in the place of the tag: @sha256: and 64 hex digits"
)
_DIGEST = re.compile(r"@(sha256:[0-9a-f]{64})\Z")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class ReleaseName(NamedTuple):
    """A STORE-REF: the store's spec, the tag or the digest in its place, and the digest that is demanded, if one is."""

    spec: str
    tag: str
    digest: str | None = None


def is_reference(text: str) -> bool:
    """Whether the text names a release in a store, and not a file."""
    return text.startswith(("oci:", "hf://", "github://"))


def is_bare_tag(text: str) -> bool:
    """Whether the text can be a tag alone, with or without a digest: then the default store is meant."""
    return TAG.fullmatch(_DIGEST.sub("", text)) is not None


def is_folder(spec: str) -> bool:
    """Whether the store is an OCI image layout in a folder, which needs no client."""
    return re.match(r"oci:(?!//).", spec) is not None


def split_reference(text: str) -> ReleaseName:
    """Read a STORE-REF. Raises BadConfiguration."""
    digest = match[1] if (match := _DIGEST.search(text)) else None
    rest = text[: match.start()] if match else text
    spec, _, tag = rest.rpartition(separator(text))
    if not tag or "/" in tag or spec in {"oci", "oci:"}:
        spec, tag = rest, digest or ""
    if (
        not is_reference(text)
        or not tag
        or re.search("@sha[0-9]+:", rest, re.I)
        or spec in {"oci:", "oci://", "hf://", "github://"}
    ):
        hint = f"write {FORMS}; those of a store: aqea-registry releases STORE"
        raise BadConfiguration(f"{without_login(text)!r} is not the name of a release in a store", hint)
    return ReleaseName(spec, tag, digest)


def without_login(text: str) -> str:
    """An address as messages show it: a login does not belong there, and not into a message either."""
    return re.sub("//[^/@]*@", "//...@", text)


def join_reference(spec: str, tag: str, digest: str | None = None) -> str:
    """The STORE-REF of a tag in a store, with the digest that a reader may demand of it: `split_reference` gives them back."""
    named = spec if tag == digest else f"{spec}{separator(spec)}{tag}"
    return f"{named}@{digest}" if digest else named


def address(reference: str) -> str | None:
    """Where a browser shows the release that a STORE-REF names; None for a folder or a registry."""
    try:
        spec, tag, _ = split_reference(reference)
    except BadConfiguration:  # somebody else's text
        return None
    if spec.startswith("hf://"):
        return f"https://huggingface.co/{spec.removeprefix('hf://')}/tree/{tag}"
    return f"https://github.com/{spec.removeprefix('github://')}/releases/tag/{tag}" if spec.startswith("github://") else None


def asset_name(path: str) -> str:
    """The asset on GitHub of a file that is in one piece."""
    return path.replace("/", "--")


def separator(text: str) -> str:
    """The character before the tag: a colon for OCI, an at sign for the others."""
    return ":" if text.startswith("oci:") else "@"
