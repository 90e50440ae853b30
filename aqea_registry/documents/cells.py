"""The cells of tables: the numbers that one prints, with their units and what they are beside the first, or why it is not read.

A cell is read whole or not at all, and only digits that it spells become numbers. Pure.

>>> [(number.value, number.unit, number.kind) for number in read_cell("71.28 ± 0.40 %").numbers]
[('71.28', 'percent', ''), ('0.40', 'percent', 'error')]
>>> read_cell("71,5")
Reading(numbers=(), why='a decimal comma?', seen=1)
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Literal, NamedTuple

from aqea_registry.documents.numbers import NotANumber, Unit, parse_number

DECIMAL_COMMA = "a decimal comma?"
LAST_DIGITS = "error of the last digits"  # `80.12(34)`

Bound = Literal["at-least", "at-most", "over", "under"]


class Number(NamedTuple):
    """A number: its value as printed, the unit that the cell gives it, its spelling in the cell where that is not the value.

    `kind` is what it is beside the cell's first number: an error, a difference, a rank, ...
    """

    value: str
    unit: Unit | None = None
    printed: str | None = None
    kind: str = ""
    bound: Bound | None = None


class Reading(NamedTuple):
    """The numbers of a cell, or why they were not read and how many were seen; neither for a cell without numbers."""

    numbers: tuple[Number, ...]
    why: str | None = None
    seen: int = 0


_SEEN = re.compile(r"(?<![^\W_])(?<![.,@])(?<![^\W_][-/+_])[-+−]?(?:(?:\d+(?:[.,'’:/-]\d+)*|\.\d+)[¼-¾⅐-⅞]?|[¼-¾⅐-⅞])")
_MACRO = re.compile(r"\\[A-Za-z]+")  # readers of LaTeX know what all others print
_DATE = re.compile(r"(?:19|20)\d\d([-/.])(?:0?[1-9]|1[0-2])(?:\1\d\d?)?|\d\d?([-/.])\d\d?\2(?:19|20)?\d\d")
_GROUPED = re.compile(r"(?<![\w.,])[1-9]\d{0,2}(['’_\u2009\u202f])\d{3}(?:\1\d{3})*(?![\d'’_])")  # these part only thousands
WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}  # letters and digits as wide as ideographs
WIDE |= dict.fromkeys((0x2010, 0x2011), ord("-"))  # hyphens
_SPACED = re.compile(r"(?<![\d.,])\d{1,3}(?: \d{3})+(?![\d.,])")
_DOLLARS = re.compile(r"\$(?=\S)([^$]*[^$\s])\$(?!\d)")  # Markdown has LaTeX between them
_COMMAND = re.compile(r"\\([A-Za-z]+|[%$&#])")
_COMMANDS = {"pm": "±", "times": "×", "uparrow": "↑", "downarrow": "↓", "to": "→", "rightarrow": "→", "sim": "~", "approx": "~"}
_COMMANDS |= {"cdot": "·", "dagger": "†", "ddagger": "‡", "ast": "*", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥"}
_FONT = re.compile(r"\\(?:(?:math|text)(?:bf|it|rm)|underline|boldsymbol|bm)\{([^{}]*)\}")
_POWER = re.compile(r"\^\{([-+−]?\d{1,3})\}")
_SCRIPT = re.compile(r"[_^]\{?(\s*[±↑↓▲▼*∗†‡§][^{}]*)\}?")  # an error, a difference or a mark
_SCALED = r"(?:[kKMBT]|(?<!\s)b|(?i:thousand|[mb]illion|trillion))(?:\s(?:params?|parameters|tokens|pairs|sentences))?"
_MEASURED = (
    r"ns|[µμ]s|ms|s|(?i:secs?|seconds?|mins?|minutes?|hrs?|hours?|days?)|h|(?![kKMBT]/)[A-Za-z]{1,12}/[A-Za-z]{1,12}|/(?:s|sec|second|min|h)|[kMGTP]?Hz"
    r"|[kKMGTP]iB|k?Wh?|k?g|dB|px|pts|points?|fps|[kMGTP]?FLOP[Ss]"
)
_UNIT = (
    rf"(?P<percent>%|percent|pct|ppt?)|(?P<measure>{_MEASURED})|(?P<scale>{_SCALED})|(?P<size>[kKMGTP]B)|(?P<bytes>bytes)|(?P<ratio>[x×]|times)"
    rf"|(?P<tokens>tokens)|(?P<dimensions>dims?|dimensions|(?<!\s)d)"
)
_TOKEN = re.compile(
    r"(?P<pm>±|∓|\+/[-−–]|\+[-−–](?=\s*\.?\d))"
    r"|(?P<number>(?P<factor>(?:^|(?<=\())[x×]\s?)?(?P<sign>[-+−–]?)(?P<digits>\d+\.\d+(?=,\d+\.\d+(?![\d.]))|\d+(?:[.,'’]\d+)*|\.\d+)(?P<exponent>[eE][-+−]?\d{1,4}|\s?[x×·*]\s?10\^[-+−]?\d{1,3})?)"
    rf"(?P<unit>\s?(?:{_UNIT})(?![\w^])(?!\s?\d))?"
    r"|(?P<note>[(\[][A-Za-z*†‡§¶][)\]]|(?:(?<=[\w%])|(?<=[\w%]\s))\[\d\d?\])|(?P<open>[(\[])|(?P<close>[)\]])|(?P<arrow>→|[-=]>|⇒|➔)|(?P<bound>[<>]=?|[≤≥⩽⩾])|(?P<down>[↓⬇▼▽↘])|(?P<up>[↑⬆▲△↗])"
    r"|(?P<delta>[ΔΔ∆])|(?P<slash>/|\||vs\b\.?)|(?P<dash>[-–—−]|to\b)|(?P<low>(?<=\s)_(?=\.?\d))|(?P<comma>[,;&]|and\b)|(?P<hash>\#)|(?P<plus>\+)|(?P<sum>%)"
    r"|(?P<nothing>\s+|[*∗⋆⁎†‡§¶~≈∼≃]|\.$|(?i:n/a|na|nan|ca|approx|about|circa)\b\.?)|(?P<other>.)"
)
# By the letters of a suffix: the unit, and the power of ten that it stands for in that.
_SIZES: dict[str, tuple[Unit, int]] = {f"{letter}b": ("bytes", 3 * n) for n, letter in enumerate("kmgtp", 1)}
_SIZES |= {"k": ("count", 3), "m": ("millions", 0), "b": ("billions", 0), "t": ("count", 12)}
_BOUNDS: dict[str, Bound] = {"<": "under", ">": "over", **dict.fromkeys(("<=", "≤", "⩽"), "at-most"), "+": "at-least"}
_BOUNDS |= dict.fromkeys((">=", "≥", "⩾"), "at-least")
_BEHIND = frozenset({"close", "up", "down", "plus", "slash", "dash", "bound"})  # what may follow the last number
_NAMED: tuple[Unit, ...] = ("percent", "ratio", "bytes", "tokens", "dimensions")
_ONE_UNIT = ("", "error", "difference", "after the dash")
_SHARED: tuple[Unit, ...] = ("percent", "millions", "billions", "tokens", "dimensions")


def read_cell(text: str, doubted: str = "") -> Reading:
    """The numbers of a cell's text. A `,` or `.` that is `doubted` is not read where it may be of either kind: `82,034`."""
    if text.isascii() and text.replace(".", "", 1).isdecimal() and len(text) < 100 and not doubted:
        return Reading((Number(text),), seen=1)
    if not text.isascii() or "'" in text or "_" in text:
        text = _GROUPED.sub(lambda match: re.sub(r"\D", "", match[0]), text.translate(WIDE))
    if not {*"\\${^_"}.isdisjoint(text):
        text = _FONT.sub(r"\1", text)
        text = _COMMAND.sub(lambda match: _COMMANDS.get(match[1], match[1] * (not match[1].isalpha()) or match[0]), text)
        text = _SCRIPT.sub(r" \1", _POWER.sub(r"^\1", _DOLLARS.sub(r" \1 ", text).replace("{,}", ","))).strip()
    if not any(map(str.isdecimal, text)):
        if _MACRO.fullmatch(text):
            return Reading((), "a macro that is not defined here", 1)
        seen = len(_SEEN.findall(text))
        return Reading((), "not a plain number", seen) if seen else Reading(())
    try:
        if _DATE.fullmatch(text):
            raise _Unread("a date or a version")
        if _SPACED.search(text):
            return Reading((), "a space between thousands?", 1)
        numbers = _shared(list(_numbers(text, doubted)))
    except _Unread as error:
        seen = len(_SEEN.findall(text))
        return Reading((), str(error), seen) if seen else Reading(())
    return Reading(numbers, seen=len(numbers))


class _Unread(Exception):
    """Why a cell is not read."""


def _numbers(text: str, doubted: str) -> Iterator[Number]:
    """The numbers of a cell in order, before they share a unit. Raises _Unread."""
    names: list[str] = []
    before: re.Match[str] | None = None
    tokens = [token for token in _TOKEN.finditer(text) if not _is_nothing(token)]
    for token, behind in zip_longest(tokens, tokens[1:]):
        if token["number"] is None:
            names.append(token.lastgroup or "")
            bound = token[0]
            continue
        joined = before is not None and not names and before.end() == token.start() and token["sign"] != "+"
        number = _number(token, "" if joined else token["sign"], doubted)
        kind = "after the dash" if joined else _kind(names, token, before)
        limit = _BOUNDS.get(bound) if names[-1:] == ["bound"] else None
        limit = "at-least" if behind is not None and behind.lastgroup == "plus" else limit
        yield number._replace(kind=kind, bound=limit)
        names, before = [], token
    if not _BEHIND.issuperset(names):
        raise _Unread("not a plain number")


def _is_nothing(token: re.Match[str]) -> bool:
    """Whether a token says nothing of the numbers: a space, a mark, a picture, a sign of money. Raises _Unread for words."""
    if token.lastgroup in ("nothing", "note"):
        return True
    if token.lastgroup != "other":
        return False
    if unicodedata.category(token[0]) in ("So", "Sc", "Lm", "Mn", "Cf", "Me"):
        return True
    raise _Unread("words beside the number" if token[0].isalpha() else "a power" if token[0] == "^" else "not a plain number")


def _kind(names: Sequence[str], token: re.Match[str], before: re.Match[str] | None) -> str:
    """What a number is beside the one before it, by the tokens between them; of the first, what it is at all."""
    between = [name for name in names if name not in ("close", "bound", "sum")]
    last = between[-1] if between else ""
    if last == "pm":
        return "error"
    if last == "hash" or (last == "open" and before and not token["unit"] and "." in before[0] and token["number"].isdecimal()):
        return LAST_DIGITS if before and token.string[before.end() : token.start()] == "(" else "rank"
    if before is None:
        if set(between) <= {"open", "up", "down", "delta", "slash", "dash"} and last != "dash":
            return {"open": "in parentheses", "delta": "difference", "slash": "after the slash"}.get(last, "")
        raise _Unread("not a plain number")
    if last in ("delta", "up", "down") or (token["sign"] and last in ("", "open", "comma", "slash")):
        return "difference, down" if "down" in between else "difference"
    if last == "open":
        return "factor" if token["ratio"] or token["factor"] else "in parentheses"
    if last == "" and "." in before[0] and "." in token[0]:
        return "beside it"
    known = {
        "low": "in the subscript",
        "slash": "after the slash",
        "dash": "after the dash",
        "arrow": "after the arrow",
        "comma": "beside it",
    }
    if last in known and set(between) <= {last, "up", "down"}:
        return known[last]
    raise _Unread("two numbers")


def _number(token: re.Match[str], sign: str, doubted: str) -> Number:
    """A number with what its own unit says. Raises _Unread."""
    digits, exponent = token["digits"], re.sub(r".*10\^", "e", token["exponent"] or "").replace("−", "-")
    if why := _faulty(digits, doubted + "," * bool(token["percent"])):
        raise _Unread(why)
    value = sign.replace("–", "-").replace("−", "-") + digits
    spelled = token[0][len(token["sign"]) - len(sign) :]
    unit: Unit | None = next((unit for unit in _NAMED if token[unit]), "number" if token["measure"] else None)
    unit = "ratio" if token["factor"] else unit
    if unit in _NAMED:
        spelled = spelled.removesuffix(token["unit"] or "")
    if word := (token["size"] or (token["scale"] or "")[:1]).lower():
        unit, power = _SIZES[word]
        if exponent and power:
            raise _Unread("not a plain number")
        exponent = f"e{power}" if power else exponent
        if word == "k" and "." not in digits:
            value, exponent = f"{value.replace(',', '')}000", ""
    value += exponent
    try:
        parse_number(value, unit or "number")
    except NotANumber as error:
        raise _Unread("no finite number") from error
    return Number(value, unit, spelled if spelled != value else None)


def _faulty(digits: str, doubted: str) -> str | None:
    """Why digits with separators are not one number, if they are not."""
    points, commas = digits.count("."), digits.count(",")
    if digits.isdecimal() or re.fullmatch(r"\d*\.\d+", digits):
        return "points between thousands?" if "." in doubted and re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", digits) else None
    if re.fullmatch(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?", digits):
        return DECIMAL_COMMA if "," in doubted and commas == 1 and not points else None
    if re.fullmatch(r"\d+(?:\.\d{3})*,\d+", digits):
        return DECIMAL_COMMA
    if re.fullmatch(r"\d{1,3}(?:\.\d{3}){2,}", digits):
        return "points between thousands?"
    return "a date or a version" if points > 1 else "not a plain number"


def _shared(numbers: Sequence[Number]) -> tuple[Number, ...]:
    """The numbers with the unit that one of them names for all: `71.2 ± 0.4 %`, `33–35M`."""
    units = {number.unit for number in numbers if number.kind in _ONE_UNIT and number.unit is not None}
    unit = units.pop() if len(units) == 1 else None
    alike = unit in _SHARED and len(numbers) > 1
    return tuple(
        number._replace(unit=unit) if alike and number.unit is None and number.kind in _ONE_UNIT else number
        for number in numbers
    )
