"""What the description of the API says in words: headers, parameters that doors understand, and troubles."""

from common.shell.wish import DEFAULT_WAIT_S, LONGEST_WAIT_S
from common.subjects import TOKEN

COMMAND_HEADERS = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The command's id, for ever: sending it again gives the same answer, with another body 422. "
        "Without it the gateway makes one.",
        "schema": {"type": "string", "pattern": f"^{TOKEN.pattern}$"},
    },
    {
        "name": "Prefer",
        "in": "header",
        "description": f"`wait=N` waits up to N seconds (at most {LONGEST_WAIT_S}) for the decision.",
        "schema": {"type": "string"},
        "example": "wait=5",
    },
]
QUERY_HEADERS = [
    {
        "name": "Daybook-After",
        "in": "header",
        "description": "What the answer must show: `<context>:<command id>`, as the answer to a command gives it, or "
        "`<context>=<position>`, as `Daybook-Position` gives it; several with commas. 503 when that takes too long.",
        "schema": {"type": "string"},
    },
    {
        "name": "Prefer",
        "in": "header",
        "description": f"`wait=N` waits up to N seconds for that (at most {LONGEST_WAIT_S}; else {DEFAULT_WAIT_S}).",
        "schema": {"type": "string"},
        "example": "wait=5",
    },
]
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of an answer one has: 304 when there is no other. An answer of several records, such as "
    "a product with its stock, is always sent.",
    "schema": {"type": "string"},
}
UNTIL = [
    {
        "name": "until",
        "in": "query",
        "description": "Waits for one of these states, with commas between; 503 with the present one when it takes "
        "too long.",
        "schema": {"type": "string"},
    },
    {
        "name": "wait",
        "in": "query",
        "description": f"For how many seconds, instead of `Prefer`; at most {LONGEST_WAIT_S}.",
        "schema": {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT_S},
    },
]
CONDITIONS = [
    {
        "name": "If-Match",
        "in": "header",
        "description": "The version that the stream must have, as an `ETag` gives it, and no list. Else 412, or, when "
        "not waited for, a receipt that is rejected as `version-mismatch`. It is part of what an id stands for.",
        "schema": {"type": "string", "pattern": '^"(0|[1-9][0-9]{0,17})"$'},
        "example": '"3"',
    },
    {
        "name": "If-None-Match",
        "in": "header",
        "description": "`*`: nothing of this name may be there yet. The same as version 0, and not beside `If-Match`.",
        "schema": {"type": "string", "enum": ["*"]},
    },
]
TO_READ_IT = {"Daybook-After": "To hand back with a query that must show what this command did"}
DECIDED = TO_READ_IT | {"ETag": "The version of the stream after it, for `If-Match`"}
PLACE = {
    "Daybook-Position": "How far in the record this answer reaches, by context",
    "Daybook-Staleness-Ms": "At most how old the oldest event is that it does not show; `unknown` when nobody knows",
}
FRESHNESS = PLACE | {
    "ETag": "The version of the stream, where the answer is about one",
}
EVENTS = {
    "type": "string",
    "description": "Takes the role watch. Server-sent events: what there is now and each change, as JSON in `data`, "
    "with the version as `id`; a comment every 10 seconds. Ends when one of the states in `until` is reached.",
}
AS_OF = {
    "name": "as_of",
    "in": "query",
    "description": "Answers from the record instead, by folding its events: as it was at this version, at this time "
    "(RFC 3339), or `now`.",
    "schema": {"type": "string"},
}
TROUBLES = {
    400: "Input that breaks a rule; names the field and the rule",
    401: "No API key, or one that is not known",
    403: "None of the roles that may do this",
    404: "Nothing of this name",
    408: "The body did not arrive in time",
    409: "Rejected by a rule (only with `Prefer: wait`); a query: the position belongs to a record since restored",
    412: "The stream has another version than `If-Match` says (only with `Prefer: wait`)",
    413: "A body over 64 KiB",
    415: "Not JSON",
    422: "The id belongs to another command",
    503: "Not now; repeat as it is after Retry-After",
    504: "Perhaps stored, perhaps not; safe to repeat with the same id",
}


ABOUT = """
Commands are stored durably, then decided: 202 means stored. The receipt says what became of a command.
Queries read tables that follow shortly after; `/consistency-lag` says how far behind they are.
Unknown fields are refused. Of a repeated name in a body the last value counts.

`/docs/glossary` explains every word: commands, events, read models, and what the contexts say to each other.

Every request needs an API key: `Authorize` takes one. `daybook key storefront` and `daybook key operator` print the
first two.
"""
QUERIES_LAST = {"queries": "what is known; asking changes nothing", "system": "whether it runs; needs no API key"}
