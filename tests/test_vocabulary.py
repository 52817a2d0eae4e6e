"""One vocabulary, in business words: commands are imperative, events are facts, and no name says how it is built."""

import ast
import re
from pathlib import Path

import pytest

from common.discovery import contexts

ROOT = Path(__file__).resolve().parent.parent
WORD = re.compile(r"[A-Z][a-z0-9]*")
# Words that name machinery, or a change without saying which.
BANNED = {"Command", "Dto", "Event", "Handler", "Helper", "Impl", "Manager", "Service", "Status", "Util", "Utils"}
OF_READERS = {"Status"}
"""What a read model may be named by: it says how things stand, and asks for no change."""
EMPTY_VERBS = {"Do", "Handle", "Manage", "Modify", "Process", "Set", "Update"}
THINGS = {name.capitalize() for name in contexts()}
IRREGULAR = {"Broken", "Came", "Found", "Given", "Held", "Kept", "Left", "Lost", "Made", "Met", "Paid", "Sent", "Taken"}


def words(name: str) -> list[str]:
    return WORD.findall(name)


def is_command_name(name: str) -> bool:
    """Imperative verb and noun: `PlaceOrder`. `ChangePrice` says what changes; `ChangeOrder` and `SetPrice` do not."""
    verb, *noun = words(name)
    vague = verb in EMPTY_VERBS or (verb == "Change" and set(noun) <= THINGS)
    imperative = verb not in THINGS and not verb.endswith(("ed", "ing"))
    return bool(noun) and imperative and not vague and is_business_name(name)


def is_event_name(name: str) -> bool:
    """Noun and past participle: `OrderPlaced`."""
    _, *rest = words(name)
    past = any(word.endswith("ed") or word in IRREGULAR for word in rest)
    return past and words(name)[-1] not in ("Set", "Updated") and is_business_name(name)


def is_business_name(name: str) -> bool:
    return not BANNED & set(words(name))


def test_every_command_is_an_imperative_and_every_event_a_fact() -> None:
    for context in contexts().values():
        assert [command.__name__ for command in context.commands if not is_command_name(command.__name__)] == []
        assert [event.__name__ for event in context.events if not is_event_name(event.__name__)] == []


def test_no_name_in_a_context_or_a_read_model_says_how_it_is_built() -> None:
    named = [
        (part, path.name, node.name)
        for part in ("contexts", "projectors")
        for path in sorted((ROOT / part).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    banned = {"contexts": BANNED, "projectors": BANNED - OF_READERS}
    assert [(file, name) for part, file, name in named if banned[part] & set(words(name))] == []


def test_every_rejection_is_coded_under_its_contexts_name() -> None:
    coded = [
        (path.parent.name, node.args[0].value)
        for path in sorted((ROOT / "contexts").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Rejected"
        if isinstance(node.args[0], ast.Constant)
    ]
    assert coded
    assert [code for context, code in coded if not re.fullmatch(rf"{context}\.[a-z]+(-[a-z]+)*", str(code))] == []


@pytest.mark.parametrize(
    "name",
    [
        "SetPrice",
        "UpdateOrder",
        "ChangeOrder",
        "ChangeOrderStatus",
        "OrderPlaced",
        "Cancel",
        "PlacedOrder",
        "PlaceOrderCommand",
    ],
)
def test_a_command_by_another_kind_of_name_is_refused(name: str) -> None:
    assert not is_command_name(name)


@pytest.mark.parametrize(
    "name", ["PlaceOrder", "OrderUpdated", "PriceSet", "OrderStatusChanged", "OrderPlacedEvent", "Placed"]
)
def test_an_event_by_another_kind_of_name_is_refused(name: str) -> None:
    assert not is_event_name(name)
