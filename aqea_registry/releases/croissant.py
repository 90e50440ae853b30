"""A release as Croissant 1.0, the JSON-LD by which programs find datasets and read their records.

Version 1.0, because every reader of 1.1 reads it and not the other way round. It holds no clock: `datePublished` and
`version` are those that the project committed in its CITATION.cff, if there are any.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from aqea_registry.releases.card import DESCRIPTION, KEYWORDS, Card, Result, bibtex

FORMATS = {".json": "application/json", ".parquet": "application/x-parquet"}
FOLDERS = ("data/", "parquet/")


def render_croissant(card: Card) -> bytes:
    """croissant.json: every data file with its sha256, and a record set for each pair set."""
    value = {
        "@context": context(),
        "@type": "sc:Dataset",
        "name": " ".join(card.publish.title.split()),
        "description": DESCRIPTION,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": licence_url(card.publish.licence),
        "inLanguage": list(card.publish.language),
        "keywords": list(KEYWORDS),
        "isLiveDataset": False,
        **_cited(card),
        "distribution": [
            _file(path, sha256, size) for path, (sha256, size) in sorted(card.files.items()) if path.startswith(FOLDERS)
        ],
        "recordSet": [_records(result) for result in card.results],
    }
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def context() -> dict[str, Any]:
    """The terms of Croissant, as its specification lists them."""
    value: dict[str, Any] = json.loads((files(__package__) / "croissant_context.json").read_bytes())
    return value


def licence_url(licence: str) -> str:
    """The address of a licence that the Hub names, where the Hub itself points to."""
    return f"https://choosealicense.com/licenses/{licence}/"


def _cited(card: Card) -> dict[str, Any]:
    citation = card.citation
    if citation is None:
        return {}
    values = {
        "creator": [{"@type": "Organization" if author.name else "Person", "name": str(author)} for author in citation.authors],
        "citeAs": bibtex(citation, card.publish.title),
        "datePublished": citation.date_released,
        "version": citation.version,
        "url": citation.home(),
    }
    return {key: value for key, value in values.items() if value}


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


def _records(result: Result) -> dict[str, Any]:
    vector = f"of the pair, {result.examined.header.dimension} integers in units of 1e-6"
    columns = (
        ("embedding1", "sc:Integer", f"Embedding of the first sentence {vector}"),
        ("embedding2", "sc:Integer", f"Embedding of the second sentence {vector}"),
        ("score", "sc:Float", "Human similarity score, as in the dataset"),
    )
    return {
        "@type": "cr:RecordSet",
        "@id": result.name,
        "name": result.name,
        "description": f"{result.examined.header.n_pairs} pairs of {result.dataset} under {result.model}",
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{result.name}/{name}",
                "name": name,
                "description": description,
                "dataType": kind,
                **({"repeated": True} if name != "score" else {}),
                "source": {"fileObject": {"@id": result.parquet}, "extract": {"column": name}},
            }
            for name, kind, description in columns
        ],
    }
