"""Documents in the shapes that people have reported, from the import to the verdicts: each with its right values."""

from __future__ import annotations

from pathlib import Path

import pytest

from aqea_registry.base.progress import Silent
from aqea_registry.claims.check_claims import check_claims
from aqea_registry.claims.import_claims import import_claims
from aqea_registry.claims.ledger import Verdict
from aqea_registry.project.project import open_project

PARAMS = "datasets: {}\nmodels: {}\nruns: {}\nrun: {pairs: {}, exports: {}}\npublish: {stores: [], title: Shapes}\n"
INDEX = """---
model-index:
- name: m
  results:
  - task: {{type: {task}}}
    dataset: {{name: {name} X, type: org/x, config: default, split: test, revision: 0123456789abcdef0123456789abcdef01234567}}
    metrics:
    - type: {metric}
      value: {first}
  - task: {{type: {task}}}
    dataset: {{name: {name} Y, type: org/y, config: default, split: test, revision: 0123456789abcdef0123456789abcdef01234567}}
    metrics:
    - type: {metric}
      value: {second}
---
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "manifests/claims").mkdir(parents=True)
    return tmp_path


def verdicts(project: Path, *ledgers: str) -> dict[str, Verdict]:
    return {one.claim.id: one for one in check_claims(open_project(project), [project], Silent(), [*ledgers]).verdicts}


def imported(project: Path, text: str) -> dict[str, Verdict]:
    (project / "card.md").write_text(text)
    import_claims(open_project(project), project / "card.md")
    return verdicts(project)


def test_of_averages_in_columns_first_and_last_rows_the_one_that_breaks_is_contradicted(project: Path) -> None:
    text = """# Card
## Column
| model | Dim | A | B | Avg |
|---|---|---|---|---|
| one | 384 | 12.00 | 29.00 | 20.50 |
| two | 768 | 13.00 | 31.00 | 26.00 |
| three | 384 | 15.00 | 32.00 | 23.50 |

## First row
| set | one | two | three |
|---|---|---|---|
| avg | 20.00 | 41.00 | 26.00 |
| A | 10.00 | 21.00 | 16.00 |
| B | 30.00 | 51.00 | 36.00 |

## Weighted: none is a plain mean
| model | X (15) | Y (5) | Average (20) |
|---|---|---|---|
| one | 10.00 | 50.00 | 20.00 |
| two | 20.00 | 60.00 | 30.00 |
"""
    found = imported(project, text)
    wrong = {own: one.recomputed for own, one in found.items() if one.state == "contradicted"}
    assert wrong == {"column.two.avg": "22", "first-row.avg.two": "36"}
    rows = [*(f"column.{name}.avg" for name in ("one", "three")), *(f"first-row.avg.{name}" for name in ("one", "three"))]
    rows += [f"weighted-none-is-a-plain-mean.{name}.average-20" for name in ("one", "two")]
    assert [own for own, one in found.items() if one.state == "holds"] == rows


def test_the_average_of_a_table_is_held_against_the_model_index_in_percent(project: Path) -> None:
    card = INDEX.format(task="Retrieval", name="MTEB", metric="ndcg_at_10", first="50.004", second="59.998")
    text = card + "# Card\n\n## Metrics\n\n| model | Retrieval (2) |\n|---|---|\n| m | 55.00 |\n"
    assert imported(project, text)["metrics.m.retrieval-2"].state == "holds"


def test_a_table_in_percent_is_held_against_the_fractions_of_the_model_index(project: Path) -> None:
    card = INDEX.format(task="semantic-similarity", name="set", metric="spearman_cosine", first="0.832044", second="0.811901")
    rows = "| set | Pearson | Spearman |\n|---|---|---|\n| set X | 84.00 | 83.20 |\n| set Y | 82.00 | 81.19 |\n"
    found = imported(project, f"{card}# Card\n\n## Scores (%)\n\n{rows}")
    spearman = [found[f"scores.set-{name}.spearman"] for name in "xy"]
    assert [(one.state, one.claim.derived) for one in spearman] == [
        ("holds", "percent([set-x.spearman_cosine])"),
        ("holds", "percent([set-y.spearman_cosine])"),
    ]


def test_a_decimal_comma_is_a_finding_and_nothing_is_a_thousand_times_as_large(project: Path) -> None:
    card = INDEX.format(task="STS", name="MTEB", metric="cosine_spearman", first="82,034", second="0,842")
    (project / "card.md").write_text(f"{card}# M\n\n| set | score |\n|---|---|\n| STS12 | 71,5 |\n| STS13 | 82.25 |\n")
    read = import_claims(open_project(project), project / "card.md")
    assert [(finding.code, finding.actual) for finding in read.findings] == [("malformed", "82,034"), ("malformed", "0,842")]
    assert (read.seen, read.imported, [left.text for left in read.left_out]) == (4, 1, ["82,034", "0,842", "71,5"])
    assert [one.claim.value for one in verdicts(project).values()] == ["82.25"]


@pytest.mark.parametrize(
    ("before", "after", "value"),
    [
        (
            "| Rank | Model | STS |\n|---|---|---|\n| 1 | alpha | 80.10 |\n| 2 | beta | 79.00 |\n",
            "| Rank | Model | STS |\n|---|---|---|\n| 1 | delta | 81.00 |\n| 2 | alpha | 80.10 |\n| 3 | beta | 79.00 |\n",
            "80.10",
        ),
        (
            "**Pearson**\n\n| m | STS |\n|---|---|\n| a | 80.10 |\n\n**Spearman**\n\n| m | STS |\n|---|---|\n| a | 79.20 |\n",
            "**Pearson**\n\n| m | STS |\n|---|---|\n| a | 80.10 |\n\n**Kendall**\n\n| m | STS |\n|---|---|\n| a | 61.30 |\n\n"
            "**Spearman**\n\n| m | STS |\n|---|---|\n| a | 79.20 |\n",
            "79.20",
        ),
    ],
    ids=["ranks", "captions"],
)
def test_evidence_stays_with_its_number_where_rows_and_tables_come_before_it(
    project: Path, before: str, after: str, value: str
) -> None:
    imported(project, f"# Board\n\n{before}")
    ledger = project / "manifests/claims/card.yaml"
    lines = [line[:-1] + ", quoted: {source: by hand}}" if value in line else line for line in ledger.read_text().splitlines()]
    ledger.write_text("\n".join(lines) + "\n")
    found = imported(project, f"# Board\n\n{after}")
    assert [one.claim.value for one in found.values() if one.claim.quoted] == [value] and len(found) > 2


def test_bounds_and_rounded_factors_hold_as_what_they_say(project: Path) -> None:
    claims = [
        '{id: a, value: "47.31", unit: number, at: {line: 1}, quoted: {source: table}}',
        '{id: b, value: "52.07", unit: number, at: {line: 1}, quoted: {source: table}}',
        '{id: fast, value: "24744", unit: number, at: {line: 2}, quoted: {source: table}}',
        '{id: slow, value: "118", unit: number, at: {line: 2}, quoted: {source: table}}',
        '{id: over90, value: "90", unit: percent, at: {line: 3}, bound: over, derived: "percent(ratio([a], [b]))"}',
        '{id: over91, value: "91", unit: percent, at: {line: 3}, bound: over, derived: "percent(ratio([a], [b]))"}',
        '{id: factor, value: "200", unit: ratio, at: {line: 4}, digits: 1, derived: "ratio([fast], [slow])"}',
        '{id: gain, value: "4.8", unit: percent, at: {line: 5}, derived: "difference([b], [a])"}',
        '{id: plain, value: "200", unit: ratio, at: {line: 4}, derived: "ratio([fast], [slow])"}',
    ]
    head = 'schema: aqea-registry/claims/1\ndocument: {title: prose, file: "prose.md"}\nclaims:\n'
    (project / "manifests/claims/prose.yaml").write_text(head + "".join(f"- {claim}\n" for claim in claims))
    found = verdicts(project)
    states = {own: found[own].state for own in ("over90", "over91", "factor", "gain", "plain")}
    assert states == {"over90": "holds", "over91": "contradicted", "factor": "holds", "gain": "holds", "plain": "contradicted"}
    assert "write digits: 1" in found["plain"].message
