"""The first line of a comparison of two releases: what a person would say of what changed, from scores, pins and rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aqea_registry.base.findings import listed
from aqea_registry.base.progress import plural
from aqea_registry.comparison.trees import Change, Contents, Tree
from aqea_registry.vectors.containers.open_pairs import open_pairs

PAIRS = "_pairs.json"
SPEARMAN = ": cos_sim_spearman"
LARGEST = 1 << 28  # bytes of pair files that are read for the line, where nobody asked for all of them


class ChangedRows(NamedTuple):
    """A pair set of both releases whose file differs: its dataset, the rows before and now, and how many of them differ."""

    dataset: str
    before: int
    after: int
    changed: int


def rows_between(before: Tree, after: Tree) -> list[ChangedRows]:
    """The pair sets whose files differ and are in both trees, each read once. Raises Refused for a malformed one."""
    paths = (path for path in sorted({*before.files} & {*after.files}) if path.endswith(PAIRS))
    return [_rows(before.fetch(path), after.fetch(path), path) for path in paths if before.files[path] != after.files[path]]


def _rows(before: Path, after: Path, name: str) -> ChangedRows:
    with open_pairs(before, name) as old, open_pairs(after, name) as new:
        first, second = (np.zeros(0) if (scores := side.scores()) is None else scores for side in (old, new))
        differ = first != second if len(first) == len(second) else np.zeros(0, bool)
        for which in (0, 1) if len(differ) else ():
            blocks = zip(old.blocks(which), new.blocks(which), strict=True)
            differ |= np.concatenate([(a != b).any(axis=1) if a.shape == b.shape else np.ones(len(a), bool) for a, b in blocks])
    return ChangedRows(new.header.dataset or name, len(first), len(second), int(differ.sum()))


def headline(before: Contents, after: Contents, changes: Sequence[Change], rows: Sequence[ChangedRows]) -> str:
    """`forum: 1 of 500 rows; Spearman 61.44 -> 61.42; minilm-128 added; max_tokens 128 -> 12`.

    Where several pair sets have scores, or more entries than a dataset and a model settings, each is named.
    """
    pins = {change.name: change.state for change in changes if change.what == "pin"}
    several = sum(name.endswith(SPEARMAN) for name in {*before.metrics} & {*after.metrics}) > 1
    many = len({*before.pins} & {*after.pins}) > 2
    parts = [_of_rows(counted, counted.dataset in pins) for counted in rows]
    for change in changes:
        name, _, field = change.name.partition(": ")
        if change.what == "metric" and field == SPEARMAN.removeprefix(": "):
            if change.before and change.after:
                parts.append(f"{f'{name} ' * several}Spearman {_percent(change.before, change.after)}")
            elif not any(other in name for other, state in pins.items() if state == change.state):
                parts.append(f"{name} {change.state}")
        elif change.what == "setting":
            parts.append(f"{f'{name} ' * many}{field} {change.before or 'none'} -> {change.after or 'none'}")
        elif change.what == "pin" and change.state != "changed":
            parts.append(f"{name} {change.state}")
        elif change.what == "pin" and name not in {counted.dataset for counted in rows}:
            parts.append(f"{name}: other upstream files")
    if not parts and changes:
        parts = [f"{listed([change.name for change in changes], 3)}; nothing else"]
    parts = list(dict.fromkeys(parts))
    return "; ".join([*parts[:8], *([f"{len(parts) - 8} more"] if parts[8:] else [])]) or "nothing differs"


def _of_rows(rows: ChangedRows, changed: bool) -> str:
    """Rows of a dataset that changed; of one that did not, only the vectors of its sentences can differ."""
    if rows.before != rows.after:
        return f"{rows.dataset}: {rows.before} -> {plural(rows.after, 'row')}"
    return f"{rows.dataset}: {'' if changed else 'other vectors in '}{rows.changed} of {plural(rows.after, 'row')}"


def _percent(before: str, after: str) -> str:
    """Two scores in percent, with two decimals or with as many more as show a difference."""
    for digits in range(2, 16):
        old, new = (f"{100 * float(score):.{digits}f}" for score in (before, after))
        if old != new:
            break
    return f"{old} -> {new}"
