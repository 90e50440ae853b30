"""`claims bind`: write what a document prints into its ledger, as import does, with the scores of the run as evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

import msgspec
from msgspec.structs import asdict, replace

from aqea_registry.base.files import locked, write_bytes
from aqea_registry.base.progress import Reporter
from aqea_registry.claims import measurements
from aqea_registry.claims.binding import Bound, bind
from aqea_registry.claims.import_claims import ImportedClaims, ReadPage, merge_page, outcome, read_page
from aqea_registry.claims.ledger import FOLDER, Claim, Evaluation, Measurement, read_ledgers, render_ledger
from aqea_registry.claims.lint_claims import moved
from aqea_registry.claims.measurements import Fit, RunScores
from aqea_registry.claims.resolving import Resolved, resolve_result
from aqea_registry.documents.numbers import scan
from aqea_registry.documents.prose import kind_of
from aqea_registry.project.project import Project
from aqea_registry.vectors.scores import Metrics
from aqea_registry.verification.verify_project import recompute

Choose = Callable[[str, Sequence[str]], int | None]  # asks which of several scores a number is; None if nobody says


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """A number that had no evidence, and what it may rest on; `has` is what that gives, where other digits are printed."""

    id: str
    value: str | None
    line: int | None
    evidence: tuple[str, ...]
    has: str | None = None


class BoundClaims(ImportedClaims, frozen=True, kw_only=True):
    """The outcome: as of an import, with what is bound, what may be several scores, and how many claims rest on nothing."""

    bound: tuple[Binding, ...]
    asked: tuple[Binding, ...]
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
    """Find evidence for the numbers of a document that have none: scores of the run's pair sets, averages, repetitions.

    Evidence that is there stays. Without `write` nothing is written. Errors as of `import_claims`.
    """
    page = read_page(project, path, into, model, None)
    recomputed, unsound = recompute(project.run, project.artefacts, report)
    scores = {key: _fractions(values) for key, values in recomputed.items() if isinstance(values, Metrics)}
    run = measurements.run_of(project.artefacts, scores)
    fits = {fit.claim.id: fit for fit in measurements.fits_of_tables(page.read.tables, page.text, run)}
    there = _there(project.root, page)
    for fit in _fits_of_text(page, there, run):
        fits[fit.claim.id] = fit
        page.read.claims.append(fit.claim)
    page.require_claims()
    if write:
        (project.root / FOLDER).mkdir(parents=True, exist_ok=True)
    with locked(project.root / FOLDER) if write else nullcontext():
        old, merged = merge_page(project.root, page, model=model)
        shown = {now.id: (now, fits.get(was.id)) for was, now in zip(page.read.claims, merged.now, strict=True)}
        resolved = {
            name: resolve_result(result, project.params, project.lock) for name, result in merged.ledger.results.items()
        }
        answers = _Answers({found.key: name for name, found in resolved.items() if isinstance(found, Resolved)}, choose)
        lines = there.lines.get(Path(page.ledger).stem, {})
        still = [claim if claim.id in shown else moved(claim, lines) for claim in merged.ledger.claims]
        claims = [answers.bound(claim, *shown.get(claim.id, (claim, None))) for claim in still]
        claims = [claim for claim in claims if not (claim.kind == "unbound" and claim.id in answers.of_text)]
        pairs = {name: project.artefacts[key] for key, name in answers.names.items() if name not in resolved}
        results = {name: Evaluation(dataset=pair.dataset, model=pair.model) for name, pair in pairs.items()}
        ledger = replace(merged.ledger, results={**merged.ledger.results, **results}, claims=tuple(claims))
        written = write and old != ledger and write_bytes(project.root / page.ledger, render_ledger(ledger))
    had = {claim.id for claim in (old.claims if old else ()) if claim.kind != "unbound"}
    missing = [f"{key}: {reason.message}" for key, reason in recomputed.items() if not isinstance(reason, Metrics)]
    fields = outcome(page, merged._replace(ledger=ledger))
    fields |= {"notes": (*page.read.notes, *missing, *answers.notes), "findings": (*fields["findings"], *unsound)}
    return BoundClaims(
        **fields,
        written=written,
        bound=tuple(answers.binding(claim) for claim in claims if claim.kind != "unbound" and claim.id not in had),
        asked=tuple(answers.asked),
        unbound=sum(claim.kind == "unbound" for claim in claims),
    )


def _fractions(scores: Metrics) -> dict[str, Fraction]:
    return {name: Fraction(value) for name, value in asdict(scores).items()}


def _there(root: Path, page: ReadPage) -> Bound:
    """Where a document prints the claims of ledgers, and which of its numbers are none."""
    ledgers, name = read_ledgers(root)[0], Path(page.ledger).stem
    own = {name: ledgers[name].document.sha256 == page.document.sha256} if name in ledgers else {}
    return bind(page.text, scan(page.text, kind_of(page.path.suffix, page.text)), ledgers, own)


def _fits_of_text(page: ReadPage, there: Bound, run: RunScores) -> Iterator[Fit]:
    """What numbers of the text may be that no claim of any ledger binds; those of one name are numbered."""
    taken, names = {(claim.at.line, claim.text) for claim in page.read.claims}, Counter[str]()
    for fit in measurements.fits_of_text(page.text, there.free, run):
        if (fit.claim.at.line, fit.claim.text) not in taken:
            names[fit.claim.id] += 1
            more = f"-{names[fit.claim.id]}" if names[fit.claim.id] > 1 else ""
            yield fit._replace(claim=replace(fit.claim, id=fit.claim.id + more))


class _Answers:
    """Gives claims their evidence; `names` are the results of pair sets, `asked` and `notes` what is left to people."""

    def __init__(self, names: dict[str, str], choose: Choose) -> None:
        self.names, self._choose = names, choose
        self.asked: list[Binding] = []
        self.notes: list[str] = []
        self.of_text: set[str] = set()  # claims that are nothing without evidence
        self._has: dict[str, str] = {}

    def bound(self, claim: Claim, now: Claim, fit: Fit | None) -> Claim:
        """A claim without evidence with what the document shows, else with a score of the run that it may be."""
        if claim.kind == "unbound":
            claim = replace(claim, measured=now.measured, derived=now.derived, quoted=now.quoted)
        if claim.kind != "unbound" or fit is None:
            return claim
        self.of_text |= {claim.id} if claim.at.table is None else set()
        words = tuple(f"{score.metric} of {score.pair_set}" for score in fit.scores)
        if fit.has is not None:
            self._has[claim.id] = fit.has
            self.notes.append(f"{claim.id} ({claim.at}): printed {claim.text}, {fit.scores[0].pair_set} has {fit.has}")
        elif not fit.sure:
            self.notes.append(f"{claim.id}: {claim.text} may be {' or '.join(words)}, or that by chance; bind it by hand")
        choice = (
            None if not fit.sure else 0 if len(words) == 1 else self._choose(f"{claim.id}: {claim.text} ({claim.at})", words)
        )
        if choice is None:
            asked = Binding(id=claim.id, value=claim.value, line=claim.at.line, evidence=words)
            self.asked += [asked] if fit.sure else []
            return claim
        score = fit.scores[choice]
        name = self.names.setdefault(score.pair_set, score.pair_set)
        return replace(claim, unit=fit.claim.unit, measured=Measurement(result=name, metric=score.metric))

    def binding(self, claim: Claim) -> Binding:
        """What a claim was given."""
        words = f"{claim.measured.metric} of {claim.measured.result}" if claim.measured else claim.derived
        words = words or f"as {claim.quoted.claim if claim.quoted else None}"
        return Binding(id=claim.id, value=claim.value, line=claim.at.line, evidence=(words,), has=self._has.get(claim.id))
