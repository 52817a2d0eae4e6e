"""The vault: one key for each person, made on first use; events are sealed with it before they are recorded.

And one secret for all, also made on first use, under which fingerprints are taken: what claims hold of personal data.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from common.codec import personal_fields
from common.context import no_fingerprint
from common.messages import Event, Rejected
from common.personal import Personal, fingerprint, new_key, seal, seal_bytes, unseal
from common.recorded import VERSION, VERSION_HEADER
from common.subjects import ERASED

CACHED_S = 60.0
"""Seconds for which a key is remembered, so that a destroyed one is soon forgotten everywhere."""
MOST_CACHED = 10_000

MAKE = (
    "INSERT INTO keys.personal_keys (person, key) SELECT unnest($1::text[]), unnest($2::bytea[]) ON CONFLICT DO NOTHING"
)
FIND = "SELECT person, key FROM keys.personal_keys WHERE person = ANY($1::text[])"
MAKE_SECRET = "INSERT INTO keys.secrets (name, secret) VALUES ('fingerprints', $1) ON CONFLICT DO NOTHING"
FIND_SECRET = "SELECT secret FROM keys.secrets WHERE name = 'fingerprints'"


class MissingKey(Exception):
    """This person has no key yet: one is to be made, and the batch decided again."""

    def __init__(self, person: str) -> None:
        super().__init__(person)
        self.person = person


class Keys:
    """The keys at hand for one batch, None for a destroyed one; and how fingerprints are taken."""

    def __init__(
        self,
        keys: Mapping[str, bytes | None],
        fields: Mapping[type[Event], tuple[str, ...]],
        fingerprint: Callable[[str], str] = no_fingerprint,
    ) -> None:
        self._keys, self._fields, self.fingerprint = keys, fields, fingerprint

    def seal(self, event: Event) -> Event:
        """The event with its personal data sealed. Raises `MissingKey`, and `Rejected` for a person who was erased."""
        names = self._fields.get(type(event))
        if not names:
            return event
        return msgspec.structs.replace(event, **{name: self._sealed(getattr(event, name)) for name in names})

    def _sealed(self, personal: Personal | None) -> Personal | None:
        if personal is None or personal.sealed:
            return personal
        if (key := self._key(personal.person)) is None:
            raise Rejected("person-erased", "the data of this person has been erased and none is taken any more")
        return seal(personal, key)

    def seal_bytes(self, person: str, plain: bytes) -> str:
        """Sealed bytes as text; of a person who has been erased nothing is kept. Raises `MissingKey`."""
        key = self._key(person)
        return seal_bytes(key, person, plain) if key else ""

    def _key(self, person: str) -> bytes | None:
        if person not in self._keys:
            raise MissingKey(person)
        return self._keys[person]


class Vault:
    """The keys of persons, in a database that holds nothing else about them."""

    def __init__(self, pool: Any, events: Iterable[type[Event]]) -> None:
        self._pool = pool
        self._fields = {event: names for event in events if (names := personal_fields(event))}
        self._cache: OrderedDict[str, tuple[float, bytes | None]] = OrderedDict()
        self._fingerprint: Callable[[str], str] = no_fingerprint
        self._erasures = 0

    async def fingerprint(self) -> Callable[[str], str]:
        """How fingerprints are taken, once the secret is known; a context that holds nothing personal needs none."""
        if self._fields and self._fingerprint is no_fingerprint:
            await self._pool.execute(MAKE_SECRET, secrets.token_bytes(32))
            self._fingerprint = partial(fingerprint, await self._pool.fetchval(FIND_SECRET))
        return self._fingerprint

    async def listen(self, nc: Client) -> None:
        """Hears from now on when somebody is erased, and forgets all keys at once."""
        await nc.subscribe(ERASED, cb=self._hear)

    async def _hear(self, message: Msg) -> None:
        if (message.headers or {}).get(VERSION_HEADER) == VERSION:  # Without it, a forged reply subject led it here.
            self._cache.clear()
            self._erasures += 1

    async def find(self, persons: Iterable[str]) -> Keys:
        """The keys of these persons, as far as they have been made; "" is nobody."""
        wanted, limit = set(persons) - {""}, time.monotonic() - CACHED_S
        cached = {person: self._cache[person] for person in wanted if person in self._cache}
        keys = {person: key for person, (since, key) in cached.items() if since >= limit}
        if missing := sorted(wanted - keys.keys()):
            erasures = self._erasures
            found = {row["person"]: row["key"] for row in await self._pool.fetch(FIND, missing)}
            if erasures == self._erasures:  # What was read before an erasure must not be remembered after it.
                self._remember(found)
            keys |= found
        return Keys(keys, self._fields, self._fingerprint)

    async def make(self, persons: Iterable[str]) -> None:
        """Makes keys for those who have none. Of several who do so at once, the first one's stays."""
        missing = sorted(persons)
        await self._pool.execute(MAKE, missing, [new_key() for _ in missing])

    def _remember(self, found: Mapping[str, bytes | None]) -> None:
        now = time.monotonic()
        for person, key in found.items():
            self._cache[person] = (now, key)
            self._cache.move_to_end(person)
        while len(self._cache) > MOST_CACHED:
            self._cache.popitem(last=False)

    async def opened(self, events: Sequence[Event]) -> list[Event]:
        """The events with their personal data open, or said to be erased."""
        held = [(event, self._fields.get(type(event), ())) for event in events]
        persons = {p.person for event, names in held for name in names if (p := getattr(event, name))}
        keys = (await self.find(persons))._keys if persons else {}
        return [
            msgspec.structs.replace(event, **{name: opened(getattr(event, name), keys) for name in names})
            if names
            else event
            for event, names in held
        ]


def opened(personal: Personal | None, keys: Mapping[str, bytes | None]) -> Personal | None:
    """Open; of a person whose key was destroyed it says so. What has no key at all stays as it rests."""
    if personal is None or personal.person not in keys:
        return personal
    if (key := keys[personal.person]) is None:
        return Personal(personal.person, {"person": personal.person, "erased": True}, personal.sealed)
    return unseal(personal, key)
