"""The verb confirm: state what making a release again on this machine gave, in a form that can be attached to it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from aqea_registry.attestations.made import Attested, attachment_name, inputs_of, now, read_attested, release_subjects
from aqea_registry.attestations.statement import FOLDER, Confirmation, Confirmed, Metadata, make_statement, said_before
from aqea_registry.base.files import hash_file, write_bytes
from aqea_registry.base.findings import CannotCheck, Finding, Refused
from aqea_registry.base.progress import Reporter
from aqea_registry.base.references import join_reference, split_reference
from aqea_registry.comparison.pair_files import NamedFile, claimed_by, compare_files
from aqea_registry.comparison.trees import tree_in_store
from aqea_registry.comparison.verdict import Verdict
from aqea_registry.embedding.encoder import Settings
from aqea_registry.generation.generate import generate
from aqea_registry.project.artefact import RunArtefact, published_path
from aqea_registry.project.lock import Lock, parse_lock
from aqea_registry.project.project import Project
from aqea_registry.stores.open_store import find, open_store, read_text
from aqea_registry.stores.port import Store, Tagged
from aqea_registry.stores.release import Release

PINS = "pins.json"


class Confirming(msgspec.Struct, frozen=True, kw_only=True):
    """What was confirmed: a verdict for each pair set, the machines, the statement, and whether it was attached."""

    reference: str
    digest: str
    verdicts: dict[str, Verdict]
    machines: tuple[str, ...]
    path: str
    added: bool

    @property
    def diverged(self) -> bool:
        """Whether any pair set did."""
        return "DIVERGED" in self.verdicts.values()


def confirm(project: Project, reference: str, report: Reporter, *, fresh: Settings | None, add: bool) -> Confirming:
    """Compare a release with what this checkout made, and write the statement; `add` puts it beside the release too.

    With `fresh` the pair sets are made again first, in this way, from the first sentence on.

    Raises Refused if the release rests on other pins, or if nothing says that this machine made the files; CannotCheck if
    release and run have no pair set in common.
    """
    spec, tag = split_reference(reference)
    store = open_store(spec, project.root)
    tagged = find(store, tag)
    release = store.release(tagged)
    common = [artefact for artefact in project.artefacts.values() if published_path(artefact.pairs) in release.files()]
    if not common:
        raise CannotCheck(f"{reference} and the run have no pair set in common", "choose the release's run in params.yaml")
    _refuse_other_pins(store, tagged, release, common)
    started = now()
    for artefact in common if fresh is not None else ():
        generate(project, artefact.dataset, artefact.model, fresh or Settings(), report, fresh=True)
    made = {artefact.key: _made_here(project.root, artefact) for artefact in common}
    confirmed = {
        artefact.key: _confirmed(project.root, store, tagged, release, artefact, made[artefact.key], report)
        for artefact in common
    }

    predicate = Confirmation(
        reference=reference,
        pair_sets=confirmed,
        resolved_dependencies=inputs_of(project.artefacts.values()),
        metadata=Metadata(
            started_on=min([started, *(attested.metadata.started_on for attested in made.values())]), finished_on=now()
        ),
    )
    subjects = release_subjects(release)
    paths = ["release", *(published_path(artefact.pairs) for artefact in common)]
    new = make_statement({path: subjects[path] for path in paths}, predicate)
    content = (said_before(project.root / FOLDER, new) or new).to_bytes()
    name = attachment_name(f"confirmation-{tag.lower()}", content)
    write_bytes(project.root / FOLDER / name, content)
    if add:
        store.attach(tagged, name, content)
    return Confirming(
        reference=reference,
        digest=tagged.digest,
        verdicts={key: made.verdict for key, made in confirmed.items()},
        machines=tuple(sorted({made.machine.text() for made in confirmed.values()})),
        path=f"{FOLDER}/{name}",
        added=add,
    )


def _refuse_other_pins(store: Store, tagged: Tagged, release: Release, artefacts: list[RunArtefact]) -> None:
    """Made from other bytes, a difference says nothing, and agreement would be chance."""
    layer = release.files().get(PINS)
    lock = parse_lock(read_text(store, tagged, PINS, layer), PINS) if layer else Lock()
    findings = []
    for artefact in artefacts:
        for name, ours in artefact.pins:
            theirs = lock.get(name)
            if theirs is None or ours is None or (theirs.commit, theirs.digest()) != (ours.commit, ours.digest()):
                message = "the release was made from another pin of it than this checkout has"
                findings.append(Finding("mismatch", f"{PINS}: {name}", message))
    if findings:
        raise Refused(f"{join_reference(store.spec, tagged.tag)}: {findings[0].message}: {findings[0].subject}", findings)


def _made_here(root: Path, artefact: RunArtefact) -> Attested:
    files = {path: hash_file(root / path).sha256 for path in artefact.stated if (root / path).exists()}
    attested, findings = read_attested(root, artefact, files)
    if attested is None or findings:
        message = "nothing says that it was made on this machine"
        findings = findings or [Finding("missing", artefact.pairs, message)]
        again = "make it here: aqea-registry confirm STORE-REF --fresh"
        raise Refused(f"{artefact.pairs}: {message}", findings, again)
    return attested


def _confirmed(
    root: Path, store: Store, tagged: Tagged, release: Release, artefact: RunArtefact, made: Attested, report: Reporter
) -> Confirmed:
    path = artefact.pairs
    released = release_subjects(release)[published_path(path)]
    regenerated = hash_file(root / path).sha256
    verdict: Verdict = "IDENTICAL"
    if regenerated != released:
        verdict = _compared(root, store, tagged, path, report)
    return Confirmed(verdict=verdict, released=released, regenerated=regenerated, machine=made.machine, margin=made.margin)


def _compared(root: Path, store: Store, tagged: Tagged, path: str, report: Reporter) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="aqea-confirm-") as scratch:
        tree = tree_in_store(store, tagged, Path(scratch), report)
        released = NamedFile(tree.fetch(published_path(path)), f"{tree.name}: {published_path(path)}")
        found, _ = compare_files(released, NamedFile(root / path, path), report, claimed_by(root))
    return found.verdict
