"""The scores of a task of MTEB over canonical vectors, without times and machines, and the file that holds them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from aqea_registry.generation.mteb_model import CanonicalModel
from aqea_registry.project.lock import Pin
from aqea_registry.project.params import WRITTEN
from aqea_registry.vectors.pair_set import Micro

if TYPE_CHECKING:
    from mteb.abstasks.abstask import AbsTask

Scores = dict[str, dict[str, Any]]  # by split and subset, as MTEB names them; one that does not exist is None

TRAINS = frozenset({"Classification", "Clustering", "MultilabelClassification", "Regression"})  # types of task


def evaluate(task: AbsTask, model: CanonicalModel) -> Scores:
    """The scores of a task by MTEB's own code. Random choices begin at the task's seed; what is trained, is by one thread."""
    from mteb._set_seed import _set_seed

    task.rng_state, task.np_rng = _set_seed(task.seed)  # a task that was evaluated before has moved them on
    with _one_thread(model) if task.metadata.type in TRAINS else nullcontext():
        scores = {split: task.evaluate(model, split, encode_kwargs={"show_progress_bar": False}) for split in task.eval_splits}
    found = _plain(scores)
    assert isinstance(found, dict)
    return found


def result_text(
    task: AbsTask, scores: Scores, *, dataset: tuple[str, Pin], model: tuple[str, Pin], texts: int, dimension: int, content: str
) -> bytes:
    """The result file: scores, and what they rest on. `dataset` and `model` are names with their pins."""
    used = {
        kind: {"name": name, "id": pin.id, "commit": pin.commit, "digest": pin.digest()}
        for kind, (name, pin) in (("dataset", dataset), ("model", model))
    }
    result = {
        "schema": "aqea-registry/result/1",
        "task": task.metadata.name,
        "type": task.metadata.type,
        "main_score": task.metadata.main_score,
        **used,
        "method": {"precision": "canonical", "vectors": WRITTEN.vectors},
        "vectors": {"texts": texts, "dimension": dimension, "content": f"sha256:{content}"},
        "scores": scores,
    }
    return (json.dumps(result, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


@contextmanager
def _one_thread(model: CanonicalModel) -> Iterator[None]:
    """Sums in one order while a task trains; vectors are computed by as many threads as before."""
    from threadpoolctl import ThreadpoolController

    pools, vectors_of = ThreadpoolController(), model.vectors_of
    limited = pools.limit(limits=1)

    def unlimited(texts: Sequence[str]) -> Micro:
        limited.restore_original_limits()
        try:
            return vectors_of(texts)
        finally:
            pools.limit(limits=1)

    model.vectors_of = unlimited
    try:
        yield
    finally:
        model.vectors_of = vectors_of
        limited.restore_original_limits()


def _plain(value: object) -> object:
    """The same in Python's own types; None for what is not a number."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(inner) for inner in value]
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
