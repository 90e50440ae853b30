"""The pair set or vector set that a document's result was measured on, never across revisions in silence. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from aqea_registry.base.findings import Unchecked
from aqea_registry.claims.drafting import slug
from aqea_registry.claims.ledger import Evaluation, Ledger
from aqea_registry.claims.relations import letters
from aqea_registry.project.lock import Lock, Pin
from aqea_registry.project.params import Dataset, Model, Params, known_commit


class Resolved(NamedTuple):
    """The pair set or vector set of the run that a result means, and a note on it."""

    key: str
    note: str


def resolve_results(ledger: Ledger, params: Params, lock: Lock) -> dict[str, Resolved | Unchecked]:
    """What each result of a ledger was measured on."""
    return {key: resolve_result(result, params, lock, key) for key, result in ledger.results.items()}


def resolve_result(result: Evaluation, params: Params, lock: Lock, name: str = "") -> Resolved | Unchecked:
    """What of this run the result was measured on, or why there is none. Its `name` in the ledger may be that of a task."""
    if result.revision == "None" or (result.revision is None and result.dataset not in params.datasets):
        message = f"the document names no revision of {result.dataset}, so it does not say which rows it scored"
        return Unchecked("unpinned", message)
    datasets = [*_datasets(result, params, lock, name)]
    if not datasets:
        return Unchecked("unknown-dataset", _unknown_dataset(result, params, name))
    models = [key for key, entry in params.models.items() if entry.repo == result.model and entry.full_dimension is None]
    models = [result.model] if result.model in params.models else models
    if len(models) != 1:
        several = f"the catalogue has several models of it, name one: {', '.join(models)}"
        add = _to_add(
            result.model, f"repo: {result.model}, revision: {result.model_revision or 'COMMIT'}, dimension: N", "models"
        )
        none = f"the catalogue has no such model; run: {add}"
        return Unchecked("unknown-model", f"{result.model}: {several if models else none}")
    model, group = models[0], {**lock.datasets, **lock.models}
    commits = {key: _commit(params.catalogue[key], group.get(key)) for key in (*datasets, model)}
    fitting = [key for key in datasets if result.revision in (None, *commits[key])]
    if not fitting:
        here = ", ".join(f"{_text(commits[key][0], group.get(key))} ({key})" for key in datasets)
        add = _to_add(f"{datasets[0]}-{(result.revision or '')[:7]}", _entry(result, name, params.datasets[datasets[0]]))
        message = f"the document names revision {result.revision} of {result.dataset}; here is {here}; run: {add}"
        return Unchecked("other-revision", message)
    commit = commits[model][0]
    if result.model_revision not in (None, commit):
        message = f"the document names revision {result.model_revision} of {result.model}"
        entry = f"repo: {result.model}, revision: {result.model_revision}, dimension: {params.models[model].dimension}"
        add = _to_add(f"{model}-{result.model_revision[:7]}", entry, "models")
        return Unchecked("other-revision", f"{message}; here is {_text(commit, group.get(model))} ({model}); run: {add}")
    for key, made in {**params.run.pairs, **params.run.vectors}.items():
        if made.dataset in fitting and made.model == model:
            silent = result.model_revision is None and commit is not None
            compared = _text(commit, group.get(model))
            if params.models[model].kind == "given":
                return Resolved(key, ", whose vectors were given")
            return Resolved(key, f" (the document names no revision of the model; compared is {compared})" if silent else "")
    return _not_made(fitting, model, result, params, lock)


def _datasets(result: Evaluation, params: Params, lock: Lock, name: str) -> Iterator[str]:
    """The dataset by its name in the catalogue, else by its task's; where none is called so, tasks by their repository."""
    called, config = {letters(name), letters(result.dataset)}, letters(result.config)
    own, tasks, repos = list[str](), list[str](), list[str]()
    for key, entry in params.datasets.items():
        pin = lock.datasets.get(key)
        repo, task = entry.repo or (pin.id if pin else ""), letters(entry.mteb or "")
        if entry.mteb is None:
            own += [key] if (repo, entry.config, entry.split_name) == (result.dataset, result.config, result.split) else []
        elif (entry.split is None or result.split in entry.split.split("+")) and result.config in (
            entry.subsets or [result.config]
        ):
            tasks += [] if called.isdisjoint((task, task + config)) else [key]
            repos += [key] if repo == result.dataset else []
    if len({params.datasets[key].mteb for key in repos}) > 1:
        repos = []  # of several tasks none is meant for certain
    named = [result.dataset] if result.dataset in params.datasets else []
    yield from dict.fromkeys(named if result.revision is None else (*named, *own, *(tasks or repos)))


def _unknown_dataset(result: Evaluation, params: Params, name: str) -> str:
    there = [entry for entry in params.datasets.values() if entry.repo == result.dataset and entry.mteb is None]
    splits = sorted({f"{entry.config}/{entry.split_name}" for entry in there})
    add = _to_add(slug(name or result.dataset, "dataset"), _entry(result, name))
    if not splits:
        return f"the catalogue has no dataset {result.dataset}; run: {add}"
    has = f"the catalogue has {result.dataset}, but not {result.config}/{result.split}; it has {', '.join(splits[:5])}"
    return f"{has}; run: {add}"


def _entry(result: Evaluation, name: str, like: Dataset | None = None) -> str:
    """The fields of an entry for a result: a task of MTEB, or rows of a repository where it is of STS or called as these."""
    if (like is None and result.task == "STS") or (like is not None and like.mteb is None):
        return f"repo: {result.dataset}, revision: {result.revision}, config: {result.config}, split: {result.split}"
    task = (like and like.mteb) or (result.dataset if result.mteb else name.removesuffix(f"-{slug(result.config, '')}"))
    subsets = f", subsets: [{result.config}]" if result.config != "default" else ""
    return f"mteb: {task or result.dataset}, revision: {result.revision}, split: {result.split}{subsets}"


def _to_add(name: str, entry: str, group: str = "datasets") -> str:
    key = slug(name.rpartition("/")[2], "name")
    return f"aqea-registry pin {key}, after adding to {group} of params.yaml: {key}: {{{entry}}}"


def _commit(entry: Dataset | Model, pin: Pin | None) -> tuple[str | None, ...]:
    """The commit that stands for the entry here: the pin's, else the one that the catalogue asks for; and the pin's digest."""
    return (pin.commit, f"sha256:{pin.digest()}") if pin is not None else (known_commit(entry),)


def _text(commit: str | None, pin: Pin | None) -> str:
    return pin.commit_text() if pin is not None and pin.commit else commit or "no revision"


def _not_made(datasets: Sequence[str], model: str, result: Evaluation, params: Params, lock: Lock) -> Unchecked:
    """Why the run has no such pair set or vector set: params.yaml does not name it, or it cannot be made yet."""
    made = [(name, made) for name, run in params.runs.items() for made in (*run.pairs.values(), *run.vectors.values())]
    runs = [name for name, made in made if made.dataset in datasets and made.model == model]
    unresolved = [name for name in (*datasets[:1], model) if (pin := lock.get(name)) is None or not pin.files]
    pairs = params.datasets[datasets[0]].mteb is None or result.task == "STS"
    what = f"{' or '.join(datasets)} under {model}"
    if runs and unresolved:
        advice = f"{unresolved[0]} has no digests yet; run: aqea-registry pin {unresolved[0]}"
        return Unchecked("unresolved", f"the run {runs[0]!r} has {what}, but {advice}")
    message = f"this run has no {'pair' if pairs else 'vector'} set of {what}"
    if runs:
        return Unchecked("no-pair-set", f"{message}; the run {runs[0]!r} has it; run: dvc repro, after setting 'run' to that")
    dimension, key = params.models[model].dimension, f"{datasets[0]}-{model}"
    line = f"{key}: {{dataset: {datasets[0]}, model: {model}, file: {key.replace('-', '_')}_{dimension}d}}"
    first = f"aqea-registry pin {unresolved[0]}; " if unresolved else ""
    where = f"{'pairs' if pairs else 'vectors'} of the run in params.yaml"
    return Unchecked("no-pair-set", f"{message}; no run has it; run: {first}dvc repro, after adding to {where}: {line}")
