"""The rows of a dataset: two sentences and a human score each, read from pinned JSON lines, Parquet, CSV or TSV and checked.

Nothing becomes another type on the way. A sentence is text: in Parquet a column of strings, or of bytes that are UTF-8, plain
or as a dictionary. A score is an integer, a float or a decimal; in CSV, a number as JSON spells one. All else is a finding that
names the column and what it holds.
"""

import csv
import math
import re
import zlib
from codecs import iterdecode
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from gzip import GzipFile
from io import BufferedReader
from itertools import count, islice
from json import JSONDecodeError
from typing import Any, BinaryIO

import msgspec

from aqea_registry.base.extras import require
from aqea_registry.base.findings import Finding, Refused
from aqea_registry.base.strict import DuplicateKey, parse_json, unique_keys
from aqea_registry.project.params import Columns, Dataset

ROWS = (".jsonl", ".jsonl.gz", ".parquet", ".csv", ".tsv")  # how the name of a file with rows ends
CSV = "save it in UTF-8, with a first row of names, and with commas between the cells (tabs in .tsv)"
JSON_LINES = "write a JSON object in each line, in UTF-8, as in: " + '{"sentence1": "...", "sentence2": "...", "score": 5}'
SHOWN = 20
UNPACKED, RATIO = 64 << 20, 25  # a file may unpack to so many bytes, or to so many times its size if that is more
ROW = 64  # bytes that a row counts for besides its text
TOO_LARGE = f"unpacks to more than {UNPACKED >> 20} MiB and {RATIO} times its size, each row counted as {ROW} bytes more"
TEXT = re.compile(r"(dictionary<values=)?(large_)?(string|binary)(_view)?(, .*>)?")  # Arrow's names of types
NUMBER = re.compile(r"u?int\d+|halffloat|float|double|decimal\d+\(.*\)")
NAMES = (
    ("train", "training", "trainset"),
    ("validation", "valid", "val", "valset", "dev", "devset", "devel", "development"),
    ("test", "testing", "testset"),
)
SPLITS = {name: names[0] for names in NAMES for name in names}
JSON_TYPES = {type(None): "null", bool: "a boolean", int: "an integer", float: "a number", list: "a list", dict: "an object"}
Values = tuple[object, object, object]
Pairs = list[tuple[str, Any]]  # of names and texts


class Rows(msgspec.Struct, frozen=True):
    """Columns of equal length, in the order of the file; how many rows have both sentences of a row of an earlier file."""

    sentences1: tuple[str, ...]
    sentences2: tuple[str, ...]
    scores: tuple[float, ...]
    repeated: int = 0

    def notes(self, name: str) -> list[str]:
        """Remarks on the dataset `name` that are no findings."""
        rows = f"{self.repeated} of its {len(self.scores)} rows {'has' if self.repeated == 1 else 'have'}"
        return [f"{name}: {rows} the two sentences of a row of an earlier file"] if self.repeated else []


class _BadRow(ValueError):
    pass


def read_rows(files: Iterable[tuple[str, BinaryIO]], dataset: Dataset, name: str) -> Rows:
    """Read JSON lines (may be gzipped), Parquet, CSV and TSV. Raises Refused with a finding for each of the first bad rows."""
    rows: list[tuple[str, str, float]] = []
    findings: list[Finding] = []
    earlier: set[tuple[str, str]] = set()
    repeated = start = 0
    try:
        for path, file in files:
            earlier.update(row[:2] for row in rows[start:])
            start = len(rows)
            for number, record in _records(path, file, dataset.columns):
                if len(findings) == SHOWN:
                    break
                try:
                    rows.append(_row(record, dataset))
                    repeated += rows[-1][:2] in earlier
                except _BadRow as error:
                    findings.append(Finding("malformed", f"{path}:{number}", str(error)))
    except Refused as error:
        findings += error.findings
    if not rows and not findings:
        findings.append(Finding("malformed", ", ".join(dataset.files), "the dataset has no rows"))
    if findings:
        hint = "correct the file, or columns and score_range in params.yaml; then run this again"
        raise Refused(f"dataset {name} cannot be used: {findings[0].subject}: {findings[0].message}", findings, hint)
    first, second, scores = zip(*rows, strict=True)
    return Rows(first, second, scores, repeated)


def other_splits(name: str, dataset: Dataset, paths: Iterable[str]) -> list[Finding]:
    """A finding for each file that `files:` chose and whose path names another split, in the last part that names one."""
    own = _split_words(dataset.split_name)
    named = {path: splits_named(path, own) for path in (paths if dataset.files else ())}
    splits = ", ".join(sorted(set[str]().union(*named.values())))
    message = f"the set has files of several splits: {splits}" if "," in splits else "its name is that of another split"
    return [
        Finding("wrong-split", f"{name}: {path}", message, dataset.split_name, ", ".join(sorted(words)))
        for path, words in sorted(named.items())
        if words and not words & own
    ]


def splits_named(path: str, own: Iterable[str] = ()) -> set[str]:
    """The splits (and words of our `own`) in the last part of a path that has any."""
    words = (_split_words(part) & {*SPLITS.values(), *own} for part in reversed(path.split("/")))
    return next(filter(None, words), set[str]())


def _split_words(text: str) -> set[str]:
    words = (word.lower() for word in re.findall("[A-Z]+(?![a-z])|[A-Z]?[a-z]+", text))
    return {SPLITS.get(word, word) for word in words}


def _records(path: str, file: BinaryIO, columns: Columns) -> Iterator[tuple[int, Any]]:
    """Each row's number in its file, and its line or its values."""
    most = max(UNPACKED, RATIO * file.seek(0, 2))
    file.seek(0)
    if path.endswith(".parquet"):
        yield from enumerate(_parquet_rows(path, file, columns, most), 1)
    elif path.endswith(".jsonl.gz"):
        try:
            yield from _lines(path, BufferedReader(GzipFile(fileobj=file)), most)
        except (OSError, EOFError, zlib.error) as error:
            raise Refused.of("malformed", path, f"not a gzip file: {error}") from error
    elif path.endswith(".jsonl"):
        yield from _lines(path, file, 1 << 60)  # it is as large as it is
    elif path.endswith((".csv", ".tsv")):
        yield from _separated(path, file)
    else:
        raise Refused.of("malformed", path, f"not rows: the name must end in {', '.join(ROWS)}")


def column_names(path: str, file: BinaryIO) -> list[str]:
    """The names of a file's columns; of JSON lines, those of its first row. Raises Refused."""
    if path.endswith(".parquet"):
        require("Parquet")
        from pyarrow import ArrowException
        from pyarrow.parquet import read_schema

        with suppress(ArrowException, OSError, ValueError):
            return list(read_schema(file).names)
    try:
        return [name for _, record in islice(_records(path, file, Columns()), 1) for name in _object(record)]
    except _BadRow as error:
        raise Refused.of("malformed", f"{path}:1", str(error), hint=JSON_LINES) from error


def _separated(path: str, file: BinaryIO) -> Iterator[tuple[int, Pairs]]:
    """The cells of CSV or TSV, each with the name that the first row gives to its column."""
    delimiter, taken = "\t" if path.endswith(".tsv") else ",", list[str]()  # the lines of a row

    def lines() -> Iterator[str]:
        for line in iterdecode(file, "utf-8-sig"):
            taken.append(line)
            yield line

    rows = csv.reader(lines(), delimiter=delimiter, strict=True)
    try:
        header = next(rows, list[str]())
        if len(header) == 1:
            raise csv.Error("the first row has one cell")
        taken.clear()
        for row in rows:
            whole = len(taken) > 1 and all(line.count(delimiter) == len(header) - 1 for line in taken)
            start = rows.line_num + 1 - len(taken)
            taken.clear()
            if whole:
                message = "a quoted cell goes on to other lines, each of which is a row as well; write a quote in a cell twice"
                raise Refused.of("malformed", f"{path}:{start}", message)
            if not row:
                continue
            if len(row) != len(header):
                message = f"it has {len(row)} cells, and the first row has {len(header)}; quote cells that hold the delimiter"
                raise Refused.of("malformed", f"{path}:{rows.line_num}", message)
            yield rows.line_num, list(zip(header, row, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise Refused.of("malformed", f"{path}:{rows.line_num + 1}", f"not CSV in UTF-8: {error}", hint=CSV) from error


def _lines(path: str, file: BinaryIO | BufferedReader, left: int) -> Iterator[tuple[int, bytes]]:
    for number in count(1):
        line = file.readline(left + 1)
        left -= ROW + len(line)
        if left < 0:
            raise Refused.of("malformed", path, TOO_LARGE)
        if not line:
            return
        if line.strip():
            yield number, line


def _parquet_rows(path: str, file: BinaryIO, columns: Columns, left: int) -> Iterator[Values]:
    """The values of the three columns, text as bytes; of a dictionary each text is unpacked once."""
    require("Parquet")
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    texts = [columns.sentence1, columns.sentence2]
    try:
        opened = ParquetFile(file)
        _refuse_columns(path, opened, dict.fromkeys(texts, TEXT) | {columns.score: NUMBER})
        # Of a damaged footer, `column` would end the process.
        if sum(opened.metadata.row_group(at).total_byte_size for at in range(opened.num_row_groups)) > left:
            raise Refused.of("malformed", path, TOO_LARGE)
        batches = ParquetFile(file, read_dictionary=texts).iter_batches(
            1024, columns=[*texts, columns.score], use_threads=False
        )
        for batch in batches:
            scores = batch.column(columns.score).to_pylist()
            for first, second, score in zip(*(_texts(batch.column(text)) for text in texts), scores, strict=True):
                left -= ROW + len(first or b"") + len(second or b"")
                if left < 0:
                    raise Refused.of("malformed", path, TOO_LARGE)
                yield first, second, score
    except (ArrowException, OSError, ValueError, LookupError) as error:
        raise Refused.of("malformed", path, f"not a Parquet file: {' '.join(str(error).split())}") from error


def _refuse_columns(path: str, opened: Any, wanted: Mapping[str, re.Pattern[str]]) -> None:
    """Raise Refused for columns that appear twice, at any depth, and for wanted ones that are missing or of another type."""
    types = {field.name: str(field.type) for field in opened.schema_arrow}
    inner = [opened.schema.column(at).path for at in range(len(opened.schema))]
    names = Counter([*opened.schema_arrow.names, *(name for name in inner if name not in types)])
    messages = [f"the column {name!r} appears twice" for name, count in names.items() if count > 1]
    for column, pattern in wanted.items():
        if column not in types:
            messages.append(f"the column {column!r} is missing; the file has {', '.join(map(repr, types)) or 'no columns'}")
        elif not pattern.fullmatch(types[column]):
            messages.append(f"the column {column!r} holds {types[column]}, not {'text' if pattern is TEXT else 'a number'}")
    if messages:
        raise Refused(f"{path}: {messages[0]}", [Finding("malformed", path, message) for message in messages])


def _texts(column: Any) -> list[bytes | None]:
    """The bytes of a column's texts, each of a dictionary once."""
    from pyarrow import large_binary

    if not hasattr(column, "dictionary"):
        return list(column.cast(large_binary()).to_pylist())
    indices = column.indices.to_pylist()
    values = {index: column.dictionary[index].cast(large_binary()).as_py() for index in {*indices} - {None}}
    return [values.get(index) for index in indices]


def _row(record: bytes | Pairs | Values, dataset: Dataset) -> tuple[str, str, float]:
    columns = dataset.columns
    names = (columns.sentence1, columns.sentence2, columns.score)
    if not isinstance(record, tuple):
        value = _object(record)
        if lacking := [name for name in names if name not in value]:
            has = ", ".join(map(repr, value)) or "no columns"
            raise _BadRow(f"the column {lacking[0]!r} is missing; the row has {has}")
        if isinstance(record, list):  # all cells are texts
            with suppress(ValueError):
                value[names[2]] = parse_json(value[names[2]])
        record = value[names[0]], value[names[1]], value[names[2]]
    first, second, score = record
    return _sentence(first, names[0]), _sentence(second, names[1]), _score(score, names[2], dataset.score_range)


def _object(line: bytes | Pairs) -> dict[str, Any]:
    try:
        value = parse_json(line.decode("utf-8-sig")) if isinstance(line, bytes) else unique_keys(line)
    except DuplicateKey as error:
        raise _BadRow(str(error)) from error
    except JSONDecodeError as error:
        raise _BadRow(f"not a JSON object: {error.msg} at column {error.colno}") from error
    except ValueError as error:
        raise _BadRow(f"not a JSON object: {error}") from error
    if not isinstance(value, dict):
        raise _BadRow("not a JSON object")
    return value


def _sentence(value: object, column: str) -> str:
    try:
        if isinstance(value, bytes):
            return value.decode()
        if not isinstance(value, str):
            raise _BadRow(f"{column!r} is not a string, but {JSON_TYPES[type(value)]}")
        value.encode()
    except UnicodeDecodeError as error:
        raise _BadRow(f"{column!r} holds bytes that are not UTF-8: {error}") from error
    except UnicodeEncodeError as error:
        raise _BadRow(f"{column!r} holds half a surrogate pair, which is not a character") from error
    return value


def _score(value: object, column: str, limits: tuple[float, float]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _BadRow(f"{column!r} is {value!r}, not a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise _BadRow(f"{column!r} is {value}, not a finite number")
    if not limits[0] <= value <= limits[1]:
        shown = value if -(10**18) < value < 10**18 else "a number of over 18 digits"
        raise _BadRow(f"{column!r} is {shown}, outside {limits[0]:g} to {limits[1]:g}")
    if isinstance(value, int) and value != float(value):
        raise _BadRow(f"{column!r} is {value}, and a float64 has no such number")
    return float(value)
