"""Evidence: what a claim rests on, as a value that its print is compared with. Pure.

A document's result is looked for among the pair sets and vector sets of the run, never across revisions in silence. Where a
term of a claim is contradicted, the evidence is also computed with that term printed as its own evidence says, so
that a right number is not called wrong for the sake of a wrong one.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from aqea_registry.base.findings import Unchecked, listed, suggestion
from aqea_registry.claims import expression
from aqea_registry.claims.drafting import slug
from aqea_registry.claims.expression import BadExpression, Basis, Correction, NotComputable, Quantity, Reference, Term
from aqea_registry.claims.labels import letters
from aqea_registry.claims.ledger import Claim, Evaluation, Ledger
from aqea_registry.documents.metrics import EARLIER, OF_PAIRS, TRAINED, is_score, metric_name
from aqea_registry.documents.numbers import NotANumber, Unit, parse_number, shown
from aqea_registry.project.artefact import TaskScores
from aqea_registry.project.lock import Lock, Pin
from aqea_registry.project.params import Dataset, Model, Params, known_commit
from aqea_registry.vectors.scores import Metrics

METRICS = frozenset(Metrics.__struct_fields__)
MALFORMED = "malformed"  # the reason of what is unchecked because the claim itself cannot be: also a finding
NAMED = 5  # of many names, as many are listed


MOST = 10_000_000  # names compared with globs, and claims that globs stand for, in all expressions: some seconds of work


class Terms:
    """An index over the `claims` of all ledgers, which are named LEDGER:ID."""

    def __init__(self, ledgers: Mapping[str, Ledger]) -> None:
        self.claims = {f"{name}:{claim.id}": claim for name, ledger in ledgers.items() for claim in ledger.claims}
        self._ids = {name: [claim.id for claim in ledger.claims] for name, ledger in ledgers.items()}
        self._globs: dict[tuple[str, str], list[str]] = {}
        self._terms: dict[str, Term] = {}
        self._left = MOST

    def find(self, reference: Reference, ledger: str, own: str | None = None) -> list[str]:
        """The claims that a reference means in a claim of `ledger`; a glob never means `own`. Raises BadExpression."""
        among = reference.ledger or ledger
        if among not in self._ids:
            raise BadExpression(f"column {reference.at}: there is no ledger {among!r}; there are {', '.join(self._ids)}")
        if not reference.glob:
            if f"{among}:{reference.id}" not in self.claims:
                raise BadExpression(f"column {reference.at}: {among} has no claim {reference.id!r}")
            return [f"{among}:{reference.id}"]
        key = (among, reference.id)
        if key not in self._globs:  # each is looked for once
            self._spend(len(self._ids[among]))
            self._globs[key] = [f"{among}:{id_}" for id_ in fnmatch.filter(self._ids[among], reference.id)]
        names = [name for name in self._globs[key] if name != own]
        self._spend(len(names))
        if not names:
            raise BadExpression(f"column {reference.at}: no other claim of {among} is matched by {reference.id!r}")
        return names

    def put(self, name: str, claim: Claim) -> None:
        """Take another claim for the one with this name."""
        self.claims[name] = claim
        self._terms.pop(name, None)

    def term(self, name: str) -> Term:
        """The claim with this name as a term."""
        if name not in self._terms:
            claim, value = self.claims[name], None
            if claim.value is not None and claim.unit != "text":
                with suppress(NotANumber):
                    value = expression.printed(expression.printed_number(claim), claim.unit)
            self._terms[name] = Term(name, claim.unit, value, claim.bound)
        return self._terms[name]

    def settle(self, name: str, basis: Basis, correction: Correction | None) -> None:
        """Keep what was found out about a claim, for those that rest on it."""
        self._terms[name] = self.term(name)._replace(basis=basis, correction=correction)

    def _spend(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise BadExpression(f"the globs of all ledgers together match against more than {MOST} names")


class Evidence(NamedTuple):
    """What a claim is compared with: a number or a text, where it comes from in words, and what it rests on."""

    value: Quantity | str
    how: str
    basis: Basis
    rests_on: tuple[str, ...] = ()
    text: str | None = None  # the number as printed there
    corrected: Correction | None = None


def measured(
    claim: Claim,
    results: Mapping[str, Evaluation],
    bound: Mapping[str, Resolved | Unchecked],
    scores: Mapping[str, Metrics | TaskScores | Unchecked],
) -> Evidence | Unchecked:
    """What a pair set's bytes give for a measured claim of a ledger with these results, or the result of a vector set says."""
    assert claim.measured is not None
    result, metric = claim.measured.result, claim.measured.metric
    if result not in results:
        return Unchecked(MALFORMED, f"the ledger has no result {result!r}")
    name, resolved = metric_name(metric), bound[result]
    wrong = Unchecked(MALFORMED, f"{metric} is a fraction; it can be printed as percent or fraction, not as {claim.unit}")
    unfit = claim.unit not in ("percent", "fraction")
    if name in METRICS and unfit:
        return wrong
    if isinstance(resolved, Unchecked):
        return resolved
    score = scores[resolved.key]
    if isinstance(score, Unchecked):
        return score
    if isinstance(score, TaskScores):
        fits = not unfit or (claim.unit == "number" and not is_score(name))
        return _of_result(claim.unit, metric, results[result], resolved, score) if fits else wrong
    if (name := OF_PAIRS.get(name, name)) not in METRICS:
        way = "the task's entry with mteb: in params.yaml, and it in vectors of the run in the place of pairs"
        message = f"{metric} is not one of the six scores that a pair set gives; run: dvc repro, with {way}"
        return Unchecked("not-recomputed", message)
    if unfit:
        return wrong
    value = expression.converted(expression.exact(Fraction(getattr(score, name)), "fraction"), claim.unit)
    return Evidence(value, f"recomputed from {resolved.key}{resolved.note}", "bytes", (resolved.key,))


def _of_result(unit: Unit, metric: str, wanted: Evaluation, resolved: Resolved, result: TaskScores) -> Evidence | Unchecked:
    """What a result says of a metric. Of a task that trains something the libraries decide the last digits."""
    key, name = resolved.key, metric_name(metric)
    known = {metric_name(called): value for called, value in result.numbers(wanted.split, wanted.config).items()}
    if not known:
        there = listed([f"{split}/{subset}" for split, subsets in result.scores.items() for subset in subsets], NAMED)
        return Unchecked("not-recomputed", f"the result {key} has {there}, and not {wanted.split}/{wanted.config}")
    value = known.get(name, known.get(EARLIER.get(name, "")))
    if value is None:
        near = suggestion(name, known, f"it has {listed([*known], NAMED)}")
        return Unchecked("not-recomputed", f"{result.task} has no {metric} in the result {key}; {near}")
    own: Unit = "fraction" if is_score(name) else "number"
    trained = " (it trains: with other libraries its last digits may be others)" * (result.type in TRAINED)
    how = f"read from the result {key}{resolved.note}{trained}, which verify --full recomputes"
    return Evidence(expression.converted(expression.exact(Fraction(repr(value)), own), unit), how, "bytes", (key,))


def derived(formula: expression.Expression, ledger: str, own: str, terms: Terms) -> Evidence | Unchecked:
    """What a derived claim's expression gives over the printed values of others."""
    found: dict[str | None, Term] = {}

    def lookup(reference: Reference) -> list[Term]:
        named = [terms.term(name) for name in terms.find(reference, ledger, own)]
        found.update((term.name, term) for term in named)
        return named

    try:
        value = expression.evaluate(formula, lookup)
    except BadExpression as error:
        return Unchecked(MALFORMED, str(error))
    except expression.Unreadable as error:
        return Unchecked("depends", f"{error} has no value that can be read")
    again = partial(expression.evaluate, formula, lambda reference: [term.corrected() for term in lookup(reference)])
    return _resting(Evidence(value, "computed from the printed values", "prints"), tuple(found.values()), again)


def quoted_claim(unit: Unit, name: str, terms: Terms) -> Evidence | Unchecked:
    """What the claim that is quoted prints."""
    text, term = terms.claims[name].value, terms.term(name)
    if term.bound is not None or (unit == "text") != (term.unit == "text"):
        return Unchecked(MALFORMED, f"{name} is {'a bound' if term.bound else f'a {term.unit}'}, not what a {unit} can quote")
    value = text if unit == "text" else term.value
    if value is None:
        return Unchecked("depends", f"{name} has no value that can be read")
    again = partial(getattr, term.correction, "value")
    return _resting(Evidence(value, f"printed as {name}", "prints", text=text), (term,), again)


def _resting(evidence: Evidence, terms: Sequence[Term], again: Callable[[], Quantity | str]) -> Evidence:
    """The evidence with what it rests on; `again` computes it from corrected terms, where some are contradicted."""
    basis: Basis = "bytes" if all(term.basis == "bytes" for term in terms) else "prints"
    evidence = evidence._replace(basis=basis, rests_on=tuple(str(term.name) for term in terms))
    fixes = [term.correction for term in terms if term.correction is not None]
    with suppress(BadExpression):
        if fixes and (value := again()) != evidence.value:
            basis = "bytes" if all((term.correction or term).basis == "bytes" for term in terms) else "prints"
            culprits = tuple(dict.fromkeys(chain.from_iterable(fix.culprits for fix in fixes)))[:NAMED]
            return evidence._replace(corrected=Correction(value, basis, all(fix.sure for fix in fixes), culprits))
    return evidence


def quoted_value(unit: Unit, value: Any, location: str, basis: Basis, given: Unit | None = None) -> Evidence | Unchecked:
    """What a value of a JSON or YAML file, which is in the unit `given` there, is as evidence."""
    if isinstance(value, dict | list):
        return Unchecked(MALFORMED, f"{location} is not a single value")
    text = json.dumps(value) if value is None or isinstance(value, bool) else str(value)
    if unit == "text":
        return Evidence(text, f"in {location}", basis, (location,))
    try:
        number = expression.printed(parse_number(text, given or unit), given or unit)
        if given is None:
            return Evidence(number, f"in {location}", basis, (location,), text)
        number = expression.converted(number, unit)
    except (NotANumber, NotComputable) as error:
        return Unchecked(MALFORMED, f"{location}: {error}")
    return Evidence(number, f"in {location}, {text} as {given}", basis, (location,), shown(number.value))


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
