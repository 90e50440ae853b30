"""From a project to its artefacts: the verbs encode, generate, export, import-vectors and cache.

Open `generate` first: it reads a dataset's rows, has their sentences encoded (by `encoding`: those that are kept, which it also
shows, prunes and checks, and new ones of the model), scores them, and writes pair file, view, metrics, plot data and statement;
and other formats from a pair file. `inputs` has what is read for that, rows and models, and brings in vectors that were made
elsewhere. `encode` has the sentences of the whole run encoded before, by this machine or a cluster (`workers`). `vector_sets`
does the same as `generate` for a task of MTEB: a vector set and its result, and the nearest documents of each query, which a
release holds in place of a large vector set. `mteb_scores` gives canonical vectors to MTEB and has its scores of a task. All
read and write files; the values that they write are computed by `vectors` and `project`.

>>> import numpy as np
>>> from aqea_registry.embedding.encoder import Encoded
>>> from aqea_registry.generation.inputs import in_order
>>> batches = [Encoded([2], np.array([[0.0, 2.0]])), Encoded([1, 0], np.array([[1.0, 0.0], [0.0, 1.0]]))]
>>> in_order(batches).tolist()
[[0.0, 1.0], [1.0, 0.0], [0.0, 2.0]]
"""
