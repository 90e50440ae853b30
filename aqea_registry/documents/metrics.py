"""Metrics as the field's programs call them, and in which unit these programs write a model-index. Pure.

>>> {metric_name(name) for name in ("cos_sim_spearman", "cosine_spearman", "spearman_cosine", "Spearman Cosine")}
{'cos_sim_spearman'}
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

SIMILARITIES = {
    **dict.fromkeys(("cos_sim", "cosine", "cos", "cosine_similarity", "cosine_sim"), "cos_sim"),
    **dict.fromkeys(("dot", "dot_score", "dot_product", "dot_sim"), "dot"),
    **dict.fromkeys(("euclidean", "euclidean_distance", "euclidean_dist", "euclidean_similarity"), "euclidean"),
    **dict.fromkeys(("manhattan", "manhattan_distance", "manhattan_dist", "manhattan_similarity"), "manhattan"),
    "max": "max",
}
_STATISTICS = {"spearmanr": "spearman", "pearsonr": "pearson", "average_precision": "ap"} | {
    f"{name}_{word}": name for name in ("spearman", "pearson") for word in ("correlation", "corr", "rho", "r")
}
_SPELLED = "|".join(sorted(SIMILARITIES, key=len, reverse=True))
_BEFORE, _BEHIND = re.compile(rf"({_SPELLED})_(.+)"), re.compile(rf"(.+?)_({_SPELLED})")

# What MTEB calls a score of sentence pairs beside the six, by the similarity of the model, which is the cosine.
OF_PAIRS = {"main_score": "cos_sim_spearman", "spearman": "cos_sim_spearman", "pearson": "cos_sim_pearson"}
# Reranking had no cut, and is ranked now as a retrieval of a thousand.
EARLIER = {"map": "map_at_1000", "mrr": "mrr_at_1000"}
# Types of MTEB's tasks that train something: their scores are the same under one version of the libraries alone.
TRAINED = frozenset({"Classification", "Clustering", "MultilabelClassification", "Regression"})
# Those whose scores follow from the nearest documents of each query alone.
RANKED = frozenset({"Retrieval", "Reranking", "InstructionRetrieval", "InstructionReranking"})

_METRICS = """accuracy acc f1 precision recall ap map mrr ndcg auc auroc auprc hit hits spearman pearson kendall cosine bleu
rouge chrf meteor bertscore comet em nmi ari mcc"""
_SCORES = "score scores average avg mean points"
_OTHERS = """param params parameter parameters size dim dims dimension dimensions dimensionality tokens pairs samples tuples
examples count counts number time latency speed throughput memory ram epoch epochs step steps loss learning lr batch layers
length len price cost flops gflops qps vocab vocabulary year version seed temperature threshold"""
# Words of a label: METRICS make it that of a score, SCORES too but for totals, OTHERS that of something else.
METRICS, SCORES, OTHERS = (frozenset(words.split()) for words in (_METRICS, f"{_METRICS} {_SCORES}", _OTHERS))

# The evaluators of sentence-transformers write fractions, MTEB writes a model-index in percent.
_TRAINED = re.compile(
    r"(?:cross-encoder|sparse|nano|multi-?vector)-.+|semantic-similarity|information-retrieval|binary-classification|triplet"
    r"|paraphrase-mining|translation|reranking|label-accuracy|knowledge-distillation|late-interaction.*"
)
_REVERSED = re.compile(
    r"(?:pearson|spearman)_(?:cosine|dot|euclidean|manhattan|max)|(?:cosine|dot|euclidean|manhattan|max)_.+@\d+"
)
_MTEB = """STS Retrieval Classification MultilabelClassification Clustering PairClassification Reranking Summarization
BitextMining InstructionRetrieval InstructionReranking Any2AnyRetrieval VisualSTS"""
_NO_SCORE = re.compile(r".*(?:threshold|active_dims|mse|mae|loss|perplexity|_time|num_samples)")


def metric_name(text: str) -> str:
    """The one name of a metric: MTEB's first, `cos_sim_spearman`, `ndcg_at_10`, in small letters."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower().replace("@", "_at_")).strip("_")
    if match := _BEFORE.fullmatch(name):
        similarity, statistic = match.groups()
    elif match := _BEHIND.fullmatch(name):
        statistic, similarity = match.groups()
    else:
        return _STATISTICS.get(name, name)
    return f"{SIMILARITIES[similarity]}_{_STATISTICS.get(statistic, statistic)}"


def is_score(metric: str) -> bool:
    """Whether a metric has a scale from 0 to 1, or -1 to 1; a threshold, a loss and a time have none."""
    return not _NO_SCORE.fullmatch(metric_name(metric))


def written_in(task: str, dataset: str, name: str, metrics: Iterable[str]) -> Literal["percent", "fraction"] | None:
    """The unit of a result of a model-index where its program is known by task, dataset or names of metrics."""
    if _TRAINED.fullmatch(task) or any(map(_REVERSED.fullmatch, metrics)):
        return "fraction"
    return "percent" if task in _MTEB.split() or name.startswith("MTEB ") or dataset.startswith("mteb/") else None


def _words(label: str) -> set[str]:
    return set(re.findall(r"[a-z][a-z0-9]*", label.lower()))


def names_metric(label: str) -> bool:
    """Whether the label of a row or column names a metric."""
    return not METRICS.isdisjoint(_words(label))


def names_score(label: str) -> bool:
    """Whether the label names a score, by a metric or as one, and nothing else."""
    return not SCORES.isdisjoint(_words(label)) and not names_other(label)


def names_other(label: str) -> bool:
    """Whether the label names something that is not a score: a size, a time, a setting."""
    return not OTHERS.isdisjoint(_words(label))
