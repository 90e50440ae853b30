"""Strict, bounded readers of YAML and JSON, values by JSON pointer (RFC 6901), and frozen values out of plain ones.

YAML is built straight from the parser's events: one pass without recursion, several times as fast as PyYAML's loader. Unquoted
words mean what they mean to DVC, which reads YAML 1.2: `no` and `on` are texts, 1e1 is a number. Refused are: what is too large
or too deep, a key twice, tags, aliases that repeat too much and, in other people's files, every anchor and alias.
"""

import json
import math
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar, get_args, get_origin

import msgspec
import yaml

from aqea_registry.base.findings import BadConfiguration, in_words, suggestion
from aqea_registry.base.recognise import conflict, in_its_place, one_side

T = TypeVar("T")

LARGEST = 64 << 20  # bytes
DEEPEST = 50  # collections within collections
MOST = 1 << 22  # values of a file, those that aliases repeat counted each time


def convert(value: Any, kind: type[T], name: str, *, strict: bool = True) -> T:
    """A frozen value from plain ones; if not `strict`, texts may give numbers. Raises BadConfiguration that names the field."""
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        inside, message = [*_inside(kind)], f"{name}: {error}"
        for words, pattern in ((part.description, part.pattern) for part in inside if isinstance(part, msgspec.Meta)):
            if words and pattern and (regex := f"Expected `str` matching regex {pattern!r}") in message:
                message = message.replace(regex, f"Expected {words}")
                if key := re.search(r" - at `key` in `\$\.(.*)`$", message):
                    at = [value]
                    for part in key[1].replace("[...]", ".*").split("."):
                        inner = [below for above in at for name, below in above.items() if part in (name, "*")]
                        at = [below for below in inner if isinstance(below, dict)]
                    wrong = next((name for found in at for name in found if not re.search(pattern, str(name))), None)
                    message = f"{message.removesuffix(key[0])}, not {wrong!r}, at `{key[1]}`"
        message = in_words(message)
        unknown = re.search("unknown field `([^`]*)`", message)
        fields = [part.encode_name for part in inside if isinstance(part, msgspec.structs.FieldInfo)]
        near = suggestion(unknown[1], fields) if unknown else None
        raise BadConfiguration("; ".join(filter(None, (message, near)))) from error


def _inside(kind: Any) -> Iterator[Any]:
    """All fields of a struct and of those in it, and what their texts must be like."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            yield field
            yield from _inside(field.type)
    for part in get_args(kind):
        yield part
        yield from _inside(part)


def convert_each(value: Any, group: str, kind: type[T], name: str) -> None:
    """Convert the entries of a mapping one by one, so that an error names the entry."""
    entries = value.get(group) if isinstance(value, dict) else None
    for key, entry in entries.items() if isinstance(entries, dict) else ():
        convert(entry, kind, f"{name}: {group}.{key}")


class NoSuchValue(ValueError):
    """The pointer leads to nothing; the message says where it ends."""


def follow(value: Any, pointer: str) -> Any:
    """The value that a JSON pointer names; the empty pointer names the whole. Raises NoSuchValue."""
    if pointer and not pointer.startswith("/"):
        raise NoSuchValue(f"the pointer {pointer!r} does not start with '/'")
    parent = ""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and re.fullmatch("0|[1-9][0-9]{0,8}", key) and int(key) < len(value):
            value = value[int(key)]
        else:
            raise NoSuchValue(f"there is no {part!r} at {parent or 'the top'!r}")
        parent += f"/{part}"
    return value


def parse_json(content: bytes | str) -> Any:
    """Plain values from JSON in which no key appears twice. Raises ValueError, of what is nested too deep, too."""
    try:
        return json.loads(content, object_pairs_hook=unique_keys)
    except RecursionError as error:
        raise ValueError(str(error)) from error


def decode_json(content: bytes, kind: type[T]) -> T:
    """A value of this kind from JSON; of a key that appears twice the last one counts. Raises ValueError."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(in_its_place(content) or str(error)) from error


def decoded(content: bytes, kind: type[T]) -> T | None:
    """A value of this kind from JSON; None if the bytes are none."""
    with suppress(ValueError):
        return decode_json(content, kind)
    return None


def load_json(content: bytes, name: str, hint: str | None = None, *, spelled: bool = False) -> Any:
    """Plain values from JSON in UTF-8; with `spelled` numbers are texts. Raises BadConfiguration with the reason and `hint`."""
    _refuse_other(content, name, hint)
    numbers: Any = dict.fromkeys(("parse_int", "parse_float", "parse_constant"), str if spelled else _finite)
    try:
        value = json.loads(_text(content), object_pairs_hook=unique_keys, **numbers)
        inner = [value]
        for _ in range(DEEPEST):
            lists = (part.values() if isinstance(part, dict) else part for part in inner if isinstance(part, dict | list))
            inner = [part for parts in lists for part in parts]
        if any(isinstance(part, dict | list) for part in inner):
            raise RecursionError
        if b"\\u" in content:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair could be read and never be written again
    except RecursionError as error:
        raise BadConfiguration(f"{name}: nested more than {DEEPEST} deep", hint) from error
    except ValueError as error:
        raise BadConfiguration(f"{name}: {error}", hint) from error
    return value


def _refuse_other(content: bytes, name: str, hint: str | None = None) -> None:
    """Raise for a conflict, with what resolves it as hint, and for what stands in the file's place, such as a pointer."""
    if what := in_its_place(content):
        path = name.partition(": ")[0]  # a part of it may be what is read
        raise BadConfiguration(f"{name}: {what}", one_side(path) if conflict(content) else hint)


def _text(content: bytes) -> str:
    if len(content) > LARGEST:
        raise ValueError(f"larger than {LARGEST >> 20} MiB")
    with suppress(UnicodeDecodeError):
        return content.decode("utf-8-sig")
    raise ValueError("not text in UTF-8; save it as that")


def _finite(text: str) -> int | float:
    if text.lstrip("-").isdigit():
        return int(text)
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is not a finite number")
    return value


class DuplicateKey(ValueError):
    """An object has a key twice; the message names it."""


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The dict of an object's pairs, as `json` calls it at any depth. Raises DuplicateKey."""
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise DuplicateKey(f"the key {key!r} appears twice")
        values[key] = value
    return values


class Unquoted(str):
    """An unquoted text that YAML reads as something else: as what, and its line and column, counted from 1."""

    meaning: Any
    at: tuple[int, int]


def misread(content: bytes, kind: type[Any], name: str) -> BadConfiguration | None:
    """The error for all unquoted texts of a YAML file that are read as something else where a `kind` wants a text, if any."""
    written, places = load_yaml(content, name, written=True), dict[tuple[int, int], str]()

    def look(value: Any, path: str) -> None:
        if isinstance(value, Unquoted):
            read = {bool: str(value.meaning).lower(), int: "a number", float: "a number"}.get(type(value.meaning), "a date")
            where = f"line {value.at[0]}, column {value.at[1]}: {path}"
            places[value.at] = f"{where}: {value} is read as {read}; write {json.dumps(value, ensure_ascii=False)}"
        elif isinstance(value, dict | list | tuple):
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                below = f"{path}.{key}" if isinstance(value, dict) else f"{path}[{key}]"
                look(key, below)
                look(item, below)
        elif isinstance(value, msgspec.Struct):
            look(msgspec.structs.asdict(value), path)

    for field in msgspec.structs.fields(kind) if isinstance(written, dict) else ():
        value = written.get(field.encode_name)
        each = isinstance(value, dict) and get_origin(field.type) is dict  # what else is wrong in an entry hides no other
        for part in [{key: entry} for key, entry in value.items()] if each else [value]:
            with suppress(msgspec.ValidationError):
                look(msgspec.convert(part, field.type, strict=False), field.name)
    return BadConfiguration(f"{name}: {'; '.join(text for _, text in sorted(places.items()))}") if places else None


class YamlNode(NamedTuple):
    """A YAML value as printed: a text, a dict, a list, or None for null; and its line, counted from 1."""

    value: Any
    line: int


def load_yaml(
    content: bytes, name: str, *, aliases: bool = True, printed: bool = False, written: bool = False, most: int = MOST
) -> Any:
    """Plain values from YAML; with `written` Unquoted texts for numbers, truths and days; with `printed` YamlNodes.

    Raises BadConfiguration that names the file, line, column and reason; more than `most` values are one.
    """
    _refuse_other(content, name)
    try:
        events = yaml.parse(_text(content), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return _Builder(aliases, printed, written, most).build(events)
    except yaml.MarkedYAMLError as error:
        mark, reason = error.problem_mark, " ".join(filter(None, (error.context, error.problem)))
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise BadConfiguration(f"{name}: {where}{reason}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise BadConfiguration(f"{name}: {' '.join(str(error).split())}") from error


def render_yaml(value: Any) -> str:
    """Plain values as YAML that means the same to readers of YAML 1.1 and 1.2."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def edit_yaml(content: bytes, values: Mapping[tuple[str | int, ...], str | None]) -> bytes:
    """YAML that was read with other texts, or null, at some paths; comments, order and spelling of all else stay."""
    text, edits = content.removeprefix(BOM_UTF8).decode(), []  # places are counted from behind the mark
    root: Any = yaml.compose(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    for path, value in values.items():
        node = root
        for key in path:
            node = node.value[key] if isinstance(key, int) else next(item for name, item in node.value if name.value == key)
        edits.append((node.start_mark.index, node.end_mark.index, json.dumps(value, ensure_ascii=False)))
    for start, end, spelled in sorted(edits, reverse=True):
        text = text[:start] + spelled + text[end:]
    return (BOM_UTF8 if content.startswith(BOM_UTF8) else b"") + text.encode()


def _wrong(event: Any, message: str) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=message, problem_mark=event.start_mark)


_NONE, _MERGE = object(), object()


class _Open(msgspec.Struct):
    """A collection whose end has not come: its first event, the values counted before it, and the key that waits for one."""

    event: Any
    before: int
    values: Any
    key: Any = _NONE
    merged: dict[Any, Any] = {}


class _Words(yaml.SafeLoader):
    """What unquoted texts mean in YAML 1.2, by the table of ruamel.yaml, which DVC uses: three kinds differ from PyYAML's."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in known if not tag.endswith((":bool", ":float", ":int"))]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class _Dumper(yaml.SafeDumper):
    """Quotes a text that YAML 1.1 or 1.2 reads as something else."""


for _kind, _first, _pattern in (
    ("bool", "tTfF", "true|True|TRUE|false|False|FALSE"),
    ("float", "-+0123456789", r"[-+]?[0-9][0-9_]*(\.[0-9_]*([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)"),
    ("float", "-+.", r"[-+]?\.([0-9_]+([eE][-+][0-9]+)?|inf|Inf|INF)|\.(nan|NaN|NAN)"),
    ("int", "-+0123456789", "[-+]?(0b[01_]+|0o?[0-7_]+|[0-9_]+|0x[0-9a-fA-F_]+)"),
):
    for _class in (_Words, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"(?:{_pattern})\Z"), list(_first))


def _integer(_: Any, node: Any) -> int:
    digits = node.value.replace("_", "")
    value = int(digits, {"0b": 2, "0o": 8, "0x": 16}.get(digits.lstrip("+-")[:2], 10))
    str(value)  # a number that is too long to print is refused here
    return value


_Words.add_constructor("tag:yaml.org,2002:int", _integer)


class _Builder:
    """A document's values out of the parser's events."""

    def __init__(self, aliases: bool, printed: bool, written: bool, most: int) -> None:
        self._aliases, self._printed, self._written, self._most = aliases, printed, written, most
        self._meanings: dict[str, Any] = {}  # of unquoted texts
        self._resolver: Any = _Words("")
        self._anchors: dict[str, tuple[Any, int]] = {}  # values that are whole, and of how many each is made
        self._count = 0
        self._open = [_Open(None, 0, [])]

    def build(self, events: Iterable[Any]) -> Any:
        """The document."""
        for event in events:
            top = self._open[-1]
            if isinstance(event, yaml.ScalarEvent):
                self._add(event, self._scalar(event))
            elif isinstance(event, yaml.CollectionStartEvent):
                if len(self._open) > DEEPEST:
                    raise _wrong(event, f"nested more than {DEEPEST} deep")
                self._open.append(_Open(event, self._count, {} if isinstance(event, yaml.MappingStartEvent) else []))
            elif isinstance(event, yaml.CollectionEndEvent):
                self._open.pop()
                self._add(top.event, {**top.merged, **top.values} if top.merged else top.values, self._count - top.before)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.DocumentStartEvent) and (top.values or event.version == (1, 1)):
                raise _wrong(event, "a second document starts" if top.values else "YAML 1.1 is not read here: remove %YAML")
        return self._open[0].values[0] if self._open[0].values else None

    def _scalar(self, event: Any) -> Any:
        """What a text means: a number, a truth, a day, nothing, a text."""
        text = event.value
        if not event.implicit[0]:
            return text
        if text not in self._meanings:
            tag = self._resolver.resolve(yaml.ScalarNode, text, (True, False))
            if tag.endswith(":merge"):
                self._meanings[text] = _MERGE
            elif self._printed:
                self._meanings[text] = None if tag.endswith(":null") else text
            else:
                try:
                    self._meanings[text] = self._resolver.construct_object(yaml.ScalarNode(tag, text))
                except (yaml.YAMLError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
                    raise _wrong(event, " ".join(str(error).split())) from error
        meaning = self._meanings[text]
        if self._written and not (isinstance(meaning, str) or meaning in (None, _MERGE)):
            text = Unquoted(text)
            text.meaning, text.at = meaning, (event.start_mark.line + 1, event.start_mark.column + 1)
            return text
        return meaning

    def _alias(self, event: Any) -> None:
        if not self._aliases:
            raise _wrong(event, "an alias is not read here: write the value out")
        if event.anchor not in self._anchors:
            raise _wrong(event, f"the alias {event.anchor!r} names no value that ends before it")
        value, count = self._anchors[event.anchor]
        self._count += count
        self._put(event, value)

    def _add(self, event: Any, value: Any, count: int = 0) -> None:
        """Add what starts with an event: a value made of `count` others, or a key."""
        top = self._open[-1]
        key = isinstance(top.values, dict) and top.key is _NONE
        if event.tag is not None:
            raise _wrong(event, f"the tag {event.tag!r} is not read here")
        if value is _MERGE and (self._printed or not self._aliases or not key or top.merged or event.anchor):
            raise _wrong(event, "'<<' is not read here: write the fields out")
        self._count += 1
        if self._count > self._most:
            raise _wrong(event, f"more than {self._most} values, those that aliases repeat included")
        whole = YamlNode(value, event.start_mark.line + 1) if self._printed else value
        if event.anchor is not None:
            if not self._aliases:
                raise _wrong(event, "an anchor is not read here: write the value out")
            self._anchors[event.anchor] = whole, count + 1
        self._put(event, value if key else whole)

    def _put(self, event: Any, value: Any) -> None:
        top = self._open[-1]
        if isinstance(top.values, list):
            top.values.append(value)
        elif top.key is _NONE:
            if not isinstance(event, yaml.ScalarEvent):
                raise _wrong(event, "a key is not a plain text")
            if value in top.values:
                raise _wrong(event, f"the key {value!r} appears twice")
            top.key = value
        elif top.key is _MERGE:
            sources = value if isinstance(value, list) else [value]
            if not all(isinstance(source, dict) for source in sources):
                raise _wrong(event, "only mappings are merged")
            for source in reversed(sources):
                top.merged.update(source)
            top.key = _NONE
        else:
            top.values[top.key] = value
            top.key = _NONE
