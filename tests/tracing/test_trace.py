"""`trace` over a made project: down to bytes and commits, up to releases and stores, and every link broken once."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused
from aqea_registry.base.progress import Silent
from aqea_registry.claims.check_claims import check_claims
from aqea_registry.project.lock import parse_lock
from aqea_registry.project.project import open_project
from aqea_registry.tracing.nodes import draw_releases
from aqea_registry.tracing.trace import Traced, check_bytes, find, outline
from aqea_registry.tracing.trace import trace as operation
from tests.cli.test_shell import on_a_terminal
from tests.growth import assert_linear
from tests.helpers import (
    BENCHMARK,
    MANIFEST,
    METRICS,
    PAIRS,
    PINS,
    PLOT,
    ROWS,
    Change,
    append,
    edit_lock,
    keep_vectors,
    layout_manifest,
    put,
    remove,
    replace,
    seal,
)
from tests.tools import BIN, aqea, copy_project, edit_params, run

pytestmark = pytest.mark.weights

KEY = "small-minilm"
SPEARMAN = f"{KEY}#cos_sim_spearman"
STAGE = f"generate@{KEY}"
WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
FOUND = json.loads((Path(__file__).parents[2] / METRICS).read_text())


@pytest.fixture
def project(project: Path) -> Path:
    """A made project without the checkout's own ledgers: the tests write theirs."""
    shutil.rmtree(project / "manifests/claims", ignore_errors=True)
    return project


def trace(project: Path, what: str, *stores: str) -> Traced:
    return operation(open_project(project), what, Silent(), stores=stores)


def broken(traced: Traced) -> dict[str, str]:
    """What is broken, and why."""
    assert {one.code for one in traced.findings} <= {"broken-link"}
    return {one.subject: one.message for one in traced.findings}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def claim(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "unit": "percent", "at": {"line": 1}, **fields}


def ledger(project: Path, name: str, *claims: Mapping[str, Any], text: str = "A document.\n") -> None:
    """A document and its ledger: JSON is YAML."""
    put(f"docs/{name}.md", text.encode())(project)
    document = {"title": name, "file": f"docs/{name}.md", "sha256": hashlib.sha256(text.encode()).hexdigest()}
    results = {"r": {"dataset": "small", "model": "minilm"}}
    value = {"schema": "aqea-registry/claims/1", "document": document, "results": results, "claims": claims}
    put(f"manifests/claims/{name}.yaml", json.dumps(value).encode())(project)


def measured(name: str = "spearman", points: float = 0.0) -> dict[str, Any]:
    value = f"{100 * FOUND['cos_sim_spearman'] + points:.2f}"
    return claim(name, value=value, measured={"result": "r", "metric": "cos_sim_spearman"})


def test_a_claim_is_traced_to_bytes_and_commits_and_to_every_store(project: Path) -> None:
    ledger(project, "paper", measured(), claim("double", value="110.24", derived="2 * [spearman]"))
    for words in ((), ("--to", "oci:../second")):
        assert aqea("publish", "--tag", "v1", "-q", *words, cwd=project).status == 0
    git = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    run("git", *git, "commit", "-q", "--allow-empty", "-m", "Something else", cwd=project)
    recorded = run("git", "log", "-1", "--format=%H", "--", "dvc.lock", cwd=project).out.strip()

    result = aqea("trace", "paper:double", "--store", "oci:../second", "--json", cwd=project)
    assert (result.status, result.err) == (0, "")
    value = result.json()
    nodes = {node["id"]: node for node in value["nodes"]}
    links = {(edge["source"], edge["target"]) for edge in value["edges"]}
    chain = ["claim:paper:double", "claim:paper:spearman", f"metric:{SPEARMAN}", f"pair-set:{KEY}", f"stage:{STAGE}"]
    assert set(pairwise(chain)) <= links
    stage = {target for source, target in links if source == f"stage:{STAGE}"}
    assert {f"parameters:{STAGE}", "pin:small", "pin:minilm", f"commit:{recorded}"} == stage
    assert nodes[f"metric:{SPEARMAN}"]["facts"]["value"] == repr(FOUND["cos_sim_spearman"])
    assert nodes[f"pair-set:{KEY}"]["facts"]["sha256"] == sha256(project / PAIRS)
    assert nodes[f"pair-set:{KEY}"]["facts"]["content"] in (project / BENCHMARK).read_text()
    pins = parse_lock((project / PINS).read_bytes())
    for name, pin in (("minilm", pins.models["minilm"]), ("small", pins.datasets["small"])):
        for path, file in pin.files.items():
            assert nodes[f"upstream-file:{name}/{path}"]["facts"]["sha256"] == file.sha256
            assert (f"pin:{name}", f"upstream-file:{name}/{path}") in links
    for store, tag in ((project / "releases", "oci:releases:v1"), (project.parent / "second", "oci:../second:v1")):
        digest, _ = layout_manifest(store)
        assert {(f"store:{tag}", f"release:{digest}"), (f"release:{digest}", f"pair-set:{KEY}")} <= links
    assert set(value["rests_on"]) | set(value["carried_by"]) == set(nodes)
    assert aqea("trace", "paper:double", "--store", "oci:../second", "--json", cwd=project) == result, "the same again"


def test_an_upstream_file_answers_which_numbers_rest_on_it(project: Path) -> None:
    ledger(project, "paper", measured(), claim("alone", value="3"))
    ledger(project, "card", claim("again", value=measured()["value"], quoted={"claim": "paper:spearman"}))
    for what in (WEIGHTS, WEIGHTS[:8], f"sha256:{WEIGHTS.upper()}"):
        traced = trace(project, what)
        assert traced.found == ("upstream-file:minilm/model.safetensors",)
        above = {node.id for node in traced.carried_by.nodes}
        assert {f"metric:{KEY}#{name}" for name in FOUND if "_" in name and name != "n_pairs"} <= above
        assert {id_ for id_ in above if id_.startswith("claim:")} == {"claim:paper:spearman", "claim:card:again"}
    assert traced.findings == ()
    shown = aqea("trace", WEIGHTS[:8], cwd=project)
    assert shown.status == 0
    assert re.search(r"^what rests on it: 2 claims, 6 metrics, 1 pair set, .*; no broken links$", shown.out, re.MULTILINE)


def other_last_digit(project: Path) -> None:
    """The metrics file says another score, and everything else was made to agree with it."""
    value = repr(FOUND["cos_sim_spearman"])
    replace(METRICS, value.encode(), f"{value[:-1]}{(int(value[-1]) + 1) % 10}".encode())(project)
    seal(project)


def other_unit(project: Path) -> None:
    """One micro-unit of one vector is another one."""
    text = (project / PAIRS).read_text()
    at = re.search(r'"embeddings1":\[\[-?0\.\d+', text)
    assert at
    other = "1" if text[at.end() - 1] != "1" else "2"
    (project / PAIRS).unlink()
    (project / PAIRS).write_text(f"{text[: at.end() - 1]}{other}{text[at.end() :]}")


def other_parameter(lock: dict[str, Any]) -> None:
    lock["stages"][STAGE]["params"]["params.yaml"]["precision"] = "float32"


def other_output(lock: dict[str, Any]) -> None:
    outs = {out["path"]: out for out in lock["stages"][STAGE]["outs"]}
    outs[PAIRS]["md5"] = "0" * 32


def link_out(path: str) -> Change:
    """The file lies beside the project, and a link leads there."""

    def change(project: Path) -> None:
        (project / path).rename(project.parent / "outside")
        (project / path).symlink_to(project.parent / "outside")

    return change


def folder_of_rows(project: Path) -> None:
    (project / ROWS).unlink()
    (project / ROWS).mkdir()


PAIR_SET, PRINTS, EXPORT = f"pair-set:{KEY}", {f"file:{METRICS}", f"file:{BENCHMARK}"}, f"stage:export@{KEY}-benchmark"
# How a link is broken, which nodes of the metric's trace then are, and what is said of the first.
BREAKS: dict[str, tuple[Change, set[str], str]] = {
    "a micro-unit": (other_unit, {PAIR_SET, *PRINTS}, f"{MANIFEST} names"),
    "no pair file": (remove(PAIRS), {PAIR_SET, f"metric:{SPEARMAN}"}, "file not found"),
    "a pair file that is none": (put(PAIRS, b"{}"), {PAIR_SET, f"metric:{SPEARMAN}"}, "names"),
    "the metrics file": (append(METRICS, b" "), {f"file:{METRICS}"}, "names"),
    "a metric, all else agreeing": (other_last_digit, {f"file:{METRICS}"}, "recomputed from the pair set it is"),
    "no manifest": (remove(MANIFEST), {f"file:{MANIFEST}", PAIR_SET, *PRINTS}, "cannot be read"),
    "a metrics file outside": (link_out(METRICS), {f"file:{METRICS}"}, "leads out of the project"),
    "a pair file outside": (link_out(PAIRS), {PAIR_SET, f"metric:{SPEARMAN}"}, "leads out of the project"),
    "a folder for rows": (folder_of_rows, {"upstream-file:small/test.jsonl"}, "cannot be read: a folder"),
    "the source's rows": (append(ROWS, b"\n"), {"upstream-file:small/test.jsonl"}, "directory:data/small has other bytes"),
    "no rows": (remove(ROWS), {"upstream-file:small/test.jsonl"}, "lacks"),
    "a digest in the lock": (
        replace(PINS, WEIGHTS[:16].encode(), b"0" * 16),
        {"upstream-file:minilm/model.safetensors", f"parameters:{STAGE}"},
        "has other bytes",
    ),
    "no lock": (remove(PINS), {"pin:minilm", "pin:small"}, "is not pinned"),
    "another model in params.yaml": (
        lambda project: edit_params(project, lambda params: params["models"]["minilm"].update(revision="main")),
        {"pin:minilm", f"parameters:{STAGE}"},
        "main",
    ),
    "a parameter in dvc.lock": (edit_lock(other_parameter), {f"parameters:{STAGE}"}, "another value"),
    "an output in dvc.lock": (edit_lock(other_output), {PAIR_SET, EXPORT}, "records other bytes"),
    "a stage not in dvc.lock": (edit_lock(lambda lock: lock["stages"].pop(STAGE)), {f"stage:{STAGE}"}, "not in dvc.lock"),
    "dvc.lock is none": (put("dvc.lock", b": ["), {f"stage:{STAGE}"}, "dvc.lock: "),
    "no dvc.lock": (remove("dvc.lock"), {f"stage:{STAGE}"}, "dvc.lock: cannot be read"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_link_is_found_where_it_is(project: Path, name: str) -> None:
    change, wanted, told = BREAKS[name]
    assert trace(project, SPEARMAN).findings == ()
    change(project)
    found = broken(trace(project, SPEARMAN))
    off_the_way = {EXPORT}  # it reads the pair set, and the metric does not rest on it
    assert set(found) - {f"file:{MANIFEST}"} == wanted - off_the_way - {f"file:{MANIFEST}"}
    assert told in found[next(id_ for id_ in found if id_ in wanted and told in found[id_])]
    if wanted & off_the_way:
        assert off_the_way <= set(broken(trace(project, PAIRS)))


def test_a_contradicted_claim_and_a_changed_document_are_broken(project: Path) -> None:
    ledger(project, "paper", measured(points=1), measured("good"))
    assert set(broken(trace(project, SPEARMAN))) == {"claim:paper:spearman"}
    assert broken(trace(project, "good")) == {}
    put("docs/paper.md", b"Another one.\n")(project)
    assert set(broken(trace(project, "good"))) == {"document:paper"}


def test_a_ledger_that_cannot_be_read_is_not_passed_over(project: Path) -> None:
    put("manifests/claims/paper.yaml", b"<<<<<<< HEAD\n")(project)
    result = aqea("trace", PAIRS, cwd=project)
    assert result.status == 0 and "warning: manifests/claims/paper.yaml: it cannot be read" in result.err


def test_words_for_the_same_thing(project: Path) -> None:
    ledger(project, "paper", measured())
    assert aqea("publish", "--tag", "v1", "-q", cwd=project).status == 0
    digest, manifest = layout_manifest(project / "releases")
    card = next(layer["digest"] for layer in manifest["layers"] if "README.md" in layer["annotations"].values())
    commit = run("git", "rev-parse", "HEAD", cwd=project).out.strip()
    pairs = sha256(project / PAIRS)
    shutil.copy(project / PAIRS, project.parent / "copy.json")
    content = json.loads((project / BENCHMARK).read_text())["digests"]["content"]
    words = {
        f"pair-set:{KEY}": [
            KEY,
            PAIRS,
            f"./{PAIRS}",
            str(project / PAIRS),
            "data/small_minilm_384d_pairs.json",
            pairs,
            pairs[:9],
        ],
        f"metric:{SPEARMAN}": [SPEARMAN, *(f"{path}#cos_sim_spearman" for path in (METRICS, PAIRS, BENCHMARK))],
        f"file:{METRICS}": [METRICS, f"docs/../{METRICS}", sha256(project / METRICS)],
        f"file:{PLOT}": [PLOT, sha256(project / PLOT)],
        f"file:{PINS}": [PINS, "pins.json"],
        f"release:{digest}": ["v1", digest, digest[7:19], f"v1@{digest}", f"v1@{digest[:20]}"],
        "store:oci:releases:v1": ["oci:releases:v1", f"oci:releases:v1@{digest}", f"oci:releases@{digest}"],
        f"file:README.md@{card[7:19]}": ["README.md", card],
        "claim:paper:spearman": ["paper:spearman", "spearman", "claim:paper:spearman"],
        "document:paper": ["paper", "docs/paper.md", "manifests/claims/paper.yaml"],
        "pin:minilm": ["minilm", "sentence-transformers/all-MiniLM-L6-v2", "8b3219a92973c328a8e22fadcfa821b5dc75636a"],
        f"stage:{STAGE}": [STAGE],
        f"commit:{commit}": [commit, commit[:10]],
        "upstream-file:small/test.jsonl": [ROWS],
    }
    words[f"pair-set:{KEY}"] += ["../copy.json", content]
    opened = open_project(project)
    builder = outline(opened.run, opened.catalogue.values(), check_claims(opened, (), Silent()))
    draw_releases(builder, opened.params.publish.stores)
    check_bytes(builder, builder.nodes, Silent())
    for id_, names in words.items():
        assert {name: find(builder, name, Silent()) for name in names} == {name: [id_] for name in names}
    for name in ("v1", "oci:releases:v1"):
        with pytest.raises(Refused, match="the tag names another release") as caught:
            find(builder, f"{name}@sha256:{'f' * 64}", Silent())
        (finding,) = caught.value.findings
        assert (finding.code, finding.subject, finding.actual) == ("tag-moved", name, digest)


def test_what_is_unknown_or_ambiguous_is_told_with_what_is_near(project: Path) -> None:
    ledger(project, "paper", measured(), measured("table.1"))
    ledger(project, "card", measured())
    for what, kind, told in (
        ("spearman", BadConfiguration, "claim:card:spearman, claim:paper:spearman"),
        ("paper:spaerman", BadConfiguration, "paper:spearman"),
        ("table", BadConfiguration, "table.1"),
        (f"{KEY}#cos_sim", BadConfiguration, SPEARMAN),
        ("training/data/small_minilm_384_pairs.json", BadConfiguration, PAIRS),
        ("zzz", BadConfiguration, "WHAT is a claim"),
        ("", BadConfiguration, "WHAT is a claim"),
        ("x" * 5_000, BadConfiguration, "WHAT is a claim"),
        ("../" * 40, BadConfiguration, "WHAT is a claim"),
        ("f" * 64, CannotCheck, "WHAT is a claim"),
        ("pyproject.toml", CannotCheck, "WHAT is a claim"),
    ):
        with pytest.raises(kind) as error:
            trace(project, what)
        assert told in str(error.value.hint), what
        assert len(error.value.message) < 400


def test_a_release_with_other_bytes_is_shown_and_not_broken(project: Path) -> None:
    assert aqea("publish", "--tag", "v1", "-q", cwd=project).status == 0
    before = sha256(project / METRICS)
    append(METRICS, b"\n")(project)
    seal(project)
    traced = trace(project, METRICS)
    assert traced.graph.by_id[f"file:{METRICS}"].facts["in v1"] == f"other bytes, sha256 {before}"
    assert not any(node.kind == "release" for node in traced.carried_by.nodes)
    old = trace(project, before)
    assert old.found == (f"file:{METRICS}@{before[:12]}",)
    assert {node.kind for node in old.carried_by.nodes} == {"file", "release", "store", "attestation"}
    assert "has other bytes now" in old.graph.by_id[old.found[0]].facts["note"]
    assert (old.findings, broken(trace(project, "v1"))) == ((), {})


def test_a_store_that_lost_or_moved_its_tag_is_broken(project: Path) -> None:
    assert aqea("publish", "--tag", "v1", "-q", cwd=project).status == 0
    index = (project / "releases/index.json").read_bytes()
    for content, told in (
        (b'{"manifests":[]}', "has no tag v1"),
        (b"[", "not an OCI index"),
        (index.replace(b"sha256:", b"sha256:0", 1), "OCI"),
    ):
        put("releases/index.json", content)(project)
        assert told in broken(trace(project, "v1"))["store:oci:releases:v1"]
    shutil.rmtree(project / "releases")
    assert broken(trace(project, KEY)) == {}, "a fresh clone has no releases of its own, and lacks nothing"


def test_statements_and_marks_are_shown_with_what_they_speak_of(made: Path, project: Path) -> None:
    keep_vectors(made, project)
    # Nothing is encoded, and a statement is made.
    assert aqea("generate", "small", "minilm", "-q", cwd=project, process=False).status == 0
    for words in (("publish",), ("mark", "--withdrawn", "--reason", "a fault")):
        assert aqea(*words, "--tag", "v1", "-q", cwd=project).status == 0
    digest, _ = layout_manifest(project / "releases")
    graph = trace(project, SPEARMAN).graph
    said = {edge.target: graph.by_id[edge.source] for edge in graph.edges if edge.label == "speaks of"}
    own = sha256(project / "attestations/small-minilm.intoto.json")
    (provenance,) = (node for node in graph.nodes if node.kind == "attestation" and node.facts["sha256"] == own)
    places = provenance.facts["in"].split(", ")
    assert places[0] == "attestations/small-minilm.intoto.json" and places[-1].startswith("oci:releases:v1: small-minilm-")
    assert provenance.facts["margin"].startswith("nearest rounding boundary ")
    assert set(said) == {f"release:{digest}", f"file:{METRICS}"}
    assert graph.by_id[f"release:{digest}"].facts["status"] == "withdrawn: a fault"
    put("attestations/small-minilm.intoto.json", b"{}")(project)
    traced = trace(project, "attestations/small-minilm.intoto.json")
    assert next(iter(broken(traced).values())).startswith("not a statement: ")


def test_only_the_files_of_the_answer_are_read(project: Path) -> None:
    (project / PAIRS).unlink()
    (project / ROWS).unlink()
    assert broken(trace(project, PINS)) == {}
    assert "upstream-file:small/test.jsonl" in broken(trace(project, "small"))


def test_without_git_the_commit_is_told_to_be_unknown(project: Path) -> None:
    tools = project.parent / "tools"
    tools.mkdir()
    (tools / "python").symlink_to(BIN / "python")
    done = run(BIN / "aqea-registry", "trace", KEY, cwd=project, env={"PATH": str(tools)})
    assert (done.status, "commit none; reason git is not installed" in done.out) == (0, True)
    edit_lock(lambda lock: lock)(project)
    (uncommitted,) = (node for node in trace(project, KEY).graph.nodes if node.kind == "commit")
    assert uncommitted.facts["reason"] == "dvc.lock is not as it was last committed"
    shutil.rmtree(project / ".git")
    (none,) = (node for node in trace(project, KEY).graph.nodes if node.kind == "commit")
    assert none.facts["reason"].startswith("this is no git repository") or not (project / ".git").exists()


def test_a_trace_takes_time_that_grows_with_the_claims(project: Path, tmp_path: Path) -> None:
    def work(count: int) -> Callable[[], object]:
        place = copy_project(project, tmp_path / str(count))
        ledger(place, "paper", measured(), *(measured(f"row-{number:05}") for number in range(count)))
        return lambda: trace(place, SPEARMAN)

    assert_linear(work, 2_000)


def test_shown_as_a_tree_and_drawn_as_diagrams(project: Path) -> None:
    ledger(project, "paper", measured(), *(measured(f"row-{number:04}") for number in range(3_000)), measured("bad", 1))
    piped = aqea("trace", SPEARMAN, cwd=project, env={"FORCE_COLOR": "1", "TERM": "xterm-256color"})
    assert piped.status == 1
    assert piped.out.isascii()
    assert "\x1b" not in piped.out
    assert piped.out.startswith("broken-link: claim:paper:bad: contradicted: ")
    assert "|-- claim paper:bad measured as it; " in piped.out, "what is broken is among the ten that are shown"
    assert "`-- and 2992 claims more; --all shows them" in piped.out
    everything = aqea("trace", SPEARMAN, "--all", cwd=project)
    assert everything.out.count(" measured as it; ") == 3_002
    drawn = aqea("trace", SPEARMAN, "--format", "mermaid", cwd=project)
    assert drawn.status == 1
    assert drawn.out.startswith("flowchart LR\n") and drawn.out.endswith("\n")
    assert "BROKEN" in drawn.out
    assert "broken-link: claim:paper:bad" in drawn.err
    assert "left out: 2992 claims" in drawn.err
    status, shown = on_a_terminal("trace", SPEARMAN, cwd=project, env={"TERM": "xterm-256color"})
    assert status == 1
    for seen in (b"|-- ", b"\x1b[31m\x1b[1mBROKEN", b"carried by", b"2992 claims more"):
        assert seen in shown, shown[:3_000]
    drawing = re.sub(r"\x1b\[\d*m", "", shown.decode().partition("rests on:")[2])
    assert max(map(len, drawing.splitlines())) <= 100, "as wide as the terminal"


LIGHT = """
import sys
from aqea_registry.cli.shell import main
try:
    main(["trace", "small-minilm#cos_sim_spearman", "-q"])
except SystemExit as end:
    assert end.code == 0, end.code
heavy = {"torch", "datasets", "pyarrow", "scipy", "huggingface_hub", "dvc", "transformers", "requests", "rich", "jinja2"}
print(*sorted(heavy & {name.split(".")[0] for name in sys.modules}))
"""


def test_it_loads_nothing_heavy_and_changes_nothing(project: Path) -> None:
    def state() -> dict[str, int]:
        return {str(path): path.lstat().st_mtime_ns for path in sorted(project.rglob("*")) if path.name != "__pycache__"}

    before = state()
    done = run(BIN / "python", "-P", "-c", LIGHT, cwd=project, env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert done == (0, "\n", "")
    assert state() == before
