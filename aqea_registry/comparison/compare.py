"""Compare two things that should be the same: files with pair sets, folders, or releases."""

import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec

from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused
from aqea_registry.base.progress import Reporter
from aqea_registry.base.references import is_folder, is_reference, split_reference
from aqea_registry.comparison import trees
from aqea_registry.comparison.headline import LARGEST, PAIRS, ChangedRows, headline, rows_between
from aqea_registry.comparison.pair_files import NamedFile, claimed_by, compare_files
from aqea_registry.comparison.trees import Change, FileComparison, Tree
from aqea_registry.comparison.verdict import BOUND, PairSetComparison, Verdict, worst_of
from aqea_registry.stores.open_store import find, open_store
from aqea_registry.stores.port import Store, Tagged


class TreeComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two folders or releases: `files` one by one, if they were looked into.

    Of two releases, also `changes`, and `summary`, one line for a person.
    """

    verdict: Verdict
    summary: str | None = None
    files: tuple[FileComparison, ...] = ()
    changes: tuple[Change, ...] = ()


def compare(
    before: str, after: str, root: Path, report: Reporter, *, deep: bool = False, bound: float = BOUND
) -> PairSetComparison | TreeComparison:
    """Compare two STORE-REFs, folders or files, relative to `root`; of a tree and a file, the tree's file of that name.

    Of two releases only scores and pins are fetched; `deep` fetches every file that differs. `bound` is how far a component of
    a unit vector may be off. Raises BadConfiguration, CannotCheck, and Refused for bytes that do not have their digest, or are
    malformed.
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
        return compare_files(_file(first, second), _file(second, first), report, claimed_by(root), bound)


def _compare_releases(before: str, after: str, root: Path, report: Reporter, *, deep: bool) -> TreeComparison:
    """What changed between two releases. Rows are counted if that needs no network, or all is to be fetched anyway."""
    releases = [_release(reference, root) for reference in (before, after)]
    old, new = (trees.read_contents(store, tagged) for store, tagged in releases)
    changed = tuple(trees.changes(old, new))
    sizes = [layer.size for store, at in releases for path, layer in store.release(at).files().items() if path.endswith(PAIRS)]
    near = sum(sizes) <= LARGEST and all(is_folder(store.spec) for store, _ in releases)
    with tempfile.TemporaryDirectory(prefix="aqea-compare-") as scratch:
        sides = (trees.tree_in_store(store, tagged, Path(scratch), report) for store, tagged in releases)
        rows = list[ChangedRows]()
        with suppress(Refused, BadConfiguration):  # for a line nothing is refused: --deep says what is wrong
            rows = rows_between(*sides) if changed and (near or deep) else []
    verdict: Verdict = "IDENTICAL" if old.digest == new.digest else "DIVERGED"
    return TreeComparison(verdict=verdict, summary=headline(old, new, changed, rows), changes=changed)


def _release(reference: str, root: Path) -> tuple[Store, Tagged]:
    spec, tag, digest = split_reference(reference)
    store = open_store(spec, root)
    return store, find(store, tag, digest)


def _open(name: str, root: Path, scratch: Path, report: Reporter) -> Tree | NamedFile:
    """What a name on the command line means."""
    if is_reference(name):
        return trees.tree_in_store(*_release(name, root), scratch, report)
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
