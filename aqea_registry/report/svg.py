"""The plot of a release: the Spearman correlation of every pair set as a bar, the bars of one model together.

Written by hand, so that the same scores give the same bytes and nothing needs a plotting library. Every bar is labelled
with its dataset and its value: nothing is told by colour alone. The plot has its own background, because the page
around it may be light where the reader's system is dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH = 720
ROW, HEADING = 24, 34  # heights in pixels
TOP, BOTTOM, RIGHT, CHARACTER = 42, 34, 76, 7.2
LONGEST = 34  # characters of a label before it is cut
STYLE = """\
text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#1f2328}
.back{fill:#fff}.bar{fill:#2f6db5}.grid{stroke:#d8dee4}.zero{stroke:#6e7781}
.title{font-size:16px;font-weight:600}.model{font-weight:600}.small{font-size:11px;fill:#59636e}
.value{font-variant-numeric:tabular-nums;paint-order:stroke;stroke:#fff;stroke-width:4px}
@media(prefers-color-scheme:dark){
text{fill:#e6edf3}.back{fill:#0d1117}.bar{fill:#4c8fdb}.grid{stroke:#30363d}.zero{stroke:#8b949e}.small{fill:#9198a1}
.value{stroke:#0d1117}}
"""


def drawing(
    height: int, title: str, words: str, heading: str, body: Sequence[str], *, name: str = "", style: str = STYLE
) -> str:
    """A whole SVG around what is drawn; `words` is for those who do not see it.

    Within a page, `name` keeps the ids of several drawings apart, and `style` is empty where the page has the style.
    """
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-labelledby="{name}title {name}desc">',
        f'<title id="{name}title">{escaped(title)}</title>',
        f'<desc id="{name}desc">{escaped(words)}</desc>',
        *([f"<style>{style}</style>"] if style else []),
        f'<rect class="back" width="{WIDTH}" height="{height}" rx="6"/>',
        f'<text class="title" x="16" y="30">{escaped(heading)}</text>',
    ]
    return "\n".join([*head, *body, "</svg>", ""])


class Scale(NamedTuple):
    """Where a value stands from left to right, and the lines and labels of its ticks, each a value and its label."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    left: float
    right: float = WIDTH - RIGHT

    def x(self, value: float) -> float:
        """The place of a value, in pixels."""
        return self.left + (value - self.low) / (self.high - self.low) * (self.right - self.left)

    def grid(self, top: float, bottom: float) -> list[str]:
        """A line at each tick; the one at zero is darker."""
        places = [(f"{self.x(tick):.1f}", "grid" if tick else "zero") for tick, _ in self.ticks]
        return [f'<line class="{kind}" x1="{x}" y1="{top:g}" x2="{x}" y2="{bottom:g}"/>' for x, kind in places]

    def labels(self, y: float) -> list[str]:
        """The ticks' labels."""
        return [
            f'<text class="small" x="{self.x(tick):.1f}" y="{y:g}" text-anchor="middle">{text}</text>'
            for tick, text in self.ticks
        ]


def score_scale(values: Sequence[float], names: Sequence[str]) -> Scale:
    """The scale of scores in -1..1. Negative scores are rare, and get their half only where there are some."""
    low = -1.0 if any(value < 0 for value in values) else 0.0
    ticks = (-1.0, -0.5, 0.0, 0.5, 1.0) if low else (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    return Scale(low, 1.0, [(tick, f"{tick:.1f}") for tick in ticks], left_of(names))


def left_of(names: Sequence[str]) -> float:
    """Where a scale begins that has these labels at its left, in pixels."""
    return 16 + max((min(len(name), LONGEST) for name in names), default=0) * CHARACTER + 20


def label(text: str, longest: int = LONGEST) -> str:
    """Text of a label, cut where it would run out of its place."""
    return escaped(text if len(text) <= longest else f"{text[: longest - 1]}…")


def escaped(text: str) -> str:
    """Text as XML takes it: without the control characters that no XML may hold."""
    return escape("".join(character if character.isprintable() else " " for character in text))


TITLE = "Spearman correlation of cosine similarity with human scores, a bar for each pair set"


class Bar(NamedTuple):
    """One pair set's score, in -1..1."""

    model: str
    dataset: str
    value: float


def render(bars: Sequence[Bar]) -> bytes:
    """The plot as SVG. Bars keep their order within a model, and models the order in which they first come."""
    models = list(dict.fromkeys(bar.model for bar in bars))
    scale = score_scale([bar.value for bar in bars], [bar.dataset for bar in bars])
    y, body = float(TOP), []
    for model in models:
        body.append(f'<text class="model" x="16" y="{y + 22:g}">{label(model, 72)}</text>')
        y += HEADING
        of_model = [bar for bar in bars if bar.model == model]
        body += scale.grid(y, y + ROW * len(of_model))
        for bar in of_model:
            body += _bar(scale, bar, y)
            y += ROW
    height = int(y) + BOTTOM
    heading = "Spearman correlation of cosine with human scores"
    return drawing(height, TITLE, describe(bars), heading, [*body, *scale.labels(y + 18)]).encode()


def describe(bars: Sequence[Bar]) -> str:
    """The plot in words: every bar, for whoever does not see it."""
    return "; ".join(f"{bar.dataset} with {bar.model}: {bar.value:.4f}" for bar in bars) + "."


def _bar(scale: Scale, bar: Bar, y: float) -> list[str]:
    start, end = sorted((scale.x(0.0), scale.x(bar.value)))
    after = f'x="{end + 6:.1f}"' if bar.value >= 0 else f'x="{scale.x(0) + 6:.1f}"'
    return [
        f'<text x="{scale.left - 10:.1f}" y="{y + 16:g}" text-anchor="end">{label(bar.dataset)}</text>',
        f'<rect class="bar" x="{start:.1f}" y="{y + 4:g}" width="{end - start:.1f}" height="16" rx="2"/>',
        f'<text class="value" {after} y="{y + 16:g}">{bar.value:.4f}</text>',
    ]
