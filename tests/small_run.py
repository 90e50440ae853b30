"""This checkout's run, cut to its pair set: the project of most tests, whose stages take seconds.

The whole run is made in tests/generation/test_demo_tasks.py; tests/task_project.py has a small project with a task.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

import yaml

VECTORS = re.compile(r"^( +)vectors:\n(?:\1 +.*\n)+", re.MULTILINE)
EVALUATE = re.compile(r"^  evaluate@[\w-]+:\n(?:    .*\n)+", re.MULTILINE)
LOCK, MANIFEST, SIZES = "dvc.lock", "manifests/MANIFEST.sha256", "manifests/MANIFEST.sizes"


def keep_the_pair_set(project: Path) -> None:
    """Take the vector sets out of params.yaml, dvc.lock and the manifest, as if `dvc repro` had run without them."""
    text = (project / LOCK).read_text()
    before = yaml.safe_load(text)["stages"]
    gone = {out["path"] for name, stage in before.items() if name.startswith("evaluate@") for out in stage["outs"]}
    gone |= {f"manifests/made/{Path(path).stem}.intoto.json" for path in gone if path.startswith("metrics/")}
    for path in gone:
        (project / path).unlink(missing_ok=True)
    params, ignored = project / "params.yaml", project / "training/data/.gitignore"
    params.write_text(VECTORS.sub("", params.read_text(), count=1))
    for path in (project / MANIFEST, project / SIZES, ignored):
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not any(line.rstrip().endswith(Path(name).name) for name in gone)))
    text = VECTORS.sub("", EVALUATE.sub("", text))
    outs = {out["path"]: out for name, stage in before.items() if name != "manifest" for out in stage["outs"]}
    kept = {path: out for path, out in outs.items() if path not in gone}
    for stage in (before["manifest"]["deps"], before["manifest"]["outs"]):
        for one in stage:
            if "nfiles" in one:
                text = text.replace(_entry(one), _entry(_folder(one["path"], kept.values())))
            elif one["path"] in (MANIFEST, SIZES):
                text = text.replace(_entry(one), _entry({**one, **_file(project / one["path"])}))
    (project / LOCK).write_text(text)


def _entry(one: dict[str, object]) -> str:
    """Something of a stage as DVC writes it."""
    lines = (f"{name}: {one[name]}" for name in ("path", "hash", "md5", "size", "nfiles") if name in one)
    return "    - " + "\n      ".join(lines) + "\n"


def _file(path: Path) -> dict[str, object]:
    content = path.read_bytes()
    return {"md5": hashlib.md5(content, usedforsecurity=False).hexdigest(), "size": len(content)}


def _folder(path: str, outs: Iterable[dict[str, object]]) -> dict[str, object]:
    """A folder with the outputs of stages in it, as DVC knows one."""
    inside = {str(out["path"]).removeprefix(f"{path}/"): out for out in outs if str(out["path"]).startswith(f"{path}/")}
    listed = json.dumps([{"md5": inside[name]["md5"], "relpath": name} for name in sorted(inside)])
    size = sum(int(str(out["size"])) for out in inside.values())
    md5 = hashlib.md5(listed.encode(), usedforsecurity=False).hexdigest()
    return {"path": path, "hash": "md5", "md5": f"{md5}.dir", "size": size, "nfiles": len(inside)}
