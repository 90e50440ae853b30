"""`python -m benchmarks.device [DEVICE]`: are the bytes the same on this device in every arrangement, and how fast?

Made in a copy of the checkout; with ../shared the STS-B test set, else the project's own small set. Exit status 1 if any
arrangement gives other bytes than the processor.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path

from benchmarks.timing import PROGRAM, machine, temporary
from tests.tools import SHARED, Result, add_dataset, copy_checkout, run

BATCHES = (1, 8, 32, 128, 512, 1024)


def main() -> None:
    """Print a table in Markdown: device, batch, seconds, digest."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device", description="The same bytes on another device?")
    parser.add_argument("device", nargs="?", default="cuda", help="a torch device (default: cuda)")
    parser.add_argument("--quick", action="store_true", help="one batch size: does it run?")
    options = parser.parse_args()
    with temporary() as folder:
        project = folder / "project"
        project.mkdir()
        copy_checkout(project)
        name = "small"
        if (SHARED / "data/stsb-test.jsonl").is_file():
            name = "stsb-test"
            add_dataset(project, name, SHARED / "data", "stsb-test.jsonl")
        print(f"{machine()}\n\n| device | batch | whole command | sha256 of the pair file |\n|---|---|---|---|")
        wanted = _line(project, name, "cpu", None)
        found = {_line(project, name, options.device, batch) for batch in (BATCHES[:1] if options.quick else BATCHES)}
    raise SystemExit(0 if found == {wanted} else 1)


def _line(project: Path, name: str, device: str, batch: int | None) -> str:
    """Make the pair set again, print its line, and return the digest."""
    words = ["generate", name, "minilm", "--fresh", "--json", "--device", device, *(["--batch", str(batch)] if batch else [])]
    began = time.monotonic()
    done: Result = run(PROGRAM, *words, cwd=project, timeout=3600)
    taken = time.monotonic() - began
    if done.status:
        raise SystemExit(done.err)
    made = json.loads(done.out)
    digest = hashlib.sha256((project / made["path"]).read_bytes()).hexdigest()
    print(f"| {device} | {batch or 'by tokens'} | {taken:.1f} s | {digest[:16]} |", flush=True)
    return digest


if __name__ == "__main__":
    main()
