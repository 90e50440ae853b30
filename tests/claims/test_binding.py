"""Which numbers look like results, which are bound, and how long it takes to tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from aqea_registry.claims.ledger import At, Claim, Document, Ledger
from aqea_registry.claims.lint_claims import Bound, bind, matches
from aqea_registry.documents.numbers import NumberSpan, scan
from aqea_registry.documents.prose import Kind, kind_of, prose_of
from tests.growth import assert_linear

TICKS = "`" * 3

# A text and the numbers in it that look like results.
PROSE: dict[str, str] = {
    "It reaches 82.03 on STS-B.": "82.03",
    "It is 82.03, then 0.55; (0.61) and [0.62]": "82.03 0.55 0.61 0.62",
    "r=0.82, p<0.05, ~0.93, ≈0.94 and -0.12": "0.82 0.93 0.94 -0.12",
    "a change of −0.15 or +0.20": "−0.15 +0.20",
    "0.55 ± 0.02 and 0.61±0.03": "0.55 0.02 0.61 0.03",
    "from 0.46-0.63, 0.5–0.75 and 0.51/0.52": "0.46 0.63 0.75 0.51 0.52",
    "a lead of .85 is left": ".85",
    "**82.03** and _0.71_ and *0.72*†": "82.03 0.71 0.72",
    "78% of 5 % and 12 percent, 0.5 percentage points": "78 5 12 0.5",
    "3 GB/s, 44 MB/s, 1.5 MiB, 65GB, 2 kB, at most 16 MiB": "3 44 1.5 65 2",
    "0.3 s, 12 ms, 7µs, 3 min, 250 sentences/s, 20 tokens per second": "0.3 12 7 3 250 20",
    "99 GFLOP/s and 1.5 TFLOPS": "99 1.5",
    "3.5x faster, 8x longer, 2 times as much, 7 x more, 4-fold": "3.5 8 2 7 4",
    "1.5 seconds, 2.5 points, 1.4 million rows": "1.5 2.5 1.4",
    "1,379 pairs, 726,484,430 tuples and 1\u202f024": "1,379 726,484,430 1\u202f024",
    "5.6e-12 away": "5.6e-12",
    "about 5.6 × 10^-12": "5.6",
    "It ends in 0.55.": "0.55",
    "New line\n\n0.55 begins it": "0.55",
    "accuracy: 0.91": "0.91",
    # Beside the name of a metric any digits are a result, and so are points.
    "an F1 of 88, a recall of 90 and MRR = 41": "88 90 41",
    "Recall: 77, precision (macro): 81": "77 81",
    "58.3 on average, 70.1 nDCG@10, 93 accuracy": "58.3 70.1 93",
    "It lost 7 points, then 3 points more": "7 3",
    "The accuracy on the five sets was 73, the baseline's 61.": "73 61",
    "Spearman rises from 81 to 84.5": "81 84.5",
    "ROUGE-1/ROUGE-2 of 44/21 and a perplexity of 18": "44 21 18",
    "It reaches 61.3 on BEIR and 70 on STS-B.": "61.3 70",
    "The score is 62 out of 100, as in 2021.": "62",
    "a mean of 71.3±0.4": "71.3 0.4",
    "It scored 62 of 100, a score of 71/100, Spearman ρ of 0.8": "62 71 0.8",
    # Behind the name of a setting none are, whatever they look like.
    "temperature 0.05, a dropout of 0.15, weight decay = 0.01": "",
    "Batch size 16,384; learning rate 0.0003; seed 1,234": "",
    "a threshold of 0.85 gives an F1 of 0.91": "0.91",
    "p < 0.05, p = .013 and p-values of 0.02": "",
    "0.15 dropout, a 0.75 threshold, 10% warmup": "",
    "epochs: 3.25, margin: 0.35, top-k: 1,000, top_p 0.95": "",
    "a context window of 8,192 tokens, 30,522 tokens, 1,024 dimensions": "",
    "The temperature of the contrastive loss was set to 0.07": "",
    "τ = 0.05, α=0.15 and \\lambda of 0.25": "",
    "the 95% confidence interval is 0.79 to 0.83": "0.79 0.83",
    "scores between 0 and 1, an average of 5 runs, the mean of 3 seeds": "",
    "accuracy on 7 sets, F1 (5 folds), recall at 100, precision of 2 systems": "",
    # Nothing of this is a result.
    "version 1.2.3, v1.25, 2.13.0, release 3.14": "",
    "Python 3.11 and 3.12, torch>=2.13, CUDA 12.10 or 12.11": "",
    "on 2026-11-21, 21.11.2026, 2026/11/21, at 12:30 and 12:30:59.25": "",
    "in 1999, 2023 and the 1990s": "",
    "sha256 1c6ea5a8 and 0123456789, 0x1f4a": "",
    "Section 3.14, Sec. 2.15, Table 4.12, Fig. 5.55 and Eq. (6.12)": "",
    "page 1,234, lines 1,200 to 1,300, pp. 1,234–1,245, vol. 12.34": "",
    "RFC 8785, ISO 8601, ISO 9001:2015": "",
    "three of 7 models, 20 categories, 384 dimensions, 100 pairs": "",
    "a rate of 1e-6, 2e-5 and 10 epochs": "",
    "dropout 0.1, temperature 1.0, weights of 1.0, 0.3, and 0.1": "",
    "E5-Large, bge-m3, L6-v2, STS12, Qwen2-0.5B and GPT-3.55": "",
    "model_0.95 and 0.95.json, results/0.95/x, run-0.95-final": "",
    "https://example.org/0.95/1,234 and www.example.org/0.55 and a@0.55": "",
    "doi 10.1145/3404835.3462804, arXiv:2104.0872, 1810.09305v2": "",
    "127.0.0.1, 10.0.0.1:8080 and 80:20": "",
    "1.25em, 12.75cm, 16.50px": "",
    "a 3x3 kernel of 224x224, 2 x 4 and count x dimension": "",
    "#0.55, issue 1,234, no. 1,200, 10^0.55": "",
    "1. first\n2. second\n10. tenth": "",
    "5 seconds, 10 minutes, 24 hours, 12 bytes": "",
}
MARKDOWN: dict[str, str] = {
    "`0.55` and ``0.56 ` 0.57`` but 0.58": "0.58",
    "an odd ` and 0.55": "0.55",
    "an odd ` here\n\nand 0.55 ` there": "0.55",
    f"{TICKS}sh\n0.55\n{TICKS}\n0.56\n~~~\n0.57 {TICKS}\n~~~\n0.58": "0.56 0.58",
    f"{TICKS}\n0.55 is open to the end": "",
    "text\n\n    0.55 in code\n\n- list\n\n    0.56 in the list": "0.56",
    '[a 0.55](https://e.org/0.56) ![b](c_0.57.png "0.58") <https://e.org/0.59>': "0.55",
    "<img width=\"50%\" alt='0.55'> 0.56 <b>0.57</b> a <b and 0.58 > 0.59": "0.56 0.57 0.58 0.59",
    "<!-- 0.55\n0.56 --> 0.57 <!-- 0.58 is never closed": "0.57 0.58",
    "---\ntitle: 0.55\nversion: 1.25\n---\n0.56": "0.56",
    "---\nlr: 0.55\nmodel-index:\n- results:\n  - revision: 1234567.25\n    metrics:\n    - type: f1\n      value: 41\n"
    "    - value: 9.7\ntags: 0.56\n---\n": "41 9.7",
    "## 3.14 Method\n\n# 0.55": "",
    "| model | pairs | score |\n|---|---:|---|\n| 12 | 40 | **4.5** |\n"
    "| b 0.55 | 3 of 5 | 7.9 s (7.1 to 8) |": "40 4.5 0.55 7.9 7.1 8",
    "| a | year | version |\n|---|---|---|\n| x | 2024 | 3 |\n\n| 1 | 2 |": "",
    "a | b\n--|--\nx | 61.5\ny | `7` and 8\n\nz | 9": "61.5",
    "| model | STS | arrow |\n|---|---|---|\n| a | 71,5 | ↑ 62 (2) |\n| b | 67M | 0.6 ± 0.1¹ |\n| c | 500k | 3 / 4 |": (
        "71,5 62 2 67 0.6 0.1 500 3 4"
    ),
    "| parameter | value |\n|---|---|\n| learning rate | 0.0001 |\n| batch size | 64 |": "",
    "| model | batch size | F1 |\n|---|---|---|\n| a | 64 | 71 |": "71",
    "<table><tr><th>m</th><th>2021</th></tr><tr><td>7</td><td>71</td></tr>\n<tr><td>b<td><b>\n6</b>\n</table>": "71 6",
    "<table><tr><td rowspan='2'>m</td><td>a</td><td>&nbsp;5</td></tr><tr><td>b</td><th>6&plusmn;1</th></tr></table>": "5 6 1",
    "0.55 <table><tr><th rowspan=2>m</th><th>7.1</th></tr><tr><th>7.2</th></tr><tr><td>a</td><td>8</td></tr></table>": "0.55 8",
    "<table><tr><td>a</td><td>5 of 6</td><td>v2</td><td>12</table> 7": "12",
    "`<td>5</td>` <td>6</td>": "",
    "<table><tr><th>year</th><th>n</th></tr><tr><td>a</td><td>5</td></tr><tr><th>b</th><th>6</th></tr></table>": "5 6",
    "<table><tr><td>a</td><td>71<sup>1</sup></td><td>82[2]</td></tr></table>": "71 82",
    "> | m | F1 |\n> |---|---|\n> | a | 71 |": "71",
    "| m | F1 (10) | run | `x` |\n|---|---|---|---|\n| a | 71 (b) | 2 | `7.1` |\n| b | 62 [1](#n) | 3 | `f 7` |": "71 7.1 62",
    "| epoch | accuracy |\n|---|---|\n| 0.2481 | 71 |": "71",
    "---\nmodel-index:\n- results:\n  - metrics: [{type: f1, value: 41}, {value: '0,842', type: ap}]\n---\n": "41 0,842",
    "| digest | day |\n|---|---|\n| 1234 | 2026-11-21 |": "",
}
TEXT: dict[str, str] = {
    "name (Dense) 560M | 61.07 5957 60.35\nname 57.05 623 -": "560 61.07 5957 60.35 57.05 623",
    "Source Language Pairs\nx zh 0.4M\ny en 44M": "0.4 44",
    "Retrieval s2p en 50000 49090": "50000 49090",
    "dimensions of 896, 512, 256, 128, and 64\nas in 2023": "",
    "2.14 Training Strategy\nWe use 0.56 here": "0.56",
    "Gao et al. 2023\nas of December 25, 2024": "",
}
LATEX: dict[str, str] = {
    r"\usepackage[margin=1.25in]{geometry}\begin{document}0.55\end{document} 0.56": "0.55",
    "0.55 % 0.56\n50\\% 0.57": "0.55 50 0.57",
    r"see \ref{tab:0.55}, \cite[p.~0.56]{a0.57} and \label{0.58}": "",
    r"\includegraphics[width=0.95\textwidth]{fig0.55.pdf} \vspace{-0.25cm} 0.48\linewidth 12.25pt \\[0.25em]": "",
    r"$0.82 \pm 0.02$, $\rho=0.83$, \textbf{82.03}, {\bf 0.84}": "0.82 0.02 0.83 82.03 0.84",
    r"$71.3\pm0.4$ MRR, $F_1 = 82$, 0.71 in total, 0.5in, $\rho$ of $.82$": "71.3 0.4 82 0.71 .82",
    r"a margin $m=0.35$, $\tau=0.05$, $\beta_1 = 0.95$, batch size of $4{,}096$": "",
    r"82\,\%, 12~ms, \SI{3}{\giga\byte}, 2.5$\times$ and 1{,}379": "82 12 3 2.5 1{,}379",
    r"\begin{verbatim}0.55\end{verbatim} \verb|0.56| \url{http://e.org/0.57} \href{http://e.org/0.58}{0.59}": "0.59",
    r"\begin{tabular}{p{0.25\textwidth}r} m & 2024 \\ \midrule \textbf{12} & 40 & $\mathbf{4.5}$ \\ x & a 7 \\"
    r"\end{tabular}": "40 4.5",
    r"\multicolumn{2}{c}{0.55} \cmidrule(lr){2-3} \resizebox{0.56\linewidth}{!}{0.57} \scalebox{0.58}{0.59}": "0.55 0.57 0.59",
    r"\begin{tikzpicture}\draw (0.55,0.56);\end{tikzpicture} Table~\ref{t} and Section~3.14": "",
}
CSV: dict[str, str] = {
    'rank,model,dim,score\n1,"a, small",384,71.2\n2,"b 0.55","1,024",68': "384 71.2 0.55 1,024 68",
    "model;score\na;71,5\nb;68": "71,5 68",
    "model\tyear\tscore\na\t2024\t71": "71",
}
CASES: list[tuple[Kind, str, str]] = [
    *(("text", text, wanted) for text, wanted in PROSE.items()),
    *(("markdown", text, wanted) for text, wanted in {**PROSE, **MARKDOWN}.items()),
    *(("text", text, wanted) for text, wanted in TEXT.items()),
    *(("latex", text, wanted) for text, wanted in LATEX.items()),
    *(("csv", text, wanted) for text, wanted in CSV.items()),
]
EACH = pytest.mark.parametrize(("kind", "text", "wanted"), CASES, ids=[f"{kind}{at}" for at, (kind, _, _) in enumerate(CASES)])


@EACH
def test_what_looks_like_a_result(kind: Kind, text: str, wanted: str) -> None:
    found = scan(text, kind)
    assert " ".join(number.text for number in found.numbers if number.why) == wanted
    assert all(text[number.start : number.end] == number.text for number in found.numbers)


def test_there_are_enough_cases() -> None:
    assert len({text for _, text, _ in CASES}) >= 70


@EACH
def test_a_document_keeps_its_length_and_its_lines(kind: Kind, text: str, wanted: str) -> None:
    prose = prose_of(text, kind).text
    assert [len(line) for line in prose.split("\n")] == [len(line) for line in text.split("\n")]


@pytest.mark.parametrize(
    ("suffix", "text", "kind"),
    [
        (".md", "\\begin{document}", "markdown"),
        (".tex", "---\n", "latex"),
        (".txt", "plain", "text"),
        (".TSV", "a\tb", "csv"),
        (".txt", "---\ntitle: a card\n---\n", "markdown"),
        (".txt", "a | b\n---|---\n", "markdown"),
        ("", "\\documentclass{article}", "latex"),
    ],
)
def test_the_kind_of_a_document(suffix: str, text: str, kind: Kind) -> None:
    assert kind_of(suffix, text) == kind


def claim(name: str, value: str, line: int | None = None, **others: Any) -> Claim:
    return Claim(id=name, value=value, unit=others.pop("unit", "number"), at=At(line=line, table="t"), **others)


def ledger(*claims: Claim) -> Ledger:
    return Ledger(document=Document(title="t", sha256="0" * 64, file="d.md"), claims=claims)


CARD = {"card": ledger(claim("stsb", "82.03246731235654"), claim("pairs", "1379", unit="count"), claim("low", "0.5"))}


def bound(text: str, ledgers: Mapping[str, Ledger], *, same: bool = True, kind: Kind = "markdown") -> Bound:
    return bind(text, scan(text, kind), ledgers, {name: same for name in ledgers if name != "card"})


def told(found: Bound) -> list[str]:
    return [f"{one.code} {one.line}:{one.column} {one.claim} {one.expected} {one.actual}" for one in found.faults]


MARKERS: dict[str, tuple[Kind, str, tuple[int, int, int], list[str]]] = {
    "one": ("markdown", "82.03<!-- claim: card:stsb --> and 0.61", (2, 1, 0), ["claim-unbound 1:36 None None None"]),
    "all digits": ("markdown", "82.03246731235654 <!-- claim: card:stsb -->", (1, 1, 0), []),
    "with a unit, in a cell": ("markdown", "|a|b|\n|-|-|\n|x|**82.0 %**<!-- claim: card:stsb -->|", (1, 1, 0), []),
    "no result by its looks": ("markdown", "0.5<!-- claim: card:low -->, not 0.4", (0, 0, 0), []),
    "thousands": ("markdown", "1,379<!-- claim: card:pairs --> pairs", (1, 1, 0), []),
    "several on a line": ("markdown", "82.0 of 1,379<!-- claim: card:stsb, card:pairs -->", (2, 2, 0), []),
    "one after the other": ("markdown", "82.03<!-- claim: card:stsb -->1,379<!--claim: card:pairs-->", (2, 2, 0), []),
    "own ledger": ("markdown", "0.25<!-- claim: mine -->", (1, 1, 0), []),
    "unknown": (
        "markdown",
        "82.03<!-- claim: card:nothing --> 0.55<!-- claim: nobody:x -->",
        (2, 2, 0),
        ["claim-unbound 1:6 card:nothing None None", "claim-unbound 1:39 nobody:x None None"],
    ),
    "another number": (
        "markdown",
        "text\n82.04<!-- claim: card:stsb -->",
        (1, 1, 0),
        ["claim-stale 2:1 card:stsb 82.03246731235654 82.04"],
    ),
    "more digits than the claim": (
        "markdown",
        "0.50<!-- claim: card:low -->",
        (1, 1, 0),
        ["claim-stale 1:1 card:low 0.5 0.50"],
    ),
    "no number": ("markdown", "none<!-- claim: card:stsb -->", (0, 0, 0), ["claim-stale 1:5 card:stsb 82.03246731235654 None"]),
    "text": ("text", "82.03 [claim: card:stsb] and 0.61 [example]", (2, 1, 1), []),
    "in code": ("markdown", "`82.03<!-- claim: no:no -->`", (0, 0, 0), []),
    "LaTeX": ("latex", r"\claim{card:stsb}{82.03\%} of \claim{card:pairs}{$1{,}379$} \claim{card:low}{0.5}", (2, 2, 0), []),
    "LaTeX macros": (
        "latex",
        r"\claim{card:stsb} or \aqeaclaim{card:0.55}",
        (0, 0, 0),
        ["claim-unbound 1:22 card:0.55 None None"],
    ),
    "macros of the export": (
        "latex",
        r"\newcommand{\best}{\aqeaCardStsb} reaches \aqeaCardLow{}, \aqeaCardNope and 0.5 \aqeaCardStsb % claim: card:low",
        (0, 0, 0),
        ["claim-unbound 1:59 \\aqeaCardNope None None"],
    ),
    "where the export sets them": ("latex", r"\aqea@set{card:old}{\aqeaCardOld}{0.55} % holds", (0, 0, 0), []),
    "LaTeX comment": ("latex", "from 0.61 to 82.03 % claim: card:stsb", (2, 1, 0), ["claim-unbound 1:6 None None None"]),
    "LaTeX comment, several": ("latex", "82.03 of 1,379 % claim: card:stsb card:pairs", (2, 2, 0), []),
    "LaTeX, unknown": ("latex", r"\claim{card:x}{0.55}", (1, 1, 0), ["claim-unbound 1:1 card:x None None"]),
    "example": (
        "markdown",
        "0.55<!-- example --> 0.56\n0.57",
        (3, 0, 1),
        ["claim-unbound 1:22 None None None", "claim-unbound 2:1 None None None"],
    ),
    "examples": (
        "markdown",
        "<!-- examples -->\n0.55\n\n0.56\n<!-- /examples -->\n0.57",
        (3, 0, 2),
        ["claim-unbound 6:1 None None None"],
    ),
    "examples without an end": (
        "markdown",
        "0.55<!-- example -->\n<!-- examples -->",
        (1, 0, 1),
        ["malformed 2:1 None None None"],
    ),
    "LaTeX examples": ("latex", "0.55 % example\n% examples\n0.56\n% end examples\n", (2, 0, 2), []),
}


@pytest.mark.parametrize("name", MARKERS)
def test_markers(name: str) -> None:
    kind, text, counts, faults = MARKERS[name]
    found = bound(text, {**CARD, "own": ledger(claim("mine", "0.25", 1))} if "mine" in text else CARD, kind=kind)
    assert (told(found), (found.results, found.bound, found.examples)) == (faults, counts)


@pytest.mark.parametrize(
    ("kind", "text", "near"),
    [
        ("latex", r"\aqeaCardStbs", "; did you mean 'aqeaCardStsb'?"),
        ("latex", r"\claim{card:pair}", "; did you mean 'card:pairs'?"),
        ("markdown", "0.55<!-- claim: crad:low -->", "; did you mean 'card:low'?"),
        ("markdown", "0.55<!-- claim: nothing -->", ""),
    ],
)
def test_an_unknown_macro_or_marker_gets_a_suggestion(kind: Kind, text: str, near: str) -> None:
    (fault,) = bound(text, CARD, kind=kind).faults
    assert fault.message.endswith(f"and no ledger has such a claim{near}")


def test_a_ledger_binds_the_numbers_at_its_lines() -> None:
    text = "0.55 and 0.55\n0.61 and 5879 (D384)\n\n0.7 0.81"
    own = ledger(
        claim("a", "0.55", 1),
        claim("b", "0.55", 1),
        claim("ocr", "58.79", 2, printed="5879", ocr="the point is lost"),
        claim("name", "D384", 2, unit="text"),
        claim("anywhere", "0.61"),
        claim("unread", None, 3, ocr="illegible"),  # type: ignore[arg-type]
    )
    found = bound(text, {"own": own})
    assert told(found) == ["claim-unbound 4:5 None None None"]
    assert found.lines["own"] == {"a": 1, "b": 1, "ocr": 2, "name": 2, "anywhere": 2}
    moved = bound("0.61\n", {"own": ledger(claim("a", "0.61", 2), claim("b", "0.7", 1), claim("c", "0.6", 1))})
    assert told(moved) == [
        "claim-stale 1:1 own:b 0.7 None",
        "claim-stale 1:1 own:c 0.6 None",
        "claim-stale 2:1 own:a 0.61 None",
    ]


def test_the_claims_of_a_changed_document_are_found_where_they_are_now() -> None:
    own = ledger(*(claim(f"c{number}", "0.55", number) for number in range(1, 6)), claim("d", "0.61", 6), claim("e", "0.62", 7))
    text = "new\n\n0.55\n0.55\n0.55\n0.55\n0.55\n0.61\n"
    found = bound(text, {"own": own}, same=False)
    assert found.lines["own"] == {"c1": 3, "c2": 4, "c3": 5, "c4": 6, "c5": 7, "d": 8}
    assert told(found) == ["claim-stale 7:1 own:e 0.62 None"]


TABLE = "|set|MRR|\n|-|-|\n|ours|33.4|\n|theirs|31.0|\n\n"
SENTENCE = "On the web questions MRR is 33.4<!-- claim: cell -->.\n"
CELL = {"own": ledger(claim("cell", "33.4", 3), claim("other", "31.0", 4))}
REPEATED: dict[str, tuple[str, bool, dict[str, int], list[str]]] = {
    "behind its cell": (f"{TABLE}{SENTENCE}", True, {"cell": 3, "other": 4}, []),
    "twice": (f"{TABLE}{SENTENCE}{SENTENCE}", True, {"cell": 3, "other": 4}, []),
    "moved": (f"a\n\n{TABLE}{SENTENCE}", False, {"cell": 5, "other": 6}, []),
    "before its cell, moved": (f"a\n\n{SENTENCE}\n{TABLE}", False, {"cell": 7, "other": 8}, []),
    "rounded": (f"{TABLE}Some 33<!-- claim: own:cell --> now.\n", False, {"cell": 3, "other": 4}, []),
    "the cell has another number now": (
        f"{TABLE}{SENTENCE}".replace("|33.4", "|33.9"),
        False,
        {"cell": 6, "other": 4},
        ["claim-unbound 3:7 None None None"],
    ),
    "the sentence has another number now": (
        f"{TABLE}{SENTENCE}".replace("is 33.4", "is 33.9"),
        False,
        {"cell": 3, "other": 4},
        ["claim-stale 6:29 cell 33.4 33.9"],
    ),
    "the cell is gone": (f"{SENTENCE}\n{TABLE.replace('|ours|33.4|', '')}", False, {"cell": 1, "other": 6}, []),
}


@pytest.mark.parametrize("name", REPEATED)
def test_a_claim_that_a_marker_repeats_still_binds_its_own_place(name: str) -> None:
    text, same, lines, faults = REPEATED[name]
    found = bound(text, CELL, same=same)
    assert (told(found), found.lines["own"]) == (faults, lines)


@pytest.mark.parametrize(
    ("text", "value", "unit", "same"),
    [
        ("0.55", "0.5511847299891162", "fraction", True),
        ("0.551", "0.5511847299891162", "fraction", True),
        ("0.56", "0.5511847299891162", "fraction", False),
        ("55", "0.55", "fraction", False),
        ("1{,}379", "1379", "count", True),
        ("1,400", "1379", "count", False),
        ("0.550", "0.55", "fraction", False),
        ("12", "twelve", "text", False),
    ],
)
def test_a_number_may_say_less_than_its_claim_and_never_more(text: str, value: str, unit: str, same: bool) -> None:
    assert matches(NumberSpan(text, 0, len(text), len(text), None), claim("a", value, unit=unit)) is same


LARGE: dict[str, tuple[Kind, str]] = {
    "numbers": ("markdown", "0.55 is 1,379 of "),
    "numbers, text": ("text", "0.55 is 1,379 of "),
    "digits": ("markdown", "1"),
    "letters": ("markdown", "a"),
    "spaces": ("markdown", " "),
    "backticks": ("markdown", "` `` ``` "),
    "open comments": ("markdown", "<!-- "),
    "open links": ("markdown", "](a "),
    "open tags": ("markdown", "<a b='c "),
    "pipes": ("markdown", "|0.5"),
    "lines of pipes": ("markdown", "|0.5|\n|-|\n"),
    "points": ("text", "1.2."),
    "thousands": ("text", ",123"),
    "rows": ("text", "a 1 2\n"),
    "backslashes": ("latex", "\\"),
    "open commands": ("latex", "\\ref{ \\cite[ "),
    "open environments": ("latex", "\\begin{tabular}{ \\begin{verbatim} "),
    "open verbs": ("latex", "\\verb|\\verb! "),
    "cells": ("latex", "\\begin{tabular} & 0.5 \\\\ "),
}


LARGE |= {
    "a page": (
        "markdown",
        "The accuracy on both sets was 91, with a dropout of 0.15 and `x`. <!-- example -->\n\n"
        "| m | F1 | 8.84M |\n|---|---|---|\n| a | **71.2** ± 0.4 | 67M |\n\n"
        "<table><tr><td>a</td><td>71,5</td></tr></table>\n\n",
    ),
    "a paper": (
        "latex",
        "\\rho rises to $71.2\\pm0.4$ \\cite{a} % b\n\\begin{tabular}{l} a & 71 \\\\ b & 7.1 \\end{tabular}\n",
    ),
    "a leaderboard": ("csv", '1,"a, b",71.2,0.55\n'),
    "metrics": ("text", "accuracy of the "),
    "metrics and verbs": ("text", "accuracy is to "),
    "settings": ("text", "temperature of 0.55, "),
    "rows of cells": ("markdown", "<tr><td rowspan=2>5<td colspan=999>"),
    "colons": ("text", "://"),
    "footnotes": ("markdown", "5[1]"),
}


@pytest.mark.parametrize("name", LARGE)
def test_time_grows_with_a_document_and_not_with_its_square(name: str) -> None:
    """Up to a fifth of a megabyte, some of it in one line."""
    kind, unit = LARGE[name]
    own = {"own": ledger(*(claim(f"c{number}", f"0.{number}", number + 1) for number in range(100)))}

    def work(size: int) -> Callable[[], object]:
        text = unit * (size // len(unit))
        return lambda: bound(text, own, kind=kind)

    assert_linear(work, 100_000)
