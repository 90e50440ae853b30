"""Releases in an OCI registry: Debian's docker-registry, behind a line that counts, breaks and lies."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Barrier, Thread
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from aqea_registry.base.findings import BadConfiguration, CannotCheck, NotAllowed, Refused, RegistryError, TagConflict
from aqea_registry.remote.retry import CONNECTIONS
from aqea_registry.stores import registry_client
from aqea_registry.stores.attachments import ATTACHMENT_TYPE, fallback_tag
from aqea_registry.stores.port import Tagged
from aqea_registry.stores.registry_client import RegistryClient
from aqea_registry.stores.registry_store import Registry
from aqea_registry.stores.release import MANIFEST_TYPE, Release, build
from tests import sampling
from tests.servers.hub.faults import Fault
from tests.servers.proxy import LineFault, Proxy, Request
from tests.servers.registry import LOGIN, DockerRegistry, docker_registry, free_port, needed
from tests.tools import ROOT, environment, run

__all__ = ["docker_registry"]

FILES = {"README.md": b"# A release\n", "data/x_pairs.json": b'{"x": 1}\n' * 1000}
PAYLOAD = sum(map(len, FILES.values()))
REQUESTS = 14  # of a push of FILES: look, three times (look, begin, send), look, tag, look, look
NAMES = iter(range(10**6))


def release_of(files: Mapping[str, bytes]) -> Release:
    return build((path, hashlib.sha256(content).hexdigest(), len(content)) for path, content in files.items())


RELEASE = release_of(FILES)
OTHER_FILES = {**FILES, "README.md": b"# Another release\n"}
OTHER = release_of(OTHER_FILES)


def put(store: Registry, files: Mapping[str, bytes] = FILES, tag: str = "v1") -> Tagged:
    """Push a release and look at it."""
    store.push(tag, release_of(files), files.__getitem__, "", lambda count: None)
    tagged = store.find(tag)
    assert tagged is not None
    return tagged


def held(store: Registry, deep: bool = False, release: Release = RELEASE) -> dict[str, tuple[str, str | None, int | None]]:
    """How, digest and size of every file that a tag's release has in the store."""
    tagged = store.find("v1")
    assert tagged is not None
    return {one.path: (one.how, one.digest, one.size) for one in store.stored(tagged, release, deep, lambda count: None)}


def all_there(how: str, release: Release = RELEASE) -> dict[str, tuple[str, str | None, int | None]]:
    return {path: (how, layer.digest, layer.size) for path, layer in release.files().items()}


class Desk:
    """A repository of a test's own, reached through a line and directly."""

    def __init__(self, server: DockerRegistry, line: Proxy) -> None:
        self.server, self.line = server, line
        self.name = f"tests/repository-{next(NAMES)}"
        # Nobody else writes here: there is nothing to wait for.
        self.store = Registry(f"oci://{line.endpoint.removeprefix('http://')}/{self.name}", settle=0.1)
        self.direct = Registry(f"oci://{server.host}/{self.name}", settle=0.1)


@pytest.fixture
def desk(docker_registry: DockerRegistry) -> Iterator[Desk]:
    with Proxy(docker_registry.endpoint) as line:
        yield Desk(docker_registry, line)


# What a store does


def test_a_release_goes_in_once_and_comes_out_again(desk: Desk, tmp_path: Path) -> None:
    store, line = desk.store, desk.line
    plan = store.plan("v1", RELEASE)
    assert {blob.digest for blob in plan.new} == {
        *(layer.digest for layer in RELEASE.layers),
        RELEASE.config.digest,
        RELEASE.digest(),
    }
    assert line.received() == 0  # a plan sends nothing, and leaves no upload behind
    assert (line.count("POST"), line.count("DELETE")) == (1, 1)

    line.forget()
    for path, content in FILES.items():  # from files this time
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    sent: list[int] = []
    answer = store.push("v1", RELEASE, tmp_path.__truediv__, "notes", sent.append)
    assert answer == {"manifest": RELEASE.digest(), "repository": store.spec.removeprefix("oci://")}
    assert sum(sent) == PAYLOAD
    assert len(line.requests) == REQUESTS
    assert line.received("PUT", "/uploads/") == PAYLOAD + len(b"{}")
    assert [made.path.endswith("/manifests/v1") for made in line.requests if made.method == "PUT"] == [
        False,
        False,
        False,
        True,
    ]

    tagged = store.find("v1")
    assert tagged == Tagged(tag="v1", digest=RELEASE.digest(), at=RELEASE.digest())
    assert desk.server.manifest(desk.name, "v1")[0] == RELEASE.digest()

    line.forget()
    assert held(store) == all_there("descriptor")
    assert line.sent("GET", "/blobs/") == 0
    assert held(store, deep=True) == all_there("hashed")


def test_what_is_there_is_not_sent_again(desk: Desk) -> None:
    put(desk.store)
    desk.line.forget()
    again: list[int] = []
    desk.store.push("v1", RELEASE, FILES.__getitem__, "", again.append)
    plan = desk.store.plan("v1", RELEASE)
    assert (plan.complete, plan.new, again) == (True, (), [])
    assert desk.line.received() == 0
    assert {made.method for made in desk.line.requests} == {"GET", "HEAD"}
    assert {blob.digest for blob in desk.store.plan("v2", OTHER).new} == {
        OTHER.files()["README.md"].digest,
        OTHER.digest(),
    }
    put(desk.store, OTHER_FILES, "v2")
    assert desk.line.received("PUT", "/uploads/") == len(OTHER_FILES["README.md"])
    assert desk.store.tags() == ["v1", "v2"]


def test_several_blobs_are_sent_at_once(desk: Desk) -> None:
    files = {f"data/{number}.txt": f"{desk.name} {number}".encode() for number in range(6)}
    gate = Barrier(CONNECTIONS)  # nobody passes before all are there
    desk.line.faults.add(Fault(method="PUT", path="/uploads/", times=CONNECTIONS, meanwhile=lambda: gate.wait(60)))
    put(desk.store, files)
    assert not gate.broken
    assert held(desk.direct, deep=True, release=release_of(files)) == all_there("hashed", release_of(files))
    assert desk.line.count("PUT", "/uploads/") == len(files) + 1  # and the config


@pytest.mark.parametrize("same", [True, False])
def test_eight_publishers_at_once(docker_registry: DockerRegistry, same: bool) -> None:
    name = f"tests/race-{next(NAMES)}"
    contents = [{**FILES, "README.md": b"the same" if same else f"publisher {number}".encode()} for number in range(8)]

    def publish(files: Mapping[str, bytes]) -> str | None:
        try:
            put(Registry(f"oci://{docker_registry.host}/{name}"), files)
        except TagConflict:
            return None
        return release_of(files).digest()

    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(publish, contents))
    winner = docker_registry.manifest(name, "v1")[0]
    assert [end for end in ends if end is not None] == [winner] * (8 if same else 1)


def test_a_tag_made_between_the_look_and_the_writing(desk: Desk) -> None:
    desk.line.faults.add(Fault(method="POST", meanwhile=lambda: put(desk.direct, OTHER_FILES)))
    with pytest.raises(TagConflict):
        put(desk.store)
    assert desk.line.count("PUT", "/manifests/") == 0
    assert held(desk.direct, release=OTHER) == all_there("descriptor", OTHER)


def test_skopeo_copies_a_release_in(desk: Desk, tmp_path: Path) -> None:
    needed("skopeo")
    put(desk.direct)
    layout, copy = tmp_path / "layout", f"tests/copy-{next(NAMES)}"
    for source, target, flag in (
        (f"docker://{desk.server.host}/{desk.name}:v1", f"oci:{layout}:v1", "--src-tls-verify=false"),
        (f"oci:{layout}:v1", f"docker://{desk.server.host}/{copy}:v1", "--dest-tls-verify=false"),
    ):
        copied = run("skopeo", "--insecure-policy", "copy", source, target, flag, cwd=tmp_path)
        assert copied.status == 0, copied.err
    store = Registry(f"oci://{desk.server.host}/{copy}")
    tagged = store.find("v1")
    assert tagged is not None and tagged.digest == RELEASE.digest()
    assert store.release(tagged) == RELEASE
    assert held(store, deep=True) == all_there("hashed")
    assert store.plan("v1", RELEASE).complete


def test_tags_on_several_pages(desk: Desk) -> None:
    put(desk.direct, tag="v9")
    for number in range(2):  # the third page is the registry's own
        page = json.dumps({"name": desk.name, "tags": [f"v{number}", fallback_tag(RELEASE.digest())]}).encode()
        link = f'</v2/{desk.name}/tags/list?n=2&last=v{number}>; rel="next"'
        desk.line.faults.add(Fault(path="/tags/list", status=200, body=page, headers={"Link": link}))
    assert desk.store.tags() == ["v0", "v1", "v9"]
    page = json.dumps({"name": desk.name, "tags": ["v0"]}).encode()
    desk.line.faults.add(Fault(path="/tags/list", status=200, body=page, headers={"Link": "<?last=v0>"}, times=None))
    assert desk.store.tags() == ["v0"]  # a registry that pages in circles


# Faults

FAULTS: dict[str, Callable[[int], Fault]] = {
    "too many requests": lambda skip: Fault(method=".*", skip=skip, status=429, headers={"Retry-After": "0"}),
    "server error, twice": lambda skip: Fault(method=".*", skip=skip, status=500, times=2, headers={"Retry-After": "0"}),
    "server error after the deed": lambda skip: Fault(method=".*", skip=skip, status=503, after=True),
    "lost before": lambda skip: Fault(method=".*", skip=skip, status=0, drop=True, reset=True),
    "lost after": lambda skip: Fault(method=".*", skip=skip, drop=True),
}


def requests_of_a_push(server: DockerRegistry) -> list[Request]:
    """The requests that a push makes when nothing goes wrong."""
    with Proxy(server.endpoint) as line:
        put_only = Desk(server, line)
        put_only.store.push("v1", RELEASE, FILES.__getitem__, "", lambda count: None)
        assert len(line.requests) == REQUESTS
        return line.requests


@pytest.mark.parametrize("fault", FAULTS)
def test_a_push_gets_over_a_fault_at_each_request(docker_registry: DockerRegistry, fault: str) -> None:
    def attempt(skip: int) -> None:
        with Proxy(docker_registry.endpoint) as line:
            desk = Desk(docker_registry, line)
            broken = line.faults.add(FAULTS[fault](skip))
            sent: list[int] = []
            desk.store.push("v1", RELEASE, FILES.__getitem__, "", sent.append)
            assert broken.hits >= 1
            assert sum(sent) in {PAYLOAD, PAYLOAD - len(FILES["README.md"]), PAYLOAD - len(FILES["data/x_pairs.json"]), PAYLOAD}
            assert held(desk.direct, deep=True) == all_there("hashed")

    with ThreadPoolExecutor(REQUESTS) as pool:
        list(pool.map(attempt, sampling.requests(requests_of_a_push(docker_registry), share=0.3, name=fault)))


def test_a_push_that_is_killed_after_each_request_is_repeated(docker_registry: DockerRegistry) -> None:
    script = (
        "import sys; from tests.stores.test_registry_store import Registry, put\n"
        "sys.stdin.readline(); put(Registry(sys.argv[1])); print('done')"
    )

    def attempt(after: int) -> None:
        with Proxy(docker_registry.endpoint) as line:
            desk = Desk(docker_registry, line)
            words = [sys.executable, "-c", script, desk.store.spec]
            process = subprocess.Popen(words, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            line.kill(process.pid, after)
            out, _ = process.communicate(b"go\n", timeout=600)
            line.until_clients_left()
            assert (out, process.returncode) == (b"", -9) and after <= len(line.requests) < after + CONNECTIONS
            found = desk.direct.find("v1")  # nothing, or all of it: never a tag without its blobs
            assert found is None or held(desk.direct, deep=True) == all_there("hashed")
            assert (found is not None) == (after >= REQUESTS - 2)
            before = line.received("PUT", "/uploads/")
            put(desk.store)
            assert line.received("PUT", "/uploads/") == PAYLOAD + len(b"{}") >= before
            assert held(desk.direct, deep=True) == all_there("hashed")

    killed = sampling.requests(requests_of_a_push(docker_registry), share=0.3, name="killed")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(attempt, (number + 1 for number in killed)))


@pytest.mark.parametrize(
    ("method", "path"), [("HEAD", "/blobs/"), ("POST", "/uploads/"), ("PUT", "/uploads/"), ("PUT", "/manifests/")]
)
@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_stops_at_once(desk: Desk, method: str, path: str, status: int) -> None:
    fault = desk.line.faults.add(Fault(method=method, path=path, status=status, times=None))
    with pytest.raises(NotAllowed) as caught:
        put(desk.store, {**FILES, "README.md": desk.name.encode()})
    assert 1 <= fault.hits <= (1 if "manifests" in path else 3)  # of three blobs at once
    assert str(status) in caught.value.message
    assert "docker login 127.0.0.1" in (caught.value.hint or "")
    assert desk.direct.find("v1") is None


def test_a_registry_that_does_not_answer() -> None:
    store = Registry(f"oci://127.0.0.1:{free_port()}/tests/nobody")
    with pytest.raises(CannotCheck, match="Connection refused"):
        store.find("v1")


@pytest.mark.parametrize(
    ("status", "told"), [(404, CannotCheck), (405, CannotCheck), (413, CannotCheck), (500, CannotCheck), (429, CannotCheck)]
)
def test_an_answer_that_does_not_change_ends_it(desk: Desk, status: int, told: type[RegistryError]) -> None:
    body = json.dumps({"errors": [{"code": "TOO_BAD", "message": "\x1b[31m"}]}).encode()
    headers = {"Retry-After": "0"}
    desk.line.faults.add(Fault(method="PUT", path="/uploads/", status=status, body=body, headers=headers, times=None))
    with pytest.raises(told, match=f"{status} TOO_BAD$"):
        put(desk.store)
    assert desk.direct.find("v1") is None


# Lies


def test_a_registry_that_lies(desk: Desk) -> None:
    # It says that it took a blob, and did not: it cannot take the manifest then. Named, for several go at once.
    lost = RELEASE.files()["README.md"].digest.removeprefix("sha256:")
    desk.line.faults.add(Fault(method="PUT", path=f"/uploads/.*{lost}", status=201))
    with pytest.raises(CannotCheck, match="MANIFEST_BLOB_UNKNOWN"):
        put(desk.store)
    # A blob is changed on the way, once, and always.
    desk.line.faults.add(LineFault(method="PUT", path="/uploads/", stored=3))
    put(desk.store, {"new": desk.name.encode()}, "once")
    assert desk.direct.tags() == ["once"]
    desk.line.faults.add(LineFault(method="PUT", path="/uploads/", stored=3, times=None))
    with pytest.raises(CannotCheck, match="DIGEST_INVALID"):
        put(desk.store)
    desk.line.faults.clear()
    assert desk.direct.find("v1") is None
    # It says that it took the tag, and did not.
    desk.line.faults.add(Fault(method="PUT", path="/manifests/", status=201))
    with pytest.raises(Refused, match="does not have it"):
        put(desk.store)
    # It keeps another manifest than it was given, which is a release as well.
    place = RELEASE.render().index(b"README.md")
    desk.line.faults.add(LineFault(method="PUT", path="/manifests/", stored=place, bits=1))
    with pytest.raises(TagConflict):
        put(desk.store)
    kept = desk.direct.find("v1")
    assert kept is not None and "SEADME.md" in desk.direct.release(kept).files()


def test_a_manifest_whose_bytes_are_not_its_digest(desk: Desk) -> None:
    tagged = put(desk.store)
    fault = desk.line.faults.add(Fault(path="/manifests/", flip=-10, times=None))
    for ask in (lambda: desk.store.find("v1"), lambda: desk.store.release(tagged)):
        with pytest.raises(Refused) as caught:
            ask()
        assert [(one.code, one.expected) for one in caught.value.findings] == [("mismatch", RELEASE.digest())]
    fault.headers = {"Docker-Content-Digest": None}  # without its word, what came is no release of that digest all the same
    with pytest.raises(Refused):
        desk.store.release(tagged)


def test_bytes_that_change_on_the_registrys_disk(desk: Desk) -> None:
    unique = {path: f"{desk.name} {path}".encode() * 100 for path in ("changed", "cut", "lost", "whole")}
    release = release_of(unique)
    tagged = put(desk.direct, unique)
    blobs = {path: desk.server.blob(layer.digest) for path, layer in release.files().items()}
    blobs["changed"].write_bytes(unique["changed"].replace(b"e", b"E"))
    blobs["cut"].write_bytes(unique["cut"][:-1])
    blobs["lost"].unlink()

    good = {path: one for path, one in all_there("descriptor", release).items() if path in {"changed", "whole"}}
    quick = held(desk.direct, release=release)
    assert quick == {
        **good,
        "cut": ("descriptor", release.files()["cut"].digest, len(unique["cut"]) - 1),
        "lost": ("not there", None, None),
    }
    deep = held(desk.direct, deep=True, release=release)
    assert {path for path, one in deep.items() if one[1] != release.files()[path].digest} == {"changed", "cut", "lost"}
    with desk.direct.open(tagged, "changed", release.files()["changed"], 0) as incoming:
        assert incoming.read() == blobs["changed"].read_bytes()  # as they are: who asks for them checks them
    with pytest.raises(Refused) as caught:
        desk.direct.open(tagged, "lost", release.files()["lost"], 0)
    assert caught.value.findings[0].code == "missing"
    assert {blob.digest for blob in desk.direct.plan("v1", release).new} == {
        release.files()[path].digest for path in ("cut", "lost")
    }
    blobs["cut"].unlink()
    put(desk.direct, unique)  # what is lost comes back
    whole = held(desk.direct, deep=True, release=release)
    assert {path: one for path, one in whole.items() if path != "changed"} == {
        path: one for path, one in all_there("hashed", release).items() if path != "changed"
    }


def test_a_broken_line_is_mended_where_it_broke(desk: Desk) -> None:
    big = {"big": bytes(range(256)) * 12_000}
    release = release_of(big)
    tagged = put(desk.direct, big)
    size = len(big["big"])
    for cut in (100_000, 500_000, 1_000_000):
        desk.line.faults.add(Fault(path="/blobs/", cut=cut))
    with desk.store.open(tagged, "big", release.files()["big"], 7) as incoming:
        assert incoming.read() == big["big"][7:]
    assert next(made.headers["Range"] for made in desk.line.requests if made.method == "GET") == "bytes=7-"
    assert desk.line.sent("GET", "/blobs/") < size + 3 * 65536
    assert desk.line.count("GET", "/blobs/") == 4
    desk.line.faults.add(Fault(path="/blobs/", whole=True))  # a registry that knows no ranges
    with desk.store.open(tagged, "big", release.files()["big"], 1_500_000) as incoming:
        assert incoming.read() == big["big"][1_500_000:]
    desk.line.faults.add(Fault(path="/blobs/", append=b"more"))  # too much is seen, and not all of it is read
    assert held(desk.store, deep=True, release=release)["big"][2] == size + 4
    desk.line.faults.add(Fault(path="/blobs/", cut=0, times=None))
    with pytest.raises(CannotCheck), desk.store.open(tagged, "big", release.files()["big"], 0) as incoming:
        incoming.read()


def test_a_tag_of_something_else(desk: Desk) -> None:
    put(desk.direct)
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}
    image = {key: value for key, value in json.loads(RELEASE.render()).items() if key != "artifactType"}
    spaced = {**json.loads(RELEASE.render()), "annotations": {"added": "later"}}  # its identity would be two digests
    whats = {"index": "an OCI image index, not a release of aqea-registry", "image": "an OCI image, not a release"}
    for tag, value in (("index", index), ("image", image), ("spaced", spaced)):
        written = desk.direct._client.put_manifest(tag, json.dumps(value).encode, str(value["mediaType"]))
        assert written is not None and written.status_code == 201
        with pytest.raises(Refused, match=whats.get(tag, "not a release: the manifest has more")) as caught:
            desk.direct.find(tag)
        assert caught.value.findings[0].code == ("not-a-release" if tag in whats else "malformed")
        with pytest.raises(TagConflict if tag in whats else Refused) as conflict:
            desk.direct.plan(tag, RELEASE)
        assert tag not in whats or whats[tag].partition(",")[0] in conflict.value.message
    for tag in ("", "a/b", "../v1", "-v1", "v" * 129, "v1?x=y", fallback_tag(RELEASE.digest())):
        with pytest.raises(BadConfiguration):
            desk.direct.find(tag)


@pytest.mark.parametrize(
    "spec",
    ["oci://host", "oci://host/", "oci://host/UPPER", "oci://user:secret@host/name", "oci://host/a//b", "oci://host/a/../b"],
)
def test_names_that_are_no_repositorys(spec: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        Registry(spec)
    assert "secret" not in caught.value.message + (caught.value.hint or "")


def test_a_large_file_is_never_whole_in_memory(docker_registry: DockerRegistry, tmp_path: Path) -> None:
    size = 160 << 20
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    script = (
        "import sys; from pathlib import Path; from aqea_registry.base.files import hash_file\n"
        "from aqea_registry.stores.release import build; from aqea_registry.stores.registry_store import Registry\n"
        "found = hash_file(Path('large')); release = build([('large', found.sha256, found.size)])\n"
        "store = Registry(sys.argv[1]); print(store.push('v1', release, Path, '', lambda count: None)['manifest'])\n"
        "print(*[one.how for one in store.stored(store.find('v1'), release, True, lambda count: None)])\n"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"  # KiB at the highest
    )
    spec = f"oci://{docker_registry.host}/tests/large-{next(NAMES)}"
    done = run(sys.executable, "-c", script, spec, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    assert done.status == 0, done.err
    _, how, peak = done.out.split()
    assert (how, done.err) == ("hashed", "")
    assert int(peak) * 1024 < size / 2


# Logins


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    needed("docker-registry")
    with DockerRegistry(tmp_path_factory.mktemp("guarded"), login=True) as server:
        yield server


@pytest.fixture
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds docker's configuration; another one in the home folder is not to be read."""
    home = tmp_path / "home"
    (home / ".docker").mkdir(parents=True)
    (home / ".docker/config.json").write_text("not JSON")
    (home / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    (tmp_path / "config").mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config/config.json"


def test_a_login_is_needed(
    guarded: DockerRegistry, docker_config: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = base64.b64encode(b"tester:wr0ng").decode()
    with Proxy(guarded.endpoint) as line:
        host = line.endpoint.removeprefix("http://")
        spec = f"oci://{host}/tests/guarded"
        logins: list[dict[str, dict[str, str]] | None] = [None, {}, {host: {"auth": wrong}}, {host: {}}]
        for auths in logins:
            if auths is not None:
                docker_config.write_text(json.dumps({"auths": auths}))
            store = Registry(spec)
            for ask in (store.tags, lambda: store.plan("v1", RELEASE), lambda: put(store)):  # noqa: B023
                with pytest.raises(NotAllowed) as caught:
                    ask()
                told = f"{caught.value.message} {caught.value.hint}"
                assert f"docker login {host}" in told
                assert wrong not in told and "wr0ng" not in told
        assert line.received() == 0
        docker_config.write_text(json.dumps({"auths": {f"http://{host}/v1/": {"auth": LOGIN}}}))
        line.forget()
        put(Registry(spec))
        assert held(Registry(spec), deep=True) == all_there("hashed")
        refused = [made for made in line.requests if made.status == 401]
        assert len(refused) == 2  # once for each new store: then the login goes with every request
        # A login belongs to its host alone.
        with Proxy(guarded.endpoint) as elsewhere:
            place = f"{elsewhere.endpoint}/v2/tests/guarded/blobs/uploads/somewhere"
            line.faults.add(Fault(method="POST", status=202, headers={"Location": place}))
            with pytest.raises(NotAllowed):
                put(Registry(spec), OTHER_FILES, "v2")
            assert [made.headers["Authorization"] for made in elsewhere.requests if made.method == "PUT"] == [None]
        # A credential helper in the place of a login that is written down.
        helper = docker_config.parent / "docker-credential-aqea-test"
        helper.write_text('#!/bin/sh\ncat >/dev/null\necho \'{"Username": "tester", "Secret": "secret"}\'\n')
        helper.chmod(0o755)
        monkeypatch.setenv("PATH", str(helper.parent), prepend=":")
        docker_config.write_text(json.dumps({"credHelpers": {host: "aqea-test"}}))
        assert Registry(spec).plan("v1", RELEASE).complete
        helper.write_text("#!/bin/sh\necho none\n")
        with pytest.raises(BadConfiguration):
            Registry(spec).find("v1")
        monkeypatch.setattr(registry_client, "HELPER", 1.0)
        for says in ("sleep 600", "yes", "exec >&-; exec sleep 600"):  # no answer, no end of it, no end of the helper
            helper.write_text(f"#!/bin/sh\n{says}\n")
            with pytest.raises(CannotCheck, match="docker-credential-aqea-test gives no login"):
                Registry(spec).find("v1")
    for text in ("[]", "{", '{"auths": 1}'):
        docker_config.write_text(text)
        with pytest.raises(BadConfiguration):
            Registry(spec).find("v1")
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[tuple[DockerRegistry, list[str]]]:
    """A registry that wants tokens, as the public ones do, and what its token server was asked for, one scope after another."""
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    needed("docker-registry")
    needed("openssl")
    words = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=tests -days 2"
    assert run(*words.split(), cwd=tmp_path).status == 0
    key = serialization.load_pem_private_key((tmp_path / "key.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    sign = key.sign
    chain = "".join((tmp_path / "cert.pem").read_text().splitlines()[1:-1])
    asked: list[str] = []
    busy = [503]  # what it answers first

    def part(content: bytes) -> bytes:
        return base64.urlsafe_b64encode(content).rstrip(b"=")

    class Tokens(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            scope = parse_qs(urlsplit(self.path).query).get("scope", [""])[0]
            asked.append(scope)
            if busy and scope:
                self.send_error(busy.pop())
                return
            kind, name, actions = scope.split(":") if scope else ("", "", "")
            mine = self.headers["Authorization"] == f"Basic {LOGIN}"
            access = {"type": kind, "name": name, "actions": actions.split(",") if mine else ["pull"]}
            now = int(time.time())
            claims = {"iss": "tests", "aud": "registry", "sub": "", "nbf": now - 60, "iat": now, "exp": now + 300, "jti": "1"}
            header = {"typ": "JWT", "alg": "RS256", "x5c": [chain]}
            text = b".".join(part(json.dumps(value).encode()) for value in (header, {**claims, "access": [access]}))
            token = text + b"." + part(sign(text, padding.PKCS1v15(), hashes.SHA256()))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"token": token.decode()}).encode())

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Tokens) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        realm = f"http://127.0.0.1:{server.server_address[1]}/token"
        bundle = str(tmp_path / "cert.pem")
        auth = {"token": {"realm": realm, "service": "registry", "issuer": "tests", "rootcertbundle": bundle}}
        with DockerRegistry(tmp_path / "registry", auth=auth) as registry:
            yield registry, asked
        server.shutdown()


def test_a_login_that_another_request_has_just_brought_is_used() -> None:
    client, challenge = RegistryClient("127.0.0.1:1", "a"), SimpleNamespace(headers={"Www-Authenticate": "Basic"})
    client._login, client._authorization = "x", "Basic x"
    assert client._log_in(challenge, "")  # type: ignore[arg-type]
    assert not client._log_in(challenge, "Basic x")  # type: ignore[arg-type]


def test_tokens_for_what_is_done(tokens: tuple[DockerRegistry, list[str]], docker_config: Path) -> None:
    registry, asked = tokens
    spec, name = f"oci://{registry.host}/tests/tokens", "tests/tokens"
    assert Registry(spec).find("v1") is None  # everybody may read
    assert asked == [f"repository:{name}:pull"] * 2  # once more after the server's 503
    with pytest.raises(NotAllowed, match="401 UNAUTHORIZED") as caught:
        Registry(spec).plan("v1", RELEASE)
    assert "docker login" in (caught.value.hint or "")
    docker_config.write_text(json.dumps({"auths": {registry.host: {"auth": LOGIN}}}))
    asked.clear()
    store = Registry(spec)
    put(store)
    assert asked[:1] == [f"repository:{name}:pull"]
    assert [set(scope.rpartition(":")[2].split(",")) for scope in asked[1:]] == [
        {"pull", "push"}
    ]  # a new token where more is needed, and then no other
    docker_config.unlink()
    assert held(Registry(spec), deep=True) == all_there("hashed")


def test_a_registry_that_takes_nothing(tmp_path: Path) -> None:
    needed("docker-registry")
    with DockerRegistry(tmp_path / "readonly", readonly=True) as server, Proxy(server.endpoint) as line:
        store = Registry(f"oci://{line.endpoint.removeprefix('http://')}/tests/readonly")
        with pytest.raises(NotAllowed, match="answered 405 to an upload"):
            store.plan("v1", RELEASE)
        assert line.received() == 0
    with Proxy("http://127.0.0.1:9") as line:  # something that is no registry
        line.faults.add(Fault(method=".*", status=404, times=None))
        with pytest.raises(CannotCheck, match="no OCI registry"):
            Registry(f"oci://{line.endpoint.removeprefix('http://')}/tests/nothing").plan("v1", RELEASE)


# Attachments


def test_documents_beside_a_release(desk: Desk) -> None:
    store, server = desk.store, desk.server
    tagged = put(store)
    documents = {"status-1.json": b'{"status": "superseded"}', "small.intoto.json": b"{}"}
    for name, content in documents.items():
        store.attach(tagged, name, content)
    tag = fallback_tag(tagged.digest)
    before, index = server.manifest(desk.name, tag)
    assert [entry["artifactType"] for entry in index["manifests"]] == [ATTACHMENT_TYPE] * 2
    manifest = server.manifest(desk.name, index["manifests"][0]["digest"])[1]
    assert manifest["subject"] == {"mediaType": MANIFEST_TYPE, "digest": tagged.digest, "size": len(RELEASE.render())}
    desk.line.forget()
    store.attach(tagged, "status-1.json", documents["status-1.json"])
    assert desk.line.received() == 0
    assert server.manifest(desk.name, tag)[0] == before

    # Where the registry lists referrers itself, it is asked; what others attached stays, and is not ours.
    index["manifests"].append({"digest": "sha512:0", "artifactType": "others", "mediaType": "x", "size": 1, "kept": True})
    pages = [{**index, "manifests": index["manifests"][:1]}, {**index, "manifests": index["manifests"][1:]}]
    for number, page in enumerate(pages):
        link = {"Link": f"</v2/{desk.name}/referrers/x?page={number}>; rel=next"} if page is pages[0] else {}
        desk.line.faults.add(Fault(path="/referrers/", status=200, body=json.dumps(page).encode(), headers=link))
    assert store.attachments(tagged) == documents
    assert desk.line.faults.take("GET", "/referrers/") is None


def test_documents_attached_at_once(desk: Desk) -> None:
    tagged = put(desk.direct)
    names = [f"status-{number}.json" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: Registry(desk.direct.spec).attach(tagged, name, name.encode()), names))
    assert desk.direct.attachments(tagged) == {name: name.encode() for name in names}


def test_documents_that_are_not_what_they_should_be(desk: Desk) -> None:
    tagged = put(desk.direct)
    desk.direct.attach(tagged, "status-1.json", b"{'%s'}" % desk.name.encode())
    index = desk.server.manifest(desk.name, fallback_tag(tagged.digest))[1]
    manifest = desk.server.manifest(desk.name, index["manifests"][0]["digest"])[1]
    blob = desk.server.blob(manifest["layers"][0]["digest"])
    content = blob.read_bytes()
    blob.write_bytes(b"{}")
    with pytest.raises(Refused) as caught:
        desk.direct.attachments(tagged)
    assert caught.value.findings[0].code == "mismatch"
    blob.write_bytes(content)
    hostile = {**manifest, "layers": [{**manifest["layers"][0], "annotations": {"org.opencontainers.image.title": "../up"}}]}
    for body, code in ((hostile, "malformed"), ({**manifest, "subject": manifest["config"]}, "malformed")):
        written = desk.direct._client.put_manifest("hostile", json.dumps(body).encode)
        assert written is not None
        digest = written.headers["Docker-Content-Digest"]
        listed = {**index, "manifests": [{**index["manifests"][0], "digest": digest}]}
        desk.line.faults.add(Fault(path="/referrers/", status=200, body=json.dumps(listed).encode()))
        with pytest.raises(Refused) as caught:
            desk.store.attachments(tagged)
        assert caught.value.findings[0].code == code
    for junk, told in (
        (b"[]", CannotCheck),
        (b"{", CannotCheck),
        (b'{"manifests": [1]}', Refused),
        (b"[" * 100_000, CannotCheck),
    ):
        desk.line.faults.add(Fault(path="/referrers/", status=200, body=junk))
        with pytest.raises(told):
            desk.store.attachments(tagged)
