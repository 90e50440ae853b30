"""A checkout as one snapshot: its small files are read once, and everything else is derived from what was read; its manifest.

Which commit recorded the run, git says: it is asked as a command, and changes nothing.
"""

import errno
import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from aqea_registry.base.files import FileDigest, Limit, read_small, write_bytes
from aqea_registry.base.findings import BadConfiguration, Finding, Refused, listed, suggestion
from aqea_registry.base.progress import Reporter, hash_shown, plural
from aqea_registry.base.sha256_list import LEFT_OUT, MANIFEST, SIZES, render
from aqea_registry.base.strict import load_yaml
from aqea_registry.project import lock as records
from aqea_registry.project.artefact import DECIDED, AnyArtefact, CatalogueEntry, PairSetArtefact, VectorSetArtefact
from aqea_registry.project.params import ArtefactName, Params, group_of, sources_for, to_params

PARAMS = "params.yaml"
STAGES = "dvc.yaml"
MANY = 200  # artefacts: DVC takes some 5 s to compare so many stages, and more than in proportion for more
ONE_STAGE = re.compile(rb"^ +cmd: aqea-registry generate *$", re.MULTILINE)  # that makes every artefact of the run
OWN = "aqea"  # the folder of a project in a repository that has files of these names of its own
CACHE = ".aqea"
GIT_SECONDS = 30
# No index is refreshed, and no program that the checkout's own configuration names is run.
QUIETLY = ("--no-optional-locks", "-c", "core.fsmonitor=false")


class Scope(Enum):
    """Whom a statement about a project is for. A release says only what every checkout of the same state says."""

    MACHINE = "machine"
    RELEASE = "release"


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What a run makes, and what pins, manifest and dvc.lock record of it.

    `stages` are those that dvc.yaml makes of it, each with its artefact; `dvc_lock` has no others, and is empty where it cannot
    be read: `unread` says why. Where `one_stage` makes every artefact, they are as if each had its own. `foreign` is what other
    stages made. `pins_file` are the bytes of the lock, None without one.
    `left_out` are vector sets, by path, that the release had not of which this project was made: they need not be here.
    """

    root: Path
    artefacts: Mapping[str, PairSetArtefact]
    vector_sets: Mapping[str, VectorSetArtefact]
    stages: Mapping[str, AnyArtefact | None]
    lock: records.Lock
    pins_file: bytes | None
    manifest: records.Manifest
    dvc_lock: records.DvcLock
    one_stage: bool
    foreign: frozenset[str]
    left_out: Mapping[str, VectorSetArtefact]
    unread: Sequence[Finding]
    plain_params: object

    @property
    def made(self) -> dict[str, AnyArtefact]:
        """Pair sets and vector sets by key: no two have one."""
        return {**self.artefacts, **self.vector_sets}

    def pins(self) -> dict[str, records.Pin | None]:
        """What the run rests on, datasets first."""
        inputs = [artefact.pins for artefact in self.made.values()]
        return {**dict(dataset for dataset, _ in inputs), **dict(model for _, model in inputs)}

    def remarks(self) -> list[str]:
        """What is said of pair sets that were given."""
        return [remark for artefact in self.artefacts.values() if (remark := artefact.remark)]

    def paths(self) -> list[str]:
        """What the manifest of this run lists: pair files, exports, Parquet views, vector sets, metrics, and the lock."""
        return sorted([*(path for artefact in self.made.values() for path in artefact.listed), records.LOCK])

    def made_by(self) -> dict[str, str]:
        """Path to stage, of everything that the run makes."""
        made = {path: stage for artefact in self.made.values() for path, stage in artefact.made_by.items()}
        return {MANIFEST: "manifest", SIZES: "manifest", **made}

    def stage_findings(self) -> list[Finding]:
        """Where dvc.lock says that what is here was made by no stage of the run, or from other parameters, or not at all."""
        if self.unread:
            return []
        unmade_yet = {made.stage: made for made in self.left_out.values() if made.stage not in self.dvc_lock.stages}
        listed = {path for path in self.manifest.digests if not path.startswith(f"{DECIDED}/")}  # in git, as the lock is
        listed -= {path for made in unmade_yet.values() for path in made.made_by}
        unmade = sorted(listed - set(self.dvc_lock.outputs()) - {records.LOCK})
        message = f"the manifest lists it, and no stage in dvc.lock makes it; {records.AGAIN}"
        files = self._plain if self.pins_file is not None else {PARAMS: self.plain_params}
        stale = records.parameter_findings(self.dvc_lock, files, frozenset(self.stages - unmade_yet.keys()))
        return [*(Finding("lock-stale", path, message) for path in unmade), *stale]

    def stale_findings(self, artefact: AnyArtefact) -> list[Finding]:
        """Where dvc.lock says that it was made from other pins or parameters. What DVC did not make is not stale."""
        return records.parameter_findings(self.dvc_lock, self._plain, frozenset({artefact.stage} & self.dvc_lock.stages.keys()))

    @cached_property
    def _plain(self) -> dict[str, Any]:
        """The files that stages take parameters from, as plain values."""
        return {PARAMS: self.plain_params, records.LOCK: msgspec.to_builtins(self.lock)}


@dataclass(frozen=True, kw_only=True)
class Project:
    """An opened checkout. `contents` are its small files as they were read, or why one was not."""

    root: Path
    params: Params
    lock: records.Lock
    plain_params: object
    contents: Mapping[str, bytes | OSError]

    @cached_property
    def catalogue(self) -> dict[str, CatalogueEntry]:
        """The entries of params.yaml with their pins, datasets first and sorted."""
        named = sorted(self.params.catalogue.items(), key=lambda named: (group_of(named[1]), named[0]))
        return {
            name: CatalogueEntry(name, entry, self.lock.get(name), sources_for(name, entry, self.params.sources), self.root)
            for name, entry in named
        }

    @cached_property
    def run(self) -> RunRecord:
        """What the run makes, and what is recorded of it."""
        dvc_lock, unread = records.read_dvc_lock(self.contents[records.DVC_LOCK])
        every: list[AnyArtefact] = [*self.artefacts.values(), *self.vector_sets.values()]
        made = {stage: artefact for artefact in every for stage in artefact.made_by.values()}
        stages, pins, foreign = {**made, "manifest": None}, self.contents[records.LOCK], dvc_lock.foreign()
        written = self.contents[STAGES]
        if not isinstance(written, FileNotFoundError):  # without it, nothing here was made by DVC
            unread += records.why_unusable(written, STAGES)
        if one_stage := isinstance(written, bytes) and ONE_STAGE.search(written) is not None:
            dvc_lock = dvc_lock.one_each({stage: artefact.in_one_stage(stage) for stage, artefact in made.items()})
        manifest, away = records.read_manifest(self.contents[MANIFEST], self.contents[SIZES]), self.contents[LEFT_OUT]
        gone = {*(b"" if isinstance(away, OSError) else away).decode(errors="replace").splitlines()} & manifest.digests.keys()
        return RunRecord(
            root=self.root,
            artefacts=self.artefacts,
            vector_sets=self.vector_sets,
            stages=stages,
            lock=self.lock,
            pins_file=None if isinstance(pins, OSError) else pins,
            manifest=manifest,
            dvc_lock=dvc_lock.only(stages),
            one_stage=one_stage,
            foreign=foreign,
            left_out={made.file: made for made in self.vector_sets.values() if made.file in gone},
            unread=unread,
            plain_params=self.plain_params,
        )

    @cached_property
    def artefacts(self) -> dict[str, PairSetArtefact]:
        """The pair sets of the run, by key."""
        found, verb = {}, "parquet" if self.params.versions is None else PairSetArtefact.verb
        exports = defaultdict[tuple[str, str, str], dict[str, str]](dict)
        for name, export in self.params.run.exports.items():
            exports[export.dataset, export.model, export.file][export.format] = name
        for key, pair in self.params.run.pairs.items():
            named = exports[pair.dataset, pair.model, pair.file]
            found[key] = PairSetArtefact(**self._inputs(key, pair), exports=named, view_stage=f"{verb}@{key}")
        return found

    @cached_property
    def vector_sets(self) -> dict[str, VectorSetArtefact]:
        """The vector sets of the run, by key."""
        return {key: VectorSetArtefact(**self._inputs(key, named)) for key, named in self.params.run.vectors.items()}

    def _inputs(self, key: str, named: ArtefactName) -> dict[str, Any]:
        """What all artefacts have."""
        dataset, model = named.dataset, self.params.models[named.model]
        return {
            "key": key,
            "dataset": dataset,
            "model": named.model,
            "stem": named.file,
            "dataset_entry": self.params.datasets[dataset],
            "model_entry": model,
            "dataset_pin": self.lock.datasets.get(dataset),
            "model_pin": self.lock.models.get(named.model),
            "precision": "given" if model.kind == "given" else self.params.precision,
            "decided": self.lock.decided.get(key),
        }

    def entries(self, names: Sequence[str]) -> list[CatalogueEntry]:
        """These entries of the catalogue, or all. Raises BadConfiguration for an unknown name."""
        unknown = [name for name in names if name not in self.catalogue]
        if unknown:
            message = f"params.yaml has no entry {unknown[0]!r}; it has {listed(sorted(self.catalogue), 20)}"
            raise BadConfiguration(message, suggestion(unknown[0], self.catalogue, "correct the name"))
        return [entry for name, entry in self.catalogue.items() if not names or name in names]


def is_project(folder: Path) -> bool:
    """Whether the folder's params.yaml is of this program, if only by a run with lists; it need not be correct YAML."""
    try:
        content = read_small(folder / PARAMS, Limit.PROJECT)
    except OSError:
        return False
    keys = rb"(?:^|[{,]\s*)[\"']?run[\"']? *:", rb"\b(pairs|vectors)[\"']? *:"  # the first in a block, or between braces
    return all(re.search(key, content, re.MULTILINE) for key in keys)


def find_project(start: Path) -> Path:
    """The folder of the project that `start` lies in, found as git finds its own; `start` if there is none.

    It is the nearest one that has a params.yaml of this program, itself or in its folder `aqea`.
    """
    above = Path(os.path.abspath(start)).parents  # not of `project/../other`: the project is not above it
    return next(filter(is_project, (root for folder in (start, *above) for root in (folder, folder / OWN))), start)


def small_text(path: Path, limit: int) -> str:
    """The text of a small file; of one that is not there, none. Raises OSError, also if it is not UTF-8."""
    try:
        return read_small(path, limit).decode() if os.path.lexists(path) else ""
    except UnicodeDecodeError as error:
        raise OSError(errno.EILSEQ, f"not text in UTF-8: {error}", str(path)) from error


def open_project(root: Path) -> Project:
    """Read the small files of a checkout. Raises BadConfiguration if it is none, or its catalogue or lock cannot be used."""
    contents = {
        path: _content(root / path) for path in (PARAMS, records.LOCK, MANIFEST, SIZES, LEFT_OUT, records.DVC_LOCK, STAGES)
    }
    params, lock = contents[PARAMS], contents[records.LOCK]
    none = f"{root} is not a project of aqea-registry: neither it nor a folder above it has a {PARAMS} of one"
    begin = "to begin one: aqea-registry init; or name one with -C DIR"
    if isinstance(params, FileNotFoundError):
        raise BadConfiguration(none, begin) from params
    for content in (params, lock):
        if isinstance(content, OSError) and not isinstance(content, FileNotFoundError):
            raise content
    assert isinstance(params, bytes)
    try:
        plain = load_yaml(params, PARAMS)
    except BadConfiguration as error:
        raise BadConfiguration(error.message, error.hint and f"{error.hint}, then: dvc repro") from error
    checked = to_params({} if plain is None else plain, params)
    if plain is None or plain.keys().isdisjoint(Params.__struct_fields__):
        raise BadConfiguration(none, begin)  # of the author's own stages alone
    pins = records.Lock() if isinstance(lock, OSError) else records.parse_lock(lock)
    return Project(root=root, params=checked, lock=pins, plain_params=plain, contents=contents)


def _content(path: Path) -> bytes | OSError:
    try:
        return read_small(path, Limit.LIST if path.name.startswith("MANIFEST") else Limit.PROJECT)
    except OSError as error:
        return error


def recorded_commit(root: Path) -> tuple[str | None, dict[str, str]]:
    """The commit that last changed dvc.lock, 40 hex digits, and facts about it; None and the reason if there is none."""
    try:
        state = _git(root, "rev-parse", "HEAD", "--is-shallow-repository")
        if state is None:
            return None, {"reason": "this is not a git repository, or it has no commit"}
        commit = _git(root, "log", "-1", "--format=%H", "--", records.DVC_LOCK) or ""
        changed = _git(root, "status", "--porcelain", "-z", "--untracked-files=no", "--", ".") or ""
    except FileNotFoundError:
        return None, {"reason": "git is not installed"}
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, {"reason": f"git does not answer: {error}"}
    head, _, shallow = state.partition("\n")
    paths = [entry[3:] for entry in changed.split("\0") if entry[2:3] == " "]
    facts = {"head": head, "uncommitted": f"{len(paths)} files" if paths else "nothing"}
    if not commit:
        return None, {"reason": f"{records.DVC_LOCK} is in no commit", **facts}
    if any(PurePosixPath(path).name == records.DVC_LOCK for path in paths):
        return None, {"reason": f"{records.DVC_LOCK} is not as it was last committed", "last commit": commit, **facts}
    if shallow == "true":
        facts["note"] = "the clone is shallow: an older commit may have recorded it"
    return commit, {"commit": commit, **facts}


def checked_out(root: Path) -> tuple[str, bool] | None:
    """The commit that is checked out, and whether tracked files were changed since; None where git knows no commit."""
    try:
        commit = _git(root, "rev-parse", "--verify", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if commit is None or changed is None else (commit, bool(changed))


def _git(root: Path, *words: str) -> str | None:
    """What git prints, without the last line end; None if it refuses."""
    command = ["git", "-C", str(root), *QUIETLY, *words]
    done = subprocess.run(command, capture_output=True, timeout=GIT_SECONDS, check=False)  # noqa: S603 - fixed words, no shell
    return done.stdout.decode("utf-8", "replace").rstrip("\n") if done.returncode == 0 else None


Files = dict[str, tuple[str, int]]  # path to hex sha256 and bytes


def write_manifest(root: Path, paths: Iterable[str], report: Reporter, left_out: Files | None = None) -> tuple[Files, bool]:
    """Hash these files below the root and write the manifest: path to (hex sha256, bytes), and whether it changed.

    Raises Refused if one is missing that was not `left_out` of a release; nothing is written. Those are listed beside it.
    """
    locations = {path: root / path for path in paths}
    digests = hash_shown(locations.values(), report)
    files, away, findings = Files(), list[str](), list[Finding]()
    for path, location in locations.items():
        digest = digests[location]
        if isinstance(digest, FileDigest):
            files[path] = (digest.sha256, digest.size)
        elif isinstance(digest, FileNotFoundError) and left_out and path in left_out:
            files[path] = left_out[path]
            away.append(path)
        else:
            findings.append(Finding("missing", path, f"cannot be read: {digest.strerror}"))
    if findings:
        message = f"{plural(len(findings), 'file')} of the run not found, first {findings[0].subject}"
        raise Refused(message, findings, "run: dvc repro")
    changed = write_bytes(root / MANIFEST, render({path: sha256 for path, (sha256, _) in files.items()}))
    changed |= write_bytes(root / SIZES, records.render_sizes({path: size for path, (_, size) in files.items()}))
    if away:
        write_bytes(root / LEFT_OUT, "".join(f"{path}\n" for path in sorted(away)).encode())
    else:
        (root / LEFT_OUT).unlink(missing_ok=True)
    return files, changed
