"""Sentences through a sentence-transformers model, in float64, in batches without padding.

In float64 two arrangements of the same sums (other batches, threads, kernels, attention) differ by some 1e-15; on the
grid of 1e-6 they are the same integers, unless a value lies closer than that to a rounding boundary. Batches hold
sentences of equally many tokens: no padding is computed, and about 512 tokens a batch keep the matrices in cache.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from aqea_registry.core.metrics import Micro
from aqea_registry.embedding.grid import BadVector, to_grid

TOKENS_A_BATCH = 512
WINDOW = 8192  # sentences that are tokenised and sorted at a time: what is lost when a run is killed, at most


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How to compute. In canonical precision none of this changes a byte; it changes speed and memory.

    `batch` is the number of sentences at a time (default: as many as make 512 tokens), `threads` the number of
    processor threads (default: torch's own), `attention` the attention implementation (default: the architecture's own).
    """

    batch: int | None = None
    threads: int | None = None
    attention: Literal["sdpa", "eager"] | None = None


class Encoded(NamedTuple):
    """Vectors of the sentences at `positions`, as micro-units (len(positions) x dimension), and their margin."""

    positions: list[int]
    micro: Micro
    margin: float


class Encoder:
    """A model loaded from a folder of checked files. Nothing is fetched, and no code from the folder is run."""

    def __init__(self, folder: Path, *, precision: Literal["canonical", "float32"], settings: Settings) -> None:
        os.environ["HF_HUB_OFFLINE"] = (
            "1"  # read by huggingface_hub when it is imported: what is not in the folder is not there
        )
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        from aqea_registry.embedding.float64 import heal_buffers

        logging.disable_progress_bar()
        if settings.threads:
            torch.set_num_threads(settings.threads)
        dtype = torch.float32 if precision == "float32" else torch.float64
        chosen = {"attn_implementation": settings.attention} if settings.attention else {}
        self._settings = settings
        self._model: Any = SentenceTransformer(
            str(folder),
            device="cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"dtype": dtype, "use_safetensors": True, **chosen},
        )
        self._model.to(dtype).eval()
        self._guard = precision == "canonical"
        if self._guard:
            heal_buffers(self._model)

    def encode(self, sentences: Sequence[str]) -> Iterator[Encoded]:
        """Yield the vectors of all sentences, batch by batch, in an order that suits the machine.

        Raises BadVector (its row is the position in `sentences`) if the model gives NaN, infinity or zero.
        """
        # Characters foretell tokens well enough to keep the padding of a window small.
        order = sorted(range(len(sentences)), key=lambda position: (len(sentences[position]), sentences[position]))
        for start in range(0, len(order), WINDOW):
            yield from self._encode_window(sentences, order[start : start + WINDOW])

    def _encode_window(self, sentences: Sequence[str], window: list[int]) -> Iterator[Encoded]:
        import torch

        features = self._model.preprocess([sentences[position] for position in window])
        mask = features["attention_mask"].bool()
        lengths = mask.sum(dim=1)
        for length in torch.unique(lengths).tolist():
            rows = torch.nonzero(lengths == length).flatten()
            size = self._settings.batch or max(1, TOKENS_A_BATCH // length)
            for batch in torch.split(rows, size):
                vectors = self._forward(_without_padding(features, mask, batch, length))
                positions = [window[row] for row in batch.tolist()]
                yield Encoded(positions, *_on_grid(vectors, positions))

    def _forward(self, features: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.floating[Any]]]:
        import torch

        from aqea_registry.embedding.float64 import Float64

        with torch.inference_mode():
            if not self._guard:
                vectors = self._model(features)["sentence_embedding"]
            else:
                with Float64() as guard:
                    vectors = self._model(features)["sentence_embedding"]
                # The guard costs some microseconds an operation. A model that never asked for less can do without it.
                self._guard = guard.requests > 0
        result: np.ndarray[Any, np.dtype[np.floating[Any]]] = vectors.numpy()
        return result


def _on_grid(vectors: np.ndarray[Any, np.dtype[np.floating[Any]]], positions: list[int]) -> tuple[Micro, float]:
    try:
        return to_grid(vectors)
    except BadVector as error:
        raise BadVector(positions[error.row], str(error)) from error


def _without_padding(features: dict[str, Any], mask: Any, batch: Any, length: int) -> dict[str, Any]:
    """The features of some rows that all have `length` tokens, with the padding cut out on whichever side it is."""
    kept = mask[batch]
    return {
        key: value[batch][kept].view(len(batch), length) if getattr(value, "shape", None) == mask.shape else value
        for key, value in features.items()
    }
