"""Write the manifest of the run: digests in sha256sum's format, and the sizes beside them."""

from __future__ import annotations

import msgspec

from aqea_registry.core.files import hash_files, size_of, write_bytes
from aqea_registry.core.findings import Finding, Refused
from aqea_registry.core.manifest import MANIFEST, SIZES, render, render_sizes
from aqea_registry.core.reporting import Reporter
from aqea_registry.operations.project import Project


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
