"""Numbers of a card's model-index that its tables print again.

A cell is looked for in the model-index by the labels of its row and column and the name of its table; the cells of a table are
bound where most agree. docs/claims.md has the rules. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import NamedTuple

from aqea_registry.claims.expression import NotComputable, Quantity, converted, exact, mean, printed
from aqea_registry.claims.labels import letters
from aqea_registry.claims.ledger import Claim, Evaluation
from aqea_registry.claims.relations import DraftedTable, Relations, holds_for_most, relations_of_table
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
_VALUES = frozenset({"value", "score", "result", "mainscore", "test", "ours", "ourmodel", "thismodel"})
_OURS = re.compile(r"(?<=.)\b(?:ours|this model)\b", re.IGNORECASE)  # beside the name of the model, or a metric


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
    models = {part for result in results.values() for part in (result.model, result.model.rpartition("/")[2])}
    for table in tables if index else ():
        found.add(_repeats(table, index, models))
    return found


def _repeats(table: DraftedTable, index: _Index, models: Collection[str]) -> Relations:
    values = _VALUES | {letters(model) for model in models}
    words = re.findall(r"[a-z0-9@]+", table.name.lower())[:40]
    titles = ["_".join(words[start:end]) for start in range(len(words)) for end in range(start + 1, start + 7)]
    own = re.compile(rf"(?i)\b(?:{'|'.join(map(re.escape, models))})\b(?=.)")  # `MODEL nDCG@10`
    # What the name of a table says is of all its cells.
    datasets = {name for title in titles if (name := letters(title)) in index} if len(index) > 1 else {*index}
    metrics = [name for title in titles for name in _names(title)]

    def sought(label: str, other: str, beside: Sequence[str]) -> _Printed | None:
        """What the index prints of a label: a dataset beside a metric or the card's model, or a metric of the only dataset."""
        plain = letters(other) in values
        scores, meant = index.get(letters(label)), [name for text in beside for name in _names(text)]
        named = [*_names(own.sub("", other)), *((meant or [*metrics, "main"]) if plain else [])]
        if scores is None and len(datasets) == 1 and plain:
            scores, named = index[min(datasets)], [*_names(label)]
        return next((scores[name] for name in named if name in scores), None) if scores is not None else None

    found, sources = Relations({}, {}, set(), []), list[tuple[Claim, _Printed]]()
    for (row, column), claim in table.claims.items():
        one, other = (_OURS.sub("", label) for label in (table.rows[row], table.columns[column]))
        beside = table.beside[row] if table.beside else ()
        source = sought(one, other, beside) or sought(other, one, beside)
        if source is not None and claim.unit in ("percent", "fraction", "number"):
            sources.append((claim, source))
    held, hundredfold, hundredth = ([*_held(sources, factor)] for factor in (1, Fraction(100), Fraction(1, 100)))
    if holds_for_most(held, len(sources)):
        for claim, source in sources:
            text = source.text if {source.value.unit, claim.unit} != _SHARES else f"{claim.unit}({source.text})"
            if text.startswith("["):
                found.quoted[claim.id] = text[1:-1]
            else:
                found.derived[claim.id] = text
    elif sources:
        few = f"{len(held)} of {len(sources)} cells are as the model-index has them"
        message = f"{few}, too few to bind them; bind by hand what should be"
        if holds_for_most(hundredfold, len(sources)):
            message = "the cells are 100 times what the model-index has; say which are in percent: % in a header, or --unit"
        elif holds_for_most(hundredth, len(sources)):
            message = (
                "the cells are a hundredth of what the model-index has; give them unit: fraction, then: claims bind --write"
            )
        found.notes.append(f"{table.name}: {message}")
    return found


def _held(sources: Sequence[tuple[Claim, _Printed]], factor: Fraction | int) -> Iterator[float]:
    """How often another number would agree, for each cell that agrees with its source, or with so many times that."""
    for claim, source in sources:
        with suppress(NotANumber, NotComputable):
            own, value = parse_number(claim.value or "", claim.unit), source.value * exact(Fraction(factor))
            if {value.unit, claim.unit} == _SHARES and factor == 1:
                value = converted(value, claim.unit)
            spread = SPREAD if factor > 1 or (factor == 1 and "percent" in (claim.unit, value.unit)) else SPREAD / 100
            if own.low < value.high and value.low < own.high:
                yield min(float(own.high - own.low + value.high - value.low) / spread, 1.0)


def _index(claims: Sequence[Claim], results: Mapping[str, Evaluation]) -> _Index:
    """The scores of every dataset whose name only one result has, and of tasks that have several datasets."""
    index: _Index = {}
    tasks: dict[str, list[_Printed]] = {}
    alone = {key for key in results if (name := re.sub(r"-\d+$", "", key)) == key or name not in results}
    for key, metric, claim in _scores(claims):
        if key not in alone or f"{key}-2" in results:
            continue
        try:
            source = _Printed(f"[{claim.id}]", printed(parse_number(claim.value or "", claim.unit), claim.unit))
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
            index.setdefault(letters(f"{task}{len(sources)}"), {"main": _Printed(text, mean(*(s.value for s in sources)))})
    return index


def _scores(claims: Iterable[Claim]) -> Iterator[tuple[str, str, Claim]]:
    """The claims of a model-index with the key of their result and the metric."""
    for claim in claims:
        key, _, metric = claim.id.rpartition(".")  # a claim that somebody gave another id is known by what it measured
        if claim.measured is not None:
            key, metric = claim.measured.result, claim.measured.metric
        yield key, metric_name(metric), claim


def _names(text: str) -> tuple[str, str]:
    """A metric's name, and that of the similarity which is meant where none is named."""
    name = metric_name(text)
    return name, f"cos_sim_{name}"


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
