"""Find out which mistake made a pair set, by making it: a few sentences are encoded in every way that comes into question.

A cause that gives the other file's vectors is proved, as far as the sample goes. What none of them gives stays open.

Views of a model's folder with one thing changed, as somebody may have encoded by mistake: pooling, casing, weights.

Everything else is linked. A view is a model like any other, so the embedding room encodes with it as it always does.
"""

from __future__ import annotations

import gc
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.base.findings import CannotCheck, RegistryError
from aqea_registry.base.progress import Reporter
from aqea_registry.comparison.evidence import Compared, Diagnosis, unit
from aqea_registry.comparison.measures import Values
from aqea_registry.comparison.pair_files import Place, run_key
from aqea_registry.comparison.verdict import PairSetComparison
from aqea_registry.embedding.encoder import Encoder, ModelFiles, Settings
from aqea_registry.embedding.model_folder import _view
from aqea_registry.generation.encode import fetched, pinned_rows
from aqea_registry.project.params import Model
from aqea_registry.project.project import Project
from aqea_registry.sources.rows import Rows
from aqea_registry.vectors.containers.open_pairs import open_pairs

CHANGED, UNCHANGED = 24, 8  # rows that are encoded
FEW = 4  # of them, before all are
PREFIXES = ("", "query: ", "passage: ", "search_query: ", "search_document: ", "clustering: ", "classification: ")
LENGTHS = (16, 32, 64, 128, 256, 512)
# What is tried first, by what the numbers alone suggest.
FIRST = {
    "rows": ("truncation", "casing", "revision"),
    "revision": ("revision", "truncation"),
    "precision": ("precision",),
    "model": ("model",),
}


View = Callable[[Path, Path], Path | None]  # from a model's folder to a changed one in another place


class Cause(NamedTuple):
    """One way in which the sentences may have been encoded.

    `vectors` encodes the rows at these positions of the sample; it gives None where the model cannot be changed that way.
    """

    kind: str
    words: str
    vectors: Callable[[Sequence[int]], Values | None]


def try_causes(
    project: Project, found: PairSetComparison, compared: Compared, places: tuple[Place, Place], report: Reporter
) -> PairSetComparison:
    """The comparison with a diagnosis `reproduced` in front if one of the causes gives the differing vectors.

    What the numbers alone prove is left as it is. Raises CannotCheck without the means to encode, and what `fetch` raises.
    """
    if not found.diagnoses or found.diagnoses[0].basis == "shown":
        return _noted(found, "the numbers alone show the cause; no sentence was encoded")
    key = run_key(project, found.before) or run_key(project, found.after)
    if key is None:
        return _noted(found, "no cause was tried: the run has no pair set of this dataset, model and dimension")
    pair = project.artefacts[key]
    rows = pinned_rows(project, pair.dataset, report)
    if len(rows.scores) != compared.common:
        return _noted(found, f"no cause was tried: the pinned {pair.dataset} has {len(rows.scores)} rows")
    chosen = _chosen(compared)
    sides = [_vectors_at(place, chosen) for place in places]
    with tempfile.TemporaryDirectory(prefix="aqea-causes-") as scratch:
        workshop = _Workshop(project, pair.dataset, pair.model, rows, chosen, Path(scratch), report)
        return _tried(found, compared, sides, workshop, report)


def _tried(
    found: PairSetComparison, compared: Compared, sides: Sequence[Values], workshop: _Workshop, report: Reporter
) -> PairSetComparison:
    everything = range(len(workshop.chosen))
    pinned = workshop.as_pinned(everything)
    gaps = [_gap(pinned, side) for side in sides]
    if min(gaps) <= compared.bound:
        target, other = (1, 0) if gaps[0] <= gaps[1] else (0, 1)
        ground = f"encoded as pinned they give the {('first', 'second')[other]} file's, within {gaps[other]:.1e}"
    else:
        target, ground = 1, f"encoded as pinned they give neither file's: {gaps[0]:.1e} and {gaps[1]:.1e} away"
    name = ("first", "second")[target]
    suggested = found.diagnoses[0]
    first = [*FIRST.get(suggested.kind, ()), *suggested.candidates]
    tried: list[tuple[float, Cause]] = []
    causes = sorted(workshop.causes(), key=lambda cause: first.index(cause.kind) if cause.kind in first else len(first))
    with report.task("try causes", len(causes), "causes") as advance:
        for cause in causes:
            gap = _gap(cause.vectors(everything[:FEW]), sides[target][:FEW])
            gap = _gap(cause.vectors(everything), sides[target]) if gap <= compared.bound else gap
            advance(1)
            if gap <= compared.bound:
                message = f"encoding {cause.words} gives the {name} file's vectors"
                evidence = (f"{2 * len(everything)} vectors of {len(everything)} rows agree within {gap:.1e}", ground)
                diagnosis = Diagnosis(kind=cause.kind, basis="reproduced", message=message, evidence=evidence)
                return msgspec.structs.replace(found, diagnoses=(diagnosis, *found.diagnoses))
            if np.isfinite(gap):
                tried.append((gap, cause))
    nearest = min(tried, key=lambda one: one[0], default=None)
    told = f"{len(tried)} causes were tried, and none gives the {name} file's vectors; {ground}"
    if nearest is not None:
        told += f"; nearest is encoding {nearest[1].words}, {nearest[0]:.1e} away"
    return _noted(found, told)


class _Workshop:
    """The sentences of the sample and everything to encode them with, each model loaded once."""

    def __init__(
        self, project: Project, dataset: str, model: str, rows: Rows, chosen: Sequence[int], scratch: Path, report: Reporter
    ) -> None:
        self._project, self._dataset, self._model = project, dataset, model
        self._rows, self.chosen, self._scratch, self._report = rows, chosen, scratch, report
        self._entry = project.params.models[model]
        self._task = project.params.datasets[dataset].task
        self._folder = fetched(project, model, report)
        self._views: dict[str, Path | None] = {}
        self._loaded: list[tuple[tuple[Path, int | None], Encoder]] = []

    def as_pinned(self, at: Sequence[int]) -> Values:
        """The vectors that the catalogue asks for."""
        return self._encode(self._folder, self._entry, at)

    def causes(self) -> Iterator[Cause]:
        """Every way that is tried, the cheap ones first."""
        before = self._entry.prefix_for(self._task)
        known = {model.prefix_for(self._task) for model in self._project.params.models.values()}
        for prefix in dict.fromkeys((*PREFIXES, *sorted(known))):
            if prefix != before:
                words = f"with the prefix {prefix!r}" if prefix else f"without the prefix {before!r}"
                yield Cause("prefix", words, self._with(before=prefix))
        for name, change in (("lower-cased", str.lower), ("upper-cased", str.upper)):
            yield Cause("casing", f"sentences that were {name} before", self._with(change=change))
        longest = max(len(before + text) for row in self.chosen for text in self._pair(row))
        for tokens in LENGTHS:
            if tokens != self._entry.max_tokens and tokens < longest + 2:  # a token has a character at least
                yield Cause("truncation", f"sentences cut off at {tokens} tokens", self._with(max_tokens=tokens))
        other = self._with(view=("casing", with_other_casing))
        yield Cause("casing", "with a tokenizer that treats capitals the other way", other)
        own = pooling_of(self._folder)
        for name in POOLINGS:
            if own not in (None, name):
                other = self._with(view=(name, lambda folder, place, n=name: with_pooling(folder, place, n)))  # type: ignore[misc]
                yield Cause("pooling", f"with {name} pooling instead of {own}", other)
        for kind in HALVES:
            other = self._with(view=(kind, lambda folder, place, k=kind: with_half_weights(folder, place, k)))  # type: ignore[misc]
            yield Cause("precision", f"with weights in {kind}", other)
        yield from self._revisions()
        yield from self._models()

    def _pair(self, row: int) -> tuple[str, str]:
        return self._rows.sentences1[row], self._rows.sentences2[row]

    def _revisions(self) -> Iterator[Cause]:
        """The same dataset at other revisions, as far as they are pinned and at hand."""
        datasets = self._project.params.datasets
        own = datasets[self._dataset]
        for name, entry in datasets.items():
            if name == self._dataset or (entry.repo, entry.config, entry.split) != (own.repo, own.config, own.split):
                continue
            try:
                rows = pinned_rows(self._project, name, self._report, local_only=True)
            except RegistryError:
                continue
            if len(rows.scores) == len(self._rows.scores):
                yield Cause("revision", f"the sentences of {name}", self._with(rows=rows))

    def _models(self) -> Iterator[Cause]:
        """Other models of the catalogue with this dimension, as far as they are pinned and at hand."""
        for name, entry in self._project.params.models.items():
            if name == self._model or entry.dimension != self._entry.dimension:
                continue
            try:
                folder = fetched(self._project, name, self._report, local_only=True)
            except RegistryError:
                continue
            yield Cause("model", f"with the model {name}", lambda at, f=folder, e=entry: self._encode(f, e, at))  # type: ignore[misc]

    def _with(
        self,
        *,
        view: tuple[str, View] | None = None,
        before: str | None = None,
        change: Callable[[str], str] = str,
        max_tokens: int | None = None,
        rows: Rows | None = None,
    ) -> Callable[[Sequence[int]], Values | None]:
        entry = self._entry if max_tokens is None else msgspec.structs.replace(self._entry, max_tokens=max_tokens)

        def vectors(at: Sequence[int]) -> Values | None:
            folder = self._folder if view is None else self._viewed(*view)
            return None if folder is None else self._encode(folder, entry, at, before=before, change=change, rows=rows)

        return vectors

    def _viewed(self, name: str, make: View) -> Path | None:
        """A changed view of the model, made when it is first wanted."""
        if name not in self._views:
            self._views[name] = make(self._folder, self._scratch / name)
        return self._views[name]

    def _encode(
        self,
        folder: Path,
        entry: Model,
        at: Sequence[int],
        *,
        before: str | None = None,
        change: Callable[[str], str] = str,
        rows: Rows | None = None,
    ) -> Values:
        """The vectors of the sample's rows, normalised (len(at) x 2 x dimension)."""
        prefix = entry.prefix_for(self._task) if before is None else before
        chosen, texts = [self.chosen[position] for position in at], rows or self._rows
        sentences = [prefix + change(text) for row in chosen for text in (texts.sentences1[row], texts.sentences2[row])]
        batches = list(self._encoder(folder, entry).encode(sentences))
        vectors = np.concatenate([batch.vectors for batch in batches])[
            np.argsort([position for batch in batches for position in batch.positions])
        ]
        return unit(vectors[:, : entry.dimension].astype(np.float64)).reshape(len(chosen), 2, -1)

    def _encoder(self, folder: Path, entry: Model) -> Encoder:
        key = (folder, entry.max_tokens)
        found = next((encoder for loaded, encoder in self._loaded if loaded == key), None)
        if found is None:
            files = ModelFiles(
                folder=folder,
                repo=entry.repo,
                max_tokens=entry.max_tokens,
                trust_remote_code=entry.trust_remote_code,
                allow_pickle=entry.allow_pickle,
            )
            try:
                found = Encoder(files, Settings())
            except ImportError as error:
                raise CannotCheck(
                    f"encoding needs {error.name or error}, which is not installed", "pip install 'aqea-registry[generate]'"
                ) from error
            self._loaded = [*self._loaded[:1], (key, found)]  # the model as pinned, and the last other one
            gc.collect()  # models hang in circles: what was let go would stay, at some gigabytes a large one
        return found


def _chosen(compared: Compared) -> list[int]:
    """Rows that differ, evenly spread with the worst in front, and some that do not: a cause must leave those alone."""
    changed = compared.changed().any(axis=1)
    worst = compared.measured.between.worst[1]
    differing = [worst, *_spread(np.flatnonzero(changed), CHANGED - 1)]
    return list(dict.fromkeys([*differing, *_spread(np.flatnonzero(~changed), UNCHANGED)]))


def _spread(rows: npt.NDArray[np.integer], count: int) -> list[int]:
    picked: list[int] = rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)].tolist()
    return picked


def _vectors_at(place: Place, chosen: Sequence[int]) -> Values:
    """These rows of a file, normalised (len(chosen) x 2 x dimension)."""
    found: dict[int, Values] = {}
    wanted = set(chosen)
    with open_pairs(*place) as file:
        start = 0
        for first, second in zip(file.blocks(0), file.blocks(1), strict=True):
            for row in wanted & {*range(start, start + len(first))}:
                found[row] = unit(np.stack([first[row - start], second[row - start]]))
            start += len(first)
    return np.stack([found[row] for row in chosen])


def _gap(vectors: Values | None, target: Values) -> float:
    return float("inf") if vectors is None else float(np.abs(vectors - target).max())


def _noted(found: PairSetComparison, note: str) -> PairSetComparison:
    return msgspec.structs.replace(found, notes=(*found.notes, note))


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
