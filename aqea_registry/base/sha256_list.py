"""Lists of sha256 digests in the formats of `sha256sum`, read from anybody and written in one canonical form.

Law: `parse_list(render(entries)).entries == entries`; of a list without findings, `render(parse_list(text).entries)` is the
canonical form.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from functools import partial
from typing import BinaryIO, NamedTuple

from aqea_registry.base.files import UnsafePath, safe_path
from aqea_registry.base.findings import Finding

MANIFEST = "manifests/MANIFEST.sha256"
SIZES = "manifests/MANIFEST.sizes"
LONGEST_LINE = 1 << 24
_PLAIN = re.compile(r"([0-9A-Fa-f]{64}) [ *](.+)(?<!\r)")
_BSD_TAG = re.compile(r"(?:SHA256|SHA2-256) ?\((.+)(?<!\r)\) ?= ?([0-9A-Fa-f]{64})")
_OTHER_TAG = re.compile(r"([A-Z0-9][A-Za-z0-9/-]*) ?\(.+\) ?= ?[0-9A-Fa-f]+")


class Parsed(NamedTuple):
    """The usable lines of a list, path to hex digest in the order of the list, and what was wrong with the others."""

    entries: dict[str, str]
    findings: list[Finding]


def render(entries: Mapping[str, str]) -> bytes:
    """The canonical list: `sha256  path` lines, sorted by path, one final newline. `sha256sum -c` accepts it."""
    return "".join(f"{entries[path]}  {path}\n" for path in sorted(entries)).encode()


def parse_list(content: bytes | BinaryIO, name: str) -> Parsed:
    """Read a list line by line: plain and `*` binary marks, BSD tag lines, comments. Never raises for what the bytes say.

    `name` is what findings call the list.
    """
    lines = io.BytesIO(content) if isinstance(content, bytes) else content
    entries: dict[str, str] = {}
    findings: list[Finding] = []
    start = 0
    for number, line in enumerate(iter(partial(lines.readline, LONGEST_LINE), b""), 1):
        if len(line) == LONGEST_LINE:
            return Parsed(
                {}, [Finding("malformed", f"{name}:{number}", "this line is too long: this is not a text list of digests")]
            )
        try:
            text = line.decode().removesuffix("\n")
        except UnicodeDecodeError as error:
            message = f"byte {start + error.start} is not UTF-8: this is not a text list of digests"
            return Parsed({}, [Finding("malformed", name, message)])
        start += len(line)
        if finding := _add(entries, text, name, number):
            findings.append(finding)
    if not entries and not findings:
        findings.append(Finding("malformed", name, "the list names no file"))
    if not entries and len(findings) > 1 and all(finding.code == "malformed" for finding in findings):
        message = f"no list of sha256 digests: none of its {len(findings)} lines is one; first {findings[0].message}"
        findings = [Finding("malformed", name, message)]
    return Parsed(entries, findings)


def _add(entries: dict[str, str], line: str, name: str, number: int) -> Finding | None:
    """Add what the line lists, or return what is wrong with it."""
    digest, path = _fields(line)
    if path is None:
        ignored = not line.strip() or line.startswith("#")
        return None if ignored else Finding("malformed", f"{name}:{number}", _why_malformed(line))
    path = path.removeprefix("./")  # as `find . -type f | xargs sha256sum` writes it
    try:
        listed = entries.setdefault(safe_path(path), digest)
    except UnsafePath as error:
        return Finding("unsafe-path", f"{name}:{number}", f"{error}; not followed", actual=path)
    if listed is digest:
        return None
    subject = f"{name}:{number}"
    if listed == digest:
        return Finding("duplicate", subject, f"{path} is listed twice", actual=path)
    return Finding("conflict", subject, f"{path} is listed with two different digests", listed, digest)


def _fields(line: str) -> tuple[str, str | None]:
    if match := _PLAIN.fullmatch(line):
        return match[1].lower(), match[2]
    if match := _BSD_TAG.fullmatch(line):
        return match[2].lower(), match[1]
    if line.startswith("\\") and (match := _PLAIN.fullmatch(line[1:])):
        return match[1].lower(), match[2]  # GNU escaping: the path holds a backslash, and safe_path refuses it
    return "", None


def _why_malformed(line: str) -> str:
    if line.endswith("\r"):
        return "the line ends with CRLF; sha256sum would look for a name that ends in a carriage return"
    if match := _OTHER_TAG.fullmatch(line):
        return f"a {match[1]} digest; only SHA256 is checked"
    return "not a line of sha256sum: 64 hex digits, two spaces (or a space and *), a path"
