"""Writing to one repository on the Hugging Face Hub: who may, commits, tags, and pull requests of what one commit cannot hold.

The Hub moves main to what several commits made, without losing what others commit meanwhile, by merging a pull request alone.
The client's uploads repeat single requests after a 429 or a 5xx, at most five times, and never after another answer.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aqea_registry.base.files import WrongBytes
from aqea_registry.base.findings import Finding, NotAllowed, Refused
from aqea_registry.remote.hub_client import HubClient, commit_id, status_of
from aqea_registry.remote.retry import SLOWEST, entries, heard

BAD_REQUEST, CONFLICT, STALE = 400, 409, 412
OPEN = {"draft", "open"}  # a pull request that can still be merged


class HubWriter(HubClient):
    """One repository that is written to. All methods raise NotFound, NotAllowed, CannotCheck."""

    def check_write(self, exists: bool) -> None:
        """Ask whether this token may write, before anything is sent. Raises NotAllowed."""
        of_a_job = exists and os.environ.get("HF_OIDC_RESOURCE")  # such a token is of no user, and for one repository

        def lacks(api: Any) -> str:
            if not api.token:
                return "no token is set"
            return "" if of_a_job else _lacking(api.whoami(), self._repository, exists)

        if lacking := self._ask(f"{self._name}: who owns the token", lacks, to_write=True):
            raise NotAllowed(f"{self._name}: {lacking}", self._to_write())
        if exists:
            self._ask(f"{self._name}: may it write", lambda api: api.auth_check(**self._at, write=True), to_write=True)

    # What changes it

    def create(self) -> None:
        """Make the repository, if it is not there; who may see it is the Hub's default."""
        self._ask(f"{self._name}: making it", lambda api: api.create_repo(**self._at, exist_ok=True), to_write=True)

    def upload(self, additions: Sequence[Any]) -> None:
        """Send the bytes of files that the Hub keeps outside of git and has not yet; a commit of them then only names them."""

        def call(api: Any) -> None:
            heard(sum(addition.upload_info.size for addition in additions) / SLOWEST)
            api.preupload_lfs_files(**self._at, additions=additions, free_memory=False)

        self._ask(f"{self._name}: {len(additions)} files", call, to_write=True)

    def commit(self, parent: str | None, operations: Sequence[Any], title: str, notes: str, branch: str = "main") -> str | None:
        """Make one commit on top of `parent` and return its id; None if the branch is not there any more.

        The operations come from `addition` and `deletion`. Raises Refused if the Hub does not take the card.
        """

        def call(api: Any) -> str | None:
            heard(sum(map(in_git, operations)) / SLOWEST)
            said = {"commit_message": title, "commit_description": notes}
            try:
                made = api.create_commit(**self._at, **said, operations=operations, parent_commit=parent, revision=branch)
            except Exception as error:
                self._refuse_card(error)
                if status_of(error) == STALE:
                    return None
                raise
            return commit_id(made.oid)

        return self._ask(f"{self._name}: {title}", call, to_write=True)

    def tag(self, tag: str, commit: str) -> None:
        """Give a commit a tag. A tag of this name that is there already stays where it is: look at it afterwards."""

        def call(api: Any) -> None:
            # A 409 does not say whether the tag is on this commit or on another one, and exist_ok would say no more.
            try:
                api.create_tag(**self._at, tag=tag, revision=commit, exist_ok=False)
            except Exception as error:
                if status_of(error) != CONFLICT:
                    raise

        self._ask(f"{self._name}: the tag {tag}", call, to_write=True)

    def pull_request(self, title: str, text: str) -> tuple[int, str]:
        """The pull request of this title that can still be merged, or a new one: its number, and the commit that it is at."""

        def call(api: Any) -> tuple[int, str]:
            known = entries(api.get_repo_discussions(**self._at, discussion_type="pull_request"))
            mine = (request for request in known if request.title == title and request.status in OPEN)
            request = next(mine, None) or api.create_pull_request(**self._at, title=title, description=text)
            refs = api.list_repo_refs(**self._at, include_pull_requests=True).pull_requests or ()
            head = next((ref.target_commit for ref in refs if ref.ref == f"refs/pr/{request.num}"), None)
            return int(request.num), commit_id(head)

        return self._ask(f"{self._name}: {title}", call, to_write=True)

    def merge(self, number: int) -> None:
        """Have main moved to what a pull request holds. What cannot be merged is closed: look at main afterwards."""

        def call(api: Any) -> None:
            at = {**self._at, "discussion_num": number}
            known = entries(api.get_repo_discussions(**self._at, discussion_type="pull_request"))
            status = next((request.status for request in known if request.num == number), "")
            if status == "draft":
                api.change_discussion_status(**at, new_status="open")
            try:
                if status in OPEN:  # or it was merged by a request whose answer was lost
                    api.merge_pull_request(**at)
            except Exception as error:
                if status_of(error) not in {BAD_REQUEST, CONFLICT}:
                    raise
                api.change_discussion_status(**at, new_status="closed")

        self._ask(f"{self._name}: merging pull request {number}", call, to_write=True)

    def _refuse_card(self, error: Exception) -> None:
        """The client asks the Hub about the card's front matter before anything else, and says no with a ValueError."""
        if isinstance(error, ValueError) and status_of(error) == BAD_REQUEST and "README.md" in str(error):
            message = " ".join(str(error).split())
            finding = Finding(code="malformed", subject="README.md", message=message)
            raise Refused(f"{self._name}: the Hub refuses the card: {message}", [finding], "correct the card") from error


def addition(path: str, given: Path | bytes, sha256: str) -> Any:
    """A file for `HubWriter.commit`, to be stored under `path`. Raises WrongBytes if it has another sha256 (hex); OSError."""
    from huggingface_hub import CommitOperationAdd

    try:
        # Of a path, given as text, Xet reads the file itself.
        made = CommitOperationAdd(path, given if isinstance(given, bytes) else str(given))
    except ValueError as error:  # not a file
        raise OSError(str(error)) from error
    if made.upload_info.sha256.hex() != sha256:
        raise WrongBytes(made.upload_info.sha256.hex(), made.upload_info.size)
    return made


def deletion(path: str) -> Any:
    """A file for `HubWriter.commit` to delete."""
    from huggingface_hub import CommitOperationDelete

    return CommitOperationDelete(path, is_folder=False)


def in_git(operation: Any) -> int:
    """How many bytes go into the request of a commit: all of a file, but none of one that was uploaded outside of git."""
    info = getattr(operation, "upload_info", None)
    return info.size if info and operation._upload_mode != "lfs" else 0


def _lacking(who: Any, repository: str, exists: bool) -> str:
    """What the owner of a token, as the Hub describes both, lacks to write to a repository; "" if that is nothing."""
    owner, token = repository.partition("/")[0], (who.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read":
        return "the token can only read"
    if token.get("role") == "fineGrained":
        scopes = token["fineGrained"]["scoped"]
        granted = {scope["entity"].get("name") for scope in scopes if "repo.write" in scope["permissions"]}
        if not granted & {owner, repository}:
            return f"the fine-grained token lacks the right repo.write for {repository} or {owner}"
    owned = {org.get("name") for org in who.get("orgs", []) if org.get("roleInOrg") not in {"read", "no_access"}}
    if not exists and owner not in owned | {who.get("name")}:
        return f"there is no such repository, and {who.get('name')} cannot make one under {owner}"
    return ""
