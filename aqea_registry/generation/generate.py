"""Make one pair set from pinned bytes: rows and model in, pair file, metrics and plot data out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec

from aqea_registry.attestations.made import now, write_pair_set_statement
from aqea_registry.base.files import atomic_write, hash_file, write_bytes
from aqea_registry.base.findings import Refused
from aqea_registry.base.progress import Reporter
from aqea_registry.embedding.encoder import Settings
from aqea_registry.generation.encode import pinned_model, pinned_rows, vectors_of
from aqea_registry.generation.export import export
from aqea_registry.project.project import Project, metrics_path, metrics_text, pairs_path, plot_path, plot_text
from aqea_registry.vectors.containers.pair_json import write
from aqea_registry.vectors.exact import Undefined
from aqea_registry.vectors.margin import Made, Margin
from aqea_registry.vectors.pair_set import Header
from aqea_registry.vectors.scores import Metrics, Products, cosines, metrics, products


class Generated(msgspec.Struct, frozen=True, kw_only=True):
    """What was made, and how safe its digest is; float32 has no margin."""

    name: str
    path: str
    n_pairs: int
    dimension: int
    precision: str
    encoded: int
    reused: int
    margin: Margin | None
    metrics: Metrics


def generate(
    project: Project, dataset: str, model: str, settings: Settings, report: Reporter, *, fresh: bool = False
) -> Generated:
    """Make the pair set of a dataset under a model, as `params.yaml` has it in its run.

    `fresh` forgets vectors that were computed before. Raises Refused for bytes, rows or vectors that are not as they
    must be; then none of the set's files was touched.
    """
    started = now()
    project.params.check_versions("vectors", "view")
    pair = project.params.pair_set(dataset, model)
    key = next(key for key, value in project.params.run.pairs.items() if value == pair)
    entry, catalogued = project.params.datasets[dataset], project.params.models[model]
    for group, name, used in (("datasets", dataset, entry), ("models", model, catalogued)):
        project.pin(group, name, used)  # refused before anything is read
    rows = pinned_rows(project, dataset, report)  # before the model, which may be gigabytes
    use = pinned_model(project, model, report)

    before = catalogued.before(entry.task)
    first, second = ([before + text for text in texts] for texts in (rows.sentences1, rows.sentences2))
    keys = list(project.params.run.pairs)
    label = f"encode {key} ({keys.index(key) + 1} of {len(keys)})"
    vectors = vectors_of(project, use, itertools.chain(first, second), settings, report, label=label, fresh=fresh)
    values = products(zip(vectors.blocks(first), vectors.blocks(second), strict=True))
    scores = _correlate(key, values, rows.scores)
    header = Header(
        dataset=dataset,
        model=catalogued.repo,
        dimension=catalogued.dimension,
        n_pairs=len(rows.scores),
        baseline_spearman=scores.cos_sim_spearman,
    )
    with atomic_write(project.root / pairs_path(pair)) as file:
        write(file, header, vectors.blocks(first), vectors.blocks(second), rows.scores)
    if project.params.versions is not None:
        export(project, pairs_path(pair), "parquet")
    write_bytes(project.root / plot_path(key), plot_text(rows.scores, cosines(values)))
    text = metrics_text(scores, header.n_pairs, header.dimension, project.params.precision)
    write_bytes(project.root / metrics_path(key), text)
    margin = vectors.margin(first, second, catalogued.rounding_offset) if project.params.precision == "canonical" else None
    _state(project, key, vectors.made, margin, started)
    return Generated(
        name=key,
        path=pairs_path(pair),
        n_pairs=header.n_pairs,
        dimension=header.dimension,
        precision=project.params.precision,
        encoded=vectors.encoded,
        reused=len({*first, *second}) - vectors.encoded,
        margin=margin,
        metrics=scores,
    )


def _state(project: Project, key: str, made: Made | None, margin: Margin | None, started: str) -> None:
    """Write the statement on the files as they lie there now; without a machine there is nothing to state."""
    if made is not None:
        paths = (pairs_path(project.params.run.pairs[key]), metrics_path(key))
        files = {path: hash_file(project.root / path).sha256 for path in paths}
        write_pair_set_statement(project, key, files, made.machine, margin, started)


def _correlate(key: str, values: Products, scores: Sequence[float]) -> Metrics:
    try:
        return metrics(values, scores)
    except Undefined as error:
        raise Refused.of("malformed", key, f"no correlation exists: {error}") from error
