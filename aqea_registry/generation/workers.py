"""What computes vectors for the verb encode: a worker, and the engines that have workers (this process; Ray's, on a cluster).

A worker fetches the pinned model itself and checks it by digest, in a folder of its own machine. All that it needs comes with
its job, and all that it found goes back through the engine: no disk is shared. An error is an answer, too, and names it.
"""

import logging
import math
import os
import re
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from aqea_registry.base.extras import require
from aqea_registry.base.files import locked, user_cache, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, NotAllowed, Refused, RegistryError
from aqea_registry.base.progress import Silent, plural
from aqea_registry.embedding.encoder import Encoder, Settings
from aqea_registry.embedding.vector_cache import libraries
from aqea_registry.generation.inputs import MADE, ModelInUse, in_order, kept_record, load_encoder, on_grid, pinned_files, record
from aqea_registry.project.artefact import CatalogueEntry
from aqea_registry.vectors.margin import KNOWN, EncodingRecord, reach
from aqea_registry.vectors.pair_set import Micro, NearValues
from aqea_registry.vectors.vector_set import Keys, keys_of

NODE = 8  # characters of a node's id in a worker's name
CONNECT = 5.0  # seconds until a cluster's address must answer
AHEAD = 2  # batches that a worker has at most: one that it computes, and the next one
TRIES = 3  # in a row in which all workers die before anything arrives from one
SOON = 30.0  # seconds in which a worker starts where there is room
PATIENCE = 1800.0  # seconds in which a worker must have started where there is none


class Job(NamedTuple):
    """What a worker needs to know of a model: its catalogue entry, whose root is where files go, and how this run uses it.

    It measures its spread on the `sample`, unless it is known `before`. Its libraries must be the run's.
    """

    model: CatalogueEntry
    in_use: ModelInUse
    settings: Settings
    sample: Sequence[str]
    before: EncodingRecord | None
    libraries: Sequence[str]


class Batch(NamedTuple):
    """Texts to encode. Those that a worker `had` before another one is to encode again."""

    number: int
    texts: Sequence[str]
    had: str = ""


Awaited = dict[Any, tuple[Any, Batch | None]]  # what is awaited, by reference: an actor's answer to a batch, or else its name


class Done(NamedTuple):
    """The answer to a batch: vectors by dimension in the order of `keys`, and all values of them `known` so near to a boundary.

    The worker's own record has its spread, and `seconds` is how long the batch took.
    """

    worker: str
    batch: int
    keys: Keys
    rows: dict[int, tuple[Micro, NearValues]]
    known: float
    made: EncodingRecord
    seconds: float


class Worker:
    """Encodes batches under the model of its job, which it loads when the first one comes.

    A machine whose arrangements differ by more than makes `doubtful` values computes wrongly, and is refused.
    """

    doubtful = math.inf  # of this process's own machine, `generate` thinks the same

    def __init__(self, job: Job, name: str = "") -> None:
        self._job, self._name = job, name or socket.gethostname()
        self._loaded: tuple[ModelInUse, Encoder, EncodingRecord] | None = None

    def compute(self, batch: Batch) -> Done:
        """Encode texts. Raises RegistryError, and whatever a library does."""
        model, encoder, made = self._loaded = self._loaded or self._load()
        started, known = time.monotonic(), max(KNOWN, 2 * reach(made.spread))
        by_size = on_grid(model, batch.texts, in_order(encoder.encode(batch.texts)))
        rows = {size: (rows.micro, rows.near(known)) for size, rows in by_size.items()}
        return Done(self._name, batch.number, keys_of(batch.texts), rows, known, made, time.monotonic() - started)

    def answer(self, batch: Batch) -> Done | RegistryError:
        """The same, with an error that names this worker as an answer: an engine would show pages, or try it for ever."""
        try:
            return self.compute(batch)
        except Exception as error:
            kind = next((kind for kind in (Refused, NotAllowed) if isinstance(error, kind)), CannotCheck)
            answer = kind(f"{self._name}: {error.message if isinstance(error, RegistryError) else _reason(error)}")
            answer.hint, answer.findings = getattr(error, "hint", None), getattr(error, "findings", ())
            return answer

    def _load(self) -> tuple[ModelInUse, Encoder, EncodingRecord]:
        """The model, and how far two arrangements differ here: measured once on a machine."""
        job = self._job
        if differ := {*libraries()} ^ {*job.libraries}:
            raise CannotCheck(f"its libraries are not those of this run: {', '.join(sorted(differ))}", "install the same ones")
        job.model.root.mkdir(parents=True, exist_ok=True)
        with locked(job.model.root):  # another worker of this machine may be fetching it
            _, folder = pinned_files(job.model, Silent(), False)
        model, kept = job.in_use._replace(folder=folder), folder.with_name(f"{folder.name}-{MADE}")
        encoder = load_encoder(model, job.settings)
        made = record(model, encoder, job.settings, job.sample, kept_record(kept) or job.before)
        if made.spread is not None and reach(made.spread) > self.doubtful:
            message = f"the same sums in another order differ by {made.spread.value:.1e} here, which no rounding makes"
            raise CannotCheck(message, "look at this machine, or run the same command without it")
        write_bytes(kept, msgspec.json.encode(made))
        return model, encoder, made


def _reason(error: BaseException) -> str:
    """The kind of an error and its first line: libraries write pages."""
    return f"{type(error).__name__}: {next(filter(None, map(str.strip, str(error).splitlines())), 'no reason given')}"


class ThisMachine:
    """One worker in this process. What it gives is what `generate` would compute here, and is not computed again."""

    workers, checked, batch = 1, False, 1

    def run(self, job: Job, batches: Iterable[Batch]) -> Iterator[Done]:
        """Encode batch after batch."""
        return map(Worker(job).compute, batches)


class _RayWorker(Worker):
    """A worker in an actor of Ray. Files go into the user's cache on its machine; a directory may be shared."""

    doubtful = KNOWN  # a larger spread would excuse whatever it gives as a value at a boundary

    def __init__(self, job: Job) -> None:
        import ray

        there = f"directory:{job.model.root}/"
        sources = [re.sub(r"^directory:(?![~/])", lambda _: there, spec) for spec in job.model.sources]
        model = job.model._replace(root=user_cache(), sources=sources)
        node = ray.get_runtime_context().get_node_id()[:NODE]
        super().__init__(job._replace(model=model), f"{socket.gethostname()}-{node}-{os.getpid()}")

    def named(self) -> str:
        """Its name, as soon as it has started."""
        return self._name


class Cluster:
    """Workers in actors of Ray, which starts them where there is room. Each keeps its model as long as the job is the same.

    A `batch` is of so many times more texts for graphics cards.
    """

    checked = True

    def __init__(self, workers: int | None, gpus: float, processors: int) -> None:
        """Look at the cluster that this process is connected to. Raises BadConfiguration if it is too small."""
        self._processors, self._gpus = processors, gpus
        self._job: Job | None = None
        self._names: dict[Any, str] = {}  # of its actors; none of those that have not started yet
        fit = sum(self._room().values())
        self.workers, self.batch = workers or fit, 16 if gpus else 1
        if not 0 < self.workers <= fit:
            each = f"{plural(processors, 'processor')}{f' and {gpus:g} graphics cards' * bool(gpus)} each"
            message = f"the cluster has room for {plural(fit, 'worker')} with {each}, not for {self.workers or 1}"
            raise BadConfiguration(message, "ask for fewer with --workers, or add nodes; to see them: ray status")

    def run(self, job: Job, batches: Iterable[Batch]) -> Iterator[Done]:
        """Encode batches, in any order. What a worker had when it died comes again when all others are done."""
        waiting = iter(batches)
        for first in waiting:  # without any, nothing starts
            if self._job is not job:
                self._job = job
                for actor in [*self._names]:
                    self._end(actor)
                for _ in range(self.workers):
                    self._start()
            yield from self._answers(chain([first], waiting))

    def _answers(self, waiting: Iterator[Batch]) -> Iterator[Done]:
        import ray

        awaited: Awaited = {}
        left, deaths = deque[Batch](), 0
        while self._ask(awaited, waiting, left):
            busy = any(batch for _, batch in awaited.values())
            idle = next((actor for actor, name in self._names.items() if name), None)
            ready = ray.wait([*awaited], timeout=None if busy else SOON if idle else PATIENCE)[0] if awaited else []
            if not ready and idle:  # it had what is left, and another one has no room, or there is none
                self._end(idle)
                self._start(self._others(left[0].had).values())
                continue
            if not ready:
                raise CannotCheck(f"the cluster had no room for a worker in {PATIENCE / 60:.0f} minutes", "see: ray status")
            actor, batch = awaited[ready[0]]
            try:
                answer = ray.get(ready[0])
            except ray.exceptions.RayError as error:
                first, *others = [reference for reference, (holder, _) in awaited.items() if holder == actor]
                left.extendleft(batch for _, batch in map(awaited.pop, others) if batch)
                left.extend(batch for _, batch in [awaited.pop(first)] if batch)  # of which it may have died
                if actor in self._names:  # else it was replaced before
                    self._end(actor)
                    self._start()
                    deaths += 1
                if deaths >= TRIES * max(1, min(self.workers, len(left) + len(awaited))):
                    message = f"batches are left, and every worker that had one died: {_reason(error)}"
                    raise CannotCheck(message, "Ray says why in its logs: often a machine has too little memory") from error
                continue
            del awaited[ready[0]]
            if batch is None:
                self._names[actor] = answer
            elif isinstance(answer, RegistryError):
                raise answer
            else:
                deaths = 0
                yield answer

    def _ask(self, awaited: Awaited, waiting: Iterator[Batch], left: deque[Batch]) -> bool:
        """Have each worker some batches ahead, those that are left when no others wait. Whether an answer is to come."""
        asked = Counter(actor for actor, _ in awaited.values())
        for actor, name in self._names.items():
            if not name and not asked[actor]:
                awaited[actor.named.remote()] = actor, None
            while name and asked[actor] < AHEAD and (batch := self._next(name, waiting, left)):
                awaited[actor.answer.remote(batch)] = actor, batch
                asked[actor] += 1
        return bool(left) or not any(self._names.values()) or any(batch for _, batch in awaited.values())

    def _next(self, name: str, waiting: Iterator[Batch], left: deque[Batch]) -> Batch | None:
        """The next batch that this worker may have."""
        for batch in waiting:
            if self._may(name, batch.had):
                return batch
            left.append(batch)
        next_batch = next((batch for batch in left if self._may(name, batch.had)), None)
        if next_batch:
            left.remove(next_batch)
        return next_batch

    def _may(self, name: str, had: str) -> bool:
        """Whether a worker is another one than the one that had a batch before, and on another node, if any has room."""
        others = self._others(had) if had else []
        return _node(name) in others if others else name != had

    def _others(self, had: str) -> dict[str, str]:
        """The nodes beside that of a worker, by what workers' names have of them."""
        return {node[:NODE]: node for node in self._room() if node[:NODE] != _node(had)}

    def _room(self) -> dict[str, int]:
        """How many workers fit on each node, where any does."""
        import ray

        room = {}
        for node in ray.nodes():
            has = node["Resources"]
            cards = has.get("GPU", 0) // self._gpus if self._gpus else math.inf
            if node["Alive"] and (count := min(has.get("CPU", 0) // self._processors, cards)):
                room[node["NodeID"]] = int(count)
        return room

    def _start(self, nodes: Iterable[str] = ()) -> None:
        """Start a worker: on the first of these nodes, or anywhere."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        strategy = next((NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes), "SPREAD")
        needs = {"num_cpus": self._processors, "num_gpus": self._gpus}
        # Ray would keep the place of one that died and start it again, also where a node is gone for good and there is no room.
        actor = ray.remote(_RayWorker).options(max_restarts=0, scheduling_strategy=strategy, **needs).remote(self._job)
        self._names[actor] = ""

    def _end(self, actor: Any) -> None:
        import ray

        del self._names[actor]
        ray.kill(actor)


def _node(name: str) -> str:
    """What a worker's name has of its node."""
    return name.split("-")[-2]


@contextmanager
def open_cluster(address: str | None, workers: int | None, gpus: float, threads: int | None) -> Iterator[Cluster]:
    """Ray's cluster at an address; without one, that of RAY_ADDRESS, else one on this machine while the context lives.

    Raises CannotCheck, also where it gives up later, and BadConfiguration.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    require("a cluster")
    import ray

    address = address or os.environ.get("RAY_ADDRESS") or "local"
    try:
        if address not in ("local", "auto"):  # Ray would try for a minute
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), CONNECT).close()
        own = {"include_dashboard": False} if address == "local" else {}
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **own)
    except Exception as error:
        message = f"no cluster of Ray answers at {address}: {_reason(error)}"
        raise CannotCheck(message, "name the HOST:PORT that `ray start --head` printed, on a machine of the cluster") from error
    with redirect_stdout(sys.stderr):  # where Ray prints that a worker died, until its end
        try:
            yield Cluster(workers, gpus, threads or 1)
        except ray.exceptions.RayError as error:
            message = f"the cluster at {address} gave up: {_reason(error)}"
            raise CannotCheck(message, "what arrived is kept: look at `ray status`, then run the same command again") from error
        finally:
            ray.shutdown()
