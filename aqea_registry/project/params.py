"""params.yaml as values: the catalogue of datasets and models, and which of them this run uses."""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any, Literal

import msgspec

from aqea_registry import __version__
from aqea_registry.base.files import UnsafePath, safe_path
from aqea_registry.base.findings import BadConfiguration, suggestion
from aqea_registry.base.strict import convert, convert_each, load_yaml, misread

Group = Literal["datasets", "models"]
NAME = "a name of small letters, digits, '-' and '_'"
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]*\Z", description=NAME)]
Commit = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{40}\Z", description="a commit, of 40 hex digits")]

ADDRESS = r"https?://[^\s/@<>\"]+(/[^\s@<>\"]*)?"  # of the web, without a login
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
# What a loader of sentence-transformers may read. Weights only as safetensors; code and pickles only where an entry says so.
MODEL_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*/config.json", "*/*.safetensors")
CODE_FILES = ("*.py",)
PICKLED_FILES = ("pytorch_model*.bin", "*/pytorch_model.bin")
GIVEN_FIELDS = ("repo", "kind", "dimension", "licence", "note", "sources")  # of an entry whose vectors are given
GIVEN = "given"  # the folder that has such vectors, below it one of each model
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".h5", ".msgpack")


class Columns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The names of the columns that hold a row's two sentences and its human score."""

    sentence1: str = "sentence1"
    sentence2: str = "sentence2"
    score: str = "score"


class Dataset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sentence pairs with human scores: where they come from and how they are read.

    Without `files`, a Hub dataset's files are found by config and split. `commit` is the one that `revision` must be.
    `mteb` names a task of MTEB, whose metadata then say what is not said here, or a type of its tasks, of which own data are.
    `subsets` are those of the task, where not all.
    """

    repo: str = ""
    mteb: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    subsets: tuple[str, ...] = ()
    kind: Literal["dataset", "directory"] = "dataset"
    revision: str | None = None
    commit: Commit | None = None
    config: str = "default"
    split: str | None = None
    files: tuple[str, ...] = ()
    columns: Columns = Columns()
    score_range: tuple[float, float] = (0.0, 5.0)
    task: str = "sts"
    licence: str | None = None
    sources: tuple[str, ...] = ()

    @property
    def split_name(self) -> str:
        """The split, `test` where none is said."""
        return "test" if self.split is None else self.split


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sentence-transformers model; or, of kind `given`, whoever made vectors that are imported and not made here.

    A vector of `full_dimension` is cut to `dimension` and normalised again (Matryoshka). `prefix` stands before every sentence,
    unless `instructions` has one for the dataset's `task`, or for a task of MTEB, its type or a text's role in it. Code is run
    only with `trust_remote_code`, pickled weights are read only with `allow_pickle`. `rounding_offset` moves the grid's
    boundaries by so many micro-units (docs/margins.md).
    `note` says who made the vectors, and when.
    """

    repo: str
    dimension: Annotated[int, msgspec.Meta(ge=1, le=65536)]
    kind: Literal["model", "directory", "given"] = "model"
    revision: str | None = None
    commit: Commit | None = None
    full_dimension: Annotated[int, msgspec.Meta(ge=1, le=65536)] | None = None
    prefix: str = ""
    instructions: dict[str, str] = {}
    instruction_template: str = "{instruction}"
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    rounding_offset: Annotated[float, msgspec.Meta(gt=-0.5, lt=0.5)] = 0.0
    files: tuple[str, ...] = ()
    trust_remote_code: bool = False
    allow_pickle: bool = False
    licence: str | None = None
    sources: tuple[str, ...] = ()
    note: str | None = None

    def patterns(self) -> tuple[str, ...]:
        """The files to pin, as globs whose stars stay within one folder."""
        code = CODE_FILES if self.trust_remote_code else ()
        return self.files or (*MODEL_FILES, *code, *(PICKLED_FILES if self.allow_pickle else ()))

    def prefix_for(self, task: str, kind: str = "", role: Literal["query", "document", ""] = "") -> str:
        """What stands before a text of a task: its name, its type as MTEB has it, and the text's role if it has one.

        An instruction for a task or type stands before all its texts but documents; those have their own, `NAME-document`.
        """
        known = {name.lower(): text for name, text in self.instructions.items()}
        names = [f"{name}-{role}" if role else name for name in (task, kind)]
        wanted = {"query": [names[0], task, names[1], kind, role], "document": [*names, role]}.get(role, names)
        text = next((known[name.lower()] for name in wanted if name.lower() in known), None)
        return self.prefix if text is None else self.instruction_template.replace("{instruction}", text)


class ArtefactName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One pair set or vector set of a run: a dataset under a model, and the stem of its file names."""

    dataset: Name
    model: Name
    file: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*\Z", description="letters, digits, '.', '-', '_'")]


class Export(ArtefactName, frozen=True, kw_only=True):
    """One more file made from a pair file of the run; dataset, model and file are the pair set's."""

    format: Literal["benchmark", "embeddings"]


class Run(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `dvc repro` makes: pair sets and vector sets by name, and files exported from pair sets."""

    pairs: dict[Name, ArtefactName] = {}
    vectors: dict[Name, ArtefactName] = {}
    exports: dict[Name, Export] = {}


class ResponsibleAI(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """What authors state about their data, by the names of Croissant's RAI vocabulary. Nothing else is stated."""

    data_limitations: str | None = None
    data_biases: str | None = None
    personal_sensitive_information: str | None = None
    data_use_cases: str | None = None
    data_social_impact: str | None = None
    has_synthetic_data: bool | None = None
    data_collection: str | None = None


class Publish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where releases go, what their card is called, and what it says besides what can be computed."""

    stores: tuple[str, ...] = ("oci:releases",)
    title: str = "Embedding pair sets"
    licence: str = "mit"
    language: tuple[str, ...] = ("en",)
    version: str | None = None  # else that of CITATION.cff
    # Where the project is; else as CITATION.cff says.
    url: Annotated[str, msgspec.Meta(pattern=rf"^{ADDRESS}\Z", description="an address, https://...")] | None = None
    rai: ResponsibleAI = ResponsibleAI()
    largest_vector_set: Annotated[int, msgspec.Meta(ge=0)] | None = None  # bytes; a larger one is left out of a release


class Versions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The versions of what stages write. One changes when the same inputs give other bytes: DVC runs the stage again."""

    vectors: Annotated[int, msgspec.Meta(ge=1)] = 1
    view: Annotated[int, msgspec.Meta(ge=1)] = 1
    export: Annotated[int, msgspec.Meta(ge=1)] = 1


WRITTEN = Versions()  # what this program writes


class Params(msgspec.Struct, frozen=True, kw_only=True):
    """params.yaml, whole. Other keys at its top are parameters of the author's own stages; `requires` is checked when read."""

    datasets: dict[Name, Dataset] = {}
    models: dict[Name, Model] = {}
    runs: dict[Name, Run] = {}
    run: Run = Run()
    publish: Publish = Publish()
    requires: str | None = None
    versions: Versions | None = None  # projects of 0.1.0 have none: their views are stages of their own
    sources: tuple[str, ...] = ("cache", "hub")
    precision: Literal["canonical", "float32"] = "canonical"

    @property
    def catalogue(self) -> dict[str, Dataset | Model]:
        """Every entry by its name; no dataset has the name of a model."""
        return {**self.datasets, **self.models}

    @property
    def keys(self) -> set[str]:
        """The names of all that some run makes."""
        return {key for run in (self.run, *self.runs.values()) for key in (*run.pairs, *run.vectors)}

    def check_versions(self, *kinds: Literal["vectors", "view", "export"]) -> None:
        """Raise BadConfiguration if the project asks for another version of something than this program writes."""
        for kind in kinds:
            wanted, own = getattr(self.versions or Versions(), kind), getattr(WRITTEN, kind)
            if wanted != own:
                message = f"params.yaml: versions.{kind} is {wanted}, and this program writes version {own}"
                way = f"install one that writes version {wanted}, or set versions.{kind} to {own} and run: dvc repro"
                raise BadConfiguration(message, way)

    def artefact_key(self, dataset: str, model: str) -> str:
        """The key of what the run makes of this dataset and model. Raises BadConfiguration."""
        named = {**self.run.pairs, **self.run.vectors}
        for key, name in named.items():
            if (name.dataset, name.model) == (dataset, model):
                return key
        known = [f"{name.dataset} {name.model}" for name in named.values()]
        has = f"it has {', '.join(known) or 'nothing'}"
        message = f"params.yaml: the run has nothing of dataset {dataset!r} and model {model!r}; {has}"
        hint = suggestion(f"{dataset} {model}", known, "add them to the run in params.yaml, as its others are")
        raise BadConfiguration(message, hint)


def known_commit(entry: Dataset | Model) -> str | None:
    """The commit that params.yaml names, if it names one."""
    return entry.commit or (entry.revision if re.fullmatch(r"[0-9a-f]{40}", entry.revision or "") else None)


def sources_for(name: str, entry: Dataset | Model, common: tuple[str, ...]) -> tuple[str, ...]:
    """Where the entry's bytes may be: its sources or the common ones; given vectors first where they were imported to."""
    return (f"directory:{GIVEN}/{name}", *entry.sources) if entry.kind == "given" else entry.sources or common


def group_of(entry: Dataset | Model) -> Group:
    """The mapping of params.yaml and of the lock that holds an entry."""
    return "datasets" if isinstance(entry, Dataset) else "models"


def parse_params(content: bytes, name: str = "params.yaml") -> Params:
    """Read params.yaml and check that every name in it is known. Raises BadConfiguration."""
    return to_params(load_yaml(content, name), content, name)


def to_params(value: object, content: bytes, name: str = "params.yaml") -> Params:
    """The plain values of params.yaml, whose bytes are `content`, as checked ones. Raises BadConfiguration with the line."""
    try:
        return _checked(value, content, name)
    except BadConfiguration as error:
        said = error.message.removeprefix(f"{name}: ")
        raise BadConfiguration(f"{name}: {_line(said, content)}{said}", error.hint) from error


def _line(said: str, content: bytes) -> str:
    """`line N: ` of the deepest value that these words on some YAML name by its path, if they name one."""
    wanted = (
        r"^([a-z]\w*(?:\.[\w-]+)*): ",
        "at `([^`]+)`",
        "unknown (?:field|key) [`']([^`']+)",
        r", not (?:'([^']+)'|\"([^\"]+)\")",
    )
    named = [match[match.lastindex or 0] for pattern in wanted if (match := re.search(pattern, said))]
    node, line = None, 0
    with suppress(BadConfiguration):  # of merged fields no line is known
        node = load_yaml(content, "", printed=True)
    for part in re.findall(r"[^.\[\]]+", ".".join(named)):
        inner = node.value if node is not None else None
        known = dict(enumerate(inner)) if isinstance(inner, list) else inner if isinstance(inner, dict) else {}
        node = known.get(int(part) if isinstance(inner, list) and part.isdecimal() else part)
        if node is None:
            break
        line = node.line
    return f"line {line}: " if line else ""


def _checked(value: object, content: bytes, name: str) -> Params:
    if isinstance(value, dict):  # what a later version added is not called wrong before its version is asked for
        _check_version(value.get("requires"), name)
        _check_keys(value, name)
    try:
        convert_each(value, "datasets", Dataset, name)
        convert_each(value, "models", Model, name)
        for label, entries, kind in _plain_entries(value):
            convert_each({label: entries}, label, kind, name)
        params = convert(value, Params, name)
    except BadConfiguration as error:
        error.hint = error.hint or "what may stand there: aqea-registry docs catalogue"
        raise misread(content, Params, name) or error from None
    for label, run in {**{f"runs.{key}": run for key, run in params.runs.items()}, "run": params.run}.items():
        _check_run(params, run, f"{name}: {label}")
    if both := sorted(set(params.datasets) & set(params.models)):
        raise BadConfiguration(f"{name}: {both[0]!r} is the name of a dataset and of a model", "give one of them another name")
    for label, entry in params.catalogue.items():
        _check_entry(entry, f"{name}: {group_of(entry)}.{label}")
    return params


def _plain_entries(value: object) -> Iterator[tuple[str, object, type[ArtefactName]]]:
    """The unchecked entries of all runs: where they stand, as they are, and what each should be."""
    plain: dict[object, Any] = value if isinstance(value, dict) else {}
    named = plain["runs"] if isinstance(plain.get("runs"), dict) else {}
    for label, run in {**{f"runs.{key}": run for key, run in named.items()}, "run": plain.get("run")}.items():
        groups: dict[str, type[ArtefactName]] = {"pairs": ArtefactName, "vectors": ArtefactName, "exports": Export}
        yield from ((f"{label}.{group}", run.get(group), kind) for group, kind in groups.items() if isinstance(run, dict))


def _check_version(requires: Any, name: str) -> None:
    """Raise BadConfiguration if the project needs another version of this program: `>=0.2`, `>=0.2,<1`, `==0.1.0`."""
    own = _release(__version__)
    for part in requires.split(",") if isinstance(requires, str) else ():
        match = re.fullmatch(r"\s*(>=|<=|==|!=|<|>)\s*(\d{1,9}(?:\.\d{1,9}){0,9})\s*", part)
        if match is None:
            message = f"{name}: requires: {part.strip()!r} is not a version"
            raise BadConfiguration(message, "write it as in: requires: '>=0.2,<1'")
        sign, wanted = match[1], _release(match[2])
        order = (own > wanted) - (own < wanted)
        if order not in {">=": (0, 1), "<=": (0, -1), "==": (0,), "!=": (1, -1), "<": (-1,), ">": (1,)}[sign]:
            message = f"{name}: the project requires aqea-registry {requires}, and this is version {__version__}"
            raise BadConfiguration(message, f"pip install 'aqea-registry{requires.replace(' ', '')}'")


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version, without zeros at the end: 0.2 is 0.2.0."""
    numbers = [int(part) for part in re.findall(r"\d+", re.match(r"[\d.]*", version)[0])]  # type: ignore[index]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _check_keys(value: dict[Any, Any], name: str) -> None:
    """Raise BadConfiguration for a key that is nearly one of ours which is not there. All others are the author's."""
    fields = set(Params.__struct_fields__)
    for key in (key for key in value if isinstance(key, str) and key not in fields):
        if near := suggestion(key, sorted(fields - value.keys()), cutoff=0.8):
            raise BadConfiguration(f"{name}: unknown key {key!r}", near)


def _check_entry(entry: Dataset | Model, label: str) -> None:
    for path in entry.files:
        try:
            safe_path(path)
        except UnsafePath as error:
            raise BadConfiguration(f"{label}.files: {path!r}: {error}") from error
    if entry.kind == "directory" and not (entry.sources and entry.files):
        raise BadConfiguration(f"{label}: an entry of kind directory needs 'files' and 'sources'")
    if entry.repo and entry.kind in ("dataset", "model") and not HUB_ID.fullmatch(entry.repo):
        raise BadConfiguration(f"{label}.repo: {entry.repo!r} is not the id of a Hub repository")
    if isinstance(entry, Dataset) and not entry.score_range[0] < entry.score_range[1]:
        raise BadConfiguration(f"{label}.score_range: {[*entry.score_range]}: the first must be less than the second")
    if isinstance(entry, Dataset) and entry.mteb is not None:
        return
    if not entry.repo:
        raise BadConfiguration(f"{label}: it needs 'repo', or 'mteb' for a task of MTEB")
    if isinstance(entry, Dataset):
        if entry.subsets:
            raise BadConfiguration(f"{label}.subsets: only a task of MTEB has subsets", "name the task with 'mteb'")
        return
    plain = Model(**{name: getattr(entry, name) for name in GIVEN_FIELDS})
    if entry.kind == "given" and entry != plain:
        other = next(name for name in Model.__struct_fields__ if getattr(entry, name) != getattr(plain, name))
        raise BadConfiguration(f"{label}.{other}: an entry of kind given has only {', '.join(GIVEN_FIELDS)}")
    if entry.full_dimension is not None and entry.full_dimension <= entry.dimension:
        raise BadConfiguration(f"{label}.full_dimension: must be more than dimension, {entry.dimension}")


def _check_run(params: Params, run: Run, label: str) -> None:
    files: dict[str, str] = {}
    named = [(f"{label}.pairs.{key}", key, made) for key, made in run.pairs.items()]
    for where, key, made in (*named, *((f"{label}.vectors.{key}", key, made) for key, made in run.vectors.items())):
        for kind, wanted, known in (("dataset", made.dataset, params.datasets), ("model", made.model, params.models)):
            if wanted not in known:
                message = f"{where}: unknown {kind} {wanted!r}; the catalogue has {', '.join(sorted(known)) or 'none'}"
                raise BadConfiguration(message, f"correct the name, or add {wanted!r} under '{kind}s:'")
        dimension = params.models[made.model].dimension
        if not made.file.endswith(f"_{dimension}d"):
            raise BadConfiguration(f"{where}.file: {made.file!r} must end in _{dimension}d, the model's dimension")
        if made.file in files:
            raise BadConfiguration(f"{where}.file: {made.file!r} is also the file of {files[made.file]}")
        files[made.file] = key
    for key in run.vectors:
        _check_vectors(params, run, key, f"{label}.vectors.{key}")
    pairs = {(pair.dataset, pair.model, pair.file) for pair in run.pairs.values()}
    for key, export in run.exports.items():
        if (export.dataset, export.model, export.file) not in pairs:
            wanted = f"dataset {export.dataset!r}, model {export.model!r} and file {export.file!r}"
            raise BadConfiguration(f"{label}.exports.{key}: no pair set of the run has {wanted}")


def _check_vectors(params: Params, run: Run, key: str, label: str) -> None:
    made = run.vectors[key]
    if params.datasets[made.dataset].mteb is None:
        message = f"{label}: dataset {made.dataset!r} is not a task of MTEB"
        raise BadConfiguration(message, "name the task with 'mteb:' in its entry, or put the line under 'pairs:'")
    if params.models[made.model].kind == GIVEN:
        message = f"{label}: vectors are given for pair sets alone"
        raise BadConfiguration(message, f"put the line under 'pairs:', or give {made.model!r} as a model that is encoded here")
    same = next((name for name, pair in run.pairs.items() if (pair.dataset, pair.model) == (made.dataset, made.model)), None)
    if key in run.pairs or same:
        message = f"{label}: the pair set {same or key} has the same {'dataset and model' if same else 'name'}"
        raise BadConfiguration(message, "leave one of them out, or give it another name")
