"""The Hugging Face Hub through its own client: what a revision is, and the bytes of a commit. And the cache it leaves.

The client reads HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE itself. It is imported only here, when it is needed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from io import FileIO
from pathlib import Path

from aqea_registry.base.files import UnsafePath, inside, safe_path
from aqea_registry.remote.hub_client import NotOnHub, Repository, ask, ask_hub, offline
from aqea_registry.sources.local import FolderSource

PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416


class HubSource:
    """The Hub's copy of one commit. Downloads are resumed; nothing goes into the user's own cache."""

    def __init__(self, repository: Repository, incoming: Path) -> None:
        self.spec = "hub"
        self._repository = repository
        self._incoming = incoming

    def present(self) -> bool:
        """Whether the client may go online; whether the Hub answers shows when it is asked."""
        return not offline()

    def paths(self) -> list[str]:
        """Every file of the commit, sorted."""
        return sorted(ask(self._repository, self._repository.commit).files)

    def local(self, path: str) -> Path | None:
        """Never: what the Hub sends is copied before it is used."""
        return None

    def open(self, path: str, limit: int) -> FileIO:
        """Download one file of the commit and open it. What arrived before a cut or a kill is not asked for again.

        The file keeps no name: what is not copied now is gone. Raises FileNotFoundError if the commit has no such file.
        """
        name = hashlib.sha256(f"{self._repository.id}@{self._repository.commit}:{safe_path(path)}".encode()).hexdigest()
        part = self._incoming / name
        what = f"{self._repository.name}: {self._repository.id}: {path}"
        self._incoming.mkdir(parents=True, exist_ok=True)
        with (self._incoming / f"{name}.lock").open("wb") as lock:  # another run may be at the same file
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                ask_hub(what, lambda: self._download(path, part, limit), lambda: _size(part))
            except NotOnHub as error:
                if error.what == "file":
                    raise FileNotFoundError(errno.ENOENT, "the commit has no such file", what) from error
                raise
            file = FileIO(part, "rb")
            part.unlink()
        return file

    def _download(self, path: str, part: Path, limit: int) -> None:
        from huggingface_hub import constants, get_session, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

        url = hf_hub_url(self._repository.id, path, repo_type=self._repository.kind, revision=self._repository.commit)
        held = _size(part)
        # Not compressed: a range counts the bytes that are sent.
        headers = build_hf_headers() | {"Accept-Encoding": "identity"} | ({"Range": f"bytes={held}-"} if held else {})
        timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
        with get_session().stream("GET", url, headers=headers, follow_redirects=True, timeout=timeout) as response:
            if response.status_code == RANGE_NOT_SATISFIABLE and held:
                return  # all of it arrived the last time; its digest will tell
            hf_raise_for_status(response)
            with part.open("ab" if response.status_code == PARTIAL_CONTENT else "wb", buffering=0) as file:
                for block in response.iter_bytes():
                    file.write(block)
                    if file.tell() > limit:
                        return  # more than was pinned: wrong, however it goes on

    def advice(self) -> str:
        """What a person can do so that this source is present."""
        return "unset HF_HUB_OFFLINE"


class _CacheSource(FolderSource):
    """A snapshot in the Hub cache. Its files are links to blobs beside it, so links may lead as far as the repository."""

    def __init__(self, repository: Repository, folder: Path) -> None:
        super().__init__("cache", folder / "snapshots" / (repository.commit or ""), f"there is no {folder}")
        self._repository_folder = folder
        self._snapshot = f"snapshots/{repository.commit}"

    def local(self, path: str) -> Path | None:
        """The file's place, or None. Raises OSError if a link on the way leaves the repository's folder."""
        try:
            place = inside(self._repository_folder, f"{self._snapshot}/{safe_path(path)}")
        except UnsafePath as error:
            raise OSError(f"cache: {path}: {error}") from error
        return place if place.exists() else None


def cache_source(repository: Repository) -> FolderSource:
    """The Hub cache of this machine (HF_HUB_CACHE, HF_HOME), read where it lies."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(home, "hub")).expanduser()
    return _CacheSource(repository, cache / f"{repository.kind}s--{repository.id.replace('/', '--')}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
