"""Whole pair sets in memory, and a plain reader of whole pair files: what the streaming reader must agree with."""

from __future__ import annotations

import json
import math
from io import BytesIO
from pathlib import Path

import msgspec
import numpy as np

from aqea_registry.vectors.containers.open_pairs import KEY, open_pairs
from aqea_registry.vectors.containers.pair_json import write
from aqea_registry.vectors.pair_set import MICRO, ContentDigest, Header, Malformed, Micro, PairSet


class Pairs(msgspec.Struct, frozen=True, kw_only=True):
    """A pair file in memory. `embeddings1` and `embeddings2` are n_pairs x dimension int32 micro-units."""

    header: Header
    embeddings1: Micro
    embeddings2: Micro
    scores: tuple[float, ...]

    def content_digest(self) -> str:
        """Hex sha256 of the numbers alone."""
        digest = ContentDigest(self.header.n_pairs, self.header.dimension)
        digest.add(self.embeddings1)
        digest.add(self.embeddings2)
        return digest.finish(self.scores)

    def open(self) -> PairSet:
        """The same, as what writes other containers takes it."""
        matrices = (self.embeddings1, self.embeddings2)
        return PairSet(
            header=self.header,
            scores=self.scores,
            content=self.content_digest(),
            is_canonical=True,
            blocks=lambda which: iter(np.array_split(matrices[which], range(7, len(matrices[which]), 7))),
        )


def render(pairs: Pairs) -> bytes:
    """The pair file of a pair set: `render(parse(content)) == content` for what `write` wrote."""
    file = BytesIO()
    write(file, pairs.header, [pairs.embeddings1], [pairs.embeddings2], pairs.scores)
    return file.getvalue()


class _File(msgspec.Struct, forbid_unknown_fields=True):
    dataset: str
    model: str
    dimension: int
    n_pairs: int
    baseline_spearman: float
    embeddings1: list[list[float]]
    embeddings2: list[list[float]]
    scores: list[float]


def parse(content: bytes) -> Pairs:
    """Read a pair file in any spelling: what is malformed is refused first, then values off the grid."""
    try:
        file = msgspec.json.decode(content, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not a pair file: {error}") from error
    matrices = (file.embeddings1, file.embeddings2)
    shaped = all(len(rows) == file.n_pairs and {*map(len, rows)} == {file.dimension} for rows in matrices)
    if file.n_pairs < 1 or file.dimension < 1 or len(file.scores) != file.n_pairs or not shaped:
        raise Malformed("the shapes differ")
    if not all(map(math.isfinite, file.scores)):
        raise Malformed("a score is not finite")
    first, second = (_micro(np.array(rows, np.float64)) for rows in matrices)
    header = Header(**{name: getattr(file, name) for name in Header.__struct_fields__})
    return Pairs(header=header, embeddings1=first, embeddings2=second, scores=tuple(file.scores))


def _micro(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Micro:
    with np.errstate(over="ignore"):
        micro = np.rint(values * MICRO)
    if np.abs(micro).max() > 2**31 - 1 or not np.array_equal(micro / MICRO, values):
        raise Malformed("a value is off the grid", "not-canonical")
    return micro.astype(np.int32)


def read_parquet(path: Path) -> Pairs:
    """The pair set in a Parquet view: its numbers by the streaming reader, the header from the schema's metadata."""
    from pyarrow import parquet

    described = json.loads(parquet.read_schema(path).metadata[KEY])
    with open_pairs(path, path.name) as file:
        first, second = (np.rint(np.concatenate([*file.blocks(which)]) * MICRO).astype(np.int32) for which in (0, 1))
        scores = file.scores()
    header = Header(**{name: described[name] for name in Header.__struct_fields__})
    assert scores is not None and first.shape == second.shape == (header.n_pairs, header.dimension)
    return Pairs(header=header, embeddings1=first, embeddings2=second, scores=tuple(scores.tolist()))
