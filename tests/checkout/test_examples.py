"""The example projects: whole projects of their own, which the repository's own checks leave alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from aqea_registry.project.project import open_project
from tests.tools import ROOT, aqea

EXAMPLES = sorted(path.parent for path in ROOT.glob("examples/*/params.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_a_project_as_init_makes_it(example: Path) -> None:
    project = open_project(example)
    assert project.catalogue.keys() == project.lock.datasets.keys() | project.lock.models.keys()
    assert (example / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    assert (example / ".dvc").is_dir(), "or `dvc status` of this repository would ask for its files"
    assert f"({example.name}/params.yaml)" in (ROOT / "examples/README.md").read_text()


def test_the_claims_of_this_repository_are_about_its_own_pages() -> None:
    result = aqea("claims", "check", "--json", cwd=ROOT)
    answer = result.json()
    assert (result.status, answer["findings"]) == (0, [])
    assert set(answer["documents"].values()) == {"same"}, "its documents lie here"
