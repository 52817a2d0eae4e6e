"""Sending many commands through one door, each until it is known to be stored: its id makes repeating harmless."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import click
from msgspec import Struct

from common.bus.denials import NotPermitted
from common.bus.outgoing import OutcomeUnknown, StreamFull
from common.client import body_of, connect
from common.codec import command_key
from common.config import Settings
from common.messages import Command
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


@asynccontextmanager
async def sender(settings: Settings, via: str, http: KeepAlive) -> AsyncIterator[Send]:
    """How to send a command by the chosen door."""
    if via == "http":

        async def post(wish: Wish[Any]) -> None:
            headers = f"Idempotency-Key: {wish.command_id}\r\n"
            checked(await http.post(path_of(wish.command), body_of(wish.command), headers))

        yield post
        return
    async with connect(settings.nats_url, PRINCIPAL, settings.password(PRINCIPAL)) as daybook:

        async def publish(wish: Wish[Any]) -> None:
            await daybook.send(wish.command, command_id=wish.command_id)

        yield publish


async def send_all(
    wishes: Iterator[Wish[Any]], send: Send, via: str, advance: Callable[[], None], rate: float = 0.0
) -> int:
    """Sends from one iterator by many at a time, at most `rate` a second in all; how many there were.

    Raises `click.ClickException` when nothing is taken for long, or one is refused.
    """
    begun, number = time.monotonic(), 0

    async def some() -> None:
        nonlocal number
        for wish in wishes:
            number += 1
            if rate and (early := begun + number / rate - time.monotonic()) > 0:
                await asyncio.sleep(early)
            await _insist(wish, send)
            advance()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONCURRENT[via]):
                group.create_task(some())
    except* click.ClickException as troubles:
        raise troubles.exceptions[0] from None
    return number


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
