"""Metrics: what each process exposes is what is declared, with bounded labels; and the page explains all of it."""

import re
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import islice
from math import isnan

import httpx
import pytest
import pytest_asyncio
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from common.config import Settings
from common.metrics import METRICS, Part, Sample, registry
from common.metrics_port import metrics_port, reached_at
from common.servers.files import free_port
from common.shell.durations import Buckets
from gateway.cli.up import context_names, metrics_ports
from tests.servers import System, until

Exposed = dict[str, list[tuple[dict[str, str], float]]]


@pytest_asyncio.fixture(scope="module")
async def http(system: System) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"X-API-Key": system.settings.api_key("storefront")}
    async with httpx.AsyncClient(base_url=system.url, headers=headers, timeout=10, trust_env=False) as client:
        yield client


def declared(part: Part) -> set[str]:
    return {each.name for each in METRICS if part in each.parts}


def read(text: str) -> Exposed:
    """What is exposed: by the family's name as it is declared, the samples' labels and values."""
    found: Exposed = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = [(each.labels, each.value) for each in family.samples]
    return found


async def targets(http: httpx.AsyncClient) -> dict[str, list[str]]:
    """Addresses by part."""
    found: dict[str, list[str]] = {}
    for each in (await http.get("/metrics/targets")).json():
        found.setdefault(each["labels"]["part"], []).extend(each["targets"])
    return found


async def scraped(http: httpx.AsyncClient) -> list[tuple[Part, Exposed]]:
    """All processes, as soon as all have been heard."""

    async def all_there() -> bool:
        found = await targets(http)
        return len(found.get("context", [])) == len(context_names()) and len(found.get("projectors", [])) == 1

    await until(all_there)
    answers: list[tuple[Part, Exposed]] = [("gateway", read((await http.get("/metrics")).text))]
    for part, addresses in (await targets(http)).items():
        for address in addresses:
            answers.append((part, read((await http.get(f"http://{address}/metrics")).text)))  # type: ignore[arg-type]
    return answers


async def test_what_each_process_exposes_is_what_is_declared(http: httpx.AsyncClient) -> None:
    for part, found in await scraped(http):
        assert set(found) == declared(part), part


async def test_labels_are_those_declared_and_never_ids(http: httpx.AsyncClient) -> None:
    await http.get("/orders/no-such-order-1")
    labels = {each.name: set(each.labels) for each in METRICS}
    for _, found in await scraped(http):
        for name, samples in found.items():
            assert all(set(each) - {"le"} == labels[name] for each, _ in samples), name
            assert not any("no-such-order" in value for each, _ in samples for value in each.values())


async def test_what_has_happened_is_counted(http: httpx.AsyncClient, system: System) -> None:
    product = {"sku": "7", "name": "Tea", "department": "GROCERY", "price": 250, "currency": "USD"}
    operator = {"X-API-Key": system.settings.api_key("operator"), "Prefer": "wait=10"}
    reply = await http.post("/products", json=product, headers=operator)
    assert reply.status_code == 200, reply.text

    async def shown() -> bool:
        everything: dict[tuple[str, str], float] = {}
        for _, found in await scraped(http):
            for name, samples in found.items():
                for labels, value in samples:
                    if labels.get("context") == "product" and "le" not in labels:
                        key = name, labels.get("outcome") or labels.get("model") or labels.get("hop", "")
                        everything[key] = value
        return (
            everything["daybook_commands_total", "accepted"] >= 1
            and everything["daybook_events_recorded_total", ""] >= 1
            and everything["daybook_events_published_total", ""] >= 1
            and everything["daybook_events_projected_total", "products"] >= 1
            and everything["daybook_lag_events", "products"] == 0
        )

    await until(shown)


async def test_the_gateways_metrics_need_a_key(system: System) -> None:
    async with httpx.AsyncClient(base_url=system.url, trust_env=False) as stranger:
        assert (await stranger.get("/metrics")).status_code == 401
        assert (await stranger.get("/metrics/targets")).status_code == 401


async def test_what_is_unknown_is_not_0(http: httpx.AsyncClient, system: System) -> None:
    """A restart keeps the port, and while the process is away its lag is no number."""

    async def unknown() -> bool:
        found = read((await http.get("/metrics")).text)
        lags = {labels["model"]: value for labels, value in found["daybook_lag_events"]}
        return isnan(lags["orders"]) and isnan(lags["products"])

    before = (await targets(http))["projectors"]
    with stopped(system):
        await until(unknown, within=10)
    await system.kill_and_wait("projectors")

    async def again() -> bool:
        return (await targets(http)).get("projectors") == before

    await until(again)


@contextmanager
def stopped(system: System) -> Iterator[None]:
    """The projectors stand still meanwhile."""
    system.kill("projectors", signal.SIGSTOP)
    try:
        yield
    finally:
        system.kill("projectors", signal.SIGCONT)


async def test_the_page_explains_every_metric(http: httpx.AsyncClient) -> None:
    page = (await http.get("/docs/metrics")).text
    assert all(f"<td>{each.name}</td>" in page for each in METRICS)
    assert not re.search(r"(src|href)=\"https?:", page)


def test_a_sample_that_is_not_declared_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        list(registry("gateway", lambda: [Sample("daybook_nonsense", (), 1.0)]).collect())


async def test_a_port_that_is_taken_by_now_gives_way_to_a_free_one(settings: Settings) -> None:
    with (
        metrics_port(replace(settings, metrics_port=0), "gateway", lambda: []) as off,
        metrics_port(replace(settings, metrics_port=free_port()), "gateway", lambda: []) as first,
        metrics_port(replace(settings, metrics_port=int(first.split(":")[1])), "gateway", lambda: []) as second,
    ):
        assert off == ""
        assert first != second
        async with httpx.AsyncClient(trust_env=False) as http:
            for each in (first, second):
                assert set(read((await http.get(f"http://{each}/metrics")).text)) == declared("gateway")


def test_buckets_are_cumulative() -> None:
    buckets = Buckets((1.0, 2.0))
    for value, times in ((0.5, 2), (1.0, 1), (1.5, 1), (9.0, 3)):
        buckets.add(value, times)
    assert buckets.cumulative() == [("1.0", 3.0), ("2.0", 4.0), ("+Inf", 7.0)]
    assert buckets.sum == pytest.approx(30.5)


def test_who_listens_everywhere_tells_a_name_by_which_it_is_reached() -> None:
    assert reached_at("0.0.0.0") == reached_at("::") == socket.gethostname()
    assert (reached_at("127.0.0.1"), reached_at("::1")) == ("127.0.0.1", "[::1]")


def test_ports_count_up_from_the_one_that_is_set_and_are_free_ones_otherwise() -> None:
    assert list(islice(metrics_ports(9100), 3)) == ["9100", "9101", "9102"]
    assert len(set(islice(metrics_ports(0), 3)) - {"0"}) == 3
