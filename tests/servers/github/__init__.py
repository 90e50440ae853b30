"""A GitHub for tests, as far as releases go: a real server in front of a folder, held to GitHub's own description.

with GitHubServer(folder, description(cache)) as github:
    github.store.create("org/name")
    github.store.token("ghp_write", push=["org/name"])
    run_something(env=github.environment("ghp_write"))
    assert github.uploaded() == 3
"""

from __future__ import annotations

from tests.servers.github.faults import UploadFault
from tests.servers.github.openapi import Description, description
from tests.servers.github.server import GitHubServer
from tests.servers.github.store import Asset, Release, Store
from tests.servers.log import Request

__all__ = ["Asset", "Description", "GitHubServer", "Release", "Request", "Store", "UploadFault", "description"]
