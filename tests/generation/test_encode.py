"""The vectors of a whole run, computed by this machine or by workers of a cluster: what `generate` then finds."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aqea_registry.base.findings import CannotCheck, Refused
from aqea_registry.base.progress import Silent
from aqea_registry.embedding.encoder import Settings
from aqea_registry.embedding.vector_cache import SUFFIX
from aqea_registry.generation.encode import UNCHECKED, EncodedModel, encode
from aqea_registry.generation.mteb_scores import AllTexts, evaluate
from aqea_registry.generation.workers import Batch, Done, Job, ThisMachine, Worker
from aqea_registry.project.project import open_project
from aqea_registry.vectors.pair_set import Micro
from aqea_registry.vectors.vector_set import keys_of
from tests.generation.test_mteb_scores import model, tasks
from tests.standins import stand_ins
from tests.task_project import RESULT, VECTORS, task_made, task_project
from tests.tools import aqea, edit_params, needed_package

needed_package("sentence_transformers")

__all__ = ["stand_ins", "task_made", "task_project"]
PAIRS, TEXTS = "training/data/talk_tiny_384d_pairs.json", 13


def test_generate_finds_every_vector_of_the_run(task_project: Path) -> None:
    before = {path: (task_project / path).read_bytes() for path in (VECTORS, RESULT, PAIRS)}
    shutil.rmtree(task_project / ".aqea")
    result = aqea("encode", "--json", cwd=task_project)
    assert result.status == 0, result.err
    (found,) = result.json()["models"]
    assert (found["name"], found["texts"], found["encoded"]) == ("tiny", 29, 29)
    assert "encode tiny: 29 sentences, about" in result.err
    for dataset, texts in (("plants", 16), ("talk", TEXTS)):
        made = aqea("generate", dataset, "tiny", "--json", cwd=task_project).json()
        assert (made["encoded"], made["reused"]) == (0, texts)
    assert {path: (task_project / path).read_bytes() for path in before} == before


class TwoNodes:
    """Two workers in this process, named as a cluster's are. `change` changes what those of this `name` give."""

    workers, checked, batch = 2, True, 1

    def __init__(
        self, change: Callable[[Done], Done] = lambda done: done, name: str = "here-bbbb-", stop: int | None = None
    ) -> None:
        self._change, self._name, self._stop = change, name, stop

    def _answers(self, job: Job, name: str, batches: Iterable[Batch]) -> Iterator[Done]:
        worker = Worker(job, name)
        for batch in batches:
            done = worker.compute(batch)
            yield self._change(done) if name.startswith(self._name) else done

    def run(self, job: Job, batches: Iterable[Batch]) -> Iterator[Done]:
        names, waiting = ("here-aaaa-1", "here-bbbb-2"), [*batches]
        for batch in waiting if waiting and waiting[0].had else ():
            yield from self._answers(job, "here-aaaa-3" if "bbbb" in batch.had else "here-bbbb-4", [batch])
            waiting = []
        nodes = [self._answers(job, name, waiting[at::2]) for at, name in enumerate(names)]
        for number, (node, _) in enumerate(zip(cycle(nodes), waiting, strict=False)):
            if number == self._stop:
                raise KeyboardInterrupt
            yield next(node)


def moved(micro: int, distance: float | None) -> Callable[[Done], Done]:
    """What a worker gives, but for the first value of each vector; so near it says that it was to a rounding boundary."""

    def change(done: Done) -> Done:
        rows: dict[int, Any] = {}
        for size, (vectors, (at, components, distances)) in done.rows.items():
            vectors, count = vectors.copy(), 0 if distance is None else len(vectors)
            vectors[:, 0] += micro
            first = (np.arange(count), np.zeros(count, np.intp), np.full(count, distance, float))
            near = (np.concatenate(parts) for parts in zip((at, components, distances), first, strict=True))
            rows[size] = vectors, (*near,)
        return done._replace(rows=rows)

    return change


class Site:
    """A project with one pair set, and what one machine makes of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.pairs, self.vectors = folder, (folder / PAIRS).read_bytes(), folder / ".aqea/vectors"
        shutil.rmtree(self.vectors)
        edit_params(folder, lambda params: params["run"].update(vectors={}))

    def encode(self, engine: Any, *names: str, seed: int = 1) -> EncodedModel:
        (done,) = encode(open_project(self.folder), names, engine, Settings(threads=1), Silent(), seed)
        return done

    def kept(self) -> list[Path]:
        return [path for path in self.vectors.rglob(f"*{SUFFIX}") if UNCHECKED not in path.parts]

    def apart(self) -> set[str]:
        return {path.name for path in self.vectors.glob(f"{UNCHECKED}/*")}

    def agree(self) -> None:
        made = aqea("generate", "talk", "tiny", "--json", cwd=self.folder).json()
        assert (made["encoded"], made["reused"], self.apart()) == (0, TEXTS, set())
        assert (self.folder / PAIRS).read_bytes() == self.pairs


@pytest.fixture
def site(task_project: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr("aqea_registry.generation.encode.SAMPLE", 3)  # of few texts it would be all
    return Site(task_project)


def test_what_each_worker_gives_is_checked_by_another_and_then_kept(site: Site) -> None:
    done = site.encode(TwoNodes())
    assert site.encode(ThisMachine(), "tiny").encoded == 0
    assert (done.texts, done.encoded, sorted(done.workers)) == (TEXTS, TEXTS, ["here-aaaa-1", "here-bbbb-2"])
    assert done.checked == {"here-aaaa-1": "here-bbbb-4", "here-bbbb-2": "here-aaaa-3"}
    site.agree()


@pytest.mark.parametrize("distance", [None, 1e-12], ids=["far from a boundary", "nearer, but not so near as to be decided"])
def test_a_wrong_worker_stops_the_run_and_nothing_of_both_is_kept(site: Site, distance: float | None) -> None:
    with pytest.raises(Refused) as caught:
        site.encode(TwoNodes(moved(1, distance)))
    assert "here-aaaa-1: its vectors are others than those of here-bbbb-4" in caught.value.message
    assert (site.kept(), site.apart()) == ([], set())
    assert site.encode(TwoNodes()).encoded == TEXTS
    site.agree()


def test_shorter_vectors_of_the_same_model_are_kept_as_well(site: Site) -> None:
    def shorter(params: dict[str, Any]) -> None:
        params["models"]["short"] = {**params["models"]["tiny"], "dimension": 96, "full_dimension": 384}
        params["run"]["pairs"]["talk-short"] = {"dataset": "talk", "model": "short", "file": "talk_short_96d"}

    edit_params(site.folder, shorter)
    assert aqea("pin", "short", cwd=site.folder).status == 0
    site.encode(TwoNodes(), "tiny")
    assert (site.encode(TwoNodes(), "short").encoded, site.apart()) == (0, set())
    made = aqea("generate", "talk", "short", "--json", cwd=site.folder).json()
    assert (made["encoded"], made["reused"]) == (0, TEXTS)
    site.agree()


def test_what_is_no_vector_names_its_worker(site: Site) -> None:
    with pytest.raises(Refused, match="here-bbbb-2: it gave what is not a canonical vector"):
        site.encode(TwoNodes(moved(1_000_000, None)))
    assert not any("bbbb" in worker for worker in site.apart()) and site.kept() == []


def test_vectors_of_other_texts_name_their_worker(site: Site) -> None:
    with pytest.raises(Refused, match="here-bbbb-2: it gave vectors of other texts than it was asked for"):
        site.encode(TwoNodes(lambda done: done._replace(keys=done.keys[::-1])))
    assert site.kept() == []


def test_each_wave_is_checked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aqea_registry.generation.encode.WAVE", 1)
    site.encode(TwoNodes(), "tiny")
    site.agree()


def test_a_value_at_a_boundary_may_be_another_elsewhere(site: Site) -> None:
    """The neighbour beyond the boundary, by a worker that says that its value lies at it."""
    site.encode(TwoNodes(moved(1, 1e-17), "here-bbbb-2"))
    assert len(site.kept()) == 2 and site.apart() == set()


def test_a_stopped_run_goes_on_and_checks_what_was_left(site: Site) -> None:
    with pytest.raises(KeyboardInterrupt):
        site.encode(TwoNodes(stop=2))
    assert site.apart() == {"here-aaaa-1", "here-bbbb-2"} and site.kept() == []
    with pytest.raises(Refused):  # wrong is what an earlier run left, too
        site.encode(TwoNodes(moved(5, None)))
    assert site.kept() == []
    done = site.encode(TwoNodes())
    assert 0 < done.encoded <= TEXTS and done.texts == TEXTS
    site.agree()


def test_corrupt_weights_are_refused_by_their_digest(site: Site) -> None:
    weights = site.folder / "models/tiny/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    shutil.rmtree(site.folder / ".aqea/pinned")
    with pytest.raises(Refused) as caught:
        site.encode(TwoNodes())
    assert caught.value.message.startswith("tiny: model.safetensors from directory:models/tiny: these are not the pinned")
    assert caught.value.findings[0].code == "mismatch"


def test_other_libraries_are_named() -> None:
    job = Job(None, None, Settings(), [], None, ["torch 0.1"])  # type: ignore[arg-type]
    answer = pickle.loads(pickle.dumps(Worker(job, "here-aaaa-1").answer(Batch(0, ["a"]))))
    assert isinstance(answer, CannotCheck) and answer.hint == "install the same ones"
    assert answer.message.startswith("here-aaaa-1: its libraries are not those of this run:")


@pytest.mark.rare
def test_a_task_shows_all_its_texts_without_a_model() -> None:
    for name, task in tasks().items():
        whole, seen = model(), list[str]()

        def look(texts: Sequence[str], seen: list[str] = seen) -> Micro:
            seen += texts
            return np.frombuffer(keys_of(texts).tobytes(), np.uint8).reshape(-1, 32)[:, :8].astype(np.int32) + 1

        evaluate(task, whole)
        evaluate(task, AllTexts(look, whole.prompt_for, "own/model", "1" * 40))
        assert np.array_equal(np.unique(keys_of(seen)), whole.keys), name


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("other",), 2, "no canonical vectors under other"),
        (("--workers", "2"), 2, "go with a cluster"),
        (("--engine", "ray", "--address", "127.0.0.1:9"), 3, "no cluster of Ray answers at 127.0.0.1:9: "),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(task_project: Path, words: tuple[str, ...], status: int, message: str) -> None:
    result = aqea("encode", *words, cwd=task_project)
    assert (result.status, message in result.err, result.err.count("\n")) == (status, True, 2), result.err


@pytest.mark.rare
def test_the_smallest_cluster_ends(task_project: Path, tmp_path: Path) -> None:
    """Of two processors both are workers'; an actor that took all of one left nothing for Ray, which then waits for ever."""
    needed_package("ray")
    shutil.rmtree(task_project / ".aqea")
    environment = {"XDG_CACHE_HOME": str(tmp_path), "RAY_TMPDIR": "/tmp"}
    words = ("encode", "--engine", "ray", "--json")
    result = aqea(*words, cwd=task_project, env=environment, process=True, timeout=300)
    assert result.status == 0, result.err
    (done,) = result.json()["models"]
    assert done["encoded"] == 29 and {*done["checked"]} == {*done["workers"]}
    assert "talk-tiny" in aqea("generate", "talk", "tiny", "--json", cwd=task_project).out
    refused = aqea(*words, "--workers", "1000", cwd=task_project, env=environment, process=True, timeout=300)
    assert refused.status == 2 and "the cluster has room for" in refused.json()["error"]["message"]
