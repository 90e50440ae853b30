"""A release with a vector set and a result: packaged, checked from nothing, restored, made again; what is wrong is found."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from aqea_registry.generation.encoding import record_decided
from aqea_registry.project.project import open_project
from aqea_registry.vectors.margin import DecidedValue
from aqea_registry.vectors.vector_set import VectorSet, write_vector_set
from tests.helpers import found, seal
from tests.standins import stand_ins
from tests.task_project import KEY, RESULT, VECTORS, task_made, task_project
from tests.tools import aqea, copy_project, dvc, edit_params, made_once

__all__ = ["stand_ins", "task_made", "task_project"]
FULL = ("verify", "oci:releases:v1", "--full", "--json")


@pytest.fixture(scope="module")
def released(task_made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a release v1. Look, do not touch."""

    def make(folder: Path) -> None:
        folder.rmdir()
        copy_project(task_made, folder)
        result = aqea("publish", "--tag", "v1", cwd=folder)
        assert result.status == 0, result
        assert aqea("package", cwd=folder).status == 0

    return made_once(tmp_path_factory, "task_released", make)


def test_card_and_page_show_the_task_and_its_main_score(released: Path) -> None:
    score = json.loads((released / RESULT).read_bytes())["scores"]["test"]["default"]["ndcg_at_10"]
    for name in ("README.md", "report.html"):
        text = (released / "hf_package" / name).read_text()
        assert "ndcg_at_10" in text and repr(score) in text and KEY in text
    assert {"data/plants_tiny_384d_vectors.parquet", f"metrics/{KEY}.json"} <= {
        path.relative_to(released / "hf_package").as_posix() for path in (released / "hf_package").rglob("*") if path.is_file()
    }


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # mlcroissant's own use of pandas
def test_programs_find_the_rows_of_a_vector_set_in_croissant_json(released: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    vectors = VectorSet(released / VECTORS)
    with contextlib.chdir(released / "hf_package"):
        read = [*mlcroissant.Dataset(jsonld="croissant.json").records(KEY)]
    assert [row[f"{KEY}/key"] for row in read] == [key.tobytes() for key in vectors.keys.view("V32")]
    assert np.array_equal([row[f"{KEY}/vector"] for row in read], vectors.lookup(vectors.keys))


def test_a_full_check_computes_the_result_again_without_the_model(released: Path, tmp_path: Path) -> None:
    folder = copy_project(released, tmp_path / "project")
    shutil.rmtree(folder / "models")
    result = aqea(*FULL, "--source", f"plants={folder / 'data/plants'}", cwd=folder)
    answer = result.json()
    assert (result.status, found(result)) == (0, set())
    assert answer["vector_sets"][KEY]["texts"] == 16
    assert "urn:aqea-registry:vector-set:1" in str(answer["statements"])
    assert [gap["what"] for gap in answer["not_checked"] if KEY in gap["what"]] == [f"the making of {KEY}"]


@pytest.mark.parametrize("change", [True, pytest.param(False, marks=pytest.mark.rare)])
def test_drawn_rows_of_a_vector_set_are_made_again(task_project: Path, change: bool) -> None:
    [(keys, vectors)] = VectorSet(task_project / VECTORS).blocks()
    text = keys[3:4].tobytes().hex()
    if change:
        other = vectors.copy()
        other[3, :2] = vectors[3, [1, 0]]
        with (task_project / VECTORS).open("wb") as file:
            content = write_vector_set(file, 384, [(keys, other)])
        result = (task_project / RESULT).read_text()
        (task_project / RESULT).write_text(re.sub("(?<=content.: .sha256:)[0-9a-f]+", content, result))
    artefact = open_project(task_project).vector_sets[KEY]
    record_decided(task_project, artefact, "0" * 64, [DecidedValue(text, 7, int(vectors[3, 7]))])
    seal(task_project)
    for folder in ("manifests/made", "attestations"):
        shutil.rmtree(task_project / folder)
    assert aqea("publish", "--tag", "v1", cwd=task_project).status == 0
    given = [word for at in ("data/plants", "data/talk", "models/tiny") for word in ("--source", f"{Path(at).name}={at}")]
    answer = aqea(*FULL, "--rows", "24", *given, cwd=task_project)
    rows = answer.json()["rows"]
    assert (rows["population"], rows["encoded"], rows["identical"]) == (24, 24, 24 - change), answer
    subjects = {subject for code, subject in found(answer) if code == "mismatch"}
    assert subjects == ({f"data/{Path(VECTORS).name}: {text}[0]"} if change else set())
    assert f"the making of {KEY}" not in {gap["what"] for gap in answer.json()["not_checked"]}


def test_without_the_data_it_is_said_what_to_give(released: Path) -> None:
    answer = aqea(*FULL, cwd=released).json()
    [gap] = [gap for gap in answer["not_checked"] if gap["what"] == f"the scores of {KEY}"]
    assert "--source plants=PATH" in gap["why"] and answer["ok"]


def test_a_release_becomes_a_project_that_is_sound_and_made_again(released: Path, tmp_path: Path) -> None:
    given = ("--source", f"plants={released / 'data/plants'}", "--source", f"talk={released / 'data/talk'}")
    pulled = aqea("pull", "oci:releases:v1", "--project", tmp_path / "again", *given, cwd=released)
    assert pulled.status == 0, pulled
    again = tmp_path / "again"
    shutil.copytree(released / "models", again / "models")
    assert (again / VECTORS).read_bytes() == (released / VECTORS).read_bytes()
    assert found(aqea("verify", "--json", cwd=again)) <= {("missing", "dvc.lock")}
    made = aqea("generate", "plants", "tiny", "--json", cwd=again)
    assert made.json()["encoded"] == 16 and (again / RESULT).read_bytes() == (released / RESULT).read_bytes()


def test_a_confirmation_makes_vector_sets_again_too(released: Path, tmp_path: Path) -> None:
    folder = copy_project(released, tmp_path / "project")
    confirmed = aqea("confirm", "oci:releases:v1", "--json", cwd=folder)
    assert confirmed.json()["verdicts"] == {KEY: "IDENTICAL", "talk-tiny": "IDENTICAL"}, confirmed
    verified = aqea("verify", "oci:releases:v1", "--json", cwd=folder)
    assert found(verified) == set()


def test_a_release_whose_result_is_another_one_is_found(task_project: Path, tmp_path: Path) -> None:
    path = task_project / RESULT
    path.write_text(path.read_text().replace('"ndcg_at_10": 0.', '"ndcg_at_10": 0.1', 1))
    edit_params(task_project, lambda params: None)
    assert aqea("manifest", "-q", cwd=task_project).status == 0
    dvc("commit", "-f", "-q", cwd=task_project)
    (task_project / f"manifests/made/{KEY}.intoto.json").unlink()
    (task_project / f"attestations/{KEY}.intoto.json").unlink()
    assert aqea("publish", "--tag", "v1", cwd=task_project).status == 0
    result = aqea(*FULL, "--source", f"plants={task_project / 'data/plants'}", cwd=task_project)
    assert ("wrong-metric", f"metrics/{KEY}.json") in found(result)
