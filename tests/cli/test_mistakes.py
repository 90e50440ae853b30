"""Typical mistakes: what each command answers. A message names the thing, says why, and what to do next."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers import PAIRS
from tests.tools import aqea, edit_params

# The mistake, the command, the exit status, and words that the answer must have.
MISTAKES: dict[str, tuple[tuple[str, ...], int, tuple[str, ...]]] = {
    "a command with a letter missing": (("verfy",), 2, ("'verfy'", "verify", "--help")),
    "an option with a letter missing": (("verify", "--dep"), 2, ("'--dep'", "--deep")),
    "a link to what is gone": (("verify", "gone"), 3, ("gone not found", "name a path")),
    "a file with a letter wrong": (("verify", "READNE.md"), 3, ("READNE.md not found", "did you mean 'README.md'?")),
    "a tag that no store has": (("verify", "v9"), 3, ("v9 not found", "no such path", "oci:releases:v9", "name a path")),
    "a folder that is not a store": (("verify", "oci:nowhere:v1"), 3, ("oci:nowhere:v1", "it has no release")),
    "a store without a tag": (("verify", "oci:releases"), 2, ("'oci:releases'", "oci:DIR:TAG")),
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
    "a project without a folder": (("pull", "v1", "--project", ""), 2, ("an empty name is not a folder", "--project DIR")),
    "a store in no folder": (("releases", "oci:nowhere"), 3, ("oci:nowhere: there is no such folder", "oci:DIR:TAG")),
    "a mark of two kinds": (
        ("mark", "--tag", "v1", "--withdrawn", "--superseded-by", "v2", "--reason", "x"), 2, ("one of --withdrawn", "next:"),
    ),
    "a mark on nothing": (("mark", "--tag", "v9", "--withdrawn", "--reason", "x"), 3, ("oci:releases:v9", "next:")),
    "a page in the place of a folder": (("report", "--to", "docs"), 3, ("docs", "next:")),
    "a confirmation of nothing": (("confirm", "v9"), 3, ("oci:releases:v9", "no such tag", "next:")),
}  # fmt: skip


@pytest.fixture(scope="module")
def place(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that these commands leave as it is."""
    folder = tmp_path_factory.mktemp("mistakes") / "project"
    shutil.copytree(made, folder, ignore=shutil.ignore_patterns(".aqea", ".git", ".dvc", "releases"))
    (folder.parent / "empty").mkdir()
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


@pytest.mark.weights
def test_a_field_of_params_yaml_that_is_misspelt_is_named_with_the_right_one(project: Path) -> None:
    edit_params(project, lambda params: params["models"]["minilm"].update(max_token=12))
    result = aqea("verify", cwd=project)
    assert result.status == 2
    assert "`max_token`" in result.err and "did you mean 'max_tokens'?" in result.err
    edit_params(project, lambda params: params.update(Publsh=params.pop("publish")))
    assert "unknown key 'Publsh'\n  next: did you mean 'publish'?\n" in aqea("verify", cwd=project).err
