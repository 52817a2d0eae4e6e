"""Finds the contexts and the read models there are, so that adding one edits no list.

The packages are named by whoever asks; the defaults are Daybook's own. What is found is checked at once: a mistake in a
declaration stops the process that starts, with one clear `DiscoveryError`, and not the first command that meets it.
"""

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from inspect import isclass
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, TypeVar

from common.bucketmodel import BucketModel
from common.context import Context, no_deadlines, reacts_to
from common.dispatch import QueryHandler
from common.messages import Command, Event, Id, Query, fields_of
from common.readmodel import ReadModel
from common.subjects import is_token

Kind = TypeVar("Kind")
Models = tuple[ReadModel | BucketModel, ...]


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
    """Every module that is a read model, by its model's name: it holds `MODEL` and `QUERIES`.

    Where its queries read the tables of other models, too, it names these in `READS`.
    """
    found: dict[str, ModuleType] = {}
    queries: dict[str, str] = {}
    for name in _names(package, packages=False):
        module = import_module(f"{package}.{name}")
        if not isinstance(getattr(module, "MODEL", None), ReadModel | BucketModel):
            raise DiscoveryError(f"{module.__name__}: holds no MODEL; what is no read model is named with a leading _")
        if module.MODEL.name in found:
            raise DiscoveryError(f"{module.__name__}: a read model named {module.MODEL.name!r} is there already")
        _follow(module)
        found[module.MODEL.name] = module
        if isinstance(module.MODEL, BucketModel):
            _keep(module)
        for query in _queries(module):
            if other := queries.get(query.__name__):
                raise DiscoveryError(f"{module.__name__}: {other} has a query named {query.__name__} already")
            queries[query.__name__] = module.__name__
    for module in found.values():
        _read(module, found)
    return found


def _follow(module: ModuleType) -> None:
    """Refuses a model that names a context otherwise than the events that it follows there."""
    for context, events in module.MODEL.follows.items():
        for event in events:
            *_, home, part = event.__module__.split(".")
            if part == "events" and home != context:
                raise DiscoveryError(f"{module.__name__}: follows {event.__name__} of {context!r}; it is of {home!r}")


def _keep(module: ModuleType) -> None:
    """Refuses a bucket that could not be kept."""
    model = module.MODEL
    if len(model.follows) != 1:
        raise DiscoveryError(f"{module.__name__}: a bucket follows one context, and not {', '.join(model.follows)}")
    if lacking := sorted({model.key, "version", "position"} - set(model.value.__struct_fields__)):
        raise DiscoveryError(f"{module.__name__}: {model.value.__name__} lacks {', '.join(lacking)}")


def _read(module: ModuleType, found: Mapping[str, ModuleType]) -> None:
    """Refuses to read what is no table, or one that nobody keeps."""
    reads = getattr(module, "READS", ())
    tables = isinstance(reads, tuple) and all(isinstance(each, ReadModel) for each in reads)
    if not tables or (reads and isinstance(module.MODEL, BucketModel)):
        raise DiscoveryError(f"{module.__name__}: READS must be a tuple of tables that its own table is read with")
    for each in reads:
        if each.name not in found:
            raise DiscoveryError(f"{module.__name__}: READS names {each.name!r}, which is no read model")


def tables(modules: Iterable[ModuleType]) -> list[ReadModel]:
    """The read models among these that are tables, and those that are read with them."""
    models = [model for module in modules for model in _models_of(module) if isinstance(model, ReadModel)]
    return list({model.name: model for model in models}.values())


def buckets(modules: Iterable[ModuleType]) -> list[BucketModel]:
    """The read models among these that are buckets."""
    return [module.MODEL for module in modules if isinstance(module.MODEL, BucketModel)]


def query_models(modules: Iterable[ModuleType]) -> dict[type[Query], Models]:
    """The read models that each query reads, that of its own module first."""
    return {query: _models_of(module) for module in modules for query in module.QUERIES}


def _models_of(module: ModuleType) -> Models:
    return (module.MODEL, *getattr(module, "READS", ()))


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
    if find_spec(where) is None:
        raise DiscoveryError(f"{where}: is not there; it must hold CONTEXT = Context(name={name!r}, ...)")
    context = getattr(import_module(where), "CONTEXT", None)
    if not isinstance(context, Context):
        raise DiscoveryError(f"{where}: holds no CONTEXT")
    if context.name != name or not is_token(name):
        raise DiscoveryError(f"{where}: the context {context.name!r} must be named as its package")
    _agree(where, context.commands, _declared(f"{package}.{name}.commands"), f"{package}.{name}.commands")
    if find_spec(events := f"{package}.{name}.events"):
        # An event that is recorded and not wired would be left out of the fold, and nobody would be told.
        _agree(where, context.events, _defined(events, Event), events)
    if context.deadlines is not no_deadlines and context.expire is None:
        raise DiscoveryError(f"{where}: sets deadlines, but has no `expire` to say what is asked when one has passed")
    return context


def _agree(where: str, wired: Iterable[type], defined: Iterable[type], home: str) -> None:
    if odd := sorted(each.__name__ for each in set(wired) ^ set(defined)):
        raise DiscoveryError(f"{where}: {', '.join(odd)} must be both wired and defined in {home}")


def _declared(where: str) -> tuple[type[Command], ...]:
    """The commands that a module defines itself."""
    found = _defined(where, Command)
    for command in found:
        name = command.__name__
        if not hasattr(command, "declared"):
            raise DiscoveryError(f"{where}: {name} declares no key")
        key, post = command.declared.key, command.declared.post
        if fields_of(command)[key] != Id:
            raise DiscoveryError(f"{where}: the key of {name} must be an Id, as it is a token of the subject")
        if post and not command.declared.roles:
            raise DiscoveryError(f"{where}: {name} is posted to {post}, but names no roles: nobody could send it")
        if "{" in post and f"{{{key}}}" not in post:
            raise DiscoveryError(f"{where}: {name} is posted to {post}, which does not name its key {{{key}}}")
    return found


def _defined(where: str, kind: type[Kind]) -> tuple[type[Kind], ...]:
    """The messages of a kind that a module defines itself."""
    members = vars(import_module(where)).values()
    return tuple(member for member in members if _is(member, kind) and member.__module__ == where)


def _queries(module: ModuleType) -> tuple[type[Query], ...]:
    queries = getattr(module, "QUERIES", None)
    if not isinstance(queries, dict) or not all(_is(query, Query) for query in queries):
        raise DiscoveryError(f"{module.__name__}: QUERIES must give each query its handler")
    for query in queries:
        if query.stream and query.stream not in module.MODEL.follows:
            follows = ", ".join(module.MODEL.follows)
            raise DiscoveryError(
                f"{module.__name__}: {query.__name__} is of a stream of {query.stream!r}; its model follows {follows}"
            )
    return tuple(queries)


def _is(member: Any, kind: type) -> bool:
    return isclass(member) and issubclass(member, kind) and member is not kind
