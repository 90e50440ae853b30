"""Find out which mistake made a pair set, by making it: a few sentences are encoded in every way that is likely.

A cause that gives the other file's vectors is proved, as far as the sample goes. Models are changed in one thing each
(pooling, casing, weights) as linked views of their folders, so the encoder loads them as any other.
"""

from __future__ import annotations

import gc
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.base.findings import RegistryError
from aqea_registry.base.progress import Reporter
from aqea_registry.comparison.evidence import Compared, Diagnosis, Kind, unit
from aqea_registry.comparison.pair_files import NamedFile, run_key
from aqea_registry.comparison.verdict import PairSetComparison
from aqea_registry.embedding.encoder import Encoder, Settings, linked_view
from aqea_registry.generation.encoding import ModelInUse, in_order, load_encoder, pinned_model
from aqea_registry.generation.inputs import pinned_rows
from aqea_registry.project.artefact import CatalogueEntry, RunArtefact
from aqea_registry.project.params import GIVEN, Dataset, Model
from aqea_registry.sources.rows import Rows
from aqea_registry.vectors.containers.open_pairs import open_pairs
from aqea_registry.vectors.pair_set import Values

CHANGED, UNCHANGED = 24, 8  # rows that are encoded
FEW = 4  # of them, before all are
PREFIXES = ("", "query: ", "passage: ", "search_query: ", "search_document: ", "clustering: ", "classification: ")
LENGTHS = (16, 32, 64, 128, 256, 512)
POOLINGS = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens", "last": "lasttoken"}
HALVES = ("float16", "bfloat16")
SIDES = ("first", "second")


class Cause(NamedTuple):
    """One way in which the sentences may have been encoded: `way` are the arguments of `RowEncoder.encode`."""

    kind: Kind
    description: str
    way: Mapping[str, Any]


class View(NamedTuple):
    """A changed model: `make` takes its folder and a new one, and gives None if it cannot be changed that way."""

    name: str
    make: Callable[[Path, Path], Path | None]


def try_causes(
    run: Mapping[str, RunArtefact],
    catalogue: Mapping[str, CatalogueEntry],
    found: PairSetComparison,
    compared: Compared,
    files: tuple[NamedFile, NamedFile],
    report: Reporter,
) -> PairSetComparison:
    """The comparison, with a diagnosis `reproduced` in front if a cause gives the differing vectors. Raises CannotCheck."""
    if not found.diagnoses or found.diagnoses[0].basis == "shown":
        return _noted(found, "the numbers alone show the cause; no sentence was encoded")
    key = run_key(run, found.before) or run_key(run, found.after)
    if key is None or run[key].remark:
        why = run[key].remark if key else "the run has no pair set of this dataset, model and dimension"
        return _noted(found, f"no cause was tried: {why}")
    pair = run[key]
    rows = pinned_rows(catalogue[pair.dataset], report)
    if len(rows.scores) != compared.common:
        return _noted(found, f"no cause was tried: the pinned {pair.dataset} has {len(rows.scores)} rows")
    chosen = _chosen(compared)
    vectors = [_vectors_at(file, chosen) for file in files]
    with tempfile.TemporaryDirectory(prefix="aqea-causes-") as scratch:
        model = pinned_model(catalogue[pair.model], run.values(), report)
        sample = RowEncoder(pair, run, catalogue, model, rows, chosen, Path(scratch), report)
        return _try_all(found, compared.bound, vectors, sample, report)


def _try_all(
    found: PairSetComparison, bound: float, sides: Sequence[Values], sample: RowEncoder, report: Reporter
) -> PairSetComparison:
    """Find the side that was not encoded as pinned, and the first cause that gives its vectors."""
    everything = range(len(sample.chosen))
    with report.task(f"load {sample.model.name}", 0, "seconds"):  # torch alone takes some to import
        gaps = [_gap(sample.encode(everything), side) for side in sides]
    target = int(gaps[0] <= gaps[1]) if min(gaps) <= bound else 1
    if min(gaps) <= bound:
        as_pinned = f"encoded as pinned they give the {SIDES[1 - target]} file's, within {gaps[1 - target]:.1e}"
    else:
        as_pinned = f"encoded as pinned they give neither file's: {gaps[0]:.1e} and {gaps[1]:.1e} away"
    first = [found.diagnoses[0].kind, *found.diagnoses[0].candidates]  # what the numbers suggest
    causes = sorted(sample.causes(), key=lambda cause: first.index(cause.kind) if cause.kind in first else len(first))
    tried: list[tuple[float, Cause]] = []
    with report.task("try causes", len(causes), "causes") as advance:
        for cause in causes:
            gap = _gap(sample.encode(everything[:FEW], **cause.way), sides[target][:FEW])
            if gap <= bound:
                gap = _gap(sample.encode(everything, **cause.way), sides[target])
            advance(1)
            if gap <= bound:
                agreed = f"{2 * len(everything)} vectors of {len(everything)} rows agree within {gap:.1e}"
                message = f"encoding {cause.description} gives the {SIDES[target]} file's vectors"
                diagnosis = Diagnosis(kind=cause.kind, basis="reproduced", message=message, evidence=(agreed, as_pinned))
                return msgspec.structs.replace(found, diagnoses=(diagnosis, *found.diagnoses))
            if np.isfinite(gap):
                tried.append((gap, cause))
    note = f"{len(tried)} causes were tried, and none gives the {SIDES[target]} file's vectors; {as_pinned}"
    if tried:
        gap, nearest = min(tried, key=lambda attempt: attempt[0])
        note += f"; nearest is encoding {nearest.description}, {gap:.1e} away"
    return _noted(found, note)


@dataclass
class RowEncoder:
    """Some rows of a dataset (`chosen`), and the models that encode them, each loaded once."""

    artefact: RunArtefact
    run: Mapping[str, RunArtefact]
    catalogue: Mapping[str, CatalogueEntry]
    model: ModelInUse
    rows: Rows
    chosen: Sequence[int]
    scratch: Path
    report: Reporter
    views: dict[str, Path | None] = field(default_factory=dict)
    loaded: list[tuple[tuple[Path, int | None], Encoder]] = field(default_factory=list)

    def encode(
        self,
        positions: Sequence[int],
        *,
        model: ModelInUse | None = None,
        view: View | None = None,
        prefix: str | None = None,
        change: Callable[[str], str] = str,
        max_tokens: int | None = None,
        rows: Rows | None = None,
    ) -> Values | None:
        """The vectors of rows of the sample, normalised (len(positions) x 2 x dimension); None for an impossible view."""
        use, texts = model or self.model, rows or self.rows
        if view is not None:
            if view.name not in self.views:
                self.views[view.name] = view.make(use.folder, self.scratch / view.name)
            if (folder := self.views[view.name]) is None:
                return None
            use = use._replace(folder=folder)
        if max_tokens is not None:
            use = use._replace(entry=msgspec.structs.replace(use.entry, max_tokens=max_tokens))
        before = use.entry.prefix_for(self.artefact.dataset_entry.task) if prefix is None else prefix
        chosen = [self.chosen[position] for position in positions]
        sentences = [before + change(text) for row in chosen for text in (texts.sentences1[row], texts.sentences2[row])]
        vectors = in_order(self._encoder(use).encode(sentences))
        return unit(vectors[:, : use.entry.dimension].astype(np.float64)).reshape(len(chosen), 2, -1)

    def _encoder(self, model: ModelInUse) -> Encoder:
        key = (model.folder, model.entry.max_tokens)
        encoder = next((encoder for loaded, encoder in self.loaded if loaded == key), None)
        if encoder is None:
            encoder = load_encoder(model._replace(precision="canonical"), Settings())
            self.loaded = [*self.loaded[:1], (key, encoder)]  # the model as pinned, and the last other one
            gc.collect()  # models are in reference cycles: a dropped one would stay, at some gigabytes for a large one
        return encoder

    def causes(self) -> Iterator[Cause]:
        """Every way that is tried, the cheap ones first."""
        return chain(self._text_causes(), self._view_causes(), self._of_catalogue())

    def _text_causes(self) -> Iterator[Cause]:
        entry, task = self.model.entry, self.artefact.dataset_entry.task
        before = entry.prefix_for(task)
        models = (named.entry for named in self.catalogue.values())
        known = {model.prefix_for(task) for model in models if isinstance(model, Model)}
        for prefix in dict.fromkeys((*PREFIXES, *sorted(known))):
            if prefix != before:
                description = f"with the prefix {prefix!r}" if prefix else f"without the prefix {before!r}"
                yield Cause("prefix", description, {"prefix": prefix})
        for name, change in (("lower-cased", str.lower), ("upper-cased", str.upper)):
            yield Cause("casing", f"sentences that were {name} before", {"change": change})
        texts = (text for row in self.chosen for text in (self.rows.sentences1[row], self.rows.sentences2[row]))
        longest = max(len(before + text) for text in texts)
        for tokens in LENGTHS:
            if tokens != entry.max_tokens and tokens < longest + 2:  # a token has at least one character
                yield Cause("truncation", f"sentences cut off at {tokens} tokens", {"max_tokens": tokens})

    def _view_causes(self) -> Iterator[Cause]:
        view = View("casing", with_other_casing)
        yield Cause("casing", "with a tokenizer that treats capitals the other way", {"view": view})
        own = pooling_of(self.model.folder)
        for name in POOLINGS:
            if own not in (None, name):
                view = View(name, partial(with_pooling, name=name))
                yield Cause("pooling", f"with {name} pooling instead of {own}", {"view": view})
        for kind in HALVES:
            yield Cause("precision", f"with weights in {kind}", {"view": View(kind, partial(with_half_weights, kind=kind))})

    def _of_catalogue(self) -> Iterator[Cause]:
        """The dataset at other revisions, and other models of this dimension, as far as they are pinned and on this machine."""
        rows_of = attrgetter("repo", "config", "split_name")
        own, dimension = rows_of(self.artefact.dataset_entry), self.model.entry.dimension
        for name, named in self.catalogue.items():
            entry = named.entry
            with suppress(RegistryError):
                if isinstance(entry, Dataset) and name != self.artefact.dataset and rows_of(entry) == own:
                    rows = pinned_rows(named, self.report, local_only=True)
                    if len(rows.scores) == len(self.rows.scores):
                        yield Cause("revision", f"the sentences of {name}", {"rows": rows})
                elif isinstance(entry, Model) and name != self.model.name and entry.dimension == dimension:
                    if entry.kind == GIVEN:
                        continue
                    model = pinned_model(named, self.run.values(), self.report, local_only=True)
                    yield Cause("model", f"with the model {name}", {"model": model})


def _chosen(compared: Compared) -> list[int]:
    """Rows that differ, evenly spread with the worst in front, and some that do not: a cause must leave those alone."""
    changed = compared.changed().any(axis=1)
    worst = compared.measured.between.worst[1]
    differing = [worst, *_spread(np.flatnonzero(changed), CHANGED - 1)]
    return list(dict.fromkeys([*differing, *_spread(np.flatnonzero(~changed), UNCHANGED)]))


def _spread(rows: npt.NDArray[np.integer], count: int) -> list[int]:
    picked: list[int] = rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)].tolist()
    return picked


def _vectors_at(path: NamedFile, chosen: Sequence[int]) -> Values:
    """These rows of a file, normalised (len(chosen) x 2 x dimension)."""
    vectors: dict[int, Values] = {}
    wanted = set(chosen)
    with open_pairs(*path) as file:
        start = 0
        for first, second in zip(file.blocks(0), file.blocks(1), strict=True):
            for row in wanted & {*range(start, start + len(first))}:
                vectors[row] = unit(np.stack([first[row - start], second[row - start]]))
            start += len(first)
    return np.stack([vectors[row] for row in chosen])


def _gap(vectors: Values | None, target: Values) -> float:
    return float("inf") if vectors is None else float(np.abs(vectors - target).max())


def _noted(found: PairSetComparison, note: str) -> PairSetComparison:
    return msgspec.structs.replace(found, notes=(*found.notes, note))


def pooling_of(folder: Path) -> str | None:
    """The name of a model's pooling, as in POOLINGS; None if it has none of these."""
    for config in _pooling_configs(folder).values():
        for name, key in POOLINGS.items():
            if config.get(f"pooling_mode_{key}") is True or config.get("pooling_mode") in (name, key):
                return name
    return None


def with_pooling(folder: Path, view: Path, name: str) -> Path:
    """The model with another pooling."""

    def change(config: dict[str, Any]) -> dict[str, Any]:
        if "pooling_mode" in config:
            return {**config, "pooling_mode": "lasttoken" if name == "last" else name}
        modes = {key: False for key in config if key.startswith("pooling_mode_")}
        return {**config, **modes, f"pooling_mode_{POOLINGS[name]}": True}

    configs = _pooling_configs(folder)
    return linked_view(folder, view, {path: json.dumps(change(config)).encode() for path, config in configs.items()})


def with_other_casing(folder: Path, view: Path) -> Path | None:
    """The model whose tokenizer lower-cases where it did not, or the other way round; None if nothing says which it does."""
    paths = folder / "tokenizer.json", folder / "tokenizer_config.json"
    if not all(path.is_file() for path in paths):
        return None
    tokenizer, config = (json.loads(path.read_bytes()) for path in paths)
    normaliser = tokenizer.get("normalizer") or {}
    if normaliser.get("type") != "BertNormalizer":
        return None
    lower = not normaliser["lowercase"]
    changed = {**tokenizer, "normalizer": {**normaliser, "lowercase": lower}}, {**config, "do_lower_case": lower}
    return linked_view(folder, view, {path: json.dumps(value).encode() for path, value in zip(paths, changed, strict=True)})


def with_half_weights(folder: Path, view: Path, kind: str) -> Path | None:
    """The model whose weights went through half precision; None if they are not safetensors."""
    from safetensors.numpy import load_file, save_file

    weights = sorted(folder.rglob("*.safetensors"))
    if not weights:
        return None
    linked_view(folder, view, {})
    for path in weights:  # one after the other: they may be large
        target = view / path.relative_to(folder)
        target.unlink()
        save_file({name: _halved(tensor, kind) for name, tensor in load_file(path).items()}, target, metadata={"format": "pt"})
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


def _pooling_configs(folder: Path) -> dict[Path, dict[str, Any]]:
    path = folder / "modules.json"
    modules = json.loads(path.read_bytes()) if path.is_file() else ()
    poolings = (module for module in modules if str(module.get("type", "")).endswith("Pooling"))
    paths = (folder / str(module.get("path", "")) / "config.json" for module in poolings)
    return {path: json.loads(path.read_bytes()) for path in paths if path.is_file()}
