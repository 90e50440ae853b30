"""Numbers of the text that a table prints, too: bound where the sentence names the cell, and nothing by chance."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from aqea_registry.base.progress import Silent
from aqea_registry.claims.check_claims import check_claims
from aqea_registry.claims.import_claims import import_claims
from aqea_registry.claims.ledger import At, Claim
from aqea_registry.claims.lint_claims import lint_claims
from aqea_registry.claims.relations import DraftedTable
from aqea_registry.claims.sentences import claims_of_text
from aqea_registry.documents.numbers import Unit
from aqea_registry.project.project import open_project
from benchmarks.relations import compared
from tests.growth import assert_linear

ROWS, COLUMNS = ("cedar-s", "cedar-l", "tulip"), ("model", "News", "Law", "Retrieval (2)")
CELLS = (("70.52", "61.10", "58.40"), ("75.81", "66.45", "63.90"), ("72.16", "63.70", "64.25"))


def table(unit: Unit = "number") -> DraftedTable:
    cells = {(r, c): value for r, row in enumerate(CELLS) for c, value in enumerate(row, 1)}
    claims = {(r, c): Claim(id=f"t.{r}.{c}", value=value, unit=unit, at=At(line=r + 3)) for (r, c), value in cells.items()}
    return DraftedTable("T", ROWS, COLUMNS, claims)


def bound(sentence: str, unit: Unit = "number") -> dict[str, str | None]:
    """What numbers of a sentence behind nine lines are bound to, by their ids."""
    found = claims_of_text("\n" * 9 + sentence, "markdown", [table(unit)])
    assert {claim.at.line for claim in found} <= {10, 12}
    return {claim.id: claim.derived or (claim.quoted.claim if claim.quoted else None) for claim in found}


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        (
            "Cedar-L reaches 75.81 on News and **66.45** on Law.",
            {"in-text.cedar-l.news": "t.1.1", "in-text.cedar-l.law": "t.1.2"},
        ),
        ("It has 63.90 nDCG on the two retrieval sets.", {"in-text.cedar-l.retrieval-2": "t.1.3"}),
        (
            "On Law tulip has 63.7%, and again: 63.70% on Law by tulip.",
            {"in-text.tulip.law": "t.2.2", "in-text.tulip.law-2": "t.2.2"},
        ),
        ("On Law, tulip has 67.30.", {"in-text.tulip.law": "t.2.2"}),  # exchanged digits: to be contradicted
        ("Cedar-l gains 5.35 points over cedar-s on Law.", {"in-text.cedar-l-cedar-s.law": "difference([t.1.2], [t.0.2])"}),
        ("On Law, cedar-l has 64.6.", {"in-text.cedar-l.law": "t.1.2"}),  # of 66.4: exchanged and rounded
        ("On Law, cedar-l has 66.4; 64.6 is kept.", {"in-text.cedar-l.law": "t.1.2"}),
        ("On Law, cedar-l has 66.45. Of all texts 64.6 % are kept.", {"in-text.cedar-l.law": "t.1.2"}),
        ("On Law, cedar-l is 5.35 better than cedar-s.", {"in-text.cedar-l-cedar-s.law": "difference([t.1.2], [t.0.2])"}),
        ("We measured 75.81 on another day.", {}),
        ("It has 64 on Law.", {}),  # one in thirty numbers is as near
        ("Cedar-l has 75.99 on News.", {}),
        ("Tulip has 2.75 points less on Law.", {}),  # than whom?
        ("Cedar-l is 2.5 times faster than tulip on Law.", {}),
        ("Cedar-l gains 5.3 points over cedar-s on Law.", {}),  # one in a hundred differences is as near
        ("Cedar-l is 1.09 times as good as cedar-s on Law.", {}),
        (
            "Cedar-l is 8.76% better than cedar-s on Law.",
            {"in-text.cedar-l-cedar-s.law": "percent(ratio([t.1.2], [t.0.2]) - 1)"},
        ),
        ("Cedar-s is 8.05% behind cedar-l on Law.", {"in-text.cedar-l-cedar-s.law": "percent(1 - ratio([t.0.2], [t.1.2]))"}),
        (
            "Cedar-l gains 5.3 points over cedar-s on News.\n\nTulip is 1.10 times as good as cedar-s on Retrieval.",
            {
                "in-text.cedar-l-cedar-s.news": "difference([t.1.1], [t.0.1])",
                "in-text.tulip-cedar-s.retrieval-2": "ratio([t.2.3], [t.0.3])",
            },
        ),
        ("Cedar-l gains 5.3 points over cedar-s on News.\n\nTulip is 1.2 times as good as cedar-s on Retrieval.", {}),
        ("News of May: 75.82 and 70.25 and 16.27.", {}),
        # A clause has its own names, and takes others from the clause before: also whom `it` is, and `by` without a unit.
        (
            "Cedar-l beats cedar-s by 5.29 points on News and by 5.35 on Law, and tulip by 3.65 on News.",
            {
                "in-text.cedar-l-cedar-s.news": "difference([t.1.1], [t.0.1])",
                "in-text.cedar-l-cedar-s.law": "difference([t.1.2], [t.0.2])",
                "in-text.cedar-l-tulip.news": "difference([t.1.1], [t.2.1])",
            },
        ),
        (
            "Cedar-l has 75.81 on News. On Law it is 5.35 points above cedar-s.",
            {"in-text.cedar-l.news": "t.1.1", "in-text.cedar-l-cedar-s.law": "difference([t.1.2], [t.0.2])"},
        ),
        (
            "On News tulip falls from 75.81 to 72.16 (-3.65 points).",
            {
                "in-text.cedar-l.news": "t.1.1",
                "in-text.tulip.news": "t.2.1",
                "in-text.cedar-l-tulip.news": "difference([t.2.1], [t.1.1])",
            },
        ),
        # One of several that breaks is bound, too: a difference, and a number with a wrong digit; far numbers are others.
        (
            "Cedar-l beats cedar-s by 5.29 points on News, by 5.25 points on Law and by 5.50 points on Retrieval.",
            {
                "in-text.cedar-l-cedar-s.news": "difference([t.1.1], [t.0.1])",
                "in-text.cedar-l-cedar-s.law": "difference([t.1.2], [t.0.2])",
                "in-text.cedar-l-cedar-s.retrieval-2": "difference([t.1.3], [t.0.3])",
            },
        ),
        (
            "Cedar-l has 75.81 on News and 63.90 on Retrieval. On Law, cedar-l has 66.46.",
            {"in-text.cedar-l.news": "t.1.1", "in-text.cedar-l.retrieval-2": "t.1.3", "in-text.cedar-l.law": "t.1.2"},
        ),
        (
            "Cedar-l has 75.81 on News and 63.90 on Retrieval. On Law, cedar-l has 91.27 with more data.",
            {"in-text.cedar-l.news": "t.1.1", "in-text.cedar-l.retrieval-2": "t.1.3"},
        ),
        ("Cedar-l beats cedar-s by 2.29 points on News and by 3.35 points on Law.", {}),  # all are something else
    ],
)
def test_a_number_is_bound_to_the_cell_that_its_sentence_names(sentence: str, expected: dict[str, str]) -> None:
    assert bound(sentence) == expected


SPEED = DraftedTable(
    "T",
    ("float32", "int8", "binary"),
    ("format", "Size (MB)", "Load time (s)", "Docs/s", "Avg"),
    {
        (r, c): Claim(id=f"s.{r}.{c}", value=value, unit="number", at=At(line=r + 3))
        for r, row in enumerate(
            [("1,536", "9.6", "118", "54.82"), ("480", "3.0", "402", "54.15"), ("48", "0.8", "24744", "50.23")]
        )
        for c, value in enumerate(row, 1)
    },
)


@pytest.mark.parametrize(
    ("sentence", "derived", "fields"),
    [
        ("binary loads 12.0 times faster than float32", "ratio([s.0.2], [s.2.2])", (None, None)),
        ("int8 is 3.2x smaller than float32", "ratio([s.0.1], [s.1.1])", (None, None)),
        ("binary is 10 times smaller than int8", "ratio([s.1.1], [s.2.1])", (None, None)),
        ("binary has 200x the docs/s of float32", "ratio([s.2.3], [s.0.3])", (None, 1)),
        ("binary keeps over 91% of the average of float32", None, None),
        ("binary loses more than 8% of the average of float32", "percent(1 - ratio([s.2.4], [s.0.4]))", ("over", None)),
        ("binary loses up to 9% of the average of float32", "percent(1 - ratio([s.2.4], [s.0.4]))", ("at-most", None)),
        ("binary loses more than 9% of the average of float32", None, None),
    ],
)
def test_what_is_smaller_or_faster_names_a_column_and_bounds_and_rounded_factors_stay_what_they_are(
    sentence: str, derived: str | None, fields: tuple[str | None, int | None] | None
) -> None:
    """Beside two numbers that name their cells: alone such factors are too often chance."""
    text = f"The average of float32 is 54.82 and that of binary 50.23.\n\nHere {sentence}."
    found = [claim for claim in claims_of_text("\n" * 9 + text, "markdown", [SPEED]) if claim.derived]
    assert [(claim.derived, (claim.bound, claim.digits)) for claim in found] == ([(derived, fields)] if derived else [])


def test_what_the_document_is_about_is_meant_where_no_row_is_named() -> None:
    text = "# Cedar-L{}\n\nIt has 75.81 on News, 5.29 points more than cedar-s."
    found = [claims_of_text("\n" * 6 + text.format(name), "markdown", [table()]) for name in ("", " and Tulip")]
    assert [[claim.value for claim in claims] for claims in found] == [["75.81", "5.29"], ["75.81", "5.29"]]
    assert found[0][1].derived == "difference([t.1.1], [t.0.1])"


def test_a_word_of_the_name_of_one_table_says_which_is_meant() -> None:
    german = {
        place: msgspec.structs.replace(c, id=f"g{c.id}", value=f"5{(c.value or '')[1:]}") for place, c in table().claims.items()
    }
    tables = [table()._replace(name="Table 1: English"), DraftedTable("Table 2: German", ROWS, COLUMNS, german)]
    text = (
        "In German, cedar-l gains 5.29 points over cedar-s on News. In English cedar-l gains 5.35 points over cedar-s on Law."
    )
    found = claims_of_text("\n" * 9 + text, "markdown", tables)
    assert found[0].derived == "difference([gt.1.1], [gt.0.1])"
    assert {claim.derived for claim in found[1:]} == {"difference([t.1.2], [t.0.2])"}


def test_a_number_with_a_sign_is_not_a_fraction() -> None:
    assert bound("Cedar-l has 75.81% on News.", "fraction") == {}
    assert bound("Cedar-l has 75.81% on News.", "percent") == {"in-text.cedar-l.news": "t.1.1"}


CARD = "\n".join(
    [
        "# Results",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---|---|---|---|",
        *(f"| {' | '.join((name, *cells))} |" for name, cells in zip(ROWS, CELLS, strict=True)),
        "",
        "Cedar-l reaches 75.81 on News. On Law, tulip has 67.30.",
    ]
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    lines = ("datasets: {}", "models: {}", "runs: {}", "run: {pairs: {}, exports: {}}", "publish: {stores: [], title: T}")
    (tmp_path / "params.yaml").write_text("\n".join(lines))
    return tmp_path


def test_ids_do_not_depend_on_lines_and_an_import_judges_and_binds_the_text(project: Path) -> None:
    card = project / "card.md"
    card.write_text(CARD)
    first = import_claims(open_project(project), card)
    checked = check_claims(open_project(project), [project], Silent())
    states = {verdict.claim.id: verdict.state for verdict in checked.verdicts if verdict.claim.id.startswith("in-text.")}
    assert states == {"in-text.cedar-l.news": "holds", "in-text.tulip.law": "contradicted"}
    (document,), _, _ = lint_claims(project, [Path("card.md")])
    assert document.faults == ()
    card.write_text(f"{CARD[CARD.index('Cedar-l') :]}\n{CARD[: CARD.index('Cedar-l')]}")
    again = import_claims(open_project(project), card)
    assert (again.added, again.gone, again.claims) == ((), (), first.claims)


def test_a_number_that_the_text_prints_no_longer_is_gone_and_one_claimed_by_hand_stays_alone(project: Path) -> None:
    (project / "card.md").write_text(CARD)
    import_claims(open_project(project), project / "card.md")
    (project / "card.md").write_text(CARD.replace("75.81 on News", "much on News"))
    again = import_claims(open_project(project), project / "card.md")
    assert (again.gone, again.added) == (("in-text.cedar-l.news",), ())
    ledger = project / "manifests/claims/card.yaml"
    ledger.write_text(ledger.read_text().replace("in-text.tulip.law", "by-hand"))
    (project / "card.md").write_text(CARD.replace("On Law", "\n\nOn Law"))
    again = import_claims(open_project(project), project / "card.md")
    assert (again.gone, again.added) == ((), ())


def test_random_numbers_of_the_text_are_not_bound() -> None:
    chance = random.Random(3)
    sentences = [
        f"{chance.choice(ROWS)} has {chance.uniform(50, 80):.{chance.choice((1, 2))}f} on {chance.choice(COLUMNS[1:3])}."
        for _ in range(2000)
    ]
    assert len(claims_of_text("\n" * 9 + "\n\n".join(sentences), "markdown", [table()])) < 20


def test_random_comparisons_are_not_bound() -> None:
    chance = random.Random(4)
    assert sum(compared(chance) > 0 for _ in range(1000)) <= 1


def large(repeated: bool) -> Callable[[int], Callable[[], object]]:
    def prepare(size: int) -> Callable[[], object]:
        names = ["cedar" if repeated else f"cedar number{n}" for n in range(size)]
        claims = {
            (n, 1): Claim(id=f"t.{n}.1", value=f"{50 + n % 40}.{n % 100:02}", unit="number", at=At(line=1)) for n in range(size)
        }
        text = "\n\n".join(f"The {name} has {50 + n % 40}.{n % 100:02} on News." for n, name in enumerate(names))
        drafted = DraftedTable("T", names, ("model", "News"), claims)
        return lambda: claims_of_text("\n\n" + text, "markdown", [drafted])

    return prepare


@pytest.mark.parametrize("repeated", [False, True])
def test_the_work_is_linear(repeated: bool) -> None:
    assert_linear(large(repeated), 300)


def test_a_sentence_of_many_numbers_takes_time_in_proportion_to_them() -> None:
    def prepare(size: int) -> Callable[[], object]:
        text = "Cedar-l has " + " ".join(f"{50 + n % 40}.{n % 10} on Law and tulip by {n % 9}.1 points" for n in range(size))
        return lambda: claims_of_text(f"\n\n{text}", "markdown", [table()])

    assert_linear(prepare, 300)
