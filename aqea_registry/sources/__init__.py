"""The way in: places that can supply pinned bytes. A source is never trusted; what it gives is checked against the pin."""

from __future__ import annotations

from pathlib import Path

from aqea_registry.core.findings import BadConfiguration
from aqea_registry.sources.base import Repository, Source

KNOWN = "hub, cache, directory:PATH, package:NAME/PATH, or an fsspec URL such as s3://bucket/{id}/{commit}"


def open_source(spec: str, root: Path, repository: Repository) -> Source:
    """The source that a line of params.yaml names, for one repository.

    `hub` is the Hub at HF_ENDPOINT, `cache` the Hub cache of this machine. In paths and URLs `{name}`, `{kind}`, `{id}` and
    `{commit}` stand for the repository's. Relative directories start at `root`. Raises BadConfiguration for other kinds.
    """
    from aqea_registry.sources import hub, local, mirror

    kind, _, rest = spec.partition(":")
    if spec == "hub" and repository.kind != "directory":
        return hub.HubSource(repository, root / ".aqea" / "incoming")
    if spec == "cache" and repository.kind != "directory":
        return hub.cache_source(repository)
    filled = _fill(spec, rest, repository)
    if "://" in spec:
        return mirror.MirrorSource(f"{kind}:{filled}")
    if kind == "directory" and filled:
        return local.directory_source(spec, filled, root)
    if kind == "package" and filled:
        return local.package_source(spec, filled)
    raise BadConfiguration(f"params.yaml: {spec!r} is not a source of {repository.name}; known are {KNOWN}")


def _fill(spec: str, text: str, repository: Repository) -> str:
    values = {"name": repository.name, "kind": repository.kind, "id": repository.id, "commit": repository.commit or ""}
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    if "{" in text or "}" in text:
        raise BadConfiguration(f"params.yaml: {spec!r}: only {{name}}, {{kind}}, {{id}} and {{commit}} can stand in a source")
    return text
