"""Derived claims: expressions over other claims, read by Python's own parser and computed with exact fractions.

An expression has numbers, claims in brackets, `+ - * /`, parentheses and functions. Numbers and claims are replaced by names
of the same length before Python reads it, so columns stay, and nothing but these names, operators and calls is let through.
A number in the expression itself is exact and takes the unit of what it is computed with.

`Terms` says what a reference means among the claims of all ledgers. Pure.
"""

from __future__ import annotations

import ast
import fnmatch
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import partial, reduce
from typing import NamedTuple

from aqea_registry.claims import quantity
from aqea_registry.claims.ledger import Claim, Ledger
from aqea_registry.claims.quantity import Basis, Correction, NotComputable, Quantity
from aqea_registry.documents.numbers import NotANumber, Unit, parse_number

LONGEST = 20_000  # characters of an expression
DEEPEST = 30  # parentheses within parentheses
OPERATIONS = 2_500  # in one expression: Python's own limit differs from version to version

_OPERATIONS: dict[type[ast.AST], Callable[[Quantity, Quantity], Quantity]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
# The fewest and the most arguments of each function, and what it computes.
_FUNCTIONS: dict[str, tuple[int, int | None, Callable[..., Quantity]]] = {
    "sum": (1, None, lambda *values: reduce(operator.add, values)),
    "mean": (1, None, lambda *values: quantity.mean(values)),
    "min": (1, None, lambda *values: quantity.extreme(values, largest=False)),
    "max": (1, None, lambda *values: quantity.extreme(values, largest=True)),
    "count": (1, None, lambda *terms: quantity.exact(Fraction(len(terms)), "count")),
    "rank": (2, None, lambda value, *others: quantity.rank(value, others)),
    "difference": (2, 2, operator.sub),
    "ratio": (2, 2, quantity.ratio),
    "abs": (1, 1, abs),
    **{str(unit): (1, 1, partial(quantity.converted, unit=unit)) for unit in quantity.CONVERSIONS},
}

_ATOM = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|\[([^\[\]]*)\]")
_SIGN = re.compile(r"[-+*/]")
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


class Expression(NamedTuple):
    """An expression that can be evaluated: Python's tree of `text`, and by column what a name in it stands for."""

    text: str
    tree: ast.expr
    atoms: dict[int, Reference | Fraction]


class Term(NamedTuple):
    """A claim that a reference stands for. `value` is None where it cannot be read, or is a text; `basis` confirms it."""

    name: str | None
    unit: Unit | None
    value: Quantity | None
    bound: str | None = None
    basis: Basis = "prints"
    correction: Correction | None = None  # if it is contradicted

    def corrected(self) -> Term:
        """The term as it should be printed."""
        fix = self.correction
        return self if fix is None or isinstance(fix.value, str) else self._replace(value=fix.value)


Lookup = Callable[[Reference], Sequence[Term]]


def read_expression(text: str) -> Expression:
    """Read an expression. Raises BadExpression with the column, counted from 1."""
    if len(text) > LONGEST:
        raise BadExpression(f"longer than {LONGEST} characters")
    _check_characters(re.sub(r"\s", " ", _ATOM.sub(lambda found: "0" * len(found[0]), text)))
    atoms = {found.start() + 1: _atom(found) for found in _ATOM.finditer(text)}
    masked = re.sub(r"\s", " ", _ATOM.sub(lambda found: "X".ljust(len(found[0]), "_"), text))
    try:
        tree = ast.parse(f"({masked})", mode="eval").body  # in parentheses columns count from 1, and spaces may lead
        if sum(isinstance(node, ast.operator | ast.unaryop) for node in ast.walk(tree)) > OPERATIONS:
            raise RecursionError
    except SyntaxError as error:
        column = min(max((error.offset or 0) - 1, 1), len(text) + 1)
        reason = f"{text[column - 1 :][:40]!r} is not an expression" if column <= len(text) else "it ends too early"
        raise BadExpression(f"column {column}: {reason}") from error
    except (RecursionError, MemoryError) as error:
        raise BadExpression("too many operations in a row; write sum([a], [b], ...) or several claims") from error
    for column, reason in sorted(_faults(tree, atoms, text))[:1]:
        raise BadExpression(f"column {column}: {reason}")
    return Expression(masked, tree, atoms)


def parse_reference(text: str, column: int = 1) -> Reference:
    """A claim, or a glob of claims, by its name: ID or LEDGER:ID. Raises BadExpression."""
    name = _REFERENCE.fullmatch(text)
    if name is None:
        raise BadExpression(f"column {column}: {text[:40]!r} is not the name of a claim")
    return Reference(name[1], name[2], column)


def references(expression: Expression) -> list[Reference]:
    """The claims that the expression names, in order."""
    return [atom for atom in expression.atoms.values() if isinstance(atom, Reference)]


def _atom(found: re.Match[str]) -> Reference | Fraction:
    if found[1] is not None:
        return parse_reference(found[1].strip(), found.start() + 1)
    try:
        return parse_number(found[0], "number").value
    except NotANumber as error:
        raise BadExpression(f"column {found.start() + 1}: {error}") from error


def _check_characters(text: str) -> None:
    """Of what is not a number or a claim: let only names, signs and parentheses that match reach Python's parser."""
    if wrong := re.search(r"[^-+*/(), a-z0]|,(?= *\))", text):
        raise BadExpression(f"column {wrong.end()}: {wrong[0]!r} cannot be read here")
    depth = 0
    for column, character in enumerate(text, 1):
        depth += (character == "(") - (character == ")")
        if not 0 <= depth <= DEEPEST:
            raise BadExpression(f"column {column}: {f'nested more than {DEEPEST} deep' if depth > 0 else 'nothing is open'}")
    if depth:
        raise BadExpression(f"column {len(text) + 1}: ')' was expected")


def _faults(tree: ast.expr, atoms: Mapping[int, Reference | Fraction], text: str) -> Iterator[tuple[int, str]]:
    """What of Python is not part of an expression, with its column. A parent comes before its parts."""
    functions: set[int] = set()  # names of functions that have arguments, by the node's id
    several: set[int] = set()  # arguments that may be globs
    for node in ast.walk(tree):
        if not isinstance(node, ast.expr) or id(node) in functions:
            continue
        column = max(node.col_offset, 1)
        spelled = repr(text[column - 1 : (node.end_col_offset or 0) - 1][:40])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
            functions.add(id(node.func))
            fewest, most, _ = _FUNCTIONS[node.func.id]
            if not fewest <= len(node.args) <= (most or len(node.args)):
                wanted = f"{fewest} or more" if most is None else fewest
                yield column, f"{node.func.id} takes {wanted} arguments, not {len(node.args)}"
            several.update(id(argument) for argument in node.args[fewest - 1 :] if most is None)
        elif isinstance(node, ast.Name) and re.fullmatch("X_*", node.id):
            atom = atoms[column]
            if isinstance(atom, Reference) and atom.glob and id(node) not in several:
                yield column, f"the glob [{atom}] stands for several claims; sum, mean, ... take it"
        elif isinstance(node, ast.Name):
            yield column, f"{spelled} is not a function with arguments; there are {', '.join(sorted(_FUNCTIONS))}"
        elif not isinstance(getattr(node, "op", None), (*_OPERATIONS, ast.USub)):
            yield column, f"{spelled} is not a number, a claim in brackets, a function or an operation"


def evaluate(expression: Expression, lookup: Lookup) -> Quantity:
    """What the expression gives. Raises BadExpression, and Unreadable where a claim that it needs has no value."""
    return _Evaluation(expression, lookup).value(expression.tree)


class _Evaluation(NamedTuple):
    expression: Expression
    lookup: Lookup

    def value(self, node: ast.expr) -> Quantity:
        """The value of a node: a chain of operations is worked from left to right, without recursion."""
        chain: list[ast.BinOp] = []
        while isinstance(node, ast.BinOp):
            chain.append(node)
            node = node.left
        result = self._operand(node)
        for operation in reversed(chain):
            right = self.value(operation.right)
            sign = _SIGN.search(self.expression.text, (operation.left.end_col_offset or 1) - 1)
            with _computed_at(sign.end() if sign else 1):
                result = _OPERATIONS[type(operation.op)](result, right)
        return result

    def _operand(self, node: ast.expr) -> Quantity:
        minus = False
        while isinstance(node, ast.UnaryOp):
            node, minus = node.operand, not minus
        with _computed_at(node.col_offset):
            if isinstance(node, ast.BinOp):
                value = self.value(node)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                value = self._call(node.func.id, node.args)
            else:
                value = _value(self._terms([node])[0])
        return -value if minus else value

    def _call(self, function: str, arguments: Sequence[ast.expr]) -> Quantity:
        terms = self._terms(arguments)
        if function == "rank":  # a claim has no rank against itself
            terms[1:] = [term for term in terms[1:] if term.name is None or term.name != terms[0].name]
        return _FUNCTIONS[function][2](*(terms if function == "count" else map(_value, terms)))

    def _terms(self, nodes: Sequence[ast.expr]) -> list[Term]:
        terms: list[Term] = []
        for node in nodes:
            atom = self.expression.atoms[node.col_offset] if isinstance(node, ast.Name) else None
            if isinstance(atom, Reference):
                terms += self.lookup(atom)
            else:
                value = quantity.exact(atom) if atom is not None else self.value(node)
                terms.append(Term(None, value.unit, value))
        return terms


@contextmanager
def _computed_at(column: int) -> Iterator[None]:
    try:
        yield
    except NotComputable as error:
        raise BadExpression(f"column {column}: {error}") from error


def _value(term: Term) -> Quantity:
    if term.unit == "text" or term.bound is not None:
        raise NotComputable(f"{term.name} is {f'a bound ({term.bound})' if term.bound else 'a text'}, not a number")
    if term.value is None:
        raise Unreadable(term.name)
    return term.value


MOST = 10_000_000  # names compared with globs, and claims that globs stand for, in all expressions: some seconds of work


class Terms:
    """An index over the `claims` of all ledgers, which are named LEDGER:ID."""

    def __init__(self, ledgers: Mapping[str, Ledger]) -> None:
        self.claims = {f"{name}:{claim.id}": claim for name, ledger in ledgers.items() for claim in ledger.claims}
        self._ids = {name: [claim.id for claim in ledger.claims] for name, ledger in ledgers.items()}
        self._globs: dict[tuple[str, str], list[str]] = {}
        self._terms: dict[str, Term] = {}
        self._left = MOST

    def find(self, reference: Reference, ledger: str, own: str | None = None) -> list[str]:
        """The claims that a reference means in a claim of `ledger`; a glob never means `own`. Raises BadExpression."""
        among = reference.ledger or ledger
        if among not in self._ids:
            raise BadExpression(f"column {reference.at}: there is no ledger {among!r}; there are {', '.join(self._ids)}")
        if not reference.glob:
            if f"{among}:{reference.id}" not in self.claims:
                raise BadExpression(f"column {reference.at}: {among} has no claim {reference.id!r}")
            return [f"{among}:{reference.id}"]
        key = (among, reference.id)
        if key not in self._globs:  # each is looked for once
            self._spend(len(self._ids[among]))
            self._globs[key] = [f"{among}:{id_}" for id_ in fnmatch.filter(self._ids[among], reference.id)]
        names = [name for name in self._globs[key] if name != own]
        self._spend(len(names))
        if not names:
            raise BadExpression(f"column {reference.at}: no other claim of {among} is matched by {reference.id!r}")
        return names

    def put(self, name: str, claim: Claim) -> None:
        """Take another claim for the one with this name."""
        self.claims[name] = claim
        self._terms.pop(name, None)

    def term(self, name: str) -> Term:
        """The claim with this name as a term."""
        if name not in self._terms:
            claim, value = self.claims[name], None
            if claim.value is not None and claim.unit != "text":
                with suppress(NotANumber):
                    value = quantity.printed(quantity.printed_number(claim), claim.unit)
            self._terms[name] = Term(name, claim.unit, value, claim.bound)
        return self._terms[name]

    def settle(self, name: str, basis: Basis, correction: Correction | None) -> None:
        """Keep what was found out about a claim, for those that rest on it."""
        self._terms[name] = self.term(name)._replace(basis=basis, correction=correction)

    def _spend(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise BadExpression(f"the globs of all ledgers together match against more than {MOST} names")
