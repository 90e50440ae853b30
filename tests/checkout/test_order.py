"""What the packages of servers and stores import, lazily or for types too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools import ROOT

PACKAGE = ROOT / "aqea_registry"


def imported(path: Path) -> Iterator[str]:
    """The packages of ours that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (name.split(".")[1] for name in names if name.startswith("aqea_registry."))


@pytest.mark.parametrize(
    ("modules", "allowed"),
    [
        ("base/sha256_list.py", {"base"}),
        ("remote/*.py", {"base", "remote"}),
        ("stores/**/*.py", {"base", "remote", "stores"}),
    ],
)
def test_no_project_is_imported(modules: str, allowed: set[str]) -> None:
    found = {path.name: set(imported(path)) - allowed for path in PACKAGE.glob(modules)}
    assert found
    assert {name: others for name, others in found.items() if others} == {}
