"""Vectors of sentences under a pinned model: kept ones where there are any, new ones where not."""

import hashlib
import json
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.base.files import Advance, size_of, write_bytes
from aqea_registry.base.findings import Finding, Refused
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.embedding.encoder import Encoded, Encoder, Settings
from aqea_registry.embedding.vector_cache import SUFFIX, Damaged, Near, Segment, VectorCache, libraries
from aqea_registry.generation.inputs import MADE, ModelInUse, joined, kept_record, load_encoder, on_grid, pinned_model, record
from aqea_registry.project.artefact import Artefact, CatalogueEntry
from aqea_registry.project.lock import LOCK, Decided, Lock
from aqea_registry.project.params import WRITTEN, Params
from aqea_registry.project.project import CACHE, Project, RunRecord
from aqea_registry.sources.pin import update_lock
from aqea_registry.vectors import margin as margins
from aqea_registry.vectors.pair_set import Micro
from aqea_registry.vectors.vector_set import Keys, Rows

T = TypeVar("T")

PROBE = 32  # sentences of each of three lengths that are encoded before it is said how long all take
SEGMENT = 4096  # sentences whose vectors are kept at a time
CHECKPOINT = 30.0  # seconds after which they are kept, however few
UNDECIDED = "if the list is wrong: remove it and its entry in the lock, and generate again"


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
        self._listed: dict[str, list[margins.DecidedValue]] = {}
        self.made = kept_record(self.folders[model.entry.dimension] / MADE)
        self.encoded = 0
        self._open()

    def _open(self) -> None:
        within = margins.reach(self.spread)
        self.caches = {dimension: VectorCache(folder, dimension, within) for dimension, folder in self.folders.items()}
        self._cache = self.caches[self._model.entry.dimension]

    def begin(self, label: str) -> None:
        """Count anew, for another artefact."""
        self._label, self.encoded = label, 0

    @property
    def spread(self) -> margins.Spread | None:
        """How far two arrangements differed on the machine that last computed some."""
        return self.made.spread if self.made else None

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
        self._encode(self._encoder, new, expected)
        self.encoded += len(new)

    def _encode(self, encoder: Encoder, sentences: Sequence[str], expected: int) -> None:
        """Send sentences through the model and keep their vectors; the first few, of three lengths, foretell how long all take.

        `expected` is how many there will be in all, if that is to be said.
        """
        if self._model.precision == "float32" and expected:
            self._report.warn("precision is float32: these bytes are not canonical, another machine or batch gives others")
        ordered, run = sorted(sentences, key=len), min(PROBE, len(sentences) // 24 + 1)
        probe = dict.fromkeys(text for sixth in (1, 3, 5) for text in ordered[len(ordered) * sixth // 6 :][:run])
        rest = [text for text in sentences if text not in probe]
        with self._report.task(self._label, len(sentences), "sentences") as advance:
            started = time.monotonic()
            self._keep(encoder, [*probe], advance)
            seconds = (time.monotonic() - started) * sum(map(len, rest)) / max(1, sum(map(len, probe)))
            if expected:
                took = duration(seconds * expected / len(sentences))
                self._report.note(f"{self._label}: {plural(expected, 'sentence', form=',')}, about {took}")
            self._keep(encoder, rest, advance)

    def _keep(self, encoder: Encoder, sentences: Sequence[str], advance: Advance) -> None:
        def shown() -> Iterator[Encoded]:
            for batch in encoder.encode(sentences):
                advance(len(batch.positions))
                yield batch

        for batches in gathered(shown(), lambda batch: len(batch.positions)):
            positions, vectors = joined(batches)
            texts = [sentences[position] for position in positions]
            for dimension, rows in on_grid(self._model, texts, vectors).items():
                self.caches[dimension].add(texts, rows)

    def missing(self, sentences: Iterable[str]) -> list[str]:
        """The distinct texts of these whose vectors are not kept."""
        return self._cache.missing(sentences)

    def note(self, made: margins.EncodingRecord) -> bool:
        """Keep a record of what computes, before its vectors are; whether of kept ones too little is known now."""
        within, self.made = margins.reach(self.spread), made
        for folder in self.folders.values():
            write_bytes(folder / MADE, msgspec.json.encode(made))
        if grown := margins.reach(self.spread) > within:  # it may not be known which values are near to a boundary
            self._open()
        return grown

    def use_decided(self, root: Path, artefact: Artefact) -> None:
        """Give the values that were decided for this artefact of the project at `root` from now on. Raises Refused."""
        self._listed, self._list = defaultdict(list), artefact.decided_list
        if artefact.decided is not None:
            found = margins.read_decided(root, artefact.decided_list, artefact.decided.sha256, artefact.decided.values)
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
            if own is None or not margins.at_boundary(own, listed, near.get(at)):
                message = "the value that was decided is none that the pinned model can give here"
                raise Refused.of("mismatch", f"{self._list}: {text}[{at}]", message, str(own), str(listed), hint=UNDECIDED)
            vector[at] = listed

    def settle(self, artefact: Artefact, keys: Keys, root: Path | None) -> margins.Margin | None:
        """The margin of an artefact of these texts; float32 has none. Values too near to a boundary for it are decided.

        They are listed in the project at `root`; without one, what is listed stays.
        """
        near = [*self._cache.near(keys)]
        decided = self._decided(keys, near)
        if root is not None:
            record_decided(root, artefact, self.method, decided)
        done = {(value.text, value.component) for value in decided}
        left = (value.distance for text, value in near if (text, value.component) not in done)
        return margins.margin(left, self.spread, len(done)) if self._model.precision == "canonical" else None

    def _decided(self, keys: Keys, near: Sequence[tuple[str, Near]]) -> list[margins.DecidedValue]:
        """The values of these texts that are too near to a boundary, and what was decided before, sorted."""
        within = margins.reach(self.spread)
        thin = {(text, value.component) for text, value in near if abs(value.distance) < within}
        thin |= {(value.text, value.component) for values in self._listed.values() for value in values}
        texts = np.array(sorted({bytes.fromhex(text) for text, _ in thin}), "S32")
        texts = texts[np.isin(texts, keys)]
        vectors = {
            key.tobytes().hex(): vector for key, vector in zip(texts.view("V32"), chain(*self.blocks(texts)), strict=True)
        }
        return [margins.DecidedValue(text, at, int(vectors[text][at])) for text, at in sorted(thin) if text in vectors]


@dataclass
class Models:
    """How a run is made: its catalogue, and its models as they are needed, with vectors and files below `root`.

    The last model is kept: it is loaded once for artefacts in its order. `fresh` forgets what was computed before.
    """

    run: RunRecord
    catalogue: Mapping[str, CatalogueEntry]
    settings: Settings
    report: Reporter
    fresh: bool
    root: Path
    last: tuple[str, Vectors] | None = None

    def vectors(self, artefact: Artefact) -> Vectors:
        """The vectors of its model, for one artefact. Raises RegistryError."""
        keys, name = [*self.run.made], artefact.model
        label = f"encode {artefact.key} ({keys.index(artefact.key) + 1} of {len(keys)})"
        if self.last is not None and self.last[0] == name:
            self.last[1].begin(label)
        else:
            self.last = None  # before the next one is loaded
            used = pinned_model(self.catalogue[name], self.run.made.values(), self.report, root=self.root)
            self.last = name, Vectors(used, self.settings, self.report, label=label, fresh=self.fresh)
        return self.last[1]


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


def duration(seconds: float) -> str:
    """A time for people."""
    return plural(round(seconds / 60), "minute") if seconds >= 90 else plural(round(seconds) or 1, "second")


def gathered(items: Iterable[T], texts_in: Callable[[T], int]) -> Iterator[list[T]]:
    """Items, together as many as are worth a file; what there is where they end early is one, too."""
    group, count, since = list[T](), 0, time.monotonic()
    before = since
    try:
        for item in items:
            group.append(item)
            count, now = count + texts_in(item), time.monotonic()
            if count >= SEGMENT or 2 * now - since - before >= CHECKPOINT:  # the next may take as long as this one
                yield group
                group, count, since = [], 0, now
            before = now
    except (Exception, KeyboardInterrupt):
        if group:
            yield group
        raise
    if group:
        yield group


def record_decided(root: Path, artefact: Artefact, method: str, values: Sequence[margins.DecidedValue]) -> None:
    """Write the list of decided values of an artefact, and its digest into the lock; where there are none, neither."""
    content, path = margins.render_decided(method, values), root / artefact.decided_list
    entry = Decided(sha256=hashlib.sha256(content).hexdigest(), values=len(values)) if values else None
    if entry is not None:
        write_bytes(path, content)
    if entry != artefact.decided:
        update_lock(root / LOCK, lambda lock: lock.with_decided(artefact.key, entry))
    if entry is None:
        path.unlink(missing_ok=True)


class KeptVectors(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of vectors of one model under one method: its path in the project, and what it holds."""

    folder: str
    texts: int
    bytes: int
    segments: int


def kept_vectors(root: Path) -> list[KeptVectors]:
    """All folders of vectors, by path. Texts that several segments have count more than once until they are merged."""
    folders = []
    for folder in _folders(root):
        segments = [segment for path in sorted(folder.glob(f"*{SUFFIX}")) if (segment := _opened(path))]
        size, texts = sum(map(size_of, folder.iterdir())), sum(segment.texts for segment in segments)
        path = folder.relative_to(root).as_posix()
        folders.append(KeptVectors(folder=path, texts=texts, bytes=size, segments=len(segments)))
    return folders


def prune(project: Project, *, write: bool) -> dict[str, int]:
    """What no run of the project uses, each with its bytes: folders, and files of earlier versions. `write` removes it."""
    used, unused = _used(project.params, project.lock), dict[Path, int]()
    for folder in _folders(project.root):
        if folder.name.startswith(used):
            unused |= {path: size_of(path) for path in sorted(folder.iterdir()) if path.suffix in (".parquet", ".npy")}
        else:
            unused[folder] = sum(map(size_of, folder.iterdir()))
    for path in unused if write else ():
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return {path.relative_to(project.root).as_posix(): size for path, size in unused.items()}


def check_kept(root: Path, report: Reporter) -> list[Finding]:
    """What is wrong with kept vectors: every byte is read. Damaged ones are not used; `generate` computes them again."""
    paths, findings = [path for folder in _folders(root) for path in sorted(folder.glob(f"*{SUFFIX}"))], []
    with report.task("check vectors", sum(map(size_of, paths)), "bytes") as advance:
        for path in paths:
            segment, size = _opened(path), size_of(path)
            if path.exists() and (segment is None or not segment.is_whole()):
                code, name = "malformed" if segment is None else "mismatch", path.relative_to(root).as_posix()
                findings.append(Finding(code, name, "kept vectors are damaged; delete the file: they are made again"))
            advance(size)
    return findings


def _opened(path: Path) -> Segment | None:
    """A segment, if it is one and still there."""
    try:
        return Segment(path)
    except (Damaged, FileNotFoundError):
        return None


def _folders(root: Path) -> Iterator[Path]:
    """The folders with vectors, those that are still unchecked among them."""
    within = root / CACHE / "vectors"
    yield from sorted({path.parent for path in within.rglob("*") if path.is_file()} - {within})


def _used(params: Params, lock: Lock) -> tuple[str, ...]:
    """What names of folders that runs use begin with: in float32, where batches matter too, less than the whole name."""
    runs = [params.run, *params.runs.values()]
    used, canonical = set[str](), params.precision == "canonical"
    for name in {named.model for run in runs for named in (*run.pairs.values(), *run.vectors.values())}:
        entry, pin = params.models[name], lock.models.get(name)
        if entry.kind != "given" and pin is not None:
            model = ModelInUse(name, entry, pin, params.precision, Path(), Path(), (entry.dimension,))
            folder = cache_folder(model, entry.dimension, Settings()).name
            used.add(folder if canonical else f"{folder.rpartition('-')[0]}-")
    return tuple(used)
