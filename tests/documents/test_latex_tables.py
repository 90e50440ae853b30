"""Tables of LaTeX as papers have them: merged cells, rules, macros, captions, and what must not hurt."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.documents.latex_tables import MOST_MARKUP, latex_tables
from aqea_registry.documents.tables import Table, ragged_rows
from tests.growth import assert_linear

PAPER = r"""\documentclass{article}
\newcommand{\ours}{\textsc{Ours}\xspace}
\newcommand\best[1]{\textbf{#1}}
\newcommand{\std}[2]{#1$_{\pm#2}$}
\def\low{\ours\textsubscript{low}}
\begin{document}
\section{Experiments}
% \begin{tabular}{lc} a & 1 \\ \end{tabular}
\begin{table*}[t]
\centering
\resizebox{\textwidth}{!}{%
\begin{tabular}{@{}l c *{2}{c}@{\hskip 1em}c@{}}
\toprule
\multirow{2}{*}{\textbf{Model}} & \multicolumn{2}{c}{Nouns} & \multicolumn{2}{c|}{Verbs} \\
\cmidrule(lr){2-3} \cmidrule(lr){4-5}
 & de & fr & de$^\uparrow$ & \makecell{fr\\(dev)} \\
\midrule
\multicolumn{5}{l}{\textit{With \& without}} \\
\ours & \textbf{71.5}$^\dagger$ & $68.4_{\pm 0.3}$ & 50.1\,\% & \best{44.2} \\[2pt]
BERT~\cite{bert} & \std{61.5}{0.2}\footnotemark[1] & $58.4^{2}$ & \underline{40.1} & \cellcolor{gray!20} 34.2 \\ % 33.1
\low{} x\_y & -- & {\bf 60.1} & 1{,}234 & $7\times10^{-3}$ \\
\bottomrule
\end{tabular}}
\caption[short]{Scores of nouns and \textbf{verbs}. Best in bold.}
\label{tab:main}
\end{table*}
\end{document}
\begin{tabular}{lc} a & 1 \\ \end{tabular}
"""


def read(text: str) -> list[Table]:
    """The tables of a LaTeX text, in which nothing is wrong."""
    tables = latex_tables(text, "paper.tex")
    assert ragged_rows(tables, "paper.tex") == []
    return tables


def rows(table: Table) -> list[str]:
    return ["|".join(cell.text for cell in row.cells) for row in table.rows]


def test_a_table_of_a_paper_is_read_as_it_is_printed() -> None:
    (table,) = read(PAPER)
    assert (table.name, table.key, table.ragged) == ("Scores of nouns and verbs", 0, ())
    assert table.columns == ("Model", "Nouns de", "Nouns fr", "Verbs de↑", "Verbs fr (dev)")
    assert rows(table)[1:] == [
        "Ours|71.5|68.4 ± 0.3|50.1 %|44.2",
        "BERT|61.5 ±0.2|58.4|40.1|34.2",
        "Ours low x_y|–|60.1|1,234|7×10^-3",
    ]
    assert [row.cells[1].marks for row in table.rows[1:3]] == [("†",), ("1",)]
    best = table.rows[1].cells[4]
    lines = PAPER.split("\n")
    assert (PAPER[best.start : best.end], lines[best.line - 1][:5], lines[table.rows[1].line - 1]) == (
        r"\best{44.2}",
        r"\ours",
        lines[best.line - 1],
    )


@pytest.mark.parametrize(
    ("body", "columns", "expected"),
    [
        (r"A & B \\ \hline x & 1 \\ \hline y & 2 \\ \hline", "A|B", ["x|1", "y|2"]),
        (r"\hline A & B \\ x & 1 \\ \tabularnewline y & 2 \tabularnewline", "A|B", ["x|1", "y|2"]),
        (r"x & 1.5 \\ y & 2.5 \\", "|", ["x|1.5", "y|2.5"]),
        (r"k & 1 & 10 \\ \midrule x & 3 & 4 \\ \midrule y & 5 & 6 \\", "k|1|10", ["x|3|4", "y|5|6"]),
        (r"& N & & V & \\ & de & fr & de & fr \\ x & 1 & 2 & 3 & 4 \\", "|N de|N fr|V de|V fr", ["x|1|2|3|4"]),
        (r"M & V & S \\ \midrule \multirow{2}{*}{x} & a & 1 \\ & b & 2 \\", "M|V|S", ["x|x a|1", "x|x b|2"]),
        (r"M & V & S \\ \midrule & a & 1 \\ \multirow{-2}{*}{x} & b & 2 \\", "M|V|S", ["x|x a|1", "x|x b|2"]),
        (r"\multicolumn{2}{c}{All} \\ \midrule M & S \\ \midrule x & 1 \\", "M|S", ["x|1"]),
        (r"M & S \\ \midrule x & \multicolumn{1}{c}{\textcolor{red}{1}} \\", "M|S", ["x|1"]),
        (r"M & S & T \\ \midrule x & \multicolumn{2}{c}{1.5} \\", "M|S|T", ["x|1.5|1.5"]),
        (r"M & S & T \\ \midrule \texttt{x} & \texttt{1.5} & \textsf{\mbox{2.5}} \\", "M|S|T", ["x|1.5|2.5"]),
        (r"M & S & T \\ \midrule x & 1 \\ y & 2 & 3 & \\", "M|S|T", ["x|1|", "y|2|3"]),
        (r"M & \begin{tabular}[c]{@{}c@{}}R\\(dev)\end{tabular} \\ \midrule x & 1 \\", "M|R (dev)", ["x|1"]),
        (r"M & S \\ \midrule x & \sout{1.2} 1.5 \\ y & $\cancel{2}$ \textbf{3}", "M|S", ["x|1.5", "y|3"]),
        (r"M & S \\ \midrule x & \no{1.5}{0.5} \\ y & $\mathcal{3}$ \\", "M|S", ["x|1.5 0.5", "y|3"]),
        (r"M & S \\ \midrule x & 71.5\no{0.3} \\ y & 7\textbf{0.3}\\ z & 1{,}2", "M|S", ["x|71.5 0.3", "y|7 0.3", "z|1,2"]),
        (r"\rowcolor{gray} M & \rotatebox{9}{S} \\ \hline x & \SI{3}{s} \\ \cline{1-2} y & \num{4}", "M|S", ["x|3 s", "y|4"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["tabular", "tabularx"])
def test_rules_and_merged_cells_give_labels(name: str, body: str, columns: str, expected: list[str]) -> None:
    width = r"{\linewidth}" if name == "tabularx" else "[t]"
    (table,) = read(rf"\begin{{{name}}}{width}{{l|*{{3}}{{c}}@{{\hskip {{1em}}}}}}{body}\end{{{name}}}")
    assert ("|".join(table.columns), rows(table)) == (columns, expected)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (r"\textbf{\our}", "63.40"),
        (r"\best{\our}", "63.40"),
        (r"\emph{\best{\our}}", "63.40"),
        (r"\unknown{\our}", "63.40"),
        (r"\theirs", r"\theirs"),  # nobody knows what it prints
        (r"\textbf{\theirs{}}", r"\theirs"),
        (r"\input{numbers/theirs}", r"\input"),
        (r"\bfseries", ""),
        (r"\gain{63.4}", "63.4 ±0.5"),
        (r"\gain[0.7]{63.4}", "63.4 ±0.7"),
        (r"\two{63.4}{62.1}", "63.4 (62.1)"),
        (r"\opt{63.4}", "63.4"),
        (r"\opt[2]{\best{63.4}}", "63.4"),
        (r"\alias 6", "6"),
        (r"\strong{63.4}", "63.4"),
        (r"\loop", r"\loop"),
        (r"\iffalse 62.1 \fi 63.4", "63.4"),
        (r"\verb|63.4|", "63.4"),
        (r"6\!3.4", "63.4"),
        (r"\SI{335}{\mega\byte}", "335 MB"),
        (r"\cellcolor{gray}\ding{51}\quad", ""),
    ],
)
def test_a_macro_inside_another_is_read_and_one_that_is_not_defined_is_named(cell: str, expected: str) -> None:
    macros = (
        r"\newcommand{\our}{63.40}\newcommand{\best}[1]{\textbf{#1}}\newcommand*\gain[2][0.5]{#2 $\pm$#1}\def\two#1#2{#1 (#2)}"
    )
    macros += r"\NewDocumentCommand{\opt}{O{x} m}{\emph{#2}}\let\alias=\best\newcommand\loop{\loop}"
    macros += r"\DeclareRobustCommand{\strong}[1]{" + r"\relax" * 40 + r"\textbf{#1}}"
    (table,) = read(rf"{macros}\begin{{tabular}}{{lc}} M & S \\ \midrule \textbf{{x}} & {cell} \\ \end{{tabular}}")
    assert rows(table) == [f"x|{expected}"]


def test_an_array_with_labels_is_a_table_and_a_matrix_is_none() -> None:
    (table,) = read(r"\begin{array}{lc} \text{Model} & \text{S} \\ \text{ours} & 1.5 \\ \end{array}")
    assert rows(table) == ["ours|1.5"]
    assert read(r"\begin{array}{cc} 1 & 0 \\ 0 & 1 \end{array}") == []


SIMPLE = r"\begin{tabular}{lc} M & S \\ \midrule x & 1 \\ \end{tabular}"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (SIMPLE, [""]),
        (rf"\section{{One}} {SIMPLE} \subsection*{{\textbf{{Two}}}} {SIMPLE}", ["One", "Two"]),
        (rf"\section{{One}}\begin{{table}}\caption{{Two}}{SIMPLE}\end{{table}}{SIMPLE}", ["Two", "One"]),
        (rf"\begin{{table}}{SIMPLE}\caption{{Table 3: Two}}\end{{table}}", ["Table 3"]),
        (rf"\begin{{table}}\begin{{minipage}}{{1cm}}{SIMPLE}\end{{minipage}}\caption{{Two}}\end{{table}}", ["Two"]),
        (
            rf"\begin{{table}}\begin{{subtable}}{{1cm}}{SIMPLE}\caption{{Left}}\end{{subtable}}"
            rf"\begin{{subtable}}{{1cm}}{SIMPLE}\subcaption{{Right}}\end{{subtable}}\caption{{Both}}\end{{table}}",
            ["Left", "Right"],
        ),
        (r"\begin{longtable}{lc}\caption{Long}\label{t}\\ \toprule M & S \\ \midrule \endfirsthead M & S \\ \midrule \endhead"
         r"\multicolumn{2}{r}{more} \\ \endfoot x & 1 \\ \bottomrule\end{longtable}", ["Long"]),
    ],
)  # fmt: skip
def test_a_table_is_called_after_its_caption_or_section(text: str, names: list[str]) -> None:
    tables = read(text)
    assert [(table.name, table.columns, rows(table)) for table in tables] == [(name, ("M", "S"), ["x|1"]) for name in names]


def test_a_row_that_is_too_long_is_reported_with_its_line() -> None:
    (table,) = latex_tables("\\begin{tabular}{lc}\nM & S \\\\\nx & 1 & 2 \\\\\ny & 3 \\\\\n\\end{tabular}", "paper.tex")
    findings = ragged_rows([table], "paper.tex")
    assert ([(finding.subject, finding.actual) for finding in findings], rows(table)) == ([("paper.tex:3", "3 cells")], ["y|3"])


def table(cell: str) -> str:
    return r"\begin{tabular}{lc} M & S \\ x & " + cell + r"\\ \end{tabular}"


# What each is of n, and an n.
HOSTILE: dict[str, tuple[Callable[[int], str], int]] = {
    "no end": (lambda n: r"\begin{tabular}{lc} M & S \\ x & 1 \\" * n, 10_000),
    "braces": (lambda n: table("{" * n), 50_000),
    "braces in a cell": (lambda n: table("{" * n + "1" + "}" * n), 950),
    "wide": (lambda n: table(rf"\multicolumn{{{10**n}}}{{c}}{{\multirow{{{10**n}}}{{*}}{{1}}}}"), 3),
    "a macro of itself": (lambda n: r"\newcommand{\a}{\a\a\a\a\a\a\a\a}" + table(r"\a\a\a\a \\ x & " * n), 8),
    "captions": (lambda n: r"\begin{table}\caption{" * n, 5_000),
    "dollars": (lambda n: table("$" * (2 * n - 1)), 1_000),
    "percents": (lambda n: "%" * n + "\n" + r"\%" * n, 50_000),
    "environments": (lambda n: table(r"\begin{a}" * n), 200),
    "many tables": (lambda n: SIMPLE * n, 300),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_table_takes_no_more_time_than_any_other_of_its_size(name: str) -> None:
    make, n = HOSTILE[name]
    texts = {size: make(size) for size in (n, 2 * n)}
    assert_linear(lambda size: lambda: latex_tables(texts[size], "paper.tex"), n)


def test_more_markup_than_a_paper_has_is_refused() -> None:
    cells = "".join(rf"x & \textbf{{{'a' * n}}} \\ " for n in range(int((2 * MOST_MARKUP) ** 0.5)))
    with pytest.raises(BadConfiguration, match="more than"):
        latex_tables(rf"\begin{{tabular}}{{lc}} M & S \\ {cells}\end{{tabular}}", "paper.tex")


def test_reading_latex_grows_with_the_document() -> None:
    table = rf"\begin{{table}}\caption{{T}}{SIMPLE.replace('1', '$1_2$')}\end{{table}}" + "\n"
    assert_linear(lambda n: lambda: latex_tables(table * n, "paper.tex"), 300)


@pytest.mark.parametrize("name", [r"\multirow{2}{*}{x}", r"\SetCell[r=2,c=1]{c} x", r"\Block[draw]{2-1}{x}"])
def test_a_name_of_two_rows_is_of_both(name: str) -> None:
    (table,) = read(rf"\begin{{tblr}}{{llr}} m & s & S \\ \hline {name} & de & 71 \\ & fr & 61 \\ y & de & 51 \end{{tblr}}")
    assert rows(table) == ["x|x de|71", "x|x fr|61", "y|y de|51"]


@pytest.mark.parametrize("columns", ["l r@{.}l", "l*{1}{r@{$,$}l}", "lr!{.}l"])
def test_digits_in_two_columns_are_no_numbers(columns: str) -> None:
    text = rf"\begin{{tabular}}{{{columns}}} m & \multicolumn{{2}}{{c}}{{S}} \\ \hline a & 71&25 \\ b & 61&20 \end{{tabular}}"
    (table,) = latex_tables(text, "p.tex")
    assert (table.columns, table.rows, len(table.ragged)) == (("m", "S"), (), 2)
