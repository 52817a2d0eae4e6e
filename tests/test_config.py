"""Settings come from the environment, and a wrong value is said in one line that names the variable."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from common.config import ConfigError, Running, Settings
from common.servers.files import forget_running, write_running

POSTGRES = "postgresql://someone@db.example/daybook"


def test_everything_has_a_default(tmp_path: Path) -> None:
    settings = Settings.from_env({"DAYBOOK_DATA": str(tmp_path)})
    assert (settings.http_host, settings.http_port, settings.nats_port) == ("127.0.0.1", 8000, 4222)
    assert (settings.lease_ttl_ms, settings.batch, settings.backlog_age_s) == (3000, 256, 600)
    assert settings.principals == tmp_path / "principals.json"
    assert settings.credentials == tmp_path / "credentials.json"
    assert settings.nats_url == settings.read_dsn == ""


def test_the_data_folder_lies_in_the_project_unless_named() -> None:
    assert Settings.from_env({}).data == Path(__file__).resolve().parent.parent / ".daybook"


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        ("DAYBOOK_HTTP_PORT", "http", "an integer from 1 to 65535"),
        ("DAYBOOK_HTTP_PORT", "0", "an integer from 1 to 65535"),
        ("DAYBOOK_HTTP_PORT", "65536", "an integer from 1 to 65535"),
        ("DAYBOOK_HTTP_PORT", "٨٠", "an integer from 1 to 65535"),
        ("DAYBOOK_NATS_PORT", "-1", "an integer from 1 to 65535"),
        ("DAYBOOK_LEASE_TTL_MS", "99", "an integer from 100"),
        ("DAYBOOK_BATCH", "0", "an integer from 1 to 10000"),
        ("DAYBOOK_BATCH", "1.5", "an integer from 1 to 10000"),
        ("DAYBOOK_BACKLOG_AGE_S", "", "an integer from 1 to 86400"),
        ("DAYBOOK_HTTP_HOST", " ", "must not be empty"),
        ("DAYBOOK_DATA", "", "must not be empty"),
        ("DAYBOOK_PRINCIPALS", "", "must not be empty"),
        ("DAYBOOK_CREDENTIALS", "", "must not be empty"),
        ("DAYBOOK_NATS_URL", "localhost:4222", "begins with nats://"),
        ("DAYBOOK_NATS_URL", "nats://host:port", "begins with nats://"),
        ("DAYBOOK_WRITE_DSN", "", "begins with postgresql://"),
        ("DAYBOOK_WRITE_DSN_ORDER", "mysql://db/x", "begins with postgresql://"),
        ("DAYBOOK_KEYS_DSN", "postgresql:///", "names a host"),
        ("DAYBOOK_READ_DSN", "db", "begins with postgresql://"),
        ("DAYBOOK_DEADLINES", "payment", "each name once, with 1 to 999999999 seconds"),
        ("DAYBOOK_DEADLINES", "payment=0", "like payment=900,delivery=1209600"),
        ("DAYBOOK_DEADLINES", "payment=1.5", "not 'payment=1.5'"),
        ("DAYBOOK_DEADLINES", "payment=900,payment=1", "each name once"),
        ("DAYBOOK_DEADLINES", "payment=9999999999", "with 1 to 999999999 seconds"),
        ("DAYBOOK_DEADLINES", "=5", "not '=5'"),
    ],
)
def test_a_wrong_value_is_named_with_its_rule(variable: str, value: str, rule: str) -> None:
    with pytest.raises(ConfigError) as error:
        Settings.from_env({variable: value})
    assert variable in str(error.value)
    assert rule in str(error.value)
    assert "\n" not in str(error.value)


def test_deadlines_are_seconds_by_name() -> None:
    settings = Settings.from_env({"DAYBOOK_DEADLINES": " payment=900, delivery=1209600,"})
    assert settings.durations == {"payment": timedelta(minutes=15), "delivery": timedelta(days=14)}
    assert Settings.from_env({}).durations == {}


def test_a_wrong_dsn_is_not_repeated_since_it_may_hold_a_password() -> None:
    with pytest.raises(ConfigError) as error:
        Settings.from_env({"DAYBOOK_READ_DSN": "mysql://me:hunter2@db/x"})
    assert "hunter2" not in str(error.value)


def test_a_context_has_its_own_write_database_or_the_common_one() -> None:
    settings = Settings.from_env({"DAYBOOK_WRITE_DSN": POSTGRES, "DAYBOOK_WRITE_DSN_ORDER": POSTGRES + "-order"})
    assert settings.write_dsn("order") == POSTGRES + "-order"
    assert settings.write_dsn("product") == settings.keys_dsn() == POSTGRES
    assert Settings.from_env({"DAYBOOK_KEYS_DSN": POSTGRES + "-keys"}).keys_dsn() == POSTGRES + "-keys"


def test_a_missing_database_is_named(tmp_path: Path) -> None:
    settings = Settings.from_env({"DAYBOOK_DATA": str(tmp_path)})
    with pytest.raises(ConfigError, match="DAYBOOK_WRITE_DSN_ORDER or DAYBOOK_WRITE_DSN is not set"):
        settings.write_dsn("order")
    with pytest.raises(ConfigError, match="DAYBOOK_KEYS_DSN"):
        settings.keys_dsn()


def test_the_servers_of_daybook_up_are_meant_where_none_is_named(tmp_path: Path) -> None:
    env = {"DAYBOOK_DATA": str(tmp_path)}
    write_running(tmp_path, Running(supervisor=1, nats_url="nats://127.0.0.1:7", write_dsn="w", read_dsn="r"))
    settings = Settings.from_env(env)
    assert (settings.nats_url, settings.write_dsn("order"), settings.read_dsn) == ("nats://127.0.0.1:7", "w", "r")
    assert Settings.from_env(env | {"DAYBOOK_READ_DSN": POSTGRES}).read_dsn == POSTGRES
    assert Settings.from_env(env, running=False).nats_url == ""
    forget_running(tmp_path)
    assert Settings.from_env(env).nats_url == ""


def test_passwords_and_keys_come_from_the_credentials_file(tmp_path: Path) -> None:
    settings = Settings.from_env({"DAYBOOK_DATA": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"DAYBOOK_CREDENTIALS: .* cannot be read"):
        settings.password("gateway")
    settings.credentials.write_bytes(msgspec.json.encode({"nats": {"gateway": "p"}, "api_keys": {"storefront": "k"}}))
    assert (settings.password("gateway"), settings.api_key("storefront")) == ("p", "k")
    with pytest.raises(ConfigError, match="no nats entry for 'nobody'"):
        settings.password("nobody")
    settings.credentials.write_text("[]")
    with pytest.raises(ConfigError, match="DAYBOOK_CREDENTIALS"):
        settings.password("gateway")
