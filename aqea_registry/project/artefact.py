"""One artefact of a run as a value: what it is made from, where each of its files lies, and what they must be. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import msgspec

from aqea_registry.base.files import FileDigest
from aqea_registry.base.findings import Finding, Refused
from aqea_registry.project.lock import LOCK, Decided, Pin, pin_findings, require_pin
from aqea_registry.project.params import Dataset, Model

if TYPE_CHECKING:
    from aqea_registry.vectors.containers.pair_json import Examined, Expected
    from aqea_registry.vectors.pair_set import Header
    from aqea_registry.vectors.scores import Metrics

DATA = "training/data"
METRICS = "metrics"
PLOTS = "plots"
VIEWS = "views"
DECIDED = "manifests/decided"
OWN_FOLDERS = (DATA, METRICS, PLOTS, VIEWS)  # ours alone
LEFT = ((METRICS, ".json"), (PLOTS, ".csv"), (VIEWS, ".parquet"))  # what a change of the run leaves
FORMATS = ("benchmark", "embeddings", "parquet", "aqed")  # that `export` writes
PROJECT, CLAIMS = "project/", "claims/"  # folders of a release by which it is made again; those of earlier versions have none
LISTS = "lists/"  # of a release: of vector sets that it does not hold, the nearest documents of each query
RESULT = "aqea-registry/result/1"  # the schema of results
PUBLISHED = {DATA: "data", METRICS: "metrics", VIEWS: "parquet", DECIDED: "decided"}  # a project's folder to a release's


class CatalogueEntry(NamedTuple):
    """An entry of params.yaml with its pin (None: not pinned), and where its bytes may be: sources, and the project's root."""

    name: str
    entry: Dataset | Model
    pin: Pin | None
    sources: Sequence[str]
    root: Path


class Artefact(msgspec.Struct, frozen=True, kw_only=True):
    """What a run makes of a dataset under a model: its inputs with their pins (None: not pinned), and paths below the project.

    The `precision` is `given` where the vectors were not computed here. `decided` is the lock's word on its decided values.
    """

    key: str
    kind: Literal["pair-set", "vector-set"]
    dataset: str
    model: str
    stem: str
    dataset_entry: Dataset
    model_entry: Model
    dataset_pin: Pin | None
    model_pin: Pin | None
    precision: Literal["canonical", "float32", "given"]
    decided: Decided | None = None
    ending: ClassVar[str]  # of the name of its file of vectors
    verb: ClassVar[str]  # what its stage is called

    @property
    def file(self) -> str:
        """The file with its vectors."""
        return f"{DATA}/{self.stem}{self.ending}"

    @property
    def metrics(self) -> str:
        """The scores, for `dvc metrics`."""
        return f"{METRICS}/{self.key}.json"

    @property
    def decided_list(self) -> str:
        """The list of its decided values; there is none where the lock names none."""
        return f"{DECIDED}/{self.key}.json"

    @property
    def stated(self) -> tuple[str, str]:
        """What a statement on it is about."""
        return (self.file, self.metrics)

    @property
    def listed(self) -> tuple[str, ...]:
        """What the manifest lists of it."""
        return (*self.stated, *((self.decided_list,) * (self.decided is not None)))

    @property
    def stage(self) -> str:
        """The DVC stage that makes it."""
        return f"{self.verb}@{self.key}"

    @property
    def made_by(self) -> dict[str, str]:
        """Path to stage, of every file of it that DVC knows."""
        return dict.fromkeys(self.stated, self.stage)

    def in_one_stage(self, stage: str) -> tuple[list[str], dict[str, list[str]]]:
        """Of the one stage that makes every artefact, what this one would do: files, and parameters by file."""
        entries = [f"datasets.{self.dataset}", f"models.{self.model}"]
        named = f"run.{'pairs' if self.kind == 'pair-set' else 'vectors'}.{self.key}"
        keys = {"params.yaml": ["precision", "versions", named, *entries], LOCK: entries}
        return [path for path, made_by in self.made_by.items() if made_by == stage], keys

    @property
    def settings(self) -> str:
        """What its scores depend on, beside dataset and model."""
        model, prefix = self.model_entry, self.model_entry.prefix_for(self.dataset_entry.task)
        parts = (
            f"{model.dimension} dimensions{f' of {model.full_dimension}' if model.full_dimension else ''}",
            f"{model.max_tokens} tokens" if model.max_tokens else "",
            f"prefix {prefix!r}" if prefix else "",
            self.precision,
        )
        return ", ".join(filter(None, parts))

    @property
    def pins(self) -> tuple[tuple[str, Pin | None], tuple[str, Pin | None]]:
        """Its inputs: name and pin of the dataset and of the model."""
        return ((self.dataset, self.dataset_pin), (self.model, self.model_pin))

    def pin_findings(self) -> list[Finding]:
        """What is wrong between its inputs and their pins."""
        findings = pin_findings(self.dataset, self.dataset_entry, self.dataset_pin)
        return findings + pin_findings(self.model, self.model_entry, self.model_pin)

    def required_pins(self) -> tuple[Pin, Pin]:
        """The pins of dataset and model. Raises Refused if there is none or it is of something else."""
        dataset_pin = require_pin(self.dataset, self.dataset_entry, self.dataset_pin)
        return dataset_pin, require_pin(self.model, self.model_entry, self.model_pin)

    @property
    def model_text(self) -> str:
        """The model as people are shown it."""
        return f"{self.model_entry.repo}{' (given)' * (self.precision == 'given')}"

    @property
    def remark(self) -> str | None:
        """What is said of given vectors wherever it is shown; None for one that is made here."""
        note = f" ({' '.join(self.model_entry.note.split())})" if self.model_entry.note else ""
        text = f"the vectors of {self.key} were given{note}, not made here: bytes and scores can be checked, but not made again"
        return text if self.precision == "given" else None


class PairSetArtefact(Artefact, frozen=True, kw_only=True):
    """A pair set of the run.

    `exports` maps further formats to their names in the run. In projects of 0.1.0 a view is a stage of its own.
    """

    kind: Literal["pair-set"] = "pair-set"
    ending: ClassVar[str] = "_pairs.json"
    verb: ClassVar[str] = "generate"
    exports: Mapping[str, str] = {}
    view_stage: str

    @property
    def pairs(self) -> str:
        """Its file, by the name that it has in the Python interface."""
        return self.file

    @property
    def plot(self) -> str:
        """The plot data, for `dvc plots`."""
        return f"{PLOTS}/{self.key}.csv"

    @property
    def view(self) -> str:
        """The Parquet view."""
        return self.path("parquet")

    @property
    def benchmark(self) -> str | None:
        """The benchmark file, if the run asks for one."""
        return self.path("benchmark") if "benchmark" in self.exports else None

    @property
    def printing(self) -> tuple[str, ...]:
        """The files that print its scores."""
        return (self.metrics, *([self.benchmark] if self.benchmark else []))

    def path(self, form: str) -> str:
        """Where `export` writes this format: whole pair sets under the key, other files beside the pair file."""
        return f"{VIEWS}/{self.key}.{form}" if form in ("parquet", "aqed") else f"{DATA}/{self.stem}_{form}.json"

    @property
    def listed(self) -> tuple[str, ...]:
        """What the manifest lists of it."""
        return (*super().listed, *(self.path(form) for form in self.exports), self.view)

    @property
    def made_by(self) -> dict[str, str]:
        """Path to stage, of every file of it that DVC knows."""
        exports = {self.path(form): f"export@{name}" for form, name in self.exports.items()}
        return {**super().made_by, self.plot: self.stage, self.view: self.view_stage, **exports}

    @property
    def given_stem(self) -> str:
        """How the names of imported files of its vectors begin: they are of these rows, and of no other pin of the dataset."""
        return f"{self.dataset}-{self.dataset_pin.digest()[:12] if self.dataset_pin else 'unpinned'}"

    def given_pin(self) -> Pin:
        """The pin of its imported files alone. Raises Refused."""
        pin, stem = self.required_pins()[1], f"{self.given_stem}."
        files = {path: file for path, file in pin.files.items() if path.startswith(stem)}
        if not files:
            message = f"no vectors were imported for {self.dataset} as it is pinned now"
            hint = f"aqea-registry import-vectors FILE --model {self.model} --dataset {self.dataset}"
            raise Refused.of("unpinned", f"models.{self.model}", message, hint=hint)
        return msgspec.structs.replace(pin, files=files)

    @property
    def expected(self) -> Expected:
        """What its pair file must say."""
        from aqea_registry.vectors.containers.pair_json import Expected

        return Expected(self.dataset, self.model_entry.repo, self.model_entry.dimension, self.dataset_entry.score_range)

    def benchmark_text(self, examined: Examined, digest: FileDigest) -> bytes:
        """All scores with sizes, pins and digests: what a report needs to quote its numbers. Raises Refused without pins."""
        dataset_pin, model_pin = self.required_pins()
        value: dict[str, Any] = {
            "schema": "aqea-registry/benchmark/1",
            "dataset": {
                "name": self.dataset,
                "config": self.dataset_entry.config,
                "split": self.dataset_entry.split_name,
                "pin": msgspec.to_builtins(dataset_pin),
            },
            "model": {"name": self.model, "prefix": self.model_entry.prefix, "pin": msgspec.to_builtins(model_pin)},
            "precision": self.precision,
            "metrics": msgspec.to_builtins(examined.metrics),
            "sizes": {"n_pairs": examined.header.n_pairs, "dimension": examined.header.dimension, "bytes": digest.size},
            "digests": {"file": {self.file: f"sha256:{digest.sha256}"}, "content": f"sha256:{examined.content}"},
        }
        return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


class VectorSetArtefact(Artefact, frozen=True, kw_only=True):
    """A vector set of the run, and the result of its task over it."""

    kind: Literal["vector-set"] = "vector-set"
    ending: ClassVar[str] = "_vectors.parquet"
    verb: ClassVar[str] = "evaluate"


AnyArtefact = PairSetArtefact | VectorSetArtefact  # what a run makes


class OfVectors(msgspec.Struct, frozen=True, kw_only=True):
    """Of which vector set a result is; `content` is `sha256:` and its content digest."""

    texts: int
    dimension: int
    content: str


class TaskScores(msgspec.Struct, frozen=True, kw_only=True):
    """What the result file of a vector set says: its task with its type and main score, pinned inputs, and the scores.

    Scores are by split and subset as MTEB names and nests them; None is one that does not exist.
    """

    schema: Literal["aqea-registry/result/1"]
    task: str
    type: str
    main_score: str
    dataset: dict[str, str | None]
    model: dict[str, str | None]
    vectors: OfVectors
    scores: dict[str, dict[str, dict[str, Any]]]

    def main_scores(self) -> dict[str, float | None]:
        """The main score by split and subset; of a split's only one, by the split."""
        return {
            split if len(subsets) == 1 else f"{split}/{subset}": scores.get(self.main_score)
            for split, subsets in self.scores.items()
            for subset, scores in subsets.items()
        }

    def numbers(self, split: str, subset: str) -> dict[str, float]:
        """The scores of a subset by one name each, in lists and below other names, too."""

        def named(value: Any, name: str) -> Iterator[tuple[str, float]]:
            if isinstance(value, dict | list):
                for key, part in value.items() if isinstance(value, dict) else enumerate(value):
                    yield from named(part, f"{name}_{key}" if name else str(key))
            elif isinstance(value, int | float):
                yield name, value

        return dict(named(self.scores.get(split, {}).get(subset, {}), ""))

    def parts(self) -> list[tuple[str, str, dict[str, float]]]:
        """Split, subset and scores of each part that has a main score."""
        parts = [(split, subset) for split, subsets in self.scores.items() for subset in subsets]
        return [(*part, numbers) for part in parts if "main_score" in (numbers := self.numbers(*part))]


def metrics_text(scores: Metrics, header: Header, precision: str) -> bytes:
    """The metrics file of a pair set."""
    values = {"n_pairs": header.n_pairs, "dimension": header.dimension, "precision": precision}
    return (json.dumps({**values, **msgspec.to_builtins(scores)}, indent=2) + "\n").encode()


def plot_text(scores: Sequence[float], similarities: Sequence[float]) -> bytes:
    """The plot data of a pair set: human score against cosine, one row per pair."""
    from aqea_registry.vectors.containers.json_text import number

    lines = (number(score) + b"," + number(cosine) for score, cosine in zip(scores, similarities, strict=True))
    return b"score,cosine\n" + b"".join(line + b"\n" for line in lines)


def published_path(path: str) -> str:
    """The path in a release of a file of the project's manifest."""
    if path == LOCK:
        return path.rpartition("/")[2]
    folder, _, name = path.rpartition("/")
    return f"{PUBLISHED[folder]}/{name}"
