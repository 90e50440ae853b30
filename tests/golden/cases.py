"""The project of 0.1.0, forty ways to break it, and the commands that are run over each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.tools import ROOT

SOURCE = ROOT / "tests/data/0.1.0"
PAIRS = "training/data/weather_minilm_384d_pairs.json"
OTHER = "training/data/travel_minilm_384d_pairs.json"
BENCHMARK = "training/data/weather_minilm_384d_benchmark.json"
EMBEDDINGS = "training/data/travel_minilm_384d_embeddings.json"
METRICS = "metrics/weather-minilm.json"
VIEW = "views/weather-minilm.parquet"
MANIFEST = "manifests/MANIFEST.sha256"
SIZES = "manifests/MANIFEST.sizes"
PINS = "manifests/pins.json"
LEDGER = "manifests/claims/paper.yaml"
STATEMENT = "attestations/weather-minilm.intoto.json"
RECEIPT = "releases/receipts/v1.json"
RELEASE = "8ca1595e21e49992285b979c4eb9bc49e1fe28f81d2387a5b3224ee272a6773b"

Change = Callable[[Path], object]


def _replace(path: str, old: str, new: str) -> Change:
    def change(project: Path) -> None:
        text = (project / path).read_text()
        assert old in text, (path, old)
        (project / path).write_text(text.replace(old, new, 1))

    return change


def _append(path: str, content: bytes) -> Change:
    return lambda project: (project / path).write_bytes((project / path).read_bytes() + content)


def _put(path: str, content: bytes) -> Change:
    def change(project: Path) -> None:
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_bytes(content)

    return change


def _remove(path: str) -> Change:
    return lambda project: (project / path).unlink()


def _edit_json(path: str, edit: Callable[[Any], object]) -> Change:
    def change(project: Path) -> None:
        value = json.loads((project / path).read_text())
        edit(value)
        (project / path).write_text(json.dumps(value, indent=2) + "\n")

    return change


def _blob(project: Path, path: str) -> Path:
    """Where the layout has the bytes of a path of the release."""
    manifest = json.loads((project / "releases/blobs/sha256" / RELEASE).read_bytes())
    layers = {layer["annotations"]["org.opencontainers.image.title"]: layer["digest"] for layer in manifest["layers"]}
    return project / "releases/blobs/sha256" / str(layers[path]).removeprefix("sha256:")


def _change_blob(project: Path) -> None:
    blob = _blob(project, "metrics/weather-minilm.json")
    blob.write_bytes(blob.read_bytes().replace(b"0.78", b"0.87"))


BROKEN: dict[str, Change] = {
    "sound": lambda project: None,
    "pair-file-longer": _append(PAIRS, b" "),
    "pair-file-missing": _remove(PAIRS),
    "pair-file-one-digit": _replace(PAIRS, "0.06", "0.07"),
    "pair-file-truncated": lambda project: os.truncate(project / PAIRS, 20_000),
    "pair-file-other-model": _replace(PAIRS, "all-MiniLM-L6-v2", "all-MiniLM-L7-v2"),
    "pair-file-wrong-baseline": _replace(PAIRS, "0.7832167832167832", "0.7832167832167833"),
    "pair-file-of-the-other-set": lambda project: shutil.copy(project / OTHER, project / PAIRS),
    "metrics-edited": _replace(METRICS, "0.7832167832167832", "0.7932167832167832"),
    "metrics-missing": _remove(METRICS),
    "benchmark-edited": _replace(BENCHMARK, '"n_pairs": 12', '"n_pairs": 13'),
    "embeddings-missing": _remove(EMBEDDINGS),
    "view-longer": _append(VIEW, b"\0"),
    "view-missing": _remove(VIEW),
    "extra-file": _put("training/data/extra.json", b"{}"),
    "extra-metrics": _put("metrics/extra.json", b"{}"),
    "manifest-missing": _remove(MANIFEST),
    "manifest-unsafe-path": _append(MANIFEST, b"0" * 64 + b"  ../outside\n"),
    "manifest-line-twice": lambda project: _append(MANIFEST, (project / MANIFEST).read_bytes().splitlines()[0] + b"\n")(
        project
    ),
    "manifest-another-digest": _append(MANIFEST, b"0" * 64 + b"  " + METRICS.encode() + b"\n"),
    "manifest-crlf": lambda project: (project / MANIFEST).write_bytes(
        (project / MANIFEST).read_bytes().replace(b"\n", b"\r\n")
    ),
    "sizes-wrong": _replace(SIZES, "324", "325"),
    "pins-digest-edited": _replace(PINS, "61f166e3", "61f166e4"),
    "pins-commit-edited": _replace(PINS, "8b3219a9", "8b3219a8"),
    "pins-missing": _remove(PINS),
    "pins-malformed": _put(PINS, b"{"),
    "pins-lack-a-dataset": _edit_json(PINS, lambda value: value["datasets"].pop("travel")),
    "rows-edited": _replace("data/weather/test.jsonl", "Heavy rain", "Light rain"),
    "rows-missing": _remove("data/weather/test.jsonl"),
    "params-licence": _replace("params.yaml", "licence: cc0-1.0", "licence: mit"),
    "params-unknown-field": _replace("params.yaml", "repo: data/weather", "repositry: data/weather"),
    "params-not-yaml": _append("params.yaml", b"datasets: [\n"),
    "params-missing": _remove("params.yaml"),
    "params-float32": _replace("params.yaml", "precision: canonical", "precision: float32"),
    "params-run-grew": _replace(
        "params.yaml", "    exports:\n", "      again: {dataset: weather, model: minilm, file: again_384d}\n    exports:\n"
    ),
    "dvc-lock-missing": _remove("dvc.lock"),
    "dvc-lock-malformed": _put("dvc.lock", b"stages: [\n"),
    "dvc-lock-other-md5": _replace("dvc.lock", "md5: ", "md5: 0"),
    "ledger-value-edited": _replace(LEDGER, 'value: "72.19"', 'value: "72.91"'),
    "ledger-malformed": _append(LEDGER, b"- {id: [}\n"),
    "ledger-circle": _replace(LEDGER, 'derived: "mean([weather.spearman], ', 'derived: "mean([mean.spearman], '),
    "document-edited": _replace("paper.md", "graded once", "graded twice"),
    "document-missing": _remove("paper.md"),
    "statement-other-bytes": _edit_json(STATEMENT, lambda value: value["subject"][0]["digest"].update(sha256="0" * 64)),
    "receipt-other-digest": _replace(RECEIPT, RELEASE, "0" * 64),
    "layout-blob-changed": _change_blob,
    "layout-blob-missing": lambda project: _blob(project, "README.md").unlink(),
    "layout-tag-gone": _replace("releases/index.json", '"v1"', '"v0"'),
}

# Commands that change nothing, then those that write, in an order in which one may rest on another.
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("verify",),
    ("verify", "manifests/MANIFEST.sha256"),
    ("verify", "data"),
    ("verify", "elsewhere"),
    ("verify", "--remote"),
    ("verify", "oci:releases:v1"),
    ("verify", "oci:releases:v1", "--deep"),
    ("verify", "oci:releases:v9"),
    ("pin", "--check"),
    ("claims", "check"),
    ("claims", "check", "paper"),
    ("claims", "lint", "paper.md", "card.md"),
    ("claims", "export", "--format", "json"),
    ("claims", "export", "--format", "latex"),
    ("claims", "export", "--format", "model-index"),
    ("trace", "weather-minilm#cos_sim_spearman"),
    ("trace", "paper:mean.spearman"),
    ("trace", "v1"),
    ("trace", "minilm"),
    ("trace", "nothing-of-this-name"),
    ("compare", PAIRS, OTHER),
    ("compare", PAIRS, VIEW),
    ("compare", "metrics", "plots"),
    ("compare", "oci:releases:v1", "oci:releases:v1"),
    ("publish", "--tag", "v2", "--to", "oci:fresh", "--dry-run"),
    ("publish", "--tag", "not a tag"),
    ("generate", "weather", "mpnet"),
    ("generate", "stsb", "minilm"),
    ("package", "--to", "package"),
    ("verify", "package"),
    ("publish", "--tag", "v2", "--to", "oci:fresh"),
    ("publish", "--tag", "v2", "--to", "oci:fresh"),
    ("verify", "oci:fresh:v2"),
    ("compare", "oci:releases:v1", "oci:fresh:v2"),
    ("mark", "--tag", "v2", "--to", "oci:fresh", "--withdrawn", "--reason", "an example"),
    ("pull", "oci:releases:v1", "--to", "pulled"),
    ("verify", "pulled"),
    ("confirm", "oci:fresh:v2"),
    ("report",),
    ("export", PAIRS, "--format", "benchmark"),
    ("export", PAIRS, "--format", "embeddings"),
    ("export", PAIRS, "--format", "parquet"),
    ("export", PAIRS, "--format", "aqed"),
    ("claims", "import", "card.md"),
    ("manifest",),
    ("verify",),
    ("pin", "--commits-only"),
    ("pin", "weather"),
)


def make_project(folder: Path) -> None:
    """A copy of the project in a repository of its own, whose commit is always the same."""
    shutil.copytree(SOURCE, folder)
    at = "2026-02-03T04:05:06Z"
    identity = {f"GIT_{who}_{what}": "golden" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **identity, "GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at}
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "The project of 0.1.0")):
        subprocess.run(["git", "-c", "core.autocrlf=false", *words], cwd=folder, env=environment, check=True)
