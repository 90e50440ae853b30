"""A project with an own retrieval set and an own pair set under a small model, in which `dvc repro` has run."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.mteb_data import lines, readme
from tests.standins import Files, rows, sentence
from tests.tools import ROOT, aqea, copy_project, dvc, made_once, repro, run

KEY, VECTORS, RESULT = "plants-tiny", "training/data/plants_tiny_384d_vectors.parquet", "metrics/plants-tiny.json"
CONFIGS = {
    "default": {"test": "qrels/test.jsonl"},
    "corpus": {"corpus": "corpus.jsonl"},
    "queries": {"queries": "queries.jsonl"},
}


def retrieval(documents: int = 12, queries: int = 4) -> Files:
    """A retrieval set in MTEB's own form. Document 3 is document 2 again."""
    texts = [sentence(3 * at) for at in range(documents)]
    texts[3] = texts[2]
    judged = [{"query-id": f"q{at}", "corpus-id": f"d{(at * 5 + more) % documents}", "score": 2 - more}
              for at in range(queries) for more in (0, 1)]  # fmt: skip
    return {
        "README.md": readme(CONFIGS),
        "corpus.jsonl": lines([{"_id": f"d{at}", "title": f"Note {at % 3}", "text": text} for at, text in enumerate(texts)]),
        "queries.jsonl": lines([{"_id": f"q{at}", "text": sentence(15 * at + 1)} for at in range(queries)]),
        "qrels/test.jsonl": lines(judged),
    }


def catalogue(model: Files) -> dict[str, Any]:
    """params.yaml: a task and a pair set under a model with a prefix for queries and another one for documents."""
    own: dict[str, Any] = {"kind": "directory", "licence": "cc0-1.0"}
    plants = {"mteb": "Retrieval", "files": [*retrieval()], "repo": "data/plants", "sources": ["directory:data/plants"]}
    weights = sorted(path for path in model if path.endswith((".json", ".safetensors", ".txt")))
    return {
        "datasets": {
            "plants": {**own, **plants},
            "talk": {**own, "repo": "data/talk", "files": ["test.jsonl"], "sources": ["directory:data/talk"]},
        },
        "models": {
            "tiny": {**own, "repo": "models/tiny", "dimension": 384, "files": weights, "sources": ["directory:models/tiny"],
                     "prefix": "query: ", "instructions": {"document": "a letter: "}}
        },
        "run": {
            "pairs": {"talk-tiny": {"dataset": "talk", "model": "tiny", "file": "talk_tiny_384d"}},
            "vectors": {KEY: {"dataset": "plants", "model": "tiny", "file": "plants_tiny_384d"}},
            "exports": {},
        },
        "versions": {"vectors": 1, "view": 1, "export": 1},
        "precision": "canonical",
        "publish": {"title": "Plants", "licence": "cc0-1.0", "stores": ["oci:releases"]},
    }  # fmt: skip


def write_task_project(folder: Path, model: Files) -> None:
    """The project, pinned."""
    files = {f"data/plants/{path}": content for path, content in retrieval().items()}
    files |= {f"models/tiny/{path}": content for path, content in model.items()}
    files["data/talk/test.jsonl"] = "".join(f"{json.dumps(row)}\n" for row in rows(0, 8)).encode()
    files["params.yaml"] = yaml.safe_dump(catalogue(model), sort_keys=False).encode()
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    for name in ("dvc.yaml", ".gitignore", ".dvcignore"):
        shutil.copy2(ROOT / name, folder / name)
    assert run("git", "init", "-q", "--template=", cwd=folder).status == 0
    assert dvc("init", "-q", cwd=folder).status == 0
    assert aqea("pin", cwd=folder).status == 0


@pytest.fixture(scope="session")
def task_made(stand_ins: dict[str, Files], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by all tests: look, do not touch. AQEA_TEST_TASK_MADE names one that an earlier run made."""
    if "AQEA_TEST_TASK_MADE" in os.environ:
        return Path(os.environ["AQEA_TEST_TASK_MADE"])

    def make(folder: Path) -> None:
        write_task_project(folder, stand_ins["minilm"])
        repro(folder)

    return made_once(tmp_path_factory, "task_made", make)


@pytest.fixture
def task_project(task_made: Path, tmp_path: Path) -> Path:
    """A copy of the test's own."""
    return copy_project(task_made, tmp_path / "task_project", without=("releases",))
