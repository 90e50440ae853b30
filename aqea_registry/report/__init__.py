"""The verb report: one HTML page of every printed number, its status and what it rests on; and the plots of scores.

Open `report` first: it verifies, judges the claims, draws the graph and writes the page, and builds the page of a release.
`page` decides what the page says; it is pure. The template page.html, page.css and page.js lay it out. `plots` draws scores as
SVG, by the template plot.svg.

>>> from aqea_registry.report.page import headline
>>> headline({"holds": 9, "contradicted": 1})
'9 of 10 printed numbers hold; 1 is contradicted.'
>>> from aqea_registry.report.plots import Score, describe
>>> describe([Score("org/model", "stsb", 0.82)])
'stsb with org/model: 0.8200.'
"""
