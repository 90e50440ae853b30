"""Values at a rounding boundary are decided once: whoever makes a pair set again, on any machine, makes the same bytes."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from aqea_registry.base.progress import Silent
from aqea_registry.embedding.encoder import Encoder, Settings
from aqea_registry.generation import encoding, inputs
from aqea_registry.generation.generate import Generated, generate
from aqea_registry.project.project import open_project
from aqea_registry.vectors.vector_set import keys_of, write_vector_set
from tests.helpers import METRICS, PAIRS, PINS, ROWS, edit_json, edit_rows, found, seal
from tests.standins import stand_ins
from tests.task_project import KEY, RESULT, VECTORS, task_made, task_project
from tests.tools import aqea, copy_project, dvc, edit_params

__all__ = ["stand_ins", "task_made", "task_project"]
pytestmark = pytest.mark.weights

LIST = "manifests/decided/small-minilm.json"
FILES = (PAIRS, METRICS, LIST, PINS, "manifests/made/small-minilm.intoto.json")


class Coarse(Encoder):
    """A machine whose sums end in float32: it differs from others by some 1e-9, a hundred thousand times as much as usual."""

    def _forward(self, features: dict[str, Any]) -> npt.NDArray[np.floating]:
        return super()._forward(features).astype(np.float32).astype(np.float64)


@pytest.fixture
def two_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """With batches of one sentence the other machine computes; each measures the spread between both."""

    def load(model: inputs.ModelInUse, settings: Settings) -> Encoder:
        kind = Coarse if settings.batch == 1 else Encoder
        return kind(model.folder, model.entry, model.precision, settings)

    for module in (encoding, inputs):  # to encode, and to measure the spread
        monkeypatch.setattr(module, "load_encoder", load)


def make(project: Path, batch: int | None = None) -> Generated:
    done = generate(open_project(project), "small", "minilm", Settings(batch=batch), Silent())
    assert isinstance(done, Generated)
    return done


def values(project: Path) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads((project / LIST).read_bytes())["values"]
    return listed


def content(project: Path, cache: Path, settings: Settings) -> str:
    """The content digest of a vector set of the pair set's sentences, as that machine makes it."""
    opened = open_project(project)
    artefact = opened.artefacts["small-minilm"]
    model = inputs.pinned_model(opened.catalogue["minilm"], [artefact], Silent(), root=cache)
    rows = map(json.loads, (project / ROWS).read_text().splitlines())
    texts = [row[key] for row in rows for key in ("sentence1", "sentence2")]
    vectors = encoding.Vectors(model, settings, Silent(), label="", fresh=False)
    vectors.compute(texts)
    vectors.use_decided(project, artefact)
    keys = np.unique(keys_of(texts))
    return write_vector_set(io.BytesIO(), 384, [(keys, np.concatenate([*vectors.blocks(keys)]))])


@pytest.mark.usefixtures("two_machines")
def test_two_machines_make_the_same_bytes_once_values_are_decided(project: Path, tmp_path: Path) -> None:
    edit_rows(project, lambda rows: None, rows=12)
    first = make(project)
    seal(project)
    assert first.margin is not None and first.margin.spread is not None and first.margin.spread.value > 1e-10
    assert first.margin.decided == len(values(project)) > 200
    assert first.margin.ratio is not None and first.margin.ratio >= 8, "of those that were not decided"
    lock = json.loads((project / PINS).read_bytes())["decided"]["small-minilm"]
    assert lock == {"sha256": hashlib.sha256((project / LIST).read_bytes()).hexdigest(), "values": len(values(project))}
    made = {path: (project / path).read_bytes() for path in FILES}

    clone = copy_project(project, tmp_path / "clone", without=(".aqea", "attestations"))
    second = make(clone, batch=1)
    assert second.encoded == first.encoded and second.metrics == first.metrics
    assert {path: (clone / path).read_bytes() for path in FILES} == made, "git has nothing to say"
    wanted = content(project, project, Settings())
    assert content(clone, clone, Settings(batch=1)) == wanted

    edit_json(clone / PINS, lambda lock: lock.pop("decided"), indent=2)
    (clone / LIST).unlink()
    make(clone, batch=1)
    assert (clone / PAIRS).read_bytes() != made[PAIRS], "without the list"
    assert content(clone, clone, Settings(batch=1)) != wanted


@pytest.mark.rare
@pytest.mark.usefixtures("two_machines")
def test_two_machines_make_the_same_vector_set_and_result(task_project: Path, tmp_path: Path) -> None:
    """Of 16 short texts under a small model; the manifest knows them already, so the first machine is told to decide."""

    def evaluate(project: Path, batch: int | None = None, *, fresh: bool = False) -> list[bytes]:
        generate(open_project(project), "plants", "tiny", Settings(batch=batch), Silent(), fresh=fresh)
        return [(project / path).read_bytes() for path in (VECTORS, RESULT, PINS)]

    shutil.rmtree(task_project / ".aqea")  # what it knows of the spread, too
    first = evaluate(task_project, fresh=True)
    listed = json.loads((task_project / f"manifests/decided/{KEY}.json").read_bytes())
    assert len(listed["values"]) > 100 and b"decided" in first[2]
    clone = copy_project(task_project, tmp_path / "clone", without=(".aqea",))
    assert evaluate(clone, batch=1) == first
    edit_json(clone / PINS, lambda lock: lock.pop("decided"), indent=2)
    assert evaluate(clone, batch=1)[0] != first[0]


def decide(project: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the list, and the lock with it."""
    edit_json(project / LIST, lambda listed: change(listed["values"]), indent=2)
    entry = {"sha256": hashlib.sha256((project / LIST).read_bytes()).hexdigest(), "values": len(values(project))}
    edit_json(project / PINS, lambda lock: lock["decided"].update({"small-minilm": entry}), indent=2)


@pytest.fixture(scope="module")
def thin(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair set with a value that truly lies at a boundary, because an offset puts one there; it was decided the other way."""
    project = copy_project(made, tmp_path_factory.mktemp("thin") / "project", without=(".aqea", "releases", "attestations"))
    edit_rows(project, lambda rows: None, rows=12)
    edit_params(project, lambda params: params["models"]["minilm"].update(rounding_offset=5.5883429e-06))
    made_thin = aqea("generate", "small", "minilm", "--json", cwd=project).json()
    assert made_thin["margin"]["decided"] == len(values(project)) >= 1
    own, listed = (project / PAIRS).read_bytes(), values(project)[0]["value"]
    answers = []
    for value in (listed - 1, listed + 1):  # the one beyond the boundary, and one that is none of both
        decide(project, lambda values, value=value: values[0].update(value=value))  # type: ignore[misc]
        answers.append(aqea("generate", "small", "minilm", cwd=project))
        if answers[-1].status == 0:
            sealed = copy_project(project, project.parent / "sealed")
    assert sorted(answer.status for answer in answers) == [0, 1]
    refused = next(answer for answer in answers if answer.status)
    assert f"{LIST}: {values(project)[0]['text']}[{values(project)[0]['component']}]" in refused.err
    assert (sealed / PAIRS).read_bytes() != own
    for words in (("export", PAIRS, "--format", "benchmark"), ("manifest",)):
        assert aqea(*words, cwd=sealed).status == 0
    assert dvc("commit", "-f", "-q", cwd=sealed).status == 0
    return sealed


def test_a_list_is_taken_checked_and_traced(thin: Path, tmp_path: Path) -> None:
    project = copy_project(thin, tmp_path / "project", without=("attestations",))
    made = {path: (project / path).read_bytes() for path in FILES}
    again = aqea("generate", "small", "minilm", "--json", cwd=project)
    assert again.json()["encoded"] == 0, "what is kept is what this machine found; the other integer comes from the list"
    assert again.json()["margin"]["decided"] == len(values(project)) and again.json()["margin"]["ratio"] >= 8
    assert {path: (project / path).read_bytes() for path in FILES} == made
    assert aqea("verify", cwd=project).status == 0
    traced = aqea("trace", PAIRS, "--json", cwd=project).json()
    assert any("decided and listed: " in node["facts"].get("margin", "") for node in traced["nodes"])

    changes: dict[str, Callable[[Path], object]] = {
        "mismatch": lambda path: path.write_bytes(path.read_bytes().replace(b'"value": ', b'"value": 1')),
        "missing": lambda path: path.unlink(),
        "unexpected": lambda _: edit_json(project / PINS, lambda lock: lock.pop("decided"), indent=2),
    }
    for code, change in changes.items():
        change(project / LIST)
        assert (code, LIST) in found(aqea("verify", "--json", cwd=project))
        generated = aqea("generate", "small", "minilm", cwd=project)
        assert (generated.status == 0) is (code == "unexpected"), generated.err
        for path in (LIST, PINS):
            shutil.copy(thin / path, project / path)


def test_only_a_value_at_a_boundary_can_be_decided(thin: Path, tmp_path: Path) -> None:
    project = copy_project(thin, tmp_path / "project", without=("attestations",))
    made = (project / PAIRS).read_bytes()
    other = (values(project)[0]["component"] + 1) % 384
    decide(project, lambda values: values[0].update(component=other))
    refused = aqea("generate", "small", "minilm", "--json", cwd=project)
    ((code, subject),) = found(refused)
    assert (refused.status, code) == (1, "mismatch")
    assert subject == f"{LIST}: {values(project)[0]['text']}[{other}]"
    assert (project / PAIRS).read_bytes() == made


def test_lists_travel_in_releases(thin: Path, tmp_path: Path) -> None:
    project = copy_project(thin, tmp_path / "project")
    published = aqea("publish", "--tag", "v1", cwd=project)
    assert published.status == 0, published.out + published.err
    source = ("--source", f"small={project / 'data/small'}")
    checked = aqea("verify", "oci:releases:v1", "--full", "--rows", "12", *source, "--json", cwd=project)
    assert checked.json()["rows"]["identical"] == 12, checked.out
    assert {code for code, _ in found(checked)} <= {"claim-contradicted", "claim-stale"}, "of numbers of the whole data set"
    assert f"decided/{Path(LIST).name}" not in {gap["what"] for gap in checked.json()["not_checked"]}
    confirmed = aqea("confirm", "oci:releases:v1", "--json", cwd=project)
    assert set(confirmed.json()["verdicts"].values()) == {"IDENTICAL"}, confirmed.out
    edit_json(project / PINS, lambda lock: lock["decided"]["small-minilm"].update(sha256="0" * 64), indent=2)
    other = aqea("confirm", "oci:releases:v1", "--json", cwd=project)
    assert found(other) == {("mismatch", "pins.json: decided.small-minilm")}
    restored = tmp_path / "restored"
    assert aqea("pull", "oci:releases:v1", "--project", str(restored), cwd=project).status == 0
    for path in FILES[:4]:
        assert (restored / path).read_bytes() == (thin / path).read_bytes()
