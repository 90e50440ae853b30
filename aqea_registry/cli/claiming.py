"""The commands `claims`: check, import, bind, fill, lint, export."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aqea_registry.base.progress import plural, printable
from aqea_registry.cli.shell import Outcome, Shell, command_of, complete, epilog, examples, main

if TYPE_CHECKING:
    from aqea_registry.claims.check_claims import CheckedClaims
    from aqea_registry.claims.drafting import EvaluationUnit
    from aqea_registry.claims.export_claims import Format

MOST_COMMANDS = 10  # that are shown
FORMATS, SCORED = ("latex", "json"), ("model-index", "eval-results")  # of claims, and of the run's scores
STATES = ("holds", "contradicted", "unchecked", "unbound")
DOCUMENTS = click.option(
    "--documents",
    multiple=True,
    metavar="FOLDER",
    help="Where documents lie that are not part of the project (repeatable).",
)


INTO = click.option("--into", metavar="LEDGER", help="The ledger (default: named after the document).")
MODEL = click.option(
    "--model", metavar="REPO", help="The repository id of the model-index's model, if the card does not print it."
)


@main.group(epilog=epilog("claims check", "claims import paper.tex", "claims lint README.md"))
def claims() -> None:
    """Printed numbers and what they rest on: check, import, bind, fill, export; find those that rest on nothing."""


@command_of(claims)
@examples("claims check", "claims check paper --documents ~/papers")
@click.argument("ledgers", nargs=-1, metavar="[LEDGER]...", shell_complete=complete("ledgers"))
@DOCUMENTS
@click.option("--strict", is_flag=True, help="Take for a finding what is unchecked or unbound, too: each claim with its line.")
def check(shell: Shell, ledgers: tuple[str, ...], documents: tuple[str, ...], strict: bool) -> Outcome:
    """Judge every claim of manifests/claims, or of some ledgers: holds, contradicted, unchecked, unbound."""
    from aqea_registry.claims.check_claims import check_claims, nothing_judged
    from aqea_registry.claims.judging import commands, counts

    checked = check_claims(shell.project(), shell.paths(documents), shell.report, ledgers, strict=strict)

    data = {"documents": checked.documents, "notes": checked.notes, "verdicts": checked.verdicts}
    data |= {"counts": counts(checked.verdicts), "commands": commands(checked.verdicts)}
    return Outcome(checked.findings, data, lambda: _show(checked), nothing_judged(checked))


def _show(checked: CheckedClaims) -> None:
    """Counts by ledger, then what could not be checked, by reason; what is contradicted is in the findings."""
    from aqea_registry.claims.judging import commands, counts, reasons
    from aqea_registry.cli.shell import print_table

    for note in checked.notes:
        click.echo(printable(f"note: {note}"))
    by_ledger = counts(checked.verdicts)
    rows = [(name, checked.documents.get(name, ""), *(count[state] for state in STATES)) for name, count in by_ledger.items()]
    print_table(("ledger", "document", *STATES), rows)
    if missing := reasons(checked.verdicts):
        print_table(("unchecked", "claims", "for example"), missing)
    ways = [(len(names), command) for command, names in commands(checked.verdicts).items()]
    if ways:
        print_table(("claims", "become checkable by"), ways[:MOST_COMMANDS])
    if more := ways[MOST_COMMANDS:]:
        click.echo(f"and {sum(count for count, _ in more)} claims by {plural(len(more), 'other command')}: all are in --json")
    words = {"sentence_only": "rest on a sentence only (quoted: source)", "stale": "would hold, but their document was changed"}
    words["tolerance"] = "state a tolerance of their own, with the reason: --json has it"
    for key, text in words.items():
        if count := by_ledger["all"][key]:
            click.echo(f"{count} of {by_ledger['all']['claims']} {text}")


@command_of(claims)
@examples("claims import paper.tex", "claims import README.md --into card")
@click.argument("document", metavar="DOC")
@INTO
@MODEL
@click.option(
    "--unit",
    type=click.Choice(["percent", "fraction", "number"]),
    help="What results and scores are (default: as the program that wrote them has it, else percent).",
)
@click.option("--prune", is_flag=True, help="Remove claims that the document no longer prints.")
def import_(
    shell: Shell, document: str, into: str | None, model: str | None, unit: EvaluationUnit | None, prune: bool
) -> Outcome:
    """Write ledger entries for a model card's model-index, the tables of a document, or a result file of MTEB.

    What was written into the ledger by hand stays. Importing the same document again changes nothing.
    """
    from aqea_registry.claims.import_claims import accounting, import_claims, left_out_notes

    project = shell.project()
    imported = import_claims(project, shell.directory / document, into=into, model=model, unit=unit, prune=prune)

    def show() -> None:
        for note in (*imported.notes, *left_out_notes(imported.left_out)):
            click.echo(printable(f"note: {note}"))
        changes = f"{len(imported.added)} new, {len(imported.changed)} changed"
        changes += f", {len(imported.gone)} {'removed' if prune else 'stale'}" if imported.gone else ""
        state = "written" if imported.written else "unchanged"
        click.echo(f"{imported.ledger}: {plural(imported.claims, 'claim')}, {changes}: {state}")
        click.echo(accounting(imported))

    return Outcome(imported.findings, imported, show)


@command_of(claims)
@examples("claims bind paper.md", "claims bind paper.tex --write")
@click.argument("document", metavar="DOC")
@INTO
@MODEL
@click.option("--write", is_flag=True, help="Write the ledger; on a terminal, ask where several scores fit.")
def bind(shell: Shell, document: str, into: str | None, model: str | None, write: bool) -> Outcome:
    """Find what the numbers of a document rest on: scores of the run, by value, name and place; averages; repetitions.

    Shows what it finds; --write puts it into the ledger of the document. Nothing is bound by chance: aqea-registry docs claims.
    """
    from aqea_registry.claims.bind_claims import bind_claims
    from aqea_registry.claims.import_claims import accounting, left_out_notes

    asks = write and not shell.json and sys.stdin.isatty() and sys.stdout.isatty()
    choose = _choose if asks else lambda number, scores: None
    found = bind_claims(
        shell.project(), shell.directory / document, shell.report, into=into, model=model, choose=choose, write=write
    )

    def show() -> None:
        for note in (*found.notes, *left_out_notes(found.left_out)):
            click.echo(printable(f"note: {note}"))
        for claim in found.bound:
            evidence = claim.measured and f"{claim.measured.metric} of {claim.measured.result}"
            evidence = evidence or claim.derived or f"as {claim.quoted.claim if claim.quoted else None}"
            click.echo(printable(f"{claim.id}: {claim.value} (line {claim.at.line}): {evidence}"))
        for id_, scores in found.asked.items():
            click.echo(printable(f"{id_}: {' or '.join(scores)}?"))
        state = "written" if found.written else "unchanged" if write else "not written, --write does"
        bound, asked = plural(len(found.bound), "number"), len(found.asked)
        counts = f"{bound} bound, {asked} may be several scores, {found.unbound} rest on nothing"
        click.echo(f"{found.ledger}: {counts}: {state}")
        click.echo(accounting(found))

    return Outcome(found.findings, found, show, status=int(bool(found.asked)))


def _choose(number: str, scores: Sequence[str]) -> int | None:
    """Ask which score a number is."""
    for place, score in enumerate(scores, 1):
        click.echo(printable(f"  {place}: {score}"))
    answer: int = click.prompt(printable(f"{number} is (0: none)"), type=click.IntRange(0, len(scores)), default=0)
    return answer - 1 if answer else None


@command_of(claims)
@examples("claims lint", "claims lint README.md docs/*.md", "claims lint --update paper.tex")
@click.argument("documents", nargs=-1, metavar="[DOC]...")
@click.option(
    "--update", is_flag=True, help="Write new sha256 and lines into ledgers of changed documents, if nothing else is wrong."
)
def lint(shell: Shell, documents: tuple[str, ...], update: bool) -> Outcome:
    """List the numbers of documents that look like results and are bound to no claim, and claims that are no longer there.

    DOC is Markdown, text or LaTeX; without any, the documents of the project's ledgers. A number is bound by a ledger of
    manifests/claims or by a marker beside it, see: aqea-registry docs claims.
    """
    from aqea_registry.claims.lint_claims import lint_claims

    linted, findings, error = lint_claims(shell.directory, [Path(document) for document in documents], update=update)

    def show() -> None:
        for page in linted:
            counts = f"{page.bound} bound, {page.examples} examples, {page.results - page.bound - page.examples} unbound"
            click.echo(
                printable(f"{page.document}: {plural(page.results, 'number looks', 'numbers look')} like results: {counts}")
            )
            for ledger in page.updated:
                click.echo(printable(f"  {ledger}: updated"))

    return Outcome(findings, {"documents": linted}, show, error)


@command_of(claims)
@examples("claims fill", "claims fill paper --write")
@click.argument("ledgers", nargs=-1, metavar="[LEDGER]...", shell_complete=complete("ledgers"))
@click.option("--write", is_flag=True, help="Write ledgers, and the numbers beside markers in their documents.")
@DOCUMENTS
def fill(shell: Shell, ledgers: tuple[str, ...], write: bool, documents: tuple[str, ...]) -> Outcome:
    """Give measured and derived claims the values that their evidence gives, as they are printed; show them without --write.

    Ledgers of published documents stay as they are. Exit status 1 while a number differs and was not written.
    """
    from aqea_registry.claims.fill_claims import fill_claims

    filled = fill_claims(shell.project(), shell.paths(documents), shell.report, ledgers, write=write)

    def show() -> None:
        for note in filled.notes:
            click.echo(printable(f"note: {note}"))
        for change in filled.changes:
            click.echo(printable(f"{change.claim}: {change.old} -> {change.new} ({change.at})"))
        state = f"written: {', '.join(filled.written) or 'nothing'}" if write else "not written, --write does"
        click.echo(f"{plural(len(filled.changes), 'number')} to fill in{': ' + state if filled.changes else ''}")

    return Outcome(filled.findings, filled, show, status=int(bool(filled.changes) and not write))


@command_of(claims)
@examples("claims export --format latex --to numbers.tex", "claims export --format model-index --model minilm")
@click.argument("ledgers", nargs=-1, metavar="[LEDGER]...", shell_complete=complete("ledgers"))
@click.option("--format", "form", type=click.Choice([*FORMATS, *SCORED]), required=True, help="What to write.")
@click.option("--to", type=click.Path(path_type=Path), metavar="FILE", help="Where to (default: the standard output).")
@click.option("--model", metavar="NAME", help="The catalogue's model whose scores are wanted, if the run has several.")
@DOCUMENTS
def export_(
    shell: Shell, ledgers: tuple[str, ...], form: Format, to: Path | None, model: str | None, documents: tuple[str, ...]
) -> Outcome:
    """Write the ledgers' numbers for a paper, with each claim's status.

    LaTeX macros, JSON; or for the run's scores, with the revisions that are pinned here, the model-index of a model card, or
    eval-results: a file for `.eval_results/` in the model's repository on the Hub.
    """
    from aqea_registry.base.extras import require
    from aqea_registry.base.files import write_bytes
    from aqea_registry.base.findings import BadConfiguration
    from aqea_registry.claims.export_claims import export_claims, export_scores

    if (form in SCORED and ledgers) or (form in FORMATS and model):
        raise BadConfiguration("ledgers go with latex and json, --model with model-index and eval-results", "leave one out")
    if form in SCORED:
        require("a model-index")
    project, folders = shell.project(), shell.paths(documents)
    if form == "latex" or form == "json":
        exported = export_claims(project, folders, shell.report, ledgers, form)
    else:
        exported = export_scores(project, shell.report, model, form)
    findings, text, numbers = exported.findings, exported.text, exported.numbers
    if to is not None:
        write_bytes(shell.directory / to, text.encode())
    piped = to is None and not shell.json  # then the standard output has nothing but the file
    for warning in (*exported.warnings, *(f"{finding.subject}: {finding.message}" for finding in findings if piped)):
        shell.report.warn(warning)
    shown = f"{to}: {plural(numbers, 'number')}" if to else text.removesuffix("\n")
    data = {"format": form, "path": str(to) if to else None, "numbers": numbers, "text": None if to else text}
    show = partial(click.echo, printable(shown) if to else shown)
    return Outcome(() if piped else findings, data, show, status=int(bool(findings)))
