"""A mirror at any URL that fsspec can read: s3://, https://, file://, ... The files stand under it by their own paths."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from aqea_registry.core.findings import CannotCheck
from aqea_registry.core.paths import safe_path


class MirrorSource:
    """Files below one URL. Credentials come from where the protocol's own library takes them."""

    def __init__(self, url: str) -> None:
        self.spec = url
        self._url = url.rstrip("/")

    def present(self) -> bool:
        """A mirror is taken to be there until it is asked."""
        return True

    def paths(self) -> list[str]:
        """Every file below the URL, sorted. Raises OSError."""
        system, base = self._system()
        found = system.find(base)
        return sorted(path[len(base) :].lstrip("/") for path in found)

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

    def advice(self) -> str:
        """What a person can do so that this source is present."""
        return f"make {self._url} reachable"

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
