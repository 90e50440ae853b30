"""What the store refuses. The names are those that the Hub sends in X-Error-Code, where it has one."""

from __future__ import annotations


class Refused(Exception):
    """The store did not do what it was asked. `status` and `code` are the Hub's answer to it."""

    status = 400
    code = ""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status or self.status


class TooMany(Refused):
    """Too many of something in some time; in `wait` seconds there is room again."""

    status = 429

    def __init__(self, message: str, wait: int) -> None:
        super().__init__(message)
        self.wait = wait


class RepoNotFound(Refused):
    status = 404
    code = "RepoNotFound"


class RevisionNotFound(Refused):
    status = 404
    code = "RevisionNotFound"


class EntryNotFound(Refused):
    status = 404
    code = "EntryNotFound"

    def __init__(self, message: str, commit: str = "") -> None:
        super().__init__(message)
        self.commit = commit


class Exists(Refused):
    status = 409


class Stale(Refused):
    """The branch is no longer where the caller thought."""

    status = 412


class Unauthorized(Refused):
    """No token, or one that the Hub does not know."""

    status = 401

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Forbidden(Refused):
    """A good token that may not do this."""

    status = 403

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code
