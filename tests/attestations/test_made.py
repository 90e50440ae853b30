"""Statements on a real run: what they say, what `verify` finds in false ones, and confirmations of a release."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aqea_registry.attestations import made
from aqea_registry.stores.open_store import find, open_store
from tests.attestations.test_statement import BUILT, bundled, enveloped
from tests.helpers import METRICS, PAIRS, edit_json, found
from tests.tools import aqea

pytestmark = pytest.mark.weights

STATEMENT = "attestations/small-minilm.intoto.json"
KEPT = "manifests/made/small-minilm.intoto.json"


@pytest.fixture
def attested(made: Path, project: Path) -> Path:
    """A project with the statement of the machine that made it."""
    shutil.copytree(made / "attestations", project / "attestations")
    return project


def read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_bytes())
    return value


def test_the_run_states_how_it_was_made(attested: Path) -> None:
    one = read(attested / STATEMENT)
    digests = {path: hashlib.sha256((attested / path).read_bytes()).hexdigest() for path in (PAIRS, METRICS)}
    assert {each["name"]: each["digest"]["sha256"] for each in one["subject"]} == digests
    definition, run = one["predicate"]["buildDefinition"], one["predicate"]["runDetails"]
    inputs = {each["name"]: each.get("digest", {}) for each in definition["resolvedDependencies"]}
    pins = read(attested / "manifests/pins.json")
    commit = pins["models"]["minilm"]["commit"]
    assert dependency(one, "minilm")["annotations"] == {"claimedCommit": commit}, "no Hub has confirmed it"
    for name, group in (("minilm", "models"), ("small", "datasets")):
        files = pins[group][name]["files"]
        assert {path: inputs[f"{name}/{path}"]["sha256"] for path in files} == {p: file["sha256"] for p, file in files.items()}
    assert len(inputs["code"]["gitCommit"]) == 40
    machine = definition["internalParameters"]["machine"]
    assert (machine["device"], machine["architecture"]) == ("cpu", platform.machine())
    assert machine["packages"]["torch"].startswith("2.")
    margin = run["byproducts"][0]["annotations"]
    assert margin["ratio"] > 1000 and margin["spread"]["value"] < 1e-14 and margin["spread"]["sample"] >= 16
    assert run["metadata"]["startedOn"] <= run["metadata"]["finishedOn"]
    assert aqea("verify", "-q", cwd=attested).status == 0


def dependency(value: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in value["predicate"]["buildDefinition"]["resolvedDependencies"] if one["name"] == name)


TAMPERED: dict[str, tuple[Callable[[dict[str, Any]], object], str, str]] = {
    "the subject's digest": (
        lambda value: value["subject"][1]["digest"].update(sha256="0" * 64),
        "mismatch",
        f"{STATEMENT}: {PAIRS}",
    ),
    "another subject": (lambda value: value["subject"][1].update(name="other.json"), "unexpected", f"{STATEMENT}: other.json"),
    "a pinned file": (
        lambda value: dependency(value, "minilm/model.safetensors")["digest"].update(sha256="0" * 64),
        "mismatch",
        f"{STATEMENT}: resolvedDependencies: minilm/model.safetensors",
    ),
    "a commit": (
        lambda value: dependency(value, "minilm")["annotations"].update(claimedCommit="0" * 40),
        "mismatch",
        f"{STATEMENT}: resolvedDependencies: minilm",
    ),
    "the parameters": (
        lambda value: value["predicate"]["buildDefinition"]["externalParameters"].update(precision="float32"),
        "mismatch",
        f"{STATEMENT}: externalParameters",
    ),
    "another kind": (
        lambda value: value["predicate"]["buildDefinition"].update(buildType="urn:aqea-registry:release:1"),
        "malformed",
        STATEMENT,
    ),
    "no machine": (
        lambda value: value["predicate"]["buildDefinition"]["internalParameters"].clear(),
        "malformed",
        STATEMENT,
    ),
}


def test_a_false_statement_is_found(attested: Path) -> None:
    good = (attested / STATEMENT).read_bytes()
    for change, code, subject in TAMPERED.values():
        edit_json(attested / STATEMENT, change, indent=2)
        result = aqea("verify", "--json", cwd=attested)
        assert (result.status, found(result)) == (1, {(code, subject)})
        (attested / STATEMENT).write_bytes(good)
    (attested / KEPT).parent.mkdir(exist_ok=True)
    (attested / STATEMENT).rename(attested / KEPT)
    checked = aqea("verify", cwd=attested)
    assert checked.status == 0 and "is on other files" not in checked.out, "a clone has the one in git"
    edit_json(attested / KEPT, TAMPERED["the subject's digest"][0], indent=2)
    checked = aqea("verify", cwd=attested)
    assert checked.status == 0 and f"{KEPT} is on other files or pins" in checked.out
    (attested / KEPT).unlink()
    assert aqea("verify", cwd=attested).status == 0, "or none"


def test_a_release_carries_its_statements_once(attested: Path, tmp_path: Path) -> None:
    store = f"oci:{tmp_path / 'store'}"
    for _ in range(2):
        assert aqea("publish", "--tag", "v1", "--to", store, cwd=attested).status == 0
        checked = aqea("verify", f"{store}:v1", cwd=attested)
        assert checked.status == 0 and "has 2 statements beside it" in checked.out and "made again" not in checked.out
    layout = open_store(store, attested)
    attached = layout.attachments(find(layout, "v1"))
    assert all(name.endswith(".intoto.jsonl") and content.count(b"\n") == 1 for name, content in attached.items())


def test_many_statements_are_attached_together(attested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = f"oci:{tmp_path / 'store'}"
    monkeypatch.setattr(made, "MOST_APART", 0)
    for _ in range(2):
        assert aqea("publish", "--tag", "v1", "--to", store, cwd=attested, process=False).status == 0
        checked = aqea("verify", f"{store}:v1", cwd=attested)
        assert checked.status == 0 and "has 2 statements beside it" in checked.out
    layout = open_store(store, attested)
    assert sorted(name.partition("-")[0] for name in layout.attachments(find(layout, "v1"))) == ["release", "statements"]
    line = b"x" * 400_000 + b"\n"
    assert [document for _, document in made._together([line] * 5)] == [line * 2, line * 2, line]


def test_statements_of_others_beside_a_release_are_judged_as_far_as_they_are_known(attested: Path) -> None:
    reference = "oci:releases:v1"
    assert aqea("publish", "--tag", "v1", cwd=attested).status == 0
    layout = open_store("oci:releases", attested)
    tagged = find(layout, "v1")
    pair_file = hashlib.sha256((attested / PAIRS).read_bytes()).hexdigest()
    built = json.loads(json.dumps(BUILT).replace("a" * 64, pair_file))
    layout.attach(tagged, "multiple.intoto.jsonl", f"{json.dumps(bundled(built))}\n{json.dumps(enveloped(built))}\n".encode())
    other = json.dumps({**built, "predicateType": "https://example.org/review/v1"}).encode()
    layout.attach(tagged, "review.intoto.json", other)
    checked = aqea("verify", reference, cwd=attested)
    assert (checked.status, "has 4 statements beside it" in checked.out) == (0, True), checked.out
    assert "review.intoto.json: not judged: its predicate is of type 'https://example.org/review/v1'" in checked.out
    assert aqea("trace", "v1", cwd=attested).status == 0
    assert aqea("publish", "--tag", "v1", cwd=attested).status == 0
    assert "has 4 statements" in aqea("verify", reference, cwd=attested).out
    (attested / STATEMENT).write_bytes(other)
    checked = aqea("verify", cwd=attested)
    assert checked.status == 0 and f"{STATEMENT}: not judged" in checked.out
    layout.attach(tagged, "elsewhere.intoto.jsonl", json.dumps(BUILT).encode())
    assert found(aqea("verify", reference, "--json", cwd=attested)) == {
        ("mismatch", f"{reference}: elsewhere.intoto.jsonl: {name}") for name in ("pairs.json", "a.tar.gz")
    }


def test_another_pin_confirms_nothing(attested: Path, tmp_path: Path) -> None:
    store = f"oci:{tmp_path / 'store'}"
    assert aqea("publish", "--tag", "v1", "--to", store, cwd=attested).status == 0
    edit_json(attested / "manifests/pins.json", lambda pins: pins["models"]["minilm"].update(commit="0" * 40), indent=2)
    refused = aqea("confirm", f"{store}:v1", "--json", cwd=attested, process=False)
    assert refused.status in (1, 2) and "minilm" in refused.err
