"""The rows of a dataset: two sentences and a human score each, read from pinned JSON lines or Parquet and checked."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO

import msgspec

from aqea_registry.base.findings import CannotCheck, Finding, Refused
from aqea_registry.project.params import Dataset

SHOWN = 20


def as_lines(path: str, content: bytes, columns: tuple[str, ...]) -> tuple[str, bytes]:
    """The name and bytes of a table as JSON lines; only these columns of a Parquet file, other files as they are.

    Raises Refused if it is not a Parquet file, CannotCheck if pyarrow is not installed.
    """
    if not path.endswith(".parquet"):
        return path, content
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise CannotCheck(
            f"{path} is Parquet, and pyarrow is not installed", "pip install 'aqea-registry[generate]'"
        ) from error
    try:
        table = parquet.read_table(BytesIO(content), use_threads=False)
    except (pyarrow.ArrowException, OSError) as error:
        raise Refused.of("malformed", path, f"not a Parquet file: {error}") from error
    rows = table.select([name for name in table.column_names if name in columns]).to_pylist()
    return f"{path}.jsonl", "".join(f"{json.dumps(row, default=str)}\n" for row in rows).encode()


class Rows(msgspec.Struct, frozen=True):
    """Columns of equal length, in the order of the file."""

    sentences1: tuple[str, ...]
    sentences2: tuple[str, ...]
    scores: tuple[float, ...]


class _BadRow(ValueError):
    pass


def read_rows(files: Iterable[tuple[str, bytes]], dataset: Dataset, name: str) -> Rows:
    """Read JSON lines, plain or gzipped. Raises Refused with a finding for each bad row (the first twenty)."""
    rows: list[tuple[str, str, float]] = []
    findings: list[Finding] = []
    for path, content in files:
        for number, line in enumerate(_lines(path, content), 1):
            if len(findings) == SHOWN:
                break
            if not line.strip():
                continue
            try:
                rows.append(_row(line, dataset))
            except _BadRow as error:
                findings.append(Finding("malformed", f"{path}:{number}", str(error)))
    if not rows and not findings:
        findings.append(Finding("malformed", ", ".join(dataset.files), "the dataset has no rows"))
    if findings:
        raise Refused(
            f"dataset {name} cannot be used: {findings[0].subject}: {findings[0].message}",
            findings,
            "correct the file and pin it again, or correct columns and score_range in params.yaml",
        )
    return Rows(*zip(*rows, strict=True))


def _lines(path: str, content: bytes) -> Iterator[bytes]:
    if path.endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise Refused.of("malformed", path, f"not a gzip file: {error}") from error
    if not path.endswith((".jsonl", ".jsonl.gz")):
        raise Refused.of("malformed", path, "not JSON lines: the name must end in .jsonl or .jsonl.gz")
    return iter(content.split(b"\n"))


def _row(line: bytes, dataset: Dataset) -> tuple[str, str, float]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _BadRow(f"not a JSON object: {error}") from error
    if not isinstance(value, dict):
        raise _BadRow("not a JSON object")
    columns = dataset.columns
    for column in (columns.sentence1, columns.sentence2, columns.score):
        if column not in value:
            raise _BadRow(f"the column {column!r} is missing; the row has {', '.join(map(repr, value)) or 'no columns'}")
    sentence1, sentence2 = (_sentence(value[column], column) for column in (columns.sentence1, columns.sentence2))
    return sentence1, sentence2, _score(value[columns.score], columns.score, dataset.score_range)


def _sentence(value: object, column: str) -> str:
    if not isinstance(value, str):
        raise _BadRow(f"{column!r} is not a string")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _BadRow(f"{column!r} holds half a surrogate pair, which is not a character") from error
    return value


def _score(value: object, column: str, limits: tuple[float, float]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _BadRow(f"{column!r} is {value!r}, not a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise _BadRow(f"{column!r} is {value}, not a finite number")
    if not limits[0] <= value <= limits[1]:
        shown = value if abs(value) < 10**18 else "a number of over 18 digits"
        raise _BadRow(f"{column!r} is {shown}, outside {limits[0]:g} to {limits[1]:g}")
    return float(value)
