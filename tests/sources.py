"""The code that something hangs on, found from a few functions, and its digest."""

import ast
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from textwrap import dedent
from types import FunctionType
from typing import Any

from common.messages import Event

IsOurs = Callable[[str], bool]
"""Whether code of this module counts."""


def digest(sources: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(sources)).encode()).hexdigest()[:16]


def sources_of(roots: Iterable[Any], ours: IsOurs) -> set[str]:
    """The sources of these functions and classes and of all of ours that they name; constants by value.

    Comments and docstrings are left out. Events are vocabulary, stored for ever: what they are does not count.
    """
    waiting, met, found = list(roots), set[int](), set[str]()
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, partial):
            found.add(f"{thing.func.__qualname__} of {thing.args!r} {thing.keywords!r}")
            waiting.append(thing.func)
            continue
        if id(thing) in met or not is_code(thing, ours):
            continue
        met.add(id(thing))
        tree = ast.parse(dedent(inspect.getsource(thing)))
        found.add(f"{thing.__module__}.{thing.__qualname__}: {plain(tree)}")
        for name, named in named_in(thing, tree):
            if is_code(named, ours):
                waiting.append(named)
            elif isinstance(named, int | str | tuple | dict | frozenset):
                value = sorted(map(repr, named)) if isinstance(named, frozenset) else named
                found.add(f"{thing.__module__}.{name}: {value!r}")
    return found


def named_in(thing: Any, tree: ast.AST) -> Iterator[tuple[str, Any]]:
    """What the names in the source stand for in its module; a function's own variables stand for nothing there."""
    own = thing.__code__.co_varnames if isinstance(thing, FunctionType) else ()
    read = (node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
    names = {node.id for node in read} - set(own)
    module = vars(sys.modules[thing.__module__])
    yield from ((name, module[name]) for name in names if name in module)


def is_code(thing: Any, ours: IsOurs) -> bool:
    """Whether it is a function or a class of ours."""
    if not isinstance(thing, FunctionType | type) or (isinstance(thing, type) and issubclass(thing, Event)):
        return False
    return ours(thing.__module__)


def plain(tree: ast.AST) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
