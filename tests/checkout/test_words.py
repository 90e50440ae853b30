"""Plain words in the package and the pages, and one meaning for each name."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.tools import ROOT

MODULES = sorted((ROOT / "aqea_registry").rglob("*.py"))
TEMPLATES = sorted(path for path in (ROOT / "aqea_registry").rglob("*.*") if path.suffix in (".md", ".html", ".js"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/README.md", *sorted(ROOT.glob("docs/*.md"))]

# Phrase to a better one.
REFUSED = {
    r"(?<![Tt]here) is no (?!longer\b)": "is not a",
    r"\b(an|that|which|but|what|who|it) (are|has) no (file|folder|number)\b": "is not a file",
    r"\bstands? (twice|beside|in its place)\b": "appears twice, is beside, exists at this path",
    r"\btold\b|\btells?\b(?!\()": "reports, shows, describes",
    r"\bspeaks? of\b|\bspoken\b": "refers to",
    r"\bfor (one|each) in\b": "a variable named for what it holds",
    r"\bthe file is not there\b": "file not found",
    r"\banother file stands\b": "a different file exists",
    r"\b(row|line|layer|once|entry) an? (pair|line|file|ledger|model|run|result|sentence|claim|node|stage|record)\b": "one per",
    r"\bworkshop\b|\b(this|only|other) rooms?\b|\b[Hh]eal(s|ed|ing)?\b": "no metaphors",
    r"\bput this right\b": "fix this",
    r"\bbecame of\b": "status",
    r"\btag (that )?(can )?never moves?\b": "a tag that this program never moves",
    r"\b[Gg]ravest\b|\b[Pp]atiently\b": "most severe, with retries",
}
# Values that programs read stay as they are: the label of an edge in `trace --json`.
CONTRACTS = {"aqea_registry/tracing/nodes.py": ['builder.edge(id_, target, "speaks of")']}


def refused(text: str) -> list[str]:
    """The phrases of a text that are refused, a line break counted as a space."""
    flat = re.sub(r"\s+(#\s+)?", " ", text)
    return [flat[max(0, found.start() - 40) : found.end() + 40] for phrase in REFUSED for found in re.finditer(phrase, flat)]


def test_refused_phrases_are_found() -> None:
    for text in (
        "x is no number",
        "it stands twice",
        "was told",
        "git\n    # tells it",
        "for one in all",
        "one row a pair",
        "a tag that never moves",
    ):
        assert refused(text), text
    assert not refused("there is no such tag; a tag is no longer here; file.tell(); the one in the list; a row of a pair")


@pytest.mark.parametrize("path", [*MODULES, *TEMPLATES, *PAGES], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_words_are_plain(path: Path) -> None:
    text = path.read_text()
    for contract in CONTRACTS.get(path.relative_to(ROOT).as_posix(), []):
        assert contract in text
        text = text.replace(contract, "")
    assert refused(text) == []


def definitions(kind: type[ast.stmt]) -> dict[str, list[str]]:
    """The modules that define each class or function at their top level, by its name."""
    found = defaultdict[str, list[str]](list)
    for path in MODULES:
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, kind):
                found[node.name].append(path.relative_to(ROOT / "aqea_registry").as_posix())  # type: ignore[attr-defined]
    return found


def test_a_class_name_has_one_meaning() -> None:
    assert {name: where for name, where in definitions(ast.ClassDef).items() if len(where) > 1} == {}


def test_few_functions_share_a_bare_verb_as_their_name() -> None:
    functions = definitions(ast.FunctionDef)
    shared = {name: functions[name] for name in ("render", "parse", "read", "write", "judge", "plain", "look", "check")}
    assert {name: where for name, where in shared.items() if len(where) > 3} == {}
    assert all(len(shared[name]) <= 2 for name in ("render", "parse", "read", "judge"))


def test_no_group_is_possessive() -> None:
    """Python 3.11.2 keeps what such a group had read before it failed; an atomic group gives it back."""
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in MODULES
        for line in path.read_text().splitlines()
        if re.search(r"(?<!\\)\)(?:[?*+]|\{[\d,]+\})\+(?!\s)", line)
    ]
    assert not found
