"""`aqea-registry pull`: what a release holds, checked, where it belongs, and nothing that a hostile store would like better."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aqea_registry.base.files import locked
from aqea_registry.base.progress import Silent
from aqea_registry.releases.pull import pull
from aqea_registry.stores.open_store import open_tagged
from aqea_registry.stores.release import ARTIFACT_TYPE, CONFIG, EMPTY_CONFIG, MANIFEST_TYPE, TITLE, build, digest_of
from tests.helpers import found, tree
from tests.tools import BIN, aqea, environment

FILES = {"README.md": b"# card\n", "data/a.json": b"{}\n", "data/deep/b.json": b"[1]\n", "metrics/m.json": b"{}\n"}
Layers = list[dict[str, Any]]


def layer(path: str, content: bytes, **other: Any) -> dict[str, Any]:
    return {"mediaType": "text/plain", "digest": digest_of(content), "size": len(content), "annotations": {TITLE: path}} | other


def blob(folder: Path, digest: str) -> Path:
    return folder / "blobs/sha256" / digest.removeprefix("sha256:")


def lay(folder: Path, manifest: bytes, *contents: bytes) -> str:
    """An OCI layout with one tag, v1, on these bytes of a manifest."""
    digest = digest_of(manifest)
    (folder / "blobs/sha256").mkdir(parents=True)
    for content in (manifest, EMPTY_CONFIG, *contents):
        blob(folder, digest_of(content)).write_bytes(content)
    entry = {"mediaType": MANIFEST_TYPE, "digest": digest, "size": len(manifest)}
    entry["annotations"] = {"org.opencontainers.image.ref.name": "v1"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return digest


def manifest_of(layers: Layers) -> bytes:
    config = {"mediaType": CONFIG.media_type, "digest": CONFIG.digest, "size": 2}
    value = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "artifactType": ARTIFACT_TYPE, "config": config, "layers": layers}
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    release = build((path, hashlib.sha256(content).hexdigest(), len(content)) for path, content in FILES.items())
    lay(tmp_path / "store", release.render(), *FILES.values())
    return tmp_path / "store"


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_release_is_restored_and_a_second_pull_fetches_nothing(store: Path, tmp_path: Path) -> None:
    first = aqea("pull", "oci:store:v1", "--to", "out", "--json", cwd=tmp_path)
    assert (first.status, first.err) == (0, "")
    assert files(tmp_path / "out") == FILES
    assert (first.json()["fetched"], first.json()["bytes"]) == (4, sum(map(len, FILES.values())))
    before = tree(tmp_path / "out")
    (tmp_path / "out/data/a.json").unlink()
    again = aqea("pull", "oci:store:v1", "--to", "out", "--json", cwd=tmp_path)
    assert (again.status, again.json()["fetched"]) == (0, 1)
    third = aqea("pull", "oci:store:v1", "--to", "out", cwd=tmp_path)
    assert "0 fetched" in third.out and {path: seen[0] for path, seen in tree(tmp_path / "out").items()} == {
        path: seen[0] for path, seen in before.items()
    }
    assert aqea("pull", "oci:store:v1", cwd=tmp_path).status == 0
    assert files(tmp_path / "store-v1") == FILES, "the folder that nobody named"


def test_files_in_the_way_are_kept_unless_forced(store: Path, tmp_path: Path) -> None:
    (tmp_path / "out/data").mkdir(parents=True)
    (tmp_path / "out/data/a.json").write_text("mine")
    (tmp_path / "out/other.txt").write_text("mine too")
    refused = aqea("pull", "oci:store:v1", "--to", "out", "--json", cwd=tmp_path)
    assert (refused.status, found(refused)) == (1, {("conflict", "out/data/a.json")})
    assert "1 file differs from" in refused.err
    assert "--force" in refused.err
    assert files(tmp_path / "out") == {"data/a.json": b"mine", "other.txt": b"mine too"}
    assert aqea("pull", "oci:store:v1", "--to", "out", "--force", cwd=tmp_path).status == 0
    assert files(tmp_path / "out") == {**FILES, "other.txt": b"mine too"}


@pytest.mark.parametrize("where", ["data", "data/a.json", ".aqea-incoming"])
def test_nothing_is_written_through_a_link(store: Path, tmp_path: Path, where: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.json").write_text("mine")
    place = tmp_path / "out" / where
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "elsewhere" / ("a.json" if where.endswith(".json") else ""))
    result = aqea("pull", "oci:store:v1", "--to", "out", "--force", cwd=tmp_path)
    assert result.status in (1, 2, 3) and "\nerror: " in f"\n{result.err}"
    assert files(tmp_path / "elsewhere") == {"a.json": b"mine"}
    assert not (tmp_path / "out/README.md").exists()


def damaged(content: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def change(store: Path) -> None:
        path = blob(store, digest_of(FILES["data/deep/b.json"]))
        path.write_bytes(content(path.read_bytes()))

    return change


DAMAGES = {
    "another byte": damaged(lambda content: b"X" + content[1:]),
    "shorter": damaged(lambda content: content[:-1]),
    "longer": damaged(lambda content: content + b"x" * 1_000_000),
    "empty": damaged(lambda content: b""),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_bytes_that_are_not_the_releases_get_no_name(store: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(store)
    result = aqea("pull", "oci:store:v1", "--to", "out", "--json", cwd=tmp_path)
    assert (result.status, found(result)) == (1, {("mismatch", "oci:store:v1: data/deep/b.json")})
    left = files(tmp_path / "out")
    wrong = digest_of(FILES["data/deep/b.json"]).removeprefix("sha256:")
    assert "data/deep/b.json" not in left and f".aqea-incoming/{wrong}" not in left  # of others a part may wait
    blob(store, digest_of(FILES["data/deep/b.json"])).write_bytes(FILES["data/deep/b.json"])
    assert aqea("pull", "oci:store:v1", "--to", "out", cwd=tmp_path).status == 0
    assert files(tmp_path / "out") == FILES


X = b"x\n"
HOSTILE: dict[str, bytes] = {
    "climbs": manifest_of([layer("../x", X)]),
    "climbs later": manifest_of([layer("data/../../x", X)]),
    "absolute": manifest_of([layer("/tmp/aqea-hostile", X)]),
    "NUL": manifest_of([layer("a\0b", X)]),
    "backslash": manifest_of([layer("..\\x", X)]),
    "a drive": manifest_of([layer("C:x", X)]),
    "a line end": manifest_of([layer("a\nb", X)]),
    "an escape code": manifest_of([layer("a\x1b[31mb", X)]),
    "case alone": manifest_of([layer("data/A.json", X), layer("data/a.json", X)]),
    "Unicode form alone": manifest_of([layer("caf\u00e9", X), layer("cafe\u0301", X)]),
    "twice": manifest_of([layer("a", X), layer("a", b"y")]),
    "a file and a folder": manifest_of([layer("a", X), layer("a/b", X)]),
    "no title": manifest_of([layer("a", X, annotations={})]),
    "a negative size": manifest_of([layer("a", X, size=-1)]),
    "a size that is a word": manifest_of([layer("a", X, size="2")]),
    "two sizes": manifest_of([layer("a", X), layer("b", X, size=3)]),
    "another hash": manifest_of([layer("a", X, digest="md5:" + "0" * 32)]),
    "what pull keeps": manifest_of([layer("a", X), layer(".aqea-incoming/x", X)]),
    "what pull keeps, itself": manifest_of([layer(".aqea-incoming", X)]),
    "what the program keeps": manifest_of([layer("data/.AQEA/pinned", X)]),
    "a hook of git": manifest_of([layer(".git/hooks/post-checkout", X)]),
    "git in capitals": manifest_of([layer("data/.GIT/config", X)]),
    "git with a dot": manifest_of([layer(".git./config", X)]),
    "git with an unseen character": manifest_of([layer(".g\u200cit/config", X)]),
    "git by its short name": manifest_of([layer("GIT~1/config", X)]),
    "a name of 256 bytes": manifest_of([layer("data/" + "\u00e9" * 128, X)]),
    "a path of a thousand folders": manifest_of([layer("a/" * 1000 + "x" * 25, X)]),
    "an unseen character alone": manifest_of([layer("data/a", X), layer("data/a\u200d", X)]),
    "no layers": manifest_of([]),
    "layers nested deep": manifest_of([]).replace(b"[]", b"[" * 100_000 + b"]" * 100_000),
    "annotations nested deep": manifest_of([layer("a", X)]).replace(b'"text/plain"', b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "no JSON": b"\xff\xfe",
    "an index": b'{"schemaVersion":2,"manifests":[]}',
    "over the limit": manifest_of([layer("a", X)]) + b" " * (4 << 20),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_release_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    lay(tmp_path / "store", HOSTILE[name], X, b"y")
    for words in (("pull", "oci:store:v1", "--to", "out"), ("verify", "oci:store:v1")):
        result = aqea(*words, "--json", cwd=tmp_path)
        assert result.status in (1, 3), result
        assert not result.json()["ok"]
    assert not (tmp_path / "out").exists()
    assert not Path("/tmp/aqea-hostile").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


def test_a_wrong_size_is_found(tmp_path: Path) -> None:
    lay(tmp_path / "store", manifest_of([layer("a", X, size=3), layer("b", b"y" * 9, size=1)]), X, b"y" * 9)
    result = aqea("pull", "oci:store:v1", "--to", "out", "--json", cwd=tmp_path)
    ((code, subject),) = found(result)  # both are fetched at once, and the first that is wrong stops the other
    assert (result.status, code) == (1, "mismatch") and subject in ("oci:store:v1: a", "oci:store:v1: b")
    assert files(tmp_path / "out") == {}


def test_ten_thousand_layers(tmp_path: Path) -> None:
    lay(tmp_path / "store", manifest_of([layer(f"d{at % 100}/f{at}", X) for at in range(10_000)]), X)
    result = aqea("pull", "oci:store:v1", "--to", "out", "--json", cwd=tmp_path, timeout=120)
    assert (result.status, result.json()["files"]) == (0, 10_000)
    assert sum(1 for path in (tmp_path / "out").rglob("f*") if path.is_file()) == 10_000


def test_a_release_that_the_disk_has_no_room_for_is_refused_first(tmp_path: Path) -> None:
    lay(tmp_path / "store", manifest_of([layer("a", X, size=1 << 60)]), X)
    result = aqea("pull", "oci:store:v1", "--to", "out", cwd=tmp_path)
    assert result.status == 3 and "the disk has" in result.err
    assert not (tmp_path / "out").exists()


def test_a_killed_pull_goes_on(tmp_path: Path) -> None:
    big = os.urandom(64 << 20)
    lay(tmp_path / "store", manifest_of([layer("big", big), layer("small", X)]), big, X)
    words = [str(BIN / "aqea-registry"), "pull", "oci:store:v1", "--to", "out"]
    process = subprocess.Popen(words, cwd=tmp_path, env=environment())
    part = tmp_path / "out/.aqea-incoming" / hashlib.sha256(big).hexdigest()
    while process.poll() is None and not (part.exists() and part.stat().st_size):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    arrived = part.stat().st_size if part.exists() else 0
    assert not (tmp_path / "out/big").exists() or arrived == 0
    result = aqea("pull", "oci:store:v1", "--to", "out", "--json", cwd=tmp_path)
    assert result.status == 0 and (tmp_path / "out/big").read_bytes() == big
    assert result.json()["bytes"] <= len(big) + len(X) - arrived


NAMES = {".gitignore", ".github/x", "git/a", "data.git/a", ".aqea.json", "x" * 255, "/".join("abcdefgh" * 30 for _ in range(4))}


def test_names_near_the_refused_ones_are_restored(tmp_path: Path) -> None:
    lay(tmp_path / "store", manifest_of([layer(path, X) for path in sorted(NAMES)]), X)
    assert aqea("pull", "oci:store:v1", "--to", "out", cwd=tmp_path).status == 0
    assert files(tmp_path / "out") == dict.fromkeys(NAMES, X)


@pytest.mark.parametrize("present", [False, True], ids=["into nothing", "into a folder"])
def test_pulls_at_once_into_one_folder_all_end_well(store: Path, tmp_path: Path, present: bool) -> None:
    if present:
        (tmp_path / "out").mkdir()
    words = [str(BIN / "aqea-registry"), "pull", "oci:store:v1", "--to", "out", "--json"]
    pulls = [subprocess.Popen(words, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE) for _ in range(4)]
    answers = [json.loads(pull.communicate()[0]) for pull in pulls]
    assert [pull.returncode for pull in pulls] == [0] * 4, answers
    assert sorted(answer["fetched"] for answer in answers) == [0, 0, 0, 4]
    assert files(tmp_path / "out") == FILES and not (tmp_path / "out/.aqea-incoming").exists()


def test_a_pull_that_waited_has_nothing_to_fetch(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with ThreadPoolExecutor(1) as pool:
        with locked(out):
            waiting = pool.submit(pull, *open_tagged("oci:store:v1", store.parent), out, Silent())
            time.sleep(0.2)  # it has looked at the folder by now
            for path, content in FILES.items():
                (out / path).parent.mkdir(parents=True, exist_ok=True)
                (out / path).write_bytes(content)
            assert not waiting.done()
        assert (waiting.result().fetched, waiting.result().bytes) == (0, 0)
    assert files(tmp_path / "out") == FILES


def test_what_is_not_there_is_said(store: Path, tmp_path: Path) -> None:
    for reference, told in (("oci:store:v2", "no such tag"), ("oci:nowhere:v1", "no such tag")):
        result = aqea("pull", reference, cwd=tmp_path)
        assert result.status == 3 and told in result.err
    assert aqea("pull", "store", cwd=tmp_path).status == 2
