"""Numbers in documents: which of them look like results, the markers that bind them to claims, and what a print stands for.

A result is a number that somebody measured or counted; docs/claims.md describes what looks like one. `scan` looks at prose
alone. `parse_number` reads a print: with few digits it stands for every value that rounds to it, half of the last digit to
either side; with fifteen or more significant digits it is a float64 that somebody computed, and stands for its neighbours
within four units in the last place. A whole number of something counted is exact. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Set
from fractions import Fraction
from itertools import islice
from typing import Literal, NamedTuple

import msgspec

from aqea_registry.documents.cues import GREEK, Cues, ResultSpan, results_in_tables
from aqea_registry.documents.latex_tables import visible
from aqea_registry.documents.prose import Kind, Prose, Span, blanked, prose_of
from aqea_registry.documents.tables import DIGIT, DIGITS

MOST = 200_000  # numbers of a document that are looked at; what has more is data


class NumberSpan(msgspec.Struct, frozen=True, gc=False):
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


def scan(text: str, kind: Kind, names: Set[str] = frozenset()) -> Scan:
    """Read a document. `names` are what rows of its ledgers are called: there, as in its tables, `gamma` is not a setting."""
    prose = prose_of(text, kind)
    markers, markup = _markers(prose)
    if kind == "latex" and "\\aqea" in text:  # macros of `claims export`, also in the definition of another macro
        macros = (macro for macro in _MACRO.finditer(visible(text)) if macro[1])
        markers = (*markers, *(Marker(*macro.span(1), (macro[1],), prints=True) for macro in macros))
    prose = prose._replace(text=blanked(prose.text, markup))
    examples, unclosed = _examples(prose)
    results, called = results_in_tables(prose)
    spans = tuple(islice(numbers(prose.text, results, (names & GREEK) | called), MOST + 1))
    rest = spans[MOST].start if len(spans) > MOST else None
    return Scan(kind, spans[:MOST], markers, tuple(examples), unclosed, rest)


# After a number, with or without a space. Of a weak unit only decimals look measured.
_PERCENT = r"\\?%|percent\b|per\scent\b|pp\b|percentage\spoints?\b|Prozent\b"
_MEASURE = (
    r"(?:[kKMGTP]i?[bB](?:it)?(?:/s|ps)?|(?:[kKMB]\s)?(?:[A-Za-z]{1,12}/s(?:ec)?|[a-z]{2,12}\sper\ssecond|[qrtQRT](?:ps|PS))|[kMGTP]FLOPS?(?:/s)?|FLOPS?"
    r"|ns|[µμ]s|ms|s|sec|min|h|dB|k?Wh?|k?g|fps)(?![\w/-]|\.\w)"
)
_COMPARED = r"(?:higher|lower|better|worse|less|more)(?=\sthan)|(?:above|below|behind)(?=\s(?:the|our|that)\b)"
_MORE = "faster slower smaller larger longer shorter more less fewer better higher lower as"
_TIMES = (
    rf"(?:x|×)(?!\w)|\s(?:x|×|times)(?=\s(?:{_MORE.replace(' ', '|')})\b)|\$?\\times(?![A-Za-z])(?!\s?10)\$?|-?fold\b(?! [cC])"
)
_POWER = r"(?:×|x|\\times|\\cdot|·)\s?10\^?\{?[-−]?\d++"
_WEAK = rf"(?:(?:milli|micro)?seconds?|minutes?|(?:GPU[- ])?hours?|days?|bytes|[mb]illion|thousand|{_COMPARED})\b|{_POWER}"
_UNIT = (  # most numbers have none, as the sign behind them says
    rf"(?>(?:(?!\s?[|,.;:)<])(?:(?P<times>{_TIMES})|\$?(?:[ ~\u00a0\u2009\u202f]|\\[, ])?"
    rf"(?:(?P<percent>{_PERCENT})|(?P<points>-?(?:[pP]oints?|Punkte)\b(?! scale))|(?P<measure>{_MEASURE})|(?P<weak>{_WEAK}))"
    rf"|(?P<magnitude>[kKMBT])(?![\w])))?)"
)
# A word of its own, not part of a name, a path, a version or a time. Behind a joint there may be another number: `1.0-1.8`.
_NUMBER = re.compile(
    rf"(?P<digits>{DIGIT}(?<![^\W_].)(?<![@#^].)(?<!(?<!\\)\\.)(?<!\w[_.].)(?<!\d:.){DIGITS}){_UNIT}"
    r"(?![^\W_\u00b2\u00b3\u00b9\u2070-\u2079]|@|[_.][^\W_]|[-/][^\W\d_]|:\d)"
)
_JOINTS = frozenset("-–—/+−")


def numbers(text: str, of_tables: Iterable[ResultSpan], names: Set[str]) -> Iterator[NumberSpan]:
    """Every number of the prose that is a word of its own, in order; names, dates and versions are not."""
    results, cues = iter(of_tables), Cues(text, names)
    result = next(results, None)
    behind = -1  # the end of the number before
    for match in _NUMBER.finditer(text):
        (start, end), stop = match.span("digits"), match.end()
        before = text[start - 1 : start]
        if before in _JOINTS and behind != start - 1:
            if start > 1 and (text[start - 2].isalnum() or text[start - 2] in "_)"):
                continue
            start -= before in "-−+"
        behind = stop
        while result is not None and result.end <= start:
            result = next(results, None)
        if result is not None and result.start <= start:
            why = result.why
        else:
            why = _looks(text, match)
            verdict = cues.verdict(start, end) if match.lastgroup != "magnitude" else None
            if verdict in ("name", "setting") and match.lastgroup in ("digits", "weak", *["percent"] * (verdict == "setting")):
                why = None
            elif verdict == "result":
                why = why or "beside a metric"
            if why and cues.is_chosen(start, stop):
                why = None
        yield NumberSpan(text[start:end], start, end, stop, why)


def _looks(text: str, match: re.Match[str]) -> str | None:
    """Why a number looks like a result by itself, if it does."""
    start, unit = match.start(), match.lastgroup
    bare, small, comma, thousands, decimals, exponent = match.groups()[1:7]  # as DIGITS has them
    digits, measure = decimals or bare or comma or small or "", match["measure"] or ""
    if unit == "digits" and len(digits) < 2 and (other := _RANGE.match(text, match.end())):
        unit, measure = other.lastgroup or unit, other["measure"] or ""
    if unit == "percent":
        return None if match["digits"] in ("0", "100") or _PART.search(text, max(0, start - 12), start) else "a percentage"
    if unit in ("times", "points") or (text[start - 1] == "{" and text.endswith(("\\SI{", "\\qty{"), 0, start)):
        return "with a unit"
    if unit == "measure":  # a limit or a setting: mebibytes, the memory of a machine; or years, the 1990s
        limit = _LIMITS[measure.endswith("B")].search(text, max(0, start - 20), start) or "iB" in measure
        memory = measure in ("GB", "TB", "W") and _MEMORY.match(text, match.end())
        return None if not digits and (limit or memory or (measure == "s" and len(match["digits"]) > 3)) else "with a unit"
    if unit == "weak" and (digits or _TOOK.search(text, max(0, start - 40), start)):
        return "with a unit"
    if thousands:
        return "a count" if not text.endswith(("at least ", "at most ", "up to ", "allows ", "holds "), 0, start) else None
    if not digits or (unit == "magnitude" and text.startswith(("param", "-param", " param"), match.end())):
        return None
    signed = text[start - 1 : start] in _JOINTS and _SIGNED.search(text, max(0, start - 3), start) is not None
    long = len(digits) > 1 or exponent or (unit == "digits" and match["digits"][2] in ".,")
    return "a difference" if signed or text.endswith(("±", "± "), 0, start) else "decimals" if long else None


_RANGE = re.compile(rf"(?:\s?[-–—]{{1,2}}\s?|\sto\s){DIGIT}{re.sub(r'[?]P<[a-z]+>', '?:', DIGITS)}{_UNIT}")
_SIGNED = re.compile(r"(?:[($]|: )[-+−]$")
_PART = re.compile(r"\b(?:first|last|remaining|other|top|bottom|held-out)\s$")
_TOOK = re.compile(
    r"(?:(?:\w+ed|went|fell|cut|rose|grew|down|up)\sfrom|took|tak(?:es?|ing)|last(?:s|ed)|needs|spent|stores"
    r"|(?:finish|complet|train|measur|us)e[sd]:?)\s(?:\w+\s){0,3}$|\bin $"
)
_MEMORY = re.compile(r"\s(?:of\s)?(?:free\s)?(?:V?RAM|memory|GPUs?|cards?|each|disk)\b")
_LIMIT = r"within|(?:limit(?:ed)?|budget|window|hop|timeout|interval|delay)s?(?: to| of| from|:| is)?"
_OF_BYTES = r"at (?:least|most)|up to|with|(?:more|less) than|size to|fits? in(?:to)?|[A-Z]\d{1,3}|[GR]TX \d{4}"
_LIMITS = [re.compile(rf"(?:{words})[\s(-]{{1,2}}$") for words in (_LIMIT, f"{_LIMIT}|{_OF_BYTES}")]


_CLAIM = re.compile(r"claim:\s*(\S.*)", re.DOTALL)
_BRACKETS = re.compile(r"\[claim:\s*([^\[\]\n]{1,2000})\]|\[(example)\]")
_MACRO = re.compile(r"\\aqea@set\{[^{}\n]*\}\{\\\w+|(\\aqea[A-Z][A-Za-z]*+)")  # and not where the export sets it
_COMMAND = re.compile(r"\\(?:aqea)?claim\{([^{}]*+)\}(?:\{((?>(?:[^{}]++|\{[^{}]*+\})*))\})?")


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


def printed_like(text: str, value: Fraction) -> str:
    """A value as a number is printed: with its decimals, exponent, commas and plus sign, half to even. Raises NotANumber."""
    if (match := _PRINTED_NUMBER.fullmatch(text)) is None:
        raise NotANumber(f"{text[:40]!r} is not a number")
    decimals, power = len(match[3] or ""), int(match[4] or 0)
    last = round(value * Fraction(10) ** (decimals - power))
    digits = f"{abs(last):0{decimals + bool(match[2])}d}"
    whole, rest = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
    sign = (match[1] if match[1] in ("-", "−") else "-") if last < 0 else "+" * (match[1] == "+" and last > 0)
    whole = f"{int(whole):,}" if "," in text else whole
    return (
        sign + whole + ("." + rest if "." in text else "") + text[match.end(4) - len(match[4]) - 1 if match[4] else len(text) :]
    )


def ulps_between(first: Fraction, second: Fraction) -> int:
    """How many units in the last place lie between the float64s nearest to two numbers; 0 if it is the same float64."""
    a, b = float(first), float(second)
    return round(abs(Fraction(a) - Fraction(b)) / Fraction(math.ulp(max(abs(a), abs(b)))))


def shown(value: Fraction) -> str:
    """A number for people: as an integer where it is one, else as the nearest float64's shortest digits."""
    if abs(value) >= 10**LARGEST_EXPONENT:
        return f"about {'-' if value < 0 else ''}1e{len(str(abs(int(value)))) - 1}"
    return str(value.numerator) if value.denominator == 1 else repr(float(value))
