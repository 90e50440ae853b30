"""Vectors that somebody else made, in the files that people have; `canonical` puts them on the grid. No pickle is ever read.

.npy      real numbers: one array (2, n, dimension) or (n, 2, dimension), or two files with (n, dimension) each
.parquet  a row for each pair, with lists of floats `embedding1` and `embedding2` (or `embeddings1`, `embeddings2`)
.jsonl    the same as an object a line; a `score`, where a row has one, must be the dataset's
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aqea_registry.base.files import open_regular
from aqea_registry.base.strict import parse_json
from aqea_registry.vectors.containers.json_text import LONGEST_ROW
from aqea_registry.vectors.containers.open_pairs import KNOWN, open_parquet
from aqea_registry.vectors.pair_set import (
    BLOCK_ROWS,
    MICRO,
    BadVector,
    Malformed,
    Micro,
    PairFile,
    PartialHeader,
    Values,
    to_grid,
)

ACCEPTED = "a .npy (2, n, d) or (n, 2, d), two .npy (n, d), or a .parquet or .jsonl with lists embedding1 and embedding2"


def open_given(paths: Sequence[Path], graded: Sequence[float]) -> PairFile:
    """Open given vectors of pairs with these human scores. Raises Malformed, also while they are read; CannotCheck."""
    endings = [path.suffix for path in paths]
    if endings in ([".npy"], [".npy", ".npy"]):
        return _open_arrays(paths, len(graded))
    if endings not in ([".parquet"], [".jsonl"]):
        raise Malformed("not files of given vectors, by their names and number")
    given = open_parquet(paths[0]) if endings == [".parquet"] else _open_lines(paths[0])
    scores = given.scores()
    for row, (score, own) in enumerate(zip(() if scores is None else scores, graded, strict=False)):
        if abs(score - own) > 1e-6 * max(1, abs(own)):  # it may have been a float32
            message = f"row {row} has the score {score}, the dataset {own}: the rows are others, or in another order"
            raise Malformed(message, "mismatch")
    return given


def canonical(given: PairFile, which: int, count: int, dimension: int) -> Iterator[Micro]:
    """The rows of a matrix, normalised and rounded as those that are computed here. Raises Malformed."""
    done, name = 0, KNOWN[which][0]
    for block in given.blocks(which):
        if block.shape[1] != dimension:
            raise Malformed(f"{name} has vectors of {block.shape[1]} numbers; the model's dimension is {dimension}", "mismatch")
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                yield to_grid(block).micro
        except BadVector as error:
            raise Malformed(f"{name}, row {done + error.row}: {error}") from error
        done += len(block)
    if done != count:
        raise Malformed(f"{name} has {done} rows; the dataset has {count}", "mismatch")


def _open_arrays(paths: Sequence[Path], count: int) -> PairFile:
    """Arrays, mapped and not read: whatever a header says takes no memory."""
    arrays = list[Any]()
    for path in paths:
        open_regular(path).close()
        try:
            array: Any = np.lib.format.open_memmap(path, mode="r")
            if (more := path.stat().st_size - array.offset - array.nbytes) > 0:
                raise ValueError(f"{more} bytes follow the array: save one array to a file")
            arrays.append(array)
        except Exception as error:  # whatever numpy raises for a header
            raise Malformed(f"not an array that can be read without pickles: {' '.join(str(error).split())}") from error
    ends = [array.shape[:-1] for array in arrays]
    if ends not in ([(2, count)], [(count, 2)], [(count,), (count,)]) or {array.dtype.kind for array in arrays} - {*"fiu"}:
        found = " and ".join(f"{array.shape} of {array.dtype}" for array in arrays)
        raise Malformed(f"the shape is {found}, not that of real numbers for {count} pairs", "mismatch")
    both = arrays if len(arrays) == 2 else arrays[0] if len(arrays[0]) == 2 else arrays[0].swapaxes(0, 1)

    def matrix(which: int) -> Iterator[Values]:
        for row in range(0, count, BLOCK_ROWS):
            yield np.asarray(both[which][row : row + BLOCK_ROWS], np.float64)

    return PairFile("npy", PartialHeader(), matrix, lambda: None)


def _open_lines(path: Path) -> PairFile:
    def values(names: Sequence[str]) -> Iterator[tuple[int, Any]]:
        with io.BufferedReader(open_regular(path)) as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST_ROW), b""), 1):
                if not line.strip():
                    continue
                try:
                    record = parse_json(line)
                    yield number, next((record[name] for name in names if name in record), None)
                except (ValueError, TypeError) as error:
                    raise Malformed(f"line {number}: not a JSON object: {error}") from error

    def matrix(which: int) -> Iterator[Values]:
        name, width = KNOWN[which][0], 0
        for number, vector in values(KNOWN[which]):
            numbers = isinstance(vector, list) and vector and not {*map(type, vector)} - {int, float}
            if not numbers or any(type(value) is int and abs(value) > MICRO**50 for value in vector):
                raise Malformed(f"line {number}: {name} is not a list of numbers")
            if len(vector) != (width := width or len(vector)):
                raise Malformed(f"line {number}: {name} has {len(vector)} numbers, the lines before it {width}")
            yield np.array([vector], np.float64)

    def scores() -> Values | None:
        found = [*values(KNOWN[2])]
        if all(score is None for _, score in found):
            return None
        for number, score in found:
            if type(score) not in (int, float) or not abs(score) < 1e300:
                raise Malformed(f"line {number}: its score is missing or not a number, and other lines have one")
        return np.array([score for _, score in found], np.float64)

    return PairFile("jsonl", PartialHeader(), matrix, scores)
