"""Keeping leases: renewing those held, taking over those whose owner has fallen silent (protocol P2)."""

import asyncio
import logging
import time
from collections.abc import Sequence

from common.shell.patience import AWAY
from common.store.leases import Lease, LeaseTable

log = logging.getLogger(__name__)


class LeaseKeeper:
    """Holds as many of the named leases as it can get.

    Silence is measured by this process's own monotonic clock: a lease whose beat has not moved for `ttl_s` seconds of
    watching is taken over. `generation` counts the changes of what is held. `unclean` tells that an owner before us
    died with work in hand; who sets `suspect` says the same of us.
    """

    def __init__(self, table: LeaseTable, owner: str, names: Sequence[str], ttl_s: float) -> None:
        self._table, self._owner, self._names, self._ttl = table, owner, names, ttl_s
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}
        self._changed = asyncio.Condition()
        self._looking = asyncio.Lock()
        self.held: dict[str, Lease] = {}
        self.generation = 0
        self.unclean = False
        self.suspect = False

    def epochs(self, names: Sequence[str]) -> dict[str, int]:
        return {name: self.held[name].epoch for name in names}

    async def run(self) -> None:
        """Until cancelled; then what is held is given back."""
        try:
            while True:
                try:
                    await self.keep()
                except AWAY as error:
                    log.warning("leases: the write database is away: %s", error)
                await asyncio.sleep(self._ttl / 4)
        finally:
            await self._give_back()

    async def keep(self) -> None:
        """One round: renew, look around, take over."""
        async with self._looking:
            await self._keep()

    async def _keep(self) -> None:
        if not self._seen:
            await self._table.ensure(self._names)
        if self.held:
            await self._renew()
        silent = self._silent(await self._table.all())
        if silent:
            taken = await self._table.take(self._owner, silent)
            self.unclean = self.unclean or any(not lease.clean for lease in taken)
            await self._hold(self.held | {lease.name: lease for lease in taken})

    def _silent(self, leases: Sequence[Lease]) -> list[Lease]:
        now = time.monotonic()
        silent = []
        for lease in leases:
            if lease.name in self.held or lease.name not in self._names:
                continue
            mark, since = self._seen.get(lease.name, ((-1, -1), now))
            if mark != (lease.epoch, lease.beat):
                since = now
            self._seen[lease.name] = ((lease.epoch, lease.beat), since)
            if lease.owner is None or now - since >= self._ttl:
                silent.append(lease)
        return silent

    async def lost(self) -> None:
        """An append was refused: find out at once what is still held. Nothing, as long as nobody can say."""
        async with self._looking:
            try:
                await self._renew()
            except AWAY as error:
                log.warning("leases: all count as lost, the write database is away: %s", error)
                await self._hold({})

    async def _renew(self) -> None:
        kept = await self._table.renew({name: lease.epoch for name, lease in self.held.items()})
        await self._hold({name: lease for name, lease in self.held.items() if name in kept})

    async def _hold(self, leases: dict[str, Lease]) -> None:
        if {n: x.epoch for n, x in leases.items()} == {n: x.epoch for n, x in self.held.items()}:
            return
        async with self._changed:
            self.held = leases
            self.generation += 1
            self._changed.notify_all()

    async def wait_until_held(self, *names: str) -> None:
        """Returns as soon as one of the names is held."""
        async with self._changed:
            await self._changed.wait_for(lambda: any(name in self.held for name in names))

    async def wait_until_lost(self, name: str) -> None:
        """Returns as soon as the name is no longer held."""
        async with self._changed:
            await self._changed.wait_for(lambda: name not in self.held)

    async def _give_back(self) -> None:
        held, self.held = self.held, {}
        try:
            async with asyncio.timeout(2):
                epochs = {name: lease.epoch for name, lease in held.items()}
                await self._table.release(epochs, clean=not self.suspect)
        except AWAY as error:
            log.warning("leases: not given back, a successor has to wait: %s", error)
