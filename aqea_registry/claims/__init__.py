"""Claims: printed numbers with their evidence, in one ledger per document.

Start with `ledger`, the values and their file. Each verb is a module that reads files: `check_claims`, `import_claims`,
`bind_claims`, `fill_claims`, `export_claims`, and `lint_claims`, which finds claims in a document. They decide with pure
modules: `judging` compares a claim with its `evidence`, `expression` computes derived claims over quantities, `drafting` makes
claims of tables and model-index, `measurements` knows which of them the run measured, `relations`, by their `labels`, which are
averages, totals and differences of others, `repeats` which a model-index prints, too, `sentences` what the text says of them,
`merging` puts them into a ledger that exists.

>>> from aqea_registry.claims.evidence import Evidence
>>> from aqea_registry.claims.expression import exact
>>> from aqea_registry.claims.judging import judge_claim
>>> from aqea_registry.claims.ledger import At, Claim
>>> from fractions import Fraction
>>> claim = Claim(id="mean", value="82.0", unit="percent", at=At(line=3))
>>> verdict = judge_claim("paper", claim, Evidence(exact(Fraction("82.03"), "percent"), "recomputed", "bytes"))
>>> verdict.state, verdict.message
('holds', 'recomputed: 82.03; printed 82.0; off by 0.03, within 0.05 (half of the last digit)')
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aqea_registry.claims.ledger import Verdict


def verdicts(
    project: str | Path = ".", ledgers: "Sequence[str]" = (), *, documents: "Iterable[str | Path]" = ()
) -> "tuple[Verdict, ...]":
    """Each claim's verdict (`name`, `state`, `message`), of all ledgers of the project that a folder lies in, or of some.

    `documents` are folders with documents that are not part of the project. Raises RegistryError.
    """
    from aqea_registry.base.progress import Silent
    from aqea_registry.claims.check_claims import check_claims
    from aqea_registry.project.project import find_project, open_project

    opened = open_project(find_project(Path(project)))
    return check_claims(opened, [*map(Path, documents)], Silent(), ledgers).verdicts


class _Callable(ModuleType):
    """The package, which is the function `claims` of the Python interface as well, whichever is imported first."""

    __call__ = staticmethod(verdicts)


sys.modules[__name__].__class__ = _Callable
