"""Starts the servers that no environment variable names, and says where they are."""

import asyncio
from collections.abc import Iterable

import msgspec

from common.config import Settings
from common.servers.accounts import NatsUser
from common.servers.files import free_port, require_free_port
from common.servers.nats import HOST, nats_child
from common.servers.postgres import dsn, postgres_child
from common.servers.supervise import Supervisor


def needs_write(settings: Settings, contexts: Iterable[str]) -> bool:
    """Whether some part would have no write database unless we start one."""
    covered = bool(settings.own_keys_dsn) and all(name in settings.context_dsns for name in contexts)
    return not (settings.default_write_dsn or covered)


def nats_address(settings: Settings) -> str:
    """Where NATS is, or will be when our own server has started."""
    return settings.nats_url or f"nats://{HOST}:{settings.nats_port}"


def require_nats_port(settings: Settings) -> None:
    """Raise `CannotStart` when a nats-server of ours could not listen on its port."""
    if not settings.nats_url:
        require_free_port(HOST, settings.nats_port, "DAYBOOK_NATS_PORT")


async def start_servers(
    supervisor: Supervisor, settings: Settings, users: list[NatsUser], contexts: Iterable[str]
) -> Settings:
    """Start the embedded servers that are needed; the settings with their addresses. Raises `CannotStart`.

    `users` are the NATS users of the embedded nats-server. Needs settings read without `servers.json`."""
    data, found = settings.data, {}
    require_nats_port(settings)
    async with asyncio.TaskGroup() as group:
        if not settings.nats_url:
            group.create_task(supervisor.start(nats_child(data, users, settings.nats_port)))
            found["nats_url"] = nats_address(settings)
        if needs_write(settings, contexts):
            found["default_write_dsn"] = _postgres(group, supervisor, settings, "write")
        if not settings.read_dsn:
            found["read_dsn"] = _postgres(group, supervisor, settings, "read")
    return msgspec.structs.replace(settings, **found)


def _postgres(group: asyncio.TaskGroup, supervisor: Supervisor, settings: Settings, kind: str) -> str:
    port = free_port()

    async def start() -> None:
        await supervisor.start(await postgres_child(settings.data, kind, port))

    group.create_task(start())
    return dsn(settings.data, port)


def child_environment(settings: Settings) -> dict[str, str]:
    """The variables that tell a child process where the servers are."""
    found = {
        "DAYBOOK_DATA": str(settings.data),
        "DAYBOOK_NATS_URL": settings.nats_url,
        "DAYBOOK_WRITE_DSN": settings.default_write_dsn,
        "DAYBOOK_READ_DSN": settings.read_dsn,
        "DAYBOOK_PRINCIPALS": str(settings.principals),
        "DAYBOOK_CREDENTIALS": str(settings.credentials),
        "PGPASSFILE": str(settings.data / "pgpass"),
    }
    return {name: value for name, value in found.items() if value}
