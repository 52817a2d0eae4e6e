"""Payments as they can be asked for."""

from msgspec.structs import replace

from common.messages import Event
from contexts.payment.events import (
    CaptureFailed,
    PaymentDeclined,
    PaymentVoided,
    RefundFailed,
    VoidFailed,
    VoidRequested,
)
from projectors.payments import MODEL, QUERIES, GetPayment, PaymentView
from tests.payment import (
    AUTHORISED,
    CAPTURING,
    DECLINED,
    ENDED,
    IS_AUTHORISED,
    IS_CAPTURED,
    JAM,
    NOTHING_CAPTURED,
    NOTHING_TO_PAY,
    ONE_TEA,
    REQUESTED,
    SENT,
    SOLD,
    TEA,
    VOIDING,
    refunded,
    refunding,
)
from tests.projectors.conftest import Shelf


async def shown(shelf: Shelf, *events: Event) -> PaymentView:
    """The payment of o1 after these events have happened as well."""
    await shelf.happen(MODEL, *(("o1", event) for event in events))
    view: PaymentView = await shelf.ask(GetPayment("o1"), QUERIES)
    return view


async def test_a_payment_shows_what_was_set_aside_and_what_was_taken(shelf: Shelf) -> None:
    asked = await shown(shelf, REQUESTED)
    assert (asked.state, asked.amount, asked.currency, asked.method) == ("requested", 500, "USD", "pm_ok")
    assert (asked.requested_at, asked.authorised, asked.version, asked.position) == (SOLD, 0, 1, 1)
    authorised = await shown(shelf, AUTHORISED)
    assert (authorised.state, authorised.authorised, authorised.authorised_at) == ("authorised", 500, SOLD)
    assert (await shown(shelf, CAPTURING)).state == "capturing"
    captured = await shown(shelf, IS_CAPTURED[-1])
    assert (captured.state, captured.captured, captured.captured_at, captured.version) == ("captured", 500, SENT, 4)


async def test_a_payment_that_nobody_asked_for_is_not_there(shelf: Shelf) -> None:
    assert await shelf.ask(GetPayment("o1"), QUERIES) is None


async def test_what_was_declined_or_failed_says_why(shelf: Shelf) -> None:
    declined = await shown(shelf, REQUESTED, DECLINED)
    assert (declined.state, declined.failure, declined.declined_at) == ("declined", "no money", SOLD)
    await shelf.happen(MODEL, *(("o2", each) for each in (*IS_AUTHORISED, CAPTURING)))
    await shelf.happen(MODEL, ("o2", CaptureFailed(reason="closed", at=SENT)))
    failed: PaymentView = await shelf.ask(GetPayment("o2"), QUERIES)
    assert (failed.state, failed.failure, failed.captured) == ("capture-failed", "closed", 0)


async def test_what_was_captured_after_all_has_no_failure_any_more(shelf: Shelf) -> None:
    failed = CaptureFailed(reason="closed", at=SENT)
    again = replace(CAPTURING, attempt=2)
    captured = await shown(shelf, *IS_AUTHORISED, CAPTURING, failed, again, IS_CAPTURED[-1])
    assert (captured.state, captured.captured, captured.failure) == ("captured", 500, None)
    assert captured.capture_attempts == 2


async def test_what_was_let_go_shows_when(shelf: Shelf) -> None:
    assert (await shown(shelf, *IS_AUTHORISED, VOIDING)).state == "voiding"
    voided = await shown(shelf, PaymentVoided(amount=500, at=ENDED))
    assert (voided.state, voided.voided_at, voided.captured) == ("voided", ENDED, 0)


async def test_what_was_not_let_go_says_why(shelf: Shelf) -> None:
    failed = await shown(shelf, *IS_AUTHORISED, VOIDING, VoidFailed(reason="not found", at=ENDED))
    assert (failed.state, failed.failure) == ("void-failed", "not found")


async def test_a_wish_to_let_go_that_waits_for_the_provider_does_not_show_yet(shelf: Shelf) -> None:
    early = VoidRequested(amount=500, currency="USD", method="pm_ok", authorisation="", at=ENDED)
    assert (await shown(shelf, REQUESTED, early)).state == "requested"
    assert (await shown(shelf, AUTHORISED, VOIDING)).state == "voiding"


async def test_refunds_show_one_by_one_and_as_sums(shelf: Shelf) -> None:
    asked = await shown(shelf, *IS_CAPTURED, refunding(1, ONE_TEA), refunding(2, JAM))
    assert (asked.refunded, asked.being_refunded, asked.state) == (0, 350, "captured")
    assert [each.settled_at for each in asked.refunds] == [None, None]
    settled = await shown(shelf, refunded(1, ONE_TEA), RefundFailed(refund=2, amount=200, reason="closed", at=ENDED))
    assert (settled.refunded, settled.being_refunded, settled.state) == (150, 0, "captured")
    assert [(each.refund, each.state, each.settled_at, each.failure) for each in settled.refunds] == [
        (1, "refunded", refunded(1, ONE_TEA).at, None),
        (2, "failed", ENDED, "closed"),
    ]


async def test_a_payment_that_was_paid_back_wholly_is_refunded(shelf: Shelf) -> None:
    whole = await shown(shelf, *IS_CAPTURED, refunding(1, TEA, JAM), refunded(1, TEA, JAM))
    assert (whole.state, whole.refunded) == ("refunded", 500)


async def test_nothing_to_pay_has_neither_currency_nor_method(shelf: Shelf) -> None:
    free = await shown(shelf, NOTHING_TO_PAY, NOTHING_CAPTURED)
    assert (free.state, free.amount, free.currency, free.method, free.captured) == ("captured", 0, None, None, 0)
    assert (free.requested_at, free.captured_at) == (SOLD, SENT)


async def test_what_was_let_go_before_it_was_asked_for_shows_as_declined(shelf: Shelf) -> None:
    early = await shown(shelf, PaymentVoided(amount=0, at=ENDED), PaymentDeclined(reason="let go", at=SOLD))
    assert (early.state, early.failure) == ("declined", "let go")
