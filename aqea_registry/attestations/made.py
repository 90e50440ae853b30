"""Statements on how files were made: written beside a run, checked by `verify`, kept beside releases; never part of either.

They tell of machines and times, so they differ from run to run and are not in git.

Statements beside a release in a store: put there once, and checked against what they speak of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from aqea_registry import __version__
from aqea_registry.attestations.statement import (
    BUILDER,
    CONFIRMATION,
    NAME,
    PAIR_SET,
    PROVENANCE,
    RELEASE,
    SUFFIX,
    BuildDefinition,
    Builder,
    Metadata,
    Provenance,
    Resource,
    RunDetails,
    Statement,
    dependency_findings,
    foreign_findings,
    make_statement,
    parse_statement,
    subject_findings,
)
from aqea_registry.base.files import write_bytes
from aqea_registry.base.findings import Finding
from aqea_registry.project.artefact import RunArtefact, published_path
from aqea_registry.project.git import checked_out
from aqea_registry.project.lock import Pin
from aqea_registry.stores.port import Store, Tagged
from aqea_registry.stores.release import Release
from aqea_registry.vectors.margin import Machine, Margin

FOLDER = "attestations"
MARGIN = "margin"


def statement_path(key: str) -> str:
    """Where the statement on a pair set of the run lies."""
    return f"{FOLDER}/{key}{SUFFIX}"


def now() -> str:
    """The time, in whole seconds UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_pair_set_statement(
    root: Path, artefact: RunArtefact, files: Mapping[str, str], machine: Machine, margin: Margin | None, started: str
) -> None:
    """State how a pair set was made, just now. `files` maps its paths to hex sha256."""
    predicate = Provenance(
        build_definition=BuildDefinition(
            build_type=PAIR_SET,
            external_parameters=_parameters(artefact),
            internal_parameters={"machine": msgspec.to_builtins(machine)},
            resolved_dependencies=(*inputs_of([artefact]), *_code(root)),
        ),
        run_details=_run(
            Metadata(started_on=started, finished_on=now()),
            [Resource(name=MARGIN, annotations=msgspec.to_builtins(margin))] if margin else (),
        ),
    )
    write_bytes(root / statement_path(artefact.key), make_statement(files, predicate).render())


def _parameters(artefact: RunArtefact) -> dict[str, str]:
    return {"dataset": artefact.dataset, "model": artefact.model, "precision": artefact.precision}


def inputs_of(artefacts: Iterable[RunArtefact]) -> tuple[Resource, ...]:
    """The pins that these are made from, each once: repository with commit, each file with sha256."""
    pins = [(name, pin) for artefact in artefacts for name, pin in artefact.pins if pin is not None]
    return tuple({resource.name: resource for name, pin in pins for resource in _pinned(name, pin)}.values())


def _pinned(name: str, pin: Pin) -> Iterable[Resource]:
    if pin.commit is not None:
        kind = "datasets/" if pin.kind == "dataset" else ""
        yield Resource(name=name, uri=f"hf://{kind}{pin.id}@{pin.commit}", digest={"gitCommit": pin.commit})
    for path, file in sorted(pin.files.items()):
        yield Resource(name=f"{name}/{path}", digest={"sha256": file.sha256})


def _code(root: Path) -> tuple[Resource, ...]:
    found = checked_out(root)
    return (Resource(name="code", digest={"gitCommit": found.commit}, annotations={"dirty": found.dirty}),) if found else ()


def _run(when: Metadata | None, byproducts: Iterable[Resource]) -> RunDetails:
    builder = Builder(id=BUILDER, version={"aqea-registry": __version__})
    return RunDetails(builder=builder, metadata=when, byproducts=tuple(byproducts))


class Attested(msgspec.Struct, frozen=True, kw_only=True):
    """What the statement on a pair set says, where it is sound."""

    statement: Statement
    sha256: str  # of the statement's own bytes
    machine: Machine
    margin: Margin | None
    metadata: Metadata


def read_attested(root: Path, artefact: RunArtefact, files: Mapping[str, str]) -> tuple[Attested | None, list[Finding]]:
    """The statement on a pair set of this checkout, checked: against the files (path to hex sha256), pins and params.yaml.

    None without findings if there is none: statements are not in git, a fresh clone has none.
    """
    path = statement_path(artefact.key)
    try:
        content = (root / path).read_bytes()
    except FileNotFoundError:
        return None, []
    found, findings = parse_statement(content, path)
    if found is None:
        return None, findings
    provenance = found.provenance()
    when = provenance.run_details.metadata if provenance is not None else None
    if provenance is None or when is None or provenance.build_definition.build_type != PAIR_SET:
        message = f"it is no statement on how and when a pair set was made: {found.predicate_type}"
        return None, [Finding(code="malformed", subject=path, message=message)]
    definition = provenance.build_definition
    inputs = tuple(one for one in definition.resolved_dependencies if one.name != "code")
    findings += subject_findings(found, path, files)
    findings += dependency_findings(inputs, path, inputs_of([artefact]))
    wanted = _parameters(artefact)
    if definition.external_parameters != wanted:
        message = "the statement says other parameters than params.yaml"
        findings.append(
            Finding(
                code="mismatch",
                subject=f"{path}: externalParameters",
                expected=str(wanted),
                actual=str(definition.external_parameters),
                message=message,
            )
        )
    try:
        attested = Attested(
            statement=found,
            sha256=hashlib.sha256(content).hexdigest(),
            machine=msgspec.convert(definition.internal_parameters.get("machine"), Machine),
            margin=_margin(provenance),
            metadata=when,
        )
    except msgspec.ValidationError as error:
        return None, [*findings, Finding(code="malformed", subject=path, message=f"{error}")]
    return (attested if not findings else None), findings


def _margin(provenance: Provenance) -> Margin | None:
    found = [one for one in provenance.run_details.byproducts if one.name == MARGIN]
    return msgspec.convert(found[0].annotations, Margin) if found else None


def attach_statements(root: Path, artefacts: Collection[RunArtefact], store: Store, tagged: Tagged, release: Release) -> None:
    """Keep beside a release how it and its pair sets were made, unless statements on that are there already."""
    held = [parse_statement(content, name)[0] for name, content in store.attachments(tagged).items() if NAME.fullmatch(name)]
    if any(one is not None and one.predicate_type == PROVENANCE for one in held):
        return
    local = _local(root, artefacts, release)
    for key, one in local.items():
        content = one.statement.render()
        store.attach(tagged, attachment_name(key, content), content)
    content = release_statement(root, artefacts, release, [one.metadata for one in local.values()]).render()
    store.attach(tagged, attachment_name("release", content), content)  # last: it says that the others are there


def attachment_name(stem: str, content: bytes) -> str:
    """What a statement is called beside a release: never the name of another one."""
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:16]}{SUFFIX}"


def _local(root: Path, artefacts: Iterable[RunArtefact], release: Release) -> dict[str, Attested]:
    """What this checkout soundly states on the pair sets of a release, by the pair set's key."""
    digests = release_subjects(release)
    found = {}
    for artefact in artefacts:
        files = {path: digests[published_path(path)] for path in artefact.stated}
        attested, _ = read_attested(root, artefact, files)
        if attested is not None:
            found[artefact.key] = attested
    return found


def statements_of(attachments: Mapping[str, bytes], release: Release, reference: str) -> tuple[list[Statement], list[Finding]]:
    """The sound statements beside a release, and what is wrong with the others."""
    digests = set(release_subjects(release).values())
    sound: list[Statement] = []
    findings: list[Finding] = []
    for name in sorted(filter(NAME.fullmatch, attachments)):
        one, wrong = parse_statement(attachments[name], f"{reference}: {name}")
        wrong += foreign_findings(one, f"{reference}: {name}", digests) if one else []
        findings += wrong
        sound += [one] if one and not wrong else []
    return sound, findings


def statements_text(reference: str, found: list[Statement]) -> str:
    """How many statements there are, for people, and on which machines a release was confirmed."""
    machines = [machine.text() for one in found for machine in confirming_machines(one)]
    text = f"{reference} has {len(found)} statement{'' if len(found) == 1 else 's'} beside it"
    return f"{text}; made again on {', '.join(sorted(set(machines)))}" if machines else text


def confirming_machines(one: Statement) -> list[Machine]:
    """The machines on which a confirmation found the same bytes."""
    confirmation = one.confirmation() if one.predicate_type == CONFIRMATION else None
    pair_sets = confirmation.pair_sets.values() if confirmation else ()
    return list({one.machine.text(): one.machine for one in pair_sets if one.verdict == "IDENTICAL"}.values())


def release_statement(root: Path, artefacts: Collection[RunArtefact], release: Release, made: Iterable[Metadata]) -> Statement:
    """Say how a release was put together: its files from the pins of the run, when its pair sets were `made`.

    It tells no time of its own: a publication that is repeated says the same.
    """
    times = list(made)
    when = (min(one.started_on for one in times), max(one.finished_on for one in times)) if times else None
    predicate = Provenance(
        build_definition=BuildDefinition(
            build_type=RELEASE,
            external_parameters={
                "pairSets": sorted(artefact.key for artefact in artefacts),
                "precision": next((artefact.precision for artefact in artefacts), "canonical"),
            },
            resolved_dependencies=(*inputs_of(artefacts), *_code(root)),
        ),
        run_details=_run(Metadata(started_on=when[0], finished_on=when[1]) if when else None, ()),
    )
    return make_statement(release_subjects(release), predicate)


def release_subjects(release: Release) -> dict[str, str]:
    """What a statement on a release may speak of: the release itself, and its files, with hex sha256."""
    files = {path: layer.digest.removeprefix("sha256:") for path, layer in release.files().items()}
    return {"release": release.digest().removeprefix("sha256:"), **files}
