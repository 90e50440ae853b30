"""Two files compared: their bytes first, then, block by block and in bounded memory, the pair sets in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from aqea_registry.core.comparison import BOUND, Number, PairSetComparison, PairSetFile, Scored, judge, scored
from aqea_registry.core.diagnosis import Compared
from aqea_registry.core.differences import Block, Values, measure
from aqea_registry.core.files import Advance, FileDigest, hash_files, ignore, size_of
from aqea_registry.core.findings import Refused
from aqea_registry.core.pairset import MICRO, ContentDigest
from aqea_registry.core.reporting import Reporter
from aqea_registry.core.scores import is_canonical
from aqea_registry.operations.read_pairs import PairFile, open_pairs


class Place(NamedTuple):
    """A file, and what it is called."""

    path: Path
    name: str


# What ledgers print about the pair set of a file, given both sides' scores.
Claimed = Callable[[PairSetFile, Scored], Sequence[Number]]


def compare_files(
    before: Place, after: Place, report: Reporter, claimed: Claimed = lambda *_: (), bound: float = BOUND
) -> tuple[PairSetComparison, Compared | None]:
    """Compare two files that hold pair sets, in any container; also what was measured, None if the bytes are the same.

    `bound` is how far a component of a unit vector may be off. Raises Refused for a malformed file, BadConfiguration for one
    that holds no pair set, OSError.
    """
    sides = _hashed(before, after, report)
    if sides[0].sha256 == sides[1].sha256:
        return PairSetComparison(verdict="IDENTICAL", before=sides[0], after=sides[1], bound=bound), None
    with open_pairs(*before) as first, open_pairs(*after) as second:
        sides = [_said(side, one) for side, one in zip(sides, (first, second), strict=True)]
        total = max(first.says.n_pairs or 0, second.says.n_pairs or 0)
        with report.task("compare", total, "rows") as advance:
            try:
                measured = measure(_blocks(first, advance), _blocks(second))
            except ValueError as error:
                raise Refused.of("malformed", f"{before.name} or {after.name}", str(error)) from error
        human = [
            _human(one, place.name, side.n_pairs)
            for one, place, side in zip((first, second), (before, after), (measured.before, measured.after), strict=True)
        ]
        compared = Compared(measured=measured, before=human[0], after=human[1], bound=bound)
        scores = scored(compared)
        verdict = judge(compared, sides[0], sides[1], scores, claimed(_named(sides, measured.before.dimension), scores))
        if verdict.verdict == "SAME CONTENT" and is_canonical(measured.before):
            verdict = _with_content(verdict, first, compared)
        return verdict, compared


def _hashed(before: Place, after: Place, report: Reporter) -> list[PairSetFile]:
    paths = [before.path, after.path]
    with report.task("hash", sum(map(size_of, paths)), "bytes") as advance:
        digests = hash_files(paths, advance=advance)
    return [_side(place.name, digests[place.path]) for place in (before, after)]


def _side(name: str, found: FileDigest | OSError) -> PairSetFile:
    if isinstance(found, OSError):
        raise found
    return PairSetFile(name=name, sha256=found.sha256, size=found.size)


def _said(side: PairSetFile, file: PairFile) -> PairSetFile:
    return msgspec.structs.replace(side, container=file.container, dataset=file.says.dataset, model=file.says.model)


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
    if file.says.n_pairs not in (None, rows):
        raise ValueError(f"n_pairs is {file.says.n_pairs}, but there are {rows} rows")


def _human(file: PairFile, name: str, n_pairs: int) -> Values | None:
    scores = file.scores()
    if scores is not None and len(scores) != n_pairs:
        raise Refused.of("malformed", name, f"there are {n_pairs} rows, but {len(scores)} scores")
    return scores


def _with_content(verdict: PairSetComparison, file: PairFile, compared: Compared) -> PairSetComparison:
    """The content digest, which both have: their numbers were found equal. It takes one matrix after the other."""
    human = compared.before if compared.before is not None else compared.after
    if human is None:
        return verdict
    digest = ContentDigest(compared.measured.before.n_pairs, compared.measured.before.dimension)
    for which in (0, 1):
        for block in file.blocks(which):
            digest.add(np.rint(block * MICRO).astype(np.int32))
    content = digest.finish(human.tolist())
    before, after = (msgspec.structs.replace(side, content=content) for side in (verdict.before, verdict.after))
    return msgspec.structs.replace(verdict, before=before, after=after)
