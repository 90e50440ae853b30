"""GitHub's own OpenAPI description of its REST interface, and a check of answers and requests against it.

The description is the npm package `@octokit/openapi`. It is fetched once, with npm, and kept in a folder.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]

from tests.tools import ROOT

VERSION = "23.0.2"
CACHE = ROOT / ".aqea" / "test-cache"
MEMBER = "package/generated/api.github.com.json"
PREFIX = "#/components/schemas/"
# Answers that GitHub gives on any path, whether the path's description lists them or not.
EVERYWHERE = frozenset({400, 401, 403, 404, 422})


@functools.cache
def description(cache: Path = CACHE) -> Description:
    """The description; fetched with npm if it is not in the cache. Without npm there is nothing to check against: it fails."""
    path = cache / f"octokit-openapi-{VERSION}" / "api.github.com.json"
    if not path.is_file():
        _fetch(path)
    return Description(json.loads(path.read_bytes()))


def _fetch(target: Path) -> None:
    if shutil.which("npm") is None:
        raise AssertionError(f"npm is needed once, to fetch @octokit/openapi@{VERSION}: install npm, or put {target} there")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        words = ["npm", "pack", "--silent", f"@octokit/openapi@{VERSION}"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise AssertionError(f"npm could not fetch @octokit/openapi@{VERSION}: {done.stderr.strip()}")
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            member = archive.extractfile(MEMBER)
            assert member is not None, MEMBER
            part = Path(folder) / "description.json"
            part.write_bytes(member.read())
        part.replace(target)  # at once: several test processes may fetch at the same time


class Description:
    """What GitHub says that its paths take and answer."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._validators: dict[str, Any] = {}

    def check_answer(self, method: str, template: str, status: int, body: bytes) -> list[str]:
        """What is wrong with a JSON answer to this method on this path."""
        responses = self._operation(method, template)["responses"]
        found = responses.get(str(status))
        if found is None and status not in EVERYWHERE:
            return [f"{method} {template}: GitHub never answers {status}"]
        schema = self._schema(found or {})
        if schema is None and status < 400:
            return [f"{method} {template}: {status} has no body"] if body else []
        if schema is None:  # described without content, or not at all; it has its usual shape all the same
            names = ("validation-error", "basic-error") if status == 422 else ("basic-error",)
            schema = {"anyOf": [{"$ref": f"{PREFIX}{name}"} for name in names]}
        return self._errors(f"{method} {template}: {status}", schema, body)

    def check_request(self, method: str, template: str, body: bytes) -> list[str]:
        """What is wrong with a JSON request."""
        schema = self._schema(self._operation(method, template)["requestBody"])
        return self._errors(f"{method} {template}", schema or {}, body)

    def _operation(self, method: str, template: str) -> dict[str, Any]:
        operation: dict[str, Any] = self._document["paths"][template][method.lower()]
        return operation

    def _schema(self, response: dict[str, Any]) -> dict[str, Any] | None:
        if "$ref" in response:
            _, _, kind, name = response["$ref"].split("/")
            response = self._document["components"][kind][name]
        content = response.get("content", {}).get("application/json")
        schema: dict[str, Any] | None = content["schema"] if content else None
        return schema

    def _errors(self, where: str, schema: dict[str, Any], body: bytes) -> list[str]:
        try:
            value = json.loads(body)
        except ValueError:
            return [f"{where}: no JSON: {body[:80]!r}"]
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            known = self._document["components"]["schemas"]
            schemas = {name: _converted(known[name]) for name in _needed(schema, known)}
            _correct(schemas)
            root = {**_converted(schema), "components": {"schemas": schemas}}
            self._validators[key] = jsonschema.Draft202012Validator(root)
        return [f"{where}: {error.json_path}: {error.message}" for error in self._validators[key].iter_errors(value)]


def _correct(schemas: dict[str, Any]) -> None:
    """What the description says in words only: an upload that was cut leaves an asset in state `starter`."""
    if "release-asset" in schemas:
        schemas["release-asset"]["properties"]["state"]["enum"].append("starter")


def _needed(schema: Any, known: dict[str, Any]) -> set[str]:
    """The names of all schemas that a schema leads to."""
    found: set[str] = set()
    waiting = [schema]
    while waiting:
        for name in _references(waiting.pop()):
            if name not in found:
                found.add(name)
                waiting.append(known[name])
    return found


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix(PREFIX)
        schema = list(schema.values())
    if isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _converted(schema: Any) -> Any:
    """OpenAPI 3.0 to JSON Schema: `nullable`, and no fields in objects but those that are described."""
    if isinstance(schema, list):
        return [_converted(value) for value in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _converted(value) for name, value in schema.items() if name not in {"nullable", "example", "discriminator"}}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return {"anyOf": [made, {"type": "null"}]} if schema.get("nullable") is True else made
