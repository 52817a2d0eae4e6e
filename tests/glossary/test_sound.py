"""What the glossary says of Daybook's own contexts is compared with what their rules do when they are run."""

import ast
import re
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from common.context import Context
from common.discovery import contexts, read_models
from common.glossary import gather
from common.glossary.anywhere import REFUSALS
from common.glossary.gather import full, gathered
from common.messages import Command, Event, Rejected
from common.shell.decisions import ID_USED
from tests import strategies
from tests.test_rules import wishes

CONTEXTS = contexts()
GLOSSARY = gathered(CONTEXTS.values(), read_models().values())
COMMANDS = {f"{context.name}.{each.name}": each for context in GLOSSARY.contexts for each in context.commands}
REACTIONS = {(name, event): asked for name, each in CONTEXTS.items() for event, asked in gather.reactions(each)}
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("name", CONTEXTS)
@settings(max_examples=25)
@given(data=st.data())
def test_no_command_leads_to_an_event_or_is_refused_by_a_rule_that_the_glossary_does_not_name(
    name: str, data: st.DataObject
) -> None:
    context = CONTEXTS[name]
    state = context.initial
    for command, told in data.draw(st.lists(wishes(context), max_size=6)):
        term = COMMANDS[full(type(command))]
        try:
            events = context.decide(command, state, told)
        except Rejected as rejected:
            assert rejected.code in term.refusals
            continue
        for event in events:
            assert full(type(event)) in term.events
            state = context.evolve(state, event)
        if context.may_claim(command, told):
            assert context.claimed in term.refusals


def texts_of(context: Context) -> set[str]:
    """Every text in a context's source that has the form of a code."""
    code = re.compile(rf"{context.name}\.[a-z]+(-[a-z]+)*")
    nodes = [
        node
        for path in (ROOT / "contexts" / context.name).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
    ]
    return {
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and code.fullmatch(node.value)
    }


@pytest.mark.parametrize("name", CONTEXTS)
def test_every_rule_in_the_source_refuses_some_command(name: str) -> None:
    named = {code for key, term in COMMANDS.items() if key.startswith(f"{name}.") for code in term.refusals}
    assert texts_of(CONTEXTS[name]) == named


def test_the_refusals_of_any_command_are_those_of_the_kernels_source() -> None:
    nodes = [node for path in (ROOT / "common").rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    coded = [call.args[0] for call in calls if getattr(call.func, "id", "") == "Rejected"]
    codes = {code.value for code in coded if isinstance(code, ast.Constant)}
    assert codes | {ID_USED} == REFUSALS.keys()


def asked_by(context: Context, event: type[Event]) -> st.SearchStrategy[set[type[Command]]]:
    """What a context asks because of some event of this type. Texts in it may be those that its code looks for."""
    return strategies.messages(event).map(lambda drawn: {type(each) for each in context.reactions[event]("s1", drawn)})


@pytest.mark.parametrize(("name", "event"), REACTIONS)
@settings(max_examples=20)
@given(data=st.data())
def test_no_reaction_asks_what_the_glossary_does_not_name(name: str, event: type[Event], data: st.DataObject) -> None:
    assert data.draw(asked_by(CONTEXTS[name], event)) <= set(REACTIONS[name, event])


@pytest.mark.parametrize(("name", "event"), REACTIONS)
def test_every_command_that_a_reaction_is_said_to_ask_is_asked(name: str, event: type[Event]) -> None:
    missing = set(REACTIONS[name, event])
    assert missing, "it asks for nothing"

    @settings(max_examples=50, database=None)
    @given(asked_by(CONTEXTS[name], event))
    def look(asked: set[type[Command]]) -> None:
        missing.difference_update(asked)

    look()
    assert not missing


@pytest.mark.parametrize("name", CONTEXTS)
@settings(max_examples=50)
@given(data=st.data())
def test_deadlines_are_set_and_ended_by_the_events_that_the_glossary_names(name: str, data: st.DataObject) -> None:
    context = CONTEXTS[name]
    term = next(each for each in GLOSSARY.contexts if each.name == name)
    event = data.draw(st.one_of([strategies.messages(each) for each in context.events]))
    terms = {each.name: each for each in term.deadlines}
    named = {name for name, each in terms.items() if full(type(event)) in (*each.set_by, *each.ended_by)}
    found: dict[str, Any] = {deadline.name: deadline.within for deadline in context.deadlines(event)}
    assert found.keys() == named
    for deadline, within in found.items():
        assert full(type(event)) in (terms[deadline].ended_by if within is None else terms[deadline].set_by)
        assert within is None or within.total_seconds() == terms[deadline].within_s
