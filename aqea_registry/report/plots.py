"""Plots of scores as SVG: the bars of a release, and the report's figure of scores beside their prints.

The template plot.svg draws them, so that the same scores give the same bytes. Every mark is labelled, so nothing depends on
colour. A label is above its mark, so that a plot is as narrow as a phone. A plot has its own background, as the page around
it may be light where the reader's system is dark. Pure but for reading the template.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
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


def render_plot(scores: Sequence[Score]) -> bytes:
    """The plot of a release: a bar for each score, the bars of a model together, models in the order in which they come."""
    drawing = _drawing(scores, TITLE, describe(scores), "Spearman of cosine with human scores", bars=True)
    return drawing.encode()


def describe(scores: Sequence[Score]) -> str:
    """The plot of a release in words."""
    return "; ".join(f"{score.dataset} with {score.model}: {score.value:.4f}" for score in scores) + "."


def score_figure(scores: Sequence[Score]) -> Figure:
    """Recomputed scores as discs, printed ones as diamonds over them."""
    shown, title = scores[:MOST], "Scores, recomputed and as printed"
    prints = sum(len(score.printed) for score in scores)
    words = f"{len(scores)} recomputed scores and {prints} printed values of them; the table below has them all."
    more = f" {len(scores) - len(shown)} more are in the table." if len(scores) > len(shown) else ""
    rows = (
        (score.model, score.dataset, score.metric, repr(score.value), "; ".join(map(str, score.printed))) for score in scores
    )
    return Figure(
        caption=f"Disc: recomputed from the bytes. Open diamond: printed; a red one is contradicted.{more}",
        inline=_drawing(shown, title, words, title, name="scores-", style=""),
        alone=_drawing(shown, title, words, title, style=FIGURE_STYLE).encode(),
        table=TextTable(title, ("model", "dataset", "metric", "recomputed", "printed"), tuple(rows)),
    )


def _drawing(
    scores: Sequence[Score], title: str, words: str, heading: str, *, bars: bool = False, name: str = "", style: str = STYLE
) -> str:
    """A whole SVG, with `words` for readers who do not see it; a page has the style, and needs a `name`.

    A row for each score, the rows of a model under its name, the axis below all.
    """
    from jinja2 import Environment, StrictUndefined

    negative = any(score.value < 0 for score in scores)  # these are rare, and get their half only where there are some
    ticks = (-1.0, -0.5, 0.0, 0.5, 1.0) if negative else (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    models, y = list[tuple[str, int, int, list[tuple[int, Score]]]](), TOP
    for model in dict.fromkeys(score.model for score in scores):
        of_model, top = [score for score in scores if score.model == model], y + HEADING
        y = top + ROW * len(of_model)
        models.append((model, top, y, list(zip(range(top, y, ROW), of_model, strict=True))))

    def x(value: float) -> float:
        return LEFT + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (WIDTH - RIGHT - LEFT)

    def diamonds(score: Score) -> Iterable[tuple[str, ...]]:
        """Each once: its kind, and where its left corner, its middle and its right corner are."""
        inside = (printed for printed in score.printed if ticks[0] <= printed.value <= ticks[-1])
        kinds = (("bad" if printed.state == "contradicted" else "good", x(printed.value)) for printed in inside)
        return dict.fromkeys((kind, *(_pixels(at + away) for away in (-7, 0, 7))) for kind, at in kinds)

    environment = Environment(trim_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701 - escaped
    environment.filters |= {"escaped": _escaped, "label": _label, "pixels": _pixels}
    sizes = {"width": WIDTH, "height": y + BOTTOM, "left": LEFT, "ticks": ticks, "models": models, "x": x}
    texts = {"name": name, "title": title, "words": words, "heading": heading, "style": style}
    layout = environment.from_string((files(__package__) / "plot.svg").read_text("utf-8"))
    return layout.render(**sizes, **texts, bars=bars, diamonds=diamonds)


def _pixels(length: float) -> str:
    return f"{length:.1f}"


def _label(text: str) -> str:
    """Text of a label, cut to its length."""
    return _escaped(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")


def _escaped(text: str) -> str:
    """Text as XML takes it: without the control characters that no XML may hold."""
    return escape(printable(text, instead=" "))
