"""What each query takes on real data: its latency with many who ask at once, its CPU, and the plan that answers it.

    python -m tests.load.queries --data FOLDER [--at-once 32] [--seconds 3] [--only TEXT] [--json FILE]

Starts the system on the data that tests.load.year has kept (`--keep FOLDER`). Every query that there is is asked with
what it needs, with each of its filters, and deep in its pages; values are drawn from the data. The connections are kept
alive, and each asks again when it has its answer. A query that reads a table without an index is marked.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import click
import msgspec
from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

from common.bucketmodel import BucketModel
from common.discovery import query_handlers, query_models, read_models
from common.messages import Query, Rejected
from common.store.pool import open_pool
from tests.load.closed_loop import closed_loop
from tests.load.measure import cpu_seconds, in_a_loop_of_its_own, quantile_ms
from tests.load.plans import Plan, plan_of
from tests.load.processes import look, memories
from tests.load.questions import Material, Params, Question, material_of, questions
from tests.load.wire import Line, get_request, open_line
from tests.servers import System, running_system, until

PRINCIPAL = "storefront"
GOAL_MS = 20.0
PAGES_DEEP, DEEP_PLACES = 12, 12
PARTS = ("gateway", "projectors", "postgres-read")
WIDTH = 150


class Took(Struct, frozen=True):
    """One question: its rate and latency with so many at once, the CPU of gateway, projectors and database for one
    answer, answers by status, and the plan; None for what is answered from elsewhere than tables."""

    name: str
    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: dict[str, float]
    statuses: dict[int, int]
    plan: Plan | None


class Queries(Struct, frozen=True):
    """All of them, and the most memory of the parts that answer (MiB); `refused` are questions that are not taken, with
    the reason."""

    at_once: int
    took: list[Took]
    refused: dict[str, str]
    memory: dict[str, float]


@click.command(help=__doc__)
@click.option("--data", "folder", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--at-once", default=32, show_default=True, type=click.IntRange(1, 1000))
@click.option("--seconds", default=3.0, show_default=True, type=click.FloatRange(0.1, 600), help="For each question.")
@click.option("--only", default="", metavar="TEXT", help="Questions with this in their name.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures as JSON.")
def main(folder: Path, at_once: int, seconds: float, only: str, file: Path | None) -> None:
    found = asyncio.run(on_kept_data(folder, at_once, seconds, only))
    show(found, Console())
    if file:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(found)))


async def on_kept_data(folder: Path, at_once: int, seconds: float, only: str) -> Queries:
    async with running_system(folder / "data") as system:
        return await measured(system, at_once, seconds, only)


async def measured(system: System, at_once: int, seconds: float, only: str = "") -> Queries:
    """Asks all questions whose names hold `only`, one after the other."""
    settings, key = system.settings, system.settings.api_key(PRINCIPAL)
    modules = list(read_models().values())
    handlers, models = query_handlers(modules), query_models(modules)
    owner = await asyncpg.connect(settings.read_dsn)
    pool = await open_pool(settings.read_dsn, "reader", 1, within_s=60)
    line = await open_line(settings.http_host, settings.http_port)
    try:
        await until(lambda: is_up(line, key), 120, "all read models to be live")
        await owner.execute("ANALYZE")
        asked, refused = await taken(line, key, list(handlers), await material_of(owner), only)
        took, looks = [], []
        for question in asked:
            one = await asked_at_once(system, key, question, at_once, seconds)
            looks.append(look({name: system.pids[name] for name in PARTS}, {}))
            if not isinstance(models[question.query][0], BucketModel):
                async with pool.acquire() as connection:
                    one = replace(one, plan=await explained(connection, handlers[question.query], question))
            took.append(one)
        return Queries(at_once, took, refused, {name: each.peak for name, each in memories(looks).items()})
    finally:
        line.close()
        await pool.close()
        await owner.close()


async def is_up(line: Line, key: str) -> bool:
    models = msgspec.json.decode((await line.ask(get_request("/consistency-lag", key))).body)["read_models"]
    return bool(models) and all(each["state"] == "live" for each in models)


async def taken(
    line: Line, key: str, queries: Sequence[type[Query]], material: Material, only: str
) -> tuple[list[Question], dict[str, str]]:
    """The questions that are taken, those deep in the pages of an answer too; and why others are not."""
    asked, refused = list[Question](), dict[str, str]()
    for question in questions(queries, material):
        if only.lower() not in f"{question.name} deep".lower():
            continue
        reply = await line.ask(get_request(question.paths()[0], key))
        if reply.status in (200, 404):
            asked.append(question)
            if deep := await deeper(line, key, question):
                asked.append(deep)
        else:
            refused[question.name] = f"{reply.status}: {msgspec.json.decode(reply.body).get('detail', '')}"
    return [each for each in asked if only.lower() in each.name.lower()], refused


async def deeper(line: Line, key: str, question: Question) -> Question | None:
    """The same question where its pages have gone on for long; None when it has no such pages."""
    found: list[Params] = []
    for params in question.asked[:DEEP_PLACES]:
        after = ""
        for _ in range(PAGES_DEEP):
            there = params | {"limit": 100} | ({"after": after} if after else {})
            reply = await line.ask(get_request(Question("", question.query, [there]).paths()[0], key))
            answer = msgspec.json.decode(reply.body) if reply.status == 200 else {}
            if not answer.get("next"):
                break
            after = answer["next"]
        if after:
            found.append(params | {"after": after})
    return Question(f"{question.name} deep", question.query, found) if found else None


async def asked_at_once(system: System, key: str, question: Question, at_once: int, seconds: float) -> Took:
    requests = [get_request(path, key) for path in question.paths()]
    pids = {name: system.pids[name] for name in PARTS}
    before = cpu_seconds(pids)
    run = await in_a_loop_of_its_own(closed_loop(system.settings.http_port, requests, at_once, seconds))
    answers = len(run.latencies)
    used = {name: round((cpu_seconds(pids)[name] - before[name]) * 1000 / answers, 3) for name in PARTS}
    p50, p99 = (quantile_ms(run.latencies, share) for share in (0.5, 0.99))
    return Took(question.name, round(answers / run.seconds, 1), p50, p99, used, run.statuses, None)


async def explained(connection: Any, handler: Any, question: Question) -> Plan | None:
    """The plan of that of a few questions which looks at most pages."""
    found = []
    for query in question.structs()[:5]:
        with nothing_found():
            found.append(await plan_of(connection, handler, query))
    return max(found, key=lambda plan: plan.pages, default=None)


@contextmanager
def nothing_found() -> Iterator[None]:
    try:
        yield
    except Rejected:
        return


def show(found: Queries, console: Console) -> None:
    console.width = WIDTH
    table = Table(title=f"Queries over HTTP, {found.at_once} at once")
    for place, heading in enumerate(("", "a second", "p50 ms", "p99 ms", "CPU ms", "rows read", "pages", "by")):
        table.add_column(heading, justify="right" if 0 < place < 7 else "left", overflow="fold")
    for each in found.took:
        plan = each.plan
        by = ", ".join([*(f"! all of {name}" for name in plan.read_whole), *plan.indexes]) if plan else ""
        late = "" if each.p99_ms <= GOAL_MS else " !"
        odd = {status: number for status, number in each.statuses.items() if status != 200}
        table.add_row(
            each.name + (f" {odd}" if odd else ""),
            f"{each.per_s:,.0f}",
            f"{each.p50_ms:.1f}",
            f"{each.p99_ms:.1f}{late}",
            f"{sum(each.cpu_ms.values()):.2f}",
            f"{plan.read:,}" if plan else "",
            f"{plan.pages:,}" if plan else "",
            by,
        )
    console.print(table)
    console.print("most memory, MiB: " + ", ".join(f"{name} {mib:,.0f}" for name, mib in found.memory.items()))
    for name, why in found.refused.items():
        console.print(f"[dim]not taken:[/] {name}: {why}", highlight=False)


if __name__ == "__main__":
    main()
