"""What the tests share: the program as a user runs it, and copies of this checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
BIN = Path(sys.executable).parent


class Result(NamedTuple):
    """What a finished program left behind."""

    status: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """Its stdout as the one JSON object that it must be."""
        value: dict[str, Any] = json.loads(self.out)
        return value


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The tests' environment with this interpreter's programs first."""
    return {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1", **(extra or {})}


def run(*words: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300) -> Result:
    """Run a program to its end; its output is text."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def aqea(*words: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300) -> Result:
    """Run `aqea-registry` as installed. A traceback is a failure, whatever the test wants to see."""
    result = run(BIN / "aqea-registry", *words, cwd=cwd, env=env, timeout=timeout)
    assert "Traceback" not in result.err, result.err
    return result


def copy_checkout(target: Path) -> None:
    """This checkout's files as git would commit them, uncommitted changes included, as a repository of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@example.org")
    for words in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-q", "-m", "Copy the checkout")):
        subprocess.run(["git", *words], cwd=target, check=True)


def edit_params(project: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change params.yaml as values; anchors and comments are lost, which the program does not mind."""
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    change(params)
    path.write_text(yaml.dump(params, Dumper=_NoAliases, sort_keys=False))


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def add_dataset(project: Path, name: str, folder: Path, file: str, *, model: str = "minilm") -> None:
    """Add a dataset in a folder to the catalogue and, under the model, to the run; then pin it."""

    def change(params: dict[str, Any]) -> None:
        source = {"kind": "directory", "repo": f"tests/{name}", "files": [file], "sources": [f"directory:{folder}"]}
        params["datasets"][name] = source
        stem = f"{name}_{model}_{params['models'][model]['dimension']}d"
        params["run"]["pairs"][f"{name}-{model}"] = {"dataset": name, "model": model, "file": stem}

    edit_params(project, change)
    pinned = aqea("pin", name, cwd=project)
    assert pinned.status == 0, pinned.err
