"""The verb confirm, on the project of 0.1.0 and its release: everything is encoded anew, and nothing else counts."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from aqea_registry.attestations.made import attachment_name
from aqea_registry.attestations.statement import Statement, make_statement, parse_statement
from aqea_registry.base.files import ignore
from aqea_registry.stores.oci_layout import Layout
from aqea_registry.stores.open_store import find
from aqea_registry.stores.release import build
from tests.golden.cases import OTHER, PAIRS, make_project
from tests.helpers import tree
from tests.tools import aqea

pytestmark = pytest.mark.weights


@pytest.fixture
def old(tmp_path: Path) -> Path:
    make_project(tmp_path / "old")
    return tmp_path / "old"


def beside(store: Layout, tag: str) -> list[Statement]:
    attached = store.attachments(find(store, tag))
    read = [parse_statement(content, name) for name, content in attached.items() if ".intoto." in name]
    assert all(findings == [] for _, findings in read)
    return [statement for statement, _ in read if statement is not None]


def put_release(project: Path, store: Layout, tag: str, *, travel: bytes) -> None:
    """A release of the project's pins and pair sets, one of which has these bytes."""
    files = {
        f"data/{Path(PAIRS).name}": (project / PAIRS).read_bytes(),
        f"data/{Path(OTHER).name}": travel,
        "pins.json": (project / "manifests/pins.json").read_bytes(),
    }
    release = build((path, hashlib.sha256(content).hexdigest(), len(content)) for path, content in files.items())
    store.push(tag, release, files.__getitem__, "", ignore)


def test_pair_sets_are_made_again_and_nothing_that_is_here_is_used(old: Path) -> None:
    """In a clone whose own files are wrong, with the publisher's statements: one set is as released, the other is not."""
    store = Layout("oci:releases", old / "releases")
    travel = (old / OTHER).read_bytes()
    put_release(old, store, "v2", travel=travel.replace(b'"scores":[', b'"scores":[9', 1))
    (old / PAIRS).write_bytes(b"{}")
    (old / OTHER).unlink()
    before = tree(old, without=(".git", ".aqea", "releases"))

    done = aqea("confirm", "oci:releases:v2", "--fresh", "--add", "--json", cwd=old)
    value = done.json()
    assert (done.status, value["verdicts"]) == (1, {"weather-minilm": "IDENTICAL", "travel-minilm": "DIVERGED"}), done.err
    texts = {
        json.loads(line)[f"sentence{side}"]
        for name in ("weather", "travel")
        for line in (old / f"data/{name}/test.jsonl").read_text().splitlines()
        for side in (1, 2)
    }
    assert value["encoded"] == len(texts)
    after = tree(old, without=(".git", ".aqea", "releases"))
    assert {path: after[path] for path in before} == before and set(after) - set(before) == {value["path"]}
    (statement,) = beside(store, "v2")
    confirmation = statement.confirmation()
    assert confirmation is not None and (old / value["path"]).read_bytes() == statement.to_bytes()
    assert confirmation.reference == f"oci:releases:v2@{value['digest']}" == value["reference"]
    weather = confirmation.pair_sets["weather-minilm"]
    assert weather.metadata is not None and confirmation.metadata.started_on <= weather.metadata.started_on
    assert weather.encoded == 24 and weather.margin is not None and weather.machine.device == "cpu"
    assert "made again on" in aqea("verify", "oci:releases:v2", cwd=old).out

    # The same said of v1, as this machine would say it: that is there already, and nothing is encoded.
    machine = weather.machine
    again = {key: json.loads(json.dumps(pair_set)) for key, pair_set in statement.predicate["pairSets"].items()}
    tagged = find(store, "v1")
    subjects = store.release(tagged).subjects()
    for key, pair_set in again.items():
        sha256 = subjects[f"data/{key.replace('-', '_')}_384d_pairs.json"]
        pair_set.update(verdict="IDENTICAL", released=sha256, regenerated=sha256)
    full = make_statement(subjects, confirmation)
    content = json.dumps({**json.loads(full.to_bytes()), "predicate": {**statement.predicate, "pairSets": again}}).encode()
    store.attach(tagged, attachment_name("confirmation-v1", content), content)
    names = sorted(store.attachments(tagged))
    refused = aqea("confirm", "oci:releases:v1", "--add", "--json", cwd=old)
    assert (refused.status, [finding["code"] for finding in refused.json()["findings"]]) == (1, ["duplicate"])
    assert "another machine" in refused.json()["error"]["hint"]
    assert sorted(store.attachments(tagged)) == names
    assert f"made again on {machine.processor}" in aqea("verify", "oci:releases:v1", cwd=old).out


def test_a_confirmation_of_the_own_run_is_read_and_not_counted(old: Path) -> None:
    """0.1.0 confirmed what the statement in attestations/ said; that statement may be anybody's."""
    checked = aqea("verify", "oci:releases:v1", "--json", cwd=old)
    notes = " ".join(checked.json()["notes"])
    assert checked.status == 0 and "statements beside it" in notes and "made again on" not in notes
    assert "a confirmation of weather-minilm is not counted: it states the making itself" in notes
    (confirmation,) = (
        node for node in aqea("trace", "v1", "--json", cwd=old).json()["nodes"] if node["label"].startswith("confirm")
    )
    assert confirmation["facts"]["travel-minilm"].startswith("not counted: ") and confirmation["broken"] is None
    assert "not counted" in aqea("verify", cwd=old).out
    assert aqea("report", "-q", cwd=old).status == 0
    assert "not counted: it states the making itself" in (old / "report.html").read_text()
    shutil.rmtree(old / "attestations")
    assert "does not say that anything was encoded" in aqea("verify", cwd=old).out, "a clone has nothing to compare it with"


def test_a_release_made_from_other_pins_is_refused_before_anything_is_encoded(old: Path) -> None:
    path = old / "manifests/pins.json"
    pins = json.loads(path.read_text())
    pins["datasets"]["weather"]["files"]["test.jsonl"]["sha256"] = "0" * 64
    path.write_text(json.dumps(pins, indent=2) + "\n")
    refused = aqea("confirm", "oci:releases:v1", cwd=old)
    assert refused.status == 1 and "pins.json: weather" in refused.err
