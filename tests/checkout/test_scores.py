"""The table of docs/scores.md is the one that the script writes."""

from __future__ import annotations

import pytest

from benchmarks import tasks


@pytest.mark.rare
def test_the_table_of_costs_is_what_its_script_writes() -> None:
    found = tasks.TABLE.search(tasks.PAGE.read_text("utf-8"))
    assert found
    assert found[0] == f"{found[1]}{tasks.table(tasks.measured())}{found[2]}"
