"""JSON pointers (RFC 6901): one value out of a file of values."""

from __future__ import annotations

import re
from typing import Any


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
