"""The report's page as values and as HTML: what it says, that it is always the same, that nothing in it is more than text."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import msgspec
import pytest

from aqea_registry.attestations.made import Remade
from aqea_registry.report.page import Content, build, differences, headline, standing, visible
from aqea_registry.report.plots import WIDTH, PrintedScore, Score, score_figure
from aqea_registry.report.report import render_page
from aqea_registry.stores.receipts import StoreReceipt
from aqea_registry.vectors.margin import Machine
from tests.pages import COMMIT, SHA, content, many
from tests.tools import ROOT, run

SVG = "{http://www.w3.org/2000/svg}"
IMPORTS = (
    "import hashlib; from aqea_registry.report.page import build; from aqea_registry.report.report import render_page; "
    "from tests.pages import content"
)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({}, "No printed number is claimed here yet."),
        ({"holds": 1}, "The one printed number holds."),
        ({"holds": 1204}, "All 1,204 printed numbers hold."),
        ({"unchecked": 1}, "0 of 1 printed numbers hold; 1 could not be checked."),
        ({"holds": 1, "contradicted": 1}, "1 of 2 printed numbers holds; 1 is contradicted."),
        ({"holds": 2, "unclaimed": 1}, "2 of 3 printed numbers hold; 1 is in no ledger."),
        (
            {"holds": 1200, "contradicted": 9, "unchecked": 2000, "unbound": 18},
            "1,200 of 3,227 printed numbers hold; 9 are contradicted, 2,000 could not be checked and 18 rest on nothing.",
        ),
    ],
)
def test_the_headline_is_a_sentence(counts: dict[str, int], said: str) -> None:
    assert headline(counts) == said


def test_what_verification_found_is_told_without_what_the_claims_show() -> None:
    assert standing(1, ()) == "Verification of 1 file found nothing wrong."
    page = build(content())
    assert [one.code for one in page.findings] == ["mismatch"]
    assert page.standing == "Verification of 12 files and of the ledgers ended with 1 finding."


def test_a_contradiction_has_both_places() -> None:
    text = render_page(build(content())).decode()
    for said in (
        *("81.93", "81.91327", "0.01673", "0.005", "Table 2, KaLM mini, zh, line 210"),
        "<span>sentence-transformers/all-MiniLM-L6-v2, model card</span>",
        "stsb-minilm: pair set of stsb under sentence-transformers/all-MiniLM-L6-v2<",
        '<a href="#paper%3Atable2.kalm-mini.en">paper:table2.kalm-mini.en</a>: Table 2',
        "<b>63.94</b>",
    ):
        assert said in text[: text.index('id="findings"')], "contradictions come first"


class _Reader(HTMLParser):
    """The elements that are open at each place, ids, addresses within the page, and what stands in scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.attributes: set[str] = set()
        self._script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.attributes |= set(values)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.links += [values[name] or "" for name in ("href", "src", "action") if name in values]
        self._script = tag == "script"
        self.scripts += [""] if self._script else []

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[-1] += data


def test_results_come_first_with_their_settings() -> None:
    text = render_page(build(content())).decode()
    table = text[text.index('id="results"') : text.index('id="contradictions"')]
    for said in (
        "stsb-minilm",
        "384 dimensions, 128 tokens, canonical",
        "1,379",
        "0.8203<",
        "0.8274<",
        "0.8203246731235654",
        SHA,
    ):
        assert said in table
    assert 'id="results"' not in render_page(build(content(pair_sets=[]))).decode()


def test_a_store_that_a_browser_can_show_is_a_link() -> None:
    (given,) = content().receipts or ()
    references = {"hub": "hf://datasets/a/b@v1", "git": "github://a/b@v1", "reg": "oci://host/a:v1", "odd": "no reference"}
    stores = {name: StoreReceipt(reference=reference, at="v1") for name, reference in references.items()}
    page = render_page(build(content(receipts=[msgspec.structs.replace(given, stores=stores)])))
    links = {link for link in _Reader(page.decode()).links if "/a/b/" in link}
    assert links == {"https://huggingface.co/datasets/a/b/tree/v1", "https://github.com/a/b/releases/tag/v1"}


def test_the_page_leads_to_its_pins_alone_and_every_address_in_it_is_there() -> None:
    reader = _Reader(render_page(build(content())).decode())
    assert len(set(reader.ids)) == len(reader.ids)
    outside = [link for link in reader.links if not link.startswith(("#", "data:image/svg+xml,"))]
    assert outside == [f"https://huggingface.co/datasets/mteb/stsbenchmark-sts/tree/{COMMIT}"]
    assert {link[1:].replace("%3A", ":") for link in reader.links if link.startswith("#")} <= set(reader.ids)
    assert not [name for name in reader.attributes if name.startswith("on") or name == "style"]


def test_the_chain_of_a_claim_leads_to_the_upstream_file_and_to_the_stores() -> None:
    given = content()
    chains = json.loads(build(given).chains)

    def below(links: list[list[object]]) -> set[str]:
        found = set()
        for _, target in links:
            node = chains["nodes"][target] if isinstance(target, int) else None
            found |= {chains["text"][node[1]], *below(node[4])} if node else {str(target)}
        return found

    first, wrong, *_ = chains["claims"]
    reached = below(first[2])
    assert {"stsb-minilm", "generate@stsb-minilm", "mteb/stsbenchmark-sts", "test.jsonl", "v1", "oci:releases:v1"} <= reached
    facts = {chains["text"][name]: chains["text"][value] for name, value in (chains["facts"][fact] for fact in wrong[1])}
    assert facts == {
        "unit": "percent",
        "difference": "0.01673",
        "tolerance": "0.005",
        "metric": "manhattan_spearman",
        "note": "The digits stand so in the card.",
    }
    alone = json.loads(build(msgspec.structs.replace(given, graph=None)).chains)
    assert [[alone["text"][label], target] for label, target in alone["claims"][0][2]] == [["rests on", "stsb-minilm"]]


def test_within_a_release_nothing_is_told_of_releases() -> None:
    given = content(receipts=None, notes=())
    text = render_page(build(given)).decode()
    assert 'id="releases"' not in text and "oci:releases" not in text
    assert "ls MANIFEST.sha256 SHA256SUMS" in text and "aqea-registry pull . --project" in text
    assert 'id="confirmations"' not in text
    machine = Machine(
        processor="a Ryzen", architecture="", system="", python="", kernels="AVX2", threads=1, device="cpu", packages={}
    )
    row = Remade(key="small", reference="v1", verdict="IDENTICAL", machine=machine, alike=True, doubt=None)
    rows = [row, msgspec.structs.replace(row, doubt="a doubt")]
    told = render_page(build(msgspec.structs.replace(given, confirmations=rows)))
    assert b"a Ryzen (AVX2, torch None), the same kind" in told and b"not counted: a doubt" in told


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_same_content_gives_the_same_bytes_and_no_time(seed: str) -> None:
    here = render_page(build(content()))
    there = run(
        sys.executable,
        "-c",
        f"{IMPORTS}; print(hashlib.sha256(render_page(build(content()))).hexdigest())",
        cwd=ROOT,
        env={"PYTHONHASHSEED": seed, "TZ": "Pacific/Auckland"},
    )
    assert there == (0, f"{hashlib.sha256(here).hexdigest()}\n", "")
    assert not re.search(rb"\b\d{2}:\d{2}:\d{2}\b", here)


@pytest.mark.parametrize("given", [content([]), content([], files={}, pair_sets=[], pins=[], manifest=None)])
def test_a_project_without_claims_has_a_page(given: Content) -> None:
    text = render_page(build(msgspec.structs.replace(given, graph=None))).decode()
    assert "No printed number is claimed here yet." in text
    assert '<table class="claims"' not in text


def test_a_large_ledger_makes_no_large_page() -> None:
    assert len(render_page(build(many(3_200)))) < 1_200_000
    assert len(render_page(build(many(10_000)))) < 3_000_000


HOSTILE = "</script><!--<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&lt;\u2028\x00\x1b\ud800\u202e"


def test_what_others_wrote_stays_text() -> None:
    verdicts = [msgspec.structs.replace(one, message=HOSTILE) for one in content().verdicts]
    text = render_page(build(content(verdicts, title=HOSTILE))).decode()
    reader = _Reader(text)
    assert len(reader.scripts) == 2
    assert json.loads(reader.scripts[0])["text"]
    assert "<img" not in text and "onerror" not in reader.attributes
    assert text.isprintable() or not set(text) & set("\u2028\x00\x1b\ud800\u202e")
    assert r"\u2028\x00\x1b\ud800\u202e" in text
    assert visible("plain · ü\n") == "plain · ü\n" and visible(5) == 5


PRINTS = (PrintedScore("a:b", "82.0", 0.82, "holds"), PrintedScore("a:c", "9", 0.09, "contradicted"))
SCORES = [
    Score("org/model", "stsb", 0.82, "cos_sim_spearman", PRINTS),
    Score("org/<model>", 'x"' * 40, -0.3, "cos_sim_pearson"),
]


@pytest.mark.parametrize("scores", [SCORES, SCORES * 100, SCORES[:1]], ids=["some", "many", "one"])
def test_the_figure_is_a_drawing_with_words_and_a_table(scores: list[Score]) -> None:
    figure = score_figure(scores)
    assert len(figure.alone) < 120_000
    for text, style in ((figure.inline, False), (figure.alone.decode(), True)):
        root = ElementTree.fromstring(text)
        assert (root.find(f"{SVG}style") is not None) == style
        words = [root.find(f"{SVG}{name}") for name in ("title", "desc")]
        assert all(one is not None and one.text for one in words)
        assert root.attrib["aria-labelledby"].split() == [one.attrib["id"] for one in words if one is not None]
        height = float(root.attrib["height"])
        for element in root.iter():
            for axis, limit in (("x", WIDTH), ("y", height), ("cx", WIDTH), ("cy", height)):
                assert 0 <= float(element.attrib.get(axis, 0)) <= limit
    assert all(len(row) == len(figure.table.header) for row in figure.table.rows) and len(figure.table.rows) == len(scores)


def test_differences_are_ranked_by_their_share_of_the_tolerance() -> None:
    one = content().verdicts[0]
    given = (
        ("holds", "holds", "0", "5.7e-14"),
        ("near", "holds", "-0.004", "0.005"),
        ("exact", "contradicted", "1", "0"),
        ("far", "contradicted", "200,000", "0.05"),
        ("just", "contradicted", "0.006", "0.005"),
        ("none", "unchecked", None, None),
    )
    verdicts = [
        msgspec.structs.replace(
            one,
            ledger="a",
            claim=msgspec.structs.replace(one.claim, id=name),
            state=state,
            difference=difference,
            tolerance=tolerance,
        )
        for name, state, difference, tolerance in given
    ]
    table = differences(verdicts)
    assert [(row[0], row[4]) for row in table.rows] == [
        ("a:exact", "no tolerance"),
        ("a:far", "4000000 times"),
        ("a:just", "120 %"),
        ("a:near", "80 %"),
        ("a:holds", "0 %"),
    ]
    assert table.rows[0] == ("a:exact", "contradicted", "1", "0", "no tolerance")
    assert "the largest of 5" in table.title and len(differences(verdicts * 20).rows) == 25


def test_a_claimed_commit_has_a_state_of_its_own() -> None:
    text = render_page(build(content())).decode()
    assert '<tr class="claimed"><th scope="row">far</th><td data-label="State">claimed</td>' in text
    assert text.count('data-label="State">resolved<') == 1
