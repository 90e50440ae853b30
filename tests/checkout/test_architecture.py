"""docs/architecture.md says what is: packages and their order, imports, paths, and modules without effects."""

from __future__ import annotations

import ast
import re

import pytest

from tests.checkout.test_imports import ARROWS, MODULES, ORDER, PACKAGE, package_of
from tests.tools import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text()
EFFECTS = {
    "concurrent", "datetime", "fcntl", "http", "huggingface_hub", "mmap", "multiprocessing", "os", "platform", "random",
    "requests", "shutil", "socket", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip
CALLS = {
    "exists", "glob", "input", "is_dir", "is_file", "iterdir", "mkdir", "open", "print", "read_bytes", "read_small",
    "read_text", "rglob", "stat", "symlink_to", "unlink", "write_bytes", "write_text",
}  # fmt: skip


def imports() -> dict[str, set[str]]:
    """The packages that each package imports, itself left out."""
    found: dict[str, set[str]] = {name: set() for name in ORDER}
    for module, others in ARROWS.items():
        found[package_of(module)] |= {package_of(other) for other in others} - {package_of(module)}
    return found


def reduced(arrows: dict[str, set[str]]) -> set[tuple[str, str]]:
    """The arrows that do not follow from others."""

    def below(name: str) -> set[str]:
        return arrows[name].union(*map(below, arrows[name]))

    return {(name, other) for name in arrows for other in arrows[name] if all(other not in below(it) for it in arrows[name])}


def test_arrows_that_follow_from_others_are_left_out() -> None:
    assert reduced({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {("a", "b"), ("b", "c")}


def test_the_picture_shows_the_imports() -> None:
    (picture,) = re.findall(r"```mermaid\nflowchart LR\n(.*?)```", PAGE, re.DOTALL)
    drawn = [tuple(line.strip().split(" --> ")) for line in picture.splitlines()]
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == reduced(imports())


def test_the_table_lists_the_packages_in_their_order() -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == ORDER


def test_the_paths_of_the_page_exist() -> None:
    words = re.findall(r"`([\w.-]+(?:/[\w.-]+)+)`", PAGE)
    assert len(words) > 20
    assert [path for path in words if not (ROOT / path).exists() and not (PACKAGE / path).exists()] == []


PURE = [
    f"{package}.{module}"
    for package, modules in re.findall(r"^    (\w+) +([\w. ]+)$", PAGE.split("## Pure modules")[1], re.MULTILINE)
    for module in modules.split()
]


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_has_no_effects(name: str) -> None:
    for node in ast.walk(ast.parse(MODULES[name].read_bytes())):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & EFFECTS
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in EFFECTS
        elif isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            assert called not in CALLS, f"line {node.lineno}"
