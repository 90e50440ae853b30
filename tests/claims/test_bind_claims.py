"""`claims bind`: what the numbers of papers and cards rest on, from their document alone."""

from __future__ import annotations

import os
import pty
import random
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from aqea_registry.base.progress import Silent
from aqea_registry.claims.bind_claims import BoundClaims, bind_claims
from aqea_registry.claims.ledger import Claim, Ledger, parse_ledger
from aqea_registry.project.project import open_project
from tests.claims.small_run import Scores, make_run
from tests.helpers import tree
from tests.tools import BIN, aqea, environment

PAPER = """# Embeddings for small fora

We reach a Spearman of {b:.2f} with mpnet on forum, which is {d:.2f} points more than on news.
The Pearson correlation of forum-minilm is {p:.2f}. Training took 12.5 hours.

Spearman correlation (×100) of our models:

| model | forum | news | Avg. |
|---|---|---|---|
| MiniLM | {a:.2f} | {c:.2f} | {ac:.2f} |
| mpnet | {b:.2f} | {e:.2f} | {be:.2f} |
| BERT | 41.20 | 55.10 | 48.15 |
"""
LATEX = r"""\documentclass{{article}}
\usepackage{{booktabs}}
\newcommand{{\best}}[1]{{\textbf{{#1}}}}
\begin{{document}}
\begin{{table}}
\caption{{Spearman correlation on our sets}}
\begin{{tabular}}{{lrrr}}
\toprule
Model & Forum & News & Average \\
\midrule
\texttt{{all-MiniLM-v2}} & {a:.1f} & \best{{{c:.1f}}} & {ac:.1f} \\
all-mpnet-v2 & \best{{{b:.1f}}} & {e:.1f} & {be:.1f} \\
\bottomrule
\end{{tabular}}
\end{{table}}
All in all, \aqeaPaperAll{{}} is our Spearman.
\end{{document}}
"""
CARD = """---
library_name: sentence-transformers
model-index:
- name: SentenceTransformer
  results:
  - task: {{type: semantic-similarity, name: Semantic Similarity}}
    dataset: {{name: forum, type: forum}}
    metrics:
    - {{type: pearson_cosine, value: {p}, name: Pearson Cosine}}
    - {{type: spearman_cosine, value: {a}, name: Spearman Cosine}}
---
# SentenceTransformer

| Metric | Value |
|:--|:--|
| pearson_cosine | {p:.4f} |
| **spearman_cosine** | **{a:.4f}** |
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scores]:
    root = tmp_path_factory.mktemp("bind") / "project"
    root.mkdir()
    return root, make_run(root)


@pytest.fixture
def root(made: tuple[Path, Scores], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[0], tmp_path / "project"))


@pytest.fixture
def values(made: tuple[Path, Scores]) -> dict[str, float]:
    a, b, c, e = (made[1][key]["cos_sim_spearman"] for key in ("forum-minilm", "forum-mpnet", "news-minilm", "news-mpnet"))
    p = made[1]["forum-minilm"]["cos_sim_pearson"]
    d = round(b, 2) - round(e, 2)
    return {"a": a, "b": b, "c": c, "e": e, "ac": (a + c) / 2, "be": (b + e) / 2, "d": d, "p": p}


def take(root: Path, text: str, name: str = "paper.md", *, write: bool = True, **options: object) -> BoundClaims:
    (root / name).write_text(text)
    return bind_claims(open_project(root), root / name, Silent(), write=write, **options)  # type: ignore[arg-type]


def ledger_of(root: Path, name: str = "paper") -> Ledger:
    ledger, findings = parse_ledger((root / f"manifests/claims/{name}.yaml").read_bytes(), name)
    assert ledger is not None and findings == []
    return ledger


def evidence(root: Path, name: str = "paper") -> dict[str, str]:
    """By the last parts of ids what claims rest on."""

    def words(claim: Claim) -> str:
        if claim.measured is not None:
            return f"{claim.measured.result} {claim.measured.metric} {claim.unit}"
        return claim.derived or (f"= {claim.quoted.claim}" if claim.quoted else "nothing")

    table = "embeddings-for-small-fora."
    return {claim.id.removeprefix(table): words(claim).replace(table, "") for claim in ledger_of(root, name).claims}


def states(root: Path) -> dict[str, str]:
    verdicts = aqea("claims", "check", "--json", cwd=root).json()["verdicts"]
    return {verdict["claim"]["id"].rpartition("fora.")[2]: verdict["state"] for verdict in verdicts}


def test_a_paper_is_bound_by_one_command_and_then_holds(root: Path, values: dict[str, float]) -> None:
    (root / "paper.md").write_text(PAPER.format(**values))
    before = tree(root)
    shown = aqea("claims", "bind", "paper.md", cwd=root)
    assert (shown.status, shown.err, tree(root)) == (0, "", before), "nothing is written"
    assert "paper.yaml: 10 numbers bound, 0 may be several scores, 2 rest on nothing: not written, --write does" in shown.out
    done = aqea("claims", "bind", "paper.md", "--write", "--json", cwd=root)
    assert (done.status, done.json()["written"], len(done.json()["bound"])) == (0, True, 10)
    assert evidence(root) == {
        "minilm.forum": "forum-minilm cos_sim_spearman percent",
        "minilm.news": "news-minilm cos_sim_spearman percent",
        "minilm.avg": "mean([minilm.forum], [minilm.news])",
        "mpnet.forum": "forum-mpnet cos_sim_spearman percent",
        "mpnet.news": "news-mpnet cos_sim_spearman percent",
        "mpnet.avg": "mean([mpnet.forum], [mpnet.news])",
        "bert.forum": "nothing",
        "bert.news": "nothing",
        "bert.avg": "mean([bert.forum], [bert.news])",
        "in-text.mpnet.forum": "= mpnet.forum",
        "in-text.mpnet-mpnet.forum": "difference([mpnet.forum], [mpnet.news])",
        "text.forum-minilm.cos_sim_pearson": "forum-minilm cos_sim_pearson percent",
    }
    found = states(root)
    assert {name for name, state in found.items() if state != "holds"} == {"bert.forum", "bert.news"}
    again = take(root, PAPER.format(**values))
    assert (again.written, again.bound, again.unbound) == (False, (), 2)


def test_a_wrong_digit_is_bound_by_its_names_and_found_by_the_check(root: Path, values: dict[str, float]) -> None:
    right = PAPER.format(**values)
    wrong = right.replace(f"| {values['c']:.2f}", f"| {values['c'] + 0.2:.2f}")
    assert wrong != right
    done = take(root, wrong)
    assert (len(done.bound), len(done.notes)) == (10, 1)
    assert f"printed {values['c'] + 0.2:.2f}, news-minilm has {values['c']:.2f}" in done.notes[0]
    assert states(root)["minilm.news"] == "contradicted"
    assert take(root, "A line more.\n" + right).changed == ("embeddings-for-small-fora.minilm.news",)
    assert [name for name, state in states(root).items() if state == "contradicted"] == []
    assert {claim.at.line for claim in ledger_of(root).claims if claim.id.startswith("text.")} == {5}


def test_an_average_beside_a_wrong_digit_is_of_the_right_one(root: Path, values: dict[str, float]) -> None:
    a, c = values["a"], values["c"]
    row = f"| MiniLM | {a:.2f} | {c + 10:.2f} | {(a + c) / 2:.2f} |"
    done = take(root, f"# S\n\nSpearman:\n\n| model | forum | news | Avg. |\n|---|---|---|---|\n{row}\n")
    assert [claim.derived for claim in done.bound] == [None, None, "mean([s.minilm.forum], [s.minilm.news])"]
    assert not any("bind by hand" in note for note in done.notes)


def test_an_import_before_and_evidence_by_hand_stay(root: Path, values: dict[str, float]) -> None:
    (root / "paper.md").write_text(PAPER.format(**values))
    assert aqea("claims", "import", "paper.md", cwd=root).status == 0
    path = root / "manifests/claims/paper.yaml"
    by_hand = path.read_text().replace("column: forum, line: 12}}", 'column: forum, line: 12}, quoted: {source: "a paper"}}')
    path.write_text(by_hand)
    done = take(root, PAPER.format(**values))
    assert (len(done.bound), done.unbound, done.added) == (5, 1, ("text.forum-minilm.cos_sim_pearson",))
    assert '"a paper"' in path.read_text()
    assert states(root)["minilm.news"] == "holds"


def test_a_latex_table_is_bound_as_that_of_markdown(root: Path, values: dict[str, float]) -> None:
    done = take(root, LATEX.format(**values), "paper.tex")
    assert (len(done.bound), done.unbound, done.seen) == (6, 0, 6)
    assert set(states(root).values()) == {"holds"}
    linted = aqea("claims", "lint", "paper.tex", cwd=root)
    assert linted.status == 1 and "the macro is \\aqeaPaperAll, and no ledger has such a claim" in linted.out


def test_a_number_in_a_macro_of_the_author_is_linted_from_above_the_project(root: Path, values: dict[str, float]) -> None:
    text = LATEX.format(**values).replace(r"All in all, \aqeaPaperAll{} is our Spearman.", "")
    text = text.replace(f"{values['a']:.1f} &", r"\val &", 1)
    text = text.replace(r"\begin{document}", rf"\newcommand{{\val}}{{{values['a']:.1f}}}" + "\n\\begin{document}")
    assert take(root, text, "paper.tex").unbound == 0
    done = aqea("claims", "lint", f"{root.name}/paper.tex", cwd=root.parent)
    assert (done.status, done.err) == (0, ""), done.out


def test_a_card_of_sentence_transformers_and_its_table(root: Path, values: dict[str, float]) -> None:
    card = CARD.format(**{name: value / 100 for name, value in values.items()})
    done = take(root, card, "card.md", model="org/all-minilm-v2")
    assert (len(done.bound), done.unbound, done.findings) == (4, 0, ())
    assert set(states(root).values()) == {"holds"}


def test_text_alone_is_enough_and_nothing_to_bind_is_an_error(root: Path, values: dict[str, float]) -> None:
    done = take(root, "The Spearman of forum-minilm is {a:.2f}.\n".format(**values), "note.md")
    assert evidence(root, "note") == {"text.forum-minilm.cos_sim_spearman": "forum-minilm cos_sim_spearman percent"}
    assert done.claims == 1
    failed = aqea("claims", "bind", "empty.md", cwd=root)
    assert (failed.status, "cannot be read" in failed.err) == (3, True)
    (root / "empty.md").write_text("Nothing.\n")
    failed = aqea("claims", "bind", "empty.md", "--write", cwd=root)
    assert (failed.status, "no numbers" in failed.err) == (2, True)


def test_where_two_fit_somebody_has_to_say_which(root: Path, values: dict[str, float]) -> None:
    make_run(root, twice=True)
    text = "With minilm the Spearman on forum is {a:.2f}, on news {c:.2f}.\n".format(**values)
    (root / "two.md").write_text(text)
    done = aqea("claims", "bind", "two.md", "--write", "--json", cwd=root)
    both = ["cos_sim_spearman of forum-minilm", "cos_sim_spearman of fora-minilm"]
    assert (done.status, [*done.json()["asked"].values()]) == (1, [both])
    assert list(evidence(root, "two")) == ["text.news-minilm.cos_sim_spearman"]
    asked: list[tuple[str, Sequence[str]]] = []

    def second(number: str, scores: Sequence[str]) -> int:
        asked.append((number, scores))
        return 1

    answered = take(root, text, "two.md", choose=second)
    assert [list(scores) for _, scores in asked] == [both] and "{a:.2f} (line 1)".format(**values) in asked[0][0]
    assert (answered.asked, len(answered.bound)) == ({}, 1)
    assert "fora-minilm cos_sim_spearman percent" in evidence(root, "two").values()
    assert set(states(root).values()) == {"holds"}


def test_a_terminal_asks_which_of_two_it_is(root: Path, values: dict[str, float]) -> None:
    make_run(root, twice=True)
    (root / "two.md").write_text("With minilm the Spearman on forum is {a:.2f}.\n".format(**values))
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(root)
        os.execve(BIN / "aqea-registry", ["aqea-registry", "claims", "bind", "two.md", "--write"], environment())
    os.write(terminal, b"2\n")
    shown = b""
    with suppress(OSError):  # the other end is closed
        while block := os.read(terminal, 65536):
            shown += block
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, shown
    assert b"1: cos_sim_spearman of forum-minilm" in shown and b"1 number bound, 0 may be several scores" in shown
    assert "fora-minilm cos_sim_spearman percent" in evidence(root, "two").values()


def test_what_was_written_by_hand_is_kept_whatever_it_is_called(root: Path, values: dict[str, float]) -> None:
    take(root, PAPER.format(**values))
    path = root / "manifests/claims/paper.yaml"
    path.write_text(path.read_text() + '- {id: text.hours, value: "12.5", unit: number, at: {line: 4}}\n')
    done = take(root, "A line more.\n" + PAPER.format(**values))
    [hours] = [claim for claim in ledger_of(root).claims if claim.id == "text.hours"]
    assert (done.unbound, hours.at.line) == (3, 5)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_a_document_is_like_it_is_read_or_refused(root: Path, seed: int) -> None:
    rng = random.Random(seed)
    words = [
        "minilm",
        "forum",
        "Spearman",
        "45.9",
        "−0.5",
        "1,234.5",
        "|",
        "\n",
        "&",
        "\\\\",
        "\n\n",
        "61.42 %",
        "\\begin{tabular}{ll}",
        "|--|--|\n",
    ]
    for n, name in enumerate(("a.md", "a.tex", "a.csv", "a.txt", "a.html")):
        (root / name).write_text(" ".join(rng.choice(words) for _ in range(200 + n)))
        done = aqea("claims", "bind", name, "--json", cwd=root)
        assert done.status in (0, 1, 2) and done.json()["schema"] == "aqea-registry/claims-bind/1"


def test_pair_sets_that_are_not_here_are_named(root: Path, values: dict[str, float]) -> None:
    (root / "training/data/news_minilm_8d_pairs.json").unlink()
    done = take(root, PAPER.format(**values), write=False)
    assert [note for note in done.notes if note.startswith("news-minilm: training/data")]
    measured = [claim.measured.result for claim in done.bound if claim.measured is not None]
    assert set(measured) == {"forum-minilm", "forum-mpnet", "news-mpnet"}


def test_a_project_in_a_folder_of_a_repository_binds_its_papers(root: Path, values: dict[str, float], tmp_path: Path) -> None:
    """What lies in `aqea/` judges, lints and fills documents of the folder around it, from any folder below."""
    home = root.rename(tmp_path / "aqea")
    (tmp_path / "text").mkdir()
    right = PAPER.format(**values) + "\nAgain: {a:.2f}<!-- claim: paper:text.forum-minilm.cos_sim_pearson -->.\n".format(
        **values
    )
    (tmp_path / "text/paper.md").write_text(right)
    assert aqea("claims", "bind", "text/paper.md", "--write", cwd=tmp_path).status == 0
    assert ledger_of(home).document.file == "text/paper.md"
    checked = aqea("claims", "check", "--json", cwd=tmp_path / "text").json()
    assert checked["documents"] == {"paper": "same"} and checked["counts"]["all"]["holds"] > 9
    for words, cwd in ((("paper.md",), tmp_path / "text"), ((), tmp_path)):
        linted = aqea("claims", "lint", *words, "--json", cwd=cwd).json()["documents"]
        assert [(page["document"], page["bound"] > 9) for page in linted] == [(words[0] if words else "text/paper.md", True)]
    assert aqea("claims", "fill", "--write", cwd=tmp_path / "text").status == 0
    assert f"Again: {values['p']:.2f}<!--" in (tmp_path / "text/paper.md").read_text()
    assert aqea("claims", "check", "--json", cwd=tmp_path).json()["documents"] == {"paper": "same"}
