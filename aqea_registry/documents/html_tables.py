"""Tables of HTML, alone or inside Markdown, by Beautiful Soup over Python's own parser, which knows where each tag starts.

Only tables are parsed, and of them neither comments and scripts nor a `<` that starts no tag: the parser is quadratic in those.
A cell ends where the next one starts, closed or not. Pure.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from aqea_registry.base.findings import BadConfiguration, Finding
from aqea_registry.documents.prose import Span, blanked, line_starts
from aqea_registry.documents.tables import LEVEL, LOWERED, RAISED, Placed, Table, cell_of, is_numeric, merged_table, name_below

if TYPE_CHECKING:
    from bs4 import Tag

MOST_TAGS = 30_000  # in tables; Beautiful Soup reads some 40,000 in a second
MARK = re.compile(r"\[?(?:\d{1,2}|[a-z*†‡§¶])\]?")  # a short text of a link that is a footnote's mark beside a number

_TABLE = re.compile(r"<(/?)table\b[^<>]*>", re.IGNORECASE)
_NO_TAG = re.compile(r"<(?!/?[A-Za-z][^<>]*>)|[\ue000-\ue002]")
_QUOTED = re.compile(r"=\s*+(?:\"[^\"<]*>[^\"<]*\"|'[^'<]*>[^'<]*')")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_CELL_END = re.compile(r"</?t(?:[dhr]|able|body|head|foot)\b", re.IGNORECASE)
_HEADING = re.compile(r"<(/?)h[1-6]\b[^<>]*>", re.IGNORECASE)
_BLOCK = re.compile(
    r"</?(summary|figcaption|p|div|h[1-6]|center|br|section|article|details|ul|ol|li|figure|body|hr)\b[^<>]*>|\n[ \t]*\n",
    re.IGNORECASE,
)
_EMPHASISED = re.compile(r"\s*<(b|strong|em|i|u)\b[^<>]*>.*</\1\s*>[:.\s]*", re.IGNORECASE | re.DOTALL)
_ABOVE = 400  # characters above a table in which its caption is looked for
_MARKDOWN_TABLE = re.compile(r"\n[ \t>]*\|?[ \t]*:?-+:?[ \t]*\|")
_LEVEL = re.compile(r"<(/?)su([pb])\b[^<>]*>", re.IGNORECASE)
_APART = re.compile(r"</?(?:br|p|div|li|ul|ol|hr|del|s|strike|img)\b[^<>]*>|~~", re.IGNORECASE)
_LINKED = re.compile(rf"(?<=[\w%)])((?:</\w+>)*\s?)<a\b[^<>]*>\s*({MARK.pattern})\s*</a\s*>", re.IGNORECASE)
JOINT = re.compile(r"(?<=\d)(?:</?(?!(?i:su[pb]\b))[a-zA-Z][^<>]*>|\*\*|`)+(?=\d)")  # digits do not join over markup


class HtmlText(NamedTuple):
    """A text with its tables, without comments; the offsets of its lines; what it is called; and how to read Markdown in it."""

    text: str
    starts: Sequence[int]
    document: str
    inline: Callable[[str], str] | None = None


class _HtmlRow(NamedTuple):
    """A row: the tag that starts it, whether it belongs to the head, and the tags of its cells."""

    tag: Tag
    head: bool
    cells: list[Tag]


def html_tables(text: str, document: str) -> tuple[list[Table], list[Finding]]:
    """The tables of an HTML text, each named after its caption, else the heading above, and findings as of `table_of`.

    Raises BadConfiguration for more than MOST_TAGS tags in them.
    """
    text = without_comments(text, document)
    page = HtmlText(text, line_starts(text), document)
    tables: list[Table] = []
    findings: list[Finding] = []
    heading, done = "", 0
    while span := table_span(text, done):
        heading, caption = titles(text[done : span[0]], heading)
        read, wrong = tables_of_span(page, span, heading, caption)
        tables += read
        findings += wrong
        done = span[1]
    return tables, findings


def without_comments(text: str, document: str) -> str:
    """The text of a document with comments, scripts, styles and each > inside an attribute blanked.

    Raises BadConfiguration for more than MOST_TAGS tags in its tables.
    """
    spans: list[Span] = []
    lower = text.lower()
    for opener, closer in (("<!--", "-->"), ("<script", "</script>"), ("<style", "</style>")):
        end = 0
        while (start := lower.find(opener, end)) >= 0 and (stop := lower.find(closer, start)) >= 0:
            end = stop + len(closer)
            spans.append(Span(start, end))
    text, end, tags = _QUOTED.sub(lambda value: value[0].replace(">", " "), blanked(text, sorted(spans))), 0, 0
    while span := table_span(text, end):
        end, tags = span[1], tags + text.count("<", *span)
    if tags > MOST_TAGS:
        raise BadConfiguration(f"{document}: more than {MOST_TAGS} tags in tables", "import the part that prints results")
    return text


def table_span(text: str, start: int, stop: int | None = None) -> tuple[int, int] | None:
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


def titles(fragment: str, heading: str, caption: str = "") -> tuple[str, str]:
    """The heading and the caption that hold below a piece of HTML without tables: the given ones if it has no words."""
    if not _plain(fragment):
        return heading, caption
    opened = None
    for tag in _HEADING.finditer(fragment):
        if tag[1] and opened is not None:
            heading = _plain(fragment[opened : tag.start()])
        opened = None if tag[1] else tag.end()
    tail = fragment[-_ABOVE:]
    edges = [match for match in _BLOCK.finditer(tail) if _plain(tail[match.end() :])]
    last = _BLOCK.sub(" ", tail[edges[-1].end() :] if edges else tail)
    certain = bool(_EMPHASISED.fullmatch(last)) or (bool(edges) and (edges[-1][1] or "").lower() in ("summary", "figcaption"))
    return heading, name_below(heading, _plain(last), certain=certain and _plain(last) != heading)


def tables_of_span(page: HtmlText, span: tuple[int, int], heading: str, caption: str) -> tuple[list[Table], list[Finding]]:
    """The table of a span and those inside it; outer ones come first."""
    from bs4 import BeautifulSoup

    text = page.text[span[0] : span[1]]
    soup = BeautifulSoup(_NO_TAG.sub(" ", text), "html.parser")
    lines = [span[0] + start for start in line_starts(text)]
    tables: list[Table] = []
    findings: list[Finding] = []

    def start(tag: Tag) -> int:
        return lines[(tag.sourceline or 1) - 1] + (tag.sourcepos or 0)

    def placed_of(tags: list[Tag]) -> list[Placed]:
        return [_placed(page, start(tag), span[1], tag) for tag in tags]

    for captions, rows in _tables(soup):
        rows = [row for row in rows if row.cells]
        placed = [(bisect_right(page.starts, start(row.tag)), placed_of(row.cells)) for row in rows]
        heads = _heads(rows, placed)
        own = "".join(place.cell.text for place in placed_of(captions[:1]))
        name = name_below(heading, own, certain=True) or caption
        if heads > 1 and len(placed[0][1]) == 1:  # a title over all columns
            name = name or name_below(heading, placed[0][1][0].cell.text, certain=True)
            placed, heads = placed[1:], heads - 1
        if len(placed) > heads:
            read, wrong = merged_table(name or heading, placed, heads, page.document)
            tables.append(read)
            findings += wrong
    return tables, findings


def _tables(soup: Tag) -> list[tuple[list[Tag], list[_HtmlRow]]]:
    """The captions and rows of each table. What is in a table inside another belongs to that alone."""
    tables: list[tuple[list[Tag], list[_HtmlRow]]] = []
    inside: dict[int, tuple[int, bool]] = {}  # of each tag: its table, and whether it is in the head
    for tag in soup.find_all(True):
        table, head = inside.get(id(tag.parent), (-1, False))
        if tag.name == "table":
            table = len(tables)
            tables.append(([], []))
        if tag.name in ("table", "thead", "tbody", "tfoot"):
            head = tag.name == "thead"
        inside[id(tag)] = table, head
        captions, rows = tables[table]
        if tag.name == "caption":
            captions.append(tag)
        if tag.name == "tr" or (tag.name in ("td", "th") and not rows):
            rows.append(_HtmlRow(tag, head, []))
        if tag.name in ("td", "th"):
            rows[-1].cells.append(tag)
    return tables


def _placed(page: HtmlText, start: int, stop: int, tag: Tag) -> Placed:
    """A cell or caption with its place; Markdown in it is read where a blank line ends the HTML."""
    start = page.text.index(">", start) + 1
    end = _CELL_END.search(page.text, start, stop)
    inner = page.text[start : end.start() if end else stop]
    text = _NO_TAG.sub(lambda match: "&lt;" if match[0] == "<" else " ", inner)
    if page.inline and re.search(r"\n[ \t]*\n", inner):
        text = "" if _MARKDOWN_TABLE.search(inner) else page.inline(text)
    start += len(inner) - len(inner.lstrip())
    cell = cell_of(marked(text), start, start + len(inner.strip()), bisect_right(page.starts, start))
    return Placed(cell, max(1, _number(tag, "colspan")), _number(tag, "rowspan") or MOST_TAGS)


def _number(tag: Tag, name: str) -> int:
    digits = re.match(r"\s*(\d{1,6})", str(tag.get(name, "1")))
    return int(digits[1]) if digits else 1


def _heads(rows: list[_HtmlRow], placed: list[tuple[int, list[Placed]]]) -> int:
    """How many rows are the header: those of the head, else of `th` alone, else the first unless it has a number."""
    numeric = [any(is_numeric(cell.text) for cell, _, _ in cells[1:]) for _, cells in placed]
    heads = next((n for n, row in enumerate(rows) if not row.head), len(rows))
    heads = heads or next((n for n, row in enumerate(rows) if any(tag.name == "td" for tag in row.cells)), 1)
    heads = heads or int(not all(numeric[:1]))
    for n in range(len(rows)):
        if n < heads:  # a cell of the header may reach into the next row
            reach = min(len(rows), n + max(down for _, _, down in placed[n][1]))
            heads = next((m for m in range(heads, reach) if numeric[m]), max(heads, reach))
    return heads


def marked(text: str) -> str:
    """Inline HTML as `cell_of` reads it: with the levels of super- and subscripts, a linked mark being one."""
    text = _LINKED.sub(rf"\1{RAISED}\2{LEVEL}", text)
    text = _LEVEL.sub(lambda tag: LEVEL if tag[1] else RAISED if tag[2] in "pP" else LOWERED, text)
    return html.unescape(_TAG.sub("", JOINT.sub(" ", _APART.sub(" ", text))))


def _plain(fragment: str) -> str:
    return " ".join(html.unescape(_TAG.sub(" ", fragment)).split())
