"""The verb compare: do two things agree, and if not, what differs and why.

Open `compare` first: it compares two files, trees or releases, and says in one line what changed between two releases.
`pair_files` reads two files block by block and asks `measures` (one pass, bounded memory), `verdict` (IDENTICAL to DIVERGED)
and `diagnosis` (which kind of difference), which rest on `evidence`. These four are pure. `vector_sets` finds the texts that
differ between two vector sets, `trees` compares folders and releases, and writes a release's notes;
`causes` encodes sentences in wrong ways to find the one that was used. Those, `pair_files` and `compare` read files.

>>> import numpy as np
>>> from aqea_registry.comparison.diagnosis import diagnose
>>> from aqea_registry.comparison.evidence import Compared
>>> from aqea_registry.comparison.measures import measure
>>> first, second = np.eye(4)[:3], np.eye(4)[1:]
>>> swapped = measure([(first, second)], [(second, first)])
>>> diagnose(Compared(measured=swapped, before=None, after=None, bound=1e-5))[0].message
'embeddings1 and embeddings2 are exchanged in 3 of 3 rows'
"""
