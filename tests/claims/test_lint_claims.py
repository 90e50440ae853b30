"""`claims lint` as it is run: on documents with ledgers, on bad input, and on this project's own pages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from aqea_registry.base.progress import Silent
from aqea_registry.claims.check_claims import check_claims
from aqea_registry.claims.ledger import FOLDER, At, Claim, Document, Ledger, parse_ledger, render_ledger
from aqea_registry.project.project import open_project
from tests.tools import CARDS, ROOT, SHARED, aqea

PAGES = ("README.md", *(f"docs/{path.name}" for path in sorted(ROOT.glob("docs/*.md"))), "benchmarks/README.md", "CHANGELOG.md")
OWN = ("readme", "canonical", "small-set", "benchmarks", "margins")
TEXT = "# Results\n\nIt reaches 82.03 on STS-B, 61.57 on STS12.\n\n| set | pairs |\n|---|---|\n| a | 356 |\n"


def write(root: Path, text: str = TEXT) -> Path:
    """A document with a ledger in manifests/claims of a folder that is no project."""
    (root / "page.md").write_text(text)
    claims = (
        Claim(id="stsb", value="82.03", unit="percent", at=At(line=3)),
        Claim(id="sts12", value="61.57", unit="percent", at=At(line=3)),
        Claim(id="pairs", value="356", unit="count", at=At(table="t", row="a", column="pairs", line=7)),
    )
    document = Document(title="A page", sha256=hashlib.sha256(text.encode()).hexdigest(), file="page.md")
    ledger = root / FOLDER / "page.yaml"
    ledger.parent.mkdir(parents=True, exist_ok=True)
    ledger.write_bytes(render_ledger(Ledger(document=document, claims=claims)))
    return ledger


def test_a_ledger_without_a_sha256_has_no_change_to_report_and_follows_its_document(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "sha256" not in line))
    assert aqea("claims", "lint", "page.md", cwd=tmp_path).status == 0
    before = path.read_text()
    (tmp_path / "page.md").write_text("One line more.\n" + TEXT)
    assert aqea("claims", "lint", "page.md", cwd=tmp_path).status == 0
    assert aqea("claims", "lint", "page.md", "--update", cwd=tmp_path).status == 0
    assert path.read_text() == before.replace("line: 3", "line: 4").replace("line: 7", "line: 8")
    (tmp_path / "page.md").write_text(TEXT.replace("82.03", "82.04"))
    result = aqea("claims", "lint", "page.md", "--update", cwd=tmp_path)
    assert (
        result.status == 1
        and "page:stsb is no longer in the document: print it there, or take what is printed: aqea-registry claims"
        in result.out
    )


def test_a_greek_letter_that_the_ledger_has_for_a_row_is_a_name(tmp_path: Path) -> None:
    ledger = write(tmp_path, TEXT + "\nFor gamma (74.10) the same holds.\n")
    assert aqea("claims", "lint", "page.md", cwd=tmp_path).status == 0
    ledger.write_text(ledger.read_text().replace("row: a,", "row: Gamma,"))
    assert "74.10 looks like a result" in aqea("claims", "lint", "page.md", cwd=tmp_path).out


def test_a_number_whose_digits_markup_parts_is_bound_by_its_import(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("run: {pairs: {}, exports: {}}\ndatasets: {}\nmodels: {}\n")
    (tmp_path / "page.md").write_text("|m|a|b|c|d|\n|-|-|-|-|-|\n|x|**61**.2|<b>64</b>.4|&#54;1.5|*71*.5 ± `0`.2 %|\n")
    assert aqea("claims", "import", "page.md", cwd=tmp_path).status == 0
    ledger = (tmp_path / FOLDER / "page.yaml").read_text()
    assert all(f'value: "{value}"' in ledger for value in ("61.2", "64.4", "61.5", "71.5", "0.2"))
    assert aqea("claims", "lint", "page.md", cwd=tmp_path).status == 0
    assert aqea("claims", "import", "page.md", cwd=tmp_path).status == 0
    assert (tmp_path / FOLDER / "page.yaml").read_text() == ledger


def test_each_document_is_held_against_the_ledgers_of_its_own_project(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        ledger = write(tmp_path / name, TEXT if name == "one" else TEXT.replace("82.03", "71.13"))
        ledger.write_text(ledger.read_text().replace("82.03", "82.03" if name == "one" else "71.13"))
        (tmp_path / name / "params.yaml").write_text("run: {pairs: {}, exports: {}}\ndatasets: {}\nmodels: {}\n")
    assert aqea("claims", "lint", "one/page.md", "two/page.md", cwd=tmp_path).status == 0
    (tmp_path / "two/page.md").write_text(TEXT)
    result = aqea("claims", "lint", "one/page.md", "two/page.md", "--json", cwd=tmp_path)
    assert result.status == 1
    assert {finding["subject"].partition(":")[0] for finding in result.json()["findings"]} == {"two/page.md"}


def test_a_bound_document_is_clean_and_an_unbound_number_has_its_place(tmp_path: Path) -> None:
    write(tmp_path)
    assert aqea("claims", "lint", "page.md", cwd=tmp_path) == (
        0,
        "page.md: 3 numbers look like results: 3 bound, 0 examples, 0 unbound\n",
        "",
    )
    (tmp_path / "other.md").write_text("a\nand 0.55<!-- claim: page:nothing --> of 12%<!-- example -->, 0.61")
    result = aqea("claims", "lint", "page.md", "other.md", "--json", cwd=tmp_path)
    value = result.json()
    assert (result.status, value["schema"]) == (1, "aqea-registry/claims-lint/1")
    assert [(one["code"], one["subject"]) for one in value["findings"]] == [
        ("claim-unbound", "other.md:2:9"),
        ("claim-unbound", "other.md:2:62"),
    ]
    page, other = value["documents"]
    assert (page["results"], page["bound"], page["faults"]) == (3, 3, [])
    assert (other["results"], other["bound"], other["examples"]) == (3, 1, 1)
    assert [(one["line"], one["column"], one["claim"]) for one in other["faults"]] == [(2, 9, "page:nothing"), (2, 62, None)]
    assert aqea("claims", "lint", tmp_path / "page.md", "-C", tmp_path, cwd=ROOT).status == 0


def test_a_changed_document_is_told_once_and_update_puts_it_right(tmp_path: Path) -> None:
    ledger = write(tmp_path)
    (tmp_path / "page.md").write_text(f"A new first line.\n\n{TEXT}")
    before = ledger.read_bytes()
    result = aqea("claims", "lint", "page.md", "--json", cwd=tmp_path)
    (finding,) = result.json()["findings"]
    assert (result.status, finding["code"], finding["subject"]) == (1, "claim-stale", "page.md")
    assert "claims lint --update page.md" in finding["message"]
    assert ledger.read_bytes() == before
    (tmp_path / "page.md").write_bytes(TEXT.replace("\n", "\r\n").encode())
    assert "with LF line endings the file has the listed digest" in aqea("claims", "lint", "page.md", cwd=tmp_path).out
    (tmp_path / "page.md").write_text(f"A new first line.\n\n{TEXT}")
    updated = aqea("claims", "lint", "--update", "page.md", cwd=tmp_path)
    assert (updated.status, "page: updated" in updated.out) == (0, True)
    found, wrong = parse_ledger(ledger.read_bytes(), "page")
    assert found is not None
    assert (wrong, [claim.at.line for claim in found.claims]) == ([], [5, 5, 9])
    assert aqea("claims", "lint", "page.md", cwd=tmp_path).status == 0


def test_a_number_of_a_table_may_be_repeated_with_a_marker_before_and_after_an_edit(tmp_path: Path) -> None:
    ledger = write(tmp_path)
    text = f"Of 356<!-- claim: page:pairs --> pairs, 61.6<!-- claim: page:sts12 --> in short.\n\n{TEXT}"
    (tmp_path / "page.md").write_text(text)
    assert aqea("claims", "lint", "--update", "page.md", cwd=tmp_path).status == 0
    found, _ = parse_ledger(ledger.read_bytes(), "page")
    assert found is not None
    assert [claim.at.line for claim in found.claims] == [5, 5, 9]
    assert aqea("claims", "lint", "page.md", cwd=tmp_path).status == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("struck.md", "| m | x | y |\n|---|---|---|\n| a | ~~80.1~~ | 80.1 |\n| b | <s>80.1</s> 80.2 | 80.1 |\n"),
        ("powers.md", "| m | x | y | z |\n|---|---|---|---|\n| a | 1.5×10⁻³ | 2×10<sup>-3</sup> | $3\\cdot10^{-3}$ |\n"),
        ("powers.tex", r"\begin{tabular}{lrr} m & x & y \\ \hline a & $1.5\times10^{-3}$ & $2 \cdot 10^6$ \end{tabular}"),
        ("entities.html", "<table><tr><th>m<th>x<tr><td>a<td>1&#8239;234<tr><td>b<td>&#8209;2.5</table>"),
        (  # thousands are spelled in two ways
            "counts.tex",
            r"\begin{tabular}{lrr} m & x & y \\ \hline a & $12{,}345$ & 1.5 \\ b & 12,345 & 2.5 \end{tabular}",
        ),
    ],
)
def test_what_was_just_imported_is_where_it_was_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "params.yaml").write_text("datasets: {}\nmodels: {}\n")
    (tmp_path / name).write_text(text)
    assert aqea("claims", "import", name, cwd=tmp_path).status == 0
    linted = aqea("claims", "lint", name, cwd=tmp_path)
    assert (linted.status, "0 unbound" in linted.out) == (0, True), linted


UNFIT: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "a claim that is gone": (
        lambda root: (root / "page.md").write_text(TEXT.replace("61.57", "61.58")),
        {"page.md", "page.md:3:1", "page.md:3:28"},
    ),
    "a new number": (lambda root: (root / "page.md").write_text(f"{TEXT}\n0.55\n"), {"page.md", "page.md:9:1"}),
    "a ledger with a fault": (
        lambda root: (
            (root / "page.md").write_text(f"{TEXT}\n"),
            (root / FOLDER / "page.yaml").write_text((root / FOLDER / "page.yaml").read_text() + "- {id: x}\n"),
        ),
        {"page.md", "page: x"},
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_update_writes_nothing_while_something_else_is_wrong(tmp_path: Path, name: str) -> None:
    change, subjects = UNFIT[name]
    ledger = write(tmp_path)
    change(tmp_path)
    before = ledger.read_bytes()
    result = aqea("claims", "lint", "--update", "page.md", "--json", cwd=tmp_path)
    assert (result.status, {one["subject"] for one in result.json()["findings"]}) == (1, subjects)
    assert ledger.read_bytes() == before


BAD = {
    "none.md": (None, "No such file"),
    "folder.md": (b"", "cannot be read: "),
    "image.md": (b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8 text: byte 0 is 0x89"),
    "latin.txt": ("naïve 0.55".encode("latin-1"), "not UTF-8 text: byte 2 is 0xef"),
    "nul.txt": (b"0.55 \0", "it holds NUL"),
    "versions.md": (b"# T\n<<<<<<< HEAD\n0.55\n=======\n0.56\n>>>>>>> b\n", "line 2: a merge conflict that is not resolved"),
    "pointer.tex": (b"version https://git-lfs.github.com/spec/v1\noid sha256:%b\nsize 3\n" % (b"a" * 64), "run: git lfs pull"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_text_is_told_and_does_not_stop_the_others(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    if name.startswith("folder"):
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    (tmp_path / "good.md").write_text("0.55<!-- example -->")
    result = aqea("claims", "lint", name, "good.md", cwd=tmp_path)
    assert result.status == 3
    assert message in result.err
    assert result.out.startswith("good.md: 1 number looks like results")


def test_five_megabytes_in_one_line_and_in_many(tmp_path: Path) -> None:
    page = (ROOT / "benchmarks/README.md").read_text()
    text = page * (5_000_000 // len(page))
    (tmp_path / "many.md").write_text(text)
    (tmp_path / "one.txt").write_text(" ".join(text.split()))
    result = aqea("claims", "lint", "many.md", "one.txt", "--json", cwd=tmp_path, timeout=60)
    assert result.status == 1
    assert all(document["results"] > 60_000 for document in result.json()["documents"])
    assert len(result.json()["findings"]) < 2010


def test_our_own_pages_are_clean() -> None:
    """If a page was edited: aqea-registry claims lint --update README.md docs/*.md benchmarks/README.md CHANGELOG.md"""
    result = aqea("claims", "lint", *PAGES, "-q", cwd=ROOT)
    assert result == (0, "", "")


@pytest.mark.weights
def test_our_own_claims_hold_or_name_a_source(made: Path) -> None:
    checked = check_claims(open_project(made), (), Silent(), OWN)
    verdicts = {f"{one.name}: {one.message}": one.reason or one.state for one in checked.verdicts if one.ledger in OWN}
    assert {name for name, state in verdicts.items() if state not in ("holds", "no-source")} == set()
    assert sum(state == "holds" for state in verdicts.values()) > 100
    assert [one.ground for one in checked.verdicts if one.name == "readme:demo.cos_sim_spearman"] == ["bytes"]


@pytest.mark.parametrize("name", OWN)
def test_our_own_ledgers_are_spelled_as_the_program_spells_them(name: str) -> None:
    content = (ROOT / FOLDER / f"{name}.yaml").read_bytes()
    found, wrong = parse_ledger(content, name)
    assert found is not None
    assert (render_ledger(found), wrong) == (content, [])


def test_the_counts_of_the_small_set_are_those_of_its_rows() -> None:
    rows = [json.loads(line) for line in (ROOT / "data/small/test.jsonl").read_text().splitlines()]
    told = json.loads((ROOT / "data/small/counts.json").read_text())
    groups = {row["category"]: [one["score"] for one in rows if one["category"] == row["category"]] for row in rows}
    groups["all"] = [row["score"] for row in rows]
    assert told["categories"] == {
        name: {"pairs": len(all_), "mean": round(sum(all_) / len(all_), 4), "lowest": min(all_), "highest": max(all_)}
        for name, all_ in groups.items()
    }
    bands = [band.split("-") for band in told["scores"]]
    assert list(told["scores"].values()) == [
        sum(float(band[0]) <= score <= float(band[-1]) for score in groups["all"]) for band in bands
    ]
    assert told["sentences"] == len({row[key] for row in rows for key in ("sentence1", "sentence2")})


@pytest.mark.shared
def test_every_number_of_the_seeds_is_bound_and_no_claim_is_stale() -> None:
    """The ledgers were made by reading tables, the linter reads characters: each finds what the other does."""
    result = aqea("claims", "lint", *sorted((SHARED / "seeds").glob("00[0-2]*.txt")), "--json", cwd=CARDS)
    value = result.json()
    assert (result.status, value["findings"]) == (0, [])
    counts = {Path(one["document"]).name[:3]: one["results"] for one in value["documents"]}
    assert counts["001"] > 1000
    assert counts["002"] > 1000


def test_the_hook_of_pre_commit_calls_the_linter(tmp_path: Path) -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    hook = next(hook for hook in hooks if hook["id"] == "claims-lint")
    program, *words = hook["entry"].split()
    (tmp_path / "paper.md").write_text("0.55")
    assert (program, aqea(*words, "paper.md", cwd=tmp_path).status) == ("aqea-registry", 1)
