"""How far each read model is behind its contexts' records, and which processes are alive, by their own words."""

import asyncio
import logging
import os
from collections import defaultdict
from time import monotonic
from typing import Any, Literal

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.msg import Msg

from common.principals import Principals
from common.recorded import VERSION, VERSION_HEADER
from common.shell.context_queries import HeadAnswer
from common.subjects import query_subject
from gateway.http import Answer, Asked
from gateway.identity import identified
from gateway.link import Bus
from gateway.problems import Problem
from gateway.receipts import own_queries

log = logging.getLogger(__name__)

EVERY_S = 1.0
LATE_S, DEAD_S = 2.5, 5.0
FORGOTTEN_S = 3600.0
HEAD_S = 1.0
UNKNOWN: Literal["unknown"] = "unknown"
OWN_NAME = "gateway"

Unknown = Literal["unknown"]


class Heard(Struct):
    """The last beat of a process, or of a read model for one of its contexts; `at` is monotonic."""

    kind: str
    name: str
    at: float
    said: dict[str, Any]

    @property
    def age_s(self) -> float:
        return monotonic() - self.at

    @property
    def state(self) -> Literal["live", "late", "dead"]:
        return "live" if self.age_s <= LATE_S else "late" if self.age_s <= DEAD_S else "dead"


class Beats:
    """What every process says each second on `beat.<kind>.<name>`; the gateway says it too."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._heard: dict[tuple[str, str, str], Heard] = {}

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
        self._heard[kind, name, str(said.get("context", ""))] = Heard(kind, name, monotonic(), said)

    def all(self) -> list[Heard]:
        """Everyone heard of, by kind and name; who has been silent for an hour is forgotten."""
        self._heard = {key: heard for key, heard in self._heard.items() if heard.age_s < FORGOTTEN_S}
        return [self._heard[key] for key in sorted(self._heard)]


class ModelLag(Struct):
    """How far one read model is behind one context. `ms` is the age of the oldest event that it does not show, or 0;
    "unknown" also when the clock of the context's database has gone back."""

    model: str
    context: str
    state: str
    projected: int
    head: int | Unknown
    events: int | Unknown
    ms: float | Unknown
    p50_ms: float | None
    p99_ms: float | None
    n: int
    heard_s: float
    error: str = ""


class ProcessLag(Struct):
    """A process and how long ago it was heard, in seconds."""

    kind: str
    name: str
    state: str
    heard_s: float
    said: dict[str, Any]


class Freshness(Struct):
    """The answer of `/consistency-lag`."""

    read_models: list[ModelLag]
    processes: list[ProcessLag]


class Lag:
    """Puts beats and heads together."""

    def __init__(self, bus: Bus, beats: Beats) -> None:
        self._bus, self._beats = bus, beats

    async def now(self) -> Freshness:
        """Asks every followed context for its head; one that is silent is unknown, never 0."""
        heard = self._beats.all()
        models = [each for each in heard if each.kind == "projector" and "position" in each.said]
        by_context: dict[str, list[Heard]] = defaultdict(list)
        for each in models:
            by_context[each.said["context"]].append(each)
        answers = await asyncio.gather(*(self._behind(context, group) for context, group in by_context.items()))
        processes = {(each.kind, each.name): each for each in heard}
        return Freshness(
            sorted((lag for group in answers for lag in group), key=lambda lag: (lag.model, lag.context)),
            [ProcessLag(e.kind, e.name, e.state, round(e.age_s, 1), e.said) for e in processes.values()],
        )

    async def _behind(self, context: str, models: list[Heard]) -> list[ModelLag]:
        head = await self._head(context, [each.said["position"] for each in models])
        found = []
        for i, each in enumerate(models):
            lag = head.lag[i] if head else None
            found.append(
                ModelLag(
                    model=each.name,
                    context=context,
                    state=each.said.get("state", "") if each.state == "live" else each.state,
                    projected=each.said["position"],
                    head=head.position if head else UNKNOWN,
                    events=lag.events if lag else UNKNOWN,
                    ms=UNKNOWN if lag is None or lag.ms is None else round(lag.ms, 1),
                    p50_ms=each.said.get("p50_ms"),
                    p99_ms=each.said.get("p99_ms"),
                    n=each.said.get("n", 0),
                    heard_s=round(each.age_s, 1),
                    error=each.said.get("error", ""),
                )
            )
        return found

    async def _head(self, context: str, positions: list[int]) -> HeadAnswer | None:
        query = own_queries(context)[3](tuple(positions))
        subject = query_subject(OWN_NAME, type(query).__name__)
        try:
            reply = await self._bus.nc.request(subject, msgspec.json.encode(query), timeout=HEAD_S)
            head = msgspec.json.decode(reply.data, type=HeadAnswer)
        except (nats.errors.Error, TimeoutError, msgspec.DecodeError, Problem):
            return None
        return head if len(head.lag) == len(positions) else None


class LagDoor:
    def __init__(self, lag: Lag, principals: Principals) -> None:
        self._lag, self._principals = lag, principals

    async def __call__(self, asked: Asked) -> Answer:
        identified(asked, self._principals)
        return Answer(200, msgspec.json.encode(await self._lag.now()))
