"""Typical mistakes: what each command answers. A message names the thing, says why, and what to do next."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers import PAIRS
from tests.tools import BIN, Result, aqea, edit_params, run

# The mistake, the command, the exit status, and words that the answer must have.
MISTAKES: dict[str, tuple[tuple[str, ...], int, tuple[str, ...]]] = {
    "a command with a letter missing": (("verfy",), 2, ("'verfy'", "verify", "--help")),
    "an option with a letter missing": (("verify", "--dep"), 2, ("'--dep'", "--deep")),
    "a link to what is gone": (("verify", "gone"), 3, ("gone not found", "name a path")),
    "a file with a letter wrong": (("verify", "READNE.md"), 3, ("READNE.md not found", "did you mean 'README.md'?")),
    "a tag that no store has": (("verify", "v9"), 3, ("v9 not found", "no such path", "oci:releases:v9", "name a path")),
    "a store as a folder": (("verify", "../store"), 2, ("../store has no list", "next: aqea-registry verify oci:DIR:TAG")),
    "a folder that is not a store": (("verify", "oci:nowhere:v1"), 3, ("oci:nowhere:v1", "it has no release: publish one")),
    "a store without a tag": (("verify", "oci:releases"), 2, ("'oci:releases'", "oci:DIR:TAG", "releases STORE")),
    "a store that does not exist": (("verify", "ftp://host/v1"), 3, ("ftp://host/v1 not found", "oci:DIR:TAG")),
    "a login in an address": (("verify", "https://u:hush@host/x"), 3, ("https://...@host/x not found", "oci:DIR:TAG")),
    "a login in a store": (("publish", "--tag", "v1", "--to", "https://hush@host"), 2, ("'https://...@host' is not a store",)),
    "a folder with --root": (("verify", "docs", "--root", "data"), 2, ("--root goes with a list", "verify LIST --root")),
    "receipts of a target": (("verify", "v1", "--remote"), 2, ("--remote goes with the project", "verify --remote")),
    "a folder that is not there": (("verify", "-C", "nowhere"), 2, ("'nowhere'", "does not exist")),
    "a folder without a project": (("verify", "-C", "../empty"), 2, ("empty is not a project", "params.yaml", "-C DIR")),
    "a catalogue entry misspelt": (("pin", "smal"), 2, ("no entry 'smal'", "did you mean 'small'?")),
    "an option without its other": (("pin", "--record"), 2, ("--record goes with --check", "pin --check --record")),
    "a dataset misspelt": (("generate", "smal", "minilm"), 2, ("'smal'", "did you mean 'small minilm'?")),
    "a model that the run lacks": (("generate", "small", "mpnet"), 2, ("'mpnet'", "small minilm")),
    "a batch of nothing": (("generate", "small", "minilm", "--batch", "0"), 2, ("'--batch'", "x>=1")),
    "a pair file misspelt": (("export", "small_minilm_pairs.json", "--format", "aqed"), 2, ("not a pair file", PAIRS)),
    "a format that does not exist": (("export", PAIRS, "--format", "png"), 2, ("'png'", "parquet")),
    "a page compared": (("compare", PAIRS, "README.md"), 2, ("README.md", "no pair set", "Parquet")),
    "a file that is gone": (("compare", PAIRS, "old/pairs.json"), 3, ("old/pairs.json does not exist", "oci:DIR:TAG")),
    "a bound of nothing": (("compare", PAIRS, PAIRS, "--bound", "0"), 2, ("'--bound'", "x>0")),
    "a number misspelt": (("trace", "small-minilm#cos_sim_sperman"), 2, ("sperman", "small-minilm#cos_sim_spearman")),
    "a digest of something else": (("trace", "f" * 64), 3, ("ffff", "next:")),
    "a ledger misspelt": (("claims", "check", "readm"), 2, ("no ledger 'readm'", "did you mean 'readme'?")),
    "a document that is not there": (("claims", "lint", "paper.tex"), 3, ("paper.tex", "next:")),
    "a document without results": (("claims", "import", "LICENSE"), 2, ("LICENSE", "next:")),
    "no format": (("claims", "export"), 2, ("'--format'", "latex")),
    "a ledger for a model-index": (("claims", "export", "readme", "--format", "model-index"), 2, ("ledgers go with", "next:")),
    "no tag": (("publish",), 2, ("'--tag'", "--help")),
    "a tag with a space": (("publish", "--tag", "first try"), 2, ("'first try' is not a tag", "letters", "next:")),
    "a store of another kind": (("publish", "--tag", "v1", "--to", "ftp:x"), 2, ("'ftp:x' is not a store", "hf://datasets")),
    "a Hub repository without its kind": (("publish", "--tag", "v1", "--to", "hf://org/name"), 2, ("hf://org/name", "next:")),
    "a release that nobody published": (("pull", "v9"), 3, ("oci:releases:v9", "no such tag", "next:")),
    "nothing as a target": (("verify", ""), 2, ("'[TARGET]'", "it is empty")),
    "nothing as a root": (("verify", "oci:x:v1", "--root", ""), 2, ("--root", "it is empty")),
    "nothing as one of several": (("claims", "lint", ""), 2, ("it is empty",)),
    "nothing as a place": (("report", "--to", ""), 2, ("--to", "it is empty")),
    "a project without a folder": (("pull", "v1", "--project", ""), 2, ("--project", "it is empty")),
    "a store in no folder": (("releases", "oci:nowhere"), 3, ("oci:nowhere: there is no such folder", "oci:DIR:TAG")),
    "a mark of two kinds": (
        ("mark", "--tag", "v1", "--withdrawn", "--superseded-by", "v2", "--reason", "x"), 2, ("one of --withdrawn", "next:"),
    ),
    "a mark on nothing": (("mark", "--tag", "v9", "--withdrawn", "--reason", "x"), 3, ("oci:releases:v9", "next:")),
    "a page in the place of a folder": (("report", "--to", "docs"), 3, ("docs", "next:")),
    "a page in the place of a catalogue": (("report", "--to", "params.yaml"), 2, ("params.yaml exists", "name another file")),
    "macros in the place of a paper": (
        ("claims", "export", "--format", "latex", "--to", "README.md"), 2, ("README.md exists", "name another file"),
    ),
    "a confirmation of nothing": (("confirm", "v9"), 3, ("oci:releases:v9", "no such tag", "next:")),
}  # fmt: skip


@pytest.fixture(scope="module")
def place(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that these commands leave as it is."""
    folder = tmp_path_factory.mktemp("mistakes") / "project"
    shutil.copytree(made, folder, ignore=shutil.ignore_patterns(".aqea", ".git", ".dvc", "releases"))
    (folder.parent / "empty").mkdir()
    (folder.parent / "store").mkdir()
    (folder.parent / "store/oci-layout").touch()
    (folder / "gone").symlink_to("nowhere")
    return folder


@pytest.mark.weights
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_with_its_name_its_reason_and_what_next(place: Path, name: str) -> None:
    words, status, expected = MISTAKES[name]
    result = aqea(*words, cwd=place, process=False)
    assert (result.status, result.out) == (status, ""), result.err
    said = " ".join(result.err.split())
    assert [text for text in expected if text not in said] == [], said
    assert "error: " in result.err.lower()
    assert "  next: " in result.err or "--help" in result.err, "what next"


ROW = '{"sentence1": "a", "sentence2": "b", "score": 1}\n'
SAY_HOW = "write a JSON object in each line, in UTF-8, as in"

# Of who begins: the files that are there, the command, the exit status, and words that the answer must have.
BEGINNING: dict[str, tuple[dict[str, str | bytes], str, int, tuple[str, ...]]] = {
    "an empty file": ({"a.jsonl": ""}, "init --dataset a.jsonl", 1, ("a.jsonl is empty", "put the files there")),
    "not JSON lines": ({"a.jsonl": "a,b,1\n"}, "init --dataset a.jsonl", 1, ("a.jsonl:1: not a JSON object", SAY_HOW)),
    "cut off": ({"a.jsonl": ROW + ROW[:30]}, "init --dataset a.jsonl", 1, ("a.jsonl:2", "at column", "correct the file")),
    "in UTF-16": ({"a.jsonl": ROW.encode("utf-16")}, "init --dataset a.jsonl", 1, ("a.jsonl:1", "'utf-8' codec", SAY_HOW)),
    "a header alone": ({"a.csv": "sentence1,sentence2,score\n"}, "init --dataset a.csv", 2, ("it has no rows", "next:")),
    "a score in words": (
        {"a.jsonl": ROW.replace("1}", '"high"}')}, "init --dataset a.jsonl", 1, ("'score' is 'high', not a number", "next:"),
    ),
    "a row without a score": (
        {"a.jsonl": ROW + ROW.replace("score", "scor")}, "init --dataset a.jsonl", 1, ("a.jsonl:2", "'score' is missing"),
    ),
    "other columns": ({"a.jsonl": '{"x": 1}'}, "init --dataset a.jsonl", 2, ("no column looks like sentence1", "it has 'x'")),
    "a JSON array": ({"a.json": f"[{ROW}]"}, "init --dataset a=a.json", 2, ("a.json has no rows", "ends in .jsonl")),
    "a capital letter in a name": ({"a.jsonl": ROW}, "init --dataset A=a.jsonl", 2, ("'A' is not a name", "as in a=a.jsonl")),
    "nothing after a name": ({}, "init --dataset a=", 2, ("does not say what 'a' is", "NAME=WHAT")),
    "a file misspelt": ({"rows.jsonl": ROW}, "init --dataset row.jsonl", 3, ("row.jsonl not found", "mean 'rows.jsonl'?")),
    "a file in the place of a folder": ({"a.jsonl": ROW}, "init a.jsonl", 2, ("not a folder", "init --dataset a.jsonl")),
    "two of one name": ({"a.jsonl": ROW}, "init --dataset a.jsonl --dataset a=a.jsonl", 2, ("have one name", "NAME=PATH")),
    "a package that is not here": ({"a.jsonl": ROW}, "init --model m=package:nowhere/m", 3, ("package:nowhere/m", "pip")),
    "a folder that is not a model": ({"m/a.txt": ""}, "init --model m=m", 2, ("how long its vectors", "modules.json")),
    "no project yet": ({"paper.md": "61.42"}, "claims bind paper.md", 2, (". is not a project", "aqea-registry init")),
    "a name that is not UTF-8": (
        {"r\udce9.jsonl": ROW}, "init --dataset r=r\udce9.jsonl", 2, ("r\\udce9.jsonl: a name that is not UTF-8", "rename"),
    ),
    "a disk that takes nothing": ({}, "init /proc/paper", 3, ("/proc/paper: No such file", "before is unchanged")),
}  # fmt: skip


def said_of(result: Result, status: int, expected: tuple[str, ...]) -> None:
    said = " ".join(f"{result.out} {result.err}".split())
    assert result.status == status, said
    assert [text for text in expected if text not in said] == [], said


@pytest.mark.parametrize("name", BEGINNING)
def test_a_mistake_of_who_begins(tmp_path: Path, name: str) -> None:
    files, line, status, expected = BEGINNING[name]
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    said_of(aqea(*line.split(), cwd=tmp_path, process=False), status, expected)
    assert not (tmp_path / "params.yaml").exists()


def test_without_git_and_without_a_network_the_reason_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(ROW)
    offline = aqea("init", "--dataset", "a=org/rows", cwd=tmp_path, env={"HF_HUB_OFFLINE": "1"})
    said_of(offline, 3, ("a: org/rows is on the Hub, and HF_HUB_OFFLINE is set", "next: unset it, or name a file or folder"))
    (tmp_path / "m").mkdir()
    (tmp_path / "m/config.json").write_text('{"hidden_size": 4}')
    (tmp_path / "m/model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    words = (BIN / "python", "-m", "aqea_registry", "init", "--dataset", "a.jsonl", "--model", "m=m")
    said_of(run(*words, cwd=tmp_path, env={"PATH": "/nonexistent"}), 0, ("git is not installed", "install git, then run"))


LEDGER, PARAMS = "manifests/claims/readme.yaml", "params.yaml"
NAMED = "Expected a name of small letters, digits, '-' and '_', not"
# In a project: what is changed in a file, or None where it is removed; the command, the exit status, and words of the answer.
SPOILT: dict[str, tuple[str, tuple[str, str] | None, str, int, tuple[str, ...]]] = {
    "a space in a name": (PARAMS, ("  small:", "  Small set:"), "verify", 2, (f"{NAMED} 'Small set', at `datasets`",)),
    "a capital in a key": (PARAMS, ("small-minilm:", "Small:"), "verify", 2, (f"{NAMED} 'Small', at `runs[...].pairs`",)),
    "a space in a stem": (PARAMS, ("small_minilm_384d", "small minilm"), "verify", 2, ("letters, digits, '.'", "at `file`")),
    "scores upside down": (PARAMS, ("  small:", "  small:\n    score_range: [5, 0]"), "verify", 2, ("[5.0, 0.0]: the first",)),
    "half a commit": (PARAMS, ("revision: 8b3219a9", "commit: 8b3219a9 #"), "verify", 2, ("a commit, of 40 hex digits",)),
    "an address without https": (PARAMS, ("publish:", "publish:\n  url: host/me"), "verify", 2, ("an address, https",)),
    "a word for a number": (
        PARAMS, ("dimension: 384", "dimension: many"), "verify", 2,
        ("models.minilm: Expected an integer, got a text, at `dimension`", "docs catalogue"),
    ),
    "a text for a list": (
        PARAMS, ("sources: [\"package", "sources: x #[\"package"), "verify", 2, ("Expected a list, got a text, at `sources`",),
    ),
    "a ledger that is not YAML": (LEDGER, ("claims:", "claims: [a: b"), "claims check readme", 1, ("readme: line",)),
    "a ledger of something": (LEDGER, ("schema: ", "schema: x"), "claims check readme", 1, ("not aqea-registry/claims/1",)),
    "a document that is gone": ("README.md", None, "claims check readme", 0, ("note: readme: README.md is not here",)),
    "a paper of a word processor": ("README.md", ("# ", "\udcff# "), "claims bind README.md", 2, ("line 1: not UTF-8", "Word")),
    "a number that does not hold": (LEDGER, ("0.5511", "0.6511"), "publish --tag v1 --dry-run", 0, ("1 claim contradicted",)),
    "numbers of a draft": (
        "CITATION.cff", ("cff", "| set | Spearman |\n|---|---|\n| small | 9.11 |\n\n"), "claims bind CITATION.cff", 0,
        ("1 rest on nothing", "next: name dataset, model and metric there"),
    ),
    "nothing made yet": (PAIRS, None, "publish --tag v1", 1, ("file not found", "dvc repro")),
    "bound before it is made": (PAIRS, None, "claims bind docs/small-set.md", 0, ("run: dvc repro",)),
    "a tag like a path": ("CITATION.cff", None, "publish --tag v1/final", 2, ("'v1/final' is not a tag", "such as: --tag v1")),
    "a row changed": ("data/small/test.jsonl", ("5", "4"), "verify", 1, ("not the pinned bytes; where", "pin small, then")),
    "rows that are gone": ("data/small/test.jsonl", None, "pin small", 3, ("small has no file test.jsonl", "next:")),
}  # fmt: skip


@pytest.mark.weights
@pytest.mark.parametrize("name", SPOILT)
def test_a_mistake_in_a_project(project: Path, name: str) -> None:
    path, change, line, status, expected = SPOILT[name]
    if change is None:
        (project / path).unlink()
    else:
        text = (project / path).read_text()
        assert change[0] in text
        (project / path).write_bytes(text.replace(*change, 1).encode(errors="surrogateescape"))
    said_of(aqea(*line.split(), cwd=project, process=False), status, expected)


@pytest.mark.weights
def test_a_tag_that_exists_and_a_folder_that_is_not_empty(project: Path) -> None:
    assert aqea("publish", "--tag", "v1", cwd=project).status == 0
    (project / "there").mkdir()
    (project / "there/README.md").write_text("mine")
    said_of(
        aqea("pull", "v1", "--to", "there", cwd=project), 1, ("there/README.md", "nothing was written", "name an empty folder")
    )
    edit_params(project, lambda params: params["publish"].update(title="Another"))
    said_of(
        aqea("publish", "--tag", "v1", cwd=project), 5, ("already names another release", "next: publish it under a new tag")
    )


@pytest.mark.weights
def test_a_field_of_params_yaml_that_is_misspelt_is_named_with_the_right_one(project: Path) -> None:
    edit_params(project, lambda params: params["models"]["minilm"].update(max_token=12))
    result = aqea("verify", cwd=project)
    assert result.status == 2
    assert "`max_token`" in result.err and "did you mean 'max_tokens'?" in result.err
    edit_params(project, lambda params: params.update(Publsh=params.pop("publish")))
    assert "unknown key 'Publsh'\n  next: did you mean 'publish'?\n" in aqea("verify", cwd=project).err
