"""A bare Litestar POST: what its plainest handler reaches that reads the body, decodes nothing and stores nothing.

python -m tests.load.rivals.bare <port>
"""

import sys
from typing import Any

from litestar import Litestar, Request, Response, post
from litestar.datastructures import State

from tests.load.rivals.served import serve


@post("/orders")
async def read(request: Request[Any, Any, State]) -> Response[bytes]:
    await request.body()
    return Response(b"{}")


if __name__ == "__main__":
    serve(Litestar([read], openapi_config=None, logging_config=None), int(sys.argv[1]))
