"""The graph as a value: closures, trees, and text for Mermaid that no name can break."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest

from aqea_registry.tracing.graph import KINDS, Edge, Graph, Node, counted, kept_in, left_out, mermaid, tree
from tests.growth import assert_linear

NODES = [
    Node("claim:a", "claim", "a", {"printed": "82.03"}),
    Node("claim:b", "claim", "b", {"printed": "1"}, "contradicted: it is 2"),
    Node("metric:k#m", "metric", "k#m", {"value": "0.8203"}),
    Node("pair-set:k", "pair-set", "k.json", {"sha256": "0123456789abcdef", "content": "fedcba9876543210"}),
    Node("file:f", "file", "f", {"sha256": "00" * 32}),
    Node("pin:p", "pin", "p", {}),
    Node("release:r", "release", "v1", {"digest": "sha256:1122334455667788"}),
]
EDGES = [
    Edge("claim:a", "metric:k#m", "measured as"),
    Edge("claim:b", "claim:a", "derived from"),
    Edge("metric:k#m", "pair-set:k", "recomputed from"),
    Edge("file:f", "metric:k#m", "prints"),
    Edge("pair-set:k", "pin:p", "reads"),
    Edge("file:f", "pin:p", "reads"),
    Edge("release:r", "pair-set:k", "carries"),
]
GRAPH = Graph.of(NODES, EDGES)


def ids(graph: Graph) -> list[str]:
    return [node.id for node in graph.nodes]


def test_the_order_of_drawing_does_not_show() -> None:
    chance = random.Random(1)
    for _ in range(5):
        nodes, edges = chance.sample(NODES, len(NODES)), chance.sample([*EDGES, *EDGES], 2 * len(EDGES))
        again = Graph.of(nodes, edges)
        assert (again, mermaid(again)) == (GRAPH, mermaid(GRAPH))
        assert tree(again, "pin:p", "up") == tree(GRAPH, "pin:p", "up")
    assert [node.kind for node in GRAPH.nodes] == sorted((node.kind for node in NODES), key=KINDS.index)


def test_an_edge_to_nowhere_is_refused() -> None:
    for edge in (Edge("claim:a", "claim:z", "x"), Edge("claim:z", "claim:a", "x")):
        with pytest.raises(ValueError, match="claim:z"):
            Graph.of(NODES, [edge])


def test_closures_both_ways() -> None:
    assert ids(GRAPH.rests_on("claim:b")) == ["claim:a", "claim:b", "metric:k#m", "pair-set:k", "pin:p"]
    assert ids(GRAPH.carried_by("pair-set:k")) == ["claim:a", "claim:b", "metric:k#m", "pair-set:k", "file:f", "release:r"]
    assert ids(GRAPH.carried_by("release:r")) == ["release:r"]
    assert ids(GRAPH.rests_on("pin:p")) == ["pin:p"]
    down = GRAPH.rests_on("metric:k#m")
    assert {(edge.source, edge.target) for edge in down.edges} == {("metric:k#m", "pair-set:k"), ("pair-set:k", "pin:p")}
    assert GRAPH.carried_by("metric:k#m").broken == (NODES[1],)


def test_plain_values_are_json() -> None:
    value = json.loads(json.dumps(msgspec.to_builtins(GRAPH)))
    assert value["edges"][0] == {"source": "claim:a", "target": "metric:k#m", "label": "measured as"}
    assert value["nodes"][1] == {
        "id": "claim:b", "kind": "claim", "label": "b", "facts": {"printed": "1"}, "broken": "contradicted: it is 2"
    }  # fmt: skip


def test_a_tree_tells_everything_once() -> None:
    root = tree(GRAPH, "pin:p", "up")
    assert [(one.label, one.node.id) for one in root.branches] == [("reads", "pair-set:k"), ("reads", "file:f")]
    metric, release = root.branches[0].branches
    assert (metric.node.id, release.node.id, release.repeated) == ("metric:k#m", "release:r", False)
    assert [one.node.id for one in metric.branches] == ["claim:a", "file:f"]
    assert root.branches[1] == (GRAPH.by_id["file:f"], "reads", (), False, {}), "a leaf has nothing more above it"
    assert kept_in(root) == set(ids(GRAPH.carried_by("pin:p")))


def test_claims_in_a_circle_and_without_end() -> None:
    nodes = [Node(f"claim:{number}", "claim", str(number)) for number in range(3_000)]
    edges = [Edge(one.id, other.id, "quotes") for one, other in pairwise(nodes)]
    endless = Graph.of(nodes, [*edges, Edge("claim:2999", "claim:0", "quotes")])
    assert len(endless.rests_on("claim:7").nodes) == len(endless.carried_by("claim:7").nodes) == 3_000
    down = tree(endless, "claim:7", "down")
    assert left_out(down) == {"claim": 1}, "deeper than anybody reads, and than Python's stack"
    circle = tree(Graph.of(nodes[:2], [edges[0], Edge("claim:1", "claim:0", "quotes")]), "claim:0", "down")
    assert circle.branches[0].branches[0].repeated


def test_many_branches_are_counted_and_the_broken_ones_kept() -> None:
    graph = of_claims(10_000)
    up = tree(graph, "file:f", "up", 10)
    assert len(up.branches) == 11
    assert {"claim:00000", "claim:09000", "release:r"} <= {one.node.id for one in up.branches}
    assert (left_out(up), counted(up.omitted)) == ({"claim": 9_990}, "9990 claims")
    assert len(tree(graph, "file:f", "up").branches) == 10_001


def of_claims(count: int) -> Graph:
    """So many claims and a release that rest on one file."""
    broken = {9_000: "no"}
    claims = [Node(f"claim:{number:05}", "claim", str(number), {}, broken.get(number)) for number in range(count)]
    others = [Node("file:f", "file", "f"), Node("release:r", "release", "r")]
    return Graph.of([*claims, *others], [Edge(node.id, "file:f", "quotes") for node in (*claims, others[1])])


def test_asking_of_every_claim_takes_time_that_grows_with_the_claims() -> None:
    """As the page does."""

    def work(count: int) -> Callable[[], object]:
        def ask() -> None:
            graph = of_claims(count)
            tree(graph, "file:f", "up", 10)
            assert all(len(graph.rests_on(f"claim:{number:05}").nodes) == 2 for number in range(count))

        return ask

    assert_linear(work, 2_500)


def test_counts_are_for_people() -> None:
    assert counted({"release": 1, "pair-set": 2, "claim": 0, "upstream-file": 1}) == "2 pair sets, 1 upstream file, 1 release"


NASTY = (
    'a "b" c',
    "a]c",
    "end",
    "%%{init: {}}%%",
    "<script>",
    "&amp;#34;",
    "`x`",
    "a\nb\\n",
    "\\",
    "\x1b[2J",
    "Größe – 😀",
    "|x|",
    ";--",
    "",
)


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_no_name_breaks_out_of_mermaid(text: str) -> None:
    graph = Graph.of([Node("claim:a", "claim", text, {}, text or None), NODES[4]], [Edge("claim:a", "file:f", text)])
    lines = mermaid(graph, ["claim:a"]).splitlines()
    assert lines[0] == "flowchart LR"
    shapes = [r'  n\d+\["([^"]*)"\]', r'  n\d+ -->\|"([^"]*)"\| n\d+', r"  classDef broken [\w:#,\- ]+", r"  class n\d broken"]
    shapes += [r"  style n0 stroke-width:4px"]
    for line in lines[1:]:
        match = next((match for shape in shapes if (match := re.fullmatch(shape, line))), None)
        assert match, line
        inside = match[1].replace("<br/>", "") if match.groups() else ""
        assert not re.search(r'["<>&`%\[\]{}|\\]', inside), line
        assert not re.search(r"#(?!\d+;)", inside), line
    seen = "".join(one if one.isprintable() else " " for one in text)
    told = re.sub(r"#(\d+);", lambda code: chr(int(code[1])), lines[1].replace("<br/>", "\n"))
    assert (f"claim\n{seen}" if text else "claim") in told
