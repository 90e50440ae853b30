"""What computed something: the processor, the kernels it ran, the device, and the versions of the libraries."""

from __future__ import annotations

import msgspec

from aqea_registry.core.margin import Spread

# What decides how a vector is computed. Their versions stand in every statement about one.
PACKAGES = ("numpy", "sentence-transformers", "tokenizers", "torch", "transformers")


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One machine, as far as it can matter to floating-point results. `kernels` is the instruction set that torch chose."""

    processor: str
    architecture: str
    system: str
    python: str
    kernels: str
    threads: int
    device: str
    packages: dict[str, str]

    def text(self) -> str:
        """For people: where it was computed, in a line."""
        return f"{self.processor if self.device == 'cpu' else self.device} ({self.kernels}, torch {self.packages.get('torch')})"


class Made(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Kept beside vectors: the machine that computed them last, and how far another arrangement was from this one there."""

    machine: Machine
    spread: Spread | None
