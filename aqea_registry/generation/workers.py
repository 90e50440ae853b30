"""What computes vectors for the verb encode: a worker, and the engines that have workers (this process; Ray's, on a cluster).

A worker fetches the pinned model itself and checks it by digest, in a folder of its own machine. All that it needs comes with
its job, and all that it found goes back through the engine: no disk is shared. An error is an answer, too, and names it.
"""

import itertools
import logging
import math
import os
import pickle
import re
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from aqea_registry.base.extras import require
from aqea_registry.base.files import locked, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, NotAllowed, Refused, RegistryError
from aqea_registry.base.progress import Silent, plural
from aqea_registry.embedding.encoder import Encoder, Settings
from aqea_registry.embedding.vector_cache import libraries
from aqea_registry.generation.inputs import pinned_files
from aqea_registry.generation.loading import MADE, ModelInUse, in_order, kept_record, load_encoder, on_grid, record
from aqea_registry.project.artefact import CatalogueEntry
from aqea_registry.vectors.margin import KNOWN, EncodingRecord, reach
from aqea_registry.vectors.pair_set import Micro, NearValues
from aqea_registry.vectors.vector_set import Keys, keys_of

NODE = 8  # characters of a node's id in a worker's name
CONNECT = 5.0  # seconds until a cluster's address must answer
TRIES = 3  # in a row in which nothing arrives from a cluster before it is given up
SHARE = 0.9  # of its processors that a worker asks for: with all of them taken, what Ray itself runs waits for ever


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

    def compute(self, batch: int, texts: Sequence[str]) -> Done:
        """Encode texts. Raises RegistryError, and whatever a library does."""
        model, encoder, made = self._loaded = self._loaded or self._load()
        started, known = time.monotonic(), max(KNOWN, 2 * reach(made.spread))
        found = on_grid(model, texts, in_order(encoder.encode(texts)))
        rows = {size: (rows.micro, rows.near(known)) for size, rows in found.items()}
        return Done(self._name, batch, keys_of(texts), rows, known, made, time.monotonic() - started)

    def answer(self, batch: int, texts: Sequence[str]) -> Done | RegistryError:
        """The same, with an error that names this worker as an answer: an engine would show pages, or try it for ever."""
        try:
            return self.compute(batch, texts)
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

    def run(self, job: Job, batches: Mapping[Any, Sequence[str]]) -> Iterator[Done]:
        """Encode batch after batch."""
        return itertools.starmap(Worker(job).compute, batches.items())

    again = run


class _RayWorker(Worker):
    """A worker in an actor of Ray. Files go into the user's cache on its machine; a directory may be shared."""

    doubtful = KNOWN  # a larger spread would excuse whatever it gives as a value at a boundary

    def __init__(self, job: Job) -> None:
        import ray

        cache, there = os.environ.get("XDG_CACHE_HOME") or "~/.cache", f"directory:{job.model.root}/"
        sources = [re.sub(r"^directory:(?![~/])", lambda _: there, spec) for spec in job.model.sources]
        model = job.model._replace(root=Path(cache, "aqea-registry").expanduser(), sources=sources)
        node = ray.get_runtime_context().get_node_id()[:NODE]
        super().__init__(job._replace(model=model), f"{socket.gethostname()}-{node}-{os.getpid()}")

    def __call__(self, rows: dict[str, Any]) -> dict[str, list[bytes]]:
        """The answers to batches, as Ray Data has them: in rows of bytes."""
        return {"row": [pickle.dumps(self.answer(*pickle.loads(row))) for row in rows["row"]]}  # noqa: S301 - as Ray does


class Cluster:
    """Workers in actors of Ray Data, which schedules them, starts them again and gives their batches to others.

    A `batch` is of so many times more texts for graphics cards.
    """

    checked = True

    def __init__(self, workers: int | None, gpus: float, processors: int) -> None:
        """Look at the cluster that this process is connected to. Raises BadConfiguration if it is too small."""
        import ray

        room = {node["NodeID"]: _room(node["Resources"], processors, gpus) for node in ray.nodes() if node["Alive"]}
        self._nodes, fit = sorted(node for node in room if room[node]), sum(room.values())
        self._needs = {"num_cpus": SHARE * processors, "num_gpus": gpus}
        self.workers, self.batch = workers or fit, 16 if gpus else 1
        if not 0 < self.workers <= fit:
            each = f"{plural(processors, 'processor')}{f' and {gpus:g} graphics cards' * bool(gpus)} each"
            message = f"the cluster has room for {plural(fit, 'worker')} with {each}, not for {self.workers or 1}"
            raise BadConfiguration(message, "ask for fewer with --workers, or add nodes; to see them: ray status")

    def run(self, job: Job, batches: Mapping[int, Sequence[str]]) -> Iterator[Done]:
        """Encode numbered batches, in any order. Each is a block of its own; those that were lost with workers come again.

        Ray would keep a lost one for its own worker, also when a node is gone for good and there is no room for that.
        """
        import ray.data

        left, in_vain = dict(batches), 0
        while left:
            rows = [{"row": pickle.dumps(batch)} for batch in left.items()]
            pool = ray.data.ActorPoolStrategy(size=min(self.workers, len(rows)))
            data = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                _RayWorker, batch_size=None, fn_constructor_args=(job,), compute=pool, max_task_retries=0, **self._needs
            )
            for block in data.iter_batches(batch_size=None, prefetch_batches=1):
                for done in _sound(map(pickle.loads, block["row"])):
                    left.pop(done.batch, None)
                    yield done
            in_vain = in_vain + 1 if len(left) == len(rows) else 0
            if in_vain == TRIES:
                message = f"{plural(len(left), 'batch', 'batches')} left, and every worker that had one died"
                raise CannotCheck(message, "Ray says why above and in its logs: often a machine has too little memory")

    def again(self, job: Job, samples: Mapping[str, Sequence[str]]) -> Iterator[Done]:
        """Encode the texts of each worker on the next node, or in a new process if there is only one; in their order.

        They ask for no processors: as nodes die, two may have to share the last one, and would wait for room for ever. They are
        on that node or nowhere: on the worker's own, one that is wrong would agree with itself.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        actors, answers, needs = dict[str, Any](), [], {**self._needs, "num_cpus": 0}
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        nodes = [node for node in self._nodes if node in alive] or self._nodes
        for worker, texts in samples.items():
            node = next((node for node in nodes if node[:NODE] > worker.split("-")[-2]), nodes[0])
            if node not in actors:
                options = {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False), **needs}
                actor = ray.remote(_RayWorker).options(max_restarts=-1, max_task_retries=-1, **options)
                actors[node] = actor.remote(job)
            answers.append(actors[node].answer.remote(0, texts))
        yield from _sound(map(ray.get, answers))


def _sound(answers: Iterable[Done | RegistryError]) -> Iterator[Done]:
    for answer in answers:
        if isinstance(answer, RegistryError):
            raise answer
        yield answer


def _room(has: Mapping[str, float], processors: int, gpus: float) -> int:
    """How many workers fit on a node with these resources."""
    return int(min(has.get("CPU", 0) // processors, has.get("GPU", 0) // gpus if gpus else has.get("CPU", 0)))


@contextmanager
def open_cluster(address: str | None, workers: int | None, gpus: float, threads: int | None) -> Iterator[Cluster]:
    """Ray's cluster at an address; without one, that of RAY_ADDRESS, else one on this machine while the context lives.

    Raises CannotCheck, also where it gives up later, and BadConfiguration.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    require("a cluster")
    import ray
    import ray.data

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
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = context.print_on_execution_start = False
            context.max_errored_blocks = -1  # `run` has them computed again
            logging.getLogger("ray.data").setLevel(logging.CRITICAL)
            yield Cluster(workers, gpus, threads or 1)
        except (ray.exceptions.RayError, ray.data.exceptions.ExecutionTimeoutError) as error:
            message = f"the cluster at {address} gave up: {_reason(error)}"
            raise CannotCheck(message, "what arrived is kept: look at `ray status`, then run the same command again") from error
        finally:
            ray.shutdown()
