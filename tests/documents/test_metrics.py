"""Names of metrics by all their writers, and the unit in which a writer prints a model-index."""

from __future__ import annotations

import pytest

from aqea_registry.documents.metrics import is_score, metric_name, written_in

SPELLED = {
    "cos_sim_spearman": [
        "cosine_spearman",
        "spearman_cosine",
        "Spearman Cosine",
        "cos_sim.spearman",
        "cosine-similarity spearmanr",
    ],
    "euclidean_pearson": ["pearson_euclidean", "Pearson Euclidean", "euclidean_distance_pearson"],
    "manhattan_spearman": ["spearman_manhattan", "manhattan spearman correlation"],
    "dot_ap": ["dot_score_ap", "ap_dot", "dot_average_precision"],
    "max_accuracy": ["accuracy_max"],
    "cos_sim_ndcg_at_10": ["cosine_ndcg@10"],
    "ndcg_at_10": ["nDCG@10"],
    "spearman": ["Spearman", "spearmanr"],
    "euclidean": ["Euclidean"],
}


@pytest.mark.parametrize("name", SPELLED)
def test_a_metric_has_one_name_for_all_writers(name: str) -> None:
    assert {metric_name(text) for text in (name, *SPELLED[name])} == {name}


def test_what_a_threshold_or_a_loss_says_is_not_a_score() -> None:
    assert [name for name in ("cosine_ap", "dot_f1_threshold", "negative_mse", "query_active_dims") if is_score(name)] == [
        "cosine_ap"
    ]


@pytest.mark.parametrize(
    ("task", "dataset", "name", "metric", "unit"),
    [
        ("semantic-similarity", "sts-dev", "sts dev", "pearson", "fraction"),
        ("information-retrieval", "unknown", "Unknown", "cosine_accuracy@1", "fraction"),
        ("cross-encoder-reranking", "x", "x", "map", "fraction"),
        ("other", "x", "x", "spearman_manhattan", "fraction"),
        ("STS", "mteb/sts12-sts", "MTEB STS12", "cosine_spearman", "percent"),
        ("Reranking", "x", "x", "map", "percent"),
        ("other", "org/x", "MTEB X", "map", "percent"),
        ("text-classification", "glue", "GLUE", "accuracy", None),
    ],
)
def test_the_unit_is_that_of_the_writer_or_not_known(task: str, dataset: str, name: str, metric: str, unit: str | None) -> None:
    assert written_in(task, dataset, name, [metric]) == unit
