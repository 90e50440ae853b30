"""`claims bind`: write what a document prints into its ledger, as import does, with the scores of the run as evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import asdict, replace

from aqea_registry.base.files import locked, write_bytes
from aqea_registry.base.findings import Unchecked
from aqea_registry.base.progress import Reporter
from aqea_registry.claims import measurements
from aqea_registry.claims.evidence import Resolved, resolve_results
from aqea_registry.claims.import_claims import ImportedClaims, ReadPage, merge_page, outcome, read_page
from aqea_registry.claims.ledger import FOLDER, Claim, Evaluation, Measurement, free, read_ledgers, render_ledger
from aqea_registry.claims.lint_claims import bind, moved
from aqea_registry.claims.measurements import OF_RUN, Fit, RunScore, RunScores
from aqea_registry.claims.merging import Merged
from aqea_registry.documents.metrics import metric_name
from aqea_registry.documents.numbers import NumberSpan, scan
from aqea_registry.documents.prose import kind_of
from aqea_registry.project.artefact import Artefact, TaskScores
from aqea_registry.project.project import Project
from aqea_registry.vectors.scores import Metrics
from aqea_registry.verification.verify_project import Scores, recompute

Choose = Callable[[str, Sequence[str]], int | None]  # asks which of several scores a number is; None if nobody says


class BoundClaims(ImportedClaims, frozen=True, kw_only=True):
    """The outcome: as of an import, with the claims that get evidence, by id what others may be, and how many have none."""

    bound: tuple[Claim, ...]
    asked: dict[str, tuple[str, ...]]
    unbound: int


def bind_claims(
    project: Project,
    path: Path,
    report: Reporter,
    *,
    into: str | None = None,
    model: str | None = None,
    choose: Choose = lambda number, scores: None,
    write: bool = False,
) -> BoundClaims:
    """Find evidence for the numbers of a document that have none: scores of pair sets, results, averages, repetitions.

    Evidence that is there stays. Without `write` nothing is written. Errors as of `import_claims`.
    """
    page = read_page(project.root, project.params, path, into, model, None)
    recomputed, unsound = recompute(project.run, project.run.made, report)
    sets, scores = _parts(project.run.made, recomputed)
    ledgers, name = read_ledgers(project.root)[0], Path(page.ledger).stem
    own = {name: ledgers[name].document.sha256 == page.document.sha256} if name in ledgers else {}
    there = bind(page.text, scan(page.text, kind_of(path.suffix, page.text)), ledgers, own)
    fits = _fits(page, there.free, measurements.run_of(sets, scores))
    page._replace(empty=f"{page.empty}; and no number of the text is a score of the run").require_claims()
    if write:
        (project.root / FOLDER).mkdir(parents=True, exist_ok=True)
    with locked(project.root / FOLDER) if write else nullcontext():
        old, merged = merge_page(project.root, page)
        results = dict(merged.ledger.results)
        known = resolve_results(merged.ledger, project.params, project.lock)
        keys = [(name, found.key) for name, found in known.items() if isinstance(found, Resolved)]
        parts = [f"{key}/{results[name].split}/{results[name].config}" for name, key in keys]
        named = {part if part in sets else key: name for part, (name, key) in zip(parts, keys, strict=True)}
        binder = _Binder(named, choose, {}, [])
        claims = tuple(binder.claims(page, merged, fits, there.lines.get(name, {})))
        for key, result in ((key, result) for key, result in binder.names.items() if result not in results):
            split, subset = key.split("/")[1:] if "/" in key else ("test", "default")
            made = Evaluation(dataset=sets[key].dataset, model=sets[key].model, split=split, config=subset)
            results[result] = made
        ledger = replace(merged.ledger, results=results, claims=claims)
        written = write and old != ledger and write_bytes(project.root / page.ledger, render_ledger(ledger))
    had = {claim.id for claim in (old.claims if old else ()) if claim.kind != "unbound"}
    fields = outcome(page, merged._replace(ledger=ledger))
    missing = [f"{key}: {reason.message}" for key, reason in recomputed.items() if isinstance(reason, Unchecked)]
    fields |= {"notes": (*page.read.notes, *missing, *binder.notes), "findings": (*fields["findings"], *unsound)}
    unbound = [claim for claim in claims if claim.kind == "unbound"]
    bound = tuple(claim for claim in claims if claim.kind != "unbound" and claim.id not in had)
    return BoundClaims(**fields, written=written, bound=bound, asked=binder.asked, unbound=len(unbound))


def _parts(made: Mapping[str, Artefact], recomputed: Scores) -> tuple[dict[str, Artefact], dict[str, dict[str, float]]]:
    """Pair sets by key, and parts of results: by KEY that of test/default, others by KEY/SPLIT/SUBSET; and their scores."""
    sets, scores = dict[str, Artefact](), dict[str, dict[str, float]]()
    for key, found in recomputed.items():
        if isinstance(found, Metrics):
            sets[key], scores[key] = made[key], asdict(found)
        elif isinstance(found, TaskScores):
            for split, subset, numbers in found.parts():
                part = key if (split, subset) == ("test", "default") else f"{key}/{split}/{subset}"
                sets[part], scores[part] = made[key], {metric_name(name): value for name, value in numbers.items()}
    return sets, scores


def _fits(page: ReadPage, numbers: Sequence[NumberSpan], run: RunScores) -> dict[str, Fit]:
    """By ids of claims what they may be; a claim for each number of the text that may be something is added to the page."""
    fits = {fit.claim.id: fit for fit in measurements.fits_of_tables(page.read.tables, page.text, run)}
    page.read.right.update({id_: fit.has for id_, fit in fits.items() if fit.sure and fit.has is not None})
    ids, taken = dict[str, int](), {(claim.at.line, claim.text) for claim in page.read.claims}
    for fit in measurements.fits_of_text(page.text, numbers, run):
        if (fit.claim.at.line, fit.claim.text) not in taken:
            claim = replace(fit.claim, id=free(fit.claim.id, ids))
            fits[claim.id] = fit
            page.read.claims.append(claim)
    return fits


class _Binder(NamedTuple):
    """Gives claims their evidence. `names` are the results of pair sets, `asked` and `notes` grow by what is left to people."""

    names: dict[str, str]
    choose: Choose
    asked: dict[str, tuple[str, ...]]
    notes: list[str]

    def claims(self, page: ReadPage, merged: Merged, fits: Mapping[str, Fit], lines: Mapping[str, int]) -> Iterator[Claim]:
        """The claims of the ledger, those without evidence with what the document shows, else with a score of the run."""
        added = {*merged.added}
        shown = {now.id: (now, fits.get(was.id)) for was, now in zip(page.read.claims, merged.now, strict=True)}
        for claim in merged.ledger.claims:
            now, fit = shown.get(claim.id, (moved(claim, lines), None))
            if claim.kind == "unbound":
                claim = replace(claim, measured=now.measured, derived=now.derived, quoted=now.quoted)
            if claim.kind == "unbound" and fit is not None and (score := self._score(claim, fit)):
                name = self.names.setdefault(score.pair_set, score.pair_set)
                claim = replace(claim, unit=fit.claim.unit, measured=Measurement(result=name, metric=score.metric))
            # A number of the text is a claim for the sake of its evidence alone.
            if claim.kind != "unbound" or claim.id not in added or not claim.id.startswith(OF_RUN):
                yield replace(claim, at=now.at)

    def _score(self, claim: Claim, fit: Fit) -> RunScore | None:
        """The score that a number is, if that is sure and somebody knows which."""
        words = tuple(f"{score.metric} of {score.pair_set}" for score in fit.scores)
        if fit.has is not None:
            self.notes.append(f"{claim.id} ({claim.at}): printed {claim.text}, {fit.scores[0].pair_set} has {fit.has}")
        elif not fit.sure:
            self.notes.append(f"{claim.id}: {claim.text} may be {' or '.join(words)}, or that by chance; bind it by hand")
        if not fit.sure:
            return None
        choice = 0 if len(words) == 1 else self.choose(f"{claim.id}: {claim.text} ({claim.at})", words)
        self.asked.update({claim.id: words} if choice is None else {})
        return None if choice is None else fit.scores[choice]
