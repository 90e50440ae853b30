"""What differs between two releases: files, scores and pins, as a table of changes. Pure: it is told what both hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Literal

import msgspec

from aqea_registry.core.findings import BadConfiguration
from aqea_registry.core.metrics import Metrics
from aqea_registry.core.pins import parse_lock
from aqea_registry.core.release import Release

PINS = "pins.json"


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a release says: digests of files, scores by `pair set: metric`, and pins by name, each as text."""

    digest: str
    files: dict[str, str]
    metrics: dict[str, str]
    pins: dict[str, str]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not the same in both releases."""

    what: Literal["file", "metric", "pin"]
    name: str
    before: str | None
    after: str | None

    @property
    def state(self) -> str:
        """In a word."""
        return "added" if self.before is None else "removed" if self.after is None else "changed"


def is_told(path: str) -> bool:
    """Whether the contents of this file of a release are compared, and not its digest alone."""
    return path == PINS or (path.startswith("metrics/") and path.endswith(".json"))


def contents(release: Release, texts: Mapping[str, bytes]) -> Contents:
    """What a release says. `texts` holds the bytes of every file that `is_told`. Raises BadConfiguration for bad ones."""
    lock = parse_lock(texts[PINS], PINS) if PINS in texts else None
    pins = {**lock.datasets, **lock.models} if lock else {}
    scores: dict[str, str] = {}
    for path in sorted(set(texts) - {PINS}):
        try:
            values = msgspec.json.decode(texts[path], type=dict[str, object])
        except msgspec.MsgspecError as error:
            raise BadConfiguration(f"{path}: {error}") from error
        key = PurePosixPath(path).stem
        scores |= {f"{key}: {name}": repr(values[name]) for name in Metrics.__struct_fields__ if name in values}
    return Contents(
        digest=release.digest(),
        files={path: layer.digest for path, layer in release.files().items()},
        metrics=scores,
        pins={name: f"{pin.commit or 'no commit'}, files {pin.digest()[:16]}" for name, pin in pins.items()},
    )


def changes(before: Contents, after: Contents) -> list[Change]:
    """Every difference, files first, then scores, then pins; sorted by name."""
    pairs: tuple[tuple[Literal["file", "metric", "pin"], dict[str, str], dict[str, str]], ...] = (
        ("file", before.files, after.files),
        ("metric", before.metrics, after.metrics),
        ("pin", before.pins, after.pins),
    )
    return [
        Change(what=what, name=name, before=old.get(name), after=new.get(name))
        for what, old, new in pairs
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def previous(tag: str, tags: list[str]) -> str | None:
    """The greatest tag before this one, digits counted as numbers: v9 comes before v10. None if there is none."""
    before = [other for other in tags if _natural(other) < _natural(tag)]
    return max(before, key=_natural, default=None)


def notes(digest: str, since: str | None, found: list[Change] | None) -> str:
    """The release's notes in Markdown: its identity, and what changed since the release before it."""
    head = f"Release digest: `{digest}`\n\nCheck every file: `sha256sum -c MANIFEST.sha256`\n"
    if since is None:
        return f"{head}\nThe first release.\n"
    if found is None:
        return f"{head}\nThe release before this one is {since}; it could not be read.\n"
    if not found:
        return f"{head}\nNothing differs from {since}.\n"
    rows = [(one.what, one.name, one.state, _short(one.before), _short(one.after)) for one in found]
    lines = ["| what | name | | before | after |", "|---|---|---|---|---|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return f"{head}\nChanges since {since}:\n\n" + "\n".join(lines) + "\n"


def _short(text: str | None) -> str:
    return "" if text is None else text[:19] if text.startswith("sha256:") else text


def _natural(tag: str) -> list[tuple[int, int, str]]:
    """A pre-release (v2-rc1) comes before its release, as the end of a tag is more than a hyphen."""
    parts = re.findall(r"[0-9]+|[^0-9]+", tag)
    key = [(1, int(part), "") if part.isdigit() else (0 if part.startswith("-") else 2, 0, part) for part in parts]
    return [*key, (1, -1, "")]
