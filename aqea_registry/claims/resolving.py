"""The pair set or vector set that a document's result was measured on, never across revisions in silence. Pure."""

from __future__ import annotations

from collections.abc import Sequence
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
    datasets, revision = _datasets(result, params, lock, name), result.model_revision
    if not datasets:
        there = [entry for entry in params.datasets.values() if entry.repo == result.dataset and entry.mteb is None]
        splits = sorted({f"{entry.config}/{entry.split_name}" for entry in there})
        why = f"{result.dataset}, but not {result.config}/{result.split}; it has {', '.join(splits[:5])}"
        why = f"the catalogue has {why if splits else f'no dataset {result.dataset}'}"
        return Unchecked("unknown-dataset", f"{why}; run: {_to_add(name or result.dataset, _entry(result, name))}")
    whole = [key for key, entry in params.models.items() if entry.repo == result.model and entry.full_dimension is None]
    models = [result.model] if result.model in params.models else whole
    if len(models) != 1:
        add = _to_add(result.model, f"repo: {result.model}, revision: {revision or 'COMMIT'}, dimension: N", "models")
        several, none = f"several models of it, name one: {', '.join(models)}", f"no such model; run: {add}"
        return Unchecked("unknown-model", f"{result.model}: the catalogue has {several if models else none}")
    known = {key: _commits(params.catalogue[key], lock.get(key)) for key in (*datasets, *models)}
    fitting, [model] = [key for key in datasets if result.revision in (None, *known[key][0])], models
    (commit, *_), compared = known[model]
    if not fitting:
        here = ", ".join(f"{known[key][1]} ({key})" for key in datasets)
        add = _to_add(f"{datasets[0]}-{(result.revision or '')[:7]}", _entry(result, name, params.datasets[datasets[0]]))
        message = f"the document names revision {result.revision} of {result.dataset}; here is {here}; run: {add}"
        return Unchecked("other-revision", message)
    if revision not in (None, commit):
        fields = f"repo: {result.model}, revision: {revision}, dimension: {params.models[model].dimension}"
        add = _to_add(f"{model}-{(revision or '')[:7]}", fields, "models")
        message = f"the document names revision {revision} of {result.model}; here is {compared} ({model}); run: {add}"
        return Unchecked("other-revision", message)
    for key, made in {**params.run.pairs, **params.run.vectors}.items():
        if made.dataset in fitting and made.model == model:
            silent = f" (the document names no revision of the model; compared is {compared})"
            given = params.models[model].kind == "given"
            return Resolved(key, ", whose vectors were given" if given else silent if revision is None and commit else "")
    return _not_made(fitting, model, result, params, lock)


def _datasets(result: Evaluation, params: Params, lock: Lock, name: str) -> list[str]:
    """The dataset by its name in the catalogue, else by its task's; where none is called so, tasks by their repository."""
    if result.revision is None:
        return [result.dataset]
    called, config = {letters(name), letters(result.dataset)}, letters(result.config)
    named, tasks, repos = [result.dataset] if result.dataset in params.datasets else [], list[str](), list[str]()
    for key, entry in params.datasets.items():
        pin, task = lock.datasets.get(key), letters(entry.mteb or "")
        if entry.mteb is None:
            wanted = (result.dataset, result.config, result.split)
            named += [key] if (entry.repo, entry.config, entry.split_name) == wanted else []
        elif result.split in (entry.split or result.split).split("+") and result.config in (entry.subsets or [result.config]):
            tasks += [] if called.isdisjoint((task, task + config)) else [key]
            repos += [key] if result.dataset == (entry.repo or (pin and pin.id)) else []
    unclear = len({params.datasets[key].mteb for key in repos}) > 1  # of several tasks none is meant for certain
    return list(dict.fromkeys([*named, *(tasks or ([] if unclear else repos))]))


def _entry(result: Evaluation, name: str, like: Dataset | None = None) -> str:
    """The fields of an entry for a result: a task of MTEB, or rows of a repository where it is of STS or called as these."""
    if (like is None and result.task == "STS") or (like is not None and like.mteb is None):
        return f"repo: {result.dataset}, revision: {result.revision}, config: {result.config}, split: {result.split}"
    task = (like and like.mteb) or (result.dataset if result.mteb else name.removesuffix(f"-{slug(result.config, '')}"))
    subsets = f", subsets: [{result.config}]" if result.config != "default" else ""
    return f"mteb: {task or result.dataset}, revision: {result.revision}, split: {result.split}{subsets}"


def _to_add(name: str, fields: str, group: str = "datasets") -> str:
    key = slug(name.rpartition("/")[2], "name")
    return f"aqea-registry pin {key}, after adding to {group} of params.yaml: {key}: {{{fields}}}"


def _commits(entry: Dataset | Model, pin: Pin | None) -> tuple[tuple[str | None, ...], str]:
    """The commit that stands for the entry here, the pin's or else the catalogue's, and the pin's digest; and it in words."""
    if pin is None:
        return (commit := known_commit(entry),), commit or "no revision"
    return (pin.commit, f"sha256:{pin.digest()}"), pin.commit_text() if pin.commit else "no revision"


def _not_made(datasets: Sequence[str], model: str, result: Evaluation, params: Params, lock: Lock) -> Unchecked:
    """Why the run has no such pair set or vector set: params.yaml does not name it, or it cannot be made yet."""
    made = [(name, made) for name, run in params.runs.items() for made in (*run.pairs.values(), *run.vectors.values())]
    runs = [name for name, made in made if made.dataset in datasets and made.model == model]
    unresolved = [name for name in (*datasets[:1], model) if (pin := lock.get(name)) is None or not pin.files]
    group = "pairs" if params.datasets[datasets[0]].mteb is None or result.task == "STS" else "vectors"
    what = f"{' or '.join(datasets)} under {model}"
    if runs and unresolved:
        advice = f"{unresolved[0]} has no digests yet; run: aqea-registry pin {unresolved[0]}"
        return Unchecked("unresolved", f"the run {runs[0]!r} has {what}, but {advice}")
    dimension, key = params.models[model].dimension, f"{datasets[0]}-{model}"
    line = f"{key}: {{dataset: {datasets[0]}, model: {model}, file: {key.replace('-', '_')}_{dimension}d}}"
    first = f"aqea-registry pin {unresolved[0]}; " if unresolved else ""
    add = f"no run has it; run: {first}dvc repro, after adding to {group} of the run in params.yaml: {line}"
    there = f"the run {runs[0]!r} has it; run: dvc repro, after setting 'run' to that" if runs else add
    return Unchecked("no-pair-set", f"this run has no {group[:-1]} set of {what}; {there}")
