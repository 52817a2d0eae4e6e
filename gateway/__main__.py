"""`python -m gateway`: one process that serves HTTP until it is told to stop."""

import logging
import sys

import uvicorn
from litestar import Litestar

from common import runtime
from common.config import ConfigError, Settings
from gateway.app import build

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


def main() -> int:
    runtime.prepare()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        settings = Settings.from_env()
        app = build(settings)
    except ConfigError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    uvicorn.Server(config(app, settings)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
