"""The plot of a comparison: of each row the largest difference and the distance of the directions, on logarithmic scales.

Two marks a row, a circle for embeddings1 and a cross for embeddings2; of very many rows the furthest of each group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aqea_registry.core.comparison import PairSetComparison
from aqea_registry.core.diagnosis import Compared
from aqea_registry.core.svg import STYLE, WIDTH, Scale, drawing, escaped

Values = npt.NDArray[np.float64]

MOST = 512  # marks of a matrix
PANEL, GAP, TOP, LEFT = 180, 54, 52, 66
LEAST = 1e-17  # what is nearer, nothing included, stands on the lowest line
OWN_STYLE = (
    STYLE
    + """.one{fill:none;stroke:#2f6db5}.two{fill:none;stroke:#b5502f}.bound{stroke:#8b1a1a;stroke-dasharray:5 4}
@media(prefers-color-scheme:dark){.one{stroke:#4c8fdb}.two{stroke:#e08a6a}.bound{stroke:#ff7b72}}
"""
)


def render(found: PairSetComparison, compared: Compared) -> bytes:
    """The plot as SVG; the same comparison gives the same bytes."""
    between = compared.measured.between
    panels = (
        ("Largest absolute difference of two components", between.differences, compared.bound),
        ("1 - cosine of each vector with its counterpart", np.maximum(1 - between.cosines, 0), None),
    )
    body: list[str] = []
    for number, (heading, values, bound) in enumerate(panels):
        body += _panel(heading, values, bound, TOP + number * (PANEL + GAP))
    names = f"{found.before.name} against {found.after.name}"
    return drawing(
        TOP + len(panels) * (PANEL + GAP),
        f"Differences by row: {names}",
        describe(found),
        f"{found.verdict}: differences by row, logarithmic",
        body,
        style=OWN_STYLE,
    ).encode()


def describe(found: PairSetComparison) -> str:
    """The plot in words."""
    figures = found.figures
    if figures is None:
        return f"{found.verdict}: the same bytes."
    return (
        f"{found.verdict}. {figures.rows} rows, {figures.rows_beyond} beyond the bound of {found.bound:g}; largest difference "
        f"{figures.largest:.2e}, the least cosine {figures.least_cosine:.9f}. Circles are embeddings1, crosses embeddings2."
    )


def _panel(heading: str, values: Values, bound: float | None, top: float) -> list[str]:
    count = len(values)
    low, high = _decades(values, bound)
    across = Scale(0, max(1, count - 1), _row_ticks(count), LEFT, WIDTH - 24)

    def y(value: float) -> float:
        share = (math.log10(max(value, 10.0**low)) - low) / (high - low)
        return top + 16 + (1 - share) * (PANEL - 16)

    lines = [f'<text class="model" x="16" y="{top + 6:g}">{escaped(heading)}</text>']
    for decade in range(low, high + 1, max(1, (high - low) // 6)):
        at = y(10.0**decade)
        lines.append(f'<line class="grid" x1="{LEFT}" y1="{at:.1f}" x2="{across.right:.1f}" y2="{at:.1f}"/>')
        text = "0" if decade == low and values.min(initial=1) < 10.0**low else f"1e{decade}"
        lines.append(f'<text class="small" x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
    if bound is not None:
        lines.append(f'<line class="bound" x1="{LEFT}" y1="{y(bound):.1f}" x2="{across.right:.1f}" y2="{y(bound):.1f}"/>')
        lines.append(
            f'<text class="small" x="{across.right:.1f}" y="{y(bound) - 5:.1f}" text-anchor="end">bound {bound:g}</text>'
        )
    for which, mark in enumerate((_circle, _cross)):
        rows = _furthest(values[:, which])
        lines += [mark(across.x(row), y(float(values[row, which]))) for row in rows]
    return [*lines, *across.labels(top + PANEL + 16)]


def _decades(values: Values, bound: float | None) -> tuple[int, int]:
    there = values[values > LEAST]
    ends = [*([float(there.min()), float(there.max())] if len(there) else []), *([bound] if bound else [])] or [1e-1, 1.0]
    low, high = math.floor(math.log10(min(ends))), math.ceil(math.log10(max(ends)))
    if len(there) < values.size:
        low -= 1  # a line below for what does not differ at all
    return low, max(high, low + 1)


def _row_ticks(count: int) -> Sequence[tuple[float, str]]:
    places = sorted({round(share * (count - 1) / 4) for share in range(5)})
    return [(place, str(place)) for place in places]


def _furthest(values: Values) -> list[int]:
    """The row with the largest value of each group of neighbours; every row where there are few."""
    groups = np.array_split(np.arange(len(values)), min(MOST, len(values)))
    return [int(group[values[group].argmax()]) for group in groups]


def _circle(x: float, y: float) -> str:
    return f'<circle class="one" cx="{x:.1f}" cy="{y:.1f}" r="2"/>'


def _cross(x: float, y: float) -> str:
    return f'<path class="two" d="M{x - 2:.1f} {y - 2:.1f}l4 4m0-4l-4 4"/>'
