"""Documents into ledgers: what import, check and lint make of the corpus, against what a careful reader finds in it.

`python -m benchmarks documents` prints every miss with its document and line, and then the table of figures.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import msgspec

from aqea_registry.base.findings import RegistryError
from aqea_registry.base.progress import Silent
from aqea_registry.claims.check_claims import check_claims
from aqea_registry.claims.import_claims import import_claims
from aqea_registry.claims.judging import DOUBTFUL
from aqea_registry.claims.ledger import FOLDER, Claim, Ledger, Quotation, Verdict, parse_ledger, render_ledger
from aqea_registry.claims.lint_claims import lint_claims
from aqea_registry.documents.numbers import scan
from aqea_registry.documents.prose import kind_of, line_starts
from aqea_registry.project.project import open_project
from benchmarks import corpus
from benchmarks.corpus import UNIT_SCALES, UNITS, Edit, Expected, Number, Place, Relation, digits, magnitude, slug
from benchmarks.relations import random_tables
from benchmarks.timing import Figure, Goal, temporary
from tests.documents import labelled

PARAMS = "datasets: {}\nmodels: {}\nruns: {}\nrun: {pairs: {}, exports: {}}\npublish: {stores: [], title: Documents}\n"


class Miss(NamedTuple):
    """Something that is not as a careful reader has it: what kind of miss, where, and what."""

    kind: str
    document: str
    line: int
    text: str


class Read(NamedTuple):
    """A document after its import: the claims, the verdicts on them, and lines and texts of what the import left out."""

    claims: tuple[Claim, ...]
    verdicts: tuple[Verdict, ...]
    left: tuple[tuple[int, str], ...]


class Outcome(NamedTuple):
    """All misses, and how many of what was asked for."""

    misses: list[Miss]
    asked: Counter[str]

    def count(self, *kinds: str) -> int:
        """How many misses there are of these kinds."""
        return sum(miss.kind in kinds for miss in self.misses)


def measure(*, quick: bool) -> list[Figure]:
    """The corpus against its expectations, evidence over edits, random tables, and the processor time of large documents."""
    with temporary() as root:
        outcome = run_corpus(root)
        for miss in outcome.misses:
            print(f"{miss.kind}: {miss.document}:{miss.line}: {miss.text}")
        return [*figures(outcome), *random_tables(quick=quick), *_speed(root, quick=quick)]


def run_corpus(root: Path) -> Outcome:
    """Import, check and lint every document of the corpus, and repeat every edit, in projects below a folder."""
    outcome = Outcome([], Counter())
    for number, expected in enumerate(corpus.documents()):
        _run_document(project_below(root, f"document-{number}"), expected, outcome)
    for number, edit in enumerate(corpus.edits()):
        try:
            outcome.misses.extend(_run_edit(project_below(root, f"edit-{number}"), edit))
        except RegistryError as error:
            outcome.misses.extend(Miss("evidence", edit.before.name, old.line, str(error)) for old, _, _ in edit.evidence)
        outcome.asked["evidence"] += len(edit.evidence)
    return outcome


def figures(outcome: Outcome) -> list[Figure]:
    """The table's rows with their goals. Relations and new sentences have what was reached before."""
    asked, count = outcome.asked, outcome.count
    cells, results = asked["cells"], asked["results"]
    found = results - count("lint: missed")
    held, fresh = labelled.measure("held-back"), labelled.measure(*labelled.FRESH)

    def share(what: str, part: int, whole: int, least: float, *, before: bool = False) -> Figure:
        goal = Goal("ours", "reached before" if before else "at least", least)
        return Figure(what, [part / whole if whole else 1.0], f"{part} of {whole}", unit="", goal=goal)

    def none(what: str, *kinds: str) -> Figure:
        return Figure(what, [count(*kinds)], unit="", goal=Goal("ours", "at most", 0))

    return [
        share("recall in tables and model-index", cells - count("lost", "left out"), cells, 0.995),
        none("numbers lost and not reported", "lost"),
        none("wrong values", "wrong value"),
        none("wrong units", "wrong unit"),
        none("wrong labels or lines", "wrong label", "wrong line"),
        none("evidence moved or lost", "evidence"),
        none("imports that are not stable", "not stable"),
        share("relations found", asked["relations"] - count("relation missed"), asked["relations"], 0.95, before=True),
        none("relations that are false", "relation false"),
        share("contradictions found", asked["planted"] - count("contradiction missed"), asked["planted"], 0.94, before=True),
        share("lint: recall, labelled sentences", held.marked - len(held.missed), held.marked, 0.98),
        share("lint: precision, labelled sentences", held.reported - len(held.wrong), held.reported, 0.98),
        share("lint: recall, fresh sentences", fresh.marked - len(fresh.missed), fresh.marked, 0.95, before=True),
        share("lint: precision, fresh sentences", fresh.reported - len(fresh.wrong), fresh.reported, 0.95, before=True),
        share("lint: recall", found, results, 0.98),
        share("lint: precision", found, found + count("lint: no result"), 0.98),
        none("imported and not bound for lint", "not bound"),
    ]


def project_below(root: Path, name: str) -> Path:
    """A new project with an empty catalogue."""
    (root / name).mkdir()
    (root / name / "params.yaml").write_text(PARAMS)
    return root / name


def _run_document(root: Path, expected: Expected, outcome: Outcome) -> None:
    """One document through import, check and lint."""
    name = expected.path.name
    (root / name).write_bytes(expected.path.read_bytes())
    outcome.asked["cells"] += sum(number.treat == "import" for number in expected.numbers)
    asked = [relation for relation in expected.relations if relation.asked]
    outcome.asked["relations"] += len({relation.of for relation in asked})
    outcome.asked["planted"] += sum(not relation.holds for relation in asked)
    if expected.path.suffix in (".md", ".tex"):
        misses, results = _lint(expected)
        outcome.misses.extend(misses)
        outcome.asked["results"] += results
    try:
        read = _read(root, name)
    except RegistryError as error:
        outcome.misses.append(Miss("refused", name, 1, str(error)))
        read = Read((), (), ())
    outcome.misses.extend([*_numbers(expected, read), *_relations(expected, read)])
    if read.claims:
        outcome.misses.extend(_again(root, expected))


def _read(root: Path, name: str) -> Read:
    project = open_project(root)
    imported = import_claims(project, root / name)
    checked = check_claims(project, [root], Silent())
    left = tuple((one.line, one.text) for one in imported.left_out)
    (ledger,) = checked.ledgers.values()
    return Read(ledger.claims, checked.verdicts, left)


def _ledger(root: Path) -> tuple[Path, Ledger]:
    (path,) = (root / FOLDER).glob("*.yaml")
    ledger, findings = parse_ledger(path.read_bytes(), path.stem)
    assert ledger is not None and not findings
    return path, ledger


def _value(claim: Claim) -> Fraction | None:
    try:
        return magnitude(claim.value or "") * UNIT_SCALES.get(claim.unit, 1)
    except AssertionError:
        return None


def _has_value(number: Number, claim: Claim) -> bool:
    return _value(claim) in number.values


def _has_digits(number: Number, claim: Claim) -> bool:
    return claim.value is not None and any(digits(claim.value) == digits(text) for text in number.spellings)


def _has_same_digits(number: Number, claim: Claim) -> bool:
    read = magnitude(digits(claim.value or ""))
    return read in [magnitude(digits(text), comma=number.comma) for text in number.spellings]


def _on_line(number: Number, claim: Claim) -> bool:
    return claim.at.line == number.line


def _has_labels(number: Number, claim: Claim) -> bool:
    """Whether a reader finds the claim's row, column and table under the names that the document gives them."""
    if not number.labels:  # of the text
        return claim.at.table is None
    if len(number.labels) == 1:
        words = {*slug(claim.id.replace(".", "-")).split("-")}
        return words >= {*slug(number.labels[0][0]).split("-")}
    table, row, column = ({slug(label) for label in labels} for labels in number.labels)
    named = slug(claim.at.table or "")
    return (
        any(name in named or named in name for name in table)
        and slug(claim.at.row or "") in row
        and slug(claim.at.column or "") in column
    )


_PASSES: tuple[tuple[Callable[[Number, Claim], bool], ...], ...] = (
    (_on_line, _has_value, _has_labels),
    (_on_line, _has_value),
    (_has_value, _has_labels),
    (_on_line, _has_digits),
)


def _numbers(expected: Expected, read: Read) -> Iterator[Miss]:
    """Numbers of tables and model-index: lost, wrong, or claimed where there is none."""
    name = expected.path.name
    free, matched = list(read.claims), dict[int, Claim]()
    for tests in _PASSES:
        for n, number in enumerate((*expected.numbers, *expected.prose)):
            claim = next((c for c in free if n not in matched and all(test(number, c) for test in tests)), None)
            if claim is not None:
                matched[n] = claim
                free.remove(claim)
    for n, number in enumerate(expected.numbers):
        told = any(line == number.line and any(digits(s) in text for s in number.spellings) for line, text in read.left)
        if n in matched:
            yield from _compared(name, number, matched[n])
        elif number.treat != "nothing" and not told:
            yield Miss("lost", name, number.line, number.spellings[0])
        elif number.treat == "import":
            yield Miss("left out", name, number.line, number.spellings[0])
    yield from (Miss("wrong value", name, c.at.line or 0, f"{c.id}: {c.value} {c.unit}") for c in free)


def _compared(name: str, number: Number, claim: Claim) -> Iterator[Miss]:
    told = f"{claim.id}: {claim.value} {claim.unit}"
    if number.treat == "nothing":
        return
    if not _on_line(number, claim):
        yield Miss("wrong line", name, number.line, f"{told}, line {claim.at.line}")
    elif not _has_labels(number, claim):
        labels = ", ".join(names[0] for names in number.labels)
        yield Miss("wrong label", name, number.line, f"{told}: {claim.at}; it is {labels}")
    if not _has_value(number, claim) and not _has_same_digits(number, claim):
        yield Miss("wrong value", name, number.line, f"{told}; it is {number.spellings[0]}")
    elif number.unit != "any" and (claim.unit not in UNITS[number.unit] or not _has_value(number, claim)):
        yield Miss("wrong unit", name, number.line, f"{told}; it is {number.spellings[0]}, {number.unit}")


def _relations(expected: Expected, read: Read) -> Iterator[Miss]:
    """What claims were bound to, and what they should have been."""
    name = expected.path.name
    places = {claim.id: Place(claim.at.line or 0, value) for claim in read.claims if (value := _value(claim)) is not None}
    found: Counter[Relation] = Counter()
    for verdict in read.verdicts:
        claim = verdict.claim
        if claim.id not in places or (claim.derived is None and not (claim.quoted and claim.quoted.claim)):
            continue
        terms = {places[own.partition(":")[2]] for own in verdict.rests_on}
        relation = next((one for one in expected.relations if one.of == places[claim.id] and _same_terms(one, terms)), None)
        states = ("holds", DOUBTFUL) if relation and relation.holds else ("contradicted",)  # of a term that is wrong itself
        if relation is None or (verdict.reason or verdict.state) not in states:
            evidence = claim.derived or (claim.quoted and claim.quoted.claim)
            yield Miss("relation false", name, claim.at.line or 0, f"{claim.id}: {claim.value} = {evidence}: {verdict.state}")
        else:
            found[relation] += 1
    for of in dict.fromkeys(relation.of for relation in expected.relations if relation.asked):
        ways = [relation for relation in expected.relations if relation.of == of]
        if not any(found[way] for way in ways):
            yield Miss("relation missed", name, of.line, f"{float(of.value):g}: {' or '.join(way.kind for way in ways)}")
            yield from (Miss("contradiction missed", name, of.line, f"{float(of.value):g}") for way in ways if not way.holds)


def _same_terms(relation: Relation, terms: set[Place]) -> bool:
    return {*relation.terms} <= terms <= {*relation.terms, *relation.weights}


def _lint(expected: Expected) -> tuple[list[Miss], int]:
    """The numbers that lint takes for results, against those that are; and how many are."""
    text = expected.path.read_text()
    starts = line_starts(text)
    numbers = scan(text, kind_of(expected.path.suffix, text)).numbers
    seen = Counter((bisect_right(starts, one.start), digits(one.text)) for one in numbers if one.why is not None)
    results, others = Counter[tuple[int, str]](), Counter[tuple[int, str]]()
    for number in (*expected.numbers, *expected.prose):
        kind = others if number.treat == "nothing" or number.setting else results
        kind[number.line, digits(number.spellings[0])] += 1
    name = expected.path.name
    misses = [Miss("lint: missed", name, *place) for place in (results - seen).elements()]
    misses += [Miss("lint: no result", name, *place) for place in (seen - results - others).elements()]
    return misses, results.total()


def _again(root: Path, expected: Expected) -> Iterator[Miss]:
    """Import again, which changes nothing, and lint, which finds every imported number bound."""
    name = expected.path.name
    if import_claims(open_project(root), root / name).written:
        yield Miss("not stable", name, 1, "the second import changes the ledger")
    if expected.path.suffix in (".md", ".tex"):
        _, ledger = _ledger(root)
        imported = {(claim.at.line, digits(claim.text)) for claim in ledger.claims}
        ((document,), _, _) = lint_claims(root, [Path(name)])
        for fault in document.faults:  # the message about an unbound number begins with it
            if fault.code == "claim-stale" or (fault.line, digits(fault.message)) in imported:
                yield Miss("not bound", name, fault.line, fault.message)


def _run_edit(root: Path, edit: Edit) -> Iterator[Miss]:
    """Give numbers evidence by hand, edit the document, import again: the evidence is with its number or said to be without."""
    document = root / f"document{edit.before.suffix}"
    name = edit.before.name.replace(".before", "")
    document.write_bytes(edit.before.read_bytes())
    import_claims(open_project(root), document)
    path, ledger = _ledger(root)
    claims = list(ledger.claims)
    for source, (old, _, _) in enumerate(edit.evidence):
        n = next((n for n, c in enumerate(claims) if (c.at.line, _value(c)) == old), None)
        if n is None:
            yield Miss("evidence", name, old.line, f"{float(old.value):g} was not imported before the edit")
            continue
        quoted = Quotation(source=f"page {source}")
        claims[n] = msgspec.structs.replace(claims[n], measured=None, derived=None, quoted=quoted)
    path.write_bytes(render_ledger(msgspec.structs.replace(ledger, claims=tuple(claims))))
    document.write_bytes(edit.after.read_bytes())
    imported = import_claims(open_project(root), document)
    _, after = _ledger(root)
    by_source = {c.quoted.source: c for c in after.claims if c.quoted}
    for source, (old, new, changed) in enumerate(edit.evidence):
        claim = by_source.get(f"page {source}")
        told = claim is not None and any(claim.id in finding.subject for finding in imported.findings)
        at = Place(claim.at.line or 0, _value(claim) or Fraction(0)) if claim else None
        kept = claim is not None and told and _value(claim) == old.value  # it stays behind, and a finding says so
        if not (kept or (new is not None and at == new and (told or not changed))):
            where = f"line {claim.at.line}, {claim.value}" if claim else "nowhere"
            yield Miss("evidence", name, old.line, f"that of {float(old.value):g} is at {where}{'' if told else ', unsaid'}")


def _speed(root: Path, *, quick: bool) -> Iterator[Figure]:
    """Processor time of importing a card of 990 values and of linting five megabytes, and of twice as much against that."""
    values, size = (99, 500_000) if quick else (990, 5_000_000)
    page = "\n".join(e.path.read_text() for e in corpus.documents() if e.path.suffix == ".md" and e.prose)
    card, long = project_below(root, "card"), project_below(root, "long")
    imports, lints = list[float](), list[float]()
    for times in (1, 1, 2):  # the first loads what is needed
        (card / "card.md").write_text(_card(values * times))
        (long / "page.md").write_text(page * (size * times // len(page)))
        imports.append(_processor(lambda: import_claims(open_project(card), card / "card.md")))
        lints.append(_processor(lambda: lint_claims(long, [Path("page.md")])))
        for path in (card / FOLDER).glob("*.yaml"):
            path.unlink()
    yield Figure(f"import of {values} values", [imports[1]], goal=Goal("ours", "at most", 0.3))
    yield Figure("twice as many", [imports[2]], "as many", [imports[1]], goal=Goal("ratio", "at most", 2.5))
    yield Figure(f"lint of {size / 1e6:g} MB", [lints[1]], goal=Goal("ours", "at most", 2))
    yield Figure("twice as much", [lints[2]], "as much", [lints[1]], goal=Goal("ratio", "at most", 2.5))


def _processor(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


METRICS = [f"{kind}_at_{k}" for kind in ("map", "mrr", "ndcg", "precision", "recall") for k in (1, 10, 100)]


def _card(values: int) -> str:
    """A card whose model-index prints this many values, fifteen of each dataset."""
    results: Sequence[str] = [
        f"  - task:\n      type: Retrieval\n    dataset:\n      type: example/set-{n}\n      name: MTEB Set{n}\n"
        f"      config: default\n      split: test\n      revision: {n:040x}\n    metrics:\n"
        + "".join(
            f"    - type: {metric}\n      value: {30 + (n * 37 + m * 11) % 5000 / 100}\n" for m, metric in enumerate(METRICS)
        )
        for n in range(values // len(METRICS))
    ]
    return f"---\nmodel-index:\n- name: large\n  results:\n{''.join(results)}---\n# large\n"
