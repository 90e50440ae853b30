"""`claims import`: write the numbers that a document prints into its ledger."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from aqea_registry.base.extras import require
from aqea_registry.base.files import Limit, TooLarge, locked, read_small, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, Refused, listed
from aqea_registry.base.progress import plural
from aqea_registry.base.recognise import document_text
from aqea_registry.base.strict import load_json
from aqea_registry.claims import drafting
from aqea_registry.claims.drafting import EvaluationUnit, Imported, LeftOut, read_number
from aqea_registry.claims.ledger import FOLDER, Claim, Document, Ledger, homes, parse_ledger, render_ledger
from aqea_registry.claims.merging import Merged, is_of_text, merge
from aqea_registry.claims.repeats import relate
from aqea_registry.claims.sentences import claims_of_text, renamed
from aqea_registry.documents.latex_tables import latex_tables, visible
from aqea_registry.documents.markup_tables import csv_table, html_tables, markdown_tables
from aqea_registry.documents.model_index import FrontMatter, IndexEntry, read_model_index, read_result_file, split_front_matter
from aqea_registry.documents.numbers import NotANumber, parse_number
from aqea_registry.documents.prose import Span, blanked, kind_of
from aqea_registry.documents.tables import ragged_rows
from aqea_registry.project.params import Params
from aqea_registry.project.project import Project

READERS = {".html": html_tables, ".htm": html_tables, ".tex": latex_tables, ".ltx": latex_tables}
FORMATS = "Markdown, HTML, LaTeX, CSV, TSV, or JSON as mteb writes a result"
NOT_TEXT = "save it as UTF-8; of a PDF or a Word file, name the text that it was made of, or that it is saved as"
DELIMITERS = {".csv": ",", ".tsv": "\t"}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_INPUT = re.compile(r"\\(?:input|include|subfile)\s*\{([^{}]+)\}")
_HUB_FIELDS = {"task": "task_type", "dataset": "dataset_type", "dataset's name": "dataset_name"}
_HUB_FIELDS |= {name: f"dataset_{name}" for name in ("config", "split", "revision")}
_HUB_FIELDS |= {"metric": "metric_type", "value": "metric_value"}


class ImportedClaims(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of an import: the ledger's path, whether it was written, ids, findings and notes.

    Of the numbers `seen` in tables and results those that are not `imported` are in `left_out`.
    """

    ledger: str
    written: bool
    claims: int
    added: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    seen: int
    imported: int
    left_out: tuple[LeftOut, ...]


def import_claims(
    project: Project,
    path: Path,
    *,
    into: str | None = None,
    model: str | None = None,
    unit: EvaluationUnit | None = None,
    prune: bool = False,
) -> ImportedClaims:
    """Read the model-index and the tables of a Markdown document, a CSV file, or a result of MTEB into a ledger.

    `unit` is that of results and of scores in tables, if it is not as their program writes them; `model` the repository id of
    the model. Claims that are no longer in the document are findings, and with `prune` they are removed. What is not read is
    left out and reported. Raises BadConfiguration for a document that cannot be read or prints nothing, CannotCheck if it or a
    package is missing, Refused if the ledger that exists cannot be read.
    """
    page = read_page(project.root, project.params, path, into, model, unit)
    page.require_claims()
    (project.root / FOLDER).mkdir(parents=True, exist_ok=True)
    with locked(project.root / FOLDER):
        old, merged = merge_page(project.root, page, prune=prune)
        written = old != merged.ledger and write_bytes(project.root / page.ledger, render_ledger(merged.ledger))
    return ImportedClaims(written=written, **outcome(page, merged, prune=prune))


class ReadPage(NamedTuple):
    """A document that was read: where its ledger is, what it prints, and what to say if it prints nothing.

    `model` and `unit` are what somebody said of its results.
    """

    ledger: str
    path: Path
    document: Document
    read: Imported
    text: str
    empty: str
    model: str | None
    unit: EvaluationUnit | None

    def require_claims(self) -> None:
        """Raise BadConfiguration, or Refused, for a document that prints no number."""
        if not self.read.claims and self.read.findings:
            raise Refused(self.empty, self.read.findings)
        if not self.read.claims:
            raise BadConfiguration(self.empty, "other numbers are claimed by hand, see: aqea-registry docs claims")


def read_page(
    root: Path, params: Params, path: Path, into: str | None, model: str | None, unit: EvaluationUnit | None
) -> ReadPage:
    """Read a document, and name its ledger."""
    name = into or drafting.slug(path.stem, "claims")
    if not NAME.fullmatch(name):
        raise BadConfiguration(f"--into: {name!r} is not the name of a ledger", "use letters, digits, '.', '_' and '-'")
    content, text = _read(path)
    read, title, empty = _read_document(content, text, params, path, model, unit)
    real, places = path.resolve(), [home.resolve() for home in homes(root)]
    file = next((real.relative_to(place).as_posix() for place in places if real.is_relative_to(place)), path.name)
    document = Document(title=title, sha256=hashlib.sha256(content).hexdigest(), file=file)
    return ReadPage(f"{FOLDER}/{name}.yaml", path, document, read, text, empty, model, unit)


def merge_page(root: Path, page: ReadPage, *, prune: bool = False) -> tuple[Ledger | None, Merged]:
    """The ledger that is there, and with what the document prints now."""
    there, document, read = _old(root / page.ledger, page.ledger), page.document, page.read
    old = there or Ledger(document=document)
    if there is not None:
        moved = document.file.rpartition("/")[2] != old.document.file.rpartition("/")[2]
        file = document.file if moved else old.document.file
        document = replace(old.document, sha256=old.document.sha256 and document.sha256, file=file)
    by_hand = {claim.text for claim in old.claims if not (claim.at.table or claim.at.path or is_of_text(claim))}
    read.claims[:] = [claim for claim in read.claims if not (is_of_text(claim) and claim.text in by_hand)]

    def related(claims: list[Claim]) -> list[Claim]:
        now = dict(zip((claim.id for claim in read.claims), claims, strict=True))
        right = {id_: replace(now[id_], value=value) for id_, value in read.right.items()}
        ways = []
        for known in [now, {**now, **right}] if right else [now]:
            tables = [t._replace(claims={place: known[claim.id] for place, claim in t.claims.items()}) for t in read.tables]
            ways.append(relate([claim for claim in claims if claim.at.path], read.results, tables))
        found = max(ways, key=lambda way: len(way.derived))  # the average beside a wrong digit may be that of the right one
        read.notes.extend(found.notes)
        ids = {id_: other.id for id_, other in now.items()}
        return [renamed(claim, ids) for claim in map(found.bound, claims)]

    lines, model, units = page.text.split("\n"), page.model, page.unit is not None
    merged = merge(old, document, read.results, read.claims, lines, related, prune=prune, model=model, units=units)
    if there is not None:
        _check_is_its_document(there, merged, page)
    return there, merged


def outcome(page: ReadPage, merged: Merged, *, prune: bool = False) -> dict[str, Any]:
    """The fields of ImportedClaims, without `written`."""
    read, name = page.read, Path(page.ledger).stem
    findings = [*read.findings, *_merge_findings(name, merged, prune=prune)]
    findings += _other_unit(merged.ledger, page.path.name) if page.unit is None else ()
    return {
        "ledger": page.ledger,
        "claims": len(merged.ledger.claims),
        "added": merged.added,
        "changed": merged.changed,
        "gone": merged.gone,
        "findings": tuple(findings),
        "notes": tuple(read.notes),
        "seen": len(read.claims) + sum(left.numbers for left in read.left_out),
        "imported": len(read.claims),
        "left_out": tuple(sorted(read.left_out, key=lambda left: (left.line, left.column))),
    }


def left_out_notes(left_out: Sequence[LeftOut]) -> Iterator[str]:
    """Where numbers were left out, a line for each reason."""
    for why in Counter(left.reason for left in left_out):
        cells = [left for left in left_out if left.reason == why]
        shown = [f"{left.text[:20]!r} (line {left.line}, column {left.column})" for left in cells]
        yield f"left out, {why}: {listed(shown)}"


def accounting(imported: ImportedClaims) -> str:
    """How many numbers were seen, imported, and left out for which reasons."""
    reasons = Counter[str]()
    for left in imported.left_out:
        reasons[left.reason] += left.numbers
    why = f" ({', '.join(f'{reason}: {count}' for reason, count in reasons.most_common())})" if reasons else ""
    return f"{plural(imported.seen, 'number')} seen, {imported.imported} imported, {reasons.total()} left out{why}"


def _merge_findings(name: str, merged: Merged, *, prune: bool) -> Iterator[Finding]:
    """What an import cannot put right: claims that are gone, that have another number now, or may be one of several."""
    message = "the document no longer prints it; --prune removes it, or correct the claim by hand"
    yield from (Finding("claim-stale", f"{name}: {id_}", message) for id_ in (() if prune else merged.gone))
    claims = {claim.id: claim for claim in merged.ledger.claims}
    for id_, before in merged.kept.items():
        message = f"it was {before} and is {claims[id_].text} now; check that its evidence, which stays, is still its own"
        yield Finding("claim-stale", f"{name}: {id_}", message, before, claims[id_].text)
    for id_ in merged.doubtful:
        message = f"several numbers are called {claims[id_].at}, and which of them it is cannot be said: its evidence stayed"
        yield Finding("claim-stale", f"{name}: {id_}", f"{message}; give their tables captions, or correct the claim by hand")


def _other_unit(ledger: Ledger, document: str) -> Iterator[Finding]:
    """Findings for values of a model-index: all in percent and none larger than one percent, or fractions larger than 1."""
    values: dict[str, list[Fraction]] = {"percent": [], "fraction": []}
    for claim in ledger.claims:
        with suppress(NotANumber):
            if claim.at.path and claim.unit in values:
                values[claim.unit].append(parse_number(claim.value or "", claim.unit).value)
    where, percent, large = f"{document}: model-index", values["percent"], sum(value > 1 for value in values["fraction"])
    if percent and all(abs(value) <= 1 for value in percent):
        message = f"all values in percent ({len(percent)}) are between -1 and 1; if they are fractions"
        yield Finding("malformed", where, f"{message}, import with --unit fraction")
    if large:
        message = f"{large} of {len(values['fraction'])} fractions are larger than 1; if all are percent"
        yield Finding("malformed", where, f"{message}, import with --unit percent")


def _read(path: Path) -> tuple[bytes, str]:
    if path.is_dir():
        raise BadConfiguration(f"{path}: a folder", f"name one document: {FORMATS}")
    try:
        content = read_small(path, Limit.DOCUMENT)
        return content, document_text(content, str(path))
    except TooLarge as error:
        raise BadConfiguration(f"{path}: {error.strerror}", "import the part that prints results") from error
    except OSError as error:
        raise CannotCheck(f"{path}: cannot be read: {error.strerror}", f"name {FORMATS}") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadConfiguration(f"{path.name}: line {line}: not UTF-8 ({error.reason})", NOT_TEXT) from error


def _read_document(
    content: bytes, text: str, params: Params, path: Path, model: str | None, unit: EvaluationUnit | None
) -> tuple[Imported, str, str]:
    """What a document prints, its title, and what to say if that is nothing."""
    suffix, title, read = path.suffix.lower(), path.name, Imported()
    if suffix == ".json":
        entries = read_result_file(content, path.name, *((model, None) if model else _model_of(path)))
        read = drafting.claims_of_index(entries, path.name, text.split("\n"), unit or "fraction")
        if "unknown" in {result.model for result in read.results.values()}:
            read.notes.append("a result file does not say of which model it is: --model REPO does")
        return read, f"{entries[0].dataset}: {path.name}", ""
    if suffix in DELIMITERS:
        tables = [csv_table(text, path.stem, path.name, DELIMITERS[suffix])]
        message = f"{path.name}: no numbers after the first column, which names the rows"
    elif suffix in READERS:
        tables = READERS[suffix](text, path.name)
        if files := _INPUT.findall(visible(text)) if READERS[suffix] is latex_tables else ():
            read.notes.append(f"not read, as they are documents of their own: {listed(files)}")
        message = f"{path.name}: no numbers in tables"
    else:
        front = split_front_matter(text, path.name)
        if front and (entries := read_model_index(front, path.name) or ()):
            title, wrong = entries[0].model, dict(_disagreements(front, entries, path.name))
            entries = tuple(entry._replace(model=model or _repository(params, entry.model)) for entry in entries)
            read = drafting.claims_of_index(entries, path.name, text.split("\n"), unit, wrong)
        text = blanked(text, [Span(0, len(text) - len(front.rest))]) if front else text
        tables = markdown_tables(text, path.name)
        message = f"{path.name}: no numbers in a model-index of the front matter, nor in Markdown tables"
    units = {unit} if unit else {claim.unit for claim in read.claims} - {"number"}
    read.findings.extend(ragged_rows(tables, path.name))
    drafting.claims_of_tables(tables, text, path.name, units.pop() if len(units) == 1 else None, read)
    if not read.claims and read.left_out:
        message = f"{path.name}: not one of its {plural(sum(left.numbers for left in read.left_out), 'number')} could be read"
        message = "; ".join([message, *left_out_notes(read.left_out)])
    if suffix not in DELIMITERS:
        read.claims.extend(claims_of_text(text, kind_of(suffix, text), read.tables))
    return read, title, message


def _model_of(path: Path) -> tuple[str, str | None]:
    """The model and its commit of a result file that lies where mteb writes it, `OWNER__MODEL/REVISION/TASK.json`.

    Both are in model_meta.json beside it, if that is there.
    """
    folder = path.resolve().parent
    named = [part for part in folder.parts[-2:] if "__" in part]
    model, revision = named[-1].replace("__", "/", 1) if named else "unknown", folder.name
    with suppress(OSError, BadConfiguration):
        meta = load_json(read_small(folder / "model_meta.json", Limit.PROJECT), "model_meta.json")
        if isinstance(meta, dict) and isinstance(meta.get("name"), str):
            model, revision = meta["name"], str(meta.get("revision"))
    return model, revision if re.fullmatch("[0-9a-f]{40}", revision) else None


def _disagreements(front: FrontMatter, entries: Sequence[IndexEntry], name: str) -> Iterator[tuple[str, Finding]]:
    """Where huggingface_hub reads something else than the card prints, by path."""
    require("a model-index")
    import yaml
    from huggingface_hub import ModelCardData

    try:  # as its ModelCard does, which takes ten times as long for want of the parser in C
        read = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(front.yaml).get_single_data()
        results = ModelCardData(**read).eval_results or []
    except Exception as error:  # the reader of other people's cards fails in many ways
        why = " ".join(str(error).split())
        raise BadConfiguration(f"{name}: huggingface_hub cannot read the model-index: {why}") from error
    printed = [(entry, metric) for entry in entries for metric in entry.metrics]
    if len(printed) != len(results):
        raise BadConfiguration(f"{name}: the model-index prints {len(printed)} values, huggingface_hub reads {len(results)}")
    for (entry, metric), result in zip(printed, results, strict=True):
        if metric.value is None or read_number(metric.value) is None:
            continue  # it is not imported anyway
        texts = (entry.task, entry.dataset, entry.name, entry.config, entry.split, entry.revision, metric.type, metric.value)
        for (field, name_of_hub), text in zip(_HUB_FIELDS.items(), texts, strict=True):
            if not _agree(text, value := getattr(result, name_of_hub)):
                message = f"{metric.path}: {field} is not read as it is printed; it was not imported"
                yield metric.path, Finding("malformed", f"{name}:{metric.line}", message, text, str(value))


def _agree(text: str | None, value: Any) -> bool:
    """Whether a value is what is printed. A text that YAML took for a boolean or a date still is that text."""
    if text is None or value is None or isinstance(value, list | dict):
        return text is None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return not isinstance(value, str) or value == text
    try:
        return float(text) == value
    except (ValueError, OverflowError):
        return False


def _repository(params: Params, name: str) -> str:
    """The repository id of a model that a card names without its owner, if one model of the catalogue has that name."""
    known = {model.repo for model in params.models.values() if name in (model.repo, model.repo.rpartition("/")[2])}
    return known.pop() if len(known) == 1 else name


def _old(path: Path, name: str) -> Ledger | None:
    try:
        content = read_small(path, Limit.DOCUMENT)
    except FileNotFoundError:
        return None
    ledger, findings = parse_ledger(content, path.stem)
    if ledger is None or findings:
        raise Refused(f"{name} has faults and was not changed", findings, "correct them, or move the file away")
    return ledger


def _check_is_its_document(old: Ledger, merged: Merged, page: ReadPage) -> None:
    """Refuse to put a document into the ledger of another document, which would leave nothing of it, or of another model."""
    named, own = page.path.name, f"{page.ledger} is the ledger of {old.document.title} ({old.document.file})"
    if 2 * len(merged.gone) > len(old.claims) and old.document.file.rpartition("/")[2] != named:
        raise BadConfiguration(f"{own}; little of it is in {named}", "name another ledger with --into NAME")
    if page.path.suffix.lower() == ".json" and page.model is None:
        for key, result in page.read.results.items():
            now, before = result.model, old.results.get(key, result).model
            if now != before and "unknown" not in (now, before):
                raise BadConfiguration(f"{own}, of {before}; {named} is of {now}", "name another ledger with --into NAME")
