"""Counts as people write them."""

from __future__ import annotations

from aqea_registry.base.progress import plural


def test_one_is_singular_and_every_other_count_is_plural() -> None:
    assert [plural(count, "file") for count in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
    assert [plural(count, "entry is", "entries are") for count in (1, 2)] == ["1 entry is", "2 entries are"]
    assert plural(12345, "row", form=",") == "12,345 rows"
