"""That work grows with its size and not with the square of it: twice the size, compared with the size."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

TRIES = 12
TOO_SHORT = 0.02  # seconds: below it the clock and the machine's other work decide


def assert_linear(prepare: Callable[[int], Callable[[], object]], n: int) -> None:
    """Work on 2n things takes less than three times what work on n takes; with the square it would be four times.

    `prepare(n)` gives the work, so that what leads to it is not measured. Processor time of this process is compared, of
    each size the least of a few runs, because whatever disturbs a run makes it longer.
    """
    sizes = (n, 2 * n)
    gc.collect()
    gc.freeze()  # what the other tests of this process left is not visited again before each run
    try:
        works = [prepare(size) for size in sizes]
        least = [float("inf")] * 2
        for _ in range(TRIES):
            least = [min(before, _seconds(work)) for before, work in zip(least, works, strict=True)]
            if least[1] < max(TOO_SHORT, 3 * least[0]):
                return
        raise AssertionError(f"{sizes[0]}: {least[0]:.3f} s, {sizes[1]}: {least[1]:.3f} s")
    finally:
        gc.unfreeze()


def _seconds(work: Callable[[], object]) -> float:
    gc.collect()
    gc.disable()
    try:
        began = time.process_time()
        work()
        return time.process_time() - began
    finally:
        gc.enable()
