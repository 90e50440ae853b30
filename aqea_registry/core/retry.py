"""When to ask a server again, and how long to wait before. Who asks sleeps; nothing here does."""

from __future__ import annotations

ATTEMPTS = 4
LONGEST_WAIT = 60.0  # seconds
TOO_MANY = 429


def is_final(status: int | None) -> bool:
    """Whether an answer stays the same however often one asks; no answer at all (None) does not."""
    return status is not None and status != TOO_MANY and status < 500


def wait_before(attempt: int, retry_after: str | None) -> float:
    """Seconds to wait before attempt number `attempt` + 2: what the server's Retry-After says, or longer each time."""
    try:
        wanted = float(retry_after or "")
    except ValueError:
        wanted = 0.5 * 2.0**attempt
    return min(max(wanted, 0.0), LONGEST_WAIT)
