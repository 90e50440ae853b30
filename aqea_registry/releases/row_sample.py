"""A random sample of a release's rows, made again by the pinned model from the pinned sentences and compared bit by bit.

Which rows are drawn follows from a salt: the release's digest and a seed that is chosen later, so that nobody who makes a
release knows them, and whoever knows the seed draws the same ones. Only `make_again` has effects.
"""

import heapq
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import chain, groupby
from math import ceil, prod
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from aqea_registry.base.files import open_regular
from aqea_registry.base.findings import Finding, Refused, RegistryError
from aqea_registry.base.progress import Reporter
from aqea_registry.embedding.encoder import Settings
from aqea_registry.generation.encoding import Vectors
from aqea_registry.generation.inputs import pinned_model, pinned_rows
from aqea_registry.generation.mteb_scores import AllTexts
from aqea_registry.generation.vector_sets import opened_task, score, vectors_of
from aqea_registry.project.artefact import AnyArtefact, Artefact, CatalogueEntry, PairSetArtefact, VectorSetArtefact
from aqea_registry.project.params import WRITTEN, Versions
from aqea_registry.releases.layout import Opened
from aqea_registry.releases.pull import check_room
from aqea_registry.vectors.containers import pair_json
from aqea_registry.vectors.pair_set import MICRO, Micro
from aqea_registry.vectors.vector_set import VectorSet, keys_of

ELSEWHERE = "make room, or name a folder on another disk: TMPDIR=DIR"
SHARE, DOUBT = 0.01, 0.05  # of wrong rows what the answer is about, and the chance of missing them that is accepted


class RowSample(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that were made again, `encoded` of the `population` of all rows of their pair sets.

    `missed` is the chance that no wrong row was drawn if one in a hundred of the population were wrong; if as many as the share
    `excluded` were, that chance would be below one in twenty.
    """

    population: int
    encoded: int
    identical: int
    missed: float
    excluded: float

    def text(self) -> str:
        """For people."""
        text = f"{self.identical} of {self.encoded} rows identical" if self.encoded else "no row could be made again"
        if self.identical < self.encoded or not self.encoded:
            return text
        chance = f"p < {DOUBT}" if self.missed < DOUBT else f"p = {self.missed:.2f}"
        text += f": if {SHARE:.0%} of rows were wrong, this would have missed it with {chance}"
        return f"{text}; with 95 % confidence fewer than {self.excluded:.2%} of {self.population} are"


def draw(salt: str, count: int, sizes: Mapping[str, int]) -> dict[str, list[int]]:
    """Rows of these pair sets (key to number of rows), none twice: those with the least sha256 of `SALT KEY ROW`."""
    names = ((key, row) for key, size in sizes.items() for row in range(size))
    chosen = heapq.nsmallest(count, names, key=lambda name: sha256(f"{salt} {name[0]} {name[1]}".encode()).digest())
    return {key: [row for _, row in rows] for key, rows in groupby(sorted(chosen), key=lambda name: name[0])}


def chance_of_missing(population: int, wrong: int, drawn: int) -> float:
    """The chance that none of the wrong rows is among those that are drawn, none twice."""
    few, many = sorted((wrong, drawn))
    return prod(max(0, population - many - step) / (population - step) for step in range(few))


def sampled(population: int, encoded: int, identical: int) -> RowSample:
    """What follows from a sample."""
    missed = chance_of_missing(population, ceil(SHARE * population), encoded)
    least = bisect_left(range(population), True, key=lambda wrong: chance_of_missing(population, wrong, encoded) < DOUBT)
    excluded = least / population if population else 1.0
    return RowSample(population=population, encoded=encoded, identical=identical, missed=missed, excluded=excluded)


def why_not(artefact: Artefact, versions: Versions) -> str | None:
    """Why a stranger cannot make rows of an artefact again, if so."""
    if versions.vectors != WRITTEN.vectors:
        return f"its vectors are of version {versions.vectors}, and this program makes version {WRITTEN.vectors}"
    if artefact.precision == "given":
        return artefact.remark
    if artefact.precision != "canonical":
        return "its vectors are float32, which differ from machine to machine"
    if artefact.model_entry.trust_remote_code or artefact.model_entry.allow_pickle:
        return "its model runs code of its own, which is not done for a stranger's release; confirm does it, in a project"
    return None


class _Drawn(NamedTuple):
    """Rows of an artefact: their texts as the model sees them, the first of all pairs before the second of any; and scores."""

    artefact: AnyArtefact
    rows: Sequence[int]
    texts: Sequence[str]
    scores: Sequence[float]


def make_again(
    opened: Opened, drawn: Mapping[str, Sequence[int]], sizes: Mapping[str, int], report: Reporter
) -> tuple[dict[str, list[Finding]], dict[str, RegistryError]]:
    """By artefact, what is wrong with the drawn rows, each a finding; and why those of others could not be encoded.

    Vectors are kept below the root of the catalogue's entries, which must have none yet, and nowhere else.
    """
    findings, errors = dict[str, list[Finding]](), dict[str, RegistryError]()
    catalogue, artefacts = opened.catalogue, opened.made
    by_model = sorted((artefacts[key].model, key) for key in drawn)
    for model, keys in groupby(by_model, key=lambda pair: pair[0]):
        wanted = list[_Drawn]()
        for _, key in keys:
            try:
                wanted.append(_wanted(catalogue[artefacts[key].dataset], artefacts[key], drawn[key], sizes[key], report))
            except RegistryError as error:
                errors[key] = error
        if not wanted:
            continue
        texts = chain.from_iterable(rows.texts for rows in wanted)
        try:
            pin = artefacts[wanted[0].artefact.key].required_pins()[1]
            check_room(catalogue[model].root, sum(file.size for file in pin.files.values()), ELSEWHERE, model)
            loaded = pinned_model(catalogue[model], artefacts.values(), report)
            vectors = Vectors(loaded, Settings(), report, label=f"encode with {model}", fresh=False)
            vectors.compute(texts)
        except RegistryError as error:
            errors |= {rows.artefact.key: error for rows in wanted}
            continue
        for rows in wanted:
            path = catalogue[model].root / rows.artefact.file
            try:
                vectors.use_decided(catalogue[model].root, rows.artefact)
                made = np.concatenate([*vectors.blocks(keys_of(rows.texts))])
                findings[rows.artefact.key] = [*_differences(path, rows, made)]
            except Refused as error:
                errors[rows.artefact.key] = error
    return findings, errors


def _wanted(entry: CatalogueEntry, artefact: AnyArtefact, rows: Sequence[int], size: int, report: Reporter) -> _Drawn:
    if isinstance(artefact, VectorSetArtefact):
        return _Drawn(artefact, rows, _texts(entry, artefact, rows, report), [])
    dataset = pinned_rows(entry, report)
    if (count := len(dataset.scores)) != size:
        message = "the pinned dataset has another number of rows"
        raise Refused.of("mismatch", f"{artefact.file}: n_pairs", message, str(count), str(size))
    prefix = artefact.model_entry.prefix_for(artefact.dataset_entry.task)
    texts = [prefix + side[row] for side in (dataset.sentences1, dataset.sentences2) for row in rows]
    return _Drawn(artefact, rows, texts, [dataset.scores[row] for row in rows])


def _texts(entry: CatalogueEntry, artefact: VectorSetArtefact, rows: Sequence[int], report: Reporter) -> list[str]:
    """The texts of these rows of a vector set, which its task has."""
    vectors = VectorSet(entry.root / artefact.file)
    texts = dict.fromkeys(vectors.keys[[*rows]].tolist(), "")

    def seen(some: Sequence[str]) -> Micro:
        keys = keys_of(some)
        texts.update((key, text) for key, text in zip(keys.tolist(), some, strict=True) if key in texts)
        return vectors_of(vectors, artefact, some)

    with opened_task(entry, report) as task:
        score(task, artefact, seen, AllTexts)
    return [*texts.values()]


def _differences(path: Path, wanted: _Drawn, made: Micro) -> Iterator[Finding]:
    """A finding for each row of a pair file or text of a vector set that is another one, with the first number that is."""
    compare = _of_pairs if isinstance(wanted.artefact, PairSetArtefact) else _of_texts
    for what, numbers in compare(path, wanted, made):
        if numbers:
            where, expected, actual = numbers[0]
            message = f"made again from the pinned model and data, {what} has {len(numbers)} other numbers"
            yield Finding("mismatch", f"{wanted.artefact.file}: {where}", message, expected, actual)


Numbers = list[tuple[str, str, str]]  # where each is, what was made again, and what was released


def _of_texts(path: Path, wanted: _Drawn, made: Micro) -> Iterator[tuple[str, Numbers]]:
    keys = keys_of(wanted.texts)
    for key, again, released in zip(keys.view("V32"), made, VectorSet(path).lookup(keys), strict=True):
        yield "the vector", _others(key.tobytes().hex(), again, released)


def _of_pairs(path: Path, wanted: _Drawn, made: Micro) -> Iterator[tuple[str, Numbers]]:
    position, numbers = {row: at for at, row in enumerate(wanted.rows)}, defaultdict[int, Numbers](list)
    with open_regular(path) as file:
        pairs = pair_json.read(file)
        for which, key in enumerate(pair_json.MATRICES):
            half = made[which * len(position) :]
            for row, released in enumerate(chain.from_iterable(pairs.blocks(which))):
                if row in position:
                    numbers[row] += _others(f"{key}[{row}]", half[position[row]], released)
    for row, again in zip(wanted.rows, wanted.scores, strict=True):
        if pairs.scores[row] != again:
            numbers[row].append((f"scores[{row}]", repr(again), repr(pairs.scores[row])))
    return ((f"row {row}", numbers[row]) for row in wanted.rows)


def _others(where: str, again: Micro, released: Micro) -> Numbers:
    """The numbers of a vector that are other ones."""
    at = np.flatnonzero(again != released).tolist()
    return [(f"{where}[{n}]", f"{again[n] / MICRO:.6f}", f"{released[n] / MICRO:.6f}") for n in at]
