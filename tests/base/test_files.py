"""Files: hashed like anybody else hashes them, written all or not at all."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.base.files import (
    BLOCK,
    FileDigest,
    WrongBytes,
    atomic_write,
    copy_checked,
    hash_file,
    hash_files,
    open_regular,
    write_bytes,
)
from tests.factories import tree


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK + 7])
def test_a_file_hashes_as_its_bytes(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "f").write_bytes(content)
    seen: list[int] = []
    found = hash_file(tmp_path / "f", md5=True, advance=seen.append)
    assert found == FileDigest(sha256(content), size, hashlib.md5(content).hexdigest())
    assert sum(seen) == size
    assert hash_file(tmp_path / "f") == FileDigest(sha256(content), size, None)


@given(st.binary(max_size=5000))
def test_any_bytes_hash_as_hashlib_hashes_them(content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        assert hash_file(Path(file.name)) == FileDigest(sha256(content), len(content))


on_linux = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux's /proc")


@on_linux
def test_a_file_whose_size_is_not_known_is_read_to_its_end() -> None:
    """Files of /proc say that they have no bytes, and have some."""
    found = hash_file(Path("/proc/version"))
    assert found == FileDigest(sha256(Path("/proc/version").read_bytes()), len(Path("/proc/version").read_bytes()))


def odd_places(folder: Path) -> dict[str, Path]:
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("nowhere")
    (folder / "circle").symlink_to("circle")
    os.mknod(folder / "socket", stat.S_IFSOCK | 0o600)
    names = ("pipe", "folder", "link", "circle", "socket", "absent")
    return {**{name: folder / name for name in names}, "device": Path("/dev/zero")}


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    for place in odd_places(tmp_path).values():
        with pytest.raises(OSError, match=r".+"):
            hash_file(place)


def open_descriptors() -> list[int]:
    """Those of this process; the one that looks at them is closed again and is not counted."""
    found = [int(path.name) for path in Path("/proc/self/fd").iterdir()]
    return [descriptor for descriptor in sorted(found) if Path(f"/proc/self/fd/{descriptor}").is_symlink()]


@on_linux
def test_a_refused_file_is_not_left_open(tmp_path: Path) -> None:
    places = odd_places(tmp_path)
    before = open_descriptors()
    for place in places.values():
        with pytest.raises(OSError, match=r".+"):
            open_regular(place)
    assert open_descriptors() == before


def test_many_files_are_hashed_and_errors_kept_as_values(tmp_path: Path) -> None:
    places = odd_places(tmp_path)
    for number in range(30):
        (tmp_path / str(number)).write_bytes(b"x" * number * 100)
        places[str(number)] = tmp_path / str(number)
    marked = tmp_path / "7"
    seen: list[int] = []
    found = hash_files(places.values(), md5=frozenset([marked]), advance=seen.append)
    assert set(found) == set(places.values())
    for name, place in places.items():
        if name.isdigit():
            content = place.read_bytes()
            md5 = hashlib.md5(content).hexdigest() if place == marked else None
            assert found[place] == FileDigest(sha256(content), len(content), md5)
        else:
            assert isinstance(found[place], OSError)
    assert isinstance(found[tmp_path / "absent"], FileNotFoundError)
    assert sum(seen) == sum(number * 100 for number in range(30))


def test_known_sizes_order_the_work_and_decide_nothing(tmp_path: Path) -> None:
    contents = {str(tmp_path / str(number)): os.urandom(number * 10_000) for number in range(60)}
    for path, content in contents.items():
        Path(path).write_bytes(content)
    wrong = {**dict.fromkeys(contents, 7), str(tmp_path / "absent"): 3 * BLOCK}
    found = hash_files(wrong)
    assert isinstance(found.pop(str(tmp_path / "absent")), FileNotFoundError)
    assert found == {path: FileDigest(sha256(content), len(content)) for path, content in contents.items()}


def test_what_stops_one_thread_stops_all(tmp_path: Path) -> None:
    """As an interrupt does, or a program that takes the progress."""
    for number in range(200):
        (tmp_path / str(number)).write_bytes(b"x" * BLOCK)
    seen: list[int] = []

    def stop(amount: int) -> None:
        seen.append(amount)
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        hash_files([tmp_path / str(number) for number in range(200)], advance=stop)
    assert len(seen) <= (os.cpu_count() or 1)


def test_a_file_that_is_cut_short_meanwhile_has_the_digest_of_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 4 * BLOCK)
    cut = hash_file(tmp_path / "f", advance=lambda _: os.truncate(tmp_path / "f", BLOCK))
    assert cut == FileDigest(sha256(b"x" * BLOCK), BLOCK)


def test_hashing_nothing_one_and_the_same_twice(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    assert hash_files([]) == {}
    assert hash_files([tmp_path / "f", tmp_path / "f"]) == {tmp_path / "f": FileDigest(sha256(b"x"), 1)}


def test_the_old_bytes_stand_until_the_new_ones_are_whole(tmp_path: Path) -> None:
    target = tmp_path / "below" / "f"
    with atomic_write(target) as file:
        file.write(b"old")
        assert not target.exists()
    with atomic_write(target) as file:
        file.write(b"new" * BLOCK)
        file.flush()
        assert target.read_bytes() == b"old"
    assert tree(tmp_path) == {"below/f": b"new" * BLOCK}


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    target = tmp_path / "f"
    versions = [bytes([letter]) * 200_000 for letter in b"abcd"]
    write_bytes(target, versions[0])
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(target.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(40):
        write_bytes(target, versions[turn % 4])
    done.set()
    reader.join()
    assert seen <= set(versions)


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, SystemExit, OSError])
def test_an_exception_leaves_the_old_file_alone(tmp_path: Path, kind: type[BaseException]) -> None:
    target = tmp_path / "f"
    target.write_bytes(b"old")
    with pytest.raises(kind), atomic_write(target) as file:
        file.write(b"half")
        raise kind
    with pytest.raises(kind), atomic_write(tmp_path / "other"):
        raise kind
    assert tree(tmp_path) == {"f": b"old"}


def test_a_link_is_replaced_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"untouched")
    (tmp_path / "f").symlink_to("elsewhere")
    write_bytes(tmp_path / "f", b"new")
    assert (tmp_path / "elsewhere").read_bytes() == b"untouched"
    assert not (tmp_path / "f").is_symlink() and (tmp_path / "f").read_bytes() == b"new"


def test_a_folder_without_a_name_is_no_file_to_write() -> None:
    with pytest.raises(IsADirectoryError):
        write_bytes(Path(), b"new")


def test_an_error_names_the_file_that_was_to_be_written_and_never_its_part(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path, code in ((tmp_path / "folder", errno.EISDIR), (Path("/proc/there"), errno.ENOENT)):
        with pytest.raises(OSError) as caught:
            write_bytes(path, b"x")
        assert (caught.value.errno, caught.value.filename, caught.value.filename2) == (code, str(path), None)


def test_parts_that_nobody_writes_are_swept_and_others_left(tmp_path: Path) -> None:
    swept = [f".f[1].json.{os.getpid()}-0a1b.part", ".f[1].json.1-ffff.part", ".f[1].json.999999999-0123456789abcdef.part"]
    left = [
        ".f1.json.7-0a1b.part",  # of another target
        ".f[1].json.part",
        ".f[1].json.abc-0a1b.part",
        ".f[1].json.²-0a1b.part",
        ".f[1].json.gz.7-0a1b.part",
        "f[1].json.7-0a1b.part",
    ]
    for name in (*swept, *left):
        (tmp_path / name).write_bytes(b"half")
    with atomic_write(tmp_path / "f[1].json") as first:  # as a process of another container, whose number may be the same
        first.write(b"first")
        write_bytes(tmp_path / "f[1].json", b"second")
        assert (tmp_path / "f[1].json").read_bytes() == b"second"
    assert sorted(tree(tmp_path)) == sorted([*left, "f[1].json"])
    assert (tmp_path / "f[1].json").read_bytes() == b"first"


def test_what_a_killed_first_process_of_a_container_left_is_swept_by_the_next(tmp_path: Path) -> None:
    """In a container every process is number 1: what it left looks like this process's own."""
    script = (
        "import os, signal\nfrom pathlib import Path\nfrom aqea_registry.base.files import atomic_write\n"
        "os.getpid = lambda: 1\nwith atomic_write(Path('f')) as file:\n    file.write(b'half')\n    file.flush()\n"
        "    os.kill(int(os.readlink('/proc/self')), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.name[:4] for path in tmp_path.iterdir()] == [".f.1"]
    write_bytes(tmp_path / "f", b"whole")
    assert tree(tmp_path) == {"f": b"whole"}


def test_a_folder_is_listed_once_for_many_files(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom aqea_registry.base.files import write_bytes\nlisted = []\n"
        "sys.addaudithook(lambda event, _: listed.append(event) if event in ('os.listdir', 'os.scandir') else None)\n"
        "for number in range(100):\n    write_bytes(Path(f'f{number}'), b'x')\nprint(len(listed))\n"
    )
    assert int(subprocess.check_output([sys.executable, "-c", script], cwd=tmp_path)) < 5


def test_writing_says_whether_anything_changed(tmp_path: Path) -> None:
    target = tmp_path / "f"
    assert write_bytes(target, b"one") is True
    before = target.stat()
    assert write_bytes(target, b"one") is False
    assert (target.stat().st_ino, target.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert write_bytes(target, b"two") is True
    assert write_bytes(target, b"") is True
    assert tree(tmp_path) == {"f": b""}


def test_the_right_bytes_are_copied(tmp_path: Path) -> None:
    content = os.urandom(2 * BLOCK + 5)
    seen: list[int] = []
    copy_checked(io.BytesIO(content), tmp_path / "f", sha256(content), len(content), seen.append)
    assert tree(tmp_path) == {"f": content}
    assert sum(seen) == len(content)
    copy_checked(io.BytesIO(b""), tmp_path / "empty", sha256(b""), 0)
    assert (tmp_path / "empty").read_bytes() == b""


@pytest.mark.parametrize("content", [b"wrong bytes", b"right byte", b"right bytes!", b""])
@pytest.mark.parametrize("old", [None, b"old"])
def test_wrong_short_and_long_bytes_are_not_kept(tmp_path: Path, content: bytes, old: bytes | None) -> None:
    if old is not None:
        (tmp_path / "f").write_bytes(old)
    with pytest.raises(WrongBytes) as raised:
        copy_checked(io.BytesIO(content), tmp_path / "f", sha256(b"right bytes"), 11)
    assert tree(tmp_path) == ({} if old is None else {"f": old})
    assert raised.value.actual == ("more than 11 bytes" if len(content) > 11 else f"{sha256(content)} ({len(content)} bytes)")


class Endless(io.RawIOBase):
    """A stream without an end that counts what is taken from it."""

    taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        self.taken += len(buffer)
        return len(buffer)


def test_too_many_bytes_are_not_read_to_their_end(tmp_path: Path) -> None:
    endless = Endless()
    with pytest.raises(WrongBytes, match="more than 1000 bytes"):
        copy_checked(endless, tmp_path / "f", "0" * 64, 1000)
    assert endless.taken <= 2 * BLOCK
    assert tree(tmp_path) == {}


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """The limit is the kernel's own; writing beyond it fails like a full disk does."""
    (tmp_path / "f").write_bytes(b"old")
    script = """
        import io, resource, signal, sys
        from pathlib import Path
        from aqea_registry.base.files import copy_checked; from aqea_registry.base.files import write_bytes

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        target = Path(sys.argv[1])
        for size in (100_001, 3_000_000):
            for write in (
                lambda: write_bytes(target, b"x" * size),
                lambda: copy_checked(io.BytesIO(b"x" * size), target, "0" * 64, size),
            ):
                try:
                    write()
                except OSError as error:
                    print(error.errno)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), tmp_path / "f"], capture_output=True, text=True, check=True, timeout=600
    )
    assert done.stdout.split() == [str(errno.EFBIG)] * 4, done.stderr
    assert tree(tmp_path) == {"f": b"old"}
