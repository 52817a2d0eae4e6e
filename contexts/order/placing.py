"""What may be ordered, and by whom: the rules that look at an order before it is one."""

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from common.context import Known, is_plausible
from common.messages import Rejected
from common.personal import Personal
from contexts.order.commands import PlaceOrder, RequestedLine
from contexts.order.events import OrderPlaced
from contexts.order.price_list import MAX_AMOUNT, priced, too_much

TRUSTED = "trusted-channel"


def placed(command: PlaceOrder, known: Known) -> OrderPlaced:
    """The order as it is recorded, once the sender may say what it says and every line has its amount."""
    if TRUSTED not in known.roles:
        refuse_what_only_a_trusted_channel_states(command)
    refuse_a_sku_named_twice(command.lines)
    lines = tuple(priced(line, command.currency, known.reference.get(line.sku)) for line in command.lines)
    if (total := sum(line.amount for line in lines)) > MAX_AMOUNT:
        raise too_much(amount=total)
    return OrderPlaced(
        customer_id=command.customer_id,
        site=command.site,
        deliver_to=Personal(command.customer_id, msgspec.to_builtins(command.deliver_to)),
        payment_method=command.payment_method,
        currency=command.currency,
        channel=command.channel,
        at=time_of_sale(command.at, known.at),
        lines=lines,
    )


def refuse_what_only_a_trusted_channel_states(command: PlaceOrder) -> None:
    if field := next(reserved_fields(command), ""):
        message = f"`{field}` is stated by trusted channels alone"
        raise Rejected("order.not-yours-to-state", message, field=field)
    if empty := next((line.sku for line in command.lines if line.quantity == 0), ""):
        raise Rejected("order.quantity-missing", f"of {empty} at least 1 must be ordered", sku=empty)


def reserved_fields(command: PlaceOrder) -> Iterator[str]:
    """The stated fields that are reserved to trusted channels."""
    if command.at is not None:
        yield "at"
    for n, line in enumerate(command.lines):
        if line.amount is not None:
            yield f"lines[{n}].amount"
        if line.department is not None:
            yield f"lines[{n}].department"


def refuse_a_sku_named_twice(lines: tuple[RequestedLine, ...]) -> None:
    seen: set[str] = set()
    for line in lines:
        if line.sku in seen:
            raise Rejected("order.sku-twice", f"{line.sku} is on two lines; one line holds it all", sku=line.sku)
        seen.add(line.sku)


def time_of_sale(stated: datetime | None, accepted: datetime) -> datetime:
    """The time of business, in UTC: when the command was accepted, unless the channel states when it was."""
    if stated is None:
        return accepted
    if not is_plausible(stated, accepted):
        message = "the time of a sale is after 1999 and at most a day ahead of now"
        raise Rejected("order.time-out-of-range", message, at=stated.isoformat(), now=accepted.isoformat())
    return stated.astimezone(UTC)
