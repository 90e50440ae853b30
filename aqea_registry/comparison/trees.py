"""Folders, projects and releases compared file by file; and what changed between two releases, with its notes."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import msgspec

from aqea_registry.base.files import Limit, UnsafePath, WrongBytes, copy_checked, read_small
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused, RegistryError
from aqea_registry.base.progress import Reporter, hash_shown, markdown_table, plural
from aqea_registry.base.references import join_reference
from aqea_registry.base.sha256_list import MANIFEST, parse_list
from aqea_registry.base.strict import decode_json, load_yaml
from aqea_registry.comparison.pair_files import Claimed, NamedFile, compare_files
from aqea_registry.comparison.verdict import BOUND, PairSetComparison, Verdict, worst_of
from aqea_registry.project.artefact import CLAIMS, PROJECT, RESULT, TaskScores
from aqea_registry.project.lock import Lock, parse_lock
from aqea_registry.stores.open_store import find, place_in_download, read_text
from aqea_registry.stores.port import Store, Tagged
from aqea_registry.stores.release import Release
from aqea_registry.vectors.scores import Metrics
from aqea_registry.verification.verify_folder import present

PINS, PARAMS = "pins.json", f"{PROJECT}params.yaml"
LISTS = (MANIFEST, "MANIFEST.sha256")
MAY_HOLD_PAIRS = (".json", ".parquet", ".aqed")
OTHER_BYTES = "other bytes; it holds no pair set"
# Files that repeat what pair sets say: digests, scores, plots and texts made from them.
DERIVED = re.compile(r"(^|/)(MANIFEST\.(sha256|sizes)|README\.md|croissant\.json|metrics/.*|plots/.*|.*_benchmark\.json)$")


class Tree(NamedTuple):
    """Files by path, with their hex sha256; `fetch` gives a local file with these bytes. A release may have left some out."""

    name: str
    files: dict[str, str]
    fetch: Callable[[str], Path]
    left_out: Mapping[str, str] = {}


class FileComparison(msgspec.Struct, frozen=True, kw_only=True):
    """A file of both trees, or of one of them; with `pair_set` if the bytes differ and both hold one."""

    before: str | None
    after: str | None
    verdict: Verdict
    message: str
    pair_set: PairSetComparison | None = None


def folder_tree(folder: Path, name: str, report: Reporter) -> Tree:
    """The files of a folder: its list of digests and what that names, or else all that are not hidden."""
    listed = next((path for path in LISTS if (folder / path).is_file()), None)
    entries = parse_list(read_small(folder / listed, Limit.LIST), listed).entries if listed else {}
    paths = {listed, *entries} if listed else {path for path in present(folder, ["."]) if "/." not in f"/{path}"}
    locations: dict[str, Path] = {}
    for path in sorted(paths):
        try:
            locations[path] = place_in_download(folder, path)
        except UnsafePath as error:
            raise Refused.of("unsafe-path", f"{name}/{path}", f"{error}; not followed") from error
    digests = hash_shown(locations.values(), report)
    files = {path: digest.sha256 for path, at in locations.items() if not isinstance(digest := digests[at], OSError)}
    if not files:
        raise CannotCheck(f"{name} holds no files that can be read", "name a folder with pair files in it")
    return Tree(name, files, locations.__getitem__)


def compare_trees(
    before: Tree, after: Tree, report: Reporter, claimed: Claimed = lambda *_: (), bound: float = BOUND
) -> tuple[FileComparison, ...]:
    """Every file of two trees, paired by path or by name. One that only repeats what pair sets say gets their verdict."""

    def compared(first: str | None, second: str | None) -> FileComparison:
        answer = partial(FileComparison, before=first, after=second, verdict="DIVERGED")
        if first is None or second is None:
            (tree, other), path = (after, before) if first is None else (before, after), first or second or ""
            if path not in other.left_out:
                return answer(message=f"only in {tree.name}")
            same = other.left_out[path] == tree.files[path]
            message = f"left out of {other.name}, which names {'the same' if same else 'another'} sha256"
            return answer(verdict="IDENTICAL" if same else "DIVERGED", message=message)
        if before.files[first] == after.files[second]:
            return answer(verdict="IDENTICAL", message="the same bytes")
        if not first.endswith(MAY_HOLD_PAIRS) or DERIVED.search(first):
            return answer(message=OTHER_BYTES)
        old, new = (NamedFile(tree.fetch(path), f"{tree.name}: {path}") for tree, path in ((before, first), (after, second)))
        try:
            comparison, _ = compare_files(old, new, report, claimed, bound)
        except BadConfiguration:
            return answer(message=OTHER_BYTES)
        except Refused as error:
            return answer(message=f"other bytes; {error.message}")
        return answer(verdict=comparison.verdict, message=summary(comparison), pair_set=comparison)

    files = [compared(first, second) for first, second in pairs_of_paths(before.files, after.files)]
    vectors = worst_of([file.verdict for file in files if file.pair_set is not None])
    moved = any(file.before != file.after for file in files if file.before and file.after)
    return tuple(_derived(file, vectors, moved) for file in files)


def _derived(file: FileComparison, vectors: Verdict, moved: bool) -> FileComparison:
    """A file that repeats what pair sets say: as far from identity as they are; where files were moved, paths differ too."""
    derived = DERIVED.search(file.before or file.after or "") is not None
    if file.verdict != "DIVERGED" or file.pair_set is not None or not derived or (vectors == "IDENTICAL" and not moved):
        return file
    verdict = worst_of(["SAME CONTENT", vectors]) if moved else vectors
    message = f"{file.message}; it repeats what other files say" if moved else "other bytes; it repeats what the pair sets say"
    return msgspec.structs.replace(file, verdict=verdict, message=message)


def tree_in_store(store: Store, tagged: Tagged, scratch: Path, report: Reporter) -> Tree:
    """The files of a release. Bytes are fetched into `scratch` when they are wanted, and checked."""
    reference = join_reference(store.spec, tagged.tag)
    layers, away = store.release(tagged).files(), store.release(tagged).left_out()
    files, left_out = ({path: layer.digest.removeprefix("sha256:") for path, layer in some.items()} for some in (layers, away))

    def fetch(path: str) -> Path:
        layer, target = layers[path], scratch / files[path]
        if not target.exists():
            with report.task(f"fetch {path}", layer.size, "bytes") as advance, store.open(tagged, path, layer, 0) as incoming:
                try:
                    copy_checked(incoming, target, files[path], layer.size, advance)
                except WrongBytes as error:
                    message = "the store's bytes are not those that the release names"
                    raise Refused.of("mismatch", f"{reference}: {path}", message, layer.digest, error.actual) from error
        return target

    return Tree(reference, files, fetch, left_out)


def pick(tree: Tree, like: str) -> str:
    """The file of a tree that has this name. Raises CannotCheck unless there is one."""
    name = PurePosixPath(like).name
    paths = [path for path in tree.files if PurePosixPath(path).name == name]
    if len(paths) == 1:
        return paths[0]
    known = ", ".join(path for path in sorted(tree.files) if path.endswith(MAY_HOLD_PAIRS)) or "none that may hold pair sets"
    state = f"{plural(len(paths), 'file')} called {name}" if paths else f"no file called {name}"
    raise CannotCheck(f"{tree.name} has {state}", f"it has {known}")


def pairs_of_paths(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[str | None, str | None]]:
    """Which file of one tree is compared with which of the other: by path, else by a name that each has once. Sorted."""
    common = {*before} & {*after}
    left, right = (_by_name({*tree} - common) for tree in (before, after))
    moved = {left[name]: right[name] for name in {*left} & {*right}}
    pairs = sorted([*((path, path) for path in common), *moved.items()])
    lone_before, lone_after = sorted({*before} - common - {*moved}), sorted({*after} - common - {*moved.values()})
    return [*pairs, *((path, None) for path in lone_before), *((None, path) for path in lone_after)]


def _by_name(paths: Set[str]) -> dict[str, str]:
    """The paths by their names, without the names that several have."""
    counts = Counter(PurePosixPath(path).name for path in paths)
    return {name: path for path in paths if counts[name := PurePosixPath(path).name] == 1}


def summary(comparison: PairSetComparison) -> str:
    """A comparison in one line."""
    if comparison.diagnoses:
        return "; ".join(f"{diagnosis.kind}: {diagnosis.message}" for diagnosis in comparison.diagnoses)
    if comparison.figures:
        return f"largest difference {comparison.figures.largest:.1e}"
    return "; ".join(comparison.notes) or ("the same bytes" if comparison.verdict == "IDENTICAL" else "the same vectors")


class Contents(NamedTuple):
    """What a release holds: digests of files, scores by `pair set: metric`, pins by name, each as text.

    `settings` are what params.yaml says of datasets and models, by `entry: field`; earlier versions put none into a release.
    """

    digest: str
    files: dict[str, str]
    metrics: dict[str, str]
    pins: dict[str, str]
    settings: dict[str, str]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A file, score, pin or setting that is not the same in both releases."""

    what: str  # file, metric, pin or setting
    name: str
    before: str | None
    after: str | None

    @property
    def state(self) -> str:
        """added, removed or changed."""
        return "added" if self.before is None else "removed" if self.after is None else "changed"


def is_compared(path: str) -> bool:
    """Whether the contents of this file of a release are compared, and not its digest alone."""
    return path in (PINS, PARAMS) or (path.startswith("metrics/") and path.endswith(".json"))


def changes(before: Contents, after: Contents) -> list[Change]:
    """Every difference: files, scores, pins, settings; sorted by name. What earlier versions did not write is none."""
    parts = [("file", before.files, after.files), ("metric", before.metrics, after.metrics), ("pin", before.pins, after.pins)]
    if before.settings and after.settings:  # of entries that both have pins of: what was added or removed is said once
        both = {*before.pins} & {*after.pins}
        settings = (release.settings.items() for release in (before, after))
        old, new = ({name: text for name, text in side if name.split(": ")[0] in both} for side in settings)
        parts.append(("setting", old, new))
    old_layout = any(not any(path.startswith(PROJECT) for path in release.files) for release in (before, after))
    return [
        Change(what=what, name=name, before=old.get(name), after=new.get(name))
        for what, old, new in parts
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name) and not (old_layout and what == "file" and name.startswith((PROJECT, CLAIMS)))
    ]


def previous(tag: str, tags: list[str]) -> str | None:
    """The greatest tag before this one, digits counted as numbers: v9 comes before v10. None if there is none."""
    return max((other for other in tags if natural(other) < natural(tag)), key=natural, default=None)


def release_notes(store: Store, tag: str, release: Contents, listed: str) -> str:
    """The notes of a release that is to be put into a store: what changed since the one before it there."""
    since, changed = previous(tag, store.tags()), None
    if since is not None:
        with suppress(RegistryError):
            changed = changes(read_contents(store, find(store, since)), release)
    return notes(join_reference(store.spec, tag, release.digest), since, changed, listed)


def notes(reference: str, since: str | None, changed: list[Change] | None, listed: str = LISTS[1]) -> str:
    """A release's notes in Markdown: `reference`, which demands its digest, the list of its files, and what changed."""
    if since is None:
        text = "The first release."
    elif changed is None:
        text = f"The release before this one is {since}; it could not be read."
    elif not changed:
        text = f"Nothing differs from {since}."
    else:
        rows = [(change.what, change.name, change.state, _short(change.before), _short(change.after)) for change in changed]
        text = f"Changes since {since}:\n\n{markdown_table(('what', 'name', '', 'before', 'after'), rows)}"
    identity = f"Release digest: `{reference.rpartition('@')[2]}`, the sha256 of `release.json`\n\n"
    identity += f"Demand it: `aqea-registry verify {reference}`\n\n"
    identity += f"Make it again: `aqea-registry confirm {reference} --from-nothing DIR`"
    return f"{identity}\n\nCheck every file: `sha256sum -c {listed}`\n\n{text}\n"


def _short(text: str | None) -> str:
    return "" if text is None else text[:19] if text.startswith("sha256:") else text


def natural(tag: str) -> list[tuple[int, int, str]]:
    """The order of tags, digits counted as numbers.

    A pre-release (v2-rc1) comes before its release, as the end of a tag is more than a hyphen.
    """
    parts = re.findall(r"[0-9]+|[^0-9]+", tag)
    key = [(1, int(part), "") if part.isdigit() else (0 if part.startswith("-") else 2, 0, part) for part in parts]
    return [*key, (1, -1, "")]


def read_contents(store: Store, tagged: Tagged) -> Contents:
    """What a release in a store holds: digests, scores, pins. Raises Refused if its own texts are malformed."""
    release = store.release(tagged)
    layers = release.files()
    texts = {path: read_text(store, tagged, path, layer) for path, layer in layers.items() if is_compared(path)}
    return contents_of(join_reference(store.spec, tagged.tag), release, texts)


def contents_of(reference: str, release: Release, texts: Mapping[str, bytes]) -> Contents:
    """What a release holds, given the texts that `is_compared` names. Raises Refused if they are malformed."""
    scores: dict[str, str] = {}
    try:
        lock = parse_lock(texts[PINS], PINS) if PINS in texts else Lock()
        settings = _settings(load_yaml(texts[PARAMS], PARAMS)) if PARAMS in texts else {}
    except BadConfiguration as error:
        raise Refused.of("malformed", reference, error.message) from error
    for path in sorted(set(texts) - {PINS, PARAMS}):
        try:
            values = decode_json(texts[path], dict[str, object])
            result = msgspec.convert(values, TaskScores) if values.get("schema") == RESULT else None
        except ValueError as error:
            raise Refused.of("malformed", reference, f"{path}: {error}") from error
        key = PurePosixPath(path).stem
        scores |= {f"{key}: {name}": repr(values[name]) for name in Metrics.__struct_fields__ if name in values}
        if result is not None:
            scores |= {f"{key}: {result.main_score} {at}": repr(value) for at, value in result.main_scores().items()}
    named = {**lock.datasets, **lock.models}
    pins = {name: f"{pin.commit_text()}, files {pin.digest()[:16]}" for name, pin in named.items()}
    files = {path: layer.digest for path, layer in (release.files() | release.left_out()).items()}
    return Contents(release.digest(), files, scores, pins, settings)


def _settings(values: Any) -> dict[str, str]:
    """What a release's params.yaml says of its datasets and models; other versions may have other fields."""
    groups = [values.get(group) for group in ("datasets", "models")] if isinstance(values, dict) else []
    entries = [entry for group in groups if isinstance(group, dict) for entry in group.items() if isinstance(entry[1], dict)]
    return {
        f"{name}: {field}": value if isinstance(value, str) else json.dumps(value)
        for name, fields in entries
        for field, value in fields.items()
    }
