"""One stage makes every artefact of a run, each only where its inputs or files changed."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from aqea_registry.project.lock import LOCK
from aqea_registry.project.project import MANY, Project, open_project
from aqea_registry.tracing.trace import outline
from tests.growth import assert_linear
from tests.many import commit, tiny_model, write_project
from tests.standins import stand_ins
from tests.task_project import RESULT, task_made, task_project
from tests.tools import ROOT, aqea, copy_project, dvc, edit_params, environment, made_once, repro

__all__ = ["stand_ins", "task_made", "task_project"]

DATASETS, MODELS = 3, 2
KEYS = {f"d{at:03}-m{model}" for at in range(DATASETS) for model in range(MODELS)}
VIEW, PAIRS, PLOT = "views/d001-m1.parquet", "training/data/d001_m1_32d_pairs.json", "plots/d001-m1.csv"


@pytest.fixture(scope="session")
def many_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of six artefacts in which `dvc repro` has run: look, do not touch."""

    def make(folder: Path) -> None:
        write_project(folder, tiny_model(), DATASETS, MODELS)
        repro(folder)
        commit(folder)

    return made_once(tmp_path_factory, "many_made", make)


@pytest.fixture
def many(many_made: Path, tmp_path: Path) -> Path:
    """A copy of the test's own."""
    return copy_project(many_made, tmp_path / "many")


def generate(folder: Path, *options: str) -> set[str]:
    """What `generate` makes of the whole run, by key."""
    result = aqea("generate", *options, "--json", cwd=folder)
    assert result.status == 0, result.err
    made = {one["name"] for one in result.json()["made"]}
    assert result.json()["unchanged"] == len(open_project(folder).run.made) - len(made)
    return made


def findings(folder: Path) -> list[tuple[str, str]]:
    return [(one["code"], one["subject"]) for one in aqea("verify", "--json", cwd=folder).json()["findings"]]


def other_rows(folder: Path) -> None:
    rows = folder / "data/d001/test.jsonl"
    rows.write_text("".join(reversed(rows.read_text().splitlines(keepends=True))))
    assert aqea("pin", "d001", cwd=folder).status == 0


def other_prefix(folder: Path) -> None:
    edit_params(folder, lambda params: params["models"]["m1"].update(prefix="other "))


def other_export(folder: Path) -> None:
    wanted = {"dataset": "d001", "model": "m1", "file": "d001_m1_32d", "format": "benchmark"}
    edit_params(folder, lambda params: params["run"]["exports"].update(wanted=wanted))


def new_dataset(folder: Path) -> None:
    shutil.copytree(folder / "data/d001", folder / "data/new")

    def change(params: dict[str, Any]) -> None:
        entry = {**params["datasets"]["d001"], "repo": "data/new", "sources": ["directory:data/new"]}
        params["datasets"]["new"] = entry
        params["run"]["pairs"]["new-m0"] = {"dataset": "new", "model": "m0", "file": "new_m0_32d"}

    edit_params(folder, change)
    assert aqea("pin", "new", cwd=folder).status == 0


CHANGES: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "nothing": (lambda folder: None, set()),
    "a dataset": (other_rows, {"d001-m0", "d001-m1"}),
    "a model's entry": (other_prefix, {key for key in KEYS if key.endswith("m1")}),
    "an export more": (other_export, {"d001-m1"}),
    "a dataset more": (new_dataset, {"new-m0"}),
    "a file deleted": (lambda folder: (folder / VIEW).unlink(), {"d001-m1"}),
    "a file damaged": (lambda folder: (folder / PAIRS).write_bytes(b"{}"), {"d001-m1"}),
    "its precision": (lambda folder: edit_params(folder, lambda params: params.update(precision="float32")), KEYS),
}
RARE = ("a dataset more", "its precision")


@pytest.mark.parametrize("change", [pytest.param(name, marks=pytest.mark.rare) if name in RARE else name for name in CHANGES])
def test_only_what_changed_is_made_again(many: Path, change: str) -> None:
    act, expected = CHANGES[change]
    before = {path: path.stat().st_mtime_ns for path in many.glob("training/data/*.json")}
    act(many)
    assert generate(many) == expected
    assert all((many / path).is_file() for artefact in open_project(many).run.made.values() for path in artefact.made_by)
    again = {path for path, written in before.items() if path.stat().st_mtime_ns != written}
    assert {path.name for path in again} <= {f"{key.replace('-', '_')}_32d_pairs.json" for key in expected}


def test_all_is_made_again_if_asked_for(many: Path) -> None:
    assert generate(many, "--fresh") == KEYS
    assert findings(many) == []


@pytest.mark.parametrize("content", [pytest.param(None, marks=pytest.mark.rare), "score,cosine\n"])
def test_plot_data_are_drawn_again_without_the_model(many: Path, content: str | None) -> None:
    before = (many / PLOT).read_bytes()
    (many / PLOT).unlink()
    if content is not None:
        (many / PLOT).write_text(content)
    assert ("lock-stale", "plots") in findings(many)
    assert generate(many) == set()
    assert (many / PLOT).read_bytes() == before
    assert findings(many) == []


def test_what_is_stale_is_named_by_artefact(many: Path) -> None:
    other_prefix(many)
    stale = {f"generate@d{at:03}-m1: params.yaml: models.m1" for at in range(DATASETS)}
    assert {subject for code, subject in findings(many) if code == "lock-stale"} == stale
    traced = aqea("trace", "d001-m1#cos_sim_spearman", "--json", cwd=many)
    assert traced.status == 1 and {one["subject"] for one in traced.json()["findings"]} == {"parameters:generate@d001-m1"}
    down = aqea("trace", "d001-m0#cos_sim_spearman", "--json", cwd=many).json()
    assert {"pin:d001", "pin:m0"} == {id_ for id_ in down["rests_on"] if id_.startswith("pin:")}


def test_files_in_its_folders_are_compared_with_dvc_lock(many: Path) -> None:
    (many / "metrics/.gitignore").write_text("")  # .dvcignore names it
    assert findings(many) == []
    (many / "views/other.parquet").write_bytes(b"")
    assert findings(many) == [("lock-stale", "views"), ("unexpected", "views/other.parquet")]


def test_dvc_makes_publishes_and_restores_it(many: Path, tmp_path: Path) -> None:
    other_rows(many)
    assert "generate" in repro(many)
    assert findings(many) == []
    assert {path: set(state) for path, state in status(many).items()} == {}
    shown = json.loads(dvc("metrics", "show", "--json", cwd=many).out)
    assert len(shown[""]["data"]) == len(KEYS)
    commit(many)
    published = aqea("publish", "--tag", "v1", cwd=many)
    assert published.status == 0, published.err
    restored = tmp_path / "restored"
    sources = [f"--source=d{at:03}={many}/data/d{at:03}" for at in range(DATASETS)] + [f"--source=m0={many}/models/shared"]
    pulled = aqea("pull", f"oci:{many}/releases:v1", "--project", restored, *sources, cwd=tmp_path)
    assert pulled.status == 0, pulled.err
    assert yaml.safe_load((restored / "dvc.yaml").read_text())["stages"]["generate"]["cmd"] == "aqea-registry generate"
    assert "again: aqea-registry generate --fresh" in pulled.out
    assert findings(restored) == [] and status(restored) == {}
    assert generate(restored) == set()


def status(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dvc("status", "--json", cwd=folder).out)
    return found


def test_init_groups_the_stages_of_many(tmp_path: Path) -> None:
    assert aqea("init", "few", cwd=tmp_path).status == 0
    assert aqea("init", "asked", "--one-stage", cwd=tmp_path).status == 0
    few, asked = (yaml.safe_load((tmp_path / name / "dvc.yaml").read_text())["stages"] for name in ("few", "asked"))
    assert "foreach" in few["generate"] and set(asked) == {"generate", "manifest"}
    params = yaml.safe_load((tmp_path / "few/params.yaml").read_text())
    model, pair = next(iter(params["models"])), next(iter(params["run"]["pairs"].values()))
    params["run"]["pairs"] |= {f"more{at}": {**pair, "file": f"more{at}_384d"} for at in range(MANY)}
    (tmp_path / "few/params.yaml").write_text(yaml.safe_dump(params))
    noted = aqea("verify", "--json", cwd=tmp_path / "few").json()["notes"]
    assert [note for note in noted if f"a stage for each of {MANY + 1} artefacts" in note], model
    (tmp_path / "few/dvc.yaml").unlink()
    assert aqea("init", "few", cwd=tmp_path).status == 0
    assert (tmp_path / "few/dvc.yaml").read_bytes() == (tmp_path / "asked/dvc.yaml").read_bytes()


@pytest.mark.rare
def test_the_form_of_a_project_can_be_changed_as_the_page_says(task_project: Path) -> None:
    """A project with a vector set, that had a stage for each artefact: nothing is made again."""
    commit(task_project)
    steps = (ROOT / "docs/scale.md").read_text().partition("in which `verify` finds nothing:\n\n```sh\n")[2].partition("```")[0]
    done = subprocess.run(
        ("sh", "-ec", steps), cwd=task_project, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert findings(task_project) == [] and status(task_project) == {}
    assert generate(task_project) == set()
    (task_project / RESULT).write_text("{}")
    repro(task_project)
    assert findings(task_project) == [] and status(task_project) == {}


def test_one_of_the_two_names_is_a_mistake(many_made: Path) -> None:
    result = aqea("generate", "d001", cwd=many_made)
    assert result.status == 2 and "Missing argument 'MODEL'" in result.err


def test_work_grows_with_the_run(many: Path) -> None:
    """What is recorded is compared in time that grows with the number of artefacts: of twice as many, twice as long."""
    params, recorded = (yaml.safe_load((many / name).read_text()) for name in ("params.yaml", "dvc.lock"))
    pins = json.loads((many / LOCK).read_text())

    def opened(count: int) -> Project:
        names, folder = (
            [f"p{at:04}" for at in range(count)],
            copy_project(many, Path(tempfile.mkdtemp(dir=many.parent)) / "project"),
        )
        pairs = {name: {"dataset": name, "model": "m1", "file": f"{name}_32d"} for name in names}
        new = {"datasets": dict.fromkeys(names, params["datasets"]["d001"]), "run": {"pairs": pairs, "exports": {}}}
        pinned = {"datasets": dict.fromkeys(names, pins["datasets"]["d001"])}
        ran = recorded["stages"]["generate"]["params"]
        ran |= {"params.yaml": ran["params.yaml"] | new, LOCK: ran[LOCK] | pinned}
        for name, value in (("params.yaml", params | new), (LOCK, pins | pinned), ("dvc.lock", recorded)):
            (folder / name).write_text(json.dumps(value))
        return open_project(folder)

    def compare(count: int) -> Callable[[], object]:
        run = opened(count).run
        return lambda: [*map(run.stale_findings, run.made.values())]

    def draw(count: int) -> Callable[[], object]:
        root = opened(count).root

        def work() -> object:
            project = open_project(root)
            return outline(project.run, project.catalogue.values(), None)

        return work

    assert_linear(compare, 400)
    assert_linear(draw, 200)
