"""The packages' order, the circles that there must not be, and what each command loads."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tools import ROOT

PACKAGE = ROOT / "aqea_registry"
ORDER = (
    "base",
    "documents",
    "vectors",
    "project",
    "remote",
    "sources",
    "stores",
    "attestations",
    "embedding",
    "generation",
    "verification",
    "claims",
    "comparison",
    "tracing",
    "report",
    "releases",
    "api",
    "cli",
)
TORCH = {"torch", "sentence_transformers", "transformers"}
TERMINAL = {"click", "rich"}


def modules() -> dict[str, Path]:
    """Every module of the seventeen packages, and `api`, by its dotted name below aqea_registry."""
    paths = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem == "api")
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


MODULES = modules()


def imported(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What a file imports, at any depth, for typing too: module and names."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield str(node.module), tuple(alias.name for alias in node.names)


def ours(path: Path) -> set[str]:
    """The modules of the package that a file imports, by their dotted names below aqea_registry."""
    found: set[str] = set()
    for module, names in imported(path):
        if module.split(".")[0] == "aqea_registry" and names != ("__version__",):
            inner = module.partition(".")[2]
            found |= {joined if (joined := f"{inner}.{name}".strip(".")) in MODULES else inner for name in names or ("",)}
    return found


ARROWS: Mapping[str, set[str]] = {name: ours(path) - {name} for name, path in MODULES.items()}


def package_of(module: str) -> str:
    return module.split(".")[0]


def test_the_packages_are_those_of_the_order() -> None:
    assert {package_of(name) for name in MODULES} == set(ORDER)


def test_a_package_imports_itself_and_those_above_it_only() -> None:
    against = [
        f"{name} -> {other}"
        for name, others in ARROWS.items()
        for other in others
        if ORDER.index(package_of(other)) > ORDER.index(package_of(name))
    ]
    assert not against


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports in functions and for typing counted: whatever a module's imports lead to never leads back to it."""
    left = {name: set(others) for name, others in ARROWS.items()}
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    assert not left


def imported_first(tree: ast.AST) -> Iterator[str]:
    """What an import of a module imports, by the first word: not what a function imports when it is called."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).split(".")[0]
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imported_first(node)


def test_what_is_imported_first_is_of_a_package_that_is_named() -> None:
    """One that another package happens to bring, or an earlier installation left, is missing on somebody else's machine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(line for lines in project["optional-dependencies"].values() for line in lines)]
    named, known = {canonicalize_name(Requirement(line).name) for line in asked}, metadata.packages_distributions()
    own = ("aqea_registry", "tests", "benchmarks")
    unnamed = {
        f"{path.relative_to(ROOT)}: {name}"
        for folder in own
        for path in (ROOT / folder).rglob("*.py")
        for name in {*imported_first(ast.parse(path.read_bytes()))} - {*own, *sys.stdlib_module_names}
        if not named & {canonicalize_name(package) for package in known.get(name, ())}
    }
    assert not unnamed


def test_torch_and_the_terminal_stay_in_one_package_each() -> None:
    for name, path in MODULES.items():
        tops = {module.split(".")[0] for module, _ in imported(path)}
        assert package_of(name) == "embedding" or not tops & TORCH, name
        assert package_of(name) == "cli" or not tops & TERMINAL, name


def reached(start: str) -> set[str]:
    """Every module that an import of `start` may lead to, imports in functions counted."""
    found, waiting = set[str](), [start]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += ARROWS[name]
    return found


def test_stores_know_no_project() -> None:
    found = {package_of(name) for module in MODULES if package_of(module) == "stores" for name in reached(module)}
    assert found == {"base", "remote", "stores"}


def test_publishing_leads_to_no_encoder() -> None:
    assert not {package_of(name) for name in reached("releases.publish")} & {"embedding", "generation"}


def test_a_list_leads_to_base_and_verification_alone() -> None:
    assert {package_of(name) for name in reached("verification.verify_list")} == {"base", "verification"}


def loaded_by(module: str) -> set[str]:
    """Everything that one import loads, in a fresh interpreter."""
    script = f"import sys; before = set(sys.modules); import {module}; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def third_party(loaded: set[str]) -> set[str]:
    names = {name.split(".")[0] for name in loaded}
    return {name for name in names if name not in sys.stdlib_module_names and not name.startswith("_")}


HEAVY = TORCH | {"datasets", "pyarrow", "scipy", "huggingface_hub", "rich", "dvc", "pandas", "matplotlib", "requests", "httpx"}
VERBS = (
    "verification.verify_project",
    "releases.publish",
    "sources.pin",
    "vectors.containers.pair_json",
    "generation.generate",
    "project.project",
    "tracing.trace",
)


@pytest.mark.parametrize("module", VERBS)
def test_no_verb_loads_what_is_heavy_before_it_needs_it(module: str) -> None:
    assert not third_party(loaded_by(f"aqea_registry.{module}")) & HEAVY


def test_verify_loads_only_what_the_package_depends_on() -> None:
    found = third_party(loaded_by("aqea_registry.verification.verify_project"))
    assert found <= {"aqea_registry", "msgspec", "numpy", "yaml", "cython_runtime", "typing_extensions"}


def test_a_list_of_digests_loads_base_and_verification_alone() -> None:
    """Half of the time to check a small list would go into NumPy."""
    loaded = loaded_by("aqea_registry.verification.verify_list")
    assert third_party(loaded) <= {"aqea_registry", "msgspec", "cython_runtime", "typing_extensions"}
    assert {package_of(name.partition(".")[2]) for name in loaded if name.startswith("aqea_registry.")} == {
        "base",
        "verification",
    }


def modules_after(*words: str, cwd: Path) -> set[str]:
    """The parts of this package that a command has loaded, in a fresh interpreter."""
    script = """if True:
        import sys
        from aqea_registry.cli import main
        try:
            main(sys.argv[1:])
        except SystemExit as ended:
            assert not ended.code, ended.code
        print(*(name for name in sys.modules if name.startswith("aqea_registry.")))
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=True
    )
    return {package_of(name.partition(".")[2]) for name in done.stdout.splitlines()[-1].split()}


def test_a_command_on_a_list_loads_nothing_of_projects(tmp_path: Path) -> None:
    (tmp_path / "sums").write_text(f"{hashlib.sha256(b'').hexdigest()}  empty\n")  # it could be a tag, by its name
    (tmp_path / "empty").touch()
    assert modules_after("verify", "sums", cwd=tmp_path) <= {"", "api", "base", "cli", "verification"}


def test_publishing_pair_sets_loads_no_encoder(project: Path) -> None:
    assert not modules_after("publish", "--tag", "v1", "--to", "oci:kept", cwd=project) & {"embedding", "generation"}


def test_a_release_is_verified_without_numpy() -> None:
    assert "numpy" not in third_party(loaded_by("aqea_registry.verification.verify_release"))


def test_the_command_line_loads_click_alone() -> None:
    found = third_party(loaded_by("aqea_registry.cli"))
    assert "click" in found
    assert not found & {"numpy", "msgspec", "yaml", "rich"}
    assert found - {"click", "aqea_registry"} <= {"typing_extensions", "colorama"}
