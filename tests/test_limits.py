"""Everything that a door takes has a limit, and a declaration that works."""

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import msgspec.inspect as mi
import pytest
from hypothesis import given
from hypothesis.strategies import DataObject, data

from common.codec import CommandCodec
from common.discovery import commands, read_models
from common.messages import Command, Id, Query
from common.personal import encode_personal
from common.shell.context_queries import context_query_types
from tests.strategies import messages

COMMANDS = [command for found in commands().values() for command in found]
ASKED = [command for command in COMMANDS if command.declared.post]
"""What people may ask. What only reactions ask comes from our own record and must not be refused for its size."""
QUERIES = [query for module in read_models().values() for query in module.QUERIES]
OWN_QUERIES = [query for name in commands() for query in context_query_types(name)]
MESSAGES: list[type[Command] | type[Query]] = [*ASKED, *QUERIES, *OWN_QUERIES]
LARGEST = 2**63 - 1
named = pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)


def parts(info: mi.Type, path: str) -> Iterator[tuple[str, mi.Type]]:
    """Every type inside of a type, with where it stands."""
    yield path, info
    match info:
        case mi.Metadata(type=inner):
            yield from parts(inner, path)
        case mi.UnionType(types=types):
            for member in types:
                yield from parts(member, path)
        case mi.StructType(fields=fields):
            for field in fields:
                yield from parts(field.type, f"{path}.{field.name}")
        case mi.VarTupleType(item_type=item) | mi.ListType(item_type=item):
            yield from parts(item, f"{path}[]")


def is_limited(info: mi.Type) -> bool:
    match info:
        case mi.IntType(ge=ge, le=le):
            return ge is not None and le is not None and -LARGEST <= ge <= le <= LARGEST
        case mi.StrType(max_length=most, pattern=pattern):
            return most is not None or (pattern is not None and not set("*+") & set(pattern))
        case mi.VarTupleType(max_length=most) | mi.ListType(max_length=most):
            return most is not None
        case mi.DateTimeType(tz=tz):
            return tz is True
        case mi.FloatType() | mi.AnyType() | mi.DictType() | mi.BytesType() | mi.RawType():
            return False
        case mi.StructType(forbid_unknown_fields=strict):
            return strict
        case _:
            return True


@named
def test_every_part_of_a_command_and_of_a_query_is_limited(message: type[Any]) -> None:
    inside = parts(mi.type_info(message), message.__name__)
    assert [path for path, info in inside if not is_limited(info)] == []


@pytest.mark.parametrize("kind", [int, str, float, dict[str, str], tuple[int, ...], Any], ids=str)
def test_a_part_without_limits_is_found(kind: Any) -> None:
    made_up = msgspec.defstruct("MadeUp", [("field", kind)], forbid_unknown_fields=True)
    assert [path for path, info in parts(mi.type_info(made_up), "") if not is_limited(info)]


@pytest.mark.parametrize("text", ["a\n", "\na", "a.b", "*", ">", "a*", "a\0", "", "a b", "ä", "a" * 65, "../a"])
def test_an_id_is_a_token_of_a_subject_and_nothing_else(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(text), type=Id)


@named
def test_every_text_with_a_pattern_refuses_what_a_subject_cannot_hold(message: type[Any]) -> None:
    patterns = {
        info.pattern
        for _, info in parts(mi.type_info(message), "")
        if isinstance(info, mi.StrType) and info.pattern is not None
    }
    for pattern in patterns:
        kind = Annotated[str, msgspec.Meta(pattern=pattern)]
        for text in ("AB\n", "\n", "A.", "*", "A\0"):
            with pytest.raises(msgspec.ValidationError):
                msgspec.convert(text, type=kind)


@pytest.mark.parametrize("command", ASKED, ids=lambda command: command.__name__)
def test_the_example_of_a_command_is_taken_at_the_door(command: type[Command]) -> None:
    CommandCodec(command).decode("k1", msgspec.json.encode(command.declared.example))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
@given(drawn=data())
def test_whatever_a_command_may_hold_it_is_the_same_after_the_way_over_the_wire(
    command: type[Command], drawn: DataObject
) -> None:
    sent = drawn.draw(messages(command))
    codec = CommandCodec(command)
    key, *rest = msgspec.structs.astuple(sent)
    received = codec.decode(key, msgspec.json.encode(codec.body(*rest), enc_hook=encode_personal))
    assert received == sent
    assert codec.hash(received) == codec.hash(sent)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_a_public_command_says_who_may_send_it_and_a_reactions_command_has_no_route(command: type[Command]) -> None:
    assert bool(command.declared.post) == bool(command.declared.roles)
