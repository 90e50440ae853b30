"""Parts of a cluster die, lie or run out of disk while they encode: what is made is what one machine makes, or nothing."""

from __future__ import annotations

import hashlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests import sampling
from tests.cluster_project import MODEL, PAIRS, REPO, generated, put_model, write_cluster_project
from tests.helpers import leftovers
from tests.ray_cluster import Cluster, Node, die_with_parent, ray_cluster, until
from tests.servers.hub import HubServer
from tests.standins import Files
from tests.standins import stand_ins as stand_ins
from tests.tools import BIN, Result, environment, needed_package

needed_package("ray")
needed_package("sentence_transformers")

TEXTS = 240  # of about 2,000 characters: some 15 batches
WAVES = "from aqea_registry.generation import encode; from aqea_registry.cli import main; encode.WAVE = 2; main()"


class Site:
    """A project, a Hub for each node, a cluster of two of the smallest nodes, and what one machine makes of the project."""

    def __init__(self, folder: Path, stand_in: Files, hubs: Sequence[HubServer]) -> None:
        self.folder, self.project, self.signals = folder, folder / "project", folder / "signals"
        self.hubs = hubs
        for hub in hubs:
            put_model(hub, stand_in)
        self.environment = write_cluster_project(self.project, self.hubs[0], texts=TEXTS, tail=200)
        made = generated(self.project, self.environment)
        assert made["encoded"] == TEXTS
        self.wanted = self.digest()
        for number in range(len(self.hubs)):
            (self.signals / str(number)).mkdir(parents=True)
        self.nodes = [
            {"SIGNAL_FOLDER": str(self.signals / str(number)), "HF_ENDPOINT": hub.endpoint}
            for number, hub in enumerate(self.hubs)
        ]

    def digest(self) -> str:
        return hashlib.sha256((self.project / PAIRS).read_bytes()).hexdigest()

    def tell(self, node: int, **values: float) -> None:
        """What the model does on a node from its next pass on."""
        for name, value in values.items():
            (self.signals / str(node) / name).write_text(str(value))

    def reset(self, seconds: float = 0.0) -> None:
        """Forget all vectors and signals; every pass takes so long from now on."""
        shutil.rmtree(self.project / ".aqea/vectors", ignore_errors=True)
        (self.project / PAIRS).unlink(missing_ok=True)
        for number, folder in enumerate(sorted(self.signals.iterdir())):
            for path in folder.iterdir():  # of processes that were killed, too
                path.unlink(missing_ok=True)
            self.tell(number, seconds=seconds)

    def busy(self, node: int) -> set[int]:
        """The processes of a node that are inside the model, or were killed there."""
        return {int(path.name) for path in (self.signals / str(node)).iterdir() if path.name.isdigit()}


@pytest.fixture(scope="module")
def site(stand_ins: dict[str, Files], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with HubServer(folder / "hub0") as one, HubServer(folder / "hub1") as other:
        yield Site(folder, stand_ins["minilm"], [one, other])


@pytest.fixture(scope="module")
def cluster(site: Site) -> Iterator[Cluster]:
    environment = {name: value for name, value in site.environment.items() if not name.startswith(("HF_HOME", "HF_HUB_CACHE"))}
    with ray_cluster(site.nodes, processors=1, environment=environment) as made:
        yield made


class Driver:
    """`aqea-registry encode` on the cluster, as a process of its own that dies with the tests."""

    def __init__(
        self,
        site: Site,
        cluster: Cluster,
        workers: int = 2,
        limit: Callable[[], None] = lambda: None,
        program: Sequence[str | Path] = (BIN / "aqea-registry",),
    ) -> None:
        self._files = [site.folder / name for name in ("driver.out", "driver.err")]

        def prepare() -> None:
            die_with_parent()
            limit()

        words = ("encode", "--engine", "ray", "--address", cluster.address, "--workers", str(workers), "--threads", "1")
        with self._files[0].open("w") as out, self._files[1].open("w") as err:
            self.process = subprocess.Popen(
                [*program, *words, "--json"],
                cwd=site.project,
                env=environment({**site.environment, **cluster.environment}),
                stdout=out,
                stderr=err,
                preexec_fn=prepare,
            )

    def wait(self, found: Callable[[], object]) -> None:
        """Until something is found, while it runs."""
        until(lambda: found() or not self.running(), 180)
        assert self.running(), self.finish().err

    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def finish(self, seconds: float = 600) -> Result:
        """Wait for its end."""
        self.process.wait(seconds)
        out, err = (path.read_text() for path in self._files)
        assert "Traceback" not in err, err
        return Result(self.process.returncode, out, err)


def encoded(site: Site, result: Result) -> int:
    """How many texts a run that ended well encoded; the others were there."""
    assert result.status == 0, result.err
    (model,) = result.json()["models"]
    assert (model["name"], model["texts"]) == (MODEL, TEXTS)
    count: int = model["encoded"]
    return count


def agree(site: Site) -> None:
    """Generation finds every vector, and makes what one machine makes."""
    made = generated(site.project, site.environment)
    assert (made["encoded"], made["reused"]) == (0, TEXTS)
    assert site.digest() == site.wanted
    assert not leftovers(site.project)


def strike(site: Site, cluster: Cluster, driver: Driver, chance: random.Random) -> Node | None:
    """Kill a worker at a moment while it is inside the model; its node, or None if the run had ended."""
    time.sleep(chance.uniform(0, 1))
    while driver.running():
        inside = [(node, process) for node in cluster.nodes for process in sorted(site.busy(node.number))]
        if not inside:
            time.sleep(0.02)
            continue
        node, process = chance.choice(inside)
        with suppress(psutil.NoSuchProcess):
            victim = psutil.Process(process)
            victim.kill()
            victim.wait()
        signal_file = site.signals / str(node.number) / str(process)
        if signal_file.exists():  # else the pass ended just before
            signal_file.unlink()
            return node
    return None


def test_a_worker_that_is_killed_at_its_work_loses_nothing(site: Site, cluster: Cluster) -> None:
    chance = random.Random(sampling.seed("a killed worker"))
    site.reset(seconds=0.3)
    driver = Driver(site, cluster, workers=1)  # it takes what was killed up again, on either node
    assert strike(site, cluster, driver, chance), driver.finish().err
    assert encoded(site, driver.finish()) == TEXTS
    agree(site)


@pytest.mark.rare
def test_workers_keep_their_model_from_wave_to_wave(site: Site, cluster: Cluster) -> None:
    site.reset(seconds=0.2)
    result = Driver(site, cluster, program=(sys.executable, "-c", WAVES)).finish()
    assert encoded(site, result) == TEXTS
    assert len(result.json()["models"][0]["checked"]) == 2
    passes = [line.split()[0] for log in site.signals.glob("*/log") for line in log.read_text().splitlines()]
    assert len(passes) > 15 and len({*passes}) == 2
    agree(site)


@pytest.mark.rare
def test_twenty_killed_workers(site: Site, cluster: Cluster) -> None:
    chance, kills, runs = random.Random(sampling.seed("twenty workers")), 0, 0
    while kills < 20:
        site.reset(seconds=2)
        driver, before = Driver(site, cluster), kills
        while kills < min(20, before + 5) and strike(site, cluster, driver, chance):
            kills += 1
        assert encoded(site, driver.finish()) == TEXTS
        agree(site)
        runs += 1
        print(f"run {runs}: {kills - before} workers killed, {site.digest()}", flush=True)


@pytest.mark.rare
def test_five_killed_drivers_and_each_time_only_what_is_missing(site: Site, cluster: Cluster) -> None:
    chance = random.Random(sampling.seed("five drivers"))
    for kill in range(5):
        site.reset(seconds=4)
        driver = Driver(site, cluster)
        driver.wait(lambda: site.busy(0) | site.busy(1))
        time.sleep(chance.uniform(10, 50))  # what arrived is kept each half minute
        driver.wait(lambda: site.busy(0) | site.busy(1))
        driver.kill()
        site.tell(0, seconds=0)
        site.tell(1, seconds=0)
        new = encoded(site, Driver(site, cluster).finish())
        agree(site)
        print(f"driver {kill + 1} killed: {TEXTS - new} texts were kept, {site.digest()}", flush=True)
    assert encoded(site, Driver(site, cluster).finish()) == 0


@pytest.mark.rare
def test_a_killed_node_that_comes_back_and_one_that_does_not(site: Site, cluster: Cluster) -> None:
    chance = random.Random(sampling.seed("nodes"))
    node = cluster.nodes[1]
    for back in (True, False):
        site.reset(seconds=1)
        driver = Driver(site, cluster)
        driver.wait(lambda: site.busy(1))
        time.sleep(chance.uniform(0, 3))
        driver.wait(lambda: site.busy(1))
        held = node.processes()
        node.raylet().kill()
        psutil.wait_procs(held, 30)
        if back:
            cluster.start(node)
            cluster.wait(node)
        assert encoded(site, driver.finish()) == TEXTS
        agree(site)
    cluster.start(node)
    cluster.wait(node)


@pytest.mark.rare
def test_a_run_all_of_whose_workers_die_ends(site: Site, cluster: Cluster) -> None:
    site.reset()
    for node in (0, 1):
        site.tell(node, die=1)
    result = Driver(site, cluster).finish()
    assert result.status == 3, result.err
    assert "every worker that had one died" in result.json()["error"]["message"]
    site.reset()
    assert encoded(site, Driver(site, cluster).finish()) == TEXTS
    agree(site)


@pytest.mark.rare
def test_weights_that_are_not_the_pinned_ones_are_refused_on_one_worker(site: Site, cluster: Cluster) -> None:
    store = site.hubs[1].store
    commit = store.resolve("models", REPO, "main")
    weights = store.read("models", REPO, "model.safetensors")
    store.put("models", REPO, commit, "model.safetensors", weights[:-1] + bytes([weights[-1] ^ 1]))
    shutil.rmtree(cluster.nodes[1].folder / "cache", ignore_errors=True)
    site.reset()
    result = Driver(site, cluster).finish()
    assert result.status == 1, result.err
    value = result.json()
    (finding,) = value["findings"]
    assert finding["code"] == "mismatch" and "model.safetensors" in finding["subject"]
    assert hashlib.sha256(weights).hexdigest() in finding["expected"]
    print(value["error"])
    store.put("models", REPO, commit, "model.safetensors", weights)
    encoded(site, Driver(site, cluster).finish())
    agree(site)


@pytest.mark.rare
def test_a_worker_that_gives_wrong_vectors_stops_the_run_and_both_are_named(site: Site, cluster: Cluster) -> None:
    shutil.rmtree(cluster.nodes[1].folder / "cache", ignore_errors=True)
    site.reset()
    site.tell(1, wrong=0.01)  # but for texts that come alone: what measures its own spread sees it
    result = Driver(site, cluster).finish()
    assert result.status == 3 and "the same sums in another order differ" in result.json()["error"]["message"], result.err
    site.tell(1, wrong=0)
    encoded(site, Driver(site, cluster).finish())
    site.reset(seconds=0.1)
    site.tell(1, wrong=0.01)
    result = Driver(site, cluster).finish()
    assert result.status == 1, result.err
    print(result.json()["error"], result.json()["findings"])
    site.tell(1, wrong=0)
    encoded(site, Driver(site, cluster).finish())
    agree(site)


@pytest.mark.rare
def test_a_full_disk_on_the_driver(site: Site, cluster: Cluster) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    site.reset()
    result = Driver(site, cluster, limit=limit).finish()
    assert result.status == 3, result.err
    print(result.err)
    encoded(site, Driver(site, cluster).finish())
    agree(site)


KILLED = """
import os, signal, sys
from tests.ray_cluster import ray_cluster

with ray_cluster(({{}},), processors=1) as cluster:
    print(*(found.pid for found in cluster.nodes[0].processes()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.rare
def test_a_cluster_ends_with_its_test_however_that_ends() -> None:
    done = subprocess.run([sys.executable, "-c", KILLED.format()], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) > 3
    until(lambda: not any(psutil.pid_exists(pid) for pid in pids), 30)
