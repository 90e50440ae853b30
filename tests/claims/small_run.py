"""A project with a run of two datasets under two models, made without a model, and the scores of its pair sets."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from msgspec.structs import asdict

from aqea_registry.base import sha256_list
from aqea_registry.base.strict import render_yaml
from aqea_registry.project.lock import LOCK, Lock, render_lock
from aqea_registry.vectors.pair_set import MICRO, Header
from aqea_registry.vectors.scores import metrics, products
from tests.claims.test_check_claims import pin, pinned
from tests.factories import unit_rows
from tests.pair_sets import Pairs, render

COMMIT = "d" * 40
Scores = dict[str, dict[str, float]]


def make_run(root: Path, *, twice: bool = False) -> Scores:
    """Write the project, and return the scores of its pair sets in percent. With `twice` a third dataset is the first."""
    names = [(dataset, model) for dataset in ("forum", "news", *(["fora"] * twice)) for model in ("minilm", "mpnet")]
    run = {"pairs": {f"{d}-{m}": {"dataset": d, "model": m, "file": f"{d}_{m}_8d"} for d, m in names}, "exports": {}}
    params = {
        "datasets": {
            d: {"kind": "directory", "repo": d.replace("fora", "forum"), "files": ["t"], "sources": ["directory:in"]}
            for d, _ in names[::2]
        },
        "models": {m: {"repo": f"org/all-{m}-v2", "revision": COMMIT, "dimension": 8} for _, m in names[:2]},
        "runs": {"default": run},
        "run": run,
        "publish": {"stores": [], "title": "t"},
    }
    lock = Lock(
        datasets={d: pin("dataset", "a" * 40, {"t": pinned(b"rows")}) for d, _ in names[::2]},
        models={m: pin("model", COMMIT, {"w": pinned(b"w")}) for _, m in names[:2]},
    )
    files, scores = {LOCK: render_lock(lock)}, Scores()
    for seed, (dataset, model) in enumerate(names):
        rng = np.random.default_rng(seed % 4)
        first, other, share = unit_rows(rng, 60, 8), unit_rows(rng, 60, 8), rng.random((60, 1))
        mixed = first * share + other * (1 - share)
        second = np.rint(mixed / np.linalg.norm(mixed, axis=1)[:, None] * MICRO).astype(np.int32)
        human = np.round(5 * np.clip(share[:, 0] + 0.25 * rng.standard_normal(60), 0, 1), 1).tolist()
        human[:2] = 5.0, 0.0
        found = metrics(products([(first, second)]), human)
        header = Header(
            dataset=dataset,
            model=f"org/all-{model}-v2",
            dimension=8,
            n_pairs=60,
            baseline_spearman=found.cos_sim_spearman,
        )
        pairs = Pairs(header=header, embeddings1=first, embeddings2=second, scores=tuple(human))
        files[f"training/data/{dataset}_{model}_8d_pairs.json"] = render(pairs)
        scores[f"{dataset}-{model}"] = {name: 100 * value for name, value in asdict(found).items()}
    listed = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    files |= {"params.yaml": render_yaml(params).encode(), sha256_list.MANIFEST: sha256_list.render(listed)}
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    (root / "manifests/claims").mkdir(exist_ok=True)
    return scores
