"""Documents from outside come in through the guarded readers of `base`; what is read otherwise is listed, with the reason.

`base/strict.py` alone reads JSON and YAML: no key twice, no recursion that ends the program.
"""

from __future__ import annotations

import ast
import re

from tests.tools import ROOT

PACKAGE = ROOT / "aqea_registry"
RAW = {"read_text", "read_bytes"}  # of `pathlib`: of any size, and a pipe is waited for
ALLOWED = {
    ("base/extras.py", "package.read_text"): "the installation's own list",
    ("cli/beginning.py", "(installed if installed.exists() else package.parent / path).read_bytes"): "part of the program",
    ("cli/checking.py", "path.read_text"): "part of the program: its documentation",
    ("embedding/encoder.py", "Path('/proc/cpuinfo').read_text"): "of the system",
    ("sources/open_task.py", "(folder / path).read_text"): "pinned data, whose digest was checked",
    ("stores/hub_store.py", "given.read_bytes"): "a file of the release that was hashed before",
}


def test_no_document_from_outside_is_read_without_limits() -> None:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in RAW:
                found.add((path.relative_to(PACKAGE).as_posix(), ast.unparse(node.func)))
    own = {(path, call) for path, call in found if call.startswith("(files(__package__) / ")}  # part of the program
    assert found - own == {*ALLOWED}


PARSERS = re.compile(r"(json\.loads?|msgspec\.json\.decode|yaml\.(\w*load\w*|parse|compose\w*|scan))|.*\.(json|read)")
PARSED = {
    (
        "base/recognise.py",
        "json.loads",
    ): "a header of weights, bounded, of which only offsets are compared; strict.py imports it",
    ("embedding/encoder.py", "json.loads"): "as transformers reads it, which takes NaN and a key twice",
}


def test_json_and_yaml_are_read_in_one_place_and_nothing_is_read_to_an_end_that_nobody_knows() -> None:
    """`x.json()` of a response, and `x.read()` without a bound, are parsers and readers of their own as well."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            call = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            bound = isinstance(node, ast.Call) and (node.args or node.keywords) and call.endswith((".json", ".read"))
            if PARSERS.fullmatch(call) and not bound:
                found.add((path.relative_to(PACKAGE).as_posix(), call))
    assert {(path, call) for path, call in found if path != "base/strict.py"} == {*PARSED}
