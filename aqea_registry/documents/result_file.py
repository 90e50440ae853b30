"""Result files of MTEB: JSON of either version, read as results with their metrics, as a model-index has them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.base.strict import YamlNode, load_yaml
from aqea_registry.documents.metrics import SIMILARITIES
from aqea_registry.documents.model_index import MOST, IndexEntry, Metric

_NO_METRICS = frozenset({"evaluation_time", "hf_subset", "kg_co2_emissions", "languages", "mteb_version"})
_NO_SUBSETS = {*SIMILARITIES, "scores_per_experiment", "similarity", "v_measures"}  # of metrics that version 1 nests


def read_result_file(content: bytes, document: str, model: str, revision: str | None = None) -> tuple[IndexEntry, ...]:
    """A result for each subset of each split, with JSON pointers as paths. Raises BadConfiguration for any other JSON.

    The model and its `revision` are of all: the file does not name them.
    """
    top = load_yaml(content.replace(b"\t", b" "), document, aliases=False, printed=True, most=20 * MOST)
    fields: dict[str, YamlNode] = top.value if top is not None and isinstance(top.value, dict) else {}
    name, pinned = (_first(fields, keys) for keys in (("task_name", "mteb_dataset_name"), ("dataset_revision",)))
    parts = list(_subsets(fields)) if name else []
    entries = []
    for path, split, subset, node in parts:
        several = len({split for _, split, _, _ in parts}) > 1
        extra = [text for text in (split if several else "", subset if subset != "default" else "") if text]
        shown = f"{name} ({', '.join(extra)})" if extra else name or ""
        version = _first(dict(_items(node)), ("mteb_version",)) or _first(fields, ("mteb_version",))
        found = tuple(_metrics(node, path, revision))
        entries.append(IndexEntry(path, model, "", name or "", shown, subset, split, pinned, found, version))
    if sum(len(entry.metrics) for entry in entries) > MOST:
        raise BadConfiguration(f"{document}: more than {MOST} numbers", "import a file without those of each run or label")
    if not any(entry.metrics for entry in entries):
        message = f"{document}: not a result file of MTEB, which has the name of a task and scores by split"
        raise BadConfiguration(message, "imported are Markdown, HTML, LaTeX, CSV, TSV, and of JSON what mteb writes of a task")
    return tuple(entries)


def _first(fields: Mapping[str, YamlNode], keys: tuple[str, ...]) -> str | None:
    return next((fields[key].value for key in keys if key in fields and isinstance(fields[key].value, str)), None)


def _subsets(fields: Mapping[str, YamlNode]) -> Iterator[tuple[str, str, str, YamlNode]]:
    """Path, split, subset and metrics. Of version 1 a split holds metrics, by similarity or not, or subsets by their names."""
    scores = fields.get("scores")
    for split, node in _items(scores if scores is not None else YamlNode(dict(fields), 1)):
        if scores is not None:
            for number, subset in _items(node) if isinstance(node.value, list) else ():
                name = _first(dict(_items(subset)), ("hf_subset",)) or "default"
                yield f"/scores/{_key(split)}/{number}", split, name, subset
        elif isinstance(node.value, dict):
            named = {key: part for key, part in _items(node) if isinstance(part.value, dict) and key not in _NO_SUBSETS}
            rest = YamlNode({key: part for key, part in _items(node) if key not in named}, node.line)
            for key, part in {**({"default": rest} if list(_metrics(rest, "", None)) else {}), **named}.items():
                yield f"/{_key(split)}" + (f"/{_key(key)}" if key in named else ""), split, key, part


def _metrics(node: YamlNode, path: str, revision: str | None, before: str = "") -> Iterator[Metric]:
    """Every number, and what stands for one; in a list or below another name it is called by both."""
    for key, part in _items(node):
        below = f"{path}/{_key(key)}"
        if isinstance(part.value, str) and (before or key not in _NO_METRICS):
            yield Metric(below, part.line, before + key, None, part.value, revision)
        elif before or key not in _NO_METRICS:
            yield from _metrics(part, below, revision, f"{before}{key}_")


def _items(node: YamlNode) -> list[tuple[str, YamlNode]]:
    """The values of a mapping by their names, or of a list by their numbers."""
    if isinstance(node.value, list):
        return [(str(number), part) for number, part in enumerate(node.value)]
    return list(node.value.items()) if isinstance(node.value, dict) else []


def _key(text: str) -> str:
    """A key as a part of a JSON pointer."""
    return text.replace("~", "~0").replace("/", "~1")
