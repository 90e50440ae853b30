"""A mismatch or a file that cannot be read stays one, and its message has the cause where that is proved."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from aqea_registry.base.files import LARGEST_TEXT, FileDigest, hash_file, ignore, why_other
from aqea_registry.project.lock import DVC_LOCK as LOCK
from aqea_registry.project.project import PARAMS
from aqea_registry.stores.open_store import open_store
from aqea_registry.stores.release import build
from aqea_registry.verification import verify_list
from aqea_registry.verification.verify_list import digest_findings, read_findings
from tests.helpers import MANIFEST, METRICS, PINS, ROWS, SIZES, found, put
from tests.tools import Result, aqea, run

TEXT = b"first line\nsecond line\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def pointer(content: bytes) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(content)}\nsize {len(content)}\n".encode()


OTHERS: dict[str, tuple[bytes, bytes, str]] = {  # what is listed, what is here, and what is said
    "CRLF for LF": (
        TEXT,
        TEXT.replace(b"\n", b"\r\n"),
        "with LF line endings the file has the listed digest; git: core.autocrlf",
    ),
    "LF for CRLF": (
        TEXT.replace(b"\n", b"\r\n"),
        TEXT,
        "with CRLF line endings the file has the listed digest; git: core.autocrlf",
    ),
    "some lines": (TEXT, TEXT.replace(b"\n", b"\r\n", 1), "with LF line endings"),
    "no last newline": (TEXT, TEXT[:-1], "with a newline at its end"),
    "one newline more": (TEXT, TEXT + b"\n", "without the newline at its end"),
    "a mark": (TEXT, b"\xef\xbb\xbf" + TEXT, "without its byte order mark"),
    "CR for LF": (TEXT, TEXT.replace(b"\n", b"\r"), "with LF line endings the file has"),
    "LF for CR": (TEXT.replace(b"\n", b"\r"), TEXT, "with CR line endings the file has"),
    "no mark": (b"\xef\xbb\xbf" + TEXT, TEXT, "with a byte order mark the file has"),
    "a mark and CRLF": (
        TEXT,
        b"\xef\xbb\xbf" + TEXT.replace(b"\n", b"\r\n"),
        "with LF line endings and without its byte order mark the file has the listed digest; git: core.autocrlf",
    ),
    "CRLF, no last newline": (
        TEXT,
        TEXT.replace(b"\n", b"\r\n")[:-2],
        "with LF line endings and with a newline at its end the file has",
    ),
    "a pointer": (TEXT, pointer(TEXT), "a Git LFS pointer to the listed bytes; run: git lfs pull"),
    "a pointer to others": (TEXT, pointer(b"x"), f"a Git LFS pointer to sha256 {sha256(b'x')}"),
    "the pointer is listed": (pointer(TEXT), TEXT, "the listed digest is that of the file's Git LFS pointer"),
    "nothing is here": (TEXT, b"", "the file is empty"),
    "nothing is listed": (b"", TEXT, "the listed digest is that of an empty file"),
    "a conflict": (TEXT, b"first line\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> x\n", "line 2: a merge conflict"),
    "half a conflict": (TEXT, b"first line\n=======\nb\n>>>>>>> x\n", "line 4: a merge conflict"),
}
UNPROVED: dict[str, tuple[bytes, bytes]] = {
    "another word": (TEXT, TEXT.replace(b"first", b"1st")),
    "another word and CRLF": (TEXT, TEXT.replace(b"first", b"1st").replace(b"\n", b"\r\n")),
    "not a text": (b"\0\n\n", b"\0\r\n\r\n"),
    "a newline, of a file too large": (b"\n", b"x" * (LARGEST_TEXT + 1)),
    "too large": (b"x\n" * (LARGEST_TEXT // 2), b"x\r\n" * (LARGEST_TEXT // 2)),
    "arrows of the right number alone": (TEXT, b">>>>>>>\n"),
    "arrows within a line": (TEXT, b"x <<<<<<< HEAD\n"),
}


@pytest.mark.parametrize("case", [*OTHERS, *UNPROVED])
def test_why_bytes_are_others_is_said_if_it_is_proved(tmp_path: Path, case: str) -> None:
    listed, here, words = OTHERS[case] if case in OTHERS else (*UNPROVED[case], "")
    (tmp_path / "x").write_bytes(here)
    digest = hash_file(tmp_path / "x")
    why = why_other(tmp_path / "x", digest, sha256(listed))
    assert (words in why) if words else why == ""
    [finding] = digest_findings(tmp_path, {"x": sha256(listed)}, {"x": digest})
    assert finding.code == "mismatch", "whatever the cause is"
    assert finding.message == f"the bytes are not those that the list names{why}"
    assert (finding.expected, finding.actual) == (sha256(listed), sha256(here))


@pytest.mark.parametrize("name", ["sha3_256", "blake2s"])
def test_a_digest_of_another_algorithm_is_recognised(tmp_path: Path, name: str) -> None:
    content = b"\0" + TEXT
    (tmp_path / "x").write_bytes(content)
    (tmp_path / "LIST").write_text(f"{hashlib.new(name, content).hexdigest()}  x\n")
    assert "and only sha256 is compared" in only(aqea("verify", "LIST", "--json", cwd=tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("x.json", b"/annex/objects/SHA256E-s6--00.json\n", "a pointer of git-annex"),
        ("x.parquet", b"# xet version 0\n", "a Xet pointer"),
        ("x.csv", b"<!DOCTYPE html><html>Log in</html>", "a web page"),
        ("x.txt", b'<?xml version="1.0"?><Error/>', "an XML document, such as a server's error"),
        ("x.safetensors", bytes(99), "nothing but zero bytes"),
        ("x.gz", b"hello", "damaged or of another format"),
        ("x.html", b"<!DOCTYPE html><html>Log in</html>", ""),
        ("x.xml", b"<?xml version='1.0'?><a/>", ""),
    ],
)
def test_what_stands_in_the_place_of_a_listed_file_is_said(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "SHA256SUMS").write_text(f"{sha256(TEXT)}  {name}\n")
    message = only(aqea("verify", ".", "--json", cwd=tmp_path))
    assert (f": it is {what}" in message) if what else message.endswith("the list names")
    (tmp_path / name).unlink()
    (tmp_path / "SHA256SUMS").unlink()
    if name == "x.json":
        (tmp_path / "release.json").write_bytes(content)
        assert f"it is {what}" in only(aqea("verify", ".", "--json", cwd=tmp_path))


def test_a_list_that_is_called_one_of_blake3_is_noted(tmp_path: Path) -> None:
    for name, noted in (("B3SUMS", True), ("x.b3", True), ("segformer-b3.sha256", False)):
        (tmp_path / name).write_text(f"{sha256(TEXT)}  x\n")
        assert (f"b3sum -c {name}" in aqea("verify", name, cwd=tmp_path).out) == noted


def test_equal_bytes_have_no_cause(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(TEXT)
    assert why_other(tmp_path / "x", hash_file(tmp_path / "x"), sha256(TEXT)) == ""


def test_releases_in_a_folder_and_pulls_say_it(tmp_path: Path) -> None:
    release = build([("x", sha256(TEXT), len(TEXT))])
    (tmp_path / "from").write_bytes(TEXT)
    store = open_store("oci:store", tmp_path)
    store.push("v1", release, lambda path: tmp_path / "from", "", ignore)
    crlf = TEXT.replace(b"\n", b"\r\n")
    (tmp_path / "store/blobs/sha256" / sha256(TEXT)).write_bytes(crlf)
    (tmp_path / "to").mkdir()
    (tmp_path / "to/x").write_bytes(crlf)
    for words in (("verify", "oci:store:v1"), ("pull", "oci:store:v1", "--to", "to")):
        message = only(aqea(*words, "--json", cwd=tmp_path))
        assert "with LF line endings the file has the listed digest" in message, words


def test_the_cause_is_looked_for_in_a_bounded_number_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_list, "MOST_LOOKED_INTO", 1)
    monkeypatch.setattr(verify_list, "MOST_LOOKED_FOR", 1)
    digests = {name: FileDigest(sha256(b"other"), 0) for name in ("a", "b", "c")}
    messages = [finding.message for finding in digest_findings(tmp_path, dict.fromkeys("abc", sha256(TEXT)), digests)]
    assert ["empty" in message for message in messages] == [True, False, False]
    for name in "de":
        (tmp_path / f"{name}.dvc").write_text("outs: []\n")
    missing = [finding.message for finding in read_findings(tmp_path, dict.fromkeys("de", FileNotFoundError()))]
    assert ["dvc pull" in message for message in missing] == [True, False]


def only(result: Result) -> str:
    (finding,) = result.json()["findings"]
    return f"{finding['code']}: {finding['message']}"


@pytest.mark.parametrize("target", ["SHA256SUMS", "."])
def test_lists_and_folders_say_it(tmp_path: Path, target: str) -> None:
    (tmp_path / "x").write_bytes(TEXT)
    (tmp_path / "SHA256SUMS").write_text(run("sha256sum", "x", cwd=tmp_path).out)
    (tmp_path / "x").write_bytes(TEXT.replace(b"\n", b"\r\n"))
    result = aqea("verify", target, "--json", cwd=tmp_path)
    assert (result.status, found(result)) == (1, {("mismatch", "x")})
    assert "core.autocrlf" in only(result)


def other_form(folder: Path) -> None:
    (folder / unicodedata.normalize("NFD", "dé/jà")).parent.mkdir()
    (folder / unicodedata.normalize("NFD", "dé/jà")).write_text("x")


def broken_link(folder: Path) -> None:
    (folder / "dé").mkdir()
    (folder / "dé/jà").symlink_to("../.git/annex/objects/aa/SHA256E-s1--00")


def dvc_file(folder: Path) -> None:
    (folder / "dé").mkdir()
    (folder / "dé/jà.dvc").write_text("outs: []\n")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_form, "Unicode form, NFD, is here"),
        (broken_link, "git annex get"),
        (dvc_file, "dvc pull dé/jà.dvc"),
        (Path.exists, ""),
    ],
)
def test_what_is_in_the_place_of_an_absent_file_is_said(tmp_path: Path, change: Callable[[Path], object], words: str) -> None:
    change(tmp_path)
    (tmp_path.parent / "LIST").write_text(f"{sha256(b'x')}  dé/jà\n")
    result = aqea("verify", tmp_path.parent / "LIST", "--root", tmp_path, "--json", cwd=tmp_path)
    assert found(result) == {("missing", "dé/jà")}
    message = only(result)
    assert words in message if words else message == "missing: file not found"


@pytest.mark.parametrize(
    ("name", "where"),
    [
        *(("x  ", "without blanks or quotes at its ends"), (" x", "without blanks or quotes at its ends")),
        *(("'x'", "without blanks or quotes at its ends"), ("dist/x", "at the top"), ("?x", "without the mark of shasum")),
    ],
)
def test_a_file_of_nearly_the_same_name_is_said(tmp_path: Path, name: str, where: str) -> None:
    (tmp_path / "x").write_bytes(TEXT)
    (tmp_path / "LIST").write_text(f"{sha256(TEXT)}  {name}\n")
    assert f"the same name {where}" in only(aqea("verify", "LIST", "--json", cwd=tmp_path))


LISTS: dict[str, tuple[bytes, str, str]] = {
    "a conflict": (
        b"%b  x\n<<<<<<< HEAD\n%b  y\n=======\n%b  y\n>>>>>>> o\n",
        "LIST:2",
        "git checkout --theirs LIST (or --ours)",
    ),
    "a conflict of CRLF": (b"%b  x\r\n<<<<<<< HEAD\r\n%b  y\r\n=======\r\n%b  y\r\n>>>>>>> o\r\n", "LIST:2", "line 2: a merge"),
    "a pointer": (pointer(b"%b%b%b"), "LIST", "it is a Git LFS pointer"),
    "a page": (b"<!DOCTYPE html>\n<title>%b %b %b</title>\n<p>Sign in\n", "LIST", "it is a web page (HTML)"),
}


@pytest.mark.parametrize("case", LISTS)
def test_a_list_that_is_something_else_is_one_finding(tmp_path: Path, case: str) -> None:
    content, subject, words = LISTS[case]
    (tmp_path / "x").write_bytes(TEXT)
    (tmp_path / "LIST").write_bytes(content.replace(b"%b", sha256(TEXT).encode()))
    result = aqea("verify", "LIST", "--json", cwd=tmp_path)
    assert (result.status, found(result)) == (1, {("malformed", subject)})
    assert words in only(result)
    assert result.json()["files"] == ("conflict" in case), "what is not in the conflict is checked"


def merge(project: Path, *paths: str) -> None:
    """Two branches changed the same line of these files, and Git leaves the merge to its user."""
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.autocrlf=false")
    contents = {path: (project / path).read_text() for path in paths}
    comments = {path for path in paths if path.endswith((".yaml", ".lock"))}
    for words in (("checkout", "-qb", "ours"), ("add", "."), ("commit", "-qm", "0"), ("branch", "theirs")):
        assert run(*git, *words, cwd=project).status == 0
    for branch in ("theirs", "ours"):
        assert run(*git, "checkout", "-q", branch, cwd=project).status == 0
        for path, content in contents.items():
            old = re.search(r"20\d\d-\d\d-\d\d|^[0-9a-f]+(?=  )|^schema: \S+|^datasets:$", content, re.MULTILINE)
            assert old, path
            digit = "" if path in comments else str((int(old[0][-1], 16) + len(branch)) % 10)
            new = f"{old[0]}  # {branch}" if path in comments else f"{old[0][:-1]}{digit}"
            (project / path).write_text(content.replace(old[0], new, 1))
        assert run(*git, "commit", "-qam", branch, cwd=project).status == 0
    assert run(*git, "merge", "-q", "theirs", cwd=project).status == 1


def command(text: str) -> list[str]:
    """The command that a message ends with."""
    found = re.search(r"(?:run: |^)(git checkout --theirs \S+) \(or --ours\)", text)
    assert found, text
    return found[1].split()


def test_a_merge_that_is_not_resolved_is_named_with_what_resolves_it(project: Path) -> None:
    ledger = "manifests/claims/paper.yaml"
    put(ledger, b"# a\n# b\nschema: aqea-registry/claims/1\n")(project)
    merge(project, PARAMS, PINS, LOCK, MANIFEST, SIZES, ledger)
    for path, then in ((PARAMS, "dvc repro"), (PINS, "aqea-registry pin")):
        refused = aqea("verify", "--json", cwd=project)
        error = refused.json()["error"]
        assert refused.status == 2
        assert re.fullmatch(rf"{path}: line \d+: a merge conflict that is not resolved", error["message"])
        assert error["hint"].endswith(f"{path} (or --ours), then: {then}")
        assert run(*command(error["hint"]), cwd=project).status == 0
    result = aqea("verify", "--json", cwd=project)
    messages = {
        finding["subject"]: finding["message"] for finding in result.json()["findings"] if finding["code"] == "malformed"
    }
    assert result.status == 1
    for path in (LOCK, MANIFEST, SIZES):
        assert re.match(rf"({path}: )?line \d+: a merge conflict that is not resolved; ", messages[path])
        assert messages[path].endswith(f"{path} (or --ours), then: dvc repro")
        assert run(*command(messages[path]), cwd=project).status == 0
    assert not [name for code, name in found(result) if code == "missing"], "what the manifest lists is not known"
    assert "merge conflict" not in aqea("verify", "--json", cwd=project).out
    claims = aqea("claims", "check", "--json", cwd=project)
    (message,) = (finding["message"] for finding in claims.json()["findings"] if finding["subject"] == "paper")
    assert "line 3: a merge conflict" in message
    assert run(*command(message), cwd=project).status == 0
    assert "merge conflict" not in aqea("claims", "check", "--json", cwd=project).out


def test_a_checkout_with_other_line_ends_is_explained(project: Path) -> None:
    plot = "plots/small-minilm.csv"
    paths = (MANIFEST, SIZES, PINS, METRICS, ROWS, plot)
    for path in paths:
        (project / path).write_bytes((project / path).read_bytes().replace(b"\n", b"\r\n"))
    result = aqea("verify", "--json", cwd=project)
    messages = {(finding["code"], finding["subject"]): finding["message"] for finding in result.json()["findings"]}
    wrong = [("malformed", f"{path}:1") for path in (MANIFEST, SIZES, PINS)]
    wrong += [("mismatch", PINS), ("mismatch", METRICS), ("mismatch", "small: test.jsonl in directory:data/small")]
    wrong += [("lock-stale", plot)]
    for finding in wrong:
        assert "git: core.autocrlf" in messages[finding], finding


@pytest.mark.parametrize("name", [PARAMS, PINS])
def test_a_pointer_in_the_place_of_a_document_is_named(project: Path, name: str) -> None:
    (project / name).write_bytes(pointer((project / name).read_bytes()))
    refused = aqea("verify", "--json", cwd=project)
    assert refused.status == 2
    assert f"{name}: it is a Git LFS pointer" in refused.json()["error"]["message"]
    assert "git lfs pull" in refused.json()["error"]["message"]


def test_a_lock_of_dvc_that_cannot_be_read_is_not_given_to_dvc(project: Path) -> None:
    (project / LOCK).write_text("stages: [\n")
    (message,) = (
        finding["message"] for finding in aqea("verify", "--json", cwd=project).json()["findings"] if finding["subject"] == LOCK
    )
    assert message.endswith(f"run: git checkout {LOCK}, or remove it, then: dvc repro"), "alone, it refuses"
