"""JSON: writing and reading a pair set, against orjson and json on the same values."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from typing import Any

from benchmarks.timing import Figure, alternate, rates, seconds, spread


def measure(*, quick: bool) -> list[Figure]:
    """A set of the size of STS-B under MiniLM, 1,379 pairs of 384 values: from integer matrices to bytes, and back."""
    import numpy as np

    from aqea_registry.vectors.containers.json_text import rows_text
    from aqea_registry.vectors.containers.pair_json import read, write
    from aqea_registry.vectors.pair_set import MICRO, Header, to_grid

    pairs = 200 if quick else 1379
    chance = np.random.default_rng(0)
    first, second = (to_grid(chance.standard_normal((pairs, 384))).micro for _ in range(2))
    scores = [number / 10 for number in chance.integers(0, 50, pairs).tolist()]
    header = Header(dataset="synthetic", model="none", dimension=384, n_pairs=pairs, baseline_spearman=0.5)

    def written() -> bytes:
        file = BytesIO()
        write(file, header, [first], [second], scores)
        return file.getvalue()

    def to_arrays(value: dict[str, Any]) -> object:
        return [np.array(value[key]) for key in ("embeddings1", "embeddings2")]

    rows, content = rows_text(first), written()
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed with the process
    file.write(content)
    # The peers of the writers start from the same integers; the peers of `read` make lists and check nothing.
    works: dict[str, Callable[[], object]] = {
        "rows_text": lambda: rows_text(first),
        "json.dumps": lambda: json.dumps((first / MICRO).tolist(), separators=(",", ":")).encode(),
        "write": written,
        "read": lambda: read(file),
        "json.loads": lambda: json.loads(content),
        "copy": lambda: bytearray(content),
    }
    if find_spec("orjson"):
        orjson = import_module("orjson")
        numbers = orjson.OPT_SERIALIZE_NUMPY
        works["orjson.dumps"] = lambda: orjson.dumps(first / MICRO, option=numbers)
        works["orjson.dumps, all"] = lambda: orjson.dumps([first / MICRO, second / MICRO, scores], option=numbers)
        works["orjson.loads"] = lambda: orjson.loads(content)
        works["orjson.loads, to arrays"] = lambda: to_arrays(orjson.loads(content))
    times = alternate(2 if quick else 7, {name: seconds(work) for name, work in works.items()})
    speeds = {
        name: rates((len(rows) if name in ("rows_text", "json.dumps", "orjson.dumps") else len(content)) / 1e6, taken)
        for name, taken in times.items()
    }
    peers = {
        "rows_text": ("orjson.dumps", "json.dumps"),
        "write": ("orjson.dumps, all",),
        "read": ("orjson.loads", "orjson.loads, to arrays", "json.loads"),
    }
    limit = f"copying the bytes: {spread(speeds['copy'])}"
    return [
        Figure(f"`{name}`, {pairs} pairs x 384", speeds[name], f"`{peer}`", speeds[peer], "MB/s", limit=limit)
        for name, names in peers.items()
        for peer in names
        if peer in speeds
    ]
