"""Lists of many files: `aqea-registry verify LIST` of twenty thousand small files, and of a million that are absent."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from benchmarks.timing import BEFORE, PROGRAM, Figure, Goal, Usage, alternate, temporary, usage

SIZE = 2000
JSON: dict[str, tuple[str, ...]] = {"lines": (), "json": ("--json",)}
TITLES = {"wall": "by the clock", "cpu": "processor time", "peak": "peak memory"}


def measure(*, quick: bool) -> list[Figure]:
    """Small files against `sha256sum -c`, by the clock and by processor time; absent ones against the goal."""
    small, absent = (500, 5000) if quick else (20_000, 1_000_000)
    with temporary() as folder:
        _make(folder, small, absent)
        works: dict[str, Callable[[], Usage]] = {
            "ours": lambda: usage(PROGRAM, "verify", "SMALL", cwd=folder),
            "sha256sum": lambda: usage("sha256sum", "--quiet", "-c", "SMALL", cwd=folder),
        }
        if BEFORE:
            works["before"] = lambda: usage(PROGRAM, "verify", "SMALL", cwd=folder, checkout=BEFORE)
        files = alternate(1 if quick else 9, works)

        def checked(*words: str, checkout: str = "") -> Usage:
            return usage(PROGRAM, "verify", "ABSENT", *words, cwd=folder, status=1, checkout=checkout)

        lists = alternate(1 if quick else 3, {"lines": checked, "json": lambda: checked("--json")})
        before = {"json": [checked("--json", checkout=BEFORE)]} if BEFORE else {}

    what, twice = f"`verify`, {small} files of {SIZE / 1000:g} kB", Goal("ratio", "at most", 2)
    clock, cpu = ({name: [getattr(it, of) for it in found] for name, found in files.items()} for of in ("wall", "cpu"))
    figures = [
        Figure(what, clock["ours"], "`sha256sum -c`, one core", clock["sha256sum"], "s", twice),
        Figure(f"{what}, processor time", cpu["ours"], "`sha256sum -c`", cpu["sha256sum"], "s", twice),
    ]
    if BEFORE:
        figures.append(Figure(f"{what}, processor time", cpu["ours"], "the build before", cpu["before"], "s"))
    for name, words in JSON.items():
        what = " ".join([f"`verify` of {absent} absent files", *words])
        for of, unit, most in (("wall", "s", 10), ("cpu", "s", 10), ("peak", "GB", 1)):
            ours = [getattr(found, of) for found in lists[name]]
            then = [getattr(found, of) for found in before.get(name, ())] * len(ours)
            against = "the build before, once" if then else ""
            figures.append(Figure(f"{what}, {TITLES[of]}", ours, against, then, unit, Goal("ours", "at most", most)))
    return figures


def _make(folder: Path, small: int, absent: int) -> None:
    """Small files of random bytes in a hundred folders with their list, and a list of absent ones in a thousand folders."""
    with (folder / "SMALL").open("w") as output:
        for number in range(small):
            path, content = f"{number % 100:02}/{number:05}.bin", os.urandom(SIZE)
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)
            output.write(f"{hashlib.sha256(content).hexdigest()}  {path}\n")
    with (folder / "ABSENT").open("w") as output:
        digest = hashlib.sha256(b"").hexdigest()
        for number in range(1000):  # that exist: an absent folder would answer for all files in it
            (folder / f"absent/{number:03}").mkdir(parents=True)
        output.writelines(f"{digest}  absent/{number % 1000:03}/file{number:07}.bin\n" for number in range(absent))
