"""The worker gives every command its own answer, exactly once, whatever happens to its neighbours (P1-P4)."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from common.config import Settings
from common.recorded import Receipt, Recorded
from common.shell.admission import Admitted
from common.shell.feed import partitions
from common.shell.lease import LeaseKeeper
from common.shell.telling import Outbox
from common.shell.worker import Worker
from common.store.append import LeaseLost
from tests.shell.conftest import Desk, numbers, open_desk
from tests.shell.lending import lending


async def test_a_command_becomes_events_and_a_receipt(desk: Desk) -> None:
    pushed = await desk.settle(desk.message("b1", "LendBook", "c1", reader="ann"))
    assert await desk.events() == [("b1", 1, "BookLent")]
    stored = await desk.reader.receipts("alice", ["c1"])
    assert stored == pushed
    assert (pushed["c1"].state, pushed["c1"].version, pushed["c1"].position) == ("accepted", 1, 1)
    (event,) = await desk.reader.page(0, 10)
    assert (event.command_id, event.principal, event.correlation_id, event.n) == ("c1", "alice", "c1", 0)


async def test_later_commands_of_a_batch_see_what_earlier_ones_have_changed(desk: Desk) -> None:
    pushed = await desk.settle(
        desk.message("b1", "LendBook", "c1", reader="ann"),
        desk.message("b1", "LendBook", "c2", reader="ben"),
        desk.message("b1", "ReturnBook", "c3"),
        desk.message("b1", "LendBook", "c4", reader="ben"),
    )
    assert [pushed[f"c{i}"].state for i in (1, 2, 3, 4)] == ["accepted", "rejected", "accepted", "accepted"]
    assert [pushed[f"c{i}"].version for i in (1, 2, 3, 4)] == [1, 1, 2, 3]
    assert pushed["c2"].code == "book.lent"
    assert pushed["c2"].detail == {"reader": "ann"}


@pytest.mark.parametrize(
    ("kind", "fields", "state", "code"),
    [
        ("LendBook", {"reader": "ann", "desk": "one"}, "rejected", "book.desk-taken"),
        ("LendBook", {"reader": "ann", "desk": "ONE"}, "rejected", "book.desk-taken"),
        ("ReturnBook", {"expected": 7}, "rejected", "version-mismatch"),
        ("LendBook", {"reader": "bad reader"}, "rejected", "malformed"),
        ("LendBook", {"reader": "crash"}, "parked", "crashed"),
        ("LendBook", {"reader": "unstorable"}, "parked", "crashed"),
        ("LendBook", {"reader": "wishless"}, "parked", "crashed"),
        ("LendBook", {"reader": "odd"}, "rejected", "book.odd"),
        ("LendBook", {"body": b'{"a\\u0000":1}'}, "rejected", "malformed"),
        ("StealBook", {}, "rejected", "unknown-command"),
        ("RecallBook", {}, "rejected", "not-allowed"),
    ],
)
async def test_one_command_that_fails_leaves_its_99_neighbours_done(
    desk: Desk, kind: str, fields: dict[str, Any], state: str, code: str
) -> None:
    await desk.settle(desk.message("first", "LendBook", "first", reader="ann", desk="one"))
    batch = [desk.message(f"b{i}", "LendBook", f"c{i}", reader="ann", desk=f"d{i}") for i in range(99)]
    batch.insert(50, desk.message("odd", kind, "odd", **fields))
    pushed = await desk.settle(*batch)
    assert (pushed["odd"].state, pushed["odd"].code) == (state, code)
    assert [pushed[f"c{i}"].state for i in range(99)] == ["accepted"] * 99
    assert await desk.count("receipts") == 101
    assert [e.position for e in await desk.reader.page(0, 200)] == list(range(1, 101))
    assert await desk.reader.receipts("alice", list(pushed)) == pushed


async def test_a_claim_freed_in_a_batch_can_be_taken_in_the_same_batch(desk: Desk) -> None:
    pushed = await desk.settle(
        desk.message("b1", "LendBook", "c1", reader="ann", desk="one"),
        desk.message("b2", "LendBook", "c2", reader="ben", desk="one"),
        desk.message("b1", "ReturnBook", "c3"),
        desk.message("b2", "LendBook", "c4", reader="ben", desk="one"),
    )
    assert [pushed[f"c{i}"].state for i in (1, 2, 3, 4)] == ["accepted", "rejected", "accepted", "accepted"]
    assert await desk.owner.fetchval(f'SELECT stream FROM "{desk.name}".claims') == "b2"


async def test_behind_a_parked_command_its_key_waits_and_others_go_on(desk: Desk) -> None:
    first = await desk.settle(
        desk.message("b1", "LendBook", "bad", reader="crash"),
        desk.message("b1", "LendBook", "next", reader="ann"),
        desk.message("b2", "LendBook", "other", reader="ann"),
    )
    later = await desk.settle(desk.message("b1", "ReturnBook", "later"), desk.message("b2", "ReturnBook", "fine"))
    assert {name: receipt.state for name, receipt in (first | later).items()} == {
        "bad": "parked", "next": "parked", "other": "accepted", "later": "parked", "fine": "accepted",
    }  # fmt: skip
    assert (first["next"].message, later["later"].message) == ("behind bad", "behind next")
    assert await desk.count("parked") == 3


async def test_a_repeated_command_gets_its_first_answer_again(desk: Desk) -> None:
    first = await desk.settle(
        desk.message("b1", "LendBook", "c1", reader="ann"), desk.message("b1", "LendBook", "c1", reader="ann")
    )
    again = await desk.settle(desk.message("b1", "LendBook", "c1", reader="ann"))
    assert first == again
    assert len(await desk.events()) == 1


async def test_another_command_under_a_used_id_is_refused_and_the_first_answer_stays(desk: Desk) -> None:
    first = await desk.settle(desk.message("b1", "LendBook", "c1", reader="ann"))
    other = await desk.settle(desk.message("b1", "LendBook", "c1", reader="ben"))
    assert (other["c1"].state, other["c1"].code) == ("rejected", "command-id-used")
    assert await desk.reader.receipts("alice", ["c1"]) == first


async def test_the_same_id_of_another_principal_is_another_command(desk: Desk) -> None:
    await desk.settle(desk.message("b1", "LendBook", "c1", reader="ann"))
    await desk.settle(desk.message("b2", "LendBook", "c1", principal="bob", reader="ann"))
    assert await desk.count("receipts") == 2


async def test_what_is_not_ours_or_cannot_be_answered_is_dropped_and_counted(desk: Desk) -> None:
    ack = desk.message("b1", "LendBook", "c1", body=b'{"stream":"COMMANDS","seq":1}')
    ack.headers.clear()
    nameless = desk.message("b1", "LendBook", "a.b", reader="ann")
    assert await desk.settle(ack, nameless) == {}
    assert (desk.worker.tally.dropped, await desk.count("receipts")) == (2, 0)
    lease = next(lease for lease in await desk.table.all() if lease.name == "0")
    assert lease.done == nameless.sequence


@pytest.mark.parametrize("key", ["*", ">", "a b", "ä", "k" * 65, "a\0b", "a\ufffdb"])
async def test_a_key_with_other_characters_is_refused(desk: Desk, key: str) -> None:
    pushed = await desk.settle(desk.message(key, "LendBook", "c1", reader="ann"))
    assert (pushed["c1"].state, pushed["c1"].code) == ("rejected", "malformed")


async def test_a_guest_may_not(desk: Desk) -> None:
    pushed = await desk.settle(desk.message("b1", "LendBook", "c1", principal="guest", reader="ann"))
    stranger = await desk.settle(desk.message("b1", "LendBook", "c1", principal="nobody", reader="ann"))
    assert pushed["c1"].code == stranger["c1"].code == "not-allowed"


async def test_only_reactions_send_what_has_no_public_route(desk: Desk) -> None:
    pushed = await desk.settle(desk.message("b1", "RecallBook", "c1", principal=desk.name))
    assert pushed["c1"].state == "accepted"


async def test_states_that_another_writer_has_changed_are_loaded_again(desk: Desk) -> None:
    await desk.settle(desk.message("b1", "LendBook", "c1", reader="ann"))
    other = Worker(desk.context, desk.worker._admission, desk.pool, desk.vault, desk.leases, quiet())
    await other.settle(other.admit([desk.message("b1", "ReturnBook", "c2")]))
    pushed = await desk.settle(desk.message("b1", "ReturnBook", "c3"), desk.message("b1", "LendBook", "c4", reader="x"))
    assert [pushed["c3"].events, pushed["c4"].version] == [0, 3]


def quiet() -> Outbox:
    async def tell(what: object) -> None:
        pass

    return Outbox(tell, tell)


async def test_a_lost_lease_means_no_events_no_receipts_and_no_push(desk: Desk) -> None:
    successor = LeaseKeeper(desk.table, "second", partitions(), 60)
    taken = await desk.table.take("second", await desk.table.all())
    successor.held = {lease.name: lease for lease in taken}
    with pytest.raises(LeaseLost):
        await desk.settle(desk.message("b1", "LendBook", "c1", reader="ann"))
    assert (desk.pushed, await desk.count("receipts"), await desk.count("events")) == ([], 0, 0)
    second = desk.make_worker(successor)
    await second.settle(second.admit([desk.message("b1", "LendBook", "c1", reader="ann")]))
    assert await desk.count("receipts") == 1


async def test_an_append_of_unknown_outcome_is_done_once(desk: Desk) -> None:
    """The answer to a commit is lost, as when the connection dies: the receipts tell that it happened."""
    lost: list[int] = []

    async def answer_is_lost(events: Sequence[Recorded]) -> None:
        if not lost:
            lost.append(events[-1].position)
            raise ConnectionResetError

    told: list[Receipt] = []

    async def answered(receipts: Sequence[Receipt]) -> None:
        told.extend(receipts)

    worker = Worker(
        desk.context, desk.worker._admission, desk.pool, desk.vault, desk.leases, Outbox(answered, answer_is_lost)
    )
    await worker.settle(worker.admit([desk.message(f"b{i}", "LendBook", f"c{i}", reader="ann") for i in range(5)]))
    assert lost == [5]
    assert [receipt.position for receipt in told] == [1, 2, 3, 4, 5]
    assert (await desk.count("events"), await desk.count("receipts")) == (5, 5)


async def test_connections_that_are_cut_again_and_again_change_nothing(desk: Desk) -> None:
    """Whatever was under way when a connection died, events and receipts are written once."""

    async def cut(times: int) -> None:
        for _ in range(times):
            await desk.login.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'daybook writer'"
            )

    batches = [[desk.message(f"b{i}-{n}", "LendBook", f"c{i}-{n}", reader="ann") for n in range(10)] for i in range(30)]
    for i, batch in enumerate(batches):
        await asyncio.gather(desk.settle(*batch), cut(5 if i % 3 == 0 else 0))
    assert await desk.count("events") == await desk.count("receipts") == 300


async def test_a_command_that_has_killed_the_process_twice_is_parked(desk: Desk) -> None:
    deadly = desk.message("b1", "LendBook", "deadly", reader="ann")
    for _ in range(2):  # The mark is made, and the process dies before it can settle.
        await desk.table.attempt("0", desk.leases.held["0"].epoch, deadly.sequence)
    await desk.worker.settle_carefully(*desk.worker.admit([deadly]))
    fine = desk.message("b2", "LendBook", "fine", reader="ann")
    await desk.worker.settle_carefully(*desk.worker.admit([fine]))
    receipts = await desk.reader.receipts("alice", ["deadly", "fine"])
    assert [receipts["deadly"].state, receipts["fine"].state] == ["parked", "accepted"]
    assert "died 2 times" in receipts["deadly"].message


async def test_personal_data_rests_sealed_in_events_and_parked_commands(desk: Desk) -> None:
    await desk.settle(
        desk.message("b1", "LendBook", "c1", reader="ann", phone="555-0100"),
        desk.message("b2", "LendBook", "c2", reader="crash", phone="555-0100"),
    )
    for table in ("events", "parked", "receipts"):
        texts = await desk.owner.fetch(f'SELECT t::text AS text FROM "{desk.name}".{table} t')
        assert texts
        assert not [row for row in texts if "555-0100" in row["text"]]


async def test_what_a_crash_says_of_a_person_is_not_stored(desk: Desk) -> None:
    pushed = await desk.settle(desk.message("b1", "LendBook", "c1", reader="crash", phone="555-0100"))
    assert pushed["c1"].message.startswith("ZeroDivisionError at lending.py:")
    reason = await desk.owner.fetchval(f'SELECT reason FROM "{desk.name}".parked')
    assert "555-0100" not in reason + pushed["c1"].message


@pytest.mark.parametrize("reader", ["crash", "wishless"])
async def test_what_a_crash_says_of_a_person_is_not_logged_but_where_it_was(
    desk: Desk, caplog: pytest.LogCaptureFixture, reader: str
) -> None:
    await desk.settle(desk.message("b1", "LendBook", "c1", reader=reader, phone="555-0100"))
    (told,) = [each for each in caplog.records if each.levelname == "ERROR" and "is parked" in each.getMessage()]
    assert "555-0100" not in caplog.text
    assert told.exc_info is None
    assert "lending.py:" in told.getMessage()


async def test_of_a_crash_without_a_person_all_is_logged(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    def decide(command: Any, book: Any, known: Any) -> list[Any]:
        raise ZeroDivisionError(f"near {command.book_id}")

    async with open_desk(settings, replace(lending(f"loud{next(numbers)}"), decide=decide)) as desk:
        await desk.settle(desk.message("b1", "ReturnBook", "c1"))
    assert "ZeroDivisionError: near b1" in caplog.text


@pytest.mark.parametrize(("reader", "words"), [("ann", False), ("", True)])
async def test_a_fault_of_a_batch_is_logged_with_its_words_unless_they_may_be_a_persons(
    desk: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, reader: str, words: bool
) -> None:
    def fail(*args: Any) -> Any:
        monkeypatch.undo()
        raise LookupError("555-0100")

    monkeypatch.setattr(desk.worker.snapshots, "note", fail)
    kind, fields = ("LendBook", {"reader": reader}) if reader else ("ReturnBook", {})
    await desk.settle(desk.message("b1", kind, "c1", **fields))
    assert ("555-0100" in caplog.text, "LookupError at" in caplog.text) == (words, True)


async def test_a_refused_command_to_a_stream_at_hand_is_answered_and_counted_with_its_neighbours(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    await desk.settle(desk.message("b1", "LendBook", "c1", reader="ann"))
    pushed = await desk.settle(
        desk.message("b1", "LendBook", "odd", body=b'{"nonsense": 1}'),
        desk.message("b2", "LendBook", "c2", reader="ann"),
    )
    assert (pushed["odd"].code, pushed["c2"].state) == ("malformed", "accepted")
    assert (desk.worker.tally.accepted, desk.worker.tally.rejected, desk.worker.tally.batches) == (2, 1, 2)
    assert [each.stream for each in desk.recorded] == ["b1", "b2"]
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


async def test_a_stream_that_cannot_be_understood_holds_back_itself_alone(desk: Desk) -> None:
    await desk.settle(desk.message("b1", "LendBook", "c1", reader="ann"))
    await desk.login.execute(f"UPDATE \"{desk.name}\".events SET data = '[]'")
    desk.worker.forget()
    pushed = await desk.settle(
        desk.message("b1", "ReturnBook", "c2"), desk.message("b2", "LendBook", "c3", reader="ann")
    )
    assert [pushed["c2"].state, pushed["c3"].state] == ["parked", "accepted"]


async def test_two_workers_that_race_for_a_claim_park_nobody(desk: Desk) -> None:
    """Each decides by what it has loaded; who comes second decides again."""
    second = desk.make_worker(desk.leases)
    for i in range(40):
        mine = desk.message(f"m{i}", "LendBook", f"m{i}", reader="ann", desk="one")
        theirs = desk.message(f"t{i}", "LendBook", f"t{i}", reader="ann", desk="one")
        await asyncio.gather(desk.settle(mine), second.settle(second.admit([theirs])))
        back = [desk.message(f"{who}{i}", "ReturnBook", f"{who}r{i}") for who in "mt"]
        await asyncio.gather(desk.settle(back[0]), second.settle(second.admit(back[1:])))
    assert await desk.count("parked") == 0
    assert await desk.count("events") >= 80
    assert await desk.count("claims") == 0


async def test_states_of_an_epoch_before_are_not_decided_on(desk: Desk) -> None:
    """A worker that was stopped, succeeded and got its leases back knows nothing of what its successor did."""
    await desk.settle(desk.message("b1", "LendBook", "c1", reader="ann"), desk.message("b1", "ReturnBook", "c2"))
    successor = LeaseKeeper(desk.table, "second", partitions(), 60)
    taken = await desk.table.take("second", await desk.table.all())
    successor.held = {lease.name: lease for lease in taken}
    second = desk.make_worker(successor)
    await second.settle(second.admit([desk.message("b1", "LendBook", "c3", reader="ben")]))
    await desk.table.release(successor.epochs(list(successor.held)))
    await desk.leases.keep()
    pushed = await desk.settle(desk.message("b1", "ReturnBook", "c4"))
    assert (pushed["c4"].events, pushed["c4"].version) == (1, 4)


async def test_only_what_is_recorded_of_a_person_makes_a_key(desk: Desk) -> None:
    before = await desk.login.fetchval("SELECT count(*) FROM keys.personal_keys")
    await desk.settle(
        desk.message("b1", "LendBook", "c1", reader=f"kept-{desk.name}"),
        desk.message("b1", "LendBook", "c2", reader=f"refused-{desk.name}"),
        desk.message("b1", "LendBook", "c1", reader=f"repeated-{desk.name}"),
    )
    assert await desk.login.fetchval("SELECT count(*) FROM keys.personal_keys") == before + 1


async def test_of_a_person_whose_key_is_destroyed_nothing_more_is_taken(desk: Desk) -> None:
    person = f"erased-{desk.name}"
    await desk.login.execute("INSERT INTO keys.personal_keys (person, destroyed_at) VALUES ($1, now())", person)
    pushed = await desk.settle(desk.message("b1", "LendBook", "c1", reader=person))
    assert (pushed["c1"].state, pushed["c1"].code) == ("rejected", "person-erased")


async def test_a_refused_command_sent_again_in_other_words_gets_its_first_answer(desk: Desk) -> None:
    first = await desk.settle(
        desk.message("b1", "LendBook", "c1", principal="guest", body=b'{"reader":"ann","desk":"x"}')
    )
    again = await desk.settle(
        desk.message("b1", "LendBook", "c1", principal="guest", body=b'{ "desk":"x", "reader":"ann"}')
    )
    assert first == again
    assert first["c1"].code == "not-allowed"


async def test_a_message_that_nothing_can_be_stored_of_is_answered_all_the_same(desk: Desk) -> None:
    """As a last resort: whatever makes a receipt unstorable must not stop its partition."""
    odd = desk.message("b1", "StealBook", "c1")
    admitted = desk.worker._admission.admit(odd)
    assert isinstance(admitted, Admitted)
    await desk.worker._settle([msgspec.structs.replace(admitted, key="\0")], {})
    receipt = (await desk.reader.receipts("alice", ["c1"]))["c1"]
    assert (receipt.state, receipt.code, receipt.key) == ("rejected", "unstorable", "")


async def test_who_hears_no_receipts_is_told_nothing_and_finds_them_in_the_store(desk: Desk) -> None:
    told: list[str] = []

    async def answered(receipts: Sequence[Receipt]) -> None:
        told.extend(receipt.command_id for receipt in receipts)

    outbox = Outbox(answered, untold, frozenset({"alice"}))
    worker = Worker(desk.context, desk.worker._admission, desk.pool, desk.vault, desk.leases, outbox)
    mine = [desk.message(f"b{n}", "LendBook", f"c{n}", principal="alice", reader="ann") for n in (1, 2)]
    others = [desk.message("b3", "LendBook", "c3", principal="bob", reader="bob")]
    await worker.settle(worker.admit([mine[0], *others]))
    again = [replace(each, sequence=each.sequence + 10) for each in (mine[0], *others)]
    await worker.settle(worker.admit([*again, mine[1]]))
    assert told == ["c3", "c3"]
    assert set(await desk.reader.receipts("alice", ["c1", "c2"])) == {"c1", "c2"}


async def untold(what: object) -> None:
    pass
