"""A task of MTEB over a folder of verified pinned files, loaded and looked at.

`datasets` reads a folder of links to the files, in which a README names the configs, and keeps what it unpacks beside it. Both
are made for one call and thrown away: from its cache it takes old rows where a file was replaced. It is kept from the network.
"""

import itertools
import json
import re
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aqea_registry.base.findings import Finding, Refused
from aqea_registry.base.progress import Reporter, plural
from aqea_registry.project.artefact import CatalogueEntry
from aqea_registry.project.params import Dataset
from aqea_registry.project.project import CACHE
from aqea_registry.sources.mteb_tasks import (
    DATA,
    README,
    TYPES,
    Configs,
    card_configs,
    completed,
    configs_by_name,
    read_card,
    splits_of,
    task_class,
    wanted_configs,
)


@contextmanager
def open_task(wanted: CatalogueEntry, folder: Path, report: Reporter) -> Iterator[Any]:
    """MTEB's task of an entry over the folder of its verified pinned files, loaded; its data are gone when the context ends.

    Raises Refused if the files are not what the task reads, BadConfiguration, CannotCheck without MTEB. What MTEB passes over
    (a judgement of a document that is not there, an id twice) is said, and refused in own data.
    """
    name, entry, pin = wanted.name, completed(wanted).entry, wanted.pin
    assert isinstance(entry, Dataset) and pin is not None
    cls = task_class(name, entry)
    card = read_card((folder / README).read_bytes(), name) if README in pin.files else {}
    data = sorted(path for path in pin.files if DATA.fullmatch(path))
    configs = wanted_configs(cls, entry, card_configs(card, name)) or configs_by_name(cls, entry, data)
    scratch = wanted.root / CACHE
    scratch.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mteb-", dir=scratch) as place, _thrown_away(Path(place, "cache")):
        view = Path(place, "data")
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
def _thrown_away(cache: Path) -> Iterator[None]:
    """`datasets` without a network, and with this folder in place of its cache."""
    import datasets
    from datasets import config
    from huggingface_hub import constants

    silent, where = datasets.are_progress_bars_disabled(), {"HF_DATASETS_CACHE": cache, "HF_MODULES_CACHE": cache / "modules"}
    changed: dict[tuple[Any, str], Any] = {(config, name): path for name, path in where.items()}
    changed |= {(config, f"{kind}_DATASETS_PATH"): cache / kind.lower() for kind in ("DOWNLOADED", "EXTRACTED")}
    changed |= {(module, "HF_HUB_OFFLINE"): True for module in (config, constants)}
    before = {(module, name): getattr(module, name) for module, name in changed}
    datasets.disable_progress_bars()
    try:
        for (module, name), value in changed.items():
            setattr(module, name, value)
        yield
    finally:
        for (module, name), value in before.items():
            setattr(module, name, value)
        if not silent:
            datasets.enable_progress_bars()


def _link(view: Path, folder: Path, data: Sequence[str], card: Mapping[str, Any], configs: Configs) -> None:
    """A folder of links to the data, with a README that names configs and what is stated of them, and nothing else."""
    for path in data:
        (view / path).parent.mkdir(parents=True, exist_ok=True)
        (view / path).symlink_to((folder / path).resolve())
    stated = card.get("dataset_info")
    known = stated if isinstance(stated, list) else [stated] if isinstance(stated, dict) else []
    infos = [info for info in known if info.get("config_name", "default") in configs]
    front = {"configs": [*configs.values()], **({"dataset_info": infos} if infos else {})}
    (view / README).write_text(f"---\n{json.dumps(front)}\n---\n", "utf-8")


def _readers(cls: Any, configs: Collection[str]) -> tuple[Any, ...]:
    """MTEB's class, and before it, where a row is a query with its documents, the reader of that earlier form of reranking."""
    from mteb.abstasks import AbsTaskRetrieval
    from mteb.abstasks.text import reranking

    if cls.metadata.type != "Reranking" or cls.load_data is not AbsTaskRetrieval.load_data or _has(configs, "corpus"):
        return (cls,)
    reranking.OLD_FORMAT_RERANKING_TASKS.append(cls.metadata.name)
    return reranking.AbsTaskReranking, cls


def _has(configs: Collection[str], *parts: str) -> bool:
    return any(config == part or config.endswith(f"-{part}") for config in configs for part in parts)


def _load(name: str, task: Any, configs: Configs) -> None:
    from mteb.abstasks import AbsTaskRetrieval

    has = f"they have {', '.join(map(repr, configs)) or 'none'}"
    hint = f"look at 'repo', 'revision' and 'files' of {name} in params.yaml, and pin it again"
    if type(task).load_data is AbsTaskRetrieval.load_data:
        for parts in (("corpus",), ("queries", "query"), ("default", "qrels")):
            if not _has(configs, *parts):
                message = f"the pinned files lack the config {parts[0]!r} that {task.metadata.name} reads; {has}"
                raise Refused.of("malformed", name, message, hint=hint)
    try:
        task.load_data()
        if isinstance(task, AbsTaskRetrieval):
            task.convert_v1_dataset_format_to_v2(num_proc=None)
            for data in (data for splits in task.dataset.values() for data in splits.values()):
                data["relevant_docs"] = dict(sorted(data["relevant_docs"].items()))  # they come in any order
    except Exception as error:  # whatever `datasets`, polars and a task's own code raise
        while error.__cause__ is not None and isinstance(error.__cause__, Exception):
            error = error.__cause__
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        message = f"MTEB cannot read the pinned files as {task.metadata.name}: {reason}; of configs {has}"
        raise Refused.of("malformed", name, message, hint=hint) from error


def _look(name: str, entry: Dataset, task: Any, report: Reporter) -> None:
    """Refuse what no score can be made of, and in own data what is wrong; say what MTEB passes over."""
    from mteb.abstasks import AbsTaskRetrieval

    wrong, doubtful, said = list[str](), list[str](), list[str]()
    for subset, split in itertools.product(task.hf_subsets, task.eval_splits):
        parts = task.dataset.get(subset, task.dataset if subset == "default" else {})
        here = f"{subset}, {split}: "
        needed = [split, *([task.train_split] if hasattr(task, "train_split") else [])]
        if lacking := [part for part in needed if part not in parts]:
            wrong.append(f"{here}the split {lacking[0]!r} is missing; it has {', '.join(parts) or 'none'}")
        elif isinstance(task, AbsTaskRetrieval):
            data = parts[split]
            for kind in ("corpus", "queries"):
                wrong += [f"{here}{kind}: {problem}" for problem in _bad_columns(data[kind], ["id", "text"], ["id", "text"])]
            if not wrong:
                more, notes = _judged(data)
                doubtful += [here + text for text in more]
                said += [here + text for text in notes]
        else:
            for part in needed:
                texts = list(task._get_content_columns())
                columns = [*texts, *_column_names(task)]
                wrong += [f"{here}{problem}" for problem in _bad_columns(parts[part], columns, texts)]
    if wrong := [*wrong, *(doubtful if entry.mteb in TYPES else [])]:
        hint = f"correct the files or the entry in params.yaml, then: aqea-registry pin {name}"
        raise Refused(f"{name}: {wrong[0]}", [Finding("malformed", name, text) for text in wrong], hint)
    for text in [*doubtful, *said]:
        report.note(f"{name}: {text}")


def _column_names(task: Any) -> list[str]:
    """The columns that a task names, beside its texts."""
    values = [getattr(task, name) for name in dir(type(task)) if name.endswith(("_column_name", "column_names"))]
    named = {column for value in values for column in ([value] if isinstance(value, str) else value or ())}
    return sorted(named | ({"score"} if task.metadata.type == "STS" else set()))


def _bad_columns(rows: Any, columns: Sequence[str], texts: Sequence[str]) -> Iterator[str]:
    """Which columns a table lacks, and which of its texts are not texts."""
    has = rows.column_names
    for column in dict.fromkeys(columns):
        if column not in has:
            yield f"the column {column!r} is missing; it has {', '.join(map(repr, has))}"
        elif column in texts:
            kind = str(rows.data.schema.field(column).type)
            if empty := rows.data.column(column).null_count:
                yield f"{column!r} is missing in {plural(empty, 'row')} (of CSV, `datasets` takes words like NA for missing)"
            if not re.search("string", kind):
                yield f"{column!r} was read as {kind}, not as text (`datasets` guesses in JSON and CSV; write Parquet)"


def _judged(data: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What is wrong between documents, queries and judgements; and what MTEB does about others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    documents, queries = data["corpus"].data.column("id"), pa.array(data["queries"]["id"], pa.string())
    judgements = data["relevant_docs"]
    judged = pa.array(sorted({document for found in judgements.values() for document in found}), pa.string())
    absent = judged.filter(pc.invert(pc.is_in(judged, value_set=documents)))
    unasked = sorted({*judgements} - {*queries.to_pylist()})
    hopeless = [query for query, found in sorted(judgements.items()) if not any(score > 0 for score in found.values())]
    empty = sum(pc.sum(pc.equal(data[kind].data.column("text"), "")).as_py() or 0 for kind in ("corpus", "queries"))
    twice = [len(ids) - pc.count_distinct(ids).as_py() for ids in (documents, queries)]
    wrong = {
        f"{plural(twice[0], 'document')} with an id that another has": twice[0],
        f"{plural(twice[1], 'query', 'queries')} with an id that another has": twice[1],
        f"{plural(len(absent), 'judged document')} not in the corpus: {', '.join(absent[:3].to_pylist())}": len(absent),
        f"{plural(len(unasked), 'judged query', 'judged queries')} not asked: {', '.join(unasked[:3])}": len(unasked),
    }
    notes = {
        f"{plural(len(hopeless), 'query', 'queries')} without a relevant document, which MTEB scores 0": len(hopeless),
        f"{plural(empty, 'empty text')}, encoded as it is": empty,
    }
    return [text for text, count in wrong.items() if count], [text for text, count in notes.items() if count]
