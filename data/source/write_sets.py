"""`python data/source/write_sets.py [FOLDER]`: write the retrieval and the reranking set, in MTEB's own form, below data/.

The texts and grades stand in garden.txt and household.txt beside this file, where they are meant to be read and changed.
The same sources give the same bytes: documents are in the order of their sha256, so that the order says nothing of the topic.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).parent
COPIES = {"again": str, "upper": str.upper, "lower": str.lower, "spaced": lambda text: text.replace(" ", "  ")}
OTHERS = 6  # documents of other topics in a query's list of candidates


class Document(NamedTuple):
    """A text with its grades for queries; the topic is the query under which it stands."""

    title: str
    text: str
    topic: str
    grades: Mapping[str, int]


class Topics(NamedTuple):
    """What a source holds: queries by their key, and documents in the order of their digests."""

    queries: dict[str, str]
    documents: list[Document]


def read(path: Path) -> Topics:
    """Read a source; ValueError names the line that is not in its form."""
    queries: dict[str, str] = {}
    documents: list[Document] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        head, *cells = (cell.strip() for cell in line.split(" | "))
        if not line or line.startswith("#"):
            continue
        if line.startswith("? ") and len(cells) == 1 and head[2:] not in queries:
            queries[head[2:]] = cells[0]
        elif (found := re.fullmatch(r"(\d)((?: [\w-]+=\d)*)", head)) and len(cells) in (1, 2):
            topic = [*queries][-1]
            grades = {topic: int(found[1])} | {key: int(grade) for key, grade in (word.split("=") for word in found[2].split())}
            documents.append(Document("" if len(cells) == 1 else cells[0], cells[-1], topic, grades))
        elif line.removeprefix("= ") in COPIES:
            copy = COPIES[line.removeprefix("= ")]
            last = documents[-1]
            documents.append(Document(copy(last.title), copy(last.text), last.topic, {}))
        else:
            raise ValueError(f"{path.name}, line {number}: neither a query, a document nor a copy: {line!r}")
    if unknown := {key for document in documents for key in document.grades} - {*queries}:
        raise ValueError(f"{path.name}: grades for queries that are not there: {', '.join(sorted(unknown))}")
    return Topics(queries, sorted(documents, key=lambda document: hashlib.sha256("\n".join(document[:2]).encode()).hexdigest()))


def words(text: str) -> set[str]:
    """The words of four letters and more, without a final s."""
    return {word.removesuffix("s") for word in re.findall(r"[a-z]{4,}", text.lower())}


def candidates(topics: Topics, key: str) -> list[int]:
    """The documents of a query's own topic and those of others that share most words with it, as numbers, ascending."""
    own = [number for number, document in enumerate(topics.documents) if document.topic == key or key in document.grades]
    query = words(topics.queries[key])
    texts = [words(document.text) for document in topics.documents]
    rest = (number for number in range(len(texts)) if number not in own)
    others = sorted(rest, key=lambda number: (-len(query & texts[number]), number))
    return sorted(own + others[:OTHERS])


def files(name: str, topics: Topics, *, rerank: bool) -> dict[str, str]:
    """The files of a set: README.md, corpus, queries, judgements and, to rerank, candidates."""
    ids = [f"{name}-{number:03d}" for number in range(1, len(topics.documents) + 1)]
    grades = [(key, _id, grade) for _id, one in zip(ids, topics.documents, strict=True) for key, grade in one.grades.items()]
    documents = [
        {"_id": _id} | ({} if rerank else {"title": one.title}) | {"text": one.text}
        for _id, one in zip(ids, topics.documents, strict=True)
    ]
    judgements = [{"query-id": key, "corpus-id": _id, "score": grade} for key, _id, grade in sorted(grades)]
    made = {
        "corpus.jsonl": lines(documents),
        "queries.jsonl": lines({"_id": key, "text": text} for key, text in sorted(topics.queries.items())),
        "qrels/test.jsonl": lines(judgements),
    }
    if rerank:
        found = ((key, [ids[number] for number in candidates(topics, key)]) for key in sorted(topics.queries))
        made["top_ranked.jsonl"] = lines({"query-id": key, "corpus-ids": listed} for key, listed in found)
    return {"README.md": readme(name, topics)} | made


def readme(name: str, topics: Topics) -> str:
    """The dataset's card, with its counts."""
    counted = Counter(grade for document in topics.documents for grade in document.grades.values())
    same = Counter(" ".join(f"{document.title} {document.text}".lower().split()) for document in topics.documents)
    values = {"documents": len(topics.documents), "queries": len(topics.queries), "judgements": counted.total()}
    values |= {f"grade{grade}": number for grade, number in counted.items()}
    return (SOURCE / f"{name}.md").read_text("utf-8").format(copies=(len(topics.documents) - len(same)), **values)


def lines(rows: Iterable[Mapping[str, object]]) -> str:
    """JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_sets(folder: Path) -> None:
    """Write both sets below a folder."""
    for name, kind in (("garden", "retrieval"), ("household", "reranking")):
        for path, text in files(name, read(SOURCE / f"{name}.txt"), rerank=kind == "reranking").items():
            place = folder / f"{name}-{kind}" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, "utf-8")


if __name__ == "__main__":
    write_sets(Path(sys.argv[1]) if sys.argv[1:] else SOURCE.parent)
