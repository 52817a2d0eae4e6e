"""The command `daybook`: a door like HTTP, for people at a terminal and for scripts."""

import logging
import sys
from importlib import import_module

import click

from common.config import ConfigError
from common.servers.files import CannotStart

# Each command is loaded when it is called: name -> where it is, what it does.
COMMANDS = {
    "up": ("gateway.cli.up:up", "Start everything on this machine and stay until Ctrl-C."),
    "status": ("gateway.cli.status:status", "Say which parts answer, and how durable the servers are set."),
    "lag": ("gateway.cli.lag:lag", "Show how far behind each read model is, live."),
    "replay": ("gateway.cli.replay:replay", "Play real baskets of a grocer's year through the system."),
    "simulate": ("gateway.cli.simulate:simulate", "Be the warehouse and the couriers: dispatch and deliver."),
    "send": ("gateway.cli.talk:send", "Send a command over NATS and show its receipt."),
    "ask": ("gateway.cli.talk:ask", "Ask a query over NATS and show the answer."),
    "follow": ("gateway.cli.follow:follow", "Show what became of an order, hop by hop, as it goes on."),
    "watch": ("gateway.cli.talk:watch", "Show where an order stands, as it changes; or receipts."),
    "rebuild": ("gateway.cli.rebuild:rebuild", "Build a read model's table anew, beside the one that serves."),
    "erase": ("gateway.cli.erase:erase", "Destroy the key of a customer's personal data, for good."),
    "glossary": ("gateway.cli.glossary:glossary", "Say what each word of the system means, from the code."),
    "key": ("gateway.cli.key:key", "Print a principal's API key, or its NATS password."),
    "prepare": ("gateway.cli.prepare:prepare", "Make keys, passwords and the NATS configuration (separate servers)."),
    "provision": ("gateway.cli.prepare:provision", "Make schemas, streams and buckets (separate servers)."),
}


class Lazy(click.Group):
    """A group that imports a command's module only when the command is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def daybook() -> None:
    """Daybook: an e-commerce backend that records every change and says how fresh every answer is.

    \b
    First:          daybook up --play 100
    Then, beside:   daybook status
                    daybook ask ListOrders '{"limit": 1}'

    Settings come from the environment: DAYBOOK_DATA (the data folder), DAYBOOK_HTTP_PORT, DAYBOOK_NATS_PORT; and for
    servers of your own DAYBOOK_NATS_URL, DAYBOOK_WRITE_DSN, DAYBOOK_READ_DSN.
    """


def main() -> None:
    """Run the command. What the user can put right is one line on standard error and exit code 1."""
    logging.getLogger("common").addHandler(logging.NullHandler())  # What a connection mutters is in the one line.
    try:
        daybook(prog_name="daybook")
    except (ConfigError, CannotStart) as error:
        click.echo(f"daybook: {error}", err=True)
        sys.exit(1)
