"""The lock: one spelling, read strictly; a pin's digest is of the bytes that it fixes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from random import Random
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.project.lock import Decided, Lock, Pin, PinnedFile, parse_lock, pin_findings, render_lock
from aqea_registry.project.params import Dataset
from tests.base.test_sha256_list import digests, paths
from tests.tools import ROOT

names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,10}", fullmatch=True)
commits = st.binary(min_size=20, max_size=20).map(bytes.hex)
words = st.text(max_size=10)


@st.composite
def pins(draw: st.DrawFn) -> Pin:
    kinds: tuple[Literal["model", "dataset", "directory"], ...] = ("model", "dataset", "directory")
    kind = draw(st.sampled_from(kinds))
    files = st.dictionaries(paths, st.builds(PinnedFile, sha256=digests, size=st.integers(0, 10**12)), max_size=4)
    return Pin(
        kind=kind,
        id=draw(words),
        requested=draw(st.none() | words),
        commit=draw(commits if kind != "directory" else st.none() | commits),
        licence=draw(st.none() | words),
        resolved_from=draw(words),
        files=draw(files),
    )


def good() -> dict[str, Any]:
    """The plain values of a small lock."""
    file = {"sha256": "a" * 64, "size": 3}
    common = {"requested": "main", "licence": "mit", "resolved_from": "package:m", "resolved_at": "2026-11-21"}
    return {
        "schema": "aqea-registry/pins/1",
        "datasets": {"d": {**common, "kind": "directory", "id": "data/d", "commit": None, "files": {"test.jsonl": dict(file)}}},
        "models": {"m": {**common, "kind": "model", "id": "org/m", "commit": "b" * 40, "files": {"a/c.json": dict(file)}}},
    }


@given(st.dictionaries(names, pins(), max_size=3), st.dictionaries(names, pins(), max_size=3))
def test_what_is_written_is_read(datasets: dict[str, Pin], models: dict[str, Pin]) -> None:
    lock = Lock(datasets=datasets, models=models)
    content = render_lock(lock)
    assert parse_lock(content) == lock
    assert render_lock(parse_lock(content)) == content
    assert content.endswith(b"\n") and not content.endswith(b"\n\n")


def test_the_lock_has_one_spelling_whatever_the_order() -> None:
    values = good()
    values["models"]["a"] = values["models"]["m"]
    turned = {
        key: dict(reversed(value.items())) if isinstance(value, dict) else value for key, value in reversed(values.items())
    }
    assert render_lock(parse_lock(json.dumps(turned).encode())) == render_lock(parse_lock(json.dumps(values).encode()))
    assert json.loads(render_lock(parse_lock(json.dumps(values).encode()))) == values


def test_the_projects_own_lock_is_canonical() -> None:
    content = (ROOT / "manifests" / "pins.json").read_bytes()
    assert render_lock(parse_lock(content)) == content


def test_decided_values_are_in_the_lock_only_where_there_are_any() -> None:
    lock = parse_lock(json.dumps(good()).encode())
    assert b"decided" not in render_lock(lock)
    decided = msgspec.structs.replace(lock, decided={"d-m": Decided(sha256="c" * 64, values=2)})
    assert parse_lock(render_lock(decided)) == decided


def test_the_pin_of_a_task_is_compared_with_what_the_catalogue_says() -> None:
    pin = Pin(
        kind="dataset", id="mteb/n", requested="a" * 40, commit="a" * 40, licence=None, resolved_from="hub",
        files={"x": PinnedFile(sha256="a" * 64, size=1)}, mteb="N",
    )  # fmt: skip
    assert not pin_findings("n", Dataset(mteb="N"), pin), "id and revision are those of MTEB's metadata"
    for other, field in ((Dataset(mteb="M"), "mteb"), (Dataset(mteb="N", repo="mteb/m"), "id")):
        assert [finding.subject for finding in pin_findings("n", other, pin)] == [f"datasets.n.{field}"]


def test_a_pin_is_put_in_or_replaced() -> None:
    lock = parse_lock(json.dumps(good()).encode())
    pin = lock.datasets["d"]
    changed = lock.with_pin("datasets", "e", pin).with_pin("models", "m", pin)
    assert (changed.datasets, changed.models) == ({"d": pin, "e": pin}, {"m": pin})
    assert set(lock.datasets) == {"d"}


@given(st.dictionaries(paths, digests, max_size=5), st.randoms(use_true_random=False))
def test_a_pins_digest_is_of_its_bytes_alone(files: dict[str, str], random: Random) -> None:
    lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(files.items()))
    items = list(files.items())
    random.shuffle(items)
    for kind, commit, order in (("model", "a" * 40, items), ("directory", None, list(reversed(items)))):
        pinned = {path: PinnedFile(sha256=digest, size=1) for path, digest in order}
        pin = Pin(kind=kind, id=kind, requested=None, commit=commit, licence=None, resolved_from=kind, files=pinned)  # type: ignore[arg-type]
        assert pin.digest() == hashlib.sha256(lines.encode()).hexdigest()


Change = Callable[[dict[str, Any]], Any]


def file(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = values["datasets"]["d"]["files"]["test.jsonl"]
    return found


def named(path: str) -> Change:
    """A change that gives a pinned file another path."""

    def change(values: dict[str, Any]) -> None:
        values["datasets"]["d"]["files"] = {path: file(values)}

    return change


BAD: dict[str, tuple[Change, str]] = {
    "unknown schema": (lambda v: v.update(schema="aqea-registry/pins/2"), "schema"),
    "no schema": (lambda v: v.pop("schema"), "schema"),
    "unknown key": (lambda v: v.update(more=1), "`more`"),
    "unknown key of a pin": (lambda v: v["models"]["m"].update(tag="x"), "models.m.*`tag`"),
    "unknown key of a file": (lambda v: file(v).update(md5="x"), "`md5`.*files"),
    "no id": (lambda v: v["models"]["m"].pop("id"), "models.m.*`id`"),
    "no files": (lambda v: v["models"]["m"].pop("files"), "models.m.*`files`"),
    "no sha256": (lambda v: file(v).pop("sha256"), "`sha256`.*files"),
    "no size": (lambda v: file(v).pop("size"), "`size`.*files"),
    "a list": (lambda v: v.update(datasets=[]), "datasets"),
    "unknown kind": (lambda v: v["models"]["m"].update(kind="space"), "kind"),
    "a number as an id": (lambda v: v["models"]["m"].update(id=3), "id"),
    "a short digest": (lambda v: file(v).update(sha256="a" * 63), "sha256"),
    "a long digest": (lambda v: file(v).update(sha256="a" * 65), "sha256"),
    "an upper-case digest": (lambda v: file(v).update(sha256="A" * 64), "sha256"),
    "a digest that ends a line": (lambda v: file(v).update(sha256="a" * 64 + "\n"), "sha256"),
    "no hex": (lambda v: file(v).update(sha256="g" * 64), "sha256"),
    "a negative size": (lambda v: file(v).update(size=-1), "size"),
    "a fraction of a byte": (lambda v: file(v).update(size=1.5), "size"),
    "text for a size": (lambda v: file(v).update(size="3"), "size"),
    "39 digits": (lambda v: v["models"]["m"].update(commit="b" * 39), "commit"),
    "a commit that ends a line": (lambda v: v["models"]["m"].update(commit="b" * 40 + "\n"), "commit"),
    "a branch for a commit": (lambda v: v["models"]["m"].update(commit="main"), "commit"),
    "a model without a commit": (lambda v: v["models"]["m"].update(commit=None), "models.m.*commit"),
    "a name with a space": (lambda v: v["models"].update({"m 2": v["models"]["m"]}), "models"),
    "a name that ends a line": (lambda v: v["models"].update({"m\n": v["models"]["m"]}), "models"),
    "an absolute path": (named("/etc/passwd"), "absolute"),
    "a path that climbs": (named("../x"), r"'\.\.'"),
    "the folder itself": (named("."), "components"),
    "an empty path": (named(""), "empty"),
    "NUL in a path": (named("a\0b"), "NUL"),
    "half a surrogate pair in a path": (named("\ud800"), "surrogate"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_a_bad_value_is_named_by_its_field(change: Change, message: str) -> None:
    values = good()
    change(values)
    with pytest.raises(BadConfiguration, match=rf"(?s)^manifests/pins\.json: .*{message}"):
        parse_lock(json.dumps(values).encode())


NO_LOCK = {
    "empty": b"",
    "YAML": b"schema: aqea-registry/pins/1",
    "a list": b"[]",
    "cut off": json.dumps(good()).encode()[:-1],
    "more after the end": b"{} {}",
    "not UTF-8": b'{"schema": "\xff"}',
    "UTF-16": json.dumps(good()).encode("utf-16"),
    "deep": b"[" * 200_000,
    "a number of 5000 digits": b"9" * 5000,
}


@pytest.mark.parametrize("content", NO_LOCK.values(), ids=NO_LOCK)
def test_what_is_no_json_object_is_refused(content: bytes) -> None:
    with pytest.raises(BadConfiguration, match=r"^manifests/pins\.json: "):
        parse_lock(content)


@pytest.mark.parametrize(
    "content", [b'{"datasets": {}, "datasets": {}}', b'{"models": {"datasets": 1, "a": 2, "datasets": 1}}']
)
def test_a_key_that_stands_twice_is_refused(content: bytes) -> None:
    with pytest.raises(BadConfiguration, match="the key 'datasets' appears twice"):
        parse_lock(content)


def test_half_a_surrogate_pair_is_refused_wherever_it_stands() -> None:
    """It could be read and never be written again."""
    for key in ("id", "licence", "resolved_from", "requested"):
        values = good()
        values["models"]["m"][key] = "\ud800"
        with pytest.raises(BadConfiguration):
            parse_lock(json.dumps(values).encode())


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    with pytest.raises(BadConfiguration):
        parse_lock(content)


def test_findings_between_a_catalogue_entry_and_its_pin() -> None:
    entry = Dataset(kind="directory", repo="data/d", revision="main", files=("test.jsonl",), sources=())
    pin = parse_lock(json.dumps(good()).encode()).datasets["d"]
    assert pin_findings("d", entry, pin) == []
    for unpinned in (
        None,
        Pin(kind="directory", id="data/d", requested="main", commit=None, licence=None, resolved_from="x", files={}),
    ):
        (finding,) = pin_findings("d", entry, unpinned)
        assert (finding.code, finding.subject) == ("unpinned", "datasets.d")
        assert "aqea-registry pin d" in finding.message
    other = Dataset(kind="dataset", repo="org/d", revision="v2", files=("test.jsonl",), sources=())
    found = pin_findings("d", other, pin)
    assert [(finding.code, finding.subject, finding.expected, finding.actual) for finding in found] == [
        ("lock-stale", "datasets.d.kind", "dataset", "directory"),
        ("lock-stale", "datasets.d.id", "org/d", "data/d"),
        ("lock-stale", "datasets.d.requested", "v2", "main"),
    ]


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "claimed"),
        ({"resolved_from": None}, "claimed"),
        ({"resolved_from": "hub"}, "resolved"),
        ({"files": {}}, "unresolved"),
        ({"kind": "directory"}, "directory"),
    ],
)
def test_a_commit_is_the_hubs_only_if_the_hub_said_so(change: dict[str, Any], state: str) -> None:
    value = good()
    value["models"]["m"] |= change
    pin = parse_lock(json.dumps(value).encode()).models["m"]
    assert (pin.state, "claimed" in pin.commit_text()) == (state, state == "claimed")
