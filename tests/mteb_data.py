"""Repositories of MTEB's datasets, made small: the layouts and columns of the real ones, with a few made-up rows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

Rows = Sequence[Mapping[str, Any]]
WORDS = ["ash", "bark", "cedar", "dune", "elm", "fern", "grove", "heath", "iris", "juniper"]
SPLITS = ("train", "validation", "test")

# The English tasks of MTEB's first benchmark, which the cards of 2022 print, and how the repository of each is laid out today.
TASKS: dict[str, str] = {
    **dict.fromkeys(
        ["AmazonPolarityClassification", "Banking77Classification", "EmotionClassification", "ImdbClassification"], "lines"
    ),
    **dict.fromkeys(["ToxicConversationsClassification", "TweetSentimentExtractionClassification"], "lines"),
    **dict.fromkeys(["AmazonCounterfactualClassification", "AmazonReviewsClassification"], "languages"),
    **dict.fromkeys(["MTOPDomainClassification", "MTOPIntentClassification"], "languages"),
    **dict.fromkeys(["MassiveIntentClassification", "MassiveScenarioClassification"], "one table"),
    **dict.fromkeys(["ArxivClusteringP2P", "ArxivClusteringS2S", "BiorxivClusteringP2P", "BiorxivClusteringS2S"], "zipped"),
    **dict.fromkeys(["MedrxivClusteringP2P", "MedrxivClusteringS2S", "RedditClustering", "RedditClusteringP2P"], "zipped"),
    **dict.fromkeys(["StackExchangeClustering", "StackExchangeClusteringP2P", "TwentyNewsgroupsClustering"], "zipped"),
    **dict.fromkeys(["SprintDuplicateQuestions", "TwitterSemEval2015", "TwitterURLCorpus", "SummEval"], "zipped"),
    **dict.fromkeys(["BIOSSES", "SICK-R", "STS12", "STS13", "STS14", "STS15", "STS16", "STSBenchmark"], "zipped"),
    **dict.fromkeys(["STS17", "STS22"], "languages"),
    **dict.fromkeys(["AskUbuntuDupQuestions", "MindSmallReranking", "SciDocsRR", "StackOverflowDupQuestions"], "parquet"),
    **dict.fromkeys(
        ["ArguAna", "ClimateFEVER", "DBPedia", "FEVER", "FiQA2018", "HotpotQA", "MSMARCO", "NFCorpus"], "retrieval"
    ),
    **dict.fromkeys(["NQ", "QuoraRetrieval", "SCIDOCS", "SciFact", "TRECCOVID", "Touche2020"], "retrieval"),
    **dict.fromkeys(
        [f"CQADupstack{name}Retrieval" for name in ("English", "Gaming", "Gis", "Mathematica", "Physics")], "retrieval"
    ),
    **dict.fromkeys([f"CQADupstack{name}Retrieval" for name in ("Programmers", "Stats", "Tex", "Unix")], "retrieval"),
    **dict.fromkeys([f"CQADupstack{name}Retrieval" for name in ("Webmasters", "Wordpress")], "retrieval"),
    "CQADupstackAndroidRetrieval": "parquet",
}
SUBSETS = {
    **dict.fromkeys([name for name, layout in TASKS.items() if layout in ("languages", "one table")], "en"),
    "STS17": "en-en",
}


def texts(count: int, start: int = 0) -> list[str]:
    """Short texts, all different."""
    return [f"{WORDS[at % 10]} and {WORDS[at // 10 % 10]} {at}" for at in range(start, start + count)]


def lines(rows: Rows, *, zipped: bool = False) -> bytes:
    """Rows as JSON lines."""
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return gzip.compress(content, mtime=0) if zipped else content


def parquet(rows: Rows) -> bytes:
    """Rows as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), file)
    return file.getvalue()


def readme(configs: Mapping[str, Mapping[str, str]]) -> bytes:
    """A card that names the files of each config's splits."""
    listed = [
        {"config_name": name, "data_files": [{"split": split, "path": path} for split, path in splits.items()]}
        for name, splits in configs.items()
    ]
    return f"---\nlicense: cc0-1.0\nconfigs: {json.dumps(listed)}\n---\n# Made up\n".encode()


def repository(task: str, kind: str, layout: str) -> dict[str, bytes]:
    """The files of a task's made-up repository; `kind` is the task's type."""
    if kind in ("Retrieval", "Reranking"):
        return _retrieval(layout, "dev" if task == "MSMARCO" else "test", ranked=kind == "Reranking")
    rows = {split: _rows(kind, at * 40, task) for at, split in enumerate(SPLITS)}
    if layout == "lines":
        return {f"{split}.jsonl": lines(found) for split, found in rows.items()}
    if layout == "zipped":
        name = "json" if kind == "PairClassification" else "jsonl"
        return {f"{split}.{name}.gz": lines(found, zipped=True) for split, found in rows.items()}
    if layout == "one table":
        files = {
            f"data/{split}.jsonl": lines([{**row, "lang": code} for code in ("de", "en") for row in found])
            for split, found in rows.items()
        }
        return {**files, "README.md": readme({"default": {split: f"data/{split}.jsonl" for split in SPLITS}})}
    codes = ("de", SUBSETS[task])
    files = {f"{code}/{split}-00000-of-00001.parquet": parquet(found) for code in codes for split, found in rows.items()}
    return {**files, "README.md": readme({code: {split: f"{code}/{split}-*" for split in SPLITS} for code in codes})}


def _rows(kind: str, start: int, task: str) -> Rows:
    first, second, scale = texts(20, start), texts(20, start + 20), range(20)
    if kind == "STS":
        low, high = {"SICK-R": (1, 5), "STS22": (1, 4), "BIOSSES": (0, 4)}.get(task, (0, 5))
        return [
            {"sentence1": one, "sentence2": two, "score": low + (high - low) * at / 19}
            for one, two, at in zip(first, second, scale, strict=True)
        ]
    if kind == "Classification":
        return [{"text": text, "label": at % 2, "label_text": "ab"[at % 2]} for text, at in zip(first, scale, strict=True)]
    if kind == "Clustering":
        return [{"sentences": some, "labels": [at % 3 for at in scale]} for some in (first, second)]
    if kind == "PairClassification":
        return [{"sent1": first, "sent2": second, "labels": [at % 2 for at in scale]}]
    assert kind == "Summarization"
    return [
        {
            "id": str(at),
            "text": text,
            "human_summaries": second[at : at + 3],
            "machine_summaries": second[at + 3 : at + 9],
            "relevance": [1.0, 2.0, 3.0, 3.5, 4.0, 5.0],
        }
        for at, text in enumerate(first[:4])
    ]


def _retrieval(layout: str, split: str, *, ranked: bool) -> dict[str, bytes]:
    corpus = [{"_id": f"d{at}", "title": f"{WORDS[at % 10]}", "text": text} for at, text in enumerate(texts(30))]
    queries = [{"_id": f"q{at}", "text": text} for at, text in enumerate(texts(8, 7))]
    judged = [
        {"query-id": f"q{at}", "corpus-id": f"d{(at * 3 + more) % 30}", "score": 1 + more} for at in range(6) for more in (0, 1)
    ]
    if layout == "retrieval":
        files = {"corpus.jsonl": lines(corpus), "queries.jsonl": lines(queries), f"qrels/{split}.jsonl": lines(judged)}
        configs = {
            "default": {split: f"qrels/{split}.jsonl"},
            "corpus": {"corpus": "corpus.jsonl"},
            "queries": {"queries": "queries.jsonl"},
        }
        return {**files, "README.md": readme(configs)}
    for row in (*corpus, *queries):
        row["id"] = row.pop("_id")
    parts: dict[str, Rows] = {"data": judged, "corpus": corpus, "queries": queries}
    if ranked:
        parts["top_ranked"] = [
            {"query-id": f"q{at}", "corpus-ids": [f"d{(at * 3 + more) % 30}" for more in range(10)]} for at in range(6)
        ]
    configs = {"default" if part == "data" else part: {"test": f"{part}/test-*"} for part in parts}
    return {
        **{f"{part}/test-00000-of-00001.parquet": parquet(rows) for part, rows in parts.items()},
        "README.md": readme(configs),
    }
