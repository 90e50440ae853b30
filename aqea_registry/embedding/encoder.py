"""Sentences through a sentence-transformers model, in float64, in batches without padding.

In float64 two arrangements of the same sums (other batches, threads, kernels, attention) differ by some 1e-15; on the
grid of 1e-6 they are the same integers, unless a value lies closer than that to a rounding boundary. Batches hold
sentences of equally many tokens: no padding is computed, and about 512 tokens a batch keep the matrices in cache.

A model may bring its own code, which is run only from pinned files, and only where the catalogue says so. A config that names
it as `owner/name--module.Class` would make transformers fetch it from the Hub: it is read from a view of the folder in which
the name is the local one.
"""

import atexit
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.base.extras import PACKAGES
from aqea_registry.base.files import Limit, read_small, write_bytes
from aqea_registry.project.params import Model
from aqea_registry.vectors.margin import Machine

Precision = Literal["canonical", "float32"]
TOKENS_A_BATCH = 512
WINDOW = 8192  # sentences that are tokenised and sorted at a time


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How to compute. In canonical precision none of this changes a byte; it changes speed and memory.

    `batch` sentences at a time (default: as many as make 512 tokens), processor `threads` (default: torch's own), the
    `attention` implementation (default: the architecture's own), and the torch `device`.
    """

    batch: int | None = None
    threads: int | None = None
    attention: Literal["sdpa", "eager"] | None = None
    device: str = "cpu"


class NoDevice(RuntimeError):
    """The requested device cannot be used."""


class Encoded(NamedTuple):
    """Vectors (len(positions) x the model's dimension, not normalised) of the sentences at `positions`."""

    positions: list[int]
    vectors: npt.NDArray[np.floating]


@cache
def _scratch() -> Path:
    """A folder of this process alone; it goes when the process ends."""
    scratch = Path(tempfile.mkdtemp(prefix="aqea-registry-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return scratch


@contextmanager
def _offline() -> Iterator[None]:
    """Meanwhile what is not in a model's folder does not exist, and its code is run from a folder of this process alone."""
    try:
        import sentence_transformers  # noqa: F401 - `datasets`, which it imports, would stay offline if it were imported later
        from huggingface_hub import constants
        from transformers import dynamic_module_utils as code
    except Exception as error:  # a broken library fails in its own ways
        raise ImportError(str(error)) from error
    before = constants.HF_HUB_OFFLINE, code.HF_MODULES_CACHE
    constants.HF_HUB_OFFLINE, code.HF_MODULES_CACHE = True, str(_scratch() / "modules")
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, code.HF_MODULES_CACHE = before


class Encoder:
    """A model loaded from a folder of checked files, used as its entry of params.yaml allows. Nothing is fetched."""

    @_offline()
    def __init__(self, folder: Path, entry: Model, precision: Precision, settings: Settings) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false" if settings.threads == 1 else "true")
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        from aqea_registry.embedding.float64 import recompute_buffers

        logging.disable_progress_bar()
        if settings.device != "cpu" and not torch.cuda.is_available():
            raise NoDevice(f"no {settings.device} device can be used: torch {torch.__version__} sees none")
        if settings.threads:
            torch.set_num_threads(settings.threads)
        dtype = torch.float32 if precision == "float32" else torch.float64
        chosen = {"attn_implementation": settings.attention} if settings.attention else {}
        if entry.trust_remote_code:
            folder = view_with_local_code(folder, entry.repo, Path(tempfile.mkdtemp(dir=_scratch())))
        else:
            refuse_code(folder)
        self._settings = settings
        self.model: Any = SentenceTransformer(
            str(folder),
            device=settings.device,
            local_files_only=True,
            trust_remote_code=entry.trust_remote_code,
            model_kwargs={"dtype": dtype, "use_safetensors": None if entry.allow_pickle else True, **chosen},
        )
        _refuse_missing_weights(folder, entry)
        if entry.max_tokens:
            self.model.max_seq_length = entry.max_tokens
        self.model.to(dtype).eval()
        self._guard = precision == "canonical"
        if self._guard:
            recompute_buffers(self.model)

    def encode(self, sentences: Sequence[str]) -> Iterator[Encoded]:
        """Yield the vectors of all sentences, batch by batch, in an order that suits the machine."""
        # Characters foretell tokens well enough to keep the padding of a window small.
        order = sorted(range(len(sentences)), key=lambda position: (len(sentences[position]), sentences[position]))
        for start in range(0, len(order), WINDOW):
            yield from self._encode_window(sentences, order[start : start + WINDOW])

    def _encode_window(self, sentences: Sequence[str], window: list[int]) -> Iterator[Encoded]:
        import torch

        with _offline():
            features = self.model.preprocess([sentences[position] for position in window])
        mask = features["attention_mask"].bool()
        lengths = mask.sum(dim=1)
        for length in torch.unique(lengths).tolist():
            rows = torch.nonzero(lengths == length).flatten()
            size = self._settings.batch or max(1, TOKENS_A_BATCH // length)
            for batch in torch.split(rows, size):
                vectors = self._forward(_without_padding(features, mask, batch, length))
                yield Encoded([window[row] for row in batch.tolist()], vectors)

    @_offline()
    def _forward(self, features: dict[str, Any]) -> npt.NDArray[np.floating]:
        import torch

        from aqea_registry.embedding.float64 import Float64

        features = {key: value.to(self._settings.device) if hasattr(value, "to") else value for key, value in features.items()}
        with torch.inference_mode():
            if not self._guard:
                vectors = self.model(features)["sentence_embedding"]
            else:
                with Float64() as guard:
                    vectors = self.model(features)["sentence_embedding"]
                # The guard costs some microseconds an operation. A model that never asked for less can do without it.
                self._guard = guard.requests > 0
        result: npt.NDArray[np.floating] = vectors.cpu().numpy()
        return result


def _refuse_missing_weights(folder: Path, entry: Model) -> None:
    """Raise ValueError if the files lack a weight, but a pooler's: the library fills it with random numbers and logs it."""
    from transformers import AutoModel

    modules = _modules(folder) or [{}]
    inner = folder / str(modules[0].get("path", ""))
    if not (inner / "config.json").is_file() or not str(modules[0].get("type", "Transformer")).endswith("Transformer"):
        return
    allowed = {"trust_remote_code": entry.trust_remote_code, "use_safetensors": None if entry.allow_pickle else True}
    _, loading = AutoModel.from_pretrained(str(inner), dtype="auto", local_files_only=True, output_loading_info=True, **allowed)
    missing = sorted(name for name in loading["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise ValueError(f"the weights lack {', '.join(missing[:3])}{f' and {len(missing) - 3} more' if missing[3:] else ''}")


def _without_padding(features: dict[str, Any], mask: Any, batch: Any, length: int) -> dict[str, Any]:
    """The features of some rows that all have `length` tokens, with the padding cut out on whichever side it is."""
    kept = mask[batch]
    return {
        key: value[batch][kept].view(len(batch), length) if getattr(value, "shape", None) == mask.shape else value
        for key, value in features.items()
    }


def this_machine(device: str) -> Machine:
    """What computes here and now on this device. Imports torch."""
    import torch

    return Machine(
        processor=_processor(),
        architecture=platform.machine(),
        system=platform.system(),
        python=platform.python_version(),
        kernels=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
        device=device if device == "cpu" else torch.cuda.get_device_name(device),
        packages={name: metadata.version(name) for name in PACKAGES},
    )


def _processor() -> str:
    """The processor's name; Linux has it in a file, other systems through platform."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or "unknown"


class CodeRefusedError(ValueError):
    """A model wants code to be run that the catalogue does not trust or that is not pinned with it."""


def refuse_code(folder: Path) -> None:
    """Raise CodeRefusedError if the model names code of its own: transformers would quietly load its own class in its place."""
    for path, config in _configs(folder):
        if config.get("auto_map"):
            raise CodeRefusedError(f"{path.name} names code of its own (auto_map), and the catalogue does not trust it")
    for module in _modules(folder):
        if not (kind := str(module.get("type", ""))).startswith("sentence_transformers."):
            raise CodeRefusedError(f"modules.json names {kind}, and the catalogue does not trust it")


def view_with_local_code(folder: Path, repo: str, parent: Path) -> Path:
    """The folder, or a view of it in `parent`: links, but for configs that name the code in it. Raises CodeRefusedError."""
    changed: dict[Path, bytes] = {}
    for path, config in _configs(folder):
        if isinstance(config.get("auto_map"), dict):
            local = {key: _local(value, repo, folder) for key, value in config["auto_map"].items()}
            if local != config["auto_map"]:
                changed[path] = json.dumps({**config, "auto_map": local}, indent=2).encode()
    if not changed:
        return folder
    view = parent / folder.name
    shutil.copytree(folder, view, copy_function=lambda source, target: Path(target).symlink_to(Path(source).absolute()))
    for path, content in changed.items():
        write_bytes(view / path.relative_to(folder), content)  # in the place of the link
    return view


def _configs(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every JSON object in the folder that may configure something."""
    for path in sorted(folder.rglob("*.json")):
        if isinstance(config := _json(path), dict):
            yield path, config


def _modules(folder: Path) -> list[dict[str, Any]]:
    """What modules.json names, if it is there."""
    path = folder / "modules.json"
    modules = _json(path) if path.is_file() else None
    return [module for module in modules if isinstance(module, dict)] if isinstance(modules, list) else []


def _json(path: Path) -> Any:
    """A document as transformers reads it, which takes NaN and a key twice; None if it is not one. Raises OSError."""
    try:
        return json.loads(read_small(path, Limit.PROJECT))
    except (ValueError, RecursionError):
        return None


def _local(value: Any, repo: str, folder: Path) -> Any:
    if isinstance(value, list):
        return [_local(item, repo, folder) for item in value]
    if not isinstance(value, str):
        return value
    owner, separator, name = value.rpartition("--")
    if separator and owner != repo:
        raise CodeRefusedError(f"its code is in another repository, {owner}, which is not pinned with it")
    if not (folder / f"{name.partition('.')[0]}.py").is_file():
        raise CodeRefusedError(f"its code {name.partition('.')[0]}.py is not among the pinned files")
    return name
