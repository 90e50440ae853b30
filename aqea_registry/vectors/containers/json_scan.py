"""Large JSON objects of number arrays, read in pieces: where each member lies, and the numbers of an array block by block.

A pair file of a gigabyte is an object with two matrices in it. One pass finds where its members begin and end (a matrix holds
no quotes and no braces, so its end is found at the speed of memory); rows are then decoded a quarter of a megabyte at a time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from io import FileIO
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.base.files import BLOCK
from aqea_registry.vectors.pair_set import Malformed

Values = npt.NDArray[np.float64]


PIECE = 1 << 18  # bytes decoded at a time: what Python makes of them stays in a core's cache
LONGEST_ROW = 1 << 26
LONGEST_VALUE = 1 << 28  # of a member that is decoded whole
SPACE = b" \t\r\n"


_NOT_SPACE = re.compile(rb"[^ \t\r\n]")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_STRUCTURE = b'"[]{}'
_STRING_END = b'"\\'
_AFTER_SCALAR = b",}" + SPACE
_NOT_IN_A_MATRIX = b'"{}'
_ROWS = msgspec.json.Decoder(list[list[float]])
_NUMBERS = msgspec.json.Decoder(list[float])


class Range(NamedTuple):
    """Where a value stands in the file: its first byte and the one behind its last."""

    start: int
    end: int


def members(file: FileIO) -> dict[str, Range]:
    """Where each member's value stands in the file's one object. Raises Malformed; OSError."""
    start = _skip_space(file, 3 if os.pread(file.fileno(), 3, 0) == b"\xef\xbb\xbf" else 0)
    if _byte(file, start) != b"{":
        raise Malformed("not a JSON object")
    found: dict[str, Range] = {}
    at = _skip_space(file, start + 1)
    while _byte(file, at) != b"}":
        key, at = _key(file, at)
        if key in found:
            raise Malformed(f"the key {key!r} stands twice")
        value = _skip_space(file, at)
        end = _end_of_value(file, value)
        found[key] = Range(value, end)
        at = _skip_space(file, end)
        if _byte(file, at) == b",":
            at = _skip_space(file, at + 1)
        elif _byte(file, at) != b"}":
            raise Malformed(f"byte {at}: no comma and no end after the value of {key!r}")
    if (rest := _skip_space(file, at + 1)) < os.fstat(file.fileno()).st_size:
        raise Malformed(f"byte {rest}: something stands behind the object")
    return found


def text(file: FileIO, where: Range) -> bytes:
    """The bytes of a value that is not large. Raises Malformed if it is."""
    if where.end - where.start > LONGEST_VALUE:
        raise Malformed(f"byte {where.start}: a value of {where.end - where.start} bytes, where something small should stand")
    return os.pread(file.fileno(), where.end - where.start, where.start)


def rows(file: FileIO, where: Range, name: str) -> Iterator[Values]:
    """The rows of an array of arrays of numbers, some at a time (k x dimension float64). Raises Malformed."""
    done, width = 0, None
    for piece in _pieces(file, where, b"]", LONGEST_ROW):
        try:
            block = np.array(_ROWS.decode(b"[" + piece + b"]"), np.float64)
        except (msgspec.MsgspecError, ValueError) as error:
            raise Malformed(f"{name}, in the rows from {done}: {error}") from error
        if block.ndim != 2 or (width is not None and block.shape[1] != width):
            raise Malformed(f"{name}, in the rows from {done}: rows of different lengths")
        if not np.isfinite(block).all():
            raise Malformed(f"{name}, in the rows from {done}: a value is not a finite number")
        done, width = done + len(block), block.shape[1]
        yield block


def numbers(file: FileIO, where: Range, name: str) -> Values:
    """A flat array of numbers. Raises Malformed."""
    try:
        parts = [np.array(_NUMBERS.decode(b"[" + piece + b"]")) for piece in _pieces(file, where, b",", LONGEST_ROW, last=True)]
    except msgspec.MsgspecError as error:
        raise Malformed(f"{name}: {error}") from error
    values = np.concatenate([np.empty(0), *parts])
    if not np.isfinite(values).all():
        raise Malformed(f"{name}: a value is not a finite number")
    return values


def _pieces(file: FileIO, where: Range, end: bytes, longest: int, *, last: bool = False) -> Iterator[bytes]:
    """What stands between an array's brackets, cut behind `end` bytes, without the commas between the pieces.

    With `last`, what follows the last `end` is a piece as well.
    """
    at, rest = where.start + 1, b""
    stop = where.end - 1
    while at < stop:
        block = os.pread(file.fileno(), min(PIECE, stop - at), at)
        if not block:
            raise Malformed(f"byte {at}: the file ends here; it became shorter")
        at += len(block)
        rest += block
        cut = rest.rfind(end) + 1
        if not cut and len(rest) > longest:
            raise Malformed(f"byte {at}: a row of more than {longest} bytes")
        if cut:
            piece, rest = rest[:cut], rest[cut:]
            yield piece.strip(SPACE + b",")
    if rest := rest.strip(SPACE + b","):
        if not last:
            raise Malformed(f"byte {stop}: what stands there is no row of numbers")
        yield rest


def row_start(file: FileIO, where: Range, row: int) -> int:
    """Where a row of an array of arrays begins, without decoding those before it. Raises Malformed if there are fewer."""
    at, left = where.start + 1, row
    while left:
        block = os.pread(file.fileno(), min(BLOCK, where.end - 1 - at), at)
        if not block:
            raise Malformed(f"fewer than {row} rows")
        ends = block.count(b"]")
        if ends < left:
            left, at = left - ends, at + len(block)
            continue
        for _ in range(left):
            place = block.index(b"]")
            block, at = block[place + 1 :], at + place + 1
        break
    at = _skip_space(file, at)
    return at + 1 if _byte(file, at) == b"," else at


def _key(file: FileIO, at: int) -> tuple[str, int]:
    """A member's name, and where what follows its colon begins."""
    block = os.pread(file.fileno(), 4096, at)
    found = _STRING.match(block)
    if found is None:
        raise Malformed(f"byte {at}: no key")
    try:
        key = msgspec.json.decode(found[0], type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"byte {at}: no key: {error}") from error
    colon = _skip_space(file, at + found.end())
    if _byte(file, colon) != b":":
        raise Malformed(f"byte {colon}: no colon after the key {key!r}")
    return key, colon + 1


def _end_of_value(file: FileIO, start: int) -> int:
    """Behind the last byte of the value that begins here."""
    first = _byte(file, start)
    if first == b"[" and (_byte(file, _skip_space(file, start + 1)) or b"x") in b"[-0123456789":
        behind = _find(file, start, _NOT_IN_A_MATRIX)
        return _last(file, start, behind)
    if first in (b"[", b"{"):
        return _end_of_nested(file, start)
    if first == b'"':
        return _end_of_string(file, start + 1)
    if not first:
        raise Malformed(f"byte {start}: the file ends where a value should stand")
    return _find(file, start, _AFTER_SCALAR)


def _end_of_nested(file: FileIO, start: int) -> int:
    depth, at = 0, start
    while True:
        at = _find(file, at, _STRUCTURE)
        one = _byte(file, at)
        at = _end_of_string(file, at + 1) if one == b'"' else at + 1
        depth += (one in (b"[", b"{")) - (one in (b"]", b"}"))
        if depth == 0:
            return at


def _end_of_string(file: FileIO, at: int) -> int:
    while True:
        at = _find(file, at, _STRING_END)
        if _byte(file, at) == b'"':
            return at + 1
        at += 2


def _find(file: FileIO, start: int, wanted: bytes) -> int:
    """Where one of some bytes stands next."""
    at, size = start, 4096
    while block := os.pread(file.fileno(), size, at):
        # One search a byte runs at the speed of memory; a regular expression for all of them takes forty times as long.
        if places := [place for one in wanted if (place := block.find(one)) >= 0]:
            return at + min(places)
        at, size = at + len(block), BLOCK
    raise Malformed(f"byte {at}: the file ends within the value that begins at byte {start}")


def _last(file: FileIO, start: int, behind: int) -> int:
    """Behind the last closing bracket before a place."""
    block = os.pread(file.fileno(), min(4096, behind - start), max(start, behind - 4096))
    place = block.rfind(b"]")
    if place < 0:
        raise Malformed(f"byte {start}: the array that begins here does not end, or holds other things than numbers")
    return max(start, behind - 4096) + place + 1


def _skip_space(file: FileIO, at: int) -> int:
    while block := os.pread(file.fileno(), 64, at):
        if found := _NOT_SPACE.search(block):
            return at + found.start()
        at += len(block)
    return at


def _byte(file: FileIO, at: int) -> bytes:
    return os.pread(file.fileno(), 1, at)
