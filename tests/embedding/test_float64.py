"""Architectures that drop to float32 inside are held in float64: one result for every kernel set and attention."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.tools import ROOT, needed_package, run

needed_package("transformers")

# Small models of each architecture, their weights made by the first process; prints digests on the grid, with the guard and
# without it.
SCRIPT = """
import hashlib, json, pathlib, sys, torch, transformers
from aqea_registry.embedding.float64 import Float64; from aqea_registry.embedding.float64 import recompute_buffers
from aqea_registry.vectors.pair_set import to_grid

def digest(name, attention, guarded):
    sizes = dict(hidden_size=64, num_attention_heads=4, num_hidden_layers=4, intermediate_size=96, vocab_size=100)
    if name == "Qwen2":
        sizes["num_key_value_heads"] = 2
    config = getattr(transformers, name + "Config")(**sizes)
    wanted = {} if attention == "own" else {"attn_implementation": attention}
    model = getattr(transformers, name + "Model")._from_config(config, **wanted)
    weights = pathlib.Path(sys.argv[1], name)
    if not weights.exists():
        torch.save(model.state_dict(), weights)
    model.load_state_dict(torch.load(weights))
    model = model.double().eval()
    ids = torch.arange(10, 90).view(1, 80)
    with torch.inference_mode():
        if guarded:
            recompute_buffers(model)
            with Float64():
                states = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        else:
            states = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    return hashlib.sha256(to_grid(states[0].numpy()).micro.tobytes()).hexdigest()

print(json.dumps({
    name: {str(guarded): [digest(name, attention, guarded) for attention in ("own", "eager")] for guarded in (True, False)}
    for name in ("Bert", "MPNet", "Qwen2")
}))
"""
SSE = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}


def test_one_digest_for_every_kernel_set_and_attention(tmp_path: Path) -> None:
    results = []
    for env in ({}, SSE):
        result = run(sys.executable, "-c", SCRIPT, tmp_path, cwd=ROOT, env=env)
        assert result.status == 0, result.err
        results.append(json.loads(result.out))
    for name in ("Bert", "MPNet", "Qwen2"):
        assert len({digest for result in results for digest in result[name]["True"]}) == 1, name
    # The control: without the guard, float32 inside Qwen2 shows.
    assert len({digest for result in results for digest in result["Qwen2"]["False"]}) > 1
