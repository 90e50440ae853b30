"""Pair files: one spelling, read back to the same numbers; anything else is refused with its reason."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import random
import shutil
import struct
import subprocess
import tempfile
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aqea_registry.base.files import open_regular
from aqea_registry.vectors.containers import json_text, pair_json
from aqea_registry.vectors.containers.json_text import number, read_rows, rows_text
from aqea_registry.vectors.containers.pair_json import examine
from aqea_registry.vectors.pair_set import KEYS, MICRO, ContentDigest, Header, Malformed, Micro, PairSet
from tests import factories
from tests.pair_sets import Pairs, parse, render

GOOD: dict[str, Any] = {
    "dataset": "d",
    "model": "o/m",
    "dimension": 2,
    "n_pairs": 2,
    "baseline_spearman": 1.0,
    "embeddings1": [[1, 0], [0.6, -0.8]],
    "embeddings2": [[0, 1], [0.000001, -1]],
    "scores": [4.25, 0],
}


def pair_set(seed: int = 0, count: int = 5, dimension: int = 3) -> Pairs:
    first, second, scores = factories.pairs(seed, count, dimension)
    header = Header(dataset="d", model="o/m", dimension=dimension, n_pairs=count, baseline_spearman=-0.1)
    return Pairs(header=header, embeddings1=first, embeddings2=second, scores=tuple(scores))


def text_of(pairs: Pairs, cuts: tuple[int, ...] = ()) -> bytes:
    file = io.BytesIO()
    pair_json.write(file, pairs.header, np.split(pairs.embeddings1, cuts), np.split(pairs.embeddings2, cuts), pairs.scores)
    return file.getvalue()


@st.composite
def pair_sets(draw: st.DrawFn) -> Pairs:
    count, dimension = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    matrix = arrays.arrays(np.int32, (count, dimension), elements=st.integers(-9_999_999, 9_999_999))
    number = st.floats(allow_nan=False, allow_infinity=False)
    header = Header(
        dataset=draw(st.text()),
        model=draw(st.text()),
        dimension=dimension,
        n_pairs=count,
        baseline_spearman=draw(st.floats(-1, 1)),
    )
    scores = draw(st.lists(number, min_size=count, max_size=count))
    return Pairs(header=header, embeddings1=draw(matrix), embeddings2=draw(matrix), scores=tuple(scores))


def read(content: bytes) -> tuple[PairSet, Micro, Micro]:
    """The pair set in these bytes by the streaming reader, and its two matrices."""
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(content)
        found = pair_json.read(file)
        return found, np.concatenate([*found.blocks(0)]), np.concatenate([*found.blocks(1)])


@contextmanager
def pieces_of(size: int) -> Iterator[None]:
    """Read so many bytes at a time: every cut falls somewhere else."""
    before, json_text.PIECE = json_text.PIECE, size
    try:
        yield
    finally:
        json_text.PIECE = before


sizes = st.sampled_from([1, 2, 3, 7, 20, 100, json_text.PIECE])


@given(pair_sets(), sizes)
def test_what_is_written_is_read(pairs: Pairs, size: int) -> None:
    text = text_of(pairs)
    with pieces_of(size):
        found, first, second = read(text)
    assert found.header == pairs.header and found.is_canonical
    assert np.array_equal(first, pairs.embeddings1) and first.dtype == np.int32
    assert np.array_equal(second, pairs.embeddings2) and second.dtype == np.int32
    assert found.scores == pairs.scores
    assert found.content == pairs.content_digest()
    assert text_of(parse(text)) == text


Outcome = tuple[str, str]


def by_the_streaming_reader(content: bytes) -> Outcome:
    try:
        found, *_ = read(content)
    except Malformed as error:
        return error.code, ""
    return "canonical" if found.is_canonical else "not-canonical", found.content


def by_the_whole_file(content: bytes) -> Outcome:
    try:
        pairs = parse(content)
    except Malformed as error:
        return error.code, ""
    large = max(np.abs(matrix).max() for matrix in (pairs.embeddings1, pairs.embeddings2)) >= 10 * MICRO
    return "not-canonical" if large or render(pairs) != content else "canonical", pairs.content_digest()


JSON_PARTS = [bytes([byte]) for byte in b' \n,:[]{}"\\-+.0123456789eEnul\0\xff'] + [
    b"0.",
    b"],[",
    b"[[",
    b"]]",
    b"-0",
    b"00",
    b"1e-3",
    b"null",
    b"true",
    b"NaN",
    b'"scores":[1,2],',
    b'"embeddings1":[[1,0]],',
]


@given(st.data(), pair_sets(), sizes)
def test_a_changed_file_is_judged_as_by_reading_it_whole(data: st.DataObject, pairs: Pairs, size: int) -> None:
    content = text_of(pairs)
    for _ in range(data.draw(st.integers(1, 2))):
        start = data.draw(st.integers(0, len(content)))
        end = start + data.draw(st.integers(0, 2))
        content = content[:start] + data.draw(st.sampled_from([b"", *JSON_PARTS])) + content[end:]
    with pieces_of(size):
        assert by_the_streaming_reader(content) == by_the_whole_file(content)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "no final newline": lambda text: text[:-1],
    "two newlines": lambda text: text + "\n",
    "a space first": lambda text: " " + text,
    "a space after a colon": lambda text: text.replace(":", ": ", 1),
    "spaces between rows": lambda text: text.replace("],[", "] , ["),
    "a newline between rows": lambda text: text.replace("],[", "],\n["),
    "much space behind a matrix": lambda text: text.replace(']],"emb', "]]" + " " * 9000 + ',"emb'),
    "a space within a matrix": lambda text: text.replace("[[", "[ [", 1),
    "a space at its end": lambda text: text.replace("]]", "] ]", 1),
    "a space in a row": lambda text: text.replace(",0]", ", 0]", 1),
    "minus zero": lambda text: text.replace(",0]", ",-0]", 1),
    "a point too many": lambda text: text.replace(",0]", ",0.0]", 1),
    "a zero too many": lambda text: text.replace("0.6,", "0.60,", 1),
    "an exponent": lambda text: text.replace("0.6,", "6e-1,", 1),
    "plus": lambda text: text.replace("[0,1]", "[0,+1]", 1),
    "a leading zero": lambda text: text.replace("[0,1]", "[0,01]", 1),
    "scores with a point": lambda text: text.replace("4.25", "4.250", 1),
    "keys in another order": lambda text: text.replace('"dataset":"d","model":"o/m"', '"model":"o/m","dataset":"d"'),
    "matrices in another order": lambda text: (
        text.replace("embeddings1", "x").replace("gs2", "gs1").replace('"x"', '"embeddings2"')
    ),
    "a key twice": lambda text: text.replace('"model"', '"dataset":"d","model"'),
    "a matrix twice": lambda text: text.replace('"scores"', '"embeddings1":[[1,0],[0.6,-0.8]],"scores"'),
    "a key escaped": lambda text: text.replace('"model"', '"\\u006dodel"'),
    "a text escaped": lambda text: text.replace('"d"', '"\\u0064"'),
    "a byte-order mark": lambda text: "\ufeff" + text,
    "a comma too many": lambda text: text.replace("],[", "],,[", 1),
    "a comma at a matrix's end": lambda text: text.replace("]]", "],]", 1),
    "a comma at a row's end": lambda text: text.replace(",0]", ",0,]", 1),
    "a comma at the end": lambda text: text.replace("]}", "],}", 1),
    "no comma between rows": lambda text: text.replace("],[", "][", 1),
    "a row within a row": lambda text: text.replace("[0,1]", "[[0,1]]", 1),
    "a number behind a matrix": lambda text: text.replace("]],", "]]1,", 1),
    "a matrix that is a number": lambda text: text.replace("[[1,0],[0.6,-0.8]]", "1", 1),
    "a matrix that is a row": lambda text: text.replace("[[1,0],[0.6,-0.8]]", "[1,0]", 1),
    "an empty matrix": lambda text: text.replace("[[1,0],[0.6,-0.8]]", "[]", 1),
    "empty rows": lambda text: text.replace("[[1,0],[0.6,-0.8]]", "[[],[]]", 1),
    "a value that is too large to print": lambda text: text.replace("[0,1]", "[0,12.5]", 1),
    "a value beyond int32": lambda text: text.replace("[0,1]", "[0,2147.483648]", 1),
    "off the grid, and malformed behind": lambda text: text.replace("0.6", "0.6000001").replace("4.25", "NaN"),
    "off the grid, and a row too few behind": lambda text: text.replace("0.6", "0.6000001").replace("[0,1],", ""),
}


@pytest.mark.parametrize("size", [5, json_text.PIECE])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_other_spelling_is_judged_as_by_reading_it_whole(spelling: str, size: int) -> None:
    text = json.dumps(GOOD, separators=(",", ":")).replace("1e-06", "0.000001").replace("1.0,", "1,") + "\n"
    changed = SPELLINGS[spelling](text)
    assert (changed == text) == (spelling == "as it is")
    with pieces_of(size):
        found = by_the_streaming_reader(changed.encode())
    assert found == by_the_whole_file(changed.encode())
    assert (found[0] == "canonical") == (changed == text)


def test_a_matrix_that_is_hidden_by_a_second_one_is_not_looked_at() -> None:
    """The one difference to reading the file whole: what is refused as not canonical is not checked further."""
    content = text_of(pair_set()).replace(b'"embeddings1"', b'"embeddings1":[[nul]],"embeddings1"')
    assert by_the_whole_file(content)[0] == "malformed"
    assert by_the_streaming_reader(content)[0] == "not-canonical"


@given(st.lists(st.integers(1, 8), unique=True, max_size=6))
def test_blocks_do_not_matter(cuts: list[int]) -> None:
    pairs = pair_set(count=9)
    assert text_of(pairs, tuple(sorted(cuts))) == text_of(pairs)


def test_a_pair_file_is_compact_json_with_its_keys_in_order() -> None:
    text = text_of(pair_set())
    assert text.endswith(b"]}\n") and text.count(b"\n") == 1 and b" " not in text
    assert tuple(json.loads(text)) == KEYS
    assert text.startswith(b'{"dataset":"d","model":"o/m","dimension":3,"n_pairs":5,"baseline_spearman":-0.1,"embeddings1":[[')


@given(arrays.arrays(np.int32, (3, 4), elements=st.integers(-9_999_999, 9_999_999)))
def test_rows_are_spelled_as_their_numbers(rows: Micro) -> None:
    wanted = [[number(value / MICRO) for value in row] for row in rows.tolist()]
    assert rows_text(rows) == b"[" + b"],[".join(map(b",".join, wanted)) + b"]"
    again = read_rows(rows_text(rows))
    assert again is not None and again.dtype == np.int32 and np.array_equal(again, rows)


@given(st.lists(st.sampled_from([b"[", b"]", b",", b"-", b".", b"0", b"1", b"9", b"],[", b"0.5", b"n", b"\0"])))
def test_only_the_text_of_rows_is_read_as_rows(parts: list[bytes]) -> None:
    text = b"".join(parts)
    found = read_rows(text)
    assert found is None or rows_text(found) == text


def test_rows_that_no_normalised_vector_has_are_refused() -> None:
    for value in (10_000_000, -10_000_000, -(2**31)):
        with pytest.raises(ValueError, match="not a component"):
            rows_text(np.array([[value]], np.int32))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_short_and_read_back_exactly(value: float) -> None:
    text = number(value)
    assert float(text) == value
    assert len(text) <= 25 and text == text.lower() and b"+0" not in text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_has_no_spelling(value: float) -> None:
    with pytest.raises(ValueError, match="not a JSON number"):
        number(value)


def node(script: str, content: bytes = b"") -> bytes:
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not on PATH: nothing to compare with")
    return subprocess.run([program, "-e", script], input=content, capture_output=True, check=True).stdout


def test_every_grid_value_is_spelled_as_javascript_spells_it() -> None:
    script = "process.stdout.write(JSON.stringify(Array.from({length: 2000001}, (_, i) => (i - 1000000) / 1e6)))"
    assert node(script) == rows_text(np.arange(-MICRO, MICRO + 1, dtype=np.int32)[None, :])


def test_numbers_are_spelled_as_javascript_spells_them() -> None:
    source = random.Random(5)
    bits = [source.getrandbits(64).to_bytes(8, "little") for _ in range(20_000)]
    values = [value for part in bits if math.isfinite(value := struct.unpack("<d", part)[0])]
    values += [0.0, -0.0, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 0.1, 1 / 3, 2**53, 2.0**63]
    values += [sign * mantissa * 10.0**power for sign in (1, -1) for mantissa in (1, 1.5, 9.999) for power in range(-30, 31)]
    script = (
        "const b = require('fs').readFileSync(0);"
        "const a = Array.from({length: b.length / 8}, (_, i) => b.readDoubleLE(8 * i));"
        "process.stdout.write(JSON.stringify(a))"
    )
    assert node(script, struct.pack(f"<{len(values)}d", *values)) == b"[" + b",".join(map(number, values)) + b"]"


def changed(**values: Any) -> bytes:
    return json.dumps({**GOOD, **values}).encode()


BAD = {
    "empty": (b"", "not a JSON object"),
    "not JSON": (b"dataset: d", "not a JSON object"),
    "cut off": (changed()[:-2], "ends within"),
    "text after the end": (changed() + b"{}", "something behind"),
    "not an object": (b"[]", "not a JSON object"),
    "not UTF-8": (changed(dataset="D").replace(b'"D"', b'"\xff"'), "not a pair file"),
    "deep": (b"[" * 100_000, "not a JSON object"),
    "deep inside": (changed(dataset="D").replace(b'"D"', b"[" * 100_000), "does not end"),
    "missing key": (json.dumps({key: GOOD[key] for key in GOOD if key != "scores"}).encode(), "`scores`"),
    "unknown key": (changed(more=1), "`more`"),
    "wrong type": (changed(dimension="2"), "dimension"),
    "a string score": (changed(scores=[1, "2"]), "holds other things than numbers"),
    "a null value": (changed(embeddings1=[[1, None], [1, 0]]), "embeddings1"),
    "true for a number": (changed(scores=[1, True]), r"scores\[1\]"),
    "NaN": (changed(scores=[1, math.nan]), "not a pair file"),
    "Infinity": (changed(embeddings1=[[1, math.inf], [1, 0]]), "embeddings1"),
    "1e999": (changed(scores=[1, "X"]).replace(b'"X"', b"1e999"), "not a pair file"),
    "n_pairs too large": (changed(n_pairs=3), "n_pairs is 3, but there are 2 scores"),
    "n_pairs too small": (changed(n_pairs=1), "n_pairs is 1, but there are 2 scores"),
    "no pairs": (changed(n_pairs=0, scores=[], embeddings1=[], embeddings2=[]), "at least one"),
    "no dimension": (changed(dimension=0, embeddings1=[[], []], embeddings2=[[], []]), "at least one"),
    "a row too few": (changed(embeddings2=[[1, 0]]), "embeddings2 has 1 rows"),
    "a row too many": (changed(embeddings1=[[1, 0]] * 3), "embeddings1 has 3 rows"),
    "ragged": (changed(embeddings2=[[1, 0], [1, 0, 0]]), "embeddings2.*rows of different lengths"),
    "wrong dimension": (changed(dimension=3), "row 0 of embeddings1 has 2 values"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_a_malformed_file_is_refused_with_its_reason(content: bytes, message: str) -> None:
    with pytest.raises(Malformed, match=message) as raised:
        read(content)
    assert raised.value.code == "malformed"


@pytest.mark.parametrize("value", [0.1234567, 1e-7, 0.30000000000000004, 3000.0, -2147.5, 1e300, -1.7e308])
def test_a_value_off_the_grid_is_not_canonical(value: float) -> None:
    with warnings.catch_warnings(), pytest.raises(Malformed, match="embeddings2") as raised:
        warnings.simplefilter("error")  # a user reads one message, not one of NumPy's as well
        read(changed(embeddings2=[[0, 1], [value, 0]]))
    assert raised.value.code == "not-canonical"


def test_the_message_names_the_place_of_a_value_off_the_grid() -> None:
    with pytest.raises(Malformed, match=r"embeddings2\[1\]\[0\] is .*0\.1234567.*not on the grid"):
        read(changed(embeddings2=[[0, 1], [0.1234567, 0]]))


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    with pytest.raises(Malformed):
        read(content)


def test_the_content_digest_is_of_the_documented_bytes() -> None:
    pairs = pair_set()
    digest = hashlib.sha256(b"aqea-pair-set/1\n" + struct.pack("<2Q", 5, 3))
    for matrix in (pairs.embeddings1, pairs.embeddings2):
        digest.update(struct.pack("<15i", *matrix.reshape(-1).tolist()))
    digest.update(struct.pack("<5d", *pairs.scores))
    assert pairs.content_digest() == digest.hexdigest()


def test_every_number_is_part_of_the_content_digest() -> None:
    pairs = pair_set()
    digests = {pairs.content_digest()}
    for position in range(15):
        for name in ("embeddings1", "embeddings2"):
            matrices = {"embeddings1": pairs.embeddings1.copy(), "embeddings2": pairs.embeddings2.copy()}
            matrices[name].reshape(-1)[position] += 1
            digests.add(Pairs(header=pairs.header, scores=pairs.scores, **matrices).content_digest())
    for position in range(5):
        scores = list(pairs.scores)
        scores[position] = math.nextafter(scores[position], 9)
        found = Pairs(header=pairs.header, embeddings1=pairs.embeddings1, embeddings2=pairs.embeddings2, scores=tuple(scores))
        digests.add(found.content_digest())
    assert len(digests) == 1 + 2 * 15 + 5


def digest_of(header: Header, first: list[list[int]], second: list[list[int]], scores: tuple[float, ...]) -> str:
    matrices = {"embeddings1": np.array(first, np.int32), "embeddings2": np.array(second, np.int32)}
    return Pairs(header=header, scores=scores, **matrices).content_digest()


def test_the_shape_and_the_sides_are_part_of_the_content_digest() -> None:
    tall = Header(dataset="d", model="m", dimension=1, n_pairs=2, baseline_spearman=0)
    wide = Header(dataset="d", model="m", dimension=2, n_pairs=1, baseline_spearman=0)
    found = {
        digest_of(tall, [[1], [2]], [[3], [4]], (0, 0)),
        digest_of(tall, [[3], [4]], [[1], [2]], (0, 0)),
        digest_of(tall, [[1], [3]], [[2], [4]], (0, 0)),
        digest_of(wide, [[1, 2]], [[3, 4]], (0, 0)),
    }
    assert len(found) == 4


def test_names_are_not_part_of_the_content_digest() -> None:
    pairs = pair_set()
    other = Header(dataset="e", model="n", dimension=3, n_pairs=5, baseline_spearman=0.5)
    found = Pairs(header=other, embeddings1=pairs.embeddings1, embeddings2=pairs.embeddings2, scores=pairs.scores)
    assert found.content_digest() == pairs.content_digest()


def test_blocks_do_not_change_the_content_digest() -> None:
    pairs = pair_set()
    digest = ContentDigest(5, 3)
    for matrix in (pairs.embeddings1, pairs.embeddings2):
        for row in np.asfortranarray(matrix):
            digest.add(row[None, :])
    assert digest.finish(pairs.scores) == pairs.content_digest()


def test_zero_has_one_content_digest() -> None:
    """A file spells minus zero as zero, so the digest must not tell them apart."""
    header = Header(dataset="d", model="m", dimension=1, n_pairs=1, baseline_spearman=0)
    assert digest_of(header, [[1]], [[1]], (-0.0,)) == digest_of(header, [[1]], [[1]], (0.0,))


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(text_of(pair_set()))
    with open_regular(tmp_path / "x") as file:
        found = pair_json.read(file)
        assert len(np.concatenate([*found.blocks(0)])) == 5
        (tmp_path / "x").write_bytes(text_of(pair_set())[:-1] + b" ")
        os.utime(tmp_path / "x", (0, 0))  # a clock that is too coarse must not decide
        with pytest.raises(Malformed, match="changed while it was read"):
            list(found.blocks(0))


def test_what_has_no_score_is_malformed_before_it_is_not_canonical(tmp_path: Path) -> None:
    pairs = pair_set(count=9)
    good = text_of(pairs)
    constant = text_of(
        Pairs(header=pairs.header, embeddings1=pairs.embeddings1, embeddings2=pairs.embeddings2, scores=(1.0,) * 9)
    )
    for content, codes in [(good, ["wrong-metric"]), (good + b" ", ["not-canonical"]), (constant + b" ", ["malformed"])]:
        (tmp_path / "x").write_bytes(content)
        assert [finding.code for finding in examine(tmp_path / "x", "x")[1]] == codes


def test_a_pair_file_is_examined_in_memory_of_a_few_blocks(tmp_path: Path) -> None:
    """The header's score is wrong, and everything else was read and checked."""
    first = factories.unit_rows(np.random.default_rng(0), 100, 1000)
    header = Header(dataset="d", model="m", dimension=1000, n_pairs=2000, baseline_spearman=0.5)
    scores = [row % 50 / 10 for row in range(2000)]
    with (tmp_path / "x").open("wb") as file:
        pair_json.write(file, header, [first] * 20, [np.roll(first, shift, axis=0) for shift in range(20)], scores)
    size = (tmp_path / "x").stat().st_size
    tracemalloc.start()
    try:
        examined, findings = examine(tmp_path / "x", "x")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert examined is not None and [finding.code for finding in findings] == ["wrong-metric"]
    assert peak < size / 3


@pytest.mark.parametrize("dimension", [16, 384])
def test_a_length_may_be_off_by_what_rounding_explains_and_no_more(tmp_path: Path, dimension: int) -> None:
    pairs = pair_set(1, 8, dimension)
    allowed = 0.5 * math.sqrt(dimension) + 1  # micro-units

    def examined(longer: float) -> list[tuple[str, str]]:
        """What is found where the first vector is longer than 1 by so many micro-units."""
        changed = pairs.embeddings1.copy()
        changed[0] = 0
        changed[0, 0] = MICRO + round(longer)
        given = Pairs(header=pairs.header, embeddings1=changed, embeddings2=pairs.embeddings2, scores=pairs.scores)
        (tmp_path / "x").write_bytes(render(given))
        return [
            (finding.code, finding.subject) for finding in examine(tmp_path / "x", "x")[1] if "embeddings" in finding.subject
        ]

    for sign in (1, -1):
        assert examined(sign * math.floor(allowed)) == []
        assert examined(sign * (math.floor(allowed) + 1)) == [("not-canonical", "x: embeddings1[0]")]
