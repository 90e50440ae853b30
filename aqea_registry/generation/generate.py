"""Make one pair set from pinned bytes: rows and model in, pair file, metrics and plot data out; and other files from it.

The vectors of its sentences under the pinned model are kept ones where there are any, new ones where not.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from aqea_registry.attestations.made import now, write_statement
from aqea_registry.base.files import FileDigest, atomic_write, hash_file, open_regular, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused, suggestion
from aqea_registry.base.progress import Reporter, hash_shown
from aqea_registry.embedding.encoder import Settings
from aqea_registry.generation.encoding import Models
from aqea_registry.generation.inputs import Matrices, given_vectors, pinned_rows
from aqea_registry.generation.vector_sets import Evaluated, NewArtefact, make_vector_set, named
from aqea_registry.project.artefact import PLOTS, AnyArtefact, PairSetArtefact, VectorSetArtefact, metrics_text, plot_text
from aqea_registry.project.lock import folder_md5
from aqea_registry.project.project import Project, RunRecord
from aqea_registry.sources.rows import Rows
from aqea_registry.vectors.containers import pair_json
from aqea_registry.vectors.containers.open_pairs import write_aqed, write_parquet
from aqea_registry.vectors.containers.pair_json import examine
from aqea_registry.vectors.pair_set import BLOCK_ROWS, Header, PairSet, refusing, regrouped
from aqea_registry.vectors.scores import Metrics, Undefined, cosines, metrics, products
from aqea_registry.vectors.vector_set import keys_of


class Generated(NewArtefact, frozen=True, kw_only=True):
    """A pair set with its scores."""

    n_pairs: int
    metrics: Metrics


Made = Generated | Evaluated


def generate(project: Project, dataset: str, model: str, settings: Settings, report: Reporter, *, fresh: bool = False) -> Made:
    """Make the pair set of a dataset under a model, or a task's vector set and result, as `params.yaml` has it in its run.

    `fresh` forgets vectors that were computed before. Raises Refused for bytes, rows or vectors that are not as they must be;
    then no file was touched.
    """
    project.params.check_versions("vectors", "view")
    artefact = project.run.made[project.params.artefact_key(dataset, model)]
    return make(artefact, Models(project.run, project.catalogue, settings, report, fresh, project.root))


def generate_changed(project: Project, settings: Settings, report: Reporter, *, fresh: bool = False) -> Iterator[Made]:
    """Make every artefact of the run whose inputs dvc.lock does not record, or whose files the manifest does not; `fresh`, all.

    Model by model: each is loaded once at most. Raises as `generate` does.
    """
    project.params.check_versions("vectors", "view", "export")
    run, made = project.run, project.run.made
    changed = set(made) if fresh else _changed(run, report)
    models = Models(run, project.catalogue, settings, report, fresh, project.root)
    for artefact in sorted((made[key] for key in changed), key=lambda artefact: (artefact.model, artefact.key)):
        yield make(artefact, models)
        if isinstance(artefact, PairSetArtefact) and run.one_stage:  # else they have stages of their own
            for form in artefact.exports:
                _export(run.root, artefact, form)


def _changed(run: RunRecord, report: Reporter) -> set[str]:
    """What has to be made, by key. Of the rest, plot data, which no list has, are drawn again where DVC finds others."""
    files = {path: run.root / path for artefact in run.made.values() for path in (*artefact.listed, *artefact.made_by)}
    hashed = hash_shown(files.values(), report, md5=frozenset(files.values()))
    digests = {path: digest for path, at in files.items() if isinstance(digest := hashed[at], FileDigest)}

    def as_recorded(artefact: AnyArtefact) -> bool:
        recorded = {*artefact.made_by.values()} <= run.dvc_lock.stages.keys() and not run.stale_findings(artefact)
        return recorded and all(
            path in digests and run.manifest.digests.get(path) == digests[path].sha256 for path in artefact.listed
        )

    same = {key for key, artefact in run.made.items() if as_recorded(artefact)}
    plots = {path: digest.md5 or "" for path, digest in digests.items() if path.startswith(f"{PLOTS}/")}
    if run.dvc_lock.folders.get(PLOTS) != folder_md5(PLOTS, plots):
        for artefact in (run.artefacts[key] for key in same & run.artefacts.keys()):
            draw_plot(run.root, artefact)
    return run.made.keys() - same


def make(artefact: AnyArtefact, models: Models) -> Made:
    """Make an artefact of a run, files and vectors in the folder of the models. Raises as `generate` does."""
    run, report, started, root, made_of = models.run, models.report, now(), models.root, artefact.file
    artefact.required_pins()  # refused before anything is read
    made: Made
    if isinstance(artefact, VectorSetArtefact):
        made_of = artefact.metrics
        vectors, keys, made = make_vector_set(artefact, models)
    else:
        rows = pinned_rows(models.catalogue[artefact.dataset], report)  # before the model, which may be gigabytes
        viewed = artefact.view_stage == artefact.stage  # in projects of 0.1.0 it is a stage of its own
        if artefact.precision == "given":
            model, listed = models.catalogue[artefact.model], run.manifest.digests.get(artefact.file)
            with given_vectors(artefact, model, listed, rows.scores, report) as matrices:
                made = _write(root, artefact, matrices, rows.scores)
            if viewed:
                _export(run.root, artefact, "parquet")
            return made
        vectors = models.vectors(artefact)
        first, second = as_seen(artefact, rows)
        vectors.compute([*first, *second])
        vectors.use_decided(run.root, artefact)
        both = keys_of(first), keys_of(second)
        made, keys = _write(root, artefact, lambda which: vectors.blocks(both[which]), rows.scores), np.unique(both)
        if viewed and root == run.root:
            _export(root, artefact, "parquet")
    files = {path: hash_file(root / path).sha256 for path in artefact.stated}
    new = root == run.root and (models.fresh or files[made_of] != run.manifest.digests.get(made_of))
    margin = vectors.settle(artefact, keys, root if new else None)
    encoded, machine = vectors.encoded, vectors.made.machine if vectors.made else None  # that last computed some
    if machine is not None:  # without it there is nothing to state
        write_statement(root, artefact, files, machine, margin, started)
    return msgspec.structs.replace(made, encoded=encoded, reused=len(keys) - encoded, margin=margin, machine=machine)


def as_seen(artefact: PairSetArtefact, rows: Rows) -> tuple[list[str], list[str]]:
    """The sentences of rows as the model sees them, prefix included."""
    prefix = artefact.model_entry.prefix_for(artefact.dataset_entry.task)
    return [prefix + text for text in rows.sentences1], [prefix + text for text in rows.sentences2]


def _write(root: Path, artefact: PairSetArtefact, matrices: Matrices, graded: Sequence[float]) -> Generated:
    """Write pair file, plot data and metrics of vectors, scored against the human ones. Raises Refused without a score."""
    values = products(zip(matrices(0), matrices(1), strict=True))
    try:
        scores = metrics(values, graded)
    except Undefined as error:
        raise Refused.of("malformed", artefact.key, f"no correlation exists: {error}") from error
    entry, count, spearman = artefact.model_entry, len(graded), scores.cos_sim_spearman
    header = Header(
        dataset=artefact.dataset, model=entry.repo, dimension=entry.dimension, n_pairs=count, baseline_spearman=spearman
    )
    with atomic_write(root / artefact.file) as file:
        pair_json.write(file, header, matrices(0), matrices(1), graded)
    write_bytes(root / artefact.plot, plot_text(graded, cosines(values)))
    write_bytes(root / artefact.metrics, metrics_text(scores, header, artefact.precision))
    return Generated(**named(artefact), n_pairs=count, metrics=scores)


def draw_plot(root: Path, artefact: PairSetArtefact) -> None:
    """Write the plot data of a pair set from its pair file."""
    with open_regular(root / artefact.file) as file:
        pairs = pair_json.read(file)
        rows = products(zip(*(regrouped(pairs.blocks(which), BLOCK_ROWS) for which in (0, 1)), strict=True))
    write_bytes(root / artefact.plot, plot_text(pairs.scores, cosines(rows)))


def export(project: Project, path: str, kind: str) -> str:
    """Write one more file made from a pair file of the run and return its path. Raises Refused if the pair file is bad."""
    project.params.check_versions("view" if kind == "parquet" else "export")
    named = {artefact.file.rpartition("/")[2]: artefact for artefact in project.artefacts.values()}
    artefact = named.get(path.rpartition("/")[2])
    if artefact is None:
        known = [artefact.file for artefact in project.artefacts.values()]
        raise BadConfiguration(f"{path} is not a pair file of the run; it has {', '.join(known)}", suggestion(path, known))
    return _export(project.root, artefact, kind)


def _export(root: Path, artefact: PairSetArtefact, kind: str) -> str:
    source, target = root / artefact.file, artefact.path(kind)
    if not source.is_file():
        raise CannotCheck(f"{artefact.file} not found", "run: dvc repro")
    if kind == "benchmark":
        examined, findings = examine(source, artefact.file)
        if examined is None or findings:
            raise Refused(f"{findings[0].subject}: {findings[0].message}", findings, "run: dvc repro")
        write_bytes(root / target, artefact.benchmark_text(examined, hash_file(source)))
        return target
    with refusing(artefact.file, "run: dvc repro"), open_regular(source) as pair_file:
        content = pair_json.read(pair_file)
        with atomic_write(root / target) as file:
            _WRITERS[kind](file, content)
    return target


_WRITERS: dict[str, Callable[[BinaryIO, PairSet], None]] = {
    "embeddings": pair_json.write_embeddings,
    "parquet": write_parquet,
    "aqed": write_aqed,
}
