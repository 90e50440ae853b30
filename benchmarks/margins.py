"""`python -m benchmarks.margins [--quick]`: how often another order of the same float64 sums ends at another grid point.

Nothing here is timed. A value is rounded otherwise if a rounding boundary lies between the two results: for results that
differ by d, on a grid of step g, that is |d| / g of all values. The tables hold that against simulations:

1. random networks: the mean difference of a normalised component between two orders of the same sums, by depth and width,
   and the flips that follow on a grid so fine that some happen;
2. up to 10^9 values on the grid of 1e-6, with differences made large enough for flips to be counted.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
GRID = 1e-6
BLOCK = 10_000_000


def main() -> None:
    """Print both tables in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.margins", description="Flips of rounded values, simulated.")
    parser.add_argument("--quick", action="store_true", help="little work: does it run?")
    quick = parser.parse_args().quick
    print("| layers | width | mean difference | largest | grid | values | flips predicted | counted |")
    print("|---|---|---|---|---|---|---|---|")
    for width in (128,) if quick else (384, 1024):
        for layers in (2, 4) if quick else (2, 6, 12, 24, 48):
            print(network(layers, width, rows=16 if quick else 256), flush=True)
    print("\n| values | mean difference | predicted | counted | chance of any flip at 1e-16 |\n|---|---|---|---|---|")
    for size in (10**5, 10**6) if quick else (10**5, 10**6, 10**7, 10**8, 10**9):
        print(grid(size), flush=True)


def network(layers: int, width: int, rows: int) -> str:
    """One line of the first table: a random transformer-like network, its inner sums taken in two orders."""
    chance = np.random.default_rng(layers * 10_000 + width)
    start = chance.standard_normal((rows, width))
    weights = [chance.standard_normal((2, width, width)) / math.sqrt(width) for _ in range(layers)]
    orders = [chance.permutation(width) for _ in range(layers)]
    one = _forward(start, weights, [np.arange(width)] * layers)
    other = _forward(start, weights, orders)
    difference = np.abs(one - other)
    mean = float(difference.mean())
    step = 2.0**-48
    flips = int((np.rint(one / step) != np.rint(other / step)).sum())
    cells = (layers, width, f"{mean:.1e}", f"{difference.max():.1e}", f"{step:.1e}", f"{one.size:,}")
    return "| " + " | ".join(map(str, (*cells, f"{one.size * mean / step:.0f}", flips))) + " |"


def _forward(rows: Matrix, weights: list[Matrix], orders: list[npt.NDArray[np.int64]]) -> Matrix:
    """Residual blocks with normalisation, as in a transformer; each sum over the width in the order given."""
    for pair, order in zip(weights, orders, strict=True):
        inner = _normalised(rows)
        hidden = np.tanh(inner[:, order] @ pair[0][order])
        rows = rows + hidden[:, order] @ pair[1][order]
    result: Matrix = rows / np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return result


def _normalised(rows: Matrix) -> Matrix:
    centred: Matrix = rows - rows.mean(axis=1, keepdims=True)
    result: Matrix = centred / np.sqrt((centred * centred).mean(axis=1, keepdims=True))
    return result


def grid(size: int) -> str:
    """One line of the second table: `size` components of unit vectors, moved by normal noise, on the grid of 1e-6."""
    chance = np.random.default_rng(size)
    deviation = 1e-6 / math.sqrt(size) / 10  # so that flips can be counted at every size
    flips, done = 0, 0
    while done < size:
        count = min(BLOCK, size - done)
        values = chance.standard_normal(count) * 0.05
        moved = values + chance.standard_normal(count) * deviation
        flips += int((np.rint(values / GRID) != np.rint(moved / GRID)).sum())
        done += count
    mean = deviation * math.sqrt(2 / math.pi)
    risk = -math.expm1(-size * 1e-16 / GRID)
    return f"| {size:,} | {mean:.1e} | {size * mean / GRID:.0f} | {flips} | {risk:.1e} |"


if __name__ == "__main__":
    main()
