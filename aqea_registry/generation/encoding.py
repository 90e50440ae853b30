"""Vectors of sentences under a pinned model: kept ones where there are any, new ones where not."""

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.base.extras import require, unusable
from aqea_registry.base.files import Advance, Limit, read_small, write_bytes
from aqea_registry.base.findings import CannotCheck, Refused
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.embedding.encoder import CodeRefusedError, Encoded, Encoder, NoDevice, Settings, this_machine
from aqea_registry.embedding.segment import SUFFIX
from aqea_registry.embedding.vector_cache import Near, VectorCache, libraries
from aqea_registry.generation.inputs import pinned_files
from aqea_registry.project.artefact import Artefact, CatalogueEntry
from aqea_registry.project.lock import LOCK, Decided, Pin
from aqea_registry.project.params import WRITTEN, Model
from aqea_registry.project.project import CACHE
from aqea_registry.sources.pin import update_lock
from aqea_registry.vectors.decided import DecidedValue, at_boundary, read_decided, render_decided
from aqea_registry.vectors.margin import EncodingRecord, Machine, Margin, Spread, margin, reach
from aqea_registry.vectors.pair_set import BadVector, Micro, OnGrid, normalised, to_grid
from aqea_registry.vectors.vector_set import Keys, Rows

T = TypeVar("T")

MADE = "made.json"
SAMPLE = 32  # sentences whose vectors are computed in two ways
PROBE = 32  # sentences of each of three lengths that are encoded before it is said how long all take
SEGMENT = 4096  # sentences whose vectors are kept at a time
CHECKPOINT = 30.0  # seconds after which they are kept, however few
UNDECIDED = "if the list is wrong: remove it and its entry in the lock, and generate again"


class ModelInUse(NamedTuple):
    """A model with its pin, and the folders with its checked files and of its vectors, at all `dimensions` of the run."""

    name: str
    entry: Model
    pin: Pin
    precision: Literal["canonical", "float32"]
    folder: Path
    cache: Path
    dimensions: tuple[int, ...]


class Vectors:
    """The vectors of a model by text: kept ones where there are any, else new ones. The model is loaded when one is needed.

    `encoded` texts were computed now; `made` says which machine last computed some. `label` is what the progress is called.
    """

    def __init__(self, model: ModelInUse, settings: Settings, report: Reporter, *, label: str, fresh: bool) -> None:
        """Open what is kept; `fresh` forgets it."""
        self.folders = {dimension: cache_folder(model, dimension, settings) for dimension in model.dimensions}
        for segment in (segment for folder in self.folders.values() for segment in folder.glob(f"*{SUFFIX}")) if fresh else ():
            segment.unlink(missing_ok=True)
        self._model, self._settings, self._report, self._label = model, settings, report, label
        self._encoder: Encoder | None = None
        self._listed: dict[str, list[DecidedValue]] = {}
        self.made = kept_record(self.folders[model.entry.dimension] / MADE)
        self.encoded = 0
        self._open()

    def _open(self) -> None:
        within = reach(self.spread)
        self.caches = {dimension: VectorCache(folder, dimension, within) for dimension, folder in self.folders.items()}
        self._cache = self.caches[self._model.entry.dimension]

    def begin(self, label: str) -> None:
        """Count anew, for another artefact."""
        self._label, self.encoded = label, 0

    @property
    def spread(self) -> Spread | None:
        """How far two arrangements differed on the machine that last computed some."""
        return self.made.spread if self.made else None

    @property
    def machine(self) -> Machine | None:
        """The machine that last computed some, where that is known."""
        return self.made.machine if self.made else None

    @property
    def method(self) -> str:
        """The hex digest of all that decides a vector, the libraries aside."""
        return _method(self._model, self._model.entry.dimension)

    def compute(self, sentences: Iterable[str], of: int = 0) -> None:
        """Have the vectors of these texts (as the model sees them, prefix included); each distinct one is encoded once.

        Where more are asked for later, the first time says how long all take: `of` texts. Raises Refused and CannotCheck.
        """
        sentences = list(dict.fromkeys(sentences))
        new = self._cache.missing(sentences)
        if not new:
            return
        first = self._encoder is None
        if self._encoder is None:
            with self._report.task(f"load {self._model.name}", 0, "seconds"):  # torch alone takes some to import
                self._encoder = load_encoder(self._model, self._settings)
                made = record(self._model, self._encoder, self._settings, new, self.made)
            if self.note(made):
                new = self._cache.missing(sentences)
        expected = max(of * len(new) // len(sentences), len(new)) if first else 0  # of others as many are kept
        _encode(self._model, self._encoder, new, self.caches, self._report, self._label, expected)
        self.encoded += len(new)

    def missing(self, sentences: Iterable[str]) -> list[str]:
        """The distinct texts of these whose vectors are not kept."""
        return self._cache.missing(sentences)

    def note(self, made: EncodingRecord) -> bool:
        """Keep a record of what computes, before its vectors are; whether of kept ones too little is known now."""
        within, self.made = reach(self.spread), made
        for folder in self.folders.values():
            write_bytes(folder / MADE, msgspec.json.encode(made))
        if grown := reach(self.spread) > within:  # it may not be known which values are near to a boundary
            self._open()
        return grown

    def use_decided(self, root: Path, artefact: Artefact) -> None:
        """Give the values that were decided for this artefact of the project at `root` from now on. Raises Refused."""
        self._listed, self._list = defaultdict(list), artefact.decided_list
        if artefact.decided is not None:
            found = read_decided(root, artefact.decided_list, artefact.decided.sha256, artefact.decided.values)
            for value in found.values if found.method == self.method else ():
                self._listed[value.text].append(value)

    def blocks(self, keys: Keys) -> Iterator[Micro]:
        """The vectors of texts that were computed, in their order, as `rows` has them."""
        return (block for _, block in self.rows(keys))

    def rows(self, keys: Keys) -> Iterator[Rows]:
        """Texts that were computed (`keys_of`) with their vectors, some thousand at a time, decided values in them.

        Raises Refused for a decided value that is another one than these vectors allow.
        """
        listed = np.array([bytes.fromhex(text) for text in self._listed], "S32")
        for part, block in self._cache.rows(keys):
            for row in np.flatnonzero(np.isin(part, listed)).tolist():
                self._put_decided(part[row : row + 1], block[row])
            yield part, block

    def _put_decided(self, key: Keys, vector: npt.NDArray[np.int32]) -> None:
        near = {value.component: value.distance for _, value in self._cache.near(key)}
        for text, at, listed in map(msgspec.structs.astuple, self._listed[key.tobytes().hex()]):
            own = int(vector[at]) if at < len(vector) else None
            if own is None or not at_boundary(own, listed, near.get(at)):
                message = "the value that was decided is none that the pinned model can give here"
                raise Refused.of("mismatch", f"{self._list}: {text}[{at}]", message, str(own), str(listed), hint=UNDECIDED)
            vector[at] = listed

    def settle(self, artefact: Artefact, keys: Keys, root: Path | None) -> Margin | None:
        """The margin of an artefact of these texts; float32 has none. Values too near to a boundary for it are decided.

        They are listed in the project at `root`; without one, what is listed stays.
        """
        near = [*self._cache.near(keys)]
        decided = self._decided(keys, near)
        if root is not None:
            record_decided(root, artefact, self.method, decided)
        done = {(value.text, value.component) for value in decided}
        left = (value.distance for text, value in near if (text, value.component) not in done)
        return margin(left, self.spread, len(done)) if self._model.precision == "canonical" else None

    def _decided(self, keys: Keys, near: Sequence[tuple[str, Near]]) -> list[DecidedValue]:
        """The values of these texts that are too near to a boundary, and what was decided before, sorted."""
        within = reach(self.spread)
        thin = {(text, value.component) for text, value in near if abs(value.distance) < within}
        thin |= {(value.text, value.component) for values in self._listed.values() for value in values}
        texts = np.array(sorted({bytes.fromhex(text) for text, _ in thin}), "S32")
        texts = texts[np.isin(texts, keys)]
        vectors = {
            key.tobytes().hex(): vector for key, vector in zip(texts.view("V32"), chain(*self.blocks(texts)), strict=True)
        }
        return [DecidedValue(text, at, int(vectors[text][at])) for text, at in sorted(thin) if text in vectors]


def vectors_of(
    model: ModelInUse, sentences: Iterable[str], settings: Settings, report: Reporter, *, label: str, fresh: bool
) -> Vectors:
    """Vectors of all sentences, as the model sees them. Raises Refused and CannotCheck."""
    vectors = Vectors(model, settings, report, label=label, fresh=fresh)
    vectors.compute(sentences)
    return vectors


class Models:
    """The models of a run as they are needed, below `root`. The last one is kept: it is loaded once for artefacts in its order.

    `fresh` forgets what was computed before.
    """

    def __init__(self, run: Sequence[Artefact], settings: Settings, report: Reporter, *, fresh: bool, root: Path) -> None:
        self.root, self.fresh = root, fresh
        self._run, self._settings, self._report = run, settings, report
        self._places = {artefact.key: place for place, artefact in enumerate(run, 1)}
        self._last: tuple[str, Vectors] | None = None

    def vectors(self, model: CatalogueEntry, artefact: Artefact) -> Vectors:
        """The vectors of a model, for one artefact of it. Raises RegistryError."""
        label = f"encode {artefact.key} ({self._places[artefact.key]} of {len(self._run)})"
        if self._last is not None and self._last[0] == model.name:
            self._last[1].begin(label)
        else:
            self._last = None  # before the next one is loaded
            used = pinned_model(model, self._run, self._report, root=self.root)
            self._last = model.name, Vectors(used, self._settings, self._report, label=label, fresh=self.fresh)
        return self._last[1]


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
    joined = _join(list(batches))
    return joined.vectors[np.argsort(joined.positions)]


def _full_vectors(entry: Model) -> Model:
    """A model entry without what does not change its full vectors."""
    full = entry.full_dimension or entry.dimension
    return msgspec.structs.replace(
        entry, dimension=full, full_dimension=None, prefix="", instructions={}, sources=(), licence=None
    )


def _method(model: ModelInUse, dimension: int) -> str:
    """The hex digest of all that decides the canonical vector of a text."""
    entry = model.entry
    method = [model.pin.digest(), WRITTEN.vectors, model.precision, entry.max_tokens, dimension, entry.rounding_offset]
    return hashlib.sha256(json.dumps(method).encode()).hexdigest()


def cache_folder(model: ModelInUse, dimension: int, settings: Settings) -> Path:
    """For exactly these weights, this method and these libraries; in float32 the batches matter as well."""
    how = [_method(model, dimension), libraries(), "" if model.precision == "canonical" else repr(settings)]
    name = f"{model.pin.id.rpartition('/')[2]}-{dimension}d-{hashlib.sha256(json.dumps(how).encode()).hexdigest()[:16]}"
    return model.cache / name


def _encode(
    model: ModelInUse,
    encoder: Encoder,
    sentences: Sequence[str],
    caches: dict[int, VectorCache],
    report: Reporter,
    label: str,
    expected: int,
) -> None:
    """Send sentences through the model and keep their vectors; the first few, of three lengths, foretell how long all take.

    `expected` is how many there will be in all, if that is to be said.
    """
    if model.precision == "float32" and expected:
        report.warn("precision is float32: these bytes are not canonical, another machine or batch gives others")
    ordered, run = sorted(sentences, key=len), min(PROBE, len(sentences) // 24 + 1)
    probe = dict.fromkeys(text for sixth in (1, 3, 5) for text in ordered[len(ordered) * sixth // 6 :][:run])
    first, rest = list(probe), [text for text in sentences if text not in probe]
    with report.task(label, len(sentences), "sentences") as advance:
        started = time.monotonic()
        _keep(model, encoder, first, caches, advance)
        seconds = (time.monotonic() - started) * sum(map(len, rest)) / max(1, sum(map(len, first)))
        seconds *= expected / len(sentences)
        if expected:
            report.note(f"{label}: {plural(expected, 'sentence', form=',')}, about {duration(seconds)}")
        _keep(model, encoder, rest, caches, advance)


def duration(seconds: float) -> str:
    """A time for people."""
    return plural(round(seconds / 60), "minute") if seconds >= 90 else plural(round(seconds) or 1, "second")


def _keep(
    model: ModelInUse, encoder: Encoder, sentences: Sequence[str], caches: dict[int, VectorCache], advance: Advance
) -> None:
    def shown() -> Iterator[Encoded]:
        for batch in encoder.encode(sentences):
            advance(len(batch.positions))
            yield batch

    for batches in gathered(shown(), lambda batch: len(batch.positions)):
        positions, vectors = _join(batches)
        texts = [sentences[position] for position in positions]
        for dimension, rows in on_grid(model, texts, vectors).items():
            caches[dimension].add(texts, rows)


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


def gathered(items: Iterable[T], texts_in: Callable[[T], int]) -> Iterator[list[T]]:
    """Items, together as many as are worth a file; what there is where they end early is one, too."""
    found, count, since = list[T](), 0, time.monotonic()
    before = since
    try:
        for item in items:
            found.append(item)
            count, now = count + texts_in(item), time.monotonic()
            if count >= SEGMENT or 2 * now - since - before >= CHECKPOINT:  # the next may take as long as this one
                yield found
                found, count, since = [], 0, now
            before = now
    except (Exception, KeyboardInterrupt):
        if found:
            yield found
        raise
    if found:
        yield found


def _join(parts: Sequence[Encoded]) -> Encoded:
    positions = [position for part in parts for position in part.positions]
    return Encoded(positions, np.concatenate([part.vectors for part in parts]))


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


def record_decided(root: Path, artefact: Artefact, method: str, values: Sequence[DecidedValue]) -> None:
    """Write the list of decided values of an artefact, and its digest into the lock; where there are none, neither."""
    content, path = render_decided(method, values), root / artefact.decided_list
    entry = Decided(sha256=hashlib.sha256(content).hexdigest(), values=len(values)) if values else None
    if entry is not None:
        write_bytes(path, content)
    if entry != artefact.decided:
        update_lock(root / LOCK, lambda lock: lock.with_decided(artefact.key, entry))
    if entry is None:
        path.unlink(missing_ok=True)
