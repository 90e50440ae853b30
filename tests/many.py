"""A run of many artefacts: datasets of a few rows under small models, all made here, in a project that one stage makes."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests import standins
from tests.standins import Files
from tests.tools import BIN, ROOT, environment

ROWS = 10
ONE_STAGE = ROOT / "aqea_registry/project/one_stage.yaml"


def rows(seed: int) -> bytes:
    """JSON lines of a dataset: others of another seed."""
    plain = standins.rows(seed, ROWS)
    return standins.lines({**row, "score": round(min(row["score"] + seed / 10000, 5), 4)} for row in plain)


def tiny_model() -> Files:
    """A model of random weights whose vectors have 32 components."""
    import torch
    import transformers as t

    words = standins.vocabulary(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    config = t.BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    torch.manual_seed(0)
    tokenizer = t.BertTokenizer(vocab=words)
    tokenizer.model_max_length = 64
    with tempfile.TemporaryDirectory() as folder:
        files = standins.saved_model(Path(folder), t.BertModel(config), tokenizer, None)
    return {path: content for path, content in files.items() if path.endswith((".json", ".safetensors", ".txt"))}


def catalogue(model: Files, datasets: int, models: int) -> dict[str, Any]:
    """params.yaml: every dataset under every model. The models share their weights and differ in the prefix."""
    own = {"kind": "directory", "licence": "cc0-1.0"}
    data = {
        name: {**own, "repo": f"data/{name}", "files": ["test.jsonl"], "sources": [f"directory:data/{name}"]}
        for name in (f"d{at:03}" for at in range(datasets))
    }
    shared = {**own, "dimension": 32, "files": sorted(model), "sources": ["directory:models/shared"]}
    entries = {f"m{at}": {**shared, "repo": f"models/m{at}", "prefix": f"{at} "} for at in range(models)}
    named = [(dataset, name) for name in entries for dataset in data]
    pairs = {f"{one}-{name}": {"dataset": one, "model": name, "file": f"{one}_{name}_32d"} for one, name in named}
    return {
        "datasets": data,
        "models": entries,
        "run": {"pairs": pairs, "exports": {}},
        "versions": {"vectors": 1, "view": 1, "export": 1},
        "precision": "canonical",
        "publish": {"title": "Many", "licence": "cc0-1.0", "stores": ["oci:releases"]},
    }


def write_project(folder: Path, model: Files, datasets: int, models: int) -> None:
    """A project of `datasets` x `models` pair sets, with pins and with one stage, in git."""
    files = {f"models/shared/{path}": content for path, content in model.items()}
    for seed in range(datasets):
        files[f"data/d{seed:03}/test.jsonl"] = rows(seed)
    files["params.yaml"] = yaml.safe_dump(catalogue(model, datasets, models), sort_keys=False).encode()
    files["dvc.yaml"] = ONE_STAGE.read_bytes()
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    for name in (".gitignore", ".dvcignore"):
        shutil.copy2(ROOT / name, folder / name)
    for words in (("git", "init", "-q", "--template="), (BIN / "dvc", "init", "-q"), (BIN / "aqea-registry", "pin", "-q")):
        subprocess.run(words, cwd=folder, check=True, env=environment())
    commit(folder)


def commit(folder: Path) -> None:
    """Record everything in git."""
    identity = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.org")
    subprocess.run(("git", "add", "-A"), cwd=folder, check=True)
    subprocess.run(("git", *identity, "commit", "-q", "-m", "All"), cwd=folder, check=True)
