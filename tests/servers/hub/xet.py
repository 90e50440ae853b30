"""Xet storage, as far as an upload goes: chunks arrive in xorbs, and a shard says which of them make a file.

Of each file the bytes are put together again and must have the sha256 that the shard gives to it; then the repositories can
have it, as if it had come by LFS. Hashes of chunks and xorbs are names here: they are not computed again.

Chunks of other uploads are never offered, and xorbs have no upload grants, so the clients send each to /v1/xorbs. Files are
read like any other: no answer says that they are in Xet.
"""

from __future__ import annotations

import hashlib
import re
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.servers.hub.calls import Call, Reply, reply, route
from tests.servers.hub.errors import EntryNotFound, Forbidden, Refused, Unauthorized

SHARD = struct.Struct("<32s2Q")  # tag, version, size of the footer
ROW = struct.Struct("<32s4I")  # hash; then what the kind of row says
CHUNK = struct.Struct("<B3sB3s")  # version, compressed size, scheme, size
FOOTER = b"XETBLOB"  # older clients end a xorb with its index
END = b"\xff" * 32
VERIFIED, WITH_SHA256 = 1 << 31, 1 << 30


class Segment(NamedTuple):
    """Some chunks of a xorb, one after the other."""

    xorb: str
    size: int  # bytes
    start: int
    stop: int


class File(NamedTuple):
    """What a shard says of a file."""

    hash: str
    sha256: str
    segments: list[Segment]


@route("GET", "/api/{kind}/{repo}/xet-read-token/{revision}")
def read_token(call: Call, kind: str, name: str, revision: str) -> Reply:
    call.downloadable(kind, name)
    return _token(call, "read")


@route("GET", "/api/{kind}/{repo}/xet-write-token/{revision}")
def write_token(call: Call, kind: str, name: str, revision: str) -> Reply:
    call.writable(kind, name)
    return _token(call, "write")


def _token(call: Call, scope: str) -> Reply:
    url, token, ends = f"{call.site.cdn}/xet", f"xet-{scope}-token", int(time.time()) + 3600
    headers = {"X-Xet-Cas-Url": url, "X-Xet-Access-Token": token, "X-Xet-Token-Expiration": str(ends)}
    return reply({"casUrl": url, "accessToken": token, "exp": ends}, headers=headers)


@route("POST", "/xet/v1/xorbs/default/{xorb}")
def upload_xorb(call: Call, xorb: str) -> Reply:
    _check_token(call)
    path = _xorb(call, xorb)
    list(chunks(call.body))
    new = not path.is_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(f".{time.monotonic_ns()}").write_bytes(call.body)
    next(path.parent.glob(f"{path.name}.*")).replace(path)
    return reply({"was_inserted": new})


@route("POST", "/xet/v1/shards")
def upload_shard(call: Call) -> Reply:
    _keep_files(call)
    return reply({"result": 1})


@route("POST", "/xet/v2/shards")
def upload_shard_v2(call: Call) -> Reply:
    _keep_files(call)
    return Reply(memoryview(b'{"type":"result"}\n'), headers={"Content-Type": "application/x-ndjson"})


def _keep_files(call: Call) -> None:
    _check_token(call)
    for file in files(call.body):
        data = b"".join(_segment(call, segment) for segment in file.segments)
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise Refused(f"The file {file.hash} does not have the sha256 that the shard gives to it")
        call.store.blobs.add(data)


def _check_token(call: Call) -> None:
    token = call.headers.get("Authorization", "").removeprefix("Bearer ")
    if not token.startswith("xet-"):
        raise Unauthorized("No token of Xet storage")
    if token != "xet-write-token":
        raise Forbidden("The token's scope is not wide enough")


def _xorb(call: Call, name: str) -> Path:
    if not re.fullmatch(r"[0-9a-f]{64}", name):
        raise Refused(f"Not a hash: {name}")
    return call.store.folder / "xorbs" / name


def _segment(call: Call, segment: Segment) -> bytes:
    path = _xorb(call, segment.xorb)
    if not path.is_file():
        raise EntryNotFound(f"The xorb was not uploaded: {segment.xorb}")
    data = b"".join(list(chunks(path.read_bytes()))[segment.start : segment.stop])
    if len(data) != segment.size:
        raise Refused(f"A segment of {segment.xorb} has {len(data)} bytes, and not {segment.size}")
    return data


def files(shard: bytes) -> Iterator[File]:
    """The files of a shard; what follows them, about the chunks, is for finding duplicates."""
    at = SHARD.size
    while True:
        name, flags, count, *_ = ROW.unpack_from(shard, at)
        if name == END:
            return
        rows = [ROW.unpack_from(shard, at + ROW.size * (1 + number)) for number in range(count)]
        at += ROW.size * (1 + count * (2 if flags & VERIFIED else 1))
        if not flags & WITH_SHA256:
            raise Refused("The shard gives no sha256 to a file")
        sha256 = _text(ROW.unpack_from(shard, at)[0])
        at += ROW.size
        yield File(_text(name), sha256, [Segment(_text(xorb), size, start, stop) for xorb, _, size, start, stop in rows])


def chunks(xorb: bytes) -> Iterator[bytes]:
    """The chunks of a xorb, uncompressed."""
    at = 0
    while at < len(xorb) and not xorb.startswith(FOOTER, at):
        if len(xorb) < at + CHUNK.size:
            raise Refused("The xorb ends in the middle of a chunk")
        version, packed, scheme, size = CHUNK.unpack_from(xorb, at)
        at += CHUNK.size
        end = at + int.from_bytes(packed, "little")
        if version or end > len(xorb):
            raise Refused("The xorb is not one")
        data = _unpack(scheme, xorb[at:end])
        if len(data) != int.from_bytes(size, "little"):
            raise Refused("A chunk of the xorb has another size than it says")
        yield data
        at = end


def _unpack(scheme: int, data: bytes) -> bytes:
    if scheme == 0:
        return data
    import lz4.frame  # type: ignore[import-untyped]

    unpacked: bytes = lz4.frame.decompress(data)
    if scheme == 1:
        return unpacked
    # The first bytes of all groups of four stand together, then the second ones...
    grouped, start = bytearray(len(unpacked)), 0
    for place in range(4):
        stop = start + (len(unpacked) + 3 - place) // 4
        grouped[place::4] = unpacked[start:stop]
        start = stop
    return bytes(grouped)


def _text(name: bytes) -> str:
    """A hash as the addresses have it: four numbers of eight bytes, each in hexadecimal."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", name))
