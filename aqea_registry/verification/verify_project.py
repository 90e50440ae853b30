"""Check a checkout: everything that it says about itself. Collect every finding, judge at the end, change nothing.

Scores from bytes: the chain to a pair file is checked first, then its scores are computed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from aqea_registry.attestations.made import read_attested
from aqea_registry.base.files import FileDigest, UnsafePath, hash_file, inside
from aqea_registry.base.findings import Finding, Missing, Refused
from aqea_registry.base.progress import Reporter
from aqea_registry.base.sha256_list import MANIFEST, SIZES, untracked
from aqea_registry.project.dvc_lock import (
    output_findings,
    parameter_findings,
    parameters,
    read_dvc_lock,
    stale_stages,
    unmade_findings,
)
from aqea_registry.project.lock import LOCK, pin_findings, render_lock
from aqea_registry.project.manifest import canonical_findings, parse_sizes, read_manifest, render_sizes
from aqea_registry.project.project import (
    DATA,
    METRICS,
    PARAMS,
    Project,
    benchmark_text,
    expected_of,
    export_path,
    metrics_path,
    metrics_text,
    pairs_path,
)
from aqea_registry.sources.fetch import PinnedPlace, pinned_places, place_finding
from aqea_registry.sources.port import sources_of
from aqea_registry.vectors.examine import Examined, examine
from aqea_registry.vectors.margin import thin_findings
from aqea_registry.vectors.scores import Metrics
from aqea_registry.verification.verify_list import digest_findings, hash_listed, present, read_findings


class CheckedProject(msgspec.Struct, frozen=True, kw_only=True):
    """A checkout held against all that it records about itself. `pair_sets` are those that can be read, by name."""

    target: str
    files: int
    bytes: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    digests: dict[str, FileDigest]
    pair_sets: dict[str, Examined]


def verify_project(project: Project, report: Reporter) -> CheckedProject:
    """Check every arrow of a checkout: pins, sources, dvc.lock, pair sets, metrics, manifest. See docs/findings.md."""
    content, listed, findings = read_manifest(project)
    lock, lock_findings = read_dvc_lock(project)
    findings += lock_findings
    expected = set(project.manifest_paths())
    findings += [_unlisted(path) for path in sorted(expected - set(listed))] if content else []

    current = lock.only(project.stages())
    made = current.outputs().keys()
    source_places, notes, source_findings = _sources(project)
    source_paths = [item.place for item in source_places]
    digests, errors, by_path = hash_listed(project.root, {*listed, *expected, *made}, report, source_paths, frozenset(made))
    findings += [*source_findings, *read_findings(errors)]
    findings += [finding for item in source_places if (finding := place_finding(item, by_path[str(item.place)]))]

    findings += digest_findings(listed, digests)
    findings += _size_findings(project, listed, digests)
    findings += output_findings(current, digests)
    if not lock_findings:
        findings += unmade_findings(current, listed, frozenset({LOCK}))
        findings += parameter_findings(current, parameters(project), project.stages())
    others = {metrics_path(key) for run in project.params.runs.values() for key in run.pairs}  # of the other runs, in git
    findings += untracked(present(project.root, (DATA, METRICS)), {*listed, *expected}, others)
    pair_sets, pair_findings = _pair_sets(project, digests)
    findings += pair_findings
    findings += _statements(project, listed)
    if project.params.precision != "canonical":
        message = "vectors computed in float32 differ from machine to machine; set precision: canonical and run: dvc repro"
        findings.append(Finding(code="not-canonical", subject=f"{PARAMS}: precision", actual="float32", message=message))
    files = [digest for digest in by_path.values() if isinstance(digest, FileDigest)]
    return CheckedProject(
        target=str(project.root),
        files=len(files),
        bytes=sum(digest.size for digest in files),
        findings=_once(findings),
        notes=tuple(notes),
        digests=digests,
        pair_sets=pair_sets,
    )


def _sources(project: Project) -> tuple[list[PinnedPlace], list[str], list[Finding]]:
    places: list[PinnedPlace] = []
    notes: list[str] = []
    findings: list[Finding] = []
    for group, name, entry, pin in project.used():
        findings += pin_findings(group, name, entry, pin)
        if pin is None:
            continue
        sources = sources_of(project, name, pin.commit)
        if not any(source.present() for source in sources):
            notes.append(f"no source of {name} is on this machine; its pinned bytes were not looked at")
        for item in pinned_places(name, pin, sources):
            if isinstance(item, Finding):
                findings.append(item)
            else:
                places.append(item)
    lock = project.root / LOCK
    if lock.exists():
        findings += canonical_findings(lock.read_bytes(), render_lock(project.lock), LOCK)
    return places, notes, findings


def _size_findings(project: Project, listed: Mapping[str, str], digests: Mapping[str, FileDigest]) -> list[Finding]:
    try:
        content = (project.root / SIZES).read_bytes()
    except OSError as error:
        return [Finding(code="missing", subject=SIZES, message=f"cannot be read: {error.strerror}; run: dvc repro")]
    sizes, findings = parse_sizes(content, SIZES)
    findings = findings or canonical_findings(content, render_sizes(sizes), SIZES)
    if not findings and set(sizes) != set(listed):
        findings.append(
            Finding(code="malformed", subject=SIZES, message="it names other files than the manifest; run: dvc repro")
        )
    for path, size in sorted(sizes.items()):
        if path in digests and digests[path].size != size:
            message = "the file has another size than recorded"
            findings.append(
                Finding(
                    code="mismatch",
                    subject=path,
                    expected=f"{size} bytes",
                    actual=f"{digests[path].size} bytes",
                    message=message,
                )
            )
    return findings


def _pair_sets(project: Project, digests: Mapping[str, FileDigest]) -> tuple[dict[str, Examined], list[Finding]]:
    good: dict[str, Examined] = {}
    bad: set[str] = set()
    findings: list[Finding] = []
    for key, pair in project.params.run.pairs.items():
        if pairs_path(pair) not in digests:
            continue
        examined, wrong = examine(project.root / pairs_path(pair), pairs_path(pair), expected_of(project, pair))
        findings += wrong
        if examined is None:
            continue
        good[key] = examined
        bad |= {key} if wrong else set()
        path = metrics_path(key)
        if path in digests:
            text = metrics_text(examined.metrics, examined.header.n_pairs, examined.header.dimension, project.params.precision)
            findings += _derived(project.root / path, path, text)
    for export in project.params.run.exports.values():
        path = export_path(export.file, export.format)
        key = next(key for key, pair in project.params.run.pairs.items() if pair.file == export.file)
        if export.format == "benchmark" and path in digests and key in good and key not in bad:
            try:
                findings += _derived(
                    project.root / path,
                    path,
                    benchmark_text(project, key, good[key], digests[pairs_path(project.params.run.pairs[key])]),
                )
            except Refused as error:
                findings += error.findings
    return good, findings


def _statements(project: Project, listed: Mapping[str, str]) -> list[Finding]:
    """What statements on the pair sets say otherwise than the manifest, and margins that are thin. There may be none."""
    findings: list[Finding] = []
    for key, pair in project.params.run.pairs.items():
        files = {path: listed[path] for path in (pairs_path(pair), metrics_path(key)) if path in listed}
        attested, wrong = read_attested(project, key, files)
        findings += wrong
        if attested is not None and attested.margin is not None:
            findings += thin_findings(pairs_path(pair), attested.margin)
    return findings


def _derived(place: Path, path: str, text: bytes) -> list[Finding]:
    if place.read_bytes() == text:
        return []
    return [Finding(code="wrong-metric", subject=path, message="it does not say what the pair file says; run: dvc repro")]


def _once(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings without those that say of a subject again what was said of it: two checks may see one fault."""
    return tuple({(one.code, one.subject): one for one in reversed(list(findings))}.values())[::-1]


def _unlisted(path: str) -> Finding:
    return Finding(code="missing", subject=path, message=f"the run makes it, and {MANIFEST} does not list it; run: dvc repro")


BROKEN = "broken-chain"


def recompute(
    project: Project, keys: Iterable[str], listed: Mapping[str, str], report: Reporter
) -> tuple[dict[str, Metrics | Missing], list[Finding]]:
    """The scores of these pair sets of the run, each file read once.

    A pair file that is not the manifest's, or was made from other pins than the lock has now, gives none: a finding says why.
    """
    scores: dict[str, Metrics | Missing] = {}
    findings: list[Finding] = []
    wanted = list(keys)
    stale = stale_stages(project) if wanted else {}
    with report.task("recompute", len(wanted), "pair sets") as advance:
        for key in wanted:
            scores[key], wrong = _scores(project, key, listed, stale)
            findings += wrong
            advance(1)
    return scores, findings


def _scores(
    project: Project, key: str, listed: Mapping[str, str], stale: Mapping[str, list[Finding]]
) -> tuple[Metrics | Missing, list[Finding]]:
    pair = project.params.run.pairs[key]
    path = pairs_path(pair)
    try:
        place = inside(project.root, path)
        sha256 = hash_file(place).sha256
    except (OSError, UnsafePath) as error:
        why = error.strerror if isinstance(error, OSError) else error
        return Missing("missing-file", f"{path}: cannot be read: {why}; run: dvc repro"), []
    findings = [*_listed_findings(path, sha256, listed), *stale.get(key, ())]
    if findings:
        return Missing(BROKEN, f"the chain to {key} is broken: {findings[0].subject}: {findings[0].message}"), findings
    examined, wrong = examine(place, path, expected_of(project, pair))
    if examined is None or wrong:
        return Missing(BROKEN, f"{key} is not sound: {wrong[0].subject}: {wrong[0].message}"), wrong
    return examined.metrics, []


def _listed_findings(path: str, sha256: str, listed: Mapping[str, str]) -> list[Finding]:
    if path not in listed:
        return [Finding(code="broken-link", subject=path, message=f"{MANIFEST} does not list it; run: dvc repro")]
    if listed[path] == sha256:
        return []
    message = "the bytes are not those that the manifest names"
    return [Finding(code="mismatch", subject=path, expected=listed[path], actual=sha256, message=message)]
