"""The package: what a release contains, as coreutils, `datasets` and mlcroissant read it, and the folder made of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aqea_registry.base.files import left_in
from aqea_registry.base.findings import Refused
from aqea_registry.base.progress import Silent
from aqea_registry.generation.vector_sets import kept_lists
from aqea_registry.project.project import open_project
from aqea_registry.releases.package import Package, WrittenPackage, assemble, write_package
from tests import sampling
from tests.helpers import (
    BENCHMARK,
    METRICS,
    PAIRS,
    PINS,
    append,
    contents,
    leftovers,
    put,
    remove,
    sha256sum,
    tree,
    unnoticed,
)
from tests.pair_sets import parse, read_parquet, render
from tests.tools import BIN, ROOT, Result, aqea, copy_project, dvc, edit_params, repro, run

VIEW = "views/small-minilm.parquet"
LIST = "MANIFEST.sha256"
PUBLISHED = {
    "data/small_minilm_384d_pairs.json": PAIRS,
    "data/small_minilm_384d_benchmark.json": BENCHMARK,
    "metrics/small-minilm.json": METRICS,
    "parquet/small-minilm.parquet": VIEW,
    "pins.json": PINS,
}
AGAIN = {"project/params.yaml", "project/dvc.yaml", "project/CITATION.cff"}
AGAIN |= {f"claims/{path.name}" for path in (ROOT / "manifests/claims").iterdir()}
WRITTEN = {"README.md", "croissant.json", "plots/metrics.svg", "report.html", LIST, *AGAIN}


def package_of(project: Path) -> Package:
    opened = open_project(project)
    return assemble(opened, Silent(), kept_lists)


def write(package: Package, folder: Path) -> WrittenPackage:
    return write_package(package, folder, Silent())


@pytest.fixture(scope="module")
def built(made: Path) -> Package:
    return package_of(made)


@pytest.fixture
def folder(built: Package, tmp_path: Path) -> Path:
    write(built, tmp_path / "hf_package")
    return tmp_path / "hf_package"


def foreign(package: Package, folder: Path) -> set[str]:
    """What the folder is refused for; nothing in it may have changed."""
    before = tree(folder) if folder.is_dir() else {}
    with pytest.raises(Refused) as refused:
        write(package, folder)
    assert (tree(folder) if folder.is_dir() else {}) == before
    assert {finding.code for finding in refused.value.findings} == {"unexpected"}
    return {Path(finding.subject).relative_to(folder).as_posix() for finding in refused.value.findings}


def test_the_folder_holds_the_published_names_and_coreutils_agree(built: Package, folder: Path, made: Path) -> None:
    assert set(tree(folder)) == {*PUBLISHED, *WRITTEN} == set(built.release.files())
    assert contents(folder, PUBLISHED) == dict(zip(PUBLISHED, contents(made, PUBLISHED.values()).values(), strict=True))
    assert sha256sum(folder, LIST).status == 0
    listed = [line.split("  ")[1] for line in (folder / LIST).read_text().splitlines()]
    assert listed == sorted({*PUBLISHED, *WRITTEN} - {LIST})
    assert aqea("verify", folder, cwd=Path("/")).status == 0
    for path, layer in built.release.files().items():
        content = (folder / path).read_bytes()
        assert (f"sha256:{hashlib.sha256(content).hexdigest()}", len(content)) == (layer.digest, layer.size)
        given = built.content(path)
        assert (given if isinstance(given, bytes) else given.read_bytes()) == content
    for path in WRITTEN:
        assert str(made).encode() not in (folder / path).read_bytes()


LOAD = """
import json, sys
import datasets
datasets.disable_progress_bars()
from aqea_registry.vectors.pair_set import ContentDigest
import numpy as np
for name in datasets.get_dataset_config_names(sys.argv[1]):
    (split, rows), = datasets.load_dataset(sys.argv[1], name).items()
    vectors = [np.array(rows[column][:], np.int64) for column in ("embedding1", "embedding2")]
    digest = ContentDigest(*vectors[0].shape)
    for matrix in vectors:
        assert (matrix == matrix.astype(np.int32)).all()
        digest.add(matrix.astype(np.int32))
    kinds = [str(feature) for feature in rows.features.values()]
    print(json.dumps([name, split, kinds, type(rows[0]["embedding1"][0]).__name__, digest.finish(rows["score"][:])]))
"""


def loaded(folder: Path, home: Path) -> list[list[object]]:
    """What `datasets` gives for each configuration, with its warnings as errors and no Hub to ask."""
    pytest.importorskip("datasets", reason="datasets is not installed")
    env = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "error::UserWarning,error::FutureWarning"}
    done = run(sys.executable, "-c", LOAD, folder, cwd=Path(__file__).parents[2], env=env)
    assert (done.status, done.err) == (0, "")
    return [json.loads(line) for line in done.out.splitlines()]


def test_load_dataset_gives_the_integers_of_the_pair_file(folder: Path, tmp_path: Path) -> None:
    pairs = parse((folder / "data/small_minilm_384d_pairs.json").read_bytes())
    vector = "List(Value('int32'), length=384)"
    kinds = [vector, vector, "Value('float64')"]
    found = loaded(folder, tmp_path / "home")
    assert found == [["small-minilm", "test", kinds, "int", pairs.content_digest()]]


def test_every_pair_set_of_a_run_is_a_configuration(project: Path, tmp_path: Path) -> None:
    """A second pair set with a name and a split of its own, made with the real pipeline."""
    rows = tmp_path / "rows"
    rows.mkdir()
    lines = (project / "data/small/test.jsonl").read_text().splitlines(keepends=True)
    (rows / "few.jsonl").write_text("".join(lines[:9]))

    def change(params: dict[str, Any]) -> None:
        source = {"kind": "directory", "repo": "x", "files": ["few.jsonl"], "sources": [f"directory:{rows}"], "split": "a-b"}
        params["datasets"]["few"] = source
        params["run"]["pairs"]["few_2-minilm"] = {"dataset": "few", "model": "minilm", "file": "few_384d"}

    edit_params(project, change)
    assert aqea("pin", "few", cwd=project).status == 0
    repro(project)
    write(package_of(project), tmp_path / "two")
    names = {"small-minilm": "small_minilm_384d", "few_2-minilm": "few_384d"}
    digests = {
        key: parse((tmp_path / f"two/data/{file}_pairs.json").read_bytes()).content_digest() for key, file in names.items()
    }
    found = {line[0]: line[1:] for line in loaded(tmp_path / "two", tmp_path / "home")}
    assert {name: (line[0], line[-1]) for name, line in found.items()} == {
        "small-minilm": ("test", digests["small-minilm"]),
        "few_2-minilm": ("a_b", digests["few_2-minilm"]),
    }
    assert_croissant(tmp_path / "two", names)


def test_mlcroissant_takes_the_description_and_reads_the_records(folder: Path) -> None:
    assert_croissant(folder, {"small-minilm": "small_minilm_384d"})


RECORDS = """
import json, sys
import mlcroissant
records = list(mlcroissant.Dataset(sys.argv[1]).records(sys.argv[2]))
columns = [[one[f"{sys.argv[2]}/{name}"] for one in records] for name in ("embedding1", "embedding2", "score")]
print(json.dumps([[list(map(int, row)) for row in columns[0]], [list(map(int, row)) for row in columns[1]], columns[2]]))
"""


def assert_croissant(folder: Path, names: dict[str, str]) -> None:
    """`mlcroissant validate` has nothing to say, and each record set gives the numbers of the pair file."""
    pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    checked = run(BIN / "mlcroissant", "validate", "--jsonld", folder / "croissant.json", cwd=folder)
    assert checked.status == 0, checked.err
    assert "Done." in checked.err
    assert "arning" not in checked.err
    for name, file in names.items():
        read = run(sys.executable, "-c", RECORDS, folder / "croissant.json", name, cwd=folder)
        assert read.status == 0, read.err
        pairs = parse((folder / f"data/{file}_pairs.json").read_bytes())
        assert json.loads(read.out) == [pairs.embeddings1.tolist(), pairs.embeddings2.tolist(), list(pairs.scores)]


def test_the_pair_file_comes_back_out_of_the_view(folder: Path) -> None:
    content = (folder / "data/small_minilm_384d_pairs.json").read_bytes()
    assert render(read_parquet(folder / "parquet/small-minilm.parquet")) == content


def test_a_view_made_again_elsewhere_gives_the_same_release(built: Package, made: Path, tmp_path: Path) -> None:
    """The JSON pair file made in two places is tested with `publish`; this is what is made of it."""
    second = tmp_path / "another place" / "checkout"
    copy_project(made, second, without=(".aqea", ".dvc"))
    shutil.rmtree(second / "views")
    env = {"TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "42", "OMP_NUM_THREADS": "1"}
    again = aqea("export", PAIRS, "--format", "parquet", cwd=second, env=env)
    assert (again.status, again.out) == (0, f"{VIEW}\n")
    assert package_of(second).release.digest() == built.release.digest()


def test_the_report_in_it_tells_nothing_of_releases_or_of_this_machine(built: Package, project: Path) -> None:
    """It would be another page after each release otherwise, and so would the next release be."""
    assert aqea("publish", "--tag", "v1", cwd=project).status == 0
    assert aqea("publish", "--tag", "v1", "--to", "oci:elsewhere", cwd=project).status == 0
    shutil.rmtree(project / ".git")
    assert package_of(project).content("report.html") == built.content("report.html")
    alone = aqea("report", "--to", "report.html", "--figures", "figures", "--json", cwd=project)
    assert (alone.status, [Path(path).name for path in alone.json()["figures"]]) == (0, ["scores.svg"])
    assert b"oci:releases:v1" in (project / "report.html").read_bytes()
    assert b"oci:releases:v1" not in built.texts["report.html"]


def test_verify_covers_the_view_and_needs_no_pyarrow(project: Path) -> None:
    append(VIEW, b"x")(project)
    script = "import sys; sys.modules['pyarrow'] = None; from aqea_registry.cli.shell import main; sys.exit(main())"
    command = [sys.executable, "-c", script, "verify", "--json"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert {(one["code"], one["subject"]) for one in json.loads(done.stdout)["findings"]} >= {("mismatch", VIEW)}
    without = subprocess.run(
        [*command[:3], "export", PAIRS, "--format", "parquet"], cwd=project, capture_output=True, text=True
    )
    assert (without.returncode, without.stdout) == (3, "")
    assert "pip install" in without.stderr


def test_aqed_has_a_header_of_sixty_bytes_and_then_the_rows(project: Path) -> None:
    result = aqea("export", PAIRS, "--format", "aqed", cwd=project)
    assert (result.status, result.out) == (0, "views/small-minilm.aqed\n")
    content = (project / "views/small-minilm.aqed").read_bytes()
    assert content[:4] == b"AQED"
    assert np.frombuffer(content, "<u4", 7, 4).tolist() == [1, 712, 384, 0, 1, 0, 0]
    assert content[32:60] == bytes(28)
    rows = np.frombuffer(content, "<f4", offset=60).reshape(712, 384)
    value = json.loads((project / PAIRS).read_bytes())
    assert (rows == np.array([*value["embeddings1"], *value["embeddings2"]], np.float32)).all()
    assert package_of(project).release.files().keys() == {*PUBLISHED, *WRITTEN}, "it is beside the run, not of it"


def test_what_is_missing_is_named_and_nothing_is_built(project: Path) -> None:
    put("manifests/claims/paper.yaml", b"a: [")(project)
    with pytest.raises(Refused, match="would lack the ledger paper") as unread:
        package_of(project)
    assert [one.code for one in unread.value.findings] == ["malformed"]
    remove("manifests/claims/paper.yaml")(project)
    for path in (PAIRS, VIEW):
        remove(path)(project)
    with pytest.raises(Refused) as refused:
        package_of(project)
    assert {(one.code, one.subject) for one in refused.value.findings} == {("missing", PAIRS), ("missing", VIEW)}
    (project / PAIRS).write_bytes(b"{}")
    result: Result = aqea("export", PAIRS, "--format", "parquet", "--json", cwd=project)
    assert (result.status, result.json()["findings"][0]["code"]) == (1, "malformed")
    assert leftovers(project) == []


def test_a_file_that_changed_after_it_was_verified_is_not_written(project: Path, tmp_path: Path) -> None:
    package = package_of(project)
    append(PAIRS, b" ")(project)
    with pytest.raises(Refused) as refused:
        write(package, tmp_path / "out")
    assert [one.code for one in refused.value.findings] == ["mismatch"]
    assert not (tmp_path / "out/data/small_minilm_384d_pairs.json").exists()
    assert not (tmp_path / "out" / LIST).exists()
    assert leftovers(tmp_path) == []


def test_writing_again_writes_nothing_and_a_lost_file_comes_back(built: Package, folder: Path) -> None:
    before = tree(folder)
    assert write(built, folder).written == ()
    assert tree(folder) == before
    (folder / "pins.json").unlink()
    (folder / "parquet" / ".small-minilm.parquet.999999999-abcd.part").write_bytes(b"PAR1")  # what a killed run left
    (folder / "parquet/small-minilm.parquet").unlink()
    left_in.cache_clear()  # as in the next process
    done = write(built, folder)
    assert set(done.written) == {"pins.json", "parquet/small-minilm.parquet"}
    assert {path: seen[0] for path, seen in tree(folder).items()} == {path: seen[0] for path, seen in before.items()}


def test_an_older_package_is_replaced_and_no_more(project: Path, folder: Path) -> None:
    edit_params(project, lambda params: params["publish"].update(title="Another title"))
    edit_params(project, lambda params: params["run"].update(exports={}))
    assert dvc("repro", cwd=project).status == 0
    remove(BENCHMARK)(project)
    newer = package_of(project)
    (folder / "README.md").write_bytes(b"mine")  # neither the old page nor the new one
    assert foreign(newer, folder) == {"README.md"}
    (folder / "README.md").write_bytes(newer.texts["README.md"])  # a killed run came as far as this
    done = write(newer, folder)
    assert done.removed == ("data/small_minilm_384d_benchmark.json",)
    assert set(tree(folder)) == set(newer.release.files())
    assert sha256sum(folder, LIST).status == 0


STRANGERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a file": ("notes.txt", lambda place: place.write_text("mine")),
    "a hidden file": (".gitattributes", lambda place: place.write_text("mine")),
    "a file in a folder": ("data/deep/er.json", lambda place: place.write_text("{}")),
    "a changed file": ("pins.json", lambda place: place.write_text("{}")),
    "a link to a file": ("metrics/link", lambda place: place.symlink_to("small-minilm.json")),
    "a link to a folder": ("more", lambda place: place.symlink_to("data")),
    "a link in a file's place": ("README.md", lambda place: place.symlink_to("pins.json")),
    "a pipe": ("pipe", os.mkfifo),
    "a pipe in a file's place": ("pins.json", os.mkfifo),
}


@pytest.mark.parametrize("what", STRANGERS)
def test_a_folder_with_what_is_not_ours_is_refused(built: Package, folder: Path, what: str) -> None:
    path, make = STRANGERS[what]
    (folder / path).unlink(missing_ok=True)
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    make(folder / path)
    assert foreign(built, folder) == {path}


def test_neither_a_project_nor_a_file_becomes_a_package(built: Package, project: Path) -> None:
    assert {"README.md", "params.yaml", PAIRS} <= foreign(built, project)
    assert foreign(built, project / "params.yaml") == {"."}
    (project / "empty").mkdir()
    assert write(built, project / "empty").files == len({*PUBLISHED, *WRITTEN})


def test_changes_of_one_byte_in_a_package_are_all_found(folder: Path) -> None:
    paths = [folder / path for path in {*PUBLISHED, *WRITTEN} - {LIST}]
    assert unnoticed(sorted(paths), 60, sampling.seed("package"), lambda: sha256sum(folder, LIST).status == 0) == []
