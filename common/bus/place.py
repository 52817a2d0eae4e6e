"""Where a delivered message stands in its stream and in its consumer."""

from msgspec import Struct

PLACED = b"$JS.ACK."
"""What the reply subject of a delivered message begins with."""


class Place(Struct, frozen=True, gc=False):
    """What a delivered message's reply subject says of it."""

    consumer: str
    sequence: int
    consumer_sequence: int
    nanoseconds: int
    pending: int


def parse_place(reply: str) -> Place:
    """Reads `$JS.ACK...` as servers write it: 9 tokens, or 11 and more where domain and account come first."""
    tokens = reply.split(".")
    first = 2 if len(tokens) == 9 else 4
    _, consumer, _, sequence, consumer_sequence, nanoseconds, pending = tokens[first : first + 7]
    return Place(consumer, int(sequence), int(consumer_sequence), int(nanoseconds), int(pending))
