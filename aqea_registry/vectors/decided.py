"""Decided values: components so near to a rounding boundary that two machines may round them differently (docs/margins.md).

Each is decided once, by whoever makes an artefact first, and listed beside it; whoever makes it again takes the integer from
the list. A list can say nothing else: a value that one's own computation does not find at that boundary is refused.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from aqea_registry.base.files import Limit, read_small
from aqea_registry.base.findings import BadConfiguration, Refused
from aqea_registry.base.sha256_list import Sha256
from aqea_registry.base.strict import convert, load_json
from aqea_registry.vectors.pair_set import MICRO

HINT = "take the list and the lock from one commit or release"


class DecidedValue(msgspec.Struct, frozen=True, order=True, forbid_unknown_fields=True):
    """A component of a text's vector, in micro-units. `text` is the hex sha256 of the text as the model sees it."""

    text: Sha256
    component: Annotated[int, msgspec.Meta(ge=0)]
    value: Annotated[int, msgspec.Meta(ge=-MICRO, le=MICRO)]


class DecidedList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The decided values of an artefact, sorted. They are of one `method` (hex): of model, dimension and offset."""

    schema: Literal["aqea-registry/decided/1"] = "aqea-registry/decided/1"
    method: Sha256
    values: tuple[DecidedValue, ...]


def render_decided(method: str, values: Iterable[DecidedValue]) -> bytes:
    """The one spelling of a list: sorted values and keys, two spaces, one final newline."""
    content = msgspec.to_builtins(DecidedList(method=method, values=tuple(sorted(values))))
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def read_decided(root: Path, path: str, sha256: str, count: int) -> DecidedList:
    """The list at this path, with the digest and as many values as the lock says. Raises Refused."""
    try:
        content = read_small(root / path, Limit.PROJECT)
    except OSError as error:
        raise Refused.of("missing", path, f"the lock names it, and it cannot be read: {error.strerror}", hint=HINT) from error
    if (actual := hashlib.sha256(content).hexdigest()) != sha256:
        raise Refused.of("mismatch", path, "the list is another one than the lock says", sha256, actual, hint=HINT)
    try:
        listed = convert(load_json(content, path), DecidedList, path)
    except BadConfiguration as error:
        raise Refused.of("malformed", path, error.message.removeprefix(f"{path}: "), hint=HINT) from error
    if len(listed.values) != count:
        message = "the list has another number of values than the lock says"
        raise Refused.of("mismatch", path, message, str(count), str(len(listed.values)), hint=HINT)
    components = {(value.text, value.component) for value in listed.values}
    if len(components) < count or content != render_decided(listed.method, listed.values):
        raise Refused.of("not-canonical", path, "the list is not spelled as this program writes it, each value once", hint=HINT)
    return listed


def at_boundary(own: int, listed: int, distance: float | None) -> bool:
    """Whether a listed value is one's own, or the next one beyond a boundary that one's own value is at.

    `distance` is that of one's own value to the boundary (value - boundary), None where it is near to none.
    """
    return listed == own or (distance is not None and abs(listed - own) == 1 and (listed - own) * distance <= 0)
