"""What a wheel holds beside Python files: the marker of types, and the texts that modules read."""

from __future__ import annotations

import subprocess
import tomllib

from tests.tools import ROOT

FILES = {
    "py.typed",
    "releases/card.md",
    "releases/croissant_context.json",
    "report/page.css",
    "report/page.html",
    "report/page.js",
}


def test_the_package_holds_its_files_and_the_wheel_the_whole_package() -> None:
    package = ROOT / "aqea_registry"
    known = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "."],  # hatch leaves out what git ignores
        cwd=package,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert {path for path in known if not path.endswith(".py")} == FILES
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert config["targets"]["wheel"] == {"packages": ["aqea_registry"]}
    assert config.keys() == {"targets"}
    assert (package / "py.typed").read_bytes() == b""
