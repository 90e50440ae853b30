"""The retrieval and the reranking set of data/: made of their sources, in the form that MTEB reads, with true ties."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.tools import ROOT

SETS = ("garden-retrieval", "household-reranking")


def rows(name: str, file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ROOT / "data" / name / file).read_text("utf-8").splitlines()]


def test_the_sets_are_those_of_their_sources(tmp_path: Path) -> None:
    runpy.run_path(str(ROOT / "data/source/write_sets.py"))["write_sets"](tmp_path)
    made = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    kept = {
        str(path.relative_to(ROOT / "data")): path.read_bytes() for name in SETS for path in (ROOT / "data" / name).rglob("*.*")
    }
    assert made == kept


@pytest.mark.parametrize("name", SETS)
def test_judgements_and_candidates_are_of_documents_and_queries_that_exist(name: str) -> None:
    documents = {
        row["_id"]: " ".join(f"{row.get('title', '')} {row['text']}".lower().split()) for row in rows(name, "corpus.jsonl")
    }
    queries = {row["_id"] for row in rows(name, "queries.jsonl")}
    judged = [(row["query-id"], row["corpus-id"]) for row in rows(name, "qrels/test.jsonl")]
    assert len(documents) >= 300
    assert len(queries) >= 60
    assert {query for query, _ in judged} == queries
    assert {document for _, document in judged} <= {*documents}
    assert len({*judged}) == len(judged)
    assert {row["query-id"] for row in rows(name, "qrels/test.jsonl") if row["score"] > 0} == queries
    assert len(documents) - len({*documents.values()}) >= 6
    if "rerank" in name:
        listed = {(row["query-id"], document) for row in rows(name, "top_ranked.jsonl") for document in row["corpus-ids"]}
        assert {*judged} <= listed
        assert {document for _, document in listed} <= {*documents}
