"""The optional parts of the program: what each needs, and the command that installs it. A verb asks before it reads input."""

import importlib
import re
from collections.abc import Iterable
from importlib import metadata
from importlib.util import find_spec

from aqea_registry.base.findings import CannotCheck

# The extra of a part, and the modules that it imports. Those of generation take seconds: its packages are looked for instead.
PARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "generation": ("generate", ()),
    "a model": ("generate", ("torch", "sentence_transformers")),
    "a task of MTEB": ("mteb", ("mteb",)),
    "a cluster": ("cluster", ("ray",)),
    "Parquet": ("generate", ("pyarrow", "pyarrow.parquet")),
    "the Hugging Face Hub": ("stores", ("huggingface_hub", "huggingface_hub.hf_api", "huggingface_hub.repocard")),
    "a model-index": ("stores", ("huggingface_hub", "huggingface_hub.repocard")),
    "an OCI registry": ("stores", ("requests",)),
    "GitHub": ("stores", ("requests",)),
    "a mirror": ("stores", ("fsspec",)),
    "this command": ("generate,stores", ()),
}
# What decides how a vector is computed. Every statement about one has their versions.
PACKAGES = ("numpy", "sentence-transformers", "tokenizers", "torch", "transformers")
TORCH = "; without a graphics card install torch before that, from PyTorch's own index for CPU: see 'Start Locally' on its site"


def require(part: str) -> None:
    """Raise CannotCheck with the command that installs it, if the part lacks anything or cannot be imported."""
    try:
        for module in PARTS[part][1]:
            importlib.import_module(module)
        if part == "generation":
            _look_for(("torch", *PACKAGES, "pyarrow"))  # whose absence says more than that of others
    except Exception as error:  # a broken library fails in its own ways
        raise unusable(part, error) from error


def unusable(part: str, error: BaseException) -> CannotCheck:
    """The error for an import that failed. It names the module that is missing, or has the library's own words."""
    while error.__cause__ is not None:
        error = error.__cause__
    message = f"{part} needs a library that cannot be imported: {' '.join(str(error).split())}"
    if isinstance(error, ModuleNotFoundError):
        message = f"{error.name} is not installed; {part} needs it"
    asked = re.search(r"pip install [\w.\[\] -]*\w", str(error))  # by a model's own code
    hint = asked[0] if asked else f"pip install 'aqea-registry[{PARTS[part][0]}]'"
    return CannotCheck(message, hint + (TORCH if isinstance(error, ModuleNotFoundError) and error.name == "torch" else ""))


def _look_for(packages: Iterable[str]) -> None:
    """Raise ModuleNotFoundError for the first that is not installed, of these packages and all that they need in turn."""
    packages = [metadata.distribution(name).name for name in packages]
    from packaging.requirements import Requirement

    waiting, seen = [(name, "") for name in packages], set[tuple[str, str]]()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        package = metadata.distribution(name)
        listed = package.read_text("RECORD") or ""
        for module in set(re.findall(r"^(?!__pycache__)(\w+)(?:/|\.py,|\.[\w.-]*(?:so|pyd),)", listed, re.MULTILINE)):
            if find_spec(module) is None:
                raise ModuleNotFoundError(name=module)
        for needed in map(Requirement, package.requires or ()):
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(needed.name, wanted) for wanted in ("", *needed.extras)]
