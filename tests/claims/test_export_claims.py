"""`claims export`: LaTeX that compiles, JSON, and a model-index that comes back as claims that hold."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from aqea_registry.base.findings import BadConfiguration, CannotCheck
from aqea_registry.base.progress import Silent
from aqea_registry.base.sha256_list import MANIFEST, render
from aqea_registry.claims.export_claims import export_claims, export_scores
from aqea_registry.claims.ledger import At, Claim, Document, Ledger, Quotation, render_ledger
from aqea_registry.project.lock import LOCK, Lock, Pin, PinnedFile, render_lock
from aqea_registry.project.project import open_project
from aqea_registry.vectors.pair_set import Header
from aqea_registry.vectors.scores import metrics, products
from tests.factories import pairs
from tests.helpers import PAIRS
from tests.pair_sets import Pairs
from tests.pair_sets import render as render_pairs
from tests.tools import BIN, ROOT, aqea, edit_params, run

TEX = shutil.which("pdflatex")
COMMIT = "b0fddb56ed78048fa8b90373c8a3cfc37b684831"


def put_ledger(project: Path, name: str, *claims: Claim) -> None:
    """Write a ledger of a document that is not here."""
    document = Document(title=name, sha256="0" * 64, file=f"{name}.md")
    path = project / f"manifests/claims/{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(render_ledger(Ledger(document=document, claims=claims)))


def claim(key: str, value: str | None, unit: Any = "number", **fields: Any) -> Claim:
    return Claim(id=key, value=value, unit=unit, at=At(line=7), **fields)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a ledger that has a claim in every state, and one with colliding names."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    source = Quotation(source="a book")
    put_ledger(
        tmp_path,
        "paper",
        claim("total", "1,170,060,424", "count", derived="sum([part.*])"),
        claim("part.1", "1,170,060,400", "count", quoted=source),
        claim("part.2", "24", "count", quoted=source),
        claim("wrong_1", "82.03", "percent", derived="[free] + 1"),
        claim("free", "80.00", "percent"),
        claim("pooling", "mean_tokens & 50% #1", "text", quoted=source),
        claim("lost", None, ocr="a stain", quoted=source),
        claim("minus", "−0.5", quoted=source),
    )
    put_ledger(tmp_path, "twins", claim("x-1", "1", quoted=source), claim("x.one", "2", quoted=source))
    return tmp_path


def test_latex_has_a_line_for_each_claim_as_printed(project: Path) -> None:
    done = export_claims(open_project(project), [], Silent(), ["paper"], "latex")
    lines = [line for line in done.text.splitlines() if line.startswith("\\aqea@set{")]
    doubt = "\\aqea@doubt{paper:"
    assert lines == [
        "\\aqea@set{paper:total}{\\aqeaPaperTotal}{1,170,060,424} % holds, prints; line 7",
        "\\aqea@set{paper:part.1}{\\aqeaPaperPartOne}{1,170,060,400} % unchecked, no-source; line 7",
        "\\aqea@set{paper:part.2}{\\aqeaPaperPartTwo}{24} % unchecked, no-source; line 7",
        f"\\aqea@set{{paper:wrong_1}}{{\\aqeaPaperWrongOne}}{{{doubt}wrong_1}}{{contradicted}}82.03}} "
        "% contradicted, prints; line 7",
        f"\\aqea@set{{paper:free}}{{\\aqeaPaperFree}}{{{doubt}free}}{{unbound}}80.00}} % unbound; line 7",
        "\\aqea@set{paper:pooling}{\\aqeaPaperPooling}{mean\\_tokens \\& 50\\% \\#1} % unchecked, no-source; line 7",
        "\\aqea@set{paper:lost}{\\aqeaPaperLost}{??} % unchecked, illegible; line 7",
        "\\aqea@set{paper:minus}{\\aqeaPaperMinus}{-0.5} % unchecked, no-source; line 7",
    ]
    assert done.text.isascii() and done.text.count("{") - done.text.count("\\{") == done.text.count("}") - done.text.count(
        "\\}"
    )
    assert [(one.code, one.subject) for one in done.findings] == [("claim-contradicted", "paper: wrong_1")]
    assert done.warnings == ("1 claim rests on nothing, first paper:free",)
    assert export_claims(open_project(project), [], Silent(), ["paper"], "latex") == done
    both = export_claims(open_project(project), [], Silent(), [], "latex").text
    assert set(lines) < set(both.splitlines()), "another ledger changes no line"


PAPER = r"""\documentclass{article}
%s
\input{numbers}
\begin{document}
\typeout{VALUES[\aqeaPaperTotal][\aqeaclaim{paper:part.2}][\claim{paper:minus}][\claim{twins:x-1}][\claim{twins:x.one}]}
\tableofcontents
\section{The total is \claim{paper:total}}
\aqeaPaperPooling{} and \aqeaPaperWrongOne{} and \claim{paper:free} and $\aqeaPaperMinus$
%s
\end{document}
"""


@pytest.mark.skipif(TEX is None, reason="no LaTeX here: apt-get install texlive-latex-base")
def test_latex_compiles_and_doubtful_numbers_warn_where_they_are_printed(project: Path) -> None:
    done = aqea("claims", "export", "--format", "latex", "--to", "numbers.tex", cwd=project)
    assert (done.status, done.err) == (1, "warning: 1 claim rests on nothing, first paper:free\n")

    def compiled(head: str = "", tail: str = "") -> tuple[int, str]:
        (project / "paper.tex").write_text(PAPER % (head, tail))
        words = ("pdflatex", "-interaction=nonstopmode", "paper.tex")
        status = run(*words, cwd=project, env={"max_print_line": "1000"}).status
        return status, re.sub(r"\n\([a-z-]+\) +", " ", (project / "paper.log").read_text(errors="replace"))

    status, log = compiled()
    assert status == 0, log
    assert "VALUES[1,170,060,424][24][-0.5][1][2]" in log
    warned = re.findall(r"aqea-registry Warning: The claim (\S+) is (\w+) on input line 8", log)
    assert warned == [("paper:wrong_1", "contradicted"), ("paper:free", "unbound")]
    assert "aqea-registry Warning: 2 of 10 claims are contradicted or rest on nothing" in log
    for _ in range(2):  # the second run reads what the first wrote into the table of contents
        status, log = compiled(tail=r"\section{Doubt: \aqeaPaperWrongOne}")
    assert (status, log.count("The claim paper:wrong_1 is contradicted on input line")) == (0, 3), log
    status, log = compiled(tail=r"\claim{paper:nothing}")
    assert status == 1 and "There is no claim paper:nothing" in log
    status, log = compiled(head=r"\newcommand{\claim}[1]{mine}")
    assert (status, "VALUES[1,170,060,424][24][mine][mine][mine]" in log) == (0, True), "a paper's own \\claim stays"


def test_json_has_every_claim_with_its_number(project: Path) -> None:
    done = aqea("claims", "export", "--format", "json", cwd=project)
    value = json.loads(done.out)
    assert (done.status, list(value)) == (1, ["paper", "twins"])
    assert value["paper"]["total"] == {
        "value": "1,170,060,424",
        "number": 1170060424,
        "unit": "count",
        "state": "holds",
        "at": {"line": 7},
    }
    shown = {key: (one["number"], one["state"]) for key, one in value["paper"].items()}
    assert (shown["free"], shown["wrong_1"]) == ((80.0, "unbound"), (82.03, "contradicted"))
    assert (shown["pooling"][0], shown["lost"][0], shown["minus"][0]) == (None, None, -0.5)
    told = done.err.splitlines()
    assert told[0] == "warning: 1 claim rests on nothing, first paper:free"
    assert told[1].startswith("warning: paper: wrong_1: ")


def test_the_file_has_the_output_for_itself(project: Path) -> None:
    text = aqea("claims", "export", "--format", "latex", "twins", cwd=project)
    assert (text.status, text.err) == (0, "")
    written = aqea("claims", "export", "--format", "latex", "twins", "--to", "out/n.tex", cwd=project)
    assert (written.status, written.out) == (0, "out/n.tex: 2 numbers\n")
    assert (project / "out/n.tex").read_text() == text.out
    as_json = aqea("claims", "export", "--format", "latex", "twins", "--json", cwd=project).json()
    assert (as_json["text"], as_json["numbers"], as_json["path"]) == (text.out, 2, None)
    assert aqea("claims", "export", "--format", "latex", "twins", "-q", cwd=project) == (0, "", "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--format", "latex", "nothing"), "nothing"),
        (("--format", "model-index", "paper"), "ledgers go with latex and json"),
        (("--format", "json", "--model", "minilm"), "--model with model-index"),
        (("--format", "model-index", "--model", "nothing"), "the run has no pair set of 'nothing'; it has minilm"),
        (("--format", "html"), "html"),
        ((), "--format"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_told(project: Path, words: tuple[str, ...], told: str) -> None:
    done = aqea("claims", "export", *words, cwd=project)
    assert (done.status, done.out) == (2, "") and told in done.err


def test_without_ledgers_or_pair_sets_there_is_nothing_to_export(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    project = open_project(tmp_path)
    with pytest.raises(BadConfiguration, match="no ledger"):
        export_claims(project, [], Silent(), [], "json")
    with pytest.raises(CannotCheck, match=r"nothing of minilm was recomputed; small-minilm: .* is not made yet"):
        export_scores(project, Silent(), None, "model-index")


def make_pair_set(project: Path, *, commit: str | None) -> None:
    """A pair set of the run with random vectors, pinned to a folder or to a commit, in a manifest that names it."""
    first, second, scores = pairs(7, 60, 384)
    found = metrics(products([(first, second)]), scores)
    header = Header(
        dataset="small",
        model="sentence-transformers/all-MiniLM-L6-v2",
        dimension=384,
        n_pairs=60,
        baseline_spearman=found.cos_sim_spearman,
    )
    content = render_pairs(Pairs(header=header, embeddings1=first, embeddings2=second, scores=tuple(scores)))
    (project / PAIRS).parent.mkdir(parents=True)
    (project / PAIRS).write_bytes(content)
    (project / MANIFEST).parent.mkdir(parents=True, exist_ok=True)
    (project / MANIFEST).write_bytes(render({PAIRS: hashlib.sha256(content).hexdigest()}))
    shutil.copy(ROOT / "params.yaml", project)
    if commit:
        edit_params(project, lambda params: params["datasets"].update(small={"repo": "org/small", "revision": commit}))
    params = open_project(project).params
    small, minilm = params.datasets["small"], params.models["minilm"]
    file = {"test.jsonl": PinnedFile(sha256="1" * 64, size=1)}
    of_small = Pin(
        kind=small.kind, id=small.repo, requested=commit, commit=commit, licence=None, resolved_from=None, files=file
    )
    weights = {"model.safetensors": PinnedFile(sha256="2" * 64, size=1)}
    of_minilm = Pin(
        kind="model",
        id=minilm.repo,
        requested=minilm.revision,
        commit=minilm.revision,
        licence=None,
        resolved_from=None,
        files=weights,
    )
    (project / LOCK).write_bytes(render_lock(Lock(datasets={"small": of_small}, models={"minilm": of_minilm})))


@pytest.mark.parametrize("commit", [None, COMMIT], ids=["folder", "commit"])
def test_a_model_index_comes_back_as_claims_that_hold(tmp_path: Path, commit: str | None) -> None:
    from huggingface_hub import ModelCard, ModelCardData

    make_pair_set(tmp_path, commit=commit)
    done = aqea("claims", "export", "--format", "model-index", "--to", "card.md", cwd=tmp_path)
    assert (done.status, done.out, done.err) == (0, "card.md: 6 numbers\n", "")
    text = (tmp_path / "card.md").read_text()
    data: Any = ModelCard(text).data
    assert f"---\n{ModelCardData(**data.to_dict()).to_yaml()}\n---\n" == text, "huggingface_hub reads and writes it the same"
    results = data.to_dict()["model-index"][0]["results"]
    assert len(results) == 1 and len(results[0]["metrics"]) == 6
    assert results[0]["dataset"].get("revision") == commit
    assert results[0]["dataset"].get("split") == ("test" if commit else None), "a folder's split is only what params.yaml says"
    arguments = {"pin": f"sha256:{open_project(tmp_path).lock.datasets['small'].digest()}"}
    assert (results[0]["dataset"]["type"], results[0]["dataset"]["args"]) == (
        ("org/small", {**arguments, "commit_is": "claimed"}) if commit else ("small", arguments)
    ), "no Hub has confirmed the commit"
    assert results[0]["metrics"][0]["args"]["model_revision_is"] == "claimed"
    other = aqea("claims", "export", "--format", "eval-results", cwd=tmp_path).out
    assert ("not confirmed by the Hub, is the commit of small, minilm" in " ".join(other.split())) == bool(commit)
    taken = aqea("claims", "import", "card.md", cwd=tmp_path)
    assert (taken.status, taken.out) == (
        0,
        "manifests/claims/card.yaml: 6 claims, 6 new, 0 changed: written\n6 numbers seen, 6 imported, 0 left out\n",
    )
    states = [(one["state"], one["ground"]) for one in aqea("claims", "check", "--json", cwd=tmp_path).json()["verdicts"]]
    assert states == [("holds", "bytes")] * 6
    digit = re.search(r"value: -?\d+\.\d{10}(\d)", text)
    assert digit is not None
    (tmp_path / "card.md").write_text(f"{text[: digit.start(1)]}{(int(digit[1]) + 1) % 10}{text[digit.end(1) :]}")
    assert aqea("claims", "import", "card.md", "-q", cwd=tmp_path).status == 0
    states = [(one["state"], one["ground"]) for one in aqea("claims", "check", "--json", cwd=tmp_path).json()["verdicts"]]
    assert states == [("contradicted", "bytes"), *[("holds", "bytes")] * 5]


def test_a_pair_set_that_is_not_the_manifests_is_left_out(tmp_path: Path) -> None:
    make_pair_set(tmp_path, commit=None)
    content = (tmp_path / PAIRS).read_bytes()
    (tmp_path / PAIRS).write_bytes(content.replace(b"5,", b"4,", 1))
    done = aqea("claims", "export", "--format", "model-index", "--json", cwd=tmp_path)
    assert (done.status, done.json()["error"]["kind"]) == (3, "CannotCheck")
    assert [(one["code"], one["subject"]) for one in done.json()["findings"]] == [("mismatch", PAIRS)]


WITHOUT = "import sys; sys.modules['huggingface_hub'] = None; from aqea_registry.cli.shell import main; main()"


def test_a_model_index_needs_huggingface_hub(tmp_path: Path) -> None:
    make_pair_set(tmp_path, commit=None)
    result = run(BIN / "python", "-c", WITHOUT, "claims", "export", "--format", "model-index", cwd=tmp_path)
    assert (result.status, result.out) == (3, "")
    assert "pip install 'aqea-registry[stores]'" in result.err and "Traceback" not in result.err
