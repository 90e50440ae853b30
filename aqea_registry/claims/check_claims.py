"""`claims check`: judge every claim of a project's ledgers by what can be recomputed, computed or read in checked files."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from aqea_registry.base.files import Limit, TooLarge, UnsafePath, inside, read_small, why_other
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, Unchecked, suggestion
from aqea_registry.base.progress import Reporter
from aqea_registry.base.strict import NoSuchValue, follow, load_json, load_yaml
from aqea_registry.claims import evidence, judging
from aqea_registry.claims.evidence import MALFORMED, NAMED, Evidence, Resolved, Terms
from aqea_registry.claims.expression import BadExpression, Basis, Expression, parse_reference, read_expression, references
from aqea_registry.claims.ledger import Claim, Ledger, Quotation, Verdict, find_document, read_ledgers
from aqea_registry.claims.lint_claims import not_printed
from aqea_registry.documents.numbers import Unit
from aqea_registry.project.artefact import CatalogueEntry
from aqea_registry.project.project import Project, RunRecord, Scope
from aqea_registry.sources.fetch import pinned_folder, wrong_bytes
from aqea_registry.sources.kinds import sources_of
from aqea_registry.vectors.scores import Metrics
from aqea_registry.verification.verify_project import CheckedProject, Scores, recompute

Results = Mapping[str, Mapping[str, Resolved | Unchecked]]  # of each ledger, what of the run they mean


class CheckedClaims(msgspec.Struct, frozen=True, kw_only=True):
    """Each claim's verdict in the ledgers' order, the state of each ledger's document, and recomputed scores by pair set."""

    verdicts: tuple[Verdict, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    documents: dict[str, str]
    ledgers: dict[str, Ledger]
    scores: dict[str, Metrics]


def check_claims(
    project: Project,
    documents: Sequence[Path],
    report: Reporter,
    only: Sequence[str] = (),
    *,
    scope: Scope = Scope.MACHINE,
    verified: CheckedProject | None = None,
    strict: bool = False,
    fill: bool = False,
) -> CheckedClaims:
    """Judge the claims of all ledgers, or of those named in `only`.

    With `fill`, those of unpublished documents are judged, and given, as if they printed what their evidence gives.

    `documents` are folders in which the ledgers' documents are looked for besides the project. Nothing is fetched;
    for a release, pinned files that happen to be on this machine are not read either. If the project was `verified` without a
    finding, its scores are taken from there. If `strict`, each claim that is unchecked or unbound is a finding. Raises
    BadConfiguration for an unknown ledger.
    """
    ledgers, findings = read_ledgers(project.root)
    chosen = _chosen(ledgers, only, findings)
    findings = [finding for finding in findings if not only or finding.subject.partition(":")[0] in only]
    states, notes, stale, outdated = _documents(project.root, ledgers, chosen, documents)
    bound = {name: evidence.resolve_results(ledger, project.params, project.lock) for name, ledger in ledgers.items()}
    scores, unsound = _scores(project.run, ledgers, bound, verified, report)
    quotations = Quotations(project.run, project.catalogue, scope)
    mended = {name for name, ledger in chosen.items() if not ledger.document.published and states[name] != "stale"}
    judge = _Judge(ledgers, bound, scores, quotations, outdated, mended if fill else set(), Terms(ledgers))
    verdicts = [verdict for verdict in judge.verdicts() if verdict.ledger in chosen]
    findings += [*stale, *(project.run.manifest.faults if scores else ()), *unsound, *quotations.findings]
    files = {name: ledger.document.file for name, ledger in chosen.items()}
    findings += [*_unpinned(chosen, bound), *judging.verdict_findings(verdicts, files, strict=strict)]
    return CheckedClaims(
        verdicts=tuple(verdicts),
        findings=tuple(findings),
        notes=tuple(notes),
        documents={name: states[name] for name in chosen},
        ledgers=chosen,
        scores={key: score for key, score in scores.items() if isinstance(score, Metrics)},
    )


def _scores(
    run: RunRecord, ledgers: Mapping[str, Ledger], bound: Results, verified: CheckedProject | None, report: Reporter
) -> tuple[Scores, Sequence[Finding]]:
    """The scores of the sets that claims were measured on: of a check without a finding, or recomputed or read."""
    measured = ((bound[name], claim.measured) for name, ledger in ledgers.items() for claim in ledger.claims)
    results = (results.get(metric.result) for results, metric in measured if metric is not None)
    wanted = dict.fromkeys(result.key for result in results if isinstance(result, Resolved))
    known = verified.pair_sets if verified is not None and not verified.findings else {}
    scores, unsound = recompute(run, [key for key in wanted if key not in known], report)
    return {key: known[key].metrics if key in known else scores[key] for key in wanted}, unsound


def nothing_judged(checked: CheckedClaims) -> CannotCheck | None:
    """The error for a check without any result."""
    if checked.findings or any(verdict.state != "unchecked" for verdict in checked.verdicts):
        return None
    if not checked.verdicts:
        return CannotCheck("there are no claims in manifests/claims", "write a ledger: aqea-registry claims import DOC")
    first = checked.verdicts[0]
    return CannotCheck(f"none of {len(checked.verdicts)} claims could be checked, first {first.name}: {first.message}")


class _Judge(msgspec.Struct):
    """The claims of all ledgers, and everything that they can rest on. Those of ledgers to `fill` are judged as filled in."""

    ledgers: Mapping[str, Ledger]
    bound: Results
    scores: Scores
    quotations: Quotations
    stale: Mapping[str, str]
    fill: Collection[str]
    terms: Terms
    rests_on: dict[str, list[str]] = {}  # the claims that each claim is computed from or quotes
    expressions: dict[str, Expression] = {}
    wrong: dict[str, Unchecked] = {}

    def verdicts(self) -> list[Verdict]:
        """The verdict on every claim, in the order of the ledgers."""
        claims = {f"{name}:{claim.id}": (name, claim) for name, ledger in self.ledgers.items() for claim in ledger.claims}
        self.rests_on = {own: self._references(own, name, claim) for own, (name, claim) in claims.items()}
        order, circles = judging.in_order(self.rests_on)
        for circle in circles:
            for place, own in enumerate(circle):
                names = [circle[(place + step) % len(circle)] for step in range(min(len(circle), NAMED) + 1)]
                more = f" rests on ..., {len(circle)} claims" if len(circle) > NAMED else ""
                self.wrong[own] = Unchecked(MALFORMED, f"a circle: {' rests on '.join(names)}{more}")
        done: dict[str, Verdict] = {}
        for own in order:
            name, claim = claims[own]
            found = self._evidence(own, name, claim)
            verdict = judging.judge_claim(name, claim, found)
            if name in self.fill and (filled := judging.filled(verdict, found)) is not None:
                self.terms.put(own, filled)
                verdict = judging.judge_claim(name, filled, found)
            why = self.stale.get(own) or self.stale.get(name)
            done[own] = judging.outdated(verdict, why) if why else verdict
            self.terms.settle(own, judging.basis_of(done[own]), judging.correction(verdict, found))
        return [done[own] for own in claims]

    def _references(self, own: str, ledger: str, claim: Claim) -> list[str]:
        """The claims that a claim rests on; what is wrong with how it names them is kept."""
        try:
            if claim.derived is not None:
                self.expressions[own] = read_expression(claim.derived)
                named = references(self.expressions[own])
                if not named:
                    raise BadExpression("it names no claim")
            else:
                named = [parse_reference(claim.quoted.claim)] if claim.quoted and claim.quoted.claim is not None else []
                if any(reference.glob for reference in named):
                    raise BadExpression(f"{str(named[0])!r} stands for several claims")
            return list(dict.fromkeys(name for reference in named for name in self.terms.find(reference, ledger, own)))
        except BadExpression as error:
            self.wrong[own] = Unchecked(MALFORMED, str(error))
            return []

    def _evidence(self, own: str, ledger: str, claim: Claim) -> Evidence | Unchecked | None:
        if own in self.wrong:
            return self.wrong[own]
        if claim.measured is not None:
            return evidence.measured(claim, self.ledgers[ledger].results, self.bound[ledger], self.scores)
        if claim.derived is not None:
            return evidence.derived(self.expressions[own], ledger, own, self.terms)
        if claim.quoted is None:
            return None
        if claim.quoted.source is not None:
            return Unchecked("no-source", f"it quotes {claim.quoted.source[:200]}, which is not part of the project")
        if claim.quoted.file is not None:
            return self.quotations.value(claim.quoted, claim.unit)
        return evidence.quoted_claim(claim.unit, self.rests_on[own][0], self.terms)


def _chosen(ledgers: Mapping[str, Ledger], only: Sequence[str], findings: Sequence[Finding]) -> dict[str, Ledger]:
    for name in only:
        if name not in ledgers and name not in {finding.subject.partition(":")[0] for finding in findings}:
            message = f"there is no ledger {name!r}; there are {', '.join(ledgers) or 'none'}"
            raise BadConfiguration(message, suggestion(name, ledgers, "correct the name"))
    return {name: ledger for name, ledger in ledgers.items() if not only or name in only}


def _documents(
    root: Path, ledgers: Mapping[str, Ledger], chosen: Mapping[str, Ledger], folders: Sequence[Path]
) -> tuple[dict[str, str], list[str], list[Finding], dict[str, str]]:
    """The state of each ledger's document, notes and findings on them, and why ledgers and claims, LEDGER:ID, are outdated."""
    states, outdated = dict[str, str](), dict[str, str]()
    notes: list[str] = []
    findings: list[Finding] = []
    for name, ledger in ledgers.items():
        states[name], other, path = find_document(root, ledger.document, folders)
        if other is not None:
            again = f"run: aqea-registry claims lint --update {ledger.document.file}"
            outdated[name] = f"{ledger.document.file} was changed after the ledger was written; {again}"
        if name not in chosen:
            continue
        if path is not None and ledger.document.sha256 is None:
            try:
                gone = not_printed(path, name, ledger)
            except CannotCheck as error:
                notes.append(error.message)
                continue
            outdated |= {own: fault.message for own, fault in gone.items()}
            for own, fault in gone.items():
                where = (fault.expected, fault.actual, ledger.document.file, fault.line)
                findings.append(Finding("claim-stale", own.replace(":", ": ", 1), fault.message.replace(own, "it", 1), *where))
        elif other is not None and path is not None:
            sha256, file = ledger.document.sha256, ledger.document.file
            why = why_other(path, other, sha256 or "")
            message = f"{file} differs from the document that the ledger was written for{why}"
            findings.append(Finding("claim-stale", name, message, sha256, other.sha256, file))
        elif states[name] == "absent":
            notes.append(f"{name}: {ledger.document.file} is not here; its claims are judged as the ledger has them")
    return states, notes, findings, outdated


def _unpinned(ledgers: Mapping[str, Ledger], bound: Results) -> Iterable[Finding]:
    """One finding per unpinned result, instead of one for each of its claims."""
    for name, ledger in ledgers.items():
        counts = Counter(claim.measured.result for claim in ledger.claims if claim.measured)
        for key, count in counts.items():
            result = bound[name].get(key)
            if isinstance(result, Unchecked) and result.reason == "unpinned":
                yield Finding("unpinned", f"{name}: results.{key}", f"{result.message}; {count} claims rest on it")


class Quotations:
    """The files that a project's claims quote, each read once. `findings` grow with what is wrong with them."""

    def __init__(self, run: RunRecord, catalogue: Mapping[str, CatalogueEntry], scope: Scope) -> None:
        self._run, self._catalogue, self._scope = run, catalogue, scope
        self._read: dict[tuple[str | None, str], tuple[Any, Basis] | Unchecked] = {}
        self.findings: list[Finding] = []

    def value(self, quoted: Quotation, unit: Unit) -> Evidence | Unchecked:
        """The value that a quotation points to."""
        assert quoted.file is not None
        key = (quoted.pin, quoted.file)
        if key not in self._read:
            self._read[key] = self._load(*key)
        content = self._read[key]
        if isinstance(content, Unchecked):
            return content
        name = f"{quoted.pin}: {quoted.file}" if quoted.pin else quoted.file
        try:
            value = follow(content[0], quoted.at or "")
        except NoSuchValue as error:
            return Unchecked(MALFORMED, f"{name}: {error}")
        return evidence.quoted_value(unit, value, f"{name}#{quoted.at or ''}", content[1], quoted.unit)

    def _load(self, pin: str | None, path: str) -> tuple[Any, Basis] | Unchecked:
        content = self._of_project(path) if pin is None else self._of_pin(pin, path)
        if isinstance(content, Unchecked):
            return content
        named = pin is not None or self._run.manifest.digests.get(path) == hashlib.sha256(content).hexdigest()
        basis: Basis = "bytes" if named else "prints"
        try:
            if path.endswith(".json"):
                return load_json(content, path, spelled=True), basis
            if path.endswith((".yaml", ".yml")):
                return load_yaml(content, path, aliases=pin is None), basis
        except BadConfiguration as error:
            return Unchecked(MALFORMED, error.message)
        return Unchecked(MALFORMED, f"{path}: a value can be quoted from a .json, .yaml or .yml file only")

    def _of_project(self, path: str) -> bytes | Unchecked:
        try:
            return read_small(inside(self._run.root, path), Limit.DOCUMENT)
        except UnsafePath as error:
            return Unchecked(MALFORMED, f"{path[:200]!r}: {error}; not followed")
        except TooLarge as error:
            return Unchecked(MALFORMED, f"{path}: {error.strerror}")
        except OSError as error:
            return Unchecked("missing-file", f"{path}: cannot be read: {error.strerror or error}")

    def _of_pin(self, name: str, path: str) -> bytes | Unchecked:
        """The bytes of a pinned file from any source on this machine that has them; nothing is fetched."""
        wanted = self._catalogue.get(name)
        if wanted is None:
            return Unchecked(MALFORMED, f"there is no pin {name[:200]!r}; the catalogue has no such name")
        if (pin := wanted.pin) is None or not pin.files:
            return Unchecked("unresolved", f"{name} has no digests yet; run: aqea-registry pin {name}")
        if path not in pin.files:
            way = f"aqea-registry pin {name}, after adding it to files of {name} in params.yaml"
            return Unchecked("missing-file", f"{path[:200]} is not one of the pinned files of {name}; run: {way}")
        if pin.files[path].size > Limit.DOCUMENT:
            return Unchecked(MALFORMED, f"{path}: larger than {Limit.DOCUMENT >> 20} MiB")
        if self._scope is Scope.RELEASE:  # some machines have it and others do not
            return Unchecked("missing-file", f"{path} of {name} is not in the checkout; run: aqea-registry claims check")
        wrong: list[Finding] = []
        copies = {"its checked copy": pinned_folder(pin, self._run.root) / path}
        for source in sources_of(wanted, pin.commit):
            with suppress(OSError):
                copies |= {source.spec: copy} if source.present() and (copy := source.local(path)) is not None else {}
        for spec, copy in copies.items():
            try:
                content = read_small(copy, Limit.DOCUMENT)
                sha256 = hashlib.sha256(content).hexdigest()
                if (sha256, len(content)) == (pin.files[path].sha256, pin.files[path].size):
                    return content
                actual = f"{sha256} ({len(content)} bytes)"
            except TooLarge as error:
                actual = str(error.strerror)
            except OSError:
                continue
            wrong.append(wrong_bytes(f"{name}: {path} from {spec}", pin.files[path], actual))
        self.findings += wrong
        if wrong:
            return Unchecked("broken-chain", f"{wrong[0].subject}: {wrong[0].message}")
        return Unchecked("missing-file", f"no source on this machine has {path} of {name}")
