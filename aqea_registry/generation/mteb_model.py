"""A model for MTEB's own tasks whose vectors are canonical: each text has the same vector, each pair the same similarity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aqea_registry.vectors.nearest import Whole, cosine, nearest, squares
from aqea_registry.vectors.pair_set import MICRO, Micro
from aqea_registry.vectors.vector_set import key_of

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models.model_meta import ModelMeta
    from mteb.types import PromptType

BLOCK = 8192  # texts whose vectors are asked for at a time
RERANKED = 16  # queries whose candidates are


class CanonicalModel:
    """Implements MTEB's EncoderProtocol and SearchProtocol over vectors that somebody else computes or has kept.

    `vectors_of` gives the canonical vectors of texts as the model sees them (len x dimension int32 micro-units), and
    `prompt_for` what stands before a text in a task and role (query, document or None). `keys` has the keys of all texts asked
    for. `near_ties` counts neighbours in result lists whose cosines differ, but not in float32, in which trec_eval sorts them.
    """

    def __init__(
        self,
        vectors_of: Callable[[Sequence[str]], Micro],
        prompt_for: Callable[[TaskMetadata, PromptType | None], str],
        name: str,
        revision: str,
        *,
        block: int = BLOCK,
    ) -> None:
        self.vectors_of, self.prompt_for = vectors_of, prompt_for
        self._name, self._revision, self._block = name, revision, block
        self._corpus: Any = None
        self.keys: set[bytes] = set()
        self.near_ties = 0

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """Name and revision of the model; the rest stands in the catalogue."""
        from mteb.models.model_meta import ModelMeta

        unknown = dict.fromkeys(name for name, field in ModelMeta.model_fields.items() if field.is_required())
        name = self._name if "/" in self._name else f"local/{self._name}"
        return ModelMeta(
            **{**unknown, "name": name, "revision": self._revision, "framework": [], "similarity_fn_name": "cosine"}
        )

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: TaskMetadata,
        prompt_type: PromptType | None = None,
        **_: Any,
    ) -> npt.NDArray[np.float64]:
        """The canonical vectors of all texts (n x dimension), of length one but for their grid."""
        texts = (text for batch in inputs for text in batch["text"])
        return self._whole(texts, task_metadata, prompt_type) / MICRO

    def similarity(self, embeddings1: npt.ArrayLike, embeddings2: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The cosines of all pairs of vectors of `encode`; either may be a single one."""
        first, second = _micro(embeddings1), _micro(embeddings2)
        return cosine(first @ second.T, squares(first)[..., None] if first.ndim > 1 else squares(first), squares(second))

    def similarity_pairwise(self, embeddings1: npt.ArrayLike, embeddings2: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The cosine of each row of the one with the same row of the other."""
        first, second = _micro(embeddings1), _micro(embeddings2)
        return cosine(np.einsum("...i,...i->...", first, second), squares(first), squares(second))

    def index(self, corpus: Any, **_: Any) -> None:
        """Keep the documents for `search`."""
        self._corpus = corpus

    def search(
        self,
        queries: Any,
        *,
        task_metadata: TaskMetadata,
        top_k: int,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **_: Any,
    ) -> dict[str, dict[str, float]]:
        """For each query its nearest documents with their cosines, the nearest first; of equal ones first the higher id.

        That is how trec_eval and MTEB order equal scores. Documents are taken in this order, so that ties, at the cut too, do
        not depend on blocks. With `top_ranked` only the documents that it names for a query are ranked.
        """
        from mteb.types import PromptType

        names, ids = list(map(str, queries["id"])), list(map(str, self._corpus["id"]))
        texts = _prepared(queries, task_metadata, PromptType.query)["text"]
        vectors = self._whole(texts, task_metadata, PromptType.query)
        documents = _prepared(self._corpus, task_metadata, PromptType.document)

        def rows(numbers: Sequence[int]) -> Whole:
            return self._whole(documents.select(numbers)["text"], task_metadata, PromptType.document)

        found: Iterator[tuple[list[int], npt.NDArray[np.float64]]]
        if top_ranked is None:
            falling = sorted(range(len(ids)), key=ids.__getitem__, reverse=True)
            blocks = (rows(falling[start : start + self._block]) for start in range(0, len(ids), self._block))
            found = (([falling[at] for at in best], scores) for best, scores in nearest(vectors, blocks, top_k))
        else:
            found = _reranked(vectors, [top_ranked.get(name, ()) for name in names], ids, rows, top_k)
        results = {}
        for name, (numbers, scores) in zip(names, found, strict=True):
            results[name] = {ids[number]: score for number, score in zip(numbers, scores.tolist(), strict=True)}
            self.near_ties += int(np.count_nonzero(np.diff(scores) * (np.diff(scores.astype(np.float32)) == 0)))
        return results

    def _whole(self, texts: Iterable[str], task_metadata: TaskMetadata, prompt_type: PromptType | None) -> Whole:
        """The vectors of texts (n x dimension) in micro-units, as float64."""
        prompt, waiting = self.prompt_for(task_metadata, prompt_type), iter(texts)
        blocks = []
        while block := [prompt + text for text in islice(waiting, self._block)]:
            self.keys.update(map(key_of, block))
            blocks.append(self.vectors_of(block).astype(np.float64))
        return np.concatenate(blocks)


def _reranked(
    vectors: Whole, candidates: Sequence[Sequence[str]], ids: Sequence[str], rows: Callable[[Sequence[int]], Whole], k: int
) -> Iterator[tuple[list[int], npt.NDArray[np.float64]]]:
    """The k nearest of each query's candidates: numbers and cosines. The vectors of some queries are asked for at once."""
    numbers = {name: number for number, name in enumerate(ids)}
    for start in range(0, len(vectors), RERANKED):
        chosen = [
            [numbers[name] for name in sorted(set(names), reverse=True)] for names in candidates[start : start + RERANKED]
        ]
        ends = np.cumsum(list(map(len, chosen)))
        blocks = np.split(rows([*chain(*chosen)]), ends[:-1])
        for row, (mine, block) in enumerate(zip(chosen, blocks, strict=True), start):
            ((best, scores),) = nearest(vectors[row : row + 1], [block], k)
            yield [mine[at] for at in best], scores


def _prepared(dataset: Any, task_metadata: TaskMetadata, prompt_type: PromptType) -> Any:
    """Queries or documents with the texts that MTEB gives to a model: titles before texts, instructions behind queries."""
    from mteb._create_dataloaders import create_dataloader

    return create_dataloader(dataset, task_metadata=task_metadata, prompt_type=prompt_type).dataset


def _micro(embeddings: npt.ArrayLike) -> Whole:
    return np.rint(np.asarray(embeddings, np.float64) * MICRO)
