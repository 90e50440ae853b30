"""How a comparison is shown to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aqea_registry.terminal import print_table, printable, size_text

if TYPE_CHECKING:
    from aqea_registry.core.comparison import PairSetComparison, PairSetFile, Row
    from aqea_registry.operations.compare import Comparison


def show(found: Comparison) -> None:
    """Releases, trees or two files, and the verdict in the last line."""
    if found.changes:
        rows = [(one.what, one.name, one.state, one.before or "", one.after or "") for one in found.changes]
        print_table(("what", "name", "", found.before, found.after), rows)
    if found.files:
        table = [(one.verdict, one.before or "", one.after or "", one.message) for one in found.files]
        print_table(("verdict", found.before, found.after, "why"), table)
    if found.pair_set is not None:
        show_pair_set(found.pair_set)
    click.echo(found.verdict)


def show_pair_set(found: PairSetComparison) -> None:
    """Two files with pair sets: what they are, how far they are apart, and why."""
    sides = [("", found.before.name, found.after.name), *_sides(found.before, found.after)]
    print_table(sides[0], sides[1:])
    if figures := found.figures:
        quantiles = ", ".join(f"{float(share):.0%}: {_cosine(value)}" for share, value in figures.quantiles.items())
        click.echo(f"largest difference {figures.largest:.3e}; bound {found.bound:g}, beyond it {figures.rows_beyond} rows")
        click.echo(f"cosine of each vector with its counterpart: least {_cosine(figures.least_cosine)}, {quantiles}")
        if figures.rank_changes is not None:
            click.echo(f"pairs whose rank by cosine changed: {figures.rank_changes} of {figures.rows}")
    if found.metrics:
        ties = any(one.kept is not None for one in found.metrics)
        rows = [
            (one.metric, f"{100 * one.before:.6f}", f"{100 * one.after:.6f}", f"{one.points:+.2e}", f"{one.kept or 0:+.2e}")
            for one in found.metrics
        ]
        header = ("score", "first", "second", "points", "with ties kept")
        print_table(header if ties else header[:-1], rows if ties else [row[:-1] for row in rows])
    if found.numbers:
        changed = [one for one in found.numbers if not one.same]
        click.echo(printable(f"printed numbers that change: {len(changed)} of {len(found.numbers)} ({found.basis})"))
        for one in changed:
            click.echo(printable(f"  {one.claim or one.metric}: {one.before} becomes {one.after}"))
    for label, row in (("first", found.first), ("worst", found.worst)):
        if row is not None:
            click.echo(f"{label} row that differs: {_row(row)}")
    for diagnosis in found.diagnoses:
        fits = f" (may be: {', '.join(diagnosis.candidates)})" if diagnosis.candidates else ""
        click.echo(printable(f"{diagnosis.kind}, {diagnosis.basis}: {diagnosis.message}{fits}"))
        for line in diagnosis.evidence:
            click.echo(printable(f"  - {line}"))
    for note in found.notes:
        click.echo(printable(f"note: {note}"))


def _sides(before: PairSetFile, after: PairSetFile) -> list[tuple[str, str, str]]:
    rows = [
        ("sha256", before.sha256[:16], after.sha256[:16]),
        ("size", size_text(before.size), size_text(after.size)),
        *((name, str(getattr(before, name) or "-"), str(getattr(after, name) or "-")) for name in ("container", "numbers")),
        ("dataset", before.dataset or "-", after.dataset or "-"),
        ("model", before.model or "-", after.model or "-"),
        ("pairs x dimension", f"{before.n_pairs} x {before.dimension}", f"{after.n_pairs} x {after.dimension}"),
    ]
    if before.content:
        rows.append(("content digest", before.content[:16], (after.content or "")[:16]))
    return rows if before.container else rows[:2]


def _row(row: Row) -> str:
    return f"{row.matrix}[{row.row}], by {row.difference:.3e}, cosine {_cosine(row.cosine)}"


def _cosine(value: float) -> str:
    return f"1 - {1 - value:.1e}" if value > 0.999 else f"{value:.4f}"
