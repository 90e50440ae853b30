"""One dataset repository on the Hugging Face Hub, through the Hub's own client, which is imported only when it is needed.

Every question is asked again where waiting helps. The client reads HF_TOKEN and HF_HOME itself; its progress bars and its
warnings are switched off, because ours report. Its uploads repeat single requests after a 429 or a 5xx, at most five
times, and never after another answer.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, TypeVar, cast

import msgspec

from aqea_registry.base.files import BLOCK, NO_ROOM
from aqea_registry.base.findings import CannotCheck, Finding, NotAllowed, Refused, RegistryError
from aqea_registry.remote.retry import ATTEMPTS, Answer, Incoming, is_final, patiently, wait_before

T = TypeVar("T")
TIMEOUT = 120.0  # seconds of silence
PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416
BAD_REQUEST, CONFLICT, STALE = 400, 409, 412
FINAL = 0  # no status; there is nothing to wait for


class Refs(NamedTuple):
    """Where a repository stands: the commit of its main branch, None before the first one, and the commits of its tags."""

    head: str | None
    tags: Mapping[str, str]


class Entry(NamedTuple):
    """A file of a commit as the Hub describes it: `sha256` (hex) of a large one, git's `blob` id of any other."""

    size: int  # bytes
    sha256: str | None
    blob: str


class Gone(Exception):
    """The Hub has no such repository, commit or file, as far as this token may see."""


def git_blob(content: bytes) -> str:
    """The id that git gives to a file with these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class HubClient:
    """The questions to one repository. All raise NotAllowed and CannotCheck."""

    def __init__(self, repository: str) -> None:
        self._repository = repository
        self._owner = repository.partition("/")[0]
        self._spec = f"hf://datasets/{repository}"

    @property
    def address(self) -> str:
        """Where people see the repository."""
        return f"{_endpoint()}/datasets/{self._repository}"

    def refs(self) -> Refs | None:
        """Branches and tags now; None if there is no such repository, or none that this token may see."""

        def ask() -> Refs:
            found = self._api().list_repo_refs(self._repository, repo_type="dataset")
            heads = [branch.target_commit for branch in found.branches if branch.name == "main"]
            return Refs(heads[0] if heads else None, {tag.name: tag.target_commit for tag in found.tags})

        try:
            return self._ask("its tags", ask)
        except Gone:
            return None

    def tree(self, commit: str | None, folder: str | None = None) -> dict[str, Entry]:
        """Every file of a commit, or of a folder in it. Raises Gone if there is no such commit; a missing folder is empty."""
        if commit is None:
            return {}

        def ask() -> dict[str, Entry]:
            listed: Any = self._api().list_repo_tree(
                self._repository, folder, recursive=True, revision=commit, repo_type="dataset"
            )
            files = [item for item in listed if hasattr(item, "blob_id")]
            return {file.path: Entry(file.size, file.lfs.sha256 if file.lfs else None, file.blob_id) for file in files}

        try:
            return self._ask(f"the files of {commit}", ask)
        except Gone:
            if folder is None:
                raise
            return {}

    def read(self, commit: str, path: str, limit: int) -> bytes:
        """A small file of a commit, at most `limit` + 1 bytes of it. Raises Gone if there is none."""
        with self.stream(commit, path, limit + 1, 0) as incoming:
            return incoming.read(limit + 1)

    def stream(self, commit: str, path: str, size: int, offset: int) -> BinaryIO:
        """A file's bytes from `offset` on, `size` being where it ends; a line that breaks is mended while they are read.

        Raises Gone if the commit has no such file.
        """
        what = f"{path} at {commit}"
        incoming = Incoming(size, offset, lambda at: self._begin(commit, path, at), lambda call: self._ask(what, call))
        reader = io.BufferedReader(incoming, BLOCK)
        try:
            reader.peek(1)  # what is wrong shows now
        except BaseException:
            reader.close()
            raise
        return cast(BinaryIO, reader)

    def check_write(self, exists: bool) -> None:
        """Ask whether this token may write, before anything is sent. Raises NotAllowed."""
        if self._api().token is False:
            raise NotAllowed(f"{self._spec}: no token is set", self._to_write())
        who: dict[str, Any] = self._ask("who owns the token", lambda: dict(self._api().whoami()), to_write=True)
        if who.get("auth", {}).get("accessToken", {}).get("role") == "read":
            raise NotAllowed(f"{self._spec}: the token can only read", self._to_write())
        if exists:
            self._ask("may this token write", self._auth_check, to_write=True)
            return
        owned = {org.get("name") for org in who.get("orgs", []) if org.get("roleInOrg") not in {"read", "no_access"}}
        if self._owner not in owned | {who.get("name")}:
            message = f"{self._spec}: there is no such repository, and {who.get('name')} cannot make one under {self._owner}"
            raise NotAllowed(message, self._to_write())

    def create(self) -> None:
        """Make the repository, if it is not there; who may see it is the Hub's default."""

        def make() -> None:
            self._api().create_repo(self._repository, repo_type="dataset", exist_ok=True)

        self._ask("making the repository", make, to_write=True)

    def commit(
        self,
        parent: str | None,
        files: Mapping[str, Path | bytes],
        gone: Sequence[str],
        title: str,
        notes: str,
        shas: Mapping[str, str],
    ) -> str | None:
        """Make one commit on top of `parent` and return its id; None if the branch is not there any more.

        `shas` are the sha256 (hex) that the files must have: Refused if one has another, before anything is sent.
        """
        from huggingface_hub import CommitOperationDelete

        def make() -> str | None:
            adds = [_addition(path, given, shas[path]) for path, given in sorted(files.items())]
            deletes = [CommitOperationDelete(path, is_folder=False) for path in gone]
            try:
                made = self._api().create_commit(
                    self._repository,
                    [*adds, *deletes],
                    commit_message=title,
                    commit_description=notes,
                    repo_type="dataset",
                    parent_commit=parent,
                )
            except Exception as error:
                self._refuse_card(error)
                if _status(error) == STALE:
                    return None
                raise
            return str(made.oid)

        return self._ask(title, make, to_write=True)

    def tag(self, tag: str, commit: str) -> None:
        """Give a commit a tag. A tag of this name that is there already stays where it is: look at it afterwards."""

        def make() -> None:
            # A 409 does not tell whether the tag is on this commit or on another one, and exist_ok would say no more.
            try:
                self._api().create_tag(self._repository, tag=tag, revision=commit, repo_type="dataset", exist_ok=False)
            except Exception as error:
                if _status(error) != CONFLICT:
                    raise

        self._ask(f"the tag {tag}", make, to_write=True)

    def _auth_check(self) -> None:
        self._api().auth_check(self._repository, repo_type="dataset", write=True)

    def _begin(self, commit: str, path: str, offset: int) -> _Bytes:
        from huggingface_hub import constants, get_session, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

        url = hf_hub_url(self._repository, path, repo_type="dataset", revision=commit, endpoint=_endpoint())
        # Not compressed: a range counts the bytes that are sent.
        headers = build_hf_headers(token=self._api().token) | {"Accept-Encoding": "identity"}
        headers |= {"Range": f"bytes={offset}-"} if offset else {}
        session = get_session()
        response = session.send(
            session.build_request("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT),
            stream=True,
            follow_redirects=True,
        )
        try:
            if offset and response.status_code == RANGE_NOT_SATISFIABLE:
                return _Bytes(response, iter(()), 0)
            hf_raise_for_status(response)
        except BaseException:
            response.close()
            raise
        return _Bytes(response, response.iter_bytes(BLOCK), 0 if response.status_code == PARTIAL_CONTENT else offset)

    def _api(self) -> Any:
        """The client. Raises CannotCheck if it is told to stay offline."""
        from huggingface_hub import HfApi, get_session, get_token
        from huggingface_hub.utils import disable_progress_bars, logging  # type: ignore[attr-defined]

        if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
            raise CannotCheck(f"{self._spec}: HF_HUB_OFFLINE keeps the Hub's client offline", "unset HF_HUB_OFFLINE")
        warnings.filterwarnings("ignore", module=r"huggingface_hub\.")
        logging.set_verbosity(50)  # nothing below critical
        disable_progress_bars()
        get_session().timeout = TIMEOUT  # the client itself would wait for ever
        return HfApi(endpoint=_endpoint(), token=get_token() or False)

    def _ask(self, what: str, call: Callable[[], T], to_write: bool = False) -> T:
        """Ask patiently. Raises Gone, NotAllowed and CannotCheck."""
        self._api()
        from huggingface_hub import errors

        hint = self._to_write() if to_write else f"set HF_TOKEN to a token that may read {self._repository}"
        absent = (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError)
        try:
            return patiently(f"{self._spec}: {what}", call, lambda error: _judge(error, absent), hint)
        except absent as error:
            if to_write and isinstance(error, errors.RepositoryNotFoundError):  # so the Hub answers who may not know of it
                raise NotAllowed(f"{self._spec}: {what}: the Hub has no such repository for this token", hint) from error
            raise Gone(what) from error

    def _to_write(self) -> str:
        return f"HF_TOKEN needs write access to {self._owner} at {_endpoint()}"

    def _refuse_card(self, error: Exception) -> None:
        """The client asks the Hub about the card's front matter before anything else, and says no with a ValueError."""
        if isinstance(error, ValueError) and _status(error) == BAD_REQUEST and "README.md" in str(error):
            message = " ".join(str(error).split())
            finding = Finding(code="malformed", subject="README.md", message=message)
            raise Refused(f"{self._spec}: the Hub refuses the card: {message}", [finding], "correct the card") from error


class _Bytes:
    """A response as `Incoming` reads it. `skip`: bytes before the wanted ones, from a server that knows no ranges."""

    def __init__(self, response: Any, blocks: Iterator[bytes], skip: int) -> None:
        self.raw = self
        self._response = response
        self._blocks = blocks
        self._skip = skip
        self._rest = b""

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; none at the end."""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._rest, self._skip = block[self._skip :], max(0, self._skip - len(block))
        block, self._rest = self._rest[:size], self._rest[size:]
        return block

    def close(self) -> None:
        """Close the connection."""
        self._response.close()


def _endpoint() -> str:
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def _addition(path: str, given: Path | bytes, sha256: str) -> Any:
    """What the client is to send. Raises Refused if these are other bytes, CannotCheck if there are none."""
    from huggingface_hub import CommitOperationAdd

    from aqea_registry.stores.port import changed_file, unreadable_file

    try:
        # Of a path, given as text, Xet reads the file itself.
        addition = CommitOperationAdd(path, given if isinstance(given, bytes) else str(given))
        actual = addition.upload_info.sha256.hex()
    except (OSError, ValueError) as error:
        raise unreadable_file(path, error) from error
    if actual != sha256:
        raise changed_file(path, f"sha256:{sha256}", f"sha256:{actual}")
    return addition


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it came from: the client wraps what a server answered."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _response(error: Exception) -> Any:
    found = (getattr(one, "response", None) for one in _chain(error))
    return next((response for response in found if response is not None), None)


def _status(error: Exception) -> int | None:
    status: int | None = getattr(_response(error), "status_code", None)
    return status


def _judge(error: Exception, absent: tuple[type[Exception], ...]) -> Answer | None:
    """What an error of the client means. An answer of another shape than it expects breaks it in its own ways."""
    from huggingface_hub import errors

    if isinstance(error, RegistryError):
        return None
    if any(isinstance(one, errors.GatedRepoError) for one in _chain(error)):
        return Answer(403, "the repository is gated, and this token's account was not let in")
    if isinstance(error, absent):
        return None
    if isinstance(error, PermissionError) and not error.filename:
        return Answer(403, "Xet storage does not take this token")
    if type(error) is ConnectionError:
        return _xet_answer(str(error))
    response = _response(error)
    if response is not None:
        said = getattr(error, "server_message", None)
        reason = f"the Hub answered {response.status_code}{f': {said}' if said else ''}"
        return Answer(response.status_code, reason, response.headers.get("Retry-After"))
    failures = (*errors.HfHubHTTPError.__bases__, ValueError, RuntimeError, TypeError, LookupError, AttributeError)
    if not isinstance(error, failures) or getattr(error, "filename", None):
        return None
    lines = str(error).strip().splitlines()
    return Answer(None, f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}")


def _xet_answer(message: str) -> Answer:
    """Xet's client tells what a server said in words alone, with an address that may be signed. It asked again itself."""
    said = message.partition(", domain:")[0]
    refused = re.search(r"HTTP status client error \((401|403)", said)
    return Answer(int(refused[1]) if refused else FINAL, f"Xet storage: {said}")


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """The upstream repository whose bytes a source shall give: its kind, id and commit (None for a plain directory)."""

    name: str
    kind: Literal["model", "dataset", "directory"]
    id: str
    commit: str | None


AbsentPart = Literal["repository", "revision", "file"]


CODES: dict[AbsentPart, str] = {"repository": "repository-gone", "revision": "commit-gone", "file": "missing"}


class NotOnHub(Refused):
    """The Hub answered that there is no such repository, revision or file, as far as this token may see."""

    def __init__(self, subject: str, message: str, what: AbsentPart, hint: str) -> None:
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

    return ask_hub(f"{repository.name}: {repository.id}{f' at {revision}' if revision else ''}", call)


def check_access(repository: Repository) -> None:
    """Ask whether this token may read the files: a gated repository lists them to anybody. Raises as `ask` does."""

    def call() -> None:
        from huggingface_hub import HfApi

        HfApi().auth_check(repository.id, repo_type=repository.kind)

    ask_hub(f"{repository.name}: {repository.id}", call)


def ask_hub(what: str, call: Callable[[], T], progress: Callable[[], int] = lambda: 0) -> T:
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
