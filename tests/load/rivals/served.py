"""How the HTTP servers among the rivals are served: as our gateway is, with all processes on one port."""

import socket

import uvicorn
from litestar import Litestar


def serve(app: Litestar, port: int) -> None:
    """Until told to stop. The kernel spreads connections over the processes that listen on the same port."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        proxy_headers=False,
        access_log=False,
        log_level="warning",
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[shared(port)])


def shared(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    return listener
