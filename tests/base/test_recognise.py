"""What a file is that stands where a model or data file should, known by its first bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.base.files import wrong_content
from aqea_registry.base.recognise import HEAD, LfsPointer, content_finding, lfs_pointer, what_it_is
from tests.helpers import weights

SHA256 = hashlib.sha256(b"the weights").hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{SHA256}\nsize 11\n".encode()

POINTERS = {
    "as git-lfs writes it": POINTER,
    "lines of Windows": POINTER.replace(b"\n", b"\r\n"),
    "no final newline": POINTER.rstrip(),
    "an extension": POINTER.replace(b"oid", b"ext-0-case sha256:%b\noid" % SHA256.encode()),
}


@pytest.mark.parametrize("content", POINTERS.values(), ids=POINTERS)
def test_every_spelling_of_an_lfs_pointer_is_read(content: bytes) -> None:
    assert lfs_pointer(content) == LfsPointer(SHA256, 11)
    finding = content_finding(content, "model.safetensors", "mine: model.safetensors")
    assert finding is not None
    assert (finding.code, finding.subject) == ("malformed", "mine: model.safetensors")
    assert finding.message == (
        f"model.safetensors is a Git LFS pointer to sha256 {SHA256} (11 bytes), not the file; run: git lfs pull"
    )


NOT_THE_FILE = {
    b"": "empty",
    b"\0" * HEAD: "nothing but zero bytes",
    POINTER.replace(SHA256.encode(), b"..."): "a Git LFS pointer that cannot be read",
    b"<!DOCTYPE html>\n<html><title>Sign in</title>": "a web page",
    b"\xef\xbb\xbf\r\n <HTML lang=en>": "a web page",
    b"<?xml version='1.0'?>\n<!-- proxy -->\n<!doctype HTML PUBLIC '-//W3C//DTD XHTML 1.0//EN'>": "a web page",
    b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>": "an XML document",
    b"Entry not found": "a server's answer",
    POINTER.replace(b"git-lfs", b"hawser"): "a Git LFS pointer to sha256",
    b"/annex/objects/SHA256E-s90--12ab.safetensors\n": "a pointer of git-annex",
    b"../.git/annex/objects/3k/Wq/SHA256E-s90--12ab/SHA256E-s90--12ab": "a pointer of git-annex",
    b"<<<<<<< HEAD\n{}\n=======\n[]\n>>>>>>> b\n": "a text with a merge conflict that is not resolved",
    b"-----BEGIN PGP SIGNATURE-----\n\niHUE": "an OpenPGP message or a signature",
    b'# xet version 0\nfilesize = 90\nhash = "12ab"\n': "a Xet pointer",
}


@pytest.mark.parametrize(("content", "what"), NOT_THE_FILE.items(), ids=NOT_THE_FILE.values())
def test_what_stands_in_the_place_of_a_file_is_named(content: bytes, what: str) -> None:
    for path in ("test.jsonl", "0001.parquet", "model.safetensors", "tokenizer.json"):
        assert (what_it_is(content, path) or "").startswith(what)


@pytest.mark.parametrize(
    "content", [b"\x1f\x8b\x08", b"PK\x03\x04", b"\x80\x02}q\0.", b'{"error": "login"}', b"PAR", b"quota exceeded"]
)
def test_a_format_that_begins_always_alike_is_known_by_that(content: bytes) -> None:
    for path in ("model.safetensors", "0001.parquet"):
        assert (what_it_is(content, path) or "").startswith("damaged or of another format")
    assert (what_it_is(content, "test.jsonl.gz") is None) == content.startswith(b"\x1f\x8b")
    assert what_it_is(content, "vocab.txt") is None


def test_files_that_may_be_so_are_left_alone() -> None:
    assert what_it_is(b"", "code/__init__.py") is None
    assert what_it_is(b"<html>", "README.md") is None
    assert what_it_is(POINTER, "README.md") is not None, "a pointer is never the file"
    for start in (b'{"sentence1": "<html>"}\n', b"PAR1", b"\x1f\x8b\x08", b"<s>\n<pad>\n", b"\x08\0\0\0\0\0\0\0{}", b"\0\0\0{"):
        assert what_it_is(start, "file") is None, start
    assert lfs_pointer(POINTER + b"more\n") is None


WHOLE = weights(b"w" * 9000)
CUT = {
    "whole": (WHOLE, ""),
    "no tensor": (b"\x02\0\0\0\0\0\0\0{}", ""),
    "cut": (WHOLE[:-1], f"it has {len(WHOLE) - 1} bytes, and by its header {len(WHOLE)}"),
    "longer": (WHOLE + b"\0", f"it has {len(WHOLE) + 1} bytes, and by its header {len(WHOLE)}"),
    "cut in its header": (WHOLE[:40], "its header cannot be read"),
    "a header of exabytes": (b"\xff" * 7 + b"\x0f{}", "it has 10 bytes, and by its header 1152921504606846983"),
    "offsets that are none": (b'\x0a\0\0\0\0\0\0\0{"x": [0]}', "its header cannot be read"),
}


@pytest.mark.parametrize("case", CUT)
def test_weights_that_are_not_whole_are_known_by_their_header(tmp_path: Path, case: str) -> None:
    content, message = CUT[case]
    (tmp_path / "x").write_bytes(content)
    finding = wrong_content(tmp_path / "x", "model.safetensors")
    assert (finding is None) == (not message)
    assert finding is None or (finding.code, message in finding.message) == ("malformed", True)


@given(st.binary(max_size=200))
def test_any_bytes_are_looked_at(content: bytes) -> None:
    for mark in (b"", b"\xff\xfe", b"\xfe\xff", b"<!--", POINTER[:60]):
        what_it_is(mark + content)
