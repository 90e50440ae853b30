"""Make one pair set from pinned bytes: rows and model in, pair file, metrics and plot data out; and other files from it.

The vectors of its sentences under the pinned model are kept ones where there are any, new ones where not.
"""

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.attestations.made import now, write_pair_set_statement
from aqea_registry.base.extras import require, unusable
from aqea_registry.base.files import Advance, Limit, atomic_write, hash_file, open_regular, read_small, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused, suggestion
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.embedding.encoder import CodeRefusedError, Encoded, Encoder, NoDevice, Settings, this_machine
from aqea_registry.embedding.vector_cache import VectorCache, libraries
from aqea_registry.generation.inputs import Matrices, given_vectors, pinned_files, pinned_rows
from aqea_registry.project.artefact import CatalogueEntry, RunArtefact, metrics_text, plot_text
from aqea_registry.project.lock import Pin
from aqea_registry.project.params import WRITTEN, Model
from aqea_registry.project.project import CACHE, Project
from aqea_registry.vectors.containers import pair_json
from aqea_registry.vectors.containers.open_pairs import write_aqed, write_parquet
from aqea_registry.vectors.exact import Undefined
from aqea_registry.vectors.examine import examine
from aqea_registry.vectors.margin import EncodingRecord, Machine, Margin, Spread, margin
from aqea_registry.vectors.pair_set import BadVector, Header, Malformed, PairSet, normalised, to_grid
from aqea_registry.vectors.scores import Metrics, cosines, metrics, products


class Generated(msgspec.Struct, frozen=True, kw_only=True):
    """What was made, how safe its digest is (float32 has no margin), and what encoded last, where that is known."""

    name: str
    path: str
    n_pairs: int
    dimension: int
    precision: str
    encoded: int = 0
    reused: int = 0
    margin: Margin | None = None
    machine: Machine | None = None
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
    artefact = project.artefacts[project.params.artefact_key(dataset, model)]
    artefact.required_pins()  # refused before anything is read
    rows = pinned_rows(project.catalogue[dataset], report)  # before the model, which may be gigabytes
    if artefact.precision == "given":
        listed = project.run.manifest.digests.get(artefact.pairs)
        with given_vectors(artefact, project.catalogue[model], listed, rows.scores, report) as matrices:
            made = _write(root, artefact, matrices, rows.scores)
        if project.params.versions is not None:
            export(project, artefact.pairs, "parquet")
        return made
    encoder = pinned_model(project.catalogue[model], project.artefacts.values(), report, root=root)
    prefix = artefact.model_entry.prefix_for(artefact.dataset_entry.task)
    first, second = ([prefix + text for text in texts] for texts in (rows.sentences1, rows.sentences2))
    label = f"encode {artefact.key} ({list(project.artefacts).index(artefact.key) + 1} of {len(project.artefacts)})"
    vectors = vectors_of(encoder, itertools.chain(first, second), settings, report, label=label, fresh=fresh)
    made = _write(root, artefact, lambda which: vectors.cache.blocks((first, second)[which]), rows.scores)
    if project.params.versions is not None and elsewhere is None:
        export(project, artefact.pairs, "parquet")
    margin = vectors.margin(artefact, first, second)
    if vectors.made is not None:  # without a machine there is nothing to state
        files = {path: hash_file(root / path).sha256 for path in artefact.stated}
        write_pair_set_statement(root, artefact, files, vectors.made.machine, margin, started)
    return msgspec.structs.replace(
        made,
        encoded=vectors.encoded,
        reused=len({*first, *second}) - vectors.encoded,
        margin=margin,
        machine=vectors.made.machine if vectors.made else None,
    )


def _write(root: Path, artefact: RunArtefact, matrices: Matrices, graded: Sequence[float]) -> Generated:
    """Write pair file, plot data and metrics of vectors, scored against the human ones. Raises Refused without a score."""
    values = products(zip(matrices(0), matrices(1), strict=True))
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
    with atomic_write(root / artefact.pairs) as file:
        pair_json.write(file, header, matrices(0), matrices(1), graded)
    write_bytes(root / artefact.plot, plot_text(graded, cosines(values)))
    write_bytes(root / artefact.metrics, metrics_text(scores, header, artefact.precision))
    return Generated(
        name=artefact.key,
        path=artefact.pairs,
        n_pairs=header.n_pairs,
        dimension=header.dimension,
        precision=artefact.precision,
        metrics=scores,
    )


def export(project: Project, path: str, kind: str) -> str:
    """Write one more file made from a pair file of the run and return its path. Raises Refused if the pair file is bad."""
    project.params.check_versions("view" if kind == "parquet" else "export")
    named = {artefact.pairs.rpartition("/")[2]: artefact for artefact in project.artefacts.values()}
    artefact = named.get(path.rpartition("/")[2])
    if artefact is None:
        known = [artefact.pairs for artefact in project.artefacts.values()]
        raise BadConfiguration(f"{path} is not a pair file of the run; it has {', '.join(known)}", suggestion(path, known))
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


MADE = "made.json"
SAMPLE = 32  # sentences whose vectors are computed in two ways
PROBE = 32  # sentences of each of three lengths that are encoded before it is said how long all take
SEGMENT = 4096  # sentences whose vectors are kept at a time
CHECKPOINT = 30.0  # seconds after which they are kept, however few


class ModelInUse(NamedTuple):
    """A model with its pin, and the folders with its checked files and of its vectors, at all `dimensions` of the run."""

    name: str
    entry: Model
    pin: Pin
    precision: Literal["canonical", "float32"]
    folder: Path
    cache: Path
    dimensions: tuple[int, ...]


class Vectors(NamedTuple):
    """Vectors by sentence; how many were computed now, and the machine that last computed some."""

    cache: VectorCache
    encoded: int
    made: EncodingRecord | None

    def margin(self, artefact: RunArtefact, first: Sequence[str], second: Sequence[str]) -> Margin | None:
        """The margin of a pair set of these sentences; float32 has none."""
        spread, nearest = self.made.spread if self.made else None, self.cache.nearest
        canonical, offset = artefact.precision == "canonical", artefact.model_entry.rounding_offset
        return margin(nearest(first), nearest(second), spread, offset) if canonical else None


def vectors_of(
    model: ModelInUse, sentences: Iterable[str], settings: Settings, report: Reporter, *, label: str, fresh: bool
) -> Vectors:
    """Vectors of all sentences (as the model sees them, prefix included). Each distinct one goes through the model once.

    `label` is what the progress bar is called. Raises Refused and CannotCheck.
    """
    folders = {dimension: _cache_folder(model, dimension, settings) for dimension in model.dimensions}
    for segment in (segment for folder in folders.values() for segment in folder.glob("*.npy")) if fresh else ():
        segment.unlink()
    caches = {dimension: VectorCache(folder, dimension) for dimension, folder in folders.items()}
    cache = caches[model.entry.dimension]
    new = cache.missing(sentences)
    made = _kept(folders[model.entry.dimension] / MADE)
    if new:
        with report.task(f"load {model.name}", 0, "seconds"):  # torch alone takes some to import
            encoder = load_encoder(model, settings)
            made = _record(model, encoder, settings, new, made)
        for folder in folders.values():  # before the vectors: what is kept is never without it
            write_bytes(folder / MADE, msgspec.json.encode(made))
        _encode(model, encoder, new, caches, report, label)
    return Vectors(cache, len(new), made)


def _kept(path: Path) -> EncodingRecord | None:
    try:
        return msgspec.json.decode(read_small(path, Limit.SETTINGS), type=EncodingRecord)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _record(
    model: ModelInUse, encoder: Encoder, settings: Settings, sentences: Sequence[str], before: EncodingRecord | None
) -> EncodingRecord:
    """What computes now, and the spread measured on it: now, if before it was on few sentences or on another machine."""
    machine = this_machine(settings.device)
    if model.precision != "canonical":
        return EncodingRecord(machine=machine, spread=None)
    known = before.spread if before is not None and before.machine == machine else None
    if known is not None and known.sample >= SAMPLE // 2:
        return EncodingRecord(machine=machine, spread=known)
    return EncodingRecord(machine=machine, spread=_spread(model, encoder, settings, sentences).joined(known))


def _spread(model: ModelInUse, encoder: Encoder, settings: Settings, sentences: Sequence[str]) -> Spread:
    """How far the same computation sentence by sentence, with the other attention where there are two, is from this one."""
    sample = sorted(sentences, key=len)[:: -(-len(sentences) // SAMPLE)]
    alone = msgspec.structs.replace(settings, batch=2 if settings.batch == 1 else 1)
    attention: Literal["sdpa", "eager"] = "sdpa" if settings.attention == "eager" else "eager"
    try:
        other = load_encoder(model, msgspec.structs.replace(alone, attention=attention))
    except Refused:
        other = load_encoder(model, alone)
    first, second = (in_order(used.encode(sample)) for used in (encoder, other))
    try:
        difference = np.abs(normalised(first) - normalised(second))
    except BadVector:  # reported when all are encoded, with its sentence
        return Spread(value=0.0, sample=0)
    return Spread(value=float(difference.max(initial=0)), sample=len(sample))


def in_order(batches: Iterable[Encoded]) -> npt.NDArray[np.floating]:
    """The vectors of all batches in the order of their sentences."""
    joined = _join(list(batches))
    return joined.vectors[np.argsort(joined.positions)]


def _full_vectors(entry: Model) -> Model:
    """A model entry without what does not change its full vectors."""
    full = entry.full_dimension or entry.dimension
    return msgspec.structs.replace(
        entry, dimension=full, full_dimension=None, prefix="", instructions={}, sources=(), licence=None
    )


def _cache_folder(model: ModelInUse, dimension: int, settings: Settings) -> Path:
    """For exactly these weights, this method and this precision; in float32 the batches matter as well."""
    entry = model.entry
    method: list[object] = [model.pin.digest(), WRITTEN.vectors, libraries(), model.precision, entry.max_tokens, dimension]
    method += [entry.rounding_offset] if model.precision == "canonical" else [repr(settings)]
    name = f"{model.pin.id.rpartition('/')[2]}-{dimension}d-{hashlib.sha256(json.dumps(method).encode()).hexdigest()[:16]}"
    return model.cache / name


def _encode(
    model: ModelInUse, encoder: Encoder, sentences: Sequence[str], caches: dict[int, VectorCache], report: Reporter, label: str
) -> None:
    """Send sentences through the model and keep their vectors; the first few, of three lengths, foretell how long all take."""
    if model.precision == "float32":
        report.warn("precision is float32: these bytes are not canonical, another machine or batch gives others")
    ordered, run = sorted(sentences, key=len), min(PROBE, len(sentences) // 24 + 1)
    probe = dict.fromkeys(text for sixth in (1, 3, 5) for text in ordered[len(ordered) * sixth // 6 :][:run])
    first, rest = list(probe), [text for text in sentences if text not in probe]
    with report.task(label, len(sentences), "sentences") as advance:
        started = time.monotonic()
        _keep(model, encoder, first, caches, advance)
        seconds = (time.monotonic() - started) * sum(map(len, rest)) / max(1, sum(map(len, first)))
        duration = plural(round(seconds / 60), "minute") if seconds >= 90 else plural(round(seconds) or 1, "second")
        report.note(f"{label}: {plural(len(sentences), 'sentence', form=',')}, about {duration}")
        _keep(model, encoder, rest, caches, advance)


def _keep(
    model: ModelInUse, encoder: Encoder, sentences: Sequence[str], caches: dict[int, VectorCache], advance: Advance
) -> None:
    for positions, vectors in _segments(encoder.encode(sentences), advance):
        if vectors.shape[1] != (wanted := model.entry.full_dimension or model.entry.dimension):
            subject = f"models.{model.name}.{'full_dimension' if model.entry.full_dimension else 'dimension'}"
            message = "the model gives vectors of another dimension than params.yaml says"
            raise Refused.of("mismatch", subject, message, str(wanted), str(vectors.shape[1]))
        texts = [sentences[position] for position in positions]
        for dimension, cache in caches.items():
            try:
                on_grid = to_grid(vectors[:, :dimension], model.entry.rounding_offset)
            except BadVector as error:
                text = texts[error.row] if len(texts[error.row]) <= 80 else f"{texts[error.row][:77]}..."
                raise Refused.of("malformed", model.name, f"{error}, for the sentence {text!r}") from error
            cache.add(texts, on_grid)


def load_encoder(model: ModelInUse, settings: Settings) -> Encoder:
    """The model, ready to encode. Raises Refused for files that do not load, CannotCheck without the libraries or device."""
    require("a model")
    try:
        return Encoder(model.folder, model.entry, model.precision, settings)
    except NoDevice as error:
        raise CannotCheck(str(error), "install a torch built for the device, or leave --device out") from error
    except CodeRefusedError as error:
        hint = "if you trust its code, say trust_remote_code: true in params.yaml and pin it again"
        raise Refused.of("unsafe-model", model.name, str(error), hint=hint) from error
    except Exception as error:  # whatever a library raises for files that it cannot load
        if isinstance(error, ImportError) or isinstance(error.__cause__, ImportError):
            raise unusable("generation", error) from error
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        message, hint = f"the pinned files do not load as a model: {reason}", "look at the entry in params.yaml and at its pin"
        raise Refused.of("malformed", model.name, message, hint=hint) from error


def _segments(batches: Iterable[Encoded], advance: Advance) -> Iterator[Encoded]:
    """The encoder's batches, gathered into pieces worth a file; what an interrupt leaves is one, too."""
    gathered, count, since = list[Encoded](), 0, time.monotonic()
    try:
        for batch in batches:
            gathered.append(batch)
            count += len(batch.positions)
            advance(len(batch.positions))
            if count >= SEGMENT or time.monotonic() - since >= CHECKPOINT:
                yield _join(gathered)
                gathered, count, since = [], 0, time.monotonic()
    except KeyboardInterrupt:
        if gathered:
            yield _join(gathered)
        raise
    if gathered:
        yield _join(gathered)


def _join(parts: Sequence[Encoded]) -> Encoded:
    positions = [position for part in parts for position in part.positions]
    return Encoded(positions, np.concatenate([part.vectors for part in parts]))


def pinned_model(
    model: CatalogueEntry, run: Collection[RunArtefact], report: Reporter, *, local_only: bool = False, root: Path | None = None
) -> ModelInUse:
    """A model as this run uses it, and its pinned files; with `local_only`, from this machine alone. Raises RegistryError.

    Its vectors are kept below `root` (default: the project's).
    """
    entry, (pin, folder) = model.entry, pinned_files(model, report, local_only)
    assert isinstance(entry, Model)
    others = (artefact.model_entry for artefact in run)
    same = {other.dimension for other in others if _full_vectors(other) == _full_vectors(entry)}
    precision = next(artefact.precision for artefact in run if artefact.precision != "given")
    cache = (root or model.root) / CACHE / "vectors"
    return ModelInUse(model.name, entry, pin, precision, folder, cache, tuple(sorted({entry.dimension, *same})))
