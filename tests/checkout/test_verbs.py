"""Who takes a whole project: the verbs, and nothing below them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.checkout.test_imports import MODULES

# The verbs; `assemble` of package and publish; `outline`, which draws a whole project for trace, report and publish; and a
# step of confirm, which generates.
VERBS = (
    "sources.pin.pin",
    "sources.pin.check_pins",
    "generation.encode.encode",
    "generation.generate.generate",
    "generation.generate.generate_changed",
    "generation.encoding.prune",
    "generation.generate.export",
    "generation.mteb_scores.export_results",
    "generation.inputs.import_vectors",
    "verification.verify_project.verify_project",
    "verification.verify_release.verify_receipts",
    "claims.check_claims.check_claims",
    "claims.import_claims.import_claims",
    "claims.import_claims.read_page",
    "claims.bind_claims.bind_claims",
    "claims.fill_claims.fill_claims",
    "claims.export_claims.export_claims",
    "claims.export_claims.export_scores",
    "tracing.trace.trace",
    "tracing.trace.outline",
    "report.report.report",
    "releases.package.assemble",
    "releases.publish.publish",
    "releases.confirm.confirm",
    "releases.confirm._confirmed",
)


def takers(tree: ast.AST, name: str) -> Iterator[str]:
    """Functions with a parameter, and classes with a field, whose type names Project, by their dotted names."""
    for node in ast.iter_child_nodes(tree):
        inner = f"{name}.{node.name}" if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else name
        annotation = node.annotation if isinstance(node, ast.arg | ast.AnnAssign) else None
        if annotation is not None and re.search(r"\bProject\b", ast.unparse(annotation)):
            yield name
        yield from takers(node, inner)


def test_a_parameter_or_field_of_the_type_is_found_at_any_depth() -> None:
    text = "class A:\n b: Project\n def c(self):\n  def d(*, e: 'Project | None' = None): ...\ndef f(g: ProjectFile): ..."
    assert [*takers(ast.parse(text), "m")] == ["m.A", "m.A.c.d"]


def test_only_verbs_take_a_whole_project() -> None:
    found = {name for module, path in MODULES.items() for name in takers(ast.parse(path.read_bytes()), module)}
    assert found == {*VERBS}
