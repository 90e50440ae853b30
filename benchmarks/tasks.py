"""What the tasks of MTEB's English benchmarks cost: `python -m benchmarks.tasks` writes the table of docs/scores.md.

Counts of texts and their mean lengths in characters stand in MTEB's own descriptive statistics. The rest is estimated:
tokens by the characters of a token in this repository's texts, hours by the speed of one thread at that length (the figures of
`python -m benchmarks lengths` in results.json), bytes by the plain size of keys and vectors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks.generate import model_folder
from benchmarks.timing import ROOT

BENCHMARKS = {"v1": "MTEB(eng, v1)", "v2": "MTEB(eng, v2)"}
PAGE = ROOT / "docs" / "scores.md"
TABLE = re.compile(r"(<!-- tasks: python -m benchmarks.tasks -->\n).*?(<!-- /tasks -->)", re.DOTALL)
MOST = 256  # tokens that all-MiniLM-L6-v2 reads of a text
CORES = 2
CARD = 30_000  # GFLOP/s in float64 that the estimate assumes of a graphics card
ROW_BYTES = 32 + 4 * 384  # a key and a vector


class Texts(NamedTuple):
    """Distinct texts of about one length."""

    number: int
    characters: float  # of one, on average


class Speed(NamedTuple):
    """What was measured: characters a token, tokens a second of one thread by length, and its float64 matrices' GFLOP/s."""

    characters: float
    lengths: tuple[int, ...]
    rates: tuple[float, ...]
    matrices: float

    def tokens(self, texts: Texts) -> float:
        """Of one text, at most: where some are longer than the model reads and some are not, the mean is shorter than this."""
        return min(texts.characters / self.characters + 2, MOST)

    def seconds(self, texts: Texts) -> float:
        """Of one core, for all of these texts."""
        length = self.tokens(texts)
        return texts.number * length * float(np.interp(length, self.lengths, [1 / rate for rate in self.rates]))


def main() -> None:
    """Write the table into the page."""
    rows = table(measured())
    text, count = TABLE.subn(lambda found: f"{found[1]}{rows}{found[2]}", PAGE.read_text("utf-8"))
    if count != 1:
        raise SystemExit(f"{PAGE.name} has no place for the table")
    PAGE.write_text(text, "utf-8")


def measured() -> Speed:
    """The speed of results.json, and the length of a token in the garden set."""
    from transformers import AutoTokenizer

    figures = json.loads((ROOT / "benchmarks/results.json").read_text())["lengths"]["figures"]
    rates = {
        int(found[1]): float(found[2])
        for figure in figures.values()
        if (
            found := re.fullmatch(
                r"canonical vectors, (\d+) tokens.*?([\d.]+) tokens/s", f"{figure['what']} {figure.get('limit', '')}"
            )
        )
    }
    rows = map(json.loads, (ROOT / "data/garden-retrieval/corpus.jsonl").read_text("utf-8").splitlines())
    texts = [f"{row['title']} {row['text']}" for row in rows]
    tokens = AutoTokenizer.from_pretrained(model_folder())(texts, add_special_tokens=False)["input_ids"]
    characters = sum(map(len, texts)) / sum(map(len, tokens))
    matrices = next(figure["ours"]["median"] for figure in figures.values() if figure["what"].startswith("float64 matrices"))
    return Speed(characters, tuple(sorted(rates)), tuple(rates[length] for length in sorted(rates)), matrices)


def table(speed: Speed) -> str:
    """A line a task, by type and name."""
    from mteb import get_benchmark

    tasks, within = {}, dict[str, list[str]]()
    for version, benchmark in BENCHMARKS.items():
        for task in get_benchmark(benchmark).tasks:
            tasks[task.metadata.name] = task
            within.setdefault(task.metadata.name, []).append(version)
    lines = [
        "| task | type | in | texts | tokens, millions | hours, 2 cores | hours, a card | vector set |",
        "|---|---|---|--:|--:|--:|--:|--:|",
    ]
    for name, task in sorted(tasks.items(), key=lambda item: (item[1].metadata.type, item[0].lower())):
        texts = [*texts_of(task)]
        count = sum(part.number for part in texts)
        hours = sum(map(speed.seconds, texts)) / CORES / 3600
        cells = (
            f"{count:,}",
            short(sum(part.number * speed.tokens(part) for part in texts) / 1e6),
            short(hours),
            short(hours * CORES * speed.matrices / CARD),
            f"{short(count * ROW_BYTES / 1e6)} MB",
        )
        lines.append(f"| {name} | {task.metadata.type} | {', '.join(within[name])} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def texts_of(task: Any) -> Iterator[Texts]:
    """The distinct texts that a task encodes; of a task that is a mean of others, theirs."""
    if parts := getattr(task.metadata, "tasks", ()):
        for part in parts:
            yield from texts_of(part)
        return
    statistics = task.metadata.descriptive_stats
    for split in task.eval_splits:
        yield from _texts(task, statistics[split])
    if task.metadata.type == "Classification":
        (train,) = _texts(task, statistics["train"])
        labels = _of_subset(task, statistics["train"])["label_statistics"]["unique_labels"]
        yield train._replace(number=min(train.number, labels * task.samples_per_label * task.n_experiments))


def _texts(task: Any, statistics: dict[str, Any]) -> Iterator[Texts]:
    found = _of_subset(task, statistics)
    most = int((getattr(task, "max_fraction_of_documents_to_embed", None) or 1) * found["num_samples"])
    most = getattr(task, "max_document_to_embed", None) or most
    for name in ("text", "text1", "text2", "documents_text", "queries_text", "human_summaries", "machine_summaries"):
        if part := found.get(f"{name}_statistics"):
            count = min(part["unique_texts"], most) if task.metadata.type == "Clustering" else part["unique_texts"]
            yield Texts(count, part["average_text_length"])


def _of_subset(task: Any, statistics: dict[str, Any]) -> dict[str, Any]:
    """The numbers of the English subset, where there are several."""
    (subset,) = task.hf_subsets
    found: dict[str, Any] = statistics.get("hf_subset_descriptive_stats", {}).get(subset, statistics)
    return found


def short(number: float) -> str:
    """With two digits, and no more than two after the point."""
    return (
        f"{number:,.0f}" if number >= 10 else f"{number:.1f}" if number >= 1 else f"{number:.2f}" if number >= 0.01 else "<0.01"
    )


if __name__ == "__main__":
    main()
