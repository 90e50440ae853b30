"""The nodes of a project: pins, files and stages; above them claims and documents, releases and stores, statements on both."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from aqea_registry.attestations.made import margin_of, own_statements, remade
from aqea_registry.attestations.statement import Statement, beside, read_statements
from aqea_registry.base.findings import RegistryError
from aqea_registry.base.references import is_folder, join_reference, split_reference
from aqea_registry.base.sha256_list import MANIFEST
from aqea_registry.claims.check_claims import CheckedClaims
from aqea_registry.claims.ledger import FOLDER, Verdict
from aqea_registry.documents.metrics import metric_name
from aqea_registry.project.artefact import Artefact, CatalogueEntry, VectorSetArtefact, published_path
from aqea_registry.project.lock import AGAIN, LOCK, Output, Pin, pin_findings
from aqea_registry.project.params import group_of
from aqea_registry.project.project import Scope, recorded_commit
from aqea_registry.sources.fetch import local_files
from aqea_registry.sources.kinds import Source, sources_of
from aqea_registry.stores.attachments import current
from aqea_registry.stores.open_store import open_store
from aqea_registry.stores.receipts import Receipt, all_receipts
from aqea_registry.tracing.graph import FILES, ExpectedFile, GraphBuilder, Kind, inside_project, sentence_of
from aqea_registry.vectors.margin import margin_text
from aqea_registry.vectors.scores import Metrics
from aqea_registry.verification.verify_results import read_result

_LONGEST = 200  # characters of a parameter's value, where people read it


def draw_pins(builder: GraphBuilder, catalogue: Collection[CatalogueEntry], scope: Scope) -> None:
    """Every entry of the catalogue, and the files of its pin."""
    lock, entries = builder.run.lock, {wanted.name: wanted for wanted in catalogue}
    for name in sorted({*entries, *lock.datasets, *lock.models}):
        pin, wanted = lock.get(name), entries.get(name)
        group = group_of(wanted.entry) if wanted else "datasets" if name in lock.datasets else "models"
        facts: dict[str, object] = {"kind": group.removesuffix("s"), "repository": wanted.entry.repo if wanted else None}
        broken = "params.yaml has no such entry (any more)"
        if wanted is not None:
            broken = "; ".join(sentence_of(finding) for finding in pin_findings(name, wanted.entry, pin))
        if pin is not None:
            facts |= {"kind": "given vectors"} if pin.kind == "given" else {}
            facts |= {
                "repository": pin.id,
                "requested": pin.requested,
                "commit": pin.commit_text() if pin.commit else None,
                "files": len(pin.files),
                "resolved from": pin.resolved_from,
                "resolved at": pin.resolved_at,
                "licence": pin.licence,
            }
        names = [name, *([str(facts["repository"])] if facts["repository"] else [])]
        id_ = builder.node("pin", name, name, facts, broken or None, names)
        if pin is not None:
            sources = sources_of(wanted, pin.commit) if scope is Scope.MACHINE and wanted is not None else ()
            _draw_upstream(builder, id_, name, pin, sources)


def _draw_upstream(builder: GraphBuilder, id_: str, name: str, pin: Pin, sources: Iterable[Source]) -> None:
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
    keys: dict[str, tuple[Kind, str]] = {made.file: (made.kind, key) for key, made in run.made.items()}
    keys |= {vector_set.metrics: ("result", key) for key, vector_set in run.vector_sets.items()}
    for path in sorted({*manifest.digests, *stages, *made, LOCK}):
        out = made.get(path, Output(path))
        location = inside_project(run.root, path)
        listed, size = path in manifest.digests or path not in expected, manifest.sizes.get(path, out.size)
        at = location or run.root / path
        expected_file = ExpectedFile(at, manifest.digests.get(path), size, out.md5, listed=listed, within=location is not None)
        id_ = builder.file(path, expected_file, *keys.get(path, ()))
        if location is None:
            builder.add_facts(id_, "its path leads out of the project; not followed")
        if path in stages:
            builder.edge(id_, f"stage:{stages[path]}", "made by")
    if wrong := (*manifest.faults, *manifest.spelling):
        builder.add_facts(f"file:{MANIFEST}", sentence_of(wrong[0]))
    for artefact in run.artefacts.values():
        if artefact.remark:
            builder.add_facts(f"pair-set:{artefact.key}", note=artefact.remark)
        for metric in Metrics.__struct_fields__:
            id_ = _draw_score(builder, artefact, metric, artefact.file, artefact.view, *artefact.printing)
            builder.edge(id_, f"pair-set:{artefact.key}", "recomputed from")
            for path in artefact.printing:
                builder.edge(f"file:{path}", id_, "prints")
    for vector_set in run.vector_sets.values():
        _draw_result(builder, vector_set)
    _draw_stages(builder, stages)
    if scope is Scope.MACHINE:
        commit, facts = recorded_commit(run.root)
        label = f"{commit[:12]}, which recorded dvc.lock" if commit else "none"
        id_ = builder.node("commit", commit or "none", label, facts)
        for stage in run.stages:
            builder.edge(f"stage:{stage}", id_, "recorded in")


def _draw_score(builder: GraphBuilder, artefact: Artefact, metric: str, *paths: str) -> str:
    """A score, which people may name by the artefact, or by a path of these."""
    name = f"{artefact.key}#{metric}"
    return builder.node("metric", name, name, {}, None, [name, *(f"{path}#{metric}" for path in paths)])


def _draw_result(builder: GraphBuilder, artefact: VectorSetArtefact) -> None:
    """The result of a vector set with its main score, by the name that it has in the file."""
    id_ = f"result:{artefact.key}"
    builder.edge(id_, f"vector-set:{artefact.key}", "computed from")
    result, wrong = read_result(builder.run.root, artefact)
    if result is not None:
        builder.add_facts(id_, task=result.task)
        score = _draw_task_score(builder, artefact, result.main_score)
        builder.add_facts(score, value="; ".join(f"{at}: {value!r}" for at, value in result.main_scores().items()))
    for finding in wrong if (builder.run.root / artefact.metrics).exists() else ():  # else the file says it
        builder.add_facts(id_, sentence_of(finding))


def _draw_task_score(builder: GraphBuilder, artefact: VectorSetArtefact, metric: str) -> str:
    """A score of a task, which rests on its result."""
    id_ = _draw_score(builder, artefact, metric, artefact.metrics)
    builder.edge(id_, f"result:{artefact.key}", "read from")
    return id_


def _draw_stages(builder: GraphBuilder, made: Mapping[str, str]) -> None:
    """The stages of the run as dvc.lock has them, with what they read and the parameters that they ran with."""
    run = builder.run
    wrong: defaultdict[str, list[str]] = defaultdict(list)
    for finding in run.stage_findings():
        about, _, parameter = finding.subject.partition(": ")
        wrong[about].append(f"{parameter}: {finding.message}" if parameter else finding.message)
    reason = run.unread[0].text if run.unread else None
    for name, artefact in sorted(run.stages.items()):
        stage = run.dvc_lock.stages.get(name)
        command = None if stage is None else stage.cmd if isinstance(stage.cmd, str) else " && ".join(stage.cmd)
        broken = None if stage is not None else reason or "; ".join(wrong[name]) or None
        id_ = builder.node("stage", name, name, {"command": command}, broken, [name])
        for pin in (artefact.dataset, artefact.model) if artefact and not name.startswith("parquet@") else ():
            builder.edge(id_, f"pin:{pin}", "reads")
        if stage is not None and stage.params:
            facts = {f"{file}: {key}": _value(value) for file, keys in stage.params.items() for key, value in keys.items()}
            parameters = builder.node("parameters", name, f"of {name}", facts, "; ".join(wrong[name]) or None)
            builder.edge(id_, parameters, "ran with")
        for dep in stage.deps if stage is not None else ():
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


def _value(value: object) -> str:
    """A parameter as the stage ran with it. Of a pin its commit and files: its digests are nodes of their own."""
    if isinstance(value, Mapping) and "files" in value and "requested" in value:
        return f"{value.get('id')} at {value.get('commit') or 'no commit'}, {len(value['files'])} files"
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def draw_claims(builder: GraphBuilder, checked: CheckedClaims) -> None:
    """Draw every judged claim, and the documents."""
    for name, ledger in checked.ledgers.items():
        document, state = ledger.document, checked.documents.get(name)
        facts = {"title": document.title, "sha256": document.sha256, "file": document.file, "url": document.url, "here": state}
        broken = f"the document differs from the one that the ledger {name} was written for" if state == "stale" else None
        aliases = [name, f"{FOLDER}/{name}.yaml", *([] if builder.aliases.get(document.file) else [document.file])]
        builder.node("document", name, document.title, facts, broken, aliases)
    for verdict in checked.verdicts:
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
        id_ = builder.node("claim", verdict.name, verdict.name, facts, broken, [verdict.name, claim.id])
        if f"document:{verdict.ledger}" in builder.nodes:
            builder.edge(id_, f"document:{verdict.ledger}", "printed in")
    for verdict in checked.verdicts:  # when all are drawn: they rest on each other
        for target in verdict.rests_on:
            _draw_basis(builder, verdict, target)


def _draw_basis(builder: GraphBuilder, verdict: Verdict, target: str) -> None:
    """One of the things that a claim rests on, by the name that its verdict gives it."""
    claim, id_ = verdict.claim, f"claim:{verdict.name}"
    if claim.measured is not None:
        metric = f"metric:{target}#{metric_name(claim.measured.metric)}"
        if (made := builder.run.vector_sets.get(target)) and metric not in builder.nodes:
            _draw_task_score(builder, made, metric_name(claim.measured.metric))
        basis, verb = metric if metric in builder.nodes else f"pair-set:{target}", "measured as"
    elif claim.quoted is not None and claim.quoted.file is not None:
        file, pin = claim.quoted.file, claim.quoted.pin
        basis, verb = f"upstream-file:{pin}/{file}" if pin is not None else _file(builder, file), "quotes"
    else:
        basis, verb = f"claim:{target}", "derived from" if claim.derived is not None else "quotes"
    if basis in builder.nodes:
        builder.edge(id_, basis, verb)
    else:
        builder.add_facts(id_, **{"rests on": target})


def _file(builder: GraphBuilder, path: str) -> str:
    """A file of the project that a claim quotes; it is drawn if nothing else in the run knows it."""
    known = [id_ for id_ in sorted(builder.aliases.get(path, ())) if builder.nodes[id_].kind in FILES]
    location = inside_project(builder.run.root, path)
    if not known and location is not None:
        return builder.file(path, ExpectedFile(location))
    return known[0] if known else path


class Carried(NamedTuple):
    """A release where a receipt or the store itself says that it is. `files` maps paths to digest and size in bytes."""

    tag: str
    digest: str
    reference: str
    files: Mapping[str, tuple[str, int]]
    facts: Mapping[str, str]
    broken: str | None = None
    attachments: Mapping[str, bytes] = {}


def draw_releases(builder: GraphBuilder, specs: Sequence[str], stores: Sequence[str] = ()) -> None:
    """Draw the releases of every receipt, of the stores in folders that params.yaml names (`specs`), and of `stores`.

    Then the statements of the checkout and those beside these releases.
    """
    releases = [*_carried(builder, specs, stores)]
    made = defaultdict[str, list[str]](list)
    for id_, node in builder.nodes.items():
        if node.kind in FILES and "sha256" in node.facts:
            made[node.facts["sha256"]].append(id_)
    own = frozenset(builder.aliases)  # a path of the project means the project's file
    for digest in sorted({carried.digest for carried in releases}):
        _draw_release(builder, digest, [carried for carried in releases if carried.digest == digest], made, own)
    draw_statements(builder, [file for carried in releases for file in beside(carried.attachments, carried.reference)])


def _draw_release(
    builder: GraphBuilder, digest: str, copies: Sequence[Carried], made: Mapping[str, list[str]], own: frozenset[str]
) -> None:
    """A release, the files that it carries, and the stores that hold it."""
    tags, files = sorted({carried.tag for carried in copies}), copies[0].files
    facts = {"digest": digest, "files": len(files), "size": f"{sum(size for _, size in files.values())} bytes"}
    id_ = builder.node("release", digest, ", ".join(tags), facts, None, [*tags, *(f"{tag}@{digest}" for tag in tags)])
    for path, (file_digest, size) in files.items():
        sha256 = file_digest.removeprefix("sha256:")
        for file in made.get(sha256) or [_released_file(builder, path, sha256, size, tags)]:
            builder.edge(id_, file, "carries")
            if path not in own:
                builder.aliases[path].add(file)
    for carried in copies:
        name, before = carried.reference, builder.nodes.get(f"store:{carried.reference}")
        stated = {**(before.facts if before else {}), **carried.facts}
        names = [name, f"{name}@{digest}", f"{split_reference(name).spec}@{digest}"]
        builder.edge(builder.node("store", name, name, stated, carried.broken, names), id_, "holds")
        if mark := current(carried.attachments, digest):
            builder.add_facts(id_, status=mark.text())


def _released_file(builder: GraphBuilder, path: str, sha256: str, size: int, tags: Sequence[str]) -> str:
    """A file that only the release has: written for it, or with other bytes than the project has now."""
    facts: dict[str, object] = {"sha256": sha256, "size": f"{size} bytes"}
    for own in builder.run.paths():
        if published_path(own) == path:
            facts["note"] = f"{own} has other bytes now"
            for id_ in sorted(builder.aliases[own]):
                builder.add_facts(id_, **{f"in {', '.join(tags)}": f"other bytes, sha256 {sha256}"})
    return builder.node("file", f"{path}@{sha256[:12]}", f"{path} of {', '.join(tags)}", facts)


def _carried(builder: GraphBuilder, specs: Sequence[str], stores: Sequence[str]) -> Iterator[Carried]:
    """Every release that a receipt names, then those that the stores have besides."""
    root, named = builder.run.root, set()
    receipts, wrong = all_receipts(root, specs)
    for finding in wrong:
        builder.node("release", finding.subject, finding.subject, {}, finding.message, [finding.subject])
    for _, receipt in receipts:
        files = {file.path: (file.digest, file.size) for file in receipt.files}
        for spec, entry in sorted(receipt.stores.items()):
            named.add((spec, receipt.tag))
            broken, attachments = _ask(spec, root, receipt) if is_folder(spec) else (None, {})
            facts = {"at": entry.at, **{key: _text(value) for key, value in sorted(entry.ids.items())}}
            reference = join_reference(spec, receipt.tag)  # that of 0.1.0's receipts, too
            yield Carried(receipt.tag, receipt.digest, reference, files, facts, broken, attachments)
    for spec in dict.fromkeys((*filter(is_folder, specs), *stores)):
        store = open_store(spec, root)
        try:
            for tag in store.tags():
                if (spec, tag) not in named and (tagged := store.find(tag)) is not None:
                    files = {path: (layer.digest, layer.size) for path, layer in store.release(tagged).files().items()}
                    facts, reference = {"at": tagged.at}, join_reference(store.spec, tag)
                    yield Carried(tag, tagged.digest, reference, files, facts, None, store.attachments(tagged))
        except RegistryError as error:
            if spec in stores:
                raise
            builder.node("store", spec, spec, {}, error.message, [spec])


def _ask(spec: str, root: Path, receipt: Receipt) -> tuple[str | None, Mapping[str, bytes]]:
    """Where a store in a folder disagrees with its receipt, if it does, and what is attached to the release there."""
    try:
        store = open_store(spec, root)
        tagged = store.find(receipt.tag)
        if tagged is not None and tagged.digest == receipt.digest:
            return None, store.attachments(tagged)
        reason = f"the tag names {tagged.digest}" if tagged else f"the store has no tag {receipt.tag}"
        return f"the receipt names {receipt.digest}, and {reason}", {}
    except RegistryError as error:
        return error.message, {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def draw_statements(builder: GraphBuilder, attached: Iterable[tuple[str, bytes]]) -> None:
    """Draw the statements of this checkout and those attached to releases, each by its bytes and where they are."""
    subjects = defaultdict[str, list[str]](list)
    for id_, node in builder.nodes.items():
        digest = node.facts.get("digest", node.facts.get("sha256")) if node.kind in {"release", *FILES} else None
        if digest is not None:
            subjects[digest.removeprefix("sha256:")].append(id_)
    read = read_statements((*own_statements(builder.run.root), *attached))
    known = [statement for _, _, statement, _ in read if statement is not None]
    for location, content, statement, wrong in read:
        sha256 = hashlib.sha256(content).hexdigest()
        facts = dict(_facts(statement, known)) if statement is not None else {}
        before = builder.nodes.get(f"attestation:{sha256[:16]}")
        facts |= {"sha256": sha256, "in": location if before is None else f"{before.facts['in']}, {location}"}
        label, broken = facts.pop("label", location), wrong[0].message if wrong else None
        id_ = builder.node("attestation", sha256[:16], label, facts, broken, [location])
        digests = statement.digests if statement is not None else ()
        targets = [target for digest in digests for target in subjects.get(digest, ())]
        releases = [target for target in targets if target.startswith("release:")]  # each file of it is a subject as well
        for target in releases or targets:
            builder.edge(id_, target, "speaks of")


def _facts(statement: Statement, known: Sequence[Statement]) -> Mapping[str, str]:
    """What a statement says, in few words; a confirmation is held against those on the making that are `known`."""
    if (provenance := statement.provenance()) is not None:
        facts, when, machine = {"label": "provenance"}, provenance.run_details.metadata, provenance.machine()
        facts |= {"on": machine.text()} if machine else {}
        facts |= {"margin": margin_text(margin)} if (margin := margin_of(provenance)) else {}
        facts |= {"made": when.finished_on} if when and when.finished_on else {}
        return facts | {"by": provenance.run_details.builder.id}
    confirmation = statement.confirmation()
    if confirmation is None:
        return {"label": "statement", "note": f"not judged: its predicate is of type {statement.predicate_type!r}"}
    verdicts = {row.key: f"{row.outcome()} on {row.where()}" for row in remade(statement, known)}
    return {"label": f"confirmation of {confirmation.reference}", **verdicts, "made": confirmation.metadata.finished_on}
