"""`pin` against a Hub: what it records, what it notices later, and what it does when the Hub misbehaves."""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from aqea_registry.sources.resolve import matches
from tests.helpers import weights
from tests.servers.hub import Fault, HubServer, payload
from tests.tools import BIN, Result, aqea, environment, run

pytest.importorskip("huggingface_hub")

MODEL, DATA = "org/model", "org/data"
TOKEN = "hf_AVerySecretToken"
LOCK = "manifests/pins.json"
WEIGHTS = weights(random.Random(0).randbytes(40_000))
MODEL_FILES = {
    "README.md": b"---\nlicense: apache-2.0\n---\n",
    "config.json": b'{"a": 1}',
    "1_Pooling/config.json": b"{}",
    "vocab.txt": b"one\ntwo\n",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"pickle",
    "onnx/model.onnx": b"other",
}
PINNED = ("1_Pooling/config.json", "config.json", "model.safetensors", "vocab.txt")
DATA_FILES = {"README.md": b"---\nlicense: cc0-1.0\n---\n", "test.jsonl": b'{"sentence1": "a", "sentence2": "b", "score": 1}\n'}


class Desk:
    """A project with nothing but a catalogue, and a Hub of its own."""

    def __init__(self, folder: Path, hub: HubServer) -> None:
        self.hub, self.folder, self.cache = hub, folder / "project", folder / "cache"
        self.folder.mkdir()
        hub.store.create("models", MODEL)
        hub.store.create("datasets", DATA)
        self.commit = hub.store.commit("models", MODEL, MODEL_FILES)
        self.data_commit = hub.store.commit("datasets", DATA, DATA_FILES)
        hub.store.tag("models", MODEL, "v1")
        for name in ("dvc.yaml", ".gitignore"):
            (self.folder / name).touch()
        self.write({"m": {"repo": MODEL, "revision": "v1"}}, {"d": {"repo": DATA, "revision": "main"}})

    def write(self, models: Mapping[str, Any], datasets: Mapping[str, Any], **more: Any) -> None:
        every = {name: {"dimension": 4, **entry} for name, entry in models.items()}
        publish = {"stores": [], "title": "Test"}
        params = {
            "datasets": dict(datasets),
            "models": every,
            "runs": {},
            "run": {"pairs": {}, "exports": {}},
            "publish": publish,
            **more,
        }
        (self.folder / "params.yaml").write_text(yaml.safe_dump(params))

    def aqea(
        self, *words: str, token: str | None = None, env: Mapping[str, str] | None = None, process: bool | None = None
    ) -> Result:
        everything = {**self.hub.environment(self.cache, token=token), **(env or {})}
        return aqea(*words, cwd=self.folder, env=everything, process=process)

    def pin(self, *names: str, status: int = 0, token: str | None = None) -> Result:
        result = self.aqea("pin", *names, token=token)
        assert result.status == status, result
        return result

    def check(self, *names: str) -> tuple[int, dict[str, str]]:
        """The status of `pin --check` and the code of each entry."""
        result = self.aqea("pin", "--check", "--json", *names)
        value = result.json()
        return result.status, value.get("states", {})

    def lock(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.folder / LOCK).read_bytes())
        return value

    def lock_bytes(self) -> bytes | None:
        return (self.folder / LOCK).read_bytes() if (self.folder / LOCK).exists() else None


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with HubServer(tmp_path / "store") as hub:
        hub.store.token(TOKEN, user="alice", role="read")
        yield Desk(tmp_path, hub)


# What is recorded


def test_a_branch_a_tag_and_a_commit_are_resolved(desk: Desk) -> None:
    later = desk.hub.store.commit("models", MODEL, {"config.json": b'{"a": 2}'})
    desk.hub.store.branch("models", MODEL, "try/this", desk.commit)
    desk.write(
        {
            "nothing": {"repo": MODEL},
            "main": {"repo": MODEL, "revision": "main"},
            "branch": {"repo": MODEL, "revision": "try/this"},
            "tag": {"repo": MODEL, "revision": "v1"},
            "commit": {"repo": MODEL, "revision": desk.commit},
            "both": {"repo": MODEL, "revision": "v1", "commit": desk.commit},
        },
        {},
    )
    desk.pin()
    pins = desk.lock()["models"]
    found = {name: (pin["requested"], pin["commit"]) for name, pin in pins.items()}
    assert found == {
        "nothing": (None, later),
        "main": ("main", later),
        "branch": ("try/this", desk.commit),
        "tag": ("v1", desk.commit),
        "commit": (desk.commit, desk.commit),
        "both": ("v1", desk.commit),
    }
    assert pins["main"]["files"]["config.json"]["sha256"] == hashlib.sha256(b'{"a": 2}').hexdigest()
    assert pins["tag"]["files"] == pins["commit"]["files"] == pins["branch"]["files"]


def test_a_pin_holds_what_the_files_are_and_where_they_came_from(desk: Desk) -> None:
    before = datetime.now(UTC).date().isoformat()
    result = desk.pin()
    days = {before, datetime.now(UTC).date().isoformat()}
    assert re.search(rf"new +m: 4 files, {desk.commit}, from hub", result.out)
    pin = desk.lock()["models"]["m"]
    assert sorted(pin["files"]) == sorted(PINNED)
    for path, file in pin["files"].items():
        content = MODEL_FILES[path]
        assert (file["sha256"], file["size"]) == (hashlib.sha256(content).hexdigest(), len(content))
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        assert file.get("blob") == (None if path.endswith(".safetensors") else blob)
    assert (pin["kind"], pin["id"], pin["licence"], pin["resolved_from"]) == ("model", MODEL, "apache-2.0", "hub")
    assert pin["resolved_at"] in days
    data = desk.lock()["datasets"]["d"]
    assert (data["kind"], data["id"], data["licence"], list(data["files"])) == ("dataset", DATA, "cc0-1.0", ["test.jsonl"])
    assert desk.lock_bytes() == (json.dumps(desk.lock(), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def test_large_files_are_not_downloaded_and_small_ones_are_checked(desk: Desk) -> None:
    desk.pin("m")
    assert desk.hub.downloaded(r".*safetensors") == 0
    assert desk.hub.downloaded(r"(config\.json|1_Pooling/config\.json|vocab\.txt)") == sum(
        len(MODEL_FILES[path]) for path in PINNED if not path.endswith("safetensors")
    )
    assert desk.hub.downloaded(r".*(bin|onnx)") == 0
    before = desk.lock_bytes()
    desk.hub.store.put("models", MODEL, desk.commit, "config.json", b'{"a": 3}')
    result = desk.pin("m", status=1)
    expected = hashlib.sha1(b'blob 8\0{"a": 1}', usedforsecurity=False).hexdigest()
    actual = hashlib.sha1(b'blob 8\0{"a": 3}', usedforsecurity=False).hexdigest()
    for word in ("m: config.json", expected, actual):
        assert word in result.err
    assert desk.lock_bytes() == before
    assert not list(desk.folder.glob(".aqea/pinned/**/*"))


def test_other_origins_get_no_token_and_nothing_is_compressed_on_the_way(desk: Desk) -> None:
    """A range of a compressed body would be another part of the file."""
    desk.hub.store.lfs_size = 1  # so that all files come from another origin
    desk.hub.store.commit("models", MODEL, {"vocab.txt": b"large as such\n"})
    desk.write({"m": {"repo": MODEL, "revision": "main"}}, {})
    desk.pin(token=TOKEN)
    files = [made for made in desk.hub.requests if "/resolve" in made.path or "/cdn/" in made.path]
    assert files and {made.headers.get("Accept-Encoding") for made in files} == {"identity"}
    assert {made.headers.get("Authorization") for made in files if "/cdn/" not in made.path} == {f"Bearer {TOKEN}"}
    assert {made.headers.get("Authorization") for made in files if "/cdn/" in made.path} <= {None}


def test_a_second_run_writes_the_same_bytes(desk: Desk) -> None:
    desk.pin()
    before, changed = desk.lock_bytes(), (desk.folder / LOCK).stat().st_mtime_ns
    result = desk.pin()
    assert [line.split()[0] for line in result.out.splitlines()] == ["same", "same"]
    assert (desk.lock_bytes(), (desk.folder / LOCK).stat().st_mtime_ns) == (before, changed)


def test_the_day_and_the_source_stay_until_something_changes(desk: Desk) -> None:
    desk.pin()
    old = desk.lock()
    old["models"]["m"] |= {"resolved_at": "2001-02-03"}
    (desk.folder / LOCK).write_text(json.dumps(old, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    desk.pin()
    assert desk.lock() == old
    desk.hub.store.move_tag("models", MODEL, "v1", desk.hub.store.commit("models", MODEL, {"vocab.txt": b"three\n"}))
    result = desk.pin()
    assert re.search(r"changed +m:", result.out) and "vocab.txt" in result.out
    assert desk.lock()["models"]["m"]["resolved_from"] == "hub"
    assert desk.lock()["models"]["m"]["resolved_at"] > "2001-02-03"


def test_the_order_does_not_matter_and_a_name_touches_one_entry(desk: Desk) -> None:
    desk.pin("d")
    first = desk.lock()
    desk.pin("m")
    one = desk.lock_bytes()
    assert desk.lock()["datasets"] == first["datasets"]
    (desk.folder / LOCK).unlink()
    desk.pin("m")
    desk.pin("d")
    assert desk.lock_bytes() == one
    (desk.folder / LOCK).unlink()
    desk.pin()
    assert desk.lock_bytes() == one
    desk.hub.store.move_tag("models", MODEL, "v1", desk.hub.store.commit("models", MODEL, {"vocab.txt": b"three\n"}))
    desk.pin("d")
    assert desk.lock_bytes() == one


def test_two_runs_at_once_both_keep_what_they_found(desk: Desk) -> None:
    names = [f"m{at}" for at in range(4)]
    desk.write({name: {"repo": MODEL, "revision": "v1"} for name in names}, {})
    for _ in names:
        desk.hub.faults.add(Fault(path="/api/models/", delay=1.0))
    env = environment(desk.hub.environment(desk.cache))
    running = [
        subprocess.Popen([str(BIN / "aqea-registry"), "pin", name], cwd=desk.folder, env=env, stdout=subprocess.DEVNULL)
        for name in names
    ]
    assert [one.wait(600) for one in running] == [0] * len(names)
    assert sorted(desk.lock()["models"]) == names


def test_two_runs_at_once_may_pin_the_same(desk: Desk) -> None:
    desk.hub.faults.add(Fault(path=payload("vocab.txt"), times=None, delay=0.5))
    env = environment(desk.hub.environment(desk.cache))
    words = [str(BIN / "aqea-registry"), "pin", "m"]
    running = [subprocess.Popen(words, cwd=desk.folder, env=env, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [one.wait(600) for one in running] == [0] * 4
    assert sorted(desk.lock()["models"]["m"]["files"]) == sorted(PINNED)


# Bad input and faults

REPO = {"repo": MODEL, "revision": "v1"}
BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "repository": ({"repo": "org/nothing", "revision": "v1"}, 1, "org/nothing"),
    "revision": ({"repo": MODEL, "revision": "v9"}, 1, "v9"),
    "file": ({**REPO, "files": ["model.safetensors", "no.json"]}, 3, "no.json"),
    "commit": ({"repo": MODEL, "revision": "0" * 40}, 1, "0" * 40),
    "39 digits in revision": ({"repo": MODEL, "revision": "0" * 39}, 1, "0" * 39),
    "39 digits in commit": ({**REPO, "commit": "0" * 39}, 2, "commit"),
    "other commit": ({**REPO, "commit": "1" * 40}, 1, "1" * 40),
    "pickle": ({**REPO, "files": ["config.json", "pytorch_model.bin"]}, 1, "pytorch_model.bin"),
    "kind": ({"repo": DATA, "revision": "main"}, 1, DATA),
    "id": ({"repo": "org/model/more", "revision": "main"}, 2, "org/model/more"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_entries_are_named_and_change_nothing(desk: Desk, case: str) -> None:
    entry, status, word = BAD[case]
    desk.pin()
    before = desk.lock_bytes()
    desk.write({"m": REPO, "wrong": entry}, {"d": {"repo": DATA, "revision": "main"}})
    result = desk.pin("wrong", status=status)
    assert word in result.err
    assert "wrong" in result.err, "the entry is named"
    assert desk.lock_bytes() == before
    assert desk.pin(status=status).status == status
    assert desk.lock_bytes() == before


def test_one_bad_entry_does_not_keep_the_others_from_being_pinned(desk: Desk) -> None:
    desk.write({"a": {"repo": "org/nothing"}, "m": REPO, "z": {"repo": "org/gone"}}, {"d": {"repo": DATA, "revision": "main"}})
    result = desk.pin(status=1)
    assert "FAILED     a" in result.out and "FAILED     z" in result.out
    assert "repository-gone: a" in result.out and "repository-gone: z" in result.out
    assert (sorted(desk.lock()["models"]), sorted(desk.lock()["datasets"])) == (["m"], ["d"])


def test_repositories_that_not_everybody_may_read(desk: Desk) -> None:
    desk.hub.store.settings("models", MODEL, private=True)
    hidden = desk.pin("m", status=1)
    assert "private" in hidden.err and "HF_TOKEN" in hidden.err and MODEL in hidden.err
    desk.hub.store.settings("models", MODEL, private=False, gated=True)
    gated = desk.pin("m", status=4)
    assert "gated" in gated.err and "terms" in gated.err
    wrong = desk.pin("m", status=4, token="hf_Unknown")
    assert "401" in wrong.err and "HF_TOKEN" in wrong.err
    assert desk.lock_bytes() is None
    desk.hub.store.settings("models", MODEL, private=True, gated=True)
    desk.hub.store.let_in("models", MODEL, "alice")
    fine = desk.pin("m", token=TOKEN)  # a token that may only read is enough
    everything = [fine, hidden, gated, wrong, desk.aqea("pin", "--check", "--json", token=TOKEN)]
    for result in everything:
        assert TOKEN not in result.out + result.err and "hf_Unknown" not in result.out + result.err
    for path in (*desk.folder.rglob("*"), *desk.cache.rglob("*")):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()


API, SMALL, NOW = "^/api/models/", payload("vocab.txt"), {"Retry-After": "0"}
FAULTS: dict[str, tuple[Fault, int, str]] = {
    "401": (Fault(path=API, times=None, status=401), 4, "401"),
    "403": (Fault(path=API, times=None, status=403), 4, "403"),
    "403 for a file": (Fault(path="vocab.txt", times=None, status=403), 4, "403"),
    "404": (Fault(path=API, times=None, status=404), 3, "404"),
    "404 for a file": (Fault(path="vocab.txt", times=None, status=404, code="EntryNotFound"), 1, "vocab.txt"),
    "500 once": (Fault(path=API, status=500), 0, ""),
    "500 always": (Fault(path=API, times=None, status=500, headers=NOW), 3, "500"),
    "429 once": (Fault(path=API, status=429, headers={"Retry-After": "1"}), 0, ""),
    "429 for a file": (Fault(path=SMALL, status=429, headers=NOW), 0, ""),
    "429 always": (Fault(path=API, times=None, status=429, headers=NOW), 3, "429"),
    "429 with a date": (Fault(path=API, status=429, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), 0, ""),
    "no JSON, once": (Fault(path=API, status=200, body=b"<html>"), 0, ""),
    "other JSON": (Fault(path=API, times=None, status=200, body=b"[]", headers=NOW), 3, MODEL),
    "no answer": (Fault(path=SMALL, times=None, drop=True), 3, "vocab.txt"),
    "silence": (Fault(path=API, delay=3600), 0, ""),  # not waited for: a command has less than this
    "silence in the middle": (Fault(path=SMALL, cut=3, stall=3600), 0, ""),
    "cut in the middle": (Fault(path=SMALL, cut=3), 0, ""),
    "shorter": (Fault(path=SMALL, times=None, truncate=3), 1, "vocab.txt"),
    "longer": (Fault(path=SMALL, times=None, append=b"more"), 1, "vocab.txt"),
    "more than announced": (Fault(path=SMALL, overrun=b"more"), 0, ""),
    "another byte": (Fault(path=SMALL, flip=2, times=None), 1, "vocab.txt"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults_of_the_hub(desk: Desk, case: str) -> None:
    template, status, word = FAULTS[case]
    desk.hub.faults.add(template)
    template.hits = 0
    result = desk.aqea("pin", "m", env={"HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1"})
    assert template.hits, "the fault was met"
    assert result.status == status, result
    assert word in result.err
    if status:
        assert "m: " in result.err and "next:" in result.err
        assert desk.lock_bytes() is None
        desk.hub.faults.clear()
        desk.pin("m")
    files = desk.lock()["models"]["m"]["files"]
    assert files["vocab.txt"]["sha256"] == hashlib.sha256(MODEL_FILES["vocab.txt"]).hexdigest()


# What stands at the head of somebody's dataset card, and whether a warning says that it was not used.
CARDS: dict[str, tuple[str, bool]] = {
    "deep": (f"a: {'[' * 200}{']' * 200}", True),
    "wide, by its aliases": (f"a: &a [{'1,' * 1000}1]\nb: [{'*a,' * 1000}1]", True),
    "not a date": ("a: 2024-13-45", True),
    "not a number": ("a: 0b_", True),
    "a key twice": ("configs: []\nconfigs: []", True),
    "an object": ("a: !!python/object/apply:os.system [id]", True),
    "configs that are a number": ("configs: 5", False),
    "paths that are numbers": ("configs:\n- {config_name: default, data_files: [{split: test, path: [5, [6]]}]}", False),
}


@pytest.mark.parametrize("case", CARDS)
def test_a_card_that_cannot_be_used_is_as_if_it_were_not_there(desk: Desk, case: str) -> None:
    front, warned = CARDS[case]
    desk.hub.store.commit("datasets", DATA, {**DATA_FILES, "README.md": f"---\n{front}\n---\n# x".encode()})
    result = desk.pin("d")
    assert list(desk.lock()["datasets"]["d"]["files"]) == ["test.jsonl"]
    assert ("d: README.md: " in result.err) == warned, result.err


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ("**/*.jsonl", "a/b/c.jsonl a/d.jsonl test.jsonl"),
        ("a/**", "a/b/c.jsonl a/d.jsonl"),
        ("*/*.jsonl", "a/d.jsonl"),
        ("a/**/b/*", "a/b/c.jsonl"),
        ("**/b/**/c.jsonl", "a/b/c.jsonl"),
        ("**/x/**", ""),
        ("a**", ""),
        ("**", "a/b/c.jsonl a/d.jsonl test.jsonl"),
    ],
)
def test_two_stars_stand_for_any_folders(pattern: str, chosen: str) -> None:
    paths = ["a/b/c.jsonl", "a/d.jsonl", "test.jsonl"]
    assert [path for path in paths if matches(path, [pattern])] == chosen.split()


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_card_says_where_the_files_are_also_behind_a_byte_order_mark(desk: Desk, mark: bytes) -> None:
    card = b"---\nconfigs: [{config_name: default, data_files: [{split: test, path: rows.jsonl}]}]\n---\n"
    desk.hub.store.commit("datasets", DATA, {**DATA_FILES, "README.md": mark + card, "rows.jsonl": DATA_FILES["test.jsonl"]})
    desk.pin("d")
    assert list(desk.lock()["datasets"]["d"]["files"]) == ["rows.jsonl"]
    desk.hub.store.commit("datasets", DATA, {"README.md": mark + card.replace(b"rows", b"others")})
    assert "no file of config 'default', split 'test'\n  next: name them" in desk.pin("d", status=3).err


def test_a_hub_that_is_not_there(desk: Desk) -> None:
    desk.hub.offline()
    result = desk.pin("m", status=3)
    assert "m" in result.err and "next:" in result.err
    result = desk.aqea("pin", "m", env={"HF_HUB_OFFLINE": "1"})
    assert result.status == 3 and "HF_HUB_OFFLINE" in result.err
    assert desk.lock_bytes() is None


# Rows and splits

ROW = {"sentence1": "a", "sentence2": "b", "score": 1}


def folder(desk: Desk, *files: str, **more: Any) -> dict[str, Any]:
    """The entry of a dataset in a folder."""
    return {"kind": "directory", "repo": "rows", "files": list(files), "sources": [f"directory:{desk.folder / 'in'}"], **more}


def put(desk: Desk, **files: str) -> None:
    (desk.folder / "in").mkdir(exist_ok=True)
    for name, content in files.items():
        (desk.folder / "in" / f"{name}.jsonl").write_text(content)


def test_what_generation_would_refuse_is_pinned_and_reported(desk: Desk) -> None:
    put(desk, rows=json.dumps(ROW) + '\n{"score": 1, "score": 2}\n', good=json.dumps(ROW))
    desk.write({"m": REPO}, {"bad": folder(desk, "rows.jsonl"), "good": folder(desk, "good.jsonl")})
    result = desk.pin(status=1)
    assert "malformed: rows.jsonl:2: the key 'score' appears twice" in result.out
    assert "dataset bad cannot be used" in result.err and "FAILED" not in result.out
    assert sorted(desk.lock()["datasets"]) == ["bad", "good"]
    assert desk.pin("good").err == ""


def test_small_files_of_the_hub_are_read_and_large_ones_are_not_here(desk: Desk) -> None:
    desk.hub.store.commit("datasets", DATA, {"test.jsonl": json.dumps({**ROW, "score": True}).encode()})
    assert "malformed: test.jsonl:1: 'score' is True, not a number" in desk.pin("d", status=1).out
    desk.hub.store.lfs_size = 1
    desk.hub.store.commit("datasets", DATA, {"test.jsonl": b"no rows at all\n" * 3000})
    desk.pin("d")


def test_files_of_other_splits_are_reported_until_the_split_is_said(desk: Desk) -> None:
    put(desk, train=json.dumps(ROW), test=json.dumps(ROW))
    desk.write({}, {"slip": folder(desk, "train.jsonl"), "both": folder(desk, "*.jsonl")})
    result = desk.pin(status=1)
    assert "wrong-split: slip: train.jsonl: " in result.out and "wrong-split: both: train.jsonl: " in result.out
    assert "files of several splits: test, train" in result.out and "next: correct 'files' of" in result.err
    assert "note: both: 1 of its 2 rows has the two sentences of a row of an earlier file" in result.out
    assert desk.check() == (1, {"slip": "wrong-split", "both": "wrong-split"})
    desk.write({}, {"slip": folder(desk, "train.jsonl", split="train"), "both": folder(desk, "*.jsonl", split="train+test")})
    assert desk.pin().err == ""
    noted = desk.aqea("pin", "both", "--json").json()
    assert noted["notes"] == ["both: 1 of its 2 rows has the two sentences of a row of an earlier file"]


def test_rows_of_parquet_are_pinned_without_pyarrow(desk: Desk) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    put(desk)
    parquet.write_table(pyarrow.Table.from_pylist([{**ROW, "score": True}]), desk.folder / "in/rows.parquet")
    desk.write({}, {"d": folder(desk, "rows.parquet")})
    start = "import sys; sys.modules['pyarrow'] = None; from aqea_registry.cli import main; main()"
    done = run(sys.executable, "-c", start, "pin", cwd=desk.folder)
    assert (done.status, list(desk.lock()["datasets"]["d"]["files"])) == (0, ["rows.parquet"])
    assert "note: d: its rows were not read: pyarrow is not installed; Parquet needs it\n" in done.out
    assert "'score' holds bool, not a number" in desk.pin(status=1).out
