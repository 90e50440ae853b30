"""Commands that show where numbers come from: as a tree in the terminal, and as a page."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from aqea_registry.cli.claiming import DOCUMENTS
from aqea_registry.cli.shell import Outcome, Shell, command

if TYPE_CHECKING:
    from aqea_registry.core.graph import Branch
    from aqea_registry.operations.trace import Traced

BRANCHES = 10  # of one kind that are shown below one node without --all


@command
@click.argument("what")
@click.option(
    "--format", "form", type=click.Choice(["tree", "mermaid", "dot"]), default="tree", show_default=True, help="How to draw it."
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
    from aqea_registry.core.graph import dot, mermaid, plain
    from aqea_registry.operations.project import open_project
    from aqea_registry.operations.trace import trace as operation

    folders = [shell.directory / folder for folder in documents]
    traced = operation(open_project(shell.directory), what, shell.report, documents=folders, stores=stores)
    down, up = _trees(traced, None if everything else BRANCHES)
    if form == "tree" or shell.json:
        directions = {"rests_on": traced.rests_on, "carried_by": traced.carried_by}
        ids = {name: [node.id for node in graph.nodes] for name, graph in directions.items()}
        data: dict[str, Any] = {"what": what, "found": traced.found, **ids, **plain(traced.graph)}
        return Outcome(traced.findings, data, lambda: _show(traced, down, up))

    def show() -> None:
        from aqea_registry.core.graph import counted, kept_in, left_out

        drawn = traced.graph.part(set().union(*(kept_in(one) for one in (*down, *up))))
        click.echo((mermaid if form == "mermaid" else dot)(drawn, traced.found), nl=False)
        if more := counted(sum((left_out(one) for one in (*down, *up)), Counter[str]())):
            shell.report.warn(f"left out: {more}; --all draws them")
        for finding in traced.findings:
            shell.report.warn(f"{finding.code}: {finding.subject}: {finding.message}")

    return Outcome((), {}, show, status=int(bool(traced.findings)))


def _trees(traced: Traced, limit: int | None) -> tuple[list[Branch], list[Branch]]:
    """What the things found rest on; and what rests on them, or else the releases of the files that a number rests on."""
    from aqea_registry.core.graph import tree

    down = [tree(traced.rests_on, start, "down", limit) for start in traced.found]
    graph = traced.carried_by
    tops = [node.id for node in graph.nodes if not graph.below.get(node.id) and node.id not in traced.found]
    return down, [tree(graph, start, "up", limit) for start in (*traced.found, *tops)]


def _show(traced: Traced, down: list[Branch], up: list[Branch]) -> None:
    import msgspec

    from aqea_registry.core.graph import counted
    from aqea_registry.terminal import print_tree

    for one in down:
        print_tree("rests on", one)
    for one in up:
        if one.branches or one.more:
            bare = one.node if one.node.id not in traced.found else msgspec.structs.replace(one.node, facts={})
            print_tree("carried by", one._replace(node=bare), upwards=True)
    numbers = Counter[str](node.kind for node in traced.carried_by.nodes if node.id not in traced.found)
    links = "1 broken link" if len(traced.findings) == 1 else f"{len(traced.findings) or 'no'} broken links"
    click.echo(f"what rests on it: {counted(numbers) or 'nothing'}; {links}")


@command
@click.option("--to", "target", default="report.html", metavar="FILE", help="The page (default: report.html).")
@click.option("--figures", metavar="DIR", help="Write the figures as SVG files into this folder as well.")
@DOCUMENTS
def report(shell: Shell, target: str, figures: str | None, documents: tuple[str, ...]) -> Outcome:
    """Write one HTML page: every printed number, what became of it, and what it rests on.

    The page needs no network and holds no time: the same checkout gives the same bytes. What is wrong stands in it and does not
    change the exit status; `verify` and `claims check` do that.
    """
    from aqea_registry.operations.project import open_project
    from aqea_registry.operations.report import report as operation
    from aqea_registry.terminal import printable, size_text

    folders = [shell.directory / folder for folder in documents]
    drawn = shell.directory / figures if figures else None
    done = operation(open_project(shell.directory), shell.directory / target, folders, shell.report, figures_folder=drawn)

    def show() -> None:
        click.echo(done.headline)
        click.echo(printable(f"{done.path}: {size_text(done.bytes)}, {'written' if done.changed else 'unchanged'}"))
        for path in done.figures:
            click.echo(printable(path))

    import msgspec

    return Outcome((), msgspec.to_builtins(done), show)
