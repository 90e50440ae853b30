"""A card's tables against its own model-index: the same dataset and metric by their names, whatever the unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import pytest

from aqea_registry.claims.ledger import At, Claim, Evaluation, Measurement, Quotation
from aqea_registry.claims.relations import DraftedTable
from aqea_registry.claims.repeats import relate
from aqea_registry.documents.numbers import Unit
from tests.growth import assert_linear

INDEX: Mapping[str, tuple[str, dict[str, str]]] = {
    "parkbench": ("STS", {"cos_sim_pearson": "81.4077", "cos_sim_spearman": "80.1194"}),
    "law-forum": ("Retrieval", {"map_at_1": "31.205", "ndcg_at_10": "48.213"}),
    "ships": ("Retrieval", {"map_at_1": "27.918", "ndcg_at_10": "43.087"}),
    "tickets-en": ("Classification", {"accuracy": "71.04"}),
}


def index(
    unit: Unit = "percent", rows: Mapping[str, tuple[str, dict[str, str]]] = INDEX
) -> tuple[list[Claim], dict[str, Evaluation]]:
    claims = [
        Claim(
            id=f"{key}.{metric}",
            value=str(round(float(value) / 100, 6)) if unit == "fraction" else value,
            unit=unit,
            at=At(path="model-index/0", line=1),
            measured=Measurement(result=key, metric=metric),
        )
        for key, (_, metrics) in rows.items()
        for metric, value in metrics.items()
    ]
    results = {key: Evaluation(dataset=f"org/{key}", model="org/juniper-base", task=task) for key, (task, _) in rows.items()}
    return claims, results


def table(text: str, unit: Unit = "percent", name: str = "Results") -> DraftedTable:
    """A table of lines whose cells are parted by bars; ids are `t.ROW.COLUMN` by number."""
    head, *rows = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    cells = {(r, c): value for r, row in enumerate(rows) for c, value in enumerate(row[1:], 1) if value[:1].isdigit()}
    claims = {(r, c): Claim(id=f"t.{r}.{c}", value=value, unit=unit, at=At(line=r + 1)) for (r, c), value in cells.items()}
    return DraftedTable(name, [row[0] for row in rows], head, claims)


MODELS = """
model        | Park Bench | Law forum | SHIPS | Tickets (en)
juniper-base | 80.12      | 48.21     | {}    | 71.0
other        | 70.00      | 40.00     | 43.09 | 71.0
"""
MAIN = {
    "t.0.1": "parkbench.cos_sim_spearman",
    "t.0.2": "law-forum.ndcg_at_10",
    "t.0.3": "ships.ndcg_at_10",
    "t.0.4": "tickets-en.accuracy",
}


@pytest.mark.parametrize("cell", ["43.09", "34.09"])
def test_the_row_of_the_cards_model_quotes_the_main_scores_also_where_one_differs(cell: str) -> None:
    found = relate(*index(), [table(MODELS.format(cell))])
    assert (found.quoted, found.derived, found.notes) == (MAIN, {}, [])


@pytest.mark.parametrize("name", ["juniper-base (ours)", "Juniper-base [this model]", "Ours"])
def test_the_cards_model_may_be_called_ours(name: str) -> None:
    found = relate(*index(), [table(MODELS.format("34.09").replace("juniper-base", name))])
    assert found.quoted == MAIN
    assert relate(*index(), [table(MODELS.format("43.09").replace("juniper-base", f"{name} large"))]).quoted == {}


def test_where_two_of_four_differ_nothing_is_bound() -> None:
    found = relate(*index(), [table(MODELS.format("34.09").replace("80.12", "79.12"))])
    assert (found.quoted, found.derived) == ({}, {})
    assert found.notes == [
        "Results: 2 of 4 cells are as the model-index has them, too few to bind them; bind by hand what should be"
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("dataset | map@1 | nDCG@10\nLaw Forum | 31.2 | 48.2\nships | 27.9 | 43.1", "Results"),
        ("metric | law-forum | ships\nMAP@1 | 31.2 | 27.9\nndcg_at_10 | 48.2 | 43.1", "Results"),
    ],
)
def test_datasets_beside_metrics_in_either_direction(text: str, name: str) -> None:
    found = relate(*index(), [table(text, name=name)])
    assert sorted(found.quoted.values()) == ["law-forum.map_at_1", "law-forum.ndcg_at_10", "ships.map_at_1", "ships.ndcg_at_10"]


def test_the_cards_model_may_be_named_beside_the_metric() -> None:
    head = "dataset | Juniper-base map@1 | juniper-base-2 nDCG@10"
    found = relate(*index(), [table(f"{head}\nLaw Forum | 31.2 | 48.2\nships | 27.9 | 43.1")])
    assert found.quoted == {"t.0.1": "law-forum.map_at_1", "t.1.1": "ships.map_at_1"}


@pytest.mark.parametrize("metric", ["Cosine Pearson", "pearson_cosine", "Pearson"])
def test_the_dataset_or_the_metric_may_be_in_the_name_of_the_table(metric: str) -> None:
    found = relate(*index(), [table(f"Metric | Value\n{metric} | 81.41", name="Similarity: Dataset: park-bench")])
    assert found.quoted == {"t.0.1": "parkbench.cos_sim_pearson"}
    found = relate(*index(), [table("model | parkbench\njuniper base | 81.41", name=f"Scores: {metric}")])
    assert found.quoted == {"t.0.1": "parkbench.cos_sim_pearson"}


@pytest.mark.parametrize(
    ("of_index", "of_table", "values", "bound"),
    [
        ("percent", "number", ("80.12", "43.09"), "quoted"),
        ("fraction", "number", ("0.8012", "0.4309"), "quoted"),
        ("fraction", "percent", ("80.12", "43.09"), "percent([{}])"),
        ("percent", "fraction", ("0.8012", "0.4309"), "fraction([{}])"),
        ("fraction", "number", ("80.12", "43.09"), None),
    ],
)
def test_units_are_converted_and_not_guessed(
    of_index: Unit, of_table: Unit, values: tuple[str, str], bound: str | None
) -> None:
    text = "model | parkbench | ships\njuniper-base | {} | {}".format(*values)
    found = relate(*index(of_index), [table(text, of_table)])
    sources = {"t.0.1": "parkbench.cos_sim_spearman", "t.0.2": "ships.ndcg_at_10"}
    assert found.quoted == (sources if bound == "quoted" else {})
    assert found.derived == ({own: bound.format(one) for own, one in sources.items()} if bound and bound != "quoted" else {})


@pytest.mark.parametrize("of_table", ["number", "percent"])
def test_a_factor_of_100_is_said_and_not_healed(of_table: Unit) -> None:
    """A model-index of fractions that is taken for percent, or beside numbers of which nothing says that they are percent."""
    claims, results = index("fraction")
    claims = [msgspec.structs.replace(claim, unit="percent") for claim in claims] if of_table == "percent" else claims
    found = relate(claims, results, [table("model | parkbench | ships\njuniper-base | 80.12 | 43.09", of_table)])
    assert (found.quoted, found.derived) == ({}, {})
    assert found.notes == [
        "Results: the cells are 100 times what the model-index has; say which are in percent: % in a header, or --unit"
    ]


def test_a_hundredth_is_said_and_not_healed() -> None:
    (note,) = relate(*index(), [table("model | parkbench | ships\njuniper-base | 0.8012 | 0.4309", "number")]).notes
    assert "a hundredth of what the model-index has; give them unit: fraction" in note


@pytest.mark.parametrize("score", ["48.21", "48.12"])
def test_a_metric_may_be_in_a_column_of_words(score: str) -> None:
    drafted = table(f"set | metric | score\nparkbench | Pearson | 81.41\nlaw-forum | ndcg@10 | {score}\nships | map@1 | 27.92")
    drafted = drafted._replace(beside=[["Pearson"], ["ndcg@10"], ["map@1"]])
    assert relate(*index(), [drafted]).quoted == {
        "t.0.2": "parkbench.cos_sim_pearson",
        "t.1.2": "law-forum.ndcg_at_10",
        "t.2.2": "ships.map_at_1",
    }
    assert relate(*index(), [drafted._replace(beside=[[], [], []])]).quoted == {}


def test_an_average_of_a_task_is_that_of_its_columns_or_else_of_its_results() -> None:
    rows = ("a | 48.21 | 43.09 | 45.65", "b | 47.00 | 41.00 | 46.00", "c | 45.00 | 41.50 | 43.25")
    columns = "\n".join(["model | law-forum | ships | Retrieval (2)", *rows])
    found = relate(*index(), [table(columns)])
    assert found.derived == {f"t.{row}.3": f"mean([t.{row}.1], [t.{row}.2])" for row in range(3)}
    found = relate(*index(), [table("model | Retrieval (2)\njuniper-base | 45.65")])
    assert found.derived == {"t.0.1": "mean([law-forum.ndcg_at_10], [ships.ndcg_at_10])"}
    assert relate(*index(), [table("model | Retrieval (3)\njuniper-base | 45.65")]).derived == {}


def test_an_average_in_the_model_index_itself() -> None:
    rows = {"nano-a": ("ir", {"ndcg": "57.25", "mrr": "52.19"}), "nano-b": ("ir", {"ndcg": "64.03", "mrr": "60.25"})}
    rows["nano-mean"] = ("ir", {"ndcg": "60.64", "mrr": "56.22"})
    rows["sts"] = ("sts", {"spearman": "11.11"})
    claims, results = index(rows=rows)
    found = relate(claims, results, [])
    assert found.derived == {f"nano-mean.{metric}": f"mean([nano-a.{metric}], [nano-b.{metric}])" for metric in ("ndcg", "mrr")}
    derived = {claim.id: found.bound(claim) for claim in claims}["nano-mean.ndcg"]
    assert derived.measured is None and derived.derived is not None


def test_two_results_of_one_name_are_not_told_apart_and_not_bound() -> None:
    rows = {key: ("STS", {"cos_sim_spearman": "80.12"}) for key in ("news", "news-2")}
    found = relate(*index(rows=rows), [table("model | News\njuniper-base | 80.12")])
    assert (found.quoted, found.derived) == ({}, {})


def test_a_quotation_is_the_evidence_of_an_unbound_claim_alone() -> None:
    drafted = table(MODELS.format("43.09"))
    found = relate(*index(), [drafted])
    claim = drafted.claims[0, 1]
    assert found.bound(claim).quoted == Quotation(claim="parkbench.cos_sim_spearman")
    assert found.bound(drafted.claims[1, 1]) == drafted.claims[1, 1]


def test_an_index_of_many_results_takes_time_in_proportion_to_them() -> None:
    def work(count: int) -> Callable[[], object]:
        claims, results = index(rows={f"set-{number}-x": ("Retrieval", {"ndcg_at_10": "31.2"}) for number in range(count)})
        return lambda: relate(claims, results, [])

    assert_linear(work, 6_000)
