"""What is kept of vectors below a project: how much, what no run uses, and whether it is as it was written. The verb cache."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from aqea_registry.base.files import size_of
from aqea_registry.base.findings import Finding
from aqea_registry.base.progress import Reporter
from aqea_registry.embedding.encoder import Settings
from aqea_registry.embedding.segment import SUFFIX, Damaged, Segment
from aqea_registry.generation.encoding import cache_folder
from aqea_registry.generation.loading import ModelInUse
from aqea_registry.project.lock import Lock
from aqea_registry.project.params import Params
from aqea_registry.project.project import CACHE, Project


class KeptVectors(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of vectors of one model under one method: its path in the project, and what it holds."""

    folder: str
    texts: int
    bytes: int
    segments: int


def kept_vectors(root: Path) -> list[KeptVectors]:
    """All folders of vectors, by path. Texts that several segments have count more than once until they are merged."""
    found = []
    for folder in _folders(root):
        segments = [segment for path in sorted(folder.glob(f"*{SUFFIX}")) if (segment := _opened(path))]
        size, texts = sum(map(size_of, folder.iterdir())), sum(segment.texts for segment in segments)
        path = folder.relative_to(root).as_posix()
        found.append(KeptVectors(folder=path, texts=texts, bytes=size, segments=len(segments)))
    return found


def prune(project: Project, *, write: bool) -> dict[str, int]:
    """What no run of the project uses, each with its bytes: folders, and files of earlier versions. `write` removes it."""
    used, unused = _used(project.params, project.lock), dict[Path, int]()
    for folder in _folders(project.root):
        if folder.name.startswith(used):
            unused |= {path: size_of(path) for path in sorted(folder.iterdir()) if path.suffix in (".parquet", ".npy")}
        else:
            unused[folder] = sum(map(size_of, folder.iterdir()))
    for path in unused if write else ():
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return {path.relative_to(project.root).as_posix(): size for path, size in unused.items()}


def check_kept(root: Path, report: Reporter) -> list[Finding]:
    """What is wrong with kept vectors: every byte is read. Damaged ones are not used; `generate` computes them again."""
    paths, findings = [path for folder in _folders(root) for path in sorted(folder.glob(f"*{SUFFIX}"))], []
    with report.task("check vectors", sum(map(size_of, paths)), "bytes") as advance:
        for path in paths:
            segment, size = _opened(path), size_of(path)
            if path.exists() and (segment is None or not segment.is_whole()):
                name, message = (
                    path.relative_to(root).as_posix(),
                    "kept vectors are damaged; delete the file: they are made again",
                )
                findings.append(Finding("malformed" if segment is None else "mismatch", name, message))
            advance(size)
    return findings


def _opened(path: Path) -> Segment | None:
    """A segment, if it is one and still there."""
    try:
        return Segment(path)
    except (Damaged, FileNotFoundError):
        return None


def _folders(root: Path) -> Iterator[Path]:
    """The folders with vectors, those that are still unchecked among them."""
    within = root / CACHE / "vectors"
    yield from sorted({path.parent for path in within.rglob("*") if path.is_file()} - {within})


def _used(params: Params, lock: Lock) -> tuple[str, ...]:
    """What names of folders that runs use begin with: in float32, where batches matter too, less than the whole name."""
    runs = [params.run, *params.runs.values()]
    used, canonical = set[str](), params.precision == "canonical"
    for name in {named.model for run in runs for named in (*run.pairs.values(), *run.vectors.values())}:
        entry, pin = params.models[name], lock.models.get(name)
        if entry.kind != "given" and pin is not None:
            model = ModelInUse(name, entry, pin, params.precision, Path(), Path(), (entry.dimension,))
            folder = cache_folder(model, entry.dimension, Settings()).name
            used.add(folder if canonical else f"{folder.rpartition('-')[0]}-")
    return tuple(used)
