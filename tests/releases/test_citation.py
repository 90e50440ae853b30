"""CITATION.cff: read as GitHub reads it, and told to BibTeX without accidents."""

from __future__ import annotations

import pytest

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.project.citation import Author, Citation, links, parse_citation
from aqea_registry.releases.card import bibtex
from tests.tools import ROOT

FULL = b"""
cff-version: 1.2.0
title: "A & B: 100% of #1_x"
authors:
  - {family-names: Lovelace, given-names: Ada, orcid: "https://orcid.org/0000-0000-0000-0000"}
  - name: The others
version: 1.10
date-released: 2026-11-21
doi: 10.5281/zenodo.1
repository-code: https://example.org/x
"""


def test_what_is_read_and_what_is_written() -> None:
    citation = parse_citation(FULL)
    assert (citation.date_released, citation.version, citation.home()) == ("2026-11-21", "1.10", "https://example.org/x")
    assert bibtex(citation, "Title {of}\nthe release") == (
        "@misc{a-b,\n"
        "  title = {{A \\& B: 100\\% of \\#1\\_x}},\n"
        "  author = {{Ada Lovelace} and {The others}},\n"
        "  year = {2026},\n"
        "  version = {1.10},\n"
        "  doi = {10.5281/zenodo.1},\n"
        "  url = {https://example.org/x},\n"
        "  note = {Title \\{of\\} the release},\n"
        "}"
    )


def test_where_it_is_found_is_what_the_authors_say() -> None:
    text = b"title: x\nurl: https://example.org/page\nidentifiers: [{type: swh, value: y}, {type: doi, value: https://doi.org/10.1/z}]"
    citation = parse_citation(text)
    doi = ("DOI", "https://doi.org/10.1/z")
    assert links(None, citation) == (("Project", "https://example.org/page"), doi)
    assert links("https://example.org/own", citation) == (("Project", "https://example.org/own"), doi)
    assert "doi = {10.1/z}" in bibtex(citation, "n") and links(None, None) == ()
    for address in (b"https://token@github.com/o/r", b"git@github.com:o/r", b"javascript:alert(1)", b"https://x/<script>"):
        with pytest.raises(BadConfiguration, match="repository-code: not an address") as refused:
            parse_citation(b"title: x\nrepository-code: " + address)
        assert "token" not in str(refused.value)


def test_a_title_is_enough() -> None:
    assert bibtex(Citation(title="日本"), "n") == "@misc{release,\n  title = {{日本}},\n  note = {n},\n}"
    assert str(Author(name="x", given_names="y")) == "x"


def test_the_projects_own() -> None:
    citation = parse_citation((ROOT / "CITATION.cff").read_bytes())
    assert citation.authors and citation.date_released and citation.version


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"title: []", b"authors: []", b"title: x\nauthors: x", b"title: x\ntitle: y", b"\xff"]
)
def test_what_is_none_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(BadConfiguration, match=r"CITATION\.cff"):
        parse_citation(content)
