"""Check the bytes behind a graph: hash the files of nodes, recompute the scores of their pair sets, mark what is broken."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from aqea_registry.base.files import FileDigest, Limit, hash_files, read_small, size_of
from aqea_registry.base.findings import Finding
from aqea_registry.base.progress import Reporter
from aqea_registry.base.sha256_list import MANIFEST
from aqea_registry.project.artefact import RunArtefact
from aqea_registry.project.dvc_lock import AGAIN
from aqea_registry.tracing.graph import ExpectedFile, GraphBuilder, sentence_of
from aqea_registry.vectors.examine import Examined, examine
from aqea_registry.vectors.scores import Metrics
from aqea_registry.verification.verify_project import CheckedProject

Digests = Mapping[Path, FileDigest | OSError]


def check_bytes(builder: GraphBuilder, ids: Collection[str], report: Reporter, verified: CheckedProject | None = None) -> None:
    """Hash the files of these nodes and add what was found to them. Digests of what was `verified` are taken from there."""
    wanted = {id_: builder.expected[id_] for id_ in ids if id_ in builder.expected}
    digests = _digests(builder, [file for files in wanted.values() for file in files], report, verified)
    for id_, files in wanted.items():
        if builder.nodes[id_].kind == "upstream-file":
            _check_upstream(builder, id_, files, digests)
        else:
            _check_file(builder, id_, files[0], digests)
    for key, artefact in builder.run.artefacts.items():
        if f"pair-set:{key}" in ids:
            _check_pair_set(builder, artefact, verified)


def _digests(builder: GraphBuilder, files: list[ExpectedFile], report: Reporter, verified: CheckedProject | None) -> Digests:
    md5 = frozenset(file.path for file in files if file.md5 is not None)
    known: dict[Path, FileDigest | OSError] = {}
    for name, digest in verified.digests.items() if verified is not None else ():
        path = builder.run.root / name
        if path not in md5 or (isinstance(digest, FileDigest) and digest.md5):
            known[path] = digest
    missing = {file.path for file in files if file.path not in known and not file.path.is_dir()}
    with report.task("hash", sum(map(size_of, missing)), "bytes") as advance:
        return known | hash_files(missing, md5=md5, advance=advance)


def _check_file(builder: GraphBuilder, id_: str, expected: ExpectedFile, digests: Digests) -> None:
    """A file of the project against the manifest and dvc.lock."""
    if expected.path.is_dir():  # what somebody's own stage reads; `dvc status` compares it
        return
    digest = digests[expected.path]
    if isinstance(digest, OSError):
        absent = isinstance(digest, FileNotFoundError)
        builder.add_facts(id_, "file not found" if absent else f"cannot be read: {digest.strerror or digest}")
        return
    broken, facts = list[str](), dict[str, str]()
    if expected.sha256 is None:
        facts = {"sha256": digest.sha256, "size": f"{digest.size} bytes"}
    elif expected.sha256 != digest.sha256:
        facts = {"sha256 here": digest.sha256}
        broken.append(f"its bytes are sha256 {digest.sha256}, and {MANIFEST} names {expected.sha256}")
    if not expected.listed:
        broken.append(f"{MANIFEST} does not list it; {AGAIN}")
    if expected.md5 not in (None, digest.md5):
        broken.append(f"dvc.lock records other bytes: md5 {expected.md5}, and the file's is {digest.md5}; {AGAIN}")
    builder.add_facts(id_, "; ".join(broken) or None, **facts)


def _check_upstream(builder: GraphBuilder, id_: str, files: list[ExpectedFile], digests: Digests) -> None:
    """A pinned file in every source on this machine."""
    same = []
    for expected in files:
        digest = digests[expected.path]
        if isinstance(digest, OSError):
            builder.add_facts(id_, f"{expected.spec}: cannot be read: {digest.strerror or digest}")
        elif (digest.sha256, digest.size) != (expected.sha256, expected.size):
            other = f"sha256 {digest.sha256} ({digest.size} bytes), and not {expected.sha256}"
            builder.add_facts(id_, f"{expected.spec} has other bytes: {other}", **{"sha256 here": digest.sha256})
        else:
            same.append(expected.spec or "")
    if same:
        builder.add_facts(id_, **{"the same in": ", ".join(same)})


def _check_pair_set(builder: GraphBuilder, artefact: RunArtefact, verified: CheckedProject | None) -> None:
    """Recompute the scores, and compare what the files made from the pair set print of them."""
    key, name, id_ = artefact.key, artefact.pairs, f"pair-set:{artefact.key}"
    examined, findings = verified.pair_sets.get(key) if verified is not None else None, list[Finding]()
    if examined is None:
        try:
            examined, findings = examine(builder.expected[id_][0].path, name, artefact.expected)
        except OSError:
            findings = []  # shown at the file already
    for finding in findings:
        subject = finding.subject.removeprefix(name).lstrip(": ") or "the file"
        builder.add_facts(id_, f"{subject}: {sentence_of(finding)}")
    if examined is None:
        for metric in Metrics.__struct_fields__:
            builder.add_facts(f"metric:{key}#{metric}", "cannot be recomputed: the pair set is missing or malformed")
        return
    header = examined.header
    builder.add_facts(id_, content=examined.content, pairs=str(header.n_pairs), dimension=str(header.dimension))
    for metric, value in msgspec.to_builtins(examined.metrics).items():
        builder.add_facts(f"metric:{key}#{metric}", value=repr(value))
    for path in artefact.printing:
        for wrong in _misprints(builder.run.root / path, examined):
            builder.add_facts(f"file:{path}", wrong)


def _misprints(path: Path, examined: Examined) -> Iterator[str]:
    """Where a metrics or benchmark file prints other scores than were recomputed."""
    try:
        value: Any = json.loads(read_small(path, Limit.DOCUMENT))
    except OSError:
        return  # shown at the file already
    except (ValueError, RecursionError):
        yield "it is not JSON"
        return
    printed = value.get("metrics", value) if isinstance(value, dict) else {}
    for metric, recomputed in msgspec.to_builtins(examined.metrics).items():
        score = printed.get(metric) if isinstance(printed, dict) else None
        if score != recomputed:
            yield f"it says {metric} {score!r}, and recomputed from the pair set it is {recomputed!r}"
