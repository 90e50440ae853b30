"""Models of every kind: cut vectors, code of their own, pickled weights, prefixes, instructions; and no network for any.

What the program makes is compared with what sentence-transformers itself gives in float64.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml

from aqea_registry.embedding.encoder import _offline
from aqea_registry.remote.hub_client import offline
from tests.servers.hub import HubServer
from tests.standins import CODE, KALM, LODESTONE, MODELS, Files, auto_map, lines, rows, with_config
from tests.standins import stand_ins as stand_ins
from tests.tools import Result, aqea, run

pytest.importorskip("huggingface_hub")

MINI, E5 = MODELS["minilm"], MODELS["e5large"]
TALK = rows(2, 10)
SENTENCES = list(dict.fromkeys(row[key] for row in TALK for key in ("sentence1", "sentence2")))
TEMPLATE = "Instruct: {instruction} \n Query: "
INSTRUCTED = "Instruct: Find the {answer}. \n Query: "  # braces in an instruction are only letters
SIZES = (896, 512, 256, 128, 64)
CODED = {"repo": LODESTONE, "dimension": 768, "max_tokens": 4096}
TRUSTED = {**CODED, "trust_remote_code": True}
CATALOGUE: dict[str, dict[str, Any]] = {
    **{f"kalm-{size}": {"dimension": size, **({"full_dimension": 896} if size < 896 else {})} for size in SIZES},
    "untrusted": {**CODED, "revision": "v1.0.0"},
    "trusted": {**TRUSTED, "revision": "v1.0.0"},
    "named": {**TRUSTED, "revision": "named"},
    "foreign": {**TRUSTED, "revision": "foreign"},
    "half-code": {
        **TRUSTED,
        "revision": "v1.0.0",
        "files": ["*.json", "*/*.json", "*.safetensors", "*/*.safetensors", "b*.py"],
    },
    "short": {"repo": MINI, "revision": "main", "dimension": 384, "max_tokens": 4},
    "asking": {"repo": E5, "revision": "main", "dimension": 1024, "prefix": "query: "},
}
for _size in SIZES:
    task = {"instruction_template": TEMPLATE, "instructions": {"retrieval": "Find the {answer}."}}
    CATALOGUE[f"kalm-{_size}"] |= {"repo": KALM, "revision": "main", "max_tokens": 48, **task}

# What sentence-transformers gives, one sentence at a time. Models that ask for float32 inside are answered with float64.
REFERENCE = """
import json, sys
import numpy as np, torch
from sentence_transformers import SentenceTransformer

wanted, lower = json.load(sys.stdin), torch.float32
found = {}
for name, one in wanted.items():
    model = SentenceTransformer(one["folder"], device="cpu", model_kwargs={"dtype": torch.float64}).double()
    model.max_seq_length = one["max_tokens"] or model.max_seq_length
    for module in model.modules():
        if "inv_freq" in dict(module.named_buffers(recurse=False)):
            size = 2 * len(module.inv_freq)
            module.inv_freq = 10000.0 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    torch.float32 = torch.float = torch.float64
    native, torch.Tensor.float = torch.Tensor.float, torch.Tensor.double
    found[name] = np.stack([model.encode(text, normalize_embeddings=False) for text in one["texts"]])
    torch.float32 = torch.float = lower
    torch.Tensor.float = native
    assert found[name].dtype == np.float64
np.savez(sys.argv[1], **found)
"""

Vectors = npt.NDArray[np.float64]


class Shop:
    """A project with every kind of model, and a Hub that has them."""

    def __init__(self, folder: Path, hub: HubServer) -> None:
        self.folder, self.hub, self.cache = folder, hub, folder.parent / "cache"

    def write(self, models: Mapping[str, Mapping[str, Any]], sources: Sequence[str] = ("hub",)) -> None:
        """A catalogue with these models; each is used with both datasets."""
        talk = {"repo": "org/talk", "revision": "main"}
        datasets = {"talk": talk, "search": {**talk, "task": "retrieval"}}
        pairs = {
            f"{data}-{name}": {"dataset": data, "model": name, "file": f"{data}_{name}_{entry['dimension']}d"}
            for data in datasets
            for name, entry in models.items()
        }
        publish = {"stores": [], "title": "Test"}
        params = {
            "datasets": datasets,
            "models": dict(models),
            "runs": {},
            "run": {"pairs": pairs, "exports": {}},
            "publish": publish,
        }
        (self.folder / "params.yaml").write_text(yaml.safe_dump({**params, "sources": list(sources)}))

    def aqea(self, *words: str, status: int = 0, env: Mapping[str, str] | None = None) -> Result:
        result = aqea(*words, cwd=self.folder, env={**self.hub.environment(self.cache), **(env or {})})
        assert result.status == status, result
        return result

    def generate(self, model: str, *words: str, status: int = 0, data: str = "talk", env: Any = None) -> dict[str, Any]:
        return self.aqea("generate", data, model, "--json", *words, status=status, env=env).json()

    def pairs(self, model: str, data: str = "talk") -> Path:
        return next((self.folder / "training/data").glob(f"{data}_{model}_*d_pairs.json"))

    def micro(self, model: str, data: str = "talk") -> dict[str, list[int]]:
        """The vectors of a pair file in micro-units, by sentence (without what stands before it)."""
        value = json.loads(self.pairs(model, data).read_bytes())
        texts = [row[key] for key in ("sentence1", "sentence2") for row in TALK]
        both = zip(texts, value["embeddings1"] + value["embeddings2"], strict=True)
        return {text: [round(number * 1_000_000) for number in vector] for text, vector in both}

    def refused(self, model: str, code: str = "unsafe-model", status: int = 1, **more: Any) -> str:
        """The message of the refusal; none of the set's files was made."""
        value = self.generate(model, status=status, **more)
        assert [finding["code"] for finding in value["findings"]][:1] == [code], value
        assert not list((self.folder / "training").rglob(f"*_{model}_*"))
        message: str = value["error"]["message"]
        return message


@pytest.fixture(scope="module")
def shop(stand_ins: dict[str, Files], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop") / "project"
    folder.mkdir()
    with HubServer(folder.parent / "hub") as hub:
        for name in ("kalm", "minilm", "e5large", "lodestone"):
            hub.store.create("models", MODELS[name])
            hub.store.commit("models", MODELS[name], stand_ins[name])
        hub.store.tag("models", LODESTONE, "v1.0.0")
        for tag, owner in (("named", LODESTONE), ("foreign", "org/elsewhere")):
            config = with_config(stand_ins["lodestone"], auto_map=auto_map(f"{owner}--"))
            hub.store.commit("models", LODESTONE, {"config.json": config["config.json"]})
            hub.store.tag("models", LODESTONE, tag)
        hub.store.create("models", "org/elsewhere")
        hub.store.commit("models", "org/elsewhere", stand_ins["lodestone"])
        hub.store.create("datasets", "org/talk")
        hub.store.commit("datasets", "org/talk", {"test.jsonl": lines(TALK)})
        made = Shop(folder, hub)
        made.write(CATALOGUE)
        made.aqea("pin")
        yield made


@pytest.fixture(scope="module")
def reference(stand_ins: dict[str, Files], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Vectors]:
    """What sentence-transformers itself gives for SENTENCES."""
    folder = tmp_path_factory.mktemp("reference")
    wanted = {}
    for key, name, before, limit in (
        ("kalm", "kalm", "", 48),
        ("kalm instructed", "kalm", INSTRUCTED, 48),
        ("asking", "e5large", "query: ", None),
        ("plain", "e5large", "", None),
        ("short", "minilm", "", 4),
        ("mini", "minilm", "", None),
    ):
        for path, content in stand_ins[name].items():
            (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / path).write_bytes(content)
        texts = [before + text for text in SENTENCES]
        wanted[key] = {"folder": str(folder / name), "texts": texts, "max_tokens": limit}
    (folder / "wanted.json").write_text(json.dumps(wanted))
    script = f'{sys.executable} -c "$0" found.npz < wanted.json'
    done = run("sh", "-c", script, REFERENCE, cwd=folder, env={"HF_HUB_OFFLINE": "1"})
    assert done.status == 0, done.err
    with np.load(folder / "found.npz") as found:
        return {key: found[key] for key in wanted}


def grid(vectors: Vectors, size: int | None = None) -> dict[str, list[int]]:
    """Cut, normalised and rounded, by sentence."""
    cut = vectors[:, :size]
    scaled = np.rint(cut / np.linalg.norm(cut, axis=1, keepdims=True) * 1_000_000)
    return dict(zip(SENTENCES, scaled.astype(int).tolist(), strict=True))


# What a model that was loaded leaves behind


@pytest.mark.parametrize("ends", [None, ValueError])
def test_only_while_it_works_the_encoder_keeps_the_hub_s_client_offline(ends: type[Exception] | None) -> None:
    pytest.importorskip("sentence_transformers")  # torch, which it imports, sets variables
    from huggingface_hub import is_offline_mode
    from transformers import dynamic_module_utils as code

    before, modules = dict(os.environ), code.HF_MODULES_CACHE
    with pytest.raises(ends) if ends else nullcontext(), _offline():
        assert is_offline_mode() and modules != code.HF_MODULES_CACHE
        if ends is not None:
            raise ends
    assert not is_offline_mode() and not offline(), "a release may be sent to the Hub after this"
    assert modules == code.HF_MODULES_CACHE and dict(os.environ) == before


@pytest.mark.rare
def test_datasets_is_not_offline_for_good_if_the_encoder_is_the_first_to_import_it() -> None:
    script = "from aqea_registry.embedding.encoder import _offline as offline\nwith offline(): import sentence_transformers\n"
    script += "from datasets import config; sys.exit(config.HF_HUB_OFFLINE)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{script}"], env={**os.environ, "HF_HUB_OFFLINE": "0"}, check=False
    )
    assert done.returncode == 0


# Matryoshka, limits, and what stands before a sentence


def test_shorter_vectors_are_the_first_components_normalised_again(shop: Shop, reference: dict[str, Vectors]) -> None:
    encoded = {size: shop.generate(f"kalm-{size}")["encoded"] for size in (256, 896, 512, 128, 64)}
    assert encoded == {256: len(SENTENCES), 896: 0, 512: 0, 128: 0, 64: 0}, "one pass serves all sizes"
    for size in SIZES:
        assert shop.micro(f"kalm-{size}") == grid(reference["kalm"], size), size
        value = json.loads(shop.pairs(f"kalm-{size}").read_bytes())
        assert value["dimension"] == size and value["model"] == KALM


def test_another_task_has_its_instruction(shop: Shop, reference: dict[str, Vectors]) -> None:
    made = shop.generate("kalm-64", data="search")
    assert made["encoded"] == len(SENTENCES)
    assert shop.micro("kalm-64", "search") == grid(reference["kalm instructed"], 64) != grid(reference["kalm"], 64)


def test_a_prefix_is_a_part_of_the_sentence(shop: Shop, reference: dict[str, Vectors]) -> None:
    shop.generate("asking")
    assert shop.micro("asking") == grid(reference["asking"]) != grid(reference["plain"])
    assert shop.generate("asking", data="search")["encoded"] == 0, "without an instruction the prefix stands there"


def test_the_limit_of_tokens_is_the_catalogues(shop: Shop, reference: dict[str, Vectors]) -> None:
    shop.generate("short")
    assert shop.micro("short") == grid(reference["short"]) != grid(reference["mini"])


# Code of a repository's own


def test_code_is_refused_unless_the_catalogue_trusts_it(shop: Shop, tmp_path: Path) -> None:
    seen = {"STAND_IN_LOADED": str(tmp_path / "seen")}
    assert "does not trust" in shop.refused("untrusted", env=seen)
    assert "org/elsewhere" in shop.refused("foreign", env=seen)
    assert "configuration_bert.py" in shop.refused("half-code", env=seen)
    assert not (tmp_path / "seen").exists(), "none of it was run"


def test_trusted_code_is_run_from_the_pinned_files(shop: Shop, tmp_path: Path) -> None:
    seen = {"STAND_IN_LOADED": str(tmp_path / "seen")}
    shop.generate("trusted", env=seen)
    lock = json.loads((shop.folder / "manifests/pins.json").read_bytes())["models"]
    pinned = {path: file["sha256"] for path, file in lock["trusted"]["files"].items() if path.endswith(".py")}
    assert pinned == {path: hashlib.sha256(content).hexdigest() for path, content in CODE.items()}
    assert not any(path.endswith(".py") for path in lock["untrusted"]["files"])

    shop.generate("named", env=seen)
    assert shop.pairs("named").read_bytes() == shop.pairs("trusted").read_bytes()
    loaded = (tmp_path / "seen").read_text().split()
    assert len(loaded) >= 2 and not any(str(shop.cache) in path for path in loaded)
    assert len({Path(path).parts[:3] for path in loaded}) == 2, "each process has a copy of its own"
    assert not any(Path(path).exists() for path in loaded), "which goes with it"


def test_code_with_another_byte_is_refused(shop: Shop) -> None:
    lock = json.loads((shop.folder / "manifests/pins.json").read_bytes())["models"]["trusted"]
    commit, files = lock["commit"], lock["files"]
    held = [path for path in (shop.folder / ".aqea/pinned").rglob("bert_layers.py") if "half" not in path.as_posix()]
    other = CODE["bert_layers.py"].replace(b".sin()", b".cos()")
    assert len(other) == len(CODE["bert_layers.py"])
    shutil.rmtree(shop.folder / "training", ignore_errors=True)
    for path in held:
        path.write_bytes(other)
    shop.hub.store.put("models", LODESTONE, commit, "bert_layers.py", other)
    try:
        message = shop.refused("trusted", "mismatch")
        assert "bert_layers.py" in message and files["bert_layers.py"]["sha256"] in message
        shop.hub.offline()
        assert "bert_layers.py" in shop.aqea("generate", "talk", "trusted", status=3).err
    finally:
        shop.hub.online()
        shop.hub.store.put("models", LODESTONE, commit, "bert_layers.py", CODE["bert_layers.py"])
    shop.generate("trusted")
    assert {path.read_bytes() for path in held if path.parent.name.endswith(digest_of(files))} <= {CODE["bert_layers.py"]}


def test_generation_needs_no_network(shop: Shop) -> None:
    """A config that names its code as the Hub's own is the one that makes transformers ask for it."""
    if run("unshare", "--net", "true", cwd=shop.folder).status != 0:
        pytest.skip("this machine does not let a process leave the network")
    shop.generate("named")
    before = shop.pairs("named").read_bytes()
    words = ("unshare", "--net", "aqea-registry", "generate", "talk", "named", "--fresh", "--json")
    result = run(*words, cwd=shop.folder, env=shop.hub.environment(shop.cache))
    assert result.status == 0, result.err
    assert result.json()["encoded"] == len(SENTENCES)
    assert shop.pairs("named").read_bytes() == before


def test_only_the_pinned_files_lie_where_a_model_is_loaded_from(shop: Shop) -> None:
    """A library takes what it finds: a file that somebody put beside the checked ones would change the vectors."""
    shop.generate("asking")
    pinned = json.loads((shop.folder / "manifests/pins.json").read_bytes())["models"]["asking"]["files"]
    folder = shop.folder / ".aqea/pinned" / f"{E5.partition('/')[2]}-{digest_of(pinned)}"
    (folder / "adapter_config.json").write_text("{}")
    shop.generate("asking")
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == set(pinned)


# Pickled weights


@pytest.fixture(scope="module")
def pickles(shop: Shop, stand_ins: dict[str, Files]) -> dict[str, dict[str, Any]]:
    """Entries for revisions of one repository: as it is, with pickles alone, and with a pickle for its largest part."""
    import torch
    from safetensors.torch import load

    def pickled(weights: bytes) -> bytes:
        buffer = io.BytesIO()
        torch.save(load(weights), buffer)
        return buffer.getvalue()

    names = {"model.safetensors": "pytorch_model.bin", "2_Dense/model.safetensors": "2_Dense/pytorch_model.bin"}
    store, files = shop.hub.store, {**stand_ins["minilm"]}
    store.tag("models", MINI, "safe")
    for tag, (path, other) in zip(("half-pickled", "pickled"), names.items(), strict=True):
        store.commit("models", MINI, {other: pickled(files[path])})
        store.commit_entries("models", MINI, {path: None}, message="Remove")
        store.tag("models", MINI, tag)
    store.commit("models", MINI, {"model.safetensors": files["model.safetensors"]})
    store.tag("models", MINI, "dense-pickled")
    entry = {"repo": MINI, "dimension": 384}
    return {
        "safe": {**entry, "revision": "safe"},
        "half": {**entry, "revision": "half-pickled"},
        "none": {**entry, "revision": "pickled"},
        "allowed": {**entry, "revision": "pickled", "allow_pickle": True},
        "dense": {**entry, "revision": "dense-pickled", "allow_pickle": True},
    }


def test_pickled_weights_are_refused_unless_the_catalogue_allows_them(
    shop: Shop, pickles: dict[str, dict[str, Any]], reference: dict[str, Vectors]
) -> None:
    shop.write({**CATALOGUE, **pickles})
    try:
        for name in ("none", "half"):  # the second part of the latter is safe
            refused = shop.aqea("pin", name, "--json", status=1).json()
            assert [(one["code"], one["subject"]) for one in refused["findings"]] == [("unsafe-model", name)]
            assert "pytorch_model.bin" in refused["error"]["message"] and "allow_pickle" in refused["error"]["hint"]
        assert "pytorch_model.bin" not in (shop.folder / "manifests/pins.json").read_text("utf-8")
        shop.aqea("pin", "allowed")
        pinned = json.loads((shop.folder / "manifests/pins.json").read_bytes())["models"]["allowed"]["files"]
        assert {path for path in pinned if path.endswith(".bin")} == {"pytorch_model.bin", "2_Dense/pytorch_model.bin"}
        shop.generate("allowed")
        assert shop.micro("allowed") == grid(reference["mini"])
        shop.aqea("pin", "dense")
        later = {name: {**pickles[name], "allow_pickle": False} for name in ("allowed", "dense")}
        shop.write({**CATALOGUE, **pickles, **later})
        shutil.rmtree(shop.folder / "training")
        for name in later:  # pinned while they were allowed, and whether or not vectors are kept
            assert "can run any code" in shop.refused(name)
    finally:
        shop.write(CATALOGUE)


def digest_of(files: Mapping[str, Mapping[str, str]]) -> str:
    """The end of the name of the folder that holds these files."""
    text = "".join(f"{file['sha256']}  {path}\n" for path, file in sorted(files.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
