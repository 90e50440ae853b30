"""Compare two things that should be the same: files with pair sets, folders, releases, or a file and itself made anew.

A pair set of the run made anew, in a place of its own: nothing of the project is touched or taken over.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import msgspec

from aqea_registry.base.findings import BadConfiguration, CannotCheck
from aqea_registry.base.progress import Reporter
from aqea_registry.base.references import is_reference, split_reference
from aqea_registry.comparison.evidence import Compared
from aqea_registry.comparison.pair_files import Place, claimed_by, compare_files, run_key
from aqea_registry.comparison.trees import (
    Change,
    Contents,
    FileComparison,
    Tree,
    changes,
    compare_trees,
    folder_tree,
    pick,
    read_contents,
    release_tree,
    tree_verdict,
)
from aqea_registry.comparison.verdict import BOUND, PairSetComparison, PairSetFile, Verdict
from aqea_registry.project.project import CACHE, Project, open_project, pairs_path
from aqea_registry.sources.fetch import fetch
from aqea_registry.stores.open_store import find, open_store
from aqea_registry.vectors.containers.open_pairs import open_pairs


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two sides and their differences: of releases `changes`, of trees `files`, of two files `pair_set`.

    `compared` is what the verdict on two files was decided on, for plots and for a closer diagnosis.
    """

    before: str
    after: str
    verdict: Verdict
    changes: tuple[Change, ...] = ()
    files: tuple[FileComparison, ...] = ()
    pair_set: PairSetComparison | None = None
    compared: Compared | None = None


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to compare: of releases all that differs in full (`deep`), and how far a component of a unit vector may be off."""

    deep: bool = False
    diagnose: bool = False
    bound: float = BOUND


DEFAULT = Options()


def compare(before: str, after: str, root: Path, report: Reporter, options: Options = DEFAULT) -> Comparison:
    """Compare what two words name: STORE-REFs, folders or files, relative to `root`.

    Of two releases only what tells of scores and pins is fetched, unless `deep`. Raises BadConfiguration, CannotCheck, and
    Refused for what is not what its digest says, or malformed.
    """
    if is_reference(before) and is_reference(after) and not options.deep:
        first, second = (_contents(reference, root) for reference in (before, after))
        verdict: Verdict = "IDENTICAL" if first.digest == second.digest else "DIVERGED"
        return Comparison(before=before, after=after, verdict=verdict, changes=tuple(changes(first, second)))
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aqea-compare-")))
        one, other = (_side(word, root, scratch, report) for word in (before, after))
        if isinstance(one, Tree) and isinstance(other, Tree):
            files = compare_trees(one, other, report, claimed_by(root), options.bound)
            found = _release_changes(before, after, root)
            return Comparison(before=before, after=after, verdict=tree_verdict(files), changes=found, files=files)
        return _of_files(_place(one, other), _place(other, one), root, report, options)


def compare_fresh(name: str, root: Path, report: Reporter, options: Options = DEFAULT) -> Comparison:
    """Compare a file with the pair set that it says it is, made anew from the project's pins in a temporary place."""
    project = open_project(root)
    place = Place(root / name, name)
    with tempfile.TemporaryDirectory(prefix="aqea-compare-") as scratch:
        with open_pairs(*place) as file:
            said = PairSetFile(
                name=name,
                sha256="",
                size=0,
                dataset=file.header.dataset,
                model=file.header.model,
                dimension=file.header.dimension,
            )
        made = regenerate(project, said, Path(scratch), report)
        return _of_files(place, Place(made, "made anew"), root, report, options)


def _of_files(before: Place, after: Place, root: Path, report: Reporter, options: Options) -> Comparison:
    found, compared = compare_files(before, after, report, claimed_by(root), options.bound)
    if options.diagnose and compared is not None and found.verdict == "DIVERGED":
        from aqea_registry.comparison.causes import try_causes

        found = try_causes(open_project(root), found, compared, (before, after), report)
    return Comparison(before=before.name, after=after.name, verdict=found.verdict, pair_set=found, compared=compared)


def _side(word: str, root: Path, scratch: Path, report: Reporter) -> Tree | Place:
    if is_reference(word):
        return release_tree(word, root, scratch, report)
    place = root / word
    if place.is_dir():
        return folder_tree(place, word, report)
    if not place.exists():
        raise CannotCheck(f"{word} is not there", "name a file, a folder, or a release such as oci:DIR:TAG")
    return Place(place, word)


def _place(one: Tree | Place, other: Tree | Place) -> Place:
    """A file as it is; of a tree the file that is called like the other side's."""
    if isinstance(one, Place):
        return one
    assert isinstance(other, Place)
    path = pick(one, other.path.name)
    return Place(one.fetch(path), f"{one.name}: {path}")


def _release_changes(before: str, after: str, root: Path) -> tuple[Change, ...]:
    if not (is_reference(before) and is_reference(after)):
        return ()
    return tuple(changes(*(_contents(reference, root) for reference in (before, after))))


def _contents(reference: str, root: Path) -> Contents:
    spec, tag = split_reference(reference)
    store = open_store(spec, root)
    return read_contents(store, find(store, tag))


def regenerate(project: Project, file: PairSetFile, scratch: Path, report: Reporter) -> Path:
    """Make the pair set that a file says it is, with every vector computed now; return where it lies in `scratch`.

    Raises BadConfiguration if the run has no such pair set, and whatever `generate` raises.
    """
    from aqea_registry.embedding.encoder import Settings
    from aqea_registry.generation.generate import generate

    key = run_key(project, file)
    if key is None:
        known = ", ".join(project.params.run.pairs)
        raise BadConfiguration(
            f"{file.name} says it is {file.dataset!r} under {file.model!r}, {file.dimension} dimensions; "
            f"the run has no such pair set, it has {known}",
            "set run in params.yaml, or name two files",
        )
    pair = project.params.run.pairs[key]
    there = msgspec.structs.replace(project, root=scratch)
    # Sources of the catalogue start at the project: bring what is pinned, and the copy needs no source.
    for group, name, entry in (
        ("datasets", pair.dataset, project.params.datasets[pair.dataset]),
        ("models", pair.model, project.params.models[pair.model]),
    ):
        pin = project.pin(group, name, entry)
        fetch(name, pin, project.sources(name, entry, pin.commit), scratch / CACHE / "pinned", report)
    generate(there, pair.dataset, pair.model, Settings(), report, fresh=True)
    return scratch / pairs_path(pair)
