"""What a pure function may lead to when it is given one type of message: read from its source, without running it.

Running it would show one way through it, for one made-up message; its source shows them all. Branches that another type
of message takes are left out: cases and `isinstance` tests that name message types, tables keyed by them, and what
follows a branch that always ends. Of all else every branch counts, so what is found is never too little.
"""

import ast
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from inspect import unwrap
from types import FunctionType, MethodType, ModuleType
from typing import Any

from msgspec import Struct

from common.glossary.given import Given, only_for
from common.glossary.source import UNKNOWN, Names, source_of


class Reach(Struct):
    """The classes and the texts that a function may come to, each once, in the order of the source."""

    classes: dict[type, None]
    texts: dict[str, None]

    def of(self, kind: type) -> tuple[type, ...]:
        return tuple(found for found in self.classes if issubclass(found, kind))


def reach(function: Callable[..., Any], given: type, package: str) -> Reach:
    """What the function may come to, given a message of this type; functions of `package` are followed."""
    reader = Reader(given, package)
    reader.meet(function, follow=True)
    return reader.found


class Reader:
    """Reads functions as one type of message runs through them. A block `ends` when nothing after it is reached."""

    def __init__(self, given: type, package: str) -> None:
        self._given, self._package = Given(given), package
        self._met: dict[int, Any] = {}  # Kept, so that no id is used again.
        self.found = Reach({}, {})

    def meet(self, thing: Any, follow: bool = False) -> None:
        """Takes note of what a name stands for, and reads on in it."""
        if id(thing) in self._met or isinstance(thing, ModuleType):
            return
        self._met[id(thing)] = thing
        match thing:
            case str():
                self.found.texts[thing] = None
            case type():
                self.found.classes[thing] = None
            case partial():
                self._all([thing.func, *thing.args, *thing.keywords.values()])
            case MethodType():
                self.meet(thing.__func__, follow)
            case Mapping():
                self._all(value for key, value in thing.items() if self._given.is_one_of(key) is not False)
            case tuple() | list() | set() | frozenset():
                self._all(thing)
            case _ if callable(thing):
                self._function(thing, follow)

    def _all(self, things: Iterable[Any]) -> None:
        for thing in things:
            self.meet(thing)

    def _function(self, thing: Any, follow: bool) -> None:
        if hasattr(thing, "registry") and hasattr(thing, "dispatch"):  # functools.singledispatch
            self.meet(thing.dispatch(self._given.type), follow)
            return
        function = unwrap(thing)
        if not isinstance(function, FunctionType):
            function = getattr(type(thing), "__call__", None)  # noqa: B004  (an object that is called)
        if isinstance(function, FunctionType) and (follow or self._ours(function)):
            names = Names(function)
            for node in source_of(function):
                if isinstance(node, ast.Lambda):
                    self._expression(node.body, names)
                else:
                    self._block(node.body, names)

    def _ours(self, thing: Any) -> bool:
        return f"{thing.__module__}.".startswith(f"{self._package}.")

    def _block(self, statements: Iterable[ast.stmt], names: Names) -> bool:
        return any(self._statement(statement, names) for statement in statements)  # Stops at the first that ends.

    def _statement(self, statement: ast.stmt, names: Names) -> bool:
        match statement:
            case ast.Expr(value=ast.Constant()) | ast.ClassDef():
                return False
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._block(statement.body, names)
                return False
            case ast.If():
                return self._either(statement, names)
            case ast.Match():
                return self._cases(statement, names)
            case ast.AnnAssign(value=value):
                self._parts([value] if value else [], names)
                return False
            case ast.With() | ast.AsyncWith():
                self._parts((item.context_expr for item in statement.items), names)
                return self._block(statement.body, names)
            case ast.Try():
                ends = [self._block(statement.body + statement.orelse, names)]
                ends += [self._block(handler.body, names) for handler in statement.handlers]
                return self._block(statement.finalbody, names) or all(ends)
            case ast.For() | ast.AsyncFor() | ast.While():
                self._parts([statement.test if isinstance(statement, ast.While) else statement.iter], names)
                self._block(statement.body, names)
                self._block(statement.orelse, names)
                return False
            case _:
                self._parts(ast.iter_child_nodes(statement), names)
                return isinstance(statement, ast.Return | ast.Raise)

    def _either(self, statement: ast.If, names: Names) -> bool:
        self._expression(statement.test, names)
        truth = self._given.passes(statement.test, names)
        ways = [statement.body] * (truth is not False) + [statement.orelse] * (truth is not True)
        return all([self._block(way, names) for way in ways])

    def _cases(self, statement: ast.Match, names: Names) -> bool:
        self._expression(statement.subject, names)
        ends = []
        taken: set[tuple[int, str]] = set()
        for case in statement.cases:
            fits = self._given.fits(case.pattern, names)
            if fits is False or only_for(case.pattern, taken):
                continue
            self._parts([case.guard] if case.guard else [], names)
            ends.append(self._block(case.body, names))
            if fits and not case.guard:
                return all(ends)
            if not case.guard:
                taken |= self._given.takes(case.pattern, names)
        return False

    def _parts(self, nodes: Iterable[ast.AST], names: Names) -> None:
        for node in nodes:
            self._expression(node, names)

    def _expression(self, node: ast.AST, names: Names) -> None:
        match node:
            case ast.Constant(value=str(text)):
                self.meet(text)
            case ast.Name() | ast.Attribute():
                self._name(node, names)
            case ast.Call(func=ast.Name(id="isinstance")):
                self._expression(node.args[0], names)
            case ast.IfExp():
                truth = self._given.passes(node.test, names)
                ways = [node.body] * (truth is not False) + [node.orelse] * (truth is not True)
                self._parts([node.test, *ways], names)
            case ast.BoolOp():
                stop = isinstance(node.op, ast.Or)
                for value in node.values:
                    self._expression(value, names)
                    if self._given.passes(value, names) is stop:
                        return
            case ast.Dict():
                for key, value in zip(node.keys, node.values, strict=True):
                    if key is None or self._given.is_one_of(names.of(key)) is not False:
                        self._expression(value, names)
            case ast.Lambda():
                self._expression(node.body, names)
            case _:
                self._parts(ast.iter_child_nodes(node), names)

    def _name(self, node: ast.Name | ast.Attribute, names: Names) -> None:
        thing = names.of(node)
        if thing is not UNKNOWN:
            self.meet(thing)
        elif isinstance(node, ast.Attribute):  # Of whatever it is a method, those of this name may be meant.
            self._expression(node.value, names)
            for kind in names.classes():
                if self._ours(kind) and isinstance(method := vars(kind).get(node.attr), FunctionType):
                    self.meet(method)
