"""Statements on how files were made: written beside a run, checked by `verify`, kept beside releases; never part of either.

They record machines and times, so they differ from run to run and are not in git. Beside a release in a store they are put
once, and checked against what they refer to. Reads and writes files, and asks the store that it is given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from aqea_registry import __version__
from aqea_registry.attestations import statement as intoto
from aqea_registry.attestations.statement import NAME, SUFFIX, Metadata, Provenance, Resource, Statement, parse_statement
from aqea_registry.base.files import TooLarge, read_small, write_bytes
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
    """The path of the statement on a pair set of the run."""
    return f"{FOLDER}/{key}{SUFFIX}"


def now() -> str:
    """The time, in whole seconds UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_pair_set_statement(
    root: Path, artefact: RunArtefact, files: Mapping[str, str], machine: Machine, margin: Margin | None, started: str
) -> None:
    """Write down how a pair set was just made. `files` maps its paths to hex sha256."""
    predicate = Provenance(
        build_definition=intoto.BuildDefinition(
            build_type=intoto.PAIR_SET,
            external_parameters=_parameters(artefact),
            internal_parameters={"machine": msgspec.to_builtins(machine)},
            resolved_dependencies=(*inputs_of([artefact]), *_code(root)),
        ),
        run_details=_run(
            Metadata(started_on=started, finished_on=now()),
            [Resource(name=MARGIN, annotations=msgspec.to_builtins(margin))] if margin else (),
        ),
    )
    write_bytes(root / statement_path(artefact.key), intoto.make_statement(files, predicate).to_bytes())


def _parameters(artefact: RunArtefact) -> dict[str, str]:
    return {"dataset": artefact.dataset, "model": artefact.model, "precision": artefact.precision}


def inputs_of(artefacts: Iterable[RunArtefact]) -> tuple[Resource, ...]:
    """The pins that these are made from, each once: repository with commit, which may be claimed; each file with sha256."""
    pins = [(name, pin) for artefact in artefacts for name, pin in artefact.pins if pin is not None]
    return tuple({resource.name: resource for name, pin in pins for resource in pinned(name, pin)}.values())


def pinned(name: str, pin: Pin) -> tuple[Resource, ...]:
    """A pin as what something was made from: its repository, and each of its files."""
    uri = f"hf://{'datasets/' if pin.kind == 'dataset' else ''}{pin.id}"
    files = (Resource(name=f"{name}/{path}", digest={"sha256": file.sha256}) for path, file in sorted(pin.files.items()))
    if pin.commit is None:
        return tuple(files)
    if pin.state == "claimed":  # no address of what no Hub may have
        return Resource(name=name, uri=uri, annotations={intoto.CLAIMED: pin.commit}), *files
    return Resource(name=name, uri=f"{uri}@{pin.commit}", digest={"gitCommit": pin.commit}), *files


def _code(root: Path) -> tuple[Resource, ...]:
    head = checked_out(root)
    return (Resource(name="code", digest={"gitCommit": head.commit}, annotations={"dirty": head.dirty}),) if head else ()


def _run(when: Metadata | None, byproducts: Iterable[Resource]) -> intoto.RunDetails:
    builder = intoto.Builder(id=intoto.BUILDER, version={"aqea-registry": __version__})
    return intoto.RunDetails(builder=builder, metadata=when, byproducts=tuple(byproducts))


class Attested(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a sound statement on a pair set."""

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
        content = read_small(root / path, intoto.LARGEST)
    except FileNotFoundError:
        return None, []
    except TooLarge as error:
        return None, [Finding("malformed", path, f"not a statement: {error.strerror}")]
    statement, findings = parse_statement(content, path)
    if statement is None:
        return None, findings
    provenance = statement.provenance()
    when = provenance.run_details.metadata if provenance is not None else None
    if provenance is None or when is None or provenance.build_definition.build_type != intoto.PAIR_SET:
        message = f"it is not a statement on how and when a pair set was made: {statement.predicate_type}"
        return None, [Finding("malformed", path, message)]
    definition = provenance.build_definition
    inputs = tuple(resource for resource in definition.resolved_dependencies if resource.name != "code")
    findings += intoto.subject_findings(statement, path, files)
    findings += intoto.dependency_findings(inputs, path, inputs_of([artefact]))
    if definition.external_parameters != _parameters(artefact):
        message, wanted = "the statement has other parameters than params.yaml", str(_parameters(artefact))
        actual = str(definition.external_parameters)
        findings.append(Finding("mismatch", f"{path}: externalParameters", message, wanted, actual))
    try:
        attested = Attested(
            statement=statement,
            sha256=hashlib.sha256(content).hexdigest(),
            machine=msgspec.convert(definition.internal_parameters.get("machine"), Machine),
            margin=_margin(provenance),
            metadata=when,
        )
    except msgspec.ValidationError as error:
        return None, [*findings, Finding("malformed", path, f"{error}")]
    return (attested if not findings else None), findings


def _margin(provenance: Provenance) -> Margin | None:
    margins = [resource.annotations for resource in provenance.run_details.byproducts if resource.name == MARGIN]
    return msgspec.convert(margins[0], Margin) if margins else None


def attach_statements(root: Path, artefacts: Collection[RunArtefact], store: Store, tagged: Tagged, release: Release) -> None:
    """Keep beside a release how it and its pair sets were made, unless it has statements on that."""
    attachments = store.attachments(tagged).items()
    stored = [parse_statement(content, name)[0] for name, content in attachments if NAME.fullmatch(name)]
    if any(statement is not None and statement.predicate_type == intoto.PROVENANCE for statement in stored):
        return
    local = _local(root, artefacts, release)
    for key, attested in local.items():
        content = attested.statement.to_bytes()
        store.attach(tagged, attachment_name(key, content), content)
    content = release_statement(root, artefacts, release, [attested.metadata for attested in local.values()]).to_bytes()
    store.attach(tagged, attachment_name("release", content), content)  # last: whoever finds it finds the others


def attachment_name(stem: str, content: bytes) -> str:
    """The name of a statement beside a release: never the name of another statement."""
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:16]}{SUFFIX}"


def _local(root: Path, artefacts: Iterable[RunArtefact], release: Release) -> dict[str, Attested]:
    """The sound statements of this checkout on the pair sets of a release, by the pair set's key."""
    digests = release_subjects(release)
    local = {}
    for artefact in artefacts:
        files = {path: digests[published_path(path)] for path in artefact.stated}
        attested, _ = read_attested(root, artefact, files)
        if attested is not None:
            local[artefact.key] = attested
    return local


def statements_of(attachments: Mapping[str, bytes], release: Release, reference: str) -> tuple[list[Statement], list[Finding]]:
    """The sound statements beside a release, and what is wrong with the others."""
    digests = set(release_subjects(release).values())
    sound: list[Statement] = []
    findings: list[Finding] = []
    for name in sorted(filter(NAME.fullmatch, attachments)):
        statement, wrong = parse_statement(attachments[name], f"{reference}: {name}")
        wrong += intoto.foreign_findings(statement, f"{reference}: {name}", digests) if statement else []
        findings += wrong
        sound += [statement] if statement and not wrong else []
    return sound, findings


def statements_text(reference: str, statements: list[Statement]) -> str:
    """How many statements a release has, for people, and on which machines it was confirmed."""
    machines = {machine.text() for statement in statements for machine in confirming_machines(statement)}
    text = f"{reference} has {len(statements)} statement{'' if len(statements) == 1 else 's'} beside it"
    return f"{text}; made again on {', '.join(sorted(machines))}" if machines else text


def confirming_machines(statement: Statement) -> list[Machine]:
    """The machines on which a confirmation found the same bytes."""
    confirmation = statement.confirmation()
    pair_sets = confirmation.pair_sets.values() if confirmation else ()
    return list({made.machine.text(): made.machine for made in pair_sets if made.verdict == "IDENTICAL"}.values())


def release_statement(root: Path, artefacts: Collection[RunArtefact], release: Release, made: Iterable[Metadata]) -> Statement:
    """State how a release was put together: its files from the pins of the run, when its pair sets were `made`.

    It has no time of its own: a publication that is repeated gives the same statement.
    """
    times = [(metadata.started_on, metadata.finished_on) for metadata in made]
    when = Metadata(started_on=min(times)[0], finished_on=max(end for _, end in times)) if times else None
    predicate = Provenance(
        build_definition=intoto.BuildDefinition(
            build_type=intoto.RELEASE,
            external_parameters={
                "pairSets": sorted(artefact.key for artefact in artefacts),
                "precision": next((artefact.precision for artefact in artefacts), "canonical"),
            },
            resolved_dependencies=(*inputs_of(artefacts), *_code(root)),
        ),
        run_details=_run(when, ()),
    )
    return intoto.make_statement(release_subjects(release), predicate)


def release_subjects(release: Release) -> dict[str, str]:
    """What a statement on a release may refer to: the release itself, and its files, with hex sha256."""
    files = {path: layer.digest.removeprefix("sha256:") for path, layer in release.files().items()}
    return {"release": release.digest().removeprefix("sha256:"), **files}
