"""The dataset card of a release: what the Hub shows, and what a reader needs to check and to make the files again.

It says nothing that is not in the release or its pins: no tag, no time, no machine. The same checkout gives the same card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import yaml

from aqea_registry.core.catalogue import Publish
from aqea_registry.core.metrics import Metrics
from aqea_registry.core.pins import Pin

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One pair set, as the card tells of it."""

    name: str
    dataset: str
    model: str
    path: str
    n_pairs: int
    dimension: int
    metrics: Metrics
    content: str


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a card is made from. `files` maps a path to its hex sha256 and its size in bytes."""

    publish: Publish
    results: Sequence[Result]
    files: Mapping[str, tuple[str, int]]
    pins: Mapping[str, Pin]


def render(card: Card) -> bytes:
    """The card as README.md: YAML front matter, then Markdown."""
    parts = [
        f"---\n{_front_matter(card)}---",
        f"# {card.publish.title}",
        "Embeddings of sentence pairs with human similarity scores. The vectors are canonical: computed in float64, "
        "normalised, rounded to a grid of 1e-6. Whoever makes these files again from the pinned inputs gets the same "
        "bytes, on any machine.",
        "## Results",
        "Correlation of similarity with the human scores. Each number is exact: the float64 nearest to the true value.",
        _results(card.results),
        "## Files",
        _table(
            ("file", "bytes", "sha256"),
            [(f"`{path}`", size, f"`{sha256}`") for path, (sha256, size) in sorted(card.files.items())],
        ),
        "A `*_pairs.json` file is one object with `dataset`, `model`, `dimension`, `n_pairs`, `baseline_spearman`, "
        "`embeddings1`, `embeddings2` and `scores`. The content digest below is taken over the numbers alone and is the "
        "same in every container.",
        _table(("pair set", "content digest"), [(result.name, f"`{result.content}`") for result in card.results]),
        "## Verify",
        "In the folder with these files, with nothing but coreutils, or with the checks of shape, grid and scores as well:",
        "```sh\nsha256sum -c manifests/MANIFEST.sha256\naqea-registry verify .\n```",
        "## Make them again",
        "In a checkout of the project that published this release:",
        "```sh\nmake demo          # or: dvc repro && aqea-registry verify\n```",
        "## What they rest on",
        _pins(card.pins),
        "## Licence",
        f"This release: {card.publish.licence}. The sentences are not part of it; the upstream data and models keep the "
        "licences named above.",
        "## Limits",
        "The scores say how one model ranks these pairs, nothing about other tasks. Bytes are promised for the pinned "
        "inputs only; another revision of a model or a dataset is another release.",
    ]
    return ("\n\n".join(parts) + "\n").encode()


def _front_matter(card: Card) -> str:
    rows = sum(result.n_pairs for result in card.results)
    values = {
        "license": card.publish.licence,
        "language": list(card.publish.language),
        "task_categories": ["sentence-similarity", "text-classification"],
        "pretty_name": card.publish.title,
        "tags": ["embeddings", "sentence-similarity", "sts", "reproducibility"],
        "size_categories": [next((name for limit, name in _SIZES if rows < limit), "1M<n<10M")],
    }
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _results(results: Sequence[Result]) -> str:
    names = Metrics.__struct_fields__
    header = ("pair set", "dataset", "model", "pairs", "dimension", *(f"`{name}`" for name in names))
    rows = [
        (
            f"[{result.name}]({result.path})",
            result.dataset,
            f"`{result.model}`",
            result.n_pairs,
            result.dimension,
            *(repr(getattr(result.metrics, name)) for name in names),
        )
        for result in results
    ]
    return _table(header, rows)


def _pins(pins: Mapping[str, Pin]) -> str:
    rows = [
        (
            name,
            pin.kind,
            f"`{pin.id}`",
            f"`{pin.commit or '-'}`",
            len(pin.files),
            f"`{pin.digest()}`",
            pin.licence or "not stated",
        )
        for name, pin in sorted(pins.items())
    ]
    table = _table(("name", "kind", "id", "commit", "files", "digest of the files", "licence"), rows)
    return f"{table}\n\nThe sha256 of each single file stands in `manifests/pins.json`."


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
