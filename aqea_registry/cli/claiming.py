"""Commands around claims: what a document prints, and what it rests on."""

from __future__ import annotations

import click

from aqea_registry.cli.shell import Outcome, Shell, command_of, main

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
    raise NotImplementedError


@command_of(claims)
@click.argument("document", metavar="DOC")
@click.option("--into", metavar="LEDGER", help="The ledger (default: named after the document).")
def import_(shell: Shell, document: str, into: str | None) -> Outcome:
    """Write ledger entries for a model card's model-index, Markdown tables or a CSV file."""
    raise NotImplementedError


@command_of(claims)
@click.argument("document", metavar="DOC")
def lint(shell: Shell, document: str) -> Outcome:
    """List the numbers of a document that look like results and are bound to no claim, and claims that are no longer in it."""
    raise NotImplementedError


@command_of(claims)
def export_(shell: Shell) -> Outcome:
    """Write the ledger's numbers for a paper: LaTeX macros, JSON, or a model-index of what was recomputed."""
    raise NotImplementedError
