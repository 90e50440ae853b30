"""Documents: canonical vectors of texts of 16 to 512 tokens against `SentenceTransformer.encode` in float32.

One thread and its processor time, so that other programs on the machine change little. All texts of a measurement have the same
length, so neither side pads; what is left is the arithmetic, whose limit is the ratio of the two matrix rates.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path

from benchmarks.generate import model_folder
from benchmarks.timing import ROOT, Figure, alternate

LENGTHS = (16, 64, 256, 512)
TOKENS = 8_192  # of a measurement


def measure(*, quick: bool) -> list[Figure]:
    """Both models cut every text at the length that is measured. 512 is as far as this model's positions reach."""
    import torch

    torch.set_num_threads(1)
    rates = {kind: matrix_rate(kind) for kind in ("float32", "float64")}
    limit = f"matrices alone: {rates['float32'] / rates['float64']:.2f}"
    figures = [Figure("float64 matrices, one thread", [rates["float64"]], "float32", [rates["float32"]], "GFLOP/s")]
    for length in LENGTHS[2:3] if quick else LENGTHS:
        sentences = texts(length, TOKENS // (4 if quick else 1) // length)
        times = alternate(1 if quick else 3, _works(model_folder(), length, sentences))
        rate = len(sentences) * length / min(times["ours"])
        figures.append(
            Figure(
                f"canonical vectors, {length} tokens a text",
                times["ours"],
                "`encode` in float32",
                times["naive"],
                limit=f"{limit}; {rate:.0f} tokens/s",
            )
        )
    return figures


def texts(length: int, count: int) -> list[str]:
    """So many different texts that are longer than so many tokens: sentences of the garden set in a row, each from the next."""
    rows = (ROOT / "data/garden-retrieval/corpus.jsonl").read_text("utf-8").splitlines()
    sentences = [json.loads(row)["text"] for row in rows]
    each = length // 16 + 1
    return [" ".join(islice(cycle(sentences), start, start + each)) for start in range(count)]


def matrix_rate(kind: str) -> float:
    """GFLOP/s of one thread at the model's largest product: 512 x 384 by 384 x 1536."""
    import torch

    layer = torch.nn.Linear(384, 1536, dtype=getattr(torch, kind))
    rows = torch.randn(512, 384, dtype=getattr(torch, kind))

    def product() -> None:
        with torch.inference_mode():
            for _ in range(10):
                layer(rows)

    return 10 * 2 * 512 * 384 * 1536 / min(_processor(product)() for _ in range(20)) / 1e9


def _works(folder: Path, length: int, sentences: list[str]) -> dict[str, Callable[[], float]]:
    from sentence_transformers import SentenceTransformer

    from aqea_registry.embedding.encoder import Encoder, Settings
    from aqea_registry.project.params import Model

    ours = Encoder(folder, Model(repo="minilm", dimension=384, max_tokens=length), "canonical", Settings(threads=1))
    naive = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    naive.max_seq_length = length
    return {
        "ours": _processor(lambda: [*ours.encode(sentences)]),
        "naive": _processor(partial(naive.encode, sentences, batch_size=32)),
    }


def _processor(work: Callable[[], object]) -> Callable[[], float]:
    """A work that returns how many processor seconds it took."""

    def timed() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return timed
