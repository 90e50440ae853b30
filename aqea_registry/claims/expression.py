"""Derived claims: expressions over other claims, read by Python's own parser and computed with exact quantities.

A quantity is a printed number with the interval of all that it may stand for, and its unit. An expression has numbers, claims
in brackets, `+ - * /`, parentheses and functions. Numbers and claims are replaced by names of the same length before Python
reads it, so columns stay, and nothing but these names, operators and calls is let through. It is kept as steps, each behind
its operands, which are done without recursion. A number in the expression itself is exact and takes the unit of what it is
computed with. Pure.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial, reduce
from itertools import chain, product
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from aqea_registry.claims.ledger import Claim
from aqea_registry.documents.numbers import LARGEST_EXPONENT, NotANumber, PrintedNumber, Unit, parse_number

MOST_BITS = 4096  # of a numerator or denominator: a few hundred decimals, and far beyond any table
LARGEST = Fraction(10) ** LARGEST_EXPONENT
LONGEST = 20_000  # characters of an expression
DEEPEST = 30  # parentheses within parentheses
OPERATIONS = 2_500  # in one expression: Python's own limit differs from version to version
TOO_MANY = "too many operations in a row; write sum([a], [b], ...) or several claims"

# One of each unit in plain numbers; what has no entry cannot be converted.
SCALE: dict[Unit | None, Fraction] = {
    **dict.fromkeys((None, "fraction", "ratio", "number", "count", "tokens", "dimensions", "bytes"), Fraction(1)),
    "percent": Fraction(1, 100),
    "millions": Fraction(10**6),
    "billions": Fraction(10**9),
}
CONVERSIONS: tuple[Unit, ...] = ("percent", "fraction", "number", "millions", "billions")  # each a function of expressions
_SHARES: tuple[Unit | None, ...] = ("percent", "fraction", "ratio")
# What may multiply or divide anything: the product of two of them takes the later one's unit.
_FACTORS: tuple[Unit | None, ...] = (None, "ratio", "fraction", "number", "count")


class NotComputable(ValueError):
    """The operation has no answer: the message says why."""


class Quantity(msgspec.Struct, frozen=True):
    """A value with the interval of all that it may stand for. The unit of a bare number in an expression is None.

    Sums are of one unit; one of two factors is a plain number, a ratio, a fraction or a count; a quotient is of one unit and a
    ratio, or by something plain. All else raises NotComputable, also where the divisor may be zero.
    """

    value: Fraction
    low: Fraction
    high: Fraction
    unit: Unit | None

    def __add__(self, other: Quantity) -> Quantity:
        return _combined(operator.add, self, other, common(self.unit, other.unit))

    def __sub__(self, other: Quantity) -> Quantity:
        return _combined(operator.sub, self, other, common(self.unit, other.unit))

    def __mul__(self, other: Quantity) -> Quantity:
        units = sorted((self.unit, other.unit), key=lambda unit: _FACTORS.index(unit) if unit in _FACTORS else len(_FACTORS))
        if units[0] not in _FACTORS:
            raise NotComputable(f"{self.unit} times {other.unit} is not a unit known here; number(...) converts one of them")
        return _combined(operator.mul, self, other, units[1])

    def __truediv__(self, other: Quantity) -> Quantity:
        if other.low <= 0 <= other.high:
            known = "is zero" if other.low == other.high else "is so near to zero that it may be zero"
            raise NotComputable(f"division by zero: the divisor {known}")
        if other.unit not in _FACTORS and self.unit != other.unit:
            message = f"{self.unit or 'a number'} divided by {other.unit} is not a unit known here"
            raise NotComputable(f"{message}; number(...) converts both")
        unit = self.unit if other.unit is None else "ratio" if self.unit == other.unit else self.unit or "number"
        return _combined(operator.truediv, self, other, unit)

    def __neg__(self) -> Quantity:
        return Quantity(-self.value, -self.high, -self.low, self.unit)

    def __abs__(self) -> Quantity:
        ends = sorted((abs(self.low), abs(self.high)))
        return Quantity(abs(self.value), Fraction(0) if self.low <= 0 <= self.high else ends[0], ends[1], self.unit)


def _combined(operation: Callable[[Fraction, Fraction], Fraction], a: Quantity, b: Quantity, unit: Unit | None) -> Quantity:
    """What an operation gives that is largest and smallest at the ends of both intervals."""
    corners = [operation(x, y) for x, y in product((a.low, a.high), (b.low, b.high))]
    return _checked(operation(a.value, b.value), min(corners), max(corners), unit)


def _checked(value: Fraction, low: Fraction, high: Fraction, unit: Unit | None) -> Quantity:
    numbers = (value, low, high)
    bits = max(max(number.numerator.bit_length(), number.denominator.bit_length()) for number in numbers)
    if bits > MOST_BITS or any(abs(number) >= LARGEST for number in numbers):
        raise NotComputable("the result is too large or too long")
    return Quantity(value, low, high, unit)


def common(a: Unit | None, b: Unit | None) -> Unit | None:
    """The unit of two that agree. A `number` agrees with all, as a number in an expression does. Raises NotComputable."""
    for unit, other in ((a, b), (b, a)):
        if unit == other or unit is None or (unit == "number" and other is not None):
            return other
    way = a if a in CONVERSIONS else "number"
    advice = f"; {way}(...) of a derived claim converts" if (a in _SHARES) == (b in _SHARES) else ""
    raise NotComputable(f"the units differ: {a} against {b}{advice}")


def printed_number(claim: Claim, *, as_printed: bool = False) -> PrintedNumber:
    """What a claim's print stands for, whose last zeros may be no digits. Raises NotANumber."""
    value = claim.value or ""
    number = parse_number(value, claim.unit, as_printed=as_printed)
    if claim.digits is None:
        return number
    digits = value.strip().lstrip("+-−").replace(",", "").lstrip("0")
    last = 10 ** max(len(digits) - claim.digits, 0)
    if not digits.isdecimal() or claim.digits > len(digits) or number.value % last:
        raise NotANumber(f"{value[:40]!r} does not have {claim.digits} digits and then zeros, which are a whole number's alone")
    return PrintedNumber(number.value, Fraction(last, 2))


def printed(number: PrintedNumber, unit: Unit) -> Quantity:
    """A printed number with all that it may stand for."""
    return Quantity(number.value, number.low, number.high, unit)


def exact(value: Fraction, unit: Unit | None = None) -> Quantity:
    """A number that stands for itself alone."""
    return Quantity(value, value, value, unit)


def mean(*terms: Quantity) -> Quantity:
    """The arithmetic mean of one or more quantities of one unit. Raises NotComputable."""
    return reduce(operator.add, terms) / exact(Fraction(len(terms)))


def converted(a: Quantity, unit: Unit) -> Quantity:
    """The same in another unit. Raises NotComputable."""
    if a.unit not in SCALE or unit not in SCALE:
        raise NotComputable(f"{a.unit} cannot be converted to {unit}")
    scale = SCALE[a.unit] / SCALE[unit]
    return _checked(a.value * scale, a.low * scale, a.high * scale, unit)


def _extreme(pick: Callable[[Sequence[Fraction]], Fraction], *terms: Quantity) -> Quantity:
    unit = reduce(common, (term.unit for term in terms))
    values, lows, highs = zip(*((term.value, term.low, term.high) for term in terms), strict=True)
    return Quantity(pick(values), pick(lows), pick(highs), unit)


Basis = Literal["bytes", "prints"]


class Correction(NamedTuple):
    """What a contradicted claim should print by its evidence; or what evidence is, computed from terms corrected so.

    `sure`: the terms are contradicted by bytes, not by other prints alone. `culprits` are the wrong prints, in words.
    """

    value: Quantity | str
    basis: Basis
    sure: bool
    culprits: tuple[str, ...]


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

    def known(self) -> Quantity:
        """Its value. Raises NotComputable for a text or a bound, Unreadable for what cannot be read."""
        if self.unit == "text" or self.bound is not None:
            raise NotComputable(f"{self.name} is {f'a bound ({self.bound})' if self.bound else 'a text'}, not a number")
        if self.value is None:
            raise Unreadable(self.name)
        return self.value


_Function = Callable[[Sequence[Term]], Quantity]


class _Step(NamedTuple):
    """A claim, a number, or what is computed of the last so many operands before it; and its column."""

    column: int
    what: Reference | Fraction | _Function
    operands: int = 0


Expression = tuple[_Step, ...]
Lookup = Callable[[Reference], Sequence[Term]]


def _of(function: Callable[..., Quantity]) -> _Function:
    """A function of terms that all must have values."""
    return lambda terms: function(*(term.known() for term in terms))


def _rank(terms: Sequence[Term]) -> Quantity:
    """The rank of the first term among the others: 1 is the largest, equals share a rank. A claim has none against itself."""
    a, *others = (term.known() for n, term in enumerate(terms) if n == 0 or term.name is None or term.name != terms[0].name)
    for other in others:
        common(a.unit, other.unit)
    value = 1 + sum(other.value > a.value for other in others)
    low, high = 1 + sum(other.low > a.high for other in others), 1 + sum(other.high > a.low for other in others)
    return Quantity(Fraction(value), Fraction(low), Fraction(high), "count")


_OPERATIONS: dict[type[ast.AST], Callable[[Quantity, Quantity], Quantity]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
# The fewest and the most arguments of each function, and what it computes.
_FUNCTIONS: dict[str, tuple[int, int | None, _Function]] = {
    "sum": (1, None, _of(lambda *values: reduce(operator.add, values))),
    "mean": (1, None, _of(mean)),
    "min": (1, None, _of(partial(_extreme, min))),
    "max": (1, None, _of(partial(_extreme, max))),
    "count": (1, None, lambda terms: exact(Fraction(len(terms)), "count")),
    "rank": (2, None, _rank),
    "difference": (2, 2, _of(operator.sub)),
    # What has no unit takes the other's.
    "ratio": (2, 2, _of(lambda a, b: replace(a, unit=common(a.unit, b.unit)) / replace(b, unit=common(a.unit, b.unit)))),
    "abs": (1, 1, _of(abs)),
    **{str(unit): (1, 1, _of(partial(converted, unit=unit))) for unit in CONVERSIONS},
}

_ATOM = r"(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)|\[(?P<claim>[^\[\]]*)\]"
_TOKEN = re.compile(rf"{_ATOM}|(?P<sign>[-+*/])|(?P<paren>[()])|(?P<wrong>[^,\sa-z]|,(?=\s*\)))")
_REFERENCE = re.compile(r"(?:([A-Za-z0-9][A-Za-z0-9._-]*):)?([a-z0-9*?][a-z0-9._/+@*?-]*)")


def read_expression(text: str) -> Expression:
    """Read an expression. Raises BadExpression with the column, counted from 1."""
    if len(text) > LONGEST:
        raise BadExpression(f"longer than {LONGEST} characters")
    atoms = _atoms(text)
    masked = re.sub(r"\s", " ", re.sub(_ATOM, lambda found: "X".ljust(len(found[0]), "_"), text))
    try:
        tree = ast.parse(f"({masked})", mode="eval").body  # in parentheses columns count from 1, and spaces may lead
    except (RecursionError, MemoryError) as error:
        raise BadExpression(TOO_MANY) from error
    except SyntaxError as error:
        column = min(max((error.offset or 0) - 1, 1), len(text) + 1)
        reason = f"{text[column - 1 :][:40]!r} is not an expression" if column <= len(text) else "it ends too early"
        raise BadExpression(f"column {column}: {reason}") from error
    return _steps(tree, atoms, text)


def parse_reference(text: str, column: int = 1) -> Reference:
    """A claim, or a glob of claims, by its name: ID or LEDGER:ID. Raises BadExpression."""
    name = _REFERENCE.fullmatch(text)
    if name is None:
        raise BadExpression(f"column {column}: {text[:40]!r} is not the name of a claim")
    return Reference(name[1], name[2], column)


def references(expression: Expression) -> list[Reference]:
    """The claims that the expression names, in order."""
    return [step.what for step in expression if isinstance(step.what, Reference)]


def _atoms(text: str) -> dict[int, Reference | Fraction]:
    """Numbers and claims by their columns. Of the rest only names, signs and parentheses that match may reach the parser."""
    atoms: dict[int, Reference | Fraction] = {}
    depth = signs = 0
    for token in _TOKEN.finditer(text):
        column = token.start() + 1
        if token.lastgroup == "wrong":
            raise BadExpression(f"column {column}: {token[0]!r} cannot be read here")
        if token.lastgroup == "claim":
            atoms[column] = parse_reference(token["claim"].strip(), column)
        elif token.lastgroup == "number":
            try:
                atoms[column] = parse_number(token[0], "number").value
            except NotANumber as error:
                raise BadExpression(f"column {column}: {error}") from error
        signs += token.lastgroup == "sign"
        depth += (token[0] == "(") - (token[0] == ")")
        if not 0 <= depth <= DEEPEST:
            raise BadExpression(f"column {column}: {f'nested more than {DEEPEST} deep' if depth > 0 else 'nothing is open'}")
    if depth:
        raise BadExpression(f"column {len(text) + 1}: ')' was expected")
    if signs > OPERATIONS:
        raise BadExpression(TOO_MANY)
    return atoms


def _steps(tree: ast.expr, atoms: Mapping[int, Reference | Fraction], text: str) -> Expression:
    """The steps of a tree, each behind its operands. Raises BadExpression for what Python reads and we do not."""
    steps, faults = list[_Step](), list[tuple[int, str]]()
    todo: list[tuple[ast.expr, bool, bool]] = [(tree, False, False)]  # and whether it is an argument, and may be a glob
    while todo:  # from the last part to the first, and what is computed before its operands
        node, argument, several = todo.pop()
        column, operation = max(node.col_offset, 1), _OPERATIONS.get(type(node.op)) if isinstance(node, ast.BinOp) else None
        spelled = repr(text[column - 1 : (node.end_col_offset or 0) - 1][:40])
        called = node.func if isinstance(node, ast.Call) else node
        name = called.id if isinstance(called, ast.Name) else ""
        atom = atoms[column] if called is node and re.fullmatch("X_*", name) else None
        if isinstance(node, ast.BinOp) and operation:
            sign = re.compile("[-+*/]").search(text, (node.left.end_col_offset or 1) - 1)
            steps.append(_Step(sign.end() if sign else 1, _of(operation), 2))
            todo += (node.left, False, False), (node.right, False, False)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            steps.append(_Step(column, _of(operator.neg), 1))
            todo.append((node.operand, False, False))
        elif isinstance(node, ast.Call) and name in _FUNCTIONS:
            fewest, most, function = _FUNCTIONS[name]
            if not fewest <= len(node.args) <= (most or len(node.args)):
                wanted = f"{fewest} or more" if most is None else fewest
                faults.append((column, f"{name} takes {wanted} arguments, not {len(node.args)}"))
            steps.append(_Step(column, function, len(node.args)))
            todo += [(part, True, most is None and n >= fewest - 1) for n, part in enumerate(node.args)]
        elif atom is not None:
            if isinstance(atom, Reference) and atom.glob and not several:
                faults.append((column, f"the glob [{atom}] stands for several claims; sum, mean, ... take it"))
            steps += [] if argument else [_Step(column, _of(lambda value: value), 1)]  # it must have one
            steps.append(_Step(column, atom))
        elif isinstance(node, ast.Name) or name[:1] not in ("", "X"):
            spelled = spelled if called is node else repr(name)
            faults.append((column, f"{spelled} is not a function with arguments; there are {', '.join(sorted(_FUNCTIONS))}"))
        else:
            faults.append((column, f"{spelled} is not a number, a claim in brackets, a function or an operation"))
    if faults:
        raise BadExpression("column {}: {}".format(*min(faults)))
    return tuple(reversed(steps))


def evaluate(expression: Expression, lookup: Lookup) -> Quantity:
    """What the expression gives. Raises BadExpression, and Unreadable where a claim that it needs has no value."""
    done: list[Sequence[Term]] = []  # what each operand stands for, which of a glob are several terms
    for column, what, operands in expression:
        if isinstance(what, Reference):
            done.append(lookup(what))
            continue
        first = len(done) - operands
        try:
            value = exact(what) if isinstance(what, Fraction) else what([*chain.from_iterable(done[first:])])
        except NotComputable as error:
            raise BadExpression(f"column {column}: {error}") from error
        done[first:] = [[Term(None, value.unit, value)]]
    return done[0][0].known()
