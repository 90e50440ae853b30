"""What artefacts are made of, out of pinned files: the rows of a dataset, a model, vectors that were given.

A model is loaded as the run uses it; its vectors are put on the grid, and how far its arrangements differ on this machine is
measured. The verb import-vectors brings given vectors in: they are copied to `given/MODEL/` and pinned, and `generate` makes a
pair set of them as of any others. Its bytes are a pure function of the imported file, which need not be there afterwards.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.base.extras import require, unusable
from aqea_registry.base.files import Limit, atomic_write, hash_file, hash_stream, open_regular, read_small, size_of
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused
from aqea_registry.base.progress import Reporter
from aqea_registry.base.strict import decoded
from aqea_registry.embedding.encoder import CodeRefusedError, Encoded, Encoder, NoDevice, Settings, this_machine
from aqea_registry.project.artefact import Artefact, CatalogueEntry, PairSetArtefact
from aqea_registry.project.lock import Pin, PinnedFile, require_pin
from aqea_registry.project.params import GIVEN, Dataset, Model, Params
from aqea_registry.project.project import CACHE, Project
from aqea_registry.sources.fetch import fetch, opened
from aqea_registry.sources.kinds import sources_of
from aqea_registry.sources.mteb_tasks import completed, reads_rows
from aqea_registry.sources.pin import pin_given
from aqea_registry.sources.rows import Rows, other_splits, read_rows
from aqea_registry.vectors.containers import pair_json
from aqea_registry.vectors.containers.open_pairs import ACCEPTED, canonical, open_given
from aqea_registry.vectors.margin import EncodingRecord, Spread
from aqea_registry.vectors.pair_set import BadVector, Micro, OnGrid, normalised, refusing, to_grid

MADE = "made.json"
SAMPLE = 32  # sentences whose vectors are computed in two ways
Matrices = Callable[[int], Iterator[Micro]]  # the rows of one of the two matrices in blocks, as often as they are asked for


def pinned_rows(dataset: CatalogueEntry, report: Reporter, *, local_only: bool = False) -> Rows:
    """A dataset's rows out of its pinned files; with `local_only`, from this machine alone. Raises RegistryError."""
    entry, (pin, folder) = completed(dataset).entry, pinned_files(dataset, report, local_only)
    assert isinstance(entry, Dataset)
    if not reads_rows(dataset.name, entry):
        message = f"params.yaml: {dataset.name}: a pair set is of one subset of an STS task, and {entry.mteb} is not that"
        raise BadConfiguration(message, "name one under 'subsets', or move the pair set from 'pairs' to 'vectors' of its run")
    rows = read_rows(opened({path: folder / path for path in pin.files}), entry, dataset.name)
    splits = (f"{finding.subject}: {finding.message}" for finding in other_splits(dataset.name, entry, pin.files))
    for remark in (*splits, *rows.notes(dataset.name)):
        report.warn(remark)
    return rows


def pinned_files(wanted: CatalogueEntry, report: Reporter, local_only: bool) -> tuple[Pin, Path]:
    """The pin of a catalogue entry, and a folder with exactly the files that it names."""
    pin = require_pin(wanted.name, wanted.entry, wanted.pin)
    sources = sources_of(wanted, pin.commit)
    if local_only:
        sources = [source for source in sources if source.present() and source.local(min(pin.files)) is not None]
    return pin, fetch(wanted.name, pin, sources, wanted.root, report)


@contextmanager
def given_vectors(
    artefact: PairSetArtefact, model: CatalogueEntry, listed: str | None, graded: Sequence[float], report: Reporter
) -> Iterator[Matrices]:
    """Given vectors on the grid: out of the imported file or, where no source has that, the pair file that was made of it.

    `listed` is the sha256 of the pair file in the manifest. Raises Refused, also while they are read, for what is not such
    vectors; CannotCheck if neither file is here.
    """
    pin, kept, folder = artefact.given_pin(), model.root / artefact.file, None
    try:
        folder = fetch(model.name, pin, sources_of(model, None), model.root, report)
    except CannotCheck as error:
        if not kept.is_file() or hash_file(kept).sha256 != listed:
            message = f"{error.message}; nor is {artefact.file} here as the manifest lists it"
            raise CannotCheck(message, "dvc pull, or pull a release that has it") from error
    with refusing(f"{model.name}: {', '.join(pin.files)}"):
        if folder is None:
            with open_regular(kept) as file:
                yield pair_json.read(file).blocks
        else:
            given = open_given([folder / path for path in sorted(pin.files)], graded)
            yield lambda which: canonical(given, which, len(graded), artefact.model_entry.dimension)


def import_vectors(project: Project, files: Sequence[Path], dataset: str, model: str, report: Reporter) -> None:
    """Copy and pin given vectors of a pinned dataset; `generate` makes the pair set.

    Raises Refused for vectors that are not as they must be, and BadConfiguration, with the lines to add, if params.yaml has no
    such model or pair set; then nothing is written.
    """
    if dataset not in project.params.datasets:
        known = ", ".join(sorted(project.params.datasets)) or "none"
        raise BadConfiguration(f"params.yaml has no dataset {dataset!r}; it has {known}", "add it, then: aqea-registry pin")
    rows = pinned_rows(project.catalogue[dataset], report)
    with refusing(", ".join(map(str, files)), f"give {ACCEPTED}"):
        given = open_given(files, rows.scores)
        dimension = next((block.shape[1] for block in given.blocks(0)), 1)
        artefact = _artefact(project.params, project.artefacts.values(), dataset, model, dimension)
        for which in (0, 1):
            for _ in canonical(given, which, len(rows.scores), artefact.model_entry.dimension):
                pass
    stem, before = f"{artefact.given_stem}.", artefact.model_pin.files if artefact.model_pin else {}
    pinned = {path: file for path, file in before.items() if not path.startswith(stem)}
    for number, path in enumerate(files, 1):
        name = f"{stem}{f'{number}.' * (len(files) > 1)}{path.suffix[1:]}"
        with open_regular(path) as file, atomic_write(project.root / GIVEN / model / name) as copy:
            digest = hash_stream(file, size_of(path), outgoing=copy)
        pinned[name] = PinnedFile(sha256=digest.sha256, size=digest.size)
    pin_given(project.catalogue[model], pinned)
    for name in before.keys() - pinned.keys():  # of another kind, or of two files where there is one now
        (project.root / GIVEN / model / name).unlink(missing_ok=True)


def _artefact(params: Params, run: Iterable[PairSetArtefact], dataset: str, model: str, dimension: int) -> PairSetArtefact:
    """What the run makes of given vectors. Raises BadConfiguration, with the lines to add, where params.yaml lacks it."""
    entry = params.models.get(model)
    if entry is not None and entry.kind != GIVEN:
        raise BadConfiguration(f"params.yaml: models.{model} is encoded here", "give the vectors the name of another model")
    if found := next((artefact for artefact in run if (artefact.dataset, artefact.model) == (dataset, model)), None):
        return found
    made = f"kind: given, repo: {model}, dimension: {dimension}, note: 'who made them, and when'"
    first = "" if entry else f"below models: `{model}: {{{made}}}` and "
    file = f"{dataset}_{model}_{entry.dimension if entry else dimension}d"
    second = f"below pairs: of its run `{dataset}-{model}: {{dataset: {dataset}, model: {model}, file: {file}}}`"
    what = "its run has no pair set" if entry else f"there is no model {model!r}, and no pair set"
    raise BadConfiguration(f"params.yaml: {what} of {dataset} under it", f"add {first}{second}, then the same command again")


class ModelInUse(NamedTuple):
    """A model with its pin, and the folders with its checked files and of its vectors, at all `dimensions` of the run."""

    name: str
    entry: Model
    pin: Pin
    precision: Literal["canonical", "float32"]
    folder: Path
    cache: Path
    dimensions: tuple[int, ...]


def pinned_model(
    model: CatalogueEntry, run: Collection[Artefact], report: Reporter, *, local_only: bool = False, root: Path | None = None
) -> ModelInUse:
    """A model as this run uses it, and its pinned files; with `local_only`, from this machine alone. Raises RegistryError.

    Its vectors are kept below `root` (default: the project's).
    """
    return model_in_use(model, run, *pinned_files(model, report, local_only), root or model.root)


def model_in_use(model: CatalogueEntry, run: Collection[Artefact], pin: Pin, folder: Path, root: Path) -> ModelInUse:
    """A model as this run uses it, whose files are in `folder` and whose vectors are kept below `root`."""
    entry = model.entry
    assert isinstance(entry, Model)
    others = (artefact.model_entry for artefact in run)
    same = {other.dimension for other in others if _full_vectors(other) == _full_vectors(entry)}
    precision = next(artefact.precision for artefact in run if artefact.precision != "given")
    cache = root / CACHE / "vectors"
    return ModelInUse(model.name, entry, pin, precision, folder, cache, tuple(sorted({entry.dimension, *same})))


def _full_vectors(entry: Model) -> Model:
    """A model entry without what does not change its full vectors."""
    full = entry.full_dimension or entry.dimension
    return msgspec.structs.replace(
        entry, dimension=full, full_dimension=None, prefix="", instructions={}, sources=(), licence=None
    )


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


def kept_record(path: Path) -> EncodingRecord | None:
    """A record that was kept, if it is there."""
    with suppress(OSError):
        return decoded(read_small(path, Limit.SETTINGS), EncodingRecord)
    return None


def record(
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
    whole = joined(list(batches))
    return whole.vectors[np.argsort(whole.positions)]


def joined(parts: Sequence[Encoded]) -> Encoded:
    """Batches as one."""
    positions = [position for part in parts for position in part.positions]
    return Encoded(positions, np.concatenate([part.vectors for part in parts]))


def on_grid(model: ModelInUse, texts: Sequence[str], vectors: npt.NDArray[np.floating]) -> dict[int, OnGrid]:
    """The vectors of texts at each dimension of the run. Raises Refused for what is not such vectors."""
    if vectors.shape[1] != (wanted := model.entry.full_dimension or model.entry.dimension):
        subject = f"models.{model.name}.{'full_dimension' if model.entry.full_dimension else 'dimension'}"
        message = "the model gives vectors of another dimension than params.yaml says"
        raise Refused.of("mismatch", subject, message, str(wanted), str(vectors.shape[1]))
    try:
        return {size: to_grid(vectors[:, :size], model.entry.rounding_offset) for size in model.dimensions}
    except BadVector as error:
        text = texts[error.row] if len(texts[error.row]) <= 80 else f"{texts[error.row][:77]}..."
        raise Refused.of("malformed", model.name, f"{error}, for the sentence {text!r}") from error
