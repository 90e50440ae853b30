"""The same pinned bytes from the Hub, its cache, a folder, and mirrors over file, http and s3; and from bad ones."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers.hub import Fault, HubServer, payload
from tests.servers.s3 import S3
from tests.servers.s3 import s3 as s3
from tests.standins import MODELS, STS17, Files, datasets
from tests.standins import stand_ins as stand_ins
from tests.tools import Result, aqea, copy_project, edit_params, run

pytest.importorskip("huggingface_hub")

MODEL = MODELS["minilm"]
PAIRS = "training/data/talk_mini_384d_pairs.json"
WEIGHTS = "model.safetensors"


class Bench:
    """A project with one pair set, its vectors computed once: what a test does needs its sources, and not torch."""

    def __init__(self, folder: Path, hub: HubServer) -> None:
        self.folder, self.hub, self.cache = folder, hub, folder.parent / f"{folder.name}-cache"

    def aqea(self, *words: str, env: Mapping[str, str] | None = None) -> Result:
        return aqea(*words, cwd=self.folder, env={**self.hub.environment(self.cache), **(env or {})})

    def make(self, *sources: str, status: int = 0, env: Mapping[str, str] | None = None) -> Result:
        """Generate the pair set from these sources alone."""
        if sources:
            edit_params(self.folder, lambda params: params.update(sources=list(sources)))
        (self.folder / PAIRS).unlink(missing_ok=True)
        result = self.aqea("generate", "talk", "mini", env=env)
        assert result.status == status, result
        return result

    def pairs(self) -> str:
        return hashlib.sha256((self.folder / PAIRS).read_bytes()).hexdigest()

    def commits(self) -> dict[str, str]:
        lock = json.loads((self.folder / "manifests/pins.json").read_bytes())
        return {pin["id"]: pin["commit"] for group in ("datasets", "models") for pin in lock[group].values()}

    def wanted(self) -> dict[str, str]:
        """The digests that may lie in .aqea/pinned, by name of the file."""
        lock = json.loads((self.folder / "manifests/pins.json").read_bytes())
        every = [pin["files"] for group in ("datasets", "models") for pin in lock[group].values()]
        return {path: file["sha256"] for files in every for path, file in files.items()}

    def held(self) -> dict[str, str]:
        """The digests of everything that lies there."""
        pinned = self.folder / ".aqea/pinned"
        return {
            path.relative_to(pinned).as_posix().partition("/")[2]: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in pinned.rglob("*")
            if path.is_file()
        }


@pytest.fixture(scope="module")
def store(stand_ins: dict[str, Files]) -> dict[str, Files]:
    """What the sources hold, by repository: a model, and a dataset."""
    return {MODEL: stand_ins["minilm"], STS17: datasets()[STS17]}


@pytest.fixture
def own_hub(store: dict[str, Files], tmp_path: Path) -> Iterator[HubServer]:
    """A Hub that the test may spoil. Its commits are always the same."""
    with HubServer(tmp_path / "hub") as server:
        load(server, store)
        yield server


def load(server: HubServer, store: Mapping[str, Files]) -> None:
    for kind, repo in (("models", MODEL), ("datasets", STS17)):
        server.store.create(kind, repo)
        server.store.commit(kind, repo, store[repo])
        server.store.tag(kind, repo, "v1")


@pytest.fixture(scope="module")
def first(store: dict[str, Files], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after pinning and one run from the Hub."""
    folder = tmp_path_factory.mktemp("first") / "project"
    folder.mkdir()
    params = {
        "datasets": {"talk": {"repo": STS17, "revision": "v1", "config": "en-de"}},
        "models": {"mini": {"repo": MODEL, "revision": "v1", "dimension": 384}},
        "runs": {},
        "run": {"pairs": {"talk-mini": {"dataset": "talk", "model": "mini", "file": "talk_mini_384d"}}, "exports": {}},
        "publish": {"stores": [], "title": "Test"},
        "sources": ["hub"],
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    for name in ("dvc.yaml", ".gitignore"):
        (folder / name).touch()
    with HubServer(folder.parent / "hub") as server:
        load(server, store)
        bench = Bench(folder, server)
        assert bench.aqea("pin").status == 0
        server.forget()
        bench.make()
        asked = {made.path for made in server.requests if "/resolve" not in made.path and "/cdn/" not in made.path}
        assert not asked, "generation asks for the pinned files and nothing else"
        assert bench.held() == bench.wanted()
    return folder


@pytest.fixture
def bench(first: Path, own_hub: HubServer, tmp_path: Path) -> Bench:
    """A copy of that project which holds vectors, and no pinned files."""
    copy_project(first, tmp_path / "project", without=(".aqea/pinned", ".aqea/incoming"))
    return Bench(tmp_path / "project", own_hub)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words: Any) -> None:
        """Nothing."""


class Places:
    """Every kind of place that can hold a copy, filled with the same files."""

    def __init__(self, folder: Path, s3: S3, bench: Bench) -> None:
        self.folder, self.s3 = folder, s3
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.commits = bench.commits()
        tail = "{id}/{commit}"
        self.specs = {
            "directory": f"directory:{folder}/{tail}",
            "file": f"file://{folder}/{tail}",
            "http": f"http://127.0.0.1:{self.http.server_port}/{tail}",
            "s3": f"s3://{folder.name}/{tail}",
        }

    def fill(self, store: Mapping[str, Files]) -> None:
        objects = {f"{repo}/{self.commits[repo]}/{path}": data for repo, files in store.items() for path, data in files.items()}
        for key, content in objects.items():
            (self.folder / key).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / key).write_bytes(content)
        self.s3.put(objects, bucket=self.folder.name)


@pytest.fixture
def places(bench: Bench, s3: S3, tmp_path: Path) -> Iterator[Places]:
    folder = tmp_path / f"b{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:20]}"  # also the name of a bucket
    folder.mkdir()
    found = Places(folder, s3, bench)
    yield found
    found.http.shutdown()
    found.http.server_close()


SNAPSHOT = """
import huggingface_hub, sys
huggingface_hub.snapshot_download(sys.argv[1], repo_type=sys.argv[2], revision="v1")
"""


def fill_cache(bench: Bench) -> Path:
    """What the Hub's own client leaves in its cache."""
    for repo, kind in ((MODEL, "model"), (STS17, "dataset")):
        done = run(sys.executable, "-c", SNAPSHOT, repo, kind, cwd=bench.folder.parent, env=bench.hub.environment(bench.cache))
        assert done.status == 0, done.err
    return bench.cache / "hub"


# The same bytes from everywhere


def test_every_kind_of_source_gives_the_same_pair_file(
    bench: Bench, places: Places, store: dict[str, Files], first: Path
) -> None:
    wanted = hashlib.sha256((first / PAIRS).read_bytes()).hexdigest()
    places.fill(store)
    cache = fill_cache(bench)
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    for name, spec in {**places.specs, "cache": "cache", "hub": "hub"}.items():
        if name == "hub":
            bench.hub.online()
        else:
            bench.hub.offline()
        shutil.rmtree(bench.folder / ".aqea/pinned", ignore_errors=True)
        result = bench.make(spec, env=places.s3.environment(bench.folder))
        assert bench.pairs() == wanted, name
        assert bench.held() == bench.wanted(), name
        assert "encoded now 0" in result.out
        assert not result.err, name
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before, "the user's cache is only read"


@pytest.mark.parametrize("kind", ["directory", "file", "http", "s3"])
def test_a_bad_mirror_is_told_of_and_the_next_source_is_taken(
    bench: Bench, places: Places, store: dict[str, Files], first: Path, kind: str
) -> None:
    good = store[MODEL]
    weights = bytearray(good[WEIGHTS])
    weights[50_000] ^= 1
    worse = {"modules.json": good["modules.json"] + b"\n", "tokenizer.json": good["tokenizer.json"][:-1]}
    bad = {**good, **worse, WEIGHTS: bytes(weights)}
    places.fill({MODEL: {path: data for path, data in bad.items() if path != "vocab.txt"}, STS17: store[STS17]})
    env = places.s3.environment(bench.folder)
    spec = places.specs[kind]
    result = bench.make(spec, "hub", env=env)
    warnings = [line for line in result.err.splitlines() if line.startswith("warning: mini: ")]
    assert [line.split()[2] for line in warnings] == [WEIGHTS, "modules.json", "tokenizer.json"]
    assert all(spec.partition("{")[0] in line for line in warnings)
    for content in (good[WEIGHTS], bad[WEIGHTS]):
        assert hashlib.sha256(content).hexdigest() in warnings[0]
    assert bench.pairs() == hashlib.sha256((first / PAIRS).read_bytes()).hexdigest()
    assert bench.held() == bench.wanted()
    assert bench.hub.downloaded() == sum(len(good[path]) for path in (WEIGHTS, *worse, "vocab.txt"))

    shutil.rmtree(bench.folder / ".aqea/pinned")
    refused = bench.make(spec, status=1, env=env)
    assert f"mini: {WEIGHTS}" in refused.err
    assert "aqea-registry pin mini" in refused.err
    assert not (bench.folder / PAIRS).exists()
    assert set(bench.held().values()) <= set(bench.wanted().values())
    assert not list((bench.folder / ".aqea").rglob("*.part"))


def test_no_source_has_it(bench: Bench, places: Places, store: dict[str, Files]) -> None:
    places.fill({MODEL: {path: data for path, data in store[MODEL].items() if path != "config.json"}, STS17: store[STS17]})
    for kind in ("directory", "file", "http", "s3"):
        result = bench.make(places.specs[kind], status=3, env=places.s3.environment(bench.folder))
        assert "mini: no source has config.json" in result.err and "next:" in result.err
        assert places.specs[kind].partition("{")[0].removeprefix("directory:") in result.err
    nowhere = ["directory:/nothing/here", "http://127.0.0.1:9/x", "s3://no-such-bucket/x", "cache"]
    shutil.rmtree(bench.folder / ".aqea/pinned")
    result = bench.make(*nowhere, status=3, env=places.s3.environment(bench.folder))
    for spec in nowhere:
        assert spec in result.err
    assert not bench.held()


def test_a_cache_with_wrong_bytes(bench: Bench, store: dict[str, Files], first: Path) -> None:
    cache = fill_cache(bench)
    blob = cache / f"models--{MODEL.replace('/', '--')}/blobs" / hashlib.sha256(store[MODEL][WEIGHTS]).hexdigest()
    content = bytearray(blob.read_bytes())
    content[70_000] ^= 1
    blob.write_bytes(content)
    bench.hub.forget()
    result = bench.make("cache", "hub")
    assert f"warning: mini: {WEIGHTS} from cache" in result.err
    assert bench.pairs() == hashlib.sha256((first / PAIRS).read_bytes()).hexdigest()
    assert bench.hub.downloaded() == len(store[MODEL][WEIGHTS])
    assert blob.read_bytes() == content, "the user's cache is only read"


# The Hub, in trouble


def test_a_cut_download_goes_on_where_it_was_cut(bench: Bench, store: dict[str, Files]) -> None:
    size = len(store[MODEL][WEIGHTS])
    bench.hub.faults.add(Fault(path=payload(WEIGHTS), cut=50_000))
    bench.make("hub")
    assert bench.hub.downloaded(WEIGHTS) == size, "no byte was asked for twice"
    assert bench.held() == bench.wanted()


@pytest.mark.parametrize("flip", [None, 10])
def test_what_a_broken_run_left_is_used_if_it_is_right(bench: Bench, store: dict[str, Files], flip: int | None) -> None:
    size = len(store[MODEL][WEIGHTS])
    bench.hub.faults.add(Fault(path=payload(WEIGHTS), cut=50_000, flip=flip))
    bench.hub.faults.add(Fault(path=payload(WEIGHTS), times=None, status=503, headers={"Retry-After": "0"}))
    bench.make("hub", status=3)
    bench.hub.faults.clear()
    bench.hub.forget()
    bench.make()
    assert bench.hub.downloaded(WEIGHTS) == (size - 50_000 if flip is None else 2 * size - 50_000)
    assert bench.held() == bench.wanted()
    assert not [path for path in (bench.folder / ".aqea/incoming").iterdir() if path.suffix != ".lock"]


def test_what_is_held_is_not_asked_for(bench: Bench) -> None:
    bench.make("hub")
    bench.hub.forget()
    bench.make()
    assert not bench.hub.requests
    bench.hub.offline()
    bench.make()


def test_offline_from_the_start(bench: Bench) -> None:
    env = {"HF_HUB_OFFLINE": "1"}
    fill_cache(bench)
    bench.hub.forget()
    refused = bench.make("hub", status=3, env=env)
    assert "HF_HUB_OFFLINE" in refused.err and "talk" in refused.err  # its rows are read first
    bench.make("hub", "cache", env=env)
    assert not bench.hub.requests
    assert bench.held() == bench.wanted()


def test_a_tag_that_moved_after_pinning(bench: Bench, first: Path) -> None:
    later = bench.hub.store.commit("models", MODEL, {"vocab.txt": b"other\n"})
    bench.hub.store.move_tag("models", MODEL, "v1", later)
    bench.make("hub")
    assert bench.held() == bench.wanted()
    assert bench.pairs() == hashlib.sha256((first / PAIRS).read_bytes()).hexdigest()


def test_a_repository_that_was_deleted_after_pinning(bench: Bench, places: Places, store: dict[str, Files]) -> None:
    bench.hub.store.delete_repo("models", MODEL)
    refused = bench.make("hub", status=3)
    assert "mini: no source has" in refused.err and MODEL in refused.err
    places.fill(store)
    bench.make("hub", places.specs["file"])
    assert bench.held() == bench.wanted()
    assert bench.aqea("pin", "--check", "mini").status == 1


def test_a_hub_that_tampers(bench: Bench, store: dict[str, Files]) -> None:
    commit = bench.commits()[MODEL]
    bench.hub.store.put("models", MODEL, commit, WEIGHTS, store[MODEL][WEIGHTS][::-1])
    result = bench.make("hub", status=1)
    assert f"mini: {WEIGHTS} from hub" in result.err
    assert set(bench.held().values()) <= set(bench.wanted().values())
    bench.hub.store.put("models", MODEL, commit, WEIGHTS, store[MODEL][WEIGHTS] + b"more")
    bench.make("hub", status=1)
    bench.hub.store.put("models", MODEL, commit, WEIGHTS, store[MODEL][WEIGHTS])
    bench.make("hub")
