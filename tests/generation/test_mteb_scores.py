"""MTEB's own tasks over canonical vectors: one result whatever the threads, batches and blocks; ties by document id."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from aqea_registry.documents.metrics import TRAINED
from aqea_registry.generation.mteb_scores import CanonicalModel, evaluate
from aqea_registry.generation.vector_sets import TaskRun, result_bytes
from aqea_registry.project.artefact import VectorSetArtefact
from aqea_registry.project.lock import Pin, PinnedFile
from aqea_registry.project.params import Dataset, Model
from aqea_registry.vectors.pair_set import Micro, to_grid
from aqea_registry.vectors.scores import metrics, products
from aqea_registry.vectors.vector_set import keys_of
from tests.tools import ROOT, run

SETS = {"garden-retrieval": "MockRetrievalTask", "household-reranking": "MockRerankingTask"}  # with true ties, in data/
SOME = ("household-reranking", "MockRetrievalTask", "MockPairClassificationTask", "MockClusteringTask")


@cache
def tasks() -> dict[str, Any]:
    """MTEB's small tasks about text, of every kind. It is imported here: that takes longer than most of these tests."""
    from mteb.mocks import ALL_MOCK_TASK_TEST_GRID

    found = {task.metadata.name: task for task in ALL_MOCK_TASK_TEST_GRID if task.metadata.modalities == ["text"]}
    assert len(found) == 28
    return {**found, **{name: filled(name, type(found[kind])()) for name, kind in SETS.items()}}


def filled(name: str, task: Any) -> Any:
    """A task of MTEB with a set of data/."""
    folder = ROOT / "data" / name
    parts = {path.stem: [*map(json.loads, path.read_text("utf-8").splitlines())] for path in folder.rglob("*.jsonl")}
    tables = {key: [{"id": row.pop("_id"), **row} for row in parts[key]] for key in ("corpus", "queries")}
    relevant: dict[str, dict[str, int]] = {}
    for row in parts["test"]:
        relevant.setdefault(row["query-id"], {})[row["corpus-id"]] = row["score"]
    top = {row["query-id"]: row["corpus-ids"] for row in parts.get("top_ranked", ())} or None
    columns = {key: table(**{column: [row[column] for row in rows] for column in rows[0]}) for key, rows in tables.items()}
    task.dataset = {"default": {"test": {**columns, "relevant_docs": relevant, "top_ranked": top}}}
    task.data_loaded, task._eval_splits = True, ["test"]
    return task


def table(**columns: list[Any]) -> Any:
    """A dataset as MTEB holds one."""
    from datasets import Dataset

    return Dataset.from_dict(columns)


def vectors_of(texts: Sequence[str]) -> Micro:
    """A canonical vector for each text, of its digest; words that two texts share bring theirs together."""
    seeds = ([list(sha256(word.encode()).digest()) for word in (text, *text.split())] for text in map(str.lower, texts))
    return to_grid(
        np.array([np.sum([np.random.default_rng(seed).normal(size=48) for seed in all_], 0) for all_ in seeds])
    ).micro


def model(block: int = 8192) -> CanonicalModel:
    return CanonicalModel(vectors_of, lambda _, role: f"{role.value}: " if role else "", "own/model", "1" * 40, block=block)


def digest(names: Collection[str], threads: int, block: int) -> str:
    """sha256 of all scores of these tasks."""
    with threadpool_limits(threads):
        scores = {name: evaluate(tasks()[name], model(block)) for name in sorted(names)}
    return sha256(json.dumps(scores, allow_nan=False).encode()).hexdigest()


def test_threads_and_blocks_do_not_show_in_the_scores() -> None:
    assert digest(SOME, 1, 100) == digest(SOME, 2, 8192)


@pytest.mark.rare
def test_all_mock_tasks_have_one_digest_under_six_arrangements() -> None:
    """Another processor's matrix products (a seventh) show in what is trained on the vectors, and in nothing else."""
    arrangements: list[tuple[str, str, dict[str, str]]] = [("1", "8192", {}), ("2", "8192", {}), ("2", "1", {}), ("1", "2", {})]
    arrangements += [(threads, "3", {"ATEN_CPU_CAPABILITY": "default"}) for threads in ("1", "2")]
    arrangements += [("2", "8192", {"OPENBLAS_CORETYPE": "Nehalem"})]
    found = []
    for threads, block, environment in arrangements:
        words = (sys.executable, "-m", "tests.generation.test_mteb_scores", threads, block)
        exact, trained = run(*words, cwd=ROOT, env=environment).out.split()
        found.append((exact, trained))
    assert len(set(found[:6])) == 1
    assert {exact for exact, _ in found} == {found[0][0]}


@pytest.mark.rare
def test_mteb_accepts_the_model_for_every_kind_of_text_task() -> None:
    import mteb

    results = mteb.mock_run(model())
    assert results.all_passed, results.to_markdown()
    assert {name for name, status in results.items() if status} >= tasks().keys() - SETS.keys()


@pytest.mark.parametrize(("name", "trains"), [("MockClusteringTask", True), ("MockSTSTask", False)])
def test_a_task_that_trains_has_one_thread_and_its_vectors_have_all(
    name: str, trains: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, seen = tasks()[name], []

    def watched(called: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            seen.append({pool["num_threads"] for pool in ThreadpoolController().info()})
            return called(*arguments, **options)

        return call

    monkeypatch.setattr(task, "evaluate", watched(task.evaluate))
    with threadpool_limits(2):
        evaluate(task, CanonicalModel(watched(vectors_of), lambda *_: "", "own/model", "1" * 40))
        watched(print)(end="")
    assert seen == [{1} if trains else {2}, *[{2}] * (len(seen) - 1)]
    assert len(seen) > 2


def corpus() -> tuple[Any, dict[str, list[int]]]:
    """Seven documents of which the four in the middle are equally near to the query; the ids are not in order."""
    vectors = {"q": [1_000_000, 0], "near": [960_000, 280_000], "tie": [800_000, 600_000], "far": [0, 1_000_000]}
    texts = ["far", "tie", "tie", "near", "tie", "tie", "far"]
    return table(id=["d7", "d3", "d10", "d1", "d5", "d4", "d2"], text=texts), vectors


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_a_tie_at_the_cut_goes_by_document_id_whatever_the_chunks(chunk: int) -> None:
    documents, vectors = corpus()
    used = CanonicalModel(
        lambda texts: np.array([vectors[text] for text in texts], np.int32), lambda *_: "", "own/model", "1" * 40, block=chunk
    )
    used.index(documents)
    task: Any = tasks()["MockRetrievalTask"]
    queries = table(id=["q1"], text=["q"])
    (found,) = used.search(queries, task_metadata=task.metadata, top_k=3).values()
    assert list(found.items()) == [("d1", 0.96), ("d5", 0.8), ("d4", 0.8)]
    (chosen,) = used.search(queries, task_metadata=task.metadata, top_k=2, top_ranked={"q1": ["d3", "d7", "d10"]}).values()
    assert list(chosen) == ["d3", "d10"]
    assert used.near_ties == 0
    assert len(used.keys) == 4


def test_documents_are_asked_for_in_the_order_of_their_keys() -> None:
    asked: list[str] = []

    def watched(texts: Sequence[str]) -> Micro:
        asked.extend(texts)
        return vectors_of(texts)

    used = CanonicalModel(watched, lambda *_: "", "own/model", "1" * 40, block=7)
    used.index(table(id=[f"d{at}" for at in range(30)], text=[f"text {at}" for at in range(30)]))
    used.search(table(id=["q"], text=["a query"]), task_metadata=tasks()["MockRetrievalTask"].metadata, top_k=5)
    keys = keys_of(asked[1:])
    assert (len(keys), len(used.keys)) == (30, 31)
    assert (keys[:-1] < keys[1:]).all()


def test_candidates_are_asked_for_with_those_of_some_queries_and_need_not_exist() -> None:
    used, asked = model(), [f"q{number}" for number in range(40)]
    used.index(table(id=list("abc"), text=["first text", "second text", "third text"]))
    given = {name: ["c", "a", "c"] for name in asked[:33]}
    queries, metadata = table(id=asked, text=["second query"] * 40), tasks()["MockRerankingTask"].metadata
    found = used.search(queries, task_metadata=metadata, top_k=5, top_ranked=given)
    assert list(found) == asked
    every = used.search(queries, task_metadata=metadata, top_k=5)["q0"]
    assert [found[name] for name in asked] == [{name: every[name] for name in every if name != "b"}] * 33 + [{}] * 7


def retrieval(scores: Mapping[str, float], relevant: str) -> Any:
    from mteb._evaluators.retrieval_metrics import calculate_retrieval_scores

    return calculate_retrieval_scores({"q": dict(scores)}, {"q": {relevant: 1}}, [1, 3])


def test_mteb_orders_ties_by_falling_document_id_and_sees_float32_in_all_but_mrr() -> None:
    """What docs/scores.md says of ties; an MTEB that does otherwise must be known here before it is allowed."""
    for scores in ({"a": 0.5, "b": 0.5}, {"b": 0.5, "a": 0.5}):
        assert retrieval(scores, "b").map["MAP@3"] == retrieval(scores, "b").mrr["MRR@3"] == 1
        assert retrieval(scores, "a").map["MAP@3"] == retrieval(scores, "a").mrr["MRR@3"] == 0.5
    near = {"a": 0.5 + 1e-9, "b": 0.5}
    assert (retrieval(near, "a").map["MAP@3"], retrieval(near, "a").mrr["MRR@3"]) == (0.5, 1)


def test_ties_that_only_float32_makes_are_counted() -> None:
    vectors = {"q": [1_000_000, 0], "a": [999_998, 2000], "b": [999_999, 1414], "c": [999_998, 2000]}
    used = CanonicalModel(lambda texts: np.array([vectors[text] for text in texts], np.int32), lambda *_: "", "m", "1" * 40)
    used.index(table(id=["1", "2", "3"], text=["a", "b", "c"]))
    used.search(table(id=["q"], text=["q"]), task_metadata=tasks()["MockRetrievalTask"].metadata, top_k=9)
    assert used.near_ties == 0
    vectors["b"] = [999_998, 2001]
    used.search(table(id=["q"], text=["q"]), task_metadata=tasks()["MockRetrievalTask"].metadata, top_k=9)
    assert used.near_ties == 1


def test_sts_scores_of_mteb_are_the_exact_ones_but_for_the_last_digits() -> None:
    first = [f"the {noun} is {state}" for noun in ("house", "cat", "boat", "tree") for state in ("old", "red", "big", "wet")]
    second = first[3:] + first[:3]
    first, second = first + second[:5], second + first[:5]  # true ties: the same pairs the other way round
    shared = [len({*one.split()} & {*other.split()}) for one, other in zip(first, second, strict=True)]
    graded = [number / 4 + at % 3 / 8 for at, number in enumerate(shared)]
    task = type(tasks()["MockSTSTask"])()
    task.dataset = {"test": table(sentence1=first, sentence2=second, score=graded)}
    task.data_loaded = True
    scores = evaluate(task, model())["test"]["default"]
    exact = metrics(products([(vectors_of(first), vectors_of(second))]), graded)
    for name in (
        "cosine_pearson",
        "cosine_spearman",
        "euclidean_pearson",
        "euclidean_spearman",
        "manhattan_pearson",
        "manhattan_spearman",
    ):
        assert scores[name] == pytest.approx(getattr(exact, name.replace("cosine", "cos_sim")), rel=1e-14)
    assert scores["spearman"] == scores["main_score"] == scores["cosine_spearman"]


def test_the_result_file_is_canonical_json() -> None:
    files = {"a": PinnedFile(sha256="3" * 64, size=1)}
    pin = Pin(kind="dataset", id="own/data", requested=None, commit="2" * 40, licence=None, resolved_from="hub", files=files)
    model = msgspec.structs.replace(pin, kind="model", id="own/model")
    artefact = VectorSetArtefact(
        key="data-minilm",
        dataset="data",
        model="minilm",
        stem="data_minilm_48d",
        dataset_entry=Dataset(repo="own/data"),
        model_entry=Model(repo="own/model", dimension=48),
        dataset_pin=pin,
        model_pin=model,
        precision="canonical",
    )
    scores = {"test": {"default": {"ndcg_at_10": 0.1 + 0.2, "nauc": None}}}
    text = result_bytes(artefact, TaskRun(keys_of([]), 0, tasks()["MockRetrievalTask"], scores), 4, "4" * 64)
    assert text == (json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n").encode()
    assert json.loads(text) == {
        "schema": "aqea-registry/result/1",
        "task": "MockRetrievalTask",
        "type": "Retrieval",
        "main_score": "ndcg_at_10",
        "dataset": {"name": "data", "id": "own/data", "commit": "2" * 40, "digest": pin.digest()},
        "model": {"name": "minilm", "id": "own/model", "commit": "2" * 40, "digest": pin.digest()},
        "method": {"precision": "canonical", "vectors": 1},
        "vectors": {"texts": 4, "dimension": 48, "content": f"sha256:{'4' * 64}"},
        "scores": {"test": {"default": {"ndcg_at_10": 0.30000000000000004, "nauc": None}}},
    }


if __name__ == "__main__":
    trained = {name for name, task in tasks().items() if task.metadata.type in TRAINED}
    for names in (tasks().keys() - trained, trained):
        print(digest(names, *map(int, sys.argv[1:])))
