"""What comes from a server is data: whatever it answers, a port gives a value or an error of its own, and no secret."""

from __future__ import annotations

import base64
import contextlib
import gc
import gzip
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aqea_registry.base.files import ignore
from aqea_registry.base.findings import CannotCheck, NotAllowed, RegistryError
from aqea_registry.remote.hub_writer import HubWriter, deletion
from aqea_registry.sources.kinds import MirrorSource
from aqea_registry.stores.github_store import GitHub
from aqea_registry.stores.hub_store import HubStore
from aqea_registry.stores.port import Store, Tagged
from aqea_registry.stores.registry_store import Registry
from aqea_registry.stores.release import build
from tests import sampling
from tests.servers.hostile import Hostile, Sent, response
from tests.tools import aqea

FILES = {"README.md": b"# A release\n", "data/x.json": b"{}\n"}
RELEASE = build((path, hashlib.sha256(content).hexdigest(), len(content)) for path, content in FILES.items())
TAGGED = Tagged(tag="v1", digest=RELEASE.digest(), at="a" * 40)
NUMBERED = Tagged(tag="v1", digest=RELEASE.digest(), at="7")
SECRETS = ("hf_MARKED_1234", "ghp_MARKED_1234", "pass_MARKED_1234")

DEEP = b'{"a":' * 100_000
FIELDS = (
    *("sha", "siblings", "cardData", "branches", "tags", "name", "targetCommit", "type", "oid", "size", "path", "lfs", "orgs"),
    *("auth", "id", "tag_name", "body", "draft", "immutable", "assets", "digest", "state", "permissions", "archived", "errors"),
    *("error", "message", "manifests", "layers", "config", "schemaVersion", "token", "documentation_url", "upload_url", "ref"),
)
VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "number": 7,
    "text": "x",
    "list": [],
    "object": {},
    "lists": [[[]]],
    "list of texts": ["x"],
    "list of objects": [{}],
    "nested": [{name: [{}] for name in FIELDS}],
}
BODIES = {
    "nothing": b"",
    "empty object": b"{}",
    "empty list": b"[]",
    "null": b"null",
    "number": b"1e999",
    "long number": b"9" * 5000,
    "text": b'"x"',
    "deep objects": DEEP,
    "deep lists": b"[" * 100_000,
    "not finite": b'{"sha": NaN, "tags": Infinity}',
    "cut": b'{"tags": [{"na',
    "not UTF-8": b'{"message": "\xff\xfe"}',
    "half a character": b'{"message": "\\ud800", "tags": ["\\ud800"]}',
    "page": b"<html><body>Log in to the guest network</body></html>",
    **{f"{name} everywhere": json.dumps(dict.fromkeys(FIELDS, value)).encode() for name, value in VALUES.items()},
    "list of these": json.dumps([dict.fromkeys(FIELDS, value) for value in VALUES.values()]).encode(),
}
JSON: dict[str, Any] = {"Content_Type": "application/json"}
MANY: dict[str, Any] = {f"X-{number}": number for number in range(200)}
ODD: dict[str, bytes] = {
    **{f"{status} {name}": response(status, body, **JSON) for name, body in BODIES.items() for status in (200,)},
    **{
        f"{status}": response(status, b'{"message": "no", "errors": 1}', **JSON)
        for status in (100, 206, 304, 404, 409, 412, 416)
    },
    **{
        f"{status}, odd": response(status, BODIES["nested everywhere"], **JSON)
        for status in (401, 403, 404, 422, 429, 503, 600, 999)
    },
    **{f"{status}, deep": response(status, DEEP, **JSON) for status in (400, 403, 404, 422, 503)},
    **{
        f"Retry-After {value[:9]}": response(
            status, b"{}", **JSON, Retry_After=value, X_RateLimit_Remaining=0, X_RateLimit_Reset=value
        )
        for status, value in (
            (503, "nan"),
            (429, "inf"),
            (403, "-inf"),
            (503, "1e999"),
            (403, "9" * 5000),
            (429, "Wed, 21 Oct 2015"),
        )
    },
    **{
        f"to {value[:24]!r}": response(307, b"", Location=value)
        for value in (
            "http://[::1",
            "http://x:99999/",
            "http://\xff/",
            "ftp://x/",
            "http://" + "a" * 300 + "/",
            "\\",
            "http://{HOST}/x",
        )
    },
    **{
        f"asks {value[:30]}": response(401, b"{}", **JSON, Www_Authenticate=value)
        for value in (
            'Bearer realm="http://[::1"',
            'Bearer realm="http://127.0.0.1:x/"',
            'bearer realm="http://{HOST}/t",scope="\xff"',
            "Basic",
        )
    },
    **{
        f"next {value}": response(200, b"[]", **JSON, Link=f'<{value}>; rel="next"')
        for value in ("http://[::1", "x?\xff", "ftp://x/?page=2", "")
    },
    **{
        f"length {value[:9]}": response(200, b"{}", False, **JSON, Content_Length=value)
        for value in ("nan", "-1", "9" * 5000, "1, 2")
    },
    "digest": response(200, b'{"schemaVersion": 2}', **JSON, Docker_Content_Digest="sha256:\xff"),
    "charset": response(200, b"{}", Content_Type="application/json; charset=nonsense"),
    "not gzip": response(200, b"{}", **JSON, Content_Encoding="gzip"),
    "gzip": response(200, gzip.compress(bytes(100 << 20), 1), **JSON, Content_Encoding="gzip"),
    "chunks": response(200, b"zz\r\n{}\r\n", False, **JSON, Transfer_Encoding="chunked"),
    "many headers": response(200, b"{}", **MANY),
    "long header": response(200, b"{}", X_Long="x" * 100_000),
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "no HTTP": b"220 mail.example.org ESMTP\r\n",
    "hang up": b"",
    "half a header": b"HTTP/1.1 200 OK\r\nContent-Le",
}


@pytest.fixture
def server() -> Iterator[Hostile]:
    with Hostile() as found:
        yield found


@pytest.fixture
def environ(server: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything names the server, everything has a secret, and nobody waits."""
    login = base64.b64encode(f"somebody:{SECRETS[2]}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {server.host: {"auth": login}}}))
    settings = {"HF_ENDPOINT": server.endpoint, "HF_TOKEN": SECRETS[0], "GITHUB_API_URL": server.endpoint}
    settings |= {
        "GITHUB_TOKEN": SECRETS[1],
        "DOCKER_CONFIG": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path),
        "HF_HOME": str(tmp_path),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("aqea_registry.remote.retry.time.sleep", lambda seconds: None)
    monkeypatch.setattr("aqea_registry.remote.retry._lost", {})  # of a server before, which may have had this port
    monkeypatch.setattr("aqea_registry.base.progress._SECRETS", [])  # what a test before has told


def stores(server: Hostile) -> dict[str, Store]:
    return {
        "registry": Registry(f"oci://{server.host}/org/data", settle=0),
        "hub": HubStore("hf://datasets/org/data"),
        "github": GitHub("github://org/data"),
    }


def questions(name: str, store: Store) -> dict[str, Callable[[], object]]:
    """Everything that a port can be asked first, so that each kind of request is the one that meets the answer."""
    tagged = NUMBERED if name == "github" else TAGGED
    layer = RELEASE.files()["README.md"]
    asked: dict[str, Callable[[], object]] = {
        "tags": store.tags,
        "find": lambda: store.find("v1"),
        "find a commit": lambda: store.find("a" * 40),
        "release": lambda: store.release(tagged),
        "plan": lambda: store.plan("v1", RELEASE),
        "push": lambda: store.push("v1", RELEASE, FILES.__getitem__, "", ignore),
        "stored": lambda: list(store.stored(tagged, RELEASE, True, ignore)),
        "open": lambda: store.open(tagged, "README.md", layer, 0).read(),
        "attachments": lambda: store.attachments(tagged),
        "attach": lambda: store.attach(tagged, "status-1.json", b"{}"),
    }
    if name == "hub":
        client = HubWriter("org/data")
        asked |= {"info": lambda: client.info(None), "check_read": client.check_read, "create": client.create}
        asked |= {"may write": lambda: client.check_write(True), "may make": lambda: client.check_write(False)}
        asked |= {
            "commit": lambda: client.commit("a" * 40, [deletion("x")], "t", ""),
            "tag": lambda: client.tag("v1", "a" * 40),
        }
    return asked


pytestmark = [
    pytest.mark.usefixtures("environ"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),  # of broken lines
]
NAMES = ["registry", "hub", "github"]


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_server_answers(server: Hostile, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    wrong = []
    for odd in sampling.sample(ODD, share=0.35, name=f"odd answers {name}"):
        server.answer = ODD[odd]
        for question, ask in questions(name, stores(server)[name]).items():
            try:
                ask()
            except RegistryError as error:
                assert not any(secret in error.message for secret in SECRETS)
            except Exception as error:
                wrong.append((odd, question, repr(error)[:200]))
    gc.collect()
    assert wrong == []


REFERENCES = {"registry": "oci://{}/org/data:v1", "hub": "hf://datasets/org/data@v1", "github": "github://org/data@v1"}


def ask(server: Hostile, name: str, *words: str, folder: Path) -> tuple[int, str]:
    """Status and everything that a command says about the release at the server."""
    result = aqea(*(words or ("verify",)), REFERENCES[name].format(server.host), cwd=folder)
    return result.status, result.out + result.err


@pytest.mark.parametrize("name", NAMES)
def test_a_wait_that_is_not_a_number_is_none(server: Hostile, name: str, tmp_path: Path) -> None:
    for value in ("nan", "inf", "-inf", "1e999", "9" * 400, "soon", "-5"):
        server.answer = response(503, Retry_After=value)
        status, said = ask(server, name, folder=tmp_path)
        assert status == 3 and "answered 503" in said


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("as_json", [False, True])
def test_no_secret_is_repeated(server: Hostile, name: str, as_json: bool, tmp_path: Path) -> None:
    """Not of the request, nor one that only this machine knows, in whatever words or fields.

    The password is a registry's: no other port reads it, and what nobody read cannot be told.
    """
    secrets = SECRETS if name == "registry" else SECRETS[:2]
    texts = ["no {}", "{}", '{{"token": "{}"}}', "Bearer {}", "token={} https://u:{}@example.org/x?sig={}"]
    for status in (200, 400, 401, 403, 404, 422, 429, 500):
        for text in texts:

            def quoting(
                _: Hostile, method: str, path: str, headers: dict[str, str], text: str = text, status: int = status
            ) -> bytes:
                sent = headers.get("authorization", "Bearer other_MARKED_1")
                told = " ".join(text.format(value, value, value) for value in (*secrets, sent))
                body = json.dumps({"error": told, "message": told, "errors": [{"code": told, "message": told}], "name": told})
                found: dict[str, Any] = {
                    "X_Error_Message": told,
                    "Www_Authenticate": f'Basic realm="{told}"',
                    "Docker_Content_Digest": told,
                }
                return response(status, body.encode(), **JSON, **found)

            server.answer = quoting
            _, said = ask(server, name, "verify", *(["--json"] if as_json else []), folder=tmp_path)
            assert "MARKED" not in said, (status, text, said)
    assert any(line.startswith("GET") for line in server.asked)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_of_a_portal_is_not_an_answer(server: Hostile, name: str, tmp_path: Path) -> None:
    server.answer = response(200, BODIES["page"], Content_Type="text/html; charset=utf-8")
    status, said = ask(server, name, folder=tmp_path)
    assert status == 3 and "answered text/html, not " in said
    server.answer = response(200, b'{"schemaVersion": 2, "manif', **JSON)
    assert ask(server, name, folder=tmp_path)[0] == 3


@pytest.mark.parametrize("name", NAMES)
def test_who_did_not_answer_is_named(server: Hostile, name: str, tmp_path: Path) -> None:
    """Where a service sends its clients on, the address that failed is named, without what its query holds."""
    service = {"registry": "the registry", "hub": "the Hub", "github": "GitHub"}[name]
    server.answer = response(307, b"", Location="http://user:word@127.0.0.1:9/elsewhere?signature=MARKED")
    status, said = ask(server, name, folder=tmp_path)
    if name != "github":  # which is not followed there
        assert f"the address http://127.0.0.1:9/elsewhere that {service} names: Connection refused" in said
    assert status == 3 and "MARKED" not in said and "word" not in said


@pytest.mark.parametrize("name", NAMES)
def test_an_address_without_an_answer_is_named(server: Hostile, name: str, tmp_path: Path) -> None:
    server.answer = b""
    status, said = ask(server, name, folder=tmp_path)
    assert status == 3 and f"no answer from {server.endpoint}: " in said
    listed = aqea("releases", stores(server)[name].spec, cwd=tmp_path)
    assert (listed.status, listed.out) == (3, ""), "which releases it has, nobody knows"


@pytest.mark.parametrize("token", ["hf_\u00e9", "ghp_x\r\nX-Y: z"])
@pytest.mark.parametrize("name", ["hub", "github"])
def test_a_token_that_cannot_be_sent_is_named_as_the_cause(
    server: Hostile, name: str, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer = response(404, b"{}", **JSON)
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setenv("GITHUB_TOKEN", token)
    status, said = ask(server, name, folder=tmp_path)
    assert status in (3, 4) and "lost" not in said and "understood" not in said
    assert "cannot be sent" in said or server.asked, "a client may know what to do with it"


def test_an_address_of_github_that_is_none_is_named(tmp_path: Path) -> None:
    for address in ("http://[::1", "localhost:1", "ftp://x"):
        result = aqea("verify", "github://org/data@v1", cwd=tmp_path, env={"GITHUB_API_URL": address})
        assert result.status == 2 and "GITHUB_API_URL is not the address of a server" in result.err


def test_the_token_server_and_the_upload_address_are_named(server: Hostile) -> None:
    realm = 'Bearer realm="http://127.0.0.1:9/token?key=MARKED",service="x"'
    store = stores(server)["registry"]
    server.answer = response(401, b"{}", **JSON, Www_Authenticate=realm)
    with pytest.raises(CannotCheck, match=r"the token server http://127\.0\.0\.1:9/token that the registry names: Conn"):
        store.find("v1")

    def another(_: Hostile, method: str, path: str, headers: dict[str, str]) -> bytes:
        if path.startswith("/token"):
            return response(503, b"{}", **JSON)
        return response(401, b"{}", **JSON, Www_Authenticate='Bearer realm="http://{HOST}/token"')

    server.answer = another
    with pytest.raises(CannotCheck, match=rf"the token server {server.endpoint}/token that the registry names answered 503"):
        store.find("v1")
    for realm, told in (
        ("http://{HOST}/word", "/word that the registry names answered text/plain, and no token"),
        ("not an address", "the token server not an address that the registry names is not asked: only https is"),
    ):

        def no_token(_: Hostile, method: str, path: str, headers: dict[str, str], realm: str = realm) -> bytes:
            if path.startswith("/word"):
                return response(200, b"hello", Content_Type="text/plain")
            return response(401, b"{}", **JSON, Www_Authenticate=f'Bearer realm="{realm}"')

        server.answer = no_token
        with pytest.raises(CannotCheck, match=told):
            store.find("v1")
    for method in ("PUT", "status"):

        def elsewhere(_: Hostile, method: str, path: str, headers: dict[str, str], refused: bool = method == "PUT") -> bytes:
            where = "http://127.0.0.1:9/up?state=MARKED" if refused else "http://localhost:{PORT}/up?state=MARKED"
            if method == "POST":
                return response(202, b"", Location=where.replace("{PORT}", server.host.rpartition(":")[2]))
            return response(404 if method in {"GET", "HEAD"} else 507, b"{}", **JSON)

        server.answer = elsewhere
        told = (
            r"127\.0\.0\.1:9/up that the registry gave: Connection"
            if method == "PUT"
            else "/up that the registry gave answered 507"
        )
        with pytest.raises(CannotCheck, match=rf"the upload address http://[^?]*{told}") as caught:
            store.push("v1", RELEASE, FILES.__getitem__, "", ignore)
        assert "MARKED" not in caught.value.message


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", ["silent", "hangs up", "headers that drip", "a body that drips", "no end"])
def test_a_silent_server_is_given_up(
    server: Hostile, name: str, way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("aqea_registry.remote.retry.PATIENCE", 0.4)
    answers: dict[str, Sent] = {
        "silent": None,
        "hangs up": None,
        "headers that drip": (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        "a body that drips": (response(200, b"[", False, **JSON, Content_Length=10_000), b" "),
        "no end": (response(200, b"", False, **JSON), b"  "),
    }
    server.answer, server.patience = lambda *asked: answers[way], 0.15 if way == "hangs up" else 30
    for again in (False, True):
        asked = len(server.asked)
        status, said = ask(server, name, folder=tmp_path)
        assert status == 3 and ("is not asked again now" if again else "no answer in time") in said, said
        assert again == (len(server.asked) == asked)


@pytest.mark.parametrize("pause", [0.05, 0.5])
def test_a_download_that_drips_is_given_up_once(server: Hostile, pause: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes counts as an answer by whole pieces, whether it stops or goes on, and the server is not asked again."""
    monkeypatch.setattr("aqea_registry.remote.retry.PATIENCE", 1.0)
    server.pause, server.answer = pause, (response(200, b"", False, Content_Length=1 << 20), b"x")
    store, layer, began = stores(server)["registry"], build([("x", "0" * 64, 1 << 20)]).layers[0], time.monotonic()
    for told in ("too little to wait for|no answer in time", "is not asked again now"):
        with pytest.raises(CannotCheck, match=told), store.open(TAGGED, "x", layer, 0) as incoming:
            incoming.read()
    assert time.monotonic() - began < 60 and len(server.asked) == 1  # each byte by itself: hours


def test_a_token_that_is_to_be_exchanged(server: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_OIDC_RESOURCE", "datasets/org/data")
    status, said = ask(server, "hub", folder=tmp_path)
    assert status == 4 and "HF_OIDC_RESOURCE is set" in said
    for content in (ODD["200 page"], ODD["200 list everywhere"], ODD["200 deep objects"]):
        monkeypatch.setenv("HF_OIDC_ID_TOKEN", "idt_MARKED_1234")
        server.answer = content
        status, said = ask(server, "hub", folder=tmp_path)
        assert status in {3, 4} and "MARKED" not in said


def test_a_right_that_a_token_lacks(server: Hostile) -> None:
    def scope(name: str, *rights: str) -> dict[str, Any]:
        return {"entity": {"type": "org", "name": name}, "permissions": list(rights)}

    for scopes, lacks in (
        ([], True),
        ([scope("org", "repo.content.read")], True),
        ([scope("other", "repo.write")], True),
        ([scope("org", "repo.content.read", "repo.write")], False),
        ([scope("org/data", "repo.write")], False),
    ):
        token = {"role": "fineGrained", "fineGrained": {"global": [], "scoped": scopes}}
        who = {"name": "alice", "orgs": [{"name": "org", "roleInOrg": "write"}], "auth": {"accessToken": token}}
        server.answer = response(200, json.dumps(who).encode(), **JSON)
        client = HubWriter("org/data")
        for exists in (True, False):
            if lacks:
                with pytest.raises(NotAllowed, match=r"lacks the right repo\.write for org/data or org"):
                    client.check_write(exists)
            else:
                client.check_write(exists)
    about = {"name": "data", "archived": False, "permissions": {"push": True}}
    server.answer = response(200, json.dumps(about).encode(), **JSON, X_OAuth_Scopes="gist, read:org")
    with pytest.raises(NotAllowed, match="the scopes gist, read:org, and not repo"):
        stores(server)["github"].plan("v1", RELEASE)
    server.answer = response(
        403, b'{"message": "Resource not accessible"}', **JSON, X_Accepted_GitHub_Permissions="contents=write"
    )
    with pytest.raises(NotAllowed, match=r"the token needs contents=write"):
        stores(server)["github"].plan("v1", RELEASE)


def test_a_mirror_that_is_hostile(server: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    source = MirrorSource(f"http://user:word_MARKED@{server.host}/folder?signature=MARKED")
    assert "MARKED" not in source.spec + source.hint
    for odd in sampling.sample(ODD, share=0.2, name="odd answers mirror"):
        server.answer = ODD[odd]
        for ask in (source.paths, lambda: source.open("x.json", 100).read(100)):
            with contextlib.suppress(OSError, CannotCheck):
                ask()
    for broken in ("http://[::1/x?sig=MARKED", "http://127.0.0.1:9/x?sig=MARKED", "nonsense://x?sig=MARKED"):
        with pytest.raises((OSError, CannotCheck)) as caught:
            MirrorSource(broken).open("x.json", 100).read(100)
        assert "MARKED" not in str(caught.value)
    monkeypatch.setattr("aqea_registry.remote.retry.PATIENCE", 0.3)
    server.answer = None
    with pytest.raises(OSError, match="no answer in time"):
        MirrorSource(f"{server.endpoint}/folder").open("x.json", 100).read(100)
