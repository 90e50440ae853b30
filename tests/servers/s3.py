"""An S3 server of moto's in a process of its own, for mirrors and for DVC remotes."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.tools import BIN, environment

BUCKET = "mirror"


class S3:
    """A server with one bucket."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"

    def environment(self, home: Path) -> dict[str, str]:
        """What clients need to take this server for S3; nothing is read from a person's own configuration."""
        return {
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CONFIG_FILE": str(home / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(home / "no-credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    def put(self, contents: Mapping[str, bytes], bucket: str = BUCKET) -> None:
        """Put objects under these keys."""
        for key, content in {"": b"", **contents}.items():
            # Without a type, urllib says that this is a form, and the server would parse it as one.
            headers = {"Content-Type": "application/octet-stream"}
            request = urllib.request.Request(f"{self.endpoint}/{bucket}/{key}", content, headers, method="PUT")
            urllib.request.urlopen(request, timeout=300).close()

    def delete(self, key: str, bucket: str = BUCKET) -> None:
        request = urllib.request.Request(f"{self.endpoint}/{bucket}/{key}", method="DELETE")
        urllib.request.urlopen(request, timeout=300).close()


def _free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    server = S3(_free_port())
    log = (tmp_path_factory.mktemp("s3") / "log").open("wb")
    words = [str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", server.endpoint.rpartition(":")[2]]
    process = subprocess.Popen(words, env=environment(), stdout=log, stderr=log)
    try:
        for _ in range(3000):
            try:
                urllib.request.urlopen(server.endpoint, timeout=100).close()
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                assert process.poll() is None, "moto_server ended"
                time.sleep(0.1)
        server.put({})
        yield server
    finally:
        process.terminate()
        process.wait()
        log.close()
