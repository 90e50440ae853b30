"""Commands that check, compare and show where numbers come from, and how a comparison is shown to a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aqea_registry.api import verified
from aqea_registry.base.progress import plural, printable, size_text
from aqea_registry.cli.claiming import DOCUMENTS, STATES
from aqea_registry.cli.output import echo, paint, print_table, print_tree
from aqea_registry.cli.releasing import SOURCE, given
from aqea_registry.cli.shell import PATH, Outcome, Shell, command, complete

if TYPE_CHECKING:
    from aqea_registry.comparison.trees import FileComparison
    from aqea_registry.comparison.verdict import PairSetComparison, PairSetFile
    from aqea_registry.tracing.graph import Branch
    from aqea_registry.tracing.trace import Traced
    from aqea_registry.verification.verify_list import Verified


@command("verify", "verify SHA256SUMS --root downloads", "verify hf://datasets/ORG/NAME@v1 --full --rows 299")
@click.argument("target", required=False, shell_complete=complete("tags", "paths"))
@click.option("--root", type=PATH, metavar="DIR", help="The folder that a list's paths start at (default: the list's own).")
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
    from aqea_registry.base.findings import BadConfiguration

    if any(full.values()):
        return _verify_fully(shell, target, **full)
    checked: Verified
    error = None
    if remote:
        from aqea_registry.verification.verify_release import verify_receipts

        if target is not None:
            raise BadConfiguration("--remote goes with the project, not with a target", "aqea-registry verify --remote")
        checked, error = verify_receipts(shell.project(), shell.report, deep=deep)
    else:
        if target is None:
            shell.look_for_files()
        meant = None if target is None else shell.meant(target)
        checked = verified(meant, shell.directory, shell.report, root=root, deep=deep)

    from msgspec.structs import asdict

    found = {"pair_sets": {}, "vector_sets": {}, "held": {}, **asdict(checked)}
    data = {name: found[name] for name in ("target", "files", "bytes", "notes", "pair_sets", "vector_sets", "held")}
    return Outcome(checked.findings, data, lambda: _lines(found), error)


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What a verification found, by the fields of its result; the findings are shown before it."""
    yield from (f"note: {note}" for note in found["notes"])
    for key, examined in found["pair_sets"].items():
        header, spearman = examined.header, examined.metrics.cos_sim_spearman
        yield f"{key}: {plural(header.n_pairs, 'pair')} x {header.dimension}, cosine Spearman {spearman!r}"
    for key, made in found["vector_sets"].items():
        yield f"{key}: {plural(made.texts, 'text')} x {made.dimension}, {made.task}: {made.main_score} {made.text()}"
    for reference, held in found["held"].items():
        from aqea_registry.stores.release import how_checked

        yield f"{reference}: {plural(len(held), 'file')}: {how_checked(held)}"
    count = len(found["findings"])
    state = paint(plural(count, "finding"), "FAILED") if count else paint("no findings")
    echo(f"{printable(found['target'])}: {plural(found['files'], 'file')}, {size_text(found['bytes'])}: {state}")


def _verify_fully(
    shell: Shell, target: str | None, full: bool, rows: int | None, seed: str | None, sources: tuple[str, ...]
) -> Outcome:
    import secrets

    from msgspec.structs import asdict, astuple

    from aqea_registry.base.extras import require
    from aqea_registry.base.findings import BadConfiguration
    from aqea_registry.base.references import is_reference
    from aqea_registry.releases.full_check import verify_fully
    from aqea_registry.stores.open_store import open_tagged

    reference = "" if target is None else shell.meant(target)
    if not full or not is_reference(reference) or (rows is None and seed):
        message = "--full goes with a release in a store, --rows and --source with --full, --seed with --rows"
        usage = "aqea-registry verify STORE-REF --full [--rows N [--seed S]] [--source NAME=PATH]"
        raise BadConfiguration(message, usage)
    if rows:
        require("generation")
    seed, found_in = seed or secrets.token_hex(8), given(shell, sources)
    opened = open_tagged(reference, shell.directory)
    done, error = verify_fully(*opened, shell.report, rows=rows, seed=seed, sources=found_in)
    found = {**asdict(done), "seed": seed if rows else None}

    def show() -> Iterator[str]:
        yield from _lines(found)
        for name, says, where, signed in map(astuple, done.statements):
            yield f"{name}: {says}{f', on {where}' if where else ''}; {'' if signed else 'not '}signed"
        if done.claims:
            rows = [(name, *(count.get(state, 0) for state in STATES)) for name, count in done.claims.items()]
            print_table(("ledger", *STATES), rows)
        if done.rows:
            yield f"{done.rows.text()} (--seed {seed})"
        yield "not checked:"
        yield from (f"  {gap.what}: {gap.why}" for gap in done.not_checked)

    return Outcome(done.findings, found, show, error)


@command("docs", "docs claims", "docs mismatch")
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


@command("compare v1 v2", "compare training/data ../other/training/data", "compare old_pairs.json new_pairs.json --diagnose")
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
    from msgspec import to_builtins

    from aqea_registry.base.extras import require
    from aqea_registry.comparison.compare import compare as operation
    from aqea_registry.comparison.verdict import BOUND, PairSetComparison

    if diagnose:
        require("generation")
    before, after = shell.meant(before), shell.meant(after)
    found = operation(before, after, shell.directory, shell.report, deep=deep, diagnose=diagnose, bound=bound or BOUND)

    pair_set = found if isinstance(found, PairSetComparison) else None
    changes, files, summary = (getattr(found, name, None) or () for name in ("changes", "files", "summary"))
    changed = [{**to_builtins(change), "state": change.state} for change in changes]
    data = {"verdict": found.verdict, "summary": summary or None, "changes": changed, "files": files, "pair_set": pair_set}

    def show() -> Iterator[str]:
        if summary:
            yield summary
        if moved := [(change.name, change.state) for change in changes if change.what == "file"]:
            print_table(("file", "state"), moved)
        for what in ("metric", "pin", "setting"):
            if rows := [(change.name, change.before or "", change.after or "") for change in changes if change.what == what]:
                print_table((what, "before", "after"), rows)
        if files:
            print_table(("verdict", "file", "why"), [(file.verdict, _paths(file), file.message) for file in files])
        if pair_set is not None:
            yield from _pair_set_lines(pair_set)
        echo(paint(found.verdict))

    return Outcome((), data, show, status=int(found.verdict == "DIVERGED"))


def _paths(file: FileComparison) -> str:
    return " -> ".join(dict.fromkeys(path for path in (file.before, file.after) if path))


def _pair_set_lines(found: PairSetComparison) -> Iterator[str]:
    """Two files with pair sets: what they are, how far they are apart, and why."""
    yield f"first: {found.before.name}"
    yield f"second: {found.after.name}"
    first, second = _side(found.before), _side(found.after)
    print_table(("", "first", "second"), [(name, text, second.get(name, "")) for name, text in first.items()])
    if figures := found.figures:
        quantiles = ", ".join(f"{float(share):.0%}: {_cosine(value)}" for share, value in figures.quantiles.items())
        beyond = f"bound {found.bound:g}, beyond it {plural(figures.rows_beyond, 'row')}"
        yield f"largest difference {figures.largest:.3e}; {beyond}"
        yield f"cosine of each vector with its counterpart: least {_cosine(figures.least_cosine)}, {quantiles}"
        if figures.rank_changes is not None:
            yield f"pairs whose rank by cosine changed: {figures.rank_changes} of {figures.rows}"
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
        yield f"printed numbers that change: {len(changed)} of {len(found.numbers)} ({found.basis})"
        yield from (f"  {number.claim or number.metric}: {number.before} becomes {number.after}" for number in changed)
    for label, row in (("first", found.first), ("worst", found.worst)):
        if row is not None:
            place = f"{row.matrix}[{row.row}], by {row.difference:.3e}, cosine {_cosine(row.cosine)}"
            yield f"{label} row that differs: {place}"
    for diagnosis in found.diagnoses:
        fits = f" (may be: {', '.join(diagnosis.candidates)})" if diagnosis.candidates else ""
        yield f"{diagnosis.kind}, {diagnosis.basis}: {diagnosis.message}{fits}"
        yield from (f"  - {line}" for line in diagnosis.evidence)
    yield from (f"note: {note}" for note in found.notes)


def _side(file: PairSetFile) -> dict[str, str]:
    facts = {"sha256": file.sha256[:16], "size": size_text(file.size)}
    if file.container:
        facts |= {name: str(getattr(file, name) or "-") for name in ("container", "numbers", "dataset", "model")}
        facts["pairs x dimension"] = f"{file.n_pairs} x {file.dimension}"
    return facts | ({"content digest": file.content[:16]} if file.content else {})


def _cosine(value: float) -> str:
    return f"1 - {1 - value:.1e}" if value > 0.999 else f"{value:.4f}"


BRANCHES = 10  # of one kind that are shown below one node without --all


@command("trace forum-minilm#cos_sim_spearman", "trace paper:forum.spearman --all")
@click.argument("what", shell_complete=complete("artefacts", "datasets", "models", "tags", "paths"))
@click.option(
    "--format", "form", type=click.Choice(["tree", "mermaid"]), default="tree", help="How to draw it (default: tree)."
)
@click.option("--all", "everything", is_flag=True, help=f"Show all branches, not the first {BRANCHES} of each kind.")
@click.option("--store", "stores", multiple=True, metavar="STORE", help="Ask this store for releases as well (repeatable).")
@DOCUMENTS
def trace(shell: Shell, what: str, form: str, everything: bool, stores: tuple[str, ...], documents: tuple[str, ...]) -> Outcome:
    """Show what something rests on, down to bytes and commits, and what rests on it, up to releases and stores.

    WHAT is a claim (ID or LEDGER:ID), a path of the project or of a release, a number (FILE#METRIC or PAIRSET#METRIC), a
    sha256 or the beginning of one, a release's digest or tag, a name of the catalogue, a stage, or a commit. A link that does
    not fit is shown as broken, and the exit status is 1. Only files of the answer are read.
    """
    from aqea_registry.tracing.graph import counted, kept_in, left_out, mermaid
    from aqea_registry.tracing.trace import trace as operation

    shell.look_for_clients(stores)
    what = shell.in_project(what)
    traced = operation(shell.project(), what, shell.report, documents=shell.paths(documents), stores=shell.stores(stores))
    down, up = _trees(traced, None if everything else BRANCHES)
    if form == "tree" or shell.json:
        directions = {"rests_on": traced.rests_on, "carried_by": traced.carried_by}
        ids = {name: [node.id for node in graph.nodes] for name, graph in directions.items()}
        graph = traced.graph
        data: dict[str, Any] = {"what": what, "found": traced.found, **ids, "nodes": graph.nodes, "edges": graph.edges}
        return Outcome(traced.findings, data, lambda: _tree_lines(traced, down, up))

    def show() -> None:
        drawn = traced.graph.part(set().union(*(kept_in(branch) for branch in (*down, *up))))
        click.echo(mermaid(drawn, traced.found), nl=False)
        if more := counted(sum((left_out(branch) for branch in (*down, *up)), Counter[str]())):
            shell.report.warn(f"left out: {more}; --all draws them")
        for finding in traced.findings:
            shell.report.warn(f"{finding.code}: {finding.subject}: {finding.message}")

    return Outcome((), {}, show, status=int(bool(traced.findings)))


def _trees(traced: Traced, limit: int | None) -> tuple[list[Branch], list[Branch]]:
    """What the things found rest on; and what rests on them, or else the releases of the files that a number rests on."""
    from aqea_registry.tracing.graph import tree

    down = [tree(traced.rests_on, start, "down", limit) for start in traced.found]
    graph = traced.carried_by
    tops = [node.id for node in graph.nodes if not graph.below.get(node.id) and node.id not in traced.found]
    return down, [tree(graph, start, "up", limit) for start in (*traced.found, *tops)]


def _tree_lines(traced: Traced, down: list[Branch], up: list[Branch]) -> Iterator[str]:
    import msgspec

    from aqea_registry.tracing.graph import counted

    for branch in down:
        print_tree("rests on", branch)
    for branch in up:
        if branch.branches or branch.omitted:
            node = branch.node
            bare = msgspec.structs.replace(node, facts={}) if node.id in traced.found else node
            print_tree("carried by", branch._replace(node=bare), upwards=True)
    numbers = Counter[str](node.kind for node in traced.carried_by.nodes if node.id not in traced.found)
    links = plural(len(traced.findings), "broken link") if traced.findings else "no broken links"
    yield f"what rests on it: {counted(numbers) or 'nothing'}; {links}"


@command("report", "report --to page.html --figures figures")
@click.option("--to", "target", default="report.html", metavar="FILE", help="The page (default: report.html).")
@click.option("--figures", metavar="DIR", help="Write the figure of scores into this folder as well, as an SVG file.")
@DOCUMENTS
def report(shell: Shell, target: str, figures: str | None, documents: tuple[str, ...]) -> Outcome:
    """Write one HTML page: every printed number, its status, and what it rests on.

    The page needs no network and holds no time: the same checkout gives the same bytes. What is wrong is shown in it and does
    not change the exit status; `verify` and `claims check` do that.
    """
    from aqea_registry.report.report import report as operation

    drawn = shell.directory / figures if figures else None
    page = shell.output(target, "<!DOCTYPE html>")
    done = operation(shell.project(), page, shell.paths(documents), shell.report, figures_folder=drawn)
    written = f"{done.path}: {size_text(done.bytes)}, {'written' if done.changed else 'unchanged'}"
    return Outcome((), done, lambda: [done.headline, written, *done.figures])
