"""The commands `claims`: check, import, bind, fill, lint, export."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aqea_registry.base.progress import plural, printable
from aqea_registry.cli.output import print_table
from aqea_registry.cli.shell import PATH, Outcome, Shell, command, complete, epilog, main

if TYPE_CHECKING:
    from aqea_registry.claims.check_claims import CheckedClaims
    from aqea_registry.claims.drafting import EvaluationUnit
    from aqea_registry.claims.export_claims import Format

MOST_COMMANDS = 10  # that are shown
FORMATS, SCORED = ("latex", "json"), ("model-index", "eval-results")  # of claims, and of the run's scores
STATES = ("holds", "contradicted", "unchecked", "unbound")
OUTSIDE = "Where documents lie that are not part of the project (repeatable)."
DOCUMENTS = click.option("--documents", multiple=True, metavar="FOLDER", help=OUTSIDE)
LEDGERS = click.argument("ledgers", nargs=-1, metavar="[LEDGER]...", shell_complete=complete("ledgers"))
INTO = click.option("--into", metavar="LEDGER", help="The ledger (default: named after the document).")
UNNAMED = "The repository id of the model-index's model, if the card does not print it."
MODEL = click.option("--model", metavar="REPO", help=UNNAMED)


@main.group(epilog=epilog("claims check", "claims import paper.tex", "claims lint README.md"))
def claims() -> None:
    """Printed numbers and what they rest on. Check, import, bind, fill, export them; find those that rest on nothing."""


@command("claims check", "claims check paper --documents ~/papers", group=claims)
@LEDGERS
@DOCUMENTS
@click.option("--strict", is_flag=True, help="Take for a finding what is unchecked or unbound, too: each claim with its line.")
def check(shell: Shell, ledgers: tuple[str, ...], documents: tuple[str, ...], strict: bool) -> Outcome:
    """Judge every claim of manifests/claims, or of some ledgers: holds, contradicted, unchecked, unbound."""
    from aqea_registry.claims.check_claims import check_claims, nothing_judged
    from aqea_registry.claims.judging import commands, counts

    checked = check_claims(shell.project(), shell.paths(documents), shell.report, ledgers, strict=strict)
    data = {"documents": checked.documents, "notes": checked.notes, "verdicts": checked.verdicts}
    data |= {"counts": counts(checked.verdicts), "commands": commands(checked.verdicts)}
    return Outcome(checked.findings, data, lambda: _lines(checked), nothing_judged(checked))


def _lines(checked: CheckedClaims) -> Iterator[str]:
    """Counts by ledger, then what could not be checked, by reason; what is contradicted is in the findings."""
    from aqea_registry.claims.judging import commands, counts, reasons

    yield from (f"note: {note}" for note in checked.notes)
    by_ledger = counts(checked.verdicts)
    rows = [(name, checked.documents.get(name, ""), *(count[state] for state in STATES)) for name, count in by_ledger.items()]
    print_table(("ledger", "document", *STATES), rows)
    if missing := reasons(checked.verdicts):
        print_table(("unchecked", "claims", "for example"), missing)
    ways = [(len(names), command) for command, names in commands(checked.verdicts).items()]
    if ways:
        print_table(("claims", "become checkable by"), ways[:MOST_COMMANDS])
    if more := ways[MOST_COMMANDS:]:
        yield f"and {sum(count for count, _ in more)} claims by {plural(len(more), 'other command')}: all are in --json"
    words = {"sentence_only": "rest on a sentence only (quoted: source)", "stale": "would hold, but their document was changed"}
    words["tolerance"] = "state a tolerance of their own, with the reason: --json has it"
    for key, text in words.items():
        if count := by_ledger["all"][key]:
            yield f"{count} of {by_ledger['all']['claims']} {text}"


@command("claims import paper.tex", "claims import README.md --into card", group=claims)
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

    lines = [f"note: {note}" for note in (*imported.notes, *left_out_notes(imported.left_out))]
    changes = f"{len(imported.added)} new, {len(imported.changed)} changed"
    changes += f", {len(imported.gone)} {'removed' if prune else 'stale'}" if imported.gone else ""
    state = "written" if imported.written else "unchanged"
    lines += [f"{imported.ledger}: {plural(imported.claims, 'claim')}, {changes}: {state}", accounting(imported)]
    return Outcome(imported.findings, imported, lambda: lines)


@command("claims bind paper.md", "claims bind paper.tex --write", group=claims)
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
    choose, path = _choose if asks else lambda number, scores: None, shell.directory / document
    found = bind_claims(shell.project(), path, shell.report, into=into, model=model, choose=choose, write=write)

    def show() -> Iterator[str]:
        yield from (f"note: {note}" for note in (*found.notes, *left_out_notes(found.left_out)))
        for claim in found.bound:
            evidence = claim.measured and f"{claim.measured.metric} of {claim.measured.result}"
            evidence = evidence or claim.derived or f"as {claim.quoted.claim if claim.quoted else None}"
            yield f"{claim.id}: {claim.value} (line {claim.at.line}): {evidence}"
        yield from (f"{id_}: {' or '.join(scores)}?" for id_, scores in found.asked.items())
        state = "written" if found.written else "unchanged" if write else "not written, --write does"
        bound, asked = plural(len(found.bound), "number"), len(found.asked)
        yield f"{found.ledger}: {bound} bound, {asked} may be several scores, {found.unbound} rest on nothing: {state}"
        yield accounting(found)
        if found.unbound and not found.bound:
            yield "next: name dataset, model and metric there, correct what a note names, or see: aqea-registry docs claims"

    return Outcome(found.findings, found, show, status=int(bool(found.asked)))


def _choose(number: str, scores: Sequence[str]) -> int | None:
    """Ask which score a number is."""
    for place, score in enumerate(scores, 1):
        click.echo(printable(f"  {place}: {score}"))
    answer: int = click.prompt(printable(f"{number} is (0: none)"), type=click.IntRange(0, len(scores)), default=0)
    return answer - 1 if answer else None


@command("claims lint", "claims lint README.md docs/*.md", "claims lint --update paper.tex", group=claims)
@click.argument("documents", nargs=-1, metavar="[DOC]...")
@click.option(
    "--update", is_flag=True, help="Write new sha256 and lines into ledgers of changed documents, if all else is right."
)
def lint(shell: Shell, documents: tuple[str, ...], update: bool) -> Outcome:
    """List the numbers of documents that look like results and are bound to no claim, and claims that are no longer there.

    DOC is Markdown, text or LaTeX; without any, the documents of the project's ledgers. A number is bound by a ledger of
    manifests/claims or by a marker beside it, see: aqea-registry docs claims.
    """
    from aqea_registry.claims.lint_claims import lint_claims

    linted, findings, error = lint_claims(shell.directory, [Path(document) for document in documents], update=update)

    def show() -> Iterator[str]:
        for page in linted:
            counts = f"{page.bound} bound, {page.examples} examples, {page.results - page.bound - page.examples} unbound"
            yield f"{page.document}: {plural(page.results, 'number looks', 'numbers look')} like results: {counts}"
            yield from (f"  {ledger}: updated" for ledger in page.updated)

    return Outcome(findings, {"documents": linted}, show, error)


@command("claims fill", "claims fill paper --write", group=claims)
@LEDGERS
@click.option("--write", is_flag=True, help="Write ledgers, and the numbers beside markers in their documents.")
@DOCUMENTS
def fill(shell: Shell, ledgers: tuple[str, ...], write: bool, documents: tuple[str, ...]) -> Outcome:
    """Give measured and derived claims the values that their evidence gives, as they are printed; show them without --write.

    Ledgers of published documents stay as they are. Exit status 1 while a number differs and was not written.
    """
    from aqea_registry.claims.fill_claims import fill_claims

    filled = fill_claims(shell.project(), shell.paths(documents), shell.report, ledgers, write=write)
    lines = [f"note: {note}" for note in filled.notes]
    lines += [f"{change.claim}: {change.old} -> {change.new} ({change.at})" for change in filled.changes]
    state = f"written: {', '.join(filled.written) or 'nothing'}" if write else "not written, --write does"
    lines += [f"{plural(len(filled.changes), 'number')} to fill in{': ' + state if filled.changes else ''}"]
    return Outcome(filled.findings, filled, lambda: lines, status=int(bool(filled.changes) and not write))


@command("claims export --format latex --to numbers.tex", "claims export --format model-index --model minilm", group=claims)
@LEDGERS
@click.option("--format", "form", type=click.Choice([*FORMATS, *SCORED]), required=True, help="What to write.")
@click.option("--to", type=PATH, metavar="FILE", help="Where to (default: the standard output).")
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
        write_bytes(shell.output(to, text.partition("\n")[0]), text.encode())
    piped = to is None and not shell.json  # then the standard output has nothing but the file
    for warning in (*exported.warnings, *(f"{finding.subject}: {finding.message}" for finding in findings if piped)):
        shell.report.warn(warning)

    def show() -> Iterator[str]:
        if to is None:
            click.echo(text.removesuffix("\n"))
        else:
            yield f"{to}: {plural(numbers, 'number')}"

    data = {"format": form, "path": str(to) if to else None, "numbers": numbers, "text": None if to else text}
    return Outcome(() if piped else findings, data, show, status=int(bool(findings)))
