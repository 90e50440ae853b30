"""A pair set of the run made anew, in a place of its own: nothing of the project is touched or taken over."""

from __future__ import annotations

from pathlib import Path

import msgspec

from aqea_registry.core.comparison import PairSetFile
from aqea_registry.core.findings import BadConfiguration
from aqea_registry.core.reporting import Reporter
from aqea_registry.operations.claimed import run_key
from aqea_registry.operations.project import CACHE, Project, pairs_path
from aqea_registry.sources.fetch import fetch


def regenerate(project: Project, file: PairSetFile, scratch: Path, report: Reporter) -> Path:
    """Make the pair set that a file says it is, with every vector computed now; return where it lies in `scratch`.

    Raises BadConfiguration if the run has no such pair set, and whatever `generate` raises.
    """
    from aqea_registry.embedding.encoder import Settings
    from aqea_registry.operations.generate import generate

    key = run_key(project, file)
    if key is None:
        known = ", ".join(project.params.run.pairs)
        raise BadConfiguration(
            f"{file.name} says it is {file.dataset!r} under {file.model!r}, {file.dimension} dimensions; "
            f"the run has no such pair set, it has {known}",
            "set run in params.yaml, or name two files",
        )
    pair = project.params.run.pairs[key]
    there = msgspec.structs.replace(project, root=scratch)
    # Sources of the catalogue start at the project: bring what is pinned, and the copy needs no source.
    for group, name, entry in (
        ("datasets", pair.dataset, project.params.datasets[pair.dataset]),
        ("models", pair.model, project.params.models[pair.model]),
    ):
        pin = project.pin(group, name, entry)
        fetch(name, pin, project.sources(name, entry, pin.commit), scratch / CACHE / "pinned", report)
    generate(there, pair.dataset, pair.model, Settings(), report, fresh=True)
    return scratch / pairs_path(pair)
