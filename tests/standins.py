"""Small models and datasets in the form of the report's, and a Hub that has them.

The models have the architectures of the real ones, random weights from fixed seeds, and the real ones' dimensions, so that the
names of files stay. They are folders as sentence-transformers reads them. The sentences are our own.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.servers.hub import HubServer
from tests.tools import edit_params, made_once, needed_package

Files = dict[str, bytes]

LODESTONE = "Hum-Works/lodestone-base-4096-v1"
KALM = "HIT-TMG/KaLM-embedding-multilingual-mini-instruct-v1"
MODELS = {
    "e5large": "intfloat/e5-large-v2",
    "mpnet": "sentence-transformers/all-mpnet-base-v2",
    "minilm": "sentence-transformers/all-MiniLM-L6-v2",
    "lodestone": LODESTONE,
    "kalm": KALM,
}
STSB, STS = "mteb/stsbenchmark-sts", tuple(f"mteb/sts{year}-sts" for year in (12, 13, 14, 15, 16))
STS17, STS22, TABLES = "mteb/sts17-crosslingual-sts", "mteb/sts22-crosslingual-sts", "mteb/tables-sts"

# Sentences

PEOPLE = ("A farmer", "The old teacher", "My neighbour", "A young doctor", "The baker", "Nobody", "A tall woman")
DEEDS = ("sells", "paints", "is looking for", "repairs", "forgot", "dreams of", "never eats")
THINGS = ("a red bicycle", "fresh bread", "the wooden boat", "two apples", "a letter to the mayor", "the garden wall")
OTHERS = {
    "de": ("Ein Hund schläft unter dem Tisch.", "Das Brot ist noch warm.", "Keiner las den Brief.", "Zwei Boote warten."),
    "ko": ("개가 상 아래에서 잔다.", "빵이 아직 따뜻하다.", "아무도 편지를 읽지 않았다.", "배 두 척이 기다린다."),
    "ar": ("ينام كلب تحت الطاولة.", "ما زال الخبز دافئا.", "لم يقرأ أحد الرسالة.", "ينتظر قاربان."),
    "zh": ("一只狗睡在桌子下面。", "面包还是热的。", "没有人读过那封信。", "两条船在等。"),
}


def sentence(number: int, language: str = "en") -> str:
    """One of 294 English sentences, or one of the few in another language."""
    if language != "en":
        return OTHERS[language][number % 4]
    return f"{PEOPLE[number % 7]} {DEEDS[number // 7 % 7]} {THINGS[number // 49 % 6]}."


def rows(seed: int, count: int, languages: tuple[str, str] = ("en", "en"), limits: tuple[int, int] = (0, 5)) -> list[Any]:
    """Rows of a test set. Neighbouring seeds share sentences; a score grows with the words that two sentences share."""
    made = []
    for at in range(count):
        numbers = (seed * 5 + at * 9) % 90, (seed * 5 + at * 23 + at % 3) % 90
        first, second = (sentence(number, language) for number, language in zip(numbers, languages, strict=True))
        shared = len({*first.split()} & {*second.split()}) / 8
        score = limits[0] + (limits[1] - limits[0]) * min(1.0, shared + at % 4 / 20)
        made.append({"sentence1": first, "sentence2": second, "score": round(score, 3)})
    return made


def lines(values: Iterable[Any]) -> bytes:
    """JSON lines."""
    return "".join(f"{json.dumps(value, ensure_ascii=False)}\n" for value in values).encode()


def zipped(values: Iterable[Any]) -> bytes:
    """JSON lines, gzipped without a clock."""
    return gzip.compress(lines(values), mtime=0)


def table(values: list[Any]) -> bytes:
    """A Parquet file with these rows and a column that nobody asked for."""
    import pyarrow
    from pyarrow import parquet

    buffer = BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist([{"split": "test", **value} for value in values]), buffer)
    return buffer.getvalue()


CARD = b"---\nlicense: cc-by-4.0\nlanguage: [en]\n---\n# A test set\n"
TABLES_CARD = b"""---
license: mit
configs:
- config_name: plain
  data_files:
  - {split: train, path: data/train-*.parquet}
  - {split: test, path: data/test-*.parquet}
- config_name: short
  data_files:
  - split: test
    path: [short/one.parquet]
---
"""


def datasets() -> dict[str, Files]:
    """Repositories in the forms that the mteb ones have: one gzipped file, one a config, one a folder a config, Parquet."""
    return {
        STSB: {"README.md": CARD, "test.jsonl.gz": zipped(rows(0, 24)), "train.jsonl.gz": zipped(rows(9, 3))},
        **{repo: {"README.md": CARD, "test.jsonl.gz": zipped(rows(seed, 12 + seed))} for seed, repo in enumerate(STS, 1)},
        STS17: {
            "README.md": CARD,
            "test/en-de.jsonl.gz": zipped(rows(2, 10, ("en", "de"))),
            "test/en-en.jsonl.gz": zipped(rows(2, 10)),
            "test/ko-ko.jsonl.gz": zipped(rows(3, 10, ("ko", "ko"))),
            "test/ar-ar.jsonl.gz": zipped(rows(4, 10, ("ar", "ar"))),
        },
        STS22: {
            "README.md": CARD,
            "en/test.jsonl": lines(rows(5, 10, limits=(1, 4))),
            "en/train.jsonl": lines(rows(6, 4, limits=(1, 4))),
            "zh-en/test.jsonl": lines(rows(7, 10, ("zh", "en"), (1, 4))),
        },
        TABLES: {
            "README.md": TABLES_CARD,
            "data/train-00000-of-00001.parquet": table(rows(8, 4)),
            "data/test-00000-of-00002.parquet": table(rows(8, 7)),
            "data/test-00001-of-00002.parquet": table(rows(9, 5)),
            "short/one.parquet": table(rows(7, 6)),
        },
    }


# Models

CONFIGURATION = '''"""The configuration of a BERT whose last layer is stretched."""

from transformers import BertConfig as Native


class BertConfig(Native):
    def __init__(self, stretch=1.0, **words):
        super().__init__(**words)
        self.stretch = stretch
'''
LAYERS = '''"""A BERT whose last layer is stretched. It says where it was loaded from, so that a test can see it."""

import os

from transformers import BertModel as Native

from .configuration_bert import BertConfig

if "STAND_IN_LOADED" in os.environ:
    with open(os.environ["STAND_IN_LOADED"], "a") as file:
        file.write(os.path.realpath(__file__) + "\\n")


class BertModel(Native):
    config_class = BertConfig

    def forward(self, *words, **options):
        found = super().forward(*words, **options)
        found.last_hidden_state = (found.last_hidden_state * self.config.stretch).sin()
        return found
'''
CODE = {"configuration_bert.py": CONFIGURATION.encode(), "bert_layers.py": LAYERS.encode()}


def auto_map(prefix: str = "") -> dict[str, str]:
    """Where a config says its code stands; `prefix` is `owner/name--`, as the Hub's own tools write it."""
    return {"AutoConfig": f"{prefix}configuration_bert.BertConfig", "AutoModel": f"{prefix}bert_layers.BertModel"}


def with_config(files: Mapping[str, bytes], **changes: Any) -> Files:
    """The files with other values in config.json."""
    return {**files, "config.json": json.dumps({**json.loads(files["config.json"]), **changes}, indent=2).encode()}


def models(folder: Path) -> dict[str, Files]:
    """The stand-in of each model of the catalogue, by name. `folder` is for work in progress."""
    import torch
    import transformers as t

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    small = {**sizes, "max_position_embeddings": 64, "initializer_range": 0.2}
    words = vocabulary(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    marked = vocabulary(("<s>", "<pad>", "</s>", "[UNK]", "<mask>"))
    letters = {letter: at for at, letter in enumerate(_letters())}
    bert = t.BertConfig(vocab_size=len(words), **small)
    mpnet = t.MPNetConfig(vocab_size=len(marked), pad_token_id=1, bos_token_id=0, eos_token_id=2, **small)
    qwen = t.Qwen2Config(
        **{**small, "hidden_size": 896, "num_hidden_layers": 1, "num_key_value_heads": 1, "head_dim": 16},
        vocab_size=len(letters) + 1,
    )
    long = t.BertConfig(vocab_size=len(words), **{**small, "max_position_embeddings": 4096})
    made = {
        "e5large": (t.BertModel, bert, t.BertTokenizer(vocab=words), 1024),
        "mpnet": (t.MPNetModel, mpnet, t.MPNetTokenizer(vocab=marked), 768),
        "minilm": (t.BertModel, bert, t.BertTokenizer(vocab=words), 384),
        "lodestone": (t.BertModel, long, t.BertTokenizer(vocab=words), 768),
        "kalm": (t.Qwen2Model, qwen, t.Qwen2Tokenizer(vocab={**letters, "<|endoftext|>": len(letters)}, merges=[]), None),
    }
    found = {}
    for seed, (name, (architecture, config, tokenizer, width)) in enumerate(made.items()):
        torch.manual_seed(seed)
        tokenizer.model_max_length = config.max_position_embeddings
        found[name] = saved_model(folder / name, architecture(config), tokenizer, width)
    found["lodestone"] = with_config(found["lodestone"] | CODE, auto_map=auto_map(), stretch=3.0)
    return found


def saved_model(folder: Path, model: Any, tokenizer: Any, width: int | None) -> Files:
    """The folder of a sentence-transformers model: transformer, mean pooling, and a layer that widens it to `width`."""
    import torch
    from safetensors.torch import save

    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    size = model.config.hidden_size
    pooling = {"word_embedding_dimension": size, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), *([("2_Dense", "Dense")] if width else [])]
    modules = [
        {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for at, (path, kind) in enumerate(kinds)
    ]
    values = {
        "modules.json": modules,
        "1_Pooling/config.json": pooling,
        "config_sentence_transformers.json": {"__version__": {"sentence_transformers": "2.2.2"}},
        "sentence_bert_config.json": {"max_seq_length": model.config.max_position_embeddings, "do_lower_case": False},
        "special_tokens_map.json": tokenizer.special_tokens_map,
    }
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    files |= {path: json.dumps(value, indent=2).encode() for path, value in values.items()}
    files["vocab.txt"] = "".join(f"{word}\n" for word in sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)).encode()
    files["README.md"] = b"---\nlicense: apache-2.0\n---\n# A stand-in\n"
    files["pytorch_model.bin"] = b"a pickle that nobody should read"
    if width:
        activation = "torch.nn.modules.linear.Identity"
        dense = {"in_features": size, "out_features": width, "bias": True, "activation_function": activation}
        files["2_Dense/config.json"] = json.dumps(dense).encode()
        files["2_Dense/model.safetensors"] = save(
            {"linear.weight": torch.randn(width, size), "linear.bias": torch.randn(width) / 9}
        )
    return files


def _texts() -> list[str]:
    return [*PEOPLE, *DEEDS, *THINGS, *(text for texts in OTHERS.values() for text in texts), "query: .,"]


def vocabulary(special: tuple[str, ...]) -> dict[str, int]:
    """A WordPiece vocabulary: special tokens, whole words, and every letter, alone and inside a word."""
    words = sorted({word for text in _texts() for word in text.lower().replace(":", " ").split()})
    inner = sorted({letter for text in _texts() for letter in text.lower()} - {" "})
    pieces = dict.fromkeys([*special, *inner, *(f"##{letter}" for letter in inner), *words[::2]])
    return {piece: at for at, piece in enumerate(pieces)}


def _letters() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


# A Hub that has them, and projects that use it


def fill(hub: HubServer, stand_ins: Mapping[str, Files]) -> dict[str, str]:
    """Put models and datasets on a Hub; return the commit of each repository."""
    commits = {}
    for kind, contents in (("models", {MODELS[name]: files for name, files in stand_ins.items()}), ("datasets", datasets())):
        for repo, files in contents.items():
            hub.store.create(kind, repo)
            commits[repo] = hub.store.commit(kind, repo, files)
    hub.store.tag("models", LODESTONE, "v1.0.0")
    return commits


def use_hub(project: Path, commits: Mapping[str, str], run: Mapping[str, tuple[str, str]] | str) -> None:
    """Let a project's catalogue name the Hub's commits, and let it run these pair sets, or the run of this name."""

    def change(params: dict[str, Any]) -> None:
        params["sources"] = ["cache", "hub"]
        for entry in (*params["datasets"].values(), *params["models"].values()):
            if commit := commits.get(entry["repo"]):
                for field in ("sources", "files"):  # a stand-in has other files than the package that has MiniLM
                    entry.pop(field, None)
                entry.update({"commit": commit} if "commit" in entry else {"revision": commit})
        if isinstance(run, str):
            params["run"] = params["runs"][run]
            return
        pairs = {}
        for key, (dataset, model) in run.items():
            stem = f"{dataset}_{model}_{params['models'][model]['dimension']}d"
            pairs[key] = {"dataset": dataset, "model": model, "file": stem}
        params["run"] = {"pairs": pairs, "exports": {}}

    edit_params(project, change)


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    """All stand-ins, made once for all modules and workers."""
    needed_package("transformers")

    def make(folder: Path) -> None:
        for name, files in models(tmp_path_factory.mktemp("models")).items():
            for path, content in files.items():
                (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / name / path).write_bytes(content)

    made = made_once(tmp_path_factory, "stand_ins", make)
    found = {name: made / name for name in MODELS}
    return {
        name: {path.relative_to(at).as_posix(): path.read_bytes() for path in sorted(at.rglob("*")) if path.is_file()}
        for name, at in found.items()
    }


@pytest.fixture(scope="session")
def hub(stand_ins: dict[str, Files], tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A Hub with all stand-ins. Tests share it: who takes it offline brings it back."""
    with HubServer(tmp_path_factory.mktemp("hub")) as server:
        fill(server, stand_ins)
        yield server
