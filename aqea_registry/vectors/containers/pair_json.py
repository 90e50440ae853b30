"""Pair files as JSON: written and checked in one canonical spelling, and read in any spelling for a comparison.

The file is the published one: a single object with the keys `dataset`, `model`, `dimension`, `n_pairs`,
`baseline_spearman`, `embeddings1`, `embeddings2`, `scores`, in that order; UTF-8, compact, one final newline. Numbers
have the shortest form of RFC 8785 (that of ECMAScript), so `JSON.stringify` writes the same bytes.
"""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from io import FileIO
from itertools import chain
from typing import Any, BinaryIO

import msgspec
import numpy as np

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.vectors.containers import json_text
from aqea_registry.vectors.containers.json_text import Range, number, rows_text
from aqea_registry.vectors.pair_set import (
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
)

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

    return PairSet(
        header=header,
        scores=tuple(declared.scores),
        content=digest.finish(declared.scores),
        is_canonical=canonical and _is_framed(file, where, header, declared.scores),
        blocks=blocks,
    )


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
    raise BadConfiguration(
        f"{name} holds no pair set: its keys are {', '.join(sorted(where)[:8]) or 'none'}",
        "a pair file has embeddings1 and embeddings2; a file of embeddings has embeddings and metadata",
    )


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
