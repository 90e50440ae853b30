"""Vectors that somebody else made: the same pair file whatever file they came in, and `given` wherever they are shown."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml

from tests.tools import ROOT, Result, aqea, copy_project, dvc, edit_params, forking_program, repro, run

pytest.importorskip("pyarrow")
pytest.importorskip("dvc")

COUNT, WIDTH = 12, 5
PAIRS = f"training/data/mine_gpt_{WIDTH}d_pairs.json"
IMPORT = ("import-vectors", "--model", "gpt", "--dataset", "mine")
SAID = "the vectors of mine-gpt were given (an API, in May), not made here"
Vectors = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return np.random.default_rng(7).standard_normal((2, COUNT, WIDTH)).astype(np.float32)


def rows(vectors: Vectors) -> list[dict[str, Any]]:
    return [{"embedding1": first.tolist(), "embedding2": second.tolist()} for first, second in zip(*vectors, strict=True)]


def lines(folder: Path, values: Sequence[Any]) -> list[Path]:
    (folder / "v.jsonl").write_text("".join(f"{json.dumps(value)}\n" for value in values))
    return [folder / "v.jsonl"]


def array(folder: Path, *values: Any) -> list[Path]:
    for number, value in enumerate(values):
        np.save(folder / f"v{number}.npy", value)
    return [folder / f"v{number}.npy" for number in range(len(values))]


def table(folder: Path, values: Sequence[Any]) -> list[Path]:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(list(values)), folder / "v.parquet")
    return [folder / "v.parquet"]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return own_project(tmp_path / "mine")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_project(tmp_path_factory.mktemp("given") / "mine")


def own_project(folder: Path) -> Path:
    """A project with a dataset of its own, and a model whose vectors are given."""
    (folder / "data").mkdir(parents=True)
    text = "".join(
        json.dumps({"sentence1": f"One {at}.", "sentence2": f"Two {at}.", "score": at % 5 + 0.1}) + "\n" for at in range(COUNT)
    )
    (folder / "data/test.jsonl").write_text(text)
    params = {
        "datasets": {"mine": {"kind": "directory", "repo": "mine", "files": ["test.jsonl"], "sources": ["directory:data"]}},
        "models": {"gpt": {"kind": "given", "repo": "some/api", "dimension": WIDTH, "note": "an API, in May"}},
        "runs": {},
        "run": {"pairs": {"mine-gpt": {"dataset": "mine", "model": "gpt", "file": f"mine_gpt_{WIDTH}d"}}, "exports": {}},
        "versions": {"vectors": 1, "view": 1, "export": 1},
        "precision": "canonical",
        "publish": {"title": "Mine", "stores": ["oci:releases"]},
    }
    (folder / "params.yaml").write_text(json.dumps(params))
    pinned = aqea("pin", "--json", cwd=folder)
    assert pinned.status == 0 and "import-vectors FILE --model gpt" in pinned.json()["notes"][0], pinned
    return folder


def given(project: Path, files: Sequence[Path]) -> Result:
    return aqea(*IMPORT, "--json", *files, cwd=project)


def test_the_pair_file_is_the_same_whatever_file_the_vectors_came_in(mine: Path, tmp_path: Path, vectors: Vectors) -> None:
    scored = [{**row, "score": at % 5 + 0.1} for at, row in enumerate(rows(vectors))]
    plural = [{key.replace("g1", "gs1").replace("g2", "gs2"): value for key, value in row.items()} for row in scored]
    swapped = np.asfortranarray(vectors.swapaxes(0, 1).astype(">f8"))
    contents = set()
    for make, values in (
        *((array, (values,)) for values in (vectors, swapped)),
        (array, (*vectors,)),
        *((table, (values,)) for values in (rows(vectors), plural)),
        (lines, (scored,)),
    ):
        done = given(mine, make(tmp_path, *values))
        assert done.status == 0, done
        contents.add((mine / PAIRS).read_bytes())
        pinned = json.loads((mine / "manifests/pins.json").read_bytes())["models"]["gpt"]["files"]
        assert {path.name for path in (mine / "given/gpt").iterdir()} == {*pinned}, "no copy of an earlier import is left"
        assert done.json()["precision"] == "given" and done.json()["n_pairs"] == COUNT
    assert len(contents) == 1
    exact = vectors[0].astype(np.float64)
    expected = np.rint(exact / np.sqrt((exact * exact).sum(axis=1))[:, None] * 1e6) / 1e6
    assert np.array_equal(json.loads(contents.pop())["embeddings1"], expected)
    pin = json.loads((mine / "manifests/pins.json").read_text())["models"]["gpt"]
    assert [path.rpartition(".")[2] for path in pin["files"]] == ["jsonl"], "the last one is pinned, and none besides"


def header(shape: str, kind: str = "<f4") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def one_changed(vectors: Vectors, value: Any) -> Vectors:
    changed = vectors.copy()
    changed[1, 7] = value
    return changed


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("trapped"),))


Make = Callable[[Path, Vectors], "list[Path]"]


def bytes_of(content: bytes) -> Make:
    def make(to: Path, vectors: Vectors) -> list[Path]:
        (to / "v.npy").write_bytes(content)
        return [to / "v.npy"]

    return make


def text(first: str) -> Make:
    def make(to: Path, vectors: Vectors) -> list[Path]:
        path = lines(to, rows(vectors))[0]
        path.write_text(first + "\n" + path.read_text().partition("\n")[2])
        return [path]

    return make


HOSTILE: dict[str, tuple[str, str, Make]] = {
    "NaN": ("malformed", "embedding2, row 7: the vector holds NaN", lambda to, v: array(to, one_changed(v, np.nan))),
    "infinity": ("malformed", "not a finite number", lambda to, v: table(to, rows(one_changed(v, np.inf)))),
    "zero": ("malformed", "embedding2, row 7: the vector is zero", lambda to, v: lines(to, rows(one_changed(v, 0)))),
    "a row less": ("mismatch", "the shape is (2, 11, 5)", lambda to, v: array(to, v[:, :11])),
    "a row less in a table": (
        "mismatch",
        "embedding1 has 11 rows; the dataset has 12",
        lambda to, v: table(to, rows(v[:, :11])),
    ),
    "another dimension": ("mismatch", "vectors of 4 numbers; the model's dimension is 5", lambda to, v: array(to, v[:, :, :4])),
    "a pickle": ("malformed", "without pickles", lambda to, v: array(to, np.array([Trap()], object))),
    "a pickle alone": ("malformed", "without pickles", bytes_of(pickle.dumps(Trap()))),
    "a huge header": ("malformed", "without pickles", bytes_of(b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b" " * 5000)),
    "a huge shape": ("malformed", "without pickles", bytes_of(header(f"(2, {COUNT}, {1 << 60})"))),
    "a header that is no dict": ("malformed", "without pickles", bytes_of(header("(" * 9000)[:9000])),
    "complex numbers": ("mismatch", "complex64", lambda to, v: array(to, v.astype(np.complex64))),
    "an array too many": ("malformed", "not files of given vectors", lambda to, v: array(to, *v, v[0])),
    "a key twice": ("malformed", "line 1: not a JSON object: the key 'a' appears twice", text('{"a": 1, "a": 2}')),
    "a list": ("malformed", "line 1: embedding1 is not a list of numbers", text("[1]")),
    "text for a number": ("malformed", "line 1: embedding1 is not a list", text('{"embedding1": ["0.5"], "embedding2": [1]}')),
    "a long integer": ("malformed", "line 1: embedding1 is not a list", text(f'{{"embedding1": [1{"0" * 400}]}}')),
    "half a line": ("malformed", "line 1: not a JSON object", text('{"embedding1": [')),
    "ragged lines": ("malformed", "line 2: embedding1 has 5 numbers", text('{"embedding1": [1, 2], "embedding2": [1, 2]}')),
    "ragged lists": (
        "malformed",
        "different lengths",
        lambda to, v: table(to, [{**row, "embedding1": [1.0] * (4 + at % 2 * 2)} for at, row in enumerate(rows(v))]),
    ),
    "a score missing beside others": (
        "malformed",
        "line 1: its score is missing or not a number, and other lines have one",
        lambda to, v: lines(to, [{**row, "score": None if at == 0 else 9 - at} for at, row in enumerate(rows(v))]),
    ),
    "a score as a text": (
        "malformed",
        "line 1: its score is missing or not a number",
        lambda to, v: lines(to, [{**row, "score": "4"} for row in rows(v)]),
    ),
    "two arrays in a file": ("malformed", "160 bytes follow the array", bytes_of(header("(2, 12, 5)", "<f4") + bytes(640))),
    "other rows": (
        "mismatch",
        "row 3 has the score 4.5, the dataset 3.1",
        lambda to, v: lines(to, [{**row, "score": 4.5 if at == 3 else at % 5 + 0.1} for at, row in enumerate(rows(v))]),
    ),
}


def paths_of(project: Path) -> list[Path]:
    return sorted(path for path in project.rglob("*") if ".aqea" not in path.parts)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_such_vectors_is_a_finding_and_nothing_is_written(
    shared: Path, tmp_path: Path, vectors: Vectors, name: str
) -> None:
    code, message, make = HOSTILE[name]
    before = paths_of(shared)
    done = given(shared, make(tmp_path, vectors))
    assert done.status == 1, done
    [finding] = done.json()["findings"]
    assert finding["code"] == code and message in finding["message"], finding
    assert paths_of(shared) == before, "nothing is written, and no pickle is run"


def with_entries(models: dict[str, Any], pairs: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    def change(params: dict[str, Any]) -> None:
        params["models"], params["run"]["pairs"] = models, pairs

    return change


def test_what_params_yaml_lacks_is_printed_as_the_lines_to_add(mine: Path, tmp_path: Path, vectors: Vectors) -> None:
    edit_params(mine, with_entries({}, {}))
    files = array(tmp_path, vectors)
    done = given(mine, files)
    assert done.status == 2
    model, pair = (yaml.safe_load(line) for line in re.findall("`(.*?)`", done.json()["error"]["hint"]))
    assert model["gpt"]["dimension"] == WIDTH
    edit_params(mine, with_entries(model, pair))
    assert given(mine, files).status == 0
    for entry, said in (
        ({**model["gpt"], "prefix": "query: "}, "gpt.prefix: an entry of kind given has only"),
        ({"repo": "a/b", "dimension": WIDTH}, "models.gpt is encoded here"),
    ):
        edit_params(mine, with_entries({"gpt": entry}, pair))
        done = given(mine, files)
        assert done.status == 2 and said in done.json()["error"]["message"], done


def test_vectors_of_other_rows_are_not_used_for_the_rows_of_now(mine: Path, tmp_path: Path, vectors: Vectors) -> None:
    assert given(mine, array(tmp_path, vectors)).status == 0
    (mine / "data/test.jsonl").write_text("".join(reversed((mine / "data/test.jsonl").read_text().splitlines(keepends=True))))
    assert aqea("pin", "mine", cwd=mine).status == 0
    done = aqea("generate", "mine", "gpt", "--json", cwd=mine, process=False)
    assert done.status == 1 and "import-vectors FILE --model gpt --dataset mine" in done.json()["error"]["hint"]


def ledger(score: str, twice: str) -> dict[str, Any]:
    """The two numbers of a paper: one of given vectors, one that is derived from it."""
    common = {"unit": "fraction", "at": {"line": 1}}
    return {
        "schema": "aqea-registry/claims/1",
        "document": {"title": "Paper", "file": "paper.md"},
        "results": {"api": {"dataset": "mine", "model": "gpt", "task": "sts"}},
        "claims": [
            {"id": "score", "value": score, **common, "measured": {"result": "api", "metric": "cos_sim_spearman"}},
            {"id": "twice", "value": twice, **common, "derived": "2 * [score]"},
        ],
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, vectors: Vectors) -> Path:
    """The project as its authors have it: imported, made by DVC, committed, published. Look, do not touch."""
    folder = own_project(tmp_path_factory.mktemp("made") / "mine")
    (folder / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    for program in ("git", "dvc"):
        assert run(program, "init", "-q", cwd=folder).status == 0
    assert given(folder, array(folder.parent, vectors)).status == 0
    repro(folder)
    score = json.loads((folder / "metrics/mine-gpt.json").read_text())["cos_sim_spearman"]
    (folder / "paper.md").write_text(f"The API scores {score:.4f}, twice that is {2 * round(score, 4):.4f}.\n")
    (folder / "manifests/claims").mkdir()
    (folder / "manifests/claims/paper.yaml").write_text(json.dumps(ledger(f"{score:.4f}", f"{2 * round(score, 4):.4f}")))
    for command in ("pin", "verify", "publish --tag v1"):
        done = aqea(*command.split(), cwd=folder)
        assert done.status == 0, done
    return folder


def test_all_that_shows_given_vectors_says_so(made: Path, tmp_path: Path) -> None:
    for words in (("verify", "--json"), ("trace", "mine-gpt", "--json"), ("trace", "gpt", "--json")):
        done = aqea(*words, cwd=made)
        assert done.status == 0 and ("given vectors" if "gpt" in words else SAID) in done.out, done
    project = copy_project(made, tmp_path / "copy")
    assert aqea("package", "--to", "package", cwd=project).status == 0
    card, croissant = (project / "package/README.md").read_text(), (project / "package/croissant.json").read_text()
    assert card.count(SAID) == 1 and "`some/api (given)`" in card and "What was given is not made again" in card
    assert croissant.count(SAID) == 2 and "some/api (given)" in croissant
    for page in (project / "package/report.html", project / "report.html"):
        assert aqea("report", cwd=project).status == 0
        assert SAID in page.read_text() and "some/api (given)" in page.read_text() and ">given<" in page.read_text()
    assert json.loads((project / "metrics/mine-gpt.json").read_text())["precision"] == "given"
    exported = aqea("claims", "export", "--format", "model-index", cwd=project)
    assert "vectors: given" in exported.out, exported
    checked = aqea("claims", "check", "--json", cwd=project)
    assert checked.status == 0 and "recomputed from mine-gpt, whose vectors were given" in checked.out, checked
    assert aqea("claims", "export", "--format", "latex", cwd=project).out.count("holds, bytes, given vectors") == 2
    exported = aqea("claims", "export", "--format", "json", cwd=project)
    assert [claim["vectors"] for claim in json.loads(exported.out)["paper"].values()] == ["given", "given"]
    stored = aqea("verify", "oci:releases:v1", "--json", cwd=project)
    assert stored.status == 0 and "given, and not made here, are the vectors of mine-gpt" in stored.out, stored
    full = aqea("verify", "oci:releases:v1", "--full", "--json", cwd=project)
    assert (
        full.status == 0
        and f"{SAID}" in {gap["what"]: gap["why"] for gap in full.json()["not_checked"]}["the making of mine-gpt"]
    )
    again = aqea("pull", "oci:releases:v1", "--project", tmp_path / "again", cwd=project)
    assert again.status == 0 and SAID in aqea("verify", cwd=tmp_path / "again").out, again
    done = aqea("confirm", "oci:releases:v1", "--json", cwd=project, process=False)
    assert done.status == 3 and SAID in done.json()["error"]["message"], done


def test_a_clone_without_the_imported_file_keeps_what_was_made_of_it(made: Path, tmp_path: Path) -> None:
    clone = copy_project(made, tmp_path / "clone", without=("given", ".aqea"))
    before = (clone / PAIRS).read_bytes()
    with forking_program(tmp_path) as found:
        done = dvc("repro", "--force", cwd=clone, env=found)
    assert done.status == 0 and (clone / PAIRS).read_bytes() == before, done
    checked = aqea("verify", "--json", cwd=clone)
    assert checked.status == 0 and "no source of gpt is on this machine" in checked.out, checked
    for words in (("pin", "--json"), ("pin", "--check", "--json")):
        done = aqea(*words, cwd=clone)
        assert done.status == 0 and (clone / "manifests/pins.json").read_bytes() == (made / "manifests/pins.json").read_bytes()
    assert done.json()["states"]["gpt"] == "given"
    (clone / PAIRS).write_bytes(before.replace(b"0.", b"0.1", 1))
    done = aqea("generate", "mine", "gpt", "--json", cwd=clone, process=False)
    assert done.status == 3 and f"nor is {PAIRS} here as the manifest lists it" in done.json()["error"]["message"], done


def test_changed_vectors_are_noticed(made: Path, tmp_path: Path) -> None:
    project = copy_project(made, tmp_path / "copy")
    [path] = (project / "given/gpt").iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    checked = aqea("verify", "--json", cwd=project)
    assert [finding["code"] for finding in checked.json()["findings"]] == ["mismatch"], checked
    (project / ".aqea").rename(tmp_path / "aqea")
    done = aqea("generate", "mine", "gpt", "--json", cwd=project, process=False)
    assert done.status == 1 and "these are not the pinned bytes" in done.json()["error"]["message"]
