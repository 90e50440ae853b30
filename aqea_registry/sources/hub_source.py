"""The Hugging Face Hub as a source: the bytes of a commit, resumed after a cut or a kill; and the cache of the Hub's client."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from io import FileIO
from pathlib import Path

from aqea_registry.base.files import BLOCK, safe_path, size_of
from aqea_registry.remote.hub_client import NotFound, Repository, offline
from aqea_registry.sources.local import FolderSource


class HubSource:
    """The Hub's copy of one commit. Downloads are resumed; nothing goes into the user's own cache."""

    def __init__(self, repository: Repository, incoming: Path) -> None:
        self.spec, self.hint = "hub", "unset HF_HUB_OFFLINE"
        self._repository = repository
        self._client = repository.client()
        self._incoming = incoming

    def present(self) -> bool:
        """Whether the client may go online; whether the Hub answers shows when it is asked."""
        return not offline()

    def paths(self) -> list[str]:
        """Every file of the commit, sorted."""
        return sorted(self._client.info(self._repository.commit).files)

    def local(self, path: str) -> Path | None:
        """Never: what the Hub sends is copied before it is used."""
        return None

    def open(self, path: str, limit: int) -> FileIO:
        """Download one file of the commit and open it. What arrived before a cut or a kill is not asked for again.

        The file keeps no name: what is not copied now is gone. Raises FileNotFoundError if the commit has no such file.
        """
        name = hashlib.sha256(f"{self._repository.id}@{self._repository.commit}:{safe_path(path)}".encode()).hexdigest()
        part = self._incoming / name
        self._incoming.mkdir(parents=True, exist_ok=True)
        with (self._incoming / f"{name}.lock").open("wb") as lock:  # another run may be at the same file
            fcntl.flock(lock, fcntl.LOCK_EX)
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


def cache_source(repository: Repository) -> FolderSource:
    """The Hub cache of this machine (HF_HUB_CACHE, HF_HOME), read where it lies.

    A snapshot's files are links to blobs beside it, so links may lead as far as the repository's folder.
    """
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(home, "hub")).expanduser()
    folder = cache / f"{repository.kind}s--{repository.id.replace('/', '--')}"
    return FolderSource("cache", folder / "snapshots" / (repository.commit or ""), f"there is no {folder}", within=folder)
