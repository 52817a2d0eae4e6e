"""Erasing a person: the key is destroyed, and nothing that was sealed under it opens any more, wherever it rests.

The record stays as it is: every fold goes on, and only what was personal in it is gone. What remains is what names
nobody to who does not know already: the customer's id, the times and amounts of orders, the fingerprint of an e-mail.

Two places hold more than seals for a while. A command lies in nats-server as it was sent until it is decided, and its
bytes stay in the stream's file after that, until the server drops the file: `swept` makes it do so. The key's own
bytes stay in Postgres' write-ahead log until that is overwritten, and in backups of the keys as long as those are kept.
"""

import asyncio
from contextlib import suppress
from datetime import datetime
from time import monotonic

import asyncpg
from msgspec import Struct
from nats.aio.client import Client

from common.bus.api import ask_jetstream
from common.bus.provision import COMMANDS
from common.recorded import VERSION, VERSION_HEADER
from common.subjects import ERASED

ASK_AGAIN_S = 0.25
FILLER, FILLERS = bytes(60_000), 150
"""More than fits into a file of nats-server, which has 8 MiB at most."""

FIND = "SELECT made_at, destroyed_at FROM keys.personal_keys WHERE person = $1"
DESTROY = """UPDATE keys.personal_keys SET key = NULL, destroyed_at = coalesce(destroyed_at, clock_timestamp())
    WHERE person = $1 RETURNING made_at, destroyed_at"""
REWRITE = "VACUUM (FULL) keys.personal_keys"
"""An update leaves the old row's bytes in the table's file; written anew, the file holds what is there now."""


class Person(Struct, frozen=True):
    """What is known of a person's key: when it was made, and when it was destroyed."""

    made_at: datetime
    destroyed_at: datetime | None


class MayNotErase(Exception):
    """The login has no right to destroy keys; the text is one clear line."""


async def find(dsn: str, person: str) -> Person | None:
    """None when nothing personal was ever recorded of anybody of this id. Raises as `destroy_key`."""
    return await _asked(dsn, FIND, person)


async def destroy_key(dsn: str, person: str) -> Person | None:
    """Destroys the person's key; again, it changes nothing. None as `find`.

    Raises `MayNotErase`, and connection errors. The file of the keys is written anew, unless others are in its way.
    """
    return await _asked(dsn, DESTROY, person, REWRITE)


async def _asked(dsn: str, question: str, person: str, then: str = "") -> Person | None:
    connection = await asyncpg.connect(dsn, timeout=5, command_timeout=60)
    try:
        await connection.execute("SET ROLE daybook_owner; SET lock_timeout = '5s'")
        row = await connection.fetchrow(question, person)
        if row and then:
            with suppress(asyncpg.LockNotAvailableError):
                await connection.execute(then)
        return Person(*row) if row else None
    except (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError) as error:
        raise MayNotErase(f"the login of DAYBOOK_KEYS_DSN may not destroy keys: {error}") from None
    finally:
        await connection.close(timeout=5)


async def tell(nc: Client) -> None:
    """Tells all who have keys at hand. Who does not hear it forgets them within a minute."""
    await nc.publish(ERASED, b"", headers={VERSION_HEADER: VERSION})
    await nc.flush(timeout=5)


async def swept(nc: Client, context: str, within_s: float) -> bool:
    """Removes the bytes of all commands sent so far from nats-server's files, once they are decided and purged.

    False when some are still undecided after so many seconds. Raises nats-py's errors and `ApiError`. `context` is any.

    The server drops a file when all in it is purged, but not always the last one, to which it writes. So that one is
    filled up with messages that mean nothing; they lack our header, and their worker drops them.
    """
    deadline = monotonic() + within_s
    filling = (nc.jetstream().publish(f"command.admin.{context}.sweep", FILLER) for _ in range(FILLERS))
    last = max(ack.seq for ack in await asyncio.gather(*filling))
    while (state := await _state(nc))["messages"] and state["first_seq"] <= last:
        if monotonic() > deadline:
            return False
        await asyncio.sleep(ASK_AGAIN_S)
    # At the last sequence and no further: beyond it, this would take along a command that comes in at that very moment.
    await ask_jetstream(nc, f"STREAM.PURGE.{COMMANDS}", {"seq": min(state["first_seq"], state["last_seq"])})
    return True


async def _state(nc: Client) -> dict[str, int]:
    state: dict[str, int] = (await ask_jetstream(nc, f"STREAM.INFO.{COMMANDS}", {}))["state"]
    return state
