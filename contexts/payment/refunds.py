"""What is paid back: how much of it is left to pay back, and what of each line."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from common.messages import Rejected
from contexts.payment.calls import Call
from contexts.payment.commands import RefundLine, RefundPayment
from contexts.payment.events import RefundedLine


class Refund(Struct, frozen=True, gc=False):
    """One refund: what the provider was asked to pay back, and what it said."""

    lines: tuple[RefundedLine, ...]
    amount: int
    call: Call


def refundable(captured: int, refunds: Iterable[Refund]) -> int:
    """What is left to pay back: what was captured without what was paid back or is being paid back."""
    return captured - sum(refund.amount for refund in standing(refunds))


def standing(refunds: Iterable[Refund]) -> Iterator[Refund]:
    """All but the failed ones, whose money may be asked for again."""
    return (refund for refund in refunds if not refund.call.failed)


def lines_to_refund(command: RefundPayment, left: int, refunds: Iterable[Refund]) -> tuple[RefundedLine, ...]:
    """The lines that are paid back now. Raises `Rejected` when they are worth more than is left."""
    refuse_a_sku_named_twice(command.lines)
    if command.rest:
        return tuple(rest(command.lines, left, list(standing(refunds))))
    lines = tuple(RefundedLine(line.sku, line.quantity, line.amount) for line in command.lines)
    if (asked := worth(lines)) > left:
        raise Rejected("payment.refund-exceeds", f"{asked} is more than the {left} that can be paid back", left=left)
    return lines


def rest(lines: Iterable[RefundLine], left: int, refunds: Iterable[Refund]) -> Iterator[RefundedLine]:
    """What of each line was not paid back or asked for before, as far as the money that is left goes."""
    before = [line for refund in refunds for line in refund.lines]
    for line in lines:
        same = [each for each in before if each.sku == line.sku]
        quantity = max(line.quantity - sum(each.quantity for each in same), 0)
        amount = min(max(line.amount - worth(same), 0), left)
        left -= amount
        if quantity or amount:
            yield RefundedLine(line.sku, quantity, amount)


def worth(lines: Iterable[RefundedLine]) -> int:
    return sum(line.amount for line in lines)


def refuse_a_sku_named_twice(lines: Iterable[RefundLine]) -> None:
    seen: set[str] = set()
    for line in lines:
        if line.sku in seen:
            raise Rejected("payment.sku-twice", f"{line.sku} is on two lines; one line holds it all", sku=line.sku)
        seen.add(line.sku)
