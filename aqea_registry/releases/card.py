"""The dataset card of a release: what the Hub shows, and what a reader needs to load, to check and to make it again.

It says nothing that is not in the release, its pins or the project's CITATION.cff: no tag, no time, no machine, no store.
The same checkout gives the same card, wherever it is read.

CITATION.cff as a value: who made a project, and how it asks to be cited.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import yaml

from aqea_registry.base.strict import convert, load_yaml
from aqea_registry.claims.export_claims import escaped
from aqea_registry.project.lock import Pin
from aqea_registry.project.params import Publish
from aqea_registry.vectors.scores import Metrics

DESCRIPTION = (
    "Embeddings of sentence pairs with human similarity scores. The vectors are canonical: computed in float64, normalised, "
    "rounded to a grid of 1e-6. Whoever makes these files again from the pinned inputs gets the same bytes, on any machine."
)
KEYWORDS = ("embeddings", "sentence-similarity", "sts", "reproducibility")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


LOAD = """\
```python
import numpy as np
from datasets import load_dataset

rows = load_dataset("ORG/NAME", "{name}", split="{split}", revision="TAG")
first = np.asarray(rows[0]["embedding1"]) / 1e6
```

ORG/NAME is where this page stands and TAG the release that you mean; without `revision` you get the newest. A folder that
holds these files serves as well: `load_dataset("FOLDER", "{name}")`. The columns `embedding1` and `embedding2` hold
int32 in units of 1e-6, `score` the human score. There is one configuration for each pair set: {names}.

A `data/*_pairs.json` file holds the same numbers as one object with `dataset`, `model`, `dimension`, `n_pairs`,
`baseline_spearman`, `embeddings1`, `embeddings2` and `scores`. The content digest is taken over the numbers alone and is the
same in every container."""


VERIFY = """\
In the folder with these files, with nothing but coreutils, or with the checks of names and of unlisted files as well:

```sh
sha256sum -c MANIFEST.sha256
aqea-registry verify .
```"""


AGAIN = """\
In a checkout of the project that published this release{home}:

```sh
dvc repro                  # pinned inputs -> pair sets -> manifest
aqea-registry verify
aqea-registry package      # this folder, as hf_package/
```"""


LIMITS = """\
The scores say how one model ranks these pairs, nothing about other tasks. Bytes are promised for the pinned inputs only;
another revision of a model or a dataset is another release. Those of a Parquet file are promised for one version of its
writer as well, its content digest for all."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One pair set, as the card tells of it. `path` and `parquet` are its two files, as paths of the release."""

    name: str
    dataset: str
    model: str
    split: str
    path: str
    parquet: str
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
    citation: Citation | None = None
    plot: tuple[str, str] | None = None  # its path in the release, and what it shows in words
    report: str | None = None  # its path in the release


def render(card: Card) -> bytes:
    """The card as README.md: YAML front matter, then Markdown."""
    citation = card.citation
    home = citation.home() if citation else None
    parts = [
        f"---\n{_front_matter(card)}---",
        f"# {' '.join(card.publish.title.split())}",
        DESCRIPTION,
        *_section("Load", _load(card.results)),
        *_section("Verify", VERIFY),
        *_section("Make it again", AGAIN.format(home=f", <{home}>" if home else "")),
        *_section("Results", _results(card)),
        *_section("Files", _files(card)),
        *_section("What it rests on", _pins(card.pins)),
        *_section("Licence", _licence(card.publish)),
        *_section("Limits", LIMITS),
        *_section("Citation", f"```bibtex\n{bibtex(citation, card.publish.title)}\n```" if citation else ""),
    ]
    return ("\n\n".join(parts) + "\n").encode()


def split_name(split: str) -> str:
    """A split as `datasets` takes it: word characters only."""
    return re.sub(r"\W+", "_", split, flags=re.ASCII)


def _section(title: str, text: str) -> Sequence[str]:
    return (f"## {title}", text) if text else ()


def _front_matter(card: Card) -> str:
    rows = sum(result.n_pairs for result in card.results)
    values = {
        "license": card.publish.licence,
        "language": list(card.publish.language),
        "task_categories": ["sentence-similarity", "text-classification"],
        "pretty_name": card.publish.title,
        "tags": list(KEYWORDS),
        "size_categories": [next((name for limit, name in _SIZES if rows < limit), "1M<n<10M")],
        "configs": [
            {"config_name": result.name, "data_files": [{"split": result.split, "path": result.parquet}]}
            for result in card.results
        ],
    }
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _load(results: Sequence[Result]) -> str:
    if not results:
        return ""
    names = ", ".join(f"`{result.name}`" for result in results)
    return LOAD.format(name=results[0].name, split=results[0].split, names=names)


def _results(card: Card) -> str:
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
        for result in card.results
    ]
    said = "Correlation of similarity with the human scores. Each number is exact: the float64 nearest to the true value."
    plot = [f"![{_alternative(card.plot[1])}]({card.plot[0]})"] if card.plot else []
    report = (
        [f"[The report]({card.report}) shows what became of every printed number that rests on these."] if card.report else []
    )
    return "\n\n".join([said, *plot, _table(header, rows), *report])


def _alternative(text: str) -> str:
    return re.sub(r"([\[\]\\])", r"\\\1", text)


def _files(card: Card) -> str:
    files = _table(
        ("file", "bytes", "sha256"),
        [(f"[`{path}`]({path})", size, f"`{sha256}`") for path, (sha256, size) in sorted(card.files.items())],
    )
    contents = _table(("pair set", "content digest"), [(result.name, f"`{result.content}`") for result in card.results])
    return f"{files}\n\n`MANIFEST.sha256` lists these and this page.\n\n{contents}"


def _pins(pins: Mapping[str, Pin]) -> str:
    rows = [
        (
            name,
            pin.kind,
            _upstream(pin),
            f"`{pin.commit or '-'}`",
            len(pin.files),
            f"`{pin.digest()}`",
            pin.licence or "not stated",
        )
        for name, pin in sorted(pins.items())
    ]
    table = _table(("name", "kind", "id", "commit", "files", "digest of the files", "licence"), rows)
    return f"{table}\n\nThe sha256 of each single file stands in `pins.json`."


def _upstream(pin: Pin) -> str:
    if pin.kind == "directory":
        return f"`{pin.id}`"
    kind = "datasets/" if pin.kind == "dataset" else ""
    return f"[`{pin.id}`](https://huggingface.co/{kind}{pin.id}/tree/{pin.commit})"


def _licence(publish: Publish) -> str:
    return (
        f"This release: {publish.licence}. The sentences are not part of it; the upstream data and models keep the licences "
        "named above."
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


NAME = "CITATION.cff"


class Author(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A person, by given and family names, or anything else by its name."""

    name: str | None = None
    given_names: str | None = None
    family_names: str | None = None

    def __str__(self) -> str:
        return self.name or " ".join(filter(None, (self.given_names, self.family_names)))


class Citation(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What is read of a CITATION.cff. YAML may give a version as a number and a day as a date: they are kept as text."""

    title: str
    authors: tuple[Author, ...] = ()
    date_released: Any = None
    version: Any = None
    doi: str | None = None
    url: str | None = None
    repository_code: str | None = None

    def day(self) -> str | None:
        """The day of `date-released`, as YYYY-MM-DD: the only date that a release tells, and a committed one."""
        return None if self.date_released is None else str(self.date_released)

    def home(self) -> str | None:
        """Where the project is found."""
        return self.url or self.repository_code


def parse_citation(content: bytes) -> Citation:
    """Read CITATION.cff. Raises BadConfiguration."""
    return convert(load_yaml(content, NAME), Citation, NAME)


def bibtex(citation: Citation, note: str) -> str:
    """The entry for a paper's bibliography. `note` says what of the project is cited."""
    fields = {
        "title": f"{{{escaped(citation.title)}}}",
        "author": " and ".join(f"{{{escaped(str(author))}}}" for author in citation.authors),
        "year": (citation.day() or "")[:4],
        "version": "" if citation.version is None else escaped(str(citation.version)),
        "doi": citation.doi or "",
        "url": citation.home() or "",
        "note": escaped(note),
    }
    key = re.sub(r"[^a-z0-9]+", "-", citation.title.lower().split(":")[0]).strip("-")
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
    return f"@misc{{{key or 'release'},\n{lines}}}"
