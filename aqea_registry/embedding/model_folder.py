"""Models that bring their own code: the code is run only from pinned files, and only where the catalogue says so.

A config may name its classes as `owner/name--module.Class`, which makes transformers fetch the module from the Hub. The files
are here and checked, so the config is read from a view of the folder in which the name is the local one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aqea_registry.base.files import write_bytes


def linked_view(folder: Path, view: Path, changes: Mapping[Path, bytes]) -> Path:
    """Make `view` a copy of a model's folder in which the files of `changes` have these bytes and all others are links."""
    for path in sorted(folder.rglob("*")):
        target = view / path.relative_to(folder)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif path in changes:
            write_bytes(target, changes[path])
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.absolute())
    return view


class CodeRefusedError(ValueError):
    """A model wants code to be run that the catalogue does not trust or that is not pinned with it."""


def refuse_code(folder: Path) -> None:
    """Raise CodeRefusedError if the model names code of its own.

    Without this, transformers would quietly load its own class of the same type, and the vectors would be another model's.
    """
    for path, config in _configs(folder):
        if config.get("auto_map"):
            raise CodeRefusedError(f"{path.name} names code of its own (auto_map), and the catalogue does not trust it")
    for module in _modules(folder):
        if not module.startswith("sentence_transformers."):
            raise CodeRefusedError(f"modules.json names {module}, and the catalogue does not trust it")


def view_with_local_code(folder: Path, repo: str, parent: Path) -> Path:
    """A folder in `parent` with the same files, whose configs name the code in it. Raises CodeRefusedError.

    The pinned folder itself is returned if its configs name local code already.
    """
    changed: dict[Path, bytes] = {}
    for path, config in _configs(folder):
        if isinstance(config.get("auto_map"), dict):
            local = {key: _local(value, repo, folder) for key, value in config["auto_map"].items()}
            if local != config["auto_map"]:
                changed[path] = json.dumps({**config, "auto_map": local}, indent=2).encode()
    return linked_view(folder, parent / folder.name, changed) if changed else folder


def _configs(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every JSON object in the folder that may configure something."""
    for path in sorted(folder.rglob("*.json")):
        try:
            config = json.loads(path.read_bytes())
        except ValueError:
            continue
        if isinstance(config, dict):
            yield path, config


def _modules(folder: Path) -> Iterator[str]:
    path = folder / "modules.json"
    if path.is_file():
        modules = json.loads(path.read_bytes())
        yield from (str(module.get("type", "")) for module in modules if isinstance(module, dict))


def _local(value: Any, repo: str, folder: Path) -> Any:
    if isinstance(value, list):
        return [_local(item, repo, folder) for item in value]
    if not isinstance(value, str):
        return value
    owner, separator, name = value.rpartition("--")
    if separator and owner != repo:
        raise CodeRefusedError(f"its code is in another repository, {owner}, which is not pinned with it")
    if not (folder / f"{name.partition('.')[0]}.py").is_file():
        raise CodeRefusedError(f"its code {name.partition('.')[0]}.py is not among the pinned files")
    return name
