"""The plot of a release: the Spearman correlation of every pair set as a bar, the bars of one model together.

Written by hand, so that the same scores give the same bytes and nothing needs a plotting library. Every bar is labelled
with its dataset and its value: nothing is told by colour alone. The plot has its own background, because the page
around it may be light where the reader's system is dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

TITLE = "Spearman correlation of cosine similarity with human scores, a bar for each pair set"
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


class Bar(NamedTuple):
    """One pair set's score, in -1..1."""

    model: str
    dataset: str
    value: float


def render(bars: Sequence[Bar]) -> bytes:
    """The plot as SVG. Bars keep their order within a model, and models the order in which they first come."""
    models = list(dict.fromkeys(bar.model for bar in bars))
    scale = _Scale(bars)
    y, body = float(TOP), []
    for model in models:
        body.append(f'<text class="model" x="16" y="{y + 22:g}">{_text(model, 72)}</text>')
        y += HEADING
        of_model = [bar for bar in bars if bar.model == model]
        body += scale.grid(y, y + ROW * len(of_model))
        for bar in of_model:
            body += scale.bar(bar, y)
            y += ROW
    height = int(y) + BOTTOM
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-labelledby="title desc">',
        '<title id="title">' + TITLE + "</title>",
        f'<desc id="desc">{_escape(describe(bars))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="back" width="{WIDTH}" height="{height}" rx="6"/>',
        '<text class="title" x="16" y="30">Spearman correlation of cosine with human scores</text>',
    ]
    return "\n".join([*head, *body, *scale.labels(y + 18), "</svg>", ""]).encode()


def describe(bars: Sequence[Bar]) -> str:
    """The plot in words: every bar, for whoever does not see it."""
    return "; ".join(f"{bar.dataset} with {bar.model}: {bar.value:.4f}" for bar in bars) + "."


class _Scale:
    """Where a value stands from left to right. Negative scores are rare, and get their half only where there are some."""

    def __init__(self, bars: Sequence[Bar]) -> None:
        self.low = -1.0 if any(bar.value < 0 for bar in bars) else 0.0
        self.ticks = (-1.0, -0.5, 0.0, 0.5, 1.0) if self.low else (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
        labels = max((min(len(bar.dataset), LONGEST) for bar in bars), default=0)
        self.left = 16 + labels * CHARACTER + 20
        self.width = WIDTH - RIGHT - self.left

    def x(self, value: float) -> float:
        return self.left + (value - self.low) / (1 - self.low) * self.width

    def grid(self, top: float, bottom: float) -> list[str]:
        places = [(f"{self.x(tick):.1f}", "grid" if tick else "zero") for tick in self.ticks]
        return [f'<line class="{kind}" x1="{x}" y1="{top:g}" x2="{x}" y2="{bottom:g}"/>' for x, kind in places]

    def labels(self, y: float) -> list[str]:
        return [
            f'<text class="small" x="{self.x(tick):.1f}" y="{y:g}" text-anchor="middle">{tick:.1f}</text>'
            for tick in self.ticks
        ]

    def bar(self, bar: Bar, y: float) -> list[str]:
        start, end = sorted((self.x(0.0), self.x(bar.value)))
        after = f'x="{end + 6:.1f}"' if bar.value >= 0 else f'x="{self.x(0) + 6:.1f}"'
        return [
            f'<text x="{self.left - 10:.1f}" y="{y + 16:g}" text-anchor="end">{_text(bar.dataset, LONGEST)}</text>',
            f'<rect class="bar" x="{start:.1f}" y="{y + 4:g}" width="{end - start:.1f}" height="16" rx="2"/>',
            f'<text class="value" {after} y="{y + 16:g}">{bar.value:.4f}</text>',
        ]


def _text(text: str, longest: int) -> str:
    """Text of a label, cut where it would run out of its place."""
    return _escape(text if len(text) <= longest else f"{text[: longest - 1]}…")


def _escape(text: str) -> str:
    """Text as XML takes it: without the control characters that no XML may hold."""
    return escape("".join(character if character.isprintable() else " " for character in text))
