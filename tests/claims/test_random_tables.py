"""Tables of a known content, written as people write them: nothing is lost, invented or stale, whatever the decoration."""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from aqea_registry.claims.import_claims import import_claims
from aqea_registry.claims.ledger import parse_ledger
from aqea_registry.claims.lint_claims import bind
from aqea_registry.documents.numbers import scan
from aqea_registry.documents.prose import kind_of
from aqea_registry.project.project import Project, open_project
from tests import sampling
from tests.tools import ROOT

ROWS = ("alpha", "beta", "delta", "bge-m3", "MiniLM-L6", "émile", "T5 XXL", "mpnet")
COLUMNS = ("en", "de", "Spearman", "Ret (%)", "XQuAD", "zh-CN", "Pairs")

# Cells: numbers stand in the places of A, B and C; those behind @ are left out and reported. Between ¦ and lines.
ANY = """A¦A %¦A%¦(A)¦A ± B¦A±B¦A +- B¦A +/- B¦A (B)¦A(B)¦A / B¦A/B¦A → B¦A->B¦A [B, C]¦A [B,C]¦A [B–C]¦A (±B)¦A†¦A ‡
A*¦A²¦A¹ ²¦A§¦~A¦≈ A¦↑A¦A ↓¦A (+B)¦A (-B)¦A (↑B)¦+A¦-A¦−A¦–A¦A–B¦A to B¦A vs. B¦A; B¦A B¦A, B¦Ax¦A×¦A ms¦A pp¦>A¦≥ A¦<A
A ± B (C)¦A ± B / C ± B¦A ᵃ¦A (a)¦A [1]¦🥇 A¦A 🥈¦A₁¦A⁽¹⁾¦A €¦Δ A¦A and B¦A points¦A%±B%¦×A¦A GB/s¦A it/s"""
MARKDOWN = r"""**A**¦*A*¦__A__¦_A_¦`A`¦***A***¦**A** ± B¦**A** (B)¦A[^1]¦**A**[^note]¦A<sup>2</sup>¦A<sup>a</sup>
**A**<sup>1,2</sup>¦A<sub>±B</sub>¦A<sub>B</sub>¦A [2](#n)¦A[2](#n)¦[A](https://x.org/5.5)¦A<a href="#n">2</a>¦~~B~~ A@B
~B~ A@B¦<del>B</del>A@B¦<s>B</s> A@B¦~~A~~@A¦<span style="display:none">B</span>A@B¦<span hidden>B</span> A@B
<span style="color:red">A</span>¦<!-- 9.5 -->A¦A<!-- 9.5 -->¦A&nbsp;¦A&nbsp;%¦A&plusmn;B¦&asymp;A¦&minus;A¦A&dagger;¦A\*
\~A¦A<br>B¦A<br/>(B)¦$A$¦$A \pm B$¦$A\pm B$¦$A_{\pm B}$¦$\mathbf{A}$¦A \| B¦<b>A</b>¦**A**%¦A <small>B</small>
![](a-1.png) A¦A <sup>(+B)</sup>¦A<sup>↑B</sup>¦<kbd>A</kbd>¦**A**<br>*B*¦A&#8224;¦A\%"""
HTML = """<b>A</b>¦<strong>A</strong> &plusmn; B¦A<sup>2</sup>¦A<sup>†</sup>¦<b>A</b><sup>1</sup>¦A<sub>B</sub>
A<a href=#n>2</a>¦<del>B</del>A@B¦<s>B</s> A@B¦<span style='display: none'>B</span>A@B¦<p>A</p>¦<p>A</p><p>B</p>¦A<br>B
A<br>± B¦A&nbsp;%¦&minus;A¦<font color=red>A</font>¦<div class=x>A</div>¦<!-- 9.5 -->A¦A<script>9.5</script>
<span title="9.5 > 3">A</span>¦<i>A</i> (<i>B</i>)¦<code>A</code>¦<small>A</small>¦A&thinsp;±&thinsp;B
<span hidden>B</span> A@B¦<mark>A</mark>¦&#8593;A¦<b>A</b>&nbsp;<b>(B)</b>"""
LATEX = r"""\textbf{A}¦{\bf A}¦\bfseries A¦\underline{A}¦\textbf{\underline{A}}¦\textbf{A} $\pm$ B¦$A\pm B$¦$A \pm B$
$A_{\pm B}$¦$A_{B}$¦A\textsubscript{B}¦A {\small $\pm$ B}¦A{\scriptsize$\pm$B}¦A$^{*}$¦A$^1$¦A\textsuperscript{a}
A\tnote{a}¦A\footnotemark[2]¦$A^\dagger$¦A$^{\ddagger}$¦\cellcolor{gray!20}A¦\cellcolor[HTML]{D9EAD3}A
\textcolor{red}{A}¦{\color{red}A}¦\num{A}¦\SI{A}{\percent}¦A\,\%¦A~\%¦A\%¦$-$A¦$-A$¦--A¦A $\to$ B¦$\uparrow$A
A ($\uparrow$B)¦A--B¦$\approx$A¦\textasciitilde A¦\phantom{0}A¦\multicolumn{1}{c}{A}¦\multirow{1}{*}{A}¦\sout{B} A@B
\st{B}\,A@B¦A \cite{a2020}¦\makecell{A \\ B}¦\makecell{A\\(B)}¦\best{A}¦\best {A}¦\pms{A}{B}¦\res{A}¦\res[B / ]{A}
\gain{A}¦\two{A}{B}¦\long{A}¦\alias{A}¦A\quad(B)¦A\hspace{2pt}¦A\,$\pm$\,B¦{A}¦\makebox[2em]{A}¦$\mathbf{A}$
\ensuremath{A}¦A\dag¦\rlap{A}¦$\times$A¦\best{\res{A}}¦\verb|A|¦A\footnote{of 3 runs}¦\SI{A}{\milli\second}
\href{https://x.org/5.5}{A}"""
MACROS = r"""\newcommand{\best}[1]{\textbf{\textcolor[HTML]{0000FF}{#1}}}
\newcommand{\pms}[2]{#1\,{\scriptsize$\pm$#2}}
\newcommand{\res}[2][]{#1\textbf{#2}}
\newcommand\gain[2][green]{\textcolor{#1}{#2}}
\def\two#1#2{#1 (#2)}
\newcommand*{\long}[1]{\begingroup\setlength{\fboxsep}{1pt}\colorbox[HTML]{FFFFCC}{\rule[-0.3ex]{0pt}{1.8ex}\textbf{\textsf{#1}}}%
\setlength{\fboxsep}{3pt}\relax\relax\relax\relax\relax\relax\relax\relax\relax\relax\relax\relax\relax\relax\relax\relax\endgroup}
\let\alias\best
"""
PLACE = re.compile(r"(?<![A-Za-z\\])[ABC](?![A-Za-z])")
LOWERED = re.compile(r"(?:<sub>|_\{|subscript\{)B")
WIDE = {ord(digit): chr(ord(digit) + 0xFEE0) for digit in "0123456789"}
MINUS = re.compile(r"(?<![A-C+/\d-])(?:[-−–]|--|\$-\$|&minus;)$")


class Content(NamedTuple):
    """A cell: its source, the numbers that a reader sees, those that are crossed out or hidden; whether each can be read."""

    source: str
    values: tuple[str, ...]
    out: tuple[str, ...]
    sure: bool


def cell(random: Random, templates: Sequence[str]) -> Content:
    template, _, out = random.choice(templates).partition("@")
    sure = "B,C" in template or random.random() < 0.7
    numbers = {letter: decimal(random) if sure else number(random) for letter in "ABC"}
    while LOWERED.search(template) and len(numbers["B"][1]) == 1:  # which is the mark of a footnote there
        numbers["B"] = number(random)
    values = []
    for place in PLACE.finditer(template):
        before = template[: place.start()]
        sign = "-" if MINUS.search(before) else "+" * (before[-1:] == "+")
        values.append((place[0], sign + numbers[place[0]][1]))
    source = PLACE.sub(lambda place: numbers[place[0]][0], template)
    seen = tuple(value for letter, value in values if letter not in out)
    return Content(source, seen, tuple(numbers[letter][1] for letter in out), sure)


def decimal(random: Random) -> tuple[str, str]:
    digits = random.randint(1, 4)
    text = f"{random.randint(1, 99)}.{random.randint(0, 10**digits - 1):0{digits}d}"
    return text, text


def number(random: Random) -> tuple[str, str]:
    """A number of another kind as it is spelled, and its value."""
    whole, thousands = str(random.randint(2, 999)), f"{random.randint(0, 999):03d}"
    kinds = [
        (f".{thousands}", f".{thousands}"),
        (f"0.{thousands}", f"0.{thousands}"),
        (whole, whole),
        (f"{whole},{thousands}",) * 2,
    ]
    kinds += [(f"{whole}{mark}{thousands}", f"{whole}{thousands}") for mark in "'’\u2009\u202f"]
    kinds += [(f"{whole}M", whole), (f"{whole}k", f"{whole}000"), (f"{whole}.5B", f"{whole}.5"), (f"{whole}MB", f"{whole}e6")]
    kinds += [(whole.translate(WIDE), whole), (f"{whole}.{thousands}e-3",) * 2]
    return random.choice(kinds)


Table = list[list[Content]]


def markdown(random: Random, rows: Sequence[str], columns: Sequence[str], table: Table) -> tuple[str, str]:
    before, edge = random.choice(["", "> ", "  ", "- "]), random.choice(["|", ""])
    lines = [["model", *columns], [random.choice(["---", ":-:", "--:"]) for _ in range(len(columns) + 1)]]
    lines += [[name, *(content.source for content in row)] for name, row in zip(rows, table, strict=True)]
    text = [
        before.replace("-", " " if n else "-") + f"{edge} {' | '.join(line)} {edge}".rstrip() for n, line in enumerate(lines)
    ]
    return "card.md", "# Scores\n\n" + "\n".join(text) + "\n\nText behind it.\n"


def html(random: Random, rows: Sequence[str], columns: Sequence[str], table: Table) -> tuple[str, str]:
    close, line = random.choice([True, False]), random.choice(["\n", ""])
    ends = ("</td>", "</th>", "</tr>") if close else ("", "", "")
    head = "<tr>" + "".join(f"<th>{label}{ends[1]}" for label in ("model", *columns)) + ends[2]
    head = f"<thead>{head}</thead><tbody>" if random.random() < 0.5 else head
    body = [
        f"<tr><td>{name}{ends[0]}" + "".join(f"{line}<td>{content.source}{ends[0]}" for content in row) + ends[2]
        for name, row in zip(rows, table, strict=True)
    ]
    text = f"<h2>Scores</h2>\n<table>\n{head}\n<!-- <tr><td>old<td>9.5</tr> -->{chr(10).join(body)}\n</table>\n"
    return random.choice(["card.html", "page.md"]), text


def latex(random: Random, rows: Sequence[str], columns: Sequence[str], table: Table) -> tuple[str, str]:
    name, argument = random.choice([("tabular", ""), ("tabularx", "{\\linewidth}"), ("longtable", ""), ("tabular*", "{5cm}")])
    rules = random.choice([("\\toprule", "\\midrule", "\\bottomrule"), ("\\hline", "\\hline", "\\hline")])
    end = random.choice([r" \\", r" \\[2pt]", r"\\ % 9.5", r" \tabularnewline"])
    labels = [label.replace("%", r"\%") for label in ("model", *columns)]
    body = [
        f"{row_name} & {' & '.join(content.source for content in row)}{end}" for row_name, row in zip(rows, table, strict=True)
    ]
    body[0] = random.choice(["", "\\rowcolor{gray!10} ", "\\cmidrule(lr){2-3} "]) + body[0]
    lines = [f"\\begin{{{name}}}{argument}{{l{'S' * len(columns)}}}", rules[0], f"{' & '.join(labels)} {end}", rules[1], *body]
    text = "\n".join([*lines, rules[2], f"\\end{{{name}}}"])
    return (
        "paper.tex",
        f"\\documentclass{{article}}\n{MACROS}\\begin{{document}}\n\\section{{Scores}}\n{text}\n\\end{{document}}\n",
    )


def csv(random: Random, rows: Sequence[str], columns: Sequence[str], table: Table) -> tuple[str, str]:
    delimiter, newline = random.choice([",", ";", "\t"]), random.choice(["\n", "\r\n"])

    def field(text: str) -> str:
        return f'"{text}"' if delimiter in text or random.random() < 0.2 else text

    lines = [["model", *columns]] + [
        [name, *(content.source for content in row)] for name, row in zip(rows, table, strict=True)
    ]
    text = newline.join(delimiter.join(map(field, line)) for line in lines) + newline
    return "Scores.csv", random.choice(["", "\ufeff"]) + text


FORMATS: dict[str, tuple[Callable[..., tuple[str, str]], str]] = {
    "markdown": (markdown, f"{ANY}\n{MARKDOWN}"),
    "html": (html, f"{ANY.replace('<A', '&lt;A').replace('>A', '&gt;A').replace('->B', '-&gt;B')}\n{HTML}"),
    "latex": (latex, f"A¦A%\n{LATEX}".replace("A%", r"A\%") + "\n" + re.sub("[%€]", r"\\\g<0>", ANY).replace("\\€", "€")),
    "csv": (csv, ANY),
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return open_project(tmp_path)


def made(seed: str, name: str) -> tuple[str, str, dict[tuple[str, str], Content]]:
    """A document: its name, its text, and its cells by row and column."""
    random = Random(seed)
    write, texts = FORMATS[name]
    templates = re.split("[¦\n]", texts)
    rows, columns = (random.sample(labels, random.randint(2, 4)) for labels in (ROWS, COLUMNS))
    table = [[cell(random, templates) for _ in columns] for _ in rows]
    file, text = write(random, rows, columns, table)
    cells = {(row, column): table[r][c] for r, row in enumerate(rows) for c, column in enumerate(columns)}
    return file, text, cells


def faults(project: Project, seed: str, name: str) -> list[str]:
    """What an import of the document of this seed gets wrong."""
    file, text, cells = made(seed, name)
    path = project.root / file
    path.write_bytes(text.encode())
    shutil.rmtree(project.root / "manifests", ignore_errors=True)
    imported = import_claims(project, path)
    content = (project.root / imported.ledger).read_bytes()
    ledger, _ = parse_ledger(content, "card")
    assert ledger is not None
    found: dict[tuple[str | None, str | None], list[str]] = {}
    for claim in ledger.claims:
        found.setdefault((claim.at.row, claim.at.column), []).append(claim.value or "")
    left = re.sub("[^0-9.|]", "", unicodedata.normalize("NFKC", "|".join(entry.text for entry in imported.left_out)))
    doubted = any(entry.reason == "points between thousands?" for entry in imported.left_out)
    read = {place: tuple(found.pop(place, ())) for place in cells}
    wrong = [
        f"{content.source!r} gave {read[place]}"
        for place, content in cells.items()
        if read[place] != content.values
        and ((content.sure and not doubted) or read[place] or not all(is_in(value, left) for value in content.values))
    ]
    wrong += [
        f"{value} of {content.source!r} is not reported"
        for content in cells.values()
        for value in content.out
        if not is_in(value, left)
    ]
    wrong += [f"nothing has {place}: {values}" for place, values in found.items()]
    wrong += ["importing again changed the ledger"] * import_claims(project, path).written
    text = text.removeprefix("\ufeff")
    bound = bind(text, scan(text, kind_of(path.suffix, text)), {"card": ledger}, {"card": True})
    return wrong + [fault.message for fault in bound.faults if fault.code == "claim-stale"]


def is_in(value: str, left: str) -> bool:
    """Whether what was left out has the digits of a value."""
    return re.sub(r"e6$|000$|[^0-9.]", "", value) in left


@pytest.mark.parametrize("name", FORMATS)
def test_every_number_of_a_table_is_imported_and_found_again(project: Project, name: str) -> None:
    for n in range(sampling.times(2500, 40)):
        seed = f"{sampling.seed(name)} {n}"
        assert faults(project, seed, name) == [], made(seed, name)[1]
