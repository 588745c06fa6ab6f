"""Reads the values of a Python file of settings without running it.

Distributed-CellProfiler's config.py is a list of assignments: texts, numbers, lists, and sums of
names assigned above (`APP_NAME + 'Queue'`, `3*60`, `DOCKER_CORES * 1024`). Only these are read; any
other statement is an error with its line. No expression can take long or become large.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from blocks.errors import ConfigError, Problem

LONGEST_FILE = 100_000
"""Maximum characters of a file; Python takes minutes to parse some much longer files."""

LONGEST = 10_000
"""Maximum characters of a text, or entries of a list."""

LARGEST = 2**53
"""Up to here, whole numbers are exact even as floats."""

LONGEST_POWER = 64

DEEPEST = 100
"""Maximum depth of nested expressions, which is the number of terms of a sum."""

ALLOWED = (
    "NAME = value, where the value is a text, a number, True, False, None, a list, or a sum "
    "or product of these and of names assigned above"
)

_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_SIGNS: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_CALLED: Mapping[type[ast.AST], str] = {
    ast.Attribute: "an attribute",
    ast.AugAssign: "a change of a name",
    ast.Call: "a call",
    ast.Compare: "a comparison",
    ast.Dict: "a mapping",
    ast.For: "a loop",
    ast.FunctionDef: "a function",
    ast.If: "a condition",
    ast.IfExp: "a condition",
    ast.Import: "an import",
    ast.ImportFrom: "an import",
    ast.ListComp: "a loop",
    ast.Subscript: "a part of a value",
    ast.While: "a loop",
}


@dataclass(frozen=True)
class Assignment:
    """The value of a name at the end of the file.

    Attributes:
        value: A text, a number, True, False, None, or a list of these.
        line: The line of its last assignment, from 1.
        earlier: The lines of its earlier assignments.
        used: Whether a later expression uses it.
    """

    value: Any
    line: int
    earlier: tuple[int, ...] = ()
    used: bool = False


class _UnsupportedExpression(Exception):
    """An unsupported expression; the text never repeats the value, which may be a secret."""

    def __init__(self, node: ast.AST, mistake: str, allowed: str = ALLOWED) -> None:
        super().__init__(mistake)
        self.line, self.mistake, self.allowed = getattr(node, "lineno", 1), mistake, allowed


def read_assignments(text: str, where: str) -> dict[str, Assignment]:
    """Every name that the file assigns, in the order of the last assignments.

    Raises:
        ConfigError: The file is not Python, or has other statements than assignments of simple
            values; lists all such lines.
    """
    reader = _AssignmentReader()
    problems: list[Problem] = []
    for statement in _parse(text, where).body:
        try:
            reader.read(statement)
        except _UnsupportedExpression as refused:
            names = reader.give_up(statement)
            if refused.mistake:
                place = f"{where}:{refused.line}"
                problems.append(Problem(place, names, refused.mistake, allowed=refused.allowed))
    if problems:
        raise ConfigError(*problems)
    return {
        name: replace(assigned, used=name in reader.used) for name, assigned in reader.names.items()
    }


def _parse(text: str, where: str) -> ast.Module:
    if len(text) > LONGEST_FILE:
        raise ConfigError(Problem(where, "", "is too long for a file of settings"))
    try:
        return ast.parse(text)
    except SyntaxError as error:
        place = f"{where}:{error.lineno}" if error.lineno else where
        raise ConfigError(Problem(place, "", f"is not Python: {error.msg}")) from error
    except (ValueError, RecursionError, MemoryError) as error:
        mistake = "is not Python" if isinstance(error, ValueError) else "is nested too deeply"
        raise ConfigError(Problem(where, "", mistake)) from error


class _AssignmentReader:
    """The names assigned so far, in order.

    Attributes:
        names: Their values.
        used: The names used in expressions.
        refused: The names whose last assignment was refused; errors caused by them are omitted.
    """

    def __init__(self) -> None:
        self.names: dict[str, Assignment] = {}
        self.used: set[str] = set()
        self.refused: set[str] = set()

    def read(self, statement: ast.stmt) -> None:
        """Process a statement.

        Raises:
            _UnsupportedExpression: It is not the assignment of a simple value.
        """
        targets, expression = _assignment(statement)
        if expression is None:
            return
        value = self._value(expression, 0)
        for name in targets:
            before = self.names.pop(name, None)
            earlier = (*before.earlier, before.line) if before else ()
            self.names[name] = Assignment(value, statement.lineno, earlier)
            self.refused.discard(name)

    def give_up(self, statement: ast.stmt) -> str:
        """Record that a statement was refused; returns the names it would have assigned."""
        inner = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
        names = [node.id for node in inner if isinstance(node.ctx, ast.Store)]
        self.refused.update(names)
        return ", ".join(dict.fromkeys(names))

    def _value(self, node: ast.expr, depth: int) -> Any:
        if depth > DEEPEST:
            raise _UnsupportedExpression(node, "is nested too deeply", f"at most {DEEPEST} terms")
        below = depth + 1
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                return _bounded(node, value)
            case ast.Name(id=name) if name in self.refused:
                raise _UnsupportedExpression(node, "")
            case ast.Name(id=name) if name in self.names:
                self.used.add(name)
                return self.names[name].value
            case ast.Name(id=name):
                raise _UnsupportedExpression(node, f"uses {name}, which is not assigned above")
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return _bounded(node, [self._value(item, below) for item in items])
            case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _SIGNS:
                return _SIGNS[type(sign)](_number(node, self._value(operand, below)))
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _ARITHMETIC:
                terms = self._value(left, below), self._value(right, below)
                return _combined(node, type(sign), *terms)
            case ast.JoinedStr(values=parts):
                text = ""
                for part in parts:  # each step is bounded: many parts could make a long text
                    text = _bounded(node, text + self._part(part, below))
                return text
            case _:
                raise _UnsupportedExpression(node, f"has {_called(node)}")

    def _part(self, node: ast.expr, depth: int) -> str:
        """A part of an f-string: a text, or a value in braces without a format."""
        if not isinstance(node, ast.FormattedValue):
            return str(self._value(node, depth))
        if node.format_spec is not None or node.conversion != -1:
            raise _UnsupportedExpression(node, "has a value with a format in an f-string")
        value = self._value(node.value, depth)
        if isinstance(value, list):
            raise _UnsupportedExpression(node, "has a list in an f-string")
        return str(value)


def _assignment(statement: ast.stmt) -> tuple[list[str], ast.expr | None]:
    """The names and the value of an assignment; none for a docstring or `pass`."""
    match statement:
        case ast.Assign(targets=targets, value=value):
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            if len(names) == len(targets):
                return names, value
            raise _UnsupportedExpression(statement, "assigns to something other than a name")
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            return [name], value
        case ast.Expr(value=ast.Constant(value=str())) | ast.Pass():
            return [], None
        case ast.Expr(value=expression):
            raise _UnsupportedExpression(statement, f"has {_called(expression)}")
        case _:
            raise _UnsupportedExpression(statement, f"has {_called(statement)}")


def _called(node: ast.AST) -> str:
    return _CALLED.get(type(node), "something other than the assignment of a simple value")


def _combined(node: ast.expr, sign: type[ast.operator], left: Any, right: Any) -> Any:
    if sign is ast.Add and type(left) is type(right) and isinstance(left, (str, list)):
        return _bounded(node, left + right)
    first, second = _number(node, left), _number(node, right)
    # Powers that would exceed the bounds are not computed.
    if sign is ast.Pow and not 0 <= second <= LONGEST_POWER:
        raise _UnsupportedExpression(
            node, "has too large a power", f"powers from 0 to {LONGEST_POWER}"
        )
    try:
        return _bounded(node, _ARITHMETIC[sign](first, second))
    except ZeroDivisionError as error:
        raise _UnsupportedExpression(node, "divides by zero", "other divisors") from error
    except OverflowError as error:
        raise _UnsupportedExpression(
            node, "is too large a number", f"numbers up to {LARGEST}"
        ) from error


def _number(node: ast.expr, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _UnsupportedExpression(node, "calculates with a value that is not a number")
    return value


def _bounded(node: ast.expr, value: Any) -> Any:
    if isinstance(value, list) and any(isinstance(entry, list) for entry in value):
        raise _UnsupportedExpression(node, "has a list in a list")
    if isinstance(value, (str, list)) and len(value) > LONGEST:
        raise _UnsupportedExpression(
            node, "is too long", f"at most {LONGEST} characters or entries"
        )
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _UnsupportedExpression(
                node, "has half of a character", "whole characters"
            ) from error
    # A root of a negative number is complex; not-a-number compares false with everything.
    if isinstance(value, (int, float, complex)) and not abs(value) <= LARGEST:
        raise _UnsupportedExpression(node, "is too large a number", f"numbers up to {LARGEST}")
    if isinstance(value, complex):
        raise _UnsupportedExpression(node, "is not a real number", "other powers")
    return value
