"""Claims on the results of vector sets: read after the chain is checked, found by repository, task, split and subset."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from huggingface_hub import parse_eval_result_entries
from msgspec.structs import replace

from aqea_registry.base import sha256_list
from aqea_registry.base.files import hash_file, write_bytes
from aqea_registry.base.progress import Silent
from aqea_registry.base.strict import load_yaml
from aqea_registry.claims.check_claims import check_claims
from aqea_registry.claims.judging import commands
from aqea_registry.claims.ledger import Claim, Document, Evaluation, Ledger, Verdict, read_ledgers, render_ledger
from aqea_registry.project.lock import LOCK, Lock, render_lock
from aqea_registry.project.project import open_project
from aqea_registry.stores.receipts import Receipt, ReceiptFile, StoreReceipt
from tests.claims.test_check_claims import pin, pinned
from tests.tools import ROOT, aqea, edit_params

A, B, M = "a" * 40, "b" * 40, "d" * 40
PARAMS = f"""
datasets:
  nf: {{mteb: NFCorpus, revision: {A}}}
  nf-old: {{mteb: NFCorpus, revision: {B}}}
  talk: {{mteb: Tatoeba, revision: {A}, subsets: [deu-eng, fra-eng]}}
  bank: {{mteb: Banking77Classification, repo: mteb/banking77, revision: {A}}}
models:
  toy: {{repo: org/toy, revision: {M}, dimension: 8}}
runs:
  default: &default
    vectors:
      nf-toy: {{dataset: nf, model: toy, file: nf_toy_8d}}
      talk-toy: {{dataset: talk, model: toy, file: talk_toy_8d}}
run: *default
"""
RETRIEVAL = {"ndcg_at_10": 0.31594, "map_at_1000": 0.14, "mrr_at_1000": 0.5, "nauc_map_at_1_max": None, "main_score": 0.31594}
SCORES = {
    "nf": {"test": {"default": RETRIEVAL}},
    "talk": {
        "test": {
            "deu-eng": {"f1": 0.5, "main_score": 0.5, "runs": [{"f1": 0.25}]},
            "fra-eng": {"f1": 0.75, "main_score": 0.75, "cosine_accuracy_threshold": 0.7},
        }
    },
}
CARD = "c" * 64
OF = {"model": "org/toy", "model_revision": M, "revision": A}


def result(dataset: str, lock: Lock) -> bytes:
    pins = {"dataset": lock.datasets[dataset], "model": lock.models["toy"]}
    value: dict[str, Any] = {"schema": "aqea-registry/result/1", "task": "NFCorpus", "type": "Retrieval"}
    value |= {"main_score": "ndcg_at_10", "scores": SCORES[dataset], "vectors": {"texts": 3, "dimension": 8, "content": ""}}
    value |= {kind: {"name": dataset, "id": p.id, "commit": p.commit, "digest": p.digest()} for kind, p in pins.items()}
    return json.dumps(value).encode()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return project_with_results(tmp_path)


def project_with_results(root: Path) -> Path:
    """Two results beside what stands for their vector sets, in a manifest, with the pins that they name."""
    lock = Lock(
        datasets={
            name: pin("dataset", B if name == "nf-old" else A, {"f": pinned(name.encode())})
            for name in ("nf", "nf-old", "talk")
        },
        models={"toy": pin("model", M, {"weights": pinned(b"w")})},
    )
    tasks = {"nf": "NFCorpus", "nf-old": "NFCorpus", "talk": "Tatoeba"}
    named = {k: replace(v, id=f"mteb/{k}", mteb=tasks[k]) for k, v in lock.datasets.items()}
    models = {"toy": replace(lock.models["toy"], id="org/toy")}
    lock = replace(lock, datasets=named, models=models)
    made = {LOCK: render_lock(lock)}
    for name in SCORES:
        made |= {f"metrics/{name}-toy.json": result(name, lock), f"training/data/{name}_toy_8d_vectors.parquet": name.encode()}
    listed = {path: hashlib.sha256(content).hexdigest() for path, content in made.items()}
    for path, content in {"params.yaml": PARAMS.encode(), **made, sha256_list.MANIFEST: sha256_list.render(listed)}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    (root / "manifests/claims").mkdir()
    return root


def claim(name: str, value: str, metric: str, unit: str = "percent", on: str = "r", **more: Any) -> Claim:
    evidence = {"measured": {"result": on, "metric": metric}, **more}
    return msgspec.convert({"id": name, "value": value, "unit": unit, "at": {"line": 1}, **evidence}, Claim)


def judged(root: Path, *claims: Claim, results: dict[str, Evaluation]) -> list[Verdict]:
    ledger = Ledger(document=Document(title="card", sha256=CARD, file="card.md"), results=results, claims=claims)
    (root / "manifests/claims/card.yaml").write_bytes(render_ledger(ledger))
    return list(check_claims(open_project(root), [], Silent()).verdicts)


# What the document says of a measurement on NFCorpus, and the state or reason.
FOUND: dict[str, tuple[dict[str, Any], str, str]] = {
    "by its task": ({"dataset": "NFCorpus"}, "r", "holds"),
    "by its name in the catalogue": ({"dataset": "nf"}, "r", "holds"),
    "by the name of the result, which a card gives": ({"dataset": "nfcorpus-of-2022"}, "nfcorpus", "holds"),
    "by the repository of the pin": ({"dataset": "mteb/nf"}, "r", "holds"),
    "another revision": ({"dataset": "NFCorpus", "revision": B}, "r", "no-pair-set"),
    "an unknown revision": ({"dataset": "NFCorpus", "revision": M}, "r", "other-revision"),
    "another split": ({"dataset": "NFCorpus", "split": "dev"}, "r", "not-recomputed"),
    "another subset": ({"dataset": "NFCorpus", "config": "de"}, "r", "not-recomputed"),
    "another task": ({"dataset": "NFCorpusHard"}, "r", "unknown-dataset"),
    "nothing": ({"dataset": "NFCorpus", "revision": None}, "r", "unpinned"),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_result_is_found_by_name_task_or_repository_and_by_its_revision(root: Path, name: str) -> None:
    fields, key, wanted = FOUND[name]
    [verdict] = judged(root, claim("a", "31.59", "nDCG@10", on=key), results={key: Evaluation(**{**OF, **fields})})
    assert (verdict.reason or verdict.state) == wanted, verdict.message


def test_a_score_is_read_and_said_to_be(root: Path) -> None:
    on = {"r": Evaluation(dataset="NFCorpus", **OF), "t": Evaluation(dataset="Tatoeba", config="fra-eng", **OF)}
    claims = [
        claim("percent", "31.6", "ndcg_at_10"),
        claim("fraction", "0.316", "main_score", "fraction"),
        claim("earlier", "14.0", "map"),
        claim("wrong", "31.7", "ndcg_at_10"),
        claim("none", "1", "nauc_map_at_1_max"),
        claim("subset", "75.0", "f1", on="t"),
        claim("threshold", "0.7", "cos_sim_accuracy_threshold", "number", on="t"),
        claim("unit", "31.6", "ndcg_at_10", "number"),
    ]
    done = {verdict.claim.id: verdict for verdict in judged(root, *claims, results=on)}
    states = {name: verdict.reason or verdict.state for name, verdict in done.items()}
    holds = dict.fromkeys(("percent", "fraction", "earlier", "subset", "threshold"), "holds")
    assert states == {**holds, "wrong": "contradicted", "none": "not-recomputed", "unit": "malformed"}
    assert done["percent"].message.startswith("read from the result nf-toy, which verify --full recomputes: 31.594;")
    assert (done["percent"].ground, done["percent"].rests_on) == ("bytes", ("nf-toy",))


def test_a_number_in_a_list_has_a_name_of_its_own(root: Path) -> None:
    on = {"r": Evaluation(dataset="Tatoeba", config="deu-eng", **OF)}
    assert judged(root, claim("a", "0.25", "runs_0_f1", "fraction"), results=on)[0].state == "holds"


def test_a_task_that_trains_may_have_a_tolerance(root: Path) -> None:
    path = root / "metrics/nf-toy.json"
    path.write_bytes(path.read_bytes().replace(b'"Retrieval"', b'"Classification"'))
    relist(root)
    tolerant = {"tolerance": "0.2", "reason": "another scikit-learn"}
    claims = [claim("exact", "31.7", "main_score"), claim("about", "31.7", "main_score", **tolerant)]
    exact, about = judged(root, *claims, results={"r": Evaluation(dataset="NFCorpus", **OF)})
    assert (exact.state, about.state) == ("contradicted", "holds")
    assert "it trains" in exact.message and "stated: another scikit-learn" in about.message
    shown = aqea("claims", "check", cwd=root).out
    assert "1 of 2 state a tolerance" in shown


def relist(root: Path) -> None:
    manifest = root / sha256_list.MANIFEST
    paths = [line.split("  ", 1)[1] for line in manifest.read_text().splitlines()]
    manifest.write_bytes(sha256_list.render({path: hashlib.sha256((root / path).read_bytes()).hexdigest() for path in paths}))


def remove(path: str) -> Callable[[Path], object]:
    return lambda root: (root / path).unlink()


def change(path: str, old: bytes, new: bytes, *, listed: bool = False) -> Callable[[Path], object]:
    def changed(root: Path) -> None:
        (root / path).write_bytes((root / path).read_bytes().replace(old, new))
        if listed:
            relist(root)

    return changed


VECTORS, METRICS = "training/data/nf_toy_8d_vectors.parquet", "metrics/nf-toy.json"
LOCKED = """schema: "2.0"
stages: {evaluate@nf-toy: {cmd: x, params: {params.yaml: {datasets.nf: {mteb: NFCorpus, revision: other}}}}}
"""
BROKEN: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no result": (remove(METRICS), "missing-file", "run: dvc repro"),
    "no vector set": (remove(VECTORS), "missing-file", "run: dvc repro"),
    "another vector set": (change(VECTORS, b"nf", b"xx"), "broken-chain", VECTORS),
    "another number": (change(METRICS, b"0.31594", b"0.31595"), "broken-chain", METRICS),
    "another pin": (change(METRICS, b'"digest": "', b'"digest": "0', listed=True), "broken-chain", "of another pin"),
    "another schema": (change(METRICS, b"result/1", b"result/2", listed=True), "broken-chain", "not sound"),
    "another dataset when it was made": (lambda root: (root / "dvc.lock").write_text(LOCKED), "broken-chain", "another value"),
    "not in the manifest": (change(sha256_list.MANIFEST, b"metrics/nf", b"metrics/xx"), "broken-chain", "does not list it"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_nothing_is_read_from_a_broken_chain(root: Path, name: str) -> None:
    break_it, reason, told = BROKEN[name]
    break_it(root)
    [verdict] = judged(root, claim("a", "31.59", "ndcg_at_10"), results={"r": Evaluation(dataset="NFCorpus", **OF)})
    assert (verdict.reason, told in verdict.message) == (reason, True), verdict.message


def test_without_mteb_the_command_that_installs_it_comes_first(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / METRICS).unlink()
    monkeypatch.setitem(sys.modules, "mteb", None)
    [verdict] = judged(root, claim("a", "31.59", "ndcg_at_10"), results={"r": Evaluation(dataset="NFCorpus", **OF)})
    assert commands([verdict]) == {"pip install 'aqea-registry[mteb]'": ["card:a"]}


def test_each_claim_that_is_not_checked_names_what_would_make_it_checkable(root: Path) -> None:
    stsb = Evaluation(dataset="mteb/stsbenchmark-sts", task="STS", **OF)
    results = {
        "arguana": Evaluation(dataset="arguana", **{**OF, "revision": B}),
        "imported": Evaluation(dataset="SciFact", mteb="2.1.0", **OF),
        "sts": stsb,
        "nfcorpus": Evaluation(dataset="x", **{**OF, "revision": B}),
        "newer": Evaluation(dataset="NFCorpus", **{**OF, "revision": "e" * 40}),
        "bank": Evaluation(dataset="mteb/banking77", **OF),
        "other": Evaluation(dataset="NFCorpus", revision=A, model="org/other"),
        "old": Evaluation(dataset="NFCorpus", revision=A, model="org/toy", model_revision=B),
    }
    verdicts = judged(root, *(claim(key, "1.0", "main_score", on=key) for key in results), results=results)
    ways = {name.removeprefix("card:"): command for command, names in commands(verdicts).items() for name in names}
    to_datasets, e = "after adding to datasets of params.yaml: ", "e" * 40
    wanted = {
        "arguana": f"aqea-registry pin arguana, {to_datasets}arguana: {{mteb: arguana, revision: {B}, split: test}}",
        "imported": f"imported: {{mteb: SciFact, revision: {A}, split: test}}",
        "sts": f"sts: {{repo: mteb/stsbenchmark-sts, revision: {A}, config: default, split: test}}",
        "nfcorpus": "dvc repro, after adding to vectors of the run in params.yaml: "
        "nf-old-toy: {dataset: nf-old, model: toy, file: nf_old_toy_8d}",
        "newer": f"aqea-registry pin nf-eeeeeee, {to_datasets}nf-eeeeeee: {{mteb: NFCorpus, revision: {e}, split: test}}",
        "bank": "aqea-registry pin bank; dvc repro, after adding to vectors",
        "other": "after adding to models of params.yaml: other: {repo: org/other, revision: COMMIT, dimension: N}",
        "old": f"toy-bbbbbbb: {{repo: org/toy, revision: {B}, dimension: 8}}",
    }
    assert {key: command in ways[key] for key, command in wanted.items()} == dict.fromkeys(results, True), ways
    done = aqea("claims", "check", "--json", cwd=root).json()["commands"]
    assert done == commands(verdicts)


def test_scores_are_exported_as_the_hub_reads_them_with_the_release_that_holds_them(root: Path) -> None:
    done = aqea("claims", "export", "--format", "eval-results", "--json", cwd=root).json()
    assert (done["numbers"], done["findings"]) == (3, [])
    entry, *parts = parse_eval_result_entries(load_yaml(done["text"].encode(), "r.yaml"))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("mteb/nf", "NFCorpus_default_test", 31.594)
    assert [part.task_id for part in parts] == ["Tatoeba_deu-eng_test", "Tatoeba_fra-eng_test"]
    assert (entry.dataset_revision, entry.source_url, "not released" in (entry.notes or "")) == (A, None, True)
    held = [ReceiptFile(path=f"metrics/{n}-toy.json", digest=digest_of(root / f"metrics/{n}-toy.json"), size=1) for n in SCORES]
    for tag, files in (("v1", held), ("v2", held[:1]), ("v3", [replace(file, digest=f"sha256:{CARD}") for file in held])):
        store = {"hf://datasets/org/x": StoreReceipt(reference=f"hf://datasets/org/x@{tag}", at="")}
        found = Receipt(tag=tag, digest="sha256:" + 64 * tag[1], files=tuple(files), stores=store)
        write_bytes(root / f"manifests/releases/{tag}.json", found.render())
    shown = aqea("claims", "export", "--format", "eval-results", "--to", ".eval_results/aqea.yaml", cwd=root)
    entry, *_ = parse_eval_result_entries(load_yaml((root / ".eval_results/aqea.yaml").read_bytes(), "r.yaml"))
    assert (shown.status, entry.source_url) == (0, "https://huggingface.co/datasets/org/x/tree/v1")
    assert "sha256:1111" in str(entry.source_name) and "release v1, sha256:1111" in str(entry.notes)


def digest_of(path: Path) -> str:
    return f"sha256:{hash_file(path).sha256}"


def test_each_number_that_a_card_measured_waits_for_nothing_but_the_hub() -> None:
    verdicts = check_claims(open_project(ROOT / "examples/model-cards"), [], Silent(), ["minilm-card"]).verdicts
    measured = [verdict for verdict in verdicts if verdict.claim.measured is not None]
    assert {verdict.reason for verdict in measured} == {"unresolved"}
    assert all(re.search(r"; run: aqea-registry pin [\w-]+$", verdict.message) for verdict in measured)


def test_the_run_of_the_cards_waits_for_the_hub_as_well(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples/model-cards", tmp_path / "cards")
    edit_params(tmp_path / "cards", lambda params: params.update(run=params["runs"]["cards"]))
    verdicts = check_claims(open_project(tmp_path / "cards"), [], Silent(), ["minilm-card"]).verdicts
    measured = [verdict for verdict in verdicts if verdict.claim.measured is not None]
    assert {verdict.reason for verdict in measured} == {"unresolved"}
    assert all(re.search(r"; run: aqea-registry pin [\w-]+$", verdict.message) for verdict in measured)


PAPER = """# Results of toy

| task | nDCG@10 | MRR@1000 |
|---|---|---|
| NFCorpus | 31.6 | 50.0 |

| task | toy |
|---|---|
| NFCorpus | 0.316 |
| Tatoeba deu-eng | 0.50 |
| Tatoeba fra-eng | 0.76 |
"""


def test_a_document_is_bound_to_results_by_task_subset_and_metric_or_the_main_score(root: Path) -> None:
    (root / "paper.md").write_text(PAPER)
    done = aqea("claims", "bind", "paper.md", "--write", "--json", cwd=root).json()
    ledger = read_ledgers(root)[0]["paper"]
    bound = {claim.text: (claim.measured.result, claim.measured.metric) for claim in ledger.claims if claim.measured}
    assert bound == {
        "31.6": ("nf-toy", "ndcg_at_10"),
        "50.0": ("nf-toy", "mrr_at_1000"),
        "0.316": ("nf-toy", "main_score"),
        "0.50": ("talk-toy/test/deu-eng", "main_score"),
        "0.76": ("talk-toy/test/fra-eng", "main_score"),
    }
    assert ["0.75" in note for note in done["notes"]] == [True], "what another digit would be"
    states = {v.claim.text: v.state for v in check_claims(open_project(root), [], Silent(), ["paper"]).verdicts}
    assert states == {**dict.fromkeys(bound, "holds"), "0.76": "contradicted"}
    filled = aqea("claims", "fill", "paper", "--json", cwd=root).json()
    assert [(change["old"], change["new"]) for change in filled["changes"]] == [("0.76", "0.75")]
