"""The real year of baskets, as the files have it, and what is asked of the system because of it."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import duckdb
import pytest

from common.client import body_of
from common.codec import MAX_BODY, CommandCodec
from common.messages import Command
from contexts.customer.commands import RegisterCustomer
from contexts.product.commands import AddProduct
from contexts.stock.commands import ReceiveStock
from gateway.cli.baskets import Baskets, blocks, data_folder
from gateway.cli.sending import Wish
from gateway.cli.year.sums import FileSums

ALL = 155_848


def goods(year: Baskets) -> list[Wish[ReceiveStock]]:
    return [wish for block in year.blocks() for wish in year.goods(block)]


def products(year: Baskets) -> list[Wish[AddProduct]]:
    return [wish for block in year.blocks() for wish in year.products(block)]


def households(year: Baskets) -> list[Wish[RegisterCustomer]]:
    return [wish for block in year.blocks() for wish in year.households(block)]


def test_the_year_has_what_the_issue_counts() -> None:
    with Baskets() as year:
        sums = FileSums(year)
        orders, lines, _, _ = sums.total()
        odd = sums.odd()
    assert (len(year), orders, lines) == (ALL, ALL, 1_469_307)
    assert (odd.lines_of_quantity_0, odd.amounts_that_do_not_divide) == (8_869, 44_595)
    assert (odd.baskets_of_quantity_0_only, odd.baskets_that_total_0) == (330, 478)
    assert (odd.products_in_no_catalogue, odd.products_without_a_price) == (17, 317)
    assert odd.products_of_the_catalogue_not_sold == 23_839
    assert odd.largest_quantity == 89_638
    # 49 of them have a value above 0, but 20 of these are the noise of a float.
    assert odd.of_these_with_money == 29


def test_no_cent_is_lost_in_rounding_and_every_way_of_adding_up_comes_to_the_same() -> None:
    file = str(data_folder() / "transactions.parquet")
    row = duckdb.execute("SELECT sum(sales_value::DECIMAL(18, 2)) * 100 FROM read_parquet(?)", [file]).fetchone()
    with Baskets() as year:
        sums = FileSums(year)
        _, _, units, cents = sums.total()
        assert row is not None and cents == int(row[0])
        for what in ("department", "week", "day", "site", "product"):
            _, *added = [sum(column) for column in zip(*sums.by(what).values(), strict=True)]
            assert added == [units, cents], what


def test_the_orders_carry_what_the_file_says() -> None:
    with Baskets(2_000) as first:
        baskets = list(first)
        places = first.file.execute("SELECT basket_id FROM places WHERE place < 2000 ORDER BY place").fetchall()
        assert [basket.order.order_id for basket in baskets] == [f"basket-{number}" for (number,) in places]
        total = FileSums(first).total()
    lines = [line for basket in baskets for line in basket.order.lines]
    units, cents = sum(line.quantity for line in lines), sum(line.amount or 0 for line in lines)
    assert (len(baskets), len(lines), units, cents) == total
    times = [basket.order.at for basket in baskets if basket.order.at]
    assert times == sorted(times) and len(times) == 2_000
    assert len({basket.command_id for basket in baskets}) == 2_000


def test_every_basket_is_a_body_that_the_doors_take() -> None:
    with Baskets(2_000) as first:
        for basket in first:
            is_taken(basket.order, basket.order.order_id)


def is_taken(command: Command, key: str) -> None:
    """Not too large, and read as it was meant."""
    body = body_of(command)
    assert len(body) < MAX_BODY
    assert CommandCodec(type(command)).decode(key, body) == command


def test_whoever_buys_is_registered_before_under_an_email_of_his_own() -> None:
    with Baskets(1_500) as chosen:
        registered = [wish.command for wish in households(chosen)]
        assert {order.order.customer_id for order in chosen} == {each.customer_id for each in registered}
    assert len({each.email for each in registered}) == len(registered)
    for each in registered:
        is_taken(each, each.customer_id)


def test_whatever_is_bought_is_on_the_shelf_before_its_block() -> None:
    there, taken = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    with Baskets(1_500) as chosen:
        for block in chosen.blocks():
            for wish in chosen.goods(block):
                there.update({(wish.command.site, line.sku): line.quantity for line in wish.command.lines})
            for basket in chosen.some(block):
                for line in basket.order.lines:
                    taken[basket.order.site, line.sku] += line.quantity
            assert taken <= there
    assert all(quantity > 0 for quantity in there.values())


def test_goods_come_in_bodies_that_the_doors_take_and_before_the_first_sale() -> None:
    with Baskets(1_500) as chosen:
        wishes, first = goods(chosen), next(iter(chosen)).order.at
    for wish in wishes:
        is_taken(wish.command, wish.command.site)
    assert first is not None and wishes[0].command.at == first


def test_playing_more_baskets_later_brings_nothing_twice_and_nothing_else() -> None:
    with Baskets(100) as few, Baskets(1_000) as first, Baskets(2_500) as more:
        made: list[Callable[[Baskets], Sequence[Wish[Any]]]] = [goods, products]
        for ahead in made:
            before, later = ahead(first), ahead(more)
            assert ahead(few) == before
            assert later[: len(before)] == before
            assert len({wish.command_id for wish in later}) == len(later) > len(before)


@pytest.mark.parametrize("number", [1, 1_000, 1_001, 4_000, 155_848])
def test_blocks_follow_each_other_and_each_is_as_large_as_all_before(number: int) -> None:
    found = blocks(number)
    assert list(chain.from_iterable((each.start, each.stop) for each in found))[1:-1:2] == [x.start for x in found[1:]]
    assert found[0].start == 0 and found[-1].start < number <= found[-1].stop
    assert all(len(each) == each.start for each in found[1:])


def test_the_whole_catalogue_that_was_sold_is_added_once_at_a_price() -> None:
    """Not those that no catalogue knows, and not those that nobody paid for by the piece: those have no price."""
    with Baskets() as year:
        wishes = products(year)
    found = [wish.command for wish in wishes]
    assert len(found) == len({each.sku for each in found}) == 68_509 - 317 - 3
    assert min(each.price for each in found) == 1
    for each in found:
        is_taken(each, each.product_id)
