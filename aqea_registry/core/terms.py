"""The claims of all ledgers as terms of one another: what a reference means, and in which order they can be judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import translate
from re import compile as compiled

from aqea_registry.core import quantity
from aqea_registry.core.claims import Claim, Ledger
from aqea_registry.core.expression import BadExpression, Reference, Term
from aqea_registry.core.printed import NotANumber, parse
from aqea_registry.core.quantity import Quantity

# Names looked at for globs, and claims that they stand for, over all expressions together: some seconds of work.
MOST = 10_000_000


class Terms:
    """An index over the claims of all ledgers. Claims are named LEDGER:ID."""

    def __init__(self, ledgers: Mapping[str, Ledger]) -> None:
        self._claims = {name: {claim.id: claim for claim in ledger.claims} for name, ledger in ledgers.items()}
        self._globs: dict[tuple[str, str], list[str]] = {}
        self._values: dict[str, Quantity | None] = {}
        self._left = MOST

    def find(self, reference: Reference, ledger: str, own: str | None = None) -> list[str]:
        """The claims that a reference means in a claim of `ledger`; a glob never means `own`. Raises BadExpression."""
        among = reference.ledger or ledger
        known = self._claims.get(among)
        if known is None:
            raise BadExpression(f"column {reference.at}: there is no ledger {among!r}; there are {', '.join(self._claims)}")
        if not reference.glob:
            if reference.id not in known:
                raise BadExpression(f"column {reference.at}: {among} has no claim {reference.id!r}")
            return [f"{among}:{reference.id}"]
        found = [name for name in self._matching(among, reference.id) if name != own]
        self._spend(len(found))
        if not found:
            raise BadExpression(f"column {reference.at}: no other claim of {among} is matched by {reference.id!r}")
        return found

    def claim(self, name: str) -> Claim:
        """The claim with this name, which `find` gave."""
        ledger, _, own = name.partition(":")
        return self._claims[ledger][own]

    def term(self, name: str) -> Term:
        """What the claim with this name says."""
        claim = self.claim(name)
        if name not in self._values:
            self._values[name] = _quantity(claim)
        return Term(name, claim.unit, self._values[name])

    def _matching(self, ledger: str, pattern: str) -> list[str]:
        """The names that a glob matches, in the order of the ledger. Each glob is looked for once."""
        if (ledger, pattern) not in self._globs:
            self._spend(len(self._claims[ledger]))
            match = compiled(translate(pattern)).match
            self._globs[ledger, pattern] = [f"{ledger}:{one}" for one in self._claims[ledger] if match(one)]
        return self._globs[ledger, pattern]

    def _spend(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise BadExpression(f"the globs of all ledgers together match against more than {MOST} names")


def in_order(edges: Mapping[str, Sequence[str]]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Every name after those that it rests on, and the circles: each as the names on it, in the order of resting."""
    waits = {name: len(ones) for name, ones in edges.items()}
    above: dict[str, list[str]] = {name: [] for name in edges}
    for name, ones in edges.items():
        for one in ones:
            above[one].append(name)
    order: list[str] = []
    circles: list[tuple[str, ...]] = []
    done: set[str] = set()

    def settle(ready: Iterable[str]) -> None:
        stack = list(ready)
        while stack:
            name = stack.pop()
            if name in done:
                continue
            done.add(name)
            order.append(name)
            for one in above[name]:
                waits[one] -= 1
                if not waits[one]:
                    stack.append(one)

    settle(name for name, count in waits.items() if not count)
    below = {name: iter(ones) for name, ones in edges.items()}
    for start in edges:
        path = [start]  # follow what is unsettled until a name comes again
        places = {start: 0}
        while path:
            name = path[-1]
            if name in done:
                del places[path.pop()]
                continue
            one = next(one for one in below[name] if one not in done)
            if one in places:
                circles.append(tuple(path[places[one] :]))
                settle(circles[-1])
            else:
                places[one] = len(path)
                path.append(one)
    return order, circles


def _quantity(claim: Claim) -> Quantity | None:
    if claim.value is None or claim.unit == "text":
        return None
    try:
        return quantity.printed(parse(claim.value, claim.unit), claim.unit)
    except NotANumber:
        return None
