"""Claims as LaTeX macros: their names and texts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.claims.export_claims import escaped
from aqea_registry.claims.ledger import macro_names

NAMES = st.lists(st.from_regex(r"[a-z][a-z0-9-]{0,3}:[a-z0-9][a-z0-9._/+@-]{0,4}", fullmatch=True), unique=True, max_size=30)


@pytest.mark.parametrize(
    ("name", "macro"),
    [
        ("minilm:stsbenchmark.cos_sim_spearman", "aqeaMinilmStsbenchmarkCosSimSpearman"),
        ("kalm:table2.le-4.zh", "aqeaKalmTableTwoLeFourZh"),
        ("a:ndcg_at_10.x12", "aqeaANdcgAtOnezeroXOnetwo"),
        ("Card.v1:x", "aqeaCardVOneX"),
    ],
)
def test_a_macro_is_the_names_words_with_digits_spelled_out(name: str, macro: str) -> None:
    assert macro_names([name, "z:other"])[name] == f"\\{macro}"


@given(NAMES)
def test_macros_are_letters_and_no_two_claims_share_one(names: list[str]) -> None:
    macros = macro_names(names)
    assert list(macros) == names
    assert len(set(macros.values())) == len(names)
    assert all(re.fullmatch(r"\\aqea[A-Za-z]+", macro) for macro in macros.values())


@given(NAMES, NAMES)
def test_a_claim_more_never_moves_a_macro_to_another_claim(names: list[str], more: list[str]) -> None:
    before, after = macro_names(names), macro_names(list(dict.fromkeys([*more, *names])))
    owner = {macro: name for name, macro in before.items()}
    assert all(owner.get(macro, name) == name for name, macro in after.items())


def test_where_names_collide_none_keeps_the_short_one() -> None:
    macros = macro_names(["a:x-1", "a:x.one", "a:y"])
    assert macros["a:y"] == "\\aqeaAY"
    assert "\\aqeaAXOne" not in macros.values()
    assert all(re.fullmatch(r"\\aqeaAXOneX[a-z]{6}", macros[key]) for key in ("a:x-1", "a:x.one"))
    assert macro_names(["a:x.one", "a:x-1"]) == {key: macros[key] for key in ("a:x.one", "a:x-1")}


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("1,170,060,424", "1,170,060,424"),
        ("−1.5", "-1.5"),
        ("a_b & 50% of #1 {x} $y$", r"a\_b \& 50\% of \#1 \{x\} \$y\$"),
        ("^~\\", r"\textasciicircum{}\textasciitilde{}\textbackslash{}"),
        ("two\nlines\x1b\u202e", "two lines"),
    ],
)
def test_a_text_is_escaped(text: str, latex: str) -> None:
    assert escaped(text) == latex


@given(st.text(max_size=20))
def test_nothing_special_is_left(text: str) -> None:
    rest = re.sub(r"\\(?:[{}$&#_%]|text(?:backslash|asciicircum|asciitilde)\{\})", "", escaped(text))
    assert not set(rest) & set("\\{}$&#^_~%\n\r")
