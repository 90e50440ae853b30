"""A checkout as one snapshot: its small files are read once, and everything else is derived from what was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path

import msgspec

from aqea_registry.base.files import Limit, read_small
from aqea_registry.base.findings import BadConfiguration, Finding
from aqea_registry.base.sha256_list import MANIFEST, SIZES
from aqea_registry.base.strict import load_yaml
from aqea_registry.project.artefact import RunArtefact
from aqea_registry.project.dvc_lock import NAME as DVC_LOCK
from aqea_registry.project.dvc_lock import DvcLock, parameter_findings, read_dvc_lock
from aqea_registry.project.lock import LOCK, Lock, Pin, parse_lock, require_pin
from aqea_registry.project.manifest import Manifest, read_manifest
from aqea_registry.project.params import Dataset, Model, Params, to_params

PARAMS = "params.yaml"
CACHE = ".aqea"


class Scope(Enum):
    """Whom a statement about a project is for: readers on this machine, or readers of a release.

    A release says only what every checkout of the same state says: nothing of files, sources and confirmations that happen to
    be on one machine, of git's commit, or of other releases.
    """

    MACHINE = "machine"
    RELEASE = "release"


@dataclass(frozen=True, kw_only=True)
class Project:
    """An opened checkout. `contents` are its small files as they were read, or why one was not."""

    root: Path
    params: Params
    lock: Lock
    plain_params: object
    contents: Mapping[str, bytes | OSError]

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest and the sizes beside it."""
        return read_manifest(self.contents[MANIFEST], self.contents[SIZES])

    @cached_property
    def dvc_lock(self) -> tuple[DvcLock, list[Finding]]:
        """dvc.lock, empty if it cannot be read, and the reason."""
        return read_dvc_lock(self.contents[DVC_LOCK])

    @cached_property
    def artefacts(self) -> dict[str, RunArtefact]:
        """What the run makes, by key."""
        params, found = self.params, {}
        for key, pair in params.run.pairs.items():
            named = (pair.dataset, pair.model, pair.file)
            found[key] = RunArtefact(
                key=key,
                dataset=pair.dataset,
                model=pair.model,
                stem=pair.file,
                dataset_entry=params.datasets[pair.dataset],
                model_entry=params.models[pair.model],
                dataset_pin=self.lock.datasets.get(pair.dataset),
                model_pin=self.lock.models.get(pair.model),
                precision=params.precision,
                exports={
                    export.format: name
                    for name, export in params.run.exports.items()
                    if (export.dataset, export.model, export.file) == named
                },
                view_stage=f"{'parquet' if params.versions is None else 'generate'}@{key}",
            )
        return found

    def artefact(self, dataset: str, model: str) -> RunArtefact:
        """The run's pair set of this dataset and model. Raises BadConfiguration."""
        pair = self.params.pair_set(dataset, model)
        return next(artefact for artefact in self.artefacts.values() if artefact.stem == pair.file)

    def pin(self, name: str) -> Pin:
        """The pin of a catalogue entry. Raises Refused if there is none or it is of something else."""
        return require_pin(name, self.params.catalogue[name], self.lock.get(name))

    def used(self) -> dict[str, tuple[Dataset | Model, Pin | None]]:
        """What the run rests on, datasets first: entry and pin by name."""
        artefacts = self.artefacts.values()
        names = dict.fromkeys([*(artefact.dataset for artefact in artefacts), *(artefact.model for artefact in artefacts)])
        return {name: (self.params.catalogue[name], self.lock.get(name)) for name in names}

    def entries(self, names: Sequence[str]) -> dict[str, Dataset | Model]:
        """These entries of the catalogue, or all, datasets first and sorted. Raises BadConfiguration for an unknown name."""
        known = dict(sorted(self.params.datasets.items())) | dict(sorted(self.params.models.items()))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise BadConfiguration(f"params.yaml has no entry {unknown[0]!r}; it has {', '.join(sorted(known))}")
        return {name: entry for name, entry in known.items() if not names or name in names}

    def manifest_paths(self) -> list[str]:
        """What the manifest of this run lists: pair files, exports, metrics, Parquet views, and the lock."""
        return sorted([*(path for artefact in self.artefacts.values() for path in artefact.listed), LOCK])

    def stages(self) -> dict[str, RunArtefact | None]:
        """The stages that dvc.yaml makes of this run, and the artefact that each is about."""
        made = {stage: artefact for artefact in self.artefacts.values() for stage in artefact.made_by.values()}
        return {**made, "manifest": None}

    def made_by(self) -> dict[str, str]:
        """Path to stage, of everything that the run makes."""
        made = {path: stage for artefact in self.artefacts.values() for path, stage in artefact.made_by.items()}
        return {MANIFEST: "manifest", SIZES: "manifest", **made}

    def parameter_findings(self, stages: frozenset[str]) -> list[Finding]:
        """Where a stage ran with other parameters than params.yaml and the lock hold, or did not run."""
        lock = {} if isinstance(self.contents[LOCK], OSError) else {LOCK: msgspec.to_builtins(self.lock)}
        return parameter_findings(self.dvc_lock[0], {PARAMS: self.plain_params, **lock}, stages)

    def stale_findings(self, artefact: RunArtefact) -> list[Finding]:
        """Where dvc.lock says that the pair set was made from other pins or parameters. What DVC did not make is not stale."""
        lock, unread = self.dvc_lock
        if unread or artefact.stage not in lock.stages:
            return []
        files = {PARAMS: self.plain_params, LOCK: msgspec.to_builtins(self.lock)}
        return parameter_findings(lock, files, frozenset({artefact.stage}))


def open_project(root: Path) -> Project:
    """Read the small files of a checkout. Raises BadConfiguration if it is none, or its catalogue or lock cannot be used."""
    contents = {path: _content(root / path) for path in (PARAMS, LOCK, MANIFEST, SIZES, DVC_LOCK)}
    params, lock = contents[PARAMS], contents[LOCK]
    if isinstance(params, FileNotFoundError):
        raise BadConfiguration(
            f"{root} is not a project of aqea-registry: it has no {PARAMS}", "go into a checkout, or name one with -C DIR"
        ) from params
    for content in (params, lock):
        if isinstance(content, OSError) and not isinstance(content, FileNotFoundError):
            raise content
    assert isinstance(params, bytes)
    plain = load_yaml(params, PARAMS)
    return Project(
        root=root,
        params=to_params(plain, params),
        lock=Lock() if isinstance(lock, OSError) else parse_lock(lock),
        plain_params=plain,
        contents=contents,
    )


def _content(path: Path) -> bytes | OSError:
    try:
        return read_small(path, Limit.LIST if path.name.startswith("MANIFEST") else Limit.PROJECT)
    except OSError as error:
        return error
