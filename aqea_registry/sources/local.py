"""Sources on this machine: a directory, and the data files of an installed Python package."""

from __future__ import annotations

import os
from importlib.util import find_spec
from io import FileIO
from pathlib import Path

from aqea_registry.core.files import open_regular
from aqea_registry.core.findings import BadConfiguration
from aqea_registry.core.paths import UnsafePath, inside, safe_path


class FolderSource:
    """Files below one folder. A symbolic link that leaves the folder is not followed."""

    def __init__(self, spec: str, folder: Path | None, advice: str) -> None:
        self.spec = spec
        self._folder = folder
        self._advice = advice

    def present(self) -> bool:
        """Whether the folder is there."""
        return self._folder is not None and self._folder.is_dir()

    def paths(self) -> list[str]:
        """Every file below the folder, sorted."""
        if self._folder is None:
            raise FileNotFoundError(f"{self.spec} is not here")
        return sorted(
            Path(folder, name).relative_to(self._folder).as_posix()
            for folder, _, names in os.walk(self._folder)
            for name in names
        )

    def local(self, path: str) -> Path | None:
        """The file's place, or None. Raises OSError if a link on the way leaves the folder."""
        if self._folder is None:
            return None
        try:
            place = inside(self._folder, path)
        except UnsafePath as error:
            raise OSError(f"{self.spec}: {path}: {error}") from error
        return place if place.exists() else None

    def open(self, path: str, limit: int) -> FileIO:
        """Open one file. Raises FileNotFoundError, or OSError if it is no regular file or a link leads out."""
        place = self.local(path)
        if place is None:
            raise FileNotFoundError(f"{self.spec} has no {path}")
        return open_regular(place)

    def advice(self) -> str:
        """What a person can do so that this source is present."""
        return self._advice


def directory_source(spec: str, path: str, root: Path) -> FolderSource:
    """A folder of files; a relative path starts at the project's folder."""
    try:
        folder = root / Path(path).expanduser()
    except RuntimeError as error:
        raise BadConfiguration(f"params.yaml: {spec!r}: {error}") from error
    return FolderSource(spec, folder, f"put the files into {folder}")


def package_source(spec: str, path: str) -> FolderSource:
    """The data files of an installed package, `NAME/PATH`. The package is found, never imported."""
    name, _, inner = path.partition("/")
    if not name.isidentifier():
        raise BadConfiguration(f"params.yaml: {spec!r}: {name!r} is not the name of a Python package")
    try:
        inner = safe_path(inner) if inner else ""
    except UnsafePath as error:
        raise BadConfiguration(f"params.yaml: {spec!r}: {error}") from error
    try:
        found = find_spec(name)
    except (ImportError, ValueError):
        found = None
    folder = None
    if found is not None and found.submodule_search_locations:
        folder = Path(next(iter(found.submodule_search_locations)))
        folder = folder / inner
    return FolderSource(spec, folder, f"pip install {name.replace('_', '-')}")
