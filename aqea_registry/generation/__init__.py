"""From a project to its artefacts: the verbs encode, generate, export, import-vectors and cache.

Open `generate` first: it reads a dataset's rows, has their sentences encoded (by `encoding`: those that are kept, and new ones
of the model, which `loading` loads), scores them, and writes pair file, view, metrics, plot data and statement; and other
formats from a pair file.
`encode` has the sentences of the whole run encoded before, by this machine or a cluster (`workers`). `vector_sets` does the
same for a task of MTEB: a vector set and its result. `inputs` has what is read for that, and brings in vectors that were made
elsewhere. Both read and write files; the values that they write are computed by `vectors` and `project`. `mteb_model` gives
canonical vectors to MTEB, whose scores of a task `mteb_scores` computes and writes as a result. `top_lists` has the nearest
documents of each query, which a release holds in place of a large vector set; `kept_vectors` shows, prunes and checks the
cache.

>>> import numpy as np
>>> from aqea_registry.embedding.encoder import Encoded
>>> from aqea_registry.generation.loading import in_order
>>> batches = [Encoded([2], np.array([[0.0, 2.0]])), Encoded([1, 0], np.array([[1.0, 0.0], [0.0, 1.0]]))]
>>> in_order(batches).tolist()
[[0.0, 1.0], [1.0, 0.0], [0.0, 2.0]]
"""
