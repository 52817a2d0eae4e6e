"""What holds for every context that is there, whatever is asked of it and in whatever order."""

from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis import given
from msgspec.structs import replace

from common.context import Claim, Context, Known
from common.discovery import contexts
from common.messages import Command, Event, Rejected
from tests import strategies

CONTEXTS = contexts()


class SomethingUnheard(Event):
    """Of a later version, or of another world."""

    weight: int = 0
    colour: str = ""


@st.composite
def wishes(draw: st.DrawFn, context: Context) -> tuple[Command, Known]:
    """A command to one stream and what the rules are told; the reference data may hold what the command needs."""
    command = draw(strategies.commands(context.commands, key="s1"))
    told = draw(strategies.knowns)
    if context.reference:
        row = strategies.messages(context.reference.model.row)
        needed = sorted(set(context.reference.needs(command)))
        reference = {name: draw(row) for name in needed if draw(st.booleans())}
        told = replace(told, reference=reference)
    return command, told


def decided(context: Context, command: Command, state: Any, told: Known) -> tuple[Event, ...]:
    """The events, none when a rule said no. Anything but `Rejected` that is raised fails the test."""
    try:
        return tuple(context.decide(command, state, told))
    except Rejected as rejected:
        assert rejected.code.startswith(f"{context.name}.")
        return ()


@pytest.mark.parametrize("name", CONTEXTS)
@given(data=st.data())
def test_whatever_is_asked_a_rule_says_yes_or_no_and_what_happens_can_be_followed(
    name: str, data: st.DataObject
) -> None:
    context = CONTEXTS[name]
    state, held = context.initial, frozenset[Claim]()
    for command, told in data.draw(st.lists(wishes(context), max_size=6)):
        for event in decided(context, command, state, told):
            hypothesis.event(type(event).__name__)
            assert isinstance(event, context.events)
            state = context.evolve(state, event)
        new = context.claims(state) - held
        assert new <= set(context.may_claim(command, told)), "a claim is taken that was not loaded"
        held = context.claims(state)


@pytest.mark.parametrize("name", CONTEXTS)
@given(data=st.data())
def test_the_same_wish_in_the_same_state_has_the_same_answer(name: str, data: st.DataObject) -> None:
    context = CONTEXTS[name]
    state = context.initial
    for command, told in data.draw(st.lists(wishes(context), max_size=4)):
        events = decided(context, command, state, told)
        assert decided(context, command, state, told) == events
        for event in events:
            state = context.evolve(state, event)


@pytest.mark.parametrize("name", CONTEXTS)
@given(data=st.data())
def test_an_event_that_the_code_does_not_know_changes_nothing(name: str, data: st.DataObject) -> None:
    context = CONTEXTS[name]
    state = context.initial
    for command, told in data.draw(st.lists(wishes(context), max_size=3)):
        for event in decided(context, command, state, told):
            state = context.evolve(state, event)
        assert context.evolve(state, SomethingUnheard()) == state
