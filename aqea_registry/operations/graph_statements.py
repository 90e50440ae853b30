"""Statements in the graph: who says how a file or a release was made, and on which machine it was made again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from aqea_registry.core.files import open_regular
from aqea_registry.core.machine import Machine
from aqea_registry.core.statement import LARGEST, SUFFIX, Provenance, Statement, parse_statement
from aqea_registry.operations.attest import FOLDER as MADE
from aqea_registry.operations.confirm import FOLDER as CONFIRMED
from aqea_registry.operations.graph import Draft


def draw_statements(draft: Draft, beside: Iterable[tuple[str, bytes]]) -> None:
    """Draw the statements of this checkout, and those beside releases: each as its place and its bytes."""
    speaks_of: dict[str, list[str]] = {}
    for id_, node in draft.nodes.items():
        digest = node.facts.get("digest", node.facts.get("sha256")) if node.kind in ("release", "pair-set", "file") else None
        if digest is not None:
            speaks_of.setdefault(digest.removeprefix("sha256:"), []).append(id_)
    for place, content in (*_of(draft.project.root), *beside):
        found, wrong = parse_statement(content, place)
        sha256 = hashlib.sha256(content).hexdigest()
        facts = dict(_facts(found)) if found is not None else {}
        broken = wrong[0].message if wrong else None
        label = facts.pop("label", place)
        before = draft.nodes.get(f"attestation:{sha256[:16]}")
        places = place if before is None else f"{before.facts['in']}, {place}"
        id_ = draft.node("attestation", sha256[:16], label, {"sha256": sha256, **facts, "in": places}, broken, [place])
        subjects = [one.digest.get("sha256", "") for one in found.subject] if found is not None else []
        ends = [end for subject in subjects for end in speaks_of.get(subject, ())]
        whole = [end for end in ends if end.startswith("release:")]  # of a release each file is a subject as well
        for end in whole or ends:
            draft.edge(id_, end, "speaks of")


def _of(root: Path) -> Iterator[tuple[str, bytes]]:
    for folder in (MADE, CONFIRMED):
        for place in sorted((root / folder).glob(f"*{SUFFIX}")):
            try:
                with open_regular(place) as file:
                    yield place.relative_to(root).as_posix(), file.read(LARGEST + 1) or b""
            except OSError:
                continue  # `verify` says so


def _facts(one: Statement) -> Mapping[str, str]:
    """What a statement says, in few words."""
    if (provenance := one.provenance()) is not None:
        when = provenance.run_details.metadata
        made = {"made": when.finished_on} if when else {}
        return {"label": "provenance", **_machine(provenance), **made, "by": provenance.run_details.builder.id}
    confirmation = one.confirmation()
    if confirmation is None:
        return {}
    verdicts = {key: f"{said.verdict} on {said.machine.text()}" for key, said in sorted(confirmation.pair_sets.items())}
    return {"label": f"confirmation of {confirmation.reference}", **verdicts, "made": confirmation.metadata.finished_on}


def _machine(provenance: Provenance) -> dict[str, str]:
    try:
        machine = msgspec.convert(provenance.build_definition.internal_parameters.get("machine"), Machine)
    except msgspec.ValidationError:
        return {}
    return {"on": machine.text()}
