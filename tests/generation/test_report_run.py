"""The report's run, with stand-ins for its models: its files, what is done again and what is not, and from where it comes.

It is made once, killed in its midst and taken up again; the tests work on copies.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from aqea_registry.embedding.vector_cache import Segment
from tests import sampling
from tests.servers.hub import HubServer
from tests.servers.s3 import BUCKET, S3
from tests.servers.s3 import s3 as s3
from tests.standins import MODELS, STS, STSB, Files, datasets, fill, rows, use_hub, zipped
from tests.standins import stand_ins as stand_ins
from tests.tools import (
    ROOT,
    SHARED,
    Result,
    aqea,
    copy_checkout,
    copy_project,
    edit_params,
    environment,
    repro,
    run,
)

pytest.importorskip("huggingface_hub")
pytest.importorskip("dvc")

DATASETS = ("stsb", "sts12", "sts13", "sts14", "sts15", "sts16")
WIDTHS = {"e5large": 1024, "mpnet": 768, "minilm": 384}
MANIFEST = "manifests/MANIFEST.sha256"
LEFT = "metrics/small-minilm.json"  # committed with the default run
SETS = {f"{data}-{model}": (data, model) for model in WIDTHS for data in DATASETS}
SMALLER = {f"{data}-{model}": (data, model) for data in ("stsb", "sts13") for model in ("e5large", "minilm")}
FINISHED = sampling.times(3, 1)  # stages before the one in which the run is killed
KEYS = {*SMALLER, *sampling.sample(SETS, share=0.2, name="report", stratum=lambda key: SETS[key][1])}


class Made(NamedTuple):
    """The finished project, the Hub that it was made from, and what the two `dvc repro` said."""

    folder: Path
    hub: HubServer
    commits: dict[str, str]
    interrupted: str
    resumed: str

    def env(self, cache: Path | None = None) -> dict[str, str]:
        return self.hub.environment(cache or self.folder.parent / "cache")


def stages(said: str) -> list[str]:
    """The stages that a `dvc repro` ran."""
    return re.findall(r"Running stage '([^']+)'", said)


def of(keys: Iterable[str]) -> list[str]:
    """The stages of these pair sets."""
    return [f"generate@{key}" for key in keys]


def kill_after(count: int, folder: Path, env: Mapping[str, str]) -> str:
    """Start `dvc repro`, and kill it and all that it started in the stage after `count` finished ones."""
    everything = environment({**env, "PYTHONUNBUFFERED": "1"})
    said = folder.parent / "said"
    with said.open("wb") as out:
        process = subprocess.Popen(["dvc", "repro"], cwd=folder, env=everything, stdout=out, stderr=out, start_new_session=True)
    try:
        end = time.monotonic() + 3000
        while len(stages(said.read_text())) <= count:
            assert process.poll() is None and time.monotonic() < end, said.read_text()
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return said.read_text()


def _only_chosen(params: dict[str, Any]) -> None:
    pairs = params["run"]["pairs"]
    assert pairs.keys() == SETS.keys()
    params["run"]["pairs"] = {key: pair for key, pair in pairs.items() if key in KEYS}


@pytest.fixture(scope="module")
def made(stand_ins: dict[str, Files], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """The report's run, or a part of it, after a kill in its midst and another start. Look, do not touch."""
    folder = tmp_path_factory.mktemp("report") / "project"
    folder.mkdir()
    copy_checkout(folder)
    with HubServer(folder.parent / "hub") as hub:
        commits = fill(hub, stand_ins)
        use_hub(folder, commits, "report")
        edit_params(folder, _only_chosen)
        (folder / LEFT).unlink()
        env = hub.environment(folder.parent / "cache")
        pinned = aqea("pin", *DATASETS, *WIDTHS, cwd=folder, env=env)
        assert pinned.status == 0, pinned.err
        interrupted = kill_after(FINISHED, folder, env)
        yield Made(folder, hub, commits, interrupted, repro(folder, env))


@pytest.fixture
def project(made: Made, tmp_path: Path) -> Path:
    """A copy of the finished project, without checked copies of models and data."""
    return copy_project(made.folder, tmp_path / "project", without=(".aqea/pinned", ".aqea/incoming"))


def names() -> set[str]:
    """The names of the files that the run makes in training/data."""
    stems = {f"{data}_{model}_{WIDTHS[model]}d" for data, model in (SETS[key] for key in KEYS)}
    stems = {stem.replace("stsb_e5large", "stsb_intfloat_e5_large_v2") for stem in stems}
    return {f"{stem}_pairs.json" for stem in stems} | {"stsb_intfloat_e5_large_v2_1024d_benchmark.json"}


def test_the_run_makes_the_reports_files_and_no_others(made: Made) -> None:
    found = {path.name for path in (made.folder / "training/data").iterdir()} - {".gitignore"}
    assert found == names() and len(found) == len(KEYS) + 1
    assert {path.stem for path in (made.folder / "metrics").glob("*.json")} == KEYS
    assert {path.stem for path in (made.folder / "views").glob("*.parquet")} == KEYS
    assert len(listed((made.folder / MANIFEST).read_text())) == 3 * len(KEYS) + 2
    checked = aqea("verify", cwd=made.folder, env=made.env())
    assert checked.status == 0, checked.out
    assert run("sha256sum", "-c", "--quiet", MANIFEST, cwd=made.folder).status == 0


def test_what_the_default_run_left_does_no_harm(made: Made, project: Path) -> None:
    """The switch is one line; nobody should have to delete files by hand as well."""
    (project / LEFT).write_bytes((ROOT / LEFT).read_bytes())
    (project / "plots/small-minilm.csv").write_text("score,cosine\n5.0,1.0\n")
    checked = aqea("verify", cwd=project, env=made.env())
    assert checked.status == 0, checked.out


@pytest.mark.shared
def test_the_names_are_those_of_the_seed_notes(made: Made) -> None:
    notes = next((SHARED / "seeds").glob("000*.txt")).read_text()
    wanted = set(re.findall(r"`training/data/([\w.]+_(?:pairs|benchmark)\.json)`", notes))
    assert len(wanted) == 7
    found = {path.name for path in (made.folder / "training/data").iterdir()}
    assert wanted & names() == {name for name in found if "e5" in name}


def test_each_sentence_went_through_each_model_once(made: Made) -> None:
    """Over six sets that share sentences, a kill among them: a vector is kept once."""

    for model in WIDTHS:
        used = [DATASETS.index(data) for data, other in (SETS[key] for key in KEYS) if other == model]
        texts = [row for at in used for row in rows(at, 12 + at if at else 24)]
        distinct = len({row[key] for row in texts for key in ("sentence1", "sentence2")})
        assert distinct < 2 * len(texts)
        (folder,) = (made.folder / ".aqea/vectors").glob(f"{MODELS[model].partition('/')[2]}-*")
        keys = [row[0] for path in folder.glob("*.sqlite") for row in Segment(path).sound()]
        assert len(keys) == len(set(keys)) == distinct


def test_a_killed_run_goes_on_where_it_was_killed(made: Made) -> None:
    before, after = stages(made.interrupted), stages(made.resumed)
    assert len(before) == FINISHED + 1
    assert after[0] == before[-1] or before[-1] in after
    assert not set(before[:FINISHED]) & set(after), "what was finished is not made again"
    assert {*before, *after} == {*of(KEYS), "export@stsb-e5large-benchmark", "manifest"}


def test_without_a_hub_everything_but_pin_works(made: Made, project: Path) -> None:
    """Nothing but the checked copies is there: no cache of the Hub's client either."""
    shutil.copytree(made.folder / ".aqea/pinned", project / ".aqea/pinned")
    env = made.env(project / "empty")
    made.hub.offline()
    try:
        assert stages(repro(project, env)) == []
        checked = aqea("verify", cwd=project, env=env)
        assert checked.status == 0, checked.out + checked.err
        before = (project / "training/data/sts13_minilm_384d_pairs.json").read_bytes()
        fresh = aqea("generate", "sts13", "minilm", "--fresh", "--json", cwd=project, env=env)
        assert fresh.status == 0, fresh.err
        assert fresh.json()["encoded"] > 0
        assert (project / "training/data/sts13_minilm_384d_pairs.json").read_bytes() == before
        assert aqea("pin", "sts13", cwd=project, env=env).status == 3
    finally:
        made.hub.online()


def test_another_revision_of_a_dataset_touches_its_stages_only(made: Made, project: Path) -> None:

    repo, env = STS[1], made.env()
    commit = made.hub.store.commit("datasets", repo, {"test.jsonl.gz": zipped(rows(2, 14)[:-1])})
    assert stages(repro(project, env)) == [], "a newer commit is nothing to a pinned run"

    edit_params(project, lambda params: params["datasets"]["sts13"].update(revision=commit))
    stale = aqea("verify", "--json", cwd=project, env=env)
    assert stale.status == 1
    assert "datasets.sts13.requested" in {finding["subject"] for finding in stale.json()["findings"]}
    before = {path: path.read_bytes() for path in (project / "training/data").glob("*.json")}
    pinned = aqea("pin", "sts13", cwd=project, env=env)
    assert pinned.status == 0, pinned.err
    ran = stages(repro(project, env))
    assert sorted(ran) == sorted([*of(key for key in KEYS if SETS[key][0] == "sts13"), "manifest"])
    changed = {path.name for path, content in before.items() if path.read_bytes() != content}
    assert changed == {name for name in names() if name.startswith("sts13_")}
    assert aqea("verify", cwd=project, env=env).status == 0


def _use_source(spec: str, params: dict[str, Any]) -> None:
    params["sources"] = [spec]


SNAPSHOT = """
import huggingface_hub, json, sys
for kind, repo, commit in json.loads(sys.argv[1]):
    huggingface_hub.snapshot_download(repo, repo_type=kind, revision=commit)
"""


def listed(manifest: str) -> dict[str, str]:
    """Digests by path."""
    return {path: digest for digest, path in (line.split("  ") for line in manifest.splitlines())}


def test_every_kind_of_source_gives_the_same_manifest(
    made: Made, project: Path, stand_ins: dict[str, Files], s3: S3, tmp_path: Path
) -> None:
    """Pinned once, made from the Hub and from others. Vectors that were computed before are kept: the same bytes find them."""
    content = {MODELS[name]: stand_ins[name] for name in ("e5large", "minilm")}
    content |= {repo: datasets()[repo] for repo in (STSB, STS[1])}
    objects = {f"{repo}/{made.commits[repo]}/{path}": data for repo, files in content.items() for path, data in files.items()}
    for key, data in objects.items():
        (tmp_path / "folder" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / key).write_bytes(data)
    s3.put(objects)
    full = tmp_path / "full"
    wanted = [("dataset" if repo.startswith("mteb/") else "model", repo, made.commits[repo]) for repo in content]
    done = run(sys.executable, "-c", SNAPSHOT, json.dumps(wanted), cwd=tmp_path, env=made.env(full))
    assert done.status == 0, done.err

    use_hub(project, made.commits, SMALLER)
    shutil.rmtree(project / "training/data")
    for path in ("metrics", "plots", "views", ".dvc/cache"):
        shutil.rmtree(project / path)
    (project / "dvc.lock").unlink()
    (project / MANIFEST).unlink()
    tail = "{id}/{commit}"
    specs = {"hub": "hub", "cache": "cache", "s3": f"s3://{BUCKET}/{tail}", "folder": f"directory:{tmp_path}/folder/{tail}"}
    found = {}
    for name in ["hub", *sampling.sample(list(specs)[1:], share=0.3, name="sources")]:
        spec = specs[name]
        place = tmp_path / name / "project"
        copy_project(project, place)
        edit_params(place, partial(_use_source, spec))
        env = {**made.env(full if name == "cache" else tmp_path / "empty"), **s3.environment(tmp_path)}
        if name != "hub":
            made.hub.offline()
        try:
            assert sorted(stages(repro(place, env))) == sorted([*of(SMALLER), "manifest"])
            checked: Result = aqea("verify", cwd=place, env=env)
            assert checked.status == 0, checked.out + checked.err
        finally:
            made.hub.online()
        found[name] = (place / MANIFEST).read_text()
        held = {path.name for path in (place / ".aqea/pinned").iterdir()}
        assert len(held) == len(content), "the source was read"
    assert len(set(found.values())) == 1, "not even pins.json differs: it says where it was resolved, not where bytes are from"
    first, whole = (listed(text) for text in (found["hub"], (made.folder / MANIFEST).read_text()))
    assert len(first) == 4 + 4 + 4 + 1
    # An E5 set of STS-B has another name in the report's run, and the lock is the same file.
    same = set(first) & set(whole)
    assert len(same) == 4 + 4 + 3 + 1 and {first[path] for path in first} <= {whole[path] for path in whole}
