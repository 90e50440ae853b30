"""STORE-REFs: recognise the name of a release in a store, and split it into the store and the tag. Pure."""

from __future__ import annotations

import re

from aqea_registry.base.findings import BadConfiguration

FORMS = "oci:DIR:TAG, oci://HOST/NAME:TAG, hf://datasets/ORG/NAME@REV or github://OWNER/REPO@TAG"


def is_reference(text: str) -> bool:
    """Whether the text names a release in a store, and not a file."""
    return text.startswith(("oci:", "hf://", "github://"))


def is_folder(spec: str) -> bool:
    """Whether the store is an OCI image layout in a folder, which needs no client."""
    return re.match(r"oci:(?!//).", spec) is not None


def split_reference(text: str) -> tuple[str, str]:
    """A STORE-REF as the store's spec and the tag. Raises BadConfiguration."""
    spec, _, tag = text.rpartition(separator(text))
    if not is_reference(text) or not tag or "/" in tag or spec in {"oci", "oci:"}:
        shown = re.sub("//[^/@]*@", "//...@", text)  # a login does not belong there, and not into a message either
        raise BadConfiguration(f"{shown!r} is not the name of a release in a store", f"write {FORMS}")
    return spec, tag


def join_reference(spec: str, tag: str) -> str:
    """The STORE-REF of a tag in a store."""
    return f"{spec}{separator(spec)}{tag}"


def separator(text: str) -> str:
    """The character before the tag: a colon for OCI, an at sign for the others."""
    return ":" if text.startswith("oci:") else "@"
