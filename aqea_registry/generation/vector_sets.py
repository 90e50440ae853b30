"""Make one vector set and the result of its task: pinned data and a pinned model in, MTEB's own code between.

A result is made again from a vector set and the pinned data alone, without the model.

In place of a vector set that is too large for it a release has the nearest documents of each query, with their cosines: JSON
lines, one a query, sorted by subset, split and query, in one spelling (sorted keys, no spaces, shortest numbers): the same
bytes on every machine. They are as long as the task takes them, 1,000 of MTEB's own. From them and the judgements MTEB computes
the scores of retrieval and reranking; that they are those of the vectors, only the vectors show.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from aqea_registry.base.extras import require
from aqea_registry.base.files import Limit, atomic_write, open_regular, write_bytes
from aqea_registry.base.findings import BadConfiguration, Refused
from aqea_registry.base.progress import Reporter
from aqea_registry.base.strict import decode_json
from aqea_registry.generation.encoding import Models, Vectors
from aqea_registry.generation.inputs import pinned_files
from aqea_registry.generation.mteb_scores import CanonicalModel, Scores, evaluate
from aqea_registry.project.artefact import LISTS, RESULT, VIEWS, Artefact, CatalogueEntry, OfVectors, VectorSetArtefact
from aqea_registry.project.params import WRITTEN
from aqea_registry.project.project import CACHE
from aqea_registry.sources.open_task import open_task
from aqea_registry.vectors.margin import Machine, Margin
from aqea_registry.vectors.pair_set import Micro, refusing
from aqea_registry.vectors.vector_set import Keys, VectorSet, keys_of, write_vector_set


class NewArtefact(msgspec.Struct, frozen=True, kw_only=True):
    """An artefact that was made, how safe its digest is (float32 has no margin), and what encoded last, where that is known."""

    name: str
    path: str
    dimension: int
    precision: str
    encoded: int = 0
    reused: int = 0
    margin: Margin | None = None
    machine: Machine | None = None


def named(artefact: Artefact) -> dict[str, Any]:
    """What all new artefacts say of theirs."""
    precision, dimension = artefact.precision, artefact.model_entry.dimension
    return {"name": artefact.key, "path": artefact.file, "dimension": dimension, "precision": precision}


class Evaluated(NewArtefact, frozen=True, kw_only=True):
    """A vector set with its content digest, and the scores of its task.

    `near_ties` are neighbours in lists of results whose cosines differ, but not in float32, in which trec_eval sorts them.
    """

    texts: int
    content: str
    near_ties: int
    task: str
    main_score: str
    scores: Scores


class TaskRun(NamedTuple):
    """A task that was run over vectors: the keys of its texts, ascending, and what it gave."""

    keys: Keys
    near_ties: int
    task: Any
    scores: Scores


def make_vector_set(artefact: VectorSetArtefact, models: Models) -> tuple[Vectors, Keys, Evaluated]:
    """Make a vector set of a run and the result of its task. Its files lie where the vectors do.

    Also returns the vectors, and the keys of its texts. Raises Refused; then none of the files was touched.
    """
    if artefact.precision != "canonical":
        raise BadConfiguration("params.yaml: a vector set has canonical vectors alone", "set precision: canonical")
    root = models.root
    with opened_task(models.catalogue[artefact.dataset], models.report) as task:
        vectors, expected = models.vectors(artefact), _count(task.dataset)
        vectors.use_decided(models.run.root, artefact)

        def encoded(texts: Sequence[str]) -> Micro:
            vectors.compute(texts, expected)
            return np.concatenate([*vectors.blocks(keys_of(texts))])

        scored = score(task, artefact, encoded)
    dimension, keys = artefact.model_entry.dimension, scored.keys
    if not (root / VIEWS).exists():  # the stage `manifest` depends on the folder, in a clone of a run without pair sets, too
        write_bytes(root / VIEWS / ".gitignore", b"")
    with atomic_write(root / artefact.file) as file:
        content = write_vector_set(file, dimension, vectors.rows(keys))
    write_bytes(root / artefact.metrics, result_bytes(artefact, scored, len(keys), content))
    about = scored.task.metadata
    given = {"task": about.name, "main_score": about.main_score, "scores": scored.scores, "near_ties": scored.near_ties}
    return vectors, keys, Evaluated(**named(artefact), texts=len(keys), content=content, **given)


@contextmanager
def opened_task(dataset: CatalogueEntry, report: Reporter) -> Iterator[Any]:
    """MTEB's task over a dataset's pinned files. Raises RegistryError."""
    require("a task of MTEB")
    _, folder = pinned_files(dataset, report, False)
    with open_task(dataset, folder, report) as task:
        yield task


def score(
    task: Any,
    artefact: VectorSetArtefact,
    vectors_of: Callable[[Sequence[str]], Micro],
    kind: Callable[..., CanonicalModel] = CanonicalModel,
) -> TaskRun:
    """Run a task over canonical vectors of its texts, which stand behind the prefixes of the catalogue."""
    entry, pin = artefact.model_entry, artefact.required_pins()[1]

    def prompt_for(metadata: Any, role: Any) -> str:
        return entry.prefix_for(metadata.name, metadata.type, role.value if role is not None else "")

    model = kind(vectors_of, prompt_for, entry.repo, pin.commit or pin.digest())
    scores = evaluate(task, model)
    return TaskRun(model.keys, model.near_ties, task, scores)


def vectors_of(made: VectorSet, artefact: VectorSetArtefact, texts: Sequence[str]) -> Micro:
    """The vectors that a vector set has of these texts. Raises Refused if it has not all."""
    try:
        return made.lookup(keys_of(texts))
    except KeyError as error:
        message = f"the vector of a text of the task is missing; its key is {error.args[0]}"
        raise Refused.of("mismatch", artefact.file, message) from error


def result_of(dataset: CatalogueEntry, artefact: VectorSetArtefact, path: Path, report: Reporter) -> bytes:
    """The result file of a vector set, made again from it and the pinned data: the model is not loaded.

    Raises Refused if the vector set is not of these texts, CannotCheck without MTEB or the data.
    """
    with refusing(artefact.file):
        vectors = VectorSet(path)
        with opened_task(dataset, report) as task:
            scored = score(task, artefact, partial(vectors_of, vectors, artefact))
        if len(scored.keys) != vectors.texts:
            message = "it has texts that the task does not ask for"
            raise Refused.of("mismatch", artefact.file, message, str(len(scored.keys)), str(vectors.texts))
        return result_bytes(artefact, scored, vectors.texts, vectors.content)


def result_bytes(artefact: VectorSetArtefact, scored: TaskRun, texts: int, content: str) -> bytes:
    """The result file of a vector set of so many texts, with this content digest in hex: scores, and what they rest on."""
    about, pins = scored.task.metadata, zip(("dataset", "model"), artefact.pins, artefact.required_pins(), strict=True)
    result = {
        "schema": RESULT,
        "task": about.name,
        "type": about.type,
        "main_score": about.main_score,
        **{kind: {"name": name, "id": pin.id, "commit": pin.commit, "digest": pin.digest()} for kind, (name, _), pin in pins},
        "method": {"precision": "canonical", "vectors": WRITTEN.vectors},
        "vectors": {"texts": texts, "dimension": artefact.model_entry.dimension, "content": f"sha256:{content}"},
        "scores": scored.scores,
    }
    return (json.dumps(result, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _count(data: Any) -> int:
    """About how many texts a task has: the rows of all its tables."""
    return sum(map(_count, data.values())) if isinstance(data, Mapping) else getattr(data, "num_rows", 0)


Near = dict[str, dict[str, float]]  # query to documents with their cosines, the nearest first


class TopList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line: the nearest documents of a query, the nearest first."""

    subset: str
    split: str
    query: str
    documents: list[str]
    scores: list[float]

    def render(self) -> bytes:
        """Its one spelling."""
        text = json.dumps(msgspec.to_builtins(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return f"{text}\n".encode()


class _Recording(CanonicalModel):
    """Adds to `lines` what each search gives: subset, split, query, and the line."""

    def __init__(self, lines: list[tuple[str, str, str, bytes]], *words: Any) -> None:
        super().__init__(*words)
        self._lines = lines

    def search(self, *words: Any, **about: Any) -> Near:
        results, (subset, split) = super().search(*words, **about), (about["hf_subset"], about["hf_split"])
        for query, near in results.items():
            line = TopList(subset=subset, split=split, query=query, documents=[*near], scores=[*near.values()])
            self._lines.append((subset, split, query, line.render()))
        return results


class _Listed(CanonicalModel):
    """Gives lists that were made before, and has no vectors."""

    def __init__(self, lists: Mapping[tuple[str, str], Near], *words: Any) -> None:
        super().__init__(*words)
        self._lists = lists

    def search(self, *_: Any, **about: Any) -> Near:
        lists = self._lists[about["hf_subset"], about["hf_split"]]
        return {query: lists[query] for query in map(str, about["queries"]["id"])}


def kept_lists(dataset: CatalogueEntry, artefact: VectorSetArtefact, result: str, report: Reporter) -> Path:
    """The file with the lists of a vector set, searched in it for the queries of the pinned data; made once.

    `result` is the hex sha256 of its result. Raises RegistryError.
    """
    target, vectors = dataset.root / CACHE / "lists" / f"{result}.jsonl", VectorSet(dataset.root / artefact.file)
    if not target.exists():
        lines: list[tuple[str, str, str, bytes]] = []
        with opened_task(dataset, report) as task:
            score(task, artefact, partial(vectors_of, vectors, artefact), partial(_Recording, lines))
        with atomic_write(target) as file:
            file.writelines(line for *_, line in sorted(lines))
    return target


def result_of_lists(
    dataset: CatalogueEntry, artefact: VectorSetArtefact, lists: Path, stated: OfVectors, report: Reporter
) -> bytes:
    """The result file of a vector set that is not here, made again from its lists and the pinned data.

    What it says of the vector set is as it was said. Raises Refused if they are not of this task, CannotCheck without MTEB.
    """
    read = read_lists(lists)
    try:
        with opened_task(dataset, report) as task:
            scored = score(task, artefact, lambda _: np.empty((0, 0), np.int32), partial(_Listed, read))
    except KeyError as error:
        message = f"it has nothing of the query, or split and subset, {error.args[0]!r} of the task"
        raise Refused.of("malformed", f"{LISTS}{lists.name}", message) from error
    except ValueError as error:
        raise Refused.of("malformed", f"{LISTS}{lists.name}", str(error)) from error
    return result_bytes(artefact, scored, stated.texts, stated.content[7:])


def read_lists(lists: Path) -> dict[tuple[str, str], Near]:
    """The lists of a vector set that is not here, by subset and split. Raises Refused; OSError."""
    read: defaultdict[tuple[str, str], Near] = defaultdict(dict)
    try:
        with BufferedReader(open_regular(lists)) as file:
            for line in iter(lambda: file.readline(Limit.DOCUMENT), b""):
                top = decode_json(line, TopList)
                read[top.subset, top.split][top.query] = dict(zip(top.documents, top.scores, strict=True))
                if line != top.render():
                    raise ValueError(f"the line of {top.query} is not spelled as this program writes it")
    except ValueError as error:
        raise Refused.of("malformed", f"{LISTS}{lists.name}", str(error)) from error
    return dict(read)
