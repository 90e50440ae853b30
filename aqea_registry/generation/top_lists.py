"""The nearest documents of each query, with their cosines: what a release has of a vector set that is too large for it.

JSON lines, one a query, sorted by subset, split and query, in one spelling (sorted keys, no spaces, shortest numbers): the same
bytes on every machine. They are as long as the task takes them, 1,000 of MTEB's own. From them and the judgements MTEB computes
the scores of retrieval and reranking; that they are those of the vectors, only the vectors show.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from aqea_registry.base.files import Limit, atomic_write, open_regular
from aqea_registry.base.findings import Refused
from aqea_registry.base.progress import Reporter
from aqea_registry.generation.mteb_model import CanonicalModel
from aqea_registry.generation.vector_sets import opened_task, result_bytes, score
from aqea_registry.project.artefact import LISTS, CatalogueEntry, OfVectors, VectorSetArtefact
from aqea_registry.project.project import CACHE
from aqea_registry.vectors.pair_set import Malformed
from aqea_registry.vectors.vector_set import keys_of, open_vector_set

Lists = Mapping[tuple[str, str], Mapping[str, dict[str, float]]]  # by subset and split: query to documents, the nearest first


class TopList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The nearest documents of a query, the nearest first."""

    subset: str
    split: str
    query: str
    documents: list[str]
    scores: list[float]

    def render(self) -> bytes:
        """Its line."""
        text = json.dumps(msgspec.to_builtins(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return f"{text}\n".encode()


class _Recording(CanonicalModel):
    """Keeps what each search gives, by subset, split and query."""

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self.lines: dict[tuple[str, str, str], bytes] = {}

    def search(self, *words: Any, **about: Any) -> dict[str, dict[str, float]]:
        found, (subset, split) = super().search(*words, **about), (about["hf_subset"], about["hf_split"])
        for query, near in found.items():
            line = TopList(subset=subset, split=split, query=query, documents=[*near], scores=[*near.values()])
            self.lines[subset, split, query] = line.render()
        return found


class _Listed(CanonicalModel):
    """Gives lists that were made before, and has no vectors."""

    def __init__(self, lists: Lists, *words: Any) -> None:
        super().__init__(*words)
        self.left = dict(lists)

    def search(self, *_: Any, **about: Any) -> dict[str, dict[str, float]]:
        place, asked = (about["hf_subset"], about["hf_split"]), [*map(str, about["queries"]["id"])]
        top_ranked, there, lists = about["top_ranked"], {*map(str, self._corpus["id"])}, self.left.pop(place, {})
        if {*asked} != lists.keys():
            raise Malformed(f"{', '.join(place)}: its queries are not those of the task")
        for query in asked:
            if foreign := lists[query].keys() - (there if top_ranked is None else {*top_ranked.get(query, ())}):
                raise Malformed(f"{query}: the task does not have the document {min(foreign)} for it")
        return {query: lists[query] for query in asked}


def kept_lists(dataset: CatalogueEntry, artefact: VectorSetArtefact, result: str, report: Reporter) -> Path:
    """The file with the lists of a vector set, searched in it for the queries of the pinned data; made once.

    `result` is the hex sha256 of its result. Raises RegistryError.
    """
    target, found = dataset.root / CACHE / "lists" / f"{result}.jsonl", open_vector_set(dataset.root / artefact.vectors)
    if not target.exists():
        with opened_task(dataset, report) as task:
            scored = score(task, artefact, lambda texts: found.lookup(keys_of(texts)), _Recording)
        with atomic_write(target) as file:
            file.writelines(line for _, line in sorted(scored.model.lines.items()))
    return target


def result_of_lists(
    dataset: CatalogueEntry, artefact: VectorSetArtefact, lists: Path, said: OfVectors, report: Reporter
) -> bytes:
    """The result file of a vector set that is not here, made again from its lists and the pinned data.

    What it says of the vector set is as it was said. Raises Refused if they are not of this task, CannotCheck without MTEB.
    """
    try:
        kind = partial(_Listed, _read(lists))
        with opened_task(dataset, report) as task:
            scored = score(task, artefact, lambda _: np.empty((0, 0), np.int32), kind)
        if scored.model.left:
            raise Malformed(f"the task has nothing of {', '.join(min(scored.model.left))}")
    except Malformed as error:
        raise Refused.of(error.code, f"{LISTS}{lists.name}", str(error)) from error
    return result_bytes(artefact, scored, said.texts, said.content[7:])


def _read(path: Path) -> Lists:
    """The lists in a file. Raises Malformed for what `kept_lists` does not write."""
    lists: defaultdict[tuple[str, str], dict[str, dict[str, float]]] = defaultdict(dict)
    with BufferedReader(open_regular(path)) as file:
        for number, line in enumerate(iter(lambda: file.readline(Limit.DOCUMENT), b""), 1):
            try:
                found = msgspec.json.decode(line, type=TopList)
                near = dict(zip(found.documents, found.scores, strict=True))
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                raise Malformed(f"line {number}: {error}") from error
            if line != found.render():
                raise Malformed(f"line {number} is not spelled as this program writes it", "not-canonical")
            lists[found.subset, found.split][found.query] = near
    return lists
