"""Find out which mistake made a pair set, by making it: a few sentences are encoded in every way that is likely.

A cause that gives the other file's vectors is proved, as far as the sample goes. A model is changed in one thing (pooling,
casing, weights) where it is loaded; its files stay.
"""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from aqea_registry.base.findings import RegistryError
from aqea_registry.base.progress import Reporter
from aqea_registry.comparison.diagnosis import Diagnosis, Kind, unit
from aqea_registry.comparison.measures import Compared
from aqea_registry.comparison.pair_files import NamedFile, run_key
from aqea_registry.comparison.verdict import PairSetComparison
from aqea_registry.embedding.encoder import Encoder, Settings
from aqea_registry.generation.inputs import ModelInUse, in_order, load_encoder, pinned_model, pinned_rows
from aqea_registry.project.artefact import CatalogueEntry, PairSetArtefact
from aqea_registry.project.params import GIVEN, Dataset, Model
from aqea_registry.sources.rows import Rows
from aqea_registry.vectors.containers.open_pairs import open_pairs
from aqea_registry.vectors.pair_set import Values

CHANGED, UNCHANGED = 24, 8  # rows that are encoded
FEW = 4  # of them, before all are
PREFIXES = ("", "query: ", "passage: ", "search_query: ", "search_document: ", "clustering: ", "classification: ")
LENGTHS = (16, 32, 64, 128, 256, 512)
POOLINGS = ("cls", "mean", "max", "lasttoken")
HALVES = {"float16": "half", "bfloat16": "bfloat16"}  # and torch's method
SIDES = ("first", "second")


class Cause(NamedTuple):
    """One way in which the sentences may have been encoded. `change_model` makes the mistake in a loaded model."""

    kind: Kind
    description: str
    prefix: str | None = None
    change_text: Callable[[str], str] = str
    change_model: Callable[[Any], None] | None = None
    rows: Rows | None = None
    model: ModelInUse | None = None


AS_PINNED = Cause("everything", "as pinned")


def try_causes(
    run: Mapping[str, PairSetArtefact],
    catalogue: Mapping[str, CatalogueEntry],
    comparison: PairSetComparison,
    compared: Compared,
    files: tuple[NamedFile, NamedFile],
    report: Reporter,
) -> PairSetComparison:
    """The comparison, with a diagnosis `reproduced` in front if a cause gives the differing vectors. Raises CannotCheck."""
    if not comparison.diagnoses or comparison.diagnoses[0].basis == "shown":
        return _noted(comparison, "the numbers alone show the cause; no sentence was encoded")
    key = run_key(run, comparison.before) or run_key(run, comparison.after)
    if key is None or run[key].remark:
        why = run[key].remark if key else "the run has no pair set of this dataset, model and dimension"
        return _noted(comparison, f"no cause was tried: {why}")
    pair = run[key]
    rows = pinned_rows(catalogue[pair.dataset], report)
    if len(rows.scores) != compared.common:
        return _noted(comparison, f"no cause was tried: the pinned {pair.dataset} has {len(rows.scores)} rows")
    chosen = _chosen(compared)
    model = pinned_model(catalogue[pair.model], run.values(), report)
    with report.task(f"load {model.name}", 0, "seconds"):  # torch alone takes some to import
        pinned = _load(model)
    sample = RowEncoder(pair, run, catalogue, model, pinned, rows, chosen, report)
    return _try_all(comparison, compared.bound, [_vectors_at(file, chosen) for file in files], sample, report)


def _try_all(
    comparison: PairSetComparison, bound: float, sides: Sequence[Values], sample: RowEncoder, report: Reporter
) -> PairSetComparison:
    """Find the side that was not encoded as pinned, and the first cause that gives its vectors."""
    count = len(sample.chosen)
    gaps = [_gap(sample.encode(AS_PINNED, count), side) for side in sides]
    target, as_pinned = 1, f"encoded as pinned they give neither file's: {gaps[0]:.1e} and {gaps[1]:.1e} away"
    if min(gaps) <= bound:
        target = int(gaps[0] <= gaps[1])
        as_pinned = f"encoded as pinned they give the {SIDES[1 - target]} file's, within {gaps[1 - target]:.1e}"
    first = [comparison.diagnoses[0].kind, *comparison.diagnoses[0].candidates]  # what the numbers suggest
    causes = sorted(sample.causes(), key=lambda cause: first.index(cause.kind) if cause.kind in first else len(first))
    tried: list[tuple[float, Cause]] = []
    with report.task("try causes", len(causes), "causes") as advance:
        for cause in causes:
            gap = _gap(sample.encode(cause, FEW), sides[target][:FEW])
            if gap <= bound:
                gap = _gap(sample.encode(cause, count), sides[target])
            advance(1)
            if gap <= bound:
                agreed = f"{2 * count} vectors of {count} rows agree within {gap:.1e}"
                message = f"encoding {cause.description} gives the {SIDES[target]} file's vectors"
                diagnosis = Diagnosis(kind=cause.kind, basis="reproduced", message=message, evidence=(agreed, as_pinned))
                return msgspec.structs.replace(comparison, diagnoses=(diagnosis, *comparison.diagnoses))
            if np.isfinite(gap):
                tried.append((gap, cause))
    note = f"{len(tried)} causes were tried, and none gives the {SIDES[target]} file's vectors; {as_pinned}"
    if tried:
        gap, nearest = min(tried, key=lambda attempt: attempt[0])
        note += f"; nearest is encoding {nearest.description}, {gap:.1e} away"
    return _noted(comparison, note)


@dataclass
class RowEncoder:
    """Some rows of a dataset (`chosen`), the model as pinned, and the last other one, as they may be large."""

    artefact: PairSetArtefact
    run: Mapping[str, PairSetArtefact]
    catalogue: Mapping[str, CatalogueEntry]
    model: ModelInUse
    pinned: Encoder
    rows: Rows
    chosen: Sequence[int]
    report: Reporter
    other: tuple[Cause, Encoder] | None = None

    def encode(self, cause: Cause, count: int) -> Values:
        """The first rows' vectors, normalised (count x 2 x dimension)."""
        entry = (cause.model or self.model).entry
        before = entry.prefix_for(self.artefact.dataset_entry.task) if cause.prefix is None else cause.prefix
        texts = [before + cause.change_text(text) for text in self._texts(cause.rows or self.rows, count)]
        vectors = in_order(self._encoder(cause).encode(texts))
        return unit(vectors[:, : entry.dimension].astype(np.float64)).reshape(len(texts) // 2, 2, -1)

    def _texts(self, rows: Rows, count: int) -> list[str]:
        return [text for row in self.chosen[:count] for text in (rows.sentences1[row], rows.sentences2[row])]

    def _encoder(self, cause: Cause) -> Encoder:
        if cause.model is None and cause.change_model is None:
            return self.pinned
        if self.other is None or self.other[0] is not cause:
            self.other = None
            gc.collect()  # models are in reference cycles: a dropped one would stay, at some gigabytes for a large one
            encoder = _load(cause.model) if cause.model else copy.deepcopy(self.pinned)
            if cause.change_model is not None:
                cause.change_model(encoder.model)
            self.other = cause, encoder
        return self.other[1]

    def causes(self) -> Iterator[Cause]:
        """Every way that is tried, the cheap ones first."""
        return chain(self._text_causes(), self._model_causes(), self._of_catalogue())

    def _text_causes(self) -> Iterator[Cause]:
        entry, task = self.model.entry, self.artefact.dataset_entry.task
        before = entry.prefix_for(task)
        known = {named.entry.prefix_for(task) for named in self.catalogue.values() if isinstance(named.entry, Model)}
        for prefix in dict.fromkeys((*PREFIXES, *sorted(known))):
            if prefix != before:
                description = f"with the prefix {prefix!r}" if prefix else f"without the prefix {before!r}"
                yield Cause("prefix", description, prefix=prefix)
        for name, change in (("lower-cased", str.lower), ("upper-cased", str.upper)):
            yield Cause("casing", f"sentences that were {name} before", change_text=change)
        longest = max(len(before + text) for text in self._texts(self.rows, len(self.chosen)))
        for tokens in LENGTHS:
            if tokens != entry.max_tokens and tokens < longest + 2:  # a token has at least one character
                yield Cause(
                    "truncation", f"sentences cut off at {tokens} tokens", change_model=partial(_cut_off, tokens=tokens)
                )

    def _model_causes(self) -> Iterator[Cause]:
        if hasattr(_normaliser(self.pinned.model), "lowercase"):
            yield Cause("casing", "with a tokenizer that treats capitals the other way", change_model=_switch_casing)
        own = next((module.pooling_mode for module in self.pinned.model if hasattr(module, "pooling_mode")), None)
        for name in POOLINGS:
            if own in POOLINGS and own != name:
                yield Cause(
                    "pooling", f"with {name} pooling instead of {own}", change_model=partial(_pool_otherwise, name=name)
                )
        for kind, method in HALVES.items():
            yield Cause("precision", f"with weights in {kind}", change_model=partial(_halve_weights, method=method))

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
                        yield Cause("revision", f"the sentences of {name}", rows=rows)
                elif (
                    isinstance(entry, Model)
                    and name != self.model.name
                    and entry.dimension == dimension
                    and entry.kind != GIVEN
                ):
                    model = pinned_model(named, self.run.values(), self.report, local_only=True)
                    yield Cause("model", f"with the model {name}", model=model)


def _chosen(compared: Compared) -> list[int]:
    """Rows that differ, evenly spread with the worst in front, and some that do not: a cause must leave those alone."""
    changed = compared.changed().any(axis=1)
    worst = int(compared.differences.max(axis=1).argmax())
    differing = [worst, *_spread(np.flatnonzero(changed), CHANGED - 1)]
    return list(dict.fromkeys([*differing, *_spread(np.flatnonzero(~changed), UNCHANGED)]))


def _spread(rows: npt.NDArray[np.integer], count: int) -> list[int]:
    picked: list[int] = rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)].tolist()
    return picked


def _vectors_at(file: NamedFile, chosen: Sequence[int]) -> Values:
    """These rows of a file, normalised (len(chosen) x 2 x dimension)."""
    wanted = {*chosen}
    with open_pairs(*file) as pairs:
        rows = enumerate(zip(*(chain.from_iterable(pairs.blocks(which)) for which in (0, 1)), strict=True))
        vectors = {row: unit(np.stack(pair)) for row, pair in rows if row in wanted}
    return np.stack([vectors[row] for row in chosen])


def _gap(vectors: Values, target: Values) -> float:
    return float(np.abs(vectors - target).max())


def _noted(comparison: PairSetComparison, note: str) -> PairSetComparison:
    return msgspec.structs.replace(comparison, notes=(*comparison.notes, note))


def _load(model: ModelInUse) -> Encoder:
    return load_encoder(model._replace(precision="canonical"), Settings())


def _cut_off(model: Any, tokens: int) -> None:
    model.max_seq_length = tokens


def _switch_casing(model: Any) -> None:
    normaliser = _normaliser(model)
    normaliser.lowercase = not normaliser.lowercase


def _normaliser(model: Any) -> Any:
    return getattr(getattr(model.tokenizer, "backend_tokenizer", None), "normalizer", None)


def _pool_otherwise(model: Any, name: str) -> None:
    for module in model:
        if hasattr(module, "pooling_mode"):
            module.pooling_mode = name


def _halve_weights(model: Any, method: str) -> None:
    """Send its weights through half precision and back, by torch's method of that name."""
    for weights in model.parameters():
        weights.data = getattr(weights.data, method)().to(weights.dtype)
