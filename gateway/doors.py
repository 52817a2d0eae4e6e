"""How Litestar leads to a door.

It routes, and the door answers in its handler's place, as middleware: per POST that is 52 us of CPU where the smallest
handler takes 127 (uvicorn with uvloop and httptools), because no signature is parsed and no response model is built.
"""

from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter
from typing import Literal

from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.http import Answer, Asked, Door, Gone, Stream, give, headers_of, pour
from gateway.problems import Problem, internal

Count = Callable[[str, str, int, float], None]
"""Takes note of an answer: method, route, status, and when the request began, by `perf_counter`."""


def uncounted(method: str, path: str, status: int, began: float) -> None:
    """For who counts nothing."""


def route(method: Literal["GET", "POST"], path: str, door: Door, count: Count = uncounted) -> HTTPRouteHandler:
    """A route to a door. `path` names its parameters as in `/orders/{order_id}`."""

    def in_its_place(app: ASGIApp) -> ASGIApp:
        return doorway(door, method, path, count)

    async def replaced() -> None: ...

    made = HTTPRouteHandler(path.replace("}", ":str}"), http_method=method, middleware=[in_its_place], status_code=200)
    return made(replaced)


def doorway(door: Door, method: str, path: str, count: Count) -> ASGIApp:
    """The ASGI application of one door. Every exception becomes a problem."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        asked = Asked(scope["path_params"], scope["query_string"], headers_of(scope["headers"]), receive)
        answer: Answer | Stream
        try:
            answer = await door(asked)
        except Gone:
            return
        except Exception as error:
            answer = problem_of(error)
        if isinstance(answer, Stream):
            count(method, path, HTTPStatus.OK, began)
            await pour(answer, receive, send)
            return
        await give(answer, send)
        count(method, path, answer.status, began)

    return serve


def problem_of(error: Exception) -> Answer:
    return (error if isinstance(error, Problem) else internal(error)).answer()
