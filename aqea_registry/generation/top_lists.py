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
from aqea_registry.vectors.vector_set import keys_of, open_vector_set

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
        found, (subset, split) = super().search(*words, **about), (about["hf_subset"], about["hf_split"])
        for query, near in found.items():
            line = TopList(subset=subset, split=split, query=query, documents=[*near], scores=[*near.values()])
            self._lines.append((subset, split, query, line.render()))
        return found


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
    target, found = dataset.root / CACHE / "lists" / f"{result}.jsonl", open_vector_set(dataset.root / artefact.vectors)
    if not target.exists():
        lines: list[tuple[str, str, str, bytes]] = []
        with opened_task(dataset, report) as task:
            score(task, artefact, lambda texts: found.lookup(keys_of(texts)), partial(_Recording, lines))
        with atomic_write(target) as file:
            file.writelines(line for *_, line in sorted(lines))
    return target


def result_of_lists(
    dataset: CatalogueEntry, artefact: VectorSetArtefact, lists: Path, said: OfVectors, report: Reporter
) -> bytes:
    """The result file of a vector set that is not here, made again from its lists and the pinned data.

    What it says of the vector set is as it was said. Raises Refused if they are not of this task, CannotCheck without MTEB.
    """
    read: defaultdict[tuple[str, str], Near] = defaultdict(dict)
    try:
        with BufferedReader(open_regular(lists)) as file:
            for line in iter(lambda: file.readline(Limit.DOCUMENT), b""):
                found = msgspec.json.decode(line, type=TopList)
                read[found.subset, found.split][found.query] = dict(zip(found.documents, found.scores, strict=True))
                if line != found.render():
                    raise ValueError(f"the line of {found.query} is not spelled as this program writes it")
        with opened_task(dataset, report) as task:
            scored = score(task, artefact, lambda _: np.empty((0, 0), np.int32), partial(_Listed, dict(read)))
    except KeyError as error:
        message = f"it has nothing of the query, or split and subset, {error.args[0]!r} of the task"
        raise Refused.of("malformed", f"{LISTS}{lists.name}", message) from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Refused.of("malformed", f"{LISTS}{lists.name}", str(error)) from error
    return result_bytes(artefact, scored, said.texts, said.content[7:])
