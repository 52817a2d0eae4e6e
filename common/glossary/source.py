"""The source of a function as a tree, and what the names in it stand for."""

import ast
import builtins
from collections.abc import Iterator
from functools import cache
from inspect import getclosurevars, getsourcefile
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

Source = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

UNKNOWN = object()
"""What a name stands for when only running it would tell."""


class Names:
    """What the names in a function stand for: those of its module and those it encloses, but not its own variables."""

    def __init__(self, function: FunctionType) -> None:
        code = function.__code__
        self._known = {**vars(builtins), **function.__globals__, **getclosurevars(function).nonlocals}
        self._own = {*code.co_varnames, *code.co_cellvars}

    def of(self, node: ast.AST) -> Any:
        """What an expression stands for: a name, a dotted one, or several in a tuple or a union."""
        match node:
            case ast.Name(id=name):
                return UNKNOWN if name in self._own else self._known.get(name, UNKNOWN)
            case ast.Attribute(value=value, attr=attr):
                holder = self.of(value)
                return getattr(holder, attr, UNKNOWN) if isinstance(holder, ModuleType | type) else UNKNOWN
            case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
                return tuple(self.of(part) for part in parts)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return (self.of(left), self.of(right))
            case _:
                return UNKNOWN

    def classes(self) -> Iterator[type]:
        yield from (thing for thing in self._known.values() if isinstance(thing, type))


def source_of(function: FunctionType) -> list[Source]:
    """Where the function is written: one place, or several where lambdas share a line and cannot be told apart.

    Empty when its source is not there.
    """
    code, file = function.__code__, getsourcefile(function)
    if file is None or not Path(file).exists():
        return []
    begun = [node for node in functions(Path(file)) if first_line(node) == code.co_firstlineno]
    named = [node for node in begun if getattr(node, "name", "<lambda>") == code.co_name]
    places = set(code.co_positions())
    return [node for node in named if isinstance(node, ast.Lambda) and place(node.body) in places] or named


@cache
def functions(file: Path) -> tuple[Source, ...]:
    return tuple(node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, Source))


def first_line(node: Source) -> int:
    """As Python's own code objects count it: from the first decorator."""
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def place(node: ast.expr) -> tuple[int, int | None, int, int | None]:
    """In the order in which code objects give it."""
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset
