"""Docker's login for a registry, from the one configuration that docker would read, and what a registry's challenge asks."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from pathlib import Path

from aqea_registry.base.findings import BadConfiguration

DOCKER_HUB = "docker.io"
DOCKER_HUB_NAMES = {"docker.io", "index.docker.io", "registry-1.docker.io"}
DOCKER_HUB_KEY = "https://index.docker.io/v1/"  # as docker and its credential helpers call it


def stored_login(host: str) -> str | None:
    """The login for a host as Basic authentication has it, inline or from a credential helper; None if there is none.

    Raises BadConfiguration if docker's configuration or the helper's answer cannot be read.
    """
    path = Path(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser() / "config.json"
    try:
        config = json.loads(path.read_bytes())
        logins = {_host_of(name): login for name, login in (config.get("auths") or {}).items()}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, AttributeError):
        raise BadConfiguration(f"{path} cannot be read as docker's configuration", f"docker login {host}") from None
    try:
        for name in _names(_host_of(host)):
            if login := (logins.get(name) or {}).get("auth"):
                return str(login)
            key = DOCKER_HUB_KEY if name == DOCKER_HUB else name
            for helper in ((config.get("credHelpers") or {}).get(key), config.get("credsStore")):
                if helper and (login := _ask_helper(helper, key)):
                    return login
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise BadConfiguration(f"{path} gives no login for {host} that can be read", f"docker login {host}") from None
    return None


def token_server(challenge: str) -> tuple[str, dict[str, str]]:
    """The address and the query that a Bearer challenge (`Www-Authenticate`) names for a token; "" if it names none."""
    bearer = re.search(r"\bbearer (.*)", challenge, re.IGNORECASE)
    named: dict[str, str] = dict(re.findall(r'(\w+)="([^"]*)"', bearer[1] if bearer else ""))
    return named.get("realm", ""), {name: named[name] for name in ("service", "scope") if named.get(name)}


def _names(host: str) -> list[str]:
    """The host, and the other name of this machine."""
    other = host.replace("localhost", "127.0.0.1") if "localhost" in host else host.replace("127.0.0.1", "localhost")
    return list(dict.fromkeys((host, other)))


def _ask_helper(helper: str, server: str) -> str | None:
    """The login that a credential helper has for a server; None if it has none, or is not installed."""
    command = [f"docker-credential-{helper}", "get"]
    try:
        done = subprocess.run(command, input=server.encode(), capture_output=True, check=True)  # noqa: S603
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    answer = json.loads(done.stdout)
    return base64.b64encode(f"{answer['Username']}:{answer['Secret']}".encode()).decode()


def _host_of(name: str) -> str:
    """The host of a key of `auths`, which older clients wrote as a URL."""
    host = re.sub(r"^https?://", "", name).partition("/")[0]
    return DOCKER_HUB if host in DOCKER_HUB_NAMES else host
