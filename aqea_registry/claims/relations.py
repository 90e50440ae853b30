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
from typing import NamedTuple

import msgspec

from aqea_registry.claims.expression import LONGEST, OPERATIONS
from aqea_registry.claims.labels import (
    NAMES,
    NUMBERED,
    SETTINGS,
    SPLITS,
    STEM,
    Function,
    Promise,
    is_among,
    is_count,
    is_relative,
    letters,
    promise_of,
    words_of,
    words_of_all,
)
from aqea_registry.claims.ledger import Claim, Quotation
from aqea_registry.documents.numbers import NotANumber, PrintedNumber, parse_number

MOST = 50  # promises of a table that are tried in each direction
CHANCE = 0.005
SLIP = Fraction(1, 20)  # the one total of a long column of counts that misses its sum by less than this share is a slip


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


class _Axis(NamedTuple):
    """A table by its columns, or by its rows: labels and cells of the lines, and positions along them of counts and settings.

    `terms` are the lines that a total may be of, `scores` an average; `own` are those of a line whose label names a group, or
    that ends a section.
    """

    labels: Sequence[str]
    cells: dict[int, dict[int, _Cell]]
    promises: dict[int, Promise]
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
            for functions in (("mean", "weighted"), ("counted",), ("sum",), ("difference", "gain")):
                if some := [tried_way for tried_way in ways if tried_way[0].function in functions]:
                    ranked = [
                        (holds_for_most(held := _held(trials), len(trials), place), len(held), -place)
                        for place, (_, trials) in enumerate(some, 1)
                    ]
                    holds, _, place = max(ranked)
                    way, trials = some[-place - 1]
                    tried.append((way, trials))
                    if holds or _is_slip(way, trials):
                        _bind(found, axis, line, way, trials)
                        kept += 1
            if tried and not kept and (promise.group == () or line in axis.own):
                way, trials = tried[0]
                fits = len(_held(trials))
                if fits or way.function not in ("difference", "gain"):  # over what another table has it is not a slip
                    message = f"{way.function} of the others in {fits} of {len(trials)} cells, too few to bind them"
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
    all_words, places = words_of_all(labels), words_of_all(along)
    words = {line: all_words[line] for line in cells}
    promises = {line: promise for line in cells if (promise := promise_of(words[line])) is not None}
    of_names = {name: tuple(line for line in cells if letters(labels[line]) in group) for name, group in named.items()}
    members: dict[int, _Lines] = {}  # of lines called `NAME (2)` after a group that has two lines
    for line in cells:
        if found := NUMBERED.search(labels[line]):
            lines = of_names.get(letters(labels[line][: found.start()]), ())
            members |= {line: lines} if 1 < len(lines) == int(found[1]) else {}
    promises |= dict.fromkeys(members, Promise(("mean",), ()))
    for line, promise in promises.items():  # `Avg (en+de)` names its terms
        parts = {part for word in promise.group for part in re.split("[+&]", word)}
        lines = tuple(other for other in cells.keys() - promises if words[other] and parts.issuperset(words[other]))
        members |= {line: lines} if len(lines) > 1 and parts == {word for term in lines for word in words[term]} else {}
    splits = tuple(line for line in cells if words[line] and SPLITS.issuperset(words[line]))
    totals = [line for line in cells if len(splits) > 1 and is_count(words[line])]  # `pairs` beside `train` and `test`
    members |= dict.fromkeys(totals, splits)
    promises |= dict.fromkeys(totals, Promise(("counted",), ()))
    terms = [line for line in sorted(cells) if line not in promises and not is_among(words[line], NAMES)]
    counted = {line for line in terms if is_count(words[line]) and all(cell.counted for cell in cells[line].values())}
    scores = [line for line in terms if line not in counted and not is_among(words[line], SETTINGS)]
    section = list(accumulate(int(rows and line not in cells) for line in range(len(labels))))
    groups: dict[Hashable, list[int]] = {}
    for line in scores:
        groups.setdefault(section[line], []).append(line)
        own = words[line]
        alike = {part for end in range(1, min(len(own), 7)) for part in (own[:end], own[-end:])}
        for group in alike | {(STEM.sub("", word),) for word in own[:1]}:
            groups.setdefault(group, []).append(line)
    owners: dict[Hashable, int] = {}
    for line, promise in promises.items():
        key: Hashable = promise.group if len(groups.get(promise.group, ())) > 1 else section[line]
        if line not in members and promise.functions != ("difference",) and 1 < len(groups.get(key, ())) < len(scores):
            owners.setdefault(key, line)
    owned = members | {line: tuple(groups[key]) for key, line in owners.items()}
    counts = [place for place, named in enumerate(places) if is_count(named)]
    settings = frozenset(place for place, named in enumerate(places) if is_among(named, SETTINGS))
    return _Axis(labels, cells, promises, tuple(terms), tuple(scores), owned, tuple(counts[:2]), settings)


def _ways(axis: _Axis, line: int) -> Iterator[_Way]:
    """What a line may be computed from: lines of its own, else all, or the averages of groups or sections."""
    total = NUMBERED.search(axis.labels[line])
    if axis.promises[line].functions == ("difference",):
        yield from _differences(axis, line)
        return
    for function in axis.promises[line].functions:
        for lines in _sets(axis, line, mean=function in ("mean", "weighted")):
            if function != "weighted":
                yield _Way(function, lines, [1] * len(lines))
                continue
            found = [NUMBERED.search(axis.labels[term]) for term in lines]
            ways = [_Way(function, lines, [int(number[1]) if number else 0 for number in found])]
            ways = ways if total is None or int(total[1]) == sum(ways[0].weights) else []
            for place in axis.counts:
                cells = [axis.cells[term].get(place) for term in lines]
                counted = [int(cell.number.value) if cell and cell.counted else 0 for cell in cells]
                ways.append(_Way(function, lines, counted, place))
            yield from (way for way in ways if min(way.weights) > 0)


def _sets(axis: _Axis, line: int, *, mean: bool) -> Iterator[_Lines]:
    """The lines that a total or an average may be of: for an average its own, all, those up to the average before it or behind,
    those that have a cell wherever it has one, and the averages of groups or sections.
    """
    own, cells = axis.own.get(line, ()), axis.cells
    if not mean:
        yield from (lines for lines in [own or axis.terms] if len(lines) > 1)
        return
    averages = [other for other, promise in axis.promises.items() if "mean" in promise.functions]
    before = [other for other in axis.scores if max((start for start in averages if start < line), default=-1) < other < line]
    ends = [end for end in averages if end > line]
    behind = [other for other in axis.scores if line < other < min(ends, default=len(axis.labels))]
    full = [other for other in axis.scores if cells[line].keys() <= cells[other].keys()]
    groups = [other for other in axis.own if axis.promises[other].functions]
    yield from (
        lines for lines in dict.fromkeys(map(tuple, (own, axis.scores, before, behind, full, groups))) if len(lines) > 1
    )


def _differences(axis: _Axis, line: int) -> Iterator[_Way]:
    """A difference of the two lines that its label names, else before or behind it, or of one line against its base; the same
    in percent of the second.
    """
    relative = is_relative(axis.labels[line]) or "percent" in {cell.claim.unit for cell in axis.cells[line].values()}
    functions: list[Function] = ["difference", "gain"] if relative else ["difference"]
    lines = [
        other for other in axis.cells if other in axis.scores or "mean" in getattr(axis.promises.get(other), "functions", ())
    ]
    words = [words_of(label) for label in axis.labels]
    named = [other for other in lines if words[other] and {*words[other]} <= {*words[line]}]
    before, behind = [other for other in lines if other < line], [other for other in lines if other > line]
    pairs = [named] if len(named) == 2 else [before[-2:], behind[:2], [*before[:1], *before[-1:]]]
    for a, b in dict.fromkeys(tuple(pair) for pair in pairs if len({*pair}) == 2):
        yield from (_Way(function, lines, (1, -1)) for function in functions for lines in ((a, b), (b, a)))
    for other in before[-1:] + behind[:1]:
        bases = [position for position in axis.cells[other] if position not in axis.cells[line]] or [*axis.cells[other]]
        yield from (_Way(function, (other, other), (1, -1), base=bases[0]) for function in functions)


def _trials(axis: _Axis, line: int, way: _Way) -> Iterator[_Trial]:
    """Each cell of the line that may be what is computed: not a setting or a count under an average."""
    mean, counted = way.function in ("mean", "weighted"), way.function == "counted"
    usual = fmean(abs(float(cell.number.value)) for cell in axis.cells[line].values())
    for position, own in axis.cells[line].items():
        cells = way.terms(axis, position)
        units = {cell.claim.unit for cell in (own, *cells)} - {"number"}  # which has no unit of its own
        alike = all(cell.counted for cell in (own, *cells)) if counted else len(units) < 2 or way.function == "gain"
        if len(cells) < len(way.lines) or not alike or position in (way.counts, way.base):
            continue
        if mean and (position in axis.settings or (position in axis.counts and own.counted)):
            continue
        if way.function == "gain" and min(cell.number.low for cell in cells) <= 0:
            continue
        value, share = own.number.value, Fraction(1, sum(way.weights) if mean else 1)
        share = 100 / cells[1].number.value if way.function == "gain" else share
        weighted = [*zip(cells, way.weights, strict=True)]
        middle = sum((cell.number.value * weight for cell, weight in weighted), Fraction(0)) * share
        half = sum((cell.number.half * abs(weight) for cell, weight in weighted), Fraction(0)) * share
        half = Fraction(0) if counted else half + own.number.half
        least, most = min(cell.number.value for cell in cells), max(cell.number.value for cell in cells)
        misses = max(abs(value - middle) - half, Fraction(0))
        # Where another number would be as plausible: averages of so many other scores are that near to each other. And what is
        # not meant: a whole number beyond its terms counts something, no total is among its terms, an arrow may be the sign.
        if way.function in ("difference", "gain"):
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
        way.function not in ("difference", "gain")
        and others == len(ids)
        and all(id_.startswith(f"[{first}.") and id_.endswith(f".{last}]") for id_ in ids)
    ):
        ids = [f"[{first}.*.{last}]"]
    if way.function == "gain":
        return f"percent(ratio({', '.join(ids)}) - 1)"
    text = f"{'sum' if way.function == 'counted' else way.function}({', '.join(ids)})"
    return text if len(text) <= LONGEST else ""
