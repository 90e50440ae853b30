"""Sources on this machine: a directory, and the data files of an installed Python package.

A mirror at any URL that fsspec can read: s3://, https://, file://, ... The files stand under it by their own paths.
"""

from __future__ import annotations

import io
import os
from importlib.util import find_spec
from io import FileIO
from pathlib import Path
from typing import Any

from aqea_registry.base.files import UnsafePath, inside, open_regular, safe_path
from aqea_registry.base.findings import BadConfiguration, CannotCheck


class FolderSource:
    """Files below one folder. A symbolic link that leaves it, or the folder `within` which it is, is not followed."""

    def __init__(self, spec: str, folder: Path | None, hint: str, within: Path | None = None) -> None:
        self.spec, self.hint = spec, hint
        self._folder = folder
        self._within = within or folder

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
        """Where the file is, or None. Raises OSError if a link on the way leads out."""
        if self._folder is None or self._within is None:
            return None
        try:
            location = inside(self._within, (self._folder / safe_path(path)).relative_to(self._within).as_posix())
        except UnsafePath as error:
            raise OSError(f"{self.spec}: {path}: {error}") from error
        return location if location.exists() else None

    def open(self, path: str, limit: int) -> FileIO:
        """Open one file. Raises FileNotFoundError, or OSError if it is not a regular file or a link leads out."""
        location = self.local(path)
        if location is None:
            raise FileNotFoundError(f"{self.spec} has no {path}")
        return open_regular(location)


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
    folders = (found.submodule_search_locations if found is not None else None) or ()
    folder = next((Path(folder) / inner for folder in folders), None)
    return FolderSource(spec, folder, f"pip install {name.replace('_', '-')}")


class MirrorSource:
    """Files below one URL. Credentials come from where the protocol's own library takes them."""

    def __init__(self, url: str) -> None:
        self.spec = url
        self._url = url.rstrip("/")
        self.hint = f"make {self._url} reachable"

    def present(self) -> bool:
        """A mirror is taken to be there until it is asked."""
        return True

    def paths(self) -> list[str]:
        """Every file below the URL, sorted. Raises OSError."""
        system, base = self._system()
        return sorted(path[len(base) :].lstrip("/") for path in system.find(base))

    def local(self, path: str) -> Path | None:
        """Never: a mirror's bytes are copied before they are used."""
        return None

    def open(self, path: str, limit: int) -> io.RawIOBase:
        """Stream one file. Raises OSError; FileNotFoundError if the mirror has no such file."""
        system, base = self._system()
        try:
            return _Raw(system.open(f"{base}/{safe_path(path)}", "rb"))
        except OSError:
            raise
        except Exception as error:  # each protocol has errors of its own
            raise OSError(f"{self.spec}: {path}: {type(error).__name__}: {error}") from error

    def _system(self) -> tuple[Any, str]:
        try:
            import fsspec

            system, base = fsspec.core.url_to_fs(self._url)
        except ImportError as error:
            raise CannotCheck(
                f"{self.spec} needs a package that is not here: {error}", "pip install 'aqea-registry[stores]'"
            ) from error
        except ValueError as error:
            raise CannotCheck(f"{self.spec}: {error}") from error
        return system, base


class _Raw(io.RawIOBase):
    """An fsspec file as a raw stream whose errors are all OSError."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            block = self._file.read(len(buffer))
        except OSError:
            raise
        except Exception as error:  # each protocol has errors of its own
            raise OSError(f"{type(error).__name__}: {error}") from error
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
