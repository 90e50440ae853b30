"""Write the manifest of the run: digests in sha256sum's format, and the sizes beside them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from aqea_registry.base.files import hash_files, size_of, write_bytes
from aqea_registry.base.findings import Finding, Refused, unread
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.base.recognise import canonical_findings, conflict, one_side
from aqea_registry.base.sha256_list import LEFT_OUT, MANIFEST, SIZES, parse_list, render

AGAIN = "; run: dvc repro"


Files = dict[str, tuple[str, int]]  # path to hex sha256 and bytes


def write_manifest(root: Path, paths: Iterable[str], report: Reporter, left_out: Files | None = None) -> tuple[Files, bool]:
    """Hash these files below the root and write the manifest: path to (hex sha256, bytes), and whether it changed.

    Raises Refused if one is missing that was not `left_out` of a release; nothing is written. Those are listed beside it.
    """
    locations = {path: root / path for path in paths}
    with report.task("hash", sum(map(size_of, locations.values())), "bytes") as advance:
        digests = hash_files(locations.values(), advance=advance)
    files, findings = Files(), list[Finding]()
    away = sorted(path for path in left_out or {} if isinstance(digests.get(locations.get(path, root)), FileNotFoundError))
    for path, location in locations.items():
        found = digests[location]
        if left_out and path in away:
            files[path] = left_out[path]
        elif isinstance(found, OSError):
            findings.append(Finding("missing", path, f"cannot be read: {found.strerror}"))
        else:
            files[path] = (found.sha256, found.size)
    if findings:
        message = f"{plural(len(findings), 'file')} of the run not found, first {findings[0].subject}"
        raise Refused(message, findings, "run: dvc repro")
    changed = write_bytes(root / MANIFEST, render({path: sha256 for path, (sha256, _) in files.items()}))
    changed |= write_bytes(root / SIZES, render_sizes({path: size for path, (_, size) in files.items()}))
    if away:
        write_bytes(root / LEFT_OUT, "".join(f"{path}\n" for path in away).encode())
    else:
        (root / LEFT_OUT).unlink(missing_ok=True)
    return files, changed


class Manifest(NamedTuple):
    """The manifest and its sizes as read: lines that cannot be used are `faults`, another form than ours is `spelling`."""

    digests: dict[str, str]
    sizes: dict[str, int]
    faults: Sequence[Finding]
    spelling: Sequence[Finding]
    size_findings: Sequence[Finding]
    content: bytes | None


def read_manifest(content: bytes | OSError, sizes: bytes | OSError) -> Manifest:
    """The two files as they were read, or the reasons why they were not."""
    digests, by_path, spelling = dict[str, str](), dict[str, int](), list[Finding]()
    faults = unusable = _unusable(content, MANIFEST)
    wrong = _unusable(sizes, SIZES)
    if isinstance(content, bytes) and not unusable:
        digests, faults, _ = parse_list(content, MANIFEST)
        spelling = [] if faults else canonical_findings(content, render(digests), MANIFEST)
    if isinstance(sizes, bytes) and not wrong:
        by_path, wrong = parse_sizes(sizes, SIZES)
        wrong = wrong or canonical_findings(sizes, render_sizes(by_path), SIZES)
    used = content if isinstance(content, bytes) and not unusable else None
    return Manifest(digests, by_path, faults, spelling, wrong, used)


def _unusable(content: bytes | OSError, name: str) -> list[Finding]:
    if isinstance(content, OSError):
        return [unread(name, content, AGAIN)]
    where = conflict(content)
    return [Finding("malformed", name, f"{where}; run: {one_side(name)}, then: dvc repro")] if where else []


def parse_sizes(content: bytes, name: str) -> tuple[dict[str, int], list[Finding]]:
    """Read `bytes  path` lines, as `render_sizes` writes them."""
    sizes: dict[str, int] = {}
    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        match = re.fullmatch(r"([0-9]{1,18})  (.+)", line)
        if match is None or match[2] in sizes:
            return {}, [Finding("malformed", f"{name}:{number}", "not a line 'bytes  path' of its own path")]
        sizes[match[2]] = int(match[1])
    return sizes, []


def render_sizes(sizes: Mapping[str, int]) -> bytes:
    """`bytes  path` lines, sorted by path: what the digests cost to fetch, and a first check that needs no hashing."""
    return "".join(f"{sizes[path]}  {path}\n" for path in sorted(sizes)).encode()
