"""The accounts of nats-server: what passes from one to another is what they export and import, and nothing else.

A message with a reply subject that passes has another one there, which the server makes up and maps back.
"""

import re

import msgspec

OURS = "DAYBOOK"
"""The account that has the streams, and our own users."""
EVERYBODYS = "$G"
"""The account of all users where no other is configured. It had the streams once."""
ANSWERED_WITHIN_S = 35
"""So long nats-server remembers whom to answer, and twice that at most. A query may wait for 30 s."""
API, OUR_API = "$JS.API.", "api."
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
    """The accounts by name, as nats-server reads them: ours, and one for each user apart."""
    apart = [user for user in users if user.apart]
    services = sorted({_kind(subject) for user in apart for subject in user.publish})
    streams = sorted({_kind(subject) for user in apart for subject in user.subscribe})
    ours = {
        "jetstream": "enabled",
        "users": [_user(user) for user in users if not user.apart],
        "exports": [
            *(_service(each) for each in services),
            *({"stream": each} for each in streams),
        ],
    }
    return {OURS: ours} | {f"{OURS}-{user.name}": _account(user) for user in apart}


def _service(subject: str) -> dict[str, str]:
    """A service answers once; but who asks for several values of a bucket is sent one message for each."""
    several = {"response_type": "Stream"} if SEVERAL.fullmatch(subject) else {}
    return {"service": subject, "response_threshold": f"{ANSWERED_WITHIN_S}s"} | several


def _kind(subject: str) -> str:
    """What is exported so that this subject can be imported: all of its kind, but the server's own by itself."""
    return subject if subject.startswith("$") else f"{subject.partition('.')[0]}.>"


def _account(user: NatsUser) -> dict[str, object]:
    """An account imports what its user may publish and subscribe, each by itself: what the server itself publishes
    there, under a reply subject, is checked by nothing else.

    Every account has an API of JetStream of its own. So ours is imported by another name, to which what the user
    publishes to the API is mapped before its rights are looked at.
    """
    renamed = {subject: subject.replace(API, OUR_API) for subject in user.publish}
    return {
        "users": [_user(msgspec.structs.replace(user, publish=[*renamed.values()]))],
        "mappings": {subject: _in_turn(name) for subject, name in renamed.items() if name != subject},
        "imports": [
            *({"service": {"account": OURS, "subject": each}} | _to(name, each) for each, name in renamed.items()),
            *({"stream": {"account": OURS, "subject": each}} for each in user.subscribe),
        ],
    }


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
