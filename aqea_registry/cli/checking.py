"""Commands that check and change nothing, and how a comparison is shown to a person."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aqea_registry.api import verified
from aqea_registry.base.progress import plural, printable, size_text
from aqea_registry.cli.claiming import STATES
from aqea_registry.cli.releasing import SOURCE, given
from aqea_registry.cli.shell import Outcome, Shell, command, complete, echo, examples, print_table
from aqea_registry.cli.tables import paint

if TYPE_CHECKING:
    from aqea_registry.base.findings import CannotCheck
    from aqea_registry.comparison.trees import FileComparison
    from aqea_registry.comparison.verdict import PairSetComparison, PairSetFile
    from aqea_registry.verification.verify_list import Verified
    from aqea_registry.verification.verify_release import CheckedRelease


@command
@examples("verify", "verify SHA256SUMS --root downloads", "verify hf://datasets/ORG/NAME@v1 --full --rows 299")
@click.argument("target", required=False, shell_complete=complete("tags", "paths"))
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder that a list's paths start at (default: the list's own).",
)
@click.option("--deep", is_flag=True, help="Of releases in stores, download and hash every file.")
@click.option("--remote", is_flag=True, help="Check every store against this project's receipts.")
@click.option("--full", is_flag=True, help="Of a release, check all that can be checked, and say what was not.")
@click.option("--rows", type=click.IntRange(min=1), metavar="N", help="With --full: make N random rows again.")
@click.option("--seed", metavar="S", help="With --rows: draw those of this seed (default: one that nobody knows).")
@SOURCE
def verify(shell: Shell, target: str | None, root: Path | None, deep: bool, remote: bool, **full: Any) -> Outcome:
    """Check files against the digests listed for them; change nothing.

    TARGET is nothing (this project: pins, sources, dvc.lock, pair sets, scores, manifest), a folder with a list of digests
    in it, any list of sha256 digests, a Hub cache or folder of 'hf download', or a release in a store: oci:DIR:TAG,
    oci://HOST/NAME:TAG, hf://datasets/ORG/NAME@REV, github://OWNER/REPO@TAG; a tag alone is one of the project's first store.
    A store's own digests are believed unless --deep is given.

    --full needs nothing but the release: oci:DIR:TAG without extras, other stores with [stores], --rows with [generate].
    """
    if any(full.values()):
        return _verify_fully(shell, target, **full)
    checked, error = _verify_remote(shell, target, deep) if remote else (_verify(shell, target, root, deep), None)

    import msgspec

    found = {"pair_sets": {}, "vector_sets": {}, "held": {}, **msgspec.structs.asdict(checked)}
    data = {name: found[name] for name in ("target", "files", "bytes", "notes", "pair_sets", "vector_sets", "held")}
    return Outcome(checked.findings, data, lambda: _show(checked, found), error)


def _show(checked: Verified, found: Mapping[str, Any]) -> None:
    for note in found["notes"]:
        click.echo(printable(f"note: {note}"))
    for key, examined in found["pair_sets"].items():
        spearman = examined.metrics.cos_sim_spearman
        click.echo(
            f"{key}: {plural(examined.header.n_pairs, 'pair')} x {examined.header.dimension}, cosine Spearman {spearman!r}"
        )
    for key, made in found["vector_sets"].items():
        click.echo(f"{key}: {plural(made.texts, 'text')} x {made.dimension}, {made.task}: {made.main_score} {made.text()}")
    for reference, held in found["held"].items():
        from aqea_registry.stores.release import how_checked

        click.echo(printable(f"{reference}: {plural(len(held), 'file')}: {how_checked(held)}"))
    state = paint(plural(len(checked.findings), "finding"), "FAILED") if checked.findings else paint("no findings")
    echo(f"{printable(checked.target)}: {plural(checked.files, 'file')}, {size_text(checked.bytes)}: {state}")


def _verify_remote(shell: Shell, target: str | None, deep: bool) -> tuple[CheckedRelease, CannotCheck | None]:
    from aqea_registry.base.findings import BadConfiguration
    from aqea_registry.verification.verify_release import verify_receipts

    if target is not None:
        raise BadConfiguration("--remote goes with the project, not with a target", "aqea-registry verify --remote")
    return verify_receipts(shell.project(), shell.report, deep=deep)


def _verify_fully(
    shell: Shell, target: str | None, full: bool, rows: int | None, seed: str | None, sources: tuple[str, ...]
) -> Outcome:
    import secrets

    from aqea_registry.base.extras import require
    from aqea_registry.base.findings import BadConfiguration
    from aqea_registry.base.references import is_reference, split_reference
    from aqea_registry.releases.full_check import verify_fully
    from aqea_registry.stores.open_store import open_store

    reference = "" if target is None else shell.meant(target)
    if not full or not is_reference(reference) or (rows is None and seed):
        message = "--full goes with a release in a store, --rows and --source with --full, --seed with --rows"
        usage = "aqea-registry verify STORE-REF --full [--rows N [--seed S]] [--source NAME=PATH]"
        raise BadConfiguration(message, usage)
    if rows:
        require("generation")
    spec, tag, digest = split_reference(reference)
    seed = seed or secrets.token_hex(8)
    store = open_store(spec, shell.directory)
    found_in = given(shell, sources)
    done, error = verify_fully(store, tag, shell.report, digest=digest, rows=rows, seed=seed, sources=found_in)

    import msgspec

    found = {**msgspec.structs.asdict(done), "seed": seed if rows else None}

    def show() -> None:
        _show(done, found)
        for name, says, where, signed in map(msgspec.structs.astuple, done.statements):
            click.echo(printable(f"{name}: {says}{f', on {where}' if where else ''}; {'' if signed else 'not '}signed"))
        if done.claims:
            rows = [(name, *(count.get(state, 0) for state in STATES)) for name, count in done.claims.items()]
            print_table(("ledger", *STATES), rows)
        if done.rows:
            click.echo(printable(f"{done.rows.text()} (--seed {seed})"))
        click.echo("not checked:")
        for gap in done.not_checked:
            click.echo(printable(f"  {gap.what}: {gap.why}"))

    return Outcome(done.findings, found, show, error)


def _verify(shell: Shell, target: str | None, root: Path | None, deep: bool) -> Verified:
    meant = None if target is None else shell.meant(target)
    if target is None:
        shell.look_for_files()
    return verified(meant, shell.directory, shell.report, root=root, deep=deep)


@command
@examples("docs", "docs claims", "docs mismatch")
@click.argument("page", required=False)
def docs(shell: Shell, page: str | None) -> Outcome:
    """Show a page of the documentation, or what the code of a finding means: they are part of the installation.

    Without PAGE, their names.
    """
    from aqea_registry.base.findings import CODES, BadConfiguration

    package = Path(__file__).parents[1]
    folder = package / "docs" if (package / "docs").is_dir() else package.parent / "docs"  # a checkout has them beside it
    pages = {path.stem: path.read_text("utf-8") for path in sorted(folder.glob("*.md"))}
    if page is not None and page not in {*pages, *CODES}:
        raise BadConfiguration(f"there is no page {page!r}", f"one of {', '.join(pages)}, or the code of a finding")
    text = pages.get(page or "", "\n".join(f"{name:14} {content.partition(chr(10))[0][2:]}" for name, content in pages.items()))
    if page in CODES:
        line = next(line for line in pages["findings"].splitlines() if f'id="{page}"' in line)
        text = line.rpartition("</a>")[2].strip(" |").replace(" | ", ": ")
    return Outcome((), {"pages": [*pages], "page": page, "text": text}, lambda: click.echo_via_pager(text))


@command
@examples("compare v1 v2", "compare training/data ../other/training/data", "compare old_pairs.json new_pairs.json --diagnose")
@click.argument("before", metavar="A", shell_complete=complete("tags", "paths"))
@click.argument("after", metavar="B", shell_complete=complete("tags", "paths"))
@click.option("--deep", is_flag=True, help="Of two releases, fetch and compare every file that differs.")
@click.option("--diagnose", is_flag=True, help="Find the cause of a difference by encoding some sentences in every likely way.")
@click.option("--bound", type=click.FloatRange(0, min_open=True), help="How far a component of a unit vector may be off.")
def compare(shell: Shell, before: str, after: str, deep: bool, diagnose: bool, bound: float | None) -> Outcome:
    """Compare A with B: two files with pair sets, two vector sets, folders, or releases (STORE-REF or tag), in any mixture.

    IDENTICAL: the same bytes. SAME CONTENT: the same numbers in another container. EQUIVALENT: no printed number depends on
    the difference. DIVERGED: what differs and why, exit status 1. Of two releases, files, scores and pins are compared.
    """
    from aqea_registry.base.extras import require
    from aqea_registry.comparison.compare import compare as operation
    from aqea_registry.comparison.verdict import BOUND, PairSetComparison

    if diagnose:
        require("generation")
    before, after = shell.meant(before), shell.meant(after)
    found = operation(before, after, shell.directory, shell.report, deep=deep, diagnose=diagnose, bound=bound or BOUND)

    import msgspec

    pair_set = found if isinstance(found, PairSetComparison) else None
    changes, files, summary = (getattr(found, name, None) or () for name in ("changes", "files", "summary"))
    data = {
        "verdict": found.verdict,
        "summary": summary or None,
        "changes": [{**msgspec.to_builtins(change), "state": change.state} for change in changes],
        "files": files,
        "pair_set": pair_set,
    }

    def show() -> None:
        if summary:
            click.echo(printable(summary))
        if moved := [(change.name, change.state) for change in changes if change.what == "file"]:
            print_table(("file", "state"), moved)
        for what in ("metric", "pin", "setting"):
            if rows := [(change.name, change.before or "", change.after or "") for change in changes if change.what == what]:
                print_table((what, "before", "after"), rows)
        if files:
            print_table(("verdict", "file", "why"), [(file.verdict, _paths(file), file.message) for file in files])
        if pair_set is not None:
            show_pair_set(pair_set)
        echo(paint(found.verdict))

    return Outcome((), data, show, status=int(found.verdict == "DIVERGED"))


def _paths(file: FileComparison) -> str:
    return " -> ".join(dict.fromkeys(path for path in (file.before, file.after) if path))


def show_pair_set(found: PairSetComparison) -> None:
    """Two files with pair sets: what they are, how far they are apart, and why."""
    click.echo(printable(f"first: {found.before.name}\nsecond: {found.after.name}", keep="\n"))
    print_table(("", "first", "second"), _sides(found.before, found.after))
    if figures := found.figures:
        quantiles = ", ".join(f"{float(share):.0%}: {_cosine(value)}" for share, value in figures.quantiles.items())
        click.echo(
            f"largest difference {figures.largest:.3e}; bound {found.bound:g}, beyond it {plural(figures.rows_beyond, 'row')}"
        )
        click.echo(f"cosine of each vector with its counterpart: least {_cosine(figures.least_cosine)}, {quantiles}")
        if figures.rank_changes is not None:
            click.echo(f"pairs whose rank by cosine changed: {figures.rank_changes} of {figures.rows}")
    if found.metrics:
        ties = any(score.kept is not None for score in found.metrics)
        rows = [
            (s.metric, f"{100 * s.before:.6f}", f"{100 * s.after:.6f}", f"{s.points:+.2e}", f"{s.kept or 0:+.2e}")
            for s in found.metrics
        ]
        header = ("score", "first", "second", "points", "with ties kept")
        print_table(header if ties else header[:-1], rows if ties else [row[:-1] for row in rows])
    if found.numbers:
        changed = [number for number in found.numbers if not number.same]
        click.echo(printable(f"printed numbers that change: {len(changed)} of {len(found.numbers)} ({found.basis})"))
        for number in changed:
            click.echo(printable(f"  {number.claim or number.metric}: {number.before} becomes {number.after}"))
    for label, row in (("first", found.first), ("worst", found.worst)):
        if row is not None:
            place = f"{row.matrix}[{row.row}], by {row.difference:.3e}, cosine {_cosine(row.cosine)}"
            click.echo(f"{label} row that differs: {place}")
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


def _cosine(value: float) -> str:
    return f"1 - {1 - value:.1e}" if value > 0.999 else f"{value:.4f}"
