"""Claims out of a document: what a model-index and tables print, under ids that stay the same. docs/claims.md has the rules.

`merge` imports a document again: what people wrote into the ledger stays, what the document prints is as it is now. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from aqea_registry.base.findings import BadConfiguration, Finding
from aqea_registry.claims.ledger import At, Claim, Document, Evaluation, Ledger, Measurement
from aqea_registry.claims.relations import DraftedTable, relations_of_table
from aqea_registry.documents.model_index import MOST, IndexEntry, Metric
from aqea_registry.documents.numbers import NotANumber, Unit, parse_number
from aqea_registry.documents.tables import Row, Table

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
SIMILARITIES = ("cos_sim", "dot", "euclidean", "manhattan")
FORUMS = (
    *("android", "english", "gaming", "gis", "mathematica", "physics"),
    *("programmers", "stats", "tex", "unix", "webmasters", "wordpress"),
)

_NOT_A_NUMBER = re.compile(r"[-+]?(nan|inf(inity)?)|[-–—]+|n\.?/?a\.?|[-+]?[\d,.]+e[-+]?\d+", re.IGNORECASE)
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
    """A cell's number as printed, and whether a percent sign follows; None if it is not a finite number."""
    number = text.strip().removesuffix("%").rstrip()
    try:
        parse_number(number, "number")
    except NotANumber:
        return None
    return number, text.strip().endswith("%")


def claims_of_index(entries: Sequence[IndexEntry], document: str, unit: EvaluationUnit) -> Imported:
    """A result for each entry and a claim for each value: measured, or derived where the row aggregates others for certain."""
    imported = Imported({}, [], [], [])
    keys = _unique([slug(entry.name.removeprefix("MTEB "), "result") for entry in entries])
    forums = _forums(dict(zip(keys, entries, strict=True)))
    for key, entry in zip(keys, entries, strict=True):
        commits = {metric.model_revision for metric in entry.metrics}
        fields = {"config": entry.config, "split": entry.split, "revision": entry.revision, "task": entry.task}
        fields |= {"model_revision": commits.pop() if len(commits) == 1 else None}
        given = {field: value for field, value in fields.items() if value is not None}
        imported.results[key] = Evaluation(dataset=entry.dataset, model=entry.model, **given)
        types = {metric.type for metric in entry.metrics}
        for name, metric in zip(_metric_names(entry.metrics), entry.metrics, strict=True):
            number = read_number(metric.value) if metric.value is not None else None
            if number is None:
                message = f"{metric.path}: the value of {metric.type} is not a finite number; it was not imported"
                imported.findings.append(Finding("malformed", f"{document}:{metric.line}", message, actual=metric.value))
                continue
            derived = _derived(key, entry, metric, types, forums)
            imported.claims.append(
                Claim(
                    id=f"{key}.{name}",
                    value=number[0],
                    unit="percent" if number[1] else unit,
                    at=At(path=metric.path, line=metric.line),
                    measured=None if derived else Measurement(result=key, metric=metric.type),
                    derived=derived,
                )
            )
    return imported


def claims_of_tables(tables: Sequence[Table], first: str = "table") -> Imported:
    """An unbound claim for each number after the first column, TABLE.ROW.COLUMN; averages and totals are derived."""
    imported = Imported({}, [], [], [])
    for key, table in zip(_unique([slug(table.name, first) for table in tables]), tables, strict=True):
        named = [column for column in range(len(table.columns)) if column != table.key]
        columns = dict(zip(named, _unique([slug(table.columns[c], f"column-{c + 1}") for c in named]), strict=True))
        rows = _unique([slug(text, f"row-{n}") for n, text in enumerate(table.texts(table.key), 1)])
        cells: dict[tuple[int, int], Claim] = {}
        skipped: list[str] = []
        for c in table.results:
            column = columns[c]
            numbers = [read_number(text) for text in table.texts(c)]
            if any(numbers):
                texts = [
                    (row.line, row.cells[c].text) for row, number in zip(table.rows, numbers, strict=True) if number is None
                ]
                skipped += [f"{text[:20]!r} (line {line})" for line, text in texts if _NOT_A_NUMBER.fullmatch(text[:40])]
            units = _units(table.columns[c], numbers)
            claims = {
                r: Claim(
                    id=f"{key}.{rows[r]}.{column}",
                    value=number[0],
                    unit=units[r],
                    at=_cell(table, c, table.rows[r], table.name or key),
                )
                for r, number in enumerate(numbers)
                if number is not None
            }
            if len(cells) + len(claims) + len(imported.claims) > MOST:
                raise BadConfiguration(f"more than {MOST} numbers in tables", "import the part that prints results")
            cells |= {(r, c): claim for r, claim in claims.items()}
        found = relations_of_table(DraftedTable(table.name or key, table.texts(table.key), table.columns, cells))
        imported.claims.extend(found.bound(cells[place]) for place in sorted(cells))
        imported.notes.extend(found.notes)
        if skipped:
            more = f" and {len(skipped) - 5} more" if len(skipped) > 5 else ""
            imported.notes.append(f"{table.name or key}: no finite number: {', '.join(skipped[:5])}{more}")
    return imported


def _derived(key: str, entry: IndexEntry, metric: Metric, types: set[str], forums: Mapping[str, set[str]]) -> str | None:
    """What a value is computed from, where that is certain: best-of fields, and the mean over CQADupstack's forums."""
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
    """A name for each value of a result: its type, or its own name where a type appears twice."""
    types = [metric.type for metric in metrics]
    spelled = [m.name if m.name and types.count(m.type) > 1 else m.type for m in metrics]
    return _unique([re.sub(r"[^a-z0-9_]+", "-", text.lower())[:_LONGEST].strip("-") or "metric" for text in spelled])


def _cell(table: Table, column: int, row: Row, name: str) -> At:
    cut = 2 * _LONGEST
    label = row.cells[table.key].text
    return At(table=name[:cut], row=label[:cut] or None, column=table.columns[column][:cut] or None, line=row.line)


def _units(header: str, numbers: Sequence[tuple[str, bool] | None]) -> list[Unit]:
    """A unit for each cell of a column: the header's in brackets, a percent sign, or a count where commas part thousands."""
    bracket = re.search(r"[(\[]([^()\[\]]{1,20})[)\]]\s*$", header)
    named = UNITS.get((bracket[1] if bracket else header).strip().lower()) if bracket or header.strip() == "%" else None
    texts = [number[0] for number in numbers if number is not None]
    whole = all(re.fullmatch(r"[\d,]+", text) for text in texts)
    other: Unit = "count" if whole and any("," in text for text in texts) else "number"
    return ["percent" if number and number[1] else named or other for number in numbers]


def _unique(names: Iterable[str]) -> list[str]:
    """The names, repeated ones with the next free number added."""
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
    """The new ledger, and ids: added, with another value, and no longer in the document."""

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

    A claim is recognised by its id, else by its cell or by what it measured. It keeps everything but its value and location.
    An old claim that was not found again has gone if it has the location of an imported one and is not `still` there; with
    `prune` it is left out. `model` replaces the model of the results.
    """
    before = _recognised(old.claims, claims)
    fresh = [_renewed(before[claim.id], claim) if claim.id in before else claim for claim in claims]
    ids = {claim.id for claim in before.values()}
    gone = [claim.id for claim in old.claims if claim.id not in ids and _is_imported(claim) and not still(claim)]
    merged = _in_order([claim for claim in old.claims if not (prune and claim.id in gone)], fresh)
    used = {claim.measured.result for claim in merged if claim.measured is not None}
    renewed = {key: _result(old.results.get(key), result, model) for key, result in results.items()}
    rest = {key: result for key, result in old.results.items() if key not in results and key in used}
    values = {claim.id: claim.value for claim in old.claims}
    return Merged(
        ledger=Ledger(document=document, results={**renewed, **rest}, claims=tuple(merged)),
        added=tuple(claim.id for claim in fresh if claim.id not in values),
        changed=tuple(claim.id for claim in fresh if claim.id in values and claim.value != values[claim.id]),
        gone=tuple(gone),
    )


def _recognised(old: Iterable[Claim], new: Sequence[Claim]) -> dict[str, Claim]:
    """For ids of new claims the old ones that they were: by id, else by a location that only one of either has."""
    by_id = {claim.id: claim for claim in old}
    before = {claim.id: by_id[claim.id] for claim in new if claim.id in by_id}
    left = _by_location(claim for claim in by_id.values() if claim.id not in before)
    for location, fresh in _by_location(claim for claim in new if claim.id not in before).items():
        if len(fresh) == 1 == len(left.get(location, ())):
            before[fresh[0].id] = left[location][0]
    return before


def _by_location(claims: Iterable[Claim]) -> dict[Any, list[Claim]]:
    groups: dict[Any, list[Claim]] = {}
    for claim in claims:
        location = (claim.at.table, claim.at.row, claim.at.column) if claim.at.table else claim.measured
        if location is not None:
            groups.setdefault(location, []).append(claim)
    return groups


def _renewed(old: Claim, new: Claim) -> Claim:
    """The old claim as it is printed now. A reading by hand stays as long as the print does."""
    if new.text == old.text:
        return msgspec.structs.replace(old, at=new.at)
    return msgspec.structs.replace(old, at=new.at, value=new.value, printed=None, ocr=None)


def _result(old: Evaluation | None, new: Evaluation, model: str | None) -> Evaluation:
    """The dataset as printed; the model as somebody may have spelled it out, unless `model` is given."""
    if old is None:
        return new
    revision = new.model_revision or old.model_revision
    return msgspec.structs.replace(new, model=new.model if model else old.model, model_revision=revision)


def _is_imported(claim: Claim) -> bool:
    return (claim.at.path or "").startswith("model-index/") or None not in (claim.at.table, claim.at.column)


def _in_order(old: Sequence[Claim], fresh: Sequence[Claim]) -> list[Claim]:
    """The fresh claims in the document's order; each other old claim after the claim that it followed."""
    ids = {claim.id for claim in fresh}
    following: dict[str | None, list[Claim]] = {}
    last: str | None = None
    for claim in old:
        if claim.id in ids:
            last = claim.id
        else:
            following.setdefault(last, []).append(claim)
    merged = list(following.get(None, ()))
    for claim in fresh:
        merged += [claim, *following.get(claim.id, ())]
    return merged
