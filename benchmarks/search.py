"""Retrieval through the canonical model, beside MTEB's own search over the same vectors in float32; encoding is left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from aqea_registry.generation.mteb_scores import CanonicalModel
from aqea_registry.vectors.pair_set import MICRO, Micro, to_grid
from benchmarks.timing import Figure, Goal, alternate, in_child, peak_memory

DIMENSION, TOP = 384, 1000


def measure(*, quick: bool) -> list[Figure]:
    """Seconds for all queries, and the largest size of a process that searches once, its vectors and its imports included."""
    documents, queries = (5000, 50) if quick else (100_000, 1000)
    works = searches(documents, queries)
    found = alternate(1 if quick else 5, works)
    text = f"{queries:,} queries, {documents:,} x {DIMENSION}, top {TOP:,}"
    before, ours = in_child(_peak, "ours", documents, queries)
    peer = in_child(_peak, "peer", documents, queries)[1]
    limit, peak = f"before the search: {before:.3f} GB", Goal("ours", "at most", 1.5)
    return [
        Figure(text, found["ours"], "MTEB's search, float32", found["peer"], goal=Goal("ratio", "at most", 1.5)),
        Figure("the same, peak memory", [ours], "MTEB's search, float32", [peer], "GB", peak, limit),
    ]


def searches(documents: int, queries: int) -> dict[str, Callable[[], float]]:
    """Both searches over the same random vectors; each returns its seconds, without those for looking vectors up."""
    import torch
    from mteb.mocks.mock_tasks import MockRetrievalTask
    from mteb.models.search_wrappers import SearchEncoderWrapper
    from mteb.similarity_functions import cos_sim

    vectors = random_vectors(documents + queries)
    corpus, asked = Texts(range(documents)), Texts(range(documents, documents + queries))
    options: dict[str, Any] = {
        "task_metadata": MockRetrievalTask.metadata,
        "hf_split": "",
        "hf_subset": "",
        "encode_kwargs": {"show_progress_bar": False},
    }
    looking = [0.0]

    def found(texts: Sequence[str], kind: type[np.generic]) -> Any:
        start = time.perf_counter()
        rows = vectors[np.fromiter(map(int, texts), int)].astype(kind)
        looking[0] += time.perf_counter() - start
        return rows

    class Peer:
        mteb_model_meta = None
        similarity = staticmethod(cos_sim)

        def encode(self, inputs: Any, **_: Any) -> Any:
            return torch.from_numpy(found(inputs.dataset["text"], np.float32) / np.float32(MICRO))

    def timed(model: Any) -> float:
        looking[0], start = 0.0, time.perf_counter()
        model.index(corpus, **options)
        model.search(asked, top_k=TOP, **options)
        return time.perf_counter() - start - looking[0]

    ours = CanonicalModel(lambda texts: found(texts, np.int32), lambda *_: "", "own/model", "1")
    return {"ours": lambda: timed(ours), "peer": lambda: timed(SearchEncoderWrapper(Peer()))}


class Texts:
    """As much of a dataset as a search asks for: its texts are numbers, and nothing is prepared."""

    column_names = ("id", "text")

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, column: str) -> list[str]:
        return list(map(str, self._numbers))

    def select(self, rows: Sequence[int]) -> Texts:
        """Some rows, in this order."""
        return Texts([self._numbers[row] for row in rows])

    def map(self, *_: object, **__: object) -> Texts:
        """The same."""
        return self

    def add_column(self, *_: object) -> Texts:
        """The same."""
        return self


def random_vectors(count: int) -> Micro:
    """Canonical vectors that have something in common, as those of texts do."""
    chance, vectors = np.random.default_rng(1), np.empty((count, DIMENSION), np.int32)
    for start in range(0, count, 8192):
        vectors[start : start + 8192] = to_grid(chance.normal(0.3, 1, (min(8192, count - start), DIMENSION))).micro
    return vectors


def _peak(which: str, documents: int, queries: int) -> tuple[float, float]:
    search = searches(documents, queries)[which]
    before = peak_memory()
    search()
    return before, peak_memory()
