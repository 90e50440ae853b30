"""The pair set that a document's result was measured on, never across revisions in silence. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from aqea_registry.base.findings import Unchecked
from aqea_registry.claims.ledger import Evaluation, Ledger
from aqea_registry.project.lock import Lock, Pin
from aqea_registry.project.params import Dataset, Model, Params, known_commit


class Resolved(NamedTuple):
    """The pair set of the run that a result means, and a note on it."""

    key: str
    note: str


def resolve_results(ledger: Ledger, params: Params, lock: Lock) -> dict[str, Resolved | Unchecked]:
    """What each result of a ledger was measured on."""
    return {key: resolve_result(result, params, lock) for key, result in ledger.results.items()}


def resolve_result(result: Evaluation, params: Params, lock: Lock) -> Resolved | Unchecked:
    """The pair set of this run that the result was measured on, or why there is none."""
    if result.revision == "None" or (result.revision is None and result.dataset not in params.datasets):
        message = f"the document names no revision of {result.dataset}, so it does not say which rows it scored"
        return Unchecked("unpinned", message)
    wanted = (result.dataset, result.config, result.split)
    datasets = _named(result.dataset, params.datasets, lambda entry: (entry.repo, entry.config, entry.split_name) == wanted)
    if not datasets:
        return Unchecked("unknown-dataset", _unknown_dataset(result, params))
    models = _named(result.model, params.models, lambda entry: entry.repo == result.model and entry.full_dimension is None)
    if len(models) != 1:
        several = f"the catalogue has several models of it, name one: {', '.join(models)}"
        return Unchecked("unknown-model", f"{result.model}: {several if models else 'the catalogue has no such model'}")
    commits = {name: _commit(params.datasets[name], lock.datasets.get(name)) for name in datasets}
    fitting = [name for name in datasets if result.revision in (None, commits[name])]
    if not fitting:
        here = ", ".join(f"{_commit_text(commit, lock.get(name))} ({name})" for name, commit in commits.items())
        return Unchecked("other-revision", f"the document names revision {result.revision} of {result.dataset}; here is {here}")
    model = models[0]
    commit = _commit(params.models[model], lock.models.get(model))
    if result.model_revision not in (None, commit):
        message = f"the document names revision {result.model_revision} of {result.model}"
        return Unchecked("other-revision", f"{message}; here is {_commit_text(commit, lock.get(model))} ({model})")
    for key, pair in params.run.pairs.items():
        if pair.dataset in fitting and pair.model == model:
            silent = result.model_revision is None and commit is not None
            compared = _commit_text(commit, lock.get(model))
            if params.models[model].kind == "given":
                return Resolved(key, ", whose vectors were given")
            return Resolved(key, f" (the document names no revision of the model; compared is {compared})" if silent else "")
    return _not_made(fitting, model, params, lock)


Entry = TypeVar("Entry", Dataset, Model)


def _named(name: str, entries: Mapping[str, Entry], fits: Callable[[Entry], bool]) -> list[str]:
    """An entry by its name in the catalogue, or all that fit: split of a repository, or a model that is whole and not cut."""
    return [name] if name in entries else [key for key, entry in entries.items() if fits(entry)]


def _unknown_dataset(result: Evaluation, params: Params) -> str:
    there = [entry for entry in params.datasets.values() if entry.repo == result.dataset]
    splits = sorted({f"{entry.config}/{entry.split_name}" for entry in there})
    if not splits:
        return f"the catalogue has no dataset {result.dataset}"
    return f"the catalogue has {result.dataset}, but not {result.config}/{result.split}; it has {', '.join(splits[:5])}"


def _commit(entry: Dataset | Model, pin: Pin | None) -> str | None:
    """The commit that stands for the entry here: the pin's, else the one that the catalogue asks for."""
    return pin.commit if pin is not None else known_commit(entry)


def _commit_text(commit: str | None, pin: Pin | None) -> str:
    return pin.commit_text() if pin is not None and pin.commit else commit or "no revision"


def _not_made(datasets: Sequence[str], model: str, params: Params, lock: Lock) -> Unchecked:
    """Why the run has no such pair set: params.yaml does not name it, or it cannot be made yet."""
    all_pairs = ((name, pair) for name, run in params.runs.items() for pair in run.pairs.values())
    runs = [name for name, pair in all_pairs if pair.dataset in datasets and pair.model == model]
    pins: list[tuple[str, Mapping[str, Pin]]] = [*((name, lock.datasets) for name in datasets), (model, lock.models)]
    unresolved = [name for name, group in pins if name not in group or not group[name].files]
    what = f"{' or '.join(datasets)} under {model}"
    if runs and unresolved:
        advice = f"{unresolved[0]} has no digests yet; run: aqea-registry pin {unresolved[0]}"
        return Unchecked("unresolved", f"the run {runs[0]!r} has {what}, but {advice}")
    there = f"the run {runs[0]!r} has it: set 'run' in params.yaml and run: dvc repro" if runs else "no run has it"
    return Unchecked("no-pair-set", f"this run has no pair set of {what}; {there}")
