"""The ledgers' numbers for others: LaTeX macros, JSON, and a model-index of what was recomputed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import msgspec

from aqea_registry.core.catalogue import PairSetName
from aqea_registry.core.claims import Claim, Verdict
from aqea_registry.core.findings import BadConfiguration, CannotCheck, Finding
from aqea_registry.core.latex import latex_text
from aqea_registry.core.metrics import Metrics
from aqea_registry.core.printed import NotANumber, parse
from aqea_registry.core.reporting import Reporter
from aqea_registry.operations.claims_check import check_claims
from aqea_registry.operations.project import Project
from aqea_registry.operations.recompute import read_manifest, recompute

Format = Literal["latex", "json", "model-index"]


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """A file's text, how many numbers it has, and what is wrong with them; warnings are about what is no finding."""

    text: str
    numbers: int
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]


def export_claims(
    project: Project, documents: Sequence[Path], report: Reporter, only: Sequence[str], form: Literal["latex", "json"]
) -> Exported:
    """Every claim of all ledgers, or of those named, as printed and with what became of it.

    Contradicted claims are findings, unbound ones a warning; both are in the file. Raises BadConfiguration for an unknown
    ledger, and if there is none.
    """
    checked = check_claims(project, documents, report, only)
    if not checked.ledgers and not checked.findings:
        raise BadConfiguration("there is no ledger in manifests/claims", "write one: aqea-registry claims import DOC")
    unbound = [one.name for one in checked.verdicts if one.state == "unbound"]
    return Exported(
        text=latex_text(checked.verdicts) if form == "latex" else _json_text(checked.verdicts),
        numbers=len(checked.verdicts),
        findings=tuple(one for one in checked.findings if one.code != "claim-unbound"),
        warnings=(f"{len(unbound)} claims rest on nothing, first {unbound[0]}",) if unbound else (),
    )


def export_model_index(project: Project, report: Reporter, model: str | None) -> Exported:
    """A front matter with the six scores of each pair set of the run, in percent, for the card of one model.

    `model` is its name in the catalogue; it may be left out if the run has only one. Only what was recomputed from the pair
    file that the manifest names is in it. Raises BadConfiguration for another model, CannotCheck if nothing was recomputed
    or huggingface_hub is not installed.
    """
    chosen = _model_of(project, model)
    pairs = {key: pair for key, pair in project.params.run.pairs.items() if pair.model == chosen}
    listed, broken = read_manifest(project)
    found, unsound = recompute(project, pairs, listed, report)
    scores = {key: one for key, one in found.items() if isinstance(one, Metrics)}
    missing = [f"{key}: {one.message}" for key, one in found.items() if not isinstance(one, Metrics)]
    if not scores:
        raise CannotCheck(f"nothing of {chosen} was recomputed; {missing[0]}", "dvc repro", (*broken, *unsound))
    return Exported(
        text=_front_matter(project, chosen, {key: (pairs[key], one) for key, one in scores.items()}),
        numbers=len(scores) * len(Metrics.__struct_fields__),
        findings=(*broken, *unsound),
        warnings=tuple(f"left out: {one}" for one in missing),
    )


def _model_of(project: Project, model: str | None) -> str:
    models = list(dict.fromkeys(pair.model for pair in project.params.run.pairs.values()))
    if model is None and len(models) == 1:
        return models[0]
    if model not in models:
        known = ", ".join(models) or "no model"
        raise BadConfiguration(
            f"the run has {known}" if model is None else f"the run has no pair set of {model!r}; it has {known}",
            "name one of them with --model NAME",
        )
    return model


def _front_matter(project: Project, model: str, scores: Mapping[str, tuple[PairSetName, Metrics]]) -> str:
    try:
        from huggingface_hub import EvalResult, ModelCardData
    except ImportError as error:
        raise CannotCheck("a model-index is written with huggingface_hub", "pip install 'aqea-registry[stores]'") from error
    entry = project.params.models[model]
    commit = project.pin("models", model, entry).commit
    results = []
    for pair, metrics in scores.values():
        dataset = project.params.datasets[pair.dataset]
        pin = project.pin("datasets", pair.dataset, dataset)
        results += [
            EvalResult(
                task_type=dataset.task.upper(),
                dataset_type=dataset.repo if pin.commit else pair.dataset,  # a folder has no id that others know
                dataset_name=pair.dataset,
                dataset_config=dataset.config,
                dataset_split=dataset.split,
                dataset_revision=pin.commit,
                dataset_args=None if pin.commit else {"pin": f"sha256:{pin.digest()}"},
                metric_type=name,
                metric_value=float(100 * Fraction(value)),
                metric_args={"model_revision": commit} if commit else None,
            )
            for name, value in msgspec.structs.asdict(metrics).items()
        ]
    card = ModelCardData(model_name=entry.repo, eval_results=results)
    return f"---\n{card.to_yaml()}\n---\n"


def _json_text(verdicts: Sequence[Verdict]) -> str:
    ledgers: dict[str, dict[str, Any]] = {}
    for one in verdicts:
        claim = one.claim
        ledgers.setdefault(one.ledger, {})[claim.id] = {
            "value": claim.value,
            "number": _number(claim),
            "unit": claim.unit,
            "state": one.state,
            "at": msgspec.to_builtins(claim.at),
        }
    return json.dumps(ledgers, indent=2) + "\n"  # ASCII: the same bytes under every locale


def _number(claim: Claim) -> int | float | None:
    """The nearest JSON number; None for a text and for what is no number."""
    try:
        value = parse(claim.value or "", claim.unit).value if claim.unit != "text" else None
    except NotANumber:
        return None
    if value is None:
        return None
    return value.numerator if value.denominator == 1 and "." not in (claim.value or "") else float(value)
