"""Statements beside a release in a store: put there once, and checked against what they speak of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from aqea_registry.core.findings import Finding
from aqea_registry.core.machine import Machine
from aqea_registry.core.release import Release
from aqea_registry.core.statement import (
    CONFIRMATION,
    NAME,
    PROVENANCE,
    SUFFIX,
    Statement,
    foreign_findings,
    parse_statement,
)
from aqea_registry.operations.attest import Attested, read_attested, release_statement, release_subjects
from aqea_registry.operations.project import Project, metrics_path, pairs_path, published_path
from aqea_registry.stores.base import Store, Tagged


def attach_statements(project: Project, store: Store, tagged: Tagged, release: Release) -> None:
    """Keep beside a release how it and its pair sets were made, unless statements on that are there already."""
    held = [parse_statement(content, name)[0] for name, content in store.attachments(tagged).items() if NAME.fullmatch(name)]
    if any(one is not None and one.predicate_type == PROVENANCE for one in held):
        return
    local = _local(project, release)
    for key, one in local.items():
        content = one.statement.render()
        store.attach(tagged, attachment_name(key, content), content)
    content = release_statement(project, release, [one.metadata for one in local.values()]).render()
    store.attach(tagged, attachment_name("release", content), content)  # last: it says that the others are there


def attachment_name(stem: str, content: bytes) -> str:
    """What a statement is called beside a release: never the name of another one."""
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:16]}{SUFFIX}"


def _local(project: Project, release: Release) -> dict[str, Attested]:
    """What this checkout soundly states on the pair sets of a release, by the pair set's key."""
    digests = release_subjects(release)
    found = {}
    for key, pair in project.params.run.pairs.items():
        files = {path: digests[published_path(path)] for path in (pairs_path(pair), metrics_path(key))}
        attested, _ = read_attested(project, key, files)
        if attested is not None:
            found[key] = attested
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
