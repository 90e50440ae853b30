"""`claims check`: ledgers of a small project judged against its bytes, its files and each other."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aqea_registry.base import sha256_list
from aqea_registry.base.findings import BadConfiguration
from aqea_registry.base.progress import Silent
from aqea_registry.claims.check_claims import CheckedClaims, check_claims, nothing_judged
from aqea_registry.claims.ledger import (
    FOLDER,
    At,
    Claim,
    Document,
    Evaluation,
    Ledger,
    Measurement,
    Quotation,
    Verdict,
    render_ledger,
)
from aqea_registry.documents.numbers import shown
from aqea_registry.project.lock import LOCK, Lock, Pin, PinnedFile, render_lock
from aqea_registry.project.project import open_project
from aqea_registry.vectors.pair_set import Header
from aqea_registry.vectors.scores import metrics, products
from tests import sampling
from tests.factories import pairs
from tests.growth import assert_linear
from tests.helpers import found
from tests.pair_sets import Pairs, parse, render
from tests.tools import aqea

A, B, M = "a" * 40, "b" * 40, "d" * 40
PAIRS = "training/data/set_toy_8d_pairs.json"
CARD = "# A card\n\nSpearman: 12.34\n"
PARAMS = f"""
datasets:
  set: {{repo: org/set, revision: {A}}}
  set-old: {{repo: org/set, revision: {B}}}
models:
  toy: {{repo: org/toy, revision: {M}, dimension: 8, sources: ["directory:toy"]}}
runs: &runs
  default: &default
    pairs: {{set-toy: {{dataset: set, model: toy, file: set_toy_8d}}}}
    exports: {{}}
run: *default
publish: {{stores: [], title: t}}
"""


def pinned(content: bytes) -> PinnedFile:
    return PinnedFile(sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def pin(kind: str, commit: str, files: dict[str, PinnedFile]) -> Pin:
    entry = {"kind": kind, "id": "org/x", "requested": commit, "commit": commit, "licence": None, "resolved_from": None}
    return msgspec.convert({**entry, "files": msgspec.to_builtins(files)}, Pin)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one pair set, made without a model. Shared: look, do not touch."""
    root = tmp_path_factory.mktemp("claims") / "project"
    first, second, scores = pairs(1, 60, 8)
    score = metrics(products([(first, second)]), scores)
    header = Header(dataset="set", model="org/toy", dimension=8, n_pairs=60, baseline_spearman=score.cos_sim_spearman)
    pair_file = render(Pairs(header=header, embeddings1=first, embeddings2=second, scores=tuple(scores)))
    config = b'{"hidden_size": 8, "pooling": {"mean": true}, "limits": [128, 256], "rate": 2e-5, "x": 1e999}\n'
    lock = Lock(
        datasets={"set": pin("dataset", A, {"t": pinned(b"rows")}), "set-old": pin("dataset", B, {})},
        models={"toy": pin("model", M, {"config.json": pinned(config), "weights": pinned(b"w")})},
    )
    files = {
        "params.yaml": PARAMS.encode(),
        "card.md": CARD.encode(),
        "toy/config.json": config,
        PAIRS: pair_file,
        LOCK: render_lock(lock),
        "facts.json": b'{"a/b": [1, {"n": "12.34"}], "twelve": 12.3400, "null": null, "share": 0.384941, "size": 33360000}',
        "deep.json": b"[" * 100_000,
        "twice.json": b'{"a": 1, "a": 2}',
        "facts.txt": b"1",
    }
    listed = {path: hashlib.sha256(files[path]).hexdigest() for path in (PAIRS, LOCK)}
    for path, content in {**files, sha256_list.MANIFEST: sha256_list.render(listed)}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    (root / FOLDER).mkdir()
    return root


@pytest.fixture
def root(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "project"))


def score_of(root: Path, name: str = "cos_sim_spearman", factor: int = 100) -> str:
    """A score of the project's pair set in the digits of its float64."""
    value = parse((root / PAIRS).read_bytes())
    scores = metrics(products([(value.embeddings1, value.embeddings2)]), value.scores)
    return shown(Fraction(getattr(scores, name)) * factor)


def claim(name: str, value: str | None, unit: str = "percent", **evidence: Any) -> Claim:
    return msgspec.convert({"id": name, "value": value, "unit": unit, "at": At(line=1), **evidence}, Claim)


def put(root: Path, *claims: Claim, name: str = "card", **results: Evaluation) -> None:
    document = Document(title="A card", sha256=hashlib.sha256(CARD.encode()).hexdigest(), file="card.md")
    ledger = Ledger(document=document, results=results, claims=claims)
    (root / FOLDER / f"{name}.yaml").write_bytes(render_ledger(ledger))


def check(root: Path, *only: str, documents: tuple[Path, ...] = ()) -> CheckedClaims:
    return check_claims(open_project(root), documents, Silent(), only)


def judged(root: Path, *only: str) -> dict[str, Verdict]:
    return {one.name: one for one in check(root, *only).verdicts}


def codes(checked: CheckedClaims) -> list[tuple[str, str]]:
    return [(one.code, one.subject) for one in checked.findings]


HERE = Evaluation(dataset="org/set", model="org/toy", revision=A)
SPEARMAN = Measurement(result="r", metric="cos_sim_spearman")


def test_a_document_without_a_sha256_is_judged_as_it_is(root: Path) -> None:
    claims = (
        claim("there", "12.34", quoted=Quotation(file="facts.json", at="/twelve")),
        claim("gone", "56.78", derived="[there]"),
    )
    ledger = Ledger(document=Document(title="A card", file="card.md"), claims=claims)
    (root / FOLDER / "card.yaml").write_bytes(render_ledger(ledger))
    checked = check(root)
    assert checked.documents == {"card": "same"}
    assert [verdict.state for verdict in checked.verdicts] == ["holds", "contradicted"]
    assert codes(checked) == [("claim-stale", "card: gone"), ("claim-contradicted", "card: gone")]
    (root / "card.md").write_text("# A card, edited\n\nSpearman: 56.78, was: 12.35\n")
    checked = check(root)
    assert [(verdict.state, verdict.reason) for verdict in checked.verdicts] == [("unchecked", "stale"), ("contradicted", None)]
    assert checked.verdicts[0].message.startswith("card:there is no longer in the document: print it there, or")
    (root / "card.md").write_bytes(b"\xff")
    assert ("not UTF-8" in check(root).notes[0], check(root).verdicts[0].state) == (True, "holds")


def test_measured_quoted_and_derived_claims_rest_on_each_other(root: Path) -> None:
    score = score_of(root)
    short = f"{float(score):.2f}"
    put(root, claim("exact", score, measured=SPEARMAN), claim("short", short, measured=SPEARMAN), r=HERE)
    put(
        root,
        claim("again", short, quoted=Quotation(claim="card:short")),
        claim("other", "1.00", quoted=Quotation(source="somewhere")),
        claim("twice", f"{float(score):.1f}", derived="mean([card:*])"),
        claim("mixed", "0.0", derived="difference([again], [card:short]) * [n] + 0"),
        claim("n", "2", "count", derived="count([card:*])"),
        claim("wrong", "99.9", derived="max([again], [other])"),
        name="paper",
    )
    checked = check(root)
    found = {one.name: (one.state, one.ground) for one in checked.verdicts}
    assert found == {
        "card:exact": ("holds", "bytes"),
        "card:short": ("holds", "bytes"),
        "paper:again": ("holds", "bytes"),
        "paper:other": ("unchecked", None),
        "paper:twice": ("holds", "bytes"),
        "paper:mixed": ("holds", "bytes"),
        "paper:n": ("holds", "bytes"),
        "paper:wrong": ("contradicted", "prints"),
    }
    assert codes(checked) == [("claim-contradicted", "paper: wrong")]
    verdicts = judged(root, "paper")
    assert list(verdicts) == [name for name in found if name.startswith("paper:")], "only what was asked for"
    assert verdicts["paper:twice"].rests_on == ("card:exact", "card:short")
    assert verdicts["paper:wrong"].rests_on == ("paper:again", "paper:other")
    assert (checked.documents, checked.notes) == ({"card": "same", "paper": "same"}, ())
    assert list(checked.scores) == ["set-toy"]


def test_a_last_digit_is_noticed_where_the_print_is_meant_to_the_digit(root: Path) -> None:
    score = score_of(root)
    changed = score[:-1] + str((int(score[-1]) + 5) % 10)
    strict: dict[str, Any] = {"measured": SPEARMAN, "tolerance": "printed", "reason": "our own number"}
    put(root, claim("same", score, **strict), claim("other", changed, **strict), r=HERE)
    checked = check(root)
    assert [one.state for one in checked.verdicts] == ["holds", "contradicted"]
    assert (checked.findings[0].expected, checked.findings[0].actual) == (score, changed)


def test_a_changed_micro_unit_is_caught_by_the_chain_before_the_number(root: Path) -> None:
    content = (root / PAIRS).read_bytes()
    place = content.index(b"0.", content.index(b'"embeddings1"')) + 7
    changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    json.loads(changed)
    put(root, claim("a", score_of(root), measured=SPEARMAN), claim("b", "1.0", measured=SPEARMAN), r=HERE)
    (root / PAIRS).write_bytes(changed)
    checked = check(root)
    assert codes(checked) == [("mismatch", PAIRS)], "once, and nothing is said of the numbers"
    assert {(one.state, one.reason) for one in checked.verdicts} == {("unchecked", "broken-chain")}
    # The manifest written anew, the file itself tells: what it says of its own score is another number.
    listed = {PAIRS: hashlib.sha256(changed).hexdigest()}
    (root / sha256_list.MANIFEST).write_bytes(sha256_list.render(listed))
    assert {code for code, _ in codes(check(root))} <= {"wrong-metric", "not-canonical", "malformed"}
    assert {one.reason for one in check(root).verdicts} == {"broken-chain"}
    (root / sha256_list.MANIFEST).write_bytes(sha256_list.render({"other": "0" * 64}))
    assert codes(check(root)) == [("broken-link", PAIRS)]
    (root / sha256_list.MANIFEST).unlink()
    assert codes(check(root)) == [("missing", sha256_list.MANIFEST), ("broken-link", PAIRS)]
    (root / PAIRS).unlink()
    assert {(one.reason, one.message) for one in check(root).verdicts} == {
        ("missing-file", f"{PAIRS}: cannot be read: No such file or directory; run: dvc repro")
    }


def test_a_pair_file_of_other_pins_than_the_lock_has_is_not_compared(root: Path) -> None:
    put(root, claim("a", score_of(root), measured=SPEARMAN), r=HERE)
    stage = {"cmd": "x", "params": {LOCK: {"datasets.set.commit": A}}}
    for commit, expected in ((A, []), (B, [("lock-stale", f"generate@set-toy: {LOCK}: datasets.set.commit")])):
        stage["params"] = {LOCK: {"datasets.set.commit": commit}}
        (root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"generate@set-toy": stage}}))
        checked = check(root)
        assert codes(checked) == expected
        assert checked.verdicts[0].reason == ("broken-chain" if expected else None)


def test_what_the_document_does_not_pin_is_said_once_a_result(root: Path) -> None:
    unpinned = Evaluation(dataset="org/set", model="org/toy", revision="None")
    put(
        root,
        *(claim(f"a{n}", "1.0", measured=Measurement(result="r", metric=f"ndcg_at_{n}")) for n in range(30)),
        claim("old", score_of(root), measured=Measurement(result="old", metric="cos_sim_spearman")),
        r=unpinned,
        old=Evaluation(dataset="org/set", model="org/toy", revision=B),
        unused=unpinned,
    )
    checked = check(root)
    assert codes(checked) == [("unpinned", "card: results.r")]
    assert checked.findings[0].message.endswith("30 claims rest on it")
    assert [one.reason for one in checked.verdicts] == ["unpinned"] * 30 + ["no-pair-set"]


# A quotation of a file, and what becomes of it: the claim's value and unit, state or reason, ground.
QUOTED: dict[str, tuple[dict[str, str], str, str, str, str | None]] = {
    "a number": ({"file": "facts.json", "at": "/a~1b/1/n"}, "12.34", "percent", "holds", "prints"),
    "fewer digits": ({"file": "facts.json", "at": "/twelve"}, "12.3", "percent", "holds", "prints"),
    "other digits": ({"file": "facts.json", "at": "/twelve"}, "12.4", "percent", "contradicted", "prints"),
    "of a listed file": ({"file": LOCK, "at": "/models/toy/commit"}, M, "text", "holds", "bytes"),
    "yaml with anchors": ({"file": "params.yaml", "at": "/run/pairs/set-toy/file"}, "set_toy_8d", "text", "holds", "prints"),
    "yaml number": ({"file": "params.yaml", "at": "/models/toy/dimension"}, "8", "dimensions", "holds", "prints"),
    "of a pin": ({"pin": "toy", "file": "config.json", "at": "/hidden_size"}, "8", "dimensions", "holds", "bytes"),
    "of a pin, wrong": ({"pin": "toy", "file": "config.json", "at": "/hidden_size"}, "9", "count", "contradicted", "bytes"),
    "of a pin, a list": ({"pin": "toy", "file": "config.json", "at": "/limits/1"}, "256", "tokens", "holds", "bytes"),
    "of a pin, small": ({"pin": "toy", "file": "config.json", "at": "/rate"}, "0.00002", "number", "holds", "bytes"),
    "of a pin, truth": ({"pin": "toy", "file": "config.json", "at": "/pooling/mean"}, "true", "text", "holds", "bytes"),
    "a fraction of a file": ({"file": "facts.json", "at": "/share", "unit": "fraction"}, "38.49", "percent", "holds", "prints"),
    "a fraction of a pin": (
        {"pin": "toy", "file": "config.json", "at": "/rate", "unit": "fraction"}, "0.002", "percent", "holds", "bytes",
    ),
    "a percentage of a file": (
        {"file": "facts.json", "at": "/twelve", "unit": "percent"}, "0.1234", "fraction", "holds", "prints",
    ),
    "a number of a file in millions": (
        {"file": "facts.json", "at": "/size", "unit": "number"}, "33.4", "millions", "holds", "prints",
    ),
    "another fraction": (
        {"file": "facts.json", "at": "/share", "unit": "fraction"}, "39.48", "percent", "contradicted", "prints",
    ),
    "a unit that cannot be": ({"file": "facts.json", "at": "/share", "unit": "text"}, "38.49", "percent", "malformed", None),
    "of a pin, absent": ({"pin": "toy", "file": "weights", "at": ""}, "8", "count", "missing-file", None),
    "not pinned": ({"pin": "toy", "file": "other.json", "at": ""}, "8", "count", "missing-file", None),
    "pin without digests": ({"pin": "set-old", "file": "a.json", "at": ""}, "8", "count", "unresolved", None),
    "absent": ({"file": "nothing.json", "at": ""}, "8", "count", "missing-file", None),
    "a source": ({"source": "a book, page 3"}, "8", "count", "no-source", None),
    "no pin": ({"pin": "nobody", "file": "a.json"}, "8", "count", "malformed", None),
    "no place": ({"file": "facts.json", "at": "/b"}, "8", "count", "malformed", None),
    "a place in a place": ({"file": "facts.json", "at": "/twelve/0"}, "8", "count", "malformed", None),
    "no pointer": ({"file": "facts.json", "at": "twelve"}, "8", "count", "malformed", None),
    "the whole": ({"file": "facts.json"}, "8", "count", "malformed", None),
    "null": ({"file": "facts.json", "at": "/null"}, "8", "count", "malformed", None),
    "too large": ({"pin": "toy", "file": "config.json", "at": "/x"}, "8", "number", "malformed", None),
    "climbs out": ({"file": "../secret.json"}, "8", "count", "malformed", None),
    "absolute": ({"file": "/etc/passwd.json"}, "8", "count", "malformed", None),
    "a folder": ({"file": "training"}, "8", "count", "missing-file", None),
    "another kind": ({"file": "facts.txt"}, "1", "count", "malformed", None),
    "deep": ({"file": "deep.json"}, "1", "count", "malformed", None),
    "twice": ({"file": "twice.json", "at": "/a"}, "1", "count", "malformed", None),
}  # fmt: skip


def test_values_are_quoted_from_files_and_from_pins(root: Path) -> None:
    names = {name: f"q{number}" for number, name in enumerate(QUOTED)}
    put(root, *(claim(names[name], value, unit, quoted=where) for name, (where, value, unit, _, _) in QUOTED.items()))
    checked = check(root)
    verdicts = {one.claim.id: one for one in checked.verdicts}
    for name, (_, _, _, wanted, ground) in QUOTED.items():
        one = verdicts[names[name]]
        assert (one.reason or one.state, one.ground) == (wanted, ground), (name, one.message)
        assert len(one.message) < 300
    wrong = {f"card: {names[name]}": wanted for name, (*_, wanted, _) in QUOTED.items()}
    assert {subject: code for code, subject in codes(checked)} == {
        subject: {"contradicted": "claim-contradicted"}.get(wanted, wanted)
        for subject, wanted in wrong.items()
        if wanted in ("contradicted", "malformed")
    }


def test_a_pinned_file_with_other_bytes_is_not_believed(root: Path) -> None:
    where = {"pin": "toy", "file": "config.json", "at": "/hidden_size"}
    put(root, claim("a", "9", "dimensions", quoted=where), claim("b", "9", "dimensions", quoted=where))
    good = (root / "toy/config.json").read_bytes()
    (root / "toy/config.json").write_bytes(good.replace(b"8", b"9", 1))
    checked = check(root)
    assert codes(checked) == [("mismatch", "toy: config.json from directory:toy")]
    assert {one.reason for one in checked.verdicts} == {"broken-chain"}
    shutil.copytree(root / "toy", root.parent / "elsewhere")
    (root / "toy/config.json").unlink()
    (root / "toy/config.json").symlink_to(root.parent / "elsewhere/config.json")
    assert {one.reason for one in check(root).verdicts} == {"missing-file"}, "a link that leaves the source is not followed"


# Claims that cannot be, and what their finding says.
MALFORMED: dict[str, tuple[Claim, str]] = {
    "nan": (claim("x", "nan"), "'nan' is not a number"),
    "dashes": (claim("x", "--", quoted=Quotation(source="s")), "'--' is not a number"),
    "exponent": (claim("x", "1e999", quoted=Quotation(source="s")), "'1e999' is too large"),
    "no result": (claim("x", "1.0", measured=Measurement(result="q", metric="cos_sim_pearson")), "no result 'q'"),
    "unit of a metric": (claim("x", "1", "tokens", measured=SPEARMAN), "not as tokens"),
    "no claim": (claim("x", "1.0", quoted=Quotation(claim="y")), "card has no claim 'y'"),
    "no ledger": (claim("x", "1.0", quoted=Quotation(claim="nowhere:y")), "there is no ledger 'nowhere'; there are card"),
    "no name": (claim("x", "1.0", quoted=Quotation(claim="p.*")), "'p.*' stands for several claims"),
    "another unit": (
        claim("x", "1.0", "fraction", quoted=Quotation(claim="p.1")),
        "the units differ: fraction against percent",
    ),
    "syntax": (claim("x", "1.0", derived="[p.1] +"), "column 8"),
    "nothing": (claim("x", "1.0", derived="1 + 1"), "it names no claim"),
    "glob of nothing": (claim("x", "1.0", derived="sum([q.*])"), "no other claim of card is matched by 'q.*'"),
    "only itself": (claim("x", "1.0", derived="sum([x*])"), "no other claim of card is matched by 'x*'"),
    "zero": (claim("x", "1.0", derived="[p.1] / ([p.2] - [p.2])"), "division by zero"),
    "units": (claim("x", "0.5", "fraction", derived="mean([p.1], [p.2])"), "the units differ: fraction against percent"),
    "itself": (claim("x", "1.0", derived="[x] + 0"), "a circle: card:x rests on card:x"),
    "a circle": (
        claim("x", "1.0", quoted=Quotation(claim="c.1")),
        "card:x rests on card:c.1 rests on card:c.2 rests on card:x",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_claim_that_cannot_be_is_one_finding_and_the_others_are_judged(root: Path, name: str) -> None:
    one, told = MALFORMED[name]
    circle = (
        (claim("c.1", "1.0", derived="[c.2] * 1"), claim("c.2", "1.0", derived="sum([x], 0)")) if name == "a circle" else ()
    )
    put(root, claim("p.1", "1.0", derived="[p.2] * 1"), claim("p.2", "1.0", quoted=Quotation(source="s")), one, *circle, r=HERE)
    checked = check(root)
    assert codes(checked) == [("malformed", f"card: {each.id}") for each in (one, *circle)]
    assert told in checked.findings[0].message
    assert len(checked.findings[0].message) < 300
    verdicts = {each.claim.id: each for each in checked.verdicts}
    assert (verdicts["x"].state, verdicts["x"].reason) == ("unchecked", "malformed")
    assert verdicts["p.1"].state == "holds"


def test_what_rests_on_what_cannot_be_read_is_told(root: Path) -> None:
    put(
        root,
        claim("a", None, ocr="a blot"),
        claim("b", "1.0", derived="[a] * 2"),
        claim("c", "1.0", quoted=Quotation(claim="a")),
        claim("d", "1"),
    )
    checked = check(root)
    assert [one.reason or one.state for one in checked.verdicts] == ["illegible", "depends", "depends", "unbound"]
    assert codes(checked) == [("claim-unbound", "card")]


def test_documents_are_found_by_their_name_and_known_by_their_bytes(root: Path, tmp_path: Path) -> None:
    put(root, claim("a", "1.0", derived="[b] * 1"), claim("b", "1.0", quoted=Quotation(source="s")))
    folder = tmp_path / "papers"
    folder.mkdir()
    (root / "card.md").rename(folder / "card.md")
    absent = check(root)
    assert (absent.documents, codes(absent)) == ({"card": "absent"}, [])
    assert absent.notes == ("card: card.md is not here; its claims are judged as the ledger has them",)
    here = check(root, documents=(tmp_path / "nowhere", folder))
    assert (here.documents, here.notes, codes(here)) == ({"card": "same"}, (), [])
    (root / "card.md").write_bytes((folder / "card.md").read_bytes().replace(b"\n", b"\r\n"))
    assert "with LF line endings the file has the listed digest" in check(root).findings[0].message
    (root / "card.md").write_text("another\n")
    assert check(root, documents=(folder,)).documents == {"card": "same"}, "one that is right is enough"
    stale = check(root)
    assert (stale.documents, codes(stale)) == ({"card": "stale"}, [("claim-stale", "card")])
    assert "differs from the document that the ledger was written for" in stale.findings[0].message
    assert stale.findings[0].actual == hashlib.sha256(b"another\n").hexdigest()
    assert [(one.state, one.reason, one.ground) for one in stale.verdicts] == [
        ("unchecked", "stale", None),
        ("unchecked", "no-source", None),
    ]


def test_a_number_of_a_changed_document_does_not_hold_and_is_not_ground_for_others(root: Path) -> None:
    score, right = score_of(root), f"{float(score_of(root)):.2f}"
    put(root, claim("a", right, measured=SPEARMAN), claim("b", "99.99", measured=SPEARMAN), claim("c", "1.0"), r=HERE)
    put(root, claim("again", right, quoted=Quotation(claim="card:a")), name="paper")
    ledger = (root / FOLDER / "paper.yaml").read_text()
    (root / FOLDER / "paper.yaml").write_text(ledger.replace("card.md", "paper.md"))
    (root / "paper.md").write_text(CARD)
    assert [(one.state, one.ground) for one in check(root).verdicts] == [
        ("holds", "bytes"), ("contradicted", "bytes"), ("unbound", None), ("holds", "bytes")
    ]  # fmt: skip
    (root / "card.md").write_text(f"# A card\n\nSpearman: {score}\n")
    for only in ((), ("paper",)):
        assert [(one.state, one.ground) for one in check(root, *only).verdicts][-1] == ("holds", "prints"), only
    checked = check(root)
    assert [(one.state, one.reason) for one in checked.verdicts] == [
        ("unchecked", "stale"), ("contradicted", None), ("unbound", None), ("holds", None)
    ]  # fmt: skip
    assert codes(checked) == [("claim-stale", "card"), ("claim-contradicted", "card: b"), ("claim-unbound", "card")]
    first = checked.verdicts[0]
    assert "run: aqea-registry claims lint --update card.md" in first.message
    assert (first.recomputed, first.difference, first.rests_on) == (None, None, ("set-toy",))
    result = aqea("claims", "check", cwd=root)
    assert "1 of 4 would hold, but their document was changed" in result.out
    assert aqea("claims", "check", "--json", cwd=root).json()["counts"]["all"] == {
        "claims": 4, "holds": 1, "contradicted": 1, "unchecked": 1, "unbound": 1, "stale": 1,
    }  # fmt: skip
    assert "% unchecked, stale; line 1" in aqea("claims", "export", "--format", "latex", cwd=root).out
    exported = json.loads(aqea("claims", "export", "--format", "json", cwd=root).out)
    assert (exported["card"]["a"]["state"], exported["card"]["a"]["reason"]) == ("unchecked", "stale")
    assert aqea("report", "--json", cwd=root).json()["counts"] == {"holds": 1, "contradicted": 1, "unchecked": 1, "unbound": 1}
    traced = aqea("trace", "card:a", "--json", cwd=root).json()
    node = next(node for node in traced["nodes"] if node["id"] == "claim:card:a")
    assert (node["facts"]["state"], node["facts"].get("ground")) == ("unchecked", None)
    assert any(edge["source"] == "claim:card:a" and edge["label"] == "measured as" for edge in traced["edges"]), "it is shown"


def rounded(*numbers: str) -> str:
    """The mean of some numbers, rounded to two digits."""
    return f"{float(sum(map(Fraction, numbers)) / len(numbers)):.2f}"


# Of a right and a wrong print: what the mean is printed as, its state, ground, and what is said of the terms.
MEANS: dict[str, tuple[str, str, str, str]] = {
    "recomputed": ("right", "holds", "bytes", "the print agrees with the recomputed ones alone"),
    "printed": ("wrong", "contradicted", "bytes", "the print agrees with those as printed alone"),
    "neither": ("other", "contradicted", "bytes", "the print agrees with neither"),
}


@pytest.mark.parametrize("name", MEANS)
def test_a_number_computed_from_a_wrong_one_is_also_computed_from_the_right_one(root: Path, name: str) -> None:
    scores = [
        f"{float(score_of(root, metric)):.2f}" for metric in ("cos_sim_spearman", "cos_sim_pearson", "manhattan_spearman")
    ]
    slip = f"{float(scores[1]) + 7:.2f}"
    which, state, ground, said = MEANS[name]
    mean = {"right": rounded(*scores[:2]), "wrong": rounded(scores[0], slip), "other": "99.01"}[which]
    all_ = {"right": rounded(rounded(*scores[:2]), scores[2]), "wrong": rounded(mean, scores[2]), "other": "98.02"}[which]
    put(
        root,
        claim("a", scores[0], measured=SPEARMAN),
        claim("b", slip, measured=Measurement(result="r", metric="cosine_pearson")),
        claim("c", scores[2], measured=Measurement(result="r", metric="manhattan_spearman")),
        claim("ab", mean, derived="mean([a], [b])"),
        claim("abc", all_, derived="mean([ab], [c])"),
        claim("again", all_, quoted=Quotation(claim="abc")),
        claim("rank", "1", "number", derived="count([a], [b]) - 1"),
        r=HERE,
    )
    checked = check(root)
    verdicts = {one.claim.id: one for one in checked.verdicts}
    for one in ("ab", "abc", "again"):
        assert (verdicts[one].state, verdicts[one].ground) == (state, ground), verdicts[one].message
    assert said in verdicts["ab"].message
    assert f"contradicted is card:b (printed {slip}, recomputed {score_of(root, 'cos_sim_pearson')})" in verdicts["ab"].message
    wrong = [] if state == "holds" else ["ab", "abc", "again"]
    assert codes(checked) == [("claim-contradicted", f"card: {each}") for each in ("b", *wrong)]
    for finding in checked.findings[1:]:  # who does as they say gets what the bytes give
        assert finding.expected is not None
        right = rounded(*scores[:2]) if finding.subject == "card: ab" else rounded(rounded(*scores[:2]), scores[2])
        assert abs(float(finding.expected) - float(right)) < 0.02
    assert ("card:b" in verdicts["abc"].message) is bool(wrong), "the wrong one is named first, however far it is"
    assert "contradicted" not in verdicts["rank"].message, "what does not depend on the wrong number is as it was"


def test_who_prints_what_the_findings_expect_has_a_ledger_that_holds(root: Path) -> None:
    chance = random.Random(12)
    for _ in range(12):
        values = [f"{chance.uniform(10, 99):.6f}" for _ in range(10)]
        (root / "values.json").write_text(json.dumps(values))
        listed = {"values.json": hashlib.sha256((root / "values.json").read_bytes()).hexdigest()}
        (root / sha256_list.MANIFEST).write_bytes(sha256_list.render(listed))
        claims, given = [], [Fraction(value) for value in values]
        for n in range(30):
            if n < len(values):
                evidence: dict[str, Any] = {"quoted": Quotation(file="values.json", at=f"/{n}")}
            else:
                terms = chance.sample(range(n), 3)
                evidence = {"derived": f"mean({', '.join(f'[c{term}]' for term in terms)})"}
                given.append(sum((given[term] for term in terms), Fraction(0)) / 3)
            slip = chance.choice((0, 0, 0, 0, 7)) if n < 20 else 0
            claims.append(claim(f"c{n}", f"{float(given[n]) + slip:.2f}", **evidence))
        put(root, *claims)
        first = check(root)
        expected = {one.subject.removeprefix("card: "): f"{float(one.expected or ''):.2f}" for one in first.findings}
        slipped = {one.id for one, right in zip(claims, given, strict=True) if abs(float(one.value or "") - float(right)) > 1}
        assert expected.keys() == slipped, "no right number is accused"
        put(root, *(msgspec.structs.replace(one, value=expected.get(one.id, one.value)) for one in claims))
        assert {one.state for one in check(root).verdicts} == {"holds"}


def test_a_number_that_fits_a_wrong_one_and_the_right_one_says_so(root: Path) -> None:
    score = f"{float(score_of(root)):.2f}"
    slip = f"{float(score) + 0.02:.2f}"
    put(root, claim("a", slip, measured=SPEARMAN), claim("b", f"{float(score):.0f}", derived="[a] * 1"), r=HERE)
    verdict = judged(root)["card:b"]
    assert (verdict.state, verdict.ground) == ("holds", "bytes"), verdict.message
    assert "the print agrees with both" in verdict.message
    assert f"contradicted is card:a (printed {slip}" in verdict.message


def test_a_term_that_only_prints_contradict_makes_doubtful_and_not_wrong(root: Path) -> None:
    put(
        root,
        claim("part", "1.0", quoted=Quotation(source="s")),
        claim("sum", "3.0", derived="[part] + [part]"),  # one of the two has a slip, and nobody knows which
        claim("half", "1.5", derived="[sum] / 2"),
        claim("third", "1.0", quoted=Quotation(claim="quarter")),
        claim("quarter", "1.0", derived="[sum] / 2"),
        claim("neither", "9.0", derived="[sum] / 3"),
        claim("above", "3.0", derived="[half] * 2"),
        claim("same", "1.0", derived="[part] * 2"),
        claim("right", "2.0", derived="[half] * 2"),
    )
    checked = check(root)
    assert {one.claim.id: (one.reason or one.state, one.recomputed) for one in checked.verdicts} == {
        "part": ("no-source", None),
        "sum": ("contradicted", "2"),
        "half": ("contradicted-term", None),
        "third": ("holds", "1.0"),
        "quarter": ("holds", "1"),
        "neither": ("contradicted", "1"),
        "above": ("contradicted-term", None),
        "same": ("contradicted", "2"),
        "right": ("holds", "2"),
    }
    for one in checked.verdicts:
        if one.claim.id in ("half", "quarter", "neither", "above", "right"):
            assert one.message.endswith("contradicted is card:sum (printed 3.0, recomputed 2)"), one
    assert codes(checked) == [("claim-contradicted", f"card: {name}") for name in ("sum", "neither", "same")]
    assert checked.findings[-1].message.endswith("one of them may be the wrong number"), "a slip may be in either"


def test_a_right_number_in_the_wrong_unit_is_not_corrected_for_others(root: Path) -> None:
    put(
        root,
        claim("a", "12.34", "fraction", quoted=Quotation(file="facts.json", at="/twelve", unit="percent")),
        claim("twice", "24.68", "fraction", derived="[a] * 2"),
    )
    verdicts = judged(root)
    assert "100 times that would agree" in verdicts["card:a"].message
    assert (verdicts["card:twice"].state, verdicts["card:twice"].ground) == ("holds", "prints")


def test_a_text_that_quotes_a_wrong_one_may_be_right(root: Path) -> None:
    put(
        root,
        claim("a", "13.34", "text", quoted=Quotation(file="facts.json", at="/a~1b/1/n")),
        claim("b", "12.34", "text", quoted=Quotation(claim="a")),
        claim("c", "13.34", "text", quoted=Quotation(claim="a")),
    )
    verdicts = judged(root)
    assert [one.state for one in verdicts.values()] == ["contradicted", "holds", "unchecked"], "a file that nothing names"
    assert all("card:a" in verdicts[f"card:{name}"].message for name in "bc")


def test_a_bound_and_zeros_that_are_not_digits_among_other_claims(root: Path) -> None:
    where: dict[str, Any] = {"quoted": Quotation(source="s")}
    put(
        root,
        claim("a", "47.31", "number", **where),
        claim("b", "52.07", "number", **where),
        claim("over", "90", derived="percent(ratio([a], [b]))", bound="over"),
        claim("most", "90", derived="percent(ratio([a], [b]))", bound="at-most"),
        claim("points", "4.8", derived="difference([b], [a])"),
        claim("mixed", "49.69", "number", derived="mean([a], percent(fraction([b] / 100)))"),
        claim("on", "45", derived="[over] / 2"),
        claim("again", "90", quoted=Quotation(claim="over")),
        claim("fast", "25,000", "count", digits=2, **where),
        claim("half", "12,744", "count", derived="[fast] / 2"),
    )
    verdicts = judged(root)
    assert {name.removeprefix("card:"): one.reason or one.state for name, one in verdicts.items()} == {
        "a": "no-source", "b": "no-source", "over": "holds", "most": "contradicted", "points": "holds", "mixed": "holds",
        "on": "malformed", "again": "malformed", "fast": "no-source", "half": "holds",
    }  # fmt: skip
    assert "card:over is a bound (over), not a number" in verdicts["card:on"].message
    assert "card:over is a bound, not what a percent can quote" in verdicts["card:again"].message


def test_what_rests_on_a_sentence_alone_is_counted(root: Path) -> None:
    put(
        root,
        claim("a", "1.0", quoted=Quotation(source="a book")),
        claim("b", "1.0", quoted=Quotation(claim="a")),
        claim("c", "12.34", quoted=Quotation(file="facts.json", at="/twelve")),
    )
    assert "1 of 3 rest on a sentence only" in aqea("claims", "check", cwd=root).out
    assert aqea("claims", "check", "--json", cwd=root).json()["counts"]["all"]["sentence_only"] == 1
    put(root, claim("c", "12.34", quoted=Quotation(file="facts.json", at="/twelve")))
    assert "sentence" not in aqea("claims", "check", cwd=root).out


def test_ledgers_that_cannot_be_read_do_not_hide_the_others(root: Path) -> None:
    put(root, claim("a", "1.0", quoted=Quotation(source="s")))
    (root / FOLDER / "bad.yaml").write_text("a: &a [*a, *a]\n")
    (root / FOLDER / "folder.yaml").mkdir()
    (root / FOLDER / "odd name.yaml").write_bytes((root / FOLDER / "card.yaml").read_bytes())
    checked = check(root)
    assert codes(checked) == [
        ("malformed", "bad"),
        ("unreadable", f"{FOLDER}/folder.yaml"),
        ("malformed", "odd name"),
    ]
    assert list(checked.ledgers) == ["card"]
    assert codes(check(root, "card")) == []
    assert codes(check(root, "bad")) == [("malformed", "bad")]
    with pytest.raises(BadConfiguration, match="there is no ledger 'other'; there are card"):
        check(root, "other")


def test_exit_status_and_output(root: Path) -> None:
    result = aqea("claims", "check", "--json", cwd=root)
    assert (result.status, result.json()["error"]["kind"]) == (3, "CannotCheck")
    assert "claims import" in result.err
    put(root, claim("a", "1.0", quoted=Quotation(source="a book")), claim("b", "2.0", quoted=Quotation(source="a book")))
    result = aqea("claims", "check", cwd=root)
    assert result.status == 3
    assert "none of 2 claims could be checked, first card:a: it quotes a book, which is not part of the project" in result.err
    put(
        root,
        claim("c", "1.00", quoted=Quotation(claim="card:a")),
        claim("d", "1.0", quoted=Quotation(claim="card:b")),
        name="paper",
    )
    result = aqea("claims", "check", "--json", cwd=root)
    assert (result.status, found(result)) == (1, {("claim-contradicted", "paper: d")})
    value = result.json()
    assert value["schema"] == "aqea-registry/claims-check/1"
    assert [(one["ledger"], one["claim"]["id"], one["state"]) for one in value["verdicts"]] == [
        ("card", "a", "unchecked"),
        ("card", "b", "unchecked"),
        ("paper", "c", "holds"),
        ("paper", "d", "contradicted"),
    ]
    assert value["documents"] == {"card": "same", "paper": "same"}
    result = aqea("claims", "check", cwd=root)
    assert result.out.startswith(
        "claim-contradicted: paper: d: line 1: printed as card:b: 2.0; printed 1.0; off by 1, tolerated is less than 0.1 "
        "(half of the last digit, and the rounding of what it rests on); expected 2.0; actual 1.0\n"
    )
    rows = [line.replace("│", " ").split() for line in result.out.splitlines()]
    assert ["card", "same", "0", "0", "2", "0"] in rows
    assert ["paper", "same", "1", "1", "0", "0"] in rows
    assert ["all", "1", "1", "2", "0"] in rows
    assert any(row[:2] == ["no-source", "2"] for row in rows)
    put(root, claim("c", "1.00", quoted=Quotation(claim="card:a")), name="paper")
    assert aqea("claims", "check", "-q", cwd=root) == (0, "", "")
    assert aqea("claims", "check", "paper", "--documents", ".", "-q", cwd=root) == (0, "", "")
    result = aqea("claims", "check", "other", cwd=root)
    assert (result.status, result.err.startswith("error: there is no ledger 'other'; there are card, paper")) == (2, True)
    assert nothing_judged(check(root)) is None


def test_checking_takes_time_that_grows_with_the_claims(root: Path, tmp_path: Path) -> None:
    def mixed(n: int) -> Claim:
        group, value = n // 50, f"{n // 5 / 130:.2f}"
        kinds: tuple[dict[str, Any], ...] = (
            {"measured": Measurement(result=f"r{n % 100}", metric="cos_sim_spearman")},
            {"quoted": Quotation(source="a paper")},
            {"quoted": Quotation(claim=f"t{(n - 1) // 50}.{n - 1}.b")},
            {"derived": f"mean([t{group}.*.b], [t{group}.*.c])"},
            {"derived": f"difference([t{group}.{n - 2}.c], [t{group}.{n - 3}.b]) + {value}"},
        )
        return claim(f"t{group}.{n}.{'abcde'[n % 5]}", value, **kinds[n % 5])

    results: dict[str, Any] = {f"r{n}": HERE if n % 2 else Evaluation(dataset="org/set", model="toy") for n in range(100)}

    def work(count: int) -> Callable[[], object]:
        project = Path(shutil.copytree(root, tmp_path / str(count)))
        put(project, *map(mixed, range(count)), **results)
        result = aqea("claims", "check", "--json", cwd=project)
        assert result.status == 1
        states = [one["state"] for one in result.json()["verdicts"]]
        assert len(states) == count
        assert states.count("holds") >= 0.4 * count
        return lambda: check(project)

    assert_linear(work, sampling.times(2_500, 1_000))
