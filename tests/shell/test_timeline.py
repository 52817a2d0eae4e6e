"""A timeline puts every command under its cause, each once, whatever senders claim."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from common.principals import PERSONAL_DATA
from common.recorded import Receipt, answer_id, reaction_id
from common.shell.history import Asker
from common.shell.timeline import Timeline, TimelineCommand, compose, gather
from common.shell.traces import Trace, TracedEvent, TracesAnswer
from common.shell.traces import trace as trace_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(ms: int) -> datetime:
    return NOON + timedelta(milliseconds=ms)


def event(name: str, ms: int, stream: str = "o1") -> TracedEvent:
    return TracedEvent(name, f"{name.title()}Happened", stream, 1, 1, at(ms))


def trace(
    command: str, start: int, end: int, *events: TracedEvent, cause: str = "", of: str = "c1", **fields: Any
) -> Trace:
    given = {"context": "order", "principal": "shop", "type": "Do", "key": "o1", "state": "accepted"} | fields
    return Trace(
        command_id=command, accepted_at=at(start), recorded_at=at(end), correlation_id=of, causation_id=cause,
        events=list(events), **given,
    )  # fmt: skip


def composed(*traces: Trace) -> Timeline:
    return compose("order", "o1", traces, [], False)


def everything(commands: list[TimelineCommand]) -> list[TimelineCommand]:
    return [each for command in commands for each in (command, *everything(followers(command)))]


def followers(command: TimelineCommand) -> list[TimelineCommand]:
    return [each for event in command.events for each in event.caused]


def test_a_reaction_stands_under_the_event_that_caused_it_with_the_milliseconds_between() -> None:
    placed = trace("c1", 0, 5, event("placed", 5))
    reaction = trace("r1", 7, 12, event("reserved", 12, "site"), cause="placed", context="stock", principal="order")
    back = trace("r2", 15, 15, event("confirmed", 15), cause="reserved", principal="stock")
    line = composed(back, reaction, placed)
    (root,) = line.commands
    (second,), (third,) = followers(root), followers(followers(root)[0])
    assert [each.command_id for each in (root, second, third)] == ["c1", "r1", "r2"]
    assert [(each.waited_ms, each.decided_ms) for each in (root, second, third)] == [(None, 5), (2, 5), (3, 0)]
    assert line.total_ms == 15


def test_a_refused_reaction_stands_under_its_cause_too() -> None:
    """Its receipt does not name the cause, but its id is made of it."""
    refused_id = reaction_id("placed", "Reserve", "site-1")
    fields: dict[str, Any] = {
        "state": "rejected",
        "code": "short",
        "type": "Reserve",
        "key": "site-1",
        "context": "stock",
    }
    placed = trace("c1", 0, 5, event("placed", 5))
    (root,) = composed(placed, trace(refused_id, 8, 9, principal="order", **fields)).commands
    assert [(each.state, each.code) for each in followers(root)] == [("rejected", "short")]
    assert len(composed(placed, trace(refused_id, 8, 9, principal="shop", **fields)).commands) == 2


def test_an_answer_from_outside_that_said_nothing_new_stands_under_its_question_too() -> None:
    asked = trace("c1", 0, 5, event("asked", 5))
    for number in (1, 2):
        name = answer_id("asked", "Record", "o1", number)
        (root,) = composed(asked, trace(name, 8, 9, principal="order", type="Record", key="o1")).commands
        assert [each.command_id for each in followers(root)] == [name]
    # Of its own events alone a context asks outside.
    assert len(composed(asked, trace(name, 8, 9, principal="shop", type="Record", key="o1")).commands) == 2


def test_why_a_command_was_refused_is_told_to_its_sender_and_to_those_who_may_read_personal_data() -> None:
    """The words may repeat what was sent, such as an e-mail that is taken."""
    receipt = Receipt(
        context="customer", command_id="c1", principal="shop", state="rejected", code="taken",
        message="the e-mail 'ada@example.com' is taken", accepted_at=NOON, recorded_at=NOON,
    )  # fmt: skip
    reader: Any = None
    askers = (Asker(reader, "shop"), Asker(reader, "desk", frozenset({PERSONAL_DATA})), Asker(reader, "other"))
    assert [bool(trace_of(receipt, [], asker).message) for asker in askers] == [True, True, False]
    assert {trace_of(receipt, [], asker).code for asker in askers} == {"taken"}


def test_what_clocks_that_disagree_would_make_negative_is_unknown() -> None:
    (root,) = composed(trace("c1", 9, 5, event("placed", 5)), trace("r1", 3, 4, cause="placed")).commands
    assert root.decided_ms is None
    assert followers(root)[0].waited_ms is None


def test_a_cause_that_is_not_there_makes_a_beginning() -> None:
    assert len(composed(trace("c1", 0, 5), trace("r1", 6, 7, cause="somewhere else")).commands) == 2


def test_a_command_that_names_its_own_consequence_as_its_cause_is_shown_once() -> None:
    circle = composed(trace("a", 0, 1, event("one", 1), cause="two"), trace("b", 2, 3, event("two", 3), cause="one"))
    assert sorted(each.command_id for each in everything(circle.commands)) == ["a", "b"]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=40))
def test_every_command_is_shown_exactly_once_whatever_causes_are_named(causes: list[int]) -> None:
    traces = [trace(f"c{i}", i, i, event(f"e{i}", i), cause=f"e{cause}") for i, cause in enumerate(causes)]
    shown = everything(composed(*traces).commands)
    assert sorted(each.command_id for each in shown) == sorted(each.command_id for each in traces)


def test_a_long_chain_of_causes_is_shown_whole_and_can_be_told() -> None:
    chain = [trace(f"c{i}", i, i, event(f"e{i}", i), cause=f"e{i - 1}") for i in range(500)]
    line = composed(*chain)
    assert len(everything(line.commands)) == 500
    assert msgspec.json.decode(msgspec.json.encode(line), type=Timeline) == line


async def test_all_contexts_are_asked_for_what_the_streams_wishes_led_to_and_the_silent_are_named() -> None:
    asked: list[tuple[str, Mapping[str, Any]]] = []
    root = trace("c1", 0, 5, event("placed", 5))

    async def ask(context: str, fields: Mapping[str, Any]) -> TracesAnswer | None:
        asked.append((context, fields))
        if context == "stock":
            return None
        return TracesAnswer(context, [root], False) if context == "order" else TracesAnswer(context, [], False)

    line = await gather(ask, ["payment", "order", "stock"], "order", "o1")
    assert line is not None
    assert (line.missing, len(line.commands)) == (["stock"], 1)
    assert asked[0] == ("order", {"stream": "o1"})
    assert [each for each in asked[1:]] == [(n, {"correlations": ["c1"]}) for n in ("order", "payment", "stock")]


async def test_when_the_streams_own_context_is_silent_nothing_is_known_and_nobody_else_is_asked() -> None:
    asked = []

    async def ask(context: str, fields: Mapping[str, Any]) -> TracesAnswer | None:
        asked.append(context)
        return None

    line = await gather(ask, ["order", "stock"], "order", "o1")
    assert line and (line.commands, line.missing, asked) == ([], ["order"], ["order"])


async def test_a_stream_of_which_nobody_knows_has_no_timeline() -> None:
    async def ask(context: str, fields: Mapping[str, Any]) -> TracesAnswer:
        return TracesAnswer(context, [], False)

    assert await gather(ask, ["order"], "order", "o1") is None
