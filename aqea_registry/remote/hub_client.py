"""The client of one repository on the Hugging Face Hub, for pins and for releases, through the Hub's own client.

That client is imported only when it is needed. It reads HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE; its progress bars
and warnings are switched off, because ours report. Bytes are downloaded here: resumed, bounded, and not into the user's own
cache. What changes a repository is in `hub_writer`.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

from aqea_registry.base.extras import require
from aqea_registry.base.findings import CannotCheck, Finding, NotAllowed, Refused
from aqea_registry.base.progress import keep_secret
from aqea_registry.remote import answers, retry
from aqea_registry.remote.retry import LONGEST_WAIT, TOO_MANY, Download, attempting, entries, from_offset, heard, with_retries

T = TypeVar("T")
HUB = "the Hub"
COMMIT = re.compile(r"[0-9a-f]{40}")
RANGE_NOT_SATISFIABLE = 416
FILE = "aqea-registry: a file"  # marks a request whose answer is read as a stream
WITHOUT_XET = "HF_HUB_DISABLE_XET=1 sends files without Xet storage, which this Hub may not have"
Part = Literal["repository", "revision", "file"]
_ABSENT: dict[Part, tuple[str, str]] = {
    "repository": ("repository-gone", "the Hub has no such repository, or it is private"),
    "revision": ("commit-gone", "the Hub has no such revision"),
    "file": ("missing", "the commit has no such file"),
}


class NotFound(Refused):
    """The Hub answered that there is no such repository, revision or file, as far as this token may see."""

    def __init__(self, subject: str, part: Part) -> None:
        code, message = _ABSENT[part]
        hint = "check the names in params.yaml; for a private repository set HF_TOKEN to a token that may read it"
        super().__init__(f"{subject}: {message}", [Finding(code=code, subject=subject, message=message)], hint)
        self.part = part


class RemoteFile(NamedTuple):
    """A file of a commit as the Hub describes it: `sha256` (hex) of a large one, git's `blob` id of any other."""

    size: int  # bytes
    sha256: str | None
    blob: str | None


class RepositoryInfo(NamedTuple):
    """One commit of a repository as the Hub describes it. `id` is what the Hub calls the repository now."""

    id: str
    commit: str
    licence: str | None
    files: dict[str, RemoteFile]


class RepositoryRefs(NamedTuple):
    """The commit of the main branch, None before the first one, and the commits of the tags."""

    head: str | None
    tags: Mapping[str, str]


class Repository(NamedTuple):
    """An entry of params.yaml: its name there, and the upstream repository and commit (None for a plain directory)."""

    name: str
    kind: Literal["model", "dataset", "directory", "given"]
    id: str
    commit: str | None

    def client(self) -> HubClient:
        """The client that asks the Hub about it."""
        return HubClient(self.id, "model" if self.kind == "model" else "dataset", f"{self.name}: {self.id}")


def git_blob(content: bytes) -> str:
    """The id that git gives to a file with these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def offline() -> bool:
    """Whether the user's environment keeps the Hub's client offline."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in names)


class HubClient:
    """One repository; `name` is what messages and findings call it. All methods raise NotFound, NotAllowed, CannotCheck."""

    def __init__(self, repository: str, kind: Literal["dataset", "model"] = "dataset", name: str | None = None) -> None:
        self._repository = repository
        self._kind = kind
        self._at = {"repo_id": repository, "repo_type": kind}
        self._name = name or f"hf://{kind}s/{repository}"

    @property
    def address(self) -> str:
        """Where people see a dataset."""
        return f"{_endpoint()}/datasets/{self._repository}"

    # What is there

    def info(self, revision: str | None) -> RepositoryInfo:
        """What a revision (None: the main branch) is now: commit, licence, and every file."""

        def call(api: Any) -> RepositoryInfo:
            from huggingface_hub import constants

            timeout = constants.HF_HUB_ETAG_TIMEOUT
            described = api.repo_info(**self._at, revision=revision, files_metadata=True, timeout=timeout)
            commit = commit_id(described.sha)
            if not isinstance(described.id, str):
                raise answers.NoAnswer("the Hub names no repository where there must be one")
            licence = described.card_data.get("license") if described.card_data else None
            files = {file.rfilename: _remote_file(file) for file in described.siblings or ()}
            return RepositoryInfo(described.id, commit, licence if isinstance(licence, str) else None, files)

        return self._ask(f"{self._name} at {revision}" if revision else self._name, call)

    def refs(self) -> RepositoryRefs | None:
        """Branches and tags now; None if there is no such repository, or none that this token may see."""

        def call(api: Any) -> RepositoryRefs:
            listed = api.list_repo_refs(**self._at)
            heads = [commit_id(branch.target_commit) for branch in listed.branches if branch.name == "main"]
            tags = {str(tag.name): commit_id(tag.target_commit) for tag in listed.tags}
            return RepositoryRefs(heads[0] if heads else None, tags)

        try:
            return self._ask(f"{self._name}: its tags", call)
        except NotFound:
            return None

    def tree(self, commit: str, folder: str | None = None) -> dict[str, RemoteFile]:
        """Every file of a commit, or of a folder in it; a missing folder is empty."""

        def call(api: Any) -> dict[str, RemoteFile]:
            listed = api.list_repo_tree(**self._at, path_in_repo=folder, recursive=True, revision=commit)
            return {file.path: _remote_file(file) for file in entries(listed) if hasattr(file, "blob_id")}

        try:
            return self._ask(f"{self._name}: the files of {commit}", call)
        except NotFound:
            if folder is None:
                raise
            return {}

    def stream(self, commit: str | None, path: str, size: int, offset: int) -> Download:
        """A file's bytes from `offset` on, `size` being where it ends at the latest. Nothing is requested before it is read."""
        what = f"{self._name}: {path}"
        return Download(size, offset, lambda at: self._blocks(commit, path, at), partial(self._retrying, what))

    def read(self, commit: str, path: str, limit: int) -> bytes:
        """A small file of a commit, at most `limit` + 1 bytes of it."""
        with self.stream(commit, path, limit + 1, 0).buffered() as incoming:
            return incoming.read(limit + 1)

    # Who may

    def check_read(self) -> None:
        """Ask whether this token may read the files: a gated repository lists them to anybody."""
        self._ask(self._name, lambda api: api.auth_check(**self._at))

    # How it is asked

    def _ask(self, what: str, call: Callable[[Any], T], *, to_write: bool = False) -> T:
        """Call with the Hub's client, again where waiting helps."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"huggingface_hub\.")
            return self._retrying(what, lambda: call(self._api()), to_write)

    def _retrying(self, what: str, call: Callable[[], T], to_write: bool = False) -> T:
        require("the Hugging Face Hub")
        from huggingface_hub import errors

        hint = self._to_write() if to_write else f"set HF_TOKEN to a token that may read {self._repository}"
        try:
            return with_retries(what, call, partial(_explain, to_write=to_write), hint, _endpoint())
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError) as error:
            of_all = isinstance(error, errors.RepositoryNotFoundError)
            if of_all and to_write:  # so the Hub answers those who may not know of it
                raise NotAllowed(f"{what}: the Hub has no such repository for this token", hint) from error
            revision = isinstance(error, errors.RevisionNotFoundError)
            raise NotFound(what, "repository" if of_all else "revision" if revision else "file") from error

    def _api(self) -> Any:
        """The Hub's client. Raises CannotCheck if it must stay offline."""
        from huggingface_hub import HfApi, get_session, get_token
        from huggingface_hub.utils import disable_progress_bars, logging  # type: ignore[attr-defined]

        if offline():
            raise CannotCheck(f"{self._name}: HF_HUB_OFFLINE keeps the Hub's client offline", "unset HF_HUB_OFFLINE")
        logging.set_verbosity(50)  # nothing below critical
        disable_progress_bars()
        session = get_session()
        session.timeout = retry.PATIENCE  # the client itself would wait for ever
        if "send" not in vars(session):
            session.send = partial(_send, session.send)  # type: ignore[method-assign]
        hooks = session.event_hooks["response"]
        session.event_hooks["response"] = [*(hook for hook in hooks if hook is not _read_answer), _read_answer]  # in any thread
        token = get_token()
        keep_secret(token)
        return HfApi(endpoint=_endpoint(), token=token or False)

    def _blocks(self, commit: str | None, path: str, offset: int) -> Generator[bytes, None, None]:
        from huggingface_hub import constants, get_session, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

        url = hf_hub_url(self._repository, path, repo_type=self._kind, revision=commit, endpoint=_endpoint())
        # Not compressed: a range counts the bytes that are sent.
        headers = build_hf_headers(token=self._api().token) | {"Accept-Encoding": "identity", **retry.range_from(offset)}
        ask = partial(get_session().stream, "GET", url, headers=headers, follow_redirects=True, extensions={FILE: True})
        with ask(timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as response:
            if offset and response.status_code == RANGE_NOT_SATISFIABLE:
                return  # there is nothing from there on
            hf_raise_for_status(response)
            yield from from_offset(response.iter_bytes(), offset, response.status_code)

    def _to_write(self) -> str:
        return f"HF_TOKEN needs write access to {self._repository.partition('/')[0]} at {_endpoint()}"


def commit_id(sha: object) -> str:
    """A commit's id, out of an answer."""
    if not isinstance(sha, str) or not COMMIT.fullmatch(sha):
        raise answers.NoAnswer("the Hub names no commit where there must be one")
    return sha


def _send(send: Callable[..., Any], request: Any, **how: Any) -> Any:
    """Send a request of the client. What it writes it would ask for again itself, six times, of a server that is silent."""
    try:
        return send(request, **how)
    except Exception as error:
        if request.method in {"POST", "PUT"} and "Timeout" in type(error).__name__:
            raise retry.Silence(answers.NO_ANSWER) from error
        raise


def _read_answer(response: Any) -> None:
    """Read an answer before the client does, of the Hub's API only JSON; not a file's, and not those to other callers."""
    if not attempting() or (FILE in response.request.extensions and response.is_success):
        return
    if response.status_code == TOO_MANY:
        # The client may wait itself before it asks again.
        heard(min(answers.number_in(_wait(response)) or 0.0, LONGEST_WAIT))
    kind = response.headers.get("Content-Type", "") if response.is_success and response.request.method == "GET" else None
    response._content = answers.whole_answer(response.iter_bytes(), HUB, kind)


def _wait(response: Any) -> str | None:
    """The seconds after which the Hub will answer again: its window ends then, or it says so."""
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

    window = parse_ratelimit_headers(response.headers)
    return str(window.reset_in_seconds + 1) if window and not window.remaining else response.headers.get("Retry-After")


def _remote_file(file: Any) -> RemoteFile:
    return RemoteFile(file.size or 0, file.lfs.sha256 if file.lfs else None, None if file.lfs else file.blob_id)


def _endpoint() -> str:
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def _response_of(error: Exception) -> Any:
    responses = (getattr(cause, "response", None) for cause in answers.causes(error))
    return next((response for response in responses if response is not None), None)


def status_of(error: Exception) -> object:
    """The HTTP status that the client failed with, if it was one."""
    return getattr(_response_of(error), "status_code", None)


def _explain(error: Exception, to_write: bool) -> answers.Failure | None:
    """Why the client failed. An answer of another shape than it expects breaks it in its own ways."""
    from huggingface_hub import errors

    if isinstance(error, errors.OIDCError):
        return answers.Failure(403, str(error), hint="unset HF_OIDC_RESOURCE, and set HF_TOKEN")
    if any(isinstance(cause, errors.GatedRepoError) for cause in answers.causes(error)):
        hint = "accept its terms on the Hub, and set HF_TOKEN to a token of that account"
        return answers.Failure(403, "the repository is gated, and this token's account was not let in", hint=hint)
    if isinstance(error, errors.RepositoryNotFoundError | errors.RevisionNotFoundError | errors.RemoteEntryNotFoundError):
        return None
    if isinstance(error, PermissionError) and not error.filename:
        return answers.Failure(403, "Xet storage does not take this token", hint=WITHOUT_XET)
    if type(error) is ConnectionError:  # Xet's, which tried again itself: words alone, with an address that may be signed
        detail, _, address = str(error).partition(", domain:")
        refused = re.search(r"HTTP status client error \((401|403)", detail)
        where = f" at {answers.quotable(address)}" if address else ""
        return answers.Failure(int(refused[1]) if refused else answers.FINAL, f"Xet storage{where}: {detail}", hint=WITHOUT_XET)
    response = _response_of(error)
    if response is not None:
        words = getattr(error, "server_message", None)
        reason = f"{_who(str(response.url))} answered {response.status_code}{f': {words}' if words else ''}"
        xet = WITHOUT_XET if "/xet-" in str(response.url) else None
        return answers.Failure(response.status_code, reason, _wait(response), xet)
    failure = answers.unreached(error, _who, HUB)
    if failure is not None and to_write and failure.reason.startswith("the address "):
        return failure._replace(status=answers.FINAL)  # the client asked its storage again itself
    return failure


def _who(url: str | None) -> str:
    """Who is asked at an address."""
    return answers.party(url, _endpoint(), HUB)
