"""The commands of our own pages exist: every command, every option, every target of make, every link to a file."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from aqea_registry.cli import main
from tests.tools import ROOT

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    *(f"docs/{path.name}" for path in sorted(ROOT.glob("docs/*.md"))),
)
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def commands(page: str) -> list[str]:
    """The lines of a page that call the program, in blocks and in running text."""
    text = (ROOT / page).read_text()
    blocks = "\n".join(map("".join, re.findall(r"^```\w*\n(.*?)^```|^ {4}(.*?)$", text, re.MULTILINE | re.DOTALL)))
    found = re.findall(r"^(?:\$ )?(aqea-registry .*)$", blocks, re.MULTILINE) + re.findall(r"`(aqea-registry [^`]+)`", text)
    return [" ".join(line.partition(" #")[0].replace("[", " ").replace("]", " ").split()) for line in found]


def wrong_words(line: str) -> list[str]:
    """The words of a call that are no command or option of the program."""
    words = shlex.split(line)[1:]
    found: click.Command = main
    while isinstance(found, click.Group) and words and words[0] in found.commands:
        found = found.commands[words.pop(0)]
    options = {option for parameter in found.params for option in parameter.opts} | {"--help"}
    if isinstance(found, click.Group):
        return [word for word in words[:1] if word not in options]
    return [word for word in words if re.match(r"--?[a-zA-Z]", word) and word not in options]


def test_a_wrong_call_is_found() -> None:
    assert wrong_words("aqea-registry trace v1 --format mermaid --all") == []
    assert wrong_words("aqea-registry claims check x --documents y") == []
    assert wrong_words("aqea-registry pin --list urls.json") == ["--list"]
    assert wrong_words("aqea-registry draw v1") == ["draw"]


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_exist(page: str) -> None:
    assert [(line, wrong) for line in commands(page) if (wrong := wrong_words(line))] == []
    calls = re.findall(r"(?:^|`|&& )make ([\w-]+)", (ROOT / page).read_text(), re.MULTILINE)
    assert [target for target in calls if target not in TARGETS] == []


@pytest.mark.parametrize("page", PAGES)
def test_the_links_of_a_page_lead_to_files(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text())
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_the_readme_fits_a_screen() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 65


def test_a_page_names_what_the_core_needs() -> None:
    listed = re.search(r"The core needs (.*?), but neither", (ROOT / "docs/checking.md").read_text(), re.DOTALL)
    (block,) = re.findall(r"^dependencies = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert listed
    assert re.split(r",\s+|\s+and\s+", listed[1].lower()) == re.findall(r'"([\w-]+)[><=]', block)
