"""JSON pointers (RFC 6901): one value out of a file of values.

YAML without anchors and tags, built straight from the parser's events: one pass, no recursion, nothing that can grow.

What a mapping, a list and a scalar are is as in YAML's safe subset. Seven times as fast as its loader, which matters where a
file has ten thousand lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec
import yaml

from aqea_registry.base.findings import BadConfiguration

T = TypeVar("T")


def convert(value: Any, kind: type[T], name: str) -> T:
    """A frozen value from plain ones. Raises BadConfiguration that names the field."""
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        raise BadConfiguration(f"{name}: {error}".replace(" - at `$.", ", at `").replace(" - at `$`", "")) from error


def convert_each(value: Any, group: str, kind: type[T], name: str) -> None:
    """Convert the entries of a mapping one by one, so that an error names the entry."""
    entries = value.get(group) if isinstance(value, dict) else None
    for key, entry in entries.items() if isinstance(entries, dict) else ():
        convert(entry, kind, f"{name}: {group}.{key}")


class NoSuchValue(ValueError):
    """The pointer leads to nothing; the message says where it ends."""


def follow(value: Any, pointer: str) -> Any:
    """The value that a pointer names; the empty pointer names the whole. Raises NoSuchValue."""
    if pointer and not pointer.startswith("/"):
        raise NoSuchValue(f"the pointer {pointer!r} does not start with '/'")
    here = ""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and re.fullmatch("0|[1-9][0-9]{0,8}", key) and int(key) < len(value):
            value = value[int(key)]
        else:
            raise NoSuchValue(f"there is no {part!r} at {here or 'the top'!r}")
        here += f"/{part}"
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return values


def _unique_keys_named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands twice")
    return dict(pairs)


_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NO_KEY = object()


def load_plain_yaml(content: bytes, name: str) -> Any:
    """Plain values from YAML. Raises BadConfiguration that names the file, the line and the reason.

    An anchor or alias is refused, so is a tag, a key that stands twice, and what nests deeper than 50.
    """
    try:
        return _build(yaml.parse(content, _Loader))
    except (yaml.YAMLError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        raise BadConfiguration(f"{name}: {' '.join(str(error).split())}") from error


def _build(events: Iterable[Any]) -> Any:
    plain = _plain_scalars()
    container: Any = []
    key: Any = _NO_KEY
    outer: list[tuple[Any, Any]] = []  # the containers around this one, each with the key that it waits on
    for event in events:
        if isinstance(event, yaml.ScalarEvent):
            _refuse(event, event.anchor, event.tag)
            value = plain(event.value) if event.implicit[0] else event.value
        elif isinstance(event, yaml.CollectionStartEvent):
            _refuse(event, event.anchor, event.tag)
            if key is _NO_KEY and isinstance(container, dict):
                raise _wrong(event, "a key is no plain text")
            if len(outer) >= DEEPEST:
                raise _wrong(event, f"nested more than {DEEPEST} deep")
            outer.append((container, key))
            container, key = {} if isinstance(event, yaml.MappingStartEvent) else [], _NO_KEY
            continue
        elif isinstance(event, yaml.CollectionEndEvent):
            value = container
            container, key = outer.pop()
        elif isinstance(event, yaml.AliasEvent):
            raise _wrong(event, "an alias is not read here: write the value out")
        elif isinstance(event, yaml.DocumentStartEvent) and container:
            raise _wrong(event, "a second document starts")
        else:
            continue
        if isinstance(container, list):
            container.append(value)
        elif key is _NO_KEY:
            if value in container:
                raise _wrong(event, f"the key {value!r} stands twice")
            key = value
        else:
            container[key] = value
            key = _NO_KEY
    return container[0] if container else None


def _plain_scalars() -> Callable[[str], Any]:
    """What an unquoted text means by the safe loader's own rules: a text, a number, a truth, nothing. Each asked once."""
    loader = yaml.SafeLoader("")
    known: dict[str, Any] = {}

    def value_of(text: str) -> Any:
        if text not in known:
            tag = loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
            known[text] = loader.construct_object(yaml.ScalarNode(tag, text))
        return known[text]

    return value_of


def _refuse(event: Any, anchor: str | None, tag: str | None) -> None:
    if anchor is not None:
        raise _wrong(event, "an anchor is not read here: write the value out")
    if tag is not None:
        raise _wrong(event, f"the tag {tag!r} is not read here")


def _wrong(event: Any, message: str) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, message, event.start_mark)


DEEPEST = 50
MOST_KEYS = 100_000  # of one mapping, merged ones included


class _StrictLoader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """YAML's safe subset, where a key that stands twice is an error instead of a silent last word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} stands twice", node.start_mark)
            seen.add(key.value)
        return dict(super().construct_mapping(node, deep))

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MOST_KEYS:  # merges of merges grow tenfold with every line
            raise yaml.constructor.ConstructorError(None, None, f"more than {MOST_KEYS} keys are merged", node.start_mark)


def load_yaml(content: bytes, name: str) -> Any:
    """Plain values from YAML. Raises BadConfiguration that names the file, the line and the reason."""
    try:
        _refuse_deep(content)
        return yaml.load(content, _StrictLoader)  # noqa: S506 - a subclass of the safe loader
    except (yaml.YAMLError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
        raise BadConfiguration(f"{name}: {' '.join(str(error).split())}") from error


def _refuse_deep(content: bytes) -> None:
    """The parser's events come one by one, but its values nest on the stack: look at the depth before they are built."""
    depth = 0
    for event in yaml.parse(content, _StrictLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} deep")
