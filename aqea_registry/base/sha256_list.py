"""Lists of sha256 digests, read from anybody in the dialects that programs write, and written in one canonical form.

What `sha256sum -c` accepts is accepted; besides it a byte order mark, UTF-16, OpenPGP's clear-signed text, a digest alone in
NAME.sha256, and BagIt's manifests (RFC 8493). Law: `parse_list(render(entries)).entries == entries`.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Annotated, BinaryIO, NamedTuple

import msgspec

from aqea_registry.base.files import UnsafePath, safe_path
from aqea_registry.base.findings import Finding, Refused
from aqea_registry.base.recognise import CONFLICT, HEAD, one_side, what_it_is

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z", description="64 hex digits")]
MANIFEST = "manifests/MANIFEST.sha256"
SIZES = "manifests/MANIFEST.sizes"
LEFT_OUT = "manifests/LEFT_OUT"  # paths of the manifest that the release had not which this project was made of
PAYLOAD, TAGS = "manifest-sha256.txt", "tagmanifest-sha256.txt"  # of a bag
LONGEST_LINE = 1 << 24
LARGEST_UTF16 = 1 << 25  # bytes: it is read whole
BARE, CRLF = "a digest without a file name", "lines that end in CRLF"
SIGNED, SIGNIFY = "OpenPGP clear-signed text", "a text that signify signed"
SIGNATURES = (".asc", ".gpg", ".minisig", ".sig", ".sign")  # what the name of a signature adds to that of the list
_PLAIN = re.compile(r"([0-9A-Fa-f]{64}) [ *](.+)(?<!\r)")
_GNU = re.compile(r"([ \t]*)\\?([0-9A-Fa-f]{64})[ \t](.+)")
_BSD_TAG = re.compile(r"[ \t]*\\?(?:SHA256|SHA2-256) ?\((.+)\)[ \t]*=[ \t]*([0-9A-Fa-f]{64})")
_BAGIT_ESCAPE = re.compile("%(0[AaDd]|25)")
_ALONE = re.compile(r"[ \t]*([0-9A-Fa-f]{64})[ \t]*")
_OTHER_TAG = re.compile(r"(?!SHA(?:2-)?256 ?\()([A-Z0-9][A-Za-z0-9/-]*) ?\((.+)\) ?= ?[0-9A-Fa-f]+")
_DIGITS = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{32,}(?![0-9A-Za-z])")
_KINDS = {32: "MD5", 40: "SHA-1", 56: "SHA-224", 64: "SHA-256", 96: "SHA-384", 128: "SHA-512 or BLAKE2b"}
_OTHER_LINE = re.compile(rf"(?:{'|'.join(rf'[0-9A-Fa-f]{{{length}}}' for length in _KINDS if length != 64)})[ \t][ *]?(.+)")
_NO_LINE = "not a line of sha256sum: 64 hex digits, two spaces (or a space and *), a path"
_OF_A_FILE = re.compile(r"(.+)\.sha256(?:sum)?(?:\.txt)?", re.I)
_BLAKE3 = re.compile(r"(?<![a-z0-9])(?:blake3|b(?:lake)?3sums?)(?![a-z0-9])|\.b3$", re.I)
_PIPES = ("-", "stdin")  # what programs call bytes that they read from a pipe
_ARMOUR = {  # the part of a signed list that ends, the line that ends it, and the part that begins
    ("", "-----BEGIN PGP SIGNED MESSAGE-----"): "head",
    ("outside", "-----BEGIN PGP SIGNED MESSAGE-----"): "head",
    ("head", ""): "text",
    ("text", "-----BEGIN PGP SIGNATURE-----"): "signature",
    ("signature", "-----END PGP SIGNATURE-----"): "outside",
}


class Parsed(NamedTuple):
    """The usable lines of a list, path to hex digest in its order, what was wrong with the others, and unusual forms met."""

    entries: dict[str, str]
    findings: list[Finding]
    forms: tuple[str, ...] = ()

    def notes(self, name: str) -> Iterator[str]:
        """How the list of this name was read, and what was not checked."""
        if self.forms:
            whose = f", that of {', '.join(self.entries)} by the list's own name" if BARE in self.forms else ""
            yield f"{name}: read as {', '.join(self.forms)}{whose}"
        for form, command in ((SIGNED, f"gpg --verify {name}"), (SIGNIFY, f"signify -V -e -p KEY -x {name} -m -")):
            if form in self.forms:
                yield f"{name} is signed; the signature was not checked: {command}"
        if _BLAKE3.search(name):
            yield f"{name}: by its name its digests are of BLAKE3, which are as long; only sha256 is compared: b3sum -c {name}"


def render(entries: Mapping[str, str]) -> bytes:
    """The canonical list: `sha256  path` lines, sorted by path, one final newline. `sha256sum -c` accepts it."""
    return "".join(f"{entries[path]}  {path}\n" for path in sorted(entries)).encode()


def parse_list(content: bytes | BinaryIO, name: str) -> Parsed:
    """Read a list line by line. Never raises for what the bytes say. `name` is what findings call the list."""
    reader = _Reader(name)
    try:
        for number, line in enumerate(_lines(content, reader), 1):
            reader.read(line, number)
    except Refused as error:
        return Parsed({}, [*error.findings])
    return reader.end()


def _lines(content: bytes | BinaryIO, reader: _Reader) -> Iterator[str]:
    """The lines as texts, without their newlines. Raises Refused for what is not text."""
    lines = io.BytesIO(content) if isinstance(content, bytes) else content
    first, start = lines.readline(LONGEST_LINE), 0
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        reader.forms["UTF-16 text"] = None
        whole = first + lines.read(LARGEST_UTF16)
        try:  # of one that is not whole the mark is already an error
            lines = io.BytesIO(whole.decode("utf-16" if len(whole) <= LARGEST_UTF16 else "utf-8").encode())
        except UnicodeDecodeError as error:
            raise Refused.of("malformed", reader.name, "UTF-16 text that is damaged or large; save it as UTF-8") from error
        first = lines.readline(LONGEST_LINE)
    if b"\r" in first[:-1] and b"\n" not in first and len(first) < LONGEST_LINE:
        reader.forms["lines that end in CR"] = None
        lines = io.BytesIO(first.replace(b"\r", b"\n"))
        first = lines.readline(LONGEST_LINE)
    for number, line in enumerate(chain([first], iter(partial(lines.readline, LONGEST_LINE), b"")), 1):
        if len(line) == LONGEST_LINE:
            message = "this line is too long: this is not a text list of digests"
            raise Refused.of("malformed", f"{reader.name}:{number}", message)
        try:
            yield line.decode().removesuffix("\n")
        except UnicodeDecodeError as error:
            message = f"byte {start + error.start} is not UTF-8: this is not a text list of digests"
            raise Refused.of("malformed", reader.name, message) from error
        start += len(line)


class _Reader:
    """The lines of a list so far: what they list, and in which forms."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.forms = dict[str, None]()  # a set in order
        self._entries, self._findings = dict[str, str](), list[Finding]()
        self._nameless: list[str] = []  # digests
        self._others = dict[Finding, str]()  # of lines of other algorithms, the paths
        self._head = ""  # the first unusual lines
        self._conflict = False
        self._part = ""  # of a signed list
        self._single: bool | None = None  # one blank before each path: sha256sum then takes a second one for the path's
        if bag := name in (PAYLOAD, TAGS):
            self.forms["a manifest of BagIt"] = None
        self._bag, self._usual = bag, not bag

    def read(self, line: str, number: int) -> None:
        """Add what the line lists, or what is wrong with it. Of the usual form one expression reads it."""
        if self._usual and (match := _PLAIN.fullmatch(line)):
            self._single = False
            self._add(match[1], match[2], number)
        else:
            self._read_unusual(line, number)
            self._usual = not (self._single or self._bag or self._conflict) and self._part in ("", "text")

    def _read_unusual(self, line: str, number: int) -> None:
        self._head += f"{line[:HEAD]}\n" if len(self._head) < HEAD else ""
        if line.endswith("\r"):  # one, as for sha256sum
            line = line[:-1]
            self.forms[CRLF] = None
        if line.startswith("\ufeff"):  # of the first line, and where lists were joined
            line = line.lstrip("\ufeff")
            self.forms["UTF-8 text with a byte order mark"] = None
        if line.startswith(("<<<<<<< ", ">>>>>>> ")) and not self._conflict:
            self._wrong(number, f"line {number}: {CONFLICT}; run: {one_side(self.name)}")
            self._conflict = True
        if line.startswith("untrusted comment: ") and number == 1:
            self.forms[SIGNIFY] = None
        if SIGNIFY in self.forms and number <= 2:  # the comment, and the signature of all that follows
            return
        if self._conflict:  # which of the two sides is right, nobody knows yet
            self._conflict = not line.startswith(">>>>>>> ")
            return
        if part := _ARMOUR.get((self._part, line.rstrip())):
            self.forms[SIGNED] = None
            if self._entries and not self._part:
                self._wrong(number, f"the {len(self._entries)} files that are listed above are not in the signed text")
                self._entries.clear()
            self._part = part
            return
        if self._part == "text":
            line = line.removeprefix("- ")
        if fields := self._fields(line):
            if self._part in ("", "text"):
                self._add(*fields, number)
            else:
                self._wrong(number, f"{fields[1]} is listed outside the signed text")
        elif line.strip() and not line.startswith(("#", ";")) and self._part not in ("head", "signature"):
            if match := _ALONE.fullmatch(line):
                self._nameless.append(match[1])
            self._wrong(number, BARE if match else _why_malformed(line))
            if self._part != "outside" and (other := _OTHER_TAG.fullmatch(line) or _OTHER_LINE.fullmatch(line)):
                self._others[self._findings[-1]] = other[other.lastindex or 0].removeprefix("./")

    def _fields(self, line: str) -> tuple[str, str] | None:
        """Digest and path, if the line has them."""
        if match := _BSD_TAG.fullmatch(line):
            self.forms["BSD tags"] = None
            return match[2], match[1]
        match = _GNU.fullmatch(line)
        if match is None or not match[3].strip():
            return None
        leading, digest, path = match.groups()  # of an escaped path the backslashes stay, and safe_path refuses them
        if self._bag:
            path = path.lstrip(" \t").removeprefix("*")
            return digest, _BAGIT_ESCAPE.sub(lambda code: chr(int(code[1], 16)), path)
        if len(path) > 1 and path[0] in " *" and not self._single:
            self._single, path = False, path[1:]
        elif self._single is False:
            return None  # as for sha256sum: the same path could be read in two ways
        else:
            self._single = True
            self.forms["lines with one blank before the path"] = None
        if leading:
            self.forms["lines with blanks before the digest"] = None
        return digest, path

    def _add(self, digest: str, path: str, number: int) -> None:
        digest, path = digest.lower(), path.removeprefix("./")  # as `find . -type f | xargs sha256sum` writes it
        try:
            listed = self._entries.setdefault(safe_path(path), digest)
        except UnsafePath as error:
            self._wrong(number, f"{error}; not followed", "unsafe-path", actual=path)
            return
        if listed != digest:
            self._wrong(number, f"{path} is listed with two different digests", "conflict", listed, digest)
        elif listed is not digest:
            self._wrong(number, f"{path} is listed twice", "duplicate", actual=path)

    def _wrong(
        self, number: int, message: str, code: str = "malformed", expected: str | None = None, actual: str | None = None
    ) -> None:
        self._findings.append(Finding(code, f"{self.name}:{number}", message, expected, actual))

    def end(self) -> Parsed:
        """What was read, and what is wrong with the list as a whole."""
        entries, findings = self._entries, self._findings
        digests = [*self._nameless, *(entries[path] for path in _PIPES if path in entries)]
        if len(digests) == len(entries) + len(findings) == 1 and (match := _OF_A_FILE.fullmatch(self.name)):
            entries.clear()
            findings.clear()
            self.forms[BARE] = None
            self._add(digests[0], match[1], 1)
        if both := {finding for finding, path in self._others.items() if path in entries}:
            findings = [finding for finding in findings if finding not in both]
            self.forms["sha256 beside other digests of the same files, which were not checked"] = None
        if self._part not in ("", "outside"):
            findings.append(Finding("malformed", self.name, "the signed text has no end: the list was cut off"))
        if not entries and not findings:
            findings.append(Finding("malformed", self.name, "the list names no file"))
        if not entries and self._head and (what := what_it_is(self._head.encode())):
            findings = [Finding("malformed", self.name, f"it is {what}")]
        if not entries and len(findings) > 1 and all(finding.code == "malformed" for finding in findings):
            first = next((finding.message for finding in findings if finding.message != _NO_LINE), _NO_LINE)
            message = f"no list of sha256 digests: none of its {len(findings)} lines is one; first {first}"
            findings = [Finding("malformed", self.name, message)]
        return Parsed(entries, findings, tuple(self.forms))


def _why_malformed(line: str) -> str:
    if "\0" in line:
        return "it holds NUL bytes; if this is UTF-16 without a mark, save it as UTF-8"
    lengths = [len(digits) for digits in _DIGITS.findall(line)]
    tag = _OTHER_TAG.fullmatch(line)
    kind = tag[1] if tag else _KINDS.get(64 if 64 in lengths else lengths[0]) if lengths else None
    if kind == "SHA-256":
        return f"{_NO_LINE}; it has a digest in another form"
    return f"the digest is {kind}; only SHA256 is checked" if kind else _NO_LINE
