"""What can go wrong with an upload besides what can go wrong with any request."""

from __future__ import annotations

from dataclasses import dataclass

from tests.servers.hub.faults import Fault


@dataclass(kw_only=True)
class UploadFault(Fault):
    """An upload that is cut, or whose bytes are not kept as they came."""

    method: str = "POST"
    path: str = "/assets\\?"
    after_bytes: int | None = None  # close the connection when so many bytes have arrived; the asset stays a starter
    spoil: bool = False  # keep other bytes of the same size
