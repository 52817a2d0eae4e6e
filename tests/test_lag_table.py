"""`daybook lag`: who is not alive is seen, at 100 columns too, and what nobody knows is no number."""

import asyncio
import sys
from io import StringIO

import msgspec
from rich.console import Console

from common.lag import ContextLag, LagAnswer, ModelLag, ProcessLag
from common.shell.clocks import Offset
from common.shell.durations import Quantiles
from gateway.cli.lag import view, well
from tests.servers import System, environment, until

TOOK = Quantiles(9, 0, 1.25, 2.5, 12345.6, 20000.0)
DEAD = ModelLag(
    model="orders", context="order", state="dead", error="", projected=1_234_567, head=1_234_567,
    events="unknown", ms="unknown", p50_ms=1.25, p95_ms=2.5, p99_ms=12345.6, max_ms=20000.0, n=9,
    hops={"accepted_to_decided": TOOK}, heard_s=9.0,
)  # fmt: skip
RELAY = ProcessLag(kind="relay", name="order", context="order", state="red", error="the store is away", heard_s=0.4)
WORKER = ProcessLag(
    kind="worker", name="order", context="order", state="live", error="", heard_s=0.4, clocks=[Offset("nats", 0.5)]
)
CONTEXT = ContextLag(context="order", head=7, incarnation="one", recorded_at=None, oldest_snapshot_ms=4200.0)


def shown(found: LagAnswer) -> list[str]:
    console = Console(width=100, record=True, file=StringIO())
    console.print(view(found))
    return console.export_text().splitlines()


def test_a_dead_model_is_named_and_its_lag_is_no_number() -> None:
    found = LagAnswer([DEAD], [CONTEXT], [RELAY, WORKER])
    lines = shown(found)
    assert all(len(line) <= 100 for line in lines)
    (orders,) = [line.split() for line in lines if line.startswith(" orders") and "dead" in line]
    assert orders[:7] == ["orders", "order", "dead", "1,234,567", "1,234,567", "?", "?"]
    assert any("1.2 / 12,346" in line for line in lines)
    assert any("the store is away" in line for line in lines)
    assert any("0.5" in line and "4,200" in line for line in lines)
    assert not well(found)


def test_a_table_that_is_built_is_shown_by_its_version_and_is_no_trouble() -> None:
    standing = msgspec.structs.replace(DEAD, state="rebuilding", events=3)
    beside = msgspec.structs.replace(standing, model="orders__2", version=2, building=True, projected=7)
    found = LagAnswer([standing, beside], [CONTEXT], [WORKER])
    assert [line.split()[:5] for line in shown(found) if " orders v2" in line] == [
        ["orders", "v2", "order", "rebuilding", "7"]
    ]
    assert well(found)


def test_who_reacts_to_another_context_is_shown_with_both_names_and_how_far_it_is_behind() -> None:
    reacting = ProcessLag(
        kind="reactions", name="order", context="stock", state="catching-up", error="", heard_s=0.4, events=3, ms=1234.5
    )
    (line,) = [line for line in shown(LagAnswer([], [], [reacting])) if "order to stock" in line]
    assert "catching-up" in line and "1,234" in line


async def test_it_can_be_piped(system: System) -> None:
    async def ran(*words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.cli", "lag", *words,
            env=environment(system.settings.data), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), 30)
        codes.append(process.returncode)
        return output.decode()

    codes: list[int | None] = []

    async def all_alive() -> bool:
        found = msgspec.json.decode(await ran("--json"), type=LagAnswer)
        return well(found) and {"orders", "products"} <= {each.model for each in found.read_models}

    await until(all_alive)
    text = await ran()
    assert "\x1b" not in text
    assert "orders" in text and "whole way" in text
    assert codes[-1] == 0
