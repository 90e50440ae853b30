"""What `init` writes into a folder, and what names and numbers of data and models say about them. Pure."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from aqea_registry.base.findings import BadConfiguration
from aqea_registry.base.strict import render_yaml
from aqea_registry.project.params import WRITTEN

IGNORED = {
    ".gitignore": "/.aqea/ /.venv/ /attestations/ /hf_package/ /releases/ /report.html /views/*.aqed __pycache__/ .*.part",
    ".dvcignore": ".aqea .gitignore .venv .*.part __pycache__ releases hf_package views/*.aqed",
}
DIGESTED = "*.cff *.csv *.html *.json *.jsonl *.md *.svg *.tex *.tsv *.txt *.yaml MANIFEST.*"  # git converts no line ends there
LISTS = {name: paths.split() for name, paths in IGNORED.items()}  # files that may have other lines as well
LISTS[".gitattributes"] = [f"{names} -text" for names in DIGESTED.split()]
HOOK = "{id: aqea, name: unclaimed numbers, entry: aqea-registry claims lint, language: system, types_or: [markdown, tex]}"
HOOKS = f"repos:\n  - repo: local\n    hooks:\n      - {HOOK}\n"
READ_BY_STAGES = {"versions": msgspec.to_builtins(WRITTEN), "precision": "canonical"}  # keys that dvc.yaml names
EXAMPLE = {"kind": "directory", "repo": "example", "files": ["test.jsonl"], "sources": ["directory:data/example"]}
SIDES = ("sentence", "sent", "text", "s", "question", "input")
COLUMNS = {
    "sentence1": [*(f"{side}{n}" for side in SIDES for n in "1a"), "premise", "anchor", "query"],
    "sentence2": [*(f"{side}{n}" for side in SIDES for n in "2b"), "hypothesis", "positive", "document"],
    "score": ["score", "similarity", "similarityscore", "goldscore", "relatedness", "gold", "rating", "label"],
}
RANGES = [(0.0, 1.0), (0.0, 5.0), (1.0, 5.0), (0.0, 4.0), (1.0, 4.0), (-1.0, 1.0), (0.0, 10.0), (1.0, 10.0), (0.0, 100.0)]
SIZES = ("hidden_size", "d_model", "dim", "n_embd")  # what kinds of transformers call the size of a vector
Entries = dict[str, dict[str, Any]]  # as params.yaml has them


def pairs_of(datasets: Iterable[str], models: Entries) -> dict[str, dict[str, str]]:
    """Every dataset under every model, as a run has them. Raises BadConfiguration."""
    named = [(f"{data}-{model}", data, model, entry["dimension"]) for data in datasets for model, entry in models.items()]
    if len({key for key, *_ in named}) < len(named):
        raise BadConfiguration("two pair sets would have one name", "give a dataset or a model another name")
    return {key: {"dataset": data, "model": model, "file": f"{data}_{model}_{size}d"} for key, data, model, size in named}


def params_text(datasets: Entries, models: Entries, title: str, licence: str) -> str:
    """params.yaml with what has no default, and with what dvc.yaml reads."""
    made = pairs_of(datasets, models)
    vectors = {key: named for key, named in made.items() if "mteb" in datasets[named["dataset"]]}
    pairs = {key: named for key, named in made.items() if key not in vectors}
    run = {"pairs": pairs, "exports": {}} | ({"vectors": vectors} if vectors else {})
    return "\n".join(
        [
            "# The catalogue: the datasets and models of the paper. `aqea-registry pin` fixes each in manifests/pins.json.",
            render_yaml({"datasets": datasets}),
            render_yaml({"models": models}),
            "# What `dvc repro` makes, in which versions of its formats; canonical vectors are the same on every machine.",
            render_yaml({"run": run, **READ_BY_STAGES}),
            "# The licence of what is published, as the Hub names it: cc-by-4.0, mit, ...",
            render_yaml({"publish": {"title": title, "licence": licence, "stores": ["oci:releases"]}}),
        ]
    )


def with_lines(content: str, wanted: Iterable[str]) -> str:
    """A list with the lines that it lacks added at its end."""
    missing = [line for line in wanted if line not in content.splitlines()]
    return "\n".join([content.removesuffix("\n"), *missing, ""]).lstrip("\n") if missing else content


def columns_of(names: Sequence[str], where: str) -> dict[str, str]:
    """Which columns hold the sentences and the score, by their usual names. Raises BadConfiguration."""
    plain = {re.sub("[^a-z0-9]", "", name.lower()): name for name in reversed(names)}
    columns = {kind: next((plain[name] for name in known if name in plain), "") for kind, known in COLUMNS.items()}
    if missing := [kind for kind, name in columns.items() if not name]:
        message = f"{where}: no column looks like {' or '.join(missing)}; it has {', '.join(map(repr, names)) or 'no rows'}"
        raise BadConfiguration(message, "call the columns sentence1, sentence2 and score, and run this again")
    return columns


def range_of(least: float, most: float) -> tuple[float, float]:
    """The scale of scores: a usual one whose two ends they reach, else the first usual one that has room for them."""
    fitting = [ends for ends in RANGES if ends[0] <= least and most <= ends[1]]
    exact = [ends for ends in fitting if ends == (least, most)]
    return next(iter(exact + fitting), (float(math.floor(least)), float(math.ceil(most))))


def dimension_of(configs: Mapping[str, Any]) -> int | None:
    """The number of components of a model's vectors, from its JSON files by path; None if they do not say it."""
    base = configs.get("config.json", {})
    size: object = next((base[key] for key in SIZES if key in base), None)
    for module in configs.get("modules.json", ()):
        config, kind = configs.get(f"{module['path']}/config.json", {}), module["type"].rpartition(".")[2]
        if kind == "Pooling":
            size = config.get("word_embedding_dimension", config.get("embedding_dimension", size))
            modes = sum(value is True for key, value in config.items() if key.startswith("pooling_mode_"))
            size = size * max(modes, 1) if isinstance(size, int) else None
        elif kind == "Dense":
            size = config.get("out_features")
    return size if isinstance(size, int) else None
