"""Result files of MTEB: JSON of either version, read as results with their metrics, as a model-index has them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.base.strict import YamlNode, load_yaml
from aqea_registry.documents.metrics import SIMILARITIES
from aqea_registry.documents.model_index import MOST, IndexEntry, Metric

_NO_METRICS = frozenset({"evaluation_time", "hf_subset", "languages", "scores_per_experiment"})


def read_result_file(content: bytes, document: str, model: str) -> tuple[IndexEntry, ...]:
    """A result for each subset of each split, with JSON pointers as paths. Raises BadConfiguration for any other JSON."""
    top = load_yaml(content.replace(b"\t", b" "), document, aliases=False, printed=True, most=20 * MOST)
    fields: dict[str, YamlNode] = top.value if top is not None and isinstance(top.value, dict) else {}
    name, revision = (_first(fields, keys) for keys in (("task_name", "mteb_dataset_name"), ("dataset_revision",)))
    parts = list(_subsets(fields)) if name else []
    if not name or not any(metrics for *_, metrics in parts):
        message = f"{document}: not a result file of MTEB, which has the name of a task and scores by split"
        raise BadConfiguration(message, "imported are Markdown, HTML, LaTeX, CSV, TSV, and of JSON what mteb writes of a task")
    several = len({split for _, split, _, _ in parts}) > 1
    entries = []
    for path, split, subset, metrics in parts:
        extra = [text for text in (split if several else "", subset if subset != "default" else "") if text]
        shown = f"{name} ({', '.join(extra)})" if extra else name
        found = tuple(metrics)
        entries.append(IndexEntry(path, model, "", name, shown, subset, split, revision, found))
    return tuple(entries)


def _first(fields: Mapping[str, YamlNode], keys: tuple[str, ...]) -> str | None:
    return next((fields[key].value for key in keys if key in fields and isinstance(fields[key].value, str)), None)


def _subsets(fields: Mapping[str, YamlNode]) -> Iterator[tuple[str, str, str, list[Metric]]]:
    """Path, split, subset and metrics. Of version 1 a split holds metrics, by similarity or not, or subsets by their names."""
    scores = fields.get("scores")
    for split, node in _items(scores if scores is not None else YamlNode(dict(fields), 1)):
        if scores is not None:
            for number, subset in enumerate(node.value if isinstance(node.value, list) else ()):
                path = f"/scores/{_key(split)}/{number}"
                yield path, split, _first(dict(_items(subset)), ("hf_subset",)) or "default", list(_metrics(subset, path))
        elif isinstance(node.value, dict):
            named = {key: part for key, part in _items(node) if isinstance(part.value, dict) and key not in SIMILARITIES}
            rest = YamlNode({key: part for key, part in _items(node) if key not in named}, node.line)
            for key, part in {**({"default": rest} if list(_metrics(rest, "")) else {}), **named}.items():
                path = f"/{_key(split)}" + (f"/{_key(key)}" if key in named else "")
                yield path, split, key, list(_metrics(part, path))


def _metrics(node: YamlNode, path: str, before: str = "") -> Iterator[Metric]:
    for key, part in _items(node):
        below = f"{path}/{_key(key)}"
        if isinstance(part.value, dict) and not before:
            yield from _metrics(part, below, f"{key}_")
        elif key not in _NO_METRICS and isinstance(part.value, str):
            yield Metric(below, part.line, before + key, None, part.value, None)


def _items(node: YamlNode) -> list[tuple[str, YamlNode]]:
    return list(node.value.items()) if isinstance(node.value, dict) else []


def _key(text: str) -> str:
    """A key as a part of a JSON pointer."""
    return text.replace("~", "~0").replace("/", "~1")
