"""What a source can do, and the kinds: a directory, an installed package's files, a mirror at a URL, the Hub, its cache."""

import errno
import hashlib
import os
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from io import FileIO, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

from aqea_registry.base.extras import require, unusable
from aqea_registry.base.files import BLOCK, UnsafePath, inside, lock, open_regular, safe_path, size_of
from aqea_registry.base.findings import BadConfiguration, CannotCheck
from aqea_registry.project.artefact import CatalogueEntry
from aqea_registry.project.project import CACHE
from aqea_registry.remote.answers import quotable
from aqea_registry.remote.hub_client import NotFound, Repository, offline
from aqea_registry.remote.retry import Download, call_server

T = TypeVar("T")
KNOWN = "hub, cache, directory:PATH, package:NAME/PATH, or an fsspec URL such as s3://bucket/{id}/{commit}"


class Source(Protocol):
    """Something with files under relative POSIX paths."""

    spec: str
    hint: str  # what a person can do so that this source is present

    def present(self) -> bool:
        """Whether it can be reached at all, as far as that is known without a request."""
        return True

    def paths(self) -> list[str]:
        """Every file it has, sorted. Raises OSError."""

    def open(self, path: str, limit: int) -> RawIOBase | BinaryIO:
        """The bytes of one file; more than `limit` need not be given. Raises OSError; FileNotFoundError if there is none."""

    def local(self, path: str) -> Path | None:
        """Where the file is on this machine, or None if it is not here. Raises OSError if it must not be read."""
        return None  # what is sent is copied before it is used


class FolderSource(Source):
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
        files = (Path(folder, name) for folder, _, names in os.walk(self._folder) for name in names)
        return sorted(file.relative_to(self._folder).as_posix() for file in files)

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


def package_source(spec: str, path: str) -> FolderSource:
    """The data files of an installed package, `NAME/PATH`. It is found, never imported. Raises BadConfiguration, UnsafePath."""
    name, _, inner = path.partition("/")
    if not name.isidentifier():
        raise BadConfiguration(f"params.yaml: {spec!r}: {name!r} is not the name of a Python package")
    inner = safe_path(inner) if inner else ""
    module = None
    with suppress(ImportError, ValueError):
        module = find_spec(name)
    folders = (module.submodule_search_locations if module is not None else None) or ()
    folder = next((Path(folder) / inner for folder in folders), None)
    return FolderSource(spec, folder, f"pip install {name.replace('_', '-')}")


def cache_source(repository: Repository) -> FolderSource:
    """The Hub cache of this machine, read where it lies: a snapshot's links lead to blobs in the repository's folder."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(home, "hub")).expanduser()
    folder = cache / f"{repository.kind}s--{repository.id.replace('/', '--')}"
    return FolderSource("cache", folder / "snapshots" / (repository.commit or ""), f"there is no {folder}", within=folder)


class MirrorSource(Source):
    """Files below a URL that fsspec reads: s3://, https://, ... Credentials come from where the protocol has them."""

    def __init__(self, url: str) -> None:
        self.spec = quotable(url)
        self._url = url.rstrip("/")
        self.hint = f"make {self.spec} reachable"

    def paths(self) -> list[str]:
        """Every file below the URL, sorted. Raises OSError."""
        system, base = self._system()
        return sorted(path[len(base) :].lstrip("/") for path in _asked(self.spec, lambda: system.find(base)))

    def open(self, path: str, limit: int) -> BinaryIO:
        """Stream one file. Raises OSError; FileNotFoundError if the mirror has no such file."""
        system, base = self._system()
        address = f"{base}/{safe_path(path)}"

        def blocks(_: int) -> Generator[bytes, None, None]:
            with system.open(address, "rb") as file:
                yield from iter(lambda: file.read(BLOCK), b"")

        return Download(limit + 1, 0, blocks, partial(_asked, self.spec)).buffered()

    def _system(self) -> tuple[Any, str]:
        require("a mirror")
        import fsspec

        try:
            system, base = fsspec.core.url_to_fs(self._url)
        except ImportError as error:  # what the protocol needs
            raise unusable("a mirror", error) from error
        except Exception as error:
            raise CannotCheck(f"{self.spec}: {quotable(str(error))}") from error
        return system, base


def _asked(spec: str, call: Callable[[], T]) -> T:
    """What a mirror answers. Raises OSError: each protocol has errors of its own, and their words hold whole addresses."""
    try:
        return call_server(spec, call)
    except FileNotFoundError as error:
        raise FileNotFoundError(quotable(str(error))) from error
    except Exception as error:
        raise OSError(f"{spec}: {type(error).__name__}: {quotable(str(error))}") from error


class HubSource(Source):
    """The Hub's copy of one commit. Downloads are resumed, below `root`; nothing goes into the user's own cache."""

    def __init__(self, repository: Repository, root: Path) -> None:
        self.spec, self.hint = "hub", "unset HF_HUB_OFFLINE"
        self._repository = repository
        self._client = repository.client()
        self._incoming = root / CACHE / "incoming"

    def present(self) -> bool:
        """Whether the client may go online; whether the Hub answers shows when it is asked."""
        return not offline()

    def paths(self) -> list[str]:
        """Every file of the commit, sorted."""
        return sorted(self._client.info(self._repository.commit).files)

    def open(self, path: str, limit: int) -> FileIO:
        """Download one file of the commit and open it. What arrived before a cut or a kill is not asked for again.

        The file keeps no name: what is not copied now is gone. Raises FileNotFoundError if the commit has no such file.
        """
        name = hashlib.sha256(f"{self._repository.id}@{self._repository.commit}:{safe_path(path)}".encode()).hexdigest()
        part = self._incoming / name
        self._incoming.mkdir(parents=True, exist_ok=True)
        with (self._incoming / f"{name}.lock").open("wb") as lock_file:  # another run may be at the same file
            lock(lock_file.fileno())
            try:
                self._download(path, part, limit)
            except NotFound as error:
                if error.part == "file":
                    raise FileNotFoundError(errno.ENOENT, "the commit has no such file", path) from error
                raise
            file = FileIO(part, "rb")
            part.unlink()
        return file

    def _download(self, path: str, part: Path, limit: int) -> None:
        """Append what is missing of a file; of one that is longer than `limit` as much as shows it."""
        with (
            self._client.stream(self._repository.commit, path, limit + 1, size_of(part)) as incoming,
            part.open("ab", buffering=0) as file,
        ):
            while file.tell() <= limit and (block := incoming.read(BLOCK)):
                file.write(block)


def sources_of(wanted: CatalogueEntry, commit: str | None) -> list[Source]:
    """The sources of a catalogue entry at a commit, in their order. Raises BadConfiguration."""
    repo = wanted.entry.repo or (wanted.pin.id if wanted.pin else "")  # of a task of MTEB the pin alone may name it
    repository = Repository(wanted.name, wanted.entry.kind, repo, commit)
    return [open_source(spec, wanted.root, repository) for spec in wanted.sources]


def open_source(spec: str, root: Path, repository: Repository) -> Source:
    """The source that a line of params.yaml names (docs/catalogue.md), for one repository. Raises BadConfiguration."""
    kind, _, rest = spec.partition(":")
    if spec == "hub" and repository.kind in ("model", "dataset"):
        return HubSource(repository, root)
    if spec == "cache" and repository.kind in ("model", "dataset"):
        return cache_source(repository)
    filled = _fill(spec, rest, repository)
    if "://" in spec:
        return MirrorSource(f"{kind}:{filled}")
    try:
        if kind == "directory" and filled:
            folder = root / Path(filled).expanduser()
            return FolderSource(spec, folder, f"put the files into {folder}")
        if kind == "package" and filled:
            return package_source(spec, filled)
    except (RuntimeError, UnsafePath) as error:
        raise BadConfiguration(f"params.yaml: {spec!r}: {error}") from error
    raise BadConfiguration(f"params.yaml: {spec!r} is not a source of {repository.name}; known are {KNOWN}")


def _fill(spec: str, text: str, repository: Repository) -> str:
    for key, value in repository._asdict().items():
        text = text.replace(f"{{{key}}}", value or "")
    if "{" in text or "}" in text:
        raise BadConfiguration(f"params.yaml: {spec!r}: only {{name}}, {{kind}}, {{id}} and {{commit}} can stand in a source")
    return text
