"""params.yaml as values: the catalogue of datasets and models, and which of them this run uses."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import yaml

from aqea_registry.core.findings import BadConfiguration
from aqea_registry.core.paths import UnsafePath, safe_path

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
T = TypeVar("T")

# What a loader of sentence-transformers may read; weights only as safetensors, no code.
MODEL_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*/*.json", "*/*.safetensors")


class Columns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The names of the columns that hold a row's two sentences and its human score."""

    sentence1: str = "sentence1"
    sentence2: str = "sentence2"
    score: str = "score"


class Dataset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sentence pairs with human scores: where they come from and how they are read."""

    repo: str
    files: tuple[str, ...]
    sources: tuple[str, ...]
    kind: Literal["dataset", "directory"] = "dataset"
    revision: str | None = None
    config: str = "default"
    split: str = "test"
    columns: Columns = Columns()
    score_range: tuple[float, float] = (0.0, 5.0)
    licence: str | None = None


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sentence-transformers model. `prefix` is put before every sentence, `dimension` is what one vector must have."""

    repo: str
    dimension: Annotated[int, msgspec.Meta(ge=1, le=65536)]
    sources: tuple[str, ...]
    kind: Literal["model", "directory"] = "model"
    revision: str | None = None
    prefix: str = ""
    files: tuple[str, ...] = MODEL_FILES
    licence: str | None = None


class PairSetName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One pair set of a run: a dataset under a model, and the stem of its file names."""

    dataset: Name
    model: Name
    file: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class Export(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One more file made from a pair file of the run."""

    file: str
    format: Literal["benchmark", "embeddings"]


class Run(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `dvc repro` makes: pair sets by name, and files exported from them."""

    pairs: dict[Name, PairSetName]
    exports: dict[Name, Export] = {}


class Publish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where releases go, and what their card is called."""

    stores: tuple[str, ...]
    title: str
    licence: str = "mit"
    language: tuple[str, ...] = ("en",)


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """params.yaml, whole."""

    datasets: dict[Name, Dataset]
    models: dict[Name, Model]
    runs: dict[Name, Run]
    run: Run
    publish: Publish
    precision: Literal["canonical", "float32"] = "canonical"

    def pair_set(self, dataset: str, model: str) -> PairSetName:
        """The pair set of the run that has this dataset and model. Raises BadConfiguration."""
        for name in self.run.pairs.values():
            if (name.dataset, name.model) == (dataset, model):
                return name
        known = ", ".join(f"{name.dataset} {name.model}" for name in self.run.pairs.values()) or "nothing"
        raise BadConfiguration(
            f"params.yaml: the run has no pair set of dataset {dataset!r} and model {model!r}; it has {known}",
            "add a line to the run under 'runs:' in params.yaml",
        )


class _StrictLoader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """YAML's safe subset, where a key that stands twice is an error instead of a silent last word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
        return dict(super().construct_mapping(node, deep))


def load_yaml(content: bytes, name: str) -> Any:
    """Plain values from YAML. Raises BadConfiguration that names the file, the line and the reason."""
    try:
        return yaml.load(content, _StrictLoader)  # noqa: S506 - a subclass of the safe loader
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BadConfiguration(f"{name}: {' '.join(str(error).split())}") from error


def convert(value: Any, kind: type[T], name: str) -> T:
    """A frozen value from plain ones. Raises BadConfiguration that names the field."""
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        raise BadConfiguration(f"{name}: {error}".replace(" - at `$.", ", at `")) from error


def parse_params(content: bytes, name: str = "params.yaml") -> Params:
    """Read params.yaml and check that every name in it is known. Raises BadConfiguration."""
    params = convert(load_yaml(content, name), Params, name)
    for label, run in {**{f"runs.{key}": run for key, run in params.runs.items()}, "run": params.run}.items():
        _check_run(params, run, f"{name}: {label}")
    entries: dict[str, Dataset | Model] = {**params.datasets, **params.models}
    if len(entries) < len(params.datasets) + len(params.models):
        both = sorted(set(params.datasets) & set(params.models))[0]
        raise BadConfiguration(f"{name}: {both!r} is the name of a dataset and of a model", "give one of them another name")
    for label, entry in entries.items():
        for path in entry.files:
            try:
                safe_path(path)
            except UnsafePath as error:
                raise BadConfiguration(f"{name}: {label}.files: {path!r}: {error}") from error
    return params


def _check_run(params: Params, run: Run, label: str) -> None:
    files: dict[str, str] = {}
    for key, pair in run.pairs.items():
        for kind, wanted, known in (("dataset", pair.dataset, params.datasets), ("model", pair.model, params.models)):
            if wanted not in known:
                raise BadConfiguration(
                    f"{label}.pairs.{key}: unknown {kind} {wanted!r}; the catalogue has {', '.join(sorted(known)) or 'none'}",
                    f"correct the name, or add {wanted!r} under '{kind}s:'",
                )
        dimension = params.models[pair.model].dimension
        if not re.search(rf"_{dimension}d\b", pair.file):
            raise BadConfiguration(f"{label}.pairs.{key}.file: {pair.file!r} must end in _{dimension}d, the model's dimension")
        if pair.file in files:
            raise BadConfiguration(f"{label}.pairs.{key}.file: {pair.file!r} is also the file of {files[pair.file]}")
        files[pair.file] = key
    for key, export in run.exports.items():
        if export.file not in files:
            raise BadConfiguration(f"{label}.exports.{key}.file: no pair set of the run has the file {export.file!r}")
