"""`daybook glossary`: the same words in a terminal, with nothing running."""

import msgspec
import pytest
from click.testing import CliRunner, Result

from common.discovery import DiscoveryError, commands, contexts, read_models
from common.glossary.gather import glossary
from common.glossary.terms import Glossary
from gateway.cli import daybook
from gateway.cli import glossary as command


def ran(*words: str) -> Result:
    return CliRunner().invoke(daybook, ["glossary", *words], env={"COLUMNS": "100"})


def test_without_a_context_it_lists_every_word() -> None:
    shown = ran()
    assert shown.exit_code == 0
    assert set(commands()) | set(read_models()) <= set(shown.stdout.split())
    assert {command.__name__ for types in commands().values() for command in types} <= set(shown.stdout.split())


def test_of_a_context_it_says_all_with_the_read_models_that_follow_it() -> None:
    shown = " ".join(ran("order").stdout.split())
    for said in (
        "POST /orders/{order_id}/cancel",
        "Ask to stop an order.",
        "order.has-left",
        "OrderPlaced ⇒ customer.AdmitOrder",
        "deadline payment after 15 minutes",
        "sent by order on the deadline payment",
        "read model orders",
        "GET /orders/{order_id}",
    ):
        assert said in shown
    assert "POST /products" not in shown


def test_a_context_that_calls_outside_says_so() -> None:
    assert "calls outside asked by AuthorisationRequested" in " ".join(ran("payment").stdout.split())


def test_as_json_it_is_the_glossary_itself() -> None:
    assert msgspec.json.decode(ran("--json").stdout, type=Glossary) == glossary()
    of_stock = msgspec.json.decode(ran("stock", "--json").stdout, type=Glossary)
    assert [each.name for each in of_stock.contexts] == ["stock"]
    assert [each.name for each in of_stock.read_models] == ["closing_stock", "products", "stock_levels"]


def test_a_context_that_is_not_there_is_named_with_those_that_are() -> None:
    shown = ran("shipping")
    assert shown.exit_code == 1
    assert f"there is no context named shipping; there are {', '.join(sorted(contexts()))}" in shown.stderr


def test_a_declaration_that_cannot_work_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def odd() -> Glossary:
        raise DiscoveryError("contexts.book.wiring: holds no CONTEXT")

    monkeypatch.setattr(command, "gathered", odd)
    shown = ran()
    assert (shown.exit_code, shown.stderr) == (1, "Error: contexts.book.wiring: holds no CONTEXT\n")
