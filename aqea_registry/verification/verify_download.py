"""Check a release in a folder as the Hub's client or GitHub's page gives it: against its record, release.json, as well.

On GitHub a file is an asset with `--` for `/`, or several parts, and `SHA256SUMS` lists the assets. On the Hub the attachments
of all releases lie beside the newest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from contextlib import suppress
from pathlib import Path

from aqea_registry.attestations.made import judge_statements
from aqea_registry.attestations.statement import NAME as STATEMENT
from aqea_registry.base.files import Limit, UnsafePath, hash_file, inside, read_small
from aqea_registry.base.findings import BadConfiguration, Finding
from aqea_registry.base.progress import Reporter
from aqea_registry.base.sha256_list import parse_list
from aqea_registry.base.strict import convert, load_json
from aqea_registry.stores.attachments import NAME as STATUS
from aqea_registry.stores.attachments import current
from aqea_registry.stores.github.assets import PARTS, SUMS, Parts, asset_name
from aqea_registry.stores.release import RECORD, NotARelease, Release, StoredFile, compare_with_store, parse
from aqea_registry.verification.verify_list import CheckedList, digest_findings, hash_listed, read_findings

_ATTACHMENT = re.compile(rf"(attachments/[^/]+/|attachment\.)({STATUS.pattern}|{STATEMENT.pattern})")


def verify_download(folder: Path, listing: CheckedList, there: Set[str], report: Reporter) -> tuple[CheckedList, set[str]]:
    """Check what the list did not find under its path, and all that stores add. Returns also which paths those are."""
    texts, errors = _texts(folder, there)
    release, parts, sums, wrong = _parsed(texts)
    findings = [finding for finding in wrong if finding.subject not in listing.listed]  # what it lists may be another program's
    layers = release.files() if release else {}
    at = {path: flat for path in {*listing.listed, *layers}.difference(there) if (flat := asset_name(path)) in there}
    names = {*at.values(), *layers, *sums}.intersection(there).difference(listing.digests)
    hashed, unread, _ = hash_listed(folder, names, report)
    by_name = listing.digests | hashed
    found = {path: by_name[name] for path, name in at.items() if name in by_name}
    for path, file in parts.files.items():
        with suppress(OSError, UnsafePath):  # what is not whole is missing
            found[path] = hash_file(*(inside(folder, part.name) for part in file.parts))
    digests = by_name | found

    findings += [finding for finding in listing.findings if finding.code != "missing" or finding.subject not in found]
    findings += [*read_findings(folder, errors | unread), *digest_findings(folder, listing.listed, found)]
    reported = {finding.subject for finding in findings}
    reported |= {asset_name(subject) for subject in reported}
    findings += [finding for finding in digest_findings(folder, sums, by_name) if finding.subject not in reported]
    extra = {*texts, *(part.name for file in parts.files.values() for part in file.parts)}
    notes = [f"{len(at)} files lie under the names of their assets on GitHub"] if at else []
    if release is not None:
        notes.append(f"{RECORD} names the release {release.digest()}")
        stored = list[StoredFile]()
        for path in sorted({*layers} - reported):
            digest, size = (f"sha256:{digests[path].sha256}", digests[path].size) if path in digests else (None, None)
            stored.append(StoredFile(path=path, how="hashed" if digest else "not there", digest=digest, size=size))
        findings += compare_with_store(RECORD, release, stored)
        beyond = {*listing.listed, *sums}.difference(layers, map(asset_name, layers), extra)
        findings += [Finding("unexpected", path, f"the list names it, and {RECORD} does not") for path in sorted(beyond)]
        _judge_attachments(texts, release, findings, notes)
    own = [digest for path, digest in digests.items() if path not in at]
    checked = CheckedList(
        target=listing.target,
        files=len(own),
        bytes=sum(digest.size for digest in own),
        findings=tuple(dict.fromkeys(findings)),
        notes=(*listing.notes, *notes),
        digests=digests,
    )
    return checked, {*extra, *sums, *by_name, *errors}


def _texts(folder: Path, there: Set[str]) -> tuple[dict[str, bytes], dict[str, OSError | UnsafePath]]:
    """The small files that stores add to a release, and which of them cannot be read."""
    texts, errors = dict[str, bytes](), dict[str, OSError | UnsafePath]()
    attachments = filter(_ATTACHMENT.fullmatch, there) if RECORD in there else ()
    for path in sorted(there & {RECORD, PARTS, SUMS} | {*attachments}):
        try:
            texts[path] = read_small(inside(folder, path), Limit.STATEMENT)
        except (OSError, UnsafePath) as error:
            errors[path] = error
    return texts, errors


def _parsed(texts: Mapping[str, bytes]) -> tuple[Release | None, Parts, dict[str, str], list[Finding]]:
    """The record, the files in parts and the digests of assets, as far as they are there, and what is wrong with them."""
    release, parts, findings = None, Parts(), list[Finding]()
    try:
        release = parse(texts[RECORD]) if RECORD in texts else None
    except NotARelease as error:
        findings.append(Finding("malformed", RECORD, f"not a release: {error}"))
    try:
        parts = convert(load_json(texts[PARTS], PARTS), Parts, PARTS) if PARTS in texts else parts
        names = [part.name for file in parts.files.values() for part in file.parts]
        if len({*names}) < len(names):  # or a small file could make us read a large one many times
            parts = Parts()
            findings.append(Finding("malformed", PARTS, "a part is named twice"))
    except BadConfiguration as error:
        findings.append(Finding("malformed", PARTS, error.message))
    sums = parse_list(texts[SUMS], SUMS) if SUMS in texts else None
    findings += sums.findings if sums else []
    return release, parts, sums.entries if sums else {}, findings


def _judge_attachments(texts: Mapping[str, bytes], release: Release, findings: list[Finding], notes: list[str]) -> None:
    """Add what the documents beside this release say and what is wrong with them; those beside others are counted."""
    beside, others = dict[str, dict[str, bytes]](), 0
    for match in filter(None, map(_ATTACHMENT.fullmatch, texts)):
        beside.setdefault(match[1], {})[match[2]] = texts[match[0]]
    for place, documents in beside.items():
        if not any(release.digest()[7:].encode() in content for content in documents.values()):
            others += len(documents)
            continue
        wrong, said = judge_statements(documents, release, place)
        mark = current(documents, release.digest())
        findings += wrong
        notes += [*([f"the release is {mark.text()}"] if mark else []), *said]
    notes += [f"{others} documents beside other releases were not looked at"] if others else []
