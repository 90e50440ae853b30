"""Ledgers as files: written in one spelling, read back the same, and every fault named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ruamel.yaml
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aqea_registry.base.files import Limit
from aqea_registry.base.findings import BadConfiguration
from aqea_registry.base.strict import load_yaml
from aqea_registry.claims.ledger import (
    FOLDER,
    At,
    Claim,
    Document,
    Evaluation,
    Ledger,
    Measurement,
    Quotation,
    free,
    parse_ledger,
    read_ledgers,
    render_ledger,
)
from tests.growth import assert_linear

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "null",
        "yes",
        "1e5",
        "~",
        "0x1",
        "2024-01-01",
        "- a",
        "a: b",
        "#",
        "<<",
        "=",
        "\u2028",
        "\x85",
        "%",
        "&a",
        "*a",
        "!!int 3",
        "'",
    ]
)
MAYBE = st.none() | TEXT
CLAIMS = st.builds(
    Claim,
    id=st.from_regex(r"[a-z0-9][a-z0-9._/+@-]{0,9}", fullmatch=True),
    value=TEXT,
    unit=st.sampled_from(["percent", "text", "count"]),
    at=st.builds(At, table=MAYBE, row=MAYBE, column=MAYBE, path=MAYBE, line=st.none() | st.integers(1, 10**6)),
    measured=st.none() | st.builds(Measurement, result=TEXT, metric=TEXT),
    printed=MAYBE,
    ocr=MAYBE,
    note=MAYBE,
)
LEDGERS = st.builds(
    Ledger,
    document=st.builds(Document, title=TEXT, sha256=st.just("0" * 64), file=TEXT, url=MAYBE),
    results=st.dictionaries(TEXT, st.builds(Evaluation, dataset=TEXT, model=TEXT, revision=MAYBE), max_size=3),
    claims=st.lists(CLAIMS, max_size=4, unique_by=lambda claim: claim.id).map(tuple),
)


@given(LEDGERS)
def test_what_is_written_is_read_back_and_yaml_reads_the_same(ledger: Ledger) -> None:
    content = render_ledger(ledger)
    assert parse_ledger(content, "name") == (ledger, [])
    assert yaml.safe_load(content) == load_yaml(content, "name", aliases=False)
    assert len([line for line in content.decode().split("\n") if line.startswith("- ")]) == len(ledger.claims)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.integers(), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES, st.booleans())
def test_values_are_what_dvc_reads(value: Any, flow: bool) -> None:
    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    content = yaml.dump(value, Dumper=Dumper, default_flow_style=flow, allow_unicode=True).encode()
    assert load_yaml(content, "name", aliases=False) == ruamel.yaml.YAML(typ="safe").load(content)


GOOD = """\
schema: aqea-registry/claims/1
document: {title: A card, sha256: "%s", file: card.md}
results:
  r: {dataset: org/set, model: org/model}
claims:
- {id: a, value: "1.0", unit: percent, at: {line: 1}, measured: {result: r, metric: m}}
- {id: b, value: "2", unit: count, at: {table: T, row: x, column: y}}
""" % ("0" * 64)  # fmt: skip

# What replaces what, and the finding: code, subject, and what its message says. The other claims are kept.
FAULTS: tuple[tuple[str, str, str, str, str], ...] = (
    ("id: b", "id: a", "duplicate", "card: a", "the id appears twice"),
    ("id: b", "id: B", "malformed", "card: B", "at `id`"),
    ("id: b", "id: [1]", "malformed", "card: [1]", "Expected a text"),
    ("{id: b", "{ID: b", "malformed", "card: claims[1]", "unknown field `ID`; did you mean 'id'?"),
    (
        'value: "2"',
        "value: 2.0",
        "malformed",
        "card: b",
        "Expected a text or null, got a number, at `value`; write it in quotes",
    ),
    ("unit: count", "unit: furlongs", "malformed", "card: b", "Invalid enum value 'furlongs'"),
    ("unit: count", "unit: count, colour: red", "malformed", "card: b", "unknown field `colour`"),
    ("unit: count", 'unit: count, tolerance: "1"', "malformed", "card: b", "a tolerance needs a reason"),
    ("unit: count", "unit: count, quoted: {}", "malformed", "card: b", "exactly one of claim, file and source"),
    (
        "unit: count",
        "unit: count, quoted: {source: x, pin: y}",
        "malformed",
        "card: b",
        "from a pin names its file",
    ),
    ("unit: count", "unit: count, derived: '[a]', quoted: {claim: a}", "malformed", "card: b", "evidence is of one kind"),
    ('value: "2"', "value: null", "malformed", "card: b", "needs `ocr`"),
    ("{table: T, row: x, column: y}", "{line: 0}", "malformed", "card: b", "at `at.line`"),
    ("{dataset: org/set, model: org/model}", "{dataset: org/set}", "malformed", "card: results.r", "`model`"),
    ("claims:\n", "extra: 1\nclaims:\n", "malformed", "card: extra", "unknown field"),
)


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{old} to {new}".replace("\n", " ") for old, new, *_ in FAULTS])
def test_a_fault_is_named_and_the_rest_is_kept(fault: tuple[str, str, str, str, str]) -> None:
    old, new, code, subject, told = fault
    assert old in GOOD
    ledger, findings = parse_ledger(GOOD.replace(old, new, 1).encode(), "card")
    assert [(one.code, one.subject) for one in findings] == [(code, subject)]
    assert told in findings[0].message
    assert ledger is not None
    assert ledger.claims[0].id == "a"


BOMB = "schema: aqea-registry/claims/1\na0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 20)
)
NO_LEDGERS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "schema: not aqea-registry/claims/1"),
    "a list": (b"- 1\n", "schema: not"),
    "another schema": (GOOD.replace("claims/1", "claims/2").encode(), "schema: not"),
    "no document": (b"schema: aqea-registry/claims/1\n", "got null"),
    "a digest that is none": (GOOD.replace("0" * 64, "0").encode(), "at `sha256`"),
    "claims that are no list": (GOOD.split("claims:\n")[0].encode() + b"claims: {a: 1}\n", "claims: Expected a list, got"),
    "an anchor": (GOOD.replace("results:", "results: &r", 1).encode(), "an anchor is not read here"),
    "a merge": (GOOD.replace("{dataset", "{<<: {task: x}, dataset", 1).encode(), "'<<' is not read here"),
    "a bomb": (BOMB.encode(), "an anchor is not read here"),
    "an alias": (GOOD.replace("org/set", "*r", 1).encode(), "an alias is not read here"),
    "a tag": (GOOD.replace("title: ", "title: !!python/name:os.system ", 1).encode(), "the tag"),
    "a key twice": (GOOD.replace("title: ", "title: x, title: ", 1).encode(), "the key 'title' appears twice"),
    "two documents": ((GOOD + "---\n" + GOOD).encode(), "a second document starts"),
    "deep": (b"schema: " + b"[" * 100_000, "nest"),  # the parser's own limit may come before ours
    "deeper than our limit": (b"schema: " + b"[" * 51 + b"]" * 51, "nested more than 50 deep"),
    "no UTF-8": (b"schema: \xff", "not text in UTF-8"),
    "a NUL": (b"schema: \0", "control characters"),
    "a number of many digits": (b"schema: " + b"9" * 10_000, "digits"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_LEDGERS)
def test_what_is_no_ledger_is_one_finding(name: str) -> None:
    content, told = NO_LEDGERS[name]
    ledger, findings = parse_ledger(content, "card")
    assert ledger is None
    assert [(one.code, one.subject) for one in findings] == [("malformed", "card")]
    assert told in findings[0].message
    assert len(findings[0].message) < 300


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "card.yaml").write_bytes(GOOD.encode() + b"#" * Limit.DOCUMENT)
    ledgers, findings = read_ledgers(tmp_path)
    assert (ledgers, [(finding.code, finding.subject) for finding in findings]) == ({}, [("malformed", "card")])
    assert findings[0].message == "larger than 16 MiB, too large for a ledger"


def test_names_of_ledgers_can_stand_in_references() -> None:
    for name in ("a:b", "a b", "", ".hidden", "[x]"):
        ledger, findings = parse_ledger(GOOD.encode(), name)
        assert (ledger, [one.subject for one in findings]) == (None, [name])
    assert parse_ledger(GOOD.encode(), "KaLM_2.paper-1")[1] == []


def test_defaults_are_left_out_and_texts_that_yaml_would_read_otherwise_are_quoted() -> None:
    claim = Claim(id="a", value="1e5", unit="percent", at=At(line=3), quoted=Quotation(source="yes"))
    document = Document(title="A", sha256="0" * 64, file="a.md")
    assert render_ledger(Ledger(document=document, claims=(claim,))).decode().splitlines() == [
        "schema: aqea-registry/claims/1",
        "document:",
        "  title: A",
        f'  sha256: "{"0" * 64}"',
        '  file: "a.md"',
        "claims:",
        '- {id: a, value: "1e5", unit: percent, at: {line: 3}, quoted: {source: "yes"}}',
    ]


def test_a_document_may_be_published_and_needs_no_sha256() -> None:
    head = b'schema: aqea-registry/claims/1\ndocument: {title: A, file: "a.md"%s}\n%sclaims: []\n'
    for content in (head % (b", published: true", b""), head % (b"", b"published: true\n")):
        ledger, findings = parse_ledger(content, "card")
        assert ledger is not None and findings == []
        assert ledger.document == Document(title="A", file="a.md", published=True)
        assert parse_ledger(render_ledger(ledger), "card") == (ledger, [])
    ledger, findings = parse_ledger(head % (b"", b"published: perhaps\n"), "card")
    assert ledger is None and findings[0].message == "published: Expected bool, got a text"


def test_reading_takes_time_that_grows_with_the_claims() -> None:
    def work(count: int) -> Callable[[], object]:
        claims = tuple(
            Claim(id=f"c{n}", value=f"{n}.5", unit="percent", at=At(path=f"results[{n}].value", line=n + 1), note="x" * 50)
            for n in range(count)
        )
        content = render_ledger(Ledger(document=Document(title="A", sha256="0" * 64, file="a.md"), claims=claims))
        ledger, findings = parse_ledger(content, "card")
        assert ledger is not None
        assert (len(ledger.claims), findings) == (count, [])
        return lambda: parse_ledger(content, "card")

    assert_linear(work, 2_500)


@pytest.mark.parametrize("unit", [b"[", b"9", b"#"], ids=["deep", "digits", "large"])
def test_refusing_takes_time_that_grows_with_the_bytes(unit: bytes) -> None:
    assert_linear(lambda size: lambda: parse_ledger(b"schema: " + unit * size, "card"), 500_000)


def test_an_error_names_the_file_and_the_line() -> None:
    with pytest.raises(BadConfiguration, match=r"^card: line 3, column 1: the key 'a' appears twice$"):
        load_yaml(b"a: 1\nb: 2\na: 3\n", "card")


def test_a_name_that_is_taken_gets_the_next_free_number() -> None:
    taken = {"x": 1, "x-3": 1}
    assert [free(name, taken) for name in ("x", "x", "y", "x-2", "x")] == ["x-2", "x-4", "y", "x-2-2", "x-5"]

    def work(count: int) -> Callable[[], object]:
        return lambda: [free("x", taken) for taken in [dict[str, int]()] for _ in range(count)]

    assert_linear(work, 20_000)
