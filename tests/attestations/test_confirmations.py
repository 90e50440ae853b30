"""Confirmations: which of them say that something was made again, held against the statements on its making."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqea_registry.attestations.made import Remade, remade
from aqea_registry.attestations.statement import (
    BUILDER,
    PAIR_SET,
    RELEASE,
    BuildDefinition,
    Builder,
    Confirmation,
    Confirmed,
    Metadata,
    Period,
    Provenance,
    RunDetails,
    Statement,
    make_statement,
    statements_in,
)
from aqea_registry.vectors.margin import Machine
from tests import sampling
from tests.attestations.test_statement import BUILT, MACHINE, A, B, C, bundled

OTHER = msgspec.structs.replace(MACHINE, processor="Another processor")
SAME_KIND = msgspec.structs.replace(MACHINE, packages={"torch": "2.14.0"})


def at(minute: int) -> str:
    return f"2026-01-02T03:{minute:02}:00Z"


def made(start: int, end: int, machine: Machine = MACHINE, build_type: str = PAIR_SET) -> Statement:
    """How a file was made, between these minutes; without a machine for a release."""
    definition = BuildDefinition(
        build_type=build_type,
        external_parameters={},
        internal_parameters={"machine": msgspec.to_builtins(machine)} if build_type == PAIR_SET else {},
    )
    run = RunDetails(builder=Builder(id=BUILDER), metadata=Metadata(started_on=at(start), finished_on=at(end)))
    return make_statement({"data/small.json": A}, Provenance(build_definition=definition, run_details=run))


def said(start: int, end: int, machine: Machine = MACHINE, *, encoded: int = 24, **changes: str) -> Statement:
    """A confirmation that was made between these minutes."""
    values = {"verdict": "IDENTICAL", "released": A, "regenerated": A, **changes}
    again = msgspec.convert({**values, "encoded": encoded, "machine": msgspec.to_builtins(machine)}, Confirmed)
    period = Period(started_on=at(start), finished_on=at(end))
    return make_statement(
        {"release": C, "data/small.json": A}, Confirmation(reference="oci:x:v1", pair_sets={"small": again}, metadata=period)
    )


def judged(confirmation: Statement, *others: Statement) -> Remade:
    (row,) = remade(confirmation, others)
    return row


MAKING = (made(10, 20), made(10, 20, build_type=RELEASE))


@pytest.mark.parametrize(
    ("confirmation", "alike"),
    [(said(30, 40, OTHER), False), (said(30, 40), True), (said(30, 40, SAME_KIND), True), (said(20, 21), True)],
    ids=["another machine", "the machine itself", "other libraries", "begun in the minute of the end"],
)
def test_what_was_encoded_anew_counts_and_the_kind_of_machine_is_named(confirmation: Statement, alike: bool) -> None:
    row = judged(confirmation, *MAKING, confirmation)
    assert (row.again, row.alike, row.outcome()) == (True, alike, "IDENTICAL")
    assert ("same kind of machine" in row.where()) == alike


@pytest.mark.parametrize(
    ("confirmation", "reason"),
    [
        (said(10, 25, encoded=0), "the making itself"),  # as 0.1.0 wrote it on the machine that published
        (said(9, 25, encoded=0), "the making itself"),  # of several pair sets, the first of which was begun earlier
        (said(9, 25), "the making itself"),
        (said(1, 5, OTHER), "before the release"),
        (said(30, 40, regenerated=B), "verdict"),
        (said(30, 40, verdict="DIVERGED"), "verdict"),
        (said(30, 40, released=B, regenerated=B), "not about what it compares"),
    ],
)
def test_what_says_nothing_new_does_not_count(confirmation: Statement, reason: str) -> None:
    row = judged(confirmation, *MAKING)
    assert not row.again
    assert row.outcome().startswith("not counted: ") and reason in row.outcome()


def test_a_confirmation_of_0_1_0_counts_where_the_making_is_known_to_be_another_one() -> None:
    old = said(30, 40, encoded=0)
    assert not judged(old).again, "nothing says that it was encoded, and nothing is there to compare it with"
    assert judged(old, *MAKING).again
    assert judged(said(10, 25, OTHER, encoded=0), *MAKING).again, "another machine, at the same time"
    assert judged(said(30, 40)).again, "a clone without the making"


def test_files_that_were_made_here_again_later_take_nothing_away() -> None:
    assert judged(said(30, 40), made(50, 55)).again
    assert judged(said(30, 40), *MAKING, made(50, 55)).again


def test_what_differs_is_said_and_is_not_the_same_again() -> None:
    row = judged(said(30, 40, verdict="DIVERGED", regenerated=B), *MAKING)
    assert (row.again, row.outcome()) == (False, "DIVERGED")


def pointers(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield (*at, key)
        yield from pointers(part, (*at, key))


WHOLE = [json.loads(statement.to_bytes()) for statement in (MAKING[0], said(30, 40))] + [BUILT, bundled(BUILT)]
OTHERS = st.sampled_from(
    ["null", "true", "-1", "1e300", '""', '"2026-99-99T99:99:99Z"', "[]", "{}", '{"sha256": null}', "[[1]]"]
)


@settings(max_examples=sampling.times(300, 60))
@given(st.data())
def test_any_value_in_any_place_is_a_finding_or_is_ignored(data: st.DataObject) -> None:
    value = json.loads(json.dumps(data.draw(st.sampled_from(WHOLE))))
    at = data.draw(st.sampled_from(list(pointers(value))))
    inner = value
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = json.loads(data.draw(OTHERS))
    for statement in statements_in([("x", json.dumps(value).encode())]):
        remade(statement, [statement, *MAKING])


def test_a_confirmation_of_very_many_pair_sets_is_judged_at_once() -> None:
    """One look for each: of pair sets and of subjects there may be as many as a document has room for."""
    many = msgspec.to_builtins(said(30, 40).predicate)
    many["pairSets"] = dict.fromkeys(map(str, range(3000)), many["pairSets"]["small"])
    full = msgspec.structs.replace(said(30, 40), predicate=many)
    subjects = tuple(
        msgspec.structs.replace(subject, digest={"sha256": f"{at:064}"}) for at in range(3000) for subject in full.subject[:1]
    )
    assert len(remade(full, [msgspec.structs.replace(MAKING[0], subject=subjects)])) == 3000
