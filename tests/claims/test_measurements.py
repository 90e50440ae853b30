"""Which scores of a run printed numbers are: by value, names and place, and never by chance."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from aqea_registry.claims.drafting import claims_of_tables
from aqea_registry.claims.measurements import Fit, RunScores, fits_of_tables, fits_of_text, run_of
from aqea_registry.documents.markup_tables import markdown_tables
from aqea_registry.documents.numbers import scan
from aqea_registry.project.artefact import PairSetArtefact
from aqea_registry.project.params import Dataset, Model
from tests.growth import assert_linear

SCORES = {  # in percent: cosine and Pearson, cosine and Spearman, Manhattan and Spearman
    "forum-minilm": ("60.12", "61.4173", "61.02"),
    "forum-minilm-128": ("59.33", "58.71", "58.06"),
    "stsb-minilm": ("82.51", "82.0325", "81.44"),
    "stsb-minilm-128": ("80.07", "79.99", "79.01"),
}


def made(*keys: str) -> RunScores:
    """A run of these pair sets."""
    artefacts, scores = {}, {}
    for key in keys or SCORES:
        dataset, _, model = key.partition("-")
        repo = "mteb/stsbenchmark-sts" if dataset == "stsb" else dataset
        full = 384 if model.endswith("128") else None
        artefacts[key] = PairSetArtefact(
            key=key,
            dataset=dataset,
            model=model,
            stem=key,
            dataset_entry=Dataset(repo=repo),
            model_entry=Model(repo="org/all-MiniLM-L6-v2", dimension=128 if full else 384, full_dimension=full),
            dataset_pin=None,
            model_pin=None,
            precision="canonical",
            view_stage="v",
        )
        names = ("cos_sim_pearson", "cos_sim_spearman", "manhattan_spearman", "euclidean_spearman")
        values = map(float, (*SCORES[key], SCORES[key][1]))
        scores[key] = {name: value / 100 for name, value in zip(names, values, strict=True)}
    return run_of(artefacts, scores)


def table(text: str, run: RunScores) -> list[Fit]:
    tables = markdown_tables(text, "page.md")
    return list(fits_of_tables(claims_of_tables(tables, text).tables, text, run))


def told(fits: list[Fit]) -> list[str]:
    """Each number with what it is, sure or not."""
    return [
        f"{fit.claim.value} {'is' if fit.sure else 'may be'} {' or '.join(f'{s.pair_set} {s.metric}' for s in fit.scores)}"
        + (f", {fit.has}" if fit.has else "")
        for fit in fits
    ]


FORUM, STSB = "is forum-minilm cos_sim_spearman", "is stsb-minilm cos_sim_spearman"
TABLES: dict[str, tuple[str, list[str]]] = {
    "names of rows and columns": (
        "# S\n\n| model | forum | STS-B |\n|--|--|--|\n| MiniLM | 61.42 | 82.03 |\n",
        [f"61.42 {FORUM}", f"82.03 {STSB}"],
    ),
    "the longest name": (
        "# S\n\n| model | STSBenchmark |\n|--|--|\n| minilm-128 | 79.99 |\n| all-MiniLM-L6-v2 | 82.03 |\n",
        ["79.99 is stsb-minilm-128 cos_sim_spearman", f"82.03 {STSB}"],
    ),
    "a metric of the column, fractions": (
        "# On forum\n\n| model | ρ | Pearson | Manhattan Spearman |\n|--|--|--|--|\n| minilm | .614 | 0.601 | 0.610 |\n",
        [f".614 {FORUM}", "0.601 is forum-minilm cos_sim_pearson", "0.610 is forum-minilm manhattan_spearman"],
    ),
    "the paragraph above names the model": (
        "# S\n\nSpearman of minilm:\n\n| set | score |\n|--|--|\n| forum | 61.4 |\n| stsb | 82.0 |\n",
        [f"61.4 {FORUM}", f"82.0 {STSB}"],
    ),
    "one digit of one number": ("# S\n\n| set | minilm Spearman |\n|--|--|\n| forum | 61.44 |\n", [f"61.44 {FORUM}, 61.42"]),
    "neighbours exchanged": ("# S\n\n| set | minilm Spearman |\n|--|--|\n| forum | 61.24 |\n", [f"61.24 {FORUM}, 61.42"]),
    "cut off instead of rounded": ("# S\n\n| set | minilm Spearman |\n|--|--|\n| stsb | 82.02 |\n", [f"82.02 {STSB}, 82.03"]),
    "another number": (
        "# S\n\n| set | minilm Spearman |\n|--|--|\n| forum | 73.15 |\n",
        ["73.15 may be forum-minilm cos_sim_spearman, 61.42"],
    ),
    "another model is not named": ("# S\n\n| set | BERT | Spearman |\n|--|--|--|\n| forum | 61.42 | 9.99 |\n", []),
    "a model of others beside ours, which the text names": (
        "# S\n\nOf minilm:\n\n| model | forum | stsb |\n|--|--|--|\n| minilm | 61.42 | 82.03 |\n| BERT | 41.1 | 62.2 |\n",
        [f"61.42 {FORUM}", f"82.03 {STSB}"],
    ),
    "one of four differs": (
        "# S\n\n| set | minilm | minilm-128 |\n|--|--|--|\n| forum | 61.42 | 58.71 |\n| stsb | 82.03 | 71.23 |\n",
        [
            f"61.42 {FORUM}",
            f"82.03 {STSB}",
            "58.71 is forum-minilm-128 cos_sim_spearman",
            "71.23 is stsb-minilm-128 cos_sim_spearman, 79.99",
        ],
    ),
    "other metrics, sizes and averages": (
        "# minilm\n\n| set | ndcg | time | Avg. | forum pairs |\n|--|--|--|--|--|\n| forum | 61.42 | 61.42 | 61.42 | 61.42 |\n",
        [],
    ),
    "whole numbers": ("# S\n\n| set | minilm Spearman |\n|--|--|\n| forum | 61 |\n| stsb | 82 |\n", []),
}


@pytest.mark.parametrize("name", TABLES)
def test_numbers_of_tables(name: str) -> None:
    text, wanted = TABLES[name]
    assert told(table(text, made())) == wanted


@pytest.mark.parametrize("printed", ["82.032", "82.033"])
def test_a_score_that_was_rounded_to_a_half_is_printed_either_way(printed: str) -> None:
    text = f"| set | MiniLM Spearman |\n|--|--|\n| STS-B | {printed} |\n"
    assert told(table(text, made("stsb-minilm"))) == [f"{printed} is stsb-minilm cos_sim_spearman"]


def test_what_nobody_names_is_the_only_one_of_the_run() -> None:
    text = "# S\n\n| set | Spearman |\n|--|--|\n| forum | 61.42 |\n| stsb | 82.03 |\n"
    assert table(text, made()) == []
    assert told(table(text, made("forum-minilm", "stsb-minilm"))) == [f"61.42 {FORUM}", f"82.03 {STSB}"]
    others = text + "".join(f"| BERT {n} on forum | 5{n}.15 |\n" for n in range(8))
    assert not any(fit.sure for fit in table(others.replace("82.03", "71.11"), made("forum-minilm", "stsb-minilm")))


TEXTS: dict[str, list[str]] = {
    "On forum, minilm has a Spearman of 61.42.": [f"61.42 {FORUM}"],
    "61.42 is the Spearman of forum-minilm.": [f"61.42 {FORUM}"],
    "On forum, minilm has a Spearman of 61.42, a Pearson of 60.12.": [
        f"61.42 {FORUM}",
        "60.12 is forum-minilm cos_sim_pearson",
    ],
    "On forum, minilm has a Spearman of 61.42, and on stsb 82.30.": [f"61.42 {FORUM}", f"82.30 {STSB}, 82.03"],
    "With minilm the Spearman is 61.42 on forum and 82.03 on stsb.": [f"61.42 {FORUM}", f"82.03 {STSB}"],
    "With minilm the Spearman is 82.03 on forum and 61.42 on stsb.": [
        f"82.03 {STSB.replace('is', 'may be')}",
        f"61.42 {FORUM.replace('is', 'may be')}",
    ],
    "On forum, minilm has a Spearman of 61.42\\,\\%.": [f"61.42 {FORUM}"],
    "The Spearman of forum-minilm is 61.44.": [f"61.44 {FORUM}, 61.42"],
    "The Spearman of forum-minilm rose from 61.44 to 61.42.": [
        "61.44 may be forum-minilm cos_sim_spearman, 61.42",
        f"61.42 {FORUM}",
    ],
    "The Spearman of forum-minilm is 61.42 points.": [],
    "The accuracy of the baseline is 61.42.": [],
    "On forum, minilm has a Kendall's tau of 61.42.": [f"61.42 {FORUM.replace('is', 'may be')}"],
    "On forum, minilm has a Spearman of 61.42, and on stsb an accuracy of 82.03.": [
        f"61.42 {FORUM}",
        f"82.03 {STSB.replace('is', 'may be')}",
    ],
    "It has a Spearman of 61.42.": [],
}


@pytest.mark.parametrize("text", TEXTS)
def test_numbers_of_the_text(text: str) -> None:
    assert told(list(fits_of_text(text, scan(text, "markdown").numbers, made()))) == TEXTS[text]


def test_of_two_pair_sets_that_fit_both_are_given() -> None:
    run = made("forum-minilm", "stsb-minilm")
    run.names[0]["forum"].add("stsb-minilm")
    run.scores["stsb-minilm"] = run.scores["forum-minilm"]  # type: ignore[index]
    text = "With minilm the Spearman on forum is 61.42."
    [fit] = fits_of_text(text, scan(text, "markdown").numbers, run)
    assert (fit.sure, fit.claim.id) == (True, "text.61-42")
    assert [score.pair_set for score in fit.scores] == ["forum-minilm", "stsb-minilm"]


def test_reading_takes_time_that_grows_with_the_document() -> None:
    run = made()

    def work(size: int) -> Callable[[], object]:
        text = "# minilm\n\n| model | forum | stsb |\n|--|--|--|\n" + "| minilm-128 | 58.71 | 79.99 |\n" * size
        text += "\nOn forum, minilm has a Spearman of 61.42." * size
        tables = claims_of_tables(markdown_tables(text, "page.md"), text).tables
        spans = scan(text, "markdown").numbers
        return lambda: (list(fits_of_tables(tables, text, run)), list(fits_of_text(text, spans, run)))

    assert_linear(work, 300)


def test_random_numbers_under_the_names_of_the_run_are_not_bound() -> None:
    """Whole tables and sentences of other people's numbers, called as ours are: fewer than one in a thousand is bound."""
    rng, bound, numbers = random.Random(7), 0, 0
    for n in range(60):
        digits = 1 + n % 2
        rows = "".join(
            f"| {name} | {rng.uniform(55, 85):.{digits}f} | {rng.uniform(55, 85):.{digits}f} |\n"
            for name in ("minilm", "minilm-128", "minilm", "BERT")
        )
        fits = table(f"# Spearman\n\n| model | forum | stsb |\n|--|--|--|\n{rows}", made())
        text = f"The correlation of minilm on forum is {rng.uniform(30, 90):.2f}."
        fits += fits_of_text(text, scan(text, "markdown").numbers, made())
        bound, numbers = bound + sum(fit.sure for fit in fits), numbers + 7
    assert (bound, numbers) == (0, 420)
