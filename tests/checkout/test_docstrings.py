"""The packages' docstrings are maps with examples, and the examples run."""

from __future__ import annotations

import doctest
import importlib
import re

import pytest

from tests.checkout.test_imports import MODULES, ORDER

PACKAGES = sorted(name for name, path in MODULES.items() if path.name == "__init__.py")


@pytest.mark.parametrize("name", PACKAGES)
def test_the_examples_of_a_package_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"aqea_registry.{name}"))
    assert not result.failed
    assert result.attempted or name not in ORDER


@pytest.mark.parametrize("name", ORDER)
def test_the_docstring_of_a_package_names_each_of_its_modules(name: str) -> None:
    described = (importlib.import_module(f"aqea_registry.{name}").__doc__ or "").split(">>>")[0]
    inner = {module.split(".")[1] for module in MODULES if module.startswith(f"{name}.")}
    assert {module for module in inner if not re.search(rf"\b{module}\b", described)} == set()
