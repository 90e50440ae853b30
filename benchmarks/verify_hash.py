"""Hashing: `aqea-registry verify LIST` against `sha256sum -c`, and against what the processor and the disk can do."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.timing import CORES, PROGRAM, Figure, Goal, alternate, command, rates, seconds, spread, temporary

DROP = Path("/proc/sys/vm/drop_caches")
NAMES = [f"file{number:02}.bin" for number in range(16)]
BLOCK = 1 << 24


def measure(*, quick: bool) -> list[Figure]:
    """2 GB in 16 files: from the page cache, then from the disk."""
    rounds, size = (1, 16 * BLOCK) if quick else (5, 128 * BLOCK)
    with temporary() as folder:
        _make_files(folder, size // len(NAMES))
        verify = command(PROGRAM, "verify", "SHA256SUMS", cwd=folder)
        works = {
            "verify": verify,
            "sha256sum": command("sha256sum", "--quiet", "-c", "SHA256SUMS", cwd=folder),
            "openssl": lambda: _openssl(size, 1 if quick else 2),
            "memory": seconds(lambda: _hash_memory(size)),
            "start": command(PROGRAM, "verify", "SMALL", cwd=folder),
        }
        times = alternate(rounds, works)
        warm = {name: rates(size / 1e9, taken) for name, taken in times.items()}
        cold, disk = _cold(folder, size, verify, 1 if quick else 3)

    def row(cache: str, ours: list[float], against: str, peer: list[float], goal: Goal | None, limit: str) -> Figure:
        what = f"`verify`, {size / 1e9:.1f} GB in {len(NAMES)} files, {cache} page cache"
        return Figure(what, ours, against, peer, "GB/s", goal, limit)

    start = f"the program with nothing to hash takes {spread(times['start'], 's')}"
    one = f"{CORES} x `openssl speed` of one core"
    return [
        row("warm", warm["verify"], "`sha256sum -c`", warm["sha256sum"], Goal("ratio", "at least", 3), "the two rows below"),
        row("warm", warm["verify"], one, warm["openssl"], Goal("ratio", "at least", 0.95), start),
        row("warm", warm["verify"], f"hashlib on {CORES} cores, no files", warm["memory"], None, start),
        row("cold", cold["verify"], "`cat` of the files", cold["cat"], None, disk)
        if cold
        else row("cold", [], "", [], None, disk),
    ]


def _make_files(folder: Path, size: int) -> None:
    """Random bytes, the list of their digests, and a list of one empty file."""
    for name in NAMES:
        with (folder / name).open("wb") as file:
            for start in range(0, size, BLOCK):
                file.write(os.urandom(min(BLOCK, size - start)))
    with (folder / "SHA256SUMS").open("wb") as output:
        subprocess.run(["sha256sum", *NAMES], cwd=folder, stdout=output, check=True)
    (folder / "SMALL").write_text(f"{hashlib.sha256(b'').hexdigest()}  empty.bin\n")
    (folder / "empty.bin").touch()


def _openssl(size: int, duration: int) -> float:
    """The seconds that all cores need for so many bytes, if each is as fast as one alone by OpenSSL's own clock."""
    words = ["openssl", "speed", "-evp", "sha256", "-bytes", str(BLOCK), "-seconds", str(duration)]
    last = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-1]
    return size / (CORES * float(last.removesuffix("k")) * 1000)


def _hash_memory(size: int) -> None:
    """Hash as many bytes as the files hold, all cores at once, with nothing to read."""
    # Not bytes(BLOCK): the system backs zeros by one page, which stays in the nearest cache.
    block = os.urandom(BLOCK)

    def share(_: int) -> None:
        digest = hashlib.sha256()
        for _ in range(0, size // CORES, BLOCK):
            digest.update(block)

    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(share, range(CORES)))


def _cold(folder: Path, size: int, verify: Callable[[], float], rounds: int) -> tuple[dict[str, list[float]], str]:
    """Rates with the page cache emptied before every turn, and what the disk gives; empty where that is not allowed."""

    def emptied(work: Callable[[], float]) -> Callable[[], float]:
        def run() -> float:
            os.sync()
            DROP.write_text("3\n")
            return work()

        return run

    if not os.access(DROP, os.W_OK):
        return {}, f"not measured: {DROP} cannot be written"
    works = {"verify": emptied(verify), "cat": emptied(command("sh", "-c", f"cat {' '.join(NAMES)} > /dev/null", cwd=folder))}
    past = " && ".join(f"dd if={name} of=/dev/null bs=16M iflag=direct" for name in NAMES)
    if not subprocess.run(["sh", "-c", past], cwd=folder, capture_output=True, check=False).returncode:
        works["disk"] = emptied(command("sh", "-c", past, cwd=folder))
    measured = {name: rates(size / 1e9, taken) for name, taken in alternate(rounds, works).items()}
    return measured, f"`dd iflag=direct`: {spread(measured['disk'], 'GB/s')}" if "disk" in works else "no direct reading here"
