"""Real baskets played through a whole system: interrupted, repeated, and compared with the file to the cent."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
import pytest_asyncio
from msgspec import Struct

from common.client import connect
from contexts.order.commands import PlaceOrder, RequestedLine
from gateway.cli.year.wishes import NOBODY
from projectors.orders import GetOrder
from tests.servers import System, environment, until
from tests.short_year import short_year
from tests.test_up import daybook

BASKETS, ALL = 80, 160
HOW_MANY = "SELECT count(*) FROM read.orders WHERE channel = 'replay'"
DELIVERED = "SELECT count(*) FROM read.orders WHERE state = 'delivered'"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def reads(system: System) -> AsyncIterator[Any]:
    """The read tables."""
    pool = await asyncpg.create_pool(system.settings.read_dsn, min_size=0, max_size=1)
    yield pool
    await pool.close()


class Player(Struct, frozen=True):
    """Plays on one system; `variables` are those by which the command finds that, and its year."""

    data: Path
    variables: dict[str, str]

    async def plays(self, *words: str) -> tuple[int, dict[str, Any], str]:
        """Plays through NATS and delivers; exit code, result and what went wrong."""
        everything = ("replay", "--baskets", str(BASKETS), "--via", "nats", "--deliver", "--json", *words)
        code, output, errors = await daybook(self.data, *everything, **self.variables)
        return code, msgspec.json.decode(output) if output else {}, errors

    @asynccontextmanager
    async def at_work(self, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """One that a test may end.

        It hears Ctrl-C, also where a shell runs the tests in the background: there they ignore it, and so would it.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.cli", "replay", "--baskets", str(BASKETS), "--deliver", *words),
            env=environment(self.data) | self.variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@pytest.fixture(scope="module")
def player(system: System, tmp_path_factory: pytest.TempPathFactory) -> Player:
    """Its year has no more baskets than are played here."""
    variables = {"PYTHONPATH": short_year(tmp_path_factory.mktemp("year"), ALL)}
    return Player(system.settings.data, variables | {"DAYBOOK_HTTP_PORT": str(system.settings.http_port)})


async def some_are_delivered(reads: Any, number: int) -> None:
    async def are_there() -> bool:
        return bool(await reads.fetchval(DELIVERED) >= number)

    await until(are_there, within=90, what=f"{number} orders to be delivered")


async def test_one_of_another_channel_and_a_replay_that_is_killed_disturb_nothing(
    system: System, player: Player, reads: Any
) -> None:
    settings = system.settings
    async with connect(settings.nats_url, "replay", settings.password("replay")) as client:
        lines = (RequestedLine("tea", 2, amount=900, department="GROCERY"),)
        tea = PlaceOrder("tea-1", "household-1", "shop-1", NOBODY, "pm_ok", "USD", lines)
        await client.ask(GetOrder("tea-1"), 30, after=await client.send(tea))
    async with player.at_work("--via", "nats", "--rate", "20") as process:
        await some_are_delivered(reads, 20)
        process.kill()
    before = await reads.fetchval(HOW_MANY)
    assert 20 <= before < BASKETS
    code, played, errors = await player.plays()
    assert (code, errors) == (0, "")
    assert played["sent"] + played["skipped"] == BASKETS and played["sent"] > 0 and played["skipped"] >= before
    assert played["found"]["differences"] == []
    assert played["found"]["states"] == {"delivered": BASKETS}
    compared = {each["by"].split(" as of ")[0] for each in played["found"]["compared"]}
    assert compared == {"", "department", "week", "day", "site", "product", "sales"}


async def test_what_has_been_played_is_not_sent_again_by_either_door(player: Player, reads: Any) -> None:
    for via in ("http", "nats"):
        code, played, errors = await player.plays("--via", via)
        assert (code, errors) == (0, "")
        assert (played["sent"], played["skipped"]) == (0, BASKETS)
    assert await reads.fetchval(HOW_MANY) == BASKETS


async def test_after_ctrl_c_it_says_how_to_go_on_and_does(player: Player, reads: Any) -> None:
    # As slowly as this it takes long: it cannot be at its end before it is stopped.
    async with player.at_work("--baskets", str(ALL), "--rate", "3") as process:
        await some_are_delivered(reads, BASKETS + 5)
        process.send_signal(signal.SIGINT)
        _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 130
    assert "The same command goes on from here" in errors.decode() and "Traceback" not in errors.decode()
    # Fewer than there are already: those beyond are compared too.
    code, played, errors_again = await player.plays()
    assert (code, errors_again) == (0, "")
    assert sum(played["found"]["states"].values()) > BASKETS == played["skipped"]


async def test_while_the_read_database_is_away_it_waits(system: System, player: Player, reads: Any) -> None:
    before = await reads.fetchval(DELIVERED)
    async with player.at_work("--baskets", str(ALL), "--via", "nats", "--rate", "20", "--json") as process:
        await some_are_delivered(reads, before + 1)
        await system.kill_and_wait("postgres-read")
        output, errors = await asyncio.wait_for(process.communicate(), 120)
    assert (process.returncode, errors.decode()) == (0, "")
    assert msgspec.json.decode(output)["found"]["states"] == {"delivered": ALL}


@pytest.mark.parametrize(
    ("spoilt", "mended", "said"),
    [
        (
            "UPDATE read.orders SET total = total + 1, paid = paid + 1 WHERE order_id = $1",
            "UPDATE read.orders SET total = total - 1, paid = paid - 1 WHERE order_id = $1",
            "revenue of order {order}",
        ),
        (
            "UPDATE read.orders SET channel = 'lost' WHERE order_id = $1",
            "UPDATE read.orders SET channel = 'replay' WHERE order_id = $1",
            "orders of order {order}: 1 in the file, 0 in the views",
        ),
        (
            "UPDATE read.stock_levels SET reserved = reserved + 1 WHERE (site, sku) = (SELECT site, min(sku)"
            " FROM read.stock_levels JOIN read.orders USING (site) WHERE order_id = $1 GROUP BY site)",
            "UPDATE read.stock_levels SET reserved = reserved - 1 WHERE (site, sku) = (SELECT site, min(sku)"
            " FROM read.stock_levels JOIN read.orders USING (site) WHERE order_id = $1 GROUP BY site)",
            "set aside of site {site}: 0 in the file, 1 in the views",
        ),
        (
            "UPDATE read.sales SET units = units + 1 WHERE sku <> '' AND (sku, day) = (SELECT min(lines->0->>'sku'),"
            " min(placed_at)::date FROM read.orders WHERE order_id = $1)",
            "UPDATE read.sales SET units = units - 1 WHERE sku <> '' AND (sku, day) = (SELECT min(lines->0->>'sku'),"
            " min(placed_at)::date FROM read.orders WHERE order_id = $1)",
            "units of product {sku}",
        ),
    ],
)
async def test_a_cent_or_a_piece_too_much_in_a_view_is_an_error_that_names_it(
    player: Player, reads: Any, spoilt: str, mended: str, said: str
) -> None:
    order, site, sku = await reads.fetchrow(
        "SELECT order_id, site, lines->0->>'sku' FROM read.orders WHERE channel = 'replay' ORDER BY placed_at LIMIT 1"
    )
    await reads.execute(spoilt, order)
    try:
        code, played, errors = await player.plays()
    finally:
        await reads.execute(mended, order)
    assert code == 1
    assert said.format(order=order, site=site, sku=sku) in errors and "the views and the file differ" in errors
    assert played["found"]["differences"] and not played["found"]["moving"]


async def test_how_many_is_a_number_or_all(system: System) -> None:
    for wrong in ("0", "-1", "many"):
        code, _, errors = await daybook(system.settings.data, "replay", "--baskets", wrong)
        assert (code, "not a number from 1 on" in errors or "No such option" in errors) == (2, True)
