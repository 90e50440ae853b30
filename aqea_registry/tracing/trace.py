"""Trace anything that has a name or a digest: down to what it rests on, and up to what rests on it."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from aqea_registry.base.files import hash_file
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding
from aqea_registry.base.progress import Reporter, Silent
from aqea_registry.claims.check_claims import CheckedClaims, check_claims
from aqea_registry.claims.ledger import FOLDER
from aqea_registry.project.project import Project, Scope
from aqea_registry.tracing.check_bytes import check_bytes
from aqea_registry.tracing.graph import FORWARD, Graph, GraphBuilder, Node, reached
from aqea_registry.tracing.run_nodes import draw_pins, draw_run
from aqea_registry.verification.verify_project import CheckedProject

HINT = "WHAT is a claim, a path, PATH#METRIC, a sha256, a release, a tag, a pair set, a name of the catalogue or a commit"
LONGEST = 200  # characters of a name that is compared with others
_HEX = re.compile(r"(?:sha256:)?([0-9a-f]{8,64})", re.IGNORECASE)
SILENT = Silent()
_DIGESTS = ("sha256", "sha256 here", "digest", "content", "commit", "head", "md5", "blob")


class Traced(msgspec.Struct, frozen=True, kw_only=True):
    """What was traced: the nodes that it means, what they rest on and what rests on them, and the broken links among these."""

    what: str
    found: tuple[str, ...]
    rests_on: Graph
    carried_by: Graph
    findings: tuple[Finding, ...]

    @property
    def graph(self) -> Graph:
        """Both directions together."""
        down, up = self.rests_on, self.carried_by
        return Graph.of((*down.nodes, *up.nodes), (*down.edges, *up.edges))


def trace(
    project: Project, what: str, report: Reporter, *, documents: Sequence[Path] = (), stores: Sequence[str] = ()
) -> Traced:
    """Trace a claim, a file, a metric, a digest, a release, a pin or a commit; only the files of the answer are read.

    `documents` are folders with documents of claims, `stores` are asked besides those of receipts and params.yaml. Raises as
    `find` does, and for receipts and stores that cannot be read.
    """
    ledgers = any((project.root / FOLDER).glob("*.yaml"))
    checked = check_claims(project, documents, SILENT) if ledgers else None
    builder = outline(project, checked, stores=stores)
    found = find(builder, what, report)
    down, up = _down(builder.graph(), found), _up(builder.graph(), found)
    check_bytes(builder, {*down, *up}, report)
    graph = builder.graph()
    broken = [node for node in graph.nodes if node.broken and node.id in {*down, *up}]
    return Traced(
        what=what,
        found=tuple(found),
        rests_on=graph.part(_down(graph, found)),
        carried_by=graph.part(_up(graph, found)),
        findings=tuple(Finding("broken-link", node.id, node.broken or "") for node in broken),
    )


def _down(graph: Graph, found: Iterable[str]) -> set[str]:
    return {node.id for start in found for node in graph.rests_on(start).nodes}


def _up(graph: Graph, found: Iterable[str]) -> set[str]:
    """What rests on the nodes; and of a number, which no store holds, the releases of the files that it rests on."""
    above = {node.id for start in found for node in graph.carried_by(start).nodes}
    if any(graph.by_id[id_].kind in FORWARD for id_ in above):
        return above
    for start in found:
        for edge in (edge for file in _nearest_files(graph, start) for edge in graph.above.get(file, ())):
            if graph.by_id[edge.source].kind in FORWARD:
                above |= {edge.target, *(node.id for node in graph.carried_by(edge.source).nodes)}
    return above


def _nearest_files(graph: Graph, start: str) -> set[str]:
    """The first files on every way down from a claim or a metric."""

    def onward(id_: str) -> list[str]:
        printed = graph.by_id[id_].kind in ("claim", "metric")
        return [edge.target for edge in graph.below.get(id_, ())] if printed else []

    return {id_ for id_ in reached(start, onward) if graph.by_id[id_].kind in ("pair-set", "file")}


def find(builder: GraphBuilder, what: str, report: Reporter) -> list[str]:
    """The ids of the nodes that a word means. Raises BadConfiguration for none or several, CannotCheck for a digest of none."""
    for word in _spellings(builder.run.root, what):
        if named := _named(builder, word, what):
            return [named]
    if by_digest := _with_digest(builder, what, report):
        return by_digest
    if (digest := _digest_of_file(builder.run.root / what)) is not None:
        if same := _with_digest(builder, digest, report):
            return same
        raise CannotCheck(f"nothing in this project knows {what}, nor a file with its sha256 {digest}", HINT)
    if _HEX.fullmatch(what):
        raise CannotCheck(f"nothing in this project has the digest {what}", HINT)
    near = _near(builder, what)
    name = what if len(what) <= LONGEST else f"{what[: LONGEST - 1]}…"
    raise BadConfiguration(f"nothing in this project is called {name!r}", f"near it: {', '.join(near)}" if near else HINT)


def _digest_of_file(path: Path) -> str | None:
    """The sha256 of a file that lies anywhere; None if there is none."""
    try:
        return hash_file(path).sha256
    except (OSError, ValueError):
        return None


def _near(builder: GraphBuilder, what: str) -> list[str]:
    """Names like this one, and names that hold it."""
    like = difflib.get_close_matches(what, builder.aliases, 3, 0.75) if len(what) < LONGEST else []
    holding = sorted((word for word in builder.aliases if what.lower() in word.lower()), key=lambda word: (len(word), word))
    return list(dict.fromkeys((*like, *(holding[:5] if what else ()))))[:6]


def _spellings(root: Path, what: str) -> list[str]:
    """The word as it is, and as a path of the project where it is one."""
    path, mark, metric = what.partition("#")
    try:
        inner = Path(os.path.normpath(root.absolute() / path)).relative_to(os.path.normpath(root.absolute())).as_posix()
    except ValueError:
        inner = path
    return list(dict.fromkeys((what, f"{inner}{mark}{metric}")))


def _named(builder: GraphBuilder, word: str, what: str) -> str | None:
    """The node of this name. Raises BadConfiguration if it names several."""
    ids = sorted(builder.aliases.get(word, ()))
    if len(ids) > 1:
        named = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
        raise BadConfiguration(f"{what!r} names {len(ids)} things", f"say which: {named}")
    return ids[0] if ids else None


def _with_digest(builder: GraphBuilder, what: str, report: Reporter) -> list[str]:
    """Every node with this digest, or with the only one that begins so. If no text records it, the files are hashed."""
    match = _HEX.fullmatch(what)
    if match is None:
        return []
    start = match[1].lower()
    found = _digests(builder.nodes.values(), start)
    if not found:
        check_bytes(builder, builder.nodes.keys(), report)
        found = _digests(builder.nodes.values(), start)
    if len(found) > 1:
        raise BadConfiguration(f"{what!r} begins {len(found)} digests", f"write more of it: {', '.join(sorted(found)[:8])}")
    return next(iter(found.values()), [])


def _digests(nodes: Iterable[Node], start: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for node in nodes:
        for digest in {node.facts[fact].removeprefix("sha256:") for fact in _DIGESTS if fact in node.facts}:
            if digest.startswith(start):
                found.setdefault(digest, []).append(node.id)
    return found


def build_graph(builder: GraphBuilder, verification: CheckedProject | None = None, *, report: Reporter = SILENT) -> Graph:
    """The whole graph, every file of it looked at; digests and scores of what was verified are taken from there."""
    check_bytes(builder, builder.nodes.keys(), report, verification)
    return builder.graph()


def outline(
    project: Project, checked: CheckedClaims | None, *, stores: Sequence[str] = (), scope: Scope = Scope.MACHINE
) -> GraphBuilder:
    """What the files of a project record about each other; no large file is read. `stores` are asked besides the run's.

    For a release nothing is drawn that only this machine knows. Raises BadConfiguration for a bad receipt, and CannotCheck.
    """
    from aqea_registry.tracing.nodes import draw_claims, draw_releases

    builder = GraphBuilder(project.run)
    draw_pins(builder, project.catalogue.values(), scope)
    draw_run(builder, scope)
    if checked is not None:
        draw_claims(builder, checked)
    if scope is Scope.MACHINE:
        draw_releases(builder, project.params.publish.stores, stores)
    return builder
