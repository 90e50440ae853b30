"""A checkout: params.yaml, the lock, and where each file of the run has its place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from aqea_registry.base.files import FileDigest
from aqea_registry.base.findings import BadConfiguration, Finding, Refused
from aqea_registry.project.lock import LOCK, Lock, Pin, parse_lock, pin_findings
from aqea_registry.project.params import Dataset, Model, PairSetName, Params, parse_params

if TYPE_CHECKING:
    from aqea_registry.sources.port import Source
    from aqea_registry.vectors.examine import Examined, Expected
    from aqea_registry.vectors.scores import Metrics

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
        from aqea_registry.remote.hub_client import Repository
        from aqea_registry.sources.port import open_source

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


Group = Literal["datasets", "models"]
Entry = tuple[Group, str, Dataset | Model]


def expected_of(project: Project, pair: PairSetName) -> Expected:
    """What a pair file of the run must be."""
    from aqea_registry.vectors.examine import Expected

    dataset, model = project.params.datasets[pair.dataset], project.params.models[pair.model]
    return Expected(dataset=pair.dataset, model=model.repo, dimension=model.dimension, score_range=dataset.score_range)


def _pin_of(lock: Lock, group: Group, name: str) -> Pin | None:
    return (lock.datasets if group == "datasets" else lock.models).get(name)


def _entries(project: Project, names: Sequence[str]) -> list[Entry]:
    entries: list[Entry] = [
        *(("datasets", name, dataset) for name, dataset in sorted(project.params.datasets.items())),
        *(("models", name, model) for name, model in sorted(project.params.models.items())),
    ]
    known = {name for _, name, _ in entries}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BadConfiguration(f"params.yaml has no entry {unknown[0]!r}; it has {', '.join(sorted(known))}")
    return [entry for entry in entries if not names or entry[1] in names]


def benchmark_text(project: Project, key: str, examined: Examined, digest: FileDigest) -> bytes:
    """All metrics of a pair set with its sizes, pins and digests: what a report needs to quote its numbers."""
    pair = project.params.run.pairs[key]
    path = pairs_path(pair)
    dataset, model = project.params.datasets[pair.dataset], project.params.models[pair.model]
    value: dict[str, Any] = {
        "schema": "aqea-registry/benchmark/1",
        "dataset": {
            "name": pair.dataset,
            "config": dataset.config,
            "split": dataset.split,
            "pin": msgspec.to_builtins(project.pin("datasets", pair.dataset, dataset)),
        },
        "model": {
            "name": pair.model,
            "prefix": model.prefix,
            "pin": msgspec.to_builtins(project.pin("models", pair.model, model)),
        },
        "precision": project.params.precision,
        "metrics": msgspec.to_builtins(examined.metrics),
        "sizes": {"n_pairs": examined.header.n_pairs, "dimension": examined.header.dimension, "bytes": digest.size},
        "digests": {"file": {path: f"sha256:{digest.sha256}"}, "content": f"sha256:{examined.content}"},
    }
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def plot_text(scores: Sequence[float], similarities: Sequence[float]) -> bytes:
    """The plot data of a pair set, for `dvc plots`: human score against cosine, a row a pair."""
    from aqea_registry.vectors.containers.json_numbers import number

    lines = (number(score) + b"," + number(cosine) for score, cosine in zip(scores, similarities, strict=True))
    return b"score,cosine\n" + b"".join(line + b"\n" for line in lines)


def metrics_text(scores: Metrics, n_pairs: int, dimension: int, precision: str) -> bytes:
    """The metrics file of a pair set, for `dvc metrics`."""
    values = {"n_pairs": n_pairs, "dimension": dimension, "precision": precision}
    return (json.dumps({**values, **msgspec.to_builtins(scores)}, indent=2) + "\n").encode()
