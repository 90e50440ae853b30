"""`aqea-registry verify` on lists and folders of strangers, made by the tools that people use."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.growth import assert_linear
from tests.helpers import finish, found, start, tree
from tests.tools import ROOT, Result, aqea, run

PLAIN = ("a.txt", "with space.txt", "  two leading.txt", "déjà vu.txt", "日本語/ファイル.bin")
NAMES = (*PLAIN, "*star.txt", "SHA256 (x) = y", "-dash")
HEAVY = {"torch", "dvc", "pyarrow", "huggingface_hub", "sentence_transformers", "scipy", "datasets"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Some files with awkward names."""
    root = tmp_path / "files"
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"the content of {name}\n")
    return root


def listed(folder: Path, *words: str) -> bytes:
    """What a digest program says of the files."""
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    result = run(*words, *(f"./{name}" if name.startswith("-") else name for name in NAMES), cwd=folder)
    assert result.status == 0, result.err
    return result.out.encode()


MAKERS = {
    "sha256sum": ("sha256sum",),
    "sha256sum --binary": ("sha256sum", "-b"),
    "sha256sum --tag": ("sha256sum", "--tag"),
    "shasum": ("shasum", "-a", "256"),
    "shasum --binary": ("shasum", "-a", "256", "-b"),
    "shasum --tag": ("shasum", "-a", "256", "--tag"),
    "openssl": ("openssl", "dgst", "-sha256"),
    "openssl -r": ("openssl", "dgst", "-sha256", "-r"),
    "python": (
        sys.executable,
        "-c",
        "import hashlib, sys\n"
        "for name in sys.argv[1:]: print(hashlib.sha256(open(name, 'rb').read()).hexdigest(), name, sep='  ')",
    ),
}


@pytest.mark.parametrize("maker", MAKERS)
def test_a_list_of_any_maker_is_read(folder: Path, maker: str) -> None:
    (folder / "LIST").write_bytes(listed(folder, *MAKERS[maker]))
    result = aqea("verify", "LIST", "--json", cwd=folder)
    assert (result.status, found(result), result.json()["files"]) == (0, set(), len(NAMES)), (folder / "LIST").read_text()
    (folder / "déjà vu.txt").write_text("another content\n")
    (folder / "日本語/ファイル.bin").unlink()
    result = aqea("verify", "LIST", "--json", cwd=folder)
    assert (result.status, found(result)) == (1, {("mismatch", "déjà vu.txt"), ("missing", "日本語/ファイル.bin")})


def test_a_list_by_find_and_xargs_has_dots_before_its_paths(folder: Path) -> None:
    made = run("sh", "-c", "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum", cwd=folder)
    (folder.parent / "LIST").write_text(made.out)
    assert made.out.count("  ./") == len(NAMES)
    result = aqea("verify", folder.parent / "LIST", "--root", folder, "--json", cwd=Path("/"))
    assert (result.status, result.json()["files"]) == (0, len(NAMES))


def test_the_root_of_a_list_can_be_named(folder: Path) -> None:
    (folder.parent / "LIST").write_bytes(listed(folder, "sha256sum"))
    assert aqea("verify", "LIST", "--root", "files", cwd=folder.parent).status == 0
    assert aqea("verify", "-C", folder.parent, "LIST", "--root", "files", cwd=Path("/")).status == 0, "relative to -C"
    lost = aqea("verify", "LIST", "--json", cwd=folder.parent)
    assert (lost.status, {code for code, _ in found(lost)}) == (1, {"missing"})
    for words in (("LIST", "--root", "nowhere"), ("LIST", "--root", "LIST"), ("files", "--root", "files")):
        result = aqea("verify", *words, cwd=folder.parent)
        assert (result.status, result.out) == (2, ""), words
        assert "--root" in result.err


@pytest.mark.parametrize("name", ["SHA256SUMS", "SHA256SUMS.txt", "sha256sum.txt", "SHASUMS256.txt.asc", "MANIFEST.sha256"])
def test_a_folder_is_checked_against_the_list_in_it(folder: Path, name: str) -> None:
    other = b"lr: 0.1\n"
    (folder / "params.yaml").write_bytes(other)  # of another program
    own = f"{hashlib.sha256(other).hexdigest()}  params.yaml\n".encode()
    (folder / name).write_bytes(listed(folder, "sha256sum") + own)
    before = tree(folder)
    result = aqea("verify", folder, "--json", cwd=Path("/"))
    assert (result.status, result.json()["files"]) == (0, len(NAMES) + 1)
    assert tree(folder) == before
    (folder / "日本語/more").write_text("x")
    (folder / "a.txt").write_text("x")
    (folder / "with space.txt").unlink()
    (folder / "away").symlink_to("/etc")
    result = aqea("verify", folder, "--json", cwd=Path("/"))
    expected = {("unexpected", "日本語/more"), ("mismatch", "a.txt"), ("missing", "with space.txt"), ("unexpected", "away")}
    assert (result.status, found(result)) == (1, expected)


def test_what_is_not_there_or_has_no_list_is_told_apart(folder: Path) -> None:
    no_list = aqea("verify", folder, cwd=Path("/"))
    assert (no_list.status, no_list.out) == (2, "")
    assert "SHA256SUMS" in no_list.err
    assert "--root" in no_list.err, "the hint says what to do"
    for words in (("NOTHING",), ("NOTHING", "--root", ".")):
        lost = aqea("verify", *words, cwd=folder)
        assert (lost.status, lost.out) == (3, ""), words
        assert "NOTHING not found" in lost.err


def test_a_file_whose_name_ends_in_cr_is_not_taken_for_another(folder: Path) -> None:
    (folder / "LIST").write_bytes(listed(folder, "sha256sum").replace(b"\n", b"\r\n"))
    alone = aqea("verify", "LIST", "--json", cwd=folder)
    assert (alone.status, len(alone.json()["notes"])) == (0, 1)
    (folder / "a.txt\r").write_text("other\n")
    result = aqea("verify", "LIST", "--json", cwd=folder)
    assert (result.status, result.json()["notes"][0]) == (0, alone.json()["notes"][0])
    assert r"'a.txt\r'" in result.json()["notes"][1], "it is said to be here, and not checked"
    assert r"'a.txt\r'" in aqea("verify", "LIST", cwd=folder).out


def test_a_digest_without_a_name_is_checked_or_the_name_is_missed(tmp_path: Path) -> None:
    (tmp_path / "hi").write_text("hi\n")
    for name in ("hi.sha256", "gone.sha256", "LIST"):
        (tmp_path / name).write_text(f"{GOOD}\n")
    right = aqea("verify", "hi.sha256", "--json", cwd=tmp_path)
    assert (right.status, right.json()["files"]) == (0, 1)
    assert "hi by the list's own name" in "".join(right.json()["notes"])
    for name, expected in (("gone.sha256", ("missing", "gone")), ("LIST", ("malformed", "LIST:1"))):
        wrong = aqea("verify", name, "--json", cwd=tmp_path)
        assert (wrong.status, found(wrong)) == (1, {expected})
        assert "a digest without a file name" in wrong.json()["findings"][0]["message"]
    (tmp_path / "hi").write_text("other\n")
    assert found(aqea("verify", "hi.sha256", "--json", cwd=tmp_path)) == {("mismatch", "hi")}


def bag(root: Path) -> None:
    """As its specification has it: names are encoded, the payload is listed whole, the other files need not be."""
    (root / "data/sub").mkdir(parents=True)
    contents = {"data/a 100%.txt": "a\n", "data/sub/b.txt": "b\n", "bagit.txt": "BagIt-Version: 1.0\n"}
    for name, content in contents.items():
        (root / name).write_text(content)
    lines = {
        name: f"{hashlib.sha256(text.encode()).hexdigest()}   {name.replace('%', '%25')}\n" for name, text in contents.items()
    }
    (root / "manifest-sha256.txt").write_text("".join(line for name, line in lines.items() if name.startswith("data/")))
    (root / "tagmanifest-sha256.txt").write_text(lines["bagit.txt"])


def test_a_bag_is_checked_with_its_payload_and_its_tags(tmp_path: Path) -> None:
    bag(tmp_path)
    result = aqea("verify", ".", "--json", cwd=tmp_path)
    assert (result.status, result.json()["files"], found(result)) == (0, 3, set())
    notes = "\n".join(result.json()["notes"])
    assert "tagmanifest-sha256.txt: read as a manifest of BagIt" in notes
    (tmp_path / "bag-info.txt").write_text("Source: here\n")
    (tmp_path / "data/more").write_text("more\n")
    (tmp_path / "bagit.txt").write_text("BagIt-Version: 9\n")
    (tmp_path / "data/sub/b.txt").unlink()
    result = aqea("verify", ".", "--json", cwd=tmp_path)
    assert found(result) == {("unexpected", "data/more"), ("mismatch", "bagit.txt"), ("missing", "data/sub/b.txt")}
    assert "not checked: bag-info.txt" in "\n".join(result.json()["notes"])
    (tmp_path / "tagmanifest-sha256.txt").unlink()
    assert found(aqea("verify", ".", "--json", cwd=tmp_path)) == {("unexpected", "data/more"), ("missing", "data/sub/b.txt")}


GOOD = "98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4"  # of "hi\n"
BAD: dict[str, tuple[bytes, set[tuple[str, str]]]] = {
    "empty": (b"", {("malformed", "LIST")}),
    "blank lines and comments": (b"\n# a list\n\n", {("malformed", "LIST")}),
    "not UTF-8": (f"{GOOD}  caf".encode() + b"\xe9\n", {("malformed", "LIST")}),
    "zeros": (bytes(1000), {("malformed", "LIST:1")}),
    "a name that ends in CR": (f"{GOOD}  hi\n{GOOD}  hi\r\r\n".encode(), {("unsafe-path", "LIST:2")}),
    "short digest": (f"{GOOD}  hi\n{GOOD[:-1]}  hi\n".encode(), {("malformed", "LIST:2")}),
    "one space": (f"{GOOD}  hi\n{GOOD} hi\n".encode(), {("malformed", "LIST:2")}),
    "md5": (f"{GOOD}  hi\nMD5 (other) = 764efa883dda1e11db47671c4a3bbd9e\n".encode(), {("malformed", "LIST:2")}),
    "twice": (f"{GOOD}  hi\n{GOOD}  ./hi\n".encode(), {("duplicate", "LIST:2")}),
    "two digests": (f"{GOOD}  hi\n{GOOD[::-1]}  hi\n".encode(), {("conflict", "LIST:2")}),
    "dots": (f"{GOOD}  hi\n{GOOD}  ../hi\n".encode(), {("unsafe-path", "LIST:2")}),
    "absolute": (f"{GOOD}  hi\n{GOOD}  /etc/hostname\n".encode(), {("unsafe-path", "LIST:2")}),
    "NUL": (f"{GOOD}  hi\n{GOOD}  h\0i\n".encode(), {("unsafe-path", "LIST:2")}),
    "escaped": (f"{GOOD}  hi\n\\{GOOD}  h\\ni\n".encode(), {("unsafe-path", "LIST:2")}),
    "a link out": (f"{GOOD}  hi\n{GOOD}  out\n".encode(), {("unsafe-path", "out")}),
    "below a link out": (f"{GOOD}  hi\n{GOOD}  etc/hostname\n".encode(), {("unsafe-path", "etc/hostname")}),
    "a link in a circle": (f"{GOOD}  hi\n{GOOD}  circle\n".encode(), {("unreadable", "circle")}),
    "a folder": (f"{GOOD}  hi\n{GOOD}  sub\n".encode(), {("unreadable", "sub")}),
    "below a file": (f"{GOOD}  hi\n{GOOD}  hi/there\n".encode(), {("missing", "hi/there")}),
    "a long name": (f"{GOOD}  hi\n{GOOD}  {'n' * 300}\n".encode(), {("unreadable", "n" * 300)}),
    "a long path": (f"{GOOD}  hi\n{GOOD}  {'/'.join(['nnnn'] * 2000)}\n".encode(), {("unreadable", "/".join(["nnnn"] * 2000))}),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_list_is_told_line_by_line(tmp_path: Path, name: str) -> None:
    content, expected = BAD[name]
    (tmp_path / "hi").write_text("hi\n")
    (tmp_path / "out").symlink_to("/etc/hostname")
    (tmp_path / "etc").symlink_to("/etc")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "sub").mkdir()
    (tmp_path / "LIST").write_bytes(content)
    result = aqea("verify", "LIST", "--json", cwd=tmp_path)
    assert (found(result), result.status) == (expected, 1)
    assert result.json()["files"] == (1 if content.startswith(f"{GOOD}  hi\n".encode()) else 0), "good lines are checked still"


@pytest.mark.parametrize("name", ["pipe", "socket"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, name: str) -> None:
    if name == "pipe":
        os.mkfifo(tmp_path / name)
    else:
        os.mknod(tmp_path / name, 0o140644)
    (tmp_path / "LIST").write_text(f"{GOOD}  {name}\n")
    result = aqea("verify", "LIST", "--json", cwd=tmp_path, timeout=30)
    assert (result.status, found(result)) == (1, {("unreadable", name)})


def test_the_list_may_come_through_a_pipe(folder: Path) -> None:
    """As in `verify <(sha256sum *)`."""
    words = f"aqea-registry verify <(sha256sum a.txt) --root {folder}"
    result = run("bash", "-c", words, cwd=folder, timeout=30)
    assert (result.status, result.out.endswith("no findings\n")) == (0, True), result


def few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))


def test_a_list_of_many_folders_does_not_use_up_the_file_descriptors(tmp_path: Path) -> None:
    for position in range(300):
        (tmp_path / "below" / str(position)).mkdir(parents=True)
    (tmp_path / "hi").write_text("hi\n")
    folders = "".join(f"{GOOD}  below/{position}\n" for position in range(300))
    (tmp_path / "LIST").write_text(f"{folders}{GOOD}  hi\n")
    result = finish(start("verify", "LIST", "--json", cwd=tmp_path, limit=few_descriptors))
    assert (len(found(result)), result.json()["files"]) == (300, 1), "the file is still read"
    assert "Too many open files" not in result.out


STRICT = {"PYTHONIOENCODING": "utf-8:strict"}  # as under most locales; C.UTF-8 is lenient


@pytest.mark.parametrize("name", [b"no utf-8 \xff", b"escape \x1b[31m", b"line\nbreak", b"bell\a"])
def test_a_strangers_file_name_is_shown_and_does_nothing(tmp_path: Path, name: bytes) -> None:
    (tmp_path / "hi").write_text("hi\n")
    (tmp_path / "SHA256SUMS").write_text(f"{GOOD}  hi\n")
    Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_text("x")
    text = aqea("verify", ".", cwd=tmp_path, env=STRICT)
    assert text.status == 1
    assert len(text.out.splitlines()) == 2, "a finding and the summary: no name makes a line of its own"
    assert all(character.isprintable() or character == "\n" for character in text.out)
    answer = aqea("verify", ".", "--json", cwd=tmp_path, env=STRICT)
    assert {code for code, _ in found(answer)} == {"unexpected"}
    lenient = aqea("verify", ".", "--json", cwd=tmp_path, env={"PYTHONIOENCODING": "utf-8:surrogateescape"})
    assert lenient.out == answer.out, "JSON is UTF-8 under every locale"


def test_checking_takes_time_that_grows_with_the_files(tmp_path: Path) -> None:
    def work(count: int) -> Callable[[], object]:
        folder = tmp_path / str(count)
        for number in range(count):
            path = folder / f"{number % 100:02}" / f"{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(number))
        made = run("sh", "-c", "find . -name '*.txt' -print0 | xargs -0 sha256sum > SHA256SUMS", cwd=folder)
        assert made.status == 0
        (folder / "07/7.txt").write_text("another")
        result = aqea("verify", ".", "--json", cwd=folder)
        assert (found(result), result.json()["files"]) == ({("mismatch", "07/7.txt")}, count)
        return lambda: aqea("verify", ".", "--json", cwd=folder)

    assert_linear(work, 3_000)


def test_the_json_is_the_text_that_indent_two_makes(tmp_path: Path) -> None:
    """It is written finding by finding."""
    (tmp_path / "hi").write_text("hi\n")
    for name in (b"no utf-8 \xff", '"é\\\U0001f600'.encode()):
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_text("x")
    for lines in (f"{GOOD}  hi\n", f"{GOOD}  hi\n{GOOD[::-1]}  hi\n{GOOD}  [] {{}}\n"):
        (tmp_path / "SHA256SUMS").write_text(lines)
        for folder in (".", "SHA256SUMS"):
            result = aqea("verify", folder, "--json", cwd=tmp_path)
            assert result.out == json.dumps(result.json(), indent=2) + "\n"
            assert [*result.json()][:3] == ["schema", "ok", "findings"]


def test_a_list_without_line_ends_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "zeros").open("wb") as file:
        file.truncate(1 << 29)
    result = aqea("verify", "zeros", "--json", cwd=tmp_path, timeout=60)
    assert (result.status, found(result)) == (1, {("malformed", "zeros:1")})


@pytest.mark.parametrize("name", ["pipe", "zero", "socket"])
def test_a_list_that_is_not_a_file_is_refused_at_once(tmp_path: Path, name: str) -> None:
    if name == "zero":
        (tmp_path / name).symlink_to("/dev/zero")
    else:
        os.mknod(tmp_path / name, 0o010644 if name == "pipe" else 0o140644)
    result = aqea("verify", name, cwd=tmp_path, timeout=30)
    assert result.status == 3 and ("not a regular file" in result.err or "No such device" in result.err)
    (tmp_path / name).rename(tmp_path / "SHA256SUMS")
    assert aqea("verify", ".", cwd=tmp_path, timeout=30).status == 3


def imported(result: Result) -> set[str]:
    """The top-level packages that a run under `-X importtime` imported."""
    lines = (line.rpartition("|")[2].strip() for line in result.err.splitlines() if line.startswith("import time:"))
    return {line.partition(".")[0] for line in lines}


def verify_list(folder: Path) -> tuple[str, ...]:
    (folder / "LIST").write_bytes(listed(folder, "sha256sum"))
    return ("verify", "LIST")


def verify_folder(folder: Path) -> tuple[str, ...]:
    (folder / "SHA256SUMS").write_bytes(listed(folder, "sha256sum"))
    return ("verify", ".")


@pytest.mark.parametrize("words", [verify_list, verify_folder])
def test_a_stranger_needs_the_core_only(folder: Path, words: Callable[[Path], tuple[str, ...]]) -> None:
    result = run(sys.executable, "-X", "importtime", "-m", "aqea_registry", *words(folder), cwd=folder)
    assert result.status == 0, result.err
    assert "msgspec" in imported(result), "the measure sees what is imported"
    assert imported(result) & HEAVY == set()


# What a Windows machine lacks of Python's standard library.
WITHOUT_POSIX = """
import os, sys
for name in ("fcntl", "pwd", "grp", "resource", "termios"):
    sys.modules[name] = None
for name in ("O_NONBLOCK", "O_DIRECTORY", "O_NOFOLLOW", "mkfifo", "fork", "getuid"):
    delattr(os, name)
from aqea_registry.cli import main
main(sys.argv[1:], prog_name="aqea-registry")
"""


def test_what_only_reads_needs_no_posix(tmp_path: Path) -> None:
    """And what writes says what it needs, in a line."""
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(b'a').hexdigest()}  a\n{'0' * 64}  b\n")

    def without(*words: str | Path) -> Result:
        return run(sys.executable, "-c", WITHOUT_POSIX, *words, cwd=ROOT)

    listed = without("verify", tmp_path / "SHA256SUMS", "--json")
    assert (listed.status, found(listed)) == (1, {("missing", "b")}), listed.err
    layout = ROOT / "tests/data/0.1.0/releases"
    assert without("verify", f"oci:{layout}:v1").status == 0
    pulled = without("pull", f"oci:{layout}:v1", "--to", tmp_path / "out")
    assert pulled.status == 3 and "on Windows: use WSL" in pulled.err and "Traceback" not in pulled.err, pulled
