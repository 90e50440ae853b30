"""Ask a server again where waiting helps, and say plainly why it did not answer. No message holds a token."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from aqea_registry.core.findings import CannotCheck, NotAllowed
from aqea_registry.core.retry import ATTEMPTS, is_final, wait_before

T = TypeVar("T")


class Answer(NamedTuple):
    """What a failed request was told: an HTTP status or None, a reason for people, and the Retry-After header."""

    status: int | None
    reason: str
    retry_after: str | None = None


def patiently(what: str, call: Callable[[], T], judge: Callable[[Exception], Answer | None], hint: str) -> T:
    """Call, and call again after a lost connection, a 429 or a 5xx, at most ATTEMPTS times.

    `judge` tells what a client library's exception means; None lets it through. A 401 or 403 raises NotAllowed with `hint`
    at once; everything else that is an answer raises CannotCheck.
    """
    attempt = 0
    while True:
        try:
            return call()
        except Exception as error:
            answer = judge(error)
            if answer is None:
                raise
            attempt += 1
            if answer.status in {401, 403}:
                raise NotAllowed(f"{what}: {answer.reason}", hint) from error
            if is_final(answer.status) or attempt == ATTEMPTS:
                raise CannotCheck(f"{what}: {answer.reason}", "try again later") from error
            time.sleep(wait_before(attempt - 1, answer.retry_after))
