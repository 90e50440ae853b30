"""Lists of decided values: one spelling, held against the lock, and unable to say what the vectors do not allow."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from aqea_registry.base.findings import Refused
from aqea_registry.vectors.margin import DecidedValue, at_boundary, read_decided, render_decided

METHOD = "a" * 64
VALUES = [DecidedValue("c" * 64, 0, -7), DecidedValue("b" * 64, 11, 4), DecidedValue("b" * 64, 2, 1_000_000)]


def test_a_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    content = render_decided(METHOD, VALUES)
    assert content == render_decided(METHOD, reversed(VALUES)) and content.endswith(b"}\n")
    (tmp_path / "a.json").write_bytes(content)
    found = read_decided(tmp_path, "a.json", hashlib.sha256(content).hexdigest(), 3)
    assert (found.method, found.values) == (METHOD, (VALUES[2], VALUES[1], VALUES[0]))


BAD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "another value": (lambda content: content.replace(b"-7", b"-8"), "mismatch"),
    "fewer values": (lambda _: render_decided(METHOD, VALUES[:2]), "mismatch"),
    "a value twice": (lambda _: render_decided(METHOD, [*VALUES[:2], DecidedValue("c" * 64, 0, -8)]), "not-canonical"),
    "another order": (lambda content: content.replace(b"b" * 64, b"d" * 64), "not-canonical"),
    "spaces": (lambda content: content + b" ", "not-canonical"),
    "no JSON": (lambda content: content[:-3], "malformed"),
    "a large value": (lambda content: content.replace(b"1000000", b"1000001"), "malformed"),
    "a negative component": (lambda content: content.replace(b"11", b"-1"), "malformed"),
    "another schema": (lambda content: content.replace(b"decided/1", b"decided/2"), "malformed"),
    "an unknown field": (lambda content: content.replace(b'"method"', b'"methods"'), "malformed"),
}


@pytest.mark.parametrize("name", BAD)
def test_another_list_than_the_lock_names_is_refused(tmp_path: Path, name: str) -> None:
    change, code = BAD[name]
    good = render_decided(METHOD, VALUES)
    (tmp_path / "a.json").write_bytes(change(good))
    sha256 = hashlib.sha256(good if name == "another value" else change(good)).hexdigest()
    with pytest.raises(Refused, match=r"^a\.json") as refused:
        read_decided(tmp_path, "a.json", sha256, 3)
    assert refused.value.findings[0].code == code
    with pytest.raises(Refused, match="cannot be read"):
        read_decided(tmp_path, "b.json", sha256, 3)


@pytest.mark.parametrize(
    ("own", "listed", "distance", "allowed"),
    [
        (5, 5, None, True),
        (5, 6, None, False),
        (5, 6, -1e-15, True),  # just below the boundary to 6
        (5, 4, -1e-15, False),
        (5, 4, 1e-15, True),
        (5, 6, 1e-15, False),
        (5, 6, 0.0, True),
        (5, 7, -1e-15, False),
        (-5, -6, 1e-15, True),
    ],
)
def test_a_decided_value_is_ones_own_or_the_one_beyond_the_boundary(
    own: int, listed: int, distance: float | None, allowed: bool
) -> None:
    assert at_boundary(own, listed, distance) is allowed
