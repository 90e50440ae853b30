"""Who takes a whole project: the verbs, which the command line and the Python interface call, and nothing below them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.checkout.test_imports import MODULES, package_of


def takers(tree: ast.AST, name: str) -> Iterator[str]:
    """Functions with a parameter, and classes with a field, whose type names Project, by their dotted names."""
    for node in ast.iter_child_nodes(tree):
        inner = f"{name}.{node.name}" if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else name
        annotation = node.annotation if isinstance(node, ast.arg | ast.AnnAssign) else None
        if annotation is not None and re.search(r"\bProject\b", ast.unparse(annotation)):
            yield name
        yield from takers(node, inner)


def taken(tree: ast.AST) -> Iterator[str]:
    """What a module imports of the package and asks of the modules that it imports, by dotted names below aqea_registry."""
    names = [
        (alias.asname or alias.name, f"{node.module}.{alias.name}".removeprefix("aqea_registry."))
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    asked = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    for name, module in names:  # one name may be of several modules, each in a function
        yield module
        yield from (f"{module}.{node.attr}" for node in asked if isinstance(node.value, ast.Name) and node.value.id == name)


def test_a_parameter_or_field_of_the_type_is_found_at_any_depth() -> None:
    text = "class A:\n b: Project\n def c(self):\n  def d(*, e: 'Project | None' = None): ...\ndef f(g: ProjectFile): ..."
    assert [*takers(ast.parse(text), "m")] == ["m.A", "m.A.c.d"]


def test_what_a_command_calls_is_found_under_any_name() -> None:
    text = "from aqea_registry.m import f as g, n\ndef h():\n from aqea_registry import m as o\n return o.p(n.q)"
    assert {*taken(ast.parse(text))} == {"m.f", "m.n", "m", "m.p", "m.n.q"}


def test_only_verbs_take_a_whole_project() -> None:
    trees = {module: ast.parse(path.read_bytes()) for module, path in MODULES.items()}
    verbs = {name for module, tree in trees.items() if package_of(module) in ("api", "cli") for name in taken(tree)}
    found = {
        name for module, tree in trees.items() if package_of(module) not in ("api", "cli") for name in takers(tree, module)
    }
    assert len(found) > 20 and not found - verbs
