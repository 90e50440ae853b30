"""The reproducibility margin of an artefact: how surely another machine rounds every value to the same grid point.

A value is rounded otherwise elsewhere only if it lies nearer to a rounding boundary than two machines' float64 results
differ. That difference is estimated by the spread between two independent arrangements of the same computation, measured on a
sample. Values within THIN spreads of a boundary are decided once, and listed (`decided`); the margin is that of all others.

What computed something: the processor, the kernels it ran, the device, and the versions of the libraries.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

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
