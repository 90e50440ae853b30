"""JSON text of numbers in their shortest form (RFC 8785): one float64, or whole rows of micro-units and back.

Rows are formatted and read from their integers alone, with numpy, a few operations for all values of a block. Reading guesses
by position and formats the guess again: only text that comes out the same was read, so nothing else needs to be proven.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from aqea_registry.vectors.pair_set import MICRO, Micro

WHOLE = 10  # a value of so many units, or more, has no text: no component of a unit vector is as large


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
    """The inverse of `rows_text` (k x dimension int32 micro-units); None for text that it does not write.

    `proven` says that the same text was read before: it is not formatted again.
    """
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
        digits: npt.NDArray[np.uint8] = (characters.take(at + place) - np.uint8(ord("0"))) * (lengths > place)
        return digits

    micro = digit(0).astype(np.int32)
    for place in (2, 4, 6):
        micro *= 100
        micro += digit(place) * np.uint8(10) + digit(place + 1)
    if micro.max() >= WHOLE * MICRO:
        return None
    np.negative(micro, out=micro, where=negative)
    micro = micro.reshape(-1, dimension)
    return micro if proven or rows_text(micro) == text else None
