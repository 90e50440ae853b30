"""Trace anything that has a name or a digest: down to what it rests on, up to what rests on it, and check the bytes behind."""

import difflib
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from aqea_registry.base.files import FileDigest, Limit, hash_file, read_small
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Finding, Refused, listed
from aqea_registry.base.progress import Reporter, Silent, hash_shown
from aqea_registry.base.sha256_list import MANIFEST
from aqea_registry.base.strict import load_json
from aqea_registry.claims.check_claims import CheckedClaims, check_claims
from aqea_registry.claims.ledger import FOLDER, ledger_paths
from aqea_registry.project.artefact import CatalogueEntry, PairSetArtefact, VectorSetArtefact
from aqea_registry.project.lock import AGAIN
from aqea_registry.project.project import Project, RunRecord, Scope
from aqea_registry.tracing.graph import FILES, FORWARD, ExpectedFile, Graph, GraphBuilder, Node, reached, sentence_of
from aqea_registry.tracing.nodes import draw_claims, draw_pins, draw_releases, draw_run
from aqea_registry.vectors.containers.pair_json import Examined, examine
from aqea_registry.vectors.scores import Metrics
from aqea_registry.verification.verify_project import AWAY, CheckedProject
from aqea_registry.verification.verify_results import check_vector_sets

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
    ledgers = {path.stem: f"{FOLDER}/{path.name}" for path in ledger_paths(project.root)}
    checked = check_claims(project, documents, SILENT) if ledgers else None
    for path in (path for name, path in ledgers.items() if checked and name not in checked.ledgers):
        report.warn(f"{path}: it cannot be read, and its claims are not shown; what is wrong: aqea-registry claims check")
    builder = outline(project.run, project.catalogue.values(), checked)
    draw_releases(builder, project.params.publish.stores, stores)
    starts = find(builder, what, report)
    seen = builder.graph().rests_on(*starts).by_id.keys() | _up(builder.graph(), starts)
    graph = check_bytes(builder, seen, report)
    unread = {node.id for node in graph.nodes if node.kind == "release" and not node.facts}  # any file may be in them
    broken = [node for node in graph.nodes if node.broken and node.id in seen | unread]
    findings = tuple(Finding("broken-link", node.id, node.broken or "") for node in broken)
    down, up = graph.rests_on(*starts), graph.part(_up(graph, starts))
    return Traced(what=what, found=tuple(starts), rests_on=down, carried_by=up, findings=findings)


def _up(graph: Graph, starts: Collection[str]) -> set[str]:
    """What rests on the nodes; and of a number, which no store holds, the releases of the files that it rests on."""
    above = {*graph.carried_by(*starts).by_id}
    if any(graph.by_id[id_].kind in FORWARD for id_ in above):
        return above
    for edge in (edge for file in _nearest_files(graph, starts) for edge in graph.above.get(file, ())):
        if graph.by_id[edge.source].kind in FORWARD:
            above |= {edge.target, *graph.carried_by(edge.source).by_id}
    return above


def _nearest_files(graph: Graph, starts: Collection[str]) -> set[str]:
    """The first files on every way down from claims and metrics."""

    def onward(id_: str) -> list[str]:
        printed = graph.by_id[id_].kind in ("claim", "metric")
        return [edge.target for edge in graph.below.get(id_, ())] if printed else []

    return {id_ for id_ in reached(starts, onward) if graph.by_id[id_].kind in FILES}


def find(builder: GraphBuilder, what: str, report: Reporter) -> list[str]:
    """The ids of the nodes that a word means. Raises BadConfiguration for none or several, CannotCheck for a digest of none."""
    for word in _spellings(builder.run.root, what):
        if len(ids := sorted(builder.aliases.get(word, ()))) > 1:
            raise BadConfiguration(f"{what!r} names {len(ids)} things", f"say which: {listed(ids, 8)}")
        if ids:
            return ids
    name, _, demanded = what.rpartition("@sha256:")
    tagged = [word for word in builder.aliases if name in builder.aliases and word.startswith(f"{name}@sha256:")]
    if fitting := [word for word in tagged if demanded and word.startswith(what)]:
        return sorted(set[str]().union(*(builder.aliases[word] for word in fitting)))  # the digest begins as it must
    if tagged:
        message = "the tag names another release than the one that was asked for"
        raise Refused.of("tag-moved", name, message, f"sha256:{demanded}", ", ".join(word[len(name) + 1 :] for word in tagged))
    if by_digest := _with_digest(builder, what, report):
        return by_digest
    try:
        digest = hash_file(builder.run.root / what).sha256  # of a file that lies anywhere
    except (OSError, ValueError):
        digest = None
    if digest is not None:
        if same := _with_digest(builder, digest, report):
            return same
        raise CannotCheck(f"nothing in this project knows {what}, nor a file with its sha256 {digest}", HINT)
    if _HEX.fullmatch(what):
        raise CannotCheck(f"nothing in this project has the digest {what}", HINT)
    near = _near(builder, what)
    name = what if len(what) <= LONGEST else f"{what[: LONGEST - 1]}…"
    raise BadConfiguration(f"nothing in this project is called {name!r}", f"near it: {', '.join(near)}" if near else HINT)


def _near(builder: GraphBuilder, what: str) -> list[str]:
    """Names like this one, and names that hold it."""
    if not 0 < len(what) < LONGEST:
        return []
    holding = sorted((word for word in builder.aliases if what.lower() in word.lower()), key=lambda word: (len(word), word))
    return list(dict.fromkeys((*difflib.get_close_matches(what, builder.aliases, 3, 0.75), *holding[:5])))[:6]


def _spellings(root: Path, what: str) -> list[str]:
    """The word as it is, and as a path of the project where it is one."""
    path, mark, metric = what.partition("#")
    try:
        inner = Path(os.path.normpath(root.absolute() / path)).relative_to(os.path.normpath(root.absolute())).as_posix()
    except ValueError:
        inner = path
    return list(dict.fromkeys((what, f"{inner}{mark}{metric}")))


def _with_digest(builder: GraphBuilder, what: str, report: Reporter) -> list[str]:
    """Every node with this digest, or with the only one that begins so. If no text records it, the files are hashed."""
    match = _HEX.fullmatch(what)
    if match is None:
        return []
    start = match[1].lower()
    if not (matches := _digests(builder.nodes.values(), start)):
        check_bytes(builder, builder.nodes.keys(), report)
        matches = _digests(builder.nodes.values(), start)
    if len(matches) > 1:
        raise BadConfiguration(f"{what!r} begins {len(matches)} digests", f"write more of it: {', '.join(sorted(matches)[:8])}")
    return next(iter(matches.values()), [])


def _digests(nodes: Iterable[Node], start: str) -> dict[str, list[str]]:
    by_digest = defaultdict[str, list[str]](list)
    for node in nodes:
        for digest in {node.facts[fact].removeprefix("sha256:") for fact in _DIGESTS if fact in node.facts}:
            if digest.startswith(start):
                by_digest[digest].append(node.id)
    return by_digest


def outline(
    run: RunRecord, catalogue: Collection[CatalogueEntry], checked: CheckedClaims | None, scope: Scope = Scope.MACHINE
) -> GraphBuilder:
    """What the files of a project record about each other, but for its releases; no large file is read.

    For a release nothing is drawn that only this machine knows.
    """
    builder = GraphBuilder(run)
    draw_pins(builder, catalogue, scope)
    draw_run(builder, scope)
    if checked is not None:
        draw_claims(builder, checked)
    return builder


Digests = Mapping[Path, FileDigest | OSError]


def check_bytes(builder: GraphBuilder, ids: Collection[str], report: Reporter, verified: CheckedProject | None = None) -> Graph:
    """Hash the files of these nodes, add what was found to them, and return the graph.

    Digests and scores of what was `verified` are taken from there.
    """
    wanted = {id_: builder.expected[id_] for id_ in ids if id_ in builder.expected}
    digests = _hashed(builder, [file for files in wanted.values() for file in files], report, verified)
    for id_, files in wanted.items():
        if builder.nodes[id_].kind == "upstream-file":
            _check_upstream(builder, id_, files, digests)
        else:
            _check_file(builder, id_, files[0], digests)
    for key, artefact in builder.run.artefacts.items():
        if f"pair-set:{key}" in ids:
            _check_pair_set(builder, artefact, verified)
    for key, vector_set in builder.run.vector_sets.items():
        if f"vector-set:{key}" in ids:
            _check_vector_set(builder, vector_set, verified)
    return builder.graph()


def _hashed(builder: GraphBuilder, files: list[ExpectedFile], report: Reporter, verified: CheckedProject | None) -> Digests:
    md5 = frozenset(file.path for file in files if file.md5 is not None)
    known: dict[Path, FileDigest | OSError] = {}
    for name, digest in verified.digests.items() if verified is not None else ():
        path = builder.run.root / name
        if path not in md5 or (isinstance(digest, FileDigest) and digest.md5):
            known[path] = digest
    missing = {file.path for file in files if file.within and file.path not in known and not file.path.is_dir()}
    return known | hash_shown(missing, report, md5=md5)


def _check_file(builder: GraphBuilder, id_: str, expected: ExpectedFile, digests: Digests) -> None:
    """A file of the project against the manifest and dvc.lock."""
    if not expected.within or expected.path.is_dir():  # what somebody's own stage reads; `dvc status` compares it
        return
    digest = digests[expected.path]
    if isinstance(digest, OSError):
        absent = isinstance(digest, FileNotFoundError)
        if absent and id_ in {f"vector-set:{made.key}" for made in builder.run.left_out.values()}:
            builder.add_facts(id_, note=AWAY)
        else:
            builder.add_facts(id_, "file not found" if absent else f"cannot be read: {digest.strerror or digest}")
        return
    if expected.sha256 is None:
        builder.add_facts(id_, sha256=digest.sha256, size=f"{digest.size} bytes")
    elif expected.sha256 != digest.sha256:
        broken = f"its bytes are sha256 {digest.sha256}, and {MANIFEST} names {expected.sha256}"
        builder.add_facts(id_, broken, **{"sha256 here": digest.sha256})
    if not expected.listed:
        builder.add_facts(id_, f"{MANIFEST} does not list it; {AGAIN}")
    if expected.md5 not in (None, digest.md5):
        builder.add_facts(id_, f"dvc.lock records other bytes: md5 {expected.md5}, and the file's is {digest.md5}; {AGAIN}")


def _check_upstream(builder: GraphBuilder, id_: str, files: list[ExpectedFile], digests: Digests) -> None:
    """A pinned file in every source on this machine."""
    same = []
    for expected in files:
        digest = digests.get(expected.path, IsADirectoryError("a folder"))
        if isinstance(digest, OSError):
            builder.add_facts(id_, f"{expected.spec}: cannot be read: {digest.strerror or digest}")
        elif (digest.sha256, digest.size) != (expected.sha256, expected.size):
            other = f"sha256 {digest.sha256} ({digest.size} bytes), and not {expected.sha256}"
            builder.add_facts(id_, f"{expected.spec} has other bytes: {other}", **{"sha256 here": digest.sha256})
        else:
            same.append(expected.spec or "")
    if same:
        builder.add_facts(id_, **{"the same in": ", ".join(same)})


def _check_pair_set(builder: GraphBuilder, artefact: PairSetArtefact, verified: CheckedProject | None) -> None:
    """Recompute the scores, and compare what the files made from the pair set print of them."""
    key, name, id_ = artefact.key, artefact.file, f"pair-set:{artefact.key}"
    examined, findings = verified.pair_sets.get(key) if verified is not None else None, list[Finding]()
    if examined is None and builder.expected[id_][0].within:
        try:
            examined, findings = examine(builder.expected[id_][0].path, name, artefact.expected)
        except OSError:
            findings = []  # shown at the file already
    for finding in findings:
        subject = finding.subject.removeprefix(name).lstrip(": ") or "the file"
        builder.add_facts(id_, f"{subject}: {sentence_of(finding)}")
    if examined is None:
        for metric in Metrics.__struct_fields__:
            builder.add_facts(f"metric:{key}#{metric}", "cannot be recomputed: the pair set is missing or malformed")
        return
    header = examined.header
    builder.add_facts(id_, content=examined.content, pairs=str(header.n_pairs), dimension=str(header.dimension))
    for metric, value in msgspec.to_builtins(examined.metrics).items():
        builder.add_facts(f"metric:{key}#{metric}", value=repr(value))
    for path in artefact.printing:
        for wrong in _misprints(builder.run.root / path, examined):
            builder.add_facts(f"file:{path}", wrong)


def _check_vector_set(builder: GraphBuilder, artefact: VectorSetArtefact, verified: CheckedProject | None) -> None:
    """Whether the vector set is sound, and the one that its result names."""
    root, id_ = builder.run.root, f"vector-set:{artefact.key}"
    checked = verified.vector_sets.get(artefact.key) if verified is not None else None
    if checked is None:
        try:
            there = [path for path in artefact.stated if (root / path).is_file()]
            sound, findings = check_vector_sets(root, [artefact], there, builder.run.left_out)
        except CannotCheck as error:
            builder.add_facts(id_, note=f"not read: {error.message}")
            return
        for finding in findings:
            if not finding.subject.startswith(artefact.metrics):  # shown at the result already
                builder.add_facts(id_, sentence_of(finding))
        checked = sound.get(artefact.key)
    if checked is not None:
        builder.add_facts(id_, content=checked.content, texts=str(checked.texts), dimension=str(checked.dimension))


def _misprints(path: Path, examined: Examined) -> Iterator[str]:
    """Where a metrics or benchmark file prints other scores than were recomputed."""
    try:
        value: Any = load_json(read_small(path, Limit.DOCUMENT), "it")
    except OSError:
        return  # shown at the file already
    except BadConfiguration as error:
        yield f"it is not JSON that can be read: {error.message.removeprefix('it: ')}"
        return
    printed = value.get("metrics", value) if isinstance(value, dict) else {}
    for metric, recomputed in msgspec.to_builtins(examined.metrics).items():
        score = printed.get(metric) if isinstance(printed, dict) else None
        if score != recomputed:
            yield f"it says {metric} {score!r}, and recomputed from the pair set it is {recomputed!r}"
