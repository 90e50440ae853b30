"""Compare two vector sets text by text, in memory of their keys and some thousand vectors."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aqea_registry.base.files import open_regular
from aqea_registry.base.progress import plural
from aqea_registry.vectors.pair_set import MICRO, Malformed
from aqea_registry.vectors.vector_set import Keys, VectorSet, open_vector_set

BLOCK = 8192  # texts whose vectors are in memory at a time
NAMED = 10  # texts of each kind that are named, by the sha256 of each as the model sees it


class TextDifferences(NamedTuple):
    """The keys of texts that one of two vector sets lacks, and of those whose vectors differ, by at most `largest`."""

    first: Keys
    second: Keys
    differing: Keys
    largest: float

    def lines(self) -> Iterator[str]:
        """What differs, with the keys of some texts."""
        for keys, what in ((self.first, "only in the first"), (self.second, "only in the second")):
            if len(keys):
                yield f"{plural(len(keys), 'text')} {what}: {_named(keys)}"
        if len(self.differing):
            by = f"by at most {self.largest:.1e}"
            yield f"{plural(len(self.differing), 'text')} with another vector, {by}: {_named(self.differing)}"


def both_vector_sets(first: Path, second: Path) -> tuple[VectorSet, VectorSet] | None:
    """Both files as vector sets; None if one is another thing. Raises CannotCheck without pyarrow."""
    try:
        return (open_vector_set(first), open_vector_set(second)) if _is_parquet(first) and _is_parquet(second) else None
    except Malformed:
        return None


def text_differences(first: VectorSet, second: VectorSet) -> TextDifferences:
    """What differs between two vector sets of one dimension. Raises Malformed."""
    common = np.intersect1d(first.keys, second.keys, assume_unique=True)
    differing, largest = [common[:0]], 0
    for start in range(0, len(common), BLOCK):
        part = common[start : start + BLOCK]
        apart = np.abs(first.lookup(part).astype(np.int64) - second.lookup(part)).max(axis=1)
        differing.append(part[apart > 0])
        largest = max(largest, int(apart.max()))
    return TextDifferences(
        first=np.setdiff1d(first.keys, common, assume_unique=True),
        second=np.setdiff1d(second.keys, common, assume_unique=True),
        differing=np.concatenate(differing),
        largest=largest / MICRO,
    )


def _is_parquet(path: Path) -> bool:
    with open_regular(path) as file:
        return file.read(4) == b"PAR1"


def _named(keys: Keys) -> str:
    shown = ", ".join(key.tobytes().hex() for key in keys[:NAMED].view("V32"))
    return f"{shown}{', ...' if len(keys) > NAMED else ''}"
