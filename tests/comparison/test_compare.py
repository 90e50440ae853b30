"""`compare` on real vectors: MiniLM run as it should be and in every wrong way; on containers, folders and releases."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from aqea_registry.base.files import ignore
from aqea_registry.base.findings import CannotCheck, Refused
from aqea_registry.base.progress import Silent
from aqea_registry.comparison.compare import TreeComparison, compare
from aqea_registry.comparison.verdict import PairSetComparison
from aqea_registry.stores.oci_layout import Layout
from aqea_registry.stores.release import build
from aqea_registry.vectors.pair_set import MICRO, Header
from aqea_registry.vectors.scores import metrics, products
from tests import sampling
from tests.helpers import PAIRS, ROWS, edit_rows, model_folder
from tests.pair_sets import Pairs, parse, render
from tests.tools import BIN, aqea, copy_checkout, environment, run

Values = np.ndarray[Any, np.dtype[np.float64]]
LONG, SHORT = 4, 28  # rows with two texts of more than 32 tokens, and others
WORDS = 45  # that are left of the long ones
REPO = "sentence-transformers/all-MiniLM-L6-v2"


class Project(NamedTuple):
    """A checkout whose dataset is cut to a few rows, and its sentences: all first ones, then all second ones."""

    root: Path
    sentences: list[str]
    scores: list[float]


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Project:
    if not model_folder().is_dir():
        pytest.skip("the demo's weights are not installed: pip install 'aqea-registry[demo]'")
    root = tmp_path_factory.mktemp("compare") / "project"
    root.mkdir()
    copy_checkout(root)
    for ledger in (root / "manifests/claims").glob("*.yaml"):  # they speak of the whole set
        ledger.unlink()
    kept: list[dict[str, Any]] = []

    def cut(rows: list[dict[str, Any]]) -> None:
        texts = ("sentence1", "sentence2")
        longest = sorted(rows, key=lambda row: -min(len(row[text]) for text in texts))[:LONG]
        cut_off = [{**row, **{text: " ".join(row[text].split()[:WORDS]) for text in texts}} for row in longest]
        kept.extend([*cut_off, *rows[:SHORT]])
        rows[:] = kept

    edit_rows(root, cut, rows=len((root / ROWS).read_bytes().splitlines()))
    sentences = [row["sentence1"] for row in kept] + [row["sentence2"] for row in kept]
    return Project(root, sentences, [float(row["score"]) for row in kept])


class Vectors:
    """What sentence-transformers itself gives, in every way that somebody may have run it."""

    def __init__(self, sentences: Sequence[str]) -> None:
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(1)
        self.sentences = list(sentences)
        self.model: Any = SentenceTransformer(str(model_folder()), device="cpu", local_files_only=True)

    def of(
        self,
        prefix: str = "",
        dtype: str = "float64",
        half: str = "float32",
        tokens: int = 256,
        pooling: str = "mean",
        lowercase: bool = True,
        modules: int = 3,
    ) -> Values:
        """The vectors of all sentences; `half` is what the weights went through, `modules` how many of them are run."""
        import torch
        from tokenizers.normalizers import BertNormalizer

        model = copy.deepcopy(self.model).to(getattr(torch, half)).to(getattr(torch, dtype)).eval()
        model.max_seq_length, model[1].pooling_mode = tokens, pooling
        model.tokenizer.backend_tokenizer.normalizer = BertNormalizer(lowercase=lowercase)
        order = sorted(range(len(self.sentences)), key=lambda at: len(self.sentences[at]))
        found: Any = [None] * len(order)
        with torch.inference_mode():
            for batch in (order[start : start + 8] for start in range(0, len(order), 8)):
                features = model[0].preprocess([prefix + self.sentences[at] for at in batch])
                for module in list(model)[:modules]:
                    features = module(features)
                for at, vector in zip(batch, features["sentence_embedding"].double().numpy(), strict=True):
                    found[at] = vector
        return np.array(found, np.float64)


@pytest.fixture(scope="module")
def vectors(few: Project) -> Vectors:
    return Vectors(few.sentences)


@pytest.fixture(scope="module")
def rough(vectors: Vectors) -> Values:
    """What most people have: float32."""
    return vectors.of(dtype="float32")


def words_of(sentences: Sequence[str]) -> Values:
    """Another model: every word has a direction, a sentence is the sum of its words."""
    known: dict[str, Values] = {}
    chance = np.random.default_rng(0)
    vectors = [
        np.sum([known.setdefault(word, chance.standard_normal(384)) for word in text.lower().split()], axis=0)
        for text in sentences
    ]
    return np.array([vector / np.linalg.norm(vector) for vector in vectors])


def text_of(vectors: Values, scores: Sequence[float], **header: Any) -> bytes:
    """A pair file as others write it: with spaces, and every digit of the numbers."""
    first, second = np.split(vectors, 2)
    head = {"dataset": "small", "model": REPO, "dimension": first.shape[1], "n_pairs": len(first), "baseline_spearman": 0.5}
    return json.dumps(
        {**head, **header, "embeddings1": first.tolist(), "embeddings2": second.tolist(), "scores": [*scores]}
    ).encode()


def canonical_text(vectors: Values, scores: Sequence[float]) -> bytes:
    first, second = np.split(np.rint(vectors / np.linalg.norm(vectors, axis=1)[:, None] * MICRO).astype(np.int32), 2)
    baseline = metrics(products([(first, second)]), scores).cos_sim_spearman
    header = Header(dataset="small", model=REPO, dimension=384, n_pairs=len(first), baseline_spearman=baseline)
    return render(Pairs(header=header, embeddings1=first, embeddings2=second, scores=tuple(scores)))


@pytest.fixture(scope="module")
def pinned(few: Project, vectors: Vectors) -> Path:
    """The canonical pair file of the few rows, made without a line of ours but for the grid."""
    path = few.root / PAIRS
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(canonical_text(vectors.of(), few.scores))
    return path


def rows_in(order: Callable[[int], Sequence[int]]) -> Callable[[Values], Values]:
    return lambda vectors: np.concatenate([half[[*order(len(half))]] for half in np.split(vectors, 2)])


def few_rows(vectors: Values) -> Values:
    changed = vectors.copy()
    changed[[3, 60]] = changed[[4, 61]]
    return changed


class Wrong(NamedTuple):
    """A set made wrongly: how, and the diagnosis from the numbers alone; where they do not suffice, with sentences encoded."""

    numbers: str
    encoded: str | None = None
    run: Mapping[str, Any] = {}
    change: Callable[[Values], Values] = np.asarray
    scores: Callable[[list[float]], Sequence[float]] = list


WRONG = {
    "wrong prefix": Wrong("encoding", "prefix", {"prefix": "query: "}),
    "cls pooling": Wrong("encoding", "pooling", {"pooling": "cls"}),
    "max pooling": Wrong("encoding", None, {"pooling": "max"}),
    "no lower-casing": Wrong("encoding", "casing", {"lowercase": False}),
    "float16 weights": Wrong("precision", "precision", {"half": "float16"}),
    "bfloat16 weights": Wrong("precision", None, {"half": "bfloat16"}),
    "cut off at 32 tokens": Wrong("rows", "truncation", {"tokens": 32}),
    "not normalised": Wrong("normalisation", None, {"modules": 2}),
    "another model": Wrong("model", None),
    "shuffled": Wrong("order", None, {}, rows_in(lambda n: np.random.default_rng(1).permutation(n).tolist())),
    "columns exchanged": Wrong("columns", None, {}, lambda vectors: np.concatenate(np.split(vectors, 2)[::-1])),
    "scaled": Wrong("scale", None, {}, lambda vectors: vectors * 7),
    "turned": Wrong("axes", None, {}, lambda vectors: vectors[:, ::-1]),
    "cut to 256": Wrong("dimension", None, {}, lambda vectors: vectors[:, :256]),
    "kept in float16": Wrong("storage", None, {}, lambda vectors: vectors.astype(np.float16).astype(np.float64)),
    "a few rows": Wrong("rows", None, {}, few_rows),
    "labels": Wrong("labels", None, {}, np.asarray, lambda scores: [scores[0] + 0.2, *scores[1:]]),
    "other rows": Wrong("revision", None, {}, few_rows, lambda scores: [*scores[:3], 9.0, *scores[4:]]),
}


@pytest.fixture(scope="module")
def wrong(few: Project, vectors: Vectors, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every set that was made wrongly, as a file of float32 or float64 numbers."""
    folder, paths = tmp_path_factory.mktemp("wrong"), {}
    made: dict[str, Values] = {}
    for name, how in WRONG.items():
        key = repr(how.run)
        if key not in made:
            made[key] = vectors.of(dtype="float32", **how.run)
        base = words_of(few.sentences) if name == "another model" else made[key]
        paths[name] = folder / f"{name}.json"
        paths[name].write_bytes(text_of(how.change(base), how.scores(few.scores)))
    return paths


def pair_set(before: Path, after: Path, root: Path, **options: Any) -> PairSetComparison:
    found = compare(str(before), str(after), root, Silent(), **options)
    assert isinstance(found, PairSetComparison)
    return found


@pytest.mark.weights
def test_float32_is_equivalent_with_figures(few: Project, pinned: Path, rough: Values, tmp_path: Path) -> None:
    (tmp_path / "long.json").write_bytes(text_of(rough, few.scores))
    shortest = [[float(str(value)) for value in row] for row in rough.astype(np.float32)]
    (tmp_path / "short.json").write_bytes(text_of(np.array(shortest), few.scores))
    for name in ("long.json", "short.json"):
        found = pair_set(pinned, tmp_path / name, few.root)
        assert (found.verdict, found.diagnoses) == ("EQUIVALENT", ())
        assert (found.before.numbers, found.after.numbers) == ("millionths", "float32")
        assert found.figures is not None and 1e-7 < found.figures.largest < 2e-6 and found.figures.rows_beyond == 0
        assert 1 - 1e-9 < found.figures.least_cosine <= found.figures.quantiles["0.01"] <= found.figures.quantiles["0.5"]
        assert len(found.metrics) == 6 and all(abs(one.kept or 0) < 1e-4 for one in found.metrics)
        assert [one.same for one in found.numbers] == [True] * 6


ENCODED = [name for name, how in WRONG.items() if how.encoded is not None]
TRIED = [name for name in WRONG if name not in ENCODED] + sampling.sample(ENCODED, share=0.4, name="encoded")


@pytest.mark.weights
@pytest.mark.parametrize("name", TRIED)
def test_each_wrong_way_is_told(few: Project, pinned: Path, wrong: dict[str, Path], name: str) -> None:
    numbers, encoded = WRONG[name].numbers, WRONG[name].encoded
    found = pair_set(pinned, wrong[name], few.root)
    assert (found.verdict, found.diagnoses[0].kind) == ("DIVERGED", numbers)
    if encoded is None:
        return
    assert encoded == numbers or encoded in found.diagnoses[0].candidates
    turned = name == "cut off at 32 tokens"
    closer = pair_set(*((wrong[name], pinned) if turned else (pinned, wrong[name])), few.root, diagnose=True)
    first = closer.diagnoses[0]
    assert (closer.verdict, first.kind, first.basis) == ("DIVERGED", encoded, "reproduced")
    assert first.message.endswith(f"gives the {'first' if turned else 'second'} file's vectors")


@pytest.mark.weights
def test_what_no_cause_gives_is_said(few: Project, pinned: Path, wrong: dict[str, Path]) -> None:
    found = pair_set(pinned, wrong["a few rows"], few.root, diagnose=True)
    assert (found.diagnoses[0].kind, found.diagnoses[0].basis) == ("rows", "suggested")
    assert (
        "causes were tried, and none gives the second" in found.notes[-1] and "as pinned they give the first" in found.notes[-1]
    )
    found = pair_set(pinned, wrong["shuffled"], few.root, diagnose=True)
    assert "no sentence was encoded" in found.notes[-1]


@pytest.mark.weights
def test_what_a_ledger_claims_decides(few: Project, pinned: Path, rough: Values, tmp_path: Path) -> None:
    exact = parse(pinned.read_bytes())
    other = tmp_path / "float32.json"
    other.write_bytes(text_of(rough, few.scores))
    found = pair_set(pinned, other, few.root)
    pearson = next(one.before for one in found.metrics if one.metric == "cos_sim_pearson")

    def ledger(*claims: str) -> None:
        document = f'document: {{title: t, sha256: "{"0" * 64}", file: t.md}}\n'
        result = "results:\n  one: {dataset: small, model: minilm}\n"
        head = f"schema: aqea-registry/claims/1\n{document}{result}claims:\n"
        (few.root / "manifests/claims/compared.yaml").write_text(head + "".join(f"- {claim}\n" for claim in claims))

    def claim(name: str, metric: str, value: str) -> str:
        return f'{{id: {name}, value: "{value}", unit: percent, at: {{line: 1}}, measured: {{result: one, metric: {metric}}}}}'

    try:
        two = claim("two", "cos_sim_spearman", f"{100 * exact.header.baseline_spearman:.2f}")
        ledger(two)
        found = pair_set(pinned, other, few.root)
        assert (found.verdict, found.basis) == ("EQUIVALENT", "1 number of the ledgers")
        assert [(one.claim, one.same) for one in found.numbers] == [("compared:two", True)]
        ledger(two, claim("all", "cos_sim_pearson", repr(100 * pearson)))
        found = pair_set(pinned, other, few.root)
        assert (found.verdict, found.diagnoses[0].kind) == ("DIVERGED", "precision")
        assert [(one.claim, one.same) for one in found.numbers] == [("compared:two", True), ("compared:all", False)]
        assert "compared:all" in found.diagnoses[0].evidence[0]
    finally:
        (few.root / "manifests/claims/compared.yaml").unlink()


LOAD = """
import sys
import datasets
import numpy as np
from aqea_registry.vectors.pair_set import ContentDigest
datasets.disable_progress_bars()
rows = datasets.load_dataset("parquet", data_files=sys.argv[1], split="train")
vectors = [np.array(rows[column][:], np.int32) for column in ("embedding1", "embedding2")]
digest = ContentDigest(*vectors[0].shape)
for matrix in vectors:
    digest.add(matrix)
print(digest.finish(rows["score"][:]))
"""


@pytest.mark.weights
def test_every_container_of_one_set_has_one_content_digest(few: Project, pinned: Path, tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="datasets is not installed")
    content = parse(pinned.read_bytes()).content_digest()
    made = {}
    for kind in ("parquet", "aqed", "embeddings"):
        exported = aqea("export", PAIRS, "--format", kind, "--json", cwd=few.root)
        made[kind] = few.root / exported.json()["path"]
    made["json"] = tmp_path / "spelled.json"
    made["json"].write_text(json.dumps(json.loads(pinned.read_bytes()), indent=1))
    for kind, path in made.items():
        for before, after in ((pinned, path), (path, pinned), (path, made["aqed"])):
            found = pair_set(before, after, few.root)
            if before == after:
                assert found.verdict == "IDENTICAL"
                continue
            assert (found.verdict, found.before.content, found.after.content) == ("SAME CONTENT", content, content)
            assert {found.before.container, found.after.container} <= {kind, "json", "aqed"}
    env = environment({"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"})
    words = [sys.executable, "-c", LOAD, str(made["parquet"])]
    assert subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout.strip() == content


# Made-up vectors are enough for what follows.


def made_up(seed: int, n: int = 40, dimension: int = 8) -> tuple[Values, list[float]]:
    chance = np.random.default_rng(seed)
    vectors = chance.standard_normal((2 * n, dimension))
    return vectors / np.linalg.norm(vectors, axis=1)[:, None], (chance.integers(0, 50, n) / 10).tolist()


def small_canonical(seed: int) -> bytes:
    vectors, scores = made_up(seed)
    first, second = np.split(np.rint(vectors * MICRO).astype(np.int32), 2)
    header = Header(dataset="d", model="m", dimension=8, n_pairs=len(first), baseline_spearman=0.5)
    return render(Pairs(header=header, embeddings1=first, embeddings2=second, scores=tuple(scores)))


def in_float32(seed: int) -> bytes:
    vectors, scores = made_up(seed)
    return text_of(vectors.astype(np.float32).astype(np.float64), scores, dataset="d", model="m", dimension=8)


TREE = {
    "training/data/a_pairs.json": small_canonical(1),
    "training/data/b_pairs.json": small_canonical(2),
    "training/data/a_benchmark.json": b'{"digest": 1}\n',
    "metrics/a.json": b'{"n_pairs": 40}\n',
    "notes.txt": b"x\n",
}
MOVED = {path.replace("training/data/", "data/"): content for path, content in TREE.items()}


def put(folder: Path, files: Mapping[str, bytes], *, manifest: str | None = "MANIFEST.sha256") -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    if manifest:
        lines = [f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in sorted(files.items())]
        (folder / manifest).parent.mkdir(exist_ok=True)
        (folder / manifest).write_text("".join(lines))
    return folder


FOLDERS: dict[str, tuple[dict[str, bytes], str, dict[str, str]]] = {
    "the same": (TREE, "IDENTICAL", {}),
    "in a release's places": (MOVED, "SAME CONTENT", {"MANIFEST.sha256": "SAME CONTENT"}),
    "spelled otherwise": (
        {**TREE, "training/data/a_pairs.json": json.dumps(json.loads(TREE["training/data/a_pairs.json"])).encode()},
        "SAME CONTENT",
        {"training/data/a_pairs.json": "SAME CONTENT", "MANIFEST.sha256": "SAME CONTENT"},
    ),
    "in float32, and what follows": (
        {**TREE, "training/data/b_pairs.json": in_float32(2), "metrics/a.json": b"{}\n"},
        "EQUIVALENT",
        {"training/data/b_pairs.json": "EQUIVALENT", "metrics/a.json": "EQUIVALENT", "MANIFEST.sha256": "EQUIVALENT"},
    ),
    "other scores of the same vectors": (
        {**TREE, "metrics/a.json": b"{}\n"},
        "DIVERGED",
        {"metrics/a.json": "DIVERGED", "MANIFEST.sha256": "DIVERGED"},
    ),
    "another set": (
        {**TREE, "training/data/b_pairs.json": in_float32(3)},
        "DIVERGED",
        {"training/data/b_pairs.json": "DIVERGED", "MANIFEST.sha256": "DIVERGED"},
    ),
    "one more": ({**TREE, "more.txt": b""}, "DIVERGED", {"more.txt": "DIVERGED", "MANIFEST.sha256": "DIVERGED"}),
    "other words": ({**TREE, "notes.txt": b"y"}, "DIVERGED", {"notes.txt": "DIVERGED", "MANIFEST.sha256": "DIVERGED"}),
    "a broken set": (
        {**TREE, "training/data/b_pairs.json": TREE["training/data/b_pairs.json"][:500]},
        "DIVERGED",
        {"training/data/b_pairs.json": "DIVERGED", "MANIFEST.sha256": "DIVERGED"},
    ),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_are_compared_file_by_file(tmp_path: Path, name: str) -> None:
    files, verdict, different = FOLDERS[name]
    put(tmp_path / "a", TREE)
    put(tmp_path / "b", files)
    found = compare("a", "b", tmp_path, Silent())
    assert isinstance(found, TreeComparison) and found.verdict == verdict
    assert {one.after or one.before: one.verdict for one in found.files if one.verdict != "IDENTICAL"} == different
    assert len(found.files) == len({*files, *TREE} if files is not MOVED else TREE) + 1


def test_a_folder_without_a_list_is_taken_whole_but_for_what_is_hidden(tmp_path: Path) -> None:
    put(tmp_path / "a", TREE, manifest=None)
    put(tmp_path / "b", {**TREE, ".aqea/kept.json": b"{}"}, manifest=None)
    assert compare("a", "b", tmp_path, Silent()).verdict == "IDENTICAL"


def test_a_folder_that_climbs_out_is_not_followed(tmp_path: Path) -> None:
    put(tmp_path / "a", TREE)
    put(tmp_path / "b", TREE)
    (tmp_path / "b/notes.txt").unlink()
    (tmp_path / "b/notes.txt").symlink_to("/etc/hostname")
    with pytest.raises(Refused, match="leads out of the root"):
        compare("a", "b", tmp_path, Silent())


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    """A layout with the tree as v1, one with a float32 set as v2, and another set as v3."""
    trees = {
        "v1": MOVED,
        "v2": {**MOVED, "data/b_pairs.json": in_float32(2)},
        "v3": {**MOVED, "data/b_pairs.json": in_float32(3)},
    }
    layout = Layout("oci:store", tmp_path / "store")
    for tag, files in trees.items():
        folder = put(tmp_path / tag, files, manifest=None)
        release = build((path, hashlib.sha256(content).hexdigest(), len(content)) for path, content in files.items())
        layout.push(tag, release, folder.joinpath, "", ignore)
    return tmp_path


def test_releases_deep_and_against_folders_and_files(releases: Path) -> None:
    def verdict(before: str, after: str, deep: bool = False) -> str:
        return compare(before, after, releases, Silent(), deep=deep).verdict

    assert verdict("oci:store:v1", "oci:store:v2") == "DIVERGED"
    assert verdict("oci:store:v1", "oci:store:v2", deep=True) == "EQUIVALENT"
    assert verdict("oci:store:v1", "oci:store:v3", deep=True) == "DIVERGED"
    assert verdict("oci:store:v1", "oci:store:v1", deep=True) == "IDENTICAL"
    assert verdict("oci:store:v2", "v2") == "IDENTICAL"
    assert verdict("v1", "oci:store:v2") == "EQUIVALENT"
    assert verdict("v1/data/b_pairs.json", "oci:store:v2") == "EQUIVALENT"
    assert verdict("v1/data/b_pairs.json", "v3") == "DIVERGED"
    with pytest.raises(CannotCheck, match=r"no file called z.json"):
        put(releases, {"z.json": b"{}"}, manifest=None)
        compare("z.json", "oci:store:v1", releases, Silent())
    found = compare("oci:store:v1", "oci:store:v2", releases, Silent(), deep=True)
    assert isinstance(found, TreeComparison)
    assert [(one.what, one.name) for one in found.changes] == [("file", "data/b_pairs.json")]
    blob = releases / "store/blobs/sha256" / hashlib.sha256(in_float32(2)).hexdigest()
    blob.write_bytes(blob.read_bytes()[:-1] + b" ")
    with pytest.raises(Refused, match="not those that the release names"):
        compare("oci:store:v1", "oci:store:v2", releases, Silent(), deep=True)


def test_the_command_line(tmp_path: Path) -> None:
    put(tmp_path, {"a.json": small_canonical(1), "f.json": in_float32(1), "b.json": in_float32(2)}, manifest=None)
    for words, status, verdict in (
        (("a.json", "a.json"), 0, "IDENTICAL"),
        (("a.json", "f.json"), 0, "EQUIVALENT"),
        (("a.json", "b.json"), 1, "DIVERGED"),
        (("a.json", "f.json", "--bound", "1e-9"), 1, "DIVERGED"),
    ):
        result = aqea("compare", *words, cwd=tmp_path)
        assert (result.status, result.out.splitlines()[-1], result.err) == (status, verdict, "")
        value = aqea("compare", *words, "--json", cwd=tmp_path).json()
        assert (value["verdict"], value["ok"], value["pair_set"]["verdict"]) == (verdict, not status, verdict)
        assert all(len(one["evidence"]) for one in value["pair_set"]["diagnoses"])


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("a.json", "nowhere.json"), 3, "nowhere.json not found"),
        (("a.json", "notes.txt"), 2, "notes.txt holds no pair set"),
        (("a.json", "half.json"), 1, "half.json"),
        (("a.json", "pipe"), 3, "not a regular file"),
        (("a.json", "b.json", "--diagnose"), 2, "not a project"),
        (("oci:store:v1", "a.json"), 3, "oci:store"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_compared_is_said(tmp_path: Path, words: tuple[str, ...], status: int, told: str) -> None:
    files = {"a.json": small_canonical(1), "b.json": in_float32(2), "half.json": small_canonical(1)[:900], "notes.txt": b"x"}
    put(tmp_path, files, manifest=None)
    os.mkfifo(tmp_path / "pipe")
    result = aqea("compare", *words, "--json", cwd=tmp_path)
    assert result.status == status, result.out + result.err
    assert told in result.err + result.out
    if status == 1:
        assert [finding["code"] for finding in result.json()["findings"]] == ["malformed"]


PEAK = """
import re, sys
from pathlib import Path
from aqea_registry.cli.shell import main
try:
    main(["compare", *sys.argv[1:]])
finally:
    print(re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell how much memory a process took")
def test_large_files_take_little_memory(tmp_path: Path) -> None:
    """Two files, 40 MB together: whole in memory, as Python's lists, their numbers would take ten times as much."""
    vectors, scores = made_up(1, n=2_000, dimension=400)
    (tmp_path / "a.json").write_bytes(text_of(np.round(vectors, 6), scores))
    (tmp_path / "b.json").write_bytes(text_of(vectors.astype(np.float32).astype(np.float64), scores))
    result = run(BIN / "python", "-c", PEAK, "a.json", "b.json", cwd=tmp_path)
    assert result.status == 0, result.err
    *_, verdict, peak = result.out.split()
    assert verdict == "EQUIVALENT" and int(peak) * 1024 < 120e6
