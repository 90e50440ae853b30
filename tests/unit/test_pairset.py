"""Pair files: one spelling, read back to the same numbers; anything else is refused with its reason."""

from __future__ import annotations

import hashlib
import io
import json
import math
import random
import shutil
import struct
import subprocess
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aqea_registry.vectors.containers.pair_json import number, parse, rows_text, write
from aqea_registry.vectors.pair_set import KEYS, MICRO, ContentDigest, Header, Malformed, Micro, PairSet
from tests.unit import make

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


def pair_set(seed: int = 0, count: int = 5, dimension: int = 3) -> PairSet:
    first, second, scores = make.pairs(seed, count, dimension)
    header = Header(dataset="d", model="o/m", dimension=dimension, n_pairs=count, baseline_spearman=-0.1)
    return PairSet(header=header, embeddings1=first, embeddings2=second, scores=tuple(scores))


def text_of(pairs: PairSet, cuts: tuple[int, ...] = ()) -> bytes:
    file = io.BytesIO()
    write(file, pairs.header, np.split(pairs.embeddings1, cuts), np.split(pairs.embeddings2, cuts), pairs.scores)
    return file.getvalue()


@st.composite
def pair_sets(draw: st.DrawFn) -> PairSet:
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
    return PairSet(header=header, embeddings1=draw(matrix), embeddings2=draw(matrix), scores=tuple(scores))


@given(pair_sets())
def test_what_is_written_is_read(pairs: PairSet) -> None:
    text = text_of(pairs)
    found = parse(text)
    assert found.header == pairs.header
    assert np.array_equal(found.embeddings1, pairs.embeddings1) and found.embeddings1.dtype == np.int32
    assert np.array_equal(found.embeddings2, pairs.embeddings2)
    assert found.scores == pairs.scores
    assert found.content_digest() == pairs.content_digest()
    assert text_of(found) == text


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


def test_rows_that_no_normalised_vector_has_are_refused() -> None:
    for value in (10_000_000, -10_000_000, -(2**31)):
        with pytest.raises(ValueError, match="no component"):
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
    "empty": (b"", "not a pair file"),
    "not JSON": (b"dataset: d", "not a pair file"),
    "cut off": (changed()[:-2], "not a pair file"),
    "text after the end": (changed() + b"{}", "not a pair file"),
    "not an object": (b"[]", "Expected `object`"),
    "not UTF-8": (changed(dataset="D").replace(b'"D"', b'"\xff"'), "not a pair file"),
    "deep": (b"[" * 100_000, "not a pair file"),
    "deep inside": (changed(dataset="D").replace(b'"D"', b"[" * 100_000), "not a pair file"),
    "missing key": (json.dumps({key: GOOD[key] for key in GOOD if key != "scores"}).encode(), "`scores`"),
    "unknown key": (changed(more=1), "`more`"),
    "wrong type": (changed(dimension="2"), "dimension"),
    "a string score": (changed(scores=[1, "2"]), r"scores\[1\]"),
    "a null value": (changed(embeddings1=[[1, None], [1, 0]]), "embeddings1"),
    "true for a number": (changed(scores=[1, True]), r"scores\[1\]"),
    "NaN": (changed(scores=[1, math.nan]), "not a pair file"),
    "Infinity": (changed(embeddings1=[[1, math.inf], [1, 0]]), "not a pair file"),
    "1e999": (changed(scores=[1, "X"]).replace(b'"X"', b"1e999"), "not a pair file"),
    "n_pairs too large": (changed(n_pairs=3), "n_pairs is 3, but there are 2 scores"),
    "n_pairs too small": (changed(n_pairs=1), "n_pairs is 1, but there are 2 scores"),
    "no pairs": (changed(n_pairs=0, scores=[], embeddings1=[], embeddings2=[]), "at least one"),
    "no dimension": (changed(dimension=0, embeddings1=[[], []], embeddings2=[[], []]), "at least one"),
    "a row too few": (changed(embeddings2=[[1, 0]]), "embeddings2 has 1 rows"),
    "a row too many": (changed(embeddings1=[[1, 0]] * 3), "embeddings1 has 3 rows"),
    "ragged": (changed(embeddings2=[[1, 0], [1, 0, 0]]), "row 1 of embeddings2 has 3 values"),
    "wrong dimension": (changed(dimension=3), "row 0 of embeddings1 has 2 values"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_a_malformed_file_is_refused_with_its_reason(content: bytes, message: str) -> None:
    with pytest.raises(Malformed, match=message) as raised:
        parse(content)
    assert raised.value.code == "malformed"


@pytest.mark.parametrize("value", [0.1234567, 1e-7, 0.30000000000000004, 3000.0, -2147.5, 1e300, -1.7e308])
def test_a_value_off_the_grid_is_not_canonical(value: float) -> None:
    with warnings.catch_warnings(), pytest.raises(Malformed, match="embeddings2") as raised:
        warnings.simplefilter("error")  # a user reads one message, not one of NumPy's as well
        parse(changed(embeddings2=[[0, 1], [value, 0]]))
    assert raised.value.code == "not-canonical"


def test_the_message_names_the_place_of_a_value_off_the_grid() -> None:
    with pytest.raises(Malformed, match=r"embeddings2\[1\]\[0\] is .*0\.1234567.*: 1 values"):
        parse(changed(embeddings2=[[0, 1], [0.1234567, 0]]))


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    with pytest.raises(Malformed):
        parse(content)


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
            digests.add(PairSet(header=pairs.header, scores=pairs.scores, **matrices).content_digest())
    for position in range(5):
        scores = list(pairs.scores)
        scores[position] = math.nextafter(scores[position], 9)
        found = PairSet(header=pairs.header, embeddings1=pairs.embeddings1, embeddings2=pairs.embeddings2, scores=tuple(scores))
        digests.add(found.content_digest())
    assert len(digests) == 1 + 2 * 15 + 5


def digest_of(header: Header, first: list[list[int]], second: list[list[int]], scores: tuple[float, ...]) -> str:
    matrices = {"embeddings1": np.array(first, np.int32), "embeddings2": np.array(second, np.int32)}
    return PairSet(header=header, scores=scores, **matrices).content_digest()


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
    found = PairSet(header=other, embeddings1=pairs.embeddings1, embeddings2=pairs.embeddings2, scores=pairs.scores)
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
