"""Imports go down only, heavy ones stay in their room, and the program starts at once."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools import ROOT

PACKAGE = ROOT / "aqea_registry"
MODULES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}

# What each room may import of the package, itself included. The command line may import everything.
BELOW = {
    "__init__.py": set(),
    "core": {"core"},
    "sources": {"sources", "core"},
    "embedding": {"embedding", "core"},
    "stores": {"stores", "core"},
    "operations": {"operations", "sources", "embedding", "stores", "core"},
    "terminal.py": {"core"},
    "__main__.py": {"cli"},
}
TOP = {"cli"}

WORKSHOP = {"torch", "sentence_transformers", "transformers"}
NETWORK = {
    "socket",
    "ssl",
    "http",
    "urllib",
    "requests",
    "httpx",
    "aiohttp",
    "fsspec",
    "huggingface_hub",
    "datasets",
    "github",
}
NOT_IN_CORE = NETWORK | WORKSHOP | {"click", "rich", "time", "datetime", "subprocess", "logging"}


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it: dotted names, with the names taken out of a package."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms(path: Path) -> set[str]:
    """The rooms of the package that a file imports from; of the package itself only the version is free to all."""
    own = [name.split(".")[1:] for name in imported(path) if name.split(".")[0] == "aqea_registry"]
    return {parts[0] if parts else "aqea_registry" for parts in own if parts != ["__version__"]}


def room_of(name: str) -> str:
    return name.split("/")[0]


def test_every_room_is_known() -> None:
    assert {room_of(name) for name in MODULES} == set(BELOW) | TOP


@pytest.mark.parametrize("name", [name for name in MODULES if room_of(name) not in TOP])
def test_imports_go_down(name: str) -> None:
    assert rooms(MODULES[name]) <= BELOW[room_of(name)]


@pytest.mark.parametrize("name", MODULES)
def test_only_the_workshop_imports_torch(name: str) -> None:
    tops = {module.split(".")[0] for module in imported(MODULES[name])}
    assert room_of(name) == "embedding" or not tops & WORKSHOP


@pytest.mark.parametrize("name", [name for name in MODULES if room_of(name) == "core"])
def test_the_core_knows_no_network_no_clock_and_no_terminal(name: str) -> None:
    tops = {module.split(".")[0] for module in imported(MODULES[name])}
    assert not tops & NOT_IN_CORE
    calls = [node.func for node in ast.walk(ast.parse(MODULES[name].read_bytes())) if isinstance(node, ast.Call)]
    assert "print" not in {call.id for call in calls if isinstance(call, ast.Name)}


@pytest.mark.parametrize("name", [name for name in MODULES if room_of(name) not in {*TOP, "terminal.py"}])
def test_only_the_command_line_knows_a_terminal(name: str) -> None:
    tops = {module.split(".")[0] for module in imported(MODULES[name])}
    assert not tops & {"click", "rich"}


def loaded_by(module: str) -> set[str]:
    """The top names of everything that one import loads, in a fresh interpreter."""
    script = f"import sys; before = set(sys.modules); import {module}; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


def third_party(names: set[str]) -> set[str]:
    return {name for name in names if name not in sys.stdlib_module_names and not name.startswith("_")}


HEAVY = WORKSHOP | {
    "datasets",
    "pyarrow",
    "scipy",
    "huggingface_hub",
    "rich",
    "dvc",
    "pandas",
    "matplotlib",
    "requests",
    "httpx",
}


@pytest.mark.parametrize(
    "module", ["verify", "publish", "pin", "manifest", "examine", "export", "generate", "project", "trace"]
)
def test_no_operation_loads_what_is_heavy_before_it_needs_it(module: str) -> None:
    assert not loaded_by(f"aqea_registry.operations.{module}") & HEAVY


def test_verify_loads_only_what_the_package_depends_on() -> None:
    found = third_party(loaded_by("aqea_registry.operations.verify"))
    assert found <= {"aqea_registry", "msgspec", "numpy", "yaml", "cython_runtime", "typing_extensions"}


def test_a_list_of_digests_needs_the_core_alone() -> None:
    """Half of the time to check a small list would go into NumPy."""
    found = third_party(loaded_by("aqea_registry.operations.verify_list"))
    assert found <= {"aqea_registry", "msgspec", "cython_runtime", "typing_extensions"}


def test_the_command_line_loads_click_alone() -> None:
    found = third_party(loaded_by("aqea_registry.cli"))
    assert "click" in found
    assert not found & {"numpy", "msgspec", "yaml", "rich"}
    assert found - {"click", "aqea_registry"} <= {"typing_extensions", "colorama"}
