"""Make one pair set from pinned bytes: rows and model in, pair file, metrics and plot data out; and other files from it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from aqea_registry.attestations.made import now, write_pair_set_statement
from aqea_registry.base.files import atomic_write, hash_file, open_regular, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused
from aqea_registry.base.progress import Reporter
from aqea_registry.embedding.encoder import Settings
from aqea_registry.generation.encode import pinned_model, pinned_rows, vectors_of
from aqea_registry.project.artefact import RunArtefact, metrics_text, plot_text
from aqea_registry.project.project import Project
from aqea_registry.vectors.containers import pair_json
from aqea_registry.vectors.containers.open_pairs import write_aqed, write_parquet
from aqea_registry.vectors.exact import Undefined
from aqea_registry.vectors.examine import examine
from aqea_registry.vectors.margin import Machine, Margin
from aqea_registry.vectors.pair_set import Header, Malformed, PairSet
from aqea_registry.vectors.scores import Metrics, Products, cosines, metrics, products


class Generated(msgspec.Struct, frozen=True, kw_only=True):
    """What was made, how safe its digest is (float32 has no margin), and what encoded last, where that is known."""

    name: str
    path: str
    n_pairs: int
    dimension: int
    precision: str
    encoded: int
    reused: int
    margin: Margin | None
    machine: Machine | None
    metrics: Metrics


def generate(
    project: Project,
    dataset: str,
    model: str,
    settings: Settings,
    report: Reporter,
    *,
    fresh: bool = False,
    elsewhere: Path | None = None,
) -> Generated:
    """Make the pair set of a dataset under a model, as `params.yaml` has it in its run.

    `fresh` forgets vectors that were computed before; a folder `elsewhere` takes the project's place for files and vectors.
    Raises Refused for bytes, rows or vectors that are not as they must be; then none of the set's files was touched.
    """
    started, root = now(), elsewhere or project.root
    project.params.check_versions("vectors", "view")
    stem = project.params.pair_set(dataset, model).file
    artefact = next(artefact for artefact in project.artefacts.values() if artefact.stem == stem)
    artefact.required_pins()  # refused before anything is read
    rows = pinned_rows(project.catalogue[dataset], report)  # before the model, which may be gigabytes
    encoder = pinned_model(project.catalogue[model], project.artefacts.values(), report, root=root)
    prefix = artefact.model_entry.prefix_for(artefact.dataset_entry.task)
    first, second = ([prefix + text for text in texts] for texts in (rows.sentences1, rows.sentences2))
    label = f"encode {artefact.key} ({list(project.artefacts).index(artefact.key) + 1} of {len(project.artefacts)})"
    vectors = vectors_of(encoder, itertools.chain(first, second), settings, report, label=label, fresh=fresh)
    values = products(zip(vectors.cache.blocks(first), vectors.cache.blocks(second), strict=True))
    header, scores = _scored(artefact, values, rows.scores)
    with atomic_write(root / artefact.pairs) as file:
        pair_json.write(file, header, vectors.cache.blocks(first), vectors.cache.blocks(second), rows.scores)
    if project.params.versions is not None and elsewhere is None:
        export(project, artefact.pairs, "parquet")
    write_bytes(root / artefact.plot, plot_text(rows.scores, cosines(values)))
    write_bytes(root / artefact.metrics, metrics_text(scores, header, artefact.precision))
    margin = vectors.margin(artefact, first, second)
    if vectors.made is not None:  # without a machine there is nothing to state
        files = {path: hash_file(root / path).sha256 for path in artefact.stated}
        write_pair_set_statement(root, artefact, files, vectors.made.machine, margin, started)
    return Generated(
        name=artefact.key,
        path=artefact.pairs,
        n_pairs=header.n_pairs,
        dimension=header.dimension,
        precision=artefact.precision,
        encoded=vectors.encoded,
        reused=len({*first, *second}) - vectors.encoded,
        margin=margin,
        machine=vectors.made.machine if vectors.made else None,
        metrics=scores,
    )


def _scored(artefact: RunArtefact, values: Products, graded: Sequence[float]) -> tuple[Header, Metrics]:
    """The scores against the human ones, and the header of the pair file. Raises Refused without a correlation."""
    try:
        scores = metrics(values, graded)
    except Undefined as error:
        raise Refused.of("malformed", artefact.key, f"no correlation exists: {error}") from error
    header = Header(
        dataset=artefact.dataset,
        model=artefact.model_entry.repo,
        dimension=artefact.model_entry.dimension,
        n_pairs=len(graded),
        baseline_spearman=scores.cos_sim_spearman,
    )
    return header, scores


def export(project: Project, path: str, kind: str) -> str:
    """Write one more file made from a pair file of the run and return its path. Raises Refused if the pair file is bad."""
    project.params.check_versions("view" if kind == "parquet" else "export")
    named = {artefact.pairs.rpartition("/")[2]: artefact for artefact in project.artefacts.values()}
    artefact = named.get(path.rpartition("/")[2])
    if artefact is None:
        known = ", ".join(artefact.pairs for artefact in project.artefacts.values())
        raise BadConfiguration(f"{path} is not a pair file of the run; it has {known}")
    source, target = project.root / artefact.pairs, artefact.path(kind)
    if not source.is_file():
        raise CannotCheck(f"{artefact.pairs} not found", "run: dvc repro")
    if kind == "benchmark":
        examined, findings = examine(source, artefact.pairs)
        if examined is None or findings:
            raise Refused(f"{findings[0].subject}: {findings[0].message}", findings, "run: dvc repro")
        write_bytes(project.root / target, artefact.benchmark_text(examined, hash_file(source)))
        return target
    try:
        with open_regular(source) as pair_file:
            content = pair_json.read(pair_file)
            with atomic_write(project.root / target) as file:
                _WRITERS[kind](file, content)
    except Malformed as error:
        raise Refused.of(error.code, artefact.pairs, str(error), hint="run: dvc repro") from error
    return target


_WRITERS: dict[str, Callable[[BinaryIO, PairSet], None]] = {
    "embeddings": pair_json.write_embeddings,
    "parquet": write_parquet,
    "aqed": write_aqed,
}
