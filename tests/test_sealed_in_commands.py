"""Personal data travels in a command only as a seal, from context to context; anything else is malformed."""

from typing import Any

import msgspec
import pytest

from common.client import body_of
from common.codec import CommandCodec, EventCodec
from common.messages import Rejected
from common.personal import Personal, new_key, seal, unseal
from contexts.delivery.commands import DispatchDelivery, ScheduleDelivery
from contexts.delivery.wiring import CONTEXT
from tests.delivery import SCHEDULE
from tests.scenario import known

KEY = new_key()
ADDRESS = {"name": "Ada Miller", "street": "12 Elm Street", "city": "Springfield"}
HOME = seal(Personal("ada", ADDRESS), KEY)
CODEC = CommandCodec(ScheduleDelivery)
ASKED = msgspec.structs.replace(SCHEDULE, deliver_to=HOME)


def body(deliver_to: Any) -> bytes:
    fields = msgspec.json.decode(body_of(ASKED))
    return msgspec.json.encode(fields | {"deliver_to": deliver_to})


def test_a_seal_comes_through_the_door_as_it_was_and_nothing_of_it_is_readable() -> None:
    sent = body_of(ASKED)
    assert b"Elm" not in sent
    received = CODEC.decode("o1", sent)
    assert isinstance(received, ScheduleDelivery)
    assert (received, received.deliver_to.sealed, received.deliver_to.value) == (ASKED, HOME.sealed, None)
    assert unseal(received.deliver_to, KEY).value == ADDRESS


def test_what_is_recorded_holds_the_same_seal() -> None:
    (event,) = CONTEXT.decide(CODEC.decode("o1", body_of(ASKED)), CONTEXT.initial, known("reaction"))
    stored = EventCodec(CONTEXT.events).encode(event)
    assert HOME.sealed in stored
    assert "Elm" not in stored


def test_the_hash_is_of_the_seal_however_the_body_is_written() -> None:
    turned = body({"sealed": HOME.sealed, "person": "ada"})
    assert CODEC.hash(CODEC.decode("o1", turned)) == CODEC.hash(ASKED)
    again = msgspec.structs.replace(ASKED, deliver_to=seal(Personal("ada", ADDRESS), KEY))
    assert CODEC.hash(again) != CODEC.hash(ASKED)


def test_open_personal_data_is_not_sent() -> None:
    openly = msgspec.structs.replace(ASKED, deliver_to=Personal("ada", ADDRESS))
    with pytest.raises(TypeError, match="must be sealed"):
        body_of(openly)
    with pytest.raises(TypeError, match="must be sealed"):
        CODEC.hash(openly)


@pytest.mark.parametrize(
    "deliver_to",
    [
        None,
        1,
        "ada",
        [],
        {},
        ADDRESS,
        {"person": "ada"},
        {"sealed": HOME.sealed},
        {"person": "ada", "sealed": HOME.sealed, "value": ADDRESS},
        {"person": "a.b", "sealed": HOME.sealed},
        {"person": "ada\0", "sealed": HOME.sealed},
        {"person": 1, "sealed": HOME.sealed},
        {"person": "ada", "sealed": ADDRESS},
        {"person": "ada", "sealed": ""},
        {"person": "ada", "sealed": "12 Elm Street"},
        {"person": "ada", "sealed": HOME.sealed + "\n"},
        {"person": "ada", "sealed": "AAAAA"},
        {"person": "ada", "sealed": "AAAA"},
        {"person": "ada", "sealed": "\U0001f600"},
    ],
)
def test_all_but_a_seal_is_malformed_and_the_field_is_named(deliver_to: Any) -> None:
    with pytest.raises(Rejected) as refused:
        CODEC.decode("o1", body(deliver_to))
    assert refused.value.code == "malformed"
    assert "$.deliver_to" in str(refused.value)


@pytest.mark.parametrize("nested", [b"[" * 100_000, b'{"person":' * 20_000, b"[" * 5_000 + b"]" * 5_000])
def test_what_is_nested_too_deeply_is_refused_and_brings_nothing_down(nested: bytes) -> None:
    with pytest.raises(Rejected) as refused:
        CODEC.decode("o1", b'{"deliver_to":' + nested)
    assert refused.value.code in ("malformed", "too-large")


def test_commands_without_personal_data_know_nothing_of_it() -> None:
    with pytest.raises(Rejected, match="unknown field"):
        CommandCodec(DispatchDelivery).decode("o1", msgspec.json.encode({"deliver_to": {"person": "ada"}}))
