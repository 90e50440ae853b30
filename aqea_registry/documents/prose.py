"""The prose of a document: everything else (code, addresses, markup, comments) is blanked out, and every offset stays.

Markup without content turns into spaces; content that is not prose turns into OPAQUE. Every pass is linear: a document may be
one line of megabytes. Pure.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

Kind = Literal["markdown", "text", "latex", "csv"]
OPAQUE = "\x01"


class Comment(NamedTuple):
    """A comment of the markup: where it starts and ends, and its text."""

    start: int
    end: int
    body: str


class Prose(NamedTuple):
    """A document of which only the prose is left, its comments, the spans of the values in a card's model-index, and the rows
    of its HTML tables: whether each is a header, and the spans of its cells.
    """

    kind: Kind
    text: str
    comments: tuple[Comment, ...] = ()
    values: tuple[tuple[int, int], ...] = ()
    rows: tuple[tuple[bool, tuple[tuple[int, int], ...]], ...] = ()


class Span(NamedTuple):
    """A part of a document that is not prose."""

    start: int
    end: int
    opaque: bool = False


def kind_of(suffix: str, text: str) -> Kind:
    """What a document is written in: by its suffix, `.md`, `.tex` or `.csv`, else by its text."""
    if suffix.lower() in (".md", ".markdown"):
        return "markdown"
    if suffix.lower() in (".csv", ".tsv"):
        return "csv"
    if suffix.lower() in (".tex", ".ltx") or re.search(r"\\(?:documentclass|begin\{|section\{)", text):
        return "latex"
    return "markdown" if text.startswith("---\n") or re.search(r"(?m)^(?:```|\|?[ :]?--+[-: ]*\|)", text) else "text"


def prose_of(text: str, kind: Kind) -> Prose:
    """The prose of a document, as long as the document."""
    text = _SIGN.sub(lambda sign: ("±" if sign[1] else "→").rjust(len(sign[0])), text)
    if kind == "latex":
        return _latex(text)
    if kind == "csv":  # with bars between its cells and without quotes
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        quoted = re.compile(rf'("(?>(?:[^"]|"")*)")|{delimiter}')
        return Prose(kind, quoted.sub(lambda match: match[1].replace('"', " ") if match[1] else "|", text))
    values: list[tuple[int, int]] = []
    if kind == "markdown":
        front, values = _front_matter(text)
        text = blanked(text, front)
        text = blanked(text, _code_blocks(text))
    elif "::" in text:
        text = blanked(text, (Span(*match.span("code"), True) for match in _LITERAL.finditer(text)))
    spans, comments = _code_and_comments(text)
    text = blanked(text, spans)
    text = blanked(text, sorted(enclosed(text, *SCRIPTS)))
    text = blanked(text, _addresses(text))
    rows = tuple(_html_rows(text))
    for pattern, opaque in (*_MARKS, *((_HEADING, _OPTION) if kind == "text" else ())):
        text = blanked(text, (Span(match.start(), match.end(), opaque) for match in pattern.finditer(text)))
    return Prose(kind, text, tuple(comments), tuple(values), rows)


# In this order: an address in angle brackets is not a tag, and a link's target may be any words.
_TAG = (
    r"</?[A-Za-z][A-Za-z0-9-]*+"
    r"(?>(?:\s++[A-Za-z_:][A-Za-z0-9_:.-]*+(?>(?:\s*+=\s*+(?:\"[^\"<>]*+\"|'[^'<>]*+'|[^\s\"'=<>`]++))?))*)\s*+/?>"
)
# Dates, times, and identifiers of papers. Patterns begin with a character or a class of them: `re` looks for these quickly.
_DIGITS = (
    r"\d(?<![\w.,]\d)(?:(?:(?<=1)9|(?<=2)0)\d\d(?:[-/](?:0?[1-9]|1[0-2])(?:[-/](?:[12]\d|3[01]|0?[1-9]))?|\.\d{1,2}\.\d{1,2})(?![\w-]|\.\d)"
    r"|\d?[-/.]\d{1,2}[-/.](?:19|20)\d\d(?![\w-]|\.\d)|\d?:\d\d(?::\d\d(?:\.\d++)?)?(?![\w:])"
    r"|(?<=1)0\.\d{4,9}/[^\s<>\"|]++|(?:(?<=0)[7-9]|(?<=[12])\d)(?:0[1-9]|1[0-2])\.\d{5}(?:v\d)?(?!\w|\.\w))"
)
_ADDRESS = r"[^\s<>\"')\]}|]"
_SCHEME = re.compile(r"(?<![A-Za-z])[A-Za-z][A-Za-z0-9+.-]{1,15}$")
_IDS: tuple[tuple[re.Pattern[str], bool], ...] = (
    (re.compile(r"iv(?<=[aA][rR][xX]iv)[: ]\s?\d{4}\.\d{4,5}(?:v\d+)?"), True),
    (re.compile(_DIGITS), True),
)
# A macro that digits may follow at once, a power or a footnote's mark.
_SIGN = re.compile(r"\\(?:(pm|mp)|to|rightarrow)(?![A-Za-z])")  # read as ± and →
_MATH = (re.compile(r"\\(?:sim|approx|leq?|geq?|uparrow|downarrow)(?=\d|\.\d)"), False)
_RAISED = (re.compile(r"\^(?:(?<=\d\^)(?<!10\^)|(?<=\d\$\^)(?<!10\$\^))\{[^{}\n]{0,12}\}"), False)
_NOTE = (re.compile(r"\\textsuperscript\{[^{}\n]{0,12}\}"), False)
_FOOTNOTES = (
    (
        re.compile(
            r"<su([pb])>(?:(?<=[\d%*)>]<su[pb]>)|(?<=[\d%*)>] <su[pb]>))(?:<a\b[^<>]*>)?[^<>\n±+−-]{1,24}(?:</a>)?</su\1>"
        ),
        False,
    ),
    (
        re.compile(
            r"\[(?:(?<=[\d%*)]\[)|(?<=[\d%*)] \[)(?=[^\]\n]{1,5}\]\(|\d\d?\]))\[?\^?\w{1,3}\]{1,2}(?:\([^()\n]*+\))?(?!:)"
        ),
        False,
    ),
)
HIDDEN = r"(?<!:)\shidden(?=[\s=/>])|display\s*:\s*none|visibility\s*:\s*hidden"  # in a tag
STRUCK_PARTS = re.compile(
    r"~~(?=\S)(?P<two>[^~]{1,200})~~|~(?<![~\w]~)(?=[^\s~])(?P<one>[^~]{0,199}[^\s~])~(?![~\w])"
    rf"|<(?P<tag>(?:del|s|strike)\b|[a-z]+\b(?=[^<>]*(?:{HIDDEN})))[^<>]*>(?P<inside>.{{0,200}}?)</(?P=tag)\s*>",
    re.IGNORECASE | re.DOTALL,
)
_MARKS: tuple[tuple[re.Pattern[str], bool], ...] = (
    *_FOOTNOTES,
    (re.compile(r"\((?<=\]\()(?>(?:[^()\n]|\([^()\n]*+\))*)\)"), False),
    (STRUCK_PARTS, False),
    (re.compile(_TAG), False),
    _MATH,
    _RAISED,
    (re.compile(r"#(?<![^\n#]#)[ \t]++\d++(?>(?:\.\d++)*)\.?(?!\S)"), True),
    *_IDS,
)
# Of reStructuredText, which is read as text: what is indented below `::`, and options of a directive.
_LITERAL = re.compile(
    r"(?m)^([ \t]*+)(?:\.\. (?:code|sourcecode|parsed-literal|math|raw|doctest|test)[\w-]*::[^\n]*|(?!\.\. )[^\n]*::)[ \t]*\n"
    r"(?P<code>(?>(?:(?>(?:[ \t]*+\n)*)\1[ \t]++\S[^\n]*+\n?)+))"
)
_OPTION = (re.compile(r"(?m)^[ \t]++:[a-z][\w-]*+:[ \t][^\n]*+"), True)
_HEADING = (re.compile(r"(?m)\d(?<![^\n]\d)\d?\.\d{1,2}\.?[ \t]++(?=[A-Z][^\n\d]{2,80}$)"), True)


_WIDEST = 40  # columns that a cell may span, and before which one may
_CELL_TAG = re.compile(r"<(/?)(table|t[rdh])\b([^<>]*)>", re.IGNORECASE)
_SPANS = re.compile(r"(row|col)span\s*=\s*[\"']?(\d{1,3})", re.IGNORECASE)


def _html_rows(text: str) -> Iterator[tuple[bool, tuple[tuple[int, int], ...]]]:
    """The rows of HTML tables. A cell that spans columns is followed by empty ones, and so are rows below the first column."""
    cells: list[tuple[int, int]] = []
    start, wide, below, only_headers, body = -1, 1, 0, True, False
    for tag in _CELL_TAG.finditer(text):
        name = tag[2].lower()
        if start >= 0:
            cells += [(start, tag.start()), *[(start, start)] * (min(wide, _WIDEST) - 1 if len(cells) < _WIDEST else 0)]
            start = -1
        if name[1] in "dh" and not tag[1]:
            spans = {which.lower(): int(count) for which, count in _SPANS.findall(tag[3])}
            start, wide = tag.end(), spans.get("col", 1)
            below = spans.get("row", 1) if not cells else below
            only_headers = only_headers and name == "th"
        elif name[1] not in "dh" and cells[below > 0 :]:
            yield only_headers and not body, tuple(cells)
            body = body or not only_headers
            below = max(0, below - 1)
            cells, only_headers = [(tag.end(), tag.end())] * (below > 0), True
        if name == "table":
            cells, below, only_headers, body = [], 0, True, False
            yield True, ()


SCRIPTS = (("<script", "</script>"), ("<style", "</style>"))


def enclosed(text: str, *edges: tuple[str, str]) -> Iterator[Span]:
    """What is between two edges, in small letters or capitals, with these; what nothing closes is not."""
    for opener, closer in edges:
        ending, end = re.compile(closer, re.IGNORECASE), 0
        for start in re.finditer(opener, text, re.IGNORECASE):
            if start.start() >= end:
                if (stop := ending.search(text, start.end())) is None:
                    break
                end = stop.end()
                yield Span(start.start(), end)


def _addresses(text: str) -> Iterator[Span]:
    """The addresses of pages: `https://...` with its scheme, `www....`."""
    for match in re.finditer(rf"://{_ADDRESS}*+", text) if "://" in text else ():
        scheme = _SCHEME.search(text, max(0, match.start() - 17), match.start())
        if scheme is not None:
            yield Span(scheme.start(), match.end(), True)


def blanked(text: str, spans: Iterable[Span]) -> str:
    """The text with its spans blanked; they are in order. Line ends stay."""
    parts: list[str] = []
    end = 0
    for span in spans:
        if span.end > end:
            start = max(span.start, end)
            blank, part = OPAQUE if span.opaque else " ", text[start : span.end]
            lines = [blank * len(line) for line in part.split("\n")] if "\n" in part else [blank * len(part)]
            parts += text[end:start], "\n".join(lines)
            end = span.end
    return "".join((*parts, text[end:])) if parts else text


def _front_matter(text: str) -> tuple[list[Span], list[tuple[int, int]]]:
    """The YAML before a Markdown page, and the values of its model-index."""
    if not text.startswith("---\n") or (end := text.find("\n---", 3)) < 0:
        return [], []
    front = text[: end + 1]
    index = re.search(r"(?m)^model-index:[^\n]*\n(?>(?:[ \-#][^\n]*+\n|\n)*)", front)
    values: list[tuple[int, int]] = []
    if index is not None:
        pattern = re.compile(
            r"(?m)(?:^[ -]*+|[{,] *+)value:[ ]*+[\"']?([-+]?[\d.](?>(?:[\d.eE+-]|,(?=\d))*))[\"']?(?=[ \r]*+$| *+[,}])"
        )
        values = [match.span(1) for match in pattern.finditer(text, *index.span())]
    edges = [0, *(edge for value in values for edge in value), end + 4]
    return [Span(start, stop, True) for start, stop in zip(edges[::2], edges[1::2], strict=True)], values


_FENCE = re.compile(r"[ >\t]*+(?:(?:[-*+]|\d{1,9}[.)])[ \t]++)?(`{3,}+|~{3,}+)([^\n]*)")
_ITEM = re.compile(r"[ \t>]*+(?:[-*+]|\d{1,9}[.)])[ \t]")


def _code_blocks(text: str) -> Iterator[Span]:
    """Fenced blocks, up to the end if nothing closes them, and blocks indented by four that belong to no list."""
    fence, start, offset = "", 0, 0
    listed, before = False, True  # inside a list; the line before is blank or code
    for line in text.split("\n"):
        end = offset + len(line) + 1
        match = _FENCE.match(line) if "```" in line or "~~~" in line else None
        if fence:
            if match and match[1].startswith(fence) and not match[2].strip():
                yield Span(start, end, True)
                fence = ""
        elif match and not ("`" in match[2] and match[1][0] == "`"):
            fence, start = match[1], offset
        elif not line.strip():
            before = True
        elif line.startswith(("    ", "\t")) and before and not listed:
            yield Span(offset, end, True)
        else:
            listed = (line[0] in " \t>-*+0123456789" and bool(_ITEM.match(line))) or (listed and line[0] in " \t")
            before = False
        offset = end
    if fence:
        yield Span(start, len(text), True)


_BREAK = re.compile(r"\n(?=[ \t]*+(?:\n|[-*+] |\d{1,9}[.)] |[|#>]))")
_IN_CELL = re.compile(r"\|[ \t*]*$")
_NO_LETTERS = re.compile("[^A-Za-z_`]+")  # of code in a line the letters stay: they may name a metric or a setting
_TICKS = re.compile(r"[`<](?:(?<=`)(?<!\\.)`*+|(?<=<)!--)")


def _code_and_comments(text: str) -> tuple[list[Span], list[Comment]]:
    """Code spans and HTML comments, whichever comes first; a code span ends within its paragraph, item or row."""
    runs: dict[int, list[int]] = {}
    for match in re.finditer("`+", text):
        runs.setdefault(len(match[0]), []).append(match.start())
    spans: list[Span] = []
    comments: list[Comment] = []
    done, limit, closed = 0, -1, True
    for match in _TICKS.finditer(text):
        start, inside = match.span()
        if start < done:
            continue
        if match[0] == "<!--":
            end = text.find("-->", inside) if closed else -1
            closed = end >= 0
            if closed:
                done = end + 3
                comments.append(Comment(start, done, text[inside:end].strip()))
                spans.append(Span(start, done))
            continue
        same = runs.get(inside - start, [])
        if limit < start:
            limit = edge.start() if (edge := _BREAK.search(text, start)) else len(text)
        at = bisect_right(same, start)
        if at < len(same) and same[at] < limit:
            done = same[at] + inside - start
            if text[inside : same[at]].strip(" %").replace(".", "", 1).isdecimal() and _IN_CELL.search(
                text, max(0, start - 9), start
            ):
                spans += Span(start, inside), Span(same[at], done)
            else:
                spans += (Span(*part.span(), True) for part in _NO_LETTERS.finditer(text, start, done))
    return spans, comments


# How many arguments in braces of a LaTeX command are not prose; those in brackets never are.
_ONE = """ref eqref pageref autoref nameref cref Cref vref cite citep citet citealp citeauthor citeyear nocite parencite
textcite label includegraphics input include bibliography bibliographystyle usepackage hspace vspace cmidrule cline
tag url path href hypersetup captionsetup graphicspath linespread setstretch lstset sisetup pgfplotsset tikzset
pagestyle hyperref vskip hskip phantom vphantom hphantom textcolor cellcolor rowcolor color colorbox parbox raisebox
scalebox rotatebox footnotemark tnote ding sout xout st cancel lstinputlisting addbibresource geometry"""
_TWO = "setlength addtolength setcounter addtocounter rule multirow multicolumn resizebox fontsize hyperlink"
_THREE = "aqea@set newcommand renewcommand providecommand definecolor newcolumntype"
_NO_PROSE = {name: count for count, names in enumerate((_ONE, _TWO, _THREE), 1) for name in names.split()}
_BEGIN = re.compile(r"\\begin\{[A-Za-z]++\*?\}((?>(?:\[[^\[\]]*+\])?)(?>(?:\{(?>(?:[^{}]++|\{[^{}]*+\})*)\})*))")
_COMMAND = re.compile(
    r"\\("
    + "|".join(sorted(_NO_PROSE, key=len, reverse=True))
    + r")\*?(?![A-Za-z])((?>(?:\s?\[[^\[\]]*+\]){0,3}))((?>(?:\s?\{[^{}]*+\}){0,3}))"
)
_ARGUMENT = re.compile(r"\s?\{[^{}]*+\}")
_LENGTHS = (
    (
        re.compile(
            r"[\d.](?<![\d.].)\d*+\.?\d*+\s?(?:\\[A-Za-z]*?(?:width|height|skip|sep|size|depth)\b"
            r"|(?:pt|em|ex|cm|mm|(?<!\s)in|bp|pc|sp|mu)\b)"
        ),
        True,
    ),
    (re.compile(r"\\\\\*?\[[^\[\]]*+\]"), True),
)
_HIDDEN = re.compile(
    r"\\(?:[\\%]|begin\{(?P<name>[vV]erbatim|lstlisting|minted|comment|tikzpicture|thebibliography|filecontents|alltt)\}"
    r"|(?P<false>iffalse)(?![A-Za-z])|(?:verb\*?|lstinline)(?P<sign>[^A-Za-z\s*\[{])[^\n]{0,500}?(?P=sign))|%(?P<comment>[^\n]*+)"
)


def _latex(text: str) -> Prose:
    body = re.search(r"\\begin\{document\}", text)
    stop = text.find("\\end{document}")
    outside = [Span(0, body.end(), True)] if body else []
    outside += [Span(stop, len(text), True)] if stop >= 0 else []
    text = blanked(text, outside)
    spans, comments = latex_hidden(text)
    text = blanked(text, spans)
    commands = []  # each with as many of its arguments as are not prose
    for match in _COMMAND.finditer(text):
        ends = [match.end(2), *(match.start(3) + argument.end() for argument in _ARGUMENT.finditer(match[3]))]
        commands.append(Span(match.start(), ends[min(_NO_PROSE[match[1]], len(ends) - 1)]))
    text = blanked(text, commands)
    text = blanked(text, (Span(*match.span(1)) for match in _BEGIN.finditer(text)))
    text = blanked(text, _addresses(text))
    for pattern, opaque in (*_LENGTHS, _MATH, _RAISED, _NOTE, *_IDS):
        text = blanked(text, (Span(*match.span(), opaque) for match in pattern.finditer(text)))
    return Prose("latex", text, tuple(comments))


def latex_hidden(text: str) -> tuple[list[Span], list[Comment]]:
    """What LaTeX does not read as text, in order: comments, and `verbatim` and its like that have an end."""
    spans, comments, unclosed, done = list[Span](), list[Comment](), set[str](), 0
    for found in _HIDDEN.finditer(text):
        kind = found.lastgroup
        if not kind or found.start() < done:
            continue
        start, done = found.span()
        if kind in ("name", "false"):
            closing = f"\\end{{{found[kind]}}}" if kind == "name" else "\\fi"
            stop = -1 if closing in unclosed else text.find(closing, done)
            if stop < 0:
                unclosed.add(closing)
                continue
            done = stop + len(closing)
        if kind == "comment":
            comments.append(Comment(start, done, found[kind].strip()))
        spans.append(Span(start, done, kind != "comment"))
    return spans, comments


def line_starts(text: str) -> Sequence[int]:
    """The offsets at which the lines of a text start."""
    return [0, *(match.end() for match in re.finditer("\n", text))]
