"""Memory: the peak of a process that generates, beside one that has only loaded the model."""

from __future__ import annotations

import json
import os
import random
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from benchmarks.generate import model_folder
from benchmarks.timing import ROOT, Figure, Goal, in_child, peak_memory, temporary

DIMENSION = 384
WORDS = (
    "the",
    "one",
    "old",
    "red",
    "small",
    "boy",
    "girl",
    "dog",
    "man",
    "bird",
    "sees",
    "plays",
    "holds",
    "in",
    "near",
    "house",
)


def measure(*, quick: bool) -> list[Figure]:
    """A set of 200,000 distinct sentences, and real encoding of 20,000 of them; every part in a process of its own."""
    many, some = (4_000, 200) if quick else (200_000, 20_000)
    model = in_child(loaded)
    with temporary() as folder:
        generation = in_child(generated, folder, many)
    encoding = in_child(encoded, some)
    plain = in_child(dumped, many) if find_spec("orjson") else None
    vectors = f"the vectors themselves: {many * DIMENSION * 4 / 1e9:.3f} GB; torch and the model: {model:.3f} GB"
    return [
        Figure(
            f"peak of `generate` beside the model, {many} distinct x {DIMENSION}",
            [generation - model],
            "float32 in memory, one `orjson.dumps`" if plain else "",
            [plain] if plain else [],
            "GB",
            Goal("ours", "at most", 2),
            vectors,
        ),
        Figure(f"peak of `Encoder.encode`, {some} distinct", [encoding], "torch and the model, idle", [model], "GB"),
    ]


def loaded() -> float:
    """Torch and the model in memory as generation has them, and nothing done with them."""
    encoder = _encoder()
    size = resident()
    del encoder
    return size


def encoded(distinct: int) -> float:
    """Real sentences through the real model; the vectors are dropped."""
    for _ in _encoder().encode(sentences(distinct)):
        pass
    return peak_memory()


def generated(root: Path, distinct: int) -> float:
    """The whole of `generate` with vectors that are made up and kept before, while the model is in memory."""
    import numpy as np

    from aqea_registry.base.progress import Silent
    from aqea_registry.embedding.encoder import Settings
    from aqea_registry.embedding.vector_cache import VectorCache
    from aqea_registry.generation import encoding
    from aqea_registry.generation import generate as operation
    from aqea_registry.generation.inputs import pinned_model
    from aqea_registry.project.project import open_project
    from aqea_registry.sources.pin import pin
    from aqea_registry.vectors.pair_set import to_grid

    _make_project(root, distinct)
    pin(open_project(root), ["many"], Silent())
    project, settings, encoder = open_project(root), Settings(), _encoder()
    model = pinned_model(project.catalogue["minilm"], project.artefacts.values(), Silent())
    cache = VectorCache(encoding.cache_folder(model, DIMENSION, settings), DIMENSION)
    chance = np.random.default_rng(0)
    texts = sentences(distinct)
    for start in range(0, distinct, encoding.SEGMENT):
        part = texts[start : start + encoding.SEGMENT]
        cache.add(part, to_grid(chance.standard_normal((len(part), DIMENSION))))
    del cache, texts
    made = operation.generate(project, "many", "minilm", settings, Silent())
    if made.encoded:
        raise RuntimeError(f"{made.encoded} sentences were encoded: the made-up vectors were not found")
    del encoder
    return peak_memory()


def dumped(distinct: int) -> float:
    """What a script does: both matrices in float32 and the text of all of them at once. Beside its own imports."""
    import numpy as np

    orjson = import_module("orjson")
    before = resident()
    chance = np.random.default_rng(0)
    first, second = (chance.standard_normal((distinct // 2, DIMENSION), np.float32) for _ in range(2))
    with open(os.devnull, "wb") as file:
        file.write(orjson.dumps({"embeddings1": first, "embeddings2": second}, option=orjson.OPT_SERIALIZE_NUMPY))
    return peak_memory() - before


def sentences(count: int) -> list[str]:
    """Distinct short sentences."""
    chance = random.Random(0)
    found: dict[str, None] = {}
    while len(found) < count:
        found[" ".join(chance.choices(WORDS, k=chance.randint(6, 14)))] = None
    return list(found)


def resident() -> float:
    """The resident size of this process now, in GB; its peak where the system does not tell."""
    place = Path("/proc/self/statm")
    return int(place.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e9 if place.exists() else peak_memory()


def _encoder() -> Any:
    from aqea_registry.embedding.encoder import Encoder, Settings
    from aqea_registry.project.params import Model

    return Encoder(model_folder(), Model(repo="minilm", dimension=384), "canonical", Settings())


def _make_project(root: Path, distinct: int) -> None:
    """A project whose one dataset holds these sentences, two a row, beside the checkout's own model and its pin."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["datasets"]["many"] = {
        "kind": "directory",
        "repo": "many",
        "files": ["test.jsonl"],
        "sources": ["directory:many"],
    }
    params["run"] = {"pairs": {"many": {"dataset": "many", "model": "minilm", "file": f"many_{DIMENSION}d"}}, "exports": {}}
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    (root / "manifests").mkdir()
    (root / "manifests" / "pins.json").write_bytes((ROOT / "manifests" / "pins.json").read_bytes())
    (root / "many").mkdir()
    chance = random.Random(1)
    texts = iter(sentences(distinct))
    with (root / "many" / "test.jsonl").open("w") as file:
        for first, second in zip(texts, texts, strict=True):
            file.write(json.dumps({"sentence1": first, "sentence2": second, "score": chance.randint(0, 50) / 10}) + "\n")
