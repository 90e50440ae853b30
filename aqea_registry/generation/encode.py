"""The verb encode: vectors of all texts of a run, by this machine or a cluster, into the cache, where `generate` finds them.

What a worker of a cluster gives stands apart, in a folder of its own beside the cache, until a sample of it was computed again
by another one and agreed; then its segments are moved into the cache. So nothing of a worker that is wrong is ever used, not
after a killed run either. Texts wait in a database on disk, so that memory does not grow with their number.
"""

import random
import shutil
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain, islice

import msgspec
import numpy as np

from aqea_registry.base.files import Advance
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused, suggestion
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.embedding.encoder import Settings
from aqea_registry.embedding.vector_cache import VectorCache, libraries
from aqea_registry.generation.encoding import CHECKPOINT, SAMPLE, SEGMENT, Vectors, duration, model_in_use
from aqea_registry.generation.generate import as_seen
from aqea_registry.generation.inputs import pinned_rows
from aqea_registry.generation.mteb_model import AllTexts
from aqea_registry.generation.vector_sets import opened_task, score
from aqea_registry.generation.workers import Batch, Cluster, Computed, Done, Job, ThisMachine
from aqea_registry.project.artefact import Artefact, CatalogueEntry, RunArtefact, VectorSetArtefact
from aqea_registry.project.lock import require_pin
from aqea_registry.project.project import CACHE, Project
from aqea_registry.sources.fetch import pinned_folder
from aqea_registry.vectors.decided import at_boundary
from aqea_registry.vectors.margin import Spread, reach
from aqea_registry.vectors.pair_set import Malformed, Micro, NearValues
from aqea_registry.vectors.vector_set import key_of, keys_of

UNCHECKED = "unchecked"  # the folder of what a cluster gave, beside the segments
LEAST, MOST = 4096, 32768  # characters of a batch: seconds of a processor, so that little is lost with a worker
WORK = 3e12  # characters x bytes of weights of a batch, within these limits
TEXTS = 1024  # of a batch at most
WAVE = 2**28  # characters that the engine holds at a time
CHECKED = 64  # texts of a worker that are computed again


class EncodedModel(msgspec.Struct, frozen=True, kw_only=True):
    """What was done for a model: how many texts its run has, and how many were encoded now, by which workers.

    Of each worker in `checked` a sample was computed again by the one beside it. The `spread` is the largest of all.
    """

    name: str
    texts: int
    encoded: int
    workers: tuple[str, ...]
    checked: dict[str, str]
    spread: Spread | None


def encode(
    project: Project, names: Sequence[str], engine: ThisMachine | Cluster, settings: Settings, report: Reporter, seed: int
) -> list[EncodedModel]:
    """Have the vectors of all texts of the run under these models, or all, in the cache. Raises RegistryError.

    `seed` chooses what is computed again.
    """
    project.params.check_versions("vectors")
    run = [artefact for artefact in project.run.made.values() if artefact.precision != "given"]
    models = list(dict.fromkeys(artefact.model for artefact in run))
    if unknown := [name for name in names if name not in models]:
        message = f"the run encodes nothing under {unknown[0]!r}; its models are {', '.join(models) or 'none'}"
        raise BadConfiguration(message, suggestion(unknown[0], models))
    if any(artefact.precision == "float32" for artefact in run):
        message = "params.yaml: in float32 vectors depend on the machine and the batch, so only generate makes them"
        raise BadConfiguration(message, "set precision: canonical")
    for artefact in run:
        artefact.required_pins()
    done = []
    try:
        for name in dict.fromkeys(names or models):
            with closing(_Texts()) as texts:
                work = _Work(project.catalogue[name], run, engine, settings, report, texts)
                for artefact in run:
                    if artefact.model == name:
                        _ask(artefact, project.catalogue[artefact.dataset], work.ask, report)
                done.append(work.encode(random.Random(f"{seed} {name}")))  # noqa: S311 - to be drawn again
    except sqlite3.Error as error:
        raise CannotCheck(f"the temporary folder cannot take the texts: {error}", "set SQLITE_TMPDIR to another one") from error
    return done


def _ask(artefact: Artefact, dataset: CatalogueEntry, ask: Callable[[Sequence[str]], Micro], report: Reporter) -> None:
    """Give all texts of an artefact to `ask`, as the model sees them."""
    if isinstance(artefact, RunArtefact):
        for texts in as_seen(artefact, pinned_rows(dataset, report)):
            ask(texts)
    elif isinstance(artefact, VectorSetArtefact):
        with opened_task(dataset, report) as task:
            score(task, artefact, ask, AllTexts)


class _Texts:
    """The distinct texts of a run, in a database on disk that goes with the process; of those that are kept the key alone."""

    def __init__(self) -> None:
        self._base = sqlite3.connect("")
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute("CREATE TABLE texts (key BLOB PRIMARY KEY, size INTEGER, text TEXT)")
        self.close = self._base.close

    def add(self, texts: Iterable[str], *, kept: bool) -> None:
        rows = ((key_of(text), len(text), None if kept else text) for text in texts)
        self._base.executemany("INSERT OR IGNORE INTO texts VALUES (?, ?, ?)", rows)

    def count(self) -> tuple[int, int, int]:
        """How many there are, how many are to be encoded, and the characters of these."""
        found = self._base.execute("SELECT count(*), count(text), coalesce(sum(length(text)), 0) FROM texts")
        counts: tuple[int, int, int] = found.fetchone()
        return counts

    def longest_first(self) -> Iterator[str]:
        return (text for (text,) in self._base.execute("SELECT text FROM texts WHERE text NOT NULL ORDER BY size DESC, key"))

    def sample(self, count: int) -> list[str]:
        """Some texts, of all lengths."""
        keys = self._base.execute("SELECT key FROM texts WHERE text NOT NULL ORDER BY size, key")
        some = islice(keys, 0, None, -(-count // SAMPLE) or 1)
        return [self._base.execute("SELECT text FROM texts WHERE key = ?", key).fetchone()[0] for key in [*some]]


class _Work:
    """What is done for one model: its texts, the vectors that are kept, and unchecked ones by worker and dimension."""

    def __init__(
        self,
        model: CatalogueEntry,
        run: Sequence[Artefact],
        engine: ThisMachine | Cluster,
        settings: Settings,
        report: Reporter,
        texts: _Texts,
    ) -> None:
        pin = require_pin(model.name, model.entry, model.pin)
        self._in_use = model_in_use(model, run, pin, pinned_folder(pin, model.root / CACHE / "pinned"), model.root)
        self._model, self._engine, self._settings, self._report, self._texts = model, engine, settings, report, texts
        self._label, self._dimension = f"encode {model.name}", self._in_use.entry.dimension
        self._vectors = Vectors(self._in_use, settings, report, label=self._label, fresh=False)
        self._unchecked: dict[str, dict[int, VectorCache]] = {}
        self._samples, self._batches = dict[str, Sequence[str]](), Counter[str]()
        for folder in self._vectors.folders[self._dimension].glob(f"{UNCHECKED}/*"):
            self._open(folder.name)

    def ask(self, texts: Sequence[str]) -> Micro:
        """Take texts that the model is asked for, and give back something that a task can compute with."""
        left = self._vectors.missing(texts)
        for worker, caches in self._unchecked.items():  # of an earlier run
            before, left = left, caches[self._dimension].missing(left)
            self._samples[worker] = self._samples.get(worker) or sorted({*before} - {*left})[:CHECKED]
        self._texts.add(left, kept=False)
        self._texts.add(texts, kept=True)
        return np.frombuffer(keys_of(texts).tobytes(), np.uint8).reshape(-1, 32)[:, :8].astype(np.int32) + 1

    def encode(self, chance: random.Random) -> EncodedModel:
        """Encode what is missing, the longest first, and have it checked."""
        every, missing, characters = self._texts.count()
        sample, weights = self._texts.sample(missing), sum(file.size for file in self._in_use.pin.files.values())
        size = int(min(max(WORK / weights, LEAST), MOST)) * self._engine.batch
        job = Job(
            self._model._replace(root=self._model.root.absolute()),
            self._in_use,
            self._settings,
            sample,
            self._vectors.made,
            libraries(),
        )
        batches = _batches(
            (text for text in self._texts.longest_first() if text not in sample),
            min(size, characters // (4 * self._engine.workers)),
            TEXTS * self._engine.batch,
        )
        numbered, checked = enumerate(chain([sample] * bool(sample), batches)), dict[str, str]()

        def foretell(seconds: float) -> None:
            took = duration(seconds * characters / sum(map(len, sample)) / self._engine.workers)
            workers = plural(self._engine.workers, "worker")
            self._report.note(f"{self._label}: {plural(missing, 'sentence', form=',')}, about {took} on {workers}")

        with self._report.task(self._label, missing, "sentences") as advance:
            while (wave := {at: Batch(at, texts) for at, texts in islice(numbered, max(1, WAVE // size))}) or self._unchecked:
                if wave:
                    self._take(wave, self._engine.run(job, [*wave.values()]), chance, foretell, advance)
                checked |= self._check(job)
        return EncodedModel(
            name=self._model.name,
            texts=every,
            encoded=missing,
            workers=tuple(self._batches),
            checked=checked,
            spread=self._vectors.spread,
        )

    def _take(
        self,
        wave: Mapping[int, Batch],
        dones: Iterable[Done],
        chance: random.Random,
        foretell: Callable[[float], None],
        advance: Advance,
    ) -> None:
        """Keep what arrives, some thousand texts or some seconds together, and draw a batch of each worker."""
        waiting, count = defaultdict[str, list[Computed]](list), 0
        since = before = time.monotonic()
        try:
            for done in dones:
                for remark in done.remarks:
                    self._report.warn(f"{done.worker}: {remark}")
                found, texts, now = done.result(), wave[done.number].texts, time.monotonic()
                if not np.array_equal(found.keys, keys_of(texts)):
                    raise self._wrong("it gave vectors of other texts than it was asked for", done.worker)
                if done.number == 0:
                    foretell(found.seconds)
                self._batches[done.worker] += 1
                if chance.randrange(self._batches[done.worker]) == 0:
                    self._samples[done.worker] = texts[:CHECKED]
                waiting[done.worker].append(found)
                advance(len(texts))
                count += len(texts)
                if count >= SEGMENT or 2 * now - since - before >= CHECKPOINT:  # the next may take as long as this one
                    self._keep(waiting)
                    count, since = 0, now
                before = now
        finally:
            self._keep(waiting)

    def _keep(self, waiting: dict[str, list[Computed]]) -> None:
        """Write what arrived of each worker: into the cache, or where it stands unchecked."""
        while waiting:
            worker, parts = waiting.popitem()
            made = max((part.made for part in parts), key=lambda made: reach(made.spread))
            if self._vectors.made is None or reach(made.spread) > reach(self._vectors.spread):
                self._vectors.note(made)
            if self._engine.checked and worker not in self._unchecked:
                self._open(worker)
            caches = self._unchecked[worker] if self._engine.checked else self._vectors.caches
            keys, known = np.concatenate([part.keys for part in parts]), min(part.reach for part in parts)
            try:
                for size, cache in caches.items():
                    cache.add_rows(keys, *_joined([part.rows[size] for part in parts]), known)
            except Malformed as error:
                raise self._wrong(f"it gave what is not a canonical vector: {error}", worker) from error

    def _open(self, worker: str) -> None:
        """Use what is unchecked of a worker."""
        within, folders = reach(self._vectors.spread), self._vectors.folders.items()
        self._unchecked[worker] = {size: VectorCache(folder / UNCHECKED / worker, size, within) for size, folder in folders}

    def _check(self, job: Job) -> dict[str, str]:
        """Have a sample of each worker computed again; what agrees is kept. The workers, with those that did it."""
        checked = {}
        batches = [
            Batch(at, self._samples[worker], worker) for at, worker in enumerate(self._unchecked) if self._samples[worker]
        ]
        for batch, done in zip(batches, self._engine.again(job, batches), strict=True):
            found = done.result()
            for size, cache in self._unchecked[batch.worker].items():
                if not _agree(cache, found, size, reach(self._vectors.spread)):
                    node = done.worker.rpartition("-")[0]
                    others = [worker for worker in self._unchecked if worker.rpartition("-")[0] == node]
                    message = f"computed again on {done.worker}, vectors of {batch.worker} are others, beyond any rounding"
                    raise self._wrong(message, batch.worker, *others)
            self._close(batch.worker, keep=True)
            checked[batch.worker] = done.worker
        for worker in [*self._unchecked]:  # of texts that the run does not have any more
            self._close(worker, keep=False)
        return checked

    def _close(self, worker: str, *, keep: bool) -> None:
        """Move what a worker gave into the cache, or forget it."""
        for folder in self._vectors.folders.values():
            for segment in (folder / UNCHECKED / worker).glob("*.parquet") if keep else ():
                segment.rename(folder / segment.name)
            shutil.rmtree(folder / UNCHECKED / worker, ignore_errors=True)
        self._unchecked.pop(worker, None)

    def _wrong(self, message: str, *workers: str) -> Refused:
        """Forget what these workers gave. The error that says so."""
        for worker in workers:
            self._close(worker, keep=False)
        hint = (
            "nothing of these workers was kept: look at their machines, then run the same command again without the wrong one"
        )
        return Refused.of("mismatch", f"{self._model.name}: {workers[0]}", message, hint=hint)


def _batches(texts: Iterable[str], characters: int, most: int) -> Iterator[list[str]]:
    """The texts in lists of about so many characters, and not more texts than `most`."""
    batch, size = list[str](), 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= characters or len(batch) >= most:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _joined(parts: Sequence[tuple[Micro, NearValues]]) -> tuple[Micro, NearValues]:
    """Vectors of several batches as those of one."""
    starts = np.cumsum([0, *(len(micro) for micro, _ in parts)])
    rows = np.concatenate([near[0] + start for (_, near), start in zip(parts, starts, strict=False)])
    components, distances = (np.concatenate([near[which] for _, near in parts]) for which in (1, 2))
    return np.concatenate([micro for micro, _ in parts]), (rows, components, distances)


def _agree(cache: VectorCache, found: Computed, size: int, within: float) -> bool:
    """Whether vectors that were computed again are the kept ones, but for values near enough to a boundary to be decided."""
    kept, again = np.concatenate([block for _, block in cache.rows(found.keys)]), found.rows[size][0]
    near = {(text, value.component): value.distance for text, value in cache.near(found.keys) if abs(value.distance) < within}
    return all(
        at_boundary(int(kept[row, at]), int(again[row, at]), near.get((found.keys[row : row + 1].tobytes().hex(), at)))
        for row, at in np.argwhere(kept != again).tolist()
    )
