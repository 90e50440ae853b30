"""The example projects: whole projects of their own, which the repository's own checks leave alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from aqea_registry.project.project import open_project
from tests.tools import CARDS, ROOT, SHARED, aqea, run

EXAMPLES = sorted(path.parent for path in ROOT.glob("examples/*/params.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_a_project_as_init_makes_it(example: Path) -> None:
    project = open_project(example)
    assert project.catalogue.keys() == project.lock.datasets.keys() | project.lock.models.keys()
    assert (example / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    assert (example / ".dvc").is_dir(), "or `dvc status` of this repository would ask for its files"
    assert f"({example.name}/params.yaml)" in (ROOT / "examples/README.md").read_text()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_init_would_write_nothing_else_into_an_example(example: Path, tmp_path: Path) -> None:
    shutil.copytree(example, tmp_path / "all" / example.name)
    assert run("git", "init", "-q", cwd=tmp_path / "all").status == 0
    written = aqea("init", "--json", cwd=tmp_path / "all" / example.name).json()["written"]
    assert {*written} == {f"../{name}" for name in (".gitattributes", ".github/workflows/aqea.yml", ".pre-commit-config.yaml")}


# The cards, and what was written by hand: claims that no import finds, and evidence for those that it finds.
BY_HAND = {"minilm-card": (25, 33), "lodestone-card": (29, 46)}
OF_AN_IMPORT = ("value", "unit", "at")


@pytest.mark.shared
@pytest.mark.parametrize("name", BY_HAND)
def test_a_card_s_ledger_is_what_an_import_writes_and_what_was_added_by_hand(name: str, tmp_path: Path) -> None:
    project = tmp_path / "model-cards"
    shutil.copytree(CARDS, project)
    ledger = project / f"manifests/claims/{name}.yaml"
    committed = yaml.safe_load(ledger.read_bytes())
    words = ("claims", "import", SHARED / "seeds" / committed["document"]["file"], "--into", name, "--json")
    assert not aqea(*words, cwd=project).json()["written"], "imported again it changes nothing"
    ledger.unlink()
    assert aqea(*words, cwd=project).json()["written"]
    fresh = {claim["id"]: claim for claim in yaml.safe_load(ledger.read_bytes())["claims"]}
    known = {claim["id"]: claim for claim in committed["claims"]}
    assert {id_: [claim[key] for key in OF_AN_IMPORT] for id_, claim in fresh.items()} == {
        id_: [known[id_][key] for key in OF_AN_IMPORT] for id_ in fresh
    }
    changed = [id_ for id_, claim in fresh.items() if claim != known[id_]]
    assert (len(known) - len(fresh), len(changed)) == BY_HAND[name]
    evidence = [(fresh[id_].get(kind), known[id_].get(kind)) for id_ in changed for kind in ("measured", "derived", "quoted")]
    assert all(bound in (None, kept) for bound, kept in evidence), "what an import binds stays"


def test_the_claims_of_this_repository_are_about_its_own_pages() -> None:
    result = aqea("claims", "check", "--json", cwd=ROOT)
    answer = result.json()
    assert (result.status, answer["findings"]) == (0, [])
    assert set(answer["documents"].values()) == {"same"}, "its documents lie here"
