"""Tables of Markdown, HTML and CSV, whose cells are read as a reader sees them. Pure.

Pipe tables are found by CommonMark's own parser. HTML, alone or inside Markdown, is read by Beautiful Soup over Python's own
parser, which knows where each tag starts. Only tables are parsed, and of them neither comments and scripts nor a `<` that
starts no tag: the parser is quadratic in those. A cell of HTML ends where the next one starts, closed or not.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.documents.prose import HIDDEN, SCRIPTS, STRUCK_PARTS, blanked, enclosed, line_starts
from aqea_registry.documents.tables import (
    LEVEL,
    LOWERED,
    PART,
    RAISED,
    STRUCK,
    UNSTRUCK,
    Captions,
    Cell,
    Placed,
    Row,
    Table,
    cell_of,
    is_numeric,
    merged_table,
    name_below,
    pipe_cells,
    table_of,
)

if TYPE_CHECKING:
    from bs4 import Tag

MOST_PIPES = 60_000  # the parser makes tokens of each cell: half a million take six seconds, and nobody prints so many
MOST_TAGS = 30_000  # in tables; Beautiful Soup reads some 40,000 in a second

LONGEST_FIELD = 100_000  # characters of CSV
_LONGEST_ITEM = 80  # of a list item that is the caption of a table
_EMPHASISED = re.compile(r"(\*{1,3}|_{1,3})([^*\n]{1,200})\1[:.]?\s*")
_GRID = re.compile(r"\+(?:[-=:]{3,}\+)+")  # above and below each row
_HTML = re.compile(r"<[^`]*<table\b|<table\b", re.IGNORECASE)
_LINK = re.compile(r"!?\[((?:[^\[\]]|\[[^\[\]]*\])*)\](?:\(((?:[^()]|\([^()]*\))*)\)|\[[^\[\]]*\])")
_FOOTNOTE = re.compile(r"\[(\^[^\[\]\s]{1,40})\]")
_COMMENT = re.compile(r"<!--[^<>]{0,2000}-->")
_EMPHASIS = re.compile(r"\*+|`+|(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?![\w{])")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_BREAK = re.compile(r"\r\n|\r|\n")
_CSV_MARKUP = re.compile(r"</?[A-Za-z]|\]\(|\*\*|~~")
_SIMPLE = re.compile(r"[\w ,.%+()/:-]*", re.ASCII)
_MARK = re.compile(r"\[?(?:\d{1,2}|[a-z*†‡§¶])\]?")  # a short text of a link that is a footnote's mark beside a number
_JOINT = re.compile(r"(?<=\d)(?:</?(?!(?i:su[pb]\b))[a-zA-Z][^<>]*>)+(?=\d)")  # digits do not join over markup
_INDENT = re.compile(r"(?:[ \t>]|[-*+][ \t]|\d{1,9}[.)][ \t])*")  # of a row in a list or a quotation


def markdown_tables(text: str, document: str) -> list[Table]:
    """The tables of a Markdown text, of pipes and of HTML.

    A table is named after the caption above it (`Table 2`), else after its heading, and after a line of nothing but bold or
    italics, or a list item, between the two. Raises BadConfiguration for more than MOST_PIPES pipes, or too many tags.
    """
    from markdown_it import MarkdownIt

    if text.count("|") > MOST_PIPES:
        raise BadConfiguration(f"{document}: more than {MOST_PIPES} cells in tables", PART)
    reader = MarkdownIt("commonmark").enable("table")
    reader.core.ruler.enableOnly(["normalize", "block"])
    reader.block.ruler.before("table", "end of table", _ends_table, {"alt": ["blockquote"]})  # table asks blockquote's rules
    starts = [0, *(match.end() for match in _BREAK.finditer(text)), len(text)]
    page = _HtmlText(_without_comments(text, document) if "<table" in text.lower() else text, starts, document, _html)
    names, items, done = Captions(), 0, 0
    tokens = iter(reader.parse(text))
    for token in tokens:
        items += (token.type == "list_item_open") - (token.type == "list_item_close")
        if token.type == "heading_open":
            names.under(plain_text(next(tokens).content))
        elif token.map and (token.type == "html_block" or (token.type == "inline" and _HTML.match(token.content))):
            start, stop = starts[token.map[0]], starts[token.map[1]]
            if start < done:  # inside a table, whose cells may hold Markdown
                start = done
                names.add([])
            while span := _table_span(page.text, start, stop):
                _read_words(names, page.text[start : span[0]])
                names.add(_tables_of_span(page, span, names.heading, names.caption))
                start = done = span[1]
            _read_words(names, page.text[start:stop])
        elif token.type == "inline" and token.map and _GRID.match(token.content):
            header, rows = _grid_rows(text, starts, *token.map)
            names.add([table_of(names.caption or names.heading, header, rows)] if rows else [])
        elif token.type == "inline":
            line = token.content.rpartition("\n")[2]
            words = plain_text(line)
            certain = _EMPHASISED.fullmatch(line.strip()) or _STRONG.fullmatch(line)
            names.words(words, certain=certain is not None or (items > 0 and len(words) <= _LONGEST_ITEM))
        elif token.type in ("fence", "code_block", "hr"):
            names.apart()
        elif token.type == "table_open":
            rows = _table_rows(tokens, text, starts)
            names.add([table_of(names.caption or names.heading, rows[:1], rows[1:])])
    return names.tables


def plain_text(text: str) -> str:
    """Inline Markdown without its markup: the text of links, no emphasis, code marks, tags, escapes or entities."""
    return cell_of(inline(text)).text


def inline(text: str) -> str:
    """Inline Markdown as `cell_of` reads it."""
    if _SIMPLE.fullmatch(text) and "_" not in text:
        return text
    return _marked(_html(re.sub("[\ue000-\ue005]", " ", text)))


def _html(text: str) -> str:
    """Inline Markdown as HTML, without the targets of links."""
    text = _ESCAPED.sub(lambda match: f"&#{ord(match[1])};", text)
    if text.count("*") % 2:  # a single one is a sign
        text = "&#42;".join(text.rsplit("*", 1))
    text = _FOOTNOTE.sub(r"<sup>&#91;\1&#93;</sup>", _COMMENT.sub("", text))
    for _ in range(2):  # a link may hold an image
        text = _LINK.sub(_linked, text)
    return _EMPHASIS.sub("<i>", text)


def _linked(link: re.Match[str]) -> str:
    """The text of a link; a short one behind a number is a mark."""
    before = link.string[max(0, link.start() - 3) : link.start()].rstrip(" *_")
    mark = _MARK.fullmatch(html.unescape(link[1])) and (before[-1:].isalnum() or before[-1:] in tuple("%)"))
    return f"<sup>{link[1].replace('[', '&#91;').replace(']', '&#93;')}</sup>" if mark else link[1]


def _ends_table(state: Any, line: int, _: int, silent: bool) -> bool:
    """A rule for the parser, which would take any line behind a table for a row of one cell."""
    return silent and state.parentType == "table" and "|" not in state.src[state.bMarks[line] : state.eMarks[line]]


def _table_rows(tokens: Iterator[Any], text: str, starts: list[int]) -> list[Row]:
    """The rows up to the table's end, with all their cells: the parser fills them up or cuts them to the header's width."""
    rows: list[Row] = []
    for token in takewhile(lambda token: token.type != "table_close", tokens):
        if token.type == "tr_open":
            start, end = starts[token.map[0] : token.map[0] + 2]
            line = text[start:end].rstrip("\r\n")
            indent = _INDENT.match(line).end()  # type: ignore[union-attr]
            edges = pipe_cells(line[indent:], start + indent)
            rows.append(Row(token.map[0] + 1, tuple(cell_of(inline(text[start:end]), start, end) for start, end in edges)))
    return rows


def _grid_rows(text: str, starts: list[int], first: int, stop: int) -> tuple[list[Row], list[Row]]:
    """The header and the other rows of a table of pandoc, whose rows, of one or more lines, are between lines of `+---+`."""
    rows, heads, found = list[Row](), 1, list[list[tuple[int, int]]]()
    edges = [number for number in range(first, stop) if _GRID.search(text, starts[number], starts[number + 1])]
    ends, apart = {*edges, stop}, edges[2:] == [stop - 1]  # other programs draw no line between rows: each has one line
    lines = (text[starts[number] : starts[number + 1]].rstrip() for number in range(first, stop))
    for number, line in enumerate((*lines, ""), first):
        if found and (number in ends or (apart and rows)):
            fits = len({*map(len, found)}) == 1
            columns = [*zip(*found, strict=True)] if fits else [(part,) for cells in found for part in cells]
            row = (cell_of(inline(" ".join(text[slice(*at)] for at in own)), own[0][0], own[-1][1]) for own in columns)
            rows.append(Row(number - len(found) + 1, tuple(row)))
            found.clear()
        heads = len(rows) if number in ends and "=" in line else heads
        if "|" in line:
            indent = _INDENT.match(line).end()  # type: ignore[union-attr]
            found.append(pipe_cells(line[indent:], starts[number] + indent))
    return rows[:heads], rows[heads:]


def csv_table(text: str, name: str, document: str, delimiter: str) -> Table:
    """A CSV text as a table called `name`. Semicolons, tabs or bars are its delimiter where the first line has no other.

    Lines of one cell above the header are titles. Empty cells beyond the header do not count. Raises BadConfiguration for what
    is not CSV. One pattern reads it: Python's own reader does not say where a field is in the text.
    """
    starts = [0, *(match.end() for match in _BREAK.finditer(text))]
    first = text[: starts[1]] if starts[1:] else text
    delimiter = next((other for other in (delimiter, ";", "\t", "|") if other in first), delimiter)
    mark = re.escape(delimiter)
    field = re.compile(rf'(?:"((?>(?:[^"]|"")*))"|((?!")[^{mark}\r\n]{{0,{LONGEST_FIELD}}}+))({mark}|\r\n|\r|\n|\Z)')
    rows, cells, place = list[Row](), list[Cell](), 0
    while found := field.match(text, place):
        value = found[2] if found[1] is None else found[1].replace('""', '"')
        cells.append(cell_of(inline(value) if _CSV_MARKUP.search(value) else value, place, found.start(3)))
        place = found.end()
        if found[3] != delimiter:
            rows += [Row(bisect_right(starts, cells[0].start), tuple(cells))] if any(c.end > c.start for c in cells) else []
            cells = []
        if not found[3]:
            break
    else:
        message = f"{document}: line {bisect_right(starts, place)}: a field is too large, or has a quote that nothing closes"
        raise BadConfiguration(message, "correct the line; quotes must be balanced")
    header = next((n for n, row in enumerate(rows) if len(row.cells) > 1), None)
    if header is None:
        raise BadConfiguration(f"{document}: no header row with at least two columns", "the first column names the rows")
    width = len(rows[header].cells)
    wide = (any(cell.text for cell in row.cells[width:]) for row in rows)
    rows = [row if more else Row(row.line, row.cells[:width]) for row, more in zip(rows, wide, strict=True)]
    return table_of(name, rows[header : header + 1], rows[header + 1 :])


_TABLE = re.compile(r"<(/?)table\b[^<>]*>", re.IGNORECASE)
_NO_TAG = re.compile(r"<(?!/?[A-Za-z][^<>]*>)|[\ue000-\ue005]")
_QUOTED = re.compile(r"=\s*+(?:\"[^\"<]*>[^\"<]*\"|'[^'<]*>[^'<]*')")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_CELL_END = re.compile(r"</?t(?:[dhr]|able|body|head|foot)\b", re.IGNORECASE)
_BLOCK = re.compile(
    r"<(/?)(summary|figcaption|p|div|h[1-6]|center|br|section|article|details|ul|ol|li|figure|body|hr)\b[^<>]*>|\n[ \t]*\n",
    re.IGNORECASE,
)
_STRONG = re.compile(r"\s*<(b|strong|em|i|u)\b[^<>]*>.*</\1\s*>[:.\s]*", re.IGNORECASE | re.DOTALL)
_MARKDOWN_TABLE = re.compile(r"\n[ \t>]*\|?[ \t]*:?-+:?[ \t]*\|")
_LEVEL = re.compile(r"<(/?)su([pb])\b[^<>]*>", re.IGNORECASE)
_APART = re.compile(r"</?(?:br|p|div|li|ul|ol|hr|del|s|strike|img)\b[^<>]*>|~~", re.IGNORECASE)
_LINKED = re.compile(rf"(?<=[\w%)])((?:</?\w+>)*\s?)<a\b[^<>]*>\s*({_MARK.pattern})\s*</a\s*>", re.IGNORECASE)


class _HtmlText(NamedTuple):
    """A text with its tables, without comments; the offsets of its lines; what it is called; and how to read Markdown in it."""

    text: str
    starts: Sequence[int]
    document: str
    inline: Callable[[str], str] | None = None


class _HtmlRow(NamedTuple):
    """A row: the tag that starts it, the part of the table that it belongs to, and the tags of its cells."""

    tag: Tag
    part: str
    cells: list[Tag]


def html_tables(text: str, document: str) -> list[Table]:
    """The tables of an HTML text, each named after its caption, else the heading above.

    Raises BadConfiguration for more than MOST_TAGS tags in them.
    """
    text = _without_comments(text, document)
    page = _HtmlText(text, line_starts(text), document)
    names, done = Captions(), 0
    while span := _table_span(text, done):
        _read_words(names, text[done : span[0]])
        names.add(_tables_of_span(page, span, names.heading, names.caption))
        done = span[1]
    _read_words(names, text[done:])
    return names.tables


def _without_comments(text: str, document: str) -> str:
    """The text of a document with comments, scripts, styles and each > inside an attribute blanked.

    Raises BadConfiguration for more than MOST_TAGS tags in its tables.
    """
    text = blanked(text, sorted(enclosed(text, ("<!--", "-->"), *SCRIPTS)))
    text, end, tags = _QUOTED.sub(lambda value: value[0].replace(">", " "), text), 0, 0
    while span := _table_span(text, end):
        end, tags = span[1], tags + text.count("<", *span)
    if tags > MOST_TAGS:
        raise BadConfiguration(f"{document}: more than {MOST_TAGS} tags in tables", PART)
    return text


def _table_span(text: str, start: int, stop: int | None = None) -> tuple[int, int] | None:
    """The first table that starts before `stop`, with those inside it; up to the text's end if nothing closes it."""
    first = next((tag for tag in _TABLE.finditer(text, start, len(text) if stop is None else stop) if not tag[1]), None)
    if first is None:
        return None
    depth = 0
    for tag in _TABLE.finditer(text, first.start()):
        depth += -1 if tag[1] else 1
        if not depth:
            return first.start(), tag.end()
    return first.start(), len(text)


def _read_words(names: Captions, fragment: str) -> None:
    """Read the headings and the lines of a piece of HTML without tables."""
    heading: str | None = None  # of one that is open
    start, tag = 0, ""
    for edge in (*_BLOCK.finditer(fragment), None):
        part = fragment[start : edge.start() if edge else None]
        words = _plain(part)
        if heading is not None:
            heading = f"{heading} {words}".strip()
        elif words:
            names.words(words, certain=tag in ("summary", "figcaption") or _STRONG.fullmatch(part) is not None)
        if edge is None:
            return
        start, tag = edge.end(), "" if edge[1] else (edge[2] or "").lower()
        if re.match("h[1-6]", edge[2] or "", re.IGNORECASE):
            if heading:
                names.under(heading)
            heading = None if edge[1] else ""


def _tables_of_span(page: _HtmlText, span: tuple[int, int], heading: str, caption: str) -> list[Table]:
    """The table of a span and those inside it; outer ones come first."""
    from bs4 import BeautifulSoup

    text = page.text[span[0] : span[1]]
    soup = BeautifulSoup(_NO_TAG.sub(" ", text), "html.parser")
    lines, tables = [span[0] + start for start in line_starts(text)], list[Table]()

    def start(tag: Tag) -> int:
        return lines[(tag.sourceline or 1) - 1] + (tag.sourcepos or 0)

    def placed_of(tags: list[Tag]) -> list[Placed]:
        return [_placed(page, start(tag), span[1], tag) for tag in tags]

    for captions, rows in _tables(soup):
        rows = sorted((row for row in rows if row.cells), key=lambda row: row.part == "tfoot")  # where browsers show it
        placed = [(bisect_right(page.starts, start(row.tag)), placed_of(row.cells)) for row in rows]
        heads = _heads(rows, placed)
        own = "".join(place.cell.text for place in placed_of(captions[:1]))
        name = name_below(heading, own, certain=True) or caption
        if heads > 1 and len(placed[0][1]) == 1:  # a title over all columns
            name = name or name_below(heading, placed[0][1][0].cell.text, certain=True)
            placed, heads = placed[1:], heads - 1
        if len(placed) > heads:
            tables.append(merged_table(name or heading, placed, heads, page.document))
    return tables


def _tables(soup: Tag) -> list[tuple[list[Tag], list[_HtmlRow]]]:
    """The captions and rows of each table. What is in a table inside another belongs to that alone."""
    tables: list[tuple[list[Tag], list[_HtmlRow]]] = []
    inside: dict[int, tuple[int, str, bool]] = {}  # of each tag: its table, the part of that, and whether it is hidden
    for tag in soup.find_all(True):
        table, part, hidden = inside.get(id(tag.parent), (-1, "", False))
        hidden = hidden or "hidden" in tag.attrs or re.search(HIDDEN, str(tag.get("style"))) is not None
        if tag.name == "table":
            table = len(tables)
            tables.append(([], []))
        if tag.name in ("table", "thead", "tbody", "tfoot"):
            part = tag.name
        inside[id(tag)] = table, part, hidden
        captions, rows = tables[table]
        if tag.name == "caption":
            captions.append(tag)
        if tag.name == "tr" or (tag.name in ("td", "th") and not rows):
            rows.append(_HtmlRow(tag, part, []))
        if tag.name in ("td", "th"):
            rows[-1].cells.append(tag)
            tag.attrs |= {"hidden": ""} if hidden else {}
    return tables


def _placed(page: _HtmlText, start: int, stop: int, tag: Tag) -> Placed:
    """A cell or caption with its place; Markdown in it is read where a blank line ends the HTML."""
    start = page.text.index(">", start) + 1
    end = _CELL_END.search(page.text, start, stop)
    inner = page.text[start : end.start() if end else stop]
    text = _NO_TAG.sub(lambda match: "&lt;" if match[0] == "<" else " ", inner)
    text = f"<del>{text}</del>" if "hidden" in tag.attrs else text
    if page.inline and re.search(r"\n[ \t]*\n", inner):
        text = "" if _MARKDOWN_TABLE.search(inner) else page.inline(text)
    start += len(inner) - len(inner.lstrip())
    cell = cell_of(_marked(text), start, start + len(inner.strip()), bisect_right(page.starts, start))
    return Placed(cell, max(1, _number(tag, "colspan")), _number(tag, "rowspan") or MOST_TAGS)


def _number(tag: Tag, name: str) -> int:
    digits = re.match(r"\s*(\d{1,6})", str(tag.get(name, "1")))
    return int(digits[1]) if digits else 1


def _heads(rows: list[_HtmlRow], placed: list[tuple[int, list[Placed]]]) -> int:
    """How many rows are the header: those of the head, else of `th` alone, else the first unless it has a number."""
    numeric = [any(is_numeric(cell.text) for cell, _, _ in cells[1:]) for _, cells in placed]
    heads = next((n for n, row in enumerate(rows) if row.part != "thead"), len(rows))
    heads = heads or next((n for n, row in enumerate(rows) if any(tag.name == "td" for tag in row.cells)), 1)
    heads = heads or int(not all(numeric[:1]))
    for n in range(len(rows)):
        if n < heads:  # a cell of the header may reach into the next row
            reach = min(len(rows), n + max(down for _, _, down in placed[n][1]))
            heads = next((m for m in range(heads, reach) if numeric[m]), max(heads, reach))
    return heads


def _marked(text: str) -> str:
    """Inline HTML as `cell_of` reads it: struck or hidden parts, super- and subscripts, of which a linked mark is one."""
    text = STRUCK_PARTS.sub(lambda found: f"{STRUCK}{found['two'] or found['one'] or found['inside']}{UNSTRUCK}", text)
    text = _LINKED.sub(rf"\1{RAISED}\2{LEVEL}", text)
    text = _LEVEL.sub(lambda tag: LEVEL if tag[1] else RAISED if tag[2] in "pP" else LOWERED, text)
    return html.unescape(_TAG.sub("", _JOINT.sub(" ", _APART.sub(" ", text))))


def _plain(fragment: str) -> str:
    return " ".join(html.unescape(_TAG.sub(" ", fragment)).split())
