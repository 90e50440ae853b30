"""A pinned model as a run uses it: loaded, its vectors put on the grid, and how far its arrangements differ on this machine."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.base.extras import require, unusable
from aqea_registry.base.files import Limit, read_small
from aqea_registry.base.findings import CannotCheck, Refused
from aqea_registry.base.progress import Reporter
from aqea_registry.embedding.encoder import CodeRefusedError, Encoded, Encoder, NoDevice, Settings, this_machine
from aqea_registry.generation.inputs import pinned_files
from aqea_registry.project.artefact import Artefact, CatalogueEntry
from aqea_registry.project.lock import Pin
from aqea_registry.project.params import Model
from aqea_registry.project.project import CACHE
from aqea_registry.vectors.margin import EncodingRecord, Spread
from aqea_registry.vectors.pair_set import BadVector, OnGrid, normalised, to_grid

MADE = "made.json"
SAMPLE = 32  # sentences whose vectors are computed in two ways


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
    try:
        return msgspec.json.decode(read_small(path, Limit.SETTINGS), type=EncodingRecord)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
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
