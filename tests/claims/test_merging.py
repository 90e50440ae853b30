"""A document that was edited is imported again: evidence stays with its number, whatever is called the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from aqea_registry.claims.drafting import claims_of_tables
from aqea_registry.claims.ledger import Document, Ledger, Quotation
from aqea_registry.claims.merging import Merged, merge
from aqea_registry.documents.markup_tables import markdown_tables
from tests import sampling
from tests.growth import assert_linear


class Page:
    """A page of tables, in which many rows, columns and tables are called the same, and some numbers are equal."""

    def __init__(self, random: Random) -> None:
        self.random, self.count = random, 0
        self.tables = [self.table() for _ in range(random.randint(1, 3))]

    def number(self) -> str:
        self.count += 1
        return f"60.{self.count:03d}" if self.random.random() < 0.8 else self.random.choice(["61.5", "62.5"])

    def row(self, width: int) -> tuple[str, list[str]]:
        return self.random.choice("abcA"), [self.number() for _ in range(width)]

    def table(self) -> tuple[str, list[str], list[tuple[str, list[str]]]]:
        columns = [self.random.choice("stS") for _ in range(self.random.randint(1, 3))]
        return self.random.choice(["", "P", "Q"]), columns, [self.row(len(columns)) for _ in range(self.random.randint(1, 4))]

    def edit(self) -> None:
        """Add, remove, move, repeat or rename a table, a row or a column, or change a number."""
        random = self.random
        place = random.randrange(len(self.tables))
        caption, columns, rows = self.tables[place]
        row, column = random.randrange(len(rows)), random.randrange(len(columns))
        match random.randint(0, 12):
            case 0:
                self.tables.insert(random.randint(0, len(self.tables)), self.table())
            case 1:
                del self.tables[place : random.randrange(1, len(self.tables) + 1)]
                self.tables = self.tables or [self.table()]
            case 2:
                random.shuffle(self.tables)
            case 3:
                rows.insert(random.randint(0, len(rows)), self.row(len(columns)))
            case 4:
                random.shuffle(rows)
            case 5:
                columns.insert(column, random.choice("stS"))
                for _, numbers in rows:
                    numbers.insert(column, self.number())
            case 6:
                self.tables[place] = (random.choice(["", "P", "Q", "R"]), columns, rows)
            case 7:
                rows[row] = (random.choice("abcAd"), rows[row][1])
            case 8:
                columns[column] = random.choice("stSu")
            case 9:
                rows.insert(row, rows[row])
            case 10:
                self.tables.insert(place, (caption, [*columns], [(name, [*numbers]) for name, numbers in rows]))
            case 11:
                rows.insert(row, (random.choice("IJ"), [""] * len(columns)))
            case _:
                rows[row][1][column] = self.number()

    def text(self) -> str:
        lines = ["# Scores", ""]
        for caption, columns, rows in self.tables:
            lines += [f"**{caption}**", ""] if caption else []
            lines += [f"|m|{'|'.join(columns)}|", "|-" * (len(columns) + 1) + "|"]
            lines += [*(f"|{name}|{'|'.join(numbers)}|" for name, numbers in rows), ""]
        return "\n".join(lines)


def imported(page: Page, old: Ledger | None = None) -> Merged:
    text = page.text()
    tables = markdown_tables(text, "page.md")
    document = Document(title="t", sha256=hashlib.sha256(text.encode()).hexdigest(), file="page.md")
    claims = claims_of_tables(tables, text, "page.md").claims
    return merge(old or Ledger(document=document), document, {}, claims, text.split("\n"), list, prune=False, model=None)


@settings(max_examples=sampling.times(2000, 60), deadline=None)
@given(st.randoms(use_true_random=False))
def test_evidence_does_not_move_to_another_number_without_a_finding(random: Random) -> None:
    page = Page(random)
    first = imported(page).ledger
    claims = [replace(one, quoted=Quotation(source=one.text)) if random.random() < 0.5 else one for one in first.claims]
    old = replace(first, claims=tuple(claims))
    assert imported(page, old).ledger == old
    for _ in range(random.randint(1, 3)):
        page.edit()
    merged = imported(page, old)
    evidence = {claim.id: (claim.quoted.source, claim.text) for claim in merged.ledger.claims if claim.quoted}
    assert {id_ for id_, (source, text) in evidence.items() if source != text} == set(merged.kept)
    assert {source for source, _ in evidence.values()} == {claim.quoted.source for claim in claims if claim.quoted}
    assert len({claim.id for claim in merged.ledger.claims}) == len(merged.ledger.claims)
    again = imported(page, merged.ledger)
    assert {claim.id: (claim.quoted.source, claim.text) for claim in again.ledger.claims if claim.quoted} == evidence
    assert again.ledger == merged.ledger or merged.doubtful


def test_importing_again_takes_time_that_grows_with_the_document() -> None:
    def work(size: int) -> Callable[[], object]:
        page = Page(Random(1))
        page.tables = [("", ["s", "t"], [(f"r{n}", [f"{n}.5", f"{n}.25"]) for n in range(size)])]
        old = imported(page).ledger
        return lambda: imported(page, old)

    assert_linear(work, 300)


@pytest.mark.parametrize(
    ("old", "new", "before"),
    [("P", "R", "\nA paragraph.\n"), ("|m|s|t|", "|m|S|t|", ""), ("|a|", "|a (v2)|", "")],
    ids=["table", "column", "row"],
)
def test_a_number_whose_table_row_or_column_was_renamed_is_one_claim(old: str, new: str, before: str) -> None:
    page = Page(Random(1))
    page.tables = [("P", ["s", "t"], [("a", ["60.1", "60.2"]), ("b", ["60.3", "60.4"])])]
    first = imported(page).ledger
    text = page.text()
    page.text = lambda: text.replace("# Scores\n", f"# Scores\n{before}").replace(old, new)  # type: ignore[method-assign]
    merged = imported(page, first)
    assert (merged.added, merged.gone, merged.changed) == ((), (), ())
    assert [(claim.id, claim.text) for claim in merged.ledger.claims] == [(claim.id, claim.text) for claim in first.claims]
