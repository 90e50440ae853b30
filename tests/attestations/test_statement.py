"""Statements: the published layouts, those of other programs as well, and held to what they speak of."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import in_toto_attestation.predicates.provenance.v1.provenance_pb2 as provenance_pb2
import in_toto_attestation.v1.statement_pb2 as statement_pb2
import msgspec
import pytest
from google.protobuf import json_format
from in_toto_attestation.v1.statement import Statement as TheirStatement

from aqea_registry.attestations.made import pinned
from aqea_registry.attestations.statement import (
    BUILDER,
    ENVELOPED,
    PAIR_SET,
    BuildDefinition,
    Builder,
    Confirmation,
    Confirmed,
    Metadata,
    Period,
    Provenance,
    Resource,
    RunDetails,
    Statement,
    dependency_findings,
    documents,
    foreign_findings,
    make_statement,
    parse_statement,
    subject_findings,
)
from aqea_registry.project.lock import Pin
from aqea_registry.vectors.margin import Machine

A, B, C = "a" * 64, "b" * 64, "c" * 64
WHEN = Metadata(started_on="2026-01-02T03:04:05Z", finished_on="2026-01-02T03:05:06Z")
INPUTS = (
    Resource(name="minilm", uri="hf://org/minilm@" + "0" * 40, digest={"gitCommit": "0" * 40}),
    Resource(name="minilm/model.safetensors", digest={"sha256": C}),
)
MACHINE = Machine(
    processor="A processor",
    architecture="x86_64",
    system="Linux",
    python="3.11.7",
    kernels="AVX2",
    threads=2,
    device="cpu",
    packages={"torch": "2.13.0"},
)


def provenance() -> Statement:
    definition = BuildDefinition(
        build_type=PAIR_SET,
        external_parameters={"dataset": "small"},
        resolved_dependencies=INPUTS,
        internal_parameters={"n": 1},
    )
    margin = Resource(name="margin", annotations={"distance": 5.6e-12, "thin": []})
    details = RunDetails(builder=Builder(id=BUILDER, version={"aqea-registry": "1"}), metadata=WHEN, byproducts=(margin,))
    return make_statement({"pairs.json": A, "metrics.json": B}, Provenance(build_definition=definition, run_details=details))


def confirmation() -> Statement:
    one = Confirmed(verdict="IDENTICAL", released=A, regenerated=A, machine=MACHINE)
    predicate = Confirmation(
        reference="oci:x:v1",
        pair_sets={"small": one},
        resolved_dependencies=INPUTS,
        metadata=Period(started_on="2026-01-02T03:04:05Z", finished_on="2026-01-02T03:05:06Z"),
    )
    return make_statement({"release": C, "pairs.json": A}, predicate)


@pytest.mark.parametrize("make", [provenance, confirmation])
def test_the_publishers_own_library_accepts_them(make: Callable[[], Statement]) -> None:
    """Parsing by the published protocol buffers refuses every field that they do not know."""
    content = make().to_bytes()
    parsed = json_format.Parse(content, statement_pb2.Statement())
    TheirStatement.copy_from_pb(parsed).validate()
    if make is provenance:
        read = json_format.ParseDict(json.loads(content)["predicate"], provenance_pb2.Provenance())
        assert read.build_definition.build_type == PAIR_SET
        assert [one.name for one in read.build_definition.resolved_dependencies] == [one.name for one in INPUTS]
        assert read.run_details.metadata.started_on.ToJsonString() == WHEN.started_on


@pytest.mark.parametrize("make", [provenance, confirmation])
def test_what_is_written_is_read(make: Callable[[], Statement]) -> None:
    content = make().to_bytes()
    found, findings = parse_statement(content, "x")
    assert findings == [] and found is not None
    assert found.to_bytes() == content
    assert [(one.name, one.digest) for one in found.subject] == [(one.name, one.digest) for one in make().subject]


def edited(change: Callable[[dict[str, Any]], object], make: Callable[[], Statement] = provenance) -> bytes:
    value = json.loads(make().to_bytes())
    change(value)
    return json.dumps(value).encode()


WRONG: dict[str, bytes] = {
    "no JSON": b"{",
    "no object": b"[]",
    "nested without end": b"[" * 100_000,
    "another type": edited(lambda value: value.update(_type="https://in-toto.io/Statement/v9")),
    "no subject": edited(lambda value: value.update(subject=[])),
    "a subject without digest": edited(lambda value: value["subject"][0].pop("digest")),
    "a digest that is none": edited(lambda value: value["subject"][0]["digest"].update(sha256="xyz")),
    "a time that is none": edited(lambda value: value["predicate"]["runDetails"]["metadata"].update(startedOn="yesterday")),
    "a day that does not exist": edited(
        lambda value: value["predicate"]["runDetails"]["metadata"].update(startedOn="2026-02-30T00:00:00Z")
    ),
    "a missing field": edited(lambda value: value["predicate"].pop("runDetails")),
    "an unknown verdict": edited(lambda value: value["predicate"]["pairSets"]["small"].update(verdict="FINE"), confirmation),
    "an envelope of something else": json.dumps({"payloadType": "text/plain", "payload": "", "signatures": []}).encode(),
    "an envelope that is not base64": json.dumps({"payloadType": ENVELOPED, "payload": "{}", "signatures": []}).encode(),
    "a confirmation without times": edited(lambda value: value["predicate"]["metadata"].pop("finishedOn"), confirmation),
    "too large": b'"' + b"x" * (5 << 20) + b'"',
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_what_is_no_statement_is_a_finding(content: bytes) -> None:
    found, findings = parse_statement(content, "x")
    assert found is None
    assert [(one.code, one.subject) for one in findings] == [("malformed", "x")]


def foreign(predicate_type: str, predicate: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A statement as a build service of somebody else makes it, about a file of ours and one more."""
    subject = [
        {"name": "pairs.json", "digest": {"sha256": A}},
        {"name": "a.tar.gz", "digest": {"sha256": C, "sha512": "d" * 128}},
    ]
    return {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": predicate_type, **more} | (
        {"predicate": predicate} if predicate else {}
    )


# The fields that SLSA's and in-toto's layouts have and this program does not write.
BUILT = foreign(
    "https://slsa.dev/provenance/v1",
    {
        "buildDefinition": {
            "buildType": "https://example.org/workflow/v1",
            "externalParameters": {"workflow": {"ref": "refs/tags/v3", "path": ".ci/release.yml"}},
            "internalParameters": {"github": {"event_name": "push"}},
            "resolvedDependencies": [
                {
                    "uri": "git+https://example.org/a/b@refs/tags/v3",
                    "digest": {"gitCommit": "0" * 40},
                    "mediaType": "application/x-git",
                    "downloadLocation": "https://example.org/a/b",
                    "content": "AAAA",
                    "annotations": {"depth": 1},
                }
            ],
        },
        "runDetails": {
            "builder": {
                "id": "https://example.org/builder",
                "version": {"runner": "2"},
                "builderDependencies": [{"uri": "https://example.org/image", "digest": {"sha1": "1" * 40}}],
            },
            "metadata": {"invocationId": "https://example.org/runs/7", "startedOn": "2026-02-03T04:05:06.789+01:00"},
            "byproducts": [{"name": "log", "downloadLocation": "https://example.org/log", "mediaType": "text/plain"}],
        },
    },
)


def enveloped(value: dict[str, Any]) -> dict[str, Any]:
    payload = base64.b64encode(json.dumps(value).encode()).decode()
    return {"payloadType": ENVELOPED, "payload": payload, "signatures": [{"keyid": "", "sig": "AAAA"}]}


def bundled(value: dict[str, Any]) -> dict[str, Any]:
    material = {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": [{"logIndex": "1", "inclusionProof": {"hashes": ["AA=="]}}]}
    media_type = "application/vnd.dev.sigstore.bundle.v0.3+json"
    return {"mediaType": media_type, "verificationMaterial": material, "dsseEnvelope": enveloped(value)}


@pytest.mark.parametrize("form", [dict, enveloped, bundled], ids=["plain", "envelope", "bundle"])
def test_provenance_of_other_builders_is_read(form: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    parsed = json_format.Parse(json.dumps(BUILT), statement_pb2.Statement())
    TheirStatement.copy_from_pb(parsed).validate()
    json_format.ParseDict(BUILT["predicate"], provenance_pb2.Provenance())
    found, findings = parse_statement(json.dumps(form(BUILT)).encode(), "x")
    assert findings == [] and found is not None and found.judged
    theirs = found.provenance()
    assert theirs is not None and theirs.run_details.builder.id == "https://example.org/builder"
    assert (theirs.machine(), theirs.period()) == (None, None)
    assert foreign_findings(found, "x", {A}) == [], "one of its subjects is here"
    assert [finding.subject for finding in foreign_findings(found, "x", {B})] == ["x: pairs.json", "x: a.tar.gz"]


UNKNOWN: dict[str, Callable[[dict[str, Any]], object]] = {
    "at the top": lambda value: value.update(extra=1),
    "of a subject": lambda value: value["subject"][0].update(mediaType="application/json", extra=1),
    "of the predicate": lambda value: value["predicate"].update(extension={"a": [1]}),
    "of the run": lambda value: value["predicate"].get("runDetails", {}).update(extra=1),
    "of the builder": lambda value: value["predicate"].get("runDetails", {"builder": {}})["builder"].update(extra=1),
    "of a dependency": lambda value: [
        one.update(extra=1) for one in value["predicate"].get("buildDefinition", {}).get("resolvedDependencies", [])
    ],
    "of a machine": lambda value: [one["machine"].update(extra=1) for one in value["predicate"].get("pairSets", {}).values()],
}


@pytest.mark.parametrize("make", [provenance, confirmation])
def test_fields_that_are_not_known_are_ignored(make: Callable[[], Statement]) -> None:
    for change in UNKNOWN.values():
        found, findings = parse_statement(edited(change, make), "x")
        assert findings == [] and found is not None
        assert (found.provenance(), found.confirmation()) == (make().provenance(), make().confirmation())


@pytest.mark.parametrize(
    "value",
    [
        foreign("https://slsa.dev/verification_summary/v1", {"verifier": {"id": "https://example.org"}}),
        foreign("https://slsa.dev/provenance/v0.2", {"builder": {"id": "x"}}, _type="https://in-toto.io/Statement/v0.1"),
        foreign("https://cosign.sigstore.dev/attestation/v1", {}),
    ],
    ids=lambda value: value["predicateType"],
)
def test_another_predicate_is_read_and_not_judged(value: dict[str, Any]) -> None:
    found, findings = parse_statement(json.dumps(enveloped(value)).encode(), "x")
    assert findings == [] and found is not None and not found.judged
    assert (found.provenance(), found.confirmation()) == (None, None)


def test_a_file_of_json_lines_holds_several() -> None:
    lines = [provenance().to_bytes(), json.dumps(bundled(BUILT)).encode() + b"\n", b"\n"]
    found = [parse_statement(document, "x") for document in documents(b"".join(lines))]
    assert [statement is not None and findings == [] for statement, findings in found] == [True, True]
    for whole in (b"{\n}", b"", b"[" * 100_000 + b"\n1", b"\xff\n\xff", json.dumps(BUILT, indent=1).encode()):
        assert documents(whole) == [whole]


def test_a_statement_of_other_bytes_is_a_finding() -> None:
    one = provenance()
    assert subject_findings(one, "x", {"pairs.json": A, "metrics.json": B}) == []
    found = subject_findings(one, "x", {"pairs.json": C})
    assert [(finding.code, finding.subject) for finding in found] == [
        ("unexpected", "x: metrics.json"),
        ("mismatch", "x: pairs.json"),
    ]
    assert foreign_findings(one, "x", {A, B, C}) == []
    assert [finding.subject for finding in foreign_findings(one, "x", {A})] == ["x: metrics.json"]


def test_other_inputs_are_findings() -> None:
    moved = (Resource(name="minilm", uri="hf://org/minilm@" + "1" * 40, digest={"gitCommit": "1" * 40}), INPUTS[1])
    assert dependency_findings(INPUTS, "x", INPUTS) == []
    assert [one.subject for one in dependency_findings(moved, "x", INPUTS)] == ["x: resolvedDependencies: minilm"]
    assert [one.expected for one in dependency_findings(INPUTS, "x", INPUTS[:1])] == ["none"]
    assert [one.actual for one in dependency_findings(INPUTS[:1], "x", INPUTS)] == ["none"]


def test_a_claimed_commit_names_no_place_and_is_compared_as_before() -> None:
    """Statements of 0.1.0 name its place; and the Hub may have confirmed it since."""
    entry = {"kind": "model", "id": "org/minilm", "requested": None, "licence": None, "commit": "0" * 40}
    files = {"model.safetensors": {"sha256": C, "size": 1}}
    claimed, confirmed = (
        pinned("minilm", msgspec.convert({**entry, "resolved_from": source, "files": files}, Pin))
        for source in ("package:m", "hub")
    )
    assert claimed[0] == Resource(name="minilm", uri="hf://org/minilm", annotations={"claimedCommit": "0" * 40})
    assert confirmed == INPUTS
    for named, wanted in ((INPUTS, claimed), (claimed, INPUTS), (claimed, claimed)):
        assert dependency_findings(named, "x", wanted) == []
    other = (Resource(name="minilm", uri="hf://org/minilm", annotations={"claimedCommit": "1" * 40}), INPUTS[1])
    assert len(dependency_findings(other, "x", claimed)) == 1
