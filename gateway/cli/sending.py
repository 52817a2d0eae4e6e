"""Sending many commands through one door, each until it is known to be stored: its id makes repeating harmless."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Generic, TypeVar

import click
from msgspec import Struct

from common.bus.denials import NotPermitted
from common.bus.outgoing import OutcomeUnknown, StreamFull
from common.client import Client, body_of
from common.codec import command_key
from common.messages import Command, context_of
from gateway.cli.keepalive import KeepAlive, Reply

PRINCIPAL = "replay"
CONCURRENT = {"http": 64, "nats": 256}
PATIENCE_S = 60.0
"""How long nothing may move before we give up."""
AGAIN = (429, 503, 504)

Asked = TypeVar("Asked", bound=Command)


class Wish(Struct, Generic[Asked], frozen=True):
    """A command, and the id that makes sending it twice harmless."""

    command_id: str
    command: Asked


Send = Callable[[Wish[Any]], Awaitable[None]]


class NotNow(Exception):
    """The gateway asks to come again later."""


def posting(http: KeepAlive) -> Send:
    """Through the door for HTTP."""

    async def post(wish: Wish[Any]) -> None:
        headers = f"Idempotency-Key: {wish.command_id}\r\n"
        checked(await http.post(path_of(wish.command), body_of(wish.command), headers))

    return post


def publishing(daybook: Client) -> Send:
    """Over NATS. Nobody waits for these receipts, so no hash is made that would tell them from others."""

    async def publish(wish: Wish[Any]) -> None:
        kind = type(wish.command)
        context, key = context_of(kind), command_key(wish.command)
        await daybook.send_named(context, kind.__name__, key, body_of(wish.command), wish.command_id)

    return publish


async def send_all(wishes: AsyncIterator[Wish[Any]], send: Send, via: str, stored: Callable[[Wish[Any]], None]) -> None:
    """Sends from one iterator, in its order and by many at a time; `stored` hears of each that is.

    Raises `click.ClickException` when nothing is taken for long, or one is refused.
    """
    in_turn = asyncio.Lock()

    async def some() -> None:
        while wish := await _next(wishes, in_turn):
            await _insist(wish, send)
            stored(wish)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONCURRENT[via]):
                group.create_task(some())
    except* click.ClickException as troubles:
        raise troubles.exceptions[0] from None


async def _next(wishes: AsyncIterator[Wish[Any]], in_turn: asyncio.Lock) -> Wish[Any] | None:
    async with in_turn:
        return await anext(wishes, None)


async def each_of(wishes: Iterable[Wish[Any]]) -> AsyncIterator[Wish[Any]]:
    """What is there already, one after the other."""
    for wish in wishes:
        yield wish


async def _insist(wish: Wish[Any], send: Send) -> None:
    deadline, pause = time.monotonic() + PATIENCE_S, 0.1
    while True:
        try:
            return await send(wish)
        except NotPermitted as error:
            raise _lacking(str(error)) from None
        except (OSError, OutcomeUnknown, StreamFull, NotNow) as error:
            if time.monotonic() > deadline:
                raise click.ClickException(f"nothing is taken for {PATIENCE_S:.0f} s: {error}") from None
        await asyncio.sleep(pause)
        pause = min(2 * pause, 2.0)


def path_of(command: Command) -> str:
    """Where this very command is posted: what is posted to a collection, to its own place in it."""
    declared, key = command.declared, command_key(command)
    return declared.post.format(**{declared.key: key}) if "{" in declared.post else f"{declared.post}/{key}"


def checked(reply: Reply) -> None:
    """Raises `NotNow` when it was not taken now, and `click.ClickException` when it never will be."""
    if reply.status == 202:
        return
    text = reply.body.decode(errors="replace")[:300]
    if reply.status in AGAIN:
        raise NotNow(text)
    if reply.status == 403:
        raise _lacking(text)
    raise click.ClickException(f"the gateway answers {reply.status}: {text}")


def _lacking(text: str) -> click.ClickException:
    """Data folders from before the other contexts gave it fewer roles."""
    return click.ClickException(
        f"{text}\n`daybook key {PRINCIPAL} --add` gives {PRINCIPAL} the roles it lacks, from the next start on"
    )
