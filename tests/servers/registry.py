"""Debian's docker-registry in a process of its own, for releases in OCI registries."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

# `tester` with the password `secret`, as `htpasswd -B` writes it.
LOGINS = "tester:$2y$04$1Ey4YK6RTxF/PqTt.VsdCeSt4LBkgb6pHk8daHDvJjIXOe0Uswfj.\n"
LOGIN = "dGVzdGVyOnNlY3JldA=="  # the same, as docker's config.json holds it


class DockerRegistry:
    """A registry at 127.0.0.1 over a folder.

    `login`: nobody is let in without LOGIN. `readonly`: it takes nothing. `auth`: its configuration's section of that name.
    """

    def __init__(
        self, folder: Path, *, login: bool = False, readonly: bool = False, auth: dict[str, Any] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._storage: dict[str, Any] = {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}}
        if readonly:
            self._storage["maintenance"] = {"readonly": {"enabled": True}}
        self._auth: dict[str, Any] = auth or {}
        if login:
            (folder / "htpasswd").write_text(LOGINS)
            self._auth = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
        self._process: subprocess.Popen[bytes] | None = None
        self.host = ""  # HOST:PORT, once it is started

    def __enter__(self) -> Self:
        for _ in range(3):  # the free port may be somebody else's before it is ours
            self.host = f"127.0.0.1:{free_port()}"
            if self._start():
                return self
        raise AssertionError((self.folder / "log").read_text())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://{self.host}"

    def blob(self, digest: str) -> Path:
        """Where it keeps a blob's bytes."""
        name = digest.removeprefix("sha256:")
        return self.folder / "data/docker/registry/v2/blobs/sha256" / name[:2] / name / "data"

    def manifest(self, name: str, reference: str) -> tuple[str, dict[str, Any]]:
        """The digest that a tag names, and the manifest behind it, read without our code."""
        request = urllib.request.Request(f"{self.endpoint}/v2/{name}/manifests/{reference}")
        request.add_header("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json")
        with urllib.request.urlopen(request, timeout=100) as answer:
            return answer.headers["Docker-Content-Digest"], json.load(answer)

    def put_manifest(self, name: str, tag: str, content: bytes, kind: str) -> None:
        """Put a manifest of this media type under a tag, without our code."""
        address = f"{self.endpoint}/v2/{name}/manifests/{tag}"
        request = urllib.request.Request(address, content, {"Content-Type": kind}, method="PUT")
        urllib.request.urlopen(request, timeout=100).close()

    def _start(self) -> bool:
        config = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": self._storage,
            "http": {"addr": self.host},
            **({"auth": self._auth} if self._auth else {}),
        }
        (self.folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        with (self.folder / "log").open("wb") as log:
            words = ["docker-registry", "serve", str(self.folder / "config.yml")]
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        for _ in range(4000):  # a busy machine starts it late
            try:
                urllib.request.urlopen(f"{self.endpoint}/v2/", timeout=100).close()
                return True
            except urllib.error.HTTPError:
                return True  # it wants a login
            except OSError:
                if self._process.poll() is not None:
                    return False
                time.sleep(0.05)
        self._process.kill()
        self._process.wait()
        return False


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def needed(program: str) -> None:
    """Skip the test where a program is not installed."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed: apt-get install {program}")


@pytest.fixture(scope="session")
def docker_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """A registry that lets everybody in. Shared by all tests: each takes repositories of its own."""
    needed("docker-registry")
    with DockerRegistry(tmp_path_factory.mktemp("registry")) as server:
        yield server
