"""The plot of a release: every bar in its place and in words, the same bytes each time, readable light and dark."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from aqea_registry.report.plots import WIDTH, Score, describe, render_plot

SVG = "{http://www.w3.org/2000/svg}"
MODELS = ("intfloat/e5-large-v2", "sentence-transformers/all-mpnet-base-v2", "org/minilm")
DATASETS = ("stsb", "sts12", "sts13", "sts14", "sts15", "sts16")
REPORT = [Score(model, dataset, 0.7 + 0.01 * n) for n, dataset in enumerate(DATASETS) for model in MODELS]
AWKWARD = [
    Score('<a> & "b"', "ünïcode", -1.0),
    Score('<a> & "b"', "x" * 90, 1.0),
    Score("m" * 200, "d\x00\n", 0.0),
    Score("]]>", "d", -0.00001),
]


def classed(root: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [element for element in root.iter() if element.get("class") == kind]


@pytest.mark.parametrize(
    "bars", [[Score("m", "d", 0.5512)], REPORT, AWKWARD, [], [Score("m", f"d{n}", 0.5) for n in range(60)]]
)
def test_every_bar_stands_inside_with_its_value(bars: list[Score]) -> None:
    root = ElementTree.fromstring(render_plot(bars))
    height = float(root.attrib["height"])
    drawn = [element for element in classed(root, "bar") if element.tag == f"{SVG}rect"]
    values = classed(root, "value")
    assert len(drawn) == len(values) == len(bars)
    assert sorted(element.text or "" for element in values) == sorted(f"{bar.value:.4f}" for bar in bars)
    places = []
    for element in drawn:
        x, y, width, tall = (float(element.attrib[name]) for name in ("x", "y", "width", "height"))
        assert x >= 0 and width >= 0 and x + width <= WIDTH and y + tall < height
        places.append(y)
    assert len(set(places)) == len(places), "no bar hides another"
    assert root.findtext(f"{SVG}desc") is not None


def test_a_bar_is_as_long_as_its_value() -> None:
    root = ElementTree.fromstring(render_plot([Score("m", "a", 1.0), Score("m", "b", 0.25), Score("m", "c", 0.0)]))
    whole, quarter, none = (float(element.attrib["width"]) for element in classed(root, "bar"))
    assert quarter == pytest.approx(whole / 4, abs=0.1)
    assert none == 0
    root = ElementTree.fromstring(render_plot([Score("m", "a", -0.5), Score("m", "b", 0.5)]))
    below, above = classed(root, "bar")
    assert below.attrib["width"] == above.attrib["width"]
    assert float(below.attrib["x"]) + float(below.attrib["width"]) == pytest.approx(float(above.attrib["x"]), abs=0.11)


def test_the_bars_of_a_model_stand_together_under_its_name() -> None:
    root = ElementTree.fromstring(render_plot(REPORT))
    headings = {element.text: float(element.attrib["y"]) for element in classed(root, "model")}
    assert list(headings) == list(MODELS)
    marks = sorted([*headings.values(), *(float(element.attrib["y"]) for element in classed(root, "bar"))])
    assert [mark in headings.values() for mark in marks] == ([True] + [False] * 6) * 3


def test_it_is_told_in_words_and_follows_light_and_dark() -> None:
    text = render_plot(REPORT).decode()
    root = ElementTree.fromstring(text)
    assert (root.attrib["role"], root.attrib["aria-labelledby"]) == ("img", "title desc")
    assert {root.find(f"{SVG}{name}").attrib["id"] for name in ("title", "desc")} == {"title", "desc"}  # type: ignore[union-attr]
    assert root.findtext(f"{SVG}desc") == describe(REPORT)
    assert all(f"{bar.dataset} with {bar.model}: {bar.value:.4f}" in describe(REPORT) for bar in REPORT)
    light, dark = text.split("@media(prefers-color-scheme:dark)")
    for name in (r"text", r"\.back", r"\.bar", r"\.grid", r"\.zero", r"\.small"):
        colours = [re.search(name + r"\{[^}]*(#[0-9a-f]{3,6})", part) for part in (light, dark)]
        assert colours[0] and colours[1] and colours[0][1] != colours[1][1], name
    assert [re.findall(r"stroke:(#\w+)", part)[0] for part in (light, dark)] == ["#fff", "#0d1117"], (
        "around text, as the back is"
    )


def test_the_same_scores_give_the_same_bytes_and_nothing_from_elsewhere() -> None:
    assert render_plot(REPORT) == render_plot(list(REPORT))
    assert not re.search(rb"(href|src|url\(|<script|http(?!://www\.w3\.org/2000/svg))", render_plot(REPORT))
