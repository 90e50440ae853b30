"""Starting: the program against the imports that it cannot do without."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.timing import BEFORE, PROGRAM, ROOT, Figure, Goal, alternate, command, spread, temporary, usage
from tests.tools import copy_checkout

MADE = ("training/data", "metrics", "plots", "manifests")
HEAVY = ("torch", "datasets", "pyarrow", "transformers", "sentence_transformers")
PARTS = "import click, msgspec"
WHICH = f"""
import json, sys
from aqea_registry.cli.shell import main
try:
    main(["verify", "-q"])
except SystemExit:
    pass
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""


def measure(*, quick: bool) -> list[Figure]:
    """`--version`, `verify` of a list of one empty file, and `verify` of the demo project with its run made."""
    with temporary() as folder:
        (folder / "LIST").write_text(f"{hashlib.sha256(b'').hexdigest()}  empty.bin\n")
        (folder / "empty.bin").touch()
        project = folder / "project"
        _make_project(project)
        imports = "import numpy, click, rich, msgspec, yaml"
        works = {
            "version": command(PROGRAM, "--version", cwd=folder),
            "click": command(sys.executable, "-c", "import click", cwd=folder),
            "python": command(sys.executable, "-c", "pass", cwd=folder),
            "verify": command(PROGRAM, "verify", project, cwd=folder),
            "imports": command(sys.executable, "-c", imports, cwd=folder),
            "list": lambda: usage(PROGRAM, "verify", "LIST", cwd=folder).cpu,
            "parts": lambda: usage(sys.executable, "-c", PARTS, cwd=folder).cpu,
        }
        if BEFORE:
            works["before"] = lambda: usage(PROGRAM, "verify", "LIST", cwd=folder, checkout=BEFORE).cpu
        times = alternate(3 if quick else 25, works)
        heavy = _heavy_imports(project)
    python = f"python alone: {spread(times['python'], 's')}"
    note = f"imported: {', '.join(heavy)}" if heavy else f"none of {', '.join(HEAVY)} is imported"
    listed = "`aqea-registry verify LIST` of one empty file, processor time"
    before = [Figure(listed, times["list"], "the build before", times["before"])] if BEFORE else []
    return [
        *before,
        Figure(listed, times["list"], f"`{PARTS}`", times["parts"]),
        Figure(
            "`aqea-registry --version`",
            times["version"],
            "`import click`",
            times["click"],
            goal=Goal("ratio", "at most", 1.5),
            limit=python,
        ),
        Figure(
            "`aqea-registry verify`, demo project",
            times["verify"],
            f"`{imports}`",
            times["imports"],
            goal=Goal("ours", "at most", 0.4),
            limit=note,
        ),
    ]


def _make_project(project: Path) -> None:
    """A copy of this checkout in which the run is made: copied where it is made here, else made."""
    project.mkdir()
    copy_checkout(project)
    for name in MADE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, project / name, dirs_exist_ok=True)
    for words in ([PROGRAM, "verify", "-q"], ["dvc", "repro", "-q"], [PROGRAM, "verify", "-q"]):
        done = subprocess.run([str(word) for word in words], cwd=project, capture_output=True, text=True, check=False)
        if done.returncode == 0 and words[0] == PROGRAM:
            return
    raise RuntimeError(f"the demo project does not verify: {done.stdout}{done.stderr}")


def _heavy_imports(project: Path) -> list[str]:
    """Which of the heavy packages a verification of the project has imported at its end."""
    done = subprocess.run([sys.executable, "-c", WHICH], cwd=project, capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout)
    return found
