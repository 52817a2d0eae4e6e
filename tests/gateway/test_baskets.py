"""The real year of baskets, as the files have it."""

from collections import Counter

import duckdb

from common.client import body_of
from common.codec import MAX_BODY, CommandCodec
from contexts.customer.commands import RegisterCustomer
from contexts.order.commands import PlaceOrder
from contexts.stock.commands import ReceiveStock
from gateway.cli.baskets import Baskets, data_folder

ALL = 155_848


def test_the_year_has_what_the_issue_counts() -> None:
    with Baskets(ALL) as year:
        sums = year.sums()
    assert (sums.baskets, sums.lines, sums.skus_in_no_catalogue) == (ALL, 1_469_307, 17)
    assert (sums.lines_of_quantity_0, sums.amounts_that_do_not_divide) == (8_869, 44_595)
    assert (sums.baskets_of_quantity_0_only, sums.baskets_that_total_0) == (330, 478)
    assert sums.largest_quantity == 89_638
    # 49 of them have a value above 0, but 20 of these are the noise of a float.
    assert sums.of_these_with_money == 29


def test_no_cent_is_lost_in_rounding() -> None:
    file = str(data_folder() / "transactions.parquet")
    row = duckdb.execute("SELECT sum(sales_value::DECIMAL(18, 2)) * 100 FROM read_parquet(?)", [file]).fetchone()
    with Baskets(ALL) as year:
        assert row is not None and year.sums().revenue == int(row[0])


def test_the_orders_carry_what_the_file_says() -> None:
    with Baskets(2_000) as first:
        sums, baskets = first.sums(), list(first)
        assert [basket.order.order_id for basket in baskets] == first.order_ids()
    lines = [line for basket in baskets for line in basket.order.lines]
    assert (len(baskets), len(lines)) == (sums.baskets, sums.lines)
    assert sum(line.amount or 0 for line in lines) == sums.revenue
    assert sum(line.quantity for line in lines) == sums.units
    times = [basket.order.at for basket in baskets if basket.order.at]
    assert times == sorted(times) and len(times) == 2_000
    assert len({basket.command_id for basket in baskets}) == 2_000


def test_every_basket_is_a_body_that_the_doors_take() -> None:
    codec = CommandCodec(PlaceOrder)
    with Baskets(2_000) as first:
        for basket in first:
            body = body_of(basket.order)
            assert len(body) < MAX_BODY
            assert codec.decode(basket.order.order_id, body) == basket.order


def test_whoever_buys_is_registered_before_under_an_email_of_his_own() -> None:
    with Baskets(1_500) as chosen:
        registered = [wish.command for wish in chosen.households()]
        assert {order.order.customer_id for order in chosen} == {each.customer_id for each in registered}
    assert len({each.email for each in registered}) == len(registered)
    codec = CommandCodec(RegisterCustomer)
    assert all(codec.decode(each.customer_id, body_of(each)) == each for each in registered)


def test_whatever_is_bought_is_on_the_shelf_before() -> None:
    there, taken = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    with Baskets(1_500) as chosen:
        for wish in chosen.goods():
            there.update({(wish.command.site, line.sku): line.quantity for line in wish.command.lines})
        orders = [basket.order for basket in chosen]
    for order in orders:
        for line in order.lines:
            taken[order.site, line.sku] += line.quantity
    assert taken <= there
    assert all(quantity > 0 for quantity in there.values())


def test_goods_come_in_bodies_that_the_doors_take_and_before_the_first_sale() -> None:
    codec = CommandCodec(ReceiveStock)
    with Baskets(1_500) as chosen:
        goods, first = list(chosen.goods()), next(iter(chosen)).order.at
    for wish in goods:
        body = body_of(wish.command)
        assert len(body) < MAX_BODY
        assert codec.decode(wish.command.site, body) == wish.command
    assert first is not None and goods[0].command.at == first


def test_playing_more_baskets_later_brings_no_goods_twice() -> None:
    with Baskets(100) as few, Baskets(1_000) as first, Baskets(2_500) as more:
        before, later = list(first.goods()), list(more.goods())
        assert list(few.goods()) == before
    assert later[: len(before)] == before
    assert len({wish.command_id for wish in later}) == len(later) > 2 * len(before)
