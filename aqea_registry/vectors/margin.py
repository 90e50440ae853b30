"""The reproducibility margin of a pair set: how surely another machine rounds every value to the same grid point.

A value is rounded otherwise elsewhere only if it lies nearer to a rounding boundary than two machines' float64 results
differ. The margin compares the two: the smallest distance to a boundary in the file, and the spread between two independent
arrangements of the same computation, measured on a sample.

What computed something: the processor, the kernels it ran, the device, and the versions of the libraries.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.base.findings import Finding

THIN = 8.0  # a smaller ratio of distance to spread is a finding
SMALLEST_SPREAD = 2.0**-53  # half a unit in the last place of 1: a sample that shows less was lucky
BAND = 1e-6  # micro-units: offsets are looked for this far to either side
STEP = 1e-8  # micro-units: and in these steps, so that an offset has few digits


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """The largest difference of a normalised component between two arrangements, and the number of sentences compared."""

    value: float
    sample: int

    def joined(self, other: Spread | None) -> Spread:
        """The larger difference of this one and another of the same model, on both samples."""
        return self if other is None else Spread(value=max(self.value, other.value), sample=self.sample + other.sample)


class ThinValue(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence with a value too near to a boundary: `embeddings1` or `embeddings2`, its row from 0, and the distance."""

    matrix: str
    row: int
    distance: float


class Margin(msgspec.Struct, frozen=True, kw_only=True):
    """The margin of a pair set. Distances are in the unit of a normalised component, of which the grid step is 1e-6.

    `ratio` is distance / spread, None where no spread was measured. `offset` is a rounding offset in micro-units that would
    give the thin values a wide margin; None where none is thin.
    """

    distance: float
    spread: Spread | None
    ratio: float | None
    thin: tuple[ThinValue, ...] = ()
    offset: float | None = None


def margin(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], spread: Spread | None, offset: float) -> Margin:
    """The margin of two matrices, from each row's signed distance to its nearest boundary, and the rounding offset in use."""
    both = np.concatenate([first, second])
    distance = float(np.abs(both).min(initial=0.5e-6))
    if spread is None:
        return Margin(distance=distance, spread=None, ratio=None)
    scale = max(spread.value, SMALLEST_SPREAD)
    thin = tuple(
        ThinValue(matrix=name, row=row, distance=abs(float(rows[row])))
        for name, rows in (("embeddings1", first), ("embeddings2", second))
        for row in np.flatnonzero(np.abs(rows) < THIN * scale).tolist()
    )
    better = wider_offset(both, offset) if thin else None
    return Margin(distance=distance, spread=spread, ratio=distance / scale, thin=thin, offset=better)


def wider_offset(nearest: npt.NDArray[np.float64], offset: float) -> float:
    """The rounding offset within BAND of the present one that keeps furthest from all values; the smallest of equals.

    It is a property of the true values, so every machine finds the same one, up to the last step.
    """
    near = nearest[np.abs(nearest) <= 2 * BAND * 1e-6] * 1e6
    steps = np.arange(-round(BAND / STEP), round(BAND / STEP) + 1)
    steps = steps[np.argsort(np.abs(steps), kind="stable")]
    reach = np.abs(near[None, :] - (steps * STEP)[:, None]).min(axis=1, initial=2 * BAND)
    return round(offset + float(steps[int(np.argmax(reach))]) * STEP, 12)


def margin_text(found: Margin) -> str:
    """The margin for people, and what to do about a thin one."""
    text, spread = f"nearest rounding boundary {found.distance:.1e} away", found.spread
    if spread is None or found.ratio is None:
        return text
    text += f"; two arrangements differed by {spread.value:.1e} on {spread.sample} sentences: margin {found.ratio:.0f}"
    if found.offset is not None:
        rows = ", ".join(f"{value.matrix}[{value.row}]" for value in found.thin[:3])
        text += f"\nthin: {rows}; set rounding_offset: {found.offset:.9g} for the model in params.yaml and generate again"
    return text


def thin_findings(path: str, found: Margin) -> list[Finding]:
    """A margin below 8: each sentence with a value that another machine may round the other way."""
    message = "a value lies so near to a rounding boundary that another machine may round it the other way"
    if found.offset is not None:
        message += f"; set rounding_offset: {found.offset:.9g} for the model in params.yaml and run: dvc repro"
    wanted = f"{THIN:g} times the spread between arrangements or more"
    return [
        Finding("thin-margin", f"{path}: {value.matrix}[{value.row}]", message, wanted, f"{value.distance:.1e}")
        for value in found.thin
    ]


# What decides how a vector is computed. Every statement about one has their versions.
PACKAGES = ("numpy", "sentence-transformers", "tokenizers", "torch", "transformers")


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
