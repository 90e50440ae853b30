"""Tables of LaTeX: rows and cells of `tabular` and its like, whose text is what pylatexenc makes of them. Pure.

`tabular_rows` splits rows itself, because pylatexenc parses some 60,000 characters in a second: only cells with markup go
through it, and of those that differ in digits one.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cache
from itertools import count
from typing import Any, NamedTuple

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.documents.prose import Span, blanked, latex_hidden, line_starts
from aqea_registry.documents.tables import (
    LEVEL,
    LOWERED,
    RAISED,
    STRUCK,
    UNSTRUCK,
    Placed,
    Table,
    cell_of,
    is_numeric,
    merged_table,
    name_below,
)

MOST_MARKUP = 60_000  # characters of cells with different markup
LONGEST_CELL = 4_000  # characters; a longer one is not read
MOST_CALLS = 40  # of macros in a cell, with those inside them
LONGEST_TITLE = 120

_FLOAT = r"(?:sub|wrap|sideways|threepart)?(?:table|figure)\*?|minipage"
_TABULAR = r"tabular[xy]?|tabulary|longtable|tblr|longtblr|tabu|longtabu|NiceTabular"
TABULAR = re.compile(rf"\\begin\{{(?P<name>(?:{_TABULAR})\*?)\}}")
_EVENT = re.compile(
    rf"\\(?P<edge>begin|end)\{{(?:{_FLOAT})\}}|(?P<table>\\begin\{{(?P<name>(?:{_TABULAR}|array)\*?)\}})"
    r"|\\(?P<words>(?:sub)?caption(?:of\s*\{table\})?|(?:sub)*section)\*?(?![A-Za-z])"
)
_CAPTION = re.compile(r"\\caption\*?(?![A-Za-z])")
_POINT = re.compile(r"[@!]\{\$?[.,]\$?\}")  # between two columns
_EDGE = re.compile(
    r"(?P<edge>&|\\\\\*?(?:[ \t]*\[[^\[\]\n]*\])?|\\(?:tabularnewline|cr)(?![A-Za-z]))"
    r"|\\(?P<way>begin|end)\{(?P<name>[A-Za-z]+\*?)\}|\\.|\{[^{}\\]*+\}|(?P<brace>[{}])",
    re.DOTALL,
)
_BRACE = re.compile(r"(\\(?:begin|end|caption|(?:sub)*section|(?:re)?newcommand|def)\b)|\\.|[{}]|[^\\{}]++", re.DOTALL)
_OPTION = re.compile(r"\s*\[[^\[\]]*\]")
_MACRO = re.compile(
    r"\\(?:(?:(?:re)?new|provide)command|(?:New|Renew|Provide|Declare)DocumentCommand|DeclareRobustCommand|[egx]?def|let)\*?\s*"
    r"\{?\s*\\(?P<name>[A-Za-z]+)\s*\}?\s*(?:\[(?P<count>\d)\]\s*(?:\[(?P<default>[^\[\]]*)\]\s*)?|(?P<hashes>(?:#\d)+)\s*"
    r"|\{(?P<kinds>(?:[mo\s]|O\{[^{}]*\})*)\}\s*(?=\{))?(?:(?=\{)|=?\s*(?P<other>\\[A-Za-z]+))"
)
_KIND = re.compile(r"m|o|O\{([^{}]*)\}")
_LETTER = re.compile(r"\s*(\\[A-Za-z]+|[^\s{}])")
_VERBATIM = re.compile(r"\\verb\*?([^A-Za-z\s*])(.*?)\1")
_NAMED = re.compile(r"\\([A-Za-z]+)")
_WORD = re.compile(r"[^\W\d_]{2}")
_RULE = re.compile(
    r"\s*\\(?:(toprule|midrule|bottomrule|[hH]line|hdashline|morecmidrules|end(?:first)?head|end(?:last)?foot)(?![A-Za-z])(?:\[[^\[\]]*\])?"
    r"|(specialrule|Xhline|hhline|cmidrule|cline|cdashline|addlinespace|rowcolor|arrayrulecolor|noalign|label|caption)\*?(?![A-Za-z])"
    r"(?:\s?(?:\([^()]*\)|\[[^\[\]]*\]|\{(?:[^{}]|\{[^{}]*\})*\}))*)"
)
_ENDS_HEADER = frozenset({"midrule", "hline", "Hline", "specialrule", "Xhline", "hhline"})
_REPEATED = frozenset({"endhead", "endfoot", "endlastfoot"})
_ACROSS = re.compile(r"\\multicolumn\s*\{\s*(\d{1,6})\s*\}")
_DOWN = re.compile(
    r"\\(?:multirow\s*(?:\[[^\[\]]*\])?\s*\{\s*|SetCell\s*\[[^\[\]]*\br=|Block\s*(?:\[[^\[\]]*\])?\s*\{)(-?\d{1,6})"
)
_MARKUP = re.compile(r"[\\{}$~^_`]|--")
_SCRIPT = re.compile(r"([\^_])(?:\s*\{([^{}]*)\}|\s*([^\s{}]))")
_LEVELS = {"^": RAISED, "_": LOWERED}
_UNDERSCORE = "\ue004"  # in the place of a printed one
_DIGITS, _FIRST, _HELD = re.compile("[0-9]+"), 0xE100, re.compile("[\ue100-\uf0ff]")  # what holds the place of digits
_JOINT = re.compile("(?<=[\ue100-\uf0ff])(?=[\ue100-\uf0ff])")

# Of macros that pylatexenc does not know: their arguments, and what of them is printed.
_NAMES: dict[str, tuple[str, str]] = {
    "multicolumn": ("{{{", "%(3)s"),
    "multirow": ("[{[{[{", "%(6)s"),
    "makecell thead shortstack Centerstack": ("*[{", "%(3)s"),
    "textsuperscript tnote": ("{", f"{RAISED}%s{LEVEL}"),
    "footnotemark": ("[", f"{RAISED}%s{LEVEL}"),
    "sout xout st cancel": ("{", f"{STRUCK}%s{UNSTRUCK}"),
    "textsubscript": ("{", f"{LOWERED}%s{LEVEL}"),
    "makebox framebox": ("[[{", "%(3)s"),
    "SI qty": ("[{{", "%(2)s %(3)s"),
    **{
        name: ("", letter)
        for name, letter in {"kilo": "k", "mega": "M", "giga": "G", "byte": "B", "milli": "m", "second": "s"}.items()
    },
    "num": ("[{", "%(2)s"),
    "rotatebox colorbox textcolor": ("[{{", "%(3)s"),
    "resizebox": ("*{{{", "%(4)s"),
    "scalebox": ("{[{", "%(3)s"),
    "raisebox": ("{[[{", "%(4)s"),
    "parbox": ("[[[{{", "%(5)s"),
    "href hyperlink adjustbox": ("{{", "%(2)s"),
    "diagbox": ("{{", "%(1)s %(2)s"),
    "mathbf mathit mathrm mathsf mathtt boldsymbol bm texttt textsf textmd textup mbox fbox": ("{", "%s"),
    "footnote tablefootnote cellcolor columncolor color": ("[{", ""),
    "cite citep citet citealp citealt citeauthor citeyear parencite textcite": ("*[[{", ""),
    "ref eqref cref Cref autoref label phantom hphantom vphantom ding": ("{", ""),
    "rule": ("[{{", ""),
    "SetCell": ("[{", ""),
    "Block": ("[{{", "%(3)s"),
    "xspace": ("", " "),
    "checkmark": ("", "✓"),
    "percent": ("", "%"),
    "_": ("", _UNDERSCORE),
    ",": ("", "\u2009"),
    "ddagger": ("", "‡"),
}

# Macros that print nothing, of which pylatexenc does not know.
_SILENT = """bfseries mdseries itshape slshape scshape upshape rmfamily sffamily ttfamily bf it sc tt rm sf tiny scriptsize
footnotesize small normalsize large Large LARGE huge Huge centering raggedright raggedleft arraybackslash hfill hfil hss vfill
strut noindent par relax unskip ignorespaces toprule midrule bottomrule displaystyle textstyle scriptstyle"""


class _Macro(NamedTuple):
    """A macro of the document: the default of each of its arguments, None where it must be given; what it stands for."""

    defaults: tuple[str | None, ...]
    body: str


class _LatexRow(NamedTuple):
    """A row: the rules above it, and where its cells are."""

    rules: frozenset[str]
    cells: list[tuple[int, int]]


def latex_tables(text: str, document: str) -> list[Table]:
    """The tables of a LaTeX text, each named after the caption of its `table`, else its section.

    Raises BadConfiguration for more than MOST_MARKUP characters of markup in cells.
    """
    source = visible(text)
    reader = _Latex(source, document)
    tables: list[Table] = []
    floats: list[tuple[list[int], list[str]]] = [([], [])]  # of each open one: its tables without a caption, its captions
    heading, done = "", 0
    for event in _EVENT.finditer(source):
        if event.start() < done:
            continue
        if event["edge"] == "begin":
            floats.append(([], []))
        elif event["edge"]:
            unnamed, captions = floats.pop() if len(floats) > 1 else ([], [])
            for n in unnamed if captions else ():
                tables[n] = tables[n]._replace(name=captions[0])
            floats[-1][0].extend(() if captions else unnamed)
        elif event["words"]:
            words = cell_of(reader.read(*_group(source, event.end()))).text
            if "section" in event["words"]:
                heading, floats = words, [([], [])]
            else:
                floats[-1][1].append(_title(words))
        else:
            start = event.end()  # of its arguments: its columns, and a width before them
            for _ in range(2 if event["name"].startswith(("tabular*", "tabularx", "tabulary")) else 1):
                start = _group(source, start)[1]
                start += source[start : start + 1] == "}"
            rows, done = tabular_rows(source, start, event["name"])
            caption = _CAPTION.search(source, event.end(), done)  # of a long table
            name = _title(cell_of(reader.read(*_group(source, caption.end()))).text) if caption else heading
            table = reader.table(rows, name)
            parted = len(_POINT.findall(source, event.end(), start))
            if table and parted:  # two cells for the digits of one number: none of them is a number
                table = table._replace(columns=table.columns[:-parted], rows=(), ragged=(*table.rows, *table.ragged))
            if table and (event["name"] != "array" or any(map(_WORD.search, (*table.columns, *table.texts(table.key))))):
                floats[-1][0].extend(() if caption else [len(tables)])
                tables.append(table)
    return tables


def tabular_rows(text: str, start: int, name: str) -> tuple[list[list[tuple[int, int]]], int]:
    """Where the cells of each row of a tabular stand, up to its end and where that is; the text's end if there is none."""
    rows: list[list[tuple[int, int]]] = [[]]
    depth = same = 0
    for token in _EDGE.finditer(text, start):
        kind = token.lastgroup
        if kind in ("brace", "name"):
            step = 1 if token[0] == "{" or token["way"] == "begin" else -1
            same += step if token["name"] == name else 0
            depth = max(0, depth + step)
        if same < 0 or (kind == "edge" and not depth):
            rows[-1].append((start, token.start()))
            start = token.end()
            if same < 0:
                return rows, start
            rows += [[]] if token[0] != "&" else []
    return [], len(text)


class _Latex:
    """Turns LaTeX into text that `cell_of` reads; macros of the document stand for what it says."""

    def __init__(self, source: str, document: str) -> None:
        self.source, self.document = source, document
        self.starts = line_starts(source)
        self.macros = {macro["name"]: _macro(source, macro) for macro in _MACRO.finditer(source)}
        self.known: dict[str, str] = {}
        self.left = MOST_MARKUP

    def table(self, edges: list[list[tuple[int, int]]], heading: str) -> Table | None:
        """The table of rows of cells, if it has any. A row of one cell over all columns above the header is its title."""
        rows = _without_rules(self.source, edges)
        found = [[self._placed(*cell) for cell in row.cells] for row in rows]
        placed = [(cells[0].cell.line, cells) for cells in found]
        name = heading
        while len(rows) > 2 and len(rows[0].cells) == 1 < len(rows[1].cells):
            name = name_below(heading, placed[0][1][0].cell.text, certain=True)
            del rows[0], placed[0]
        heads = _heads(rows, placed)
        return merged_table(name, placed, heads, self.document, held=True) if len(rows) > heads else None

    def read(self, start: int, end: int) -> str:
        """The text of a part of the document."""
        latex = re.sub("[\ue000-\uf8ff]", " ", self.source[start:end].strip()).replace("\\!", "")
        latex = _VERBATIM.sub(r"\2", latex)
        if not _MARKUP.search(latex) or len(latex) > LONGEST_CELL:
            return latex
        for _ in range(MOST_CALLS if self.macros else 0):
            if (call := next((named for named in _NAMED.finditer(latex) if named[1] in self.macros), None)) is None:
                break
            latex = self._called(latex, call)[:LONGEST_CELL]
        numbers, places = _DIGITS.findall(latex), count(_FIRST)
        pattern = _DIGITS.sub(lambda _: chr(next(places)), latex)
        if pattern not in self.known:
            self.left -= len(pattern)
            if self.left < 0:
                message = f"{self.document}: more than {MOST_MARKUP} characters of markup in tables"
                raise BadConfiguration(message, "import the part that prints results")
            self.known[pattern] = _text(pattern)
        return _HELD.sub(lambda place: "".join(numbers[ord(place[0]) - _FIRST :][:1]), self.known[pattern])

    def _called(self, latex: str, call: re.Match[str]) -> str:
        """The LaTeX with what a macro of the document stands for in place of its call."""
        (defaults, body), stop = self.macros[call[1]], call.end()
        for number, default in enumerate(defaults, 1):
            option = _OPTION.match(latex, stop) if default is not None else None
            if option:
                argument, stop = option[0].strip()[1:-1], option.end()
            else:
                argument, stop = (default, stop) if default is not None else _argument(latex, stop)
            body = body.replace(f"#{number}", argument)[:LONGEST_CELL]
        return latex[: call.start()] + body + latex[stop:]

    def _placed(self, start: int, end: int) -> Placed:
        latex = self.source[start:end]
        start += len(latex) - len(latex.lstrip())
        across, down = _ACROSS.search(latex), _DOWN.search(latex)
        cell = cell_of(self.read(start, end), start, start + len(latex.strip()), bisect_right(self.starts, start))
        return Placed(cell, max(1, int(across[1])) if across else 1, int(down[1]) if down else 1)


def visible(text: str) -> str:
    """The text with comments, verbatim parts and what follows the document blanked."""
    body = text.partition("\\end{document}")[0]
    spans = (span for span in latex_hidden(body)[0] if not body.startswith(("\\verb", "\\lstinline"), span.start))
    return blanked(text, (*(span._replace(opaque=False) for span in spans), Span(len(body), len(text))))


def _macro(source: str, found: re.Match[str]) -> _Macro:
    """A macro as the document defines it."""
    body = found["other"] or source[slice(*_group(source, found.end()))]
    if found["kinds"] is not None:
        return _Macro(tuple(None if kind[0] == "m" else kind[1] or "" for kind in _KIND.finditer(found["kinds"])), body)
    count = len(found["hashes"] or "") // 2 or int(found["count"] or 0)
    return _Macro((found["default"], *[None] * 8)[:count], body)


def _argument(latex: str, start: int) -> tuple[str, int]:
    """The next argument of a macro and its end: what is in braces, or one letter or macro."""
    first, last = _group(latex, start)
    if first > start and latex[first - 1] == "{":
        return latex[first:last], last + 1
    letter = _LETTER.match(latex, start)
    return (letter[1], letter.end()) if letter else ("", start)


def _group(source: str, start: int) -> tuple[int, int]:
    """Where the next argument in braces stands, without them; empty if it is not there or longer than a cell."""
    option = _OPTION.match(source, start)
    start = option.end() if option else start
    depth, first = 0, start
    for token in _BRACE.finditer(source, start, start + LONGEST_CELL):
        if token[1] or (not depth and token[0] != "{" and token[0].strip()):
            break
        if token[0] == "{":
            first = first if depth else token.end()
            depth += 1
        elif token[0] == "}":
            depth -= 1
            if not depth:
                return first, token.start()
    return start, start


def _without_rules(source: str, rows: list[list[tuple[int, int]]]) -> list[_LatexRow]:
    """The rows without the rules between them, and without those that a long table repeats on each page."""
    kept: list[_LatexRow] = []
    rules: set[str] = set()
    first = 0
    for cells in rows:
        start, end = cells[0]
        while rule := _RULE.match(source, start, end):
            rules.add(rule[1] or rule[2])
            start = rule.end()
        if rules & {"endfirsthead", *_REPEATED}:
            del kept[first or len(kept) :]
            first = len(kept)
            rules = {"midrule"}
        if len(cells) > 1 or source[start:end].strip():
            kept.append(_LatexRow(frozenset(rules), [(start, end), *cells[1:]]))
            rules = set()
    return kept


def _heads(rows: list[_LatexRow], placed: list[tuple[int, list[Placed]]]) -> int:
    """How many rows are the header: those above the first rule below a row, else the first unless it has a number."""
    numeric = [any(is_numeric(cell.text) for cell, _, _ in cells[1:]) for _, cells in placed]
    ruled = next((n for n, row in enumerate(rows) if n and row.rules & _ENDS_HEADER), 0)
    heads = next((n for n in range(1, ruled) if numeric[n]), ruled or 1)
    return 0 if numeric[:1] == [True] and heads != ruled else heads


def _title(caption: str) -> str:
    """The first sentence of a caption."""
    return name_below("", re.split(r"(?<=\w\w)\.\s", caption)[0][:LONGEST_TITLE], certain=True)


def _text(latex: str) -> str:
    """The text of LaTeX, as it is where pylatexenc cannot read it. Digits that markup parts do not join."""
    from pylatexenc.latexwalker import LatexWalker, LatexWalkerError

    walking, writing = _contexts()
    try:
        text: str = writing.nodelist_to_text(LatexWalker(latex, latex_context=walking).get_latex_nodes()[0])
    except (LatexWalkerError, RecursionError, LookupError, ValueError):
        return latex
    for _ in range(2):
        text = _SCRIPT.sub(lambda found: f"{_LEVELS[found[1]]}{found[3] if found[2] is None else found[2]}{LEVEL}", text)
    text = _JOINT.sub(" ", text.replace("{", "").replace("}", "").replace(_UNDERSCORE, "_"))
    return text if text.strip() else next((f"\\{name}" for name in _NAMED.findall(latex) if _is_unread(name)), text)


def _is_unread(name: str) -> bool:
    """Whether nobody here knows what a macro prints: it is neither the document's nor LaTeX's own."""
    known = any(context.get_macro_spec(name) for context in (_contexts()[0], _contexts()[1].latex_context))
    return name == "input" or not (known or name in _SILENT.split())


@cache
def _contexts() -> tuple[Any, Any]:
    """What pylatexenc knows of macros: how to parse them, and a writer of their text."""
    from pylatexenc.latex2text import LatexNodes2Text, MacroTextSpec, get_default_latex_context_db
    from pylatexenc.latexwalker import get_default_latex_context_db as get_walker_db
    from pylatexenc.macrospec import EnvironmentSpec, MacroSpec

    macros = [(name, *spec) for names, spec in _NAMES.items() for name in names.split()]
    walking, writing = get_walker_db(), get_default_latex_context_db()
    walking.add_context_category(
        "tables",
        prepend=True,
        macros=[MacroSpec(name, arguments) for name, arguments, _ in macros],
        environments=[EnvironmentSpec("tabular", "[{")],
    )
    writing.add_context_category("tables", prepend=True, macros=[MacroTextSpec(name, text) for name, _, text in macros])
    return walking, LatexNodes2Text(
        latex_context=writing, math_mode="text", keep_braced_groups=True, keep_braced_groups_minlen=0
    )
