"""The page as values: its sentences, findings, figures, and every claim with its chain, beside what they are made of.

Pure: the same content gives the same page, and no time is in it. The template only lays it out.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import msgspec

from aqea_registry.attestations.made import Remade
from aqea_registry.base.findings import Finding
from aqea_registry.base.progress import plural, printable
from aqea_registry.claims.ledger import Ledger, Verdict
from aqea_registry.documents.metrics import metric_name
from aqea_registry.project.artefact import PairSetArtefact, VectorSetArtefact
from aqea_registry.project.lock import Pin
from aqea_registry.report.plots import Figure, PrintedScore, Score, TextTable, score_figure
from aqea_registry.stores.receipts import Receipt
from aqea_registry.tracing.graph import FORWARD, Graph, Node
from aqea_registry.vectors.containers.pair_json import Examined
from aqea_registry.vectors.scores import Metrics
from aqea_registry.verification.verify_results import CheckedVectors

STATES = ("holds", "contradicted", "unchecked", "unbound")
LARGEST = 25  # differences that the page lists
_OF_CLAIMS = frozenset({"claim-contradicted", "claim-unbound"})  # findings that the claims themselves show
_COUNTED = {
    "holds": ("holds", "hold"),
    "contradicted": ("is contradicted", "are contradicted"),
    "unchecked": ("could not be checked", "could not be checked"),
    "unbound": ("rests on nothing", "rest on nothing"),
    "unclaimed": ("is in no ledger", "are in no ledger"),
}


class PairSetFacts(NamedTuple):
    """A good pair set of the run, and what its bytes give."""

    made: PairSetArtefact
    examined: Examined


class TaskFacts(NamedTuple):
    """A sound vector set of the run with its result."""

    made: VectorSetArtefact
    checked: CheckedVectors


class PinFacts(NamedTuple):
    """A pin, and whether the run uses it."""

    name: str
    pin: Pin
    used: bool


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What a page is made of. `files` maps paths to sha256 and size. Within a release `receipts` is None: none is named."""

    title: str
    links: Sequence[tuple[str, str]] = ()  # where the project is found: labels and addresses
    manifest: str | None
    files: Mapping[str, tuple[str, int]]
    verified: int  # files that verification hashed
    findings: Sequence[Finding]
    notes: Sequence[str]
    pair_sets: Sequence[PairSetFacts]
    tasks: Sequence[TaskFacts] = ()
    pins: Sequence[PinFacts]
    ledgers: Mapping[str, Ledger]
    verdicts: Sequence[Verdict]
    unclaimed: int = 0  # numbers of the ledgers' documents that no ledger has
    graph: Graph | None = None
    receipts: Sequence[Receipt] | None = None
    confirmations: Sequence[Remade] = ()  # what somebody made again, on which machine, and how it compares


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the template lays out."""

    content: Content
    headline: str
    standing: str
    findings: tuple[Finding, ...]
    counts: dict[str, int]
    ledgers: dict[str, tuple[Verdict, ...]]  # the claims of each document
    figure: Figure | None
    tables: tuple[TextTable, ...]
    chains: str


def build(content: Content) -> Page:
    """The page of some content."""
    counts: Counter[str] = Counter(verdict.state for verdict in content.verdicts)
    findings = tuple(finding for finding in content.findings if finding.code not in _OF_CLAIMS)
    scores = scores_of(content)
    rows = tuple((path, f"{size:,}", sha256) for path, (sha256, size) in sorted(content.files.items()))
    files = TextTable(f"Sizes and digests of {len(rows):,} files", ("file", "bytes", "sha256"), rows, mono=(2,))
    return Page(
        content=content,
        headline=headline({**counts, "unclaimed": content.unclaimed}),
        standing=standing(content.verified, findings),
        findings=findings,
        counts={state: counts[state] for state in STATES},
        ledgers={name: tuple(group) for name, group in groupby(content.verdicts, lambda verdict: verdict.ledger)},
        figure=score_figure(scores) if scores else None,
        tables=tuple(table for table in (differences(content.verdicts), files) if table.rows),
        chains=chains(content.verdicts, content.graph, frozenset() if content.receipts is None else FORWARD),
    )


def headline(counts: Mapping[str, int]) -> str:
    """How many of the printed numbers hold, in a sentence; what is not so good follows in the order of its weight."""
    total, holds = sum(counts.values()), counts.get("holds", 0)
    if not total:
        return "No printed number is claimed here yet."
    if holds == total:
        return f"All {total:,} printed numbers hold." if total > 1 else "The one printed number holds."
    others = [state for state in _COUNTED if state != "holds" and counts.get(state)]
    *parts, last = (f"{counts[state]:,} {_COUNTED[state][counts[state] > 1]}" for state in others)
    joined = f"{', '.join(parts)} and {last}" if parts else last
    return f"{holds:,} of {total:,} printed numbers {_COUNTED['holds'][holds != 1]}; {joined}."


def standing(verified: int, findings: Sequence[Finding]) -> str:
    """What verification found beside contradicted and unbound claims, in a sentence."""
    files, count = plural(verified, "file", form=","), len(findings)
    if not findings:
        return f"Verification of {files} found nothing wrong."
    return f"Verification of {files} and of the ledgers ended with {plural(count, 'finding', form=',')}."


def scores_of(content: Content) -> list[Score]:
    """The cosine Spearman of every pair set, and each metric of which there is a print; by model."""
    printed: dict[tuple[str, str], list[PrintedScore]] = {}
    for verdict in content.verdicts:
        measured, value = verdict.claim.measured, _number(verdict.claim.value)
        if measured is not None and value is not None and verdict.rests_on and verdict.recomputed is not None:
            key = verdict.rests_on[0], metric_name(measured.metric)
            share = value / 100 if verdict.claim.unit == "percent" else value
            printed.setdefault(key, []).append(PrintedScore(verdict.name, verdict.claim.text, share, verdict.state))
    return [
        Score(made.model_text, made.dataset, getattr(examined.metrics, metric), metric, tuple(prints))
        for made, examined in sorted(content.pair_sets, key=lambda facts: facts.made.model_text)
        for metric in Metrics.__struct_fields__
        if (prints := printed.get((made.key, metric), [])) or metric == "cos_sim_spearman"
    ]


def differences(verdicts: Sequence[Verdict]) -> TextTable:
    """The differences between printed and recomputed numbers that take up most of their tolerance, the largest first."""
    rows = []
    for verdict in verdicts:
        difference, tolerance = _number(verdict.difference), _number(verdict.tolerance)
        if difference is not None and tolerance is not None:
            gap = abs(difference)
            share = gap / tolerance if tolerance > 0 else math.inf if gap else 0.0
            words = "no tolerance" if math.isinf(share) else f"{100 * share:.0f} %" if share < 100 else f"{share:.0f} times"
            rows.append((-share, verdict.name, verdict.state, f"{gap:.3g}", f"{tolerance:.3g}", words))
    title = f"Differences between printed and recomputed, the largest of {len(rows):,}"
    header = ("claim", "state", "difference", "tolerance", "share of the tolerance")
    return TextTable(title, header, tuple(row[1:] for row in sorted(rows)[:LARGEST]))


def _number(text: str | None) -> float | None:
    try:
        value = float((text or "").replace(",", "").replace("−", "-"))
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def visible(text: object) -> object:
    """Text without what a reader cannot see: control and format characters as their escapes. Other values stay as they are."""
    return printable(text, keep="\n\t") if isinstance(text, str) and not hasattr(text, "__html__") else text


def chains(verdicts: Sequence[Verdict], graph: Graph | None, forward: frozenset[str] = FORWARD) -> str:
    """What the page opens under each claim, as JSON: every text once, the graph's nodes, and what each row needs.

    {"text": [...], "facts": [[name, value]...], "nodes": [[kind, label, facts, broken, links]...], "claims": [[message,
    facts, links]...]}: a text or fact is given by its number; a link is [label, node], a node a number or the name of a claim.
    `forward` has the kinds of what carries a file: releases and their stores.
    """
    texts, facts = dict[str, int](), dict[tuple[int, int], int]()  # each once, by its number
    nodes, links = _reachable(verdicts, graph, forward)
    numbers = {node.id: number for number, node in enumerate(nodes)}

    def text(value: object) -> int:
        return texts.setdefault(str(visible(str(value))), len(texts))

    def numbered(pairs: Iterable[tuple[str, str]]) -> list[int]:
        return [facts.setdefault((text(name), text(value)), len(facts)) for name, value in pairs]

    def linked(name: str) -> list[tuple[int, object]]:
        ends = links.get(name, ())
        return [(text(label), numbers.get(target, visible(target.removeprefix("claim:")))) for label, target in ends]

    value = {
        "nodes": [
            (text(node.kind), text(node.label), numbered(node.facts.items()), text(node.broken or ""), linked(node.id))
            for node in nodes
        ],
        "claims": [(text(verdict.message), numbered(_facts(verdict)), linked(f"claim:{verdict.name}")) for verdict in verdicts],
        "facts": list(facts),
        "text": list(texts),
    }
    # Within <script>, `<` could end the element; as JSON's escape it is the same text. ASCII alone has no U+2028 either.
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _facts(verdict: Verdict) -> Iterator[tuple[str, str]]:
    """What the row does not say already."""
    claim = verdict.claim
    facts = (
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
    return ((name, value) for name, value in facts if value)


def _reachable(
    verdicts: Sequence[Verdict], graph: Graph | None, forward: frozenset[str]
) -> tuple[list[Node], dict[str, list[tuple[str, str]]]]:
    """The nodes that claims rest on, without claims, as they are reached; and by id the links below each, `forward` too."""
    if graph is None:
        rest = {verdict.name: [("rests on", f"claim:{name}") for name in verdict.rests_on] for verdict in verdicts}
        return [], {f"claim:{name}": links for name, links in rest.items()}
    claims = {f"claim:{verdict.name}" for verdict in verdicts}
    links: dict[str, list[tuple[str, str]]] = {}
    nodes: list[Node] = []
    waiting = sorted(claims & graph.by_id.keys())
    for name in waiting:
        if name in links:
            continue
        above = [edge.source for edge in graph.above.get(name, ()) if graph.by_id[edge.source].kind in forward]
        below = [] if graph.by_id[name].kind in FORWARD else [(edge.label, edge.target) for edge in graph.below.get(name, ())]
        links[name] = [*below, *(("carried by", source) for source in above)]
        waiting += [target for _, target in links[name]]
        if name not in claims:
            nodes.append(graph.by_id[name])
    return nodes, links
