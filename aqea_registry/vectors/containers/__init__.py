"""The files that hold a pair set. Each module writes one from blocks of rows, and reads it in blocks; memory holds a block.

Open `open_pairs` first: it reads any container for a comparison, as float64. `pair_json.read` is the strict way into a pair
file: the same reader of rows, but every number must be on the grid, and the spelling is checked against what `write` writes.

    open_pairs  any container, by its first bytes; Parquet and AQED, read and written; given vectors: .npy, Parquet, JSON lines
    pair_json   pair files and files of embeddings, read and written; a pair file checked, and its scores recomputed
    json_text   where the members of a large JSON object are, and the rows of a matrix; numbers as JSON text and back

>>> import numpy as np
>>> from aqea_registry.vectors.containers.json_text import read_rows, rows_text
>>> text = rows_text(np.array([[600000, -800000], [1, 0]], np.int32))
>>> text
b'[0.6,-0.8],[0.000001,0]'
>>> read_rows(text).tolist()
[[600000, -800000], [1, 0]]
>>> read_rows(b"[0.60,-0.8]") is None
True
"""
