"""Pins: one upstream repository fixed to a commit and to the digest and size of every file that we read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from aqea_registry.base.files import UnsafePath, safe_path
from aqea_registry.base.findings import BadConfiguration, Finding, Refused
from aqea_registry.base.strict import convert, convert_each, load_json
from aqea_registry.project.params import PICKLES, Commit, Dataset, Group, Model, Name, group_of

SCHEMA = "aqea-registry/pins/1"
LOCK = "manifests/pins.json"
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class PinnedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The only bytes that may stand under a path. `blob` is git's id of a small file, by which the Hub knows it."""

    sha256: Sha256
    size: Annotated[int, msgspec.Meta(ge=0)]
    blob: Commit | None = None


class Pin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One repository, fixed. A directory has no commit: its digests are its identity.

    `resolved_from` names the source whose bytes were hashed, `resolved_at` the day. Bytes of any other source than the Hub are
    only claimed to be the commit's, until the Hub confirms them. A pin without files is unresolved: its commit is known, its
    digests are not, and nothing can be made from it.
    """

    kind: Literal["model", "dataset", "directory"]
    id: str
    requested: str | None
    commit: Commit | None
    licence: str | None
    resolved_from: str | None
    resolved_at: str | None = None
    files: dict[str, PinnedFile]

    def __post_init__(self) -> None:
        if self.kind != "directory" and self.commit is None:
            raise ValueError("a pin of a Hub repository needs its 40-hex commit")
        for path in self.files:
            safe_path(path)

    @property
    def state(self) -> Literal["unresolved", "directory", "claimed", "resolved"]:
        """`unresolved` without digests, `directory` without a commit, `claimed` without the Hub's word for the commit."""
        if self.kind == "directory" or not self.files:
            return "directory" if self.files else "unresolved"
        return "resolved" if self.resolved_from == "hub" else "claimed"

    def commit_text(self) -> str:
        """The commit in words."""
        return f"{self.commit or 'no commit'}{' (claimed)' if self.state == 'claimed' else ''}"

    def digest(self) -> str:
        """Hex sha256 over paths and contents: the same for the same bytes, wherever they were pinned."""
        lines = "".join(f"{file.sha256}  {path}\n" for path, file in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


class Lock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All pins. Written by `pin`, read by everything, never edited by hand."""

    schema: Literal["aqea-registry/pins/1"] = "aqea-registry/pins/1"
    datasets: dict[Name, Pin] = {}
    models: dict[Name, Pin] = {}

    def get(self, name: str) -> Pin | None:
        """The pin of this name; no dataset has the name of a model."""
        return self.datasets.get(name) or self.models.get(name)

    def with_pin(self, group: Group, name: str, pin: Pin) -> Lock:
        """The lock with one entry put in or replaced."""
        return msgspec.structs.replace(self, **{group: {**getattr(self, group), name: pin}})


def render_lock(lock: Lock) -> bytes:
    """The lock's one spelling: sorted keys, two spaces, one final newline."""
    return (json.dumps(msgspec.to_builtins(lock), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def parse_lock(content: bytes, name: str = LOCK) -> Lock:
    """Read the lock. Raises BadConfiguration for anything that is not one: the field and the reason are named."""
    try:
        value = load_json(content, name)
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            raise BadConfiguration(f"{name}: schema: not {SCHEMA}")
        convert_each(value, "datasets", Pin, name)
        convert_each(value, "models", Pin, name)
        return convert(value, Lock, name)
    except UnsafePath as error:
        raise BadConfiguration(f"{name}: files: {error}") from error
    except BadConfiguration as error:
        way = error.hint or f"git checkout {name}, or remove it"
        raise BadConfiguration(error.message, f"{way}, then: aqea-registry pin") from error


def require_pin(name: str, entry: Dataset | Model, pin: Pin | None) -> Pin:
    """The pin of a catalogue entry. Raises Refused if there is none or it is of something else."""
    findings = pin_findings(name, entry, pin)
    if pin is None or findings:
        raise Refused(f"{findings[0].subject}: {findings[0].message}", findings)
    return pin


def pin_findings(name: str, entry: Dataset | Model, pin: Pin | None) -> list[Finding]:
    """What is wrong between a catalogue entry and its pin."""
    subject = f"{group_of(entry)}.{name}"
    if pin is None or not pin.files:
        state = "it is not pinned" if pin is None else f"only its commit {pin.commit} is known, no digests"
        return [Finding("unpinned", subject, f"{state}; run: aqea-registry pin {name}")]
    if isinstance(entry, Model):
        unsafe = [path for path in pin.files if path.endswith(PICKLES) and not entry.allow_pickle]
        unsafe += [path for path in pin.files if path.endswith(".py") and not entry.trust_remote_code]
        if unsafe:
            named = ", ".join(unsafe[:3])
            message = f"{named} can run any code, and params.yaml does not allow it; run: aqea-registry pin {name}"
            return [Finding("unsafe-model", subject, message)]
    wanted: Mapping[str, Any] = {"kind": entry.kind, "id": entry.repo, "requested": entry.revision}
    if entry.commit is not None:
        wanted = {**wanted, "commit": entry.commit}
    message = f"params.yaml and the lock name different things; run: aqea-registry pin {name}"
    return [
        Finding("lock-stale", f"{subject}.{field}", message, str(value), str(getattr(pin, field)))
        for field, value in wanted.items()
        if getattr(pin, field) != value
    ]
