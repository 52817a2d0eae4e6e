"""What an asker may wish of an answer: that it shows a write, and how long that may take (design section 10).

The same headers by HTTP and NATS. `Daybook-After` names what the answer must show: `order:<command id>`, a command of
the asker's own, or `order=<position>`, as a `Daybook-Position` gave it; several with commas. `Prefer: wait=N` says for
how many seconds.
"""

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from common.messages import Rejected
from common.subjects import is_token

AFTER_HEADER, UNTIL_HEADER, PREFER = "Daybook-After", "Daybook-Until", "Prefer"
STALENESS_HEADER = "Daybook-Staleness-Ms"
DEFAULT_WAIT_S, LONGEST_WAIT_S = 1, 30
MOST_AFTER = 16
UNKNOWN = "unknown"
INCARNATION_SHOWN = 8
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
PLACE = re.compile(r"([A-Za-z0-9_-]{1,64})=([0-9]{1,18})(?:@([0-9a-f]{8}))?")
AFTER_RULE = "must be <context>:<command id> or <context>=<position>, several with commas"


class After(Struct, frozen=True):
    """What an answer must show of one context: a command, or all up to a position."""

    context: str
    command_id: str = ""
    position: int = 0
    incarnation: str = ""


class Wish(Struct, frozen=True):
    """All that is wished of an answer. `until` are values of the field that the query declares for it."""

    after: tuple[After, ...] = ()
    until: frozenset[str] = frozenset()
    wait_s: float = DEFAULT_WAIT_S

    @property
    def plain(self) -> bool:
        """Whether nothing is wished, so that nothing has to be waited for."""
        return not self.after and not self.until


PLAIN = Wish()


def wished(after: str | None, until: str | None, prefer: str) -> Wish:
    """The wish that these headers state, None for one that is not there.

    Raises `Rejected`, which names the header and the rule.
    """
    if after is None and until is None:
        return PLAIN
    states = frozenset() if until is None else frozenset(state.strip() for state in until.split(","))
    return Wish(() if after is None else parse_after(after), states, wait_of(prefer))


def wait_of(prefer: str) -> int:
    """Seconds to wait for an answer that is fresh enough."""
    wait = preferred_wait(prefer)
    return DEFAULT_WAIT_S if wait is None else wait


def preferred_wait(prefer: str) -> int | None:
    """Seconds that the header prefers to wait, at most 30; None when it does not say (RFC 7240)."""
    for preference in QUOTED.sub(lambda quoted: quoted[0][1:-1].replace(",", " "), prefer).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        number = value.strip()
        if name.strip().lower() == "wait" and number.isascii() and number.isdigit():
            return min(int(number[:9]), LONGEST_WAIT_S)
    return None


def parse_after(text: str) -> tuple[After, ...]:
    """What the header names. Raises `Rejected`."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > MOST_AFTER:
        raise Rejected("malformed", f"may name {MOST_AFTER} at most - at `{AFTER_HEADER}`")
    return tuple(_one(part) for part in parts)


def _one(text: str) -> After:
    if place := PLACE.fullmatch(text):
        return After(place[1], position=int(place[2]), incarnation=place[3] or "")
    context, _, command_id = text.partition(":")
    if not (is_token(context) and is_token(command_id)):
        raise Rejected("malformed", f"{AFTER_RULE} - at `{AFTER_HEADER}`")
    return After(context, command_id)


def known_contexts(wish: Wish, contexts: Iterable[str]) -> None:
    """Raises `Rejected` when the wish names what is no context."""
    for each in wish.after:
        if each.context not in contexts:
            raise Rejected("malformed", f"there is no context named {each.context!r} - at `{AFTER_HEADER}`")


def position_header(positions: Mapping[str, tuple[int, str]]) -> str:
    """Positions with their incarnations, by context, as `Daybook-Position` gives and `Daybook-After` takes them."""
    shown = (
        f"{name}={position}@{incarnation[:INCARNATION_SHOWN]}" if incarnation else f"{name}={position}"
        for name, (position, incarnation) in sorted(positions.items())
    )
    return ", ".join(shown)
