"""A Hugging Face Hub for tests: a real server in front of a real store, both in this process or in one of their own.

with HubServer(folder) as hub:
    hub.store.create("datasets", "org/name")
    commit = hub.store.commit("datasets", "org/name", {"data.jsonl": b"..."})
    run_something(env=hub.environment(cache))
    assert hub.downloaded() == 3
"""

from __future__ import annotations

from tests.servers.hub.faults import Fault, payload
from tests.servers.hub.limits import Limits
from tests.servers.hub.server import HubServer
from tests.servers.hub.store import Store
from tests.servers.log import Request

__all__ = ["Fault", "HubServer", "Limits", "Request", "Store", "payload"]
