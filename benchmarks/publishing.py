"""Publishing and pulling a large release: memory, time and requests in each store, with files made for it.

`python -m benchmarks.publishing [--files N] [--bytes N] [STORE...]` prints what one run took; a tenth of the files are small.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from aqea_registry.base.files import hash_file, ignore
from aqea_registry.base.progress import Silent
from aqea_registry.releases.pull import pull
from aqea_registry.stores.open_store import find, open_store
from aqea_registry.stores.release import Release, build, compare_with_store
from benchmarks.timing import Load, in_child, machine, temporary
from tests.servers.hub import HubServer
from tests.servers.registry import DockerRegistry

TOKEN, NAME, TAG = "hf_write", "org/data", "v1"
FOLDERS = 5  # what a folder may hold is limited


class Took(NamedTuple):
    """What a process took: seconds by the clock and of processors, its peak in GB, and what it did."""

    wall: float
    cpu: float
    peak: float
    said: str


def make_files(folder: Path, count: int, size: int) -> None:
    """Distinct files, `size` bytes together, sparse where the file system can; every tenth has a kilobyte."""
    small = [number for number in range(count) if number % 10 == 9]
    large = (size - 1000 * len(small)) // (count - len(small))
    for number in range(count):
        path = folder / f"data{number % FOLDERS}" / f"{number:06}.{'json' if number % 10 == 9 else 'parquet'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(hashlib.sha256(b"%d" % number).hexdigest().encode())
            file.truncate(1000 if number % 10 == 9 else large)


def release_of(folder: Path) -> Release:
    """The release of all files in a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    hashed = ((path.relative_to(folder).as_posix(), hash_file(path)) for path in paths)
    return build((path, found.sha256, found.size) for path, found in hashed)


def step(name: str, spec: str, folder: Path, record: bytes, to: Path, environment: dict[str, str]) -> Took:
    """One step of a publication, in a process of its own."""
    os.environ.update(environment)
    from aqea_registry.stores.release import parse

    release, store = parse(record), open_store(spec, folder)
    began = time.perf_counter()

    def push() -> str:
        plan = store.plan(TAG, release)
        store.push(TAG, release, lambda path: folder / path, "", ignore)
        return f"{len(plan.new)} blobs new"

    def read_back() -> str:
        tagged = find(store, TAG, release.digest())
        findings = compare_with_store(spec, release, store.stored(tagged, store.release(tagged), False, ignore))
        return f"{len(findings)} findings"

    def fetch() -> str:
        done = pull(store, find(store, TAG), to, Silent())
        return f"{done.fetched} files fetched"

    steps: dict[str, Callable[[], str]] = {"push": push, "push again": push, "read back": read_back, "pull": fetch}
    said = steps[name]()
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Took(time.perf_counter() - began, used.ru_utime + used.ru_stime, own_peak(), said)


def own_peak() -> float:
    """The largest resident size of this program in GB; what getrusage says is at least its parent's, which serves here."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e9


@contextmanager
def opened(store: str, folder: Path) -> Iterator[tuple[str, dict[str, str], Callable[[], int]]]:
    """A store's spec, the environment of its clients, and how many requests it answered since it was last asked."""
    with ExitStack() as stack:
        if store == "oci:DIR":
            yield f"oci:{folder / 'layout'}", {}, lambda: 0
        elif store == "oci://":
            yield f"oci://{stack.enter_context(DockerRegistry(folder)).host}/data", {}, lambda: 0
        else:
            hub = stack.enter_context(HubServer(folder / "hub"))
            hub.store.token(TOKEN, user="alice", orgs=["org"])
            hub.store.create("datasets", NAME, initial=True)

            def count() -> int:
                made = hub.count()
                hub.forget()
                return made

            settings = {**hub.environment(folder / "home", TOKEN), "HF_HUB_DISABLE_XET": str(int(store != "hf://xet"))}
            yield f"hf://datasets/{NAME}", settings, count


def publish_and_pull(store: str, count: int, size: int) -> Iterator[tuple[str, Took, int]]:
    """Each step in turn: its name, what it took, and the requests."""
    with temporary() as folder, opened(store, folder) as (spec, environment, requests):
        make_files(folder / "files", count, size)
        release = release_of(folder / "files")
        for name in ("push", "push again", "read back", "pull"):
            took = in_child(step, name, spec, folder / "files", release.render(), folder / "pulled", environment)
            yield name, took, requests()
        assert release_of(folder / "pulled").digest() == release.digest()
        shutil.rmtree(folder / "pulled")


STORES = ("oci:DIR", "oci://", "hf://", "hf://xet")


def main() -> None:
    """Print each step of each store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publishing", description=__doc__)
    parser.add_argument("stores", nargs="*", metavar="STORE", help=f"which (default: all): {', '.join(STORES)}")
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--bytes", type=int, default=20_000_000_000)
    options = parser.parse_args()
    load = Load()
    print(f"{machine()}; {options.files} files, {options.bytes / 1e9:g} GB")
    for store in options.stores or STORES:
        for name, took, requests in publish_and_pull(store, options.files, options.bytes):
            figures = f"{took.wall:7.1f} s {took.cpu:7.1f} s of processors {took.peak:.3f} GB {requests:6} requests"
            print(f"{store:8} {name:11} {figures}; {took.said}", flush=True)
    print(load.text())


if __name__ == "__main__":
    main()
