"""The description of the API says what the routes are, from the same declarations."""

from typing import Any

import msgspec
import pytest

from common import discovery
from common.codec import CommandCodec
from gateway.commands_door import command_routes
from tests.gateway.doors import Doors

ROUTES = command_routes(discovery.commands())


async def document(doors: Doors) -> dict[str, Any]:
    found: dict[str, Any] = (await doors.http.get("/openapi.json")).json()
    return found


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
async def test_every_command_is_described_with_an_example_that_works(doors: Doors, route: Any) -> None:
    operation = (await document(doors))["paths"][route.path]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    CommandCodec(route.command).decode("k1", msgspec.json.encode(content["example"]))
    assert content["schema"]["$ref"] == f"#/components/schemas/{route.command.__name__}"
    assert {"200", "202", "400", "401", "403", "409", "413", "415", "422", "503", "504"} <= set(operation["responses"])
    for status, response in operation["responses"].items():
        kinds = set(response["content"])
        assert kinds == ({"application/problem+json"} if status >= "4" else {"application/json"})


async def test_every_query_is_described_with_its_parameters(doors: Doors) -> None:
    paths = (await document(doors))["paths"]
    for module in discovery.read_models().values():
        for query in module.QUERIES:
            parameters = paths[query.get]["get"]["parameters"]
            described = [parameter["name"] for parameter in parameters if parameter["in"] != "header"]
            fields = {field.name for field in msgspec.structs.fields(query)}
            of_doors = ({"as_of"} if query.stream else set()) | ({"until", "wait"} if query.awaits else set())
            assert sorted(described) == sorted(fields | of_doors)
            headers = {parameter["name"] for parameter in parameters if parameter["in"] == "header"}
            assert headers == {"Daybook-After", "Prefer", "If-None-Match"}


async def test_what_a_path_names_is_described_as_the_querys_own_field(doors: Doors) -> None:
    paths = (await document(doors))["paths"]
    schemas = {
        path: {each["name"]: each["schema"] for each in paths[path]["get"]["parameters"] if each["in"] == "path"}
        for path in ("/closing-stock/{day}", "/orders/{order_id}", "/orders/{order_id}/history")
    }
    assert schemas["/closing-stock/{day}"] == {"day": {"type": "string", "format": "date"}}
    of_order = schemas["/orders/{order_id}"]
    assert schemas["/orders/{order_id}/history"] == of_order
    assert "pattern" in of_order["order_id"]


async def test_headers_of_commands_and_of_the_record_are_described(doors: Doors) -> None:
    paths = (await document(doors))["paths"]

    def sent(operation: Any) -> set[str]:
        return {each["name"] for each in operation["parameters"] if each["in"] == "header"}

    def answered(operation: Any, status: str) -> set[str]:
        return set(operation["responses"][status]["headers"])

    placing = paths["/orders"]["post"]
    assert sent(placing) == {"Idempotency-Key", "Prefer", "If-Match", "If-None-Match"}
    assert (answered(placing, "200"), answered(placing, "202")) == ({"Daybook-After", "ETag"}, {"Daybook-After"})
    assert "412" in placing["responses"]
    for path in ("/orders/{order_id}/history", "/products/{sku}/history", "/products/{sku}/timeline"):
        assert sent(paths[path]["get"]) == {"Daybook-After", "Prefer"}
        assert answered(paths[path]["get"], "200") == {"Daybook-Position", "Daybook-Staleness-Ms"}
    assert {"until", "wait"} <= {each["name"] for each in paths["/orders/{order_id}"]["get"]["parameters"]}


async def test_what_can_be_watched_is_described_as_a_stream_of_events(doors: Doors) -> None:
    paths = (await document(doors))["paths"]
    got = {path: methods["get"]["responses"]["200"] for path, methods in paths.items() if "get" in methods}
    watched = {model.name for model in discovery.buckets(discovery.read_models().values())}
    assert {path.split("/")[1] for path, each in got.items() if "text/event-stream" in each["content"]} == watched
    assert "403" in paths["/order-status/{order_id}"]["get"]["responses"]


async def test_every_reference_leads_somewhere(doors: Doors) -> None:
    found = await document(doors)

    def follow(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                assert value["$ref"].rsplit("/", 1)[1] in found["components"]["schemas"]
            for inner in value.values():
                follow(inner)
        elif isinstance(value, list):
            for inner in value:
                follow(inner)

    follow(found)


async def test_operations_have_names_of_their_own(doors: Doors) -> None:
    paths = (await document(doors))["paths"]
    names = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert len(set(names)) == len(names)


async def test_what_is_described_is_routed(doors: Doors) -> None:
    for path, methods in (await document(doors))["paths"].items():
        for method in methods:
            concrete = path.replace("{", "x").replace("}", "x")
            answer = await doors.http.request(method, concrete, headers={"X-API-Key": ""})
            assert answer.status_code in (200, 202, 401, 503), (method, path)
