"""Compare two things that should be the same: files with pair sets, folders, or releases."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec
import numpy as np

from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused, listed
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.base.references import is_folder, is_reference
from aqea_registry.comparison import trees
from aqea_registry.comparison.pair_files import NamedFile, claimed_by, compare_files
from aqea_registry.comparison.trees import Change, Contents, FileComparison, Tree
from aqea_registry.comparison.verdict import BOUND, PairSetComparison, Verdict, worst_of
from aqea_registry.project.artefact import CLAIMS
from aqea_registry.project.project import open_project
from aqea_registry.stores.open_store import open_tagged
from aqea_registry.vectors.containers.open_pairs import open_pairs

PAIRS = "_pairs.json"
SPEARMAN = ": cos_sim_spearman"
LARGEST = 1 << 28  # bytes of pair files that are read for the line, where nobody asked for all of them


class TreeComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two folders or releases: `files` one by one, if they were looked into.

    Of two releases, also `changes`, and `summary`, one line for a person.
    """

    verdict: Verdict
    summary: str | None = None
    files: tuple[FileComparison, ...] = ()
    changes: tuple[Change, ...] = ()


def compare(
    before: str, after: str, root: Path, report: Reporter, *, deep: bool = False, diagnose: bool = False, bound: float = BOUND
) -> PairSetComparison | TreeComparison:
    """Compare two STORE-REFs, folders or files, relative to `root`; of a tree and a file, the tree's file of that name.

    Of two releases only scores and pins are fetched; `deep` fetches every file that differs. `diagnose` encodes sentences to
    find the cause of a difference; `bound` is how far a component of a unit vector may be off. Raises BadConfiguration,
    CannotCheck, and Refused for bytes that do not have their digest, or are malformed.
    """
    released = None
    if is_reference(before) and is_reference(after):
        released = _compare_releases(before, after, root, report, deep=deep)
        if not deep:
            return released
    with tempfile.TemporaryDirectory(prefix="aqea-compare-") as scratch:
        first, second = (_open(name, root, Path(scratch), report) for name in (before, after))
        if isinstance(first, Tree) and isinstance(second, Tree):
            files = trees.compare_trees(first, second, report, claimed_by(root), bound)
            verdict = worst_of([file.verdict for file in files])
            return msgspec.structs.replace(released or TreeComparison(verdict=verdict), verdict=verdict, files=files)
        pair = _file(first, second), _file(second, first)
        comparison, compared = compare_files(*pair, report, claimed_by(root), bound)
        if diagnose and compared is not None and comparison.verdict == "DIVERGED":
            from aqea_registry.comparison.causes import try_causes

            project = open_project(root)
            comparison = try_causes(project.artefacts, project.catalogue, comparison, compared, pair, report)
        return comparison


def _compare_releases(before: str, after: str, root: Path, report: Reporter, *, deep: bool) -> TreeComparison:
    """What changed between two releases. Rows are counted if that needs no network, or all is to be fetched anyway."""
    releases = [open_tagged(reference, root) for reference in (before, after)]
    old, new = (trees.read_contents(store, tagged) for store, tagged in releases)
    changed, rows = tuple(trees.changes(old, new)), list[ChangedRows]()
    sizes = [layer.size for store, at in releases for path, layer in store.release(at).files().items() if path.endswith(PAIRS)]
    near = sum(sizes) <= LARGEST and all(is_folder(store.spec) for store, _ in releases)
    if changed and (near or deep):
        with tempfile.TemporaryDirectory(prefix="aqea-compare-") as scratch, suppress(Refused, BadConfiguration):
            # For a line nothing is refused: --deep says what is wrong.
            rows += rows_between(*(trees.tree_in_store(store, tagged, Path(scratch), report) for store, tagged in releases))
    verdict: Verdict = "IDENTICAL" if old.digest == new.digest else "DIVERGED"
    return TreeComparison(verdict=verdict, summary=headline(old, new, changed, rows), changes=changed)


def _open(name: str, root: Path, scratch: Path, report: Reporter) -> Tree | NamedFile:
    """What a name on the command line means."""
    if is_reference(name):
        return trees.tree_in_store(*open_tagged(name, root), scratch, report)
    path = root / name
    if path.is_dir():
        return trees.folder_tree(path, name, report)
    if not path.exists():
        raise CannotCheck(f"{name} does not exist", "name a file, a folder, or a release such as oci:DIR:TAG")
    return NamedFile(path, name)


def _file(side: Tree | NamedFile, other: Tree | NamedFile) -> NamedFile:
    """A file as it is; of a tree, the file that is called like the other side's."""
    if isinstance(side, NamedFile):
        return side
    assert isinstance(other, NamedFile)
    path = trees.pick(side, other.path.name)
    return NamedFile(side.fetch(path), f"{side.name}: {path}")


class ChangedRows(NamedTuple):
    """A pair set of both releases whose file differs: its dataset, the rows before and now, and how many of them differ."""

    dataset: str
    before: int
    after: int
    changed: int


def rows_between(before: Tree, after: Tree) -> Iterator[ChangedRows]:
    """The pair sets whose files differ and are in both trees, each read once. Raises Refused for a malformed one."""
    for path in sorted({*before.files} & {*after.files}):
        if not path.endswith(PAIRS) or before.files[path] == after.files[path]:
            continue
        with open_pairs(before.fetch(path), path) as old, open_pairs(after.fetch(path), path) as new:
            first, second = (np.zeros(0) if (scores := side.scores()) is None else scores for side in (old, new))
            differ = first != second if len(first) == len(second) else np.zeros(0, bool)
            for which in (0, 1) if len(differ) else ():
                pairs = zip(old.blocks(which), new.blocks(which), strict=True)
                rows = [(a != b).any(axis=1) if a.shape == b.shape else np.ones(len(a), bool) for a, b in pairs]
                differ |= np.concatenate(rows)
        yield ChangedRows(new.header.dataset or path, len(first), len(second), int(differ.sum()))


def headline(before: Contents, after: Contents, changes: Sequence[Change], rows: Sequence[ChangedRows]) -> str:
    """`forum: 1 of 500 rows; Spearman 61.44 -> 61.42; minilm-128 added; max_tokens 128 -> 12; claims of paper changed`.

    Where several pair sets have scores, or more entries than a dataset and a model settings, each is named.
    """
    pins = {change.name: change.state for change in changes if change.what == "pin"}
    several = sum(name.endswith(SPEARMAN) for name in {*before.metrics} & {*after.metrics}) > 1
    many = len({*before.pins} & {*after.pins}) > 2

    def said(change: Change) -> str | None:
        (name, _, field), both = change.name.partition(": "), change.before and change.after
        match change.what:
            case "metric" if change.name.endswith(SPEARMAN):
                if change.before and change.after:
                    return f"{f'{name} ' * several}Spearman {_percent(change.before, change.after)}"
                known = any(other in name for other, state in pins.items() if state == change.state)
                return None if known else f"{name} {change.state}"
            case "metric" if " " in field and both:  # the main score of a task
                return f"{name} {field} {change.before} -> {change.after}"
            case "setting":
                return f"{f'{name} ' * many}{field} {change.before or 'none'} -> {change.after or 'none'}"
            case "pin" if not both:
                return f"{name} {change.state}"
            case "pin" if name not in {counted.dataset for counted in rows}:
                return f"{name}: other upstream files"
            case "file" if change.name.startswith(CLAIMS):
                return f"claims of {PurePosixPath(change.name).stem} {change.state}"
        return None

    by_weight = sorted(changes, key=lambda change: change.what == "file")
    parts = [*(_of_rows(counted, counted.dataset in pins) for counted in rows), *filter(None, map(said, by_weight))]
    if not parts and changes:
        parts = [f"{listed([change.name for change in changes], 3)}; nothing else"]
    parts = list(dict.fromkeys(parts))
    return "; ".join([*parts[:8], *([f"{len(parts) - 8} more"] if parts[8:] else [])]) or "nothing differs"


def _of_rows(rows: ChangedRows, changed: bool) -> str:
    """Rows of a dataset that changed; of one that did not, only the vectors of its sentences can differ."""
    if rows.before != rows.after:
        return f"{rows.dataset}: {rows.before} -> {plural(rows.after, 'row')}"
    return f"{rows.dataset}: {'' if changed else 'other vectors in '}{rows.changed} of {plural(rows.after, 'row')}"


def _percent(before: str, after: str) -> str:
    """Two scores in percent, with two decimals or with as many more as show a difference."""
    for digits in range(2, 16):
        old, new = (f"{100 * float(score):.{digits}f}" for score in (before, after))
        if old != new:
            break
    return f"{old} -> {new}"
