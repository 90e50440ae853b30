"""verify --full: a release checked with nothing else. Each fault is planted by somebody who rewrites every digest of it."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import msgspec
import pytest

from aqea_registry.base.files import Advance, ignore, open_regular
from aqea_registry.base.progress import Silent
from aqea_registry.project.artefact import metrics_text
from aqea_registry.project.params import WRITTEN, Versions
from aqea_registry.project.project import open_project
from aqea_registry.releases.full_check import verify_fully
from aqea_registry.releases.row_sample import chance_of_missing, draw, sampled, why_not
from aqea_registry.stores.oci_layout import Layout
from aqea_registry.stores.open_store import find, open_tagged
from aqea_registry.stores.release import build
from aqea_registry.vectors.containers import pair_json
from aqea_registry.vectors.containers.open_pairs import write_parquet
from aqea_registry.vectors.containers.pair_json import Examined, examine
from tests.golden.cases import make_project
from tests.helpers import found
from tests.tools import Result, aqea, made_once

DATA, METRICS, VIEW = "data/weather_minilm_384d_pairs.json", "metrics/weather-minilm.json", "parquet/weather-minilm.parquet"
BENCHMARK, LEDGER = "data/weather_minilm_384d_benchmark.json", "claims/paper.yaml"
TEXTS = (BENCHMARK, "croissant.json", "report.html", "README.md", "MANIFEST.sha256")  # each may name those before it
OWN = ("claim-contradicted", "paper: table.travel.spearman")  # the paper of 0.1.0 has one wrong number
Files = dict[str, bytes]


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of 0.1.0, published by this version as v2. Look, do not touch."""

    def make(folder: Path) -> None:
        make_project(folder / "old")
        done = aqea("publish", "--tag", "v2", cwd=folder / "old")
        assert done.status == 0, done

    return made_once(tmp_path_factory, "published-old", make) / "old"


@pytest.fixture
def alone(published: Path, tmp_path: Path) -> Path:
    """A folder with the store, and nothing else of the project."""
    shutil.copytree(published / "releases", tmp_path / "releases")
    return tmp_path


def files_of(folder: Path, tag: str = "v2") -> Files:
    store = Layout("oci:releases", folder / "releases")
    tagged = find(store, tag)
    blobs = {path: layer.digest.removeprefix("sha256:") for path, layer in store.release(tagged).files().items()}
    return {path: (folder / "releases/blobs/sha256" / blob).read_bytes() for path, blob in blobs.items()}


def put(folder: Path, before: Files, after: Files) -> None:
    """Publish the files as v3, by somebody who writes new digests wherever the release prints the old ones."""
    names = [path for path in after if path not in TEXTS] + [path for path in TEXTS if path in after]
    for path in names:
        old, new = (hashlib.sha256(files.get(path, b"")).hexdigest().encode() for files in (before, after))
        sizes = [len(files.get(path, b"")) for files in (before, after)]
        for text in TEXTS:
            after[text] = after[text].replace(old, new)
            after[text] = after[text].replace(f"({path}) | {sizes[0]} |".encode(), f"({path}) | {sizes[1]} |".encode())
            old_row, new_row = (f'<th scope="row">{path}</th><td data-label="bytes">{n:,}</td>'.encode() for n in sizes)
            after[text] = after[text].replace(old_row, new_row)
    release = build((path, hashlib.sha256(content).hexdigest(), len(content)) for path, content in after.items())
    Layout("oci:releases", folder / "releases").push("v3", release, after.__getitem__, "", ignore)


def changed(path: str, old: bytes, new: bytes) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        assert old in files[path] and len(old) == len(new)
        files[path] = files[path].replace(old, new, 1)

    return change


def with_another_row(files: Files, row: int, folder: Path) -> tuple[bytes, bytes, Examined]:
    """The pair file and the view of weather with the first vector of a row turned around, and what that file then says."""
    path, view = folder / "pairs.json", BytesIO()
    path.write_bytes(files[DATA])
    with open_regular(path) as file:
        pairs = pair_json.read(file)
        first, second = (next(pairs.blocks(which)).copy() for which in (0, 1))
    first[row] = first[row][::-1]
    header, examined = pairs.header, None
    for _ in range(2):  # once to learn the score that it must declare
        with path.open("wb") as out:
            pair_json.write(out, header, [first], [second], pairs.scores)
        examined, _ = examine(path, "pairs.json")
        assert examined is not None
        header = msgspec.structs.replace(header, baseline_spearman=examined.metrics.cos_sim_spearman)
    with open_regular(path) as file:
        write_parquet(view, pair_json.read(file))
    assert examined is not None
    return path.read_bytes(), view.getvalue(), examined


def full(folder: Path, *words: str, tag: str = "v3") -> Result:
    return aqea("verify", f"oci:releases:{tag}", "--full", "--json", *words, cwd=folder)


def test_a_sound_release_is_checked_with_nothing_else(alone: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    result = full(alone, tag="v2")
    value = result.json()
    assert (result.status, found(result)) == (1, {OWN}), result
    assert value["files"] == len(files_of(alone)) and set(value["pair_sets"]) == {"weather-minilm", "travel-minilm"}
    assert value["claims"]["paper"] == {
        "claims": 20, "holds": 14, "unbound": 1, "contradicted": 1, "unchecked": 4, "sentence_only": 1
    }  # fmt: skip
    assert {(row["name"].partition("-")[0], row["signed"]) for row in value["statements"]} == {
        (name, False) for name in ("release", "travel", "weather")
    }
    gaps = {gap["what"]: gap["why"] for gap in value["not_checked"]}
    assert "none is in a release" in gaps["documents: card.md, paper.md"]
    assert "--rows N" in gaps["22 rows, and the models and data that they are made from"]
    assert gaps["who made the release"] == "none of the statements signed, and signatures are not checked here"
    assert value["rows"] is None
    shown = aqea("verify", "oci:releases:v2", "--full", cwd=alone)
    assert re.search(r"not checked:\n(  .*: .*\n)+\Z", shown.out), shown


FAULTS: dict[str, tuple[Callable[[Files], None], set[tuple[str, str]]]] = {
    "a number of a vector": (
        lambda files: files.update({DATA: re.sub(rb'(s1":\[\[-?0\.\d{4})\d+', rb"\g<1>01", files[DATA], count=1)}),
        {("wrong-metric", METRICS), ("mismatch", VIEW), ("wrong-metric", "README.md: weather-minilm: cos_sim_pearson")},
    ),
    "a digit of a metrics file": (
        changed(METRICS, b"0.7832167832167832", b"0.7932167832167832"),
        {("wrong-metric", METRICS), ("wrong-metric", f"{METRICS}: weather-minilm: cos_sim_spearman")},
    ),
    "a digit of a benchmark file": (
        changed(BENCHMARK, b'"manhattan_pearson": 0.7', b'"manhattan_pearson": 0.8'),
        {("wrong-metric", BENCHMARK)},
    ),
    "a digit of the card": (
        changed("README.md", b"0.7832167832167832", b"0.7932167832167832"),
        {("wrong-metric", "README.md: weather-minilm: cos_sim_spearman")},
    ),
    "a digit of the page": (
        changed("report.html", b'data-label="pairs">12<', b'data-label="pairs">13<'),
        {("mismatch", "report.html: weather-minilm: pairs")},
    ),
    "a digit of a claim": (changed(LEDGER, b'"78.32"', b'"78.33"'), {("claim-contradicted", "paper: weather.spearman")}),
    "the digest of a pinned file": (
        changed("pins.json", b"61f166e3", b"61f166e4"),
        {("wrong-metric", BENCHMARK), ("mismatch", "README.md: weather: digest of the files")},
    ),
    "the commit of a pin": (
        lambda files: files.update({"pins.json": files["pins.json"].replace(b"8b3219a9", b"8b3219a8")}),
        {("mismatch", "README.md: minilm: commit"), ("lock-stale", "models.minilm.requested")},
    ),
    "a line of the list": (
        lambda files: files.update({"MANIFEST.sha256": b"no digest\n" + files["MANIFEST.sha256"]}),
        {("malformed", "MANIFEST.sha256:1")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("turn", [0, 1])
def test_a_fault_is_found_although_every_digest_was_rewritten(alone: Path, turn: int) -> None:
    """Every second fault at once: those of one turn do not hide each other."""
    before = files_of(alone)
    after = dict(before)
    chosen = [*FAULTS][turn::2]
    for name in chosen:
        FAULTS[name][0](after)
    put(alone, before, after)
    result = full(alone)
    assert result.status == 1
    assert {name: FAULTS[name][1] - found(result) for name in chosen} == {name: set() for name in chosen}
    assert aqea("verify", "oci:releases:v3", "--deep", cwd=alone).status == 0, "no digest tells it"


def test_only_rows_made_again_find_a_row_that_everything_else_agrees_with(alone: Path, published: Path, tmp_path: Path) -> None:
    """Pair file, view, scores, card, page and ledger are all of the same lie; the pinned model and data are not."""
    before = files_of(alone)
    pairs, view, lie = with_another_row(before, 3, tmp_path)
    truth, _ = examine(published / "training" / DATA, "pairs.json")
    assert truth is not None
    after = {**before, DATA: pairs, VIEW: view, METRICS: metrics_text(lie.metrics, lie.header, "canonical")}
    for ledger in (LEDGER, "claims/card.yaml"):  # whoever lies prints other numbers
        after[ledger] = re.sub(rb"claims:\n.*", b"claims: []\n", after[ledger], flags=re.DOTALL)
    changes = [(truth.content, lie.content), (f": {len(before[DATA])}", f": {len(pairs)}")]
    for old, new in zip(msgspec.structs.astuple(truth.metrics), msgspec.structs.astuple(lie.metrics), strict=True):
        changes += [(repr(old), repr(new)), (f">{old:.4f}<", f">{new:.4f}<")]
    for old_text, new_text in changes:
        for text in ("README.md", "report.html", BENCHMARK):
            after[text] = after[text].replace(old_text.encode(), new_text.encode())
    put(alone, before, after)
    blind = full(alone)
    assert (blind.status, found(blind)) == (0, set()), blind.out

    # Of the other dataset the files are not here: that is said, and the answer is about the rest.
    seeing = full(alone, "--rows", "22", "--seed", "any", "--source", f"weather={published / 'data/weather'}")
    value = seeing.json()
    (finding,) = value["findings"]
    assert (seeing.status, finding["code"]) == (1, "mismatch"), seeing
    assert re.fullmatch(rf"{DATA}: embeddings1\[3\]\[\d+\]", finding["subject"])
    number = json.loads(before[DATA])["embeddings1"][3]
    at = int(finding["subject"][:-1].rpartition("[")[2])
    assert (float(finding["expected"]), float(finding["actual"])) == (number[at], number[::-1][at])
    assert [value["rows"][name] for name in ("population", "encoded", "identical")] == [12, 12, 11] and value["seed"] == "any"
    assert any(gap["what"] == "10 drawn rows of travel-minilm" for gap in value["not_checked"])


def test_a_view_of_other_rows_and_a_file_that_is_gone_are_found(alone: Path, tmp_path: Path) -> None:
    before = files_of(alone)
    _, view, _ = with_another_row(before, 3, tmp_path)
    row = b"| best-minilm | weather | minilm | 12 | 384 | 0.9 | 0.9 | 0.9 | 0.9 | 0.9 | 0.9 |\n"
    card = re.sub(rb"(?m)^(?=\| \[weather-minilm\])", row, before["README.md"], count=1)
    after = {**before, VIEW: view, "README.md": card, "notes.txt": b"x", "claims/more/notes.yaml": b"x"}
    del after["metrics/travel-minilm.json"]
    put(alone, before, after)
    result = full(alone)
    assert {("mismatch", VIEW), ("missing", "metrics/travel-minilm.json"), ("unexpected", "notes.txt")} <= found(result), result
    gaps = {gap["what"] for gap in result.json()["not_checked"]}
    assert {"notes.txt", "claims/more/notes.yaml", "scores that README.md prints of best-minilm"} <= gaps
    store = Layout("oci:releases", alone / "releases")
    digest = store.release(find(store, "v2")).files()[DATA].digest.removeprefix("sha256:")
    (alone / "releases/blobs/sha256" / digest).write_bytes(b"{}")
    spoilt = full(alone, tag="v2")
    assert ("mismatch", f"oci:releases:v2: {DATA}") in found(spoilt) and len(spoilt.json()["pair_sets"]) == 1


def test_a_release_whose_run_is_empty_is_not_sound(alone: Path) -> None:
    before = files_of(alone)
    params = re.sub(rb"(?ms)^  pairs:.*?^  exports:", b"  pairs: {}\n  exports:", before["project/params.yaml"])
    params = re.sub(rb"(?ms)^  exports:\n.*?(?=^\w)", b"  exports: {}\n", params)
    after = {**before, "project/params.yaml": params}
    put(alone, before, after)
    assert ("unexpected", DATA) in found(full(alone))


def test_a_release_of_an_earlier_version_is_checked_as_far_as_it_goes(alone: Path) -> None:
    result = full(alone, tag="v1")
    assert (result.status, found(result), len(result.json()["pair_sets"])) == (0, set(), 2), result
    assert any("has no catalogue" in gap["why"] for gap in result.json()["not_checked"])
    before = files_of(alone, "v1")
    after = dict(before)
    changed(METRICS, b"0.7832167832167832", b"0.7932167832167832")(after)
    changed(BENCHMARK, b'"manhattan_pearson": 0.7', b'"manhattan_pearson": 0.8')(after)
    put(alone, before, after)
    assert found(full(alone)) == {
        ("wrong-metric", f"{METRICS}: weather-minilm: cos_sim_spearman"),
        ("wrong-metric", f"{BENCHMARK}: weather-minilm: manhattan_pearson"),
    }
    rows = aqea("verify", "oci:releases:v1", "--full", "--rows", "3", "--json", cwd=alone, process=False)
    assert rows.status == 3 and "no catalogue" in rows.json()["error"]["message"]


def test_what_cannot_be_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    for words in (("--full",), ("oci:releases:v1", "--rows", "3"), ("oci:releases:v1", "--full", "--seed", "x")):
        refused = aqea("verify", *words, cwd=tmp_path)
        assert refused.status == 2 and "verify STORE-REF --full" in refused.err, refused


def test_another_file_than_was_pinned_is_no_fault_of_the_release(alone: Path) -> None:
    (alone / "test.jsonl").write_text("{}")
    result = full(alone, "--rows", "3", "--source", "weather=test.jsonl", tag="v2")
    assert (result.status, found(result)) == (3, set())
    assert "it is not the test.jsonl that weather was pinned with" in result.json()["error"]["message"]


def test_a_statement_on_other_inputs_than_the_release_pins_is_said(alone: Path) -> None:
    store = Layout("oci:releases", alone / "releases")
    tagged = find(store, "v2")
    name, content = next(item for item in store.attachments(tagged).items() if item[0].startswith("weather"))
    assert full(alone, tag="v2").json()["ok"] is False, "for the one claim of the paper alone"
    store.attach(tagged, name.replace("weather-", "weather-f"), content.replace(b"8b3219a9", b"8b3219a8"))
    assert ("mismatch", f"{name.replace('weather-', 'weather-f')}: resolvedDependencies: minilm") in found(
        full(alone, tag="v2")
    )


def test_an_interrupt_leaves_nothing_behind(alone: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))

    class Interrupted(Silent):
        @contextmanager
        def task(self, description: str, total: int, unit: str) -> Iterator[Advance]:
            if description == "recompute":
                assert [*(tmp_path / "scratch").iterdir()]
                raise KeyboardInterrupt
            yield ignore

    with pytest.raises(KeyboardInterrupt):
        verify_fully(*open_tagged("oci:releases:v2", alone), Interrupted())
    assert not [*(tmp_path / "scratch").iterdir()]


def test_rows_are_drawn_by_digest_and_seed_and_none_twice() -> None:
    sizes = {"a": 500, "b": 20}
    drawn = draw("sha256:1 seed", 299, sizes)
    rows = [(key, row) for key, chosen in drawn.items() for row in chosen]
    assert len({*rows}) == len(rows) == 299 and all(row < sizes[key] for key, row in rows)
    assert all(chosen == sorted(chosen) for chosen in drawn.values())
    assert drawn == draw("sha256:1 seed", 299, dict(sizes)) != draw("sha256:2 seed", 299, sizes)
    assert draw("", 1000, sizes) == {key: [*range(size)] for key, size in sizes.items()}


@pytest.mark.parametrize(
    ("population", "wrong", "drawn"), [(22, 1, 5), (500, 5, 299), (100_000, 1000, 299), (10, 3, 8), (9, 0, 9)]
)
def test_the_chance_of_missing_wrong_rows_is_that_of_drawing_none_twice(population: int, wrong: int, drawn: int) -> None:
    exact = math.comb(population - wrong, drawn) / math.comb(population, drawn)
    assert chance_of_missing(population, wrong, drawn) == pytest.approx(exact, rel=1e-9)


def test_code_of_a_stranger_is_not_run_and_what_is_not_canonical_is_not_compared(published: Path) -> None:
    artefact = open_project(published).artefacts["weather-minilm"]
    assert why_not(artefact, WRITTEN) is None
    for field in ("trust_remote_code", "allow_pickle"):
        model = msgspec.structs.replace(artefact.model_entry, **{field: True})
        assert "code of its own" in str(why_not(msgspec.structs.replace(artefact, model_entry=model), WRITTEN))
    assert "float32" in str(why_not(msgspec.structs.replace(artefact, precision="float32"), WRITTEN))
    assert "version 99" in str(why_not(artefact, Versions(vectors=99)))


def test_what_a_sample_shows_is_said_in_words() -> None:
    enough = sampled(1_000_000, 299, 299)
    assert enough.text().startswith(
        "299 of 299 rows identical: if 1% of rows were wrong, this would have missed it with p < 0.05"
    )
    least = round(enough.excluded * 1_000_000)
    assert chance_of_missing(1_000_000, least, 299) < 0.05 <= chance_of_missing(1_000_000, least - 1, 299)
    assert "p = 0.90" in sampled(1_000_000, 10, 10).text()
    assert sampled(500, 10, 9).text() == "9 of 10 rows identical"
    assert sampled(22, 22, 22).excluded == 1 / 22 and sampled(0, 0, 0).missed == 1
