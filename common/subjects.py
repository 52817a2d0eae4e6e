"""The grammar of subjects (design section 11). Tokens are refused, never escaped, when they hold other characters."""

import re

from msgspec import Struct

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
PARTITIONS = 16
STRAY = "stray"
APART = "_R_."
"""How the server calls, in our account, the reply subjects of those who have another: it alone knows what they are."""
ERASED = "erased"
"""Where it is told that somebody was erased, and not who: whoever has keys at hand forgets them all."""


class CommandSubject(Struct, frozen=True, gc=False):
    """Who asks which context to do what to which key; `partition` as the server has assigned it, or `stray`."""

    partition: str
    principal: str
    context: str
    key: str
    type: str


def is_token(text: str) -> bool:
    return TOKEN.fullmatch(text) is not None


def command_subject(principal: str, context: str, key: str, type_name: str) -> str:
    """Where a command is published."""
    return f"command.{principal}.{context}.{key}.{type_name}"


def event_subject(context: str, type_name: str, stream: str) -> str:
    return f"event.{context}.{type_name}.{stream}"


def query_subject(principal: str, type_name: str) -> str:
    return f"query.{principal}.{type_name}"


def receipt_subject(principal: str, context: str, command_id: str) -> str:
    return f"receipt.{principal}.{context}.{command_id}"


def partition_of(subject: str) -> str:
    """The partition of a stored command, or `stray`: what `parse_work` says, without reading the rest."""
    tokens = subject.split(".")
    return tokens[2] if len(tokens) == 6 and tokens[0] == "work" else STRAY


def parse_work(subject: str) -> CommandSubject:
    """Reads the subject of a stored command: `work...` after the server's transform, `command...` for a stray.

    A stray may have any number of tokens; what is missing is empty.
    """
    root, *tokens = subject.split(".")
    if root == "work" and len(tokens) == 5:
        context, partition, principal, key, type_name = tokens
        return CommandSubject(partition, principal, context, key, type_name)
    padded = [*tokens, "", "", "", ""]
    return CommandSubject(STRAY, padded[0], padded[1], padded[2], ".".join(tokens[3:]))
