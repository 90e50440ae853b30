"""Lists of data that a paper names: one spelling, nothing invented, oddities told."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.sources.data_list import list_findings, parse_list, render_list
from tests.tools import ROOT, SHARED

LIST = ROOT / "manifests/kalm-data.json"


def rows(*changes: dict[str, Any]) -> bytes:
    common = {"table": 8, "name": "A", "url": "https://x.org/a", "host": "other", "repository": None}
    state = {"requested": None, "commit": None, "state": "unresolved"}
    values = [{**common, **state, "row": number, **change} for number, change in enumerate(changes, 1)]
    return json.dumps({"schema": "aqea-registry/data-list/1", "document": "a paper", "rows": values}).encode()


def test_the_projects_own_list_is_in_its_one_spelling() -> None:
    content = LIST.read_bytes()
    data = parse_list(content, "list")
    assert render_list(data) == content
    assert (len(data.rows), len({row.url for row in data.rows})) == (113, 107)


@pytest.mark.shared
def test_every_url_stands_in_the_paper() -> None:
    paper = next((SHARED / "seeds").glob("003*")).read_text()
    urls = set(re.findall(r"https?://\S+", paper))
    assert {row.url for row in parse_list(LIST.read_bytes(), "list").rows if row.url} <= urls


def test_oddities_are_told() -> None:
    data = parse_list(rows({}, {"name": "B"}, {"url": "https://x.org/b"}, {"url": None, "name": "C"}), "list")
    assert [(finding.code, finding.subject) for finding in list_findings(data)] == [
        ("duplicate", "table 8, row 2"),
        ("conflict", "table 8, row 3"),
        ("malformed", "table 8, row 4"),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": "https://x.org/a b"}, "url"),
        ({"url": "x.org/a"}, "url"),
        ({"commit": "abc"}, "commit"),
        ({"state": "fine"}, "state"),
        ({"stars": 5}, "stars"),
    ],
)
def test_a_bad_row_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadConfiguration, match=rf"list: rows\[1\].*{message}"):
        parse_list(rows({}, change), "list")
