"""Hashing large files: `aqea-registry verify LIST` against other programs, and against what processor and disk can do."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.timing import BEFORE, CORES, PROGRAM, Figure, Goal, alternate, command, rates, seconds, spread, temporary, usage

NAMES = [f"file{number:02}.bin" for number in range(16)]
BLOCK = 1 << 24


def measure(*, quick: bool) -> list[Figure]:
    """2 GB in 16 files: from the page cache, then from the disk."""
    rounds, size = (1, 16 * BLOCK) if quick else (5, 128 * BLOCK)
    with temporary() as folder:
        _make_files(folder, size // len(NAMES))
        verify = command(PROGRAM, "verify", "SHA256SUMS", cwd=folder)
        dgst = f"printf '%s\\n' {' '.join(NAMES)} | xargs -P {CORES} -n 1 openssl dgst -sha256"
        works = {
            "verify": verify,
            "sha256sum": command("sha256sum", "--quiet", "-c", "SHA256SUMS", cwd=folder),
            "dgst": command("sh", "-c", dgst, cwd=folder),
            "openssl": lambda: _openssl(size, 1 if quick else 2),
            "memory": seconds(lambda: _hash_memory(size)),
            "start": command(PROGRAM, "verify", "SMALL", cwd=folder),
        }
        if BEFORE:
            works["before"] = lambda: usage(PROGRAM, "verify", "SHA256SUMS", cwd=folder, checkout=BEFORE).wall
        times = alternate(rounds, works)
        warm = {name: rates(size / 1e9, taken) for name, taken in times.items()}
        processor = alternate(rounds, {"copied": lambda: _one_core(folder, hashed=False), "both": lambda: _one_core(folder)})
        cold = _cold(folder, size, verify, 1 if quick else 3)

    def row(
        cache: str, ours: list[float], against: str, peer: list[float], goal: Goal | None = None, limit: str = ""
    ) -> Figure:
        what = f"`verify`, {size / 1e9:.1f} GB in {len(NAMES)} files, {cache} page cache"
        return Figure(what, ours, against, peer, "GB/s", goal, limit)

    start = f"the program with nothing to hash takes {spread(times['start'], 's')}"
    copy = (
        f"by processor time a core copies {spread(processor['copied'], 'GB/s')}, and with hashing {spread(processor['both'])}"
    )
    ours, speed = warm["verify"], f"{CORES} x `openssl speed` of one core"
    figures = [
        row(
            "warm",
            ours,
            "`sha256sum -c`, one core",
            warm["sha256sum"],
            Goal("ratio", "at least", 3),
            "Debian builds it in plain C",
        ),
        row("warm", ours, f"`openssl dgst`, {CORES} at a time", warm["dgst"], None, "the same code in assembler as ours"),
        row("warm", ours, speed, warm["openssl"], Goal("ratio", "at least", 0.95), copy),
        row("warm", ours, f"hashlib on {CORES} cores, no files", warm["memory"], None, start),
        row("cold", cold["verify"], "`cat` of the files", cold["cat"]),
    ]
    return [*figures, row("warm", ours, "the build before", warm["before"])] if BEFORE else figures


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


def _one_core(folder: Path, *, hashed: bool = True) -> float:
    """The rate in GB/s of processor time at which one core copies a file out of the page cache, and hashes it as well."""
    digest, size, start = hashlib.sha256(), 0, time.thread_time()
    with (folder / NAMES[0]).open("rb", buffering=0) as file:
        while block := os.read(file.fileno(), 1 << 18):
            size += len(block)
            if hashed:
                digest.update(block)
    return size / 1e9 / (time.thread_time() - start)


def _cold(folder: Path, size: int, verify: Callable[[], float], rounds: int) -> dict[str, list[float]]:
    """Rates with these files alone out of the page cache before every turn."""

    def evicted(work: Callable[[], float]) -> Callable[[], float]:
        def run() -> float:
            for name in NAMES:
                with (folder / name).open("rb") as file:
                    os.fsync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return work()

        return run

    cat = command("sh", "-c", f"cat {' '.join(NAMES)} > /dev/null", cwd=folder)
    times = alternate(rounds, {"verify": evicted(verify), "cat": evicted(cat)})
    return {name: rates(size / 1e9, taken) for name, taken in times.items()}
