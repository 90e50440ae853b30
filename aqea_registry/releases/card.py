"""What describes a release: its card, from the template card.md, and Croissant 1.1, by which programs find and read datasets.

Both hold nothing that is not in the release, its pins, params.yaml or CITATION.cff, the project's wish how to be cited: no tag,
time, machine or store, and relative addresses, so the same checkout gives the same bytes. Pure but for reading the templates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import msgspec

from aqea_registry.base.files import FileDigest
from aqea_registry.base.strict import parse_json, render_yaml
from aqea_registry.claims.export_claims import escaped
from aqea_registry.project.artefact import LISTS, published_path
from aqea_registry.project.citation import Citation, links
from aqea_registry.project.lock import Pin
from aqea_registry.project.params import Publish
from aqea_registry.report.page import PairSetFacts, TaskFacts
from aqea_registry.report.plots import TITLE
from aqea_registry.vectors.scores import Metrics

DESCRIPTION = (
    "Embeddings of sentence pairs with human similarity scores. The vectors are canonical: computed in float64, normalised, "
    "rounded to a grid of 1e-6. Whoever makes these files again from the pinned inputs gets the same bytes, on any machine."
)
CARD, CROISSANT, PLOT, REPORT = "README.md", "croissant.json", "plots/metrics.svg", "report.html"  # of a release
KEYWORDS = ("embeddings", "sentence-similarity", "sts", "reproducibility")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a card is made from. `files` maps a path to its hex sha256 and its size in bytes.

    `left_out` are vector sets that are not in the release, by name.
    """

    publish: Publish
    results: Sequence[PairSetFacts]
    tasks: Sequence[TaskFacts] = ()
    left_out: Mapping[str, FileDigest] = {}
    files: Mapping[str, tuple[str, int]]
    pins: Mapping[str, Pin]
    given: str = ""  # what is said of pair sets whose vectors were not made here
    citation: Citation | None = None


def render_card(card: Card) -> bytes:
    """The card as README.md: YAML front matter, then Markdown."""
    from jinja2 import Environment, StrictUndefined

    layout = (files(__package__) / "card.md").read_text("utf-8")
    environment = Environment(trim_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701 - Markdown
    citation, title = card.citation, card.publish.title
    text = environment.from_string(layout).render(
        card=card,
        front_matter=_front_matter(card),
        title=" ".join(title.split()),
        description=DESCRIPTION + card.given,
        names=", ".join(f"`{made.key}`" for made, _ in card.results),
        links=links(card.publish.url, citation),
        local=", ".join(f"`{name}`" for name, pin in sorted(card.pins.items()) if pin.kind == "directory"),
        plot=PLOT,
        plot_text=TITLE,
        report=REPORT,
        metrics=[f"`{name}`" for name in Metrics.__struct_fields__],
        files=sorted(card.files.items()),
        pins=sorted(card.pins.items()),
        claimed=any(pin.state == "claimed" for pin in card.pins.values()),
        bibtex=bibtex(citation, title, card.publish.url) if citation else "",
        published_path=published_path,
        split_name=split_name,
        lists_path=lists_path,
        astuple=msgspec.structs.astuple,
    )
    return text.encode()


def split_name(split: str) -> str:
    """A split as `datasets` takes it: word characters only."""
    return re.sub(r"\W+", "_", split, flags=re.ASCII)


def lists_path(key: str) -> str:
    """Where a release has the nearest documents of a vector set that it does not hold."""
    return f"{LISTS}{key}.jsonl"


def _front_matter(card: Card) -> str:
    rows = sum(examined.header.n_pairs for _, examined in card.results)
    data = ((made, split_name(made.dataset_entry.split_name), published_path(made.view)) for made, _ in card.results)
    values = {
        "license": card.publish.licence,
        "language": list(card.publish.language),
        "task_categories": ["sentence-similarity", "text-classification"],
        "pretty_name": card.publish.title,
        "tags": list(KEYWORDS),
        "size_categories": [next((name for limit, name in _SIZES if rows < limit), "1M<n<10M")],
        "configs": [{"config_name": made.key, "data_files": [{"split": split, "path": path}]} for made, split, path in data],
    }
    return render_yaml(values)


def bibtex(citation: Citation, note: str, url: str | None = None) -> str:
    """The entry for a paper's bibliography. `note` says what of the project is cited, `url` where that is."""
    fields = {
        "title": f"{{{escaped(citation.title)}}}",
        "author": " and ".join(f"{{{escaped(str(author))}}}" for author in citation.authors),
        "year": (citation.date_released or "")[:4],
        "version": escaped(citation.version or ""),
        "doi": citation.known_doi() or "",
        "url": url or citation.home() or "",
        "note": escaped(note),
    }
    key = re.sub(r"[^a-z0-9]+", "-", citation.title.lower().split(":")[0]).strip("-")
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
    return f"@misc{{{key or 'release'},\n{lines}}}"


TERMS, RAI = "http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"
GENERATED = "The sentences of the datasets were encoded by the models, each at its pinned revision, by aqea-registry."
SD_VERSION = "2.0.0"  # of this description: raised when the same release would be described in other words
FORMATS = {".json": "application/json", ".jsonl": "application/jsonl", ".parquet": "application/x-parquet"}
FOLDERS = ("data/", "parquet/", LISTS)
IN_UNITS = "{} integers in units of 1e-6"


def render_croissant(card: Card) -> bytes:
    """croissant.json: every data file with its sha256, and a record set for each pair set and vector set."""
    stated, tables = msgspec.to_builtins(card.publish.rai), list[PairSetFacts | TaskFacts]([*card.results, *card.tasks])
    value = {
        "@context": context(),
        "@type": "sc:Dataset",
        "name": " ".join(card.publish.title.split()),
        "description": DESCRIPTION + card.given,
        "conformsTo": [TERMS, RAI] if stated else TERMS,
        "license": f"https://choosealicense.com/licenses/{card.publish.licence}/",  # where the Hub itself points to
        "inLanguage": list(card.publish.language),
        "keywords": list(KEYWORDS),
        "isLiveDataset": False,
        "sdVersion": SD_VERSION,
        **_cited(card),
        **{f"rai:{term}": text for term, text in stated.items()},
        "prov:wasDerivedFrom": [_source(name, pin) for name, pin in sorted(card.pins.items())],
        "prov:wasGeneratedBy": {"@type": "prov:Activity", "name": "embedding", "description": GENERATED + card.given},
        "distribution": [
            _file(path, sha256, size) for path, (sha256, size) in sorted(card.files.items()) if path.startswith(FOLDERS)
        ],
        "recordSet": [_records(facts) for facts in tables if facts.made.key not in card.left_out],
    }
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def context() -> Any:
    """The terms of Croissant, as its specification lists them, and those of PROV."""
    return parse_json((files(__package__) / "croissant_context.json").read_bytes())


def _cited(card: Card) -> dict[str, Any]:
    citation, version = card.citation, card.publish.version
    if citation is None:
        return {key: value for key, value in (("version", version), ("url", card.publish.url)) if value}
    values = {
        "creator": [{"@type": "Organization" if author.name else "Person", "name": str(author)} for author in citation.authors],
        "citeAs": bibtex(citation, card.publish.title, card.publish.url),
        "datePublished": citation.date_released,
        "version": version or citation.version,
        "url": card.publish.url or citation.home(),
    }
    return {key: value for key, value in values.items() if value}


def _source(name: str, pin: Pin) -> dict[str, str]:
    """What the release was made from, by its address where the Hub has confirmed that, and the digest of its files."""
    known = {"@type": "prov:Entity", "name": name, "identifier": f"sha256:{pin.digest()}"}
    return {**known, "url": pin.address} if pin.address else known


def _file(path: str, sha256: str, size: int) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path.rpartition("/")[2],
        "contentUrl": path,
        "contentSize": f"{size} B",
        "encodingFormat": FORMATS[path[path.rfind(".") :]],
        "sha256": sha256,
    }


def _records(facts: PairSetFacts | TaskFacts) -> dict[str, Any]:
    """The rows of a Parquet file with vectors: pairs, or the texts of a task."""
    made = facts.made
    if isinstance(facts, PairSetFacts):
        header, path = facts.examined.header, published_path(facts.made.view)
        dimension, rows = header.dimension, f"{header.n_pairs} pairs"
        columns = [
            (f"embedding{which}", "sc:Integer", f"Embedding of the {side} sentence of the pair, {IN_UNITS.format(dimension)}")
            for which, side in ((1, "first"), (2, "second"))
        ]
        columns.append(("score", "sc:Float", "Human similarity score, as in the dataset"))
    else:
        dimension, rows, path = facts.checked.dimension, f"{facts.checked.texts} texts", published_path(facts.made.file)
        columns = [("key", "sc:Text", "sha256 of the text as the model sees it, 32 bytes")]
        columns.append(("vector", "sc:Integer", f"Vector of the text, {IN_UNITS.format(dimension)}"))
    return {
        "@type": "cr:RecordSet",
        "@id": made.key,
        "name": made.key,
        "description": f"{rows} of {made.dataset} under {made.model_text}",
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{made.key}/{name}",
                "name": name,
                "description": description,
                "dataType": kind,
                **({"isArray": True, "arrayShape": str(dimension)} if kind == "sc:Integer" else {}),
                "source": {"fileObject": {"@id": path}, "extract": {"column": name}},
            }
            for name, kind, description in columns
        ],
    }
