"""Lists of sha256 digests in the formats of `sha256sum`, read from anybody and written in one canonical form.

Law: `parse(render(entries)).entries == entries`; of a list without findings, `render(parse(text).entries)` is the
canonical form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from aqea_registry.base.files import UnsafePath, safe_path
from aqea_registry.base.findings import Finding

MANIFEST = "manifests/MANIFEST.sha256"
SIZES = "manifests/MANIFEST.sizes"
_PLAIN = re.compile(r"([0-9A-Fa-f]{64}) [ *](.+)")
_BSD_TAG = re.compile(r"(?:SHA256|SHA2-256) ?\((.+)\) ?= ?([0-9A-Fa-f]{64})")
_OTHER_TAG = re.compile(r"([A-Z0-9][A-Za-z0-9/-]*) ?\(.+\) ?= ?[0-9A-Fa-f]+")


class Parsed(NamedTuple):
    """The usable lines of a list, path to hex digest in the order of the list, and what was wrong with the others."""

    entries: dict[str, str]
    findings: list[Finding]


def render(entries: Mapping[str, str]) -> bytes:
    """The canonical list: `sha256  path` lines, sorted by path, one final newline. `sha256sum -c` accepts it."""
    return "".join(f"{entries[path]}  {path}\n" for path in sorted(entries)).encode()


def parse(content: bytes, name: str) -> Parsed:
    """Read a list: plain and `*` binary marks, BSD tag lines, comments. Never raises for what the bytes say.

    `name` is what findings call the list.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        return Parsed({}, [_malformed(name, f"byte {error.start} is not UTF-8: this is not a text list of digests")])
    entries: dict[str, str] = {}
    findings: list[Finding] = []
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        subject = f"{name}:{number}"
        if not line.strip() or line.startswith("#"):
            continue
        digest, path = _fields(line)
        if path is None:
            findings.append(_malformed(subject, _why_malformed(line)))
            continue
        path = path.removeprefix("./")  # as `find . -type f | xargs sha256sum` writes it
        try:
            safe_path(path)
        except UnsafePath as error:
            findings.append(Finding(code="unsafe-path", subject=subject, actual=path, message=f"{error}; not followed"))
            continue
        if path not in entries:
            entries[path] = digest
        elif entries[path] == digest:
            findings.append(Finding(code="duplicate", subject=subject, actual=path, message=f"{path} is listed twice"))
        else:
            findings.append(
                Finding(
                    code="conflict",
                    subject=subject,
                    expected=entries[path],
                    actual=digest,
                    message=f"{path} is listed with two different digests",
                )
            )
    if not entries and not findings:
        findings.append(_malformed(name, "the list names no file"))
    if not entries and len(findings) > 1 and all(finding.code == "malformed" for finding in findings):
        findings = [
            _malformed(
                name, f"no list of sha256 digests: none of its {len(findings)} lines is one; first {findings[0].message}"
            )
        ]
    return Parsed(entries, findings)


def untracked(present: Iterable[str], listed: Iterable[str], allowed: Iterable[str] = ()) -> list[Finding]:
    """Findings for files that are there and that nothing lists."""
    extra = set(present) - set(listed) - set(allowed)
    return [
        Finding(code="unexpected", subject=path, message="the file is there and the manifest does not list it")
        for path in sorted(extra)
    ]


def _fields(line: str) -> tuple[str, str | None]:
    if match := _PLAIN.fullmatch(line):
        return match[1].lower(), _no_carriage_return(match[2])
    if match := _BSD_TAG.fullmatch(line):
        return match[2].lower(), _no_carriage_return(match[1])
    if line.startswith("\\") and (match := _PLAIN.fullmatch(line[1:])):
        return match[1].lower(), match[2]  # GNU escaping: the path holds a backslash, and safe_path refuses it
    return "", None


def _no_carriage_return(path: str) -> str | None:
    return None if path.endswith("\r") else path


def _why_malformed(line: str) -> str:
    if line.endswith("\r"):
        return "the line ends with CRLF; sha256sum would look for a name that ends in a carriage return"
    if match := _OTHER_TAG.fullmatch(line):
        return f"a {match[1]} digest; only SHA256 is checked"
    return "not a line of sha256sum: 64 hex digits, two spaces (or a space and *), a path"


def _malformed(subject: str, message: str) -> Finding:
    return Finding(code="malformed", subject=subject, message=message)
