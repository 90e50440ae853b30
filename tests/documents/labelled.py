"""Sentences and tables in which every result is marked, `«82.03»`, and how many of these the linter finds.

The linter's rules were written with `tuning.txt` of tests/data/lint in view. Every other part was written before the linter saw
it, and its first run is the unbiased figure (benchmarks/README.md); then its misses were looked at, and rules were changed. Of
the 240 sentences of `fresh-1` one half, by a seed, was looked at before the other was run. Write a new part for a new figure.
A section `== KIND` has a document on each line, `== KIND blocks` in each paragraph, `== KIND page` is one.

A result is what somebody measured or computed of a model, a system or data: quality, its differences, errors and bounds, loss,
agreement, time, rate, memory, bytes of files, energy, costs, a share that was observed, a count with commas of what data has;
also where it is quoted or corrected. It is not what somebody chose (settings, splits, thresholds, limits, targets, levels,
coefficients, scales), what a thing has by construction (parameters, dimensions, layers, vocabulary), a machine, a price, a
p-value, a date, a version, a name, the number of a table, or a whole number of things.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, cast

from aqea_registry.documents.numbers import scan
from aqea_registry.documents.prose import Kind
from tests.tools import ROOT

FOLDER = ROOT / "tests/data/lint"
FRESH = tuple(sorted(path.stem for path in FOLDER.glob("fresh-*.txt")))


class Outcome(NamedTuple):
    """How many results are marked in a part and how many are reported, which were missed, and what is not a result."""

    marked: int
    reported: int
    missed: tuple[str, ...]
    wrong: tuple[str, ...]

    @property
    def precision(self) -> float:
        """The part of the reported numbers that are results."""
        return 1 - len(self.wrong) / self.reported

    @property
    def recall(self) -> float:
        """The part of the results that are reported."""
        return 1 - len(self.missed) / self.marked


def documents(part: str) -> Iterator[tuple[Kind, str]]:
    """The labelled documents of a part, such as `tuning`, each with its kind."""
    for section in re.split("(?m)^== ", (FOLDER / f"{part}.txt").read_text("utf-8"))[1:]:
        title, _, body = section.partition("\n")
        kind, _, parts = title.partition(" ")
        for document in body.strip("\n").split({"": "\n", "blocks": "\n\n", "page": "\0"}[parts]):
            yield cast(Kind, kind), document


def measure(*parts: str) -> Outcome:
    """Lint the documents of some parts."""
    marked = reported = 0
    missed: list[str] = []
    wrong: list[str] = []
    for kind, labelled in (document for part in parts for document in documents(part)):
        texts = re.split("[«»]", labelled)
        offsets = [sum(map(len, texts[:at])) for at in range(len(texts))]
        results = {(start, start + len(text)) for start, text in zip(offsets[1::2], texts[1::2], strict=True)}
        text = "".join(texts)
        found = {(number.start, number.end) for number in scan(text, kind).numbers if number.why is not None}
        marked += len(results)
        reported += len(found)
        missed += [f"{text[slice(*span)]} of {labelled}" for span in sorted(results - found)]
        wrong += [f"{text[slice(*span)]} of {labelled}" for span in sorted(found - results)]
    return Outcome(marked, reported, tuple(missed), tuple(wrong))
