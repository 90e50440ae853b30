"""A checkout: params.yaml, the lock, and where each file of the run has its place."""

from __future__ import annotations

from pathlib import Path

import msgspec

from aqea_registry.core.catalogue import Dataset, Model, PairSetName, Params, parse_params
from aqea_registry.core.findings import BadConfiguration, Finding, Refused
from aqea_registry.core.pins import LOCK, Lock, Pin, parse_lock, pin_findings
from aqea_registry.sources import open_source
from aqea_registry.sources.base import Repository, Source

PARAMS = "params.yaml"
DATA = "training/data"
METRICS = "metrics"
PLOTS = "plots"
VIEWS = "views"
CACHE = ".aqea"
_PUBLISHED = {DATA: "data", METRICS: "metrics", VIEWS: "parquet"}  # folder of the project to folder of a release


def pairs_path(pair: PairSetName) -> str:
    """The path of a pair file."""
    return f"{DATA}/{pair.file}_pairs.json"


def metrics_path(key: str) -> str:
    """The path of a pair set's metrics."""
    return f"{METRICS}/{key}.json"


def plot_path(key: str) -> str:
    """The path of a pair set's plot data."""
    return f"{PLOTS}/{key}.csv"


def export_path(file: str, kind: str) -> str:
    """The path of a file exported from a pair file."""
    return f"{DATA}/{file}_{kind}.json"


def view_path(key: str, kind: str = "parquet") -> str:
    """The path of a whole pair set in another container: `parquet` or `aqed`."""
    return f"{VIEWS}/{key}.{kind}"


def published_path(path: str) -> str:
    """The path in a release of a file of the project's manifest."""
    if path == LOCK:
        return path.rpartition("/")[2]
    folder, _, name = path.rpartition("/")
    return f"{_PUBLISHED[folder]}/{name}"


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """An opened checkout."""

    root: Path
    params: Params
    lock: Lock

    def manifest_paths(self) -> list[str]:
        """What the manifest of this run lists: pair files, exports, metrics, Parquet views, and the lock."""
        run = self.params.run
        return sorted(
            [
                *(pairs_path(pair) for pair in run.pairs.values()),
                *(export_path(export.file, export.format) for export in run.exports.values()),
                *(metrics_path(key) for key in run.pairs),
                *(view_path(key) for key in run.pairs),
                LOCK,
            ]
        )

    def stages(self) -> frozenset[str]:
        """The stages that dvc.yaml makes of this run."""
        run = self.params.run
        each = [f"generate@{key}" for key in run.pairs]
        each += [self.view_stage(key) for key in run.pairs]
        return frozenset({*each, *(f"export@{key}" for key in run.exports), "manifest"})

    def view_stage(self, key: str) -> str:
        """The stage that makes a pair set's Parquet view: its own; in projects of 0.1.0 one beside it."""
        return f"{'parquet' if self.params.versions is None else 'generate'}@{key}"

    def used(self) -> list[tuple[str, str, Dataset | Model, Pin | None]]:
        """What the run rests on: (group, name, catalogue entry, pin), each once."""
        pairs = self.params.run.pairs.values()
        datasets = [(name, self.params.datasets[name]) for name in dict.fromkeys(pair.dataset for pair in pairs)]
        models = [(name, self.params.models[name]) for name in dict.fromkeys(pair.model for pair in pairs)]
        return [
            *(("datasets", name, dataset, self.lock.datasets.get(name)) for name, dataset in datasets),
            *(("models", name, model, self.lock.models.get(name)) for name, model in models),
        ]

    def pin(self, group: str, name: str, entry: Dataset | Model) -> Pin:
        """The pin of a catalogue entry. Raises Refused if there is none or it is of something else."""
        pins = self.lock.datasets if group == "datasets" else self.lock.models
        pin = pins.get(name)
        findings: list[Finding] = pin_findings(group, name, entry, pin)
        if pin is None or findings:
            first = findings[0]
            raise Refused(f"{first.subject}: {first.message}", findings)
        return pin

    def sources(self, name: str, entry: Dataset | Model, commit: str | None) -> list[Source]:
        """The sources of a catalogue entry at a commit, in its order or else in the catalogue's."""
        repository = Repository(name=name, kind=entry.kind, id=entry.repo, commit=commit)
        return [open_source(spec, self.root, repository) for spec in entry.sources or self.params.sources]


def open_project(root: Path) -> Project:
    """Read params.yaml and the lock of a checkout. Raises BadConfiguration."""
    try:
        content = (root / PARAMS).read_bytes()
    except FileNotFoundError as error:
        raise BadConfiguration(
            f"{root} is no project of aqea-registry: it has no {PARAMS}", "go into a checkout, or name one with -C DIR"
        ) from error
    lock = root / LOCK
    return Project(root=root, params=parse_params(content), lock=parse_lock(lock.read_bytes()) if lock.exists() else Lock())
