"""Check a checkout: everything that it records about itself. Collect every finding, judge at the end, change nothing.

`recompute` gives scores from bytes: the chain to a pair file is checked first, then its scores are computed again.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import msgspec

from aqea_registry.attestations.made import FOLDER, KEPT, MADE, confirmation_findings, statement_findings, statement_notes
from aqea_registry.attestations.statement import NAME
from aqea_registry.base.extras import PARTS
from aqea_registry.base.files import FileDigest, UnsafePath, hash_file, holds, inside, why_other
from aqea_registry.base.findings import CannotCheck, Finding, Refused, Unchecked
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.base.recognise import canonical_findings
from aqea_registry.base.sha256_list import LEFT_OUT, MANIFEST, SIZES
from aqea_registry.project.artefact import (
    DECIDED,
    FORMATS,
    LEFT,
    OWN_FOLDERS,
    AnyArtefact,
    Artefact,
    CatalogueEntry,
    PairSetArtefact,
    TaskScores,
    VectorSetArtefact,
    metrics_text,
)
from aqea_registry.project.lock import LOCK, Manifest, output_findings, pin_findings, render_lock
from aqea_registry.project.params import Params
from aqea_registry.project.project import MANY, PARAMS, STAGES, Project, RunRecord
from aqea_registry.sources.fetch import LocalFile, local_file_findings, local_files
from aqea_registry.sources.kinds import sources_of
from aqea_registry.stores.receipts import RECEIPTS
from aqea_registry.vectors.containers.pair_json import Examined, examine
from aqea_registry.vectors.margin import read_decided
from aqea_registry.vectors.scores import Metrics
from aqea_registry.verification.verify_folder import present, surplus
from aqea_registry.verification.verify_list import Verified, digest_findings, hash_listed, read_findings
from aqea_registry.verification.verify_results import CheckedVectors, check_vector_sets, decided_value_findings, read_result

AWAY = "left out of the release that this project was made of; dvc repro makes it (with one stage for all, generate does)"
RECORDS = ("manifests", MADE)
RECORD = re.compile(  # what commands write there and read again
    rf"{LOCK}|{MANIFEST}|{SIZES}|{LEFT_OUT}|{RECEIPTS}/[^/]+\.json|manifests/claims/[^/]+\.yaml"
    rf"|(?:{MADE}|{KEPT}|{FOLDER})/{NAME.pattern}"
)
IGNORED = re.compile(r"/(\.gitignore|\..*\.part|__pycache__/.*|.*\.aqed)\Z")


class CheckedProject(Verified, frozen=True, kw_only=True):
    """A checkout compared with all that it records about itself. Pair sets are those that can be read, by name.

    `vector_sets` are those that are sound and have their result.
    """

    digests: dict[str, FileDigest]
    pair_sets: dict[str, Examined]
    vector_sets: dict[str, CheckedVectors] = msgspec.field(default_factory=dict)


def verify_project(project: Project, report: Reporter) -> CheckedProject:
    """Check a checkout: pins, sources, dvc.lock, pair sets, metrics, manifest. See docs/findings.md."""
    run, params = project.run, project.params
    source_files, unsourced, unpinned = _pins([project.catalogue[name] for name in run.pins()])
    surplus, counted = _surplus(run, params)
    stated, stale = statement_findings(run.root, run.made.values(), run.manifest.digests)
    hashed = _hash(run, [file.path for file in source_files], report)
    pair_sets, wrong_pair_sets = check_pair_sets(run.root, run.artefacts.values(), hashed.digests)
    vector_sets, wrong_vector_sets, unable = _vector_sets(run, hashed.digests)
    findings = [
        *_record_findings(run),
        *unpinned,
        *(canonical_findings(run.pins_file, render_lock(run.lock), LOCK) if run.pins_file is not None else ()),
        *_byte_findings(run, hashed, source_files),
        *confirmation_findings(run.root),
        *run.stage_findings(),
        *surplus,
        *wrong_pair_sets,
        *wrong_vector_sets,
        *decided_findings(run.root, run.made.values()),
        *stated,
        *_precision(params),
    ]
    away = [f"{path}: {AWAY}" for path in hashed.away]
    notes = (*run.remarks(), *away, *unsourced, *counted, *stale, *unable, *statement_notes(run.root), *_many(run))
    files = [digest for digest in hashed.by_path.values() if isinstance(digest, FileDigest)]
    return CheckedProject(
        target=str(run.root),
        files=len(files),
        bytes=sum(digest.size for digest in files),
        # Of what two checks see of a subject the first counts.
        findings=tuple({(finding.code, finding.subject): finding for finding in reversed(findings)}.values())[::-1],
        notes=notes,
        digests=hashed.digests,
        pair_sets=pair_sets,
        vector_sets=vector_sets,
    )


class _Hashed(NamedTuple):
    """What one pass over the bytes found: digests and errors by path in the project, both by path on this machine, and
    which files are away because the release had them not that this project was made of.
    """

    digests: dict[str, FileDigest]
    errors: dict[str, OSError | UnsafePath]
    by_path: dict[str, FileDigest | OSError]
    away: list[str]


def _hash(run: RunRecord, sources: Sequence[Path], report: Reporter) -> _Hashed:
    """Hash what the manifest or dvc.lock names, what the run makes, and the files of sources. MD5 is what DVC keeps."""
    made = run.dvc_lock
    in_folders = {path for path in present(run.root, made.folders) if not IGNORED.search(path)}
    by_dvc = frozenset({*made.outputs(), *in_folders})
    digests, errors, by_path = hash_listed(run.root, {*run.manifest.digests, *run.paths(), *by_dvc}, report, sources, by_dvc)
    away = [path for path in run.left_out if isinstance(errors.get(path), FileNotFoundError) and errors.pop(path)]
    return _Hashed(digests, errors, by_path, away)


def _byte_findings(run: RunRecord, hashed: _Hashed, sources: Iterable[LocalFile]) -> Iterator[Finding]:
    """What cannot be read, and files of other bytes than the pins, the manifest, its sizes or dvc.lock have."""
    yield from read_findings(run.root, hashed.errors)
    for file in sources:
        yield from local_file_findings(file, hashed.by_path[str(file.path)])
    yield from digest_findings(run.root, run.manifest.digests, hashed.digests)
    yield from _size_findings(run.manifest, hashed.digests)

    def why(path: str, md5: str) -> str:  # of what the manifest lists, it was said above
        return "" if path in run.manifest.digests else why_other(run.root / path, hashed.digests[path], md5)

    yield from output_findings(run.dvc_lock, hashed.digests, why)


def _many(run: RunRecord) -> Iterator[str]:
    count = len(run.made)
    if count > MANY and not run.one_stage:
        yield f"{STAGES} has a stage for each of {count} artefacts, with which DVC is slow; see docs/scale.md"


def _vector_sets(
    run: RunRecord, digests: Mapping[str, FileDigest]
) -> tuple[dict[str, CheckedVectors], list[Finding], list[str]]:
    """As `check_vector_sets`, and a note where they cannot be read here."""
    try:
        return *check_vector_sets(run.root, run.vector_sets.values(), digests, run.left_out), []
    except CannotCheck as error:
        return {}, [], [f"{plural(len(run.vector_sets), 'vector set')} not read: {error.message}; {error.hint}"]


def _record_findings(run: RunRecord) -> Iterator[Finding]:
    """What is wrong with the manifest and with dvc.lock as files, and what the run makes and the manifest does not list."""
    yield from (*run.manifest.faults, *run.manifest.spelling, *run.unread)
    for path in sorted(set(run.paths()) - set(run.manifest.digests)) if run.manifest.content else ():
        yield Finding("missing", path, f"the run makes it, and {MANIFEST} does not list it; run: dvc repro")


def _surplus(run: RunRecord, params: Params) -> tuple[list[Finding], list[str]]:
    """Files in our own folders that nothing knows; notes on those that are not compared, because they are the author's."""
    left = {f"{folder}/{key}{end}" for key in params.keys for folder, end in LEFT}
    left |= {f"{DECIDED}/{key}.json" for key in (*params.keys, *run.lock.decided)}  # `pin` removes what left the run
    known = {*run.manifest.digests, *run.made_by(), *left, *(f"{folder}/.gitignore" for folder in (*OWN_FOLDERS, *RECORDS))}
    there = set(present(run.root, OWN_FOLDERS)) - known
    beside = {path for path in present(run.root, RECORDS) if not RECORD.fullmatch(path)} - known
    ours = there & {artefact.path(form) for artefact in run.artefacts.values() for form in FORMATS}
    shared = [
        folder for folder in (*OWN_FOLDERS, *RECORDS) for out in run.foreign if _within(out, folder) or _within(folder, out)
    ]
    theirs = {path for path in (there | beside) - ours if any(_within(path, folder) for folder in shared)}
    unknown, unread = surplus(there, ours | theirs), surplus(beside, theirs, "nothing reads it")
    findings, notes = unknown[0] + unread[0], unknown[1] + unread[1]
    if ours:
        notes.append(f"not compared: {plural(len(ours), 'file')} that export wrote and no list has: {', '.join(sorted(ours))}")
    if theirs:
        notes.append(f"not looked at: {plural(len(theirs), 'file')} in folders that other stages of dvc.lock write to")
    return findings, notes


def _within(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder}/")


def _precision(params: Params) -> Iterator[Finding]:
    if params.precision != "canonical":
        message = "vectors computed in float32 differ from machine to machine; set precision: canonical and run: dvc repro"
        yield Finding("not-canonical", f"{PARAMS}: precision", message, actual=params.precision)


def _pins(used: Sequence[CatalogueEntry]) -> tuple[list[LocalFile], list[str], list[Finding]]:
    """Where pinned files lie on this machine, notes on entries without a source here, and what is wrong with pins."""
    local, notes, findings = list[LocalFile](), list[str](), list[Finding]()
    for wanted in used:
        findings += pin_findings(wanted.name, wanted.entry, wanted.pin)
        if wanted.pin is not None:
            sources = sources_of(wanted, wanted.pin.commit)
            if not any(source.present() for source in sources):
                notes.append(f"no source of {wanted.name} is on this machine; its pinned bytes were not looked at")
            here, wrong = local_files(wanted.name, wanted.pin, sources)
            local += here
            findings += wrong
    return local, notes, findings


def _size_findings(manifest: Manifest, digests: Mapping[str, FileDigest]) -> Iterator[Finding]:
    """What is wrong with the sizes beside the manifest, and files that have another size."""
    yield from manifest.size_findings
    if not manifest.size_findings and set(manifest.sizes) != set(manifest.digests):
        yield Finding("malformed", SIZES, "it names other files than the manifest; run: dvc repro")
    for path, size in sorted(manifest.sizes.items()):
        if path in digests and (actual := digests[path].size) != size:
            yield Finding("mismatch", path, "the file has another size than recorded", f"{size} bytes", f"{actual} bytes")


def check_pair_sets(
    root: Path, artefacts: Iterable[PairSetArtefact], digests: Mapping[str, FileDigest]
) -> tuple[dict[str, Examined], list[Finding]]:
    """The pair sets that can be read, by key; and what is wrong with them and with the files that print their scores.

    `digests` has the files that are there, by their paths in the project that `root` is, or is laid out like.
    """
    readable, findings = dict[str, Examined](), list[Finding]()
    for artefact in (artefact for artefact in artefacts if artefact.file in digests):
        examined, wrong = examine(root / artefact.file, artefact.file, artefact.expected)
        findings += wrong
        if examined is None:
            continue
        readable[artefact.key] = examined
        if artefact.metrics in digests:
            findings += _derived(root, artefact.metrics, metrics_text(examined.metrics, examined.header, artefact.precision))
        if (path := artefact.benchmark) and path in digests and not wrong:
            try:
                findings += _derived(root, path, artefact.benchmark_text(examined, digests[artefact.file]))
            except Refused as error:
                findings += error.findings
    return readable, findings


def decided_findings(root: Path, artefacts: Iterable[Artefact]) -> Iterator[Finding]:
    """Where a list of decided values is not the one that the lock names, or the lock names none."""
    for artefact in artefacts:
        path, named = artefact.decided_list, artefact.decided
        try:
            if named is not None:
                values = read_decided(root, path, named.sha256, named.values).values
                if isinstance(artefact, VectorSetArtefact):  # a pair file has no keys of texts
                    yield from decided_value_findings(root / artefact.file, path, values)
            elif (root / path).exists():
                yield Finding("unexpected", path, f"{LOCK} does not name this list of decided values; run: dvc repro")
        except Refused as error:
            yield from error.findings


def _derived(root: Path, path: str, text: bytes) -> Iterator[Finding]:
    if not holds(root / path, text):
        yield Finding("wrong-metric", path, "it does not say what the pair file says; run: dvc repro")


Scores = dict[str, Metrics | TaskScores | Unchecked]


def recompute(run: RunRecord, keys: Iterable[str], report: Reporter) -> tuple[Scores, list[Finding]]:
    """The scores of these pair sets of the run, and the results of vector sets, which are read and not computed again.

    One of other bytes than the manifest's, or of other pins, gives none.
    """
    scores, findings = Scores(), list[Finding]()
    wanted = [run.made[key] for key in keys]
    with report.task("recompute", len(wanted), "pair sets") as advance:
        for artefact in wanted:
            scores[artefact.key], wrong = _scores(run, artefact)
            findings += wrong
            advance(1)
    return scores, findings


def _scores(run: RunRecord, artefact: AnyArtefact) -> tuple[Metrics | TaskScores | Unchecked, list[Finding]]:
    scores: Metrics | TaskScores | None
    key, digests = artefact.key, dict[str, FileDigest]()
    paths = [artefact.file, *([] if isinstance(artefact, PairSetArtefact) else [artefact.metrics])]
    for path in [*paths]:
        try:
            digests[path] = hash_file(inside(run.root, path))
        except (OSError, UnsafePath) as error:
            if isinstance(error, FileNotFoundError) and path in run.left_out:  # its result is as the release has it
                paths.remove(path)
                continue
            if unpinned := [wrong for wrong in artefact.pin_findings() if wrong.code == "unpinned"]:
                message = f"the run has {key}, which is not made yet; {unpinned[0].subject}: {unpinned[0].message}"
                return Unchecked("unresolved", message), []
            why = error.strerror if isinstance(error, OSError) else error
            able = isinstance(artefact, PairSetArtefact) or find_spec("mteb")
            again = "dvc repro" if able else f"pip install 'aqea-registry[{PARTS['a task of MTEB'][0]}]'"
            return Unchecked("missing-file", f"{path}: cannot be read: {why}; run: {again}"), []
    findings = [*digest_findings(run.root, run.manifest.digests, digests)]
    unlisted = f"{MANIFEST} does not list it; run: dvc repro"
    findings += [Finding("broken-link", path, unlisted) for path in paths if path not in run.manifest.digests]
    findings += run.stale_findings(artefact)
    if findings:
        message = f"the chain to {key} is broken: {findings[0].subject}: {findings[0].message}"
        return Unchecked("broken-chain", message), findings
    if isinstance(artefact, VectorSetArtefact):
        scores, wrong = read_result(run.root, artefact)
    else:
        examined, wrong = examine(inside(run.root, artefact.file), artefact.file, artefact.expected)
        scores = examined.metrics if examined is not None else None
    if scores is None or wrong:
        return Unchecked("broken-chain", f"{key} is not sound: {wrong[0].subject}: {wrong[0].message}"), wrong
    return scores, []
