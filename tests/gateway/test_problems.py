"""Refusals are RFC 9457 problems, whoever refuses; what needs no key answers without one."""

import re

import httpx
import pytest
from litestar import Litestar, Request, get
from litestar.exceptions import HTTPException, PermissionDeniedException
from litestar.testing import AsyncTestClient

from gateway.app import failed, refused_by_the_router
from gateway.doors import route
from gateway.http import Answer, Asked
from tests.gateway.doors import Doors, deciding, receipt

OPEN = ("/livez", "/readyz/commands", "/openapi.json", "/docs", "/docs/glossary", "/docs/static/swagger-ui-bundle.js")


def check(answer: httpx.Response, status: int, code: str) -> None:
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"/problems/{code}"
    assert problem["title"] and problem["detail"]


async def test_an_unknown_path_is_404(doors: Doors) -> None:
    check(await doors.http.get("/nowhere"), 404, "not-found")
    check(await doors.http.get("/docs/static/nothing.js"), 404, "not-found")
    check(await doors.http.get("/commands/nowhere/x"), 404, "not-found")


async def test_another_method_is_405_and_the_allowed_ones_are_named(doors: Doors) -> None:
    answer = await doors.http.put("/orders")
    check(answer, 405, "method-not-allowed")
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize(
    "headers", [{}, {"X-API-Key": ""}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}]
)
async def test_without_a_key_it_is_401(doors: Doors, headers: dict[str, str]) -> None:
    async with httpx.AsyncClient(base_url=doors.http.base_url) as stranger:
        answer = await stranger.post("/orders", json={}, headers=headers)
        check(answer, 401, "no-key")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        check(await stranger.get("/consistency-lag"), 401, "no-key")
        check(await stranger.get("/commands/order/x"), 401, "no-key")


async def test_an_unknown_key_is_401(doors: Doors) -> None:
    for headers in ([(b"Authorization", b"Bearer nonsense")], [(b"X-API-Key", b"\xe4")]):
        async with httpx.AsyncClient(base_url=doors.http.base_url, headers=headers) as stranger:
            check(await stranger.post("/orders", json={}), 401, "unknown-key")


async def test_the_key_may_be_a_bearer_token(doors: Doors) -> None:
    headers = {"Authorization": f"bearer {doors.settings.api_key('storefront')}"}
    async with httpx.AsyncClient(base_url=doors.http.base_url, headers=headers) as asker:
        assert (await asker.get("/consistency-lag")).status_code == 200


async def test_a_role_that_may_not_is_403_and_the_roles_that_may_are_named(doors: Doors) -> None:
    answer = await doors.place("/products/p1/price", {"price": 1})
    check(answer, 403, "not-allowed")
    assert answer.json()["roles"] == ["catalogue"]


async def test_the_read_database_away_stops_queries_alone(doors: Doors) -> None:
    check(await doors.http.get("/orders/o1"), 503, "read-database-away")
    check(await doors.http.get("/readyz/queries"), 503, "not-ready")
    check(await doors.http.get("/readyz"), 503, "not-ready")
    assert (await doors.http.get("/readyz/commands")).status_code == 200
    assert (await doors.place()).status_code == 202


async def test_a_context_that_does_not_answer_is_503(doors: Doors) -> None:
    for path in ("/orders/o1/history", "/orders/o1?as_of=1", "/commands/order/x"):
        answer = await doors.http.get(path)
        check(answer, 503, "no-answer")
        assert answer.headers["retry-after"]


async def test_a_receipt_is_200_and_an_unknown_id_202(doors: Doors) -> None:
    async with deciding(doors.nc, {"r1": receipt("r1", state="rejected", code="order.unknown")}):
        known, unknown = await doors.http.get("/commands/order/r1"), await doors.http.get("/commands/order/r2")
    assert (known.status_code, known.json()["code"]) == (200, "order.unknown")
    assert (unknown.status_code, unknown.json()["state"]) == (202, "undecided")
    assert unknown.headers["retry-after"]


@pytest.mark.parametrize("path", OPEN)
async def test_what_everybody_may_see_needs_no_key(doors: Doors, path: str) -> None:
    async with httpx.AsyncClient(base_url=doors.http.base_url) as stranger:
        assert (await stranger.get(path)).status_code == 200


async def test_the_page_loads_nothing_from_elsewhere(doors: Doors) -> None:
    page = (await doors.http.get("/docs")).text
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert loaded
    for address in loaded:
        assert address.startswith(("/docs/", "data:"))
        if address.startswith("/docs/"):
            assert (await doors.http.get(address)).status_code == 200
    assert not re.findall(r"https?://", page)


async def broken(asked: Asked) -> Answer:
    raise RuntimeError("secret of ours")


@get("/litestar")
async def breaks(request: Request) -> None:  # type: ignore[type-arg]
    raise RuntimeError("secret of ours")


@get("/denied")
async def denied() -> None:
    raise PermissionDeniedException("not you")


async def test_an_error_of_ours_is_500_and_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    app = Litestar(
        [route("GET", "/door", broken), breaks, denied],
        exception_handlers={HTTPException: refused_by_the_router, Exception: failed},
        logging_config=None,
    )
    async with AsyncTestClient(app, raise_server_exceptions=False) as client:
        for path in ("/door", "/litestar"):
            answer = await client.get(path)
            check(answer, 500, "internal")
            assert "secret" not in answer.text and "Traceback" not in answer.text
        check(await client.get("/denied"), 403, "forbidden")
    assert "secret of ours" in caplog.text
