"""Check a folder against the list of digests in it, and say what lies there that nothing lists: of folders of any kind."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import msgspec

from aqea_registry.base.files import PART
from aqea_registry.base.findings import BadConfiguration, Finding
from aqea_registry.base.progress import Reporter
from aqea_registry.base.sha256_list import MANIFEST, PAYLOAD, SIZES, TAGS
from aqea_registry.verification.verify_list import CheckedList, verify_list

LIST_NAMES = (
    *("MANIFEST.sha256", MANIFEST, "SHA256SUMS", "SHA256SUMS.txt", "sha256sums.txt", "sha256sum.txt", "checksums.txt"),
    PAYLOAD,
)
PAGE = "README.md"  # people put one beside a list; it is named in a note
RECORD = "release.json"  # what stores keep beside a release's files
# What programs are known to leave beside files, folders first: counted, not looked at. docs/findings.md has the same list.
LEFT_BY_PROGRAMS = (
    *(".git", ".cache/huggingface", ".aqea-incoming", ".gitattributes", ".gitignore", ".DS_Store", "Thumbs.db", "desktop.ini"),
    ".NAME.PID-RANDOM.part",
)


def verify_folder(folder: Path, report: Reporter) -> CheckedList:
    """Check a folder against its list, or as a download of a release; a file that nothing lists is a finding, a page a note."""
    name, downloaded = list_in(folder), (folder / RECORD).is_file()
    if name is None and not downloaded:
        raise BadConfiguration(
            f"{folder} has no list of digests ({', '.join(LIST_NAMES)})", "name the list: aqea-registry verify LIST --root DIR"
        )
    tags = [folder / TAGS] if name == PAYLOAD and (folder / TAGS).is_file() else []
    listing = verify_list(folder / name, folder, report, *tags) if name else CheckedList(target=RECORD)
    known = {name, SIZES} if name == MANIFEST else {name}
    there = frozenset(present(folder, ("",)))
    if downloaded or any("--" in path for path in there):
        from aqea_registry.verification.verify_download import verify_download

        listing, more = verify_download(folder, listing, there, report)
        known |= more
    known |= {*listing.digests, *(finding.subject for finding in listing.findings)}
    extra, notes = surplus(there, {*known, PAGE})
    notes += [f"{PAGE} is not in the list: it was not checked"] if PAGE in there - known else []
    if name == PAYLOAD and (free := [finding.subject for finding in extra if not finding.subject.startswith("data/")]):
        extra = [finding for finding in extra if finding.subject not in free]
        notes.append(f"a bag need not list what is not in data/; not checked: {', '.join(free)}")
    return msgspec.structs.replace(
        listing, target=str(folder), findings=(*listing.findings, *extra), notes=(*listing.notes, *notes)
    )


def list_in(folder: Path) -> str | None:
    """The list of digests in a folder, if it has one; what is not a file there is refused when it is read."""
    there = (name for name in LIST_NAMES if (folder / name).exists() and not (folder / name).is_dir())
    return next(there, None)


def surplus(
    there: Iterable[str], known: Collection[str | None], why: str = "the manifest does not list it"
) -> tuple[list[Finding], list[str]]:
    """Of the files that are there, those that are not known: findings, and a note that counts what programs leave."""
    findings, left = list[Finding](), Counter[str]()
    for path in sorted(set(there).difference(known)):
        if (kind := _left_by_programs(path)) is None:
            findings.append(Finding("unexpected", path, f"the file exists and {why}"))
        else:
            left[kind] += 1
    counts = ", ".join(f"{count} {kind}" for kind, count in left.items())
    return findings, [f"{left.total()} files that programs leave beside others were not looked at: {counts}"] if left else []


def _left_by_programs(path: str) -> str | None:
    if PART.fullmatch(path.rpartition("/")[2]):
        return LEFT_BY_PROGRAMS[-1]
    return next((name for name in LEFT_BY_PROGRAMS if f"/{name}/" in f"/{path}/"), None)


def present(root: Path, folders: Iterable[str]) -> Iterator[str]:
    """Every file in these folders, and what is not walked into: links to folders, and what cannot be opened."""
    for folder in folders:
        unreadable = list[OSError]()
        for at, below, names in os.walk(root / folder, onerror=unreadable.append):
            inner = Path(at).relative_to(root)
            links = [name for name in below if Path(at, name).is_symlink()]
            yield from (os.path.normpath(f"{inner}/{name}") for name in (*names, *links))
        yield from (os.path.relpath(error.filename, root) for error in unreadable if not isinstance(error, FileNotFoundError))
