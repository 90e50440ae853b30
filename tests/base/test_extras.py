"""What is not installed is said with the command that installs it, before any input is looked at."""

from __future__ import annotations

import json
import sys
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy
import pytest

from aqea_registry.base.extras import PARTS, TORCH, require, unusable
from aqea_registry.base.findings import CannotCheck
from aqea_registry.project.lock import LOCK, Lock, Pin, PinnedFile, render_lock
from tests import sampling
from tests.tools import ROOT, Result, aqea, needed_package, run

for package in ("torch", "huggingface_hub"):
    needed_package(package)
GENERATE, STORES = "pip install 'aqea-registry[generate]'", "pip install 'aqea-registry[stores]'"
# What a plain installation lacks.
EXTRAS = [
    *("torch*", "sentence_transformers*", "transformers*", "tokenizers*", "pyarrow*", "dvc*", "packaging*"),
    *("huggingface_hub*", "fsspec*", "requests*"),
]


def without(folder: Path, *patterns: str) -> Path:
    """This environment's packages but for those of these names, linked into a folder."""
    packages = Path(numpy.__file__).parents[1]
    for path in packages.iterdir():
        if not any(fnmatchcase(path.name.lower(), pattern) for pattern in patterns):
            (folder / path.name).symlink_to(path)
    return folder


def aqea_with(packages: Path, *words: str, cwd: Path) -> Result:
    """The program in an interpreter that has these packages alone."""
    start = "import sys; sys.path.append(sys.argv.pop(1)); from aqea_registry.cli import main; main()"
    command = [sys.executable, "-S", "-c", start, str(packages), *words]
    done = run(*command, cwd=cwd, env={"PYTHONPATH": str(ROOT)})
    assert "Traceback" not in done.err, done.err
    return done


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return without(tmp_path_factory.mktemp("plain"), *EXTRAS)


VERBS = {
    "generate d m": GENERATE + TORCH,
    "export pairs.json --format parquet": GENERATE,
    "compare a.json b.json --diagnose": GENERATE + TORCH,
    "confirm oci:releases:v1": GENERATE + TORCH,
    "mark --tag v1 --to hf://datasets/o/n --withdrawn --reason r": STORES,
    "claims export --format model-index": STORES,
    "publish --tag v1 --to oci://127.0.0.1:1/n": STORES,
    "publish --tag v1 --to github://o/n": STORES,
    "trace v1 --store hf://datasets/o/n": STORES,
    "verify hf://datasets/o/n@v1": STORES,
    "pull github://o/n@v1": STORES,
}


TRIED: list[str] = sampling.sample(VERBS, share=0.25, name="extras", stratum=lambda words: VERBS[words])


@pytest.mark.parametrize("words", TRIED)
def test_a_verb_without_its_extra_ends_before_it_looks_at_anything(plain: Path, tmp_path: Path, words: str) -> None:
    """There is no project here, which would be another error."""
    done = aqea_with(plain, *words.split(), "--json", cwd=tmp_path)
    assert done.status == 3, done
    error = json.loads(done.out)["error"]
    assert (error["kind"], error["hint"]) == ("CannotCheck", VERBS[words])
    assert " is not installed; " in error["message"]
    assert done.err == f"error: {error['message']}\n  next: {error['hint']}\n"
    assert list(tmp_path.iterdir()) == []


def test_verbs_that_need_no_extra_run_without(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "list").write_text("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n")
    assert aqea_with(plain, "verify", "list", cwd=tmp_path).status == 0


@pytest.mark.parametrize("words", [("pin",), ("pin", "--check")])
def test_a_pin_that_only_the_hub_can_tell_of_needs_its_client(plain: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    model = "{repo: org/m, dimension: 4}"
    publish = "publish: {stores: [], title: t}"
    (tmp_path / "params.yaml").write_text(
        f"datasets: {{}}\nmodels: {{m: {model}}}\nruns: {{}}\nrun: {{pairs: {{}}, exports: {{}}}}\n{publish}\nsources: [hub]\n"
    )
    (tmp_path / "manifests").mkdir()
    files = {"config.json": PinnedFile(sha256="0" * 64, size=1)}
    pin = Pin(kind="model", id="org/m", requested=None, commit="0" * 40, licence=None, resolved_from="hub", files=files)
    (tmp_path / LOCK).write_bytes(render_lock(Lock(models={"m": pin})))
    done = aqea_with(plain, *words, "m", "--json", cwd=tmp_path)
    assert (done.status, done.json()["error"]["hint"]) == (3, STORES), done


@pytest.mark.parametrize(
    ("pattern", "named"),
    [("transformers-*.dist-info", "transformers"), ("regex*", "regex"), ("sympy", "sympy"), ("joblib*", "joblib")],
)
def test_what_a_package_needs_in_turn_is_looked_for(tmp_path: Path, pattern: str, named: str) -> None:
    (tmp_path / "packages").mkdir()
    done = aqea_with(without(tmp_path / "packages", pattern), "generate", "d", "m", cwd=tmp_path)
    assert (done.status, done.out) == (3, ""), done
    assert done.err == f"error: {named} is not installed; generation needs it\n  next: {GENERATE}\n"


@pytest.mark.parametrize(
    ("part", "module"), [("an OCI registry", "urllib3"), ("GitHub", "urllib3"), ("Parquet", "pyarrow.lib")]
)
def test_what_a_client_imports_in_turn_is_named(part: str, module: str) -> None:
    start = "import sys; sys.modules[sys.argv[2]] = None; from aqea_registry.base.extras import require; require(sys.argv[1])"
    done = run(sys.executable, "-c", start, part, module, cwd=ROOT)
    last = done.err.strip().splitlines()[-1]
    assert last == f"aqea_registry.base.findings.CannotCheck: {module} is not installed; {part} needs it"


@pytest.mark.parametrize("part", sorted(PARTS.keys() - {"a model"}))  # which is imported by the tests that encode
def test_all_is_here(part: str) -> None:
    require(part)


def test_a_library_that_is_broken_is_not_taken_for_a_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "requests.py").write_text("raise OSError('libssl.so.3: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "requests"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(CannotCheck) as raised:
        require("an OCI registry")
    assert "libssl.so.3: cannot open shared object file" in raised.value.message


def test_what_a_models_own_code_asks_for_is_the_hint() -> None:
    """So transformers words it."""
    error = ImportError("This modeling file requires packages that were not found: einops. Run `pip install einops`")
    assert unusable("generation", error).hint == "pip install einops"


def test_a_model_whose_libraries_do_not_load_is_not_a_bad_model(tmp_path: Path) -> None:
    """As with a torchvision of another build than torch: an error of its own kind, deep in an import."""
    (tmp_path / "sentence_transformers.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    (tmp_path / "torch.py").write_text("")
    start = "from aqea_registry.base.extras import require; require('a model')"
    done = run(sys.executable, "-c", start, cwd=ROOT, env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert "CannotCheck: a model needs a library that cannot be imported: operator torchvision::nms" in done.err


def test_what_a_library_imports_late_has_a_hint_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So transformers and its like ask for the version of a package that nobody installed."""

    def version(*names: object) -> None:
        raise PackageNotFoundError("tqdm")

    monkeypatch.setattr("aqea_registry.verification.verify_list.verify_list", version)
    (tmp_path / "list").write_text("")
    done = aqea("verify", "list", cwd=tmp_path)
    assert (done.status, done.err.splitlines()[0]) == (3, "error: tqdm is not installed; this command needs it"), done.err
    assert "pip install 'aqea-registry[generate,stores]'" in done.err
