"""Statements on how files were made: written beside a run, checked by `verify`, kept beside releases; never part of either.

They record machines and times, so they differ from run to run; git has the first one on the bytes that a pair set has. Beside
a release in a store they are put once, and checked against what they refer to. Confirmations, of which nothing is signed yet,
are held against statements on how the same bytes were made: the making itself is not a second one, and two machines of one
kind are not said to be two. Has effects on files and on the given store; `remade` and what it calls are pure.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from aqea_registry import __version__
from aqea_registry.attestations import statement as intoto
from aqea_registry.attestations.statement import BuildDefinition, Metadata, Period, Provenance, Resource, Statement
from aqea_registry.base.files import Limit, TooLarge, read_small, write_bytes
from aqea_registry.base.findings import Finding, unread
from aqea_registry.base.progress import plural
from aqea_registry.base.strict import load_json
from aqea_registry.project.artefact import Artefact, published_path
from aqea_registry.project.lock import Pin
from aqea_registry.project.params import GIVEN
from aqea_registry.project.project import checked_out
from aqea_registry.stores.attachments import no_marks
from aqea_registry.stores.port import Store, Tagged
from aqea_registry.stores.release import Release
from aqea_registry.vectors.margin import Machine, Margin

MADE, KEPT, FOLDER = "attestations", "manifests/made", "manifests/confirmations"
MARGIN, OFFSET = "margin", "roundingOffset"
MOST_APART = 20  # statements that are attached one by one: each is a commit on the Hub, which counts those of an hour
SCORING = ("mteb", "datasets", "numpy", "scikit-learn", "scipy", "pytrec-eval-terrier")  # that make the scores of a result


def statement_paths(key: str) -> tuple[str, str]:
    """Where the statements on a pair set of the run are: of this machine, and in git, where a clone finds the margin."""
    return f"{MADE}/{key}{intoto.SUFFIX}", f"{KEPT}/{key}{intoto.SUFFIX}"


def now() -> str:
    """The time, in whole seconds UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_statement(
    root: Path, artefact: Artefact, files: Mapping[str, str], machine: Machine, margin: Margin | None, started: str
) -> None:
    """Write down how an artefact was just made; a sound statement in git stays, but for a new rounding offset."""
    internal: dict[str, Any] = {"machine": msgspec.to_builtins(machine), OFFSET: artefact.model_entry.rounding_offset}
    if artefact.kind == "vector-set":
        internal["scored"] = {package: metadata.version(package) for package in SCORING}
    byproducts = [Resource(name=MARGIN, annotations=msgspec.to_builtins(margin))] if margin else []
    kind, asked = intoto.BUILD_TYPES[artefact.kind], _parameters(artefact)
    made = BuildDefinition(build_type=kind, external_parameters=asked, internal_parameters=internal)
    predicate = _provenance(root, [artefact], made, Metadata(started_on=started, finished_on=now()), byproducts)
    own, kept = statement_paths(artefact.key)
    content = intoto.make_statement(files, predicate).to_bytes()
    write_bytes(root / own, content)
    before, _ = read_attested(root, artefact, files, kept)
    if before is None or before.offset != artefact.model_entry.rounding_offset:
        write_bytes(root / kept, content)


def _provenance(
    root: Path, artefacts: Iterable[Artefact], made: BuildDefinition, when: Metadata | None, byproducts: Iterable[Resource] = ()
) -> Provenance:
    """How something so defined was made here and now: from the pins of these, by this program, at this commit."""
    head = checked_out(root)
    code = [Resource(name=intoto.CODE, digest={"gitCommit": head[0]}, annotations={"dirty": head[1]})] if head else []
    builder = intoto.Builder(id=intoto.BUILDER, version={"aqea-registry": __version__})
    made = msgspec.structs.replace(made, resolved_dependencies=(*inputs_of(artefacts), *code))
    run = intoto.RunDetails(builder=builder, metadata=when, byproducts=tuple(byproducts))
    return Provenance(build_definition=made, run_details=run)


def _parameters(artefact: Artefact) -> dict[str, str]:
    return {"dataset": artefact.dataset, "model": artefact.model, "precision": artefact.precision}


def inputs_of(artefacts: Iterable[Artefact]) -> tuple[Resource, ...]:
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


class Attested(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a sound statement on a pair set. `content` is its file."""

    content: bytes
    offset: object  # with which its vectors were rounded, in micro-units
    period: Period


def read_attested(root: Path, artefact: Artefact, files: Mapping[str, str], path: str) -> tuple[Attested | None, list[Finding]]:
    """A statement on a pair set of this checkout, checked: against the files (path to hex sha256), pins and params.yaml."""
    try:
        content = read_small(root / path, Limit.STATEMENT)
    except FileNotFoundError:
        return None, []
    except TooLarge as error:
        return None, [Finding("malformed", path, f"not a statement: {error.strerror}")]
    except OSError as error:
        return None, [unread(path, error)]
    statement, findings = intoto.parse_statement(content, path)
    if statement is None or not statement.judged:
        return None, findings
    provenance = statement.provenance()
    if provenance is None or provenance.build_definition.build_type != intoto.BUILD_TYPES[artefact.kind]:
        kind = artefact.kind.replace("-", " ")
        message = f"it is not a statement on how and when a {kind} was made: {statement.predicate_type}"
        return None, [Finding("malformed", path, message)]
    definition = provenance.build_definition
    findings += intoto.subject_findings(statement, path, files)
    findings += intoto.dependency_findings(intoto.inputs(statement), path, inputs_of([artefact]))
    if definition.external_parameters != _parameters(artefact):
        message, subject = "the statement has other parameters than params.yaml", f"{path}: externalParameters"
        wanted, actual = str(_parameters(artefact)), str(definition.external_parameters)
        findings.append(Finding("mismatch", subject, message, wanted, actual))
    if provenance.machine() is None or (period := provenance.period()) is None:
        return None, [*findings, Finding("malformed", path, "it does not say on which machine or when it was made")]
    offset = definition.internal_parameters.get(OFFSET, 0.0)
    attested = Attested(content=content, offset=offset, period=period)
    return (attested if not findings else None), findings


def statement_findings(root: Path, artefacts: Iterable[Artefact], listed: Mapping[str, str]) -> tuple[list[Finding], list[str]]:
    """Where statements on what a run makes disagree with the manifest's digests; which of those in git are out of date."""
    findings, stale = list[Finding](), list[str]()
    for artefact in artefacts:
        files = {path: listed[path] for path in artefact.stated if path in listed}
        for path in statement_paths(artefact.key):
            _, wrong = read_attested(root, artefact, files, path)
            if path.startswith(KEPT) and {finding.code for finding in wrong} & {"mismatch", "unexpected"}:
                stale.append(f"{path} is on other files or pins than these and says nothing of them; dvc repro writes it again")
                continue
            findings += wrong
    return findings, stale


def margin_of(provenance: Provenance) -> Margin | None:
    """The margin that a statement on a pair set gives, if it does."""
    for resource in provenance.run_details.byproducts:
        if resource.name == MARGIN:
            with suppress(msgspec.ValidationError):
                return msgspec.convert(resource.annotations, Margin)
    return None


def attach_statements(
    root: Path, artefacts: Collection[Artefact], store: Store, tagged: Tagged, subjects: Mapping[str, str]
) -> None:
    """Keep beside a release how it and its pair sets were made, unless it has a statement of ours on the release: the last.

    `subjects` are what statements on it may refer to (`Release.subjects`).
    """
    stored = intoto.statements_in(intoto.beside(store.attachments(tagged)))
    provenances = (statement.provenance() for statement in stored if statement.ours)
    if any(made is not None and made.build_definition.build_type == intoto.RELEASE for made in provenances):
        return
    local = _local(root, artefacts, subjects)
    lines = {key: msgspec.json.encode(load_json(attested.content, key)) + b"\n" for key, attested in local.items()}
    for stem, content in lines.items() if len(lines) <= MOST_APART else _together(lines.values()):
        store.attach(tagged, attachment_name(stem, content), content)
    content = release_statement(root, artefacts, subjects, [attested.period for attested in local.values()]).to_bytes()
    store.attach(tagged, attachment_name("release", content), content)  # last: whoever finds it finds the others


def _together(lines: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """Many statements in few documents to attach."""
    document = b""
    for line in lines:
        if document and len(document) + len(line) > Limit.SETTINGS:
            yield "statements", document
            document = b""
        document += line
    yield "statements", document


def attachment_name(stem: str, content: bytes) -> str:
    """The name of a statement beside a release: never the name of another statement."""
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:16]}{intoto.LINES}"


def _local(root: Path, artefacts: Iterable[Artefact], subjects: Mapping[str, str]) -> dict[str, Attested]:
    """The sound statements of this checkout on the pair sets of a release, by the pair set's key."""
    local = {}
    for artefact in artefacts:
        files = {path: subjects[published_path(path)] for path in artefact.stated}
        read = [read_attested(root, artefact, files, path)[0] for path in statement_paths(artefact.key)]
        if attested := next(filter(None, read), None):
            local[artefact.key] = attested
    return local


def judge_statements(attachments: Mapping[str, bytes], release: Release, reference: str) -> tuple[list[Finding], list[str]]:
    """What is wrong with the marks and statements beside a release, and what the sound statements say, for people."""
    digests = set(release.subjects().values())
    none = no_marks(attachments, release.digest())
    findings = [Finding("malformed", f"{reference}: {name}", message) for name, message in none.items()]
    sound, notes = list[Statement](), list[str]()
    for name, _, statement, wrong in intoto.read_statements(intoto.beside(attachments, reference)):
        if statement is not None and statement.judged:
            wrong += intoto.foreign_findings(statement, name, digests)
            sound += [statement] if not wrong else []
        elif statement is not None:
            notes.append(f"{name}: not judged: its predicate is of type {statement.predicate_type!r}")
        findings += wrong
    rows = [row for statement in sound for row in remade(statement, sound)]
    machines = sorted({row.where() for row in rows if row.again})
    text = f"{reference} has {plural(len(sound), 'statement')} beside it"
    text += f"; made again on {'; on '.join(machines)}" if machines else ""
    stated = [made.build_definition.external_parameters.get(GIVEN) for statement in sound if (made := statement.provenance())]
    given = sorted({str(key) for keys in stated if isinstance(keys, list) for key in keys})
    text += f"; given, and not made here, are the vectors of {', '.join(given)}" if given else ""
    doubts = {f"{reference}: a confirmation of {row.key} is {row.outcome()}" for row in rows if row.doubt}
    return findings, [*([text] if sound else []), *sorted(doubts), *notes]


class Beside(msgspec.Struct, frozen=True):
    """What a statement beside a release says, a confirmation of each pair set; where; and whether somebody signed it."""

    name: str
    says: str
    where: str | None
    signed: bool


def list_statements(attachments: Mapping[str, bytes]) -> Iterator[Beside]:
    """The statements beside a release that can be read. Their signatures are not checked."""
    read = intoto.read_statements(intoto.beside(attachments))
    others = [entry.statement for entry in read if entry.statement is not None]
    for name, document, statement, _ in read:
        if statement is None:
            continue
        provenance, signed = statement.provenance(), b'"signatures"' in document
        for row in remade(statement, others):
            yield Beside(name, f"{row.key} was made again: {row.outcome()}", row.where(), signed)
        if provenance is not None:
            machine, kind = provenance.machine(), provenance.build_definition.build_type
            yield Beside(name, f"how it was made ({kind})", machine.text() if machine else None, signed)
        elif not statement.judged:
            yield Beside(name, f"not judged: {statement.predicate_type}", None, signed)


def release_statement(
    root: Path, artefacts: Collection[Artefact], subjects: Mapping[str, str], periods: Iterable[Period]
) -> Statement:
    """State how a release was put together, when its pair sets were made (`periods`); repeated, it gives the same bytes."""
    times = [(period.started_on, period.finished_on) for period in periods]
    given = sorted(artefact.key for artefact in artefacts if artefact.precision == "given")
    vector_sets = sorted(artefact.key for artefact in artefacts if artefact.kind == "vector-set")
    when = Metadata(started_on=min(times)[0], finished_on=max(end for _, end in times)) if times else None
    parameters: dict[str, Any] = {
        "pairSets": sorted(artefact.key for artefact in artefacts if artefact.kind == "pair-set"),
        **({"vectorSets": vector_sets} if vector_sets else {}),
        "precision": min((artefact.precision for artefact in artefacts), default="canonical"),  # given: the last
        **({GIVEN: given} if given else {}),
    }
    made = BuildDefinition(build_type=intoto.RELEASE, external_parameters=parameters)
    return intoto.make_statement(subjects, _provenance(root, artefacts, made, when))


class Remade(msgspec.Struct, frozen=True, kw_only=True):
    """One pair set of a confirmation. `alike`: it was made on this kind of machine, too; `doubt`: why it does not count."""

    key: str
    reference: str
    verdict: str
    machine: Machine
    alike: bool
    doubt: str | None

    @property
    def again(self) -> bool:
        """Whether it says that somebody got the same bytes again."""
        return self.verdict == "IDENTICAL" and self.doubt is None

    def where(self) -> str:
        """On which machine, for people."""
        return self.machine.text() + (", the same kind of machine that made it, perhaps the same one" if self.alike else "")

    def outcome(self) -> str:
        """What came of it, for people."""
        return self.verdict if self.doubt is None else f"not counted: {self.doubt}"


def remade(statement: Statement, others: Iterable[Statement]) -> list[Remade]:
    """What a confirmation says of each pair set, held against those of the `others` that say how the same bytes were made."""
    confirmation = statement.confirmation()
    if confirmation is None:
        return []
    known: defaultdict[str, list[Provenance]] = defaultdict(list)
    for other in others:
        if (provenance := other.provenance()) is not None:
            for sha256 in other.digests:
                known[sha256].append(provenance)
    rows, subjects = list[Remade](), statement.digests
    for key, made in sorted(confirmation.pair_sets.items()):
        makings = known[made.released]
        kinds = {maker.kind for making in makings if (maker := making.machine())}
        doubt = _doubt(confirmation, made, makings) if made.released in subjects else "it is not about what it compares"
        machine, alike, reference = made.machine, made.machine.kind in kinds, confirmation.reference
        rows.append(Remade(key=key, reference=reference, verdict=made.verdict, machine=machine, alike=alike, doubt=doubt))
    return rows


def _doubt(confirmation: intoto.Confirmation, made: intoto.Confirmed, makings: list[Provenance]) -> str | None:
    """Why this does not say that the pair set was made a second time, if so. `makings` say how it was made, or its release."""
    if (made.verdict == "IDENTICAL") != (made.released == made.regenerated):
        return "its verdict is not that of its digests"
    when = made.metadata or confirmation.metadata
    began, ended = intoto.moment(when.started_on), intoto.moment(when.finished_on)
    periods = [(making, period) for making in makings if (period := making.period())]
    for making, period in periods:
        # 0.1.0 confirmed without encoding: from the beginning of the making to the moment of the confirmation.
        early = began < intoto.moment(period.started_on) or (began == intoto.moment(period.started_on) and not made.encoded)
        if early and intoto.moment(period.finished_on) <= ended and making.machine() == made.machine:
            return "it states the making itself, not another one"
    releases = [period for making, period in periods if making.build_definition.build_type == intoto.RELEASE]
    if releases and ended < min(intoto.moment(period.finished_on) for period in releases):
        return "it ended before the release was made"
    return None if made.encoded or makings else "it does not say that anything was encoded for it"


def own_statements(root: Path) -> Iterator[tuple[str, bytes]]:
    """Every statement of a checkout, by its path: on its own run, and the confirmations in git."""
    for folder in (MADE, KEPT, FOLDER):
        for path in sorted((root / folder).glob("*.intoto.json*")):
            with suppress(OSError):  # `verify` reports it
                if intoto.NAME.fullmatch(path.name):
                    yield path.relative_to(root).as_posix(), read_small(path, Limit.STATEMENT)


def confirmation_findings(root: Path) -> Iterator[Finding]:
    """What is wrong with the confirmations in git as files."""
    for path in sorted((root / FOLDER).glob("*.intoto.json*")):
        name = path.relative_to(root).as_posix()
        try:
            for read in intoto.read_statements([(name, read_small(path, Limit.STATEMENT))]):
                yield from read.findings
        except OSError as error:
            yield unread(name, error)


def confirmed(root: Path) -> list[Remade]:
    """What the confirmations of a checkout say, sorted."""
    statements = intoto.statements_in(own_statements(root))
    rows = [row for statement in statements for row in remade(statement, statements)]
    return sorted(rows, key=lambda row: (row.key, row.reference, row.where(), row.outcome()))


def statement_notes(root: Path) -> list[str]:
    """What there is to say of statements of a checkout on which nothing rests: not judged, or confirmations of nothing."""
    notes = {f"a confirmation of {row.key} of {row.reference} is {row.outcome()}" for row in confirmed(root) if row.doubt}
    for path, _, statement, _ in intoto.read_statements(own_statements(root)):
        if statement is not None and not statement.judged:
            notes.add(f"{path}: not judged: its predicate is of type {statement.predicate_type!r}")
    return sorted(notes)
