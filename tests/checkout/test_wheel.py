"""The wheel stands alone: what it holds, and that it runs with the packages that it asks for and with no checkout around it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from aqea_registry.base.extras import PARTS
from tests.tools import ROOT, Result, run

FILES = {
    "project/one_stage.yaml",
    "project/workflow.yaml",
    "py.typed",
    "releases/card.md",
    "releases/croissant_context.json",
    "report/page.css",
    "report/page.html",
    "report/page.js",
    "report/plot.svg",
}


BEGINNING = ("project/dvc.yaml", "project/example.jsonl")  # of the repository: what `init` writes


def in_git(folder: Path, pattern: str = ".") -> set[str]:
    """What git has, or would take, below a folder: hatch leaves out what it ignores."""
    words = ("git", "ls-files", "--cached", "--others", "--exclude-standard", pattern)
    return {*subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout.split()}


def test_the_wheel_holds_the_package_and_the_pages(wheel: Path) -> None:
    package = ROOT / "aqea_registry"
    known = in_git(package)
    assert {path for path in known if not path.endswith(".py")} == FILES
    pages = in_git(ROOT, "docs/*.md")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == {f"aqea_registry/{path}" for path in (*known, *pages, *BEGINNING)}
    assert (package / "py.typed").read_bytes() == b""


RELEASE = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
SCRIPTS = {one["name"]: one["run"] for job in RELEASE.values() for one in job["steps"] if "run" in one}


def test_a_release_is_what_its_tag_says(wheel: Path) -> None:
    """And no job has more rights than it needs, nor a secret."""
    version = wheel.name.split("-")[1]
    for tag, status in ((f"v{version}", 0), ("v9.9.9", 1)):
        script = SCRIPTS["Compare the tag with the version"]
        done = run("bash", "-e", "-c", script, cwd=wheel.parent.parent, env={"GITHUB_REF_NAME": tag})
        assert done.status == status, done
    assert RELEASE["publish"]["permissions"] == {"id-token": "write"}
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text()


@pytest.mark.rare
def test_the_steps_of_a_release_run(tmp_path: Path) -> None:
    """As in a shell, with the packages of the index."""
    temp = tmp_path / "temp"
    temp.mkdir()
    for name in in_git(ROOT):
        (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clone" / name).write_bytes((ROOT / name).read_bytes())
    assert run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path).status == 0
    for name in ("Build", "Try the wheel"):
        env = {"RUNNER_TEMP": str(temp), "PATH": f"{tmp_path}/venv/bin:{os.environ['PATH']}"}
        done = run("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", SCRIPTS[name], cwd=tmp_path / "clone", env=env)
        assert done.status == 0, done
    assert "no findings" in done.out


def needed(installed: metadata.Distribution, extras: set[str]) -> set[str]:
    """The packages that a package brings with its extras: of this environment's, by what each says that it needs."""
    waiting, seen = [(installed, extra) for extra in ("", *extras)], set[tuple[str, str]]()
    while waiting:
        package, extra = waiting.pop()
        for one in map(Requirement, package.requires or ()):
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                new = {(one.name, wanted) for wanted in ("", *one.extras)} - seen
                waiting += [(metadata.distribution(name), wanted) for name, wanted in new]
                seen |= new
    return {name for name, _ in seen}


def environment_of(folder: Path, wheel: Path, *extras: str) -> Path:
    """The interpreter of an environment with the wheel and what it brings, linked from this one, and nothing else."""
    venv.create(folder, symlinks=True)
    python, packages = folder / "bin/python", next(folder.glob("lib/python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(packages)  # which is all that installing it does but for the program's script
    for name in needed(metadata.Distribution.at(next(packages.glob("*.dist-info"))), {*extras}):
        for file in metadata.files(name) or ():
            top = Path(str(file.locate())).parents[len(file.parts) - 2] if len(file.parts) > 1 else Path(str(file.locate()))
            link = packages / file.parts[0]
            if file.parts[0] not in ("..", "__pycache__") and not os.path.lexists(link):
                link.symlink_to(top)
    return python


def alone(python: Path, *words: str | Path, cwd: Path) -> Result:
    """The installed program, far from this checkout; a traceback fails the test."""
    done = run(python, "-P", "-m", "aqea_registry", *words, cwd=cwd, env={"PYTHONPATH": ""})
    assert "Traceback" not in done.err, done.err
    return done


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    return environment_of(tmp_path_factory.mktemp("core") / "venv", wheel)


def test_the_core_reads_checks_and_publishes(core: Path, project: Path, tmp_path: Path) -> None:
    """All that needs no model, in one process."""
    pairs = next((project / "training/data").glob("*_pairs.json"))
    script = """if True:
        import sys, aqea_registry
        from aqea_registry.cli import main
        assert aqea_registry.__file__.startswith(sys.prefix)
        for line in sys.argv[1:]:
            try:
                main(line.split())
            except SystemExit as ended:
                assert not ended.code, line
        heavy = {"torch", "dvc", "pyarrow", "huggingface_hub", "requests", "fsspec"} & {*sys.modules}
        assert not heavy, heavy
    """
    lines = (
        "docs claims",
        "verify",
        "verify manifests/MANIFEST.sha256",
        f"compare {pairs} {pairs}",
        "claims check readme",
        "claims lint docs/small-set.md",
        "trace minilm",
        f"report --to {tmp_path}/report.html",
        f"publish --tag v1 --to oci:{tmp_path}/releases",
        f"verify oci:{tmp_path}/releases:v1",
        f"verify oci:{tmp_path}/releases:v1 --full",
        f"pull oci:{tmp_path}/releases:v1 --to {tmp_path}/pulled",
        f"verify {tmp_path}/pulled",
    )
    done = run(core, "-P", "-c", script, *lines, cwd=project, env={"PYTHONPATH": ""})
    assert done.status == 0, done.out[-2000:] + done.err


def test_the_wheel_begins_a_project(core: Path, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m/config.json").write_text('{"hidden_size": 4}')
    (tmp_path / "m/model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    done = alone(core, "init", "paper", "--model", "m=m", cwd=tmp_path)
    assert done.status == 0, done
    for path, own in (("dvc.yaml", "dvc.yaml"), ("data/example/test.jsonl", "data/small/test.jsonl")):
        assert (tmp_path / "paper" / path).read_bytes() == (ROOT / own).read_bytes()
    done = alone(core, "init", "other", cwd=tmp_path)
    assert (done.status, "pip install 'aqea-registry[demo]'" in done.err) == (3, True)
    assert not (tmp_path / "other").exists()


def test_what_the_core_lacks_has_a_hint(core: Path, project: Path) -> None:
    for words, extra in (("generate small minilm", "generate"), ("verify hf://datasets/o/n@v1", "stores")):
        done = alone(core, *words.split(), cwd=project)
        assert done.status == 3 and f"pip install 'aqea-registry[{extra}]'" in done.err
        assert ("PyTorch's own index" in done.err) == (extra == "generate")


@pytest.mark.parametrize("extra", ["generate", "mteb", "stores"])
def test_an_extra_brings_what_its_parts_import(wheel: Path, tmp_path: Path, extra: str) -> None:
    python = environment_of(tmp_path / "venv", wheel, extra)
    parts = [part for part, (name, modules) in PARTS.items() if name == extra and "torch" not in modules]
    script = "import sys; from aqea_registry.base.extras import require; [require(part) for part in sys.argv[1:]]"
    done = run(python, "-P", "-c", script, *parts, cwd=tmp_path, env={"PYTHONPATH": ""})
    assert parts and done.status == 0, done.err


def test_pages_that_messages_name_are_installed(core: Path) -> None:
    package = next(core.parents[1].glob("lib/python*/site-packages/aqea_registry"))
    named = {
        page
        for path in package.rglob("*.py")
        for page in re.findall(r"aqea-registry docs ([\w-]+)", path.read_text())
        if page != "mismatch"
    }
    assert named and {f"{page}.md" for page in named} <= {path.name for path in (package / "docs").iterdir()}
