"""Stores, by their names. Which words make a STORE-REF is decided here."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from aqea_registry.core.findings import BadConfiguration, CannotCheck
from aqea_registry.stores.base import Store

FORMS = "oci:DIR:TAG, oci://HOST/NAME:TAG, hf://datasets/ORG/NAME@REV or github://OWNER/REPO@TAG"


def is_reference(text: str) -> bool:
    """Whether the words name a release in a store, and not a file."""
    return text.startswith(("oci:", "hf://", "github://"))


def is_folder(spec: str) -> bool:
    """Whether the store is an OCI image layout in a folder, which needs no client."""
    return re.match(r"oci:(?!//).", spec) is not None


def split_reference(text: str) -> tuple[str, str]:
    """A STORE-REF as the store's spec and the tag. Raises BadConfiguration."""
    separator = ":" if text.startswith("oci:") else "@"
    spec, _, tag = text.rpartition(separator)
    if not is_reference(text) or not tag or "/" in tag or spec in {"oci", "oci:"}:
        shown = re.sub("//[^/@]*@", "//...@", text)  # a login does not belong there, and not into a message either
        raise BadConfiguration(f"{shown!r} names no release in a store", f"write {FORMS}")
    return spec, tag


def open_store(spec: str, root: Path) -> Store:
    """The store of this name; the DIR of `oci:DIR` starts at `root`. Nothing is asked yet.

    Raises BadConfiguration, and CannotCheck if the client that the store needs is not installed.
    """
    if is_folder(spec):
        from aqea_registry.stores.layout import Layout

        return Layout(spec, root / Path(spec.removeprefix("oci:")).expanduser())
    if spec.startswith("oci://"):
        _need("oras", "an OCI registry")
        from aqea_registry.stores.registry import Registry

        return Registry(spec)
    if spec.startswith("hf://"):
        _need("huggingface_hub", "the Hugging Face Hub")
        from aqea_registry.stores.hub import HubStore

        return HubStore(spec)
    if spec.startswith("github://"):
        _need("github", "GitHub")
        from aqea_registry.stores.github import GitHub

        return GitHub(spec)
    raise BadConfiguration(
        f"{spec!r} is no store", "the stores are oci:DIR, oci://HOST/NAME, hf://datasets/ORG/NAME and github://OWNER/REPO"
    )


def _need(module: str, store: str) -> None:
    """A stranger with the core alone is told what to install."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        reason = f"the Python module {module} cannot be imported: {error}"
        raise CannotCheck(f"{store}: {reason}", "pip install 'aqea-registry[stores]'") from error
