"""The card of a release: the Hub reads its front matter, and a person finds every digest in it."""

from __future__ import annotations

import logging
import re
import warnings
from typing import Any

import msgspec
import pytest
import yaml

from aqea_registry.project.citation import Author, Citation
from aqea_registry.project.lock import Pin, PinnedFile
from aqea_registry.project.params import Publish
from aqea_registry.releases.card import Card, render_card, split_name
from aqea_registry.report.page import PairSetFacts
from aqea_registry.report.plots import TITLE
from aqea_registry.vectors.containers.pair_json import Examined
from aqea_registry.vectors.pair_set import Header
from aqea_registry.vectors.scores import Metrics
from tests.pages import artefact

METRICS = Metrics(
    cos_sim_pearson=0.1,
    cos_sim_spearman=0.8235294117647058,
    euclidean_pearson=-0.3,
    euclidean_spearman=1.0,
    manhattan_pearson=1e-17,
    manhattan_spearman=0.6,
)
FILES = {
    "data/d_m_4d_pairs.json": ("a" * 64, 1000),
    "parquet/d-m.parquet": ("e" * 64, 300),
    "metrics/d-m.json": ("b" * 64, 20),
    "pins.json": ("c" * 64, 0),
}


def pin(kind: Any, commit: str | None, licence: str | None) -> Pin:
    files = {"config.json": PinnedFile(sha256="d" * 64, size=3)}
    return Pin(kind=kind, id=f"org/{kind}", requested=None, commit=commit, licence=licence, resolved_from="hub", files=files)


PINS = {
    "minilm": pin("model", "e" * 40, "apache-2.0"),
    "stsb": pin("dataset", "f" * 40, None),
    "small": pin("directory", None, None),
}
CITED = Citation(
    title="Some project: for this",
    authors=(Author(name="A group"),),
    date_released="2031-01-02",
    version="3",
    doi="10.5281/zenodo.1",
)


def result(name: str = "d-m", pairs: int = 100, dimension: int = 4, model: str = "org/m", split: str = "test") -> PairSetFacts:
    header = Header(dataset="d", model="org/m", dimension=dimension, n_pairs=pairs, baseline_spearman=0.5)
    examined = Examined(header=header, metrics=METRICS, content="f" * 64)
    return PairSetFacts(artefact(name, "d", model, stem="d_m_4d", split=split, dimension=dimension), examined)


def card(pairs: int = 100, title: str = "A title: with a colon", **publish: Any) -> Card:
    results = [result(pairs=pairs)]
    return Card(publish=Publish(stores=(), title=title, **publish), results=results, files=FILES, pins=PINS)


def front_matter(content: bytes) -> dict[str, Any]:
    _, values, _ = content.decode().split("---\n", 2)
    loaded: dict[str, Any] = yaml.safe_load(values)
    return loaded


def test_the_hubs_own_reader_takes_it_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    content = render_card(card(licence="cc0-1.0", language=("en", "no"))).decode()
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        found = hub.DatasetCard(content)
    assert caplog.records == []
    assert found.data.license == "cc0-1.0"
    assert found.data.language == ["en", "no"]
    assert found.data.pretty_name == "A title: with a colon"
    assert found.data.size_categories == ["n<1K"]
    assert found.data.task_categories == ["sentence-similarity", "text-classification"]
    assert found.text.lstrip().startswith("# A title: with a colon\n")


@pytest.mark.parametrize(
    ("pairs", "category"),
    [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (99_999, "10K<n<100K"), (100_000, "100K<n<1M"), (2_000_000, "1M<n<10M")],
)
def test_the_size_is_the_hubs_word_for_it(pairs: int, category: str) -> None:
    assert front_matter(render_card(card(pairs)))["size_categories"] == [category]


def test_every_file_stands_with_its_size_and_sha256() -> None:
    text = render_card(card()).decode()
    rows = re.findall(r"^\| \[`(.+)`\]\(\1\) \| (\d+) \| `([0-9a-f]{64})` \|$", text, re.MULTILINE)
    assert rows == [(path, str(size), sha256) for path, (sha256, size) in sorted(FILES.items())]


def test_every_score_stands_with_every_digit() -> None:
    start = "| [d-m](data/d_m_4d_pairs.json) |"
    (row,) = [line for line in render_card(card()).decode().splitlines() if line.startswith(start)]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[-6:] == [repr(getattr(METRICS, name)) for name in Metrics.__struct_fields__]
    assert "100" in row and "`org/m`" in row


def test_every_pin_stands_with_its_commit_digest_and_licence() -> None:
    lines = render_card(card()).decode().splitlines()
    (model,) = [line for line in lines if line.startswith("| minilm |")]
    assert "e" * 40 in model and PINS["minilm"].digest() in model and "apache-2.0" in model
    assert f"[`org/model`](https://huggingface.co/org/model/tree/{'e' * 40})" in model
    (data,) = [line for line in lines if line.startswith("| stsb |")]
    assert f"[`org/dataset`](https://huggingface.co/datasets/org/dataset/tree/{'f' * 40})" in data
    (folder,) = [line for line in lines if line.startswith("| small |")]
    assert "`-`" in folder and "not stated" in folder
    assert "claimed" not in "".join(lines)


def test_a_claimed_commit_is_called_so_and_leads_nowhere() -> None:
    claimed = msgspec.structs.replace(PINS["minilm"], resolved_from="package:m")
    text = render_card(msgspec.structs.replace(card(), pins={**PINS, "minilm": claimed})).decode()
    (line,) = [line for line in text.splitlines() if line.startswith("| minilm |")]
    assert f"| `org/model` | `{'e' * 40}` (claimed) |" in line
    assert "huggingface.co/org/model" not in text and "huggingface.co/datasets/org/dataset" in text
    assert "no Hub has confirmed it" in text


def test_the_content_digest_stands() -> None:
    assert f"| d-m | `{'f' * 64}` |" in render_card(card()).decode()


def test_the_same_release_gives_the_same_card() -> None:
    turned = Card(
        publish=card().publish,
        results=card().results,
        files=dict(reversed(FILES.items())),
        pins=dict(reversed(PINS.items())),
    )
    assert render_card(turned) == render_card(card())
    assert not re.search(rb"\b20\d\d-\d\d-\d\d\b", render_card(card()))


def test_every_pair_set_is_a_configuration_and_the_first_is_the_example() -> None:
    """The Hub's own classes read the front matter, and read it as it was meant."""
    several = [result("one-m", split="validation"), result("two-m")]
    content = render_card(Card(publish=card().publish, results=several, files=FILES, pins=PINS))
    assert front_matter(content)["configs"] == [
        {"config_name": "one-m", "data_files": [{"split": "validation", "path": "parquet/one-m.parquet"}]},
        {"config_name": "two-m", "data_files": [{"split": "test", "path": "parquet/two-m.parquet"}]},
    ]
    assert b'load_dataset(str(Path.cwd()), "one-m", split="validation")' in content
    assert b"`one-m`, `two-m`" in content
    metadata = pytest.importorskip("datasets.utils.metadata", reason="datasets is not installed")
    found = metadata.MetadataConfigs.from_dataset_card_data(
        pytest.importorskip("huggingface_hub").DatasetCard(content.decode()).data
    )
    assert list(found) == ["one-m", "two-m"]


@pytest.mark.parametrize(("split", "name"), [("test", "test"), ("test[:10]", "test_10_"), ("dev-2", "dev_2"), ("é", "_")])
def test_a_split_is_spelled_as_datasets_takes_it(split: str, name: str) -> None:
    naming = pytest.importorskip("datasets.naming", reason="datasets is not installed")
    assert split_name(split) == name
    assert re.match(naming._split_re, name)


def test_it_says_how_to_load_to_verify_to_make_again_and_to_cite() -> None:
    published = card(url="https://example.org/mine")
    shown = {"plots/metrics.svg": ("1" * 64, 5), "report.html": ("2" * 64, 6)}
    drawn = msgspec.structs.replace(published, citation=CITED, files={**FILES, **shown})
    text = render_card(drawn).decode()
    for told in (
        'np.asarray(rows[0]["embedding1"]) / 1e6',
        "sha256sum -c",
        "aqea-registry verify .",
        "aqea-registry pull . --project",
        "The sentences of `small` are not part",
        "dvc repro",
        "DOI: <https://doi.org/10.5281/zenodo.1>",
        "Project: <https://example.org/mine>",
        "  url = {https://example.org/mine},",
        "@misc{some-project,",
        "author = {{A group}}",
        "year = {2031}",
        f"![{TITLE}](plots/metrics.svg)",
        "[The page](report.html) shows",
    ):
        assert told in text
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        f"## {title}"
        for title in (
            "Load",
            "Verify",
            "Make it again",
            "Results",
            "Files",
            "What it rests on",
            "Licence",
            "Limits",
            "Citation",
        )
    ]
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert link.startswith("https://") or link in {*FILES, "plots/metrics.svg", "report.html"}
    assert "## Citation" not in render_card(card()).decode()


@pytest.mark.parametrize("title", ["Ünïcode", "#1", "- a", "yes", "a: b", "'quoted' \"twice\"", "{{ x }}"])
def test_no_title_breaks_the_front_matter(title: str) -> None:
    content = render_card(card(title=title))
    assert front_matter(content)["pretty_name"] == title
    assert content.endswith(b"\n") and not content.endswith(b"\n\n")


def test_every_table_has_as_many_cells_in_every_row() -> None:
    name = "a|b"
    odd = Card(publish=card().publish, results=card().results, files={name: ("a" * 64, 1)}, pins=PINS)
    for block in render_card(odd).decode().split("\n\n"):
        if block.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
