"""What later versions answer otherwise than 0.1.0, on purpose: one entry a reason.

An entry names the commands and projects by globs, the places in the answer by globs over `/`-joined keys, and why.
"""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    """Places of answers that are not 0.1.0's any more, and the reason."""

    reason: str
    commands: tuple[str, ...]
    places: tuple[str, ...] = ("*",)
    projects: tuple[str, ...] = ("*",)


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        reason="A fault of YAML is named with line and column first, and a node's `broken` is that message",
        commands=("trace *",),
        places=("/json/nodes",),
        projects=("dvc-lock-malformed",),
    ),
    Difference(
        reason="The report page in a release quotes verdicts, and their sentences changed: a release made now is not v1",
        commands=("compare oci:releases:v1 oci:fresh:v2",),
        places=("/json/changes", "/json/ok", "/json/verdict", "/status"),
    ),
)
