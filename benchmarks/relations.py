"""Relations: how many random tables and sentences are bound by chance, and how many promises of true tables are found.

The tables have digits, labels and shapes of the field's. Rows and columns that promise an average or a total keep it in a true
table, computed from unrounded terms, and one of three or more cells is often wrong. In a random one they print what is
plausible: a number from the range of the terms, or the average of scores that are not printed. A random sentence names the two
cells that it compares, and prints a difference, a factor or a gain of a usual size.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from aqea_registry.claims.drafting import claims_of_tables
from aqea_registry.claims.repeats import relate
from aqea_registry.claims.sentences import claims_of_text
from aqea_registry.documents.markup_tables import markdown_tables
from benchmarks.timing import Figure, Goal

DATASETS = (
    "STS12",
    "STS13",
    "STSB",
    "SICK-R",
    "ArguAna",
    "FiQA",
    "NFCorpus",
    "SciFact",
    "Banking77",
    "Emotion",
    "Imdb",
    "Quora",
)
AVERAGES = ("Avg", "Avg.", "Average", "Mean", "AVG", "Overall", "Average score")
DIFFERENCES = ("Δ", "Delta", "Gain", "Improvement", "Diff.")
SHAPES = {"column": 8, "row": 4, "weighted": 2, "total": 2, "difference": 3, "none": 2}


class Drawn(NamedTuple):
    """A table in Markdown, and how many cells promise something."""

    text: str
    promises: int


def draw(chance: Random, *, true: bool) -> Drawn:
    """A random table."""
    shape = chance.choices(list(SHAPES), list(SHAPES.values()))[0]
    count, width = chance.choice((1, 2, 3, 3, 4, 4, 5, 6, 8, 10, 15, 25)), chance.randint(2, 10)
    width = min(width, 3) if shape == "total" else width
    digits = chance.choices((0, 1, 2, 4), (1, 4, 4, 1))[0]
    scale, counted = (0.01 if digits == 4 else 1), shape == "total"
    labels = chance.sample(DATASETS, width)
    sizes = [chance.randint(1, 30) for _ in labels]
    level = [chance.gauss(60, 15) for _ in labels]
    rows = [[min(max(base + chance.gauss(0, 6), 2), 99) * scale for base in level] for _ in range(count)]
    if counted:
        rows = [[float(round(10 ** chance.uniform(3, 7))) for _ in labels] for _ in range(count)]

    def promised(terms: list[float], weights: list[int]) -> float:
        if shape == "difference":
            return terms[-1] - terms[-2] if true else chance.gauss(0, 8) * scale
        if counted:
            return sum(terms) if true else max(terms) * chance.uniform(0.5, len(terms))
        mean = sum(term * weight for term, weight in zip(terms, weights, strict=True)) / sum(weights)
        return mean if true else chance.choice((chance.uniform(min(terms), max(terms)), mean + chance.gauss(0, 3 * scale)))

    plain = [1] * max(width, count)
    if shape in ("row", "total"):
        made = [promised(list(terms), plain[:count]) for terms in zip(*rows, strict=True)]
    else:
        made = [promised(row, sizes if shape == "weighted" else plain[:width]) for row in rows] if shape != "none" else []
    if true and len(made) > 2 and chance.random() < 0.5:
        made[chance.randrange(len(made))] *= chance.choice((0.93, 1.08))
    return _written(shape, chance, labels, sizes, rows, made, digits)


def _written(
    shape: str, chance: Random, labels: list[str], sizes: list[int], rows: list[list[float]], made: list[float], digits: int
) -> Drawn:
    texts = [[f"{value:,.0f}" if shape == "total" else f"{value:.{digits}f}" for value in row] for row in [*rows, made]]
    body, last = [[f"model-{number}", *row] for number, row in enumerate(texts[:-1])], texts[-1]
    head = [
        "model",
        *([f"{label} ({size})" for label, size in zip(labels, sizes, strict=True)] if shape == "weighted" else labels),
    ]
    name = f"Average ({sum(sizes)})" if shape == "weighted" else chance.choice(AVERAGES)
    name = chance.choice(DIFFERENCES) if shape == "difference" else name
    if shape in ("row", "total"):
        body.insert(
            0 if shape == "row" and chance.random() < 0.3 else len(body), ["Total" if shape == "total" else name, *last]
        )
    elif shape != "none":
        place = chance.choice((1, len(head))) if shape == "column" else len(head)
        for line, cell in zip([head, *body], [name, *last], strict=True):
            line.insert(place, cell)
    if shape == "column" and chance.random() < 0.4:
        for line, cell in zip([head, *body], ["Dim", *(str(chance.choice((256, 384, 768, 1024))) for _ in body)], strict=True):
            line.insert(1, cell)
    lines = [head, ["---"] * len(head), *body]
    return Drawn("# Results\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines), len(made))


def bound(text: str) -> int:
    """How many cells of a document the import binds."""
    tables = markdown_tables(text, "table.md")
    return len(relate([], {}, claims_of_tables(tables, text).tables).derived)


def compared(chance: Random) -> int:
    """How many numbers of a random sentence that compares two scores of a table are bound."""
    rows, digits = [f"model-{letter}" for letter in "abcdef"], chance.choice((1, 2))
    columns = chance.sample(DATASETS, chance.randint(1, 6))
    lines = [["model", *columns], ["---"] * (len(columns) + 1)]
    lines += [[row, *(f"{chance.gauss(65, 10):.{digits}f}" for _ in columns)] for row in rows]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    (one, other), column, digits = chance.sample(rows, 2), chance.choice(columns), chance.choice((0, 1, 2, 1, 2))
    number, text = chance.choice(
        (
            (abs(chance.gauss(0, 10)) + 0.1, f"On {column}, {one} beats {other} by NUMBER points."),
            (1 + chance.expovariate(2), f"{one} is NUMBER times as good as {other} on {column}."),
            (chance.expovariate(0.07), f"Over {other} there is a relative gain of NUMBER% by {one} on {column}."),
        )
    )
    page = f"# Results\n\n{table}\n{text.replace('NUMBER', f'{number:.{digits}f}')}\n"
    return len(claims_of_text(page, "markdown", claims_of_tables(markdown_tables(page, "table.md"), page).tables))


def random_tables(*, quick: bool, seed: int = 12) -> list[Figure]:
    """How many random tables have a relation, and the share of true promises that were bound."""
    tables, chance = 300 if quick else 5000, Random(seed)
    false = sum(bound(draw(chance, true=False).text) > 0 for _ in range(tables))
    true = [draw(chance, true=True) for _ in range(tables // 5)]
    found, promises = sum(min(bound(one.text), one.promises) for one in true), sum(one.promises for one in true)
    sentences = sum(compared(chance) > 0 for _ in range(tables))
    most = Goal("ours", "at most", 0.001)
    return [
        Figure("random tables bound by chance", [false / tables], f"{false} of {tables}", unit="", goal=most),
        Figure("random comparisons bound by chance", [sentences / tables], f"{sentences} of {tables}", unit="", goal=most),
        Figure("promises of true tables that are bound", [found / promises], f"{found} of {promises}", unit=""),
    ]
