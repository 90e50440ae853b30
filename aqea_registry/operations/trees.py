"""Folders, projects and releases seen alike: paths with digests, and a way to have a file's bytes here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from aqea_registry.core.files import FileDigest, WrongBytes, copy_checked, hash_files
from aqea_registry.core.findings import CannotCheck, Refused
from aqea_registry.core.manifest import MANIFEST, parse
from aqea_registry.core.paths import UnsafePath, inside
from aqea_registry.core.references import split_reference
from aqea_registry.core.reporting import Reporter
from aqea_registry.operations.check_files import present
from aqea_registry.operations.releases import find
from aqea_registry.stores import open_store
from aqea_registry.stores.base import Store, Tagged

LISTS = (MANIFEST, "MANIFEST.sha256")


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """Files by path, with their hex sha256; `fetch` gives a local file with these bytes."""

    name: str
    files: dict[str, str]
    fetch: Callable[[str], Path]


def folder_tree(folder: Path, name: str, report: Reporter) -> Tree:
    """The files of a folder: those that its list of digests names and the list itself, or else all that are not hidden."""
    listed = next((path for path in LISTS if (folder / path).is_file()), None)
    entries = parse((folder / listed).read_bytes(), listed).entries if listed else {}
    paths = {listed, *entries} if listed else set(present(folder, ["."]))
    places: dict[str, Path] = {}
    for path in sorted(paths):
        try:
            places[path] = inside(folder, path)
        except UnsafePath as error:
            raise Refused.of("unsafe-path", f"{name}/{path}", f"{error}; not followed") from error
    with report.task("hash", sum(place.stat().st_size for place in places.values() if place.is_file()), "bytes") as advance:
        found = hash_files(places.values(), advance=advance)
    digests = {path: one.sha256 for path, place in places.items() if isinstance(one := found[place], FileDigest)}
    if not digests:
        raise CannotCheck(f"{name} holds no files that can be read", "name a folder with pair files in it")
    return Tree(name=name, files=digests, fetch=lambda path: places[path])


def release_tree(reference: str, root: Path, scratch: Path, report: Reporter) -> Tree:
    """The files of a release in a store. Bytes are fetched into `scratch` when they are wanted, and checked."""
    spec, tag = split_reference(reference)
    store = open_store(spec, root)
    return tree_in_store(store, find(store, tag), scratch, report)


def tree_in_store(store: Store, tagged: Tagged, scratch: Path, report: Reporter) -> Tree:
    """The same of a release that was found already."""
    reference = store.reference(tagged.tag)
    layers = store.release(tagged).files()

    def fetch(path: str) -> Path:
        layer = layers[path]
        target = scratch / layer.digest.removeprefix("sha256:")
        if not target.exists():
            with report.task(f"fetch {path}", layer.size, "bytes") as advance, store.open(tagged, path, layer, 0) as incoming:
                try:
                    copy_checked(incoming, target, layer.digest.removeprefix("sha256:"), layer.size, advance)
                except WrongBytes as error:
                    message = "the store's bytes are not those that the release names"
                    raise Refused.of("mismatch", f"{reference}: {path}", message, layer.digest, error.actual) from error
        return target

    return Tree(
        name=reference, files={path: layer.digest.removeprefix("sha256:") for path, layer in layers.items()}, fetch=fetch
    )


def pairs_of_paths(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[str | None, str | None]]:
    """Which file of one tree goes with which of the other: by path, else by a name that each has once. Sorted."""
    common = sorted({*before} & {*after})
    left, right = ({name: path for path, name in _unique(tree, common)} for tree in (before, after))
    moved = {left[name]: right[name] for name in sorted({*left} & {*right})}
    lone_before = sorted({*before} - {*common} - {*moved})
    lone_after = sorted({*after} - {*common} - {*moved.values()})
    pairs: list[tuple[str | None, str | None]] = [*((path, path) for path in common), *moved.items()]
    return [*sorted(pairs), *((path, None) for path in lone_before), *((None, path) for path in lone_after)]


def _unique(tree: Mapping[str, str], without: list[str]) -> list[tuple[str, str]]:
    named = [(path, PurePosixPath(path).name) for path in sorted({*tree} - {*without})]
    names = [name for _, name in named]
    return [(path, name) for path, name in named if names.count(name) == 1]
