"""`python -m gateway`: one process that serves HTTP until it is told to stop."""

import logging
import sys
from socket import socket

import uvicorn
from litestar import Litestar

from common import runtime
from common.config import ConfigError, Settings
from gateway.app import OVER, build

GRACE_S = 10
KEPT_ALIVE_S = 75


def config(app: Litestar, settings: Settings) -> uvicorn.Config:
    """How the application is served."""
    return uvicorn.Config(
        app,
        proxy_headers=False,
        host=settings.http_host,
        port=settings.http_port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=KEPT_ALIVE_S,
    )


def server(app: Litestar, settings: Settings) -> uvicorn.Server:
    """Who serves it. Stopping waits for what is being answered, so what would go on is ended first."""
    made = uvicorn.Server(config(app, settings))
    shutdown = made.shutdown

    async def end_and_shut_down(sockets: list[socket] | None = None) -> None:
        app.state[OVER].set()
        await shutdown(sockets)

    made.shutdown = end_and_shut_down  # type: ignore[method-assign]  # It has no other place for this.
    return made


def main() -> int:
    runtime.prepare()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        settings = Settings.from_env()
        app = build(settings)
    except ConfigError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    server(app, settings).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
