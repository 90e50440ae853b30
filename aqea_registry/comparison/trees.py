"""Two trees compared file by file: folders, projects, releases, in any mixture.

Folders, projects and releases seen alike: paths with digests, and a way to have a file's bytes here.

What differs between two releases: files, scores and pins, as a table of changes. Pure: it is told what both hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import msgspec

from aqea_registry.base.files import FileDigest, UnsafePath, WrongBytes, copy_checked, hash_files, inside
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused
from aqea_registry.base.progress import Reporter
from aqea_registry.base.references import split_reference
from aqea_registry.base.sha256_list import MANIFEST, parse_list
from aqea_registry.comparison.pair_files import Claimed, Place, compare_files
from aqea_registry.comparison.verdict import BOUND, PairSetComparison, Verdict, worst_of
from aqea_registry.project.lock import parse_lock
from aqea_registry.stores.open_store import find, open_store, read_text
from aqea_registry.stores.port import Store, Tagged
from aqea_registry.stores.release import Release
from aqea_registry.vectors.scores import Metrics
from aqea_registry.verification.verify_list import present

# Files that say again what pair sets say: digests, scores, pictures and words made from them.
DERIVED = re.compile(r"(^|/)(MANIFEST\.(sha256|sizes)|README\.md|croissant\.json|metrics/.*|plots/.*|.*_benchmark\.json)$")


LISTS = (MANIFEST, "MANIFEST.sha256")


MAY_HOLD_PAIRS = (".json", ".parquet", ".aqed")


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """Files by path, with their hex sha256; `fetch` gives a local file with these bytes."""

    name: str
    files: dict[str, str]
    fetch: Callable[[str], Path]


class FileComparison(msgspec.Struct, frozen=True, kw_only=True):
    """One file of both trees, or of one of them. `pair_set` is there if the bytes differ and both hold a pair set."""

    before: str | None
    after: str | None
    verdict: Verdict
    message: str
    pair_set: PairSetComparison | None = None


def folder_tree(folder: Path, name: str, report: Reporter) -> Tree:
    """The files of a folder: those that its list of digests names and the list itself, or else all that are not hidden."""
    listed = next((path for path in LISTS if (folder / path).is_file()), None)
    entries = parse_list((folder / listed).read_bytes(), listed).entries if listed else {}
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


def compare_trees(
    before: Tree, after: Tree, report: Reporter, claimed: Claimed = lambda *_: (), bound: float = BOUND
) -> tuple[FileComparison, ...]:
    """Every file of two trees. Files of different paths go together by their names, as a project's with a release's.

    A file that only repeats what pair sets say counts as much as they do: where these are EQUIVALENT, so is it.
    """
    rows = [
        _one(first, second, before, after, report, claimed, bound)
        for first, second in pairs_of_paths(before.files, after.files)
    ]
    vectors: Verdict = worst_of([row.verdict for row in rows if row.pair_set is not None])
    moved = any(row.before != row.after for row in rows if row.before and row.after)
    return tuple(row if not _follows(row) else _following(row, vectors, moved) for row in rows)


def release_tree(reference: str, root: Path, scratch: Path, report: Reporter) -> Tree:
    """The files of a release in a store. Bytes are fetched into `scratch` when they are wanted, and checked."""
    spec, tag = split_reference(reference)
    store = open_store(spec, root)
    return tree_in_store(store, find(store, tag), scratch, report)


def tree_verdict(rows: Sequence[FileComparison]) -> Verdict:
    """The verdict on the trees."""
    return worst_of([row.verdict for row in rows])


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


def pick(tree: Tree, like: str) -> str:
    """The file of a tree that has this name. Raises CannotCheck unless there is one."""
    name = PurePosixPath(like).name
    found = [path for path in tree.files if PurePosixPath(path).name == name]
    if len(found) == 1:
        return found[0]
    known = ", ".join(path for path in sorted(tree.files) if path.endswith(MAY_HOLD_PAIRS)) or "none that may hold pair sets"
    state = f"{len(found)} files called {name}" if found else f"no file called {name}"
    raise CannotCheck(f"{tree.name} has {state}", f"it has {known}")


def pairs_of_paths(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[str | None, str | None]]:
    """Which file of one tree goes with which of the other: by path, else by a name that each has once. Sorted."""
    common = sorted({*before} & {*after})
    left, right = ({name: path for path, name in _unique(tree, common)} for tree in (before, after))
    moved = {left[name]: right[name] for name in sorted({*left} & {*right})}
    lone_before = sorted({*before} - {*common} - {*moved})
    lone_after = sorted({*after} - {*common} - {*moved.values()})
    pairs: list[tuple[str | None, str | None]] = [*((path, path) for path in common), *moved.items()]
    return [*sorted(pairs), *((path, None) for path in lone_before), *((None, path) for path in lone_after)]


def _one(
    first: str | None, second: str | None, before: Tree, after: Tree, report: Reporter, claimed: Claimed, bound: float
) -> FileComparison:
    if first is None or second is None:
        side = after.name if first is None else before.name
        return FileComparison(before=first, after=second, verdict="DIVERGED", message=f"only in {side}")
    if before.files[first] == after.files[second]:
        return FileComparison(before=first, after=second, verdict="IDENTICAL", message="the same bytes")
    other_bytes = FileComparison(before=first, after=second, verdict="DIVERGED", message="other bytes; it holds no pair set")
    if not first.endswith(MAY_HOLD_PAIRS) or DERIVED.search(first):
        return other_bytes
    places = Place(before.fetch(first), f"{before.name}: {first}"), Place(after.fetch(second), f"{after.name}: {second}")
    try:
        found, _ = compare_files(*places, report, claimed, bound)
    except BadConfiguration:
        return other_bytes
    except Refused as error:
        return msgspec.structs.replace(other_bytes, message=f"other bytes; {error.message}")
    return FileComparison(before=first, after=second, verdict=found.verdict, message=summary(found), pair_set=found)


def _unique(tree: Mapping[str, str], without: list[str]) -> list[tuple[str, str]]:
    named = [(path, PurePosixPath(path).name) for path in sorted({*tree} - {*without})]
    names = [name for _, name in named]
    return [(path, name) for path, name in named if names.count(name) == 1]


def summary(found: PairSetComparison) -> str:
    """A comparison in one line."""
    if found.diagnoses:
        return "; ".join(f"{one.kind}: {one.message}" for one in found.diagnoses)
    return f"largest difference {found.figures.largest:.1e}" if found.figures else "the same bytes"


def _follows(row: FileComparison) -> bool:
    return row.verdict == "DIVERGED" and row.pair_set is None and DERIVED.search(row.before or row.after or "") is not None


def _following(row: FileComparison, vectors: Verdict, moved: bool) -> FileComparison:
    """A derived file: as far from identity as the pair sets that it tells of; where files were moved, paths differ as well."""
    if moved:
        verdict = worst_of(["SAME CONTENT", vectors])
        return msgspec.structs.replace(row, verdict=verdict, message=f"{row.message}; it repeats what other files say")
    if vectors == "IDENTICAL":
        return row
    return msgspec.structs.replace(row, verdict=vectors, message="other bytes; it repeats what the pair sets say")


PINS = "pins.json"


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a release says: digests of files, scores by `pair set: metric`, and pins by name, each as text."""

    digest: str
    files: dict[str, str]
    metrics: dict[str, str]
    pins: dict[str, str]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not the same in both releases."""

    what: Literal["file", "metric", "pin"]
    name: str
    before: str | None
    after: str | None

    @property
    def state(self) -> str:
        """In a word."""
        return "added" if self.before is None else "removed" if self.after is None else "changed"


def is_told(path: str) -> bool:
    """Whether the contents of this file of a release are compared, and not its digest alone."""
    return path == PINS or (path.startswith("metrics/") and path.endswith(".json"))


def contents(release: Release, texts: Mapping[str, bytes]) -> Contents:
    """What a release says. `texts` holds the bytes of every file that `is_told`. Raises BadConfiguration for bad ones."""
    lock = parse_lock(texts[PINS], PINS) if PINS in texts else None
    pins = {**lock.datasets, **lock.models} if lock else {}
    scores: dict[str, str] = {}
    for path in sorted(set(texts) - {PINS}):
        try:
            values = msgspec.json.decode(texts[path], type=dict[str, object])
        except msgspec.MsgspecError as error:
            raise BadConfiguration(f"{path}: {error}") from error
        key = PurePosixPath(path).stem
        scores |= {f"{key}: {name}": repr(values[name]) for name in Metrics.__struct_fields__ if name in values}
    return Contents(
        digest=release.digest(),
        files={path: layer.digest for path, layer in release.files().items()},
        metrics=scores,
        pins={name: f"{pin.commit or 'no commit'}, files {pin.digest()[:16]}" for name, pin in pins.items()},
    )


def changes(before: Contents, after: Contents) -> list[Change]:
    """Every difference, files first, then scores, then pins; sorted by name."""
    pairs: tuple[tuple[Literal["file", "metric", "pin"], dict[str, str], dict[str, str]], ...] = (
        ("file", before.files, after.files),
        ("metric", before.metrics, after.metrics),
        ("pin", before.pins, after.pins),
    )
    return [
        Change(what=what, name=name, before=old.get(name), after=new.get(name))
        for what, old, new in pairs
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def previous(tag: str, tags: list[str]) -> str | None:
    """The greatest tag before this one, digits counted as numbers: v9 comes before v10. None if there is none."""
    before = [other for other in tags if _natural(other) < _natural(tag)]
    return max(before, key=_natural, default=None)


def notes(digest: str, since: str | None, found: list[Change] | None) -> str:
    """The release's notes in Markdown: its identity, and what changed since the release before it."""
    head = f"Release digest: `{digest}`\n\nCheck every file: `sha256sum -c MANIFEST.sha256`\n"
    if since is None:
        return f"{head}\nThe first release.\n"
    if found is None:
        return f"{head}\nThe release before this one is {since}; it could not be read.\n"
    if not found:
        return f"{head}\nNothing differs from {since}.\n"
    rows = [(one.what, one.name, one.state, _short(one.before), _short(one.after)) for one in found]
    lines = ["| what | name | | before | after |", "|---|---|---|---|---|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return f"{head}\nChanges since {since}:\n\n" + "\n".join(lines) + "\n"


def _short(text: str | None) -> str:
    return "" if text is None else text[:19] if text.startswith("sha256:") else text


def _natural(tag: str) -> list[tuple[int, int, str]]:
    """A pre-release (v2-rc1) comes before its release, as the end of a tag is more than a hyphen."""
    parts = re.findall(r"[0-9]+|[^0-9]+", tag)
    key = [(1, int(part), "") if part.isdigit() else (0 if part.startswith("-") else 2, 0, part) for part in parts]
    return [*key, (1, -1, "")]


def read_contents(store: Store, tagged: Tagged) -> Contents:
    """What a release in a store says: digests, scores, pins."""
    release = store.release(tagged)
    layers = release.files()
    texts = {path: read_text(store, tagged, path, layer) for path, layer in layers.items() if is_told(path)}
    return told(store.reference(tagged.tag), release, texts)


def told(reference: str, release: Release, texts: Mapping[str, bytes]) -> Contents:
    """What a release says. Raises Refused if its own texts are malformed."""
    try:
        return contents(release, texts)
    except BadConfiguration as error:
        raise Refused.of("malformed", reference, error.message) from error
