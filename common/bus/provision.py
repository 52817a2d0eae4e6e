"""The streams: made where they are missing, brought up to date where they may be, refused where they may not."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client

from common.bus.api import INVALID_JSON, STREAM_NOT_FOUND, ApiError, ask_jetstream
from common.bus.outgoing import MAX_MESSAGE
from common.servers.accounts import BUCKETS, EVERYBODYS, OURS
from common.subjects import PARTITIONS

COMMANDS = "COMMANDS"
GIB = 1024**3
EVENTS_BYTES = 16 * 1024**2
"""What of a context's record lies on the bus: nats-server has each subject in memory, and here each stream of an
aggregate is one. What a reader lacks that was away for longer, it reads from the store."""
SECOND = 1_000_000_000
FIXED = ("storage", "retention", "persist_mode", "deny_delete", "deny_purge", "subject_transform", "metadata")
"""What cannot be changed, or not without losing what a stream promises."""
OPERATORS = ("max_bytes",)
"""What is set when a stream is made and is the operator's from then on."""


class ProvisionError(Exception):
    """The bus cannot be made what the program needs; the text is one clear line."""


def events_stream(context: str) -> str:
    """The stream that a context's events are relayed to."""
    return f"EVENTS_{context}"


def commands_config(contexts: Sequence[str]) -> dict[str, Any]:
    """The stream of all commands, in partitions by key.

    A command whose subject is no plain five tokens (a key `*`, six tokens) skips the transform and stays under
    `command.`, where the stray consumers look (protocol P4). It keeps no history: settled commands are purged.
    """
    transform = f"work.{{{{wildcard(2)}}}}.{{{{partition({PARTITIONS},3)}}}}." + ".".join(
        f"{{{{wildcard({token})}}}}" for token in (1, 3, 4)
    )
    return {
        "name": COMMANDS,
        "subjects": [f"command.*.{context}.>" for context in sorted(contexts)],
        "subject_transform": {"src": "command.*.*.*.*", "dest": transform},
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_bytes": GIB,
        "max_msg_size": MAX_MESSAGE,
        "allow_atomic": True,
        "duplicate_window": 120 * SECOND,
        "metadata": {"partitions": str(PARTITIONS)},
    }


def events_config(context: str) -> dict[str, Any]:
    """A copy of a context's record, which Postgres can rebuild: so it need not be on the disk when it is acked."""
    return {
        "name": events_stream(context),
        "subjects": [f"event.{context}.>"],
        "storage": "file",
        "retention": "limits",
        "persist_mode": "async",
        "discard": "old",
        "max_bytes": EVENTS_BYTES,
        "duplicate_window": SECOND,  # The relay's message ids chain a batch and are never used again.
        "deny_delete": True,
        "deny_purge": True,
    }


async def provision_streams(nc: Client, contexts: Sequence[str], buckets: Sequence[dict[str, Any]] = ()) -> list[str]:
    """Make or update the streams of contexts, and those behind buckets, as user `admin`. Returns which it touched.

    Repeatable, and safe when several do it at once. Raises `ProvisionError`.
    """
    wanted = [commands_config(contexts), *(events_config(context) for context in contexts), *buckets]
    with in_one_line():
        await require_strict(nc)
        return [config["name"] for config in wanted if await provision_stream(nc, config)]


@contextmanager
def in_one_line() -> Iterator[None]:
    """Raises `ProvisionError` for whatever JetStream has against what is asked."""
    try:
        yield
    except ApiError as error:
        raise ProvisionError(f"nats-server refuses a stream: {error}; Daybook needs version 2.12 or later") from None
    except nats.errors.Error as error:
        raise ProvisionError(f"JetStream does not answer: {error or type(error).__name__}") from None


async def require_strict(nc: Client) -> None:
    """Raises `ProvisionError` when the server overlooks unknown fields in requests.

    Who has a user in our account and may publish one command may name `$JS.API.STREAM.PURGE.COMMANDS` as its reply
    subject. The server sends its acknowledgement there, `{"stream": ..., "seq": n}`; overlooking `stream`, it would
    purge all that came before n.
    """
    try:
        await ask_jetstream(nc, "STREAM.NAMES", {"seq": 1})
    except ApiError as error:
        if error.code != INVALID_JSON:
            raise
    else:
        raise ProvisionError(
            "nats-server overlooks unknown fields in JetStream requests, so that any user could purge commands; "
            "set `strict: true` in its jetstream block"
        )


async def require_accounts(nc: Client) -> None:
    """Raises `ProvisionError` when our users are where everybody is: there a forged reply subject deletes a stream."""
    try:
        told = await nc.request("$SYS.REQ.USER.INFO", b"", timeout=5)
    except nats.errors.Error as error:
        raise ProvisionError(f"nats-server does not answer: {error or type(error).__name__}") from None
    if msgspec.json.decode(told.data)["data"]["account"] == EVERYBODYS:
        raise ProvisionError(
            "nats-server has no accounts, so that any user could delete a stream; `daybook prepare` writes its "
            f"configuration, and jetstream/{EVERYBODYS} in its store has to be renamed to jetstream/{OURS}"
        )


async def require_apart(nc: Client, buckets: Sequence[str]) -> None:
    """Raises `ProvisionError` when the streams of buckets lie in our account: who watches one could delete another
    stream, and what is put would be stored there too."""
    for stream in buckets:
        question = {"subject": f"$KV.{stream.removeprefix('KV_')}.>"}
        with in_one_line():
            there = (await ask_jetstream(nc, "STREAM.NAMES", question))["streams"]
        if there:
            raise ProvisionError(
                f"the stream {there[0]} lies in the account {OURS} of nats-server, so that who watches it could delete "
                f"another; `daybook prepare` writes the configuration, and jetstream/{OURS}/streams/{there[0]} in the "
                f"store has to be moved to jetstream/{BUCKETS}/streams while the server is stopped"
            )


async def provision_stream(nc: Client, wanted: dict[str, Any]) -> bool:
    """Whether the stream had to be made or changed."""
    name = wanted["name"]
    try:
        found = (await ask_jetstream(nc, f"STREAM.INFO.{name}", {}))["config"]
    except ApiError as error:
        if error.code != STREAM_NOT_FOUND:
            raise
        await ask_jetstream(nc, f"STREAM.CREATE.{name}", wanted)
        return True
    present = {**found, "metadata": {key: found.get("metadata", {}).get(key) for key in wanted.get("metadata", {})}}
    drift = {key for key, value in wanted.items() if key not in OPERATORS and (present.get(key) or {}) != (value or {})}
    for key in sorted(drift):
        if key in FIXED:
            raise ProvisionError(
                f"stream {name} has {key} {present.get(key)!r} and this program needs {wanted[key]!r}, "
                "which cannot be changed: keys would move or promises break; use another data folder or server"
            )
    if drift:
        await ask_jetstream(nc, f"STREAM.UPDATE.{name}", {**found, **{key: wanted[key] for key in drift}})
    return bool(drift)
