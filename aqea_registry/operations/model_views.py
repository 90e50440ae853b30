"""Views of a model's folder with one thing changed, as somebody may have encoded by mistake: pooling, casing, weights.

Everything else is linked. A view is a model like any other, so the embedding room encodes with it as it always does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

POOLINGS = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens", "last": "lasttoken"}
HALVES = ("float16", "bfloat16")


def pooling_of(folder: Path) -> str | None:
    """The name of a model's pooling, as in POOLINGS; None if it has none of these."""
    for path in _pooling_configs(folder):
        config = json.loads(path.read_bytes())
        for name, key in POOLINGS.items():
            if config.get(f"pooling_mode_{key}") is True or config.get("pooling_mode") in (name, key):
                return name
    return None


def with_pooling(folder: Path, place: Path, name: str) -> Path:
    """The model with another pooling."""

    def change(config: dict[str, Any]) -> dict[str, Any]:
        if "pooling_mode" in config:
            return {**config, "pooling_mode": "lasttoken" if name == "last" else name}
        modes = {key: False for key in config if key.startswith("pooling_mode_")}
        return {**config, **modes, f"pooling_mode_{POOLINGS[name]}": True}

    return _view(folder, place, dict.fromkeys(_pooling_configs(folder), change))


def with_other_casing(folder: Path, place: Path) -> Path | None:
    """The model whose tokenizer lower-cases where it did not, or the other way round; None if nothing says which it does."""
    tokenizer, config = folder / "tokenizer.json", folder / "tokenizer_config.json"
    if not tokenizer.is_file() or not config.is_file():
        return None
    normaliser = json.loads(tokenizer.read_bytes()).get("normalizer") or {}
    if normaliser.get("type") != "BertNormalizer":
        return None
    lower = not normaliser["lowercase"]

    def change_tokenizer(value: dict[str, Any]) -> dict[str, Any]:
        return {**value, "normalizer": {**normaliser, "lowercase": lower}}

    return _view(folder, place, {tokenizer: change_tokenizer, config: lambda value: {**value, "do_lower_case": lower}})


def with_half_weights(folder: Path, place: Path, kind: str) -> Path | None:
    """The model whose weights went through half precision; None if they are not safetensors."""
    from safetensors.numpy import load_file, save_file

    weights = sorted(folder.rglob("*.safetensors"))
    if not weights:
        return None
    view = _view(folder, place, {})
    for path in weights:
        target = view / path.relative_to(folder)
        tensors = {name: _halved(tensor, kind) for name, tensor in load_file(path).items()}
        target.unlink()
        save_file(tensors, target, metadata={"format": "pt"})
    return view


def _halved(tensor: Any, kind: str) -> Any:
    if tensor.dtype != np.float32:
        return tensor
    if kind == "float16":
        with np.errstate(over="ignore"):
            return tensor.astype(np.float16).astype(np.float32)
    bits = tensor.view(np.uint32)
    nearest_even = bits + 0x7FFF + (bits >> 16 & 1)
    return (nearest_even & np.uint32(0xFFFF0000)).view(np.float32)


def _pooling_configs(folder: Path) -> Iterator[Path]:
    path = folder / "modules.json"
    for module in json.loads(path.read_bytes()) if path.is_file() else ():
        config = folder / str(module.get("path", "")) / "config.json"
        if str(module.get("type", "")).endswith("Pooling") and config.is_file():
            yield config


def _view(folder: Path, place: Path, changes: dict[Path, Callable[[dict[str, Any]], dict[str, Any]]]) -> Path:
    place.mkdir(parents=True)
    for path in sorted(folder.rglob("*")):
        target = place / path.relative_to(folder)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif path in changes:
            target.write_text(json.dumps(changes[path](json.loads(path.read_bytes()))))
        else:
            target.symlink_to(path.absolute())
    return place
