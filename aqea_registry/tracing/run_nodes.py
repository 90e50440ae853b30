"""The graph of a project: first what its files say of each other, then whether the bytes that are here agree."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from aqea_registry.base.findings import Finding
from aqea_registry.base.sha256_list import MANIFEST, SIZES
from aqea_registry.project.dvc_lock import AGAIN, DvcLock, Output, parameter_findings
from aqea_registry.project.dvc_lock import NAME as DVC_LOCK
from aqea_registry.project.lock import LOCK, Pin, pin_findings
from aqea_registry.project.manifest import _sizes
from aqea_registry.project.project import Project, export_path, metrics_path, pairs_path, plot_path, view_path
from aqea_registry.sources.fetch import PinnedPlace, pinned_places
from aqea_registry.sources.port import sources_of
from aqea_registry.tracing.graph import Draft, Recorded, _bytes, inside_project, sentence_of
from aqea_registry.vectors.scores import Metrics

_LONGEST = 200  # characters of a parameter's value, where people read it


def draw_pins(draft: Draft, *, here: bool) -> None:
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
                broken = "; ".join(sentence_of(finding) for finding in pin_findings(group, name, entry, pin))
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
                _draw_upstream(draft, id_, name, pin, sources_of(project, name, pin.commit) if here and entry else ())


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


def draw_run(draft: Draft, *, here: bool) -> None:
    """Files of the run, pair sets and their metrics, and the stages that made them."""
    from aqea_registry.project.dvc_lock import read_dvc_lock
    from aqea_registry.project.manifest import read_manifest

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
            draft.note(f"file:{path}", sentence_of(findings[0]))
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
    from aqea_registry.project.dvc_lock import parameters

    project, run = draft.project, draft.project.params.run
    wrong: defaultdict[str, list[str]] = defaultdict(list)
    for finding in parameter_findings(lock, parameters(project), project.stages()):
        about, _, parameter = finding.subject.partition(": ")
        wrong[about].append(f"{parameter}: {finding.message}" if parameter else finding.message)
    for name in sorted(project.stages()):
        stage = lock.stages.get(name)
        words = stage.cmd if stage is not None and isinstance(stage.cmd, str) else " && ".join(stage.cmd) if stage else None
        unread = (
            f"{DVC_LOCK}: {sentence_of(bad_lock[0])}".replace(f"{DVC_LOCK}: {DVC_LOCK}: ", f"{DVC_LOCK}: ")
            if bad_lock
            else None
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
    from aqea_registry.project.git import recorded_commit

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


def _value(value: object) -> str:
    """A parameter as the stage ran with it. Of a pin its commit and files: its digests are nodes of their own."""
    if isinstance(value, Mapping) and "files" in value and "requested" in value:
        return f"{value.get('id')} at {value.get('commit') or 'no commit'}, {len(value['files'])} files"
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
