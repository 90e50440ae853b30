"""Two trees compared file by file: folders, projects, releases, in any mixture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import msgspec

from aqea_registry.core.comparison import BOUND, PairSetComparison, Verdict, worst_of
from aqea_registry.core.findings import BadConfiguration, CannotCheck, Refused
from aqea_registry.core.reporting import Reporter
from aqea_registry.operations.compare_files import Claimed, Place, compare_files
from aqea_registry.operations.trees import Tree, pairs_of_paths

# Files that say again what pair sets say: digests, scores, pictures and words made from them.
DERIVED = re.compile(r"(^|/)(MANIFEST\.(sha256|sizes)|README\.md|croissant\.json|metrics/.*|plots/.*|.*_benchmark\.json)$")
MAY_HOLD_PAIRS = (".json", ".parquet", ".aqed")


class FileComparison(msgspec.Struct, frozen=True, kw_only=True):
    """One file of both trees, or of one of them. `pair_set` is there if the bytes differ and both hold a pair set."""

    before: str | None
    after: str | None
    verdict: Verdict
    message: str
    pair_set: PairSetComparison | None = None


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


def tree_verdict(rows: Sequence[FileComparison]) -> Verdict:
    """The verdict on the trees."""
    return worst_of([row.verdict for row in rows])


def pick(tree: Tree, like: str) -> str:
    """The file of a tree that has this name. Raises CannotCheck unless there is one."""
    name = PurePosixPath(like).name
    found = [path for path in tree.files if PurePosixPath(path).name == name]
    if len(found) == 1:
        return found[0]
    known = ", ".join(path for path in sorted(tree.files) if path.endswith(MAY_HOLD_PAIRS)) or "none that may hold pair sets"
    state = f"{len(found)} files called {name}" if found else f"no file called {name}"
    raise CannotCheck(f"{tree.name} has {state}", f"it has {known}")


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
