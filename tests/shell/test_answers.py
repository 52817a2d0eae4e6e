"""Queries over NATS: strict questions, answers that are never lost for words, replies only to who asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
import nats.errors
import pytest
import pytest_asyncio
from msgspec import Struct
from nats.aio.client import Client

from common.bus.connect import connect
from common.config import Settings
from common.context import Context, Known
from common.dispatch import QueryDispatcher
from common.messages import Event, Id, Query, Rejected
from common.recorded import STATUS_HEADER
from common.shell import history
from common.shell.answers import Answers, answers_app, asked_directly
from common.shell.context_queries import context_queries
from common.shell.history import Asker
from common.store.append import Batch, append
from common.store.new_rows import NewReceipt
from tests.shell.conftest import Desk as WorkersDesk
from tests.shell.toys import NOON, Added, Emptied
from tests.shell.worlds import World


class GetThing(Query):
    """A question of the tests."""

    thing: Id
    times: int = 1


class Jar(Struct, frozen=True):
    """What is in a jar now."""

    drops: int = 0
    colours: frozenset[str] = frozenset()


async def get_thing(query: GetThing, connection: str) -> Any:
    match query.thing:
        case "nothing":
            return None
        case "broken":
            raise ZeroDivisionError("a fault of the code")
        case "away":
            raise ConnectionRefusedError
        case "refused":
            raise Rejected("malformed", "not so - at `$.thing`")
    return {"thing": query.thing, "times": query.times, "by": connection}


@asynccontextmanager
async def principal_itself(principal: str) -> AsyncIterator[str]:
    yield principal


def things() -> Answers:
    async def freshness(query: type[Query], connection: Any) -> dict[str, str]:
        return {"Daybook-Position": "things=7"}

    return Answers([GetThing], asked_directly(QueryDispatcher({GetThing: get_thing}), principal_itself, freshness))


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"thing":"nothing"}', 404, "not-found"),
        (b'{"thing":"broken"}', 500, "internal"),
        (b'{"thing":"away"}', 503, "database-away"),
        (b'{"thing":"refused"}', 400, "malformed"),
        (b'{"thing":"a","other":1}', 400, "malformed"),
        (b'{"thing":"a","times":"1"}', 400, "malformed"),
        (b'{"thing":"a","times":1.5}', 400, "malformed"),
        (b'{"thing":"a b"}', 400, "malformed"),
        (b'{"thing":"\xff"}', 400, "malformed"),
        (b"", 400, "malformed"),
        (b"[" * 5000, 400, "malformed"),
        (b" " * 65_537, 413, "too-large"),
    ],
)
async def test_what_goes_wrong_is_answered_as_a_problem(body: bytes, status: int, code: str) -> None:
    answer = await things().answer(GetThing, "alice", body)
    problem = msgspec.json.decode(answer.body)
    assert (answer.status, problem["status"], problem["code"]) == (status, status, code)
    assert problem["type"] == f"/problems/{code}"
    assert "fault of the code" not in problem["detail"]


async def test_a_refusal_names_the_field() -> None:
    answer = await things().answer(GetThing, "alice", b'{"thing":"a","times":"1"}')
    assert msgspec.json.decode(answer.body)["field"] == "$.times"


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def answering(settings: Settings) -> AsyncIterator[None]:
    app = answers_app(settings, things())
    await app.start()
    yield
    await app.stop()


@pytest.mark.usefixtures("answering")
async def test_an_answer_comes_with_its_status_and_its_freshness(settings: Settings, nc: Client) -> None:
    gateway = await connect(settings, "gateway")
    reply = await gateway.request("query.alice.GetThing", b'{"thing":"a"}', timeout=5)
    assert msgspec.json.decode(reply.data) == {"thing": "a", "times": 1, "by": "alice"}
    assert reply.headers is not None
    assert (reply.headers[STATUS_HEADER], reply.headers["Daybook-Position"]) == ("200", "things=7")
    await gateway.close()


@pytest.mark.usefixtures("answering")
async def test_nothing_is_said_to_anybody_but_the_asker(nc: Client) -> None:
    """Somebody who may ask as alice sets a reply subject that is not hers."""
    heard = []
    for subject in ("event.order.OrderPlaced.1", "_INBOX.bob.1", "_INBOX.alice", "_INBOX.alice2.1", "answer.alice"):
        heard.append(await nc.subscribe(subject))
        await nc.publish("query.alice.GetThing", b'{"thing":"a"}', reply=subject)
    mine = await nc.subscribe("_INBOX.alice.1")
    await nc.publish("query.alice.GetThing", b'{"thing":"last"}', reply="_INBOX.alice.1")
    assert b"last" in (await mine.next_msg(timeout=5)).data
    await nc.flush()
    assert [each.pending_msgs for each in heard] == [0] * 5
    for each in (*heard, mine):
        await each.unsubscribe()


@pytest.mark.usefixtures("answering")
async def test_many_questions_at_once_are_all_answered(settings: Settings) -> None:
    gateway = await connect(settings, "gateway")
    questions = [
        gateway.request(f"query.p{i}.GetThing", msgspec.json.encode({"thing": f"t{i}"}), timeout=10) for i in range(300)
    ]
    answers = [msgspec.json.decode(reply.data) for reply in await asyncio.gather(*questions)]
    assert [(each["thing"], each["by"]) for each in answers] == [(f"t{i}", f"p{i}") for i in range(300)]
    await gateway.close()


@pytest.mark.usefixtures("answering")
async def test_an_unknown_question_has_no_answer(nc: Client) -> None:
    with pytest.raises(nats.errors.NoRespondersError):
        await nc.request("query.alice.GetNothing", b"{}", timeout=5)


def jar_context(name: str) -> Context:
    def decide(command: Any, state: Jar, known: Known) -> list[Event]:
        return []

    def evolve(state: Jar, event: Event) -> Jar:
        match event:
            case Added(drops=drops, colour=colour):
                return Jar(state.drops + drops, state.colours | {colour})
            case _:
                return Jar()

    return Context(name=name, commands=(), events=(Added, Emptied), initial=Jar(), decide=decide, evolve=evolve)


class Desk:
    """Asks the context's own queries."""

    def __init__(self, world: World, context: Context) -> None:
        self.handlers = context_queries(context)
        self._types = {kind.__name__: kind for kind in self.handlers}

        @asynccontextmanager
        async def asker(principal: str) -> AsyncIterator[Asker]:
            yield Asker(world.reader, principal)

        self._answers = Answers(self.handlers, asked_directly(QueryDispatcher(self.handlers), asker))
        self._prefix = context.name.capitalize()

    async def ask(self, kind: str, principal: str = "alice", **question: Any) -> tuple[int, Any]:
        query = self._types[f"{self._prefix}{kind}"]
        answer = await self._answers.answer(query, principal, msgspec.json.encode(question))
        return answer.status, msgspec.json.decode(answer.body)


@pytest.fixture
def desk_of(world: World) -> Desk:
    return Desk(world, jar_context(world.name))


async def test_history_is_given_page_by_page(world: World, desk_of: Desk) -> None:
    await world.record(*(("a", Added(i)) for i in range(5)), ("b", Emptied()))
    status, page = await desk_of.ask("History", stream="a", after=1, limit=2)
    assert (status, [each["version"] for each in page["events"]], page["next"]) == (200, [2, 3], 3)
    assert page["events"][0]["data"] == {"drops": 1, "colour": "blue"}
    assert page["events"][0]["command_id"] == "a-2"
    _, last = await desk_of.ask("History", stream="a", after=3, limit=2)
    assert ([each["version"] for each in last["events"]], last["next"]) == ([4, 5], None)
    assert (await desk_of.ask("History", stream="a", after=5))[1]["events"] == []
    assert (await desk_of.ask("History", stream="unknown"))[0] == 404


async def test_events_that_the_code_no_longer_knows_stay_in_history_as_they_were(world: World) -> None:
    await world.record(("a", Added(1)), ("a", Emptied()), ("a", Added(2)))
    desk = Desk(world, msgspec.structs.replace(jar_context(world.name), events=(Emptied,)))
    _, page = await desk.ask("History", stream="a")
    assert [each["data"] for each in page["events"]] == [
        {"drops": 1, "colour": "blue"},
        {},
        {"drops": 2, "colour": "blue"},
    ]


async def test_a_state_can_be_asked_for_at_a_version_at_a_time_and_now(world: World, desk_of: Desk) -> None:
    for drops in (1, 2, 4):
        await world.record(("a", Added(drops)))
    times = [each.recorded_at for each in await world.reader.stream("a", 0, 3)]
    status, at_2 = await desk_of.ask("AsOf", stream="a", version=2)
    assert (status, at_2["version"], at_2["state"]) == (200, 2, {"drops": 3, "colours": ["blue"]})
    _, then = await desk_of.ask("AsOf", stream="a", time=times[1] + timedelta(microseconds=1))
    assert (then["version"], then["recorded_at"]) == (2, at_2["recorded_at"])
    _, now = await desk_of.ask("AsOf", stream="a")
    assert (now["version"], now["state"]["drops"]) == (3, 7)
    assert (await desk_of.ask("AsOf", stream="a", time=times[0] - timedelta(seconds=1)))[0] == 404
    assert (await desk_of.ask("AsOf", stream="a", version=4))[0] == 404
    assert (await desk_of.ask("AsOf", stream="a", version=1, time=NOON))[0] == 400


async def test_a_long_stream_is_folded_page_by_page_to_any_version_and_time(
    world: World, desk_of: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "PAGE", 6)
    monkeypatch.setattr(history, "BREATH", 4)
    await world.record(*(("a", Added(1)) for _ in range(12)), ("b", Added(100)))
    await world.record(*(("a", Added(1)) for _ in range(3)))
    times = [each.recorded_at for each in await world.reader.stream("a", 0, 20)]
    for version in range(1, 16):
        _, then = await desk_of.ask("AsOf", stream="a", version=version)
        assert (then["version"], then["state"]["drops"]) == (version, version)
    assert (await desk_of.ask("AsOf", stream="a", time=times[11]))[1]["state"]["drops"] == 12
    assert (await desk_of.ask("AsOf", stream="a"))[1]["version"] == 15
    assert (await desk_of.ask("AsOf", stream="a", version=16))[0] == 404


async def test_others_get_their_turn_while_a_long_stream_is_folded(world: World, desk_of: Desk) -> None:
    await world.record(*(("a", Added(1)) for _ in range(3000)))
    folding, turns = asyncio.create_task(desk_of.ask("AsOf", stream="a")), 0
    while not folding.done():
        await asyncio.sleep(0)
        turns += 1
    assert folding.result()[1]["version"] == 3000
    assert turns > 3000 // history.BREATH


async def test_receipts_are_given_in_the_askers_name_only(world: World, desk_of: Desk) -> None:
    receipts = [
        NewReceipt(who, "c1", "h", "accepted", "Add", "a", 1, 0, 0, "", "", "{}", "c1", NOON)
        for who in ("alice", "bob")
    ]
    await append(world.writer, world.name, world.epochs, Batch({}, [], receipts, {}, {}, []))
    _, mine = await desk_of.ask("Receipts", ids=["c1", "c2"])
    assert {name: each["principal"] for name, each in mine.items()} == {"c1": "alice"}
    assert (await desk_of.ask("Receipts", "carol", ids=["c1"]))[1] == {}


async def test_the_head_tells_how_far_each_reader_is_behind(world: World, desk_of: Desk) -> None:
    await world.record(*(("a", Added(i)) for i in range(5)))
    _, head = await desk_of.ask("Head", after=[2, 5])
    assert (head["context"], head["position"]) == (world.name, 5)
    assert [each["events"] for each in head["lag"]] == [3, 0]
    assert head["lag"][0]["ms"] > 0 == head["lag"][1]["ms"]


async def test_how_old_events_are_is_unknown_when_the_clock_has_gone_back(world: World, desk_of: Desk) -> None:
    await world.owner_says("UPDATE {s}.head SET recorded_at = now() + interval '1 hour'")
    await world.record(("a", Added(1)), ("a", Added(2)))
    _, head = await desk_of.ask("Head", after=[0, 1, 2])
    assert head["lag"] == [{"events": 2, "ms": None}, {"events": 1, "ms": None}, {"events": 0, "ms": 0.0}]


@pytest.mark.parametrize(
    ("roles", "open_to"),
    [
        (["operator", "personal-data"], True),
        (["personal-data-HERE"], True),
        (["personal-data-elsewhere"], False),
        (["operator"], False),
        ([], False),
    ],
)
async def test_personal_data_is_open_only_to_those_who_may_read_it(
    desk: WorkersDesk, roles: list[str], open_to: bool
) -> None:
    await desk.settle(desk.message("b1", "LendBook", "c1", reader="ann", phone="555-0100"))
    remembering = msgspec.structs.replace(desk.context, evolve=lambda state, event: event)
    held = frozenset(role.replace("HERE", desk.context.name) for role in roles)

    @asynccontextmanager
    async def asker(principal: str) -> AsyncIterator[Asker]:
        yield Asker(desk.reader, principal, held)

    handlers = context_queries(remembering, desk.vault.opened)
    answers = Answers(handlers, asked_directly(QueryDispatcher(handlers), asker))
    history, as_of, *_ = handlers
    page = msgspec.json.decode((await answers.answer(history, "alice", b'{"stream":"b1"}')).body)
    state = msgspec.json.decode((await answers.answer(as_of, "alice", b'{"stream":"b1"}')).body)["state"]
    for phone in (page["events"][0]["data"]["phone"], state["phone"]):
        if open_to:
            assert phone == {"phone": "555-0100"}
        else:
            assert set(phone) == {"person", "sealed"}
