"""Values that are quoted from files: of the project, or of a pin, whose bytes are checked before they are believed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from aqea_registry.core.catalogue import load_yaml
from aqea_registry.core.claims import Quoted
from aqea_registry.core.files import open_regular
from aqea_registry.core.findings import BadConfiguration, Finding
from aqea_registry.core.judging import MALFORMED, Ground, Known, quoted_value
from aqea_registry.core.paths import UnsafePath, inside
from aqea_registry.core.pins import PinnedFile
from aqea_registry.core.plainyaml import load_plain_yaml
from aqea_registry.core.pointer import NoSuchValue, follow
from aqea_registry.core.printed import Unit
from aqea_registry.core.resolving import Missing
from aqea_registry.operations.project import CACHE, Project
from aqea_registry.sources.fetch import pinned_folder, wrong_bytes

LARGEST = 16 << 20  # bytes of a file that is quoted


class Quotations:
    """The files that a project's claims quote, each read once. `findings` grow with what is wrong with them.

    Without `here` pinned files are not looked for: some machines have them and others do not.
    """

    def __init__(self, project: Project, listed: dict[str, str], *, here: bool = True) -> None:
        self._project = project
        self._here = here
        self._listed = listed
        self._read: dict[tuple[str | None, str], tuple[Any, Ground] | Missing] = {}
        self.findings: list[Finding] = []

    def value(self, quoted: Quoted, unit: Unit) -> Known | Missing:
        """What stands at a quotation's place."""
        assert quoted.file is not None
        key = (quoted.pin, quoted.file)
        if key not in self._read:
            self._read[key] = self._load(*key)
        found = self._read[key]
        if isinstance(found, Missing):
            return found
        name = f"{quoted.pin}: {quoted.file}" if quoted.pin else quoted.file
        try:
            value = follow(found[0], quoted.at or "")
        except NoSuchValue as error:
            return Missing(MALFORMED, f"{name}: {error}")
        return quoted_value(unit, value, f"{name}#{quoted.at or ''}", found[1])

    def _load(self, pin: str | None, path: str) -> tuple[Any, Ground] | Missing:
        content = self._of_project(path) if pin is None else self._of_pin(pin, path)
        if isinstance(content, Missing):
            return content
        if len(content) > LARGEST:
            return Missing(MALFORMED, f"{path}: larger than {LARGEST >> 20} MiB")
        same = pin is not None or self._listed.get(path) == hashlib.sha256(content).hexdigest()
        try:
            return _parsed(path, content, trusted=pin is None), "bytes" if same else "prints"
        except (BadConfiguration, ValueError, RecursionError) as error:
            return Missing(MALFORMED, error.message if isinstance(error, BadConfiguration) else f"{path}: {error}")

    def _of_project(self, path: str) -> bytes | Missing:
        try:
            return _content(inside(self._project.root, path))
        except UnsafePath as error:
            return Missing(MALFORMED, f"{path[:200]!r}: {error}; not followed")
        except OSError as error:
            return Missing("missing-file", f"{path}: cannot be read: {error.strerror or error}")

    def _of_pin(self, name: str, path: str) -> bytes | Missing:
        """The bytes of a pinned file from any place on this machine that has them; no network is asked."""
        params, lock = self._project.params, self._project.lock
        entry = params.datasets.get(name) or params.models.get(name)
        pin = lock.datasets.get(name) or lock.models.get(name)
        if entry is None:
            return Missing(MALFORMED, f"there is no pin {name[:200]!r}; the catalogue has no such name")
        if pin is None or not pin.files:
            return Missing("unresolved", f"{name} has no digests yet; run: aqea-registry pin {name}")
        if path not in pin.files:
            return Missing("missing-file", f"{path[:200]} is none of the files of {name} that are pinned")
        if not self._here:
            return Missing("missing-file", f"{path} of {name} is no file of the checkout; run: aqea-registry claims check")
        wrong: list[Finding] = []
        places: list[tuple[str, Path | None]] = [
            ("its checked copy", pinned_folder(pin, self._project.root / CACHE / "pinned") / path)
        ]
        for source in self._project.sources(name, entry, pin.commit):
            try:
                places.append((source.spec, source.local(path) if source.present() else None))
            except OSError:
                continue
        for spec, place in places:
            content = _pinned_content(place, pin.files[path]) if place is not None else None
            if isinstance(content, bytes):
                return content
            if content is not None:
                wrong.append(wrong_bytes(f"{name}: {path} from {spec}", pin.files[path], content[0]))
        self.findings += wrong
        if wrong:
            return Missing("broken-chain", f"{wrong[0].subject}: {wrong[0].message}")
        return Missing("missing-file", f"no source on this machine has {path} of {name}")


def _content(place: Path) -> bytes:
    """A file's bytes, of a file that is too long as many as show it. Raises OSError."""
    with open_regular(place) as file:
        content = b""
        while len(content) <= LARGEST and (block := file.read(LARGEST + 1 - len(content))):
            content += block
    return content


def _pinned_content(place: Path, file: PinnedFile) -> bytes | tuple[str] | None:
    """The pinned bytes; what else is there, in a tuple; None if nothing is."""
    try:
        content = _content(place)
    except OSError:
        return None
    sha256 = hashlib.sha256(content).hexdigest()
    return content if (sha256, len(content)) == (file.sha256, file.size) else (f"{sha256} ({len(content)} bytes)",)


def _parsed(path: str, content: bytes, *, trusted: bool) -> Any:
    """The values of a JSON or YAML file, JSON numbers as they are spelled. Raises BadConfiguration and ValueError."""
    if path.endswith(".json"):
        return json.loads(content, parse_float=str, parse_int=str, object_pairs_hook=_no_duplicates)
    if path.endswith((".yaml", ".yml")):
        return load_yaml(content, path) if trusted else load_plain_yaml(content, path)
    raise ValueError("a value can be quoted from a .json, .yaml or .yml file only")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return values
