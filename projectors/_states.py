"""How an order may stand, as every view of it says, and how those in a state are found."""

from typing import Literal

OrderState = Literal[
    "placed",
    "admitted",
    "reserved",
    "confirmed",
    "cancelling",
    "cancelled",
    "dispatched",
    "delivered",
    "returned",
]

AMONG = "nullif(state = ${}, false) IS NOT NULL"
"""Whether a row is in a state, said so that Postgres goes through the few rows of an index in order, and does not
expect still fewer."""


def in_state(state: str | None, underway: str, undone: str) -> str:
    """The condition, as the indexes know it: those of the few that are `underway`, and of those that are `undone`."""
    match state:
        case None | "delivered":
            return "state = ${}"
        case "cancelled" | "returned":
            return f"{AMONG} AND {undone}"
        case _:
            return f"{AMONG} AND {underway}"
