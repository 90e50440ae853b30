"""A model card's `model-index` as it is printed: the text and the line of every value, which loading as YAML would lose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import yaml

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.base.strict import DEEPEST

LARGEST = 1 << 20  # characters of a front matter; a thousand values take 75,000
MOST = 20_000  # values; aliases may name one list many times


# Where the Hub sees a front matter.
_BLOCK = re.compile(r"^(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(\r\n|\n|$))")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Metric(NamedTuple):
    """A value of a result: where it stands, the metric's type and name, and the value as printed; None if it is no scalar.

    `model_revision` is what our own exports print among the metric's arguments.
    """

    path: str
    line: int
    type: str
    name: str | None
    value: str | None
    model_revision: str | None


class Entry(NamedTuple):
    """A result of the model-index: a model on a split of a dataset. Texts are as printed; None is not given."""

    path: str
    model: str
    task: str
    dataset: str
    name: str
    config: str | None
    split: str | None
    revision: str | None
    metrics: tuple[Metric, ...]


class FrontMatter(NamedTuple):
    """The YAML at the head of a document: the text, what stands after it, and the number of lines before that."""

    text: str
    rest: str
    lines: int


class _Wrong(Exception):
    """Something is not as a model-index has it: where, on which line, and what."""

    def __init__(self, path: str, node: Any, message: str) -> None:
        super().__init__(f"{path} (line {node.start_mark.line + 1}): {message}")


def split_front_matter(text: str, document: str) -> FrontMatter | None:
    """The front matter of a document, if it has one. Raises BadConfiguration if it does not end or is too large."""
    found = _BLOCK.match(text)
    if found is None:
        if re.match(r"\s*---[\r\n]", text) and re.search(r"^model-index\s*:", text, re.MULTILINE):
            raise BadConfiguration(f"{document}: the front matter does not end", "close it with a line of three hyphens")
        return None
    if len(found[0]) > LARGEST:
        raise BadConfiguration(f"{document}: the front matter is larger than {LARGEST >> 20} MiB, too large for a model card")
    return FrontMatter(found[0], text[found.end() :], len(re.findall(r"\r\n|\r|\n", found[0])))


def read_model_index(front: FrontMatter, document: str) -> tuple[Entry, ...] | None:
    """Every result of the front matter's model-index in order; None if there is none.

    Raises BadConfiguration for what is no YAML, nests too deep, merges mappings, names a key twice, or is no model-index:
    path and line are named.
    """
    try:
        root = _compose(front.text)
        if not isinstance(root, yaml.MappingNode):
            raise ValueError("not a mapping")
        top = _mapping(root, "front matter")
        return tuple(_entries(top["model-index"])) if "model-index" in top else None
    except _Wrong as error:
        raise BadConfiguration(f"{document}: {error}", "correct the model-index of the card") from error
    except (yaml.YAMLError, ValueError, LookupError, RecursionError) as error:
        raise BadConfiguration(f"{document}: front matter: {' '.join(str(error).split())}") from error


def _compose(text: str) -> Any:
    """The front matter's nodes. The block starts and ends with `---`, so that lines count as in the document."""
    body = text[: text.rindex("---")]
    depth = 0
    events: Iterable[Any] = yaml.parse(body, _Loader)
    for event in events:
        mark = event.start_mark
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} deep")
        if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]:
            raise yaml.constructor.ConstructorError(None, None, "'<<' is not read here: write the fields out", mark)
    root = yaml.compose(body, _Loader)
    _size(root, {})
    return root


def _size(node: Any, known: dict[int, int]) -> int:
    """How many nodes there are with every alias written out. Raises ValueError for too many: they are a bomb, or a circle."""
    if id(node) not in known:
        known[id(node)] = LARGEST  # until it is known; so a circle is too large
        inner = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = [part for one in inner for part in (one if isinstance(one, tuple) else (one,))]
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    if known[id(node)] >= LARGEST:
        raise ValueError(f"line {node.start_mark.line + 1}: its aliases grow without bound")
    return known[id(node)]


def _entries(models: Any) -> Iterator[Entry]:
    seen = 0
    for m, model in enumerate(_items(models, "model-index")):
        place = f"model-index/{m}"
        fields = _mapping(model, place)
        name = _needed(fields, "name", model, place)
        for r, result in enumerate(_items(_given(fields, "results", model, place), f"{place}/results")):
            entry = _entry(result, f"{place}/results/{r}", name)
            seen += 1 + len(entry.metrics)
            if seen > MOST:
                raise _Wrong(entry.path, result, f"more than {MOST} values")
            yield entry


def _entry(result: Any, place: str, model: str) -> Entry:
    fields = _mapping(result, place)
    task = _given(fields, "task", result, place)
    dataset = _given(fields, "dataset", result, place)
    of = _mapping(dataset, f"{place}/dataset")
    metrics = _given(fields, "metrics", result, place)
    return Entry(
        path=place,
        model=model,
        task=_needed(_mapping(task, f"{place}/task"), "type", task, f"{place}/task"),
        dataset=_needed(of, "type", dataset, f"{place}/dataset"),
        name=_needed(of, "name", dataset, f"{place}/dataset"),
        config=_text(of.get("config")),
        split=_text(of.get("split")),
        revision=_text(of.get("revision")),
        metrics=tuple(_metric(one, f"{place}/metrics/{n}") for n, one in enumerate(_items(metrics, f"{place}/metrics"))),
    )


def _metric(node: Any, place: str) -> Metric:
    fields = _mapping(node, place)
    value = _given(fields, "value", node, place)
    arguments = fields.get("args")
    given = _mapping(arguments, f"{place}/args") if isinstance(arguments, yaml.MappingNode) else {}
    return Metric(
        path=f"{place}/value",
        line=value.start_mark.line + 1,
        type=_needed(fields, "type", node, place),
        name=_text(fields.get("name")),
        value=_text(value),
        model_revision=_text(given.get("model_revision")),
    )


def _mapping(node: Any, place: str) -> dict[str, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise _Wrong(place, node, "not a mapping")
    fields: dict[str, Any] = {}
    for key, value in node.value:
        name = str(_text(key))
        if name in fields:
            raise _Wrong(place, key, f"the key {name!r} stands twice")
        fields[name] = value
    return fields


def _items(node: Any, place: str) -> list[Any]:
    if not isinstance(node, yaml.SequenceNode):
        raise _Wrong(place, node, "not a list")
    return list(node.value[: MOST + 1])


def _given(fields: dict[str, Any], key: str, node: Any, place: str) -> Any:
    if key not in fields:
        raise _Wrong(place, node, f"it has no {key!r}")
    return fields[key]


def _needed(fields: dict[str, Any], key: str, node: Any, place: str) -> str:
    text = _text(_given(fields, key, node, place))
    if not text:
        raise _Wrong(place, fields[key], f"{key!r} is no text")
    return text


def _text(node: Any) -> str | None:
    """A scalar as printed; None for null and for what is no scalar."""
    return node.value if isinstance(node, yaml.ScalarNode) and node.tag != "tag:yaml.org,2002:null" else None
