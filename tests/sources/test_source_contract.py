"""What every source does, asked of all of them: in memory, a folder, mirrors, the Hub and its cache. See the port."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from aqea_registry.base.findings import CannotCheck, Refused
from aqea_registry.base.progress import Silent
from aqea_registry.project.lock import Pin, PinnedFile
from aqea_registry.remote.hub_client import Repository
from aqea_registry.sources.fetch import fetch
from aqea_registry.sources.kinds import Source
from tests.helpers import weights
from tests.memory import MemorySource
from tests.servers.hub import HubServer

NAME = "org/model"
FILES = {"config.json": b"{}", "1_Pooling/config.json": b'{"a": 1}', "model.safetensors": weights(b"weights" * 20_000)}


def memory(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Source]:
    yield MemorySource(FILES)


def directory(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Source]:
    from aqea_registry.sources.kinds import FolderSource

    yield FolderSource("directory:files", filled(tmp_path) / "files", "put the files there")


def file(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Source]:
    from aqea_registry.sources.kinds import MirrorSource

    yield MirrorSource(f"file://{filled(tmp_path)}/files")


def http(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Source]:
    from aqea_registry.sources.kinds import MirrorSource

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(filled(tmp_path)))) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield MirrorSource(f"http://127.0.0.1:{server.server_port}/files")
        server.shutdown()


def hub(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Source]:
    pytest.importorskip("huggingface_hub")
    from aqea_registry.sources.kinds import HubSource

    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    with HubServer(tmp_path / "hub", lfs_size=4096) as server:
        server.store.create("models", NAME)
        commit = server.store.commit("models", NAME, FILES)
        for name, value in server.environment(tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        yield HubSource(Repository(name="m", kind="model", id=NAME, commit=commit), tmp_path)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        """Nothing."""


SOURCES = {"memory": memory, "directory": directory, "file": file, "http": http, "hub": hub}


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    yield from SOURCES[request.param](tmp_path, request)


def filled(folder: Path) -> Path:
    for path, content in FILES.items():
        (folder / "files" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "files" / path).write_bytes(content)
    return folder


def pin(**changed: bytes) -> Pin:
    """The files as they are pinned, with other bytes for those that are named."""
    files = {
        path: PinnedFile(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
        for path, content in {**FILES, **changed}.items()
    }
    unsaid = {"requested": None, "licence": None, "resolved_from": "memory"}
    return Pin(id=NAME, kind="model", commit="0" * 40, files=files, **unsaid)


def read(source: Source, path: str) -> bytes:
    with source.open(path, 1 << 20) as stream:
        return stream.read()


def test_files_come_as_they_are(source: Source, tmp_path: Path) -> None:
    assert source.present() and source.spec
    for path, content in FILES.items():
        assert read(source, path) == content
        place = source.local(path)
        assert place is None or place.read_bytes() == content
    with pytest.raises(FileNotFoundError):
        source.open("nothing.json", 100)


@pytest.mark.parametrize("source", ["memory", "directory", "file", "hub"], indirect=True)  # http has no lists
def test_paths_are_all_files_sorted(source: Source) -> None:
    assert source.paths() == sorted(FILES)


def test_the_pinned_files_are_fetched(source: Source, tmp_path: Path) -> None:
    folder = fetch("m", pin(), [source], tmp_path / "cache", Silent())
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES


def test_other_bytes_than_pinned_are_refused(source: Source, tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        fetch("m", pin(**{"config.json": b"[]"}), [source], tmp_path / "cache", Silent())
    assert [finding.code for finding in caught.value.findings] == ["mismatch"]
    with pytest.raises(CannotCheck, match=r"nothing\.json"):
        fetch("m", pin(**{"nothing.json": b"[]"}), [source], tmp_path / "cache", Silent())
