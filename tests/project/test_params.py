"""params.yaml: read strictly, and whatever is wrong in it is named by its field."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry import __version__
from aqea_registry.base.findings import BadConfiguration
from aqea_registry.base.strict import load_yaml
from aqea_registry.project.params import MODEL_FILES, Columns, Model, Params, parse_params
from tests.tools import ROOT


def good() -> dict[str, Any]:
    """The plain values of a small but whole params.yaml."""
    run = {
        "pairs": {
            "d-m": {"dataset": "d", "model": "m", "file": "d_m_4d"},
            "e-m": {"dataset": "e", "model": "m", "file": "e_m_4d"},
        },
        "exports": {"d-m-benchmark": {"dataset": "d", "model": "m", "file": "d_m_4d", "format": "benchmark"}},
    }
    return {
        "datasets": {
            "d": {"kind": "directory", "repo": "data/d", "files": ["test.jsonl"], "sources": ["directory:data/d"]},
            "e": {"repo": "org/e", "revision": "main", "files": ["a/test.jsonl.gz"], "sources": ["directory:data/e"]},
        },
        "models": {"m": {"repo": "org/m", "dimension": 4, "sources": ["package:m"]}},
        "runs": {"default": run},
        "run": run,
        "publish": {"stores": ["oci:releases"], "title": "A title"},
    }


def text(values: dict[str, Any]) -> bytes:
    return yaml.safe_dump(values).encode()


def test_a_good_file_is_read_and_the_rest_has_its_defaults() -> None:
    params = parse_params(text(good()))
    assert params.precision == "canonical"
    assert params.models["m"].patterns() == MODEL_FILES
    assert params.datasets["e"].columns == Columns()
    assert params.datasets["d"].score_range == (0.0, 5.0)
    assert params.run == params.runs["default"]


def test_the_projects_own_file_is_good() -> None:
    assert isinstance(parse_params((ROOT / "params.yaml").read_bytes()), Params)


def test_the_run_is_switched_by_an_alias() -> None:
    values = good()
    run = yaml.safe_dump({"default": values.pop("run")}, indent=2).replace("default:", "default: &default")
    del values["runs"]
    content = yaml.safe_dump(values) + "runs:\n  " + run.replace("\n", "\n  ").rstrip() + "\nrun: *default\n"
    assert parse_params(content.encode()) == parse_params(text(good()))


def test_a_pair_set_is_found_by_its_names() -> None:
    params = parse_params(text(good()))
    assert params.run.pairs[params.artefact_key("e", "m")].file == "e_m_4d"
    with pytest.raises(BadConfiguration, match="'e' and model 'x'; it has d m, e m"):
        params.artefact_key("e", "x")


def with_task(**changes: Any) -> dict[str, Any]:
    values = good()
    values["datasets"]["n"] = {"mteb": "NFCorpus", **changes}
    values["run"] = {**good()["run"], "vectors": {"n-m": {"dataset": "n", "model": "m", "file": "n_m_4d"}}}
    return values


def test_a_task_of_mteb_says_no_more_than_its_name_and_is_of_a_vector_set() -> None:
    params = parse_params(text(with_task(subsets=["en"])))
    assert (params.datasets["n"].mteb, params.datasets["n"].repo, params.datasets["n"].subsets) == ("NFCorpus", "", ("en",))
    assert params.artefact_key("n", "m") == "n-m"


def test_an_instruction_is_found_by_task_then_type_then_role() -> None:
    model = Model(
        repo="m", dimension=4, prefix="p: ", instruction_template="<{instruction}> ",
        instructions={"retrieval": "r", "NFCorpus": "n", "document": "d", "Clustering": "c", "SciFact-document": "s"},
    )  # fmt: skip
    assert model.prefix_for("NFCorpus", "Retrieval", "query") == "<n> "
    assert model.prefix_for("FiQA2018", "Retrieval", "query") == "<r> ", "a type, whatever its case"
    assert model.prefix_for("NFCorpus", "Retrieval", "document") == "<d> ", "an instruction is for queries"
    assert model.prefix_for("SciFact", "Retrieval", "document") == "<s> "
    assert model.prefix_for("Reddit", "Clustering") == "<c> "
    assert model.prefix_for("sts") == model.prefix_for("STSBenchmark", "STS") == "p: "


def test_a_version_that_is_met_and_keys_of_others_are_left_alone() -> None:
    for requires in (">=0.1", "<99", f"=={__version__}", ">=0.0.1, <99, !=7"):
        values = {**good(), "requires": requires, "model": {"lr": 1}, "train": [1, 2]}
        assert parse_params(text(values)).requires == requires
    assert parse_params(b"run: {pairs: {}, exports: {}}\n").publish.stores == ("oci:releases",)


def vectors(dataset: str, file: str) -> dict[str, Any]:
    return {"x": {"dataset": dataset, "model": "m", "file": file}}


Change = Callable[[dict[str, Any]], Any]

BAD: dict[str, tuple[Change, str]] = {
    "nearly a key": (lambda v: v.update(publsh=v.pop("publish")), "unknown key 'publsh'"),
    "unknown key of a dataset": (
        lambda v: v["datasets"]["d"].update(colums=1),
        r"datasets\.d.*`colums`; did you mean 'columns'",
    ),
    "unknown key of columns": (lambda v: v["datasets"]["d"].update(columns={"sentence3": "x"}), r"`sentence3`.*columns"),
    "unknown key of a model": (lambda v: v["models"]["m"].update(dim=4), r"models\.m.*`[a-z_]+`"),
    "unknown key of a run": (lambda v: v["run"].update(pair={}), r"`pair`.*run"),
    "unknown key of publish": (lambda v: v["publish"].update(tag="v1"), r"`tag`.*publish"),
    "no datasets": (lambda v: v.pop("datasets"), "unknown dataset 'd'; the catalogue has none"),
    "another version": (lambda v: v.update(requires=">=99.1", more=1), r"requires aqea-registry >=99.1, and this is version"),
    "no version": (lambda v: v.update(requires="latest"), "requires: 'latest' is not a version"),
    "no repo": (lambda v: v["models"]["m"].pop("repo"), r"models\.m.*`repo`"),
    "no dimension": (lambda v: v["models"]["m"].pop("dimension"), r"models\.m.*`dimension`"),
    "a folder without sources": (lambda v: v["datasets"]["d"].update(kind="directory", sources=[]), r"d: .*sources"),
    "no file of a pair set": (lambda v: v["run"]["pairs"]["d-m"].pop("file"), r"line [0-9]+: run.pairs.d-m: .*`file`"),
    "null": (lambda v: v.update(datasets=None), "`datasets`"),
    "a list": (lambda v: v.update(models=[]), "`models`"),
    "a number for a name": (lambda v: v["datasets"]["d"].update(repo=1), r"repo"),
    "text for a number": (lambda v: v["models"]["m"].update(dimension="4"), r"dimension"),
    "a fraction": (lambda v: v["models"]["m"].update(dimension=4.5), r"dimension"),
    "true for a number": (lambda v: v["models"]["m"].update(dimension=True), r"dimension"),
    "dimension 0": (lambda v: v["models"]["m"].update(dimension=0), r"dimension"),
    "a huge dimension": (lambda v: v["models"]["m"].update(dimension=65537), r"dimension"),
    "text for a list": (lambda v: v["datasets"]["d"].update(files="test.jsonl"), r"files"),
    "a number in a list": (lambda v: v["datasets"]["d"].update(files=["a", 1]), r"files\[1\]"),
    "one limit": (lambda v: v["datasets"]["d"].update(score_range=[0]), "score_range"),
    "a word for a limit": (lambda v: v["datasets"]["d"].update(score_range=[0, "five"]), r"score_range\[1\]"),
    "unknown kind": (lambda v: v["datasets"]["d"].update(kind="model"), "kind"),
    "unknown precision": (lambda v: v.update(precision="float16"), "precision"),
    "unknown format": (lambda v: v["run"]["exports"]["d-m-benchmark"].update(format="csv"), "format"),
    "a name with a space": (lambda v: v["models"].update({"m 2": v["models"]["m"]}), "models"),
    "an upper-case name": (lambda v: v["datasets"].update({"D": v["datasets"]["d"]}), "datasets"),
    "a name that ends a line": (lambda v: v["datasets"].update({"d\n": v["datasets"]["d"]}), "datasets"),
    "a number as a name": (lambda v: v["datasets"].update({3: v["datasets"]["d"]}), "datasets"),
    "a folder in a file's stem": (lambda v: v["run"]["pairs"]["d-m"].update(file="a/b_4d"), "file"),
    "a stem that climbs": (lambda v: v["run"]["pairs"]["d-m"].update(file="../b_4d"), "file"),
    "a stem that ends a line": (lambda v: v["runs"]["default"]["pairs"]["e-m"].update(file="e_m_4d\n"), "file"),
    "no stem": (lambda v: v["run"]["pairs"]["d-m"].update(file=""), "file"),
    "unknown dataset in the run": (
        lambda v: v["run"]["pairs"]["d-m"].update(dataset="x"),
        r"run.pairs.d-m: unknown dataset 'x'; the catalogue has d, e",
    ),
    "unknown model in the run": (
        lambda v: v["run"]["pairs"]["e-m"].update(model="x"),
        r"run.pairs.e-m: unknown model 'x'; the catalogue has m",
    ),
    "unknown model in another run": (
        lambda v: v["runs"].update(full={"pairs": {"d-x": {"dataset": "d", "model": "x", "file": "d_x_4d"}}, "exports": {}}),
        r"runs.full.pairs.d-x: unknown model 'x'",
    ),
    "no models at all": (lambda v: v.update(models={}), "unknown model 'm'; the catalogue has none"),
    "a stem without dimension": (lambda v: v["run"]["pairs"]["d-m"].update(file="d_m"), r"run.pairs.d-m.file: .*_4d"),
    "a stem with another dimension": (lambda v: v["run"]["pairs"]["d-m"].update(file="d_m_384d"), r"run.pairs.d-m.file: .*_4d"),
    "a stem with a longer dimension": (lambda v: v["run"]["pairs"]["d-m"].update(file="d_m_14d"), r"run.pairs.d-m.file: .*_4d"),
    "one file for two pair sets": (
        lambda v: v["run"]["pairs"]["e-m"].update(file="d_m_4d"),
        r"run.pairs.e-m.file: 'd_m_4d' is also the file of d-m",
    ),
    "an export of no pair set": (
        lambda v: v["run"]["exports"]["d-m-benchmark"].update(file="x_4d"),
        r"run.exports.d-m-benchmark: no pair set",
    ),
    "one name for a dataset and a model": (
        lambda v: v["models"].update(d=v["models"]["m"]),
        "'d' is the name of a dataset and of a model",
    ),
    "a dataset's file that climbs": (
        lambda v: v["datasets"]["d"].update(files=["../x.jsonl"]),
        r"d.files: '../x.jsonl': .*'\.\.'",
    ),
    "a model's file that is absolute": (lambda v: v["models"]["m"].update(files=["/x"]), r"m.files: '/x': .*absolute"),
    "no repo of a dataset": (lambda v: v["datasets"]["d"].pop("repo"), "d: it needs 'repo', or 'mteb'"),
    "subsets of no task": (lambda v: v["datasets"]["e"].update(subsets=["en"]), r"e.subsets: only a task of MTEB"),
    "a vector set of no task": (
        lambda v: v["run"].update(vectors=vectors("d", "x_4d")),
        r"run.vectors.x: dataset 'd' is not a",
    ),
    "a vector set of another file": (lambda v: v.update(with_task(), run={"vectors": vectors("n", "x_5d")}), r"x.file: .*_4d"),
    "a vector set with a pair set's name": (
        lambda v: v.update(with_task(), run={**good()["run"], "vectors": {"d-m": vectors("n", "n_4d")["x"]}}),
        "run.vectors.d-m: the pair set d-m has the same name",
    ),
    "no name of a file": (lambda v: v["datasets"]["d"].update(files=[""]), r"d.files: '': .*empty"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_a_bad_value_is_named_by_its_field(change: Change, message: str) -> None:
    values = good()
    values["run"] = good()["run"]  # of its own: a change in it is no change in runs
    change(values)
    with pytest.raises(BadConfiguration, match=rf"(?s)^params\.yaml: .*{message}"):
        parse_params(yaml.safe_dump(values, allow_unicode=True).encode())


NO_YAML = {
    "empty": b"",
    "a word": b"params",
    "a list": b"- a",
    "not UTF-8": b"datasets: \xff",
    "NUL": b"a: \0",
    "an open bracket": b"datasets: [",
    "a tab": b"a:\n\tb: 1",
    "an unknown alias": b"run: *default",
    "an alias of itself": b"&a [*a]",
    "a run in itself": b"run: &a {pairs: *a}",
    "two documents": b"a: 1\n---\nb: 2",
    "a Python object": b"a: !!python/object/apply:os.system ['false']",
    "a list as a key": b"? [a]\n: b",
    "a merge with a number": b"<<: 3",
    "a day that is none": b"a: 2001-13-45",
    "a number without digits": b"a: 0b_",
    "a word as a number": b"a: !!int x",
    "a word as a fraction": b"a: !!float x",
    "a word as a time": b"a: !!timestamp x",
    "a word as a truth": b"a: !!bool x",
    "a number of 5000 digits": b"a: " + b"9" * 5000,
}


@pytest.mark.parametrize("content", NO_YAML.values(), ids=NO_YAML)
def test_what_is_no_yaml_is_refused(content: bytes) -> None:
    with pytest.raises(BadConfiguration, match=r"^params\.yaml: "):
        parse_params(content)


def test_yaml_that_is_nested_too_deep_is_refused() -> None:
    """In a process of its own: the reader in C has only the stack to count on."""
    script = (
        "from aqea_registry.base.strict import load_yaml\n"
        "from aqea_registry.base.findings import BadConfiguration\n"
        "try:\n    load_yaml(b'[' * 200_000, 'params.yaml')\n"
        "except BadConfiguration:\n    print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode, done.stdout) == (0, "refused\n")


@pytest.mark.parametrize("content", [b"a: 1\na: 2", b"x: {a: 1, b: 2, a: 1}", b"a: 1\n'a': 2"])
def test_a_key_that_stands_twice_is_refused(content: bytes) -> None:
    with pytest.raises(BadConfiguration, match="the key 'a' appears twice"):
        load_yaml(content, "params.yaml")


def test_the_place_of_a_duplicate_is_named() -> None:
    with pytest.raises(BadConfiguration, match=r"^params\.yaml: line 3, column 3: the key 'd' appears twice"):
        parse_params(b"datasets:\n  d: {}\n  d: {}\n")


def test_a_merged_key_may_be_replaced() -> None:
    assert load_yaml(b"x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  a: 3\n", "f")["y"] == {"a": 3, "b": 2}


@given(st.binary(max_size=60) | st.text(st.sampled_from("a:- \n[]{}&*!|>'\"#%@0.e~?,<"), max_size=40))
def test_nothing_but_bad_configuration_is_raised(content: bytes | str) -> None:
    with suppress(BadConfiguration):  # `::` is a mapping of the author's own
        parse_params(content.encode() if isinstance(content, str) else content)


def test_a_norwegian_config_and_a_score_with_an_exponent_are_what_dvc_reads() -> None:
    content = text(good()).replace(b"repo: org/e", b"repo: org/e\n    config: no\n    score_range: [0e0, 5e0]")
    entry = parse_params(content).datasets["e"]
    assert (entry.config, entry.score_range) == ("no", (0.0, 5.0))


def test_a_revision_that_looks_like_a_number_is_named_with_all_others() -> None:
    content = text(good()).replace(b"revision: main", b"revision: 1.0").replace(b"title: A title", b"title: 2024-01-01")
    with pytest.raises(BadConfiguration) as refused:
        parse_params(content)
    lines = content.decode().split("\n")
    (first,), (second,) = ([n for n, line in enumerate(lines, 1) if word in line] for word in ("revision:", "title:"))
    assert refused.value.message == (
        f'params.yaml: line {first}, column 15: datasets.e.revision: 1.0 is read as a number; write "1.0"; '
        f'line {second}, column 10: publish.title: 2024-01-01 is read as a date; write "2024-01-01"'
    )


@pytest.mark.parametrize(
    ("before", "after", "where"),
    [
        ("repo: org/e", "repo: [x]", "datasets.e: Expected a text, got a list, at `repo`"),
        ("repo: org/e", "repo: org/e\n    extra: 1", "datasets.e: Object contains unknown field `extra`"),
        ("title: A title", "titel: A title", "Object contains unknown field `titel`, at `publish`"),
        ("revision: main", "score_range: [5, 0]", "datasets.e.score_range: [5.0, 0.0]"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(before: str, after: str, where: str) -> None:
    lines = text(good()).decode().replace(before, after, 1).split("\n")
    line = next(number for number, line in enumerate(lines, 1) if after.rpartition("\n")[2] in line)
    with pytest.raises(BadConfiguration, match=re.escape(f"params.yaml: line {line}: {where}")):
        parse_params("\n".join(lines).encode())


def test_the_line_is_that_of_the_entry_of_a_run_and_of_a_part_of_a_list() -> None:
    content = b"models:\n  m: {repo: a, dimension: 4}\nrun:\n  pairs:\n    a: {}\n    b: []\nsources:\n- hub\n- [x]\n"
    for wrong, mended, line in ((b"", b"", 5), (b"a: {}", b"# a", 6), (b"b: []", b"{}", 9)):
        content = content.replace(wrong, mended)
        with pytest.raises(BadConfiguration, match=f"params.yaml: line {line}"):
            parse_params(content)


def test_a_name_that_is_none_is_given_with_its_place_whatever_else_is_wrong() -> None:
    for text, place in (
        ("datasets: {Bad: {repo: a/b}}", "'Bad', at `datasets`"),
        ("runs: {a: {pairs: {}}, b: {pairs: {'x y': {dataset: a, model: b, file: c}}}, d: []}", "'x y', at `runs[...].pairs`"),
    ):
        with pytest.raises(BadConfiguration, match=re.escape(f"a name of small letters, digits, '-' and '_', not {place}")):
            parse_params(text.encode())
