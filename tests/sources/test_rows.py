"""Rows of a dataset: read as what they are from JSON lines and Parquet, and every bad one named by file and line."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.base.findings import Refused
from aqea_registry.project.params import Columns, Dataset
from aqea_registry.sources.rows import SHOWN, Rows, other_splits, read_rows
from tests.tools import ROOT

DATASET = Dataset(repo="d", files=("a.jsonl", "b.jsonl"), sources=())
GOOD: dict[str, Any] = {"sentence1": "a", "sentence2": "b", "score": 2.5}


def lines(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def read(*files: tuple[str, bytes], dataset: Dataset = DATASET) -> Rows:
    return read_rows(((path, BytesIO(content)) for path, content in files), dataset, "d")


def refused(*files: tuple[str, bytes], dataset: Dataset = DATASET) -> list[tuple[str, str]]:
    """Subjects and messages of what was found in files that must not be used."""
    with pytest.raises(Refused) as raised:
        read(*files, dataset=dataset)
    assert {finding.code for finding in raised.value.findings} == {"malformed"}
    assert raised.value.findings[0].subject in raised.value.message
    return [(finding.subject, finding.message) for finding in raised.value.findings]


sentences = st.text(max_size=20)


@given(st.lists(st.tuples(sentences, sentences, st.floats(0, 5) | st.integers(0, 5)), min_size=1, max_size=10), st.booleans())
def test_rows_are_read_in_order(rows: list[tuple[str, str, float]], escaped: bool) -> None:
    text = "".join(
        json.dumps({"score": score, "sentence2": two, "sentence1": one, "more": None}, ensure_ascii=escaped) + "\n"
        for one, two, score in rows
    )
    found = read(("a.jsonl", text.encode()))
    assert list(zip(found.sentences1, found.sentences2, found.scores, strict=True)) == rows
    assert all(type(score) is float for score in found.scores)


def test_files_are_joined_in_their_order_gzipped_or_not() -> None:
    first, second = lines(GOOD, {**GOOD, "sentence1": "c"}), lines({**GOOD, "sentence1": "d"})
    found = read(("a.jsonl", first), ("b.jsonl.gz", gzip.compress(second)))
    assert found.sentences1 == ("a", "c", "d")


def test_columns_may_have_other_names_and_scores_another_range() -> None:
    columns = Columns(sentence1="s1", sentence2="s2", score="label")
    dataset = Dataset(repo="d", files=("a.jsonl",), sources=(), columns=columns, score_range=(-1, 1))
    found = read(("a.jsonl", lines({"s1": "x", "s2": "y", "label": -1, "score": "unused"})), dataset=dataset)
    assert found == Rows(("x",), ("y",), (-1.0,))


def test_an_integer_that_no_float64_is_becomes_no_other() -> None:
    dataset = Dataset(repo="d", score_range=(0, 1e18))
    assert read(("a.jsonl", lines({**GOOD, "score": 2**53})), dataset=dataset).scores == (2.0**53,)
    [(subject, message)] = refused(("a.jsonl", lines(GOOD, {**GOOD, "score": 2**53 + 1})), dataset=dataset)
    assert (subject, message) == ("a.jsonl:2", "'score' is 9007199254740993, and a float64 has no such number")


def test_blank_lines_crlf_and_a_missing_last_newline_do_no_harm() -> None:
    content = lines(GOOD).replace(b"\n", b"\r\n") + b"\n  \n" + lines(GOOD).rstrip()
    assert read(("a.jsonl", content)).scores == (2.5, 2.5)


def test_a_line_separator_inside_a_sentence_ends_no_line() -> None:
    row = {**GOOD, "sentence1": "a\u2028b\x85c\x0bd"}
    content = json.dumps(row, ensure_ascii=False).encode() + b"\n"
    assert read(("a.jsonl", content)).sentences1 == (row["sentence1"],)


BAD = {
    "not JSON": (b"sentence1,sentence2,score", "not a JSON object"),
    "cut off": (lines(GOOD)[:-3], "not a JSON object"),
    "a list": (b'["a", "b", 1]', "not a JSON object"),
    "not UTF-8": (b'{"sentence1": "\xff"}', "not a JSON object"),
    "deep": (b"[" * 100_000, "not a JSON object"),
    "no columns": (b"{}", "'sentence1' is missing; the row has no columns"),
    "a missing column": (lines({"sentence1": "a", "score": 1}), "'sentence2' is missing; the row has 'sentence1', 'score'"),
    "no score": (lines({"sentence1": "a", "sentence2": "b"}), "'score' is missing"),
    "a number as a sentence": (lines({**GOOD, "sentence1": 3}), "'sentence1' is not a string, but an integer"),
    "null as a sentence": (lines({**GOOD, "sentence2": None}), "'sentence2' is not a string, but null"),
    "a list as a sentence": (lines({**GOOD, "sentence2": ["b"]}), "'sentence2' is not a string, but a list"),
    "a list as a score": (lines({**GOOD, "score": [1]}), "'score' is [1], not a number"),
    "a score twice": (b'{"score": 1, "sentence1": "a", "sentence2": "b", "score": 1}', "the key 'score' appears twice"),
    "an unused key twice": (
        b'{"id": 7, "id": 8, "sentence1": "a", "sentence2": "b", "score": 1}',
        "the key 'id' appears twice",
    ),
    "a key twice, once escaped": (b'{"sentence1": "a", "sent\\u0065nce1": "c"}', "the key 'sentence1' appears twice"),
    "a key twice far inside": (b'{"meta": [{"by": {"who": 1, "who": 2}}]}', "the key 'who' appears twice"),
    "half a surrogate pair": (lines({**GOOD, "sentence2": "\ud800"}), "'sentence2' holds half a surrogate pair"),
    "text as a score": (lines({**GOOD, "score": "2.5"}), "'score' is '2.5', not a number"),
    "null as a score": (lines({**GOOD, "score": None}), "'score' is None, not a number"),
    "true as a score": (lines({**GOOD, "score": True}), "'score' is True, not a number"),
    "NaN": (lines({**GOOD, "score": float("nan")}), "'score' is nan, not a finite number"),
    "infinity": (lines({**GOOD, "score": float("inf")}), "'score' is inf, not a finite number"),
    "1e999": (lines({**GOOD, "score": "X"}).replace(b'"X"', b"1e999"), "'score' is inf, not a finite number"),
    "below": (lines({**GOOD, "score": -0.001}), "'score' is -0.001, outside 0 to 5"),
    "above": (lines({**GOOD, "score": 6}), "'score' is 6, outside 0 to 5"),
    "far above": (lines({**GOOD, "score": 10**400}), "outside 0 to 5"),
    "5000 digits": (lines({**GOOD, "score": "X"}).replace(b'"X"', b"9" * 5000), "not a JSON object"),
}


@pytest.mark.parametrize(("line", "message"), BAD.values(), ids=BAD)
def test_a_bad_row_is_named_by_file_and_line(line: bytes, message: str) -> None:
    content = lines(GOOD, GOOD) + line.rstrip() + b"\n" + lines(GOOD)
    ((subject, found),) = refused(("a.jsonl", lines(GOOD)), ("b.jsonl", content))
    assert subject == "b.jsonl:3"
    assert message in found


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    content = b"\n\n" + lines(GOOD) + b"\nbad\n"
    assert [subject for subject, _ in refused(("a.jsonl", content))] == ["a.jsonl:5"]


def test_every_bad_row_is_named() -> None:
    content = lines({**GOOD, "score": 9}, GOOD, {**GOOD, "score": 8}) + b"x\n"
    assert [subject for subject, _ in refused(("a.jsonl", content))] == ["a.jsonl:1", "a.jsonl:3", "a.jsonl:4"]


def test_the_first_twenty_bad_rows_are_named_over_all_files() -> None:
    bad = b"x\n" * 30
    found = refused(("a.jsonl", lines(GOOD)), ("b.jsonl", bad[:20]), ("c.jsonl", bad), ("d.jsonl", bad))
    assert len(found) == SHOWN == 20
    assert [subject for subject, _ in found[:11]] == [*(f"b.jsonl:{number}" for number in range(1, 11)), "c.jsonl:1"]


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_no_rows_are_a_finding(content: bytes) -> None:
    assert refused(("a.jsonl", content)) == [("a.jsonl, b.jsonl", "the dataset has no rows")]


@pytest.mark.parametrize(
    "content",
    [b"", b"plain", gzip.compress(lines(GOOD), mtime=0)[:-4], gzip.compress(b"x", mtime=0) + b"rest", b"\x1f\x8b" + b"\0" * 30],
)
def test_what_is_no_gzip_is_named(content: bytes) -> None:
    ((subject, message),) = refused(("a.jsonl.gz", content))
    assert subject in ("a.jsonl.gz", "a.jsonl, b.jsonl")
    assert "gzip" in message or message == "the dataset has no rows"


@pytest.mark.parametrize("name", ["a.txt", "a.json", "a.jsonl.zip", "a.jsonl.zst", "a.arrow"])
def test_other_formats_are_named(name: str) -> None:
    ((subject, message),) = refused((name, lines(GOOD)))
    assert subject == name
    assert ".jsonl" in message


# Parquet

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
WORDS = ["ein Weg", "naïve é", ""]
FILE = "t.parquet"


def table(names: tuple[str, ...] = ("sentence1", "sentence2", "score"), **columns: Any) -> bytes:
    """A Parquet file of three good rows but for these columns."""
    values = {"sentence1": WORDS, "sentence2": WORDS, "score": [1.5, 2.0, 3.0]} | columns
    buffer = BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(values[name]) for name in names], names=list(names)), buffer)
    return buffer.getvalue()


TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()]
TEXTS += [pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int32(), pa.binary())]


@pytest.mark.parametrize("kind", TEXTS, ids=str)
def test_every_column_of_text_gives_the_same_rows(kind: Any) -> None:
    """Older writers leave the mark out that says that bytes are text."""
    bytes_wanted = "binary" in str(getattr(kind, "value_type", kind))
    values = [word.encode() if bytes_wanted else word for word in WORDS]
    column = pa.array(values).dictionary_encode() if "dictionary" in str(kind) else pa.array(values, kind)
    assert read((FILE, table(sentence1=column))) == Rows(tuple(WORDS), tuple(WORDS), (1.5, 2.0, 3.0))


NUMBERS = [pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.decimal128(5, 2), pa.decimal256(40, 3)]


@pytest.mark.parametrize("kind", NUMBERS, ids=str)
def test_every_column_of_numbers_is_a_score(kind: Any) -> None:
    whole = [Decimal(n) for n in (1, 2, 3)] if "decimal" in str(kind) else [1, 2, 3]
    column = pa.array(np.array(whole, np.float16)) if kind == pa.float16() else pa.array(whole, kind)
    found = read((FILE, table(score=column))).scores
    assert found == (1.0, 2.0, 3.0) and all(type(score) is float for score in found)


OTHER: dict[str, list[Any]] = {
    "bool": [True, False, True],
    "int64": [1, 2, 3],
    "timestamp[us, tz=UTC]": [datetime(2020, 1, 1, tzinfo=UTC)] * 3,
    "date32[day]": [date(2020, 1, 1)] * 3,
    "duration[us]": [timedelta(1)] * 3,
    "list<element: string>": [["a"]] * 3,
    "struct<text: string>": [{"text": "a"}] * 3,
    "null": [None] * 3,
}


@pytest.mark.parametrize("kind", OTHER)
def test_a_column_of_another_type_is_named_with_it_and_never_becomes_text(kind: str) -> None:
    assert refused((FILE, table(sentence2=OTHER[kind]))) == [(FILE, f"the column 'sentence2' holds {kind}, not text")]


@pytest.mark.parametrize("kind", [kind for kind in OTHER if kind != "int64"])
def test_a_column_of_another_type_is_no_score(kind: str) -> None:
    assert refused((FILE, table(score=OTHER[kind]))) == [(FILE, f"the column 'score' holds {kind}, not a number")]


def test_other_types_that_look_alike() -> None:
    fixed = pa.array([b"ab", b"cd", b"ef"], pa.binary(2))
    assert "fixed_size_binary[2], not text" in refused((FILE, table(sentence1=fixed)))[0][1]
    numbers = pa.array([1, 2, 1]).dictionary_encode()
    assert "not text" in refused((FILE, table(sentence1=numbers)))[0][1]
    assert refused((FILE, table(score=["1", "2", "3"]))) == [(FILE, "the column 'score' holds string, not a number")]


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("coded", [False, True])
def test_bytes_that_are_not_utf8_are_named_by_row_and_column(text: bool, coded: bool) -> None:
    column = pa.array([b"fine", b"caf\xe9", b"fine"])
    column = column.view(pa.string()) if text else column
    ((subject, message),) = refused((FILE, table(sentence2=column.dictionary_encode() if coded else column)))
    assert subject == f"{FILE}:2" and message.startswith("'sentence2' holds bytes that are not UTF-8")


def test_values_of_parquet_are_checked_as_those_of_lines() -> None:
    content = table(score=[1.0, None, float("nan")], sentence1=["a", None, "c"])
    assert refused((FILE, content)) == [
        (f"{FILE}:2", "'sentence1' is not a string, but null"),
        (f"{FILE}:3", "'score' is nan, not a finite number"),
    ]


def test_a_column_that_appears_twice_or_never_is_named() -> None:
    names = ("sentence1", "sentence2", "score", "id", "id")
    assert refused((FILE, table(names, id=[1, 2, 3]))) == [(FILE, "the column 'id' appears twice")]
    inner = pa.StructArray.from_arrays([pa.array([1, 2, 3])] * 2, names=["by", "by"])
    assert refused((FILE, table((*names[:3], "meta"), meta=inner))) == [(FILE, "the column 'meta.by' appears twice")]
    ((_, message),) = refused((FILE, table(("sentence1", "text", "score"), text=WORDS)))
    assert message == "the column 'sentence2' is missing; the file has 'sentence1', 'text', 'score'"


@pytest.mark.parametrize("cut", [0, 3, 11, 300, -1])
def test_what_is_no_parquet_file_is_named(cut: int) -> None:
    ((subject, message),) = refused((FILE, table()[:cut]))
    assert subject == FILE and message.startswith("not a Parquet file: ")


# What unpacks


def gzipped(block: bytes, count: int) -> bytes:
    return gzip.compress(block, 1, mtime=0) * count  # members in a row are one file


def zstd(**columns: Any) -> bytes:
    buffer = BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd", dictionary_pagesize_limit=1 << 30)
    return buffer.getvalue()


def of_one_text(size: int, rows: int) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["a" * size]))


BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "one line of blanks": ("b.jsonl.gz", lambda: gzipped(b" " * (8 << 20), 60)),
    "empty lines": ("b.jsonl.gz", lambda: gzipped(b"\n" * (8 << 20), 60)),
    "one sentence": ("b.jsonl.gz", lambda: gzipped(b'{"sentence1": "', 1) + gzipped(b"a" * (8 << 20), 60)),
    "one page": (FILE, lambda: zstd(sentence1=["a" * (100 << 20)], sentence2=["b"], score=[1.0])),
    "one text in every row": (
        FILE,
        lambda: zstd(sentence1=of_one_text(1 << 20, 9000), sentence2=of_one_text(1, 9000), score=[1.0] * 9000),
    ),
    "rows without text": (
        FILE,
        lambda: zstd(sentence1=of_one_text(0, 2_000_000), sentence2=of_one_text(0, 2_000_000), score=[1.0] * 2_000_000),
    ),
}
READ = """
import resource, sys
import pyarrow.parquet
from aqea_registry.base.findings import Refused
from aqea_registry.project.params import Dataset
from aqea_registry.sources.rows import read_rows
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_rows([(sys.argv[1], open(sys.argv[1], "rb"))], Dataset(repo="d"), "d")
except Refused as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error.findings[0].message)
"""


@pytest.mark.parametrize("kind", BOMBS)
def test_what_unpacks_to_far_more_is_refused_before_the_memory_is_used(kind: str, tmp_path: Path) -> None:
    name, make = BOMBS[kind]
    (tmp_path / name).write_bytes(make())
    command = [sys.executable, "-c", READ, name]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    grown, _, message = done.stdout.partition(" ")
    assert message.startswith("unpacks to more than 64 MiB and 25 times its size"), done
    assert int(grown) < 200 << 10, f"{grown} KiB for {(tmp_path / name).stat().st_size} bytes"


def test_what_packs_well_is_read() -> None:
    row = lines({**GOOD, "sentence1": "a" * 400})
    assert len(read(("a.jsonl.gz", gzip.compress(row * 5000))).scores) == 5000


# Files of other splits, rows in two files


@pytest.mark.parametrize(
    ("split", "path"),
    [
        (None, "train.jsonl"),
        (None, "trainset.jsonl"),
        (None, "set/dev.jsonl.gz"),
        ("test", "sts-b_TRAIN-00000-of-00001.parquet"),
        ("test", "validation/en-de.jsonl"),
        ("test", "stsTrain.jsonl"),
        ("train", "test.jsonl"),
        ("dev", "train/2.jsonl"),
        ("headlines", "val.jsonl"),
    ],
)
def test_a_file_with_the_name_of_another_split_is_reported(split: str | None, path: str) -> None:
    (finding,) = other_splits("d", Dataset(repo="d", files=(path,), split=split), [path])
    assert (finding.code, finding.subject, finding.expected) == ("wrong-split", f"d: {path}", split or "test")


@pytest.mark.parametrize(
    ("split", "path"),
    [
        (None, "test.jsonl"),
        (None, "latest.jsonl"),
        (None, "constrained/rows.jsonl"),
        (None, "train/test.jsonl"),
        ("validation", "dev.jsonl"),
        ("dev", "val-00000-of-00001.parquet"),
        ("train", "training.jsonl"),
        ("train+test", "train.jsonl"),
        ("headlines", "headlines.test.jsonl"),
    ],
)
def test_a_file_of_the_split_or_of_none_is_not(split: str | None, path: str) -> None:
    assert other_splits("d", Dataset(repo="d", files=(path,), split=split), [path]) == []


def test_files_that_the_repository_itself_assigns_are_not_reported() -> None:
    assert other_splits("d", Dataset(repo="d"), ["dev.jsonl"]) == []


def test_files_of_two_splits_in_one_set_are_named() -> None:
    found = other_splits("d", Dataset(repo="d", files=("*.jsonl",)), ["more.jsonl", "test.jsonl", "train.jsonl"])
    assert [finding.subject for finding in found] == ["d: train.jsonl"]
    assert "files of several splits: test, train" in found[0].message


def test_rows_that_stand_in_an_earlier_file_are_counted() -> None:
    again, other = {**GOOD, "score": 0}, {**GOOD, "sentence1": "c"}
    found = read(("a.jsonl", lines(GOOD, GOOD)), ("b.jsonl", lines(again, other)), ("c.jsonl", lines(other, again)))
    assert found.notes("d") == ["d: 3 of its 6 rows have the two sentences of a row of an earlier file"]
    assert read(("a.jsonl", lines(GOOD, GOOD))).notes("d") == []


def test_csv_and_tsv_are_read_as_they_are_written() -> None:
    text = '\ufeffscore,n,sentence1,sentence2\r\n4.80,1,"a, ""b""","two\nlines"\r\n\r\n3,2,NA,2020-01-01\r\n'
    found = read(("a.csv", text.encode()))
    assert (found.sentences1, found.sentences2, found.scores) == (('a, "b"', "NA"), ("two\nlines", "2020-01-01"), (4.8, 3.0))
    assert read(("a.tsv", b"sentence1\tsentence2\tscore\na\tb\t1e0\n")).scores == (1.0,)
    assert read(("a.csv", b'sentence1,sentence2,score\n"a,\nb",c,1\n')).sentences1 == ("a,\nb",)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            b"sentence1,sentence2,score\na,b,c,4\n",
            ("a.csv:2", "it has 4 cells, and the first row has 3; quote cells that hold the delimiter"),
        ),
        (b"sentence1,sentence2,score\na,b,high\n", ("a.csv:2", "'score' is 'high', not a number")),
        (b"sentence1,sentence2,score\na,b,true\n", ("a.csv:2", "'score' is True, not a number")),
        (b"sentence1,sentence2\na,b\n", ("a.csv:2", "the column 'score' is missing; the row has 'sentence1', 'sentence2'")),
        (b"sentence1,sentence1,score\na,b,1\n", ("a.csv:2", "the key 'sentence1' appears twice")),
        (b"sentence1;sentence2;score\na;b;1\n", ("a.csv:2", "not CSV in UTF-8: the first row has one cell")),
        (b'sentence1,sentence2,score\n"a,b,1\n', ("a.csv:3", "not CSV in UTF-8: unexpected end of data")),
        (b"sentence1,sentence2,score\n", ("a.jsonl, b.jsonl", "the dataset has no rows")),
        (
            b"sentence1,sentence2,score\na,b," + b"[" * 100_000 + b"\n",
            ("a.csv:2", f"'score' is '{'[' * 100_000}', not a number"),
        ),
        (  # written without quoting, where a sentence starts with a quote mark and a later one ends with it
            b'sentence1,sentence2,score\na,b,1\n"c,d,2\ne",f,3\n',
            ("a.csv:3", "a quoted cell goes on to other lines, each of which is a row as well; write a quote in a cell twice"),
        ),
    ],
)
def test_bad_csv_is_named_by_its_line(text: bytes, found: tuple[str, str]) -> None:
    assert refused(("a.csv", text)) == [found]
