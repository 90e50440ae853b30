"""Compare two files: their bytes, then their pair sets block by block and what ledgers print of them, or their vector sets."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from aqea_registry.base.files import Advance, ignore, open_regular, wrong_content
from aqea_registry.base.findings import Refused, Unchecked
from aqea_registry.base.progress import Reporter, hash_shown, plural
from aqea_registry.claims.evidence import Resolved, measured, resolve_results
from aqea_registry.claims.judging import judge_claim
from aqea_registry.claims.ledger import Ledger, read_ledgers
from aqea_registry.comparison.measures import Block, Compared, measure
from aqea_registry.comparison.verdict import BOUND, ComparedNumber, PairSetComparison, PairSetFile, Scored, decide, scored
from aqea_registry.documents.metrics import metric_name
from aqea_registry.project.artefact import PairSetArtefact
from aqea_registry.project.project import is_project, open_project
from aqea_registry.vectors.containers.open_pairs import open_pairs
from aqea_registry.vectors.pair_set import MICRO, ContentDigest, Malformed, PairFile, refusing
from aqea_registry.vectors.scores import Metrics
from aqea_registry.vectors.vector_set import VectorSet

BLOCK = 8192  # texts of vector sets whose vectors are in memory at a time
NAMED = 10  # texts of each kind that are named, by the sha256 of each as the model sees it


class NamedFile(NamedTuple):
    """A file, and the name that messages give it."""

    path: Path
    name: str


# What ledgers print about the pair set of a file, given both sides' scores.
Claimed = Callable[[PairSetFile, Scored | None], Sequence[ComparedNumber]]


def compare_files(
    before: NamedFile, after: NamedFile, report: Reporter, claimed: Claimed = lambda *_: (), bound: float = BOUND
) -> tuple[PairSetComparison, Compared | None]:
    """Compare two files with pair sets in any container, or two vector sets.

    Also returns what was measured of pair sets with different bytes. `bound` is how far a component of a unit vector may be
    off. Raises Refused for a malformed file, BadConfiguration for one that holds no pair set, OSError.
    """
    for file in (before, after):
        if finding := wrong_content(*file):
            raise Refused(finding.message, [finding])
    sides = _hashed((before, after), report)
    if sides[0].sha256 == sides[1].sha256:
        return PairSetComparison(verdict="IDENTICAL", before=sides[0], after=sides[1], bound=bound), None
    if (vector_sets := _both_vector_sets(before.path, after.path)) is not None:
        return _of_vector_sets(*vector_sets, sides, bound), None
    with open_pairs(*before) as first, open_pairs(*after) as second:
        sides = [
            msgspec.structs.replace(side, container=file.container, dataset=file.header.dataset, model=file.header.model)
            for side, file in zip(sides, (first, second), strict=True)
        ]
        total = max(first.header.n_pairs or 0, second.header.n_pairs or 0)
        with report.task("compare", total, "rows") as advance:
            try:
                compared = measure(_blocks(first, advance), _blocks(second), bound)
            except ValueError as error:
                raise Refused.of("malformed", f"{before.name} or {after.name}", str(error)) from error
        compared = compared.with_scores(first.scores(), second.scores())
        for file, side in ((before, compared.before), (after, compared.after)):
            if side.human is not None and len(side.human) != side.n_pairs:
                raise Refused.of("malformed", file.name, f"there are {side.n_pairs} rows, but {len(side.human)} scores")
        both = scored(compared)
        verdict = decide(compared, sides[0], sides[1], both, claimed(_named(sides, compared.before.dimension), both))
        if verdict.verdict == "SAME CONTENT" and compared.before.is_canonical:
            verdict = _with_content(verdict, first, compared)
        return verdict, compared


def _both_vector_sets(first: Path, second: Path) -> tuple[VectorSet, VectorSet] | None:
    """Both files as vector sets; None if one is another thing. Raises CannotCheck without pyarrow."""
    try:
        return (VectorSet(first), VectorSet(second)) if _is_parquet(first) and _is_parquet(second) else None
    except Malformed:
        return None


def _is_parquet(path: Path) -> bool:
    with open_regular(path) as file:
        return file.read(4) == b"PAR1"


def _of_vector_sets(first: VectorSet, second: VectorSet, sides: list[PairSetFile], bound: float) -> PairSetComparison:
    """Two vector sets with other bytes: the same content, or which texts differ."""
    with refusing(f"{sides[0].name} or {sides[1].name}"):
        before, after = (
            msgspec.structs.replace(side, container="vector set", dimension=file.dimension, content=file.content)
            for side, file in zip(sides, (first, second), strict=True)
        )
        alike = first.dimension == second.dimension
        notes = _text_differences(first, second) if alike else ["the vectors have other dimensions"]
        comparison = PairSetComparison(verdict="DIVERGED", before=before, after=after, bound=bound, notes=tuple(notes))
        return comparison if before.content != after.content else msgspec.structs.replace(comparison, verdict="SAME CONTENT")


def _text_differences(first: VectorSet, second: VectorSet) -> Iterator[str]:
    """What differs between vector sets of one dimension, in memory of their keys and a block of vectors. Raises Malformed."""
    common = np.intersect1d(first.keys, second.keys, assume_unique=True)
    differing, largest = [common[:0]], 0
    for start in range(0, len(common), BLOCK):
        part = common[start : start + BLOCK]
        apart = np.abs(first.lookup(part).astype(np.int64) - second.lookup(part)).max(axis=1)
        differing.append(part[apart > 0])
        largest = max(largest, int(apart.max()))
    for keys, what in (
        (np.setdiff1d(first.keys, common, assume_unique=True), "only in the first"),
        (np.setdiff1d(second.keys, common, assume_unique=True), "only in the second"),
        (np.concatenate(differing), f"with another vector, by at most {largest / MICRO:.1e}"),
    ):
        if len(keys):
            shown = ", ".join(key.tobytes().hex() for key in keys[:NAMED].view("V32"))
            yield f"{plural(len(keys), 'text')} {what}: {shown}{', ...' if len(keys) > NAMED else ''}"


def _hashed(files: Sequence[NamedFile], report: Reporter) -> list[PairSetFile]:
    digests = hash_shown([file.path for file in files], report)
    sides = []
    for file in files:
        if isinstance(digest := digests[file.path], OSError):
            raise digest
        sides.append(PairSetFile(name=file.name, sha256=digest.sha256, size=digest.size))
    return sides


def _named(sides: list[PairSetFile], dimension: int) -> PairSetFile:
    """The side that says which pair set it is; AQED files do not."""
    side = next((side for side in sides if side.dataset is not None), sides[0])
    return msgspec.structs.replace(side, dimension=dimension)


def _blocks(file: PairFile, advance: Advance = ignore) -> Iterator[Block]:
    """Both matrices side by side. Raises ValueError if one is longer."""
    rows = 0
    for first, second in zip(file.blocks(0), file.blocks(1), strict=True):
        rows += len(first)
        advance(len(first))
        yield first, second
    if file.header.n_pairs not in (None, rows):
        raise ValueError(f"n_pairs is {file.header.n_pairs}, but there are {rows} rows")


def _with_content(verdict: PairSetComparison, file: PairFile, compared: Compared) -> PairSetComparison:
    """The content digest, which both have: their numbers were found equal. It takes one matrix after the other."""
    human = next((side.human for side in (compared.before, compared.after) if side.human is not None), None)
    if human is None:
        return verdict
    digest = ContentDigest(compared.before.n_pairs, compared.before.dimension)
    for which in (0, 1):
        for block in file.blocks(which):
            digest.add(np.rint(block * MICRO).astype(np.int32))
    content = digest.finish(human.tolist())
    before, after = (msgspec.structs.replace(side, content=content) for side in (verdict.before, verdict.after))
    return msgspec.structs.replace(verdict, before=before, after=after)


def claimed_by(root: Path) -> Claimed:
    """The ledgers' numbers about a pair set; none outside a project, or for a pair set that is not of its run."""
    if not is_project(root):
        return lambda *_: ()
    project = open_project(root)
    ledgers, _ = read_ledgers(root)
    bound = {name: resolve_results(ledger, project.params, project.lock) for name, ledger in ledgers.items()}

    def claimed(file: PairSetFile, scores: Scored | None) -> Sequence[ComparedNumber]:
        key = run_key(project.artefacts, file)
        if key is None or scores is None:
            return ()
        return [number for name, ledger in ledgers.items() for number in _numbers(bound[name], key, name, ledger, *scores.kept)]

    return claimed


def run_key(run: Mapping[str, PairSetArtefact], file: PairSetFile) -> str | None:
    """The pair set of the run that a file says it is."""
    for key, artefact in run.items():
        model = artefact.model_entry
        if (artefact.dataset, model.dimension) == (file.dataset, file.dimension) and file.model in (model.repo, artefact.model):
            return key
    return None


def _numbers(
    bound: Mapping[str, Resolved | Unchecked], key: str, name: str, ledger: Ledger, before: Metrics, after: Metrics
) -> Iterator[ComparedNumber]:
    for claim in ledger.claims:
        resolved = bound.get(claim.measured.result) if claim.measured else None
        if not isinstance(resolved, Resolved) or resolved.key != key or claim.measured is None:
            continue
        first, second = (
            judge_claim(name, claim, measured(claim, ledger.results, bound, {key: scores})) for scores in (before, after)
        )
        if first.recomputed is None or second.recomputed is None:
            continue
        metric = metric_name(claim.measured.metric)
        moved = abs(Fraction(getattr(after, metric)) - Fraction(getattr(before, metric)))
        moved *= 100 if claim.unit == "percent" else 1
        # A claim that held must hold; one that is contradicted on both sides may move by its tolerance.
        kept = first.state == "holds" or moved <= Fraction(first.tolerance or "0")
        same = first.state == second.state and kept
        yield ComparedNumber(metric=metric, before=first.recomputed, after=second.recomputed, same=same, claim=first.name)
