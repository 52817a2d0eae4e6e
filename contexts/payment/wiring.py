"""payment, as the shells run it."""

from common.context import Context, Effect
from contexts.payment.commands import (
    CapturePayment,
    RecordAuthorisation,
    RecordCapture,
    RecordRefund,
    RecordVoid,
    RefundPayment,
    RequestPayment,
    VoidPayment,
)
from contexts.payment.decider import Payment, decide, evolve
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
    VoidRequested,
)
from contexts.payment.provider import ask

CONTEXT = Context(
    name="payment",
    commands=(
        RequestPayment,
        CapturePayment,
        VoidPayment,
        RefundPayment,
        RecordAuthorisation,
        RecordCapture,
        RecordVoid,
        RecordRefund,
    ),
    events=(
        AuthorisationRequested,
        PaymentAuthorised,
        PaymentDeclined,
        CaptureRequested,
        PaymentCaptured,
        CaptureFailed,
        VoidRequested,
        PaymentVoided,
        VoidFailed,
        RefundRequested,
        PaymentRefunded,
        RefundFailed,
    ),
    initial=Payment(),
    decide=decide,
    evolve=evolve,
    effect=Effect(events=(AuthorisationRequested, CaptureRequested, VoidRequested, RefundRequested), ask=ask),
)
