"""A project: a folder with params.yaml, read once as a snapshot; and the verb manifest.

Open `project` first: `find_project` finds the folder, `open_project` reads every small file once, and `Project` derives
everything else from what was read; `write_manifest` hashes files for the manifest. It also asks git which commit is checked
out. `artefact` is one pair set of the run with its inputs and the paths of its files.
`params` and `lock` are params.yaml, the pins, dvc.lock and the manifest as values; all three are pure, as is `scaffold`: what
`init` writes. `citation` reads CITATION.cff.

>>> from pathlib import Path
>>> from aqea_registry.project.lock import Lock
>>> from aqea_registry.project.params import parse_params
>>> from aqea_registry.project.project import Project
>>> params = parse_params(b'''
... datasets: {mine: {kind: directory, repo: mine, files: [test.jsonl], sources: ["directory:mine"]}}
... models: {minilm: {repo: org/minilm, dimension: 384}}
... runs: {}
... run: {pairs: {mine-minilm: {dataset: mine, model: minilm, file: mine_minilm_384d}}, exports: {}}
... publish: {stores: ["oci:releases"], title: Mine}
... ''')
>>> project = Project(root=Path("."), params=params, lock=Lock(), plain_params=None, contents={})
>>> artefact = project.artefacts["mine-minilm"]
>>> artefact.stage, artefact.pairs
('generate@mine-minilm', 'training/data/mine_minilm_384d_pairs.json')
"""
