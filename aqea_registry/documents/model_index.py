"""Results as they are printed: the `model-index` of a model card, and the JSON that MTEB writes of a task.

Of every value the text and the line are kept, which loading it would lose. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.base.strict import YamlNode, load_yaml
from aqea_registry.documents.metrics import SIMILARITIES

LARGEST = 1 << 20  # characters of a front matter; a thousand values take 75,000
MOST = 20_000  # values; aliases may name one list many times
# Where the Hub sees a front matter.
_BLOCK = re.compile(r"^(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(\r\n|\n|$))")
_NO_METRICS = frozenset({"evaluation_time", "hf_subset", "kg_co2_emissions", "languages", "mteb_version"})
_NO_SUBSETS = {*SIMILARITIES, "scores_per_experiment", "similarity", "v_measures"}  # of metrics that version 1 nests


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
    root = load_yaml(front.yaml, f"{document}: front matter", printed=True, most=300_000)
    top = _Part("front matter", root or YamlNode(None, 1))
    try:
        if "model-index" not in top.fields:
            return None
        return tuple(_entries(_Part("model-index", top.fields["model-index"])))
    except _Wrong as error:
        raise BadConfiguration(f"{document}: {error}", "correct the model-index of the card") from error


class _Wrong(Exception):
    """Something is not as a model-index has it."""


class _Part(NamedTuple):
    """A part of a model-index and its path. What is not as asked for raises _Wrong."""

    path: str
    node: YamlNode

    def wrong(self, message: str, line: int | None = None) -> _Wrong:
        return _Wrong(f"{self.path} (line {line or self.node.line}): {message}")

    @property
    def fields(self) -> dict[str, YamlNode]:
        if isinstance(self.node.value, dict):
            return self.node.value
        raise self.wrong("not a mapping")

    @property
    def items(self) -> Iterator[_Part]:
        if not isinstance(self.node.value, list):
            raise self.wrong("not a list")
        return (_Part(f"{self.path}/{n}", node) for n, node in enumerate(self.node.value[: MOST + 1]))

    def given(self, key: str) -> _Part:
        if key not in self.fields:
            raise self.wrong(f"it has no {key!r}")
        return _Part(f"{self.path}/{key}", self.fields[key])

    def needed(self, key: str) -> str:
        part = self.given(key).node
        if text := _text(part):
            return text
        raise self.wrong(f"{key!r} is not a text", part.line)


def _entries(models: _Part) -> Iterator[IndexEntry]:
    count = 0
    for model in models.items:
        name = model.needed("name")
        for result in model.given("results").items:
            task, dataset, metrics = map(result.given, ("task", "dataset", "metrics"))
            config, split, revision = (_text(dataset.fields.get(key)) for key in ("config", "split", "revision"))
            of = (task.needed("type"), dataset.needed("type"), dataset.needed("name"), config, split, revision)
            entry = IndexEntry(result.path, name, *of, tuple(map(_metric, metrics.items)))
            count += 1 + len(entry.metrics)
            if count > MOST:
                raise result.wrong(f"more than {MOST} values")
            yield entry


def _metric(metric: _Part) -> Metric:
    value, arguments = metric.given("value"), metric.fields.get("args")
    commit = arguments.value.get("model_revision") if arguments and isinstance(arguments.value, dict) else None
    name, text = _text(metric.fields.get("name")), _text(value.node)
    digits = [key for key in metric.fields if key.isdecimal()]  # what YAML makes of `{value: 75,5}`
    text = ",".join([text, *digits]) if text is not None else None
    return Metric(value.path, value.node.line, metric.needed("type"), name, text, _text(commit))


def _text(node: YamlNode | None) -> str | None:
    """A scalar as printed; None for null and for what is not a scalar."""
    return node.value if node is not None and isinstance(node.value, str) else None


def read_result_file(content: bytes, document: str, model: str, revision: str | None = None) -> tuple[IndexEntry, ...]:
    """A result for each subset of each split that MTEB wrote, of either version, with JSON pointers as paths.

    The model and its `revision` are of all: the file does not name them. Raises BadConfiguration for any other JSON.
    """
    top = load_yaml(content.replace(b"\t", b" "), document, aliases=False, printed=True, most=20 * MOST)
    fields: dict[str, YamlNode] = top.value if top is not None and isinstance(top.value, dict) else {}
    name = _first(fields, "task_name", "mteb_dataset_name")
    parts, pinned = list(_subsets(fields)) if name else [], _first(fields, "dataset_revision")
    several = len({split for _, split, _, _ in parts}) > 1
    entries = []
    for path, split, subset, node in parts:
        extra = [text for text in (split if several else "", subset if subset != "default" else "") if text]
        shown = f"{name} ({', '.join(extra)})" if extra else name or ""
        version = _first(dict(_items(node)), "mteb_version") or _first(fields, "mteb_version")
        found = tuple(_metrics(node, path, revision))
        entries.append(IndexEntry(path, model, "", name or "", shown, subset, split, pinned, found, version))
    if sum(len(entry.metrics) for entry in entries) > MOST:
        raise BadConfiguration(f"{document}: more than {MOST} numbers", "import a file without those of each run or label")
    if not any(entry.metrics for entry in entries):
        message = f"{document}: not a result file of MTEB, which has the name of a task and scores by split"
        raise BadConfiguration(message, "imported are Markdown, HTML, LaTeX, CSV, TSV, and of JSON what mteb writes of a task")
    return tuple(entries)


def _first(fields: Mapping[str, YamlNode], *keys: str) -> str | None:
    return next((text for key in keys if (text := _text(fields.get(key))) is not None), None)


def _subsets(fields: Mapping[str, YamlNode]) -> Iterator[tuple[str, str, str, YamlNode]]:
    """Path, split, subset and metrics. Of version 1 a split holds metrics, by similarity or not, or subsets by their names."""
    scores = fields.get("scores")
    for split, node in _items(scores if scores is not None else YamlNode(dict(fields), 1)):
        if scores is not None:
            for number, subset in _items(node) if isinstance(node.value, list) else ():
                name = _first(dict(_items(subset)), "hf_subset") or "default"
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
