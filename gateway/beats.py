"""Who is alive, by their own words: every process says each second how it is, on `beat.<kind>.<name>`."""

import asyncio
import logging
import os
from collections.abc import Iterable
from time import monotonic
from typing import Any, NamedTuple

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.msg import Msg

from common.recorded import VERSION, VERSION_HEADER
from gateway.link import Bus
from gateway.problems import Problem

log = logging.getLogger(__name__)

EVERY_S = 1.0
LATE_S, DEAD_S = 1.5, 4.0
FORGOTTEN_S = 3600.0
OWN_NAME = "gateway"


class Who(NamedTuple):
    """A part that beats: a read model beats for each of its contexts, a worker in each of its processes."""

    kind: str
    name: str
    context: str = ""
    pid: int = 0


class Heard(Struct):
    """The last beat of a part, at a monotonic time, and since when it says the same of its progress.

    Who was never heard has said nothing since we began to listen.
    """

    who: Who
    at: float
    still_since: float
    said: dict[str, Any] = {}

    @property
    def silent_s(self) -> float:
        return monotonic() - self.at

    @property
    def still_s(self) -> float:
        """For how long it has not moved, as far as we know."""
        return monotonic() - self.still_since

    @property
    def heard_s(self) -> float | None:
        return round(self.silent_s, 1) if self.said else None

    @property
    def position(self) -> int | None:
        position = self.said.get("position")
        return position if isinstance(position, int) else None


class Beats:
    """What was heard of each part. `expected` are those that there must be."""

    def __init__(self, bus: Bus, expected: Iterable[Who]) -> None:
        self._bus = bus
        self._began = monotonic()
        self._expected = {each: Heard(each, self._began, self._began) for each in expected}
        self._heard: dict[Who, Heard] = {}

    async def run(self) -> None:
        """Until cancelled: listens, and beats."""
        await self._bus.connected.wait()
        await self._bus.nc.subscribe("beat.>", cb=self._hear)
        own = msgspec.json.encode({"pid": os.getpid()})
        while True:
            try:
                await self._bus.nc.publish(f"beat.gateway.{OWN_NAME}", own, headers={VERSION_HEADER: VERSION})
            except (nats.errors.Error, Problem) as error:
                log.debug("no beat: %s", error)
            await asyncio.sleep(EVERY_S)

    async def _hear(self, message: Msg) -> None:
        """What lacks our header is a server's acknowledgement, steered here by a forged reply subject."""
        if (message.headers or {}).get(VERSION_HEADER) != VERSION:
            return
        _, kind, name = [*message.subject.split("."), "", ""][:3]
        try:
            said = msgspec.json.decode(message.data, type=dict[str, Any])
        except msgspec.DecodeError:
            return
        self._note(Who(kind, name, str(said.get("context", "")), own_process(kind, said)), said)

    def _note(self, who: Who, said: dict[str, Any]) -> None:
        before, now = self._heard.get(who), monotonic()
        moved = before is None or progress(before.said) != progress(said)
        self._heard[who] = Heard(who, now, now if moved or before is None else before.still_since, said)

    def all(self) -> list[Heard]:
        """Everyone, by kind and name. Who has been silent for an hour is forgotten, unless it is expected.

        A process that ended does not count as long as another does the same; nor does a table that was built and says
        no more: it has become the live one, or its build has ended with the process that keeps that.
        """
        self._heard = {who: heard for who, heard in self._heard.items() if heard.silent_s < forgotten_s(heard)}
        parts: dict[Who, list[Heard]] = {who: [] for who in self._expected}
        for who, heard in self._heard.items():
            parts.setdefault(who._replace(pid=0), []).append(heard)
        return [heard for who in sorted(parts) for heard in self._shown(who, parts[who])]

    def _shown(self, who: Who, found: list[Heard]) -> list[Heard]:
        if not found:
            return [self._expected[who]]
        return [each for each in found if each.silent_s <= DEAD_S] or [min(found, key=lambda each: each.silent_s)]


def forgotten_s(heard: Heard) -> float:
    return LATE_S if heard.said.get("building") else FORGOTTEN_S


def own_process(kind: str, said: dict[str, Any]) -> int:
    """Workers of one context run in several processes, of which all but one may be waiting."""
    pid = said.get("pid", 0)
    return pid if kind == "worker" and isinstance(pid, int) else 0


def progress(said: dict[str, Any]) -> Any:
    """What of a beat changes when its part gets something done."""
    return said.get("position", said.get("tally"))
