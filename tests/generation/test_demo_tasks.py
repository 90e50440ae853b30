"""The whole run of this repository: its vector sets and results, too, are the committed ones under every arrangement.

Threads, batches, kernels, attention, and how many documents are searched at a time, in processes of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from aqea_registry.base.files import hash_file
from aqea_registry.base.sha256_list import parse_list
from tests.generation.test_generate import AVX2, SSE
from tests.helpers import MANIFEST
from tests.tools import copy_checkout, run

pytestmark = [pytest.mark.weights, pytest.mark.rare]

PROGRAM = """\
import sys
from aqea_registry.cli import main
from aqea_registry.generation.mteb_scores import CanonicalModel
CanonicalModel.__init__.__kwdefaults__["block"] = int(sys.argv[1])
main(sys.argv[2:], prog_name="aqea-registry")
"""
Arrangement = tuple[int, tuple[str, ...], Mapping[str, str]]
ARRANGEMENTS: dict[str, Arrangement] = {
    "as they come": (8192, (), {}),
    "1 thread, batch 1, chunks of 7": (7, ("--threads", "1", "--batch", "1"), {}),
    "2 threads, batch 32, chunks of 100": (100, ("--threads", "2", "--batch", "32"), {}),
    "SSE4.1, batch 8, chunks of 64": (64, ("--batch", "8"), SSE),
    "AVX2, batch 128, chunks of 200": (200, ("--batch", "128"), AVX2),
    "eager attention, chunks of 50": (50, ("--attention", "eager"), {}),
}
SETS = {"small": "pairs.json", "garden": "vectors.parquet", "household": "vectors.parquet"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "project"
    folder.mkdir()
    copy_checkout(folder, whole=True)
    return folder


def test_the_sets_of_the_run_are_the_committed_ones_under_every_arrangement(whole: Path) -> None:
    committed = parse_list((whole / MANIFEST).read_bytes(), MANIFEST).entries
    for name, (block, words, env) in ARRANGEMENTS.items():
        for dataset, ending in SETS.items():
            made = (f"training/data/{dataset}_minilm_384d_{ending}", f"metrics/{dataset}-minilm.json")
            command = ("generate", dataset, "minilm", "--fresh", "-q", *words)
            result = run(sys.executable, "-c", PROGRAM, str(block), *command, cwd=whole, env=env, timeout=900)
            assert result.status == 0, result.err
            assert {path: hash_file(whole / path).sha256 for path in made} == {path: committed[path] for path in made}, name
