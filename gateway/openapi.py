"""The description of the API (OpenAPI 3.1), derived from the same declarations as the routes."""

import inspect
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from common.codec import body_type
from common.messages import Id, Query
from common.personal import Personal
from common.recorded import Receipt
from common.shell.history import AsOfAnswer, HistoryAnswer
from common.shell.timeline import Timeline
from gateway.commands_door import CommandRoute
from gateway.openapi_texts import (
    ABOUT,
    AS_OF,
    COMMAND_HEADERS,
    CONDITIONS,
    DECIDED,
    EVENTS,
    FRESHNESS,
    IF_NONE_MATCH,
    PLACE,
    QUERIES_LAST,
    QUERY_HEADERS,
    TO_READ_IT,
    TROUBLES,
    UNTIL,
)
from gateway.receipts import own_queries

SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"key": []}]
PROBLEM = "application/problem+json"
PARAMETER = re.compile(r"{(\w+)}")


class ProblemDetails(Struct):
    """RFC 9457. `code` is stable and meant for programs; `field` and `rule` say what to change."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str = ""
    rule: Any = None


class Undecided(Struct):
    """The command is durable; its receipt will say what became of it. An id never seen looks the same."""

    command_id: str
    context: str
    state: str
    key: str = ""
    receipt: str = ""


class Description:
    """Collects operations, then gives the whole document."""

    def __init__(self) -> None:
        self._paths: dict[str, dict[str, Any]] = {}
        self._contexts: dict[str, str] = {}
        self._types: list[Any] = [ProblemDetails, Undecided, Receipt]
        self._open: list[tuple[Any, str | int, Any]] = []

    def command(self, route: CommandRoute) -> None:
        declared, body = route.command.declared, _body_type(route.command)
        self._contexts[route.context] = about_context(route.command)
        content: dict[str, Any] = {"example": declared.example}
        decided, stored = ({"headers": described_headers(each)} for each in (DECIDED, TO_READ_IT))
        self._schema(content, "schema", body)
        own_place = route.path != declared.post
        operation = self._operation(route.command, "with your id" if own_place else "") | {
            "tags": [route.context],
            "parameters": [*self._parameters(route.path), *COMMAND_HEADERS, *CONDITIONS],
            "requestBody": {"required": bool(msgspec.structs.fields(body)), "content": {"application/json": content}},
            "responses": {
                "200": self._response("Accepted (only with `Prefer: wait`)", Receipt) | decided,
                "202": self._response("Stored durably, not yet decided", Undecided) | stored,
                **self._troubles(400, 401, 403, 408, 409, 412, 413, 415, 422, 503, 504),
            },
        }
        operation["description"] += f"\n\nRoles: {', '.join(sorted(declared.roles))}."
        self._add("post", route.path, operation)

    def query(self, query: type[Query], watched: bool = False) -> None:
        """`watched` ones are told as they change to who asks for an event stream."""
        answers = (query.answer, AsOfAnswer) if query.stream else (query.answer or Any,)
        operation = self._operation(query) | {
            "tags": ["queries"],
            "parameters": [
                *self._parameters(query.get, query),
                *([AS_OF] if query.stream else []),
                *(UNTIL if query.awaits else []),
                *QUERY_HEADERS,
                IF_NONE_MATCH,
            ],
            "responses": {
                "200": self._response("The answer", *answers) | {"headers": described_headers(FRESHNESS)},
                "304": {"description": "There is no other answer than the one you have"},
                **self._troubles(400, 401, *([403] if watched else []), 404, 409, 503),
            },
        }
        if watched:
            operation["responses"]["200"]["content"] |= {"text/event-stream": {"schema": EVENTS}}
        self._add("get", query.get, operation)

    def plain(
        self, path: str, name: str, text: str, kinds: Mapping[int, Any], *troubles: int,
        asked: type[Struct] | None = None, open: bool = False, record: bool = False,
    ) -> None:  # fmt: skip
        """A route that no declaration describes. `open` needs no API key; `record` is read from a context's record."""
        headers = {"headers": described_headers(PLACE)} if record else {}
        responses = {str(status): self._response("Answered", kind) | headers for status, kind in kinds.items()}
        operation: dict[str, Any] = {
            "operationId": name,
            "summary": text,
            "tags": ["system" if open else "queries"],
            "parameters": [*self._parameters(path, asked), *(QUERY_HEADERS if record else [])],
            "responses": responses | self._troubles(*troubles),
        }
        self._add("get", path, operation | ({"security": []} if open else {}))

    def history(self, query: type[Query]) -> None:
        path = f"{query.get}/history"
        asked = own_queries(query.stream).history
        self.plain(path, f"{query.__name__}History", "The events of this stream, in order, from the record",
                   {200: HistoryAnswer}, 400, 401, 404, 503, asked=asked, record=True)  # fmt: skip

    def timeline(self, query: type[Query]) -> None:
        self.plain(f"{query.get}/timeline", f"{query.__name__}Timeline",
                   "Every command and event that this led to or goes back to, across contexts, in causal order",
                   {200: Timeline}, 400, 401, 404, 503, record=True)  # fmt: skip

    def document(self, title: str, version: str) -> dict[str, Any]:
        schemas, components = msgspec.json.schema_components(
            self._types, schema_hook=_personal, ref_template="#/components/schemas/{name}"
        )
        known = {id(kind): schema for kind, schema in zip(self._types, schemas, strict=True)}
        for where, name, kind in self._open:
            where[name] = known[id(kind)]
        return {
            "openapi": "3.1.0",
            "info": {"title": title, "version": version, "description": inspect.cleandoc(ABOUT)},
            "security": SECURITY,
            "tags": [{"name": name, "description": text} for name, text in (self._contexts | QUERIES_LAST).items()],
            "paths": self._paths,
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                },
            },
        }

    def _schema(self, where: Any, name: str | int, kind: Any) -> None:
        """Puts the schema of a type there, once all types are known."""
        self._types.append(kind)
        self._open.append((where, name, kind))

    def _response(self, text: str, *kinds: Any, media_type: str = "application/json") -> dict[str, Any]:
        """A response of one of these types."""
        schemas: list[Any] = [None for _ in kinds]
        content: dict[str, Any] = {"schema": {"anyOf": schemas}}
        for place, kind in enumerate(kinds):
            if len(kinds) > 1:
                self._schema(schemas, place, kind)
            else:
                self._schema(content, "schema", kind)
        return {"description": text, "content": {media_type: content}}

    def _troubles(self, *statuses: int) -> dict[str, Any]:
        return {str(s): self._response(TROUBLES[s], ProblemDetails, media_type=PROBLEM) for s in statuses}

    def _operation(self, kind: type[Struct], suffix: str = "") -> dict[str, Any]:
        text = inspect.cleandoc(kind.__doc__ or "")
        name = f"{kind.__name__} {suffix}".strip()
        summary = f"{name}: {text.partition('.')[0]}" if text else name
        return {"operationId": name.replace(" ", "-"), "summary": summary, "description": text}

    def _parameters(self, path: str, asked: type[Struct] | None = None) -> list[dict[str, Any]]:
        """Those that the path names, then the fields of a query that it does not name."""
        named, fields = PARAMETER.findall(path), msgspec.structs.fields(asked) if asked else ()
        types = {field.encode_name: field.type for field in fields}
        found: list[dict[str, Any]] = []
        for name in named:
            found.append({"name": name, "in": "path", "required": True})
            self._schema(found[-1], "schema", types.get(name, Id))
        for field in fields:
            if field.encode_name not in (*named, "stream"):
                found.append({"name": field.encode_name, "in": "query", "required": field.required})
                self._schema(found[-1], "schema", field.type)
        return found

    def _add(self, method: str, path: str, operation: dict[str, Any]) -> None:
        self._paths.setdefault(path, {})[method] = operation


def about_context(command: type[Struct]) -> str:
    """The first line that the command's context says of itself."""
    package = sys.modules[command.__module__.rpartition(".")[0] or command.__module__]
    return (inspect.getdoc(package) or "").partition("\n")[0].partition(": ")[2]


def described_headers(texts: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in texts.items()}


_body_type = cache(body_type)  # One type a command, however many routes: two of one name would be told apart.


def _personal(kind: Any) -> dict[str, Any]:
    """Personal data leaves us sealed only."""
    if kind is Personal:
        return {"type": "object", "properties": {"person": {"type": "string"}, "sealed": {"type": "string"}}}
    raise NotImplementedError(kind)


def operations(
    routes: Iterable[CommandRoute], queries: Iterable[type[Query]], watched: Collection[type[Query]] = ()
) -> Description:
    described = Description()
    for route in routes:
        described.command(route)
    for query in queries:
        described.query(query, query in watched)
        if query.stream:
            described.history(query)
            described.timeline(query)
    return described
