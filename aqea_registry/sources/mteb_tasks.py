"""Tasks of MTEB: what a catalogue entry's task is, what its metadata say of the dataset, and which files it reads.

MTEB's own code loads, transforms and scores; here is what it is given. Nothing in a repository is run, and a README that leads
out of it is refused.
"""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from importlib import metadata
from typing import Any

import msgspec

from aqea_registry.base.extras import require
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused, suggestion
from aqea_registry.base.strict import load_yaml
from aqea_registry.documents.model_index import split_front_matter
from aqea_registry.project.artefact import CatalogueEntry
from aqea_registry.project.params import Columns, Dataset
from aqea_registry.sources.rows import splits_named

TESTED = ">=2.26.24,<2.27"  # versions of mteb
README = "README.md"
MOST_OF_CARD = 50_000  # values of its front matter
DATA = re.compile(r"(.+)\.(jsonl?|ndjson|csv|tsv|parquet)(\.gz)?")  # names of files that `datasets` reads
OUTSIDE = re.compile(r"::|://|^/|(^|/)\.\.(/|$)")  # in a path that leads out of its folder, or that fsspec takes for a chain
# Types that own data may have: MTEB's class of them, and the score that it shows first.
TYPES = {
    "BitextMining": ("AbsTaskBitextMining", "f1"),
    "Classification": ("AbsTaskClassification", "accuracy"),
    "Clustering": ("AbsTaskClustering", "v_measure"),
    "MultilabelClassification": ("AbsTaskMultilabelClassification", "accuracy"),
    "PairClassification": ("AbsTaskPairClassification", "max_ap"),
    "Regression": ("AbsTaskRegression", "kendalltau"),
    "Reranking": ("AbsTaskRetrieval", "map_at_1000"),
    "Retrieval": ("AbsTaskRetrieval", "ndcg_at_10"),
    "STS": ("AbsTaskSTS", "cosine_spearman"),
    "Summarization": ("AbsTaskSummarization", "cosine_spearman"),
}
PARTS = ("corpus", "queries", "query", "default", "qrels", "top_ranked", "instruction")  # configs of a retrieval
Configs = dict[str, dict[str, Any]]  # by their names, as a README has them


def task_class(name: str, entry: Dataset) -> Any:
    """MTEB's class of an entry's task; of own data, one of its type. Raises BadConfiguration, CannotCheck without MTEB."""
    require("a task of MTEB")
    from mteb.get_tasks import TASK_LIST
    from packaging.specifiers import SpecifierSet

    if (version := metadata.version("mteb")) not in SpecifierSet(TESTED):
        message = f"mteb {version} is installed, and its scores are known for {TESTED} alone"
        raise CannotCheck(message, f"pip install 'mteb{TESTED}'")
    if entry.mteb in TYPES:
        return _own(name, entry)
    if (cls := next((cls for cls in TASK_LIST if cls.metadata.name == entry.mteb), None)) is None:
        known, wanted = [*TYPES, *(cls.metadata.name for cls in TASK_LIST)], entry.mteb or ""
        raise BadConfiguration(f"{name}: mteb {version} has no task {wanted!r}", suggestion(wanted, known))
    if cls.metadata.modalities != ["text"]:
        message = f"{name}: {entry.mteb} is a task of {' and '.join(cls.metadata.modalities)}, and models here encode text"
        raise BadConfiguration(message, "name a task of text")
    if parts := [task.metadata.name for task in getattr(cls.metadata, "tasks", ())]:
        message = f"{name}: {entry.mteb} is the mean of other tasks and has no data of its own"
        raise BadConfiguration(message, f"an entry for each of {', '.join(parts)}; a claim takes their mean by a formula")
    subsets = cls.metadata.hf_subsets
    if unknown := [subset for subset in entry.subsets if subset not in subsets]:
        hint = suggestion(unknown[0], subsets, f"it has {', '.join(subsets)}")
        raise BadConfiguration(f"{name}: {entry.mteb} has no subset {unknown[0]!r}", hint)
    return cls


def _own(name: str, entry: Dataset) -> Any:
    from mteb import abstasks
    from mteb.abstasks.task_metadata import TaskMetadata

    form, score = TYPES[str(entry.mteb)]
    about = TaskMetadata(
        name=name,
        description="own data",
        dataset={"path": entry.repo or name, "revision": "own"},
        type=entry.mteb,
        eval_splits=entry.split_name.split("+"),
        eval_langs={subset: ["und-Zyyy"] for subset in entry.subsets} or ["und-Zyyy"],
        main_score=score,
    )
    base, columns = getattr(abstasks, form), (entry.columns.sentence1, entry.columns.sentence2)
    scale = dict(zip(("min_score", "max_score"), entry.score_range, strict=True))
    named = {"column_names": columns} if hasattr(base, "column_names") else {}  # other types have other columns
    return type("OwnTask", (base,), {"metadata": about, **named, **scale})


def completed(wanted: CatalogueEntry) -> CatalogueEntry:
    """The entry with what only MTEB's metadata say of it; other entries, and own data, as they are. Raises BadConfiguration.

    One subset of an STS task is completed to what the reader of pair sets needs.
    """
    name, entry = wanted.name, wanted.entry
    if not isinstance(entry, Dataset) or entry.mteb is None or entry.mteb in TYPES:
        return wanted
    cls = task_class(name, entry)
    where = cls.metadata.dataset
    ours = entry.kind == "dataset" and entry.commit is None and entry.repo in ("", where["path"])
    revision = entry.revision or (where["revision"] if ours else None)
    repo = entry.repo or (where["path"] if entry.kind == "dataset" else name)
    made = msgspec.structs.replace(entry, repo=repo, revision=revision)
    if reads_rows(name, entry):
        limits = entry.score_range if entry.score_range != Dataset(repo=name).score_range else (cls.min_score, cls.max_score)
        first, second = cls.column_names
        columns = Columns(sentence1=first, sentence2=second) if entry.columns == Columns() else entry.columns
        config = where.get("name", (entry.subsets or cls.metadata.hf_subsets)[0]) if entry.config == "default" else entry.config
        split = entry.split or cls.metadata.eval_splits[0]
        made = msgspec.structs.replace(made, score_range=limits, columns=columns, config=config, split=split)
    return wanted._replace(entry=made)


def reads_rows(name: str, entry: Dataset) -> bool:
    """Whether our own reader of rows reads it: no task of MTEB, or one subset of STS."""
    if entry.mteb is None:
        return True
    cls = task_class(name, entry)
    return bool(cls.metadata.type == "STS" and len(entry.subsets or cls.metadata.hf_subsets) == 1)


def task_files(name: str, entry: Dataset, present: Sequence[str], card: Mapping[str, Any]) -> list[str]:
    """The files of a repository that a completed entry's task reads, with the card that names them if one does.

    None for what our own reader reads: its files are those of its config and split.
    """
    if reads_rows(name, entry):
        return []
    patterns = [path for config in task_configs(name, entry, present, card).values() for path in _patterns(config)]
    chosen = [path for path in present if DATA.fullmatch(path) and any(fnmatchcase(path, pattern) for pattern in patterns)]
    return sorted([*chosen, *([README] if "configs" in card else [])]) if chosen else []


def task_configs(name: str, entry: Dataset, present: Sequence[str], card: Mapping[str, Any]) -> Configs:
    """The configs that a task reads: of those that the README lists, else by the names of files. Raises Refused.

    No path in a README may lead out of the repository.
    """
    cls, listed = task_class(name, entry), card.get("configs")
    known = [config for config in listed if isinstance(config, dict)] if isinstance(listed, list) else []
    for path in (path for config in known for path in _patterns(config)):
        if OUTSIDE.search(path):
            raise Refused.of("unsafe-path", f"{name}: {README}", f"{path!r} leads out of the repository")
    if known:
        return _wanted(cls, entry, {str(config.get("config_name")): config for config in known})
    return _by_name(cls, entry, sorted(filter(DATA.fullmatch, present)))


def _patterns(config: Mapping[str, Any]) -> list[str]:
    """Globs of a config's files, of all its splits; what else is named there matches no file."""
    named, texts, folder = [config.get("data_files")], list[str](), config.get("data_dir")
    while named:
        value = named.pop()
        named += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        texts += [value] if isinstance(value, str) and value else ()
    return [f"{folder}/{text}" if folder else text for text in texts or ["*"]]


def _wanted(cls: Any, entry: Dataset, configs: Configs) -> Configs:
    """Those of a README's configs that the task reads: all, where it loads its data in its own way."""
    from mteb.abstasks import AbsTask, AbsTaskRetrieval

    subsets = entry.subsets or cls.metadata.hf_subsets
    if issubclass(cls, AbsTaskRetrieval):
        names = {part if subset == "default" else f"{subset}-{part}" for subset in subsets for part in PARTS}
        plain = cls.load_data is AbsTaskRetrieval.load_data and not names.isdisjoint(configs)
    else:
        names = {cls.metadata.dataset.get("name", subset) for subset in subsets}
        names = {"default"} if cls.fast_loading and not names <= {*configs} else names
        plain = cls.load_data is AbsTask.load_data
    return {name: config for name, config in configs.items() if not plain or name in names}


def _by_name(cls: Any, entry: Dataset, present: Sequence[str]) -> Configs:
    """Configs of a repository whose README has none, by the names that people give to such files and folders."""
    from mteb.abstasks import AbsTaskRetrieval

    subsets, splits = entry.subsets or cls.metadata.hf_subsets, splits_of(cls, entry)
    single = (
        cls.metadata.dataset.get("name", subsets[0]) if len(subsets) == 1 and subsets[0] in ("default", entry.config) else ""
    )
    parts = {path: [re.split(r"[.]|-\d{5}-of-", part)[0] for part in path.split("/")] for path in present}
    retrieval = issubclass(cls, AbsTaskRetrieval) and any("corpus" in of for of in parts.values())
    named = any(map(splits_named, parts))  # where some files are called after splits, others are no data
    files_of: dict[str, dict[str, list[str]]] = {}
    for path, of in parts.items():
        own = splits_named(path)
        split = next((split for split in splits if split in of or splits_named(split) & own), next(iter(own), splits[0]))
        name = next((part for part in of if part in (PARTS if retrieval else subsets)), "" if retrieval else single)
        if name and (retrieval or own or not named):
            files_of.setdefault(name, {}).setdefault(name if name in PARTS[:3] else split, []).append(path)
    return {
        name: {"config_name": name, "data_files": [{"split": split, "path": paths} for split, paths in of.items()]}
        for name, of in files_of.items()
    }


def splits_of(cls: Any, entry: Dataset) -> list[str]:
    """The splits that are scored."""
    return entry.split.split("+") if entry.split else list(cls.metadata.eval_splits)


def read_card(content: bytes, name: str) -> dict[str, Any]:
    """The front matter of a dataset's README, empty if there is none. Raises BadConfiguration."""
    front = split_front_matter(content.decode("utf-8-sig", "replace"), README)
    value = load_yaml(front.yaml, f"{name}: {README}", most=MOST_OF_CARD) if front else {}
    return value if isinstance(value, dict) else {}
