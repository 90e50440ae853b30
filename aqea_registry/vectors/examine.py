"""A pair file checked on its own: is it what its name says, is it canonical, and what are its scores?"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from aqea_registry.base.files import open_regular, wrong_content
from aqea_registry.base.findings import Finding
from aqea_registry.vectors.containers import pair_json
from aqea_registry.vectors.pair_set import BLOCK_ROWS, MICRO, Header, Malformed, PairSet, regrouped
from aqea_registry.vectors.scores import Metrics, Products, metrics, products


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
            pairs = pair_json.read(file)
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
