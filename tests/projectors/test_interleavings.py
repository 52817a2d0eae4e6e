"""A model of several contexts comes out the same in whatever order events reach it, and however they are batched."""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from random import Random
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import event, given
from msgspec.structs import replace

from common.discovery import read_models, tables
from common.messages import Command, Event
from common.readmodel import Key, ReadModel
from common.store.fold import Happened, fold, touched
from common.store.read_tables import Kept, Table
from contexts.product.events import PriceChanged, Product, ProductAdded, ProductDescribed, ProductDiscontinued
from contexts.stock.commands import CountStock, Goods, ReceiveStock, ReleaseReservation, ReserveStock, ShipReservation
from contexts.stock.wiring import CONTEXT as STOCK
from projectors import products, stock_levels
from tests.projectors.conftest import NOON, Shelf
from tests.scenario import NOW
from tests.stock import SITE, WAREHOUSE
from tests.stock.test_properties import COMMANDS

Past = list[tuple[str, Event]]
"""What has happened in one context: streams and events, in their order."""
Batch = tuple[str, list[tuple[str, Event]]]

BREAD = Product(
    product_id="p-bread",
    sku="bread",
    name="Bread",
    department="BAKERY",
    price=100,
    currency="USD",
    description="",
    discontinued=False,
)


def changed(product: Product, change: int) -> Event:
    """One of the things that happen to a product."""
    match change % 3:
        case 0:
            return PriceChanged(replace(product, price=100 + change))
        case 1:
            return ProductDescribed(replace(product, name=f"Fresh {product.name}", description=f"{change} slices"))
        case _:
            return ProductDiscontinued(replace(product, discontinued=True))


def of_product(sku: str, changes: Sequence[int]) -> Past:
    product = replace(BREAD, product_id=f"p-{sku}", sku=sku, name=sku)
    return [(product.product_id, each) for each in (ProductAdded(product), *(changed(product, n) for n in changes))]


def of_site(site: str, commands: list[Command]) -> Past:
    """What happens at a site that is asked these, as far as the catalogue follows it."""
    state, found = STOCK.initial, list[Event]()
    for command in commands:
        for each in STOCK.decide(command, state, WAREHOUSE):
            state = STOCK.evolve(state, each)
            found.append(each)
    return [(site, each) for each in found if isinstance(each, products.MODEL.follows["stock"])]


CHANGES = st.lists(st.integers(0, 99), max_size=4)
PRODUCTS = st.builds(
    lambda some: [of_product(sku, changes) for sku, changes in some.items()],
    st.dictionaries(st.sampled_from(["bread", "milk", "tea"]), CHANGES),
)
SITES = st.lists(st.lists(COMMANDS, max_size=15), max_size=3).map(
    lambda some: [of_site(f"s{n}", commands) for n, commands in enumerate(some)]
)


def mixed(pasts: Sequence[Past], chance: Random) -> Past:
    """The pasts as one, in any order that keeps that of each."""
    left = [list(past) for past in pasts if past]
    found: Past = []
    while left:
        past = chance.choice(left)
        found.append(past.pop(0))
        left = [each for each in left if each]
    return found


def batches(worlds: Mapping[str, Past], chance: Random) -> Iterator[Batch]:
    """The contexts' events in any order that keeps that of each context, in batches of any size."""
    left = {context: list(past) for context, past in worlds.items() if past}
    while left:
        context = chance.choice(sorted(left))
        size = chance.randint(1, len(left[context]))
        yield context, left[context][:size]
        left[context] = left[context][size:]
        left = {context: past for context, past in left.items() if past}


class World:
    """Gives events their places in the record, as they come."""

    def __init__(self) -> None:
        self._positions: dict[str, int] = {}
        self._versions: dict[str, int] = {}

    def happened(self, batch: Batch) -> list[Happened]:
        context, events = batch
        return [self._happened(context, *each) for each in events]

    def _happened(self, context: str, stream: str, event: Event) -> Happened:
        self._positions[context] = position = self._positions.get(context, 0) + 1
        self._versions[stream] = version = self._versions.get(stream, 0) + 1
        return Happened(position, "one", stream, version, NOON, event)


def rows_of(model: ReadModel, some: Iterator[Batch]) -> dict[Key, Kept | None]:
    """What the model comes to."""
    table, world = Table(model), World()

    def taken(rows: dict[Key, Kept | None], batch: Batch) -> dict[Key, Kept | None]:
        return fold(table, batch[0], touched(model, batch[0], world.happened(batch)), rows)

    return {key: positioned(table, kept) for key, kept in reduce(taken, some, dict[Key, Kept | None]()).items()}


def positioned(table: Table, kept: Kept | None) -> Kept | None:
    """With a position of every context, as a table has it."""
    if kept:
        kept.positions = {context: kept.positions.get(context, 0) for context in table.contexts}
    return kept


@given(PRODUCTS, SITES, st.randoms(use_true_random=False))
def test_the_catalogue_is_the_same_for_every_interleaving_of_product_and_stock(
    some: list[Past], sites: list[Past], chance: Random
) -> None:
    worlds = {"product": mixed(some, chance), "stock": mixed(sites, chance)}
    event(f"{sum(map(len, worlds.values())) // 10 * 10} events or more")
    one_after_the_other = rows_of(products.MODEL, iter(worlds.items()))
    assert rows_of(products.MODEL, iter(reversed(worlds.items()))) == one_after_the_other
    for _ in range(3):
        assert rows_of(products.MODEL, batches(worlds, chance)) == one_after_the_other


@given(SITES, st.randoms(use_true_random=False))
def test_what_the_catalogue_says_is_there_is_what_its_sites_have(sites: list[Past], chance: Random) -> None:
    rows = rows_of(products.MODEL, batches({"stock": mixed(sites, chance)}, chance))
    levels = [level for past in sites for level in levels_of(past)]
    for (sku,), kept in rows.items():
        assert kept
        of_sku = [level for level in levels if level.sku == sku]
        assert kept.row.available == sum(level.on_hand - level.reserved for level in of_sku)


def levels_of(past: Past) -> list[Any]:
    rows = rows_of(stock_levels.MODEL, iter([("stock", past)]))
    return [kept.row for kept in rows.values() if kept]


@pytest.mark.parametrize("seed", range(6))
async def test_the_table_is_the_same_for_every_interleaving(shelf: Shelf, seed: int) -> None:
    chance = Random(seed)
    some = [of_product(sku, [chance.randrange(99) for _ in range(3)]) for sku in ("bread", "milk", "tea")]
    sites = [of_site(f"s{n}", commands(chance)) for n in range(3)]
    worlds = {"product": mixed(some, chance), "stock": mixed(sites, chance)}
    for batch in batches(worlds, chance):
        await shelf.happen(products.MODEL, *batch[1])
    table = Table(products.MODEL)
    found = {table.key(kept.row): kept for kept in map(table.kept, await shelf.pool.fetch(table.select))}
    assert len(found) >= 3
    assert found == rows_of(products.MODEL, iter(worlds.items()))


def commands(chance: Random) -> list[Command]:
    """Some commands to a site, always the same for the same chance."""
    skus, found = ["bread", "milk", "jam"], list[Command]()
    for _ in range(40):
        order, goods = f"o{chance.randrange(6)}", (Goods(chance.choice(skus), chance.randint(1, 5)),)
        found.append(
            chance.choice(
                [
                    ReceiveStock(SITE, goods),
                    CountStock(SITE, chance.choice(skus), chance.randint(0, 9)),
                    ReserveStock(SITE, order, goods, NOW),
                    ReleaseReservation(SITE, order, NOW),
                    ShipReservation(SITE, order, NOW),
                ]
            )
        )
    return found


def test_every_model_that_follows_several_contexts_is_tested_here() -> None:
    several = {model.name for model in tables(read_models().values()) if len(model.follows) > 1}
    assert several == {"products"}
