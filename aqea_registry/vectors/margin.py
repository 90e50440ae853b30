"""The reproducibility margin of an artefact: how surely another machine rounds every value to the same grid point.

A value is rounded otherwise elsewhere only if it lies nearer to a rounding boundary than two machines' float64 results
differ. That difference is estimated by the spread between two independent arrangements of the same computation, measured on a
sample. Values within THIN spreads of a boundary are decided once, by whoever makes an artefact first, and listed beside it;
whoever makes it again takes the integer from the list. A list can say nothing else: a value that one's own computation does not
find at that boundary is refused. The margin is that of all other values. Pure but for `read_decided`.

What computed something: the processor, the kernels it ran, the device, and the versions of the libraries.
"""

from __future__ import annotations

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

THIN = 8.0  # spreads: nearer to a boundary than that, a value is decided
SMALLEST_SPREAD = 2.0**-53  # half a unit in the last place of 1: a sample that shows less was lucky
KNOWN = 1e-11  # of a normalised component: values nearer than this to a boundary are known, with their distance


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """The largest difference of a normalised component between two arrangements, and the number of sentences compared."""

    value: float
    sample: int

    def joined(self, other: Spread | None) -> Spread:
        """The larger difference of this one and another of the same model, on both samples."""
        return self if other is None else Spread(value=max(self.value, other.value), sample=self.sample + other.sample)


def reach(spread: Spread | None) -> float:
    """How near to a rounding boundary a value must be to be decided; without a spread nothing is."""
    return 0.0 if spread is None else THIN * max(spread.value, SMALLEST_SPREAD)


class Margin(msgspec.Struct, frozen=True, kw_only=True):
    """The margin of an artefact. Distances are in the unit of a normalised component, of which the grid step is 1e-6.

    `distance` is that of the nearest value to a boundary, of those that were not decided, and KNOWN where all are further away;
    `ratio` is distance / spread, None where no spread was measured; `decided` is the number of values that were decided.
    """

    distance: float
    spread: Spread | None
    ratio: float | None
    decided: int = 0


def margin(distances: Iterable[float], spread: Spread | None, decided: int = 0) -> Margin:
    """The margin, from the signed distances of values that were not decided, as far as they are near, and the spread."""
    distance = min(map(abs, distances), default=KNOWN)
    ratio = None if spread is None else distance / max(spread.value, SMALLEST_SPREAD)
    return Margin(distance=distance, spread=spread, ratio=ratio, decided=decided)


def margin_text(margin: Margin) -> str:
    """The margin for people."""
    far, spread = margin.distance == KNOWN, margin.spread
    text = f"nearest rounding boundary {'more than ' * far}{margin.distance:.1e} away"
    if spread is not None and margin.ratio is not None:
        text += f"; two arrangements differed by {spread.value:.1e} on {spread.sample} sentences: margin "
        text += f"{'more than ' * far}{margin.ratio:.0f}"
    return f"{text}; nearer ones are decided and listed: {margin.decided}" if margin.decided else text


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine, as far as it can matter to floating-point results. `kernels` is the instruction set that torch chose."""

    processor: str
    architecture: str
    system: str
    python: str
    kernels: str
    threads: int
    device: str
    packages: dict[str, str]

    @property
    def kind(self) -> tuple[str, ...]:
        """What machines of one kind have in common; they need not be one machine."""
        return (self.processor, self.architecture, self.system, self.kernels, self.device)

    def text(self) -> str:
        """For people: where it was computed, in a line."""
        return f"{self.processor if self.device == 'cpu' else self.device} ({self.kernels}, torch {self.packages.get('torch')})"


class EncodingRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Kept beside vectors: the machine that computed them last, and how far two arrangements differed there."""

    machine: Machine
    spread: Spread | None


HINT = "take the list and the lock from one commit or release"


class DecidedValue(msgspec.Struct, frozen=True, order=True, forbid_unknown_fields=True):
    """A component of a text's vector, in micro-units. `text` is the hex sha256 of the text as the model sees it."""

    text: Sha256
    component: Annotated[int, msgspec.Meta(ge=0)]
    value: Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)]  # MICRO of `pair_set`, which needs numpy


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
