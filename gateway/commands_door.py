"""The door for commands: one for each public command, derived from its declaration."""

import os
import re
from collections.abc import Iterator

from litestar.types import Receive
from msgspec import Struct

from common.codec import MAX_BODY, CommandCodec
from common.messages import Command, Rejected
from common.principals import Principals
from common.recorded import Receipt, derived_id
from common.shell.room import Full, Room
from common.shell.wish import preferred_wait
from common.subjects import is_token
from gateway.conditions import expected_version
from gateway.decided import decided, undecided
from gateway.http import CLOSE, Answer, Asked, Patience, TooLong, TooSlow, while_there
from gateway.identity import identified, permit
from gateway.intake import Intake, Submission
from gateway.problems import Problem, later, refused_input

JSON_TYPE = re.compile(rb"application/json\s*(;\s*charset\s*=\s*\"?utf-8\"?\s*)?", re.IGNORECASE)
TOKEN_RULE = "must be 1 to 64 letters, digits, '_' or '-'"
TOO_LARGE = f"the body may have {MAX_BODY} bytes at most"
NOT_JSON = "the content type must be application/json"


def new_ids() -> Iterator[str]:
    """Random ids, 256 at a time: asking the kernel for each costs 4 % of a POST."""
    while True:
        digits = os.urandom(16 * 256).hex()
        yield from (digits[start : start + 32] for start in range(0, len(digits), 32))


_new_ids = new_ids()


class CommandRoute(Struct, frozen=True):
    """Where a command is posted. A path without the key's name derives the key from principal and command id."""

    context: str
    command: type[Command]
    path: str

    @property
    def derives_key(self) -> bool:
        return f"{{{self.command.declared.key}}}" not in self.path


def command_routes(commands: dict[str, tuple[type[Command], ...]]) -> list[CommandRoute]:
    """The routes of all public commands. What is posted to a collection may also be posted to its own place in it."""
    routes = []
    for context, types in commands.items():
        for command in types:
            if not command.declared.post:
                continue
            route = CommandRoute(context, command, command.declared.post)
            routes.append(route)
            if route.derives_key:
                routes.append(CommandRoute(context, command, f"{route.path}/{{{command.declared.key}}}"))
    return routes


class CommandDoor:
    """Takes one type of command in at one route."""

    def __init__(
        self, route: CommandRoute, principals: Principals, intake: Intake, patience: Patience, room: Room
    ) -> None:
        self._principals, self._intake, self._patience, self._room = principals, intake, patience, room
        self._context, self._declared = route.context, route.command.declared
        self._name, self._codec = route.command.__name__, CommandCodec(route.command)
        self._key = "" if route.derives_key else self._declared.key

    async def __call__(self, asked: Asked) -> Answer:
        asker = identified(asked, self._principals)
        permit(asker, self._declared.roles, self._name)
        if asked.query:
            raise Problem(400, "malformed", "a command takes no query parameters", rule="no query parameters")
        command_id, keyed = command_id_of(asked)
        expected = expected_version(asked.headers)
        body = await json_body(asked, self._patience)
        wait = wait_of(asked)
        key = asked.path[self._key] if self._key else derived_id(asker.name, command_id)
        if not is_token(key):
            raise refused_input(Rejected("malformed", f"{TOKEN_RULE} - at `{self._key}`"))
        try:
            command = self._codec.decode(key, body)
        except Rejected as rejected:
            raise refused_input(rejected) from None
        digest = self._codec.hash(command, expected) if keyed or wait else ""
        sent = Submission(
            asker.name, self._context, key, self._name, command_id, keyed, digest, body, self._codec, expected
        )
        if not wait:
            await self._intake.take(sent)
            return undecided(sent)
        return decided(
            sent, await self._decision(asked.receive, sent, wait), (b"preference-applied", b"wait=%d" % wait)
        )

    async def _decision(self, receive: Receive, sent: Submission, seconds: int) -> Receipt | None:
        """Takes the command and waits for its receipt. Raises a 503 problem, before anything is sent, when too many
        wait already."""
        try:
            with self._room.place(sent.principal):
                return await while_there(receive, self._intake.take_and_wait(sent, seconds))
        except Full as full:
            detail = f"{full}; nothing was sent: repeat it later, or without `Prefer: wait`"
            raise later("too-many-waiting", detail) from None


def command_id_of(asked: Asked) -> tuple[str, bool]:
    """The command's id, and whether the caller chose it."""
    given = asked.headers.get(b"idempotency-key")
    if given is None:
        return next(_new_ids), False
    command_id = given.decode("latin-1")
    if not is_token(command_id):
        raise refused_input(Rejected("malformed", f"{TOKEN_RULE} - at `Idempotency-Key`"))
    return command_id, True


async def json_body(asked: Asked, patience: Patience) -> bytes:
    """The bytes of the body. Raises problems 408, 413 and 415; an empty body needs no content type."""
    try:
        body = await patience.body(asked.receive, MAX_BODY)
    except TooSlow:
        raise Problem(408, "too-slow", "the body did not arrive in time", CLOSE) from None
    except TooLong:
        raise Problem(413, "too-large", TOO_LARGE, CLOSE, rule=TOO_LARGE) from None
    given = asked.headers.get(b"content-type", b"")
    if given != b"application/json" and (body or given) and not JSON_TYPE.fullmatch(given.strip()):
        raise Problem(415, "not-json", NOT_JSON, (b"accept-post", b"application/json"), rule=NOT_JSON)
    return body


def wait_of(asked: Asked) -> int:
    """Seconds that the caller prefers to wait for the decision, at most 30; 0 when it does not say so."""
    given = asked.headers.get(b"prefer")
    return (preferred_wait(given.decode("latin-1")) or 0) if given else 0
