"""Which confirmations say that something was made again, where, and why others do not count.

Nothing is signed yet, so this is what statements say of themselves, held against those on how the same bytes were made: the
making itself is not a second one. Two machines of one kind look the same here, and are not said to be two. Pure, but for
`own_statements` and what rests on it, which read the statements of a checkout.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from aqea_registry.attestations.statement import (
    NAME,
    RELEASE,
    Confirmation,
    Confirmed,
    Provenance,
    Statement,
    documents,
    moment,
    parse_statement,
)
from aqea_registry.base.files import Limit, read_small
from aqea_registry.base.findings import Finding, unread
from aqea_registry.vectors.margin import Machine

MADE, KEPT, FOLDER = "attestations", "manifests/made", "manifests/confirmations"


class Remade(msgspec.Struct, frozen=True, kw_only=True):
    """One pair set of a confirmation. `alike`: it was made on this kind of machine, too; `doubt`: why it does not count."""

    key: str
    reference: str
    verdict: str
    machine: Machine
    alike: bool
    doubt: str | None

    @property
    def again(self) -> bool:
        """Whether it says that somebody got the same bytes again."""
        return self.verdict == "IDENTICAL" and self.doubt is None

    def where(self) -> str:
        """On which machine, for people."""
        return self.machine.text() + (", the same kind of machine that made it, perhaps the same one" if self.alike else "")

    def outcome(self) -> str:
        """What came of it, for people."""
        return self.verdict if self.doubt is None else f"not counted: {self.doubt}"


def remade(statement: Statement, others: Iterable[Statement]) -> list[Remade]:
    """What a confirmation says of each pair set, held against those of the `others` that say how the same bytes were made."""
    confirmation = statement.confirmation()
    if confirmation is None:
        return []
    known: defaultdict[str, list[Provenance]] = defaultdict(list)
    for other in others:
        if (provenance := other.provenance()) is not None:
            for sha256 in other.digests:
                known[sha256].append(provenance)
    rows, subjects = list[Remade](), statement.digests
    for key, made in sorted(confirmation.pair_sets.items()):
        makings = known[made.released]
        kinds = {found.kind for making in makings if (found := making.machine())}
        doubt = _doubt(confirmation, made, makings) if made.released in subjects else "it is not about what it compares"
        machine, alike, reference = made.machine, made.machine.kind in kinds, confirmation.reference
        rows.append(Remade(key=key, reference=reference, verdict=made.verdict, machine=machine, alike=alike, doubt=doubt))
    return rows


def _doubt(confirmation: Confirmation, made: Confirmed, makings: list[Provenance]) -> str | None:
    """Why this does not say that the pair set was made a second time, if so. `makings` say how it was made, or its release."""
    if (made.verdict == "IDENTICAL") != (made.released == made.regenerated):
        return "its verdict is not that of its digests"
    when = made.metadata or confirmation.metadata
    began, ended = moment(when.started_on), moment(when.finished_on)
    periods = [(making, period) for making in makings if (period := making.period())]
    for making, period in periods:
        # 0.1.0 confirmed without encoding: from the beginning of the making to the moment of the confirmation.
        early = began < moment(period.started_on) or (began == moment(period.started_on) and not made.encoded)
        if early and moment(period.finished_on) <= ended and making.machine() == made.machine:
            return "it states the making itself, not another one"
    releases = [moment(period.finished_on) for making, period in periods if making.build_definition.build_type == RELEASE]
    if releases and ended < min(releases):
        return "it ended before the release was made"
    return None if made.encoded or makings else "it does not say that anything was encoded for it"


def own_statements(root: Path) -> Iterator[tuple[str, bytes]]:
    """Every statement of a checkout, by its path: on its own run, and the confirmations in git."""
    for folder in (MADE, KEPT, FOLDER):
        for path in sorted((root / folder).glob("*.intoto.json*")):
            with suppress(OSError):  # `verify` reports it
                if NAME.fullmatch(path.name):
                    yield path.relative_to(root).as_posix(), read_small(path, Limit.STATEMENT)


def confirmation_findings(root: Path) -> Iterator[Finding]:
    """What is wrong with the confirmations in git as files."""
    for path in sorted((root / FOLDER).glob("*.intoto.json*")):
        name = path.relative_to(root).as_posix()
        try:
            for document in documents(read_small(path, Limit.STATEMENT)):
                yield from parse_statement(document, name)[1]
        except OSError as error:
            yield unread(name, error)


def statements_in(files: Iterable[tuple[str, bytes]]) -> list[Statement]:
    """The statements of these files that can be read."""
    found = [parse_statement(document, name)[0] for name, content in files for document in documents(content)]
    return [statement for statement in found if statement is not None]


def confirmed(root: Path) -> list[Remade]:
    """What the confirmations of a checkout say, sorted."""
    statements = statements_in(own_statements(root))
    rows = [row for statement in statements for row in remade(statement, statements)]
    return sorted(rows, key=lambda row: (row.key, row.reference, row.where(), row.outcome()))


def statement_notes(root: Path) -> list[str]:
    """What there is to say of statements of a checkout on which nothing rests: not judged, or confirmations of nothing."""
    notes = {f"a confirmation of {row.key} of {row.reference} is {row.outcome()}" for row in confirmed(root) if row.doubt}
    for path, content in own_statements(root):
        types = (statement.predicate_type for statement in statements_in([(path, content)]) if not statement.judged)
        notes |= {f"{path}: not judged: its predicate is of type {kind!r}" for kind in types}
    return sorted(notes)
