"""A pair file looked at on its own: is it what its name says, is it canonical, and what are its scores?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from aqea_registry.base.findings import Finding
from aqea_registry.vectors.containers.pair_json import parse, render
from aqea_registry.vectors.exact import Undefined
from aqea_registry.vectors.pair_set import MICRO, Header, Malformed, Micro, PairSet
from aqea_registry.vectors.scores import Metrics, metrics, products


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """What a good pair file holds."""

    header: Header
    metrics: Metrics
    content: str


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What the catalogue says that the file must be."""

    dataset: str
    model: str
    dimension: int
    score_range: tuple[float, float]


def examine(path: Path, subject: str, expected: Expected | None = None) -> tuple[Examined | None, list[Finding]]:
    """Read a pair file and recompute its scores. Findings say what is wrong; OSError if it cannot be read."""
    content = path.read_bytes()
    try:
        pairs = parse(content)
        rows = products([(pairs.embeddings1, pairs.embeddings2)])
        scores = metrics(rows, pairs.scores)
    except Malformed as error:
        return None, [Finding(code=error.code, subject=subject, message=str(error))]
    except (Undefined, ValueError) as error:
        return None, [Finding(code="malformed", subject=subject, message=str(error))]
    if render(pairs) != content:
        message = "the numbers can be read, but the file is not spelled as this program writes it"
        return None, [Finding(code="not-canonical", subject=subject, message=message)]
    findings = [*_norm_findings(pairs, subject), *(_header_findings(pairs, subject, expected) if expected else [])]
    if pairs.header.baseline_spearman != scores.cos_sim_spearman:
        findings.append(
            Finding(
                code="wrong-metric",
                subject=f"{subject}: baseline_spearman",
                expected=repr(scores.cos_sim_spearman),
                actual=repr(pairs.header.baseline_spearman),
                message="recomputed from the file's own vectors and scores, the number is another one",
            )
        )
    return Examined(header=pairs.header, metrics=scores, content=pairs.content_digest()), findings


def _header_findings(pairs: PairSet, subject: str, expected: Expected) -> Iterator[Finding]:
    for field in ("dataset", "model", "dimension"):
        wanted, found = getattr(expected, field), getattr(pairs.header, field)
        if wanted != found:
            message = "the file is of another one than params.yaml says"
            yield Finding(
                code="mismatch", subject=f"{subject}: {field}", expected=str(wanted), actual=str(found), message=message
            )
    low, high = expected.score_range
    outside = [score for score in pairs.scores if not low <= score <= high]
    if outside:
        message = f"{len(outside)} scores are outside the dataset's range"
        yield Finding(
            code="malformed",
            subject=f"{subject}: scores",
            expected=f"{low:g} to {high:g}",
            actual=str(outside[0]),
            message=message,
        )


def _norm_findings(pairs: PairSet, subject: str) -> Iterator[Finding]:
    """A vector of length 1, each component rounded by at most half a unit, has a length within half a unit * sqrt(d)."""
    slack = 0.5 * math.sqrt(pairs.header.dimension) + 1
    for key, matrix in (("embeddings1", pairs.embeddings1), ("embeddings2", pairs.embeddings2)):
        lengths = _lengths(matrix)
        bad = np.flatnonzero(np.abs(lengths - MICRO) > slack)
        if len(bad):
            yield Finding(
                code="not-canonical",
                subject=f"{subject}: {key}[{bad[0]}]",
                expected="length 1",
                actual=f"length {lengths[bad[0]] / MICRO:.6f}",
                message=f"{len(bad)} vectors are not normalised",
            )


def _lengths(matrix: Micro) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    values = matrix.astype(np.float64)
    return np.asarray(np.sqrt((values * values).sum(axis=1)))
