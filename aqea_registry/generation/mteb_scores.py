"""A model for MTEB's own tasks whose vectors are canonical, the scores of a task over it, and files as mteb keeps them.

Each text has the same vector, each pair the same similarity, and scores have no times and machines in them.
"""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from msgspec.structs import asdict, replace

from aqea_registry.base.files import Limit, read_small, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused, suggestion
from aqea_registry.base.strict import load_json
from aqea_registry.documents.metrics import TRAINED
from aqea_registry.project.artefact import PairSetArtefact
from aqea_registry.project.params import Dataset
from aqea_registry.project.project import Project
from aqea_registry.sources.mteb_tasks import task_class
from aqea_registry.vectors.containers.pair_json import examine
from aqea_registry.vectors.nearest import Columns, Ranked, Whole, cosine, nearest, squares
from aqea_registry.vectors.pair_set import MICRO, Micro
from aqea_registry.vectors.vector_set import Keys, keys_of

if TYPE_CHECKING:
    from mteb.abstasks.abstask import AbsTask
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models.model_meta import ModelMeta
    from mteb.types import PromptType

Chosen = Sequence[Sequence[int]]  # of each query the numbers of documents, which alone are ranked
Scores = dict[str, dict[str, Any]]  # by split and subset, as MTEB names them; one that does not exist is None
BLOCK = 16384  # texts whose vectors are asked for at a time
RERANKED = 16  # queries whose chosen documents are


class CanonicalModel:
    """Implements MTEB's EncoderProtocol and SearchProtocol over vectors that somebody else computes or has kept.

    `vectors_of` gives the canonical vectors of texts as the model sees them (len x dimension int32 micro-units), and
    `prompt_for` what stands before a text in a task and role (query, document or None). `near_ties` counts neighbours in
    result lists whose cosines differ, but not in float32, in which trec_eval sorts them.
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
        self._keys: list[Keys] = []
        self.near_ties = 0

    @property
    def keys(self) -> Keys:
        """The keys of all texts that were asked for, each once and ascending."""
        return np.unique(np.concatenate([np.empty(0, "S32"), *self._keys]))

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
        self, inputs: Iterable[dict[str, Any]], *, task_metadata: TaskMetadata, prompt_type: PromptType | None = None, **_: Any
    ) -> npt.NDArray[np.float64]:
        """The canonical vectors of all texts (n x dimension): of length one to train on, else in whole micro-units.

        What MTEB and its libraries sum of whole numbers is exact, and what is as near as something else stays so.
        """
        prompt = self.prompt_for(task_metadata, prompt_type)
        whole = self._whole((text for batch in inputs for text in batch["text"]), prompt)
        return whole / MICRO if task_metadata.type in TRAINED else whole

    def similarity(self, embeddings1: npt.ArrayLike, embeddings2: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The cosines of all pairs of vectors of `encode`; either may be a single one."""
        first, second = np.asarray(embeddings1, np.float64), np.asarray(embeddings2, np.float64)
        return cosine(first @ second.T, squares(first)[..., None] if first.ndim > 1 else squares(first), squares(second))

    def similarity_pairwise(self, embeddings1: npt.ArrayLike, embeddings2: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The cosine of each row of the one with the same row of the other."""
        first, second = np.asarray(embeddings1, np.float64), np.asarray(embeddings2, np.float64)
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

        That is how trec_eval and MTEB order equal scores. Documents are numbered in this order, so that ties, at the cut too,
        do not depend on blocks. With `top_ranked` only the documents that it names for a query are ranked.
        """
        from mteb.types import PromptType

        texts = _prepared(queries, task_metadata, PromptType.query)["text"][:]
        vectors = self._whole(texts, self.prompt_for(task_metadata, PromptType.query))
        given, chosen = list(map(str, self._corpus["id"])), None
        falling = sorted(range(len(given)), key=given.__getitem__, reverse=True)
        ids = [given[at] for at in falling]
        if top_ranked is not None:
            place = {name: number for number, name in enumerate(ids)}
            chosen = [sorted({place[name] for name in top_ranked.get(query, ())}) for query in queries["id"]]
        documents = _prepared(self._corpus, task_metadata, PromptType.document).select(falling)
        ranked = self._ranked(vectors, documents, self.prompt_for(task_metadata, PromptType.document), chosen, top_k)
        results = {}
        for query, (best, scores) in zip(map(str, queries["id"]), ranked, strict=True):
            results[query] = dict(zip([ids[number] for number in best.tolist()], scores.tolist(), strict=True))
            self.near_ties += int(np.count_nonzero(np.diff(scores) * (np.diff(scores.astype(np.float32)) == 0)))
        return results

    def _ranked(self, vectors: Whole, documents: Any, prompt: str, chosen: Chosen | None, k: int) -> Iterable[Ranked]:
        """The nearest documents of each query by their numbers, of all documents or of those that are chosen for it."""

        def rows(numbers: Sequence[int] | Columns) -> Whole:
            return self._whole(documents.select(numbers)["text"][:], prompt) if len(numbers) else vectors[:0]

        if chosen is not None:
            return _nearest_of(vectors, chosen, rows, k)
        return nearest(vectors, ((part, rows(part)) for part in self._parts(documents, prompt)), k)

    def _parts(self, documents: Any, prompt: str) -> list[Columns]:
        """The numbers of documents in blocks; of several, in the order of keys: so vectors lie, and each is read once."""
        blocks = [range(len(documents))[at : at + self._block] for at in range(0, len(documents), self._block)]
        if len(blocks) < 2:
            return [np.array(block) for block in blocks]
        keys = [keys_of(prompt + text for text in documents.select(block)["text"][:]) for block in blocks]
        return np.array_split(np.argsort(np.concatenate(keys)), len(blocks))

    def _whole(self, texts: Iterable[str], prompt: str) -> Whole:
        """The vectors of texts (n x dimension) behind a prompt in micro-units, as float64."""
        blocks, waiting = [], iter(texts)
        while block := [prompt + text for text in islice(waiting, self._block)]:
            self._keys.append(keys_of(block))
            blocks.append(self.vectors_of(block).astype(np.float64))
        return np.concatenate(blocks)


class AllTexts(CanonicalModel):
    """A model by which a task shows all texts that it asks for, to `vectors_of`: any vectors will do, and none are searched."""

    def _ranked(self, vectors: Whole, documents: Any, prompt: str, chosen: Chosen | None, k: int) -> Iterable[Ranked]:
        """Ask for all documents, and find any."""
        numbers = range(len(documents)) if chosen is None else sorted({*chain(*chosen)})
        for at in range(0, len(numbers), self._block):
            self._whole(documents.select(numbers[at : at + self._block])["text"][:], prompt)
            self._keys.clear()  # which may be millions
        return [(np.zeros(1, np.intp), np.ones(1))] * len(vectors)


def _nearest_of(vectors: Whole, chosen: Chosen, rows: Callable[[Sequence[int]], Whole], k: int) -> Iterator[Ranked]:
    """The nearest among documents that are chosen for each query. The vectors of some queries' are asked for at once."""
    for start in range(0, len(chosen), RERANKED):
        some = chosen[start : start + RERANKED]
        blocks = np.split(rows([*chain(*some)]), np.cumsum(list(map(len, some)))[:-1])
        for row, (numbers, block) in enumerate(zip(some, blocks, strict=True), start):
            yield from nearest(vectors[row : row + 1], [(np.array(numbers, np.intp), block)], k)


def _prepared(dataset: Any, task_metadata: TaskMetadata, prompt_type: PromptType) -> Any:
    """Queries or documents with the texts that MTEB gives to a model: titles before texts, instructions behind queries."""
    from mteb._create_dataloaders import create_dataloader

    return create_dataloader(dataset, task_metadata=task_metadata, prompt_type=prompt_type).dataset


def evaluate(task: AbsTask, model: CanonicalModel) -> Scores:
    """The scores of a task by MTEB's own code. Random choices begin at the task's seed; what is trained, is by one thread."""
    from mteb._set_seed import _set_seed

    task.rng_state, task.np_rng = _set_seed(task.seed)  # a task that was evaluated before has moved them on
    with _quietly(model, threads=1 if task.metadata.type in TRAINED else None):
        scores = {split: task.evaluate(model, split, encode_kwargs={"show_progress_bar": False}) for split in task.eval_splits}
    plain: Scores = _plain(scores)
    return plain


@contextmanager
def _quietly(model: CanonicalModel, threads: int | None) -> Iterator[None]:
    """Without MTEB's bars and warnings, and with so many threads; while vectors are computed, all is as it was before."""
    from threadpoolctl import ThreadpoolController

    pools, vectors_of, shown = ThreadpoolController(), model.vectors_of, sys.stderr
    limited = pools.limit(limits=threads)

    def outside(texts: Sequence[str]) -> Micro:
        limited.restore_original_limits()
        try:
            with redirect_stderr(shown):
                return vectors_of(texts)
        finally:
            pools.limit(limits=threads)

    model.vectors_of = outside
    try:
        with redirect_stderr(StringIO()), warnings.catch_warnings(action="ignore"):
            yield
    finally:
        model.vectors_of = vectors_of
        limited.restore_original_limits()


def _plain(value: object) -> Any:
    """The same in Python's own types; None for what is not a number."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(inner) for inner in value]
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def export_results(project: Project, path: str) -> str:
    """Write the scores of a pair file or result of the run as mteb keeps results, in `results/`, and return the file's path.

    Pairs that are of no task of MTEB are a task of their entry's name. Raises BadConfiguration for other files, CannotCheck
    and Refused where the file is not here or not sound.
    """
    from mteb.results import TaskResult

    made = {name.rpartition("/")[2]: artefact for artefact in project.run.made.values() for name in artefact.stated}
    if (artefact := made.get(path.rpartition("/")[2])) is None:
        message = f"{path} is neither a pair file nor a result of the run; it has {', '.join(made)}"
        raise BadConfiguration(message, suggestion(path, made))
    source = project.root / (artefact.file if isinstance(artefact, PairSetArtefact) else artefact.metrics)
    if not source.is_file():
        raise CannotCheck(f"{source.relative_to(project.root)} not found", "run: dvc repro")
    entry, (pin, model) = artefact.dataset_entry, artefact.required_pins()
    if isinstance(artefact, PairSetArtefact):
        examined, findings = examine(source, artefact.file, artefact.expected)
        if examined is None or findings:
            raise Refused(f"{findings[0].subject}: {findings[0].message}", findings, "run: dvc repro")
        values = {name.replace("cos_sim", "cosine"): value for name, value in asdict(examined.metrics).items()}
        bare = {"spearman": values["cosine_spearman"], "pearson": values["cosine_pearson"]}
        scores: Any = {entry.split_name: {entry.config: {**values, **bare, "main_score": values["cosine_spearman"]}}}
    else:
        scores = load_json(read_small(source, Limit.DOCUMENT), artefact.metrics)["scores"]
    task = _task(artefact.dataset, entry)
    result = TaskResult.from_task_results(task, scores, 0.0)
    result.evaluation_time, result.dataset_revision = None, pin.commit or f"sha256:{pin.digest()}"
    named = (model.id, model.commit or "no_revision_available")
    meta = CanonicalModel(lambda _: np.empty((0, 0), np.int32), lambda *_: "", *named).mteb_model_meta  # it encodes nothing
    folder = f"results/{meta.model_name_as_path()}/{meta.revision}"
    for name, value in ((task.metadata.name, result.model_dump(mode="json")), ("model_meta", meta.to_dict())):
        write_bytes(project.root / folder / f"{name}.json", (json.dumps(value, indent=2, default=str) + "\n").encode())
    return f"{folder}/{task.metadata.name}.json"


def _task(name: str, entry: Dataset) -> Any:
    """The class of an entry's task; of pairs that name none, the only one over their repository, or one of their own name."""
    from mteb.get_tasks import TASK_LIST

    of_repo = [cls for cls in TASK_LIST if (cls.metadata.type, cls.metadata.dataset["path"]) == ("STS", entry.repo)]
    if entry.mteb is None and len(of_repo) == 1:
        return of_repo[0]
    return task_class(name, entry if entry.mteb else replace(entry, mteb="STS"))
