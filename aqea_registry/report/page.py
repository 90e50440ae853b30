"""The report's page as values: a headline, contradictions first, every claim with its chain, figures, pins, releases.

What is said here follows from what the page is made of, and from no clock: the same checkout gives the same page. The
template only sets it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from aqea_registry.base.findings import Finding
from aqea_registry.base.progress import visible
from aqea_registry.claims.judging import ALSO_CALLED
from aqea_registry.claims.ledger import Ledger, Verdict
from aqea_registry.project.lock import Pin
from aqea_registry.report.figures import Figure, Gap, Printed, Score, Size, figures
from aqea_registry.stores.receipts import Receipt
from aqea_registry.vectors.scores import Metrics

if TYPE_CHECKING:
    from aqea_registry.tracing.graph import Graph, Node

STATES = ("holds", "contradicted", "unchecked", "unbound")
_TOLD = frozenset({"claim-contradicted", "claim-unbound"})  # findings that the claims themselves show
_COUNTED = {
    "holds": ("holds", "hold"),
    "contradicted": ("is contradicted", "are contradicted"),
    "unchecked": ("could not be checked", "could not be checked"),
    "unbound": ("rests on nothing", "rest on nothing"),
}


class PairSetFacts(NamedTuple):
    """A good pair set of the run."""

    name: str
    dataset: str
    model: str
    n_pairs: int
    dimension: int
    content: str  # content digest
    metrics: Metrics


class PinFacts(NamedTuple):
    """A pin, and whether the run uses it."""

    name: str
    pin: Pin
    used: bool

    @property
    def state(self) -> str:
        """`unresolved` if nothing but the commit is known, else `resolved`, or `directory` for what has no commit."""
        return "unresolved" if not self.pin.files else "directory" if self.pin.kind == "directory" else "resolved"

    @property
    def bytes(self) -> int:
        """The size of the pinned files."""
        return sum(file.size for file in self.pin.files.values())


class Confirmation(NamedTuple):
    """Somebody made the same thing elsewhere: what, on which machine, and how it compares."""

    subject: str
    machine: str
    verdict: str


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What a page is made of. `receipts` is None within a release: a page that named releases would change with each.

    `manifest` is the hex sha256 of the manifest, `files` maps its paths to sha256 and size in bytes.
    """

    title: str
    manifest: str | None
    files: Mapping[str, tuple[str, int]]
    verified: int  # files that verification hashed
    findings: Sequence[Finding]
    notes: Sequence[str]
    pair_sets: Sequence[PairSetFacts]
    pins: Sequence[PinFacts]
    ledgers: Mapping[str, Ledger]
    verdicts: Sequence[Verdict]
    graph: Graph | None = None
    receipts: Sequence[Receipt] | None = None
    confirmations: Sequence[Confirmation] = ()


class Other(NamedTuple):
    """The other place of a contradiction: a claim with its print, or what was recomputed from."""

    name: str
    where: str
    text: str | None


class Contradiction(NamedTuple):
    """A claim that does not hold, and what it rests on."""

    verdict: Verdict
    document: str
    others: tuple[Other, ...]


class LedgerRows(NamedTuple):
    """The claims of one document."""

    name: str
    ledger: Ledger
    verdicts: tuple[Verdict, ...]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the template sets."""

    content: Content
    headline: str
    standing: str
    findings: tuple[Finding, ...]
    counts: dict[str, int]
    contradictions: tuple[Contradiction, ...]
    ledgers: tuple[LedgerRows, ...]
    figures: tuple[Figure, ...]
    chains: str


def build(content: Content) -> Page:
    """The page of some content."""
    counts: Counter[str] = Counter(verdict.state for verdict in content.verdicts)
    return Page(
        content=content,
        headline=headline(counts),
        standing=standing(content.verified, others := tuple(one for one in content.findings if one.code not in _TOLD)),
        findings=others,
        counts={state: counts[state] for state in STATES},
        contradictions=tuple(_contradictions(content)),
        ledgers=tuple(_ledgers(content)),
        figures=tuple(figures(_scores(content), _gaps(content), _sizes(content))),
        chains=chains(content.verdicts, content.graph, frozenset() if content.receipts is None else FORWARD),
    )


def headline(counts: Mapping[str, int]) -> str:
    """How many of the printed numbers hold, in a sentence; what is not so good follows in the order of its weight."""
    total, holds = sum(counts.values()), counts.get("holds", 0)
    if not total:
        return "No printed number is claimed here yet."
    if holds == total:
        return f"All {total:,} printed numbers hold." if total > 1 else "The one printed number holds."
    told = [f"{counts[state]:,} {_COUNTED[state][counts[state] > 1]}" for state in STATES[1:] if counts.get(state)]
    others = " and ".join([", ".join(told[:-1]), told[-1]]) if len(told) > 1 else told[0]
    return f"{holds:,} of {total:,} printed numbers {_COUNTED['holds'][holds != 1]}; {others}."


def standing(verified: int, findings: Sequence[Finding]) -> str:
    """What verification found beside contradicted and unbound claims, in a sentence."""
    files = f"{verified:,} file{'' if verified == 1 else 's'}"
    if not findings:
        return f"Verification of {files} found nothing wrong."
    return (
        f"Verification of {files} and of the ledgers ended with {len(findings):,} finding{'' if len(findings) == 1 else 's'}."
    )


def _contradictions(content: Content) -> Iterator[Contradiction]:
    by_name = {verdict.name: verdict for verdict in content.verdicts}
    facts = {facts.name: facts for facts in content.pair_sets}

    def other(name: str, ledger: str) -> Other:
        if name in by_name:
            one = by_name[name]
            document = "" if one.ledger == ledger else f"{content.ledgers[one.ledger].document.title}, "
            return Other(name, f"{document}{one.claim.at}", one.claim.text)
        if name in facts:
            return Other(name, f"pair set of {facts[name].dataset} under {facts[name].model}", None)
        return Other(name, "", None)

    for verdict in content.verdicts:
        if verdict.state == "contradicted":
            others = tuple(other(name, verdict.ledger) for name in verdict.rests_on)
            yield Contradiction(verdict, content.ledgers[verdict.ledger].document.title, others)


def _ledgers(content: Content) -> Iterator[LedgerRows]:
    rows: dict[str, list[Verdict]] = {}
    for verdict in content.verdicts:
        rows.setdefault(verdict.ledger, []).append(verdict)
    for name, verdicts in rows.items():
        yield LedgerRows(name, content.ledgers[name], tuple(verdicts))


def _scores(content: Content) -> list[Score]:
    """The cosine Spearman of every pair set, and each metric of which there is a print."""
    printed: dict[tuple[str, str], list[Printed]] = {}
    for verdict in content.verdicts:
        measured, value = verdict.claim.measured, _number(verdict.claim.value)
        if measured is not None and value is not None and verdict.rests_on and verdict.recomputed is not None:
            share = value / 100 if verdict.claim.unit == "percent" else value
            one = Printed(verdict.name, verdict.claim.text, share, verdict.state)
            printed.setdefault((verdict.rests_on[0], ALSO_CALLED.get(measured.metric, measured.metric)), []).append(one)
    scores = []
    for facts in sorted(content.pair_sets, key=lambda facts: facts.model):
        for metric in Metrics.__struct_fields__:
            prints = tuple(printed.get((facts.name, metric), ()))
            if prints or metric == "cos_sim_spearman":
                scores.append(Score(facts.model, facts.dataset, metric, getattr(facts.metrics, metric), prints))
    return scores


def _gaps(content: Content) -> list[Gap]:
    gaps = []
    for verdict in content.verdicts:
        difference, tolerance = _number(verdict.difference), _number(verdict.tolerance)
        if difference is not None and tolerance is not None:
            gaps.append(Gap(verdict.name, verdict.state, abs(difference), tolerance))
    return gaps


def _sizes(content: Content) -> list[Size]:
    return [Size(path, size, sha256) for path, (sha256, size) in sorted(content.files.items())]


def _number(text: str | None) -> float | None:
    try:
        value = float((text or "").replace(",", "").replace("−", "-"))
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


FORWARD = frozenset({"release", "store", "attestation"})  # what carries a file, and is not rested on


def chains(verdicts: Sequence[Verdict], graph: Graph | None, forward: frozenset[str] = FORWARD) -> str:
    """What the page opens under each claim, as JSON: texts once each, the graph's nodes, and of each row what it needs.

    {"text": [...], "facts": [[name, value]...], "nodes": [[kind, label, facts, broken, links]...], "claims": [[message,
    facts, links]...]}: a text or fact is given by its number; a link is [label, node], a node a number or the name of a claim.
    `forward` has the kinds of what carries a file: releases and their stores.
    """
    texts, facts = _Once(), _Once()
    nodes, links = _reachable(verdicts, graph, forward)
    numbers = {node.id: number for number, node in enumerate(nodes)}

    def text(value: object) -> int:
        return texts.number(visible(str(value)))

    def told(pairs: Iterable[tuple[str, str]]) -> list[int]:
        return [facts.number((text(name), text(value))) for name, value in pairs]

    def linked(name: str) -> list[tuple[int, object]]:
        ends = links.get(name, ())
        return [(text(label), numbers.get(target, visible(target.removeprefix("claim:")))) for label, target in ends]

    value = {
        "nodes": [
            (text(node.kind), text(node.label), told(node.facts.items()), text(node.broken or ""), linked(node.id))
            for node in nodes
        ],
        "claims": [(text(one.message), told(_facts(one)), linked(f"claim:{one.name}")) for one in verdicts],
        "facts": facts.all(),
        "text": texts.all(),
    }
    # Within <script>, `<` could end the element; as JSON's escape it is the same text. ASCII alone has no U+2028 either.
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class _Once:
    """Values by number, each kept once."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}

    def number(self, value: object) -> int:
        return self._numbers.setdefault(value, len(self._numbers))

    def all(self) -> list[object]:
        return list(self._numbers)


def _facts(verdict: Verdict) -> Iterator[tuple[str, str]]:
    """What the row does not say already."""
    claim = verdict.claim
    told = (
        ("unit", claim.unit),
        ("read as", claim.value if claim.value != claim.text else None),
        ("difference", verdict.difference),
        ("tolerance", verdict.tolerance),
        ("tolerance because", claim.reason),
        ("metric", claim.measured.metric if claim.measured else None),
        ("expression", claim.derived),
        ("missing", verdict.reason),
        ("reading", claim.ocr),
        ("note", claim.note),
    )
    return ((name, value) for name, value in told if value)


def _reachable(
    verdicts: Sequence[Verdict], graph: Graph | None, forward: frozenset[str]
) -> tuple[list[Node], dict[str, list[tuple[str, str]]]]:
    """What the claims rest on but for claims, in the order in which it is come by; and what stands below each, by id.

    Below a file stand also the releases that carry it and their stores, if their kinds are in `forward`.
    """
    if graph is None:
        return [], {
            f"claim:{verdict.name}": [("rests on", f"claim:{name}") for name in verdict.rests_on] for verdict in verdicts
        }
    claims = {f"claim:{verdict.name}" for verdict in verdicts}
    links: dict[str, list[tuple[str, str]]] = {}
    found: dict[str, None] = {}
    waiting = list(claims & graph.by_id.keys())
    waiting.sort()
    for name in waiting:
        if name in links:
            continue
        above = [edge.source for edge in graph.above.get(name, ()) if graph.by_id[edge.source].kind in forward]
        below = [] if graph.by_id[name].kind in FORWARD else [(edge.label, edge.target) for edge in graph.below.get(name, ())]
        links[name] = [*below, *(("carried by", source) for source in above)]
        waiting += [target for _, target in links[name]]
        if name not in claims:
            found[name] = None
    return [graph.by_id[name] for name in found], links
