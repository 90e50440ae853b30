"""Numbers that a document prints again: those of a card's model-index in its tables, and those of its tables in the text.

A cell is looked for in the model-index by the labels of its row and column and the name of its table; the cells of a table are
bound where most agree. In the text a number is looked for among the cells whose row or column its sentence names; what is left
to people, such as which model `it` is, docs/claims.md says. Pure.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import combinations, groupby
from typing import NamedTuple

from msgspec.structs import replace

from aqea_registry.claims.drafting import slug
from aqea_registry.claims.expression import NotComputable, Quantity, converted, exact, mean, printed
from aqea_registry.claims.ledger import At, Claim, Evaluation, Quotation, free
from aqea_registry.claims.merging import OF_TEXT, is_of_text
from aqea_registry.claims.relations import CHANCE, DraftedTable, Relations, holds_for_most, letters, relations_of_table
from aqea_registry.documents.metrics import metric_name
from aqea_registry.documents.numbers import NotANumber, NumberSpan, PrintedNumber, Unit, parse_number, scan
from aqea_registry.documents.prose import Kind, line_starts

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
    models = {result.model for result in results.values()}
    values = _VALUES | {letters(part) for model in models for part in (model, model.rpartition("/")[2])}
    for table in tables if index else ():
        found.add(_repeats(table, index, values))
    return found


def _repeats(table: DraftedTable, index: _Index, values: Collection[str]) -> Relations:
    words = re.findall(r"[a-z0-9@]+", table.name.lower())[:40]
    titles = ["_".join(words[start:end]) for start in range(len(words)) for end in range(start + 1, start + 7)]
    # What the name of a table says is of all its cells.
    datasets = {name for title in titles if (name := letters(title)) in index} if len(index) > 1 else {*index}
    metrics = [name for title in titles for name in _names(title)]

    def sought(label: str, other: str) -> _Printed | None:
        """What the index prints of a label: a dataset beside a metric or the card's model, or a metric of the only dataset."""
        plain = letters(other) in values
        scores, named = index.get(letters(label)), [*_names(other), *([*metrics, "main"] if plain else [])]
        if scores is None and len(datasets) == 1 and plain:
            scores, named = index[min(datasets)], [*_names(label)]
        return next((scores[name] for name in named if name in scores), None) if scores is not None else None

    found, tried = Relations({}, {}, set(), []), list[tuple[Claim, _Printed, float | None]]()
    for (row, column), claim in table.claims.items():
        one, other = table.rows[row], table.columns[column]
        source = sought(one, other) or sought(other, one)
        if source is None or claim.unit not in ("percent", "fraction", "number"):
            continue
        with suppress(NotANumber, NotComputable):
            own, value = parse_number(claim.value or "", claim.unit), source.value
            if {value.unit, claim.unit} == _SHARES:
                value = converted(value, claim.unit)
            spread = SPREAD if "percent" in (claim.unit, value.unit) else SPREAD / 100
            width = float(own.high - own.low + value.high - value.low) / spread  # how often another number would agree
            tried.append((claim, source, min(width, 1.0) if own.low < value.high and value.low < own.high else None))
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


MOST = 40  # places of a label, and cells that a sentence names: what names more says little
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=\W{0,3}[^\W\d_])|\n\s*\n|\n(?=\s*(?:[-*+|#]|\d+[.)])\s)")
_WORD = re.compile(r"[^\W_]+")
_COUNT = re.compile(r"\s*[(\[]\d+[)\]]\s*$")
PERCENT = re.compile(r"(?:\s|\\,|~)?(?:\\?%|percent)")
_POINTS = re.compile(rf"(?:[\s~-]|\\,)?(?:pp|(?:percentage )?points?)|{PERCENT.pattern}")
_FACTOR = re.compile(r"(?:[\s~]|\\,)?(?:x|×|times|\$?\\times\$?)|-?fold")

_Line = tuple[int, bool, int]  # of a table, whether it is a row, and its position


class _NamedCell(NamedTuple):
    claim: Claim
    number: PrintedNumber
    lines: tuple[_Line, _Line]  # row and column
    labels: tuple[str, str]


class _Labels(NamedTuple):
    lines: dict[tuple[str, ...], list[_Line]]  # by the words of their label
    cells: dict[_Line, list[_NamedCell]]


class _Named(NamedTuple):
    """The cells that a sentence names by row and column, and those that it names by either."""

    both: list[_NamedCell]
    either: list[_NamedCell]


def claims_of_text(text: str, kind: Kind, tables: Sequence[DraftedTable]) -> list[Claim]:
    """A claim `in-text.ROW.COLUMN` for each number of the text that is bound to cells.

    Comparisons of cells are bound one by one if chance would not make them, and together where that holds for most.
    """
    labels, starts = _labels(tables), line_starts(text)
    taken = {claim.at.line for table in tables for claim in table.claims.values()}
    numbers = scan(text, kind).numbers if labels.lines else ()
    found, ids = list[tuple[Claim | None, float]](), dict[str, int]()
    for _, sentence, spans in by_sentence(text, (span for span in numbers if bisect_right(starts, span.start) not in taken)):
        named = _named(labels, _words(sentence))
        for span in spans if named.either else ():
            with suppress(NotANumber):
                at, unit = At(line=bisect_right(starts, span.start)), text[span.end : span.stop]
                if claim := _quoted(span.text, unit, named, {other.text for other in spans}, at):
                    found.append((claim, 0.0))
                elif compared := _comparison(span.text, unit, named, at):
                    found.append(compared)
    together = holds_for_most([chance for claim, chance in found if claim and chance], sum(chance > 0 for _, chance in found))
    bound = [claim for claim, chance in found if claim and (together or chance <= CHANCE)]
    return [replace(claim, id=free(claim.id, ids)) for claim in bound]


def by_sentence(text: str, numbers: Iterable[NumberSpan]) -> Iterator[tuple[int, str, list[NumberSpan]]]:
    """Sentences with where they begin, and the numbers in them that look like results and are in no table or model-index."""
    edges = [0, *(edge.end() for edge in _SENTENCE.finditer(text)), len(text)]
    results = (number for number in numbers if number.why not in (None, "in the model-index", "in a table"))
    for place, spans in groupby(results, lambda span: bisect_right(edges, span.start)):
        yield edges[place - 1], text[edges[place - 1] : edges[place]], list(spans)


def renamed(claim: Claim, names: Mapping[str, str]) -> Claim:
    """A claim of the text with the names that its cells have in the ledger."""
    if not is_of_text(claim):
        return claim
    if claim.quoted is not None:
        return replace(claim, quoted=Quotation(claim=names.get(claim.quoted.claim or "")))
    derived = re.sub(r"\[([^\[\]]+)\]", lambda match: f"[{names[match[1]]}]", claim.derived or "")
    return replace(claim, derived=derived)


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.lower()))


def _labels(tables: Sequence[DraftedTable]) -> _Labels:
    found = _Labels({}, {})
    for t, table in enumerate(tables):
        for (r, c), claim in table.claims.items():
            with suppress(NotANumber):
                number = parse_number(claim.value or "", claim.unit)
                cell = _NamedCell(claim, number, ((t, True, r), (t, False, c)), (table.rows[r], table.columns[c]))
                for line in cell.lines if claim.bound is None else ():
                    found.cells.setdefault(line, []).append(cell)
        for row, texts in ((True, table.rows), (False, table.columns)):
            for position, label in enumerate(texts):
                words = _words(_COUNT.sub("", label))
                if (t, row, position) in found.cells and len(words) < 7 and sum(map(str.isalpha, "".join(words))) > 1:
                    found.lines.setdefault(words, []).append((t, row, position))
    return found


def _named(labels: _Labels, words: tuple[str, ...]) -> _Named:
    """The longest labels of a sentence, from left to right, and their cells."""
    lines: dict[_Line, None] = {}
    start = 0
    while start < len(words):
        length = next((n for n in range(6, 0, -1) if words[start : start + n] in labels.lines), 0)
        places = labels.lines.get(words[start : start + length], [])
        lines |= dict.fromkeys(places if len(places) <= MOST else ())
        start += length or 1
    cells = {cell.claim.id: cell for line in lines if len(labels.cells[line]) <= MOST for cell in labels.cells[line]}
    both = [cell for cell in cells.values() if all(line in lines for line in cell.lines)]
    return _Named(both[:MOST], list(cells.values()))


def _quoted(text: str, unit: str, named: _Named, others: set[str], at: At) -> Claim | None:
    """The claim of a number, if it is that of one named cell."""
    number, percent = parse_number(text, "number"), PERCENT.fullmatch(unit) is not None
    if unit and not percent:
        cells: list[_NamedCell] = []
    else:
        cells = [cell for cell in named.either if not (percent and cell.claim.unit == "fraction")]
    for some in ([cell for cell in cells if cell in named.both], cells):
        same = [cell for cell in some if _is_same(number, cell.number)]
        if len(same) == 1 and _chance(number, some) <= CHANCE:
            return _quoting(text, same[0], percent, at)
    if len(named.both) == 1 and cells and not any(_is_same(number, cell.number) for cell in cells):
        [cell] = named.both
        if (cell.claim.value or "") not in others and is_exchanged(text, cell.claim.value or ""):
            return _quoting(text, cell, percent, at)
    return None


def _is_same(number: PrintedNumber, cell: PrintedNumber) -> bool:
    """Whether the text prints the cell, perhaps with fewer digits."""
    return number.low < cell.high and cell.low < number.high and cell.half <= number.half


def _chance(number: PrintedNumber, cells: Sequence[_NamedCell]) -> float:
    """How often one of the cells that have about this size would be this number."""
    near = sum(abs(number.value) <= 2 * abs(cell.number.value) <= 4 * abs(number.value) for cell in cells)
    return near * float(2 * number.half / abs(number.value)) if number.value and number.half else 1.0


def is_exchanged(text: str, cell: str) -> bool:
    """Whether two numbers differ by two neighbouring digits that are exchanged."""
    pair = [digits.replace(".", "") for digits in (text, cell)]
    places = [n for n, (a, b) in enumerate(zip(*pair, strict=False)) if a != b]
    alike = text.find(".") == cell.find(".") and len(text) == len(cell) > 3 and sorted(text) == sorted(cell)
    return alike and len(places) == 2 and places[1] - places[0] == 1


def _quoting(text: str, cell: _NamedCell, percent: bool, at: At) -> Claim:
    words, unit = ".".join(slug(label, "cell") for label in cell.labels), "percent" if percent else cell.claim.unit
    return Claim(id=f"{OF_TEXT}{words}", value=text, unit=unit, at=at, quoted=Quotation(claim=cell.claim.id))


def _comparison(text: str, unit: str, named: _Named, at: At) -> tuple[Claim | None, float] | None:
    """What a number is of the only two cells that its sentence can compare, if anything, and how often chance would do that."""
    number = parse_number(text, "number")
    pairs = [(a, b) for a, b in combinations(named.both, 2) if {*a.lines} & {*b.lines} and a.claim.unit == b.claim.unit]
    if len(pairs) != 1 or not (_POINTS.fullmatch(unit) or _FACTOR.fullmatch(unit)):
        return None
    a, b = sorted(pairs[0], key=lambda cell: cell.number.value, reverse=True)
    ways = list(_ways(number, unit, a, b))
    for derived, known_as, value in ways:
        off, half = abs(abs(number.value) - value.value), (value.high - value.low) / 2
        size = abs(value.value - (known_as == "ratio"))  # another factor would be as far from one
        if size and off <= number.half + half:
            half = number.half + (0 if off <= number.half else half)
            words = f"{slug(f'{a.labels[0]} {b.labels[0]}', 'cells')}.{slug(a.labels[1], 'cell')}"
            claim = Claim(id=f"{OF_TEXT}{words}", value=text, unit=known_as, at=at, derived=derived)
            return claim, min(len(ways) * float(half / size), 1.0)
    return None, 1.0


def _ways(number: PrintedNumber, unit: str, a: _NamedCell, b: _NamedCell) -> Iterator[tuple[str, Unit, Quantity]]:
    """What a number may say of two cells, of which `a` is the larger: an expression, its unit and its value."""
    more, less, percent = f"[{a.claim.id}]", f"[{b.claim.id}]", PERCENT.fullmatch(unit)
    larger, smaller = printed(a.number, a.claim.unit), printed(b.number, b.claim.unit)
    if _POINTS.fullmatch(unit):
        yield f"difference({more}, {less})", "percent" if percent else a.claim.unit, larger - smaller
    if smaller.low <= 0:
        return
    if percent:
        one = exact(Fraction(1))
        yield f"percent(ratio({more}, {less}) - 1)", "percent", converted(larger / smaller - one, "percent")
        yield f"percent(1 - ratio({less}, {more}))", "percent", converted(one - smaller / larger, "percent")
    elif _FACTOR.fullmatch(unit) and number.value >= 1:
        yield f"ratio({more}, {less})", "ratio", larger / smaller
    elif _FACTOR.fullmatch(unit):
        yield f"ratio({less}, {more})", "ratio", smaller / larger
