"""`python -m benchmarks [--quick] [--json FILE] [NAME...]`: run benchmarks and print the table; with --json also write them.

benchmarks/results.json has the run that benchmarks/README.md prints, for the claims of that page. Nothing else is written.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path

from benchmarks import (
    compare,
    documents,
    generate,
    json_text,
    lengths,
    memory,
    scaling,
    search,
    startup,
    thousand,
    verify_hash,
    verify_many,
)
from benchmarks.timing import Load, in_child, machine, results, table

BENCHMARKS = {
    "verify_hash": verify_hash.measure,
    "verify_many": verify_many.measure,
    "startup": startup.measure,
    "generate": generate.measure,
    "lengths": lengths.measure,
    "memory": memory.measure,
    "json": json_text.measure,
    "compare": compare.measure,
    "documents": documents.measure,
    "search": search.measure,
    "scaling": scaling.measure,
    "thousand": thousand.measure,
}


def main() -> None:
    """Run each benchmark in a process of its own, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed and memory, as ratios in one run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which (default: all): {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="little work and few rounds: does it run?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures into this file, too")
    options = parser.parse_args()
    if unknown := sorted({*options.names} - {*BENCHMARKS}):
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    load = Load()
    print(f"{machine()}; {date.today()}", flush=True)
    figures = []
    for name in options.names or BENCHMARKS:
        print(f"{name} ...", flush=True)
        figures += in_child(BENCHMARKS[name], quick=options.quick)
    print(f"\n{table(figures)}\n\n{load.text()}")
    if options.json:
        run = {"machine": machine(), "date": str(date.today()), "load": load.text(), "figures": results(figures)}
        options.json.write_text(json.dumps(run, indent=2) + "\n")


if __name__ == "__main__":
    main()
