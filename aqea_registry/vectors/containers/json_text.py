"""JSON of numbers as text: large objects of them read in pieces, and one number or whole rows in their shortest form.

A pair file of a gigabyte is an object with two matrices in it. One pass finds where its members begin and end (a matrix holds
no quotes and no braces, so its end is found at the speed of memory); rows are then decoded an eighth of a megabyte at a time.

The shortest form is that of RFC 8785. Rows in it are formatted and read from their integers alone, with numpy, a few operations
for all values of a block. Reading guesses by position and formats the guess again: only text that comes out the same was read,
so nothing else needs to be proven.
"""

import math
import os
import re
from collections.abc import Iterator
from io import FileIO
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from aqea_registry.base.files import BLOCK
from aqea_registry.vectors.pair_set import MICRO, Malformed, Micro, Values, decode

WHOLE = 10  # a value of so many units, or more, has no text: no component of a unit vector is as large
PIECE = 1 << 17  # bytes decoded at a time: what is made of them stays in a core's cache
LONGEST_ROW = 1 << 26
LONGEST_VALUE = 1 << 28  # of a member that is decoded whole
SPACE = b" \t\r\n"
MARK = b"\xef\xbb\xbf"
_NOT_SPACE = re.compile(rb"[^ \t\r\n]")
_COMMA = re.compile(rb"[ \t\r\n]*,")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_STRUCTURE = b'"[]{}'
_STRING_END = b'"\\'
_AFTER_SCALAR = b",}" + SPACE
_NOT_IN_A_MATRIX = b'"{}'


class Range(NamedTuple):
    """Where a value is in the file: its first byte and the one behind its last."""

    start: int
    end: int


class Member(NamedTuple):
    """A member of the object: its key, and where key and value are."""

    key: str
    name: Range
    value: Range


def members(file: FileIO, start: int = 0) -> list[Member]:
    """The members of the file's one object, which begins behind `start`; a key may appear twice. Raises Malformed; OSError."""
    at, byte = _next(file, start)
    if byte != b"{":
        raise Malformed("not a JSON object")
    listed: list[Member] = []
    at, byte = _next(file, at + 1)
    while listed or byte != b"}":
        key, name, value = _key(file, at)
        listed.append(Member(key, name, Range(value, _end_of_value(file, value))))
        at, byte = _next(file, listed[-1].value.end)
        if byte == b"}":
            break
        if byte != b",":
            raise Malformed(f"byte {at}: no comma and no end after the value of {key!r}")
        at, byte = _next(file, at + 1)
    rest, byte = _next(file, at + 1)
    if byte:
        raise Malformed(f"byte {rest}: there is something behind the object")
    return listed


def value(file: FileIO, where: Range) -> bytes:
    """The bytes of a value that is not large. Raises Malformed if it is."""
    if where.end - where.start > LONGEST_VALUE:
        raise Malformed(f"byte {where.start}: a value of {where.end - where.start} bytes, where a small one is expected")
    return os.pread(file.fileno(), where.end - where.start, where.start)


def rows(file: FileIO, where: Range, name: str, *, proven: bool = False) -> Iterator[Micro | Values]:
    """The rows of an array of arrays of numbers, some at a time (k x dimension). Raises Malformed, also for another value.

    Blocks that are spelled as `rows_text` spells them are int32 micro-units; all others are float64. `proven` says that all
    were read before as int32.
    """
    done, width = 0, None
    if (_byte(file, where.start), _byte(file, where.end - 1)) != (b"[", b"]"):
        raise Malformed(f"{name} is not an array of rows")
    for piece in _pieces(file, where):
        micro = read_rows(piece, proven=proven)
        block = micro if micro is not None else _decoded(piece, f"{name}, in the rows from {done}")
        if width is not None and block.shape[1] != width:
            raise Malformed(f"{name}, in the rows from {done}: rows of different lengths")
        done, width = done + len(block), block.shape[1]
        yield block


def _decoded(piece: bytes, what: str) -> Values:
    decoded = decode(b"[" + piece + b"]", list[list[float]], what)
    if len(set(map(len, decoded))) != 1:
        raise Malformed(f"{what}: rows of different lengths")
    block = np.array(decoded, np.float64)
    if not np.isfinite(block).all():
        raise Malformed(f"{what}: a value is not a finite number")
    return block


def _pieces(file: FileIO, where: Range) -> Iterator[bytes]:
    """The text between an array's brackets, cut behind closing brackets, without the one comma between two pieces."""
    at, stop, rest, first = where.start + 1, where.end - 1, b"", True
    while at < stop:
        block = os.pread(file.fileno(), min(PIECE, stop - at), at)
        if not block:
            raise Malformed(f"byte {at}: the file ends here; it became shorter")
        at += len(block)
        rest += block
        cut = rest.rfind(b"]") + 1
        if not cut and len(rest) > LONGEST_ROW:
            raise Malformed(f"byte {at}: a row of more than {LONGEST_ROW} bytes")
        if cut:
            comma = None if first else _COMMA.match(rest)
            if not first and comma is None:
                raise Malformed(f"byte {at - len(rest)}: no comma between two rows")
            yield rest[:cut] if comma is None else b" " * (comma.end() > 1) + rest[comma.end() : cut]
            rest, first = rest[cut:], False
    if rest.strip(SPACE):
        raise Malformed(f"byte {stop}: what is there is not a row of numbers")


def _key(file: FileIO, at: int) -> tuple[str, Range, int]:
    """A member's key, where it is, and where the member's value begins."""
    match = _STRING.match(os.pread(file.fileno(), 4096, at))
    if match is None:
        raise Malformed(f"byte {at}: no key")
    key = decode(match[0], str, f"byte {at}: no key")
    colon, byte = _next(file, at + match.end())
    if byte != b":":
        raise Malformed(f"byte {colon}: no colon after the key {key!r}")
    return key, Range(at, at + match.end()), _next(file, colon + 1)[0]


def _end_of_value(file: FileIO, start: int) -> int:
    """Behind the last byte of the value that begins here."""
    first, second = _next(file, start)[1], _next(file, start + 1)[1]
    if first == b"[" and second and second in b"[-0123456789":
        return _last(file, start, _find(file, start, _NOT_IN_A_MATRIX))
    if first in (b"[", b"{"):
        return _end_of_nested(file, start)
    return _end_of_string(file, start + 1) if first == b'"' else _find(file, start, _AFTER_SCALAR)


def _end_of_nested(file: FileIO, start: int) -> int:
    depth, at = 0, start
    while True:
        at = _find(file, at, _STRUCTURE)
        character = _byte(file, at)
        at = _end_of_string(file, at + 1) if character == b'"' else at + 1
        depth += (character in (b"[", b"{")) - (character in (b"]", b"}"))
        if depth == 0:
            return at


def _end_of_string(file: FileIO, at: int) -> int:
    while True:
        at = _find(file, at, _STRING_END)
        if _byte(file, at) == b'"':
            return at + 1
        at += 2


def _find(file: FileIO, start: int, wanted: bytes) -> int:
    """Where one of some bytes comes next."""
    at, size = start, 4096
    while block := os.pread(file.fileno(), size, at):
        # One search a byte runs at the speed of memory; a regular expression for all of them takes forty times as long.
        if positions := [position for byte in wanted if (position := block.find(byte)) >= 0]:
            return at + min(positions)
        at, size = at + len(block), BLOCK
    raise Malformed(f"byte {at}: the file ends within the value that begins at byte {start}")


def _last(file: FileIO, start: int, behind: int) -> int:
    """Behind the last closing bracket before a position."""
    while behind > start:
        at = max(start, behind - 4096)
        if (position := os.pread(file.fileno(), behind - at, at).rfind(b"]")) >= 0:
            return at + position + 1
        behind = at
    raise Malformed(f"byte {start}: the array that begins here does not end, or holds other things than numbers")


def _next(file: FileIO, at: int) -> tuple[int, bytes]:
    """Where the next byte is that is not white space, and this byte; none at the end of the file."""
    while block := os.pread(file.fileno(), 64, at):
        if match := _NOT_SPACE.search(block):
            return at + match.start(), match[0]
        at += len(block)
    return at, b""


def _byte(file: FileIO, at: int) -> bytes:
    return os.pread(file.fileno(), 1, at)


def number(value: float) -> bytes:
    """A finite float64 in the form of RFC 8785, section 3.2.2.3. Raises ValueError for NaN and infinity."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a JSON number")
    if value == 0:
        return b"0"
    if 1e-6 <= abs(value) < 1e21:
        return np.format_float_positional(float(value), trim="-").encode()
    return np.format_float_scientific(float(value), trim="-", exp_digits=1).encode()


def _word(text: bytes) -> np.uint32:
    """Up to four characters as one integer; those that are not there are NUL."""
    return np.uint32(int.from_bytes(text, "little"))


# Three decimals as a word: all of them, and without the zeros at their end.
_THREE = np.array([_word(b"%03d" % value) for value in range(1000)])
_SHORT = np.array([_word((b"%03d" % value).rstrip(b"0")) for value in range(1000)])


def rows_text(rows: Micro) -> bytes:
    """JSON text of one or more rows in millionths: `[0.5,-0.000001,0],[...`. Raises ValueError for values of 10 or more.

    Each value takes a field of three words, `,-1.` `234` `567`, with NUL for every character that its shortest form does not
    have; the NULs are then removed from the whole block at once.
    """
    count, dimension = rows.shape
    size = np.abs(rows).view(np.uint32)
    whole = size // np.uint32(MICRO)
    fraction = size - whole * np.uint32(MICRO)
    if whole.max(initial=0) >= WHOLE:
        raise ValueError(f"a value of {WHOLE} or more is not a component of a normalised vector")
    high = fraction // np.uint32(1000)
    low = fraction - high * np.uint32(1000)
    first = (whole << np.uint32(16)) + _word(b",\0" + b"0")
    first += (rows < 0) * _word(b"\0-")
    first += (fraction > 0) * _word(b"\0\0\0.")
    first[:, 0] -= _word(b",")
    fields = np.empty((count, 1 + 3 * dimension), "<u4")
    fields[:, 0] = _word(b"],[")
    fields[:, 1::3] = first
    fields[:, 2::3] = np.where(low > 0, _THREE.take(high), _SHORT.take(high))
    fields[:, 3::3] = _SHORT.take(low)
    return fields.tobytes().translate(None, b"\0")[2:] + b"]"


def read_rows(text: bytes, *, proven: bool = False) -> Micro | None:
    """The inverse of `rows_text`; None for text that it does not write. What is `proven` to be of it is not formatted again."""
    dimension = text.count(b",", 0, text.find(b"]") + 1) + 1
    characters = np.frombuffer(text + b"," + bytes(16), np.uint8)
    ends = np.flatnonzero(characters == ord(","))
    if len(ends) % dimension:
        return None
    at = np.concatenate([[0], ends[:-1] + 1])
    at[::dimension] += 1  # a row's first value is behind its bracket, and its last one before it
    ends[dimension - 1 :: dimension] -= 1
    negative = characters.take(at) == ord("-")
    at += negative
    lengths = ends - at
    if lengths.max() > len("0.123456"):
        return None
    lengths = lengths.astype(np.int8)

    def digit(place: int) -> npt.NDArray[np.uint8]:
        return np.asarray((characters.take(at + place) - np.uint8(ord("0"))) * (lengths > place))

    micro = digit(0).astype(np.int32)
    for place in (2, 4, 6):
        micro *= 100
        micro += digit(place) * np.uint8(10) + digit(place + 1)
    if micro.max() >= WHOLE * MICRO:
        return None
    np.negative(micro, out=micro, where=negative)
    micro = micro.reshape(-1, dimension)
    return micro if proven or rows_text(micro) == text else None
