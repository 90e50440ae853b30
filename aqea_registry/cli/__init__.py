"""The command line: click commands, and the only room that prints or sets an exit status.

0 fine, 1 findings, 2 usage, 3 could not check, 4 not allowed, 5 the tag exists with other content. Only click is
imported to start; each command imports what it needs.
"""

from __future__ import annotations

from aqea_registry.cli import checking, claiming, making, releasing
from aqea_registry.cli.shell import main

__all__ = ["checking", "claiming", "main", "making", "releasing"]
