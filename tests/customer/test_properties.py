"""What holds for customers, whatever is asked of them and in whatever order."""

from collections import defaultdict

import hypothesis.strategies as st
from hypothesis import given

from common.context import Claim
from common.messages import Command, Event, Rejected
from contexts.customer.commands import AdmitOrder, ChangeContact, RegisterCustomer, SuspendCustomer
from contexts.customer.decider import Customer, Stage, claims, decide, evolve, may_claim
from contexts.customer.events import AccountClosed, AdmissionGranted, AdmissionRefused
from contexts.customer.wiring import CONTEXT
from tests.scenario import known
from tests.strategies import messages

PEOPLE = st.sampled_from(["ada", "ben"])
EMAILS = st.sampled_from(["ada@x.org", "ADA@x.org", "ben@x.org", "Ben@X.org"])
NAMING = {RegisterCustomer: {"email": EMAILS}, ChangeContact: {"email": EMAILS}}
COMMANDS = st.one_of([messages(kind, customer_id=PEOPLE, **NAMING.get(kind, {})) for kind in CONTEXT.commands])


class Shop:
    """Customers and the claims they hold, as the worker keeps both: a claim that another holds rejects the command."""

    def __init__(self) -> None:
        self.customers: dict[str, Customer] = defaultdict(Customer)
        self.owners: dict[Claim, str] = {}

    def ask(self, command: Command) -> list[Event]:
        """What happened; nothing when a rule or a lost claim said no."""
        person: str = getattr(command, "customer_id")  # noqa: B009  # Every command of customer has one.
        before = after = self.customers[person]
        try:
            events = decide(command, before, known())  # type: ignore[arg-type]
        except Rejected:
            return []
        for event in events:
            after = evolve(after, event)
        new = claims(after) - claims(before)
        assert new <= set(may_claim(command, known()))  # type: ignore[arg-type]
        if any(self.owners.get(claim, person) != person for claim in new):
            return []
        for claim in claims(before) - claims(after):
            del self.owners[claim]
        self.owners |= dict.fromkeys(new, person)
        self.customers[person] = after
        return events


@given(st.lists(COMMANDS, min_size=12, max_size=30))
def test_no_two_open_accounts_ever_share_an_email(commands: list[Command]) -> None:
    shop = Shop()
    for command in commands:
        shop.ask(command)
        marks = [c.email_fingerprint for c in shop.customers.values() if c.stage in (Stage.REGISTERED, Stage.SUSPENDED)]
        assert len(marks) == len(set(marks)) == len(shop.owners)


@given(st.lists(COMMANDS, min_size=12, max_size=30))
def test_every_order_is_answered_and_granted_only_to_who_is_registered_and_not_suspended(
    commands: list[Command],
) -> None:
    shop = Shop()
    for command in commands:
        before = dict(shop.customers)
        events = shop.ask(command)
        if isinstance(command, AdmitOrder):
            (answer,) = events
            assert isinstance(answer, AdmissionGranted | AdmissionRefused)
            assert (answer.order_id, answer.at) == (command.order_id, command.at)
            stage = before.get(command.customer_id, Customer()).stage
            assert isinstance(answer, AdmissionGranted) == (stage == Stage.REGISTERED)
            assert shop.customers[command.customer_id] == before.get(command.customer_id, Customer())


@given(st.lists(COMMANDS, min_size=12, max_size=30))
def test_what_is_closed_stays_closed(commands: list[Command]) -> None:
    shop, closed = Shop(), set[str]()
    for command in commands:
        if any(isinstance(event, AccountClosed) for event in shop.ask(command)):
            closed.add(getattr(command, "customer_id"))  # noqa: B009
        assert {person for person, c in shop.customers.items() if c.stage == Stage.CLOSED} == closed


@given(st.lists(COMMANDS, max_size=10), PEOPLE)
def test_once_suspended_twice_is_nothing_more(commands: list[Command], person: str) -> None:
    shop = Shop()
    for command in commands:
        shop.ask(command)
    shop.ask(SuspendCustomer(person, "first"))
    assert shop.ask(SuspendCustomer(person, "second")) == []
