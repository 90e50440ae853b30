"""What can be wrong: findings are data, exceptions mean that something could not be done or checked.

The codes are words that others script against; they are listed in docs/findings.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

CODES = frozenset(
    (
        *("broken-link", "claim-contradicted", "claim-stale", "claim-unbound", "commit-gone", "conflict", "duplicate", "gated"),
        *("lock-stale", "malformed", "mismatch", "missing", "not-a-release", "not-canonical", "pin-moved", "release-gone"),
        *("repository-gone", "repository-renamed", "tag-moved", "unexpected", "unpinned", "unreadable", "unsafe-model"),
        *("unsafe-path", "wrong-metric", "wrong-split"),
    )
)


class Finding(msgspec.Struct, frozen=True, gc=False):
    """One thing that is wrong: its code, what it is about, what was expected and what was there.

    `file` and `line` are where it stands, if it stands in a file and the subject does not name that.
    """

    code: str
    subject: str
    message: str
    expected: str | None = None
    actual: str | None = None
    file: str | None = None
    line: int | None = None

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"unknown finding code {self.code!r}")

    @property
    def text(self) -> str:
        """All of it but the code, on a line."""
        details = [f"; {name} {value}" for name in ("expected", "actual") if (value := getattr(self, name))]
        return f"{self.subject}: {self.message.removeprefix(f'{self.subject}: ')}{''.join(details)}"


def unread(subject: str, error: OSError, advice: str = "") -> Finding:
    """The finding for a file that could not be read."""
    code = "missing" if isinstance(error, FileNotFoundError | NotADirectoryError) else "unreadable"
    return Finding(code, subject, f"cannot be read: {error.strerror or error}{advice}")


class RegistryError(Exception):
    """Something could not be done. `hint` says what to do next, `findings` what was wrong, as data."""

    def __init__(self, message: str, hint: str | None = None, findings: Sequence[Finding] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.findings = tuple(findings)


class Refused(RegistryError):
    """The operation stopped because of findings, and wrote nothing."""

    def __init__(self, message: str, findings: Sequence[Finding] = (), hint: str | None = None) -> None:
        super().__init__(message, hint, findings)

    @classmethod
    def of(
        cls,
        code: str,
        subject: str,
        message: str,
        expected: str | None = None,
        actual: str | None = None,
        *,
        hint: str | None = None,
    ) -> Refused:
        """The refusal for one finding, which is all that there is to say."""
        finding = Finding(code, subject, message, expected, actual)
        difference = f": {actual}, not {expected}" if actual is not None and expected is not None else ""
        return cls(f"{subject}: {message}{difference}", [finding], hint)


class BadConfiguration(RegistryError):
    """params.yaml, the lock or the command line asks for something that cannot be."""


class CannotCheck(RegistryError):
    """Something needed for the answer is not here: a file, a source, a store, a package."""


def stopped(error: RegistryError | OSError) -> RegistryError:
    """An error of ours; of what a disk or a file system did not do, one is made."""
    if isinstance(error, RegistryError):
        return error
    path = f"{error.filename}: " if error.filename else ""
    hint = "what was there before is unchanged; fix this and run the command again"
    return CannotCheck(f"{path}{error.strerror or error}", hint)


class NotAllowed(RegistryError):
    """The credentials do not allow it."""


class TagConflict(RegistryError):
    """The tag already names other content. Tags never move."""


class Interrupted(RegistryError):
    """Somebody pressed Ctrl-C."""


_MOST_SEVERE_FIRST = (TagConflict, NotAllowed, Refused, CannotCheck, BadConfiguration)


def most_severe(errors: Sequence[RegistryError]) -> RegistryError | None:
    """Of the errors that stopped parts of an operation the one to end with; it takes the findings of all."""
    if not errors:
        return None
    first = min(errors, key=lambda error: [isinstance(error, kind) for kind in _MOST_SEVERE_FIRST].index(True))
    first.findings = tuple(finding for error in errors for finding in error.findings)
    return first


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first of some names for a message, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def suggestion(word: str, known: Iterable[str], otherwise: str | None = None, *, cutoff: float = 0.6) -> str | None:
    """What to do about an unknown word: take a known one that is like it, in any case of letters, else what is advised."""
    from difflib import get_close_matches

    by_letters = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_letters, 1, cutoff)
    return f"did you mean {by_letters[near[0]]!r}?" if near else otherwise


_KINDS = {"object": "a mapping", "array": "a list", "str": "a text", "int": "an integer", "float": "a number"}


def in_words(message: str) -> str:
    """What msgspec says of a value of a wrong kind, as people say it who write YAML."""
    quotes = "; write it in quotes" if re.search("Expected `str.*, got `(int|float|bool)`", message) else ""
    message, kinds = message.replace(" - at `$.", ", at `"), re.compile("(?<=Expected )`[a-z |]+`|(?<=got )`[a-z]+`")
    message = kinds.sub(lambda of: " or ".join(_KINDS.get(kind, kind) for kind in of[0].strip("`").split(" | ")), message)
    return message.replace(" - at `$`", "") + quotes


class Unchecked(NamedTuple):
    """Why something cannot be checked: a word of docs/claims.md, and a sentence."""

    reason: str
    message: str
