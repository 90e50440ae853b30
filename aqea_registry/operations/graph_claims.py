"""Claims in the graph: each printed number, the document that it stands in, and what it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqea_registry.core.claims import FOLDER, Verdict
from aqea_registry.core.judging import ALSO_CALLED
from aqea_registry.operations.graph import Draft, Recorded, inside_project

if TYPE_CHECKING:
    from aqea_registry.operations.claims_check import CheckedClaims


def draw_claims(draft: Draft, checked: CheckedClaims) -> None:
    """Draw every judged claim, and the documents."""
    for name, ledger in checked.ledgers.items():
        document, state = ledger.document, checked.documents.get(name)
        facts = {"title": document.title, "sha256": document.sha256, "file": document.file, "url": document.url, "here": state}
        broken = f"the document that is here is another one than the ledger {name} speaks of" if state == "stale" else None
        words = [name, f"{FOLDER}/{name}.yaml", *([] if draft.words.get(document.file) else [document.file])]
        draft.node("document", name, document.title, facts, broken, words)
    for verdict in checked.verdicts:
        _draw_claim(draft, verdict)
    for verdict in checked.verdicts:
        for target in verdict.rests_on:
            _draw_ground(draft, verdict, target)


def _draw_claim(draft: Draft, verdict: Verdict) -> None:
    claim = verdict.claim
    facts = {
        "printed": claim.text,
        "unit": claim.unit,
        "at": str(claim.at),
        "state": verdict.state,
        "because": verdict.message,
        "recomputed": verdict.recomputed,
        "ground": verdict.ground,
        "expression": claim.derived,
        "quotes": claim.quoted.at if claim.quoted else None,
    }
    broken = f"contradicted: {verdict.message}" if verdict.state == "contradicted" else None
    id_ = draft.node("claim", verdict.name, verdict.name, facts, broken, [verdict.name, claim.id])
    if f"document:{verdict.ledger}" in draft.nodes:
        draft.edge(id_, f"document:{verdict.ledger}", "printed in")


def _draw_ground(draft: Draft, verdict: Verdict, target: str) -> None:
    """One of the things that a claim rests on, by the name that its verdict gives it."""
    claim, id_ = verdict.claim, f"claim:{verdict.name}"
    if claim.measured is not None:
        metric = f"metric:{target}#{ALSO_CALLED.get(claim.measured.metric, claim.measured.metric)}"
        ground, verb = metric if metric in draft.nodes else f"pair-set:{target}", "measured as"
    elif claim.quoted is not None and claim.quoted.file is not None:
        file, pin = claim.quoted.file, claim.quoted.pin
        ground, verb = f"upstream-file:{pin}/{file}" if pin is not None else _file(draft, file), "quotes"
    else:
        ground, verb = f"claim:{target}", "derived from" if claim.derived is not None else "quotes"
    if ground in draft.nodes:
        draft.edge(id_, ground, verb)
    else:
        draft.note(id_, **{"rests on": target})


def _file(draft: Draft, path: str) -> str:
    """A file of the project that a claim quotes; it is drawn if nothing else in the run knows it."""
    known = [id_ for id_ in sorted(draft.words.get(path, ())) if draft.nodes[id_].kind in ("file", "pair-set")]
    place = inside_project(draft.project.root, path)
    if not known and place is not None:
        return draft.file(path, Recorded(place))
    return known[0] if known else path
