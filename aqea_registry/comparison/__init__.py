"""The verb compare: do two things agree, and if not, what differs and why.

Open `compare` first: it compares two files, trees or releases, and says in one line what changed between two releases.
`pair_files` reads two files block by block and asks `measures` (one pass, bounded memory), `verdict` (IDENTICAL to DIVERGED)
and `diagnosis` (which kind of difference). These three are pure. `trees` compares folders and
releases, and writes a release's notes; `causes` encodes sentences in wrong ways to find the one that was used. Those,
`pair_files`, which compares vector sets text by text, too, and `compare` read files.

>>> import numpy as np
>>> from aqea_registry.comparison.diagnosis import diagnose
>>> from aqea_registry.comparison.measures import measure
>>> first, second = np.eye(4)[:3], np.eye(4)[1:]
>>> diagnose(measure([(first, second)], [(second, first)], bound=1e-5))[0].message
'embeddings1 and embeddings2 are exchanged in 3 of 3 rows'
"""
