"""The documents of tests/data/documents and what a careful reader takes from each: the values of its `.expected.yaml`.

Of a table the file has the name, the columns and for each row its line, name and cells. A cell is the number as it is printed
(`A ~ B` are two in one cell, `A // B` two readings that are both right, `.` none); `?` is before one that may be left out if
the import says so, and brackets are around one that is no result, such as a rank. `74.1@19` is on a line of its own.

A relation is `LINE NUMBER = KIND | LINE: TERMS; LINE: TERMS | WEIGHTS`. It is true (`=`), a contradiction planted in the
document (`!`), or one of either that nobody asks for but that is no mistake to find (`~`, `~!`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

FOLDER = Path(__file__).resolve().parents[1] / "tests/data/documents"
SUFFIXES = (".md", ".html", ".tex", ".csv", ".tsv", ".json")

SCALES = {"k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNIT_SCALES = {"millions": 10**6, "billions": 10**9}
# The units of a ledger that say what a reader means; `number` says that nothing is known.
UNITS = {
    "score": ("percent", "number"),
    "fraction": ("fraction", "number"),
    "percent": ("percent",),
    "number": ("number",),
    "whole": ("number", "count", "dimensions", "tokens"),
    "count": ("count",),
    "tokens": ("tokens", "number"),
    "bytes": ("bytes", "count", "number"),
    "size": ("millions", "billions", "count", "tokens", "number"),
    "millions": ("millions",),
    "ratio": ("ratio", "number"),
}

_NUMBER = re.compile(r"(?P<sign>[-+−]?)(?P<digits>\d[\d.,]*|\.\d+)(?:[eE](?P<exponent>[-+−]?\d+))?\s?(?P<suffix>[A-Za-z%]*)")
_RELATION = re.compile(r"(\d+) (\S+) (=|!|~|~!) (\w+) \| ([^|]+)(?:\| ([^|]+))?")


class Number(NamedTuple):
    """A number that a document prints: line, spellings that are right, and how it is to be treated.

    `labels` are the alternatives for table, row and column; of a model-index there is one, dataset and metric. `second` is for
    all but the first number of a cell. A `setting` is seen in a table and is not a result.
    """

    line: int
    spellings: tuple[str, ...]
    treat: Literal["import", "import or report", "nothing"]
    labels: tuple[tuple[str, ...], ...] = ()
    unit: str = "any"
    second: bool = False
    setting: bool = False
    comma: bool = False

    @property
    def values(self) -> list[Fraction]:
        """What it can be read as, in units and not in thousands or millions."""
        return [magnitude(text, comma=self.comma) * UNIT_SCALES.get(self.unit, 1) for text in self.spellings]


class Place(NamedTuple):
    """A number on a line."""

    line: int
    value: Fraction


class Relation(NamedTuple):
    """What a number is computed from: the terms, and the weights that stand in the document."""

    of: Place
    kind: str
    terms: tuple[Place, ...]
    weights: tuple[Place, ...]
    holds: bool
    asked: bool


class Expected(NamedTuple):
    """A document and what is to be found in it: numbers of tables and model-index, of the text, and relations."""

    path: Path
    shapes: str
    numbers: tuple[Number, ...]
    prose: tuple[Number, ...]
    relations: tuple[Relation, ...]


class Edit(NamedTuple):
    """A document before and after an edit: where evidence was, where it belongs (None: nowhere), if its number changed."""

    before: Path
    after: Path
    evidence: tuple[tuple[Place, Place | None, bool], ...]


def magnitude(text: str, *, comma: bool = False) -> Fraction:
    """The value of a printed number with its suffix. Commas are between thousands, or with `comma` points are."""
    match = _NUMBER.fullmatch(text.strip())
    assert match is not None, text
    thousands, point = (".", ",") if comma else (",", ".")
    digits = match["digits"].replace(thousands, "").replace(point, ".")
    value = Fraction(digits) * Fraction(10) ** int((match["exponent"] or "0").replace("−", "-"))
    return value * SCALES.get(match["suffix"], 1) * (-1 if match["sign"] in ("-", "−") else 1)


def digits(text: str) -> str:
    """The digits of a printed number without sign and unit."""
    match = _NUMBER.search(text.replace("{,}", ",").replace("\\,", ","))
    assert match is not None, text
    return match["digits"] + (f"e{match['exponent']}" if match["exponent"] else "")


def slug(text: str) -> str:
    """A label in small letters and digits, as far as it has any."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or text.strip()


def documents() -> list[Expected]:
    """Every document of the corpus with what is expected of it."""
    found = [path for path in sorted(FOLDER.iterdir()) if path.suffix in SUFFIXES]
    return [_expected(path) for path in found]


def edits() -> list[Edit]:
    """Every edit of the corpus."""
    return [_edit(path) for path in sorted((FOLDER / "edits").glob("*.evidence.yaml"))]


def _expected(path: Path) -> Expected:
    content = yaml.safe_load(path.with_suffix(".expected.yaml").read_text())
    numbers = [number for table in content.get("tables", ()) for number in _table(table)]
    numbers += _index(content["index"]) if "index" in content else []
    relations = tuple(map(_relation, content.get("relations", "").splitlines()))
    return Expected(path, content["shapes"], tuple(numbers), tuple(_prose(content.get("prose", ""))), relations)


def _parts(line: str) -> list[str]:
    return [part.replace("\\|", "|").strip() for part in re.split(r"(?<!\\)\|", line)]


def _table(table: Mapping[str, Any]) -> Iterator[Number]:
    columns = _parts(table["columns"])
    for text in table["rows"].splitlines():
        line, row, *cells = _parts(text)
        for column, cell in zip(columns, cells, strict=True):
            labels = tuple(tuple(label.split(" // ")) for label in (table["name"], row, column))
            unit = table.get("units", {}).get(column, table.get("unit", "score"))
            for n, spelled in enumerate(cell.split(" ~ ") if cell != "." else ()):
                number = _number(int(line), spelled, labels, "any" if n else unit)
                yield number._replace(second=n > 0, setting=table.get("settings", False), comma="decimal" in table)


def _index(index: Mapping[str, Any]) -> list[Number]:
    rows = [_parts(text) for text in index["rows"].splitlines()]
    return [_number(int(line), value, ((f"{dataset} {metric}",),), index["unit"]) for line, dataset, metric, value in rows]


def _prose(text: str) -> Iterator[Number]:
    for line in text.splitlines():
        number, spelled = _parts(line)
        yield from (_number(int(number), word, (), "any") for word in spelled.split())


def _number(line: int, spelled: str, labels: tuple[tuple[str, ...], ...], unit: str) -> Number:
    """A number as the file spells it: `(4)` is nothing to import, `?4` may be left out, `4@19` is on line 19."""
    inner = re.fullmatch(r"\((.+)\)", spelled.strip())
    text = inner[1] if inner else spelled.strip()
    treat: Literal["import", "import or report", "nothing"] = "nothing" if inner else "import"
    if text.startswith("?"):
        text, treat = text[1:], "import or report"
    text, _, own = text.partition("@")
    return Number(int(own or line), tuple(text.split(" // ")), treat, labels, unit)


def _relation(text: str) -> Relation:
    match = _RELATION.fullmatch(text.strip())
    assert match is not None, text
    line, value, sign, kind, terms, weights = match.groups()
    by = _places(weights) if weights and ":" in weights else [Place(0, magnitude(word)) for word in (weights or "").split()]
    of = Place(int(line), magnitude(value))
    return Relation(of, kind, tuple(_places(terms)), tuple(by), "!" not in sign, "~" not in sign)


def _places(text: str) -> list[Place]:
    groups = [part.partition(":") for part in text.split(";")]
    return [Place(int(line), magnitude(word)) for line, _, words in groups for word in words.split()]


def _edit(path: Path) -> Edit:
    before, after = (next(path.parent.glob(path.name.replace("evidence.yaml", f"{when}.*"))) for when in ("before", "after"))
    lines = yaml.safe_load(path.read_text())["evidence"].splitlines()
    return Edit(before, after, tuple(map(_evidence, lines)))


def _evidence(text: str) -> tuple[Place, Place | None, bool]:
    old, _, new = text.partition(" -> ")
    words = new.split()
    place = None if words == ["gone"] else _place(words[:2])
    return _place(old.split()), place, words[2:] == ["changed"]


def _place(words: Sequence[str]) -> Place:
    return Place(int(words[0]), magnitude(words[1]))
