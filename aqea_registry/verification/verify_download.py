"""Check a release in a folder as the Hub's client or GitHub's page gives it: against its record, release.json, as well.

On GitHub a file is an asset with `--` for `/`, or several parts, and `SHA256SUMS` lists the assets. On the Hub's main branch
the attachments of all releases lie beside the newest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from aqea_registry.attestations.made import judge_statements
from aqea_registry.attestations.statement import NAME as STATEMENT
from aqea_registry.base.files import FileDigest, UnsafePath, hash_file, inside, read_small
from aqea_registry.base.findings import Finding
from aqea_registry.base.progress import Reporter
from aqea_registry.base.sha256_list import parse_list
from aqea_registry.stores.attachments import NAME as STATUS
from aqea_registry.stores.attachments import current
from aqea_registry.stores.github.assets import PARTS, SUMS, Parts, asset_name
from aqea_registry.stores.release import LARGEST_MANIFEST, RECORD, NotARelease, Release, StoredFile, compare_with_store, parse
from aqea_registry.verification.verify_list import CheckedList, digest_findings, hash_listed, read_findings

_ATTACHMENT = re.compile(rf"(attachments/[^/]+/|attachment\.)({STATUS.pattern}|{STATEMENT.pattern})")


def verify_download(folder: Path, listing: CheckedList, there: Sequence[str], report: Reporter) -> tuple[CheckedList, set[str]]:
    """Check what the list did not find under its path, and all that stores add. Returns also which paths those are."""
    texts, findings = _texts(folder, there)
    release, parts, sums = _parsed(texts, findings)
    layers = release.files() if release else {}
    at = {path: flat for path in {*listing.listed, *layers}.difference(there) if (flat := asset_name(path)) in there}
    names = {*at.values(), *layers, *sums}.intersection(there).difference(listing.digests)
    hashed, errors, _ = hash_listed(folder, names, report)
    by_name = listing.digests | hashed
    found = {path: by_name[name] for path, name in at.items() if name in by_name} | _joined(folder, parts)
    digests = by_name | found

    findings += [finding for finding in listing.findings if finding.code != "missing" or finding.subject not in found]
    findings += [*read_findings(folder, errors), *digest_findings(folder, listing.listed, found)]
    reported = {finding.subject for finding in findings}
    reported |= {asset_name(subject) for subject in reported}
    findings += [finding for finding in digest_findings(folder, sums, by_name) if finding.subject not in reported]
    extra = {*texts, *(part.name for file in parts.files.values() for part in file.parts)}
    if release is not None:
        stored = (_stored(path, digests.get(path)) for path in layers if path not in reported)
        findings += compare_with_store(RECORD, release, stored)
        beyond = {*listing.listed, *sums}.difference(layers, map(asset_name, layers), extra)
        findings += [Finding("unexpected", path, f"the list names it, and {RECORD} does not") for path in sorted(beyond)]
    wrong, notes = _attachments({path: text for path, text in texts.items() if _ATTACHMENT.fullmatch(path)}, release)
    notes += [f"{len(at)} files lie under the names of their assets on GitHub"] if at else []
    checked = msgspec.structs.replace(
        listing,
        files=len(listing.digests) + len(hashed) + len(found) - len(at),
        bytes=sum(digest.size for path, digest in digests.items() if path not in at),
        findings=tuple(dict.fromkeys([*findings, *wrong])),
        notes=(*listing.notes, *notes),
        digests=digests,
    )
    return checked, {*extra, *sums, *by_name}


def _texts(folder: Path, there: Iterable[str]) -> tuple[dict[str, bytes], list[Finding]]:
    """The small files that stores add to a release, and which of them cannot be read."""
    texts, errors = dict[str, bytes](), dict[str, OSError | UnsafePath]()
    for path in there:
        if path in (RECORD, PARTS, SUMS) or _ATTACHMENT.fullmatch(path):
            try:
                texts[path] = read_small(inside(folder, path), LARGEST_MANIFEST)
            except (OSError, UnsafePath) as error:
                errors[path] = error
    return texts, [*read_findings(folder, errors)]


def _parsed(texts: Mapping[str, bytes], findings: list[Finding]) -> tuple[Release | None, Parts, dict[str, str]]:
    """The record, the files in parts and the digests of assets, as far as they are there; what is wrong is added."""
    release, parts, sums = None, Parts(), dict[str, str]()
    try:
        release = parse(texts[RECORD]) if RECORD in texts else None
    except NotARelease as error:
        findings.append(Finding("malformed", RECORD, f"not a release: {error}"))
    try:
        parts = msgspec.json.decode(texts[PARTS], type=Parts) if PARTS in texts else parts
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        findings.append(Finding("malformed", PARTS, f"not a list of parts: {error}"))
    if SUMS in texts:
        sums, wrong, _ = parse_list(texts[SUMS], SUMS)
        findings += wrong
    return release, parts, sums


def _joined(folder: Path, parts: Parts) -> dict[str, FileDigest]:
    """The digests of files that lie in parts; what is not whole is missing."""
    joined = {}
    for path, file in parts.files.items():
        try:
            joined[path] = hash_file(*(inside(folder, part.name) for part in file.parts))
        except (OSError, UnsafePath):
            continue
    return joined


def _stored(path: str, digest: FileDigest | None) -> StoredFile:
    if digest is None:
        return StoredFile(path=path, how="not there")
    return StoredFile(path=path, how="hashed", digest=f"sha256:{digest.sha256}", size=digest.size)


def _attachments(documents: Mapping[str, bytes], release: Release | None) -> tuple[list[Finding], list[str]]:
    """What is wrong with the documents beside this release, and what they say; those beside others are counted."""
    findings, notes, others = list[Finding](), list[str](), 0
    if release is not None:
        notes.append(f"{RECORD} names the release {release.digest()}")
    beside: dict[str, dict[str, bytes]] = {}
    for path, content in documents.items():
        if match := _ATTACHMENT.fullmatch(path):
            beside.setdefault(match[1], {})[match[2]] = content
    for place, texts in beside.items():
        if release is None or not any(release.digest()[7:].encode() in content for content in texts.values()):
            others += len(texts)
            continue
        wrong, said = judge_statements(texts, release, place)
        findings += wrong
        if mark := current(texts, release.digest()):
            notes.append(f"the release is {mark.text()}")
        notes += said
    notes += [f"{others} documents beside other releases were not looked at"] if others else []
    return findings, notes
