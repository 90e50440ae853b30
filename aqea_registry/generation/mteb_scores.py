"""The scores of a task of MTEB over canonical vectors, without times and machines, and the file that holds them."""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import asdict, replace

from aqea_registry.base.files import Limit, read_small, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused, suggestion
from aqea_registry.base.strict import load_json
from aqea_registry.documents.metrics import TRAINED
from aqea_registry.generation.mteb_model import CanonicalModel
from aqea_registry.project.artefact import RunArtefact
from aqea_registry.project.lock import Pin
from aqea_registry.project.params import WRITTEN, Dataset
from aqea_registry.project.project import Project
from aqea_registry.sources.mteb_tasks import task_class
from aqea_registry.vectors.examine import examine
from aqea_registry.vectors.pair_set import Micro

if TYPE_CHECKING:
    from mteb.abstasks.abstask import AbsTask

Scores = dict[str, dict[str, Any]]  # by split and subset, as MTEB names them; one that does not exist is None


def evaluate(task: AbsTask, model: CanonicalModel) -> Scores:
    """The scores of a task by MTEB's own code. Random choices begin at the task's seed; what is trained, is by one thread."""
    from mteb._set_seed import _set_seed

    task.rng_state, task.np_rng = _set_seed(task.seed)  # a task that was evaluated before has moved them on
    with _quietly(model, threads=1 if task.metadata.type in TRAINED else None):
        scores = {split: task.evaluate(model, split, encode_kwargs={"show_progress_bar": False}) for split in task.eval_splits}
    plain: Scores = _plain(scores)
    return plain


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
    source = project.root / (artefact.file if isinstance(artefact, RunArtefact) else artefact.metrics)
    if not source.is_file():
        raise CannotCheck(f"{source.relative_to(project.root)} not found", "run: dvc repro")
    entry, (pin, model) = artefact.dataset_entry, artefact.required_pins()
    if isinstance(artefact, RunArtefact):
        examined, findings = examine(source, artefact.pairs, artefact.expected)
        if examined is None or findings:
            raise Refused(f"{findings[0].subject}: {findings[0].message}", findings, "run: dvc repro")
        found = {name.replace("cos_sim", "cosine"): value for name, value in asdict(examined.metrics).items()}
        bare = {"spearman": found["cosine_spearman"], "pearson": found["cosine_pearson"]}
        scores: Any = {entry.split_name: {entry.config: {**found, **bare, "main_score": found["cosine_spearman"]}}}
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
