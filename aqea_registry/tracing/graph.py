"""The graph of a project: what rests on what, from a printed number down to immutable bytes and up to the stores.

An edge says that its source rests on its target. Nodes and edges are sorted: the same project gives the same text. Pure but
for `inside_project`; `GraphBuilder` is what the other modules write into.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import msgspec

from aqea_registry.base.files import UnsafePath, inside
from aqea_registry.base.findings import Finding
from aqea_registry.base.progress import plural, printable
from aqea_registry.project.project import RunRecord

OfFile = Literal["pair-set", "result", "vector-set", "file"]  # nodes that are a file of the project
Carrier = Literal["release", "store", "attestation"]  # what carries a file, and is not rested on
Kind = Literal["claim", "document", "metric", OfFile, "stage", "parameters", "pin", "upstream-file", "commit", Carrier]
KINDS: tuple[str, ...] = get_args(Kind)
_ORDER = {kind: number for number, kind in enumerate(KINDS)}
FILES, FORWARD = frozenset[str](get_args(OfFile)), frozenset[str](get_args(Carrier))
Facts = Mapping[str, object]  # of a node, while it is drawn: those that are None are left out
_SHORT = 12  # of a digest's hex digits, where people read it
_DEEPEST = 100  # levels of a tree: claims may be derived from claims without end


class Node(msgspec.Struct, frozen=True):
    """One link of a chain. `id` is the kind, a colon and a name; `broken` is a sentence on what is wrong, if anything."""

    id: str
    kind: Kind
    label: str
    facts: dict[str, str] = {}
    broken: str | None = None

    @property
    def gist(self) -> str:
        """The one fact that says most: a value, or the beginning of a digest."""
        for fact in ("value", "printed", "content", "sha256", "digest", "commit"):
            if fact in self.facts:
                text = self.facts[fact]
                return text if fact in ("value", "printed") else f"{fact} {text.removeprefix('sha256:')[:_SHORT]}"
        return ""


class Edge(msgspec.Struct, frozen=True, order=True):
    """`source` rests on `target`; the label is the verb between them."""

    source: str
    target: str
    label: str


class Graph(msgspec.Struct, frozen=True, dict=True):
    """Nodes and edges, sorted: make it with `Graph.of`."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    @classmethod
    def of(cls, nodes: Iterable[Node], edges: Iterable[Edge]) -> Graph:
        """The graph of these, each once; of two nodes with one id the last counts. Raises ValueError for an edge to nowhere."""
        known = {node.id: node for node in nodes}
        kept = sorted(set(edges))
        if lost := [end for edge in kept for end in (edge.source, edge.target) if end not in known]:
            raise ValueError(f"an edge ends at {lost[0]}, which is not a node")
        return cls(tuple(sorted(known.values(), key=_position)), tuple(kept))

    @cached_property
    def by_id(self) -> Mapping[str, Node]:
        """Every node by its id."""
        return {node.id: node for node in self.nodes}

    @cached_property
    def below(self) -> Mapping[str, Sequence[Edge]]:
        """By id, the edges to what the node itself rests on, in the order of the nodes."""
        return self._grouped("source", "target")

    @cached_property
    def above(self) -> Mapping[str, Sequence[Edge]]:
        """By id, the edges from what itself rests on the node, in the order of the nodes."""
        return self._grouped("target", "source")

    @property
    def broken(self) -> tuple[Node, ...]:
        """The nodes with something wrong."""
        return tuple(node for node in self.nodes if node.broken)

    def rests_on(self, *starts: str) -> Graph:
        """The nodes and everything that they rest on."""
        return self.part(reached(starts, lambda id_: [edge.target for edge in self.below.get(id_, ())]))

    def carried_by(self, *starts: str) -> Graph:
        """The nodes and everything that rests on them."""
        return self.part(reached(starts, lambda id_: [edge.source for edge in self.above.get(id_, ())]))

    def part(self, ids: Collection[str]) -> Graph:
        """These nodes and the edges between them."""
        nodes = sorted((self.by_id[id_] for id_ in ids), key=_position)
        edges = (edge for id_ in ids for edge in self.below.get(id_, ()) if edge.target in ids)
        return Graph(tuple(nodes), tuple(sorted(edges)))

    def _grouped(self, near: str, far: str) -> Mapping[str, Sequence[Edge]]:
        grouped = defaultdict[str, list[Edge]](list)
        for edge in sorted(self.edges, key=lambda edge: (_position(self.by_id[getattr(edge, far)]), edge.label)):
            grouped[getattr(edge, near)].append(edge)
        return dict(grouped)


class Branch(NamedTuple):
    """A node in a tree of the graph, with the verb that leads to it; below it nothing is shown twice (`repeated`)."""

    node: Node
    label: str
    branches: tuple[Branch, ...] = ()
    repeated: bool = False
    omitted: Mapping[str, int] = {}  # by kind


def tree(graph: Graph, start: str, direction: Literal["down", "up"], limit: int | None = None) -> Branch:
    """The node, and all that it rests on (down) or that rests on it (up); of each kind at most `limit`, broken ones first."""
    shown: set[str] = set()
    edges = graph.below if direction == "down" else graph.above

    def branch(id_: str, label: str, depth: int) -> Branch:
        node, ends = graph.by_id[id_], edges.get(id_, ())
        if id_ in shown:
            return Branch(node, label, repeated=bool(ends))
        shown.add(id_)
        onward = [(edge.target if direction == "down" else edge.source, edge.label) for edge in ends]
        kept, omitted = _kept(graph, onward, limit if depth < _DEEPEST else 0)
        return Branch(node, label, tuple(branch(end, verb, depth + 1) for end, verb in kept), omitted=omitted)

    return branch(start, "", 0)


def kept_in(branch: Branch) -> set[str]:
    """The ids of the nodes that a tree shows."""
    return {branch.node.id}.union(*(kept_in(below) for below in branch.branches))


def left_out(branch: Branch) -> Counter[str]:
    """How many branches a tree leaves out, by kind."""
    return sum((left_out(below) for below in branch.branches), Counter(branch.omitted))


def counted(counts: Mapping[str, int]) -> str:
    """Numbers of nodes by kind, for people: `6 metrics, 1 pair set`."""
    named = ((counts[kind], kind.replace("-", " ")) for kind in KINDS if counts.get(kind))
    return ", ".join(plural(number, name, name if name == "parameters" else None) for number, name in named)


def _kept(graph: Graph, ends: Sequence[tuple[str, str]], limit: int | None) -> tuple[list[tuple[str, str]], Mapping[str, int]]:
    if limit is None:
        return list(ends), {}
    kept, count = set[tuple[str, str]](), Counter[str]()
    for end in sorted(ends, key=lambda end: graph.by_id[end[0]].broken is None):
        count[kind := graph.by_id[end[0]].kind] += 1
        if count[kind] <= limit:
            kept.add(end)
    omitted = {kind: number - limit for kind, number in sorted(count.items()) if number > limit}
    return [end for end in ends if end in kept], omitted


def _position(node: Node) -> tuple[int, str]:
    """The order of nodes: by kind, then by id."""
    return _ORDER[node.kind], node.id


def reached(starts: Iterable[str], onward: Callable[[str], Iterable[str]]) -> set[str]:
    """Every node on the ways from these, themselves included; `onward` gives the next ones."""
    seen, open_ = {*starts}, [*starts]
    while open_:
        fresh = set(onward(open_.pop())) - seen
        seen |= fresh
        open_ += fresh
    return seen


def mermaid(graph: Graph, starts: Collection[str] = ()) -> str:
    """A Mermaid flowchart; the nodes in `starts` are drawn bold, what is broken is drawn in red and dashed."""
    names = {node.id: f"n{number}" for number, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for node in graph.nodes:
        shown = (node.kind, node.label, node.gist, f"BROKEN: {node.broken}" if node.broken else "")
        text = "<br/>".join(_entities(line) for line in shown if line)
        lines.append(f'  {names[node.id]}["{text}"]')
    lines += [f'  {names[edge.source]} -->|"{_entities(edge.label)}"| {names[edge.target]}' for edge in graph.edges]
    if bad := ",".join(names[node.id] for node in graph.broken):
        lines += ["  classDef broken stroke:#c00,stroke-width:2px,stroke-dasharray:5 3", f"  class {bad} broken"]
    lines += [f"  style {names[start]} stroke-width:4px" for start in sorted(starts)]
    return "\n".join(lines) + "\n"


def _entities(text: str) -> str:
    """Text in Mermaid's quotes: every character that could mean something there is written as its number."""
    characters = printable(text, instead=" ")
    return "".join(char if char.isalnum() or char in " ._/:,()@+=-" else f"#{ord(char)};" for char in characters)


class ExpectedFile(NamedTuple):
    """What is recorded about a file, and its path here. `spec` names the source of an upstream file."""

    path: Path
    sha256: str | None = None
    size: int | None = None  # bytes
    md5: str | None = None
    spec: str | None = None
    listed: bool = True  # whether the manifest lists it, or need not
    within: bool = True  # the project; what is not is not followed


class GraphBuilder:
    """A run's graph while it is drawn: nodes, edges, what is recorded about files, and names that people may give a node."""

    def __init__(self, run: RunRecord) -> None:
        self.run = run
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.expected: dict[str, list[ExpectedFile]] = {}
        self.aliases: defaultdict[str, set[str]] = defaultdict(set)

    def node(
        self, kind: Kind, name: str, label: str, facts: Facts, broken: str | None = None, aliases: Iterable[str] = ()
    ) -> str:
        """Draw a node, facts that are None left out, and return its id."""
        id_ = f"{kind}:{name}"
        known = {key: str(value) for key, value in facts.items() if value is not None}
        self.nodes[id_] = Node(id_, kind, label, known, broken)
        for alias in (id_, *aliases):
            self.aliases[alias].add(id_)
        return id_

    def edge(self, source: str, target: str, label: str) -> None:
        """Draw an edge between nodes that are drawn, or will be."""
        self.edges.append(Edge(source, target, label))

    def add_facts(self, id_: str, broken: str | None = None, **facts: str) -> None:
        """Add facts to a node; what is broken is added to what was broken before."""
        node = self.nodes[id_]
        both = "; ".join(dict.fromkeys(filter(None, (node.broken, broken)))) or None
        self.nodes[id_] = msgspec.structs.replace(node, facts={**node.facts, **facts}, broken=both)

    def file(self, path: str, expected: ExpectedFile, kind: Kind = "file", name: str | None = None) -> str:
        """Draw a file of the project, or that of an artefact of this kind and name."""
        size = None if expected.size is None else f"{expected.size} bytes"
        facts = {"name": name, "sha256": expected.sha256, "size": size, "md5": expected.md5}
        alias = None if kind == "vector-set" else name  # which is its result's, that rests on it
        id_ = self.node(kind, name or path, path, facts, None, filter(None, (path, alias)))
        self.expected[id_] = [expected]
        return id_

    def graph(self) -> Graph:
        """What is drawn so far."""
        return Graph.of(self.nodes.values(), self.edges)


def inside_project(root: Path, path: str) -> Path | None:
    """The location of a path that a file names; None if it leads out of the project."""
    try:
        return inside(root, path)
    except UnsafePath:
        return None


def sentence_of(finding: Finding) -> str:
    """A finding as its node shows it."""
    values = f" ({finding.actual}, and not {finding.expected})" if finding.expected and finding.actual else ""
    return f"{finding.message}{values}"
