"""Tables of HTML, alone or inside Markdown, by Beautiful Soup over Python's own parser, which knows where each tag starts.

Only tables are parsed, and of them neither comments and scripts nor a `<` that starts no tag: the parser is quadratic in those.
A cell ends where the next one starts, closed or not. Pure.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from aqea_registry.base.findings import BadConfiguration, Finding
from aqea_registry.documents.merged_cells import Placed, merged_table
from aqea_registry.documents.prose import Span, blanked
from aqea_registry.documents.tables import LEVEL, LOWERED, RAISED, Table, cell_of, is_numeric, name_below

if TYPE_CHECKING:
    from bs4 import Tag

MOST_TAGS = 30_000  # in tables; Beautiful Soup reads some 40,000 in a second
MARK = re.compile(r"\[?(?:\d{1,2}|[a-z*†‡§¶])\]?")  # a short text of a link that is a footnote's mark beside a number

_TABLE = re.compile(r"<(/?)table\b[^<>]*>", re.IGNORECASE)
_NO_TAG = re.compile(r"<(?!/?[A-Za-z][^<>]*>)|[\ue000-\ue003]")
_LITERAL = "\ue003"  # in the place of a < that starts no tag
_TAG = re.compile(r"<[^<>]*>")
_CELL_END = re.compile(r"</?t(?:[dhr]|able|body|head|foot)\b", re.IGNORECASE)
_HEADING = re.compile(r"<(/?)h[1-6]\b[^<>]*>", re.IGNORECASE)
_BLOCK = re.compile(
    r"</?(summary|figcaption|p|div|h[1-6]|center|br|section|article|details|ul|ol|li|figure|body|hr)\b[^<>]*>|\n[ \t]*\n",
    re.IGNORECASE,
)
_EMPHASISED = re.compile(r"\s*<(b|strong|em|i|u)\b[^<>]*>.*</\1\s*>[:.\s]*", re.IGNORECASE | re.DOTALL)
_ABOVE = 400  # characters above a table in which its caption is looked for
_MARKDOWN_TABLE = re.compile(r"\n[ \t>]*\|?[ \t]*:?-+:?[ \t]*\|")
_APART = frozenset({"br", "p", "div", "li", "ul", "ol", "hr", "del", "s", "strike", "table", "img"})


class HtmlText(NamedTuple):
    """A text with its tables, without comments; the offsets of its lines; what it is called; and how to read Markdown in it."""

    text: str
    starts: list[int]
    document: str
    inline: Callable[[str], str] | None = None


class _HtmlRow(NamedTuple):
    """A row: the tag that starts it, whether it belongs to the head, and its cells' tags and parts of text."""

    tag: Tag
    head: bool
    cells: list[tuple[Tag, list[str]]]


def html_tables(text: str, document: str) -> tuple[list[Table], list[Finding]]:
    """The tables of an HTML text, each named after its caption, else the heading above, and findings as of `table_of`.

    Raises BadConfiguration for more than MOST_TAGS tags in them.
    """
    text = without_comments(text, document)
    page = HtmlText(text, [0, *(match.end() for match in re.finditer("\n", text))], document)
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
    """The text of a document with comments, scripts and styles blanked.

    Raises BadConfiguration for more than MOST_TAGS tags in its tables.
    """
    spans: list[Span] = []
    lower = text.lower()
    for opener, closer in (("<!--", "-->"), ("<script", "</script>"), ("<style", "</style>")):
        end = 0
        while (start := lower.find(opener, end)) >= 0 and (stop := lower.find(closer, start)) >= 0:
            end = stop + len(closer)
            spans.append(Span(start, end))
    text, end, tags = blanked(text, sorted(spans)), 0, 0
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
    soup = BeautifulSoup(_NO_TAG.sub(lambda match: _LITERAL if match[0] == "<" else " ", text), "html.parser")
    lines = [span[0], *(span[0] + match.end() for match in re.finditer("\n", text))]
    tables: list[Table] = []
    findings: list[Finding] = []
    for table in soup.find_all("table"):
        own, rows = _rows(table)
        placed = []
        for row in rows:
            cells = [_placed(page, _start(tag, lines), span[1], tag, "".join(parts)) for tag, parts in row.cells]
            placed.append((bisect_right(page.starts, _start(row.tag, lines)), cells))
        heads = _heads(rows, placed)
        name = name_below(heading, cell_of(own).text, certain=True) or caption
        if heads > 1 and len(placed[0][1]) == 1:  # a title over all columns
            name = name or name_below(heading, placed[0][1][0].cell.text, certain=True)
            placed, heads = placed[1:], heads - 1
        if len(placed) > heads:
            read, wrong = merged_table(name or heading, placed, heads, page.document)
            tables.append(read)
            findings += wrong
    return tables, findings


def _rows(table: Tag) -> tuple[str, list[_HtmlRow]]:
    """The text of a table's caption, and its rows."""
    caption: list[str] = []
    rows: list[_HtmlRow] = []
    links: list[int] = []
    parts: list[str] | None = None
    head = False
    for node, opened in _walk(table):
        if isinstance(node, str):
            if parts is not None:
                parts += [" ", node] if parts and parts[-1][-1:].isdecimal() and node[:1].isdecimal() else [node]
        elif node.name in ("thead", "tbody", "tfoot"):
            head = opened and node.name == "thead"
        elif node.name == "caption":
            parts = caption if opened else None
        elif node.name in ("tr", "td", "th"):
            parts = None
            if opened and (node.name == "tr" or not rows):
                rows.append(_HtmlRow(node, head, []))
            if opened and node.name != "tr":
                parts = []
                rows[-1].cells.append((node, parts))
        elif parts is not None:
            _mark_up(parts, node.name, opened, links)
    return "".join(caption), [row for row in rows if row.cells]


def _walk(table: Tag) -> Iterator[tuple[Tag | str, bool]]:
    """The tags inside a table, when they open and when they close, and the texts; not those of tables inside it."""
    from bs4.element import NavigableString, Tag

    stack = [(table, iter(table.contents))]
    while stack:
        node = next(stack[-1][1], None)
        if node is None:
            yield stack.pop()[0], False
        elif isinstance(node, Tag):
            yield node, True
            if node.name != "table":
                stack.append((node, iter(node.contents)))
        elif type(node) is NavigableString:
            yield str(node), True


def _mark_up(parts: list[str], name: str, opened: bool, links: list[int]) -> None:
    """Add what a tag inside a cell means for its text."""
    if name in ("sup", "sub"):
        parts.append(LEVEL if not opened else RAISED if name == "sup" else LOWERED)
    elif name in _APART:
        parts.append(" ")
    elif name == "a" and opened:
        links.append(len(parts))
    elif name == "a" and links and 0 < (start := links.pop()) < len(parts) <= start + 8:
        before, shown = parts[start - 1].rstrip()[-1:], "".join(parts[start:]).strip()
        if MARK.fullmatch(shown) and (before.isalnum() or before in tuple("%)")):
            parts[start:] = [RAISED, shown, LEVEL]


def _placed(page: HtmlText, start: int, stop: int, tag: Tag, text: str) -> Placed:
    """A cell with its place; Markdown in it is read where a blank line ends the HTML."""
    start = page.text.index(">", start) + 1
    found = _CELL_END.search(page.text, start, stop)
    inner = page.text[start : found.start() if found else stop]
    if page.inline and re.search(r"\n[ \t]*\n", inner):
        text = "" if _MARKDOWN_TABLE.search(inner) else page.inline(text)
    start += len(inner) - len(inner.lstrip())
    cell = cell_of(text.replace(_LITERAL, "<"), start, start + len(inner.strip()), bisect_right(page.starts, start))
    return Placed(cell, max(1, _number(tag, "colspan")), _number(tag, "rowspan") or MOST_TAGS)


def _start(tag: Tag, lines: list[int]) -> int:
    return lines[(tag.sourceline or 1) - 1] + (tag.sourcepos or 0)


def _number(tag: Tag, name: str) -> int:
    digits = re.match(r"\s*(\d{1,6})", str(tag.get(name, "1")))
    return int(digits[1]) if digits else 1


def _heads(rows: list[_HtmlRow], placed: list[tuple[int, list[Placed]]]) -> int:
    """How many rows are the header: those of the head, else of `th` alone, else the first unless it has a number."""
    numeric = [any(is_numeric(cell.text) for cell, _, _ in cells[1:]) for _, cells in placed]
    heads = next((n for n, row in enumerate(rows) if not row.head), len(rows))
    heads = heads or next((n for n, row in enumerate(rows) if any(tag.name == "td" for tag, _ in row.cells)), 1)
    heads = heads or int(not all(numeric[:1]))
    for n in range(len(rows)):
        if n < heads:  # a cell of the header may reach into the next row
            reach = min(len(rows), n + max(down for _, _, down in placed[n][1]))
            heads = next((m for m in range(heads, reach) if numeric[m]), max(heads, reach))
    return heads


def _plain(fragment: str) -> str:
    return " ".join(html.unescape(_TAG.sub(" ", fragment)).split())
