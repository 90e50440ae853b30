"""The way in: places that can supply pinned bytes. A source is never trusted; what it gives is checked against the pin."""

from __future__ import annotations

from pathlib import Path

from aqea_registry.core.findings import BadConfiguration
from aqea_registry.sources.base import Source


def open_source(spec: str, root: Path) -> Source:
    """The source that a line of params.yaml names: `directory:PATH` or `package:NAME[/PATH]`.

    Relative directories are relative to `root`, the project's folder. Raises BadConfiguration for other kinds.
    """
    from aqea_registry.sources.local import directory_source, package_source

    kind, separator, rest = spec.partition(":")
    openers = {"directory": directory_source, "package": package_source}
    if not separator or not rest or kind not in openers:
        known = ", ".join(f"{name}:..." for name in openers)
        raise BadConfiguration(f"params.yaml: {spec!r} is not a source; known are {known}")
    return openers[kind](spec, rest, root)
