"""The gateway's own metrics, where Prometheus finds the others, and the page that says what each one means."""

import html
from collections.abc import Iterator
from math import nan
from typing import get_args

import msgspec

from common.lag import LagAnswer, State
from common.metrics import METRICS, Sample, Source, exposition, registry
from common.principals import Principals
from gateway.beats import DEAD_S, Beats
from gateway.http import Answer, Asked
from gateway.identity import identified
from gateway.lag import Lag

TEXT = ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),)
HTML = ((b"content-type", b"text/html; charset=utf-8"),)
STATES = get_args(State)


class MetricsDoor:
    """Answers `/metrics`: what the gateway has counted, and the lag as it is at this moment."""

    def __init__(self, lag: Lag, source: Source, principals: Principals) -> None:
        self._lag, self._principals = lag, principals
        self._registry = registry("gateway", source, lambda: of_lag(self._found))
        self._found = LagAnswer([], [], [])

    async def __call__(self, asked: Asked) -> Answer:
        identified(asked, self._principals)
        self._found = await self._lag.now() or self._found
        return Answer(200, exposition(self._registry), TEXT)


def of_lag(found: LagAnswer) -> Iterator[Sample]:
    for each in found.read_models:
        place = (each.context, each.model)
        yield Sample("daybook_lag_events", place, known(each.events))
        if not each.building:  # Nobody reads it yet.
            yield Sample("daybook_lag_seconds", place, known(each.ms) / 1000)
        for state in STATES:
            yield Sample("daybook_model_state", (*place, state), state == each.state)
    for part in {(each.kind, each.title): each for each in found.processes if each.kind != "projector"}.values():
        for state in STATES:
            yield Sample("daybook_part_state", (part.kind, part.title, state), state == part.state)
    for context in found.contexts:
        yield Sample("daybook_oldest_snapshot_seconds", (context.context,), known(context.oldest_snapshot_ms) / 1000)


def known(value: float | str) -> float:
    """The number, or that it is none: what is unknown is never 0."""
    return nan if isinstance(value, str) else value


class TargetsDoor:
    """Answers `/metrics/targets` as Prometheus' HTTP service discovery takes it: by what the processes' beats say."""

    def __init__(self, beats: Beats, principals: Principals) -> None:
        self._beats, self._principals = beats, principals

    async def __call__(self, asked: Asked) -> Answer:
        identified(asked, self._principals)
        found: dict[str, str] = {}
        for each in self._beats.all():
            address = each.said.get("metrics")
            if isinstance(address, str) and address and each.silent_s <= DEAD_S:
                found[address] = "projectors" if each.said.get("model") else "context"
        targets = [{"targets": [address], "labels": {"part": part}} for address, part in sorted(found.items())]
        return Answer(200, msgspec.json.encode(targets))


def rows() -> Iterator[str]:
    for each in METRICS:
        cells = (each.name, each.kind, ", ".join(each.labels), ", ".join(each.parts), each.meaning)
        yield "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


PAGE = f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Daybook metrics</title><link rel="icon" href="data:,">
<style>body {{ font: 15px/1.4 sans-serif; margin: 2rem }}
td, th {{ text-align: left; vertical-align: top; padding: .3rem .8rem }}
td:first-child {{ font-family: monospace }} tr:nth-child(even) {{ background: #f3f3f3 }}</style></head>
<body><h1>Metrics</h1>
<p>The gateway's are at <code>/metrics</code>, which takes an API key like every GET; each other process has a port of
its own. <code>/metrics/targets</code> lists these for Prometheus (<code>http_sd_configs</code>).</p>
<table><tr><th>Name</th><th>Kind</th><th>Labels</th><th>Exposed by</th><th>Meaning</th></tr>
{"".join(rows())}
</table></body></html>
"""


async def metrics_page(asked: Asked) -> Answer:
    return Answer(200, PAGE.encode(), HTML)
