"""A Ray cluster of several nodes on this machine, for tests that kill parts of it.

Each node is a `ray start` with an address of the loopback network, a home, a temporary folder and caches of its own, so that
nothing on disk is shared. A keeper process starts the nodes and adopts what they leave behind (Linux's child subreaper): when
the context ends, or the test's process is gone, however it went, it kills all its descendants by id and removes the folder.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")

SUBREAPER, DIE_WITH_PARENT, KILL = 36, 1, 9  # options of prctl(2), and a signal
STORE = 80 * 2**20  # bytes of a node's object store; Ray wants 75 MB at least
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_prestart_worker_first_driver": "0",  # workers start when there is work for them
    "RAY_worker_niceness": "0",  # the default, 15, starves them on a busy machine
    "RAY_health_check_period_ms": "1000",  # a killed node is missed after seconds, not after half a minute
    "RAY_health_check_failure_threshold": "3",
    "PYTHONWARNINGS": "ignore",
}
START = ("--block", "--include-log-monitor=false", f"--object-store-memory={STORE}", "--dashboard-agent-listen-port=0")
HEAD = ("--head", "--include-dashboard=false", "--no-monitor", "--disable-usage-stats")


class Node:
    """One node: its folder, and the variables that its workers have on top of the cluster's."""

    def __init__(self, number: int, folder: Path, extra: Mapping[str, str]) -> None:
        self.number, self.folder, self.address = number, folder, f"127.0.0.{number + 2}"
        self.environment = {**homes(folder), **extra}
        self.pid = 0

    @property
    def log(self) -> Path:
        return self.folder / "start.log"

    def started(self) -> bool:
        return self.log.exists() and "Ray runtime started" in self.log.read_text()

    def processes(self) -> list[psutil.Process]:
        """All of the node that run."""
        with suppress(psutil.NoSuchProcess):
            return [found for found in psutil.Process(self.pid).children(recursive=True) if found.status() != "zombie"]
        return []

    def raylet(self) -> psutil.Process:
        return next(found for found in self.processes() if found.name() == "raylet")


class Cluster:
    """A running cluster. `environment` is what a driver needs to be let in, with a home of its own."""

    def __init__(self, folder: Path, processors: int, environment: Mapping[str, str]) -> None:
        self._folder, self._processors, self._port = folder, processors, _free_port()
        self._token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self._shared = {**os.environ, **QUIET, **environment, **self._token}
        self._keeper = subprocess.Popen(
            [sys.executable, __file__, str(os.getpid()), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a signal to the tests' group ends them, and it sees that
        )
        self.nodes: list[Node] = []
        self.address = f"127.0.0.2:{self._port}"
        self.environment = {**QUIET, **self._token, **homes(folder / "driver")}

    def add(self, extra: Mapping[str, str]) -> Node:
        """Start one more node, and do not wait for it: see `wait`."""
        number = len(self.nodes)
        node = Node(number, self._folder / f"n{number}", extra)
        self.nodes.append(node)
        self.start(node)
        return node

    def start(self, node: Node) -> None:
        """Start a node, also one that was killed: it comes back as a new one with the files that it had."""
        role = (*HEAD, f"--port={self._port}") if node.number == 0 else (f"--address={self.address}",)
        own = (f"--node-ip-address={node.address}", f"--temp-dir={node.folder / 't'}", f"--num-cpus={self._processors}")
        node.log.unlink(missing_ok=True)
        request = {
            "words": [sys.executable, "-m", "ray.scripts.scripts", "start", *START, *role, *own],
            "environment": {**self._shared, **node.environment},
            "output": str(node.log),
        }
        assert self._keeper.stdin is not None and self._keeper.stdout is not None
        self._keeper.stdin.write(f"{json.dumps(request)}\n")
        self._keeper.stdin.flush()
        node.pid = int(self._keeper.stdout.readline())

    def wait(self, *nodes: Node) -> None:
        """Until these nodes (default: all) say that they run."""
        for node in nodes or self.nodes:
            until(node.started, 120, node.log)

    def stop(self) -> None:
        """Kill all that was started, and wait until it is gone."""
        assert self._keeper.stdin is not None and self._keeper.stdout is not None
        self._keeper.stdin.close()
        self._keeper.wait(300)
        self._keeper.stdout.close()


def until(found: Callable[[], T], seconds: float, told: Path | str = "", every: float = 0.05) -> T:
    """What a look finds, as soon as it finds something. Ten times so many seconds later it fails, with a file's end."""
    end = time.monotonic() + 10 * seconds
    while not (value := found()):
        text = told.read_text()[-3000:] if isinstance(told, Path) and told.exists() else told
        assert time.monotonic() < end, f"nothing within {10 * seconds:g} seconds: {text}"
        time.sleep(every)
    return value


@contextmanager
def ray_cluster(
    nodes: Sequence[Mapping[str, str]] = ({}, {}), *, processors: int = 2, environment: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """A cluster with a node for each mapping, the variables of its workers alone; `processors` are logical, of a node.

    Its folder has a short name, because paths of sockets are short.
    """
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="rc-", dir="/tmp")), processors, environment or {})
    try:
        for extra in nodes:
            cluster.add(extra)
        cluster.wait()
        yield cluster
    finally:
        cluster.stop()


def homes(folder: Path) -> dict[str, str]:
    """Home, caches and temporary files below a folder."""
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    places = {"HOME": "", "TMPDIR": "tmp", "HF_HOME": "huggingface", "XDG_CACHE_HOME": "cache"}
    return {name: str(folder / place) for name, place in places.items()}


def die_with_parent() -> None:
    """In a new process, before it runs its program: be killed when its parent is."""
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, KILL)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("", 0))
        port: int = free.getsockname()[1]
        return port


def keep(parent: int, folder: Path) -> None:
    """Be the keeper: start what stdin asks for, a line each; when stdin ends or the parent is gone, leave nothing behind."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1)
    while os.getppid() == parent:
        _reap()
        if not select.select([sys.stdin], [], [], 0.2)[0]:
            continue
        if not (line := sys.stdin.readline()):
            break
        request = json.loads(line)
        with Path(request["output"]).open("w") as output:
            started = subprocess.Popen(
                request["words"], env=request["environment"], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        print(started.pid, flush=True)
    end = time.monotonic() + 20
    while (left := psutil.Process().children(recursive=True)) and time.monotonic() < end:
        for found in left:
            with suppress(psutil.NoSuchProcess):
                found.kill()
        _reap()
        time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    keep(int(sys.argv[1]), Path(sys.argv[2]))
