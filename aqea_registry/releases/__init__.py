"""Releases of a run: the verbs package, publish, mark, pull, confirm and releases.

Open `publish` first: it shows a release's way from a verified run into stores, and lists what is there. `package` decides what
a release contains (`build_package` is pure) and writes it as a folder. `card` has the card and the Croissant description, pure
but for reading card.md and croissant_context.json. `layout` has the files by which a release is made again from itself, and
lays one out that was fetched, to read what its files print. `pull` restores a release, or the project that it was made of, and
`confirm` makes its pair sets again and says what came out. `full_check` is verify --full, for who has nothing but a release,
and `row_sample` draws rows and makes them again. All but `card` have effects.

>>> from aqea_registry.project.citation import parse_citation
>>> from aqea_registry.releases.card import bibtex
>>> citation = parse_citation(b"{title: Small set, authors: [{name: The authors}], date-released: 2026-11-21, version: 1.0}")
>>> print(bibtex(citation, "release v1"))
@misc{small-set,
  title = {{Small set}},
  author = {{The authors}},
  year = {2026},
  version = {1.0},
  note = {release v1},
}
"""
