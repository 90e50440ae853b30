"""Other files made from a pair file: the benchmark summary, and the vectors as other programs read them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec
import numpy as np

from aqea_registry.core.files import FileDigest, atomic_write, hash_file, write_bytes
from aqea_registry.core.findings import BadConfiguration, CannotCheck, Finding, Refused
from aqea_registry.core.pairset import MICRO, Malformed, PairSet, number, parse, rows_text
from aqea_registry.operations import parquet
from aqea_registry.operations.examine import Examined, examine
from aqea_registry.operations.project import Project, export_path, pairs_path, view_path

FORMATS = ("benchmark", "embeddings", "parquet", "aqed")
VIEWS = ("parquet", "aqed")  # whole pair sets in other containers, named as the pair set is
ROWS = 1_000  # written at a time


def export(project: Project, path: str, kind: str) -> str:
    """Write one more file made from a pair file of the run and return its path. Raises Refused if the pair file is bad."""
    project.params.check_versions("view" if kind == "parquet" else "export")
    pairs = project.params.run.pairs
    key = next((key for key, pair in pairs.items() if path.rpartition("/")[2] == pairs_path(pair).rpartition("/")[2]), None)
    if key is None:
        known = ", ".join(pairs_path(pair) for pair in pairs.values())
        raise BadConfiguration(f"{path} is no pair file of the run; it has {known}")
    source = pairs_path(pairs[key])
    if not (project.root / source).is_file():
        raise CannotCheck(f"{source} is not there", "run: dvc repro")
    target = view_path(key, kind) if kind in VIEWS else export_path(pairs[key].file, kind)
    if kind == "benchmark":
        examined, findings = examine(project.root / source, source)
        if examined is None or findings:
            raise Refused(f"{findings[0].subject}: {findings[0].message}", findings, "run: dvc repro")
        write_bytes(project.root / target, benchmark_text(project, key, examined, hash_file(project.root / source)))
        return target
    write = _WRITERS[kind]
    try:
        content = parse((project.root / source).read_bytes())
    except Malformed as error:
        finding = Finding(code=error.code, subject=source, message=str(error))
        raise Refused(f"{source}: {error}", [finding], "run: dvc repro") from error
    with atomic_write(project.root / target) as file:
        write(file, content)
    return target


def benchmark_text(project: Project, key: str, examined: Examined, digest: FileDigest) -> bytes:
    """All metrics of a pair set with its sizes, pins and digests: what a report needs to quote its numbers."""
    pair = project.params.run.pairs[key]
    path = pairs_path(pair)
    dataset, model = project.params.datasets[pair.dataset], project.params.models[pair.model]
    value: dict[str, Any] = {
        "schema": "aqea-registry/benchmark/1",
        "dataset": {
            "name": pair.dataset,
            "config": dataset.config,
            "split": dataset.split,
            "pin": msgspec.to_builtins(project.pin("datasets", pair.dataset, dataset)),
        },
        "model": {
            "name": pair.model,
            "prefix": model.prefix,
            "pin": msgspec.to_builtins(project.pin("models", pair.model, model)),
        },
        "precision": project.params.precision,
        "metrics": msgspec.to_builtins(examined.metrics),
        "sizes": {"n_pairs": examined.header.n_pairs, "dimension": examined.header.dimension, "bytes": digest.size},
        "digests": {"file": {path: f"sha256:{digest.sha256}"}, "content": f"sha256:{examined.content}"},
    }
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _write_embeddings(file: BinaryIO, pairs: PairSet) -> None:
    """`{"embeddings", "metadata"}`: the first matrix's rows, then the second's; the scores stand in the metadata."""
    metadata = {
        "dataset": pairs.header.dataset,
        "model": pairs.header.model,
        "dimension": pairs.header.dimension,
        "n_pairs": pairs.header.n_pairs,
        "rows": "embeddings1, then embeddings2",
    }
    file.write(b'{"embeddings":[' + rows_text(pairs.embeddings1) + b"," + rows_text(pairs.embeddings2))
    file.write(b'],"metadata":' + msgspec.json.encode(metadata)[:-1])
    file.write(b',"scores":[' + b",".join(map(number, pairs.scores)) + b"]}}\n")


def _write_aqed(file: BinaryIO, pairs: PairSet) -> None:
    """AQED v1: a header of 60 bytes, then float32 rows of the first matrix and of the second. See docs/formats.md."""
    originals_present, nothing = 1, 0
    count, dimension = 2 * pairs.header.n_pairs, pairs.header.dimension
    file.write(struct.pack("<4s7I28x", b"AQED", 1, count, dimension, nothing, originals_present, nothing, nothing))
    for matrix in (pairs.embeddings1, pairs.embeddings2):
        for start in range(0, len(matrix), ROWS):
            file.write((matrix[start : start + ROWS] / MICRO).astype(np.dtype("<f4")).tobytes())


_WRITERS: dict[str, Callable[[BinaryIO, PairSet], None]] = {
    "embeddings": _write_embeddings,
    "parquet": parquet.write,
    "aqed": _write_aqed,
}
