"""What is asked of the queries there are: each with what it needs, with each of its fields, and deep in its pages.

Values are drawn from the data by the names of fields. A field of a new name has to be told here where values come from.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct, inspect

from common.messages import Query

PAGED = ("limit", "after")
TOGETHER: Mapping[str, tuple[str, ...]] = {
    "since": ("until",),
    "min_price": ("max_price", "currency"),
}
"""What is asked with a field, where it means little alone."""
SAMPLE = 400
"""Values of a kind."""
Params = dict[str, Any]


class Material(Struct, frozen=True):
    """Values by the names of fields, and places in stock, which are a site and one of its products."""

    values: dict[str, list[Any]]
    places: list[tuple[str, str]]


class Question(Struct, frozen=True):
    """One way to ask a query: `name` says which, `asked` are its parameters, different ones each time."""

    name: str
    query: type[Query]
    asked: list[Params]

    def paths(self) -> list[str]:
        return [path_of(self.query, params) for params in self.asked]

    def structs(self) -> list[Query]:
        return [msgspec.convert(params, self.query, strict=False) for params in self.asked]


def path_of(query: type[Query], params: Params) -> str:
    """The path with what stands in it, and the rest behind it."""
    inside = {name: quote(str(value), safe="") for name, value in params.items() if f"{{{name}}}" in query.get}
    rest = {name: str(value) for name, value in params.items() if name not in inside}
    return query.get.format(**inside) + (f"?{urlencode(rest)}" if rest else "")


def questions(queries: Sequence[type[Query]], material: Material, seed: int = 1) -> list[Question]:
    """All of them, but for those deep in the pages: these begin where an answer says that a page has ended."""
    chance = random.Random(seed)
    return [question for query in queries for question in of_query(query, material, chance)]


def of_query(query: type[Query], material: Material, chance: random.Random) -> Iterator[Question]:
    fields = {each.name: each for each in msgspec.structs.fields(query)}
    needed = [name for name, each in fields.items() if each.required]
    optional = [name for name in fields if name not in needed and name not in PAGED]
    optional = [name for name in optional if not any(name in others for others in TOGETHER.values())] + [
        name for name in ("until", "currency") if name in optional and "as_of" in optional
    ]
    for fixed in choices(query, needed):
        for more in ((), *((name, *TOGETHER.get(name, ())) for name in optional)):
            for word, values in words(more, material):
                names = [*needed, *(name for name in more if name in fields)]
                said = ", ".join([*(f"{n}={v}" for n, v in fixed.items()), *(n for n in more if n in fields)])
                name = f"{query.__name__} {said}{' ' if word else ''}{word}".strip()
                yield Question(name, query, [drawn(query, names, fixed, values, chance) for _ in range(SAMPLE)])


def choices(query: type[Query], needed: Sequence[str]) -> Iterator[Params]:
    """Each value of a needed field that has but a few; else nothing is fixed."""
    for name in needed:
        if options := options_of(query, name):
            yield from ({name: option} for option in options)
            return
    yield {}


def words(names: Sequence[str], material: Material) -> Iterator[tuple[str, Mapping[str, list[Any]]]]:
    """What is looked for is asked as a word, as part of one, as two of them, and with a slip of the pen."""
    if "q" not in names:
        yield "", material.values
        return
    for kind in ("word", "part", "two words", "typo"):
        yield kind, material.values | {"q": material.values[kind]}


def drawn(
    query: type[Query], names: Sequence[str], fixed: Params, values: Mapping[str, list[Any]], chance: random.Random
) -> Params:
    found: Params = {}
    if {"site", "sku"} <= set(names):
        found["site"], found["sku"] = chance.choice(values["place"])
    for name in names:
        if name not in found:
            found[name] = chance.choice(options_of(query, name) or values[name])
    if {"since", "until"} <= found.keys():
        found["since"], found["until"] = sorted((found["since"], found["until"]))
    if {"min_price", "max_price"} <= found.keys():
        found["min_price"], found["max_price"] = sorted((found["min_price"], found["max_price"]))
    return with_times(query, found | fixed)


def with_times(query: type[Query], params: Params) -> Params:
    """Days as moments, for a query that takes moments."""
    moments = {each.name for each in msgspec.structs.fields(query) if "datetime.datetime" in str(each.type)}
    return {name: f"{value}T00:00:00Z" if name in moments else value for name, value in params.items()}


def options_of(query: type[Query], name: str) -> tuple[Any, ...]:
    """The values that a field may have, if they are but a few."""
    kind = next(each.type for each in msgspec.structs.fields(query) if each.name == name)
    info = inspect.type_info(kind)
    kinds = info.types if isinstance(info, inspect.UnionType) else (info,)
    return next((tuple(each.values) for each in kinds if isinstance(each, inspect.LiteralType)), ())


async def material_of(connection: Any, seed: int = 1) -> Material:
    """Values drawn from the read tables."""
    chance = random.Random(seed)

    async def column(sql: str) -> list[Any]:
        found = [row[0] for row in await connection.fetch(sql) if row[0]]
        chance.shuffle(found)
        return found[:SAMPLE]

    some = f"ORDER BY random() LIMIT {SAMPLE}"
    named = await column(f"SELECT name FROM read.products WHERE length(name) > 3 {some}")
    long = sorted({word.lower() for name in named for word in name.split() if word.isalpha() and len(word) > 4})
    first, last = await connection.fetchrow("SELECT min(placed_at), max(placed_at) FROM read.orders")
    places = [tuple(row) for row in await connection.fetch(f"SELECT site, sku FROM read.stock_levels {some}")]
    values: dict[str, list[Any]] = {
        "order_id": await column(f"SELECT order_id FROM read.orders {some}"),
        "customer_id": await column(f"SELECT customer_id FROM read.customers {some}"),
        "site": sorted({site for site, _ in places}),
        "sku": [sku for _, sku in places],
        "place": places,
        "department": await column("SELECT DISTINCT department FROM read.products"),
        "channel": await column("SELECT DISTINCT channel FROM read.orders"),
        "currency": await column("SELECT DISTINCT currency FROM read.orders"),
        "min_price": list(range(50, 500, 7)),
        "max_price": list(range(300, 2000, 13)),
        "day": days(first.date(), last.date(), chance),
        "word": [chance.choice(long) for _ in range(SAMPLE)],
        "part": [word[1 : 1 + max(3, len(word) // 2)] for word in long],
        "two words": [" ".join(chance.sample(name.lower().split(), 2)) for name in named if len(name.split()) > 1],
        "typo": [slipped(word, chance) for word in long],
    }
    for name, like in {"customer": "customer_id", "since": "day", "until": "day", "as_of": "day"}.items():
        values[name] = values[like]
    return Material(values, [(site, sku) for site, sku in places])


def days(first: date, last: date, chance: random.Random) -> list[date]:
    return [first + timedelta(days=chance.randint(0, max((last - first).days, 1))) for _ in range(SAMPLE)]


def slipped(word: str, chance: random.Random) -> str:
    """Two letters of the word in the wrong order, or one left out."""
    at = chance.randrange(1, len(word) - 2)
    if chance.random() < 0.5 and word[at] != word[at + 1]:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + word[at + 1 :]
