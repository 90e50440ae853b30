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

from aqea_registry.base.files import ignore
from aqea_registry.stores.oci_layout import Layout
from aqea_registry.stores.release import build
from tests.helpers import METRICS, PAIRS, edit_json, edit_rows, found, keep_vectors, seal
from tests.tools import aqea, copy_project, edit_params

pytestmark = pytest.mark.weights

STATEMENT = "attestations/small-minilm.intoto.json"


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
    inputs = {each["name"]: each["digest"] for each in definition["resolvedDependencies"]}
    pins = read(attested / "manifests/pins.json")
    assert inputs["minilm"] == {"gitCommit": pins["models"]["minilm"]["commit"]}
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
        lambda value: dependency(value, "minilm")["digest"].update(gitCommit="0" * 40),
        "mismatch",
        f"{STATEMENT}: resolvedDependencies: minilm",
    ),
    "the parameters": (
        lambda value: value["predicate"]["buildDefinition"]["externalParameters"].update(precision="float32"),
        "mismatch",
        f"{STATEMENT}: externalParameters",
    ),
    "an unknown field": (lambda value: value["predicate"].update(note="x"), "malformed", STATEMENT),
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
    (attested / STATEMENT).unlink()
    assert aqea("verify", cwd=attested).status == 0, "a clone has no statements"


def test_a_thin_margin_is_a_finding_and_generation_offers_what_to_do(project: Path) -> None:
    """The offset puts a boundary onto the value that lies nearest to one; the one that is offered moves it away again."""
    edit_rows(project, lambda rows: None, rows=12)
    edit_params(project, lambda params: params["models"]["minilm"].update(rounding_offset=5.5883429e-06))
    made_thin = aqea("generate", "small", "minilm", "--json", cwd=project)
    margin = made_thin.json()["margin"]
    assert margin["ratio"] < 8 and margin["thin"]
    places = {(one["matrix"], one["row"]) for one in margin["thin"]}
    seal(project)
    codes = {(code, subject) for code, subject in found(aqea("verify", "--json", cwd=project)) if code == "thin-margin"}
    assert codes == {("thin-margin", f"{PAIRS}: {matrix}[{row}]") for matrix, row in places}

    edit_params(project, lambda params: params["models"]["minilm"].update(rounding_offset=margin["offset"]))
    results = []
    for words in (("--batch", "1"), ("--fresh", "--threads", "1", "--attention", "eager")):
        again = aqea("generate", "small", "minilm", *words, "--json", cwd=project)
        assert again.json()["margin"]["ratio"] > 100 and again.json()["margin"]["thin"] == []
        results.append((project / PAIRS).read_bytes())
    assert results[0] == results[1], "the same bytes for another arrangement"


def test_a_release_carries_its_statements_and_can_be_confirmed(made: Path, attested: Path, tmp_path: Path) -> None:
    reference = f"oci:{tmp_path / 'store'}:v1"
    assert aqea("publish", "--tag", "v1", "--to", reference.removesuffix(":v1"), cwd=attested).status == 0
    checked = aqea("verify", reference, cwd=attested)
    assert checked.status == 0 and "has 2 statements beside it" in checked.out and "made again" not in checked.out

    stranger = tmp_path / "stranger"
    copy_project(attested, stranger, without=("attestations",))
    refused = aqea("confirm", reference, cwd=stranger)
    assert refused.status == 1 and "nothing says that it was made on this machine" in refused.err
    keep_vectors(made, stranger)
    assert aqea("generate", "small", "minilm", cwd=stranger, process=False).status == 0
    done = aqea("confirm", reference, "--add", "--json", cwd=stranger)
    assert (done.status, done.json()["verdicts"]) == (0, {"small-minilm": "IDENTICAL"})
    written = sorted((stranger / "manifests/confirmations").iterdir())
    assert aqea("confirm", reference, cwd=stranger).status == 0
    assert sorted((stranger / "manifests/confirmations").iterdir()) == written, "said again, nothing is added"
    checked = aqea("verify", reference, cwd=attested)
    assert checked.status == 0 and "has 3 statements beside it; made again on" in checked.out
    assert aqea("publish", "--tag", "v1", "--to", reference.removesuffix(":v1"), cwd=attested).status == 0
    assert "has 3 statements" in aqea("verify", reference, cwd=attested).out


def test_another_pin_confirms_nothing(attested: Path, tmp_path: Path) -> None:
    store = f"oci:{tmp_path / 'store'}"
    assert aqea("publish", "--tag", "v1", "--to", store, cwd=attested).status == 0
    edit_json(attested / "manifests/pins.json", lambda pins: pins["models"]["minilm"].update(commit="0" * 40), indent=2)
    refused = aqea("confirm", f"{store}:v1", "--json", cwd=attested)
    assert refused.status in (1, 2) and "minilm" in refused.err


def test_confirm_makes_pair_sets_again_and_compares_them(project: Path, tmp_path: Path) -> None:
    """With --fresh nothing that lies in the checkout is believed: the pair set is missing, and the release's is changed."""
    edit_rows(project, lambda rows: None, rows=12)
    assert aqea("generate", "small", "minilm", cwd=project).status == 0
    pair_set = (project / PAIRS).read_bytes()
    pins = (project / "manifests/pins.json").read_bytes()
    layout, folder = Layout("oci:store", project / "store"), tmp_path / "files"
    (folder / "data").mkdir(parents=True)
    for tag, content, status, verdict in (
        ("v1", pair_set, 0, "IDENTICAL"),
        ("v2", pair_set.replace(b'"scores":[', b'"scores":[9'), 1, "DIVERGED"),
    ):
        files = {f"data/{Path(PAIRS).name}": content, "pins.json": pins}
        for path, text in files.items():
            (folder / path).write_bytes(text)
        release = build((path, hashlib.sha256(text).hexdigest(), len(text)) for path, text in files.items())
        layout.push(tag, release, folder.joinpath, "", ignore)
        (project / PAIRS).unlink()
        shutil.rmtree(project / "attestations")
        done = aqea("confirm", f"oci:store:{tag}", "--fresh", "--json", cwd=project)
        assert (done.status, done.json()["verdicts"]) == (status, {"small-minilm": verdict}), done.err
        assert (project / PAIRS).read_bytes() == pair_set
