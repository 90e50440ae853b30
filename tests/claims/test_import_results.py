"""Result files of MTEB, as its versions wrote them, are imported without loss, each bound to the revisions that it names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.claims.import_claims import import_claims
from aqea_registry.claims.ledger import Evaluation, read_ledgers
from aqea_registry.project.project import open_project
from tests.growth import assert_linear

DATA, MODEL = "d" * 40, "e" * 40
SIMILARITIES = ("cos_sim", "euclidean", "manhattan")
RANKED = {f"{name}_at_{k}": 0.125 for name in ("ndcg", "map", "recall", "precision", "mrr") for k in (1, 10)}
PAIRED = {name: {"accuracy": 0.5, "accuracy_threshold": 0.75, "ap": 0.25} for name in (*SIMILARITIES, "dot")}
RUNS = [{"accuracy": 0.5, "f1": 0.25}, {"accuracy": 0.75, "f1": 0.5}]


def first(task: str, **splits: Any) -> dict[str, Any]:
    return {"mteb_dataset_name": task, "mteb_version": "1.0.2", "dataset_revision": DATA, **splits}


def second(task: str, version: str = "2.26.24", **splits: list[dict[str, Any]]) -> dict[str, Any]:
    scores = {
        name: [{"hf_subset": "default", "languages": ["eng-Latn"], **part} for part in parts] for name, parts in splits.items()
    }
    written = {"evaluation_time": 12.5, "kg_co2_emissions": None, "date": 1.5e9}
    return {"task_name": task, "mteb_version": version, "dataset_revision": DATA, "scores": scores, **written}


# Each file, and how many numbers it prints.
FILES: list[tuple[dict[str, Any], int]] = [
    (first("STS12", test={name: {"pearson": 0.5, "spearman": 0.25} for name in SIMILARITIES} | {"evaluation_time": 3.5}), 6),
    (first("NFCorpus", test=RANKED | {"evaluation_time": 2}), 10),
    (first("MSMARCO", dev=RANKED, test=RANKED), 20),
    (first("SprintDuplicateQuestions", test=PAIRED | {"max": {"accuracy": 0.5, "ap": 0.25}}, validation=PAIRED), 26),
    (first("SciDocsRR", test={"map": 0.5, "mrr": 0.75}), 2),
    (first("Banking77Classification", test={"accuracy": 0.5, "accuracy_stderr": 0.0625, "f1": 0.25, "main_score": 0.5}), 4),
    (
        first(
            "MassiveIntentClassification",
            test={"de": {"accuracy": 0.5, "f1": 0.25}, "en": {"accuracy": 0.5}, "evaluation_time": 1},
        ),
        3,
    ),
    (first("BUCC", test={"de-en": {"accuracy": 0.9, "f1": 0.8, "precision": 0.7, "recall": 0.6}}), 4),
    (first("ArxivClusteringP2P", test={"v_measure": 0.5, "v_measure_std": 0.125, "v_measures": {"Level 0": [0.5, 0.25]}}), 4),
    (first("SummEval", test={"cos_sim": {"pearson": 0.5, "spearman": 0.25}, "dot": {"pearson": 0.5, "spearman": 0.25}}), 4),
    (second("STS12", test=[{"pearson": 0.5, "cosine_pearson": 0.5, "cosine_spearman": 0.25, "main_score": 0.25}]), 4),
    (second("NFCorpus", test=[RANKED | {"nauc_ndcg_at_10_max": -0.5, "main_score": 0.125}]), 12),
    (
        second("STS17", test=[{"hf_subset": s, "main_score": 0.5} for s in ("en-en", "ko-ko")], validation=[{"main_score": 1}]),
        3,
    ),
    (
        second(
            "Banking77Classification", "1.12.41", test=[{"accuracy": 0.625, "scores_per_experiment": RUNS, "main_score": 0.625}]
        ),
        6,
    ),
    (
        second(
            "BigPatentClustering.v2", "1.38.1", test=[{"v_measure": 0.5, "v_measures": {"Level 0": [0.5], "Level 1": [0.25]}}]
        ),
        3,
    ),
    (second("AskUbuntuDupQuestions", test=[{"map_at_1000": 0.5, "mrr_at_1000": 0.5, "main_score": 0.5}]), 3),
    (
        second(
            "TwitterURLCorpus", test=[{f"{s}_ap": 0.5 for s in ("similarity", "cosine", "dot", "max")} | {"main_score": 0.5}]
        ),
        5,
    ),
    (second("Core17InstructionRetrieval", test=[{"p-MRR": -0.0625, "og": {"ndcg_at_5": 0.5}, "main_score": -0.0625}]), 3),
    (
        second(
            "Tatoeba", test=[{"hf_subset": "deu-eng", "f1": 0.5, "mteb_version": "2.1.0"}, {"hf_subset": "fra-eng", "f1": 1.0}]
        ),
        2,
    ),
    (second("TenKGnadClassification", test=[{"accuracy": 5e-05, "lrap": None, "f1": 1e-1}]), 2),
]


def place(root: Path, value: dict[str, Any], name: str = "org__m", revision: str = MODEL, meta: Any = None) -> Path:
    folder = root / "results" / name / revision
    folder.mkdir(parents=True, exist_ok=True)
    if meta is not None:
        (folder / "model_meta.json").write_text(json.dumps(meta))
    path = folder / f"{value.get('task_name') or value['mteb_dataset_name']}.json"
    path.write_text(json.dumps(value, indent=2))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text("datasets: {}\nmodels: {}\nruns: {default: {}}\nrun: {}\n")
    return tmp_path


@pytest.mark.parametrize(("value", "numbers"), FILES, ids=lambda value: str(value)[:60] if isinstance(value, dict) else "")
def test_every_number_of_a_result_file_is_a_claim(root: Path, value: dict[str, Any], numbers: int) -> None:
    done = import_claims(open_project(root), place(root, value), into="r")
    assert (done.imported, done.claims, done.left_out, done.findings) == (numbers, numbers, (), ())
    ledger = read_ledgers(root)[0]["r"]
    task = value.get("task_name") or value["mteb_dataset_name"]
    assert {(r.dataset, r.revision, r.model, r.model_revision) for r in ledger.results.values()} == {
        (task, DATA, "org/m", MODEL)
    }
    printed = {float(claim.value or "") for claim in ledger.claims}
    assert printed == {
        number for number in _numbers(value.get("scores", value)) if number not in (3.5, 2, 1) or number in printed
    }
    assert {claim.measured is not None or claim.derived is not None for claim in ledger.claims} == {True}


def _numbers(value: Any) -> set[float]:
    if isinstance(value, dict):
        return set().union(*map(_numbers, value.values()))
    if isinstance(value, list):
        return set().union(*map(_numbers, value))
    return {float(value)} if isinstance(value, int | float) else set()


def test_splits_subsets_and_versions_stay_apart(root: Path) -> None:
    value = second(
        "Tatoeba", "2.1.0-2.26.24", test=[{"hf_subset": "de", "f1": 0.5, "mteb_version": "2.1.0"}, {"hf_subset": "fr", "f1": 1}]
    )
    import_claims(open_project(root), place(root, value), into="r")
    results = read_ledgers(root)[0]["r"].results
    of = {"dataset": "Tatoeba", "model": "org/m", "split": "test", "revision": DATA, "model_revision": MODEL}
    assert results == {
        "tatoeba-de": Evaluation(**of, config="de", mteb="2.1.0"),
        "tatoeba-fr": Evaluation(**of, config="fr", mteb="2.1.0-2.26.24"),
    }


def test_the_model_is_that_of_model_meta_else_of_the_folder(root: Path) -> None:
    value, project = second("STS12", test=[{"main_score": 0.5}]), open_project(root)
    import_claims(project, place(root, value, revision="no_revision_available"), into="a")
    import_claims(project, place(root, value, "x", "y", {"name": "org/n", "revision": MODEL}), into="b")
    import_claims(project, place(root, value, "org__o", meta=["?"]), into="c")
    named = {
        name: (r.model, r.model_revision) for name, ledger in read_ledgers(root)[0].items() for r in ledger.results.values()
    }
    assert named == {"a": ("org/m", None), "b": ("org/n", MODEL), "c": ("org/o", MODEL)}
    with pytest.raises(BadConfiguration, match=r"of org/n; STS12\.json is of org/o") as raised:
        import_claims(project, place(root, value, "org__o"), into="b")
    assert "--into" in (raised.value.hint or "")
    assert import_claims(project, place(root, value, "x", "y"), into="b").changed == ()


def test_a_metric_without_a_value_is_left_out_and_no_fault(root: Path) -> None:
    done = import_claims(
        open_project(root), place(root, second("FiQA2018", test=[{"nauc_map_at_1": float("nan"), "main_score": 0.5}]))
    )
    assert (done.imported, done.seen, done.findings, [left.text for left in done.left_out]) == (1, 2, (), ["NaN"])


def listed(root: Path, numbers: int, into: str) -> Callable[[], object]:
    path, project = place(root, second("T", test=[{"runs": [0.5] * numbers}]), into), open_project(root)
    return lambda: import_claims(project, path, into=f"{into}{numbers}")


def test_an_import_grows_with_what_it_reads_up_to_a_limit(root: Path) -> None:
    assert_linear(lambda n: listed(root, n, f"x{n}"), 2500)
    with pytest.raises(BadConfiguration, match="more than 20000 numbers"):
        listed(root, 20_001, "y")()
