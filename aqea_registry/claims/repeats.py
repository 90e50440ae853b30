"""Numbers of a card's tables that its model-index prints as well: the same dataset and the same metric by their names.

A cell is looked for by the labels of its row and column and the name of its table; the cells of a table are bound where most
agree with the model-index, as `relations` says. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from aqea_registry.claims.ledger import Claim, Evaluation
from aqea_registry.claims.quantity import NotComputable, Quantity, converted, mean, printed
from aqea_registry.claims.relations import DraftedTable, Relations, holds_for_most, letters, relations_of_table
from aqea_registry.documents.metrics import metric_name
from aqea_registry.documents.numbers import NotANumber, parse_number

SPREAD = 10  # points in which another score would be as plausible

MAIN_SCORES: Mapping[str, str] = {
    **dict.fromkeys(("STS", "Summarization", "semantic-similarity"), "cos_sim_spearman"),
    **dict.fromkeys(("Classification", "MultilabelClassification"), "accuracy"),
    "Retrieval": "ndcg_at_10",
    "Clustering": "v_measure",
    "PairClassification": "cos_sim_ap",
    "Reranking": "map",
    "BitextMining": "f1",
}
_SHARES = {"percent", "fraction"}
_VALUES = frozenset({"value", "score", "result", "mainscore", "test"})


class _Printed(NamedTuple):
    """What the model-index prints: an expression, which is a claim in brackets or an average of several, and its value."""

    text: str
    value: Quantity


_Index = dict[str, dict[str, _Printed]]  # by the letters of the dataset, and the metric; `main` is its main score


def relate(claims: Sequence[Claim], results: Mapping[str, Evaluation], tables: Sequence[DraftedTable]) -> Relations:
    """What the numbers of a document's tables, and the averages of its model-index, are computed or repeated from."""
    found, index = Relations({}, {}, set(), []), _index(claims, results)
    groups = {letters(task): {letters(key) for key, result in results.items() if result.task == task} for task in MAIN_SCORES}
    for table in (*_as_tables(claims), *tables):
        found.add(relations_of_table(table, groups))
    values = _VALUES | {
        letters(part) for result in results.values() for part in (result.model, result.model.rpartition("/")[2])
    }
    for table in tables if index else ():
        found.add(_repeats(table, index, values))
    return found


def _repeats(table: DraftedTable, index: _Index, values: Collection[str]) -> Relations:
    words = re.findall(r"[a-z0-9@]+", table.name.lower())[:40]
    titles = ["_".join(words[start:end]) for start in range(len(words)) for end in range(start + 1, start + 7)]
    datasets = dict.fromkeys(name for title in titles if (name := letters(title)) in index)
    metrics = tuple(name for title in titles for name in _names(title))
    sought = _Sought(index, tuple(datasets if len(index) > 1 else index), metrics, values)
    found, tried = Relations({}, {}, set(), []), list(_found(table, sought))
    held = [chance for _, _, chance in tried if chance is not None]
    if holds_for_most(held, len(tried)):
        for claim, source, _ in tried:
            text = source.text if {source.value.unit, claim.unit} != _SHARES else f"{claim.unit}({source.text})"
            if text.startswith("["):
                found.quoted[claim.id] = text[1:-1]
            else:
                found.derived[claim.id] = text
    elif tried:
        message = f"{len(held)} of {len(tried)} cells are as the model-index has them, too few to bind them"
        found.notes.append(f"{table.name}: {message}; bind by hand what should be")
    return found


def _index(claims: Sequence[Claim], results: Mapping[str, Evaluation]) -> _Index:
    """The scores of every dataset whose name only one result has, and of tasks that have several datasets."""
    index: _Index = {}
    tasks: dict[str, list[_Printed]] = {}
    for key, metric, claim in _scores(claims):
        if (
            claim.value is None
            or key not in results
            or re.sub(r"-\d+$", "", key) in results.keys() - {key}
            or f"{key}-2" in results
        ):
            continue
        try:
            source = _Printed(f"[{claim.id}]", printed(parse_number(claim.value, claim.unit), claim.unit))
        except NotANumber:
            continue
        index.setdefault(letters(key), {})[metric] = source
        task = results[key].task or ""
        if MAIN_SCORES.get(task) == metric:
            index[letters(key)]["main"] = source
            tasks.setdefault(task, []).append(source)
    for task, sources in tasks.items():
        if len(sources) > 1 and len({source.value.unit for source in sources}) == 1:
            text = f"mean({', '.join(source.text for source in sources)})"
            index.setdefault(letters(f"{task}{len(sources)}"), {"main": _Printed(text, mean([s.value for s in sources]))})
    return index


def _scores(claims: Iterable[Claim]) -> Iterator[tuple[str, str, Claim]]:
    """The claims of a model-index with the key of their result and the metric."""
    for claim in claims:
        key, _, metric = claim.id.rpartition(".")  # a claim that somebody gave another id is known by what it measured
        if claim.measured is not None:
            key, metric = claim.measured.result, claim.measured.metric
        yield key, metric_name(metric), claim


class _Sought(NamedTuple):
    """What the name of a table says of all its cells: datasets and metrics; and labels that say nothing but `value`."""

    known: _Index
    datasets: tuple[str, ...]
    metrics: tuple[str, ...]
    values: Collection[str]

    def source(self, label: str, other: str) -> _Printed | None:
        """What the index prints of a label: a dataset beside a metric or the card's model, or a metric of the only dataset."""
        plain = letters(other) in self.values
        scores = self.known.get(letters(label))
        if scores is not None:
            named = (*_names(other), *((*self.metrics, "main") if plain else ()))
        elif len(self.datasets) == 1 and plain:
            scores, named = self.known[self.datasets[0]], _names(label)
        else:
            return None
        return next((scores[name] for name in named if name in scores), None)


def _names(text: str) -> tuple[str, str]:
    """A metric's name, and that of the similarity which is meant where none is named."""
    name = metric_name(text)
    return name, f"cos_sim_{name}"


def _found(table: DraftedTable, sought: _Sought) -> Iterator[tuple[Claim, _Printed, float | None]]:
    """Cells that the model-index prints, with that, and how often another number would agree; None where this one does not."""
    for (row, column), claim in table.claims.items():
        one, other = table.rows[row], table.columns[column]
        source = sought.source(one, other) or sought.source(other, one)
        if source is None or claim.unit not in ("percent", "fraction", "number"):
            continue
        with suppress(NotANumber, NotComputable):
            own, value = parse_number(claim.value or "", claim.unit), source.value
            if {value.unit, claim.unit} == _SHARES:
                value = converted(value, claim.unit)
            spread = SPREAD if "percent" in (claim.unit, value.unit) else SPREAD / 100
            width = float(own.high - own.low + value.high - value.low) / spread
            yield claim, source, min(width, 1.0) if own.low < value.high and value.low < own.high else None


def _as_tables(claims: Sequence[Claim]) -> Iterator[DraftedTable]:
    """The results of a model-index as tables, one of those with the same metrics."""
    results: dict[str, dict[str, Claim]] = {}
    for key, metric, claim in _scores(claims):
        results.setdefault(key, {})[metric] = claim
    alike: dict[tuple[str, ...], list[str]] = {}
    for key, scores in results.items():
        alike.setdefault(tuple(scores), []).append(key)
    for metrics, keys in alike.items():
        cells = {(r, c): results[key][metric] for r, key in enumerate(keys) for c, metric in enumerate(metrics)}
        yield DraftedTable("model-index", keys, metrics, cells)
