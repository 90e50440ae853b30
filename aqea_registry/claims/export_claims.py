"""`claims export`: the ledgers' numbers as LaTeX macros and JSON; what was recomputed as a model-index or results of the Hub.

A macro's name depends on the ledger and the id alone, so that no other claim can move it to another number. Where two claims
would have one name, both get letters of their own digest after it, and the short name is not defined: a paper that used it
stops with an error instead of printing the wrong number.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import msgspec

from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, Unchecked
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.base.references import address
from aqea_registry.base.strict import render_yaml
from aqea_registry.claims.check_claims import check_claims
from aqea_registry.claims.ledger import Verdict, macro_names
from aqea_registry.documents.numbers import NotANumber, parse_number
from aqea_registry.project.artefact import PairSetArtefact, TaskScores, VectorSetArtefact, published_path
from aqea_registry.project.lock import Pin
from aqea_registry.project.params import Publish
from aqea_registry.project.project import Project, RunRecord
from aqea_registry.stores.receipts import all_receipts
from aqea_registry.vectors.scores import Metrics
from aqea_registry.verification.verify_project import recompute

Format = Literal["latex", "json", "model-index", "eval-results"]
DOUBTFUL = frozenset({"contradicted", "unbound"})


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """A file's text, how many numbers it has, what is wrong with them, and warnings, which are not findings."""

    text: str
    numbers: int
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]


_SPECIAL = {
    **{character: f"\\{character}" for character in "{}$&#_%"},
    "\\": "\\textbackslash{}",
    "^": "\\textasciicircum{}",
    "~": "\\textasciitilde{}",
    "−": "-",
    "–": "--",
    "—": "---",
}


def export_claims(
    project: Project, documents: Sequence[Path], report: Reporter, only: Sequence[str], form: Literal["latex", "json"]
) -> Exported:
    """Every claim of all ledgers, or of those named, as printed and with its status. Raises BadConfiguration without one."""
    checked = check_claims(project, documents, report, only)
    if not checked.ledgers and not checked.findings:
        raise BadConfiguration("there is no ledger in manifests/claims", "write one: aqea-registry claims import DOC")
    unbound = [verdict.name for verdict in checked.verdicts if verdict.state == "unbound"]
    given = {key for key, artefact in project.artefacts.items() if artefact.remark}
    while more := {verdict.name for verdict in checked.verdicts if given & {*verdict.rests_on}} - given:
        given |= more
    return Exported(
        text=latex_text(checked.verdicts, given) if form == "latex" else _json_text(checked.verdicts, given),
        numbers=len(checked.verdicts),
        findings=tuple(finding for finding in checked.findings if finding.code != "claim-unbound"),
        warnings=(f"{plural(len(unbound), 'claim rests', 'claims rest')} on nothing, first {unbound[0]}",) if unbound else (),
    )


_HEAD = r"""% The numbers of this project's claims, written by `aqea-registry claims export --format latex`; do not edit.
% \input this file, then print a number by its macro or by its name: \aqeaclaim{LEDGER:ID}, and \claim{LEDGER:ID} where
% nothing else is called \claim. A number that is contradicted or rests on nothing warns wherever it is printed.
\makeatletter
\def\aqea@set#1#2#3{\newcommand*{#2}{#3}\expandafter\def\csname aqea@\detokenize{#1}\endcsname{#2}}
\protected\def\aqea@doubt#1#2{\PackageWarning{aqea-registry}{The claim \detokenize{#1} is #2}}
\protected\def\aqea@unknown#1{\PackageError{aqea-registry}{There is no claim \detokenize{#1}}{Export its ledger again.}??}
\def\aqeaclaim#1{\ifcsname aqea@\detokenize{#1}\endcsname\csname aqea@\detokenize{#1}\endcsname\else\aqea@unknown{#1}\fi}
\AtBeginDocument{\providecommand*{\claim}{\aqeaclaim}}
"""


Scored = tuple[PairSetArtefact | VectorSetArtefact, Metrics | TaskScores]


def export_scores(
    project: Project, report: Reporter, model: str | None, form: Literal["model-index", "eval-results"]
) -> Exported:
    """What was recomputed of one model, in percent: the six scores of its pair sets as a front matter for its card.

    Or the main scores of these and of its results as the Hub reads `.eval_results/*.yaml`, with the last release that holds
    them. `model` is a name of the catalogue, and may be left out if the run has only one. Nothing is in it that the manifest
    does not name. Raises BadConfiguration for another model, CannotCheck if nothing was recomputed.
    """
    run = project.run
    made = {key: artefact for key, artefact in run.made.items() if form == "eval-results" or key in run.artefacts}
    models = list(dict.fromkeys(artefact.model for artefact in made.values()))
    if model not in models and (model is not None or len(models) != 1):
        known = ", ".join(models) or "no model"
        reason = f"the run has {known}" if model is None else f"the run has no pair set of {model!r}; it has {known}"
        raise BadConfiguration(reason, "name one of them with --model NAME")
    chosen = model or models[0]
    recomputed, unsound = recompute(run, [key for key in made if made[key].model == chosen], report)
    broken = run.manifest.faults
    scores = [(made[key], score) for key, score in recomputed.items() if not isinstance(score, Unchecked)]
    left_out = [f"{key}: {reason.message}" for key, reason in recomputed.items() if isinstance(reason, Unchecked)]
    if not scores:
        raise CannotCheck(f"nothing of {chosen} was recomputed; {left_out[0]}", "dvc repro", (*broken, *unsound))
    if form == "model-index":
        pairs = [(pair, found) for pair, found in scores if isinstance(pair, PairSetArtefact) and isinstance(found, Metrics)]
        text, numbers = _front_matter(pairs), len(pairs) * len(Metrics.__struct_fields__)
    else:
        text, numbers = _eval_results(run, project.params.publish, scores, left_out)
    warnings = tuple(f"left out: {reason}" for reason in left_out)
    return Exported(text=text, numbers=numbers, findings=(*broken, *unsound), warnings=warnings)


def _eval_results(run: RunRecord, publish: Publish, scores: Sequence[Scored], left_out: list[str]) -> tuple[str, int]:
    """The entries, with the names that MTEB gives to the parts of its tasks: TASK_SUBSET_SPLIT."""
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    held = {(published_path(one.metrics), f"sha256:{run.manifest.digests.get(one.metrics)}") for one, _ in scores}
    known, wrong = all_receipts(run.root, publish.stores)
    left_out += [f"{finding.subject}: {finding.message}" for finding in wrong]
    receipts = [receipt for _, receipt in known]
    release = next((found for found in reversed(receipts) if held <= {(file.path, file.digest) for file in found.files}), None)
    if release is None:
        left_out.append("the release that holds them, as there is none: publish, and export again")
    references = [store.reference for store in release.stores.values()] if release else []
    url = next(filter(None, map(address, references)), publish.url)
    named = f"release {release.tag}, {release.digest}" if release else "not released"
    about = {"source_url": url, "source_name": f"aqea-registry, {named}"} if url else {}
    entries = list[EvalResultEntry]()
    for artefact, found in scores:
        entry, pin = artefact.dataset_entry, artefact.required_pins()[0]
        if pin.commit is None:
            left_out.append(f"{artefact.key}: {artefact.dataset} is not a dataset of the Hub")
            continue
        claimed = ", ".join(name for name, made_from in artefact.pins if made_from and made_from.state == "claimed")
        doubt = f"; claimed, and not confirmed by the Hub, is the commit of {claimed}" if claimed else ""
        about |= {"dataset_id": pin.id, "dataset_revision": pin.commit}
        about |= {"notes": f"aqea-registry, canonical vectors; {named}{doubt}"}
        if isinstance(found, Metrics):
            main = [(entry.split_name, entry.config, found.cos_sim_spearman)]
        else:
            main = [(split, subset, numbers["main_score"]) for split, subset, numbers in found.parts()]
        for split, subset, value in main:
            task = f"{entry.mteb or artefact.dataset}_{subset}_{split}"
            entries.append(EvalResultEntry(task_id=task, value=float(100 * Fraction(repr(value))), **about))
    return render_yaml(eval_result_entries_to_yaml(entries)), len(entries)


def latex_text(verdicts: Sequence[Verdict], given: Collection[str] = ()) -> str:
    """The file: one line per claim, with its status and location. Names in `given` rest on vectors that were given."""
    names = macro_names([verdict.name for verdict in verdicts])
    lines = []
    for verdict in verdicts:
        name, value, line = verdict.name, verdict.claim.value, verdict.claim.at.line
        status = ", ".join(filter(None, (verdict.state, verdict.ground or verdict.reason, "given vectors" * (name in given))))
        doubt = f"\\aqea@doubt{{{name}}}{{{verdict.state}}}" if verdict.state in DOUBTFUL else ""
        number = f"{{{doubt}{'??' if value is None else escaped(value)}}}"
        lines.append(f"\\aqea@set{{{name}}}{{{names[name]}}}{number} % {status}; {f'line {line}' if line else 'no line'}")
    doubtful = sum(verdict.state in DOUBTFUL for verdict in verdicts)
    if doubtful:
        count = f"{doubtful} of {len(verdicts)} claims are contradicted or rest on nothing"
        lines.append(f"\\PackageWarningNoLine{{aqea-registry}}{{{count}}}")
    return "\n".join([_HEAD + lines[0] if lines else _HEAD.rstrip(), *lines[1:], "\\makeatother", ""])


def _front_matter(scores: Sequence[tuple[PairSetArtefact, Metrics]]) -> str:
    """The scores of one model, as huggingface_hub writes them."""
    from huggingface_hub import EvalResult, ModelCardData

    results = []
    for pair, metrics in scores:
        entry, (pin, model_pin) = pair.dataset_entry, pair.required_pins()
        of: dict[str, Any] = {"task_type": entry.task.upper(), "dataset_name": pair.dataset, "dataset_config": entry.config}
        of["dataset_type"] = entry.repo if pin.commit else pair.dataset  # a folder has no id that others know
        of["dataset_split"] = entry.split if entry.kind == "directory" else entry.split_name
        digest = None if pin.state == "resolved" else {"pin": f"sha256:{pin.digest()}", **_claimed("commit", pin)}
        model = {"vectors": "given"} if model_pin.kind == "given" else None
        if model_pin.commit:
            model = {"model_revision": model_pin.commit, **_claimed("model_revision", model_pin)}
        of |= {"dataset_revision": pin.commit, "dataset_args": digest, "metric_args": model}
        for name, value in msgspec.structs.asdict(metrics).items():
            results.append(EvalResult(metric_type=name, metric_value=float(100 * Fraction(value)), **of))
    return f"---\n{ModelCardData(model_name=pair.model_entry.repo, eval_results=results).to_yaml()}\n---\n"


def _claimed(name: str, pin: Pin) -> dict[str, str]:
    """What is said beside a commit that no Hub has confirmed."""
    return {f"{name}_is": "claimed"} if pin.state == "claimed" else {}


def escaped(text: str) -> str:
    """A text that LaTeX prints as it is, on one line, without what no printer shows."""
    return "".join(_SPECIAL.get(character, character) for character in " ".join(text.split()) if character.isprintable())


def _json_text(verdicts: Sequence[Verdict], given: Collection[str]) -> str:
    ledgers: dict[str, dict[str, Any]] = {}
    for verdict in verdicts:
        claim = verdict.claim
        number: int | float | None = None
        with suppress(NotANumber):
            if claim.value is not None and claim.unit != "text":  # the nearest JSON number
                exact = parse_number(claim.value, claim.unit).value
                number = exact.numerator if exact.denominator == 1 and "." not in claim.value else float(exact)
        ledgers.setdefault(verdict.ledger, {})[claim.id] = {
            "value": claim.value,
            "number": number,
            "unit": claim.unit,
            "state": verdict.state,
            **({"reason": verdict.reason} if verdict.reason else {}),
            **({"vectors": "given"} if verdict.name in given else {}),
            "at": msgspec.to_builtins(claim.at),
        }
    return json.dumps(ledgers, indent=2) + "\n"  # ASCII: the same bytes under every locale
