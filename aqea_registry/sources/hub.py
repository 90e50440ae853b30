"""The Hugging Face Hub through its own client: what a revision is, and the bytes of a commit. And the cache it leaves.

The client reads HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE itself. It is imported only here, when it is needed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from aqea_registry.core.files import NO_ROOM
from aqea_registry.core.findings import CannotCheck, Finding, NotAllowed, Refused
from aqea_registry.core.paths import UnsafePath, inside, safe_path
from aqea_registry.core.retry import ATTEMPTS, is_final, wait_before
from aqea_registry.sources.base import Repository
from aqea_registry.sources.local import FolderSource

T = TypeVar("T")
PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416
Gone = Literal["repository", "revision", "file"]


CODES: dict[Gone, str] = {"repository": "repository-gone", "revision": "commit-gone", "file": "missing"}


class NotOnHub(Refused):
    """The Hub answered that there is no such repository, revision or file, as far as this token may see."""

    def __init__(self, subject: str, message: str, what: Gone, hint: str) -> None:
        super().__init__(f"{subject}: {message}", [Finding(code=CODES[what], subject=subject, message=message)], hint)
        self.what = what


class RemoteFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file as the Hub describes it: `sha256` of large files, git's `blob` id of small ones."""

    size: int
    sha256: str | None
    blob: str | None


class RepositoryInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One commit of a repository as the Hub describes it."""

    commit: str
    licence: str | None
    files: dict[str, RemoteFile]


def offline() -> bool:
    """Whether the user told the client to stay offline."""
    return any(
        os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def ask(repository: Repository, revision: str | None) -> RepositoryInfo:
    """What a revision is now: commit, licence, and size and digest of every file. Raises NotOnHub, NotAllowed, CannotCheck."""

    def call() -> RepositoryInfo:
        from huggingface_hub import HfApi, constants

        timeout = constants.HF_HUB_ETAG_TIMEOUT
        info: Any = HfApi().repo_info(
            repository.id, repo_type=repository.kind, revision=revision, files_metadata=True, timeout=timeout
        )
        if not re.fullmatch(r"[0-9a-f]{40}", info.sha or ""):
            raise ValueError(f"the Hub names no commit, but {info.sha!r}")
        licence = info.card_data.get("license") if info.card_data else None
        files = {
            file.rfilename: RemoteFile(
                size=file.size or 0,
                sha256=file.lfs.sha256 if file.lfs else None,
                blob=None if file.lfs else file.blob_id,
            )
            for file in info.siblings or ()
        }
        return RepositoryInfo(commit=info.sha, licence=licence if isinstance(licence, str) else None, files=files)

    return _call(f"{repository.name}: {repository.id}{f' at {revision}' if revision else ''}", call)


def check_access(repository: Repository) -> None:
    """Ask whether this token may read the files: a gated repository lists them to anybody. Raises as `ask` does."""

    def call() -> None:
        from huggingface_hub import HfApi

        HfApi().auth_check(repository.id, repo_type=repository.kind)

    _call(f"{repository.name}: {repository.id}", call)


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
                _call(what, lambda: self._download(path, part, limit), lambda: _size(part))
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


def _call(what: str, call: Callable[[], T], progress: Callable[[], int] = lambda: 0) -> T:
    """Ask the Hub, patiently where waiting helps, and say plainly why it did not answer. No message holds a token.

    An attempt after which `progress` has grown does not count.
    """
    try:
        from huggingface_hub import errors
    except ImportError as error:
        raise CannotCheck(
            "asking the Hub needs huggingface_hub, which is not installed", "pip install 'aqea-registry[stores]'"
        ) from error
    # The client's errors stand under its HTTP library's; an answer of another shape breaks it in its own ways.
    failures: tuple[type[Exception], ...] = (
        *errors.HfHubHTTPError.__bases__,
        ValueError,
        RuntimeError,
        TypeError,
        LookupError,
        AttributeError,
    )
    attempt, before = 0, progress()
    while True:
        try:
            return call()
        except errors.GatedRepoError as error:
            raise NotAllowed(
                f"{what} is gated", "accept its terms on the Hub, and set HF_TOKEN to a token of that account"
            ) from error
        except errors.RepositoryNotFoundError as error:
            hint = "check the id in params.yaml; for a private repository set HF_TOKEN to a token that may read it"
            raise NotOnHub(what, "the Hub has no such repository, or it is private", "repository", hint) from error
        except errors.RevisionNotFoundError as error:
            raise NotOnHub(what, "the Hub has no such revision", "revision", "correct the revision in params.yaml") from error
        except errors.RemoteEntryNotFoundError as error:
            raise NotOnHub(what, "the commit has no such file", "file", "correct the files in params.yaml") from error
        except failures as error:
            if getattr(error, "errno", None) in NO_ROOM:
                raise
            status = getattr(getattr(error, "response", None), "status_code", None)
            if status in {401, 403}:
                raise NotAllowed(f"{what}: the Hub answered {status}", "set HF_TOKEN to a token that may read it") from error
            attempt, before = (0, progress()) if progress() > before else (attempt + 1, before)
            if attempt == ATTEMPTS or is_final(status):
                reason = f"the Hub answered {status}" if status else f"{type(error).__name__}: {_first_line(error)}"
                raise CannotCheck(f"{what}: {reason}", "try again later, or name another source in params.yaml") from error
            headers = getattr(getattr(error, "response", None), "headers", None) or {}
            time.sleep(wait_before(max(0, attempt - 1), headers.get("Retry-After")))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no reason given"
