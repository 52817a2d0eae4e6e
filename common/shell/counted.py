"""What the parts of the system have counted, as samples of the metrics that are declared."""

from collections.abc import Iterator

from nats.aio.client import Client

from common.bus.connect import BusErrors
from common.metrics import Sample
from common.shell.clocks import Clocks
from common.shell.effects import Effects
from common.shell.hops import Hops
from common.shell.projection import Projection
from common.shell.reactions import Reactions
from common.shell.relay import Relay
from common.shell.worker import Worker

OUTCOMES = ("accepted", "rejected", "parked", "repeated", "dropped")


def of_bus(user: str, nc: Client | None, errors: BusErrors) -> Iterator[Sample]:
    """A connection, by its NATS user."""
    yield Sample("daybook_bus_reconnects_total", (user,), nc.stats["reconnects"] if nc else 0)
    yield Sample("daybook_bus_denied_total", (user,), errors.counts["denied"])


def of_hops(context: str, model: str, hops: Hops) -> Iterator[Sample]:
    for hop, durations in hops:
        yield Sample("daybook_hop_seconds", (context, model, hop), durations.since_start)
        yield Sample("daybook_hop_unknown_total", (context, model, hop), durations.unknown)


def of_clocks(context: str, clocks: Clocks) -> Iterator[Sample]:
    for offset in clocks.offsets():
        if offset.offset_ms is not None:
            yield Sample("daybook_clock_ahead_seconds", (context, offset.server), offset.offset_ms / 1000)


def of_worker(context: str, worker: Worker, partitions: int) -> Iterator[Sample]:
    tally = worker.tally
    for outcome in OUTCOMES:
        yield Sample("daybook_commands_total", (context, outcome), getattr(tally, outcome))
    yield Sample("daybook_reactions_refused_total", (context,), tally.refused)
    yield Sample("daybook_command_batch_size", (context,), worker.sizes)
    yield Sample("daybook_events_recorded_total", (context,), tally.recorded)
    yield Sample("daybook_partitions_held", (context,), partitions)
    yield Sample("daybook_trouble", (context, "worker"), bool(tally.error))
    yield from of_hops(context, "", worker.hops)


def of_relay(context: str, relay: Relay) -> Iterator[Sample]:
    yield Sample("daybook_events_published_total", (context,), relay.published)
    yield Sample("daybook_relay_overtaken_total", (context,), relay.overtaken)
    yield Sample("daybook_relay_position", (context,), relay.position)
    yield Sample("daybook_trouble", (context, "relay"), bool(relay.last_error))
    yield from of_hops(context, "", relay.hops)


def of_reactions(context: str, reactions: Reactions) -> Iterator[Sample]:
    for followed, reacting in reactions.reacting.items():
        yield Sample("daybook_reactions_asked_total", (context, followed), reacting.asked)
        if followed in reacting.listener.checkpoints:
            yield Sample("daybook_reactions_position", (context, followed), reacting.listener.at(followed))
        yield Sample("daybook_trouble", (context, f"reactions to {followed}"), bool(reacting.listener.error))
    if reactions.deadlines.any:
        yield Sample("daybook_deadlines_fired_total", (context,), reactions.deadlines.fired)
        yield Sample("daybook_trouble", (context, "deadlines"), bool(reactions.deadlines.error))


def of_effects(context: str, effects: Effects) -> Iterator[Sample]:
    for outcome in ("answered", "silent", "failed"):
        yield Sample("daybook_effects_total", (context, outcome), getattr(effects.tally, outcome))
    yield Sample("daybook_effects_open", (context,), effects.calls.open)
    yield Sample("daybook_effects_unanswered", (context,), effects.calls.unanswered)
    yield Sample("daybook_effects_oldest_seconds", (context,), effects.calls.oldest_s)
    yield Sample("daybook_trouble", (context, "effects"), bool(effects.error))


def of_projection(projection: Projection) -> Iterator[Sample]:
    for name, follower in projection.kept.items():
        yield Sample("daybook_projection_overtaken_total", (name,), follower.lost)
        for context, shown in follower.shown.items():
            yield Sample("daybook_events_projected_total", (context, name), shown)
            yield Sample("daybook_projection_batch_size", (context, name), follower.sizes[context])
            yield Sample("daybook_trouble", (context, name), bool(follower.stopped or context in follower.trouble))
            if checkpoint := follower.checkpoints.get(context):
                yield Sample("daybook_model_position", (context, name), checkpoint.position)
            yield from of_hops(context, name, follower.hops[context])
    for context, feed in projection.feeds.items():
        yield Sample("daybook_events_healed_total", (context,), feed.healed)
        yield Sample("daybook_strays_total", (context,), feed.strays)
        yield from of_clocks(context, projection.clocks[context])
