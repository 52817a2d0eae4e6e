"""The accounts of nats-server: what passes from one to another is what they export and import, and nothing else.

A message with a reply subject that passes has another one there, which the server makes up and maps back.
"""

import re
from collections.abc import Iterable

import msgspec

OURS = "DAYBOOK"
"""The account that has the streams, and our own users."""
BUCKETS = "BUCKETS"
"""The account that has the streams of the buckets that are watched, and nobody and nothing else. Who watches has the
server deliver wherever they say, with the rights of the stream's account: here nothing is reached that matters."""
OF_A_BUCKET = re.compile(r"\$KV\.|\$JS\.(API\.[A-Z.]+|FC)\.KV_")
EVERYBODYS = "$G"
"""The account of all users where no other is configured. It had the streams once."""
ANSWERED_WITHIN_S = 35
"""So long nats-server remembers whom to answer, and twice that at most. A query may wait for 30 s."""
API, OTHERS_API = "$JS.API.", "api."
SEVERAL = re.compile(r"\$JS\.API\.DIRECT\.GET\.[^.]+")


class NatsUser(msgspec.Struct, frozen=True):
    """A NATS user and the subjects that it may publish and subscribe; what is not named is denied.

    Who is `apart` has an account to itself, which shares those subjects with ours and nothing else: so a reply subject
    that it names is one of its own account, whatever its name.
    """

    name: str
    bcrypt: str
    publish: list[str]
    subscribe: list[str]
    apart: bool = False


def accounts(users: list[NatsUser]) -> dict[str, object]:
    """The accounts by name, as nats-server reads them: ours, that of buckets, and one for each user apart."""
    apart, own = [user for user in users if user.apart], [user for user in users if not user.apart]
    asked = {subject for user in apart for subject in user.publish}
    used = sorted({subject for user in own for subject in user.publish if _home(subject) == BUCKETS})
    of_buckets = sorted({*used, *(subject for subject in asked if _home(subject) == BUCKETS)})
    ours: dict[str, object] = {
        "jetstream": "enabled",
        "users": [_user(_renamed(user)) for user in own],
        "exports": _exports(asked - {*of_buckets}, {subject for user in apart for subject in user.subscribe}),
        **_sharing(used, []),
    }
    buckets: dict[str, object] = {
        "jetstream": "enabled",
        "exports": _exports(of_buckets, {inbox for user in apart for inbox in _delivered(user)}),
    }
    shared = {OURS: ours, BUCKETS: buckets} if of_buckets else {OURS: ours}
    return {**shared, **{f"{OURS}-{user.name}": _account(user) for user in apart}}


def _home(subject: str) -> str:
    """The account where what is published on this subject is wanted."""
    return BUCKETS if OF_A_BUCKET.match(subject) else OURS


def _delivered(user: NatsUser) -> list[str]:
    """Where a user may have it delivered what a bucket holds."""
    watches = any(_home(subject) == BUCKETS for subject in user.publish)
    return [subject for subject in user.subscribe if watches and subject.startswith("_INBOX.")]


def _exports(services: Iterable[str], streams: Iterable[str]) -> list[dict[str, str]]:
    return [
        *(_service(each) for each in sorted({*map(_kind, services)})),
        *({"stream": each} for each in sorted({*map(_kind, streams)})),
    ]


def _service(subject: str) -> dict[str, str]:
    """A service answers once; but who asks for several values of a bucket is sent one message for each."""
    several = {"response_type": "Stream"} if SEVERAL.fullmatch(subject) else {}
    return {"service": subject, "response_threshold": f"{ANSWERED_WITHIN_S}s"} | several


def _kind(subject: str) -> str:
    """What is exported so that this subject can be imported: all of its kind, but the server's own by itself."""
    return subject if subject.startswith("$") else f"{subject.partition('.')[0]}.>"


def _account(user: NatsUser) -> dict[str, object]:
    """An account imports what its user may publish and subscribe, each by itself: what the server itself publishes
    there, under a reply subject, is checked by nothing else."""
    streams = [(OURS, each) for each in user.subscribe] + [(BUCKETS, each) for each in _delivered(user)]
    return {"users": [_user(_renamed(user, apart=True))], **_sharing(user.publish, streams)}


def _sharing(services: Iterable[str], streams: Iterable[tuple[str, str]]) -> dict[str, object]:
    """What an account imports.

    Every account has an API of JetStream of its own. So another's is imported by another name, to which what a user
    publishes to the API is mapped before its rights are looked at.
    """
    names = {subject: subject.replace(API, OTHERS_API) for subject in services}
    found = {
        "mappings": {subject: _in_turn(name) for subject, name in names.items() if name != subject},
        "imports": [
            *({"service": {"account": _home(each), "subject": each}} | _to(name, each) for each, name in names.items()),
            *({"stream": {"account": account, "subject": each}} for account, each in streams),
        ],
    }
    return {key: value for key, value in found.items() if value}


def _renamed(user: NatsUser, apart: bool = False) -> NatsUser:
    """With rights to the names by which its account imports what it may publish."""
    names = [each.replace(API, OTHERS_API) if apart or _home(each) == BUCKETS else each for each in user.publish]
    return msgspec.structs.replace(user, publish=names)


def _to(name: str, subject: str) -> dict[str, object]:
    return {"to": name} if name != subject else {}


def _in_turn(subject: str) -> str:
    """A subject as the target of a mapping, where a wildcard is whatever the first one stands for."""
    return subject.replace("*", "{{wildcard(1)}}")


def _user(user: NatsUser) -> dict[str, object]:
    return {
        "user": user.name,
        "password": user.bcrypt,
        "permissions": {"publish": _allowed(user.publish), "subscribe": _allowed(user.subscribe)},
    }


def _allowed(subjects: list[str]) -> dict[str, list[str]]:
    """An empty list would allow everything, so nothing is said as a denial."""
    return {"allow": subjects} if subjects else {"deny": [">"]}
