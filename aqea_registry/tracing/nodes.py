"""The nodes above a run: claims and their documents, releases and their stores, statements on how both were made."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from aqea_registry.attestations.made import margin_of, own_statements, remade
from aqea_registry.attestations.statement import NAME, Statement, documents, parse_statement
from aqea_registry.base.findings import RegistryError
from aqea_registry.base.references import is_folder, join_reference, split_reference
from aqea_registry.claims.check_claims import CheckedClaims
from aqea_registry.claims.ledger import FOLDER, Verdict
from aqea_registry.documents.metrics import metric_name
from aqea_registry.project.artefact import published_path
from aqea_registry.stores.attachments import current
from aqea_registry.stores.open_store import open_store
from aqea_registry.stores.port import Store
from aqea_registry.stores.receipts import all_receipts
from aqea_registry.tracing.graph import ExpectedFile, GraphBuilder, inside_project
from aqea_registry.vectors.margin import margin_text


def draw_claims(builder: GraphBuilder, checked: CheckedClaims) -> None:
    """Draw every judged claim, and the documents."""
    for name, ledger in checked.ledgers.items():
        document, state = ledger.document, checked.documents.get(name)
        facts = {"title": document.title, "sha256": document.sha256, "file": document.file, "url": document.url, "here": state}
        broken = f"the document differs from the one that the ledger {name} was written for" if state == "stale" else None
        aliases = [name, f"{FOLDER}/{name}.yaml", *([] if builder.aliases.get(document.file) else [document.file])]
        builder.node("document", name, document.title, facts, broken, aliases)
    for verdict in checked.verdicts:
        _draw_claim(builder, verdict)
    for verdict in checked.verdicts:
        for target in verdict.rests_on:
            _draw_basis(builder, verdict, target)


def _draw_claim(builder: GraphBuilder, verdict: Verdict) -> None:
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


def _draw_basis(builder: GraphBuilder, verdict: Verdict, target: str) -> None:
    """One of the things that a claim rests on, by the name that its verdict gives it."""
    claim, id_ = verdict.claim, f"claim:{verdict.name}"
    if claim.measured is not None:
        metric = f"metric:{target}#{metric_name(claim.measured.metric)}"
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
    known = [id_ for id_ in sorted(builder.aliases.get(path, ())) if builder.nodes[id_].kind in ("file", "pair-set")]
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


def draw_releases(builder: GraphBuilder, specs: Sequence[str], stores: Sequence[str]) -> None:
    """Draw the releases of every receipt, of the stores in folders that params.yaml names (`specs`), and of `stores`."""
    by_digest: defaultdict[str, list[Carried]] = defaultdict(list)
    for carried in _carried(builder, specs, stores):
        by_digest[carried.digest].append(carried)
    made: defaultdict[str, list[str]] = defaultdict(list)
    for id_, node in builder.nodes.items():
        if node.kind in ("file", "pair-set") and "sha256" in node.facts:
            made[node.facts["sha256"]].append(id_)
    own = frozenset(builder.aliases)  # a path of the project means the project's file
    for digest, copies in sorted(by_digest.items()):
        _draw_release(builder, digest, copies, made, own)
    attached = [
        (f"{carried.reference}: {name}", content)
        for copies in by_digest.values()
        for carried in copies
        for name, content in carried.attachments.items()
        if NAME.fullmatch(name)
    ]
    draw_statements(builder, attached)


def _draw_release(
    builder: GraphBuilder, digest: str, copies: Sequence[Carried], made: Mapping[str, list[str]], own: frozenset[str]
) -> None:
    """A release, the files that it carries, and the stores that hold it."""
    tags, files = sorted({carried.tag for carried in copies}), copies[0].files
    facts = {"digest": digest, "files": len(files), "size": f"{sum(size for _, size in files.values())} bytes"}
    id_ = builder.node("release", digest, ", ".join(tags), facts, None, tags)
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
    for _, receipt in all_receipts(root, specs):
        files = {file.path: (file.digest, file.size) for file in receipt.files}
        for spec, entry in sorted(receipt.stores.items()):
            named.add((spec, receipt.tag))
            local = is_folder(spec)
            broken, attachments = _ask(open_store(spec, root), receipt.tag, receipt.digest) if local else (None, {})
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


def _ask(store: Store, tag: str, digest: str) -> tuple[str | None, Mapping[str, bytes]]:
    """Where a store in a folder disagrees with its receipt, if it does, and what is attached to the release there."""
    try:
        tagged = store.find(tag)
        if tagged is None:
            return f"the receipt names {digest}, and the store has no tag {tag}", {}
        if tagged.digest != digest:
            return f"the receipt names {digest}, and the tag names {tagged.digest}", {}
        return None, store.attachments(tagged)
    except RegistryError as error:
        return error.message, {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def draw_statements(builder: GraphBuilder, attached: Iterable[tuple[str, bytes]]) -> None:
    """Draw the statements of this checkout and those attached to releases, each by its bytes and where they are."""
    subjects: dict[str, list[str]] = {}
    for id_, node in builder.nodes.items():
        digest = node.facts.get("digest", node.facts.get("sha256")) if node.kind in ("release", "pair-set", "file") else None
        if digest is not None:
            subjects.setdefault(digest.removeprefix("sha256:"), []).append(id_)
    files = (*own_statements(builder.run.root), *attached)
    read = [(name, document, *parse_statement(document, name)) for name, content in files for document in documents(content)]
    known = [statement for _, _, statement, _ in read if statement is not None]
    for location, content, statement, wrong in read:
        sha256 = hashlib.sha256(content).hexdigest()
        facts = dict(_facts(statement, known)) if statement is not None else {}
        before = builder.nodes.get(f"attestation:{sha256[:16]}")
        facts |= {"sha256": sha256, "in": location if before is None else f"{before.facts['in']}, {location}"}
        label, broken = facts.pop("label", location), wrong[0].message if wrong else None
        id_ = builder.node("attestation", sha256[:16], label, facts, broken, [location])
        digests = [subject.digest.get("sha256", "") for subject in statement.subject] if statement is not None else []
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
