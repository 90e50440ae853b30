"""`pin --check` against a Hub: what has become of each pin, and pins that know no digests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import pytest

from tests.servers.hub import Fault
from tests.sources.test_pin import DATA, MODEL, MODEL_FILES, PINNED, WEIGHTS, Desk
from tests.sources.test_pin import desk as desk

pytest.importorskip("huggingface_hub")

# What has moved or gone


def test_check_names_what_has_become_of_each_pin(desk: Desk) -> None:
    store = desk.hub.store
    changes: dict[str, Callable[[str, str], object]] = {
        "pin-moved": lambda repo, _: store.move_tag("models", repo, "v1", store.commit("models", repo, {"x.json": b"1"})),
        "commit-gone": lambda repo, commit: store.delete_commit("models", repo, commit),
        "mismatch": lambda repo, commit: store.put("models", repo, commit, "model.safetensors", b"other", announce=True),
        "repository-gone": lambda repo, _: store.delete_repo("models", repo),
        "gated": lambda repo, _: store.settings("models", repo, gated=True),
        "private": lambda repo, _: store.settings("models", repo, private=True),
        "small-file": lambda repo, commit: store.put("models", repo, commit, "vocab.txt", b"three\n", announce=True),
        "same": lambda repo, _: None,
    }
    commits = {}
    for name in changes:
        store.create("models", f"org/{name}")
        commits[name] = store.commit("models", f"org/{name}", MODEL_FILES)
        store.tag("models", f"org/{name}", "v1")
    desk.write({name: {"repo": f"org/{name}", "revision": "v1"} for name in changes}, {})
    desk.pin()
    before = desk.lock_bytes()
    assert desk.check() == (0, dict.fromkeys(sorted(changes), "same"))
    for name, change in changes.items():
        change(f"org/{name}", commits[name])
    result = desk.aqea("pin", "--check", "--json")
    assert result.status == 1
    wanted = {**{name: name for name in changes}, "private": "repository-gone", "small-file": "mismatch"}
    assert result.json()["states"] == dict(sorted(wanted.items()))
    by_name = {finding["subject"].partition(":")[0]: finding for finding in result.json()["findings"]}
    assert by_name["pin-moved"]["expected"] == commits["pin-moved"] != by_name["pin-moved"]["actual"]
    assert by_name["mismatch"]["expected"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert by_name["mismatch"]["actual"] == hashlib.sha256(b"other").hexdigest()
    assert "private" in by_name["private"]["message"] and "terms" in by_name["gated"]["message"]
    assert "same" not in by_name
    assert desk.lock_bytes() == before


def test_check_that_nobody_can_answer_is_no_answer(desk: Desk) -> None:
    desk.write({f"m{at}": {"repo": MODEL, "revision": "v1"} for at in range(5)}, {})
    desk.pin()
    result = desk.aqea("pin", "--check", env={"HF_HUB_OFFLINE": "1"})
    assert result.status == 3
    assert "HF_HUB_OFFLINE" in result.err
    fault = desk.hub.faults.add(Fault(times=None, status=503, headers={"Retry-After": "0"}))
    result = desk.aqea("pin", "--check")
    assert result.status == 3
    assert "m0" in result.err and "next:" in result.err
    assert fault.hits < 6, "a Hub that did not answer for one entry is not waited for at each other one"


# Pins that know no digests


def test_an_unresolved_pin_is_a_state_of_its_own(desk: Desk) -> None:
    run = {"pairs": {"d-m": {"dataset": "d", "model": "m", "file": "d_m_4d"}}, "exports": {}}
    other = {"repo": "org/other", "revision": "0" * 40}
    desk.write(
        {"m": {"repo": MODEL, "revision": desk.commit}},
        {"d": {"repo": DATA, "revision": "main", "commit": desk.data_commit}, "o": other},
        run=run,
    )
    desk.hub.forget()
    result = desk.aqea("pin", "--commits-only")
    assert result.status == 0, result
    assert not desk.hub.requests
    assert {name: (pin["commit"], pin["files"]) for name, pin in desk.lock()["datasets"].items()} == {
        "d": (desk.data_commit, {}),
        "o": ("0" * 40, {}),
    }
    findings = [one for one in desk.aqea("verify", "--json").json()["findings"] if one["code"] == "unpinned"]
    assert [one["subject"] for one in findings] == ["datasets.d", "models.m"]  # not o, which the run does not use
    refused = desk.aqea("generate", "d", "m", process=False)
    assert refused.status == 1
    assert "datasets.d" in refused.err and desk.data_commit in refused.err and "aqea-registry pin d" in refused.err
    assert not (desk.folder / ".aqea").exists()
    assert desk.check("d") == (1, {"d": "unpinned"})
    desk.pin("d", "m")
    before = desk.lock_bytes()
    assert desk.aqea("pin", "--commits-only").status == 0
    assert desk.lock_bytes() == before, "what is known is not forgotten"


# A repository's name


@pytest.mark.parametrize("new", ["org/newer", "other/model", "org/Model"])
def test_a_repository_with_another_name_now_is_noted_and_found(desk: Desk, new: str) -> None:
    desk.pin()
    desk.hub.store.rename("models", MODEL, new)
    before, said = desk.lock_bytes(), f"{MODEL} is {new} now: write that in params.yaml"
    assert f"note: m: {said}" in desk.pin().out
    assert desk.aqea("pin", "--json").json()["notes"] == [f"m: {said}"]
    assert desk.lock_bytes() == before
    result = desk.aqea("pin", "--check", "--json")
    assert (result.status, result.json()["states"]) == (1, {"d": "same", "m": "repository-renamed"})
    [finding] = result.json()["findings"]
    assert finding == {**finding, "code": "repository-renamed", "message": said, "expected": MODEL, "actual": new}
    desk.write({"m": {"repo": new, "revision": "v1"}}, {})
    assert said not in desk.pin("m").out
    assert desk.check("m") == (0, {"m": "same"})


# Commits that nobody but params.yaml names


def claim(desk: Desk, commit: str, files: Mapping[str, bytes] | None = None, sources: tuple[str, ...] = ()) -> None:
    """Pin the model's bytes from a folder, under this commit."""
    for path, content in (files or {path: MODEL_FILES[path] for path in PINNED}).items():
        (desk.folder / "model" / path).parent.mkdir(parents=True, exist_ok=True)
        (desk.folder / "model" / path).write_bytes(content)
    desk.write({"m": {"repo": MODEL, "revision": commit, "sources": [*sources, "directory:model"]}}, {})
    result = desk.aqea("pin", "m", env={"HF_HUB_OFFLINE": "1"})
    assert result.status == 0 and f"{commit} (claimed), from directory:model" in result.out


def test_a_commit_that_no_hub_has_confirmed_is_claimed(desk: Desk) -> None:
    claim(desk, desk.commit)
    before = desk.lock_bytes()
    offline = desk.aqea("pin", "--check", "--json", env={"HF_HUB_OFFLINE": "1"})
    assert (offline.status, offline.json()["states"]) == (0, {"m": "claimed"})
    result = desk.aqea("pin", "--check")
    assert result.status == 0 and "confirmed  m" in result.out and "aqea-registry pin --check --record" in result.out
    assert desk.hub.downloaded(r".*safetensors") == 0
    assert desk.lock_bytes() == before, "a check changes nothing"
    assert desk.aqea("pin", "--record").status == 2
    assert desk.aqea("pin", "--check", "--record").status == 0
    recorded = desk.lock()["models"]["m"]
    assert recorded["resolved_from"] == "hub" and "blob" in recorded["files"]["vocab.txt"]
    assert desk.check() == (0, {"m": "same"})
    assert desk.aqea("pin", "m", env={"HF_HUB_OFFLINE": "1"}).status == 0
    assert desk.lock()["models"]["m"] == recorded, "the Hub's word is kept"


def test_pinning_from_the_hub_confirms_what_was_claimed(desk: Desk) -> None:
    claim(desk, desk.commit, sources=("hub",))
    result = desk.pin("m")
    assert "confirmed  m" in result.out and "another file" not in result.out
    assert desk.lock()["models"]["m"]["resolved_from"] == "hub"


def test_an_invented_commit_and_bytes_of_another_are_found(desk: Desk) -> None:
    claim(desk, "1" * 40)
    assert desk.check() == (1, {"m": "commit-gone"})
    claim(desk, desk.commit, {"vocab.txt": b"one\ntoo\n"})  # as long as the commit's
    before = desk.lock_bytes()
    result = desk.aqea("pin", "--check", "--record", "--json")
    assert [(f["code"], f["subject"]) for f in result.json()["findings"]] == [("mismatch", "m: vocab.txt")]
    assert (result.status, desk.lock_bytes()) == (1, before)
