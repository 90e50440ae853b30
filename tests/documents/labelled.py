"""Sentences and tables in which every result is marked, `«82.03»`, and how many of these the linter finds.

tests/data/lint has three parts. The linter's rules were written with `tuning.txt` in view; `held-back.txt` and the sentences of
`unseen.txt` say how they do on what they were not written for. Both have been looked at once, to mend kinds of misses: for an
unbiased figure write a new one. That of `unseen.txt` was 36 of 41 results found, among 41 numbers reported.
A section `== KIND` has a document on each line, `== KIND blocks` in each paragraph.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, cast

from aqea_registry.documents.numbers import scan
from aqea_registry.documents.prose import Kind
from tests.tools import ROOT

FOLDER = ROOT / "tests/data/lint"


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


def documents(half: str) -> Iterator[tuple[Kind, str]]:
    """The labelled documents of a part, `tuning`, `held-back` or `unseen`, each with its kind."""
    for section in (FOLDER / f"{half}.txt").read_text("utf-8").split("== ")[1:]:
        title, _, body = section.partition("\n")
        kind, _, blocks = title.partition(" ")
        for document in body.strip("\n").split("\n\n" if blocks else "\n"):
            yield cast(Kind, kind), document


def measure(half: str) -> Outcome:
    """Lint the documents of a part."""
    marked = reported = 0
    missed: list[str] = []
    wrong: list[str] = []
    for kind, labelled in documents(half):
        parts = re.split("[«»]", labelled)
        offsets = [sum(map(len, parts[:at])) for at in range(len(parts))]
        results = {(start, start + len(part)) for start, part in zip(offsets[1::2], parts[1::2], strict=True)}
        text = "".join(parts)
        found = {(number.start, number.end) for number in scan(text, kind).numbers if number.why is not None}
        marked += len(results)
        reported += len(found)
        missed += [f"{text[slice(*span)]} of {labelled}" for span in sorted(results - found)]
        wrong += [f"{text[slice(*span)]} of {labelled}" for span in sorted(found - results)]
    return Outcome(marked, reported, tuple(missed), tuple(wrong))
