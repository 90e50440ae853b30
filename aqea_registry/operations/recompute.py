"""Scores from bytes: the chain to a pair file is checked first, then its scores are computed again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from aqea_registry.core.catalogue import load_yaml
from aqea_registry.core.dvclock import NAME as DVC_LOCK
from aqea_registry.core.dvclock import parameter_findings, parse_dvc_lock
from aqea_registry.core.files import hash_file
from aqea_registry.core.findings import BadConfiguration, Finding
from aqea_registry.core.manifest import MANIFEST, parse
from aqea_registry.core.metrics import Metrics
from aqea_registry.core.paths import UnsafePath, inside
from aqea_registry.core.pins import LOCK
from aqea_registry.core.reporting import Reporter
from aqea_registry.core.resolving import Missing
from aqea_registry.operations.examine import examine, expected_of
from aqea_registry.operations.project import PARAMS, Project, pairs_path

BROKEN = "broken-chain"


def read_manifest(project: Project) -> tuple[dict[str, str], list[Finding]]:
    """What the manifest lists, path to hex sha256, and what is wrong with it."""
    try:
        content = (project.root / MANIFEST).read_bytes()
    except OSError as error:
        return {}, [Finding(code="missing", subject=MANIFEST, message=f"cannot be read: {error.strerror}; run: dvc repro")]
    return parse(content, MANIFEST)


def recompute(
    project: Project, keys: Iterable[str], listed: Mapping[str, str], report: Reporter
) -> tuple[dict[str, Metrics | Missing], list[Finding]]:
    """The scores of these pair sets of the run, each file read once.

    A pair file that is not the manifest's, or was made from other pins than the lock has now, gives none: a finding says why.
    """
    scores: dict[str, Metrics | Missing] = {}
    findings: list[Finding] = []
    wanted = list(keys)
    stale = _stale_stages(project) if wanted else {}
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


def _stale_stages(project: Project) -> dict[str, list[Finding]]:
    """By pair set, where dvc.lock says that its stage ran with other pins or parameters than there are now."""
    try:
        lock = parse_dvc_lock((project.root / DVC_LOCK).read_bytes())
        files = {PARAMS: load_yaml((project.root / PARAMS).read_bytes(), PARAMS), LOCK: msgspec.to_builtins(project.lock)}
    except (OSError, BadConfiguration):
        return {}  # what was made without dvc has no stage to be held to
    stages = {key: f"generate@{key}" for key in project.params.run.pairs}
    return {key: parameter_findings(lock, files, frozenset({stage})) for key, stage in stages.items() if stage in lock.stages}
