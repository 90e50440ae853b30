"""The committed ledgers of the seed documents: do they say what the documents print, and what comes of checking them?"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
import yaml

from aqea_registry.base.files import hash_file
from aqea_registry.claims.ledger import FOLDER, Ledger, parse_ledger, render_ledger
from tests.tools import CARDS as PROJECT
from tests.tools import SHARED, aqea

CARDS = ("lodestone-card", "minilm-card")
NAMES = ("dataset-notes", *CARDS)
SEEDS = SHARED / "seeds"

# Where the documents contradict themselves, each other, or what is pinned.
CONTRADICTED = {
    "lodestone-card:training-data.code-search.number-of-training-tuples",
    "minilm-card:card.benchmark",
    "minilm-card:training-data.total.number-of-training-tuples",
}


@cache
def ledger(name: str) -> Ledger:
    """A committed ledger, in which nothing is malformed."""
    parsed, findings = parse_ledger((PROJECT / FOLDER / f"{name}.yaml").read_bytes(), name)
    assert parsed is not None and not findings
    return parsed


def lines(name: str) -> list[str]:
    return (SEEDS / ledger(name).document.file).read_text(encoding="utf-8").split("\n")


@pytest.mark.parametrize("name", NAMES)
def test_a_ledger_has_the_one_spelling(name: str) -> None:
    assert render_ledger(ledger(name)) == (PROJECT / FOLDER / f"{name}.yaml").read_bytes()


@pytest.mark.shared
@pytest.mark.parametrize("name", NAMES)
def test_every_claim_stands_on_its_line_of_the_seed(name: str) -> None:
    document = ledger(name).document
    assert hash_file(SEEDS / document.file).sha256 == document.sha256
    text = lines(name)
    absent = [
        claim.id
        for claim in ledger(name).claims
        if claim.at.line is None or not re.search(rf"(?<![\d.,]){re.escape(claim.text)}(?!\d)", text[claim.at.line - 1])
    ]
    assert absent == []


@pytest.mark.shared
@pytest.mark.parametrize("name", CARDS)
def test_a_card_has_a_claim_for_every_metric(name: str) -> None:
    front = yaml.load("\n".join(lines(name)).split("---\n")[1], yaml.BaseLoader)  # texts only
    printed = {
        f"model-index/0/results/{n}/metrics/{m}/value": (entry["dataset"], entry["task"]["type"], one["type"], one["value"])
        for n, entry in enumerate(front["model-index"][0]["results"])
        for m, one in enumerate(entry["metrics"])
    }
    claimed: dict[str, Any] = {}
    repo = ledger(name).document.url
    for claim in ledger(name).claims:
        if claim.at.path is None or not claim.at.path.startswith("model-index/"):
            continue
        key, _, metric = claim.id.rpartition(".")
        result = ledger(name).results[key]
        assert (claim.unit, f"https://huggingface.co/{result.model}") == ("percent", repo)
        assert claim.measured is None or (claim.measured.result, claim.measured.metric) == (key, metric)
        dataset = printed[claim.at.path][0]
        assert (dataset["type"], dataset["config"], dataset["split"], dataset["revision"]) == (
            result.dataset,
            result.config,
            result.split,
            result.revision,
        )
        claimed[claim.at.path] = (dataset, result.task, metric, claim.value)
    assert len(claimed) == 990
    assert claimed == printed


@pytest.mark.parametrize("name", CARDS)
def test_what_a_card_derives_is_what_its_names_imply(name: str) -> None:
    """The best of four similarities, and the benchmark of twelve forums, are computed from the rest; all else is measured."""
    metrics = [claim for claim in ledger(name).claims if claim.at.path and claim.at.path.startswith("model-index/")]
    best = [claim for claim in metrics if re.search(r"\.max_[a-z0-9]+\Z", claim.id)]
    forums = [claim for claim in metrics if claim.id.startswith("cqadupstackretrieval.")]
    assert {claim.derived.count("[") for claim in best if claim.derived} == {4}
    assert {claim.derived for claim in forums if claim.derived} == {
        f"mean([cqadupstack*retrieval.{claim.id.rpartition('.')[2]}])" for claim in forums
    }
    assert {claim.id for claim in metrics if claim.kind != "measured"} == {claim.id for claim in [*best, *forums]}
    assert len(best) == 9


@pytest.mark.shared
@pytest.mark.parametrize(("name", "rows"), [("lodestone-card", 46), ("minilm-card", 32)])
def test_every_row_of_a_training_table_is_a_term_of_its_total(name: str, rows: int) -> None:
    printed = {
        (number, found[1])
        for number, line in enumerate(lines(name), 1)
        if (found := re.search(r"\| *\**([\d,]{6,})\** *\| *$", line))
    }
    in_table = [claim for claim in ledger(name).claims if claim.at.table == "Training data"]
    assert {(claim.at.line, claim.value) for claim in in_table} == printed
    assert [claim.derived for claim in in_table] == [None] * rows + ["sum([training-data.*.number-of-training-tuples])"]


def test_checking_the_ledgers_finds_the_known_contradictions_and_no_other() -> None:
    result = aqea("claims", "check", *NAMES, "--json", cwd=PROJECT)
    answer = result.json()
    assert result.status == 1
    assert {finding["code"] for finding in answer["findings"]} == {"claim-contradicted", "unpinned"}
    states: dict[str, set[str]] = {}
    for verdict in answer["verdicts"]:
        name = f"{verdict['ledger']}:{verdict['claim']['id']}"
        states.setdefault(verdict.get("reason") or verdict["state"], set()).add(name)
    assert states["contradicted"] == CONTRADICTED
    assert "unbound" not in states
    unpinned = {
        f"{name}:{claim.id}"
        for name in CARDS
        for claim in ledger(name).claims
        if claim.measured is not None and ledger(name).results[claim.measured.result].revision == "None"
    }
    assert (len(unpinned), states["unpinned"]) == (780, unpinned)
    measured = {f"{name}:{claim.id}" for name in CARDS for claim in ledger(name).claims if claim.measured is not None}
    assert states["unresolved"] & measured == measured - unpinned, "every score is checkable where there is a Hub"
    waiting = [verdict["message"] for verdict in answer["verdicts"] if verdict.get("reason") == "unresolved"]
    assert all(re.search(r"; run: aqea-registry pin [\w-]+$", message) for message in waiting)
