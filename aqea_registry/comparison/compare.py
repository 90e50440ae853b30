"""Compare two things that should be the same: files with pair sets, folders, or releases."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from aqea_registry.base.findings import CannotCheck
from aqea_registry.base.progress import Reporter
from aqea_registry.base.references import is_reference
from aqea_registry.comparison.pair_files import NamedFile, claimed_by, compare_files
from aqea_registry.comparison.trees import (
    Change,
    FileComparison,
    Tree,
    changes,
    compare_trees,
    contents_in_store,
    folder_tree,
    pick,
    release_tree,
)
from aqea_registry.comparison.verdict import BOUND, PairSetComparison, Verdict, worst_of
from aqea_registry.project.project import open_project


class ReleaseComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two releases and what changed between them, without a look into their pair sets."""

    before: str
    after: str
    verdict: Verdict
    changes: tuple[Change, ...]


class TreeComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two folders or releases, file by file; `changes` as well if both are releases."""

    before: str
    after: str
    verdict: Verdict
    files: tuple[FileComparison, ...]
    changes: tuple[Change, ...] = ()


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to compare.

    `deep` fetches every file of two releases that differs, `diagnose` encodes sentences to find the cause of a difference,
    `bound` is how far a component of a unit vector may be off.
    """

    deep: bool = False
    diagnose: bool = False
    bound: float = BOUND


DEFAULT = Options()


def compare(
    before: str, after: str, root: Path, report: Reporter, options: Options = DEFAULT
) -> PairSetComparison | TreeComparison | ReleaseComparison:
    """Compare two STORE-REFs, folders or files, relative to `root`; of a tree and a file, the tree's file of that name.

    Of two releases only scores and pins are fetched, unless `deep`. Raises BadConfiguration, CannotCheck, and Refused for
    bytes that do not have their digest, or are malformed.
    """
    changed: tuple[Change, ...] = ()
    if is_reference(before) and is_reference(after):
        old, new = (contents_in_store(reference, root) for reference in (before, after))
        changed = tuple(changes(old, new))
        if not options.deep:
            verdict: Verdict = "IDENTICAL" if old.digest == new.digest else "DIVERGED"
            return ReleaseComparison(before=before, after=after, verdict=verdict, changes=changed)
    with tempfile.TemporaryDirectory(prefix="aqea-compare-") as scratch:
        first, second = (_open(name, root, Path(scratch), report) for name in (before, after))
        if isinstance(first, Tree) and isinstance(second, Tree):
            files = compare_trees(first, second, report, claimed_by(root), options.bound)
            verdict = worst_of([file.verdict for file in files])
            return TreeComparison(before=before, after=after, verdict=verdict, files=files, changes=changed)
        pair = _file(first, second), _file(second, first)
        found, compared = compare_files(*pair, report, claimed_by(root), options.bound)
        if options.diagnose and compared is not None and found.verdict == "DIVERGED":
            from aqea_registry.comparison.causes import try_causes

            found = try_causes(open_project(root), found, compared, pair, report)
        return found


def _open(name: str, root: Path, scratch: Path, report: Reporter) -> Tree | NamedFile:
    """What a name on the command line means."""
    if is_reference(name):
        return release_tree(name, root, scratch, report)
    path = root / name
    if path.is_dir():
        return folder_tree(path, name, report)
    if not path.exists():
        raise CannotCheck(f"{name} does not exist", "name a file, a folder, or a release such as oci:DIR:TAG")
    return NamedFile(path, name)


def _file(side: Tree | NamedFile, other: Tree | NamedFile) -> NamedFile:
    """A file as it is; of a tree, the file that is called like the other side's."""
    if isinstance(side, NamedFile):
        return side
    assert isinstance(other, NamedFile)
    path = pick(side, other.path.name)
    return NamedFile(side.fetch(path), f"{side.name}: {path}")
