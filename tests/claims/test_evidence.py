"""Which pair set a document's result was measured on, and why none is compared."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from aqea_registry.claims.evidence import Resolved, resolve_result
from aqea_registry.claims.ledger import Evaluation
from aqea_registry.project.lock import Lock, Pin, PinnedFile
from aqea_registry.project.params import Params, parse_params

A, B, C, M = "a" * 40, "b" * 40, "c" * 40, "d" * 40
PARAMS = """
datasets:
  here: {kind: directory, repo: data/here, files: [t.jsonl], sources: ["directory:data/here"]}
  set: {repo: org/set, revision: AAA}
  set-old: {repo: org/set, revision: BBB}
  set-de: {repo: org/set, revision: AAA, config: de}
  wide: {repo: org/wide, revision: AAA}
models:
  toy: {repo: org/toy, revision: MMM, dimension: 8}
  big: &big {repo: org/big, revision: MMM, dimension: 16}
  big-8: {<<: *big, dimension: 8, full_dimension: 16}
  one: {repo: org/two, revision: MMM, dimension: 8}
  two: {repo: org/two, revision: MMM, dimension: 8, prefix: "query: "}
runs:
  default: &default
    pairs:
      here-toy: {dataset: here, model: toy, file: here_toy_8d}
      set-toy: {dataset: set, model: toy, file: set_toy_8d}
      set-big-8: {dataset: set, model: big-8, file: set_big_8d}
    exports: {}
  more:
    pairs:
      wide-toy: {dataset: wide, model: toy, file: wide_toy_8d}
      old-toy: {dataset: set-old, model: toy, file: old_toy_8d}
    exports: {}
run: *default
publish: {stores: [], title: t}
"""


def params() -> Params:
    return parse_params(PARAMS.replace("AAA", A).replace("BBB", B).replace("MMM", M).encode())


def pin(kind: str, commit: str | None, files: bool = True, source: str = "hub") -> Pin:
    names = {"f": PinnedFile(sha256="0" * 64, size=1)} if files else {}
    entry = {"kind": kind, "id": "x", "requested": None, "licence": None, "resolved_from": source}
    return msgspec.convert({**entry, "commit": commit, "files": msgspec.to_builtins(names)}, Pin)


LOCK = Lock(
    datasets={
        "here": pin("directory", None),
        "set": pin("dataset", A),
        "set-old": pin("dataset", B),
        "wide": pin("dataset", A, files=False),
    },
    models={"toy": pin("model", M), "big": pin("model", M, source="package:big")},
)
# What the document says, and the pair set, or the reason and what is said.
RESOLVED: dict[str, tuple[dict[str, Any], str, str]] = {
    "by name": ({"dataset": "here", "model": "toy"}, "here-toy", "names no revision of the model; compared is ddd"),
    "by name and model revision": ({"dataset": "here", "model": "org/toy", "model_revision": M}, "here-toy", ""),
    "by revision": ({"dataset": "org/set", "model": "org/toy", "revision": A}, "set-toy", "compared is"),
    "by name and revision": ({"dataset": "set", "model": "toy", "revision": A}, "set-toy", "compared is"),
    "a cut model by its name": ({"dataset": "set", "model": "big-8", "revision": A}, "set-big-8", "compared is"),
    "a claimed commit": (
        {"dataset": "set", "model": "big", "model_revision": C, "revision": A},
        "other-revision",
        f"here is {M} (claimed) (big)",
    ),
    "no revision": ({"dataset": "org/set", "model": "toy"}, "unpinned", "names no revision of org/set"),
    "revision None": ({"dataset": "org/set", "model": "toy", "revision": "None"}, "unpinned", "names no revision"),
    "by name, and None": ({"dataset": "here", "model": "toy", "revision": "None"}, "unpinned", "names no revision"),
    "unknown, unpinned": ({"dataset": "org/none", "model": "toy"}, "unpinned", "names no revision"),
    "unknown": ({"dataset": "org/none", "model": "toy", "revision": A}, "unknown-dataset", "no dataset org/none"),
    "split": (
        {"dataset": "org/set", "model": "toy", "revision": A, "split": "dev"},
        "unknown-dataset",
        "not default/dev; it has de/test, default/test",
    ),
    "model": ({"dataset": "here", "model": "org/none"}, "unknown-model", "the catalogue has no such model"),
    "two models": ({"dataset": "here", "model": "org/two"}, "unknown-model", "several models of it, name one: one, two"),
    "revision": (
        {"dataset": "org/set", "model": "toy", "revision": C},
        "other-revision",
        f"names revision {C} of org/set; here is {A} (set), {B} (set-old)",
    ),
    "a branch": ({"dataset": "org/set", "model": "toy", "revision": "main"}, "other-revision", "names revision main"),
    "by name, another revision": ({"dataset": "set", "model": "toy", "revision": B}, "other-revision", f"here is {A} (set)"),
    "a folder has none": ({"dataset": "here", "model": "toy", "revision": A}, "other-revision", "here is no revision (here)"),
    "model revision": (
        {"dataset": "here", "model": "toy", "model_revision": C},
        "other-revision",
        f"names revision {C} of toy; here is {M} (toy)",
    ),
    "a whole model": ({"dataset": "set", "model": "org/big", "revision": A}, "no-pair-set", "set under big; no run has it"),
    "another config": (
        {"dataset": "org/set", "model": "toy", "revision": A, "config": "de"},
        "no-pair-set",
        "set-de under toy; no run has it",
    ),
    "another run": (
        {"dataset": "org/set", "model": "toy", "revision": B},
        "no-pair-set",
        "the run 'more' has it; run: dvc repro, after setting 'run'",
    ),
    "no digests": ({"dataset": "org/wide", "model": "toy", "revision": A}, "unresolved", "run: aqea-registry pin wide"),
}


@pytest.mark.parametrize("name", RESOLVED)
def test_a_result_is_bound_to_a_pair_set_or_it_is_said_why_not(name: str) -> None:
    entry, wanted, told = RESOLVED[name]
    found = resolve_result(Evaluation(**entry), params(), LOCK)
    assert (found.key if isinstance(found, Resolved) else found.reason) == wanted
    assert told in (found.note if isinstance(found, Resolved) else found.message)
