"""What a count of a shelf changes, and whose reservations give way when less is there than is set aside."""

from contexts.stock.commands import CountStock
from contexts.stock.events import ReservationReleased, StockCounted
from tests.scenario import NOW, given
from tests.stock import SITE, WAREHOUSE, broken, lines, received, reserve, reserved

THREE_ORDERS = (
    received(bread=9, milk=9),
    reserved("o1", bread=3),
    reserved("o2", bread=2, milk=4),
    reserved("o3", bread=4),
    reserved("o4", milk=1),
)


def count(counted: int) -> CountStock:
    return CountStock(SITE, "bread", counted)


def counted(found: int, expected: int) -> StockCounted:
    return StockCounted(sku="bread", counted=found, expected=expected, at=NOW)


def test_what_was_counted_is_on_hand_whatever_the_books_had() -> None:
    given(received(bread=2)).when(count(7), WAREHOUSE).then(counted(7, 2))
    given(received(bread=2), counted(7, 2)).when(reserve("o1", bread=7)).then(reserved("o1", bread=7))
    given().when(count(1), WAREHOUSE).then(counted(1, 0))


def test_a_count_that_covers_what_is_reserved_breaks_nothing() -> None:
    given(*THREE_ORDERS).when(count(9), WAREHOUSE).then(counted(9, 9))


def test_a_count_below_what_is_reserved_breaks_the_latest_reservations_until_the_rest_fits() -> None:
    given(*THREE_ORDERS).when(count(8), WAREHOUSE).then(counted(8, 9), broken("o3", "bread", bread=4))
    given(*THREE_ORDERS).when(count(5), WAREHOUSE).then(counted(5, 9), broken("o3", "bread", bread=4))
    given(*THREE_ORDERS).when(count(4), WAREHOUSE).then(
        counted(4, 9), broken("o3", "bread", bread=4), broken("o2", "bread", bread=2, milk=4)
    )


def test_a_count_of_nothing_breaks_every_reservation_that_holds_the_product_and_no_other() -> None:
    given(*THREE_ORDERS).when(count(0), WAREHOUSE).then(
        counted(0, 9),
        broken("o3", "bread", bread=4),
        broken("o2", "bread", bread=2, milk=4),
        broken("o1", "bread", bread=3),
    )


def test_all_that_a_broken_reservation_held_is_free_again() -> None:
    past = *THREE_ORDERS, counted(5, 9), broken("o3", "bread", bread=4)
    given(*past).when(reserve("o5", milk=4)).then(reserved("o5", milk=4))
    more = *past, counted(3, 5), broken("o2", "bread", bread=2, milk=4)
    given(*more).when(reserve("o5", milk=8)).then(reserved("o5", milk=8))


def test_the_latest_is_who_reserved_last_also_after_others_have_left() -> None:
    released = ReservationReleased(order_id="o1", lines=lines(bread=3), at=NOW)
    past = *THREE_ORDERS, released, reserved("o1", bread=3)
    given(*past).when(count(8), WAREHOUSE).then(counted(8, 9), broken("o1", "bread", bread=3))
