"""Numbers that the run measured: scores of its pair sets, chosen by value, by names and by place.

The numbers of a table are bound where most agree, as `relations` says; one alone where chance would not do that, or where its
names leave no choice. docs/claims.md has the rules. Pure.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import dropwhile, takewhile
from typing import NamedTuple

from msgspec.structs import replace

from aqea_registry.claims.drafting import slug
from aqea_registry.claims.labels import letters
from aqea_registry.claims.ledger import At, Claim
from aqea_registry.claims.relations import CHANCE, DraftedTable, holds_for_most
from aqea_registry.claims.repeats import SPREAD
from aqea_registry.claims.sentences import PERCENT, by_sentence, is_slip
from aqea_registry.documents.metrics import METRICS, OTHERS
from aqea_registry.documents.numbers import NotANumber, NumberSpan, parse_number, printed_like
from aqea_registry.documents.prose import line_starts
from aqea_registry.project.artefact import Artefact

FEW = 3  # numbers of a table or sentence; of fewer, most is none
LIKELY = 0.05  # by chance; what has so few digits is not bound alone, whatever names it
MOST_LINES = 10  # above and below a table that may say what it is
MAIN = "main_score"  # of a result: what a number without the name of a metric is
OF_RUN = "text."  # what ids of claims begin with whose numbers are scores in the text

_STATISTICS = {**dict.fromkeys(("spearman", "spearmanr", "rho", "ρ"), "spearman"), "pearson": "pearson", "pearsonr": "pearson"}
_SIMILARITIES = {"cosine": "cos_sim", "cos": "cos_sim", "euclidean": "euclidean", "manhattan": "manhattan"}
_NAMES = {*_STATISTICS, *_SIMILARITIES}
_MORE = "dot average avg ave mean overall total sum delta δ diff difference gain improvement std rank"
_SMALL = "correlation coefficient correlations score scores similarity sim r test set on of the our ours 100 in and"
# Words of labels that say something else than one of our scores, and words that say nothing else.
_OTHERS, _PLAIN = (METRICS - _NAMES) | OTHERS | {*_MORE.split()}, _NAMES | {*_SMALL.split()}
_WORD = re.compile(r"[^\W_]+")


class RunScore(NamedTuple):
    """A score of a pair set of the run, or of a part of a result, as a fraction."""

    pair_set: str
    metric: str
    value: Fraction


class Fit(NamedTuple):
    """What a claim, in the unit of a score, may be: scores that agree, or the one that its names mean, as it would be printed.

    What chance may have done, and what differs by more than a slip, is not `sure`.
    """

    claim: Claim
    scores: Sequence[RunScore]
    has: str | None
    sure: bool


class RunScores(NamedTuple):
    """The scores of a run's pair sets and results by key; by letters of a name what has that dataset, and that model.

    By the letters of its name `metrics` has what results call a score, unless a statistic and a similarity call it so.
    """

    scores: Mapping[str, Mapping[str, float]]
    names: tuple[dict[str, set[str]], dict[str, set[str]]]
    alone: tuple[bool, bool]  # whether all have one dataset, and one model
    metrics: dict[str, set[str]]


class _Said(NamedTuple):
    """What some words name: sets by their dataset, and by their model; statistics, similarities, scores of results; others.

    `foreign`: a metric is named, and it is none of ours.
    """

    pair_sets: tuple[set[str], set[str]]
    metrics: tuple[list[str], list[str], list[str]]
    other: bool
    plain: bool
    foreign: bool


# A number with the scores that its names mean, those that agree, how often another number would, and whether dataset, model and
# metric are named and nothing else.
_Match = tuple[Claim, list[RunScore], list[RunScore], float, bool]


def run_of(artefacts: Mapping[str, Artefact], scores: Mapping[str, Mapping[str, float]]) -> RunScores:
    """The run's pair sets, and its results by KEY or KEY/SPLIT/SUBSET, with the names that documents have for them."""
    names: tuple[dict[str, set[str]], dict[str, set[str]]] = ({}, {})
    here = {key: artefacts[key] for key in scores}
    for key, made in here.items():
        repo, task = made.dataset_entry.repo.rpartition("/")[2], made.dataset_entry.mteb or ""
        short = repo.removesuffix("-sts")
        model = made.model_entry.repo if made.model_entry.full_dimension is None else made.model
        datasets = (made.dataset, repo, short, f"{short} {made.dataset_entry.config}", task, f"{task} {key.rpartition('/')[2]}")
        for index, texts in zip(names, (datasets, (made.model, model, model.rpartition("/")[2])), strict=True):
            for text in filter(letters, texts):
                index.setdefault(letters(text), set()).add(key)
    for made in here.values():  # its key says both
        for index, name in zip(names, (made.dataset, made.model), strict=True):
            index.setdefault(letters(made.key), set()).update(index[letters(name)])
    alone = (len({made.dataset for made in here.values()}) == 1, len({made.model for made in here.values()}) == 1)
    called = {name for key in scores if MAIN in scores[key] for name in scores[key]} - {MAIN}
    return RunScores(scores, names, alone, {letters(name): {name} for name in called if not {*name.split("_")} <= _PLAIN})


def fits_of_tables(tables: Sequence[DraftedTable], text: str, run: RunScores) -> Iterator[Fit]:
    """What the cells of tables may be."""
    lines = text.split("\n")
    for table in tables:
        at = [claim.at.line for claim in table.claims.values() if claim.at.line] or [1]
        around = _said(run, table.name, _around(lines, min(at), max(at)))
        labels = _said(run, *{text for row, column in table.claims for text in (table.rows[row], table.columns[column])})
        groups: tuple[list[_Match], list[_Match]] = ([], [])  # what only the run's names say is apart from what is named
        for (row, column), claim in table.claims.items():
            near = _said(run, table.rows[row], table.columns[column])
            # Beside rows or columns that name ours, what names none is somebody else's.
            other = near.other or any(named and not own for named, own in zip(labels.pair_sets, near.pair_sets, strict=True))
            if not other and (match := _match(claim, near, around, run)):
                groups[all(map(any, zip(near.pair_sets, around.pair_sets, strict=True)))].append(match)
        for matches in groups:
            yield from _decided(matches)


def fits_of_text(text: str, spans: Sequence[NumberSpan], run: RunScores) -> Iterator[Fit]:
    """What numbers of the text may be, as claims `text.PAIR-SET.METRIC`."""
    starts, nothing = line_starts(text), _said(run)
    for begin, sentence, near in by_sentence(text, spans):
        said, matches, elsewhere = _said(run, sentence)._replace(plain=True), list[_Match](), list[Fit]()
        edges = [begin, *(edge for span in near for edge in (span.start, span.end)), begin + len(sentence)]
        parts = [_said(run, text[start:stop]) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
        for span, beside, own in zip(near, _beside(parts), parts, strict=False):  # its own part is the one before it
            unit, line = text[span.end : span.stop], bisect_right(starts, span.start)
            claim = Claim(id=OF_RUN, value=span.text, unit="percent" if unit else "number", at=At(line=line))
            if (unit and not PERCENT.fullmatch(unit)) or not (match := _match(claim, said, nothing, run)):
                continue
            closer = _match(claim, said._replace(pair_sets=beside), said, run) or match
            if (closer[2] or not match[2]) and not (own.foreign or (said.foreign and not any(own.metrics))):
                matches.append(closer)
            elif match[2]:  # a score, but not of what is named beside it, or not by its metric
                elsewhere.append(Fit(match[0], match[2], None, sure=False))
        for fit in (*_decided(matches), *elsewhere):
            name = ".".join(fit.scores[0][:2]) if len(fit.scores) == 1 else slug(fit.claim.value or "", "number")
            yield fit._replace(claim=replace(fit.claim, id=OF_RUN + name.lower()))


def _beside(parts: Sequence[_Said]) -> list[tuple[set[str], set[str]]]:
    """What names each number between the parts of a sentence: the part before it, or behind it where no name is before all."""
    kinds: list[list[set[str]]] = []
    for named in zip(*(part.pair_sets for part in parts), strict=True):
        before, behind = named[0] and not named[-1], not named[0] and all(named[1:])
        kinds.append([*(named[:-1] if before else named[1:] if behind else [set[str]() for _ in parts[1:]])])
    return [*zip(*kinds, strict=True)]


def _said(run: RunScores, *texts: str) -> _Said:
    """The longest names in some texts, from left to right, and the words beside them."""
    found: tuple[set[str], set[str], set[str]] = (set(), set(), set())
    indexes, rest = (*run.names, run.metrics), list[str]()
    for text in texts:
        words, start = _WORD.findall(text.lower().replace("@", " at ")), 0
        while start < len(words):
            ends = range(min(start + 8, len(words)), start, -1)
            stop = next((end for end in ends if any("".join(words[start:end]) in index for index in indexes)), start)
            for index, keys in zip(indexes, found, strict=True):
                keys |= index.get("".join(words[start:stop]), set())
            rest += [] if stop > start else [words[start]]
            start = max(stop, start + 1)
    statistics, similarities = (sorted({known[w] for w in rest if w in known}) for known in (_STATISTICS, _SIMILARITIES))
    metrics = (statistics, similarities, sorted(found[2]))
    foreign = not any(metrics) and not (METRICS - _NAMES).isdisjoint(rest)
    return _Said(found[:2], metrics, not _OTHERS.isdisjoint(rest), _PLAIN.issuperset(rest), foreign)


def _match(claim: Claim, near: _Said, far: _Said, run: RunScores) -> _Match | None:
    """Hold a number against the scores that its names mean; None if it is not a score, or they mean none."""
    keys, named = set(run.scores), True
    for close, wide, alone in zip(near.pair_sets, far.pair_sets, run.alone, strict=True):
        keys &= close or wide or (keys if alone else set())
        named = named and bool(close or wide)
    statistics, similarities, called = (close or wide for close, wide in zip(near.metrics, far.metrics, strict=True))
    try:
        number = parse_number(claim.value or "", claim.unit)
    except NotANumber:
        return None
    is_score = claim.unit in ("percent", "fraction", "number") and number.half < Fraction(1, 2) and claim.bound is None
    if not (is_score and keys and (any(near.pair_sets) or named or statistics or called)):  # whole numbers say too little
        return None
    metrics = [f"{first}_{last}" for first in similarities or ["cos_sim"] for last in statistics or ["spearman", "pearson"]]
    scores = [
        RunScore(key, name, Fraction(str(of[name])))  # as it is written: a float may lie beside a half
        for key, of in run.scores.items()
        for name in (called or metrics if MAIN not in of or statistics or called else [MAIN])
        if key in keys and name in of
    ]
    scale = 100 if claim.unit == "percent" or (claim.unit == "number" and abs(number.value) > 1) else 1
    meant = [score for score in scores if statistics or called or score.metric.endswith(("_spearman", MAIN))]
    agreeing = [score for score in scores if number.low <= score.value * scale <= number.high]
    chance = min(1.0, float(2 * number.half) * 100 / scale / SPREAD * len(scores))
    claim = replace(claim, unit="percent" if scale == 100 else "fraction")
    fitting = [score for score in agreeing if score in meant] or agreeing
    return claim, meant, fitting, chance, named and bool(statistics or called) and near.plain


def _decided(matches: Sequence[_Match]) -> Iterator[Fit]:
    most = holds_for_most([chance for _, _, fitting, chance, _ in matches if fitting], len(matches))
    said = {score for _, _, fitting, _, _ in matches for score in fitting}
    for claim, meant, fitting, chance, clear in matches:
        alone = clear and len(matches) < FEW
        if fitting:
            yield Fit(claim, fitting, None, most or (alone and chance <= LIKELY) or chance * len(matches) <= CHANCE)
        elif len(meant) == 1 and (most or clear):
            has = printed_like(claim.value or "", meant[0].value * (100 if claim.unit == "percent" else 1))
            yield Fit(claim, meant, has, most or (alone and meant[0] not in said and is_slip(claim.value or "", has)))


def _around(lines: Sequence[str], first: int, last: int) -> str:
    """What stands above and below the rows of a table, up to an empty line: the paragraph above it, its caption."""
    upwards = dropwhile(lambda line: "|" in line or "&" in line, lines[max(first - 1 - 2 * MOST_LINES, 0) : first - 1][::-1])
    above = [*takewhile(str.strip, dropwhile(lambda line: not line.strip(), upwards))]
    below = takewhile(str.strip, lines[last : last + MOST_LINES])
    return "\n".join(line for line in (*above[::-1], *below) if not ("|" in line or "&" in line))
