"""What became of a release after it was published: superseded or withdrawn, with a reason. It is never deleted for that.

Such a mark is a document beside the release, one more for each change: `status-1.json`, `status-2.json`; the last one counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

SCHEMA = "aqea-registry/status/1"
NAME = re.compile(r"status-([1-9][0-9]{0,5})\.json")


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """One mark. `by` is the tag that supersedes."""

    schema: str = SCHEMA
    digest: str
    state: Literal["superseded", "withdrawn"]
    reason: str
    by: str | None = None

    def render(self) -> bytes:
        """The document's bytes."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def text(self) -> str:
        """For people."""
        return f"superseded by {self.by}: {self.reason}" if self.state == "superseded" else f"withdrawn: {self.reason}"


def current(attachments: Mapping[str, bytes], digest: str) -> Status | None:
    """The last mark that speaks of this release. A document that cannot be read is no mark."""
    found: Status | None = None
    for _, name in sorted(_numbered(attachments)):
        try:
            status = msgspec.json.decode(attachments[name], type=Status)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        if status.schema == SCHEMA and status.digest == digest:
            found = status
    return found


def next_name(attachments: Mapping[str, bytes]) -> str:
    """The name of one more mark."""
    return f"status-{max((number for number, _ in _numbered(attachments)), default=0) + 1}.json"


def _numbered(attachments: Mapping[str, bytes]) -> list[tuple[int, str]]:
    return [(int(match[1]), name) for name in attachments if (match := NAME.fullmatch(name))]
