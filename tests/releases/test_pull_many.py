"""A pull over several connections: at once, checked while written, stopped by the first failure, and continued by ranges."""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import pytest
from huggingface_hub import constants

from aqea_registry.base import files as disk
from aqea_registry.base.files import ignore
from aqea_registry.base.findings import CannotCheck, Refused
from aqea_registry.base.progress import Silent
from aqea_registry.releases.pull import Pulled, pull
from aqea_registry.remote.retry import CONNECTIONS
from aqea_registry.stores.hub_store import HubStore
from aqea_registry.stores.oci_layout import Layout
from aqea_registry.stores.open_store import find
from aqea_registry.stores.port import Releases, Tagged
from aqea_registry.stores.release import Descriptor, Release, build
from tests.memory import MemoryStore
from tests.servers.hub import Fault, HubServer, payload
from tests.tools import BIN, environment

FILES = {f"data/{number}.json": b"[%d]\n" % number for number in range(3 * CONNECTIONS)}


def release_of(files: Mapping[str, bytes]) -> Release:
    return build((path, hashlib.sha256(content).hexdigest(), len(content)) for path, content in files.items())


class Watched(MemoryStore):
    """A store that says which files were opened from where, and lets a test stand in for their bytes."""

    def __init__(self, files: Mapping[str, bytes], given: Callable[[str, BinaryIO], BinaryIO]) -> None:
        super().__init__()
        self.push("v1", release_of(files), files.__getitem__, "", ignore)
        self._given = given
        self.opened: list[tuple[str, int]] = []

    def open(self, tagged: Tagged, path: str, layer: Descriptor, offset: int) -> BinaryIO:
        self.opened.append((path, offset))
        return self._given(path, super().open(tagged, path, layer, offset))


def restored(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pulled(store: Releases, folder: Path) -> Pulled:
    return pull(store, find(store, "v1"), folder, Silent())


def test_several_files_come_at_once(tmp_path: Path) -> None:
    meeting = threading.Barrier(CONNECTIONS)

    def given(path: str, file: BinaryIO) -> BinaryIO:
        meeting.wait(timeout=300)
        return file

    done = pulled(Watched(FILES, given), tmp_path)
    assert (done.fetched, done.bytes) == (len(FILES), sum(map(len, FILES.values())))
    assert restored(tmp_path) == FILES


def test_files_of_the_same_bytes_do_not_meet(tmp_path: Path) -> None:
    files = {f"data/{number}.json": bytes(1_000_000) for number in range(2 * CONNECTIONS)}
    for number in range(5):
        store = Watched(files, lambda _, file: file)
        assert pulled(store, tmp_path / str(number)).fetched == len(files)
        assert restored(tmp_path / str(number)) == files
        assert {offset for _, offset in store.opened} == {0}


def test_bytes_are_hashed_while_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(disk, "hash_file")
    pulled(Watched(FILES, lambda _, file: file), tmp_path)
    assert restored(tmp_path) == FILES


class Dripping(io.BytesIO):
    """Bytes that come one by one for a minute, and then all the others."""

    def read(self, size: int | None = -1) -> bytes:
        time.sleep(0.01)
        return super().read(1)


def test_the_first_failure_stops_the_others_and_their_parts_stay(tmp_path: Path) -> None:
    slow = random.Random(0).randbytes(6000)
    files = {"a": b"a", "slow": slow, **FILES}
    begun = threading.Event()

    def given(path: str, file: BinaryIO) -> BinaryIO:
        if path == "slow":
            begun.set()
            return Dripping(slow)
        if path == "a":
            begun.wait()
            time.sleep(0.2)
            return io.BytesIO(b"b")
        return file

    with pytest.raises(Refused, match="a: the store sent other bytes"):
        pulled(Watched(files, given), tmp_path)
    assert not {"a", "slow"} & restored(tmp_path).keys()
    there = (tmp_path / ".aqea-incoming" / hashlib.sha256(slow).hexdigest()).stat().st_size
    assert 0 < there < len(slow), "all of the slow one takes a minute"
    good = Watched(files, lambda _, file: file)
    pulled(good, tmp_path)
    assert restored(tmp_path) == files
    assert ("slow", there) in good.opened


def test_a_killed_pull_from_the_hub_goes_on_by_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    large = {f"data/{name}.parquet": random.Random(name).randbytes(2_000_000) for name in "abc"}
    files = {"README.md": b"---\nlicense: mit\n---\n", **large, **FILES}
    with HubServer(tmp_path / "hub") as hub:
        hub.store.token("hf_write", user="alice", orgs=["org"])
        hub.store.create("datasets", "org/data", initial=True)
        settings = hub.environment(tmp_path / "home", "hf_write")
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        HubStore("hf://datasets/org/data").push("v1", release_of(files), files.__getitem__, "", ignore)
        hub.forget()
        for path in large:
            hub.faults.add(Fault(path=payload(path), cut=1_500_000, stall=8))
        words = [str(BIN / "aqea-registry"), "pull", "hf://datasets/org/data@v1", "--to", "out"]
        process = subprocess.Popen(words, cwd=tmp_path, env={**environment(), **settings})
        parts = [tmp_path / "out/.aqea-incoming" / hashlib.sha256(content).hexdigest() for content in large.values()]
        while not all(part.exists() and part.stat().st_size > 1_000_000 for part in parts):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        there = sum(part.stat().st_size for part in parts)
        assert not {*large} & restored(tmp_path / "out").keys()
        offsets = {f"bytes={part.stat().st_size}-" for part in parts}
        hub.faults.clear()
        done = pulled(HubStore("hf://datasets/org/data"), tmp_path / "out")
        assert restored(tmp_path / "out") == files
        assert done.bytes <= sum(map(len, files.values())) - there
        assert {made.headers["Range"] for made in hub.requests if "Range" in made.headers and made.status == 206} == offsets


def test_what_a_failed_pull_from_a_folder_leaves_is_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    store = Layout("oci:kept", tmp_path / "kept")
    release = release_of(FILES)
    store.push("v1", release, FILES.__getitem__, "", ignore)
    wrong = sorted(FILES)[3]
    (tmp_path / "kept/blobs" / release.files()[wrong].digest.replace(":", "/")).unlink()
    for number in range(20):
        with pytest.raises(CannotCheck):
            pulled(store, tmp_path / str(number))
        assert sorted(restored(tmp_path / str(number))) == sorted(FILES)[:3]
