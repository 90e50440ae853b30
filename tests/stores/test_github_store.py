"""Releases on GitHub: the whole way there and back, what interrupts it, and what others do meanwhile."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aqea_registry.base.files import ignore
from aqea_registry.base.findings import BadConfiguration, CannotCheck, NotAllowed, Refused, RegistryError, TagConflict
from aqea_registry.stores.github_store import GitHub
from aqea_registry.stores.port import Tagged
from aqea_registry.stores.release import Release, StoredFile, build
from tests import sampling
from tests.servers.github import Asset, GitHubServer, UploadFault, description
from tests.servers.hub.faults import Fault
from tests.tools import processes

REPO, TOKEN = "org/name", "ghp_write"
PART = 20_000
NOTES = "What is new in this release."
BIG = random.Random(0).randbytes(2 * PART + 1)
FILES = {
    "README.md": b"# A card\n",
    "MANIFEST.sha256": b"a manifest",
    "data/a_pairs.json": BIG,
    "metrics/a.json": b'{"a":1}',
    "parquet/a.parquet": BIG[:PART],
    "empty.txt": b"",
}
PAYLOAD = sum(map(len, FILES.values()))
ASSETS = [
    "MANIFEST.sha256",
    "README.md",
    "SHA256SUMS",
    "data--a_pairs.json.part001",
    "data--a_pairs.json.part002",
    "data--a_pairs.json.part003",
    "metrics--a.json",
    "parquet--a.parquet",
    "parts.json",
    "release.json",
]
Files = Mapping[str, bytes]


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    with GitHubServer(tmp_path / "github", description()) as server:
        server.store.create(REPO)
        allow(server, REPO)
        for name, value in {**server.environment(TOKEN), "XDG_CACHE_HOME": str(tmp_path / "cache")}.items():
            monkeypatch.setenv(name, value)
        yield server


def allow(github: GitHubServer, *names: str) -> None:
    for name in names:
        if name != REPO:
            github.store.create(name)
    github.store.token(TOKEN, push=[REPO, *names])


def made(files: Files = FILES) -> Release:
    return build((path, hashlib.sha256(data).hexdigest(), len(data)) for path, data in files.items())


def store(name: str = REPO) -> GitHub:
    return GitHub(f"github://{name}", part=PART)


def push(name: str = REPO, files: Files = FILES, tag: str = "v1") -> dict[str, object]:
    return store(name).push(tag, made(files), files.__getitem__, NOTES, ignore)


def found(name: str = REPO, tag: str = "v1") -> Tagged:
    tagged = store(name).find(tag)
    assert tagged is not None
    return tagged


def held(deep: bool = False, name: str = REPO) -> dict[str, StoredFile]:
    return {one.path: one for one in store(name).stored(found(name), made(), deep, ignore)}


def asset(github: GitHubServer, path: str, name: str = REPO) -> Asset:
    return next(one for one in github.store.published(name, "v1").assets if one.name == path)


def check(github: GitHubServer, name: str = REPO, files: Files = FILES, others: int = 0) -> None:
    """Exactly one release, whole, and no draft but other people's."""
    releases = github.store.releases(name)
    assert [one.tag for one in releases if not one.draft] == ["v1"]
    assert sum(one.draft for one in releases) == others
    release = github.store.published(name, "v1")
    contents = {one.name: github.store.content(one) for one in release.assets}
    assert hashlib.sha256(contents["release.json"]).hexdigest() == made(files).digest().removeprefix("sha256:")
    assert all(one.state == "uploaded" for one in release.assets)
    if files is FILES:
        assert sorted(contents) == ASSETS
        assert b"".join(contents[f"data--a_pairs.json.part00{number}"] for number in (1, 2, 3)) == BIG
        assert contents["parquet--a.parquet"] == FILES["parquet/a.parquet"]


def read(name: str, path: str, offset: int = 0) -> bytes:
    reader = store(name)
    with reader.open(found(name), path, made().files()[path], offset) as stream:
        return stream.read()


# There and back


def test_the_whole_way(github: GitHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = tmp_path / "big"
    big.write_bytes(BIG)
    release, here = made(), store()
    assert (here.spec, here.tags(), here.find("v1")) == ("github://org/name", [], None)
    plan = here.plan("v1", release)
    assert (plan.existing, plan.complete, sum(one.size for one in plan.new)) == (None, False, PAYLOAD + len(release.render()))
    assert github.uploaded() == github.count("POST") == 0

    sent: list[int] = []
    ids = here.push("v1", release, lambda path: big if FILES[path] is BIG else FILES[path], NOTES, sent.append)
    check(github)
    published = github.store.published(REPO, "v1")
    assert published.body.startswith(NOTES)
    numbers = {one.name: one.id for one in published.assets}
    assert ids["release"] == published.id
    assert isinstance(ids["assets"], dict)
    assert ids["assets"]["metrics/a.json"] == numbers["metrics--a.json"]
    assert ids["assets"]["data/a_pairs.json"] == [numbers[f"data--a_pairs.json.part00{number}"] for number in (1, 2, 3)]
    assert {one.label for one in published.assets} >= {"metrics/a.json", "data/a_pairs.json (part 2 of 3)"}
    assert sum(sent) == github.uploaded() == PAYLOAD + len(release.render()) + sum(one.size for one in published.assets[-3:-1])

    github.forget()
    assert push() == ids
    assert here.plan("v1", release).complete
    assert github.uploaded() == github.count("POST|PATCH|DELETE") == 0

    monkeypatch.delenv("GITHUB_TOKEN")  # anybody may read
    assert store().tags() == ["v1"]
    tagged = found()
    assert tagged == Tagged(tag="v1", digest=release.digest(), at=str(published.id))
    assert store().release(tagged) == release
    github.forget()
    reported = held()
    assert {one.path: one.digest for one in reported.values()} == {path: one.digest for path, one in release.files().items()}
    assert {path: one.how for path, one in reported.items()} == {
        path: "part digests" if path in {"empty.txt", "data/a_pairs.json"} else "asset digest" for path in FILES
    }
    assert github.downloaded() == github.downloaded("parts.json") > 0
    assert {one.how for one in held(deep=True).values()} == {"hashed"}
    assert {one.path: one.digest for one in held(deep=True).values()} == {
        path: one.digest for path, one in release.files().items()
    }
    for token in ("", TOKEN):
        monkeypatch.setenv("GITHUB_TOKEN", token)
        assert {path: read(REPO, path) for path in FILES} == FILES
        for offset in (1, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 1):
            assert read(REPO, "data/a_pairs.json", offset) == BIG[offset:]
        assert read(REPO, "parquet/a.parquet", PART) == b""


def test_next_release_and_long_lists(github: GitHubServer) -> None:
    many = {f"data/{number}.txt": b"%d" % number for number in range(130)}  # two pages of assets
    push(files=many)
    other = {**many, "data/1.txt": b"changed"}
    push(files=other, tag="v2")
    assert store().tags() == ["v1", "v2"]
    assert (found(tag="v1").digest, found(tag="v2").digest) == (made(many).digest(), made(other).digest())
    assert len(github.store.published(REPO, "v2").assets) == 132


def test_a_broken_download_goes_on(github: GitHubServer) -> None:
    push()
    github.forget()
    for cut in (0, 5000, 9000):
        github.faults.add(Fault(path="^/content/.*parquet", cut=cut, headers={"Retry-After": "0"}))
    github.faults.add(Fault(path="/releases/assets/", status=502, headers={"Retry-After": "0"}))
    assert read(REPO, "parquet/a.parquet") == FILES["parquet/a.parquet"]
    assert github.downloaded("parquet--a.parquet") == PART
    github.faults.add(Fault(path="^/content/", whole=True))
    assert read(REPO, "parquet/a.parquet", 7) == FILES["parquet/a.parquet"][7:]


# What GitHub reports, and what it holds


def test_what_was_changed_is_seen(github: GitHubServer) -> None:
    push()
    release = github.store.published(REPO, "v1")
    release.assets.remove(asset(github, "README.md"))
    asset(github, "MANIFEST.sha256").state = "starter"
    github.store.tamper(asset(github, "metrics--a.json"), b"other", announce=True)
    github.store.tamper(asset(github, "parquet--a.parquet"), b"other")
    github.store.tamper(asset(github, "data--a_pairs.json.part002"), b"other", announce=True)
    seen, files = held(), made().files()
    assert {path: one.how for path, one in seen.items() if one.digest is None} == dict.fromkeys(
        ("README.md", "MANIFEST.sha256"), "not there"
    )
    assert {path for path, one in seen.items() if one.digest and one.digest != files[path].digest} == {
        "metrics/a.json",
        "data/a_pairs.json",
    }
    deep = held(deep=True)
    assert {path for path, one in deep.items() if one.digest and one.digest != files[path].digest} == {
        "metrics/a.json",
        "data/a_pairs.json",
        "parquet/a.parquet",
    }
    assert {one.how for one in deep.values()} == {"hashed", "not there"}
    with pytest.raises(Refused, match="no such asset"):
        read(REPO, "README.md")

    # A release takes back what it lost from another push; one that is immutable stays as it is.
    github.forget()
    push()
    check_held = held()
    assert {path: one.digest for path, one in check_held.items()} == {path: one.digest for path, one in files.items()}
    assert github.uploaded() == sum(
        map(len, (FILES["README.md"], FILES["MANIFEST.sha256"], FILES["metrics/a.json"], BIG[:PART]))
    )
    release.assets.remove(asset(github, "README.md"))
    release.immutable = True
    push()
    assert held()["README.md"].how == "not there"


def test_old_assets_have_no_digests(github: GitHubServer) -> None:
    push()
    github.store.forget_digests(REPO)
    github.forget()
    assert found().digest == made().digest()
    assert {(one.path, one.how, one.digest) for one in held().values()} == {
        (path, "part digests" if path == "empty.txt" else "fetched", one.digest) for path, one in made().files().items()
    }
    assert github.downloaded("parquet--a.parquet") == PART
    github.store.create("org/old", digests=False)
    github.store.token(TOKEN, push=[REPO, "org/old"])
    push("org/old")
    check(github, "org/old")


def test_what_is_no_release(github: GitHubServer) -> None:
    github.store.publish(REPO, "v1", {"program.zip": b"zip"})
    github.store.publish(REPO, "v2", {"release.json": b"{}"})
    assert store().tags() == ["v2"]
    with pytest.raises(Refused, match=r"a GitHub release without release\.json, not a release of aqea-registry"):
        found()
    with pytest.raises(Refused, match="not a release"):
        store().release(found(tag="v2"))
    with pytest.raises(TagConflict):
        push()
    push(tag="v3")
    record = next(one for one in github.store.published(REPO, "v3").assets if one.name == "release.json")
    github.store.tamper(record, b"{}")
    with pytest.raises(Refused, match="not those that its digest names"):
        store().release(found(tag="v3"))
    parts = next(one for one in github.store.published(REPO, "v3").assets if one.name == "parts.json")
    github.store.tamper(parts, b"[]")
    with pytest.raises(Refused, match="not a list of parts"):
        list(store().stored(found(tag="v3"), made(), False, ignore))


@pytest.mark.parametrize(
    "files",
    [{"a/b.json": b"1", "a--b.json": b"2"}, {"a b.json": b"1"}, {"attachment.x": b"1"}, {"parts.json": b"1"}, {"a..b": b"1"}],
)
def test_names_that_github_would_change(github: GitHubServer, files: Files) -> None:
    for ask in (lambda: store().plan("v1", made(files)), lambda: push(files=files)):
        with pytest.raises(BadConfiguration):
            ask()
    assert github.requests == []


@pytest.mark.parametrize(
    "spec", ["github://org", "github://org/name/more", "github://org/na me", "hf://org/name", "github://a@b/c"]
)
def test_names_of_no_repository(spec: str) -> None:
    with pytest.raises(BadConfiguration):
        GitHub(spec)


# Who may


@pytest.mark.parametrize(
    ("name", "token", "told"),
    [
        (REPO, "", "none is set"),
        (REPO, "ghp_read", "may read there, but not write"),
        (REPO, "ghp_bad", "Bad credentials"),
        ("org/nothing", TOKEN, "no repository org/nothing"),
        ("nobody/name", TOKEN, "no repository nobody/name"),
        ("org/private", TOKEN, "no repository org/private"),
        ("org/archived", TOKEN, "archived"),
    ],
)
def test_who_may_not_is_told_before(
    github: GitHubServer, monkeypatch: pytest.MonkeyPatch, name: str, token: str, told: str
) -> None:
    github.store.create("org/private", private=True)
    github.store.create("org/archived", archived=True)
    github.store.token(TOKEN, push=[REPO, "org/archived"])
    github.store.token("ghp_read", pull=[REPO])
    monkeypatch.setenv("GITHUB_TOKEN", token)
    with pytest.raises(NotAllowed, match=told) as caught:
        store(name).plan("v1", made())
    assert "GITHUB_TOKEN" in (caught.value.hint or "") or told == "archived"
    assert not token or token not in caught.value.message + (caught.value.hint or "")
    assert github.count("POST|PATCH|DELETE") == 0
    if name not in {REPO, "org/archived"}:
        with pytest.raises(NotAllowed, match="no repository"):
            found(name)
        with pytest.raises(NotAllowed, match="no repository"):
            store(name).tags()


def test_without_an_answer(github: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_API_URL", "nonsense")
    with pytest.raises(BadConfiguration, match="GITHUB_API_URL"):
        found()
    monkeypatch.setenv("GITHUB_API_URL", github.api)
    github.faults.add(Fault(times=None, status=200, body=b"<html>", headers={"Retry-After": "0"}))
    with pytest.raises(CannotCheck, match="what came is not JSON"):
        found()


# Interruptions


def everywhere(github: GitHubServer, spoiled: Callable[[str, int], Fault], judge: Callable[[str, int], None]) -> None:
    """Push into a repository of its own once for each request that a push makes, of which one is spoiled."""
    push()
    made = [one for one in github.requests if one.path.startswith("/repos/")]
    assert len(made) > len(ASSETS)
    numbers = sampling.requests(made, share=0.3, name=judge.__qualname__)
    allow(github, *(f"org/{number}" for number in numbers))

    def one(number: int) -> None:
        fault = github.faults.add(spoiled(f"org/{number}", number))
        judge(f"org/{number}", number)
        assert fault.hits

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, numbers))


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "headers": {"Retry-After": "0"}},
        {"status": 502, "after": True, "headers": {"Retry-After": "0"}},
        {"status": 429, "headers": {"Retry-After": "0"}},
        {"status": 403, "headers": {"Retry-After": "0"}},
        {"drop": True},
    ],
    ids=lambda fault: f"{fault.get('status', 'drop')}{'-after' if fault.get('after') else ''}",
)
def test_each_request_fails_once(github: GitHubServer, fault: dict[str, object]) -> None:
    def spoiled(name: str, number: int) -> Fault:
        return Fault(method=".*", path=f"^/repos/{name}/", skip=number, **fault)  # type: ignore[arg-type]

    def judge(name: str, _: int) -> None:
        push(name)
        check(github, name)

    everywhere(github, spoiled, judge)


def test_a_permanent_403_stops_at_once(github: GitHubServer) -> None:
    def spoiled(name: str, number: int) -> Fault:
        return Fault(method=".*", path=f"^/repos/{name}/", skip=number, times=None, status=403)

    def judge(name: str, number: int) -> None:
        with pytest.raises(NotAllowed, match="403"):
            push(name)
        assert sum(made.path.startswith(f"/repos/{name}/") for made in github.requests) == number + 1

    everywhere(github, spoiled, judge)


def test_a_lost_upload_is_sent_again(github: GitHubServer) -> None:
    sizes = {one.name: one.size for one in github.store.published(REPO, "v1").assets} if push() else {}
    names = [f"org/{number}" for number in range(len(ASSETS))]
    allow(github, *names)

    def one(name: str, lost: str) -> None:
        cut = github.faults.add(UploadFault(path=rf"/{name}/.*/assets\?.*name={lost}$", after_bytes=0, times=None))
        with pytest.raises(CannotCheck):
            push(name)
        (draft,) = github.store.releases(name)
        before = {one.name: one.id for one in draft.assets if one.state == "uploaded"}
        assert draft.draft and lost not in before
        cut.times = cut.hits
        plan = store(name).plan("v1", made())
        for path in ("MANIFEST.sha256", "README.md"):
            assert (made().files()[path] in plan.new) is (path not in before)
        assert not plan.complete
        already = sent(name)
        push(name)
        check(github, name)
        assert before.items() <= {one.name: one.id for one in github.store.published(name, "v1").assets}.items()
        assert sent(name) - already == sum(size for each, size in sizes.items() if each not in before)

    def sent(name: str) -> int:
        return sum(made.received for made in github.requests if f"/{name}/" in made.path and "/assets?" in made.path)

    with ThreadPoolExecutor(len(ASSETS)) as pool:
        list(pool.map(one, names, ASSETS))


@pytest.mark.parametrize("name", ["README.md", "data--a_pairs.json.part002", "parts.json", "release.json"])
def test_other_bytes_than_were_sent(github: GitHubServer, name: str) -> None:
    github.faults.add(UploadFault(path=rf"/assets\?.*name={name}", spoil=True))
    with pytest.raises(Refused, match="other bytes than were sent"):
        push()
    assert [one.draft for one in github.store.releases(REPO)] == [True]
    push()
    check(github)


def push_in_process(environment: Mapping[str, str], name: str, files: Files = FILES, start: float = 0) -> str:
    """Push at a moment, and say how it ended."""
    os.environ.update(environment)
    time.sleep(max(0, start - time.time()))
    try:
        push(name, files)
    except RegistryError as error:
        return type(error).__name__
    return ""


def test_a_push_killed_after_each_request(github: GitHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push()
    made = github.requests
    count = len(made)
    killed = sampling.requests(made, share=0.3, name="killed")
    allow(github, *(f"org/{number}" for number in killed))
    for number in killed:
        name = f"org/{number}"
        child = processes().Process(target=push_in_process, args=(dict(os.environ), name), daemon=True)
        child.start()
        assert child.pid is not None
        github.kill_after(child.pid, number + 1)
        child.join(300)
        assert child.exitcode == -9 or number == count - 1
        kept = {one.id for release in github.store.releases(name) for one in release.assets if one.state == "uploaded"}
        if number % 4 == 3:  # from another machine nothing is found again, and nothing is left behind either
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
            push(name)
        else:
            push(name)
            assert kept <= {one.id for one in github.store.published(name, "v1").assets}  # nothing was sent twice
        check(github, name)


# Others


def test_somebody_else_publishes_in_between(github: GitHubServer) -> None:
    names = ["org/other", "org/same", "org/foreign"]
    allow(github, *names)

    def meddling(act: Callable[[], object]) -> Callable[[str], bytes]:
        waiting = [act]

        def content(path: str) -> bytes:
            if path == "metrics/a.json" and waiting:
                waiting.pop()()
            return FILES[path]

        return content

    other = {**FILES, "README.md": b"other"}
    draft = github.store.publish("org/other", "v1", {"mine": b"mine"})
    draft.draft = True  # of somebody who prepares a release by hand
    for name, act in (
        ("org/other", lambda: push("org/other", other)),
        ("org/foreign", lambda: github.store.publish("org/foreign", "v1", {"program.zip": b"zip"})),
    ):
        assert store(name).plan("v1", made()).existing is None
        with pytest.raises(TagConflict) as caught:
            store(name).push("v1", made(), meddling(act), NOTES, ignore)
        assert [finding.code for finding in caught.value.findings] == ["tag-moved"]
    check(github, "org/other", other, others=1)
    assert [one.draft for one in github.store.releases("org/foreign")] == [False]

    ids = store("org/same").push("v1", made(), meddling(lambda: push("org/same")), NOTES, ignore)
    check(github, "org/same")
    assert ids["release"] == github.store.published("org/same", "v1").id

    fault = Fault(method="PATCH", path="/org/free/", status=422, times=None)
    fault.body = b'{"message": "Validation Failed", "errors": [{"code": "custom", "message": "tag_name was used"}]}'
    github.faults.add(fault)
    allow(github, *names, "org/free")
    with pytest.raises(NotAllowed, match="tag_name was used"):
        push("org/free")


@pytest.mark.parametrize(
    ("same", "machines", "immutable"),
    [(False, 8, False), (False, 1, True), (True, 1, False), (True, 8, False), (True, 8, True)],
)
def test_eight_publishers_at_once(github: GitHubServer, tmp_path: Path, same: bool, machines: int, immutable: bool) -> None:
    github.store.create("org/race", immutable=immutable)
    github.store.token(TOKEN, push=["org/race"])
    variants = [FILES if same else {**FILES, "README.md": b"by %d" % number} for number in range(8)]
    caches = [{**os.environ, "XDG_CACHE_HOME": str(tmp_path / f"cache-{number % machines}")} for number in range(8)]
    start = time.time() + 1.5
    with processes().Pool(8) as pool:
        ends = pool.starmap(push_in_process, [(caches[n], "org/race", variants[n], start) for n in range(8)], chunksize=1)
    winners = [files for files, end in zip(variants, ends, strict=True) if not end]
    assert sorted(ends) == [""] * 8 if same else ["", *["TagConflict"] * 7]
    check(github, "org/race", winners[0])
    assert github.store.published("org/race", "v1").immutable is immutable


# Beside a release


def status(number: int, **said: object) -> tuple[str, bytes]:
    return f"status-{number}.json", json.dumps(said).encode()


@pytest.mark.parametrize("immutable", [False, True])
def test_attachments(github: GitHubServer, immutable: bool) -> None:
    github.store.create("org/fixed", immutable=immutable)
    github.store.token(TOKEN, push=["org/fixed"])
    push("org/fixed")
    here, tagged = store("org/fixed"), found("org/fixed")
    documents = dict(
        [
            ("small-minilm.intoto.json", b'{"a": "-->"}\n' * 100),
            status(1, state="superseded", by="v2"),
            status(2, state="withdrawn", reason="wrong\nscores <!-- aqea -->"),
            ("status-3.json", b"[1]"),
        ]
    )
    for _ in range(2):  # the second time nothing changes
        for name, content in documents.items():
            here.attach(tagged, name, content)
    assert here.attachments(tagged) == documents
    assert github.uploaded() > 0 and here.find("v1") == tagged
    lines = github.store.published("org/fixed", "v1").body.splitlines()
    assert lines[0] == "> **Withdrawn**: wrong scores &lt;!-- aqea --&gt;"
    assert lines.count("> **Superseded** by v2") == lines.count(NOTES) == 1
    assert lines.count(lines[0]) == 1
    with contextlib.nullcontext() if not immutable else pytest.raises(NotAllowed, match="too large"):
        here.attach(tagged, "large.json", b"x" * (16 << 10))
    assert {one.digest for one in store("org/fixed").stored(tagged, made(), False, ignore)} == {
        one.digest for one in made().files().values()
    }
    push("org/fixed")
    assert here.attachments(tagged).items() >= documents.items()


def test_an_attachment_is_kept_in_steps(github: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    push()
    name, content = status(1, state="withdrawn", reason="wrong scores")
    cut = github.faults.add(UploadFault(after_bytes=3))
    github.faults.add(Fault(method="PATCH", times=4, status=500, headers={"Retry-After": "0"}))
    with pytest.raises(CannotCheck):
        store().attach(found(), name, content)
    assert cut.hits == 1
    assert "Withdrawn" not in github.store.published(REPO, "v1").body
    assert store().attachments(found()) == {name: content}
    store().attach(found(), name, content)
    assert github.store.published(REPO, "v1").body.startswith("> **Withdrawn**: wrong scores\n\n")
    assert sum(one.name.startswith("attachment.") for one in github.store.published(REPO, "v1").assets) == 1
    github.store.token("ghp_read", pull=[REPO])
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_read")
    with pytest.raises(NotAllowed, match="personal access token"):
        store().attach(found(), "status-2.json", b"{}")


def test_more_assets_than_github_takes_are_refused_before_anything_is_sent(github: GitHubServer) -> None:
    sha256 = hashlib.sha256(b"x").hexdigest()
    few = build((f"data/{number}.json", sha256, 1) for number in range(997))
    many = build((f"data/{number}.json", sha256, 1) for number in range(998))
    github.forget()
    for ask in (lambda: store().plan("v1", many), lambda: store().push("v1", many, lambda _: b"x", "", ignore)):
        with pytest.raises(
            BadConfiguration, match="GitHub takes 1000 assets a release, and this one would have 1001"
        ) as caught:
            ask()
        assert caught.value.hint == "publish it to the Hub or an OCI registry, or make several releases of it"
    assert not github.requests
    assert len(store().plan("v1", few).new) == 998
