"""Comparing two pair files of a gigabyte each, canonical against eight decimals, and verifying one: speed and memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.timing import Figure, Goal, alternate, in_child, peak_memory, rates, seconds, temporary

DIMENSION = 384
BYTES_A_PAIR = 7_250  # of the smaller spelling, the canonical one
BLOCK = 1000
NAMES = ("canonical.json", "decimals.json")


def measure(*, quick: bool) -> list[Figure]:
    """Both files from the page cache. The peers do less: they parse, or only read."""
    size = 10_000_000 if quick else 1_000_000_000
    with temporary() as folder:
        pairs = in_child(make_files, folder, size)
        part = folder / NAMES[0]
        total, single = (sum((folder / name).stat().st_size for name in names) / 1e6 for names in (NAMES, NAMES[:1]))
        works = {
            "compare": lambda: in_child(compared, folder)[0],
            "verify": lambda: in_child(verified, part)[0],
            "read": seconds(lambda: read([folder / name for name in NAMES])),
        }
        times = alternate(1 if quick else 3, works)
        peak, verify_peak = in_child(compared, folder)[1], in_child(verified, part)[1]
        parsed, parse_peak = in_child(parsed_whole, part, pairs // 10) if find_spec("orjson") else (0.0, 0.0)
    one = f"a pair file, {single / 1000:.2f} GB"
    what = f"two pair files, {total / 1000:.2f} GB together, {pairs} pairs x {DIMENSION}"
    ours = rates(total, times["compare"])
    reading = rates(total, times["read"])
    figures = [
        Figure(f"`compare`, {what}", ours, "reading both files", reading, "MB/s", limit="parsing the numbers"),
        Figure(f"peak memory of `compare`, {what}", [peak], unit="GB", goal=Goal("ours", "at most", 1)),
        Figure(f"`verify` of {one}", rates(single, times["verify"]), unit="MB/s", limit="reading every number twice"),
        Figure(f"peak memory of `verify` of {one}", [verify_peak], unit="GB", goal=Goal("ours", "at most", 0.25)),
    ]
    if parsed:
        against = "`orjson.loads` of a tenth of one file, to arrays"
        figures.insert(1, Figure(f"`compare`, {what}", ours, against, [parsed] * len(ours), "MB/s"))
        figures.append(Figure(f"peak memory of {against}", [parse_peak], unit="GB"))
    return figures


def make_files(folder: Path, size: int) -> int:
    """A canonical pair file of this many bytes, about, and what it was rounded from with eight decimals, as others print it."""
    import msgspec
    import numpy as np

    from aqea_registry.vectors.containers.pair_json import write
    from aqea_registry.vectors.pair_set import Header, to_grid

    pairs = size // BYTES_A_PAIR
    scores = (np.random.default_rng(9).integers(0, 50, pairs) / 10).tolist()
    header = Header(dataset="synthetic", model="none", dimension=DIMENSION, n_pairs=pairs, baseline_spearman=0.5)

    def blocks(seed: int) -> Iterator[Any]:
        chance = np.random.default_rng(seed)
        for start in range(0, pairs, BLOCK):
            rows = chance.standard_normal((min(BLOCK, pairs - start), DIMENSION))
            yield rows / np.sqrt((rows * rows).sum(axis=1))[:, None]

    with (folder / NAMES[0]).open("wb") as file:
        write(file, header, (to_grid(rows).micro for rows in blocks(1)), (to_grid(rows).micro for rows in blocks(2)), scores)
    with (folder / NAMES[1]).open("wb") as file:
        file.write(f'{{"dataset": "synthetic", "model": "none", "dimension": {DIMENSION}, "n_pairs": {pairs}'.encode())
        for key, seed in (("embeddings1", 1), ("embeddings2", 2)):
            file.write(f', "{key}": ['.encode())
            for number, rows in enumerate(blocks(seed)):
                text = msgspec.json.encode(np.round(rows, 8).tolist())[1:-1]
                file.write((b", " if number else b"") + text)
            file.write(b"]")
        file.write(f', "scores": {json.dumps(scores)}}}'.encode())
    return pairs


def compared(folder: Path) -> tuple[float, float]:
    """The operation of `compare A B`, in seconds, and the largest resident size of the process in GB."""
    from aqea_registry.base.progress import Silent
    from aqea_registry.comparison.compare import compare
    from aqea_registry.comparison.verdict import PairSetComparison

    found = []
    taken = seconds(lambda: found.append(compare(*NAMES, folder, Silent())))()
    if not isinstance(found[0], PairSetComparison) or found[0].figures is None or found[0].figures.rows_beyond:
        raise RuntimeError(f"the files differ: {found}")
    return taken, peak_memory()


def verified(path: Path) -> tuple[float, float]:
    """What `verify` does with a pair file: digests of its bytes, then its content; in seconds, and the peak in GB.

    The file's own score is not that of its vectors, which is the one thing to be found.
    """
    from aqea_registry.base.files import hash_files
    from aqea_registry.vectors.containers.pair_json import examine

    found = []
    taken = seconds(lambda: found.append((hash_files([path], md5=frozenset({path})), examine(path, path.name)[1])))()
    if [finding.code for finding in found[0][1]] != ["wrong-metric"]:
        raise RuntimeError(f"the file is not what was written: {found}")
    return taken, peak_memory()


def read(paths: list[Path]) -> None:
    """All bytes of some files, and nothing done with them."""
    block = bytearray(1 << 20)
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(block):
                pass


def parsed_whole(path: Path, pairs: int) -> tuple[float, float]:
    """What a script does: a list of the rows in memory, then an array. The rate in MB/s, and the peak in GB."""
    import numpy as np

    orjson = import_module("orjson")
    with path.open("rb") as file:
        head = file.read(pairs * BYTES_A_PAIR // 2)
    start = head.index(b"[[")
    content = head[start : head.rindex(b"],") + 1] + b"]"
    taken = min(seconds(lambda: np.array(orjson.loads(content)))() for _ in range(3))
    return len(content) / 1e6 / taken, peak_memory()
