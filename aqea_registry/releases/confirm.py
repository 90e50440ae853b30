"""The verb confirm: make a release again on this machine, and state what came out in a form that can be attached to it.

Nothing that was computed before is used and no statement of this checkout is believed: every sentence goes through the model.
"""

import hashlib
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from platform import node

import msgspec

from aqea_registry.attestations import statement as intoto
from aqea_registry.attestations.made import FOLDER, attachment_name, inputs_of, now, remade
from aqea_registry.attestations.statement import Confirmation, Confirmed, Period, Statement
from aqea_registry.base.files import Limit, hash_file, locked, read_small, user_cache, write_bytes
from aqea_registry.base.findings import CannotCheck, Finding, Refused
from aqea_registry.base.progress import Reporter
from aqea_registry.base.references import join_reference
from aqea_registry.comparison.pair_files import NamedFile, claimed_by, compare_files
from aqea_registry.comparison.trees import PINS, Tree, tree_in_store
from aqea_registry.comparison.verdict import Verdict
from aqea_registry.embedding.encoder import Settings, this_machine
from aqea_registry.generation.encoding import Models
from aqea_registry.generation.generate import make
from aqea_registry.project.artefact import AnyArtefact, Artefact, published_path
from aqea_registry.project.lock import Lock, parse_lock
from aqea_registry.project.project import Project
from aqea_registry.stores.open_store import read_text
from aqea_registry.stores.port import Store, Tagged
from aqea_registry.stores.release import Release
from aqea_registry.verification.verify_results import TRAINED_GAP, score_gap


class Confirming(msgspec.Struct, frozen=True, kw_only=True):
    """What was confirmed: the verdicts by pair set, the machines, the sentences that were encoded, and the statement."""

    reference: str
    digest: str
    verdicts: dict[str, Verdict]
    machines: tuple[str, ...]
    encoded: int
    path: str
    added: bool
    given: tuple[str, ...] = ()  # what is said of those that nobody can make again


def confirm(project: Project, store: Store, tagged: Tagged, report: Reporter, settings: Settings, *, add: bool) -> Confirming:
    """Make the pair sets of a release again in this way, compare them, and state it; `add` puts that beside the release, too.

    The project's own files are not touched. Raises Refused if the release rests on other pins, or has this confirmation
    already; CannotCheck if release and run have no pair set in common.
    """
    reference = join_reference(store.spec, tagged.tag, tagged.digest)
    release = store.release(tagged)
    run = project.run
    common, remarks = _in_common(run.made.values(), release, reference)
    project.params.check_versions("vectors", "view")
    _refuse_other_pins(store, tagged, release, common)
    stated = intoto.statements_in(intoto.beside(store.attachments(tagged)))
    _refuse_known(reference, stated, {artefact.key for artefact in common}, settings.device)
    with _scratch(f"{tagged.digest} {settings.device} {node()} {project.root.resolve()}") as (scratch, started):
        tree = tree_in_store(store, tagged, scratch, report)
        models = Models(run, project.catalogue, settings, report, fresh=False, root=scratch)
        confirmed = {made.key: _confirmed(made, tree, models) for made in common}
    inputs, when = inputs_of(common), Period(started_on=started, finished_on=now())
    predicate = Confirmation(reference=reference, pair_sets=confirmed, resolved_dependencies=inputs, metadata=when)
    subjects, compared = release.subjects(), (path for artefact in common for path in _compared(artefact, tree.files))
    new = intoto.make_statement({path: subjects[path] for path in ("release", *map(published_path, compared))}, predicate)
    content = new.to_bytes()
    name = attachment_name(f"confirmation-{tagged.tag.lower().replace(':', '-')}", content)
    write_bytes(project.root / FOLDER / name, content)
    if add:
        store.attach(tagged, name, content)
    return Confirming(
        reference=reference,
        digest=tagged.digest,
        verdicts={key: made.verdict for key, made in confirmed.items()},
        machines=tuple(sorted({row.where() for row in remade(new, stated)})),
        encoded=sum(made.encoded for made in confirmed.values()),
        path=f"{FOLDER}/{name}",
        added=add,
        given=remarks,
    )


def _compared(artefact: Artefact, files: Collection[str]) -> list[str]:
    """What is compared of it, if in a release: a pair file, or vector set and result; that speaks for vectors left out, too."""
    paths = artefact.stated if artefact.kind == "vector-set" else (artefact.file,)
    return [path for path in paths if published_path(path) in files]


def _in_common(artefacts: Iterable[AnyArtefact], release: Release, reference: str) -> tuple[list[AnyArtefact], tuple[str, ...]]:
    """What the run makes that is in the release and can be made again, and what is said of the others."""
    released = [artefact for artefact in artefacts if _compared(artefact, release.files())]
    if not released:
        raise CannotCheck(f"{reference} and the run have no pair set in common", "choose the release's run in params.yaml")
    common = [artefact for artefact in released if not artefact.remark]
    if not common:
        raise CannotCheck(f"{reference}: {released[0].remark}", f"what can be checked of it: aqea-registry verify {reference}")
    return common, tuple(artefact.remark for artefact in released if artefact.remark)


@contextmanager
def _scratch(what: str) -> Iterator[tuple[Path, str]]:
    """A folder for this confirmation alone, and when it began: one that was cut off goes on with what it had made.

    It is the user's own: what a checkout brings is not what was made here.
    """
    folder = user_cache() / "confirm" / hashlib.sha256(what.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder, wait=False):
            yield folder, _began(folder, "release")
            shutil.rmtree(folder)
    except BlockingIOError as error:
        raise CannotCheck("another confirmation of this release is at work in this checkout", "wait for its end") from error


def _began(scratch: Path, what: str) -> str:
    """When this was begun in the folder, perhaps by a run that was cut off."""
    path = scratch / "began" / what
    if not path.exists():
        write_bytes(path, now().encode())
    return read_small(path, Limit.SETTINGS).decode()


def _refuse_known(reference: str, stated: list[Statement], keys: set[str], device: str) -> None:
    """Before hours of encoding: the same bytes from the same kind of machine, libraries included, would say nothing new."""
    counted = ([row for row in remade(statement, stated) if row.again] for statement in stated)
    complete = [rows for rows in counted if keys <= {row.key for row in rows}]
    try:
        machine = this_machine(device) if complete else None
    except (AssertionError, RuntimeError):  # no such device: loading the model says it
        return
    if any(all(row.machine == machine for row in rows) for rows in complete):
        message = "a confirmation from this machine, or from one that nothing distinguishes from it, lies beside it already"
        raise Refused.of("duplicate", reference, message, hint="confirm it on another machine or device: --device cuda")


def _refuse_other_pins(store: Store, tagged: Tagged, release: Release, artefacts: Iterable[Artefact]) -> None:
    """AnyArtefact from other bytes, a difference says nothing, and agreement would be chance."""
    layer = release.files().get(PINS)
    lock = parse_lock(read_text(store, tagged, PINS, layer), PINS) if layer else Lock()
    findings = []
    for artefact in artefacts:
        for name, ours in artefact.pins:
            theirs = lock.get(name)
            if theirs is None or ours is None or (theirs.commit, theirs.digest()) != (ours.commit, ours.digest()):
                message = "the release was made from another pin of it than this checkout has"
                findings.append(Finding("mismatch", f"{PINS}: {name}", message))
        if lock.decided.get(artefact.key, artefact.decided) != artefact.decided:
            message = "the release was made with other decided values than this checkout has"
            findings.append(Finding("mismatch", f"{PINS}: decided.{artefact.key}", message))
    if findings:
        raise Refused(f"{join_reference(store.spec, tagged.tag)}: {findings[0].message}: {findings[0].subject}", findings)


def _confirmed(artefact: AnyArtefact, released: Tree, models: Models) -> Confirmed:
    """Make an artefact again, in the models' folder, which holds what was made since the confirmation began, and compare it.

    Where a vector set is the same and its result is another one, the result's digests are stated. What is trained may
    differ a little.
    """
    scratch, started = models.root, _began(models.root, f"{artefact.key}.set")
    made = make(artefact, models)
    digests = {path: hash_file(scratch / path).sha256 for path in _compared(artefact, released.files)}
    differing = [path for path, sha256 in digests.items() if released.files[published_path(path)] != sha256]
    ours = next(iter(differing or digests))
    path = published_path(ours)
    verdict: Verdict = "DIVERGED" if differing else "IDENTICAL"
    if differing and ours == artefact.file:
        theirs, again = NamedFile(released.fetch(path), f"{released.name}: {path}"), NamedFile(scratch / ours, ours)
        verdict = compare_files(theirs, again, models.report, claimed_by(models.run.root))[0].verdict
    elif (
        differing
        and score_gap(*(read_small(file, Limit.DOCUMENT) for file in (released.fetch(path), scratch / ours))) <= TRAINED_GAP
    ):
        verdict = "EQUIVALENT"
    return Confirmed(
        verdict=verdict,
        released=released.files[path],
        regenerated=digests[ours],
        machine=made.machine or this_machine(models.settings.device),
        margin=made.margin,
        encoded=made.encoded + made.reused,
        metadata=Period(started_on=started, finished_on=now()),
    )
