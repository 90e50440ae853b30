"""Lists of digests: written so that sha256sum reads them, and read from whoever wrote them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aqea_registry.base import sha256_list
from aqea_registry.base.files import UnsafePath, safe_path
from aqea_registry.base.recognise import canonical_findings
from aqea_registry.base.sha256_list import Parsed, parse_list, render
from aqea_registry.project.lock import parse_sizes, render_sizes
from tests import sampling
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


tokens = [A, "  ", " *", " ", "\t", "SHA256 (", ") = ", "x", "\\", "\n", "\r", "\0", "\n<<<<<<< a\n", ">>>>>>> b", "%0A"]
tokens += ["-----BEGIN PGP SIGNED MESSAGE-----\n", "-----BEGIN PGP SIGNATURE-----\n", "-----END PGP SIGNATURE-----\n", "# "]


@given(
    st.binary(max_size=200) | st.lists(st.sampled_from(tokens)).map(lambda texts: "".join(texts).encode()),
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"]),
    st.sampled_from(["list", "x.sha256", ".sha256", "manifest-sha256.txt"]),
)
def test_nothing_breaks_the_reader(content: bytes, mark: bytes, name: str) -> None:
    found = parse_list(mark + content, name)
    assert found.entries or found.findings
    assert all(is_safe(path) for path in found.entries)
    assert all(name in note for note in found.notes(name))
    parse_sizes(mark + content, "sizes")


def test_a_list_in_utf_16_is_read_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    content = f"{A}  x\n{B}  y\n".encode("utf-16")
    for size in range(len(content) - 8, len(content)):
        monkeypatch.setattr(sha256_list, "LARGEST_UTF16", size)
        found = parse_list(content, "list")
        assert (found.entries, codes(found)) == ({}, ["malformed"])
    monkeypatch.setattr(sha256_list, "LARGEST_UTF16", len(content))
    assert parse_list(content, "list").entries == {"x": A, "y": B}


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
    found = parse_list(line.encode(), "list")
    assert (found.entries, found.findings) == ({"x": A}, [])
    assert found.forms == (("BSD tags",) if "SHA256" in line else ()), "only what is unusual is said"


HEAD = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"
TAIL = "-----BEGIN PGP SIGNATURE-----\nVersion: 1\n\naGVsbG8=\n=abcd\n-----END PGP SIGNATURE-----\n"
DIALECTS: dict[str, tuple[str, bytes, str]] = {
    "CRLF": ("list", f"# files\r\n{A}  x\r\n\r\n{B} *y\r\n".encode(), "CRLF"),
    "tags and CRLF": ("list", f"SHA256 (x) = {A}\r\nSHA256 (y) = {B}\r\n".encode(), "BSD tags"),
    "tags of OpenSSL": ("list", f"SHA2-256(x)= {A}\nSHA2-256(y)= {B}\n".encode(), "BSD tags"),
    "tags with blanks": ("list", f" SHA256(x)={A}\n\tSHA256 (y) \t=  {B}\n".encode(), "BSD tags"),
    "one space": ("list", f"{A} x\n{B} y\n".encode(), "one blank"),
    "a tab": ("list", f"{A}\tx\n{B}\ty\n".encode(), "one blank"),
    "indented": ("list", f"    {A}  x\n\t{B}  y\n".encode(), "blanks before the digest"),
    "a mark": ("list", f"{A}  x\n{B}  y\n".encode("utf-8-sig"), "byte order mark"),
    "joined, each with a mark": (
        "list",
        f"{A}  x\r\n".encode("utf-8-sig") + f"{B}  y\r\n".encode("utf-8-sig"),
        "byte order mark",
    ),
    "CR": ("list", f"{A}  x\r{B}  y".encode(), "lines that end in CR"),
    "CR in UTF-16": ("list", f"{A}  x\r{B}  y\r".encode("utf-16"), "lines that end in CR"),
    "with other digests": ("list", f"{A[:32]}  x\n{A}  x\n{B}  y\n{A * 2} *./x\n".encode(), "beside other digests"),
    "tags of others too": (
        "list",
        f"MD5 (x) = {A[:32]}\nSHA256 (x) = {A}\nSHA256 (y) = {B}\nSIZE (y) = 3\n".encode(),
        "beside other digests",
    ),
    "UTF-16": ("list", f"{A}  x\r\n{B}  y\r\n".encode("utf-16"), "UTF-16"),
    "UTF-16, high byte first": ("list", b"\xfe\xff" + f"{A}  x\n{B}  y\n".encode("utf-16-be"), "UTF-16"),
    "signed": ("list", f"{HEAD}# ours\n{A}  x\n{B}  y\n{TAIL}".encode(), "OpenPGP"),
    "signed, dashes escaped": ("list", f"{HEAD}- -- of today\n{A}  x\n- {B}  y\n{TAIL}".encode(), "OpenPGP"),
    "signed, CRLF": ("list", f"{HEAD}{A}  x\n{B}  y\n{TAIL}".replace("\n", "\r\n").encode(), "CRLF"),
    "signed, one space": ("list", f"{HEAD}{A} x\n{B} y\n{TAIL}".encode(), "one blank"),
    "signed in two parts": ("list", f"{HEAD}{A}  x\n{TAIL}\n{HEAD}{B}  y\n{TAIL}".encode(), "OpenPGP"),
    "by signify": (
        "list",
        f"untrusted comment: verify with openbsd-70-base.pub\nRWR3KL+gSr4QZ0mD=\nSHA256 (x) = {A}\nSHA256 (y) = {B}\n".encode(),
        "signify",
    ),
    "a bag's payload": ("manifest-sha256.txt", f"{A}   x\n{B} \t*y\n".encode(), "BagIt"),
    "a bag's tags": ("tagmanifest-sha256.txt", f"{A} x\n{B}  ./y\n".encode(), "BagIt"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_dialect_is_read_and_named(dialect: str) -> None:
    name, content, form = DIALECTS[dialect]
    found = parse_list(content, name)
    wrong = [finding for finding in found.findings if "-- of today" not in content.decode("utf-8", "replace")]
    assert (found.entries, wrong) == ({"x": A, "y": B}, [])
    assert any(form in note and f"{name}: read as " in note for note in found.notes(name))
    assert sum("gpg --verify" in note for note in found.notes(name)) == ("signed" in dialect)
    assert sum("signify -V" in note for note in found.notes(name)) == ("signify" in dialect)


def test_the_usual_form_is_not_noted() -> None:
    assert list(parse_list(f"# files\n; more\n{A}  x\n{B} *y\n".encode(), "list").notes("list")) == []


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (f"{A}  x\n{HEAD}{B}  y\n{TAIL}", {"list:2"}),
        (f"{HEAD}{B}  y\n{TAIL}{A}  x\n", {"list:11"}),
        (f"{HEAD}{B}  y\n{TAIL}SHA256 (x) = {A}\n", {"list:11"}),
        (HEAD.replace("\n\n", f"\n{A}  x\n\n") + f"{B}  y\n{TAIL}", {"list:3"}),
        (f"{HEAD}{B}  y\n{TAIL}".replace("Version: 1", f"{A}  x"), {"list:6"}),
        (f"{HEAD}{B}  y\n", {"list"}),
        (f"{HEAD}{B}  y\n{TAIL}".replace("-----END", "-----"), {"list"}),
    ],
)
def test_what_is_not_signed_in_a_signed_list_is_a_finding(content: str, lines: set[str]) -> None:
    found = parse_list(content.encode(), "list")
    assert found.entries == {"y": B}
    assert {(finding.code, finding.subject) for finding in found.findings} == {("malformed", line) for line in lines}


@pytest.mark.parametrize("ending", [".sha256", ".sha256sum", ".sha256.txt", ".SHA256"])
@pytest.mark.parametrize("content", [A, f" {A.upper()} \r\n", f"{A}  -\n", f"{A} *stdin\n", f"SHA2-256(stdin)= {A}\n"])
def test_a_digest_alone_is_that_of_the_file_that_the_list_is_named_after(content: str, ending: str) -> None:
    found = parse_list(content.encode(), f"x.tar.gz{ending}")
    assert (found.entries, found.findings) == ({"x.tar.gz": A}, [])
    assert any("x.tar.gz by the list's own name" in note for note in found.notes("list"))
    unnamed = parse_list(content.encode(), "list")
    assert (unnamed.entries == {} and unnamed.findings) or set(unnamed.entries) <= {"-", "stdin"}
    assert not parse_list(f"{A}\n{B}\n".encode(), "x.sha256").entries, "two digests are of no one file"
    assert codes(parse_list(A.encode(), "...sha256")) == ["unsafe-path"]


def codes(found: Parsed) -> list[str]:
    return [finding.code for finding in found.findings]


def test_a_bags_names_are_decoded_and_still_checked() -> None:
    found = parse_list(f"{A}  data/100%25\n{B}  data/a%0Ab\n{A}  data/a%20b\n".encode(), "manifest-sha256.txt")
    assert found.entries == {"data/100%": A, "data/a%20b": A}
    assert [(finding.code, finding.subject) for finding in found.findings] == [("unsafe-path", "manifest-sha256.txt:2")]
    assert parse_list(f"{A}  100%25\n".encode(), "list").entries == {"100%25": A}, "only there"


names = st.sampled_from(["ab", "b c", " lead", "*star", "x) = y", "tail ", "#hash", "d/e"])
digests_written = st.sampled_from([A, A.upper(), B, A[1:]])
plain_lines = st.tuples(
    st.sampled_from(["", " ", "\t \t", "\\", "#"]),
    digests_written,
    st.sampled_from([" ", "  ", " *", "\t", "\t ", "   ", "*"]),
    names,
)
tag_lines = st.tuples(
    st.sampled_from(["", " "]),
    st.sampled_from(["SHA256 (", "SHA256(", "SHA256  (", "sha256 ("]),
    names,
    st.sampled_from([") = ", ")=", ")\t=\t", ") "]),
    digests_written,
)
other_lines = st.sampled_from([("",), (" ",), ("# note",), (" # note",), ("word",), (A,)])
lines = st.tuples((plain_lines | tag_lines | other_lines).map("".join), st.sampled_from(["\n", "\r\n"])).map("".join)


@settings(max_examples=sampling.times(60, 20), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(lines, min_size=1, max_size=5).map("".join))
def test_the_files_of_a_list_are_those_that_sha256sum_reads(tmp_path: Path, content: str) -> None:
    """Neither fewer nor others; their bytes and whether they are here do not matter."""
    done = subprocess.run(["sha256sum", "-c"], input=content.encode(), cwd=tmp_path, capture_output=True, check=False)
    read = {line.rpartition(": FAILED")[0] for line in done.stdout.decode().splitlines()}
    assert set(parse_list(content.encode(), "list").entries) == read


BAD = {
    "empty": (b"", "malformed", "list", "names no file"),
    "only comments": (b"# nothing\n\n", "malformed", "list", "names no file"),
    "another digest of another file": (f"{A}  x\n{A[:32]}  y\n".encode(), "malformed", "list:2", "the digest is MD5"),
    "a short digest of a listed file": (f"{A}  x\n{A[:62]}  x\n".encode(), "malformed", "list:2", "not a line of sha256sum"),
    "a short tag of a listed file": (f"{A}  x\nSHA256 (x) = {A[:56]}\n".encode(), "malformed", "list:2", "SHA-224; only"),
    "two ways, of a listed file": (f"{A}  x\n{B} x\n".encode(), "malformed", "list:2", "not a line of sha256sum"),
    "hashdeep": (f"6,{A[:32]},{A},/tmp/x\n".encode(), "malformed", "list:1", "a digest in another form"),
    "half a conflict": (f"{A}  x\n>>>>>>> b\n{B}  y\n".encode(), "malformed", "list:2", "line 2: a merge conflict"),
    "not UTF-8": (f"{A}  x\n".encode() + b"\xff\xfe", "malformed", "list", "byte 68 is not UTF-8"),
    "a short digest": (f"{A[:63]}  x\n".encode(), "malformed", "list:1", "not a line of sha256sum"),
    "a long digest": (f"{A}a  x\n".encode(), "malformed", "list:1", "not a line of sha256sum"),
    "no hex": (f"{'g' * 64}  x\n".encode(), "malformed", "list:1", "not a line of sha256sum"),
    "other digits": (f"{'１' * 64}  x\n".encode(), "malformed", "list:1", "not a line of sha256sum"),
    "no path": (f"{A}  \n".encode(), "malformed", "list:1", "a digest without a file name"),
    "no path in a list of one file": (f"{A}\n{B}\n".encode(), "malformed", "list", "a digest without a file name"),
    "damaged UTF-16": (f"{A}  x\n".encode("utf-16")[:-1], "malformed", "list", "UTF-16"),
    "UTF-16 without its mark": (f"{A}  x\n".encode("utf-16-le"), "malformed", "list", "save it as UTF-8"),
    "two ways to read a path": (f"{A}  x\n{B} y\n".encode(), "malformed", "list:2", "not a line of sha256sum"),
    "a name that ends in CR": (f"{A}  x\r\r\n".encode(), "unsafe-path", "list:1", "control"),
    "no digest": (b"x\n", "malformed", "list:1", "not a line of sha256sum"),
    "MD5 tag": (b"MD5 (x) = " + b"0" * 32 + b"\n", "malformed", "list:1", "the digest is MD5"),
    "SHA512 tag": (b"SHA512 (x) = " + b"0" * 128 + b"\n", "malformed", "list:1", "the digest is SHA512"),
    "an md5sum line": (b"0" * 32 + b"  x\n", "malformed", "list:1", "the digest is MD5; only SHA256 is checked"),
    "b2sum": (f"{A * 2}  x\n{B * 2}  y\n".encode(), "malformed", "list", "first the digest is SHA-512 or BLAKE2b; only SHA256"),
    "certutil": (f"SHA256 hash of x:\r\n{A}\r\nDone.\r\n".encode(), "malformed", "list", "first a digest without a file name"),
    "Get-FileHash": (
        f"Algorithm  Hash  Path\r\n---------  ----  ----\r\nSHA256     {A.upper()}  C:\\x\r\n".encode("utf-16"),
        "malformed",
        "list",
        "it has a digest in another form",
    ),
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
    "closed and indented": ("\t SHA256 (x", ") \t", "="),
    "indented": (" ", " ", A),
    "blanks": (A, " \t", ""),
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
