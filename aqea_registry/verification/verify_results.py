"""Check vector sets and the results beside them: whether each is sound, of the pinned inputs, and the one of the other."""

import math
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from aqea_registry.base.files import Limit, read_small
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding
from aqea_registry.base.strict import convert, load_json
from aqea_registry.documents.metrics import TRAINED
from aqea_registry.project.artefact import TaskScores, VectorSetArtefact
from aqea_registry.vectors.margin import DecidedValue
from aqea_registry.vectors.pair_set import Malformed
from aqea_registry.vectors.vector_set import ExaminedVectors, VectorSet, examine_vector_set

TRAINED_GAP = 0.005  # scores of what is trained may be so far apart under other libraries, or on another processor


class CheckedVectors(msgspec.Struct, frozen=True, kw_only=True):
    """A sound vector set with its result: the task, and its main score by split and subset. `content` is in hex."""

    texts: int
    dimension: int
    content: str
    task: str
    type: str
    main_score: str
    scores: dict[str, float | None]

    def text(self) -> str:
        """The main score of each split and subset, in a line; of one alone, its digits."""
        return "; ".join(f"{at}: {score!r}" if len(self.scores) > 1 else repr(score) for at, score in self.scores.items())


def check_vector_sets(
    root: Path, artefacts: Iterable[VectorSetArtefact], there: Collection[str], left_out: Collection[str] = ()
) -> tuple[dict[str, CheckedVectors], list[Finding]]:
    """The sound vector sets with a result, by key; and what is wrong with any of them, or between it and its result.

    `there` are the files that are there, by their paths in the project that `root` is, or is laid out like; of one that was
    `left_out` of a release its result speaks. Raises CannotCheck without pyarrow.
    """
    sound, findings = dict[str, CheckedVectors](), list[Finding]()
    for artefact in artefacts:
        result, wrong = read_result(root, artefact) if artefact.metrics in there else (None, [])
        stated = result.vectors if result else None
        expected = ExaminedVectors(stated.texts, artefact.model_entry.dimension, stated.content[7:]) if stated else None
        examined = expected if artefact.file in left_out else None
        if artefact.file in there:
            examined, more = examine_vector_set(root / artefact.file, artefact.file, expected)
            wrong += more
        findings += wrong
        if examined and result and not wrong:
            own = {name: getattr(result, name) for name in ("task", "type", "main_score")}
            sound[artefact.key] = CheckedVectors(**examined._asdict(), **own, scores=result.main_scores())
    return sound, findings


def read_result(root: Path, artefact: VectorSetArtefact) -> tuple[TaskScores | None, list[Finding]]:
    """The result beside a vector set, and where it is of other inputs than are pinned."""
    path = artefact.metrics
    try:
        result = convert(load_json(read_small(root / path, Limit.DOCUMENT), path), TaskScores, path)
    except (BadConfiguration, OSError) as error:
        return None, [Finding("malformed", path, f"{error}; run: dvc repro")]
    message, used = "the result is of another pin; run: dvc repro", (("dataset", result.dataset), ("model", result.model))
    return result, [
        Finding("lock-stale", f"{path}: {kind}.{field}", message, str(value), str(stated.get(field)))
        for (kind, stated), (_, pin) in zip(used, artefact.pins, strict=True)
        if pin is not None
        for field, value in (("digest", pin.digest()), ("id", pin.id), ("commit", pin.commit))
        if value != stated.get(field)
    ]


def decided_value_findings(vectors: Path, path: str, values: Iterable[DecidedValue]) -> Iterator[Finding]:
    """Where a vector set has another value than its list of decided ones at `path` says. One that is not sound is left out."""
    with suppress(OSError, Malformed, CannotCheck):
        made = VectorSet(vectors)
        for text, at, wanted in map(msgspec.structs.astuple, values):  # in the order of the keys
            try:
                actual = int(made.lookup([bytes.fromhex(text)])[0, at])
            except (KeyError, IndexError):
                actual = None
            if actual != wanted:
                message = "the vector set has another value than was decided; run: dvc repro"
                yield Finding("mismatch", f"{path}: {text}[{at}]", message, str(wanted), str(actual))


def score_gap(stated: bytes, again: bytes) -> float:
    """By how much two results of a task that trains something differ; infinity of other tasks, or if not in scores alone."""
    with suppress(BadConfiguration, LookupError, TypeError):  # what was said may be anything
        first, second = load_json(stated, "what was said"), load_json(again, "what was made again")
        if first["type"] in TRAINED and {**first, "scores": None} == {**second, "scores": None}:
            return _gap(first["scores"], second["scores"])
    return math.inf


def _gap(first: object, second: object) -> float:
    if first == second:
        return 0.0
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        return max(_gap(first[key], second[key]) for key in first)
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return max(map(_gap, first, second))
    return abs(first - second) if isinstance(first, int | float) and isinstance(second, int | float) else math.inf
