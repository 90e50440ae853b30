"""Tables on terminals of some widths: nothing is squeezed to a word a line, nothing is lost, states have colours."""

from __future__ import annotations

import re

import click
import pytest

from aqea_registry.cli.output import paint, table_lines

DIGEST = "0123456789abcdef" * 4
HEADER = ("finding", "subject", "what", "expected", "actual")
ROW = ("mismatch", "training/data/forum_minilm_384d_pairs.json", "the bytes are not those that the list names", DIGEST, DIGEST)
COUNTS = (("ledger", "holds", "contradicted", "unchecked"), [("paper", "12", "0", "3"), ("card", "1", "1", "0")])


def plain(lines: list[str]) -> list[str]:
    return [click.unstyle(line) for line in lines]


def test_what_fits_is_aligned() -> None:
    assert plain([*table_lines(*COUNTS, 80)]) == [
        "ledger  holds  contradicted  unchecked",
        "paper   12     0             3",
        "card    1      1             0",
    ]


@pytest.mark.parametrize("width", [40, 80, 100, 300])
def test_every_word_is_there_and_no_line_is_too_wide(width: int) -> None:
    lines = plain([*table_lines(HEADER, [ROW, ROW], width)])
    assert max(map(len, lines)) <= width
    shown = re.sub(r"\s+", "", "".join(lines))
    assert all(re.sub(r"\s+", "", cell) in shown for cell in ROW) or width < 80, "in narrow ones digests are broken"
    if width == 80:
        assert "what      the bytes are not those that the list names" in lines, "a block of lines, and whole sentences"
        assert f"actual    {DIGEST}" in lines


def test_one_long_column_is_wrapped_at_words_beside_the_others() -> None:
    lines = plain([*table_lines(("state", "why"), [("unchecked", "it quotes a page " * 6)], 60)])
    assert lines[1].startswith("unchecked  it quotes a page it quotes")
    assert {line[:11] for line in lines[2:]} == {" " * 11}


def test_states_and_counts_of_states_have_colours() -> None:
    assert paint("holds") == click.style("holds", fg="green")
    assert paint("contradicted") == click.style("contradicted", fg="red")
    assert paint("unchecked") == click.style("unchecked", fg="yellow")
    assert paint("something else") == "something else"
    lines = [*table_lines(*COUNTS, 80)]
    assert click.style("12   ", fg="green") in lines[1]
    assert click.style("1           ", fg="red") in lines[2]
    assert click.style("0", fg="red") not in lines[1], "a count of nothing has none"
