"""The one rule of when a request is made again, and the bytes of requests that are made again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from threading import Event

import pytest

from aqea_registry.base.files import WrongBytes, ignore
from aqea_registry.base.findings import CannotCheck, NotAllowed
from aqea_registry.remote.answers import LATE, Failure, unreached
from aqea_registry.remote.retry import (
    ATTEMPTS,
    LONGEST_WAIT,
    PATIENCE,
    Download,
    UploadBody,
    call_server,
    from_offset,
    wait_before,
    with_retries,
)

CONTENT = bytes(range(250)) * 100


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited for."""
    waited: list[float] = []
    monkeypatch.setattr("aqea_registry.remote.retry.time.sleep", waited.append)
    return waited


def failing(*failures: Failure) -> Callable[[], str]:
    """A call that fails in these ways, one after another, and then succeeds."""
    left = list(failures)

    def call() -> str:
        if left:
            raise ValueError(left.pop(0))
        return "done"

    return call


def explain(error: Exception) -> Failure | None:
    found = error.args[0]
    return found if isinstance(found, Failure) else None


def attempt(*failures: Failure) -> str:
    return with_retries("asking", failing(*failures), explain, "log in")


def test_what_may_pass_is_asked_again(waits: list[float]) -> None:
    assert attempt(Failure(None, "lost"), Failure(503, "busy"), Failure(429, "many", "7")) == "done"
    assert waits == [0.5, 1.0, 7.0]
    assert attempt(Failure(503, "busy", "310"), Failure(429, "many", "-1"), Failure(500, "x", "Wed, 21 Oct 2015")) == "done"
    assert waits[3:] == [LONGEST_WAIT, 1.0, 2.0]


def test_what_does_not_pass_is_not_waited_for(waits: list[float]) -> None:
    for status in (400, 404, 409, 413):
        with pytest.raises(CannotCheck, match=r"^asking: no$"):
            attempt(Failure(status, "no"))
    for status in (401, 403):
        with pytest.raises(NotAllowed) as caught:
            attempt(Failure(status, "no"))
        assert caught.value.hint == "log in"
    with pytest.raises(NotAllowed) as caught:
        attempt(Failure(403, "gated", hint="accept the terms"))
    assert caught.value.hint == "accept the terms"
    with pytest.raises(ValueError, match="other"):  # about something else than a request
        with_retries("asking", lambda: int("other"), explain, "")
    assert waits == []


@pytest.mark.parametrize(
    ("said", "login"), [("Illegal header value b'x'", True), ("Too little data for declared Content-Length", False)]
)
def test_a_request_that_broke_off_is_not_taken_for_one_whose_token_cannot_be_sent(said: str, login: bool) -> None:
    kind = type("LocalProtocolError", (Exception,), {"__module__": "httpx"})
    failure = unreached(kind(said), lambda _: "the Hub", "the Hub")
    assert failure is not None and ("cannot be sent" in failure.reason, failure.status is None) == (login, not login)


def test_a_library_that_gives_up_in_the_same_moment_is_no_silence_of_before(
    waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def call() -> str:
        Event().wait(0.1)
        monkeypatch.setattr("aqea_registry.remote.retry.PATIENCE", 0.05)  # the attempt has ended, and used up all of it
        raise ValueError(Failure(LATE, "timed out"))

    for said in ("asking: no answer in time", "asking: it did not answer in time before"):
        with pytest.raises(CannotCheck, match=said):
            with_retries("asking", call, explain, "", "server of this test")
    assert waits == [0.5]


def test_after_one_silent_server_another_one_is_waited_for_less_until_it_answers(
    waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aqea_registry.remote.retry._lost", {"silent": PATIENCE})
    monkeypatch.setattr("aqea_registry.remote.retry.FIRST_ANSWER", 0.0)  # so the least wait is too much
    with pytest.raises(CannotCheck, match="did not answer in time before"):
        with_retries("asking", lambda: "late", explain, "", "another")
    monkeypatch.setattr("aqea_registry.remote.retry.FIRST_ANSWER", 0.9)
    assert with_retries("asking", lambda: "here", explain, "", "another") == "here"
    monkeypatch.setattr("aqea_registry.remote.retry.FIRST_ANSWER", 0.0)
    assert with_retries("asking", lambda: "again", explain, "", "another") == "again", "it has answered once"


def test_a_quota_that_lasts_longer_is_not_waited_for(waits: list[float]) -> None:
    for status, wanted, minutes in ((429, "2000", "34"), (503, "86400", "1440"), (500, "1e300", "1.66667e+298")):
        with pytest.raises(CannotCheck, match="many") as caught:
            attempt(Failure(status, "many", wanted))
        assert caught.value.hint == f"try again in {minutes} minutes, as it asks: what is done stays done"
    assert waits == []
    assert attempt(Failure(429, "many", "310")) == "done"


def test_in_the_end_it_gives_up(waits: list[float]) -> None:
    with pytest.raises(CannotCheck, match="busy"):
        attempt(*[Failure(503, "busy")] * ATTEMPTS)
    assert len(waits) == ATTEMPTS - 1


def answer(offset: int, cut: int, ranges: bool) -> Iterator[bytes]:
    """The blocks of an answer that breaks after some bytes; `ranges`: whether the server knows them."""
    content = CONTENT[offset if ranges else 0 :]
    for at in range(0, len(content), 1000):
        if at >= cut:
            raise ValueError(Failure(None, "cut"))
        yield content[at : at + 1000]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("offset", [0, 1, 999, 12_345, len(CONTENT)])
def test_a_download_goes_on_at_the_next_byte(waits: list[float], ranges: bool, offset: int) -> None:
    asked: list[int] = []
    cuts = iter([0, 3000, 9000, 15_000, 21_000, 10**9])

    def blocks(at: int) -> Generator[bytes, None, None]:
        asked.append(at)
        yield from from_offset(answer(at, next(cuts, 10**9), ranges), at, 206 if ranges and at else 200)

    def retrying(call: Callable[[], bytes]) -> bytes:
        return with_retries("reading", call, explain, "")

    with Download(len(CONTENT), offset, blocks, retrying).buffered() as incoming:
        assert incoming.read() == CONTENT[offset:]
    assert asked == sorted(asked)
    assert not ranges or len(set(asked[1:])) == len(asked[1:])  # no byte was asked for twice


@pytest.mark.parametrize("offset", [None, 0, 300])
def test_an_upload_is_hashed_while_it_is_read(tmp_path: Path, offset: int | None) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    size = len(CONTENT) if offset is None else 700
    wanted = CONTENT[offset or 0 :][:size]
    sent: list[int] = []
    digest = f"sha256:{hashlib.sha256(wanted).hexdigest()}"
    body = UploadBody(path, digest, size, sent.append, offset)
    for _ in range(2):  # the second time nothing new is reported
        assert b"".join(body) == wanted
        assert (len(body), sum(sent)) == (size, size)
    for changed in (wanted[:-1], bytes(size)):
        path.write_bytes(bytes(offset or 0) + changed)
        with pytest.raises(WrongBytes):
            b"".join(UploadBody(path, digest, size, ignore, offset))
    path.write_bytes(bytes(offset or 0) + wanted + b"more")
    if offset is None:
        with pytest.raises(WrongBytes, match="more than"):
            b"".join(UploadBody(path, digest, size, ignore))
    else:
        assert b"".join(UploadBody(path, digest, size, ignore, offset)) == wanted
    with pytest.raises(CannotCheck, match="cannot be read"):
        b"".join(UploadBody(tmp_path, digest, size, ignore))


@pytest.mark.parametrize(("asked", "waited"), [("0", 0.0), ("7", 7.0), ("-1", 0.5), ("300", 300.0), ("86400", LONGEST_WAIT)])
def test_a_server_decides_the_wait_up_to_a_limit(asked: str, waited: float) -> None:
    assert LONGEST_WAIT == 310  # a whole window of five minutes, and what a clock may be off
    assert wait_before(0, asked) == waited


def test_the_answer_that_nothing_is_there_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror that lacks file after file answers each time: what it takes for that does not add up."""
    clock = [0.0]
    monkeypatch.setattr("aqea_registry.remote.retry.PATIENCE", 5)
    monkeypatch.setattr("aqea_registry.remote.retry.time.monotonic", lambda: clock[0])

    def absent() -> None:
        clock[0] += 3
        raise FileNotFoundError

    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            call_server("s3://a-mirror", absent)
