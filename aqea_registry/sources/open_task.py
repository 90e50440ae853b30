"""A task of MTEB over a folder of verified pinned files, loaded and looked at.

`datasets` reads a folder of links to the files, in which a README names the configs, and keeps what it unpacks beside it. Both
are made for one call and thrown away: from its cache it takes old rows where a file was replaced. It is kept from the network.
"""

import csv
import itertools
import json
import shutil
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from aqea_registry.base.files import Limit, locked, read_small
from aqea_registry.base.findings import Finding, Refused
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.project.artefact import CatalogueEntry
from aqea_registry.project.params import Dataset
from aqea_registry.project.project import CACHE
from aqea_registry.sources.mteb_tasks import README, TYPES, Configs, completed, read_card, splits_of, task_class, task_configs

Problem = tuple[Literal["wrong", "doubtful", "said"], str]  # `doubtful` is refused in own data


@contextmanager
def open_task(wanted: CatalogueEntry, folder: Path, report: Reporter) -> Iterator[Any]:
    """MTEB's task of an entry over the folder of its verified pinned files, loaded; its data are gone when the context ends.

    Raises Refused if the files are not what the task reads, BadConfiguration, CannotCheck without MTEB. What MTEB passes over
    (a judgement of a document that is not there, an id twice) is said, and refused in own data.
    """
    name, entry, pin = wanted.name, completed(wanted).entry, wanted.pin
    assert isinstance(entry, Dataset) and pin is not None
    cls = task_class(name, entry)
    card = read_card(read_small(folder / README, Limit.DOCUMENT), name) if README in pin.files else {}
    data = sorted({*pin.files} - {README})
    configs = task_configs(name, entry, data, card)
    with _scratch(wanted.root / CACHE) as scratch, _thrown_away(Path(scratch, "cache")):
        view = Path(scratch, "data")
        _link(view, folder, data, card, configs)
        about = {"dataset": {**cls.metadata.dataset, "path": str(view), "revision": "pinned"}}
        fast = cls.fast_loading and "default" in configs
        fields = {"metadata": cls.metadata.model_copy(update=about), "fast_loading": fast}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a task has a later version, that a class is an earlier one
            task = type(cls.__name__, _readers(cls, configs), fields)()
            task.hf_subsets = list(entry.subsets) or task.hf_subsets
            task.filter_eval_splits(splits_of(cls, entry))
            _load(name, task, configs)
        _look(name, entry, task, report)
        yield task


@contextmanager
def _scratch(cache: Path) -> Iterator[str]:
    """A folder of this call's own; those that killed processes left are removed, as nobody holds the locks on them."""
    cache.mkdir(parents=True, exist_ok=True)
    with ExitStack() as locks:
        with locked(cache):  # nobody's folder is without its lock then
            for left in cache.glob("mteb-*"):
                with suppress(OSError), locked(left, wait=False):
                    shutil.rmtree(left)
            scratch = locks.enter_context(tempfile.TemporaryDirectory(prefix="mteb-", dir=cache))
            locks.enter_context(locked(Path(scratch)))
        yield scratch


@contextmanager
def _thrown_away(cache: Path) -> Iterator[None]:
    """`datasets` with this folder in place of its cache, and quiet."""
    import datasets
    from datasets import config

    folders = ("HF_DATASETS_CACHE", "HF_MODULES_CACHE", "DOWNLOADED_DATASETS_PATH", "EXTRACTED_DATASETS_PATH")
    silent = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with _replaced((config,), {folder: cache / folder for folder in folders}):
            yield
    finally:
        if not silent:
            datasets.enable_progress_bars()


@contextmanager
def _replaced(modules: Sequence[Any], values: Mapping[str, object]) -> Iterator[None]:
    """Other values of these names in these modules, while the context lives."""
    before = [(module, name, getattr(module, name)) for module in modules for name in values]
    try:
        for module, name, _ in before:
            setattr(module, name, values[name])
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def _link(view: Path, folder: Path, data: Sequence[str], card: Mapping[str, Any], configs: Configs) -> None:
    """A folder of links to the data, with a README that names configs and what is stated of them, and nothing else."""
    mixed = any(".json" in path for path in data)
    for path in data:
        (view / path).parent.mkdir(parents=True, exist_ok=True)
        if mixed and path.endswith(".tsv"):  # `datasets` reads all of a folder with one reader; BEIR has judgements as TSV
            try:
                lines = (folder / path).read_text("utf-8").split("\n")  # data: as large as it is
                rows = [*csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)]
            except (UnicodeDecodeError, csv.Error) as error:
                raise Refused.of("malformed", path, f"not TSV in UTF-8: {error}") from error
            (view / path).write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
        else:
            (view / path).symlink_to((folder / path).resolve())
    stated = card.get("dataset_info")
    known = [info for info in (stated if isinstance(stated, list) else [stated]) if isinstance(info, dict)]
    infos = [info for info in known if str(info.get("config_name", "default")) in configs]
    front = {"configs": [*configs.values()], **({"dataset_info": infos} if infos else {})}
    (view / README).write_text(f"---\n{json.dumps(front)}\n---\n", "utf-8")


def _readers(cls: Any, configs: Collection[str]) -> tuple[Any, ...]:
    """MTEB's class, and before it, where a row is a query with its documents, the reader of that earlier form of reranking."""
    from mteb.abstasks import AbsTaskRetrieval
    from mteb.abstasks.text import reranking

    if cls.metadata.type != "Reranking" or cls.load_data is not AbsTaskRetrieval.load_data:
        return (cls,)
    if any(config.endswith("corpus") for config in configs):
        return (cls,)
    reranking.OLD_FORMAT_RERANKING_TASKS.append(cls.metadata.name)
    return reranking.AbsTaskReranking, cls


def _load(name: str, task: Any, configs: Configs) -> None:
    from datasets import config
    from huggingface_hub import constants
    from mteb.abstasks import AbsTaskRetrieval

    try:
        with _replaced((config, constants), {"HF_HUB_OFFLINE": True}):
            task.load_data()
        if isinstance(task, AbsTaskRetrieval):
            task.convert_v1_dataset_format_to_v2(num_proc=None)
            for data in (data for splits in task.dataset.values() for data in splits.values()):
                data["relevant_docs"] = dict(sorted(data["relevant_docs"].items()))  # they come in any order
    except Exception as error:  # whatever `datasets`, polars and a task's own code raise
        while error.__cause__ is not None and isinstance(error.__cause__, Exception):
            error = error.__cause__
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        reason = "its code asks the Hub for more than these" if "offline" in reason.lower() else reason
        has = f"they have the configs {', '.join(map(repr, configs)) or 'none'}"
        if "corpus" in configs and {"default", "qrels"}.isdisjoint(configs):
            has += "; for judgements in a repository of their own, put all files into a folder, kind: directory"
        message = f"MTEB cannot read the pinned files as {task.metadata.name}: {reason}; {has}"
        hint = f"look at 'repo', 'revision' and 'files' of {name} in params.yaml, and pin it again"
        raise Refused.of("malformed", name, message, hint=hint) from error


def _look(name: str, entry: Dataset, task: Any, report: Reporter) -> None:
    """Refuse what no score can be made of, and in own data what is wrong; say what MTEB passes over."""
    problems = [*_problems(task)]
    refused = ("wrong", "doubtful") if entry.mteb in TYPES else ("wrong",)
    if wrong := [Finding("malformed", name, text) for level, text in problems if level in refused]:
        hint = f"correct the files or the entry in params.yaml, then: aqea-registry pin {name}"
        raise Refused(f"{name}: {wrong[0].message}", wrong, hint)
    for _, text in problems:
        report.note(f"{name}: {text}")


def _problems(task: Any) -> Iterator[Problem]:
    """What is wrong with a task's tables, subset by subset and split by split."""
    from mteb.abstasks import AbsTaskRetrieval

    for subset, split in itertools.product(task.hf_subsets, task.eval_splits):
        tables, problems = task.dataset.get(subset, task.dataset), list[Problem]()
        needed = [split, *([task.train_split] if hasattr(task, "train_split") else [])]
        if lacking := [part for part in needed if part not in tables]:
            problems = [("wrong", f"the split {lacking[0]!r} is missing; it has {', '.join(map(str, tables)) or 'none'}")]
        elif isinstance(task, AbsTaskRetrieval):
            data = tables[split]
            for kind in ("corpus", "queries"):
                problems += [("wrong", f"{kind}: {text}") for text in _bad_columns(data[kind], ["id", "text"], [])]
            problems = problems or [*_judged(data)]
        else:
            for part in needed:
                problems += [
                    ("wrong", text) for text in _bad_columns(tables[part], list(task._get_content_columns()), _named(task))
                ]
        yield from ((level, f"{subset}, {split}: {text}") for level, text in problems)


def _named(task: Any) -> set[str]:
    """The columns that a task names, its texts among them."""
    values = [getattr(task, name) for name in dir(type(task)) if name.endswith(("_column_name", "column_names"))]
    named = {column for value in values for column in ([value] if isinstance(value, str) else value or ())}
    return named | ({"score"} if task.metadata.type == "STS" else set())


def _bad_columns(rows: Any, texts: Sequence[str], others: Collection[str]) -> Iterator[str]:
    """Which columns a table lacks, and which of its texts are not texts."""
    has = rows.column_names
    for column in dict.fromkeys([*texts, *sorted(others)]):
        if column not in has:
            yield f"the column {column!r} is missing; it has {', '.join(map(repr, has))}"
        elif column in texts:
            kind = str(rows.data.schema.field(column).type)
            if empty := rows.data.column(column).null_count:
                yield f"{column!r} is missing in {plural(empty, 'row')} (of CSV, `datasets` takes words like NA for missing)"
            if "string" not in kind:
                yield f"{column!r} was read as {kind}, not as text (`datasets` guesses in JSON and CSV; write Parquet)"


def _judged(data: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong between documents, queries and judgements, and what MTEB does about others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    documents, queries, judgements = data["corpus"].data.column("id"), data["queries"]["id"][:], data["relevant_docs"]
    for what, many, twice in (
        ("document", "documents", len(documents) - pc.count_distinct(documents).as_py()),
        ("query", "queries", len(queries) - len({*queries})),
    ):
        if twice:
            yield "doubtful", f"{plural(twice, what, many)} with an id that another has"
    judged = pa.array(sorted({document for found in judgements.values() for document in found}), pa.string())
    if absent := judged.filter(pc.invert(pc.is_in(judged, value_set=documents))).to_pylist():
        yield "doubtful", f"{plural(len(absent), 'judged document')} not in the corpus: {', '.join(absent[:3])}"
    if unasked := sorted({*judgements} - {*queries}):
        yield "doubtful", f"{plural(len(unasked), 'judged query', 'judged queries')} not asked: {', '.join(unasked[:3])}"
    splits, split = data["queries"].info.splits, str(data["queries"].split)
    if left_out := (splits[split].num_examples if splits and split in splits else len(queries)) - len(queries):
        yield "said", f"{plural(left_out, 'query', 'queries')} without judgements, which MTEB leaves out"
    if hopeless := sum(1 for found in judgements.values() if not any(score > 0 for score in found.values())):
        yield "said", f"{plural(hopeless, 'query', 'queries')} without a relevant document, which MTEB scores 0"
    texts = [data[kind].data.column("text") for kind in ("corpus", "queries")]
    if empty := sum(pc.sum(pc.equal(text, "")).as_py() or 0 for text in texts if "string" in str(text.type)[:12]):
        yield "said", f"{plural(empty, 'empty text')}, encoded as it is"
