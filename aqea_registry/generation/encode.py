"""The verb encode: vectors of all texts of a run, by this machine or a cluster, into the cache, where `generate` finds them.

What a worker of a cluster gives stands apart, in a folder of its own beside the cache, until a sample of it was computed again
by another one and agreed; then its segments are moved into the cache. So nothing of a worker that is wrong is ever used, not
after a killed run either. Texts wait in a database on disk, so that memory does not grow with their number.
"""

import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress

import msgspec
import numpy as np

from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.embedding.encoder import Settings
from aqea_registry.embedding.vector_cache import SUFFIX, libraries
from aqea_registry.generation.encoding import Vectors, duration, gathered
from aqea_registry.generation.generate import as_seen
from aqea_registry.generation.inputs import SAMPLE, model_in_use, pinned_rows
from aqea_registry.generation.mteb_scores import AllTexts
from aqea_registry.generation.vector_sets import opened_task, score
from aqea_registry.generation.workers import Batch, Cluster, Done, Job, ThisMachine
from aqea_registry.project.artefact import AnyArtefact, CatalogueEntry, PairSetArtefact
from aqea_registry.project.lock import require_pin
from aqea_registry.project.project import Project
from aqea_registry.sources.fetch import pinned_folder
from aqea_registry.vectors.margin import EncodingRecord, Spread, at_boundary, reach
from aqea_registry.vectors.pair_set import Malformed, Micro
from aqea_registry.vectors.vector_set import key_of, keys_of

UNCHECKED = "unchecked"  # the folder of what a cluster gave, beside those of the models
LEAST, MOST, WORK = 4096, 32768, 3e12  # characters of a batch, and times bytes of weights: seconds, which a dead worker loses
TEXTS = 1024  # of a batch at most
WAVE = 128  # batches for each worker, after which what they gave is checked
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
    run = [artefact for artefact in project.run.made.values() if artefact.precision == "canonical"]
    models, done = dict.fromkeys(artefact.model for artefact in run), []
    if wrong := sorted({*names} - {*models}) if models else ["any model"]:
        message = f"the run makes no canonical vectors under {wrong[0]}; it does under {', '.join(models) or 'none'}"
        raise BadConfiguration(message, "name one of these; float32 vectors are made by generate, and given ones by nobody")
    try:
        for name in dict.fromkeys(names or models):
            with closing(sqlite3.connect("")) as texts:  # on disk, and gone with the process
                work = _Work(project.catalogue[name], run, engine, settings, report, texts)
                for artefact in run:
                    if artefact.model == name:
                        work.ask(artefact, project.catalogue[artefact.dataset])
                done.append(work.encode(random.Random(f"{seed} {name}")))  # noqa: S311 - to be drawn again
    except sqlite3.Error as error:
        raise CannotCheck(f"the temporary folder cannot take the texts: {error}", "set SQLITE_TMPDIR to another one") from error
    return done


class _Work:
    """What is done for one model: its texts, the vectors that are kept, and by worker those that are unchecked."""

    def __init__(
        self,
        model: CatalogueEntry,
        run: Sequence[AnyArtefact],
        engine: ThisMachine | Cluster,
        settings: Settings,
        report: Reporter,
        texts: sqlite3.Connection,
    ) -> None:
        pin, self._label = require_pin(model.name, model.entry, model.pin), f"encode {model.name}"
        self._in_use = model_in_use(model, run, pin, pinned_folder(pin, model.root), model.root)
        self._model, self._engine, self._settings, self._report, self._texts = model, engine, settings, report, texts
        self._texts.execute("CREATE TABLE texts (key BLOB PRIMARY KEY, text TEXT)")  # of kept ones the key alone
        self._vectors = Vectors(self._in_use, settings, report, label=self._label, fresh=False)
        self._unchecked, self._samples = dict[str, Vectors](), dict[str, Sequence[str]]()
        for folder in (self._in_use.cache / UNCHECKED).glob("*"):
            self._of(folder.name)

    def _of(self, worker: str) -> Vectors:
        """What is unchecked of a worker."""
        if worker not in self._unchecked:
            apart = self._in_use._replace(cache=self._in_use.cache / UNCHECKED / worker)
            self._unchecked[worker] = Vectors(apart, self._settings, self._report, label=self._label, fresh=False)
        return self._unchecked[worker]

    def ask(self, artefact: AnyArtefact, dataset: CatalogueEntry) -> None:
        """Take all texts of an artefact, as the model sees them."""
        if isinstance(artefact, PairSetArtefact):
            for texts in as_seen(artefact, pinned_rows(dataset, self._report)):
                self._ask(texts)
        else:
            with opened_task(dataset, self._report) as task:
                score(task, artefact, self._ask, AllTexts)

    def _ask(self, texts: Sequence[str]) -> Micro:
        """Take texts, and give back something like vectors, which a task computes with."""
        left, keys = self._vectors.missing(texts), keys_of(texts)
        for worker, vectors in self._unchecked.items():  # of an earlier run
            before, left = left, vectors.missing(left)
            self._samples[worker] = self._samples.get(worker) or sorted({*before} - {*left})[:CHECKED]
        self._texts.executemany("INSERT OR IGNORE INTO texts VALUES (?, ?)", ((key_of(text), text) for text in left))
        self._texts.executemany("INSERT OR IGNORE INTO texts VALUES (?, NULL)", ((key,) for key in keys.view("V32").tolist()))
        return np.frombuffer(keys.tobytes(), np.uint8).reshape(-1, 32)[:, :8].astype(np.int32) + 1

    def encode(self, chance: random.Random) -> EncodedModel:
        """Encode what is missing, the longest first, and have it checked, wave by wave and at the end."""
        counts = "SELECT count(*), count(text), coalesce(sum(length(text)), 0) FROM texts"
        ((every, missing, characters),) = self._texts.execute(counts)
        found = self._texts.execute("SELECT text FROM texts WHERE text NOT NULL ORDER BY key LIMIT ?", (SAMPLE,))
        root, sample = self._model.root.absolute(), [text for (text,) in found]
        job = Job(self._model._replace(root=root), self._in_use, self._settings, sample, self._vectors.made, libraries())
        workers, checked, out = Counter[str](), dict[str, str](), dict[int, Sequence[str]]()

        def batches() -> Iterator[Batch]:
            for number, texts in enumerate(self._batches(sample, characters)):
                out[number] = texts
                yield Batch(number, texts)

        def seen(answers: Iterable[Done]) -> Iterator[Done]:
            for done in answers:
                if not np.array_equal(done.keys, keys_of(texts := out.pop(done.batch))):
                    raise self._wrong("it gave vectors of other texts than it was asked for", done.worker)
                if done.batch == 0:
                    took = done.seconds * characters / sum(map(len, sample)) / self._engine.workers
                    by = f"about {duration(took)} on {plural(self._engine.workers, 'worker')}"
                    self._report.note(f"{self._label}: {plural(missing, 'sentence', form=',')}, {by}")
                workers[done.worker] += 1
                if done.worker not in self._samples or chance.randrange(workers[done.worker]) == 0:
                    self._samples[done.worker] = texts[:CHECKED]
                advance(len(texts))
                yield done

        wave = WAVE * self._engine.workers
        with self._report.task(self._label, missing, "sentences") as advance:
            for answers in gathered(seen(self._engine.run(job, batches())), lambda done: len(done.keys)):
                self._write(answers)
                if workers.total() >= wave:
                    wave += WAVE * self._engine.workers
                    checked |= self._check(job)
            checked |= self._check(job)
        name, spread = self._model.name, self._vectors.spread
        return EncodedModel(name=name, texts=every, encoded=missing, workers=tuple(workers), checked=checked, spread=spread)

    def _batches(self, sample: list[str], characters: int) -> Iterator[list[str]]:
        """The sample, which foretells how long all take, and then the other texts, as many as are worth a batch."""
        if sample:
            yield sample
        weights = sum(file.size for file in self._in_use.pin.files.values())
        worth = min(max(WORK / weights, LEAST), MOST) * self._engine.batch
        worth, batch, size = min(worth, characters / (4 * self._engine.workers)), list[str](), 0
        some = "SELECT text FROM texts WHERE text NOT NULL AND key > ? ORDER BY length(text) DESC, key"
        for (text,) in self._texts.execute(some, (key_of(sample[-1]) if sample else b"",)):
            batch.append(text)
            size += len(text)
            if size >= worth or len(batch) >= TEXTS * self._engine.batch:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _write(self, answers: Sequence[Done]) -> None:
        """Keep what arrived: in the cache, or where it is unchecked."""
        for worker in dict.fromkeys(done.worker for done in answers):
            vectors = self._of(worker) if self._engine.checked else self._vectors
            parts = [done for done in answers if done.worker == worker]
            _note(vectors, parts[0].made)
            starts = np.cumsum([0, *(len(part.keys) for part in parts)])
            try:
                for size, cache in vectors.caches.items():
                    micro, near = zip(*(part.rows[size] for part in parts), strict=True)
                    rows = np.concatenate([found[0] + start for found, start in zip(near, starts, strict=False)])
                    components, distances = (np.concatenate([found[which] for found in near]) for which in (1, 2))
                    keys = np.concatenate([part.keys for part in parts])
                    cache.add_rows(keys, np.concatenate(micro), (rows, components, distances), parts[0].known)
            except Malformed as error:
                raise self._wrong(f"it gave what is not a canonical vector: {error}", worker) from error

    def _check(self, job: Job) -> dict[str, str]:
        """Have a sample of each worker computed again, and keep what agrees. The workers, with those that did it."""
        sampled, checked = [worker for worker in self._unchecked if self._samples.get(worker)], dict[str, str]()
        samples = [Batch(number, self._samples[worker], worker) for number, worker in enumerate(sampled)]
        for again in self._engine.run(job, samples):
            worker = sampled[again.batch]
            if not _agree(self._unchecked[worker], again):
                message = f"its vectors are others than those of {again.worker}, which computed some again, beyond any rounding"
                raise self._wrong(message, worker, again.worker)
            checked[worker] = again.worker
        for worker in [*self._unchecked]:  # all or none: two wrong ones may agree; what was not checked has no text of the run
            self._close(worker, keep=worker in checked)
        return checked

    def _close(self, worker: str, *, keep: bool) -> None:
        """Move what is unchecked of a worker into the cache, or forget it."""
        vectors, _ = self._unchecked.pop(worker), self._samples.pop(worker, None)
        if keep and vectors.made is not None:
            _note(self._vectors, vectors.made)
        for size, folder in vectors.folders.items():
            self._vectors.folders[size].mkdir(parents=True, exist_ok=True)
            for segment in folder.glob(f"*{SUFFIX}") if keep else ():
                segment.replace(self._vectors.folders[size] / segment.name)
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # of other models, or other workers, there is more
            folder.parent.rmdir()
            folder.parent.parent.rmdir()

    def _wrong(self, message: str, *workers: str) -> Refused:
        """The error for a worker that is wrong, by another. What is unchecked of their nodes is forgotten."""
        nodes = {worker.rpartition("-")[0] for worker in workers}
        for worker in [*self._unchecked]:
            if worker.rpartition("-")[0] in nodes:
                self._close(worker, keep=False)
        hint = "nothing unchecked of their nodes was kept: look at both, then run the same command without the wrong one"
        return Refused.of("mismatch", f"{self._model.name}: {workers[0]}", message, hint=hint)


def _note(vectors: Vectors, made: EncodingRecord) -> None:
    """Keep the record of the machine with the largest spread: it says which values are too near to a boundary."""
    if vectors.made is None or reach(made.spread) > reach(vectors.spread):
        vectors.note(made)


def _agree(vectors: Vectors, again: Done) -> bool:
    """Whether vectors that were computed again are the kept ones, but for values near enough to a boundary to be decided."""
    within = max(reach(vectors.spread), reach(again.made.spread))
    for size, cache in vectors.caches.items():
        kept, other = np.concatenate([block for _, block in cache.rows(again.keys)]), again.rows[size][0]
        near = {(key, value.component): value.distance for key, value in cache.near(again.keys) if abs(value.distance) < within}
        for row, at in np.argwhere(kept != other).tolist():
            key = again.keys[row : row + 1].tobytes().hex()
            if not at_boundary(int(kept[row, at]), int(other[row, at]), near.get((key, at))):
                return False
    return True
