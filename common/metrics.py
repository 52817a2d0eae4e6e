"""Every metric there is, what it means and who exposes it; and how what is counted anyway becomes metrics.

Nothing is counted for metrics alone: tallies and buckets that are kept per batch are read when somebody asks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from msgspec import Struct
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from common.shell.durations import Buckets

Kind = Literal["counter", "gauge", "histogram"]
Part = Literal["gateway", "context", "projectors"]
EVERYWHERE: tuple[Part, ...] = ("gateway", "context", "projectors")
CONTEXTS: tuple[Part, ...] = ("context",)
PROJECTORS: tuple[Part, ...] = ("projectors",)
GATEWAY: tuple[Part, ...] = ("gateway",)
TIMED: tuple[Part, ...] = ("context", "projectors")


class Declared(Struct, frozen=True):
    """One metric. Its labels take few values: names of our own, never ids; `parts` expose it."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    parts: tuple[Part, ...]


METRICS = (
    Declared(
        "daybook_commands_total",
        "counter",
        ("context", "outcome"),
        "Commands settled, by outcome: accepted, rejected, parked, repeated (an id that had its answer), dropped "
        "(no command of ours).",
        CONTEXTS,
    ),
    Declared(
        "daybook_command_batch_size",
        "histogram",
        ("context",),
        "Commands in a batch: by so many one disk write is shared. Its count is the number of batches.",
        CONTEXTS,
    ),
    Declared(
        "daybook_events_recorded_total",
        "counter",
        ("context",),
        "Events that this process has recorded.",
        CONTEXTS,
    ),
    Declared(
        "daybook_reactions_asked_total",
        "counter",
        ("context", "followed"),
        "Commands that a context has asked for in its own name, because of events of the one that it follows.",
        CONTEXTS,
    ),
    Declared(
        "daybook_reactions_position",
        "gauge",
        ("context", "followed"),
        "The position up to which a context has reacted to the one that it follows, while it does so here.",
        CONTEXTS,
    ),
    Declared(
        "daybook_reactions_refused_total",
        "counter",
        ("context",),
        "Commands that this context has refused, or parked, although a reaction asked for them. The log says which.",
        CONTEXTS,
    ),
    Declared(
        "daybook_deadlines_fired_total",
        "counter",
        ("context",),
        "Deadlines that have passed, for which a context has asked what it asks then.",
        CONTEXTS,
    ),
    Declared(
        "daybook_effects_total",
        "counter",
        ("context", "outcome"),
        "Calls to the world outside, by outcome: answered (each answer counts), silent (no answer in time), failed "
        "(an error). What is silent or has failed is asked again.",
        CONTEXTS,
    ),
    Declared(
        "daybook_effects_open",
        "gauge",
        ("context",),
        "Calls to the world outside that are not settled.",
        CONTEXTS,
    ),
    Declared(
        "daybook_effects_unanswered",
        "gauge",
        ("context",),
        "Open calls that have been asked in vain so far.",
        CONTEXTS,
    ),
    Declared(
        "daybook_effects_oldest_seconds",
        "gauge",
        ("context",),
        "For how long the oldest open call has been open in this process; 0 when none is.",
        CONTEXTS,
    ),
    Declared(
        "daybook_events_published_total",
        "counter",
        ("context",),
        "Events that its relay has published to the EVENTS stream.",
        CONTEXTS,
    ),
    Declared(
        "daybook_relay_overtaken_total",
        "counter",
        ("context",),
        "Batches of the relay that others' messages overtook, and that were sent again. Many: somebody puts "
        "strays into the stream.",
        CONTEXTS,
    ),
    Declared(
        "daybook_relay_position",
        "gauge",
        ("context",),
        "The position up to which the relay has published, while it runs here.",
        CONTEXTS,
    ),
    Declared(
        "daybook_partitions_held",
        "gauge",
        ("context",),
        "Partitions of the commands, and strays, that the worker of this process settles. 0: another one does.",
        CONTEXTS,
    ),
    Declared(
        "daybook_hop_seconds",
        "histogram",
        ("context", "model", "hop"),
        "How long each hop of a command's way took, timed by who ends it; a few of each batch stand for all. "
        "`model` is empty before the read models.",
        TIMED,
    ),
    Declared(
        "daybook_hop_unknown_total",
        "counter",
        ("context", "model", "hop"),
        "Hops that no clock could tell: a server's clock was not measured yet, or two of them made it negative.",
        TIMED,
    ),
    Declared(
        "daybook_clock_ahead_seconds",
        "gauge",
        ("context", "server"),
        "How far a server's clock is ahead of this machine's, as measured.",
        TIMED,
    ),
    Declared(
        "daybook_events_projected_total",
        "counter",
        ("context", "model"),
        "Events that a read model has taken in.",
        PROJECTORS,
    ),
    Declared(
        "daybook_projection_batch_size",
        "histogram",
        ("context", "model"),
        "Events in a batch: so many share one transaction of the read database.",
        PROJECTORS,
    ),
    Declared(
        "daybook_projection_overtaken_total",
        "counter",
        ("model",),
        "Batches that another process had written first.",
        PROJECTORS,
    ),
    Declared(
        "daybook_model_position",
        "gauge",
        ("context", "model"),
        "The position that a read model has reached; absent until it is known.",
        PROJECTORS,
    ),
    Declared(
        "daybook_events_healed_total",
        "counter",
        ("context",),
        "Events read from the store because they did not come by the stream.",
        PROJECTORS,
    ),
    Declared(
        "daybook_strays_total",
        "counter",
        ("context",),
        "Messages in the EVENTS stream that are no events of ours.",
        PROJECTORS,
    ),
    Declared(
        "daybook_trouble",
        "gauge",
        ("context", "part"),
        "1 while a part says that it is in trouble: worker, relay, reactions, deadlines, effects, or a read model.",
        TIMED,
    ),
    Declared(
        "daybook_lag_events",
        "gauge",
        ("context", "model"),
        "Events that a read model does not show yet, as /consistency-lag has it; `<model>__<version>` is a table that "
        "is being built. NaN: unknown.",
        GATEWAY,
    ),
    Declared(
        "daybook_lag_seconds",
        "gauge",
        ("context", "model"),
        "The age of the oldest event that it does not show. NaN: unknown.",
        GATEWAY,
    ),
    Declared(
        "daybook_model_state",
        "gauge",
        ("context", "model", "state"),
        "1 for the state that a read model is in, 0 for the others.",
        GATEWAY,
    ),
    Declared(
        "daybook_part_state",
        "gauge",
        ("kind", "name", "state"),
        "1 for the state that a worker, relay, gateway or another part is in, 0 for the others. Who reacts to another "
        "context has both names.",
        GATEWAY,
    ),
    Declared(
        "daybook_oldest_snapshot_seconds",
        "gauge",
        ("context",),
        "The age of the oldest snapshot held open in a context's write database. An old one slows every append. "
        "NaN: unknown.",
        GATEWAY,
    ),
    Declared(
        "daybook_backlog_age_seconds",
        "gauge",
        ("context",),
        "The age of the oldest command in its stream; what is settled is removed every 5 s. Above "
        "DAYBOOK_BACKLOG_AGE_S commands are refused.",
        GATEWAY,
    ),
    Declared(
        "daybook_http_request_seconds",
        "histogram",
        ("method", "route", "status"),
        "Requests answered, by route template, and how long they took, with the waiting they had asked for.",
        GATEWAY,
    ),
    Declared(
        "daybook_waiting",
        "gauge",
        ("what",),
        "Requests that wait now: for a decision, for an answer fresh enough, or for each change of what they watch.",
        GATEWAY,
    ),
    Declared(
        "daybook_bus_reconnects_total",
        "counter",
        ("user",),
        "How often this process came back to NATS, by its NATS user.",
        EVERYWHERE,
    ),
    Declared(
        "daybook_bus_denied_total",
        "counter",
        ("user",),
        "What NATS has refused because a permission is missing. Above 0: a fault in the configuration.",
        EVERYWHERE,
    ),
    Declared(
        "process_virtual_memory_bytes",
        "gauge",
        (),
        "Virtual memory of the process.",
        EVERYWHERE,
    ),
    Declared(
        "process_resident_memory_bytes",
        "gauge",
        (),
        "Memory of the process that is in RAM.",
        EVERYWHERE,
    ),
    Declared(
        "process_start_time_seconds",
        "gauge",
        (),
        "When the process began, in seconds since 1970.",
        EVERYWHERE,
    ),
    Declared(
        "process_cpu_seconds_total",
        "counter",
        (),
        "CPU time that the process has used, user and system.",
        EVERYWHERE,
    ),
    Declared(
        "process_open_fds",
        "gauge",
        (),
        "Files and sockets that it has open.",
        EVERYWHERE,
    ),
    Declared(
        "process_max_fds",
        "gauge",
        (),
        "How many it may have open.",
        EVERYWHERE,
    ),
)


class Sample(Struct, frozen=True):
    """What one metric is now, for these values of its labels, in their order."""

    name: str
    labels: tuple[str, ...]
    value: float | Buckets


Source = Callable[[], Iterable[Sample]]


class Collected(Collector):
    """Reads what a part of the system has counted, as Prometheus wants it; all that the part declares, and no more."""

    def __init__(self, part: Part, sources: Sequence[Source]) -> None:
        self._part, self._sources = part, sources

    def collect(self) -> Iterator[Metric]:
        """Raises `KeyError` for a sample that is not declared for this part."""
        families = {each.name: family(each) for each in METRICS if self._part in each.parts and ours(each)}
        for source in self._sources:
            for sample in source():
                put(families[sample.name], sample)
        yield from families.values()


Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
FAMILIES: dict[Kind, type[Family]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


def ours(declared: Declared) -> bool:
    """Others come from the library itself."""
    return declared.name.startswith("daybook_")


def family(declared: Declared) -> Family:
    return FAMILIES[declared.kind](declared.name, declared.meaning, labels=declared.labels)


def put(found: Family, sample: Sample) -> None:
    if isinstance(found, HistogramMetricFamily):
        assert isinstance(sample.value, Buckets)
        found.add_metric(sample.labels, sample.value.cumulative(), sample.value.sum)
    else:
        assert not isinstance(sample.value, Buckets)
        found.add_metric(sample.labels, sample.value)


def registry(part: Part, *sources: Source) -> CollectorRegistry:
    """What a process of this part exposes."""
    made = CollectorRegistry()
    made.register(Collected(part, sources))
    ProcessCollector(registry=made)
    return made


def exposition(found: CollectorRegistry) -> bytes:
    """As Prometheus reads it."""
    return generate_latest(found)
