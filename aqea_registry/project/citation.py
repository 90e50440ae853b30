"""CITATION.cff: how a project wishes to be cited, and where it is found. Git is not asked: its remote may hold a token."""

import os
import re
from pathlib import Path

import msgspec

from aqea_registry.base.files import Limit, read_small
from aqea_registry.base.findings import BadConfiguration
from aqea_registry.base.strict import convert, load_yaml
from aqea_registry.project.params import ADDRESS

CITATION = "CITATION.cff"


class Author(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A person, by given and family names, or anything else by its name."""

    name: str | None = None
    given_names: str | None = None
    family_names: str | None = None

    def __str__(self) -> str:
        return self.name or " ".join(filter(None, (self.given_names, self.family_names)))


class Identifier(msgspec.Struct, frozen=True, kw_only=True):
    """One more name of the project, such as a DOI that an archive gave it."""

    type: str
    value: str


class Citation(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What is read of a CITATION.cff, as written: a version 1.10 is not the number 1.1."""

    title: str
    authors: tuple[Author, ...] = ()
    date_released: str | None = None  # the only date in a release, and a committed one
    version: str | None = None
    doi: str | None = None
    identifiers: tuple[Identifier, ...] = ()
    url: str | None = None
    repository_code: str | None = None

    def home(self) -> str | None:
        """Where the project is found."""
        return self.repository_code or self.url

    def known_doi(self) -> str | None:
        """Its DOI, without the resolver's address."""
        doi = self.doi or next((other.value for other in self.identifiers if other.type == "doi"), None)
        return re.sub(r"^https?://(dx\.)?doi\.org/", "", doi) if doi else None


def parse_citation(content: bytes) -> Citation:
    """Read CITATION.cff. Raises BadConfiguration, also for an address that may hold a login."""
    citation = convert(load_yaml(content, CITATION, written=True), Citation, CITATION, strict=False)
    for field, address in (("url", citation.url), ("repository-code", citation.repository_code)):
        if address is not None and not re.fullmatch(ADDRESS, address):
            message = f"{CITATION}: {field}: not an address of the web, or one with a login"
            raise BadConfiguration(message, "write https://HOST/PATH")
    return citation


def read_citation(root: Path) -> Citation | None:
    """The CITATION.cff of a project, if it has one. Raises BadConfiguration, OSError."""
    path = root / CITATION
    return parse_citation(read_small(path, Limit.SETTINGS)) if os.path.lexists(path) else None


def links(url: str | None, citation: Citation | None) -> tuple[tuple[str, str], ...]:
    """Where a project is found, by its own `url` or as it is cited: labels and addresses."""
    home, doi = url or (citation and citation.home()), citation and citation.known_doi()
    return (*([("Project", home)] if home else []), *([("DOI", f"https://doi.org/{doi}")] if doi else []))
