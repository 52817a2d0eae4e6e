"""Parameters of queries are as strict as bodies. The read database is away here: what is taken comes as far as 503."""

import pytest

from tests.gateway.doors import Doors

REFUSED = {
    "limit=x": "$.limit",
    "limit=0": "$.limit",
    "limit=1.0": "$.limit",
    "limit=101": "$.limit",
    "limit=1&limit=1": "limit",
    "colour=red": "$.colour",
    "state=lost": "$.state",
    "since=2026-01-01T00:00:00": "$.since",
    "customer=a.b": "$.customer",
    "customer=%00": "$.customer",
    "site=": "$.site",
}
LISTS = {
    "/products": 100,
    "/products/100/stock": 500,
    "/stock/s1": 500,
    "/customers/c1/orders": 100,
    "/deliveries": 500,
}
"""The most that one page holds."""
BROKEN = {
    "/products?min_price=-1": "$.min_price",
    "/products?max_price=1.5": "$.max_price",
    "/products?currency=usd": "$.currency",
    "/products?q=": "$.q",
    f"/products?q={'x' * 201}": "$.q",
    "/products?department=": "$.department",
    "/customers/c1/orders?state=lost": "$.state",
    "/customers/a.b/orders": "$.customer_id",
    "/deliveries?state=lost": "$.state",
    "/stock/s1/levels/a.b": "$.sku",
    "/stock/s1/levels/a?site=s2": "site",
}
TAKEN = ("", "limit=100", "since=2026-01-01T00:00:00Z", "since=2026-01-01T00:00:00%2B02:00", "state=placed&site=s1")


@pytest.mark.parametrize(("query", "field"), REFUSED.items())
async def test_a_parameter_that_breaks_its_rule_is_400_and_named(doors: Doors, query: str, field: str) -> None:
    answer = await doors.http.get(f"/orders?{query}")
    assert (answer.status_code, answer.json()["field"]) == (400, field)


@pytest.mark.parametrize(("path", "most"), LISTS.items())
async def test_every_list_says_how_much_it_gives_at_once_and_takes_nothing_unheard_of(
    doors: Doors, path: str, most: int
) -> None:
    for query, field in {
        "limit=0": "$.limit",
        f"limit={most + 1}": "$.limit",
        "after=": "$.after",
        "x=1": "$.x",
    }.items():
        answer = await doors.http.get(f"{path}?{query}")
        assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert (await doors.http.get(f"{path}?limit={most}")).json()["code"] == "read-database-away"


@pytest.mark.parametrize(("path", "field"), BROKEN.items())
async def test_each_field_of_a_list_has_its_rule(doors: Doors, path: str, field: str) -> None:
    answer = await doors.http.get(path)
    assert (answer.status_code, answer.json()["field"]) == (400, field)


@pytest.mark.parametrize("query", ["site=%ff", "&".join(f"a{n}=1" for n in range(40)), "%E4=1&%FF=2"])
async def test_a_query_string_that_cannot_be_read_is_400(doors: Doors, query: str) -> None:
    assert (await doors.http.get(f"/orders?{query}")).status_code == 400


@pytest.mark.parametrize("query", TAKEN)
async def test_what_keeps_the_rules_is_taken(doors: Doors, query: str) -> None:
    assert (await doors.http.get(f"/orders?{query}")).json()["code"] == "read-database-away"


@pytest.mark.parametrize("moment", ["0", "-1", "1.5", "soon", "2026-01-01", "2026-01-01T00:00:00", "9" * 20, ""])
async def test_a_moment_is_a_version_or_a_time_with_its_offset(doors: Doors, moment: str) -> None:
    answer = await doors.http.get("/orders/o1", params={"as_of": moment})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


async def test_a_path_parameter_cannot_be_given_twice(doors: Doors) -> None:
    assert (await doors.http.get("/orders/o1?order_id=o2")).status_code == 400
    assert (await doors.http.get("/orders/o1/history?stream=o2")).status_code == 400


async def test_a_history_is_asked_for_in_pages(doors: Doors) -> None:
    for query in ("limit=0", "limit=1001", "after=-1", "after=x", "version=1"):
        assert (await doors.http.get(f"/orders/o1/history?{query}")).status_code == 400


async def test_a_query_without_states_says_that_none_can_be_waited_for(doors: Doors) -> None:
    problem = (await doors.http.get("/products/p1?until=sold")).json()
    assert (problem["status"], problem["field"]) == (400, "$.until")
    assert "GetProduct has no state to wait for" in problem["detail"]
