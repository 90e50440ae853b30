"""The figures of the report: scores against printed values, differences against tolerances, sizes of files.

Each is an SVG drawn by hand like report/svg.py's, told in words as well, and a table of the same numbers: nothing is told by
colour or by a drawing alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from aqea_registry.report import svg
from aqea_registry.report.svg import HEADING, RIGHT, ROW, TOP, WIDTH, Scale, escaped, label

STYLE = (
    svg.STYLE
    + """\
.mean{fill:#2f6db5}.stem{stroke:#2f6db5;stroke-width:2}.good{fill:none;stroke:#1f2328;stroke-width:1.6}
.bad{fill:none;stroke:#b3261e;stroke-width:2}.limit{stroke:#6e7781;stroke-dasharray:5 4}.held{fill:#2f6db5;fill-opacity:.55}
.mono{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:11px}
@media(prefers-color-scheme:dark){
.mean,.held{fill:#4c8fdb}.stem{stroke:#4c8fdb}.good{stroke:#e6edf3}.bad{stroke:#ff8a80}.limit{stroke:#8b949e}
}
"""
)
MOST = 120  # rows of a drawing; the table beside it has them all
SHARES = 25  # rows of the table of differences
PLOT = 420  # height of the plot of differences


class Printed(NamedTuple):
    """A printed value of a score, in -1..1, as it was printed and what became of it."""

    claim: str
    text: str
    value: float
    state: str


class Score(NamedTuple):
    """A recomputed score, in -1..1, and every print of it."""

    model: str
    dataset: str
    metric: str
    value: float
    printed: tuple[Printed, ...] = ()


class Gap(NamedTuple):
    """The difference between a printed and a recomputed number and the tolerance, in the claim's unit."""

    claim: str
    state: str
    difference: float
    tolerance: float


class Size(NamedTuple):
    """A file's size in bytes, and its digest."""

    path: str
    size: int
    sha256: str


class Figure(NamedTuple):
    """A figure: a drawing for a page, the same as a file of its own, and its numbers as a table."""

    name: str
    title: str
    caption: str
    inline: str
    alone: bytes
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def figures(scores: Sequence[Score], gaps: Sequence[Gap], sizes: Sequence[Size]) -> list[Figure]:
    """The figures for which there is something to draw."""
    made = []
    if scores:
        made.append(_scores(scores))
    if gaps:
        made.append(_gaps(gaps))
    if sizes:
        made.append(_sizes(sizes))
    return made


def _figure(
    name: str,
    title: str,
    caption: str,
    words: str,
    drawn: tuple[int, Sequence[str]],
    table: tuple[tuple[str, ...], Iterable[tuple[str, ...]]],
) -> Figure:
    height, body = drawn
    inline = svg.drawing(height, title, words, title, body, name=f"{name}-", style="")
    alone = svg.drawing(height, title, words, title, body, style=STYLE).encode()
    return Figure(name, title, caption, inline, alone, table[0], tuple(table[1]))


def _scores(scores: Sequence[Score]) -> Figure:
    shown = scores[:MOST]
    names = [f"{one.dataset} · {one.metric}" for one in shown]
    scale = svg.score_scale([one.value for one in shown], names)
    y, body = float(TOP), []
    for model in dict.fromkeys(one.model for one in shown):
        body.append(f'<text class="model" x="16" y="{y + 22:g}">{label(model, 72)}</text>')
        y += HEADING
        of_model = [(name, one) for name, one in zip(names, shown, strict=True) if one.model == model]
        body += scale.grid(y, y + ROW * len(of_model))
        for name, one in of_model:
            body += _score(scale, name, one, y + ROW / 2)
            y += ROW
    body += scale.labels(y + 18)
    printed = sum(len(one.printed) for one in scores)
    caption = "Disc: recomputed from the bytes. Open diamond: printed; a red one is contradicted." + _left_out(scores, shown)
    words = f"{len(scores)} recomputed scores and {printed} printed values of them; the table below has them all."
    table = (
        ("model", "dataset", "metric", "recomputed", "printed"),
        (
            (
                one.model,
                one.dataset,
                one.metric,
                repr(one.value),
                "; ".join(f"{p.text} ({p.state}, {p.claim})" for p in one.printed),
            )
            for one in scores
        ),
    )
    return _figure("scores", "Scores, recomputed and as printed", caption, words, (int(y) + 34, body), table)


def _score(scale: Scale, name: str, one: Score, y: float) -> list[str]:
    marks = [_diamond(scale.x(p.value), y, p.state) for p in one.printed if scale.low <= p.value <= scale.high]
    return [
        f'<text x="{scale.left - 10:.1f}" y="{y + 4:g}" text-anchor="end">{label(name)}</text>',
        f'<circle class="mean" cx="{scale.x(one.value):.1f}" cy="{y:g}" r="4"/>',
        *dict.fromkeys(marks),
        f'<text class="value" x="{WIDTH - RIGHT + 14}" y="{y + 4:g}">{one.value:.4f}</text>',
    ]


def _diamond(x: float, y: float, state: str, size: float = 7) -> str:
    kind = "bad" if state == "contradicted" else "good"
    return f'<path class="{kind}" d="M{x - size:.1f} {y:g}L{x:.1f} {y - size:g}L{x + size:.1f} {y:g}L{x:.1f} {y + size:g}Z"/>'


def _gaps(gaps: Sequence[Gap]) -> Figure:
    """Difference over tolerance, both on a log scale: what lies below the diagonal holds. Zeros have rails of their own."""
    across, up = _decades([gap.tolerance for gap in gaps]), _decades([gap.difference for gap in gaps])
    left, top, bottom = 76.0, 64.0, float(PLOT - 62)
    x_scale = Scale(_rail(across), across[1], _powers(across), left, WIDTH - 24)
    y_scale = Scale(_rail(up), up[1], _powers(up), bottom, top)
    body = []
    for value, text in x_scale.ticks:
        body.append(
            f'<line class="grid" x1="{x_scale.x(value):.1f}" y1="{top:g}" x2="{x_scale.x(value):.1f}" y2="{bottom:g}"/>'
        )
        body.append(f'<text class="small" x="{x_scale.x(value):.1f}" y="{bottom + 18:g}" text-anchor="middle">{text}</text>')
    for value, text in y_scale.ticks:
        body.append(
            f'<line class="grid" x1="{left:g}" y1="{y_scale.x(value):.1f}" x2="{WIDTH - 24}" y2="{y_scale.x(value):.1f}"/>'
        )
        body.append(f'<text class="small" x="{left - 8:g}" y="{y_scale.x(value) + 4:.1f}" text-anchor="end">{text}</text>')
    low, high = max(across[0], up[0]), min(across[1], up[1])
    if low < high:
        ends = (x_scale.x(low), y_scale.x(low), x_scale.x(high), y_scale.x(high))
        body.append('<line class="limit" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'.format(*ends))
    body += _cloud(gaps, x_scale, y_scale)
    body.append(f'<text class="small" x="{(left + WIDTH - 24) / 2:g}" y="{PLOT - 20}" text-anchor="middle">tolerance</text>')
    body.append(f'<text class="small" x="16" y="{top - 12:g}">difference, in the claim\'s unit</text>')
    ranked = sorted(gaps, key=lambda gap: (-_share(gap), gap.claim))
    beyond = sum(gap.state == "contradicted" for gap in gaps)
    caption = (
        "A mark is one claim or, if larger, several alike. Below the dashed line the difference is within the tolerance; "
        "a red diamond is contradicted."
    )
    words = f"{len(gaps)} claims with a recomputed number, {beyond} of them contradicted; the table has the largest shares."
    table = (
        ("claim", "state", "difference", "tolerance", "share of the tolerance"),
        (
            (gap.claim, gap.state, f"{gap.difference:.3g}", f"{gap.tolerance:.3g}", _percent(_share(gap)))
            for gap in ranked[:SHARES]
        ),
    )
    return _figure("differences", "Differences between printed and recomputed", caption, words, (PLOT, body), table)


def _cloud(gaps: Sequence[Gap], x_scale: Scale, y_scale: Scale) -> Iterable[str]:
    """A mark for all claims at one place, to a tenth of a decade; what is contradicted is drawn last, on top."""
    places: dict[tuple[bool, float, float], int] = {}
    for gap in gaps:
        place = (gap.state == "contradicted", _at(gap.tolerance, x_scale), _at(gap.difference, y_scale))
        places[place] = places.get(place, 0) + 1
    for (bad, x, y), count in sorted(places.items()):
        across, up = x_scale.x(x), y_scale.x(y)
        size = min(4 + math.log2(count), 12)
        yield (
            _diamond(across, round(up, 1), "contradicted", size + 1)
            if bad
            else f'<circle class="held" cx="{across:.1f}" cy="{up:.1f}" r="{size:.1f}"/>'
        )


def _at(value: float, scale: Scale) -> float:
    return scale.low if value <= 0 else min(max(round(math.log10(value), 1), scale.ticks[1][0]), scale.high)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around the values, at least one decade."""
    logs = [math.log10(value) for value in values if value > 0] or [0.0]
    return math.floor(min(logs)), max(math.ceil(max(logs)), math.floor(min(logs)) + 1)


def _powers(decades: tuple[int, int]) -> list[tuple[float, str]]:
    """At most nine ticks, and the rail of the zeros."""
    step = max(1, math.ceil((decades[1] - decades[0]) / 8))
    powers = range(decades[0], decades[1] + 1, step)
    return [(_rail(decades), "0"), *((float(power), f"1e{power}" if power else "1") for power in powers)]


def _rail(decades: tuple[int, int]) -> float:
    """Where the zeros stand, which a log scale does not have: below it, far enough that the labels do not touch."""
    return decades[0] - max(1.0, (decades[1] - decades[0]) / 12)


def _share(gap: Gap) -> float:
    if gap.tolerance > 0:
        return gap.difference / gap.tolerance
    return math.inf if gap.difference > 0 else 0.0


def _percent(share: float) -> str:
    return "no tolerance" if math.isinf(share) else f"{100 * share:.0f} %" if share < 100 else f"{share:.0f} times"


def _sizes(sizes: Sequence[Size]) -> Figure:
    shown = sizes[:MOST]
    low, high = _decades([one.size for one in shown])
    names: Mapping[str, str] = {one.path: one.path.rpartition("/")[2] for one in shown}
    ticks = [(float(power), svg_size(10**power)) for power in range(low, high + 1)]
    scale = Scale(float(low), float(high), ticks, svg.left_of(list(names.values())), WIDTH - 150)
    y, body = float(TOP + 8), scale.grid(TOP + 8, TOP + 8 + ROW * len(shown))
    for one in shown:
        x, middle = scale.x(math.log10(max(one.size, 1))), y + ROW / 2
        body += [
            f'<text x="{scale.left - 10:.1f}" y="{middle + 4:g}" text-anchor="end">{label(names[one.path])}</text>',
            f'<line class="stem" x1="{scale.left:.1f}" y1="{middle:g}" x2="{x:.1f}" y2="{middle:g}"/>',
            f'<circle class="mean" cx="{x:.1f}" cy="{middle:g}" r="4"/>',
            f'<text class="mono" x="{WIDTH - 132}" y="{middle + 4:g}">{escaped(one.sha256[:16])}</text>',
        ]
        y += ROW
    body += scale.labels(y + 18)
    caption = "Sizes on a log scale; at the right the first 16 digits of each sha256." + _left_out(sizes, shown)
    words = f"{len(sizes)} files with {sum(one.size for one in sizes)} bytes in all; the table below has every digest in full."
    table = (("file", "bytes", "sha256"), ((one.path, f"{one.size:,}", one.sha256) for one in sizes))
    return _figure("files", "Sizes and digests of the files", caption, words, (int(y) + 34, body), table)


def svg_size(size: int) -> str:
    """A power of ten in bytes: `100 B`, `1 kB`, `10 MB`."""
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if size >= 10**power:
            return f"{size // 10**power} {unit}"
    return f"{size} B"


def _left_out(everything: Sequence[object], shown: Sequence[object]) -> str:
    count = len(everything) - len(shown)
    return f" {count} more are in the table." if count else ""
