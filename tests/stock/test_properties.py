"""What holds for the stock of every site, whatever is asked and in whatever order."""

from collections import Counter

import hypothesis.strategies as st
import msgspec
from hypothesis import event, given

from common.codec import event_encoder
from common.context import Known
from common.messages import Command, Event
from contexts.stock.commands import (
    CountStock,
    Goods,
    ReceiveStock,
    ReleaseReservation,
    ReserveStock,
    ShipReservation,
    TakeBackReturn,
)
from contexts.stock.events import ReservationShipped, ReturnTakenBack, StockCounted, StockReceived, StockReserved
from contexts.stock.site import Site
from contexts.stock.wiring import CONTEXT
from tests.scenario import NOW, folded
from tests.stock import SITE, WAREHOUSE, reserve

SKUS = st.sampled_from(["bread", "milk", "jam"])
ORDERS = st.sampled_from([f"o{n}" for n in range(6)])
GOODS = st.lists(st.builds(Goods, SKUS, st.integers(1, 5)), max_size=4).map(tuple)
SOME = st.lists(st.builds(Goods, SKUS, st.integers(1, 9)), min_size=1, max_size=4).map(tuple)
AT, HERE = st.just(NOW), st.just(SITE)
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(ReceiveStock, HERE, SOME),
    st.builds(CountStock, HERE, SKUS, st.integers(0, 9)),
    st.builds(ReserveStock, HERE, ORDERS, GOODS, AT),
    st.builds(ReserveStock, HERE, ORDERS, GOODS, AT),
    st.builds(ReleaseReservation, HERE, ORDERS, AT),
    st.builds(ShipReservation, HERE, ORDERS, AT),
    st.builds(TakeBackReturn, HERE, ORDERS, GOODS, AT),
)


def decided(site: Site, command: Command, told: Known = WAREHOUSE) -> tuple[list[Event], Site]:
    events = list(CONTEXT.decide(command, site, told))
    for each in events:
        site = CONTEXT.evolve(site, each)
        event(type(each).__name__)
    return events, site


def history(commands: list[Command]) -> list[Event]:
    """All that happened."""
    site, events = CONTEXT.initial, list[Event]()
    for command in commands:
        more, site = decided(site, command)
        events += more
    return events


@given(st.lists(COMMANDS, max_size=30))
def test_never_is_more_set_aside_than_on_hand_and_never_less_than_nothing_on_hand(commands: list[Command]) -> None:
    site = CONTEXT.initial
    for command in commands:
        _, site = decided(site, command)
        assert all(amount > 0 for amount in (*site.on_hand.values(), *site.reserved.values()))
        assert all(site.available(sku) >= 0 for sku in site.reserved)


@given(st.lists(COMMANDS, max_size=30))
def test_what_is_reserved_of_a_product_is_what_the_reservations_add_up_to(commands: list[Command]) -> None:
    site = folded(CONTEXT, history(commands))
    held: Counter[str] = Counter()
    for reservation in site.reservations.values():
        held.update({line.sku: line.quantity for line in reservation.lines})
    assert dict(site.reserved) == dict(held)


@given(st.lists(COMMANDS, max_size=30))
def test_what_is_on_hand_is_what_came_in_less_what_left_and_what_counts_have_corrected(commands: list[Command]) -> None:
    balance: Counter[str] = Counter()
    for each in (events := history(commands)):
        match each:
            case StockReceived(lines=lines) | ReturnTakenBack(lines=lines):
                balance.update({line.sku: line.quantity for line in lines})
            case ReservationShipped(lines=lines):
                balance.subtract({line.sku: line.quantity for line in lines})
            case StockCounted(sku=sku, counted=counted, expected=expected):
                assert balance[sku] == expected
                balance[sku] = counted
    assert dict(folded(CONTEXT, events).on_hand) == {sku: amount for sku, amount in balance.items() if amount}


@given(st.lists(COMMANDS, max_size=30), ORDERS)
def test_who_asks_again_gets_no_second_reservation_and_who_is_over_is_forgotten(
    commands: list[Command], order_id: str
) -> None:
    site = folded(CONTEXT, history(commands))
    if order_id in site.reservations:
        assert decided(site, reserve(order_id, bread=1)) == ([], site)
    for last in (ReleaseReservation(SITE, order_id, NOW), ShipReservation(SITE, order_id, NOW)):
        assert order_id not in decided(site, last)[1].reservations


@given(st.lists(COMMANDS, max_size=30), st.data())
def test_a_snapshot_and_the_events_after_it_come_to_the_same_as_all_events(
    commands: list[Command], data: st.DataObject
) -> None:
    events = history(commands)
    middle = data.draw(st.integers(0, len(events)))
    assert CONTEXT.snapshot
    stored = event_encoder.encode(CONTEXT.snapshot.freeze(folded(CONTEXT, events[:middle])))
    site = CONTEXT.snapshot.thaw(msgspec.json.decode(stored, type=CONTEXT.snapshot.form))
    for each in events[middle:]:
        site = CONTEXT.evolve(site, each)
    assert site == folded(CONTEXT, events)


@given(st.permutations(range(100)))
def test_of_100_who_want_one_of_10_exactly_10_get_one(buyers: list[int]) -> None:
    events = history([ReceiveStock(SITE, (Goods("bread", 10),)), *(reserve(f"o{n}", bread=1) for n in buyers)])
    served = [each.order_id for each in events if isinstance(each, StockReserved)]
    assert served == [f"o{n}" for n in buyers[:10]]
