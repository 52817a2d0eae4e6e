"""Finds the contexts and the read models there are, so that adding one edits no list.

The packages are named by whoever asks; the defaults are Daybook's own. What is found is checked at once: a mistake in a
declaration stops the process that starts, with one clear `DiscoveryError`, and not the first command that meets it.
"""

from collections.abc import Iterable, Iterator
from importlib import import_module
from inspect import isclass
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from common.context import Context, no_deadlines, reacts_to
from common.dispatch import QueryHandler
from common.messages import Command, Id, Query, fields_of
from common.readmodel import ReadModel
from common.subjects import is_token


class DiscoveryError(Exception):
    """A declaration that cannot work; the text is one line that names the module and the rule."""


def contexts(package: str = "contexts") -> dict[str, Context]:
    """Every context by name: `CONTEXT` of `<package>.<name>.wiring`."""
    found = {name: _wired(package, name) for name in _names(package, packages=True)}
    for name, context in found.items():
        if unknown := sorted(reacts_to(context).keys() - found):
            raise DiscoveryError(f"{package}.{name}.wiring: reacts to {unknown[0]!r}, which is no context")
    return found


def commands(package: str = "contexts") -> dict[str, tuple[type[Command], ...]]:
    """Every context's commands, in the order they are written; imports nothing else of the context."""
    return {name: _declared(f"{package}.{name}.commands") for name in _names(package, packages=True)}


def read_models(package: str = "projectors") -> dict[str, ModuleType]:
    """Every module that is a read model, by its model's name: it holds `MODEL` and `QUERIES`."""
    found: dict[str, ModuleType] = {}
    queries: dict[str, str] = {}
    for name in _names(package, packages=False):
        module = import_module(f"{package}.{name}")
        if not hasattr(module, "MODEL"):
            continue
        if module.MODEL.name in found:
            raise DiscoveryError(f"{module.__name__}: a read model named {module.MODEL.name!r} is there already")
        found[module.MODEL.name] = module
        for query in _queries(module):
            if other := queries.get(query.__name__):
                raise DiscoveryError(f"{module.__name__}: {other} has a query named {query.__name__} already")
            queries[query.__name__] = module.__name__
    return found


def query_models(modules: Iterable[ModuleType]) -> dict[type[Query], ReadModel]:
    """The read model whose table each query reads."""
    return {query: module.MODEL for module in modules for query in module.QUERIES}


def query_handlers(modules: Iterable[ModuleType]) -> dict[type[Query], QueryHandler]:
    """The handler of each query."""
    return {query: handler for module in modules for query, handler in module.QUERIES.items()}


def _names(package: str, *, packages: bool) -> Iterator[str]:
    """The members of a package that are packages (or are modules), by name; those with a leading `_` are its own."""
    for member in sorted(iter_modules(import_module(package).__path__), key=lambda member: member.name):
        if member.ispkg == packages and not member.name.startswith("_"):
            yield member.name


def _wired(package: str, name: str) -> Context:
    where = f"{package}.{name}.wiring"
    context = getattr(import_module(where), "CONTEXT", None)
    if not isinstance(context, Context):
        raise DiscoveryError(f"{where}: holds no CONTEXT")
    if context.name != name or not is_token(name):
        raise DiscoveryError(f"{where}: the context {context.name!r} must be named as its package")
    public = set(_declared(f"{package}.{name}.commands"))
    if odd := sorted(command.__name__ for command in public ^ set(context.commands)):
        raise DiscoveryError(f"{where}: {', '.join(odd)} must be both wired and defined in {package}.{name}.commands")
    if context.deadlines is not no_deadlines and context.expire is None:
        raise DiscoveryError(f"{where}: sets deadlines, but has no `expire` to say what is asked when one has passed")
    return context


def _declared(where: str) -> tuple[type[Command], ...]:
    """The commands that a module defines itself."""
    found = tuple(
        member for member in vars(import_module(where)).values() if _is(member, Command) and member.__module__ == where
    )
    for command in found:
        if not hasattr(command, "declared"):
            raise DiscoveryError(f"{where}: {command.__name__} declares no key")
        if fields_of(command)[command.declared.key] != Id:
            raise DiscoveryError(
                f"{where}: the key of {command.__name__} must be an Id, as it is a token of the subject"
            )
    return found


def _queries(module: ModuleType) -> tuple[type[Query], ...]:
    queries = getattr(module, "QUERIES", None)
    if not isinstance(queries, dict) or not all(_is(query, Query) for query in queries):
        raise DiscoveryError(f"{module.__name__}: QUERIES must give each query its handler")
    return tuple(queries)


def _is(member: Any, kind: type) -> bool:
    return isclass(member) and issubclass(member, kind) and member is not kind
