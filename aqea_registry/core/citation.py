"""CITATION.cff as a value: who made a project, and how it asks to be cited."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from aqea_registry.core.catalogue import convert, load_yaml

NAME = "CITATION.cff"
_SPECIAL = re.compile(r"[&%$#_{}~^\\]")
_ESCAPED = {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}


class Author(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A person, by given and family names, or anything else by its name."""

    name: str | None = None
    given_names: str | None = None
    family_names: str | None = None

    def __str__(self) -> str:
        return self.name or " ".join(filter(None, (self.given_names, self.family_names)))


class Citation(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What is read of a CITATION.cff. YAML may give a version as a number and a day as a date: they are kept as text."""

    title: str
    authors: tuple[Author, ...] = ()
    date_released: Any = None
    version: Any = None
    doi: str | None = None
    url: str | None = None
    repository_code: str | None = None

    def day(self) -> str | None:
        """The day of `date-released`, as YYYY-MM-DD: the only date that a release tells, and a committed one."""
        return None if self.date_released is None else str(self.date_released)

    def home(self) -> str | None:
        """Where the project is found."""
        return self.url or self.repository_code


def parse_citation(content: bytes) -> Citation:
    """Read CITATION.cff. Raises BadConfiguration."""
    return convert(load_yaml(content, NAME), Citation, NAME)


def bibtex(citation: Citation, note: str) -> str:
    """The entry for a paper's bibliography. `note` says what of the project is cited."""
    fields = {
        "title": f"{{{_escape(citation.title)}}}",
        "author": " and ".join(f"{{{_escape(str(author))}}}" for author in citation.authors),
        "year": (citation.day() or "")[:4],
        "version": "" if citation.version is None else _escape(str(citation.version)),
        "doi": citation.doi or "",
        "url": citation.home() or "",
        "note": _escape(note),
    }
    key = re.sub(r"[^a-z0-9]+", "-", citation.title.lower().split(":")[0]).strip("-")
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
    return f"@misc{{{key or 'release'},\n{lines}}}"


def _escape(text: str) -> str:
    """Text in which BibTeX and LaTeX find nothing of their own."""
    return _SPECIAL.sub(lambda match: _ESCAPED.get(match[0], f"\\{match[0]}"), " ".join(text.split()))
