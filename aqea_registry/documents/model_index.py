"""A model card's `model-index` as it is printed: the text and the line of every value, which loading as YAML would lose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.base.strict import YamlNode, load_yaml

LARGEST = 1 << 20  # characters of a front matter; a thousand values take 75,000
MOST = 20_000  # values; aliases may name one list many times
# Where the Hub sees a front matter.
_BLOCK = re.compile(r"^(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(\r\n|\n|$))")


class Metric(NamedTuple):
    """A value of a result: path, line, type and name of the metric, value as printed (None: no scalar), model revision."""

    path: str
    line: int
    type: str
    name: str | None
    value: str | None
    model_revision: str | None


class IndexEntry(NamedTuple):
    """A result of the model-index: a model on a split of a dataset. Texts are as printed; None is not given.

    `version` is that of mteb, which a result file has.
    """

    path: str
    model: str
    task: str
    dataset: str
    name: str
    config: str | None
    split: str | None
    revision: str | None
    metrics: tuple[Metric, ...]
    version: str | None = None


class FrontMatter(NamedTuple):
    """The YAML at the head of a document: the whole block, what follows it, and the number of lines before that."""

    text: str
    rest: str
    lines: int

    @property
    def yaml(self) -> bytes:
        """The block without the `---` that closes it: lines count as in the document."""
        return self.text[: self.text.rindex("---")].encode()


def split_front_matter(text: str, document: str) -> FrontMatter | None:
    """The front matter of a document, if it has one. Raises BadConfiguration if it does not end or is too large."""
    block = _BLOCK.match(text)
    if block is None:
        if re.match(r"\s*---[\r\n]", text) and re.search(r"^model-index\s*:", text, re.MULTILINE):
            raise BadConfiguration(f"{document}: the front matter does not end", "close it with a line of three hyphens")
        return None
    if len(block[0]) > LARGEST:
        raise BadConfiguration(f"{document}: the front matter is larger than {LARGEST >> 20} MiB, too large for a model card")
    return FrontMatter(block[0], text[block.end() :], len(re.findall(r"\r\n|\r|\n", block[0])))


def read_model_index(front: FrontMatter, document: str) -> tuple[IndexEntry, ...] | None:
    """Every result of the front matter's model-index in order; None if there is none. Raises BadConfiguration."""
    try:
        root = load_yaml(front.yaml, f"{document}: front matter", printed=True, most=300_000)
        top = _mapping(root or YamlNode(None, 1), "front matter")
        return tuple(_entries(top["model-index"])) if "model-index" in top else None
    except _Wrong as error:
        raise BadConfiguration(f"{document}: {error}", "correct the model-index of the card") from error


class _Wrong(Exception):
    """Something is not as a model-index has it: its path, the value, and what is wrong."""

    def __init__(self, path: str, node: YamlNode, message: str) -> None:
        super().__init__(f"{path} (line {node.line}): {message}")


def _entries(models: YamlNode) -> Iterator[IndexEntry]:
    count = 0
    for m, model in enumerate(_items(models, "model-index")):
        path = f"model-index/{m}"
        name = _needed(model, "name", path)
        for r, result in enumerate(_items(_given(model, "results", path), f"{path}/results")):
            entry = _entry(result, f"{path}/results/{r}", name)
            count += 1 + len(entry.metrics)
            if count > MOST:
                raise _Wrong(entry.path, result, f"more than {MOST} values")
            yield entry


def _entry(result: YamlNode, path: str, model: str) -> IndexEntry:
    task, dataset, metrics = (_given(result, key, path) for key in ("task", "dataset", "metrics"))
    config, split, revision = (_text(_mapping(dataset, f"{path}/dataset").get(key)) for key in ("config", "split", "revision"))
    return IndexEntry(
        path=path,
        model=model,
        task=_needed(task, "type", f"{path}/task"),
        dataset=_needed(dataset, "type", f"{path}/dataset"),
        name=_needed(dataset, "name", f"{path}/dataset"),
        config=config,
        split=split,
        revision=revision,
        metrics=tuple(_metric(metric, f"{path}/metrics/{n}") for n, metric in enumerate(_items(metrics, f"{path}/metrics"))),
    )


def _metric(metric: YamlNode, path: str) -> Metric:
    value = _given(metric, "value", path)
    arguments = metric.value["args"].value if "args" in metric.value else None
    return Metric(
        path=f"{path}/value",
        line=value.line,
        type=_needed(metric, "type", path),
        name=_text(metric.value.get("name")),
        value=_text(value),
        model_revision=_text(arguments.get("model_revision")) if isinstance(arguments, dict) else None,
    )


def _mapping(node: YamlNode, path: str) -> dict[Any, YamlNode]:
    if not isinstance(node.value, dict):
        raise _Wrong(path, node, "not a mapping")
    return node.value


def _items(node: YamlNode, path: str) -> list[YamlNode]:
    if not isinstance(node.value, list):
        raise _Wrong(path, node, "not a list")
    return node.value[: MOST + 1]


def _given(node: YamlNode, key: str, path: str) -> YamlNode:
    if key not in _mapping(node, path):
        raise _Wrong(path, node, f"it has no {key!r}")
    return _mapping(node, path)[key]


def _needed(node: YamlNode, key: str, path: str) -> str:
    text = _text(value := _given(node, key, path))
    if not text:
        raise _Wrong(path, value, f"{key!r} is not a text")
    return text


def _text(node: YamlNode | None) -> str | None:
    """A scalar as printed; None for null and for what is not a scalar."""
    return node.value if node is not None and isinstance(node.value, str) else None
