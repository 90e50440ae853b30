"""Make one pair set from pinned bytes: rows and model in, pair file, metrics and plot data out."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from aqea_registry.core.catalogue import Model
from aqea_registry.core.exact import Undefined
from aqea_registry.core.files import atomic_write, write_bytes
from aqea_registry.core.findings import CannotCheck, Finding, Refused
from aqea_registry.core.metrics import Metrics, Micro, cosines, metrics, metrics_text, products
from aqea_registry.core.pairset import Header, number, write
from aqea_registry.core.pins import Pin
from aqea_registry.core.reporting import Reporter
from aqea_registry.core.rows import read_rows
from aqea_registry.embedding.encoder import Encoded, Encoder, Settings
from aqea_registry.embedding.grid import BadVector
from aqea_registry.embedding.vectors import VectorCache, method_digest
from aqea_registry.operations.project import CACHE, Project, metrics_path, pairs_path, plot_path
from aqea_registry.sources.fetch import fetch

SEGMENT = 4096  # sentences whose vectors are kept at a time


class Generated(msgspec.Struct, frozen=True, kw_only=True):
    """What was made. `margin` is the smallest distance of a new value to a rounding boundary, None if none is new."""

    name: str
    path: str
    n_pairs: int
    dimension: int
    precision: str
    encoded: int
    reused: int
    margin: float | None
    metrics: Metrics


def generate(
    project: Project, dataset: str, model: str, settings: Settings, report: Reporter, *, fresh: bool = False
) -> Generated:
    """Make the pair set of a dataset under a model, as `params.yaml` has it in its run.

    `fresh` forgets vectors that were computed before. Raises Refused for bytes, rows or vectors that are not as they
    must be; then none of the set's files was touched.
    """
    pair = project.params.pair_set(dataset, model)
    key = next(key for key, value in project.params.run.pairs.items() if value == pair)
    entry, catalogued = project.params.datasets[dataset], project.params.models[model]
    data_pin = project.pin("datasets", dataset, entry)
    model_pin = project.pin("models", model, catalogued)
    pinned = project.root / CACHE / "pinned"
    data_folder = fetch(dataset, data_pin, project.sources(entry), pinned, report)
    model_folder = fetch(model, model_pin, project.sources(catalogued), pinned, report)
    rows = read_rows(((path, (data_folder / path).read_bytes()) for path in entry.files), entry, dataset)

    first, second = ([catalogued.prefix + text for text in texts] for texts in (rows.sentences1, rows.sentences2))
    cache = _vector_cache(project, model, model_pin, settings, fresh)
    new = cache.missing(itertools.chain(first, second))
    margin = _encode(project, model, model_folder, new, cache, settings, report) if new else None
    values = products(zip(cache.blocks(first), cache.blocks(second), strict=True))
    try:
        scores = metrics(values, rows.scores)
    except Undefined as error:
        finding = Finding(code="malformed", subject=key, message=f"no correlation exists: {error}")
        raise Refused(f"{key}: {finding.message}", [finding]) from error
    header = Header(
        dataset=dataset,
        model=catalogued.repo,
        dimension=catalogued.dimension,
        n_pairs=len(rows.scores),
        baseline_spearman=scores.cos_sim_spearman,
    )
    with atomic_write(project.root / pairs_path(pair)) as file:
        write(file, header, cache.blocks(first), cache.blocks(second), rows.scores)
    write_bytes(project.root / plot_path(key), plot_text(rows.scores, cosines(values)))
    write_bytes(
        project.root / metrics_path(key), metrics_text(scores, header.n_pairs, header.dimension, project.params.precision)
    )
    return Generated(
        name=key,
        path=pairs_path(pair),
        n_pairs=header.n_pairs,
        dimension=header.dimension,
        precision=project.params.precision,
        encoded=len(new),
        reused=len({*first, *second}) - len(new),
        margin=margin,
        metrics=scores,
    )


def plot_text(scores: Sequence[float], similarities: Sequence[float]) -> bytes:
    """The plot data of a pair set, for `dvc plots`: human score against cosine, a row a pair."""
    lines = (number(score) + b"," + number(cosine) for score, cosine in zip(scores, similarities, strict=True))
    return b"score,cosine\n" + b"".join(line + b"\n" for line in lines)


def _vector_cache(project: Project, model: str, pin: Pin, settings: Settings, fresh: bool) -> VectorCache:
    """The cache for exactly these weights, this method and this precision; in float32 the batches matter as well."""
    precision = project.params.precision
    method = [pin.digest(), method_digest(), precision, "" if precision == "canonical" else repr(settings)]
    name = f"{model}-{hashlib.sha256(json.dumps(method).encode()).hexdigest()[:16]}"
    folder = project.root / CACHE / "vectors" / name
    if fresh:
        for segment in folder.glob("*.npy"):
            segment.unlink()
    return VectorCache(folder, project.params.models[model].dimension)


def _encode(
    project: Project,
    model: str,
    folder: Path,
    sentences: Sequence[str],
    cache: VectorCache,
    settings: Settings,
    report: Reporter,
) -> float:
    entry = project.params.models[model]
    if project.params.precision == "float32":
        report.warn("precision is float32: these bytes are not canonical, another machine or batch gives others")
    try:
        encoder = Encoder(folder, precision=project.params.precision, settings=settings)
    except ImportError as error:
        raise CannotCheck(
            f"generation needs {error.name}, which is not installed", "pip install 'aqea-registry[generate]'"
        ) from error
    margins = [1.0]
    with report.task(f"encode with {model}", len(sentences), "sentences") as advance:
        try:
            for positions, micro, margin in _segments(encoder, sentences):
                _check_dimension(model, entry, micro)
                cache.add([sentences[position] for position in positions], micro)
                margins.append(margin)
                advance(len(positions))
        except BadVector as error:
            text = sentences[error.row]
            shown = text if len(text) <= 80 else f"{text[:77]}..."
            finding = Finding(code="malformed", subject=model, message=f"{error}, for the sentence {shown!r}")
            raise Refused(f"model {model}: {finding.message}", [finding]) from error
    return min(margins)


def _segments(encoder: Encoder, sentences: Sequence[str]) -> Iterator[Encoded]:
    """The encoder's batches, gathered into pieces worth a file."""
    gathered: list[Encoded] = []
    for batch in encoder.encode(sentences):
        gathered.append(batch)
        if sum(len(part.positions) for part in gathered) >= SEGMENT:
            yield _join(gathered)
            gathered = []
    if gathered:
        yield _join(gathered)


def _join(parts: Sequence[Encoded]) -> Encoded:
    positions = [position for part in parts for position in part.positions]
    return Encoded(positions, np.concatenate([part.micro for part in parts]), min(part.margin for part in parts))


def _check_dimension(model: str, entry: Model, micro: Micro) -> None:
    if micro.shape[1] != entry.dimension:
        finding = Finding(
            code="mismatch",
            subject=f"models.{model}.dimension",
            expected=str(entry.dimension),
            actual=str(micro.shape[1]),
            message="the model gives vectors of another dimension than params.yaml says",
        )
        raise Refused(f"{finding.subject}: {finding.message}: {finding.actual}, not {finding.expected}", [finding])
