"""Claims out of a document: what a model-index and tables print, under ids that stay the same. docs/claims.md has the rules.

A ledger imported again: what people wrote into it stays, what the document prints is as it is now.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import msgspec

from aqea_registry.base.findings import BadConfiguration, Finding
from aqea_registry.claims.ledger import At, Claim, Document, Evaluation, Ledger, Measurement
from aqea_registry.documents.model_index import MOST, IndexEntry, Metric
from aqea_registry.documents.numbers import NotANumber, Unit, parse_number
from aqea_registry.documents.tables import Table, TableRow

EvaluationUnit = Literal["percent", "fraction", "number"]  # the units in which evaluations are printed
UNITS: Mapping[str, Unit] = {
    "%": "percent",
    "percent": "percent",
    "tokens": "tokens",
    "bytes": "bytes",
    "dimensions": "dimensions",
    "millions": "millions",
    "m": "millions",
    "billions": "billions",
    "b": "billions",
}
TOTALS: Mapping[str, str] = {"total": "sum", "sum": "sum", "average": "mean", "avg": "mean", "avg.": "mean", "mean": "mean"}
SIMILARITIES = ("cos_sim", "dot", "euclidean", "manhattan")
FORUMS = (
    *("android", "english", "gaming", "gis", "mathematica", "physics"),
    *("programmers", "stats", "tex", "unix", "webmasters", "wordpress"),
)

_NO_NUMBER = re.compile(r"[-+]?(nan|inf(inity)?)|[-–—]+|n\.?/?a\.?|[-+]?[\d,.]+e[-+]?\d+", re.IGNORECASE)
_LONGEST = 60  # of a part of an id; three and a suffix fit into one


class Imported(NamedTuple):
    """What a document prints: results by key, claims in its order, what is wrong in it, and what was left out."""

    results: dict[str, Evaluation]
    claims: list[Claim]
    findings: list[Finding]
    notes: list[str]


def slug(text: str, otherwise: str) -> str:
    """A text as part of an id: small letters and digits with hyphens between; `otherwise` if nothing of it is left."""
    letters = unicodedata.normalize("NFKD", text[:1000]).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", letters).strip("-")[:_LONGEST].rstrip("-") or otherwise


def read_number(text: str) -> tuple[str, bool] | None:
    """A cell's number as printed, and whether a percent sign stands behind it; None if it is no finite number."""
    number = text.strip().removesuffix("%").rstrip()
    try:
        parse_number(number, "number")
    except NotANumber:
        return None
    return number, text.strip().endswith("%")


def claims_of_index(entries: Sequence[IndexEntry], document: str, unit: EvaluationUnit) -> Imported:
    """A result for each entry and a claim for each value: measured, or derived where the row aggregates others for certain.

    The key of a result is its dataset's name without `MTEB`, that of a claim the result's and the metric's type.
    """
    found = Imported({}, [], [], [])
    keys = _unique([slug(entry.name.removeprefix("MTEB "), "result") for entry in entries])
    forums = _forums(dict(zip(keys, entries, strict=True)))
    for key, entry in zip(keys, entries, strict=True):
        commits = {metric.model_revision for metric in entry.metrics}
        given = {"config": entry.config, "split": entry.split, "revision": entry.revision, "task": entry.task}
        given |= {"model_revision": commits.pop() if len(commits) == 1 else None}
        known = {field: value for field, value in given.items() if value is not None}
        found.results[key] = Evaluation(dataset=entry.dataset, model=entry.model, **known)
        types = {metric.type for metric in entry.metrics}
        for name, metric in zip(_metric_names(entry.metrics), entry.metrics, strict=True):
            read = read_number(metric.value) if metric.value is not None else None
            if read is None:
                found.findings.append(_no_number(document, metric))
                continue
            at = At(path=metric.path, line=metric.line)
            derived = _derived(key, entry, metric, types, forums)
            measured = None if derived else Measurement(result=key, metric=metric.type)
            one: Unit = "percent" if read[1] else unit
            found.claims.append(Claim(id=f"{key}.{name}", value=read[0], unit=one, at=at, measured=measured, derived=derived))
    return found


def claims_of_tables(tables: Sequence[Table], first: str = "table") -> Imported:
    """An unbound claim for each number behind the first column, TABLE.ROW.COLUMN; the last row's total is derived."""
    found = Imported({}, [], [], [])
    for name, table in zip(_unique([slug(table.name, first) for table in tables]), tables, strict=True):
        columns = _unique([slug(text, f"column-{n}") for n, text in enumerate(table.header[1:], 2)])
        rows = _unique([slug(row.cells[0], f"row-{n}") for n, row in enumerate(table.rows, 1)])
        cells: list[tuple[int, int, Claim]] = []
        skipped: list[str] = []
        for c, column in enumerate(columns, 1):
            numbers = [read_number(row.cells[c]) for row in table.rows]
            units = _units(table.header[c], numbers)
            texts = [
                (row, row.cells[c]) for row, number in zip(table.rows, numbers, strict=True) if number is None and any(numbers)
            ]
            skipped += [f"{text[:20]!r} (line {row.line})" for row, text in texts if _NO_NUMBER.fullmatch(text[:40])]
            made = {
                r: Claim(
                    id=f"{name}.{rows[r]}.{column}",
                    value=number[0],
                    unit=units[r],
                    at=_cell(table, c, table.rows[r], table.name or name),
                )
                for r, number in enumerate(numbers)
                if number is not None
            }
            if len(cells) + len(made) + len(found.claims) > MOST:
                raise BadConfiguration(f"more than {MOST} numbers in tables", "import the part that prints results")
            cells += [(r, c, claim) for r, claim in _with_total(table, made, f"{name}.*.{column}", found.notes).items()]
        found.claims.extend(claim for _, _, claim in sorted(cells, key=lambda cell: cell[:2]))
        if skipped:
            more = f" and {len(skipped) - 5} more" if len(skipped) > 5 else ""
            found.notes.append(f"{table.name or name}: no finite number: {', '.join(skipped[:5])}{more}")
    return found


def _derived(key: str, entry: IndexEntry, metric: Metric, types: set[str], forums: Mapping[str, set[str]]) -> str | None:
    """What a value is computed from, where its place says so: best-of fields, and the mean over CQADupstack's forums."""
    kind = metric.type.removeprefix("max_")
    parts = [f"{similarity}_{kind}" for similarity in SIMILARITIES]
    if entry.task == "PairClassification" and kind != metric.type and types.issuperset(parts):
        return f"max({', '.join(f'[{key}.{part}]' for part in parts)})"
    if metric.type in forums.get(key, ()):
        return f"mean([cqadupstack*retrieval.{metric.type}])"
    return None


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
    """A name for each value of a result: its type, or its own name where a type stands twice."""
    types = [metric.type for metric in metrics]
    spelled = [m.name if m.name and types.count(m.type) > 1 else m.type for m in metrics]
    return _unique([re.sub(r"[^a-z0-9_]+", "-", text.lower())[:_LONGEST].strip("-") or "metric" for text in spelled])


def _no_number(document: str, metric: Metric) -> Finding:
    message = f"{metric.path}: the value of {metric.type} is no finite number; it was not imported"
    return Finding(code="malformed", subject=f"{document}:{metric.line}", message=message, actual=metric.value)


def _cell(table: Table, column: int, row: TableRow, name: str) -> At:
    cut = 2 * _LONGEST
    return At(table=name[:cut], row=row.cells[0][:cut] or None, column=table.header[column][:cut] or None, line=row.line)


def _units(header: str, numbers: Sequence[tuple[str, bool] | None]) -> list[Unit]:
    """A unit for each cell of a column: the header's in brackets, a percent sign, or a count where commas part thousands."""
    bracket = re.search(r"[(\[]([^()\[\]]{1,20})[)\]]\s*$", header)
    named = UNITS.get((bracket[1] if bracket else header).strip().lower()) if bracket or header.strip() == "%" else None
    there = [number for number in numbers if number is not None]
    whole = all(re.fullmatch(r"[\d,]+", text) for text, _ in there)
    other: Unit = "count" if whole and any("," in text for text, _ in there) else "number"
    return ["percent" if number and number[1] else named or other for number in numbers]


def _with_total(table: Table, made: dict[int, Claim], pattern: str, notes: list[str]) -> dict[int, Claim]:
    """Bind the last row's total to the rest of its column, if nothing is in doubt: no other total, no gap, one unit.

    A total says of what it is one. An average does not: it is bound only if the plain mean of the rows gives it.
    """
    functions = [TOTALS.get(row.cells[0].lower()) for row in table.rows]
    last = len(functions) - 1
    function = functions[last] if functions else None
    whole = table.whole and len(made) == len(functions) > 2 and len({claim.unit for claim in made.values()}) == 1
    if function is None or functions.count(None) != last or not whole:
        return made
    if function == "mean" and not _is_mean(made[last], [made[r] for r in range(last)]):
        notes.append(f"{made[last].id}: not the plain mean of its column; bind it by hand if it should be one")
        return made
    total = made[last]
    return {
        **made,
        last: Claim(id=total.id, value=total.value, unit=total.unit, at=total.at, derived=f"{function}([{pattern}])"),
    }


def _is_mean(claim: Claim, parts: Sequence[Claim]) -> bool:
    printed, others = parse_number(claim.value or "", claim.unit), [parse_number(part.value or "", part.unit) for part in parts]
    low = sum((one.low for one in others), Fraction(0)) / len(others)
    high = sum((one.high for one in others), Fraction(0)) / len(others)
    return printed.low <= high and low <= printed.high


def _unique(names: Iterable[str]) -> list[str]:
    """The names, those that stood before with the next free number behind."""
    taken: dict[str, int] = {}
    result: list[str] = []
    for name in names:
        spelled = name
        while spelled in taken:
            taken[name] += 1
            spelled = f"{name}-{taken[name]}"
        taken[spelled] = 1
        result.append(spelled)
    return result


class Merged(NamedTuple):
    """The ledger as it is to be, and ids: new ones, those with another value, and those no longer in the document."""

    ledger: Ledger
    added: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]


def merge(
    old: Ledger,
    document: Document,
    results: dict[str, Evaluation],
    claims: Sequence[Claim],
    still: Callable[[Claim], bool],
    *,
    prune: bool,
    model: str | None,
) -> Merged:
    """Put what a document prints now into its ledger.

    A claim is known again by its id, else by its cell or by what it measured. It keeps everything but its value and its
    place. An old claim that was not found again has gone if it has the place of an imported one and is not `still` there;
    with `prune` it is left out. `model` replaces the model of the results.
    """
    known = _known(old.claims, claims)
    fresh = [_renewed(known[claim.id], claim) if claim.id in known else claim for claim in claims]
    found = {one.id for one in known.values()}
    gone = [one.id for one in old.claims if one.id not in found and _imported(one) and not still(one)]
    kept = [one for one in old.claims if not (prune and one.id in gone)]
    merged = _in_order(kept, fresh)
    used = {one.measured.result for one in merged if one.measured is not None}
    rest = {key: one for key, one in old.results.items() if key not in results and key in used}
    before = {one.id: one.value for one in old.claims}
    return Merged(
        ledger=Ledger(
            document=document,
            results={**{key: _result(old.results.get(key), one, model) for key, one in results.items()}, **rest},
            claims=tuple(merged),
        ),
        added=tuple(one.id for one in fresh if one.id not in before),
        changed=tuple(one.id for one in fresh if one.id in before and one.value != before[one.id]),
        gone=tuple(gone),
    )


def _known(old: Iterable[Claim], new: Sequence[Claim]) -> dict[str, Claim]:
    """For ids of new claims the old ones that they were: by id, else by a place that only one of either has."""
    by_id = {one.id: one for one in old}
    known = {one.id: by_id[one.id] for one in new if one.id in by_id}
    left = _by_place(one for one in by_id.values() if one.id not in known)
    for place, fresh in _by_place(one for one in new if one.id not in known).items():
        if len(fresh) == 1 == len(left.get(place, ())):
            known[fresh[0].id] = left[place][0]
    return known


def _by_place(claims: Iterable[Claim]) -> dict[Any, list[Claim]]:
    places: dict[Any, list[Claim]] = {}
    for one in claims:
        place = (one.at.table, one.at.row, one.at.column) if one.at.table else one.measured
        if place is not None:
            places.setdefault(place, []).append(one)
    return places


def _renewed(old: Claim, new: Claim) -> Claim:
    """The old claim where and as it is printed now. A reading by hand stays as long as the print does."""
    if new.text == old.text:
        return msgspec.structs.replace(old, at=new.at)
    return msgspec.structs.replace(old, at=new.at, value=new.value, printed=None, ocr=None)


def _result(old: Evaluation | None, new: Evaluation, model: str | None) -> Evaluation:
    """The dataset as printed; the model as somebody may have spelled it out, unless it is said anew."""
    if old is None:
        return new
    revision = new.model_revision or old.model_revision
    return msgspec.structs.replace(new, model=new.model if model else old.model, model_revision=revision)


def _imported(claim: Claim) -> bool:
    return (claim.at.path or "").startswith("model-index/") or None not in (claim.at.table, claim.at.column)


def _in_order(old: Sequence[Claim], fresh: Sequence[Claim]) -> list[Claim]:
    """The fresh claims in the document's order; each other old one behind the claim that it stood behind."""
    ids = {one.id for one in fresh}
    behind: dict[str | None, list[Claim]] = {}
    last: str | None = None
    for one in old:
        if one.id in ids:
            last = one.id
        else:
            behind.setdefault(last, []).append(one)
    merged = list(behind.get(None, ()))
    for one in fresh:
        merged += [one, *behind.get(one.id, ())]
    return merged
