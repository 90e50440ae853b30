"""Derived claims: a small grammar over other claims, read by a parser of its own and computed with exact fractions.

    sum    = product { ("+" | "-") product }
    product = factor { ("*" | "/") factor }
    factor = "-" factor | number | "[" reference "]" | "(" sum ")" | function "(" sum { "," sum } ")"

A number in the expression itself is exact and takes the unit of what it stands with.

The claims of all ledgers as terms of one another: what a reference means, and in which order they can be judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import translate
from fractions import Fraction
from re import compile as compiled
from typing import NamedTuple

from aqea_registry.claims import quantity
from aqea_registry.claims.ledger import Claim, Ledger
from aqea_registry.claims.quantity import NotComputable, Quantity
from aqea_registry.documents.numbers import NotANumber, Unit, parse

LONGEST = 20_000  # characters of an expression
DEEPEST = 30  # parentheses within parentheses


GROUPS: dict[str, Callable[[Sequence[Quantity]], Quantity]] = {
    "sum": quantity.total,
    "mean": quantity.mean,
    "min": lambda terms: quantity.extreme(terms, largest=False),
    "max": lambda terms: quantity.extreme(terms, largest=True),
}
PAIRS: dict[str, Callable[[Quantity, Quantity], Quantity]] = {
    "difference": quantity.subtract,
    "ratio": lambda a, b: quantity.divide(*_unit_of_either(a, b)),
}
CONVERSIONS: tuple[Unit, ...] = ("percent", "fraction", "number", "millions", "billions")
OPERATIONS = {"+": quantity.add, "-": quantity.subtract, "*": quantity.multiply, "/": quantity.divide}
# The fewest and the most arguments of each function.
ARGUMENTS: dict[str, tuple[int, int | None]] = {
    **dict.fromkeys((*GROUPS, "count"), (1, None)),
    "rank": (2, None),
    **dict.fromkeys(PAIRS, (2, 2)),
    **dict.fromkeys(("abs", *CONVERSIONS), (1, 1)),
}


_SPACE = re.compile(r"\s*")
_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)|\[(?P<reference>[^\[\]]*)\]"
    r"|(?P<name>[a-z]+)|(?P<sign>[-+*/(),])"
)
_REFERENCE = re.compile(r"(?:([A-Za-z0-9][A-Za-z0-9._-]*):)?([a-z0-9*?][a-z0-9._/+@*?-]*)")


class BadExpression(ValueError):
    """The expression cannot be read or has no answer; the message says where and why."""


class Unreadable(Exception):
    """A claim that the answer needs has no value; the message is its name."""


class Reference(NamedTuple):
    """A claim in brackets, or a glob of claims: the ledger if it names one, the id, and the column."""

    ledger: str | None
    id: str
    at: int

    @property
    def glob(self) -> bool:
        """Whether it may stand for several claims."""
        return "*" in self.id or "?" in self.id

    def __str__(self) -> str:
        return f"{self.ledger}:{self.id}" if self.ledger else self.id


class Number(NamedTuple):
    """A number of the expression itself."""

    value: Fraction


class Chain(NamedTuple):
    """What stands between signs of one precedence, worked from left to right."""

    first: Node
    rest: tuple[tuple[str, Node, int], ...]


class Negative(NamedTuple):
    """A factor behind a minus."""

    node: Node


class Call(NamedTuple):
    """A function with its arguments."""

    function: str
    arguments: tuple[Node, ...]
    at: int


Node = Reference | Number | Chain | Negative | Call


class Term(NamedTuple):
    """A claim that a reference stands for. `value` is None where it cannot be read, or is a text."""

    name: str | None
    unit: Unit | None
    value: Quantity | None


Lookup = Callable[[Reference], Sequence[Term]]


def read(text: str) -> Node:
    """The expression as a tree. Raises BadExpression with the column, counted from 1."""
    if len(text) > LONGEST:
        raise BadExpression(f"longer than {LONGEST} characters")
    reader = _Reader(text)
    node = reader.one(reader.sum(0))
    if reader.kind:
        raise reader.wrong("an operator or the end was expected")
    return node


def reference(text: str) -> Reference:
    """A single claim by its name alone, ID or LEDGER:ID. Raises BadExpression."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise BadExpression(f"{text[:40]!r} is not the name of a claim")
    node = Reference(found[1], found[2], 1)
    if node.glob:
        raise BadExpression(f"{text[:40]!r} stands for several claims")
    return node


def references(node: Node) -> Iterator[Reference]:
    """The claims that the expression names, in the order in which they stand in it."""
    match node:
        case Reference():
            yield node
        case Chain(first, rest):
            yield from references(first)
            for _, other, _ in rest:
                yield from references(other)
        case Negative(inner):
            yield from references(inner)
        case Call(_, arguments):
            for argument in arguments:
                yield from references(argument)


def evaluate(node: Node, lookup: Lookup) -> Quantity:
    """What the expression gives. Raises BadExpression, and Unreadable where a claim that it needs has no value."""
    match node:
        case Number(value):
            return quantity.exact(value)
        case Reference():
            return _value(lookup(node)[0])
        case Negative(inner):
            return quantity.negative(evaluate(inner, lookup))
        case Chain(first, rest):
            result = evaluate(first, lookup)
            for sign, other, at in rest:
                result = _at(at, OPERATIONS[sign], result, evaluate(other, lookup))
            return result
        case Call(function, arguments, at):
            return _at(at, _call, function, arguments, lookup)


def _call(function: str, arguments: tuple[Node, ...], lookup: Lookup) -> Quantity:
    if function == "rank":
        one = _terms(arguments[:1], lookup)[0]
        others = [term for term in _terms(arguments[1:], lookup) if term.name is None or term.name != one.name]
        return quantity.rank(_value(one), [_value(term) for term in others])
    terms = _terms(arguments, lookup)
    if function == "count":
        return quantity.exact(Fraction(len(terms)), "count")
    values = [_value(term) for term in terms]
    if function in GROUPS:
        return GROUPS[function](values)
    if function in PAIRS:
        return PAIRS[function](values[0], values[1])
    if function == "abs":
        return quantity.absolute(values[0])
    return quantity.converted(values[0], next(unit for unit in CONVERSIONS if unit == function))


def _terms(arguments: Sequence[Node], lookup: Lookup) -> list[Term]:
    terms: list[Term] = []
    for argument in arguments:
        if isinstance(argument, Reference):
            terms += lookup(argument)
        else:
            value = evaluate(argument, lookup)
            terms.append(Term(None, value.unit, value))
    return terms


def _value(term: Term) -> Quantity:
    if term.unit == "text":
        raise NotComputable(f"{term.name} is a text")
    if term.value is None:
        raise Unreadable(term.name)
    return term.value


def _unit_of_either(a: Quantity, b: Quantity) -> tuple[Quantity, Quantity]:
    unit = quantity.common(a.unit, b.unit)  # what has no unit takes the other's, so that the quotient is a ratio
    return a._replace(unit=unit), b._replace(unit=unit)


def _at(at: int, work: Callable[..., Quantity], *arguments: object) -> Quantity:
    try:
        return work(*arguments)
    except NotComputable as error:
        raise BadExpression(f"column {at}: {error}") from error


class _Reader:
    """The text as tokens, one ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._end = 0
        self._next()

    def _next(self) -> None:
        start = _SPACE.match(self._text, self._end).end()  # type: ignore[union-attr]
        self.at = start + 1
        found = _TOKEN.match(self._text, start)
        if found is None:
            self.kind, self.token = ("", "") if start == len(self._text) else ("unknown", self._text[start])
            return
        self.kind, self.token, self._end = str(found.lastgroup), found[str(found.lastgroup)], found.end()

    def wrong(self, message: str) -> BadExpression:
        """The error for what stands here."""
        there = {"": "the expression ends", "reference": f"[{self.token[:40]}] stands there"}
        return BadExpression(f"column {self.at}: {message}; {there.get(self.kind, f'{self.token[:40]!r} stands there')}")

    def take(self, *signs: str) -> tuple[str, int] | None:
        """The sign that stands here and its column, if it is one of these."""
        if self.kind != "sign" or self.token not in signs:
            return None
        taken = self.token, self.at
        self._next()
        return taken

    def sum(self, depth: int) -> Node:
        """The longest expression that starts here; `depth` parentheses are open."""
        return self._chain(("+", "-"), lambda: self._chain(("*", "/"), lambda: self._factor(depth)))

    def _chain(self, signs: tuple[str, ...], part: Callable[[], Node]) -> Node:
        first = part()
        rest = []
        while sign := self.take(*signs):
            rest.append((sign[0], self.one(part()), sign[1]))
        return Chain(self.one(first), tuple(rest)) if rest else first

    def one(self, node: Node) -> Node:
        """The same node, which must be one value: a glob is none. Raises BadExpression."""
        if isinstance(node, Reference) and node.glob:
            raise BadExpression(f"column {node.at}: the glob [{node}] stands for several claims; sum, mean, ... take it")
        return node

    def _factor(self, depth: int) -> Node:
        minus = False
        while self.take("-"):
            minus = not minus
        node = self._atom(depth)
        return Negative(self.one(node)) if minus else node

    def _atom(self, depth: int) -> Node:
        kind, token, at = self.kind, self.token, self.at
        if depth > DEEPEST:
            raise BadExpression(f"column {at}: nested more than {DEEPEST} deep")
        if kind == "number":
            self._next()
            try:
                return Number(parse(token, "number").value)
            except NotANumber as error:
                raise BadExpression(f"column {at}: {error}") from error
        if kind == "reference":
            return self._reference()
        if kind == "name":
            return self._function(depth)
        if self.take("("):
            node = self.one(self.sum(depth + 1))
            self._close()
            return node
        raise self.wrong("a number, a claim in brackets, a function or a parenthesis was expected")

    def _reference(self) -> Reference:
        found = _REFERENCE.fullmatch(self.token.strip())
        if found is None:
            raise self.wrong("not the name of a claim")
        node = Reference(found[1], found[2], self.at)
        self._next()
        return node

    def _function(self, depth: int) -> Node:
        name, at = self.token, self.at
        if name not in ARGUMENTS:
            raise self.wrong(f"no function is called so; there are {', '.join(sorted(ARGUMENTS))}")
        self._next()
        if not self.take("("):
            raise self.wrong(f"'(' was expected after {name}")
        arguments = [self.sum(depth + 1)]
        while self.take(","):
            arguments.append(self.sum(depth + 1))
        self._close()
        fewest, most = ARGUMENTS[name]
        if len(arguments) < fewest or (most is not None and len(arguments) > most):
            wanted = f"{fewest} or more" if most is None else str(fewest)
            raise BadExpression(f"column {at}: {name} takes {wanted} arguments, not {len(arguments)}")
        for node in arguments if most is not None else arguments[: fewest - 1]:
            self.one(node)
        return Call(name, tuple(arguments), at)

    def _close(self) -> None:
        if not self.take(")"):
            raise self.wrong("')' was expected")


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
