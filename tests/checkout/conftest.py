"""The wheel, for the tests that install it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.tools import ROOT, made_once, run


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is made from the sdist, so both are whole."""

    def make(folder: Path) -> None:
        done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
        assert done.status == 0, done.out + done.err

    return next(made_once(tmp_path_factory, "dist", make).glob("*.whl"))
