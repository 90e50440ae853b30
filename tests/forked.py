"""The program in processes of their own, whose largest imports are made already.

To import torch and sentence-transformers takes longer than to encode a few sentences. A server imports them once and forks a
process for each command. What they and the Hub's client read of the environment at import is nobody's: the program must not
rest on it. What torch and Python read of it needs a program that is started.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

IMPORTED = ("torch", "pyarrow.parquet", "sentence_transformers", "aqea_registry.cli")
NOBODYS = {"HF_HOME": "/nonexistent", "HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": ""}

_lock = threading.Lock()
_servers: list[subprocess.Popen[str]] = []


def fork_program(words: Sequence[str], cwd: Path, environment: Mapping[str, str], timeout: float) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `aqea-registry WORDS`; the server starts when it is needed first."""
    with _lock:
        if not _servers:
            _servers.append(_start())
        server = _servers[0]
        assert server.stdin is not None and server.stdout is not None
        request = {"words": list(words), "cwd": str(cwd), "environment": dict(environment), "timeout": timeout}
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        answer: dict[str, Any] = json.loads(server.stdout.readline())
    return answer["status"], answer["out"], answer["err"]


def _start() -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[1]
    words = [sys.executable, "-m", "tests.forked"]
    environment = {**os.environ, **NOBODYS}
    server = subprocess.Popen(words, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(_stop, server)
    return server


def _stop(server: subprocess.Popen[str]) -> None:
    assert server.stdin is not None and server.stdout is not None
    server.stdin.close()
    server.stdout.close()
    server.wait()


def serve() -> None:
    """Fork a process for each line of stdin, a request, and write its answer, a line, to what was stdout."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing but answers goes there
    with contextlib.suppress(ImportError):  # the command tells of what is not installed
        for name in IMPORTED:
            importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
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
        answers.write(json.dumps(dict(zip(("status", "out", "err"), (os.waitstatus_to_exitcode(status), *texts), strict=True))))
        answers.write("\n")
        answers.flush()


def _run(request: Mapping[str, Any]) -> None:
    """Be the program: what `main` raises, and what is to be done at exit, as in a process that was started."""
    import signal

    from aqea_registry.cli import main

    status: object = 1
    try:
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environment"])
        signal.alarm(round(request["timeout"]))  # its default is to end the process
        main(request["words"], prog_name="aqea-registry")
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 1)


if __name__ == "__main__":
    serve()
