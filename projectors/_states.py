"""How an order may stand, as every view of it says."""

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
