"""The margin: how far values that were not decided are from a rounding boundary, in what two arrangements differ by."""

from __future__ import annotations

import msgspec
import pytest

from aqea_registry.vectors.margin import KNOWN, SMALLEST_SPREAD, THIN, Margin, Spread, margin, margin_text, reach

SPREAD = Spread(value=5e-16, sample=32)


def test_the_nearest_value_counts_on_either_side() -> None:
    found = margin([1e-12, -4.5e-15, 2e-12], SPREAD, 3)
    assert (found.distance, found.decided) == (4.5e-15, 3) and found.ratio == pytest.approx(9.0)
    text = margin_text(found)
    assert text.startswith(
        "nearest rounding boundary 4.5e-15 away; two arrangements differed by 5.0e-16 on 32 sentences: margin 9;"
    )
    assert text.endswith("decided and listed: 3")


def test_where_all_values_are_far_the_margin_is_larger_than_what_is_known() -> None:
    assert margin([], SPREAD) == Margin(distance=KNOWN, spread=SPREAD, ratio=KNOWN / 5e-16)
    assert margin_text(margin([], SPREAD)).endswith("margin more than 20000")


def test_a_spread_of_zero_is_taken_for_half_a_last_place() -> None:
    assert margin([1e-15], Spread(value=0.0, sample=1)).ratio == pytest.approx(9.007, rel=1e-3)
    assert reach(Spread(value=0.0, sample=1)) == THIN * SMALLEST_SPREAD
    assert reach(SPREAD) == pytest.approx(4e-15)


def test_without_a_spread_nothing_is_judged() -> None:
    assert margin([0.0], None) == Margin(distance=0.0, spread=None, ratio=None)
    assert reach(None) == 0


def test_margins_of_earlier_versions_can_be_read() -> None:
    old = {"distance": 3e-15, "spread": None, "ratio": None, "thin": [{"matrix": "embeddings1", "row": 1}], "offset": 2e-7}
    assert msgspec.convert(old, Margin) == Margin(distance=3e-15, spread=None, ratio=None)
