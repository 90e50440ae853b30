"""What every source can do, the repository that it is asked for, and which source a line of params.yaml names."""

from __future__ import annotations

from io import RawIOBase
from pathlib import Path
from typing import Protocol

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.project.artefact import CatalogueEntry
from aqea_registry.remote.hub_client import Repository


class Source(Protocol):
    """Something with files under relative POSIX paths."""

    spec: str
    hint: str  # what a person can do so that this source is present

    def present(self) -> bool:
        """Whether it can be reached at all, as far as that is known without a request."""

    def paths(self) -> list[str]:
        """Every file it has, sorted. Raises OSError."""

    def open(self, path: str, limit: int) -> RawIOBase:
        """The bytes of one file; more than `limit` need not be given. Raises OSError; FileNotFoundError if there is none."""

    def local(self, path: str) -> Path | None:
        """Where the file is on this machine, or None if it is not here. Raises OSError if it must not be read."""


def sources_of(wanted: CatalogueEntry, commit: str | None) -> list[Source]:
    """The sources of a catalogue entry at a commit, in their order. Raises BadConfiguration."""
    repository = Repository(name=wanted.name, kind=wanted.entry.kind, id=wanted.entry.repo, commit=commit)
    return [open_source(spec, wanted.root, repository) for spec in wanted.sources]


KNOWN = "hub, cache, directory:PATH, package:NAME/PATH, or an fsspec URL such as s3://bucket/{id}/{commit}"


def open_source(spec: str, root: Path, repository: Repository) -> Source:
    """The source that a line of params.yaml names, for one repository.

    `hub` is the Hub at HF_ENDPOINT, `cache` the Hub cache of this machine. In paths and URLs `{name}`, `{kind}`, `{id}` and
    `{commit}` stand for the repository's. Relative directories start at `root`. Raises BadConfiguration for other kinds.
    """
    from aqea_registry.sources import kinds

    kind, _, rest = spec.partition(":")
    if spec == "hub" and repository.kind != "directory":
        return kinds.HubSource(repository, root / ".aqea" / "incoming")
    if spec == "cache" and repository.kind != "directory":
        return kinds.cache_source(repository)
    filled = _fill(spec, rest, repository)
    if "://" in spec:
        return kinds.MirrorSource(f"{kind}:{filled}")
    if kind == "directory" and filled:
        return kinds.directory_source(spec, filled, root)
    if kind == "package" and filled:
        return kinds.package_source(spec, filled)
    raise BadConfiguration(f"params.yaml: {spec!r} is not a source of {repository.name}; known are {KNOWN}")


def _fill(spec: str, text: str, repository: Repository) -> str:
    values = {"name": repository.name, "kind": repository.kind, "id": repository.id, "commit": repository.commit or ""}
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    if "{" in text or "}" in text:
        raise BadConfiguration(f"params.yaml: {spec!r}: only {{name}}, {{kind}}, {{id}} and {{commit}} can stand in a source")
    return text
