"""Every number in a paper traces to bytes that cannot change, and anyone can make those bytes again.

The names below are the Python interface (docs/python.md); each is loaded when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing takes milliseconds to import, in which the program does not hear Ctrl-C yet
if TYPE_CHECKING:
    from typing import Any

    from aqea_registry.api import load_pairs, open_project, verify
    from aqea_registry.base.findings import Finding, RegistryError
    from aqea_registry.claims import verdicts as claims

__version__ = "0.1.0"
__all__ = ["Finding", "RegistryError", "claims", "load_pairs", "open_project", "verify"]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name == "claims":  # a package that can be called
        return import_module("aqea_registry.claims")
    return getattr(import_module("aqea_registry.base.findings" if name[0].isupper() else "aqea_registry.api"), name)
