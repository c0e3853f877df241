"""Conditions over a row's cells, as a user writes them: `price > 10 and category in ["a", "b"]`.

The text is parsed as a Python expression, and only the few kinds of nodes named here are understood; nothing
is ever compiled or executed.
"""

from __future__ import annotations

import ast
import difflib
import operator
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from sensorium.errors import SensoriumError

MOST_CHARACTERS = 1_000
"""Of a condition; it also bounds how deep one can be nested."""

Cells = Mapping[str, Any]
"""Column → cell of one row; None where it is missing."""
Part = Callable[[Cells], Any]


class Comparison(NamedTuple):
    """Two sides that a condition compares: their texts, and their values for the cells of one row."""

    texts: tuple[str, str]
    parts: tuple[Part, Part]


class Condition(NamedTuple):
    """Whether it holds for the cells of one row, the columns that it looks at, and what it compares."""

    holds: Callable[[Cells], bool]
    columns: list[str]
    comparisons: list[Comparison]


def parse_condition(text: str, columns: Sequence[str]) -> Condition:
    """A condition over the cells of one row.

    Known are columns by name (`column("a.b")` where the name is no plain word), numbers, texts, True and
    False, lists; `and`, `or`, `not`; == != < <= > >=; `in` (a list, or a part of a text); + - * /; and
    `length(x)` of a text, `missing(x)`. Whatever is compared with a missing cell, or with one of another
    kind, is not true.

    Args:
        text: the condition.
        columns: those of the table.

    Raises:
        SensoriumError: when the text cannot be understood, or names a column that there is not.
    """
    if len(text) > MOST_CHARACTERS:
        raise SensoriumError(
            f"a condition of {len(text):,} characters is too long: {MOST_CHARACTERS} at most"
        )
    try:
        tree = ast.parse(text.strip(), mode="eval")
        parser = _Parser(text, columns)
        part = parser.part(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "it is nested too deep"
        raise SensoriumError(f"the condition {text[:80]!r} cannot be understood: {reason}") from None
    return Condition(lambda cells: part(cells) is True, sorted(parser.used), parser.comparisons)


def mismatches(condition: Condition, rows: Sequence[Cells]) -> list[str]:
    """The comparisons of a text with a number in every row that has both, which tell no rows apart, in words.

    Args:
        condition: over the cells.
        rows: the cells of each row.
    """
    found = []
    for texts, parts in condition.comparisons:
        kinds = {(_kind(parts[0](cells)), _kind(parts[1](cells))) for cells in rows}
        known = {pair for pair in kinds if all(pair)}
        if known in ({("text", "a number")}, {("a number", "text")}):
            left, right = known.pop()
            found.append(f"{texts[0][:40]!r} is {left}, {texts[1][:40]} is {right}, which are never alike")
    return found


def _kind(value: Any) -> str:
    """ "a number" or "text", of a list that of all its values; "" for anything else."""
    if isinstance(value, list):
        kinds = {_kind(one) for one in value}
        return kinds.pop() if len(kinds) == 1 else ""
    if isinstance(value, int | float):
        return "a number"
    return "text" if isinstance(value, str) else ""


class _Parser:
    """Turns the nodes of one condition into functions of a row's cells."""

    def __init__(self, text: str, columns: Sequence[str]) -> None:
        self.text, self.columns = text, columns
        self.used: set[str] = set()
        self.comparisons: list[Comparison] = []

    def part(self, node: ast.AST) -> Part:
        """One node and all below it."""
        builder = _NODES.get(type(node))
        if builder is None:
            raise self.problem(f"{ast.unparse(node)[:40]!r} is not known here")
        part: Part = builder(self, node)
        return part

    def problem(self, what: str) -> SensoriumError:
        """An error that shows the condition."""
        return SensoriumError(f"the condition {self.text[:80]!r}: {what}")

    def column(self, name: str) -> Part:
        """The cell of a column."""
        if name not in self.columns:
            near = difflib.get_close_matches(name, self.columns, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self.columns)}"
            raise self.problem(f"there is no column {name!r}: {advice}")
        self.used.add(name)
        return lambda cells: cells[name]

    def name(self, node: ast.Name) -> Part:
        """A column by its plain name."""
        return self.column(node.id)

    def constant(self, node: ast.Constant) -> Part:
        """A number, a text, True or False."""
        if not isinstance(node.value, str | int | float | bool):
            raise self.problem(
                f"{ast.unparse(node)[:40]!r} is not known here; for a missing cell: missing(x)"
            )
        return lambda cells: node.value

    def sequence(self, node: ast.List | ast.Tuple | ast.Set) -> Part:
        """Several values."""
        parts = [self.part(one) for one in node.elts]
        return lambda cells: [part(cells) for part in parts]

    def both(self, node: ast.BoolOp) -> Part:
        """`and`, `or`."""
        parts, decide = [self.part(one) for one in node.values], all if isinstance(node.op, ast.And) else any
        return lambda cells: decide(part(cells) is True for part in parts)

    def unary(self, node: ast.UnaryOp) -> Part:
        """`not`, and the sign of a number."""
        part = self.part(node.operand)
        if isinstance(node.op, ast.Not):
            return lambda cells: part(cells) is not True
        if isinstance(node.op, ast.USub):
            return lambda cells: _or_none(operator.neg, part(cells))
        raise self.problem(f"{ast.unparse(node)[:40]!r} is not known here")

    def arithmetic(self, node: ast.BinOp) -> Part:
        """+ - * / of numbers."""
        if type(node.op) not in _ARITHMETIC:
            raise self.problem(f"{ast.unparse(node)[:40]!r} is not known here")
        left, right, compute = self.part(node.left), self.part(node.right), _ARITHMETIC[type(node.op)]
        return lambda cells: _or_none(compute, left(cells), right(cells))

    def comparison(self, node: ast.Compare) -> Part:
        """One comparison, or a chain such as `0 < x < 1`."""
        parts = [self.part(one) for one in (node.left, *node.comparators)]
        if any(type(one) not in _COMPARISONS for one in node.ops):
            raise self.problem("`is` is not known here; for a missing cell: missing(x)")
        compare = [_COMPARISONS[type(one)] for one in node.ops]
        texts = [ast.unparse(one) for one in (node.left, *node.comparators)]
        self.comparisons += map(Comparison, pairwise(texts), pairwise(parts))

        def holds(cells: Cells) -> bool:
            values = [part(cells) for part in parts]
            return all(_compared(one, values[place], values[place + 1]) for place, one in enumerate(compare))

        return holds

    def call(self, node: ast.Call) -> Part:
        """`column("...")`, `length(x)`, `missing(x)`."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if len(node.args) != 1 or node.keywords:
            raise self.problem(f"{ast.unparse(node)[:40]!r} is not known here")
        argument = node.args[0]
        if name == "column" and isinstance(argument, ast.Constant):
            return self.column(str(argument.value))
        if name not in _FUNCTIONS:
            raise self.problem(f"{name or 'this call'} is not known; one of column, {', '.join(_FUNCTIONS)}")
        part, compute = self.part(argument), _FUNCTIONS[name]
        return lambda cells: compute(part(cells))


_NODES: dict[type[ast.AST], Any] = {
    ast.Name: _Parser.name,
    ast.Constant: _Parser.constant,
    ast.List: _Parser.sequence,
    ast.Tuple: _Parser.sequence,
    ast.Set: _Parser.sequence,
    ast.BoolOp: _Parser.both,
    ast.UnaryOp: _Parser.unary,
    ast.BinOp: _Parser.arithmetic,
    ast.Compare: _Parser.comparison,
    ast.Call: _Parser.call,
}
_ARITHMETIC: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISONS: dict[type[ast.AST], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, many: one in many,
    ast.NotIn: lambda one, many: one not in many,
}
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "length": lambda value: len(value) if isinstance(value, str | bytes | list) else None,
    "missing": lambda value: value is None,
}


def _or_none(compute: Callable[..., Any], *values: Any) -> Any:
    """Arithmetic of numbers; None where one is missing or no number, and for a division by zero."""
    if not all(isinstance(value, int | float) for value in values):
        return None
    try:
        return compute(*values)
    except (ZeroDivisionError, OverflowError):
        return None


def _compared(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    if left is None or right is None:
        return False
    try:
        return bool(compare(left, right))
    except TypeError:  # a text and a number
        return False
