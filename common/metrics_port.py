"""A port of a process's own where its metrics are read."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import start_http_server

from common.config import Settings
from common.metrics import Part, Source, registry

log = logging.getLogger(__name__)

EVERYWHERE = ("0.0.0.0", "::")


@contextmanager
def metrics_port(settings: Settings, part: Part, source: Source) -> Iterator[str]:
    """Serves the metrics until the block ends; yields where, as `host:port`, or "" when that is switched off.

    A thread of the library's serves them, so that a process whose loop stands still can be looked at too. The port that
    is meant may be taken by now: then a free one serves as well, as the beats tell which it is.
    """
    if not settings.metrics_port:
        yield ""
        return
    found = registry(part, source)
    try:
        server, thread = start_http_server(settings.metrics_port, settings.metrics_host, found)
    except OSError as error:
        log.warning("metrics are not on port %d (%s), but on a free one", settings.metrics_port, error.strerror)
        server, thread = start_http_server(0, settings.metrics_host, found)
    try:
        yield f"{reached_at(settings.metrics_host)}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def reached_at(host: str) -> str:
    """The host by which others reach what listens there: who listens everywhere is reached by this machine's name."""
    name = socket.gethostname() if host in EVERYWHERE else host
    return f"[{name}]" if ":" in name else name
