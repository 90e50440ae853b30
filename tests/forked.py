"""The program, and DVC, in processes of their own whose largest imports are made already.

To import torch and sentence-transformers takes longer than to encode a few sentences. One server of the whole run imports them
once and forks a process for each command of each worker. What they and the Hub's client read of the environment at import is
nobody's, but for the client's timeouts: the program must not rest on it. What torch and Python read of it needs a program that
is started.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

IMPORTED = (
    *("torch", "pyarrow.parquet", "sentence_transformers", "aqea_registry.cli", "mteb.get_tasks"),
    *("dvc.cli.parser", "dvc.repo", "dvc.repo.reproduce", "dvc.repo.status"),
)
NOBODYS = {"HF_HOME": "/nonexistent", "HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": ""}
TIMEOUTS = {"HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"}
PLACE = "AQEA_TEST_FORKING"  # the folder of the server: the workers find it in their environment
ROOT = Path(__file__).resolve().parents[1]


def open_place() -> None:
    """Choose the server's folder. Before the workers start; who chose it removes it, and with it the server, at its end."""
    if PLACE not in os.environ:
        place = Path(tempfile.mkdtemp(prefix="aqea-forking-"))
        (place / "owner").write_text(str(os.getpid()))
        os.environ[PLACE] = str(place)
        atexit.register(_close_place, place, os.getpid())


def _close_place(place: Path, owner: int) -> None:
    if os.getpid() == owner:  # and no process that it forked
        shutil.rmtree(place)


def fork_program(
    words: Sequence[str], cwd: Path, environment: Mapping[str, str], timeout: float, program: str = "aqea-registry"
) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `aqea-registry WORDS`, or of `dvc WORDS`; the server starts when it is needed first."""
    request = {"words": list(words), "cwd": str(cwd), "environment": dict(environment), "timeout": timeout, "program": program}
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(_server())
        line.sendall(json.dumps(request).encode() + b"\n")
        with line.makefile("rb") as answers:
            answer: dict[str, Any] = json.loads(answers.readline())
    return answer["status"], answer["out"], answer["err"]


def _server() -> str:
    """The name of its socket. The first worker starts it, the others wait until it listens."""
    open_place()
    place = Path(os.environ[PLACE])
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "server").exists():
            silent: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
            words = [sys.executable, "-m", "tests.forked", str(place)]
            subprocess.run(words, cwd=ROOT, env={**os.environ, **NOBODYS}, check=True, **silent)
    return str(place / "server")


def serve(place: Path) -> None:
    """Go to the background, and fork a process for each request as long as the folder and who made it are there."""
    with contextlib.suppress(ImportError):  # the command tells of what is not installed
        for name in IMPORTED:
            importlib.import_module(name)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "server"))
        listener.listen(64)
        if os.fork():
            os._exit(0)
        listener.settimeout(1)
        owner = int((place / "owner").read_text())
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that answer
        while place.exists() and _lives(owner):
            with contextlib.suppress(TimeoutError):
                line, _ = listener.accept()
                with line:
                    if os.fork() == 0:
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        _answer(line)
                        os._exit(0)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _answer(line: socket.socket) -> None:
    """Run what a request asks for in a process, and send what came of it."""
    with line.makefile("rb") as requests:
        request = json.loads(requests.readline())
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            _run(request)
        _, status = os.waitpid(child, 0)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    answer = dict(zip(("status", "out", "err"), (os.waitstatus_to_exitcode(status), *texts), strict=True))
    line.sendall(json.dumps(answer).encode() + b"\n")


def _run(request: Mapping[str, Any]) -> None:
    """Be the program: what `main` raises, and what is to be done at exit, as in a process that was started."""
    status: object = 1
    try:
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environment"])
        if constants := sys.modules.get("huggingface_hub.constants"):
            for name in TIMEOUTS & os.environ.keys():
                setattr(constants, name, int(os.environ[name]))
        signal.alarm(round(request["timeout"]))  # its default is to end the process
        sys.argv = [request["program"], *request["words"]]
        if request["program"] == "dvc":
            status = importlib.import_module("dvc.cli").main(request["words"])
        else:
            from aqea_registry.cli import main

            main(request["words"], prog_name=request["program"])
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 1)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
