"""The graph of a project: what its files record about each other, then whether the bytes on this machine agree."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aqea_registry.base.sha256_list import MANIFEST
from aqea_registry.project.artefact import CatalogueEntry, RunArtefact
from aqea_registry.project.lock import AGAIN, DVC_LOCK, LOCK, Output, Pin, pin_findings
from aqea_registry.project.params import group_of
from aqea_registry.project.project import Scope, recorded_commit
from aqea_registry.sources.fetch import local_files
from aqea_registry.sources.kinds import sources_of
from aqea_registry.tracing.graph import ExpectedFile, GraphBuilder, inside_project, sentence_of
from aqea_registry.vectors.scores import Metrics

_LONGEST = 200  # characters of a parameter's value, where people read it


def draw_pins(builder: GraphBuilder, catalogue: Collection[CatalogueEntry], scope: Scope) -> None:
    """Every entry of the catalogue, and the files of its pin."""
    lock = builder.run.lock
    for kind, group, pins in (("dataset", "datasets", lock.datasets), ("model", "models", lock.models)):
        entries = {wanted.name: wanted for wanted in catalogue if group_of(wanted.entry) == group}
        for name in sorted({*entries, *pins}):
            pin, wanted = pins.get(name), entries.get(name)
            broken = "params.yaml has no such entry (any more)"
            if wanted is not None:
                broken = "; ".join(sentence_of(finding) for finding in pin_findings(name, wanted.entry, pin))
            repository = pin.id if pin is not None else wanted.entry.repo if wanted else None
            facts: dict[str, object] = {"kind": kind, "repository": repository}
            if pin is not None:
                facts |= {
                    "requested": pin.requested,
                    "commit": pin.commit_text() if pin.commit else None,
                    "files": len(pin.files),
                    "resolved from": pin.resolved_from,
                    "resolved at": pin.resolved_at,
                    "licence": pin.licence,
                }
            id_ = builder.node("pin", name, name, facts, broken or None, filter(None, (name, repository)))
            if pin is not None:
                sources = sources_of(wanted, pin.commit) if scope is Scope.MACHINE and wanted is not None else ()
                _draw_upstream(builder, id_, name, pin, sources)


def _draw_upstream(builder: GraphBuilder, id_: str, name: str, pin: Pin, sources: Sequence[Any]) -> None:
    for path, file in sorted(pin.files.items()):
        facts = {"sha256": file.sha256, "size": f"{file.size} bytes", "blob": file.blob}
        builder.edge(id_, builder.node("upstream-file", f"{name}/{path}", f"{path} of {name}", facts), "names")
    for source in sources:
        local, findings = local_files(name, pin, [source])
        for here in local:
            recorded = ExpectedFile(here.path, here.file.sha256, here.file.size, spec=source.spec)
            builder.expected.setdefault(f"upstream-file:{name}/{here.name}", []).append(recorded)
        for finding in findings:
            path = finding.subject.removeprefix(f"{name}: ").removesuffix(f" in {source.spec}")
            builder.add_facts(f"upstream-file:{name}/{path}", f"{source.spec}: {finding.message}")


def draw_run(builder: GraphBuilder, scope: Scope) -> None:
    """Files of the run, pair sets and their metrics, and the stages that made them."""
    run, manifest, expected = builder.run, builder.run.manifest, set(builder.run.paths())
    made = {path: out for path, (_, out) in run.dvc_lock.outputs().items()}
    stages = run.made_by()
    keys = {artefact.pairs: key for key, artefact in run.artefacts.items()}
    for path in sorted({*manifest.digests, *stages, *made, LOCK}):
        out = made.get(path, Output(path))
        location = inside_project(run.root, path)
        if location is None:
            continue
        listed = path in manifest.digests or path not in expected
        size = manifest.sizes.get(path, out.size)
        expected_file = ExpectedFile(location, manifest.digests.get(path), size, out.md5, listed=listed)
        id_ = builder.file(path, expected_file, keys.get(path))
        if path in stages:
            builder.edge(id_, f"stage:{stages[path]}", "made by")
    if wrong := (*manifest.faults, *manifest.spelling):
        builder.add_facts(f"file:{MANIFEST}", sentence_of(wrong[0]))
    for artefact in run.artefacts.values():
        _draw_metrics(builder, artefact)
    _draw_stages(builder, stages)
    if scope is Scope.MACHINE:
        _draw_commit(builder)


def _draw_metrics(builder: GraphBuilder, artefact: RunArtefact) -> None:
    """The numbers of a pair set; metrics file and benchmark print them."""
    key, printing = artefact.key, artefact.printing
    for metric in Metrics.__struct_fields__:
        words = [f"{name}#{metric}" for name in (key, artefact.pairs, artefact.view, *printing)]
        id_ = builder.node("metric", f"{key}#{metric}", f"{key}#{metric}", {}, None, words)
        builder.edge(id_, f"pair-set:{key}", "recomputed from")
        for path in printing:
            builder.edge(f"file:{path}", id_, "prints")


def _draw_stages(builder: GraphBuilder, made: Mapping[str, str]) -> None:
    """The stages of the run as dvc.lock has them, with what they read and the parameters that they ran with."""
    run = builder.run
    wrong: defaultdict[str, list[str]] = defaultdict(list)
    for finding in run.stage_findings():
        about, _, parameter = finding.subject.partition(": ")
        wrong[about].append(f"{parameter}: {finding.message}" if parameter else finding.message)
    reason = f"{DVC_LOCK}: {run.unread[0].message.removeprefix(f'{DVC_LOCK}: ')}" if run.unread else None
    for name, artefact in sorted(run.stages.items()):
        stage = run.dvc_lock.stages.get(name)
        command = stage.cmd if stage is not None and isinstance(stage.cmd, str) else " && ".join(stage.cmd) if stage else None
        broken = None if stage is not None else reason or "; ".join(wrong[name]) or None
        id_ = builder.node("stage", name, name, {"command": command}, broken, [name])
        for pin in (artefact.dataset, artefact.model) if artefact and not name.startswith("parquet@") else ():
            builder.edge(id_, f"pin:{pin}", "reads")
        if stage is None:
            continue
        if stage.params:
            facts = {f"{file}: {key}": _value(value) for file, keys in stage.params.items() for key, value in keys.items()}
            parameters_id = builder.node("parameters", name, f"of {name}", facts, "; ".join(wrong[name]) or None)
            builder.edge(id_, parameters_id, "ran with")
        for dep in stage.deps:
            _draw_dep(builder, id_, dep, made)


def _draw_dep(builder: GraphBuilder, stage: str, dep: Output, made: Mapping[str, str]) -> None:
    """What a stage read: a file that is drawn, the drawn files of a folder, or else the file or folder itself."""
    known = sorted(builder.aliases.get(dep.path, ()))
    known = known or [id_ for path in made if path.startswith(f"{dep.path}/") for id_ in builder.aliases.get(path, ())]
    location = inside_project(builder.run.root, dep.path)
    if not known and location is not None:
        known = [builder.file(dep.path, ExpectedFile(location, None, dep.size, dep.md5))]
    for id_ in known:
        builder.edge(stage, id_, "reads")
        if builder.nodes[id_].label == dep.path:
            _compare_dep(builder, stage, id_, dep)


def _compare_dep(builder: GraphBuilder, stage: str, id_: str, dep: Output) -> None:
    """Whether the stage read what another one made; of what none made, what it read is what must be there."""
    recorded = builder.expected[id_][0]
    if recorded.md5 is None and dep.md5 is not None:
        builder.expected[id_] = [recorded._replace(md5=dep.md5)]
        builder.add_facts(id_, md5=dep.md5)
    elif dep.md5 not in (None, recorded.md5):
        builder.add_facts(stage, f"it read {dep.path} with md5 {dep.md5}, and dvc.lock records {recorded.md5} for it; {AGAIN}")


def _draw_commit(builder: GraphBuilder) -> None:
    commit, facts = recorded_commit(builder.run.root)
    label = f"{commit[:12]}, which recorded dvc.lock" if commit else "none"
    id_ = builder.node("commit", commit or "none", label, facts)
    for stage in builder.run.stages:
        builder.edge(f"stage:{stage}", id_, "recorded in")


def _value(value: object) -> str:
    """A parameter as the stage ran with it. Of a pin its commit and files: its digests are nodes of their own."""
    if isinstance(value, Mapping) and "files" in value and "requested" in value:
        return f"{value.get('id')} at {value.get('commit') or 'no commit'}, {len(value['files'])} files"
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
