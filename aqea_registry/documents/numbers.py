"""The numbers of a document that look like results, and the markers that bind numbers to claims.

A result is a number that somebody measured or counted: see docs/claims.md for what looks like one. The parts of a document
that are no prose are blanked out before, in markup.py.

Printed numbers: the digits as they stand in a document, and how much they say.

A number printed with few digits is a rounded one: it speaks for every value that rounds to it, half a last digit to either
side. One with fifteen or more significant digits is a float64 that somebody computed: it speaks for its neighbours within
four units in the last place of the float64. A whole number of a thing that is counted is exact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from typing import Literal, NamedTuple, get_args

from aqea_registry.documents.prose import Kind, Prose, Span, blanked, prose_of
from aqea_registry.documents.tables import LETTERS, NUMBER, places_in_tables

MOST = 200_000  # numbers of a document that are looked at: what has more is data


class Number(NamedTuple):
    """A number in prose: offsets of its digits (its sign included), where its unit ends, and why it looks like a result."""

    text: str
    start: int
    end: int
    stop: int
    why: str | None


class Marker(NamedTuple):
    """What a document says of a number: the claims that it is, or with none that it is an example.

    The number stands before the marker on its line, or inside it: then `inside` has the offsets. A macro that prints the claim
    by itself `prints`, and has no number beside it.
    """

    start: int
    end: int
    claims: tuple[str, ...]
    inside: tuple[int, int] | None = None
    prints: bool = False


class Scan(NamedTuple):
    """A document as the linter sees it.

    `examples` are stretches whose numbers are all examples; `open` one without an end. `rest` is where the first number stands
    that was not looked at, because there were too many before it.
    """

    kind: Kind
    numbers: tuple[Number, ...]
    markers: tuple[Marker, ...]
    examples: tuple[tuple[int, int], ...]
    open: int | None = None
    rest: int | None = None


def scan(text: str, kind: Kind) -> Scan:
    """Read a document."""
    prose = prose_of(text, kind)
    markers, words = _markers(prose)
    prose = prose._replace(text=blanked(prose.text, words))
    examples, unclosed = _examples(prose)
    found = tuple(islice(numbers(prose), MOST + 1))
    rest = found[MOST].start if len(found) > MOST else None
    return Scan(kind, found[:MOST], markers, tuple(examples), unclosed, rest)


# Behind a number, with or without a space. Of a weak unit only decimals look measured.
_PERCENT = r"\\?%|percent\b|per\scent\b|pp\b|percentage\spoints?\b"
_MEASURE = (
    r"(?:[kKMGTP]i?[bB](?:it)?(?:/s|ps)?|[A-Za-z]{1,12}/s(?:ec)?|[a-z]{2,12}\sper\ssecond|[kMGTP]FLOPS?(?:/s)?|FLOPS?"
    r"|ns|[µμ]s|ms|s|sec|min|h|dB|kWh|fps)(?![\w/-]|\.\w)"
)
_MORE = "faster slower smaller larger longer shorter more less fewer better higher lower as"
_TIMES = rf"(?:x|×)(?![\w])|\s(?:x|×|times)(?=\s(?:{_MORE.replace(' ', '|')})\b)|\$?\\times(?![A-Za-z])(?!\s?10)\$?|-?fold\b"
_POWER = r"(?:×|x|\\times|\\cdot|·)\s?10\^?\{?[-−]?\d++"
_WEAK = rf"(?:(?:milli|micro)?seconds?|minutes?|hours?|days?|points?|bytes|[mb]illion|thousand)\b|-points?\b|{_POWER}"
_UNIT = re.compile(
    rf"(?P<times>{_TIMES})|(?:[ ~\u00a0\u2009\u202f]|\\[, ])?"
    rf"(?:(?P<percent>{_PERCENT})|(?P<measure>{_MEASURE})|(?P<weak>{_WEAK}))|(?P<magnitude>[kKMBT])(?![\w])"
)
_NUMBER = re.compile(NUMBER)


_BESIDE = frozenset("@#^\\")
_JOINTS = frozenset("-–—/+−:=")
# Words before a number that make it a name, and programs, whose versions look like decimals.
_REFERENCES = """section sections sec chapter chap figure figures fig figs table tables tab equation equations eq eqs appendix
algorithm theorem lemma definition corollary proposition page pages pp line lines listing step item issue issues no nr
vol volume version versions ver release releases rfc iso iec ieee"""
_PROGRAMS = """python cpython pypy java node nodejs npm go rust ruby perl php julia pytorch torch torchvision tensorflow keras
jax numpy scipy pandas matplotlib pyarrow sklearn transformers pip conda cuda cudnn rocm ubuntu debian fedora
centos rhel alpine macos windows linux kernel glibc gcc clang llvm cmake git docker kubernetes openssl sqlite
postgresql mysql redis spark vllm onnx tensorrt opencv skopeo croissant unicode tls http"""
_NAMES = frozenset((_REFERENCES + " " + _PROGRAMS).split())
_CHAIN = re.compile(r"\s*+(?:,|;|–|-|/|&|and|or|to)?\s*+(?:and|or)?\s*+")
_HEADING = re.compile(r"#{1,6}[ \t]+$")


def numbers(prose: Prose) -> Iterator[Number]:
    """Every number of the prose that is a word of its own, in order; names, dates and versions are none."""
    text, places = prose.text, places_in_tables(prose)
    place = next(places, None)
    behind = named = -1  # the end of the number before, and of one that a name made none of
    for found in _NUMBER.finditer(text):
        start, end = found.span()
        if not _free_before(text, start, behind):
            continue
        unit = _UNIT.match(text, end)
        stop = unit.end() if unit else end
        if not _free_behind(text, stop):
            continue
        if text[start - 1 : start] in ("-", "−", "+") and behind != start - 1:
            start -= 1
        while place is not None and place.end <= start:
            place = next(places, None)
        why = _why(text, found, unit) or (place.why if place is not None and place.start <= start else None)
        if why is not None and (_is_named(text, start) or (named >= 0 and _CHAIN.fullmatch(text, named, start))):
            why, named = None, stop
        behind = stop
        yield Number(text[start:end], start, end, stop, why)


def _free_before(text: str, start: int, behind: int) -> bool:
    """A number is no part of a word, a name, a path or a version; it may follow another number after a joint: `1.0-1.8`."""
    if start == 0:
        return True
    one, two = text[start - 1], text[start - 2] if start > 1 else " "
    if one.isalnum() or one in _BESIDE:
        return one == two == "\\"
    if one == "_" or one == ".":
        return not (two.isalnum() or two == "_")
    if one in _JOINTS and one not in ":=":
        return not (two.isalnum() or two in "_)") or behind == start - 1
    return not (one == ":" and two.isdigit())


def _free_behind(text: str, stop: int) -> bool:
    if stop >= len(text):
        return True
    one, two = text[stop], text[stop + 1 : stop + 2]
    if one.isalnum() or one == "@":
        return False
    if one in "_.":
        return not two.isalnum()
    if one in "-/":
        return not two.isalpha()
    return not (one == ":" and two.isdigit())


def _why(text: str, found: re.Match[str], unit: re.Match[str] | None) -> str | None:
    """Why a number looks like a result wherever it stands, if it does."""
    whole, decimals, exponent = found["whole"] or "", found["decimals"] or found["bare"], found["exponent"]
    kind = unit.lastgroup if unit else None
    if kind == "percent":
        return "a percentage"
    if kind == "times" or (kind == "weak" and decimals):
        return "with a unit"
    if kind == "measure":
        # Whole mebibytes are limits and settings, and the 1990s are years.
        other = unit is not None and not decimals and ("iB" in unit[0] or (unit[0] == "s" and len(whole) > 3))
        return None if other else "with a unit"
    if text.endswith(("\\SI{", "\\qty{"), 0, found.start()):
        return "with a unit"
    if whole and len(whole) > 3 and not whole.isdigit():
        return "a count"
    if decimals and (len(decimals) > 1 or exponent):
        return "decimals"
    return None


def _is_named(text: str, start: int) -> bool:
    """Whether the word before says that the number is the name of something: `Table 3.14`, `Python 3.11`."""
    before = text[max(0, start - 24) : start]
    word = before[before.rfind("\n\n") + 1 :].rstrip(" \t\n~(#:.=<>≥≤\u00a0{")
    last = LETTERS.search(word)
    if last is not None and last[0].lower() in _NAMES:
        return True
    return "#" in before and _HEADING.search(before) is not None


_CLAIM = re.compile(r"claim:\s*(\S.*)", re.DOTALL)
_BRACKETS = re.compile(r"\[claim:\s*([^\[\]\n]{1,2000})\]|\[(example)\]")
_COMMAND = re.compile(r"\\(?:aqea)?claim\{([^{}]*+)\}(?:\{((?:[^{}]++|\{[^{}]*+\})*+)\})?")


def _markers(prose: Prose) -> tuple[tuple[Marker, ...], list[Span]]:
    """The markers in order, and where their words stand in the prose."""
    markers: list[Marker] = []
    words: list[Span] = []
    for comment in prose.comments:
        if found := _CLAIM.fullmatch(comment.body):
            markers.append(Marker(comment.start, comment.end, _ids(found[1])))
        elif comment.body == "example":
            markers.append(Marker(comment.start, comment.end, ()))
    for found in _COMMAND.finditer(prose.text) if prose.kind == "latex" else ():
        macro = found[2] is None
        markers.append(Marker(*found.span(), _ids(found[1]), None if macro else found.span(2), macro))
        words.append(Span(found.start(), found.end() if macro else found.start(2)))
    for found in _BRACKETS.finditer(prose.text) if prose.kind != "latex" else ():
        markers.append(Marker(*found.span(), _ids(found[1] or "")))
        words.append(Span(*found.span()))
    return tuple(sorted(markers, key=lambda marker: marker.start)), words


def _ids(text: str) -> tuple[str, ...]:
    return tuple(filter(None, re.split(r"[,\s]+", text)))


def _examples(prose: Prose) -> tuple[list[tuple[int, int]], int | None]:
    """The stretches between `examples` and `/examples` (in LaTeX `end examples`); the start of the one that has no end."""
    spans: list[tuple[int, int]] = []
    start: int | None = None
    for comment in prose.comments:
        if comment.body == "examples" and start is None:
            start = comment.start
        elif comment.body in ("/examples", "end examples") and start is not None:
            spans.append((start, comment.end))
            start = None
    return spans, start


Unit = Literal[
    "percent", "fraction", "ratio", "number", "millions", "billions", "count", "tokens", "dimensions", "bytes", "text"
]
UNITS: tuple[str, ...] = get_args(Unit)
COUNTED = frozenset({"count", "tokens", "dimensions", "bytes"})  # whole numbers, exact as printed


FLOAT_DIGITS = 15  # from this many significant digits on, a print is a float64
ULPS = 4
LARGEST_EXPONENT = 300


_PRINTED_NUMBER = re.compile(r"([-+−]?)(\d{1,3}(?:,\d{3})+|\d+)?(?:\.(\d*))?(?:[eE]([-+]?\d{1,4}))?", re.ASCII)


class NotANumber(ValueError):
    """The text is no finite decimal number."""


class Printed(NamedTuple):
    """A printed number: its exact decimal value, half the width of what it speaks for, and whether it is a float64."""

    value: Fraction
    half: Fraction
    float64: bool = False

    @property
    def low(self) -> Fraction:
        """The smallest value that prints like this."""
        return self.value - self.half

    @property
    def high(self) -> Fraction:
        """The largest value that prints like this."""
        return self.value + self.half


def parse(text: str, unit: Unit, *, as_printed: bool = False) -> Printed:
    """Read a printed number: digits, commas between thousands, a point, an exponent, a sign.

    `as_printed` takes half of the last digit even where there are so many that the number is a float64. Raises NotANumber.
    """
    found = _PRINTED_NUMBER.fullmatch(text.strip())
    if found is None or not (found[2] or found[3]):
        raise NotANumber(f"{_short(text)} is no number")
    whole, decimals = (found[2] or "").replace(",", ""), found[3] or ""
    exponent = int(found[4] or 0) - len(decimals)
    digits = (whole + decimals).lstrip("0")
    if max(abs(exponent), len(digits), len(digits) + exponent) > LARGEST_EXPONENT:
        raise NotANumber(f"{_short(text)} is too large or too long")
    last = Fraction(10) ** exponent
    value = int(whole + decimals) * last * (-1 if found[1] in ("-", "−") else 1)
    if unit in COUNTED and value.denominator == 1:
        return Printed(value, Fraction(0))
    float64 = len(digits) >= FLOAT_DIGITS
    half = last / 2
    if float64 and not as_printed:  # of few digits behind a leading 1 the last one says less than the float64
        half = max(half, ULPS * Fraction(math.ulp(float(value))))
    return Printed(value, half, float64)


def ulps_between(first: Fraction, second: Fraction) -> int:
    """How many units in the last place lie between the float64s nearest to two numbers; 0 if it is the same float64."""
    a, b = float(first), float(second)
    return round(abs(Fraction(a) - Fraction(b)) / Fraction(math.ulp(max(abs(a), abs(b)))))


def shown(value: Fraction) -> str:
    """A number for people: as an integer where it is one, else as the nearest float64's shortest digits."""
    if abs(value) >= 10**LARGEST_EXPONENT:
        return f"about {'-' if value < 0 else ''}1e{len(str(abs(int(value)))) - 1}"
    return str(value.numerator) if value.denominator == 1 else repr(float(value))


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:39]}…")
