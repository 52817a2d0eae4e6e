"""The four words: a `CommandDispatcher` sends a command to its `CommandHandler`, a `QueryDispatcher` a query to its
`QueryHandler`."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from common.context import Context, Known
from common.messages import Command, Event, Query

QueryHandler = Callable[[Any, Any], Awaitable[Any]]
"""Answers one type of query: `async (query, connection) -> answer`, or None when there is nothing of that name."""


Seal = Callable[[Event], Event]
"""Seals the personal data of an event before anything is made of it: so that no state holds it open."""


class CommandHandler(Struct, frozen=True):
    """Decides one type of command by its context's rules."""

    context: Context

    def __call__(self, command: Command, state: Any, known: Known, seal: Seal) -> tuple[Sequence[Event], Any]:
        """The new events, sealed, and the state after them. Raises `Rejected` when a rule says no."""
        events = [seal(event) for event in self.context.decide(command, state, known)]
        for event in events:
            state = self.context.evolve(state, event)
        return events, state


class CommandDispatcher:
    """Knows which handler decides which command."""

    def __init__(self, contexts: Iterable[Context]) -> None:
        self._handlers = {command: CommandHandler(context) for context in contexts for command in context.commands}

    def dispatch(self, command: Command, state: Any, known: Known, seal: Seal) -> tuple[Sequence[Event], Any]:
        """The events of a command and the state after them. Raises `Rejected`, and what `seal` raises."""
        return self._handlers[type(command)](command, state, known, seal)


class QueryDispatcher:
    """Knows which handler answers which query."""

    def __init__(self, handlers: Mapping[type[Query], QueryHandler]) -> None:
        self._handlers = dict(handlers)

    @property
    def queries(self) -> tuple[type[Query], ...]:
        return tuple(self._handlers)

    async def dispatch(self, query: Query, connection: Any) -> Any:
        return await self._handlers[type(query)](query, connection)
