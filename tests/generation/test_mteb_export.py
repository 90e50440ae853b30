"""What `export --format mteb` writes, mteb reads: its cache finds the results, with every digit and the revisions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from aqea_registry.claims.import_claims import import_claims
from aqea_registry.claims.ledger import read_ledgers
from aqea_registry.documents.metrics import EARLIER, metric_name
from aqea_registry.generation.mteb_scores import evaluate
from aqea_registry.project.artefact import OfVectors, TaskScores
from aqea_registry.project.lock import LOCK, render_lock
from aqea_registry.project.params import Group
from aqea_registry.project.project import open_project
from tests.claims.small_run import COMMIT, make_run
from tests.claims.test_results import A, M, project_with_results
from tests.generation.test_mteb_scores import model, tasks
from tests.tools import ROOT, aqea


def test_the_cache_of_mteb_loads_what_is_exported(tmp_path: Path) -> None:
    import mteb

    root, pairs = project_with_results(tmp_path / "results"), tmp_path / "pairs"
    scores = make_run(pairs)
    text = (
        (pairs / "params.yaml")
        .read_text()
        .replace("kind: directory\n    repo: news", f"repo: mteb/sts12-sts\n    revision: {A}")
    )
    (pairs / "params.yaml").write_text(text)
    lock, own = open_project(pairs).lock, {"kind": "directory", "id": "forum", "requested": None, "commit": None}
    pins: dict[str, dict[str, Any]] = {"forum": own, "news": {"id": "mteb/sts12-sts"}, "minilm": {"id": "org/all-minilm-v2"}}
    for name, fields in pins.items():
        group: Group = "models" if name == "minilm" else "datasets"
        lock = lock.with_pin(group, name, replace(getattr(lock, group)[name], **fields))
    (pairs / LOCK).write_bytes(render_lock(lock))
    path = aqea("export", "metrics/nf-toy.json", "--format", "mteb", "--json", cwd=root).json()["path"]
    assert path == f"results/org__toy/{M}/NFCorpus.json"
    for name in ("training/data/forum_minilm_8d_pairs.json", "metrics/news-minilm.json"):
        assert aqea("export", name, "--format", "mteb", cwd=pairs).status == 0
    [retrieval] = mteb.ResultCache(root).load_results().model_results
    assert (retrieval.model_name, retrieval.model_revision) == ("org/toy", M)
    [found] = retrieval.task_results
    assert (found.task_name, found.dataset_revision, found.get_score()) == ("NFCorpus", A, 0.31594)
    cache = mteb.ResultCache(pairs)
    for task, key in (("forum", "forum-minilm"), ("STS12", "news-minilm")):
        loaded = cache.load_task_result(task, "org/all-minilm-v2", COMMIT)
        assert loaded is not None
        assert 100 * loaded.scores["test"][0]["cosine_spearman"] == scores[key]["cos_sim_spearman"]
        assert loaded.get_score() == loaded.scores["test"][0]["spearman"]
    # And it is imported as any result file, bound to what it was exported from.
    done = import_claims(open_project(root), root / path, into="again")
    assert (done.imported, done.findings) == (4, ())
    assert {r.model_revision for r in read_ledgers(root)[0]["again"].results.values()} == {M}
    states = {verdict["state"] for verdict in aqea("claims", "check", "again", "--json", cwd=root).json()["verdicts"]}
    assert states == {"holds"}


@pytest.mark.parametrize("name", ["metrics/nf.json", "nf-toy", "params.yaml"])
def test_another_file_is_refused_with_what_there_is(tmp_path: Path, name: str) -> None:
    done = aqea("export", name, "--format", "mteb", "--json", cwd=project_with_results(tmp_path))
    assert done.status == 2 and "nf_toy_8d_vectors.parquet" in json.loads(done.out)["error"]["message"]


def test_each_metric_that_the_cards_print_is_one_that_mteb_gives_a_task_of_its_type() -> None:
    printed: dict[str, set[str]] = {}
    for ledger in read_ledgers(ROOT / "examples/model-cards")[0].values():
        for claim in ledger.claims:
            if claim.measured is not None:
                kind = str(ledger.results[claim.measured.result].task)
                printed.setdefault(kind, set()).add(metric_name(claim.measured.metric))
    kinds = {"Classification", "Clustering", "PairClassification", "Reranking", "Retrieval", "STS", "Summarization"}
    assert printed.keys() == kinds
    for kind, names in printed.items():
        scores = evaluate(tasks()[f"Mock{kind}Task"], model())
        empty: dict[str, str | None] = {}
        of: dict[str, Any] = {"task": kind, "type": kind, "main_score": "", "dataset": empty, "model": empty}
        vectors = OfVectors(texts=1, dimension=48, content="")
        result = TaskScores(schema="aqea-registry/result/1", **of, vectors=vectors, scores=scores)
        given = {metric_name(name) for _, _, numbers in result.parts() for name in numbers}
        assert {name for name in names if name not in given and EARLIER.get(name) not in given} == set(), kind
