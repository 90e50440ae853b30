"""Pair files as JSON: written and checked in one canonical spelling, examined, and read in any spelling for a comparison.

The file is the published one: a single object with the keys `dataset`, `model`, `dimension`, `n_pairs`,
`baseline_spearman`, `embeddings1`, `embeddings2`, `scores`, in that order; UTF-8, compact, one final newline. Numbers
have the shortest form of RFC 8785 (that of ECMAScript), so `JSON.stringify` writes the same bytes.
"""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import numpy as np

from aqea_registry.base.files import open_regular, wrong_content
from aqea_registry.base.findings import BadConfiguration, Finding
from aqea_registry.vectors.containers import json_text
from aqea_registry.vectors.containers.json_text import Range, number, rows_text
from aqea_registry.vectors.pair_set import (
    BLOCK_ROWS,
    KEYS,
    MICRO,
    ContentDigest,
    Header,
    Malformed,
    Micro,
    PairFile,
    PairSet,
    Values,
    decode,
    partial_header,
    regrouped,
)
from aqea_registry.vectors.scores import Metrics, Products, metrics, products

MATRICES = ("embeddings1", "embeddings2")


def write(file: BinaryIO, header: Header, first: Iterable[Micro], second: Iterable[Micro], scores: Sequence[float]) -> None:
    """Write a pair file from blocks of rows, so that memory holds one block at a time."""
    file.write(_opening(header))
    _write_rows(file, first)
    file.write(_BETWEEN)
    _write_rows(file, second)
    file.write(_ending(scores))


def declarations(header: Header) -> dict[str, Any]:
    """What a file declares before its matrices, the number in its shortest form."""
    return {**msgspec.structs.asdict(header), "baseline_spearman": msgspec.Raw(number(header.baseline_spearman))}


def _opening(header: Header) -> bytes:
    return msgspec.json.encode(declarations(header))[:-1] + b',"embeddings1":['


_BETWEEN = b'],"embeddings2":['


def _ending(scores: Sequence[float]) -> bytes:
    return b'],"scores":[' + b",".join(map(number, scores)) + b"]}\n"


def _write_rows(file: BinaryIO, blocks: Iterable[Micro]) -> None:
    separator = b""
    for block in blocks:
        file.write(separator + rows_text(block))
        separator = b","


class _Declared(Header, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pair file with empty matrices."""

    embeddings1: list[None]
    embeddings2: list[None]
    scores: list[float]


def read(file: FileIO) -> PairSet:
    """Read and check a whole pair file, in memory of its scores and a block of rows.

    Any spelling of JSON is read; `is_canonical` says whether it is that of `write`. Raises Malformed, first for what is not a
    pair file or has the wrong shape, then, with the code `not-canonical`, for values off the grid of 1e-6; OSError.
    """
    before = os.fstat(file.fileno())
    members = json_text.members(file)
    declared = _declared(file, members)
    where = {member.key: member.value for member in members}
    header = Header(**{key: getattr(declared, key) for key in Header.__struct_fields__})
    digest, canonical = ContentDigest(header.n_pairs, header.dimension), True
    off_grid: Malformed | None = None
    for which, key in enumerate(MATRICES):
        for first, block in _shaped(file, where, which, header):
            canonical &= block.dtype == np.int32
            try:
                digest.add(_on_grid(block, key, first))
            except Malformed as error:
                off_grid = off_grid or error
    if off_grid is not None:
        raise off_grid

    def blocks(which: int) -> Iterator[Micro]:
        for first, block in _shaped(file, where, which, header, proven=canonical):
            yield _on_grid(block, MATRICES[which], first)
        after = os.fstat(file.fileno())
        if (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size):
            raise Malformed("the file changed while it was read")

    whole, scores = canonical and _is_framed(file, where, header, declared.scores), tuple(declared.scores)
    return PairSet(header=header, scores=scores, content=digest.finish(scores), is_canonical=whole, blocks=blocks)


def _declared(file: FileIO, members: Sequence[json_text.Member]) -> _Declared:
    """What the file says besides its matrices: the object decoded with an empty array in the place of each."""
    if unknown := [member.key for member in members if member.key not in KEYS]:
        raise Malformed(f"not a pair file: unknown key `{unknown[0]}`")
    parts = [
        json_text.value(file, member.name) + b":" + (b"[]" if member.key in MATRICES else json_text.value(file, member.value))
        for member in members
    ]
    declared = decode(b"{" + b",".join(parts) + b"}", _Declared, "not a pair file")
    if declared.n_pairs < 1 or not 1 <= declared.dimension < 1 << 31:
        raise Malformed(f"{declared.n_pairs} pairs of {declared.dimension} dimensions: a pair set has at least one of each")
    if len(declared.scores) != declared.n_pairs:
        raise Malformed(f"n_pairs is {declared.n_pairs}, but there are {len(declared.scores)} scores")
    if not all(map(math.isfinite, declared.scores)):
        raise Malformed("a score is not a finite number")
    return declared


def _is_framed(file: FileIO, where: dict[str, Range], header: Header, scores: Sequence[float]) -> bool:
    """Whether everything around the rows is as `write` writes it: this decides the order of the keys, too."""
    first, second = (where[key] for key in MATRICES)
    end = os.fstat(file.fileno()).st_size
    gaps = (
        (Range(0, first.start + 2), _opening(header) + b"["),
        (Range(first.end - 2, second.start + 2), b"]" + _BETWEEN + b"["),
        (Range(second.end - 2, end), b"]" + _ending(scores)),
    )
    return all(gap.end - gap.start == len(wanted) and json_text.value(file, gap) == wanted for gap, wanted in gaps)


def _shaped(
    file: FileIO, where: dict[str, Range], which: int, header: Header, *, proven: bool = False
) -> Iterator[tuple[int, Micro | Values]]:
    """The blocks of a matrix, each with the position of its first row. Raises Malformed if the header has another shape."""
    key, done = MATRICES[which], 0
    for block in json_text.rows(file, where[key], key, proven=proven):
        if block.shape[1] != header.dimension:
            raise Malformed(f"dimension is {header.dimension}, but row {done} of {key} has {block.shape[1]} values")
        yield done, block
        done += len(block)
    if done != header.n_pairs:
        raise Malformed(f"n_pairs is {header.n_pairs}, but {key} has {done} rows")


def _on_grid(block: Micro | Values, key: str, first: int) -> Micro:
    """The block in micro-units. Raises Malformed, not canonical, if a value is off the grid; `first` is its first row."""
    if block.dtype == np.int32:
        return block.astype(np.int32, copy=False)
    with np.errstate(over="ignore"):
        micro = np.rint(block * MICRO)
    if np.abs(micro).max(initial=0) > 2**31 - 1:
        raise Malformed(f"{key} holds a value far outside -1..1", "not-canonical")
    off = np.argwhere(micro / MICRO != block)
    if len(off):
        row, column = off[0].tolist()
        value = float(block[row, column])
        raise Malformed(f"{key}[{first + row}][{column}] is {value!r}: it is not on the grid of 1e-6", "not-canonical")
    return micro.astype(np.int32)


def open_json(file: FileIO, name: str) -> PairFile:
    """Open a pair file or a file of embeddings in any spelling. Raises Malformed, and BadConfiguration for other files."""
    mark = len(json_text.MARK) if os.pread(file.fileno(), 3, 0) == json_text.MARK else 0
    members = json_text.members(file, mark)
    where = {member.key: member.value for member in members}
    if twice := [member.key for member in members if member.value != where[member.key]]:
        raise Malformed(f"the key {twice[0]!r} appears twice")
    if "embeddings1" in where and "embeddings2" in where:
        header = partial_header({key: msgspec.Raw(json_text.value(file, where[key])) for key in KEYS[:4] if key in where})
        return PairFile(
            "json",
            header,
            lambda which: _in_units(json_text.rows(file, where[MATRICES[which]], MATRICES[which])),
            lambda: _scores(json_text.value(file, where["scores"])) if "scores" in where else None,
        )
    if "embeddings" in where and "metadata" in where:
        return _open_embeddings(file, where)
    hint = "a pair file has embeddings1 and embeddings2; a file of embeddings has embeddings and metadata"
    raise BadConfiguration(f"{name} holds no pair set: its keys are {', '.join(sorted(where)[:8]) or 'none'}", hint)


def _in_units(blocks: Iterable[Micro | Values]) -> Iterator[Values]:
    yield from (block / MICRO if block.dtype == np.int32 else block.astype(np.float64, copy=False) for block in blocks)


def _scores(text: bytes) -> Values:
    return np.array(decode(text, list[float], "scores"), np.float64)


def write_embeddings(file: BinaryIO, pairs: PairSet) -> None:
    """`{"embeddings", "metadata"}`: the first matrix's rows, then the second's; the scores are in the metadata."""
    metadata = {key: getattr(pairs.header, key) for key in KEYS[:4]} | {"rows": "embeddings1, then embeddings2"}
    file.write(b'{"embeddings":[')
    _write_rows(file, chain(pairs.blocks(0), pairs.blocks(1)))
    file.write(b'],"metadata":' + msgspec.json.encode(metadata)[:-1])
    file.write(b',"scores":[' + b",".join(map(number, pairs.scores)) + b"]}}\n")


def _open_embeddings(file: FileIO, where: dict[str, Range]) -> PairFile:
    """`{"embeddings", "metadata"}`: the rows of the first matrix, then those of the second."""
    metadata = decode(json_text.value(file, where["metadata"]), dict[str, msgspec.Raw], "metadata")
    header = partial_header(metadata)
    if (count := header.n_pairs) is None:
        raise Malformed("metadata has no n_pairs: where the second sentences begin is not known")

    def matrix(which: int) -> Iterator[Values]:
        done = 0
        for block in _in_units(json_text.rows(file, where["embeddings"], "embeddings")):
            middle = min(max(count - done, 0), len(block))
            half = block[middle:] if which else block[:middle]
            if len(half):
                yield half
            done += len(block)
            if not which and done >= count:
                return
        if done != 2 * count:
            raise Malformed(f"n_pairs is {count}, but there are {done} rows, where two rows make a pair")

    scores = metadata.get("scores")
    return PairFile("embeddings", header, matrix, lambda: None if scores is None else _scores(bytes(scores)))


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """What a good pair file holds: its header, its recomputed scores and its content digest in hex."""

    header: Header
    metrics: Metrics
    content: str


class Expected(NamedTuple):
    """What the catalogue says that the file must be."""

    dataset: str
    model: str
    dimension: int
    score_range: tuple[float, float]


def examine(path: Path, subject: str, expected: Expected | None = None) -> tuple[Examined | None, list[Finding]]:
    """Check a pair file and recompute its scores, in memory of a few blocks and some numbers of each row. Raises OSError."""
    try:
        with open_regular(path) as file:
            pairs = read(file)
            rows = products(zip(*(regrouped(pairs.blocks(which), BLOCK_ROWS) for which in (0, 1)), strict=True))
        scores = metrics(rows, pairs.scores)
    except ValueError as error:  # Malformed; or a score that does not exist, or of values too large
        code = error.code if isinstance(error, Malformed) else "malformed"
        return None, [wrong_content(path, subject) or Finding(code, subject, str(error))]
    if not pairs.is_canonical:
        message = "the numbers can be read, but the file is not spelled as this program writes it"
        return None, [Finding("not-canonical", subject, message)]
    findings = [*_norm_findings(rows, pairs.header.dimension, subject)]
    findings += _header_findings(pairs, subject, expected) if expected else []
    if pairs.header.baseline_spearman != scores.cos_sim_spearman:
        where, wanted, found = "baseline_spearman", repr(scores.cos_sim_spearman), repr(pairs.header.baseline_spearman)
        message = "recomputed from the file's own vectors and scores, the number is another one"
        finding = Finding("wrong-metric", f"{subject}: {where}", message, wanted, found)
        findings.append(finding)
    return Examined(header=pairs.header, metrics=scores, content=pairs.content), findings


def _header_findings(pairs: PairSet, subject: str, expected: Expected) -> Iterator[Finding]:
    for field in ("dataset", "model", "dimension"):
        wanted, found = str(getattr(expected, field)), str(getattr(pairs.header, field))
        if wanted != found:
            where, message = f"{subject}: {field}", "the file is of another one than params.yaml says"
            yield Finding("mismatch", where, message, wanted, found)
    low, high = expected.score_range
    outside = [score for score in pairs.scores if not low <= score <= high]
    if outside:
        wanted, message = f"{low:g} to {high:g}", f"{len(outside)} scores are outside the dataset's range"
        yield Finding("malformed", f"{subject}: scores", message, wanted, str(outside[0]))


def _norm_findings(rows: Products, dimension: int, subject: str) -> Iterator[Finding]:
    """A vector of length 1, each component rounded by at most half a unit, has a length within half a unit * sqrt(d)."""
    slack = 0.5 * math.sqrt(dimension) + 1
    for key, squares in (("embeddings1", rows.norm1), ("embeddings2", rows.norm2)):
        lengths = np.sqrt(np.array(squares, np.float64))
        bad = np.flatnonzero(np.abs(lengths - MICRO) > slack)
        if len(bad):
            where, length = f"{subject}: {key}[{bad[0]}]", f"length {lengths[bad[0]] / MICRO:.6f}"
            yield Finding("not-canonical", where, f"{len(bad)} vectors are not normalised", "length 1", length)
