"""Claims out of a document: what a model-index and tables print, under ids that stay the same. docs/claims.md has the rules.

Of every number that is seen either a claim is made, or where it is and why it was left out. Pure.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from aqea_registry.base.findings import BadConfiguration, Finding, listed
from aqea_registry.claims.labels import promise_of, words_of
from aqea_registry.claims.ledger import At, Claim, Evaluation, Measurement, free
from aqea_registry.claims.relations import DraftedTable
from aqea_registry.documents.cells import DECIMAL_COMMA, LAST_DIGITS, WIDE, Number, Reading, read_cell
from aqea_registry.documents.metrics import is_score, metric_name, names_metric, names_other, names_score, written_in
from aqea_registry.documents.model_index import MOST, IndexEntry, Metric
from aqea_registry.documents.numbers import NotANumber, Unit, parse_number
from aqea_registry.documents.prose import line_starts
from aqea_registry.documents.tables import Cell, Row, Table

EvaluationUnit = Literal["percent", "fraction", "number"]  # the units in which evaluations are printed
_UNITS: tuple[Unit, ...] = ("percent", "tokens", "bytes", "dimensions", "millions", "billions")
UNITS: Mapping[str, Unit] = {"%": "percent", "m": "millions", "b": "billions", **{unit: unit for unit in _UNITS}}
SIMILARITIES = ("cos_sim", "dot", "euclidean", "manhattan")
FORUMS = (
    *("android", "english", "gaming", "gis", "mathematica", "physics"),
    *("programmers", "stats", "tex", "unix", "webmasters", "wordpress"),
)

_NOT_A_NUMBER = re.compile(r"[-+]?(nan|inf(inity)?)|[-–—]+|n\.?/?a\.?", re.IGNORECASE)
_GROUP = re.compile(r"[-+−]?[1-9]\d{0,2},\d{3}(?![\d,])")
_PERCENT = re.compile(r"[(\[](?:in )?(?:%|percent)[)\]]")
_WHOLE, _DECIMAL = re.compile(r"[\d,]+"), re.compile(r"\W*\d*\.\d+\W*")
_COMMA = re.compile(r"[^\w(\[]*\d+,\d")
_RUN = re.compile(r"\b(?:run|seed|fold|trial|shots?|k|epoch|step)\b", re.IGNORECASE)
_POWER = r"\s*(?:[x×·*]|\\times|\\cdot|&times;)\s*10(?:(?:\^|<sup>)\s*\{?[-+−]?\d{1,3}(?:\}|</sup>)?|[⁺⁻]?[⁰¹²³⁴-⁹]+)"
_APART = "'’\u2009\u202f"  # between thousands
# A letter of a cell's source, or what prints none inside a number.
_PIECE = re.compile(rf"[*_`{{}}{_APART}]|<[^<>]*>|\\(?:[A-Za-z]+|[!,])|(&#?\w{{1,10}};|.)", re.DOTALL)
_LONGEST = 60  # of a part of an id; three and a suffix fit into one


class LeftOut(msgspec.Struct, frozen=True):
    """A cell or value that was not imported: line and column of its first character, its text, why, how many numbers it has."""

    line: int
    column: int
    text: str
    reason: str
    numbers: int = 1


class Imported(msgspec.Struct):
    """What a document prints: results by key, claims in its order, what is wrong, notes, what was left out, and its tables;
    by ids of claims what `bind` recomputes in place of a wrong digit.
    """

    results: dict[str, Evaluation] = {}
    claims: list[Claim] = []
    findings: list[Finding] = []
    notes: list[str] = []
    left_out: list[LeftOut] = []
    tables: list[DraftedTable] = []
    right: dict[str, str] = {}


def slug(text: str, otherwise: str) -> str:
    """A text as part of an id: small letters and digits with hyphens between; `otherwise` if nothing of it is left."""
    letters = unicodedata.normalize("NFKD", text[:1000]).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", letters).strip("-")[:_LONGEST].rstrip("-") or otherwise


def read_number(text: str) -> tuple[str, bool] | None:
    """A cell's number as printed, and whether a percent sign follows; None if it is not a finite number."""
    number = text.strip().removesuffix("%").rstrip()
    try:
        parse_number(number, "number")
    except NotANumber:
        return None
    return number, text.strip().endswith("%")


def claims_of_index(
    entries: Sequence[IndexEntry],
    document: str,
    lines: Sequence[str],
    unit: EvaluationUnit | None = None,
    wrong: Mapping[str, Finding] | None = None,
) -> Imported:
    """A result for each entry and a claim for each value: measured, or derived where the row aggregates others for certain.

    Without `unit` a value is in that of the program that wrote the result; where it is not known, in percent, with a note.
    Values of which something is `wrong`, by their paths, are left out.
    """
    imported, unknown = Imported(), list[str]()
    keys = _unique([slug(entry.name.removeprefix("MTEB "), "result") for entry in entries])
    forums = _forums(dict(zip(keys, entries, strict=True)))
    for key, entry in zip(keys, entries, strict=True):
        imported.results[key] = _evaluation(entry)
        names = _metric_names(entry.metrics)
        types = {metric_name(metric.type): name for metric, name in zip(entry.metrics, names, strict=True)}
        written = unit or written_in(entry.task, entry.dataset, entry.name, [metric.type for metric in entry.metrics])
        unknown += [] if written else [key]
        for name, metric in zip(names, entry.metrics, strict=True):
            scale = "number" if written in (None, "fraction") and not is_score(metric.type) else written or "percent"
            number, printed = read_number(metric.value or ""), metric.value or ""
            doubted = "," in printed and (scale != "number" or number is None)
            finding = (wrong or {}).get(metric.path)
            if number is None or doubted or finding:
                why = DECIMAL_COMMA if doubted else "not a finite number" if number is None else "not read as it is printed"
                message = f"{metric.path}: the value of {metric.type} {'has' if doubted else 'is'} {why}; it was not imported"
                finding = finding or Finding("malformed", f"{document}:{metric.line}", message, actual=metric.value)
                column = lines[metric.line - 1].find(printed) if metric.line <= len(lines) else 0
                # A result file may have them: of a metric without a value mteb writes NaN.
                imported.findings += [] if entry.version and _NOT_A_NUMBER.fullmatch(printed) else [finding]
                imported.left_out.append(LeftOut(metric.line, max(column, 0) + 1, printed, why))
                continue
            at, unit_of = At(path=metric.path, line=metric.line), "percent" if number[1] else scale
            derived = _derived(key, entry, metric, types, forums)
            measured = None if derived else Measurement(result=key, metric=metric.type)
            claim = Claim(id=f"{key}.{name}", value=number[0], unit=unit_of, at=at, measured=measured, derived=derived)
            imported.claims.append(claim)
    if unknown:
        message = "the unit is not known from the program that wrote them, and was taken for percent; --unit says another"
        imported.notes.append(f"{listed(unknown)}: {message}")
    return imported


def _evaluation(entry: IndexEntry) -> Evaluation:
    """The result of an entry, with the model's revision where all its values have one."""
    commits = {metric.model_revision for metric in entry.metrics}
    fields = {"config": entry.config, "split": entry.split, "revision": entry.revision, "task": entry.task or None}
    fields |= {"model_revision": commits.pop() if len(commits) == 1 else None, "mteb": entry.version}
    given = {field: value for field, value in fields.items() if value is not None}
    return Evaluation(dataset=entry.dataset, model=entry.model, **given)


def claims_of_tables(
    tables: Sequence[Table], text: str = "", document: str = "", unit: Unit | None = None, imported: Imported | None = None
) -> Imported:
    """An unbound claim for each number in columns of results, TABLE.ROW.COLUMN.

    The second number of a cell is TABLE.ROW.COLUMN@2, with what it is in its note. `unit` is that of scores that name none.
    """
    imported, cut = imported or Imported(), 2 * _LONGEST
    page = _Source(text, line_starts(text), document)
    for key, whole in zip(_unique([slug(table.name, "table") for table in tables]), tables, strict=True):
        table, runs = _told_apart(whole)
        named = [column for column in range(len(table.columns)) if column != table.key]
        columns = dict(zip(named, _unique([slug(table.columns[c], f"column-{c + 1}") for c in named]), strict=True))
        rows = _unique([slug(label, f"row-{n}") for n, label in enumerate(table.texts(table.key), 1)])
        drafted: dict[tuple[int, int], list[Claim]] = {}
        for c, column in _readings(table, runs, key, page, imported).items():
            unit_of = _units(table.columns[c], list(column.values()), "percent" if _PERCENT.search(table.name) else unit)
            for r, read in column.items():
                row, label, id_ = table.rows[r], table.rows[r].cells[table.key].text, f"{key}.{rows[r]}.{columns[c]}"
                at = At(table=(table.name or key)[:cut], row=label[:cut] or None, column=table.columns[c][:cut] or None)
                for n, number in enumerate(read, 1):
                    number = page.spelled(row.cells[c], number)
                    line, _ = page.position(row.cells[c], row.line, number.printed or number.value)
                    claim = _claim(id_ if n == 1 else f"{id_}@{n}", number, unit_of(number, label), replace(at, line=line))
                    drafted.setdefault((r, c), []).append(claim)
        firsts = {place: claims[0] for place, claims in drafted.items() if claims[0].note is None}
        if len(imported.claims) + len(firsts) > MOST:
            raise BadConfiguration(f"more than {MOST} numbers in tables", "import the part that prints results")
        imported.claims.extend(claim for _, claims in sorted(drafted.items()) for claim in claims)
        beside = [
            [cell.text for c, cell in enumerate(row.cells) if c != table.key and names_metric(cell.text)] for row in table.rows
        ]
        imported.tables.append(DraftedTable(table.name or key, table.texts(table.key), table.columns, firsts, beside))
    return imported


class _Source(NamedTuple):
    """A document: its text, where its lines start, and its name."""

    text: str
    starts: Sequence[int]
    name: str

    def position(self, cell: Cell, line: int, spelled: str) -> tuple[int, int]:
        """Line and column of a text in a cell, or of the cell; of its row where the cell's source is not known."""
        if not self.text or cell.end <= cell.start:
            return cell.line or line, 1
        offset = self.text.find(spelled, cell.start, cell.end)
        if offset < 0:  # perhaps in the author's macro
            found = _word(spelled, self.text) if spelled[-1:].isdecimal() else None
            offset = found.start() if found else cell.start
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1

    def spelled(self, cell: Cell, number: Number) -> Number:
        """The number with a spelling that the cell's source has: markup may part it from its unit, and its digits."""
        source, digits = self.text[cell.start : cell.end], re.search(r"[\d.,]*\d", number.printed or number.value)
        if digits and "10^" in (number.printed or "") and (power := re.search(re.escape(digits[0]) + _POWER, source)):
            return number._replace(printed=power[0])
        plain = source.translate(WIDE)
        for wanted in (number.printed, number.value, digits and digits[0]):
            if wanted and (found := _word(wanted, plain)):
                text = source[found.start() : found.end()]
                return number._replace(printed=None if text == number.value else text)
        seen = [
            (letter, part)
            for part in _PIECE.finditer(source)
            for letter in (html.unescape(part[1]).translate(WIDE) if part[1] else "")
            if letter not in _APART
        ]
        for place in re.finditer(re.escape(digits[0]), "".join(letter for letter, _ in seen)) if digits else ():
            text = source[seen[place.start()][1].start() : seen[place.end() - 1][1].end()]
            if _word(text, source):
                return number._replace(printed=text)
        return number


def _word(spelled: str, text: str) -> re.Match[str] | None:
    """Where a text has a number that is not part of another one."""
    return re.search(rf"(?<![\d.]){re.escape(spelled)}(?!\.?\d|,\d{{3}}(?!\d))", text) if spelled in text else None


def _told_apart(table: Table) -> tuple[Table, set[int]]:
    """The table whose rows of one name, or of none, have the title, words, signs or run beside it; and the columns of runs."""
    names, averages = table.texts(table.key), [_average(row, table.key) for row in table.rows]
    known = {average for name, average in zip(names, averages, strict=True) if name}  # as of a column of kinds of pooling
    names = [name or average * (average not in known) for name, average in zip(names, averages, strict=True)]
    if len(set(names)) < len(names):
        titles = list(accumulate(table.rows, lambda title, row: _title(row, table.key) or title, initial=""))[1:]
        longer = [name if name == title else f"{title} {name}".strip() for title, name in zip(titles, names, strict=True)]
        names = longer if len(set(longer)) > len(set(names)) else names
    named, runs = _joined(table, list(accumulate(names, lambda above, name: name or above, initial=""))[1:])
    if len(set(named)) < len(names):
        named, runs = _joined(table, names)
    rows = [
        row._replace(cells=(*row.cells[: table.key], row.cells[table.key]._replace(text=name), *row.cells[table.key + 1 :]))
        for row, name in zip(table.rows, named, strict=True)
    ]
    return table._replace(rows=tuple(rows)), runs


def _joined(table: Table, names: list[str]) -> tuple[list[str], set[int]]:
    """The names with those of columns that make more of them differ, and the columns of runs among these."""
    runs = set[int]()
    for c in table.results:
        texts = table.texts(c)
        is_run = bool(_RUN.search(table.columns[c])) and all(map(str.isdecimal, texts))
        words = all(text[:1].isalpha() or (text and not any(map(str.isdecimal, text))) for text in texts)
        if len(set(names)) == len(names) or not (is_run or words):
            continue
        longer = [f"{name} {text}".strip() for name, text in zip(names, texts, strict=True)]
        if len(set(longer)) > len(set(names)):
            names = longer
            runs |= {c} if is_run else set()
    return names, runs


def _average(row: Row, key: int) -> str:
    """The words beside the name of a row, if they say that it is an average or the like."""
    words = " ".join(cell.text for c, cell in enumerate(row.cells) if c != key and any(map(str.isalpha, cell.text)))
    return words if promise_of(words_of(words)) else ""


def _title(row: Row, key: int) -> str:
    """The only text of a row, which is a title of those below it."""
    texts = {cell.text for cell in row.cells} - {""}
    return row.cells[key].text if texts == {row.cells[key].text} and len(row.cells) > 1 else ""


def _readings(
    table: Table, runs: set[int], key: str, page: _Source, imported: Imported
) -> dict[int, dict[int, tuple[Number, ...]]]:
    """The numbers of a table's cells by column and row; what is not read is noted. A number that spans cells is read once."""
    found: dict[int, dict[int, tuple[Number, ...]]] = {}
    skipped: list[tuple[int, str]] = []
    texts = [cell.text for row in table.rows for cell in row.cells if _COMMA.match(cell.text)]
    commas = any(read_cell(text).why == DECIMAL_COMMA for text in texts)
    doubted = {c: ",." if commas else "," if _is_score(table, c) else "" for c in table.results if c not in runs}
    seen = set[tuple[int, int]]()
    for r, row in enumerate(table.rows):
        metric = names_metric(row.cells[table.key].text)
        for c, cell in enumerate(row.cells):
            score = _DECIMAL.fullmatch(cell.text) is not None and not names_other(table.columns[c])
            names = c == table.key and len(row.cells) > 1 and not (score or names_metric(table.columns[c]))
            if names or (cell.end > cell.start and (cell.start, cell.end) in seen):
                continue
            seen.add((cell.start, cell.end))
            if cell.struck and (old := read_cell(cell.struck)).seen:
                _leave_out(cell._replace(text=cell.struck), row, old._replace(why="struck out or hidden"), page, imported)
            other = "names the row" if c in runs or c == table.key else "a rank or index"
            by_row = "," if metric and not names_other(table.columns[c]) else ""
            reading = read_cell(cell.text, doubted.get(c) or by_row)
            if reading.numbers and c in doubted:
                found.setdefault(c, {})[r] = reading.numbers
            elif reading.seen:
                _leave_out(cell, row, reading if reading.why else reading._replace(why=other), page, imported)
            elif _NOT_A_NUMBER.fullmatch(cell.text[:40]):
                skipped.append((c, f"{cell.text[:20]!r} (line {row.line})"))
    for row in table.ragged:
        for cell in row.cells[1:]:
            if (reading := read_cell(f"{cell.struck} {cell.text}".strip())).seen:
                _leave_out(cell, row, reading._replace(why="not as many cells as the header"), page, imported)
    if shown := [text for c, text in sorted(skipped, key=lambda one: one[0]) if c in found]:
        imported.notes.append(f"{table.name or key}: no finite number: {listed(shown)}")
    return found


def _is_score(table: Table, column: int) -> bool:
    """Whether a column holds scores, in which `82,034` is not a count: it says so, or is called a score and has decimals."""
    header = table.columns[column]
    if re.search(r"%|percent|fraction", header) or (names_metric(header) and not names_other(header)):
        return True
    return names_score(header) and any(re.search(r"\d[.,]\d{1,2}(?!\d)", text) for text in table.texts(column))


def _leave_out(cell: Cell, row: Row, reading: Reading, page: _Source, imported: Imported) -> None:
    line, column = page.position(cell, row.line, cell.text)
    imported.left_out.append(LeftOut(line, column, cell.text[:100], reading.why or "", reading.seen))
    if reading.why == DECIMAL_COMMA and _GROUP.match(cell.text):
        message = f"{cell.text[:40]}: a decimal comma? As thousands it is too large for a score; it was not imported"
        imported.findings.append(Finding("malformed", f"{page.name}:{line}", message, actual=cell.text[:40]))


def _units(header: str, column: Sequence[Sequence[Number]], score: Unit | None) -> Callable[[Number, str], Unit]:
    """The unit of a number of the column, beside the name of its row: what the number or the header has in brackets, a count
    where commas part thousands, and else, of scores that name no other, that of scores.
    """
    bracket = re.search(r"[(\[](?:in )?([^()\[\]]{1,20})[)\]][\s↑↓]*$", header)
    named = (
        UNITS.get(bracket[1].strip().lower()) if bracket else "percent" if re.search(r"%[\s↑↓]*$|[(\[]%[)\]]", header) else None
    )
    texts = [numbers[0].value for numbers in column if numbers[0].unit is None]
    whole: Unit = "count" if all(map(_WHOLE.fullmatch, texts)) and any("," in text for text in texts) else "number"
    other = names_other(header) or (bracket is not None and bracket[1].isalpha())
    inside = [text for text in texts if _is_within(text, score)]
    if other or (score == "percent" and all(_is_within(text, "fraction") for text in inside)):
        score = None  # it is of something else, or a hundred times too small
    scores = len(inside) == len(texts) and any("." in text for text in texts)

    def unit_of(number: Number, row: str) -> Unit:
        if unit := number.unit or ("number" if number.kind in ("rank", LAST_DIGITS) else named):
            return unit
        is_score = (scores or "." in number.value) and not names_other(row) and _is_within(number.value, score)
        return (is_score and score) or (whole if number.value.replace(",", "").isdecimal() else "number")

    return unit_of


def _claim(id_: str, number: Number, unit: Unit, at: At) -> Claim:
    note = number.kind or None
    return Claim(id=id_, value=number.value, unit=unit, at=at, bound=number.bound, printed=number.printed, note=note)


def _is_within(text: str, score: Unit | None) -> bool:
    return abs(parse_number(text, "number").value) <= (100 if score == "percent" else 1)


def _derived(
    key: str, entry: IndexEntry, metric: Metric, types: Mapping[str, str], forums: Mapping[str, set[str]]
) -> str | None:
    """What a value is computed from, where that is certain: best-of fields, and the mean over CQADupstack's forums."""
    kind = metric_name(metric.type).removeprefix("max_")
    parts = [types.get(f"{similarity}_{kind}") for similarity in SIMILARITIES]
    if entry.task == "PairClassification" and kind != metric_name(metric.type) and None not in parts:
        return f"max({', '.join(f'[{key}.{part}]' for part in parts)})"
    return f"mean([cqadupstack*retrieval.{metric.type}])" if metric.type in forums.get(key, ()) else None


def _forums(entries: Mapping[str, IndexEntry]) -> dict[str, set[str]]:
    """The metrics that all twelve forums print, under the key of the row that aggregates them; empty if one is missing."""
    mean = "cqadupstackretrieval"
    parts = [f"cqadupstack{forum}retrieval" for forum in FORUMS]
    alike = {key for key in entries if re.fullmatch(r"cqadupstack.*retrieval", key)}
    if alike != {mean, *parts} or len({(entries[key].model, entries[key].split) for key in alike}) > 1:
        return {}
    printed = [[metric.type for metric in entries[key].metrics] for key in (mean, *parts)]
    if any(len(set(types)) != len(types) for types in printed):
        return {}
    return {mean: set.intersection(*map(set, printed))}


def _metric_names(metrics: Sequence[Metric]) -> list[str]:
    """A name for each value of a result: its type, or its own name where a type appears twice."""
    types = Counter(metric.type for metric in metrics)
    spelled = [m.name if m.name and types[m.type] > 1 else m.type for m in metrics]
    return _unique([re.sub(r"[^a-z0-9_]+", "-", text.lower())[:_LONGEST].strip("-") or "metric" for text in spelled])


def _unique(names: Iterable[str]) -> list[str]:
    """The names, repeated ones with a number behind them."""
    taken = dict[str, int]()
    return [free(name, taken) for name in names]
