"""What is true of every journey: at each moment, and once all is at rest. Told from what was recorded alone."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from common.messages import Event
from contexts.customer.events import (
    AccountClosed,
    AdmissionGranted,
    CustomerRegistered,
    CustomerReinstated,
    CustomerSuspended,
)
from contexts.delivery.events import (
    DeliveryCancelled,
    DeliveryConfirmed,
    DeliveryDispatched,
    DeliveryReturned,
    DeliveryScheduled,
)
from contexts.order.events import (
    CancellationCameTooLate,
    CancellationRequested,
    OrderAdmitted,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderDispatched,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    OrderReserved,
    OrderReturned,
    PaymentFailed,
    RefundOwed,
)
from contexts.payment.events import (
    AuthorisationRequested,
    CaptureFailed,
    CaptureRequested,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    RefundFailed,
    RefundRequested,
    VoidFailed,
)
from contexts.stock.events import (
    ReservationBroken,
    ReservationShipped,
    ReturnTakenBack,
    StockReserved,
)
from tests.journeys.books import Books, goods, must
from tests.journeys.world import Past, Sent, World

LAWFUL_REFUSALS = {
    ("CancelDelivery", "delivery.has-left"),
    ("ReturnToSender", "delivery.already-delivered"),
}
"""Of what the system asks itself, this alone may be refused: a wish that came too late, as the order then learns."""

ONCE: set[Any] = {
    *(OrderPlaced, OrderAdmitted, OrderReserved, OrderConfirmed, OrderDispatched, OrderPaid, RefundOwed),
    *(PaymentAuthorised, PaymentDeclined, PaymentCaptured, PaymentVoided, CaptureRequested),
    *(DeliveryDispatched, CustomerRegistered, AccountClosed),
}
ONE_OF: tuple[set[Any], ...] = (
    {OrderCancelled, OrderDispatched},
    {OrderCancelled, OrderDelivered, OrderReturned},
    {DeliveryCancelled, DeliveryDispatched},
    {DeliveryCancelled, DeliveryConfirmed, DeliveryReturned},
    {PaymentAuthorised, PaymentDeclined},
    {PaymentCaptured, CaptureFailed, PaymentVoided},
)


class Truths:
    """Watches a world. Raises `Wrong`."""

    def __init__(self) -> None:
        self.books: dict[str, Books] = defaultdict(Books)
        self.may_buy: dict[str, bool] = {}

    def saw(self, context: str, key: str, event: Event) -> None:
        match event:
            case CustomerRegistered() | CustomerReinstated():
                self.may_buy[key] = True
            case CustomerSuspended() | AccountClosed():
                self.may_buy[key] = False
            case AdmissionGranted(order_id=order):
                must(self.may_buy.get(key, False), f"{order} is admitted though {key} may not buy")
            case _ if context == "stock":
                self.books[key].enter(event)

    def refused(self, sent: Sent, code: str) -> None:
        ours = sent.by in ("reaction", "payment")
        must(not ours or (type(sent.command).__name__, code) in LAWFUL_REFUSALS, f"{sent.command} is refused: {code}")

    def settled(self, world: World, sent: Sent, context: str, key: str, events: Sequence[Event]) -> None:
        """After each decision: what holds at every moment."""
        past, stated = world.stream(context, key), getattr(sent.command, "at", None)
        must(stated is None or all(each.at == stated for each in at_a_time(events)), f"{key}: not of the time stated")
        must(all(past.kinds[kind] <= 1 for kind in ONCE), f"{context} {key}: twice what happens once")
        must(all(happened(past, *kinds) <= 1 for kinds in ONE_OF), f"{context} {key}: both of what excludes each other")
        if context == "stock":
            self.books[key].check(key)
        if context == "payment":
            check_money(past, key)

    def at_rest(self, world: World) -> None:
        """When nothing is under way any more and no deadline is left."""
        must(not world.deadlines, "a deadline is left")
        for (context, key), past in [*world.streams.items()]:
            if context == "order" and past.events:
                Journey(world, key).check(self.books)
        for site, books in self.books.items():
            state = world.stream("stock", site).state
            must(not books.held and not state.reservations, f"{site} still sets aside for {[*books.held]}")
            must(dict(state.on_hand) == +books.on_hand, f"{site} and its books differ")


class Journey:
    """One order, once all is at rest."""

    def __init__(self, world: World, order: str) -> None:
        self.order, self.bank = order, world.bank
        self.past = world.stream("order", order)
        self.payment, self.delivery = world.stream("payment", order), world.stream("delivery", order)
        self.placed = next(of(OrderPlaced, self.past))
        self.stock = [each for _, each in world.stream("stock", self.placed.site).events]
        self.goods = goods(self.placed.lines)

    def check(self, books: dict[str, Books]) -> None:
        ends = [kind for kind in (OrderCancelled, OrderDelivered, OrderReturned) if self.past.kinds[kind]]
        must(len(ends) == 1, f"{self.order} has not ended but is {self.past.state.stage}")
        must(all(each == self.goods for each in self.moved(StockReserved)), f"not all of {self.order} was set aside")
        answers = happened(self.past, OrderCancelled, CancellationCameTooLate)
        must(self.past.kinds[CancellationRequested] <= answers, f"a wish to stop {self.order} has no answer")
        failed = happened(self.payment, CaptureFailed, VoidFailed, RefundFailed)
        must(self.past.kinds[PaymentFailed] == failed, f"{self.order} does not know what of its payment failed")
        if ends == [OrderCancelled]:
            self.check_cancelled()
        else:
            self.check_left(came_back=ends == [OrderReturned])
        self.check_money()

    def check_cancelled(self) -> None:
        must(not happened(self.delivery, DeliveryDispatched), f"{self.order} is cancelled and has left")
        scheduled, cancelled = self.delivery.kinds[DeliveryScheduled], self.delivery.kinds[DeliveryCancelled]
        must(scheduled <= cancelled, f"{self.order} is cancelled and may still leave")
        must(not self.moved(ReservationShipped, ReturnTakenBack), f"{self.order} is cancelled and its goods were moved")
        must(not happened(self.payment, CaptureRequested, PaymentCaptured), f"{self.order} is cancelled and was taken")

    def check_left(self, came_back: bool) -> None:
        end = DeliveryReturned if came_back else DeliveryConfirmed
        must(self.delivery.kinds[end] == 1, f"{self.order} and its delivery tell two stories")
        left = self.moved(ReservationShipped, ReservationBroken)
        must(left == [self.goods], f"the goods of {self.order} did not leave once: {left}")
        wanted = [self.goods] if came_back and self.goods else []
        must(self.moved(ReturnTakenBack) == wanted, f"the goods of {self.order} did not come back as they should")
        must(happened(self.payment, PaymentCaptured, CaptureFailed) == 1, f"{self.order} left and nothing was taken")
        if came_back:
            kept = self.sum(PaymentCaptured) - self.sum(PaymentRefunded)
            must(kept <= self.sum(RefundFailed), f"{self.order} came back and {kept} was not paid back nor tried to be")

    def check_money(self) -> None:
        asked = self.payment.kinds[AuthorisationRequested]
        must(asked <= happened(self.payment, PaymentAuthorised, PaymentDeclined), f"{self.order} waits for its money")
        if self.payment.kinds[PaymentAuthorised]:
            must(self.sum(PaymentAuthorised) == self.total, f"for {self.order} another amount was set aside")
            settled = happened(self.payment, PaymentCaptured, CaptureFailed, PaymentVoided, VoidFailed)
            must(settled == 1, f"the money of {self.order} is left open")
        refunds = happened(self.payment, PaymentRefunded, RefundFailed)
        must(self.payment.kinds[RefundRequested] == refunds, f"a refund of {self.order} is left open")
        for verb, kind in MOVES.items():
            must(
                self.bank.moved(verb, self.order) == self.sum(kind), f"{self.order}: the bank says otherwise of {verb}"
            )
        must(self.sum(PaymentCaptured) == total(OrderPaid, self.past), f"{self.order} knows of another payment")
        must(self.sum(PaymentRefunded) == total(OrderRefunded, self.past), f"{self.order} knows of other refunds")

    @property
    def total(self) -> int:
        return sum(line.amount for line in self.placed.lines)

    def sum(self, kind: type[Any]) -> int:
        return total(kind, self.payment)

    def moved(self, *kinds: type[Any]) -> list[Counter[str]]:
        """The goods of this order in these events of its site."""
        return [goods(each.lines) for each in self.stock if isinstance(each, kinds) and each.order_id == self.order]


MOVES: dict[Any, type[Any]] = {
    "authorise": PaymentAuthorised,
    "capture": PaymentCaptured,
    "void": PaymentVoided,
    "refund": PaymentRefunded,
}


def check_money(past: Past, key: str) -> None:
    authorised, captured = total(PaymentAuthorised, past), total(PaymentCaptured, past)
    asked_back = total(RefundRequested, past) - total(RefundFailed, past)
    must(captured <= authorised, f"{key}: more was taken than authorised")
    must(total(PaymentRefunded, past) <= asked_back <= captured, f"{key}: more is paid back than was taken")


def of(kind: type[Any], past: Past) -> Iterator[Any]:
    return (event for _, event in past.events if isinstance(event, kind))


def total(kind: type[Any], past: Past) -> int:
    return sum(event.amount for event in of(kind, past)) if past.kinds[kind] else 0


def at_a_time(events: Sequence[Event]) -> Iterator[Any]:
    return (event for event in events if hasattr(event, "at"))


def happened(past: Past, *kinds: type[Event]) -> int:
    return sum(past.kinds[kind] for kind in kinds)
