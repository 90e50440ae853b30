"""Write the manifest of the run: digests in sha256sum's format, and the sizes beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from aqea_registry.base.files import hash_files, size_of, write_bytes
from aqea_registry.base.findings import Finding, Refused
from aqea_registry.base.progress import Reporter
from aqea_registry.base.sha256_list import MANIFEST, SIZES, malformed, parse_list, render
from aqea_registry.project.project import Project


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest as written: path to (hex sha256, bytes), and whether the file changed."""

    files: dict[str, tuple[str, int]]
    changed: bool


def write_manifest(project: Project, report: Reporter) -> Written:
    """Hash every file that the run makes and write the manifest. Raises Refused if one is missing; nothing is written."""
    places = {path: project.root / path for path in project.manifest_paths()}
    with report.task("hash", sum(map(size_of, places.values())), "bytes") as advance:
        digests = hash_files(places.values(), advance=advance)
    files: dict[str, tuple[str, int]] = {}
    findings = []
    for path, place in places.items():
        found = digests[place]
        if isinstance(found, OSError):
            findings.append(Finding(code="missing", subject=path, message=f"cannot be read: {found.strerror}"))
        else:
            files[path] = (found.sha256, found.size)
    if findings:
        raise Refused(f"{len(findings)} files of the run are missing, first {findings[0].subject}", findings, "run: dvc repro")
    changed = write_bytes(project.root / MANIFEST, render({path: sha256 for path, (sha256, _) in files.items()}))
    changed |= write_bytes(project.root / SIZES, render_sizes({path: size for path, (_, size) in files.items()}))
    return Written(files=files, changed=changed)


def read_listed(project: Project) -> tuple[dict[str, str], list[Finding]]:
    """What the manifest lists, path to hex sha256, and what is wrong with it."""
    try:
        content = (project.root / MANIFEST).read_bytes()
    except OSError as error:
        return {}, [Finding(code="missing", subject=MANIFEST, message=f"cannot be read: {error.strerror}; run: dvc repro")]
    return parse_list(content, MANIFEST)


def read_manifest(project: Project) -> tuple[bytes, dict[str, str], list[Finding]]:
    """The manifest's bytes, path to hex sha256, and what is wrong with it."""
    try:
        content = (project.root / MANIFEST).read_bytes()
    except OSError as error:
        message = f"cannot be read: {error.strerror}; run: dvc repro"
        return b"", {}, [Finding(code="missing", subject=MANIFEST, message=message)]
    listed, findings = parse_list(content, MANIFEST)
    if not findings:
        findings += canonical_findings(content, render(listed), MANIFEST)
    return content, listed, findings


def parse_sizes(content: bytes, name: str) -> tuple[dict[str, int], list[Finding]]:
    """Read `bytes  path` lines, as `render_sizes` writes them."""
    sizes: dict[str, int] = {}
    for number, line in enumerate(content.decode("utf-8", "replace").removesuffix("\n").split("\n"), 1):
        match = re.fullmatch(r"([0-9]{1,18})  (.+)", line)
        if match is None or match[2] in sizes:
            return {}, [malformed(f"{name}:{number}", "not a line 'bytes  path' of its own path")]
        sizes[match[2]] = int(match[1])
    return sizes, []


def render_sizes(sizes: Mapping[str, int]) -> bytes:
    """`bytes  path` lines, sorted by path: what the digests cost to fetch, and a first check that needs no hashing."""
    return "".join(f"{sizes[path]}  {path}\n" for path in sorted(sizes)).encode()


def canonical_findings(content: bytes, canonical: bytes, name: str) -> list[Finding]:
    """A finding if a file that only this program writes is not, to the byte, what it writes."""
    if content == canonical:
        return []
    here, there = content.split(b"\n"), canonical.split(b"\n")
    line = next((n for n, (a, b) in enumerate(zip(here, there, strict=False), 1) if a != b), min(len(here), len(there)))
    return [malformed(f"{name}:{line}", "not in canonical form: edited by hand or damaged; write it again")]


def _sizes(project: Project) -> dict[str, int]:
    try:
        return parse_sizes((project.root / SIZES).read_bytes(), SIZES)[0]
    except OSError:
        return {}
