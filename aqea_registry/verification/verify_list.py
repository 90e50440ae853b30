"""Check files against a list of digests from anybody, without a project: only `base` is loaded.

The pass over bytes that every verification makes: find the files, hash each once, say what differs from what is listed.
"""

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from io import BufferedReader
from operator import itemgetter
from pathlib import Path

import msgspec

from aqea_registry.base.files import LARGEST_TEXT, FileDigest, Limit, UnsafePath, locate, open_regular, size_of, why_other
from aqea_registry.base.findings import CannotCheck, Finding
from aqea_registry.base.progress import Reporter, hash_shown
from aqea_registry.base.references import asset_name
from aqea_registry.base.sha256_list import BARE, CRLF, Parsed, parse_list

MOST_LOOKED_FOR, MOST_LOOKED_INTO = 1000, 1 << 28  # absent files, and bytes of others, whose cause is looked for
LEAST = 1 << 18  # bytes that one of these counts for at least
ABSENT = (FileNotFoundError, NotADirectoryError)


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared: how many files were hashed, and all that is wrong."""

    target: str
    files: int = 0
    bytes: int = 0
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


class CheckedList(Verified, frozen=True, kw_only=True):
    """A list of digests, or a folder with one: `listed` as the list has them, `digests` of the files that are there."""

    listed: dict[str, str] = {}
    digests: dict[str, FileDigest] = {}


def verify_list(path: Path, root: Path, report: Reporter, *more: Path) -> CheckedList:
    """Check files below `root` against lists of anybody's, in the forms that `sha256_list` reads. Raises CannotCheck."""
    listed, findings, notes, absent = dict[str, str](), list[Finding](), list[str](), "file not found"
    for at in (path, *more):
        parsed = _parsed(at)
        listed = listed | parsed.entries if listed else parsed.entries
        findings += parsed.findings
        notes += parsed.notes(at.name)
        if BARE in parsed.forms:
            absent += f"; {at.name} holds {BARE}"
        if CRLF in parsed.forms and (others := [f"{name}\r" for name in listed if os.path.lexists(root / f"{name}\r")]):
            notes.append(f"not checked: {len(others)} files whose names end in a carriage return, first {others[0]!r}")
    digests, errors, _ = hash_listed(root, listed, report)
    size, found = sum(digest.size for digest in digests.values()), tuple(notes)
    wrong = (*findings, *read_findings(root, errors, absent), *digest_findings(root, listed, digests))
    return CheckedList(
        target=str(path), files=len(digests), bytes=size, findings=wrong, notes=found, listed=listed, digests=digests
    )


def _parsed(path: Path) -> Parsed:
    try:
        if path.stat().st_size > Limit.LIST:
            raise CannotCheck(f"{path} has over {Limit.LIST} bytes; that is not a list of digests")
        handed = path.parent == Path("/dev/fd")  # by the shell, as `<(sha256sum *)`; any other pipe may never be written to
        with path.open("rb") if handed else BufferedReader(open_regular(path)) as lines:
            return parse_list(lines, path.name)
    except OSError as error:
        raise CannotCheck(f"{path} cannot be read: {error.strerror}") from error


def hash_listed(
    root: Path, listed: Iterable[str], report: Reporter, others: Iterable[Path] = (), md5: frozenset[str] = frozenset()
) -> tuple[dict[str, FileDigest], dict[str, OSError | UnsafePath], dict[str, FileDigest | OSError]]:
    """Hash each listed file below `root` and each other path in one pass: sha256, and md5 of those in `md5`.

    Returns the digests and the errors by listed path, and both by path on this machine.
    """
    paths, sizes, errors = locate(root, sorted(listed))
    sizes |= {str(path): size_of(path) for path in others}
    by_path = hash_shown(sizes, report, md5=frozenset(paths[path] for path in md5 if path in paths))
    digests = {}
    for relative, path in paths.items():
        if isinstance(digest := by_path[path], OSError):
            errors[relative] = digest
        else:
            digests[relative] = digest
    return digests, errors, by_path


def read_findings(root: Path, errors: Mapping[str, OSError | UnsafePath], absent: str = "file not found") -> Iterator[Finding]:
    """What was not followed, then what could not be read, and why."""
    in_order = sorted(errors.items(), key=itemgetter(0))
    for path, error in in_order:
        if isinstance(error, UnsafePath):
            yield Finding("unsafe-path", path, f"{error}; not followed")
    looked = 0
    for path, error in in_order:
        if isinstance(error, ABSENT):
            looked += 1
            yield Finding("missing", path, absent + (_instead(root, path) if looked <= MOST_LOOKED_FOR else ""))
        elif isinstance(error, OSError):
            yield Finding("unreadable", path, f"cannot be read: {error.strerror or error}")


def _instead(root: Path, path: str) -> str:
    """What is in the place of an absent file, as the end of a sentence; or nothing."""
    # File systems and archives of macOS write names in the second form, others keep what they get.
    others = {f"in another Unicode form, {form},": unicodedata.normalize(form, path) for form in ("NFC", "NFD")}
    others |= {"without blanks or quotes at its ends": path.strip(" \t\x85\xa0'\""), "at the top": path.rpartition("/")[2]}
    others |= {"without the mark of shasum's other modes": path[1:] if path[0] in "?^U" else ""}
    for form, other in others.items():
        if other not in ("", path) and os.path.lexists(root / other):
            return f"; a file of the same name {form} is here"
    if "/" in path and os.path.lexists(root / (asset := asset_name(path))):
        return f"; {asset} is here, as GitHub names such a file: verify the folder, which knows these names"
    location = root / path
    if location.is_symlink():
        target = str(location.readlink())
        return f"; a symbolic link to {target} is here{'; run: git annex get' if '/annex/objects/' in target else ''}"
    return f"; {path}.dvc is here; run: dvc pull {path}.dvc" if Path(f"{location}.dvc").is_file() else ""


def digest_findings(root: Path, listed: Mapping[str, str], digests: Mapping[str, FileDigest]) -> Iterator[Finding]:
    """Findings for files whose bytes are not the listed ones, with the cause where it can be proved."""
    left = MOST_LOOKED_INTO
    for path, digest in sorted(digests.items()):
        if listed.get(path, digest.sha256) != digest.sha256:
            why = why_other(root / path, digest, listed[path]) if left > 0 else ""
            left -= max(LEAST, min(digest.size, LARGEST_TEXT))
            yield Finding("mismatch", path, f"the bytes are not those that the list names{why}", listed[path], digest.sha256)
