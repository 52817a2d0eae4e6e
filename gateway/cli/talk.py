"""`daybook send`, `ask` and `watch`: plain NATS from a terminal, with nothing but the system's own words."""

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from common.bus.denials import NotPermitted
from common.bus.outgoing import OutcomeUnknown, Refused, StreamFull, TooLarge
from common.client import Client, connect
from common.config import Settings
from common.questions import NoAnswer, QueryRefused
from common.recorded import Receipt
from common.shell.until import awaited_values
from projectors.order_status import MODEL, GetOrderStatus

TROUBLE = (NoAnswer, NotPermitted, QueryRefused, OutcomeUnknown, Refused, StreamFull, TooLarge, OSError, ValueError)
COLOURS = {"accepted": "green", "rejected": "red", "parked": "yellow", "undecided": "yellow"}

asker = click.option(
    "--as", "principal", default="storefront", show_default=True, metavar="NAME",
    help="The principal; its password is in the credentials file.",
)  # fmt: skip
as_json = click.option("--json", "plain", is_flag=True, help="Print JSON, one value a line.")


@click.command()
@click.argument("context")
@click.argument("command")
@click.argument("key")
@click.argument("body", default="{}")
@click.option("--id", "command_id", default="", help="The command's id: sending it again changes nothing.")
@click.option("--wait", default=5.0, show_default=True, metavar="SECONDS", help="Wait for the receipt; 0 does not.")
@click.option("--expect", default=None, type=click.IntRange(0), help="The version that the stream must have.")
@asker
@as_json
def send(
    context: str, command: str, key: str, body: str, command_id: str, wait: float, expect: int | None,
    principal: str, plain: bool,
) -> None:  # fmt: skip
    """Send a command over NATS and show its receipt.

    BODY is JSON, or `-` to read it from standard input. Exit code 1 means that it was not accepted.

    \b
    daybook send order CancelOrder 4711 '{"reason": "changed my mind"}'
    """
    run_to_the_end(_send(context, command, key, _json(body), command_id, wait, expect, principal, plain))


async def _send(
    context: str, command: str, key: str, body: bytes, command_id: str, wait: float, expect: int | None,
    principal: str, plain: bool,
) -> None:  # fmt: skip
    async with client_of(principal) as daybook:
        sent = await daybook.send_named(context, command, key, body, command_id, expect)
        receipt = Receipt(
            context=context, command_id=sent.command_id, principal=principal, state="undecided", type=command, key=key
        )
        if wait > 0:
            try:
                receipt = await daybook.wait(sent, wait)
            except TimeoutError:
                Console(stderr=True).print(f"Stored, but not decided within {wait:g} s.", style="yellow")
        _show_receipt(receipt, plain)
        if wait > 0 and receipt.state != "accepted":
            sys.exit(1)


@click.command()
@click.argument("query")
@click.argument("fields", default="{}")
@click.option("--wait", default=5.0, show_default=True, metavar="SECONDS", help="How long to wait for an answer.")
@asker
@as_json
def ask(query: str, fields: str, wait: float, principal: str, plain: bool) -> None:
    """Ask a query over NATS and show the answer.

    \b
    daybook ask GetOrder '{"order_id": "4711"}'
    daybook ask OrderHistory '{"stream": "4711"}'
    """
    run_to_the_end(_ask(query, msgspec.json.decode(_json(fields)), wait, principal, plain))


async def _ask(query: str, fields: Any, wait: float, principal: str, plain: bool) -> None:
    async with client_of(principal) as daybook:
        answer = await daybook.ask_named(query, fields, wait)
    if plain:
        click.echo(msgspec.json.encode(answer))
    else:
        Console().print_json(msgspec.json.encode(answer).decode())


@click.command()
@click.argument("order", default="")
@click.option("--count", default=0, type=click.IntRange(0), metavar="N", help="Stop after so many; 0 goes on.")
@click.option("--until", multiple=True, metavar="STATE", help="Stop when the order is in this state, or one of these.")
@asker
@as_json
def watch(order: str, count: int, until: tuple[str, ...], principal: str, plain: bool) -> None:
    """Show where an ORDER stands, now and as it changes; without one, a principal's receipts. Until Ctrl-C.

    \b
    daybook watch 4711 --until delivered --until cancelled
    """
    run_to_the_end(_watch_order(order, count, until, principal, plain) if order else _watch(count, principal, plain))


async def _watch_order(order: str, count: int, until: tuple[str, ...], principal: str, plain: bool) -> None:
    known = awaited_values(GetOrderStatus)
    if odd := [state for state in until if state not in known]:
        raise click.ClickException(f"{odd[0]!r} is no state of an order; there are {', '.join(sorted(known))}")
    async with client_of(principal) as daybook, daybook.watch_key(MODEL.name, order) as values:
        seen = 0
        async for value in values:
            _show_status(value, plain)
            seen += 1
            if seen == count or value["state"] in until:
                return


async def _watch(count: int, principal: str, plain: bool) -> None:
    async with client_of(principal) as daybook, daybook.watch() as receipts:
        if not plain:
            Console(stderr=True).print(f"Watching the receipts of {principal}. Ctrl-C stops.", style="dim")
        seen = 0
        async for receipt in receipts:
            _show_line(receipt, plain)
            seen += 1
            if seen == count:
                return


@asynccontextmanager
async def client_of(principal: str) -> AsyncIterator[Client]:
    """The principal's connection to the system that the settings mean."""
    settings = Settings.from_env()
    if not settings.nats_url:
        raise click.ClickException("DAYBOOK_NATS_URL is not set, and nothing runs on this data folder: `daybook up`")
    async with connect(settings.nats_url, principal, settings.password(principal)) as daybook:
        yield daybook


def run_to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Runs it; what can go wrong outside of us is one line."""
    try:
        asyncio.run(work)
    except TROUBLE as error:
        raise click.ClickException(str(error) or type(error).__name__) from None
    except KeyboardInterrupt:
        sys.exit(130)


def _json(text: str) -> bytes:
    """The text, or standard input for `-`, once it is known to be JSON: a slip of the keyboard is no command."""
    data = sys.stdin.buffer.read() if text == "-" else text.encode()
    try:
        msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise click.ClickException(f"this is not JSON ({error}): {data.decode(errors='replace')[:80]}") from None
    return data


def _show_receipt(receipt: Receipt, plain: bool) -> None:
    if plain:
        click.echo(msgspec.json.encode(receipt))
        return
    table = Table.grid(padding=(0, 2))
    table.add_row("state", f"[bold {COLOURS[receipt.state]}]{receipt.state}[/]")
    for name in ("code", "message", "context", "type", "key", "version", "position", "events", "command_id"):
        if value := getattr(receipt, name):
            table.add_row(name, str(value))
    if receipt.detail:
        table.add_row("detail", msgspec.json.encode(receipt.detail).decode())
    Console().print(table)


def _show_status(value: dict[str, Any], plain: bool) -> None:
    if plain:
        click.echo(msgspec.json.encode(value))
        return
    why = f"{value.get('cause', '')} {value.get('reason', '')}".strip()
    Console().print(f"[bold]{value['state']:<10}[/] {value['at']} {why}", highlight=False)


def _show_line(receipt: Receipt, plain: bool) -> None:
    if plain:
        click.echo(msgspec.json.encode(receipt))
        return
    state = f"[{COLOURS[receipt.state]}]{receipt.state:<9}[/]"
    Console().print(f"{state} {receipt.context}.{receipt.type} {receipt.key} {receipt.code}", highlight=False)
