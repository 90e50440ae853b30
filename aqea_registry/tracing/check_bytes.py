"""The bytes behind a graph: hash the files of nodes, recompute the scores of their pair sets, say what does not fit."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from aqea_registry.base.files import FileDigest, hash_files, size_of
from aqea_registry.base.findings import Finding
from aqea_registry.base.progress import Reporter
from aqea_registry.base.sha256_list import MANIFEST
from aqea_registry.project.dvc_lock import AGAIN
from aqea_registry.project.project import export_path, metrics_path, pairs_path
from aqea_registry.tracing.graph import Draft, Recorded, sentence_of
from aqea_registry.vectors.scores import Metrics

if TYPE_CHECKING:
    from aqea_registry.vectors.examine import Examined
    from aqea_registry.verification.verify_project import CheckedProject

Found = Mapping[Path, FileDigest | OSError]


def look(draft: Draft, ids: Collection[str], report: Reporter, seen: CheckedProject | None = None) -> None:
    """Hash what these nodes stand for and write into the draft what was found. `seen` was verified: its digests are taken."""
    wanted = {id_: draft.recorded[id_] for id_ in ids if id_ in draft.recorded}
    found = _digests(draft, [one for many in wanted.values() for one in many], report, seen)
    for id_, places in wanted.items():
        if draft.nodes[id_].kind == "upstream-file":
            _look_upstream(draft, id_, places, found)
        else:
            _look_file(draft, id_, places[0], found)
    for key in draft.project.params.run.pairs:
        if f"pair-set:{key}" in ids:
            _look_pair_set(draft, key, seen)


def _digests(draft: Draft, places: list[Recorded], report: Reporter, seen: CheckedProject | None) -> Found:
    known: dict[Path, FileDigest | OSError] = {}
    for path, digest in seen.digests.items() if seen is not None else ():
        known[draft.project.root / path] = digest
    with_md5 = frozenset(one.place for one in places if one.md5 is not None)
    usable = {place: digest for place, digest in known.items() if place not in with_md5 or _md5_of(digest)}
    missing = {one.place for one in places if one.place not in usable and not one.place.is_dir()}
    with report.task("hash", sum(map(size_of, missing)), "bytes") as advance:
        return usable | hash_files(missing, md5=with_md5, advance=advance)


def _md5_of(digest: FileDigest | OSError) -> str | None:
    return None if isinstance(digest, OSError) else digest.md5


def _look_file(draft: Draft, id_: str, recorded: Recorded, digests: Found) -> None:
    """A file of the project against the manifest and dvc.lock."""
    if recorded.place.is_dir():  # what somebody's own stage reads; `dvc status` compares it
        return
    found = digests[recorded.place]
    if isinstance(found, OSError):
        reason = (
            "the file is not there" if isinstance(found, FileNotFoundError) else f"cannot be read: {found.strerror or found}"
        )
        draft.note(id_, reason)
        return
    broken, facts = list[str](), dict[str, str]()
    if recorded.sha256 is None:
        facts = {"sha256": found.sha256, "size": f"{found.size} bytes"}
    elif recorded.sha256 != found.sha256:
        facts = {"sha256 here": found.sha256}
        broken.append(f"its bytes are sha256 {found.sha256}, and {MANIFEST} names {recorded.sha256}")
    if not recorded.listed:
        broken.append(f"{MANIFEST} does not list it; {AGAIN}")
    if recorded.md5 not in (None, found.md5):
        broken.append(f"dvc.lock records other bytes: md5 {recorded.md5}, and the file's is {found.md5}; {AGAIN}")
    draft.note(id_, "; ".join(broken) or None, **facts)


def _look_upstream(draft: Draft, id_: str, places: list[Recorded], digests: Found) -> None:
    """A pinned file in every source on this machine."""
    same = []
    for one in places:
        found = digests[one.place]
        if isinstance(found, OSError):
            draft.note(id_, f"{one.spec}: cannot be read: {found.strerror or found}")
        elif (found.sha256, found.size) != (one.sha256, one.size):
            wrong = f"{one.spec} has other bytes: sha256 {found.sha256} ({found.size} bytes), and not {one.sha256}"
            draft.note(id_, wrong, **{"sha256 here": found.sha256})
        else:
            same.append(one.spec or "")
    if same:
        draft.note(id_, **{"the same in": ", ".join(same)})


def _look_pair_set(draft: Draft, key: str, seen: CheckedProject | None) -> None:
    """Recompute the scores, and read what the files made from the pair set print of them."""
    from aqea_registry.project.project import expected_of
    from aqea_registry.vectors.examine import examine

    project, pair, id_ = draft.project, draft.project.params.run.pairs[key], f"pair-set:{key}"
    examined, findings = seen.pair_sets.get(key) if seen is not None else None, list[Finding]()
    if examined is None:
        try:
            examined, findings = examine(draft.recorded[id_][0].place, pairs_path(pair), expected_of(project, pair))
        except OSError:
            findings = []  # said of the file already
    for finding in findings:
        draft.note(id_, f"{finding.subject.removeprefix(pairs_path(pair)).lstrip(': ') or 'the file'}: {sentence_of(finding)}")
    if examined is None:
        for metric in Metrics.__struct_fields__:
            draft.note(f"metric:{key}#{metric}", "cannot be recomputed: the pair set is not there, or is no good")
        return
    draft.note(id_, content=examined.content, pairs=str(examined.header.n_pairs), dimension=str(examined.header.dimension))
    for metric, value in msgspec.to_builtins(examined.metrics).items():
        draft.note(f"metric:{key}#{metric}", value=repr(value))
    benchmarks = [one for one in project.params.run.exports.values() if (one.file, one.format) == (pair.file, "benchmark")]
    for path in (metrics_path(key), *(export_path(one.file, one.format) for one in benchmarks)):
        for wrong in _misprints(project.root / path, examined):
            draft.note(f"file:{path}", wrong)


def _misprints(place: Path, examined: Examined) -> Iterator[str]:
    """Where a metrics or benchmark file prints other scores than were recomputed."""
    try:
        value: Any = json.loads(place.read_bytes())
    except OSError:
        return  # said of the file already
    except (ValueError, RecursionError):
        yield "it is no JSON"
        return
    printed = value.get("metrics", value) if isinstance(value, dict) else {}
    for metric, recomputed in msgspec.to_builtins(examined.metrics).items():
        told = printed.get(metric) if isinstance(printed, dict) else None
        if told != recomputed:
            yield f"it says {metric} {told!r}, and recomputed from the pair set it is {recomputed!r}"
