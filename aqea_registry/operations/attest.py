"""Statements on how files were made: written beside a run, checked by `verify`, kept beside releases; never part of either.

They tell of machines and times, so they differ from run to run and are not in git.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from aqea_registry import __version__
from aqea_registry.core.files import write_bytes
from aqea_registry.core.findings import Finding
from aqea_registry.core.machine import Machine
from aqea_registry.core.margin import THIN, Margin
from aqea_registry.core.pins import Pin
from aqea_registry.core.release import Release
from aqea_registry.core.statement import (
    BUILDER,
    PAIR_SET,
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
    parse_statement,
    statement,
    subject_findings,
)
from aqea_registry.operations.commit import checked_out
from aqea_registry.operations.project import Project

FOLDER = "attestations"
MARGIN = "margin"


def statement_path(key: str) -> str:
    """Where the statement on a pair set of the run lies."""
    return f"{FOLDER}/{key}{SUFFIX}"


def now() -> str:
    """The time, in whole seconds UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_pair_set_statement(
    project: Project, key: str, files: Mapping[str, str], machine: Machine, margin: Margin | None, started: str
) -> None:
    """Say how a pair set was made, just now. `files` maps its paths to hex sha256."""
    pair = project.params.run.pairs[key]
    parameters = {"dataset": pair.dataset, "model": pair.model, "precision": project.params.precision}
    predicate = Provenance(
        build_definition=BuildDefinition(
            build_type=PAIR_SET,
            external_parameters=parameters,
            internal_parameters={"machine": msgspec.to_builtins(machine)},
            resolved_dependencies=(*pair_set_inputs(project, key), *_code(project.root)),
        ),
        run_details=_run(
            Metadata(started_on=started, finished_on=now()),
            [Resource(name=MARGIN, annotations=msgspec.to_builtins(margin))] if margin else (),
        ),
    )
    write_bytes(project.root / statement_path(key), statement(files, predicate).render())


def release_statement(project: Project, release: Release, made: Iterable[Metadata]) -> Statement:
    """Say how a release was put together: its files from the pins of the run, when its pair sets were `made`.

    It tells no time of its own: a publication that is repeated says the same.
    """
    times = list(made)
    when = (min(one.started_on for one in times), max(one.finished_on for one in times)) if times else None
    predicate = Provenance(
        build_definition=BuildDefinition(
            build_type=RELEASE,
            external_parameters={"pairSets": sorted(project.params.run.pairs), "precision": project.params.precision},
            resolved_dependencies=(*run_inputs(project), *_code(project.root)),
        ),
        run_details=_run(Metadata(started_on=when[0], finished_on=when[1]) if when else None, ()),
    )
    return statement(release_subjects(release), predicate)


def release_subjects(release: Release) -> dict[str, str]:
    """What a statement on a release may speak of: the release itself, and its files, with hex sha256."""
    files = {path: layer.digest.removeprefix("sha256:") for path, layer in release.files().items()}
    return {"release": release.digest().removeprefix("sha256:"), **files}


def pair_set_inputs(project: Project, key: str) -> tuple[Resource, ...]:
    """The pins that a pair set is made from: repository with commit, each file with sha256."""
    pair = project.params.run.pairs[key]
    pins = [(pair.dataset, project.lock.datasets.get(pair.dataset)), (pair.model, project.lock.models.get(pair.model))]
    return tuple(resource for name, pin in pins if pin for resource in _pinned(name, pin))


def run_inputs(project: Project) -> tuple[Resource, ...]:
    """The pins of the whole run, each once."""
    return tuple({one.name: one for key in project.params.run.pairs for one in pair_set_inputs(project, key)}.values())


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


def read_attested(project: Project, key: str, files: Mapping[str, str]) -> tuple[Attested | None, list[Finding]]:
    """The statement on a pair set of this checkout, checked: against the files (path to hex sha256), pins and params.yaml.

    None without findings if there is none: statements are not in git, a fresh clone has none.
    """
    path = statement_path(key)
    try:
        content = (project.root / path).read_bytes()
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
    findings += dependency_findings(inputs, path, pair_set_inputs(project, key))
    pair = project.params.run.pairs[key]
    wanted = {"dataset": pair.dataset, "model": pair.model, "precision": project.params.precision}
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


def thin_findings(path: str, found: Margin) -> list[Finding]:
    """A margin below 8: each sentence with a value that another machine may round the other way."""
    return [
        Finding(
            code="thin-margin",
            subject=f"{path}: {one.matrix}[{one.row}]",
            expected=f"{THIN:g} times the spread between arrangements or more",
            actual=f"{one.distance:.1e}",
            message="a value lies so near to a rounding boundary that another machine may round it the other way; "
            f"set rounding_offset: {found.offset:.9g} for the model in params.yaml and run: dvc repro",
        )
        for one in found.thin
    ]
