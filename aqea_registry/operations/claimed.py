"""What the ledgers of a project print about the pair set of a file, judged by two sets of scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from aqea_registry.core.claims import Claim, Ledger
from aqea_registry.core.comparison import Number, PairSetFile, Scored
from aqea_registry.core.judging import ALSO_CALLED, judge, measured
from aqea_registry.core.metrics import Metrics
from aqea_registry.core.resolving import Resolved, resolve_result
from aqea_registry.operations.compare_files import Claimed
from aqea_registry.operations.ledgers import read_ledgers
from aqea_registry.operations.project import PARAMS, Project, open_project


def claimed_by(root: Path) -> Claimed:
    """The ledgers' numbers about a pair set; none outside a project, or for a pair set that is not of its run."""
    if not (root / PARAMS).is_file():
        return lambda *_: ()
    project = open_project(root)
    ledgers, _ = read_ledgers(root)

    def claimed(file: PairSetFile, scores: Scored) -> Sequence[Number]:
        key = run_key(project, file)
        if key is None or scores.before is None or scores.after is None:
            return ()
        return [
            one for name, ledger in ledgers.items() for one in _numbers(project, key, name, ledger, scores.before, scores.after)
        ]

    return claimed


def run_key(project: Project, file: PairSetFile) -> str | None:
    """The pair set of the run that a file says it is."""
    for key, pair in project.params.run.pairs.items():
        model = project.params.models[pair.model]
        if pair.dataset == file.dataset and file.model in (model.repo, pair.model) and model.dimension == file.dimension:
            return key
    return None


def _numbers(project: Project, key: str, name: str, ledger: Ledger, before: Metrics, after: Metrics) -> Iterator[Number]:
    bound = {result: resolve_result(one, project.params, project.lock) for result, one in ledger.results.items()}
    for claim in ledger.claims:
        found = bound.get(claim.measured.result) if claim.measured else None
        if not isinstance(found, Resolved) or found.key != key or claim.measured is None:
            continue
        first, second = (judge(name, claim, measured(claim, ledger.results, bound, {key: one})) for one in (before, after))
        if first.recomputed is None or second.recomputed is None:
            continue
        metric = ALSO_CALLED.get(claim.measured.metric, claim.measured.metric)
        yield Number(
            metric=metric,
            before=first.recomputed,
            after=second.recomputed,
            same=_same(claim, getattr(before, metric), getattr(after, metric), first.state, second.state, first.tolerance),
            claim=first.name,
        )


def _same(claim: Claim, before: float, after: float, first: str, second: str, tolerance: str | None) -> bool:
    """A number that holds still holds; one that is contradicted all the same has not moved by more than it tolerates."""
    if first != second:
        return False
    scale = 100 if claim.unit == "percent" else 1
    moved = abs(Fraction(after) - Fraction(before)) * scale
    return first == "holds" or moved <= Fraction(tolerance or "0")
