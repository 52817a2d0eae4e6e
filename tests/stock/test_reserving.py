"""How goods are set aside for an order, and what becomes of them."""

from contexts.stock.commands import Goods, TakeBackReturn
from contexts.stock.events import (
    ReservationRefused,
    ReservationReleased,
    ReservationShipped,
    ReturnTakenBack,
    Shortage,
)
from tests.scenario import NOW, given
from tests.stock import SITE, broken, lines, received, release, reserve, reserved, ship, wanted


def refused(order_id: str, *short: Shortage) -> ReservationRefused:
    return ReservationRefused(order_id=order_id, short=short, at=NOW)


def test_what_is_there_is_set_aside_in_one_event() -> None:
    given(received(bread=2, milk=5)).when(reserve("o1", bread=2, milk=1)).then(reserved("o1", bread=2, milk=1))


def test_when_one_product_is_missing_nothing_is_set_aside_and_all_that_is_missing_is_named() -> None:
    short = refused("o1", Shortage("milk", 6, 5), Shortage("jam", 1, 0))
    given(received(bread=2, milk=5)).when(reserve("o1", bread=2, milk=6, jam=1)).then(short)


def test_what_is_set_aside_for_one_order_is_not_there_for_another() -> None:
    past = received(bread=3), reserved("o1", bread=2)
    given(*past).when(reserve("o2", bread=2)).then(refused("o2", Shortage("bread", 2, 1)))
    given(*past).when(reserve("o2", bread=1)).then(reserved("o2", bread=1))


def test_after_a_refusal_an_order_may_ask_again() -> None:
    past = refused("o1", Shortage("bread", 1, 0)), received(bread=1)
    given(*past).when(reserve("o1", bread=1)).then(reserved("o1", bread=1))


def test_a_product_named_twice_is_added_up() -> None:
    twice = Goods("bread", 1), Goods("milk", 1), Goods("bread", 2)
    given(received(bread=3, milk=1)).when(reserve("o1", *twice)).then(reserved("o1", bread=3, milk=1))
    given(received(bread=2, milk=1)).when(reserve("o1", *twice)).then(refused("o1", Shortage("bread", 3, 2)))


def test_an_order_without_goods_reserves_nothing_and_may() -> None:
    given().when(reserve("o1")).then(reserved("o1"))


def test_an_order_that_has_its_goods_reserves_no_more() -> None:
    given(received(bread=9), reserved("o1", bread=1)).when(reserve("o1", bread=1)).then()
    given(reserved("o1")).when(reserve("o1")).then()


def test_what_is_released_is_free_again() -> None:
    past = received(bread=2), reserved("o1", bread=2)
    released = ReservationReleased(order_id="o1", lines=lines(bread=2), at=NOW)
    given(*past).when(release("o1")).then(released)
    given(*past, released).when(reserve("o2", bread=2)).then(reserved("o2", bread=2))


def test_what_is_shipped_is_gone() -> None:
    past = received(bread=2), reserved("o1", bread=2)
    shipped = ReservationShipped(order_id="o1", lines=lines(bread=2), at=NOW)
    given(*past).when(ship("o1")).then(shipped)
    given(*past, shipped).when(reserve("o2", bread=1)).then(refused("o2", Shortage("bread", 1, 0)))


def test_an_order_that_holds_nothing_has_nothing_to_release_or_to_ship() -> None:
    for past in (
        (),
        (ReservationReleased(order_id="o1", lines=lines(bread=2), at=NOW),),
        (ReservationShipped(order_id="o1", lines=lines(bread=2), at=NOW),),
        (broken("o1", "bread", bread=2),),
    ):
        before = [received(bread=2), *([reserved("o1", bread=2)] if past else []), *past]
        given(*before).when(release("o1")).then()
        given(*before).when(ship("o1")).then()


def test_what_comes_back_can_be_sold_again() -> None:
    back = ReturnTakenBack(order_id="o1", lines=lines(bread=2), at=NOW)
    given().when(TakeBackReturn(SITE, "o1", wanted(bread=2), NOW)).then(back)
    given(back).when(reserve("o2", bread=2)).then(reserved("o2", bread=2))


def test_a_return_without_goods_changes_nothing() -> None:
    given().when(TakeBackReturn(SITE, "o1", (), NOW)).then()
