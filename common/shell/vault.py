"""The vault: one key for each person, made on first use; events are sealed with it before they are recorded."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from common.codec import personal_fields
from common.messages import Event, Rejected
from common.personal import Personal, new_key, seal, seal_bytes, unseal

CACHED_S = 60.0
"""Seconds for which a key is remembered, so that a destroyed one is soon forgotten everywhere."""
MOST_CACHED = 10_000

MAKE = (
    "INSERT INTO keys.personal_keys (person, key) SELECT unnest($1::text[]), unnest($2::bytea[]) ON CONFLICT DO NOTHING"
)
FIND = "SELECT person, key FROM keys.personal_keys WHERE person = ANY($1::text[])"


class Vault:
    """The keys of persons, by a database that holds nothing else about them."""

    def __init__(self, pool: Any, events: Iterable[type[Event]]) -> None:
        self._pool = pool
        self._fields = {event: names for event in events if (names := personal_fields(event))}
        self._keys: dict[str, tuple[float, bytes | None]] = {}

    async def prepare(self, persons: Iterable[str]) -> None:
        """Makes sure that the keys of these persons are at hand; makes those that do not exist yet."""
        missing = self._not_at_hand(persons)
        if not missing:
            return
        await self._pool.execute(MAKE, missing, [new_key() for _ in missing])
        await self._find(missing)

    async def _find_missing(self, persons: Iterable[str]) -> None:
        missing = self._not_at_hand(persons)
        if missing:
            await self._find(missing)

    def _not_at_hand(self, persons: Iterable[str]) -> list[str]:
        limit = time.monotonic() - CACHED_S
        if len(self._keys) > MOST_CACHED:
            self._keys.clear()
        return sorted({p for p in persons if p not in self._keys or self._keys[p][0] < limit})

    async def _find(self, persons: list[str]) -> None:
        now = time.monotonic()
        for row in await self._pool.fetch(FIND, persons):
            self._keys[row["person"]] = (now, row["key"])

    def _key(self, person: str) -> bytes:
        key = self._keys[person][1]
        if key is None:
            raise Rejected("person-erased", "the data of this person has been erased and none is taken any more")
        return key

    def seal(self, event: Event) -> Event:
        """The event with its personal data sealed. Raises `Rejected` when the person has been erased."""
        names = self._fields.get(type(event))
        if not names:
            return event
        held: Mapping[str, Personal | None] = {name: getattr(event, name) for name in names}
        sealed = {name: p and (p if p.sealed else seal(p, self._key(p.person))) for name, p in held.items()}
        return msgspec.structs.replace(event, **sealed)

    def seal_bytes(self, person: str, plain: bytes) -> str:
        """Sealed bytes for a store, as text; of a person who has been erased nothing is kept."""
        key = self._keys[person][1]
        return seal_bytes(key, person, plain) if key else ""

    async def opened(self, events: Sequence[Event]) -> list[Event]:
        """The events with their personal data open, as far as the keys have not been destroyed."""
        held = [(event, self._fields.get(type(event), ())) for event in events]
        await self._find_missing(p.person for event, names in held for n in names if (p := getattr(event, n)))
        return [
            msgspec.structs.replace(event, **{n: self._open(getattr(event, n)) for n in names}) if names else event
            for event, names in held
        ]

    def _open(self, personal: Personal | None) -> Personal | None:
        key = self._keys.get(personal.person, (0.0, None))[1] if personal else None
        return unseal(personal, key) if personal and key else personal
