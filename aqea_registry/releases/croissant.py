"""A release as Croissant 1.1, the JSON-LD by which programs find datasets and read their records.

It holds no clock: `datePublished` and `version` are those that the project committed, if there are any. Addresses are relative,
so that a release is the same in every store; mlcroissant resolves them in a folder and not from a URL, and the card says so.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import msgspec

from aqea_registry.project.lock import Pin
from aqea_registry.releases.card import DESCRIPTION, KEYWORDS, Card, Result, bibtex, upstream

CROISSANT, RAI = "http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"
GENERATED = "The sentences of the datasets were encoded by the models, each at its pinned revision, by aqea-registry."
SD_VERSION = "2.0.0"  # of this description: raised when the same release would be described in other words
FORMATS = {".json": "application/json", ".parquet": "application/x-parquet"}
FOLDERS = ("data/", "parquet/")


def render_croissant(card: Card) -> bytes:
    """croissant.json: every data file with its sha256, and a record set for each pair set."""
    stated = msgspec.to_builtins(card.publish.rai)
    value = {
        "@context": context(),
        "@type": "sc:Dataset",
        "name": " ".join(card.publish.title.split()),
        "description": DESCRIPTION,
        "conformsTo": [CROISSANT, RAI] if stated else CROISSANT,
        "license": licence_url(card.publish.licence),
        "inLanguage": list(card.publish.language),
        "keywords": list(KEYWORDS),
        "isLiveDataset": False,
        "sdVersion": SD_VERSION,
        **_cited(card),
        **{f"rai:{term}": text for term, text in stated.items()},
        "prov:wasDerivedFrom": [_source(name, pin) for name, pin in sorted(card.pins.items())],
        "prov:wasGeneratedBy": {"@type": "prov:Activity", "name": "embedding", "description": GENERATED},
        "distribution": [
            _file(path, sha256, size) for path, (sha256, size) in sorted(card.files.items()) if path.startswith(FOLDERS)
        ],
        "recordSet": [_records(result) for result in card.results],
    }
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def context() -> dict[str, Any]:
    """The terms of Croissant, as its specification lists them, and those of PROV."""
    value: dict[str, Any] = json.loads((files(__package__) / "croissant_context.json").read_bytes())
    return value


def licence_url(licence: str) -> str:
    """The address of a licence that the Hub names, where the Hub itself points to."""
    return f"https://choosealicense.com/licenses/{licence}/"


def _cited(card: Card) -> dict[str, Any]:
    citation, version = card.citation, card.publish.version
    if citation is None:
        return {} if version is None else {"version": version}
    values = {
        "creator": [{"@type": "Organization" if author.name else "Person", "name": str(author)} for author in citation.authors],
        "citeAs": bibtex(citation, card.publish.title),
        "datePublished": citation.date_released,
        "version": version or citation.version,
        "url": citation.home(),
    }
    return {key: value for key, value in values.items() if value}


def _source(name: str, pin: Pin) -> dict[str, str]:
    """What the release was made from, by its address where the Hub has confirmed that, and the digest of its files."""
    known = {"@type": "prov:Entity", "name": name, "identifier": f"sha256:{pin.digest()}"}
    return {**known, "url": address} if (address := upstream(pin)) else known


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
                **({"isArray": True, "arrayShape": str(result.examined.header.dimension)} if name != "score" else {}),
                "source": {"fileObject": {"@id": result.parquet}, "extract": {"column": name}},
            }
            for name, kind, description in columns
        ],
    }
