"""Plots of scores as SVG: the bars of a release, and the report's figure of scores beside their prints.

Written by hand, so that the same scores give the same bytes. Every mark is labelled, so nothing depends on colour. A label is
above its mark, so that a plot is as narrow as a phone. A plot has its own background, because the page around it may be light
where the reader's system is dark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from aqea_registry.base.progress import printable

WIDTH = 400
ROW, HEADING = 40, 34  # heights in pixels
TOP, BOTTOM, LEFT, RIGHT = 42, 34, 16, 68
LONGEST = 48  # characters of a label before it is cut
MOST = 120  # scores that a figure draws; its table has them all
TITLE = "Spearman correlation of cosine similarity with human scores, a bar for each pair set"
STYLE = """\
text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#1f2328;
paint-order:stroke;stroke:#fff;stroke-width:4px}
.back{fill:#fff}.bar{fill:#2f6db5}.grid{stroke:#d8dee4}.zero{stroke:#6e7781}
.title{font-size:16px;font-weight:600}.model{font-weight:600}.small{font-size:11px;fill:#59636e}
.value{font-variant-numeric:tabular-nums}
@media(prefers-color-scheme:dark){
text{fill:#e6edf3;stroke:#0d1117}.back{fill:#0d1117}.bar{fill:#4c8fdb}.grid{stroke:#30363d}.zero{stroke:#8b949e}.small{fill:#9198a1}}
"""
FIGURE_STYLE = f"""{STYLE}\
.mean{{fill:#2f6db5}}.good{{fill:none;stroke:#1f2328;stroke-width:1.6}}.bad{{fill:none;stroke:#b3261e;stroke-width:2}}
@media(prefers-color-scheme:dark){{.mean{{fill:#4c8fdb}}.good{{stroke:#e6edf3}}.bad{{stroke:#ff8a80}}}}
"""


class PrintedScore(NamedTuple):
    """A score as a document prints it, its value in -1..1, and the state of the claim."""

    claim: str
    text: str
    value: float
    state: str

    def __str__(self) -> str:
        return f"{self.text} ({self.state}, {self.claim})"


class Score(NamedTuple):
    """A recomputed score in -1..1, and every print of it."""

    model: str
    dataset: str
    value: float
    metric: str = ""
    printed: tuple[PrintedScore, ...] = ()

    @property
    def label(self) -> str:
        """The text at the left of its row."""
        return f"{self.dataset} · {self.metric}" if self.metric else self.dataset


class TextTable(NamedTuple):
    """Numbers as text, row by row; `mono` are the columns of digests."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    mono: tuple[int, ...] = ()


class Figure(NamedTuple):
    """A drawing for a page, the same as a file of its own, and its numbers as a table."""

    caption: str
    inline: str
    alone: bytes
    table: TextTable


Ticks = tuple[float, ...]  # of a linear axis, each with a line and a label


def _x(ticks: Ticks, value: float) -> float:
    """The position of a value in pixels."""
    return LEFT + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (WIDTH - RIGHT - LEFT)


def render_plot(scores: Sequence[Score]) -> bytes:
    """The plot of a release: a bar for each score, the bars of a model together, models in the order in which they come."""
    height, body = _rows(scores, _bar)
    return _drawing(height, TITLE, describe(scores), "Spearman of cosine with human scores", body).encode()


def describe(scores: Sequence[Score]) -> str:
    """The plot of a release in words."""
    return "; ".join(f"{score.dataset} with {score.model}: {score.value:.4f}" for score in scores) + "."


def score_figure(scores: Sequence[Score]) -> Figure:
    """Recomputed scores as discs, printed ones as diamonds over them."""
    shown, title = scores[:MOST], "Scores, recomputed and as printed"
    height, body = _rows(shown, _disc)
    prints = sum(len(score.printed) for score in scores)
    words = f"{len(scores)} recomputed scores and {prints} printed values of them; the table below has them all."
    more = f" {len(scores) - len(shown)} more are in the table." if len(scores) > len(shown) else ""
    rows = (
        (score.model, score.dataset, score.metric, repr(score.value), "; ".join(map(str, score.printed))) for score in scores
    )
    return Figure(
        caption=f"Disc: recomputed from the bytes. Open diamond: printed; a red one is contradicted.{more}",
        inline=_drawing(height, title, words, title, body, name="scores-", style=""),
        alone=_drawing(height, title, words, title, body, style=FIGURE_STYLE).encode(),
        table=TextTable(title, ("model", "dataset", "metric", "recomputed", "printed"), tuple(rows)),
    )


def _rows(scores: Sequence[Score], draw: Callable[[Ticks, Score, float], list[str]]) -> tuple[int, list[str]]:
    """The height of a plot and its elements: a row for each score, the rows of a model under its name, the axis below all."""
    negative = any(score.value < 0 for score in scores)  # these are rare, and get their half only where there are some
    ticks = (-1.0, -0.5, 0.0, 0.5, 1.0) if negative else (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    places, y, body = [(f"{_x(ticks, tick):.1f}", tick) for tick in ticks], float(TOP), list[str]()
    for model in dict.fromkeys(score.model for score in scores):
        body.append(f'<text class="model" x="{LEFT}" y="{y + 22:g}">{_label(model)}</text>')
        y += HEADING
        of_model = [score for score in scores if score.model == model]
        for x, tick in places:  # a line at each; the one at zero is darker
            kind = "grid" if tick else "zero"
            body.append(f'<line class="{kind}" x1="{x}" y1="{y:g}" x2="{x}" y2="{y + ROW * len(of_model):g}"/>')
        for score in of_model:
            body.append(f'<text x="{LEFT}" y="{y + 15:g}">{_label(score.label)}</text>')
            body += draw(ticks, score, y)
            y += ROW
    small = f'y="{y + 18:g}" text-anchor="middle"'
    return int(y) + BOTTOM, [*body, *(f'<text class="small" x="{x}" {small}>{tick:.1f}</text>' for x, tick in places)]


def _bar(ticks: Ticks, score: Score, y: float) -> list[str]:
    zero, value = _x(ticks, 0.0), _x(ticks, score.value)
    start, end = sorted((zero, value))
    return [
        f'<rect class="bar" x="{start:.1f}" y="{y + 20:g}" width="{end - start:.1f}" height="14" rx="2"/>',
        f'<text class="value" x="{end + 6:.1f}" y="{y + 32:g}">{score.value:.4f}</text>',
    ]


def _disc(ticks: Ticks, score: Score, y: float) -> list[str]:
    middle = y + 27
    marks = [f'<circle class="mean" cx="{_x(ticks, score.value):.1f}" cy="{middle:g}" r="4"/>']
    for printed in score.printed:
        if ticks[0] <= printed.value <= ticks[-1]:
            kind, x = "bad" if printed.state == "contradicted" else "good", _x(ticks, printed.value)
            path = f"M{x - 7:.1f} {middle:g}L{x:.1f} {middle - 7:g}L{x + 7:.1f} {middle:g}L{x:.1f} {middle + 7:g}Z"
            marks.append(f'<path class="{kind}" d="{path}"/>')
    value = f'<text class="value" x="{WIDTH - RIGHT + 14}" y="{y + 32:g}">{score.value:.4f}</text>'
    return [*dict.fromkeys(marks), value]


def _drawing(
    height: int, title: str, words: str, heading: str, body: Sequence[str], *, name: str = "", style: str = STYLE
) -> str:
    """A whole SVG around its elements, with `words` for readers who do not see it; a page has the style, and needs a `name`."""
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-labelledby="{name}title {name}desc">',
        f'<title id="{name}title">{_escaped(title)}</title>',
        f'<desc id="{name}desc">{_escaped(words)}</desc>',
        *([f"<style>{style}</style>"] if style else []),
        f'<rect class="back" width="{WIDTH}" height="{height}" rx="6"/>',
        f'<text class="title" x="{LEFT}" y="30">{_escaped(heading)}</text>',
    ]
    return "\n".join([*head, *body, "</svg>", ""])


def _label(text: str) -> str:
    """Text of a label, cut to its length."""
    return _escaped(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")


def _escaped(text: str) -> str:
    """Text as XML takes it: without the control characters that no XML may hold."""
    return escape(printable(text, instead=" "))
