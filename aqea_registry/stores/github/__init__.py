"""The store in a repository's releases on GitHub.

Open `store` first. `api` makes the requests, through requests; `assets` is how a release becomes a flat list of
assets and a description (its first half is pure), and how their bytes are read; `upload` fills a draft and publishes it.

>>> from aqea_registry.stores.github.assets import asset_name, describe, marked
>>> asset_name("data/a_pairs.json")
'data--a_pairs.json'
>>> marked(describe("What is new.", "sha256:" + "0" * 64, owner="ab12"))[1]
'ab12'
"""
