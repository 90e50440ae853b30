"""Pair sets and vector sets: values on the grid, the files that hold them, exact scores and margins. Knows no project.

Open `pair_set` first: what a pair set is, in memory and as a file that is open. Then, as the numbers go:

    pair_set    values: normalised rows on the grid of 1e-6 (micro-units), headers, the content digest; pure
    scores      rows -> integer products -> six correlations, rounded once; pure
    nearest     which documents are nearest to a query, exactly; pure
    margin      how surely another machine rounds to the same values, and what computed them; values that were decided
    vector_set  vectors by the sha256 of their texts, in Parquet: written and read a row group at a time
    containers  JSON, Parquet, AQED: written from blocks, read in blocks

>>> import numpy as np
>>> from aqea_registry.vectors.pair_set import to_grid
>>> from aqea_registry.vectors.scores import metrics, products
>>> first = to_grid(np.array([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]])).micro
>>> first.tolist()
[[1000000, 0], [600000, 800000], [0, 1000000]]
>>> second = to_grid(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])).micro
>>> metrics(products([(first, second)]), [5.0, 4.0, 0.5]).cos_sim_spearman
1.0
"""
