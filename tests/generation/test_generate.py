"""Generation with the real weights: the same bytes under every arrangement, exact scores, nothing done twice."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from aqea_registry.generation import encoding as generation
from tests import sampling
from tests.helpers import edit_rows, finish, heed_interrupts, start
from tests.tools import SHARED, add_dataset, aqea, copy_project, dvc, edit_params, run

pytestmark = pytest.mark.weights

PAIRS = "training/data/small_minilm_384d_pairs.json"
SSE = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"}

ARRANGEMENTS: dict[str, tuple[tuple[str, ...], Mapping[str, str]]] = {
    "batch 1": (("--batch", "1"), {}),
    "batch 8": (("--batch", "8"), {}),
    "batch 32, 1 thread": (("--batch", "32", "--threads", "1"), {}),
    "batch 32, 2 threads": (("--batch", "32", "--threads", "2"), {}),
    "batch 128": (("--batch", "128"), {}),
    "eager attention": (("--attention", "eager"), {}),
    "SSE4.1 kernels": ((), SSE),
    "AVX2 kernels": ((), AVX2),
}


def cut(project: Path) -> int:
    """Leave the dataset its first rows, all of them with `--all`; return how many."""
    rows = sampling.times(356, 40)
    edit_rows(project, lambda values: None, rows=rows)
    return rows


def made_with(project: Path, words: tuple[str, ...], env: Mapping[str, str]) -> dict[str, Any]:
    """The vectors and scores that one process makes from nothing."""
    (project / PAIRS).unlink(missing_ok=True)
    result = aqea("generate", "small", "minilm", "--fresh", "--json", *words, cwd=project, env=env, timeout=600)
    assert result.status == 0, result.err
    assert result.json()["encoded"] >= 80, "every sentence is encoded anew"
    value = json.loads((project / PAIRS).read_bytes())
    return {key: value[key] for key in ("embeddings1", "embeddings2", "scores")}


def test_canonical_vectors_are_the_committed_ones_under_every_arrangement(project: Path) -> None:
    """The first run made the bytes of the manifest, as it was committed: see `test_a_second_repro_does_no_work`."""
    committed = json.loads((project / PAIRS).read_bytes())
    rows = cut(project)
    chosen = sampling.sample(ARRANGEMENTS, share=0.3, name="arrangements", stratum=lambda name: bool(ARRANGEMENTS[name][1]))
    for name in chosen:
        for key, values in made_with(project, *ARRANGEMENTS[name]).items():
            assert values == committed[key][:rows], name


def test_float32_vectors_are_not_the_same(project: Path) -> None:
    """The control: what makes the numbers equal is the precision, not the test."""
    cut(project)
    edit_params(project, lambda params: params.update(precision="float32"))
    one, other = (made_with(project, *ARRANGEMENTS[name]) for name in ("batch 1", "SSE4.1 kernels"))
    assert one != other
    assert json.loads((project / "metrics/small-minilm.json").read_text())["precision"] == "float32"
    checked = aqea("verify", "--json", cwd=project)
    assert checked.status == 1
    assert "not-canonical" in {finding["code"] for finding in checked.json()["findings"]}


def test_an_interrupt_leaves_what_was_encoded_and_so_does_each_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    def batches() -> Iterator[int]:
        yield from range(5)
        raise KeyboardInterrupt

    for seconds, kept in ((30.0, [[0, 1, 2, 3, 4]]), (0.0, [[0], [1], [2], [3], [4]])):
        monkeypatch.setattr(generation, "CHECKPOINT", seconds)
        found: list[list[int]] = []
        with pytest.raises(KeyboardInterrupt):
            found.extend(generation.gathered(batches(), lambda _: 1))
        assert found == kept


@pytest.mark.rare
def test_ctrl_c_keeps_vectors_and_the_same_command_goes_on(project: Path) -> None:
    (project / PAIRS).unlink()
    words = ("generate", "small", "minilm", "--batch", "1", "--json")
    process = start(*words, cwd=project, limit=heed_interrupts)
    while not any((project / ".aqea/vectors").glob("*/made.json")):  # it is written when encoding begins
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    ended = finish(process)
    assert (ended.status, ended.json()["error"]["kind"]) == (130, "Interrupted")
    assert not (project / PAIRS).exists()
    again = aqea(*words, cwd=project).json()
    assert again["reused"] > 0 and again["encoded"] > 0


def test_a_sentence_is_encoded_once_over_all_datasets(project: Path, tmp_path: Path) -> None:
    count = cut(project)
    rows = (project / "data/small/test.jsonl").read_text().splitlines(keepends=True)
    assert len(rows) == count
    (tmp_path / "half.jsonl").write_text(
        "".join(rows[::2]) + json.dumps({"sentence1": "New.", "sentence2": "New.", "score": 5})
    )
    add_dataset(project, "half", tmp_path, "half.jsonl")
    results = [aqea("generate", name, "minilm", "--json", cwd=project) for name in ("small", "half", "half")]
    whole, half, again = (result.json() for result in results)
    first, second, third = (re.findall(r"encode .*: (.*), about \d+ (?:second|minute)", result.err) for result in results)
    assert (first, second, third) == ([f"{whole['encoded']} sentences"], ["1 sentence"], []), (
        "it is said how many, and how long"
    )
    assert whole["encoded"] == len({json.loads(row)[key] for row in rows for key in ("sentence1", "sentence2")})
    assert (half["encoded"], again["encoded"]) == (1, 0)
    assert half["reused"] > 0.4 * whole["encoded"]


@pytest.mark.rare
def test_generation_needs_no_network(project: Path) -> None:
    if run("unshare", "--net", "true", cwd=project).status != 0:
        pytest.skip("this machine does not let a process leave the network")
    cut(project)
    words = ("unshare", "--net", "aqea-registry", "generate", "small", "minilm", "--fresh", "--json")
    result = run(*words, cwd=project)
    assert result.status == 0, result.err
    assert result.json()["encoded"] >= 80


def test_a_second_repro_does_no_work(made: Path, tmp_path: Path) -> None:
    result = run("dvc", "repro", cwd=made)
    assert result.status == 0
    assert "Running stage" not in result.out
    assert run("git", "status", "--porcelain", cwd=made).out == "", "what was committed was reproduced exactly"


def test_a_co_author_pulls_the_artefacts_and_makes_nothing(project: Path, tmp_path: Path) -> None:
    """As docs/own-paper.md describes it."""
    clone = tmp_path / "clone"
    for words in (
        ("dvc", "remote", "add", "--default", "shared", str(tmp_path / "remote")),
        ("dvc", "push"),
        ("git", "commit", "-qam", "Share the artefacts"),
        ("git", "clone", "-q", ".", str(clone)),
    ):
        result = dvc(*words[1:], cwd=project) if words[0] == "dvc" else run(*words, cwd=project)
        assert result.status == 0, result
    assert not (clone / PAIRS).exists()
    assert dvc("pull", cwd=clone).status == 0
    verified = aqea("verify", "--json", cwd=clone)
    assert (verified.status, verified.json()["findings"]) == (0, [])
    assert "up to date" in dvc("status", cwd=clone).out
    assert not (clone / ".aqea").exists(), "neither data nor model were asked for"


def test_metrics_and_plots_are_those_of_dvc(project: Path) -> None:
    shown = dvc("metrics", "show", "--json", cwd=project)
    values = json.loads(shown.out)[""]["data"]["metrics/small-minilm.json"]["data"]
    assert values["cos_sim_spearman"] == json.loads((project / PAIRS).read_bytes())["baseline_spearman"]
    plots = dvc("plots", "show", cwd=project)
    assert plots.status == 0, plots.err
    assert (project / "dvc_plots/index.html").is_file()


@pytest.fixture(scope="module")
def stsb(made: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A project with the public rows of STS-B as a pair set, in its manifest, and its scores. Shared: look, do not touch."""
    project = tmp_path_factory.mktemp("stsb") / "project"
    copy_project(made, project, without=(".aqea", "releases"))
    shutil.rmtree(project / "manifests/claims")
    add_dataset(project, "stsb-rows", SHARED / "data", "stsb-test.jsonl")
    result = aqea("generate", "stsb-rows", "minilm", "--json", cwd=project, timeout=600)
    assert result.status == 0, result.err
    path = result.json()["path"]
    for words in (("export", path, "--format", "parquet"), ("manifest",)):
        done = aqea(*words, cwd=project)
        assert done.status == 0, done.err
    return project, result.json()


@pytest.mark.shared
def test_stsb_gives_the_printed_spearman_to_the_last_digit(stsb: tuple[Path, dict[str, Any]]) -> None:
    scores: dict[str, Any] = stsb[1]["metrics"]
    assert scores["cos_sim_spearman"] * 100 == 82.03246731235654
    assert scores["euclidean_spearman"] * 100 == 82.03246731235654
    assert scores["manhattan_spearman"] * 100 == 81.94552526855261
    assert scores["cos_sim_pearson"] * 100 == pytest.approx(82.7406424090513, abs=1e-5)
    assert scores["euclidean_pearson"] * 100 == pytest.approx(82.55616747173353, abs=1e-5)
    assert scores["manhattan_pearson"] * 100 == pytest.approx(82.49144455072748, abs=1e-5)


STRICT = {"tolerance": "printed", "reason": "Spearman is exact over equal rankings"}
NEAR = {"tolerance": "0.00001", "reason": "the card's vectors were float32"}
# A claim of the card, its metric, its value as printed or changed, its tolerance, and what it is.
CARD: dict[str, tuple[str, str, dict[str, str], str]] = {
    "cosine": ("cos_sim_spearman", "82.03246731235654", STRICT, "holds"),
    "cosine-changed": ("cos_sim_spearman", "82.03246731235655", STRICT, "contradicted"),
    "cosine-default": ("cos_sim_spearman", "82.03246731235655", {}, "holds"),
    "cosine-off": ("cos_sim_spearman", "82.03246731235664", {}, "contradicted"),
    "euclidean": ("euclidean_spearman", "82.03246731235654", {}, "holds"),
    "manhattan": ("manhattan_spearman", "81.94552526855261", {}, "holds"),
    "manhattan-changed": ("manhattan_spearman", "81.94552526855264", STRICT, "contradicted"),
    "cosine-pearson": ("cos_sim_pearson", "82.7406424090513", NEAR, "holds"),
    "euclidean-pearson": ("euclidean_pearson", "82.55616747173353", NEAR, "holds"),
    "manhattan-pearson": ("manhattan_pearson", "82.49144455072748", NEAR, "holds"),
    "manhattan-pearson-off": ("manhattan_pearson", "82.49154455072748", NEAR, "contradicted"),
}


@pytest.mark.shared
def test_the_cards_claims_hold_and_changed_ones_are_contradicted(stsb: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """Bound by name: the public rows are those of the Hub's data set, but they are not its files."""
    project = tmp_path / "project"
    copy_project(stsb[0], project, without=(".aqea", ".dvc", ".git"))
    claims = [
        {"id": name, "value": value, "unit": "percent", "at": {"line": 1}, "measured": {"result": "r", "metric": metric}}
        | stated
        for name, (metric, value, stated, _) in CARD.items()
    ]
    ledger = {
        "schema": "aqea-registry/claims/1",
        "document": {"title": "The model card", "sha256": "0" * 64, "file": "card.md"},
        "results": {"r": {"dataset": "stsb-rows", "model": "sentence-transformers/all-MiniLM-L6-v2"}},
        "claims": claims,
    }
    (project / "manifests/claims").mkdir()
    (project / "manifests/claims/card.yaml").write_text(json.dumps(ledger))
    checked = aqea("claims", "check", "--json", cwd=project)
    verdicts = {one["claim"]["id"]: one for one in checked.json()["verdicts"]}
    assert {name: one["state"] for name, one in verdicts.items()} == {name: state for name, (*_, state) in CARD.items()}
    assert {one["ground"] for one in verdicts.values()} == {"bytes"}
    assert "the same float64" in verdicts["cosine-changed"]["message"]
    assert verdicts["cosine-changed"]["recomputed"] == "82.03246731235654"
    assert checked.status == 1

    path = project / stsb[1]["path"]
    content = path.read_bytes()
    place = content.index(b",", content.index(b'"embeddings1"')) - 1  # the last digit of the first component
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    checked = aqea("claims", "check", "--json", cwd=project)
    assert [(one["code"], one["subject"]) for one in checked.json()["findings"]] == [("mismatch", stsb[1]["path"])]
    assert {(one["state"], one["reason"]) for one in checked.json()["verdicts"]} == {("unchecked", "broken-chain")}


@pytest.mark.shared
@pytest.mark.rare
def test_sts13_is_close_to_the_printed_scores(project: Path) -> None:
    """Its sentences differ slightly from those that the model card's scores were computed from."""
    add_dataset(project, "sts13", SHARED / "data", "sts13-test.jsonl")
    result = aqea("generate", "sts13", "minilm", "--json", cwd=project, timeout=600)
    assert result.status == 0, result.err
    printed = {
        "cos_sim_pearson": 80.15192226911441,
        "cos_sim_spearman": 80.60316722220763,
        "euclidean_pearson": 79.9515074804673,
        "euclidean_spearman": 80.60316715056034,
        "manhattan_pearson": 80.01037050043855,
        "manhattan_spearman": 80.70244228209006,
    }
    assert {name: value * 100 for name, value in result.json()["metrics"].items()} == pytest.approx(printed, abs=0.01)


def test_exports_hold_what_they_promise(project: Path) -> None:
    pairs = json.loads((project / PAIRS).read_bytes())
    benchmark = json.loads((project / "training/data/small_minilm_384d_benchmark.json").read_bytes())
    assert benchmark["metrics"]["cos_sim_spearman"] == pairs["baseline_spearman"]
    assert benchmark["digests"]["file"][PAIRS] == "sha256:" + hashlib.sha256((project / PAIRS).read_bytes()).hexdigest()
    assert benchmark["model"]["pin"]["files"]["model.safetensors"]["size"] == 90868376
    result = aqea("export", PAIRS, "--format", "embeddings", cwd=project)
    assert result.status == 0, result.err
    embeddings = json.loads((project / result.out.strip()).read_bytes())
    assert embeddings["embeddings"] == pairs["embeddings1"] + pairs["embeddings2"]
    assert embeddings["metadata"]["scores"] == pairs["scores"]
