"""The command line: click commands, and the only package that prints or sets an exit status.

Open `shell` first: the options that all commands share, and the one place where errors become exit statuses; `output` has
what a person sees, JSON, and findings for those who see no terminal. `checking`, `making`, `claiming` and `releasing` are the
commands, each a few lines that call one function of another package; `beginning` is the work of `init`.
Exit status: 0 fine, 1 findings, 2 usage, 3 could not check, 4 not allowed, 5 the tag has other content, 130 interrupted.
Only click is imported to start; each command imports what it needs. Every module here has effects.

>>> from click.testing import CliRunner
>>> done = CliRunner().invoke(main, ["verify", "no/where"])
>>> done.exit_code, done.stderr.splitlines()[0]
(3, 'error: no/where not found')
"""

from aqea_registry.cli import checking, claiming, making, releasing
from aqea_registry.cli.shell import main

__all__ = ["checking", "claiming", "main", "making", "releasing"]
