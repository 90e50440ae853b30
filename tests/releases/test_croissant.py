"""croissant.json: what mlcroissant itself makes of it, without a warning, and nothing in it that was not committed."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import msgspec
import pytest

from aqea_registry.project.artefact import published_path
from aqea_registry.project.params import Publish
from aqea_registry.releases.card import Card, context, render_croissant
from tests.releases.test_card import CITED, FILES, PINS, card, result

RESULTS = [result(), result("sts12-e5large", 3108, model="intfloat/e5-large-v2", dimension=1024)]
ALL = {
    **FILES,
    "parquet/sts12-e5large.parquet": ("9" * 64, 7),
    "data/e5_benchmark.json": ("8" * 64, 5),
    "plots/m.svg": ("7" * 64, 1),
}


def told(title: str = "Some pair sets", **values: Any) -> Card:
    given: dict[str, Any] = {"results": RESULTS, "files": ALL, "citation": CITED, **values}
    return Card(publish=Publish(stores=(), title=title, licence="cc0-1.0"), pins=PINS, **given)


def value(given: Card) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(render_croissant(given))
    return loaded


@pytest.mark.parametrize("title", ["Some pair sets", 'A: b/c, "d" (é)', "line\nbreak", "日本語"])
def test_mlcroissant_takes_it_without_a_warning(title: str, caplog: pytest.LogCaptureFixture) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    with caplog.at_level(logging.WARNING):
        found = mlcroissant.Dataset(jsonld=value(told(title)))
    assert found.metadata.ctx.issues.report() == ""
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert {record_set.uuid for record_set in found.metadata.record_sets} == {"d-m", "sts12-e5large"}
    bare = mlcroissant.Dataset(jsonld=value(told(title, citation=None)))
    assert "datePublished" in bare.metadata.ctx.issues.report(), "it would have said so"
    assert (found.metadata.conforms_to, found.metadata.sd_version) == (["http://mlcommons.org/croissant/1.1"], "2.0.0")
    assert found.metadata.license == ["https://choosealicense.com/licenses/cc0-1.0/"]


def test_the_context_is_the_standard_one() -> None:
    versions = pytest.importorskip("mlcroissant._src.core.context", reason="mlcroissant is not installed")
    rdf = pytest.importorskip("mlcroissant._src.core.rdf")
    standard = rdf.make_context(versions.Context(conforms_to=versions.CroissantVersion.V_1_1))
    assert context() == {**standard, "prov": "http://www.w3.org/ns/prov#", "sdVersion": "cr:sdVersion"}


def test_every_data_file_stands_with_its_sha256_size_and_relative_address() -> None:
    found = {one["contentUrl"]: (one["sha256"], one["contentSize"]) for one in value(told())["distribution"]}
    assert found == {
        path: (sha256, f"{size} B") for path, (sha256, size) in ALL.items() if path.startswith(("data/", "parquet/"))
    }
    assert {one["@type"] for one in value(told())["distribution"]} == {"cr:FileObject"}
    formats = {path.rpartition(".")[2]: one["encodingFormat"] for one in value(told())["distribution"] for path in [one["@id"]]}
    assert formats == {"json": "application/json", "parquet": "application/x-parquet"}


def test_a_record_is_a_row_of_the_parquet_file() -> None:
    for records, of in zip(value(told())["recordSet"], RESULTS, strict=True):
        assert records["@id"] == of.made.key
        columns = {field["source"]["extract"]["column"]: field for field in records["field"]}
        assert list(columns) == ["embedding1", "embedding2", "score"]
        assert {field["source"]["fileObject"]["@id"] for field in columns.values()} == {published_path(of.made.view)}
        shape = str(of.examined.header.dimension)
        assert [(field["dataType"], field.get("isArray"), field.get("arrayShape")) for field in columns.values()] == [
            ("sc:Integer", True, shape),
            ("sc:Integer", True, shape),
            ("sc:Float", None, None),
        ]


def test_the_only_day_is_the_committed_one() -> None:
    found = value(told())
    assert (found["datePublished"], found["version"], found["isLiveDataset"]) == ("2031-01-02", "3", False)
    assert found["citeAs"].startswith("@misc{some-project,")
    assert set(re.findall(r"\b20\d\d-\d\d-\d\d\b", render_croissant(told()).decode())) == {"2031-01-02"}
    bare = value(told(citation=None))
    assert not {"datePublished", "version", "citeAs", "creator", "url"} & set(bare)
    assert set(value(told())) - set(bare) == {"datePublished", "version", "citeAs", "creator"}


def test_a_version_may_be_the_project_s_own() -> None:
    publish = msgspec.structs.replace(told().publish, version="2031.1")
    for citation in (CITED, None):
        assert value(msgspec.structs.replace(told(citation=citation), publish=publish))["version"] == "2031.1"


STATED = {
    "dataLimitations": "English alone",
    "dataBiases": "News outnumber other texts",
    "personalSensitiveInformation": "Names of public persons",
    "dataUseCases": "Comparing models",
    "dataSocialImpact": "Small",
    "hasSyntheticData": False,
}


def test_what_authors_state_of_their_data_is_in_it_and_nothing_else() -> None:
    """The fields that a venue of 2026 asks for: six are the authors' word, two follow from the pins."""
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    assert not [key for key in value(told()) if key.startswith("rai:")]
    stated = msgspec.convert({"stores": [], "title": "Some pair sets", "licence": "cc0-1.0", "rai": STATED}, Publish)
    given = value(msgspec.structs.replace(told(), publish=stated))
    assert {key: given[key] for key in given if key.startswith("rai:")} == {
        "rai:dataLimitations": "English alone",
        "rai:dataBiases": "News outnumber other texts",
        "rai:personalSensitiveInformation": "Names of public persons",
        "rai:dataUseCases": "Comparing models",
        "rai:dataSocialImpact": "Small",
        "rai:hasSyntheticData": False,
    }
    found = mlcroissant.Dataset(jsonld=given).metadata
    assert (found.data_biases, found.data_social_impact) == (["News outnumber other texts"], "Small")
    assert found.conforms_to == ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"stores": [], "title": "x", "rai": {"dataBias": "x"}}, Publish)


def test_it_names_what_it_was_made_from_with_links_to_what_the_hub_confirmed() -> None:
    given = value(told())
    assert given["prov:wasGeneratedBy"]["@type"] == "prov:Activity"
    sources = {source["name"]: source for source in given["prov:wasDerivedFrom"]}
    assert set(sources) == set(PINS)
    for name, pin in PINS.items():
        assert sources[name]["identifier"] == f"sha256:{pin.digest()}"
        assert ("url" in sources[name]) == (pin.state == "resolved")


def test_the_same_release_gives_the_same_bytes() -> None:
    turned = msgspec.structs.replace(told(), files=dict(reversed(ALL.items())))
    assert render_croissant(turned) == render_croissant(told()) != render_croissant(card())
    assert render_croissant(told()).endswith(b"}\n")
