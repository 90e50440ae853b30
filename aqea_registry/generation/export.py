"""Other files made from a pair file: the benchmark summary, and the vectors as other programs read them."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from aqea_registry.base.files import atomic_write, hash_file, open_regular, write_bytes
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused
from aqea_registry.project.project import Project
from aqea_registry.vectors.containers import pair_json
from aqea_registry.vectors.containers.open_pairs import write_aqed, write_parquet
from aqea_registry.vectors.examine import examine
from aqea_registry.vectors.pair_set import Malformed, PairSet


def export(project: Project, path: str, kind: str) -> str:
    """Write one more file made from a pair file of the run and return its path. Raises Refused if the pair file is bad."""
    project.params.check_versions("view" if kind == "parquet" else "export")
    named = {artefact.pairs.rpartition("/")[2]: artefact for artefact in project.artefacts.values()}
    artefact = named.get(path.rpartition("/")[2])
    if artefact is None:
        known = ", ".join(artefact.pairs for artefact in project.artefacts.values())
        raise BadConfiguration(f"{path} is not a pair file of the run; it has {known}")
    source = artefact.pairs
    if not (project.root / source).is_file():
        raise CannotCheck(f"{source} not found", "run: dvc repro")
    target = artefact.path(kind)
    if kind == "benchmark":
        examined, findings = examine(project.root / source, source)
        if examined is None or findings:
            raise Refused(f"{findings[0].subject}: {findings[0].message}", findings, "run: dvc repro")
        write_bytes(project.root / target, artefact.benchmark_text(examined, hash_file(project.root / source)))
        return target
    try:
        with open_regular(project.root / source) as pair_file:
            content = pair_json.read(pair_file)
            with atomic_write(project.root / target) as file:
                _WRITERS[kind](file, content)
    except Malformed as error:
        raise Refused.of(error.code, source, str(error), hint="run: dvc repro") from error
    return target


_WRITERS: dict[str, Callable[[BinaryIO, PairSet], None]] = {
    "embeddings": pair_json.write_embeddings,
    "parquet": write_parquet,
    "aqed": write_aqed,
}
