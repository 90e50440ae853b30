"""`aqea-registry verify` on a checkout: nothing is found in a good one, and every broken thing in a broken one."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aqea_registry.base.progress import Silent
from aqea_registry.project.project import open_project
from aqea_registry.verification.verify_project import verify_project
from tests import sampling
from tests.helpers import (
    BENCHMARK,
    MANIFEST,
    METRICS,
    PAIRS,
    PINS,
    PLOT,
    ROWS,
    SIZES,
    Change,
    append,
    edit_json,
    edit_lock,
    edit_pairs,
    found,
    number,
    put,
    relock,
    remove,
    replace,
    seal,
    sha256sum,
    tree,
    unnoticed,
    value_of,
)
from tests.tools import aqea, edit_params

ROWS_SOURCE = "small: test.jsonl in directory:data/small"
STAGE = "generate@small-minilm"
EXPORT = "export@small-minilm-benchmark"
VIEW = "views/small-minilm.parquet"
Findings = set[tuple[str, str]]


def repeat_first_line(project: Path) -> None:
    append(MANIFEST, (project / MANIFEST).read_bytes().partition(b"\n")[0] + b"\n")(project)


def lead_out(project: Path) -> None:
    shutil.move(project / PAIRS, project.parent / "elsewhere.json")
    (project / PAIRS).symlink_to(project.parent / "elsewhere.json")


def edit_pin(project: Path) -> None:
    pins = (project / PINS).read_text()
    digest = json.loads(pins)["datasets"]["small"]["files"]["test.jsonl"]["sha256"]
    (project / PINS).write_text(pins.replace(digest, digest[::-1]))


def other_licence(project: Path) -> None:
    edit_params(project, lambda params: params["datasets"]["small"].update(licence="mit"))


def output(lock: dict[str, Any], path: str) -> dict[str, Any]:
    """What dvc.lock says of a file that the pair set's stage made."""
    return next(out for out in lock["stages"][STAGE]["outs"] if out["path"] == path)


def another_pair_set(project: Path) -> None:
    def change(params: dict[str, Any]) -> None:
        params["run"]["pairs"]["again"] = {"dataset": "small", "model": "minilm", "file": "again_384d"}

    edit_params(project, change)


LINE = f"{'0' * 64}  ".encode()
BROKEN: dict[str, tuple[Change, Findings]] = {
    "pair file has one byte more": (
        append(PAIRS, b" "),
        {("mismatch", PAIRS), ("lock-stale", PAIRS), ("not-canonical", PAIRS)},
    ),
    "pair file missing": (remove(PAIRS), {("missing", PAIRS)}),
    "plot missing": (remove(PLOT), {("missing", PLOT)}),
    "plot changed": (append(PLOT, b"1,1\n"), {("lock-stale", PLOT)}),
    "a file nobody listed": (put("training/data/extra.json", b"{}"), {("unexpected", "training/data/extra.json")}),
    "metrics nobody listed": (put("metrics/extra.json", b"{}"), {("unexpected", "metrics/extra.json")}),
    **{
        f"a file nobody reads: {path}": (put(path, b""), {("unexpected", path)})
        for path in (
            "manifests/notes.txt",
            "manifests/claims/x.bin",
            "manifests/claims/deep/page.yaml",
            "manifests/confirmations/x.bin",
            "manifests/made/x",
            "manifests/decided/nobody.json",
            "manifests/releases/v1.txt",
            "attestations/x.bin",
            "attestations/x/y",
        )
    },
    "a file nobody listed, deeper": (put("training/data/a/b", b""), {("unexpected", "training/data/a/b")}),
    **{
        f"a file nobody listed: {path}": (put(path, b"x"), {("unexpected", path)})
        for path in (
            "views/another.parquet",
            "views/small-minilm.csv",
            "plots/another.csv",
            "plots/.small-minilm.csv",
            "metrics/.extra.json",
            "training/data/.notes/today",
        )
    },
    "a link to a folder that nobody listed": (
        lambda project: (project / "training/data/linked").symlink_to(project / "docs"),
        {("unexpected", "training/data/linked")},
    ),
    "manifest missing": (remove(MANIFEST), {("missing", MANIFEST), ("malformed", SIZES)}),
    "manifest empty": (put(MANIFEST, b""), {("malformed", MANIFEST), ("lock-stale", MANIFEST), ("malformed", SIZES)}),
    "sizes a pointer": (put(SIZES, b"/annex/objects/SHA256E-s6--00\n"), {("malformed", SIZES), ("lock-stale", SIZES)}),
    "manifest line twice": (repeat_first_line, {("duplicate", f"{MANIFEST}:6"), ("lock-stale", MANIFEST)}),
    "manifest line twice, digests differ": (
        append(MANIFEST, LINE + METRICS.encode() + b"\n"),
        {("conflict", f"{MANIFEST}:6"), ("lock-stale", MANIFEST)},
    ),
    **{
        f"manifest path {path!r}": (
            append(MANIFEST, LINE + path + b"\n"),
            {("unsafe-path", f"{MANIFEST}:6"), ("lock-stale", MANIFEST)},
        )
        for path in (
            b"../params.yaml",
            b"training/../../x",
            b"/etc/passwd",
            b"a\0b",
            b"a\\b",
            b"C:/x",
            b"a//b",
            b"a/./b",
            b"\x1b[2J",
        )
    },
    "manifest path leads out by a link": (lead_out, {("unsafe-path", PAIRS)}),
    "manifest names a file that no stage makes": (
        append(MANIFEST, LINE + b"zzz\n"),
        {("missing", "zzz"), ("lock-stale", "zzz"), ("lock-stale", MANIFEST), ("malformed", SIZES)},
    ),
    "sizes missing": (remove(SIZES), {("missing", SIZES)}),
    "sizes wrong": (replace(SIZES, b"326", b"327"), {("mismatch", METRICS), ("lock-stale", SIZES)}),
    "sizes of other files": (replace(SIZES, b"metrics", b"nothing"), {("malformed", SIZES), ("lock-stale", SIZES)}),
    "sizes not UTF-8": (append(SIZES, b"1  \xff\n"), {("malformed", f"{SIZES}:6"), ("lock-stale", SIZES)}),
    "sizes no list": (put(SIZES, b"\0"), {("malformed", SIZES), ("lock-stale", SIZES)}),
    "dvc.lock missing": (remove("dvc.lock"), {("missing", "dvc.lock")}),
    "dvc.yaml in two versions": (append("dvc.yaml", b"<<<<<<< HEAD\n"), {("malformed", "dvc.yaml")}),
    "dvc.yaml a pointer": (put("dvc.yaml", b"/annex/objects/SHA256E-s6--00.yaml\n"), {("malformed", "dvc.yaml")}),
    "dvc.lock no YAML": (put("dvc.lock", b"stages: [\n"), {("malformed", "dvc.lock")}),
    "dvc.lock a date that is none": (append("dvc.lock", b"extra: 2001-99-99\n"), {("malformed", "dvc.lock")}),
    "dvc.lock a value that its tag denies": (append("dvc.lock", b"extra: !!bool perhaps\n"), {("malformed", "dvc.lock")}),
    "dvc.lock without stages": (
        put("dvc.lock", b"schema: '2.0'\nstages: {}\n"),
        {("lock-stale", stage) for stage in (STAGE, EXPORT, "manifest")}
        | {("lock-stale", path) for path in (METRICS, BENCHMARK, PAIRS, VIEW)},
    ),
    "dvc.lock another md5": (
        edit_lock(lambda lock: output(lock, PAIRS).update(md5="0" * 32)),
        {("lock-stale", PAIRS)},
    ),
    "dvc.lock lacks a stage": (
        edit_lock(lambda lock: lock["stages"].pop(EXPORT)),
        {("lock-stale", EXPORT), ("lock-stale", BENCHMARK)},
    ),
    "view changed": (append(VIEW, b" "), {("mismatch", VIEW), ("lock-stale", VIEW)}),
    "pins: a digest edited": (
        edit_pin,
        {
            ("mismatch", ROWS_SOURCE),
            ("mismatch", PINS),
            ("lock-stale", f"{STAGE}: {PINS}: datasets.small"),
            ("lock-stale", f"{EXPORT}: {PINS}: datasets.small"),
            ("wrong-metric", BENCHMARK),
        },
    ),
    "pins: a space": (replace(PINS, b'": {', b'":  {'), {("malformed", f"{PINS}:2"), ("mismatch", PINS)}),
    "pins missing": (remove(PINS), {("missing", PINS), ("unpinned", "datasets.small"), ("unpinned", "models.minilm")}),
    "dataset changed by a byte": (replace(ROWS, b"bakery", b"Bakery"), {("mismatch", ROWS_SOURCE)}),
    "dataset missing": (remove(ROWS), {("missing", ROWS_SOURCE)}),
    "params changed after the run": (
        other_licence,
        {("lock-stale", f"{stage}: params.yaml: datasets.small") for stage in (STAGE, EXPORT)},
    ),
    "run grew after the run": (
        another_pair_set,
        {
            ("missing", "training/data/again_384d_pairs.json"),
            ("missing", "metrics/again.json"),
            ("missing", "views/again.parquet"),
            ("lock-stale", "generate@again"),
        }
        | {("lock-stale", "manifest: params.yaml: run")},
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_thing_is_found(project: Path, name: str) -> None:
    change, expected = BROKEN[name]
    change(project)
    result = aqea("verify", "--json", cwd=project)
    assert found(result) == expected
    assert (result.status, result.json()["ok"], result.err) == (1, False, "")
    told = [tuple(sorted(finding.items())) for finding in ({**one, "message": ""} for one in result.json()["findings"])]
    assert len(told) == len(set(told)), "one fault is one finding"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("truncated", lambda content: content[: len(content) // 2]),
        ("not UTF-8", lambda content: content.replace(b"metrics", b"m\xe9trics")),
        ("CRLF", lambda content: content.replace(b"\n", b"\r\n")),
        ("no final newline", lambda content: content[:-1]),
        ("not sorted", lambda content: b"\n".join(content.split(b"\n")[-2::-1]) + b"\n"),
        ("a comment", lambda content: b"# made by hand\n" + content),
        ("no text", lambda content: random.Random(7).randbytes(4096)),
    ],
)
def test_a_manifest_of_another_form_is_malformed(project: Path, name: str, content: Callable[[bytes], bytes]) -> None:
    path = project / MANIFEST
    path.write_bytes(content(path.read_bytes()))
    result = aqea("verify", "--json", cwd=project)
    assert result.status == 1
    codes = {(code, subject.partition(":")[0]) for code, subject in found(result)}
    assert {("malformed", MANIFEST), ("lock-stale", MANIFEST)} <= codes, name


def one_ulp(pairs: dict[str, Any]) -> None:
    pairs["baseline_spearman"] = number(math.nextafter(value_of(pairs["baseline_spearman"]), 2))


def off_the_grid(pairs: dict[str, Any]) -> None:
    pairs["embeddings2"][5][7] = number(value_of(pairs["embeddings2"][5][7]) + 1e-9)


def twice_as_long(pairs: dict[str, Any]) -> None:
    pairs["embeddings1"][3] = [number(round(2 * value_of(value), 6)) for value in pairs["embeddings1"][3]]


FORGED: dict[str, tuple[Callable[[dict[str, Any]], object], Findings]] = {
    "baseline_spearman off by one ulp": (one_ulp, {("wrong-metric", f"{PAIRS}: baseline_spearman")}),
    "a value off the grid": (off_the_grid, {("not-canonical", PAIRS)}),
    "one pair more than rows": (lambda pairs: pairs.update(n_pairs=357), {("malformed", PAIRS)}),
    "no pairs": (lambda pairs: pairs.update(n_pairs=0, embeddings1=[], embeddings2=[], scores=[]), {("malformed", PAIRS)}),
    "a short row": (lambda pairs: pairs["embeddings1"][355].pop(), {("malformed", PAIRS)}),
    "another model's name": (lambda pairs: pairs.update(model="intfloat/e5-large-v2"), {("mismatch", f"{PAIRS}: model")}),
    "another dataset's name": (lambda pairs: pairs.update(dataset="stsb"), {("mismatch", f"{PAIRS}: dataset")}),
    "a key more": (lambda pairs: pairs.update(labels=[]), {("malformed", PAIRS)}),
    "a key less": (lambda pairs: pairs.pop("dataset"), {("malformed", PAIRS)}),
    "a vector not normalised": (twice_as_long, {("not-canonical", f"{PAIRS}: embeddings1[3]"), ("wrong-metric", METRICS)}),
    "a score outside the dataset's range": (
        lambda pairs: pairs["scores"].__setitem__(0, 9),
        {("malformed", f"{PAIRS}: scores"), ("wrong-metric", f"{PAIRS}: baseline_spearman"), ("wrong-metric", METRICS)},
    ),
    "scores all the same": (lambda pairs: pairs.update(scores=[1] * 356), {("malformed", PAIRS)}),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_pair_file_is_found_though_every_digest_agrees(project: Path, name: str) -> None:
    change, expected = FORGED[name]
    edit_pairs(project, change)
    seal(project)
    result = aqea("verify", "--json", cwd=project)
    assert (found(result), result.status) == (expected, 1)


def test_the_forger_s_tools_forge_nothing_by_themselves(project: Path) -> None:
    before = (project / PAIRS).read_bytes()
    edit_pairs(project, lambda pairs: None)
    assert (project / PAIRS).read_bytes() == before
    seal(project)
    assert aqea("verify", cwd=project).status == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"dataset":', b'{ "dataset":'),
        (b'"n_pairs":356', b'"n_pairs":1,"n_pairs":356'),
        (b"]}\n", b"]}"),
        (b'"scores":[4.8', b'"scores":[4.80'),
        (
            b'"dataset":"small","model":"sentence-transformers/all-MiniLM-L6-v2"',
            b'"model":"sentence-transformers/all-MiniLM-L6-v2","dataset":"small"',
        ),
    ],
    ids=["a space", "a key twice", "no final newline", "a longer number", "another order"],
)
def test_a_pair_file_in_another_spelling_is_not_canonical(project: Path, old: bytes, new: bytes) -> None:
    """Two readers of JSON can take a key that stands twice for two different numbers."""
    replace(PAIRS, old, new)(project)
    seal(project)
    result = aqea("verify", "--json", cwd=project)
    assert ("not-canonical", PAIRS) in found(result)
    assert result.status == 1


def test_metrics_and_benchmark_that_say_something_else_are_found_together(project: Path) -> None:
    edit_json(project / METRICS, lambda metrics: metrics.update(cos_sim_spearman=0.99), indent=2)
    edit_json(project / BENCHMARK, lambda benchmark: benchmark["metrics"].update(cos_sim_spearman=0.99), indent=2)
    seal(project)
    result = aqea("verify", "--json", cwd=project)
    assert found(result) == {("wrong-metric", METRICS), ("wrong-metric", BENCHMARK)}
    assert result.status == 1


def test_float32_is_not_canonical(project: Path) -> None:
    edit_params(project, lambda params: params.update(precision="float32"))
    result = aqea("verify", "--json", cwd=project)
    assert {("not-canonical", "params.yaml: precision"), ("lock-stale", f"{STAGE}: params.yaml: precision")} <= found(result)
    assert result.status == 1


@pytest.mark.parametrize(
    "content", [b"{", b"\xff", b"[]", b'{"schema": "aqea-registry/pins/2"}', b'{"schema": 1, "schema": 2}']
)
def test_pins_that_cannot_be_read_are_named(project: Path, content: bytes) -> None:
    (project / PINS).write_bytes(content)
    result = aqea("verify", "--json", cwd=project)
    assert (result.status, result.json()["ok"], result.json()["error"]["kind"]) == (2, False, "BadConfiguration")
    assert PINS in result.err


def test_faults_are_all_reported_together(project: Path) -> None:
    names = (
        "pair file missing",
        "metrics nobody listed",
        "manifest line twice",
        "sizes wrong",
        "plot changed",
        "dataset changed by a byte",
        "params changed after the run",
    )
    for name in names:
        BROKEN[name][0](project)
    result = aqea("verify", "--json", cwd=project)
    assert found(result) == set().union(*(BROKEN[name][1] for name in names))
    assert result.status == 1
    text = aqea("verify", cwd=project)
    lines = text.out.splitlines()
    assert {tuple(line.split(": ")[:2]) for line in lines[:-1]} >= {("missing", PAIRS), ("unexpected", "metrics/extra.json")}
    assert lines[-1].endswith(f"{len(lines) - 1} findings")
    quiet = aqea("verify", "-q", cwd=project)
    assert quiet.out.splitlines() == lines[:-1], "-q leaves out the summary, not the findings"
    assert (text.status, quiet.status, quiet.err) == (1, 1, "")


def test_missing_pins_hide_no_other_fault(project: Path) -> None:
    for name in ("pins missing", "plot changed", "a file nobody listed"):
        BROKEN[name][0](project)
    result = aqea("verify", "--json", cwd=project)
    assert found(result) == BROKEN["pins missing"][1] | BROKEN["plot changed"][1] | BROKEN["a file nobody listed"][1]


def test_a_good_project_has_no_findings_and_stays_as_it_is(project: Path) -> None:
    before = tree(project, without=())
    result = aqea("verify", cwd=project)
    assert (result.status, result.err) == (0, "")
    assert result.out.endswith("no findings\n")
    answer = aqea("verify", "--json", cwd=project)
    value = answer.json()
    assert {"schema", "ok", "findings", "target", "files", "bytes", "notes", "pair_sets"} <= set(value)
    assert (value["schema"], value["ok"], value["findings"]) == ("aqea-registry/verify/1", True, [])
    assert value["pair_sets"]["small-minilm"]["header"]["n_pairs"] == 356
    assert answer.err == ""
    quiet = aqea("verify", "-q", cwd=project)
    assert quiet == (0, "", "")
    assert tree(project, without=()) == before, "verification writes nothing"
    assert sha256sum(project).status == 0


@pytest.mark.parametrize("form", ["embeddings", "benchmark", "parquet", "aqed"])
def test_what_export_writes_is_at_most_a_note(project: Path, form: str) -> None:
    assert aqea("export", PAIRS, "--format", form, cwd=project).status == 0
    result = aqea("verify", "--json", cwd=project)
    notes = [note for note in result.json()["notes"] if "export" in note]
    assert (result.status, found(result), len(notes)) == (0, set(), form in ("embeddings", "aqed"))


def test_what_stages_of_the_author_make_and_programs_leave_is_counted(project: Path) -> None:
    stage = {"cmd": "sh draw.sh", "outs": [{"path": "plots/mine.csv"}, {"path": "views/wide", "md5": "1.dir"}]}
    edit_lock(lambda lock: lock["stages"].update(draw=stage))(project)
    for path in ("plots/mine.csv", "views/wide/a", "views/wide/b", "plots/.gitignore", "training/data/.DS_Store"):
        put(path, b"x")(project)
    result = aqea("verify", "--json", cwd=project)
    assert (result.status, found(result)) == (0, set())
    counted = [note.removeprefix("not looked at: ").split(" that ")[0] for note in result.json()["notes"] if " file" in note]
    assert counted == ["1 file", "3 files in folders"]
    put("views/notes.md", b"x")(project)
    put("training/data/wider", b"x")(project)
    assert found(aqea("verify", "--json", cwd=project)) == {("unexpected", "training/data/wider")}, "views is not ours alone"


def test_the_projects_own_manifest_is_a_list_like_any_other(project: Path) -> None:
    """Its paths start at the project's folder, wherever one stands."""
    for words, where in (
        ((MANIFEST,), project),
        (("MANIFEST.sha256",), project / "manifests"),
        ((project / MANIFEST,), Path("/")),
    ):
        result = aqea("verify", *words, "--json", cwd=where)
        assert (result.status, result.json()["files"]) == (0, 5), result.out
    assert aqea("verify", "-C", project, MANIFEST, cwd=Path("/")).status == 0


def forget_the_model(project: Path) -> None:
    """Take the model's source away, as on a stranger's machine: its 90 MB are not part of the release."""
    nowhere = {"sources": ["directory:nowhere"]}
    edit_params(project, lambda params: params["models"]["minilm"].update(nowhere))

    def change(lock: dict[str, Any]) -> None:
        for stage in (STAGE, EXPORT):
            lock["stages"][stage]["params"]["params.yaml"]["models.minilm"].update(nowhere)

    edit_lock(change)(project)


def test_without_the_model_everything_else_is_checked_and_a_note_says_so(project: Path) -> None:
    forget_the_model(project)
    result = aqea("verify", cwd=project)
    assert result.status == 0
    assert "no source of minilm is on this machine" in result.out
    append(METRICS, b" ")(project)
    relock(project)
    assert aqea("verify", cwd=project).status == 1


def test_every_change_of_one_byte_is_found(project: Path) -> None:
    forget_the_model(project)
    assert aqea("verify", cwd=project).status == 0
    listed = [line.split("  ")[1] for line in (project / MANIFEST).read_text().splitlines()]

    def good() -> bool:
        return not verify_project(open_project(project), Silent()).findings

    paths = [project / path for path in (*listed, MANIFEST, SIZES)]
    assert unnoticed(paths, sampling.times(1000, 50), sampling.seed("project"), good) == []
    assert good(), "every byte was put back"
