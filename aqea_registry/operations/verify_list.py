"""Check files against a list of digests from anybody, with nothing of a project: only the core is loaded."""

from __future__ import annotations

from pathlib import Path

import msgspec

from aqea_registry.core.findings import BadConfiguration, CannotCheck
from aqea_registry.core.manifest import MANIFEST, SIZES, parse, untracked
from aqea_registry.core.reporting import Reporter
from aqea_registry.operations.check_files import (
    Verification,
    digest_findings,
    hash_places,
    places_of,
    present,
    read_errors,
)

LARGEST_LIST = 1 << 30
LIST_NAMES = ("MANIFEST.sha256", MANIFEST, "SHA256SUMS", "SHA256SUMS.txt", "sha256sums.txt", "sha256sum.txt", "checksums.txt")


def verify_folder(folder: Path, report: Reporter) -> Verification:
    """Check a folder against the list of digests in it; a file that the list does not name is a finding."""
    name = next((name for name in LIST_NAMES if (folder / name).is_file()), None)
    if name is None:
        raise BadConfiguration(
            f"{folder} has no list of digests ({', '.join(LIST_NAMES)})", "name the list: aqea-registry verify LIST --root DIR"
        )
    checked = verify_list(folder / name, folder, report)
    beside = {name, SIZES, "README.md"} if name == MANIFEST else {name, "README.md"}
    extra = untracked(present(folder, ("",)), checked.digests, beside | {finding.subject for finding in checked.findings})
    return msgspec.structs.replace(checked, target=str(folder), findings=(*checked.findings, *extra))


def verify_list(path: Path, root: Path, report: Reporter) -> Verification:
    """Check files below `root` against a list of anybody's in sha256sum's formats. Raises CannotCheck."""
    try:
        if path.stat().st_size > LARGEST_LIST:
            raise CannotCheck(f"{path} has over {LARGEST_LIST} bytes; that is no list of digests")
        content = path.read_bytes()
    except OSError as error:
        raise CannotCheck(f"{path} cannot be read: {error.strerror}") from error
    listed, findings = parse(content, path.name)
    places, unsafe = places_of(root, listed)
    digests, by_place = hash_places(places, report)
    findings += [*unsafe, *read_errors(places, by_place), *digest_findings(listed, digests)]
    return Verification(
        target=str(path),
        files=len(digests),
        bytes=sum(found.size for found in digests.values()),
        findings=tuple(findings),
        digests=digests,
    )
