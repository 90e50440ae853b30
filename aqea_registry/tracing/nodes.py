"""Claims in the graph: each printed number, the document that it stands in, and what it rests on.

Releases in the graph: which of them carry a file, and the stores that hold them.

Statements in the graph: who says how a file or a release was made, and on which machine it was made again.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from aqea_registry.attestations.made import FOLDER as MADE
from aqea_registry.attestations.statement import FOLDER as CONFIRMED
from aqea_registry.attestations.statement import LARGEST, NAME, SUFFIX, Provenance, Statement, parse_statement
from aqea_registry.base.files import open_regular
from aqea_registry.base.findings import RegistryError
from aqea_registry.base.references import is_folder, join_reference
from aqea_registry.claims.judging import ALSO_CALLED
from aqea_registry.claims.ledger import FOLDER, Verdict
from aqea_registry.project.artefact import published_path
from aqea_registry.stores.attachments import current
from aqea_registry.stores.open_store import open_store
from aqea_registry.stores.port import Store
from aqea_registry.stores.receipts import all_receipts
from aqea_registry.tracing.graph import ExpectedFile, GraphBuilder, inside_project
from aqea_registry.vectors.margin import Machine

if TYPE_CHECKING:
    from aqea_registry.claims.check_claims import CheckedClaims


def draw_claims(builder: GraphBuilder, checked: CheckedClaims) -> None:
    """Draw every judged claim, and the documents."""
    for name, ledger in checked.ledgers.items():
        document, state = ledger.document, checked.documents.get(name)
        facts = {"title": document.title, "sha256": document.sha256, "file": document.file, "url": document.url, "here": state}
        broken = f"the document that is here is another one than the ledger {name} speaks of" if state == "stale" else None
        words = [name, f"{FOLDER}/{name}.yaml", *([] if builder.aliases.get(document.file) else [document.file])]
        builder.node("document", name, document.title, facts, broken, words)
    for verdict in checked.verdicts:
        _draw_claim(builder, verdict)
    for verdict in checked.verdicts:
        for target in verdict.rests_on:
            _draw_ground(builder, verdict, target)


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


def _draw_ground(builder: GraphBuilder, verdict: Verdict, target: str) -> None:
    """One of the things that a claim rests on, by the name that its verdict gives it."""
    claim, id_ = verdict.claim, f"claim:{verdict.name}"
    if claim.measured is not None:
        metric = f"metric:{target}#{ALSO_CALLED.get(claim.measured.metric, claim.measured.metric)}"
        ground, verb = metric if metric in builder.nodes else f"pair-set:{target}", "measured as"
    elif claim.quoted is not None and claim.quoted.file is not None:
        file, pin = claim.quoted.file, claim.quoted.pin
        ground, verb = f"upstream-file:{pin}/{file}" if pin is not None else _file(builder, file), "quotes"
    else:
        ground, verb = f"claim:{target}", "derived from" if claim.derived is not None else "quotes"
    if ground in builder.nodes:
        builder.edge(id_, ground, verb)
    else:
        builder.add_facts(id_, **{"rests on": target})


def _file(builder: GraphBuilder, path: str) -> str:
    """A file of the project that a claim quotes; it is drawn if nothing else in the run knows it."""
    known = [id_ for id_ in sorted(builder.aliases.get(path, ())) if builder.nodes[id_].kind in ("file", "pair-set")]
    place = inside_project(builder.project.root, path)
    if not known and place is not None:
        return builder.file(path, ExpectedFile(place))
    return known[0] if known else path


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """A release where somebody says that it is: a receipt or the store itself. `files` maps paths to digest and size."""

    tag: str
    digest: str
    reference: str
    files: Mapping[str, tuple[str, int]]
    facts: Mapping[str, str]
    broken: str | None = None
    beside: Mapping[str, bytes] = {}  # the documents that the store keeps with it


def draw_releases(builder: GraphBuilder, stores: Sequence[str]) -> None:
    """Draw the releases of every receipt, of the stores in folders that params.yaml names, and of `stores`."""
    by_digest: defaultdict[str, list[Carried]] = defaultdict(list)
    for one in _carried(builder, stores):
        by_digest[one.digest].append(one)
    made: defaultdict[str, list[str]] = defaultdict(list)
    for id_, node in builder.nodes.items():
        if node.kind in ("file", "pair-set") and "sha256" in node.facts:
            made[node.facts["sha256"]].append(id_)
    own = set(builder.aliases)  # a path of the project means the project's file
    for digest, held in sorted(by_digest.items()):
        tags = sorted({one.tag for one in held})
        size = sum(size for _, size in held[0].files.values())
        facts = {"digest": digest, "files": len(held[0].files), "size": f"{size} bytes"}
        id_ = builder.node("release", digest, ", ".join(tags), facts, None, tags)
        for path, (file_digest, size) in held[0].files.items():
            sha256 = file_digest.removeprefix("sha256:")
            for file in made.get(sha256) or [_released_file(builder, path, sha256, size, tags)]:
                builder.edge(id_, file, "carries")
                if path not in own:
                    builder.aliases[path].add(file)
        for one in held:
            told = builder.nodes.get(f"store:{one.reference}")
            store = builder.node(
                "store",
                one.reference,
                one.reference,
                {**(told.facts if told else {}), **one.facts},
                one.broken,
                [one.reference],
            )
            builder.edge(store, id_, "holds")
            if mark := current(one.beside, digest):
                builder.add_facts(id_, status=mark.text())
    held_beside = (
        (f"{one.reference}: {name}", content)
        for many in by_digest.values()
        for one in many
        for name, content in one.beside.items()
        if NAME.fullmatch(name)
    )
    draw_statements(builder, held_beside)


def _released_file(builder: GraphBuilder, path: str, sha256: str, size: int, tags: Sequence[str]) -> str:
    """A file that only the release has: written for it, or with other bytes than the project has now."""
    facts: dict[str, object] = {"sha256": sha256, "size": f"{size} bytes"}
    for here in builder.project.manifest_paths():
        if published_path(here) == path:
            facts["note"] = f"{here} has other bytes now"
            for id_ in sorted(builder.aliases[here]):
                builder.add_facts(id_, **{f"in {', '.join(tags)}": f"other bytes, sha256 {sha256}"})
    return builder.node("file", f"{path}@{sha256[:12]}", f"{path} of {', '.join(tags)}", facts)


def _carried(builder: GraphBuilder, stores: Sequence[str]) -> Iterator[Carried]:
    project, told = builder.project, set()
    for _, receipt in all_receipts(project.root, project.params.publish.stores):
        files = {file.path: (file.digest, file.size) for file in receipt.files}
        for spec, one in sorted(receipt.stores.items()):
            told.add((spec, receipt.tag))
            facts = {"at": one.at, **{key: _text(value) for key, value in sorted(one.ids.items())}}
            told_of = (receipt.tag, receipt.digest)
            broken, beside = _asked(open_store(spec, project.root), *told_of) if is_folder(spec) else (None, {})
            yield Carried(
                tag=receipt.tag,
                digest=receipt.digest,
                reference=one.reference,
                files=files,
                facts=facts,
                broken=broken,
                beside=beside,
            )
    asked = [spec for spec in project.params.publish.stores if is_folder(spec)]
    for spec in dict.fromkeys((*asked, *stores)):
        store = open_store(spec, project.root)
        try:
            tags = [tag for tag in store.tags() if (spec, tag) not in told]
            yield from (held for tag in tags if (held := _held(store, tag)) is not None)
        except RegistryError as error:
            if spec in stores:
                raise
            builder.node("store", spec, spec, {}, error.message, [spec])


def _held(store: Store, tag: str) -> Carried | None:
    tagged = store.find(tag)
    if tagged is None:
        return None
    files = {path: (layer.digest, layer.size) for path, layer in store.release(tagged).files().items()}
    return Carried(
        tag=tag,
        digest=tagged.digest,
        reference=join_reference(store.spec, tag),
        files=files,
        facts={"at": tagged.at},
        beside=store.attachments(tagged),
    )


def _asked(store: Store, tag: str, digest: str) -> tuple[str | None, Mapping[str, bytes]]:
    """What a store in a folder says other than its receipt, if anything, and what it keeps beside the release."""
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


def draw_statements(builder: GraphBuilder, beside: Iterable[tuple[str, bytes]]) -> None:
    """Draw the statements of this checkout, and those beside releases: each as its place and its bytes."""
    speaks_of: dict[str, list[str]] = {}
    for id_, node in builder.nodes.items():
        digest = node.facts.get("digest", node.facts.get("sha256")) if node.kind in ("release", "pair-set", "file") else None
        if digest is not None:
            speaks_of.setdefault(digest.removeprefix("sha256:"), []).append(id_)
    for place, content in (*_of(builder.project.root), *beside):
        found, wrong = parse_statement(content, place)
        sha256 = hashlib.sha256(content).hexdigest()
        facts = dict(_facts(found)) if found is not None else {}
        broken = wrong[0].message if wrong else None
        label = facts.pop("label", place)
        before = builder.nodes.get(f"attestation:{sha256[:16]}")
        places = place if before is None else f"{before.facts['in']}, {place}"
        id_ = builder.node("attestation", sha256[:16], label, {"sha256": sha256, **facts, "in": places}, broken, [place])
        subjects = [one.digest.get("sha256", "") for one in found.subject] if found is not None else []
        ends = [end for subject in subjects for end in speaks_of.get(subject, ())]
        whole = [end for end in ends if end.startswith("release:")]  # of a release each file is a subject as well
        for end in whole or ends:
            builder.edge(id_, end, "speaks of")


def _of(root: Path) -> Iterator[tuple[str, bytes]]:
    for folder in (MADE, CONFIRMED):
        for place in sorted((root / folder).glob(f"*{SUFFIX}")):
            try:
                with open_regular(place) as file:
                    yield place.relative_to(root).as_posix(), file.read(LARGEST + 1) or b""
            except OSError:
                continue  # `verify` says so


def _facts(one: Statement) -> Mapping[str, str]:
    """What a statement says, in few words."""
    if (provenance := one.provenance()) is not None:
        when = provenance.run_details.metadata
        made = {"made": when.finished_on} if when else {}
        return {"label": "provenance", **_machine(provenance), **made, "by": provenance.run_details.builder.id}
    confirmation = one.confirmation()
    if confirmation is None:
        return {}
    verdicts = {key: f"{said.verdict} on {said.machine.text()}" for key, said in sorted(confirmation.pair_sets.items())}
    return {"label": f"confirmation of {confirmation.reference}", **verdicts, "made": confirmation.metadata.finished_on}


def _machine(provenance: Provenance) -> dict[str, str]:
    try:
        machine = msgspec.convert(provenance.build_definition.internal_parameters.get("machine"), Machine)
    except msgspec.ValidationError:
        return {}
    return {"on": machine.text()}
