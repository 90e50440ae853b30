"""Where releases live, behind one port: a folder, an OCI registry, the Hugging Face Hub, GitHub. Knows no project.

Open `port` first: what a store can be asked, the errors that it raises, and what all stores refuse. `release` is the value
that they keep, an OCI manifest whose sha256 is the release's identity; `attachments` are the documents beside it, status
marks among them. These two are pure. `open_store` finds the store of a STORE-REF, or reads a release out of a plain folder;
`oci_layout`, `registry_store`, `hub_store` and `github_store` are the stores; `registry_client` and `github_client` make the
requests, as those of `remote` do for the Hub. `github_assets` is how a release becomes GitHub's flat list and is found in it.
`receipts` keeps on disk what the stores answered.

>>> import tempfile
>>> from hashlib import sha256
>>> from pathlib import Path
>>> from aqea_registry.stores.open_store import open_store
>>> from aqea_registry.stores.release import build
>>> release = build([("README.md", sha256(b"hello").hexdigest(), 5)])
>>> with tempfile.TemporaryDirectory() as folder:
...     store = open_store("oci:releases", Path(folder))
...     ids = store.push("v1", release, lambda path: b"hello", "notes", lambda count: None)
...     store.tags(), store.find("v1").digest == release.digest()
(['v1'], True)
"""
