"""Statements on how files were made: written beside a run, checked by `verify`, kept beside releases; never part of either.

They record machines and times, so they differ from run to run; git has the first one on the bytes that a pair set has. Beside
a release in a store they are put once, and checked against what they refer to. Has effects on files and on the given store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from aqea_registry import __version__
from aqea_registry.attestations import statement as intoto
from aqea_registry.attestations.confirmations import KEPT, MADE, remade, statements_in
from aqea_registry.attestations.statement import (
    LINES,
    NAME,
    SUFFIX,
    Metadata,
    Period,
    Provenance,
    Resource,
    Statement,
    documents,
    parse_statement,
)
from aqea_registry.base.files import Limit, TooLarge, read_small, write_bytes
from aqea_registry.base.findings import Finding, unread
from aqea_registry.base.strict import load_json
from aqea_registry.project.artefact import RunArtefact, published_path
from aqea_registry.project.lock import Pin
from aqea_registry.project.project import checked_out
from aqea_registry.stores.port import Store, Tagged
from aqea_registry.stores.release import Release
from aqea_registry.vectors.margin import Machine, Margin

MARGIN, OFFSET = "margin", "roundingOffset"


def statement_paths(key: str) -> tuple[str, str]:
    """Where the statements on a pair set of the run are: of this machine, and in git, where a clone finds the margin."""
    return f"{MADE}/{key}{SUFFIX}", f"{KEPT}/{key}{SUFFIX}"


def now() -> str:
    """The time, in whole seconds UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_pair_set_statement(
    root: Path, artefact: RunArtefact, files: Mapping[str, str], machine: Machine, margin: Margin | None, started: str
) -> None:
    """Write down how a pair set was just made. `files` maps its paths to hex sha256.

    A sound statement in git stays, so that a run elsewhere changes nothing, but for a new thin margin or rounding offset.
    """
    predicate = Provenance(
        build_definition=intoto.BuildDefinition(
            build_type=intoto.PAIR_SET,
            external_parameters=_parameters(artefact),
            internal_parameters={"machine": msgspec.to_builtins(machine), OFFSET: artefact.model_entry.rounding_offset},
            resolved_dependencies=(*inputs_of([artefact]), *_code(root)),
        ),
        run_details=_run(
            Metadata(started_on=started, finished_on=now()),
            [Resource(name=MARGIN, annotations=msgspec.to_builtins(margin))] if margin else (),
        ),
    )
    own, kept = statement_paths(artefact.key)
    content = intoto.make_statement(files, predicate).to_bytes()
    write_bytes(root / own, content)
    before, _ = read_attested(root, artefact, files, kept)
    thinner = margin and margin.thin and not (before and before.margin and before.margin.thin)
    if before is None or thinner or before.offset != artefact.model_entry.rounding_offset:
        write_bytes(root / kept, content)


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
    """The content of a sound statement on a pair set. `content` is its file."""

    content: bytes
    machine: Machine
    margin: Margin | None
    offset: object  # with which its vectors were rounded, in micro-units
    period: Period


def read_attested(
    root: Path, artefact: RunArtefact, files: Mapping[str, str], path: str
) -> tuple[Attested | None, list[Finding]]:
    """A statement on a pair set of this checkout, checked: against the files (path to hex sha256), pins and params.yaml."""
    try:
        content = read_small(root / path, Limit.STATEMENT)
    except FileNotFoundError:
        return None, []
    except TooLarge as error:
        return None, [Finding("malformed", path, f"not a statement: {error.strerror}")]
    except OSError as error:
        return None, [unread(path, error)]
    statement, findings = parse_statement(content, path)
    if statement is None or not statement.judged:
        return None, findings
    provenance = statement.provenance()
    if provenance is None or provenance.build_definition.build_type != intoto.PAIR_SET:
        message = f"it is not a statement on how and when a pair set was made: {statement.predicate_type}"
        return None, [Finding("malformed", path, message)]
    definition = provenance.build_definition
    inputs = tuple(resource for resource in definition.resolved_dependencies if resource.name != "code")
    findings += intoto.subject_findings(statement, path, files)
    findings += intoto.dependency_findings(inputs, path, inputs_of([artefact]))
    if definition.external_parameters != _parameters(artefact):
        message, subject = "the statement has other parameters than params.yaml", f"{path}: externalParameters"
        wanted, actual = str(_parameters(artefact)), str(definition.external_parameters)
        findings.append(Finding("mismatch", subject, message, wanted, actual))
    machine, period = provenance.machine(), provenance.period()
    if machine is None or period is None:
        return None, [*findings, Finding("malformed", path, "it does not say on which machine or when the pair set was made")]
    offset = definition.internal_parameters.get(OFFSET, 0.0)
    attested = Attested(content=content, machine=machine, margin=margin_of(provenance), offset=offset, period=period)
    return (attested if not findings else None), findings


def margin_of(provenance: Provenance) -> Margin | None:
    """The margin that a statement on a pair set gives, if it does."""
    for resource in provenance.run_details.byproducts:
        if resource.name == MARGIN:
            with suppress(msgspec.ValidationError):
                return msgspec.convert(resource.annotations, Margin)
    return None


def attach_statements(root: Path, artefacts: Collection[RunArtefact], store: Store, tagged: Tagged, release: Release) -> None:
    """Keep beside a release how it and its pair sets were made, unless it has statements on that."""
    attachments = store.attachments(tagged).items()
    stored = statements_in((name, content) for name, content in attachments if NAME.fullmatch(name))
    if any(statement.ours and statement.provenance() for statement in stored):
        return
    local = _local(root, artefacts, release)
    for key, attested in local.items():
        content = msgspec.json.encode(load_json(attested.content, key)) + b"\n"
        store.attach(tagged, attachment_name(key, content), content)
    content = release_statement(root, artefacts, release, [attested.period for attested in local.values()]).to_bytes()
    store.attach(tagged, attachment_name("release", content), content)  # last: whoever finds it finds the others


def attachment_name(stem: str, content: bytes) -> str:
    """The name of a statement beside a release: never the name of another statement."""
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:16]}{LINES}"


def _local(root: Path, artefacts: Iterable[RunArtefact], release: Release) -> dict[str, Attested]:
    """The sound statements of this checkout on the pair sets of a release, by the pair set's key."""
    digests = release_subjects(release)
    local = {}
    for artefact in artefacts:
        files = {path: digests[published_path(path)] for path in artefact.stated}
        read = [read_attested(root, artefact, files, path)[0] for path in statement_paths(artefact.key)]
        if found := next(filter(None, read), None):
            local[artefact.key] = found
    return local


def judge_statements(attachments: Mapping[str, bytes], release: Release, reference: str) -> tuple[list[Finding], list[str]]:
    """What is wrong with the statements beside a release, and what the sound ones say, for people."""
    digests = set(release_subjects(release).values())
    sound, findings, notes = list[Statement](), list[Finding](), list[str]()
    for name in sorted(filter(NAME.fullmatch, attachments)):
        for document in documents(attachments[name]):
            statement, wrong = parse_statement(document, f"{reference}: {name}")
            if statement is not None and statement.judged:
                wrong += intoto.foreign_findings(statement, f"{reference}: {name}", digests)
                sound += [statement] if not wrong else []
            elif statement is not None:
                notes.append(f"{reference}: {name}: not judged: its predicate is of type {statement.predicate_type!r}")
            findings += wrong
    rows = [row for statement in sound for row in remade(statement, sound)]
    machines = sorted({row.where() for row in rows if row.again})
    text = f"{reference} has {len(sound)} statement{'' if len(sound) == 1 else 's'} beside it"
    text += f"; made again on {'; on '.join(machines)}" if machines else ""
    doubts = {f"{reference}: a confirmation of {row.key} is {row.outcome()}" for row in rows if row.doubt}
    return findings, [*([text] if sound else []), *sorted(doubts), *notes]


def release_statement(root: Path, artefacts: Collection[RunArtefact], release: Release, made: Iterable[Period]) -> Statement:
    """State how a release was put together, when its pair sets were `made`; repeated, it gives the same bytes."""
    times = [(period.started_on, period.finished_on) for period in made]
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
