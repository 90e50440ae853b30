"""Sentences to vectors: a model's forward pass in float64. The only package that imports torch.

Open `encoder` first: `Encoder` loads a model from pinned files, refuses or redirects code that it brings, and encodes sentences
in batches of equal length. `float64` keeps the pass in float64 where a model's own code asks for less; `Encoder` alone loads
it. `vector_cache` keeps vectors on disk by sentence. All have effects; `encoder` sets torch's threads and goes offline.

>>> import tempfile
>>> from pathlib import Path
>>> import numpy as np
>>> from aqea_registry.embedding.vector_cache import VectorCache
>>> from aqea_registry.vectors.pair_set import to_grid
>>> from aqea_registry.vectors.vector_set import keys_of
>>> with tempfile.TemporaryDirectory() as folder:
...     cache = VectorCache(Path(folder), dimension=2)
...     cache.add(["a talk"], to_grid(np.array([[3.0, 4.0]])))
...     cache.missing(["a talk", "a walk", "a walk"]), next(cache.rows(keys_of(["a talk"])))[1].tolist()
(['a walk'], [[600000, 800000]])
"""
