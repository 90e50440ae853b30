"""A project for runs on a cluster: a pair set under a model whose own code says when it computes, and can be told to err.

Workers find a folder of their node in SIGNAL_FOLDER. While a process is inside the model with several texts, a file is there
with its id as its name. Files with numbers tell it what to do, from pass to pass: `seconds`, how long it takes besides;
`wrong`, what is added to each value; `die`, whether it kills itself. The file `log` gets a line for each pass: process,
beginning, end, and how many texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.servers.hub import HubServer
from tests.standins import CODE, Files, auto_map, sentence, with_config
from tests.tools import aqea

REPO, DATASET, MODEL = "org/signals", "talk", "signals"
PAIRS = "training/data/talk_signals_384d_pairs.json"

LAYERS = '''"""A BERT that says when it computes."""

import os
import time

from transformers import BertModel as Native

from .configuration_bert import BertConfig

FOLDER = os.environ.get("SIGNAL_FOLDER", "")


def told(name):
    try:
        return float(open(os.path.join(FOLDER, name)).read())
    except OSError:
        return 0.0


class BertModel(Native):
    config_class = BertConfig

    def forward(self, input_ids, **options):
        if not FOLDER or len(input_ids) == 1:
            return super().forward(input_ids, **options)
        began, signal = time.time(), os.path.join(FOLDER, str(os.getpid()))
        open(signal, "w").close()
        time.sleep(told("seconds"))
        if told("die"):
            os.kill(os.getpid(), 9)
        found = super().forward(input_ids, **options)
        found.last_hidden_state = found.last_hidden_state + told("wrong")
        os.unlink(signal)
        with open(os.path.join(FOLDER, "log"), "a") as file:
            file.write(f"{os.getpid()} {began} {time.time()} {len(input_ids)}\\n")
        return found
'''


def model(stand_in: Files) -> Files:
    """A stand-in with that code; it needs `trust_remote_code`."""
    code = {**CODE, "bert_layers.py": LAYERS.encode()}
    return with_config(stand_in | code, auto_map=auto_map(), stretch=1.0)


def text(number: int, tail: int) -> str:
    """One of 86,436 texts. `tail` times some words that the model does not see any more make it long."""
    return f"{sentence(number)} {sentence(number // 294)}{' and so on' * tail}"


def put_model(hub: HubServer, stand_in: Files) -> None:
    """Give a Hub the stand-in with that code."""
    hub.store.create("models", REPO)
    hub.store.commit("models", REPO, model(stand_in))


def write_cluster_project(folder: Path, hub: HubServer, *, texts: int, tail: int) -> dict[str, str]:
    """The project, pinned, with so many texts; return what a program needs to reach the Hub."""
    environment = hub.environment(folder.parent / "cache")
    rows = [{"sentence1": text(at, tail), "sentence2": text(at + 1, tail), "score": at % 6} for at in range(0, texts, 2)]
    (folder / "data").mkdir(parents=True)
    (folder / "data/test.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    talk = {"kind": "directory", "repo": "org/talk", "files": ["test.jsonl"], "sources": ["directory:data"]}
    entry = {"repo": REPO, "revision": "main", "dimension": 384, "trust_remote_code": True}
    pairs = {f"{DATASET}-{MODEL}": {"dataset": DATASET, "model": MODEL, "file": f"{DATASET}_{MODEL}_384d"}}
    params = {
        "datasets": {DATASET: talk},
        "models": {MODEL: entry},
        "sources": ["hub"],
        "run": {"pairs": pairs, "exports": {}},
        "publish": {"stores": [], "title": "Test"},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    pinned = aqea("pin", cwd=folder, env=environment)
    assert pinned.status == 0, pinned.err
    return environment


def generated(folder: Path, environment: Mapping[str, str]) -> dict[str, object]:
    """The pair set made now: its digest, and how many texts were encoded for it."""
    made = aqea("generate", DATASET, MODEL, "--json", cwd=folder, env=environment)
    assert made.status == 0, made.err
    return made.json()
