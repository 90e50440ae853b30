"""`claims import`: write the numbers that a document prints into its ledger."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from aqea_registry.base.extras import require
from aqea_registry.base.files import Limit, TooLarge, locked, read_small, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, Refused
from aqea_registry.claims import drafting
from aqea_registry.claims.drafting import EvaluationUnit, Imported, Merged, read_number
from aqea_registry.claims.ledger import FOLDER, Claim, Document, Ledger, parse_ledger, render_ledger
from aqea_registry.documents.markdown_tables import markdown_tables
from aqea_registry.documents.model_index import FrontMatter, IndexEntry, Metric, read_model_index, split_front_matter
from aqea_registry.documents.prose import Span, blanked
from aqea_registry.documents.tables import csv_table
from aqea_registry.project.params import Params
from aqea_registry.project.project import Project

DELIMITERS = {".csv": ",", ".tsv": "\t"}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class ImportedClaims(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of an import: the ledger's path, whether it was written, ids, findings, and what was left out."""

    ledger: str
    written: bool
    claims: int
    added: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


def import_claims(
    project: Project,
    path: Path,
    *,
    into: str | None = None,
    model: str | None = None,
    unit: EvaluationUnit = "percent",
    prune: bool = False,
) -> ImportedClaims:
    """Read the model-index and the tables of a Markdown document, or a CSV file, into manifests/claims/NAME.yaml.

    `unit` is that of the model-index, `model` the repository id of its model. Claims that are no longer in the document are
    findings, and with `prune` they are removed. What is not a number or not certain is left out and reported. Raises
    BadConfiguration for a document that cannot be read or prints nothing, CannotCheck if it or a package is missing,
    Refused if the ledger that exists cannot be read.
    """
    name = into or drafting.slug(path.stem, "claims")
    if not NAME.fullmatch(name):
        raise BadConfiguration(f"--into: {name!r} is not the name of a ledger", "use letters, digits, '.', '_' and '-'")
    content, text = _read(path)
    csv = path.suffix.lower() in DELIMITERS
    read, title = _read_csv(text, path) if csv else _read_markdown(text, project.params, path, model, unit)
    document = Document(title=title, sha256=hashlib.sha256(content).hexdigest(), file=_file(project.root, path))
    target = f"{FOLDER}/{name}.yaml"
    (project.root / FOLDER).mkdir(parents=True, exist_ok=True)
    with locked(project.root / FOLDER):
        old = _old(project.root / target, target)
        merged = _merged(old, document, read, text, prune=prune, model=model)
        _check_is_its_document(old, merged, target, path)
        written = old != merged.ledger and write_bytes(project.root / target, render_ledger(merged.ledger))
    message = "the document no longer prints it; --prune removes it, or correct the claim by hand"
    gone = [Finding("claim-stale", f"{name}: {claim}", message) for claim in merged.gone]
    return ImportedClaims(
        ledger=target,
        written=written,
        claims=len(merged.ledger.claims),
        added=merged.added,
        changed=merged.changed,
        gone=merged.gone,
        findings=(*read.findings, *(() if prune else gone)),
        notes=tuple(read.notes),
    )


def _read(path: Path) -> tuple[bytes, str]:
    if path.is_dir():
        raise BadConfiguration(f"{path}: a folder", "name one document: a Markdown file, CSV or TSV")
    try:
        content = read_small(path, Limit.DOCUMENT)
        return content, content.decode("utf-8-sig")
    except TooLarge as error:
        raise BadConfiguration(f"{path}: {error.strerror}", "import the part that prints results") from error
    except OSError as error:
        raise CannotCheck(f"{path}: cannot be read: {error.strerror}", "name a Markdown, CSV or TSV file") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadConfiguration(f"{path.name}: line {line}: not UTF-8 ({error.reason})", "save the document as UTF-8") from error


def _read_csv(text: str, path: Path) -> tuple[Imported, str]:
    table, findings = csv_table(text, path.stem, path.name, DELIMITERS[path.suffix.lower()])
    read = drafting.claims_of_tables([table])
    if not read.claims:
        raise BadConfiguration(f"{path.name}: no numbers after the first column, which names the rows")
    return read._replace(findings=[*findings, *read.findings]), path.name


def _read_markdown(text: str, params: Params, path: Path, model: str | None, unit: EvaluationUnit) -> tuple[Imported, str]:
    front = split_front_matter(text, path.name)
    entries = (read_model_index(front, path.name) if front else None) or ()
    body = blanked(text, [Span(0, len(text) - len(front.rest))]) if front else text
    tables, ragged = markdown_tables(body, path.name)
    title = entries[0].model if entries else path.name
    wrong: dict[str, Finding] = {}
    if entries and front:
        wrong = dict(_disagreements(front, entries, path.name))
        entries = tuple(entry._replace(model=model or _repository(params, entry.model)) for entry in entries)
    index = drafting.claims_of_index(entries, path.name, unit)
    table = drafting.claims_of_tables(tables)
    claims = [*(claim for claim in index.claims if claim.at.path not in wrong), *table.claims]
    findings = [*wrong.values(), *index.findings, *ragged, *table.findings]
    if not claims:
        message = f"{path.name}: no numbers in a model-index of the front matter, nor in Markdown tables"
        if findings:
            raise Refused(message, findings)
        raise BadConfiguration(message, "other numbers are claimed by hand, see docs/claims.md")
    return Imported(index.results, claims, findings, [*index.notes, *table.notes]), title


def _disagreements(front: FrontMatter, entries: Sequence[IndexEntry], name: str) -> Iterator[tuple[str, Finding]]:
    """Where huggingface_hub reads something else than the card prints, by path."""
    require("a model-index")
    from huggingface_hub import ModelCard

    try:
        results: list[Any] = ModelCard(front.text).data.get("eval_results", [])
    except Exception as error:  # the reader of other people's cards fails in many ways
        raise BadConfiguration(
            f"{name}: huggingface_hub cannot read the model-index: {' '.join(str(error).split())}"
        ) from error
    printed = [(entry, metric) for entry in entries for metric in entry.metrics]
    if len(printed) != len(results):
        raise BadConfiguration(f"{name}: the model-index prints {len(printed)} values, huggingface_hub reads {len(results)}")
    for (entry, metric), result in zip(printed, results, strict=True):
        if metric.value is None or read_number(metric.value) is None:
            continue  # it is not imported anyway
        for field, text, value in _fields(entry, metric, result):
            if not _agree(text, value):
                message = f"{metric.path}: {field} is not read as it is printed; it was not imported"
                yield metric.path, Finding("malformed", f"{name}:{metric.line}", message, text, str(value))


def _fields(entry: IndexEntry, metric: Metric, result: Any) -> list[tuple[str, str | None, Any]]:
    return [
        ("task", entry.task, result.task_type),
        ("dataset", entry.dataset, result.dataset_type),
        ("dataset's name", entry.name, result.dataset_name),
        ("config", entry.config, result.dataset_config),
        ("split", entry.split, result.dataset_split),
        ("revision", entry.revision, result.dataset_revision),
        ("metric", metric.type, result.metric_type),
        ("value", metric.value, result.metric_value),
    ]


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


def _file(root: Path, path: Path) -> str:
    """A path below the project, or the document's name."""
    real = path.resolve()
    return real.relative_to(root.resolve()).as_posix() if real.is_relative_to(root.resolve()) else path.name


def _old(path: Path, name: str) -> Ledger | None:
    try:
        content = read_small(path, Limit.DOCUMENT)
    except FileNotFoundError:
        return None
    ledger, findings = parse_ledger(content, path.stem)
    if ledger is None or findings:
        raise Refused(f"{name} has faults and was not changed", findings, "correct them, or move the file away")
    return ledger


def _merged(old: Ledger | None, document: Document, read: Imported, text: str, *, prune: bool, model: str | None) -> Merged:
    if old is None:
        old = Ledger(document=document)
    else:
        moved = document.file.rpartition("/")[2] != old.document.file.rpartition("/")[2]
        file = document.file if moved else old.document.file
        document = msgspec.structs.replace(old.document, sha256=document.sha256, file=file)
    lines = text.split("\n")

    def still(claim: Claim) -> bool:
        line = claim.at.line or 0
        return 0 < line <= len(lines) and claim.text in lines[line - 1]

    return drafting.merge(old, document, read.results, read.claims, still, prune=prune, model=model)


def _check_is_its_document(old: Ledger | None, merged: Merged, ledger: str, path: Path) -> None:
    """Refuse to put a document into the ledger of another document, which would leave nothing of it."""
    if old is not None and 2 * len(merged.gone) > len(old.claims) and old.document.file.rpartition("/")[2] != path.name:
        message = f"{ledger} is the ledger of {old.document.title} ({old.document.file}); little of it is in {path.name}"
        raise BadConfiguration(message, "name another ledger with --into NAME")
