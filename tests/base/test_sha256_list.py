"""Lists of digests: written so that sha256sum reads them, and read from whoever wrote them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.base.files import UnsafePath, safe_path
from aqea_registry.base.sha256_list import parse_list, render
from aqea_registry.project.manifest import canonical_findings, parse_sizes, render_sizes
from tests.growth import assert_linear

A, B = "a" * 64, "b" * 64
NAMES = (
    "plain.txt",
    "with space",
    " leading",
    "*star",
    "-dash",
    "#hash",
    "ünï/cödé",
    "a'b\"c",
    "d/e/f.json",
    "(x) = y",
    "$HOME",
)


def is_safe(path: str) -> bool:
    try:
        return safe_path(path) == path
    except UnsafePath:
        return False


part = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0"), min_size=1, max_size=12)
paths = st.lists(part, min_size=1, max_size=4).map("/".join).filter(is_safe)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)


@given(st.dictionaries(paths, digests, min_size=1))
def test_what_is_written_is_read(entries: dict[str, str]) -> None:
    content = render(entries)
    found = parse_list(content, "list")
    assert found.entries == entries and found.findings == []
    assert render(found.entries) == content


@given(st.dictionaries(paths, digests, min_size=1), st.randoms(use_true_random=False))
def test_the_canonical_list_is_sorted_whatever_the_order(entries: dict[str, str], random: Random) -> None:
    lines = [f"{digest} *./{path}\n" for path, digest in entries.items()]
    random.shuffle(lines)
    assert render(parse_list("".join(lines).encode(), "list").entries) == render(entries)
    assert list(parse_list(render(entries), "list").entries) == sorted(entries)


@given(st.dictionaries(paths, st.integers(0, 10**18 - 1), min_size=1))
def test_sizes_are_read_as_written(sizes: dict[str, int]) -> None:
    assert parse_sizes(render_sizes(sizes), "sizes") == (sizes, [])


@given(
    st.binary(max_size=200) | st.lists(st.sampled_from([A, "  ", " *", "SHA256 (", ") = ", "x", "\\", "\n", "\r"])).map("".join)
)
def test_nothing_breaks_the_reader(content: bytes | str) -> None:
    found = parse_list(content.encode() if isinstance(content, str) else content, "list")
    assert found.entries or found.findings
    assert all(is_safe(path) for path in found.entries)
    parse_sizes(content.encode() if isinstance(content, str) else content, "sizes")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files under awkward names, each with bytes of its own."""
    for name in NAMES:
        place = tmp_path / "files" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(name * 3)
    return tmp_path / "files"


def truth(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in NAMES}


def made_by(folder: Path, *words: str) -> bytes:
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not on PATH")
    return subprocess.run([*words, *(f"./{name}" for name in NAMES)], cwd=folder, capture_output=True, check=True).stdout


def test_sha256sum_accepts_what_is_written(folder: Path) -> None:
    (folder / "LIST").write_bytes(render(truth(folder)))
    command = ["sha256sum", "--check", "--strict", "LIST"]
    assert subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0
    (folder / "plain.txt").write_text("other")
    assert subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize(
    "words",
    [
        ("sha256sum",),
        ("sha256sum", "-b"),
        ("sha256sum", "--text"),
        ("sha256sum", "--tag"),
        ("shasum", "-a", "256"),
        ("openssl", "dgst", "-sha256"),
        ("openssl", "dgst", "-r", "-sha256"),
    ],
    ids=" ".join,
)
def test_lists_of_real_programs_are_read(folder: Path, words: tuple[str, ...]) -> None:
    found = parse_list(made_by(folder, *words), "list")
    assert found.findings == []
    assert found.entries == truth(folder)


def test_a_name_that_sha256sum_escapes_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a\nb").write_text("x")
    (tmp_path / "a\\b").write_text("x")
    content = subprocess.run(["sha256sum", "a\nb", "a\\b"], cwd=tmp_path, capture_output=True, check=True).stdout
    found = parse_list(content, "list")
    assert found.entries == {}
    assert [(finding.code, finding.subject) for finding in found.findings] == [
        ("unsafe-path", "list:1"),
        ("unsafe-path", "list:2"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        f"{A}  x",
        f"{A} *x",
        f"{A.upper()}  x",
        f"SHA256 (x) = {A}",
        f"SHA256(x)= {A}",
        f"SHA256 (x) = {A.upper()}",
        f"{A}  ./x",
        f"# a comment\n\n   \n{A}  x\n\n# the end",
        f"{A}  x\n",
    ],
)
def test_forms_of_one_line_mean_the_same(line: str) -> None:
    assert parse_list(line.encode(), "list") == ({"x": A}, [])


BAD = {
    "empty": (b"", "malformed", "list", "names no file"),
    "only comments": (b"# nothing\n\n", "malformed", "list", "names no file"),
    "not UTF-8": (f"{A}  x\n".encode() + b"\xff\xfe", "malformed", "list", "byte 68 is not UTF-8"),
    "UTF-16": (f"{A}  x\n".encode("utf-16"), "malformed", "list", "not UTF-8"),
    "a short digest": (f"{A[:63]}  x\n".encode(), "malformed", "list:1", "not a line of sha256sum"),
    "a long digest": (f"{A}a  x\n".encode(), "malformed", "list:1", "not a line of sha256sum"),
    "no hex": (f"{'g' * 64}  x\n".encode(), "malformed", "list:1", "not a line of sha256sum"),
    "other digits": (f"{'１' * 64}  x\n".encode(), "malformed", "list:1", "not a line of sha256sum"),
    "one space": (f"{A} x\n".encode(), "malformed", "list:1", "not a line of sha256sum"),
    "no path": (f"{A}  \n".encode(), "malformed", "list:1", "not a line of sha256sum"),
    "no digest": (b"x\n", "malformed", "list:1", "not a line of sha256sum"),
    "leading space": (f" {A}  x\n".encode(), "malformed", "list:1", "not a line of sha256sum"),
    "CRLF": (f"{A}  x\r\n".encode(), "malformed", "list:1", "CRLF"),
    "CRLF in a tag": (f"SHA256 (x) = {A}\r\n".encode(), "malformed", "list:1", "CRLF"),
    "MD5 tag": (b"MD5 (x) = " + b"0" * 32 + b"\n", "malformed", "list:1", "a MD5 digest"),
    "SHA512 tag": (b"SHA512 (x) = " + b"0" * 128 + b"\n", "malformed", "list:1", "a SHA512 digest"),
    "an md5sum line": (b"0" * 32 + b"  x\n", "malformed", "list:1", "not a line of sha256sum"),
    "absolute": (f"{A}  /etc/passwd\n".encode(), "unsafe-path", "list:1", "absolute"),
    "absolute in a tag": (f"SHA256 (/etc/passwd) = {A}\n".encode(), "unsafe-path", "list:1", "absolute"),
    "climbing": (f"{A}  a/../../b\n".encode(), "unsafe-path", "list:1", "'..'"),
    "climbing after a dot": (f"{A}  ./../b\n".encode(), "unsafe-path", "list:1", "'..'"),
    "absolute after a dot": (f"{A}  .//b\n".encode(), "unsafe-path", "list:1", "absolute"),
    "two dots": (f"{A}  ././b\n".encode(), "unsafe-path", "list:1", "components"),
    "NUL": (f"{A}  a\0b\n".encode(), "unsafe-path", "list:1", "NUL"),
    "backslash": (f"{A}  a\\b\n".encode(), "unsafe-path", "list:1", "backslash"),
    "GNU-escaped": (f"\\{A}  a\\nb\n".encode(), "unsafe-path", "list:1", "backslash"),
    "a drive": (f"{A}  C:/b\n".encode(), "unsafe-path", "list:1", "drive"),
    "a terminal's escape": (f"{A}  \x1b[31mred\n".encode(), "unsafe-path", "list:1", "control"),
    "duplicate": (f"{A}  x\n{A} *./x\n".encode(), "duplicate", "list:2", "listed twice"),
    "conflict": (f"{A}  x\n{B}  x\n".encode(), "conflict", "list:2", "two different digests"),
    "cut off": (f"{A}  x\n{B}  y\n{A[:20]}".encode(), "malformed", "list:3", "not a line of sha256sum"),
}


@pytest.mark.parametrize(("content", "code", "subject", "message"), BAD.values(), ids=BAD)
def test_a_bad_line_is_one_finding(content: bytes, code: str, subject: str, message: str) -> None:
    (finding,) = parse_list(content, "list").findings
    assert (finding.code, finding.subject) == (code, subject)
    assert message in finding.message


def test_a_file_that_is_no_list_at_all_is_one_finding() -> None:
    (finding,) = parse_list(b"It was a dark\nand stormy\nnight.\n", "list")[1]
    assert (finding.code, finding.subject) == ("malformed", "list")
    assert "none of its 3 lines" in finding.message


def test_good_lines_beside_a_bad_one_are_kept() -> None:
    found = parse_list(f"{A}  x\nnonsense\n{B}  y\n{B}  x\n{A}  ../z\n".encode(), "list")
    assert found.entries == {"x": A, "y": B}
    assert [(finding.code, finding.subject) for finding in found.findings] == [
        ("malformed", "list:2"),
        ("conflict", "list:4"),
        ("unsafe-path", "list:5"),
    ]


LONG: dict[str, tuple[str, str, str]] = {
    "letters": ("A", "A", ""),
    "closed": ("A (", ")", ""),
    "closed and said": ("A (", ")=0", ""),
    "said": ("SHA256 (", ") = ", ")"),
    "opened": ("SHA256 (", "(", ""),
    "spaces": ("", " ", ""),
    "folders": (f"{A}  ", "a/", "a"),
    "backslashes": ("", "\\", ""),
}


@pytest.mark.parametrize("name", LONG)
def test_time_grows_with_the_length_of_a_line(name: str) -> None:
    start, unit, end = LONG[name]

    def work(size: int) -> Callable[[], object]:
        content = f"{A}  x\n{start}{unit * size}{end}\n".encode()
        assert parse_list(content, "list").entries["x"] == A
        return lambda: parse_list(content, "list")

    assert_linear(work, 1 << 19)


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"", 1), (b"x\n", 1), (b"1 x\n", 1), (b"-1  x\n", 1), (b"1  x\n2  x\n", 2), (b"9" * 19 + b"  x\n", 1), (b"1  \n", 1)],
)
def test_a_bad_list_of_sizes_is_one_finding(content: bytes, line: int) -> None:
    sizes, (finding,) = parse_sizes(content, "sizes")
    assert sizes == {}
    assert (finding.code, finding.subject) == ("malformed", f"sizes:{line}")


def test_a_list_edited_by_hand_is_named_with_its_line() -> None:
    canonical = render({"a": A, "b": B, "c": A})
    assert canonical_findings(canonical, canonical, "list") == []
    for content, line in (
        (canonical.replace(b"  b", b" *b"), 2),
        (canonical + b"\n", 4),
        (canonical[:-1], 3),
        (b"# note\n" + canonical, 1),
        (b"", 1),
    ):
        (finding,) = canonical_findings(content, canonical, "list")
        assert (finding.code, finding.subject) == ("malformed", f"list:{line}")
