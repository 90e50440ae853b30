"""What lies in an OCI image layout, whatever its index says: entries that do not fit the manifests that they name, manifests
attached to a release that no entry lists, and files that nothing refers to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aqea_registry.base.files import Limit, read_small
from aqea_registry.base.findings import BadConfiguration, Finding
from aqea_registry.base.strict import load_json
from aqea_registry.stores.release import digest_of

BLOBS = "blobs/sha256/"
MARK = {"imageLayoutVersion": "1.0.0"}


class LayoutContents(NamedTuple):
    """`unlisted`: which release each manifest is attached to that no entry lists as attached, by the manifest's digest."""

    findings: list[Finding]
    unlisted: dict[str, str]
    idle: list[str]


def read_contents(folder: Path, spec: str, entries: Sequence[Mapping[str, Any]]) -> LayoutContents:
    """Look at every file of a layout. What is larger than a manifest may be is none."""
    findings, unlisted, used = list[Finding](), dict[str, str](), {str(entry["digest"]) for entry in entries}
    if _document(folder / "oci-layout")[1] != MARK:
        message = "other programs do not read the folder; publish the release again to repair it"
        findings.append(Finding("malformed", f"{spec}: oci-layout", message, str(MARK)))
    for entry in entries:
        content, manifest = _document(folder / BLOBS / entry["digest"][7:])
        findings += _entry_findings(f"{spec}: index.json: {entry['digest']}", entry, content, manifest)
        used.update(_references(folder, manifest))
        if (release := _subject(manifest)) and entry.get("artifactType") != manifest.get("artifactType"):
            unlisted[entry["digest"]] = release
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    for file in files:
        digest = f"sha256:{file.removeprefix(BLOBS)}"
        if digest not in used and (release := _subject(manifest := _document(folder / BLOBS / digest[7:])[1])):
            unlisted[digest] = release
            used.update((digest, *_references(folder, manifest)))
    known = {"index.json", "oci-layout", *(f"{BLOBS}{digest[7:]}" for digest in used)}
    return LayoutContents(findings, unlisted, [file for file in files if file not in known and file[:9] != "receipts/"])


def _entry_findings(subject: str, entry: Mapping[str, Any], content: bytes | None, manifest: Any) -> Iterator[Finding]:
    """Where an entry says other things than the manifest does; types that other programs leave out are none."""
    if content is None:
        yield Finding("missing", subject, "the manifest that the index names cannot be read")
        return
    named = [field for field in ("mediaType", "artifactType") if field in manifest and (field in entry or _subject(manifest))]
    wanted = {field: manifest[field] for field in named} | {"size": len(content), "digest": digest_of(content)}
    for field, value in wanted.items():
        if entry.get(field) != value:
            message = "the index says otherwise than the manifest that it names"
            yield Finding("mismatch", f"{subject}: {field}", message, str(value), str(entry.get(field)))


def _document(path: Path) -> tuple[bytes | None, dict[str, Any]]:
    """The bytes of a small file, if it can be read, and the object that they are, or an empty one."""
    content = None
    try:
        content = read_small(path, Limit.STATEMENT)
        value = load_json(content, path.name)
    except (OSError, BadConfiguration):
        value = None
    return content, value if isinstance(value, dict) else {}


def _subject(manifest: Mapping[str, Any]) -> str | None:
    subject = manifest.get("subject")
    digest = subject.get("digest") if isinstance(subject, dict) else None
    return digest if isinstance(digest, str) else None


def _references(folder: Path, manifest: Mapping[str, Any], deeper: bool = True) -> Iterator[str]:
    """The digests that a manifest names, and those that the manifests of an index name in turn."""
    lists = [found for field in ("layers", "manifests") if isinstance(found := manifest.get(field), list)]
    for child in (manifest.get("config"), *(child for found in lists for child in found)):
        if isinstance(child, dict) and isinstance(digest := child.get("digest"), str):
            yield digest
            if deeper and "manifests" in manifest and digest[7:].isalnum():
                yield from _references(folder, _document(folder / BLOBS / digest[7:])[1], deeper=False)
