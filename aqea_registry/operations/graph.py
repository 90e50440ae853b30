"""The graph of a project: first what its files say of each other, then whether the bytes that are here agree."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from aqea_registry.core.dvclock import AGAIN, DvcLock, Output, parameter_findings
from aqea_registry.core.dvclock import NAME as DVC_LOCK
from aqea_registry.core.findings import Finding
from aqea_registry.core.graph import Edge, Graph, Kind, Node
from aqea_registry.core.manifest import MANIFEST, SIZES, parse_sizes
from aqea_registry.core.metrics import Metrics
from aqea_registry.core.paths import UnsafePath, inside
from aqea_registry.core.pins import LOCK, Pin, pin_findings
from aqea_registry.core.reporting import Reporter, Silent
from aqea_registry.operations.pin import PinnedPlace, pinned_places
from aqea_registry.operations.project import (
    Project,
    export_path,
    metrics_path,
    pairs_path,
    plot_path,
    view_path,
)

if TYPE_CHECKING:
    from aqea_registry.operations.check_files import Verification
    from aqea_registry.operations.claims_check import CheckedClaims

_SILENT = Silent()
_LONGEST = 200  # characters of a parameter's value, where people read it


class Recorded(NamedTuple):
    """What is recorded of a file's bytes, and where they are. `spec` names the source of an upstream file."""

    place: Path
    sha256: str | None = None
    size: int | None = None  # bytes
    md5: str | None = None
    spec: str | None = None
    listed: bool = True  # whether the manifest lists it, or need not


class Draft:
    """A graph while it is drawn: nodes, edges, where bytes are, and the words that a person may call a node by."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.recorded: dict[str, list[Recorded]] = {}
        self.words: defaultdict[str, set[str]] = defaultdict(set)

    def node(
        self,
        kind: Kind,
        name: str,
        label: str,
        facts: Mapping[str, object],
        broken: str | None = None,
        words: Iterable[str] = (),
    ) -> str:
        """Draw a node, facts that are None left out, and return its id."""
        id_ = f"{kind}:{name}"
        told = {key: str(value) for key, value in facts.items() if value is not None}
        self.nodes[id_] = Node(id_, kind, label, told, broken)
        for word in (id_, *words):
            self.words[word].add(id_)
        return id_

    def edge(self, source: str, target: str, label: str) -> None:
        """Draw an edge between nodes that are drawn, or will be."""
        self.edges.append(Edge(source, target, label))

    def note(self, id_: str, broken: str | None = None, **facts: str) -> None:
        """Say more of a node; what is broken is added to what was broken before."""
        node = self.nodes[id_]
        sentences = [one for one in (node.broken, broken) if one]
        both = "; ".join(dict.fromkeys(sentences)) or None
        self.nodes[id_] = msgspec.structs.replace(node, facts={**node.facts, **facts}, broken=both)

    def file(self, path: str, recorded: Recorded, words: Iterable[str] = (), pair_set: str | None = None) -> str:
        """Draw a file of the project, or a pair set's file."""
        facts = {"sha256": recorded.sha256, "size": _bytes(recorded.size), "md5": recorded.md5}
        if pair_set is None:
            id_ = self.node("file", path, path, facts, None, (path, *words))
        else:
            id_ = self.node("pair-set", pair_set, path, {"name": pair_set, **facts}, None, (path, pair_set, *words))
        self.recorded[id_] = [recorded]
        return id_

    def graph(self) -> Graph:
        """What is drawn so far."""
        return Graph.of(self.nodes.values(), self.edges)


def build_graph(
    project: Project,
    checked: CheckedClaims | None,
    verification: Verification | None = None,
    *,
    report: Reporter = _SILENT,
    here: bool = True,
    releases: bool = True,
) -> Graph:
    """The whole graph, every file of it looked at. Of a project that was verified the digests and scores are taken from there.

    Without `here` nothing is told of this machine alone: upstream files that happen to be on it, and git's commit. Without
    `releases` no release is told of. Raises BadConfiguration for a receipt that is none, and CannotCheck.
    """
    from aqea_registry.operations.graph_bytes import look

    draft = outline(project, checked, here=here, releases=releases)
    look(draft, draft.nodes.keys(), report, verification)
    return draft.graph()


def outline(
    project: Project, checked: CheckedClaims | None, *, stores: Sequence[str] = (), here: bool = True, releases: bool = True
) -> Draft:
    """What the files of a project say of each other; no large file is read. `stores` are asked besides those of the run."""
    from aqea_registry.operations.graph_claims import draw_claims
    from aqea_registry.operations.graph_releases import draw_releases

    draft = Draft(project)
    _draw_pins(draft, here=here)
    _draw_run(draft, here=here)
    if checked is not None:
        draw_claims(draft, checked)
    if releases:
        draw_releases(draft, stores)
    return draft


def _draw_pins(draft: Draft, *, here: bool) -> None:
    """Every entry of the catalogue, and the files of its pin."""
    project = draft.project
    groups: tuple[tuple[str, Mapping[str, Any], Mapping[str, Pin]], ...] = (
        ("datasets", project.params.datasets, project.lock.datasets),
        ("models", project.params.models, project.lock.models),
    )
    for group, entries, pins in groups:
        for name in sorted({*entries, *pins}):
            pin, entry = pins.get(name), entries.get(name)
            broken = "params.yaml has no such entry (any more)"
            if entry is not None:
                broken = "; ".join(sentence(finding) for finding in pin_findings(group, name, entry, pin))
            facts: dict[str, object] = {"kind": group.removesuffix("s"), "repository": entry.repo if entry else None}
            if pin is not None:
                facts |= {
                    "repository": pin.id,
                    "requested": pin.requested,
                    "commit": pin.commit,
                    "files": len(pin.files),
                    "resolved from": pin.resolved_from,
                    "resolved at": pin.resolved_at,
                    "licence": pin.licence,
                }
            id_ = draft.node(
                "pin", name, name, facts, broken or None, [name, *([str(facts["repository"])] if facts["repository"] else [])]
            )
            if pin is not None:
                _draw_upstream(draft, id_, name, pin, project.sources(name, entry, pin.commit) if here and entry else ())


def _draw_upstream(draft: Draft, id_: str, name: str, pin: Pin, sources: Sequence[Any]) -> None:
    for path, file in sorted(pin.files.items()):
        facts = {"sha256": file.sha256, "size": _bytes(file.size), "blob": file.blob}
        draft.edge(id_, draft.node("upstream-file", f"{name}/{path}", f"{path} of {name}", facts), "names")
    wrong: dict[str, str] = {}
    for source in sources:
        for item in pinned_places(name, pin, [source]):
            path = item.subject.removeprefix(f"{name}: ").removesuffix(f" in {source.spec}")
            if isinstance(item, PinnedPlace):
                recorded = Recorded(item.place, item.file.sha256, item.file.size, spec=source.spec)
                draft.recorded.setdefault(f"upstream-file:{name}/{path}", []).append(recorded)
            else:
                wrong[f"upstream-file:{name}/{path}"] = f"{source.spec}: {item.message}"
    for file_id, sentence in wrong.items():
        draft.note(file_id, sentence)


def _draw_run(draft: Draft, *, here: bool) -> None:
    """Files of the run, pair sets and their metrics, and the stages that made them."""
    from aqea_registry.operations.verify import read_dvc_lock, read_manifest

    project, run = draft.project, draft.project.params.run
    _, listed, bad_list = read_manifest(project)
    lock, bad_lock = read_dvc_lock(project)
    sizes = _sizes(project)
    made = {path: out for path, (_, out) in lock.only(project.stages()).outputs().items()}
    stages = _stages_of(project)
    keys = {pairs_path(pair): key for key, pair in run.pairs.items()}
    for path in sorted({*listed, *stages, *made, LOCK}):
        out = made.get(path, Output(path))
        free = path not in project.manifest_paths()
        place = inside_project(project.root, path)
        if place is None:
            continue
        recorded = Recorded(place, listed.get(path), sizes.get(path, out.size), out.md5, listed=free or path in listed)
        id_ = draft.file(path, recorded, (), keys.get(path))
        if path in stages:
            draft.edge(id_, f"stage:{stages[path]}", "made by")
    for path, findings in ((MANIFEST, bad_list), (SIZES, [])):
        if findings:
            draft.note(f"file:{path}", sentence(findings[0]))
    for key in run.pairs:
        _draw_metrics(draft, key)
    _draw_stages(draft, lock, bad_lock, stages)
    if here:
        _draw_commit(draft)


def _draw_metrics(draft: Draft, key: str) -> None:
    """The numbers of a pair set; metrics file and benchmark print them."""
    run = draft.project.params.run
    pair = run.pairs[key]
    printing = [metrics_path(key)]
    printing += [
        export_path(one.file, one.format) for one in run.exports.values() if (one.file, one.format) == (pair.file, "benchmark")
    ]
    for metric in Metrics.__struct_fields__:
        words = [f"{place}#{metric}" for place in (key, pairs_path(pair), view_path(key), *printing)]
        id_ = draft.node("metric", f"{key}#{metric}", f"{key}#{metric}", {}, None, words)
        draft.edge(id_, f"pair-set:{key}", "recomputed from")
        for path in printing:
            draft.edge(f"file:{path}", id_, "prints")


def _draw_stages(draft: Draft, lock: DvcLock, bad_lock: Sequence[Finding], made: Mapping[str, str]) -> None:
    from aqea_registry.operations.verify import parameters

    project, run = draft.project, draft.project.params.run
    wrong: defaultdict[str, list[str]] = defaultdict(list)
    for finding in parameter_findings(lock, parameters(project), project.stages()):
        about, _, parameter = finding.subject.partition(": ")
        wrong[about].append(f"{parameter}: {finding.message}" if parameter else finding.message)
    for name in sorted(project.stages()):
        stage = lock.stages.get(name)
        words = stage.cmd if stage is not None and isinstance(stage.cmd, str) else " && ".join(stage.cmd) if stage else None
        unread = (
            f"{DVC_LOCK}: {sentence(bad_lock[0])}".replace(f"{DVC_LOCK}: {DVC_LOCK}: ", f"{DVC_LOCK}: ") if bad_lock else None
        )
        broken = None if stage is not None else unread or "; ".join(wrong[name]) or None
        id_ = draft.node("stage", name, name, {"command": words}, broken, [name])
        pair = run.pairs.get(name.partition("@")[2]) or run.exports.get(name.partition("@")[2])
        for pin in (pair.dataset, pair.model) if pair and not name.startswith("parquet@") else ():
            draft.edge(id_, f"pin:{pin}", "reads")
        if stage is None:
            continue
        if stage.params:
            facts = {f"{file}: {key}": _value(value) for file, keys in stage.params.items() for key, value in keys.items()}
            parameters_id = draft.node("parameters", name, f"of {name}", facts, "; ".join(wrong[name]) or None)
            draft.edge(id_, parameters_id, "ran with")
        for dep in stage.deps:
            _draw_dep(draft, id_, dep, made)


def _draw_dep(draft: Draft, stage: str, dep: Output, made: Mapping[str, str]) -> None:
    """What a stage read: a file that is drawn, the drawn files of a folder, or else the file or folder itself."""
    known = sorted(draft.words.get(dep.path, ()))
    known = known or [id_ for path in made if path.startswith(f"{dep.path}/") for id_ in draft.words.get(path, ())]
    place = inside_project(draft.project.root, dep.path)
    if not known and place is not None:
        known = [draft.file(dep.path, Recorded(place, None, dep.size, dep.md5))]
    for id_ in known:
        draft.edge(stage, id_, "reads")
        if draft.nodes[id_].label == dep.path:
            _compare_dep(draft, stage, id_, dep)


def _compare_dep(draft: Draft, stage: str, id_: str, dep: Output) -> None:
    """Whether the stage read what another one made; of what none made, what it read is what must be there."""
    recorded = draft.recorded[id_][0]
    if recorded.md5 is None and dep.md5 is not None:
        draft.recorded[id_] = [recorded._replace(md5=dep.md5)]
        draft.note(id_, md5=dep.md5)
    elif dep.md5 not in (None, recorded.md5):
        draft.note(stage, f"it read {dep.path} with md5 {dep.md5}, and dvc.lock records {recorded.md5} for it; {AGAIN}")


def _draw_commit(draft: Draft) -> None:
    from aqea_registry.operations.commit import recorded_commit

    commit, facts = recorded_commit(draft.project.root)
    label = f"{commit[:12]}, which recorded dvc.lock" if commit else "none"
    id_ = draft.node("commit", commit or "none", label, facts)
    for stage in draft.project.stages():
        draft.edge(f"stage:{stage}", id_, "recorded in")


def _stages_of(project: Project) -> dict[str, str]:
    """Path to stage, of everything that the run makes."""
    run = project.params.run
    made = {MANIFEST: "manifest", SIZES: "manifest"}
    for key, pair in run.pairs.items():
        made |= dict.fromkeys((pairs_path(pair), metrics_path(key), plot_path(key)), f"generate@{key}")
        made[view_path(key)] = project.view_stage(key)
    return made | {export_path(one.file, one.format): f"export@{key}" for key, one in run.exports.items()}


def _sizes(project: Project) -> dict[str, int]:
    try:
        return parse_sizes((project.root / SIZES).read_bytes(), SIZES)[0]
    except OSError:
        return {}


def inside_project(root: Path, path: str) -> Path | None:
    """Where a path that stands in a file lies; None if it leads out of the project."""
    try:
        return inside(root, path)
    except UnsafePath:
        return None


def sentence(finding: Finding) -> str:
    """A finding as it stands at its node."""
    told = f" ({finding.actual}, and not {finding.expected})" if finding.expected and finding.actual else ""
    return f"{finding.message}{told}"


def _value(value: object) -> str:
    """A parameter as the stage ran with it. Of a pin its commit and files: its digests are nodes of their own."""
    if isinstance(value, Mapping) and "files" in value and "requested" in value:
        return f"{value.get('id')} at {value.get('commit') or 'no commit'}, {len(value['files'])} files"
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _bytes(size: int | None) -> str | None:
    return None if size is None else f"{size} bytes"
