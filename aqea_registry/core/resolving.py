"""From what a document says it measured to the pair set that has those bytes: never across revisions in silence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aqea_registry.core.catalogue import Dataset, Model, Params
from aqea_registry.core.claims import Result
from aqea_registry.core.pins import Lock, Pin


class Missing(NamedTuple):
    """Why a claim cannot be checked: a word of docs/claims.md, and a sentence."""

    reason: str
    message: str


class Resolved(NamedTuple):
    """The pair set of the run that a result means, and what is to be said about it."""

    key: str
    note: str


def resolve_result(result: Result, params: Params, lock: Lock) -> Resolved | Missing:
    """The pair set of this run that the result was measured on, or why there is none."""
    if result.revision == "None" or (result.revision is None and result.dataset not in params.datasets):
        message = f"the document names no revision of {result.dataset}, so it does not say which rows it scored"
        return Missing("unpinned", message)
    datasets = _datasets(result, params)
    if not datasets:
        return Missing("unknown-dataset", _unknown_dataset(result, params))
    models = _models(result, params)
    if len(models) != 1:
        several = f"the catalogue has several models of it, name one: {', '.join(models)}"
        return Missing("unknown-model", f"{result.model}: {several if models else 'the catalogue has no such model'}")
    commits = {name: _commit(params.datasets[name], lock.datasets.get(name)) for name in datasets}
    fitting = [name for name in datasets if result.revision in (None, commits[name])]
    if not fitting:
        here = ", ".join(f"{commit or 'no revision'} ({name})" for name, commit in commits.items())
        return Missing("other-revision", f"the document names revision {result.revision} of {result.dataset}; here is {here}")
    model = models[0]
    commit = _commit(params.models[model], lock.models.get(model))
    if result.model_revision not in (None, commit):
        message = f"the document names revision {result.model_revision} of {result.model}"
        return Missing("other-revision", f"{message}; here is {commit or 'no revision'} ({model})")
    for key, pair in params.run.pairs.items():
        if pair.dataset in fitting and pair.model == model:
            silent = result.model_revision is None and commit is not None
            return Resolved(key, f" (the document names no revision of the model; compared is {commit})" if silent else "")
    return _not_made(fitting, model, params, lock)


def _datasets(result: Result, params: Params) -> list[str]:
    """A dataset by its name in the catalogue, or all that are this config and split of the repository."""
    if result.dataset in params.datasets:
        return [result.dataset]
    wanted = (result.dataset, result.config, result.split)
    return [name for name, one in params.datasets.items() if (one.repo, one.config, one.split) == wanted]


def _models(result: Result, params: Params) -> list[str]:
    """A model by its name in the catalogue or, whole and not cut, by its repository."""
    if result.model in params.models:
        return [result.model]
    return [name for name, one in params.models.items() if one.repo == result.model and one.full_dimension is None]


def _unknown_dataset(result: Result, params: Params) -> str:
    splits = sorted({f"{one.config}/{one.split}" for one in params.datasets.values() if one.repo == result.dataset})
    if not splits:
        return f"the catalogue has no dataset {result.dataset}"
    return f"the catalogue has {result.dataset}, but not {result.config}/{result.split}; it has {', '.join(splits[:5])}"


def _commit(entry: Dataset | Model, pin: Pin | None) -> str | None:
    """The commit that stands for the entry here: the pin's, else the one that the catalogue asks for."""
    if pin is not None:
        return pin.commit
    return entry.commit or (entry.revision if re.fullmatch(r"[0-9a-f]{40}", entry.revision or "") else None)


def _not_made(datasets: Sequence[str], model: str, params: Params, lock: Lock) -> Missing:
    """Why the run has no such pair set: nobody asked for it, or it cannot be made yet."""
    runs = [
        name
        for name, run in params.runs.items()
        if any(pair.dataset in datasets and pair.model == model for pair in run.pairs.values())
    ]
    pins: list[tuple[str, Mapping[str, Pin]]] = [*((name, lock.datasets) for name in datasets), (model, lock.models)]
    unresolved = [name for name, group in pins if name not in group or not group[name].files]
    what = f"{' or '.join(datasets)} under {model}"
    if runs and unresolved:
        first = unresolved[0]
        message = f"the run {runs[0]!r} has {what}, but {first} has no digests yet; run: aqea-registry pin {first}"
        return Missing("unresolved", message)
    there = f"the run {runs[0]!r} has it: set 'run' in params.yaml and run: dvc repro" if runs else "no run has it"
    return Missing("no-pair-set", f"this run has no pair set of {what}; {there}")
