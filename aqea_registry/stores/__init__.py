"""Stores, by their names."""

from __future__ import annotations

import importlib
from pathlib import Path

from aqea_registry.core.findings import BadConfiguration, CannotCheck
from aqea_registry.core.references import is_folder
from aqea_registry.stores.base import Store


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
