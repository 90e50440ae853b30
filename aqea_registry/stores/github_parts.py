"""How a release lies in GitHub's flat list of assets, and what stands in its description. Pure.

A file is one asset: its path with `--` for `/`. GitHub takes no empty asset and none of 2 GiB or more, so such files are
sent in parts, none or several, and `parts.json` says which. `release.json` is the release's manifest, byte for byte.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Annotated, Any

import msgspec

from aqea_registry.core.findings import BadConfiguration
from aqea_registry.core.release import RECORD, Descriptor, Digest, Release

PARTS = "parts.json"
ATTACHMENT = "attachment."
PART = (2 << 30) - 1  # bytes: what GitHub takes as one asset
LONGEST_NOTES = 60_000  # characters; GitHub takes 125,000 in all
LONGEST_TEXT = 124_000
NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")  # what GitHub does not change
_MARKER = re.compile(r"^<!-- aqea-registry release (sha256:[0-9a-f]{64})(?: in work by ([0-9a-f]+))? -->$", re.MULTILINE)
_EMBEDDED = re.compile(r"^<!-- aqea-registry attachment ([A-Za-z0-9._-]+)\n([A-Za-z0-9+/=\n]*)-->$", re.MULTILINE)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One asset with a piece of a file."""

    name: str
    digest: Digest
    size: Annotated[int, msgspec.Meta(ge=1)]  # bytes


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is in parts."""

    digest: Digest
    parts: tuple[Part, ...]


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """`parts.json`: the files that are in parts, by path."""

    schema: str = "aqea-registry/parts/1"
    files: dict[str, Whole] = {}

    def render(self) -> bytes:
        """The asset's bytes."""
        return json.dumps(msgspec.to_builtins(self), sort_keys=True, indent=2).encode() + b"\n"


def asset_name(path: str) -> str:
    """The asset of a file that is in one piece."""
    return path.replace("/", "--")


def part_names(path: str, layer: Descriptor, part: int) -> tuple[str, ...] | None:
    """The assets of a file that must be sent in parts; None for one that is sent whole. `part` is in bytes."""
    if 0 < layer.size <= part:
        return None
    count = -(-layer.size // part)
    return tuple(f"{asset_name(path)}.part{number:03}" for number in range(1, count + 1))


def check_names(release: Release, part: int) -> None:
    """Raise BadConfiguration if GitHub would rename an asset of the release, or two would have one name."""
    taken: dict[str, str] = {RECORD: "the release's record", PARTS: "the list of parts"}
    for path, layer in sorted(release.files().items()):
        for name in part_names(path, layer, part) or (asset_name(path),):
            what, advice = f"{path} cannot be kept on GitHub", "give it another name in params.yaml"
            if not NAME.fullmatch(name) or name.startswith(ATTACHMENT):
                message = f"{what}: it takes letters, digits, '.', '_' and '-' in an asset's name, and would rename {name}"
                raise BadConfiguration(message, advice)
            if name.casefold() in taken:
                raise BadConfiguration(f"{what}: {taken[name.casefold()]} is the asset {name} too", advice)
            taken[name.casefold()] = path


# The release's description


def describe(notes: str, digest: str, owner: str | None = None) -> str:
    """The text of a release: the notes for people, then which release it is for programs; of a draft, whose it is."""
    notes = notes if len(notes) <= LONGEST_NOTES else f"{notes[:LONGEST_NOTES].rstrip()}\n\n[...]"
    work = f" in work by {owner}" if owner else ""
    return f"{notes.strip()}\n\n<!-- aqea-registry release {digest}{work} -->\n".lstrip()


def marked(text: str) -> tuple[str, str] | None:
    """The digest of the release that a text was made for, and whose draft it is or ""; None if it is none of ours."""
    found: list[tuple[str, str]] = _MARKER.findall(text.replace("\r\n", "\n"))
    return found[-1] if found else None


def embed(text: str, name: str, content: bytes) -> str:
    """The text with an attachment in a comment, which the release's page does not show."""
    return f"{text.rstrip()}\n\n<!-- aqea-registry attachment {name}\n{base64.encodebytes(content).decode()}-->\n"


def embedded(text: str) -> dict[str, bytes]:
    """The attachments in a text, by name. The first of a name stays."""
    found: dict[str, bytes] = {}
    for name, encoded in _EMBEDDED.findall(text.replace("\r\n", "\n")):
        try:
            found.setdefault(name, base64.b64decode(encoded.replace("\n", ""), validate=True))
        except binascii.Error:
            continue  # edited by hand; it is no document any more
    return found


def notice(content: bytes) -> str | None:
    """The line that tells readers of a release's page what a status document says; None if it says nothing."""
    try:
        said: Any = json.loads(content)
        state = said["state"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    if not isinstance(state, str) or not state.strip():
        return None
    by = f" by {_plain(said['by'])}" if said.get("by") else ""
    reason = f": {_plain(said['reason'])}" if said.get("reason") else ""
    return f"> **{_plain(state).capitalize()}**{by}{reason}"


def with_notice(text: str, line: str) -> str:
    """The text with a line at its top, once; the newest stands first."""
    return text if line in text.splitlines() else f"{line}\n\n{text}"


def _plain(value: object) -> str:
    """A value as one line of text in which nothing is markup of a comment."""
    return " ".join(str(value).split()).replace("<", "&lt;").replace(">", "&gt;")
