"""What the labels of rows and columns say: that a line is an average, a total or a difference, and of what. Pure.

>>> promise_of(words_of("Macro avg (STS)"))
Promise(functions=('mean',), group=('sts',))
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

Function = Literal["mean", "weighted", "counted", "sum", "difference", "gain"]
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
_GENERIC = "score scores task tasks dataset datasets set sets result results of over across the and performance"
_OTHER_MEANS = "geometric geo geomean harmonic median micro moving rolling"
NAMES = "rank ranking year date version seed run dim dims dimension dimensions dimensionality layers speedup factor ratio"
SETTINGS = f"""{NAMES} {" ".join(DIFFERENCES)} param params parameters size epoch epochs step steps tokens length len latency
throughput seconds hours cost price std sd stdev variance mb gb kb ms"""
_ALONE = "id n time memory context min max best worst median speed var"
_COUNTED = """n # count counts support samples examples instances queries documents pairs sentences rows items questions
datasets tasks tests"""
SPLITS = frozenset(["train", "training", "dev", "val", "valid", "validation", "test"])
_GREEK = "alpha beta gamma epsilon zeta theta kappa lambda sigma omega"
_WORD = re.compile(r"[^\s()\[\]{},;:/|*↑↓%_]+")
NUMBERED = re.compile(r"[(\[]\s*(\d{1,6})(?:\s+[a-z]+)?\s*[)\]]\s*$")
_SPREAD = re.compile(r"(?:±|\+/?-|(?<=.)\((?:std|sd|stdev)\b).*")  # `Mean ± std`
STEM = re.compile(r"-?\d+[a-z]?$|-[a-z]$")  # what `STS12` and `STS-B` differ in


class Promise(NamedTuple):
    """What a label says of its line: functions, and the words beside them, which may name a group of terms."""

    functions: tuple[Function, ...]
    group: tuple[str, ...]


def letters(label: str) -> str:
    """The small letters and digits of a label."""
    return re.sub(r"[\W_]+", "", label.lower())


def words_of(label: str) -> tuple[str, ...]:
    """The words of a label in small letters."""
    label = _SPREAD.sub("", label).lower().replace("speed-up", "speedup").replace("number of", "#")
    return tuple(word for found in _WORD.findall(label) if (word := found.strip(".'\"")))


def is_relative(label: str) -> bool:
    """Whether the label of a difference may mean how much one is more than the other, in percent."""
    return "%" in label or not {"rel", "relative", "percent"}.isdisjoint(words_of(label))


def words_of_all(labels: Sequence[str]) -> list[tuple[str, ...]]:
    """The words of labels. Among names that are Greek letters `delta` is one, and says nothing, nor does `run 2`."""
    words = [words_of(label) for label in labels]
    names = any(len(own) == 1 and own[0] in _GREEK.split() for own in words)
    runs = [len(own) == 2 and own[0] in ("run", "seed", "fold", "trial") and own[1].isdecimal() for own in words]
    return [() if is_run or (names and own == ("delta",)) else own for own, is_run in zip(words, runs, strict=True)]


def is_among(words: tuple[str, ...], names: str) -> bool:
    """Whether one of the words is among the names, or they are nothing but one that is not a term of an average."""
    return not set(names.split()).isdisjoint(words) or (len(words) == 1 and words[0] in _ALONE.split())


def is_count(words: tuple[str, ...]) -> bool:
    """Whether the words name things that are counted."""
    return words[:1] == ("#",) or (len(words) == 1 and words[0] in _COUNTED.split())


def promise_of(words: tuple[str, ...]) -> Promise | None:
    """What the words of a label promise; None for an ordinary label, without functions for another kind of mean."""
    words = tuple(part for word in words for part in word.split("-")) if words != ("macro",) else ("mean",)
    named = [word for word in words if word in _FUNCTIONS]
    rest = [word for word in words if word not in _FUNCTIONS and word not in _GENERIC.split() and not word.isdecimal()]
    if not named or (named == ["all"] and not {*_COUNTED.split()}.issuperset(rest)):
        return None
    if "difference" in (functions := tuple(function for word in named for function in _FUNCTIONS[word])):
        return Promise(("difference",), tuple(rest))
    functions = tuple(dict.fromkeys(function for word in named for function in _FUNCTIONS[word]))
    for word, wanted in (("weighted", "weighted"), ("macro", "mean")):
        if word in rest:
            rest.remove(word)
            functions = tuple(function for function in functions if function == wanted)
    if not set(_OTHER_MEANS.split()).isdisjoint(rest) or ("mean" in functions and is_among(tuple(rest), SETTINGS)):
        functions = ()
    return Promise(functions, tuple(rest))
