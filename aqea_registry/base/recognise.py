"""What a file is that stands where a model or data file should: a pointer, a web page, nothing at all.

Such files come of a clone without git-lfs, of a download that met a login page, of a full disk. Their first bytes show it:
no table, configuration or weights begin that way.
"""

import codecs
import hashlib
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from aqea_registry.base.findings import CannotCheck, Finding

HEAD = 4096  # bytes that are looked at
LARGEST_HEADER = 100_000_000  # bytes of a header that readers of safetensors take
CONFLICT = "a merge conflict that is not resolved"
MAY_BE_ANYTHING = (".md", ".html", ".htm")  # prose may begin as a web page does
NEVER_EMPTY = (".json", ".jsonl", ".parquet", ".gz", ".csv", ".tsv", ".txt", ".safetensors", ".bin", ".pt", ".onnx", ".model")

# Where a format has bytes that no file of it lacks: the offset, and what may be there.
_ALWAYS = {".safetensors": (8, (b"{",)), ".parquet": (0, (b"PAR1", b"PARE")), ".gz": (0, (b"\x1f\x8b",))}
_SPEC = rb"version https://(?:git-lfs|hawser)\.github\.com/spec/"
_LFS = re.compile(_SPEC + rb"v1\n(?:ext-[^\n]+\n)*oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,18})\n?\Z")
_PAGE = rb"(<!--.*?-->\s*|<\?xml[^>]*>\s*)*<(!doctype html|html|head|body|script)\b"
_KNOWN = (
    (re.compile(_SPEC), "a Git LFS pointer that cannot be read"),
    (re.compile(rb"\.?[\w./-]*/annex/objects/\S+\s*\Z"), "a pointer of git-annex"),
    (re.compile(rb"# xet version "), "a Xet pointer"),
    (re.compile(rb"<{7} "), f"a text with {CONFLICT}"),
    (re.compile(rb"-----BEGIN PGP (MESSAGE|SIGNATURE)-----"), "an OpenPGP message or a signature"),
    (re.compile(_PAGE, re.I | re.S), "a web page (HTML)"),
    (re.compile(rb"<(\?xml|error)\b", re.I), "an XML document, such as a server's error"),
    (re.compile(rb"((entry|repository) not found|invalid username or password)\.?\s*\Z", re.I), "a server's answer"),
)


# Other digests that have 64 hex digits, too: a list does not say which its are.
_AS_LONG: dict[str, Any] = {
    "SHA3-256": hashlib.sha3_256,
    "BLAKE2s": hashlib.blake2s,
    "BLAKE2b-256": partial(hashlib.blake2b, digest_size=32),
}
_SIDES = re.compile(rb"^(?:<(?=<{6} )|=(?=={6}\r?$)|>(?=>{6} ))", re.M)
_MARK = re.compile(rb"^(<{7}|>{7}) ", re.M)
_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%b\nsize %d\n"


class LfsPointer(NamedTuple):
    """What Git keeps in place of a large file: the file's sha256 in hex, and its size in bytes."""

    sha256: str
    size: int


def lfs_pointer(head: bytes) -> LfsPointer | None:
    """The pointer that these bytes are, if they are one."""
    match = _LFS.match(head.replace(b"\r\n", b"\n"))
    return LfsPointer(match[1].decode(), int(match[2])) if match else None


def what_it_is(head: bytes, path: str = "") -> str | None:
    """What the first HEAD bytes show a file to be instead of what its name says: the end of a sentence, NAME is ..."""
    if not head:
        return "empty, not the file; get it again" if not path or path.endswith(NEVER_EMPTY) else None
    if pointer := lfs_pointer(head):
        return f"a Git LFS pointer to sha256 {pointer.sha256} ({pointer.size} bytes), not the file; run: git lfs pull"
    if path.endswith(MAY_BE_ANYTHING):
        return None
    if not head.strip(b"\0"):
        return "nothing but zero bytes, not the file; get it again"
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    kind = next((kind for pattern, kind in _KNOWN if pattern.match(start)), None)
    at, marks = _ALWAYS.get(PurePosixPath(path).suffix, (0, (b"",)))
    kind = kind or (None if head.startswith(marks, at) else "damaged or of another format: it does not begin as such files do")
    return f"{kind}, not the file; get it again" if kind else None


def document_text(content: bytes, name: str, errors: str = "strict") -> str:
    """The text of a document in UTF-8. Raises UnicodeDecodeError, and CannotCheck for a pointer of Git LFS or two versions."""
    if lfs_pointer(content[:HEAD]):
        raise CannotCheck(f"{name}: it is {what_it_is(content[:HEAD])}")
    if b"<=>" in b"".join(_SIDES.findall(content)):  # a text may have one of these lines for other reasons
        raise CannotCheck(f"{name}: {conflict(content)}", one_side(name))
    return content.decode("utf-8-sig", errors)


def conflict(content: bytes) -> str | None:
    """Where Git left two versions of a text for its user to choose from, if it did."""
    mark = _MARK.search(content)  # somebody may have removed one of them
    number = content.count(b"\n", 0, mark.start()) + 1 if mark else 0
    return f"line {number}: {CONFLICT}" if mark else None


def in_its_place(content: bytes) -> str | None:
    """What stands in the place of a document that is never empty: a conflict, or what is not the file at all."""
    return conflict(content) or (f"it is {what}" if content and (what := what_it_is(content[:HEAD])) else None)


def one_side(path: str) -> str:
    """What resolves it, during the merge and after it: Git then takes the file from its index."""
    return f"git checkout --theirs {path} (or --ours)"


def why_other(content: bytes, actual: tuple[str, int], wanted: str, path: str = "") -> str | None:
    """Why a file of the `actual` digest and size has not the `wanted` one (hex, sha256 or md5), where that can be proved."""
    if actual[0] == wanted:
        return None
    if actual[1] == 0:
        return "the file is empty"
    if _is(b"", wanted):
        return "the listed digest is that of an empty file"
    if _is(_POINTER % (actual[0].encode(), actual[1]), wanted):
        return "the listed digest is that of the file's Git LFS pointer"
    if pointer := lfs_pointer(content[:HEAD]):
        what = "the listed bytes" if pointer.sha256 == wanted else f"sha256 {pointer.sha256}"
        return f"the file is a Git LFS pointer to {what}; run: git lfs pull"
    if name := next((name for name, make in _AS_LONG.items() if content and make(content).hexdigest() == wanted), None):
        return f"the listed digest is the file's {name}, and only sha256 is compared"
    for changes, text in _spellings(content) if content and b"\0" not in content else ():  # not too large, and a text
        if _is(text, wanted):
            cause = "; git: core.autocrlf" if "LF" in changes[0] else ""
            return f"{' and '.join(filter(None, changes))} the file has the listed digest{cause}"
    other = what_it_is(content[:HEAD], path) if content and path.endswith(NEVER_EMPTY) else None
    return conflict(content) or (f"it is {other}" if other else None)


def _spellings(content: bytes) -> Iterator[tuple[list[str], bytes]]:
    """The text as editors and Git write it anew: what is changed, line ends first, and the bytes."""
    bare, mark = content.removeprefix(codecs.BOM_UTF8), codecs.BOM_UTF8
    starts = {mark: "with a byte order mark", b"": "without its byte order mark"} | {content[: len(content) - len(bare)]: ""}
    for name, end in (("LF", b"\n"), ("CRLF", b"\r\n"), ("CR", b"\r")):
        text = bare.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", end)
        ends, cut = "" if text == bare else f"with {name} line endings", text.removesuffix(end)
        for last, whole in (("", text), ("with a newline at its end", text + end), ("without the newline at its end", cut)):
            yield from (([ends, last, kind], start + whole) for start, kind in starts.items())


def _is(content: bytes, wanted: str) -> bool:
    return hashlib.new("md5" if len(wanted) == 32 else "sha256", content, usedforsecurity=False).hexdigest() == wanted


def content_finding(head: bytes, path: str, subject: str | None = None, size: int | None = None) -> Finding | None:
    """The finding for a file that is not what its name says, by its first bytes; of weights, the header, and by its size."""
    what = what_it_is(head, path) or (_cut_off(head, size) if size is not None and path.endswith(".safetensors") else None)
    return Finding("malformed", subject or path, f"{path} is {what}") if what else None


def _cut_off(head: bytes, size: int) -> str | None:
    """Whether weights have another size than their header, a JSON object behind its length, gives them."""
    start = 8 + int.from_bytes(head[:8], "little")
    try:
        tensors = json.loads(head[8:start])
        named = start + max((tensors[name]["data_offsets"][1] for name in tensors if name != "__metadata__"), default=0)
    except (ValueError, LookupError, TypeError, RecursionError):
        return "damaged, and its header cannot be read; get it again"
    return f"damaged: it has {size} bytes, and by its header {named}; get it again" if size != named else None


def canonical_findings(content: bytes, canonical: bytes, name: str) -> list[Finding]:
    """A finding if a file that only this program writes is not, to the byte, what it writes."""
    if content == canonical:
        return []
    if content.replace(b"\r\n", b"\n") == canonical:
        return [Finding("malformed", f"{name}:1", "not in canonical form: it is, with LF line endings; git: core.autocrlf")]
    here, there = content.split(b"\n"), canonical.split(b"\n")
    line = next((n for n, (a, b) in enumerate(zip(here, there, strict=False), 1) if a != b), min(len(here), len(there)))
    return [Finding("malformed", f"{name}:{line}", "not in canonical form: edited by hand or damaged; write it again")]
