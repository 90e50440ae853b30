"""Commands around claims: what a document prints, and what it rests on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aqea_registry.cli.shell import Outcome, Shell, command_of, main

if TYPE_CHECKING:
    from aqea_registry.claims.check_claims import CheckedClaims
    from aqea_registry.claims.drafting import EvaluationUnit
    from aqea_registry.claims.export_claims import Format

STATES = ("holds", "contradicted", "unchecked", "unbound")
DOCUMENTS = click.option(
    "--documents",
    multiple=True,
    metavar="FOLDER",
    help="Where documents lie that are not part of the project (repeatable).",
)


@main.group()
def claims() -> None:
    """Printed numbers and what they rest on: check, import, export; find those that rest on nothing."""


@command_of(claims)
@click.argument("ledgers", nargs=-1, metavar="[LEDGER]...")
@DOCUMENTS
def check(shell: Shell, ledgers: tuple[str, ...], documents: tuple[str, ...]) -> Outcome:
    """Judge every claim of manifests/claims, or of some ledgers: holds, contradicted, unchecked, unbound."""
    from aqea_registry.claims.check_claims import check_claims, nothing_judged
    from aqea_registry.project.project import open_project

    folders = [shell.directory / folder for folder in documents]
    checked = check_claims(open_project(shell.directory), folders, shell.report, ledgers)

    import msgspec

    data = {
        "documents": checked.documents,
        "notes": checked.notes,
        "verdicts": [msgspec.to_builtins(one) for one in checked.verdicts],
    }
    return Outcome(checked.findings, data, lambda: _show(checked), nothing_judged(checked))


def _show(checked: CheckedClaims) -> None:
    """Counts by ledger, then what could not be checked, by reason; what is contradicted stands in the findings."""
    from aqea_registry.base.progress import printable
    from aqea_registry.claims.judging import counts, reasons
    from aqea_registry.cli.shell import print_table

    for note in checked.notes:
        click.echo(printable(f"note: {note}"))
    print_table(
        ("ledger", "document", *STATES),
        [
            (name, checked.documents.get(name, ""), *(found[state] for state in STATES))
            for name, found in counts(checked.verdicts).items()
        ],
    )
    missing = reasons(checked.verdicts)
    if missing:
        print_table(("unchecked", "claims", "for example"), missing)


@command_of(claims)
@click.argument("document", metavar="DOC")
@click.option("--into", metavar="LEDGER", help="The ledger (default: named after the document).")
@click.option("--model", metavar="REPO", help="The repository id of the model-index's model, if the card does not print it.")
@click.option(
    "--unit",
    type=click.Choice(["percent", "fraction", "number"]),
    default="percent",
    show_default=True,
    help="What the values of the model-index are.",
)
@click.option("--prune", is_flag=True, help="Remove claims that the document prints no longer.")
def import_(shell: Shell, document: str, into: str | None, model: str | None, unit: EvaluationUnit, prune: bool) -> Outcome:
    """Write ledger entries for a model card's model-index, Markdown tables or a CSV file.

    What was written into the ledger by hand stays. Importing the same document again changes nothing.
    """
    import msgspec

    from aqea_registry.base.progress import printable
    from aqea_registry.claims.import_claims import import_claims
    from aqea_registry.project.project import open_project

    project = open_project(shell.directory)
    done = import_claims(project, shell.directory / document, into=into, model=model, unit=unit, prune=prune)

    def show() -> None:
        for note in done.notes:
            click.echo(printable(f"note: {note}"))
        gone = f", {len(done.gone)} {'removed' if prune else 'stale'}" if done.gone else ""
        state = "written" if done.written else "unchanged"
        click.echo(f"{done.ledger}: {done.claims} claims, {len(done.added)} new, {len(done.changed)} changed{gone}: {state}")

    data = msgspec.to_builtins(done)
    del data["findings"]
    return Outcome(done.findings, data, show)


@command_of(claims)
@click.argument("documents", nargs=-1, required=True, metavar="DOC...")
@click.option(
    "--update", is_flag=True, help="Tell the ledgers of changed documents their new sha256 and lines, if all else is right."
)
def lint(shell: Shell, documents: tuple[str, ...], update: bool) -> Outcome:
    """List the numbers of documents that look like results and are bound to no claim, and claims that are no longer there.

    DOC is Markdown, text or LaTeX. A number is bound by a ledger of manifests/claims or by a marker beside it, see
    docs/claims.md.
    """
    from pathlib import Path

    import msgspec

    from aqea_registry.claims.lint_claims import lint_claims

    linted, findings, error = lint_claims(shell.directory, [Path(one) for one in documents], update=update)

    def show() -> None:
        from aqea_registry.base.progress import printable

        for one in linted:
            unbound = one.results - one.bound - one.examples
            told = f"{one.results} numbers look like results: {one.bound} bound, {one.examples} examples, {unbound} unbound"
            click.echo(printable(f"{one.document}: {told}"))
            for ledger in one.updated:
                click.echo(printable(f"  {ledger}: brought up to date"))

    return Outcome(findings, {"documents": [msgspec.to_builtins(one) for one in linted]}, show, error)


@command_of(claims)
@click.argument("ledgers", nargs=-1, metavar="[LEDGER]...")
@click.option("--format", "form", type=click.Choice(["latex", "json", "model-index"]), required=True, help="What to write.")
@click.option("--to", type=click.Path(path_type=Path), metavar="FILE", help="Where to (default: the standard output).")
@click.option("--model", metavar="NAME", help="The catalogue's model whose model-index is wanted, if the run has several.")
@DOCUMENTS
def export_(
    shell: Shell, ledgers: tuple[str, ...], form: Format, to: Path | None, model: str | None, documents: tuple[str, ...]
) -> Outcome:
    """Write the ledgers' numbers for a paper, with what became of each claim.

    LaTeX macros, JSON, or for the run's pair sets the model-index of a model card, with the revisions that are pinned here.
    """
    from aqea_registry.base.files import write_bytes
    from aqea_registry.base.findings import BadConfiguration
    from aqea_registry.base.progress import printable
    from aqea_registry.claims.export_claims import export_claims, export_model_index
    from aqea_registry.project.project import open_project

    if (form == "model-index" and ledgers) or (form != "model-index" and model):
        raise BadConfiguration("ledgers go with latex and json, --model with model-index", "leave the other one out")
    project = open_project(shell.directory)
    folders = [shell.directory / folder for folder in documents]
    if form == "model-index":
        done = export_model_index(project, shell.report, model)
    else:
        done = export_claims(project, folders, shell.report, ledgers, form)
    if to is not None:
        write_bytes(shell.directory / to, done.text.encode())
    # A file that comes on the standard output has it for itself.
    alone = to is None and not shell.json
    for warning in (*done.warnings, *(f"{one.subject}: {one.message}" for one in done.findings if alone)):
        shell.report.warn(warning)
    shown = f"{to}: {done.numbers} numbers" if to else done.text.removesuffix("\n")
    data = {"format": form, "path": str(to) if to else None, "numbers": done.numbers, "text": None if to else done.text}
    findings = () if alone else done.findings
    return Outcome(findings, data, lambda: click.echo(printable(shown) if to else shown), status=int(bool(done.findings)))
