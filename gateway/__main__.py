"""`python -m gateway`: one process that serves HTTP until it is told to stop."""

import logging
import sys

import uvicorn

from common.config import ConfigError, Settings
from gateway.app import build

GRACE_S = 10


def main() -> int:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    try:
        settings = Settings.from_env()
        app = build(settings)
    except ConfigError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    uvicorn.run(
        app,
        host=settings.http_host,
        port=settings.http_port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=75,
        backlog=2048,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
