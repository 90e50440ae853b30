"""`claims import`: model cards, tables and CSV into ledgers that people can edit and import again."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused, RegistryError
from aqea_registry.claims.drafting import FORUMS
from aqea_registry.claims.import_claims import ImportedClaims, import_claims
from aqea_registry.claims.ledger import Claim, Ledger, Measurement, Quotation, parse_ledger, render_ledger
from aqea_registry.claims.lint_claims import not_printed
from aqea_registry.project.project import open_project
from tests import sampling
from tests.growth import assert_linear
from tests.helpers import leftovers, tree
from tests.tools import BIN, CARDS, ROOT, SHARED, aqea, run

CARD = """---
license: mit
model-index:
- name: org/demo
  results:
  - task: {type: STS}
    dataset: {type: mteb/stsbenchmark-sts, name: MTEB STSBenchmark, config: default, split: test, revision: b0fddb5}
    metrics:
    - type: cos_sim_spearman
      value: 82.03246731235654
    - type: cos_sim_pearson
      value: 82.50
  - task: {type: Retrieval}
    dataset: {type: arguana, name: MTEB ArguAna, config: default, split: test, revision: None}
    metrics:
    - {type: map_at_1, value: 25.605}
---
# Results

| model | score | pairs |
|---|---:|---:|
| small | 0.5 | 1,000 |
| large | 0.75 | 2,000 |
| Total | | 3,000 |
"""


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A project with a catalogue and nothing else."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def take(project: Path, text: str | bytes, name: str = "card.md", **options: Any) -> ImportedClaims:
    """Import a document with this text."""
    (project / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return import_claims(open_project(project), project / name, **options)


def ledger_of(project: Path, name: str = "card") -> Ledger:
    content = (project / f"manifests/claims/{name}.yaml").read_bytes()
    ledger, findings = parse_ledger(content, name)
    assert ledger is not None and findings == [] and render_ledger(ledger) == content
    return ledger


def claims_of(project: Path, name: str = "card") -> dict[str, Claim]:
    return {claim.id: claim for claim in ledger_of(project, name).claims}


def rewrite(project: Path, change: Any, name: str = "card") -> None:
    """Edit the ledger as a person would, as YAML."""
    path = project / f"manifests/claims/{name}.yaml"
    value = yaml.safe_load(path.read_text())
    change(value)
    path.write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))


def test_a_card_becomes_results_and_claims_as_printed(empty: Path) -> None:
    done = take(empty, CARD)
    assert (done.ledger, done.written, done.claims, done.findings) == ("manifests/claims/card.yaml", True, 8, ())
    ledger, found = ledger_of(empty), claims_of(empty)
    assert ledger.document.sha256 == hashlib.sha256(CARD.encode()).hexdigest()
    assert (ledger.document.file, ledger.document.title) == ("card.md", "org/demo")
    sts, retrieval = ledger.results["stsbenchmark"], ledger.results["arguana"]
    assert (sts.dataset, sts.model, sts.config, sts.split) == ("mteb/stsbenchmark-sts", "org/demo", "default", "test")
    assert (sts.revision, sts.task, retrieval.revision) == ("b0fddb5", "STS", "None")
    assert [(one.id, one.value, one.unit, str(one.at)) for one in found.values()] == [
        ("stsbenchmark.cos_sim_spearman", "82.03246731235654", "percent", "model-index/0/results/0/metrics/0/value, line 10"),
        ("stsbenchmark.cos_sim_pearson", "82.50", "percent", "model-index/0/results/0/metrics/1/value, line 12"),
        ("arguana.map_at_1", "25.605", "percent", "model-index/0/results/1/metrics/0/value, line 16"),
        ("results.small.score", "0.5", "number", "Results, small, score, line 22"),
        ("results.small.pairs", "1,000", "count", "Results, small, pairs, line 22"),
        ("results.large.score", "0.75", "number", "Results, large, score, line 23"),
        ("results.large.pairs", "2,000", "count", "Results, large, pairs, line 23"),
        ("results.total.pairs", "3,000", "count", "Results, Total, pairs, line 24"),
    ]
    assert found["stsbenchmark.cos_sim_pearson"].measured == Measurement(result="stsbenchmark", metric="cos_sim_pearson")
    assert (found["results.total.pairs"].derived, found["results.small.score"].kind) == ("sum([results.*.pairs])", "unbound")


@pytest.mark.parametrize("options", [{}, {"model": "a/b", "unit": "fraction"}, {"into": "other"}, {"prune": True}], ids=str)
def test_importing_again_changes_nothing(empty: Path, options: dict[str, Any]) -> None:
    first = take(empty, CARD, **options)
    before = tree(empty)
    again = import_claims(open_project(empty), empty / "card.md", **options)
    assert (again.written, again.added, again.changed, again.gone, again.claims) == (False, (), (), (), first.claims)
    assert tree(empty) == before


def test_model_and_unit_are_as_told_or_known(empty: Path) -> None:
    take(empty, CARD, into="told", model="me/mine", unit="fraction")
    ledger = ledger_of(empty, "told")
    assert {one.model for one in ledger.results.values()} == {"me/mine"}
    assert [claim.unit for claim in ledger.claims][:3] == ["fraction"] * 3
    take(empty, CARD.replace("org/demo", "all-MiniLM-L6-v2"), into="known")
    assert ledger_of(empty, "known").results["arguana"].model == "sentence-transformers/all-MiniLM-L6-v2"
    take(empty, CARD.replace("org/demo", "L6-v2"), into="unknown")
    assert ledger_of(empty, "unknown").results["arguana"].model == "L6-v2"


def test_what_was_written_by_hand_stays(empty: Path) -> None:
    take(empty, CARD)

    def edit(value: dict[str, Any]) -> None:
        value["document"] |= {"title": "A demo", "url": "https://example.org/demo"}
        value["results"]["stsbenchmark"] |= {"model": "minilm", "model_revision": "v1"}
        value["results"]["own"] = {"dataset": "small", "model": "minilm"}
        by_id = {claim["id"]: claim for claim in value["claims"]}
        by_id["results.small.score"] |= {
            "id": "small",
            "unit": "fraction",
            "quoted": {"source": "the paper"},
            "note": "as told",
        }
        by_id["stsbenchmark.cos_sim_spearman"] |= {"id": "best", "tolerance": "0.1", "reason": "another library"}
        by_id["results.large.pairs"] |= {"value": "2000", "printed": "2,000", "ocr": "a comma that is a speck"}
        own = {"id": "by.hand", "value": "384", "unit": "dimensions", "at": {"line": 18}}
        measured = {
            "id": "more",
            "value": "1.0",
            "unit": "percent",
            "at": {"line": 1},
            "measured": {"result": "own", "metric": "x"},
        }
        value["claims"].insert(2, own)
        value["claims"].append(measured)

    rewrite(empty, edit)
    edited = (empty / "manifests/claims/card.yaml").read_bytes()
    same = take(empty, CARD)
    assert (same.written, same.added, same.gone) == (False, (), ())
    assert (empty / "manifests/claims/card.yaml").read_bytes() == edited, "not even its spelling is touched"

    moved = CARD.replace("# Results", "New.\n\n# Results").replace("82.03246731235654", "82.1").replace("b0fddb5", "abcdef0")
    done = take(empty, moved)
    assert (done.written, done.added, done.changed, done.gone) == (True, (), ("best",), ())
    ledger, found = ledger_of(empty), claims_of(empty)
    assert list(found)[:3] == ["best", "stsbenchmark.cos_sim_pearson", "by.hand"]
    assert list(found)[-1] == "more"
    assert (found["best"].value, found["best"].tolerance, found["best"].at.line) == ("82.1", "0.1", 10)
    assert (found["small"].quoted, found["small"].unit, found["small"].note) == (
        Quotation(source="the paper"),
        "fraction",
        "as told",
    )
    assert found["small"].at.line == 24
    assert (found["results.large.pairs"].value, found["results.large.pairs"].printed) == ("2000", "2,000")
    assert (ledger.document.title, ledger.document.url) == ("A demo", "https://example.org/demo")
    assert ledger.document.sha256 == hashlib.sha256(moved.encode()).hexdigest()
    sts = ledger.results["stsbenchmark"]
    assert (sts.model, sts.model_revision, sts.revision) == ("minilm", "v1", "abcdef0")
    assert "own" in ledger.results

    take(empty, moved.replace("2,000", "2,001"))
    assert (claims_of(empty)["results.large.pairs"].value, claims_of(empty)["results.large.pairs"].ocr) == ("2,001", None)


def index(*metrics: str, task: str = "STS", name: str = "MTEB X", head: str = "") -> str:
    """A card with one result that has these metrics."""
    lines = "".join(f"    - {{{one}}}\n" for one in metrics)
    result = f"  - task: {{type: {task}}}\n    dataset: {{type: d/x, name: {name}}}\n    metrics:\n{lines}"
    return f"---\n{head}model-index:\n- name: m\n  results:\n{result}---\n"


def quote(project: Path, value: str) -> str:
    """Give the one claim with this value evidence by hand, and return its id."""
    ids: list[str] = []

    def edit(ledger: dict[str, Any]) -> None:
        (claim,) = [claim for claim in ledger["claims"] if claim["value"] == value]
        claim.pop("measured", None)
        claim |= {"quoted": {"source": f"where {value} is"}, "note": "by hand"}
        ids.append(claim["id"])

    rewrite(project, edit)
    return ids[0]


def quoted(project: Path) -> dict[str, str | None]:
    """Ids with evidence by hand, and their values."""
    return {claim.id: claim.value for claim in claims_of(project).values() if claim.quoted}


def table(*rows: str) -> str:
    return "\n".join([rows[0], "|-" * (rows[0].count("|") - 1) + "|", *rows[1:], "", ""])


BOARD = ("|Place|System|NLI|STS|", "|1|first|70.10|61.00|", "|2|second|69.10|60.50|")
PEARSON, SPEARMAN, KENDALL = (table("|m|nli|", f"|x|{value}|") for value in ("70.10", "69.10", "51.30"))
EDITS = {  # before, whose evidence is by hand; after
    "another leads a board": (table(*BOARD), "70.10", table(BOARD[0], "|1|new|71.50|62.00|", "|2|first|70.10|61.00|")),
    "a board without ranks": (table(*BOARD), "60.50", table("|System|STS|NLI|", "|second|60.50|69.10|", "|first|61.00|70.10|")),
    "a table between": (
        f"# E\n\n**P**\n\n{PEARSON}**S**\n\n{SPEARMAN}",
        "69.10",
        f"# E\n\n**P**\n\n{PEARSON}**K**\n\n{KENDALL}**S**\n\n{SPEARMAN}",
    ),
    "a table between, no captions": (f"# E\n\n{PEARSON}{SPEARMAN}", "69.10", f"# E\n\n{PEARSON}{KENDALL}{SPEARMAN}"),
    "the first table is gone": (f"# E\n\n{PEARSON}{SPEARMAN}", "69.10", f"# E\n\n{SPEARMAN}"),
    "a row of the same name before": (
        table("|m|s|", "|x|70.10|", "|x|69.10|"),
        "69.10",
        table("|m|s|", "|x|51.30|", "|x|70.10|", "|x|69.10|"),
    ),
    "a column of the same name before": (table("|m|s|s|", "|x|70.10|69.10|"), "69.10", table("|m|s|s|s|", "|x|1|70.10|69.10|")),
    "results change places": (
        index("type: a, value: 70.10", name="Unknown")[:-4]
        + index("type: a, value: 69.10", name="Unknown").partition("results:\n")[2],
        "69.10",
        index("type: a, value: 69.10", name="Unknown")[:-4]
        + index("type: a, value: 70.10", name="Unknown").partition("results:\n")[2],
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_evidence_by_hand_stays_with_its_number(empty: Path, name: str) -> None:
    before, value, after = EDITS[name]
    take(empty, before)
    id_ = quote(empty, value)
    done = take(empty, after)
    assert quoted(empty) == {id_: value} and claims_of(empty)[id_].note == "by hand"
    assert not [finding for finding in done.findings if id_ in finding.subject]
    again = take(empty, after)
    assert (again.written, again.added, again.changed) == (False, (), ())


def test_a_number_that_may_be_one_of_several_keeps_its_evidence_to_itself(empty: Path) -> None:
    take(empty, f"# E\n\n{PEARSON}{SPEARMAN}")
    id_ = quote(empty, "69.10")
    for added, message in ((("e-2.x.nli-2",), "several numbers are called E, x, nli"), ((), "no longer prints it")):
        done = take(empty, f"# E\n\n{PEARSON}{KENDALL}")
        assert (done.added, done.changed, quoted(empty)) == (added, (), {id_: "69.10"})
        assert [(one.code, one.subject) for one in done.findings] == [("claim-stale", f"card: {id_}")]
        assert message in done.findings[0].message


def test_evidence_by_hand_of_a_number_that_changed_is_a_finding(empty: Path) -> None:
    take(empty, table(*BOARD))
    id_ = quote(empty, "70.10")
    changed = table(*BOARD).replace("70.10", "70.20").replace("60.50", "60.60")
    done = take(empty, changed)
    assert set(done.changed) == {id_, "table.second.sts"} and quoted(empty) == {id_: "70.20"}
    assert [(one.code, one.subject, one.expected, one.actual) for one in done.findings] == [
        ("claim-stale", f"card: {id_}", "70.10", "70.20")
    ]
    assert take(empty, changed).findings == ()


def test_what_is_derived_names_claims_as_the_ledger_does(empty: Path) -> None:
    rows = ["|m|a|", *(f"|{name}|{value}|" for name, value in zip("uvwxyz", (11, 12, 14, 18, 25, 40), strict=True))]
    take(empty, table(*(f"{row[:-1]}.00|" if row[-2].isdigit() else row for row in rows)))

    def edit(value: dict[str, Any]) -> None:
        value["claims"][0] |= {"id": "mine", "unit": "percent"}
        for claim in value["claims"][1:]:
            claim["unit"] = "percent"

    rewrite(empty, edit)
    done = take(empty, table(*(f"{row[:-1]}.00|" if row[-2].isdigit() else row for row in rows), "|Average|20.00|"))
    assert done.added == ("table.average.a",) and "[mine]" in (claims_of(empty)["table.average.a"].derived or "")


def test_a_ledger_whose_rows_are_called_by_their_ranks_keeps_its_claims(empty: Path) -> None:
    take(empty, table(*BOARD))

    def edit(value: dict[str, Any]) -> None:  # as 0.1.0 wrote it
        for claim in value["claims"]:
            rank = {"first": "1", "second": "2"}[claim["at"]["row"]]
            claim["id"], claim["at"]["row"] = claim["id"].replace(claim["at"]["row"], rank), rank
            claim["quoted"] = {"source": claim["value"]}

    rewrite(empty, edit)
    done = take(empty, table(*BOARD))
    assert (done.added, done.gone, done.findings) == ((), (), ())
    assert [(key, one.value, one.at.row, one.quoted and one.quoted.source) for key, one in claims_of(empty).items()] == [
        ("table.1.nli", "70.10", "first", "70.10"),
        ("table.1.sts", "61.00", "first", "61.00"),
        ("table.2.nli", "69.10", "second", "69.10"),
        ("table.2.sts", "60.50", "second", "60.50"),
    ]
    take(empty, table(BOARD[0], "|1|new|71.50|62.00|", "|2|first|70.10|61.00|"), prune=True)
    assert quoted(empty) == {"table.1.nli": "70.10", "table.1.sts": "61.00"}


def test_values_of_a_card_that_are_all_too_small_for_percent_are_a_finding(empty: Path) -> None:
    text = index("type: cos_sim_spearman, value: 0.81", "type: cos_sim_pearson, value: -0.2")
    done = take(empty, text)
    assert [one.code for one in done.findings] == ["malformed"] and "--unit fraction" in done.findings[0].message
    assert take(empty, text, unit="percent").findings == ()
    done = take(empty, text, unit="fraction")
    assert done.written and {one.unit for one in claims_of(empty).values()} == {"fraction"}
    assert take(empty, text).findings == (), "the ledger says what they are"


def test_fractions_that_are_larger_than_1_are_a_finding(empty: Path) -> None:
    text = index("type: spearman_cosine, value: 82.03", "type: pearson_cosine, value: 0.81", "type: mae, value: 3.5")
    done = take(empty, text)
    assert [one.message for one in done.findings] == [
        "1 of 2 fractions are larger than 1; if all are percent, import with --unit percent"
    ]
    assert take(empty, text.replace("82.03", "-12.5")).findings == (), "an nAUC may be"


RESULT = """{"task_name": "Pairs", "dataset_revision": "0123abc", "mteb_version": "2.1.0", "scores":
 {"test": [{"hf_subset": "default", "cosine_spearman": 0.7125, "main_score": 0.7125}]}}"""


def test_a_result_file_of_mteb_is_imported_in_fractions(empty: Path) -> None:
    done = take(empty, RESULT, "r.json")
    assert (done.imported, done.left_out, "--model" in done.notes[0]) == (2, (), True)
    claim = claims_of(empty, "r")["pairs.cosine_spearman"]
    assert (claim.value, claim.unit, str(claim.at)) == ("0.7125", "fraction", "/scores/test/0/cosine_spearman, line 2")
    assert claim.measured == Measurement(result="pairs", metric="cosine_spearman")
    take(empty, RESULT, "r.json", model="org/m")
    result = ledger_of(empty, "r").results["pairs"]
    assert (result.dataset, result.model, result.revision, result.split) == ("Pairs", "org/m", "0123abc", "test")
    (empty / "org__n/0ff").mkdir(parents=True)
    take(empty, RESULT, "org__n/0ff/Pairs.json")
    assert ledger_of(empty, "pairs").results["pairs"].model == "org/n"
    with pytest.raises(BadConfiguration, match="not a result file of MTEB"):
        take(empty, '{"a": [1, 2]}', "other.json")


def test_every_number_that_is_seen_is_imported_or_left_out(empty: Path) -> None:
    text = (
        index("type: a, value: 70.10", "type: b, value: nan")
        + "\n"
        + table("|#|m|s|", "|1|x|61,5 ± 0,2|", "|2|y|60.5 (3)|", "|z|")
    )
    done = take(empty, text)
    assert (done.seen, done.imported) == (8, 3)
    assert [(one.reason, one.numbers) for one in done.left_out] == [
        ("not a finite number", 1),
        ("a rank or index", 1),
        ("a decimal comma?", 2),
        ("a rank or index", 1),
    ]
    shown = aqea("claims", "import", "card.md", cwd=empty).out.splitlines()
    assert (
        shown[-1] == "8 numbers seen, 3 imported, 5 left out (a rank or index: 2, a decimal comma?: 2, not a finite number: 1)"
    )
    assert "note: left out, a decimal comma?: '61,5 ± 0,2' (line 14, column 6)" in shown


def test_a_claim_that_is_gone_is_told_and_kept_until_pruned(empty: Path) -> None:
    take(empty, CARD)
    shorter = CARD.replace("    - type: cos_sim_pearson\n      value: 82.50\n", "").replace("| large | 0.75 | 2,000 |\n", "")
    gone = ("stsbenchmark.cos_sim_pearson", "results.large.score", "results.large.pairs")
    for _ in range(2):
        done = take(empty, shorter)
        assert done.gone == gone
        assert {(one.code, one.subject) for one in done.findings} == {("claim-stale", f"card: {key}") for key in gone}
        assert set(gone) <= set(claims_of(empty))
    done = take(empty, shorter, prune=True)
    assert (done.gone, done.findings, done.written) == (gone, (), True)
    assert not set(gone) & set(claims_of(empty))


def test_another_document_does_not_take_a_ledger_over(empty: Path) -> None:
    take(empty, CARD)
    before = tree(empty / "manifests")
    with pytest.raises(BadConfiguration, match="is the ledger of org/demo"):
        take(empty, "|a|b|\n|-|-|\n|x|1|\n", "other.md", into="card")
    assert tree(empty / "manifests") == before


def test_a_type_that_stands_twice_takes_the_metrics_name(empty: Path) -> None:
    metrics = ["type: accuracy, value: 1", "type: f1, name: F1 macro, value: 2", "type: f1, name: F1 micro, value: 3"]
    take(empty, index(*metrics, "type: f1, value: 4", "type: accuracy@1, value: 5", "type: accuracy, value: 6"))
    ids = ["x.accuracy", "x.f1-macro", "x.f1-micro", "x.f1", "x.accuracy-1", "x.accuracy-2"]
    assert list(claims_of(empty)) == ids
    assert [one.measured and one.measured.metric for one in claims_of(empty).values()] == [
        *("accuracy", "f1", "f1", "f1", "accuracy@1", "accuracy")
    ]


FOUR = [f"type: {one}_ap, value: {n}" for n, one in enumerate(("cos_sim", "dot", "euclidean", "manhattan"), 1)]


@pytest.mark.parametrize(
    ("metrics", "task", "derived"),
    [
        (
            [*FOUR, "type: max_ap, value: 4"],
            "PairClassification",
            "max([x.cos_sim_ap], [x.dot_ap], [x.euclidean_ap], [x.manhattan_ap])",
        ),
        ([*FOUR[1:], "type: max_ap, value: 4"], "PairClassification", None),
        ([*FOUR, "type: max_f1, value: 4"], "PairClassification", None),
        ([*FOUR, "type: max_ap, value: 4"], "STS", None),
    ],
)
def test_best_of_is_derived_where_all_four_are_printed(empty: Path, metrics: list[str], task: str, derived: str | None) -> None:
    take(empty, index(*metrics, task=task))
    last = list(claims_of(empty).values())[-1]
    assert (last.derived, last.measured is None) == (derived, derived is not None)


@pytest.mark.parametrize(("missing", "split"), [(0, "test"), (1, "test"), (0, "dev")])
def test_the_mean_over_forums_is_derived_where_all_twelve_are_printed(empty: Path, missing: int, split: str) -> None:
    forums = [forum.capitalize() for forum in FORUMS]
    head, _, result = index("type: ndcg_at_10, value: 1.5", "type: map_at_1, value: 2", task="Retrieval").partition("  - task")
    names = [f"MTEB CQADupstack{forum}Retrieval" for forum in ("", *forums[missing:])]
    results = "".join(f"  - task{result.removesuffix('---' + chr(10)).replace('MTEB X', name)}" for name in names)
    results = results.replace("name: MTEB CQADupstackTexRetrieval", f"name: MTEB CQADupstackTexRetrieval, split: {split}")
    for forum in set(forums) - {"Tex"} | {""}:
        results = results.replace(
            f"name: MTEB CQADupstack{forum}Retrieval", f"name: MTEB CQADupstack{forum}Retrieval, split: test"
        )
    take(empty, f"{head}{results}---\n")
    derived = {key: one.derived for key, one in claims_of(empty).items() if one.derived}
    whole = {f"cqadupstackretrieval.{one}": f"mean([cqadupstack*retrieval.{one}])" for one in ("ndcg_at_10", "map_at_1")}
    assert derived == ({} if missing or split == "dev" else whole)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        *[
            (one, "not a finite number")
            for one in ("nan", ".nan", ".inf", "1e999", "1.0e+999", "'--'", "[1]", "20 ± 1", "~", "yes")
        ],
        *[(one, "is not read as it is printed") for one in ("010", "1_000")][:1],
    ],
)
def test_a_value_that_is_no_number_or_not_the_one_read_is_told_with_its_line(empty: Path, value: str, told: str) -> None:
    done = take(empty, index("type: a, value: 1.5", f"type: b, value: {value}", "type: c, value: 2.5"))
    assert [(one.code, one.subject) for one in done.findings] == [("malformed", "card.md:9")]
    assert told in done.findings[0].message
    assert list(claims_of(empty)) == ["x.a", "x.c"]


BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
MANY = (
    "---\nmodel-index:\n- name: m\n  results:\n  - &r\n    task: {type: t}\n    dataset: {type: d, name: n}\n    metrics: &m\n"
    + "    - {type: a, value: 1}\n" * 200
    + "  - *r\n" * 200
    + "---\n"
)
BAD: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("# A card\n\nwith words.\n", "no numbers in a model-index of the front matter, nor in Markdown tables"),
    "empty": ("", "no numbers"),
    "no index": ("---\nlicense: mit\n---\n|a|b|\n|-|-|\n|x|y|\n", "no numbers"),
    "empty index": ("---\nmodel-index: []\n---\n", "no numbers"),
    "no end": ("---\nmodel-index: []\n# text", "does not end"),
    "no yaml": ("---\nmodel-index: [\n---\n", "front matter: "),
    "a tab": ("---\nmodel-index:\n\t- name: x\n---\n", "line 3"),
    "a list": ("---\n- model-index\n---\n", "not a mapping"),
    "index is a text": ("---\nmodel-index: yes\n---\n", "model-index (line 2): not a list"),
    "no name": ("---\nmodel-index:\n- results: []\n---\n", "model-index/0 (line 3): it has no 'name'"),
    "no results": ("---\nmodel-index:\n- name: m\n---\n", "model-index/0 (line 3): it has no 'results'"),
    "no task": (index("type: a, value: 1").replace("task: {type: STS}", "source: {}"), "results/0 (line 5): it has no 'task'"),
    "no dataset name": (index("type: a, value: 1", name=""), "model-index/0/results/0/dataset (line 6): 'name' is not a text"),
    "no value": (index("type: a"), "model-index/0/results/0/metrics/0 (line 8): it has no 'value'"),
    "a key twice": (index("type: a, value: 1, value: 2"), "the key 'value' appears twice"),
    "index twice": (index("type: a, value: 1", head="model-index: []\n"), "the key 'model-index' appears twice"),
    "merged": (index("type: a, value: 1", head="x: &x {a: 1}\ny: {<<: *x}\n"), "'<<' is not read here"),
    "a bomb": (index("type: a, value: 1", head=BOMB), "values, those that aliases repeat included"),
    "a circle": (index("type: a, value: 1", head="x: &x [*x]\n"), "the alias 'x' names no value that ends before it"),
    "many aliases": (MANY, "more than 20000 values"),
    "deep": (index("type: a, value: 1", head=f"x: {'[' * 5000}{']' * 5000}\n"), "nest"),
    "a tag": (index("type: a, value: 1", head="x: !!python/object/apply:os.system [id]\n"), "the tag "),
    "large front matter": (index("type: a, value: 1", head="x: y # " + "z" * (1 << 20) + "\n"), "larger than 1 MiB"),
    "not utf-8": (b"# A\n\n|a|b|\n|-|-|\n|x\xff|1|\n", "line 5: not UTF-8"),
    "utf-16": ("|a|b|\n|-|-|\n|x|1|\n".encode("utf-16"), "not UTF-8"),
    "too large": (b"x" * ((16 << 20) + 1), "larger than 16 MiB"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_document_is_refused_and_nothing_is_written(empty: Path, name: str) -> None:
    text, told = BAD[name]
    with pytest.raises(RegistryError) as raised:
        take(empty, text)
    assert isinstance(raised.value, BadConfiguration) and told in raised.value.message, raised.value.message
    assert "card.md" in raised.value.message
    assert not (empty / "manifests/claims/card.yaml").exists() and leftovers(empty) == []


def test_only_ragged_rows_are_findings_and_no_ledger(empty: Path) -> None:
    with pytest.raises(Refused) as raised:
        take(empty, "|a|b|\n|-|-|\n|1|2|3|\n")
    assert [(one.code, one.subject) for one in raised.value.findings] == [("malformed", "card.md:3")]


SAME = {
    "card.md": "# Scores\n\n| |STS||n|\n|-|-|-|-|\n| |de|fr||\n|x|71.5<sup>2</sup>|**70.5**|1,234|\n",
    "page.html": "<h1>Scores</h1><table><tr><th><th colspan=2>STS<th rowspan=2>n<tr><th><th>de<th>fr"
    "<tr><td>x<td>71.5<sup>2</sup><td><b>70.5</b><td>1,234</table>",
    "paper.tex": r"\section{Scores}\begin{tabular}{lccc} & \multicolumn{2}{c}{STS} & \multirow{2}{*}{n} \\ & de & fr & \\"
    "\\midrule\nx & $71.5^2$ & \\textbf{70.5} & 1,234 \\end{tabular}",
    "Scores.csv": ',STS,,n\n,de,fr,\nx,71.5²,70.5,"1,234"\n',
}


@pytest.mark.parametrize("name", SAME)
def test_a_table_gives_the_same_claims_in_every_format(empty: Path, name: str) -> None:
    done = take(empty, SAME[name], name)
    assert (done.findings, done.left_out, done.seen) == ((), (), 3)
    assert [
        (one.id, one.value, one.unit, one.at.table, one.at.row) for one in claims_of(empty, Path(name).stem.lower()).values()
    ] == [
        ("scores.x.sts-de", "71.5", "number", "Scores", "x"),
        ("scores.x.sts-fr", "70.5", "number", "Scores", "x"),
        ("scores.x.n", "1,234", "count", "Scores", "x"),
    ]


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        *[
            ("card.md", cell)
            for cell in (
                "71&period;5",
                "7<b>1.5</b>",
                "22M²",
                "x2.5",
                "71.5 [63.0,65.2]",
                "１２",
                "12\u202f345",
                "12.018e-3 (１２)",
                "３４５ / 345,366",
            )
        ],
        *[
            ("card.tex", cell)
            for cell in (
                r"$71.5\pm0.3$",
                r"71\!.5",
                r"12\,345",
                r"\textasciitilde71.5",
                r"\cellcolor{gray!20}２０２",
                r"$1.5\times10^{-3}$",
            )
        ],
        *[("card.csv", cell) for cell in ("71.5", "2024-01-05", "71", '"1,024"')],
    ],
)
def test_the_check_of_a_fresh_ledger_finds_its_numbers(empty: Path, name: str, cell: str) -> None:
    rows = [("m", "a", "b", "c"), ("x", "61.5", cell, "62.5"), ("y", "1", "2", "3")]
    joint, end, rule = {"card.md": ("|", "|", "-|-|-|-|"), "card.tex": ("&", r"\\", r"\midrule"), "card.csv": (",", "", "")}[
        name
    ]
    lines = [joint.join(row) + end for row in rows]
    lines.insert(1, rule)
    lines = [r"\begin{tabular}{lrrr}", *lines, r"\end{tabular}"] if name == "card.tex" else lines
    done = take(empty, "\n".join(lines), name)
    assert {"61.5", "62.5", "1", "2", "3"} <= {claim.text for claim in claims_of(empty).values()}
    assert done.imported + sum(entry.numbers for entry in done.left_out) == done.seen
    assert not_printed(empty / name, "card", ledger_of(empty)) == {}


def test_what_a_paper_reads_from_other_files_is_noted(empty: Path) -> None:
    done = take(empty, "\\begin{tabular}{lr} m & a \\\\ \\hline x & 1.5 \\\\ \\input{rows} \\end{tabular}", "paper.tex")
    assert done.notes == ("not read, as they are documents of their own: rows",)


def test_csv_and_tsv_are_tables(empty: Path) -> None:
    take(empty, "name,spearman (%),n\nstsb,82.03,1379\nsts12,72.37,3108\n", "Scores 1.csv")
    assert {key: (one.value, one.unit) for key, one in claims_of(empty, "scores-1").items()} == {
        "scores-1.stsb.spearman": ("82.03", "percent"),
        "scores-1.stsb.n": ("1379", "number"),
        "scores-1.sts12.spearman": ("72.37", "percent"),
        "scores-1.sts12.n": ("3108", "number"),
    }
    take(empty, "name\tn\nstsb\t1\n", "t.tsv")
    assert list(claims_of(empty, "t")) == ["t.stsb.n"]
    with pytest.raises(BadConfiguration, match="no numbers after the first column"):
        take(empty, "a,b\n1,x\n", "words.csv")


DOCUMENTS: dict[str, Callable[[int], str]] = {  # of some thousand characters each
    "rows": lambda n: (
        "| a | b |\n|---|---|\n" + "| some words of a row | 1,234.5 |\n" * (2 * n) + "word and others\n" * (40 * n)
    ),
    "paragraphs": lambda n: CARD + "word | and others\n\n" * (6 * n) + "words of the card\n\n" * (14 * n) + "x" * (440 * n),
    "markup": lambda n: CARD + "| a " * (12 * n) + "\n" + "> - # `[x](" * (90 * n),
    "heading": lambda n: "# " + "[a](" * (250 * n),
    "a deep value": lambda n: index("type: a, value: 1", head=f"x: {'[' * (500 * n)}{']' * (500 * n)}\n"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_importing_takes_time_that_grows_with_the_document(empty: Path, name: str) -> None:
    def work(size: int) -> Callable[[], object]:
        text = DOCUMENTS[name](size)

        def ask() -> None:
            (empty / "manifests/claims/card.yaml").unlink(missing_ok=True)
            try:
                take(empty, text)
            except RegistryError as error:
                assert any(word in error.message for word in ("no numbers", "nested more than", "nesting depth", "larger than"))

        return ask

    assert_linear(work, sampling.times(600, 300))


def test_a_ledger_with_faults_is_not_touched(empty: Path) -> None:
    take(empty, CARD)
    path = empty / "manifests/claims/card.yaml"
    for fault in (b"claims: 1\n", path.read_bytes().replace(b"unit: count", b"unit: apples", 1)):
        path.write_bytes(fault)
        with pytest.raises(Refused, match="was not changed") as raised:
            take(empty, CARD)
        assert raised.value.findings and path.read_bytes() == fault


def test_places_that_are_no_documents(empty: Path) -> None:
    project = open_project(empty)
    with pytest.raises(BadConfiguration, match="a folder"):
        import_claims(project, empty)
    with pytest.raises(CannotCheck, match="No such file"):
        import_claims(project, empty / "nothing.md")
    with pytest.raises(CannotCheck, match="not a regular file"):
        import_claims(project, Path("/dev/null"))
    for name in ("../x", ".x", "", "a/b", "x:y"):
        with pytest.raises(BadConfiguration, match="not the name of a ledger"):
            take(empty, CARD, into=name or "/")
    assert not (empty / "manifests").exists()


def test_the_command(empty: Path, tmp_path: Path) -> None:
    (empty / "card.md").write_text(CARD)
    done = aqea("claims", "import", "card.md", cwd=empty)
    assert (done.status, done.err) == (0, "")
    assert done.out == (
        "manifests/claims/card.yaml: 8 claims, 8 new, 0 changed: written\n8 numbers seen, 8 imported, 0 left out\n"
    )
    (empty / "card.md").write_text(CARD.replace("| small | 0.5 | 1,000 |", "| small | nan | 1,000"))
    done = aqea("claims", "import", "card.md", "--json", cwd=empty)
    value = done.json()
    assert (done.status, value["schema"]) == (1, "aqea-registry/claims-import/1")
    assert [(one["code"], one["subject"]) for one in value["findings"]] == [("claim-stale", "card: results.small.score")]
    assert value["notes"] == ["Results: no finite number: 'nan' (line 22)"]
    done = aqea("claims", "import", "card.md", "--prune", "-q", cwd=empty)
    assert done == (0, "", "")
    missing = aqea("claims", "import", "nothing.md", cwd=empty)
    assert (missing.status, missing.out) == (3, "") and "nothing.md: cannot be read" in missing.err


WITHOUT = "import sys; sys.modules['huggingface_hub'] = None; from aqea_registry.cli.shell import main; main()"


def test_a_card_needs_huggingface_hub_and_a_table_does_not(empty: Path) -> None:
    (empty / "card.md").write_text(CARD)
    (empty / "table.md").write_text(CARD.partition("---\n# ")[2])
    result = run(BIN / "python", "-c", WITHOUT, "claims", "import", "card.md", cwd=empty)
    assert (result.status, result.out) == (3, "")
    assert "pip install 'aqea-registry[stores]'" in result.err and "Traceback" not in result.err
    assert run(BIN / "python", "-c", WITHOUT, "claims", "import", "table.md", cwd=empty).status == 0


@pytest.mark.shared
@pytest.mark.parametrize(
    ("seed", "ledger", "claims"),
    [("001_d1ddf7e09dec3dc3.txt", "lodestone-card", 990 + 47), ("002_9c55ea87f5871f67.txt", "minilm-card", 990 + 33)],
)
def test_the_seeds_cards_are_read_whole(empty: Path, seed: str, ledger: str, claims: int) -> None:
    project = open_project(empty)
    done = import_claims(project, SHARED / "seeds" / seed)
    assert (done.claims, done.findings) == (claims, ())
    found = ledger_of(empty, Path(done.ledger).stem)
    lines = (SHARED / "seeds" / seed).read_text(encoding="utf-8").split("\n")
    assert all(claim.text in lines[(claim.at.line or 0) - 1] for claim in found.claims)
    assert len([claim for claim in found.claims if (claim.derived or "").startswith("max(")]) == 9
    committed = CARDS / f"manifests/claims/{ledger}.yaml"
    (empty / "manifests/claims/committed.yaml").write_bytes(committed.read_bytes())
    again = import_claims(project, SHARED / "seeds" / seed, into="committed")
    assert (again.written, again.added, again.changed, again.gone) == (False, (), (), ())


def test_a_document_of_which_no_number_is_read_says_why(empty: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"not one of its 2 numbers .* a decimal comma\?: '61,5' \(line 3, column 4\)"):
        take(empty, table("|m|s|", "|x|61,5|", "|y|60,5|"))
