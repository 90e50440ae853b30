"""Other files made from a pair file: the benchmark summary and the embeddings as the AQEA trainer reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from aqea_registry.core.files import FileDigest, atomic_write, hash_file, write_bytes
from aqea_registry.core.findings import BadConfiguration, CannotCheck, Refused
from aqea_registry.core.pairset import number, parse, rows_text
from aqea_registry.operations.examine import Examined, examine
from aqea_registry.operations.project import Project, export_path, pairs_path

FORMATS = ("benchmark", "embeddings")


def export(project: Project, path: str, kind: str) -> str:
    """Write one more file beside a pair file of the run and return its path. Raises Refused if the pair file is bad."""
    pair = next((pair for pair in project.params.run.pairs.values() if Path(path).name == Path(pairs_path(pair)).name), None)
    if pair is None:
        known = ", ".join(pairs_path(pair) for pair in project.params.run.pairs.values())
        raise BadConfiguration(f"{path} is no pair file of the run; it has {known}")
    if not (project.root / pairs_path(pair)).is_file():
        raise CannotCheck(f"{pairs_path(pair)} is not there", "run: dvc repro")
    target = export_path(pair.file, kind)
    if kind == "benchmark":
        key = next(key for key, value in project.params.run.pairs.items() if value == pair)
        examined, findings = examine(project.root / pairs_path(pair), pairs_path(pair))
        if examined is None or findings:
            raise Refused(f"{findings[0].subject}: {findings[0].message}", findings, "run: dvc repro")
        write_bytes(project.root / target, benchmark_text(project, key, examined, hash_file(project.root / pairs_path(pair))))
    else:
        _write_embeddings(project.root / pairs_path(pair), project.root / target)
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


def _write_embeddings(source: Path, target: Path) -> None:
    """`{"embeddings", "metadata"}`: the first matrix's rows, then the second's; the scores stand in the metadata."""
    pairs = parse(source.read_bytes())
    metadata = {
        "dataset": pairs.header.dataset,
        "model": pairs.header.model,
        "dimension": pairs.header.dimension,
        "n_pairs": pairs.header.n_pairs,
        "rows": "embeddings1, then embeddings2",
    }
    with atomic_write(target) as file:
        file.write(b'{"embeddings":[' + rows_text(pairs.embeddings1) + b"," + rows_text(pairs.embeddings2))
        file.write(b'],"metadata":' + msgspec.json.encode(metadata)[:-1])
        file.write(b',"scores":[' + b",".join(map(number, pairs.scores)) + b"]}}\n")
