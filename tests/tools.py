"""What the tests share: the program as a user runs it, and copies of this checkout."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import multiprocessing
import os
import shutil
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from io import BytesIO, TextIOWrapper
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests import sampling
from tests.forked import NOBODYS, fork_program
from tests.small_run import keep_the_pair_set

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
BIN = Path(sys.executable).parent
BUSY = 10  # time limits are for what hangs: on a machine with other work they are so many times longer


def needed_package(name: str) -> None:
    """Skip the module's tests where a package is not installed; unlike importorskip, do not import it."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed", allow_module_level=True)


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder of all workers: the first one that needs it makes it, the others wait."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, unfinished = shared / name, shared / f"{name}.unfinished"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(unfinished, ignore_errors=True)  # of a worker that failed
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(folder)
    return folder


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
        timeout=BUSY * timeout,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def aqea(
    *words: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300, process: bool | None = None
) -> Result:
    """Run `aqea-registry`. A traceback is a failure, whatever the test wants to see.

    It runs in this process, where its imports cost nothing, if that gives the same answer: see `way`. `process` decides
    it: False, here; True, as the program is installed.
    """
    names = {name for name, value in (env or {}).items() if os.environ.get(name) != value}
    chosen = way([str(word) for word in words], names) if process is None else program if process else in_process
    return chosen(*words, cwd=cwd, env=env, timeout=timeout)


# Read when they are used, by us and by the libraries.
READ_LATE = {
    *("HF_ENDPOINT", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HOME", "HF_HUB_CACHE", "HF_TOKEN_PATH", "HF_DATASETS_CACHE"),
    *("HF_DATASETS_OFFLINE", "GITHUB_TOKEN", "GH_TOKEN", "GITHUB_API_URL", "XDG_CACHE_HOME", "DOCKER_CONFIG", "HOME"),
    *("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"),
    *("TERM", "FORCE_COLOR", "CLICOLOR_FORCE", "NO_COLOR", "NO_PROXY", "no_proxy"),
}
# Read when a process starts, or when torch is imported.
READ_FIRST = {"ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR", "OMP_NUM_THREADS", "PATH", "TZ"}


def way(words: Sequence[str], names: set[str]) -> Callable[..., Result]:
    """How a command runs that is given variables of these names, none of which has its value here.

    A forked process is for what computes with torch, whose settings stay, and for what libraries read at import.
    """
    in_thread = threading.current_thread() is not threading.main_thread()  # folder and environment are the process's
    if in_thread or names & READ_FIRST or any(name.startswith(("PYTHON", "LC_", "LANG")) for name in names):
        return program
    computes = {"generate", "encode", "confirm", "--diagnose", "--fresh", "--rows"} & {*words}
    return forked if computes or names - READ_LATE else in_process


def forked(*words: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300) -> Result:
    """Run the program in a process that is forked after the import of torch."""
    result = Result(*fork_program([str(word) for word in words], cwd, environment(env), BUSY * timeout))
    assert "Traceback" not in result.err, result.err
    return result


CLIENT = """\
#!{python} -ISs
import json, os, socket, sys

with socket.socket(socket.AF_UNIX) as line:
    os.chdir({folder!r})  # the name of a socket is short
    line.connect("forking")
    request = {{"words": sys.argv[1:], "cwd": os.environ["PWD"], "environment": dict(os.environ)}}
    line.sendall(json.dumps(request).encode() + b"\\n")
    status, out, err = json.load(line.makefile("rb"))
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(status)
"""


@contextmanager
def forking_program(folder: Path) -> Iterator[dict[str, str]]:
    """A program `aqea-registry` for what starts it by name, such as DVC: the variables that have it found.

    It asks this process for a forked one. Who kills it does not kill that: for kills, take the program as installed.
    """
    place = Path(tempfile.mkdtemp(dir=folder))
    (place / "aqea-registry").write_text(CLIENT.format(python=sys.executable, folder=str(place)))
    (place / "aqea-registry").chmod(0o755)

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            request = json.loads(self.rfile.readline())
            answer = fork_program(request["words"], Path(request["cwd"]), request["environment"], BUSY * 300)
            self.wfile.write(json.dumps(answer).encode())

    before = Path.cwd()
    os.chdir(place)
    try:
        server = socketserver.UnixStreamServer("forking", Answer)
    finally:
        os.chdir(before)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield {"PATH": f"{place}:{environment()['PATH']}"}
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def repro(folder: Path, env: Mapping[str, str] | None = None) -> str:
    """What `dvc repro` says, whose stages run in forked processes: to start the program takes longer than such a stage."""
    with forking_program(folder.parent) as found:
        result = dvc("repro", cwd=folder, env={**(env or {}), **found}, timeout=900)
    assert result.status == 0, result.out + result.err
    return result.out


@cache
def processes() -> ForkServerContext:
    """Processes that find imported what pushes need: of this process's one server, whose first list of imports counts.

    The Hub's client reads settings when it is imported, which are nobody's.
    """
    context = multiprocessing.get_context("forkserver")
    modules = ("github_store", "hub_store")
    context.set_forkserver_preload(
        ["asyncio", "github", "huggingface_hub.hf_api", *(f"tests.stores.test_{m}" for m in modules)]
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in NOBODYS.items():
            patch.setenv(name, value)
        forkserver.ensure_running()
    return context


def dvc(*words: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300) -> Result:
    """Run DVC in a process that is forked after its imports, which take longer than its work; as installed with `--all`."""
    if sampling.everything():
        return run("dvc", *words, cwd=cwd, env=env, timeout=timeout)
    return Result(*fork_program([str(word) for word in words], cwd, environment(env), BUSY * timeout, "dvc"))


def program(*words: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300) -> Result:
    """Run `aqea-registry` as installed, in a process of its own."""
    result = run(BIN / "aqea-registry", *words, cwd=cwd, env=env, timeout=timeout)
    assert "Traceback" not in result.err, result.err
    return result


def in_process(*words: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300) -> Result:
    """Run the program's `main` here, and put back what a process has: folder, environment, streams, filters of warnings.

    Like a process of its own it sees no terminal, and ends with SystemExit; any other exception goes through to the test.
    """
    from aqea_registry.base.files import left_in
    from aqea_registry.cli import main

    left_in.cache_clear()  # a process of its own remembers no folder
    out, err = _stream("strict"), _stream("backslashreplace")
    environ, folder, status, computes = dict(os.environ), Path.cwd(), 0, "sentence_transformers" in sys.modules
    try:
        os.chdir(cwd)
        _replace_environment(environment(env))
        with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings(), _limit(timeout):
            main([str(word) for word in words], prog_name="aqea-registry")
            raise AssertionError("the program's main does not return")
    except SystemExit as ended:
        assert isinstance(ended.code, int), ended.code
        status = ended.code
        assert computes or "sentence_transformers" not in sys.modules, "it computes: give process=None"
    finally:
        os.chdir(folder)
        _replace_environment(environ)
    assert "Traceback" not in _text(err), _text(err)
    return Result(status, _text(out), _text(err))


def _stream(errors: str) -> TextIOWrapper:
    return TextIOWrapper(BytesIO(), encoding="utf-8", errors=errors, write_through=True)


def _text(stream: TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, BytesIO)
    return buffer.getvalue().decode()


def _replace_environment(values: Mapping[str, str]) -> None:
    for name in os.environ.keys() - values.keys():
        del os.environ[name]
    os.environ.update(values)


class _TooLong(BaseException):
    """Not an Exception: no handler of the program takes it for one of its own."""


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """Raise _TooLong here after so many seconds, and more on a busy machine."""

    def stop(number: int, frame: object) -> None:
        raise _TooLong(f"after {BUSY * seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, BUSY * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# The ledgers of whole cards and papers: a release with them takes ten times as long as one without.
CARDS = ROOT / "examples/model-cards"
KALM = ROOT / "examples/kalm-paper"
LARGE = (
    *(CARDS / f"manifests/claims/{name}-card.yaml" for name in ("lodestone", "minilm")),
    KALM / "manifests/claims/kalm-paper.yaml",
)
# What makes the tool and no project: there are hundreds of copies to make.
LEFT_OUT = ("aqea_registry/", "tests/", "examples/")


def copy_checkout(target: Path, *, whole: bool = False) -> None:
    """The project of this checkout, without the examples, as git would commit it now, as a repository of its own.

    It makes the pair set alone, unless the `whole` run is wanted.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file() and not name.startswith(LEFT_OUT):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    if not whole:
        keep_the_pair_set(target)
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@example.org")
    commit = (*identity, "commit", "-q", "-m", "Copy the checkout")
    for words in (("init", "-q", "--template="), ("add", "-A"), commit, ("repack", "-adq")):
        subprocess.run(["git", *words], cwd=target, check=True)


def copy_project(source: Path, target: Path, *, without: Sequence[str] = ()) -> Path:
    """Copy a project, without some files or folders: paths from its top.

    What git and DVC never write again, their objects, is linked: to change such a file in place would change all copies.
    """
    objects = (str(source / ".git/objects"), str(source / ".dvc/cache"))

    def copy(one: str, other: str) -> None:
        if one.startswith(objects):
            os.link(one, other)
        else:
            shutil.copy2(one, other)

    def ignored(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if (Path(folder) / name).relative_to(source).as_posix() in without}

    shutil.copytree(source, target, symlinks=True, ignore=ignored, copy_function=copy)
    return target


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
