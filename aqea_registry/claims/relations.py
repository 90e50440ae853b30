"""Relations within a table: the averages and totals that the label of a row or a column promises.

A promise is tried on the whole row or column. Where most of it holds all is bound, so that `claims check` contradicts what
breaks it; else, and where chance would do as well, nothing is bound. docs/claims.md has the rules. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import accumulate, islice
from statistics import fmean
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec

from aqea_registry.claims.expression import LONGEST, OPERATIONS
from aqea_registry.claims.ledger import Claim, Quotation
from aqea_registry.documents.numbers import NotANumber, PrintedNumber, parse_number

MOST = 50  # promises of a table that are tried in each direction
CHANCE = 0.005
SLIP = Fraction(1, 20)  # the one total of a long column of counts that misses its sum by less than this share is a slip

Function = Literal["mean", "weighted", "counted", "sum", "difference"]
DIFFERENCES = frozenset(["δ", "∆", "delta", "diff", "difference", "gain", "improvement", "change"])
# Words of labels: what they promise; beside an average no group of terms, or another kind of mean; then, in any label or
# (ALONE) as all of it, what is not a term at all, what is not a term of an average, and what is counted.
_PROMISES: Mapping[str, tuple[Function, ...]] = {
    "average averages averaged avg ave mean means": ("mean", "weighted"),
    "overall all": ("mean", "weighted", "counted", "sum"),
    "total totals sum": ("counted", "sum"),
    " ".join(DIFFERENCES): ("difference",),
}
_FUNCTIONS = {word: functions for words, functions in _PROMISES.items() for word in words.split()}
_GENERIC = "score scores task tasks dataset datasets set sets result results of over across the performance"
_OTHER_MEANS = "geometric geo geomean harmonic median micro moving rolling"
_NAMES = "rank ranking year date version seed run dim dims dimension dimensions dimensionality layers speedup factor ratio"
_SETTINGS = f"""{_NAMES} {" ".join(DIFFERENCES)} param params parameters size epoch epochs step steps tokens length len latency
throughput seconds hours cost price std sd stdev variance mb gb kb ms"""
_ALONE = "id n time memory context min max best speed var"
_COUNTED = """n # count counts support samples examples instances queries documents pairs sentences rows items questions
datasets tasks tests"""
_SPLITS = frozenset(["train", "training", "dev", "val", "valid", "validation", "test"])
_GREEK = "alpha beta gamma epsilon zeta theta kappa lambda sigma omega"
_WORD = re.compile(r"[^\s()\[\]{},;:/|*↑↓%_]+")
_NUMBERED = re.compile(r"[(\[]\s*(\d{1,6})(?:\s+[a-z]+)?\s*[)\]]\s*$")


class DraftedTable(NamedTuple):
    """The claims of a table by row and column, the labels of all its rows and columns, and the words that are beside a row."""

    name: str
    rows: Sequence[str]
    columns: Sequence[str]
    claims: Mapping[tuple[int, int], Claim]
    beside: Sequence[Sequence[str]] = ()


class Relations(NamedTuple):
    """Expressions and claims quoted by the id of their claim; claims that are counts, as sums show; what was in vain."""

    derived: dict[str, str]
    quoted: dict[str, str]
    counts: set[str]
    notes: list[str]

    def add(self, other: Relations) -> None:
        """Add what else was found; what is known stays."""
        self.derived.update((id_, text) for id_, text in other.derived.items() if id_ not in self.derived)
        self.quoted.update((id_, source) for id_, source in other.quoted.items() if id_ not in self.derived)
        self.counts.update(other.counts)
        self.notes.extend(other.notes)

    def bound(self, claim: Claim) -> Claim:
        """The claim with what was found about it."""
        if claim.id in self.counts:
            claim = msgspec.structs.replace(claim, unit="count")
        if claim.id in self.derived:
            return msgspec.structs.replace(claim, measured=None, derived=self.derived[claim.id])
        if claim.id in self.quoted and claim.kind == "unbound":
            return msgspec.structs.replace(claim, quoted=Quotation(claim=self.quoted[claim.id]))
        return claim


_Lines = tuple[int, ...]


class _Cell(NamedTuple):
    claim: Claim
    number: PrintedNumber

    @property
    def counted(self) -> bool:
        """Whether it may be a count: a whole number without another unit."""
        return self.claim.unit in ("count", "number") and self.number.half in (0, Fraction(1, 2))


class _Promise(NamedTuple):
    """What a label says of its line: functions, and the words beside them, which may name a group of terms."""

    functions: tuple[Function, ...]
    group: tuple[str, ...]


class _Axis(NamedTuple):
    """A table by its columns, or by its rows: labels and cells of the lines, and positions along them of counts and settings.

    `terms` are the lines that a total may be of, `scores` an average; `own` are those of a line whose label names a group, or
    that ends a section.
    """

    labels: Sequence[str]
    cells: dict[int, dict[int, _Cell]]
    promises: dict[int, _Promise]
    terms: _Lines
    scores: _Lines
    own: dict[int, _Lines]
    counts: _Lines
    settings: frozenset[int]


class _Way(NamedTuple):
    """A function of lines with a weight for each, which is in its label, or at a position of the line.

    `base` is the position of what all others are compared with.
    """

    function: Function
    lines: _Lines
    weights: Sequence[int]
    counts: int | None = None
    base: int | None = None

    def terms(self, axis: _Axis, position: int) -> list[_Cell]:
        """The cells at a position that are there; the second one of a difference may be at the base."""
        places = (position, *[position if self.base is None else self.base] * (len(self.lines) - 1))
        return [cell for line, place in zip(self.lines, places, strict=True) if (cell := axis.cells[line].get(place))]


class _Trial(NamedTuple):
    """A cell against what is computed: by how much it misses that, and how often a random number would not."""

    claim: Claim
    position: int
    misses: Fraction
    chance: float


def relations_of_table(table: DraftedTable, groups: Mapping[str, Collection[str]] = MappingProxyType({})) -> Relations:
    """What the cells of a table are computed from.

    `groups` has for names of groups the letters of their members: a column `NAME (2)` is the average of two such columns.
    """
    found = Relations({}, {}, set(), [])
    for axis in (_axis(table, groups, rows=False), _axis(table, groups, rows=True)):
        for line, promise in islice(axis.promises.items(), MOST):
            ways = [(way, trials) for way in _ways(axis, line) if (trials := list(_trials(axis, line, way)))]
            tried: list[tuple[_Way, list[_Trial]]] = []
            kept = 0
            for functions in (("mean", "weighted"), ("counted",), ("sum",), ("difference",)):
                if some := [tried_way for tried_way in ways if tried_way[0].function in functions]:
                    way, trials = max(some, key=lambda tried_way: len(_held(tried_way[1])))
                    tried.append((way, trials))
                    if holds_for_most(_held(trials), len(trials), len(some)) or _is_slip(way, trials):
                        _bind(found, axis, line, way, trials)
                        kept += 1
            if tried and not kept and (promise.group == () or line in axis.own):
                way, trials = tried[0]
                held = len(_held(trials))
                if held or way.function != "difference":  # a gain over what another table has is not a slip
                    message = f"{way.function} of the others in {held} of {len(trials)} cells, too few to bind them"
                    found.notes.append(f"{table.name}: {axis.labels[line]}: {message}; bind by hand what should be")
    return found


def _held(trials: Sequence[_Trial]) -> list[float]:
    return [trial.chance for trial in trials if not trial.misses]


def holds_for_most(held: Sequence[float], count: int, ways: int = 1) -> bool:
    """Whether of a count of promises most hold, and would not by chance in one of so many ways; `held` are their chances."""
    broken = count - len(held)
    if not held or broken > (max(1, count // 10) if count > 2 else 0):
        return False
    choices = math.lgamma(count + 1) - math.lgamma(broken + 1) - math.lgamma(len(held) + 1)
    return math.fsum(map(math.log, held)) + choices + math.log(ways) <= math.log(CHANCE)


def _is_slip(way: _Way, trials: Sequence[_Trial]) -> bool:
    """Whether the one total of a long column of counts, or one of two of which the other holds, is nearly the sum."""
    claim = max(trials, key=lambda trial: trial.misses).claim
    alone = len(trials) == 1 and claim.unit == "count" and len(way.lines) > 4
    if way.function != "sum" or not (alone or (len(trials) == 2 and holds_for_most(_held(trials), 1))):
        return False
    return max(trial.misses for trial in trials) < SLIP * parse_number(claim.value or "", claim.unit).value


def _bind(found: Relations, axis: _Axis, line: int, way: _Way, trials: Sequence[_Trial]) -> None:
    for trial in trials:
        if trial.claim.id not in found.derived and (text := _expression(axis, line, trial.position, way)):
            found.derived[trial.claim.id] = text
            if way.function == "counted":
                found.counts.update(axis.cells[term][trial.position].claim.id for term in (*way.lines, line))
            elif way.counts is not None:
                found.counts.update(axis.cells[term][way.counts].claim.id for term in way.lines)


def _axis(table: DraftedTable, named: Mapping[str, Collection[str]], *, rows: bool) -> _Axis:
    """The rows of a table, or its columns, and the sets of them: all, the scores, those whose labels begin alike, those between
    rows without a number.
    """
    labels, along = (table.rows, table.columns) if rows else (table.columns, table.rows)
    cells: dict[int, dict[int, _Cell]] = {}
    for place, claim in sorted(table.claims.items()):
        line, position = place if rows else place[::-1]
        with suppress(NotANumber):
            if claim.bound is None:  # a limit is not a number
                cells.setdefault(line, {})[position] = _Cell(claim, parse_number(claim.value or "", claim.unit))
    all_words, places = _words_of(labels), _words_of(along)
    words = {line: all_words[line] for line in cells}
    promises = {line: promise for line in cells if (promise := _promise(words[line])) is not None}
    of_names = {name: tuple(line for line in cells if letters(labels[line]) in group) for name, group in named.items()}
    members: dict[int, _Lines] = {}  # of lines called `NAME (2)` after a group that has two lines
    for line in cells:
        if found := _NUMBERED.search(labels[line]):
            lines = of_names.get(letters(labels[line][: found.start()]), ())
            members |= {line: lines} if 1 < len(lines) == int(found[1]) else {}
    promises |= dict.fromkeys(members, _Promise(("mean",), ()))
    splits = tuple(line for line in cells if words[line] and _SPLITS.issuperset(words[line]))
    totals = [line for line in cells if len(splits) > 1 and _is_count(words[line])]  # `pairs` beside `train` and `test`
    members |= dict.fromkeys(totals, splits)
    promises |= dict.fromkeys(totals, _Promise(("counted",), ()))
    terms = [line for line in sorted(cells) if line not in promises and not _is_among(words[line], _NAMES)]
    counted = {line for line in terms if _is_count(words[line]) and all(cell.counted for cell in cells[line].values())}
    scores = [line for line in terms if line not in counted and not _is_among(words[line], _SETTINGS)]
    section = list(accumulate(int(rows and line not in cells) for line in range(len(labels))))
    groups: dict[Hashable, list[int]] = {}
    for line in scores:
        groups.setdefault(section[line], []).append(line)
        for end in range(1, min(len(words[line]), 7)):
            for group in {words[line][:end], words[line][-end:]}:
                groups.setdefault(group, []).append(line)
    owners: dict[Hashable, int] = {}
    for line, promise in promises.items():
        key: Hashable = promise.group if len(groups.get(promise.group, ())) > 1 else section[line]
        if line not in members and promise.functions != ("difference",) and 1 < len(groups.get(key, ())) < len(scores):
            owners.setdefault(key, line)
    own = members | {line: tuple(groups[key]) for key, line in owners.items()}
    counts = [place for place, named in enumerate(places) if _is_count(named)]
    settings = frozenset(place for place, named in enumerate(places) if _is_among(named, _SETTINGS))
    return _Axis(labels, cells, promises, tuple(terms), tuple(scores), own, tuple(counts[:2]), settings)


def letters(label: str) -> str:
    """The small letters and digits of a label."""
    return re.sub(r"[\W_]+", "", label.lower())


def _words(label: str) -> tuple[str, ...]:
    label = label.lower().replace("speed-up", "speedup").replace("number of", "#")
    return tuple(word for found in _WORD.findall(label) if (word := found.strip(".'\"")))


def _words_of(labels: Sequence[str]) -> list[tuple[str, ...]]:
    """The words of labels. Among names that are Greek letters `delta` is one, and says nothing, nor does `run 2`."""
    words = [_words(label) for label in labels]
    names = any(len(own) == 1 and own[0] in _GREEK.split() for own in words)
    runs = [len(own) == 2 and own[0] in ("run", "seed", "fold", "trial") and own[1].isdecimal() for own in words]
    return [() if is_run or (names and own == ("delta",)) else own for own, is_run in zip(words, runs, strict=True)]


def _is_among(words: tuple[str, ...], names: str) -> bool:
    return not set(names.split()).isdisjoint(words) or (len(words) == 1 and words[0] in _ALONE.split())


def _is_count(words: tuple[str, ...]) -> bool:
    return words[:1] == ("#",) or (len(words) == 1 and words[0] in _COUNTED.split())


def _promise(words: tuple[str, ...]) -> _Promise | None:
    words = tuple(part for word in words for part in word.split("-")) if words != ("macro",) else ("mean",)
    named = [word for word in words if word in _FUNCTIONS]
    rest = [word for word in words if word not in _FUNCTIONS and word not in _GENERIC.split() and not word.isdecimal()]
    if not named or (named == ["all"] and not {*_COUNTED.split()}.issuperset(rest)):
        return None
    if "difference" in (functions := tuple(function for word in named for function in _FUNCTIONS[word])):
        return _Promise(("difference",), tuple(rest))
    functions = tuple(dict.fromkeys(function for word in named for function in _FUNCTIONS[word]))
    for word, wanted in (("weighted", "weighted"), ("macro", "mean")):
        if word in rest:
            rest.remove(word)
            functions = tuple(function for function in functions if function == wanted)
    if not set(_OTHER_MEANS.split()).isdisjoint(rest) or ("mean" in functions and _is_among(tuple(rest), _SETTINGS)):
        functions = ()
    return _Promise(functions, tuple(rest))


def _ways(axis: _Axis, line: int) -> Iterator[_Way]:
    """What a line may be computed from: lines of its own, else all, or the averages of groups or sections."""
    averages = tuple(other for other in axis.own if axis.promises[other].functions)
    total = _NUMBERED.search(axis.labels[line])
    if axis.promises[line].functions == ("difference",):
        yield from _differences(axis, line)
        return
    for function in axis.promises[line].functions:
        others = [axis.scores, averages] if function in ("mean", "weighted") else [axis.terms]
        for lines in [axis.own[line]] if line in axis.own else others:
            if len(lines) < 2 or function != "weighted":
                yield from [_Way(function, lines, [1] * len(lines))] if len(lines) > 1 else []
                continue
            found = [_NUMBERED.search(axis.labels[term]) for term in lines]
            ways = [_Way(function, lines, [int(number[1]) if number else 0 for number in found])]
            ways = ways if total is None or int(total[1]) == sum(ways[0].weights) else []
            for place in axis.counts:
                cells = [axis.cells[term].get(place) for term in lines]
                counted = [int(cell.number.value) if cell and cell.counted else 0 for cell in cells]
                ways.append(_Way(function, lines, counted, place))
            yield from (way for way in ways if min(way.weights) > 0)


def _differences(axis: _Axis, line: int) -> Iterator[_Way]:
    """A difference of the two lines that its label names, else before or behind it, or of one line against its base."""
    lines = [
        other for other in axis.cells if other in axis.scores or "mean" in getattr(axis.promises.get(other), "functions", ())
    ]
    words = [_words(label) for label in axis.labels]
    named = [other for other in lines if words[other] and {*words[other]} <= {*words[line]}]
    before, behind = [other for other in lines if other < line], [other for other in lines if other > line]
    pairs = [named] if len(named) == 2 else [before[-2:], behind[:2], [*before[:1], *before[-1:]]]
    for a, b in dict.fromkeys(tuple(pair) for pair in pairs if len({*pair}) == 2):
        yield from (_Way("difference", (a, b), (1, -1)), _Way("difference", (b, a), (1, -1)))
    for other in before[-1:] + behind[:1]:
        bases = [position for position in axis.cells[other] if position not in axis.cells[line]] or [*axis.cells[other]]
        yield _Way("difference", (other, other), (1, -1), base=bases[0])


def _trials(axis: _Axis, line: int, way: _Way) -> Iterator[_Trial]:
    """Each cell of the line that may be what is computed: not a setting or a count under an average."""
    mean, counted = way.function in ("mean", "weighted"), way.function == "counted"
    usual = fmean(abs(float(cell.number.value)) for cell in axis.cells[line].values())
    for position, own in axis.cells[line].items():
        cells = way.terms(axis, position)
        units = {cell.claim.unit for cell in (own, *cells)} - {"number"}  # which has no unit of its own
        alike = all(cell.counted for cell in (own, *cells)) if counted else len(units) < 2
        if len(cells) < len(way.lines) or not alike or position in (way.counts, way.base):
            continue
        if mean and (position in axis.settings or (position in axis.counts and own.counted)):
            continue
        value, share = own.number.value, Fraction(1, sum(way.weights) if mean else 1)
        weighted = [*zip(cells, way.weights, strict=True)]
        middle = sum((cell.number.value * weight for cell, weight in weighted), Fraction(0)) * share
        half = sum((cell.number.half * abs(weight) for cell, weight in weighted), Fraction(0)) * share
        half = Fraction(0) if counted else half + own.number.half
        least, most = min(cell.number.value for cell in cells), max(cell.number.value for cell in cells)
        misses = max(abs(value - middle) - half, Fraction(0))
        # Where another number would be as plausible: averages of so many other scores are that near to each other. And what is
        # not meant: a whole number beyond its terms counts something, no total is among its terms, an arrow may be the sign.
        if way.function == "difference":
            span, other = 2 * usual, abs(abs(value) - abs(middle)) <= half
        elif mean:
            span, other = float(most - least) / len(cells) ** 0.5, own.counted and not least <= value <= most
        else:
            span, other = (len(cells) - 1) * float(max(abs(least), abs(most))), least <= value <= most
        if misses and other:
            continue
        yield _Trial(own.claim, position, misses, min(float(2 * half or 1) / span, 1.0) if span else 1.0)


def _expression(axis: _Axis, line: int, position: int, way: _Way) -> str:
    """The expression for a cell; empty if it would be too long for a ledger."""
    ids = [f"[{cell.claim.id}]" for cell in way.terms(axis, position)]
    if way.function == "weighted":
        weights, total = [str(weight) for weight in way.weights], str(sum(way.weights))
        if way.counts is not None:
            weights = [f"[{axis.cells[term][way.counts].claim.id}]" for term in way.lines]
            total = f"sum({', '.join(weights)})"
        text = f"({' + '.join(f'{weight} * {id_}' for weight, id_ in zip(weights, ids, strict=True))}) / {total}"
        return text if len(text) <= LONGEST and 2 * len(ids) <= OPERATIONS else ""
    own = axis.cells[line][position].claim.id
    first, last = own.partition(".")[0], own.rpartition(".")[2]
    others = sum(position in cells for cells in axis.cells.values()) - 1
    if (
        way.function != "difference"
        and others == len(ids)
        and all(id_.startswith(f"[{first}.") and id_.endswith(f".{last}]") for id_ in ids)
    ):
        ids = [f"[{first}.*.{last}]"]
    text = f"{'sum' if way.function == 'counted' else way.function}({', '.join(ids)})"
    return text if len(text) <= LONGEST else ""
