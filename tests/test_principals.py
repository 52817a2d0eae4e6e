"""Principals are made once, known by the hash of their key, and named so that none passes for a part of ours."""

import stat
from pathlib import Path

import bcrypt
import msgspec
import pytest
from click.testing import CliRunner

from common.config import ConfigError, Settings
from common.principals import (
    FIRST_PRINCIPALS,
    Entry,
    Principal,
    add_principal,
    ensure_principals,
    load_principals,
    may_read_personal_data,
)
from gateway.cli import daybook

CONTEXTS = ["order", "product"]


@pytest.fixture
def place(tmp_path: Path) -> Settings:
    return Settings.from_env({"DAYBOOK_DATA": str(tmp_path)})


def test_the_first_start_makes_principals_with_keys_and_passwords(place: Settings) -> None:
    made = ensure_principals(place, CONTEXTS)
    registry = load_principals(place.principals, CONTEXTS)
    assert registry.authenticate(made.api_keys["operator"]) == Principal(
        "operator", frozenset({"operator", "catalogue", "watch", "personal-data"})
    )
    assert registry.named("warehouse") == Principal("warehouse", frozenset({"warehouse"}))
    assert registry.named("courier") == Principal("courier", frozenset({"courier", "personal-data-delivery"}))
    whole_year = {"catalogue", "storefront", "trusted-channel", "warehouse", "courier"}
    assert registry.named("replay") == Principal("replay", frozenset(whole_year))
    assert {"gateway", "answers", "projectors", "admin", "context-order", "context-product"} <= made.nats.keys()
    entry = next(entry for entry in registry.entries if entry.name == "storefront")
    assert bcrypt.checkpw(made.nats["storefront"].encode(), entry.nats_bcrypt.encode())


def test_no_other_key_is_anyones(place: Settings) -> None:
    made = ensure_principals(place, CONTEXTS)
    registry = load_principals(place.principals, CONTEXTS)
    for key in ("", "wrong", made.api_keys["operator"] + "x", made.nats["operator"], "\ud800"):
        assert registry.authenticate(key) is None


def test_a_context_is_the_principal_of_its_own_reactions(place: Settings) -> None:
    ensure_principals(place, CONTEXTS)
    registry = load_principals(place.principals, CONTEXTS)
    assert registry.named("order") == Principal("order", frozenset({"reaction"}))
    assert registry.named("nobody") is None


def test_the_registry_holds_no_secret_and_both_files_are_private(place: Settings) -> None:
    made = ensure_principals(place, CONTEXTS)
    text = place.principals.read_text()
    assert not any(secret in text for secret in [*made.api_keys.values(), *made.nats.values()])
    for file in (place.principals, place.credentials):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_second_start_changes_nothing_and_a_new_context_gets_a_password(place: Settings) -> None:
    first = ensure_principals(place, CONTEXTS)
    assert ensure_principals(place, CONTEXTS) == first
    later = ensure_principals(place, [*CONTEXTS, "stock"])
    assert later.nats.pop("context-stock")
    assert later == first


@pytest.mark.parametrize("name", ["order", "gateway", "admin", "context-order", "a.b", "*", ">", "", "x" * 65, "a\n"])
def test_a_name_that_is_reserved_or_no_token_is_refused(place: Settings, name: str) -> None:
    place.principals.write_bytes(msgspec.json.encode([Entry(name, [], "0", "0")]))
    with pytest.raises(ConfigError, match="DAYBOOK_PRINCIPALS"):
        load_principals(place.principals, CONTEXTS)


def test_a_registry_that_cannot_be_used_is_named(place: Settings) -> None:
    with pytest.raises(ConfigError, match=r"DAYBOOK_PRINCIPALS: .* cannot be read"):
        load_principals(place.principals, CONTEXTS)
    place.principals.write_text('[{"name": 1}]')
    with pytest.raises(ConfigError, match=r"DAYBOOK_PRINCIPALS: .* is not a list of principals"):
        load_principals(place.principals, CONTEXTS)
    twice = [Entry("shop", [], "0", "0"), Entry("shop", [], "1", "1")]
    place.principals.write_bytes(msgspec.json.encode(twice))
    with pytest.raises(ConfigError, match="'shop' is there twice"):
        load_principals(place.principals, CONTEXTS)
    place.credentials.write_text("{")
    with pytest.raises(ConfigError, match="DAYBOOK_CREDENTIALS"):
        ensure_principals(place, CONTEXTS)


def test_personal_data_is_read_by_who_may_read_all_or_this_contexts() -> None:
    assert may_read_personal_data(frozenset({"personal-data"}), "delivery")
    assert may_read_personal_data(frozenset({"personal-data-delivery"}), "delivery")
    assert not may_read_personal_data(frozenset({"personal-data-delivery"}), "customer")
    assert not may_read_personal_data(frozenset({"courier", "operator"}), "delivery")
    readers = [name for name, roles in FIRST_PRINCIPALS.items() if may_read_personal_data(frozenset(roles), "customer")]
    assert readers == ["operator"]


def folder_from_before(place: Settings) -> None:
    """A registry without the warehouse, where replay had fewer roles."""
    ensure_principals(place, CONTEXTS)
    entries = msgspec.json.decode(place.principals.read_bytes(), type=list[Entry])
    kept = [
        msgspec.structs.replace(entry, roles=["storefront"]) if entry.name == "replay" else entry
        for entry in entries
        if entry.name != "warehouse"
    ]
    place.principals.write_bytes(msgspec.json.encode(kept))
    secrets = msgspec.json.decode(place.credentials.read_bytes())
    for kind in secrets.values():
        del kind["warehouse"]
    place.credentials.write_bytes(msgspec.json.encode(secrets))


def test_a_data_folder_from_before_a_principal_goes_on_as_it_was_and_says_how_to_add_it(place: Settings) -> None:
    folder_from_before(place)
    ensure_principals(place, CONTEXTS)
    registry = load_principals(place.principals, CONTEXTS)
    assert registry.named("warehouse") is None
    assert registry.named("replay") == Principal("replay", frozenset({"storefront"}))
    with pytest.raises(ConfigError, match="`daybook key warehouse --add`"):
        place.password("warehouse")


def test_a_principal_is_added_on_demand_as_a_new_data_folder_has_it(place: Settings) -> None:
    folder_from_before(place)
    assert add_principal(place, "warehouse") == ("warehouse",)
    registry = load_principals(place.principals, CONTEXTS)
    assert registry.authenticate(place.api_key("warehouse")) == Principal("warehouse", frozenset({"warehouse"}))
    entry = next(entry for entry in registry.entries if entry.name == "warehouse")
    assert bcrypt.checkpw(place.password("warehouse").encode(), entry.nats_bcrypt.encode())
    assert add_principal(place, "warehouse") == ()


def test_a_principal_gets_the_roles_it_lacks_on_demand_and_keeps_its_key(place: Settings) -> None:
    folder_from_before(place)
    key = place.api_key("replay")
    assert add_principal(place, "replay") == ("catalogue", "trusted-channel", "warehouse", "courier")
    whole = Principal("replay", frozenset(FIRST_PRINCIPALS["replay"]))
    assert load_principals(place.principals, CONTEXTS).authenticate(key) == whole
    assert place.api_key("replay") == key


def test_the_command_key_adds_it_and_prints_the_key_alone(place: Settings) -> None:
    folder_from_before(place)
    run = CliRunner(env={"DAYBOOK_DATA": str(place.data)})
    added = run.invoke(daybook, ["key", "warehouse", "--add"])
    assert (added.exit_code, added.stdout) == (0, f"{place.api_key('warehouse')}\n")
    assert "from the next start" in added.stderr
    again = run.invoke(daybook, ["key", "warehouse", "--add", "--nats"])
    assert (again.stdout, again.stderr) == (f"{place.password('warehouse')}\n", "")


def test_only_what_daybook_comes_with_is_added(place: Settings) -> None:
    ensure_principals(place, CONTEXTS)
    with pytest.raises(ConfigError, match="comes with no principal 'nobody'"):
        add_principal(place, "nobody")
