"""Compare two releases: which files, scores and pins differ."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from aqea_registry.core.changes import Change, Contents, changes
from aqea_registry.core.references import split_reference
from aqea_registry.operations.releases import find, read_contents
from aqea_registry.stores import open_store


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two releases and their differences, sorted."""

    before: str
    after: str
    verdict: Literal["IDENTICAL", "DIVERGED"]
    changes: tuple[Change, ...]


def compare(before: str, after: str, root: Path) -> Comparison:
    """Compare the releases that two STORE-REFs name; only what tells of scores and pins is fetched.

    Raises BadConfiguration, CannotCheck, and Refused for a release that is not what its digest says.
    """
    first, second = (_contents(reference, root) for reference in (before, after))
    verdict: Literal["IDENTICAL", "DIVERGED"] = "IDENTICAL" if first.digest == second.digest else "DIVERGED"
    return Comparison(before=before, after=after, verdict=verdict, changes=tuple(changes(first, second)))


def _contents(reference: str, root: Path) -> Contents:
    spec, tag = split_reference(reference)
    store = open_store(spec, root)
    return read_contents(store, find(store, tag))
