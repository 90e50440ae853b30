"""The claims' numbers as LaTeX: a macro for each, and one that looks them up by LEDGER:ID.

A macro's name depends on the ledger and the id alone, so that no other claim can move it to another number. Where two claims
would have one name, both get letters of their own digest behind it, and the short name is not defined: a paper that used it
stops with an error instead of printing the wrong number.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

from aqea_registry.core.claims import Verdict

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DOUBTFUL = frozenset({"contradicted", "unbound"})

_SPECIAL = {
    **{one: f"\\{one}" for one in "{}$&#_%"},
    "\\": "\\textbackslash{}",
    "^": "\\textasciicircum{}",
    "~": "\\textasciitilde{}",
    "−": "-",
    "–": "--",
    "—": "---",
}
_HEAD = r"""% The numbers of this project's claims, written by `aqea-registry claims export --format latex`; do not edit.
% \input this file, then print a number by its macro or by its name: \aqeaclaim{LEDGER:ID}, and \claim{LEDGER:ID} where
% nothing else is called \claim. A number that is contradicted or rests on nothing warns wherever it is printed.
\makeatletter
\def\aqea@set#1#2#3{\newcommand*{#2}{#3}\expandafter\def\csname aqea@\detokenize{#1}\endcsname{#2}}
\protected\def\aqea@doubt#1#2{\PackageWarning{aqea-registry}{The claim \detokenize{#1} is #2}}
\protected\def\aqea@unknown#1{\PackageError{aqea-registry}{There is no claim \detokenize{#1}}{Export its ledger again.}??}
\def\aqeaclaim#1{\ifcsname aqea@\detokenize{#1}\endcsname\csname aqea@\detokenize{#1}\endcsname\else\aqea@unknown{#1}\fi}
\AtBeginDocument{\providecommand*{\claim}{\aqeaclaim}}
"""


def latex_text(verdicts: Sequence[Verdict]) -> str:
    """The file: a line for each claim with what became of it and where it stands."""
    names = macro_names([one.name for one in verdicts])
    lines = [_line(one, names[one.name]) for one in verdicts]
    doubtful = [one for one in verdicts if one.state in DOUBTFUL]
    if doubtful:
        count = f"{len(doubtful)} of {len(verdicts)} claims are contradicted or rest on nothing"
        lines.append(f"\\PackageWarningNoLine{{aqea-registry}}{{{count}}}")
    return "\n".join([_HEAD + lines[0] if lines else _HEAD.rstrip(), *lines[1:], "\\makeatother", ""])


def macro_names(names: Sequence[str]) -> dict[str, str]:
    """A macro for each LEDGER:ID: `aqea` and its words, capitalised and closed up, digits spelled out."""
    plain = {name: "\\aqea" + _camel(name) for name in names}
    shared = Counter(plain.values())
    return {name: macro if shared[macro] == 1 else macro + _letters(name) for name, macro in plain.items()}


def escaped(text: str) -> str:
    """A text that LaTeX prints as it is, on one line; what no printer shows is left out."""
    return "".join(_SPECIAL.get(one, one) for one in " ".join(text.split()) if one.isprintable())


def _line(one: Verdict, macro: str) -> str:
    value = escaped(one.claim.value) if one.claim.value is not None else "??"
    state = f"{one.state}, {one.ground}" if one.ground else f"{one.state}, {one.reason}" if one.reason else one.state
    doubt = f"\\aqea@doubt{{{one.name}}}{{{one.state}}}" if one.state in DOUBTFUL else ""
    place = f"line {one.claim.at.line}" if one.claim.at.line else "no line"
    return f"\\aqea@set{{{one.name}}}{{{macro}}}{{{doubt}{value}}} % {state}; {place}"


def _camel(name: str) -> str:
    words = re.findall(r"[a-z]+|[0-9]+", name.lower())
    return "".join(("".join(map(_digit, word)) if word.isdigit() else word).capitalize() for word in words)


def _digit(digit: str) -> str:
    return DIGITS[int(digit)]


def _letters(name: str) -> str:
    """Six letters that only this name has."""
    return "X" + "".join(chr(ord("a") + byte % 26) for byte in hashlib.sha256(name.encode()).digest()[:6])
