"""Rows of a dataset: read from JSON lines, and every bad one named by file and line."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.base.findings import Refused
from aqea_registry.project.params import Columns, Dataset
from aqea_registry.sources.rows import SHOWN, Rows, read_rows

DATASET = Dataset(repo="d", files=("a.jsonl", "b.jsonl"), sources=())
GOOD: dict[str, Any] = {"sentence1": "a", "sentence2": "b", "score": 2.5}


def lines(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def read(*files: tuple[str, bytes], dataset: Dataset = DATASET) -> Rows:
    return read_rows(files, dataset, "d")


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
    "a number as a sentence": (lines({**GOOD, "sentence1": 3}), "'sentence1' is not a string"),
    "null as a sentence": (lines({**GOOD, "sentence2": None}), "'sentence2' is not a string"),
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


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl.zip", "a.parquet"])
def test_other_formats_are_named(name: str) -> None:
    ((subject, message),) = refused((name, lines(GOOD)))
    assert subject == name
    assert ".jsonl" in message
