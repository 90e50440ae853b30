"""Resolve catalogue entries into the lock, and see whether the sources still have the pinned bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import msgspec

from aqea_registry.core.catalogue import Dataset, Model
from aqea_registry.core.files import FileDigest, hash_files, write_bytes
from aqea_registry.core.findings import BadConfiguration, CannotCheck, Finding
from aqea_registry.core.pins import LOCK, Pin, PinnedFile, render_lock
from aqea_registry.core.reporting import Reporter
from aqea_registry.operations.project import Project
from aqea_registry.sources.base import Source
from aqea_registry.sources.fetch import wrong_bytes

Group = Literal["datasets", "models"]


class Pinned(msgspec.Struct, frozen=True, kw_only=True):
    """What `pin` did with one entry: `new`, `same` or `changed`, and the files whose digests are others than before."""

    group: str
    name: str
    state: Literal["new", "same", "changed"]
    pin: Pin
    changed_files: tuple[str, ...] = ()


def pin(project: Project, names: Sequence[str], report: Reporter) -> list[Pinned]:
    """Pin these entries (none: all of the catalogue) from the first source that is present, and write the lock.

    Nothing is written unless every entry was resolved. Raises BadConfiguration and CannotCheck.
    """
    lock, done = project.lock, []
    for group, name, entry in _entries(project, names):
        before = (lock.datasets if group == "datasets" else lock.models).get(name)
        resolved = _resolve(name, entry, project.sources(entry), report)
        changed = tuple(
            path
            for path in sorted({*resolved.files, *(before.files if before else {})})
            if before is not None and resolved.files.get(path) != before.files.get(path)
        )
        if before is not None and not changed and (before.requested, before.commit) == (resolved.requested, resolved.commit):
            resolved = msgspec.structs.replace(resolved, resolved_from=before.resolved_from)
        state: Literal["new", "same", "changed"] = "new" if before is None else "same" if resolved == before else "changed"
        lock = lock.with_pin(group, name, resolved)
        done.append(Pinned(group=group, name=name, state=state, pin=resolved, changed_files=changed))
    write_bytes(project.root / LOCK, render_lock(lock))
    return done


class PinnedPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A pinned file where a local source has it."""

    subject: str
    place: Path
    file: PinnedFile


def pinned_places(name: str, pin: Pin, sources: Sequence[Source]) -> Iterator[PinnedPlace | Finding]:
    """Every pinned file in every source that is present on this machine; a finding where the source lacks it."""
    for source in sources:
        if not source.present():
            continue
        for path, file in sorted(pin.files.items()):
            subject = f"{name}: {path} in {source.spec}"
            try:
                place = source.local(path)
            except OSError as error:
                yield Finding(code="unsafe-path", subject=subject, message=str(error))
                continue
            if place is None:
                yield Finding(code="missing", subject=subject, expected=file.sha256, message="the source lacks a pinned file")
            else:
                yield PinnedPlace(subject=subject, place=place, file=file)


def place_finding(place: PinnedPlace, found: FileDigest | OSError) -> Finding | None:
    """What is wrong with the bytes of a source, if anything."""
    if isinstance(found, OSError):
        return Finding(code="unreadable", subject=place.subject, message=str(found))
    if (found.sha256, found.size) == (place.file.sha256, place.file.size):
        return None
    return wrong_bytes(place.subject, place.file, f"{found.sha256} ({found.size} bytes)")


def check_pins(project: Project, names: Sequence[str], report: Reporter) -> tuple[list[Finding], list[str]]:
    """Compare the pins of these entries (none: all) with what their sources hold now, changing nothing.

    Returns findings, and the names of entries of which no source is present.
    """
    findings: list[Finding] = []
    places: list[PinnedPlace] = []
    absent: list[str] = []
    for group, name, entry in _entries(project, names):
        pinned = (project.lock.datasets if group == "datasets" else project.lock.models).get(name)
        if pinned is None:
            message = f"no digests are pinned; run: aqea-registry pin {name}"
            findings.append(Finding(code="unpinned", subject=f"{group}.{name}", message=message))
            continue
        sources = project.sources(entry)
        if not any(source.present() for source in sources):
            absent.append(name)
        for item in pinned_places(name, pinned, sources):
            if isinstance(item, Finding):
                findings.append(item)
            else:
                places.append(item)
    with report.task("check sources", sum(place.file.size for place in places), "bytes") as advance:
        digests = hash_files([place.place for place in places], advance=advance)
    findings += [finding for place in places if (finding := place_finding(place, digests[place.place]))]
    return findings, absent


def _entries(project: Project, names: Sequence[str]) -> list[tuple[Group, str, Dataset | Model]]:
    entries: list[tuple[Group, str, Dataset | Model]] = [
        *(("datasets", name, dataset) for name, dataset in sorted(project.params.datasets.items())),
        *(("models", name, model) for name, model in sorted(project.params.models.items())),
    ]
    known = {name for _, name, _ in entries}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BadConfiguration(f"params.yaml has no entry {unknown[0]!r}; it has {', '.join(sorted(known))}")
    return [entry for entry in entries if not names or entry[1] in names]


def _resolve(name: str, entry: Dataset | Model, sources: Sequence[Source], report: Reporter) -> Pin:
    source = next((source for source in sources if source.present()), None)
    if source is None:
        advice = "; ".join(f"{source.spec}: {source.advice()}" for source in sources)
        raise CannotCheck(f"{name}: no source is present ({advice or 'params.yaml names none'})")
    commit = entry.revision if entry.revision and re.fullmatch(r"[0-9a-f]{40}", entry.revision) else None
    if entry.kind != "directory" and commit is None:
        raise BadConfiguration(f"{name}: {source.spec} cannot resolve the revision {entry.revision!r}: give the 40-hex commit")
    chosen = [path for path in source.paths() if any(_matches(path, pattern) for pattern in entry.files)]
    lacking = [pattern for pattern in entry.files if not set("*?[") & set(pattern) and pattern not in chosen]
    if lacking or not chosen:
        raise CannotCheck(f"{name}: {source.spec} has no {lacking[0] if lacking else 'file that a loader reads'}")
    places = {path: place for path in chosen if (place := source.local(path)) is not None}
    with report.task(f"pin {name}", sum(place.stat().st_size for place in places.values()), "bytes") as advance:
        digests = hash_files(places.values(), advance=advance)
    files = {}
    for path, place in sorted(places.items()):
        found = digests[place]
        if isinstance(found, OSError):
            raise found
        files[path] = PinnedFile(sha256=found.sha256, size=found.size)
    return Pin(
        kind=entry.kind,
        id=entry.repo,
        requested=entry.revision,
        commit=commit,
        licence=entry.licence,
        resolved_from=source.spec,
        files=files,
    )


def _matches(path: str, pattern: str) -> bool:
    """A glob whose stars stay within one folder."""
    parts, patterns = path.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))
