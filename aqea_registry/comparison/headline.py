"""The first line of a comparison of two releases: what a person would say of what changed, from scores, pins and rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from aqea_registry.base.findings import listed
from aqea_registry.base.progress import plural
from aqea_registry.comparison.pair_files import NamedFile
from aqea_registry.comparison.trees import Change, Contents, Tree
from aqea_registry.vectors.containers.open_pairs import open_pairs
from aqea_registry.vectors.pair_set import Values

PAIRS = "_pairs.json"
SPEARMAN = ": cos_sim_spearman"
LARGEST = 1 << 28  # bytes of pair files that are read for the line, where nobody asked for all of them


class Rows(NamedTuple):
    """A pair set of both releases whose file differs: its dataset, the rows before and now, and how many of them differ."""

    dataset: str
    before: int
    after: int
    changed: int


def rows_between(before: Tree, after: Tree) -> list[Rows]:
    """The pair sets whose files differ and are in both trees, each read once. Raises Refused for a malformed one."""
    paths = [path for path in sorted({*before.files} & {*after.files}) if path.endswith(PAIRS)]
    return [
        _rows(*(NamedFile(tree.fetch(path), f"{tree.name}: {path}") for tree in (before, after)))
        for path in paths
        if before.files[path] != after.files[path]
    ]


def _rows(before: NamedFile, after: NamedFile) -> Rows:
    with open_pairs(before.path, before.name) as old, open_pairs(after.path, after.name) as new:
        first, second = (np.zeros(0) if (scores := side.scores()) is None else scores for side in (old, new))
        differ = np.zeros(0, bool)
        if len(first) == len(second):
            differ = first != second
            for which in (0, 1):
                blocks = zip(old.blocks(which), new.blocks(which), strict=True)
                differ |= np.concatenate([_differ(one, other) for one, other in blocks])
    return Rows(new.header.dataset or "", len(first), len(second), int(differ.sum()))


def _differ(before: Values, after: Values) -> npt.NDArray[np.bool_]:
    """Of each row whether it is another one; vectors of another length are."""
    return (before != after).any(axis=1) if before.shape == after.shape else np.ones(len(before), bool)


def headline(before: Contents, after: Contents, changes: Sequence[Change], rows: Sequence[Rows]) -> str:
    """`forum: 1 of 500 rows; Spearman 61.44 -> 61.42; minilm-128 added; max_tokens 128 -> 12`.

    Where several pair sets have scores, or several entries settings, each is named.
    """
    found = {what: [change for change in changes if change.what == what] for what in ("metric", "pin", "setting", "file")}
    pins = {change.name: change.state for change in found["pin"]}
    parts = list(dict.fromkeys(_of_rows(counted, pins) for counted in rows))
    read = {counted.dataset for counted in rows}
    several = sum(name.endswith(SPEARMAN) for name in {*before.metrics} & {*after.metrics}) > 1
    lone = [change for change in found["metric"] if change.name.endswith(SPEARMAN)]
    for change in lone:
        name = change.name.removesuffix(SPEARMAN)
        if change.before and change.after:
            parts.append(f"{name + ' ' if several else ''}Spearman {_percent(change.before, change.after)}")
        elif not any(other in name for other, state in pins.items() if state == change.state):
            parts.append(f"{name} {change.state}")
    parts += [f"{name} {state}" for name, state in pins.items() if state != "changed"]
    entries = {*before.pins} & {*after.pins}
    for change in found["setting"]:
        entry, _, field = change.name.partition(": ")
        shown = field if len(entries) < 3 else f"{entry} {field}"  # a dataset and a model: nothing else can be meant
        parts.append(f"{shown} {change.before or 'none'} -> {change.after or 'none'}")
    parts += [f"{name}: other upstream files" for name, state in pins.items() if state == "changed" and name not in read]
    if not parts and found["metric"]:
        parts.append("other scores than Spearman")
    if not parts and found["file"]:
        names = listed([change.name for change in found["file"]], 3)
        parts.append(f"{plural(len(found['file']), 'file')} and no number: {names}")
    return "; ".join(parts[:8]) + (f"; and {len(parts) - 8} more" if len(parts) > 8 else "") or "nothing differs"


def _of_rows(counted: Rows, pins: dict[str, str]) -> str:
    """Rows of a dataset that changed; of one that did not, only the vectors of its sentences can differ."""
    if counted.before != counted.after:
        return f"{counted.dataset}: {counted.before} -> {plural(counted.after, 'row')}"
    what = "" if counted.dataset in pins else "other vectors in "
    return f"{counted.dataset}: {what}{counted.changed} of {plural(counted.after, 'row')}"


def _percent(before: str, after: str) -> str:
    """Two scores in percent, with two decimals or with as many more as show a difference."""
    old, new = (100 * float(score) for score in (before, after))
    digits = next((digits for digits in range(2, 15) if f"{old:.{digits}f}" != f"{new:.{digits}f}"), 15)
    return f"{old:.{digits}f} -> {new:.{digits}f}"
