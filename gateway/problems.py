"""Refusals in one form, RFC 9457 problems, whatever refused: a rule, a door, the router or an error of ours."""

import logging
import re
from http import HTTPStatus
from typing import Any

import msgspec

from common.messages import Rejected
from common.shell.unanswered import RETRY_AFTER_S as UNANSWERED_RETRY_S
from common.shell.unanswered import Unanswered
from gateway.http import Answer, Header

log = logging.getLogger(__name__)

PROBLEM_JSON = (b"content-type", b"application/problem+json")
RETRY_AFTER_S = 5
NAMED = re.compile(r"(?:missing required|contains unknown) field `([^`]*)`")


class Problem(Exception):
    """Why there is no other answer. `code` is stable and meant for programs; `members` become members of the JSON."""

    def __init__(self, status: int, code: str, detail: str, *headers: Header, **members: Any) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers, self.members = status, code, detail, headers, members

    def answer(self) -> Answer:
        body = {
            "type": f"/problems/{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.members,
        }
        return Answer(self.status, msgspec.json.encode(body), (PROBLEM_JSON, *self.headers))


def later(code: str, detail: str, *headers: Header, **members: Any) -> Problem:
    """503: nothing is wrong with the request, and it may be repeated as it is."""
    return Problem(503, code, detail, (b"retry-after", b"%d" % RETRY_AFTER_S), *headers, **members)


def refused_input(rejected: Rejected) -> Problem:
    """400 that names the field and the rule; 413 for a body that is too large."""
    rule, _, place = str(rejected).partition(" - at ")
    missing = NAMED.search(rule)
    field = ".".join(part for part in (place.strip("`") or "$" * bool(missing), missing[1] if missing else "") if part)
    members = {"field": field, "rule": rule} if field else {"rule": rule}
    return Problem(
        413 if rejected.code == "too-large" else 400, rejected.code, str(rejected), **members, **rejected.detail
    )


def unanswered(why: Unanswered) -> Problem:
    """A query that has no answer although nothing is wrong with it; 503 may be asked again."""
    retry = [(b"retry-after", b"%d" % UNANSWERED_RETRY_S)] if why.status == 503 else []
    return Problem(why.status, why.code, why.detail, *retry, **why.members)


def internal(error: BaseException) -> Problem:
    """500 that tells the caller nothing of our insides; the log has them."""
    log.error("a request failed", exc_info=error)
    return Problem(500, "internal", "the request failed for a reason of ours; it has been noted")


CODES = {404: "not-found", 405: "method-not-allowed"}
DETAILS = {404: "there is nothing at this path; /openapi.json lists the paths there are"}


def of_status(status: int, detail: str, headers: dict[str, str]) -> Problem:
    """What the router refuses, before any door is reached."""
    code = CODES.get(status, HTTPStatus(status).phrase.lower().replace(" ", "-"))
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return Problem(status, code, DETAILS.get(status, detail), *pairs)
