"""Numbers in documents: which of them look like results, the markers that bind them to claims, and what a print stands for.

A result is a number that somebody measured or counted; docs/claims.md describes what looks like one. `scan` looks at prose
alone. `parse_number` reads a print: with few digits it stands for every value that rounds to it, half of the last digit to
either side; with fifteen or more significant digits it is a float64 that somebody computed, and stands for its neighbours
within four units in the last place. A whole number of something counted is exact. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from typing import Literal, NamedTuple

from aqea_registry.documents.prose import Kind, Prose, Span, blanked, prose_of
from aqea_registry.documents.tables import LETTERS, NUMBER, results_in_tables

MOST = 200_000  # numbers of a document that are looked at; what has more is data


class NumberSpan(NamedTuple):
    """A number in prose: offsets of its digits with the sign, where its unit ends, and why it looks like a result, if so."""

    text: str
    start: int
    end: int
    stop: int
    why: str | None


class Marker(NamedTuple):
    """What a document says about a number: which claims it is, or that it is an example if it names none.

    The number comes before the marker on its line, or is inside it: then `inside` has the offsets. A macro that `prints` the
    claim by itself has no number beside it.
    """

    start: int
    end: int
    claims: tuple[str, ...]
    inside: tuple[int, int] | None = None
    prints: bool = False


class Scan(NamedTuple):
    """A document's numbers and markers.

    `examples` are parts whose numbers are all examples; `open` is where one starts that has no end. `rest` is the offset of the
    first number that was not looked at, because there are too many before it.
    """

    kind: Kind
    numbers: tuple[NumberSpan, ...]
    markers: tuple[Marker, ...]
    examples: tuple[tuple[int, int], ...]
    open: int | None = None
    rest: int | None = None


def scan(text: str, kind: Kind) -> Scan:
    """Read a document."""
    prose = prose_of(text, kind)
    markers, markup = _markers(prose)
    prose = prose._replace(text=blanked(prose.text, markup))
    examples, unclosed = _examples(prose)
    spans = tuple(islice(numbers(prose), MOST + 1))
    rest = spans[MOST].start if len(spans) > MOST else None
    return Scan(kind, spans[:MOST], markers, tuple(examples), unclosed, rest)


# After a number, with or without a space. Of a weak unit only decimals look measured.
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


def numbers(prose: Prose) -> Iterator[NumberSpan]:
    """Every number of the prose that is a word of its own, in order; names, dates and versions are not."""
    text, results = prose.text, results_in_tables(prose)
    result = next(results, None)
    behind = named = -1  # the end of the number before, and of the last that is part of a name
    for match in _NUMBER.finditer(text):
        start, end = match.span()
        if not _free_before(text, start, behind):
            continue
        unit = _UNIT.match(text, end)
        stop = unit.end() if unit else end
        if not _free_behind(text, stop):
            continue
        if text[start - 1 : start] in ("-", "−", "+") and behind != start - 1:
            start -= 1
        while result is not None and result.end <= start:
            result = next(results, None)
        why = _why(text, match, unit) or (result.why if result is not None and result.start <= start else None)
        if why is not None and (_is_named(text, start) or (named >= 0 and _CHAIN.fullmatch(text, named, start))):
            why, named = None, stop
        behind = stop
        yield NumberSpan(text[start:end], start, end, stop, why)


def _free_before(text: str, start: int, behind: int) -> bool:
    """Not part of a word, a name, a path or a version; a number may follow another after a joint: `1.0-1.8`."""
    if start == 0:
        return True
    last, other = text[start - 1], text[start - 2] if start > 1 else " "
    if last.isalnum() or last in _BESIDE:
        return last == other == "\\"
    if last in "_.":
        return not (other.isalnum() or other == "_")
    if last in _JOINTS and last not in ":=":
        return not (other.isalnum() or other in "_)") or behind == start - 1
    return not (last == ":" and other.isdigit())


def _free_behind(text: str, stop: int) -> bool:
    if stop >= len(text):
        return True
    first, other = text[stop], text[stop + 1 : stop + 2]
    if first.isalnum() or first == "@":
        return False
    if first in "_.":
        return not other.isalnum()
    if first in "-/":
        return not other.isalpha()
    return not (first == ":" and other.isdigit())


def _why(text: str, number: re.Match[str], unit: re.Match[str] | None) -> str | None:
    """Why a number looks like a result outside of tables, if it does."""
    whole, decimals, exponent = number["whole"] or "", number["decimals"] or number["bare"], number["exponent"]
    kind = unit.lastgroup if unit else None
    if kind == "percent":
        return "a percentage"
    if kind == "times" or (kind == "weak" and decimals):
        return "with a unit"
    if kind == "measure":
        # Whole mebibytes are limits and settings, and the 1990s are years.
        setting = unit is not None and not decimals and ("iB" in unit[0] or (unit[0] == "s" and len(whole) > 3))
        return None if setting else "with a unit"
    if text.endswith(("\\SI{", "\\qty{"), 0, number.start()):
        return "with a unit"
    if whole and len(whole) > 3 and not whole.isdigit():
        return "a count"
    if decimals and (len(decimals) > 1 or exponent):
        return "decimals"
    return None


def _is_named(text: str, start: int) -> bool:
    """Whether the word before makes the number the name of something: `Table 3.14`, `Python 3.11`."""
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
    """The markers in order, and the parts of the prose that are markers themselves."""
    markers: list[Marker] = []
    markup: list[Span] = []
    for comment in prose.comments:
        if claims := _CLAIM.fullmatch(comment.body):
            markers.append(Marker(comment.start, comment.end, _ids(claims[1])))
        elif comment.body == "example":
            markers.append(Marker(comment.start, comment.end, ()))
    for match in (_COMMAND if prose.kind == "latex" else _BRACKETS).finditer(prose.text):
        argument = match.span(2) if prose.kind == "latex" and match[2] is not None else None
        prints = prose.kind == "latex" and argument is None
        markers.append(Marker(*match.span(), _ids(match[1] or ""), argument, prints))
        markup.append(Span(match.start(), argument[0] if argument else match.end()))
    return tuple(sorted(markers, key=lambda marker: marker.start)), markup


def _ids(text: str) -> tuple[str, ...]:
    return tuple(filter(None, re.split(r"[,\s]+", text)))


def _examples(prose: Prose) -> tuple[list[tuple[int, int]], int | None]:
    """The parts between `examples` and `/examples` (in LaTeX `end examples`); the start of one without an end."""
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
COUNTED = frozenset({"count", "tokens", "dimensions", "bytes"})  # whole numbers, exact as printed

FLOAT_DIGITS = 15  # from this many significant digits on, a print is a float64
ULPS = 4
LARGEST_EXPONENT = 300

_PRINTED_NUMBER = re.compile(r"([-+−]?)([1-9]\d{0,2}(?:,\d{3})+|\d+)?(?:\.(\d*))?(?:[eE]([-+]?\d{1,4}))?", re.ASCII)


class NotANumber(ValueError):
    """The text is not a finite decimal number."""


class PrintedNumber(NamedTuple):
    """A printed number: its exact decimal value, half the width of the interval it stands for, and whether it is a float64."""

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


def parse_number(text: str, unit: Unit, *, as_printed: bool = False) -> PrintedNumber:
    """Read a printed number: digits, commas between thousands, a point, an exponent, a sign.

    `as_printed` takes half of the last digit even where there are so many that the number is a float64. Raises NotANumber.
    """
    match = _PRINTED_NUMBER.fullmatch(text.strip())
    short = repr(text if len(text) <= 40 else f"{text[:39]}…")
    if match is None or not (match[2] or match[3]):
        raise NotANumber(f"{short} is not a number")
    whole, decimals = (match[2] or "").replace(",", ""), match[3] or ""
    exponent = int(match[4] or 0) - len(decimals)
    digits = (whole + decimals).lstrip("0")
    if max(abs(exponent), len(digits), len(digits) + exponent) > LARGEST_EXPONENT:
        raise NotANumber(f"{short} is too large or too long")
    last = Fraction(10) ** exponent
    value = int(whole + decimals) * last * (-1 if match[1] in ("-", "−") else 1)
    if unit in COUNTED and value.denominator == 1 and match[4] is None:  # 1.2e9 bytes are rounded
        return PrintedNumber(value, Fraction(0))
    float64 = len(digits) >= FLOAT_DIGITS
    half = last / 2
    if float64 and not as_printed:  # of few digits behind a leading 1 the last one says less than the float64
        half = max(half, ULPS * Fraction(math.ulp(float(value))))
    return PrintedNumber(value, half, float64)


def ulps_between(first: Fraction, second: Fraction) -> int:
    """How many units in the last place lie between the float64s nearest to two numbers; 0 if it is the same float64."""
    a, b = float(first), float(second)
    return round(abs(Fraction(a) - Fraction(b)) / Fraction(math.ulp(max(abs(a), abs(b)))))


def shown(value: Fraction) -> str:
    """A number for people: as an integer where it is one, else as the nearest float64's shortest digits."""
    if abs(value) >= 10**LARGEST_EXPONENT:
        return f"about {'-' if value < 0 else ''}1e{len(str(abs(int(value)))) - 1}"
    return str(value.numerator) if value.denominator == 1 else repr(float(value))
